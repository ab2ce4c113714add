"""``nilometer plan acquire``: for which slices to collect data."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import pyarrow as pa
import typer

from nilometer.decisions import (
    AcquireOptions,
    SliceAcquisition,
    SliceCost,
    cover_slice,
    moved_share,
    plan_acquisition,
    read_costs,
    short_name,
)
from nilometer.errors import NotEnoughDataError
from nilometer.estimators import Estimate, NotEnoughData, with_labels
from nilometer.signals import FEATURE_NAMES

from ..common import (
    AtOption,
    ByOption,
    ColumnsOption,
    FilesArgument,
    FormatOption,
    JsonOption,
    LabelKeyOption,
    LabelsOption,
    layout_of,
    talk,
    write_json,
)
from .inputs import Known, SeedOption, SentinelOption, print_table, read_known

__all__ = ["plan_acquire"]

_SHOWN = 3
_OTHER_EXPONENTS = (0.2, 0.5)


def plan_acquire(
    files: FilesArgument,
    budget: Annotated[float, typer.Option(help="Examples, or money if --cost is given.")],
    cost: Annotated[
        Path | None, typer.Option(metavar="FILE", help="CSV: slice, cost, and where known examples, exponent.")
    ] = None,
    target: Annotated[float, typer.Option(min=0, max=1, help="Accuracy that is wanted.")] = 1.0,
    worst: Annotated[int, typer.Option(min=1, help="Tell the probability of being among so many worst.")] = 3,
    examples: Annotated[int, typer.Option(min=0, help="Responses that cover each chosen slice.")] = 5,
    labels: LabelsOption = None,
    label_key: LabelKeyOption = "trace_id",
    by: ByOption = None,
    sentinel: SentinelOption = None,
    seed: SeedOption = 0,
    wire_format: FormatOption = None,
    at: AtOption = None,
    columns: ColumnsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Choose for which slices to collect data: traffic x gap x what an example is expected to close, per cost."""
    known = read_known(
        files, labels, label_key=label_key, by=by, sentinel=sentinel, wire_format=layout_of(wire_format, at, columns)
    )
    if not known.estimates:
        raise NotEnoughDataError("no accuracy is known without labels or a sentinel.", "Give --labels or --sentinel.")
    costs = read_costs(cost) if cost else None
    for name in sorted(set(costs or ()) - {row.slice for row in known.estimates}):
        talk(f"No response is in the slice {name} of {cost}.")
    estimates = with_labels(
        known.estimates, known.names, correct=known.correct, p_correct=known.p_correct, finite=False
    )
    options = AcquireOptions(target, worst)
    found = plan_acquisition(estimates, budget, costs=costs, options=options, rng=np.random.default_rng(seed))
    chosen = {row.slice: _covering(known, row.slice, examples) for row in found if row.n_new}
    if as_json:
        fields = found[0].__dataclass_fields__
        write_json([{**{k: getattr(row, k) for k in fields}, "examples": chosen.get(row.slice, [])} for row in found])
        return
    _show_acquisition(found, known.keys, worst)
    for name, ids in list(chosen.items())[:_SHOWN]:
        talk(f"{name}: for example {', '.join(ids)}")
    talk(_assumed(estimates, found, budget, costs=costs, options=options, seed=seed))


def _show_acquisition(found: Sequence[SliceAcquisition], keys: tuple[str, ...], worst: int) -> None:
    rows = [
        (
            short_name(row.slice, keys),
            f"{row.share:.0%}",
            "unknown" if row.accuracy is None else f"{row.accuracy:.2f}",
            f"{row.p_worst:.0%}",
            f"{row.n_new:,}",
            f"{row.cost:,.0f}",
            f"{row.errors_closed:.2f}",
        )
        for row in found
    ]
    head = (", ".join(keys), "share", "estimated", f"in worst {worst}", "collect", "cost", "fewer errors / 1,000")
    print_table(head, rows)


def _assumed(
    estimates: Sequence[Estimate | NotEnoughData],
    found: Sequence[SliceAcquisition],
    budget: float,
    *,
    costs: dict[str, SliceCost] | None,
    options: AcquireOptions,
    seed: int,
) -> str:
    """Say what learning curve was assumed, and how much of the budget hangs on it."""
    usual = SliceCost().exponent
    known = costs or {row.slice: SliceCost() for row in estimates}
    moved = []
    for exponent in _OTHER_EXPONENTS:
        other = {k: c._replace(exponent=exponent) if c.exponent == usual else c for k, c in known.items()}
        rng = np.random.default_rng(seed)
        moved.append(moved_share(found, plan_acquisition(estimates, budget, costs=other, options=options, rng=rng)))
    said = "; ".join(f"with {g:g}, {share:.0%}" for g, share in zip(_OTHER_EXPONENTS, moved, strict=True))
    return (
        f"What an example closes is an assumption: a learning curve of exponent {usual:g} where the cost file says "
        f"nothing else. With another one part of the budget would go to other slices: {said}."
    )


def _covering(known: Known, name: str, n: int) -> list[str]:
    rows = np.flatnonzero(known.names == name)
    features = np.stack([known.profiles[f].to_numpy()[rows] for f in FEATURE_NAMES], axis=1).astype(np.float64)
    ids = known.profiles["trace_id"].take(pa.array(rows[cover_slice(features, n)])) if n else pa.array([])
    return [str(value) for value in ids.to_pylist()]
