"""``nilometer sampler``: place the thresholds of the entropy-aware sampler on a model's own traces."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nilometer import models, signals, traces
from nilometer.errors import ConfigError

from .common import (
    AtOption,
    ColumnsOption,
    FilesArgument,
    FormatOption,
    JsonOption,
    check_bad_lines,
    expand_files,
    layout_of,
    talk,
    write_json,
)
from .outputs import ForceOption, check_outputs

if TYPE_CHECKING:
    import pyarrow as pa


__all__ = ["sampler"]


def sampler(
    files: FilesArgument,
    out: Annotated[Path, typer.Option(help="JSON file to write.")],
    low: Annotated[float, typer.Option(min=0, max=1, help="Quantile below which a signal is low.")] = 0.5,
    high: Annotated[float, typer.Option(min=0, max=1, help="Quantile above which a signal is high.")] = 0.9,
    wire_format: FormatOption = None,
    at: AtOption = None,
    columns: ColumnsOption = None,
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Place the sampler's thresholds on a model's own traces, for `record --sampler`.

    Thresholds do not carry over from one model to another. Traces recorded with --attention give attention limits
    too.
    """
    if low > high:
        raise ConfigError(f"`low` must satisfy low <= high, got {low:g} and {high:g}.")
    check_outputs({"thresholds": out}, list(files), force=force)
    paths = expand_files(files)
    stream = traces.read_traces(
        paths, format=layout_of(wire_format, at, columns), keep=("attention",) if traces.has_attention(paths) else ()
    )
    counts: Counter[str] = Counter()
    thresholds = models.fit_thresholds(stream, low=low, high=high)
    check_bad_lines(stream.report)
    for step in _steps(traces.read_traces(paths, format=layout_of(wire_format, at, columns))):
        counts[models.classify_step(step, thresholds)] += 1
    models.write_thresholds(out, thresholds)
    total = counts.total()
    shares: dict[str, float] = {state: counts[state] / total for state in models.STATES}
    if as_json:
        write_json({"out": str(out), **thresholds._asdict(), "shares": shares})
        return
    _show(thresholds, shares)
    talk(f"Placed on {thresholds.n_tokens:,} tokens of {thresholds.model}. Wrote {out}.")


def _steps(batches: Iterable[pa.RecordBatch]) -> Iterator[models.StepSignals]:
    import numpy as np

    for batch in batches:
        tokens = signals.ragged_from_batch(batch)
        found = signals.token_signals(tokens.chosen, tokens.top)
        known = ~np.isnan(found.entropy)
        pairs = zip(found.renormalized_entropy[known].tolist(), found.varentropy[known].tolist(), strict=True)
        yield from (models.StepSignals(*pair) for pair in pairs)


def _show(thresholds: models.SamplerThresholds, shares: Mapping[str, float]) -> None:
    for name in ("entropy", "varentropy"):
        low, high = (getattr(thresholds, f"{name}_{end}") for end in ("low", "high"))
        typer.echo(f"{name:12s} low below {low:.3g}, high from {high:.3g}")
    if thresholds.scatter_high is not None:
        typer.echo(
            f"{'attention':12s} scattered above {thresholds.scatter_high:.3f}, heads disagree below "
            f"{thresholds.agreement_low:.3f}"
        )
    typer.echo("tokens       " + ", ".join(f"{state} {share:.1%}" for state, share in shares.items()))
