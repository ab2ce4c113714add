"""Change of a mean between two stretches of traffic, from sums that can be added up."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from nilometer.arrays import Floats

__all__ = ["MeanChange", "MeanSums", "compare_means"]


class MeanChange(NamedTuple):
    """Change of a mean between two stretches of traffic."""

    change: float
    standard_error: float
    p_value: float


@dataclass(frozen=True, slots=True)
class MeanSums:
    r"""Number, mean and scatter of scores; ``a + b`` are those of the scores of both.

    Traffic may come in any parts and any order: up to rounding the sums of the parts, added up, are those of the whole.
    Scatter is kept around the mean, so that no digits are lost where the spread is small beside the mean.

    References
    ----------
    Chan, Golub and LeVeque (1983), "Algorithms for computing the sample variance", The American Statistician 37.

    Examples
    --------
    >>> MeanSums.of(np.array([1.0, 2.0])) + MeanSums.of(np.array([6.0, np.nan])) + MeanSums.zero()
    MeanSums(n=3, mean=3.0, scatter=14.0)
    """

    n: int = 0
    mean: float = 0.0
    scatter: float = 0.0
    """Sum of the squared distances from the mean."""

    @classmethod
    def zero(cls) -> "MeanSums":
        """Return the sums over no score; adding them changes nothing."""
        return cls()

    @classmethod
    def of(cls, scores: Floats) -> "MeanSums":
        """Sum scores up; NaN is left out."""
        known = scores[~np.isnan(scores)]
        if not known.size:
            return cls()
        mean = float(known.mean())
        return cls(known.size, mean, float(((known - mean) ** 2).sum()))

    def __add__(self, other: "MeanSums") -> "MeanSums":
        if not other.n:
            return self
        n, gap = self.n + other.n, other.mean - self.mean
        between = gap**2 * self.n * other.n / n
        return MeanSums(n, self.mean + gap * other.n / n, self.scatter + other.scatter + between)

    def finish(self) -> tuple[float, float, int] | None:
        """Mean, its squared standard error, and the number of scores; None below two."""
        if self.n < 2:
            return None
        return self.mean, self.scatter / ((self.n - 1) * self.n), self.n


def compare_means(before: tuple[float, float, int] | None, after: tuple[float, float, int] | None) -> MeanChange | None:
    """Change of a mean and the two-sided p-value of no change (Welch's t); None if a side is not known.

    Parameters
    ----------
    before, after
        Mean, squared standard error and number of independent parts, as ``MeanSums.finish`` gives them.

    References
    ----------
    Welch (1947), "The generalization of Student's problem when several different population variances are involved".

    Examples
    --------
    >>> hours = [np.array([0.9, 0.8]), np.array([0.7, 0.9])]
    >>> reference = sum((MeanSums.of(hour) for hour in hours), MeanSums.zero())
    >>> found = compare_means(reference.finish(), MeanSums.of(np.array([0.3, 0.4, 0.2, 0.3])).finish())
    >>> round(found.change, 3), found.p_value < 0.001
    (-0.525, True)
    """
    from scipy.special import stdtr

    if before is None or after is None:
        return None
    change = after[0] - before[0]
    variance = before[1] + after[1]
    if variance == 0:
        return MeanChange(change, 0.0, 1.0 if change == 0 else 0.0)
    df = variance**2 / (before[1] ** 2 / (before[2] - 1) + after[1] ** 2 / (after[2] - 1))
    error = float(np.sqrt(variance))
    return MeanChange(change, error, float(2 * stdtr(df, -abs(change) / error)))
