"""B3: the specification's rules, and those that real Envoy forces (rows E1 to E29 of the mesh facts)."""

from http.client import HTTPMessage

import opentracing
import pytest
from hypothesis import given
from hypothesis import strategies as st
from requests.structures import CaseInsensitiveDict
from werkzeug.datastructures import EnvironHeaders, Headers

from sls_tracing import ConstSampler, InMemoryReporter, SpanContext, Tracer
from sls_tracing.exceptions import ConfigurationError
from sls_tracing.metrics import Counters
from sls_tracing.propagators import B3Propagator

TRACE_128 = "463ac35c9f6413ad48485a3953bb6124"
TRACE_64 = "48485a3953bb6124"
SPAN = "a2fb4a1d1a96d312"
PARENT = "0020000000000001"


@pytest.fixture
def counters():
    return Counters()


@pytest.fixture
def b3(counters):
    return B3Propagator(counters=counters)


def multi(trace_id=TRACE_128, span_id=SPAN, **others):
    headers = {"x-b3-traceid": trace_id, "x-b3-spanid": span_id}
    headers.update({"x-b3-" + name: value for name, value in others.items()})
    return headers


def injected(context, encoding="multi"):
    carrier = {}
    B3Propagator(encoding).inject(context, carrier)
    return carrier


def server_hop(headers, sampler=None, encoding="multi"):
    """What a service sends on: extract, a server span, a client span below, inject."""
    tracer = Tracer(
        "app",
        sampler=sampler or ConstSampler(True),
        reporter=InMemoryReporter(),
        propagation={"multi": "b3", "single": "b3-single"}[encoding],
    )
    incoming = tracer.extract(opentracing.Format.HTTP_HEADERS, headers)
    server = tracer.start_span("server", child_of=incoming)
    client = tracer.start_span("client", child_of=server)
    out = {}
    tracer.inject(client.context, opentracing.Format.HTTP_HEADERS, out)
    client.finish()
    server.finish()
    return out, incoming, server, tracer.reporter.spans


# -- reading ------------------------------------------------------------------------------------------------------------


def test_multi_header_is_read(b3):
    context = b3.extract(multi(sampled="1", parentspanid=PARENT))
    assert (context.trace_id, context.span_id) == (int(TRACE_128, 16), int(SPAN, 16))
    assert context.parent_id == int(PARENT, 16)
    assert (context.sampled, context.debug, context.wide) == (True, False, True)


@pytest.mark.parametrize(
    ("header", "sampled", "debug", "parent"),
    [
        (f"{TRACE_128}-{SPAN}", None, False, None),
        (f"{TRACE_128}-{SPAN}-1", True, False, None),
        (f"{TRACE_128}-{SPAN}-0", False, False, None),
        (f"{TRACE_128}-{SPAN}-d", True, True, None),
        (f"{TRACE_128}-{SPAN}-1-{PARENT}", True, False, int(PARENT, 16)),
        (f"{TRACE_128}-{SPAN}-{PARENT}", None, False, int(PARENT, 16)),
    ],
)
def test_single_header_is_read(b3, header, sampled, debug, parent):
    context = b3.extract({"b3": header})
    assert (context.trace_id, context.span_id) == (int(TRACE_128, 16), int(SPAN, 16))
    assert (context.sampled, context.debug, context.parent_id) == (sampled, debug, parent)


@pytest.mark.parametrize(
    ("headers", "sampled", "debug"),
    [
        ({"b3": "0"}, False, False),
        ({"b3": "1"}, True, False),
        ({"b3": "d"}, True, True),
        ({"x-b3-sampled": "0"}, False, False),
        ({"x-b3-sampled": "1"}, True, False),
        ({"x-b3-sampled": "true"}, True, False),
        ({"X-B3-Sampled": "False"}, False, False),
        ({"x-b3-flags": "1"}, True, True),
    ],
)
def test_a_decision_may_travel_without_ids(b3, headers, sampled, debug):
    context = b3.extract(headers)
    assert (context.trace_id, context.span_id) == (None, None)
    assert (context.sampled, context.debug) == (sampled, debug)


@pytest.mark.parametrize("headers", [{}, {"accept": "*/*", "host": "details:9080"}, {"x-b3-flags": "0"}, {"b3x": "1"}])
def test_no_b3_at_all_is_no_context(b3, counters, headers):
    assert b3.extract(headers) is None
    assert counters.snapshot() == {}


