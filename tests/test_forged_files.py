"""Saved files with right digests and values that cannot be: each is refused by its name and the rule."""

import re

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nilometer.decisions import AnswerTable, fit_router, load_router, save_router
from nilometer.decisions.plans import read_costs
from nilometer.decisions.routes import file as router_file
from nilometer.errors import ConfigError, IncompatibleModelError, TraceFormatError
from nilometer.estimators import (
    Sentinel,
    TokenConfidence,
    load_sentinel,
    load_token_confidence,
    save_sentinel,
    save_token_confidence,
)
from nilometer.estimators.accuracy import sentinel_file
from nilometer.estimators.confidence import tokens as confidence_file
from nilometer.models import SamplerThresholds, fit_thresholds, read_thresholds, write_thresholds
from nilometer.service import Store, open_database
from nilometer.signals import profile_traces, read_profiles
from nilometer.traces import corpus_path, read_labels, read_traces
from nilometer.traces.saved import (
    read_saved_json,
    read_saved_table,
    write_saved_json,
    write_saved_table,
)
from nilometer.traces.store import read_store


@pytest.fixture
def router(tmp_path):
    rng = np.random.default_rng(3)
    table = AnswerTable(models=("a", "b", "c"), embeddings=rng.normal(size=(20, 3, 2)))
    save_router(tmp_path / "r.nilo", fit_router(table))
    return tmp_path / "r.nilo"


def _forge(path, kind, change):
    saved = read_saved_table(path, kind)
    write_saved_table(path, kind, change(saved))


def _with_column(saved, name, values):
    return saved._replace(table=saved.table.set_column(saved.table.column_names.index(name), name, values))


SUMS = np.ones((20, 3))


@pytest.mark.parametrize(
    ("name", "values", "said"),
    [
        ("sums", pa.array((-SUMS).tolist()), "`sums` must hold distances >= 0"),
        ("sums", pa.array([["a", "b", "c"]] * 20), "`sums` must hold lists of numbers, got list<"),
        ("sums", pa.array((SUMS * np.inf).tolist()), "`sums` must be finite"),
        ("sums", pa.array([[1.0, 2.0]] * 20), "`sums` must hold lists of one length"),
    ],
)
def test_a_router_of_values_that_cannot_be_is_refused(router, name, values, said):
    _forge(router, router_file._KIND, lambda saved: _with_column(saved, name, values))
    with pytest.raises(IncompatibleModelError, match=re.escape(said)):
        load_router(router)


def test_a_router_that_excludes_models_it_does_not_have_is_refused(router):
    def change(saved):
        parameters = msgspec.structs.replace(saved.head.parameters, exclude_pairs=((0, 7),))
        return saved._replace(head=msgspec.structs.replace(saved.head, parameters=parameters))

    _forge(router, router_file._KIND, change)
    with pytest.raises(IncompatibleModelError, match="`exclude_pairs` must name models below 3"):
        load_router(router)


@pytest.fixture
def sentinel(tmp_path):
    data = pa.table({"max": np.random.default_rng(0).gamma(2.0, 0.5, 60)})
    fitted = Sentinel(bootstraps=0).fit(data, np.arange(60) % 3 > 0, groups=np.arange(60) % 6)
    save_sentinel(tmp_path / "s.nilo", fitted)
    return tmp_path / "s.nilo"


def test_a_sentinel_of_unknown_features_is_refused(sentinel):
    def change(saved):
        return saved._replace(table=saved.table.append_column("colour", saved.table["max"]))

    _forge(sentinel, sentinel_file._KIND, change)
    with pytest.raises(IncompatibleModelError, match="columns must be features, each once, got 'colour'"):
        load_sentinel(sentinel)


