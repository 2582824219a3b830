"""The public surface, and what importing it costs."""

import inspect
import subprocess
import sys
import textwrap

import sls_tracing
from sls_tracing import propagators, testing

NAMES = {
    "AdaptiveSampler",
    "BatchingReporter",
    "CompositeReporter",
    "Config",
    "ConstSampler",
    "GuaranteedThroughputProbabilisticSampler",
    "HTTPSender",
    "InMemoryReporter",
    "LogServiceSender",
    "LoggingReporter",
    "NullReporter",
    "OTLPSender",
    "ProbabilisticSampler",
    "RateLimitingSampler",
    "RemoteControlledSampler",
    "Span",
    "SpanContext",
    "Tracer",
    "UDPSender",
    "__version__",
    "current_span",
    "init_tracer",
    "traced",
}


def test_the_names_are_a_contract():
    """None may go; each addition is a decision that shows here."""
    assert set(sls_tracing.__all__) >= NAMES
    assert sorted(sls_tracing.__all__) == sls_tracing.__all__
    for name in sls_tracing.__all__:
        assert getattr(sls_tracing, name) is not None


def test_propagators_and_testing_have_theirs():
    """They are imported from their own modules."""
    assert {"B3Propagator", "JaegerPropagator", "W3CPropagator", "CompositePropagator"} <= set(propagators.__all__)
    assert {"FakeClock", "InMemoryReporter"} <= set(testing.__all__)


def test_signatures_that_applications_call():
    """In jaeger-client's and OpenTracing's order."""
    assert list(inspect.signature(sls_tracing.Tracer.start_span).parameters)[1:] == [
        "operation_name",
        "child_of",
        "references",
        "tags",
        "start_time",
        "ignore_active_span",
    ]
    assert list(inspect.signature(sls_tracing.Tracer.start_active_span).parameters)[-1] == "finish_on_close"
    assert {"service_name", "sampler", "reporter", "scope_manager", "propagation", "tags"} <= set(
        inspect.signature(sls_tracing.Tracer).parameters
    )
    assert next(iter(inspect.signature(sls_tracing.init_tracer).parameters)) == "service_name"


def test_the_import_pulls_in_opentracing_and_the_standard_library_only():
    """thriftpy2, requests and wrapt load when they are needed; duckdb and starlette are never the client's business."""
    program = textwrap.dedent(
        """
        import sys
        import site
        before = set(sys.modules)
        from sls_tracing import Tracer, current_span, init_tracer, traced
        new = {name.partition(".")[0] for name in set(sys.modules) - before}
        print(*sorted(new - set(sys.stdlib_module_names)))
        print(*sorted(name for name in sys.modules if name.startswith("sls_tracing.")))
        """
    )
    output = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    packages, modules = output.stdout.splitlines()
    assert packages.split() == ["opentracing", "sls_tracing"]
    for absent in ("backend", "log_service", "cli", "instrumentation"):
        assert f"sls_tracing.{absent}" not in modules.split()


def test_the_import_starts_nothing():
    """No thread, no socket, no handler of the application's logging."""
    program = textwrap.dedent(
        """
        import logging, os, threading
        before = set(os.listdir("/proc/self/fd")) if os.path.exists("/proc/self/fd") else set()
        from sls_tracing import Tracer, current_span, init_tracer, traced
        assert threading.active_count() == 1
        assert not logging.getLogger().handlers
        assert not logging.getLogger("sls_tracing").handlers
        if before:
            assert len(os.listdir("/proc/self/fd")) == len(before)
        """
    )
    subprocess.run([sys.executable, "-c", program], timeout=60, check=True)


def test_a_tracer_loads_only_what_it_uses():
    """`logging`, URLs, the encoders and the formats and samplers that are not set come when they are needed. Names, not times."""
    program = textwrap.dedent(
        """
        import sys
        from sls_tracing import BatchingReporter, ConstSampler, Tracer, current_span, init_tracer, traced
        imported = set(sys.modules)
        tracer = init_tracer("shop")
        with tracer.start_active_span("unsent"):
            pass
        for unwanted in sys.argv[1:]:
            assert unwanted not in sys.modules, unwanted
        for unwanted in ("senders.udp", "propagators.b3", "propagators.mesh", "propagators.w3c"):
            assert f"sls_tracing.{unwanted}" not in imported, unwanted
        """
    )
    unwanted = [
        "logging",
        "traceback",
        "urllib.parse",
        "ipaddress",
        "dataclasses",
        "inspect",
        "json",
        "ssl",
        "asyncio",
        "http.client",
        "wrapt",
        "requests",
        "thriftpy2",
    ]
    ours = "metrics_factory metrics_jaeger propagators.jaeger reporters.logging samplers.rate_limiting http_fetch throttler instrumentation"
    unwanted += [f"sls_tracing.{name}" for name in ours.split()]
    subprocess.run([sys.executable, "-c", program, *unwanted], timeout=60, check=True)
