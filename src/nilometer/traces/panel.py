"""The answers of several models to the same prompts, joined by prompt."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray

from nilometer.errors import ConfigError, NotEnoughDataError

from .slices import slice_names

__all__ = ["Panel", "read_panel"]


@dataclass(frozen=True)
class Panel:
    """Where each model's answers to each prompt stand in a table of traces."""

    table: pa.Table
    prompt_ids: tuple[str, ...]
    """In the order of their first appearance."""
    models: tuple[str, ...]
    """Sorted by name."""
    rows: NDArray[np.int64]
    """(prompts, models, generations) row of the table, -1 where there is no answer."""
    notes: tuple[str, ...] = ()
    """What was left out or looks wrong, a sentence each without its period."""

    @property
    def first_rows(self) -> NDArray[np.int64]:
        """(prompts,) a row of each prompt, for what its rows share."""
        flat = self.rows.reshape(len(self.rows), -1)
        return np.asarray(np.take_along_axis(flat, (flat >= 0).argmax(axis=1)[:, None], axis=1)[:, 0])

    def prompts(self) -> list[str]:
        """Text of each prompt; its id where the traces hold no text."""
        texts = self.table["prompt"].take(pa.array(self.first_rows)).to_pylist()
        return [name if text is None else text for text, name in zip(texts, self.prompt_ids, strict=True)]

    def has_prompts(self) -> bool:
        """Whether every prompt has its text."""
        return bool(self.table["prompt"].take(pa.array(self.first_rows)).null_count == 0)

    def answers(self) -> list[list[list[str | None]]]:
        """Texts by prompt, model and generation; None where missing."""
        texts: list[str | None] = [*self.table["answer"].to_pylist(), None]
        return [[[texts[row] for row in model] for model in prompt] for prompt in self.rows.tolist()]

    def means(self, values: ArrayLike) -> NDArray[np.float64]:
        """(prompts, models) mean over generations of a number per row of the table; NaN where none is known.

        Parameters
        ----------
        values
            (rows of the table,), NaN for unknown.
        """
        return _known_means(np.append(np.asarray(values, dtype=np.float64), np.nan)[self.rows], axis=2)

    def model_means(self, values: ArrayLike) -> NDArray[np.float64]:
        """(models,) mean over prompts of :meth:`means`, such as the length or the price of a model's answers.

        NaN where nothing is known of a model.
        """
        return _known_means(self.means(values), axis=0)

    def slices(self, by: str | Sequence[str]) -> NDArray[np.str_]:
        """(prompts,) slice of each prompt."""
        return np.asarray(slice_names(self.table.take(pa.array(self.first_rows)), by).to_pylist(), dtype=np.str_)


def read_panel(table: pa.Table, *, voter: str = "model") -> Panel:
    """Join the answers of several models by prompt.

    Prompts are the same if their ``prompt_id`` is, or, where that is missing, their text. Several answers of a
    model to a prompt are generations. An empty answer counts as none, and a prompt that one model alone
    answered is left out, since there is nothing to compare.

    Parameters
    ----------
    table
        Traces.
    voter
        Column or attribute that distinguishes the models; with a prompt template's name there the templates of
        one model are compared.

    Raises
    ------
    ConfigError
        If traces have neither prompt id nor prompt, or no voter.
    NotEnoughDataError
        If no prompt was answered by two models.

    Examples
    --------
    >>> table = pa.table({
    ...     "prompt_id": ["p", "p", "p"], "prompt": [None] * 3, "model": ["b", "a", "a"], "answer": ["4", "5", ""]})
    >>> panel = read_panel(table)
    >>> panel.models, panel.answers(), panel.notes
    (('a', 'b'), [[['5'], ['4']]], ('1 empty answers count as missing',))
    """
    names = np.asarray(slice_names(table, [voter]).to_pylist(), dtype=object)
    answers = table["answer"].to_pylist()
    empty = np.array([not (text or "").strip() for text in answers], dtype=bool)
    notes = [f"{int(empty.sum()):,} empty answers count as missing"] if empty.any() else []
    kept = np.flatnonzero(~empty)
    if not kept.size:
        raise NotEnoughDataError("No trace holds an answer.", "Record the texts of the answers.")
    keys = _prompt_keys(table, kept)
    prompt_ids, places = _numbered(keys)
    models = tuple(sorted(set(names[kept].tolist())))
    columns = np.array([models.index(name) for name in names[kept].tolist()])
    rows = _rows(kept, places, columns)
    panel = Panel(table, prompt_ids, models, rows, ())
    if voter == "model":
        notes += _different_texts(table, panel)
    shared = (rows >= 0).any(axis=2).sum(axis=1) > 1
    if not shared.all():
        notes.append(f"{int((~shared).sum()):,} of {len(rows):,} prompts were answered by one model only and left out")
    if not shared.any():
        raise NotEnoughDataError("No prompt was answered by two models.", "Check that their prompt ids agree.")
    kept_ids = tuple(name for name, keep in zip(prompt_ids, shared, strict=True) if keep)
    return Panel(table, kept_ids, models, rows[shared], tuple(notes))


def _prompt_keys(table: pa.Table, kept: NDArray[np.int64]) -> list[str]:
    ids, texts = table["prompt_id"].to_pylist(), table["prompt"].to_pylist()
    keys = [ids[row] if ids[row] is not None else texts[row] for row in kept]
    if any(key is None for key in keys):
        missing = sum(key is None for key in keys)
        raise ConfigError(f"{missing:,} traces have neither `prompt_id` nor `prompt`, so they cannot be joined.")
    return keys


def _numbered(keys: list[str]) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    numbers: dict[str, int] = {}
    places = np.array([numbers.setdefault(key, len(numbers)) for key in keys])
    return tuple(numbers), places


def _rows(kept: NDArray[np.int64], places: NDArray[np.int64], columns: NDArray[np.int64]) -> NDArray[np.int64]:
    n, m = int(places.max()) + 1, int(columns.max()) + 1
    cells = places * m + columns
    order = np.argsort(cells, kind="stable")
    counts = np.bincount(cells, minlength=n * m)
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    generation = np.arange(len(kept)) - starts[cells[order]]
    rows = np.full((n * m, int(counts.max())), -1)
    rows[cells[order], generation] = kept[order]
    return rows.reshape(n, m, -1)


def _different_texts(table: pa.Table, panel: Panel) -> list[str]:
    texts: list[Any] = [*table["prompt"].to_pylist(), None]
    differ = sum(len({texts[row] for row in cell.ravel() if texts[row] is not None}) > 1 for cell in panel.rows)
    if not differ:
        return []
    return [f"{differ:,} prompt ids stand for different prompt texts; check that the ids of all models agree"]


def _known_means(values: NDArray[np.float64], *, axis: int) -> NDArray[np.float64]:
    """Means of the known numbers along an axis; NaN where none is known."""
    known = ~np.isnan(values)
    n = known.sum(axis=axis)
    return np.where(n > 0, np.where(known, values, 0.0).sum(axis=axis) / np.maximum(n, 1), np.nan)
