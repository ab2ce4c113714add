"""What one query's attention looks like, head by head: entropy, varentropy, sink, self, prompt, unlikeness."""

from typing import NamedTuple

import numpy as np

from nilometer.arrays import ArrayLike, Floats, Ints

__all__ = [
    "ATTENTION_FIELDS",
    "AttentionStatistics",
    "KeyRemoved",
    "attention_entropy",
    "attention_statistics",
    "attention_varentropy",
    "normalized_attention_entropy",
    "sink_mass",
    "without_first",
    "without_key",
]


class AttentionStatistics(NamedTuple):
    """Eight numbers per query and head, arrays of one shape (..., heads); probabilities are over visible keys."""

    lse: Floats
    """Logarithm of the sum of exponentiated scores, nats; 0 where weights rather than scores were given."""
    entropy: Floats
    """Entropy of the attention weights, nats. In [0, log n_keys]."""
    varentropy: Floats
    """Variance of ``-log a`` under the weights ``a``, nats squared: the variance of the scores. >= 0."""
    first_logprob: Floats
    """Log of the weight on the first token, where the sink usually is; ``-inf`` if it is out of the window."""
    self_logprob: Floats
    """Log of the weight on the query's own token."""
    prompt_logprob: Floats
    """Log of the weight on the prompt; ``-inf`` if the window has left it behind."""
    divergence: Floats
    """Kullback-Leibler divergence of the head from the mean of its layer's heads, nats. In [0, log heads]."""
    n_keys: Floats
    """Number of visible keys."""


ATTENTION_FIELDS: tuple[str, ...] = AttentionStatistics._fields


class KeyRemoved(NamedTuple):
    """A distribution after one of its outcomes was taken out and the rest scaled to sum to one."""

    lse: Floats
    entropy: Floats
    varentropy: Floats


def attention_entropy(weights: ArrayLike) -> Floats | np.float64:
    r"""Entropy of attention weights along the last axis, in nats.

    .. math:: H = -\sum_j a_j \log a_j = \mathrm{LSE}(s) - \mathrm{E}_a[s], \quad a_j = e^{s_j - \mathrm{LSE}(s)}

    In [0, log keys]; high means spread over many keys; ``exp(H)`` is the effective number of keys. Not
    comparable between contexts of different lengths: see :func:`normalized_attention_entropy`.

    Parameters
    ----------
    weights
        Shape (..., keys), non-negative, summing to one; a hidden key has weight 0.

    Raises
    ------
    ValueError
        If a weight is negative or NaN, or a row does not sum to one within 1e-3.

    Examples
    --------
    >>> float(attention_entropy([0.5, 0.5, 0.0]).round(3))
    0.693
    """
    return attention_statistics(_log_weights(weights)).entropy


def attention_varentropy(weights: ArrayLike) -> Floats | np.float64:
    r"""Variance of ``-log a`` under the attention weights ``a`` along the last axis, in nats squared.

    .. math:: V = \sum_j a_j (\log a_j + H)^2 = \mathrm{Var}_a(s)

    0 for uniform and for one-hot weights. Differs from three quantities of the same name: the variance of
    entropies over heads (entropix), over the query rows of a prompt (llm-entropy-patterns; always 0 for a
    single query, so for every generated token), and the varentropy of the output distribution.

    Examples
    --------
    >>> float(attention_varentropy([0.5, 0.25, 0.25]).round(4)), float(attention_varentropy([0.5, 0.5]))
    (0.1201, 0.0)
    """
    return attention_statistics(_log_weights(weights)).varentropy


def attention_statistics(
    scores: ArrayLike, *, first: ArrayLike = 0, n_prompt: ArrayLike | None = None
) -> AttentionStatistics:
    """Reduce attention scores, or logarithms of weights, to eight numbers per head.

    Parameters
    ----------
    scores
        Shape (..., heads, keys) after scale, soft cap and mask; ``-inf`` where a key is hidden. The last key is
        the query's own. One axis is taken for a single head.
    first
        Place of the first token, broadcast over (...,); negative where it is out of the window.
    n_prompt
        Number of keys, counted from 0, that belong to the prompt, broadcast over (...,); None is all.

    Raises
    ------
    ValueError
        If no key is visible, or a score is NaN or ``+inf``.

    Examples
    --------
    >>> found = attention_statistics(np.log([[0.5, 0.25, 0.25], [0.5, 0.25, 0.25]]), n_prompt=2)
    >>> found.entropy.round(3).tolist(), np.exp(found.prompt_logprob).tolist(), found.divergence.tolist()
    ([1.04, 1.04], [0.75, 0.75], [0.0, 0.0])
    """
    rows = np.asarray(scores, dtype=np.float64)
    if rows.ndim == 1:
        one = attention_statistics(rows[None], first=first, n_prompt=n_prompt)
        return AttentionStatistics(*(column[0] for column in one))
    visible = rows > -np.inf
    if not visible.any(axis=-1).all() or np.isnan(rows).any() or (rows == np.inf).any():
        raise ValueError("`scores` must be finite with a visible key in every row, and -inf where a key is hidden.")
    lse = _logsumexp(rows)
    log_a = np.where(visible, rows - lse[..., None], 0.0)
    a = np.where(visible, np.exp(log_a), 0.0)
    entropy = -(a * log_a).sum(axis=-1)
    varentropy = (a * (log_a + entropy[..., None]) ** 2).sum(axis=-1)
    prompt = rows.shape[-1] if n_prompt is None else np.asarray(n_prompt)[..., None, None]
    asked = np.where(np.arange(rows.shape[-1]) < prompt, rows, -np.inf)
    return AttentionStatistics(
        lse,
        np.maximum(entropy, 0.0),
        varentropy,
        _score_at(rows, np.asarray(first)) - lse,
        rows[..., -1] - lse,
        np.minimum(_logsumexp(asked) - lse, 0.0),
        _divergence(a, log_a),
        visible.sum(axis=-1).astype(np.float64),
    )