def test_a_confidence_of_other_lengths_is_refused(tmp_path):
    path = tmp_path / "c.json"
    X = np.random.default_rng(0).exponential(1.0, (200, 1))
    save_token_confidence(path, TokenConfidence(names=("nll",)).fit(X, np.arange(200) % 3 > 0))
    head = read_saved_json(path, confidence_file._KIND)
    write_saved_json(path, confidence_file._KIND, msgspec.structs.replace(head, mean=[0.0, 1.0]))
    with pytest.raises(IncompatibleModelError, match="must be as many, got 1, 1, 2 and 1"):
        load_token_confidence(path)


@pytest.mark.parametrize("limits", [(1.0, 0.1, 0.1, 1.0), (0.1, 1.0, 1.0, 0.1)])
def test_thresholds_in_the_wrong_order_are_refused(tmp_path, limits):
    write_thresholds(tmp_path / "t.json", SamplerThresholds(*limits, None, None, 20, "m", 500))
    with pytest.raises(ConfigError, match=r"a low threshold must be <= the high one, got 1\.0 and 0\.1"):
        read_thresholds(tmp_path / "t.json")


def test_thresholds_of_processed_log_probabilities_are_refused():
    batch = next(iter(read_traces(corpus_path("specialist"))))
    place = batch.schema.get_field_index("logprobs_mode")
    processed = pa.array(["processed"] * len(batch), batch.schema.field(place).type)
    with pytest.raises(ConfigError, match="processed log-probabilities depend on the temperature"):
        fit_thresholds([batch.set_column(place, batch.schema.field(place), processed)])


@pytest.mark.parametrize(
    ("values", "said"),
    [(["a"] * 9, "`max` must hold numbers, got string"), ([np.inf] * 9, "`max` must be finite or unknown, got inf")],
)
def test_profiles_whose_feature_is_no_number_are_refused(tmp_path, values, said):
    profiles = profile_traces(read_traces(corpus_path("smollm2")).read_all().slice(0, 9).to_batches())
    path = tmp_path / "p.parquet"
    pq.write_table(profiles.set_column(profiles.column_names.index("max"), "max", pa.array(values)), path)
    with pytest.raises(TraceFormatError, match=said):
        read_profiles([path])


@pytest.mark.parametrize("cost", ["0", "-1", "nan", "inf"])
def test_a_cost_that_is_not_above_zero_is_refused_by_line(tmp_path, cost):
    path = tmp_path / "c.csv"
    path.write_text(f"slice,cost\na,1\nb,{cost}\n")
    with pytest.raises(TraceFormatError, match=r"c\.csv:3: a line must have a slice and a cost > 0"):
        read_costs(path)


def test_labels_as_a_table_need_their_columns(tmp_path):
    path = tmp_path / "l.parquet"
    pq.write_table(pa.table({"id": ["a"], "correct": [1.0]}), path)
    with pytest.raises(TraceFormatError, match=r"l\.parquet.*trace_id"):
        read_labels([path])


def test_a_stored_row_that_cannot_be_right_is_refused_or_handed_over(tmp_path):
    table = read_traces(corpus_path("smollm2")).read_all().slice(0, 3)
    rows = table.to_pylist()
    rows[1]["chosen_logprobs"] = [0.5] * len(rows[1]["chosen_logprobs"])
    path = tmp_path / "t.parquet"
    pq.write_table(
        pa.Table.from_pylist(rows, table.schema.with_metadata(pq.read_schema(corpus_path("smollm2")).metadata)), path
    )
    with pytest.raises(TraceFormatError, match=r"t\.parquet"):
        list(read_store(path))
    with pytest.raises(FileNotFoundError):
        list(read_store(tmp_path / "none.parquet"))


def test_a_store_in_a_folder_that_is_not_there_is_an_error_of_the_machine(tmp_path):
    import sqlite3

    with pytest.raises(sqlite3.OperationalError, match="unable to open"):
        open_database(tmp_path / "no" / "nilometer.db")


@pytest.mark.parametrize("keys", [("a", "a"), ("all",), ("",)])
def test_slice_keys_of_a_store_are_distinct_and_named(tmp_path, keys):
    with pytest.raises(ConfigError, match="slice keys must be distinct, not empty and not `all`"):
        Store(tmp_path, keys=keys)
