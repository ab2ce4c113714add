"""The way from responses to a fitted sentinel that every command takes."""

from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from ..responses import Responses, usable_families
from .sentinel import Sentinel

__all__ = ["fit_sentinel", "is_fitted"]


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
