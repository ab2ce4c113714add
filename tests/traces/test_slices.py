import numpy as np
import pyarrow as pa
import pytest

from nilometer.errors import ConfigError
from nilometer.traces import TRACE_SCHEMA, slice_names


@pytest.fixture
def table():
    rows = [
        {"trace_id": "a", "model": "m", "n_tokens": 3, "attributes": [("domain", "gcd"), ("it's", "x")]},
        {"trace_id": "b", "model": "m", "n_tokens": 30, "attributes": [("domain", "sum")]},
        {"trace_id": "c", "model": None, "n_tokens": 5, "attributes": None},
    ]
    return pa.Table.from_pylist(rows, schema=TRACE_SCHEMA)


def test_one_key_gives_its_value(table):
    assert slice_names(table, ["domain"]).to_pylist() == ["gcd", "sum", "(none)"]


def test_a_lone_string_is_one_item(table):
    assert slice_names(table, "model").to_pylist() == ["m", "m", "(none)"]


def test_several_items_are_joined(table):
    assert slice_names(table, ["domain", "model"]).to_pylist()[0] == "domain=gcd, model=m"


def test_no_item_gives_one_slice(table):
    assert set(slice_names(table, []).to_pylist()) == {"all"}


def test_sql_reaches_columns_and_attributes(table):
    names = slice_names(table, ["n_tokens > 4 AND domain = 'sum'"]).to_pylist()
    assert names == ["false", "true", "(none)"]


def test_quotes_in_a_key_are_safe(table):
    assert slice_names(table, ["it's"]).to_pylist() == ["x", "(none)", "(none)"]


def test_an_unknown_name_suggests_the_near_one(table):
    with pytest.raises(ConfigError, match=r"got 'domian'\. Did you mean `domain`\?.*Attributes: domain, it's"):
        slice_names(table, ["domian"])


def test_broken_sql_is_a_config_error(table):
    with pytest.raises(ConfigError, match="must be SQL that DuckDB can run"):
        slice_names(table, ["n_tokens >"])


def test_an_aggregate_is_refused(table):
    with pytest.raises(ConfigError, match="`by` must"):
        slice_names(table, ["max(n_tokens)"])


def test_a_record_batch_works_too(table):
    assert slice_names(table.to_batches()[0], ["trace_id"]).to_pylist() == ["a", "b", "c"]


def test_rows_keep_their_order():
    numbers = np.arange(300_000)
    names = slice_names(pa.table({"n": numbers}), ["n + 0"])
    assert np.array_equal(names.cast(pa.int64()).to_numpy(), numbers)
