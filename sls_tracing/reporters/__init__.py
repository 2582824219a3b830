"""Reporters take finished spans: into memory, a log, or through a queue to a sender. Each is loaded when first asked for."""

from typing import TYPE_CHECKING

from sls_tracing.lazy import lazily

if TYPE_CHECKING:
    from sls_tracing.reporters.batching import BatchingReporter
    from sls_tracing.reporters.composite import CompositeReporter
    from sls_tracing.reporters.logging import LoggingReporter
    from sls_tracing.reporters.memory import InMemoryReporter
    from sls_tracing.reporters.null import NullReporter
    from sls_tracing.reporters.reporter import Reporter

__all__ = [
    "BatchingReporter",
    "CompositeReporter",
    "InMemoryReporter",
    "LoggingReporter",
    "NullReporter",
    "Reporter",
]

__getattr__ = lazily(
    __name__,
    {
        "BatchingReporter": "sls_tracing.reporters.batching",
        "CompositeReporter": "sls_tracing.reporters.composite",
        "LoggingReporter": "sls_tracing.reporters.logging",
        "InMemoryReporter": "sls_tracing.reporters.memory",
        "NullReporter": "sls_tracing.reporters.null",
        "Reporter": "sls_tracing.reporters.reporter",
    },
)
