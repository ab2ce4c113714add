"""How likely a hypothesis that was given up early is better than the winner after all."""

from typing import NamedTuple

import numpy as np

from nilometer.arrays import Bool, Bools, Float, Floats

__all__ = ["Surpluses", "posterior_surpluses"]


MAX_STEPS = 200
TINY = 1e-300


class Surpluses(NamedTuple):
    """How much better than the winner each other hypothesis is: a normal posterior."""

    means: Floats
    """(hypotheses,)."""
    deviations: Floats
    """(hypotheses,)."""

    def chance_above(self, surplus: float) -> Floats:
        """Probability of each to be better than the winner by more than ``surplus``."""
        from scipy.special import ndtr

        return np.asarray(ndtr((self.means - surplus) / np.maximum(self.deviations, TINY)))

    def bound(self, error: float) -> float:
        """Smallest surplus that any of them passes with a probability of at most ``error``, by the union bound."""
        low, high = 0.0, float(np.max(self.means + 40 * self.deviations, initial=0.0))
        if self.chance_above(0.0).sum() <= error:
            return 0.0
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if self.chance_above(middle).sum() > error else (low, middle)
        return high


class _Effects(NamedTuple):
    """Additive model of the scores."""

    residuals: Floats
    """(hypotheses, references): score minus the effect of the reference; 0 where not asked."""
    means: Floats
    """(hypotheses,): posterior mean of the hypothesis's effect."""
    between: float
    """Variance of the hypotheses' effects."""
    within: float
    """Variance of what is left."""


def posterior_surpluses(scores: list[Floats], weights: Floats) -> Surpluses:
    r"""Surplus in expected utility of all hypotheses but the first over the first, from the scores asked for.

    Model: ``u_ij = a_i + b_j + ε_ij`` with ``a_i ~ N(0, τ²)``, ``ε_ij ~ N(0, σ²)`` and any ``b_j``; τ², σ² and b by
    EM. Who met how many references was decided by scores that are in the data, so the posterior need not know of it:
    the luck of a winner is shrunk away. The expected utility of i adds what its k_i scores say and what the effect
    predicts for the rest, with

    .. math:: \operatorname{Var} = \Big(\sum_{j > k_i} w_j\Big)^2 \frac{\tau^2 \sigma^2}{k_i \tau^2 + \sigma^2}
              + \sigma^2 \sum_{j > k_i} w_j^2

    Parameters
    ----------
    scores
        For each hypothesis, its scores against the first k_i references, k_i at least 1; the winner first.
    weights
        (references,) in the order in which they were met; sum 1.

    References
    ----------
    Efron and Morris (1975), "Data Analysis Using Stein's Estimator", JASA 70. Rubin (1976), "Inference and Missing
    Data", Biometrika 63, for why selection by what was seen can be left out.

    Examples
    --------
    >>> met = [np.array([0.9, 0.8, 1.0, 0.9]), np.array([0.8, 0.9]), np.array([0.1, 0.0])]
    >>> posterior_surpluses(met, np.full(10, 0.1)).chance_above(0.0).round(2)
    array([0.5, 0. ])
    """
    counts = np.array([len(row) for row in scores])
    seen = np.arange(counts.max()) < counts[:, None]
    table = np.zeros(seen.shape)
    table[seen] = np.concatenate(scores)
    found = _fit(table, seen)
    w = np.where(seen, weights[: seen.shape[1]], 0.0)
    rest = 1.0 - w.sum(axis=1)
    rest_squares = float(weights @ weights) - np.square(w).sum(axis=1)
    means = (w * found.residuals).sum(axis=1) + rest * found.means
    spread = found.between * found.within / np.maximum(counts * found.between + found.within, TINY)
    variances = np.maximum(rest, 0.0) ** 2 * spread + found.within * np.maximum(rest_squares, 0.0)
    return Surpluses(means[1:] - means[0], np.sqrt(variances[1:] + variances[0]))


def _fit(table: Float[Floats, "h r"], seen: Bool[Bools, "h r"]) -> _Effects:
    """Additive model with random effects of the rows, by EM."""
    counts, columns = seen.sum(axis=1), seen.sum(axis=0)
    references = (table * seen).sum(axis=0) / columns
    residuals = (table - references) * seen
    freedom = max(int(seen.sum()) - seen.shape[1], 1)
    within = float(np.square(residuals).sum()) / freedom
    between, means = within, np.zeros(len(table))
    for _ in range(MAX_STEPS):
        before = between
        shrink = counts * between / np.maximum(counts * between + within, TINY)
        means = shrink * residuals.sum(axis=1) / counts
        spread = between * (1 - shrink)
        references = ((table - means[:, None]) * seen).sum(axis=0) / columns
        residuals = (table - references) * seen
        between = float(np.mean(np.square(means) + spread))
        left = (residuals - means[:, None]) * seen
        within = (float(np.square(left).sum()) + float(counts @ spread)) / freedom
        if abs(between - before) <= 1e-6 * before:
            break
    return _Effects(residuals, means, between, within)
