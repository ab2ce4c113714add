"""Places inside JSON values: ``a.b[0].c``, ``data[*].response``, ``$["a key"]``."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from nilometer.errors import ConfigError

from .line import unquoted

__all__ = ["follow", "parse_path"]

_STEP = re.compile(r"""\.?([^.\[\]]+)|\[(\d+)\]|\[(\*)\]|\[["'](.+?)["']\]""")

Step = str | int | None


def parse_path(text: str) -> tuple[Step, ...]:
    """Split a JSON path into keys (text), places in a list (numbers) and all places (None).

    Raises
    ------
    ConfigError
        If it is no path.

    Examples
    --------
    >>> parse_path("$.data[*].response[0]['a.b']")
    ('data', None, 'response', 0, 'a.b')
    """
    rest = text.strip().removeprefix("$")
    steps: list[Step] = []
    while rest:
        found = _STEP.match(rest)
        if found is None:
            raise ConfigError(f"`--at` must be a JSON path such as `data[*].response`, got {text!r}.")
        key, place, every, quoted = found.groups()
        steps.append(None if every else int(place) if place else quoted or key)
        rest = rest[found.end() :]
    if not steps:
        raise ConfigError(f"`--at` must be a JSON path such as `data[*].response`, got {text!r}.")
    return tuple(steps)


def follow(value: Any, path: tuple[Step, ...]) -> list[Any]:
    """Return what stands at a path: nothing where it leads nowhere, several values where it crosses a list.

    JSON text on the way is read, a list is crossed without ``[*]``, and a key may itself hold dots.

    Examples
    --------
    >>> follow({"data": [{"a.b": '{"c": 1}'}, {}]}, parse_path("data.a.b.c"))
    [1]
    """
    return list(_follow(value, path))


def _follow(value: Any, path: tuple[Step, ...]) -> Iterator[Any]:
    if not path:
        yield value
        return
    value = unquoted(value)
    step, rest = path[0], path[1:]
    if isinstance(value, list):
        if isinstance(step, int):
            yield from _follow(value[step], rest) if step < len(value) else ()
        else:
            for item in value:
                yield from _follow(item, rest if step is None else path)
    elif isinstance(value, Mapping):
        yield from _in_object(value, path)


def _in_object(value: Mapping[str, Any], path: tuple[Step, ...]) -> Iterator[Any]:
    """Follow the longest key that the next steps spell, joined by dots."""
    for n in range(len(path), 0, -1):
        key = ".".join(map(str, path[:n]))
        if key in value:
            yield from _follow(value[key], path[n:])
            return
