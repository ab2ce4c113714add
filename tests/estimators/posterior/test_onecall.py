"""What one answer settles, against the distribution that it comes from."""

import numpy as np
import pytest
from hypothesis import given, strategies as st

from nilometer.estimators import ListedToken, listed_tokens, posterior_of_call

REASONS = ("It is clear. Score: ", "It is not clear. Score: ")


@given(st.floats(0.05, 0.95), st.integers(0, 1000))
def test_every_label_lies_between_its_mass_and_that_plus_what_is_missing(p_reason, seed):
    """Two reasonings, each with its own labels: one call sees one of them."""
    rng = np.random.default_rng(seed)
    labels = rng.dirichlet(np.ones(3), size=2)
    truth = p_reason * labels[0] + (1 - p_reason) * labels[1]
    listed = tuple((str(i + 1), float(p)) for i, p in enumerate(labels[0]))
    answer = [ListedToken(REASONS[0], ((REASONS[0], p_reason),)), ListedToken("2", listed)]
    found = posterior_of_call(answer, (1, 2, 3))
    masses = dict(zip(found.values, found.weights * (1 - found.missing_mass), strict=True))
    for label, p in zip((1, 2, 3), truth.tolist(), strict=True):
        assert masses.get(label, 0.0) <= p + 1e-9
        assert p <= masses.get(label, 0.0) + found.missing_mass + 1e-9
    low, high = found.mean_bounds()
    assert low - 1e-9 <= truth @ [1, 2, 3] <= high + 1e-9


def test_answer_that_begins_with_its_score_leaves_only_what_is_not_listed():
    found = posterior_of_call([ListedToken("4", (("4", 0.6), ("5", 0.3)))], range(1, 6))
    assert (found.missing_mass, found.open_labels) == (pytest.approx(0.1), (1, 2, 3))
    assert found.n_samples is None


def test_answer_without_a_label_says_nothing():
    assert posterior_of_call([ListedToken("none", (("none", 1.0),))], range(1, 6)) is None


def test_alternatives_stand_beside_their_token():
    nan = float("nan")
    found = listed_tokens(
        ["a", "b"], [-1.0, nan], top_texts=["a", "c", "d", None], top_logprobs=[[-1.0, -2.0], [0.0, nan]]
    )
    assert dict(found[0].listed) == pytest.approx({"a": np.exp(-1), "c": np.exp(-2)})
    assert found[1] == ListedToken("b", (("d", 1.0),))
