"""``nilometer decide``: the answer to each prompt that is best for the metric."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from nilometer import decisions, estimators, models, signals
from nilometer.errors import ConfigError, NotEnoughDataError

from .common import AtOption, ColumnsOption, FormatOption, JsonOption, layout_of, talk, write_json
from .decide_compare import show_comparison
from .decide_inputs import Asked, Reading, read_posteriors, read_truths
from .decide_live import LiveOptions, draw_samples
from .decide_score import ScoreOptions, score_candidates
from .outputs import ForceOption, check_outputs, write_whole
from .runners import ConcurrencyOption, ExtraOption, MaxWaitOption, ModelNameOption, TimeoutOption

__all__ = ["decide"]

_LEVEL = 0.95
_LIVE_ONLY = (
    *("model_name", "samples", "confidence_level", "temperature", "max_tokens", "extra", "timeout", "max_wait"),
    *("concurrency", "journal", "price"),
)
_NOT_LIVE = ("fallback", "wire_format", "at", "columns", "score")
_OF_SERVERS = ("model_name", "timeout", "max_wait", "concurrency")


def decide(
    ctx: typer.Context,
    files: Annotated[list[str], typer.Argument(metavar="FILES...", help="Samples or responses; prompts with --live.")],
    metric: Annotated[str, typer.Option(help="A rule of docs/rules.md: mae, f1, accuracy, qwk, ...")],
    parameter: Annotated[float | None, typer.Option(help="Of the metric: a level, delta, beta.")] = None,
    costs: Annotated[Path | None, typer.Option(help="Cost matrix for --metric cost: CSV or JSON.")] = None,
    labels: Annotated[str | None, typer.Option(help="The scale: 1-5, or a,b,c.")] = None,
    parse: Annotated[str | None, typer.Option(help="answer, number, label, items, tokens, text, raw.")] = None,
    field: Annotated[str | None, typer.Option(help="JSON key that holds the score.")] = None,
    pattern: Annotated[str | None, typer.Option(help="Regular expression before or around the score.")] = None,
    fallback: Annotated[str, typer.Option(help="Without log-probabilities: error or samples.")] = "error",
    abstain_cost: Annotated[float | None, typer.Option(help="Answer only if the expected loss is smaller.")] = None,
    truth: Annotated[list[str] | None, typer.Option(help="Right answers by prompt_id: JSONL or CSV.")] = None,
    compare_rules: Annotated[bool, typer.Option("--compare", help="Rules by metrics on the known truths.")] = False,
    calibrate: Annotated[str | None, typer.Option(help="temperature, bias, affine or isotonic; needs truths.")] = None,
    temper: Annotated[float | None, typer.Option(help="Move label log-probabilities to this temperature.")] = None,
    out: Annotated[Path | None, typer.Option(help="Write the decisions here instead (JSONL).")] = None,
    score: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="Score candidates of prompts: hf:FOLDER, smollm2, openai:URL or vllm:URL."),
    ] = None,
    live: Annotated[str | None, typer.Option(help="openai:URL: draw samples for a JSONL of prompts.")] = None,
    model_name: ModelNameOption = None,
    samples: Annotated[int, typer.Option(min=2, help="Most samples per prompt, with --live.")] = 32,
    confidence_level: Annotated[float, typer.Option(min=0.5, max=0.999, help="Stability that ends sampling.")] = _LEVEL,
    temperature: Annotated[float, typer.Option(min=0.01, help="Of the samples, with --live.")] = 1.0,
    max_tokens: Annotated[int, typer.Option(min=1, help="Longest answer, with --live.")] = 64,
    extra: ExtraOption = "{}",
    timeout: TimeoutOption = models.PATIENT.timeout,
    max_wait: MaxWaitOption = models.PATIENT.longest_wait,
    concurrency: ConcurrencyOption = 16,
    journal: Annotated[
        Path | None, typer.Option(help="Keeps every answer of --live; the same command goes on from it.")
    ] = None,
    price: Annotated[str | None, typer.Option(metavar="IN,OUT", help="Per million tokens of prompts, answers.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of samples and resampling.")] = 0,
    wire_format: FormatOption = None,
    at: AtOption = None,
    columns: ColumnsOption = None,
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Choose for each prompt the answer with the best expected score, from samples or log-probabilities.

    One JSON line per prompt goes to standard output, what changed against the mode and the greedy answer to
    standard error. The keys of a server are read from OPENAI_API_KEY, separated by commas.
    """
    _check_options(ctx, is_live=live is not None, is_scored=score is not None)
    check_outputs({"decisions": out, "journal": journal}, [*files, *(truth or ()), costs], force=force)
    rule = decisions.find_rule(metric)
    chosen = _parameter(rule, parameter, costs)
    scale = signals.parse_scale(labels)
    plain = signals.parser_for(parse, scale, _kind(rule))
    reading = Reading(signals.placed(plain, field=field, pattern=pattern), plain, scale, field, pattern, fallback)
    retries = models.Retries(timeout=timeout, longest_wait=max_wait)
    if score is not None:
        asked = score_candidates(files, reading, ScoreOptions(score, model_name, retries, concurrency))
    elif live is None:
        asked = read_posteriors(files, reading, layout_of(wire_format, at, columns))
    else:
        plan = decisions.SamplingPlan(min(4, samples), 2, samples, confidence_level)
        sampling = models.Sampling(temperature, 1, max_tokens, 0, concurrency, seed)
        options = LiveOptions(live, model_name, extra, retries, journal, price)
        asked = draw_samples(files, rule, reading, options=options, draw=(sampling, plan, chosen))
    asked.truths.update(read_truths(truth or (), reading))
    _temper(asked, temper)
    fitted, compared = _known(asked, in_halves=compare_rules and calibrate is not None)
    if calibrate is not None:
        asked.posteriors = _calibrated(asked, calibrate, fitted)
    if compare_rules:
        show_comparison(asked, rule, compared, parameter=chosen, as_json=as_json)
        return
    rows, summary = _decided(asked, rule, parameter=chosen, abstain_cost=abstain_cost, seed=seed)
    _write(rows, {"metric": metric, **summary}, out=out, as_json=as_json)


