"""Fitting the sentinel again on the labels of a store, and never taking a worse one without a word."""

import json
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.dataset as pads

from nilometer.errors import IncompatibleModelError, NotEnoughDataError
from nilometer.estimators import Estimate, Sentinel, save_sentinel

from ..store import Store
from ..store.database import transaction
from ..store.slicing import ALL

__all__ = ["PREVIOUS", "SENTINEL", "Refit", "Refitter", "keep_sentinel", "labelled_profiles", "refit"]

SENTINEL = "sentinel.parquet"
PREVIOUS = "sentinel-previous.parquet"
"""The sentinel before, whose estimates are shown until the new one has scored what is stored."""
_LEAST_LABELS = 10
"""Labels of a slice from which its accuracy is something to compare with."""
_DAY = 86_400


class Refit(NamedTuple):
    """What fitting again came to."""

    n_labels: int
    n_slices: int
    """Slices with enough labels, estimated by both, each as if it had none."""
    error_before: float | None
    """Mean absolute error of their accuracies by the sentinel in use; None without one, or where it cannot judge."""
    error_after: float | None
    """The same by the new one."""
    is_replaced: bool
    reason: str
    """In words."""


def keep_sentinel(folder: Path, given: Path) -> None:
    """Copy a sentinel into a store's folder; the one that it replaces becomes the previous one."""
    kept = folder / SENTINEL
    if given.resolve() == kept.resolve():
        return
    if kept.exists() and kept.read_bytes() != given.read_bytes():
        kept.replace(folder / PREVIOUS)
    aside = folder / f"{SENTINEL}.part"
    shutil.copyfile(given, aside)
    shutil.copystat(given, aside)
    aside.replace(kept)


def labelled_profiles(store: Store, *, random_only: bool = True) -> pa.Table:
    """Profiles of the responses with a label, the latest in a column ``correct``; those of other origin on request."""
    reader = store.reader()
    try:
        rows = reader.execute(
            "SELECT trace_id, correct FROM labels WHERE hour IS NOT NULL AND (is_random OR ?) ORDER BY id",
            (not random_only,),
        )
        labels: dict[str, float] = dict(rows.fetchall())
        files = [str(store.root / file) for (file,) in reader.execute("SELECT file FROM parts ORDER BY hour, file")]
    finally:
        reader.close()
    if not labels or not files:
        return pa.table({"trace_id": pa.array([], pa.string()), "correct": pa.array([], pa.float64())})
    wanted = pads.field("trace_id").isin(pa.array(list(labels), pa.string()))
    table = pads.dataset(files, format="parquet", partitioning=None).to_table(filter=wanted)
    table = table.drop_columns([name for name in ("correct",) if name in table.column_names])
    return table.append_column("correct", pa.array([labels[name] for name in table["trace_id"].to_pylist()]))


def refit(store: Store, *, key: str | None = None, random_only: bool = True, force: bool = False) -> Refit:
    """Fit a sentinel on the labels of a store, and put it into use if it errs no more than the one before.

    Both estimate every slice with ten labels as if it had none: the new one by the rule that never saw its family,
    so neither is judged on what it learned from. What came of it stands in the log of acts, replaced or not.

    Parameters
    ----------
    store
        Its sentinel and the file in its folder are replaced.
    key
        Slice key; None is the first of the store.
    random_only
        Whether labels of other origin, such as thumbs, are left out.
    force
        Replace it even by a worse one.
    """
    table = labelled_profiles(store, random_only=random_only)
    key = key or next(iter(store.slicing.keys), ALL)
    slices = store.slicing.names(table)[key] if table.num_rows else []
    found, new = _compared(store.sentinel, table, slices, force=force)
    if found.is_replaced and new is not None:
        _put(store, new)
    with store.writing() as connection, transaction(connection):
        store.log(connection, who="refit", act="refit", detail=json.dumps(found._asdict()))
        connection.execute("REPLACE INTO meta VALUES ('refitted', ?)", (str(int(time.time())),))
    return found


def _compared(
    current: Sentinel | None, table: pa.Table, slices: list[str], *, force: bool
) -> tuple[Refit, Sentinel | None]:
    n = table.num_rows
    if not n:
        return Refit(0, 0, None, None, is_replaced=False, reason="it cannot be fitted: no response has a label"), None
    correct = np.asarray(table["correct"].to_numpy())
    try:
        new = Sentinel(**(current.get_params() if current is not None else {})).fit(table, correct, groups=slices)
    except NotEnoughDataError as exc:
        return Refit(n, 0, None, None, is_replaced=False, reason=f"it cannot be fitted: {exc}"), None
    after = _errors(new, table, slices)
    if not after:
        reason = f"no slice with {_LEAST_LABELS} labels can be estimated from the others"
        return Refit(n, 0, None, None, is_replaced=False, reason=reason), None
    before = _errors(current, table, slices) if current is not None else {}
    both = sorted(after if not before else {*before} & {*after})
    error_after = float(np.mean([after[name] for name in both])) if both else None
    if not before:
        reason = "there was none that can judge these responses"
        return Refit(n, len(both), None, error_after, is_replaced=True, reason=reason), new
    if error_after is None:
        return Refit(n, 0, None, None, is_replaced=force, reason="no slice can be estimated by both"), new
    error_before = float(np.mean([before[name] for name in both]))
    is_better = error_after <= error_before
    said = f"it is off by {error_after:.3f} on {len(both)} slices, the one before by {error_before:.3f}"
    reason = said if is_better else f"{said}; {'it was forced' if force else 'the one before stays'}"
    return Refit(n, len(both), error_before, error_after, is_replaced=is_better or force, reason=reason), new


def _errors(sentinel: Sentinel, table: pa.Table, slices: list[str]) -> dict[str, float]:
    """Absolute error of each slice with enough labels, estimated as if it had none."""
    try:
        rows = sentinel.estimate(table, slices, correct=table["correct"].to_numpy(), left_out=True)
    except IncompatibleModelError:
        return {}
    return {
        row.slice: abs(row.accuracy - row.realized_accuracy)
        for row in rows
        if isinstance(row, Estimate) and row.realized_accuracy is not None and row.n_labels >= _LEAST_LABELS
    }


def _put(store: Store, new: Sentinel) -> None:
    """Write the file, then use it; the one before stays until this one has scored what is stored."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / SENTINEL
        save_sentinel(path, new)
        keep_sentinel(store.root, path)
    os.utime(store.root / SENTINEL)
    store.use_sentinel(new)
    store.note_fitted(time.time())


class Refitter:
    """Fits again when the last time is long enough ago, or when ``nilometer store refit`` asked for it.

    Parameters
    ----------
    store
        Its labels are used.
    every_days
        None waits for a request.
    """

    def __init__(self, store: Store, *, every_days: float | None = None) -> None:
        self._store, self._every = store, every_days

    def step(self, *, now: float | None = None) -> Refit | None:
        """Fit again if it is time; None if it is not."""
        now = time.time() if now is None else now
        with self._store.writing() as connection:
            kept: dict[str, Any] = dict(
                connection.execute("SELECT name, value FROM meta WHERE name IN ('refitted', 'refit_asked')")
            )
            if self._every is not None and "refitted" not in kept:
                connection.execute("INSERT INTO meta VALUES ('refitted', ?)", (str(int(now)),))
                kept["refitted"] = now
            connection.execute("DELETE FROM meta WHERE name = 'refit_asked'")
        is_due = self._every is not None and now - float(kept.get("refitted", now)) >= self._every * _DAY
        if not is_due and "refit_asked" not in kept:
            return None
        return refit(self._store, force=kept.get("refit_asked") == "force")
