"""Smoothie: the quality of several models from how their outputs agree, without labels."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from nilometer.arrays import ArrayLike, Bools, Floats, Ints
from nilometer.errors import NotEnoughDataError
from nilometer.signals import DistanceSums, distance_sums, generation_sums

from ..parameters import Parameters
from .local import Neighbours, PromptIndex, smoothed_sums
from .paper import paper_distances, triplet_errors
from .quality import ModelQualities
from .sums import (
    Agreement,
    errors_covariance,
    errors_of_sums,
    fit_errors,
    merge_agreements,
    pair_matrix,
    update_agreement,
)

__all__ = ["Smoothie", "precision_weights"]

TIE = 1e-9
"""Errors closer than this, relative to the largest, are equal; the first model wins."""


class Smoothie(Parameters):
    r"""Estimated error of each model from the distances between the models' outputs.

    With errors that are independent between models, the mean squared distance of two outputs is
    :math:`d_{ij} = v_i + v_j`. Least squares gives the errors in closed form from the distance sums
    :math:`D_i = \sum_j d_{ij}`, :math:`T = \tfrac12 \sum_i D_i`:

    .. math:: v_i = \frac{D_i - T / (m - 1)}{m - 2}

    Smaller is better. ``v`` is an estimate and can be negative. It measures closeness to the consensus: models
    that share their mistakes look good together, and no number here can tell (see `find_families`).

    Differs from the published code (github.com/HazyResearch/smoothie): routes go to the smallest error and
    not to the largest ``1 / v``, equal errors to the first model within a tolerance, missing outputs are
    left out, and fewer than three models is an error. ``paper=True`` brings the published behaviour back,
    with its NaN and negative weights.

    Parameters
    ----------
    n_neighbors
        None: one estimate for all prompts (Global). k: one per prompt from the k prompts nearest to it
        (Local). With 1 the route is the medoid of the prompt's own outputs.
    neighbor_weights
        ``uniform`` as published, or ``kernel``: Gaussian in the distance, with the k-th as bandwidth.
    paper
        Reproduce the published weights and routes, defects included.
    exclude_pairs
        Pairs of model numbers that are not compared, such as two models of one family.
    half_life
        For `partial_fit`: prompts after which a prompt counts half; None for no decay.
    window
        For `partial_fit`: only the latest so many prompts count; None for all.
    split_two
        Take two models too, each with half of their distance: that says where they differ, not who is better.
    confidence_level
        Coverage of the intervals of `qualities_`.

    Attributes
    ----------
    models_ : tuple of str
    errors_ : (models,) estimated error of each model over all prompts
    weights_ : (models,) share of each model's precision, summing to 1
    qualities_ : ModelQualities
        Qualities with standard errors, paired differences, tests.
    best_ : int
        Number of the model with the smallest error.
    routes_ : (prompts,) model chosen for each fitted prompt among those that answered it
    local_errors_ : (prompts, models), with ``n_neighbors`` only
    agreement_ : Agreement
        Running sums; `merge` adds two.

    References
    ----------
    Guha et al. (2024), "Smoothie: Label Free Language Model Routing", arXiv:2412.04692.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> truth = rng.normal(size=(500, 1, 8))
    >>> outputs = truth + rng.normal(size=(500, 4, 8)) * np.array([0.5, 1.0, 1.5, 2.0])[:, None]
    >>> smoothie = Smoothie().fit(outputs, models=["a", "b", "c", "d"])
    >>> (smoothie.errors_ / 8).round(1)  # true variances: 0.25, 1, 2.25, 4
    array([0.2, 1. , 2.1, 3.9])
    >>> smoothie.qualities_.best_test().is_separated
    True
    """

    def __init__(  # noqa: PLR0913 - scikit-learn: every parameter is named in the constructor
        self,
        n_neighbors: int | None = None,
        *,
        neighbor_weights: str = "uniform",
        paper: bool = False,
        exclude_pairs: Sequence[tuple[int, int]] = (),
        half_life: float | None = None,
        window: int | None = None,
        split_two: bool = False,
        confidence_level: float = 0.95,
    ) -> None:
        self.n_neighbors = n_neighbors
        self.neighbor_weights = neighbor_weights
        self.paper = paper
        self.exclude_pairs = exclude_pairs
        self.half_life = half_life
        self.window = window
        self.split_two = split_two
        self.confidence_level = confidence_level

    def fit(
        self,
        X: ArrayLike,
        y: None = None,
        *,
        prompts: ArrayLike | None = None,
        groups: ArrayLike | None = None,
        models: Sequence[str] | None = None,
    ) -> "Smoothie":
        """Estimate the errors from the outputs of all models to the same prompts.

        Parameters
        ----------
        X
            (prompts, models, dim) embeddings of the outputs; only NaN for a missing output. Several outputs
            of each model to each prompt: (prompts, models, generations, dim). For discrete answers see
            `nilometer.signals.answer_embeddings`.
        y
            Ignored; there are no labels.
        prompts
            (prompts, dim) embeddings of the inputs, needed for ``n_neighbors`` above 1.
        groups
            (prompts,) groups of dependent prompts, such as a repeated ``prompt_id``; the standard errors
            then count groups.
        models
            Names; their numbers as text by default.

        Raises
        ------
        NotEnoughDataError
            For fewer than three models, no prompts, or a model without any output.
        ValueError
            For an array that does not fit, or more neighbours than prompts.
        """
        self._check_parameters()
        sums, present = self._distances(X)
        published = not len(self.exclude_pairs) and self.neighbor_weights == "uniform"
        if self.paper and not (present.all() and published):
            raise ValueError("`paper` must be False with missing outputs, excluded pairs or kernel weights.")
        if len(sums) == 0:
            raise NotEnoughDataError("There are no prompts.", "Give the outputs to at least one.")
        self._fit(DistanceSums(sums, present), X, prompts=prompts, models=models)
        if groups is not None and not self.paper:
            self._cluster(groups)
        self._set_routes()
        return self

    def fit_sums(
        self,
        sums: ArrayLike,
        present: ArrayLike,
        *,
        prompts: ArrayLike | None = None,
        models: Sequence[str] | None = None,
        with_routes: bool = True,
    ) -> "Smoothie":
        """Fit on the (prompts, models) distance sums of another fit, which is all that is kept of the outputs.

        Without routes, which need the neighbours of every prompt, ``routes_`` and ``local_errors_`` are not there.
        """
        self._check_parameters()
        if self.paper:
            raise ValueError("`paper` must be False: the published code needs the embeddings.")
        table = DistanceSums(np.asarray(sums, dtype=np.float64), np.asarray(present, dtype=bool))
        self._fit(table, None, prompts=prompts, models=models)
        self._check_neighbours()
        if with_routes:
            self._set_routes()
        return self

    def _fit(self, table: DistanceSums, X: Any, *, prompts: Any, models: Sequence[str] | None) -> None:
        sums, present = table
        names = _names(models, sums.shape[1])
        pairs = pair_matrix(len(names), self.exclude_pairs)
        self.sums_, self.present_ = sums, present
        self.distances_ = paper_distances(X) if self.paper else None
        self.prompts_ = None if prompts is None else _prompt_array(prompts, len(sums))
        self.index_ = None if self.prompts_ is None else PromptIndex(self.prompts_)
        self._set_agreement(update_agreement(Agreement(pairs), sums, present), names)

    def partial_fit(self, X: ArrayLike, y: None = None, *, models: Sequence[str] | None = None) -> "Smoothie":
        """Add prompts, oldest first, keeping only running sums; see `fit`. Global only."""
        self._check_parameters()
        if self.n_neighbors is not None or self.paper:
            raise ValueError("`partial_fit` needs `n_neighbors=None` and `paper=False`; use `fit` instead.")
        sums, present = self._distances(X)
        self.distances_ = None
        names = _names(models, sums.shape[1]) if models is not None else None
        state = getattr(self, "agreement_", None)
        if state is None:
            names = names or _names(None, sums.shape[1])
            state = Agreement(pair_matrix(len(names), self.exclude_pairs))
        elif names is not None and names != self.models_:
            raise ValueError(f"`models` must stay {self.models_}, got {names}.")
        if self.window is not None:
            sums, present = self._latest(sums, present)
            state = Agreement(state.pairs)
        state = update_agreement(state, sums, present, half_life=self.half_life)
        self._set_agreement(state, names or self.models_)
        return self

    def _distances(self, X: ArrayLike) -> DistanceSums:
        measure = generation_sums if np.ndim(X) == 4 else distance_sums
        return measure(X, exclude=self.exclude_pairs)

    def _latest(self, sums: Floats, present: Bools) -> DistanceSums:
        """Distance sums of the latest ``window`` prompts, kept for the next call."""
        before: DistanceSums | None = getattr(self, "latest_", None)
        if before is not None:
            if sums.shape[1] != before.sums.shape[1]:
                raise ValueError(f"`X` must hold {before.sums.shape[1]} models, got {sums.shape[1]}.")
            sums = np.concatenate([before.sums, sums])
            present = np.concatenate([before.present, present])
        kept = slice(-int(self.window or 0), None)
        latest = self.latest_ = DistanceSums(sums[kept], present[kept])
        return latest

    def merge(self, other: "Smoothie") -> "Smoothie":
        """Add the prompts that another estimator of the same models saw; equal to one fit on both."""
        self._check_fitted()
        other._check_fitted()
        if self.models_ != other.models_:
            raise ValueError(f"`other` must know the models {self.models_}, got {other.models_}.")
        self._set_agreement(merge_agreements(self.agreement_, other.agreement_), self.models_)
        for name in ("sums_", "present_", "prompts_", "index_", "routes_", "local_errors_"):
            self.__dict__.pop(name, None)
        return self

    def predict(self, prompts: ArrayLike) -> Ints:
        """Model number for new prompts from their embeddings alone: one call per prompt (Train-time).

        Global gives every prompt the same model, Local the best among the fitted neighbours.
        """
        self._check_fitted()
        rows = np.asarray(prompts)
        if self.n_neighbors is None:
            return np.full(len(rows), self.best_)
        return self._choose(self.predict_errors(rows))

    def errors_near(self, near: Neighbours) -> Floats:
        """(prompts, models) estimated errors from neighbours that were found before, as ``predict_errors``."""
        self._check_fitted()
        return self._local_errors(near)

    def predict_errors(self, prompts: ArrayLike) -> Floats:
        """(prompts, models) estimated errors for new prompts; NaN only for a model no neighbour saw."""
        self._check_fitted()
        rows = np.asarray(prompts, dtype=np.float64)
        if self.n_neighbors is None:
            return np.tile(self.errors_, (len(rows), 1))
        return self._local_errors(self.neighbours(rows))

    def neighbours(self, prompts: ArrayLike) -> Neighbours:
        """Fitted prompts nearest to each new one, nearest first, with their weights."""
        self._check_fitted()
        index: PromptIndex | None = getattr(self, "index_", None)
        if self.n_neighbors is None or index is None:
            raise ValueError("`neighbours` needs `n_neighbors` and a fit with `prompts`.")
        return index.nearest(prompts, k=self.n_neighbors, weighting=self.neighbor_weights)

    def _local_errors(self, near: Neighbours) -> Floats:
        if self.distances_ is not None:
            return np.stack([triplet_errors(self.distances_.take(rows, axis=2).mean(axis=2)) for rows in near.rows])
        sums, counts = smoothed_sums(self.sums_, self.present_, near, pairs=self.agreement_.pairs)
        errors, determined = errors_of_sums(sums, counts, self.agreement_.pairs)
        errors[~determined] = self.errors_
        return errors

    def own_errors(self, rows: ArrayLike | None = None) -> Floats:
        """(prompts, models) errors of fitted prompts from each alone; NaN where it does not determine them."""
        self._check_fitted()
        numbers = np.arange(len(self.sums_)) if rows is None else np.asarray(rows)
        own = Neighbours(numbers[:, None], np.ones((len(numbers), 1)))
        sums, counts = smoothed_sums(self.sums_, self.present_, own, pairs=self.agreement_.pairs)
        return errors_of_sums(sums, counts, self.agreement_.pairs)[0]

    def _choose(self, errors: Floats, present: Bools | None = None) -> Ints:
        """Smallest error among the present models, the first within the tolerance."""
        if self.paper:
            return np.asarray(np.argmax(precision_weights(errors, paper=True), axis=1))
        usable = np.isfinite(errors) if present is None else present & np.isfinite(errors)
        candidates = np.where(usable, errors, np.inf)
        scale = np.abs(errors, where=np.isfinite(errors), out=np.zeros_like(errors)).max(axis=1)
        routes = np.argmax(candidates <= candidates.min(axis=1, keepdims=True) + TIE * scale[:, None], axis=1)
        return np.where(usable.any(axis=1), routes, -1)

    def _set_agreement(self, state: Agreement, names: tuple[str, ...]) -> None:
        m, n = len(names), state.n_prompts
        if m < 3 and self.paper:
            self.errors_, covariance = np.full(m, np.nan), np.full((m, m), np.nan)
        else:
            self.errors_, covariance = fit_errors(state, split_two=self.split_two)
            if self.distances_ is not None:
                self.errors_ = triplet_errors(self.distances_.mean(axis=2))
        weight = sum(p.weight for p in state.patterns.values())
        effective = weight**2 / max(sum(p.sq_weight for p in state.patterns.values()), 1e-300)
        self.models_, self.agreement_ = names, state
        self.qualities_ = ModelQualities(names, self.errors_, covariance, n, effective, self.confidence_level)
        self.weights_ = precision_weights(self.errors_, paper=self.paper)
        self.best_ = int(self._choose(self.errors_[None])[0])

    def _cluster(self, groups: ArrayLike) -> None:
        table = (self.sums_, self.present_)
        covariance = errors_covariance(self.errors_, table, pairs=self.agreement_.pairs, groups=groups)
        n_groups = len(np.unique(np.asarray(groups)))
        self.qualities_ = ModelQualities(
            self.models_, self.errors_, covariance, len(self.sums_), n_groups, self.confidence_level
        )

    def _set_routes(self) -> None:
        n, k = len(self.sums_), self.n_neighbors
        self.__dict__.pop("local_errors_", None)
        if k is None:
            errors = np.tile(self.errors_, (n, 1))
        else:
            self._check_neighbours()
            own = Neighbours(np.arange(n)[:, None], np.ones((n, 1)))
            near = own if k == 1 or self.prompts_ is None else self.neighbours(self.prompts_)
            errors = self.local_errors_ = self._local_errors(near)
        self.routes_ = self._choose(errors, self.present_)

    def _check_neighbours(self) -> None:
        n, k = len(self.sums_), self.n_neighbors
        if k is not None and k > n:
            raise ValueError(f"`n_neighbors` must be <= {n}, the number of prompts, got {k}.")
        if k is not None and k > 1 and self.prompts_ is None:
            raise ValueError(f"`prompts` must be given for `n_neighbors` = {k}, got None.")

    def _check_parameters(self) -> None:
        if self.n_neighbors is not None and self.n_neighbors < 1:
            raise ValueError(f"`n_neighbors` must be None or >= 1, got {self.n_neighbors}.")
        if self.neighbor_weights not in ("uniform", "kernel"):
            raise ValueError(f"`neighbor_weights` must be 'uniform' or 'kernel', got {self.neighbor_weights!r}.")
        if self.window is not None and (self.window < 1 or self.half_life is not None):
            raise ValueError(f"`window` must be >= 1 and stand without `half_life`, got {self.window}.")
        if not 0.0 < self.confidence_level < 1.0:
            raise ValueError(f"`confidence_level` must lie in (0, 1), got {self.confidence_level}.")

    def _check_fitted(self) -> None:
        if not hasattr(self, "agreement_"):
            from sklearn.exceptions import NotFittedError

            raise NotFittedError("This `Smoothie` is not fitted. Call `fit` or `partial_fit` first.")


def precision_weights(errors: ArrayLike, *, paper: bool = False) -> Floats:
    r"""Shares of precision, ``1 / v`` normalised to sum 1 over the last axis.

    Errors below a thousandth of the mean error count as that much, so a weight is never negative and a
    model with error 0 does not take everything; if all errors are 0 the shares are equal. ``paper=True``
    inverts without a floor, as published: weights can then be negative, infinite or NaN.

    Examples
    --------
    >>> precision_weights([1.0, 2.0, 2.0])
    array([0.5 , 0.25, 0.25])
    >>> precision_weights([0.0, 0.0, 0.0]).round(3)
    array([0.333, 0.333, 0.333])
    """
    v = np.asarray(errors, dtype=np.float64)
    if paper:
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            inverse = 1.0 / v
            return np.asarray(inverse / inverse.sum(axis=-1, keepdims=True))
    floor = 1e-3 * np.maximum(v.mean(axis=-1, keepdims=True), 0.0)
    inverse = 1.0 / np.where(floor > 0, np.maximum(v, floor), 1.0)
    return np.asarray(inverse / inverse.sum(axis=-1, keepdims=True))


def _names(models: Sequence[str] | None, n_models: int) -> tuple[str, ...]:
    names = tuple(map(str, range(n_models))) if models is None else tuple(models)
    if len(names) != n_models or len(set(names)) != n_models:
        raise ValueError(f"`models` must be {n_models} different names, got {list(names)}.")
    return names


def _prompt_array(prompts: Any, n: int) -> Floats:
    array = np.asarray(prompts, dtype=np.float64)
    if array.ndim != 2 or len(array) != n or not np.isfinite(array).all():
        raise ValueError(f"`prompts` must be {n} finite vectors, one per prompt, got shape {array.shape}.")
    return array
