"""``nilometer route fit``: the qualities of the models, and the router that follows from them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from nilometer import decisions, pages

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
    layout_of,
    split_keys,
    talk,
    write_json,
)
from ..outputs import ForceOption, check_outputs, write_whole
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
from .show import show_route_report

__all__ = ["route_fit"]


def route_fit(
    files: FilesArgument,
    out: Annotated[Path | None, typer.Option(help="Where the router goes.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write the page here.")] = None,
    labels: LabelsOption = None,
    label_key: LabelKeyOption = "trace_id",
    by: ByOption = None,
    cost: CostOption = None,
    budget: Annotated[float | None, typer.Option(min=0, help="Mean cost per prompt to stay within.")] = None,
    neighbors: NeighborsOption = None,
    voter: VoterOption = "model",
    compare: CompareOption = "embedding",
    embedder: EmbedderOption = "ngrams",
    embedder_model: EmbedderModelOption = None,
    cache: CacheOption = None,
    sentinel: SentinelOption = None,
    confidence_level: ConfidenceOption = 0.95,
    wire_format: FormatOption = None,
    at: AtOption = None,
    columns: ColumnsOption = None,
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Estimate the quality of every model from how its answers agree with the others', and choose.

    Labels in the traces count; --labels adds others. Agreement is not truth: models that share mistakes look
    good together, so label some prompts before money depends on it.
    """
    check_outputs({"router": out, "page": html}, [*files, *(labels or ()), cost, sentinel], force=force)
    options = RouteOptions(
        voter=voter,
        compare=compare,
        embedder=embedder,
        embedder_model=embedder_model,
        cache=default_cache(cache),
        labels=labels,
        label_key=label_key,
        cost=cost,
        sentinel=sentinel,
        wire_format=layout_of(wire_format, at, columns),
        prompts=neighbors is not None,
    )
    read = read_route_panel(files, options)
    fitted = decisions.fit_router(read.table, n_neighbors=neighbors, budget=budget, confidence_level=confidence_level)
    router = replace(fitted, embedder=embedder, embedder_model=embedder_model)
    keys = split_keys(by)
    slices = read.panel.slices(keys).tolist() if keys else None
    report = decisions.build_route_report(router, read.table, slices=slices, by=", ".join(keys), notes=read.notes)
    if as_json:
        write_json(report.to_dict())
    else:
        show_route_report(report)
    if out is not None:
        decisions.save_router(out, router)
        talk(f"Wrote {out}.")
    if html is not None:
        write_whole(html, pages.render_route_html(report))
        talk(f"Wrote {html}.")
