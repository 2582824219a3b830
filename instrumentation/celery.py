"""Celery: a producer span for every task that is sent, a consumer span for every run of one, the context in the message's headers.

Sending is patched where all ways to do it meet (``delay``, ``apply_async``, ``send_task``, canvases, retries, beat), so a broker that cannot be reached ends the
span with its error. Running is followed by Celery's own signals, which every pool and eager mode send; an eager task's span is a child of the active one.
A retry is no error: it is a log on the run that asked for it, and the next run follows from the message that it sent.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from celery import signals

from sls_tracing.guard import Guard
from sls_tracing.instrumentation._messaging import ConsumerCall, ProducerCall
from sls_tracing.instrumentation._patching import Patch

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from sls_tracing.instrumentation._tracer_source import TracerSource

__all__ = ["patches"]

_CALL = "_sls_tracing_call"
_PATIENCE = 2.0
"""Seconds that a worker process which ends waits at most for its spans to be delivered."""
_guard = Guard("instrumentation_celery")
_sending: ContextVar[ProducerCall | None] = ContextVar("sls_tracing_celery_sending", default=None)


def patches(module: ModuleType, tracer: TracerSource) -> list[Patch | _Receiver]:
    """Return the patches for ``celery.app.base``, not yet installed."""
    hooks = _Hooks(tracer)
    return [
        Patch(module.Celery, "send_task", hooks.send_task),
        _Receiver(signals.before_task_publish, hooks.routed),
        _Receiver(signals.task_prerun, hooks.begins),
        _Receiver(signals.task_retry, hooks.is_retried),
        _Receiver(signals.task_failure, hooks.has_failed),
        _Receiver(signals.task_postrun, hooks.ends),
        _Receiver(signals.worker_process_shutdown, hooks.process_ends),
    ]


class _Receiver:
    """A signal's receiver as a patch. Whatever it raises is gone: Celery would log it as an error of the application's."""

    def __init__(self, signal: Any, function: Callable[..., None]) -> None:
        self._signal = signal
        self._function = function

    def __call__(self, sender: Any = None, **fields: Any) -> None:
        with _guard:
            self._function(sender, fields)

    def install(self) -> None:
        self._signal.connect(self, weak=False)

    def remove(self) -> None:
        self._signal.disconnect(self)


class _Hooks:
    def __init__(self, tracer: TracerSource) -> None:
        self._tracer = tracer

    def send_task(self, wrapped: Callable[..., Any], app: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Around ``Celery.send_task``."""
        name = args[0] if args else kwargs.get("name")
        call = ProducerCall.start(self._tracer.active(), "celery", str(name), None, {"celery.task_name": str(name)})
        if call is None:
            return wrapped(*args, **kwargs)
        kwargs = _guard.call(kwargs, _with_headers, call, kwargs)
        before = _sending.get()
        _sending.set(call)
        try:
            with call:
                result = wrapped(*args, **kwargs)
        finally:
            _sending.set(before)
        with _guard:
            call.set_tags({"celery.task_id": result.id})
        call.finish()
        return result

    def routed(self, sender: Any, fields: dict[str, Any]) -> None:
        """Celery has decided where the message goes."""
        call = _sending.get()
        exchange = fields.get("exchange")
        destination = fields.get("routing_key") or getattr(exchange, "name", exchange)
        if call is not None and destination:
            call.set_tags({"message_bus.destination": str(destination)})

    def begins(self, sender: Any, fields: dict[str, Any]) -> None:
        """A task is about to run, in this thread or greenlet."""
        tracer = self._tracer.active()
        task = fields["task"]
        request = task.request
        if tracer is None:
            return
        tags: dict[str, object] = {"celery.task_name": task.name, "celery.task_id": fields["task_id"]}
        if request.retries:
            tags["celery.retries"] = request.retries
        if request.is_eager:
            parent = tracer.active_span
            span_tags = {"component": "celery", "span.kind": "consumer", **tags}
            call = ConsumerCall(tracer, tracer.start_span(f"run {task.name}", child_of=parent, tags=span_tags))
        else:
            queue = (request.delivery_info or {}).get("routing_key")
            started = ConsumerCall.start(tracer, "celery", f"run {task.name}", queue, _headers(request), tags)
            if started is None:
                return
            call = started
        vars(request)[_CALL] = call
        call.__enter__()

    def is_retried(self, sender: Any, fields: dict[str, Any]) -> None:
        """The task has asked to be run again."""
        call = _call_of(fields["request"])
        if call is not None:
            call.log({"event": "retry", "message": str(fields.get("reason", ""))})

    def has_failed(self, sender: Any, fields: dict[str, Any]) -> None:
        """The task has raised. (Of a worker process that was lost, its parent says so, where no span is.)"""
        call = _call_of(getattr(sender, "request", None))
        if call is not None:
            call.failed(fields["exception"])

    def ends(self, sender: Any, fields: dict[str, Any]) -> None:
        """The task has run, well or not."""
        request = fields["task"].request
        call = _call_of(request)
        if call is None:
            return
        del vars(request)[_CALL]
        call.set_tags({"celery.state": str(fields.get("state"))})
        call.__exit__(None, None, None)
        call.finish()

    def process_ends(self, sender: Any, fields: dict[str, Any]) -> None:
        """A process of the prefork pool ends, after so many tasks or with the worker; it does so without running exit handlers."""
        flush = getattr(self._tracer.active(), "flush", None)
        if flush is not None:
            flush(_PATIENCE)


def _with_headers(call: ProducerCall, kwargs: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments with the context in a new dict of headers: the caller's stays his."""
    return {**kwargs, "headers": {**(kwargs.get("headers") or {}), **call.headers()}}


def _call_of(request: Any) -> ConsumerCall | None:
    call: ConsumerCall | None = getattr(request, _CALL, None)
    return call


def _headers(request: Any) -> dict[str, str]:
    """Return the message's headers: they are attributes of the request, and since Celery 5.1 apart as well."""
    found = {name.lower(): value for name, value in vars(request).items() if isinstance(value, str)}
    headers = request.headers
    if isinstance(headers, dict):
        found.update((str(name).lower(), value) for name, value in headers.items() if isinstance(value, str))
    return found
