"""Numbers read off each generated token from its listed alternatives."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["TokenSignals", "entropy_bounds", "token_entropy", "token_signals"]

Floats = NDArray[np.float32]

_OUTSIDE = 1e-4
_CHUNK = 16_384


class TokenSignals(NamedTuple):
    """One number per token and signal, each of shape (tokens,); NaN where the alternatives are not given."""

    entropy: Floats
    """Entropy of the listed part, nats: the paper's. In [0, log(k + 1) + 1 / e]."""
    renormalized_entropy: Floats
    """Entropy of the listed part scaled to sum to one, nats. In [0, log(k + 1)]."""
    bucket_entropy: Floats
    """Entropy with everything unlisted as one more outcome, nats: a lower bound on the true entropy."""
    varentropy: Floats
    """Variance of ``-log q`` under the renormalised list ``q``, nats squared. >= 0."""
    tail_mass: Floats
    """Probability outside the listed part. In [0, 1]."""
    margin: Floats
    """Probability of the best alternative less that of the second. In [0, 1]."""
    rank: Floats
    """1 + number of listed alternatives that are more probable than the sampled token."""
    confidence: Floats
    """``-mean(log p)`` over the listed alternatives, nats: high when one token dominates. >= 0."""


def token_entropy(chosen: Floats, top: Floats) -> Floats:
    r"""Entropy of the listed part of each token's distribution, in nats, as Entropy Sentinel computes it.

    .. math:: H_t = -\sum_{i \in S_t} p_{ti} \log p_{ti}

    ``S_t`` is the set that the engine returned: the k alternatives, and the sampled token where it is less
    probable than all of them. Nothing is renormalised and no tail is added, so ``H_t`` is a lower bound on
    the entropy up to the part of the tail. Range [0, log(k + 1) + 1 / e]; high means unsure.

    Parameters
    ----------
    chosen
        Shape (tokens,), natural-log probability of the sampled token.
    top
        Shape (tokens, k), natural-log probabilities of the alternatives; NaN is "not given", ``-inf`` zero.

    Raises
    ------
    ValueError
        If the shapes do not fit or a log-probability is positive.

    References
    ----------
    Memoli Buffa and Del Corro (2026), "Entropy Sentinel", arXiv 2601.09001.

    Examples
    --------
    >>> chosen, top = np.log(np.float32([0.5])), np.log(np.float32([[0.5, 0.5]]))
    >>> token_entropy(chosen, top).round(3).tolist()
    [0.6930000185966492]
    """
    _check(chosen, top)
    entropy = np.empty(len(chosen), dtype=np.float32)
    for start in range(0, len(chosen), _CHUNK):
        part = slice(start, start + _CHUNK)
        entropy[part] = _listed(chosen[part], top[part]).entropy
    return entropy


def token_signals(chosen: Floats, top: Floats) -> TokenSignals:
    """Every signal of :class:`TokenSignals` in one pass over the alternatives.

    Parameters
    ----------
    chosen
        Shape (tokens,), natural-log probability of the sampled token, NaN where not given.
    top
        Shape (tokens, k), natural-log probabilities of the alternatives, NaN where not given.

    Raises
    ------
    ValueError
        If the shapes do not fit or a log-probability is positive.

    Examples
    --------
    >>> signals = token_signals(np.log(np.float32([0.6])), np.log(np.float32([[0.6, 0.3]])))
    >>> signals.tail_mass.round(2).tolist(), signals.margin.round(2).tolist()
    ([0.10000000149011612], [0.30000001192092896])
    """
    _check(chosen, top)
    out = TokenSignals(*(np.empty(len(chosen), dtype=np.float32) for _ in TokenSignals._fields))
    for start in range(0, len(chosen), _CHUNK):
        part = slice(start, start + _CHUNK)
        for column, values in zip(out, _signals(chosen[part], top[part]), strict=True):
            column[part] = values
    return out


def entropy_bounds(chosen: Floats, top: Floats, *, vocabulary_size: int | None = None) -> tuple[Floats, Floats]:
    r"""Exact bounds on the full-vocabulary entropy of each token, in nats.

    .. math:: h - r \log \min(p_k, r) \;\le\; H \;\le\; h - r \log \frac{r}{V - k}

    where ``h`` is the entropy of the listed part, ``r`` the tail mass, ``p_k`` the smallest of the k
    alternatives and ``V`` the vocabulary size. Without ``vocabulary_size`` the upper bound is infinite.

    Raises
    ------
    ValueError
        If ``vocabulary_size`` is not above the number of alternatives.

    Examples
    --------
    >>> low, high = entropy_bounds(np.log(np.float32([0.5])), np.log(np.float32([[0.5]])), vocabulary_size=3)
    >>> low.round(3).tolist(), high.round(3).tolist()
    ([0.6930000185966492], [1.0399999618530273])
    """
    _check(chosen, top)
    if vocabulary_size is not None and vocabulary_size <= top.shape[1]:
        raise ValueError(f"`vocabulary_size` must be > k = {top.shape[1]}, got {vocabulary_size}.")
    listed = _listed(chosen, top)
    tail = np.maximum(1.0 - listed.mass, 0.0)
    floor = np.minimum(np.fmin.reduce(np.exp(top), axis=1) if top.shape[1] else np.ones_like(tail), tail)
    low = listed.entropy - _xlogy(tail, floor)
    if vocabulary_size is None:
        return low, np.where(np.isnan(low), np.nan, np.inf).astype(np.float32)
    high = listed.entropy - _xlogy(tail, tail / (vocabulary_size - listed.n_listed))
    return low, np.maximum(high, low)


