"""Django over WSGI and ASGI: one server span for every request, named by the route, middleware and streamed bodies included.

The handlers' ``__call__`` is the entry of servers, so the span covers every middleware, whatever their order; none is added. Routes are read where Django
resolves them; exceptions where it makes answers of them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from sls_tracing.guard import Guard
from sls_tracing.instrumentation import _asgi, _wsgi
from sls_tracing.instrumentation._patching import Patch

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from sls_tracing.instrumentation._http import ServerCall
    from sls_tracing.instrumentation._tracer_source import TracerSource

__all__ = ["patches"]

_NAMED_GROUP = re.compile(r"\(\?P(<\w+>)(?:[^()\[\]\\]|\\.|\[(?:[^\]\\]|\\.)*\]|\([^()]*\))*\)")
_ANCHORS = re.compile(r"(?<!\\)[\^$]|\\[AZ]")
_guard = Guard("instrumentation_django")


def patches(module: ModuleType, tracer: TracerSource) -> list[Patch]:
    """Return the patches for ``django.core.handlers.wsgi``, ``….asgi``, ``….base`` or ``….exception``, not yet installed."""
    hooks, part = _Hooks(tracer), module.__name__.rpartition(".")[2]
    if part == "wsgi":
        return [Patch(module.WSGIHandler, "__call__", hooks.serve_wsgi)]
    if part == "asgi":
        return [Patch(module.ASGIHandler, "__call__", hooks.serve_asgi)]
    if part == "base":
        return [
            Patch(module.BaseHandler, "resolve_request", _resolve),
            Patch(module.BaseHandler, "process_exception_by_middleware", _note_exception),
        ]
    return [Patch(module, "response_for_exception", _note_exception)]


class _Hooks:
    def __init__(self, tracer: TracerSource) -> None:
        self._tracer = tracer

    def serve_wsgi(
        self, wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Around ``WSGIHandler.__call__``."""
        tracer = self._tracer.active()
        if tracer is None:
            return wrapped(*args, **kwargs)
        environ, start_response = _wsgi_arguments(*args, **kwargs)
        return _wsgi.serve(tracer, "django", wrapped, environ, start_response, _is_complete, self._tracer.http)

    def serve_asgi(
        self, wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Around ``ASGIHandler.__call__``."""
        tracer = self._tracer.active()
        if tracer is None:
            return wrapped(*args, **kwargs)
        return _asgi.serve(tracer, "django", wrapped, *_asgi_arguments(*args, **kwargs), options=self._tracer.http)


def _resolve(wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Around ``BaseHandler.resolve_request``."""
    match = wrapped(*args, **kwargs)
    with _guard:
        request = args[0] if args else kwargs["request"]
        call, route = _call_of(request), _template(request.resolver_match.route)
        if call is not None:
            environ = getattr(request, "environ", None)
            if environ is not None:
                _wsgi.describe(call, environ)
            call.named(route)
    return match


def _note_exception(wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Around ``response_for_exception`` and ``process_exception_by_middleware``, whose arguments stand the other way round."""
    with _guard:
        values = (*args, *kwargs.values())
        error = next((value for value in values if isinstance(value, Exception)), None)
        call = next((call for call in map(_call_of, values) if call is not None), None)
        if call is not None and error is not None:
            call.caught(error)
    return wrapped(*args, **kwargs)


def _call_of(request: Any) -> ServerCall | None:
    environ = getattr(request, "environ", None)
    if environ is not None:
        return _wsgi.call_of(environ)
    exchange = _asgi.exchange_of(getattr(request, "scope", {}))
    return None if exchange is None else exchange.call


def _is_complete(call: ServerCall, body: object) -> bool:
    """Whether the response is whole. By now every route has been asked, unless a middleware answered by itself."""
    if not call.is_named:
        call.named(None)
    return not getattr(body, "streaming", True)


def _template(route: str) -> str:
    """Return a route as people read it: ``path`` routes as they are, of regular expressions the names of their groups."""
    if "(" in route or "^" in route or "\\" in route:
        route = _ANCHORS.sub("", _NAMED_GROUP.sub(r"\1", route)).replace("\\", "")
    return route if route.startswith("/") else f"/{route}"


def _wsgi_arguments(
    environ: dict[str, Any], start_response: Callable[..., Any]
) -> tuple[dict[str, Any], Callable[..., Any]]:
    return environ, start_response


def _asgi_arguments(scope: Any, receive: Any, send: Any) -> tuple[Any, Any, Any]:
    return scope, receive, send
