"""Which of several answers to one prompt to give: the one nearest to the consensus, or the class most agree on."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from nilometer.arrays import Floats, Ints
from nilometer.signals import answer_embeddings, distance_sums

from ..texts.exact import mbr
from ..texts.utilities import TextUtility

__all__ = ["Selection", "select_medoid", "select_text", "select_vote"]


TIE = 1e-9


class Selection(NamedTuple):
    """The chosen answer of every prompt."""

    models: Ints
    """(prompts,) model whose answer is given; -1 where no model answered."""
    support: Floats
    """(prompts, models): of a medoid minus the mean distance to the answers, its own among them, of a vote the share
    of the weight behind the answer; high is good, -inf where absent."""

    def closeness(self) -> Floats:
        """(prompts,) support of the chosen answer, for ordering prompts from sure to doubtful."""
        rows = np.arange(len(self.models))
        chosen = self.support[rows, np.maximum(self.models, 0)]
        return np.where(self.models >= 0, chosen, -np.inf)

    def reason(self, row: int, models: Sequence[str]) -> str:
        """Why this answer was chosen, in one line."""
        own = int(self.models[row])
        if own < 0:
            return "no model answered"
        values = self.support[row]
        others = [j for j in range(len(models)) if j != own and np.isfinite(values[j])]
        if not others:
            return f"{models[own]} alone answered"
        rival = max(others, key=lambda j: values[j])
        next_best = f"{models[rival]} with {values[rival]:.3g}"
        return f"{models[own]} has support {values[own]:.3g} from the other answers; next is {next_best}"


def select_medoid(embeddings: ArrayLike, *, weights: ArrayLike | None = None) -> Selection:
    r"""Answer with the smallest weighted mean squared distance to the answers of its prompt, its own among them.

    .. math:: i^*(x) = \arg\min_i \frac{\sum_j w_j \lVert \lambda_i - \lambda_j \rVert^2}{\sum_j w_j}

    The weight of a model counts for its own answer: one that outweighs all others is followed. Without weights the
    choice is the same whether its own answer counts or not, and the support is the mean over the others. It
    is minimum Bayes risk with the embedding as utility, and SMOOTHIE-Local with one
    neighbour. Weights of precision (`nilometer.estimators.precision_weights`) helped with eleven models and
    not with four or five. Ties go to the greatest weight, then to the first model.

    Parameters
    ----------
    embeddings
        (prompts, models, dim); only NaN for a missing answer.
    weights
        (models,) or (prompts, models), >= 0; equal by default. Per prompt they can carry confidences.

    Raises
    ------
    ValueError
        For an array that does not fit.

    Examples
    --------
    >>> select_medoid([[[0.0], [1.0], [1.4], [2.0]]]).models
    array([1])
    """
    sums, present = distance_sums(embeddings, weights=weights)
    w = np.broadcast_to(1.0 if weights is None else np.asarray(weights, dtype=np.float64), sums.shape) * present
    total = w.sum(axis=1, keepdims=True) - (w if weights is None else 0.0)
    support = np.where(present, -sums / np.where(total > 0, total, 1.0), -np.inf)
    return Selection(_first_best(support, w), support)


def select_vote(
    answers: Sequence[Sequence[Any]],
    *,
    weights: ArrayLike | None = None,
    same: Callable[[Any], Any] | None = None,
) -> Selection:
    r"""Answer of the equivalence class with the greatest total weight, given by its weightiest member.

    With independent models that are right with probability :math:`p_j`, the weights :math:`\log \frac{p_j (K - 1)}
    {1 - p_j}` make the vote the most probable of K answers. Equal classes: the one with the weightiest member,
    then the first.

    Parameters
    ----------
    answers
        (prompts, models). ``None``, an empty string and NaN are missing.
    weights
        (models,) or (prompts, models), >= 0; equal by default.
    same
        Maps an answer to its class, such as ``str.casefold``.

    Raises
    ------
    ValueError
        If rows differ in length or a weight is negative.

    References
    ----------
    Nitzan and Paroush (1982), "Optimal decision rules in uncertain dichotomous choice situations".

    Examples
    --------
    >>> select_vote([["4", "5", "5", ""]]).models, select_vote([["4", "5", "5", ""]], weights=[3, 1, 1, 9]).models
    (array([1]), array([0]))
    """
    vectors = answer_embeddings(answers, same=same)
    present = ~np.isnan(vectors).all(axis=2)
    w = (
        np.ones(present.shape)
        if weights is None
        else np.broadcast_to(np.asarray(weights, dtype=np.float64), present.shape)
    )
    if not np.isfinite(w).all() or (w < 0).any():
        raise ValueError("`weights` must be finite numbers >= 0.")
    w = w * present
    alike = 2.0 * np.einsum("nid,njd->nij", np.nan_to_num(vectors), np.nan_to_num(vectors))
    total = w.sum(axis=1, keepdims=True)
    behind = np.einsum("nij,nj->ni", alike, w) / np.where(total > 0, total, 1.0)
    support = np.where(present, behind, -np.inf)
    return Selection(_first_best(support, w), support)


def select_text(
    answers: Sequence[Sequence[str | None]],
    *,
    weights: ArrayLike | None = None,
    utility: str | TextUtility | Callable[[str, str], float] = "chrf",
) -> Selection:
    """Text with the best expected utility against the answers of all models, where embeddings are poor.

    The texts themselves are compared, by chrF or another utility of `mbr`.

    Parameters
    ----------
    answers
        (prompts, models) texts; ``None`` and empty texts are missing.
    weights
        (models,) or (prompts, models), >= 0; equal by default.
    utility
        As in `mbr`.

    Raises
    ------
    ValueError, ConfigError
        As `mbr`.

    Examples
    --------
    >>> select_text([["the Nile rose", "the Nile rose today", "no idea"], ["", None, "yes"]]).models
    array([1, 2])
    """
    n, m = len(answers), len(answers[0]) if len(answers) else 0
    w = np.ones((n, m)) if weights is None else np.broadcast_to(np.asarray(weights, dtype=np.float64), (n, m))
    support = np.full((n, m), -np.inf)
    for row, texts in enumerate(answers):
        here = [j for j, text in enumerate(texts) if text]
        if here:
            own = w[row, here] if w[row, here].any() else np.ones(len(here))
            support[row, here] = mbr([str(texts[j]) for j in here], utility=utility, weights=own).scores
    return Selection(_first_best(support, w * np.isfinite(support)), support)


def _first_best(support: Floats, weights: Floats) -> Ints:
    """Greatest support within rounding, then greatest weight, then the first; -1 without any."""
    if support.shape[1] == 0:
        return np.full(len(support), -1)
    some = np.isfinite(support).any(axis=1)
    best = np.where(some, support.max(axis=1), 0.0)
    margin = TIE * np.maximum(np.abs(best), 1e-12)
    tied = support >= (best - margin)[:, None]
    return np.where(some, np.argmax(np.where(tied, weights, -1.0), axis=1), -1)
