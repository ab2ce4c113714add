import numpy as np
import pyarrow as pa
import pytest
from sklearn.base import clone

from nilometer.errors import IncompatibleModelError, NotEnoughDataError
from nilometer.estimators import (
    LABEL_FREE,
    Estimate,
    NotEnoughData,
    Residuals,
    Sentinel,
    as_responses,
    fit_residuals,
    fit_threshold,
    load_sentinel,
    prediction_interval,
    save_sentinel,
    thresholded_accuracy,
)
from nilometer.estimators.accuracy.rules.rule import target_scores


def _traffic(n_slices=6, n=60, seed=0):
    rng = np.random.default_rng(seed)
    hardness = np.repeat(np.linspace(0.2, 1.2, n_slices), n)
    entropy = rng.gamma(2.0, hardness)
    table = pa.table({"max": entropy, "se_sum": 2 * entropy, "nll_sum": entropy + rng.random(len(entropy))})
    return table, (rng.random(len(entropy)) < np.exp(-entropy)).astype(float), np.round(hardness, 3).astype(str)


@pytest.mark.parametrize("digits", [1, 12])
def test_threshold_reproduces_the_labelled_accuracy_also_with_ties(digits):
    rng = np.random.default_rng(1)
    score = np.round(rng.random(200), digits)
    correct = (rng.random(200) < score).astype(float)
    assert thresholded_accuracy(score, fit_threshold(score, correct)) == pytest.approx(correct.mean())


def test_threshold_by_hand():
    threshold = fit_threshold(np.array([1.0, 2.0, 3.0, 4.0]), np.array([1.0, 1.0, 0.0, 0.0]))
    assert threshold.sign == -1
    assert thresholded_accuracy(np.array([0.5, 2.5, 5.0, 6.0]), threshold) == 0.5


def test_threshold_refuses_nan():
    with pytest.raises(ValueError, match="`score` must hold at least one number and no NaN"):
        fit_threshold(np.array([np.nan]), np.array([1.0]))


def test_prediction_interval_covers_a_new_slice():
    rng = np.random.default_rng(2)
    hits, trials, k, n = 0, 600, 8, 200
    for _ in range(trials):
        estimated = rng.uniform(0.2, 0.8, k + 1)
        true = np.clip(estimated + np.sqrt(estimated * (1 - estimated) + 0.1) * rng.normal(0.03, 0.2, k + 1), 0, 1)
        realized = rng.binomial(n, true) / n
        residuals = fit_residuals(estimated[:k], realized[:k], np.full(k, float(n)))
        low, high = prediction_interval(estimated[k], residuals, n=n, confidence_level=0.9)
        hits += low <= realized[k] <= high
    # binomial standard error of .9 in 600 trials is .012; a bias counted as spread errs on the safe side
    assert 0.86 <= hits / trials <= 0.96


def test_interval_holds_its_estimate_and_grows_with_the_level():
    residuals = Residuals(6, 0.1, 0.2, 0.01, 5.0)
    narrow = prediction_interval(0.3, residuals, n=100, confidence_level=0.5)
    wide = prediction_interval(0.3, residuals, n=100, confidence_level=0.99)
    assert narrow[0] <= 0.3 <= narrow[1]
    assert wide[1] >= narrow[1]


def test_interval_needs_enough_slices():
    with pytest.raises(ValueError, match="`residuals` must come from >= 4 families, got 3"):
        prediction_interval(0.5, Residuals(3, 0.0, 0.5, 0.01, 2.0), n=10)


def test_left_out_slice_is_estimated_without_its_own_labels():
    X, y, groups = _traffic()
    changed = np.where(groups == "0.2", 1 - y, y)
    first = Sentinel().fit(X, y, groups=groups).estimate(X, groups, left_out=True)[0]
    second = Sentinel().fit(X, changed, groups=groups).estimate(X, groups, left_out=True)[0]
    assert first.slice == "0.2"
    assert first.accuracy == second.accuracy


def test_estimates_follow_difficulty():
    X, y, groups = _traffic()
    accuracies = [e.accuracy for e in Sentinel().fit(X, y, groups=groups).estimate(X, groups)]
    assert np.corrcoef(accuracies, np.arange(6))[0, 1] < -0.9


@pytest.mark.parametrize(
    "parameters", [{}, {"method": "constant"}, {"method": "pcc", "classifier": "logistic", "features": 3}]
)
def test_saved_sentinel_gives_the_same_estimates(tmp_path, parameters):
    X, y, groups = _traffic()
    sentinel = Sentinel(**parameters).fit(X, y, groups=groups)
    save_sentinel(tmp_path / "s.nilo", sentinel)
    assert load_sentinel(tmp_path / "s.nilo").estimate(X) == sentinel.estimate(X)


