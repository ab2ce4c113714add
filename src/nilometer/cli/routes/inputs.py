"""What the routing verbs read: answers of several models joined by prompt, embedded, with labels and prices."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from nilometer import decisions, estimators, models, signals, traces
from nilometer.errors import ConfigError, TraceFormatError

from ..common import check_bad_lines, expand_files, progress, talk
from ..inputs import read_correct
from ..runners import keys_from_environment

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray


__all__ = ["RouteOptions", "RoutePanel", "embedder_of", "read_model_costs", "read_route_panel"]

EMBEDDING = "embedding"


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteOptions:
    """How the files are read and the answers compared."""

    voter: str = "model"
    compare: str = EMBEDDING
    embedder: str = "ngrams"
    embedder_model: str | None = None
    cache: Path | None = None
    labels: list[str] | None = None
    label_key: str = "trace_id"
    cost: Path | None = None
    sentinel: Path | None = None
    wire_format: traces.Layout | None = None
    prompts: bool = False
    """Whether the prompts themselves are embedded."""


class RoutePanel(NamedTuple):
    """The joined answers and the arrays made of them."""

    panel: traces.Panel
    table: decisions.AnswerTable
    notes: tuple[str, ...]


def read_route_panel(files: list[str], options: RouteOptions) -> RoutePanel:
    """Read traces of several models, join them by prompt, and embed what is compared.

    Raises
    ------
    TraceFormatError
        If there is no response, or more than one line in a hundred is bad.
    ConfigError
        For options that name nothing known, labels that match nothing, or prices that are missing.
    """
    import numpy as np

    if options.compare != EMBEDDING and options.compare not in signals.ANSWER_KINDS:
        known = ", ".join((EMBEDDING, *signals.ANSWER_KINDS))
        raise ConfigError(f"`--compare` must be one of {known}, got {options.compare!r}.")
    if options.label_key == "prompt_id":
        raise ConfigError("`--label-key` must tell models apart, got prompt_id. Label by trace_id.")
    table = _read(files, options.wire_format)
    panel = traces.read_panel(table, voter=options.voter)
    correct = read_correct(table, options.labels, key=options.label_key)
    scores = panel.means(correct)
    inputs = _embedded_prompts(panel, options)
    texts = panel.prompts()
    answers = decisions.AnswerTable(
        models=panel.models,
        embeddings=_compared(panel, options),
        prompts=inputs,
        scores=None if np.isnan(scores).all() else scores,
        costs=_costs(panel, table, options.cost),
        confidence=_confidence(panel, table, options.sentinel),
        groups=np.asarray(texts) if len(set(texts)) < len(texts) else None,
    )
    return RoutePanel(panel, answers, panel.notes)


def embedder_of(name: str, *, model: str | None) -> models.Embedder:
    """Make the embedder of a name; the key of a server is read from OPENAI_API_KEY."""
    return models.make_embedder(name, model=model, keys=keys_from_environment())


def read_model_costs(path: Path, models: Sequence[str], n_tokens: NDArray[np.float64]) -> NDArray[np.float64]:
    """Price of a call to each model, from a JSON object or a CSV file.

    Parameters
    ----------
    path
        ``{"model": price of a call}``, or columns ``model`` and ``cost`` (of a call) or ``per_million_tokens``.
    n_tokens
        (models,) mean length of an answer, for prices per token; NaN where unknown.

    Raises
    ------
    ConfigError
        If a model has no price, or one that is no number >= 0.
    """
    import numpy as np

    given = _json_costs(path) if path.suffix == ".json" else _csv_costs(path, dict(zip(models, n_tokens, strict=True)))
    missing = [model for model in models if model not in given]
    if missing:
        raise ConfigError(f"{path}: no cost for {', '.join(missing)}; it holds {', '.join(given) or 'no model'}.")
    unknown = [model for model in given if model not in models]
    if unknown:
        talk(f"{path}: {', '.join(unknown)} gave no answer and is left out.")
    costs = [_price(given[model], f"{path}: {model}") for model in models]
    return np.array(costs)


def _price(value: Any, where: str) -> float:
    import numpy as np

    try:
        price = float(value)
    except (TypeError, ValueError):
        price = float("nan")
    if not (np.isfinite(price) and price >= 0):
        raise ConfigError(f"{where}: the cost must be a number >= 0, got {value!r}.")
    return price


def _json_costs(path: Path) -> dict[str, Any]:
    import msgspec

    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except msgspec.MsgspecError as exc:
        raise ConfigError(f"{path}: costs must be a JSON object from model to price ({exc}).") from exc


def _csv_costs(path: Path, n_tokens: dict[str, float]) -> dict[str, Any]:
    import numpy as np

    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        rows, names = list(reader), reader.fieldnames or []
    if "model" not in names or not {"cost", "per_million_tokens"} & set(names):
        raise ConfigError(f"{path}: columns `model` and `cost` or `per_million_tokens` are needed, got {list(names)}.")
    if "cost" in names:
        return {row["model"]: row["cost"] for row in rows}
    priced = {}
    for row in rows:
        length = n_tokens.get(row["model"], 0.0)
        if np.isnan(length):
            raise ConfigError(f"{path}: {row['model']} has answers without `n_tokens`; give its `cost` per call.")
        priced[row["model"]] = _price(row["per_million_tokens"], f"{path}: {row['model']}") * length / 1e6
    return priced


def _read(files: list[str], wire_format: traces.Layout | None) -> pa.Table:
    import pyarrow as pa

    paths = expand_files(files)
    stream = traces.read_traces(paths, format=wire_format)
    batches = []
    with progress("Reading") as advance:
        for batch in stream:
            batches.append(batch)
            advance(batch.num_rows)
    check_bad_lines(stream.report)
    if not batches:
        raise TraceFormatError(f"{', '.join(map(str, paths))}: no response could be read.")
    return pa.Table.from_batches(batches)


def _compared(panel: traces.Panel, options: RouteOptions) -> NDArray[Any]:
    """(prompts, models, dim) vectors, or (prompts, models, generations, dim) with several answers each."""
    answers = panel.answers()
    n, m, g = panel.rows.shape
    flat = [[text for model in prompt for text in model] for prompt in answers]
    if options.compare == EMBEDDING:
        vectors: NDArray[Any] = _embed([text for row in flat for text in row], options, "answers").vectors
    else:
        vectors = signals.answer_embeddings(_read_answers(flat, options.compare))
    shaped = vectors.reshape(n, m, g, -1)
    return shaped[:, :, 0] if g == 1 else shaped


def _read_answers(texts: list[list[str | None]], kind: str) -> list[list[str | None]]:
    """What each answer says; what cannot be read counts as missing, and how many is shown."""
    read = [[signals.read_answer(text, kind) or None for text in row] for row in texts]
    pairs = [(text, value) for row, own in zip(texts, read, strict=True) for text, value in zip(row, own, strict=True)]
    failed = [text for text, value in pairs if text is not None and value is None]
    if failed:
        n = sum(text is not None for text, _ in pairs)
        talk(f"{len(failed):,} of {n:,} answers state no {kind} and count as missing, for example {failed[0][:80]!r}.")
    return read


def _embedded_prompts(panel: traces.Panel, options: RouteOptions) -> NDArray[Any] | None:
    if not options.prompts:
        return None
    if not panel.has_prompts():
        raise ConfigError("`--neighbors` needs the texts of the prompts, and some traces have none.")
    return _embed(panel.prompts(), options, "prompts").vectors


def _embed(texts: Sequence[str | None], options: RouteOptions, what: str) -> models.EmbeddedTexts:
    with progress(f"Embedding {what}") as advance:
        cache = options.cache if options.embedder != "ngrams" else None
        embedder = embedder_of(options.embedder, model=options.embedder_model)
        found = models.embed_texts(texts, embedder, cache=cache, advance=advance)
    each = "" if found.milliseconds_per_text is None else f", {found.milliseconds_per_text:.2g} ms each"
    talk(
        f"Embedded {found.n_embedded:,} {what} ({found.n_characters:,} characters) with {embedder.name} in "
        f"{found.seconds:.2f} s{each}; {found.n_cached:,} were in the cache."
    )
    return found


def _costs(panel: traces.Panel, table: pa.Table, path: Path | None) -> NDArray[np.float64] | None:
    """Prices of a call to each model, from a file or from the traces; None if they are not known."""
    import numpy as np

    if path is not None:
        lengths = table["n_tokens"].to_numpy().astype(np.float64)
        return read_model_costs(path, panel.models, panel.model_means(lengths))
    if "cost" not in traces.attribute_keys(table):
        return None
    spent = panel.model_means(np.array([_number(text) for text in traces.slice_names(table, "cost").to_pylist()]))
    return None if np.isnan(spent).any() else spent


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")


def _confidence(panel: traces.Panel, table: pa.Table, path: Path | None) -> NDArray[np.float64] | None:
    import pyarrow as pa

    if path is None:
        return None
    profiles = pa.Table.from_batches([signals.profile_batch(batch) for batch in table.to_batches()])
    return panel.means(estimators.load_sentinel(path).predict_proba(profiles)[:, 1])
