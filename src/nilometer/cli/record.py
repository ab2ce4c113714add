"""``nilometer record``: run a real model on a suite and keep its traces."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from nilometer import models, traces
from nilometer.errors import ConfigError

from .common import JsonOption, console, talk, write_json
from .runners import (
    ConcurrencyOption,
    ExtraOption,
    MaxWaitOption,
    ModelNameOption,
    ModelOption,
    TimeoutOption,
    open_runner,
)

__all__ = ["record"]


def record(
    model: ModelOption,
    suite: Annotated[str, typer.Option(help="basic, rg:DATASET[,DATASET], or a JSONL file of prompts.")],
    out: Annotated[Path, typer.Option(help="Folder for the traces; a killed run goes on there.")],
    model_name: ModelNameOption = None,
    tasks: Annotated[str, typer.Option(help="Of the basic suite, comma-separated; all by default.")] = "",
    levels: Annotated[str, typer.Option(help="Of the basic suite, comma-separated; all by default.")] = "",
    n: Annotated[int, typer.Option(min=1, help="Prompts per slice.")] = 100,
    samples: Annotated[int, typer.Option(min=1, help="Answers per prompt.")] = 1,
    temperature: Annotated[float, typer.Option(min=0, help="0 is greedy.")] = 0.0,
    max_tokens: Annotated[int, typer.Option(min=1, help="Longest answer.")] = 64,
    k: Annotated[int, typer.Option(min=1, max=100, help="Alternatives kept per token.")] = 20,
    batch: Annotated[int, typer.Option(min=1, help="Answers made at once.")] = 32,
    seed: Annotated[int, typer.Option(min=0, help="Of questions and samples.")] = 0,
    extra: ExtraOption = "{}",
    timeout: TimeoutOption = models.PATIENT.timeout,
    max_wait: MaxWaitOption = models.PATIENT.longest_wait,
    concurrency: ConcurrencyOption = 16,
    attention: Annotated[
        bool, typer.Option("--attention", help="Keep attention statistics too; for hf:FOLDER and smollm2.")
    ] = False,
    sampler: Annotated[
        Path | None, typer.Option(help="Thresholds of `nilometer sampler`: answer with the entropy-aware sampler.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Run a model on a suite of questions and keep its traces, with labels where the answers are known.

    The key of a server is read from OPENAI_API_KEY.
    """
    if attention and sampler:
        raise ConfigError("--attention cannot be kept of answers that branch. Leave out --attention or --sampler.")
    options = models.SuiteOptions(n, seed, tuple(filter(None, tasks.split(","))), _numbers(levels))
    questions = models.make_suite(suite, options)
    retries = models.Retries(timeout=timeout, longest_wait=max_wait)
    runner = open_runner(
        model, name=model_name, extra=extra, attention=attention, retries=retries, concurrency=concurrency
    )
    sampling = models.Sampling(temperature, samples, max_tokens, k, batch, seed)
    settings = {"model": model, "suite": suite, "extra": extra, **options._asdict()}
    settings |= {"attention": True} if attention else {}
    if sampler:
        runner = _with_sampler(runner, sampler)
        settings["sampler"] = models.read_thresholds(sampler)._asdict()
    total = samples * sum(map(len, questions.values()))
    with _bar(total) as advance:
        found = models.record(runner, questions, out, sampling=sampling, settings=settings, advance=advance)
    for damaged in found.set_aside:
        talk(damaged)
    result = {**found._asdict(), "out": str(out), "slices": _accuracies(out, questions)}
    if as_json:
        write_json(result)
        return
    _show(result["slices"])
    talk(f"{found.n_traces:,} responses, {found.n_tokens:,} tokens in {out}; {found.n_new_parts} parts are new.")
    if found.n_refused:
        talk(f"{found.n_refused:,} prompts were refused; their traces say why under `error`.")


def _show(slices: list[dict[str, Any]]) -> None:
    for row in slices:
        known = "no gold answer" if row["accuracy"] is None else f"accuracy {row['accuracy']:.2f}"
        typer.echo(f"{row['slice']:40s} {row['n']:6,} responses  {known}")


def _with_sampler(runner: models.Runner, path: Path) -> models.Runner:
    if not isinstance(runner, models.HFRunner):
        raise ConfigError("a server draws its own tokens. Give --model hf:FOLDER or smollm2 for --sampler.")
    return models.SamplerRunner(runner, models.EntropySampler(models.read_thresholds(path)))


def _numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(item) for item in text.split(",") if item)
    except ValueError as exc:
        raise ConfigError(f"`levels` must be numbers, got {text!r}.") from exc


def _accuracies(out: Path, questions: dict[str, list[models.Question]]) -> list[dict[str, Any]]:
    import numpy as np

    table = traces.read_traces([out / f"{name}.parquet" for name in questions]).read_all()
    held = {key for part in questions.values() for question in part for key in question.attributes}
    keys = [key for key in ("domain", "level") if key in held]
    names = np.asarray(traces.slice_names(table, keys).to_pylist() if keys else ["all"] * table.num_rows)
    correct = table["correct"].to_numpy().astype(float)
    rows = []
    for name in np.unique(names):
        own = correct[names == name]
        known = own[~np.isnan(own)]
        rows.append({"slice": str(name), "n": len(own), "accuracy": float(known.mean()) if known.size else None})
    return rows


@contextmanager
def _bar(total: int) -> Iterator[Callable[[int, int], None]]:
    """Yield ``advance(n_responses, n_tokens)``; shows responses and tokens per second on a terminal."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    screen = console(stderr=True)
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[speed]}"), TimeRemainingColumn())
    started, n_tokens = time.monotonic(), 0
    with Progress(*columns, console=screen, transient=True, disable=not screen.is_terminal) as bar:
        task = bar.add_task("recording", total=total, speed="")

        def advance(n_responses: int, n_new_tokens: int) -> None:
            nonlocal n_tokens
            n_tokens += n_new_tokens
            speed = f"{n_tokens / (time.monotonic() - started):,.0f} tokens/s"
            bar.update(task, advance=n_responses, speed=speed)

        yield advance
