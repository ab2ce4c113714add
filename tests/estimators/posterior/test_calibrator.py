"""The calibrator finds what was done to posteriors whose truth is known."""

import math

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression

from nilometer.errors import NotEnoughDataError
from nilometer.estimators import Calibrator, Posterior


def simulated(n, *, temperature=1.0, bias=(0.0, 0.0, 0.0, 0.0), seed=0, names=None):
    """Posteriors whose true form is known: what the model says is that form at another temperature, and biased."""
    rng = np.random.default_rng(seed)
    true = rng.dirichlet([0.7] * len(bias), n)
    truth = (true.cumsum(axis=1) > rng.random((n, 1))).argmax(axis=1)
    logits = np.log(true) * temperature - np.array(bias) * temperature
    said = np.exp(logits - np.logaddexp.reduce(logits, axis=1, keepdims=True))
    names = names or range(len(bias))
    made = [Posterior.from_masses(dict(zip(names, row, strict=True)), labels=names, largest_open=0) for row in said]
    return made, [names[t] for t in truth], true


@pytest.mark.parametrize("names", [None, ["a", "b", "c", "d"]])
def test_temperature_undoes_a_sharpening(names):
    said, truth, true = simulated(1500, temperature=2.5, names=names)
    calibrator = Calibrator().fit(said, truth)
    assert calibrator.temperature_ == pytest.approx(2.5, rel=0.12)
    assert calibrator.transform(said)[0].weights == pytest.approx(true[0], abs=0.05)
    assert calibrator.loss_after_ < calibrator.loss_before_


def test_bias_finds_the_labels_that_are_said_too_often():
    bias = (0.0, -1.5, 0.5, 0.0)
    said, truth, true = simulated(1500, bias=bias, names=list("abcd"))
    calibrator = Calibrator("bias", penalty=0.0).fit(said, truth)
    found = calibrator.biases_ - calibrator.biases_[0]
    assert found == pytest.approx(bias, abs=0.25)
    plain = Calibrator().fit(said, truth)
    assert calibrator.loss_after_ < plain.loss_after_
    assert np.mean([np.abs(p.weights - t).sum() for p, t in zip(calibrator.transform(said), true, strict=True)]) < 0.1


def test_affine_is_least_squares_on_the_mean_and_matches_the_spread():
    rng = np.random.default_rng(1)
    truth = rng.normal(3, 1, 120)
    said = [Posterior.from_samples(rng.normal(1 + 0.3 * t, 0.4, 9)) for t in truth]
    calibrator = Calibrator("affine").fit(said, truth)
    means = np.array([[p.mean] for p in said])
    line = LinearRegression().fit(means, truth)
    assert (calibrator.slope_, calibrator.intercept_) == pytest.approx((line.coef_[0], line.intercept_))
    moved = calibrator.transform(said)
    assert [p.mean for p in moved] == pytest.approx(line.predict(means))
    residual = np.mean((truth - line.predict(means)) ** 2)
    assert np.mean([p.sd**2 for p in moved]) == pytest.approx(residual)


def test_isotonic_follows_a_bent_curve_that_a_line_misses():
    rng = np.random.default_rng(2)
    truth = rng.uniform(0, 3, 300)
    said = [Posterior.from_samples([math.exp(t)] * 2) for t in truth]
    bent, line = Calibrator("isotonic").fit(said, truth), Calibrator("affine").fit(said, truth)
    assert bent.loss_after_ < 0.5 * line.loss_after_
    means = np.array([p.mean for p in bent.transform(said)])[np.argsort(truth)]
    assert (np.diff(means) >= -1e-12).all()


def test_isotonic_for_labels_gives_probabilities():
    said, truth, _ = simulated(400, temperature=3.0, names=list("abcd"))
    calibrator = Calibrator("isotonic").fit(said, truth)
    assert calibrator.loss_after_ < calibrator.loss_before_
    assert all(p.weights.sum() == pytest.approx(1) for p in calibrator.transform(said))


