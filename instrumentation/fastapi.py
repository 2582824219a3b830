"""FastAPI: as Starlette, on which it is built, and the routes that it handles by itself.

An included router may keep its routes as they were made and give each its whole path when it is called (FastAPI's effective route context);
older releases copy the routes with their whole paths.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import fastapi.applications
import fastapi.routing

from sls_tracing.guard import Guard
from sls_tracing.instrumentation import _asgi
from sls_tracing.instrumentation._instances import Instances
from sls_tracing.instrumentation._patching import Patch
from sls_tracing.instrumentation.starlette import EntryHook, handle_exceptions, routing_patches

if TYPE_CHECKING:
    from types import ModuleType

    import opentracing

    from sls_tracing.instrumentation._asgi import Application
    from sls_tracing.instrumentation._options import HTTPOptions
    from sls_tracing.instrumentation._registry import RemovablePatch
    from sls_tracing.instrumentation._tracer_source import TracerSource

__all__ = ["instrument", "patches", "uninstrument"]

_EMPTY: dict[str, Any] = {}
_guard = Guard("instrumentation_fastapi")


_instances: dict[type, Instances] = {}
"""By ``FastAPI``, which a reload replaces."""


def patches(module: ModuleType, tracer: TracerSource) -> list[RemovablePatch]:
    """Return the patches for ``fastapi.applications``, not yet installed."""
    return [_instances_of(module.FastAPI).for_library(tracer)]


def instrument(app: Any, tracer: opentracing.Tracer | None, http: HTTPOptions | None) -> None:
    """Trace this application, with its own tracer and options."""
    _instances_of(fastapi.applications.FastAPI).add(app, tracer, http)


def uninstrument(app: Any) -> None:
    """Undo :func:`instrument`."""
    _instances_of(fastapi.applications.FastAPI).discard(app)


def _instances_of(kind: type) -> Instances:
    instances = _instances.get(kind)
    if instances is None:
        _instances.clear()
        instances = _instances[kind] = Instances(partial(_patches, kind))
    return instances


def _patches(kind: type, instances: Instances) -> list[RemovablePatch]:
    routing: Any = fastapi.routing
    found: list[RemovablePatch] = [
        Patch(kind, "__call__", EntryHook(instances, "fastapi").serve),
        Patch(routing.APIRoute, "handle", _handle_route),
        routing_patches(),
    ]
    if hasattr(routing, "wrap_app_handling_exceptions"):
        found.append(Patch(routing, "wrap_app_handling_exceptions", handle_exceptions))
    return found


def _handle_route(wrapped: Application, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Around ``APIRoute.handle``."""
    with _guard:
        scope = args[0] if args else kwargs["scope"]
        exchange = _asgi.exchange_of(scope)
        if exchange is not None:
            context = scope.get("fastapi", _EMPTY).get("effective_route_context")
            is_effective = context is not None and context.original_route is instance
            exchange.matched(instance, (context if is_effective else instance).path_format)
    return wrapped(*args, **kwargs)
