from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from nilometer.errors import IncompatibleModelError
from nilometer.estimators import Profiles, Sentinel, as_profiles, load_sentinel, save_sentinel
from nilometer.signals import agreement_column

FAMILIES, EACH = 8, 120
BIG, SMALL = agreement_column("big"), agreement_column("small")


def _data(seed=0, *, seen=None, more=()):
    """Responses whose log-probabilities say little, and a model that mostly agrees with right answers."""
    rng = np.random.default_rng(seed)
    family = np.repeat(np.arange(FAMILIES), EACH)
    correct = (rng.random(family.size) < np.linspace(0.1, 0.9, FAMILIES)[family]) * 1.0
    agrees = (rng.random(family.size) < np.where(correct == 1, 0.95, 0.1)) * 1.0
    if seen is not None:
        agrees[~seen] = np.nan
    columns = {"max": rng.gamma(2.0, 1.2 - 0.3 * correct), "nll_sum": rng.gamma(2.0, 1.2 - 0.3 * correct), BIG: agrees}
    return pa.table(columns | dict(more)), correct, np.char.add("s", family.astype(str))


def _fitted(table, correct, names, *, n=5, **parameters):
    own = np.flatnonzero(np.isin(names, [f"s{i}" for i in (0, 2, 4, 6, 7)][:n]))
    return Sentinel(bootstraps=0, **parameters).fit(table.take(own), correct[own], groups=names[own])


def _errors(estimates, correct, names):
    return [abs(row.accuracy - correct[names == row.slice].mean()) for row in estimates]


def test_second_opinions_halve_the_error_of_new_slices_and_narrow_their_intervals():
    table, correct, names = _data()
    new = np.isin(names, ["s1", "s3", "s5"])
    plain = _fitted(table.drop([BIG]), correct, names).estimate(table.filter(new), names[new])
    told = _fitted(table, correct, names).estimate(table.filter(new), names[new])
    assert sum(_errors(told, correct, names)) < 0.5 * sum(_errors(plain, correct, names))
    assert all(one.high - one.low < 0.7 * (other.high - other.low) for one, other in zip(told, plain, strict=True))
    assert {row.method for row in told} == {"second opinions"}


def test_sampled_opinions_are_carried_by_a_control_variate():
    seen = np.arange(FAMILIES * EACH) % 3 == 0
    table, correct, names = _data(seen=seen)
    sentinel = _fitted(table, correct, names)
    new = np.flatnonzero(names == "s3")
    row = sentinel.estimate(table.take(new), names[new])[0]
    # by the definition: mean of u over the sample, moved by w times the difference of the means of z
    base, second = sentinel.fitted_.rule, sentinel.second_.fitted.rule
    sample = new[seen[new]]
    z_all, z_sample, u_sample = (
        rule.estimate(as_profiles(table.take(rows))) for rule, rows in ((base, new), (base, sample), (second, sample))
    )
    expected = u_sample + sentinel.second_.weight * (z_all - z_sample)
    assert row.accuracy == pytest.approx(expected, abs=1e-12)
    assert row.note == "second opinions on 40 of 120 responses"


def test_a_small_sample_of_opinions_has_a_wider_interval():
    table, correct, names = _data()
    sentinel = _fitted(table, correct, names)
    new = np.flatnonzero(names == "s3")
    few = np.array(table[BIG]).copy()
    few[new[12:]] = np.nan
    sampled = table.set_column(2, BIG, pa.array(few))
    one, other = (sentinel.estimate(part.take(new), names[new])[0] for part in (sampled, table))
    assert one.spread > 1.2 * other.spread


def test_without_opinions_the_estimate_is_that_of_log_probabilities():
    table, correct, names = _data()
    new = np.isin(names, ["s1", "s3"])
    told = _fitted(table, correct, names)
    plain = _fitted(table.drop([BIG]), correct, names)
    expected = plain.estimate(table.filter(new), names[new])
    assert told.estimate(table.drop([BIG]).filter(new), names[new]) == expected


