"""OpenTelemetry's SDK with its exporter for Zipkin's JSON; those for OTLP are in tests/backend. (The one for Zipkin's protobuf needs a protobuf of 2022.)"""

from __future__ import annotations

import requests
from opentelemetry.exporter.zipkin.json import ZipkinExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, Status, StatusCode

from sls_tracing.backend.all_in_one import all_in_one_in_background


def test_what_the_sdk_exports_is_answered() -> None:
    """Ids, parents, kinds, times, tags, events and the error, with the service of the resource."""
    with all_in_one_in_background() as backend:
        provider = TracerProvider(resource=Resource({"service.name": "shop"}), shutdown_on_exit=False)
        provider.add_span_processor(BatchSpanProcessor(ZipkinExporter(endpoint=backend.zipkin_url)))
        tracer = provider.get_tracer("tests")
        with tracer.start_as_current_span("parent", kind=SpanKind.SERVER, attributes={"http.method": "GET"}) as parent:
            with tracer.start_as_current_span("child", kind=SpanKind.CLIENT) as child:
                child.add_event("answered", {"text": "ü"})
                child.set_status(Status(StatusCode.ERROR, "no"))
        provider.shutdown()
        trace_id = f"{parent.get_span_context().trace_id:032x}"
        [trace] = requests.get(f"{backend.query_url}/api/traces/{trace_id}", timeout=20).json()["data"]
    spans = {span["operationName"]: span for span in trace["spans"]}
    assert {process["serviceName"] for process in trace["processes"].values()} == {"shop"}
    assert spans["child"]["references"][0]["spanID"] == f"{parent.get_span_context().span_id:016x}"
    assert abs(spans["child"]["startTime"] - child.start_time / 1000) <= 1
    assert abs(spans["child"]["duration"] - (child.end_time - child.start_time) / 1000) <= 2
    tags = {name: {tag["key"]: tag["value"] for tag in span["tags"]} for name, span in spans.items()}
    assert (tags["parent"]["span.kind"], tags["parent"]["http.method"]) == ("server", "GET")
    assert (tags["child"]["span.kind"], tags["child"]["error"], tags["child"]["error.message"]) == (
        "client",
        True,
        "no",
    )
    [log] = spans["child"]["logs"]
    assert "answered" in log["fields"][0]["value"]
