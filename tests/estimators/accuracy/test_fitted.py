import numpy as np
import pyarrow as pa
import pytest
from scipy.stats import ttest_1samp
from sklearn.base import clone

from nilometer.errors import NotEnoughDataError
from nilometer.estimators import (
    Estimate,
    NotEnoughData,
    Residuals,
    Sentinel,
    left_out_probabilities,
    load_sentinel,
    save_sentinel,
)
from nilometer.estimators.accuracy.left_out import LeftOutColumns, fit_skill, left_out_residuals
from nilometer.estimators.accuracy.rules.classifier import FEATURE_SETS, Recipe, fit_classifier
from nilometer.estimators.accuracy.rules.label_free import sequence_evidence, sequence_weight
from nilometer.estimators.accuracy.rules.rule import target_scores
from nilometer.signals import FEATURE_NAMES


def _traffic(n_slices=8, n=60, seed=0, signal=True):
    rng = np.random.default_rng(seed)
    hardness = np.repeat(np.linspace(0.2, 1.6, n_slices), n)
    entropy = rng.gamma(2.0, hardness)
    table = pa.table({"max": entropy, "se_sum": 2 * entropy, "nll_sum": entropy + rng.random(len(entropy))})
    right = np.exp(-entropy) if signal else np.repeat(rng.permutation(np.linspace(0.1, 0.9, n_slices)), n)
    return table, (rng.random(len(entropy)) < right).astype(float), np.round(hardness, 3).astype(str)


def test_skill_by_hand():
    columns = LeftOutColumns(
        np.array(["a", "a", "b"]),
        np.array([0.0, 0.0, 1.0]),
        np.array([0.5, 0.7, 0.2]),
        np.array([0.6, 0.6, 0.2]),
        np.full(3, 50.0),
        np.full(3, 0.4),
        np.array([0.6, 0.6, 0.4]),
    )
    skill = fit_skill(columns)
    assert skill.over_constant.error == pytest.approx((0.1 + 0) / 2)
    assert skill.over_constant.gain == pytest.approx((0.1 + 0.2) / 2)
    assert skill.over_atc.gain == pytest.approx((-0.1 + 0.2) / 2)
    # t of one degree of freedom is 12.706, the standard error of the two gains .1 and .2 is .05
    assert skill.over_constant.high - skill.over_constant.gain == pytest.approx(12.706 * 0.05, abs=1e-3)


def test_skill_of_real_signal_is_positive_and_said_in_words():
    X, y, groups = _traffic()
    sentinel = Sentinel().fit(X, y, groups=groups)
    assert sentinel.skill_.over_constant.low > 0
    assert not sentinel.falls_back_
    assert any("on 8 left-out families the estimates were off by" in note for note in sentinel.notes_)


def test_without_skill_every_slice_gets_the_labelled_accuracy_and_its_wide_interval():
    X, y, groups = _traffic(signal=False, seed=35)
    sentinel = Sentinel().fit(X, y, groups=groups)
    assert sentinel.falls_back_
    assert "no skill, so every slice gets the labelled accuracy" in sentinel.notes_[0]
    row = sentinel.estimate(X)[0]
    assert row.method == "constant"
    assert row.accuracy == pytest.approx(y.mean())
    assert row.high - row.low > 0.6


def test_a_loss_within_two_standard_errors_is_noise_and_keeps_the_estimates():
    X, y, groups = _traffic(signal=False, seed=3)
    sentinel = Sentinel().fit(X, y, groups=groups)
    gain = sentinel.skill_.over_constant
    assert gain.gain < 0 < gain.gain + 2 * gain.standard_error
    assert not sentinel.falls_back_


