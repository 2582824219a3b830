"""Flask: one server span for every request, whatever happens to it.

The span starts where the server enters the application, so it covers session loading, hooks that fail or answer early, error
handlers and teardown. Both ``Flask.__call__`` and ``Flask.wsgi_app`` are entries: an application may be mounted as
``app.wsgi_app``, and middleware put in before installation holds the unpatched ``wsgi_app`` while servers call the application
itself. Patching the class and never replacing it reaches applications that exist already.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import flask
from flask.ctx import RequestContext
from flask.globals import _cv_request  # what flask.request looks up, at a quarter of its price
from werkzeug.wsgi import ClosingIterator

from sls_tracing.guard import Guard
from sls_tracing.instrumentation import _wsgi
from sls_tracing.instrumentation._function_patch import FunctionPatch
from sls_tracing.instrumentation._http import ServerCall
from sls_tracing.instrumentation._instances import Instances

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import ModuleType

    import opentracing

    from sls_tracing.instrumentation._options import HTTPOptions
    from sls_tracing.instrumentation._registry import RemovablePatch
    from sls_tracing.instrumentation._tracer_source import TracerSource

__all__ = ["instrument", "patches", "uninstrument"]

_guard = Guard("instrumentation_flask")
_request_context: Any = _cv_request.get
_instances: dict[type, Instances] = {}
"""By ``Flask``, which a reload replaces."""


def patches(module: ModuleType, tracer: TracerSource) -> list[RemovablePatch]:
    """Return the patches for ``flask.app``, not yet installed."""
    return [_instances_of(module.Flask).for_library(tracer)]


def instrument(app: flask.Flask, tracer: opentracing.Tracer | None, http: HTTPOptions | None) -> None:
    """Trace this application, with its own tracer and options."""
    _instances_of(flask.Flask).add(app, tracer, http)


def uninstrument(app: flask.Flask) -> None:
    """Undo :func:`instrument`."""
    _instances_of(flask.Flask).discard(app)


def _instances_of(application: type) -> Instances:
    instances = _instances.get(application)
    if instances is None:
        _instances.clear()
        instances = _instances[application] = Instances(partial(_make_patches, application))
    return instances


def _make_patches(application: type, instances: Instances) -> list[FunctionPatch]:
    hooks = _Hooks(instances)
    return [
        FunctionPatch(application, "__call__", hooks.serve),
        FunctionPatch(application, "wsgi_app", hooks.serve),
        FunctionPatch(application, "full_dispatch_request", hooks.dispatch, ServerCall.current),
        FunctionPatch(application, "handle_user_exception", hooks.handle_user_exception, ServerCall.current),
        FunctionPatch(application, "handle_exception", hooks.handle_exception, ServerCall.current),
        FunctionPatch(RequestContext, "copy", hooks.copy_context),
    ]


class _Hooks:
    """What runs around Flask's methods, in the order of a request. Each has wrapt's signature."""

    def __init__(self, instances: Instances) -> None:
        self._instances = instances

    def serve(self, wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Around both WSGI entries; whichever comes first makes the span."""
        if args and _wsgi.CALL in args[0]:  # the inner entry
            return wrapped(*args, **kwargs)
        tracing = self._instances.tracing(instance)
        if tracing is None:
            return wrapped(*args, **kwargs)
        tracer, options = tracing
        environ, start_response = args if len(args) == 2 else _wsgi_arguments(*args, **kwargs)
        return _wsgi.serve(tracer, "flask", wrapped, environ, start_response, _is_complete, options)

    def dispatch(
        self, wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Around ``full_dispatch_request``: the route is known, and a killed worker's span has its name already."""
        call = self._current_call(instance)
        if call is None:
            return wrapped(*args, **kwargs)
        _guard.call(None, _tell_request, call, _request_context().request)
        return _with_completeness(call, wrapped(*args, **kwargs))

    def handle_user_exception(
        self, wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Around the handling of what a view raised: it may yet become a 404 or a proper answer."""
        call = self._current_call(instance)
        if call is not None:
            call.caught(_exception_argument(*args, **kwargs))
        return wrapped(*args, **kwargs)

    def handle_exception(
        self, wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Around the making of a 500: for what had no handler, and for what a handler or hook raised itself."""
        call = self._current_call(instance)
        if call is None:
            return wrapped(*args, **kwargs)
        call.caught(_exception_argument(*args, **kwargs))
        return _with_completeness(call, wrapped(*args, **kwargs))

    def copy_context(
        self, wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Around ``RequestContext.copy``, which ``copy_current_request_context`` calls: the copy takes the span along."""
        context = wrapped(*args, **kwargs)
        source = self._instances.source(getattr(instance, "app", None))
        tracer = None if source is None else source.active()
        if tracer is not None and type(context) is RequestContext:
            with _guard:
                span = tracer.active_span
                if span is not None:
                    context.__class__ = _CarryingContext
                    context._sls_tracing_parent = (tracer, span)  # type: ignore[attr-defined]
        return context

    def _current_call(self, app: Any) -> ServerCall | None:
        """Return the current request's call; None without one, as in ``test_request_context``."""
        if self._instances.source(app) is None:
            return None
        context = _request_context(None)
        return None if context is None else _wsgi.call_of(context.request.environ)


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


def _tell_request(call: ServerCall, request: flask.Request) -> None:
    _wsgi.describe(call, request.environ)
    rule = request.url_rule
    call.named(None if rule is None else rule.rule)


def _with_completeness(call: ServerCall, response: Any) -> Any:
    _guard.call(None, _note_completeness, call, response)
    return response


def _note_completeness(call: ServerCall, response: Any) -> None:
    call.body_is_complete = not response.is_streamed or _is_error_page(response)


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
