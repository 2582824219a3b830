"""The work in OpenTracing's API: sls-tracing, jaeger-client, and the no-op tracer of ``opentracing`` itself.

Each tracer gets the same work written in its own API, without a layer in between that would cost the fast ones more than the slow ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import opentracing

if TYPE_CHECKING:
    from collections.abc import Callable

HTTP = opentracing.Format.HTTP_HEADERS


class OpenTracingWork:
    def __init__(self, tracer: Any, close: Callable[[], Any], decorate: Callable[[Any], Any] | None = None) -> None:
        self.tracer = tracer
        self.close = close
        self.decorate = decorate

    def life(self, count: int) -> None:
        start = self.tracer.start_span
        for _ in range(count):
            span = start("operation")
            span.set_tag("http.method", "GET")
            span.set_tag("http.status_code", 200)
            span.finish()

    def nested(self, count: int) -> None:
        start = self.tracer.start_active_span
        for _ in range(count):
            with start("outer") as outer:
                outer.span.set_tag("number", 1)
                with start("inner") as inner:
                    inner.span.set_tag("number", 2)

    def hop(self, count: int, headers: dict[str, str]) -> None:
        tracer = self.tracer
        for _ in range(count):
            with tracer.start_active_span("server", tracer.extract(HTTP, headers)) as server:
                server.span.set_tag("span.kind", "server")
                with tracer.start_active_span("client") as client:
                    client.span.set_tag("span.kind", "client")
                    tracer.inject(client.span.context, HTTP, {})

    def deferred(self, count: int, headers: dict[str, str]) -> None:
        tracer = self.tracer
        context = tracer.extract(HTTP, headers)
        for _ in range(count):
            tracer.start_span("operation", context).finish()

    def four_tags(self, number: int) -> None:
        span = self.tracer.start_span("GET /products/<id>")
        span.set_tag("http.method", "GET")
        span.set_tag("http.status_code", 200)
        span.set_tag("http.url", f"http://productpage:9080/products/{number}")
        span.set_tag("component", "flask")
        span.finish()

    def active(self, name: str) -> Any:
        return self.tracer.start_active_span(name)