@pytest.mark.parametrize("signal", [False, True])
def test_interval_counts_the_estimate_that_was_not_chosen_by_the_chance_that_both_are_alike(signal):
    X, y, groups = _traffic(signal=signal, seed=0 if signal else 35)
    sentinel = Sentinel().fit(X, y, groups=groups)
    columns = sentinel.fitted_.columns
    own, other = (left_out_residuals(columns, constant=constant) for constant in (not signal, signal))
    gains = np.abs(columns.constant - columns.realized) - np.abs(columns.estimated - columns.realized)
    alike = ttest_1samp(gains, 0).pvalue
    wanted = (1 - alike) * own.spread**2 + alike * other.spread**2
    assert sentinel.residuals_.spread**2 == pytest.approx(max(wanted, own.spread**2))


def test_only_the_default_falls_back():
    X, y, groups = _traffic(signal=False)
    sentinel = Sentinel(method="pcc").fit(X, y, groups=groups)
    assert not sentinel.falls_back_
    assert sentinel.estimate(X)[0].method == "pcc[monotone]"


def test_families_weigh_equally():
    X, y, groups = _traffic()
    rows = np.concatenate([np.arange(480), np.tile(np.arange(60), 20)])
    heavy = Sentinel(method="constant").fit(X.take(rows), y[rows], groups=groups[rows])
    assert heavy.estimate(X)[0].accuracy == pytest.approx(y.reshape(8, 60).mean(axis=1).mean())


def test_intervals_that_hold_together_are_wider():
    X, y, groups = _traffic()
    sentinel = Sentinel(confidence_level=0.9).fit(X, y, groups=groups)
    alone, together = sentinel.estimate(X, by=groups), sentinel.estimate(X, by=groups, simultaneous=True)
    for one, other in zip(alone, together, strict=True):
        assert one.accuracy == other.accuracy
        assert other.low <= one.low < one.high <= other.high
    assert any(other.high - other.low > one.high - one.low for one, other in zip(alone, together, strict=True))


def test_few_labels_widen_the_interval():
    X, y, groups = _traffic(n=15)
    with_noise = Sentinel(bootstraps=30).fit(X, y, groups=groups)
    without = Sentinel(bootstraps=0).fit(X, y, groups=groups)
    target = pa.table({name: X[name].to_numpy()[:40] for name in X.column_names})
    one, other = with_noise.estimate(target)[0], without.estimate(target)[0]
    assert one.accuracy == other.accuracy
    assert one.high - one.low > other.high - other.low


def test_other_models_steady_the_interval_and_the_file_keeps_them(tmp_path):
    X, y, groups = _traffic(n_slices=5)
    alone = Sentinel().fit(X, y, groups=groups)
    pool = [alone.residuals_._replace(spread=alone.residuals_.spread * f) for f in (0.9, 1.0, 1.1)]
    pooled = Sentinel(pool=pool).fit(X, y, groups=groups)
    assert pooled.residuals_.degrees > alone.residuals_.degrees
    save_sentinel(tmp_path / "s.nilo", pooled)
    loaded = load_sentinel(tmp_path / "s.nilo")
    assert loaded.estimate(X) == pooled.estimate(X)
    assert isinstance(loaded.pool[0], Residuals)
    assert clone(pooled).get_params()["pool"] == pool


def test_conformal_stands_beside_from_nine_families():
    X, y, groups = _traffic(n_slices=10)
    row = Sentinel(confidence_level=0.9).fit(X, y, groups=groups).estimate(X)[0]
    assert row.conformal_low < row.accuracy < row.conformal_high
    few = Sentinel(confidence_level=0.95).fit(X, y, groups=groups).estimate(X)
    assert few[0].conformal_low is None
    assert few.to_arrow()["conformal_low"].to_pylist() == [None]


def test_truncated_answers_are_a_stratum_of_their_own():
    X, y, groups = _traffic()
    cut = np.arange(len(y)) % 4 == 0
    y = np.where(cut, 0.0, y)
    X = X.append_column("truncated", pa.array(cut.astype(float)))
    sentinel = Sentinel().fit(X, y, groups=groups)
    p = sentinel.predict_proba(X)[:, 1]
    assert p[cut] == pytest.approx(np.full(cut.sum(), 0.5 / (cut.sum() + 1)))
    assert p[~cut].mean() == pytest.approx(y[~cut].mean(), abs=0.02)


