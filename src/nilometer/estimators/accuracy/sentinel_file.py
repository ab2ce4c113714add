"""Sentinels on disk: parameters and labelled profiles in one Parquet file, fitted again when loaded."""

from errno import ENOENT
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from nilometer.errors import IncompatibleModelError

from ..intervals import Residuals
from ..profiles import Profiles
from .sentinel import Sentinel

__all__ = ["FILE_VERSION", "load_sentinel", "save_sentinel"]

FILE_VERSION = 3
_KEY = b"nilometer.sentinel"
_CHECKED_ROWS = 32
_MOST_OFF = 1e-4
"""By how much a probability may be off after fitting again: solvers before version 0.3 stopped some 1e-6 early."""


def save_sentinel(path: str | Path, sentinel: Sentinel) -> None:
    """Write a fitted sentinel.

    The file is Parquet: features, labels and slice names of the labelled responses (no texts), and the
    parameters with format version, library version, k, logprobs mode and model names. Nothing in it is
    executed when it is read.

    Raises
    ------
    sklearn.exceptions.NotFittedError
        If the sentinel is not fitted.
    """
    from sklearn.utils.validation import check_is_fitted

    check_is_fitted(sentinel, "fitted_")
    labelled = sentinel.labelled_
    reference = labelled.profiles
    head = {
        "file_version": FILE_VERSION,
        "nilometer": version("nilometer"),
        "scikit-learn": version("scikit-learn"),
        "parameters": sentinel.get_params(),
        "provenance": reference.provenance,
        "check": sentinel.predict_proba(reference.rows(np.arange(min(_CHECKED_ROWS, len(reference)))))[:, 1].tolist(),
    }
    columns = {name: reference.column(name) for name in reference.names}
    units = {
        "_slice": labelled.slices.to_arrow().cast(pa.string()),
        "_family": labelled.families.to_arrow().cast(pa.string()),
    }
    table = pa.table({**columns, "_correct": labelled.correct, **units})
    pq.write_table(table.replace_schema_metadata({_KEY: msgspec.json.encode(head)}), path, compression="zstd")


def load_sentinel(path: str | Path) -> Sentinel:
    """Read a sentinel and fit it again on the labelled profiles in the file.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    IncompatibleModelError
        If the file is no sentinel, is of a newer format, or fitting it again gives other probabilities.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> rng = np.random.default_rng(0)
    >>> data, correct = pa.table({"max": rng.random(60)}), rng.random(60) < 0.5
    >>> sentinel = Sentinel().fit(data, correct, groups=np.arange(60) % 6)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_sentinel(pathlib.Path(folder) / "s.nilo", sentinel)
    ...     loaded = load_sentinel(pathlib.Path(folder) / "s.nilo")
    >>> loaded.estimate(data) == sentinel.estimate(data)
    True
    """
    try:
        table = pq.read_table(path)
    except FileNotFoundError as exc:
        raise FileNotFoundError(ENOENT, "no such file", str(path)) from exc
    except pa.ArrowInvalid as exc:
        raise IncompatibleModelError(f"{path}: not a sentinel file ({exc}).") from exc
    head = _head(path, table)
    names = tuple(name for name in table.column_names if not name.startswith("_"))
    values = np.stack([table[name].to_numpy() for name in names], axis=1)
    provenance = {name: tuple(found) for name, found in head["provenance"].items()}
    sentinel = Sentinel(**_parameters(head))
    sentinel.fit(
        Profiles(values, names, provenance),
        table["_correct"].to_numpy(),
        table["_slice"],
        families=table["_family" if head["file_version"] > 1 else "_slice"],
    )
    again = sentinel.predict_proba(sentinel.labelled_.profiles.rows(np.arange(len(head["check"]))))[:, 1]
    if not np.allclose(again, head["check"], atol=_MOST_OFF):
        raise IncompatibleModelError(
            f"{path}: fitted again, the sentinel gives other probabilities than when it was saved with scikit-learn "
            f"{head['scikit-learn']} (here {version('scikit-learn')}). Fit it anew, or install that version."
        )
    return sentinel


def _parameters(head: dict[str, Any]) -> dict[str, Any]:
    """Parameters of the constructor; before version 3 the feature of ``atc`` could be the classifier."""
    found = {name: tuple(v) if isinstance(v, list) else v for name, v in head["parameters"].items()}
    if head["file_version"] < 3 and found["method"] == "atc" and found["feature"] == "classifier":
        found |= {"method": "atc_classifier", "feature": "max"}
    return {**found, "pool": msgspec.convert(found.get("pool", ()), tuple[Residuals, ...])}


def _head(path: str | Path, table: pa.Table) -> dict[str, Any]:
    metadata = table.schema.metadata or {}
    if _KEY not in metadata:
        raise IncompatibleModelError(f"{path}: not a sentinel file. Make one with `nilometer fit`.")
    head: dict[str, Any] = msgspec.json.decode(metadata[_KEY])
    if head["file_version"] > FILE_VERSION:
        raise IncompatibleModelError(
            f"{path}: file version must be <= {FILE_VERSION}, got {head['file_version']}. Update nilometer."
        )
    return head
