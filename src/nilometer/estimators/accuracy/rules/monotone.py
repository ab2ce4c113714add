"""A logistic regression of correctness that is monotone in every feature whose direction is known."""

from typing import NamedTuple

import numpy as np

from nilometer.arrays import Float, Floats, Ints
from nilometer.signals import feature_named

from ...profiles import is_own_name

__all__ = ["Monotone", "fit_monotone", "log_scale", "predict_monotone"]


_SMALLEST = 1e-4
_PENALTY = 5.0
_PRECISION = 1e-10
"""Largest gradient at the minimum, per response."""
_LEAST_CURVATURE = 1e-9
"""Added to the Hessian, which has none in the intercept where all answers are right."""
_MOST_STEPS, _MOST_HALVINGS = 100, 40


class Monotone(NamedTuple):
    """A fitted monotone logistic regression."""

    centre: Floats
    """Shape (features,), means of the labelled features."""
    scale: Floats
    """Shape (features,), their standard deviations."""
    slopes: Floats
    """Shape (features,), never of the wrong sign where the sign is known."""
    intercept: float


def log_scale(values: Floats, names: tuple[str, ...]) -> Floats:
    r"""Put features on a scale on which the log-odds of a correct answer are nearly linear.

    Entropies, log-probabilities and counts become :math:`\log(x + 10^{-4})`, shares and probabilities the
    logit shrunk by as much, what can be negative :math:`\operatorname{arsinh} x`. Agreement with another model stays
    as it is: it is mostly 0 or 1. Features of one's own, whose range is not known, become arsinh, too.

    Examples
    --------
    >>> log_scale(np.array([[1.0]]), ("nll_sum",)).round(3).tolist()
    [[0.0]]
    """
    columns = []
    for column, name in zip(values.T, names, strict=True):
        if is_own_name(name):
            columns.append(np.arcsinh(column))
            continue
        feature = feature_named(name)
        if feature.unit == "agreement":
            columns.append(column)
            continue
        if feature.low < 0 or feature.unit == "log tokens":
            columns.append(np.arcsinh(column))
            continue
        upper = np.log(1 - column + _SMALLEST) if feature.high == 1 and feature.sign > 0 else 0.0
        columns.append(np.log(column + _SMALLEST) - upper)
    return np.stack(columns, axis=1)


def fit_monotone(X: Floats, correct: Floats, *, signs: Ints, weights: Floats, penalty: float = _PENALTY) -> Monotone:
    r"""Fit P(correct | x) = logistic(b + w·z) with every slope on its known side of zero.

    With z the standardised features, :math:`\sigma` the logistic function and :math:`s_j` the signs, minimises

    .. math:: \sum_i \omega_i \,\ell\big(y_i, \sigma(b + w \cdot z_i)\big) + \tfrac{\lambda}{2} \lVert w \rVert^2,
        \quad s_j w_j \ge 0 \text{ where } s_j \ne 0

    Where a feature turns against its known direction in some domains, a free slope would carry that to others;
    a bounded one becomes zero.

    Parameters
    ----------
    X
        Shape (n, features), without NaN.
    correct
        Shape (n,), labels in [0, 1].
    signs
        Shape (features,), +1, -1, or 0 where the direction is not known.
    weights
        Shape (n,), weight of every response.
    penalty
        Strength of the ridge penalty, in responses.

    Raises
    ------
    ValueError
        If nothing is given or a value is NaN.

    References
    ----------
    Bertsekas (1982), "Projected Newton Methods for Optimization Problems with Simple Constraints".

    Examples
    --------
    >>> x = np.linspace(-2, 2, 100)[:, None]
    >>> against = fit_monotone(x, (x[:, 0] < 0) * 1.0, signs=np.array([1]), weights=np.ones(100))
    >>> float(against.slopes[0])
    0.0
    """
    if X.size == 0 or np.isnan(X).any():
        raise ValueError(f"`X` must hold at least one row and no NaN, got shape {X.shape}.")
    centre, scale = X.mean(axis=0), X.std(axis=0)
    scale = np.where(scale > 0, scale, 1.0)
    Z = np.column_stack([np.ones(len(X)), (X - centre) / scale])
    problem = _Problem(Z, correct, weights, np.concatenate([[0.0], np.full(X.shape[1], penalty)]))
    theta = _newton(problem, np.concatenate([[0], signs]))
    return Monotone(centre, scale, theta[1:], float(theta[0]))


class _Problem(NamedTuple):
    """A penalised logistic regression."""

    Z: Floats
    """Shape (n, 1 + features), ones first."""
    correct: Floats
    weights: Floats
    penalty: Floats
    """Shape (1 + features,)."""

    def at(self, theta: Floats) -> tuple[float, Floats]:
        """Loss, and the probability of every row, which the slopes need again.

        Written with the exponential of minus the distance to zero, which never overflows and takes a third of the time
        of ``logaddexp`` and ``expit``.
        """
        score = self.Z @ theta
        small = np.exp(-np.abs(score))
        positive = score > 0
        softplus = np.where(positive, score, 0.0) + np.log(1 + small)
        loss = float(self.weights @ (softplus - self.correct * score) + self.penalty @ theta**2 / 2)
        return loss, np.where(positive, 1.0, small) / (1 + small)

    def slopes(self, theta: Floats, p: Floats) -> tuple[Floats, Floats]:
        """Gradient and Hessian where the rows have these probabilities."""
        gradient = self.Z.T @ (self.weights * (p - self.correct)) + self.penalty * theta
        curved = self.Z * (self.weights * p * (1 - p))[:, None]
        return gradient, self.Z.T @ curved + np.diag(self.penalty)


def _newton(problem: _Problem, signs: Ints) -> Floats:
    """Minimise by Newton's method on the slopes that are free to move, projected on their side of zero.

    A step that does not lower the loss is halved. The loss is convex, so this is the minimum.
    """
    theta = np.zeros(len(signs))
    value, p = problem.at(theta)
    enough = _PRECISION * float(problem.weights.sum())
    for _ in range(_MOST_STEPS):
        gradient, hessian = problem.slopes(theta, p)
        free = (signs == 0) | (theta != 0) | (signs * gradient < 0)
        if np.abs(gradient[free]).max() <= enough:
            break
        step = np.zeros_like(theta)
        inside = hessian[np.ix_(free, free)]
        step[free] = np.linalg.solve(inside + np.diag(np.full(len(inside), _LEAST_CURVATURE)), gradient[free])
        for halving in range(_MOST_HALVINGS):
            moved = theta - step / 2**halving
            moved = np.where(signs * moved < 0, 0.0, moved)
            lower, found = problem.at(moved)
            if lower < value:
                break
        else:
            break
        theta, value, p = moved, lower, found
    return theta


def predict_monotone(model: Monotone, X: Float[Floats, "rows features"]) -> Float[Floats, " rows"]:
    """Probability of a correct answer for each row, shape (n,)."""
    from scipy.special import expit

    return np.asarray(expit((X - model.centre) / model.scale @ model.slopes + model.intercept))
