"""``nilometer route eval``: what routing would have brought on labelled prompts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nilometer import decisions
from nilometer.errors import NotEnoughDataError

from ..common import (
    AtOption,
    ColumnsOption,
    ConfidenceOption,
    FilesArgument,
    FormatOption,
    JsonOption,
    LabelKeyOption,
    LabelsOption,
    layout_of,
    talk,
    write_json,
)
from .inputs import RouteOptions, read_route_panel
from .options import (
    CacheOption,
    CompareOption,
    CostOption,
    EmbedderModelOption,
    EmbedderOption,
    NeighborsOption,
    SentinelOption,
    VoterOption,
    default_cache,
)
from .show import show_policies

__all__ = ["route_eval"]


def route_eval(
    files: FilesArgument,
    router: Annotated[Path | None, typer.Option(help="A saved router; without it one is fitted on half.")] = None,
    labels: LabelsOption = None,
    label_key: LabelKeyOption = "trace_id",
    cost: CostOption = None,
    budget: Annotated[float | None, typer.Option(min=0, help="Name the best policy within this cost.")] = None,
    target: Annotated[float | None, typer.Option(min=0, max=1, help="Name the cheapest policy this good.")] = None,
    neighbors: NeighborsOption = None,
    voter: VoterOption = "model",
    compare: CompareOption = "embedding",
    embedder: EmbedderOption = "ngrams",
    embedder_model: EmbedderModelOption = None,
    cache: CacheOption = None,
    sentinel: SentinelOption = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the split in halves.")] = 0,
    confidence_level: ConfidenceOption = 0.95,
    wire_format: FormatOption = None,
    at: AtOption = None,
    columns: ColumnsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Judge the router, selections and cascades on labelled prompts, beside every single model and the oracle.

    Without --router the prompts are split: the router learns on one half, with its labels, and everything is
    judged on the other. Selections ask all models; their cost says so.
    """
    saved = decisions.load_router(router) if router else None
    looks = neighbors is not None or (saved is not None and saved.smoothie.n_neighbors is not None)
    named = saved.embedder if saved is not None and saved.embedder else embedder
    options = RouteOptions(
        voter=voter,
        compare=compare,
        embedder=named,
        embedder_model=embedder_model,
        cache=default_cache(cache),
        labels=labels,
        label_key=label_key,
        cost=cost,
        sentinel=sentinel,
        wire_format=layout_of(wire_format, at, columns),
        prompts=looks,
    )
    table = read_route_panel(files, options).table
    if table.scores is None:
        raise NotEnoughDataError("No answer has a label.", "Give --labels.")
    used, judged, said = (saved, table, "") if saved else _fitted_on_half(table, neighbors, seed)
    points = decisions.policy_points(used, judged, confidence_level=confidence_level)
    advice = _advice(points, budget, target)
    unit = "calls" if table.costs is None else "cost"
    if as_json:
        write_json({"policies": [p._asdict() for p in points], "cost_unit": unit, "advice": advice, "split": said})
        return
    show_policies(points, unit=unit)
    for line in (said, *advice):
        if line:
            talk(line)


def _fitted_on_half(
    table: decisions.AnswerTable, neighbors: int | None, seed: int
) -> tuple[decisions.Router, decisions.AnswerTable, str]:
    """A router fitted on one half of the labelled prompts and all others, the other half, and a sentence on both."""
    import numpy as np

    own, judged = decisions.split_labelled(table, rng=np.random.default_rng(seed))
    router = decisions.fit_router(own, n_neighbors=neighbors)
    alone = table.models[int(np.argmax(own.mean_scores()))]
    said = f"Fitted on {len(own):,} prompts, judged on {len(judged):,} others (seed {seed}). "
    return router, judged, said + f"The fitted half's labels alone would choose {alone}."


def _advice(points: tuple[decisions.PolicyPoint, ...], budget: float | None, target: float | None) -> list[str]:
    said = []
    for name, wanted in (("budget", budget), ("target", target)):
        if wanted is None:
            continue
        try:
            point = decisions.cheapest_point(points, **{name: wanted})
        except NotEnoughDataError as exc:
            said.append(str(exc))
            continue
        said.append(
            f"For the {name} {wanted:g}: {point.name}, score {point.quality:.3f} at {point.cost:.4g} per prompt."
        )
    return said
