"""Several reporters as one."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from sls_tracing.guard import Guard
from sls_tracing.reporters.reporter import check_reporter

if TYPE_CHECKING:
    from sls_tracing.model import SpanRecord
    from sls_tracing.reporters.reporter import Reporter

__all__ = ["CompositeReporter"]

_guard = Guard("composite_reporter")


class CompositeReporter:
    """Gives every span to each of ``reporters``; one that raises harms none of the others."""

    def __init__(self, *reporters: Reporter) -> None:
        for reporter in reporters:
            check_reporter(reporter)
        self.reporters = reporters

    def report(self, span: SpanRecord) -> None:
        """Report it to each."""
        for reporter in self.reporters:
            with _guard:
                reporter.report(span)

    def flush(self, timeout: float = 5.0) -> bool:
        """Flush each; ``timeout`` bounds all of them together."""
        deadline = time.monotonic() + timeout
        done = [_guard.call(False, each.flush, max(0.0, deadline - time.monotonic())) for each in self.reporters]
        return all(done)

    def close(self, timeout: float = 5.0) -> bool:
        """Close each; ``timeout`` bounds all of them together."""
        deadline = time.monotonic() + timeout
        done = [_guard.call(False, each.close, max(0.0, deadline - time.monotonic())) for each in self.reporters]
        return all(done)
