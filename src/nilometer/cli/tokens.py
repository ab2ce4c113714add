"""``nilometer tokens``: answers token by token, shaded by confidence."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nilometer import estimators, pages, signals, traces
from nilometer.errors import ConfigError, MissingLogprobsError, NotEnoughDataError

from .common import (
    AtOption,
    ColumnsOption,
    FilesArgument,
    FormatOption,
    JsonOption,
    check_bad_lines,
    console,
    expand_files,
    layout_of,
    talk,
    write_json,
)
from .outputs import ForceOption, check_outputs, write_whole

if TYPE_CHECKING:
    import pyarrow as pa


__all__ = ["tokens"]

_ALTERNATIVES = 5


def tokens(
    files: FilesArgument,
    ids: Annotated[list[str] | None, typer.Option("--id", help="Only this trace_id; may be repeated.")] = None,
    n: Annotated[int, typer.Option(min=1, help="At most so many answers.")] = 5,
    confidence: Annotated[Path | None, typer.Option(help="A confidence learned before; else the probability.")] = None,
    learn: Annotated[
        Path | None, typer.Option(help="Learn a confidence from answers whose only right text is known, and write it.")
    ] = None,
    wanted: Annotated[str, typer.Option(help="Attribute with the right text, for --learn.")] = "worked",
    out: Annotated[Path | None, typer.Option(help="Write an HTML page here.")] = None,
    wire_format: FormatOption = None,
    at: AtOption = None,
    columns: ColumnsOption = None,
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Show answers token by token, shaded by how likely each token is right.

    With --learn FILE, fit that confidence on traces whose right text is in an attribute (the recordings of the
    studies have one), domains counting equally.
    """
    check_outputs({"page": out, "confidence": learn}, [*files, confidence], force=force)
    paths = expand_files(files)
    attention = traces.has_attention(paths)
    stream = traces.read_traces(
        paths,
        format=layout_of(wire_format, at, columns),
        keep=("attention", "top_tokens") if attention else ("top_tokens",),
    )
    if learn:
        _learn(stream, learn, wanted, attention=attention, as_json=as_json)
        check_bad_lines(stream.report)
        return
    model = estimators.load_token_confidence(confidence) if confidence else None
    found = (view for batch in stream for view in _views(batch, model, ids))
    views = list(found if ids else islice(found, n))
    check_bad_lines(stream.report)
    if not views:
        raise MissingLogprobsError("no answer with tokens and log-probabilities" + (" has that id." if ids else "."))
    if out:
        write_whole(out, pages.render_tokens(views, calibrated=model is not None))
        talk(f"Wrote {len(views):,} answers to {out}.")
    if as_json:
        write_json([_plain(view) for view in views])
    elif not out:
        _show(views, calibrated=model is not None)


def _features(batch: pa.RecordBatch) -> Iterator[tuple[int, Any, Any, Any]]:
    """Yield row, features, log-probabilities and attention of every response with tokens; no features without k."""
    attention = signals.attention_from_batch(batch) if "attention" in batch.schema.names else [None] * batch.num_rows
    texts = batch.column("tokens")
    for row in range(batch.num_rows):
        ragged = signals.ragged_from_batch(batch.slice(row, 1))
        said = texts[row].as_py()
        if said and len(said) == len(ragged.chosen):
            own = attention[row]
            listed = ragged.top.shape[1] > 0
            yield row, signals.token_features(ragged.chosen, ragged.top, attention=own) if listed else None, ragged, own


def _learn(stream: Any, path: Path, wanted: str, *, attention: bool, as_json: bool) -> None:
    import numpy as np

    names = signals.TOKEN_OUTPUT_NAMES + (signals.TOKEN_ATTENTION_NAMES if attention else ())
    features, truth, domains = [], [], []
    for batch in stream:
        rows = batch.column("attributes").to_pylist()
        for row, own, _, _ in _features(batch):
            known = dict(rows[row] or {})
            if wanted in known and own is not None and own.shape[1] == len(names):
                features.append(own)
                truth.append(signals.token_truth(batch.column("tokens")[row].as_py(), known[wanted]))
                domains += [known.get("domain", "")] * len(own)
    if not features:
        raise NotEnoughDataError(f"no response has the attribute {wanted!r}.", "Name it with --wanted.")
    fitted = estimators.TokenConfidence(names=names).fit(np.concatenate(features), np.concatenate(truth), domains)
    estimators.save_token_confidence(path, fitted)
    if as_json:
        write_json({"out": str(path), "n_tokens": fitted.n_tokens_, "n_domains": len(set(domains))})
    talk(f"Learned on {fitted.n_tokens_:,} tokens of {len(set(domains))} domains. Wrote {path}.")


