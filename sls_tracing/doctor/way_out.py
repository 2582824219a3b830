"""The settings of this process, and a trace sent with them: whether spans would arrive, before anybody waits for theirs."""

from __future__ import annotations

import logging
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from sls_tracing.doctor.finding import Finding, note, ok, problem
from sls_tracing.exceptions import ConfigurationError
from sls_tracing.metrics import counters
from sls_tracing.settings import with_defaults

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sls_tracing.tracer import Tracer

__all__ = ["OPERATION", "Settings", "read_settings", "send_test_trace"]

OPERATION = "sls-tracing doctor"
SERVICE = "sls-tracing-doctor"

_REFUSAL = 0.3
"""Seconds in which a host that nobody listens on says so (ICMP); it is heard with the next datagram."""
_PATIENCE = 10.0
_LOST = ("reporter_spans_failed", "reporter_spans_dropped", "sender_spans_refused")


class Settings(NamedTuple):
    """What the environment says. ``values`` is None if something in it cannot be used."""

    values: Mapping[str, Any] | None
    findings: list[Finding]


def read_settings(environ: Mapping[str, str], service_name: str | None = None) -> Settings:
    """Read and check the environment's settings, those of the instrumentation too."""
    from sls_tracing.config import check_settings
    from sls_tracing.instrumentation import HTTPOptions

    findings: list[Finding] = []
    try:
        HTTPOptions.from_environment(environ)
    except ConfigurationError as error:
        findings.append(problem(str(error)))
    try:
        values = check_settings(environ)
    except ConfigurationError as error:
        findings.append(problem(str(error)))
        return Settings(None, findings)
    name = service_name or values.get("service_name")
    if name is None:
        findings.append(note("The service has no name: set JAEGER_SERVICE_NAME, or say --service NAME."))
    full = with_defaults({**values, "service_name": name or SERVICE})
    findings.append(ok(f"The service is {full['service_name']}; contexts travel as {full['propagation']}."))
    if not full["enabled"] or full["mode"] == "forward":
        findings.append(note("It reports no spans (forward mode): contexts go on as they came."))
    elif full["sampler.type"] != "const" or full["sampler.param"] == 0:
        findings.append(
            note(f"It samples by {full['sampler.type']}, {full['sampler.param']}: not every request is traced.")
        )
    return Settings(full, findings)


def send_test_trace(values: Mapping[str, Any], query_url: str | None = None, wait: float = 15.0) -> list[Finding]:
    """Send a trace of two spans the way the settings say, and tell what came of it; with a query API, whether it is there.

    The sampler is not asked. Raises ConfigurationError if the query API does not answer.
    """
    if not values["enabled"] or values["mode"] == "forward":
        return []
    from sls_tracing.assembly import make_tracer
    from sls_tracing.samplers import ConstSampler

    before = {name: counters.get(name) for name in _LOST}
    with _warnings() as warnings:
        tracer = make_tracer(values, sampler=ConstSampler(True))
        way = repr(getattr(tracer.reporter, "sender", tracer.reporter))
        trace_id = _send(tracer)
        arrived = tracer.close(_PATIENCE)
    lost = sum(counters.get(name) - before[name] for name in _LOST)
    if lost or not arrived:
        return [
            problem(f"The test trace could not be sent with {way}: {'; '.join(warnings) or 'no reason was given'}.")
        ]
    if query_url is None:
        sure = "" if "UDP" not in way else " UDP does not tell whether it arrived:"
        return [ok(f"The test trace {trace_id:032x} went out with {way}.{sure} --query URL asks whether it is there.")]
    return [_look_for(trace_id, query_url, wait)]


def _send(tracer: Tracer) -> int:
    with tracer.start_active_span(OPERATION, tags={"span.kind": "internal"}, ignore_active_span=True) as scope:
        # Two datagrams, if it is UDP: what the host says of the first one is heard with the second.
        tracer.start_span("first").finish()
        tracer.flush(_PATIENCE)
        time.sleep(_REFUSAL)
        trace_id: int = scope.span.context.trace_id
    return trace_id


def _look_for(trace_id: int, query_url: str, wait: float) -> Finding:
    from sls_tracing.doctor.mesh_probe import fetch_trace

    spans = fetch_trace(query_url, trace_id, wait)
    if spans:
        return ok(f"The test trace arrived: {query_url.rstrip('/')}/trace/{trace_id:032x}")
    return problem(
        f"The test trace {trace_id:032x} was sent, and {query_url} did not have it within {wait:g} s: "
        "is that the query API of the collector it was sent to?"
    )


@contextmanager
def _warnings() -> Iterator[list[str]]:
    """Collect what the library logs meanwhile, which has the reasons in it, instead of letting it through."""
    messages: list[str] = []

    class Collecting(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            messages.append(record.getMessage())

    logger, handler = logging.getLogger("sls_tracing"), Collecting(logging.WARNING)
    propagate, logger.propagate = logger.propagate, False
    logger.addHandler(handler)
    try:
        yield messages
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagate
