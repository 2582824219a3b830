"""Files that somebody drops onto the UI: OTLP in JSON, one request or one a line, as the OpenTelemetry Collector's file exporter writes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sls_tracing.backend.otlp_requests import decode_json
from sls_tracing.thrift.schema import DecodeError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sls_tracing.backend.intake import Intake
    from sls_tracing.model import SpanRecord

__all__ = ["read_upload"]

MAX_SPANS = 100_000


def read_upload(body: bytes, now: float) -> tuple[list[Sequence[SpanRecord]], list[str]]:
    """Return the traces in order of appearance, each by start time, and what could not be read. Raises :class:`DecodeError` if nothing could."""
    traces: dict[int | None, list[SpanRecord]] = {}
    problems: list[str] = []
    count = 0
    for intake in _requests(body, now):
        count += len(intake.spans)
        if count > MAX_SPANS:
            raise DecodeError(f"more than {MAX_SPANS} spans in one file; split it")
        for span in intake.spans:
            traces.setdefault(span.context.trace_id, []).append(span)
        if intake.rejected:
            problems.append(f"{intake.rejected} spans could not be read: {intake.reason}")
    if not traces:
        raise DecodeError(problems[0] if problems else "no spans: a file of OTLP in JSON has resourceSpans with some")
    return [sorted(spans, key=lambda span: span.start_time) for spans in traces.values()], problems


def _requests(body: bytes, now: float) -> list[Intake]:
    lines = [line for line in body.splitlines() if line.strip()]
    if len(lines) > 1 and all(line.lstrip().startswith(b"{") and line.rstrip().endswith(b"}") for line in lines):
        try:
            return [decode_json(line, now) for line in lines]
        except DecodeError:
            pass  # one value after all, written over several lines
    return [decode_json(body, now)]
