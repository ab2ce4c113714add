"""Scores of answers made from attention statistics: lookback ratio, RAUQ, AttentionScore, profile features."""

from typing import NamedTuple

import numpy as np

from nilometer.arrays import ArrayLike, Floats, Ints

from ..tokens.features import Feature
from .statistics import AttentionStatistics, normalized_attention_entropy, without_first

__all__ = [
    "ATTENTION_FEATURES",
    "ATTENTION_FEATURE_NAMES",
    "AttentionCurves",
    "attention_agreement",
    "attention_curves",
    "attention_features",
    "attention_score",
    "lookback_ratio",
    "rauq",
]

RAUQ_ALPHA = 0.2


def lookback_ratio(prompt_logprob: ArrayLike, n_prompt: ArrayLike, n_new: ArrayLike) -> Floats:
    r"""Mean weight per prompt key over mean weight per prompt key plus mean weight per generated key.

    .. math:: r = \frac{P / n_p}{P / n_p + (1 - P) / n_g}

    ``P`` is the weight on the prompt, ``n_p`` and ``n_g`` the visible keys of the prompt and of the answer. In
    [0, 1]; low means that the head looks at what the model wrote itself. 1 where nothing was generated yet, 0
    where the window holds no key of the prompt.

    References
    ----------
    Chuang et al. (2024), "Lookback Lens", arXiv 2407.07071, sec. 2.

    Examples
    --------
    >>> float(lookback_ratio(np.log(0.5), 10, 30).round(3))
    0.75
    """
    p = np.exp(np.asarray(prompt_logprob, dtype=np.float64))
    n_p, n_g = (np.asarray(n, dtype=np.float64) for n in (n_prompt, n_new))
    p, n_p, n_g = np.broadcast_arrays(p, n_p, n_g)
    context = np.divide(p, n_p, out=np.zeros(p.shape), where=n_p > 0)
    new = np.divide(np.maximum(1 - p, 0), n_g, out=np.zeros(p.shape), where=n_g > 0)
    both = context + new
    return np.asarray(np.divide(context, both, out=np.full(p.shape, 0.5), where=both > 0))


def attention_score(self_logprob: ArrayLike) -> Floats:
    r"""AttentionScore of each layer: minus the mean over heads of the summed log self-weight, in nats.

    .. math:: -\frac{1}{H} \sum_h \sum_t \log a^{(h)}_{tt}

    >= 0, grows with the length of the answer; which sign speaks for a correct answer differs between models.

    Parameters
    ----------
    self_logprob
        Shape (tokens, layers, heads).

    References
    ----------
    Sriramanan et al. (2024), "LLM-Check", NeurIPS, sec. 3.

    Examples
    --------
    >>> attention_score(np.log(np.full((2, 1, 4), 0.5))).round(3).tolist()
    [1.386]
    """
    return np.asarray(-np.asarray(self_logprob, dtype=np.float64).sum(axis=0).mean(axis=-1))


