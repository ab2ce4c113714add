import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings, strategies as st

from nilometer.estimators import Estimate, NotEnoughData, as_responses, combine, with_labels
from nilometer.estimators.labelled.ppi import ppi_mean


def plain_with_labels(rows, responses, *, finite, confidence_level):
    """Combine slice by slice, without regard to speed."""
    for row in rows:
        own = responses.slices.is_in(row.slice)
        correct, p = responses.correct[own], responses.p_correct[own]
        known, given = ~np.isnan(correct), ~np.isnan(p)
        if known.sum() < 2:
            yield row
            continue
        p = np.where(given, p, p[given].mean() if given.any() else 0.5)
        level = row.confidence_level if isinstance(row, Estimate) else confidence_level
        found = ppi_mean(correct, p, finite=finite, confidence_level=level)
        yield combine(row, found, confidence_level=level, finite=finite) if isinstance(row, Estimate) else found


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.booleans())
def test_many_slices_at_once_are_each_slice_alone(seed, finite):
    rng = np.random.default_rng(seed)
    n = 300
    slices = np.minimum(rng.geometric(0.15, n), 20).astype(str)
    p = np.where(rng.random(n) < 0.1, np.nan, rng.choice([0.2, 0.7, 0.9], n) + 0.05 * rng.random(n))
    correct = np.where(rng.random(n) < rng.random(), rng.random(n) < np.nan_to_num(p, nan=0.5), np.nan)
    responses = as_responses(pa.table({"max": np.ones(n)}), slices, correct=correct, p_correct=p)
    rows = []
    for name, count in zip(responses.slices.names, responses.slices.counts.tolist(), strict=True):
        if rng.random() < 0.3:
            rows.append(NotEnoughData(slice=name, n=count, reason="x", needed="y"))
            continue
        accuracy, spread, level = rng.random(), rng.choice([0.02, 0.1]), rng.choice([0.9, 0.95])
        ends = {"low": max(accuracy - spread, 0.0), "high": min(accuracy + spread, 1.0), "confidence_level": level}
        shared = {"slice": name, "n": count, "method": "x", "spread": spread, "degrees": 6.0}
        rows.append(Estimate(**shared, **ends, accuracy=accuracy))
    found = with_labels(rows, responses, finite=finite, confidence_level=0.8)
    for row, one in zip(plain_with_labels(rows, responses, finite=finite, confidence_level=0.8), found, strict=True):
        if one in rows:
            assert row is one
            continue
        assert (row.n, row.n_labels, row.method, row.confidence_level) == (
            one.n,
            one.n_labels,
            one.method,
            one.confidence_level,
        )
        numbers = [one.accuracy, one.low, one.high, one.spread]
        np.testing.assert_allclose(numbers, [row.accuracy, row.low, row.high, row.standard_error], atol=1e-9)


def test_labels_outside_the_unit_interval_are_refused():
    responses = as_responses(pa.table({"max": np.ones(2)}), ["a", "a"], correct=[2.0, 1.0])
    with pytest.raises(ValueError, match=r"`correct` must lie in \[0, 1\]"):
        with_labels([], responses)
