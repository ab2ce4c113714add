"""From paths to JSON objects: odd names, links, pipes, documents, compression, and files that grow without end."""

import gzip
import json
import os
import threading
import zipfile

import numpy as np
import pytest

from nilometer.errors import TraceFormatError
from nilometer.traces import expand_paths, read_traces
from nilometer.traces.sources import lines_of, objects, opened

LINE = json.dumps({"trace_id": "a", "answer": "4"})


def _read(path, **options):
    stream = read_traces(path, **options)
    return stream.read_all().num_rows, stream.report


def test_a_name_that_begins_with_a_tilde_is_a_name(tmp_path):
    (tmp_path / "~nobody.jsonl").write_text(LINE)
    assert _read(expand_paths(tmp_path))[0] == 1


def test_one_file_under_two_names_is_read_once(tmp_path, monkeypatch):
    (tmp_path / "t.jsonl").write_text(LINE)
    (tmp_path / "link.jsonl").symlink_to(tmp_path / "t.jsonl")
    monkeypatch.chdir(tmp_path)
    assert _read(["t.jsonl", tmp_path / "t.jsonl", tmp_path / "link.jsonl"])[0] == 1


def test_linked_folders_dangling_links_and_pipes_in_a_folder_are_named(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "t.jsonl").write_text(LINE)
    (tmp_path / "in" / "round").symlink_to(tmp_path / "in")
    (tmp_path / "in" / "gone").symlink_to(tmp_path / "nothing")
    os.mkfifo(tmp_path / "in" / "pipe")
    n, report = _read(tmp_path / "in")
    assert n == 1
    assert len(report.left_out) == 3
    assert any("round: a linked folder is not followed" in reason for reason in report.left_out)


def test_an_empty_file_in_a_folder_is_left_out_and_named(tmp_path):
    (tmp_path / "a.jsonl").write_text("")
    (tmp_path / "b.jsonl").write_text(LINE)
    n, report = _read(tmp_path)
    assert n == 1
    assert report.left_out == [f"{tmp_path}/a.jsonl: the file is empty."]


def test_a_file_that_vanishes_is_left_out_and_named(tmp_path):
    for name in ("a", "b"):
        (tmp_path / f"{name}.jsonl").write_text(LINE)
    paths = expand_paths(tmp_path)
    (tmp_path / "a.jsonl").unlink()
    n, report = _read(paths)
    assert n == 1
    assert "a.jsonl" in report.left_out[0]
    with pytest.raises(TraceFormatError, match="cannot be read"):
        _read(paths, strict=True)


def test_a_pipe_is_read_as_it_is_written(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=lambda: (tmp_path / "pipe").write_text(f"{LINE}\n{LINE}\n"))
    writer.start()
    assert _read(tmp_path / "pipe")[0] == 2
    writer.join()


@pytest.mark.parametrize(("device", "reason"), [("/dev/null", "is empty"), ("/dev/zero", "must be <= ")])
def test_devices_end_in_one_clear_line(monkeypatch, device, reason):
    monkeypatch.setattr("nilometer.traces.sources.bytes.LONGEST", 10_000_000)
    with pytest.raises(TraceFormatError, match=reason):
        _read(device)


def test_documents_one_after_the_other_and_lists_a_line_are_taken_apart(tmp_path):
    document = json.dumps(json.loads(LINE), indent=2)
    for text, n in (
        (f"{document}\n{document}\n", 2),
        (f"\n\n{document}\n", 1),
        (f"[{LINE}, {LINE}]\n[{LINE}]\n", 3),
        (json.dumps([json.loads(LINE)] * 2, indent=1), 2),
    ):
        (tmp_path / "t.json").write_text(text)
        assert _read(tmp_path / "t.json")[0] == n


def test_utf16_is_named(tmp_path):
    (tmp_path / "t.jsonl").write_bytes(LINE.encode("utf-16"))
    with pytest.raises(TraceFormatError, match="UTF-16"):
        _read(tmp_path / "t.jsonl")


def test_a_last_line_that_is_still_being_written_is_skipped(tmp_path):
    (tmp_path / "t.jsonl").write_text(f"{LINE}\n{LINE[:-4]}")
    n, report = _read(tmp_path / "t.jsonl")
    assert (n, report.n_bad, report.n_skipped, report.files[0].is_unfinished) == (1, 0, 1, True)
    with pytest.raises(TraceFormatError, match=":2: not a JSON object"):
        _read(tmp_path / "t.jsonl", strict=True)