def _check_options(ctx: typer.Context, *, is_live: bool, is_scored: bool) -> None:
    """Refuse options that would be passed over."""
    wrong = set(_NOT_LIVE if is_live else _LIVE_ONLY) - set(_OF_SERVERS if is_scored and not is_live else ())
    wrong |= {"fallback", "field", "pattern", "wire_format", "at", "columns"} if is_scored else set()
    given = sorted(name for name in wrong if _is_given(ctx, name))
    if given:
        option = "--" + given[0].removeprefix("wire_").replace("_", "-")
        how = "with `--live`" if is_live else "with `--score`" if is_scored else "without `--live`"
        raise ConfigError(f"`{option}` has no meaning {how}. Leave it out.")


def _is_given(ctx: typer.Context, name: str) -> bool:
    source = ctx.get_parameter_source(name)
    return source is not None and source.name != "DEFAULT"


def _parameter(
    rule: decisions.Rule, parameter: float | None, costs: Path | None
) -> float | decisions.CostMatrix | None:
    if costs is None:
        return parameter
    if rule.name != "cost" or parameter is not None:
        raise ConfigError("`--costs` goes with `--metric cost` and without `--parameter`.")
    return decisions.read_cost_matrix(costs)


def _kind(rule: decisions.Rule) -> str:
    return "number" if rule.kind == "number" or rule.name == "qwk" else rule.kind


def _temper(asked: Asked, temperature: float | None) -> None:
    """Move posteriors of log-probabilities to a temperature, without labels."""
    if temperature is None:
        return
    moved: list[estimators.Posterior | NotEnoughDataError] = []
    for one in asked.posteriors:
        try:
            moved.append(one.tempered(temperature) if isinstance(one, estimators.Posterior) else one)
        except ValueError as exc:
            raise ConfigError(f"`--temper`: {exc}") from exc
    asked.posteriors = moved


def _known(asked: Asked, *, in_halves: bool) -> tuple[list[int], list[int]]:
    """Places of the prompts with a truth: those to fit on and those to compare on, apart where both are done."""
    known = [
        place
        for place, identity in enumerate(asked.ids)
        if asked.truths.get(identity) is not None and isinstance(asked.posteriors[place], estimators.Posterior)
    ]
    if not in_halves:
        return known, known
    first, second = decisions.split_by_hash([asked.ids[place] for place in known])
    return [known[i] for i in first], [known[i] for i in second]


def _calibrated(asked: Asked, kind: str, fitted: list[int]) -> list[estimators.Posterior | NotEnoughDataError]:
    posteriors = [one for i in fitted if isinstance(one := asked.posteriors[i], estimators.Posterior)]
    calibrator = estimators.Calibrator(kind).fit(posteriors, [asked.truths[asked.ids[i]] for i in fitted])
    talk(
        f"Calibrated ({kind}) on {len(fitted):,} prompts with a known truth: "
        f"loss {calibrator.loss_before_:.3f} before, {calibrator.loss_after_:.3f} after, on these same prompts."
    )
    return [
        calibrator.transform([one])[0] if isinstance(one, estimators.Posterior) else one for one in asked.posteriors
    ]


