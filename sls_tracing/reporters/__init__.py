"""Reporters take finished spans: into memory, a log, or through a queue to a sender."""

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
