"""The instrumentation patterns of OpenTracing's testbed, by their names, on threads, asyncio and gevent.

Each runs with our scope manager and with those of OpenTracing that are made for the place. Where a pattern depends on whether a scope
propagates by itself, ``propagates`` tells.
"""

import gevent
import pytest
from opentracing.scope_managers import ThreadLocalScopeManager
from opentracing.scope_managers.asyncio import AsyncioScopeManager
from opentracing.scope_managers.contextvars import ContextVarsScopeManager as OpenTracingsContextVars
from opentracing.scope_managers.gevent import GeventScopeManager

from sls_tracing import InMemoryReporter, Tracer
from sls_tracing.scope import ContextVarsScopeManager

PROPAGATING = (ContextVarsScopeManager, OpenTracingsContextVars)


def tracer_with(manager):
    tracer = Tracer("testbed", reporter=InMemoryReporter(), scope_manager=manager())
    tracer.propagates = manager in PROPAGATING
    return tracer


@pytest.fixture(params=[ContextVarsScopeManager, OpenTracingsContextVars, ThreadLocalScopeManager])
def threads(request):
    """A tracer for threads. None of the managers propagates into a thread."""
    return tracer_with(request.param)


@pytest.fixture(params=[ContextVarsScopeManager, OpenTracingsContextVars, AsyncioScopeManager])
def tasks(request):
    """A tracer for asyncio."""
    return tracer_with(request.param)


@pytest.fixture(params=[ContextVarsScopeManager, GeventScopeManager])
def greenlets(request):
    """A tracer for gevent. A greenlet starts with an empty context, so neither propagates."""
    yield tracer_with(request.param)
    gevent.wait(timeout=5)


class Spans:
    """What a tracer reported, by name."""

    def __init__(self, tracer):
        self.all = tracer.reporter.spans

    def __getitem__(self, name):
        (span,) = [span for span in self.all if span.operation_name == name]
        return span

    def named(self, name):
        return [span for span in self.all if span.operation_name == name]

    def names(self):
        return [span.operation_name for span in self.all]

    def is_child(self, child, parent):
        child, parent = self[child].context, self[parent].context
        return child.parent_id == parent.span_id and child.trace_id == parent.trace_id


@pytest.fixture
def reported():
    return Spans
