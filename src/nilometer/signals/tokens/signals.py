"""Numbers read off each generated token from its listed alternatives."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nilometer.arrays import Float, Floats32

__all__ = ["TokenSignals", "entropy_bounds", "token_entropy", "token_signals"]

_OUTSIDE = 1e-4
_CHUNK = 4096


class TokenSignals(NamedTuple):
    """One number per token and signal, each of shape (tokens,); NaN where the alternatives are not given."""

    entropy: Floats32
    """Entropy of the listed part, nats: the paper's. In [0, log(k + 1) + 1 / e]."""
    renormalized_entropy: Floats32
    """Entropy of the listed part scaled to sum to one, nats. In [0, log(k + 1)]."""
    bucket_entropy: Floats32
    """Entropy with everything unlisted as one more outcome, nats: a lower bound on the true entropy."""
    varentropy: Floats32
    """Variance of ``-log q`` under the renormalised list ``q``, nats squared. >= 0."""
    tail_mass: Floats32
    """Probability outside the listed part. In [0, 1]."""
    margin: Floats32
    """Probability of the best alternative less that of the second. In [0, 1]."""
    rank: Floats32
    """1 + number of listed alternatives that are more probable than the sampled token."""
    confidence: Floats32
    """``-mean(log p)`` over the listed alternatives, nats: high when one token dominates. >= 0."""


def token_entropy(chosen: Float[Floats32, " tokens"], top: Float[Floats32, "tokens k"]) -> Float[Floats32, " tokens"]:
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
    entropy = np.empty(len(chosen), dtype=np.float32)
    for part in _chunks(chosen, top):
        entropy[part] = _listed(chosen[part], top[part]).entropy
    return entropy


def token_signals(chosen: Float[Floats32, " tokens"], top: Float[Floats32, "tokens k"]) -> TokenSignals:
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
    out = TokenSignals(*(np.empty(len(chosen), dtype=np.float32) for _ in TokenSignals._fields))
    for part in _chunks(chosen, top):
        for column, values in zip(out, _signals(chosen[part], top[part]), strict=True):
            column[part] = values
    return out


def entropy_bounds(
    chosen: Float[Floats32, " tokens"], top: Float[Floats32, "tokens k"], *, vocabulary_size: int | None = None
) -> tuple[Float[Floats32, " tokens"], Float[Floats32, " tokens"]]:
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
    if vocabulary_size is not None and vocabulary_size <= top.shape[1]:
        raise ValueError(f"`vocabulary_size` must be > k = {top.shape[1]}, got {vocabulary_size}.")
    low, high = (np.empty(len(chosen), dtype=np.float32) for _ in range(2))
    for part in _chunks(chosen, top):
        low[part], high[part] = _bounds(_listed(chosen[part], top[part]), vocabulary_size)
    return low, high


def _bounds(listed: "_Listed", vocabulary_size: int | None) -> tuple[Floats32, Floats32]:
    tail: Floats32 = np.maximum(1 - listed.mass, 0)
    smallest: Floats32 = np.exp(np.fmin.reduce(listed.columns, axis=0, initial=np.float32(0)))
    low: Floats32 = listed.entropy - _xlogy(tail, np.minimum(smallest, tail))
    if vocabulary_size is None:
        return low, np.where(np.isnan(low), np.float32(np.nan), np.float32(np.inf))
    rest: Floats32 = np.subtract(vocabulary_size, listed.n_listed, dtype=np.float32)
    high: Floats32 = listed.entropy - _xlogy(tail, tail / rest)
    return low, np.maximum(high, low)


class _Listed(NamedTuple):
    """The listed set of each token; ``columns``, ``p`` and ``log_p`` have shape (k, tokens)."""

    columns: Floats32
    p: Floats32
    log_p: Floats32
    extra: Floats32
    extra_log: Floats32
    mass: Floats32
    entropy: Floats32
    n_listed: NDArray[np.int32]
    n_finite: NDArray[np.int32]


