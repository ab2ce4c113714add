"""How a file is laid out, where that is not to be recognised."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from nilometer.errors import ConfigError

from .envelopes import Search
from .formats import FORMATS
from .lines.line import Line
from .lines.paths import parse_path
from .logs.columns import columns_format

__all__ = ["Layout"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Which format a file has, and where in it the responses or their columns stand.

    Raises
    ------
    ConfigError
        If the format is unknown, a path is none, or both `format` and `columns` are given.

    Examples
    --------
    >>> Layout(at="data[*].raw_response").is_given, Layout().is_given
    (True, False)
    """

    format: str | None = None
    """Name of a format in ``FORMATS``."""
    at: str | None = None
    """JSON path of the response in each line or row: ``raw_response``, ``data[*].body``."""
    columns: Mapping[str, str] = field(default_factory=dict)
    """JSON paths by column: ``{"answer": "output", "logprobs": "meta.logprobs"}``."""

    def __post_init__(self) -> None:
        if self.format is not None and self.format not in FORMATS:
            raise ConfigError(f"`format` must be one of {', '.join(FORMATS)}, got {self.format!r}.")
        if self.format is not None and self.columns:
            raise ConfigError("`columns` must be given without `format`: they say how each line is read.")
        self.search()

    @property
    def is_given(self) -> bool:
        """Whether it says more than that the file is to be recognised."""
        return bool(self.format or self.at or self.columns)

    def search(self, is_part: Callable[[Line], bool] = lambda line: False) -> Search:
        """Return what is looked for in a line."""
        known = columns_format(self.columns) if self.columns else FORMATS[self.format] if self.format else None
        return Search(parse_path(self.at) if self.at else (), known, is_part)
