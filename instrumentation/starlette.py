"""Starlette: one server span for every request, named by the route's template with all its mounts.

``Starlette.__call__`` is the entry of servers, mounts and subclasses such as FastAPI; no middleware is added, so applications made before and
after are alike. Routes tell their templates when they are entered.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import starlette.applications
import starlette.middleware.exceptions
import starlette.routing

from sls_tracing.guard import Guard
from sls_tracing.instrumentation import _asgi
from sls_tracing.instrumentation._instances import Instances
from sls_tracing.instrumentation._patching import Patch, SharedPatches

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType, TracebackType

    import opentracing

    from sls_tracing.instrumentation._asgi import Application, Exchange, Receive, Scope, Send
    from sls_tracing.instrumentation._options import HTTPOptions
    from sls_tracing.instrumentation._registry import RemovablePatch
    from sls_tracing.instrumentation._tracer_source import TracerSource

__all__ = ["EntryHook", "handle_exceptions", "instrument", "patches", "routing_patches", "uninstrument"]

_guard = Guard("instrumentation_starlette")


_instances: dict[type, Instances] = {}
"""By ``Starlette``, which a reload replaces."""

_shared: dict[tuple[type, type], SharedPatches] = {}


def patches(module: ModuleType, tracer: TracerSource) -> list[RemovablePatch]:
    """Return the patches for ``starlette.applications``, not yet installed."""
    return [_instances_of(module.Starlette).for_library(tracer)]


def instrument(app: Any, tracer: opentracing.Tracer | None, http: HTTPOptions | None) -> None:
    """Trace this application, with its own tracer and options."""
    _instances_of(starlette.applications.Starlette).add(app, tracer, http)


def uninstrument(app: Any) -> None:
    """Undo :func:`instrument`."""
    _instances_of(starlette.applications.Starlette).discard(app)


def _instances_of(kind: type) -> Instances:
    instances = _instances.get(kind)
    if instances is None:
        _instances.clear()
        instances = _instances[kind] = Instances(
            lambda all_: [Patch(kind, "__call__", EntryHook(all_, "starlette").serve), routing_patches()]
        )
    return instances


def routing_patches() -> RemovablePatch:
    """Return the patches of routes and of the handling of exceptions: a framework that is built on Starlette needs them too."""
    routing, exceptions = starlette.routing, starlette.middleware.exceptions
    key = routing.Route, exceptions.ExceptionMiddleware
    if key not in _shared:
        _shared.clear()  # a reload has made new classes
        _shared[key] = SharedPatches(
            [
                Patch(routing.Route, "handle", handle_route),
                Patch(routing.WebSocketRoute, "handle", handle_route),
                Patch(routing.Mount, "handle", handle_mount),
                Patch(routing, "wrap_app_handling_exceptions", handle_exceptions),
                Patch(exceptions, "wrap_app_handling_exceptions", handle_exceptions),
            ]
        )
    return _shared[key].share()


class EntryHook:
    """What runs around the application's entry."""

    def __init__(self, instances: Instances, component: str) -> None:
        self._instances = instances
        self._component = component

    def serve(self, wrapped: Application, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Around the application's ``__call__``."""
        source = self._instances.source(instance)
        tracer = None if source is None else source.active()
        if source is None or tracer is None:
            return wrapped(*args, **kwargs)
        return _asgi.serve(tracer, self._component, wrapped, *_asgi_arguments(*args, **kwargs), options=source.http)


def handle_mount(wrapped: Application, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Around ``Mount.handle``."""
    exchange = _asgi.exchange_of(args[0] if args else kwargs.get("scope", {}))
    if exchange is not None:
        with _guard:
            exchange.mounted(instance, instance.path_format.removesuffix("/{path}"))
    return wrapped(*args, **kwargs)


def handle_route(wrapped: Application, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Around the ``handle`` of a route."""
    exchange = _asgi.exchange_of(args[0] if args else kwargs.get("scope", {}))
    if exchange is not None:
        with _guard:
            exchange.matched(instance, instance.path_format)
    return wrapped(*args, **kwargs)


def handle_exceptions(
    wrapped: Callable[..., Application], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """Around ``wrap_app_handling_exceptions``, within which users' exception handlers make answers of exceptions."""
    application, connection = _wrapping_arguments(*args, **kwargs)
    exchange = _guard.call(None, _asgi.exchange_of, getattr(connection, "scope", {}))
    return wrapped(application if exchange is None else _observed(exchange, application), connection)


def _observed(exchange: Exchange, application: Application) -> Application:
    async def observed(scope: Scope, receive: Receive, send: Send) -> None:
        with _Caught(exchange):
            await application(scope, receive, send)

    return observed


class _Caught:
    """Notes the exception that leaves its block for whoever handles it."""

    __slots__ = ("_exchange",)

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if isinstance(error, Exception):
            self._exchange.call.caught(error)


def _asgi_arguments(scope: Scope, receive: Receive, send: Send) -> tuple[Scope, Receive, Send]:
    return scope, receive, send


def _wrapping_arguments(app: Application, conn: Any) -> tuple[Application, Any]:
    return app, conn
