import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit, logit
from scipy.stats import t as student

from nilometer.estimators import KnownSums, fit_known_slices, known_accuracy
from nilometer.estimators.accuracy.known import known_columns, known_interval
from nilometer.traces import SliceIndex, index_slices

NAMES = tuple(f"{i:02d}" for i in range(40))


def known_sums(known, place, p):
    parts = (np.ones(len(p)), *known_columns(known, place, p))
    return KnownSums(*(np.bincount(place, part, len(known.names)) for part in parts))


def _sample(n=100, n_slices=6, rng=None):
    """Slices with lines of their own, their labels, and traffic that may be harder."""
    rng = rng or np.random.default_rng(0)
    place = np.repeat(np.arange(n_slices), n)
    p = rng.beta(2, 2, place.size)
    intercept = rng.normal(0, 0.8, n_slices)
    truth = expit(intercept[place] + 1.4 * logit(p))
    return p, (rng.random(place.size) < truth) * 1.0, place, truth


def test_line_is_the_posterior_mode():
    p, correct, place, _ = _sample(n=300, n_slices=1)
    known = fit_known_slices(p, correct, SliceIndex(place, NAMES[:1]))
    x = logit(np.clip(p, 1e-3, 1 - 1e-3))

    def loss(theta):
        score = theta[0] + theta[1] * x
        return np.logaddexp(0, score).sum() - correct @ score

    assert known.line[0] == pytest.approx(minimize(loss, [0.0, 1.0]).x, abs=0.15)


def test_accuracy_of_the_labelled_responses_is_nearly_that_of_the_labels():
    p, correct, place, _ = _sample(n=2000, n_slices=3)
    known = fit_known_slices(p, correct, SliceIndex(place, NAMES[:3]))
    accuracy, _ = known_accuracy(known, known_sums(known, place, p))
    assert accuracy == pytest.approx(np.bincount(place, correct) / 2000, abs=0.005)


def test_harder_traffic_moves_the_estimate_towards_its_truth():
    p, correct, place, truth = _sample(n=600, n_slices=8)
    labelled = np.arange(place.size) % 2 == 0
    known = fit_known_slices(p[labelled], correct[labelled], index_slices(place[labelled]))
    hard = ~labelled & (p < 0.5)
    accuracy, _ = known_accuracy(known, known_sums(known, place[hard], p[hard]))
    real = np.bincount(place[hard], truth[hard]) / np.bincount(place[hard])
    carried = np.bincount(place[labelled], correct[labelled]) / np.bincount(place[labelled])
    assert np.abs(accuracy - real).mean() < 0.3 * np.abs(carried - real).mean()


def test_a_slice_without_labels_follows_the_others():
    p, correct, place, _ = _sample(n=500, n_slices=4)
    known = fit_known_slices(p, correct, SliceIndex(place, NAMES[:5]))
    assert known.n_labels[4] == 0
    assert known.line[4] == pytest.approx(known.line[:4].mean(axis=0), abs=0.35)
    assert np.trace(known.covariance[4]) > 10 * np.trace(known.covariance[0])


def test_few_labels_are_drawn_to_the_common_line():
    p, correct, place, _ = _sample(n=400, n_slices=5)
    few = (place != 4) | (np.cumsum(place == 4) <= 5)
    known = fit_known_slices(p[few], correct[few], index_slices(place[few]))
    assert np.trace(known.covariance[4]) > 3 * np.trace(known.covariance[0])


def test_a_changed_estimate_is_less_sure():
    p, correct, place, _ = _sample(n=400, n_slices=4)
    known = fit_known_slices(p, correct, SliceIndex(place, NAMES[:4]))
    _, same = known_accuracy(known, known_sums(known, place, p))
    _, moved = known_accuracy(known, known_sums(known, place, p**3))
    assert (moved > same).all()


def test_any_number_of_labels_leaves_a_hundredth_of_doubt():
    p, correct, place, _ = _sample(n=200_000, n_slices=1)
    known = fit_known_slices(p, correct, SliceIndex(place, NAMES[:1]))
    _, deviation = known_accuracy(known, known_sums(known, place, p))
    assert deviation[0] == pytest.approx(0.01, rel=0.02)
    assert deviation[0] > 0.01


def test_drift_learns_that_probabilities_do_not_carry():
    place = np.repeat(np.arange(10), 200)
    rng = np.random.default_rng(4)
    p = rng.random(place.size)
    follows = (rng.random(place.size) < p) * 1.0
    jumps = ((p > 0.4) & (p < 0.6)) * 1.0
    calm = fit_known_slices(p, follows, SliceIndex(place, NAMES[:10])).drift
    assert calm < 0.2 < fit_known_slices(p, jumps, SliceIndex(place, NAMES[:10])).drift


