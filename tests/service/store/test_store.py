import contextlib
import json
import sqlite3
import subprocess
import sys
import time

import numpy as np
import pyarrow as pa
import pytest

from nilometer.errors import ConfigError, TraceFormatError
from nilometer.estimators import Estimate
from nilometer.service.capture import Frame, Spool
from nilometer.service.store import LabelIn, Store, check_store, realized_rows
from nilometer.service.store.labels import random_labels
from nilometer.service.store.slicing import Slicing
from nilometer.service.store.texts import request_text

HOUR = 1_795_003_200_000_000 // 3_600_000_000
KEYS = ("domain",)


@pytest.fixture(scope="module")
def rows(gemma):
    """Every fourth response of the corpus."""
    return gemma[0].take(np.arange(0, 1200, 4)).to_pylist()


def _spool(folder, frames):
    spool = Spool(folder / "spool")
    for frame in frames:
        assert spool.write(frame)
    spool.close()


def _store(folder, gemma=None, **changes):
    return Store(folder, keys=KEYS, sentinel=gemma[3] if gemma else None, **changes)


def _estimates(store):
    found = store.estimates("domain", first_hour=HOUR, last_hour=HOUR + 100)
    return {row.slice: row.belief for row in found}


def _dump(store):
    """Everything a store knows, in an order that does not depend on how it came."""
    with sqlite3.connect(store.root / "nilometer.db") as connection:
        requests = sorted(connection.execute("SELECT * FROM requests").fetchall())
        parts = sorted(connection.execute("SELECT hour, sum(n) FROM parts GROUP BY hour").fetchall())
        sums = sorted(connection.execute("SELECT slice_key, hour, slice, model, k, mode, sums FROM sums").fetchall())
        labels = sorted(connection.execute("SELECT trace_id, correct, hour, model FROM labels").fetchall())
    return requests, parts, [(*row[:-1], np.frombuffer(row[-1]).round(9).tolist()) for row in sums], labels


def test_running_estimates_are_those_of_the_sentinel_on_the_same_responses(gemma, rows, frame_of, tmp_path):
    _traces, profiles, domains, sentinel = gemma
    own = np.arange(0, 1200, 4)
    _spool(tmp_path, [frame_of(row, i, seconds=60 * i) for i, row in enumerate(rows)])
    store = _store(tmp_path, gemma)
    assert store.step() == 300
    wanted = sentinel.estimate(profiles.take(own), by=[domains[i] for i in own])
    got = _estimates(store)
    assert set(got) == {one.slice for one in wanted}
    for one in wanted:
        assert type(got[one.slice]) is type(one)
        if isinstance(one, Estimate):
            for field in ("accuracy", "low", "high"):
                assert abs(getattr(one, field) - getattr(got[one.slice], field)) < 1e-12, (one.slice, field)
        assert got[one.slice].n == one.n


def test_running_estimates_weigh_each_response_by_its_probability_of_capture(gemma, rows, frame_of, tmp_path):
    _traces, profiles, domains, sentinel = gemma
    own = np.arange(0, 1200, 4)
    chances = np.random.default_rng(0).uniform(0.05, 1, 300).astype(np.float32)
    frames = [
        frame_of(row, i, seconds=60 * i, capture_probability=float(chance))
        for i, (row, chance) in enumerate(zip(rows, chances, strict=True))
    ]
    _spool(tmp_path, frames)
    store = _store(tmp_path, gemma)
    assert store.step() == 300
    weighted = profiles.take(own).append_column("capture_probability", pa.array(chances))
    wanted = sentinel.estimate(weighted, by=[domains[i] for i in own])
    got = _estimates(store)
    for one in wanted:
        assert type(got[one.slice]) is type(one)
        if isinstance(one, Estimate):
            for field in ("accuracy", "low", "high"):
                assert abs(getattr(one, field) - getattr(got[one.slice], field)) < 1e-12, (one.slice, field)
    query = "SELECT sum(n), sum(w2) FROM moments WHERE slice_key='all'"
    weights = 1 / chances.astype(np.float64)
    assert store.reader().execute(query).fetchone() == pytest.approx((weights.sum(), (weights**2).sum()))


