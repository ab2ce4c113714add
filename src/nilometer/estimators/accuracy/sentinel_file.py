"""Sentinels on disk: parameters and labelled profiles in one Parquet file, fitted again when loaded."""

from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
import pyarrow as pa
from msgspec import Meta

from nilometer.errors import ConfigError, IncompatibleModelError
from nilometer.signals import ATTENTION_FEATURE_NAMES, FEATURE_NAMES, opinion_columns
from nilometer.traces import SavedKind, SavedTable, read_saved_table, write_saved_table

from ..profiles import Profiles
from ..residuals import Residuals
from .sentinel import MOST_BOOTSTRAPS, Sentinel

__all__ = ["FILE_VERSION", "load_sentinel", "save_sentinel"]

FILE_VERSION = 4
_CHECKED_ROWS = 32
_MOST_OFF = 1e-4
"""By how much a probability may be off after fitting again: solvers before version 0.3 stopped some 1e-6 early."""
_UNITS = ("_correct", "_slice", "_family")
_Probability = Annotated[float, Meta(ge=0, le=1)]
_Name = Annotated[str, Meta(max_length=10_000)]


class _Parameters(msgspec.Struct, forbid_unknown_fields=True):
    """Parameters of the constructor, which checks their names."""

    method: _Name
    feature: _Name
    classifier: _Name
    features: Annotated[int, Meta(ge=1, le=100)] | tuple[_Name, ...] | None
    balanced: bool
    calibrated: bool
    confidence_level: Annotated[float, Meta(gt=0, lt=1)]
    bootstraps: Annotated[int, Meta(ge=0, le=MOST_BOOTSTRAPS)]
    random_state: Annotated[int, Meta(ge=0, lt=2**32)]
    pool: tuple[Residuals, ...] = ()


class _Provenance(msgspec.Struct, forbid_unknown_fields=True):
    k: tuple[_Name, ...]
    logprobs_mode: tuple[_Name, ...]
    model: tuple[_Name, ...]


class _Head(msgspec.Struct, forbid_unknown_fields=True):
    file_version: Annotated[int, Meta(ge=1)]
    nilometer: _Name
    scikit_learn: _Name = msgspec.field(name="scikit-learn")
    parameters: _Parameters
    provenance: _Provenance
    check: Annotated[list[_Probability], Meta(min_length=1, max_length=_CHECKED_ROWS)]


_KIND = SavedKind(
    "sentinel file", _Head, FILE_VERSION, 4, "`nilometer fit`", IncompatibleModelError, key=b"nilometer.sentinel"
)


def save_sentinel(path: str | Path, sentinel: Sentinel) -> None:
    """Write a fitted sentinel.

    The file is Parquet: features, labels and slice names of the labelled responses (no texts), and the
    parameters with format version, library version, k, logprobs mode and model names. Nothing in it is
    executed when it is read.

    Raises
    ------
    sklearn.exceptions.NotFittedError
        If the sentinel is not fitted.
    ConfigError
        If its classifier is none of ``CLASSIFIERS``.
    """
    from sklearn.utils.validation import check_is_fitted

    check_is_fitted(sentinel, "fitted_")
    if not isinstance(sentinel.classifier, str):
        raise ConfigError("a sentinel with a classifier of your own cannot be saved: files hold no code. Fit it again.")
    labelled = sentinel.labelled_
    reference = labelled.profiles
    checked = reference.rows(np.arange(min(_CHECKED_ROWS, len(reference))))
    head = _Head(
        file_version=FILE_VERSION,
        nilometer=version("nilometer"),
        scikit_learn=version("scikit-learn"),
        parameters=_plain(sentinel.get_params()),
        provenance=_Provenance(**reference.provenance),
        check=sentinel.predict_proba(checked)[:, 1].tolist(),
    )
    columns = {name: reference.column(name) for name in reference.names}
    units = {
        "_slice": labelled.slices.to_arrow().cast(pa.string()),
        "_family": labelled.families.to_arrow().cast(pa.string()),
    }
    write_saved_table(path, _KIND, SavedTable(head, pa.table({**columns, "_correct": labelled.correct, **units})))


