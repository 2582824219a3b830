"""Log Service as this project sees it.

    logstore     the interface: put logs, get logs by query, keep an index        index        what an index says
    embedded     the same interface on DuckDB
    query        the query language, ``search | SQL``
    dialects     a span as a log, a log as a span
    trace_store  traces, in any logstore: written once, in the query language

``duckdb`` and ``sqlglot``, of the extra ``server``, are imported when an embedded store is opened.
"""

from __future__ import annotations

from sls_tracing.exceptions import ConfigurationError
from sls_tracing.log_service.logstore import LogServiceError
from sls_tracing.log_service.trace_store import Operation, TraceQuery, TraceStore

__all__ = ["MEMORY", "LogServiceError", "Operation", "TraceQuery", "TraceStore", "open_trace_store"]

MEMORY = "memory:"
"""The storage that is gone when the process ends."""


def open_trace_store(storage: str = MEMORY) -> TraceStore:
    """Open the traces kept in ``storage``: ``memory:``, or the path of a file, which is created if it is missing.

    :raises ConfigurationError: the file cannot be used, or the extra ``server`` is not installed; the message says what to do.
    """
    if not storage or storage == "log-service:":  # the real service comes with its client
        raise ConfigurationError(f"cannot store in {storage!r}; use memory: or the path of a file")
    try:
        from sls_tracing.log_service.dialects.jaeger_legacy import INDEX
        from sls_tracing.log_service.embedded import EmbeddedLogstore
    except ModuleNotFoundError as error:
        if error.name not in ("duckdb", "sqlglot"):
            raise
        message = f"traces are stored with {error.name}, which is not installed: pip install 'sls-tracing[server]'"
        raise ConfigurationError(message) from error
    path = ":memory:" if storage == MEMORY else storage
    # On a laptop every tag can be searched, listed in the index or not: nobody should provision an index to find his span.
    return TraceStore(EmbeddedLogstore(path, index=INDEX._replace(any_key=True)))
