from nilometer.service import Spool, Store, check_store


def test_check_finds_a_changed_a_missing_and_an_unknown_file(gemma, frame_of, tmp_path):
    spool = Spool(tmp_path / "spool")
    for i, row in enumerate(gemma[0].slice(0, 3).to_pylist()):
        spool.write(frame_of(row, i, seconds=3600 * i))
    spool.close()
    store = Store(tmp_path)
    store.step()
    assert check_store(store.reader(), tmp_path)[3:] == ((), ())
    files = sorted(tmp_path.glob("profiles/*/*/*.parquet"))
    files[0].write_bytes(b"other")
    files[1].unlink()
    (files[2].parent / "left.part").write_bytes(b"")
    found = check_store(store.reader(), tmp_path)
    assert (found.n_files, found.n_responses) == (3, 3)
    assert [line.rpartition(": ")[2] for line in found.damaged] == ["not the content that was committed.", "missing."]
    assert [line.rpartition("/")[2] for line in found.unknown] == ["left.part: not in the manifest."]