def rauq(token_prob: ArrayLike, self_logprob: ArrayLike, *, alpha: float = RAUQ_ALPHA) -> float:
    r"""RAUQ: uncertainty of an answer by passing confidence on along one attention head per layer, in nats.

    .. math:: c_1 = p_1,\quad c_t = \alpha\,p_t + (1 - \alpha)\,a_t\,c_{t-1},\quad
              u = \max_{l \in [L/3,\,2L/3]} \Bigl(-\tfrac1T \sum_t \log c_t\Bigr)

    ``a_t`` is the weight on the token before the one predicted, in the head of the layer where its mean is largest.
    When token t is predicted the query *is* that token, so ``a_t`` is the weight on the query's own key at
    step t. >= 0; high means unsure. One token: its negative log-probability.

    Differs from LM-Polygraph, which adds the constant 1.

    Parameters
    ----------
    token_prob
        Shape (tokens,), probability of each sampled token.
    self_logprob
        Shape (tokens, layers, heads), log of the weight of each step's query on its own key.
    alpha
        Share of a token's own probability, in (0, 1].

    Raises
    ------
    ValueError
        If there is no token, the shapes differ, or ``alpha`` is outside (0, 1].

    References
    ----------
    Vazhentsev et al. (2025), "Uncertainty-Aware Attention Heads", arXiv 2505.20045, sec. 3.

    Examples
    --------
    >>> round(rauq([0.5, 0.5], np.log(np.full((2, 1, 1), 0.5)), alpha=0.5), 3)
    0.837
    """
    p, weights = np.asarray(token_prob, dtype=np.float64), np.exp(np.asarray(self_logprob, dtype=np.float64))
    if not 0 < alpha <= 1:
        raise ValueError(f"`alpha` must lie in (0, 1], got {alpha}.")
    if not p.size or weights.ndim != 3 or len(weights) != len(p):
        raise ValueError(f"`self_logprob` must have shape (tokens, layers, heads), got {weights.shape} for {len(p)}.")
    layers = _middle(weights.shape[1])
    own = weights[:, layers]
    heads = own[1:].mean(axis=0).argmax(axis=-1) if len(p) > 1 else own.mean(axis=0).argmax(axis=-1)
    along = np.take_along_axis(own, heads[None, :, None], axis=-1)[..., 0]
    confidence = np.full(len(layers), p[0])
    total = np.log(np.maximum(confidence, 1e-30))
    for p_t, a_t in zip(p[1:], along[1:], strict=True):
        confidence = alpha * p_t + (1 - alpha) * a_t * confidence
        total += np.log(np.maximum(confidence, 1e-30))
    return float((-total / len(p)).max())


def attention_agreement(divergence: ArrayLike) -> Floats:
    r"""Agreement of the heads of a layer, :math:`1 - \mathrm{JSD} / \log H`, in [0, 1]; 1 for a single head.

    The mean over heads of their divergence from the layer's mean is the Jensen-Shannon divergence. entropix calls
    "agreement" a mean absolute difference over the padded cache, which is a disagreement that shrinks with length.

    Parameters
    ----------
    divergence
        Shape (..., heads), nats.

    Examples
    --------
    >>> attention_agreement([[0.0, 0.0], [np.log(2), np.log(2)]]).tolist()
    [1.0, 0.0]
    """
    values = np.asarray(divergence, dtype=np.float64)
    if values.shape[-1] < 2:
        return np.ones(values.shape[:-1])
    return np.asarray(np.clip(1 - values.mean(axis=-1) / np.log(values.shape[-1]), 0.0, 1.0))


class AttentionCurves(NamedTuple):
    """Per-token means over layers and heads, each of shape (tokens,)."""

    entropy: Floats
    """Entropy over log visible keys, in [0, 1]."""
    varentropy: Floats
    """Nats squared."""
    sinkless_entropy: Floats
    """Entropy without the first token over log of the keys left, in [0, 1]."""
    sink: Floats
    """Weight on the first token, in [0, 1]."""
    own: Floats
    """Weight on the query's own token, in [0, 1]."""
    prompt: Floats
    """Weight on the prompt, in [0, 1]."""
    agreement: Floats
    """Of the heads of a layer, in [0, 1]."""


def attention_curves(statistics: AttentionStatistics) -> AttentionCurves:
    """Average statistics of shape (tokens, layers, heads) over layers and heads; layers without numbers left out.

    Examples
    --------
    >>> from .statistics import attention_statistics
    >>> attention_curves(attention_statistics(np.zeros((3, 2, 4, 8)))).entropy.round(6).tolist()
    [1.0, 1.0, 1.0]
    """
    known = ~np.isnan(statistics.entropy[..., 0]).all(axis=0)
    own = AttentionStatistics(*(column[:, known] for column in statistics))
    rest = without_first(own)
    seen = own.n_keys - np.isfinite(own.first_logprob)
    sinkless = np.where(np.isnan(rest.entropy), 0.0, rest.entropy)
    curves = (
        normalized_attention_entropy(own.entropy, own.n_keys),
        own.varentropy,
        np.clip(normalized_attention_entropy(sinkless, seen), 0, 1),
        np.exp(own.first_logprob),
        np.exp(own.self_logprob),
        np.exp(own.prompt_logprob),
    )
    agreement = attention_agreement(own.divergence)[..., None]
    return AttentionCurves(*(curve.mean(axis=(1, 2)) for curve in (*curves, agreement)))


