"""Responses as one value: profiles with slices, families, labels and probabilities, made once and passed on."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from nilometer.arrays import Bools, Floats, Ints, Strings, Times
from nilometer.traces import SliceIndex, as_table, attribute_keys, index_slices, join_labels, slice_index

from .profiles import Profiles, as_profiles
from .residuals import LEAST_SLICES

__all__ = ["Responses", "as_responses", "choose_keys", "cut_responses", "usable_families"]


_CAPTURE = "capture_probability"
_USUAL_KEYS = ("domain", "task", "dataset", "tenant", "route")
"""Attributes that name a segment of traffic wherever they occur, the most telling first."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Responses:
    """The profiles of n responses, and what is known of each; every stage after the signals takes this value.

    Examples
    --------
    >>> import pyarrow as pa
    >>> responses = as_responses(pa.table({"max": [0.1, 2.0]}), ["a", "b"], correct=[1.0, None])
    >>> responses.labelled.slices.names, responses.n_labels
    (('a',), 1)
    """

    profiles: Profiles
    slices: SliceIndex
    families: SliceIndex
    """Larger unit of each slice (its task, its customer); its slices err together."""
    correct: Floats
    """Shape (n,), labels in [0, 1], NaN where there is none."""
    p_correct: Floats
    """Shape (n,), probability of a correct answer, NaN where not known."""
    context: pa.Table | None = None
    """The table that the responses came in, for ids, times and attributes."""
    keys: tuple[str, ...] = ()
    """Keys that the slices were cut by."""
    family_key: str = ""
    """Key that the families were cut by; empty where each slice is its own."""
    notes: tuple[str, ...] = ()
    """What a reader should know of the slices and families."""

    def __len__(self) -> int:
        return len(self.correct)

    def rows(self, rows: NDArray[Any]) -> "Responses":
        """Return the selected responses, by a mask or by row numbers."""
        return Responses(
            profiles=self.profiles.rows(rows),
            slices=self.slices.take(rows),
            families=self.families.take(rows),
            correct=self.correct[rows],
            p_correct=self.p_correct[rows],
            context=None if self.context is None else _taken(self.context, rows),
            keys=self.keys,
            notes=self.notes,
        )

    @property
    def is_labelled(self) -> Bools:
        """Return which responses have a label, shape (n,)."""
        return ~np.isnan(self.correct)

    @property
    def labelled(self) -> "Responses":
        """Return the responses that have a label."""
        known = self.is_labelled
        return self if known.all() else self.rows(known)

    @property
    def n_labels(self) -> int:
        """Responses with a label."""
        return int(self.is_labelled.sum())

    @property
    def weights(self) -> Floats:
        """Shape (n,), equal sums for all families, n in total."""
        counts = self.families.counts
        return np.asarray((len(self) / len(counts) / counts)[self.families.codes])

    @property
    def accuracies(self) -> dict[str, float]:
        """Share of correct answers by slice; every response must have a label."""
        shares = np.bincount(self.slices.codes, self.correct, len(self.slices.names)) / self.slices.counts
        return dict(zip(self.slices.names, shares.tolist(), strict=True))

    @property
    def trace_ids(self) -> Strings:
        """Ids, shape (n,); the number of the row where a response has none."""
        numbers = np.arange(len(self)).astype(np.str_)
        if self.context is None or "trace_id" not in self.context.column_names:
            return numbers
        return np.asarray(pc.coalesce(self.context["trace_id"].cast(pa.string()), pa.array(numbers)).to_pylist())

    @property
    def times(self) -> Times:
        """Times in UTC, shape (n,), NaT where not known."""
        if self.context is None or "time" not in self.context.column_names:
            return np.full(len(self), np.datetime64("NaT", "us"))
        return np.asarray(self.context["time"].to_numpy().astype("datetime64[us]"))

    @property
    def prompts(self) -> Ints:
        """Number of the prompt of each response, shape (n,): answers to one prompt come together and err together.

        A response without ``prompt_id`` counts as the only one to its prompt.
        """
        if self.context is None or "prompt_id" not in self.context.column_names:
            return np.arange(len(self))
        given = self.context["prompt_id"].cast(pa.string())
        given = pc.if_else(pc.equal(given, ""), pa.scalar(None, pa.string()), given)
        return index_slices(pc.coalesce(given, pa.array(self.trace_ids))).codes

    @property
    def family_of(self) -> dict[str, str]:
        """Family of every slice.

        Raises
        ------
        ValueError
            If a slice lies in two families.
        """
        pairs = np.unique(self.slices.codes * max(len(self.families.names), 1) + self.families.codes)
        own, family = np.divmod(pairs, max(len(self.families.names), 1))
        if len(own) > len(self.slices.names):
            twice = self.slices.names[int(np.flatnonzero(np.bincount(own) > 1)[0])]
            raise ValueError(f"`families` must give every slice one family, got several for {twice!r}.")
        return {self.slices.names[i]: self.families.names[j] for i, j in zip(own, family, strict=True)}

    @property
    def capture_weights(self) -> Floats:
        """Requests that each response stands for, shape (n,): one over its ``capture_probability``, 1 without one.

        Raises
        ------
        ValueError
            If a probability lies outside (0, 1].
        """
        if self.context is None or _CAPTURE not in self.context.column_names:
            return np.ones(len(self))
        chances = np.asarray(pc.fill_null(self.context[_CAPTURE].cast(pa.float64()), 1.0).to_numpy())
        if chances.size and not (chances.min() > 0 and chances.max() <= 1):
            raise ValueError(f"`{_CAPTURE}` must lie in (0, 1], got {chances.min():g} to {chances.max():g}.")
        return 1 / chances

    def only(self, features: set[str]) -> "Responses":
        """Keep some features, times and probabilities of capture, so that taking rows does not copy the others."""
        kept = [name for name in ("time", _CAPTURE) if self.context is not None and name in self.context.column_names]
        context = self.context.select(kept) if self.context is not None and kept else None
        return replace(self, profiles=self.profiles.only(features), context=context)

    def with_p_correct(self, p_correct: Floats) -> "Responses":
        """Return the same responses with other probabilities."""
        return replace(self, p_correct=p_correct)

    @property
    def unlabelled(self) -> "Responses":
        """The same responses, their labels hidden."""
        return replace(self, correct=np.full(len(self), np.nan))


