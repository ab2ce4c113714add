"""Profiles from every kind of table, and what is no profile."""

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from nilometer.estimators import Sentinel, as_profiles
from nilometer.signals import FEATURE_NAMES

TABLE = pa.table({"max": [0.5, 1.0, None], "nll_avg": [0.1, 0.2, 0.3], "k": [5, 5, 5]})


@pytest.mark.parametrize(
    "made",
    [
        TABLE,
        TABLE.to_batches()[0],
        pl.from_arrow(TABLE),
        TABLE.to_pandas(),
        pd.DataFrame(TABLE.to_pylist()),
    ],
    ids=["table", "batch", "polars", "pandas", "pandas of rows"],
)
def test_every_kind_of_table_gives_the_same_profiles(made):
    found, wanted = as_profiles(made), as_profiles(TABLE)
    assert found.names == wanted.names == ("max", "nll_avg")
    for name in wanted.names:
        np.testing.assert_array_equal(found.column(name), wanted.column(name))
    assert found.provenance["k"] == ("5",)


def test_an_array_has_the_order_of_the_feature_names():
    values = np.arange(2.0 * len(FEATURE_NAMES)).reshape(2, -1)
    found = as_profiles(values)
    assert found.names == FEATURE_NAMES
    np.testing.assert_array_equal(found.column(FEATURE_NAMES[3]), values[:, 3])


@pytest.mark.parametrize("shape", [(4,), (4, 2)])
def test_an_array_of_another_shape_is_refused(shape):
    with pytest.raises(ValueError, match=r"`X` must have shape \(n, \d+\), the order of FEATURE_NAMES, got \(4"):
        as_profiles(np.zeros(shape))


def test_a_table_without_any_feature_is_refused():
    with pytest.raises(ValueError, match="`X` must have columns of FEATURE_NAMES, got model"):
        as_profiles(pa.table({"model": ["m"]}))


def test_a_feature_that_is_not_there_is_refused_by_name():
    with pytest.raises(ValueError, match="`feature` must be one of max, nll_avg, got 'rank'"):
        as_profiles(TABLE).column("rank")


def test_columns_of_different_lengths_are_refused():
    with pytest.raises(ValueError, match="must be equally long"):
        Sentinel().fit(TABLE, [1.0, 0.0])


def test_only_keeps_the_columns_of_ones_own_that_are_named():
    profiles = as_profiles(pa.table({"max": [0.1, 0.2], "mine": [1.0, 2.0], "other": [3.0, 4.0]}))
    kept = profiles.only(["max", "mine"]).with_own(["mine", "other"])
    assert kept.names == ("max", "mine")
    assert kept.column("mine").tolist() == [1.0, 2.0]
