"""Log Service on a laptop: the :class:`~sls_tracing.log_service.logstore.Logstore` interface on DuckDB.

The same index, the same query language, the same limits as the real service; data in one file or in memory. ``put_logs`` returns when
DuckDB has the rows in its write-ahead log on disk, so what was acknowledged survives ``kill -9``.

How rows go in and what that costs: :func:`~sls_tracing.log_service.embedded_database.append_rows`.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

from sls_tracing.log_service.embedded_database import MEMORY, Database, append_rows
from sls_tracing.log_service.embedded_layout import BASE_COLUMNS, SQL_TYPES, TAG, Column, Layout
from sls_tracing.log_service.index import Index
from sls_tracing.log_service.logstore import PAGE_LINES, LogGroup, LogServiceError, QueryResult
from sls_tracing.log_service.query import Query, split
from sls_tracing.log_service.query.analysis import read_analysis
from sls_tracing.log_service.query.matching import condition
from sls_tracing.log_service.query.quoting import sql_name
from sls_tracing.log_service.query.search import parse_search

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    import duckdb

__all__ = ["DEFAULT_NAME", "EmbeddedLogstore"]

DEFAULT_NAME = "jaeger-span"

_CATALOGUE = (
    "CREATE TABLE IF NOT EXISTS logstores (name VARCHAR PRIMARY KEY, created BIGINT, index VARCHAR, columns VARCHAR)"
)
_EMPTY = Index(keys={}, any_key=True)


class EmbeddedLogstore:
    """One logstore in a :class:`Database`, which may hold several.

    ``database`` is a file's path, ``":memory:"``, or an open database that the caller closes. ``index`` is for a logstore that does
    not exist yet; one that does keeps its own, plus the fields of ``index`` that it lacks.
    """

    def __init__(
        self, database: str | Database = MEMORY, name: str = DEFAULT_NAME, *, index: Index | None = None
    ) -> None:
        self.name = name
        self._owned = not isinstance(database, Database)
        self._database = database if isinstance(database, Database) else Database(database)
        self._table = sql_name("log:" + name)
        self._layout = self._load(index)

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
        from_time, to_time = times
        matching = condition(parse_search(parts.search), layout)
        where = f"time >= {int(from_time)} AND time < {int(to_time)} AND {matching}"
        if parts.sql is not None:
            return self._analyse(parts.sql, layout, where)
        return self._search(layout, where, line, offset, reverse)

    def get_index(self) -> Index:
        """Return the index in force."""
        return self._layout.index

    def set_index(self, index: Index) -> None:
        """Replace the index; columns are added for fields that are new or change their type."""
        self._change(index)

    def close(self) -> None:
        """Close the database if this logstore opened it."""
        if self._owned:
            self._database.close()

    def _search(self, layout: Layout, where: str, line: int, offset: int, reverse: bool) -> QueryResult:
        # Row ids first, the other columns for those rows only: a scan decodes every column of a block with a single hit in it.
        order = "DESC" if reverse else "ASC"
        hits = f"SELECT rowid FROM {self._table} WHERE {where} ORDER BY time {order}, rowid {order} LIMIT {line} OFFSET {offset}"
        sql = f"SELECT {layout.select} FROM {self._table} WHERE rowid IN ({hits}) ORDER BY time {order}, rowid {order}"
        with self._database.connection() as connection:
            rows = connection.execute(sql).fetchall()
        return QueryResult([layout.log(row) for row in rows], processed=len(rows))

    def _analyse(self, sql: str, layout: Layout, where: str) -> QueryResult:
        statement = read_analysis(sql, layout).over(self._table, where)
        with self._database.connection() as connection:
            cursor = connection.execute(statement)
            keys = [column[0] for column in cursor.description or ()]
            rows = cursor.fetchall()
        logs: list[Mapping[str, str]] = [
            {key: as_text(value) for key, value in zip(keys, row, strict=True)} for row in rows
        ]
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


def as_text(value: object) -> str:
    """Return a result's value as Log Service's API gives it: always text, NULL as ``null``."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, dict, tuple)):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)