def test_sums_of_parts_give_the_estimates_of_the_whole():
    rng = np.random.default_rng(5)
    table, correct, names = _data(seen=rng.random(FAMILIES * EACH) < 0.6)
    sentinel = _fitted(table, correct, names)
    order = rng.permutation(len(names))
    total = sentinel.zero()
    for rows in np.array_split(order, 7):
        total = total + sentinel.sum_up(table.take(rows), names[rows])
    whole = sentinel.estimate(table, names, left_out=True)
    for one, other in zip(sentinel.finish(total, left_out=True), whole, strict=True):
        assert (one.slice, one.method) == (other.slice, other.method)
        assert one.accuracy == pytest.approx(other.accuracy, abs=1e-12)
        assert one.spread == pytest.approx(other.spread, abs=1e-6)


def test_a_labelled_slice_is_left_out_of_both_rules():
    table, correct, names = _data()
    sentinel = _fitted(table, correct, names)
    own = np.flatnonzero(names == "s4")
    row = sentinel.estimate(table.take(own), names[own], left_out=True)[0]
    other = np.isin(names, ["s0", "s2", "s6", "s7"])
    without = Sentinel(bootstraps=0).fit(table.filter(other), correct[other], groups=names[other])
    assert row.accuracy == pytest.approx(without.estimate(table.take(own), names[own])[0].accuracy, abs=1e-9)


def test_own_labels_go_before_second_opinions():
    table, correct, names = _data()
    own = np.flatnonzero(names == "s4")
    assert _fitted(table, correct, names).estimate(table.take(own), names[own])[0].method == "own labels"


def test_a_loaded_sentinel_has_its_second_opinions(tmp_path):
    table, correct, names = _data()
    sentinel = _fitted(table, correct, names)
    save_sentinel(tmp_path / "s.nilo", sentinel)
    assert load_sentinel(tmp_path / "s.nilo").estimate(table, names) == sentinel.estimate(table, names)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda agrees, rows: np.ones_like(agrees), "big gives the same answer in 100.0% of the labelled responses"),
        (lambda agrees, rows: np.zeros_like(agrees), "big never gives the same answer"),
        (lambda agrees, rows: np.full_like(agrees, np.nan), "big was asked about no labelled response"),
        (lambda agrees, rows: np.where(rows < EACH, agrees, np.nan), "of 0 families, so they are not used"),
    ],
    ids=["same model", "other prompts", "never asked", "one slice only"],
)
def test_opinions_that_cannot_be_used_are_said(change, said):
    table, correct, names = _data()
    agrees = change(np.array(table[BIG]), np.arange(len(table)))
    sentinel = _fitted(table.set_column(2, BIG, pa.array(agrees)), correct, names)
    assert sentinel.second_ is None
    assert any(said in note for note in sentinel.notes_), sentinel.notes_


def test_a_model_asked_for_few_responses_is_left_out_and_named():
    rng = np.random.default_rng(3)
    few = np.where(np.arange(FAMILIES * EACH) % 10 == 0, rng.random(FAMILIES * EACH) < 0.5, np.nan)
    table, correct, names = _data(more={SMALL: few})
    sentinel = _fitted(table, correct, names)
    assert sentinel.second_.names == (BIG,)
    assert any("small was asked about 60 labelled responses, another model about 600" in n for n in sentinel.notes_)


def test_several_models_are_read_together():
    rng = np.random.default_rng(4)
    _, correct, _ = _data()
    other = (rng.random(correct.size) < np.where(correct == 1, 0.8, 0.3)) * 1.0
    table, correct, names = _data(more={SMALL: other})
    sentinel = _fitted(table, correct, names)
    assert sentinel.second_.names == (BIG, SMALL)
    assert (sentinel.second_.fitted.rule.classifier.slopes[-2:] > 0).all()


def test_opinions_that_surely_lose_are_not_used():
    table, correct, names = _data()
    sentinel = _fitted(table, correct, names)
    new = np.flatnonzero(names == "s3")
    worse = sentinel.second_.gain._replace(gain=-0.1, standard_error=0.04)
    for gain, method in ((worse, "combined[monotone]"), (worse._replace(standard_error=0.06), "second opinions")):
        sentinel.second_ = sentinel.second_._replace(gain=gain)
        assert sentinel.estimate(table.take(new), names[new])[0].method == method


