"""The race against the exact decision, on worlds where the whole utility matrix is known."""

import numpy as np
import pytest
from scipy.stats import binom

from nilometer.decisions import TextUtility, mbr, pairwise_utility, race_mbr

N_RUNS = 80


def world(seed, n=96, kind="normal"):
    """Scores of n texts, their counts, and the exact expected utilities."""
    rng = np.random.default_rng(seed)
    scores = 0.3 * rng.normal(size=(n, 1)) + 0.5 * rng.normal(size=(1, n)) + rng.normal(size=(n, n))
    if kind == "binary":
        scores = (rng.random((n, n)) < 1 / (1 + np.exp(-scores))).astype(float)
    if kind == "near ties":
        scores[: n // 2] = scores[0] + 0.05 * rng.normal(size=(n // 2, n))
    counts = rng.geometric(0.6, n)
    return scores, counts, scores @ (counts / counts.sum())


def race(scores, counts, seed, **options):
    texts = [str(i) for i, count in enumerate(counts) for _ in range(count)]
    utility = TextUtility("table", matrix=lambda h, r: scores[np.ix_([int(t) for t in h], [int(t) for t in r])])
    return race_mbr(texts, utility, rng=np.random.default_rng(seed), **options)


@pytest.mark.parametrize("kind", ["normal", "binary", "near ties"])
def test_the_exact_winner_is_found_with_at_least_the_stated_probability(kind):
    found = calls = 0
    for seed in range(N_RUNS):
        scores, counts, exact = world(seed, kind=kind)
        result = race(scores, counts, seed, confidence_level=0.8)
        found += exact[int(result.text)] >= exact.max() - 1e-12
        calls += result.n_calls / result.n_calls_exact
        assert result.confidence == 0.8
        assert result.regret_bound == 0
    # A method that kept its word exactly would fall below this once in 10,000 times.
    assert found >= binom.ppf(1e-4, N_RUNS, 0.8)
    assert calls / N_RUNS < 0.9


def test_under_a_budget_confidence_and_regret_bound_keep_their_word():
    found, promised, covered = 0, 0.0, 0
    for seed in range(N_RUNS):
        scores, counts, exact = world(seed)
        budget = 96 * 96 // 3
        result = race(scores, counts, seed, confidence_level=0.9, budget=budget)
        regret = exact.max() - exact[int(result.text)]
        assert result.n_calls <= budget
        found += regret < 1e-12
        promised += result.confidence
        covered += regret <= result.regret_bound + 1e-12
    assert found >= binom.ppf(1e-4, N_RUNS, promised / N_RUNS)
    assert promised / N_RUNS > 0.3
    assert covered >= binom.ppf(1e-4, N_RUNS, 0.9)


def test_halving_on_shared_references_beats_a_random_pick_by_far():
    picked, chance = [], []
    for seed in range(30):
        scores, counts, exact = world(seed)
        picked.append(exact.max() - exact[int(race(scores, counts, seed, budget=96 * 12).text)])
        chance.append(exact.max() - exact.mean())
    assert np.mean(picked) < 0.15 * np.mean(chance)


def test_the_estimate_is_exact_if_every_reference_was_met():
    scores, counts, exact = world(3, n=8)
    result = race(scores, counts, 0)
    assert result.expected_utility == pytest.approx(exact.max())
    assert result.n_calls == 64


def test_a_symmetric_utility_is_asked_once_per_unordered_pair():
    asked = []

    def closeness(h, r):
        asked.append(frozenset((h, r)))
        return -abs(len(h) - len(r))

    texts = ["a" * i for i in range(1, 60)]
    result = race_mbr(texts, pairwise_utility(closeness, symmetric=True), rng=np.random.default_rng(0))
    assert len(asked) == len(set(asked)) == result.n_calls < result.n_calls_exact == 59 * 60 // 2
    assert result.text == mbr(texts, utility=closeness).text
    assert result.survivors[0] == 59
    assert result.survivors[-1] == 1


def test_references_of_no_weight_are_never_asked():
    asked = set()

    def same(h, r):
        asked.add(r)
        return float(h == r)

    race_mbr(["a", "b", "c"], same, rng=np.random.default_rng(0), weights=[1, 0, 2])
    assert asked == {"a", "c"}


def test_a_named_utility_races_in_blocks():
    rng = np.random.default_rng(5)
    texts = [" ".join(rng.choice(["sun", "moon", "star", "sky", "sea"], 8)) for _ in range(150)]
    result = race_mbr(texts, "chrf", rng=rng)
    exact = mbr(texts)
    assert exact.scores[result.index] == pytest.approx(exact.expected_utility)
    assert (result.utility, result.n_calls_exact) == ("chrf", len(set(texts)) ** 2)


def test_one_hypothesis_costs_one_call():
    result = race_mbr(["x", "x"], "exact_match", rng=np.random.default_rng(0))
    assert (result.text, result.n_calls, result.confidence, result.survivors) == ("x", 1, 0.95, (1, 1))


def test_two_calls_each_give_a_winner_that_is_hardly_trusted():
    scores, counts, _ = world(0, n=40)
    counts[:] = 1
    counts[:3] = 10
    result = race(scores, counts, 0, budget=80)
    assert result.n_calls <= 80
    assert result.confidence < 0.5
    assert result.regret_bound > 0


def test_bad_arguments_are_refused():
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match=r"`confidence_level` must be in \(0, 1\), got 1"):
        race_mbr(["a"], "chrf", rng=rng, confidence_level=1)
    with pytest.raises(ValueError, match="`budget` must be >= 4, two calls for each of 2 distinct hypotheses, got 3"):
        race_mbr(["a", "b"], "chrf", rng=rng, budget=3)
    with pytest.raises(ValueError, match="finite scores"):
        race_mbr(["a", "b"], lambda _h, _r: float("inf"), rng=rng)


def test_references_not_yet_met_may_differ_as_much_as_the_worst_one():
    """Utilities without any scatter: after 8 references t is 8 on 7 degrees of freedom, which is not .9999 sure."""
    n = 64
    scores = np.repeat(np.linspace(0.0, 1.0, n)[:, None], n, axis=1)
    result = race(scores, np.ones(n, dtype=int), 0, confidence_level=0.9999)
    assert result.text == str(n - 1)
    assert result.survivors[1] == n
    assert result.survivors[2] == 1


def test_a_budget_puts_out_the_worse_half_rounded_up():
    """Nobody is significantly behind at this level, so only halving takes texts out: 97, 49, 25, 13, 7, 4, 2, 1."""
    scores, counts, _ = world(3, n=97)
    result = race(scores, counts, 0, confidence_level=1 - 1e-12, budget=97 * 12)
    assert len(set(result.survivors)) > 3
    assert set(result.survivors) <= {97, 49, 25, 13, 7, 4, 2, 1}