def test_spool_goes_when_it_is_committed_and_not_before(gemma, rows, frame_of, tmp_path):
    spool = Spool(tmp_path / "spool")
    spool.write(frame_of(rows[0], 0))
    store = _store(tmp_path)
    assert store.step() == 1
    assert len(list(store.spool.glob("*.spool"))) == 1
    spool.write(frame_of(rows[1], 1))
    assert store.step() == 1
    spool.close()
    assert store.step() == 0
    assert list(store.spool.glob("*.spool")) == []
    assert store.step() == 0


def test_every_kind_of_request_is_counted(rows, frame_of, tmp_path):
    quiet = json.dumps({"id": "q", "choices": [{"message": {"content": "a"}, "finish_reason": "stop"}]}).encode()
    frames = [
        frame_of(rows[0], 0),
        frame_of(rows[0], 1, outcome="unsampled", body=b""),
        frame_of(rows[0], 2, outcome="aborted", body=b"{"),
        frame_of(rows[0], 3, body=quiet),
        frame_of(rows[0], 4, body=b"<html>"),
        frame_of(rows[0], 5, body=b""),
    ]
    _spool(tmp_path, frames)
    store = _store(tmp_path)
    assert store.step() == 6
    found = store.reader().execute("SELECT outcome, sum(n) FROM requests WHERE slice_key='all' GROUP BY 1").fetchall()
    assert dict(found) == dict.fromkeys(("scored", "unsampled", "aborted", "no_logprobs", "unreadable", "too_large"), 1)


def _with_texts(row, i, frame_of, **changes):
    request = json.dumps({"messages": [{"role": "user", "content": "Ask ann@example.org"}]}).encode()
    return frame_of(row, i, texts=True, request=request, **changes)


def test_texts_are_kept_only_where_asked_for_and_redacted(rows, frame_of, tmp_path):
    _spool(tmp_path, [_with_texts(rows[0], 0, frame_of), frame_of(rows[1], 1)])
    store = _store(tmp_path)
    store.step()
    found = store.text_of("chatcmpl-0", store.reader())
    assert (found.prompt, found.answer) == ("user: Ask [email]", rows[0]["answer"])
    assert store.text_of("chatcmpl-1", store.reader()) is None
    assert all(b"ann@example" not in path.read_bytes() for path in tmp_path.rglob("*.parquet"))
    assert check_store(store.reader(), tmp_path)[3:] == ((), ())


def test_store_without_texts_has_none(rows, frame_of, tmp_path):
    store = _store(tmp_path)
    assert store.text_of("chatcmpl-0", store.reader()) is None


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b'{"prompt": "7 + 5 ="}', "7 + 5 ="),
        (b'{"prompt": ["a", "b"]}', '["a","b"]'),
        (
            b'{"messages": [{"role": "system", "content": "Be brief."}, '
            b'{"role": "user", "content": [{"type": "text"}]}]}',
            'system: Be brief.\n\nuser: [{"type":"text"}]',
        ),
        (b"{", ""),
        (b"{}", ""),
    ],
)
def test_text_of_a_request_is_its_conversation(body, text):
    assert request_text(body) == text


class _Killed(BaseException):
    """Stands for the end of the process at this point."""


POINTS = [
    "nilometer.service.store.ingest.profile_frames",
    "nilometer.service.store.ingest.write_part",
    "nilometer.service.store.parts._sync",
    "nilometer.service.store.ingest._commit_offset",
    "nilometer.service.store.ingest._commit_requests",
    "nilometer.service.store.ingest._commit_parts",
    "nilometer.service.store.slicing.Slicing.commit",
    "nilometer.service.store.ingest._write_texts",
    "nilometer.service.store.ingest.add_sums",
    "nilometer.service.store.ingest.add_refusals",
    "nilometer.service.store.ingest.join_pending",
    "nilometer.service.store.store.commit_chunk",
    "nilometer.service.store.store.remove_spool",
    "nilometer.service.store.store.join_with_parts",
    "nilometer.service.store.store.score_table",
    "nilometer.service.store.store.compact_hour",
    "nilometer.service.store.store.expire",
    "nilometer.service.store.store.purge",
    "nilometer.service.store.upkeep.write_part",
    "nilometer.service.store.upkeep.replace_parts",
]


