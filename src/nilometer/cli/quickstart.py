"""``nilometer quickstart``: the main job on recorded traces of a real model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from nilometer import decisions, estimators, pages, traces

from .common import JsonOption, talk, write_json
from .inputs import read_inputs
from .outputs import ForceOption, check_outputs, write_whole
from .report import examples_of
from .show import show_estimates

__all__ = ["LABELLED_DOMAINS", "quickstart"]

LABELLED_DOMAINS = ("addition", "gcd", "letter_counting", "modulo", "sorting", "subtraction")
"""Half of the twelve tasks: every second one in alphabetical order."""
_LEVELS = "if(level::int > 3, '4 to 6', '1 to 3')"
"""The model was trained on levels 1 to 3."""


def quickstart(
    out: Annotated[Path, typer.Option(help="Folder for the page.")] = Path("nilometer-quickstart"),
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Estimate held-out tasks of a recorded model from labels on other tasks, beside the truth."""
    import numpy as np
    import pyarrow as pa

    out.mkdir(parents=True, exist_ok=True)
    page = out / "report.html"
    check_outputs({"page": page}, [], force=force)
    inputs = read_inputs([str(traces.corpus_path("specialist"))])
    keys = ("domain", "levels")
    profiles = inputs.profiles.append_column("levels", traces.slice_names(inputs.profiles, [_LEVELS]))
    domains = np.asarray(traces.slice_names(profiles, ["domain"]).to_pylist())
    names = np.asarray(traces.slice_names(profiles, keys).to_pylist())
    correct = profiles["correct"].to_numpy()
    labelled = np.isin(domains, LABELLED_DOMAINS)
    sentinel = estimators.Sentinel().fit(
        profiles.filter(pa.array(labelled)), correct[labelled], groups=names[labelled], families=domains[labelled]
    )
    held_out = profiles.filter(pa.array(~labelled))
    result = decisions.build_report(
        held_out,
        by=keys,
        correct=correct[~labelled],
        sentinel=sentinel,
        extra={"examples": examples_of(inputs, ("domain",)), "diagnosis": inputs.diagnosis},
    )
    # the labels of these tasks stand beside the estimates, never in them
    overall = decisions.overall_accuracy(result.label_free, estimators.cut_responses(held_out, keys))
    result = replace(result, estimates=result.label_free, overall=overall, outlook=None)
    covered, n_known, error = _against_truth(result)
    write_whole(page, pages.render_html(result, title="nilometer quickstart: held-out tasks"))
    if as_json:
        write_json({**result.to_dict(), "mean_absolute_error": error, "n_covered": covered})
        return
    typer.echo(_checked(inputs.diagnosis))
    show_estimates(result.estimates, by=keys, title="Tasks whose labels were not used")
    typer.echo(
        f"Labels from {', '.join(LABELLED_DOMAINS)} only. Mean absolute error {error:.3f};\n"
        f"{covered} of {n_known} intervals (nominal 95 %) contain the realised accuracy."
    )
    talk(f"Wrote {page}.")


def _against_truth(result: decisions.Report) -> tuple[int, int, float]:
    """How many intervals contain the realised accuracy, of how many, and the mean absolute error."""
    pairs = [
        (row, row.realized_accuracy)
        for row in result.estimates
        if isinstance(row, estimators.Estimate) and row.realized_accuracy is not None
    ]
    covered = sum(row.low <= truth <= row.high for row, truth in pairs)
    return covered, len(pairs), sum(abs(row.accuracy - truth) for row, truth in pairs) / len(pairs)


def _checked(seen: dict[str, Any]) -> str:
    """Say in two lines what the doctor found."""
    model = seen["models"][0]
    return (
        f"Doctor: {seen['n_traces']:,} responses, {seen['n_tokens']:,} tokens, {next(iter(model['k']))} alternatives "
        f"each, {model['logprobs_mode']};\n{seen['n_truncated']} cut off, {seen['n_without_logprobs']} without "
        f"log-probabilities: {'usable' if seen['usable'] else 'not usable'}.\n"
    )
