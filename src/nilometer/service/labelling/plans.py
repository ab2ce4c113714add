"""Plans of labels, frozen in the store: which responses, with which chance, in which order."""

import hashlib
import json
import sqlite3
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nilometer.decisions import PlannedLabel, plan_labels
from nilometer.errors import ConfigError
from nilometer.estimators import as_responses

from ..store import Store, Text
from ..store.slicing import SLICE_COLUMNS, stored_slices
from ..store.texts import find_texts, kept_ids

__all__ = ["PlanRow", "frozen_items", "make_plan", "plan_named", "plan_rows", "save_plan"]

_MOST_BUDGET = 20_000
_PLANS = "SELECT p.*, (SELECT count(*) FROM plan_items i WHERE i.plan = p.id) FROM plans p"
_COLUMNS = ("trace_id", "attributes", "p_correct", "capture_probability", "max", *SLICE_COLUMNS)


class PlanRow(NamedTuple):
    """A plan that was frozen."""

    id: int
    name: str
    made: int
    """Microseconds since 1970, UTC."""
    who: str
    slice_key: str
    seed: int
    double_share: float
    """Share of the responses that two people label."""
    frame: str
    """In words, what the responses were drawn from."""
    n_items: int


def make_plan(
    store: Store, connection: sqlite3.Connection, slice_key: str, *, hours: tuple[int, int], budget: int, seed: int
) -> tuple[list[PlannedLabel], dict[str, Text], str]:
    """Draw responses of some hours to label, among those whose texts are kept; their texts, and the frame in words.

    Raises
    ------
    ConfigError
        If the budget is more than those responses, or no texts are kept.
    """
    if not 1 <= budget <= _MOST_BUDGET:
        raise ConfigError(f"`budget` must lie in 1 to {_MOST_BUDGET:,}, got {budget:,}.")
    table = _frame(store, connection, hours)
    if not table.num_rows:
        raise ConfigError(
            "no texts are kept of these hours, so there is nothing to read. Capture with NILOMETER_TEXTS=1."
        )
    responses = as_responses(
        table,
        stored_slices(connection, table, slice_key),
        correct=_known(connection, table),
        p_correct=table["p_correct"].to_numpy().astype(np.float64),
    )
    rows = store.estimates(slice_key, first_hour=hours[0], last_hour=hours[1], reader=connection)
    beliefs = {row.slice: row.belief for row in rows}
    found = plan_labels(responses, beliefs.values(), budget, rng=np.random.default_rng(seed))
    chosen = [row.trace_id for row in found.labels]
    texts = find_texts(connection, store.root, chosen, hours=(hours[0] - 1, hours[1]))
    frame = f"{table.num_rows:,} responses whose texts are kept, by {slice_key}, seed {seed}"
    return list(found.labels), texts, frame


