"""What became of every line of every file."""

from dataclasses import dataclass, field

__all__ = ["FileReport", "ReadReport"]

_KEPT_BAD_LINES = 100


@dataclass(slots=True)
class FileReport:
    """What one file held: ``n_lines = n_read + n_skipped + n_bad + n_lost``."""

    path: str
    format: str = "unknown"
    n_traces: int = 0
    n_lines: int = 0
    """JSON objects met; of a table its rows."""
    n_read: int = 0
    """Lines whose response was read, one line or many pieces each."""
    n_bad: int = 0
    """Lines that could not be read."""
    n_skipped: int = 0
    """Lines that hold no response: errors, usage, keep-alives, spans of other kinds, events before a stream's last."""
    n_lost: int = 0
    """Good lines of streams that were left out because another of their lines is bad."""
    n_cut: int = 0
    """Streams that broke off; what had arrived is a trace without a finish reason."""
    n_damaged: int = 0
    """Streams left out because a piece is bad or two answers came under one id."""
    unread: dict[str, int] = field(default_factory=dict)
    """Responses without log-probabilities, by where in them numbers look like such: JSON path and shape."""
    n_looked: int = 0
    """Responses without log-probabilities that were searched for them; the first 100 are."""
    is_unfinished: bool = False
    """Whether the last line breaks off, as in a log that is still being written; it counts as skipped."""


@dataclass(slots=True)
class ReadReport:
    """What a stream held, filled while it is read."""

    files: list[FileReport] = field(default_factory=list)
    bad_lines: list[str] = field(default_factory=list)
    """The first 100, as ``file:line: reason``."""
    left_out: list[str] = field(default_factory=list)
    """Files and folders that were found and not read, as ``path: reason``."""
    n_duplicates: int = 0
    """Traces whose ``trace_id`` came before; they are kept."""

    @property
    def n_traces(self) -> int:
        """Traces read."""
        return sum(file.n_traces for file in self.files)

    @property
    def n_bad(self) -> int:
        """Lines that could not be read."""
        return sum(file.n_bad for file in self.files)

    @property
    def n_skipped(self) -> int:
        """Lines that hold no response."""
        return sum(file.n_skipped for file in self.files)

    @property
    def n_cut(self) -> int:
        """Streams that broke off."""
        return sum(file.n_cut for file in self.files)

    @property
    def n_damaged(self) -> int:
        """Streams left out because a piece is bad or two answers came under one id."""
        return sum(file.n_damaged for file in self.files)

    @property
    def unread(self) -> dict[str, int]:
        """Responses in which numbers that look like log-probabilities could not be read, by path and shape."""
        found: dict[str, int] = {}
        for file in self.files:
            for place, n in file.unread.items():
                found[place] = found.get(place, 0) + n
        return found

    @property
    def bad_share(self) -> float:
        """Bad lines over all lines that should hold a response, in [0, 1]; 0 for an empty stream."""
        return self.n_bad / max(self.n_bad + self.n_traces, 1)

    def note(self, message: str) -> None:
        """Keep the message of a bad line, up to the first 100."""
        if len(self.bad_lines) < _KEPT_BAD_LINES:
            self.bad_lines.append(message)