def test_clone_keeps_the_parameters():
    assert clone(Sentinel.paper(random_state=7)).get_params() == Sentinel.paper(random_state=7).get_params()


def test_one_labelled_slice_gives_no_interval_for_another():
    X, y, _ = _traffic()
    sentinel = Sentinel().fit(X, y)
    for unknown in (sentinel.estimate(X, left_out=True)[0], sentinel.estimate(X, np.repeat("new", len(y)))[0]):
        assert isinstance(unknown, NotEnoughData)
        assert "4 other labelled slices" in unknown.reason


def _only(entropy):
    return pa.table({"max": entropy, "se_sum": 2 * entropy, "nll_sum": entropy})


def test_weighted_threshold_equals_repeated_responses():
    rng = np.random.default_rng(5)
    score, correct, times = np.round(rng.random(40), 1), (rng.random(40) < 0.6) * 1.0, rng.integers(1, 5, 40)
    weighted = fit_threshold(score, correct, weights=times.astype(float))
    repeated = fit_threshold(np.repeat(score, times), np.repeat(correct, times))
    assert weighted == pytest.approx(repeated)


def test_slice_surer_than_the_labelled_ones_is_marked_and_widened():
    X, y, groups = _traffic()
    sentinel = Sentinel().fit(X, y, groups=groups)
    lowest = min(np.median(X["max"].to_numpy()[groups == name]) for name in set(groups.tolist()))
    sure = np.full(50, 0.25 * lowest)
    strange = sentinel.estimate(pa.table({"max": sure, "se_sum": 2 * sure, "nll_sum": sure + 0.5}))[0]
    assert isinstance(strange, Estimate)
    assert not strange.in_support
    assert "below every labelled slice; interval widened" in strange.note


def test_slice_surer_than_every_labelled_response_is_refused_and_the_labels_that_help_are_named():
    X, y, groups = _traffic()
    sure = (X["max"].to_numpy() > 0.1) & (X["nll_sum"].to_numpy() > 0.1)
    row = Sentinel().fit(X.filter(sure), y[sure], groups=groups[sure]).estimate(_only(np.full(50, 0.01)))[0]
    assert isinstance(row, NotEnoughData)
    assert "100% of the responses are surer than every labelled one" in row.reason
    assert row.needed == "Label slices whose median max is near 0.01, or 30 responses of this one."


@pytest.mark.parametrize("entropy", [4.0, 40.0])
def test_slice_less_sure_than_the_labelled_ones_is_estimated_near_zero(entropy):
    X, y, groups = _traffic()
    row = Sentinel().fit(X, y, groups=groups).estimate(_only(np.full(50, entropy)))[0]
    assert row.in_support
    assert row.accuracy < 0.05


def test_slice_without_logprobs_is_unknown():
    X, y, groups = _traffic()
    row = Sentinel().fit(X, y, groups=groups).estimate(_only(np.full(5, np.nan)))[0]
    assert isinstance(row, NotEnoughData)
    assert "have no log-probabilities" in row.reason


def test_data_without_alternatives_falls_back_to_the_answer_probability():
    X, y, groups = _traffic()
    X = X.set_column(0, "max", pa.array(np.full(len(y), np.nan)))
    sentinel = Sentinel().fit(X, y, groups=groups)
    assert sentinel.feature_ == "nll_sum"
    assert sentinel.dropped_features_ == ("nll_avg", "max", "tail_mass_max")
    assert Sentinel(method="atc").fit(X, y, groups=groups).notes_[0] == "no response has 'max', so 'nll_sum' is used"


def test_labels_of_one_kind_are_refused():
    X, y, groups = _traffic()
    with pytest.raises(NotEnoughDataError, match="all 360 labels are correct"):
        Sentinel().fit(X, np.ones_like(y), groups=groups)


def test_few_labels_are_refused():
    X, y, _ = _traffic()
    y[5:] = np.nan
    with pytest.raises(NotEnoughDataError, match="5 labels are not enough"):
        Sentinel().fit(X, y)


def test_another_k_is_refused():
    X, y, groups = _traffic()
    twenty = X.append_column("k", pa.array(np.full(len(y), 20)))
    five = X.append_column("k", pa.array(np.full(len(y), 5)))
    sentinel = Sentinel().fit(twenty, y, groups=groups)
    with pytest.raises(IncompatibleModelError, match="`k` must be 20"):
        sentinel.estimate(five)


def _two_levels(rng, n_families=8, n_slices=4, n=400):
    """Estimates and realised accuracies of slices whose families err together, and one slice of a new family."""
    families = np.repeat(np.arange(n_families), n_slices)
    shared = rng.normal(0, 0.2, n_families + 1)
    estimated = rng.uniform(0.25, 0.75, families.size + 1)
    error = np.append(shared[families], shared[-1]) + rng.normal(0, 0.08, families.size + 1)
    true = np.clip(estimated + np.sqrt(estimated * (1 - estimated) + 0.1) * error, 0, 1)
    return estimated, rng.binomial(n, true) / n, np.full(families.size, n), families


