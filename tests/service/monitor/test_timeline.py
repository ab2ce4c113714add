"""What happened to a slice, hour by hour."""

import pytest

from nilometer.service import LabelIn, Spool, Store
from nilometer.service.monitor.overview import Overviews
from nilometer.service.monitor.timeline import Place, read_marks, read_timeline, split_change

HOUR = 1_795_003_200 // 3600


@pytest.fixture
def store(gemma, frame_of, tmp_path):
    spool = Spool(tmp_path / "spool")
    for i, row in enumerate(gemma[0].slice(0, 60).to_pylist()):
        spool.write(frame_of(row, i))
    spool.close()
    store = Store(tmp_path, keys=("domain",))
    store.step()
    yield store
    store.close()


def test_marks_are_alerts_that_opened_and_closed_in_the_hours(store, gemma):
    place = Place("domain", gemma[2][0], gemma[0]["model"][0].as_py())
    with store.writing() as connection:
        for opened, closed in ((HOUR, None), (HOUR - 1, HOUR + 1), (HOUR - 90, HOUR - 80)):
            times = (opened * 3_600_000_000, None if closed is None else closed * 3_600_000_000)
            connection.execute(
                "INSERT INTO alerts (kind, slice_key, slice, model, opened, closed, p_value, text) "
                "VALUES ('k', ?, ?, ?, ?, ?, 0.1, 'it fell')",
                (*place, *times),
            )
    found = read_marks(store, store.reader(), place, span=(HOUR - 2, HOUR + 2))
    assert [(mark.hour - HOUR, mark.kind) for mark in found] == [(-1, "alert"), (0, "alert"), (1, "resolved")]
    assert split_change(store, store.reader(), place, span=(HOUR, HOUR)) is None  # there is no sentinel


def test_labels_stand_beside_the_estimates_of_their_hours(store, gemma):
    domain, model = gemma[2][0], gemma[0]["model"][0].as_py()
    own = [i for i in range(60) if gemma[2][i] == domain]
    store.add_labels([LabelIn(f"chatcmpl-{i}", n > 0, is_random=True) for n, i in enumerate(own)], who="ann")
    store.step()
    moments = read_timeline(store, store.reader(), Place("domain", domain, model), span=(HOUR - 1, HOUR))
    assert moments[0].realized is None
    assert moments[1].realized.accuracy == pytest.approx((len(own) - 1) / len(own))


def test_overviews_that_are_looked_at_least_are_forgotten(store):
    overviews = Overviews(store)
    first = overviews.get("domain", 1)
    assert overviews.get("domain", 1) is first
    for hours in range(2, 200):
        overviews.get("all", hours)
    assert overviews.get("domain", 1) is not first
