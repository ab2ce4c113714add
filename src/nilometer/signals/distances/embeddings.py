"""Distances between the embeddings of several models' outputs to the same prompt."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nilometer.arrays import ArrayLike, Bool, Bools, Float, Floats

__all__ = [
    "DistanceSums",
    "PairDistances",
    "answer_embeddings",
    "distance_sums",
    "pair_distance_rows",
    "pair_distances",
]

Pairs = Sequence[tuple[int, int]]

CHUNK_VALUES = 1 << 18
"""Values converted to float64 at once: small enough to stay in the cache of one core."""

_SQUARES: Callable[..., Any] = getattr(np, "vecdot", lambda a, b: np.einsum("nmd,nmd->nm", a, b))  # numpy >= 2.1


class DistanceSums(NamedTuple):
    """How far each output lies from the other outputs to its prompt, summed."""

    sums: Floats
    """(prompts, models): sum of squared distances to the other outputs; 0 where absent."""
    present: Bools
    """(prompts, models): False where the model gave no output."""


class PairDistances(NamedTuple):
    """How far two models' outputs lie apart, averaged over the prompts that both answered."""

    means: Floats
    """(models, models): mean squared distance, diagonal 0; NaN where no prompt has both."""
    residuals: Floats
    """(models, models): mean of ``d_ij - v_i - v_j`` per prompt; negative = closer than independence says."""
    residual_standard_errors: Floats
    """(models, models): standard error of ``residuals`` over prompts; NaN below two complete prompts."""
    n_complete: int
    """Prompts answered by every model, which alone enter the residuals."""


def distance_sums(
    embeddings: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    exclude: Pairs = (),
    zero_is_missing: bool = False,
) -> DistanceSums:
    r"""Sum of squared distances from each output to the other outputs of its prompt.

    .. math:: D_i(x) = \sum_j w_j \lVert \lambda_i - \lambda_j \rVert^2
              = W \lVert \lambda_i - \mu \rVert^2 + \sum_j w_j \lVert \lambda_j - \mu \rVert^2,
              \quad W = \textstyle\sum_j w_j,\ \mu = \sum_j w_j \lambda_j / W

    Time is ``O(prompts · models · dim)`` and no pair of models is visited, except the excluded ones. All
    arithmetic is float64 and centred per prompt, so identical outputs give 0 and vectors far from the
    origin lose nothing. The unit is that of the squared distance; ``2 - 2 cos`` for unit vectors.
    Smaller is closer to the consensus.

    Storing unit vectors with a relative rounding error ``u`` moves each squared distance by at most
    ``8 u + 4 u**2``: 4.8e-7 in float32 (``u = 2**-24``), 3.9e-3 in float16. Nothing else is lost.

    Parameters
    ----------
    embeddings
        (prompts, models, dim). A vector of only NaN is a missing output.
    weights
        Non-negative weight of each model as a neighbour, (models,) or (prompts, models); 1 by default.
    exclude
        Pairs of model numbers whose distance is left out.
    zero_is_missing
        Count a zero vector, which many embedders return for empty text, as missing.

    Raises
    ------
    ValueError
        If the array is not three-dimensional, a vector is partly NaN or infinite, a weight is negative, or
        an excluded pair does not name two models.

    Examples
    --------
    >>> distance_sums([[[0.0, 0.0], [1.0, 0.0], [2.0, 0.0]]]).sums
    array([[5., 2., 5.]])
    """
    array = _three_dimensional(embeddings)
    n_models = array.shape[1]
    w = _checked_weights(weights, array.shape[:2])
    pairs = _checked_pairs(exclude, n_models)
    sums = np.zeros(array.shape[:2])
    present = np.ones(array.shape[:2], dtype=bool)
    plain = weights is None and not pairs and not zero_is_missing
    for rows in _row_blocks(array):
        quick = _plain_sums(array[rows].astype(np.float64)) if plain else None
        if quick is not None:
            sums[rows] = quick
            continue
        chunk, here = _chunk(array, rows, zero_is_missing=zero_is_missing)
        present[rows] = here
        wp = w[rows] * here
        total = wp.sum(axis=1)
        chunk -= (np.einsum("nm,nmd->nd", wp, chunk) / np.where(total > 0, total, 1.0)[:, None])[:, None, :]
        squares = np.einsum("nmd,nmd->nm", chunk, chunk)
        part = total[:, None] * squares + np.einsum("nm,nm->n", wp, squares)[:, None]
        for i, j in pairs:
            gap = chunk[:, i] - chunk[:, j]
            distance = np.einsum("nd,nd->n", gap, gap)
            part[:, i] -= wp[:, j] * distance
            part[:, j] -= wp[:, i] * distance
        sums[rows] = np.where(here, part, 0.0)
    return DistanceSums(sums, present)


