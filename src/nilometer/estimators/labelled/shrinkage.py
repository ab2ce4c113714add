"""Many slices at once: labelled accuracies shrunk towards their predictions, as strongly as the data supports."""

from typing import NamedTuple

import numpy as np

from nilometer.arrays import Float, Floats

__all__ = ["ShrunkAccuracies", "shrink_accuracies"]


class ShrunkAccuracies(NamedTuple):
    """Accuracies of m slices after shrinkage."""

    accuracy: Floats
    """Shape (m,), in [0, 1]."""
    own_weight: Floats
    """Shape (m,), weight of the slice's own labels."""
    between: float
    """Variance of the accuracies around the predictions that minimises the estimated risk."""


def shrink_accuracies(
    labelled: Float[Floats, " slices"], variances: Float[Floats, " slices"], predicted: Float[Floats, " slices"]
) -> ShrunkAccuracies:
    r"""Shrink the labelled accuracy of each slice towards its prediction (prediction-powered adaptive shrinkage).

    .. math:: \hat a_j = w_j x_j + (1 - w_j) z_j, \qquad w_j = \omega / (\omega + \sigma_j^2)

    with the labelled accuracy x, its variance :math:`\sigma^2` and the prediction z. The one number
    :math:`\omega` minimises Stein's unbiased estimate of the total squared error,

    .. math:: \sum_j \big[ (2 w_j - 1)\, \sigma_j^2 + (1 - w_j)^2 (x_j - z_j)^2 \big] .

    Bad predictions make :math:`\omega` large and change nothing; good ones make it small. The squared error
    summed over slices falls, that of a single slice may rise.

    Differs from [Li]: the predictions of all responses of a slice are known, so they do not vary with the
    labels and the covariance term of the estimated risk is 0.

    Parameters
    ----------
    labelled
        Shape (m,), from ``labelled_mean`` or ``ppi_mean``.
    variances
        Shape (m,), their squared standard errors, > 0.
    predicted
        Shape (m,), label-free estimates.

    References
    ----------
    [Li] Li and Ignatiadis (2025), "Prediction-Powered Adaptive Shrinkage Estimation", arXiv 2502.14166, sec. 4.

    Examples
    --------
    >>> shrunk = shrink_accuracies(np.array([0.9, 0.1]), np.array([0.01, 0.01]), np.array([0.85, 0.15]))
    >>> shrunk.accuracy.round(2).tolist()
    [0.85, 0.15]
    """
    if not (variances > 0).all():
        raise ValueError(f"`variances` must be > 0, got {float(variances.min()):g}.")
    apart = (labelled - predicted) ** 2

    def risk(omega: Floats) -> Floats:
        own = omega[:, None] / (omega[:, None] + variances)
        return np.asarray(((2 * own - 1) * variances + (1 - own) ** 2 * apart).sum(axis=1))

    grid = np.concatenate([[0.0], np.geomspace(float(variances.min()) * 1e-3, float(variances.max()) * 1e4, 400)])
    best = float(grid[int(np.argmin(risk(grid)))])
    near = np.linspace(best * 0.95, best * 1.05, 101)
    best = float(near[int(np.argmin(risk(near)))])
    own = best / (best + variances)
    accuracy = np.clip(own * labelled + (1 - own) * predicted, 0, 1)
    return ShrunkAccuracies(accuracy, own, best)
