"""Routes: the choice, its reason, its budget, and its file."""

import re
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from nilometer.decisions import (
    AnswerTable,
    fit_router,
    load_router,
    policy_points,
    route_paced,
    save_router,
    start_pace,
)
from nilometer.errors import ConfigError, IncompatibleModelError, NotEnoughDataError
from nilometer.estimators import Smoothie
from nilometer.signals import answer_embeddings

MODELS = ("a", "b", "c", "d")


def table(seed=0, *, n=300, labels=0, costs=None, local=False):
    """Model a is best; with ``local`` model d is best in the second half of the prompt space."""
    rng = np.random.default_rng(seed)
    scales = np.tile([0.4, 0.8, 1.2, 1.6], (n, 1))
    prompts = rng.normal(size=(n, 2)) * 0.1
    if local:
        prompts[n // 2 :] += 5.0
        scales[n // 2 :] = scales[n // 2 :, ::-1]
    errors = rng.normal(size=(n, 4, 3)) * scales[:, :, None]
    x = rng.normal(size=(n, 1, 3)) + errors
    right = (np.linalg.norm(errors, axis=2) < 1.2).astype(float)
    scores = np.where(np.arange(n)[:, None] < labels, right, np.nan) if labels else None
    return AnswerTable(models=MODELS, embeddings=x, prompts=prompts, scores=scores, costs=costs)


def test_without_neighbours_every_prompt_gets_the_nearest_model_and_a_reason():
    router = fit_router(table())
    route = router.route()
    assert route.model == "a"
    assert route.expected_quality == pytest.approx(-Smoothie().fit(table().embeddings).errors_[0])
    assert route.interval[0] < route.expected_quality < route.interval[1]
    assert [other.model for other in route.alternatives] == ["b", "c", "d"]
    assert "\n" not in route.reason
    assert "a has expected quality" in route.reason
    assert "next is b" in route.reason
    assert router.choose(n=3).tolist() == [0, 0, 0]


def test_neighbours_find_the_model_of_the_region():
    router = fit_router(table(local=True), n_neighbors=30)
    assert router.route([0.0, 0.0]).model == "a"
    assert router.route([5.0, 5.0]).model == "d"
    assert "among the 30 nearest prompts" in router.route([5.0, 5.0]).reason
    assert router.choose([[0.0, 0.0], [5.0, 5.0]]).tolist() == [0, 3]


def test_the_spread_of_neighbours_is_that_of_their_own_errors():
    data = table(local=True)
    router = fit_router(data, n_neighbors=20)
    rows = router.smoothie.neighbours([[5.0, 5.0]]).rows[0]
    own = np.stack([Smoothie(1).fit(data.embeddings[[row]]).local_errors_[0] for row in rows])
    low, high = router.route([5.0, 5.0]).interval
    expected = 2 * 1.959963984540054 * own[:, 3].std(ddof=1) / np.sqrt(20)
    assert high - low == pytest.approx(expected)


def test_one_neighbour_has_no_interval():
    assert fit_router(table(), n_neighbors=1).route([0.0, 0.0]).interval is None


def test_labels_turn_quality_into_accuracy_and_can_overrule_agreement():
    data = table(labels=200)
    router = fit_router(data)
    route = router.route()
    assert router.unit == "accuracy"
    truth = table(labels=300).scores.mean(axis=0)
    assert route.expected_quality == pytest.approx(truth[0], abs=0.06)
    against = AnswerTable(models=MODELS, embeddings=data.embeddings, scores=data.scores * [0, 0, 0, 1] + [0, 0, 0, 0.0])
    assert fit_router(against).route().model == "d"


def test_labels_and_neighbours_shift_the_accuracy_by_agreement():
    router = fit_router(table(local=True, labels=300), n_neighbors=40)
    here, there = router.route([0.0, 0.0]), router.route([5.0, 5.0])
    assert here.model == "a"
    assert there.model == "d"
    assert 0 <= here.interval[0] <= here.interval[1] <= 1


def test_with_labels_and_neighbours_both_uncertainties_count():
    router = fit_router(table(local=True, labels=300), n_neighbors=40)
    near = router.smoothie.neighbours([[0.0, 0.0]])
    own = router.smoothie.own_errors(near.rows[0])
    gain = router.labelled.proxy_slope / router.labelled.proxy_scale
    expected = np.hypot(router.overall()[1], gain * own.std(axis=0, ddof=1) / np.sqrt(40))
    np.testing.assert_allclose(router.expected([[0.0, 0.0]])[1], expected)


def test_a_budget_is_kept_with_the_best_that_it_buys():
    costs = np.array([10.0, 2.0, 1.0, 1.0])
    router = fit_router(table(costs=costs), budget=5.0)
    route = router.route()
    assert route.model == "b"
    assert "a is" in route.reason
    assert "5 times the price" in route.reason
    local = fit_router(table(local=True, costs=costs), n_neighbors=30, budget=4.0)
    prompts = table(local=True).prompts
    assert costs[local.choose(prompts)].mean() <= 4.0
    assert fit_router(table(costs=costs), budget=10.0).route().model == "a"


def test_impossible_budgets_are_refused():
    with pytest.raises(ConfigError, match=r"`budget` must be >= 1, the cheapest model, got 0\.5"):
        fit_router(table(costs=np.array([3.0, 1.0, 2.0, 2.0])), budget=0.5)
    with pytest.raises(NotEnoughDataError, match="The models have no costs"):
        fit_router(table(), budget=1.0)


@pytest.mark.parametrize("labels", [0, 100])
@pytest.mark.parametrize("k", [None, 15])
def test_a_saved_router_decides_the_same(tmp_path, labels, k):
    costs = np.array([4.0, 3.0, 2.0, 1.0])
    data = table(local=True, labels=labels, costs=costs)
    router = fit_router(
        AnswerTable(**{**vars(data), "prompts": data.prompts.astype(np.float32)}), n_neighbors=k, budget=3.5
    )
    save_router(tmp_path / "r.nilo", router)
    again = load_router(tmp_path / "r.nilo")
    for prompt in ([0.0, 0.0], [5.0, 5.0], [2.0, 3.0]):
        assert again.route(prompt) == router.route(prompt)


def test_other_files_are_no_routers(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    (tmp_path / "text").write_text("no")
    with pytest.raises(IncompatibleModelError, match="not a router file"):
        load_router(tmp_path / "text")
    pq.write_table(pa.table({"a": [1]}), tmp_path / "table")
    with pytest.raises(IncompatibleModelError, match="Make one with `nilometer route fit`"):
        load_router(tmp_path / "table")


def test_prompts_that_do_not_fit_are_refused():
    router = fit_router(table(), n_neighbors=5)
    with pytest.raises(ValueError, match="`prompt_embedding` must be given"):
        router.route()
    with pytest.raises(ValueError, match=r"`prompts` must be finite \(prompts, 2\)"):
        router.route([np.nan, 0.0])
    with pytest.raises(ValueError, match=r"`prompts` must be finite \(prompts, 2\)"):
        router.route([0.0, 0.0, 0.0])


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"models": ("a", "b")}, "`embeddings` must be"),
        ({"scores": np.zeros((2, 4))}, "`scores` must be"),
        ({"costs": np.array([1.0, -1.0, 0.0, 0.0])}, "`costs` must be finite numbers >= 0"),
        ({"costs": np.array([1.0, np.nan, 0.0, 0.0])}, "`costs` must be finite numbers >= 0"),
        ({"prompts": np.zeros((2, 2))}, "`prompts` must be"),
        ({"groups": np.zeros(3)}, "`groups` must be"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(changes, text):
    with pytest.raises(ValueError, match=text):
        AnswerTable(**{**vars(table()), **changes})


def test_policies_hold_the_singles_the_route_and_cascades():
    costs = np.array([10.0, 3.0, 2.0, 1.0])
    data = table(labels=300, costs=costs)
    points = {point.name: point for point in policy_points(fit_router(data), data)}
    assert points["a"].quality == pytest.approx(data.scores[:, 0].mean())
    assert points["route, one call"].quality == points["a"].quality
    assert points["oracle"].quality >= max(p.quality for p in points.values())
    assert points["nearest to the others"].cost == pytest.approx(16.0)
    cascades = [p for p in points.values() if p.kind == "cascade"]
    assert len(cascades) > 3
    assert all(3.0 <= p.cost <= 16.0 for p in cascades)


def test_policies_need_labels_and_the_same_models():
    data = table(labels=50)
    with pytest.raises(NotEnoughDataError, match="0 prompts have labels for all answers"):
        policy_points(fit_router(data), table())
    other = AnswerTable(models=("x", "b", "c", "d"), embeddings=data.embeddings, scores=data.scores)
    with pytest.raises(ValueError, match="`table` must hold the models"):
        policy_points(fit_router(data), other)


def test_a_router_file_of_a_newer_version_is_refused(tmp_path):
    import pyarrow.parquet as pq

    save_router(tmp_path / "r.nilo", fit_router(table()))
    saved = pq.read_table(tmp_path / "r.nilo")
    head = saved.schema.metadata
    newer = {key: re.sub(rb'"file_version":\d+', b'"file_version":99', text) for key, text in head.items()}
    pq.write_table(saved.replace_schema_metadata(newer), tmp_path / "r.nilo")
    with pytest.raises(IncompatibleModelError, match=r"file version must be <= \d+, got 99\. Update nilometer"):
        load_router(tmp_path / "r.nilo")


def independent(accuracies, *, n=1000, n_choices=4, seed=0):
    """Scores and answers of models that are right independently; wrong answers are uniform."""
    rng = np.random.default_rng(seed)
    scores = rng.random((n, len(accuracies))) < accuracies
    return scores.astype(float), np.where(scores, 0, rng.integers(1, n_choices, scores.shape))


def test_every_budget_gets_the_best_model_that_it_affords():
    costs, accuracies = np.array([1.0, 5.0, 10.0, 4.0]), np.array([0.49, 0.6, 0.9, 0.55])
    scores, answers = independent(accuracies, n=2000)
    table = AnswerTable(
        models=("A", "B", "C", "D"), embeddings=answer_embeddings(answers.tolist()), scores=scores, costs=costs
    )
    router = fit_router(table)
    for budget, best in ((1, "A"), (2, "A"), (4, "D"), (4.5, "D"), (5, "B"), (9.9, "B"), (10, "C")):
        assert router.for_budget(budget).route().model == best


@given(st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_no_affordable_model_is_better_by_the_routers_own_estimate(seed):
    rng = np.random.default_rng(seed)
    scores, answers = independent(rng.uniform(0.3, 0.9, 5), n=200, seed=seed)
    costs = rng.uniform(1, 10, 5)
    embeddings = answer_embeddings(answers.tolist())
    router = fit_router(AnswerTable(models=tuple("abcde"), embeddings=embeddings, scores=scores, costs=costs))
    budget = float(rng.uniform(costs.min(), 10))
    chosen = router.for_budget(budget).route()
    quality = router.overall()[0][0]
    assert chosen.expected_quality == pytest.approx(quality[costs <= budget].max())


def test_new_prompts_stay_within_the_budget_and_use_it():
    rng = np.random.default_rng(0)
    prompts = rng.normal(size=(400, 4))
    strong = np.where(prompts[:, :1] > 0, 0.1, 2.0) * np.ones((1, 3))
    errors = np.concatenate([np.full((400, 1), 0.2), strong[:, :1], np.full((400, 1), 1.0)], axis=1)
    answers = rng.normal(size=(400, 3, 6)) * errors[:, :, None]
    table = AnswerTable(
        models=("good", "mixed", "cheap"), embeddings=answers, prompts=prompts, costs=np.array([5.0, 2.0, 1.0])
    )
    router = fit_router(table, n_neighbors=20).for_budget(3.0)
    pace, spent = start_pace(router), []
    for prompt in rng.normal(size=(300, 4)) + 1.0:
        route, pace = route_paced(router, prompt, pace)
        spent.append(float(table.costs[table.models.index(route.model)]))
        assert pace.spent <= 3.0 * pace.n_prompts + 1e-9
    assert pace.spent == pytest.approx(sum(spent))
    with pytest.raises(ConfigError, match="must have a budget"):
        start_pace(fit_router(table, n_neighbors=20))
    with pytest.raises(ConfigError, match="must have a budget"):
        route_paced(fit_router(table, n_neighbors=20), prompts[0], pace)


def test_a_router_file_names_its_embedder_and_budget(tmp_path):
    scores, answers = independent([0.5, 0.6, 0.7])
    table = AnswerTable(
        models=("a", "b", "c"), embeddings=answer_embeddings(answers.tolist()), scores=scores, costs=np.arange(1.0, 4.0)
    )
    router = replace(fit_router(table, budget=2.0), embedder="openai:http://x", embedder_model="m")
    save_router(tmp_path / "r.nilo", router)
    read = load_router(tmp_path / "r.nilo")
    assert (read.embedder, read.embedder_model, read.budget) == ("openai:http://x", "m", 2.0)
    assert read.route().model == router.route().model == "b"


@pytest.mark.parametrize(
    ("costs", "text"),
    [([2.0, 1.0, 3.0, 4.0], "better for 2 times the price"), ([2.0, 0.0, 3.0, 4.0], "better for a higher price")],
)
def test_the_price_beside_a_free_model_is_no_factor(costs, text):
    router = replace(fit_router(table(labels=300, costs=np.array(costs))), cost_weight=10.0)
    assert router.route().model == "b"
    assert text in router.route().reason


def test_a_prompt_is_labelled_where_every_answer_given_has_a_label():
    x = np.ones((4, 3, 1))
    x[1, 2] = x[3, 1:] = np.nan
    scores = np.array([[1.0, 0.0, np.nan], [1.0, 0.0, np.nan], [1.0, 0.0, 1.0], [1.0, np.nan, np.nan]])
    one = AnswerTable(models=MODELS[:3], embeddings=x, prompts=np.zeros((4, 2)), scores=scores)
    assert one.labelled.tolist() == [False, True, True, False]


def test_the_most_confident_answer_is_a_policy_where_confidence_is_known():
    one = table(labels=300, costs=np.array([1.0, 2.0, 3.0, 4.0]))
    confidence = np.where(one.scores > 0, 0.9, 0.1)
    confidence[:, 0] = np.nan
    points = {p.name: p for p in policy_points(fit_router(one), replace(one, confidence=confidence))}
    assert points["most confident"].quality == pytest.approx(one.scores[:, 1:].max(axis=1).mean())
    assert points["most confident"].cost == pytest.approx(10.0)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 1.0])
def test_model_gets_its_share_of_the_prompts_on_which_it_is_furthest_ahead(share, tmp_path):
    made = table(local=True)
    router = fit_router(made, n_neighbors=20).for_share("d", share)
    chosen = router.choose(made.prompts) == 3
    assert chosen.sum() == round(share * 300)
    if 0 < share <= 0.5:
        assert chosen[:150].sum() == 0  # d is the best in the second half alone
    save_router(tmp_path / "r.nilo", router)
    assert (load_router(tmp_path / "r.nilo").choose(made.prompts) == 3).tolist() == chosen.tolist()


def test_share_needs_a_known_model_a_share_and_prompts_that_differ():
    router = fit_router(table(), n_neighbors=20)
    with pytest.raises(ConfigError, match="`model` must be one of a, b, c, d, got 'e'"):
        router.for_share("e", 0.5)
    with pytest.raises(ValueError, match=re.escape("`share` must lie in [0, 1], got 1.5.")):
        router.for_share("a", 1.5)
    with pytest.raises(ConfigError, match="looks at the prompts"):
        fit_router(table()).for_share("a", 0.5)


def test_model_can_be_dropped_without_a_fit(tmp_path):
    router = fit_router(table()).without("a")
    assert router.route().model == "b"
    save_router(tmp_path / "r.nilo", router)
    assert load_router(tmp_path / "r.nilo").route().model == "b"
    assert router.without("b", "c").route().model == "d"
    with pytest.raises(ConfigError, match="at least one model"):
        router.without("b", "c", "d")
    with pytest.raises(ConfigError, match="got 'x'"):
        router.without("x")


def test_model_that_may_not_be_called_is_not_called_within_a_budget():
    costs = np.array([1.0, 2.0, 3.0, 4.0])
    router = fit_router(table(costs=costs)).for_budget(1.5).without("a")
    assert router.route().model == "b"  # the cheapest of those left, though above the budget
    route, pace = route_paced(router, None, start_pace(router))
    assert (route.model, pace.spent) == ("b", 2.0)


def test_votes_count_log_odds_and_models_below_one_half_nothing():
    rng = np.random.default_rng(0)
    right = (rng.random((2000, 3)) < [0.9, 0.7, 0.3]).astype(float)
    made = AnswerTable(models=("a", "b", "c"), embeddings=rng.normal(size=(2000, 3, 2)), scores=right)
    weights = fit_router(made).vote_weights
    assert weights == pytest.approx([np.log(9), np.log(7 / 3), 0.0], abs=0.3)
    assert weights[2] == 0.0


def test_router_works_without_neighbours_for_prompts_that_cannot_be_embedded():
    router = fit_router(table(local=True), n_neighbors=20)
    assert router.without_neighbors().route() == replace(router.without_neighbors()).route()
    assert router.without_neighbors().route().expected_quality == pytest.approx(
        -router.smoothie.errors_[router.models.index(router.without_neighbors().route().model)]
    )


def test_router_is_imported_without_pandas_and_asked_without_scikit_learn(tmp_path):
    """That pyarrow loads pandas to turn a column into numbers, where it is installed, is not ours to change."""
    save_router(tmp_path / "r.nilo", fit_router(table(labels=50), n_neighbors=20))
    code = (
        "import sys; from nilometer.decisions import load_router; "
        "print([name for name in ('pandas', 'sklearn') if name in sys.modules]); "
        f"load_router({str(tmp_path / 'r.nilo')!r}).route([0.0, 0.0]); "
        "print([name for name in ('sklearn',) if name in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.split() == ["[]", "[]"]


def test_two_models_are_told_apart_by_labels_alone(tmp_path):
    whole = table(n=200, labels=60, costs=np.array([4.0, 1.0, 1.0, 1.0]))
    two = AnswerTable(
        models=("a", "d"),
        embeddings=whole.embeddings[:, [0, 3]],
        scores=whole.scores[:, [0, 3]],
        costs=np.array([4.0, 1.0]),
    )
    router = fit_router(two)
    right = two.scores[:60].mean(axis=0)
    assert router.route().model == "a"
    assert router.route().expected_quality == pytest.approx(right[0], abs=0.05)
    assert router.smoothie.errors_[0] == router.smoothie.errors_[1]
    assert router.for_budget(2.0).route().model == "d"
    save_router(tmp_path / "r.nilo", router)
    assert load_router(tmp_path / "r.nilo").route() == router.route()
    with pytest.raises(NotEnoughDataError, match="three models"):
        fit_router(replace(two, scores=None))
