"""The commands that a verb suggests: words of a shell that name the files and options it was run with."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence

from nilometer import decisions

__all__ = ["Given", "next_commands"]


class Given:
    """Files and options that a verb was run with."""

    def __init__(self, files: Sequence[str], by: Sequence[str], options: Mapping[str, object]) -> None:
        """Keep what was given; an option that is None, empty or False was not."""
        self._files, self._by = tuple(files), ",".join(by)
        self._options = dict(options)

    def command(self, verb: str, *more: str, without: Sequence[str] = ()) -> str:
        """Write the command of a verb, to be pasted as it stands.

        Examples
        --------
        >>> Given(["my file"], ["tenant"], {"--labels": ["l.csv"], "--at": None}).command("plan weak")
        "nilometer plan weak 'my file' --labels l.csv --by tenant"
        """
        flags = [word for name, value in self._options.items() if name not in without for word in _words(name, value)]
        files = ["--", *self._files] if any(file.startswith("-") for file in self._files) else list(self._files)
        ends = [*flags, *(["--by", self._by] if self._by else []), *more]
        words = [*ends, *files] if files[0] == "--" else [*files, *ends]
        return f"nilometer {verb} {shlex.join(words)}"


def _words(name: str, value: object) -> list[str]:
    if value is None or value is False:
        return []
    values = value if isinstance(value, list | tuple) else [value]
    return [word for item in values for word in (name, str(item))]


def next_commands(given: Given, report: decisions.Report) -> dict[str, str]:
    """Commands of the steps that a report suggests; each prints the numbers that the report was made of."""
    labels = report.outlook.budget if report.outlook else _FIRST_LABELS
    examples = report.outlook.n_examples if report.outlook else 0
    every = () if report.watch is None else ("--every", report.watch.every)
    return {
        "watch": given.command("watch", *every, "--out", "watch.html", without=["--others", *_OPINIONS]),
        "label": given.command("plan label", "--budget", str(labels), "--out", "plan.jsonl", without=_OPINIONS),
        "acquire": given.command("plan acquire", "--budget", str(examples), without=_OPINIONS),
        "weak": given.command("plan weak", without=_OPINIONS),
    }


_FIRST_LABELS = 100
_OPINIONS = ("--second", "--agree")
"""Options that only the verbs of estimates have."""
