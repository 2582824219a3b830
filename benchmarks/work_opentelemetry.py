"""The work in OpenTelemetry's API, as its documentation writes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry.propagators.b3 import B3MultiFormat
from opentelemetry.trace import SpanKind

if TYPE_CHECKING:
    from collections.abc import Callable


class OpenTelemetryWork:
    def __init__(self, tracer: Any, close: Callable[[], Any]) -> None:
        self.tracer = tracer
        self.close = close
        self.decorate = tracer.start_as_current_span("work")
        self.propagator = B3MultiFormat()

    def life(self, count: int) -> None:
        start = self.tracer.start_span
        for _ in range(count):
            span = start("operation")
            span.set_attribute("http.method", "GET")
            span.set_attribute("http.status_code", 200)
            span.end()

    def nested(self, count: int) -> None:
        start = self.tracer.start_as_current_span
        for _ in range(count):
            with start("outer") as outer:
                outer.set_attribute("number", 1)
                with start("inner") as inner:
                    inner.set_attribute("number", 2)

    def hop(self, count: int, headers: dict[str, str]) -> None:
        start, propagator = self.tracer.start_as_current_span, self.propagator
        for _ in range(count):
            with start("server", propagator.extract(headers), SpanKind.SERVER), start("client", kind=SpanKind.CLIENT):
                propagator.inject({})

    def four_tags(self, number: int) -> None:
        span = self.tracer.start_span("GET /products/<id>")
        span.set_attribute("http.method", "GET")
        span.set_attribute("http.status_code", 200)
        span.set_attribute("http.url", f"http://productpage:9080/products/{number}")
        span.set_attribute("component", "flask")
        span.end()

    def active(self, name: str) -> Any:
        return self.tracer.start_as_current_span(name)
