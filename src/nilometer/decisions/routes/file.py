"""Routers on disk: one Parquet file of vectors and numbers, nothing in it is executed and no text is kept."""

from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
import pyarrow as pa
from msgspec import Meta

from nilometer.errors import IncompatibleModelError
from nilometer.estimators import LabelledQualities, ModelQualities, Smoothie
from nilometer.traces import SavedKind, SavedTable, read_saved_table, write_saved_table

from .router import Router

__all__ = ["ROUTER_FILE_VERSION", "load_router", "save_router"]

ROUTER_FILE_VERSION = 2
_ARRAYS = ("low", "high", "n_labels", "n_effective")
_Name = Annotated[str, Meta(max_length=10_000)]
_Names = Annotated[list[_Name], Meta(min_length=1, max_length=1000)]
_NotNegative = Annotated[float, Meta(ge=0)]
_Share = Annotated[float, Meta(gt=0, lt=1)]


class _Parameters(msgspec.Struct, forbid_unknown_fields=True):
    n_neighbors: Annotated[int, Meta(ge=1)] | None
    neighbor_weights: str
    paper: bool
    exclude_pairs: list[tuple[Annotated[int, Meta(ge=0)], Annotated[int, Meta(ge=0)]]]
    half_life: Annotated[float, Meta(gt=0)] | None
    window: Annotated[int, Meta(ge=1)] | None
    confidence_level: _Share
    split_two: bool = False


class _Qualities(msgspec.Struct, forbid_unknown_fields=True):
    models: _Names
    errors: list[float]
    covariance: list[list[float | None]]
    n_prompts: Annotated[int, Meta(ge=0)]
    n_effective: float
    confidence_level: _Share


class _Labelled(msgspec.Struct, forbid_unknown_fields=True):
    low: list[float]
    high: list[float]
    n_labels: list[Annotated[int, Meta(ge=0)]]
    n_effective: list[float]
    proxy_slope: float
    proxy_scale: float
    measured: _Qualities
    combined: _Qualities


class _Head(msgspec.Struct, forbid_unknown_fields=True):
    file_version: Annotated[int, Meta(ge=1)]
    nilometer: _Name
    models: _Names
    parameters: _Parameters
    covariance: list[list[float]] | None
    n_effective: float
    costs: list[_NotNegative] | None
    cost_weight: float
    embedder: _Name
    labelled: _Labelled | None
    budget: float | None = None
    embedder_model: _Name | None = None
    allowed: list[bool] | None = None
    handicaps: list[float] | None = None


_KIND = SavedKind(
    "router file",
    _Head,
    ROUTER_FILE_VERSION,
    2,
    "`nilometer route fit`",
    IncompatibleModelError,
    key=b"nilometer.router",
)


def save_router(path: str | Path, router: Router) -> None:
    """Write a fitted router: per prompt its distance sums, which models answered, and its embedding in float32.

    Raises
    ------
    sklearn.exceptions.NotFittedError
        If its estimator is not fitted.
    """
    smoothie = router.smoothie
    qualities = smoothie.qualities_
    parameters = {**smoothie.get_params(), "exclude_pairs": [tuple(map(int, pair)) for pair in smoothie.exclude_pairs]}
    head = _Head(
        file_version=ROUTER_FILE_VERSION,
        nilometer=version("nilometer"),
        models=list(router.models),
        parameters=msgspec.convert(parameters, _Parameters),
        covariance=qualities.covariance.tolist() if np.isfinite(qualities.covariance).all() else None,
        n_effective=float(qualities.n_effective),
        costs=None if router.costs is None else router.costs.tolist(),
        cost_weight=float(router.cost_weight),
        budget=None if router.budget is None else float(router.budget),
        embedder=router.embedder,
        embedder_model=router.embedder_model,
        allowed=None if router.allowed is None else router.allowed.tolist(),
        handicaps=None if router.handicaps is None else router.handicaps.tolist(),
        labelled=None if router.labelled is None else _labelled_head(router.labelled),
    )
    columns = {
        "sums": pa.array(list(smoothie.sums_), pa.list_(pa.float64())),
        "present": pa.array(list(smoothie.present_), pa.list_(pa.bool_())),
    }
    if smoothie.prompts_ is not None:
        columns["prompt"] = pa.array(list(smoothie.prompts_.astype(np.float32)), pa.list_(pa.float32()))
    write_saved_table(path, _KIND, SavedTable(head, pa.table(columns)))


def load_router(path: str | Path) -> Router:
    """Read a router.

    Raises
    ------
    IncompatibleModelError
        If the file is no router, is of a newer format, or was changed.

    Examples
    --------
    >>> import tempfile
    >>> from nilometer.decisions import AnswerTable, fit_router
    >>> answers = np.random.default_rng(0).normal(size=(20, 3, 2))
    >>> router = fit_router(AnswerTable(models=("a", "b", "c"), embeddings=answers))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_router(Path(folder) / "r.nilo", router)
    ...     load_router(Path(folder) / "r.nilo").route() == router.route()
    True
    """
    head, table = read_saved_table(path, _KIND)
    try:
        return _router(head, table)
    except (ValueError, ArithmeticError, LookupError, TypeError) as exc:
        raise IncompatibleModelError(
            f"{path}: no router can be made of what it holds ({exc}). Make one with `nilometer route fit`."
        ) from exc


