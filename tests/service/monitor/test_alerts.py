"""Alerts of a store whose hourly moments are given."""

import numpy as np
import pytest

from nilometer.service import AlertOptions, LabelIn, Store, open_alerts
from nilometer.service.monitor.alerts import Monitor
from nilometer.service.store.database import transaction

START = 495_000 // 24 * 24
MODEL = "m"


@pytest.fixture
def store(gemma, tmp_path):
    store = Store(tmp_path, keys=("domain",), sentinel=gemma[3])
    yield store
    store.close()


def _fill(store, hours, mean, *, seed=0, n=300, slices=("a", "b")):
    """Put in hours of traffic with this mean probability."""
    rng = np.random.default_rng(seed)
    key = store.sentinel.zero().key
    with store.writing() as connection, transaction(connection):
        for hour in hours:
            for name in slices:
                p = np.clip(rng.normal(mean if name == "a" else 0.6, 0.2, n), 0, 1)
                row = (key, "domain", name, MODEL, START + hour, float(n), p.sum(), (p**2).sum(), float(n))
                connection.execute("INSERT INTO moments VALUES (?,?,?,?,?,?,?,?,?)", row)


def _at(hour):
    return (START + hour) * 3600.0 + 700


def _kinds(store):
    return [(one.kind, one.slice) for one in open_alerts(store.reader())]


def test_change_of_one_slice_opens_one_alert_that_says_what_changed(store):
    _fill(store, range(168), 0.6)
    _fill(store, range(168, 170), 0.4, seed=1)
    monitor = Monitor(store)
    monitor.step(now=_at(170))
    (alert,) = open_alerts(store.reader())
    assert (alert.kind, alert.slice_key, alert.slice, alert.model) == ("estimate_changed_hour", "domain", "a", MODEL)
    assert "m, domain=a: the estimated probability of a correct answer was 0.381 in" in alert.text
    assert alert.p_value < 1e-6


def test_window_is_judged_once_however_often_one_looks(store):
    _fill(store, range(168), 0.6)
    _fill(store, range(168, 171), 0.6, seed=1)
    monitor = Monitor(store)
    assert [monitor.step(now=_at(169) + 60 * minute) for minute in range(3)] == [1, 0, 0]
    assert Monitor(store).step(now=_at(171)) == 2


def test_open_hour_and_its_grace_are_not_judged(store):
    _fill(store, range(170), 0.6)
    monitor = Monitor(store)
    assert monitor.step(now=_at(169) - 200) == 0
    assert monitor.step(now=_at(169)) == 1


def test_nothing_is_judged_while_the_spool_holds_what_belongs_to_the_window(store):
    _fill(store, range(170), 0.6)
    (store.spool / "1.spool").write_bytes(bytes(100))
    assert Monitor(store).step(now=_at(170)) == 0


def test_alert_stays_one_and_closes_after_calm_windows(store):
    _fill(store, range(168), 0.6)
    _fill(store, range(168, 172), 0.4, seed=1)
    monitor = Monitor(store, AlertOptions(calm_windows=2))
    monitor.step(now=_at(172))
    assert _kinds(store) == [("estimate_changed_hour", "a")]
    _fill(store, range(172, 174), 0.6, seed=2)
    monitor.step(now=_at(173))
    assert len(_kinds(store)) == 1
    monitor.step(now=_at(174))
    assert _kinds(store) == []
    (count,) = store.reader().execute("SELECT count(*) FROM alerts").fetchone()
    assert count == 1


def test_server_that_was_down_judges_what_it_missed(store):
    _fill(store, range(168), 0.6)
    _fill(store, range(168, 190), 0.4, seed=1)
    assert Monitor(store).step(now=_at(191)) == 23
    assert ("estimate_changed_hour", "a") in _kinds(store)


def test_change_below_the_least_is_silent(store):
    _fill(store, range(168), 0.6, n=20_000)
    _fill(store, range(168, 170), 0.585, seed=1, n=20_000)
    Monitor(store, AlertOptions(least_change=0.05)).step(now=_at(170))
    assert _kinds(store) == []


def test_day_finds_a_change_that_hours_do_not(store):
    _fill(store, range(168), 0.6, n=60)
    _fill(store, range(168, 216), 0.55, seed=1, n=60)
    Monitor(store).step(now=_at(217))
    assert ("estimate_changed_day", "a") in _kinds(store)


def _label(store, share, n, *, is_random=True, hour=200):
    labels = [LabelIn(f"t{share}-{i}", i % 10 < 10 * share, is_random=is_random) for i in range(n)]
    store.add_labels(labels, who="test")
    with store.writing() as connection, transaction(connection):
        connection.execute(
            "UPDATE labels SET hour=?, model=?, attributes=?, p_correct=0.5, capture_probability=1 WHERE hour IS NULL",
            (START + hour, MODEL, '{"domain":"a"}'),
        )


def test_random_labels_below_the_least_accuracy_alert_and_others_do_not(store):
    _fill(store, range(217), 0.6)
    monitor = Monitor(store, AlertOptions(least_accuracy=0.8))
    _label(store, 0.3, 200, is_random=False)
    monitor.step(now=_at(193))
    assert _kinds(store) == []
    _label(store, 0.5, 200)
    monitor.step(now=_at(217))
    assert ("accuracy_fell", "a") in _kinds(store)
    text = next(one.text for one in open_alerts(store.reader()) if one.slice == "a")
    assert "200 random labels, 0.500 correct, show an accuracy below 0.8" in text


def test_labels_count_for_the_traffic_that_they_stand_for(store):
    _fill(store, range(217), 0.6)
    _label(store, 0.5, 200)
    with store.writing() as connection:  # every wrong answer was captured ten times as often as a right one
        connection.execute("UPDATE labels SET capture_probability = CASE WHEN correct THEN 0.1 ELSE 1 END")
    Monitor(store, AlertOptions(least_accuracy=0.8)).step(now=_at(217))
    assert ("accuracy_fell", "a") not in _kinds(store)


def test_good_labels_are_silent(store):
    _fill(store, range(217), 0.6)
    _label(store, 0.9, 200)
    Monitor(store, AlertOptions(least_accuracy=0.8)).step(now=_at(217))
    assert _kinds(store) == []


def test_store_without_a_sentinel_or_traffic_is_silent(store, tmp_path):
    assert Monitor(store).step(now=_at(500)) == 0
    bare = Store(tmp_path / "bare")
    assert Monitor(bare).step(now=_at(500)) == 0


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"per_month": 0.0}, r"`per_month` must lie in \(0, 100\]"),
        ({"least_accuracy": 1.0}, r"`least_accuracy` must lie in \(0, 1\)"),
        ({"reference_hours": 3}, "`reference_hours` must be >= 24"),
    ],
)
def test_wrong_option_is_named(given, message):
    with pytest.raises(ValueError, match=message):
        AlertOptions(**given)
