import numpy as np
import pytest
from scipy.special import expit

from nilometer.estimators import (
    Estimate,
    NotEnoughData,
    cross_model_accuracy,
    fit_residuals,
    prediction_interval,
    with_other_models,
)
from nilometer.estimators.intervals import spread_interval

NAMES = [f"s{i}" for i in range(12)]


def _accuracies(rng, n_models, noise):
    score = rng.normal(0, 0.8, (n_models, 1)) + rng.normal(0, 1.0, 12) + rng.normal(0, noise, (n_models, 12))
    return expit(score)


def _rows(realized, n_known, *, estimated=0.5, n_labels=400):
    return [
        Estimate(
            slice=name,
            n=400,
            accuracy=estimated,
            low=0.0,
            high=1.0,
            confidence_level=0.9,
            method="x",
            n_labels=n_labels if i < n_known else 0,
            realized_accuracy=float(a) if i < n_known else None,
        )
        for i, (name, a) in enumerate(zip(NAMES, realized, strict=True))
    ]


def _mapping(table):
    return [dict(zip(NAMES, row.tolist(), strict=True)) for row in table]


def test_slices_without_labels_get_the_cross_model_accuracy():
    table = _accuracies(np.random.default_rng(0), 4, 0.1)
    found = with_other_models(_rows(table[0], 6), _mapping(table[1:]))
    own = np.where(np.arange(12) < 6, table[0], np.nan)
    wanted = cross_model_accuracy(own, table[1:]).accuracy
    assert [row.accuracy for row in found.estimates][6:] == pytest.approx(wanted[6:].tolist())
    assert found.n_replaced == 12


def test_a_labelled_slice_is_predicted_without_its_own_labels():
    table = _accuracies(np.random.default_rng(1), 4, 0.1)
    before, changed = _rows(table[0], 6), table[0].copy()
    changed[2] = 1 - changed[2]
    one, other = (with_other_models(rows, _mapping(table[1:])).estimates[2] for rows in (before, _rows(changed, 6)))
    assert one.accuracy == pytest.approx(other.accuracy)


@pytest.mark.parametrize("n_others", [1, pytest.param(6, marks=pytest.mark.slow)])
def test_interval_covers_unlabelled_slices_from_one_other_model_on(n_others):
    rng, hits = np.random.default_rng(2), []
    for _ in range(150):
        table = _accuracies(rng, n_others + 1, 0.3)
        realized = rng.binomial(400, table[0]) / 400
        found = with_other_models(_rows(realized, 6), _mapping(table[1:]), confidence_level=0.9)
        hits += [r.low <= a <= r.high for r, a in zip(found.estimates[6:], realized[6:], strict=True)]
    # slices of one draw share their models; .9 with 150 draws has a standard error of .025 at most
    assert 0.84 <= np.mean(hits) <= 0.97


def test_interval_is_that_of_the_left_out_slices_with_a_small_spread_expected():
    table = _accuracies(np.random.default_rng(6), 4, 0.1)
    rows = with_other_models(_rows(table[0], 6), _mapping(table[1:]), confidence_level=0.9).estimates
    left_out = fit_residuals(np.array([row.accuracy for row in rows[:6]]), table[0][:6], np.full(6, 400.0))
    wanted = prediction_interval(rows[8].accuracy, left_out._replace(prior_spread=0.1), n=400, confidence_level=0.9)
    assert (rows[8].low, rows[8].high) == pytest.approx(wanted)


def test_estimates_that_are_closer_are_kept():
    table = _accuracies(np.random.default_rng(3), 3, 2.0)
    rows = [
        row if row.realized_accuracy is None else Estimate(**{**_fields(row), "accuracy": row.realized_accuracy})
        for row in _rows(table[0], 6)
    ]
    found = with_other_models(rows, _mapping(table[1:]))
    assert list(found.estimates) == rows
    assert "were not used" in found.note


def _fields(row):
    return {name: getattr(row, name) for name in Estimate.__dataclass_fields__}


def test_a_slice_that_could_not_be_known_is_known_by_other_models():
    table = _accuracies(np.random.default_rng(4), 3, 0.1)
    rows = [*_rows(table[0], 6)[:11], NotEnoughData(slice="s11", n=50, reason="no logprobs.", needed="Ask for them.")]
    found = with_other_models(rows, _mapping(table[1:]))
    assert isinstance(found.estimates[11], Estimate)
    assert found.estimates[11].method == "cross_model[2]"


@pytest.mark.parametrize(
    "others", [[], [{"elsewhere": 0.5}], [{"s0": 0.5, "s11": 0.4}], [dict.fromkeys(NAMES[:3], 0.5)]]
)
def test_too_few_shared_slices_change_nothing_and_say_so(others):
    rows = _rows(np.linspace(0.1, 0.9, 12), 6)
    found = with_other_models(rows, others)
    assert list(found.estimates) == rows
    assert "4 are needed" in found.note


def test_a_slice_that_only_an_unconnected_model_has_stays_as_it_is():
    table = _accuracies(np.random.default_rng(5), 2, 0.1)
    one = dict(zip(NAMES[:11], table[1].tolist(), strict=False))
    found = with_other_models(_rows(table[0], 6), [one, {"s11": 0.9}])
    assert found.estimates[11].method == "x"
    assert found.n_replaced == 11


def test_estimates_carry_the_spread_that_their_interval_was_made_of():
    table = _accuracies(np.random.default_rng(0), 4, 0.1)
    for row in with_other_models(_rows(table[0], 6), _mapping(table[1:]), confidence_level=0.9).estimates:
        low, high = spread_interval(row.accuracy, row.spread, row.degrees, confidence_level=0.9)
        assert (low, high) == pytest.approx((row.low, row.high), abs=1e-9)
