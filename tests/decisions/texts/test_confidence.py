"""The posterior of what an early exit cost, against exact means and against simulation."""

import numpy as np
import pytest

from nilometer.decisions.texts.confidence import Surpluses, posterior_surpluses


def test_with_every_score_known_the_surpluses_are_exact_and_certain():
    rng = np.random.default_rng(0)
    scores, weights = rng.normal(size=(5, 7)), rng.dirichlet(np.ones(7))
    found = posterior_surpluses(list(scores), weights)
    expected = scores @ weights
    np.testing.assert_allclose(found.means, expected[1:] - expected[0], atol=1e-12)
    np.testing.assert_allclose(found.deviations, 0, atol=1e-7)


def test_chances_come_true_as_often_as_they_say_though_the_winner_was_chosen_by_luck():
    chances, came_true = [], []
    for seed in range(150):
        rng = np.random.default_rng(seed)
        scores = 0.5 * rng.normal(size=(40, 1)) + rng.normal(size=(1, 60)) + rng.normal(size=(40, 60))
        first = scores[:, :4].mean(axis=1)
        order = np.argsort(-first)
        met = [scores[i, : 20 if rank < 10 else 4] for rank, i in enumerate(order)]
        best = np.argmax([row.mean() for row in met[:10]])
        order[[0, best]], met[0], met[best] = order[[best, 0]], met[best], met[0]
        chances.append(posterior_surpluses(met, np.full(60, 1 / 60)).chance_above(0.0))
        came_true.append(scores[order[1:]].mean(axis=1) > scores[order[0]].mean())
    chance, truth = np.concatenate(chances), np.concatenate(came_true)
    for low, high in [(0.0, 0.02), (0.02, 0.1), (0.1, 0.25), (0.25, 0.5)]:
        inside = (chance >= low) & (chance < high)
        spread = np.sqrt(chance[inside].mean() / inside.sum())
        assert truth[inside].mean() == pytest.approx(chance[inside].mean(), abs=5 * spread + 0.02)


def test_the_bound_is_where_the_chances_sum_to_the_error():
    found = Surpluses(np.array([-1.0, -0.5, 0.2]), np.array([0.4, 0.6, 0.3]))
    bound = found.bound(0.1)
    assert found.chance_above(bound).sum() == pytest.approx(0.1)
    assert found.bound(0.01) > bound
    assert found.bound(1.5) == 0


def test_equal_scores_give_no_surplus():
    found = posterior_surpluses([np.ones(4), np.ones(2)], np.full(8, 1 / 8))
    assert (found.means.tolist(), found.deviations.tolist()) == ([0], [0])