def _taken(table: pa.Table, rows: NDArray[Any]) -> pa.Table:
    return table.filter(pa.array(rows)) if rows.dtype == np.bool_ else table.take(pa.array(rows))


def as_responses(
    X: Any, slices: Any = None, *, correct: Any = None, families: Any = None, p_correct: Any = None
) -> Responses:
    """Put profiles and what is known of each response into one value; a value made before comes back as it is.

    Parameters
    ----------
    X
        Profiles in any form that :func:`as_profiles` takes, or ``Responses``.
    slices
        Shape (n,), slice of each response; or a column, an attribute or an SQL expression over them, or several of
        these, see ``slice_index``. None is one slice called ``all``.
    correct
        Shape (n,), labels in [0, 1], NaN or None where there is none; or the name of a column. None has no labels at
        all.
    families
        Larger unit that each slice belongs to, in the same forms as the slices; None makes each slice its own family.
    p_correct
        Shape (n,), probability of a correct answer, NaN where not known.

    Raises
    ------
    ValueError
        If the parts are not equally long, or names are given and X has no columns.
    ConfigError
        If a name is no column, attribute or expression.
    """
    if isinstance(X, Responses):
        return X
    profiles = as_profiles(X)
    n = len(profiles)
    index = SliceIndex(np.zeros(n, dtype=np.int64), ("all",) * bool(n)) if slices is None else _units(X, slices, n)
    units = index if families is None else _units(X, families, n)
    correct = _named_column(X, correct) if isinstance(correct, str) else correct
    labels, p = (
        np.full(n, np.nan) if one is None else np.asarray(one, dtype=np.float64) for one in (correct, p_correct)
    )
    lengths = {"profiles": n, "labels": len(labels), "slices": len(index), "families": len(units), "p_correct": len(p)}
    if len(set(lengths.values())) > 1:
        said = ", ".join(f"{count:,} {name}" for name, count in lengths.items())
        raise ValueError(f"profiles, labels, slices, families and `p_correct` must be equally long, got {said}.")
    context = None if isinstance(X, Profiles | np.ndarray) else as_table(X, name="X")
    return Responses(profiles=profiles, slices=index, families=units, correct=labels, p_correct=p, context=context)


def _units(X: Any, given: Any, n: int) -> SliceIndex:
    """Index units given by name, or for each response."""
    if isinstance(given, str) or (_are_names(given) and len(given) != n):
        if isinstance(X, Profiles | np.ndarray):
            raise ValueError(f"slices can be named by a column only where X is a table, got {given!r}.")
        return slice_index(as_table(X, name="X"), given)
    return index_slices(given)


def _are_names(given: Any) -> bool:
    return isinstance(given, list | tuple) and bool(given) and all(isinstance(name, str) for name in given)


