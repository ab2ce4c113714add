"""What one answer with its alternatives says of the whole distribution over labels, and what it leaves open."""

import math
from collections.abc import Hashable, Sequence

from .posterior import Posterior
from .tokens import ListedToken, score_masses, score_place

__all__ = ["posterior_of_call"]


def posterior_of_call(
    tokens: Sequence[ListedToken],
    labels: Sequence[Hashable],
    *,
    field: str | None = None,
    pattern: str | None = None,
) -> Posterior | None:
    r"""Posterior over labels from one answer drawn at temperature 1, or None where it states no label.

    .. math:: p(y \mid x) \ge p(\text{what stands before the score} \mid x) \; p(y \mid x, \text{what stands before})

    An answer that begins with its score settles nearly everything; of one that reasons first only the probability of
    that reasoning is known, and the rest is missing mass, which every label may hold. So a small ``missing_mass``
    means that more draws have nothing to add.

    Parameters
    ----------
    tokens
        The whole answer with its alternatives, probabilities before temperature.
    labels
        The scale.
    field, pattern
        Where the score stands, as in ``score_place``.

    Examples
    --------
    >>> answer = [ListedToken("It is ", (("It is ", 0.9),)), ListedToken("4", (("4", 0.8), ("5", 0.2)))]
    >>> found = posterior_of_call(answer, range(1, 6))
    >>> found.values, found.weights.round(3).tolist(), round(found.missing_mass, 3)
    ((4, 5), [0.8, 0.2], 0.1)
    """
    place = score_place("".join(token.text for token in tokens), labels, field=field, pattern=pattern)
    read = score_masses(tokens, place, labels) if place >= 0 else None
    if read is None:
        return None
    before = _probability_before(tokens, place)
    masses = {label: mass * before for label, mass in read.masses.items() if mass * before > 0}
    if not masses:
        return None
    if before < 1:  # other beginnings may lead to any label
        return Posterior.from_masses(masses, labels=labels, largest_open=1.0, open_labels=labels, temperature=1.0)
    left = read.largest_open
    return Posterior.from_masses(
        masses, labels=labels, largest_open=left, open_labels=read.open_labels, temperature=1.0
    )


def _probability_before(tokens: Sequence[ListedToken], place: int) -> float:
    """Probability of the tokens that end before a place of the text."""
    end, logs = 0, []
    for token in tokens:
        end += len(token.text)
        if end > place:
            break
        logs.append(math.log(max(dict(token.listed).get(token.text, 0.0), 1e-300)))
    return math.exp(math.fsum(logs))
