"""Spans kept in memory, for tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sls_tracing.model import SpanRecord

__all__ = ["InMemoryReporter"]


class InMemoryReporter:
    """Keeps every finished span in ``spans``, in the order of finishing. It grows without bound: for tests only."""

    def __init__(self) -> None:
        self.spans: list[SpanRecord] = []

    def report(self, span: SpanRecord) -> None:
        """Append it to ``spans``."""
        self.spans.append(span)

    def get_spans(self) -> list[SpanRecord]:
        """Return ``spans``; the name that jaeger-client has."""
        return self.spans

    def clear(self) -> None:
        """Forget all spans."""
        self.spans.clear()

    def flush(self, timeout: float = 5.0) -> bool:
        """Return True: they are here already."""
        return True

    def close(self, timeout: float = 5.0) -> bool:
        """Return True; the spans stay readable."""
        return True