def _decided(
    asked: Asked, rule: decisions.Rule, *, parameter: Any, abstain_cost: float | None, seed: int
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    usable = [(i, one) for i, one in enumerate(asked.posteriors) if isinstance(one, estimators.Posterior)]
    if not usable and not asked.facts:
        first = asked.posteriors[0]
        assert isinstance(first, NotEnoughDataError), "every prompt is a posterior or a reason"
        raise ConfigError(f"no prompt can be decided; the first: {first.reason} {first.needed}")
    posteriors = [one for _, one in usable]
    found = decisions.decide_many(posteriors, rule, parameter=parameter, abstain_cost=abstain_cost, seed=seed)
    chosen: list[decisions.Decision] = list(found)
    for place, (i, one) in enumerate(usable):
        if (own := asked.candidates.get(asked.ids[i])) is not None:
            chosen[place] = decisions.decide(
                one, decisions.among(rule, own), parameter=parameter, abstain_cost=abstain_cost, seed=seed
            )
    rows = _rows(asked, chosen)
    summary = _summary(asked, rule, chosen, parameter=parameter)
    summary["expected"] = found.expected if usable and not asked.candidates else None
    return rows, summary


def _rows(asked: Asked, chosen: list[decisions.Decision]) -> list[dict[str, Any]]:
    made, rows = iter(chosen), []
    for place, (identity, one) in enumerate(zip(asked.ids, asked.posteriors, strict=True)):
        row = {"prompt_id": identity, **(asked.facts[place] if asked.facts else {})}
        if isinstance(one, NotEnoughDataError):
            rows.append({**row, "value": None, "reason": f"{one.reason} {one.needed}"})
        else:
            rows.append({**row, **next(made).to_dict(), **_bounds(one)})
    return rows


def _bounds(posterior: estimators.Posterior) -> dict[str, Any]:
    """What missing probability leaves open of the mean, for numbers read off log-probabilities."""
    if not posterior.missing_mass or posterior.kind != "number":
        return {}
    low, high = posterior.mean_bounds()
    return {"mean_low": low, "mean_high": high}


def _summary(asked: Asked, rule: decisions.Rule, chosen: list[decisions.Decision], *, parameter: Any) -> dict[str, Any]:
    """What changed against the mode and the greedy answer, and what that is expected to bring."""
    pairs = [
        (one, greedy)
        for one, greedy in zip(asked.posteriors, asked.greedy, strict=True)
        if isinstance(one, estimators.Posterior)
    ]
    usable = [one for one, _ in pairs]
    unread = sum(one.n_failures for one in usable)
    summary = {
        "rule": rule.name,
        "n_prompts": len(asked.ids),
        "n_undecided": len(asked.ids) - len(usable),
        "n_abstained": sum(one.abstained for one in chosen),
        "n_failures": unread,
        "n_unstable": sum(
            not isinstance(d.stability, estimators.NotEnoughData) and d.stability < _LEVEL for d in chosen
        ),
        "n_single": sum(isinstance(d.stability, estimators.NotEnoughData) for d in chosen),
        **asked.summary,
    }
    baselines = {"mode": decisions.best_answers(usable, "zero_one")}
    if any(greedy is not None for _, greedy in pairs):
        baselines["greedy"] = [greedy for _, greedy in pairs]
    for name, answers in baselines.items():
        change = decisions.expected_change(rule, usable, chosen, answers=answers, parameter=parameter)
        summary[f"n_changed_from_{name}"] = change.n_changed
        summary[f"expected_gain_over_{name}"] = change.expected_gain
    return summary


def _write(rows: list[dict[str, Any]], summary: dict[str, Any], *, out: Path | None, as_json: bool) -> None:
    if out is not None:
        write_whole(out, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    if as_json:
        write_json({"summary": summary, "decisions": [] if out else rows})
        return
    if out is None:
        for row in rows:
            typer.echo(json.dumps(row, ensure_ascii=False))
    _say(summary)


def _say(summary: dict[str, Any]) -> None:
    expected = summary.get("expected")
    score = "" if expected is None else f" Expected over all: {expected:.4g}."
    rule = "" if summary["metric"] == summary["rule"] else f" (the rule {summary['rule']})"
    decided = f"{summary['n_prompts'] - summary['n_undecided']:,} of {summary['n_prompts']:,} prompts"
    talk(f"{decided} decided by {summary['metric']}{rule}.{score}")
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
