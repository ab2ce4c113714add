import json
from dataclasses import fields
from functools import cache
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings, strategies as st

from nilometer.estimators import LABEL_FREE, Estimate, Sentinel, SliceSums
from nilometer.traces import index_slices

SLICES = np.array(["a", "b", "c", "d", "e", "new", "far", "silent"])
ADDING = [name for name, arm in LABEL_FREE.items() if arm.of_sums is not None]


def _responses(n, seed):
    """Profiles of eight slices: five as labelled, one new, one surer than all, one without log-probabilities."""
    rng = np.random.default_rng(seed)
    place = rng.integers(len(SLICES), size=n)
    entropy = rng.gamma(2.0, np.array([0.2, 0.4, 0.6, 0.8, 1.0, 0.5, 0.01, 0.5])[place]) + 0.3 * (place != 6)
    entropy[rng.random(n) < 0.05] = np.nan
    entropy[place == 7] = np.nan
    correct = (rng.random(n) < np.exp(-np.nan_to_num(entropy))).astype(float)
    correct[rng.random(n) < 0.7] = np.nan
    table = pa.table(
        {
            "max": entropy.round(2),
            "nll_sum": (entropy + rng.random(n) * (place != 6)).round(1),
            "truncated": (rng.random(n) < 0.1) * 1.0,
            "model": np.where(place == 5, "other", "own"),
        }
    )
    return table, SLICES[place], correct


def _fit(method="combined", n=400):
    table, slices, correct = _responses(n, 0)
    labelled = np.isin(slices, SLICES[:5])
    return Sentinel(method=method, bootstraps=4).fit(
        table.filter(pa.array(labelled)), np.nan_to_num(correct[labelled], nan=1.0), groups=slices[labelled]
    )


_fitted = cache(_fit)


def _assert_same(one, other):
    assert [row.slice for row in one] == [row.slice for row in other]
    for mine, its in zip(one, other, strict=True):
        assert type(mine) is type(its)
        for field in fields(mine):
            a, b = getattr(mine, field.name), getattr(its, field.name)
            if isinstance(a, float):
                assert a == pytest.approx(b, abs=1e-12), field.name
            elif field.name not in {"note", "reason", "needed"}:
                assert a == b, field.name


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.lists(st.integers(0, 150), max_size=4), st.sampled_from(ADDING))
def test_sums_of_any_parts_in_any_order_give_the_estimates_of_the_whole(seed, cuts, method):
    table, slices, correct = _responses(151, seed)
    sentinel = _fitted(method)
    edges = [0, *sorted(cuts), 151]
    parts = [sentinel.sum_up(table.slice(a, b - a), slices[a:b], correct=correct[a:b]) for a, b in pairwise(edges)]
    parts = [parts[i] for i in np.random.default_rng(seed).permutation(len(parts))]
    total = sentinel.zero()
    for part in parts:
        total = total + part
    _assert_same(sentinel.finish(total), sentinel.estimate(table, by=slices, correct=correct))


def test_the_whole_has_estimates_refusals_and_a_slice_outside():
    table, slices, correct = _responses(600, 1)
    rows = {row.slice: row for row in _fitted("combined").estimate(table, by=slices, correct=correct)}
    assert isinstance(rows["a"], Estimate)
    assert not isinstance(rows["silent"], Estimate)
    assert not isinstance(rows["far"], Estimate)
    assert rows["new"].note.startswith("7% of the responses have no log-probabilities: ")
    assert rows["new"].note.endswith("; no labelled response of the model other")


def test_intervals_that_hold_together_are_the_same_from_sums():
    table, slices, _ = _responses(300, 2)
    sentinel = _fitted("combined")
    found = sentinel.finish(sentinel.sum_up(table, slices), simultaneous=True)
    _assert_same(found, sentinel.estimate(table, by=slices, simultaneous=True))


def test_zero_changes_nothing_and_finishes_to_no_slice():
    sentinel = _fitted("combined")
    table, slices, _ = _responses(50, 3)
    sums = sentinel.sum_up(table, slices)
    assert (sums + sentinel.zero()).to_dict() == (sentinel.zero() + sums).to_dict() == sums.to_dict()
    assert len(sentinel.finish(sentinel.zero())) == 0


def test_sums_survive_json():
    table, slices, correct = _responses(80, 4)
    sums = _fitted("combined").sum_up(table, slices, correct=correct)
    again = SliceSums.from_dict(json.loads(json.dumps(sums.to_dict())))
    assert _fitted("combined").finish(again) == _fitted("combined").finish(sums)


def test_sums_of_another_fit_are_refused():
    table, slices, _ = _responses(50, 5)
    other = _fit(n=300)
    with pytest.raises(ValueError, match="of the same fit"):
        other.finish(_fitted("combined").sum_up(table, slices))


def test_a_method_that_reads_responses_together_does_not_add_up():
    table, slices, _ = _responses(50, 6)
    with pytest.raises(ValueError, match=r"`method` must be one that adds up \(.*combined.*\), got 'sld'\."):
        _fit("sld").sum_up(table, slices)


def test_a_row_of_the_wrong_length_is_refused():
    plain = {"key": "", "columns": ["n"], "slices": {"a": [1.0, 2.0]}, "provenance": {}}
    with pytest.raises(ValueError, match="every slice must have 1 sums"):
        SliceSums.from_dict(plain)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(-5, 5)), max_size=30), st.integers(0, 30))
def test_sums_are_those_of_each_slice_however_the_rows_are_split(rows, cut):
    def sums(part):
        return SliceSums.of(index_slices([name for name, _ in part]), {"v": np.array([float(v) for _, v in part])})

    total = sums(rows[:cut]) + sums(rows[cut:])
    assert total.to_dict()["slices"] == {
        name: [float(sum(v for other, v in rows if other == name))] for name in sorted({name for name, _ in rows})
    }
