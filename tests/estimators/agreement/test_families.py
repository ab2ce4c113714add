"""Families: none among independent models whatever their accuracies, and those that copy are found."""

import numpy as np
import pytest

from nilometer.estimators import find_families
from nilometer.signals import answer_embeddings, pair_distance_rows
from nilometer.signals.distances.embeddings import pair_distances


def discrete(accuracies, *, seed, copied=0.0, n=1000):
    """Answers to questions with four choices; the last model copies the third at times."""
    rng = np.random.default_rng(seed)
    right = rng.random((n, len(accuracies))) < accuracies
    answers = np.where(right, 0, rng.integers(1, 4, right.shape))
    copies = rng.random(n) < copied
    answers[copies, -1] = answers[copies, 2]
    return answer_embeddings(answers.tolist())


@pytest.mark.parametrize("accuracies", [[0.9, 0.8, 0.7, 0.6, 0.5], [0.9, 0.5, 0.5, 0.5, 0.5], np.linspace(0.8, 0.3, 8)])
def test_independent_models_of_unequal_accuracy_are_no_family(accuracies):
    named = [bool(find_families(discrete(accuracies, seed=seed)).families) for seed in range(8)]
    assert sum(named) <= 1  # measured in studies/families.py: at most 5 % of runs


def test_equally_good_models_do_not_hide_a_copy():
    assert find_families(discrete([0.6] * 5, seed=0, copied=0.6)).families == (("2", "4"),)


def test_two_of_guessers_are_told_by_no_test():
    """Two good models among three guessers and a family among three independent ones give the same distances."""
    check = find_families(discrete([0.25, 0.25, 0.9, 0.25, 0.9], seed=0))
    assert check.families == (("2", "4"),)


@pytest.mark.parametrize("copied", [0.3, 0.6, 0.9])
def test_a_model_that_copies_is_found(copied):
    found = [
        find_families(discrete([0.9, 0.8, 0.7, 0.6, 0.5, 0.65], seed=seed, copied=copied)).families for seed in range(4)
    ]
    assert all(("2", "5") in families for families in found)


def test_prompts_that_are_hard_for_all_make_no_family():
    rng = np.random.default_rng(0)
    named = 0
    for _ in range(5):
        logits = np.linspace(2, -1, 8) + rng.normal(size=(1000, 1))
        right = rng.random((1000, 8)) < 1 / (1 + np.exp(-logits))
        answers = np.where(right, 0, rng.integers(1, 4, right.shape))
        named += bool(find_families(answer_embeddings(answers.tolist())).families)
    assert named <= 1


def test_few_models_or_prompts_show_no_family():
    assert "dependence cannot be seen" in find_families(discrete([0.9, 0.6, 0.5], seed=0)).reason
    few = find_families(discrete([0.9, 0.6, 0.5, 0.5], seed=0, copied=0.9))
    assert not few.families
    assert [pair.p_value for pair in few.pairs] == [None] * 6
    assert find_families(discrete([0.9, 0.6, 0.5, 0.5, 0.7], seed=0, n=10)).pairs[0].p_value is None


def test_distances_by_prompt_have_the_means_of_all():
    x = np.random.default_rng(0).normal(size=(50, 4, 3))
    x[3, 1] = np.nan
    rows = pair_distance_rows(x)
    assert rows.shape == (49, 6)
    whole = pair_distances(np.delete(x, 3, axis=0)).means[np.triu_indices(4, 1)]
    assert rows.mean(axis=0) == pytest.approx(whole)
    assert pair_distance_rows(x, most=10).shape == (10, 6)


def test_the_order_of_the_models_changes_no_pair():
    x = discrete([0.9, 0.8, 0.7, 0.6, 0.5, 0.65], seed=3, copied=0.3)
    order = [4, 2, 5, 0, 3, 1]
    pairs = {frozenset((p.first, p.second)): p for p in find_families(x).pairs}
    moved = find_families(x[:, order], models=[str(i) for i in order]).pairs
    assert len(moved) == 15
    for pair in moved:
        own = pairs[frozenset((pair.first, pair.second))]
        assert pair[2:] == pytest.approx(own[2:], rel=1e-6, abs=1e-9)
