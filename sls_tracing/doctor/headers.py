"""The trace headers of one request, explained: what came in, what this library makes of it, what goes out, and which setting of the mesh is behind it.

The propagators themselves do the reading and the writing, so what is said here is what a service does. Why each case is as it is: docs/mesh.md.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from sls_tracing.context import SpanContext
from sls_tracing.doctor.finding import Finding, note, ok, problem
from sls_tracing.identifiers import random_bits
from sls_tracing.metrics import Counters
from sls_tracing.propagators.b3 import B3Propagator
from sls_tracing.propagators.carried import OTHER_TRACERS, REQUEST_ID
from sls_tracing.propagators.mesh import MeshPropagator
from sls_tracing.propagators.w3c import W3CPropagator

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["IDENTITY", "TRACE_HEADERS", "Explanation", "explain", "parse_headers"]

B3_NAMES = ("x-b3-traceid", "x-b3-spanid", "x-b3-parentspanid", "x-b3-sampled", "x-b3-flags")
TRACE_HEADERS = (REQUEST_ID, *B3_NAMES, "b3", "traceparent", "tracestate", "baggage", *sorted(OTHER_TRACERS))
"""The headers that tell of traces, in the order in which they are shown."""

IDENTITY = ("end-user", "user-agent", "cookie", "authorization", "jwt")
"""What Bookinfo's services copy besides. They say who somebody is: never shown here, and forwarded only when named."""

_PROVIDERS = {
    "x-ot-span-context": "Lightstep",
    "x-datadog-trace-id": "Datadog",
    "x-cloud-trace-context": "Google Cloud Trace",
    "grpc-trace-bin": "OpenCensus",
    "sw8": "SkyWalking",
    "x-amzn-trace-id": "AWS X-Ray",
}
_UUID = re.compile(
    r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-([0-9a-fA-F])[0-9a-fA-F]{3}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}"
).fullmatch
_TRACE_REASONS = {
    "4": note("x-request-id says that the first Envoy took no decision to sample, or decided against it (digit 4)."),
    "9": ok("x-request-id says that the first Envoy sampled the request by its percentage (digit 9)."),
    "a": ok("x-request-id says that a server forced the trace (digit a)."),
    "b": ok("x-request-id says that the client forced the trace (digit b: x-client-trace-id)."),
}


class Explanation(NamedTuple):
    """``made`` is the context as one sentence, ``sent`` the headers of a request that the service makes now."""

    received: Mapping[str, str]
    made: str
    sent: Mapping[str, str]
    findings: list[Finding]


def parse_headers(text: str) -> dict[str, str]:
    """Read header lines, as ``curl -v`` or a log shows them; a request line and anything else without a colon is left out.

    Of a name that stands twice the values are joined by commas, as servers do.
    """
    headers: dict[str, str] = {}
    for line in text.splitlines():
        name, colon, value = line.strip().lstrip("<>").strip().partition(":")
        if colon and re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", name):
            name, value = name.lower(), value.strip()
            headers[name] = f"{headers[name]},{value}" if name in headers else value
    return headers


def explain(headers: Mapping[str, str], propagator: MeshPropagator | None = None) -> Explanation:
    """Explain ``headers`` (names in any case) as a service with ``propagator`` takes them; by default the one of `sls-tracing run`."""
    headers = {name.lower(): value for name, value in headers.items()}
    counters = Counters()
    mesh = MeshPropagator(counters=counters) if propagator is None else propagator
    context = mesh.extract(headers)
    received = {name: headers[name] for name in TRACE_HEADERS if name in headers}
    received |= {name: "(not shown)" for name in IDENTITY if name in headers}
    findings = [
        *_about_request_id(headers),
        *_about_formats(headers, context),
        *_about_ids(headers, context),
        *_about_decision(headers, context),
        *_about_others(headers, mesh),
    ]
    return Explanation(received, _made(context), _sent(mesh, context), findings)


def _made(context: SpanContext | None) -> str:
    if context is None or not context.has_ids:
        if context is not None and context.sampled is not None:
            taken = "sampled" if context.sampled else "not sampled"
            return f"A new trace begins here, {taken} as the caller has decided."
        return "A new trace begins here; the service's own sampler decides."
    decision = {True: "sampled", False: "not sampled", None: "undecided, so the service's own sampler decides"}
    said = "debug" if context.debug else decision[context.sampled]
    return f"The service's span joins trace {context.to_trace_id()} as a child of span {context.to_span_id()}; {said}."


def _sent(mesh: MeshPropagator, context: SpanContext | None) -> dict[str, str]:
    """Return what a client span of the service writes, with ids as random as real ones."""
    base = SpanContext() if context is None else context
    sampled = True if base.sampled is None else base.sampled
    trace_id = base.trace_id if base.has_ids else random_bits(128)
    sent = base._replace(trace_id=trace_id, span_id=random_bits(64), parent_id=base.span_id, sampled=sampled)
    carrier: dict[str, str] = {}
    mesh.inject(sent, carrier)
    return carrier


# -- findings, one question each -------------------------------------------------------------------------------------------


def _about_request_id(headers: Mapping[str, str]) -> Iterator[Finding]:
    request_id = headers.get(REQUEST_ID, "")
    if not request_id:
        yield problem(
            "There is no x-request-id: the request did not come through an Envoy, or something on the way dropped it. Each sidecar behind makes "
            "one of its own; with Istio's OpenTelemetry provider and Envoy 1.39 or newer the trace can end there."
        )
        return
    match = _UUID(request_id)
    if match is None:
        yield problem(
            f"x-request-id {request_id[:60]!r} is no UUID: Envoy does not sample such requests. Let the gateway make it, or send a UUID (version 4)."
        )
    elif match[1].lower() in _TRACE_REASONS:
        yield _TRACE_REASONS[match[1].lower()]


