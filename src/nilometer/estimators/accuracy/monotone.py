"""A logistic regression of correctness that is monotone in every feature whose direction is known."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nilometer.signals import FEATURES

__all__ = ["Monotone", "fit_monotone", "log_scale", "predict_monotone"]

Floats = NDArray[np.float64]

_SMALLEST = 1e-4
_PENALTY = 5.0


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
    logit shrunk by as much, what can be negative :math:`\operatorname{arsinh} x`.

    Examples
    --------
    >>> log_scale(np.array([[1.0]]), ("nll_sum",)).round(3).tolist()
    [[0.0]]
    """
    columns = []
    for column, name in zip(values.T, names, strict=True):
        feature = FEATURES[name]
        if feature.low < 0 or feature.unit == "log tokens":
            columns.append(np.arcsinh(column))
            continue
        upper = np.log(1 - column + _SMALLEST) if feature.high == 1 and feature.sign > 0 else 0.0
        columns.append(np.log(column + _SMALLEST) - upper)
    return np.stack(columns, axis=1)


def fit_monotone(
    X: Floats, correct: Floats, *, signs: NDArray[np.int64], weights: Floats, penalty: float = _PENALTY
) -> Monotone:
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
    Byrd, Lu, Nocedal and Zhu (1995), "A limited memory algorithm for bound constrained optimization".

    Examples
    --------
    >>> x = np.linspace(-2, 2, 100)[:, None]
    >>> against = fit_monotone(x, (x[:, 0] < 0) * 1.0, signs=np.array([1]), weights=np.ones(100))
    >>> float(against.slopes[0])
    0.0
    """
    from scipy.optimize import minimize
    from scipy.special import expit

    if X.size == 0 or np.isnan(X).any():
        raise ValueError(f"`X` must hold at least one row and no NaN, got shape {X.shape}.")
    centre, scale = X.mean(axis=0), X.std(axis=0)
    scale = np.where(scale > 0, scale, 1.0)
    Z = (X - centre) / scale

    def loss(theta: Floats) -> tuple[float, Floats]:
        score = Z @ theta[1:] + theta[0]
        slope = weights * (expit(score) - correct)
        value = float(weights @ (np.logaddexp(0, score) - correct * score)) + penalty / 2 * float(theta[1:] @ theta[1:])
        return value, np.concatenate([[slope.sum()], Z.T @ slope + penalty * theta[1:]])

    bounds = [(None, None), *((0 if s > 0 else None, 0 if s < 0 else None) for s in signs)]
    theta = minimize(loss, np.zeros(len(bounds)), jac=True, method="L-BFGS-B", bounds=bounds).x
    return Monotone(centre, scale, theta[1:], float(theta[0]))


def predict_monotone(model: Monotone, X: Floats) -> Floats:
    """Probability of a correct answer for each row, shape (n,)."""
    from scipy.special import expit

    return np.asarray(expit((X - model.centre) / model.scale @ model.slopes + model.intercept))
