"""Recorded traces that come with the package."""

from importlib import resources
from pathlib import Path

from nilometer.errors import ConfigError

__all__ = ["corpus_names", "corpus_path"]


def corpus_names() -> list[str]:
    """Names of the recordings that come with the package, sorted.

    Examples
    --------
    >>> all(corpus_path(name).suffix == ".parquet" for name in corpus_names())
    True
    """
    return sorted(path.stem for path in _folder().glob("*.parquet"))


def corpus_path(name: str) -> Path:
    """Return where a recording lies on disk, as a Parquet file for :func:`read_traces`.

    Raises
    ------
    ConfigError
        If no recording has this name.

    Examples
    --------
    >>> corpus_path("nothing")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    nilometer.errors.ConfigError: `name` must be one of ..., got 'nothing'.
    """
    names = corpus_names()
    if name not in names:
        raise ConfigError(f"`name` must be one of {', '.join(names) or '(no recording)'}, got {name!r}.")
    return _folder() / f"{name}.parquet"


def _folder() -> Path:
    return Path(str(resources.files("nilometer"))) / "data"
