"""What speaks for and against a single token: features from its alternatives and from attention, and its truth."""

from collections.abc import Sequence

import numpy as np

from nilometer.arrays import Floats, Floats32

from ..tokens.signals import token_signals
from .scores import AttentionCurves, attention_curves
from .statistics import AttentionStatistics

__all__ = ["TOKEN_ATTENTION_NAMES", "TOKEN_OUTPUT_NAMES", "token_features", "token_truth"]

TOKEN_OUTPUT_NAMES = (
    "nll",
    "entropy",
    "varentropy",
    "margin",
    "not_best",
    "tail_mass",
    "next_entropy",
    "worst_nll",
)
"""Negative log-probability, entropy and varentropy of the renormalised list, gap of the two best, whether another
token was better, mass outside the list, entropy one token later, largest negative log-probability so far."""
TOKEN_ATTENTION_NAMES = tuple(f"attention_{name}" for name in AttentionCurves._fields)
"""Per-token means over layers and heads, in the order of ``AttentionCurves``."""


def token_features(chosen: Floats32, top: Floats32, *, attention: AttentionStatistics | None = None) -> Floats:
    """Features of every token of one response, shape (tokens, features); NaN where something was not given.

    Columns: ``TOKEN_OUTPUT_NAMES``, then ``TOKEN_ATTENTION_NAMES`` if ``attention`` is given.

    Parameters
    ----------
    chosen
        Shape (tokens,), log-probability of the sampled token.
    top
        Shape (tokens, k), log-probabilities of the alternatives, best first.
    attention
        Each field of shape (tokens, layers, heads).

    Raises
    ------
    ValueError
        If the shapes do not fit.

    Examples
    --------
    >>> chosen = np.log(np.float32([0.9, 0.5]))
    >>> token_features(chosen, chosen[:, None]).shape
    (2, 8)
    """
    signals = token_signals(chosen, top)
    nll = -chosen.astype(np.float64)
    entropy = signals.renormalized_entropy.astype(np.float64)
    later = np.append(entropy[1:], entropy[-1:])
    not_best = np.where(np.isnan(signals.rank), np.nan, signals.rank > 1)
    columns = [
        nll,
        entropy,
        signals.varentropy,
        signals.margin,
        not_best,
        signals.tail_mass,
        later,
        np.maximum.accumulate(nll),
    ]
    if attention is not None:
        if len(attention.entropy) != len(chosen):
            raise ValueError(f"`attention` must cover {len(chosen)} tokens, got {len(attention.entropy)}.")
        columns += attention_curves(attention)
    return np.stack([np.asarray(column, dtype=np.float64) for column in columns], axis=1)


def token_truth(tokens: Sequence[str], wanted: str) -> Floats:
    """Return which tokens are right where the wanted text is known: 1 before the first deviation, 0 at it, NaN after.

    What follows a wrong token depends on it, so it is neither right nor wrong. White space at the ends does not count;
    tokens after the wanted text is complete are NaN, save one that goes on with it, which is wrong.

    Parameters
    ----------
    tokens
        Texts of the generated tokens, in order.
    wanted
        The only right text.

    Examples
    --------
    >>> token_truth([" 4", "+", "9", "=", "12", " "], "4+9=13").tolist()
    [1.0, 1.0, 1.0, 1.0, 0.0, nan]
    """
    truth = np.full(len(tokens), np.nan)
    goal, said = wanted.strip(), ""
    for i, token in enumerate(tokens):
        said = (said + token).lstrip()
        if goal.startswith(said.rstrip()) and said.rstrip() != goal:
            truth[i] = 1.0
        elif said.rstrip() == goal:
            truth[i] = 1.0
            _mark_continuation(truth, tokens, i + 1)
            break
        else:
            truth[i] = 0.0 if not said.startswith(goal) or said[len(goal) :][:1].isalnum() else 1.0
            break
    return truth


def _mark_continuation(truth: Floats, tokens: Sequence[str], place: int) -> None:
    """A complete answer that goes on without a break ("13" then "5") is wrong at the token that goes on."""
    if place < len(tokens) and tokens[place][:1].isalnum():
        truth[place] = 0.0
