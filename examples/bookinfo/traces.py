"""Traces as the query API tells them (Jaeger's JSON), read into just what the demonstration needs."""

from __future__ import annotations

from collections import defaultdict
from typing import Any, NamedTuple

import requests

__all__ = ["Span", "Trace", "find_traces", "read_trace"]


class Span(NamedTuple):
    """One span. ``start`` and ``duration`` are in µs; ``kind`` is "internal" if it has no span.kind tag."""

    span_id: str
    parent_id: str | None
    service: str
    operation: str
    kind: str
    start: int
    duration: int
    tags: dict[str, Any]
    process_tags: dict[str, Any]

    @property
    def error(self) -> bool:
        """Whether the span is marked as failed."""
        return self.tags.get("error") in (True, "true")


class Trace(NamedTuple):
    """The spans of one trace id, the earliest first."""

    trace_id: str
    spans: tuple[Span, ...]

    def roots(self) -> list[Span]:
        """Spans that name no parent. A complete trace has one."""
        return [span for span in self.spans if span.parent_id is None]

    def orphans(self) -> list[Span]:
        """Spans that name a parent which is not here. A complete trace has none."""
        known = {span.span_id for span in self.spans}
        return [span for span in self.spans if span.parent_id is not None and span.parent_id not in known]

    def children(self) -> dict[str, list[Span]]:
        """Spans by the id of their parent."""
        children = defaultdict(list)
        for span in self.spans:
            if span.parent_id is not None:
                children[span.parent_id].append(span)
        return children


def read_trace(data: dict[str, Any]) -> Trace:
    """One element of the API's ``data``."""
    spans = [_read_span(span, data["processes"]) for span in data["spans"]]
    return Trace(data["traceID"], tuple(sorted(spans, key=lambda span: span.start)))


def _read_span(data: dict[str, Any], processes: dict[str, Any]) -> Span:
    tags = {tag["key"]: tag["value"] for tag in data["tags"]}
    process = processes[data["processID"]]
    return Span(
        span_id=data["spanID"],
        parent_id=data["references"][0]["spanID"] if data["references"] else None,
        service=process["serviceName"],
        operation=data["operationName"],
        kind=tags.get("span.kind", "internal"),
        start=data["startTime"],
        duration=data["duration"],
        tags=tags,
        process_tags={tag["key"]: tag["value"] for tag in process.get("tags") or ()},
    )


def find_traces(query_url: str, *, service: str, operation: str, since: int, limit: int) -> list[Trace]:
    """Traces with a span of ``service`` and ``operation`` that started at ``since`` (µs since the epoch) or later, the oldest first.

    Raises requests.RequestException if the query API does not answer as it should.
    """
    query: dict[str, str | int] = {"service": service, "operation": operation, "start": since, "limit": limit}
    with requests.Session() as session:
        session.trust_env = False
        response = session.get(f"{query_url}/api/traces", params=query, timeout=10)
        response.raise_for_status()
        traces = [read_trace(trace) for trace in response.json()["data"]]
    return sorted(traces, key=lambda trace: trace.spans[0].start)
