"""Counts of parts add up to the counts of the whole."""

from collections import Counter

import numpy as np
import pyarrow as pa
from hypothesis import given, settings, strategies as st

from nilometer.traces import TRACE_SCHEMA, corpus_path, read_traces
from nilometer.traces.doctor.census import Census, ModelCensus

BATCHES = [read_traces(corpus_path(name)).read_all().slice(0, 60).to_batches()[0] for name in ("smollm2", "gemma3")]


def _counted(batches):
    census = Census()
    for batch in batches:
        census.add(batch)
    return census


def _plain(one):
    if isinstance(one, np.ndarray):
        return one.tolist()
    if isinstance(one, Census | ModelCensus):
        names = (name for name in type(one).__dataclass_fields__ if name not in {"ids", "contents"})
        return {name: _plain(getattr(one, name)) for name in names}
    return {key: _plain(value) for key, value in one.items()} if type(one) is dict else one


@settings(max_examples=8)
@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 50), st.integers(1, 30)), min_size=1, max_size=5))
def test_parts_add_up_to_the_whole_in_any_order(pieces):
    batches = [BATCHES[which].slice(start, n) for which, start, n in pieces]
    merged = Census()
    for batch in reversed(batches):
        merged.merge(_counted([batch]))
    whole = _counted(batches)
    assert _plain(merged) == _plain(whole)
    assert merged.n_duplicates == whole.n_duplicates


def test_a_filter_is_why_an_answer_has_no_log_probabilities():
    rows = [{"trace_id": "a", "model": "m", "answer": "", "finish_reason": "content_filter", "n_tokens": 0}]
    census = _counted(pa.Table.from_pylist(rows, schema=TRACE_SCHEMA).to_batches())
    assert census.reasons == Counter({"content filter": 1})