def test_the_width_of_an_incoming_id_is_kept(b3):
    narrow, wide = b3.extract(multi(TRACE_64)), b3.extract(multi("0" * 16 + TRACE_64))
    assert (narrow.wide, wide.wide) == (False, True)
    assert injected(narrow)["x-b3-traceid"] == TRACE_64
    assert injected(wide)["x-b3-traceid"] == "0" * 16 + TRACE_64


@pytest.mark.parametrize(
    ("given", "written"), [("1", "0" * 15 + "1"), ("ABC", "0" * 13 + "abc"), (TRACE_128[1:], "0" + TRACE_128[1:])]
)
def test_short_and_upper_case_ids_are_read_and_written_padded_in_lower_case(b3, given, written):
    """E2; 31 digits are what jaeger-client's B3 codec makes of one id in sixteen."""
    assert injected(b3.extract(multi(given, "F")))["x-b3-traceid"] == written
    assert injected(b3.extract(multi(given, "F")))["x-b3-spanid"] == "0" * 15 + "f"


@pytest.mark.parametrize(
    "bad", ["xyz", "0x12", "+12", "1_2", "-1", "1" * 33, "0" * 32, "0", "\uff11\uff12", "12 34", "é"]
)
def test_malformed_ids_are_dropped_and_counted_and_the_decision_stays(b3, counters, bad):
    """Mesh rule 10, E11, E13: the application is the first hop that can heal what Envoy passes on."""
    context = b3.extract(multi(bad, sampled="0"))
    assert context.trace_id is None
    assert context.sampled is False
    assert counters.get("propagation_headers_malformed") == 1
    assert b3.extract(multi(TRACE_128, bad if len(bad) < 17 else "g")) is None


def test_a_trace_id_without_a_span_id_is_ignored_but_not_the_decision(b3):
    """E12."""
    context = b3.extract({"x-b3-traceid": TRACE_128, "x-b3-sampled": "1"})
    assert (context.trace_id, context.span_id, context.sampled) == (None, None, True)


@pytest.mark.parametrize("bad", ["-", "xyz", "1" * 17])
def test_a_malformed_parent_is_dropped_alone(b3, counters, bad):
    context = b3.extract(multi(parentspanid=bad, sampled="1"))
    assert (context.span_id, context.parent_id) == (int(SPAN, 16), None)
    assert counters.get("propagation_headers_malformed") == 1


@pytest.mark.parametrize("value", ["", "   ", "0"])
def test_an_empty_or_zero_parent_is_none(b3, counters, value):
    """E14, istio#11696: some proxies and programs forward empty headers."""
    assert b3.extract(multi(parentspanid=value)).parent_id is None
    assert counters.snapshot() == {}


@pytest.mark.parametrize("bad", ["", "yes", "2", "d"])
def test_a_malformed_sampled_header_leaves_the_decision_open(b3, counters, bad):
    context = b3.extract(multi(sampled=bad))
    assert context.sampled is None
    assert counters.get("propagation_headers_malformed") == 1


@pytest.mark.parametrize("value", ["0", "2", "true", "1 1"])
def test_any_other_value_of_flags_is_ignored(b3, value):
    context = b3.extract(multi(flags=value, sampled="0"))
    assert (context.sampled, context.debug) == (False, False)


def test_debug_beats_a_denying_sampled_header(b3):
    """E9: Envoy at 0 % sends x-b3-flags: 1 together with x-b3-sampled: 0."""
    context = b3.extract(multi(flags="1", sampled="0"))
    assert (context.sampled, context.debug) == (True, True)


@pytest.mark.parametrize(
    "bad", ["", "x", "2", f"{TRACE_128}", f"{TRACE_128}-", f"{TRACE_128}-{SPAN}-2", f"{TRACE_128}-{SPAN}-1-xyz"]
)
def test_a_malformed_single_header_is_dropped_and_counted(b3, counters, bad):
    assert b3.extract({"b3": bad}) is None
    assert counters.get("propagation_headers_malformed") == 1


def test_a_malformed_single_header_falls_back_to_the_multiple_ones(b3):
    assert b3.extract({"b3": "garbage", **multi(sampled="1")}).span_id == int(SPAN, 16)


# -- both encodings -----------------------------------------------------------------------------------------------------

STALE = "00000000000000aa"