def test_interval_covers_a_new_family_only_if_families_are_left_out_whole():
    rng = np.random.default_rng(5)
    hits, trials = {"families": 0, "slices": 0}, 500
    for _ in range(trials):
        estimated, realized, n, families = _two_levels(rng)
        for name, units in (("families", families), ("slices", None)):
            residuals = fit_residuals(estimated[:-1], realized[:-1], n, families=units)
            low, high = prediction_interval(estimated[-1], residuals, n=400, confidence_level=0.9)
            hits[name] += low <= realized[-1] <= high
    # binomial standard error of .9 in 500 trials is .013
    assert 0.86 <= hits["families"] / trials <= 0.94
    assert hits["slices"] < hits["families"]


def test_mean_square_of_a_new_family_by_hand():
    # in units of sqrt(.25 + .1): families {-.3, .3} and {.3, .5} around estimates of .5
    unit = np.sqrt(0.35)
    realized = 0.5 + unit * np.array([-0.3, 0.3, 0.3, 0.5])
    got = fit_residuals(np.full(4, 0.5), realized, np.full(4, 100), families=np.array(["a", "a", "b", "b"]))
    assert got.n_families == 2
    assert got.degrees == 1
    assert got.bias == pytest.approx(0.2)
    between, inside = 0.08, (0.18 + 0.02) / 2
    assert got.spread**2 == pytest.approx(0.2**2 + between + inside * (1 - 0.5))


def test_left_out_rule_never_sees_its_family():
    table, correct, names = _traffic(n_slices=10)
    families = np.repeat(["a", "b", "c", "d", "e"], 120)
    sentinel = Sentinel().fit(table, correct, groups=names, families=families)
    changed = np.where(families == "a", 1 - correct, correct)
    again = Sentinel().fit(table, changed, groups=names, families=families)
    first = names[0]
    one, other = (fitted.left_out_[first] for fitted in (sentinel, again))
    assert one.estimated == other.estimated
    moved, still = (fitted.estimate(table, by=names, left_out=True)[0].accuracy for fitted in (sentinel, again))
    assert moved == pytest.approx(still, abs=0.02)  # the slope rests on rules of other families, which saw this one


def test_slice_in_two_families_is_refused_and_few_families_give_no_interval():
    table, correct, names = _traffic()
    with pytest.raises(ValueError, match="`families` must give every slice one family"):
        Sentinel().fit(table, correct, groups=names, families=np.arange(len(correct)) % 2)
    halves = np.repeat(["a", "b", "c"], 120)
    result = Sentinel().fit(table, correct, groups=names, families=halves).estimate(table.slice(0, 60))[0]
    assert isinstance(result, NotEnoughData)
    assert "needs 4 other labelled families of slices, there are 3" in result.reason


def _surely(X, y, groups):
    sure = (X["max"].to_numpy() > 0.1) & (X["nll_sum"].to_numpy() > 0.1)
    return Sentinel(bootstraps=0).fit(X.filter(sure), y[sure], groups=groups[sure])


def _mixed(*, n_sure, n=60):
    """Entropies of a usual slice, ``n_sure`` of them below all that was labelled."""
    values = np.full(n, 1.0)
    values[:n_sure] = 0.01
    return _only(values)


def test_a_tenth_of_the_responses_may_be_surer_than_the_labelled_ones_and_no_more():
    sentinel = _surely(*_traffic())
    assert sentinel.estimate(_mixed(n_sure=6))[0].in_support
    beyond = sentinel.estimate(_mixed(n_sure=7))[0]
    assert not beyond.in_support
    assert "12% of max is below every labelled response; interval widened" in beyond.note


def test_outside_the_labelled_slices_the_spread_is_half_as_large_again():
    sentinel = _surely(*_traffic())
    row = sentinel.estimate(_mixed(n_sure=7))[0]
    residuals = sentinel.residuals_
    wide = residuals._replace(spread=1.5 * residuals.spread)
    assert not row.in_support
    assert (row.low, row.high) == pytest.approx(prediction_interval(row.accuracy, wide, n=60))
    assert row.high - row.low > np.ptp(prediction_interval(row.accuracy, residuals, n=60))


def _halves(seed=1):
    X, y, groups = _traffic(n=120, seed=seed)
    labelled = np.arange(len(y)) % 2 == 0
    sentinel = Sentinel(bootstraps=0).fit(X.filter(labelled), y[labelled], groups=groups[labelled])
    return sentinel, X.filter(~labelled), y[~labelled], groups[~labelled]


def test_new_traffic_of_a_labelled_slice_is_estimated_by_its_own_labels():
    sentinel, X, y, groups = _halves()
    for row in sentinel.estimate(X, groups):
        assert row.method == "own labels"
        assert row.low <= y[groups == row.slice].mean() <= row.high


