"""Routers on disk: one Parquet file of vectors and numbers, nothing in it is executed and no text is kept."""

from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from nilometer.errors import IncompatibleModelError
from nilometer.estimators import LabelledQualities, ModelQualities, Smoothie

from .router import Router

__all__ = ["ROUTER_FILE_VERSION", "load_router", "save_router"]

ROUTER_FILE_VERSION = 1
_KEY = b"nilometer.router"
_ARRAYS = ("low", "high", "n_labels", "n_effective")


def save_router(path: str | Path, router: Router) -> None:
    """Write a fitted router: per prompt its distance sums, which models answered, and its embedding in float32.

    Raises
    ------
    sklearn.exceptions.NotFittedError
        If its estimator is not fitted.
    """
    smoothie = router.smoothie
    qualities = smoothie.qualities_
    head = {
        "file_version": ROUTER_FILE_VERSION,
        "nilometer": version("nilometer"),
        "models": list(router.models),
        "parameters": smoothie.get_params(),
        "covariance": qualities.covariance.tolist() if np.isfinite(qualities.covariance).all() else None,
        "n_effective": qualities.n_effective,
        "costs": None if router.costs is None else router.costs.tolist(),
        "cost_weight": router.cost_weight,
        "budget": router.budget,
        "embedder": router.embedder,
        "embedder_model": router.embedder_model,
        "labelled": None if router.labelled is None else _labelled_head(router.labelled),
    }
    columns = {
        "sums": pa.array(list(smoothie.sums_), pa.list_(pa.float64())),
        "present": pa.array(list(smoothie.present_), pa.list_(pa.bool_())),
    }
    if smoothie.prompts_ is not None:
        columns["prompt"] = pa.array(list(smoothie.prompts_.astype(np.float32)), pa.list_(pa.float32()))
    table = pa.table(columns).replace_schema_metadata({_KEY: msgspec.json.encode(head)})
    pq.write_table(table, path, compression="zstd")


def load_router(path: str | Path) -> Router:
    """Read a router.

    Raises
    ------
    IncompatibleModelError
        If the file is no router or of a newer format.

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
    try:
        table = pq.read_table(path)
    except pa.ArrowInvalid as exc:
        raise IncompatibleModelError(f"{path}: not a router file ({exc}).") from exc
    metadata = table.schema.metadata or {}
    if _KEY not in metadata:
        raise IncompatibleModelError(f"{path}: not a router file. Make one with `nilometer route fit`.")
    head: dict[str, Any] = msgspec.json.decode(metadata[_KEY])
    if head["file_version"] > ROUTER_FILE_VERSION:
        raise IncompatibleModelError(
            f"{path}: file version must be <= {ROUTER_FILE_VERSION}, got {head['file_version']}. Update nilometer."
        )
    parameters = {**head["parameters"], "exclude_pairs": [tuple(pair) for pair in head["parameters"]["exclude_pairs"]]}
    prompts = _matrix(table["prompt"]) if "prompt" in table.column_names else None
    smoothie = Smoothie(**parameters).fit_sums(
        _matrix(table["sums"]), _matrix(table["present"]).astype(bool), prompts=prompts, models=head["models"]
    )
    old = smoothie.qualities_
    if head["covariance"] is not None:
        smoothie.qualities_ = ModelQualities(
            old.models,
            old.errors,
            np.array(head["covariance"]),
            old.n_prompts,
            head["n_effective"],
            old.confidence_level,
        )
    return Router(
        smoothie=smoothie,
        costs=None if head["costs"] is None else np.array(head["costs"]),
        cost_weight=head["cost_weight"],
        labelled=None if head["labelled"] is None else _labelled(head["labelled"]),
        embedder=head["embedder"],
        budget=head.get("budget"),
        embedder_model=head.get("embedder_model"),
    )


def _matrix(column: pa.ChunkedArray) -> Any:
    values = column.combine_chunks()
    n = len(values)
    return values.flatten().to_numpy(zero_copy_only=False).reshape(n, -1)


def _labelled_head(labelled: LabelledQualities) -> dict[str, Any]:
    arrays = {name: getattr(labelled, name).tolist() for name in _ARRAYS}
    scalars = {"proxy_slope": labelled.proxy_slope, "proxy_scale": labelled.proxy_scale}
    return {**arrays, **scalars, "measured": _qualities(labelled.measured), "combined": _qualities(labelled.combined)}


def _qualities(value: ModelQualities) -> dict[str, Any]:
    return {
        "models": list(value.models),
        "errors": value.errors.tolist(),
        "covariance": value.covariance.tolist(),
        "n_prompts": value.n_prompts,
        "n_effective": value.n_effective,
        "confidence_level": value.confidence_level,
    }


def _labelled(head: dict[str, Any]) -> LabelledQualities:
    return LabelledQualities(
        _read_qualities(head["measured"]),
        _read_qualities(head["combined"]),
        np.array(head["low"]),
        np.array(head["high"]),
        np.array(head["n_labels"]),
        head["proxy_slope"],
        head["proxy_scale"],
        np.array(head["n_effective"]),
    )


def _read_qualities(head: dict[str, Any]) -> ModelQualities:
    names, errors, covariance = tuple(head["models"]), np.array(head["errors"]), np.array(head["covariance"])
    return ModelQualities(names, errors, covariance, head["n_prompts"], head["n_effective"], head["confidence_level"])
