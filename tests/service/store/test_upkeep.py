"""Compaction, retention, forgetting and export of a store."""

import csv
import json
import sqlite3

import numpy as np
import pyarrow.parquet as pq
import pytest

from nilometer.errors import TraceFormatError
from nilometer.estimators import Sentinel
from nilometer.service.capture import HEAD_BYTES, Spool
from nilometer.service.store import (
    LabelIn,
    Retention,
    Store,
    check_store,
    export_estimates,
    export_labels,
    export_profiles,
)
from nilometer.traces import read_labels

HOUR = 1_795_003_200_000_000 // 3_600_000_000
NOW = (HOUR + 1) * 3600.0
"""A moment at which the hour of the frames is not over for compaction."""
LATER = (HOUR + 2) * 3600.0


@pytest.fixture
def rows(gemma):
    return gemma[0].take(np.arange(0, 1200, 40)).to_pylist()


def _write(folder, frames):
    spool = Spool(folder / "spool")
    for frame in frames:
        assert spool.write(frame)
    spool.close()


def _filled(folder, rows, frame_of, *, gemma=None, n_files=3, texts=False, **options):
    """A store with its responses in several files of one hour, by two users in turn."""
    sentinel = gemma[3] if gemma else None
    store = Store(folder, keys=("domain",), sentinel=sentinel, **options)
    request = json.dumps({"messages": [{"role": "user", "content": "secret question"}]}).encode() if texts else b""
    for part in np.array_split(np.arange(len(rows)), n_files):
        frames = [
            frame_of(
                rows[i],
                i,
                texts=texts,
                request=request,
                attributes={"domain": dict(rows[i]["attributes"])["domain"], "user": f"u{i % 2}"},
            )
            for i in part
        ]
        _write(folder, frames)
        store.step(now=NOW)
    return store


def _files(store):
    return sorted(store.root.glob("profiles/*/*/*"))


def _sums(store):
    query = "SELECT slice_key, hour, slice, model, sums FROM sums ORDER BY 1, 2, 3, 4"
    return store.reader().execute(query).fetchall()


def test_small_files_of_an_hour_that_is_over_become_one(rows, frame_of, gemma, tmp_path):
    store = _filled(tmp_path, rows, frame_of, gemma=gemma)
    assert len(_files(store)) == 3
    before, ids = _sums(store), _trace_ids(store)
    store.step(now=LATER)
    assert store.reader().execute("SELECT count(*), sum(n) FROM parts").fetchone() == (1, 30)
    assert len(_files(store)) == 4  # readers may still know the old ones
    store.step(now=LATER + 1e9)
    assert len(_files(store)) == 1
    assert (_sums(store), _trace_ids(store)) == (before, ids)
    assert store.rescoring() == (30, 30)
    assert check_store(store.reader(), tmp_path)[3:] == ((), ())


def _trace_ids(store):
    files = [file for (file,) in store.reader().execute("SELECT file FROM parts ORDER BY file")]
    tables = [pq.read_table(store.root / file, partitioning=None) for file in files]
    return sorted(name for table in tables for name in table["trace_id"].to_pylist())


def test_compaction_again_changes_nothing(rows, frame_of, tmp_path):
    store = _filled(tmp_path, rows, frame_of, texts=True)
    assert store.compact(now=LATER) == 2  # profiles and texts
    parts = store.reader().execute("SELECT * FROM parts").fetchall()
    assert store.compact(now=LATER) == 0
    assert store.reader().execute("SELECT * FROM parts").fetchall() == parts
    assert store.text_of("chatcmpl-7", store.reader()).prompt == "user: secret question"


def test_hour_that_is_not_over_is_left_alone(rows, frame_of, tmp_path):
    store = _filled(tmp_path, rows, frame_of)
    assert store.compact(now=NOW) == 0


def test_files_of_different_sentinels_are_put_together_when_both_have_scored(rows, frame_of, gemma, tmp_path):
    store = _filled(tmp_path, rows[:20], frame_of, n_files=1)
    store.close()
    store = Store(tmp_path, keys=("domain",), sentinel=gemma[3])
    _write(tmp_path, [frame_of(row, 100 + i) for i, row in enumerate(rows[20:])])
    store.step(now=LATER)
    store.step(now=LATER)
    assert store.reader().execute("SELECT count(*), sum(n) FROM parts").fetchone() == (1, 30)
    assert sum(row.belief.n for row in store.estimates(first_hour=HOUR, last_hour=HOUR)) == 30


