import numpy as np
from hypothesis import given, settings, strategies as st
from scipy.optimize import brentq
from scipy.special import ndtr

from nilometer.estimators.roots import Rise, rising_roots


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_roots_of_mixtures_of_normals_are_those_of_brent(seed):
    rng = np.random.default_rng(seed)
    centre, scale, weight = rng.normal(0.5, 0.6, 5), 10 ** rng.uniform(-4, 0, 5), rng.dirichlet(np.ones(5))
    shares = rng.random(3)

    def missing(x):
        z = (x[:, None] - centre) / scale
        height = np.exp(-(z**2) / 2) / scale / np.sqrt(2 * np.pi)
        return Rise(ndtr(z) @ weight - shares, height @ weight, -(height * z / scale) @ weight)

    found = rising_roots(missing, rng.random(3), low=0.0, high=1.0, tolerance=1e-9)
    for root, share in zip(found, shares, strict=True):
        below = lambda x, share=share: float(ndtr((x - centre) / scale) @ weight) - share  # noqa: E731
        plain = 0.0 if below(0.0) >= 0 else 1.0 if below(1.0) <= 0 else brentq(below, 0.0, 1.0, xtol=1e-15)
        assert abs(root - plain) < 1e-9 or abs(below(root)) < 1e-12  # a flat stretch has many roots


def test_a_function_that_does_not_cross_zero_gives_the_nearer_end():
    def shifted(x):
        return Rise(x + np.array([2.0, -2.0]), np.ones(2))

    assert rising_roots(shifted, np.full(2, 0.5), low=0.0, high=1.0, tolerance=1e-6).tolist() == [0.0, 1.0]
