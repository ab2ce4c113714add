"""The probability that a single generated token is right, from its alternatives and from attention."""

from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import Meta
from sklearn.base import BaseEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.utils.validation import check_is_fitted

from nilometer.arrays import Bools, Floats
from nilometer.errors import IncompatibleModelError, NotEnoughDataError
from nilometer.traces import SavedKind, read_saved_json, write_saved_json

__all__ = ["TokenConfidence", "load_token_confidence", "save_token_confidence"]

_FILE_VERSION = 2
_LEAST_TOKENS = 100
_LEAST_OF_A_KIND = 10
_HEAVY_TAILED = ("nll", "worst_nll", "varentropy", "attention_varentropy")


class TokenConfidence(BaseEstimator):  # type: ignore[misc]
    """Calibrated probability that a token is right, in [0, 1]; high is good.

    A logistic regression on standardised token features, heavy-tailed ones as log(1 + x), fitted on tokens whose
    truth is known (``nilometer.signals.token_truth``). Domains count equally, so that one with many tokens does not
    decide. Missing features take their mean. It says how often such tokens were right in the labelled domains; on
    other domains only as far as those resemble them.

    Parameters
    ----------
    names
        Names of the features, in the order of the columns of ``X``; kept in the file.
    strength
        Inverse regularisation of the regression.

    Attributes
    ----------
    coefficients_, intercept_
        Of the standardised features.
    mean_, scale_
        Of the features.
    n_tokens_
        Tokens with a known truth.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> nll = rng.exponential(1.0, (500, 1))
    >>> right = rng.random(500) < np.exp(-nll[:, 0])
    >>> confidence = TokenConfidence(names=("nll",)).fit(nll, right)
    >>> sure, unsure = confidence.predict_proba(np.array([[0.0], [3.0]]))[:, 1]
    >>> bool(sure > 0.8), bool(unsure < 0.3)
    (True, True)
    """

    def __init__(self, *, names: tuple[str, ...] = (), strength: float = 1.0) -> None:
        self.names = names
        self.strength = strength

    def fit(self, X: Any, y: Any, groups: Any = None) -> "TokenConfidence":
        """Learn from tokens.

        Parameters
        ----------
        X
            Shape (tokens, features), as ``token_features`` gives them.
        y
            Shape (tokens,), 1 right, 0 wrong; NaN rows are left out.
        groups
            Shape (tokens,), domain of each token; None is one domain.

        Raises
        ------
        NotEnoughDataError
            With fewer than 100 tokens or fewer than 10 of a kind.
        ValueError
            If the shapes do not fit.
        """
        features, truth = np.asarray(X, dtype=np.float64), np.asarray(y, dtype=np.float64)
        if features.ndim != 2 or len(features) != len(truth) or (self.names and features.shape[1] != len(self.names)):
            raise ValueError(f"`X` must have shape (tokens, {len(self.names) or 'features'}), got {features.shape}.")
        known = ~np.isnan(truth)
        domains = np.zeros(len(truth), dtype=int) if groups is None else np.asarray(groups)
        features, right, domains = features[known], truth[known] >= 0.5, domains[known]
        _check_enough(right)
        prepared = self._prepared(features)
        self.mean_ = np.nan_to_num(np.nanmean(prepared, axis=0))
        scale = np.nan_to_num(np.nanstd(prepared, axis=0))
        self.scale_ = np.where(scale > 1e-9, scale, 1.0)
        _, place, counts = np.unique(domains, return_inverse=True, return_counts=True)
        weight = (len(right) / len(counts)) / counts[place]
        line = LogisticRegression(C=self.strength, max_iter=2000)
        line.fit(self._standardized(features), right, sample_weight=weight)
        self.coefficients_, self.intercept_ = line.coef_[0], float(line.intercept_[0])
        self.n_tokens_ = len(right)
        return self

    def predict_proba(self, X: Any) -> Floats:
        """Probability of a wrong and of a right token, shape (tokens, 2)."""
        check_is_fitted(self, "coefficients_")
        features = np.asarray(X, dtype=np.float64)
        if features.ndim != 2 or features.shape[1] != len(self.mean_):
            raise ValueError(f"`X` must have shape (tokens, {len(self.mean_)}), got {features.shape}.")
        logits = self._standardized(features) @ self.coefficients_ + self.intercept_
        p = 1 / (1 + np.exp(-np.clip(logits, -500, 500)))
        return np.stack([1 - p, p], axis=1)

    def _prepared(self, features: Floats) -> Floats:
        heavy = [i for i, name in enumerate(self.names) if name in _HEAVY_TAILED]
        out = features.copy()
        out[:, heavy] = np.log1p(np.maximum(out[:, heavy], 0.0))
        return out

    def _standardized(self, features: Floats) -> Floats:
        return np.asarray(np.nan_to_num((self._prepared(features) - self.mean_) / self.scale_))