def pair_distances(embeddings: ArrayLike, *, zero_is_missing: bool = False) -> PairDistances:
    r"""Mean squared distance of every pair of models, and what of it independence does not explain.

    With independent errors ``E d_ij = v_i + v_j``. The residual ``d_ij - v_i - v_j`` of the least-squares
    fit is 0 then in the mean; two models that share errors have a negative one. The residuals of a model
    sum to 0 over its partners, so some pair is negative in any real data: look at the size, not the sign.

    Parameters
    ----------
    embeddings
        (prompts, models, dim). A vector of only NaN is a missing output.
    zero_is_missing
        Count a zero vector as missing.

    Raises
    ------
    ValueError
        As `distance_sums`.

    Examples
    --------
    >>> errors = np.random.default_rng(0).normal(size=(4000, 4, 8))
    >>> errors[:, 1] = 0.6 * errors[:, 0] + 0.8 * errors[:, 1]  # models 0 and 1 share errors
    >>> (pair_distances(errors).residuals[0] / 8).round(1)
    array([ 0. , -0.4,  0.2,  0.2])
    """
    array = _three_dimensional(embeddings)
    m = array.shape[1]
    totals, counts = np.zeros((m, m)), np.zeros((m, m))
    first, second, n_complete = np.zeros((m, m)), np.zeros((m, m)), 0
    for rows in _row_blocks(array):
        chunk, here = _chunk(array, rows, zero_is_missing=zero_is_missing)
        chunk -= chunk.mean(axis=1, keepdims=True)
        squares = np.einsum("nmd,nmd->nm", chunk, chunk)
        gram = chunk @ chunk.transpose(0, 2, 1)
        distances = np.maximum(squares[:, :, None] + squares[:, None, :] - 2.0 * gram, 0.0)
        both = here[:, :, None] & here[:, None, :]
        totals += np.where(both, distances, 0.0).sum(axis=0)
        counts += both.sum(axis=0)
        if m > 3:
            residuals = _pair_residuals(distances[here.all(axis=1)])
            n_complete += len(residuals)
            first += residuals.sum(axis=0)
            second += np.square(residuals).sum(axis=0)
    np.fill_diagonal(totals, 0.0)
    means = np.full((m, m), np.nan)
    np.divide(totals, counts, out=means, where=counts > 0)
    residual, error = np.zeros((m, m)), np.full((m, m), np.nan)
    if n_complete > 0:
        residual = first / n_complete
    if n_complete > 1:
        variance = np.maximum(second / n_complete - residual**2, 0.0) * n_complete / (n_complete - 1)
        error = np.sqrt(variance / n_complete)
    return PairDistances(means, residual, error, n_complete)


def pair_distance_rows(embeddings: ArrayLike, *, most: int = 20_000) -> Floats:
    """Squared distance of every pair of models for each prompt that all models answered.

    Parameters
    ----------
    embeddings
        (prompts, models, dim). A vector of only NaN is a missing output.
    most
        Of more complete prompts, this many evenly spread ones are taken.

    Returns
    -------
    numpy.ndarray
        (complete prompts, pairs), pairs in the order of ``numpy.triu_indices(models, 1)``.

    Examples
    --------
    >>> pair_distance_rows([[[0.0], [1.0], [3.0]]])
    array([[1., 9., 4.]])
    """
    array = _three_dimensional(embeddings)
    complete = np.flatnonzero(~np.isnan(array).all(axis=2).any(axis=1))
    if len(complete) > most:
        complete = complete[np.linspace(0, len(complete) - 1, most).astype(int)]
    array = array[complete]
    upper = np.triu_indices(array.shape[1], 1)
    found = np.empty((len(array), len(upper[0])))
    at = 0
    for rows in _row_blocks(array):
        chunk, _ = _chunk(array, rows, zero_is_missing=False)
        squares = np.einsum("nmd,nmd->nm", chunk, chunk)
        gram = chunk @ chunk.transpose(0, 2, 1)
        distances = np.maximum(squares[:, :, None] + squares[:, None, :] - 2.0 * gram, 0.0)
        found[at : at + len(chunk)] = distances[:, *upper]
        at += len(chunk)
    return found


def answer_embeddings(
    answers: Sequence[Sequence[Any]], *, same: Callable[[Any], Any] | None = None
) -> Float[Floats, "prompts models dim"]:
    """Vectors whose squared distance is 0 for equal answers of a prompt and 1 for different ones.

    They let every function of this module work on discrete answers: labels, numbers, multiple choice.

    Parameters
    ----------
    answers
        (prompts, models). ``None``, an empty string and NaN are missing outputs.
    same
        Maps an answer to its equivalence class, such as ``str.casefold``; identity by default.

    Returns
    -------
    numpy.ndarray
        (prompts, models, models), NaN where missing.

    Raises
    ------
    ValueError
        If the rows have different lengths.

    Examples
    --------
    >>> distance_sums(answer_embeddings([["a", "A", "b"]], same=str.casefold)).sums.round(9)
    array([[1., 1., 2.]])
    """
    n_models = len(answers[0]) if len(answers) else 0
    vectors = np.zeros((len(answers), n_models, n_models))
    for row, given in enumerate(answers):
        if len(given) != n_models:
            raise ValueError(f"`answers` must have {n_models} entries per row, got {len(given)} in row {row}.")
        seen: dict[Any, int] = {}
        for model, answer in enumerate(given):
            if answer is None or answer == "" or _is_nan(answer):
                vectors[row, model] = np.nan
                continue
            vectors[row, model, seen.setdefault(same(answer) if same else answer, model)] = np.sqrt(0.5)
    return vectors