def _chunks(chosen: Floats32, top: Floats32) -> Iterator[slice]:
    """Yield slices of tokens that stay in the cache, after a check of what they hold."""
    if top.ndim != 2 or chosen.shape != top.shape[:1]:
        raise ValueError(f"`top` must have shape (tokens, k), got {top.shape} for {chosen.shape[0]} tokens.")
    for start in range(0, len(chosen), _CHUNK):
        part = slice(start, start + _CHUNK)
        for name, values in (("chosen", chosen[part]), ("top", top[part])):
            if (values > 0).any():
                raise ValueError(f"`{name}` must hold log-probabilities <= 0, got {np.nanmax(values):g}.")
        yield part


def _listed(chosen: Float[Floats32, " tokens"], top: Float[Floats32, "tokens k"]) -> _Listed:
    """Probabilities of the listed set: the alternatives, and the sampled token where it is below them all.

    One row per alternative, so that every sum runs down long columns at the speed of the memory.
    """
    columns = np.ascontiguousarray(top.T)
    finite = np.isfinite(columns)
    if finite.all():
        log_p, p = columns, np.exp(columns)
        n_listed = n_finite = np.full(len(chosen), len(columns), dtype=np.int32)
    else:
        log_p = np.where(finite, columns, np.float32(0))
        p = np.exp(log_p)
        p *= finite
        n_finite = finite.sum(axis=0, dtype=np.int32)
        n_listed = len(columns) - np.isnan(columns).sum(axis=0, dtype=np.int32)
    smallest = np.fmin.reduce(columns, axis=0, initial=np.inf)
    outside = np.isfinite(chosen) & (chosen < smallest - _OUTSIDE) & (n_listed > 0)
    extra_log = np.where(outside, chosen, np.float32(0))
    extra = np.exp(extra_log) * outside
    mass = p.sum(axis=0) + extra
    entropy = np.maximum(-((p * log_p).sum(axis=0) + extra * extra_log), 0)
    unknown = n_listed == 0
    mass[unknown] = np.nan
    entropy[unknown] = np.nan
    return _Listed(columns, p, log_p, extra, extra_log, mass, entropy, n_listed + outside, n_finite)


def _signals(
    chosen: Float[Floats32, " tokens"], top: Float[Floats32, "tokens k"]
) -> tuple[Float[Floats32, " tokens"], ...]:
    listed = _listed(chosen, top)
    mass = np.maximum(listed.mass, np.float32(1e-30))
    mean = -listed.entropy / mass
    spread = (listed.p * (listed.log_p - mean) ** 2).sum(axis=0) + listed.extra * (listed.extra_log - mean) ** 2
    tail = np.maximum(1 - listed.mass, 0)
    first, second = _two_best(listed.p)
    rank = 1 + (listed.columns > chosen + _OUTSIDE).sum(axis=0, dtype=np.float32)
    unknown = np.isnan(listed.mass)
    nan = np.float32(np.nan)
    return (
        listed.entropy,
        np.maximum(np.log(mass) - mean, 0),
        listed.entropy - _xlogy(tail, tail),
        spread / mass,
        tail,
        np.where(unknown, nan, first - second),
        np.where(unknown | np.isnan(chosen), nan, rank),
        np.where(unknown, nan, -listed.log_p.sum(axis=0) / np.maximum(listed.n_finite, 1)).astype(np.float32),
    )


def _two_best(p: Float[Floats32, "k tokens"]) -> tuple[Float[Floats32, " tokens"], Float[Floats32, " tokens"]]:
    """Return the two largest probabilities of each token, shape (tokens,); 0 where there is none."""
    if len(p) < 2:
        return p.sum(axis=0), np.zeros(p.shape[1], dtype=np.float32)
    if (p[0] >= p[1]).all() and (p[1] >= p[2:]).all():
        return p[0], p[1]
    second, first = np.partition(p, (-2, -1), axis=0)[-2:]
    return first, second


def _xlogy(x: Floats32, y: Floats32) -> Floats32:
    """``x * log(y)`` with ``0 * log(0) = 0``; NaN stays."""
    return x * np.log(np.where((x > 0) & (y > 0), y, np.float32(1)))