def _written(folder, gemma, frames, dies=contextlib.nullcontext):
    """Write, score, label and tidy a store, opened anew where ``dies`` kills it; what is in it then."""
    labels = [LabelIn("chatcmpl-7", True), LabelIn("chatcmpl-29", False), LabelIn("never", True)]
    _spool(folder, frames[:15])
    store = _store(folder)  # profiles first, so that scoring stored parts is among the points
    store.step()
    store.close()
    _spool(folder, frames[15:])
    store = _store(folder, gemma)
    store.add_labels(labels, who="test")
    with dies() as is_killed:
        _step(store, 3)  # the first may compact what the other store left
    if is_killed:
        store.close()
        store = _store(folder, gemma)
        _step(store, 3)
    assert store.compact(now=time.time() + 61) == 0
    assert check_store(store.reader(), folder)[3:] == ((), ())
    assert len(list(folder.glob("profiles/*/*/*"))) == 1
    found = _dump(store)
    store.close()
    return found


@pytest.fixture(scope="module")
def thirty(rows, frame_of):
    return [frame_of(row, i, seconds=90 * i) for i, row in enumerate(rows[:30])]


@pytest.fixture(scope="module")
def undisturbed(gemma, thirty, tmp_path_factory):
    return _written(tmp_path_factory.mktemp("store") / "whole", gemma, thirty)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("point", POINTS)
def test_store_killed_at_any_point_ends_as_one_that_was_not(point, when, gemma, thirty, undisturbed, tmp_path):
    @contextlib.contextmanager
    def dies():
        with pytest.MonkeyPatch.context() as patch:
            _die_at(patch, point, when)
            with pytest.raises(_Killed):
                yield True

    assert _written(tmp_path / "killed", gemma, thirty, dies) == undisturbed
    assert sum(n for _, n in undisturbed[1]) == 30


def _step(store, times):
    for _ in range(times):
        store.step()


def _die_at(patch, point, when):
    module, _, name = point.rpartition(".")
    owner = sys.modules.get(module, Slicing)
    original = getattr(owner, name)

    def dies(*args, **kwargs):
        if when == "after":
            original(*args, **kwargs)
        raise _Killed

    patch.setattr(owner, name, dies)


def test_second_server_on_a_folder_is_refused(tmp_path):
    store = _store(tmp_path)
    with pytest.raises(ConfigError, match="another `nilometer serve` has this folder"):
        _store(tmp_path)
    store.close()
    _store(tmp_path).close()


def test_folder_keeps_its_slice_keys(tmp_path):
    _store(tmp_path).close()
    with pytest.raises(ConfigError, match=r"slice keys must be \['domain'\] as when"):
        Store(tmp_path, keys=("tenant",))
    _store(tmp_path).close()


def test_file_that_is_no_store_is_refused(tmp_path):
    (tmp_path / "nilometer.db").write_bytes(b"no database" * 100)
    with pytest.raises(TraceFormatError, match="not a store of nilometer"):
        _store(tmp_path)


def test_store_of_a_newer_version_is_refused(tmp_path):
    _store(tmp_path).close()
    with sqlite3.connect(tmp_path / "nilometer.db") as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(TraceFormatError, match="store version must be 3, got 99"):
        _store(tmp_path)


def test_folder_that_cannot_be_written_is_a_problem_that_passes(rows, frame_of, tmp_path):
    _spool(tmp_path, [frame_of(row, i) for i, row in enumerate(rows[:5])])
    store = _store(tmp_path)
    (tmp_path / "profiles").write_text("in the way")
    assert store.step() == 0
    assert "cannot be written" in store.health()["problems"]["write"]
    (tmp_path / "profiles").unlink()
    assert store.step() == 5
    assert store.health()["problems"] == {}


def test_full_disk_of_the_database_loses_nothing(rows, frame_of, tmp_path, monkeypatch):
    _spool(tmp_path, [frame_of(row, i) for i, row in enumerate(rows[:5])])
    store = _store(tmp_path)

    def full(connection, chunk):
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as patch:
        patch.setattr("nilometer.service.store.ingest._commit_offset", full)
        assert store.step() == 0
    assert "disk is full" in store.problems["write"]
    assert store.step() == 5


