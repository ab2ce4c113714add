"""Which model to call for a prompt, from its embedding alone, with the reason."""

from copy import copy
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from nilometer.arrays import Bools, Floats, Ints
from nilometer.errors import ConfigError, NotEnoughDataError
from nilometer.estimators import LabelledQualities, Smoothie, label_qualities

from .answer_table import AnswerTable

__all__ = ["Alternative", "Route", "Router", "fit_router", "label_answers"]


class Alternative(NamedTuple):
    """A model that could answer instead."""

    model: str
    expected_quality: float
    interval: tuple[float, float] | None
    cost: float | None


class Route(NamedTuple):
    """The model to call and why."""

    model: str
    reason: str
    """One line."""
    expected_quality: float
    """Estimated accuracy where labels were given, else minus the estimated error; high is good."""
    interval: tuple[float, float] | None
    """None where the spread is not known, as from one neighbour."""
    alternatives: tuple[Alternative, ...]
    """The other models, best first."""


@dataclass(frozen=True, kw_only=True)
class Router:
    """Fitted choice of one model per prompt.

    The choice maximises ``expected quality - cost_weight · cost``. Without neighbours every prompt gets the
    same model. With labels the unit of quality is accuracy.
    """

    smoothie: Smoothie
    costs: Floats | None = None
    cost_weight: float = 0.0
    budget: float | None = None
    """Mean cost per prompt to stay within; without neighbours, the most that the one model may cost."""
    allowed: Bools | None = None
    """(models,) which models may be called; None for all."""
    labelled: LabelledQualities | None = None
    handicaps: Floats | None = None
    """(models,) taken off the quality of each model, as ``for_share`` sets them."""
    embedder: str = ""
    """Name of what made the embeddings, for the reader of a saved router."""
    embedder_model: str | None = None
    """Name of the model at the embedder's server, where it has one."""

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the models."""
        return tuple(self.smoothie.models_)

    @property
    def unit(self) -> str:
        """What ``expected_quality`` is."""
        return "accuracy" if self.labelled is not None else "quality"

    @property
    def answer_weights(self) -> Floats:
        """(models,) weights for votes and medoids: odds of a right answer by labels, else shares of precision."""
        if self.labelled is None:
            return np.asarray(self.smoothie.weights_, dtype=np.float64)
        p = np.clip(self.overall()[0][0], 0.01, 0.99)
        return np.asarray(p / (1.0 - p))

    @property
    def vote_weights(self) -> Floats:
        """(models,) weights of a vote: log-odds of a right answer by labels, 0 below one half; else as in answers.

        With independent models the vote by log-odds is the most probable answer.
        """
        if self.labelled is None:
            return self.answer_weights
        return np.asarray(np.log(np.maximum(self.answer_weights, 1.0)))

    def route(self, prompt_embedding: ArrayLike | None = None) -> Route:
        """Choose the model for one prompt.

        Parameters
        ----------
        prompt_embedding
            (dim,) of the prompt, from the embedder of the fit. Only needed if the router looks at neighbours.

        Raises
        ------
        ValueError
            If the embedding is missing though needed, not finite, or of another length.

        Examples
        --------
        >>> answers = np.array([[[0.0], [0.1], [3.0]], [[1.0], [1.1], [7.0]], [[2.0], [2.1], [9.0]]])
        >>> router = fit_router(AnswerTable(models=("a", "b", "c"), embeddings=answers))
        >>> router.route().model
        'b'
        """
        rows = None if prompt_embedding is None else np.asarray(prompt_embedding, dtype=np.float64)[None]
        quality, error = self.expected(rows)
        chosen = int(self._choose(quality)[0])
        options = [self._option(j, quality[0], error) for j in range(len(self.models))]
        others = sorted((o for j, o in enumerate(options) if j != chosen), key=lambda o: -o.expected_quality)
        own = options[chosen]
        return Route(own.model, self._reason(own, others), own.expected_quality, own.interval, tuple(others))

    def choose(self, prompts: ArrayLike | None = None, *, n: int = 1) -> Ints:
        """Model numbers for many prompts: from their (prompts, dim) embeddings, or the same one ``n`` times."""
        if self.smoothie.n_neighbors is None:
            n = n if prompts is None else len(np.asarray(prompts))
            return np.repeat(self._choose(self.expected(None)[0]), n)
        return self._choose(self.expected(prompts)[0])

    def expected(self, prompts: ArrayLike | None) -> tuple[Floats, Floats | None]:
        """Expected quality (prompts, models), and its standard error (models,) of the first prompt."""
        if self.smoothie.n_neighbors is None:
            return self.overall()
        if prompts is None:
            raise ValueError("`prompt_embedding` must be given, since the router looks at neighbouring prompts.")
        near = self.smoothie.neighbours(prompts)
        local = -self.smoothie.errors_near(near)
        local = np.where(np.isnan(local), -self.smoothie.errors_, local)
        error = _weighted_error(self.smoothie.own_errors(near.rows[0]), near.weights[0])
        if self.labelled is None:
            return local, error
        gain = self.labelled.proxy_slope / self.labelled.proxy_scale
        accuracy, base = self.overall()
        shifted = accuracy[0, : len(self.models)] + gain * (local + self.smoothie.errors_)
        if error is None or base is None:
            return shifted, None
        return shifted, np.sqrt(base**2 + (gain * error) ** 2)

    def for_budget(self, budget: float, prompts: ArrayLike | None = None) -> "Router":
        """Return this router within a budget: the best quality that its mean cost buys.

        Without neighbours that is the best model that costs no more than the budget. With neighbours, quality is
        weighed against cost by the smallest weight that keeps the mean cost of typical prompts within the budget;
        prompts of another kind may spend otherwise, which ``route_paced`` prevents.

        Parameters
        ----------
        budget
            Mean cost per prompt.
        prompts
            (prompts, dim) typical prompts; those of the fit by default.

        Raises
        ------
        NotEnoughDataError
            If the router has no costs.
        ConfigError
            If no model is that cheap.
        """
        if self.costs is None:
            raise NotEnoughDataError("The models have no costs.", "Give the price of a call to each.")
        if budget < self.costs.min():
            raise ConfigError(f"`budget` must be >= {self.costs.min():g}, the cheapest model, got {budget:g}.")
        if self.smoothie.n_neighbors is None:
            return replace(self, budget=budget, cost_weight=0.0)
        typical = getattr(self.smoothie, "prompts_", None) if prompts is None else prompts
        quality = self.expected(typical)[0]
        weight = _budget_weight(quality, self.costs, budget)
        return replace(self, budget=budget, cost_weight=weight)

    def for_share(self, model: str, share: float, prompts: ArrayLike | None = None) -> "Router":
        """Return this router with a share of the prompts for one model: those on which it is furthest ahead.

        The share is met on typical prompts, and differs on others.

        Parameters
        ----------
        model
            Name of the model, such as the strong and expensive one.
        share
            Of the prompts, in [0, 1].
        prompts
            (prompts, dim) typical prompts; those of the fit by default.

        Raises
        ------
        ConfigError, ValueError
            If the model or the share is none, or the router has one model for all prompts.

        Examples
        --------
        >>> rng = np.random.default_rng(0)
        >>> x, prompts = rng.normal(size=(40, 3, 2)), rng.normal(size=(40, 2))
        >>> table = AnswerTable(models=("a", "b", "c"), embeddings=x, prompts=prompts)
        >>> router = fit_router(table, n_neighbors=3).for_share("b", 0.25)
        >>> float((router.choose(table.prompts) == 1).mean())
        0.25
        """
        if model not in self.models:
            raise ConfigError(f"`model` must be one of {', '.join(self.models)}, got {model!r}.")
        if not 0.0 <= share <= 1.0:
            raise ValueError(f"`share` must lie in [0, 1], got {share}.")
        if self.smoothie.n_neighbors is None:
            raise ConfigError("a share needs a router that looks at the prompts. Fit it with `n_neighbors`.")
        typical = self.smoothie.prompts_ if prompts is None else prompts
        value = self._value(self.expected(typical)[0])
        place = self.models.index(model)
        ahead = np.sort(value[:, place] - np.delete(value, place, axis=1).max(axis=1))[::-1]
        n = round(share * len(ahead))
        limit = ahead[0] + 1.0 if n == 0 else ahead[-1] - 1.0 if n == len(ahead) else 0.5 * (ahead[n - 1] + ahead[n])
        handicaps = np.zeros(len(self.models)) if self.handicaps is None else self.handicaps.copy()
        handicaps[place] += limit
        return replace(self, handicaps=handicaps)

    def without(self, *models: str) -> "Router":
        """Return this router without some of its models, which need no fit anew.

        Raises
        ------
        ConfigError
            If a model is unknown, or none would be left.
        """
        unknown = [name for name in models if name not in self.models]
        if unknown:
            raise ConfigError(f"`models` must be of {', '.join(self.models)}, got {unknown[0]!r}.")
        kept = np.array([name not in models for name in self.models])
        kept = kept if self.allowed is None else kept & self.allowed
        if not kept.any():
            raise ConfigError("a router needs at least one model that may be called, got none.")
        return replace(self, allowed=kept)

    def affordable(self) -> Bools:
        """(models,) which models may be called at all: without neighbours, those within the budget."""
        may = np.ones(len(self.models), dtype=bool) if self.allowed is None else self.allowed
        if self.costs is None or self.budget is None or self.smoothie.n_neighbors is not None:
            return may
        return np.asarray(may & (self.costs <= self.budget * (1 + 1e-12)))

    def _eligible(self) -> Bools:
        """(models,) the affordable models; where none is, the cheapest of those that may be called."""
        may = self.affordable()
        if may.any() or self.costs is None:
            return may
        allowed = np.ones(len(self.models), dtype=bool) if self.allowed is None else self.allowed
        cheapest = np.where(allowed, self.costs, np.inf)
        return np.asarray(cheapest == cheapest.min())

    def without_neighbors(self) -> "Router":
        """Return the router that has one model for all prompts, for prompts that cannot be embedded."""
        whole = copy(self.smoothie)
        whole.n_neighbors = None
        return replace(self, smoothie=whole)

    def overall(self) -> tuple[Floats, Floats | None]:
        """Expected quality (1, models) and its standard error (models,) over all prompts."""
        if self.labelled is None:
            return -self.smoothie.errors_[None], self.smoothie.qualities_.standard_errors
        m = len(self.models)
        return self.labelled.chosen.quality[None, :m], self.labelled.chosen.standard_errors[:m]  # type: ignore[index]

    def _value(self, quality: Floats) -> Floats:
        """(prompts, models) what is maximised: quality less handicaps and weighted costs."""
        value = quality if self.handicaps is None else quality - self.handicaps
        return value if self.costs is None else np.asarray(value - self.cost_weight * self.costs)

    def _choose(self, quality: Floats) -> Ints:
        value = self._value(quality)
        value = np.where(np.isfinite(value) & self._eligible(), value, -np.inf)
        best = value.max(axis=1, keepdims=True)
        tied = value >= best - 1e-9 * np.maximum(np.abs(best), 1e-12)
        price = np.zeros(len(self.models)) if self.costs is None else self.costs
        return np.asarray(np.argmin(np.where(tied, price, np.inf), axis=1))

    def _option(self, j: int, quality: Floats, error: Floats | None) -> Alternative:
        value = float(quality[j])
        reach = None if error is None else self._quantile() * float(error[j])
        interval = None if reach is None else (value - reach, value + reach)
        if interval is not None and self.labelled is not None:
            interval = max(0.0, interval[0]), min(1.0, interval[1])
        return Alternative(self.models[j], value, interval, None if self.costs is None else float(self.costs[j]))

    def _quantile(self) -> float:
        from scipy.special import ndtri

        return float(ndtri(0.5 + self.smoothie.confidence_level / 2))

    def _reason(self, own: Alternative, others: list[Alternative]) -> str:
        where = f"over {self.smoothie.qualities_.n_prompts:,} prompts"
        if self.smoothie.n_neighbors is not None:
            where = f"among the {self.smoothie.n_neighbors} nearest prompts"
        said = f"{own.model} has expected {self.unit} {own.expected_quality:.3g}"
        if own.interval is not None:
            said += f" ({own.interval[0]:.3g} to {own.interval[1]:.3g})"
        said += f" {where}"
        best = others[0]
        if best.expected_quality > own.expected_quality and self.costs is not None:
            gap = best.expected_quality - own.expected_quality
            return f"{said}; {best.model} is {gap:.2g} better for {_times(best.cost, own.cost)}"
        overlap = own.interval is not None and best.interval is not None and best.interval[1] >= own.interval[0]
        behind = own.expected_quality - best.expected_quality
        return f"{said}; next is {best.model}, {behind:.2g} behind{', intervals overlap' if overlap else ''}"


def fit_router(
    table: AnswerTable,
    *,
    n_neighbors: int | None = None,
    exclude_pairs: tuple[tuple[int, int], ...] = (),
    budget: float | None = None,
    confidence_level: float = 0.95,
) -> Router:
    """Fit the one-call choice on recorded answers of all models to the same prompts.

    Parameters
    ----------
    table
        The answers; with ``scores`` the qualities are accuracies that combine labels and agreement, with
        ``costs`` a budget can be kept.
    n_neighbors
        None for one model for all prompts; k to look at the k nearest recorded prompts.
    exclude_pairs
        Pairs of models that are not compared, such as two of one family.
    budget
        Mean cost per prompt to stay within.
    confidence_level
        Coverage of the intervals.

    Raises
    ------
    NotEnoughDataError
        For fewer than three models (two with labels), or a model without any answer.
    ValueError, ConfigError
        For arrays that do not fit and budgets that cannot be kept.
    """
    if n_neighbors is not None and n_neighbors > len(table):
        raise ConfigError(f"`n_neighbors` must be <= {len(table)}, the number of prompts, got {n_neighbors}.")
    known = table.scores is not None and bool((~np.isnan(table.scores)).any())
    smoothie = Smoothie(n_neighbors, exclude_pairs=exclude_pairs, split_two=known, confidence_level=confidence_level)
    smoothie.fit(table.embeddings, prompts=table.prompts, models=table.models, groups=table.groups)
    labelled = label_answers(table, smoothie) if known else None
    router = Router(smoothie=smoothie, costs=table.costs, labelled=labelled)
    return router if budget is None else router.for_budget(budget)


def label_answers(table: AnswerTable, smoothie: Smoothie) -> LabelledQualities:
    """Accuracies from labels and agreement, on the prompts that all models answered where these have labels.

    An answer that has a label counts by it, also one that states nothing that can be compared.
    """
    proxies = np.where(table.present, -smoothie.own_errors(), np.nan)
    scores = np.full(proxies.shape, np.nan) if table.scores is None else table.scores
    complete = (table.present | ~np.isnan(scores)).all(axis=1)
    if ((~np.isnan(scores[complete])).sum(axis=0) > 1).all():
        proxies, scores = proxies[complete], scores[complete]
    level = smoothie.confidence_level
    return label_qualities(proxies, scores, candidates=table.models, quality=-smoothie.errors_, confidence_level=level)


def _weighted_error(own: Floats, weights: Floats) -> Floats | None:
    """Standard error (models,) of a weighted mean over neighbours; None from fewer than two."""
    effective = float(weights.sum() ** 2 / (weights**2).sum())
    if effective < 1.5 or not np.isfinite(own).all():
        return None
    mean = weights @ own
    variance = weights @ (own - mean) ** 2 * effective / (effective - 1.0)
    return np.asarray(np.sqrt(variance / effective))


def _budget_weight(quality: Floats, costs: Floats, budget: float) -> float:
    """Smallest weight on cost that keeps the mean cost of the choices within the budget."""

    def spent(weight: float) -> float:
        return float(costs[np.argmax(quality - weight * costs, axis=1)].mean())

    if spent(0.0) <= budget:
        return 0.0
    low, high = 0.0, 1.0
    while spent(high) > budget:
        low, high = high, high * 4.0
        if high > 1e18:
            break
    for _ in range(80):
        middle = 0.5 * (low + high)
        low, high = (low, middle) if spent(middle) <= budget else (middle, high)
    return high


def _times(expensive: float | None, cheap: float | None) -> str:
    if not expensive or not cheap:
        return "a higher price"
    return f"{expensive / cheap:.2g} times the price"
