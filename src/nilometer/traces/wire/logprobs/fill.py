"""From the log-probabilities of a response to the columns of its trace."""

from ...batch import Trace
from ..lines.context import Context
from .clean import Listed, clean_logprobs

__all__ = ["with_logprobs"]

_LOST = 1
"""Providers count an end token that they do not list."""


def with_logprobs(
    trace: Trace, listed: Listed | None, context: Context, *, k: int | None = None, counted: int | None = None
) -> Trace:
    """Put what a provider listed into a trace, with the texts of the alternatives where they are asked for.

    Parameters
    ----------
    trace
        The trace so far.
    listed
        What the provider gave; None, or no token at all beside a text, means that it was not asked for.
    context
        Knows the ``k`` of the request.
    k
        How many alternatives were asked for, if the response itself says so.
    counted
        How many tokens the provider counted; where clearly fewer are listed, ``n_tokens`` keeps this number.
    """
    asked = k or context.k
    given = counted if isinstance(counted, int) and not isinstance(counted, bool) and counted > 0 else None
    if listed is None or (not len(listed.chosen) and (trace.answer or given)):
        trace.n_tokens = given if trace.n_tokens is None else trace.n_tokens
        trace.k = asked
        return trace
    clean = clean_logprobs(listed if context.top_tokens else listed._replace(names=()), k=asked)
    trace.n_tokens = len(clean.chosen)
    if given is not None and given > trace.n_tokens + _LOST:
        trace.n_tokens = given
    trace.k = clean.top.shape[1]
    trace.chosen_logprobs, trace.top_logprobs = clean.chosen, clean.top
    trace.tokens, trace.top_tokens = clean.tokens, clean.top_tokens
    if listed.mode is not None:
        trace.logprobs_mode = listed.mode
    return trace
