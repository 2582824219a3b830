"""sqlite3: a client span for every ``execute``, ``executemany`` and ``executescript``.

The classes are written in C and cannot be patched, so ``connect`` hands out subclasses of what was asked for. Not proxies: SQLite's own functions
check types. A ``factory`` of the application's own (connection or cursor) becomes a base of the traced class, and the tracing stands right above
sqlite3's class in its order of resolution; so every call that reaches the database passes it, whatever the factory overrides.
Connections made before stay as they are, and those of aiosqlite, whose thread knows nothing of the caller.
"""

from __future__ import annotations

import os
import sqlite3
import sys
from typing import TYPE_CHECKING, Any

from sls_tracing.guard import Guard
from sls_tracing.instrumentation._database import Database, DatabaseCall, endpoint_tags
from sls_tracing.instrumentation._patching import Patch

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from sls_tracing.instrumentation._tracer_source import TracerSource

__all__ = ["patches"]

_DATABASE = Database("sqlite3", "sql", "sqlite")
_FACTORY = 5
"""Where ``factory`` stands among the positional arguments of ``connect``."""
_SHORTCUTS_ASK = sys.version_info < (3, 11)
_guard = Guard("instrumentation_sqlite3")


def patches(module: ModuleType, tracer: TracerSource) -> list[Patch]:
    """Return the patches for ``sqlite3``, not yet installed: the function has two names."""
    hooks = _Hooks(tracer)
    found = [Patch(module, "connect", hooks.connect), Patch(module.dbapi2, "connect", hooks.connect)]
    hooks.is_enabled = found[0].is_enabled
    return found


class _Hooks:
    def __init__(self, tracer: TracerSource) -> None:
        self._tracer = tracer
        self.is_enabled: Callable[[], bool] = bool
        self._connection = _traced_connection(self)
        self._cursor = _traced_cursor(self)
        self._classes: dict[type, type] = {}

    def connect(self, wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Around ``sqlite3.connect``."""
        if sys._getframe(1).f_globals.get("__name__", "").startswith("aiosqlite"):
            return wrapped(*args, **kwargs)
        if len(args) > _FACTORY:
            args = (*args[:_FACTORY], self.traced(args[_FACTORY]), *args[_FACTORY + 1 :])
        else:
            kwargs = {**kwargs, "factory": self.traced(kwargs.get("factory", sqlite3.Connection))}
        return wrapped(*args, **kwargs)

    def traced(self, factory: Any) -> Any:
        """Return the traced class for a connection or cursor class; anything else, a function for one, comes back as it is."""
        known = self._classes.get(factory) if isinstance(factory, type) else factory
        if known is not None:
            return known
        made = _guard.call(factory, self._make, factory)
        self._classes[factory] = made
        return made

    def _make(self, factory: type) -> type:
        for ours in (self._connection, self._cursor):
            plain = ours.__base__
            if issubclass(factory, ours) or not issubclass(factory, plain):
                continue
            bases = (ours,) if factory is plain else (factory, ours)
            names = {"__module__": factory.__module__, "__qualname__": factory.__qualname__, "__doc__": factory.__doc__}
            return type(factory.__name__, bases, names)
        return factory

    def run(self, cursor: Any, function: Callable[..., Any], args: tuple[Any, ...], name: str | None = None) -> Any:
        call = _guard.call(None, self._start, cursor, args, name)
        return function(*args) if call is None else call.run(function, args, {})

    def _start(self, cursor: Any, args: tuple[Any, ...], name: str | None) -> DatabaseCall | None:
        tracer = self._tracer.active() if self.is_enabled() else None
        if tracer is None:
            return None
        tags = getattr(cursor.connection, "_sls_tracing_tags", None)
        call = DatabaseCall.start_sql(tracer, _DATABASE, args[0] if args else "", tags)
        if call is not None and name is not None:
            call.span.set_operation_name(name)
        return call


def _traced_connection(hooks: _Hooks) -> Any:
    class TracedConnection(sqlite3.Connection):
        """Stands between sqlite3's class and the application's."""

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            with _guard:
                self._sls_tracing_tags = endpoint_tags(instance=_instance(args[0] if args else kwargs.get("database")))

        def cursor(self, factory: Any = sqlite3.Cursor, *args: Any) -> Any:
            return super().cursor(hooks.traced(factory) if hooks.is_enabled() else factory, *args)

        def execute(self, *args: Any) -> Any:
            return self._through_cursor("execute", args)

        def executemany(self, *args: Any) -> Any:
            return self._through_cursor("executemany", args)

        def executescript(self, *args: Any) -> Any:
            return self._through_cursor("executescript", args)

        def _through_cursor(self, method: str, args: tuple[Any, ...]) -> Any:
            # From Python 3.11 on, the shortcuts make a plain cursor in C; before, they ask `self.cursor()`.
            if _SHORTCUTS_ASK or not hooks.is_enabled():
                return getattr(super(), method)(*args)
            return getattr(super().cursor(hooks.traced(sqlite3.Cursor)), method)(*args)

    return TracedConnection


def _traced_cursor(hooks: _Hooks) -> Any:
    class TracedCursor(sqlite3.Cursor):
        """Stands between sqlite3's class and the application's."""

        def execute(self, *args: Any) -> Any:
            return hooks.run(self, super().execute, args)

        def executemany(self, *args: Any) -> Any:
            return hooks.run(self, super().executemany, args)

        def executescript(self, *args: Any) -> Any:
            return hooks.run(self, super().executescript, args, "SCRIPT")

    return TracedCursor


def _instance(database: Any) -> str:
    name = os.fsdecode(database)
    return name.partition("?")[0] if name.startswith("file:") else name
