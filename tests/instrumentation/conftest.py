"""The instrumentation must work with any OpenTracing tracer: every test that takes `recorded` runs against three."""

from __future__ import annotations

import contextvars
import gc
import http.client
import threading
import time
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import jaeger_client
import opentracing
import pytest
import uvicorn
from opentracing.mocktracer import MockTracer
from opentracing.scope_managers.contextvars import ContextVarsScopeManager

from sls_tracing import ConstSampler, InMemoryReporter, Tracer, instrumentation
from sls_tracing.metrics import counters
from sls_tracing.suppression import suppress


class SeenSpan(NamedTuple):
    """A finished span as these tests look at it, whichever tracer made it."""

    name: str
    tags: dict[str, Any]
    logs: list[dict[str, Any]]
    trace_id: int
    span_id: int
    parent_id: int | None
    duration: float

    def errors(self) -> list[dict[str, Any]]:
        return [log for log in self.logs if log.get("event") == "error"]

    def events(self, name: str) -> list[dict[str, Any]]:
        return [log for log in self.logs if log.get("event") == name]


class Ours:
    parent_header = "x-b3-spanid"
    trace_header = "x-b3-traceid"

    def __init__(self) -> None:
        self.reporter = InMemoryReporter()
        self.tracer = Tracer("tested", sampler=ConstSampler(True), reporter=self.reporter, propagation="b3")

    @property
    def spans(self) -> list[SeenSpan]:
        return [
            SeenSpan(
                span.operation_name,
                {key: value for key, value in span.tags.items() if not key.startswith("sampler.")},
                [dict(log.fields) for log in span.logs],
                span.context.trace_id,
                span.context.span_id,
                span.context.parent_id,
                span.finish_time - span.start_time,
            )
            for span in self.reporter.spans
        ]


class Mock:
    parent_header = "ot-tracer-spanid"
    trace_header = "ot-tracer-traceid"

    def __init__(self) -> None:
        self.tracer = MockTracer(ContextVarsScopeManager())

    @property
    def spans(self) -> list[SeenSpan]:
        return [
            SeenSpan(
                span.operation_name,
                {key: value for key, value in span.tags.items() if not key.startswith("sampler.")},
                [{key: _plain(value) for key, value in log.key_values.items()} for log in span.logs],
                span.context.trace_id,
                span.context.span_id,
                span.parent_id,
                span.finish_time - span.start_time,
            )
            for span in self.tracer.finished_spans()
        ]


class Jaeger:
    """jaeger-client, with its own header."""

    parent_header = trace_header = "uber-trace-id"

    def __init__(self) -> None:
        self.reporter = jaeger_client.reporter.InMemoryReporter()
        self.tracer = jaeger_client.Tracer(
            "tested", self.reporter, jaeger_client.ConstSampler(True), scope_manager=ContextVarsScopeManager()
        )

    @property
    def spans(self) -> list[SeenSpan]:
        return [
            SeenSpan(
                span.operation_name,
                {tag.key: _thrift_value(tag) for tag in span.tags if tag.key not in ("sampler.type", "sampler.param")},
                [{field.key: _thrift_value(field) for field in log.fields} for log in span.logs],
                span.trace_id,
                span.span_id,
                span.parent_id,
                span.end_time - span.start_time,
            )
            for span in self.reporter.get_spans()
        ]


def _plain(value: Any) -> Any:
    return value if isinstance(value, (str, bool, int, float)) else str(value)


def _thrift_value(tag: Any) -> Any:
    return next(value for value in (tag.vStr, tag.vBool, tag.vLong, tag.vDouble, tag.vBinary) if value is not None)


@pytest.fixture(params=[Ours, Mock, Jaeger], ids=["ours", "mock", "jaeger"])
def recorded(request):
    """A tracer set as the global one, with everything it finished; instrumentation is on, and off again afterwards."""
    yield from _recording(request.param())


@pytest.fixture
def ours():
    """The same with our tracer alone."""
    yield from _recording(Ours())