def test_the_expected_spread_follows_the_skill_of_the_opinions():
    table, correct, names = _data()
    rng = np.random.default_rng(7)
    noise = table.set_column(2, BIG, pa.array((rng.random(correct.size) < 0.5) * 1.0))
    skilled, blind = (_fitted(one, correct, names).second_.fitted.prior[0] for one in (table, noise))
    assert 0.06 <= skilled < 0.12 < 0.17 < blind <= 0.2


def test_stated_confidence_is_an_input_like_any_other_and_may_be_missing():
    table, correct, names = _data()
    rng = np.random.default_rng(8)
    stated = np.where(rng.random(correct.size) < 0.3, np.nan, np.clip(0.5 + 0.4 * correct + rng.normal(0, 0.1), 0, 1))
    table = table.drop([BIG]).append_column("stated_confidence", pa.array(stated))
    sentinel = _fitted(table, correct, names)
    assert "stated_confidence" in sentinel.plan_.features
    new = np.isin(names, ["s1", "s3", "s5"])
    plain = _fitted(table.drop(["stated_confidence"]), correct, names).estimate(table.filter(new), names[new])
    told = sentinel.estimate(table.filter(new), names[new])
    assert all(row.missing_share == 0 for row in told)
    assert sum(_errors(told, correct, names)) < sum(_errors(plain, correct, names))


def test_opinions_outside_the_unit_interval_are_refused():
    table, correct, names = _data()
    with pytest.raises(ValueError, match=r"`agrees_with:big` must lie in \[0, 1\], got 0 to 100"):
        _fitted(table.set_column(2, BIG, pa.array(np.where(correct == 1, 100.0, 0.0))), correct, names)


@pytest.mark.slow
def test_intervals_with_second_opinions_cover():
    hits = []
    for seed in range(20):
        table, correct, names = _data(seed)
        new = np.isin(names, ["s1", "s3", "s5"])
        for row in _fitted(table, correct, names, confidence_level=0.9).estimate(table.filter(new), names[new]):
            hits.append(row.low <= correct[names == row.slice].mean() <= row.high)
    assert np.mean(hits) > 0.9 - 3 * np.sqrt(0.9 * 0.1 / len(hits))


def test_a_response_captured_half_of_the_time_counts_twice():
    rng = np.random.default_rng(9)
    table, correct, names = _data(seen=rng.random(FAMILIES * EACH) < 0.6)
    sentinel = _fitted(table, correct, names)
    new = np.flatnonzero(names == "s3")
    chance = np.where(rng.random(new.size) < 0.5, 0.5, 1.0)
    weighted = sentinel.estimate(table.take(new).append_column("capture_probability", pa.array(chance)), names[new])[0]
    twice = np.repeat(new, (1 / chance).astype(int))
    assert weighted.accuracy == pytest.approx(sentinel.estimate(table.take(twice), names[twice])[0].accuracy, abs=1e-12)


def test_a_saved_opinion_outside_the_unit_interval_is_refused(tmp_path):
    table, correct, names = _data()
    sentinel = _fitted(table, correct, names)
    whole = sentinel.labelled_.profiles
    values = np.stack([whole.column(name) * (2.0 if name == BIG else 1.0) for name in whole.names], axis=1)
    sentinel.labelled_ = replace(sentinel.labelled_, profiles=Profiles(values, whole.names, whole.provenance))
    save_sentinel(tmp_path / "s.nilo", sentinel)
    with pytest.raises(IncompatibleModelError, match=r"`agrees_with:big` must hold numbers in \[0, 1\]"):
        load_sentinel(tmp_path / "s.nilo")


def test_opinions_are_worth_the_labels_that_would_lower_the_error_as_much():
    table, correct, names = _data()
    second = _fitted(table, correct, names).second_
    second = second._replace(gain=second.gain._replace(error=0.04, other_error=0.08), noise=0.1)
    shares = np.array([correct[names == f"s{i}"].mean() for i in (0, 2, 4, 6, 7)])
    v = (shares * (1 - shares)).mean()
    assert second.worth_labels() == pytest.approx(v / 0.05**2 - v / 0.1**2)
    assert second.worth_labels(50) == pytest.approx(v / (0.05**2 + 0.1 / 50) - v / 0.1**2)
    assert second._replace(gain=second.gain._replace(error=0.2)).worth_labels() == 0
