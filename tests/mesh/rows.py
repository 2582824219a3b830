"""What Envoy and the library make of each kind of request: a row of docs/mesh.md (E1 to E36) is one or more rows here.

Texts in ``received`` and ``forwarded`` are templates. ``{trace}`` and ``{client}`` are ids of the trace as a whole and of the span that
the client named; ``{sidecar}``, ``{server}``, ``{call}`` are the ids of productpage's sidecar's span, of the library's span for the request
and of its span for the call to reviews. None: the header is absent. Where versions of Envoy differ, ``Since`` holds both.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from mesh_of_two import FULL

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["CLIENT", "ROWS", "TRACE", "Row", "Since", "resolve"]

TRACE = "463ac35c9f6413ad48485a3953bb6124"
CLIENT = "a2fb4a1d1a96d312"
PARENT = "00f067aa0ba902b7"

ID_UNSAMPLED = "6ba7b810-9dad-41d1-80b4-00c04fd430c8"
ID_SAMPLED = "6ba7b810-9dad-91d1-80b4-00c04fd430c8"
ID_FORCED = "6ba7b810-9dad-a1d1-80b4-00c04fd430c8"
SOME_ID_UNSAMPLED, SOME_ID_SAMPLED, SOME_ID_CLIENT = (
    "[0-9a-f]{{8}}-[0-9a-f]{{4}}-" + nibble + "[0-9a-f]{{3}}-[0-9a-f]{{4}}-[0-9a-f]{{12}}" for nibble in "49b"
)
"""Patterns: a regular expression's braces are doubled in a template."""

APPLICATIONS_ON = FULL[1:]
"""Without the first sidecar's span: its own trace was lost, or it was not to report."""


class Since(NamedTuple):
    """``new`` from Envoy 1.``minor`` on, ``old`` before."""

    minor: int
    new: Any
    old: Any


B3 = ("b3", "b3-single", "mesh")
W3C = ("w3c", "mesh", "mesh-w3c")
EITHER = ("b3", "b3-single", "w3c", "mesh", "mesh-w3c")
AS_ASKED = Since(40, "b3-single", "b3")


class Row(NamedTuple):
    """``tree``: chains of spans by the parent that their root names ("": none); ``decision`` is what productpage tells the next hop."""

    name: str
    says: str
    mesh: str
    sends: dict[str, str]
    received: dict[str, Any]
    tree: Any
    decision: Any = True
    trace: str = ""
    """The trace id, if the client's (as it shall be written, not as he wrote it); a new one else."""
    propagations: tuple[str, ...] = B3
    answer: Any = "b3"
    """The format that ``propagation="mesh"`` answers in: the one that it was asked in."""
    debug: Any = False
    forwarded: Mapping[str, Any] = MappingProxyType({})
    """Beside the context, in which all rows are alike."""


def resolve(value: Any, version: tuple[int, int]) -> Any:
    """``value`` for this version of Envoy."""
    if isinstance(value, Since):
        return value.new if version >= (1, value.minor) else value.old
    return value


def multi(
    trace: str = TRACE, span: str = CLIENT, sampled: str | None = "1", parent: str | None = None
) -> dict[str, str]:
    headers = {"x-b3-traceid": trace, "x-b3-spanid": span, "x-b3-sampled": sampled, "x-b3-parentspanid": parent}
    return {name: value for name, value in headers.items() if value is not None}


def told(sampled: str = "1", **others: Any) -> dict[str, Any]:
    """What a sidecar that writes B3 tells its application."""
    return {"x-b3-traceid": "{trace}", "x-b3-spanid": "{sidecar}", "x-b3-sampled": sampled, "b3": None, **others}


NO_MULTI = {"x-b3-traceid": None, "x-b3-spanid": None, "x-b3-sampled": None, "x-b3-parentspanid": None}
FROM_CLIENT = {CLIENT: [FULL]}
NEW = {"": [FULL]}
NOTHING: dict[str, list[tuple[str, ...]]] = {}


