"""Stretches of traffic that one model answered: labels of one stretch say nothing about the next."""

from typing import NamedTuple

import numpy as np

from nilometer.arrays import Ints, Times
from nilometer.estimators import Responses
from nilometer.traces import slice_index

__all__ = ["Epochs", "model_epochs"]

_USUAL = (0.05, 0.95)
"""A model answered between these quantiles of the times of its responses; what is outside is a roll-out."""
_MOST = 12
_LEAST_SHARE = 0.01


class Epochs(NamedTuple):
    """The epoch of each of n responses, oldest first."""

    place: Ints
    """Shape (n,)."""
    names: tuple[str, ...]
    """Models and fingerprints of each epoch."""
    starts: tuple[str, ...] = ()
    """Day of the first response of each epoch; empty without times."""

    def __len__(self) -> int:
        return len(self.names)

    @property
    def since(self) -> str:
        """Say when the last epoch began, or with which model it is."""
        return f"{self.starts[-1]} ({self.names[-1]})" if self.starts else self.names[-1]


def model_epochs(responses: Responses) -> Epochs:
    """Cut traffic where the model behind it was changed.

    A model is a ``model_fingerprint``, or a ``model`` where there is none. Each one answered from the 5 % to the 95 %
    quantile of the times of its responses; models whose stretches overlap served together and are one epoch, as
    with several servers behind one address. Without times those that have labels are one epoch and the others another.

    Examples
    --------
    >>> import pyarrow as pa
    >>> from nilometer.estimators import cut_responses
    >>> days = np.datetime64("2026-01-01", "us") + np.arange(40) * np.timedelta64(1, "D")
    >>> names = ["old"] * 30 + ["new"] * 10
    >>> found = model_epochs(
    ...     cut_responses(pa.table({"max": np.ones(40), "time": days, "model": names}), ["model"])
    ... )
    >>> found.names, found.starts
    (('old', 'new'), ('2026-01-01', '2026-01-31'))
    """
    key = _key(responses)
    if key is None:
        return Epochs(np.zeros(len(responses), dtype=np.int64), ("all",))
    index = slice_index(responses.context, [key])
    if len(index.names) < 2:
        return Epochs(np.zeros(len(responses), dtype=np.int64), index.names)
    times = responses.times
    if np.isnat(times).any():
        return _by_labels(responses, index.codes, index.names)
    numbers = times.astype(np.int64)
    ends = np.array([np.quantile(numbers[rows], _USUAL) for _, rows in index.rows()])
    order = np.argsort(ends[:, 0], kind="stable")
    latest = np.maximum.accumulate(ends[order, 1])
    starts_new = np.r_[False, ends[order, 0][1:] > latest[:-1]]
    epoch_of = np.empty(len(order), dtype=np.int64)
    epoch_of[order] = np.cumsum(starts_new)
    return _named(epoch_of, index.codes, index.names, days=times.astype("datetime64[D]"))


def _key(responses: Responses) -> str | None:
    table = responses.context
    if table is None:
        return None
    names = (name for name in ("model_fingerprint", "model") if name in table.column_names)
    return next((name for name in names if table[name].null_count < len(table)), None)


def _by_labels(responses: Responses, codes: Ints, names: tuple[str, ...]) -> Epochs:
    labels = np.bincount(codes[responses.is_labelled], minlength=len(names))
    if not responses.n_labels or (labels > 0).all():
        return Epochs(np.zeros(len(codes), dtype=np.int64), (", ".join(names[:3]),))
    return _named((labels == 0).astype(np.int64), codes, names)


def _named(
    epoch_of: Ints,
    codes: Ints,
    names: tuple[str, ...],
    *,
    days: Times | None = None,
) -> Epochs:
    place, n = epoch_of[codes], int(epoch_of.max()) + 1
    shares = np.bincount(place, minlength=n) / len(place)
    if n > _MOST or n == 1 or (shares >= _LEAST_SHARE).sum() < 2:
        return Epochs(np.zeros(len(codes), dtype=np.int64), (", ".join(names[:3]),))
    said = tuple(", ".join(name for name, at in zip(names, epoch_of, strict=True) if at == i) for i in range(n))
    starts = () if days is None else tuple(str(days[place == i].min()) for i in range(n))
    return Epochs(place, said, starts)