def _check_enough(right: Bools) -> None:
    wrong = int((~right).sum())
    if len(right) < _LEAST_TOKENS or min(wrong, len(right) - wrong) < _LEAST_OF_A_KIND:
        raise NotEnoughDataError(
            f"{len(right)} tokens with a known truth, {wrong} of them wrong, are not enough to fit.",
            f"Give at least {_LEAST_TOKENS} tokens with {_LEAST_OF_A_KIND} of each kind.",
        )


class _Head(msgspec.Struct, forbid_unknown_fields=True):
    token_confidence: Annotated[int, Meta(ge=1)]
    """Version of the file."""
    names: list[str]
    strength: Annotated[float, Meta(gt=0)]
    coefficients: Annotated[list[float], Meta(min_length=1, max_length=10_000)]
    intercept: float
    mean: list[float]
    scale: list[Annotated[float, Meta(gt=0)]]
    n_tokens: Annotated[int, Meta(ge=0)]
    digest: str | None = None


_KIND = SavedKind(
    "token confidence",
    _Head,
    _FILE_VERSION,
    2,
    "`nilometer tokens --learn`",
    IncompatibleModelError,
    version_field="token_confidence",
)


def save_token_confidence(path: str | Path, confidence: TokenConfidence) -> None:
    """Write a fitted token confidence as JSON; nothing in it is executed when it is read."""
    check_is_fitted(confidence, "coefficients_")
    head = _Head(
        token_confidence=_FILE_VERSION,
        names=list(confidence.names),
        strength=float(confidence.strength),
        coefficients=confidence.coefficients_.tolist(),
        intercept=float(confidence.intercept_),
        mean=confidence.mean_.tolist(),
        scale=confidence.scale_.tolist(),
        n_tokens=int(confidence.n_tokens_),
    )
    write_saved_json(path, _KIND, head)


def load_token_confidence(path: str | Path) -> TokenConfidence:
    """Read what :func:`save_token_confidence` wrote.

    Raises
    ------
    IncompatibleModelError
        If the file is something else, of a newer version, or was changed.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> confidence = TokenConfidence(names=("nll",)).fit(np.arange(200.0)[:, None] / 50, np.arange(200) % 7 < 3)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_token_confidence(pathlib.Path(folder) / "c.json", confidence)
    ...     again = load_token_confidence(pathlib.Path(folder) / "c.json")
    >>> bool((again.predict_proba([[1.0]]) == confidence.predict_proba([[1.0]])).all())
    True
    """
    head = read_saved_json(path, _KIND)
    n = len(head.coefficients)
    if {n, len(head.mean), len(head.scale), len(head.names) or n} != {n}:
        raise IncompatibleModelError(
            f"{path}: names, coefficients, means and scales must be as many, got {len(head.names)}, {n}, "
            f"{len(head.mean)} and {len(head.scale)}. Make one with {_KIND.made_by}."
        )
    confidence = TokenConfidence(names=tuple(head.names), strength=head.strength)
    confidence.coefficients_, confidence.intercept_ = np.array(head.coefficients), head.intercept
    confidence.mean_, confidence.scale_ = np.array(head.mean), np.array(head.scale)
    confidence.n_tokens_ = head.n_tokens
    return confidence