@pytest.mark.slow
def test_paper_is_the_mean_probability_of_its_forest_exactly():
    rng = np.random.default_rng(0)
    values = rng.gamma(2.0, 1.0, (240, len(FEATURE_NAMES)))
    y = (rng.random(240) < np.exp(-values[:, 0] / 3)).astype(float)
    groups = np.repeat(["a", "b", "c", "d", "e"], 48)
    sentinel = Sentinel.paper().fit(values, y, groups=groups)
    ten = [FEATURE_NAMES.index(name) for name in FEATURE_SETS[10]]
    forest = fit_classifier(values[:, ten], y.astype(int), Recipe("forest", balanced=True, calibrated=True))
    other = rng.gamma(2.0, 1.0, (50, len(FEATURE_NAMES)))
    assert sentinel.estimate(other)[0].accuracy == forest.predict_proba(other[:, ten])[:, 1].mean()


def test_a_family_with_three_labels_and_a_slice_of_one_response():
    X, y, groups = _traffic()
    y = y.copy()
    y[3:60] = np.nan
    sentinel = Sentinel().fit(X, y, groups=groups)
    one = sentinel.estimate(X.slice(470, 1))[0]
    assert isinstance(one, Estimate)
    assert one.n == 1
    assert one.high - one.low > 0.5


def test_one_family_only_and_mixed_models():
    X, y, groups = _traffic()
    few = Sentinel().fit(X, y, groups=groups, families=np.full(len(y), "only")).estimate(X)[0]
    assert isinstance(few, NotEnoughData)
    assert few.needed == "Label responses of 3 more families of slices."
    mixed = X.append_column("model", pa.array(np.where(np.arange(len(y)) % 2, "a", "b")))
    assert "labelled data mixes model: a, b" in Sentinel().fit(mixed, y, groups=groups).notes_


def test_features_that_do_not_vary():
    _, y, groups = _traffic()
    X = pa.table({"max": np.ones(len(y)), "nll_sum": np.ones(len(y))})
    sentinel = Sentinel().fit(X, y, groups=groups)
    assert "no feature varies, so every slice gets the labelled accuracy" in sentinel.notes_
    assert sentinel.estimate(X)[0].method == "constant"
    with pytest.raises(NotEnoughDataError, match="every feature of the classifier is constant or unknown"):
        Sentinel(method="pcc").fit(X, y, groups=groups)


def _left_out(sentinel):
    return left_out_probabilities(sentinel.labelled_, sentinel.left_out_)


def test_left_out_probabilities_never_see_their_family():
    X, y, groups = _traffic()
    changed = np.where(groups == "0.2", 1 - y, y)
    one, _ = _left_out(Sentinel().fit(X, y, groups=groups))
    other, _ = _left_out(Sentinel().fit(X, changed, groups=groups))
    assert one[:60] == pytest.approx(other[:60])
    assert one[60:] != pytest.approx(other[60:])


@pytest.mark.parametrize("seed", [0, 1])
def test_fitting_is_repeatable_and_leaves_its_input_alone(seed):
    X, y, groups = _traffic(n=20, seed=seed)
    before = X["max"].to_numpy().copy()
    one, other = (Sentinel().fit(X, y, groups=groups).estimate(X, by=groups) for _ in range(2))
    assert one == other
    assert (X["max"].to_numpy() == before).all()