def test_the_score_of_numbers_is_the_ranked_probability_score():
    # E|Y - t| - E|Y - Y'| / 2 by its double sum
    said, truth, _ = simulated(40, temperature=1.7)

    def score(posteriors):
        return np.mean(
            [
                p.weights @ np.abs(p.numbers - t) - p.weights @ np.abs(p.numbers[:, None] - p.numbers) @ p.weights / 2
                for p, t in zip(posteriors, truth, strict=True)
            ]
        )

    calibrator = Calibrator().fit(said, truth)
    assert calibrator.loss_before_ == pytest.approx(score(said), abs=1e-4)
    assert calibrator.loss_after_ == pytest.approx(score(calibrator.transform(said)), abs=1e-4)

    def at(temperature):
        return score([p.reweighted(p.weights ** (1 / temperature)) for p in said])

    best = minimize_scalar(at, bounds=(0.05, 50), method="bounded").fun
    assert calibrator.loss_after_ == pytest.approx(best, abs=1e-3)


def test_it_is_an_estimator_of_scikit_learn():
    calibrator = Calibrator("bias", penalty=2.0)
    assert clone(calibrator).get_params() == {"kind": "bias", "penalty": 2.0}
    assert calibrator.set_params(kind="affine").kind == "affine"
    with pytest.raises(NotFittedError):
        calibrator.transform([])
    said, truth, _ = simulated(30)
    assert calibrator.fit(said, truth) is calibrator


def test_bad_input_is_refused_with_its_reason():
    said, truth, _ = simulated(20, names=list("abcd"))
    with pytest.raises(NotEnoughDataError, match="9 labelled answers are too few"):
        Calibrator().fit(said[:9], truth[:9])
    with pytest.raises(ValueError, match="`kind` must be one of"):
        Calibrator("platt").fit(said, truth)
    with pytest.raises(ValueError, match="equally long, got 20 and 3"):
        Calibrator().fit(said, truth[:3])
    with pytest.raises(ValueError, match="`kind` affine must be given numbers"):
        Calibrator("affine").fit(said, truth)
    with pytest.raises(ValueError, match="`y` must hold labels of the scale"):
        Calibrator().fit(said, ["z"] * 20)
    numbers, _, _ = simulated(20)
    with pytest.raises(ValueError, match="`y` must be finite numbers"):
        Calibrator().fit(numbers, [math.nan] * 20)


def test_a_number_without_a_value_is_no_truth_to_calibrate_on():
    X = [Posterior.from_samples([1.0, 2.0, 3.0]) for _ in range(12)]
    with pytest.raises(ValueError, match="`y` must be finite numbers"):
        Calibrator("affine").fit(X, [2.0] * 11 + [float("nan")])


def test_losses_of_numbers_are_mean_squared_errors_before_and_after():
    rng = np.random.default_rng(0)
    truth = rng.normal(size=30)
    said = [Posterior.from_samples([t / 2 - 0.1, t / 2 + 0.3]) for t in truth]
    fitted = Calibrator(kind="affine").fit(said, truth)
    means = truth / 2 + 0.1
    assert fitted.loss_before_ == pytest.approx(np.mean((truth - means) ** 2))
    assert fitted.loss_after_ == pytest.approx(0, abs=1e-12)


def test_the_loss_before_is_the_mean_surprise_of_the_true_label():
    said, truth, _ = simulated(40, names=["a", "b", "c", "d"])
    fitted = Calibrator(kind="isotonic").fit(said, truth)
    p = [dict(zip(one.values, one.weights, strict=True))[t] for one, t in zip(said, truth, strict=True)]
    assert fitted.loss_before_ == pytest.approx(-np.log(p).mean())


def test_biases_are_penalised_as_one_label_unless_told_otherwise():
    said, truth, _ = simulated(60, bias=(1.0, 0.0, 0.0, -1.0))
    given, usual, loose = (
        Calibrator("bias", **one).fit(said, truth) for one in ({"penalty": 1.0}, {}, {"penalty": 0.01})
    )
    assert usual.biases_ == pytest.approx(given.biases_)
    assert (usual.biases_**2).sum() < (loose.biases_**2).sum()