def test_damaged_file_is_named_and_kept_out_of_compaction(rows, frame_of, tmp_path):
    store = _filled(tmp_path, rows, frame_of)
    _files(store)[1].write_bytes(b"other")
    store.step(now=LATER)
    assert "not the content that was committed" in store.problems["files"]
    assert store.reader().execute("SELECT count(*) FROM parts").fetchone() == (3,)


@pytest.mark.parametrize(
    ("retention", "kept"),
    [
        (Retention(profile_days=1), (0, 0, True)),
        (Retention(text_days=1), (1, 0, True)),
        (Retention(profile_days=1, text_days=10), (0, 1, True)),
        (Retention(sum_days=1), (1, 1, False)),
        (Retention(most_bytes=1), (0, 0, True)),
        (Retention(most_bytes=1 << 30), (1, 1, True)),
        (Retention(profile_days=3), (1, 1, True)),
    ],
)
def test_what_is_too_old_or_too_much_goes(retention, kept, rows, frame_of, gemma, tmp_path):
    store = _filled(tmp_path, rows, frame_of, gemma=gemma, n_files=1, texts=True)
    store.close()
    store = Store(tmp_path, keys=("domain",), sentinel=gemma[3], retention=retention)
    store.step(now=NOW + 47 * 3600)
    counts = [store.reader().execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in ("parts", "texts")]
    assert (*counts, bool(_sums(store))) == kept


def test_retention_by_size_drops_the_oldest_hours(rows, frame_of, tmp_path):
    store = Store(tmp_path)
    for hour in range(3):
        _write(tmp_path, [frame_of(row, 100 * hour + i, seconds=3600 * hour) for i, row in enumerate(rows[:5])])
    store.step(now=NOW)
    sizes = [size for (size,) in store.reader().execute("SELECT sum(bytes) FROM parts GROUP BY hour ORDER BY hour")]
    store._retention = Retention(most_bytes=sizes[1] + sizes[2])
    store.step(now=NOW + 3600)
    assert store.reader().execute("SELECT DISTINCT hour FROM parts").fetchall() == [(HOUR + 1,), (HOUR + 2,)]
    store.step(now=NOW + 1e9)
    assert len(list(tmp_path.glob("profiles/*/*"))) == 2


def test_retention_must_be_positive():
    with pytest.raises(ValueError, match="`profile_days` must be > 0, got 0"):
        Retention(profile_days=0)


def test_user_is_forgotten_and_sums_stay(rows, frame_of, gemma, tmp_path):
    store = _filled(tmp_path, rows, frame_of, gemma=gemma, texts=True)
    store.add_labels([LabelIn("chatcmpl-1", True, key="u1-1"), LabelIn("chatcmpl-2", False)], who="x")
    store.step(now=NOW)
    before = _sums(store)
    found = store.forget("u1", who="admin")
    assert found == (15, 15, 1)
    assert _sums(store) == before
    assert all(int(name.removeprefix("chatcmpl-")) % 2 == 0 for name in _trace_ids(store))
    assert store.text_of("chatcmpl-1", store.reader()) is None
    assert store.text_of("chatcmpl-2", store.reader()) is not None
    labels = store.reader().execute("SELECT trace_id, key, attributes FROM labels ORDER BY id").fetchall()
    assert [name for name, *_ in labels] == ["forgotten-1", "chatcmpl-2"]
    assert labels[0][1] == "forgotten-1"
    assert "user" not in json.loads(labels[0][2])
    assert check_store(store.reader(), tmp_path)[3:] == ((), ())
    assert store.forget("u1") == (0, 0, 0)
    assert store.rescoring() == (15, 15)
    acts = store.reader().execute("SELECT who, detail FROM audit WHERE act='forget'").fetchall()
    assert acts[0] == ("admin", "15 responses by user")


def test_answers_of_a_forgotten_user_go_from_a_spool_that_is_still_written(rows, frame_of, tmp_path):
    store = Store(tmp_path)
    spool = Spool(tmp_path / "spool")
    for i in range(3):
        spool.write(frame_of(rows[i], i, attributes={"domain": "d", "user": f"u{i}"}))
    store.forget("u1")
    (path,) = store.spool.glob("*.spool")
    data = path.read_bytes()
    assert not any(data[HEAD_BYTES:])
    spool.write(frame_of(rows[3], 3))
    assert store.step(now=NOW) == 1
    spool.close()
    store.step(now=NOW)
    assert store.health()["damaged_frames"] == 0
    assert store.reader().execute("SELECT sum(n) FROM parts").fetchone() == (3,)