def save_plan(
    connection: sqlite3.Connection,
    plan: PlanRow,
    planned: Sequence[PlannedLabel],
    *,
    texts: Mapping[str, tuple[str, str, str | None]],
) -> int:
    """Freeze a plan inside a transaction, in a random order inside each stratum; its number.

    Strata progress evenly, and inside a stratum what comes first is a simple random sample of it, so that a stop at
    any point leaves valid inclusion probabilities.

    Parameters
    ----------
    connection
        That writes.
    plan
        Its name, maker, key, seed, share of double labels and frame; ``id`` and ``n_items`` are not read.
    planned
        The responses.
    texts
        Prompt, answer and reference answer, where there is one, by trace.

    Raises
    ------
    ConfigError
        If the name is taken, or a response comes twice.
    """
    if connection.execute("SELECT 1 FROM plans WHERE name=?", (plan.name,)).fetchone():
        raise ConfigError(f"`name` must be new, got {plan.name!r}, which is a plan already.")
    if len({row.trace_id for row in planned}) < len(planned):
        raise ConfigError("a plan must name each response once.")
    row = (plan.name, time.time_ns() // 1000, plan.who, plan.slice_key, plan.seed, plan.double_share, plan.frame)
    cursor = connection.execute(
        "INSERT INTO plans (name, made, who, slice_key, seed, double_share, frame) VALUES (?,?,?,?,?,?,?)", row
    )
    number = int(cursor.lastrowid or 0)
    ordered = _in_order(planned, np.random.default_rng(plan.seed))
    connection.executemany(
        "INSERT INTO plan_items VALUES (?,?,?,?,?,?,?,?)",
        [
            (
                number,
                place,
                one.trace_id,
                json.dumps(asdict(one)),
                _is_double(plan, one.trace_id),
                *texts.get(one.trace_id, (None, None, None)),
            )
            for place, one in enumerate(ordered)
        ],
    )
    return number


def plan_rows(connection: sqlite3.Connection) -> list[PlanRow]:
    """Every plan, the newest first."""
    return [PlanRow(*row) for row in connection.execute(f"{_PLANS} ORDER BY p.id DESC")]


def plan_named(connection: sqlite3.Connection, name: str) -> PlanRow | None:
    """The plan of a name, the newest one for an empty name; None if there is none."""
    row = connection.execute(f"{_PLANS} WHERE ? IN ('', p.name) ORDER BY p.id DESC LIMIT 1", (name,)).fetchone()
    return None if row is None else PlanRow(*row)


def frozen_items(connection: sqlite3.Connection, plan: int) -> list[PlannedLabel]:
    """The responses of a plan in the order in which they are labelled."""
    rows = connection.execute("SELECT planned FROM plan_items WHERE plan=? ORDER BY place", (plan,))
    return [PlannedLabel(**json.loads(text)) for (text,) in rows]


def _in_order(planned: Sequence[PlannedLabel], rng: np.random.Generator) -> list[PlannedLabel]:
    """A random permutation of each stratum, the strata mixed so that each progresses evenly."""
    strata: dict[tuple[str, int], list[PlannedLabel]] = {}
    for one in planned:
        strata.setdefault((one.slice, one.stratum), []).append(one)
    placed: list[tuple[float, float, PlannedLabel]] = []
    for own in strata.values():
        ticks = rng.random(len(own))
        shuffled = [own[i] for i in rng.permutation(len(own))]
        placed += [((i + 0.5) / len(own), ticks[i], one) for i, one in enumerate(shuffled)]
    return [one for *_, one in sorted(placed, key=lambda item: item[:2])]


def _is_double(plan: PlanRow, trace_id: str) -> bool:
    """Whether two people label a response: by its hash, so that nobody can choose."""
    digest = hashlib.sha256(f"{plan.seed} {plan.name} {trace_id}".encode("utf-8", "replace")).digest()
    return int.from_bytes(digest[:8]) / 2**64 < plan.double_share


def _frame(store: Store, connection: sqlite3.Connection, hours: tuple[int, int]) -> pa.Table:
    """Profiles of the hours whose texts are kept."""
    files = connection.execute("SELECT file FROM parts WHERE hour BETWEEN ? AND ?", hours).fetchall()
    tables = [_read(store, file) for (file,) in files]
    if not tables:
        return pa.table({"trace_id": pa.array([], pa.string())})
    table = pa.concat_tables(tables, promote_options="default")
    return table.filter(pc.is_in(table["trace_id"], kept_ids(connection, store.root, hours=(hours[0] - 1, hours[1]))))


def _read(store: Store, file: str) -> pa.Table:
    import pyarrow.parquet as pq

    return pq.read_table(store.root / file, columns=list(_COLUMNS), partitioning=None)


def _known(connection: sqlite3.Connection, table: pa.Table) -> list[float | None]:
    """Labels of people that are there already; they are not drawn again."""
    rows = connection.execute("SELECT trace_id, correct FROM labels WHERE source = 'human' ORDER BY id")
    known = dict(rows.fetchall())
    return [known.get(name) for name in table["trace_id"].to_pylist()]
