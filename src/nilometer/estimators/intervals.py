"""Prediction intervals for the accuracy of a new slice, from families of slices that were left out one at a time."""

import numpy as np

from nilometer.arrays import Floats

from .residuals import LEAST_SLICES, Residuals, error_unit, sampling_noise
from .roots import Rise, rising_roots

__all__ = [
    "conformal_interval",
    "conformal_size",
    "half_widths",
    "interval_spread",
    "prediction_interval",
    "spread_interval",
    "t_quantile",
]

_BATCH = 512
"""Slices whose half-widths are found together: what they need fits into the cache."""
_VARIANCES = np.geomspace(1e-4, 9.0, 160)
"""Grid of squared spreads: 0.01 to 3 units, where a unit is 0.32 to 0.59 of accuracy; steps of 7 %."""


def prediction_interval(
    estimate: float,
    residuals: Residuals,
    *,
    n: float,
    confidence_level: float = 0.95,
    simultaneous: int = 1,
    label_noise: float = 0.0,
) -> tuple[float, float]:
    r"""Interval for the accuracy of one new slice of n responses.

    .. math:: \hat a \pm h, \quad \int \Big(2 \Phi\Big(\frac{h}{\sqrt{u^2 \tau^2 + e + v}}\Big) - 1\Big)^m
        p(\tau^2 \mid s^2) \, d\tau^2 = c, \quad
        p(\tau^2 \mid s^2) \propto p_0(\tau^2) \,
        (\tau^2 + e_0)^{-d/2} \exp\Big(\frac{-d s^2}{2 (\tau^2 + e_0)}\Big), \quad u = \sqrt{\hat a (1 - \hat a) + 1/10}

    :math:`s^2`, its degrees of freedom d and the part :math:`e_0` of it that is noise come from :func:`fit_residuals`;
    :math:`e` is the sampling noise of this slice, :math:`v` the variance of its estimate over labels drawn again,
    m the number of intervals that hold together. :math:`p_0` is the scaled inverse chi square with :math:`s_0 = 0.2` on
    :math:`d_0 = 2` degrees (``prior_spread``, ``prior_degrees``), what left-out families of the choice halves of the
    corpora had: it keeps the interval
    honest where noise hides the spread. Without noise and for m = 1 this is Student's t on :math:`d_0 + d` degrees.
    Cut to [0, 1].

    Parameters
    ----------
    estimate
        Estimated accuracy in [0, 1].
    residuals
        From at least ``LEAST_SLICES`` left-out families.
    n
        Responses in the slice.
    confidence_level
        In (0, 1).
    simultaneous
        Number of slices whose intervals shall all hold together; 1 is this one alone. Exact if the errors of the
        slices are independent, on the safe side if slices of a family err together (Šidák's inequality).
    label_noise
        Standard deviation of the estimate over labels drawn again.

    Raises
    ------
    ValueError
        If there are fewer than ``LEAST_SLICES`` families.

    References
    ----------
    Higgins, Thompson and Spiegelhalter (2009), "A re-evaluation of random-effects meta-analysis", sec. 4, with the
    spread integrated out. Stoline and Ury (1979), Technometrics 21, for m > 1 without noise.

    Examples
    --------
    >>> residuals = Residuals(n_families=5, bias=0.0, spread=0.25, noise=0.02, degrees=4.0)
    >>> low, high = prediction_interval(0.5, residuals, n=100)
    >>> round(low, 2), round(high, 2)
    (0.19, 0.81)
    """
    half = half_widths(
        np.array([estimate]),
        residuals,
        n=np.array([n], dtype=np.float64),
        confidence_level=confidence_level,
        simultaneous=simultaneous,
        label_noise=label_noise,
    ).item()
    return max(estimate - half, 0.0), min(estimate + half, 1.0)


def interval_spread(
    estimate: float, residuals: Residuals, *, n: float, confidence_level: float = 0.95, label_noise: float = 0.0
) -> tuple[float, float]:
    """Scale and degrees of freedom of the Student t that has the interval of :func:`prediction_interval`, uncut.

    The degrees are those of the residuals and of their prior together. Whoever needs the estimate as a prior takes
    these: the two ends of the interval may be cut at 0 or 1.

    Examples
    --------
    >>> residuals = Residuals(n_families=5, bias=0.0, spread=0.25, noise=0.02, degrees=4.0)
    >>> spread, degrees = interval_spread(0.5, residuals, n=100)
    >>> round(spread, 3), degrees
    (0.129, 6.0)
    """
    half = half_widths(
        np.array([estimate]),
        residuals,
        n=np.array([n], dtype=np.float64),
        confidence_level=confidence_level,
        label_noise=label_noise,
    ).item()
    return half / t_quantile(residuals, confidence_level), residuals.degrees + residuals.prior_degrees


def t_quantile(residuals: Residuals, confidence_level: float) -> float:
    """Half-widths over the scales of their Student t, whose degrees are those of the residuals and of their prior."""
    return _quantile(residuals.degrees + residuals.prior_degrees, confidence_level)


def _quantile(degrees: float, confidence_level: float) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(degrees, 0.5 + confidence_level / 2))


