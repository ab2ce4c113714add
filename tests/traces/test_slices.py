from pathlib import Path

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


PROBES = [
    "read_text('/etc/passwd')",
    "(SELECT content FROM read_text('/proc/self/environ'))",
    "(SELECT max(size) FROM read_blob('/etc/shadow'))",
    "(SELECT count(*) FROM glob('/root/*'))",
    "(SELECT 1 FROM sniff_csv('/etc/passwd'))",
    "(SELECT 1 FROM '/tmp/x.parquet')",
    "1) FROM source; COPY (SELECT 1) TO '/tmp/nilometer-probe'; SELECT (1",
    "1) FROM source; EXPORT DATABASE '/tmp/nilometer-probe'; SELECT (1",
    "1) FROM source; ATTACH '/tmp/nilometer-probe'; SELECT (1",
    "1) FROM source; SET memory_limit = '1TB'; SELECT (1",
    "1) FROM source; INSTALL httpfs; SELECT (1",
    "1) FROM source; LOAD '/tmp/x'; SELECT (1",
    "1) FROM source UNION ALL SELECT (2",
    "1) FROM read_text('/etc/passwd') --",
    "(SELECT 1 FROM numbered)",
    "(WITH RECURSIVE t(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM t) SELECT max(i) FROM t)",
    "(SELECT count(*) FROM range(100000) a, range(100000) b)",
    "repeat('x', 2000000000)",
    "len(range(500000000))",
    "rpad('x', 2000000000, 'y')",
    "printf('%2000000000d', 1)",
    "getenv('HOME')",
    "getvariable('x')",
    "current_setting('memory_limit')",
    "random()",
    "now()",
    "list_transform([1], lambda x: x)",
    "max(n_tokens) OVER ()",
    "max(n_tokens)",
    "first(model ORDER BY time)",
    "*",
    "COLUMNS('.*')",
    "?",
    "$1",
    "a, b",
    "EXISTS (SELECT 1)",
    "unnest([1, 2])",
    "n_tokens) AS x, (model",
    "\x00",
    "'" + "x" * 100_000,
    "(" * 10_000,
    "\ud800 + 1",
]


@pytest.mark.parametrize("probe", PROBES, ids=range(len(PROBES)))
def test_an_expression_cannot_leave_its_row(table, tmp_path, monkeypatch, probe):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="`by` must"):
        slice_names(table, [probe])
    assert list(tmp_path.iterdir()) == []
    assert not Path("/tmp/nilometer-probe").exists()


@pytest.mark.parametrize(
    ("expression", "names"),
    [
        ("date_trunc('month', time) IS NULL", ["true"] * 3),
        ("n_tokens BETWEEN 4 AND 40", ["false", "true", "true"]),
        ("CASE WHEN n_tokens > 4 THEN 'long' ELSE 'short' END", ["short", "long", "long"]),
        ("coalesce(domain, 'other') || '/' || n_tokens::int % 2", ["gcd/1", "sum/0", "other/1"]),
        ("attributes['domain']", ["gcd", "sum", "(none)"]),
        ("\"it's\" LIKE 'x%'", ["true", "(none)", "(none)"]),
        ("Model IN ('m', 'n')", ["true", "true", "(none)"]),
        ("1 + 1", ["2"] * 3),
        ("if(n_tokens > 4, lower(DOMAIN), NULL)", ["(none)", "sum", "(none)"]),
    ],
)
def test_an_expression_says_one_thing_of_each_row(table, expression, names):
    assert slice_names(table, [expression]).to_pylist() == names


def test_an_attribute_in_other_capitals_or_without_a_name_changes_nothing(table):
    rows = [*table.to_pylist(), {"trace_id": "d", "attributes": [("Domain", "HIJACK"), ("", "y")]}]
    wider = pa.Table.from_pylist(rows, schema=TRACE_SCHEMA)
    assert slice_names(wider, ["domain"]).to_pylist() == ["gcd", "sum", "(none)", "(none)"]
    assert slice_names(wider, ["upper(domain)"]).to_pylist() == ["GCD", "SUM", "(none)", "(none)"]
    assert slice_names(wider, ["Domain"]).to_pylist()[3] == "HIJACK"
    with pytest.raises(ConfigError, match="must not name domain and Domain in one expression"):
        slice_names(wider, ["domain || Domain"])
    with pytest.raises(ConfigError, match="got 'DOMAIN'"):
        slice_names(wider, ["lower(DOMAIN)"])


def test_a_name_with_a_dot_in_an_expression_takes_quotes(table):
    with pytest.raises(ConfigError, match=r'Write "session\.id" in double quotes'):
        slice_names(table, ["session.id || ''"])


def test_values_that_read_like_others_are_put_in_quotes():
    table = pa.table({"a": ["1, b=2", "1", "(none)", None], "b": ["3", "2, b=3", "x", "x"]})
    assert len(set(slice_names(table, ["a", "b"]).to_pylist())) == 4
    assert slice_names(table, ["a"]).to_pylist()[2:] == ['"(none)"', "(none)"]


def test_an_expression_that_takes_too_long_is_stopped(monkeypatch):
    monkeypatch.setattr("nilometer.traces.expressions._SECONDS", 0.05)
    table = pa.table({"n": np.arange(3_000_000)})
    with pytest.raises(ConfigError, match=r"must be done within 0\.05 seconds"):
        slice_names(table, ["regexp_replace(n::text, '(.*)(.*)(.*)(.*)x', '')"])