def _recording(tracing):
    before = opentracing.tracer, opentracing.is_tracer_registered
    opentracing.set_global_tracer(tracing.tracer)
    instrumentation.install()
    failures = _guard_failures()
    yield tracing
    instrumentation.uninstall()
    gc.collect()
    opentracing.tracer, opentracing.is_tracer_registered = before
    assert tracing.tracer.active_span is None, "a scope was left open"
    assert getattr(tracing, "expects_failures", False) or _guard_failures() == failures, "a guard had to step in"


def _guard_failures() -> dict[str, int]:
    return {name: count for name, count in counters.snapshot().items() if name.startswith("guard_failures")}


class Answer(NamedTuple):
    """What a server answered."""

    status: int
    headers: dict[str, str]
    body: bytes


@pytest.fixture
def fetch():
    """``fetch(url, method, headers)`` over a connection of its own, untraced itself; headers may be pairs, so that a name can repeat."""

    def fetch(url, method="GET", headers=(), body=b""):
        parts = urlsplit(url)
        pairs = headers.items() if hasattr(headers, "items") else headers
        with suppress():
            connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=20)
            try:
                connection.putrequest(method, parts.path + ("?" + parts.query if parts.query else ""))
                for name, value in pairs:
                    connection.putheader(name, value)
                if body:
                    connection.putheader("content-length", str(len(body)))
                connection.endheaders(body or None)
                response = connection.getresponse()
                return Answer(response.status, dict(response.getheaders()), response.read())
            finally:
                connection.close()

    return fetch


@pytest.fixture
def serve_asgi():
    """``serve_asgi(app)`` runs it under uvicorn and returns its URL. The server's threads inherit no context from the test."""
    servers = []

    def serve(app, **settings):
        config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="critical", **settings)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=contextvars.Context().run, args=(server.run,), daemon=True)
        thread.start()
        servers.append((server, thread))
        deadline = time.monotonic() + 20
        while not (server.started and server.servers):
            assert time.monotonic() < deadline
            assert thread.is_alive(), "uvicorn did not start"
            time.sleep(0.002)
        return f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"

    yield serve
    for server, thread in servers:
        server.should_exit = True
        thread.join(20)


@pytest.fixture
def finished(wait_until):
    """``finished(recorded, 2)`` waits for so many finished spans and returns them: servers answer before they finish."""

    def finished(recorded, number=1):
        wait_until(lambda: len(recorded.spans) >= number)
        spans = recorded.spans
        assert len(spans) == number, spans
        return spans

    return finished


def _script(handler):
    """/status/N, /redirect/N, /elsewhere, /slow, /broken, /flaky."""
    name, _, rest = handler.path.split("?")[0].lstrip("/").partition("/")
    if name == "redirect":
        number = int(rest)
        _answer(handler, 302, location=f"/redirect/{number - 1}?token=s3cret" if number > 1 else "/status/200")
    elif name == "elsewhere":
        _answer(handler, 302, location=f"http://localhost:{handler.server.server_address[1]}/status/200")
    elif name == "flaky":
        handler.server.flaky = getattr(handler.server, "flaky", 0) + 1
        _answer(handler, 503 if handler.server.flaky < 3 else 200)
    elif name in ("slow", "broken"):
        handler.send_response(200)
        handler.send_header("content-length", "8")
        handler.end_headers()
        handler.wfile.write(b"part")
        handler.wfile.flush()
        if name == "slow":
            time.sleep(0.05)
            handler.wfile.write(b"part")
    else:
        _answer(handler, int(rest) if rest.isdecimal() else 200)


def _answer(handler, status, **headers):
    handler.send_response(status)
    for name, value in {**headers, "content-length": "4"}.items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(b"body")


@pytest.fixture
def server(scripted_server):
    """A real server that redirects, is slow, breaks off."""
    scripted_server.script = _script
    return scripted_server


@pytest.fixture
def sent_ids():
    """``sent_ids(recorded, headers)``: trace and span id that the tracer reads from headers that a server got."""

    def read(recorded, headers):
        context = recorded.tracer.extract(opentracing.Format.HTTP_HEADERS, headers)
        return context.trace_id, context.span_id

    return read
