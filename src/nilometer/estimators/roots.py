"""Roots of rising functions, many at once."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from nilometer.arrays import Floats

__all__ = ["Rise", "rising_roots"]

_MOST_STEPS, _PATIENCE = 200, 5
"""Every fifth step halves the bracket."""
_WIDTH = 1e-15


class Rise(NamedTuple):
    """A function at some points, each field of the shape of the points."""

    value: Floats
    slope: Floats
    curvature: Floats | float = 0.0


def rising_roots(
    function: Callable[[Floats], Rise], start: Floats, *, low: float, high: float, tolerance: Floats | float
) -> Floats:
    r"""Roots of functions that rise on [low, high], by Halley's method inside a bracket that closes.

    .. math:: x' = x - \frac{2 f f'}{2 f'^2 - f f''}

    A step that leaves the bracket goes to its middle, or to an end that was not looked at yet. A function that does not
    cross zero gives the end that is nearer to it. The error after a step of size t is of the order t cubed, so a
    ``tolerance`` of a thousandth of the scale on which f bends gives nine digits.

    Parameters
    ----------
    function
        Takes points of shape (n,).
    start
        Shape (n,), guesses.
    low, high
        Ends of the bracket.
    tolerance
        Largest last step.

    References
    ----------
    Brent (1973), "Algorithms for Minimization without Derivatives", ch. 4, for the safeguard.

    Examples
    --------
    >>> squares = np.array([2.0, 9.0])
    >>> rising_roots(lambda x: Rise(x**2 - squares, 2 * x, 2.0), np.ones(2), low=0, high=9, tolerance=1e-4).round(9)
    array([1.41421356, 3.        ])
    """
    x = np.clip(np.asarray(start, dtype=np.float64), low, high)
    below, above = np.full(x.shape, float(low)), np.full(x.shape, float(high))
    seen = np.zeros((2, *x.shape), dtype=bool)
    """Whether the ends of the bracket are points that were looked at."""
    found = np.zeros(x.shape, dtype=bool)
    for i in range(_MOST_STEPS):
        value, slope, curvature = function(x)
        seen |= [value <= 0, value >= 0]
        below, above = np.where(value <= 0, x, below), np.where(value >= 0, x, above)
        found |= ((x <= low) & (value >= 0)) | ((x >= high) & (value <= 0)) | (above - below <= _WIDTH)
        moved = x - _step(value, slope, curvature)
        inside = (moved > below) & (moved < above) & (i % _PATIENCE != _PATIENCE - 1)
        done = inside & (np.abs(moved - x) <= tolerance) | (value == 0)
        safe = np.where(~seen[0], below, np.where(~seen[1], above, (below + above) / 2))
        x = np.where(found | (value == 0), x, np.where(inside, moved, safe))
        found |= done
        if found.all():
            break
    return np.asarray(x)


def _step(value: Floats, slope: Floats, curvature: Floats | float) -> Floats:
    """Halley's step; Newton's where it would turn round."""
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        bent = 1 - value * curvature / (2 * slope**2)
        return np.asarray(value / slope / np.where((bent > 0.5) & (bent < 2), bent, 1.0))
