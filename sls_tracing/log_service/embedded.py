"""Log Service on a laptop: the :class:`~sls_tracing.log_service.logstore.Logstore` interface on DuckDB.

The same index, the same query language, the same limits as the real service; data in one file or in memory. ``put_logs`` returns when
DuckDB has the rows in its write-ahead log on disk, so what was acknowledged survives ``kill -9``.

How rows go in and what that costs: :func:`~sls_tracing.log_service.embedded_database.append_rows`.
"""

from __future__ import annotations

import json
import re
import time
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING

from sls_tracing.log_service.embedded_database import MEMORY, Database, append_rows
from sls_tracing.log_service.embedded_layout import BASE_COLUMNS, SQL_TYPES, TAG, Column, Layout
from sls_tracing.log_service.index import Index
from sls_tracing.log_service.logstore import PAGE_LINES, LogGroup, LogServiceError, QueryResult
from sls_tracing.log_service.query import Query, split
from sls_tracing.log_service.query.analysis import Analysis, read_analysis
from sls_tracing.log_service.query.matching import condition
from sls_tracing.log_service.query.quoting import sql_name
from sls_tracing.log_service.query.search import Field, Or, Value, parse_search

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    import duckdb

__all__ = ["DEFAULT_NAME", "EmbeddedLogstore"]

DEFAULT_NAME = "jaeger-span"

MOST_IN_MEMORY = 1_000_000
"""Logs that a logstore in memory keeps: some 600 MiB of spans. Jaeger's memory store keeps all of them unless told otherwise, and its users wonder what eats the machine (jaeger#1796)."""

_CATALOGUE = (
    "CREATE TABLE IF NOT EXISTS logstores (name VARCHAR PRIMARY KEY, created BIGINT, index VARCHAR, columns VARCHAR)"
)
_ROWS_AT_ONCE = 1000
_FEW_ROWS = 256
_EMPTY = Index(keys={}, any_key=True)


