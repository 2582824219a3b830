"""Messages that go through a broker, decided once for every library: names, tags, headers, and how the two ends refer to each other.

Who sends has a span of kind ``producer`` under the active one; its context travels in the message's headers, in OpenTracing's text map format (that of
HTTP escapes values, which nobody undoes in a message). Who takes a message has a span of kind ``consumer`` that FOLLOWS_FROM the producer's: the
producer does not wait. The span that is active at the consumer's is no parent, for a message comes from outside; nor is there one span for a
batch, whose messages belong to many traces.

Headers of a trace that are on a message already are replaced. With HTTP the caller's own win, but a message is often sent on as it
came (to the next queue, or once more), and then they tell of the step before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import opentracing

from sls_tracing.instrumentation._operation import Operation, extract, guard
from sls_tracing.suppression import suppress

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType
    from typing import Any

__all__ = ["ConsumerCall", "ProducerCall"]


class ProducerCall(Operation):
    """A message that is sent. While it is under way, the client of the broker below stays silent."""

    __slots__ = ("_silence",)

    def __init__(self, tracer: opentracing.Tracer, span: opentracing.Span) -> None:
        super().__init__(tracer, span)
        self._silence: Any = None

    @classmethod
    def start(
        cls,
        tracer: opentracing.Tracer | None,
        component: str,
        name: str,
        destination: str | None,
        tags: Mapping[str, object] | None = None,
    ) -> ProducerCall | None:
        """Start the span ``send <name>`` under the active one. None if nothing shall be traced (``tracer`` is None) or the tracer cannot."""
        if tracer is None:
            return None
        span_tags = {**_tags(component, "producer", destination), **(tags or {})}
        span = guard.call(None, tracer.start_span, f"send {name}", tags=span_tags)
        return None if span is None else cls(tracer, span)

    def headers(self) -> dict[str, str]:
        """Return the headers that carry the span's context, names in lower case; none if the tracer has none to give."""
        carrier: dict[str, str] = {}
        with guard:
            self.tracer.inject(self.span.context, opentracing.Format.TEXT_MAP, carrier)
        return {name.lower(): str(value) for name, value in carrier.items()}

    def __enter__(self) -> None:
        super().__enter__()
        self._silence = suppress()
        self._silence.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        silence, self._silence = self._silence, None
        if silence is not None:
            silence.__exit__(None, None, None)
        super().__exit__(kind, error, traceback)


class ConsumerCall(Operation):
    """A message that is taken, or the work that it asks for."""

    __slots__ = ()

    @classmethod
    def start(
        cls,
        tracer: opentracing.Tracer | None,
        component: str,
        name: str,
        destination: str | None,
        headers: Mapping[str, str],
        tags: Mapping[str, object] | None = None,
    ) -> ConsumerCall | None:
        """Start the span ``name``, which follows from the one in ``headers`` (names in lower case). None as above."""
        if tracer is None:
            return None
        producer = extract(tracer, headers, opentracing.Format.TEXT_MAP)
        references = None if producer is None else [opentracing.follows_from(producer)]
        span_tags = {**_tags(component, "consumer", destination), **(tags or {})}
        span = guard.call(None, tracer.start_span, name, references=references, tags=span_tags, ignore_active_span=True)
        return None if span is None else cls(tracer, span)


def _tags(component: str, kind: str, destination: str | None) -> dict[str, object]:
    tags: dict[str, object] = {"component": component, "span.kind": kind}
    if destination:
        tags["message_bus.destination"] = destination
    return tags
