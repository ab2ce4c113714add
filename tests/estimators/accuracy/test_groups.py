"""Many families are left out in groups, and what is computed for all slices at once is what each gives alone."""

import numpy as np
import pyarrow as pa
import pytest

from nilometer.estimators import Sentinel, as_responses
from nilometer.estimators.accuracy import left_out as module
from nilometer.estimators.accuracy.left_out import fit_left_out, left_out_probabilities
from nilometer.estimators.accuracy.rules.label_free import family_evidence, sequence_evidence
from nilometer.estimators.accuracy.rules.monotone import fit_monotone
from nilometer.estimators.accuracy.rules.rule import fit_rule


def _labelled(n_families, *, slices_each=2, n=12, seed=0):
    rng = np.random.default_rng(seed)
    families = np.repeat(np.arange(n_families), slices_each * n)
    hard = rng.uniform(0.2, 1.4, n_families)[families]
    entropy = rng.gamma(2.0, hard)
    entropy[rng.random(len(entropy)) < 0.03] = np.nan
    table = pa.table(
        {"max": entropy, "nll_sum": entropy + rng.random(len(entropy)), "cut_off": rng.random(len(entropy)) < 0.1}
    )
    table = table.set_column(2, "cut_off", table["cut_off"].cast(pa.float64()))
    correct = (rng.random(len(entropy)) < np.exp(-np.nan_to_num(entropy, nan=1.0))).astype(float)
    slices = [f"s{i:04d}" for i in np.arange(len(entropy)) // n]
    return as_responses(table, slices, correct=correct, families=[f"f{i:04d}" for i in families])


@pytest.mark.parametrize("method", ["combined", "pcc", "atc", "sld", "constant"])
def test_slices_estimated_at_once_are_those_estimated_one_by_one(method):
    responses = _labelled(8)
    plan = Sentinel(method=method, bootstraps=0).fit(responses).plan_
    rule = fit_rule(responses, plan)
    found = rule.estimate_slices(responses.profiles, responses.slices)
    one_by_one = [rule.estimate(responses.profiles.rows(rows)) for _, rows in responses.slices.rows()]
    assert found == pytest.approx(one_by_one, abs=1e-12)


def test_few_families_are_left_out_one_at_a_time():
    responses = _labelled(8)
    plan = Sentinel(bootstraps=0).fit(responses).plan_
    found = fit_left_out(responses, plan)
    for name in ("s0000", "s0007"):
        rest = responses.rows(~responses.families.is_in(found[name].family))
        own = responses.rows(responses.slices.is_in(name))
        assert found[name].estimated == pytest.approx(fit_rule(rest, plan).estimate(own.profiles), abs=1e-12)


def test_many_families_are_left_out_in_groups_that_never_see_their_own_labels(monkeypatch):
    monkeypatch.setattr(module, "MOST_GROUPS", 4)
    responses = _labelled(10)
    plan = Sentinel(bootstraps=0).fit(responses).plan_
    found = fit_left_out(responses, plan)
    assert {one.group for one in found.values()} == {0, 1, 2, 3}
    assert len({id(one.rule) for one in found.values()}) == 4
    group = np.arange(10) % 4
    for name in ("s0000", "s0013"):
        together = group[responses.families.codes] == found[name].group
        assert found[name].family in {
            responses.families.names[i] for i in np.unique(responses.families.codes[together])
        }
        own = responses.rows(responses.slices.is_in(name))
        expected = fit_rule(responses.rows(~together), plan).estimate(own.profiles)
        assert found[name].estimated == pytest.approx(expected, abs=1e-12)


def test_probabilities_of_left_out_groups_are_those_of_their_rules(monkeypatch):
    monkeypatch.setattr(module, "MOST_GROUPS", 4)
    responses = _labelled(10)
    sentinel = Sentinel(bootstraps=0).fit(responses)
    p, labels = left_out_probabilities(sentinel.labelled_, sentinel.left_out_)
    by_slice = [
        (sentinel.left_out_[name].rule.p_correct(responses.profiles.rows(rows)), responses.correct[rows])
        for name, rows in responses.slices.rows()
    ]
    assert p == pytest.approx(np.concatenate([one for one, _ in by_slice]), abs=1e-12)
    assert labels.tolist() == np.concatenate([one for _, one in by_slice]).tolist()
    assert sentinel.predict_left_out(responses) == pytest.approx(p, abs=1e-12)


def test_evidence_of_all_families_is_that_of_each():
    rng = np.random.default_rng(1)
    sequence, p, correct = rng.random(60), rng.random(60), (rng.random(60) < 0.5).astype(float)
    families = rng.integers(0, 5, 60)
    sequence[families == 3] = np.nan
    sequence[:4] = np.nan
    each = [sequence_evidence(*(a[families == f] for a in (sequence, p, correct))) for f in range(5)]
    assert each[3] is None
    found = family_evidence(sequence, p, correct, families=families)
    assert found == pytest.approx([one for one in each if one is not None], abs=1e-12)
    assert family_evidence(np.full(60, np.nan), p, correct, families=families).size == 0


def test_the_monotone_fit_is_the_minimum_of_its_loss():
    rng = np.random.default_rng(2)
    X, weights = rng.normal(size=(300, 3)), rng.random(300)
    correct = (rng.random(300) < 1 / (1 + np.exp(-3 * X[:, 0]))).astype(float)
    model = fit_monotone(X, correct, signs=np.array([1, 0, -1]), weights=weights, penalty=2.0)
    Z = (X - model.centre) / model.scale

    def loss(slopes, intercept):
        score = Z @ slopes + intercept
        return weights @ (np.logaddexp(0, score) - correct * score) + slopes @ slopes

    least = loss(model.slopes, model.intercept)
    for _ in range(200):
        slopes = model.slopes + rng.normal(0, 0.02, 3)
        slopes[0], slopes[2] = max(slopes[0], 0), min(slopes[2], 0)
        assert loss(slopes, model.intercept + rng.normal(0, 0.02)) >= least