def test_a_last_line_that_is_wrong_is_bad(tmp_path):
    (tmp_path / "t.jsonl").write_text(f"{LINE}\n{{broken")
    assert _read(tmp_path / "t.jsonl")[1].n_bad == 1


def test_skippable_frames_of_zstd_are_skipped(tmp_path):
    zstandard = pytest.importorskip("zstandard")
    frame = b"\x50\x2a\x4d\x18\x04\x00\x00\x00abcd"
    packed = zstandard.compress(f"{LINE}\n".encode())
    (tmp_path / "t.jsonl.zst").write_bytes(frame + packed + frame + packed)
    assert _read(tmp_path / "t.jsonl.zst")[0] == 2


def test_what_grows_without_end_is_refused(tmp_path):
    zstandard = pytest.importorskip("zstandard")
    blank = (b" " * 9_999 + b"\n") * 10_000
    (tmp_path / "t.zst").write_bytes(zstandard.compress(blank))
    with pytest.raises(TraceFormatError, match="compressed bytes have grown"):
        _read(tmp_path / "t.zst")


def test_an_archive_sets_no_size_by_what_it_claims(tmp_path):
    with zipfile.ZipFile(tmp_path / "t.eval", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("samples/1_epoch_1.json", b" " * 200_000_000)
    with pytest.raises(TraceFormatError, match="grown"):
        _read(tmp_path / "t.eval")


def test_a_compression_that_nobody_knows_is_damage(tmp_path):
    with zipfile.ZipFile(tmp_path / "t.eval", "w") as archive:
        archive.writestr("samples/1_epoch_1.json", LINE)
    data = (tmp_path / "t.eval").read_bytes()
    for mark, place in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        at = data.index(mark) + place
        data = data[:at] + b"\x63\x00" + data[at + 2 :]
    (tmp_path / "t.eval").write_bytes(data)
    with pytest.raises(TraceFormatError, match="damaged"):
        _read(tmp_path / "t.eval")


def test_a_sample_that_lost_its_folder_is_damage(tmp_path):
    with zipfile.ZipFile(tmp_path / "t.eval", "w") as archive:
        archive.writestr("samples/1_epoch_1.json", LINE)
        archive.writestr("samplez/2_epoch_1.json", LINE)
    with pytest.raises(TraceFormatError, match="should stand in samples/"):
        _read(tmp_path / "t.eval")


def test_a_long_line_is_read_and_a_longer_one_refused(tmp_path, monkeypatch):
    (tmp_path / "t.jsonl").write_text(json.dumps({"trace_id": "a", "answer": "x" * 9_000_000}) + "\n")
    assert _read(tmp_path / "t.jsonl")[0] == 1
    monkeypatch.setattr("nilometer.traces.sources.bytes.LONGEST", 5_000_000)
    with pytest.raises(TraceFormatError, match="must be <= 4 MB"):
        _read(tmp_path / "t.jsonl")


def test_gzip_is_decoded_beside_and_gives_the_same(tmp_path):
    text = "".join(json.dumps({"trace_id": str(i), "answer": "x" * 1000}) + "\n" for i in range(9000))
    (tmp_path / "t.jsonl").write_text(text)
    (tmp_path / "t.jsonl.gz").write_bytes(gzip.compress(text.encode(), 1))
    assert read_traces(tmp_path / "t.jsonl").read_all() == read_traces(tmp_path / "t.jsonl.gz").read_all()


@pytest.mark.parametrize("longest", [3, 2_000, 700_000])
def test_lines_of_any_length_come_as_they_stand(tmp_path, longest):
    lengths = np.random.default_rng(0).integers(0, longest, max(40, 4_000_000 // longest // 10))
    data = b"\n".join(b"x" * int(length) for length in lengths) + b"\ny"
    (tmp_path / "lines").write_bytes(data)
    with opened(tmp_path / "lines") as file:
        found = list(lines_of(tmp_path / "lines", file))
    assert [line for line, _ in found] == data.split(b"\n")
    assert [is_cut for _, is_cut in found] == [False] * len(lengths) + [True]


def test_a_broken_document_is_tried_a_bounded_number_of_times(tmp_path, monkeypatch):
    tried = []
    real = objects._fault
    monkeypatch.setattr(objects, "_fault", lambda document: tried.append(len(document)) or real(document))
    lines = [LINE, "{", *['"a": 1,', "}"] * 2000, LINE]
    (tmp_path / "t.jsonl").write_text("\n".join(lines) + "\n")
    table, report = _read(tmp_path / "t.jsonl")
    assert (table, report.n_bad) == (2, 4001)
    assert len(tried) <= 64
