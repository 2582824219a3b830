"""One application or one session instrumented by name, and the undoing of that: `instrumentation.instrument_app` and its like.

A library that can be instrumented in place stands in a table here and has ``instrument(object, tracer, http)`` and ``uninstrument(object)`` in its
adapter. Any other WSGI or ASGI application comes back inside a middleware.
"""

from __future__ import annotations

import importlib
import inspect
import sys
from typing import TYPE_CHECKING, Any, TypeVar, cast

from sls_tracing.exceptions import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import opentracing

    from sls_tracing.instrumentation._options import HTTPOptions

__all__ = ["instrument_app", "instrument_session", "uninstrument_app", "uninstrument_session"]

T = TypeVar("T")

APPLICATIONS = (
    ("flask.app", "Flask", "sls_tracing.instrumentation.flask"),
    (
        "fastapi.applications",
        "FastAPI",
        "sls_tracing.instrumentation.fastapi",
    ),  # before Starlette, whose subclass it is
    ("starlette.applications", "Starlette", "sls_tracing.instrumentation.starlette"),
)
"""Module, class, adapter. Only loaded modules count: who has an object of the class has loaded its module."""

SESSIONS = (
    ("aiohttp.client", "ClientSession", "sls_tracing.instrumentation.aiohttp_client"),
    ("httpx._client", "AsyncClient", "sls_tracing.instrumentation.httpx"),
    ("httpx._client", "Client", "sls_tracing.instrumentation.httpx"),
    ("requests.sessions", "Session", "sls_tracing.instrumentation.requests"),
)

_MIDDLEWARE = {
    "wsgi": ("sls_tracing.instrumentation.wsgi", "WSGIMiddleware"),
    "asgi": ("sls_tracing.instrumentation.asgi", "ASGIMiddleware"),
}


def instrument_app(app: T, *, tracer: opentracing.Tracer | None = None, http: HTTPOptions | None = None) -> T:
    """Trace this application, whether or not its library is instrumented, and return what takes its place.

        app = instrumentation.instrument_app(app, http=HTTPOptions(ignore_paths=["/ping"]))

    A framework's application (Flask, Starlette, FastAPI) is changed in place and comes back itself; its own ``tracer`` and ``http`` win over those of ``install``.
    Any other WSGI or ASGI application comes back in a middleware. Doing it again replaces tracer and options. Raises
    :class:`ConfigurationError` for what is no application.
    """
    adapter = _adapter(app, APPLICATIONS)
    if adapter is not None:
        adapter.instrument(app, tracer, http)
        return app
    if not callable(app):
        raise ConfigurationError(f"{type(app).__name__} is no WSGI or ASGI application: it cannot be called")
    return cast("T", _middleware(_protocol(app))(_unwrapped(app), tracer, http))


def uninstrument_app(app: T) -> T:
    """Undo :func:`instrument_app` and return the application: itself, or what was in the middleware. Nothing happens to another one."""
    adapter = _adapter(app, APPLICATIONS)
    if adapter is not None:
        adapter.uninstrument(app)
        return app
    return cast("T", _unwrapped(app))


def instrument_session(session: T, *, tracer: opentracing.Tracer | None = None, http: HTTPOptions | None = None) -> T:
    """Trace the requests of this session, whether or not its library is instrumented, and return it.

    Its own ``tracer`` and ``http`` win over those of ``install``; doing it again replaces them. Raises :class:`ConfigurationError` for what is no
    session of a library that is known here.
    """
    adapter = _adapter(session, SESSIONS)
    if adapter is None:
        names = ", ".join(f"{module.partition('.')[0]}.{name}" for module, name, _ in SESSIONS)
        raise ConfigurationError(f"{type(session).__name__} cannot be instrumented; what can: {names}")
    adapter.instrument(session, tracer, http)
    return session


def uninstrument_session(session: T) -> T:
    """Undo :func:`instrument_session` and return the session. Nothing happens to one that was not instrumented by itself."""
    adapter = _adapter(session, SESSIONS)
    if adapter is not None:
        adapter.uninstrument(session)
    return session


def _adapter(instance: object, table: Sequence[tuple[str, str, str]]) -> Any:
    for module, name, adapter in table:
        kind = getattr(sys.modules.get(module), name, None)
        if isinstance(kind, type) and isinstance(instance, kind):
            return importlib.import_module(adapter)
    return None


def _protocol(app: Any) -> str:
    """ASGI 3's applications are coroutine functions, or objects whose ``__call__`` is one; everything else that can be called is WSGI's."""
    is_asgi = inspect.iscoroutinefunction(app) or inspect.iscoroutinefunction(getattr(app, "__call__", None))  # noqa: B004
    return "asgi" if is_asgi else "wsgi"


def _middleware(protocol: str) -> Any:
    module, name = _MIDDLEWARE[protocol]
    return getattr(importlib.import_module(module), name)


def _unwrapped(app: Any) -> Any:
    for module, name in _MIDDLEWARE.values():
        kind = getattr(sys.modules.get(module), name, None)
        if kind is not None and type(app) is kind:
            return app.app
    return app