def normalized_attention_entropy(entropy: ArrayLike, n_keys: ArrayLike) -> Floats:
    r"""Entropy over the logarithm of the number of visible keys, :math:`H / \log n`, in [0, 1]; 0 for one key.

    Examples
    --------
    >>> normalized_attention_entropy([np.log(4), 0.0], [16, 1]).tolist()
    [0.5, 0.0]
    """
    top = np.log(np.maximum(np.asarray(n_keys, dtype=np.float64), 1.0))
    h = np.asarray(entropy, dtype=np.float64)
    return np.divide(h, top, out=np.zeros(np.broadcast(h, top).shape), where=top > 0)


def without_key(lse: ArrayLike, entropy: ArrayLike, varentropy: ArrayLike, *, key_logprob: ArrayLike) -> KeyRemoved:
    r"""Take one key out of an attention distribution, knowing only its weight ``p0``.

    .. math:: c = \log(1 - p_0),\; m = \frac{-H - p_0 \log p_0}{1 - p_0},\; H' = c - m,\;
              V' = \frac{V + H^2 - p_0 \log^2 p_0}{1 - p_0} - m^2,\; \mathrm{LSE}' = \mathrm{LSE} + c

    Loses digits as ``p0`` nears 1: with float32 input the entropy is good to about 1e-6 / (1 - p0). Where nothing
    else is left (1 - p0 < 1e-6) entropy and varentropy are NaN.

    Examples
    --------
    >>> h, v = attention_entropy([0.5, 0.25, 0.25]), attention_varentropy([0.5, 0.25, 0.25])
    >>> rest = without_key(0.0, h, v, key_logprob=np.log(0.5))
    >>> round(float(rest.entropy), 3), round(float(rest.varentropy), 6)
    (0.693, 0.0)
    """
    h, v, x = (np.asarray(value, dtype=np.float64) for value in (entropy, varentropy, key_logprob))
    p = np.exp(x)
    rest = 1.0 - p
    known = rest > 1e-6
    x = np.where(p > 0, x, 0.0)
    c = np.log1p(-np.where(known, p, 0.0))
    share = np.where(known, rest, 1.0)
    mean = (-h - p * x) / share
    spread = (v + h**2 - p * x**2) / share - mean**2
    return KeyRemoved(
        np.asarray(lse) + np.where(known, c, np.nan),
        np.where(known, np.maximum(c - mean, 0.0), np.nan),
        np.where(known, np.maximum(spread, 0.0), np.nan),
    )


def without_first(statistics: AttentionStatistics) -> KeyRemoved:
    """Entropy and varentropy with the first token, where the attention sink sits, taken out.

    Examples
    --------
    >>> rest = without_first(attention_statistics(np.log([[0.8, 0.1, 0.1]])))
    >>> round(float(rest.entropy[0]), 3)
    0.693
    """
    return without_key(statistics.lse, statistics.entropy, statistics.varentropy, key_logprob=statistics.first_logprob)


def sink_mass(lse: ArrayLike, sink_score: ArrayLike) -> Floats:
    r"""Weight that a learned sink (gpt-oss) takes from the real keys, :math:`1 - e^{\mathrm{LSE} - \mathrm{LSE}'}`.

    ``LSE'`` includes the sink's score. In [0, 1].

    Examples
    --------
    >>> float(sink_mass(0.0, 0.0))
    0.5
    """
    keys = np.asarray(lse, dtype=np.float64)
    return np.asarray(-np.expm1(keys - np.logaddexp(keys, np.asarray(sink_score))))


def _log_weights(weights: ArrayLike) -> Floats:
    rows = np.asarray(weights, dtype=np.float64)
    if not (rows >= 0).all() or (np.abs(rows.sum(axis=-1) - 1) > 1e-3).any():
        raise ValueError("`weights` must be >= 0 and sum to 1 along the last axis.")
    return np.asarray(np.log(rows, out=np.full(rows.shape, -np.inf), where=rows > 0))


def _logsumexp(rows: Floats) -> Floats:
    top = rows.max(axis=-1)
    shift = np.where(np.isfinite(top), top, 0.0)
    total = np.exp(rows - shift[..., None]).sum(axis=-1)
    return np.asarray(shift + np.log(total, out=np.full(total.shape, -np.inf), where=total > 0))


def _score_at(rows: Floats, place: Ints) -> Floats:
    where = np.broadcast_to(place[..., None], rows.shape[:-1])
    found = np.take_along_axis(rows, np.maximum(where, 0)[..., None], axis=-1)[..., 0]
    return np.asarray(np.where(where >= 0, found, -np.inf))


def _divergence(a: Floats, log_a: Floats) -> Floats:
    mean = a.mean(axis=-2, keepdims=True)
    log_mean = np.log(mean, out=np.zeros(mean.shape), where=mean > 0)
    return np.asarray(np.maximum((a * (log_a - log_mean)).sum(axis=-1), 0.0))
