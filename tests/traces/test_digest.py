"""Digests of columns: what they must see and what must not matter."""

import decimal
import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nilometer.traces.digest import ColumnDigests

TABLE = pa.table(
    {
        "int": pa.array([1, None, 3], pa.int32()),
        "float": [0.5, None, float("nan")],
        "half": pa.array(np.array([1, 2, np.nan], np.float16)),
        "bool": [True, None, False],
        "text": ["a", None, "c"],
        "coded": pa.array(["a", None, "c"]).dictionary_encode(),
        "bytes": pa.array([b"ab", None, b"cd"], pa.binary(2)),
        "seconds": pa.array([1, None, 3], pa.timestamp("s")),
        "time": pa.array([1, None, 3], pa.timestamp("us", tz="UTC")),
        "date": pa.array([86_400_000, None, 0], pa.date64()),
        "clock": pa.array([1, None, 3], pa.time32("s")),
        "decimal": [decimal.Decimal("1.5"), None, decimal.Decimal("2.5")],
        "nothing": pa.nulls(3),
        "map": pa.array([[("a", "b")], None, []], pa.map_(pa.string(), pa.string())),
        "list": pa.array([[1.0, None], None, []], pa.list_(pa.float32())),
        "pair": pa.array([[1, 2], None, [3, 4]], pa.list_(pa.int8(), 2)),
        "struct": [{"a": 1, "b": "x"}, None, {"a": None, "b": "y"}],
    }
)


def digests(*parts):
    found = ColumnDigests()
    for part in parts:
        found.add(part)
    return found.finish()


def test_neither_batches_nor_slices_nor_parquet_change_a_digest():
    whole = digests(TABLE)
    assert digests(*(TABLE.slice(i, 1) for i in range(3))) == whole
    assert digests(pa.concat_tables([TABLE.slice(0, 0), TABLE])) == whole
    file = io.BytesIO()
    pq.write_table(TABLE, file)
    assert digests(pq.read_table(file)) == whole


@pytest.mark.parametrize("name", [name for name in TABLE.column_names if name != "nothing"])
def test_order_length_name_and_missing_values_change_a_digest(name):
    column = TABLE[name]
    known = column.take(pa.array([0, 2]))
    all_of_it = [digests(pa.table({name: column}))[name]]
    for other in (column.take(pa.array([2, 1, 0])), column.slice(0, 2), known, column.take(pa.array([1, 0, 2]))):
        all_of_it.append(digests(pa.table({name: other}))[name])
    assert len(set(all_of_it)) == len(all_of_it)
    assert digests(pa.table({"other": column}))["other"] != all_of_it[0]


def test_types_and_where_a_text_ends_change_a_digest():
    same = [
        pa.array([1, 2]),
        pa.array([1, 2], pa.int32()),
        pa.array([1.0, 2.0]),
        pa.array(["1", "2"]),
        pa.array(["12", ""]),
        pa.array([["1"], ["2"]]),
        pa.array([["1", "2"], []]),
        pa.array([[["1", "2"]], []]),
        pa.array([1, 2], pa.timestamp("us")),
        pa.array([1, 2], pa.timestamp("us", tz="UTC")),
    ]
    assert len({digests(pa.table({"a": column}))["a"] for column in same}) == len(same)
