"""The way from responses to a fitted sentinel that every command takes."""

from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from nilometer.signals import FEATURE_NAMES, STATED_CONFIDENCE

from ..responses import Responses, usable_families
from .features import FALLBACK, MONOTONE_FEATURES
from .fitted import GUARDED, needed_features
from .rules.rule import STRATA
from .sentinel import Sentinel

__all__ = ["features_read", "fit_sentinel", "is_fitted"]


def fit_sentinel(responses: Responses, sentinel: Sentinel | None = None) -> tuple[Sentinel, str]:
    """Fit a sentinel on the labelled responses, their families left out whole where enough have labels.

    Parameters
    ----------
    responses
        Of ``cut_responses``.
    sentinel
        With the wanted parameters; it is cloned, never changed. None is the default one.

    Returns
    -------
    The fitted sentinel, and a sentence on the families (empty if the slices have none).

    Examples
    --------
    >>> import numpy as np
    >>> import pyarrow as pa
    >>> data = pa.table({"max": np.tile([0.1, 1.0], 50), "domain": np.repeat(list("abcde"), 20)})
    >>> from nilometer.estimators import cut_responses
    >>> responses = cut_responses(data, ["domain"], correct=np.tile([1.0, 0.0], 50))
    >>> fit_sentinel(responses)[0].n_labels_
    100
    """
    chosen, said = usable_families(responses)
    return clone(sentinel or Sentinel()).fit(chosen), said


def is_fitted(sentinel: Sentinel) -> bool:
    """Return whether a sentinel has been fitted."""
    try:
        check_is_fitted(sentinel, "fitted_")
    except NotFittedError:
        return False
    return True


def features_read(sentinel: Sentinel) -> set[str]:
    """Return the names of all features that a sentinel reads, or, before ``fit``, that it may come to read.

    Second opinions are not among them: which there are is seen in the profiles.

    Examples
    --------
    >>> sorted(features_read(Sentinel()) - {"stated_confidence"})  # doctest: +NORMALIZE_WHITESPACE
    ['log_length', 'max', 'nll_avg', 'nll_sum', 'no_answer', 'se_sum', 'tail_mass_max', 'truncated']
    """
    if is_fitted(sentinel):
        return needed_features(sentinel.plan_)
    always = {sentinel.feature, FALLBACK, *STRATA, *GUARDED, "log_length"}
    if isinstance(sentinel.features, str | int) or (sentinel.features is None and sentinel.classifier != "monotone"):
        return always | {*FEATURE_NAMES}
    return always | {*(sentinel.features or (*MONOTONE_FEATURES, STATED_CONFIDENCE))}