def _views(
    batch: pa.RecordBatch, model: estimators.TokenConfidence | None, ids: list[str] | None
) -> Iterator[pages.AnswerView]:
    import numpy as np

    named = batch.column("top_tokens").to_pylist() if "top_tokens" in batch.schema.names else [None] * batch.num_rows
    for row, features, ragged, attention in _features(batch):
        trace_id = batch.column("trace_id")[row].as_py()
        if ids and trace_id not in ids:
            continue
        p = np.nan_to_num(np.exp(ragged.chosen))  # unknown means below the cut-off
        shade = p if model is None else model.predict_proba(_fitting(features, model))[:, 1]
        spread = _spread(ragged)
        told = [
            pages.TokenView(
                text,
                float(shade[i]),
                float(p[i]),
                *spread[i],
                _alternatives(np.exp(ragged.top[i]), named[row], i, len(p)),
            )
            for i, text in enumerate(batch.column("tokens")[row].as_py())
        ]
        scattered = (
            None if attention is None else signals.normalized_attention_entropy(attention.entropy, attention.n_keys)
        )
        yield pages.AnswerView(
            trace_id, batch.column("prompt")[row].as_py(), tuple(told), batch.column("correct")[row].as_py(), scattered
        )


def _spread(ragged: Any) -> list[tuple[float | None, float | None]]:
    """Return entropy and varentropy of each token, None where no alternative is listed."""
    import numpy as np

    if not ragged.top.shape[1]:
        return [(None, None)] * len(ragged.chosen)
    found = signals.token_signals(ragged.chosen, ragged.top)
    pairs = zip(found.entropy.tolist(), found.varentropy.tolist(), strict=True)
    return [(None if np.isnan(h) else h, None if np.isnan(v) else v) for h, v in pairs]


def _fitting(features: Any, model: estimators.TokenConfidence) -> Any:
    n = len(model.names)
    if features is None:
        raise ConfigError("the confidence needs alternatives. Ask for `top_logprobs=20`, or leave out --confidence.")
    if features.shape[1] < n:
        raise ConfigError("the confidence needs attention statistics. Record the traces with --attention.")
    return features[:, :n]


def _alternatives(p: Any, named: list[str] | None, place: int, n_tokens: int) -> tuple[tuple[str | None, float], ...]:
    import numpy as np

    width = len(named) // n_tokens if named else 0
    texts = named[place * width : (place + 1) * width] if named else []
    best = [float(value) for value in p[:_ALTERNATIVES] if np.isfinite(value)]
    return tuple((texts[i] if i < len(texts) else None, value) for i, value in enumerate(best))


def _plain(view: pages.AnswerView) -> dict[str, Any]:
    return {"trace_id": view.trace_id, "correct": view.correct, "tokens": [token._asdict() for token in view.tokens]}


def _nats(entropy: float | None) -> str:
    return "" if entropy is None else f" ({entropy:.2f} nats)"


def _show(views: list[pages.AnswerView], *, calibrated: bool) -> None:
    from rich.text import Text

    screen = console()
    for view in views:
        screen.print(Text(f"{view.trace_id}  {(view.prompt or '')[:200]}", style="dim"))
        line = Text()
        for token in view.tokens:
            low = 1 - min(max(token.confidence, 0.0), 1.0)
            plain = "underline " if token.confidence < 0.5 else ""
            line.append(token.text, style=f"{plain}on rgb({int(60 + 150 * low)},60,50)" if low > 0.1 else plain or None)
        screen.print(line)
        unsure = sorted(view.tokens, key=lambda token: token.confidence)[:3]
        said = ", ".join(f"{token.text!r} {token.confidence:.2f}{_nats(token.entropy)}" for token in unsure)
        screen.print(Text(f"least sure: {said}\n", style="dim"))
    talk(
        "Shaded by calibrated confidence." if calibrated else "Shaded by probability, not calibrated; see --confidence."
    )
