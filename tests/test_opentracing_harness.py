"""OpenTracing's own compatibility checks, whole: for the tracer in each of its states, for the scope manager in each of its places."""

import asyncio
import contextvars
import threading

import gevent
import pytest
from opentracing.harness.api_check import APICompatibilityCheckMixin
from opentracing.harness.scope_check import ScopeCompatibilityCheckMixin
from opentracing.scope_managers.contextvars import _SCOPE

from sls_tracing import ConstSampler, InMemoryReporter, NullReporter, Tracer
from sls_tracing.scope import ContextVarsScopeManager


@pytest.fixture(autouse=True)
def _nothing_active():
    """The check of scopes closed in the wrong order leaves one active, as the specification wants; the next test must not see it."""
    yield
    _SCOPE.set(None)


class APIChecks(APICompatibilityCheckMixin):
    def is_parent(self, parent, span):
        return span.context.parent_id == (None if parent is None else parent.context.span_id)


class TestDefaultTracer(APIChecks):
    """Sampled spans, kept in memory."""

    def tracer(self):
        return Tracer("harness", reporter=InMemoryReporter())


class TestUnsampledTracer(APIChecks):
    """A trace that is not recorded behaves alike: contexts, baggage, scopes and chaining."""

    def tracer(self):
        return Tracer("harness", sampler=ConstSampler(False), reporter=InMemoryReporter())


class TestTracerThatReportsNothing(APIChecks):
    """The reporter plays no part in the API."""

    def tracer(self):
        return Tracer("harness", reporter=NullReporter())


class TestNarrowTracer(APIChecks):
    """So it is with trace ids of 64 bits and one B3 header."""

    def tracer(self):
        return Tracer("harness", reporter=InMemoryReporter(), trace_id_bits=64, propagation="b3-single")


class ScopeChecks(ScopeCompatibilityCheckMixin):
    def scope_manager(self):
        return ContextVarsScopeManager()


class TestScopesInThePlainThread(ScopeChecks):
    """The thread that pytest runs in."""


class TestScopesInAnotherThread(ScopeChecks):
    """A thread starts with nothing active."""

    def run_test(self, test_fn):
        failures = []

        def run():
            try:
                test_fn()
            except BaseException as error:
                failures.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
        if failures:
            raise failures[0]


class TestScopesInAsyncio(ScopeChecks):
    """A task."""

    def run_test(self, test_fn):
        async def run():
            test_fn()

        asyncio.run(run())


class TestScopesInACallback(ScopeChecks):
    """A callback of the event loop, outside every task."""

    def run_test(self, test_fn):
        async def run():
            done = asyncio.get_running_loop().create_future()

            def call():
                try:
                    done.set_result(test_fn())
                except BaseException as error:
                    done.set_exception(error)

            asyncio.get_running_loop().call_soon(call)
            await done

        asyncio.run(run())


class TestScopesInACopiedContext(ScopeChecks):
    """``contextvars.copy_context().run``, as executors and frameworks use it."""

    def run_test(self, test_fn):
        contextvars.copy_context().run(test_fn)


class TestScopesInAGreenlet(ScopeChecks):
    """gevent gives each greenlet a context of its own, monkey-patched or not."""

    def run_test(self, test_fn):
        gevent.spawn(test_fn).get()
