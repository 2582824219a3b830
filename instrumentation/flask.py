"""Flask: one server span for every request, whatever happens to it.

The span starts where the server enters the application, so it covers session loading, hooks that fail or answer early, error
handlers and teardown. Both ``Flask.__call__`` and ``Flask.wsgi_app`` are entries: an application may be mounted as
``app.wsgi_app``, and middleware put in before installation holds the unpatched ``wsgi_app`` while servers call the application
itself. Patching the class and never replacing it reaches applications that exist already.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import flask
from flask.ctx import RequestContext
from werkzeug.wsgi import ClosingIterator

from sls_tracing.guard import Guard
from sls_tracing.instrumentation import _wsgi
from sls_tracing.instrumentation._patching import Patch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import ModuleType

    import opentracing

    from sls_tracing.instrumentation._http import ServerCall
    from sls_tracing.instrumentation._tracer_source import TracerSource

__all__ = ["patches"]

_guard = Guard("instrumentation_flask")


def patches(module: ModuleType, tracer: TracerSource) -> list[Patch]:
    """Return the patches for ``flask.app``, not yet installed."""
    hooks = _Hooks(tracer)
    application = module.Flask
    return [
        Patch(application, "__call__", hooks.serve),
        Patch(application, "wsgi_app", hooks.serve),
        Patch(application, "full_dispatch_request", hooks.dispatch),
        Patch(application, "handle_user_exception", hooks.handle_user_exception),
        Patch(application, "handle_exception", hooks.handle_exception),
        Patch(RequestContext, "copy", hooks.copy_context),
    ]


class _Hooks:
    """What runs around Flask's methods, in the order of a request. Each has wrapt's signature."""

    def __init__(self, tracer: TracerSource) -> None:
        self._tracer = tracer

    def serve(self, wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Around both WSGI entries; whichever comes first makes the span."""
        tracer = self._tracer.active()
        if tracer is None:
            return wrapped(*args, **kwargs)
        environ, start_response = _wsgi_arguments(*args, **kwargs)
        if _wsgi.call_of(environ) is not None:
            return wrapped(environ, start_response)
        return _wsgi.serve(tracer, "flask", wrapped, environ, start_response, _is_complete, self._tracer.http)

    def dispatch(
        self, wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Around ``full_dispatch_request``: the route is known, and a killed worker's span has its name already."""
        call = self._current_call()
        if call is None:
            return wrapped(*args, **kwargs)
        with _guard:
            request = flask.request
            call.named(request.url_rule.rule if request.url_rule is not None else None)
            _wsgi.describe(call, request.environ)
        return _with_completeness(call, wrapped(*args, **kwargs))

    def handle_user_exception(
        self, wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Around the handling of what a view raised: it may yet become a 404 or a proper answer."""
        call = self._current_call()
        if call is not None:
            call.caught(_exception_argument(*args, **kwargs))
        return wrapped(*args, **kwargs)

    def handle_exception(
        self, wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Around the making of a 500: for what had no handler, and for what a handler or hook raised itself."""
        call = self._current_call()
        if call is None:
            return wrapped(*args, **kwargs)
        call.caught(_exception_argument(*args, **kwargs))
        return _with_completeness(call, wrapped(*args, **kwargs))

    def copy_context(
        self, wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Around ``RequestContext.copy``, which ``copy_current_request_context`` calls: the copy takes the span along."""
        context = wrapped(*args, **kwargs)
        tracer = self._tracer.active()
        if tracer is not None and type(context) is RequestContext:
            with _guard:
                span = tracer.active_span
                if span is not None:
                    context.__class__ = _CarryingContext
                    context._sls_tracing_parent = (tracer, span)  # type: ignore[attr-defined]
        return context

    def _current_call(self) -> ServerCall | None:
        """Return the current request's call; None without one, as in ``test_request_context``."""
        if self._tracer.active() is None or not flask.has_request_context():  # the first is the cheaper question by far
            return None
        return _wsgi.call_of(flask.request.environ)


class _CarryingContext(RequestContext):
    """A copied request context. Where it is pushed without an active span, as in a new thread, the copied one is active."""

    _sls_tracing_parent: tuple[opentracing.Tracer, opentracing.Span]
    _sls_tracing_scope: Any = None

    def push(self) -> None:
        with _guard:
            tracer, span = self._sls_tracing_parent
            if tracer.active_span is None:
                self._sls_tracing_scope = tracer.scope_manager.activate(span, False)
        super().push()

    def pop(self, *args: Any, **kwargs: Any) -> None:
        try:
            super().pop(*args, **kwargs)
        finally:
            scope, self._sls_tracing_scope = self._sls_tracing_scope, None
            if scope is not None:
                with _guard:
                    scope.close()


def _with_completeness(call: ServerCall, response: Any) -> Any:
    with _guard:
        call.body_is_complete = not response.is_streamed or _is_error_page(response)
    return response


def _is_error_page(response: Any) -> bool:
    """Whether this is what Flask makes of an HTTPException: a whole page, but run through WSGI once and so without a ``len``."""
    return type(response.response) is ClosingIterator and response.content_length is not None


def _is_complete(call: ServerCall, body: object) -> bool:
    """Whether ``body`` is Flask's own iterator over a response that is whole; a middleware's generator around it is not."""
    return call.body_is_complete and type(body) is ClosingIterator


def _wsgi_arguments(
    environ: dict[str, Any], start_response: Callable[..., Any]
) -> tuple[dict[str, Any], Callable[..., Iterable[bytes]]]:
    return environ, start_response


def _exception_argument(e: BaseException) -> BaseException:
    return e
