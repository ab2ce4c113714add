"""One query per row against its keys: scores as the model makes them, reduced to eight numbers per head in torch."""

from typing import Any

__all__ = ["first_tokens", "last_query_scores", "score_statistics", "unfinished_rows"]

_HIDDEN = -1e4
"""Scores further below the maximum than this count as hidden: their weight is 0 in every float format."""


def last_query_scores(query: Any, key: Any, options: dict[str, Any]) -> Any:
    """Scores of one query per row before the mask, shape (batch, heads, keys), float32.

    Parameters
    ----------
    query
        Shape (batch, heads, width).
    key
        Shape (batch, key heads, keys, width); each key head serves a group of query heads.
    options
        What the model gives its attention function: ``scaling``, ``softcap``.
    """
    batch, heads, width = query.shape
    scaling, softcap = options.get("scaling"), options.get("softcap")
    groups = batch * key.shape[1]
    packed = query.reshape(groups, heads // key.shape[1], width)
    scores = packed.bmm(key.reshape(groups, *key.shape[2:]).transpose(1, 2)).float().view(batch, heads, key.shape[2])
    scores = scores.mul_(width**-0.5 if scaling is None else scaling)
    return scores if softcap is None else softcap * (scores / softcap).tanh()


def score_statistics(scores: Any, *, mask: Any, first: Any, n_prompt: int) -> Any:
    """Reduce scores to shape (batch, heads, 8), float32, in the order of ``ATTENTION_FIELDS``; the scores are used up.

    Parameters
    ----------
    scores
        Shape (batch, heads, keys).
    mask
        Shape (batch, 1 or heads, keys), boolean (True is visible) or additive; None if all keys are visible.
    first
        Shape (batch,), place of the first token, negative out of the window; None if 0 in every row.
    n_prompt
        Keys that belong to the prompt, counted from 0; <= 0 if the window has left it behind.
    """
    import torch

    count = scores.new_full(scores.shape[:2], float(scores.shape[-1]))
    if mask is not None:
        visible = mask if mask.dtype == torch.bool else mask > _HIDDEN
        scores = scores if mask.dtype == torch.bool else scores + mask
        scores = scores.masked_fill(~visible, float("-inf"))
        count = visible.sum(-1, dtype=torch.float32).expand(scores.shape[:2])
    top = scores.amax(-1, keepdim=True)
    shifted = scores.sub_(top)
    if mask is not None:
        shifted = shifted.clamp_(min=_HIDDEN)
    weights = shifted.exp()
    total = weights.sum(-1)
    weighted = weights * shifted
    mean, square = weighted.sum(-1) / total, weighted.mul_(shifted).sum(-1) / total
    log_total = total.log()
    entropy = log_total - mean
    mixture = (1 / total)[:, None] @ weights / weights.shape[1]
    cross = (weights @ mixture.clamp_(min=1e-38).log_().transpose(1, 2))[..., 0] / total
    columns = (
        top[..., 0] + log_total,
        entropy,
        (square - mean.square()).clamp_(min=0),
        _at_first(shifted, first) - log_total,
        shifted[..., -1] - log_total,
        (_on_prompt(weights, n_prompt) - log_total).clamp_(max=0),
        (-entropy - cross).clamp_(min=0),
        count,
    )
    return torch.stack(columns, -1)


def first_tokens(mask: Any) -> Any:
    """Place of each row's first token under left padding, from the diagonal of the prompt's mask; shape (batch,)."""
    import torch

    seen = mask[:, 0].diagonal(dim1=1, dim2=2)
    return (seen if mask.dtype == torch.bool else seen > _HIDDEN).int().argmax(-1)


def unfinished_rows(mask: Any) -> list[int]:
    """Rows whose last query does not see its own token in the prompt's mask: padded on the right, or empty."""
    import torch

    own = mask[:, 0, -1, -1]
    found: list[int] = (~(own if mask.dtype == torch.bool else own > _HIDDEN)).nonzero().flatten().tolist()
    return found


def _at_first(shifted: Any, first: Any) -> Any:
    """Score of the first token less the maximum; minus infinity where it is hidden or out of the window."""
    import torch

    if first is None:
        return shifted[..., 0]
    place = first.clamp(min=0)[:, None, None].expand(*shifted.shape[:2], 1)
    found = shifted.gather(-1, place)[..., 0]
    gone = (first < 0)[:, None] | (found <= _HIDDEN)
    return torch.where(gone, float("-inf"), found)


def _on_prompt(weights: Any, n_prompt: int) -> Any:
    """Log of the summed weights of the prompt, before division by the total."""
    if n_prompt <= 0:
        return weights.new_full(weights.shape[:2], float("-inf"))
    return weights[..., :n_prompt].sum(-1).log_()
