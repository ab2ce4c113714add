"""Attention statistics of a split context: each part is summed on its own, and the parts merge exactly."""

from typing import NamedTuple

import numpy as np

from nilometer.arrays import ArrayLike, Floats

__all__ = ["AttentionMoments", "attention_moments", "merge_attention"]


class AttentionMoments(NamedTuple):
    r"""Sums over the keys seen so far, centred by the largest score; arrays of one shape.

    With :math:`m = \max s_j`: :math:`l = \sum e^{s_j - m}`, :math:`a = \sum e^{s_j - m} (s_j - m)`,
    :math:`b = \sum e^{s_j - m} (s_j - m)^2`. Then :math:`\mathrm{LSE} = m + \log l`,
    :math:`H = \log l - a / l` and :math:`V = b / l - (a / l)^2`.
    """

    maximum: Floats | np.float64
    total: Floats
    first: Floats
    second: Floats

    @property
    def lse(self) -> Floats:
        """Logarithm of the sum of exponentiated scores, nats; ``-inf`` where no key was visible."""
        return np.asarray(self.maximum + _log(self.total))

    @property
    def entropy(self) -> Floats:
        """Entropy of the attention over all keys seen, nats; NaN where none was visible."""
        return np.asarray(_log(self.total) - self._mean())

    @property
    def varentropy(self) -> Floats:
        """Variance of the scores under the attention, nats squared; NaN where no key was visible."""
        mean = self._mean()
        return np.asarray(np.maximum(_over(self.second, self.total) - mean**2, 0.0))

    def _mean(self) -> Floats:
        return _over(self.first, self.total)


def attention_moments(scores: ArrayLike) -> AttentionMoments:
    """Sum up one part of the keys.

    Parameters
    ----------
    scores
        Shape (..., keys); ``-inf`` where a key is hidden. A part without a visible key is allowed.

    Examples
    --------
    >>> part = attention_moments(np.log([0.2, 0.2, 0.4]))
    >>> whole = merge_attention(part, attention_moments(np.log([0.2])))
    >>> round(float(whole.entropy), 6) == round(float(attention_moments(np.log([0.2, 0.2, 0.4, 0.2])).entropy), 6)
    True
    """
    rows = np.asarray(scores, dtype=np.float64)
    maximum = rows.max(axis=-1, initial=-np.inf)
    visible = rows > -np.inf
    centred = np.where(visible, rows - np.where(np.isfinite(maximum), maximum, 0.0)[..., None], 0.0)
    weight = np.where(visible, np.exp(centred), 0.0)
    return AttentionMoments(
        maximum, weight.sum(axis=-1), (weight * centred).sum(axis=-1), (weight * centred**2).sum(axis=-1)
    )


def merge_attention(one: AttentionMoments, other: AttentionMoments) -> AttentionMoments:
    r"""Merge the sums of two disjoint parts of the keys; exact, and in any order.

    When the maximum moves by :math:`d \le 0`, :math:`l \to e^d l`, :math:`a \to e^d (a + d\,l)` and
    :math:`b \to e^d (b + 2 d\,a + d^2 l)`. This is what a split-key kernel or a streaming pass needs.

    Examples
    --------
    >>> whole = merge_attention(attention_moments([0.0, 0.0]), attention_moments([0.0, 0.0]))
    >>> float(np.exp(whole.entropy))
    4.0
    """
    maximum = np.maximum(one.maximum, other.maximum)
    parts = [_moved(part, maximum) for part in (one, other)]
    return AttentionMoments(maximum, *(x + y for x, y in zip(*parts, strict=True)))


def _moved(part: AttentionMoments, maximum: Floats | np.float64) -> tuple[Floats | np.float64, ...]:
    empty = np.isneginf(part.maximum)
    d = np.where(empty, 0.0, np.where(empty, 0.0, part.maximum) - np.where(empty, 0.0, maximum))
    scale = np.exp(d)
    return (
        scale * part.total,
        scale * (part.first + d * part.total),
        scale * (part.second + 2 * d * part.first + d**2 * part.total),
    )


def _log(total: Floats | np.float64) -> Floats:
    return np.log(total, out=np.full(np.shape(total), -np.inf), where=np.asarray(total) > 0)


def _over(value: Floats | np.float64, total: Floats | np.float64) -> Floats:
    return np.asarray(np.divide(value, total, out=np.full(np.shape(total), np.nan), where=np.asarray(total) > 0))
