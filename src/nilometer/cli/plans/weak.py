"""``nilometer plan weak``: weak slices that nobody named."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from nilometer import estimators, traces
from nilometer.errors import ConfigError, NotEnoughDataError

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
from .inputs import Given, SentinelOption, print_table, read_known

__all__ = ["plan_weak"]


def plan_weak(
    files: FilesArgument,
    labels: LabelsOption = None,
    label_key: LabelKeyOption = "trace_id",
    by: ByOption = None,
    sentinel: SentinelOption = None,
    others: OthersOption = None,
    confidence_level: ConfidenceOption = 0.95,
    depth: Annotated[int, typer.Option(min=1, max=3, help="Conditions of a slice.")] = 2,
    least: Annotated[int, typer.Option(min=2, help="Fewest responses of a slice.")] = 30,
    rate: Annotated[
        float, typer.Option(min=0.001, max=0.5, help="Expected share of false ones among the confirmed.")
    ] = 0.1,
    embeddings: Annotated[
        Path | None, typer.Option(metavar="FILE.npy", help="One row per response: clusters of prompts count too.")
    ] = None,
    clusters: Annotated[int, typer.Option(min=2, help="Clusters of the embeddings.")] = 10,
    wire_format: FormatOption = None,
    at: AtOption = None,
    columns: ColumnsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Find weak slices that nobody named: conjunctions of attributes with many expected errors.

    They are found on expected errors and tested on labels (false discovery rate --rate); those without labels say
    what to label.
    """
    import numpy as np

    layout = layout_of(wire_format, at, columns)
    known = read_known(Given(files, labels, label_key, by, sentinel, others, layout, confidence_level))
    responses = known.headline.responses
    if np.isnan(responses.p_correct).all():
        raise NotEnoughDataError("no accuracy is known without labels or a sentinel.", "Give --labels or --sentinel.")
    attributes = {key: traces.slice_index(responses.context, [key]) for key in traces.attribute_keys(responses.context)}
    if embeddings is not None:
        attributes["cluster"] = _clusters(embeddings, len(responses), clusters)
    found = estimators.find_weak_slices(1 - responses.p_correct, attributes, depth=depth, least=least)
    tested = estimators.confirm_weak_slices(found, responses.correct, attributes)
    if as_json:
        write_json([{"slice": row.name, **row._asdict(), "confirmed": _verdict(row.p_value, rate)} for row in tested])
        return
    _show(tested, rate)


def _show(tested: Sequence[estimators.WeakSlice], rate: float) -> None:
    rows = [
        (
            row.name,
            f"{row.n:,}",
            f"{row.expected_error:.2f}",
            "" if row.realized_error is None else f"{row.realized_error:.2f} ({row.n_labels:,})",
            _verdict(row.p_value, rate),
        )
        for row in tested
    ]
    print_table(("slice", "n", "expected error", "realised", "verdict"), rows)
    if not rows:
        talk("No slice is worse than all traffic by more than its size costs.")


def _verdict(p_value: float | None, rate: float) -> str:
    if p_value is None:
        return "label 20 of it to know"
    return "confirmed" if p_value <= rate else "not confirmed"


def _clusters(path: Path, n: int, n_clusters: int) -> traces.SliceIndex:
    import numpy as np

    embeddings = np.load(path, allow_pickle=False)
    if embeddings.ndim != 2 or len(embeddings) != n:
        raise ConfigError(f"`embeddings` must have shape ({n}, dim), one row per response, got {embeddings.shape}.")
    return traces.index_slices(estimators.cluster_embeddings(embeddings.astype(np.float64), n_clusters))
