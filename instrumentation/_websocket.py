"""The messages of a WebSocket: a span for each, from its receipt to the next one's, apart from the handshake's.

Each message begins a trace of its own, with the handshake's sampling decision and baggage and a FOLLOWS_FROM reference to it: a connection that lives
for days would otherwise be a trace that no interface can show. Tracers other than ours put it into the handshake's trace.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import opentracing

from sls_tracing.context import SpanContext
from sls_tracing.forwarding import ForwardingTracer
from sls_tracing.guard import Guard
from sls_tracing.instrumentation._http import Call
from sls_tracing.suppression import suppressed
from sls_tracing.tracer import Tracer

if TYPE_CHECKING:
    from sls_tracing.instrumentation._http import ServerCall

__all__ = ["Messages"]

_guard = Guard("instrumentation_websocket")


class Messages:
    """The messages of one connection. ``handshake`` is finished by now; ``route`` is its template, None if none is known."""

    def __init__(self, handshake: ServerCall, route: str | None) -> None:
        self._handshake = handshake
        self._name = f"receive {'<unmatched>' if route is None else route}"
        self._current: Call | None = None

    def begin(self) -> None:
        """Start a message's span and leave it active, in this task, for those who handle the message; the one before has ended."""
        self.end()
        if not suppressed():
            with _guard:
                self._current = Call(self._handshake.tracer, self._start(), self._handshake.method)
                self._current.__enter__()

    def leave(self) -> None:
        """Make the message's span inactive here, though the message is not done with: somebody else goes on handling it."""
        if self._current is not None:
            self._current.__exit__(None, None, None)

    def end(self, error: BaseException | None = None) -> None:
        """End the span of the message that was handled last; ``error`` is what its handling raised."""
        message, self._current = self._current, None
        if message is not None:
            message.__exit__(None if error is None else type(error), error, None)
            message.finish()

    def _start(self) -> opentracing.Span:
        tracer, context = self._handshake.tracer, self._handshake.span.context
        parent = None
        if isinstance(tracer, Tracer) and not isinstance(tracer, ForwardingTracer) and isinstance(context, SpanContext):
            parent = context._replace(trace_id=None, span_id=None, parent_id=None)
        return tracer.start_span(
            self._name,
            child_of=parent,
            references=[opentracing.follows_from(context)],
            tags={"component": "websocket", "span.kind": "consumer"},
            ignore_active_span=True,
        )
