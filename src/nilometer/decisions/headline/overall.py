"""The accuracy of all traffic from the estimates of its slices and the labels."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Self

import numpy as np

from nilometer.estimators import Estimate, NotEnoughData, Responses, SliceEstimates, stratified_mean

__all__ = ["ALL_TRAFFIC", "TrafficPart", "add_parts", "overall_accuracy"]

ALL_TRAFFIC = "(all traffic)"
_LEAST_LABELS = 2


class TrafficPart(NamedTuple):
    """A share of the traffic and what is known of it; accuracy None where nothing is."""

    share: float
    accuracy: float | None
    low: float
    high: float
    method: str = ""

    @classmethod
    def of(cls, share: float, belief: Estimate | NotEnoughData) -> Self:
        """Take what is believed of a slice; one of which nothing is known may lie anywhere from 0 to 1."""
        if isinstance(belief, Estimate):
            return cls(share, belief.accuracy, belief.low, belief.high, belief.method)
        return cls(share, None, 0.0, 1.0)


def add_parts(
    parts: Sequence[TrafficPart], *, n: int, n_labels: int, confidence_level: float, name: str = ALL_TRAFFIC
) -> Estimate | NotEnoughData:
    """Add accuracies and ends of intervals up by the shares of the traffic, as :func:`overall_accuracy` does.

    Parameters
    ----------
    parts
        Shares sum to 1.
    n, n_labels, confidence_level, name
        Of the estimate that is returned; ``name`` is its slice.

    Returns
    -------
    `NotEnoughData` where nothing is known of any part.

    Examples
    --------
    >>> found = add_parts([TrafficPart(0.8, 0.5, 0.4, 0.6), TrafficPart(0.2, None, 0.0, 1.0)],
    ...                   n=10, n_labels=0, confidence_level=0.95)
    >>> found.accuracy, round(found.low, 2), round(found.high, 2)
    (0.5, 0.32, 0.68)
    """
    known = [part for part in parts if part.accuracy is not None]
    if not known:
        return NotEnoughData(
            slice=name,
            n=n,
            n_labels=n_labels,
            reason="Nothing is known of any slice.",
            needed="Label some responses of every slice.",
        )
    share = sum(part.share for part in known)
    return Estimate(
        slice=name,
        n=n,
        accuracy=sum(part.share * (part.accuracy or 0.0) for part in known) / share,
        low=min(max(sum(part.share * part.low for part in parts), 0.0), 1.0),
        high=min(max(sum(part.share * part.high for part in parts), 0.0), 1.0),
        confidence_level=confidence_level,
        method=_method(known),
        n_labels=n_labels,
    )


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
    return add_parts(parts, n=len(responses), n_labels=responses.n_labels, confidence_level=confidence_level)


def _method(parts: list[TrafficPart]) -> str:
    """Name the kinds of estimates that were added up, so that ``basis_of`` can tell what the sum rests on."""
    return " + ".join(sorted({part.method for part in parts}))


def _parts(estimates: SliceEstimates, responses: Responses, *, confidence_level: float) -> Iterator[TrafficPart]:
    """The labelled slices together, and each other slice."""
    index = responses.slices
    labels = np.bincount(index.codes[responses.is_labelled], minlength=len(index.names))
    labelled = labels >= _LEAST_LABELS
    own = labelled[index.codes]
    if own.any():
        found = stratified_mean(responses.correct[own], index.codes[own], confidence_level=confidence_level)
        yield TrafficPart(float(own.mean()), found.accuracy, found.low, found.high, found.method)
    rows = {row.slice: row for row in estimates}
    for name, size, is_labelled in zip(index.names, index.counts.tolist(), labelled.tolist(), strict=True):
        if not is_labelled:
            share, row = size / len(responses), rows.get(name)
            yield TrafficPart(share, None, 0.0, 1.0) if row is None else TrafficPart.of(share, row)
