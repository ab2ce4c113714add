"""Slices by SQL: one scalar expression over the columns of a table, which cannot leave it."""

import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from nilometer.errors import ConfigError

if TYPE_CHECKING:
    import duckdb

__all__ = ["Expression", "parse_expression"]

_SECONDS = 120
_MEMORY = "4GB"
_LONGEST = 4000
_MOST_BRACKETS = 200
_CLASSES = {
    "BETWEEN",
    "CASE",
    "CAST",
    "COLLATE",
    "COLUMN_REF",
    "COMPARISON",
    "CONJUNCTION",
    "CONSTANT",
    "FUNCTION",
    "OPERATOR",
    "TYPE",
}
_ALLOWED = """
    + - * / // % ** ^ || ~~ !~~ ~~* !~~* ~~~ -> ->> @> <@ ^@
    abs ceil ceiling floor round trunc sign sqrt cbrt ln log log2 log10 exp pow power mod greatest least isnan isinf
    isfinite even nullif ifnull coalesce if hash md5
    add subtract multiply divide
    lower upper lcase ucase trim ltrim rtrim length len strlen char_length character_length substring substr left right
    contains starts_with prefix suffix ends_with replace split_part concat concat_ws instr strpos position reverse ascii
    strip_accents translate like_escape not_like_escape ilike_escape not_ilike_escape
    regexp_matches regexp_full_match regexp_extract regexp_replace
    map_extract map_extract_value element_at array_extract list_extract list_element list_contains list_has
    array_contains array_length list_value map_contains cardinality
    json_extract json_extract_string json_extract_path json_extract_path_text json_value json_exists json_type
    date_trunc datetrunc date_part datepart date_diff datediff date_sub datesub date_add time_bucket age
    year month day hour minute second millisecond microsecond week weekday dayofweek isodow isoyear yearweek quarter
    century decade doy dayofmonth dayofyear weekofyear era epoch epoch_ms epoch_us epoch_ns dayname monthname last_day
    strftime strptime try_strptime make_date make_timestamp to_timestamp timezone
    to_years to_months to_weeks to_days to_hours to_minutes to_seconds to_milliseconds to_microseconds
"""
_FUNCTIONS = frozenset(_ALLOWED.split())
"""Functions of one row that read nothing else and cannot make much out of little."""


class Expression:
    """A checked expression.

    Parameters
    ----------
    text
        What the user wrote.
    names
        Columns that it refers to, as written.
    """

    def __init__(self, text: str, names: Sequence[str]) -> None:
        self.text = text
        self.names = tuple(names)

    def values(self, columns: Mapping[str, pa.Array | pa.ChunkedArray], n_rows: int) -> pa.Array:
        """Return the value of every row as text, null where it has none.

        Raises
        ------
        ConfigError
            If it does not fit the types, or takes more than two minutes or 4 GB.
        """
        if not columns:
            columns = {"nilometer_row": pa.nulls(n_rows, pa.int8())}
        return _run(pa.table(dict(columns)), self.text)


def parse_expression(text: str) -> Expression:
    """Read an SQL expression and refuse all that is more than one value made of the row's own columns.

    Raises
    ------
    ConfigError
        If it is no SQL, or holds a query, an aggregate, a window, a parameter or a function that is not on the list.

    Examples
    --------
    >>> parse_expression("lower(domain) || n_tokens").names
    ('domain', 'n_tokens')
    >>> parse_expression("read_text('/etc/passwd')")
    Traceback (most recent call last):
    nilometer.errors.ConfigError: `by` must use functions of one row, got `read_text` in "read_text('/etc/passwd')".
    """
    tree = _tree(text)
    names: dict[str, None] = {}
    for node in _nodes(tree):
        kind = node["class"]
        if kind not in _CLASSES:
            raise ConfigError(f"`by` must be one value per response, got {kind.lower()} in {_shown(text)}.")
        if kind == "FUNCTION":
            _check_function(node, text)
        if kind == "COLUMN_REF":
            parts = node["column_names"]
            if len(parts) != 1:
                name = ".".join(parts)
                raise ConfigError(f'`by` must name columns alone, got {name!r}. Write "{name}" in double quotes.')
            names[parts[0]] = None
    return Expression(text, list(names))


