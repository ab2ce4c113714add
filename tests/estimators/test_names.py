"""Slices, families and labels by name of a column, by expression or as arrays, in every library's tables."""

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from nilometer import Sentinel, build_report
from nilometer.errors import ConfigError

N = 240
RNG = np.random.default_rng(0)
SCORE = RNG.gamma(2.0, size=N)
RIGHT = (RNG.random(N) < 1 / (1 + SCORE)).astype(float)
COLUMNS = {
    "trace_id": [f"t{i}" for i in range(N)],
    "max": SCORE,
    "tier": [("free", "paid")[i % 2] for i in range(N)],
    "domain": [f"d{i % 6}" for i in range(N)],
    "correct": RIGHT,
}
FORMS = {"arrow": pa.table, "pandas": pd.DataFrame, "polars": pl.DataFrame}


@pytest.fixture(params=FORMS, ids=str)
def form(request):
    """Make a table of one library."""
    return FORMS[request.param]


def _fitted(table, groups="domain", **more):
    return Sentinel(bootstraps=0).fit(table, "correct", groups=groups, **more)


def test_a_name_is_a_column_not_its_letters(form):
    table = form(COLUMNS)
    by_name = _fitted(table).estimate(table, by="domain")
    by_array = _fitted(table, np.array(COLUMNS["domain"])).estimate(table, by=np.array(COLUMNS["domain"]))
    assert [row.slice for row in by_name] == [f"d{i}" for i in range(6)]
    assert by_name == by_array


def test_names_and_expressions_cut_slices(form):
    table = form(COLUMNS)
    found = _fitted(table, ["domain", "tier"], families="domain").estimate(table, by=["tier", "max > 2"])
    assert {row.slice for row in found} == {
        f"tier={t}, max > 2={b}" for t in ("free", "paid") for b in ("true", "false")
    }


def test_a_report_takes_one_name_an_array_and_a_table_of_labels(form):
    table, labels = form(COLUMNS), form({name: COLUMNS[name][:200] for name in ("trace_id", "correct")})
    given = np.r_[RIGHT[:200], np.full(40, np.nan)]
    sentinel = Sentinel(bootstraps=0)
    named = build_report(table, by="domain", correct=labels, sentinel=sentinel)
    arrays = build_report(table, by=np.array(COLUMNS["domain"]), correct=given, sentinel=sentinel)
    assert named.by == ("domain",)
    assert named.n_labels == arrays.n_labels == 200
    assert named.estimates == arrays.estimates


@pytest.mark.parametrize(
    ("by", "error", "said"),
    [
        ("domian", ConfigError, "Did you mean `domain`"),
        (["a", "b", "b"], ConfigError, "must be a column"),
        (["domian"], ConfigError, "must be a column"),
        (np.array(["a", "b"]), ValueError, "must be equally long, got 240 profiles"),
    ],
)
def test_what_is_no_name_and_too_short_is_refused(by, error, said):
    table = pa.table(COLUMNS)
    sentinel = _fitted(table)
    for call in (
        lambda: sentinel.estimate(table, by=by),
        lambda: Sentinel().fit(table, "correct", groups=by),
        lambda: build_report(table, by=by, correct="correct"),
    ):
        with pytest.raises(error, match=said):
            call()


def test_names_need_a_table_and_labels_need_their_columns():
    table = pa.table(COLUMNS)
    with pytest.raises(ValueError, match="`correct` must be a column of X, got 'right'"):
        Sentinel().fit(table, "right", groups="domain")
    with pytest.raises(ValueError, match="a table of labels must have trace_id and correct, got id"):
        build_report(table, by="domain", correct=pa.table({"id": ["t1"]}))
    with pytest.raises(ValueError, match="no label belongs to a response: labels have ids like x"):
        build_report(table, by="domain", correct=pa.table({"trace_id": ["x"], "correct": [1.0]}))