def spread_interval(
    estimate: float, spread: float, degrees: float, *, confidence_level: float = 0.95
) -> tuple[float, float]:
    """Interval of a Student t around an estimate, cut to [0, 1]; undoes :func:`interval_spread`.

    Examples
    --------
    >>> low, high = spread_interval(0.5, 0.129, 6.0)
    >>> round(low, 2), round(high, 2)
    (0.18, 0.82)
    """
    half = spread * _quantile(degrees, confidence_level)
    return max(estimate - half, 0.0), min(estimate + half, 1.0)


def half_widths(
    estimates: Floats,
    residuals: Residuals,
    *,
    n: Floats,
    label_noise: Floats | float = 0.0,
    confidence_level: float = 0.95,
    simultaneous: int = 1,
) -> Floats:
    """Half-lengths of the intervals of :func:`prediction_interval` before they are cut, for many slices at once.

    Parameters
    ----------
    estimates, n, label_noise
        Shape (slices,).
    residuals, confidence_level, simultaneous
        As there, the same for all slices.

    Examples
    --------
    >>> residuals = Residuals(n_families=5, bias=0.0, spread=0.25, noise=0.02, degrees=4.0)
    >>> half_widths(np.array([0.5, 0.9]), residuals, n=np.array([100.0, 100.0])).round(2).tolist()
    [0.31, 0.23]
    """
    if residuals.n_families < LEAST_SLICES:
        raise ValueError(f"`residuals` must come from >= {LEAST_SLICES} families, got {residuals.n_families}.")
    weights = _spread_weights(residuals)
    noise = sampling_noise(estimates, n) + np.asarray(label_noise) ** 2
    parts = range(0, len(estimates), _BATCH)
    found = [
        _half_widths(
            np.sqrt(np.outer(error_unit(estimates[i : i + _BATCH]) ** 2, _VARIANCES) + noise[i : i + _BATCH, None]),
            weights,
            confidence_level=confidence_level,
            simultaneous=simultaneous,
        )
        for i in parts
    ]
    return np.concatenate(found) if found else np.empty(0)


def _half_widths(scale: Floats, weights: Floats, *, confidence_level: float, simultaneous: int) -> Floats:
    """Where mixtures of normals around zero hold the level; ``scale`` has shape (slices, spreads)."""
    from scipy.special import erf, ndtri

    m = simultaneous

    def missing(half: Floats) -> Rise:
        z = half[:, None] / scale
        inside, height = erf(z / 2**0.5), np.exp(-(z**2) / 2) * (2 / np.pi) ** 0.5 / scale
        slope = m * inside ** (m - 1) * height
        bend = (m * (m - 1) * inside ** (m - 2) * height**2 if m > 1 else 0.0) - slope * z / scale
        return Rise(inside**m @ weights - confidence_level, slope @ weights, bend @ weights)

    start = np.sqrt(scale**2 @ weights) * ndtri(0.5 + confidence_level ** (1 / m) / 2)
    return rising_roots(missing, start, low=1e-6, high=1e3, tolerance=1e-5 * start)


def _spread_weights(residuals: Residuals) -> Floats:
    """Posterior of the squared spread without noise, on the grid ``_VARIANCES``, which is even in its logarithm."""
    whole = _VARIANCES + max(residuals.noise, 0.0)
    log = -residuals.prior_degrees / 2 * (np.log(_VARIANCES) + residuals.prior_spread**2 / _VARIANCES)
    log -= residuals.degrees / 2 * (np.log(whole) + residuals.spread**2 / whole)
    weights = np.exp(log - log.max())
    return np.asarray(weights / weights.sum())


def conformal_interval(
    estimate: float, residuals: Residuals, *, confidence_level: float = 0.95
) -> tuple[float, float] | None:
    r"""Distribution-free interval for a slice of a new family; None with too few families for the level.

    Every left-out slice weighs :math:`1 / (m_f (F + 1))`, the new one :math:`1 / (F + 1)` at infinity; the
    half-width is the weighted quantile of the absolute residuals in units. Needs
    :math:`F \ge c / (1 - c)` families: 9 at 90 %, 19 at 95 %.

    References
    ----------
    Lee, Barber and Willett (2023), "Distribution-free inference with hierarchical data", arXiv 2306.06342.

    Examples
    --------
    >>> conformal_interval(0.5, Residuals(4, 0.0, 0.25, 0.02, 3.0)) is None
    True
    """
    size = conformal_size(residuals, confidence_level=confidence_level)
    if size is None:
        return None
    half = size * float(error_unit(estimate))
    return max(estimate - half, 0.0), min(estimate + half, 1.0)


def conformal_size(residuals: Residuals, *, confidence_level: float = 0.95) -> float | None:
    """Half-width of :func:`conformal_interval` in units of the error; None with too few families for the level."""
    if not residuals.scores or residuals.n_families < confidence_level / (1 - confidence_level) - 1e-9:
        return None
    sizes, weights = np.array(residuals.scores).T
    reached = np.cumsum(weights) / (residuals.n_families + 1)
    return float(sizes[int(np.searchsorted(reached, confidence_level - 1e-9))])
