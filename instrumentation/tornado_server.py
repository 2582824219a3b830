"""Tornado's server: one server span for every request, from its handler's start to the last byte, named by the route's pattern.

Every handler is run by ``_execute`` and answers by ``finish``: those of errors and of WebSockets' handshakes, too. The pattern is looked up among the
application's rules by the handler's class, so that routing costs nothing more.
"""

from __future__ import annotations

import asyncio
import weakref
from typing import TYPE_CHECKING, Any

from sls_tracing.guard import Guard
from sls_tracing.instrumentation._http import ServerCall
from sls_tracing.instrumentation._patching import Patch
from sls_tracing.instrumentation._websocket import Messages

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, MutableMapping
    from types import ModuleType

    from sls_tracing.instrumentation._tracer_source import TracerSource

__all__ = ["patches"]

_CALL = "_sls_tracing_call"
_MESSAGES = "_sls_tracing_messages"
_guard = Guard("instrumentation_tornado_server")
_rules: MutableMapping[Any, dict[type, list[Any]]] = weakref.WeakKeyDictionary()
"""By application: the matchers under which a class of handlers stands."""


def patches(module: ModuleType, tracer: TracerSource) -> list[Patch]:
    """Return the patches for ``tornado.web`` or ``tornado.websocket``, not yet installed."""
    if module.__name__ == "tornado.web":
        return [
            Patch(module.RequestHandler, "_execute", _Hooks(tracer).execute),
            Patch(module.RequestHandler, "finish", _finish),
            Patch(module.RequestHandler, "_handle_request_exception", _note_exception),
        ]
    return [Patch(module.WebSocketProtocol, "_run_callback", _run_callback)]


class _Hooks:
    def __init__(self, tracer: TracerSource) -> None:
        self._tracer = tracer

    def execute(self, wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Around ``RequestHandler._execute``: what is raised in there never leaves it."""
        tracer = self._tracer.active()
        if tracer is None:
            return wrapped(*args, **kwargs)
        request = instance.request
        headers = _guard.call({}, _headers, request)
        options = self._tracer.http
        call = ServerCall.start(tracer, "tornado", request.method or "", headers, request.path, options, request)
        return wrapped(*args, **kwargs) if call is None else _execute(call, instance, wrapped(*args, **kwargs))


async def _execute(call: ServerCall, handler: Any, executing: Any) -> Any:
    setattr(handler, _CALL, call)
    with call:
        result = await executing
    if not call.finished and not handler._finished:  # the client has gone
        _describe(call, handler)
    call.finish()
    return result


def _finish(wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Around ``RequestHandler.finish``: of an answer, and of a WebSocket's handshake."""
    result = wrapped(*args, **kwargs)
    call = getattr(instance, _CALL, None)
    if call is not None and not call.finished:
        with _guard:
            _describe(call, instance)
            status = instance.get_status()
            call.responded(status, instance._headers.get_all(), instance)
            if status == 101:
                setattr(instance, _MESSAGES, Messages(call, _template(instance)))
        call.finish()
    return result


def _note_exception(wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Around ``RequestHandler._handle_request_exception``, which makes an answer of what a handler raised."""
    call = getattr(instance, _CALL, None)
    error = args[0] if args else kwargs.get("e")
    if call is not None and isinstance(error, (Exception, asyncio.CancelledError)):
        call.caught(error)
    return wrapped(*args, **kwargs)


def _run_callback(wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Around ``WebSocketProtocol._run_callback``, which calls ``on_message`` and never raises."""
    messages: Messages | None = getattr(instance.handler, _MESSAGES, None)
    callback = args[0] if args else kwargs["callback"]
    if messages is None or getattr(callback, "__name__", "") != "on_message":
        return wrapped(*args, **kwargs)
    observed = _Observed(callback)
    messages.begin()
    pending = wrapped(observed, *args[1:], **{key: value for key, value in kwargs.items() if key != "callback"})
    if pending is None:
        messages.end(observed.error)
    else:
        messages.leave()  # the loop that reads frames goes on in this context
        pending.add_done_callback(lambda _: messages.end(observed.error))
    return pending


class _Observed:
    """A callback whose exception is noted, of a coroutine that it returns, too."""

    def __init__(self, callback: Callable[..., Any]) -> None:
        self._callback = callback
        self.error: BaseException | None = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        with self:
            result = self._callback(*args, **kwargs)
        return result if result is None or not hasattr(result, "__await__") else self._awaited(result)

    async def _awaited(self, result: Any) -> Any:
        with self:
            return await result

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        self.error = error


def _describe(call: ServerCall, handler: Any) -> None:
    with _guard:
        request = handler.request
        address = request.remote_ip
        connection = getattr(getattr(request, "connection", None), "context", None)
        peer = getattr(connection, "address", None)
        port = peer[1] if isinstance(peer, tuple) and len(peer) > 1 else None
        # Under xheaders the address is the forwarded one, and the port that of whoever forwarded it.
        call.describe(request.full_url, address, port if peer and peer[0] == address else None)
        if not call.is_named:
            call.named(_template(handler))


def _headers(request: Any) -> Mapping[str, str]:
    return {name.lower(): value for name, value in request.headers.items()}  # those that repeat are joined already


def _template(handler: Any) -> str | None:
    """Return the pattern of the rule that led to this handler; None for those that answer where no rule matched."""
    matchers = _matchers(handler.application, type(handler))
    if len(matchers) > 1:
        matchers = [matcher for matcher in matchers if matcher.match(handler.request) is not None]
    return _shown(matchers[0]) if matchers else None


def _matchers(application: Any, kind: type) -> list[Any]:
    found = _rules.get(application)
    if found is None or kind not in found:  # rules can be added later
        found = _rules[application] = {}
        for target, matcher in _walk(application.default_router):
            found.setdefault(target, []).append(matcher)
        found.setdefault(kind, [])
    return found[kind]


def _walk(router: Any) -> Iterator[tuple[type, Any]]:
    for rule in getattr(router, "rules", ()):
        if isinstance(rule.target, type) and hasattr(rule.matcher, "regex"):
            yield rule.target, rule.matcher
        else:
            yield from _walk(getattr(rule.target, "default_router", rule.target))


def _shown(matcher: Any) -> str:
    """Return a path's pattern with its groups' names, or numbers, in the place of the groups."""
    path, regex = getattr(matcher, "_path", None), matcher.regex
    if path is None:
        pattern: str = regex.pattern
        return pattern.removeprefix("^").removesuffix("$")
    names = {number: name for name, number in regex.groupindex.items()}
    groups = (f"<{names.get(number, number)}>" for number in range(1, regex.groups + 1))
    shown: str = path % tuple(groups)
    return shown
