"""``nilometer decide``: the answer to each prompt that is best for the metric."""

import hashlib
import json
import os
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import typer

from nilometer.decisions import (
    USUAL,
    Comparison,
    Decision,
    LiveDecision,
    Rule,
    SamplingPlan,
    best_answers,
    compare,
    decide_live,
    decide_many,
    find_rule,
)
from nilometer.errors import ConfigError, NotEnoughDataError
from nilometer.estimators import Calibrator, NotEnoughData, Posterior
from nilometer.models import Sampling, ServerRunner, SuiteOptions, make_suite
from nilometer.signals import placed

from .common import JsonOption, console, talk, write_json
from .decide_inputs import Asked, Reading, parse_scale, parser_for, read_posteriors, read_truths

__all__ = ["decide"]

_LEVEL = 0.95


def decide(
    files: Annotated[list[str], typer.Argument(metavar="FILES...", help="Samples or responses; prompts with --live.")],
    metric: Annotated[str, typer.Option(help="A rule of docs/rules.md: mae, f1, accuracy, qwk, ...")],
    parameter: Annotated[float | None, typer.Option(help="Of the metric: a level, delta, beta.")] = None,
    labels: Annotated[str | None, typer.Option(help="The scale: 1-5, or a,b,c.")] = None,
    parse: Annotated[str | None, typer.Option(help="answer, number, label, items, tokens, text, raw.")] = None,
    field: Annotated[str | None, typer.Option(help="JSON key that holds the score.")] = None,
    pattern: Annotated[str | None, typer.Option(help="Regular expression before or around the score.")] = None,
    fallback: Annotated[str, typer.Option(help="Without log-probabilities: error or samples.")] = "error",
    abstain_cost: Annotated[float | None, typer.Option(help="Answer only if the expected loss is smaller.")] = None,
    truth: Annotated[list[str] | None, typer.Option(help="Right answers by prompt_id: JSONL or CSV.")] = None,
    compare_rules: Annotated[bool, typer.Option("--compare", help="Rules by metrics on the known truths.")] = False,
    calibrate: Annotated[str | None, typer.Option(help="temperature, bias, affine or isotonic; needs truths.")] = None,
    out: Annotated[Path | None, typer.Option(help="Write the decisions here instead (JSONL).")] = None,
    live: Annotated[str | None, typer.Option(help="openai:URL: draw samples for a JSONL of prompts.")] = None,
    model_name: Annotated[str | None, typer.Option(help="Name of the model at the server.")] = None,
    samples: Annotated[int, typer.Option(min=2, help="Most samples per prompt, with --live.")] = 32,
    confidence_level: Annotated[float, typer.Option(min=0.5, max=0.999, help="Stability that ends sampling.")] = _LEVEL,
    temperature: Annotated[float, typer.Option(min=0.01, help="Of the samples, with --live.")] = 1.0,
    max_tokens: Annotated[int, typer.Option(min=1, help="Longest answer, with --live.")] = 64,
    seed: Annotated[int, typer.Option(min=0, help="Of samples and resampling.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Choose for each prompt the answer with the best expected score, from samples or log-probabilities.

    One JSON line per prompt goes to standard output, what changed against the mode and the greedy answer to
    standard error. The key of a server is read from OPENAI_API_KEY.
    """
    rule = find_rule(metric)
    scale = parse_scale(labels)
    plain = parser_for(parse, scale, _kind(rule))
    reading = Reading(placed(plain, field=field, pattern=pattern), plain, scale, field, pattern, fallback)
    if live is not None:
        plan = SamplingPlan(min(4, samples), 2, samples, confidence_level)
        sampling = Sampling(temperature, 1, max_tokens, 1, 16, seed)
        _live(files, rule, _Server(live, model_name, sampling, plan), reading, parameter=parameter, as_json=as_json)
        return
    asked = read_posteriors(files, reading)
    asked.truths.update(read_truths(truth or (), reading))
    known = _Known.of(asked, compare_half=compare_rules and calibrate is not None)
    if calibrate is not None:
        asked.posteriors = _calibrated(asked, calibrate, known.fitted)
    if compare_rules:
        _compare(asked, rule, known.compared, parameter=parameter, as_json=as_json)
        return
    rows, summary = _decide(asked, rule, parameter=parameter, abstain_cost=abstain_cost, seed=seed)
    _write(rows, summary, out=out, as_json=as_json)


def _kind(rule: Rule) -> str:
    return "number" if rule.kind == "number" or rule.name == "qwk" else rule.kind


class _Known(NamedTuple):
    """Places of the prompts with a truth: those to fit on and those to compare on."""

    fitted: list[int]
    compared: list[int]

    @classmethod
    def of(cls, asked: Asked, *, compare_half: bool) -> "_Known":
        """Split by a hash of the id where a calibrator must not be judged on its own labels."""
        known = [
            i
            for i, identity in enumerate(asked.ids)
            if asked.truths.get(identity) is not None and isinstance(asked.posteriors[i], Posterior)
        ]
        if not compare_half:
            return cls(known, known)
        halves: tuple[list[int], list[int]] = ([], [])
        for i in known:
            halves[hashlib.sha256(asked.ids[i].encode()).digest()[0] % 2].append(i)
        return cls(*halves)


def _calibrated(asked: Asked, kind: str, fitted: list[int]) -> list[Posterior | NotEnoughDataError]:
    posteriors = [one for i in fitted if isinstance(one := asked.posteriors[i], Posterior)]
    calibrator = Calibrator(kind).fit(posteriors, [asked.truths[asked.ids[i]] for i in fitted])
    talk(
        f"Calibrated ({kind}) on {len(fitted):,} prompts with a known truth: "
        f"loss {calibrator.loss_before_:.3f} before, {calibrator.loss_after_:.3f} after, on these same prompts."
    )
    return [calibrator.transform([one])[0] if isinstance(one, Posterior) else one for one in asked.posteriors]


def _decide(
    asked: Asked, rule: Rule, *, parameter: Any, abstain_cost: float | None, seed: int
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    usable = [one for one in asked.posteriors if isinstance(one, Posterior)]
    if not usable:
        first = asked.posteriors[0]
        assert isinstance(first, NotEnoughDataError), "every prompt is a posterior or a reason"
        raise ConfigError(f"no prompt can be decided; the first: {first.reason} {first.needed}")
    found = decide_many(usable, rule, parameter=parameter, abstain_cost=abstain_cost, seed=seed)
    decisions = iter(found)
    rows: list[dict[str, Any]] = []
    for identity, one in zip(asked.ids, asked.posteriors, strict=True):
        if isinstance(one, NotEnoughDataError):
            rows.append({"prompt_id": identity, "value": None, "reason": f"{one.reason} {one.needed}"})
        else:
            rows.append({"prompt_id": identity, **next(decisions).to_dict()})
    summary = _summary(asked, rule, list(found), parameter=parameter)
    summary["expected"] = found.expected
    return rows, summary


def _summary(asked: Asked, rule: Rule, decisions: list[Decision], *, parameter: Any) -> dict[str, Any]:
    """What changed against the mode and the greedy answer, and what that is expected to bring."""
    pairs = [
        (one, greedy) for one, greedy in zip(asked.posteriors, asked.greedy, strict=True) if isinstance(one, Posterior)
    ]
    usable = [one for one, _ in pairs]
    summary = {
        "rule": rule.name,
        "n_prompts": len(asked.ids),
        "n_undecided": len(asked.ids) - len(usable),
        "n_abstained": sum(one.abstained for one in decisions),
        "n_failures": sum(one.n_failures for one in usable),
        "n_unstable": sum(not isinstance(d.stability, NotEnoughData) and d.stability < _LEVEL for d in decisions),
        "n_single": sum(isinstance(d.stability, NotEnoughData) for d in decisions),
    }
    baselines = {"mode": best_answers(usable, "zero_one")}
    if any(greedy is not None for _, greedy in pairs):
        baselines["greedy"] = [greedy for _, greedy in pairs]
    for name, answers in baselines.items():
        rows = [row for row in zip(usable, answers, decisions, strict=True) if row[1] is not None]
        summary[f"n_changed_from_{name}"] = sum(answer != d.value and not d.abstained for _, answer, d in rows)
        summary[f"expected_gain_over_{name}"] = _gain(rule, rows, parameter)
    return summary


def _gain(rule: Rule, rows: list[tuple[Posterior, Any, Decision]], parameter: Any) -> float | None:
    """Mean risk of other answers less that of the decisions; None for a metric of the whole batch or intervals."""
    if rule.is_batch or rule.loss is None or rule.name in ("interval", "cost"):
        return None
    gains = []
    for posterior, answer, decision in rows:
        if rule.kind == "number":
            losses = rule.loss(np.array([[float(answer)]]), posterior.numbers[None, :], parameter or _default(rule))
        else:
            losses = np.array([[rule.loss(answer, y, parameter or _default(rule)) for y in posterior.values]])
        risk = float(rule.risks(losses, posterior.weights[None, :], parameter or _default(rule))[0])
        gains.append(risk - float(decision.risk or 0.0))
    return float(np.mean(gains)) if gains else None


def _default(rule: Rule) -> Any:
    return rule.parameter.default if rule.parameter else None


def _write(rows: list[dict[str, Any]], summary: dict[str, Any], *, out: Path | None, as_json: bool) -> None:
    if out is not None:
        out.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    if as_json:
        write_json({"summary": summary, "decisions": [] if out else rows})
        return
    if out is None:
        for row in rows:
            typer.echo(json.dumps(row, ensure_ascii=False))
    _say(summary)


def _say(summary: dict[str, Any]) -> None:
    expected = summary.get("expected")
    metric = "" if expected is None else f" Expected over all: {expected:.4g}."
    talk(f"{summary['n_prompts']:,} prompts decided by {summary['rule']}.{metric}")
    for name in ("mode", "greedy"):
        if f"n_changed_from_{name}" in summary:
            gain = summary[f"expected_gain_over_{name}"]
            saved = "" if gain is None else f", expected loss lower by {gain:.4g} a prompt"
            talk(f"{summary[f'n_changed_from_{name}']:,} differ from the {name}{saved}.")
    for key, said in (
        ("n_undecided", "prompts cannot be decided (see `reason`)"),
        ("n_failures", "answers could not be read and are not counted"),
        ("n_abstained", "prompts are better left unanswered"),
        ("n_unstable", f"decisions are less than {_LEVEL:.0%} stable"),
        ("n_single", "prompts have a single sample, which says nothing of stability"),
    ):
        if summary.get(key):
            talk(f"{summary[key]:,} {said}.")


def _compare(asked: Asked, rule: Rule, places: list[int], *, parameter: Any, as_json: bool) -> None:
    if not places:
        raise ConfigError("`--compare` needs right answers (`--truth FILE`) for prompts of the file; none matches.")
    posteriors = [one for i in places if isinstance(one := asked.posteriors[i], Posterior)]
    truths = [asked.truths[asked.ids[i]] for i in places]
    usual = USUAL[posteriors[0].kind]
    answers = _answers([asked.greedy[i] for i in places], posteriors, (*usual.rules, rule.name), parameter=parameter)
    metrics: list[Any] = [name for name in usual.metrics if name != rule.name]
    found = compare(posteriors, truths, answers=answers, metrics=[(rule, parameter), *metrics])
    if as_json:
        write_json({"n": found.n, "confidence_level": found.confidence_level, "cells": found.to_dicts()})
        return
    _show(found)


def _answers(
    greedy: list[Any], posteriors: list[Posterior], names: tuple[str, ...], *, parameter: Any
) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    if all(answer is not None for answer in greedy):
        found["greedy"] = greedy
    for name in dict.fromkeys(names):
        rule = find_rule(name)
        found[name] = best_answers(posteriors, rule, parameter=parameter if name == names[-1] else None)
    return found


def _show(found: Comparison) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    table.add_column("metric")
    table.add_column("rule")
    for name in ("value", "gain", "interval"):
        table.add_column(name, justify="right", no_wrap=True)
    seen: set[str] = set()
    for cell in found.cells:
        change = ("", "") if cell.metric not in seen else (f"{cell.gain:+.3f}", f"{cell.low:+.3f} to {cell.high:+.3f}")
        table.add_row("" if cell.metric in seen else cell.metric, cell.rule, f"{cell.value:.3f}", *change)
        seen.add(cell.metric)
    console().print(table)
    talk(
        f"{found.n:,} prompts with a known truth. Gain over {found.cells[0].rule} with its "
        f"{found.confidence_level:.0%} paired bootstrap interval; above 0 is better whatever the metric."
    )


class _Server(NamedTuple):
    """Where samples come from, and how many."""

    where: str
    model_name: str | None
    sampling: Sampling
    plan: SamplingPlan


def _live(files: list[str], rule: Rule, server: _Server, reading: Reading, *, parameter: Any, as_json: bool) -> None:
    ask = _Asking(server)
    questions = [question for path in files for part in make_suite(path, SuiteOptions()).values() for question in part]
    found = decide_live(
        ask,
        [question.prompt for question in questions],
        rule,
        plan=server.plan,
        read=(reading.parse, reading.labels),
        parameter=parameter,
    )
    rows = [_live_row(question.prompt_id, one) for question, one in zip(questions, found, strict=True)]
    saved = server.plan.most * len(questions) - ask.n_asked
    summary = {
        "rule": rule.name,
        "n_prompts": len(rows),
        "n_calls": ask.n_asked,
        "n_calls_saved": saved,
        "n_settled": sum(one.is_settled for one in found),
        "n_undecided": sum(isinstance(one.decision, NotEnoughData) for one in found),
    }
    if as_json:
        write_json({"summary": summary, "decisions": rows})
        return
    for row in rows:
        typer.echo(json.dumps(row, ensure_ascii=False))
    talk(
        f"{ask.n_asked:,} samples for {len(rows):,} prompts, {saved:,} fewer than {server.plan.most} each; "
        f"{summary['n_settled']:,} decisions are {server.plan.confidence_level:.0%} stable."
    )


class _Asking:
    """Draws samples from a server, each call with a seed of its own, and counts them."""

    def __init__(self, server: _Server) -> None:
        kind, _, url = server.where.partition(":")
        if kind != "openai" or not url:
            raise ConfigError(f"`--live` must be openai:URL, got {server.where!r}.")
        if server.model_name is None:
            raise ConfigError("`--model-name` must name the model at the server.")
        self.runner = ServerRunner(url, model=server.model_name, key=os.environ.get("OPENAI_API_KEY"))
        self.sampling = server.sampling
        self.n_asked = 0

    def __call__(self, prompts: Any) -> list[str]:
        seed = self.sampling.seed + self.n_asked
        self.n_asked += len(prompts)
        return [trace.answer or "" for trace in self.runner.answer(prompts, self.sampling, seed=seed)]


def _live_row(identity: str, one: LiveDecision) -> dict[str, Any]:
    head = {"prompt_id": identity, "n_samples": len(one.samples), "is_settled": one.is_settled}
    if isinstance(one.decision, NotEnoughData):
        return {**head, "value": None, "reason": f"{one.decision.reason} {one.decision.needed}"}
    return {**head, **one.decision.to_dict()}
