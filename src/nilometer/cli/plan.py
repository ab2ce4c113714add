"""``nilometer plan``: what to label next, which slices to label first, what to acquire, where nobody looked."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import pyarrow as pa
import typer
from numpy.typing import NDArray

from nilometer.decisions import (
    AcquireOptions,
    SliceAcquisition,
    SliceCost,
    Text,
    Traffic,
    choose_families,
    choose_keys,
    choose_slices,
    cover_slice,
    measure_plan,
    moved_share,
    plan_acquisition,
    plan_labels,
    read_costs,
    read_label_plan,
    short_name,
    write_label_plan,
)
from nilometer.errors import ConfigError, NotEnoughDataError
from nilometer.estimators import (
    Estimate,
    NotEnoughData,
    Sentinel,
    cluster_embeddings,
    confirm_weak_slices,
    find_weak_slices,
    load_sentinel,
    with_labels,
)
from nilometer.signals import FEATURE_NAMES
from nilometer.traces import attribute_keys, read_labels, read_traces, slice_names

from .common import (
    ByOption,
    ConfidenceOption,
    FilesArgument,
    FormatOption,
    JsonOption,
    LabelKeyOption,
    LabelsOption,
    console,
    expand_files,
    split_keys,
    talk,
    write_json,
)
from .inputs import read_correct, read_inputs

__all__ = ["acquire", "label", "measure", "plan", "slices", "weak"]

plan = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    help="What to label next, what to acquire, and which slices nobody named are weak.",
)

_SHOWN = 3
_OTHER_EXPONENTS = (0.2, 0.5)

SentinelOption = Annotated[
    Path | None, typer.Option("--sentinel", metavar="FILE", help="A saved sentinel; else one is fitted on the labels.")
]
SeedOption = Annotated[int, typer.Option("--seed", min=0, help="Of what is drawn.")]


class _Known(NamedTuple):
    """Traffic, and what is believed of it."""

    profiles: pa.Table
    keys: tuple[str, ...]
    names: NDArray[np.str_]
    correct: NDArray[np.float64]
    p_correct: NDArray[np.float64]
    estimates: tuple[Estimate | NotEnoughData, ...]


@plan.command()
def label(
    files: FilesArgument,
    budget: Annotated[int, typer.Option(min=1, help="Labels to plan.")],
    out: Annotated[Path, typer.Option(help="Where the plan goes; .csv writes CSV, else JSONL.")],
    label_studio: Annotated[Path | None, typer.Option(metavar="FILE", help="Also as tasks of Label Studio.")] = None,
    argilla: Annotated[Path | None, typer.Option(metavar="FILE", help="Also as records of Argilla.")] = None,
    labels: LabelsOption = None,
    label_key: LabelKeyOption = "trace_id",
    by: ByOption = None,
    sentinel: SentinelOption = None,
    weigh: Annotated[
        str, typer.Option(help="Slices count by their traffic, or all are equal: traffic, equal.")
    ] = "traffic",
    seed: SeedOption = 0,
    wire_format: FormatOption = None,
    as_json: JsonOption = False,
) -> None:
    """Choose which responses to label next, with the chance with which each was drawn.

    Give the plan and its labels to `nilometer plan measure` for valid intervals.
    """
    known = _read(files, labels, label_key=label_key, by=by, sentinel=sentinel, wire_format=wire_format)
    traffic = Traffic(np.asarray(known.profiles["trace_id"].to_pylist()), known.names, known.correct, known.p_correct)
    found = plan_labels(
        traffic, {row.slice: row for row in known.estimates}, budget, rng=np.random.default_rng(seed), weigh=weigh
    )
    texts = _texts(files, {row.trace_id for row in found.labels}, wire_format)
    write_label_plan(out, found.labels, texts, form="csv" if out.suffix == ".csv" else "jsonl")
    for path, form in ((label_studio, "label-studio"), (argilla, "argilla")):
        if path:
            write_label_plan(path, found.labels, texts, form=form)
    if as_json:
        write_json(found.to_dict())
    else:
        rows = [
            (
                short_name(row.slice, known.keys),
                f"{row.n:,}",
                f"{row.n_labels:,}",
                f"{row.n_new:,}",
                f"{row.half_width:.3f}",
                f"{row.expected_half_width:.3f}",
            )
            for row in found.slices
        ]
        _table((", ".join(known.keys), "n", "labels", "to label", "half-width now", "expected"), rows)
    talk(f"{len(found.labels):,} responses to label in {out}.")


@plan.command()
def measure(
    plans: Annotated[list[Path], typer.Argument(metavar="PLANS...", help="Files of `nilometer plan label`, in order.")],
    labels: Annotated[list[str], typer.Option("--labels", metavar="FILE", help="CSV, JSONL or Parquet.")],
    label_key: LabelKeyOption = "trace_id",
    confidence_level: ConfidenceOption = 0.95,
    as_json: JsonOption = False,
) -> None:
    """Accuracy of every planned slice from its labels: a valid interval, whatever the predictions were worth."""
    rounds = [read_label_plan(path) for path in plans]
    planned = [row for one in rounds for row in one]
    table = read_labels(expand_files(labels), key=label_key)
    correct = dict(zip(table["trace_id"].to_pylist(), table["correct"].to_pylist(), strict=True))
    given = sum(row.trace_id in correct for row in planned)
    if not given:
        raise ConfigError(f"none of the {len(correct):,} labels belongs to a response of {', '.join(map(str, plans))}.")
    found = measure_plan(rounds, correct, confidence_level=confidence_level)
    rows: list[dict[str, Any]] = []
    for name, row in found.items():
        if isinstance(row, NotEnoughDataError):
            rows.append({"slice": name, "accuracy": None, "low": None, "high": None, "reason": str(row)})
        else:
            rows.append({"slice": name, **{k: getattr(row, k) for k in ("accuracy", "low", "high", "n", "n_labels")}})
    if as_json:
        write_json(rows)
    else:
        _table(("slice", "n", "labels", "accuracy", "interval"), [_measured(row) for row in rows])
    talk(f"{given:,} of {len(planned):,} planned responses have labels.")


def _measured(row: dict[str, Any]) -> tuple[str, ...]:
    if row["accuracy"] is None:
        return (row["slice"], "", "", "unknown", row["reason"])
    interval = f"{row['low']:.3f} to {row['high']:.3f}"
    return (row["slice"], f"{row['n']:,}", f"{row['n_labels']:,}", f"{row['accuracy']:.3f}", interval)


@plan.command()
def acquire(
    files: FilesArgument,
    budget: Annotated[float, typer.Option(help="Examples, or money if --cost is given.")],
    cost: Annotated[
        Path | None, typer.Option(metavar="FILE", help="CSV: slice, cost, and where known examples, exponent.")
    ] = None,
    target: Annotated[float, typer.Option(min=0, max=1, help="Accuracy that is wanted.")] = 1.0,
    worst: Annotated[int, typer.Option(min=1, help="Tell the probability of being among so many worst.")] = 3,
    examples: Annotated[int, typer.Option(min=0, help="Responses that cover each chosen slice.")] = 5,
    labels: LabelsOption = None,
    label_key: LabelKeyOption = "trace_id",
    by: ByOption = None,
    sentinel: SentinelOption = None,
    seed: SeedOption = 0,
    wire_format: FormatOption = None,
    as_json: JsonOption = False,
) -> None:
    """Choose for which slices to collect data: traffic x gap x what an example is expected to close, per cost."""
    known = _read(files, labels, label_key=label_key, by=by, sentinel=sentinel, wire_format=wire_format)
    if not known.estimates:
        raise NotEnoughDataError("no accuracy is known without labels or a sentinel.", "Give --labels or --sentinel.")
    costs = read_costs(cost) if cost else None
    for name in sorted(set(costs or ()) - {row.slice for row in known.estimates}):
        talk(f"No response is in the slice {name} of {cost}.")
    estimates = with_labels(
        known.estimates, known.names, correct=known.correct, p_correct=known.p_correct, finite=False
    )
    options = AcquireOptions(target, worst)
    found = plan_acquisition(estimates, budget, costs=costs, options=options, rng=np.random.default_rng(seed))
    chosen = {row.slice: _covering(known, row.slice, examples) for row in found if row.n_new}
    if as_json:
        fields = found[0].__dataclass_fields__
        write_json([{**{k: getattr(row, k) for k in fields}, "examples": chosen.get(row.slice, [])} for row in found])
        return
    _show_acquisition(found, known.keys, worst)
    for name, ids in list(chosen.items())[:_SHOWN]:
        talk(f"{name}: for example {', '.join(ids)}")
    talk(_assumed(estimates, found, budget, costs=costs, options=options, seed=seed))


@plan.command()
def slices(
    files: FilesArgument,
    k: Annotated[int, typer.Option("--k", min=2, help="Slices to choose.")] = 4,
    by: ByOption = None,
    wire_format: FormatOption = None,
    as_json: JsonOption = False,
) -> None:
    """Choose which slices to label first from unlabelled traffic: the middles of equal parts of its difficulty."""
    profiles = read_inputs(files, by=split_keys(by), wire_format=wire_format).profiles
    keys, note = choose_keys(profiles, split_keys(by))
    names = np.asarray(slice_names(profiles, keys).to_pylist())
    scores = _mean_scores(profiles, names)
    chosen = choose_slices(scores, k)
    if as_json:
        write_json([{"slice": name, "mean_largest_entropy": scores[name]} for name in chosen])
    else:
        _table(
            (", ".join(keys), "mean largest entropy, nats"), [(short_name(n, keys), f"{scores[n]:.3f}") for n in chosen]
        )
    if note:
        talk(f"{note[0].upper()}{note[1:]}.")


@plan.command()
def weak(
    files: FilesArgument,
    labels: LabelsOption = None,
    label_key: LabelKeyOption = "trace_id",
    by: ByOption = None,
    sentinel: SentinelOption = None,
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
    as_json: JsonOption = False,
) -> None:
    """Find weak slices that nobody named: conjunctions of attributes with many expected errors.

    They are found on expected errors and tested on labels (false discovery rate --rate); those without labels say
    what to label.
    """
    known = _read(files, labels, label_key=label_key, by=by, sentinel=sentinel, wire_format=wire_format)
    if np.isnan(known.p_correct).all():
        raise NotEnoughDataError("no accuracy is known without labels or a sentinel.", "Give --labels or --sentinel.")
    attributes = {key: slice_names(known.profiles, [key]).to_pylist() for key in attribute_keys(known.profiles)}
    if embeddings is not None:
        attributes["cluster"] = _clusters(embeddings, len(known.names), clusters)
    found = find_weak_slices(1 - known.p_correct, attributes, depth=depth, least=least)
    tested = confirm_weak_slices(found, known.correct, attributes)
    if as_json:
        write_json([{"slice": row.name, **row._asdict(), "confirmed": _verdict(row.p_value, rate)} for row in tested])
        return
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
    _table(("slice", "n", "expected error", "realised", "verdict"), rows)
    if not rows:
        talk("No slice is worse than all traffic by more than its size costs.")


def _verdict(p_value: float | None, rate: float) -> str:
    if p_value is None:
        return "label 20 of it to know"
    return "confirmed" if p_value <= rate else "not confirmed"


def _read(
    files: list[str],
    labels: list[str] | None,
    *,
    label_key: str,
    by: list[str] | None,
    sentinel: Path | None,
    wire_format: str | None,
) -> _Known:
    profiles = read_inputs(files, by=split_keys(by), wire_format=wire_format).profiles
    correct = read_correct(profiles, labels, key=label_key).astype(np.float64)
    keys, note = choose_keys(profiles, split_keys(by))
    if note:
        talk(f"{note[0].upper()}{note[1:]}.")
    names = np.asarray(slice_names(profiles, keys).to_pylist())
    fitted = load_sentinel(sentinel) if sentinel else _fit(profiles, correct, keys, names=names)
    if fitted is None:
        return _Known(profiles, keys, names, correct, np.full(len(names), np.nan), ())
    estimates = tuple(fitted.estimate(profiles, by=names, correct=correct))
    return _Known(profiles, keys, names, correct, fitted.predict_proba(profiles)[:, 1], estimates)


def _fit(
    profiles: pa.Table, correct: NDArray[np.float64], keys: tuple[str, ...], *, names: NDArray[np.str_]
) -> Sentinel | None:
    """Fit on the labels; None, said aloud, where they do not allow it."""
    families, _ = choose_families(profiles, keys, correct.astype(np.float32))
    try:
        return Sentinel().fit(profiles, correct, groups=names, families=families)
    except NotEnoughDataError as exc:
        talk(f"No sentinel: {exc} All slices count as unknown.")
        return None


def _texts(files: list[str], wanted: set[str], wire_format: str | None) -> dict[str, Text]:
    """Prompts and answers of the chosen responses, by reading the traces once more."""
    found: dict[str, Text] = {}
    with suppress(ValueError):  # files of profiles hold no text
        for batch in read_traces(expand_files(files), format=wire_format):
            ids, prompts, answers = (batch.column(name).to_pylist() for name in ("trace_id", "prompt", "answer"))
            rows = zip(ids, prompts, answers, strict=True)
            found |= {name: Text(prompt, answer) for name, prompt, answer in rows if name in wanted}
    missing = sum(name not in found or found[name].answer is None for name in wanted)
    if missing:
        talk(f"{missing:,} of {len(wanted):,} responses come without their text; find it by trace_id.")
    return found


def _show_acquisition(found: Sequence[SliceAcquisition], keys: tuple[str, ...], worst: int) -> None:
    rows = [
        (
            short_name(row.slice, keys),
            f"{row.share:.0%}",
            "unknown" if row.accuracy is None else f"{row.accuracy:.2f}",
            f"{row.p_worst:.0%}",
            f"{row.n_new:,}",
            f"{row.cost:,.0f}",
            f"{row.errors_closed:.2f}",
        )
        for row in found
    ]
    head = (", ".join(keys), "share", "estimated", f"in worst {worst}", "collect", "cost", "fewer errors / 1,000")
    _table(head, rows)


def _assumed(
    estimates: Sequence[Estimate | NotEnoughData],
    found: Sequence[SliceAcquisition],
    budget: float,
    *,
    costs: dict[str, SliceCost] | None,
    options: AcquireOptions,
    seed: int,
) -> str:
    """Say what learning curve was assumed, and how much of the budget hangs on it."""
    usual = SliceCost().exponent
    known = costs or {row.slice: SliceCost() for row in estimates}
    moved = []
    for exponent in _OTHER_EXPONENTS:
        other = {k: c._replace(exponent=exponent) if c.exponent == usual else c for k, c in known.items()}
        rng = np.random.default_rng(seed)
        moved.append(moved_share(found, plan_acquisition(estimates, budget, costs=other, options=options, rng=rng)))
    said = "; ".join(f"with {g:g}, {share:.0%}" for g, share in zip(_OTHER_EXPONENTS, moved, strict=True))
    return (
        f"What an example closes is an assumption: a learning curve of exponent {usual:g} where the cost file says "
        f"nothing else. With another one part of the budget would go to other slices: {said}."
    )


def _covering(known: _Known, name: str, n: int) -> list[str]:
    rows = np.flatnonzero(known.names == name)
    features = np.stack([known.profiles[f].to_numpy()[rows] for f in FEATURE_NAMES], axis=1).astype(np.float64)
    ids = known.profiles["trace_id"].take(pa.array(rows[cover_slice(features, n)])) if n else pa.array([])
    return [str(value) for value in ids.to_pylist()]


def _mean_scores(profiles: pa.Table, names: NDArray[np.str_]) -> dict[str, float]:
    score = profiles["max"].to_numpy().astype(np.float64)
    score = profiles["nll_avg"].to_numpy().astype(np.float64) if np.isnan(score).all() else score
    known = ~np.isnan(score)
    return {str(name): float(score[known & (names == name)].mean()) for name in np.unique(names[known])}


def _clusters(path: Path, n: int, n_clusters: int) -> list[str]:
    embeddings = np.load(path, allow_pickle=False)
    if embeddings.ndim != 2 or len(embeddings) != n:
        raise ConfigError(f"`embeddings` must have shape ({n}, dim), one row per response, got {embeddings.shape}.")
    return [str(name) for name in cluster_embeddings(embeddings.astype(np.float64), n_clusters)]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for i, name in enumerate(head):
        table.add_column(name, justify="left" if i == 0 else "right", overflow="fold")
    for row in rows:
        table.add_row(*map(escape, row))
    console().print(table)