# One field a line would make of each row a page.
# fmt: off
CONTINUED = [
    Row("E1", "no headers: a new trace, 128 bits wide, whose root has the lower half of the trace id for its own",
        "zipkin", {}, told(**{"x-b3-parentspanid": None, "x-request-id": SOME_ID_SAMPLED}), NEW),
    Row("E2 multi", "the client's trace goes on",
        "zipkin", multi(parent=PARENT), told(**{"x-b3-parentspanid": "{client}"}), FROM_CLIENT, trace=TRACE),
    Row("E2 64 bits", "a trace id of 64 bits stays as wide as it is",
        "zipkin", multi(TRACE[:16]), told(), FROM_CLIENT, trace=TRACE[:16]),
    Row("E2 upper half of zeros", "is cut off: 128 bits become 64, and the same number",
        "zipkin", multi("0" * 16 + TRACE[:16]), told(), FROM_CLIENT, trace=TRACE[:16]),
    Row("E2 upper case", "upper case is read and written in lower case",
        "zipkin", multi(TRACE.upper(), CLIENT.upper()), told(), FROM_CLIENT, trace=TRACE),
    Row("E2 short", "short ids are padded",
        "zipkin", multi("abc", "def"), told(), {"0000000000000def": [FULL]}, trace="0000000000000abc"),
    Row("E3", "single b3: rewritten since 1.40; before, it stays, stale, beside fresh x-b3-*",
        "zipkin", {"b3": f"{TRACE}-{CLIENT}-1"},
        {"b3": Since(40, "{trace}-{sidecar}-1-{client}", "{trace}-{client}-1"),
         **{name: Since(40, None, value) for name, value in told().items() if name != "b3"}},
        FROM_CLIENT, trace=TRACE, answer=AS_ASKED),
    Row("E4", "both encodings, b3 the fresh one: b3 is read; which of the two is rewritten depends on the version",
        "zipkin", {**multi(span=PARENT), "b3": f"{TRACE}-{CLIENT}-1-{PARENT}"},
        {"b3": Since(40, "{trace}-{sidecar}-1-{client}", "{trace}-{client}-1-" + PARENT),
         "x-b3-spanid": Since(40, PARENT, "{sidecar}"), "x-b3-traceid": "{trace}"},
        FROM_CLIENT, trace=TRACE, answer=AS_ASKED),
    Row("E6", "x-b3-sampled: true is 1",
        "zipkin 0 %", multi(sampled="true"), told(), FROM_CLIENT, trace=TRACE),
    Row("E8 at 100 %", "ids without a decision: the mesh decides, and says so",
        "zipkin", multi(sampled=None), told(), FROM_CLIENT, trace=TRACE),
    Row("E9 at 100 %", "the debug flag passes; the library tells the decision beside it",
        "zipkin", {**multi(sampled=None), "x-b3-flags": "1"}, told(**{"x-b3-flags": "1"}), FROM_CLIENT, trace=TRACE,
        debug=True),
    Row("E10", "b3 with d is sampled, but the sidecar forgets debug; the library finds it where b3 stays as it was",
        "zipkin 0 %", {"b3": f"{TRACE}-{CLIENT}-d"},
        {"b3": Since(40, "{trace}-{sidecar}-1-{client}", "{trace}-{client}-d"), "x-b3-sampled": Since(40, None, "1")},
        FROM_CLIENT, trace=TRACE, answer=AS_ASKED, debug=Since(40, False, True)),
    Row("E12", "a trace id without a span id is none",
        "zipkin", {"x-b3-traceid": TRACE, "x-b3-sampled": "1"}, told(), NEW),
    Row("E14", "an empty parent is none",
        "zipkin", multi(parent=""), told(), FROM_CLIENT, trace=TRACE),
    Row("E15", "a traceparent in a Zipkin mesh is stale and goes no further",
        "zipkin", {"traceparent": f"00-{TRACE}-{CLIENT}-01"}, told(traceparent=f"00-{TRACE}-{CLIENT}-01"), NEW,
        forwarded={"traceparent": None}),
    Row("E18", "a request id that says no is rewritten where the mesh says yes",
        "zipkin", {"x-request-id": ID_UNSAMPLED}, told(**{"x-request-id": ID_SAMPLED}), NEW),
    Row("E20", "x-client-trace-id forces a trace at 0 %, and the request id tells who forced it",
        "zipkin 0 %", {"x-client-trace-id": "7"}, told(**{"x-request-id": SOME_ID_CLIENT}), NEW),
    Row("E22 with ids", "the header beats the percentage",
        "zipkin 0 %", multi(), told(), FROM_CLIENT, trace=TRACE),
    Row("E22 alone", "also without ids",
        "zipkin 0 %", {"x-b3-sampled": "1"}, told(), NEW),
    Row("E23 sampled", "a request id that says yes beats the percentage",
        "zipkin 0 %", {"x-request-id": ID_SAMPLED}, told(**{"x-request-id": ID_SAMPLED}), NEW),
    Row("E23 forced", "also if a server forced it",
        "zipkin 0 %", {"x-request-id": ID_FORCED}, told(**{"x-request-id": ID_FORCED}), NEW),
]