def test_the_single_header_wins_over_the_multiple_ones(b3):
    """The specification, and Envoy from 1.40: there only `b3` is rewritten, so x-b3-* are stale."""
    context = b3.extract({"b3": f"{TRACE_128}-{SPAN}-1-{STALE}", **multi(TRACE_128, STALE, sampled="1")})
    assert context.span_id == int(SPAN, 16)


def test_the_multiple_headers_win_when_their_parent_is_the_span_of_the_single_one(b3):
    """E3: Envoy up to 1.39 rewrites x-b3-* and leaves the client's `b3` stale beside them."""
    context = b3.extract({"b3": f"{TRACE_128}-{STALE}-1", **multi(TRACE_128, SPAN, parentspanid=STALE, sampled="1")})
    assert context.span_id == int(SPAN, 16)


def test_another_trace_in_the_multiple_headers_never_wins(b3):
    context = b3.extract({"b3": f"{TRACE_128}-{SPAN}-1", **multi("1" * 32, STALE, parentspanid=SPAN)})
    assert context.trace_id == int(TRACE_128, 16)


def test_debug_survives_from_the_stale_encoding(b3):
    """E10: Envoy rewrites -d as 1."""
    context = b3.extract({"b3": f"{TRACE_128}-{STALE}-d", **multi(parentspanid=STALE, sampled="1")})
    assert (context.span_id, context.debug) == (int(SPAN, 16), True)


def test_a_lone_decision_in_the_single_header_does_not_hide_the_ids(b3):
    context = b3.extract({"b3": "0", **multi(sampled="0")})
    assert (context.span_id, context.sampled) == (int(SPAN, 16), False)


# -- carriers -----------------------------------------------------------------------------------------------------------


def _http_message(headers):
    message = HTTPMessage()
    for name, value in headers.items():
        message[name] = value
    return message


CARRIERS = {
    "dict": dict,
    "upper case": lambda headers: {name.upper(): value for name, value in headers.items()},
    "flask's odd case": lambda headers: {name.title(): value for name, value in headers.items()},
    "pairs": lambda headers: list(headers.items()),
    "bytes": lambda headers: {name.encode(): value.encode() for name, value in headers.items()},
    "asgi": lambda headers: [(name.encode(), value.encode()) for name, value in headers.items()],
    "lists": lambda headers: {name: [value] for name, value in headers.items()},
    "generator": lambda headers: (item for item in headers.items()),
    "requests": CaseInsensitiveDict,
    "werkzeug": Headers,
    "environ": lambda headers: EnvironHeaders(
        {"HTTP_" + name.upper().replace("-", "_"): value for name, value in headers.items()}
    ),
    "http.client": _http_message,
}


@pytest.mark.parametrize("shape", CARRIERS)
def test_any_shape_of_carrier_is_read_without_regard_to_case(b3, shape):
    headers = {**multi(sampled="1"), "x-request-id": "abc", "baggage-user": "bob"}
    context = b3.extract(CARRIERS[shape](headers))
    assert (context.trace_id, context.sampled) == (int(TRACE_128, 16), True)
    assert context.carried == {"x-request-id": "abc"}
    assert context.baggage == {"user": "bob"}


@pytest.mark.parametrize(
    "carrier", [{**multi(), None: "x", 3: "y"}, {**multi(), "x-b3-sampled": None}, {**multi(), "x-b3-sampled": []}]
)
def test_keys_and_values_that_are_no_text_are_passed_over(b3, carrier):
    assert b3.extract(carrier).span_id == int(SPAN, 16)


@pytest.mark.parametrize("carrier", [None, 3, object(), ["a name"], {"a name"}])
def test_what_is_no_carrier_raises_opentracings_exception(b3, carrier):
    with pytest.raises(opentracing.InvalidCarrierException):
        b3.extract(carrier)


@pytest.mark.parametrize("carrier", [None, 3, "text", (), bytearray()])
def test_what_cannot_be_written_to_raises_opentracings_exception(b3, carrier):
    with pytest.raises(opentracing.InvalidCarrierException):
        b3.inject(SpanContext(1, 2), carrier)


def test_the_first_of_repeated_headers_wins(b3):
    assert b3.extract([("b3", "0"), ("B3", "1")]).sampled is False
    assert b3.extract({"b3": "0, 1"}).sampled is False
    assert b3.extract(multi(f"{TRACE_64},{TRACE_128}")).trace_id == int(TRACE_64, 16)


