"""``nilometer canary``: notice that the model behind an endpoint was changed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nilometer import estimators, models
from nilometer.errors import ConfigError

from .common import EXIT_FOUND, JsonOption, talk, write_json
from .runners import ExtraOption, ModelNameOption, ModelOption, open_runner

__all__ = ["canary", "check", "record"]


canary = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    help="Notice that the model behind an endpoint was changed, from a few fixed prompts asked again.",
)

RepeatsOption = Annotated[int, typer.Option(min=1, help="Answers per prompt, one token each.")]


@canary.command()
def record(
    file: Annotated[Path, typer.Argument(metavar="CANARY.json", help="Where it goes; answers are added if it exists.")],
    model: ModelOption,
    model_name: ModelNameOption = None,
    prompts: Annotated[
        Path | None, typer.Option(help="Text file, one prompt a line; eight short ones by default.")
    ] = None,
    repeats: RepeatsOption = 10,
    k: Annotated[int, typer.Option(min=1, max=100, help="Alternatives per token.")] = 20,
    seed: Annotated[int, typer.Option(min=0, help="Of the order of the prompts.")] = 0,
    extra: ExtraOption = "{}",
) -> None:
    """Ask the prompts for their first token and keep its log-probabilities.

    Record at several hours of several days, so that the noise of the server at all of them is in the record.
    """
    runner = open_runner(model, name=model_name, extra=extra)
    before = models.read_canary(file) if file.exists() else None
    chosen = _prompts(prompts) if before is None or prompts is not None else tuple(before.logprobs)
    if before is not None and set(chosen) != set(before.logprobs):
        raise ConfigError(f"{file}: the record is of other prompts. Leave out `--prompts`, or give another file.")
    found = models.ask_canary(runner, prompts=chosen, repeats=repeats, k=k if before is None else before.k, seed=seed)
    if before is not None:
        _check_same(before, found)
    found = models.add_to_canary(file, found)
    n = sum(len(rows) for rows in found.logprobs.values())
    talk(f"{n} answers to {len(found.logprobs)} prompts, asked at {len(found.asked)} times, in {file}.")


@canary.command()
def check(
    file: Annotated[Path, typer.Argument(metavar="CANARY.json", help="From `nilometer canary record`.")],
    model: Annotated[str | None, typer.Option(help="hf:FOLDER, smollm2, or openai:URL.")] = None,
    model_name: ModelNameOption = None,
    against: Annotated[
        Path | None, typer.Option(metavar="CANARY.json", help="A second record, instead of asking a model.")
    ] = None,
    repeats: RepeatsOption = 10,
    permutations: Annotated[int, typer.Option(min=99, help="Shuffles of the test.")] = 1999,
    seed: Annotated[int, typer.Option(min=0, help="Of the order of the prompts and of the shuffles.")] = 1,
    extra: ExtraOption = "{}",
    confidence_level: Annotated[
        float, typer.Option(min=0.5, max=0.9999, help="1 - share of false alarms when nothing changed.")
    ] = 0.99,
    as_json: JsonOption = False,
) -> None:
    """Ask the prompts again and test whether the log-probabilities changed. Exits 3 if they did.

    A check of a model that did not change alerts with probability 1 - confidence level at most.
    """
    import numpy as np

    before = models.read_canary(file)
    if (model is None) == (against is None):
        raise ConfigError("give either `--model` to ask it, or `--against` a second record.")
    if against is not None:
        after = models.read_canary(against)
    else:
        runner = open_runner(str(model), name=model_name, extra=extra)
        after = models.ask_canary(runner, prompts=tuple(before.logprobs), repeats=repeats, k=before.k, seed=seed)
    _check_same(before, after)
    level = 1 - confidence_level
    found = estimators.canary_test(
        before.arrays(),
        after.arrays(),
        rng=np.random.default_rng(seed),
        n_permutations=permutations,
        least_p_value=level,
    )
    changed = found.p_value <= level
    if as_json:
        write_json({**found._asdict(), "changed": changed, "confidence_level": confidence_level})
    else:
        typer.echo(
            f"{'CHANGED' if changed else 'No change seen'}: p = {found.p_value:.2g}, mean shift {found.shift:.2g} nats"
        )
        for prompt, shift in list(found.shifts.items())[:3]:
            typer.echo(f"  {shift:.2g} nats on {prompt!r}")
    if changed:
        raise typer.Exit(EXIT_FOUND)


def _prompts(path: Path | None) -> tuple[str, ...]:
    if path is None:
        return models.CANARY_PROMPTS
    lines = tuple(dict.fromkeys(filter(None, map(str.strip, path.read_text(encoding="utf-8").splitlines()))))
    if not lines:
        raise ConfigError(f"{path}: the file of prompts must have at least one line.")
    return lines


def _check_same(before: models.Canary, after: models.Canary) -> None:
    if before.logprobs_mode != after.logprobs_mode:
        raise ConfigError(
            f"`logprobs_mode` must be {before.logprobs_mode} as in the record, got {after.logprobs_mode}. Record again."
        )
    if before.model != after.model:
        talk(f"The record is of the model {before.model}, this is {after.model}.")
