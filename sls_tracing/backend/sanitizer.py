"""What every span must have before it is stored, with Jaeger's stand-ins for what is missing."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sls_tracing.model import SpanRecord

__all__ = ["sanitize"]

EMPTY_SERVICE_NAME = "empty-service-name"
EMPTY_SPAN_NAME = "empty-span-name"


def sanitize(span: SpanRecord) -> SpanRecord:
    """Return ``span`` with a service and an operation name; a span without them could be stored but never found.

    The names are those of Jaeger v2 (internal/jptrace/sanitizer); v1 knows the first only.
    """
    if not span.process.service_name:
        span = span._replace(process=span.process._replace(service_name=EMPTY_SERVICE_NAME))
    if not span.operation_name:
        span = span._replace(operation_name=EMPTY_SPAN_NAME)
    return span
