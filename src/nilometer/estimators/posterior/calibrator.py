"""Posteriors made right on tens to hundreds of labelled answers, before a rule is applied to them."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import minimize, minimize_scalar
from sklearn.base import BaseEstimator
from sklearn.isotonic import IsotonicRegression
from sklearn.utils.validation import check_is_fitted

from nilometer.arrays import Float, Floats, Ints
from nilometer.errors import NotEnoughDataError

from .posterior import Posterior

__all__ = ["KINDS", "Calibrator"]


KINDS = ("temperature", "bias", "affine", "isotonic")
_LEAST = 10
_FLOOR = 1e-6
_LOG_RANGE = (np.log(0.05), np.log(50.0))


class _Table(NamedTuple):
    """Posteriors side by side."""

    values: Floats
    """Shape (posteriors, most values): numbers, or places in the scale."""
    weights: Floats
    """Same shape; zeros where a posterior has fewer values."""


class Calibrator(BaseEstimator):  # type: ignore[misc]
    r"""Corrects posteriors on labelled answers.

    ``temperature`` raises weights to a power; ``bias`` also adds a number to the log-weight of each label;
    ``affine`` moves and stretches numbers so that the mean answer follows the truth; ``isotonic`` does so along any
    rising curve, and for labels fits each label's probability so. Temperature and bias minimise the log loss for
    labels and, for numbers, the continuous ranked probability score

    .. math:: E|Y - t| - \tfrac12 E|Y - Y'|,

    which needs no truth on the scale. Affine and isotonic fit the mean by least squares and then scale the spread
    around it to what the residuals show.

    Parameters
    ----------
    kind
        One of ``KINDS``.
    penalty
        Weight of the squared biases, per labelled answer 1 / n; larger means closer to temperature alone.

    Attributes
    ----------
    temperature_, biases_
        For ``temperature`` and ``bias``; biases are one per label, in nats.
    slope_, intercept_
        For ``affine``.
    spread_
        For ``affine`` and ``isotonic`` of numbers: factor on the distance from the mean.
    labels_
        The scale, where there is one.
    loss_before_, loss_after_
        Mean loss on the answers fitted to, which is optimistic.

    References
    ----------
    Guo et al. (2017), "On Calibration of Modern Neural Networks". Gneiting and Raftery (2007), sec. 4.2. Tomov et al.
    (2026), "Task-Aware Calibration", arXiv 2605.10202.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> truth = rng.integers(1, 6, 200)
    >>> said = [Posterior.from_samples(rng.normal(2.5 + 0.2 * t, 0.3, 8)) for t in truth]
    >>> calibrator = Calibrator(kind="affine").fit(said, truth)
    >>> bool(calibrator.slope_ > 3)
    True
    """

    def __init__(self, kind: str = "temperature", *, penalty: float = 1.0) -> None:
        self.kind = kind
        self.penalty = penalty

    def fit(self, X: Sequence[Posterior], y: Sequence[Any]) -> "Calibrator":
        """Learn from posteriors and the true answers.

        Raises
        ------
        NotEnoughDataError
            If there are fewer than 10 answers.
        ValueError
            If `kind` is unknown or does not fit the answers, or a truth is not on the scale.
        """
        if self.kind not in KINDS:
            raise ValueError(f"`kind` must be one of {', '.join(KINDS)}, got {self.kind!r}.")
        if len(X) != len(y):
            raise ValueError(f"`X` and `y` must be equally long, got {len(X)} and {len(y)}.")
        if len(X) < _LEAST:
            raise NotEnoughDataError(f"{len(X)} labelled answers are too few.", f"At least {_LEAST} are needed.")
        self.is_number_ = all(posterior.kind == "number" for posterior in X)
        self.labels_ = _scale(X, y, is_number=self.is_number_)
        if self.kind == "affine" and not self.is_number_:
            raise ValueError("`kind` affine must be given numbers. Use temperature, bias or isotonic for labels.")
        if self.kind in ("affine", "isotonic") and self.is_number_:
            self._fit_location(X, np.asarray(y, dtype=np.float64))
        elif self.kind == "isotonic":
            self._fit_label_curves(X, y)
        else:
            self._fit_weights(X, y)
        return self

    def transform(self, X: Sequence[Posterior]) -> list[Posterior]:
        """Return the corrected posteriors; their ``n_samples`` and failures stay."""
        check_is_fitted(self, "labels_")
        if self.kind in ("affine", "isotonic") and self.is_number_:
            return [self._moved(posterior) for posterior in X]
        if self.kind == "isotonic":
            return [self._curved(posterior) for posterior in X]
        return [posterior.reweighted(self._raised(posterior)) for posterior in X]

    def _truths(self, y: Sequence[Any]) -> Floats:
        if self.is_number_:
            truths = np.asarray(y, dtype=np.float64)
            if not np.isfinite(truths).all():
                raise ValueError("`y` must be finite numbers.")
            return truths
        return np.array([self.labels_.index(label) for label in y], dtype=np.float64)

    def _fit_weights(self, X: Sequence[Posterior], y: Sequence[Any]) -> None:
        table, truths = self._table(X), self._truths(y)
        loss = _ranked_score if self.is_number_ else _log_loss
        places = self._places(X) if self.kind == "bias" else None

        def objective(theta: Floats) -> float:
            logs = np.log(np.maximum(table.weights, _FLOOR)) * np.exp(-theta[0])
            if places is not None:
                logs = logs + np.append(theta[1:], 0.0)[places]
            shifted = np.where(table.weights > 0, logs, -np.inf)
            weights = np.exp(np.maximum(shifted - shifted.max(axis=1, keepdims=True), -700.0))
            weights = np.where(table.weights > 0, weights, 0.0)
            weights /= weights.sum(axis=1, keepdims=True)
            return loss(table.values, weights, truths) + self.penalty / len(truths) * float((theta[1:] ** 2).sum())

        self.loss_before_ = objective(np.zeros(1 if places is None else 1 + len(self.labels_)))
        best = (
            minimize_scalar(lambda t: objective(np.array([t])), bounds=_LOG_RANGE, method="bounded")
            if places is None
            else None
        )
        theta = np.array([best.x]) if best is not None else self._fit_biases(objective)
        self.temperature_, self.biases_ = float(np.exp(theta[0])), theta[1:]
        self.loss_after_ = objective(theta)

    def _fit_biases(self, objective: Any) -> Floats:
        start = np.zeros(1 + len(self.labels_))
        bounds = [_LOG_RANGE, *[(-20.0, 20.0)] * len(self.labels_)]
        found: Floats = minimize(objective, start, method="L-BFGS-B", bounds=bounds).x
        return found

    def _raised(self, posterior: Posterior) -> Floats:
        logs = np.log(np.maximum(posterior.weights, _FLOOR)) / self.temperature_
        if self.kind == "bias":
            places = [self.labels_.index(value) if value in self.labels_ else -1 for value in posterior.values]
            logs = logs + np.append(self.biases_, 0.0)[places]
        held = posterior.weights > 0
        return np.where(held, np.exp(np.maximum(logs - logs[held].max(), -700.0)), 0.0)

    def _table(self, X: Sequence[Posterior]) -> _Table:
        width = max(len(posterior.values) for posterior in X)
        values, weights = np.zeros((len(X), width)), np.zeros((len(X), width))
        for row, posterior in enumerate(X):
            n = len(posterior.values)
            own = posterior.values if self.is_number_ else map(self.labels_.index, posterior.values)
            values[row, :n], weights[row, :n] = [*own], posterior.weights
            values[row, n:] = values[row, n - 1]
        return _Table(values, weights)

    def _places(self, X: Sequence[Posterior]) -> Ints:
        width = max(len(posterior.values) for posterior in X)
        places = np.full((len(X), width), -1)
        for row, posterior in enumerate(X):
            places[row, : len(posterior.values)] = [self.labels_.index(value) for value in posterior.values]
        return places

    def _fit_location(self, X: Sequence[Posterior], truths: Floats) -> None:
        if not np.isfinite(truths).all():
            raise ValueError("`y` must be finite numbers.")
        means = np.array([posterior.mean for posterior in X])
        if self.kind == "affine":
            spread = float(means.var())
            self.slope_ = float(np.cov(means, truths, bias=True)[0, 1] / spread) if spread > 0 else 0.0
            self.intercept_ = float(truths.mean() - self.slope_ * means.mean())
        else:
            self.curve_ = IsotonicRegression(out_of_bounds="clip").fit(means, truths)
        residual = float(np.mean((truths - self._located(means)) ** 2))
        within = float(np.mean([posterior.sd**2 for posterior in X]))
        self.spread_ = float(np.sqrt(residual / within)) if within > 0 else 0.0
        self.loss_before_ = float(np.mean((truths - means) ** 2))
        self.loss_after_ = residual

    def _located(self, means: Floats) -> Floats:
        if self.kind == "affine":
            return self.intercept_ + self.slope_ * means
        curve: Floats = self.curve_.predict(means)
        return curve

    def _moved(self, posterior: Posterior) -> Posterior:
        mean = posterior.mean
        centre = float(self._located(np.array([mean]))[0])
        moved = centre + self.spread_ * (posterior.numbers - mean)
        if self.spread_ == 0:
            return posterior.reweighted([1.0], [centre])
        return posterior.reweighted(posterior.weights, moved.tolist())

    def _fit_label_curves(self, X: Sequence[Posterior], y: Sequence[Any]) -> None:
        masses, truths = self._masses(X), self._truths(y).astype(int)
        self.curves_ = [
            IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip").fit(masses[:, k], truths == k)
            for k in range(len(self.labels_))
        ]
        rows = np.arange(len(truths))
        self.loss_before_ = float(-np.mean(np.log(np.maximum(masses[rows, truths], _FLOOR))))
        curved = np.stack([curve.predict(masses[:, k]) for k, curve in enumerate(self.curves_)], axis=1)
        curved = (curved + _FLOOR) / (curved + _FLOOR).sum(axis=1, keepdims=True)
        self.loss_after_ = float(-np.mean(np.log(curved[rows, truths])))

    def _masses(self, X: Sequence[Posterior]) -> Floats:
        masses = np.zeros((len(X), len(self.labels_)))
        for row, posterior in enumerate(X):
            masses[row, [self.labels_.index(value) for value in posterior.values]] = posterior.weights
        return masses

    def _curved(self, posterior: Posterior) -> Posterior:
        masses = self._masses([posterior])[0]
        curved = np.array([float(curve.predict([p])[0]) for curve, p in zip(self.curves_, masses, strict=True)])
        return posterior.reweighted(curved + _FLOOR, self.labels_)


def _scale(X: Sequence[Posterior], y: Sequence[Any], *, is_number: bool) -> tuple[Any, ...]:
    """The labels that posteriors and truths name, in the order of the scale or of the alphabet."""
    listed = next((posterior.labels for posterior in X if posterior.labels is not None), None)
    if is_number:
        return tuple(sorted({value for posterior in X for value in posterior.values}))
    seen = {value for posterior in X for value in posterior.values} | set(y)
    if listed is None:
        return tuple(sorted(seen, key=str))
    outside = [label for label in y if label not in listed]
    if outside:
        raise ValueError(f"`y` must hold labels of the scale {listed}, got {outside[0]!r}.")
    return tuple(listed)


def _ranked_score(
    values: Float[Floats, "posteriors values"],
    weights: Float[Floats, "posteriors values"],
    truths: Float[Floats, " posteriors"],
) -> float:
    """Mean continuous ranked probability score, in the unit of the values; smaller is better."""
    order = np.argsort(values, axis=1, kind="stable")
    v, w = np.take_along_axis(values, order, 1), np.take_along_axis(weights, order, 1)
    below = np.cumsum(w, axis=1)[:, :-1]
    gaps = np.diff(v, axis=1)
    # half the mean distance of two answers is the integral of F (1 - F)
    spread = (below * (1 - below) * gaps).sum(axis=1)
    return float(np.mean((w * np.abs(v - truths[:, None])).sum(axis=1) - spread))


def _log_loss(places: Floats, weights: Floats, truths: Floats) -> float:
    """Mean negative log-probability of the true label, nats; smaller is better."""
    p = np.where(places == truths[:, None], weights, 0.0).sum(axis=1)
    return float(-np.mean(np.log(np.maximum(p, _FLOOR))))
