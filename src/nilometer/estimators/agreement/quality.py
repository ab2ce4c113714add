"""What agreement says about each model's quality, and how sure it is."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from nilometer.arrays import Floats
from nilometer.display import Displayed

__all__ = ["BestTest", "ModelQualities", "QualityDifferences"]

_ROUNDING = 1e-9
"""Differences smaller than this share of the largest error are rounding, not findings."""


class QualityDifferences(NamedTuple):
    """Paired differences of quality between all models; entry (i, j) is i minus j."""

    difference: Floats
    standard_error: Floats
    low: Floats
    high: Floats


class BestTest(NamedTuple):
    """Whether the model with the highest estimated quality is significantly above all others."""

    best: str
    rival: str
    """The model that is hardest to tell from the best."""
    difference: float
    low: float
    high: float
    p_value: float
    is_separated: bool


@dataclass(frozen=True, repr=False)
class ModelQualities(Displayed):
    """Estimated quality of every model with the uncertainty over prompts.

    Quality is the negative estimated error, so high is good; its unit is that of the squared distance. The
    intervals cover what the agreement of the outputs would say on unlimited prompts. They do *not* cover
    whether the models agree because they are right.
    """

    models: tuple[str, ...]
    errors: Floats
    covariance: Floats
    n_prompts: int
    n_effective: float
    confidence_level: float = 0.95

    @property
    def quality(self) -> Floats:
        """(models,) the negative error; high is good."""
        return -self.errors

    @property
    def best(self) -> str:
        """Model with the highest estimated quality; the first of equals."""
        return self.models[int(np.argmin(self.errors))]

    @property
    def standard_errors(self) -> Floats | None:
        """(models,) standard error of each quality; None for a single prompt."""
        if not np.isfinite(self.covariance).all():
            return None
        return np.asarray(np.sqrt(np.maximum(np.diag(self.covariance), 0.0)))

    def intervals(self) -> tuple[Floats, Floats] | None:
        """Lower and upper bounds of every quality, each at `confidence_level`; None for a single prompt."""
        errors = self.standard_errors
        if errors is None:
            return None
        reach = self._quantile() * errors
        return self.quality - reach, self.quality + reach

    def differences(self) -> QualityDifferences | None:
        """Paired differences of all models; None for a single prompt.

        The variance of a difference uses the covariance of the two estimates, which share every prompt.
        """
        if self.standard_errors is None:
            return None
        difference = self.quality[:, None] - self.quality[None, :]
        variances = np.diag(self.covariance)
        variance = variances[:, None] + variances[None, :] - 2.0 * self.covariance
        error = np.sqrt(np.maximum(variance, 0.0))
        np.fill_diagonal(error, 0.0)
        rounding = _ROUNDING * float(np.abs(self.errors).max(initial=0.0))
        difference[np.abs(difference) <= rounding] = 0.0
        reach = self._quantile() * error
        return QualityDifferences(difference, error, difference - reach, difference + reach)

    def best_test(self) -> BestTest | None:
        """Test that the model with the highest estimated quality is above every other one.

        The p-value is the two-sided one of the closest comparison, which is valid although the model was
        selected by the same data (Gutmann and Maymin 1987, "Is the selected population the best?", Ann.
        Statist. 15:456). None for a single prompt.
        """
        paired = self.differences()
        if paired is None:
            return None
        best = int(np.argmin(self.errors))
        others = [j for j in range(len(self.models)) if j != best]
        gaps, errors = paired.difference[best], paired.standard_error[best]
        p_values = {j: self._p_value(gaps[j], errors[j]) for j in others}
        rival = max(others, key=lambda j: (p_values[j], -gaps[j]))
        return BestTest(
            self.models[best],
            self.models[rival],
            float(paired.difference[best, rival]),
            float(paired.low[best, rival]),
            float(paired.high[best, rival]),
            p_values[rival],
            p_values[rival] < 1.0 - self.confidence_level,
        )

    def rank_probabilities(self, *, rng: np.random.Generator, n_draws: int = 10_000) -> Floats | None:
        """Share of draws in which each model takes each rank; (models, ranks), best rank first.

        Draws are normal around the estimates with their covariance, as a bootstrap over prompts would give
        on many prompts. Equal draws share their ranks by chance. None for a single prompt.
        """
        if self.standard_errors is None:
            return None
        m = len(self.models)
        draws = rng.multivariate_normal(self.errors, self.covariance, size=n_draws, method="eigh")
        order = np.lexsort((rng.random(draws.shape), draws), axis=1)
        ranks = np.argsort(order, axis=1)
        counts = np.stack([np.bincount(ranks[:, i], minlength=m) for i in range(m)])
        return np.asarray(counts / n_draws)

    def to_dicts(self) -> list[dict[str, Any]]:
        """One dictionary per model, best first; unknown numbers are None."""
        bounds, errors = self.intervals(), self.standard_errors
        return [
            {
                "model": self.models[i],
                "quality": float(self.quality[i]),
                "low": None if bounds is None else float(bounds[0][i]),
                "high": None if bounds is None else float(bounds[1][i]),
                "standard_error": None if errors is None else float(errors[i]),
                "n_prompts": self.n_prompts,
                "confidence_level": self.confidence_level,
            }
            for i in np.argsort(self.errors, kind="stable")
        ]

    def _quantile(self) -> float:
        from scipy.special import stdtrit

        return float(stdtrit(max(self.n_effective - 1.0, 1.0), 0.5 + self.confidence_level / 2.0))

    def _p_value(self, difference: float, error: float) -> float:
        from scipy.special import stdtr

        if error == 0.0:
            return 1.0 if difference == 0.0 else 0.0
        return float(2.0 * stdtr(max(self.n_effective - 1.0, 1.0), -abs(difference) / error))
