"""The recorded traces of real models that come with the package."""

from importlib.resources import files
from pathlib import Path

from nilometer.errors import ConfigError

__all__ = ["corpus_names", "corpus_path"]


def corpus_names() -> list[str]:
    """Names of the shipped recordings, sorted.

    Examples
    --------
    >>> "specialist" in corpus_names()
    True
    """
    return sorted(path.stem for path in _folder().glob("*.parquet"))


def corpus_path(name: str) -> Path:
    """Path of a shipped recording.

    Raises
    ------
    ConfigError
        If there is no recording of that name.
    """
    path = _folder() / f"{name}.parquet"
    if not path.exists():
        raise ConfigError(f"`name` must be one of {', '.join(corpus_names())}, got {name!r}.")
    return path


def _folder() -> Path:
    return Path(str(files("nilometer") / "data"))
