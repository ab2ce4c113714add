"""Estimates of slices from everything that is known: log-probabilities, labels, other models, and when each applies."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from nilometer.arrays import Ints
from nilometer.estimators import (
    Estimate,
    NotEnoughData,
    Responses,
    Sentinel,
    SliceEstimates,
    labelled_accuracies,
    with_labels,
    with_other_models,
)
from nilometer.traces import SliceIndex, index_slices

from .epochs import Epochs, model_epochs
from .overall import overall_accuracy

__all__ = ["Headline", "current_headline", "headline_estimates"]

_UNKNOWN_SHARE = 0.5


class Headline(NamedTuple):
    """One number for every slice, and what it was made of."""

    estimates: SliceEstimates
    """From everything that is known."""
    label_free: SliceEstimates
    """Without the labels of each slice."""
    overall: Estimate | NotEnoughData
    """Of all traffic."""
    responses: Responses
    """With their probabilities."""
    current: Responses
    """Those of the last epoch: the model that answers now."""
    confidence_level: float
    notes: tuple[str, ...] = ()


def headline_estimates(
    sentinel: Sentinel | None,
    responses: Responses,
    *,
    others: Sequence[Sentinel] = (),
    left_out: bool | None = None,
    confidence_level: float = 0.95,
) -> Headline:
    r"""Estimate every slice and all traffic from everything that is known; every verb shows these numbers.

    The label-free estimate of a slice (or that from other models, where it is closer) is combined with the slice's own
    labels. Where no label-free estimate is possible, the labels alone give the number. Labels from before a change
    of the model do not speak for after it: such a slice is estimated in each epoch e by itself, and then

    .. math:: \hat a = \sum_e \frac{n_e}{n} \hat a_e, \qquad \text{low} = \sum_e \frac{n_e}{n} \text{low}_e, \quad
              \text{high} = \sum_e \frac{n_e}{n} \text{high}_e

    which covers at any dependence between the epochs.

    Parameters
    ----------
    sentinel
        Fitted; None where the labels do not allow a fit.
    responses
        With slices, and labels where there are any, drawn at random inside each slice and epoch.
    others
        Fitted sentinels of other models; see ``with_other_models``.
    left_out
        Whether the sentinel may not use labels that it has of the same slices. None means that it may not where the
        responses have labels, which may be the same ones.
    confidence_level
        Where there is no sentinel; else the sentinel's own holds.
    """
    level = confidence_level if sentinel is None else sentinel.confidence_level
    if sentinel is not None:
        responses = responses.with_p_correct(sentinel.predict_left_out(responses))
    alone = responses.n_labels > 0 if left_out is None else left_out
    label_free, said = _label_free(sentinel, responses, others, left_out=alone)
    epochs = model_epochs(responses)
    current = responses if len(epochs) == 1 else responses.rows(epochs.place == len(epochs) - 1)
    split = _split_slices(responses, epochs)
    if not split.size:
        best = with_labels(label_free, responses, confidence_level=level)
        overall = overall_accuracy(best, responses, confidence_level=level)
        return Headline(best, label_free, overall, responses, current, level, tuple(filter(None, (said,))))
    cells = _Cells(responses, epochs, split)
    rows = cells.estimates(sentinel, label_free, left_out=alone, confidence_level=level)
    overall = overall_accuracy(rows, cells.responses, confidence_level=level)
    return Headline(
        SliceEstimates(cells.merged(row, rows) for row in label_free),
        label_free,
        overall,
        responses,
        current,
        level,
        tuple(filter(None, (said, cells.note))),
    )


def current_headline(sentinel: Sentinel | None, headline: Headline, *, others: Sequence[Sentinel] = ()) -> Headline:
    """Return the same numbers for the responses of the model that answers now; plans are about these."""
    if len(headline.current) == len(headline.responses):
        return headline
    level = headline.confidence_level
    found = headline_estimates(sentinel, headline.current, others=others, left_out=True, confidence_level=level)
    said = f"plans are about the {len(headline.current):,} responses of the model that answers now"
    return found._replace(notes=(*headline.notes, said))


def _label_free(
    sentinel: Sentinel | None, responses: Responses, others: Sequence[Sentinel], *, left_out: bool
) -> tuple[SliceEstimates, str]:
    if sentinel is None:
        return SliceEstimates(_unknown(responses)), ""
    estimates = sentinel.estimate(responses, left_out=left_out)
    if not others:
        return estimates, ""
    known = [labelled_accuracies(other) for other in others]
    return with_other_models(estimates, known, confidence_level=sentinel.confidence_level)[:2]


def _unknown(responses: Responses) -> Iterable[NotEnoughData]:
    for name, rows in responses.slices.rows():
        labels = responses.correct[rows]
        known = labels[~np.isnan(labels)]
        yield NotEnoughData(
            slice=name,
            n=len(rows),
            reason="The labels do not allow an estimate from log-probabilities.",
            needed="Label at least 2 of its responses.",
            n_labels=len(known),
            realized_accuracy=float(known.mean()) if known.size else None,
        )


def _split_slices(responses: Responses, epochs: Epochs) -> Ints:
    """Numbers of the slices that have labels and responses of several epochs."""
    if len(epochs) == 1:
        return np.empty(0, dtype=np.int64)
    size = len(responses.slices.names)
    labels = np.bincount(responses.slices.codes[responses.is_labelled], minlength=size)
    pairs = np.unique(responses.slices.codes * len(epochs) + epochs.place) // len(epochs)
    return np.flatnonzero((labels > 0) & (np.bincount(pairs, minlength=size) > 1))


class _Cells:
    """Slices cut into epochs where their labels are not of all their responses."""

    def __init__(self, responses: Responses, epochs: Epochs, split: Ints) -> None:
        index = responses.slices
        place = np.where(np.isin(index.codes, split), epochs.place, len(epochs))
        pairs, codes = np.unique(index.codes * (len(epochs) + 1) + place, return_inverse=True)
        own, at = np.divmod(pairs, len(epochs) + 1)
        names = [f"{i:09d}/{j}" for i, j in zip(own.tolist(), at.tolist(), strict=True)]
        self._of_slice: dict[str, list[str]] = {}
        for name, i in zip(names, own.tolist(), strict=True):
            self._of_slice.setdefault(index.names[i], []).append(name)
        self._epochs, self._all = epochs, responses
        self._numbers = dict(zip(names, at.tolist(), strict=True))
        cells: SliceIndex = index_slices(np.array(names, dtype=object)[codes])
        self.responses = replace(responses, slices=cells, families=cells)

    def estimates(
        self, sentinel: Sentinel | None, label_free: SliceEstimates, *, left_out: bool, confidence_level: float
    ) -> SliceEstimates:
        """Estimate every cell without its labels, then with them."""
        whole = {row.slice: row for row in label_free}
        by_epoch = {} if sentinel is None else self._by_epoch(sentinel, left_out=left_out)
        counts = dict(zip(self.responses.slices.names, self.responses.slices.counts.tolist(), strict=True))
        rows = []
        for name, cells in self._of_slice.items():
            for cell in cells:
                row = by_epoch.get((name, self._numbers[cell]), whole[name])
                row = whole[name] if "cross_model" in getattr(whole[name], "method", "") else row
                rows.append(replace(row, slice=cell, n=counts[cell]))
        return with_labels(rows, self.responses, confidence_level=confidence_level)

    def _by_epoch(self, sentinel: Sentinel, *, left_out: bool) -> dict[tuple[str, int], Estimate | NotEnoughData]:
        found: dict[tuple[str, int], Estimate | NotEnoughData] = {}
        for i in range(len(self._epochs)):
            rows = self._all.rows(self._epochs.place == i)
            found |= {(row.slice, i): row for row in sentinel.estimate(rows, left_out=left_out)}
        return found

    def merged(self, label_free: Estimate | NotEnoughData, rows: SliceEstimates) -> Estimate | NotEnoughData:
        """Put the cells of a slice together."""
        by_cell = {row.slice: row for row in rows}
        cells = [by_cell[name] for name in self._of_slice[label_free.slice]]
        if len(cells) == 1:
            return replace(cells[0], slice=label_free.slice)
        known = [row for row in cells if isinstance(row, Estimate)]
        share = sum(row.n for row in known) / label_free.n
        n_labels, realized = label_free.n_labels, label_free.realized_accuracy
        if share < _UNKNOWN_SHARE:
            return NotEnoughData(
                slice=label_free.slice,
                n=label_free.n,
                reason=f"Its labels speak for {share:.0%} of its responses only, because the model changed.",
                needed=f"Label responses since {self._epochs.since}.",
                n_labels=n_labels,
                realized_accuracy=realized,
            )
        ends = [(row.low, row.high) if isinstance(row, Estimate) else (0.0, 1.0) for row in cells]
        weights = [row.n / label_free.n for row in cells]
        return replace(
            max(known, key=lambda row: row.n),
            slice=label_free.slice,
            n=label_free.n,
            accuracy=sum(row.n * row.accuracy for row in known) / sum(row.n for row in known),
            low=sum(weight * low for weight, (low, _) in zip(weights, ends, strict=True)),
            high=sum(weight * high for weight, (_, high) in zip(weights, ends, strict=True)),
            method=" + ".join(dict.fromkeys(row.method for row in known)),
            n_labels=n_labels,
            realized_accuracy=realized,
            in_support=all(row.in_support for row in known),
            note="; ".join(dict.fromkeys(filter(None, (row.note for row in known)))),
            spread=None,
            degrees=None,
            conformal_low=None,
            conformal_high=None,
        )

    @property
    def note(self) -> str:
        """Say that labels were not taken for all responses, and why."""
        labels = np.bincount(self._epochs.place[self._all.is_labelled], minlength=len(self._epochs))
        last = labels[-1] if len(labels) else 0
        said = "without times the order is not known" if not self._epochs.starts else f"since {self._epochs.since}"
        return (
            f"the model changed ({said}): the {labels.sum() - last:,} labels of before do not speak for the responses "
            f"after it, which have {last:,} labels"
        )
