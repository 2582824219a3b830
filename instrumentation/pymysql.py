"""PyMySQL: a client span for every ``execute``, ``executemany`` and ``callproc``.

Its cursors are written in Python, so the methods themselves are patched: cursor classes of the application's own and connections made earlier are
covered. ``executemany`` calls ``execute`` for every bunch of rows; that is one call and one span.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sls_tracing.guard import Guard
from sls_tracing.instrumentation._database import Database, DatabaseCall, Peers, endpoint_tags
from sls_tracing.instrumentation._patching import Patch

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from sls_tracing.instrumentation._tracer_source import TracerSource

__all__ = ["patches"]

_DATABASE = Database("pymysql", "sql", "mysql")
_guard = Guard("instrumentation_pymysql")


def patches(module: ModuleType, tracer: TracerSource) -> list[Patch]:
    """Return the patches for ``pymysql.cursors``, not yet installed."""
    hooks = _Hooks(tracer)
    return [
        Patch(module.Cursor, "execute", hooks.run),
        Patch(module.Cursor, "executemany", hooks.run),
        Patch(module.Cursor, "callproc", hooks.call_procedure),
    ]


class _Hooks:
    def __init__(self, tracer: TracerSource) -> None:
        self._tracer = tracer
        self._peers = Peers(_peer)

    def run(self, wrapped: Callable[..., Any], cursor: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Around ``execute`` and ``executemany``."""
        call = _guard.call(None, self._start, cursor, args[0] if args else kwargs.get("query"))
        return wrapped(*args, **kwargs) if call is None else call.run(wrapped, args, kwargs)

    def call_procedure(
        self, wrapped: Callable[..., Any], cursor: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Around ``callproc``."""
        procedure = args[0] if args else kwargs.get("procname")
        call = _guard.call(None, self._start, cursor, f"CALL {procedure}")
        return wrapped(*args, **kwargs) if call is None else call.run(wrapped, args, kwargs)

    def _start(self, cursor: Any, statement: object) -> DatabaseCall | None:
        tracer = self._tracer.active()
        connection = cursor.connection  # None once the cursor is closed
        if tracer is None or connection is None:
            return None
        return DatabaseCall.start_sql(tracer, _DATABASE, statement, self._peers.tags(connection))


def _peer(connection: Any) -> dict[str, object]:
    socket = getattr(connection, "unix_socket", None)
    return endpoint_tags(socket or connection.host, connection.port, connection.db, connection.user)
