"""The accuracy of all traffic from the estimates of its slices and the labels."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from nilometer.estimators import Estimate, NotEnoughData, Responses, SliceEstimates, stratified_mean

__all__ = ["ALL_TRAFFIC", "overall_accuracy"]

ALL_TRAFFIC = "(all traffic)"
_LEAST_LABELS = 2


class _Part(NamedTuple):
    """A share of the traffic and what is known of it; accuracy None where nothing is."""

    share: float
    accuracy: float | None
    low: float
    high: float
    method: str = ""


def overall_accuracy(
    estimates: SliceEstimates, responses: Responses, *, confidence_level: float = 0.95
) -> Estimate | NotEnoughData:
    r"""Accuracy of all responses together, in [0, 1], with an interval.

    .. math:: \hat a = \frac{\sum_g w_g \hat a_g}{\sum_g w_g}, \qquad
              \text{low} = \sum_g w_g\, \text{low}_g, \quad \text{high} = \sum_g w_g\, \text{high}_g

    The slices with two labels or more are one part g, whose accuracy is the stratified mean of their labels; every
    other slice is a part with its own estimate; :math:`w_g` is the share of the responses. Errors of label-free
    estimates may all point the same way, so the ends are added up, which covers at any dependence between the parts.
    A slice of which nothing is known widens the interval by its share, from accuracy 0 to accuracy 1.

    Parameters
    ----------
    estimates
        The best estimate of every slice.
    responses
        With slices and labels, which were drawn at random inside each slice.
    confidence_level
        In (0, 1).

    Returns
    -------
    `NotEnoughData` where nothing is known of any slice.

    References
    ----------
    Cochran (1977), "Sampling Techniques", ch. 5, for the stratified mean.

    Examples
    --------
    >>> import pyarrow as pa
    >>> from nilometer.estimators import as_responses
    >>> correct = np.tile([1.0, 0.0, 1.0, np.nan, np.nan], 20)
    >>> responses = as_responses(pa.table({"max": np.ones(100)}), np.repeat(["a", "b"], 50), correct=correct)
    >>> found = overall_accuracy(SliceEstimates([]), responses)
    >>> found.n_labels, round(found.accuracy, 2), found.low < 0.6 < found.high
    (60, 0.67, True)
    """
    parts = list(_parts(estimates, responses, confidence_level=confidence_level))
    known = [part for part in parts if part.accuracy is not None]
    share = sum(part.share for part in known)
    n, n_labels = len(responses), responses.n_labels
    if not known:
        return NotEnoughData(
            slice=ALL_TRAFFIC,
            n=n,
            n_labels=n_labels,
            reason="Nothing is known of any slice.",
            needed="Label some responses of every slice.",
        )
    return Estimate(
        slice=ALL_TRAFFIC,
        n=n,
        accuracy=sum(part.share * (part.accuracy or 0.0) for part in known) / share,
        low=min(max(sum(part.share * part.low for part in parts), 0.0), 1.0),
        high=min(max(sum(part.share * part.high for part in parts), 0.0), 1.0),
        confidence_level=confidence_level,
        method=_method(known),
        n_labels=n_labels,
    )


def _method(parts: list[_Part]) -> str:
    """Name the kinds of estimates that were added up, so that ``basis_of`` can tell what the sum rests on."""
    return " + ".join(sorted({part.method for part in parts}))


def _parts(estimates: SliceEstimates, responses: Responses, *, confidence_level: float) -> Iterator[_Part]:
    """The labelled slices together, and each other slice."""
    index = responses.slices
    labels = np.bincount(index.codes[responses.is_labelled], minlength=len(index.names))
    labelled = labels >= _LEAST_LABELS
    own = labelled[index.codes]
    if own.any():
        found = stratified_mean(responses.correct[own], index.codes[own], confidence_level=confidence_level)
        yield _Part(float(own.mean()), found.accuracy, found.low, found.high, found.method)
    rows = {row.slice: row for row in estimates}
    for name, size, is_labelled in zip(index.names, index.counts.tolist(), labelled.tolist(), strict=True):
        row = rows.get(name)
        if is_labelled:
            continue
        if isinstance(row, Estimate):
            yield _Part(size / len(responses), row.accuracy, row.low, row.high, row.method)
        else:
            yield _Part(size / len(responses), None, 0.0, 1.0)
