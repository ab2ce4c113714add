"""Why something changed, in words, from what the responses carry: model, settings, lengths, ends, one customer."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nilometer.estimators import Responses
from nilometer.traces import attribute_keys, slice_index

__all__ = ["Stretch", "likely_reasons", "stretch_of"]


_SETTINGS = ("temperature", "k", "logprobs_mode")
_MOVED = 0.5
"""Share of the responses that must have another value for a setting or model to count as changed."""
_LONGER, _MORE_ENDS, _MORE_MIX = 1.2, 0.05, 0.1
_MOST_VALUES, _OF_CHANGE, _OF_TRAFFIC, _LEAST_SHIFT = 50, 0.7, 0.5, 0.02


class Stretch(NamedTuple):
    """The responses of one window, or of the reference."""

    window: str
    responses: Responses
    models: frozenset[str]
    """Models and fingerprints that gave at least a tenth of the answers."""


def stretch_of(window: str, responses: Responses) -> Stretch:
    """Make a stretch of the responses of one window."""
    found: set[str] = set()
    for name in ("model_fingerprint", "model"):
        shares = _shares(responses, name)
        found |= {f"{name}={value}" for value, share in shares.items() if share >= 0.1}
    return Stretch(window, responses, frozenset(found))


def likely_reasons(
    stretches: Sequence[Stretch], first: int, last: int, *, slices: Sequence[str] = ()
) -> tuple[str, ...]:
    """Say what else is different from window ``first`` to ``last``, compared with what was before, likeliest first.

    What is compared is the responses of ``slices``; all of them where none of these is a slice. Nothing here proves a
    cause: it is what came with the change.
    """
    before = [_own(stretch.responses, slices) for stretch in stretches[:first]]
    after = [_own(stretch.responses, slices) for stretch in stretches[first : last + 1]]
    return (
        *_changed_values(stretches, before, after),
        *_changed_mix(before, after),
        *_changed_attributes(before, after),
        *_changed_lengths(before, after),
        *_changed_ends(before, after),
        *_one_value(before, after),
    )


def _own(responses: Responses, slices: Sequence[str]) -> Responses:
    index = responses.slices
    wanted = set(slices)
    kept = np.isin(index.codes, [i for i, name in enumerate(index.names) if name in wanted])
    return responses.rows(kept) if kept.any() else responses


def _column(parts: Sequence[Responses], name: str) -> pa.ChunkedArray | None:
    """Values of a column over several stretches, without those that are missing; None where there are none."""
    tables = [part.context for part in parts if part.context is not None and name in part.context.column_names]
    if not tables:
        return None
    values = pa.chunked_array([chunk for table in tables for chunk in table[name].chunks]).drop_null()
    return values if len(values) else None


def _shares(responses: Responses, name: str) -> dict[str, float]:
    return _shares_of(_column([responses], name))


def _shares_of(values: pa.ChunkedArray | None) -> dict[str, float]:
    if values is None:
        return {}
    counts = pc.value_counts(values).to_pylist()
    named = [(row["values"], row["counts"]) for row in counts]
    return {f"{value:g}" if isinstance(value, float) else str(value): n / len(values) for value, n in named}


def _changed_values(
    stretches: Sequence[Stretch], before: Sequence[Responses], after: Sequence[Responses]
) -> Iterator[str]:
    """The model, its fingerprint, and what was asked of it."""
    for name in ("model_fingerprint", "model", *_SETTINGS):
        old, new = (_shares_of(_column(parts, name)) for parts in (before, after))
        if not old or not new:
            continue
        moved = sum(max(share - old.get(value, 0.0), 0.0) for value, share in new.items())
        if moved >= _MOVED:
            most = [max(shares, key=lambda value: shares[value]) for shares in (old, new)]
            own = (
                stretch.window for stretch in stretches if _shares(stretch.responses, name).get(most[1], 0.0) >= _MOVED
            )
            yield f"{name} changed from {most[0]} to {most[1]} in {next(own, stretches[-1].window)}"


def _changed_mix(before: Sequence[Responses], after: Sequence[Responses]) -> Iterator[str]:
    old, new = (_slice_shares(parts) for parts in (before, after))
    gains = {name: share - old.get(name, 0.0) for name, share in new.items()}
    moved = sum(max(gain, 0.0) for gain in gains.values())
    if len(old) > 1 and moved >= _MORE_MIX:
        most = max(gains, key=lambda name: gains[name])
        yield f"{most} grew from {old.get(most, 0.0):.0%} to {new[most]:.0%} of the traffic"


def _changed_attributes(before: Sequence[Responses], after: Sequence[Responses]) -> Iterator[str]:
    """Attributes that do not cut the slices, and of which many responses have another value."""
    sides = [[part.context for part in parts if part.context is not None] for parts in (before, after)]
    if not sides[0] or not sides[1]:
        return
    keys = set.intersection(*(set(attribute_keys(side[-1])) for side in sides)) - set(before[0].keys)
    for key in sorted(keys):
        old, new = (
            _shares_of(pa.chunked_array([slice_index(one, [key]).to_arrow() for one in side])) for side in sides
        )
        gains = {value: share - old.get(value, 0.0) for value, share in new.items()}
        if len(gains) <= _MOST_VALUES and sum(max(gain, 0.0) for gain in gains.values()) >= _MOVED:
            most = max(gains, key=lambda value: gains[value])
            yield f"{key}={most} grew from {old.get(most, 0.0):.0%} to {new[most]:.0%} of these responses"


def _slice_shares(parts: Sequence[Responses]) -> dict[str, float]:
    counts: dict[str, int] = {}
    for part in parts:
        for name, n in zip(part.slices.names, part.slices.counts.tolist(), strict=True):
            counts[name] = counts.get(name, 0) + n
    total = sum(counts.values()) or 1
    return {name: n / total for name, n in counts.items()}


def _changed_lengths(before: Sequence[Responses], after: Sequence[Responses]) -> Iterator[str]:
    found = [_column(parts, "n_tokens") for parts in (before, after)]
    if found[0] is None or found[1] is None:
        return
    old, new = (float(np.median(values.to_numpy())) for values in found if values is not None)
    if old > 0 and new > 0 and max(old, new) / min(old, new) >= _LONGER:
        yield f"answers became {'longer' if new > old else 'shorter'} (median {old:g} to {new:g} tokens)"


def _changed_ends(before: Sequence[Responses], after: Sequence[Responses]) -> Iterator[str]:
    """How answers end: cut off, refused by a filter, calling a tool."""
    old, new = (_shares_of(_column(parts, "finish_reason")) for parts in (before, after))
    for value, share in new.items() if old else ():
        if value != "stop" and share - old.get(value, 0.0) >= _MORE_ENDS:
            yield f"answers that end with {value} rose from {old.get(value, 0.0):.0%} to {share:.0%}"


def _one_value(before: Sequence[Responses], after: Sequence[Responses]) -> Iterator[str]:
    """An attribute of which one value makes nearly all of the change."""
    old, new = before[0], after[-1]
    if old.context is None or new.context is None:
        return
    for key in sorted(set(attribute_keys(old.context)) & set(attribute_keys(new.context)) - set(new.keys)):
        found = _part_of_change(old, new, key)
        if found is not None:
            yield f"nearly all of it is in {key}={found}"


def _part_of_change(old: Responses, new: Responses, key: str) -> str | None:
    sides = []
    for side in (old, new):
        index = slice_index(side.context, [key])
        values = side.p_correct if not np.isnan(side.p_correct).all() else side.profiles.score
        known = ~np.isnan(values)
        n = np.bincount(index.codes[known], minlength=len(index.names))
        sums = np.bincount(index.codes[known], values[known], len(index.names))
        sides.append({name: (int(n[i]), float(sums[i])) for i, name in enumerate(index.names) if n[i]})
    shared = set(sides[0]) & set(sides[1])
    total = sum(sides[1][name][0] for name in shared)
    if not 1 < len(shared) <= _MOST_VALUES or not total:
        return None
    moved = {name: sides[1][name][1] / sides[1][name][0] - sides[0][name][1] / sides[0][name][0] for name in shared}
    part = {name: sides[1][name][0] / total * moved[name] for name in shared}
    change, most = sum(part.values()), max(part, key=lambda name: abs(part[name]))
    is_large = abs(change) >= _LEAST_SHIFT and part[most] / change >= _OF_CHANGE
    return most if is_large and sides[1][most][0] / total < _OF_TRAFFIC else None