def _router(head: _Head, table: pa.Table) -> Router:
    models, parameters = tuple(head.models), head.parameters
    n, m = table.num_rows, len(models)
    if any(max(pair) >= m for pair in parameters.exclude_pairs):
        raise ValueError(f"`exclude_pairs` must name models below {m}, got {parameters.exclude_pairs}.")
    sums = _matrix(table, "sums", (n, m))
    if not (sums >= 0).all():
        raise ValueError("`sums` must hold distances >= 0.")
    smoothie = Smoothie(**msgspec.structs.asdict(parameters)).fit_sums(
        sums,
        _matrix(table, "present", (n, m)).astype(bool),
        prompts=_matrix(table, "prompt", (n, -1)) if "prompt" in table.column_names else None,
        models=models,
        with_routes=False,
    )
    old = smoothie.qualities_
    if head.covariance is not None:
        smoothie.qualities_ = ModelQualities(
            old.models,
            old.errors,
            _array("covariance", head.covariance, (m, m)),
            old.n_prompts,
            head.n_effective,
            old.confidence_level,
        )
    return Router(
        smoothie=smoothie,
        costs=None if head.costs is None else _array("costs", head.costs, (m,)),
        cost_weight=head.cost_weight,
        labelled=None if head.labelled is None else _labelled(head.labelled, models),
        embedder=head.embedder,
        budget=head.budget,
        embedder_model=head.embedder_model,
        allowed=None if head.allowed is None else _array("allowed", head.allowed, (m,)).astype(bool),
        handicaps=None if head.handicaps is None else _array("handicaps", head.handicaps, (m,)),
    )


def _matrix(table: pa.Table, name: str, shape: tuple[int, int]) -> Any:
    """Return a column of lists that all have one length; the shape must be this one, -1 for any length."""
    column = table[name].combine_chunks()
    n, width = shape
    if not pa.types.is_list(column.type) or column.null_count:
        raise ValueError(f"`{name}` must hold lists, got {column.type}.")
    flat = column.flatten()
    if not (pa.types.is_floating(flat.type) or pa.types.is_boolean(flat.type)) or flat.null_count:
        raise ValueError(f"`{name}` must hold lists of numbers, got {column.type}.")
    lengths = np.unique(column.value_lengths().to_numpy())
    if len(lengths) != 1 or lengths[0] == 0 or width not in {-1, int(lengths[0])}:
        raise ValueError(f"`{name}` must hold lists of one length, one value per model, got {lengths.tolist()[:9]}.")
    values = flat.to_numpy(zero_copy_only=False)
    if not np.isfinite(values).all():
        raise ValueError(f"`{name}` must be finite.")
    return values.reshape(n, -1)


def _array(name: str, values: Any, shape: tuple[int, ...]) -> Any:
    """Return nested lists as an array of this shape; None is NaN."""
    array = np.array(values, dtype=np.float64)
    if array.shape != shape:
        raise ValueError(f"`{name}` must have shape {shape}, got {array.shape}.")
    return array


def _labelled_head(labelled: LabelledQualities) -> _Labelled:
    return _Labelled(
        **{name: getattr(labelled, name).tolist() for name in _ARRAYS},
        proxy_slope=float(labelled.proxy_slope),
        proxy_scale=float(labelled.proxy_scale),
        measured=_qualities(labelled.measured),
        combined=_qualities(labelled.combined),
    )


def _qualities(value: ModelQualities) -> _Qualities:
    return _Qualities(
        models=list(value.models),
        errors=value.errors.tolist(),
        covariance=value.covariance.tolist(),
        n_prompts=int(value.n_prompts),
        n_effective=float(value.n_effective),
        confidence_level=value.confidence_level,
    )


def _labelled(head: _Labelled, models: tuple[str, ...]) -> LabelledQualities:
    m = len(models)
    return LabelledQualities(
        _read_qualities(head.measured, models),
        _read_qualities(head.combined, models),
        _array("low", head.low, (m,)),
        _array("high", head.high, (m,)),
        _array("n_labels", head.n_labels, (m,)).astype(np.int64),
        head.proxy_slope,
        head.proxy_scale,
        _array("n_effective", head.n_effective, (m,)),
    )


def _read_qualities(head: _Qualities, models: tuple[str, ...]) -> ModelQualities:
    m = len(models)
    if tuple(head.models) != models:
        raise ValueError(f"`models` must be the same everywhere, got {head.models}.")
    errors, covariance = _array("errors", head.errors, (m,)), _array("covariance", head.covariance, (m, m))
    return ModelQualities(models, errors, covariance, head.n_prompts, head.n_effective, head.confidence_level)
