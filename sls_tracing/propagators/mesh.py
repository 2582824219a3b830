"""Headers that a mesh needs forwarded although they are no trace context.

Envoy gives each request an ``x-request-id``, writes it into its access log and, with the OpenTelemetry provider of Envoy 1.39 and newer,
takes its sampling decision from it; only the application can carry it from the request that came in to the requests that go out
(facts on real Envoy: docs/mesh.md). It is forwarded as it came and never made here.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sls_tracing.context import NOTHING_CARRIED

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sls_tracing.metrics import Counters

__all__ = ["PASS_THROUGH", "carried_headers", "write_carried"]

PASS_THROUGH: tuple[str, ...] = ("x-request-id",)

# What is sent on as it came must be harmless as it came: no control characters, nothing that an HTTP client refuses to encode.
# Real request ids have 36 characters.
_FORWARDABLE = re.compile(r"[\x20-\x7e]{1,1024}").fullmatch


def carried_headers(headers: Mapping[str, str], counters: Counters) -> Mapping[str, str]:
    """Return the headers of ``PASS_THROUGH`` among ``headers`` (names in lower case); an empty one is as good as none.

    One that cannot be forwarded is dropped and counted as ``propagation_headers_malformed``.
    """
    carried = {}
    for name in PASS_THROUGH:
        value = headers.get(name)
        if value:
            if _FORWARDABLE(value):
                carried[name] = value
            else:
                counters.add("propagation_headers_malformed")
    return carried or NOTHING_CARRIED


def write_carried(carried: Mapping[str, str], write: Callable[[str, str], object]) -> None:
    """Write what :func:`carried_headers` read."""
    for name in PASS_THROUGH:
        if name in carried:
            write(name, carried[name])
