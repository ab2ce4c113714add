"""Hourly sums of profiles under a sentinel, as they stand in the database."""

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from nilometer.errors import IncompatibleModelError
from nilometer.estimators import Estimate, NotEnoughData, Sentinel, SliceSums

__all__ = [
    "HourSums",
    "Refusal",
    "Scored",
    "SliceRow",
    "add_refusals",
    "add_sums",
    "estimate_hours",
    "score_table",
]

_GROUP = ("model", "model_fingerprint", "k", "logprobs_mode")


class HourSums(NamedTuple):
    """Sums over the responses of one hour from one model under one slice key."""

    slice_key: str
    hour: int
    model: str
    fingerprint: str
    k: int
    mode: str
    sums: SliceSums
    moments: NDArray[np.float64]
    """Shape (slices, 4): sums over prompts of their weight w, of w p and w p² with p their mean probability of a
    correct answer, and of w²; w is one over the probability of capture."""


class Refusal(NamedTuple):
    """Responses that a sentinel cannot judge."""

    model: str
    k: int
    mode: str
    reason: str
    n: int


class Scored(NamedTuple):
    """A table of profiles under one sentinel."""

    p_correct: NDArray[np.float64]
    """Shape (n,), NaN where the sentinel refuses."""
    sums: list[HourSums]
    refusals: list[Refusal]


class SliceRow(NamedTuple):
    """What is believed about one slice of one model over some hours."""

    model: str
    slice_key: str
    slice: str
    first_hour: int
    last_hour: int
    belief: Estimate | NotEnoughData


def score_table(table: pa.Table, names: Mapping[str, list[str]], hours: NDArray[np.int64], *, by: Sentinel) -> Scored:
    """Sum profiles by slice, hour, model, fingerprint, k and mode; a group that does not fit is refused by name."""
    p = np.full(table.num_rows, np.nan)
    sums: list[HourSums] = []
    refusals: list[Refusal] = []
    for (model, fingerprint, k, mode), rows in _groups(table).items():
        own = table.take(rows)
        try:
            p[rows] = by.predict_proba(own)[:, 1]
        except IncompatibleModelError as exc:
            refusals.append(Refusal(model, k, mode, str(exc), len(rows)))
            continue
        for key, hour in product(names, np.unique(hours[rows]).tolist()):
            picked = np.flatnonzero(hours[rows] == hour)
            slices = [names[key][row] for row in rows[picked]]
            summed = by.sum_up(own.take(picked), slices)
            moments = _moments(own.take(picked), p[rows][picked], slices, names=summed.slices)
            sums.append(HourSums(key, hour, model, fingerprint, k, mode, summed, moments))
    return Scored(p, sums, refusals)


def _moments(
    table: pa.Table, p: NDArray[np.float64], slices: Sequence[str], *, names: Sequence[str]
) -> NDArray[np.float64]:
    """Sums over prompts; answers to one prompt err together, so that their mean counts once."""
    prompts = pc.coalesce(table["prompt_id"], table["trace_id"]).to_pylist()
    place = {name: i for i, name in enumerate(names)}
    chances = table["capture_probability"].to_pylist()
    units: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for unit, value in zip(zip(slices, prompts, strict=True), zip(p.tolist(), chances, strict=True), strict=True):
        units.setdefault(unit, []).append(value)
    found = np.zeros((len(names), 4))
    for (name, _), values in units.items():
        mean = sum(value for value, _ in values) / len(values)
        weight = 1 / values[0][1]
        found[place[name]] += (weight, weight * mean, weight * mean * mean, weight * weight)
    return found


def _groups(table: pa.Table) -> dict[tuple[str, str, int, str], NDArray[np.int64]]:
    """Rows by what must not be mixed; no fingerprint or model is an empty text, no k is -1."""
    columns = [pc.fill_null(table[name], -1 if name == "k" else "").to_pylist() for name in _GROUP]
    found: dict[tuple[str, str, int, str], list[int]] = {}
    for row, key in enumerate(zip(*columns, strict=True)):
        found.setdefault(key, []).append(row)
    return {key: np.array(rows) for key, rows in found.items()}


def add_sums(connection: sqlite3.Connection, sentinel: str, scored: Iterable[HourSums]) -> None:
    """Add sums to those of the database."""
    where = "sentinel=? AND slice_key=? AND hour=? AND slice=? AND model=? AND fingerprint=? AND k=? AND mode=?"
    for one in scored:
        for name, values in zip(one.sums.slices, one.sums.values, strict=True):
            place = (sentinel, one.slice_key, one.hour, name, one.model, one.fingerprint, one.k, one.mode)
            before = connection.execute(f"SELECT sums FROM sums WHERE {where}", place).fetchone()
            total = values if before is None else values + np.frombuffer(before[0])
            connection.execute("REPLACE INTO sums VALUES (?,?,?,?,?,?,?,?,?)", (*place, total.tobytes()))
        connection.executemany(
            "INSERT INTO moments VALUES (?,?,?,?,?,?,?,?,?) ON CONFLICT DO UPDATE "
            "SET n = n + excluded.n, p = p + excluded.p, p2 = p2 + excluded.p2, w2 = w2 + excluded.w2",
            [
                (sentinel, one.slice_key, name, one.model, one.hour, *moments)
                for name, moments in zip(one.sums.slices, one.moments.tolist(), strict=True)
            ],
        )


def add_refusals(connection: sqlite3.Connection, sentinel: str, refusals: Iterable[Refusal]) -> None:
    """Count responses that the sentinel refused, with the reason."""
    for one in refusals:
        connection.execute(
            "INSERT INTO refusals VALUES (?,?,?,?,?,?) "
            "ON CONFLICT DO UPDATE SET n = n + excluded.n, reason = excluded.reason",
            (sentinel, one.model, one.k, one.mode, one.reason, one.n),
        )


def estimate_hours(
    connection: sqlite3.Connection,
    sentinel: Sentinel,
    slice_key: str,
    *,
    hours: tuple[int, int],
    name: str | None = None,
) -> list[SliceRow]:
    """Estimate every slice, or the one of a name, of every model over the hours from first to last, both counted."""
    first_hour, last_hour = hours
    zero = sentinel.zero()
    rows = connection.execute(
        "SELECT model, slice, sums FROM sums WHERE sentinel=? AND slice_key=? AND hour BETWEEN ? AND ? "
        "AND slice = coalesce(?, slice)",
        (zero.key, slice_key, first_hour, last_hour, name),
    ).fetchall()
    if not rows:
        return []
    values = np.frombuffer(b"".join(row[2] for row in rows)).reshape(len(rows), -1)
    places: dict[tuple[str, str], int] = {}
    codes = [places.setdefault((model, name), len(places)) for model, name, _ in rows]
    totals = np.zeros((len(places), values.shape[1]))
    np.add.at(totals, codes, values)
    found = []
    for model in sorted({model for model, _ in places}):
        own = sorted((name, place) for (other, name), place in places.items() if other == model)
        provenance = {"model": frozenset({model} - {""})}
        picked = totals[[place for _, place in own]]
        sums = SliceSums(zero.columns, tuple(name for name, _ in own), picked, zero.key, provenance)
        beliefs = sentinel.finish(sums)
        found += [SliceRow(model, slice_key, one.slice, first_hour, last_hour, one) for one in beliefs]
    return found
