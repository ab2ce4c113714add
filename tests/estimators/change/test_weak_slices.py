from itertools import product

import numpy as np
import pytest

from nilometer.estimators import benjamini_hochberg, cluster_embeddings, confirm_weak_slices, find_weak_slices


def _traffic(seed=0, n=4000):
    rng = np.random.default_rng(seed)
    attributes = {key: rng.choice(list("abcd"), n) for key in ("kind", "size", "tenant")}
    attributes["id"] = np.arange(n).astype(str)
    planted = (attributes["kind"] == "b") & (attributes["size"] == "c")
    error = np.clip(rng.normal(0.1, 0.03, n) + 0.6 * planted, 0, 1)
    return error, attributes, planted


def test_planted_conjunction_is_found_first():
    error, attributes, planted = _traffic()
    found = find_weak_slices(error, attributes)[0]
    assert dict(found.conditions) == {"kind": "b", "size": "c"}
    assert found.n == planted.sum()


def test_scores_are_those_of_all_conjunctions_by_hand():
    error, attributes, _ = _traffic(n=400)
    found = {one.conditions: one.score for one in find_weak_slices(error, attributes, most=1000, least=5)}
    for (one, two), (a, b) in product([("kind", "size"), ("size", "tenant")], product("abcd", repeat=2)):
        mask = (attributes[one] == a) & (attributes[two] == b)
        score = 0.99 * (error[mask].mean() / error.mean() - 1) - 0.01 * (400 / mask.sum() - 1)
        key = ((one, a), (two, b))
        if key in found:
            assert found[key] == pytest.approx(score)


def test_only_the_planted_slice_is_confirmed():
    error, attributes, planted = _traffic(seed=1)
    rng = np.random.default_rng(2)
    truth = (rng.random(len(error)) >= error).astype(float)
    correct = np.where(rng.random(len(error)) < 0.1, truth, np.nan)
    noise = rng.random(len(error)) * 0.2  # expected errors that know nothing
    suspects = find_weak_slices(error, attributes, most=3) + find_weak_slices(noise, attributes, most=10)
    tested = confirm_weak_slices(suspects, correct, attributes)
    confirmed = [one for one in tested if one.p_value is not None and one.p_value <= 0.1]
    assert dict(confirmed[0].conditions) == {"kind": "b", "size": "c"}
    assert all(set(one.conditions) & {("kind", "b"), ("size", "c")} for one in confirmed)
    assert planted.any()


def test_false_discoveries_are_held_down():
    rng, false = np.random.default_rng(3), 0
    for _ in range(60):
        _, attributes, _ = _traffic(seed=4, n=800)
        suspects = find_weak_slices(rng.random(800) * 0.2, attributes, most=10)
        tested = confirm_weak_slices(suspects, (rng.random(800) < 0.9).astype(float), attributes)
        false += any(one.p_value is not None and one.p_value <= 0.1 for one in tested)
    # nothing is weak, so any discovery is false: .1 and three binomial standard errors
    assert false / 60 <= 0.1 + 3 * np.sqrt(0.09 / 60)


def test_few_labels_give_no_p_value():
    error, attributes, _ = _traffic()
    tested = confirm_weak_slices(find_weak_slices(error, attributes), np.full(len(error), np.nan), attributes)
    assert tested[0].p_value is None
    assert tested[0].n_labels == 0


def test_adjustment_by_hand():
    # R: p.adjust(c(.01, .04, .03, .5), "BH")
    adjusted = benjamini_hochberg(np.array([0.01, 0.04, np.nan, 0.03, 0.5]))
    assert adjusted[[0, 1, 3, 4]].tolist() == pytest.approx([0.04, 0.04 * 4 / 3, 0.04 * 4 / 3, 0.5])
    assert np.isnan(adjusted[2])


def test_clusters_are_a_key_like_any_other():
    rng = np.random.default_rng(5)
    place = rng.integers(0, 3, 300)
    embeddings = np.eye(3)[place] + rng.normal(0, 0.05, (300, 3))
    names = cluster_embeddings(embeddings, 3)
    found = find_weak_slices(np.where(place == 1, 0.9, 0.1), {"cluster": names}, depth=1)
    assert found[0].n == (place == 1).sum()


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="`error` must have no NaN"):
        find_weak_slices(np.array([np.nan]), {})
    with pytest.raises(ValueError, match="`attributes` must have 2 values"):
        find_weak_slices(np.ones(2), {"a": ["x"]})
    with pytest.raises(ValueError, match="`n_clusters` must lie in 1 to 2"):
        cluster_embeddings(np.ones((2, 2)), 3)
    assert find_weak_slices(np.zeros(100), {"a": ["x"] * 100}) == ()