def _f(name: str, formula: str, *, doc: str, high: float = 1.0, unit: str = "1") -> Feature:
    return Feature(name, formula, 0.0, high, unit, 0, doc)


_INF = float("inf")
ATTENTION_FEATURES: dict[str, Feature] = {
    feature.name: feature
    for feature in (
        _f("attention_entropy", "mean H / log n", doc="over tokens, layers and heads"),
        _f("attention_entropy_std", "std over tokens of the mean H / log n", doc="0 for one token"),
        _f("attention_entropy_max", "max over tokens of the mean H / log n", doc="most scattered token"),
        _f("attention_varentropy", "mean V", doc="variance of the scores under the attention", high=_INF, unit="nats²"),
        _f("attention_sinkless_entropy", "mean H' / log n'", doc="without the first token"),
        _f("attention_sink", "mean weight on the first token", doc="the attention sink"),
        _f("attention_self", "mean weight on the query's own token", doc="the token just read"),
        _f("attention_prompt", "mean weight on the prompt", doc="lookback; falls with length"),
        _f("attention_lookback", "mean lookback ratio", doc="prompt key against generated key; from the second token"),
        _f("attention_agreement", "mean 1 − JSD / log H", doc="of the heads of a layer"),
        _f("attention_score", "−(1/H) Σ log a_tt, middle layer", doc="LLM-Check; grows", high=_INF, unit="nats"),
        _f("rauq", "see nilometer.signals.rauq", doc="confidence passed on along attention", high=_INF, unit="nats"),
    )
}
"""H entropy, V varentropy, n visible keys, a attention weight."""
ATTENTION_FEATURE_NAMES: tuple[str, ...] = tuple(ATTENTION_FEATURES)


def attention_features(token_prob: ArrayLike, statistics: AttentionStatistics) -> dict[str, float]:
    """Summarise the attention of one answer: one number per name of ``ATTENTION_FEATURES``.

    Parameters
    ----------
    token_prob
        Shape (tokens,), probability of each sampled token, for RAUQ.
    statistics
        Each field of shape (tokens, layers, heads).

    Raises
    ------
    ValueError
        If there is no token or the shapes differ.

    Examples
    --------
    >>> from .statistics import attention_statistics
    >>> found = attention_features([0.5, 0.5], attention_statistics(np.zeros((2, 3, 4, 8))))
    >>> round(found["attention_entropy"], 6)
    1.0
    """
    if statistics.entropy.ndim != 3 or not statistics.entropy.size:
        raise ValueError(f"`statistics` must have shape (tokens, layers, heads), got {statistics.entropy.shape}.")
    curves = attention_curves(statistics)
    known = np.flatnonzero(~np.isnan(statistics.entropy[..., 0]).all(axis=0))
    spoken = AttentionStatistics(*(column[:, known] for column in statistics))
    own = spoken.self_logprob
    entropy = curves.entropy
    values = (
        entropy.mean(),
        entropy.std(ddof=1) if len(entropy) > 1 else 0.0,
        entropy.max(),
        curves.varentropy.mean(),
        curves.sinkless_entropy.mean(),
        curves.sink.mean(),
        curves.own.mean(),
        curves.prompt.mean(),
        _mean_lookback(spoken),
        curves.agreement.mean(),
        attention_score(own)[own.shape[1] // 2],
        rauq(token_prob, own),
    )
    return dict(zip(ATTENTION_FEATURE_NAMES, map(float, values), strict=True))


def _mean_lookback(statistics: AttentionStatistics) -> float:
    """Mean over tokens, layers and heads; the first token, before which nothing was generated, is left out.

    Step t sees t generated keys, or its whole window where that is shorter.
    """
    if len(statistics.n_keys) < 2:
        return 1.0
    seen, prompt = statistics.n_keys[1:], statistics.prompt_logprob[1:]
    n_new = np.minimum(np.arange(1, len(seen) + 1)[:, None, None], seen)
    return float(lookback_ratio(prompt, seen - n_new, n_new).mean())


def _middle(n_layers: int) -> Ints:
    """Layers L/3 to 2L/3, both ends included, as RAUQ takes them."""
    return np.arange(n_layers // 3, min(-(-2 * n_layers // 3) + 1, n_layers))
