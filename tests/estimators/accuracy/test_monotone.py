import numpy as np
import pytest
from hypothesis import given, strategies as st
from sklearn.linear_model import LogisticRegression

from nilometer.estimators.accuracy.monotone import fit_monotone, log_scale, predict_monotone


def _data(n=800, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 3)) * [1.0, 2.0, 0.5] + [0.0, 3.0, -1.0]
    score = 1.2 * (X[:, 0]) - 0.4 * (X[:, 1] - 3)
    return X, (rng.random(n) < 1 / (1 + np.exp(-score))).astype(float)


def test_free_slopes_agree_with_scikit_learn():
    """scikit-learn 1.9, C = 1 / penalty on the standardised features, which it does not penalise in the intercept."""
    X, y = _data()
    ours = fit_monotone(X, y, signs=np.zeros(3, int), weights=np.ones(len(y)), penalty=5.0)
    Z = (X - X.mean(axis=0)) / X.std(axis=0)
    theirs = LogisticRegression(C=1 / 5.0, tol=1e-10).fit(Z, y)
    assert ours.slopes == pytest.approx(theirs.coef_[0], abs=1e-3)
    assert predict_monotone(ours, X) == pytest.approx(theirs.predict_proba(Z)[:, 1], abs=1e-3)


def test_slopes_keep_to_their_side():
    X, y = _data()
    model = fit_monotone(X, y, signs=np.array([1, 1, 0]), weights=np.ones(len(y)))
    assert model.slopes[0] > 0
    assert model.slopes[1] == 0


def test_weight_zero_is_the_same_as_leaving_out_of_the_loss():
    X, y = _data()
    weights = (np.arange(len(y)) < 500).astype(float)
    flipped = np.where(weights > 0, y, 1 - y)
    one, other = (fit_monotone(X, v, signs=np.zeros(3, int), weights=weights) for v in (y, flipped))
    assert one.slopes == pytest.approx(other.slopes, abs=1e-4)


def test_endless_penalty_leaves_the_accuracy():
    X, y = _data()
    model = fit_monotone(X, y, signs=np.zeros(3, int), weights=np.ones(len(y)), penalty=1e9)
    assert predict_monotone(model, X) == pytest.approx(np.full(len(y), y.mean()), abs=1e-3)


@given(st.floats(0.1, 50), st.floats(-5, 5))
def test_prediction_does_not_depend_on_the_units_of_a_feature(scale, shift):
    X, y = _data(200)
    signs, weights = np.array([1, -1, 0]), np.ones(200)
    one = predict_monotone(fit_monotone(X, y, signs=signs, weights=weights), X)
    other = predict_monotone(fit_monotone(X * scale + shift, y, signs=signs, weights=weights), X * scale + shift)
    assert one == pytest.approx(other, abs=1e-4)


def test_log_scale_by_hand():
    values = np.array([[1.0, 0.5, -2.0]])
    got = log_scale(values, ("max", "margin_min", "slope"))[0]
    assert got == pytest.approx([np.log(1.0001), 0.0, np.arcsinh(-2.0)])


def test_nan_is_refused():
    with pytest.raises(ValueError, match="`X` must hold at least one row and no NaN"):
        fit_monotone(np.array([[np.nan]]), np.ones(1), signs=np.zeros(1, int), weights=np.ones(1))