def test_damaged_frame_is_counted_and_the_others_are_kept(rows, frame_of, tmp_path):
    _spool(tmp_path, [frame_of(row, i) for i, row in enumerate(rows[:3])])
    (path,) = (tmp_path / "spool").glob("*.spool")
    data = bytearray(path.read_bytes())
    data[data.index(b"chatcmpl-1")] ^= 0xFF
    path.write_bytes(data + b"torn")
    store = _store(tmp_path)
    assert store.step() == 2
    assert store.health()["damaged_frames"] == 2
    assert not path.exists()


def test_spool_of_another_version_is_a_problem_that_is_named(tmp_path):
    (tmp_path / "spool").mkdir(parents=True)
    (tmp_path / "spool" / "0.spool").write_bytes(b"NILSPOOL\x09" + bytes(7))
    store = _store(tmp_path)
    assert store.step() == 0
    assert "spool version must be 1, got 9" in store.problems["spool"]


def test_sentinel_of_another_k_is_refused_by_model_and_traffic_is_kept(gemma, rows, frame_of, tmp_path):
    frames = []
    for i, row in enumerate(rows[:10]):
        body = json.loads(frame_of(row, i).body)
        for token in body["choices"][0]["logprobs"]["content"]:
            token["top_logprobs"] = token["top_logprobs"][:5]
        frames.append(frame_of(row, i, k=5, body=json.dumps(body).encode()))
    _spool(tmp_path, frames)
    store = _store(tmp_path, gemma)
    assert store.step() == 10
    ((model, k, reason, n),) = store.reader().execute("SELECT model, k, reason, n FROM refusals").fetchall()
    assert (model, k, n) == (rows[0]["model"], 5, 10)
    assert "`k` must be 20 as in the labelled data, got 5" in reason
    assert _estimates(store) == {}


def test_new_sentinel_scores_stored_profiles(gemma, rows, frame_of, tmp_path):
    _spool(tmp_path, [frame_of(row, i) for i, row in enumerate(rows)])
    store = _store(tmp_path)
    store.step()
    assert _estimates(store) == {}
    store.sentinel = gemma[3]
    store.step()
    later = _estimates(store)
    _spool(tmp_path / "at once", [frame_of(row, i) for i, row in enumerate(rows)])
    once = _store(tmp_path / "at once", gemma)
    once.step()
    assert {name: one.n for name, one in later.items()} == {name: one.n for name, one in _estimates(once).items()}
    for name, one in _estimates(once).items():
        assert abs(getattr(one, "accuracy", 0) - getattr(later[name], "accuracy", 0)) < 1e-6  # stored as float32


def test_labels_join_before_and_after_their_trace(rows, frame_of, tmp_path):
    store = _store(tmp_path)
    store.add_labels([LabelIn("chatcmpl-0", True)], who="early")
    _spool(tmp_path, [frame_of(rows[0], 0), frame_of(rows[1], 1)])
    store.step()
    store.add_labels([LabelIn("chatcmpl-1", 0.5), LabelIn("chatcmpl-9", False)], who="late")
    store.step()
    found = store.reader().execute("SELECT trace_id, correct, hour, model FROM labels ORDER BY id").fetchall()
    joined = (HOUR, rows[0]["model"])
    assert found == [("chatcmpl-0", 1.0, *joined), ("chatcmpl-1", 0.5, *joined), ("chatcmpl-9", 0.0, None, None)]
    assert store.health()["labels_waiting_for_their_trace"] == 1


def test_label_with_a_key_is_added_once(tmp_path):
    store = _store(tmp_path)
    label = LabelIn("a", True, key="k1")
    assert [store.add_labels([label, LabelIn("a", True)], who="x") for _ in range(2)] == [2, 1]


@pytest.mark.parametrize(
    ("given", "message"), [({"correct": 2.0}, "`correct` must be"), ({"trace_id": ""}, "`trace_id` must")]
)
def test_wrong_label_is_refused(given, message):
    with pytest.raises(ValueError, match=message):
        LabelIn(**{"trace_id": "a", "correct": True, **given})


