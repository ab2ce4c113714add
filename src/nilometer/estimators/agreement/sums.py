"""The running sums behind Smoothie: what is needed of a stream of prompts, and nothing more."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from nilometer.arrays import ArrayLike, Bools, Floats
from nilometer.errors import NotEnoughDataError

__all__ = [
    "Agreement",
    "PatternMoments",
    "errors_covariance",
    "errors_of_sums",
    "fit_errors",
    "merge_agreements",
    "pair_matrix",
    "update_agreement",
]


@dataclass(frozen=True)
class PatternMoments:
    """Moments of the distance sums over the prompts that the same models answered."""

    n: int
    weight: float
    mean: Floats
    sq_weight: float
    sq_mean: Floats
    sq_scatter: Floats


@dataclass(frozen=True)
class Agreement:
    """Sufficient statistics of Smoothie over any number of prompts.

    One entry per pattern of present models; a stream without missing outputs has one. ``pairs`` tells
    which pairs of models enter the sums.
    """

    pairs: Bools
    patterns: Mapping[bytes, PatternMoments] = field(default_factory=dict)

    @property
    def n_models(self) -> int:
        """Number of models."""
        return len(self.pairs)

    @property
    def n_prompts(self) -> int:
        """Number of prompts seen, whatever their weight."""
        return sum(moments.n for moments in self.patterns.values())


def pair_matrix(n_models: int, exclude: Sequence[tuple[int, int]] = ()) -> Bools:
    """Symmetric matrix of the pairs of models that are compared; the diagonal is False.

    Examples
    --------
    >>> pair_matrix(3, [(0, 1)]).astype(int).tolist()
    [[0, 0, 1], [0, 0, 1], [1, 1, 0]]
    """
    pairs = ~np.eye(n_models, dtype=bool)
    for i, j in exclude:
        pairs[i, j] = pairs[j, i] = False
    return pairs


def update_agreement(
    state: Agreement, sums: ArrayLike, present: ArrayLike, *, half_life: float | None = None
) -> Agreement:
    """State after more prompts; the old state is unchanged.

    Parameters
    ----------
    state
        The state so far; ``Agreement(pair_matrix(n_models))`` to begin.
    sums
        (prompts, models) distance sums over ``state.pairs``, oldest first.
    present
        (prompts, models), False where the model gave no output.
    half_life
        Number of later prompts after which a prompt counts half. None: all count alike.

    Raises
    ------
    ValueError
        If the shapes disagree with the state or ``half_life`` is not positive.
    """
    d = np.asarray(sums, dtype=np.float64)
    here = np.asarray(present, dtype=bool)
    if d.ndim != 2 or d.shape[1] != state.n_models or here.shape != d.shape:
        raise ValueError(f"`sums` and `present` must be (prompts, {state.n_models}), got {d.shape}.")
    if half_life is not None and not half_life > 0:
        raise ValueError(f"`half_life` must be > 0 prompts, got {half_life}.")
    fade = 1.0 if half_life is None else 0.5 ** (len(d) / half_life)
    ages = np.arange(len(d) - 1, -1, -1)
    weights = np.ones(len(d)) if half_life is None else 0.5 ** (ages / half_life)
    patterns = {key: _faded(moments, fade) for key, moments in state.patterns.items()}
    if here.all():
        groups = [(here[0], slice(None))] if len(here) else []
    else:
        kinds, inverse = np.unique(here, axis=0, return_inverse=True)
        groups = [(kind, inverse.ravel() == number) for number, kind in enumerate(kinds)]
    for kind, rows in groups:
        key, moments = kind.tobytes(), _moments(d[rows], weights[rows])
        patterns[key] = _joined(patterns[key], moments) if key in patterns else moments
    return Agreement(state.pairs, patterns)


def merge_agreements(first: Agreement, second: Agreement) -> Agreement:
    """State of the prompts of both, equal to seeing them in one stream without decay.

    Raises
    ------
    ValueError
        If the two compare different pairs of models.
    """
    if not np.array_equal(first.pairs, second.pairs):
        raise ValueError("`first` and `second` must compare the same pairs of models, got different pairs.")
    patterns = dict(first.patterns)
    for key, moments in second.patterns.items():
        patterns[key] = _joined(patterns[key], moments) if key in patterns else moments
    return Agreement(first.pairs, patterns)


def fit_errors(state: Agreement, *, split_two: bool = False) -> tuple[Floats, Floats]:
    r"""Estimated error of every model and the covariance of these estimates.

    The errors solve least squares on :math:`d_{ij}(x) = v_i + v_j` over all compared pairs of all prompts.
    With every output present this is the mean of all triplets,
    :math:`v_i = (D_i - T / (m - 1)) / (m - 2)`. The covariance is the sandwich over prompts.

    Returns
    -------
    tuple
        ``(errors (models,), covariance (models, models))``; an error can be negative by chance. The
        covariance is NaN below two prompts. With ``split_two``, of two models each gets half of their distance.

    Raises
    ------
    NotEnoughDataError
        If there are fewer than three models, a model has no outputs, or the pairs leave an error open.
    """
    m = state.n_models
    if m == 2 and split_two:
        return _halves(state)
    if m < 3:
        raise NotEnoughDataError(
            f"Agreement needs three models to tell who is wrong, got {m}.",
            "Add a model or label some prompts.",
        )
    design, target = np.zeros((m, m)), np.zeros(m)
    for key, moments in state.patterns.items():
        design += moments.weight * _design(np.frombuffer(key, dtype=bool), state.pairs)
        target += moments.weight * moments.mean
    inverse = _inverse(design)
    errors = inverse @ target
    meat, weight, sq_weight = np.zeros((m, m)), 0.0, 0.0
    for key, moments in state.patterns.items():
        gap = moments.sq_mean - _design(np.frombuffer(key, dtype=bool), state.pairs) @ errors
        meat += moments.sq_scatter + moments.sq_weight * np.outer(gap, gap)
        weight, sq_weight = weight + moments.weight, sq_weight + moments.sq_weight
    n = weight**2 / sq_weight
    if n < 2:
        return errors, np.full((m, m), np.nan)
    return errors, inverse @ meat @ inverse * n / (n - 1)


def errors_covariance(errors: Floats, distances: tuple[Floats, Bools], *, pairs: Bools, groups: ArrayLike) -> Floats:
    """Covariance of the estimated errors when prompts of one group are not independent.

    Parameters
    ----------
    errors
        (models,) as from `fit_errors`.
    distances
        Distance sums and which outputs are present, both (prompts, models).
    pairs
        (models, models) which pairs are compared.
    groups
        (prompts,) group of each prompt, such as a repeated ``prompt_id``.

    Returns
    -------
    numpy.ndarray
        (models, models), cluster-robust sandwich with the factor ``G / (G - 1)``; NaN for one group.
    """
    sums, present = distances
    p = present.astype(np.float64)
    allowed = pairs.astype(np.float64)
    scores = sums - p * ((p @ allowed) * errors + (p * errors) @ allowed)
    design = np.diag((p * (p @ allowed)).sum(axis=0)) + (p.T @ p) * allowed
    _, codes = np.unique(np.asarray(groups), return_inverse=True)
    codes = codes.ravel()
    if len(codes) != len(sums):
        raise ValueError(f"`groups` must have {len(sums)} entries, one per prompt, got {len(codes)}.")
    n_groups = int(codes.max()) + 1
    if n_groups < 2:
        return np.full_like(design, np.nan)
    totals = np.zeros((n_groups, len(errors)))
    np.add.at(totals, codes, scores)
    inverse = _inverse(design)
    return np.asarray(inverse @ (totals.T @ totals) @ inverse * n_groups / (n_groups - 1))


def errors_of_sums(sums: Floats, counts: Floats | None, pairs: Bools) -> tuple[Floats, Bools]:
    """Errors from averaged distance sums, one set per row, and which rows determine them.

    Parameters
    ----------
    sums
        (rows, models) averaged distance sums.
    counts
        (rows, models, models) average number of prompts with both models; None when nothing is missing.
    pairs
        (models, models) which pairs are compared.
    """
    m = sums.shape[1]
    if m == 2:
        both = np.ones(len(sums)) if counts is None else counts[:, 0, 1]
        halves = np.where(both > 0, 0.5 * sums[:, 0] / np.where(both > 0, both, 1.0), np.nan)
        return np.repeat(halves[:, None], 2, axis=1), both > 0
    if counts is None and pairs.sum() == m * (m - 1):
        errors = (sums - sums.sum(axis=1, keepdims=True) / (2 * (m - 1))) / (m - 2)
        return errors, np.ones(len(sums), dtype=bool)
    n = (np.ones((len(sums), m, m)) if counts is None else counts) * pairs
    design = n + np.eye(m) * n.sum(axis=2)[:, :, None]
    unused = n.sum(axis=2) == 0
    design = design + np.eye(m) * unused[:, :, None]
    smallest = np.linalg.eigvalsh(design)[:, 0]
    determined = smallest > 1e-9 * np.trace(design, axis1=1, axis2=2)
    design[~determined] = np.eye(m)
    errors = np.linalg.solve(design, sums[:, :, None])[:, :, 0]
    errors[unused] = np.nan
    errors[~determined] = np.nan
    return errors, determined


def _halves(state: Agreement) -> tuple[Floats, Floats]:
    moments = state.patterns.get(np.ones(2, dtype=bool).tobytes())
    if moments is None:
        raise NotEnoughDataError("No prompt was answered by both models.", "Record both on the same prompts.")
    n = moments.weight**2 / moments.sq_weight
    spread = moments.sq_scatter / moments.weight**2 * n / (n - 1) if n >= 2 else np.full((2, 2), np.nan)
    return 0.5 * moments.mean, 0.25 * spread


def _design(kind: Bools, pairs: Bools) -> Floats:
    """Matrix of the normal equations of one prompt with this pattern."""
    both = (np.outer(kind, kind) & pairs).astype(np.float64)
    return np.asarray(both + np.diag(both.sum(axis=1)))


def _inverse(design: Floats) -> Floats:
    values = np.linalg.eigvalsh(design)
    silent = np.flatnonzero(np.diag(design) == 0)
    if len(silent):
        raise NotEnoughDataError(
            f"Model {', '.join(map(str, silent))} has no output that another model's can be compared with.",
            "Leave it out, or give its outputs.",
        )
    if values[0] <= 1e-9 * values[-1]:
        raise NotEnoughDataError(
            "The compared pairs do not determine every model's error.",
            "Exclude fewer pairs, or add prompts that three models answered.",
        )
    return np.asarray(np.linalg.inv(design))


def _moments(d: Floats, weights: Floats) -> PatternMoments:
    squares = weights**2
    mean = weights @ d / weights.sum()
    sq_mean = squares @ d / squares.sum()
    centred = d - sq_mean
    scatter = (centred * squares[:, None]).T @ centred
    return PatternMoments(len(d), float(weights.sum()), mean, float(squares.sum()), sq_mean, scatter)


def _faded(moments: PatternMoments, fade: float) -> PatternMoments:
    return PatternMoments(
        moments.n,
        moments.weight * fade,
        moments.mean,
        moments.sq_weight * fade**2,
        moments.sq_mean,
        moments.sq_scatter * fade**2,
    )


def _joined(a: PatternMoments, b: PatternMoments) -> PatternMoments:
    """Chan, Golub and LeVeque (1979): moments of two samples from the moments of each."""
    weight, sq_weight = a.weight + b.weight, a.sq_weight + b.sq_weight
    gap: Any = b.sq_mean - a.sq_mean
    return PatternMoments(
        a.n + b.n,
        weight,
        a.mean + (b.mean - a.mean) * (b.weight / weight),
        sq_weight,
        a.sq_mean + gap * (b.sq_weight / sq_weight),
        a.sq_scatter + b.sq_scatter + np.outer(gap, gap) * (a.sq_weight * b.sq_weight / sq_weight),
    )
