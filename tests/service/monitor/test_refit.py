"""Fitting again on the labels of a store."""

import json

import numpy as np
import pytest

from nilometer.estimators import Sentinel, load_sentinel, save_sentinel
from nilometer.service import PREVIOUS, SENTINEL, LabelIn, Refitter, Spool, Store, refit
from nilometer.service.monitor.refit import labelled_profiles

DAY = 86_400


@pytest.fixture
def store(gemma, frame_of, tmp_path):
    """A store with half of the corpus, without a sentinel."""
    spool = Spool(tmp_path / "spool")
    for i, row in enumerate(gemma[0].take(np.arange(0, 1200, 2)).to_pylist()):
        spool.write(frame_of(row, i))
    spool.close()
    store = Store(tmp_path, keys=("domain",))
    store.step()
    yield store
    store.close()


def _label(store, gemma, *, is_random=True, wrong=False, rows=range(600)):
    correct = gemma[1]["correct"].to_numpy()[::2]
    labels = [LabelIn(f"chatcmpl-{i}", bool(correct[i]) != wrong, is_random=is_random) for i in rows]
    store.add_labels(labels, who="test")
    store.step()


def _acts(store):
    query = "SELECT detail FROM audit WHERE act='refit' ORDER BY id"
    return [json.loads(detail) for (detail,) in store.reader().execute(query)]


def test_labels_of_the_store_make_a_sentinel_with_its_error_beside(store, gemma):
    _label(store, gemma)
    found = refit(store)
    assert found.is_replaced
    assert (found.n_labels, found.n_slices, found.error_before) == (600, 12, None)
    assert 0 < found.error_after < 0.5
    assert load_sentinel(store.root / SENTINEL).n_labels_ == 600
    assert _acts(store) == [found._asdict()]
    store.step()
    assert store.rescoring() == (600, 600)


def test_errors_are_those_of_slices_estimated_as_if_they_had_no_labels(store, gemma):
    _label(store, gemma)
    found = refit(store)
    table = labelled_profiles(store)
    domains = [dict(row)["domain"] for row in table["attributes"].to_pylist()]
    correct = table["correct"].to_numpy()
    estimates = Sentinel().fit(table, correct, groups=domains).estimate(table, domains, correct=correct, left_out=True)
    errors = [abs(one.accuracy - one.realized_accuracy) for one in estimates]
    assert found.error_after == pytest.approx(np.mean(errors), abs=1e-12)


def test_worse_sentinel_does_not_replace_the_one_in_use_unless_it_is_forced(store, gemma):
    save_sentinel(store.root / SENTINEL, gemma[3])
    store.use_sentinel(gemma[3])
    _label(store, gemma, rows=range(0, 600, 2))
    found = refit(store, force=False)
    worse = found.error_after > found.error_before
    assert found.is_replaced != worse
    assert ("the one before stays" in found.reason) == worse
    forced = refit(store, force=True)
    assert forced.is_replaced
    assert (store.root / PREVIOUS).exists()
    assert store.sentinel.n_labels_ == 300


def test_sentinel_that_labels_contradict_is_replaced(store, gemma):
    store.use_sentinel(gemma[3])
    _label(store, gemma, wrong=True)
    found = refit(store)
    assert found.is_replaced
    assert found.error_after < found.error_before
    assert store.previous is gemma[3]


def test_labels_of_other_origin_are_used_on_request_only(store, gemma):
    _label(store, gemma, is_random=False)
    assert labelled_profiles(store).num_rows == 0
    assert labelled_profiles(store, random_only=False).num_rows == 600
    found = refit(store)
    assert not found.is_replaced
    assert "cannot be fitted" in found.reason


def test_latest_label_of_a_trace_counts(store, gemma):
    store.add_labels([LabelIn("chatcmpl-0", value, is_random=True) for value in (True, False)], who="x")
    store.step()
    assert labelled_profiles(store)["correct"].to_pylist() == [0.0]


def test_slices_too_small_to_judge_leave_the_sentinel_in_place(store, gemma):
    store.use_sentinel(gemma[3])
    _label(store, gemma, rows=range(0, 600, 30))
    found = refit(store)
    assert not found.is_replaced
    assert store.sentinel is gemma[3]


def test_it_is_time_after_so_many_days_or_on_request(store, gemma):
    _label(store, gemma)
    refitter = Refitter(store, every_days=7)
    assert refitter.step(now=0) is None
    assert refitter.step(now=6.9 * DAY) is None
    assert refitter.step(now=7 * DAY).is_replaced
    waiting = Refitter(store)
    assert waiting.step(now=1e12) is None
    with store.writing() as connection:
        connection.execute("INSERT INTO meta VALUES ('refit_asked', 'yes')")
    assert waiting.step(now=1e12) is not None
    assert waiting.step(now=1e12) is None
