"""Scores and preferences of a model that judges: the mean of what it would say, with an error bar."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import t as student

from nilometer.errors import ConfigError
from nilometer.estimators import Posterior

__all__ = ["JudgeScore", "Preference", "judge_score", "lower_tail_mean", "prefer"]


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeScore:
    """A judge's score of one answer, in the unit of the scale."""

    score: float
    """Posterior mean: what the judge would say on average."""
    low: float
    high: float
    """Error bar of the mean: what missing probability and the number of samples leave open."""
    sd: float
    """How much single scores of the judge vary."""
    mode: float
    """The most frequent score."""
    lower_tail: float
    """Mean of the lowest tenth: a score for those who fear being wrong."""
    missing_mass: float
    n_samples: int | None
    n_failures: int


def judge_score(posterior: Posterior, *, confidence_level: float = 0.95) -> JudgeScore:
    """Return a judge's score as the posterior mean with an error bar.

    With log-probabilities the bar spans all ways to place the missing mass (``Posterior.mean_bounds``). With draws, it
    adds Student's t interval of the mean, from the effective number of draws; a single draw leaves the whole scale
    open, where there is one. The bar says how well the judge's opinion is known, not whether it is right.

    Parameters
    ----------
    posterior
        Of numbers.
    confidence_level
        Of the part that comes from sampling.

    Raises
    ------
    ConfigError
        If the answers are not numbers, or one draw without a scale is all there is.

    References
    ----------
    Wang, Zhang and Choi (2025), arXiv 2503.03064: the mean beats the mode in most settings.

    Examples
    --------
    >>> posterior = Posterior.from_label_logprobs({4: -0.4, 5: -1.2}, labels=range(1, 6), smallest_listed=0.001)
    >>> score = judge_score(posterior)
    >>> round(score.score, 2), round(score.low, 2), round(score.high, 2), score.mode
    (4.31, 4.3, 4.31, 4.0)
    """
    if posterior.kind != "number":
        raise ConfigError(
            f"a judge's scores must be numbers, got {posterior.values[0]!r}. Read them with `parse_number`."
        )
    if not 0 < confidence_level < 1:
        raise ValueError(f"`confidence_level` must lie in (0, 1), got {confidence_level:g}.")
    mean = posterior.mean
    low, high = posterior.mean_bounds()
    half = _half_width(posterior, confidence_level)
    if half is None:
        scale = [float(label) for label in posterior.labels or ()]
        if not scale:
            raise ConfigError("one sample has no error bar. Draw more, or give the scale (`labels`).")
        low, high = min(scale), max(scale)
    else:
        low, high = low - half, high + half
    heaviest = int(np.argmax(posterior.weights >= posterior.weights.max() - 1e-12))
    return JudgeScore(
        score=mean,
        low=low,
        high=high,
        sd=posterior.sd,
        mode=float(posterior.values[heaviest]),
        lower_tail=lower_tail_mean(posterior, 0.1),
        missing_mass=posterior.missing_mass,
        n_samples=posterior.n_samples,
        n_failures=posterior.n_failures,
    )


def lower_tail_mean(posterior: Posterior, share: float) -> float:
    """Return the mean of the lowest ``share`` of a posterior of numbers (its conditional value at risk)."""
    reached = np.minimum(np.cumsum(posterior.weights), share)
    return float(posterior.numbers @ np.diff(reached, prepend=0.0) / share)


def _half_width(posterior: Posterior, confidence_level: float) -> float | None:
    """Half of Student's interval of the mean; 0 without draws, None with a single one."""
    if posterior.n_samples is None:
        return 0.0
    n = posterior.n_effective or 1.0
    if n <= 1 + 1e-9:
        return None
    error = posterior.sd / np.sqrt(n - 1)
    return float(student.ppf((1 + confidence_level) / 2, n - 1) * error)


@dataclass(frozen=True, slots=True, kw_only=True)
class Preference:
    """Which of two answers a judge prefers, asked in both orders."""

    p_first: float
    """Probability, in [0, 1], that the judge prefers the first answer, free of the pull of position."""
    position_bias: float
    """How much more, in [-0.5, 0.5], the judge picks whatever stands first; 0 is fair."""
    is_consistent: bool
    """Whether both orders prefer the same answer."""
    missing_mass: float
    """The larger of the two."""


def prefer(first_shown: Posterior, second_shown: Posterior, *, slots: tuple[Any, Any] = ("A", "B")) -> Preference:
    """Return a judge's preference between two answers from the two orders of showing them.

    The mean of P(slot A) with the first answer in slot A and P(slot B) with it in slot B; any other label is a tie and
    counts half to each side.

    Parameters
    ----------
    first_shown
        Over the labels of the slots, with the first answer in slot A.
    second_shown
        With the two answers swapped.
    slots
        Labels of the first and of the second place.

    Examples
    --------
    >>> kept = Posterior.from_label_logprobs({"A": np.log(0.8), "B": np.log(0.2)})
    >>> swapped = Posterior.from_label_logprobs({"A": np.log(0.6), "B": np.log(0.4)})
    >>> preference = prefer(kept, swapped)
    >>> round(preference.p_first, 2), round(preference.position_bias, 2), preference.is_consistent
    (0.6, 0.2, False)
    """
    shares = [_share(posterior, slots) for posterior in (first_shown, second_shown)]
    p_first = (shares[0] + 1 - shares[1]) / 2
    return Preference(
        p_first=p_first,
        position_bias=(shares[0] + shares[1]) / 2 - 0.5,
        is_consistent=(shares[0] - 0.5) * (0.5 - shares[1]) > 0,
        missing_mass=max(first_shown.missing_mass, second_shown.missing_mass),
    )


def _share(posterior: Posterior, slots: tuple[Any, Any]) -> float:
    """Probability of the first slot, ties counted half."""
    held = dict(zip(posterior.values, posterior.weights.tolist(), strict=True))
    if slots[0] not in held and slots[1] not in held:
        raise ConfigError(f"the posterior must hold {slots[0]!r} or {slots[1]!r}, got {posterior.values[:3]}.")
    first, second = held.get(slots[0], 0.0), held.get(slots[1], 0.0)
    return float(first + (1 - first - second) / 2)