# -- writing ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("context", "headers"),
    [
        (SpanContext(0xAB, 0xC, 0xD, True), {**multi("0" * 30 + "ab", "0" * 15 + "c"), "x-b3-parentspanid": "0" * 15 + "d", "x-b3-sampled": "1"}),
        (SpanContext(0xAB, 0xC, None, False), {**multi("0" * 30 + "ab", "0" * 15 + "c"), "x-b3-sampled": "0"}),
        (SpanContext(0xAB, 0xC, sampled=None), multi("0" * 30 + "ab", "0" * 15 + "c")),
        (SpanContext(0xAB, 0xC, debug=True, wide=False), {**multi("0" * 14 + "ab", "0" * 15 + "c"), "x-b3-flags": "1", "x-b3-sampled": "1"}),
        (SpanContext(sampled=False), {"x-b3-sampled": "0"}),
        (SpanContext(sampled=None), {}),
    ],
)  # fmt: skip
def test_multi_headers_are_written(context, headers):
    """Deny is written as 0; debug also as sampled 1, because Envoy does not read the flag; nothing is ever written empty."""
    assert injected(context) == headers


@pytest.mark.parametrize(
    ("context", "header"),
    [
        (SpanContext(0xAB, 0xC, 0xD, True), "0" * 30 + "ab-" + "0" * 15 + "c-1-" + "0" * 15 + "d"),
        (SpanContext(0xAB, 0xC, None, False, wide=False), "0" * 14 + "ab-" + "0" * 15 + "c-0"),
        (SpanContext(0xAB, 0xC, None, True, True), "0" * 30 + "ab-" + "0" * 15 + "c-d"),
        (SpanContext(0xAB, 0xC, 0xD, None), "0" * 30 + "ab-" + "0" * 15 + "c"),
        (SpanContext(sampled=False), "0"),
        (SpanContext(sampled=True), "1"),
        (SpanContext(sampled=True, debug=True), "d"),
    ],
)
def test_the_single_header_is_written(context, header):
    assert injected(context, "single") == {"b3": header}


def test_an_unknown_encoding_is_refused_with_the_remedy():
    with pytest.raises(ConfigurationError, match="'multi' or 'single'"):
        B3Propagator("both")


contexts = st.builds(
    SpanContext,
    st.integers(1, 2**64 - 1),
    st.integers(1, 2**64 - 1),
    st.none() | st.integers(1, 2**64 - 1),
    st.sampled_from([True, False]),
    st.just(False),
    st.dictionaries(st.text(min_size=1).map(str.lower).filter(lambda key: key == key.lower()), st.text(), max_size=3),
    st.booleans(),
    st.sampled_from([{}, {"x-request-id": "9f7d"}]),
)


@given(contexts, st.sampled_from(["multi", "single"]))
def test_what_is_written_is_read_again(context, encoding):
    """Ids, decision, baggage of any text and request id survive (surrogates, which no header can carry, become '?')."""
    clean = context._replace(
        baggage={
            key.encode("utf-8", "replace").decode(): value.encode("utf-8", "replace").decode()
            for key, value in context.baggage.items()
        }
    )
    assert B3Propagator().extract(injected(context, encoding)) == clean


@given(
    st.dictionaries(
        st.sampled_from([*sorted(multi(sampled="", flags="", parentspanid="")), "b3"]), st.text() | st.binary()
    )
)
def test_no_header_however_strange_raises_or_goes_on_malformed(headers):
    out, *_ = server_hop(headers)
    assert len(out["x-b3-traceid"]) in (16, 32)
    assert len(out["x-b3-spanid"]) == 16
    assert out["x-b3-sampled"] in ("0", "1")
    assert int(out["x-b3-traceid"], 16)


# -- a hop through a service --------------------------------------------------------------------------------------------


def test_the_service_makes_a_child_of_the_sidecars_span_and_never_joins_it():
    """E28, mesh rule 5."""
    out, _, server, spans = server_hop(multi(sampled="1"))
    assert out["x-b3-traceid"] == TRACE_128
    assert server.context.parent_id == int(SPAN, 16)
    assert out["x-b3-parentspanid"] == format(server.context.span_id, "016x")
    assert len({SPAN, out["x-b3-spanid"], out["x-b3-parentspanid"]}) == 3
    assert [span.operation_name for span in spans] == ["client", "server"]


