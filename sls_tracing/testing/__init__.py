"""For the tests of those who use this library: what their code records, and what it must have recorded.

    with recording() as spans:
        checkout(cart)
    spans.one("charge card", tags={"component": "payments"}, parent="checkout")

`recording` makes a tracer the global one for a block, `recorded_spans` has the questions and assertions, `clock` time that moves when told.
`pytest_plugin` is the same as a fixture; it is loaded by who asks for it (``pytest_plugins = ["sls_tracing.testing.pytest_plugin"]``) and by nobody else.
"""

from __future__ import annotations

from sls_tracing.reporters.memory import InMemoryReporter
from sls_tracing.testing.clock import FakeClock
from sls_tracing.testing.recorded_spans import RecordedSpans
from sls_tracing.testing.recording import recording

__all__ = ["FakeClock", "InMemoryReporter", "RecordedSpans", "recording"]
