"""What a request asks: named parameters with their rules, read once and refused with the rule that they break."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

from nilometer.errors import NilometerError

__all__ = ["HOURS", "KEY", "MODEL", "PAGE", "SEARCH", "SLICE", "AskedError", "Parameter", "Query", "link", "read_query"]

_MOST_HOURS = 24 * 366
_MOST_TEXT = 2000


class AskedError(NilometerError):
    """A request that gets an answer other than 200."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class Parameter(NamedTuple):
    """One parameter of a page."""

    name: str
    default: Any
    """A number makes it a number; None is a text that must be given."""
    about: str
    high: int = 0
    """Largest number; the least is 1."""
    choices: tuple[str, ...] = ()
    known: Callable[[Any], Sequence[str]] | None = None
    """Gives the choices that a site has."""

    def read(self, given: str | None, site: Any) -> Any:
        """Value of what was given.

        Raises
        ------
        AskedError
            If it breaks the rule.
        """
        if isinstance(self.default, int):
            return self._number(given)
        value = self.default if given is None else given
        if value is None:
            raise AskedError(400, f"`{self.name}` is missing: {self.about}.")
        choices = self.known(site) if self.known is not None else self.choices
        if choices and value not in choices:
            raise AskedError(
                404 if self.known else 400, f"`{self.name}` must be one of {_said(choices)}, got {value!r}."
            )
        if len(value) > _MOST_TEXT:
            raise AskedError(400, f"`{self.name}` must have at most {_MOST_TEXT} characters, got {len(value):,}.")
        return value

    def _number(self, given: str | None) -> int:
        text = str(self.default) if given is None else given
        if not (text.isascii() and text.isdigit()) or len(text) > 9 or not 1 <= int(text) <= self.high:
            raise AskedError(400, f"`{self.name}` must be a number from 1 to {self.high}, got {text[:50]!r}.")
        return int(text)

    def schema(self) -> dict[str, Any]:
        """Describe it for OpenAPI."""
        if isinstance(self.default, int):
            kind: dict[str, Any] = {"type": "integer", "minimum": 1, "maximum": self.high, "default": self.default}
        else:
            kind = {"type": "string", "maxLength": _MOST_TEXT}
            kind |= {"enum": list(self.choices)} if self.choices else {}
        required = self.default is None
        return {"name": self.name, "in": "query", "required": required, "description": self.about, "schema": kind}


class Query:
    """The parameters of one request, and links to the same page with others."""

    def __init__(self, path: str, values: Mapping[str, Any], defaults: Mapping[str, Any]) -> None:
        self.path, self._values, self._defaults = path, dict(values), dict(defaults)

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def link(self, **changes: Any) -> str:
        """Address of the same page with changed parameters; those at their default are left out."""
        values = {**self._values, **({} if set(changes) <= {"page"} else {"page": 1}), **changes}
        return link(self.path, **{name: value for name, value in values.items() if self._is_told(name, value)})

    def _is_told(self, name: str, value: Any) -> bool:
        return name in self._defaults and value not in {None, "", self._defaults[name]}

    def to_dict(self) -> dict[str, Any]:
        """Values by name."""
        return dict(self._values)


def link(path: str, **values: Any) -> str:
    """Address with parameters.

    Examples
    --------
    >>> link("/slice", slice="a b&c")
    '/slice?slice=a+b%26c'
    """
    query = urlencode({name: str(value) for name, value in values.items() if value is not None}, errors="replace")
    return quote(path) + (f"?{query}" if query else "")


def read_query(parameters: Sequence[Parameter], path: str, *, given: Mapping[str, str], site: Any) -> Query:
    """Read the parameters of a request; what no parameter names is ignored.

    Raises
    ------
    AskedError
        If one breaks its rule.
    """
    values = {one.name: one.read(given.get(one.name), site) for one in parameters}
    return Query(path, values, {one.name: one.default for one in parameters})


def _said(choices: Sequence[str]) -> str:
    return ", ".join(choices)


KEY = Parameter("key", "all", "slice key, or all", known=lambda site: ("all", *site.store.slicing.keys))
HOURS = Parameter("hours", 24, "hours up to now", high=_MOST_HOURS)
SLICE = Parameter("slice", "all", "name of the slice")
MODEL = Parameter("model", "", "name of the model; empty is every model")
SEARCH = Parameter("q", "", "part of the name")
PAGE = Parameter("page", 1, "page of the rows", high=1_000_000)
