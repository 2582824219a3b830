"""A tracer that records into memory, as the global one for a block."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import opentracing
from opentracing.scope_managers.contextvars import _SCOPE  # the one that scope.py uses

from sls_tracing import config
from sls_tracing.clock import wall_clock
from sls_tracing.reporters.memory import InMemoryReporter
from sls_tracing.samplers import ConstSampler
from sls_tracing.testing.recorded_spans import RecordedSpans
from sls_tracing.tracer import Tracer

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sls_tracing.clock import Clock

__all__ = ["recording"]


@contextmanager
def recording(
    service_name: str = "tested",
    *,
    instrument: bool | Iterable[str] = False,
    propagation: str = "mesh",
    clock: Clock = wall_clock,
    **options: Any,
) -> Iterator[RecordedSpans]:
    """Record every span that is made inside the block, whatever the environment says; nothing is sent anywhere.

        with recording(instrument=["flask"]) as spans:
            app.test_client().get("/checkout")
        spans.one("GET /checkout", error=False)

    OpenTracing's global tracer is one that keeps all its spans in memory, and ``init_tracer`` or ``Config(…).initialize_tracer`` of the code under
    test return that one. No span is active at the start. ``instrument``: libraries to instrument for the block (True: all); those that were
    before stay. ``options`` go to :class:`~sls_tracing.Tracer`. Afterwards everything is as it was; what was recorded stays readable.
    """
    reporter = InMemoryReporter()
    spans = RecordedSpans(reporter)
    tracer = Tracer(
        service_name, reporter, ConstSampler(True), propagation=propagation, clock=clock, observer=spans, **options
    )
    before = opentracing.tracer, opentracing.is_tracer_registered, config._initialized
    # By value: a fixture is left in another context than it was entered in where tests are coroutines, and a token is refused there.
    outer = _SCOPE.get(None)
    opentracing.set_global_tracer(tracer)
    config._initialized = tracer
    _SCOPE.set(None)
    try:
        with _instrumented(instrument):
            yield spans
    finally:
        _SCOPE.set(outer)
        opentracing.tracer, opentracing.is_tracer_registered, config._initialized = before
        tracer.close()


@contextmanager
def _instrumented(names: bool | Iterable[str]) -> Iterator[None]:
    if names is False:
        yield
        return
    from sls_tracing import instrumentation

    before = set(instrumentation.installed())
    instrumentation.install(None if names is True else names)
    try:
        yield
    finally:
        instrumentation.uninstall([name for name in instrumentation.installed() if name not in before])