def test_sequence_of_truncated_answers_is_the_accuracy_of_their_stratum():
    rng = np.random.default_rng(4)
    nll, truncated = rng.gamma(2.0, 0.5, 400), np.arange(400) % 4 == 0
    correct = np.where(truncated, np.arange(400) % 8 == 0, rng.random(400) < np.exp(-nll)).astype(float)
    X = pa.table({"nll_sum": nll, "max": nll, "truncated": truncated.astype(float)})
    sentinel = Sentinel().fit(X, correct, groups=np.arange(400) % 5)
    scores = target_scores(sentinel.fitted_.rule, sentinel.labelled_.profiles)
    np.testing.assert_allclose(scores.sequence[truncated], 0.5, atol=0.01)
    np.testing.assert_allclose(scores.sequence[~truncated], np.exp(-nll[~truncated]))


def test_weight_of_the_sequence_rests_on_classifiers_that_never_saw_the_family():
    X, y, groups = _traffic(n_slices=5)
    sentinel = Sentinel(bootstraps=0).fit(X, y, groups=groups)
    evidence = []
    for name in sorted(set(groups.tolist())):
        own = groups == name
        p = Sentinel(bootstraps=0).fit(X.filter(~own), y[~own], groups=groups[~own]).predict_proba(X.filter(own))[:, 1]
        evidence.append(sequence_evidence(np.exp(-X["nll_sum"].to_numpy()[own]), p, y[own]))
    assert sentinel.fitted_.rule.learned.sequence_weight == pytest.approx(sequence_weight(evidence), abs=1e-6)


def test_without_the_probability_of_the_answer_it_has_no_weight():
    X, y, groups = _traffic()
    sentinel = Sentinel(bootstraps=0).fit(X.drop_columns(["nll_sum"]), y, groups=groups)
    assert sentinel.fitted_.rule.learned.sequence_weight == 0


def test_a_slice_without_the_feature_of_the_threshold_gets_the_accuracy_of_the_others():
    X, y, groups = _traffic()
    first = groups == groups[0]
    X = X.append_column("q10", pa.array(np.where(first, np.nan, X["max"].to_numpy())))
    left_out = Sentinel(feature="q10").fit(X, y, groups=groups).fitted_.left_out
    assert left_out[groups[0]].atc == pytest.approx(y[~first].mean())


@pytest.mark.parametrize("classifier", ["forest", "mlp", "logistic"])
@pytest.mark.parametrize("is_balanced", [False, True])
def test_every_classifier_ranks_what_a_line_separates(classifier, is_balanced):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(2000, 2))
    y = (X[:, 0] > 0.8).astype(np.int64)
    chosen = {
        "forest": {"max_depth": 3, "min_samples_split": 2},
        "mlp": {"hidden_layer_sizes": (5,)},
        "logistic": {"C": 2},
    }
    recipe = Recipe(classifier, balanced=is_balanced, calibrated=False, seed=0)
    p = fit_classifier(X, y, recipe, chosen=chosen[classifier]).predict_proba(X)[:, 1]
    assert p[y == 1].mean() > p[y == 0].mean() + 0.1


def test_an_unknown_classifier_is_named():
    with pytest.raises(ValueError, match=r"`classifier` must be one of .*, got 'oracle'"):
        fit_classifier(np.zeros((4, 1)), np.array([0, 0, 1, 1]), Recipe("oracle"))


@pytest.mark.parametrize(("bootstraps", "n_again"), [(0, 0), (1, 0), (2, 2), (3, 3)])
def test_two_fits_on_labels_drawn_again_are_the_fewest_that_show_a_spread(bootstraps, n_again):
    X, y, groups = _traffic()
    assert len(Sentinel(bootstraps=bootstraps).fit(X, y, groups=groups).fitted_.again) == n_again


def test_truncated_answers_have_the_accuracy_of_their_labels_with_half_a_success():
    X, y, groups = _traffic()
    truncated = np.arange(len(y)) % 8 == 0
    X = X.append_column("truncated", pa.array(truncated.astype(float)))
    sentinel = Sentinel(bootstraps=0).fit(X, y, groups=groups)
    wanted = (y[truncated].sum() + 0.5) / (truncated.sum() + 1)
    assert sentinel.fitted_.rule.strata["truncated"] == pytest.approx(wanted)
