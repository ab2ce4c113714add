import contextlib
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nilometer.errors import TraceFormatError
from nilometer.service.capture import HEAD_BYTES, Frame, FrameReader, Spool
from nilometer.service.capture.frames import check_head, decode_frame, encode_frame


def _frame(i, body=b""):
    return Frame(id=f"r{i}", time=i, outcome="served", body=body)


def _ids(data):
    reader = FrameReader(data)
    return [frame.id for _, frame in reader], reader


def test_what_was_written_is_read_back(frames, tmp_path):
    spool = Spool(tmp_path)
    wanted = [_frame(i, body=bytes(range(256)) * i) for i in range(5)]
    assert all(map(spool.write, wanted))
    assert frames(tmp_path) == wanted


def test_files_are_private(tmp_path):
    spool = Spool(tmp_path / "spool")
    spool.write(_frame(0))
    (path,) = (tmp_path / "spool").glob("*.spool")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize("damaged", [0, 1, 2])
@pytest.mark.parametrize("at", [0, 5, 9, 20])
def test_damaged_frame_is_skipped_and_counted(damaged, at):
    parts = [bytearray(encode_frame(_frame(i, body=b"x" * 50))) for i in range(3)]
    parts[damaged][at] ^= 0xFF
    found, reader = _ids(b"".join(parts) + encode_frame(_frame(3)))
    assert found == [f"r{i}" for i in range(4) if i != damaged]
    assert reader.n_damaged == 1


def test_torn_end_waits_for_its_writer():
    whole = encode_frame(_frame(0))
    for cut in range(1, len(whole)):
        found, reader = _ids(whole + whole[:cut])
        assert found == ["r0"]
        assert (reader.offset, reader.n_damaged) == (len(whole), 0)


def test_payload_that_is_no_frame_is_refused():
    with pytest.raises(TraceFormatError, match="not a frame of a spool"):
        decode_frame(b"\xc1")


def test_spool_of_another_version_or_kind_is_refused(tmp_path):
    spool = Spool(tmp_path)
    spool.write(_frame(0))
    head = next(tmp_path.glob("*.spool")).read_bytes()[:HEAD_BYTES]
    check_head(head, name="a")
    check_head(b"", name="a")
    with pytest.raises(TraceFormatError, match="a: spool version must be 1, got 2"):
        check_head(head[:8] + b"\x02" + head[9:], name="a")
    with pytest.raises(TraceFormatError, match="a: not a spool"):
        check_head(b"PAR1" + head[4:], name="a")


def _until(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _size(folder):
    total = 0
    for path in folder.glob("*.spool"):
        with contextlib.suppress(FileNotFoundError):  # dropped since it was listed
            total += path.stat().st_size
    return total


def test_full_folder_drops_the_oldest_and_counts_it(frames, tmp_path):
    spool = Spool(tmp_path, limit=8000)
    for i in range(200):
        spool.write(_frame(i, body=b"x" * 200))
    spool.write(_frame(200))
    _until(lambda: _size(tmp_path) <= 9000)
    _until(lambda: len(frames(tmp_path)) + spool.counts["dropped_spool_full"] == 201)
    kept = [frame.id for frame in frames(tmp_path)]
    assert kept == [f"r{i}" for i in range(201 - len(kept), 201)]


def test_file_of_a_living_process_is_not_dropped(frames, tmp_path):
    other = Spool(tmp_path, limit=1 << 30)
    other.write(_frame(-1))
    spool = Spool(tmp_path, limit=4000)
    for i in range(100):
        spool.write(_frame(i, body=b"x" * 200))
    _until(lambda: spool.counts["dropped_spool_full"] > 0)
    assert "r-1" in {frame.id for frame in frames(tmp_path)}


def test_fork_writes_a_file_of_its_own(frames, tmp_path):
    spool = Spool(tmp_path)
    spool.write(_frame(0))
    script = "child"
    pid = os.fork()
    if pid == 0:
        spool.write(Frame(id=script, time=1, outcome="served"))
        os._exit(0)
    os.waitpid(pid, 0)
    spool.write(_frame(1))
    assert {frame.id for frame in frames(tmp_path)} == {"r0", "r1", "child"}
    assert len(list(tmp_path.glob("*.spool"))) == 2


_WRITER = """
import sys
from nilometer.service.capture import Frame, Spool
spool = Spool(sys.argv[1])
for i in range(10**9):
    spool.write(Frame(id=str(i), time=i, outcome="served", body=b"x" * 2000))
    print(i, flush=True)
"""


def test_no_frame_that_was_written_is_lost_by_kill_9(frames, tmp_path):
    for round_number in range(3):
        folder = tmp_path / str(round_number)
        with subprocess.Popen(
            [sys.executable, "-c", _WRITER, str(folder)], stdout=subprocess.PIPE, text=True
        ) as process:
            for _ in range(50 + 17 * round_number):
                process.stdout.readline()
            process.send_signal(signal.SIGKILL)
            acknowledged = [line.strip() for line in process.stdout if line.endswith("\n")]
        found = [frame.id for frame in frames(folder)]
        last = int(acknowledged[-1]) if acknowledged else 49 + 17 * round_number
        assert found[: last + 1] == [str(i) for i in range(last + 1)]


def test_disk_that_is_full_is_counted_and_writing_goes_on_later(frames, tmp_path):
    (tmp_path / "spool").write_text("in the way")
    spool = Spool(tmp_path / "spool")
    assert not spool.write(_frame(0))
    (tmp_path / "spool").unlink()
    assert spool.write(_frame(1))
    assert spool.counts["dropped_disk"] == 1
    assert [frame.id for frame in frames(tmp_path / "spool")] == ["r1"]


def test_counts_are_written_on_close(tmp_path):
    spool = Spool(tmp_path)
    spool.counts["served"] += 3
    spool.write(_frame(0))
    spool.close()
    (path,) = tmp_path.glob("*.spool")
    last = [frame for _, frame in FrameReader(Path(path).read_bytes()[HEAD_BYTES:])][-1]
    assert (last.outcome, last.counts) == ("counts", {"served": 3})