def _is_nan(answer: Any) -> bool:
    return isinstance(answer, float) and np.isnan(answer).item()


def _pair_residuals(
    distances: Float[Floats, "prompts models models"],
) -> Float[Floats, "prompts models models"]:
    """``d_ij - v_i - v_j`` per prompt with the prompt's own least-squares ``v``; diagonal 0."""
    m = distances.shape[1]
    sums = distances.sum(axis=2)
    errors = (sums - sums.sum(axis=1, keepdims=True) / (2 * (m - 1))) / (m - 2)
    residuals = distances - errors[:, :, None] - errors[:, None, :]
    residuals[:, np.arange(m), np.arange(m)] = 0.0
    return np.asarray(residuals)


def _plain_sums(chunk: Float[Floats, "prompts models dim"]) -> Float[Floats, "prompts models"] | None:
    """Distance sums with nothing missing, weighted or left out; None if a value is not finite."""
    m = chunk.shape[1]
    with np.errstate(invalid="ignore", over="ignore"):
        chunk -= (np.add.reduce(chunk, axis=1) / max(m, 1))[:, None]
        squares: Floats = np.asarray(_SQUARES(chunk, chunk))
    if not np.isfinite(squares).all():
        return None
    return np.asarray(m * squares + squares.sum(axis=1, keepdims=True))


def _row_blocks(array: NDArray[Any]) -> Iterator[slice]:
    """A few prompts at a time."""
    step = max(1, CHUNK_VALUES // max(1, array.shape[1] * array.shape[2]))
    for start in range(0, len(array), step):
        yield slice(start, min(start + step, len(array)))


def _chunk(
    array: NDArray[Any], rows: slice, *, zero_is_missing: bool
) -> tuple[Float[Floats, "prompts models dim"], Bool[Bools, "prompts models"]]:
    """Float64 copy of some prompts, missing vectors set to 0, and which outputs are present."""
    chunk = array[rows].astype(np.float64)
    here = np.ones(chunk.shape[:2], dtype=bool)
    if not np.isfinite(chunk).all():
        here = np.asarray(~np.isnan(chunk).all(axis=2))
        _refuse_partial(chunk, here, rows.start)
        chunk[~here] = 0.0
    if zero_is_missing:
        here &= chunk.any(axis=2)
    return chunk, here


def _refuse_partial(chunk: Floats, here: Bools, start: int) -> None:
    bad = np.argwhere(here & ~np.isfinite(chunk).all(axis=2))
    if len(bad):
        raise ValueError(
            f"`embeddings` must be finite, or all NaN for a missing output; row {start + bad[0][0]} of model "
            f"{bad[0][1]} is neither."
        )


def _three_dimensional(embeddings: ArrayLike) -> NDArray[Any]:
    try:
        array: NDArray[Any] = np.asarray(embeddings)
    except ValueError as exc:
        raise ValueError("`embeddings` must all have the same length, got different ones.") from exc
    if array.ndim != 3:
        raise ValueError(f"`embeddings` must have shape (prompts, models, dim), got {array.shape}.")
    if array.dtype.kind not in "fiu":
        raise ValueError(f"`embeddings` must hold real numbers, got dtype {array.dtype}.")
    if array.shape[2] == 0:
        raise ValueError("`embeddings` must have at least one dimension, got vectors of length 0.")
    return array


def _checked_weights(weights: ArrayLike | None, shape: tuple[int, ...]) -> Floats:
    if weights is None:
        return np.broadcast_to(np.float64(1.0), shape)
    w = np.asarray(weights, dtype=np.float64)
    if w.shape not in (shape, shape[1:]) or not np.isfinite(w).all() or (w < 0).any():
        raise ValueError(f"`weights` must be {shape[1]} finite numbers >= 0, or {shape} of them, got {weights!r}.")
    return np.broadcast_to(w, shape)


def _checked_pairs(exclude: Pairs, n_models: int) -> list[tuple[int, int]]:
    pairs = sorted({(min(i, j), max(i, j)) for i, j in exclude})
    for i, j in pairs:
        if i == j or i < 0 or j >= n_models:
            raise ValueError(f"`exclude` must name two models of 0..{n_models - 1}, got ({i}, {j}).")
    return pairs
