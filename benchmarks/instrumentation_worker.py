"""One measurement in a process of its own: ``instrumentation_worker.py CASE TRACER`` prints µs an operation for each line that it reads.

Each figure is the best of a few short loops. The processes of all tracers live side by side and are asked in turns (`instrumentation_overhead`).

Every tracer records all and throws it away at the last moment, where spans are handed to whoever sends them: what is measured is what the
application's thread pays. In time of the thread's own CPU, which other processes on the machine disturb least.
"""

from __future__ import annotations

import gc
import sys
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

LOOPS, COUNT = 3, 100


def prepare(operation: Callable[[], object]) -> None:
    for _ in range(5 * COUNT):
        operation()
    gc.collect()
    gc.freeze()


def best(operation: Callable[[], object]) -> float:
    found = float("inf")
    for _ in range(LOOPS):
        began = time.thread_time()
        for _ in range(COUNT):
            operation()
        found = min(found, time.thread_time() - began)
    return found / COUNT * 1e6


# -- tracers: each returns what decorates a function ---------------------------------------------------------------------


def no_tracer() -> Callable[[Any], Any]:
    return lambda function: function


def sls_tracing(*, sampled: bool = True, enabled: bool = True) -> Callable[[Any], Any]:
    import opentracing

    from sls_tracing import ConstSampler, NullReporter, Tracer, instrumentation, traced

    if enabled:
        opentracing.set_global_tracer(Tracer("bench", NullReporter(), ConstSampler(sampled), propagation="mesh"))
    instrumentation.install(["flask", "requests", "httpx"])
    return traced


def jaeger_client() -> Callable[[Any], Any]:
    """The instrumentation is ours, the tracer is jaeger-client's."""
    import jaeger_client
    import opentracing
    from opentracing.scope_managers.contextvars import ContextVarsScopeManager

    from sls_tracing import instrumentation

    reporter = jaeger_client.reporter.NullReporter()
    opentracing.set_global_tracer(
        jaeger_client.Tracer(
            "bench", reporter, jaeger_client.ConstSampler(True), scope_manager=ContextVarsScopeManager()
        )
    )
    instrumentation.install(["flask", "requests", "httpx"])
    return lambda function: function


def opentelemetry(*, sampled: bool = True) -> Callable[[Any], Any]:
    from opentelemetry import trace
    from opentelemetry.instrumentation.flask import FlaskInstrumentor
    from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
    from opentelemetry.instrumentation.requests import RequestsInstrumentor
    from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
    from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON

    provider = TracerProvider(sampler=ALWAYS_ON if sampled else ALWAYS_OFF)
    provider.add_span_processor(SpanProcessor())
    trace.set_tracer_provider(provider)
    FlaskInstrumentor().instrument()
    RequestsInstrumentor().instrument()
    HTTPXClientInstrumentor().instrument()
    return lambda function: trace.get_tracer("bench").start_as_current_span(function.__qualname__)(function)


def ddtrace() -> Callable[[Any], Any]:
    import ddtrace
    from ddtrace.trace import TraceFilter, tracer

    class Drop(TraceFilter):
        def process_trace(self, trace: Any) -> None:
            return None

    tracer.configure(trace_processors=[Drop()])
    ddtrace.patch(flask=True, requests=True, httpx=True)
    return tracer.wrap()


TRACERS: dict[str, Callable[[], Callable[[Any], Any]]] = {
    "none": no_tracer,
    "sls-tracing": sls_tracing,
    "sls-tracing unsampled": lambda: sls_tracing(sampled=False),
    "sls-tracing disabled": lambda: sls_tracing(enabled=False),
    "jaeger-client": jaeger_client,
    "opentelemetry": opentelemetry,
    "opentelemetry off": lambda: opentelemetry(sampled=False),
    "ddtrace": ddtrace,
}


# -- what is traced ------------------------------------------------------------------------------------------------------


def flask_case() -> Callable[[], object]:
    import flask
    from werkzeug.test import EnvironBuilder

    app = flask.Flask("bench")
    app.add_url_rule("/items/<int:number>", view_func=lambda number: "item", endpoint="item")
    headers = {"X-One": "1", "X-Two": "2", "X-Three": "3", "Accept": "*/*"}
    environ = EnvironBuilder("/items/7", query_string="color=red", headers=headers).get_environ()

    def request() -> None:
        body = app({**environ}, lambda status, headers, exc_info=None: None)
        for _ in body:
            pass
        body.close()

    return request


def requests_case() -> Callable[[], object]:
    import requests
    from requests.adapters import BaseAdapter

    class Answer(BaseAdapter):
        def send(self, request: Any, **kwargs: Any) -> Any:
            response = requests.Response()
            response.status_code, response.url, response.request = 200, request.url, request
            response._content = b""
            return response

        def close(self) -> None:
            pass

    session = requests.Session()
    session.mount("http://", Answer())
    return lambda: session.get("http://stock:8080/items/7?color=red")


def httpx_case() -> Callable[[], object]:
    import httpcore
    import httpx

    class Pool:
        def handle_request(self, request: Any) -> Any:
            return httpcore.Response(200, content=b"")

    transport = httpx.HTTPTransport()  # itself, for OpenTelemetry traces no other one
    transport._pool = Pool()  # type: ignore[assignment]
    client = httpx.Client(transport=transport)
    return lambda: client.get("http://stock:8080/items/7?color=red")


def plain(number: int = 7) -> int:
    return number


if __name__ == "__main__":
    case, tracer = sys.argv[1], sys.argv[2]
    decorate = TRACERS[tracer]()
    works = {"flask": flask_case, "requests": requests_case, "httpx": httpx_case, "traced": lambda: decorate(plain)}
    operation = works[case]()
    prepare(operation)
    for _ in sys.stdin:
        print(best(operation), flush=True)
