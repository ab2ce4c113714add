"""Smoothie: closed form, routes, gaps, streaming and uncertainty."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, strategies as st
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from nilometer.errors import NotEnoughDataError
from nilometer.estimators import (
    Agreement,
    ModelQualities,
    Smoothie,
    find_families,
    merge_agreements,
    precision_weights,
    update_agreement,
)
from nilometer.estimators.agreement.local import PromptIndex
from nilometer.estimators.agreement.sums import pair_matrix


def outputs(seed=0, n=40, m=5, d=4, scales=None):
    rng = np.random.default_rng(seed)
    scale = np.linspace(0.5, 1.5, m) if scales is None else np.asarray(scales)
    return rng.normal(size=(n, 1, d)) + rng.normal(size=(n, m, d)) * scale[:, None]


def with_gaps(x, seed=0, share=0.25):
    gaps = x.copy()
    gaps[np.random.default_rng(seed).random(x.shape[:2]) < share] = np.nan
    return gaps


def triplet_errors(x):
    """The definition: the mean over all pairs of other models."""
    d = np.mean(np.sum((x[:, :, None] - x[:, None, :]) ** 2, axis=3), axis=0)
    m = len(d)
    return [
        np.mean([(d[i, j] + d[i, k] - d[j, k]) / 2 for j, k in combinations(set(range(m)) - {i}, 2)]) for i in range(m)
    ]


def least_squares(x, exclude=()):
    """One equation d_ij(x) = v_i + v_j per compared pair and prompt."""
    rows, target = [], []
    for prompt in x:
        for i, j in combinations(range(x.shape[1]), 2):
            if (i, j) not in exclude and not np.isnan(prompt[[i, j]]).any():
                rows.append(np.eye(x.shape[1])[i] + np.eye(x.shape[1])[j])
                target.append(np.sum((prompt[i] - prompt[j]) ** 2))
    return np.linalg.lstsq(np.array(rows), np.array(target), rcond=None)[0]


def test_collinear_outputs_by_hand():
    fitted = Smoothie().fit([[[0.0, 0.0], [1.0, 0.0], [2.0, 0.0]]])
    np.testing.assert_allclose(fitted.errors_, [2, -1, 2])
    assert fitted.best_ == 1
    assert (fitted.weights_ >= 0).all()


@pytest.mark.parametrize("m", [3, 4, 7])
def test_closed_form_is_the_mean_of_all_triplets(m):
    x = outputs(m, m=m)
    np.testing.assert_allclose(Smoothie().fit(x).errors_, triplet_errors(x), rtol=1e-12)


def test_paper_switch_computes_the_same_errors_triplet_by_triplet():
    x = outputs(1)
    np.testing.assert_allclose(Smoothie(paper=True).fit(x).errors_, triplet_errors(x), rtol=1e-12)


def test_missing_outputs_and_excluded_pairs_are_least_squares():
    x = with_gaps(outputs(2))
    fitted = Smoothie(exclude_pairs=[(0, 1)]).fit(x)
    np.testing.assert_allclose(fitted.errors_, least_squares(x, {(0, 1)}), rtol=1e-9)


@given(st.integers(0, 1000), st.permutations(range(5)))
def test_errors_follow_the_models_and_ignore_the_order_of_prompts(seed, order):
    x = with_gaps(outputs(seed), seed, 0.1)
    errors = Smoothie().fit(x).errors_
    np.testing.assert_allclose(Smoothie().fit(x[:, order]).errors_, errors[list(order)], rtol=1e-9)
    np.testing.assert_allclose(Smoothie().fit(x[::-1]).errors_, errors, rtol=1e-9)


@given(st.floats(0.01, 100), st.floats(-10, 10))
def test_errors_scale_with_the_square_and_ignore_a_shift(scale, shift):
    x = outputs(3)
    expected = scale**2 * Smoothie().fit(x).errors_
    np.testing.assert_allclose(Smoothie().fit(scale * x + shift).errors_, expected, rtol=1e-6)


def test_true_variances_are_recovered():
    scales = np.array([0.5, 1.0, 1.5, 2.0])
    errors = Smoothie().fit(outputs(4, n=20_000, d=8, m=4, scales=scales)).errors_ / 8
    np.testing.assert_allclose(errors, scales**2, rtol=0.05)


def test_identical_outputs_tie_and_go_to_the_first_model_with_equal_weights():
    fitted = Smoothie(1).fit(np.ones((3, 4, 2)))
    assert fitted.routes_.tolist() == [0, 0, 0]
    np.testing.assert_allclose(fitted.weights_, 0.25)


def test_ties_within_rounding_go_to_the_first_model():
    x = np.array([[[9.0, 9.0], [0.1, 0.2], [0.1, 0.2], [0.1, 0.2]]])
    assert Smoothie().fit(x).best_ == 1


def test_one_neighbour_is_the_medoid_of_the_prompts_own_outputs():
    x = outputs(5)
    sums = np.sum((x[:, :, None] - x[:, None, :]) ** 2, axis=(2, 3))
    assert (Smoothie(1).fit(x).routes_ == sums.argmin(axis=1)).all()


@pytest.mark.parametrize("k", [5, 10])
def test_local_equals_a_global_fit_on_the_neighbours(k):
    x = with_gaps(outputs(6, n=30, m=6), share=0.1)
    prompts = np.random.default_rng(0).normal(size=(30, 3))
    fitted = Smoothie(k).fit(x, prompts=prompts)
    near = np.argsort(np.sum((prompts[:, None] - prompts[None]) ** 2, axis=2), axis=1)[:, :k]
    expected = [Smoothie().fit(x[rows]).errors_ for rows in near]
    np.testing.assert_allclose(fitted.local_errors_, expected, rtol=1e-9)


def test_all_prompts_as_neighbours_is_global():
    x, prompts = outputs(7), np.random.default_rng(1).normal(size=(40, 2))
    fitted = Smoothie(40).fit(x, prompts=prompts)
    np.testing.assert_allclose(fitted.local_errors_, np.tile(fitted.errors_, (40, 1)))


def test_kernel_weights_prefer_the_near_neighbours():
    prompts = np.array([[0.0], [0.1], [5.0], [5.1]])
    x = outputs(8, n=4)
    kernel = Smoothie(3, neighbor_weights="kernel").fit(x, prompts=prompts)
    own = Smoothie(1).fit(x).local_errors_
    near = kernel.neighbours([[0.0]])
    assert near.weights[0, 0] > near.weights[0, 2]
    np.testing.assert_allclose(kernel.predict_errors([[0.0]])[0], near.weights[0] @ own[near.rows[0]])


def test_new_prompts_are_routed_from_their_embedding_alone():
    x = np.concatenate([outputs(9, scales=[0.1, 1, 1, 1, 1]), outputs(10, scales=[1, 1, 1, 1, 0.1])])
    prompts = np.repeat([[0.0], [1.0]], 40, axis=0) + np.random.default_rng(0).normal(size=(80, 1)) * 0.01
    fitted = Smoothie(20).fit(x, prompts=prompts)
    assert fitted.predict([[0.0], [1.0]]).tolist() == [0, 4]
    assert (Smoothie().fit(x).predict([[0.0], [1.0]]) >= 0).all()


def test_an_absent_output_is_never_chosen_and_an_empty_prompt_has_no_route():
    x = outputs(11)
    x[0, 0] = np.nan
    x[1] = np.nan
    for k in (None, 1):
        routes = Smoothie(k).fit(x).routes_
        assert routes[0] != 0
        assert routes[1] == -1


def test_prompts_answered_by_two_models_fall_back_to_the_global_errors():
    x = outputs(12)
    x[0, 2:] = np.nan
    fitted = Smoothie(1).fit(x)
    assert (fitted.local_errors_[0] == fitted.errors_).all()


@pytest.mark.parametrize("gaps", [False, True])
def test_batches_and_merges_equal_one_fit(gaps):
    x = with_gaps(outputs(13)) if gaps else outputs(13)
    whole = Smoothie().fit(x)
    stream = Smoothie().partial_fit(x[:7]).partial_fit(x[7:30])
    stream.merge(Smoothie().partial_fit(x[30:]))
    np.testing.assert_allclose(stream.errors_, whole.errors_, rtol=1e-12)
    np.testing.assert_allclose(stream.qualities_.covariance, whole.qualities_.covariance, rtol=1e-9)
    assert stream.qualities_.n_prompts == 40


def test_decay_weights_a_prompt_by_its_age_however_the_stream_is_cut():
    x = outputs(14)
    weights = 0.5 ** (np.arange(39, -1, -1) / 10)
    own = Smoothie(1).fit(x).local_errors_
    for cuts in ([40], [13, 40], [1, 2, 40]):
        stream = Smoothie(half_life=10)
        for a, b in zip([0, *cuts], cuts, strict=False):
            stream.partial_fit(x[a:b])
        np.testing.assert_allclose(stream.errors_, weights @ own / weights.sum(), rtol=1e-12)
    gap = (own - stream.errors_) * weights[:, None]
    n = weights.sum() ** 2 / (weights**2).sum()
    expected = gap.T @ gap / weights.sum() ** 2 * n / (n - 1)
    np.testing.assert_allclose(stream.qualities_.covariance, expected, rtol=1e-9)


def test_standard_errors_are_those_of_a_mean_over_prompts():
    x = outputs(15)
    own = Smoothie(1).fit(x).local_errors_
    qualities = Smoothie().fit(x).qualities_
    np.testing.assert_allclose(qualities.standard_errors, own.std(axis=0, ddof=1) / np.sqrt(40))
    paired = (own[:, 0] - own[:, 3]).std(ddof=1) / np.sqrt(40)
    assert qualities.differences().standard_error[0, 3] == pytest.approx(paired)


@pytest.mark.parametrize("gaps", [False, True])
def test_prompts_as_their_own_groups_change_nothing(gaps):
    x = with_gaps(outputs(16)) if gaps else outputs(16)
    grouped = Smoothie().fit(x, groups=np.arange(40)).qualities_
    np.testing.assert_allclose(grouped.covariance, Smoothie().fit(x).qualities_.covariance, rtol=1e-9)


def test_copies_of_prompts_in_one_group_leave_the_standard_error_alone():
    x = outputs(17)
    copies = Smoothie().fit(np.repeat(x, 3, axis=0), groups=np.repeat(np.arange(40), 3)).qualities_
    single = Smoothie().fit(x).qualities_
    np.testing.assert_allclose(copies.standard_errors, single.standard_errors)
    assert copies.n_effective == 40


def test_intervals_cover_the_true_error_at_the_stated_rate():
    """500 draws at 95 %: 3.3 binomial standard deviations are 3.2 points."""
    scales = np.array([0.5, 1.0, 1.5])
    hits = []
    for seed in range(500):
        qualities = Smoothie().fit(outputs(seed, n=60, m=3, d=4, scales=scales)).qualities_
        low, high = qualities.intervals()
        hits.append((low[1] <= -4.0) & (high[1] >= -4.0))
    assert abs(np.mean(hits) - 0.95) < 0.032


def test_the_best_of_equal_models_is_separated_no_more_often_than_stated():
    """400 draws at 5 %: 3.3 binomial standard deviations are 3.6 points."""
    found = [
        Smoothie().fit(outputs(seed, n=60, m=4, scales=np.ones(4))).qualities_.best_test().is_separated
        for seed in range(400)
    ]
    assert np.mean(found) < 0.086


def test_rank_probabilities_are_doubly_stochastic_and_sure_for_clear_cases():
    ranks = Smoothie().fit(outputs(18, n=2000)).qualities_.rank_probabilities(rng=np.random.default_rng(0))
    np.testing.assert_allclose(ranks.sum(axis=0), 1)
    np.testing.assert_allclose(ranks.sum(axis=1), 1)
    assert (np.diag(ranks) > 0.99).all()


def test_one_prompt_has_estimates_but_no_uncertainty():
    qualities = Smoothie().fit(outputs(19, n=1)).qualities_
    assert qualities.best_test() is None
    assert qualities.intervals() is None
    assert qualities.rank_probabilities(rng=np.random.default_rng(0)) is None
    assert qualities.to_dicts()[0]["low"] is None


def test_relatives_are_found_and_what_hangs_on_them_is_said():
    x = outputs(20, n=1500, m=5, scales=np.ones(5))
    x[:, 1] = x[:, 0] + 0.2 * (x[:, 1] - x[:, 0])
    check = find_families(x, models=["a", "a2", "b", "c", "d"])
    assert check.families == (("a", "a2"),)
    assert check.pairs[0].shared > 0.5
    assert 0 < check.changed_routes < 1
    assert check.best in {"a", "a2"}


def test_independent_models_have_no_family_and_four_models_cannot_show_one():
    assert find_families(outputs(21, n=500)).families == ()
    assert "4 models have too few distances" in find_families(outputs(21, m=4)).reason


def test_weights_are_inverse_errors_with_a_floor():
    np.testing.assert_allclose(precision_weights([1.0, 2.0, 4.0]), np.array([4, 2, 1]) / 7)
    assert (precision_weights([-1.0, 1.0, 3.0]) > 0).all()


def test_constructor_stores_and_clones():
    smoothie = Smoothie(5, neighbor_weights="kernel", half_life=3.0)
    assert clone(smoothie).get_params() == smoothie.get_params()


@pytest.mark.parametrize("m", [1, 2])
def test_fewer_than_three_models_are_not_enough_and_paper_gives_nan(m):
    with pytest.raises(NotEnoughDataError, match=f"three models to tell who is wrong, got {m}"):
        Smoothie().fit(outputs(m=m))
    paper = Smoothie(paper=True).fit(outputs(m=m))
    assert np.isnan(paper.weights_).all()
    assert paper.best_ == 0


def test_a_silent_model_and_no_prompts_are_not_enough():
    x = outputs()
    x[:, 2] = np.nan
    with pytest.raises(NotEnoughDataError, match="Model 2 has no output"):
        Smoothie().fit(x)
    with pytest.raises(NotEnoughDataError, match="no prompts"):
        Smoothie().fit(np.zeros((0, 3, 2)))


@pytest.mark.parametrize(
    ("parameters", "arguments", "text"),
    [
        ({"n_neighbors": 41}, {"prompts": np.zeros((40, 2))}, "`n_neighbors` must be <= 40"),
        ({"n_neighbors": 0}, {}, "`n_neighbors` must be None or >= 1, got 0"),
        ({"n_neighbors": 2}, {}, "`prompts` must be given for `n_neighbors` = 2"),
        ({"n_neighbors": 2}, {"prompts": np.zeros((3, 2))}, "`prompts` must be 40 finite vectors"),
        ({"neighbor_weights": "near"}, {}, "`neighbor_weights` must be 'uniform' or 'kernel', got 'near'"),
        ({"confidence_level": 1.0}, {}, r"`confidence_level` must lie in \(0, 1\), got 1.0"),
        ({}, {"models": ["a", "a", "b", "c", "d"]}, "`models` must be 5 different names"),
        ({}, {"groups": [1, 2]}, "`groups` must have 40 entries, one per prompt, got 2"),
        ({"paper": True, "exclude_pairs": [(0, 1)]}, {}, "`paper` must be False"),
    ],
)
def test_bad_arguments_are_refused(parameters, arguments, text):
    with pytest.raises(ValueError, match=text):
        Smoothie(**parameters).fit(outputs(), **arguments)


def test_streams_refuse_what_they_cannot_do():
    with pytest.raises(ValueError, match="`partial_fit` needs `n_neighbors=None`"):
        Smoothie(2).partial_fit(outputs())
    with pytest.raises(ValueError, match="`half_life` must be > 0"):
        Smoothie(half_life=0).partial_fit(outputs())
    with pytest.raises(ValueError, match="`models` must stay"):
        Smoothie().partial_fit(outputs(m=3)).partial_fit(outputs(m=3), models=["a", "b", "c"])
    with pytest.raises(ValueError, match="`other` must know the models"):
        Smoothie().fit(outputs()).merge(Smoothie().fit(outputs(m=3)))
    with pytest.raises(NotFittedError, match="Call `fit` or `partial_fit` first"):
        Smoothie().predict([[0.0]])
    with pytest.raises(ValueError, match="`neighbours` needs `n_neighbors`"):
        Smoothie().fit(outputs()).neighbours([[0.0]])


def test_a_window_forgets_all_but_the_latest_prompts():
    x = outputs(22)
    stream = Smoothie(window=12)
    for start in (0, 5, 9, 30):
        stream.partial_fit(
            x[start : start + 21 if start == 9 else start + (5 if start == 0 else 4 if start == 5 else 10)]
        )
    np.testing.assert_allclose(stream.errors_, Smoothie().fit(x[28:40]).errors_)
    assert stream.qualities_.n_prompts == 12


def test_several_generations_equal_the_mean_over_all_their_pairs():
    rng = np.random.default_rng(23)
    x = rng.normal(size=(30, 4, 3, 2))
    pairs = [np.stack([x[:, j, g[j]] for j in range(4)], axis=1) for g in np.ndindex(3, 3, 3, 3)]
    expected = np.mean([Smoothie().fit(one).errors_ for one in pairs], axis=0)
    np.testing.assert_allclose(Smoothie().fit(x).errors_, expected, rtol=1e-9)


def test_published_generations_are_compared_in_order():
    x = np.random.default_rng(24).normal(size=(30, 4, 3, 2))
    expected = np.mean([Smoothie(paper=True).fit(x[:, :, g]).errors_ for g in range(3)], axis=0)
    np.testing.assert_allclose(Smoothie(paper=True).fit(x).errors_, expected, rtol=1e-9)


def test_few_prompts_find_the_same_neighbours_as_many():
    rng = np.random.default_rng(25)
    prompts = rng.normal(size=(300, 16)) + 100.0
    fitted = Smoothie(7, neighbor_weights="kernel").fit(outputs(25, n=300), prompts=prompts)
    asked = rng.normal(size=(40, 16)) + 100.0
    many = fitted.neighbours(asked)
    few = [fitted.neighbours(asked[i : i + 1]) for i in range(40)]
    assert (np.concatenate([one.rows for one in few]) == many.rows).all()
    np.testing.assert_allclose(np.concatenate([one.weights for one in few]), many.weights)


def test_sums_of_another_fit_give_the_same_estimates():
    x, prompts = with_gaps(outputs(26), share=0.1), np.random.default_rng(0).normal(size=(40, 3))
    first = Smoothie(5).fit(x, prompts=prompts)
    again = Smoothie(5).fit_sums(first.sums_, first.present_, prompts=prompts)
    np.testing.assert_allclose(again.local_errors_, first.local_errors_)
    assert (again.routes_ == first.routes_).all()


def test_own_errors_average_to_the_global_ones():
    fitted = Smoothie().fit(outputs(27))
    np.testing.assert_allclose(fitted.own_errors().mean(axis=0), fitted.errors_)
    np.testing.assert_allclose(fitted.own_errors([3, 1]), fitted.own_errors()[[3, 1]])


def test_rounding_is_no_difference_between_models():
    vectors = np.zeros((200, 4, 4))
    vectors[:, range(4), range(4)] = np.sqrt(0.5)  # all answers differ from all others, always
    paired = Smoothie().fit(vectors).qualities_.differences()
    assert (paired.difference == 0).all()
    assert not Smoothie().fit(vectors).qualities_.best_test().is_separated


def test_a_window_stands_alone():
    with pytest.raises(ValueError, match="`window` must be >= 1 and stand without `half_life`"):
        Smoothie(window=3, half_life=2.0).partial_fit(outputs())
    with pytest.raises(ValueError, match="`X` must hold 5 models, got 3"):
        Smoothie(window=3).partial_fit(outputs()).partial_fit(outputs(m=3))
    with pytest.raises(ValueError, match="the published code needs the embeddings"):
        Smoothie(paper=True).fit_sums(np.ones((2, 3)), np.ones((2, 3)))


def test_sums_of_another_number_of_models_are_refused():
    state = Agreement(pair_matrix(3))
    with pytest.raises(ValueError, match=r"`sums` and `present` must be \(prompts, 3\), got \(2, 4\)"):
        update_agreement(state, np.ones((2, 4)), np.ones((2, 4), dtype=bool))


def test_states_of_different_pairs_do_not_merge():
    with pytest.raises(ValueError, match="must compare the same pairs of models, got different pairs"):
        merge_agreements(Agreement(pair_matrix(3)), Agreement(pair_matrix(3, [(0, 1)])))


def test_pairs_that_do_not_determine_the_errors_are_refused():
    """Four models compared in two separate couples: each couple knows only the sum of its two errors."""
    apart = [(0, 2), (0, 3), (1, 2), (1, 3)]
    with pytest.raises(NotEnoughDataError, match="do not determine every model's error"):
        Smoothie(exclude_pairs=apart).fit(outputs(m=4))


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_differences_within_rounding_are_none_whatever_the_unit(scale):
    errors = scale * np.array([0.3, 0.3 * (1 + 1e-13), 0.4])
    found = ModelQualities(("a", "b", "c"), errors, scale**2 * np.eye(3), 100, 100.0).differences()
    assert found.difference[0] == pytest.approx(scale * np.array([0.0, 0.0, 0.1]), rel=1e-9)
    assert found.difference[0, 1] == 0.0


def test_near_prompts_weigh_more_and_weights_sum_to_one():
    prompts = np.random.default_rng(0).normal(size=(40, 3))
    for rows in (prompts[:2], prompts):
        near = PromptIndex(prompts).nearest(rows, k=5, weighting="gaussian")
        assert near.weights.sum(axis=1) == pytest.approx(1)
        assert (np.diff(near.weights, axis=1) <= 0).all()


def test_prompts_of_equal_weight_count_as_what_they_are():
    assert Smoothie().fit(outputs(n=37)).qualities_.n_effective == pytest.approx(37)


def test_parameters_are_those_of_a_scikit_learn_estimator():
    from sklearn import utils
    from sklearn.base import clone

    smoothie = Smoothie(5, window=10)
    assert clone(smoothie).set_params(window=None).get_params() == {**smoothie.get_params(), "window": None}
    assert repr(smoothie) == "Smoothie(n_neighbors=5, window=10)"
    if hasattr(utils, "get_tags"):  # scikit-learn 1.6
        assert utils.get_tags(smoothie).estimator_type is None
    with pytest.raises(ValueError, match="`x` must be one of n_neighbors, "):
        smoothie.set_params(x=1)


def test_two_models_have_half_the_distance_each_with_its_standard_error():
    x = np.random.default_rng(2).normal(size=(40, 2, 3))
    distances = np.square(x[:, 0] - x[:, 1]).sum(axis=1)
    found = Smoothie(split_two=True).fit(x)
    assert found.errors_ == pytest.approx(np.full(2, distances.mean() / 2))
    assert found.qualities_.covariance == pytest.approx(np.full((2, 2), distances.var(ddof=1) / 40 / 4))
    local = Smoothie(2, split_two=True).fit(x, prompts=np.arange(40.0)[:, None])
    assert local.errors_ == pytest.approx(found.errors_)


def test_two_models_that_never_meet_say_nothing_of_each_other():
    x = np.random.default_rng(3).normal(size=(6, 2, 3))
    x[:3, 0], x[3:, 1] = np.nan, np.nan
    with pytest.raises(NotEnoughDataError, match="No prompt was answered by both models"):
        Smoothie(split_two=True).fit(x)
