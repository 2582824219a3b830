"""The work in ddtrace's API. Its spans become active when they start, so ``life`` is what its documentation calls a trace."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ddtrace.propagation.http import HTTPPropagator

if TYPE_CHECKING:
    from collections.abc import Callable


class DatadogWork:
    def __init__(self, tracer: Any, close: Callable[[], Any]) -> None:
        self.tracer = tracer
        self.close = close
        self.decorate = tracer.wrap("work")

    def life(self, count: int) -> None:
        start = self.tracer.start_span
        for _ in range(count):
            span = start("operation")
            span.set_tag("http.method", "GET")
            span.set_metric("http.status_code", 200)
            span.finish()

    def nested(self, count: int) -> None:
        trace = self.tracer.trace
        for _ in range(count):
            with trace("outer") as outer:
                outer.set_metric("number", 1)
                with trace("inner") as inner:
                    inner.set_metric("number", 2)

    def hop(self, count: int, headers: dict[str, str]) -> None:
        tracer = self.tracer
        for _ in range(count):
            context = HTTPPropagator.extract(headers)
            with tracer.start_span("server", child_of=context, span_type="web", activate=True) as server:
                server.set_tag("span.kind", "server")
                with tracer.trace("client") as client:
                    client.set_tag("span.kind", "client")
                    HTTPPropagator.inject(client, {})

    def four_tags(self, number: int) -> None:
        span = self.tracer.start_span("GET /products/<id>")
        span.set_tag("http.method", "GET")
        span.set_metric("http.status_code", 200)
        span.set_tag("http.url", f"http://productpage:9080/products/{number}")
        span.set_tag("component", "flask")
        span.finish()

    def active(self, name: str) -> Any:
        return self.tracer.trace(name)
