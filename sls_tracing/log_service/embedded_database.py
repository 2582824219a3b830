"""The DuckDB file of the embedded Log Service: opening it, and who may speak to it when.

One process opens a file (DuckDB's rule); within it, one thread writes at a time and any number read, each call on a connection of its
own (a cursor costs 5 µs; DuckDB's readers see a snapshot and never wait for the writer). Queries come from users, so the
database can reach nothing outside itself and cannot be told otherwise.
"""

from __future__ import annotations

import contextlib
import json
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb

from sls_tracing.exceptions import ConfigurationError
from sls_tracing.log_service.logstore import LogServiceError
from sls_tracing.log_service.query.quoting import sql_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["MEMORY", "Database", "append_rows"]

MEMORY = ":memory:"

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode

_MAGIC = b"DUCK"  # at offset 8 of every DuckDB file, after a checksum

_SETTINGS: dict[str, str | bool | int | float | list[str]] = {
    "enable_external_access": "false",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "allow_community_extensions": "false",
    "lock_configuration": "true",
    # The write-ahead log is folded into the file at this size, with writers waiting. Measured over 200,000 spans: at DuckDB's own 16 MB that
    # takes a third of all writing time, at 64 MB a tenth; beyond that, opening after a crash gets slow instead.
    "checkpoint_threshold": "64MB",
}

_REFUSED = (
    duckdb.ParserException,
    duckdb.BinderException,
    duckdb.CatalogException,
    duckdb.DataError,
    duckdb.InvalidInputException,
    duckdb.NotImplementedException,
)


class Database:
    """An open DuckDB database, in a file or in memory, shared by the logstores in it."""

    def __init__(self, path: str = MEMORY) -> None:
        self.path = path
        self.write_lock = threading.RLock()
        """Held around everything that writes: two writers would not corrupt the file, but fail with conflicts."""
        self._connection: duckdb.DuckDBPyConnection | None = _open(path)

    @contextmanager
    def connection(self, refusal: str = "ParameterInvalid") -> Iterator[duckdb.DuckDBPyConnection]:
        """Lend a connection for one call.

        What DuckDB raises inside becomes :class:`LogServiceError`: with the code ``refusal`` if the statement or its data were at fault.
        """
        if self._connection is None:
            raise LogServiceError("LogStoreNotExist", f"the embedded Log Service in {self.path} is closed")
        try:
            with self._connection.cursor() as cursor:
                yield cursor
        except _REFUSED as error:
            raise LogServiceError(refusal, _first_line(error)) from error
        except duckdb.Error as error:
            raise LogServiceError("InternalServerError", _first_line(error)) from error

    @contextmanager
    def transaction(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Lend a connection for writing: all of it happens, and is on disk when the block ends, or none of it."""
        with self.write_lock, self.connection("PostBodyInvalid") as connection:
            connection.begin()
            try:
                yield connection
            except BaseException:
                connection.rollback()
                raise
            connection.commit()

    def reclaim(self) -> None:
        """Give back the memory of rows that were deleted; the next time, if somebody reads just now."""
        with contextlib.suppress(LogServiceError), self.write_lock, self.connection() as connection:
            connection.execute("CHECKPOINT")

    def close(self) -> None:
        """Write everything into the file and let go of it. Closing twice is fine."""
        with self.write_lock:
            connection, self._connection = self._connection, None
            if connection is not None:
                connection.close()


def append_rows(
    connection: duckdb.DuckDBPyConnection, table: str, columns: list[str], rows: Sequence[Sequence[object]]
) -> None:
    """Add ``rows`` of text, numbers and None to ``table``, whose name is quoted already; ``columns`` are plain names.

    Measured, spans of 27 fields a second through the whole store: 39,500 by the appender, which came with DuckDB 2.0; 27,400 as one JSON text with
    DuckDB 1.5, which is all that Python 3.10 gets, where lists to ``unnest`` store 400.
    """
    if hasattr(connection, "appender"):
        appender = connection.appender(table, columns=columns)
        appender.append_rows(rows)
        appender.flush()
        return
    names = ", ".join(map(sql_name, columns))
    values = ", ".join(f"row[{number}]" for number in range(1, len(columns) + 1))
    # Floats as text: JSON has no NaN and no infinity, DuckDB reads both.
    plain = [[repr(value) if value.__class__ is float else value for value in row] for row in rows]
    statement = (
        f"INSERT INTO {table} ({names}) SELECT {values} FROM (SELECT unnest(from_json(?, '[[\"VARCHAR\"]]')) AS row)"
    )
    try:
        connection.execute(statement, [_encode(plain)])
    except RuntimeError as error:  # text without UTF-8 form
        raise LogServiceError("PostBodyInvalid", "a value cannot be stored: " + _first_line(error)) from error


def _open(path: str) -> duckdb.DuckDBPyConnection:
    try:
        if path != MEMORY and Path(path).is_file() and Path(path).stat().st_size == 0:
            Path(path).unlink()  # what mktemp leaves; DuckDB makes a new file and refuses an empty one
        return duckdb.connect(path, config=_SETTINGS)
    except (duckdb.Error, OSError) as error:
        raise ConfigurationError(_remedy(path, str(error))) from error


def _remedy(path: str, reason: str) -> str:
    """Say what to do about a file that DuckDB would not open, by looking at the file rather than at DuckDB's words."""
    file = Path(path)
    if not file.parent.is_dir():
        return f"cannot store in {path}: there is no directory {file.parent}; create it or name another file"
    if file.is_dir():
        return f"cannot store in {path}: it is a directory; name a file in it, such as {file / 'traces.duckdb'}"
    if "lock" in reason.lower():
        return (
            f"cannot store in {path}: another process has it open (one process per file); stop it or name another file"
        )
    try:
        with file.open("rb") as content:
            magic = content.read(12)[8:]
    except OSError as error:
        return f"cannot store in {path}: {error.strerror}"
    if magic != _MAGIC:
        return f"cannot store in {path}: the file exists and is not a DuckDB database; name another file"
    return f"cannot store in {path}: {reason.splitlines()[0]}"


def _first_line(error: Exception) -> str:
    return str(error).split("\n", 1)[0].strip()