def _about_formats(headers: Mapping[str, str], context: SpanContext | None) -> Iterator[Finding]:
    multi = any(name in headers for name in B3_NAMES)
    single, w3c = "b3" in headers, "traceparent" in headers
    if not (multi or single or w3c):
        yield note(
            "No trace context came in. Either no sidecar is in front of the service (kubelet's probes go past it, too), or the mesh has no "
            "tracing provider for this workload: check Telemetry and MeshConfig.extensionProviders."
        )
        return
    if multi and single:
        yield _two_encodings(headers)
    elif single:
        yield note(
            "Only b3 came in, the single header: Envoy 1.40 or newer behind a client that sends b3. The answer goes out as b3, too."
        )
    elif multi:
        yield ok("x-b3-* came in: the mesh's provider is Zipkin (Istio's zipkin, or ASM up to 1.18.0.124).")
    if w3c:
        yield _w3c(headers, with_b3=multi or single, context=context)


def _two_encodings(headers: Mapping[str, str]) -> Finding:
    read = B3Propagator(counters=Counters()).read(headers)[1]
    if read == "multi":
        return note(
            "Both x-b3-* and b3 came in, and x-b3-* is believed: it says the same, or its parent is the span in b3, which Envoy up to 1.39 leaves stale."
        )
    return note(
        "Both x-b3-* and b3 came in, and b3 is believed: from 1.40 on Envoy rewrites that one and leaves x-b3-* of another service stale."
    )


def _w3c(headers: Mapping[str, str], *, with_b3: bool, context: SpanContext | None) -> Finding:
    w3c = W3CPropagator(counters=Counters()).extract_headers(headers)
    b3 = B3Propagator(counters=Counters()).extract_headers(headers)
    if not with_b3:
        if headers.get("tracestate") == "":
            return ok(
                "traceparent with an empty tracestate: the mesh's provider is OpenTelemetry (ASM after 1.18.0.124)."
            )
        return ok(
            "traceparent came in: the mesh's provider is OpenTelemetry, or the caller writes W3C and no sidecar has touched it."
        )
    if _identity(w3c) == _identity(b3):
        return ok("B3 and traceparent say the same (USE_B3_WITH_W3C_PROPAGATION); both go out.")
    if _identity(context) == _identity(w3c):
        return note(
            "B3 came in beside traceparent and is stale: an OpenTelemetry mesh passes it on as it came. It is dropped here."
        )
    return note(
        "traceparent came in beside B3 and is not the sidecar's, but a web client's most likely. B3 is believed, traceparent dropped."
    )


def _identity(context: SpanContext | None) -> tuple[int | None, int | None]:
    return (None, None) if context is None else (context.trace_id, context.span_id)


def _about_ids(headers: Mapping[str, str], context: SpanContext | None) -> Iterator[Finding]:
    told = (
        any(name in headers for name in ("x-b3-traceid", "x-b3-spanid", "traceparent"))
        or len(headers.get("b3", "")) > 1
    )
    if context is None or not context.has_ids:
        if told:
            yield problem(
                "The ids that came in are malformed. Envoy passes them on and reports nothing from there on; this service drops them and begins a "
                "new trace, which heals the rest. Look for the service that writes them."
            )
        return
    digits = max((len(headers[name]) for name in ("x-b3-traceid",) if name in headers), default=32)
    if digits not in (16, 32):
        yield problem(
            f"x-b3-traceid has {digits} digits: Envoy wants 16 or 32 and drops its spans otherwise. It goes out padded."
        )
    elif context.wide:
        yield ok("The trace id has 128 bits (trace_id_128bit, Istio's setting since 1.1).")
    else:
        yield note(
            "The trace id has 64 bits: it was made by the caller, or by an Envoy without trace_id_128bit. It stays at that width."
        )


def _about_decision(headers: Mapping[str, str], context: SpanContext | None) -> Iterator[Finding]:
    if context is None:
        return
    if headers.get("x-b3-flags") == "1" and headers.get("x-b3-sampled") != "1":
        yield note("x-b3-flags: 1 (debug) came in. Envoy does not read it, so x-b3-sampled: 1 goes out beside it.")
    elif context.sampled is None and context.has_ids:
        yield note(
            "No decision came with the ids. It is taken here and written, or the next sidecar would take it again."
        )
    elif context.sampled is False:
        yield note(
            "The trace is not sampled: the mesh's percentage (Telemetry randomSamplingPercentage, 1 % unless set) or the caller decided so. "
            "The service obeys and reports nothing; for one request, send x-b3-sampled: 1 with ids, or x-client-trace-id."
        )


def _about_others(headers: Mapping[str, str], mesh: MeshPropagator) -> Iterator[Finding]:
    for name, provider in _PROVIDERS.items():
        if name in headers:
            yield note(f"{name} ({provider}) goes on as it came: this library does not read it.")
    shown = [name for name in IDENTITY if name in headers and name not in mesh.forward and name != "user-agent"]
    if shown:
        yield note(
            f"{', '.join(shown)}: not forwarded. Name headers in SLS_TRACING_FORWARD_HEADERS if services behind need them."
        )