class EmbeddedLogstore:
    """One logstore in a :class:`Database`, which may hold several.

    ``database`` is a file's path, ``":memory:"``, or an open database that the caller closes unless it is ``owned``. ``index`` is for a logstore that does
    not exist yet; one that does keeps its own, plus the fields of ``index`` that it lacks.
    """

    def __init__(
        self,
        database: str | Database = MEMORY,
        name: str = DEFAULT_NAME,
        *,
        index: Index | None = None,
        owned: bool = False,
    ) -> None:
        self.name = name
        self._owned = owned or not isinstance(database, Database)
        self._database = database if isinstance(database, Database) else Database(database)
        self._table = sql_name("log:" + name)
        self._layout = self._load(index)
        self._logs = self._count() if self._database.path == MEMORY else 0  # in memory only: how many there are

    def put_logs(self, group: LogGroup) -> None:
        """Store the group in one transaction."""
        if not group.logs:
            return
        fields = {key for log in group.logs for key, _ in log.contents}
        fields.update(TAG + key for key, _ in group.tags)
        with self._database.write_lock:
            if self._layout.missing(self._layout.index, fields):
                self._change(self._layout.index, fields)
            columns, rows = self._layout.rows(group, fields)
            with self._database.transaction() as connection:
                append_rows(connection, self._table, columns, rows)
            if self._database.path == MEMORY:
                self._make_room(len(rows))

    def _make_room(self, added: int) -> None:
        """Keep the newest :data:`MOST_IN_MEMORY` logs: they are seconds apart, and those of the oldest seconds go, a tenth of all at a time."""
        self._logs += added
        if self._logs <= MOST_IN_MEMORY * 1.1:
            return
        share = 1 - MOST_IN_MEMORY / self._logs
        with self._database.transaction() as connection:
            oldest = f"SELECT quantile_disc(time, {share:.6f}) FROM {self._table}"
            connection.execute(f"DELETE FROM {self._table} WHERE time <= ({oldest})")
        self._database.reclaim()
        self._logs = self._count()

    def _count(self) -> int:
        with self._database.connection() as connection:
            (number,) = connection.execute(f"SELECT count(*) FROM {self._table}").fetchone() or (0,)
        return int(number)

    def get_logs(
        self,
        query: str,
        from_time: int,
        to_time: int,
        *,
        line: int = PAGE_LINES,
        offset: int = 0,
        reverse: bool = False,
    ) -> QueryResult:
        """Answer a search or an analysis; see :class:`~sls_tracing.log_service.logstore.Logstore`."""
        if not 0 <= line <= PAGE_LINES or offset < 0:
            raise LogServiceError("ParameterInvalid", f"line must be 0 to {PAGE_LINES} and offset not negative")
        parts = split(query)
        if parts.sql is not None and offset:
            raise LogServiceError("ParameterInvalid", "offset is not available for pagination in sql query; use LIMIT")
        while True:
            layout = self._layout
            result = self._answer(parts, layout, (from_time, to_time), line, offset, reverse)
            # A writer that added columns meanwhile may have added rows, too: seen through the old layout they lack those fields.
            if layout is self._layout:
                return result

    def _answer(
        self, parts: Query, layout: Layout, times: tuple[int, int], line: int, offset: int, reverse: bool
    ) -> QueryResult:
        from_time, to_time = map(int, times)
        matching = condition(parse_search(parts.search), layout)

        def where(shift: int = 0) -> str:
            return f"time >= {from_time - shift} AND time < {to_time - shift} AND {matching}"

        if parts.sql is not None:
            return self._analyse(parts.sql, layout, where, (from_time, to_time))
        return self._search(layout, where(), line, offset, reverse)

    def logs_with(
        self, field: str, values: Sequence[str], from_time: int, to_time: int, *, most: int | None = None
    ) -> Iterator[Mapping[str, str]]:
        """See :class:`~sls_tracing.log_service.logstore.ValueLookup`."""
        wanted = Or(tuple(Field(field, Value(value)) for value in values))
        limit = "" if most is None else f" LIMIT {int(most)}"
        with self._database.connection() as connection:
            while True:
                layout = self._layout
                where = f"time >= {int(from_time)} AND time < {int(to_time)} AND {condition(wanted, layout)}"
                self._ask_by_row_ids(connection, layout, where, "ASC", limit)
                if layout is self._layout:  # see get_logs
                    break
            while rows := connection.fetchmany(_ROWS_AT_ONCE):
                yield from map(layout.log, rows)

    def get_index(self) -> Index:
        """Return the index in force."""
        return self._layout.index

    def set_index(self, index: Index) -> None:
        """Replace the index; columns are added for fields that are new or change their type."""
        self._change(index)

    def histogram(self, query: str, from_time: int, to_time: int) -> list[tuple[int, int, int]]:
        """Count what a search finds, over time: ``(from, to, count)`` of equal steps, the empty ones too (GetHistograms)."""
        step = _histogram_step(to_time - from_time)
        layout = self._layout
        matching = condition(parse_search(split(query).search), layout)
        bucket = f"(time - {int(from_time)}) // {step}"
        sql = (
            f"SELECT {bucket} AS bucket, count(*) FROM {self._table} "
            f"WHERE time >= {int(from_time)} AND time < {int(to_time)} AND {matching} GROUP BY bucket"
        )
        with self._database.connection() as connection:
            counts: dict[int, int] = dict(connection.execute(sql).fetchall())
        steps = range(from_time, max(to_time, from_time + 1), step)
        return [(begin, min(begin + step, to_time), counts.get(n, 0)) for n, begin in enumerate(steps)]

    def fields(self) -> frozenset[str]:
        """Return the names of all fields that some log has, or may have."""
        return self._layout.fields

    def largest(self, field: str) -> int:
        """Return the largest value of a field that is a whole number, 0 if there is none. DuckDB knows it without looking (0.3 ms)."""
        layout = self._layout
        if not layout.is_long(field):
            return 0
        with self._database.connection() as connection:
            found = connection.execute(f"SELECT max({layout.column(field)}) FROM {self._table}").fetchone()
        return int(found[0] or 0) if found else 0

    def delete_before(self, time: int) -> None:
        """Delete all logs of before ``time``, in seconds."""
        with self._database.transaction() as connection:
            connection.execute(f"DELETE FROM {self._table} WHERE time < {int(time)}")

    def drop(self) -> None:
        """Delete the logstore itself. Nothing may be asked of it afterwards."""
        with self._database.transaction() as connection:
            connection.execute(f"DROP TABLE {self._table}")
            connection.execute("DELETE FROM logstores WHERE name = ?", [self.name])

    def close(self) -> None:
        """Close the database if this logstore opened it."""
        if self._owned:
            self._database.close()

    def _search(self, layout: Layout, where: str, line: int, offset: int, reverse: bool) -> QueryResult:
        order, limit = "DESC" if reverse else "ASC", f" LIMIT {line} OFFSET {offset}"
        with self._database.connection() as connection:
            self._ask_by_row_ids(connection, layout, where, order, limit)
            rows = connection.fetchall()
        return QueryResult([layout.log(row) for row in rows], processed=len(rows))

    def _ask_by_row_ids(
        self, connection: duckdb.DuckDBPyConnection, layout: Layout, where: str, order: str, limit: str
    ) -> None:
        """Row ids first, the other columns for those rows only: a scan decodes every column of a block with a single hit in it.

        A few ids, as numbers, lead DuckDB to their blocks at once: a trace out of a million spans takes 11 ms, as a sub-query 17. A row that is deleted
        meanwhile is missing, as it would be a moment later.
        """
        hits = f"SELECT rowid FROM {self._table} WHERE {where} ORDER BY time {order}, rowid {order}{limit}"
        found = connection.execute(hits).fetchmany(_FEW_ROWS + 1)
        ids = ", ".join(str(row_id) for (row_id,) in found) or "NULL"
        wanted = ids if len(found) <= _FEW_ROWS else hits
        connection.execute(
            f"SELECT {layout.select} FROM {self._table} WHERE rowid IN ({wanted}) ORDER BY time {order}, rowid {order}"
        )

    def _analyse(self, sql: str, layout: Layout, where: Callable[[int], str], times: tuple[int, int]) -> QueryResult:
        analysis = _read(sql, layout) if _NOW.search(sql) is None else read_analysis(sql, layout)
        statement = analysis.over(self._table, where)
        with self._database.connection() as connection:
            cursor = connection.execute(statement)
            keys = [column[0] for column in cursor.description or ()]
            rows = cursor.fetchall()
        found = [{key: as_text(value) for key, value in zip(keys, row, strict=True)} for row in rows]
        logs: list[Mapping[str, str]] = list(analysis.series.fill(found, *times) if analysis.series else found)
        return QueryResult(logs, has_sql=True, keys=keys, processed=len(rows))

    def _load(self, index: Index | None) -> Layout:
        with self._database.transaction() as connection:
            connection.execute(_CATALOGUE)
            found = connection.execute("SELECT index, columns FROM logstores WHERE name = ?", [self.name]).fetchone()
            if found is None:
                connection.execute(f"CREATE TABLE {self._table} ({BASE_COLUMNS})")
                return self._save(connection, Layout((), _EMPTY), index or _EMPTY)
            stored = Index.from_json(json.loads(found[0]))
            layout = Layout([Column(*column) for column in json.loads(found[1])], stored)
            merged = stored.merged(index) if index is not None else stored
            return layout if merged == stored else self._save(connection, layout, merged)

    def _change(self, index: Index, fields: Collection[str] = ()) -> None:
        with self._database.write_lock:
            with self._database.transaction() as connection:
                layout = self._save(connection, self._layout, index, fields)
            self._layout = layout  # not before the commit: readers may name the new columns from here on

    def _save(
        self, connection: duckdb.DuckDBPyConnection, layout: Layout, index: Index, fields: Collection[str] = ()
    ) -> Layout:
        new = layout.missing(index, fields)
        for column in new:
            connection.execute(f"ALTER TABLE {self._table} ADD COLUMN {column.name} {SQL_TYPES[column.type]}")
        columns = [*layout.columns, *new]
        connection.execute(
            "INSERT OR REPLACE INTO logstores SELECT ?, coalesce((SELECT created FROM logstores WHERE name = ?), ?), ?, ?",
            [self.name, self.name, int(time.time()), json.dumps(index.to_json()), json.dumps(columns)],
        )
        return Layout(columns, index)


_NOW = re.compile("now|current", re.IGNORECASE)


@lru_cache(maxsize=100)
def _read(sql: str, layout: Layout) -> Analysis:
    """As ``read_analysis``, whose 6 ms are as much as many an answer takes. What asks for the present time means something else each time."""
    return read_analysis(sql, layout)


_HISTOGRAM_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21600, 43200, 86400, 604800)
_MOST_STEPS = 60


def _histogram_step(seconds: int) -> int:
    for step in _HISTOGRAM_STEPS:
        if seconds <= step * _MOST_STEPS:
            return step
    return -(-seconds // _MOST_STEPS)


def as_text(value: object) -> str:
    """Return a result's value as Log Service's API gives it: always text, NULL as ``null``."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return value.isoformat(" ", "milliseconds")  # as Presto shows a timestamp
    if isinstance(value, (list, dict, tuple)):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)
