"""The instrumentation must work with any OpenTracing tracer: every test that takes `recorded` runs against three."""

from __future__ import annotations

import gc
from typing import Any, NamedTuple

import jaeger_client
import opentracing
import pytest
from opentracing.mocktracer import MockTracer
from opentracing.scope_managers.contextvars import ContextVarsScopeManager

from sls_tracing import ConstSampler, InMemoryReporter, Tracer, instrumentation
from sls_tracing.metrics import counters


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
