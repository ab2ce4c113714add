"""Files of profiles across versions of the library."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nilometer.cli import main
from nilometer.errors import TraceFormatError
from nilometer.signals import FEATURE_NAMES, is_profile_file, profile_traces, read_profiles, write_profiles
from nilometer.traces import corpus_path, read_traces, write_traces


@pytest.fixture(scope="module")
def profiles():
    return profile_traces(read_traces(corpus_path("smollm2")))


def test_profiles_come_back_with_their_version(tmp_path, profiles):
    write_profiles(tmp_path / "p.parquet", profiles)
    assert is_profile_file(tmp_path / "p.parquet")
    assert pq.read_schema(tmp_path / "p.parquet").metadata[b"nilometer.profile_version"] == b"1"
    assert read_profiles([tmp_path / "p.parquet"]).select(profiles.column_names).equals(profiles)


@pytest.mark.parametrize("with_version", [True, False])
def test_a_feature_that_a_file_lacks_is_nan_there(tmp_path, profiles, with_version):
    old, new = tmp_path / "old.parquet", tmp_path / "new.parquet"
    without = profiles.drop_columns(["varentropy_max"])
    write_profiles(old, without) if with_version else pq.write_table(without, old)
    write_profiles(new, profiles)
    assert is_profile_file(old)
    for paths, n_known in (([old], 0), ([old, new], len(profiles))):
        found = read_profiles(paths)
        assert set(FEATURE_NAMES) <= set(found.column_names)
        values = found["varentropy_max"].to_numpy()
        assert np.isnan(values[: len(profiles)]).all()
        assert (~np.isnan(values)).sum() == n_known


def test_the_report_of_an_old_file_is_that_of_a_new_one_where_the_feature_is_not_used(tmp_path, profiles, capsys):
    out = []
    for name, table in (("old", profiles.drop_columns(["varentropy_max"])), ("new", profiles)):
        pq.write_table(table, tmp_path / f"{name}.parquet")
        with pytest.raises(SystemExit) as caught:
            main(["report", str(tmp_path / f"{name}.parquet"), "--by", "domain"])
        assert caught.value.code == 0
        out.append(capsys.readouterr().out.replace(f"{name}.parquet", "FILE"))
    assert out[0] == out[1]


def test_traces_and_other_files_are_no_profiles(tmp_path):
    write_traces(tmp_path / "t.parquet", read_traces(corpus_path("smollm2")))
    (tmp_path / "t.jsonl").write_text("{}")
    pq.write_table(pa.table({"max": [1.0]}), tmp_path / "other.parquet")
    assert [is_profile_file(tmp_path / name) for name in ("t.parquet", "t.jsonl", "other.parquet")] == [False] * 3


def test_a_newer_format_and_columns_that_do_not_fit_are_refused(tmp_path, profiles):
    path, other = tmp_path / "p.parquet", tmp_path / "q.parquet"
    pq.write_table(profiles.replace_schema_metadata({"nilometer.profile_version": "2"}), path)
    with pytest.raises(TraceFormatError, match=r"p.parquet: profile version must be <= 1, got 2. Update nilometer."):
        read_profiles([path])
    write_profiles(path, profiles)
    place = profiles.schema.get_field_index("attributes")
    write_profiles(other, profiles.set_column(place, "attributes", pa.array(range(len(profiles)))))
    with pytest.raises(TraceFormatError, match=r"p.parquet, .*q.parquet: columns do not fit together"):
        read_profiles([path, other])


def test_profiles_without_a_feature_are_refused(tmp_path, profiles):
    path = tmp_path / "p.parquet"
    write_profiles(path, profiles.select([name for name in profiles.column_names if name not in FEATURE_NAMES]))
    with pytest.raises(TraceFormatError, match=r"p.parquet: profiles must have a feature, got trace_id"):
        read_profiles([path])


def test_files_whose_answers_tie_in_their_doubt_are_read(tmp_path, capsys):
    table = read_traces(corpus_path("smollm2")).read_all().slice(0, 300)
    for day in range(4):
        ids = pa.array([f"{day}-{i}" for i in range(len(table))])
        write_traces(tmp_path / f"day{day}.parquet", table.set_column(0, table.schema.field(0), ids))
    with pytest.raises(SystemExit) as caught:
        main(["profile", str(tmp_path), "--out", str(tmp_path / "p.parquet")])
    assert caught.value.code == 0, capsys.readouterr().err
    assert pq.read_metadata(tmp_path / "p.parquet").num_rows == 1200