UNSAMPLED = [
    Row("E5 multi", "0 is obeyed at 100 %, and told on; the request id may say otherwise",
        "zipkin", multi(sampled="0"), told("0"), NOTHING, decision=False, trace=TRACE),
    Row("E5 single", "0 in b3",
        "zipkin", {"b3": f"{TRACE}-{CLIENT}-0"}, {}, NOTHING, decision=False, trace=TRACE, answer=AS_ASKED),
    Row("E5 lone x-b3-sampled", "0 without ids: the sidecar makes ids",
        "zipkin", {"x-b3-sampled": "0"}, told("0"), NOTHING, decision=False),
    Row("E5 lone b3", "b3: 0",
        "zipkin", {"b3": "0"}, {}, NOTHING, decision=False, answer=AS_ASKED),
    Row("E7 garbage", "a decision that is no word counts as 0",
        "zipkin", multi(sampled="maybe"), told("0"), NOTHING, decision=False, trace=TRACE),
    Row("E7 empty", "so does an empty one: never send an empty header",
        "zipkin", multi(sampled=""), told("0"), NOTHING, decision=False, trace=TRACE),
    Row("E8 at 0 %", "ids without a decision: the mesh decides",
        "zipkin 0 %", multi(sampled=None), told("0"), NOTHING, decision=False, trace=TRACE),
    Row("E17", "a request id that is no UUID: never sampled",
        "zipkin", {"x-request-id": "request-1"}, told("0", **{"x-request-id": "request-1"}), NOTHING, decision=False),
    Row("E19", "0 %: ids, and a clear no",
        "zipkin 0 %", {}, told("0", **{"x-request-id": SOME_ID_UNSAMPLED}), NOTHING, decision=False),
    Row("E21", "x-envoy-force-trace from outside is taken away",
        "zipkin 0 %", {"x-envoy-force-trace": "1"}, told("0", **{"x-envoy-force-trace": None}), NOTHING,
        decision=False),
]

DEBUG = [
    Row("E9 at 0 %", "debug and 0 at once: debug wins in the library, so the trace starts where its sidecar did not report",
        "zipkin 0 %", {**multi(sampled=None), "x-b3-flags": "1"}, told("0", **{"x-b3-flags": "1"}),
        {"{sidecar}": [APPLICATIONS_ON]}, trace=TRACE, debug=True),
]

MALFORMED = [
    Row("E11 no hex", "the sidecar makes no span and passes the ids on; the library starts anew, and all after it report",
        "zipkin", multi("xyz" + TRACE[3:]), multi("xyz" + TRACE[3:]), {"": [APPLICATIONS_ON]}),
    Row("E11 span no hex", "the same for the span id",
        "zipkin", multi(span="xyz" + CLIENT[3:]), multi(span="xyz" + CLIENT[3:]), {"": [APPLICATIONS_ON]}),
    Row("E11 31 digits", "jaeger-client's ids without their zeros: the library pads them and the trace goes on",
        "zipkin", multi(TRACE[1:]), multi(TRACE[1:]), {CLIENT: [APPLICATIONS_ON]}, trace=f"0{TRACE[1:]}"),
    Row("E11 parent -", "a parent that is none: the library drops it alone",
        "zipkin", multi(parent="-"), multi(parent="-"), {CLIENT: [APPLICATIONS_ON]}, trace=TRACE),
    Row("E11 garbage b3", "the same for b3",
        "zipkin", {"b3": "garbage"}, {"b3": "garbage"}, {"": [APPLICATIONS_ON]}),
    Row("E13", "a trace id of zeros is accepted by Envoy, but by nobody else: the library starts anew",
        "zipkin", multi("0" * 32), told(**{"x-b3-traceid": "0{{16}}|0{{32}}"}),
        {CLIENT: [FULL[:1]], "": [APPLICATIONS_ON]}),
    Row("E33 garbage", "the same with OpenTelemetry",
        "otel", {"traceparent": "garbage"}, {"traceparent": "garbage"}, {"": [APPLICATIONS_ON]}, propagations=W3C,
        answer="w3c"),
    Row("E33 zeros", "zeros are no ids",
        "otel", {"traceparent": f"00-{'0' * 32}-{CLIENT}-01"}, {"traceparent": f"00-{'0' * 32}-{CLIENT}-01"},
        {"": [APPLICATIONS_ON]}, propagations=W3C, answer="w3c"),
    Row("E33 future", "a later version is read as the specification says, by the library at least",
        "otel", {"traceparent": f"01-{TRACE}-{CLIENT}-01-extra"}, {"traceparent": f"01-{TRACE}-{CLIENT}-01-extra"},
        {CLIENT: [APPLICATIONS_ON]}, trace=TRACE, propagations=W3C, answer="w3c"),
]

