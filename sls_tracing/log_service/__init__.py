"""Log Service as this project sees it.

    logstore     the interface: put logs, get logs by query, keep an index        index        what an index says
    service      the interface of a project: logstores, dashboards
    aliyun       both interfaces over HTTP: settings, credentials, signing, wire
    embedded     both interfaces on DuckDB; http_api puts them behind Log Service's own HTTP API
    query        the query language, ``search | SQL``
    dialects     a span as a log, a log as a span
    trace_store  traces, in any logstore: written once, in the query language (trace_query, trace_fetching, trace_analysis, trace_archive)

``duckdb`` and ``sqlglot``, of the extra ``server``, are imported when an embedded store is opened.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sls_tracing.exceptions import ConfigurationError
from sls_tracing.log_service.dialects import DIALECTS, find_dialect
from sls_tracing.log_service.logstore import LogServiceError
from sls_tracing.log_service.trace_archive import TraceArchive
from sls_tracing.log_service.trace_store import Operation, TraceQuery, TraceStore

if TYPE_CHECKING:
    from sls_tracing.log_service.settings import LogServiceSettings

__all__ = ["LOG_SERVICE", "MEMORY", "LogServiceError", "Operation", "TraceQuery", "TraceStore", "open_trace_store"]

MEMORY = "memory:"
"""The storage that is gone when the process ends."""

LOG_SERVICE = "log-service:"
"""The storage that is a logstore of Log Service; see ``settings.py``."""

ARCHIVE = "-archive"
"""What the name of an embedded logstore's archive adds to its own."""

LOOK_BACK = 7 * 86400.0
"""Seconds that services and operations are looked for in Log Service: an analysis over all of its retention is slow and costs."""


def open_trace_store(
    storage: str = MEMORY, *, settings: LogServiceSettings | None = None, dialect: str = ""
) -> TraceStore:
    """Open the traces kept in ``storage``: ``memory:``, the path of a file, which is created if it is missing, or ``log-service:``.

    ``settings`` say where Log Service is; without them the environment does. ``dialect`` says how spans are written, for ``log-service:`` too if it is
    given (see ``dialects/``); all are read.

    :raises ConfigurationError: the file cannot be used, a setting is wrong, or the extra ``server`` is not installed; the message says what to do.
    """
    if dialect and dialect not in DIALECTS:
        raise ConfigurationError(f"dialect must be one of {', '.join(DIALECTS)}, not {dialect!r}")
    if storage == LOG_SERVICE:
        return _open_log_service(settings, dialect)
    if not storage:
        raise ConfigurationError("cannot store in ''; use memory:, the path of a file, or log-service:")
    try:
        from sls_tracing.log_service.dialects.jaeger_legacy import INDEX
        from sls_tracing.log_service.embedded import DEFAULT_NAME, EmbeddedLogstore
        from sls_tracing.log_service.embedded_database import Database
    except ModuleNotFoundError as error:
        if error.name not in ("duckdb", "sqlglot"):
            raise
        message = f"traces are stored with {error.name}, which is not installed: pip install 'sls-tracing[server]'"
        raise ConfigurationError(message) from error
    path = ":memory:" if storage == MEMORY else storage
    # On a laptop every tag can be searched, listed in the index or not: nobody should provision an index to find his span.
    index = INDEX._replace(any_key=True)
    database = Database(path)
    archive = TraceArchive(EmbeddedLogstore(database, DEFAULT_NAME + ARCHIVE, index=index))
    logstore = EmbeddedLogstore(database, index=index, owned=True)
    return TraceStore(logstore, find_dialect(dialect or "jaeger"), archive=archive)


def _open_log_service(settings: LogServiceSettings | None, dialect: str) -> TraceStore:
    from sls_tracing.log_service.aliyun import AliyunLogService
    from sls_tracing.log_service.settings import LogServiceSettings

    settings = settings or LogServiceSettings.from_environment()
    service, dialect_ = AliyunLogService(settings), find_dialect(dialect or settings.dialect)
    archive = TraceArchive(service.logstore(settings.archive_logstore), dialect_) if settings.archive_logstore else None
    return TraceStore(service.logstore(settings.logstore), dialect_, look_back=LOOK_BACK, archive=archive)