def test_both_sentinels_are_shown_until_the_new_one_has_scored_all(rows, frame_of, gemma, tmp_path, monkeypatch):
    _, profiles, domains, old = gemma
    new = Sentinel(method="pcc", bootstraps=0).fit(profiles, profiles["correct"].to_numpy(), groups=domains)
    store = _filled(tmp_path, rows, frame_of, gemma=gemma)
    store.close()
    monkeypatch.setattr("nilometer.service.store.store._MOST_PARTS", 1)
    store = Store(tmp_path, keys=("domain",), sentinel=new, previous=old)
    _write(tmp_path, [frame_of(rows[0], 99)])
    store.step(now=NOW)
    span = {"first_hour": HOUR, "last_hour": HOUR}
    assert store.previous is old
    assert store.rescoring() == (11, 31)
    assert [row.belief.n for row in store.estimates(**span)] == [11]
    assert [row.belief.n for row in store.estimates(**span, sentinel=old)] == [31]
    for _ in range(3):
        store.step(now=NOW)
    assert store.previous is None
    assert [row.belief.n for row in store.estimates(**span)] == [31]


def test_exports_are_what_the_store_knows(rows, frame_of, gemma, tmp_path):
    store = _filled(tmp_path / "store", rows, frame_of, gemma=gemma)
    store.add_labels([LabelIn("chatcmpl-1", True, source="judge")], who="x")
    reader = store.reader()
    assert export_profiles(reader, store.root, tmp_path / "p.parquet", hours=(HOUR, HOUR)) == 30
    table = pq.read_table(tmp_path / "p.parquet")
    assert sorted(table["trace_id"].to_pylist()) == _trace_ids(store)
    assert len(gemma[3].estimate(table)) == 1
    assert export_profiles(reader, store.root, tmp_path / "none.parquet", hours=(0, 1)) == 0
    assert export_labels(reader, tmp_path / "l.csv") == 1
    assert export_estimates(store.estimates(first_hour=HOUR, last_hour=HOUR), tmp_path / "e.csv") == 1
    with (tmp_path / "l.csv").open() as file:
        (label,) = csv.DictReader(file)
    assert (label["trace_id"], label["correct"], label["source"]) == ("chatcmpl-1", "1.0", "judge")
    with (tmp_path / "e.csv").open() as file:
        (estimate,) = csv.DictReader(file)
    assert (estimate["n"], estimate["from"]) == ("30", "2026-11-18T12:00:00+00:00")
    assert float(estimate["low"]) < float(estimate["accuracy"]) < float(estimate["high"])


def test_texts_of_an_export_are_no_formulas_and_its_labels_are_read_back(rows, frame_of, gemma, tmp_path):
    store = _filled(tmp_path / "store", rows, frame_of, gemma=gemma)
    (row,) = store.estimates(first_hour=HOUR, last_hour=HOUR)
    export_estimates([row._replace(slice="=cmd|' /C calc'!A0")], tmp_path / "e.csv")
    assert ",'=cmd" in (tmp_path / "e.csv").read_text()
    store.add_labels([LabelIn("-x1", True, source="judge"), LabelIn("'tis", False)], who="=who()")
    export_labels(store.reader(), tmp_path / "l.csv")
    assert "'=who()" in (tmp_path / "l.csv").read_text()
    assert read_labels(tmp_path / "l.csv")["trace_id"].to_pylist() == ["-x1", "'tis"]


def test_export_names_a_damaged_file(rows, frame_of, tmp_path):
    store = _filled(tmp_path / "store", rows, frame_of)
    _files(store)[0].unlink()
    with pytest.raises(TraceFormatError, match=r"missing\. Run `nilometer store check`"):
        export_profiles(store.reader(), store.root, tmp_path / "p.parquet", hours=(0, HOUR))


def test_compaction_that_fails_at_the_commit_is_done_again(rows, frame_of, tmp_path, monkeypatch):
    store = _filled(tmp_path, rows, frame_of)

    def full(*args, **kwargs):
        raise sqlite3.OperationalError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr("nilometer.service.store.upkeep.replace_parts", full)
        store.step(now=LATER)
    assert "disk full" in store.problems["write"]
    store.step(now=LATER)
    store.step(now=LATER + 1e9)
    assert len(_files(store)) == 1
    assert store.problems == {}