def test_names_beyond_the_bound_become_other(rows, frame_of, tmp_path):
    frames = [frame_of(rows[0], i, attributes={"domain": f"d{i}"}) for i in range(20)]
    _spool(tmp_path, frames)
    store = _store(tmp_path, most_slices=5)
    store.step()
    query = "SELECT slice, sum(n) FROM requests WHERE slice_key='domain' GROUP BY slice"
    found = dict(store.reader().execute(query).fetchall())
    assert found == {"d0": 1, "d1": 1, "d2": 1, "d3": 1, "(other)": 16}


def _named(frame_of, row, name, numbers, *, hour=0):
    return [frame_of(row, i, attributes={"domain": name}, seconds=3600 * hour) for i in numbers]


def test_names_with_most_traffic_take_the_places_in_the_next_hour(rows, frame_of, tmp_path):
    row = rows[0]
    _spool(tmp_path, [frame_of(row, i, attributes={"domain": f"d{i}"}) for i in range(8)])
    _spool(tmp_path, _named(frame_of, row, "late", range(10, 30)) + _named(frame_of, row, "d2", range(30, 33)))
    store = _store(tmp_path, most_slices=5)
    store.step()
    for hour in (1, 2):
        _spool(tmp_path, _named(frame_of, row, "late", range(100 * hour, 100 * hour + 2), hour=hour))
        store.step()
    query = "SELECT hour, n FROM requests WHERE slice_key='domain' AND slice='late'"
    assert store.reader().execute(query).fetchall() == [(HOUR + 2, 2)]  # the hour that begins ranks for the next commit
    store.close()
    again = _store(tmp_path, most_slices=5)
    kept = again.slicing.of({"domain": "late"}), again.slicing.of({"domain": "d2"}), again.slicing.of({"domain": "new"})
    assert [one["domain"] for one in kept] == ["late", "d2", "(other)"]


def test_place_of_a_name_is_kept_until_another_has_half_as_much_again(rows, frame_of, tmp_path):
    row = rows[0]
    _spool(tmp_path, _named(frame_of, row, "first", range(10)))
    store = _store(tmp_path, most_slices=2)
    store.step()
    for hour, n in ((1, 14), (2, 20)):
        _spool(tmp_path, _named(frame_of, row, "second", range(100 * hour, 100 * hour + n), hour=hour))
        store.step()
        name = store.slicing.of({"domain": "second"})["domain"]
        assert name == ("(other)" if hour == 1 else "second")


def test_store_of_the_first_version_is_brought_to_this_one(tmp_path):
    from nilometer.service.store.database import _MIGRATIONS

    with sqlite3.connect(tmp_path / "nilometer.db") as connection:
        connection.executescript(_MIGRATIONS[0] + "PRAGMA user_version = 1;")
        connection.execute("INSERT INTO moments VALUES ('s', 'all', 'all', 'm', 7, 30, 20, 15)")
        connection.execute("INSERT INTO requests VALUES (7, 'm', 'domain', 'gcd', 'scored', 30)")
    store = _store(tmp_path)
    found = store.reader()
    assert found.execute("SELECT n, w2 FROM moments").fetchall() == [(30.0, 30.0)]
    assert found.execute("SELECT * FROM names").fetchall() == [("domain", "gcd", 30.0, 1)]
    assert found.execute("PRAGMA user_version").fetchone() == (3,)
    assert found.execute("SELECT count(*) FROM plans").fetchone() == (0,)


def test_clock_that_goes_back_puts_responses_into_their_hour(rows, frame_of, tmp_path):
    _spool(tmp_path, [frame_of(rows[0], 0, seconds=7200), frame_of(rows[1], 1, seconds=0)])
    store = _store(tmp_path)
    store.step()
    found = store.reader().execute("SELECT hour, n FROM requests WHERE slice_key='all' ORDER BY hour").fetchall()
    assert found == [(HOUR, 1), (HOUR + 2, 1)]


def test_profiles_keep_the_probability_of_capture_and_no_texts(gemma, rows, frame_of, tmp_path):
    _spool(tmp_path, [frame_of(rows[0], 0, capture_probability=0.25)])
    store = _store(tmp_path, gemma)
    store.step()
    (path,) = tmp_path.glob("profiles/*/*/*.parquet")
    table = pa.parquet.read_table(path, partitioning=None)
    assert table["capture_probability"].to_pylist() == [0.25]
    assert 0 < table["p_correct"][0].as_py() < 1
    assert not {"prompt", "answer", "tokens", "top_logprobs"} & set(table.column_names)


