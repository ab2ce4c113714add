"""Prediction-powered accuracy of many slices, from sums over their responses."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from nilometer.arrays import Bools, Floats, Ints
from nilometer.traces import SliceIndex

from .ppi import LEAST_FOR_WEIGHT, check_predictions
from .sample import LabelledAccuracy, check_sample, score_intervals, sizes_by_design

__all__ = ["PpiSlices", "ppi_slices"]


class PpiSlices(NamedTuple):
    """What :func:`ppi_mean` finds of every slice, each field of shape (slices,); NaN with fewer than 2 labels."""

    n: Floats
    n_labels: Floats
    realized: Floats
    """Mean of the labels."""
    accuracy: Floats
    """Not cut to [0, 1] yet."""
    variance: Floats
    n_effective: Floats
    df: Floats
    weight: Floats

    def take(self, rows: Sequence[int]) -> "PpiSlices":
        """Return the selected slices."""
        return PpiSlices(*(column[np.asarray(rows, dtype=np.int64)] for column in self))

    def accuracies(self, confidence_levels: Sequence[float]) -> list[LabelledAccuracy]:
        """Give every slice its interval on a level of its own, as ``finish`` does for one."""
        accuracy = np.clip(self.accuracy, 0, 1)
        low, high = score_intervals(accuracy, self.n_effective, df=self.df, levels=np.array(confidence_levels))
        error = np.sqrt(np.maximum(self.variance, 0.0))
        columns = (accuracy, low, high, error, self.n, self.n_labels, self.n_effective, self.weight)
        return [
            LabelledAccuracy(
                accuracy=own_accuracy,
                low=own_low,
                high=own_high,
                standard_error=own_error,
                confidence_level=level,
                n=round(n),
                n_labels=round(n_labels),
                n_effective=effective,
                method="ppi++",
                weight=weight,
            )
            for (own_accuracy, own_low, own_high, own_error, n, n_labels, effective, weight), level in zip(
                zip(*(column.tolist() for column in columns), strict=True), confidence_levels, strict=True
            )
        ]


def ppi_slices(correct: Floats, p_correct: Floats, slices: SliceIndex, *, finite: bool = True) -> PpiSlices:
    """Find for every slice what :func:`ppi_mean` finds for one, with the weight of ``prediction_weight``.

    Parameters
    ----------
    correct
        Shape (n,), labels in [0, 1], NaN where there is none; the labelled ones drawn at random inside each slice.
    p_correct
        Shape (n,), probabilities; one that is not known counts as the mean of its slice, 0.5 where none is known.
    slices
        Slice of each response.
    finite
        Whether the accuracy of just these responses is asked for.

    Raises
    ------
    ValueError
        If a label is outside [0, 1] or a probability infinite.
    """
    known = check_sample(correct, least=0)
    n_slices, codes = len(slices.names), slices.codes
    p = _filled(p_correct, codes, n_slices)
    check_predictions(p, correct)
    labelled = _Moments.of(codes[known], n_slices, x=correct[known], y=p[known])
    every = _Moments.of(codes, n_slices, x=p, y=p)
    unlabelled = every if finite else _Moments.of(codes[~known], n_slices, x=p[~known], y=p[~known])
    n, size = labelled.n, every.n
    with np.errstate(divide="ignore", invalid="ignore"):
        weight = _weights(labelled, every, n_unlabelled=size - n, finite=finite)
        rest = np.where(n == size, every.mean_x, unlabelled.mean_x)
        lost = 1 + (weight != 0)
        variance = _inside(labelled, weight, n - lost)
        if finite:
            variance = (1 - n / size) * variance
        else:
            outside = weight**2 * unlabelled.xx / (unlabelled.n - 1) / unlabelled.n
            variance = variance + np.where((n == size) | (unlabelled.n < 2), 0.0, outside)
        accuracy = weight * rest + labelled.mean_x - weight * labelled.mean_y
        effective = sizes_by_design(labelled.mean_x, variance, n, size=size, finite=finite)
    df = np.where(weight != 0, n - lost, np.inf)
    return PpiSlices(size, n, labelled.mean_x, accuracy, variance, effective, df, weight)


def _inside(labelled: "_Moments", weight: Floats, degrees: Floats) -> Floats:
    """Variance of the mean residual of every slice."""
    squares = labelled.xx - 2 * weight * labelled.xy + weight**2 * labelled.yy
    squares = np.where(labelled.is_constant_x & (weight == 0), 0.0, np.maximum(squares, 0.0))
    return np.asarray(squares / np.maximum(degrees, 1) / labelled.n)


class _Moments(NamedTuple):
    """Numbers, means and centred sums of two columns in every slice, each of shape (slices,)."""

    n: Floats
    mean_x: Floats
    mean_y: Floats
    xx: Floats
    xy: Floats
    yy: Floats
    is_constant_x: Bools
    is_constant_y: Bools

    @classmethod
    def of(cls, codes: Ints, n_slices: int, *, x: Floats, y: Floats) -> "_Moments":
        n = np.bincount(codes, minlength=n_slices).astype(np.float64)
        some = np.maximum(n, 1)
        mean_x, mean_y = (np.where(n > 0, np.bincount(codes, one, n_slices) / some, np.nan) for one in (x, y))
        a, b = x - mean_x[codes], y - mean_y[codes]
        xx, xy, yy = (np.bincount(codes, one, n_slices).astype(np.float64) for one in (a * a, a * b, b * b))
        constant = (_is_constant(codes, n_slices, one) for one in (x, y))
        return cls(n, mean_x, mean_y, xx, xy, yy, *constant)


def _is_constant(codes: Ints, n_slices: int, values: Floats) -> Bools:
    """Which slices have one value only."""
    first = np.zeros(n_slices)
    first[codes[::-1]] = values[::-1]
    return np.asarray(np.bincount(codes, values != first[codes], n_slices) == 0)


def _filled(p_correct: Floats, codes: Ints, n_slices: int) -> Floats:
    given = ~np.isnan(p_correct)
    if given.all():
        return p_correct
    counts = np.bincount(codes[given], minlength=n_slices)
    means = np.bincount(codes[given], p_correct[given], n_slices) / np.maximum(counts, 1)
    return np.where(given, p_correct, np.where(counts > 0, means, 0.5)[codes])


def _weights(labelled: _Moments, every: _Moments, *, n_unlabelled: Floats, finite: bool) -> Floats:
    """Weight of the predictions in every slice, see ``prediction_weight``."""
    n = labelled.n
    unknown = (n < LEAST_FOR_WEIGHT) | labelled.is_constant_x | labelled.is_constant_y
    correlation = np.abs(labelled.xy) / np.sqrt(labelled.xx * labelled.yy)
    unknown |= correlation < 1 / np.sqrt(np.maximum(n - 2, 1))
    apart = np.where((n_unlabelled == 0) | finite, 1.0, 1 + n / np.maximum(n_unlabelled, 1))
    covariance, variance = labelled.xy / (n - 1), every.xx / (every.n - 1)
    return np.where(unknown, 0.0, np.clip(covariance / (variance * apart), 0, 1))
