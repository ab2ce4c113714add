"""One number of every slice, what it rests on, and which labels may speak for it."""

import numpy as np
import pyarrow as pa
import pytest

from nilometer.decisions import basis_of, headline_estimates
from nilometer.decisions.headline.epochs import model_epochs
from nilometer.estimators import Estimate, NotEnoughData, cut_responses


def _responses(*, models, days=None, correct=None, slices=None):
    n = len(models)
    columns = {"max": np.ones(n), "model_fingerprint": models, "model": ["m"] * n, "name": slices or ["a"] * n}
    if days is not None:
        columns["time"] = np.datetime64("2026-01-01", "us") + np.asarray(days) * np.timedelta64(1, "D")
    return cut_responses(pa.table(columns), ["name"], correct=np.full(n, np.nan) if correct is None else correct)


def test_models_that_follow_each_other_are_epochs_in_order_of_time():
    found = model_epochs(_responses(models=["new"] * 40 + ["old"] * 60, days=[*range(60, 100), *range(60)]))
    assert found.names == ("old", "new")
    assert found.place.tolist() == [1] * 40 + [0] * 60
    assert found.since == "2026-03-02 (new)"


def test_servers_that_answer_at_the_same_time_are_one_epoch():
    assert len(model_epochs(_responses(models=["x", "y"] * 50, days=range(100)))) == 1


def test_a_roll_out_that_overlaps_a_little_is_still_a_change():
    models = ["old"] * 58 + ["new", "old", "new", "old"] + ["new"] * 38
    assert model_epochs(_responses(models=models, days=range(100))).names == ("old", "new")


def test_without_times_only_models_without_any_label_are_apart():
    models = ["x", "y", "z"] * 20
    labels = np.tile([1.0, 0.0, np.nan], 20)
    assert model_epochs(_responses(models=models, correct=labels)).names == ("x, y", "z")
    assert len(model_epochs(_responses(models=models, correct=np.ones(60)))) == 1
    assert len(model_epochs(_responses(models=models))) == 1


def test_one_model_and_no_model_are_one_epoch():
    assert len(model_epochs(_responses(models=["x"] * 5))) == 1
    assert len(model_epochs(cut_responses(pa.table({"max": [1.0, 2.0], "name": ["a", "b"]}), ["name"]))) == 1


def test_labels_of_before_a_change_leave_what_came_after_it_open():
    """60 of 100 responses have labels, all correct; nothing is known of the 40 after the change."""
    labels = np.r_[np.ones(60), np.full(40, np.nan)]
    found = headline_estimates(None, _responses(models=["old"] * 60 + ["new"] * 40, days=range(100), correct=labels))
    (row,) = found.estimates
    assert (row.accuracy, row.low, row.high) == pytest.approx((1.0, 0.6, 1.0))
    assert row.n_labels == 60
    assert (found.overall.low, found.overall.high) == pytest.approx((0.6, 1.0))
    assert "since 2026-03-02 (new)" in found.notes[0]
    assert len(found.current) == 40
    (same,) = headline_estimates(None, _responses(models=["old"] * 100, days=range(100), correct=labels)).estimates
    assert same.low > 0.9


def test_where_labels_speak_for_too_little_the_accuracy_is_not_given():
    labels = np.r_[np.ones(10), np.full(90, np.nan)]
    found = headline_estimates(None, _responses(models=["old"] * 10 + ["new"] * 90, days=range(100), correct=labels))
    assert isinstance(found.estimates[0], NotEnoughData)
    assert found.estimates[0].reason.startswith("Its labels speak for 10% of its responses only")
    assert "since 2026-01-11 (new)" in found.estimates[0].needed


def test_labels_of_both_sides_are_strata():
    correct = np.r_[np.tile([1.0, 1.0, 1.0, 0.0, np.nan], 10), np.tile([0.0, 1.0, np.nan, np.nan, np.nan], 10)]
    found = headline_estimates(None, _responses(models=["old"] * 50 + ["new"] * 50, days=range(100), correct=correct))
    assert found.estimates[0].accuracy == pytest.approx(0.5 * 0.75 + 0.5 * 0.5)
    assert basis_of(found.estimates[0]) == "labels"


@pytest.mark.parametrize(
    ("method", "basis"),
    [
        ("combined[monotone]", "logprobs"),
        ("own labels", "both"),
        ("ppi++", "labels"),
        ("stratified, by plan", "labels"),
        ("stratified, by plan with prior atc", "both"),
        ("cross_model[2]", "models"),
        ("constant", "average"),
        ("ppi++ + combined[monotone]", "both"),
        ("ppi++ + stratified", "labels"),
    ],
)
def test_one_word_says_what_a_number_rests_on(method, basis):
    row = Estimate(slice="a", n=9, accuracy=0.5, low=0.4, high=0.6, confidence_level=0.95, method=method)
    assert basis_of(row) == basis
    assert basis_of(NotEnoughData(slice="a", n=1, reason="", needed="")) == basis_of(None) == "nothing"
