"""What the sentinel refuses, and in which words."""

import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nilometer.errors import IncompatibleModelError, NotEnoughDataError
from nilometer.estimators import Sentinel, load_sentinel, save_sentinel


def _traffic(n=120, seed=0):
    rng = np.random.default_rng(seed)
    entropy = rng.gamma(2.0, 0.6, n)
    table = pa.table({"max": entropy, "se_sum": 2 * entropy, "nll_sum": entropy + rng.random(n)})
    return table, (rng.random(n) < np.exp(-entropy)).astype(float), np.arange(n) % 6


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"method": "guess"}, "`method` must be one of .*combined.*, got 'guess'"),
        ({"classifier": "tree"}, "`classifier` must be one of monotone, .*forest.*, got 'tree'"),
        ({"confidence_level": 1.0}, r"`confidence_level` must lie in \(0, 1\), got 1\.0"),
        ({"bootstraps": -3}, r"`bootstraps` must lie in 0\.\.1,000, got -3"),
        ({"feature": "nope"}, r"`feature` must name features of a profile \(FEATURE_NAMES\), got 'nope'"),
        (
            {"features": ("max", "nope")},
            r"`features` must name features of a profile \(FEATURE_NAMES\) or .*, got 'nope'",
        ),
        ({"method": "pcc", "features": 4}, "`features` must be 1, 3, 10, 17 or names of features, got 4"),
    ],
)
def test_parameters_out_of_range_are_refused_by_fit(parameters, message):
    X, y, groups = _traffic()
    with pytest.raises(ValueError, match=message):
        Sentinel(**parameters).fit(X, y, groups=groups)


def test_labels_outside_zero_and_one_are_refused():
    X, y, groups = _traffic()
    with pytest.raises(ValueError, match=r"`y` must lie in \[0, 1\], got 0 to 2"):
        Sentinel().fit(X, 2 * y, groups=groups)


def test_a_classifier_needs_two_labels_of_each_kind():
    X, y, groups = _traffic()
    y = np.where(np.arange(len(y)) == 5, 1.0, 0.0)
    with pytest.raises(NotEnoughDataError, match=r"needs both correct and wrong answers, got 1 correct of 120"):
        Sentinel.paper().fit(X, y, groups=groups)


def test_a_threshold_needs_responses_with_a_score():
    X, y, groups = _traffic()
    empty = pa.table({name: np.full(len(y), np.nan) for name in X.column_names})
    with pytest.raises(NotEnoughDataError, match="no labelled response has the feature 'max'"):
        Sentinel(method="atc").fit(empty, y, groups=groups)


def test_traffic_without_a_feature_of_the_labelled_data_is_refused():
    X, y, groups = _traffic()
    sentinel = Sentinel(method="pcc", features=("se_sum",)).fit(X, y, groups=groups)
    with pytest.raises(IncompatibleModelError, match=r"`X` must have the features .*se_sum"):
        sentinel.estimate(X.select(["max", "nll_sum"]))


def test_what_is_no_sentinel_file_is_refused(tmp_path):
    file = tmp_path / "s.nilo"
    file.write_text("{}")
    with pytest.raises(IncompatibleModelError, match=r"s\.nilo: not a sentinel file \("):
        load_sentinel(file)
    pq.write_table(pa.table({"max": [1.0]}), file)
    with pytest.raises(IncompatibleModelError, match=r"not a sentinel file\. Make one with `nilometer fit`"):
        load_sentinel(file)


def test_a_sentinel_file_of_a_newer_version_is_refused(tmp_path):
    X, y, groups = _traffic()
    file = tmp_path / "s.nilo"
    save_sentinel(file, Sentinel().fit(X, y, groups=groups))
    table = pq.read_table(file)
    newer = {
        key: re.sub(rb'"file_version":\d+', b'"file_version":99', text) for key, text in table.schema.metadata.items()
    }
    pq.write_table(table.replace_schema_metadata(newer), file)
    with pytest.raises(IncompatibleModelError, match=r"file version must be <= \d+, got 99\. Update nilometer"):
        load_sentinel(file)