def _named_column(X: Any, name: str) -> Floats:
    table = as_table(X, name="X")
    if name not in table.column_names:
        raise ValueError(
            f"`correct` must be a column of X, got {name!r}; the columns are {', '.join(table.column_names)}."
        )
    return np.asarray(table[name].cast(pa.float64()).to_numpy())


def _joined(table: pa.Table, labels: Any) -> Floats:
    """Labels of a table with ``trace_id`` and ``correct``, joined to the responses by id."""
    given = as_table(labels, name="correct")
    missing = {"trace_id", "correct"} - set(given.column_names)
    if missing:
        raise ValueError(f"a table of labels must have trace_id and correct, got {', '.join(given.column_names)}.")
    given = given.set_column(
        given.column_names.index("correct"), "correct", given["correct"].cast(pa.float32())
    ).drop_null()
    joined, found = join_labels(table["trace_id"], given)
    if given.num_rows and not found.n_matched:
        raise ValueError(f"no label belongs to a response: labels have ids like {', '.join(found.unmatched[:2])}.")
    return joined.astype(np.float64)


def cut_responses(table: Any, by: Any = (), *, correct: Any = None) -> Responses:
    """Cut profiles into slices by keys, and into the families that they lie in.

    With several keys the families are the values of a usual one of them (domain, task, dataset, tenant, route), else
    of the first. With one key they are those of a usual attribute that nests the slices: each slice lies in one of its
    values.

    Parameters
    ----------
    table
        Profiles of ``profile_traces`` (Arrow, polars, pandas), or ``Responses``, which come back as they are.
    by
        One slice key or several, see ``slice_index``; empty chooses one, see :func:`choose_keys`. Or an array of
        shape (n,) with the slice of each response.
    correct
        Shape (n,), labels in [0, 1], NaN or None where there is none; the name of a column; or a table of labels with
        ``trace_id`` and ``correct``. None has no labels at all.

    Raises
    ------
    ConfigError
        If a key is unknown.
    ValueError
        If an array has another length than the table.

    Examples
    --------
    >>> cut_responses(pa.table({"max": [0.1, 2.0], "domain": ["gcd", "sum"]}), ["domain"]).slices.names
    ('gcd', 'sum')
    """
    if isinstance(table, Responses):
        return table
    table = as_table(table)
    if hasattr(correct, "columns"):
        correct = _joined(table, correct)
    if not isinstance(by, str) and not _are_names(by) and len(by):
        return replace(as_responses(table, by, correct=correct), keys=("slice",))
    keys, note = choose_keys(table, [by] if isinstance(by, str) else by)
    slices = slice_index(table, keys)
    key, families = _families(table, keys, slices)
    responses = as_responses(table, slices, correct=correct, families=families)
    return replace(responses, keys=keys, family_key=key, notes=(note,) if note else ())


def _families(table: pa.Table, keys: tuple[str, ...], slices: SliceIndex) -> tuple[str, SliceIndex]:
    """Key of the families and their index; an empty key and the slices where there are none."""
    if len(keys) > 1:
        key = next((key for key in _USUAL_KEYS if key in keys), keys[0])
        return key, slice_index(table, [key])
    known = {*table.column_names, *attribute_keys(table)}
    for key in (key for key in _USUAL_KEYS if key in known and key not in keys):
        families = slice_index(table, [key])
        pairs = len(np.unique(slices.codes * len(families.names) + families.codes))
        if 1 < len(families.names) < len(slices.names) == pairs:
            return key, families
    return "", slices


def choose_keys(table: Any, keys: Sequence[str] = ()) -> tuple[tuple[str, ...], str]:
    """Slice keys to use and, where none were asked for, a sentence on which was taken."""
    if keys:
        return tuple(keys), ""
    found = attribute_keys(table)
    usual = [key for key in _USUAL_KEYS if key in found][:1] or ["model"]
    return tuple(usual), f"no slice keys were given, so slices are by {usual[0]}"


def usable_families(responses: Responses) -> tuple[Responses, str]:
    """Keep the families that slices were cut into, if enough have labels to leave one out, and say so.

    With fewer each slice is its own family.
    """
    key, n = responses.family_key, len(responses.families.take(responses.is_labelled).names)
    if not key:
        return responses, ""
    if n < LEAST_SLICES:
        few = f"only {n} values of {key} have labels, so slices of one {key} are taken as independent"
        note = f"{few}; intervals may be too narrow for a new {key}"
        return replace(responses, families=responses.slices), note
    return responses, f"intervals are made from {n} labelled values of {key}, each left out whole"
