"""Labels in the exports of annotation tools: Label Studio and Argilla, as they write them."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

__all__ = ["export_rows"]

Rows = Iterable[tuple[int, dict[str, Any]]]
OnBad = Callable[[int, str], None]

_NOT_GIVEN = {"draft", "discarded", "pending"}
"""States of an answer that an annotator did not submit."""


def export_rows(rows: Rows, wanted: Sequence[str], on_bad: OnBad) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield one row for each label of an exported task or record; other rows as they are.

    Label Studio's JSON holds ``data`` with the id and ``annotations`` with one result for each control; its short form
    (JSON_MIN) is one flat row. Argilla's records hold ``responses`` by question. The control or question that counts
    is the one with the name of a label (``correct``, ``label`` ...), or the only one there is. Annotations that were
    skipped and answers that were not submitted do not count.

    Parameters
    ----------
    rows
        Number and fields of each row.
    wanted
        The name of the id, then those of labels.
    on_bad
        Called with the number of each row that cannot be read, and the reason.

    Examples
    --------
    >>> task = {"data": {"trace_id": "a"}, "annotations": [
    ...     {"result": [{"from_name": "verdict", "type": "choices", "value": {"choices": ["correct"]}}]}
    ... ]}
    >>> list(export_rows([(1, task)], ["trace_id", "correct"], print))
    [(1, {'trace_id': 'a', 'correct': 'correct', 'source': 'human', 'time': None})]
    """
    key, names = wanted[0], wanted[1:]
    for number, row in rows:
        try:
            taken = _taken(row, key)
        except (AttributeError, TypeError):
            on_bad(number, "the row must be as Label Studio or Argilla exports it, a field of it has another type.")
            continue
        if taken is None:
            yield number, row
            continue
        identity, found = taken
        asked = {name for answers in found for name in answers[0]}
        name = next((name for name in names if name in asked), next(iter(asked)) if len(asked) == 1 else None)
        if name is None and asked:
            on_bad(number, f"one of {', '.join(sorted(asked))} must be named {names[0]} to be the label.")
            continue
        for answers, time in found:
            if name in answers:
                yield number, {key: identity, names[0]: answers[name], "source": "human", "time": time}


Answers = tuple[dict[str, Any], Any]


def _taken(row: Mapping[str, Any], key: str) -> tuple[Any, list[Answers]] | None:
    """The id and the answers of a task or record; None for another row."""
    if isinstance(row.get("annotations"), list) and isinstance(row.get("data"), dict):
        return row["data"].get(key), list(_label_studio(row["annotations"]))
    if isinstance(row.get("responses"), dict) and isinstance(row.get("fields"), dict):
        return (row.get("metadata") or {}).get(key, row.get("id")), list(_argilla(row["responses"]))
    return None


def _label_studio(annotations: Iterable[Mapping[str, Any]]) -> Iterator[Answers]:
    """Answers by control, and time, of each annotation."""
    for one in annotations:
        if one.get("was_cancelled"):
            continue
        results = one.get("result") or []
        yield {str(part.get("from_name")): _value(part) for part in results}, one.get("updated_at")


def _value(part: Mapping[str, Any]) -> Any:
    """The chosen word, number or stars of one control."""
    value = part.get("value") or {}
    given = value.get(part.get("type"), value.get("choices", value.get("number", value.get("rating"))))
    return given[0] if isinstance(given, list) and len(given) == 1 else given


def _argilla(responses: Mapping[str, Any]) -> Iterator[Answers]:
    """Answers by question of each response."""
    for question, given in responses.items():
        for one in given or ():
            if one.get("status") not in _NOT_GIVEN:
                yield {question: one.get("value")}, None
