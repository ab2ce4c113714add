import numpy as np
from hypothesis import given, settings, strategies as st
from scipy.optimize import brentq
from scipy.special import betaln, chdtri, logsumexp, ndtr

from nilometer.estimators import Estimate, combine
from nilometer.estimators.labelled.sample import labelled_mean

GRID = (np.arange(1999) + 0.5) / 1999


def plain_combine(estimate, labelled, *, confidence_level, finite):
    """Return mean, ends and standard error by the formula of ``combine``, written without regard to speed."""
    n = labelled.n_effective
    n = n * labelled.n / (labelled.n - 1 + n) if finite and labelled.n > 1 else n
    shares = (np.arange(15) + 0.5) / 15
    degrees = estimate.degrees
    variances = estimate.spread**2 * (degrees / chdtri(degrees, shares) if np.isfinite(degrees) else np.ones(15))
    mean = np.clip(estimate.accuracy, 0.005, 0.995)
    sizes = np.maximum(mean * (1 - mean) / variances - 1, 0.3)[:, None]
    a, b = mean * sizes, (1 - mean) * sizes
    prior = logsumexp((a - 1) * np.log(GRID) + (b - 1) * np.log1p(-GRID) - betaln(a, b), axis=0)
    prior = np.logaddexp(prior - np.log(15) + np.log1p(-0.02), np.log(0.02))
    log = prior + n * labelled.accuracy * np.log(GRID) + n * (1 - labelled.accuracy) * np.log1p(-GRID)
    density = np.exp(log - log.max())
    density /= density.sum()
    n, size = labelled.n_labels, labelled.n
    mean, spread = GRID, np.full(1999, 1 / 1999)
    if finite:
        mean, spread = (
            (n * labelled.accuracy + (size - n) * GRID) / size,
            np.sqrt((size - n) * GRID * (1 - GRID)) / size,
        )
    centre = density @ mean
    believed = density > 1e-13
    kept, scale = density[believed], np.maximum(spread[believed], 0.5 / 1999)

    def quantile(at):
        below = lambda x: float(kept @ ndtr((x - mean[believed]) / scale)) - at  # noqa: E731
        return 0.0 if below(0.0) >= 0 else 1.0 if below(1.0) <= 0 else brentq(below, 0.0, 1.0, xtol=1e-14)

    half = (1 - confidence_level) / 2
    error = np.sqrt(density @ ((mean - centre) ** 2 + spread**2))
    return [centre, min(quantile(half), centre), max(quantile(1 - half), centre), error]


@settings(max_examples=60, deadline=None)
@given(
    st.integers(4, 400),
    st.floats(0, 1),
    st.floats(0, 1),
    st.sampled_from([0.01, 0.06, 0.3]),
    st.sampled_from([4.0, 50.0, np.inf]),
    st.booleans(),
    st.integers(0, 1000),
)
def test_combining_equals_the_plain_formula(n, right, accuracy, spread, degrees, finite, seed):
    rng = np.random.default_rng(seed)
    known = int(rng.integers(2, n))
    correct = np.where(np.arange(n) < known, rng.random(n) < right, np.nan)
    low, high = max(accuracy - 0.2, 0.0), min(accuracy + 0.2, 1.0)
    shared = {"slice": "a", "n": n, "confidence_level": 0.9, "method": "x"}
    estimate = Estimate(**shared, accuracy=accuracy, low=low, high=high, spread=spread, degrees=degrees)
    labelled = labelled_mean(correct)
    found = combine(estimate, labelled, confidence_level=0.9, finite=finite)
    wanted = plain_combine(estimate, labelled, confidence_level=0.9, finite=finite)
    np.testing.assert_allclose([found.accuracy, found.low, found.high, found.standard_error], wanted, atol=1e-9)
