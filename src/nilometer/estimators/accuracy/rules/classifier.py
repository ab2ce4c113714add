"""Classifiers of "this answer is correct", among them the recipe of the Entropy Sentinel paper."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from nilometer.arrays import Floats, Ints
from nilometer.errors import NotEnoughDataError

__all__ = ["CLASSIFIERS", "FEATURE_SETS", "Recipe", "fit_classifier"]


CLASSIFIERS = ("monotone", "forest", "logistic", "mlp")
"""Classifiers of a sentinel: ours, then the paper's."""
_TEN = ("mean", "std", "max", "q10", "q25", "q50", "q75", "q90", "skewness", "kurtosis")
FEATURE_SETS: dict[int, tuple[str, ...]] = {
    1: ("se_sum",),
    3: ("max", "se_sum", "nll_sum"),
    10: _TEN,
    17: (*_TEN, "se_sum", "nll_avg", "nll_max", "nll_sum", "lntp", "mtp", "ppl"),
}
"""The paper's feature sets by size."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a classifier is fitted."""

    classifier: Any = "forest"
    """A name of ``CLASSIFIERS``, or a classifier of scikit-learn."""
    balanced: bool = True
    calibrated: bool = True
    seed: int = 42

    @property
    def name(self) -> str:
        """What the classifier is called."""
        return self.classifier if isinstance(self.classifier, str) else type(self.classifier).__name__


def fit_classifier(X: Floats, y: Ints, recipe: Recipe, *, chosen: dict[str, Any] | None = None) -> Any:
    """Fit one of the paper's classifiers: scaled features, grid search by ROC-AUC, sigmoid calibration.

    Scaler fitted on all rows before the folds, min(5, minority class) folds, grids as published. The forest
    and the logistic regression balance by class weights, the perceptron by drawing the rare class again.
    ``chosen`` gives hyper-parameters found before and skips the search. A classifier of one's own is fitted as it is
    on unscaled features, and calibrated if the recipe says so.

    Raises
    ------
    NotEnoughDataError
        If a class has fewer than two rows.

    References
    ----------
    Memoli Buffa and Del Corro (2026), arXiv 2601.09001, and the code published with it.
    """
    minority = int(min(y.sum(), len(y) - y.sum()))
    if minority < 2:
        raise NotEnoughDataError(
            f"a classifier needs both correct and wrong answers, got {int(y.sum())} correct of {len(y)}.",
            "Label at least 2 responses of each kind.",
        )
    folds = StratifiedKFold(min(5, minority), shuffle=True, random_state=recipe.seed)
    if not isinstance(recipe.classifier, str):
        own = clone(recipe.classifier)
        return (CalibratedClassifierCV(own, method="sigmoid", cv=folds) if recipe.calibrated else own).fit(X, y)
    scaler = StandardScaler().fit(X)
    scaled = scaler.transform(X)
    if recipe.classifier == "mlp" and recipe.balanced:
        scaled, y = _oversampled(scaled, y, recipe.seed)
    model, grid = _model(recipe)
    if chosen is None:
        search = GridSearchCV(model, grid, scoring="roc_auc", cv=folds, refit=not recipe.calibrated).fit(scaled, y)
        chosen = search.best_params_
    model.set_params(**chosen)
    if recipe.calibrated:
        model = CalibratedClassifierCV(model, method="sigmoid", cv=folds)
    fitted = make_pipeline(scaler, model.fit(scaled, y))
    fitted.chosen_ = chosen
    return fitted


def _model(recipe: Recipe) -> tuple[Any, dict[str, list[Any]]]:
    if recipe.classifier == "forest":
        weight = "balanced_subsample" if recipe.balanced else None
        forest = RandomForestClassifier(n_estimators=100, class_weight=weight, random_state=recipe.seed)
        return forest, {"max_depth": [3, 5, 10], "min_samples_split": [2, 5, 10]}
    if recipe.classifier == "logistic":
        weight = "balanced" if recipe.balanced else None
        line = LogisticRegression(
            solver="liblinear", l1_ratio=1.0, max_iter=10_000, class_weight=weight, random_state=recipe.seed
        )
        return line, {"C": [0.5, 2, 10]}
    if recipe.classifier == "mlp":
        net = MLPClassifier(alpha=1e-3, early_stopping=True, max_iter=10_000, random_state=recipe.seed)
        sizes = [(5,), (8,), (10,), (15,), (20,), (8, 4), (10, 5), (15, 8)]
        return net, {"hidden_layer_sizes": sizes}
    raise ValueError(f"`classifier` must be one of {', '.join(CLASSIFIERS[1:])}, got {recipe.classifier!r}.")


def _oversampled(X: Floats, y: Ints, seed: int) -> tuple[Floats, Ints]:
    rng = np.random.default_rng(seed)
    rare = np.flatnonzero(y == (y.mean() < 0.5))
    more = rng.choice(rare, size=len(y) - 2 * len(rare), replace=True)
    rows = np.concatenate([np.arange(len(y)), more])
    return X[rows], y[rows]
