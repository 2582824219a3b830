"""The seam: where a tracer puts finished spans."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from sls_tracing.exceptions import require_methods

if TYPE_CHECKING:
    from sls_tracing.model import SpanRecord

__all__ = ["Reporter", "check_reporter"]


class Reporter(Protocol):
    """Takes finished spans. ``report`` runs in the application's thread for every sampled span: it must be quick and never block."""

    def report(self, span: SpanRecord) -> None:
        """Take a finished span."""
        ...

    def flush(self, timeout: float = 5.0) -> bool:
        """Deliver what was reported until now; True if that was done within ``timeout`` seconds."""
        ...

    def close(self, timeout: float = 5.0) -> bool:
        """Flush and release everything; True if all was delivered within ``timeout`` seconds. May be called again."""
        ...


def check_reporter(reporter: object) -> None:
    """Raise ``ConfigurationError`` unless ``reporter`` is one."""
    require_methods("reporter", reporter, ("report", "flush", "close"))
