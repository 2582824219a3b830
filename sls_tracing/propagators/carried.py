"""Headers that a mesh needs forwarded although they are no context of ours.

Envoy gives each request an ``x-request-id``, writes it into its access log and, with the OpenTelemetry provider of Envoy 1.39 and newer,
takes its sampling decision from it; only the application can carry it from the request that came in to the requests that go out
(facts on real Envoy: docs/mesh.md). It is forwarded as it came and never made here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sls_tracing.context import NOTHING_CARRIED
from sls_tracing.patterns import Pattern

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sls_tracing.metrics import Counters

__all__ = [
    "DEBUG_ID",
    "OTHER_TRACERS",
    "PASS_THROUGH",
    "REQUEST_ID",
    "carried_headers",
    "read_carried",
    "write_carried",
]

REQUEST_ID = "x-request-id"
DEBUG_ID = "jaeger-debug-id"
"""Where a context carries what forces a trace (Jaeger's debug id), whatever the header is called."""

PASS_THROUGH: tuple[str, ...] = (REQUEST_ID,)
"""What every format carries on."""

OTHER_TRACERS: frozenset[str] = frozenset(
    (
        "x-ot-span-context",  # Lightstep's, until Istio 1.26
        "x-datadog-trace-id",
        "x-datadog-parent-id",
        "x-datadog-sampling-priority",
        "x-cloud-trace-context",  # Google's two
        "grpc-trace-bin",
        "sw8",  # SkyWalking's three
        "sw8-correlation",
        "sw8-x",
        "x-amzn-trace-id",
        "x-client-trace-id",  # Envoy: force this trace
    )
)
"""What Istio's tracing providers beside Zipkin and OpenTelemetry write: not ours to read, only to bring to the next sidecar as it came."""

# What is sent on as it came must be harmless as it came: no control characters, nothing that an HTTP client refuses to encode.
# Real request ids have 36 characters; tokens and other tracers' contexts are longer, and servers stop at 8 KiB.
_LONGEST = 1024
_FORWARDABLE_LONG = Pattern(r"[\x20-\x7e]{1,8190}")


def carried_headers(headers: Mapping[str, str], counters: Counters) -> Mapping[str, str]:
    """Return the headers of ``PASS_THROUGH`` among ``headers`` (names in lower case); an empty one is as good as none.

    One that cannot be forwarded is dropped and counted as ``propagation_headers_malformed``.
    """
    value = headers.get(REQUEST_ID)
    if value:
        # Printable ASCII is 0x20 to 0x7e: the expression below, at a third of its cost. Real ids have 36 characters.
        if len(value) <= _LONGEST and value.isascii() and value.isprintable():
            return {REQUEST_ID: value}
        counters.add("propagation_headers_malformed")
    return NOTHING_CARRIED


def read_carried(headers: Mapping[str, str], names: frozenset[str], counters: Counters) -> dict[str, str]:
    """Return those of ``names`` that are among ``headers``, as :func:`carried_headers` does."""
    carried = {}
    for name, value in headers.items():  # a request has few of them, the list of names is long
        if name in names and value:
            if _FORWARDABLE_LONG.fullmatch(value):
                carried[name] = value
            else:
                counters.add("propagation_headers_malformed")
    return carried


def write_carried(carried: Mapping[str, str], write: Callable[[str, str], object]) -> None:
    """Write what :func:`carried_headers` read."""
    if REQUEST_ID in carried:
        write(REQUEST_ID, carried[REQUEST_ID])