def load_sentinel(path: str | Path) -> Sentinel:
    """Read a sentinel and fit it again on the labelled profiles in the file.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    IncompatibleModelError
        If the file is no sentinel, is of a newer format, was changed, or fitting it again gives other probabilities.

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
    head, table = read_saved_table(path, _KIND)
    try:
        sentinel = _fit_again(head, table)
    except (ValueError, ArithmeticError, LookupError, TypeError) as exc:
        raise IncompatibleModelError(
            f"{path}: no sentinel can be fitted on what it holds ({exc}). Make one with `nilometer fit`."
        ) from exc
    again = sentinel.predict_proba(sentinel.labelled_.profiles.rows(np.arange(len(head.check))))[:, 1]
    if not np.allclose(again, head.check, atol=_MOST_OFF):
        raise IncompatibleModelError(
            f"{path}: fitted again, the sentinel gives other probabilities than when it was saved with scikit-learn "
            f"{head.scikit_learn} (here {version('scikit-learn')}). Fit it anew, or install that version."
        )
    return sentinel


def _plain(parameters: dict[str, Any]) -> _Parameters:
    """Parameters without numpy's numbers, which no file knows."""
    plain = {name: value.item() if isinstance(value, np.generic) else value for name, value in parameters.items()}
    return msgspec.convert(plain, _Parameters)


def _fit_again(head: _Head, table: pa.Table) -> Sentinel:
    names = tuple(name for name in table.column_names if name not in _UNITS)
    _check_columns(table, names, own=head.parameters.features)
    if len(head.check) != min(_CHECKED_ROWS, table.num_rows):
        raise ValueError(f"`check` must have {min(_CHECKED_ROWS, table.num_rows)} values, got {len(head.check)}.")
    values = np.stack([table[name].to_numpy() for name in names], axis=1)
    return Sentinel(**_parameters(head)).fit(
        Profiles(values, names, msgspec.structs.asdict(head.provenance)),
        table["_correct"].to_numpy(),
        table["_slice"],
        families=table["_family" if head.file_version > 1 else "_slice"],
    )


def _check_columns(table: pa.Table, names: tuple[str, ...], *, own: int | tuple[str, ...] | None) -> None:
    """Refuse features that are unknown or no numbers, and units that are missing."""
    named = () if own is None or isinstance(own, int) else own
    known = {*FEATURE_NAMES, *ATTENTION_FEATURE_NAMES, *opinion_columns(names), *named}
    for name in names:
        if name not in known or table.column_names.count(name) > 1:
            raise ValueError(f"columns must be features, each once, got {name!r}.")
    for name in (*names, "_correct"):
        if not pa.types.is_floating(table.schema.field(name).type) or table[name].null_count:
            raise ValueError(f"`{name}` must hold numbers, got {table.schema.field(name).type}.")
        values = table[name].to_numpy()
        if np.isinf(values).any() or (name == "_correct" and not ((values >= 0) & (values <= 1)).all()):
            raise ValueError(f"`{name}` must hold finite numbers, and `_correct` numbers in [0, 1].")
    for name in opinion_columns(names):
        values = table[name].to_numpy()
        if ((values < 0) | (values > 1)).any():
            raise ValueError(f"`{name}` must hold numbers in [0, 1].")
    for name in ("_slice", "_family"):
        if name in table.column_names and not pa.types.is_string(table.schema.field(name).type):
            raise ValueError(f"`{name}` must hold texts, got {table.schema.field(name).type}.")


def _parameters(head: _Head) -> dict[str, Any]:
    """Parameters of the constructor; before version 3 the feature of ``atc`` could be the classifier."""
    found = msgspec.structs.asdict(head.parameters)
    if head.file_version < 3 and found["method"] == "atc" and found["feature"] == "classifier":
        found |= {"method": "atc_classifier", "feature": "max"}
    return found