_INGESTER = """
import sys
import time
from nilometer.service.store import Store
store = Store(sys.argv[1], keys=("domain",))
print("open", flush=True)
while True:
    store.step()
    time.sleep(0.01)
"""


@pytest.mark.parametrize("round_number", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_nothing_is_lost_or_twice_when_the_store_is_killed_for_real(round_number, rows, frame_of, tmp_path):
    spool = Spool(tmp_path / "spool")
    with subprocess.Popen([sys.executable, "-c", _INGESTER, str(tmp_path)], stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        for i in range(60 + 37 * round_number):
            spool.write(frame_of(rows[i % 300], i))
        process.kill()
    spool.close()
    store = _store(tmp_path)
    store.step()
    ((n,),) = store.reader().execute("SELECT sum(n) FROM parts").fetchall()
    assert n == 60 + 37 * round_number
    assert list(store.spool.iterdir()) == []


def test_frame_of_counts_is_no_request(tmp_path):
    _spool(tmp_path, [Frame(id="1", time=5, outcome="counts", counts={"served": 2})])
    store = _store(tmp_path)
    assert store.step() == 0
    found = store.reader().execute("SELECT counts FROM captures WHERE process = '1'").fetchone()
    assert json.loads(found[0]) == {"served": 2}


def test_labels_lie_in_the_slices_that_the_sums_name(gemma, rows, frame_of, tmp_path):
    frames = [frame_of(row, i, attributes={"domain": f"d{i % 6}"}) for i, row in enumerate(rows[:60])]
    _spool(tmp_path, frames)
    store = Store(tmp_path, keys=("domain", "finish_reason", "temperature"), sentinel=gemma[3], most_slices=3)
    store.step()
    store.add_labels([LabelIn(f"chatcmpl-{i}", 1.0, is_random=True) for i in range(60)], who="ann")
    store.step()
    reader = store.reader()
    for key in ("domain", "finish_reason", "temperature"):
        labelled = {row.slice: row.n_random for row in realized_rows(reader, key, first_hour=HOUR, last_hour=HOUR)}
        requests = reader.execute("SELECT slice, sum(n) FROM requests WHERE slice_key=? GROUP BY 1", (key,)).fetchall()
        assert labelled == dict(requests)
        sums = {name for (name,) in reader.execute("SELECT DISTINCT slice FROM moments WHERE slice_key=?", (key,))}
        assert set(labelled) == sums
        drawn = random_labels(reader, key, first_hour=HOUR, last_hour=HOUR)
        assert {name: len(own) for (name, _), own in drawn.items()} == labelled
    assert "(other)" in {row.slice for row in realized_rows(reader, "domain", first_hour=HOUR, last_hour=HOUR)}


def test_labels_of_traces_without_a_model_lie_in_the_slice_of_the_sums(gemma, rows, frame_of, tmp_path):
    answers = [json.loads(frame_of(row, i).body) for i, row in enumerate(rows[:6])]
    bodies = [json.dumps({key: value for key, value in one.items() if key != "model"}).encode() for one in answers]
    frames = [frame_of(rows[i], i, model="", body=body) for i, body in enumerate(bodies)]
    lost = frame_of(rows[6], 6, model="", outcome="aborted", body=b"{")
    _spool(tmp_path, [*frames, lost])
    store = Store(tmp_path, keys=("model",), sentinel=gemma[3])
    store.step()
    store.add_labels([LabelIn(f"chatcmpl-{i}", 1.0, is_random=True) for i in range(6)], who="ann")
    store.step()
    reader = store.reader()
    labelled = {row.slice: row.n_random for row in realized_rows(reader, "model", first_hour=HOUR, last_hour=HOUR)}
    assert labelled == {"(none)": 6}
    requests = reader.execute("SELECT slice, sum(n) FROM requests WHERE slice_key='model' GROUP BY 1").fetchall()
    assert requests == [("(none)", 7)]
