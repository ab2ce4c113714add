"""Features and classifiers of one's own, judged on left-out families as those of the library are."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression

from nilometer.decisions import build_report
from nilometer.errors import ConfigError, IncompatibleModelError
from nilometer.estimators import Sentinel, load_sentinel, save_sentinel


def _traffic(seed=0):
    """Twelve slices whose accuracy only a column of one's own tells."""
    rng = np.random.default_rng(seed)
    level = np.repeat(np.linspace(0.1, 0.9, 12), 50)
    correct = (rng.random(600) < level).astype(float)
    columns = {"max": rng.gamma(2.0, 1.0, 600), "mine": level + rng.normal(0, 0.05, 600), "flat": np.ones(600)}
    return pa.table({**columns, "late": rng.random(600) < 0.5}), correct, level.round(2).astype(str)


def _fit(table=None, **parameters):
    X, y, groups = _traffic()
    return Sentinel(bootstraps=0, **parameters).fit(X if table is None else table, y, groups=groups)


def test_a_column_of_ones_own_is_a_feature_and_judged_on_left_out_families():
    with_mine, without = _fit(features=["max", "mine"]), _fit(features=["max"])
    assert with_mine.plan_.features == ("max", "mine")
    assert with_mine.skill_.over_constant.error < 0.5 * without.skill_.over_constant.error
    assert _fit(features=["mine", "late"]).plan_.features == ("mine", "late")


def test_an_own_feature_may_point_either_way():
    X, _, _ = _traffic()
    turned = X.set_column(1, "mine", pa.array(-X["mine"].to_numpy()))
    one, other = _fit(features=["mine"]), _fit(turned, features=["mine"])
    assert one.predict_proba(X)[:, 1] == pytest.approx(other.predict_proba(turned)[:, 1], abs=1e-6)


def test_a_dropped_feature_is_reported():
    sentinel = _fit(features=["max", "flat", "mine"])
    assert sentinel.dropped_features_ == ("flat",)
    assert "left out as constant or unknown: flat" in sentinel.notes_


def test_a_response_without_the_own_feature_counts_as_the_median():
    X, _, _ = _traffic()
    sentinel = _fit(features=["mine"])
    lacking = pa.table({"max": [1.0, 1.0], "mine": [float("nan"), float(np.median(X["mine"]))]})
    p = sentinel.predict_proba(lacking)[:, 1]
    assert p[0] == p[1]


def test_traffic_without_the_own_column_is_refused_and_an_unknown_name_too():
    with pytest.raises(IncompatibleModelError, match="must have the features mine"):
        _fit(features=["max", "mine"]).estimate(pa.table({"max": [1.0]}))
    with pytest.raises(ValueError, match="or columns of numbers of `X`, got 'nosuch'"):
        _fit(features=["max", "nosuch"])


def test_own_columns_come_from_pandas_too_and_reach_a_report():
    X, y, groups = _traffic()
    frame = pd.DataFrame({**X.to_pydict(), "group": groups})
    sentinel = Sentinel(bootstraps=0, features=["max", "mine"])
    report = build_report(frame, by="group", correct=np.where(np.arange(600) % 2 == 0, y, np.nan), sentinel=sentinel)
    assert any("left-out families" in note for note in report.notes)
    plain = build_report(frame, by="group", correct=np.where(np.arange(600) % 2 == 0, y, np.nan))
    assert report.label_free != plain.label_free


def test_a_saved_sentinel_keeps_its_own_features(tmp_path):
    X, _, groups = _traffic()
    sentinel = _fit(features=["max", "mine"])
    save_sentinel(tmp_path / "s.nilo", sentinel)
    assert load_sentinel(tmp_path / "s.nilo").estimate(X, by=groups) == sentinel.estimate(X, by=groups)


@pytest.mark.parametrize("calibrated", [True, False])
def test_a_classifier_of_scikit_learn_is_judged_on_left_out_families(calibrated):
    own = LogisticRegression(C=10.0)
    sentinel = _fit(classifier=own, features=["mine"], calibrated=calibrated, method="pcc")
    assert sentinel.skill_.over_constant.error < 0.1
    assert sentinel.estimate(_traffic()[0])[0].method == "pcc[LogisticRegression]"
    assert not hasattr(own, "coef_")
    assert clone(sentinel).classifier is not sentinel.fitted_.rule.classifier


def test_a_classifier_of_ones_own_is_not_saved(tmp_path):
    sentinel = _fit(classifier=LogisticRegression(), features=["mine"])
    with pytest.raises(ConfigError, match="cannot be saved: files hold no code"):
        save_sentinel(tmp_path / "s.nilo", sentinel)
    assert not list(tmp_path.iterdir())


def test_what_gives_no_probability_is_no_classifier():
    with pytest.raises(ValueError, match="`classifier` must have `fit` and `predict_proba`, got int"):
        _fit(classifier=42)