def test_one_slice_with_labels_is_enough_for_its_own_traffic():
    X, y, _ = _traffic()
    row = Sentinel().fit(X, y).estimate(X)[0]
    assert row.accuracy == pytest.approx(y.mean(), abs=0.02)


def test_labels_narrow_the_interval_of_their_slice():
    sentinel, X, _, groups = _halves()
    for own, rule in zip(sentinel.estimate(X, groups), sentinel.estimate(X, groups, left_out=True), strict=True):
        assert own.high - own.low < rule.high - rule.low


def test_fewer_than_five_labels_are_not_a_slices_own():
    X, y, groups = _traffic()
    few = (groups != groups[0]) | (np.cumsum(groups == groups[0]) <= 4)
    row = Sentinel(bootstraps=0).fit(X.filter(few), y[few], groups=groups[few]).estimate(X, groups)[0]
    assert row.slice == groups[0]
    assert row.method.startswith("combined")


def test_labels_of_another_model_are_not_a_slices_own():
    sentinel, X, _, groups = _halves()
    other = X.append_column("model", pa.array(["other"] * len(groups)))
    labelled = Sentinel(bootstraps=0)
    X0, y0, groups0 = _traffic()
    labelled.fit(X0.append_column("model", pa.array(["one"] * len(y0))), y0, groups=groups0)
    assert {row.method for row in labelled.estimate(other, groups)} == {"combined[monotone]"}
    assert {row.method for row in sentinel.estimate(X, groups)} == {"own labels"}


def test_sums_of_batches_give_the_same_estimates_by_own_labels_and_of_spread_families():
    sentinel, X, _, groups = _halves()
    names = np.where(np.isin(groups, np.unique(groups)[:3]), groups, np.char.add("new ", groups))
    families = np.where(np.isin(groups, np.unique(groups)[:3]), names, "new")
    whole = sentinel.estimate(X, names, families=families)
    cut = np.random.default_rng(0).random(len(names)) < 0.3
    parts = sentinel.sum_up(X.filter(cut), names[cut]) + sentinel.sum_up(X.filter(~cut), names[~cut])
    summed = sentinel.finish(parts, families=dict(zip(names.tolist(), families.tolist(), strict=True)))
    assert {row.method for row in whole} == {"own labels", "combined[monotone]"}
    for one, other in zip(whole, summed, strict=True):
        assert (one.accuracy, one.low, one.high) == pytest.approx((other.accuracy, other.low, other.high), abs=1e-12)


def test_slices_of_an_unlabelled_family_are_spread_by_the_learned_slope():
    rng = np.random.default_rng(0)
    hardness = np.repeat(np.tile(np.linspace(0.2, 2.0, 5), 8), 60)
    task, level = np.repeat(np.arange(8), 300), np.tile(np.repeat(np.arange(5), 60), 8)
    entropy = rng.gamma(2.0, hardness**0.5)
    X = pa.table({"max": entropy})
    y = (rng.random(2400) < 1 / (1 + np.exp(3 * (hardness - 1)))).astype(float)
    names = np.char.add(np.char.add(task.astype(str), "/"), level.astype(str))
    seen = task < 6
    sentinel = Sentinel(bootstraps=0).fit(X.filter(seen), y[seen], groups=names[seen], families=task[seen])
    new = [X.filter(~seen), names[~seen]]
    alone, together = sentinel.estimate(*new), sentinel.estimate(*new, families=task[~seen])
    real = np.array([y[names == row.slice].mean() for row in together])
    errors = [np.abs(np.array([row.accuracy for row in rows]) - real).mean() for rows in (alone, together)]
    assert errors[1] < 0.9 * errors[0]


def test_a_slice_in_two_families_is_refused():
    sentinel, X, _, groups = _halves()
    with pytest.raises(ValueError, match="must give every slice one family, got several for"):
        sentinel.estimate(X, groups, families=np.arange(len(groups)) % 2)


@pytest.mark.parametrize("method", ["sld", "pacc", "halfway", "weighted", "profile"])
def test_methods_that_do_not_add_up_read_the_responses_of_each_slice(method):
    X, y, groups = _traffic()
    sentinel = Sentinel(method=method, bootstraps=0).fit(X, y, groups=groups)
    name = groups[0]
    own = groups == name
    rule = sentinel.fitted_.rule_for(name)
    target = target_scores(rule, as_responses(X.filter(pa.array(own)), groups[own]).profiles)
    wanted = LABEL_FREE[method].estimate(rule.source, target)
    assert sentinel.estimate(X, by=groups)[0].accuracy == pytest.approx(wanted, abs=1e-12)
    assert wanted != pytest.approx(rule.accuracy, abs=1e-3)