PARENT_SAYS_YES = {"traceparent": f"00-{TRACE}-{CLIENT}-01"}
WITH_W3C = [
    Row("E16 nothing", "USE_B3_WITH_W3C_PROPAGATION: both, with the same ids",
        "zipkin and w3c", {}, told(traceparent="00-{trace}-{sidecar}-01"), NEW, propagations=EITHER, answer="b3,w3c"),
    Row("E16 traceparent", "a traceparent alone is read",
        "zipkin and w3c", PARENT_SAYS_YES, {"traceparent": "00-{trace}-{sidecar}-01"}, FROM_CLIENT, trace=TRACE,
        propagations=EITHER, answer="b3,w3c"),
    Row("E16 no", "with its decision",
        "zipkin and w3c", {"traceparent": f"00-{TRACE}-{CLIENT}-00"}, {"traceparent": "00-{trace}-{sidecar}-00"},
        NOTHING, decision=False, trace=TRACE, propagations=EITHER, answer="b3,w3c"),
    Row("E16 both", "of two traces B3's goes on",
        "zipkin and w3c", {**multi(), "traceparent": f"00-{'1' * 32}-{'2' * 16}-01"},
        told(traceparent="00-{trace}-{sidecar}-01"), FROM_CLIENT, trace=TRACE, propagations=EITHER, answer="b3,w3c"),
    Row("E30", "OpenTelemetry: a traceparent, and an empty tracestate that is no error",
        "otel", {}, {"traceparent": "00-{trace}-{sidecar}-01", "tracestate": ""}, NEW, propagations=W3C, answer="w3c",
        forwarded={"tracestate": None}),
    Row("E31 yes", "the client's trace goes on, its tracestate too",
        "otel", {**PARENT_SAYS_YES, "tracestate": "vendor=x"},
        {"traceparent": "00-{trace}-{sidecar}-01", "tracestate": "vendor=x"}, FROM_CLIENT, trace=TRACE,
        propagations=W3C, answer="w3c", forwarded={"tracestate": "vendor=x"}),
    Row("E31 no", "00 is obeyed at 100 %",
        "otel", {"traceparent": f"00-{TRACE}-{CLIENT}-00"}, {"traceparent": "00-{trace}-{sidecar}-00"}, NOTHING,
        decision=False, trace=TRACE, propagations=W3C, answer="w3c"),
    Row("E32", "B3 in an OpenTelemetry mesh is stale and goes no further",
        "otel", multi(), {"traceparent": "00-{trace}-{sidecar}-01", **multi()}, NEW, propagations=W3C, answer="w3c",
        forwarded=NO_MULTI),
    Row("E34", "upper case, which W3C forbids, is read and written in lower case",
        "otel", {"traceparent": f"00-{TRACE.upper()}-{CLIENT.upper()}-01"}, {"traceparent": "00-{trace}-{sidecar}-01"},
        FROM_CLIENT, trace=TRACE, propagations=W3C, answer="w3c"),
    Row("E35 no request id", "0 % and a parent that says yes: since 1.39 the request id decides, and a new one says no",
        "otel 0 %", PARENT_SAYS_YES, {"traceparent": Since(39, "00-{trace}-{sidecar}-00", "00-{trace}-{sidecar}-01")},
        Since(39, NOTHING, FROM_CLIENT), decision=Since(39, False, True), trace=TRACE, propagations=W3C, answer="w3c"),
    Row("E36", "with the parent's request id the trace goes on, in every version: it must be forwarded",
        "otel 0 %", {**PARENT_SAYS_YES, "x-request-id": ID_SAMPLED}, {"traceparent": "00-{trace}-{sidecar}-01"},
        FROM_CLIENT, trace=TRACE, propagations=W3C, answer="w3c"),
]

# fmt: on

ROWS = [*CONTINUED, *UNSAMPLED, *DEBUG, *MALFORMED, *WITH_W3C]
