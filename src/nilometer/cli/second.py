"""``nilometer second``: ask another model a sample of the prompts, and say what its answers are worth."""

from __future__ import annotations

import zlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from nilometer import estimators, models, signals, traces
from nilometer.errors import ConfigError, NotEnoughDataError

from .common import (
    AtOption,
    ByOption,
    ColumnsOption,
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
from .decide_live import default_journal, read_price, shown_progress
from .inputs import read_correct, read_inputs
from .opinions import AgreeOption, add_second, opinions_of
from .outputs import check_outputs
from .runners import ConcurrencyOption, ExtraOption, MaxWaitOption, ModelNameOption, TimeoutOption, open_server

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa


__all__ = ["second"]

_CHARACTERS = 4.0
"""Characters of a prompt per token, for the price before the run; the real count comes with every answer."""


class _Asked(NamedTuple):
    """The prompts that another model is asked."""

    keys: tuple[str, ...]
    prompts: tuple[str, ...]
    n_slices: int
    n_tokens: float
    """Tokens of the prompts, about."""


def second(
    files: FilesArgument,
    model: Annotated[str, typer.Option(help="openai:URL of the other model.")],
    out: Annotated[Path, typer.Option(help="JSONL file for its answers; give it to --second of other verbs.")],
    model_name: ModelNameOption = None,
    per_slice: Annotated[int, typer.Option(min=1, help="Responses of each slice whose prompts are asked.")] = 50,
    labels: LabelsOption = None,
    label_key: LabelKeyOption = "trace_id",
    by: ByOption = None,
    agree: AgreeOption = "answer",
    seed: Annotated[int, typer.Option(min=0, help="Of the sample.")] = 0,
    temperature: Annotated[float, typer.Option(min=0, help="Of the answers.")] = 0.0,
    max_tokens: Annotated[int, typer.Option(min=1, help="Longest answer.")] = 1024,
    price: Annotated[str | None, typer.Option(help="Of a million tokens of prompts and of answers: 0.15,0.6.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be asked and what it costs, no more.")
    ] = False,
    journal: Annotated[Path | None, typer.Option(help="Keeps every answer; the same command goes on from it.")] = None,
    extra: ExtraOption = "{}",
    timeout: TimeoutOption = 300.0,
    max_wait: MaxWaitOption = 600.0,
    concurrency: ConcurrencyOption = 16,
    wire_format: FormatOption = None,
    at: AtOption = None,
    columns: ColumnsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Ask another model a random sample of every slice's prompts, and say what its answers are worth.

    Labelled responses are asked about first: they teach what an agreement means. The answers go to --out; `report`,
    `fit`, `estimate` and `profile` read them with --second.
    """
    import numpy as np

    if not model.startswith("openai:") or model == "openai:":
        raise ConfigError(f"`--model` must be openai:URL, got {model!r}.")
    if out.exists() and not dry_run:
        raise ConfigError(f"{out}: the file is there already. Give another name, or remove it.")
    check_outputs({"answers": out, "journal": journal}, [*files, *(labels or ())], force=False)
    opinions = opinions_of([str(out)], agree)
    read = read_inputs(files, wire_format=layout_of(wire_format, at, columns), keep_texts=True)
    if read.texts is None:
        raise ConfigError("finished profiles hold no prompts to ask. Give the traces they were made from.")
    texts, profiles = read.texts, read.profiles
    correct = read_correct(profiles, labels, key=label_key)
    responses = estimators.cut_responses(profiles, split_keys(by), correct=correct)
    asked = _choose(responses, texts, per_slice=per_slice, rng=np.random.default_rng(seed))
    costs = read_price(price)
    _say_price(asked, profiles, costs)
    if dry_run:
        return
    retries = models.Retries(longest_wait=max_wait, timeout=timeout)
    url = model.removeprefix("openai:")
    runner = open_server(url, model_name, extra=extra, retries=retries, concurrency=concurrency)
    sampling = models.Sampling(temperature, 1, max_tokens, 0, concurrency, seed)
    kept = journal or default_journal(model, model_name, files)
    found = _write(out, asked, _ask(runner, asked, sampling, path=kept, costs=costs), model=runner.name)
    worth = (
        {}
        if opinions is None
        else _worth(responses, add_second(profiles, texts, opinions), asked=asked, costs=costs, runner=runner)
    )
    if as_json:
        write_json({"out": str(out), "n": found, "n_calls": runner.usage.n_calls, **worth})


def _choose(responses: estimators.Responses, texts: pa.Table, *, per_slice: int, rng: np.random.Generator) -> _Asked:
    """Draw prompts of every slice, those of labelled responses first; equal prompts are asked once."""
    import numpy as np

    keys, prompts = signals.prompt_keys(texts), texts["prompt"].to_pylist()
    if not any(prompts):
        raise ConfigError(
            "the traces hold no prompts, so nobody can be asked. Give other answers with `--second FILE`."
        )
    has_prompt = np.array([bool(prompt) for prompt in prompts])
    chosen: dict[str, str] = {}
    for _, rows in responses.slices.rows():
        rows = rng.permutation(rows[has_prompt[rows]])
        rows = rows[np.argsort(~responses.is_labelled[rows], kind="stable")]
        found = list(dict.fromkeys(keys[row] for row in rows.tolist()))[:per_slice]
        text = {keys[row]: prompts[row] for row in rows.tolist()}
        chosen |= {key: text[key] for key in found}
    if not has_prompt.all():
        talk(f"{(~has_prompt).sum():,} responses have no prompt and are not asked about.")
    characters = sum(map(len, chosen.values()))
    return _Asked(tuple(chosen), tuple(chosen.values()), len(responses.slices.names), characters / _CHARACTERS)


def _say_price(asked: _Asked, profiles: pa.Table, costs: tuple[float, float] | None) -> None:
    """Say what would be asked, and about what it costs if the answers are as long as those that are there."""
    import pyarrow.compute as pc

    n_answers = len(asked.keys) * float(pc.mean(profiles["n_tokens"]).as_py() or 0.0)
    cost = "" if costs is None else f": about {(asked.n_tokens * costs[0] + n_answers * costs[1]) / 1e6:,.4g}"
    talk(
        f"{len(asked.keys):,} prompts in {asked.n_slices:,} slices, about {asked.n_tokens:,.0f} tokens of prompts and "
        f"{n_answers:,.0f} of answers if they are as long as those of the traces{cost}."
    )


def _ask(
    runner: models.ServerRunner,
    asked: _Asked,
    sampling: models.Sampling,
    *,
    path: Path,
    costs: tuple[float, float] | None,
) -> list[traces.Trace]:
    """Ask every prompt once; each answer is on disk before the next step."""
    seeds = [zlib.crc32(key.encode()) % 2**31 for key in asked.keys]
    with models.Journal(path) as journal, shown_progress(runner, len(asked.keys), costs):
        runner.journal = journal
        talk(f"Every answer is kept in {path}; the same command goes on from there ({len(journal):,} are in it).")
        try:
            return runner.draw(asked.prompts, sampling, seeds=seeds)
        except ConfigError as exc:
            raise ConfigError(f"{exc} {len(journal):,} answers are kept in {path}; the same command goes on.") from exc


def _write(out: Path, asked: _Asked, answers: list[traces.Trace], *, model: str) -> int:
    """Write the answers as JSON lines, whole or not at all; how many there are."""
    import msgspec

    rows = [
        {"trace_id": f"second/{model}/{key}", "prompt_id": key, "model": model, "answer": trace.answer or ""}
        for key, trace in zip(asked.keys, answers, strict=True)
        if trace.finish_reason != "refused"
    ]
    if not rows:
        raise ConfigError(f"{model} refused every prompt, for example: {answers[0].attributes.get('error', '')}")
    with traces.whole_file(out) as file:
        file.write(b"".join(msgspec.json.encode(row) + b"\n" for row in rows))
    talk(f"{len(rows):,} answers of {model} in {out}; {len(answers) - len(rows):,} prompts were refused.")
    return len(rows)


def _worth(
    responses: estimators.Responses,
    profiles: pa.Table,
    *,
    asked: _Asked,
    costs: tuple[float, float] | None,
    runner: models.ServerRunner,
) -> dict[str, Any]:
    """Say what the answers are worth on left-out families, where labels allow it, and what they cost a slice."""
    n = len(asked.keys) / asked.n_slices
    spent = "" if costs is None else f", {runner.usage.price(costs) / asked.n_slices:,.3g} in all now"
    talk(f"A slice took {n:,.0f} calls{spent}.")
    told = replace(responses, profiles=estimators.as_profiles(profiles))
    try:
        sentinel, _ = estimators.fit_sentinel(told)
    except NotEnoughDataError as exc:
        talk(f"What they are worth is not known without labels: {exc}")
        return {}
    for note in sentinel.notes_:
        if "second opinions" in note:
            talk(f"{note[0].upper()}{note[1:]}.")
    if sentinel.second_ is None:
        return {}
    gain = sentinel.second_.gain
    return {"error": gain.error, "error_without": gain.other_error, "worth_labels": sentinel.second_.worth_labels(n)}
