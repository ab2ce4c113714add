"""Second opinions as columns of profiles: the answers of others, joined by prompt."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from nilometer.arrays import Floats
from nilometer.errors import ConfigError
from nilometer.traces import as_traces

from .opinions import STATED_CONFIDENCE, agreement, agreement_column, draw_agreement, stated_confidence

__all__ = ["DRAWS", "Compare", "add_draws", "add_opinions", "add_stated", "prompt_keys"]

Compare = Callable[[Sequence[str | None], Sequence[Sequence[str]]], Floats]
"""Takes n answers and, for each, another model's answers to its prompt; returns n agreements, NaN without an answer."""

DRAWS = "further draws"
"""Name of the second opinions that are further draws of the same model."""
_JOINED_BY = ("prompt_id", "prompt", "trace_id")


def add_opinions(
    profiles: pa.Table, traces: Any, others: Any, *, compare: Compare = agreement
) -> tuple[pa.Table, list[str]]:
    """Add a column of agreement for every model that answered the same prompts.

    Parameters
    ----------
    profiles
        Profiles of the traces, in their order.
    traces
        The traces: ids, prompts and answers.
    others
        Traces of other models, or any table with ``answer``, ``model`` and ``prompt_id``, ``prompt`` or ``trace_id``.
        An answer belongs to the responses that have its prompt id, else its prompt, else its trace id.
    compare
        How far answers agree, by default :func:`agreement`.

    Returns
    -------
    The profiles with the columns, and a sentence on every model.

    Raises
    ------
    ConfigError
        If no answer belongs to any response.

    Examples
    --------
    >>> own = pa.table({"trace_id": ["a"], "prompt_id": ["p"], "answer": ["The answer is 4."]})
    >>> other = pa.table({"prompt_id": ["p"], "model": ["small"], "answer": ["4"]})
    >>> add_opinions(pa.table({"max": [0.1]}), own, other)[0]["agrees_with:small"].to_pylist()
    [1.0]
    """
    traces, others = as_traces(traces), as_traces(others)
    answers, found = traces["answer"].to_pylist(), _joined(traces, others)
    if not found:
        ids = [row for row in traces["prompt_id"].to_pylist() if row][:2] or traces["trace_id"].to_pylist()[:2]
        theirs = [row for row in others["prompt_id"].to_pylist() if row][:2] or others["trace_id"].to_pylist()[:2]
        raise ConfigError(
            f"none of the {len(others):,} second answers belongs to a response: responses have ids like "
            f"{', '.join(map(str, ids))}, second answers like {', '.join(map(str, theirs))}. "
            "Give both the same `prompt_id`."
        )
    said = []
    for model, texts in sorted(found.items()):
        values = compare(answers, texts)
        profiles = _with_column(profiles, agreement_column(model), values)
        known = ~np.isnan(values)
        rate = f", {np.mean(values[known]):.0%} of them the same" if known.any() else ""
        said.append(f"{model} answered {known.sum():,} of {len(values):,} responses{rate}")
    return profiles, said


def _joined(traces: pa.Table, others: pa.Table) -> dict[str, list[list[str]]]:
    """Answers of every other model to the prompt of each response."""
    models = [name or "another model" for name in others["model"].to_pylist()]
    texts = [text or "" for text in others["answer"].to_pylist()]
    same_model = bool(set(models) & set(traces["model"].to_pylist()))
    own_ids = set(traces["trace_id"].to_pylist()) if same_model else set()
    found: dict[str, list[list[str]]] = {}
    open_ = set(range(len(traces)))
    for name in _JOINED_BY:
        rows = _rows_by(others, name, own_ids if name != "trace_id" else set())
        keys = traces[name].to_pylist()
        matched = [i for i in sorted(open_) if keys[i] in rows]
        open_ -= set(matched)
        pairs = [(place, row) for place in matched for row in rows[keys[place]]]
        for place, row in pairs:
            if models[row] not in found:
                found[models[row]] = [[] for _ in range(len(traces))]
            found[models[row]][place].append(texts[row])
    return found


def _rows_by(others: pa.Table, name: str, own_ids: set[str]) -> dict[str, list[int]]:
    """Rows of the second answers by a key; the responses themselves are none."""
    rows: dict[str, list[int]] = {}
    for i, (key, trace_id) in enumerate(zip(others[name].to_pylist(), others["trace_id"].to_pylist(), strict=True)):
        if key and trace_id not in own_ids:
            rows.setdefault(key, []).append(i)
    return rows


def add_draws(profiles: pa.Table, traces: Any, *, kind: str = "answer") -> tuple[pa.Table, list[str]]:
    """Add the share of the other draws of the same model to the same prompt that equal each answer.

    Raises
    ------
    ConfigError
        If no prompt has two answers of one model.
    """
    traces = as_traces(traces)
    keys = [f"{model}\0{key}" for model, key in zip(traces["model"].to_pylist(), prompt_keys(traces), strict=True)]
    prompts = np.unique(keys, return_inverse=True)[1]
    values = draw_agreement(traces["answer"].to_pylist(), prompts, kind=kind)
    known = ~np.isnan(values)
    if not known.any():
        raise ConfigError("no prompt has two answers of one model, so there are no further draws to compare.")
    counts = f"{known.sum():,} of {len(values):,} responses have further draws"
    return _with_column(profiles, agreement_column(DRAWS), values), [f"{counts}, {values[known].mean():.0%} the same"]


def add_stated(profiles: pa.Table, traces: Any) -> tuple[pa.Table, list[str]]:
    """Add the confidence that each answer states.

    Raises
    ------
    ConfigError
        If no answer states one.
    """
    values = stated_confidence(as_traces(traces)["answer"].to_pylist())
    known = ~np.isnan(values)
    if not known.any():
        raise ConfigError("no answer states a confidence, such as `Confidence: 80%`. Ask for one in the prompt.")
    said = f"{known.sum():,} of {len(values):,} answers state a confidence, {values[known].mean():.2f} on average"
    return _with_column(profiles, STATED_CONFIDENCE, values), [said]


def prompt_keys(traces: pa.Table) -> list[str]:
    """What names the prompt of each response: its id, else its text, else the id of the response."""
    columns = (traces[name].to_pylist() for name in _JOINED_BY)
    return [str(prompt_id or prompt or trace_id) for prompt_id, prompt, trace_id in zip(*columns, strict=True)]


def _with_column(profiles: pa.Table, name: str, values: Floats) -> pa.Table:
    column = pa.array(values.astype(np.float32))
    if name in profiles.column_names:
        return profiles.set_column(profiles.column_names.index(name), name, column)
    return profiles.append_column(name, column)
