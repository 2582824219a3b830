"""psycopg 3, sync and async: a client span for every statement, COPY and stream included.

Its cursors are written in Python, so the methods themselves are patched: cursors of the application's own (``cursor_factory``), row factories,
server-side cursors and connections made earlier are all covered, and nothing has to be swapped. A server-side cursor's span is its ``DECLARE``.
"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import TYPE_CHECKING, Any

from sls_tracing.guard import Guard
from sls_tracing.instrumentation._database import Database, DatabaseCall, Peers, endpoint_tags
from sls_tracing.instrumentation._patching import Patch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping
    from types import ModuleType

    from sls_tracing.instrumentation._tracer_source import TracerSource

__all__ = ["patches"]

_DATABASE = Database("psycopg", "sql", "postgresql")
_guard = Guard("instrumentation_psycopg")


def patches(module: ModuleType, tracer: TracerSource) -> list[Patch]:
    """Return the patches for ``psycopg``, not yet installed."""
    hooks = _Hooks(tracer)
    found = []
    for name in ("Cursor", "ServerCursor", "AsyncCursor", "AsyncServerCursor"):
        cursor = getattr(module, name)
        is_async = name.startswith("Async")
        kinds: dict[str, Any] = {
            "execute": hooks.run_async if is_async else hooks.run,
            "executemany": hooks.run_async if is_async else hooks.run,
            "stream": hooks.stream_async if is_async else hooks.stream,
            "copy": hooks.copy_async if is_async else hooks.copy,
        }
        # What a server-side cursor inherits is patched where it stands.
        found += [Patch(cursor, method, wrapper) for method, wrapper in kinds.items() if method in vars(cursor)]
    return found


class _Hooks:
    def __init__(self, tracer: TracerSource) -> None:
        self._tracer = tracer
        self._peers = Peers(_peer)

    def run(self, wrapped: Callable[..., Any], cursor: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Around ``execute`` and ``executemany``."""
        call = _guard.call(None, self._start, cursor, args, kwargs)
        return wrapped(*args, **kwargs) if call is None else call.run(wrapped, args, kwargs)

    def run_async(self, wrapped: Callable[..., Any], cursor: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The same of the async cursors: the coroutine, in which the span starts when it is awaited."""
        return self._run_async(wrapped, cursor, args, kwargs)

    async def _run_async(
        self, wrapped: Callable[..., Any], cursor: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        call = _guard.call(None, self._start, cursor, args, kwargs)
        return await wrapped(*args, **kwargs) if call is None else await call.run_async(wrapped, args, kwargs)

    def stream(
        self, wrapped: Callable[..., Any], cursor: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Iterator[Any]:
        """Around ``stream``: the span ends with the rows, and is not active while the application looks at one."""
        rows = wrapped(*args, **kwargs)
        call = _guard.call(None, self._start, cursor, args, kwargs)
        try:
            while True:
                try:
                    if call is None:
                        row = next(rows)
                    else:
                        with call:
                            row = next(rows)
                except StopIteration:
                    return
                yield row
        finally:
            rows.close()
            if call is not None:
                call.finish()

    async def stream_async(
        self, wrapped: Callable[..., Any], cursor: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> AsyncIterator[Any]:
        """The same of the async cursors."""
        rows = wrapped(*args, **kwargs)
        call = _guard.call(None, self._start, cursor, args, kwargs)
        try:
            while True:
                try:
                    if call is None:
                        row = await anext(rows)
                    else:
                        with call:
                            row = await anext(rows)
                except StopAsyncIteration:
                    return
                yield row
        finally:
            await rows.aclose()
            if call is not None:
                call.finish()

    def copy(self, wrapped: Callable[..., Any], cursor: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Around ``copy``, whose with-block is the whole transfer."""
        call = _guard.call(None, self._start, cursor, args, kwargs)
        manager = wrapped(*args, **kwargs)
        return manager if call is None else _Copy(manager, call)

    def copy_async(
        self, wrapped: Callable[..., Any], cursor: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """The same of the async cursors."""
        call = _guard.call(None, self._start, cursor, args, kwargs)
        manager = wrapped(*args, **kwargs)
        return manager if call is None else _AsyncCopy(manager, call)

    def _start(self, cursor: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> DatabaseCall | None:
        tracer = self._tracer.active()
        if tracer is None:
            return None
        query = args[0] if args else kwargs.get("query", kwargs.get("statement"))
        text = _guard.call("?", _text, query, cursor)  # what cannot be shown has a span all the same
        return DatabaseCall.start_sql(tracer, _DATABASE, text, self._peers.tags(cursor.connection))


class _Copy(AbstractContextManager[Any]):
    """The context manager of ``copy``; the span ends with the block, in which it is not the active one."""

    def __init__(self, manager: Any, call: DatabaseCall) -> None:
        self._manager = manager
        self._call = call

    def __enter__(self) -> Any:
        with self._call:
            return self._manager.__enter__()

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> Any:
        if error is not None:
            self._call.failed(error)
        with self._call:
            result = self._manager.__exit__(kind, error, traceback)
        self._call.finish()
        return result


class _AsyncCopy(AbstractAsyncContextManager[Any]):
    def __init__(self, manager: Any, call: DatabaseCall) -> None:
        self._manager = manager
        self._call = call

    async def __aenter__(self) -> Any:
        with self._call:
            return await self._manager.__aenter__()

    async def __aexit__(self, kind: object, error: BaseException | None, traceback: object) -> Any:
        if error is not None:
            self._call.failed(error)
        with self._call:
            result = await self._manager.__aexit__(kind, error, traceback)
        self._call.finish()
        return result


def _text(query: Any, cursor: Any) -> str | bytes:
    if isinstance(query, (str, bytes)):
        return query
    if hasattr(query, "as_string"):  # psycopg.sql: literals in it are taken out like any other
        return str(query.as_string(cursor))
    # A template string (Python 3.14): what stands between the values.
    return "?".join(getattr(query, "strings", ()))


def _peer(connection: Any) -> dict[str, object]:
    info = connection.info
    return endpoint_tags(info.host, info.port, info.dbname, info.user)