class _Listed(NamedTuple):
    p: Floats
    log_p: Floats
    extra: Floats
    extra_log: Floats
    mass: Floats
    entropy: Floats
    n_listed: NDArray[np.int64]


def _listed(chosen: Floats, top: Floats) -> _Listed:
    """Probabilities of the listed set: the alternatives, and the sampled token where it is below them all."""
    given = np.isfinite(top)
    log_p = np.where(given, top, np.float32(0))
    p = np.exp(log_p)
    p *= given
    known = ~np.isnan(top)
    n_listed = known.sum(axis=1)
    smallest = np.fmin.reduce(top, axis=1, initial=np.inf) if top.shape[1] else np.full(len(chosen), np.inf)
    outside = np.isfinite(chosen) & (chosen < smallest - _OUTSIDE) & (n_listed > 0)
    extra_log = np.where(outside, chosen, np.float32(0))
    extra = np.exp(extra_log) * outside
    mass = p.sum(axis=1) + extra
    entropy = -(np.einsum("ij,ij->i", p, log_p) + extra * extra_log)
    unknown = n_listed == 0
    mass[unknown] = np.nan
    entropy[unknown] = np.nan
    return _Listed(p, log_p, extra, extra_log, mass, np.maximum(entropy, 0), n_listed + outside)


def _signals(chosen: Floats, top: Floats) -> tuple[Floats, ...]:
    listed = _listed(chosen, top)
    k = top.shape[1]
    mass = np.maximum(listed.mass, np.float32(1e-30))
    log_mass = np.log(mass)
    mean = -listed.entropy / mass
    square = np.einsum("ij,ij,ij->i", listed.p, listed.log_p, listed.log_p) + listed.extra * listed.extra_log**2
    tail = np.maximum(1 - listed.mass, 0)
    ordered = -np.sort(-listed.p, axis=1)[:, :2] if k > 1 and not _sorted(top) else listed.p[:, :2]
    first = ordered[:, 0] if k else np.zeros_like(mass)
    margin = first - ordered[:, 1] if k > 1 else first.copy()
    rank = 1 + (top > chosen[:, None] + _OUTSIDE).sum(axis=1) if k else np.ones_like(mass)
    given = np.maximum(np.isfinite(top).sum(axis=1), 1)
    confidence = -listed.log_p.sum(axis=1) / given
    unknown = np.isnan(listed.mass)
    for values in (margin, confidence):
        values[unknown] = np.nan
    return (
        listed.entropy,
        np.maximum(log_mass - mean, 0),
        listed.entropy - _xlogy(tail, tail),
        np.maximum(square / mass - mean**2, 0),
        tail,
        margin,
        np.where(unknown | np.isnan(chosen), np.nan, rank),
        confidence,
    )


def _sorted(top: Floats) -> bool:
    return bool((top[:, 0] >= np.fmax.reduce(top[:, 1:], axis=1, initial=-np.inf)).all()) and bool(
        (top[:, 1] >= np.fmax.reduce(top[:, 2:], axis=1, initial=-np.inf)).all()
    )


def _xlogy(x: Floats, y: Floats) -> Floats:
    """``x * log(y)`` with ``0 * log(0) = 0``."""
    positive = (x > 0) & (y > 0)
    out = np.where(np.isnan(x), np.nan, np.float32(0)).astype(np.float32)
    out[positive] = x[positive] * np.log(y[positive])
    return out


def _check(chosen: Floats, top: Floats) -> None:
    if top.ndim != 2 or chosen.shape != top.shape[:1]:
        raise ValueError(f"`top` must have shape (tokens, k), got {top.shape} for {chosen.shape[0]} tokens.")
    for name, values in (("chosen", chosen), ("top", top)):
        if values.size and float(np.fmax.reduce(values, axis=None)) > 0:
            raise ValueError(f"`{name}` must hold log-probabilities <= 0, got {np.nanmax(values):g}.")
