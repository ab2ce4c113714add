"""Disks that fail under the spool."""

import errno
import os
import struct
import zlib

import pytest

from nilometer.service.capture import HEAD_BYTES, Frame, FrameReader, Settings, Spool, spool as spools
from nilometer.service.capture.frames import encode_frame
from nilometer.service.capture.recorder import Recorder
from nilometer.service.capture.requests import slice_values
from nilometer.service.capture.sampling import SliceRates


def _frame(i):
    return Frame(id=f"r{i}", time=i, outcome="served", body=b"x" * 100)


def test_frame_that_fits_only_in_part_is_taken_back(frames, tmp_path, monkeypatch):
    spool, write = Spool(tmp_path), os.write
    assert spool.write(_frame(0))
    monkeypatch.setattr(spools.os, "write", lambda fd, data: write(fd, data[: len(data) // 2]))
    assert not spool.write(_frame(1))
    assert not spool.write(_frame(2))
    monkeypatch.undo()
    assert spool.write(_frame(3))
    assert spool.counts["dropped_disk"] == 2
    assert [frame.id for frame in frames(tmp_path)] == ["r0", "r3"]


def test_file_that_cannot_be_begun_is_closed_and_tried_again(frames, tmp_path, monkeypatch):
    spool, rename = Spool(tmp_path), spools.Path.rename

    def fails(self, target):
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr(spools.Path, "rename", fails)
    assert not spool.write(_frame(0))
    monkeypatch.setattr(spools.Path, "rename", rename)
    assert spool.write(_frame(1))
    assert [frame.id for frame in frames(tmp_path)] == ["r1"]


def test_disk_that_cannot_be_synced_is_said_and_answers_go_on(tmp_path, caplog, monkeypatch):
    fd = os.open(tmp_path / "f", os.O_CREAT | os.O_WRONLY)

    def fails(_):
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr(spools.os, "fdatasync", fails)
    spools._sync_and_close(fd)
    assert "nilometer cannot sync its spool ([Errno 5] broken); answers go on." in caplog.text
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)


def test_frame_of_another_shape_is_counted_and_skipped(tmp_path):
    spool = Spool(tmp_path)
    spool.write(_frame(0))
    whole = next(tmp_path.glob("*.spool")).read_bytes()[HEAD_BYTES:]
    reader = FrameReader(whole + _packed(b"\xc1") + encode_frame(_frame(1)))
    assert [frame.id for _, frame in reader if frame.outcome == "served"] == ["r0", "r1"]
    assert reader.n_damaged == 1


def _packed(payload):
    """A frame with a right checksum around something that is no frame."""
    mark = encode_frame(_frame(0))[:4]
    return struct.pack("<4sII", mark, len(payload), zlib.crc32(payload)) + payload


def test_refusal_of_a_model_is_remembered_for_its_time(tmp_path, monkeypatch):
    recorder = Recorder(Settings(spool=str(tmp_path)))
    recorder.note_refusal("m")
    assert recorder._is_refused("m")
    monkeypatch.setattr("nilometer.service.capture.recorder.time.monotonic", lambda: 1e12)
    assert not recorder._is_refused("m")
    assert recorder._refusals == {}
    monkeypatch.undo()
    recorder.spool.close()


@pytest.mark.parametrize("body", [b"no json", b"\xff", b'{"metadata": [1]}', b"[]"])
def test_requests_of_another_shape_have_no_slices(body):
    assert slice_values(body, [(b"x-nilometer-route", b"faq")], Settings()) == {"route": "faq"}


def test_rates_of_the_slices_seen_longest_ago_are_forgotten(monkeypatch):
    monkeypatch.setattr("nilometer.service.capture.sampling._MOST_SLICES", 2)
    rates = SliceRates(1.0, 1)
    for name in ("a", "a", "b", "c"):
        rates.next(name, 0.0)
    assert (rates.next("c", 0.0), rates.next("a", 0.0)) == (0.5, 1.0)
