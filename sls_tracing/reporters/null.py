"""Nothing is reported."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sls_tracing.model import SpanRecord

__all__ = ["NullReporter"]


class NullReporter:
    """Forgets every span."""

    def report(self, span: SpanRecord) -> None:
        """Forget it."""

    def flush(self, timeout: float = 5.0) -> bool:
        """Return True: nothing waits."""
        return True

    def close(self, timeout: float = 5.0) -> bool:
        """Return True: nothing is held."""
        return True
