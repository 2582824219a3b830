"""The seam for those who watch spans start and finish: self metrics, RPC metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from sls_tracing.context import SpanContext
    from sls_tracing.model import SpanRecord
    from sls_tracing.span import Span

__all__ = ["SpanObserver"]


class SpanObserver(Protocol):
    """Told of every span of a tracer, unsampled ones too, in the application's thread: be quick. What it raises is swallowed."""

    def started(self, span: Span, parent: SpanContext | None) -> None:
        """Told of a span that has just started, and of the context it is a child of."""
        ...

    def finished(self, span: Span, record: SpanRecord | None) -> None:
        """Told of a span that has just finished; ``record`` is what was reported, None if nothing was."""
        ...