def _tree(text: str) -> Any:
    """Return the syntax tree of the one expression that a text is."""
    if len(text) > _LONGEST or sum(map(text.count, "([{")) > _MOST_BRACKETS:
        raise ConfigError(
            f"`by` must be at most {_LONGEST:,} characters and {_MOST_BRACKETS} brackets long, got {_shown(text)}."
        )
    with _connection() as connection:
        query = "SELECT json_serialize_sql(?::VARCHAR)"
        try:
            (parsed,) = connection.execute(query, [_statement(text)]).fetchone() or ("{}",)
            answer = json.loads(parsed)
        except (_duckdb().Error, UnicodeError, ValueError, RecursionError) as exc:
            raise ConfigError(f"`by` must be SQL that DuckDB can run, got {_shown(text)}: {_first_line(exc)}.") from exc
    if answer.get("error") or len(answer.get("statements", ())) != 1:
        reason = _first_line(answer.get("error_message", "more than one statement"))
        raise ConfigError(f"`by` must be SQL that DuckDB can run, got {_shown(text)}: {reason}.")
    node = answer["statements"][0]["node"]
    if not _is_plain(node):
        raise ConfigError(f"`by` must be one expression, got {_shown(text)}.")
    return node["select_list"][0]


def _is_plain(node: dict[str, Any]) -> bool:
    """Whether a query is the one that was written around the expression: one value from the table, nothing more."""
    table = node.get("from_table") or {}
    rest = {name: value for name, value in node.items() if name not in _KNOWN}
    return (
        node.get("type") == "SELECT_NODE"
        and len(node.get("select_list", ())) == 1
        and (table.get("type"), table.get("table_name"), table.get("sample")) == ("BASE_TABLE", "source", None)
        and not (node.get("cte_map") or {}).get("map")
        and not any(rest.values())
    )


_KNOWN = {"type", "select_list", "from_table", "cte_map", "aggregate_handling"}


def _statement(text: str) -> str:
    return f"SELECT ({text}\n) FROM source"


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    """Yield every node of a tree, whatever the fields are called in which a version of DuckDB keeps them."""
    waiting = [tree]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            if "class" in value:
                yield value
            waiting += reversed(list(value.values()))
        elif isinstance(value, list):
            waiting += reversed(value)


def _check_function(node: dict[str, Any], text: str) -> None:
    name = str(node["function_name"]).lower()
    is_whole = not any(node.get(key) for key in ("schema", "catalog", "filter", "distinct", "export_state"))
    if name not in _FUNCTIONS or not is_whole or (node.get("order_bys") or {}).get("orders"):
        raise ConfigError(f"`by` must use functions of one row, got `{name}` in {_shown(text)}.")


def _run(source: pa.Table, text: str) -> pa.Array:
    """Run exactly the statement that was checked, in a thread that can be stopped."""
    with _connection() as connection, ThreadPoolExecutor(1) as beside:
        connection.register("source", source)
        running = beside.submit(_texts, connection, text)
        try:
            return running.result(timeout=_SECONDS)
        except TimeoutError as exc:
            raise ConfigError(f"`by` must be done within {_SECONDS} seconds, got {_shown(text)}.") from exc
        except _duckdb().Error as exc:
            raise ConfigError(f"`by` must be SQL that DuckDB can run, got {_shown(text)}: {_first_line(exc)}.") from exc
        finally:
            if not running.done():
                connection.interrupt()


def _texts(connection: "duckdb.DuckDBPyConnection", text: str) -> pa.Array:
    values: pa.Table = connection.sql(_statement(text)).to_arrow_table()
    connection.register("found", values.rename_columns(["value"]))
    texts: pa.Table = connection.sql("SELECT CAST(value AS VARCHAR) AS value FROM found").to_arrow_table()
    return texts["value"].combine_chunks()


def _connection() -> "duckdb.DuckDBPyConnection":
    """Open a database in memory that reads no file, loads no extension and keeps these settings."""
    connection: duckdb.DuckDBPyConnection = _duckdb().connect(":memory:")
    for setting in (
        "TimeZone = 'UTC'",
        f"memory_limit = '{_MEMORY}'",
        "threads = 1",
        "python_enable_replacements = false",
        "autoinstall_known_extensions = false",
        "autoload_known_extensions = false",
        "enable_external_access = false",
        "lock_configuration = true",
    ):
        connection.execute(f"SET {setting}")
    return connection


def _duckdb() -> Any:
    import duckdb

    return duckdb


def _first_line(reason: object) -> str:
    return str(reason).partition("\n")[0].rstrip(".")


def _shown(text: str) -> str:
    return f"{text!r:.200}"
