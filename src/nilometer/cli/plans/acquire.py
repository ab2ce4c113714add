"""``nilometer plan acquire``: for which slices to collect data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from nilometer import decisions
from nilometer.errors import NotEnoughDataError

from ..common import (
    AtOption,
    ByOption,
    ColumnsOption,
    ConfidenceOption,
    FilesArgument,
    FormatOption,
    JsonOption,
    LabelKeyOption,
    LabelsOption,
    OthersOption,
    layout_of,
    talk,
    write_json,
)
from .inputs import Given, SeedOption, SentinelOption, print_table, read_known

__all__ = ["plan_acquire"]

_SHOWN = 3


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
    others: OthersOption = None,
    confidence_level: ConfidenceOption = 0.95,
    seed: SeedOption = 0,
    wire_format: FormatOption = None,
    at: AtOption = None,
    columns: ColumnsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Choose for which slices to collect data: traffic x gap x the errors an example removes, per cost."""
    import numpy as np

    layout = layout_of(wire_format, at, columns)
    known = read_known(Given(files, labels, label_key, by, sentinel, others, layout, confidence_level))
    if not known.is_anything_known:
        raise NotEnoughDataError("no accuracy is known without labels or a sentinel.", "Give --labels or --sentinel.")
    estimates, responses = known.headline.estimates, known.headline.responses
    costs = decisions.read_costs(cost) if cost else None
    for name in sorted(set(costs or ()) - {row.slice for row in estimates}):
        talk(f"No response is in the slice {name} of {cost}.")
    options = decisions.AcquireOptions(target, worst)
    found = decisions.plan_acquisition(estimates, budget, costs=costs, options=options, rng=np.random.default_rng(seed))
    bought = [row.slice for row in found if row.n_new][: None if as_json else _SHOWN]
    chosen = {name: decisions.slice_examples(responses, name, examples) for name in bought}
    if as_json:
        fields = found[0].__dataclass_fields__
        write_json([{**{k: getattr(row, k) for k in fields}, "examples": chosen.get(row.slice, [])} for row in found])
        return
    _show_acquisition(found, known.keys, worst)
    for name, ids in chosen.items():
        talk(f"{name}: for example {', '.join(ids)}")
    rng = np.random.default_rng(seed)
    talk(_assumed(decisions.exponent_sensitivity(estimates, budget, costs=costs, options=options, rng=rng)))


def _show_acquisition(found: Sequence[decisions.SliceAcquisition], keys: tuple[str, ...], worst: int) -> None:
    rows = [
        (
            decisions.short_name(row.slice, keys),
            f"{row.share:.0%}",
            "unknown" if row.accuracy is None else f"{row.accuracy:.2f}",
            f"{row.p_worst:.0%}",
            f"{row.n_new:,}",
            f"{row.cost:,.0f}",
            f"{row.errors_closed:.2f}",
        )
        for row in found
    ]
    head = (", ".join(keys), "share", "accuracy", f"in worst {worst}", "collect", "cost", "fewer errors / 1,000")
    print_table(head, rows)


def _assumed(moved: Mapping[float, float]) -> str:
    """Say what learning curve was assumed, and how much of the budget hangs on it."""
    said = "; ".join(f"with {exponent:g}, {share:.0%}" for exponent, share in moved.items())
    usual = decisions.SliceCost().exponent
    return (
        f"What an example closes is an assumption: a learning curve of exponent {usual:g} where the cost file says "
        f"nothing else. With another one part of the budget would go to other slices: {said}."
    )
