"""SQLAlchemy: a client span for every statement that goes to a driver, whichever driver that is.

Through its own events, listened to on the class: engines made before and after are covered, asynchronous ones too, which hold an ordinary one. A
driver that is instrumented as well stays silent meanwhile, so that there is one span. The span is not the active one: the events of a statement
are no block that would surely be left (a listener of the application's may raise between them), and a scope must not stay open.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sls_tracing.guard import Guard
from sls_tracing.instrumentation._database import Database, DatabaseCall, Peers, end_what_was_left, endpoint_tags

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import ModuleType

    from sls_tracing.instrumentation._tracer_source import TracerSource

__all__ = ["patches"]

_CALL = "_sls_tracing_call"
_guard = Guard("instrumentation_sqlalchemy")


def patches(module: ModuleType, tracer: TracerSource) -> list[_Listener]:
    """Return the listeners for ``sqlalchemy``, not yet listening."""
    hooks = _Hooks(tracer)
    engine = module.engine.Engine
    return [
        _Listener(module.event, engine, "before_cursor_execute", hooks.before),
        _Listener(module.event, engine, "after_cursor_execute", hooks.after),
        _Listener(module.event, engine, "handle_error", hooks.failed),
    ]


class _Listener:
    """A listener as a patch."""

    def __init__(self, event: Any, target: Any, name: str, function: Callable[..., None]) -> None:
        self._event = event
        self._target = (target, name, function)

    def install(self) -> None:
        if not self._event.contains(*self._target):
            self._event.listen(*self._target)

    def remove(self) -> None:
        if self._event.contains(*self._target):
            self._event.remove(*self._target)


class _Hooks:
    def __init__(self, tracer: TracerSource) -> None:
        self._tracer = tracer
        self._peers = Peers(_peer)

    def before(
        self, connection: Any, cursor: Any, statement: str, parameters: Any, context: Any, executemany: bool
    ) -> None:
        """A statement goes to the driver."""
        with _guard:
            tracer = self._tracer.active()
            if tracer is None or context is None:  # without a context, the driver's own instrumentation tells
                return
            end_what_was_left()
            database = Database("sqlalchemy", "sql", connection.dialect.name)
            call = DatabaseCall.start_sql(tracer, database, statement, self._peers.tags(connection.engine))
            if call is not None:
                setattr(context, _CALL, call)
                call.hide_libraries_below()

    def after(
        self, connection: Any, cursor: Any, statement: str, parameters: Any, context: Any, executemany: bool
    ) -> None:
        """The driver has answered."""
        with _guard:
            self._finish(context, None)

    def failed(self, exception_context: Any) -> None:
        """The driver has raised: its own error is logged, for SQLAlchemy's would show the parameters."""
        with _guard:
            self._finish(exception_context.execution_context, exception_context.original_exception)

    def _finish(self, context: Any, error: BaseException | None) -> None:
        call: DatabaseCall | None = getattr(context, _CALL, None)
        if call is None:
            return
        delattr(context, _CALL)
        call.show_libraries_below()
        if error is not None:
            call.failed(error)
        call.finish()


def _peer(engine: Any) -> Mapping[str, object]:
    url = engine.url
    socket = url.query.get("unix_socket") or url.query.get("host")
    return endpoint_tags(
        url.host or (socket if isinstance(socket, str) else None), url.port, url.database, url.username
    )