def test_intervals_cover_new_traffic_of_known_slices():
    """90 % intervals, 40 slices x 10 draws; 400 independent slices stay within 4 standard errors (0.06) of 0.90."""
    hits = []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        p, correct, place, _ = _sample(n=120, n_slices=40, rng=rng)
        labelled = rng.random(place.size) < 0.5
        known = fit_known_slices(p[labelled], correct[labelled], SliceIndex(place[labelled], NAMES[:40]))
        accuracy, deviation = known_accuracy(known, known_sums(known, place[~labelled], p[~labelled]))
        n = np.bincount(place[~labelled], minlength=40)
        realized = np.bincount(place[~labelled], correct[~labelled], 40) / n
        hits.append(np.abs(realized - accuracy) <= 1.645 * np.sqrt(deviation**2 + accuracy * (1 - accuracy) / n))
    assert np.mean(hits) == pytest.approx(0.9, abs=0.06)


def test_no_responses_are_no_number():
    p, correct, place, _ = _sample(n=50, n_slices=2)
    known = fit_known_slices(p, correct, SliceIndex(place, NAMES[:2]))
    accuracy, deviation = known_accuracy(known, KnownSums(*np.zeros((4, 2))))
    assert np.isnan(np.concatenate([accuracy, deviation])).all()


def test_no_labels_are_the_rule_itself():
    known = fit_known_slices(np.empty(0), np.empty(0), SliceIndex(np.empty(0, dtype=int), NAMES[:2]))
    assert known.line.tolist() == [[0.0, 1.0], [0.0, 1.0]]


@pytest.mark.parametrize(
    ("p", "correct", "name"), [([1.5], [1.0], "p"), ([0.5], [-1.0], "correct"), ([np.nan], [1.0], "p")]
)
def test_values_outside_their_range_are_refused(p, correct, name):
    with pytest.raises(ValueError, match=f"`{name}` must lie in"):
        fit_known_slices(np.array(p), np.array(correct), SliceIndex(np.zeros(1, dtype=int), NAMES[:1]))


def test_interval_of_a_slice_is_students_and_wider_for_few_labels_and_many_together():
    low, high, spread = known_interval(0.5, 0.03, n=400, n_labels=12, confidence_level=0.9)
    assert spread == pytest.approx(np.sqrt(0.03**2 + 0.25 / 400))
    assert (high - low) / 2 == pytest.approx(student.ppf(0.95, 12) * spread)
    together = known_interval(0.5, 0.03, n=400, n_labels=12, confidence_level=0.9, simultaneous=10)
    assert (together[1] - together[0]) / 2 == pytest.approx(student.ppf(0.5 + 0.9**0.1 / 2, 12) * spread)


def test_lines_and_their_prior_are_those_of_a_general_optimiser():
    """EM with Laplace's approximation, each posterior mode by BFGS on the log posterior."""
    p, correct, place, _ = _sample(n=40, n_slices=3)
    x = logit(np.clip(p, 1e-3, 1 - 1e-3))
    centre, variances, lines = np.array([0.0, 1.0]), np.array([1.0, 0.1]), np.tile([0.0, 1.0], (3, 1))

    def loss(line, slope_x, label):
        score = line[0] + line[1] * slope_x
        return np.logaddexp(0, score).sum() - label @ score + ((line - centre) ** 2 / variances).sum() / 2

    for _ in range(20):
        inverse = []
        for s in range(3):
            own = x[place == s]
            lines[s] = minimize(loss, lines[s], args=(own, correct[place == s]), tol=1e-9).x
            q = expit(lines[s, 0] + lines[s, 1] * own)
            design = np.stack([np.ones(len(own)), own])
            inverse.append(np.linalg.inv((design * q * (1 - q)) @ design.T + np.diag(1 / variances)))
        centre = (lines.sum(axis=0) / variances + [0.0, 1.0]) / (3 / variances + 1)
        spread = ((lines - centre) ** 2 + [np.diag(one) for one in inverse]).sum(axis=0)
        variances = (spread + 2 * np.array([1.0, 0.1])) / (3 + 2)
    known = fit_known_slices(p, correct, SliceIndex(place, NAMES[:3]))
    for s in range(3):
        best = minimize(loss, lines[s], args=(x[place == s], correct[place == s]), tol=1e-9).x
        assert known.line[s] == pytest.approx(best, abs=2e-3)