@pytest.mark.parametrize(("sampled", "sampler", "reported"), [("0", True, 0), ("1", False, 2)])
def test_a_decision_is_obeyed_and_written(sampled, sampler, reported):
    """E29, mesh rule 7."""
    out, _, _, spans = server_hop(multi(sampled=sampled), ConstSampler(sampler))
    assert out["x-b3-sampled"] == sampled
    assert len(spans) == reported


@pytest.mark.parametrize("decision", [True, False])
def test_a_deferred_decision_is_taken_here_and_written(decision):
    """E8: omitting it again would let the next sidecar decide anew."""
    out, incoming, _, spans = server_hop(multi(), ConstSampler(decision))
    assert incoming.sampled is None
    assert out["x-b3-sampled"] == ("1" if decision else "0")
    assert out["x-b3-traceid"] == TRACE_128
    assert len(spans) == (2 if decision else 0)


@pytest.mark.parametrize(("sampled", "reported"), [("0", 0), ("1", 2)])
def test_a_lone_decision_rules_the_new_trace(sampled, reported):
    out, _, server, spans = server_hop({"b3": sampled}, ConstSampler(sampled == "0"))
    assert server.context.parent_id is None
    assert out["x-b3-sampled"] == sampled
    assert len(spans) == reported


def test_debug_goes_on_with_an_explicit_decision():
    out, _, _, spans = server_hop(multi(flags="1", sampled="0"), ConstSampler(False))
    assert (out["x-b3-flags"], out["x-b3-sampled"]) == ("1", "1")
    assert len(spans) == 2


@pytest.mark.parametrize("encoding", ["multi", "single"])
def test_exactly_one_encoding_goes_out(encoding):
    """Mesh rule 2: one of two would be stale behind every version of Envoy."""
    out, *_ = server_hop({"b3": f"{TRACE_128}-{SPAN}-1", **multi(sampled="1")}, encoding=encoding)
    assert ("b3" in out) == (encoding == "single")
    assert any(name.startswith("x-b3-") for name in out) == (encoding == "multi")


@pytest.mark.parametrize("headers", [{}, multi(sampled="1"), multi("garbage")])
def test_x_request_id_travels_along_whatever_the_b3_headers_are(headers):
    """Mesh rule 1."""
    out, *_ = server_hop({**headers, "X-Request-Id": "5f7b2a5e-93f4-9a0d-b1b4-0123456789ab"})
    assert out["x-request-id"] == "5f7b2a5e-93f4-9a0d-b1b4-0123456789ab"


def test_x_request_id_is_never_made_here_and_never_empty():
    assert "x-request-id" not in server_hop({})[0]
    assert "x-request-id" not in server_hop({"x-request-id": ""})[0]


def test_a_root_made_here_has_the_low_half_of_its_trace_id_as_span_id():
    """E1: as Envoy does, so that tools recognise the root by its ids alone."""
    _, _, server, _ = server_hop({})
    assert server.context.span_id == server.context.trace_id & (2**64 - 1)


HEX = st.text("0123456789abcdefABCDEF", min_size=14, max_size=33)
ID = st.one_of(
    st.sampled_from(
        [TRACE_128, TRACE_64, SPAN, PARENT, "0" * 16, "0" * 32, "", " " * 16, "0x" + "1" * 14, "1_" * 8, "+" + "1" * 15]
    ),
    st.sampled_from(["١" * 16, "é" * 32, f"{SPAN}, {PARENT}", f" {SPAN[2:]} ", f"{SPAN[:8]} {SPAN[9:]}"]),
    HEX,
)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "x-b3-traceid": ID,
            "x-b3-spanid": ID,
            "x-b3-parentspanid": ID,
            "x-b3-sampled": st.sampled_from(["0", "1", "true", "d", "", "2", "1, 0"]),
            "x-b3-flags": st.sampled_from(["1", "0", ""]),
            "b3": st.sampled_from(["0", f"{TRACE_128}-{SPAN}-1", "garbage"]),
            "x-request-id": st.sampled_from(["id", "", "a\x7fb", "x" * 1025]),
            "baggage-user": st.just("alice"),
        },
    )
)
def test_the_short_way_of_reading_says_what_the_closer_look_says(headers):
    """What is usual is read in one go; the answer and the counts are those of the careful way, whatever comes."""
    short, close = Counters(), Counters()
    assert B3Propagator(counters=short).read(headers) == B3Propagator(counters=close)._read_closely(headers)
    assert short.snapshot() == close.snapshot()
