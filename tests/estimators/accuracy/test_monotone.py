import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression

from nilometer.estimators.accuracy.rules.monotone import fit_monotone, log_scale, predict_monotone


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


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 6), st.integers(12, 80))
def test_the_fit_is_the_minimum_that_a_general_solver_finds(seed, n_features, n):
    """scipy's L-BFGS-B (Byrd, Lu, Nocedal and Zhu 1995) on the same loss, from zero."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, n_features)) @ rng.normal(size=(n_features, n_features))
    correct = (rng.random(n) < 1 / (1 + np.exp(-2 * X[:, 0]))).astype(float)
    correct[:2] = 0, 1
    weights, signs = rng.gamma(1.0, size=n), rng.integers(-1, 2, n_features)
    Z = (X - X.mean(axis=0)) / X.std(axis=0)

    def loss(theta):
        score = Z @ theta[1:] + theta[0]
        slope = weights * (1 / (1 + np.exp(-score)) - correct)
        value = weights @ (np.logaddexp(0, score) - correct * score) + 2.5 * theta[1:] @ theta[1:]
        return value, np.concatenate([[slope.sum()], Z.T @ slope + 5 * theta[1:]])

    bounds = [(None, None), *((0 if s > 0 else None, 0 if s < 0 else None) for s in signs)]
    options = {"ftol": 1e-15, "gtol": 1e-9, "maxiter": 10_000, "maxfun": 100_000}
    wanted = minimize(loss, np.zeros(n_features + 1), jac=True, method="L-BFGS-B", bounds=bounds, options=options)
    found = fit_monotone(X, correct, signs=signs, weights=weights)
    theta = np.concatenate([[found.intercept], found.slopes])
    assert (signs * theta[1:] >= 0).all()
    assert loss(theta)[0] <= wanted.fun + 1e-10 * weights.sum()
    np.testing.assert_allclose(theta, wanted.x, atol=1e-4)


def test_answers_that_are_all_right_get_a_probability_near_one():
    X = np.random.default_rng(0).normal(size=(50, 2))
    found = fit_monotone(X, np.ones(50), signs=np.array([1, 0]), weights=np.ones(50))
    assert predict_monotone(found, X).min() > 0.999


def test_rare_right_answers_have_their_share_as_the_mean_probability():
    """The derivative by the intercept is 0 where the probabilities sum to the right answers."""
    x = np.random.default_rng(0).normal(size=(1000, 1))
    correct = (np.arange(1000) < 3).astype(float)
    model = fit_monotone(x, correct, signs=np.array([0]), weights=np.ones(1000))
    assert predict_monotone(model, x).sum() == pytest.approx(3.0, abs=1e-6)


@pytest.mark.parametrize("X", [np.array([[1.0], [np.nan]]), np.empty((0, 1))])
def test_nothing_and_nan_are_refused(X):
    with pytest.raises(ValueError, match="`X` must hold at least one row and no NaN"):
        fit_monotone(X, np.zeros(len(X)), signs=np.array([1]), weights=np.ones(len(X)))
