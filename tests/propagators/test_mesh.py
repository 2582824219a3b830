"""MeshPropagator: one coherent set goes out, in the format that the request came in. Rows E… are docs/mesh.md's facts on real Envoy."""

import logging

import opentracing
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sls_tracing import ConstSampler, InMemoryReporter, SpanContext, Tracer
from sls_tracing.exceptions import ConfigurationError
from sls_tracing.guard import LimitedLog
from sls_tracing.metrics import Counters
from sls_tracing.propagators import BinaryPropagator, MeshPropagator, mesh, propagators_for
from sls_tracing.propagators.carried import OTHER_TRACERS
from sls_tracing.propagators.carrier import OutgoingHeaders

HTTP = opentracing.Format.HTTP_HEADERS
TRACE, SPAN, PARENT = "463ac35c9f6413ad48485a3953bb6124", "a2fb4a1d1a96d312", "0020000000000001"
OTHER_TRACE, OTHER_SPAN = "0123456789abcdef0123456789abcdef", "fedcba9876543210"
REQUEST_ID = "9f7d8c00-1111-9111-8111-123456789012"
MULTI = {"x-b3-traceid": TRACE, "x-b3-spanid": SPAN, "x-b3-parentspanid": PARENT, "x-b3-sampled": "1"}
SINGLE = {"b3": f"{TRACE}-{SPAN}-1-{PARENT}"}
W3C = {"traceparent": f"00-{TRACE}-{SPAN}-01"}
B3_NAMES = {"b3", "x-b3-traceid", "x-b3-spanid", "x-b3-parentspanid", "x-b3-sampled", "x-b3-flags"}


class Service:
    """An application behind a sidecar: ``answer`` makes a child of what came in and returns what goes out."""

    def __init__(self, propagator=None, sampled=True):
        self.reporter = InMemoryReporter()
        self.counters = Counters()
        self.propagator = propagator or MeshPropagator(counters=self.counters)
        self.tracer = Tracer(
            "app",
            sampler=ConstSampler(sampled),
            reporter=self.reporter,
            propagation={HTTP: self.propagator, "binary": BinaryPropagator()},
        )

    def answer(self, incoming, carrier=None):
        parent = self.tracer.extract(HTTP, incoming)
        carrier = {} if carrier is None else carrier
        with self.tracer.start_active_span("GET /", child_of=parent, ignore_active_span=True) as scope:
            self.context = scope.span.context
            self.tracer.inject(scope.span.context, HTTP, carrier)
        return carrier


@pytest.fixture
def app():
    return Service()


def told(headers):
    """What each format in ``headers`` says: (trace id, span id, sampled). A coherent set says one thing."""
    says = set()
    if "x-b3-traceid" in headers:
        says.add((headers["x-b3-traceid"].zfill(32), headers["x-b3-spanid"], headers.get("x-b3-sampled")))
    if "b3" in headers:
        trace_id, span_id, sampled, *_ = headers["b3"].split("-")
        says.add((trace_id.zfill(32), span_id, {"d": "1"}.get(sampled, sampled)))
    if "traceparent" in headers:
        _, trace_id, span_id, flags = headers["traceparent"].split("-")
        says.add((trace_id, span_id, str(int(flags, 16) & 1)))
    return says


def formats(headers):
    return {
        {"x-b3-traceid": "multi", "b3": "single", "traceparent": "w3c"}[name]
        for name in headers
        if name in ("x-b3-traceid", "b3", "traceparent")
    }


# -- the format that came is the format that goes out --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("incoming", "expected"),
    [
        pytest.param(MULTI, {"multi"}, id="E1, E2 multi"),
        pytest.param(SINGLE, {"single"}, id="E3 on 1.40: only b3 reaches the application"),
        pytest.param({"b3": f"{TRACE}-{SPAN}-1"}, {"single"}, id="b3 of a root"),
        pytest.param(W3C, {"w3c"}, id="E31"),
        pytest.param({**W3C, "tracestate": ""}, {"w3c"}, id="E30 OpenTelemetry provider"),
        pytest.param({**MULTI, **W3C}, {"multi", "w3c"}, id="E16 USE_B3_WITH_W3C"),
        pytest.param({**SINGLE, **W3C}, {"single", "w3c"}, id="E16 with single b3"),
        pytest.param({**MULTI, **SINGLE}, {"multi"}, id="both encodings, the same"),
        pytest.param({}, {"multi"}, id="a root made here"),
        pytest.param({"x-request-id": REQUEST_ID}, {"multi"}, id="a root with a request id"),
    ],
)
def test_the_answer_is_in_the_format_that_came(app, incoming, expected):
    outgoing = app.answer(incoming)
    assert formats(outgoing) == expected
    assert told(outgoing) == {(app.context.to_trace_id(), app.context.to_span_id(), "1")}
    assert not [value for value in outgoing.values() if not value]
    if told(incoming):
        assert (app.context.to_trace_id(), app.context.parent_id) == (TRACE, int(SPAN, 16))


@pytest.mark.parametrize("root", ["b3", "b3-single", "w3c", "b3,w3c", "b3-single,w3c"])
def test_the_format_of_traces_that_begin_here_is_a_setting(root):
    app = Service(MeshPropagator(root=root))
    outgoing = app.answer({})
    names = {"b3": "multi", "b3-single": "single", "w3c": "w3c"}
    assert formats(outgoing) == {names[each] for each in root.split(",")}
    assert len(told(outgoing)) == 1
    assert formats(app.answer(MULTI)) == {"multi"}
    assert formats(app.answer(W3C)) == {"w3c"}


# -- of two formats one is stale ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("incoming", "expected"),
    [
        pytest.param(
            {**MULTI, "b3": f"{TRACE}-{PARENT}-1"}, {"multi"}, id="E3 up to 1.39: x-b3-* fresh, the client's b3 stale"
        ),
        pytest.param(
            {**SINGLE, "x-b3-traceid": TRACE, "x-b3-spanid": OTHER_SPAN, "x-b3-sampled": "1"},
            {"single"},
            id="E4 from 1.40: b3 fresh, x-b3-* stale",
        ),
        pytest.param({**MULTI, "traceparent": f"00-{OTHER_TRACE}-{OTHER_SPAN}-01"}, {"multi"}, id="E15"),
        pytest.param({**SINGLE, "traceparent": f"00-{OTHER_TRACE}-{OTHER_SPAN}-00"}, {"single"}, id="E15 single"),
        pytest.param(
            {**W3C, "tracestate": "", "x-b3-traceid": OTHER_TRACE, "x-b3-spanid": OTHER_SPAN, "x-b3-sampled": "0"},
            {"w3c"},
            id="E32: the empty tracestate shows who wrote",
        ),
        pytest.param({**W3C, "tracestate": "", "b3": f"{OTHER_TRACE}-{OTHER_SPAN}-0"}, {"w3c"}, id="E32 single"),
        pytest.param({**MULTI, "traceparent": f"00-{TRACE}-{PARENT}-01"}, {"multi"}, id="a Zipkin sidecar's child"),
        pytest.param(
            {**W3C, "tracestate": "", "x-b3-traceid": TRACE, "x-b3-spanid": OTHER_SPAN},
            {"w3c"},
            id="the same trace through an OpenTelemetry sidecar",
        ),
        pytest.param({**W3C, "b3": "0"}, {"w3c"}, id="a decision without ids is nothing beside ids"),
        pytest.param({**MULTI, "traceparent": "garbage"}, {"multi"}, id="E33 beside B3"),
        pytest.param({**W3C, "x-b3-traceid": "garbage", "x-b3-spanid": "-"}, {"w3c"}, id="E11 beside W3C"),
    ],
)
def test_the_fresh_one_is_believed_and_the_stale_one_is_dropped(app, incoming, expected):
    outgoing = app.answer(incoming)
    assert (app.context.to_trace_id(), app.context.parent_id) == (TRACE, int(SPAN, 16))
    assert formats(outgoing) == expected
    assert told(outgoing) == {(TRACE, app.context.to_span_id(), "1")}


def test_where_nothing_shows_which_one_is_fresh_the_order_decides():
    """A client's own W3C trace with a tracestate beside another trace of B3's."""
    incoming = {**MULTI, "traceparent": f"00-{OTHER_TRACE}-{OTHER_SPAN}-01", "tracestate": "vendor=1"}
    b3_first, w3c_first = Service(), Service(MeshPropagator(("w3c", "b3")))
    assert formats(b3_first.answer(incoming)) == {"multi"}
    assert b3_first.context.to_trace_id() == TRACE
    outgoing = w3c_first.answer(incoming)
    assert formats(outgoing) == {"w3c"}
    assert outgoing["tracestate"] == "vendor=1"
    assert w3c_first.context.to_trace_id() == OTHER_TRACE


def test_one_trace_in_two_formats_of_which_none_is_known_to_be_fresh_goes_out_in_both(app):
    """Which one the next sidecar reads is not known; with one context in both, the trace stays whole either way."""
    outgoing = app.answer({**MULTI, "traceparent": f"00-{TRACE}-{OTHER_SPAN}-01", "tracestate": "vendor=1"})
    assert app.context.parent_id == int(SPAN, 16)
    assert formats(outgoing) == {"multi", "w3c"}
    assert len(told(outgoing)) == 1
    assert outgoing["tracestate"] == "vendor=1"


def test_tracestate_goes_with_traceparent_only(app):
    assert app.answer({**W3C, "tracestate": "vendor=1"})["tracestate"] == "vendor=1"
    stale = {**MULTI, "traceparent": f"00-{OTHER_TRACE}-{OTHER_SPAN}-01", "tracestate": "vendor=1"}
    assert "tracestate" not in app.answer(stale)
    assert "tracestate" not in app.answer({**W3C, "tracestate": ""})


# -- ids ------------------------------------------------------------------------------------------------------------------


def test_a_64_bit_id_keeps_its_16_digits_in_b3_and_has_32_in_w3c(app):
    """E2, E16."""
    narrow = {"x-b3-traceid": TRACE[16:], "x-b3-spanid": SPAN, "x-b3-sampled": "1"}
    assert app.answer(narrow)["x-b3-traceid"] == TRACE[16:]
    both = app.answer({**narrow, "traceparent": f"00-{'0' * 16}{TRACE[16:]}-{SPAN}-01"})
    assert both["x-b3-traceid"] == TRACE[16:]
    assert both["traceparent"].startswith(f"00-{'0' * 16}{TRACE[16:]}-")


def test_ids_are_padded_and_in_lower_case(app):
    """E2, E11: a 31-digit id makes Envoy drop all spans behind it."""
    outgoing = app.answer({"X-B3-TraceId": "A" * 31, "X-B3-SpanId": "B", "X-B3-Sampled": "1"})
    assert outgoing["x-b3-traceid"] == "0" + "a" * 31
    assert outgoing["x-b3-parentspanid"] == "b".zfill(16)


@pytest.mark.parametrize(
    ("malformed", "expected"),
    [
        pytest.param({"x-b3-traceid": "xyz", "x-b3-spanid": SPAN}, {"multi"}, id="E11 non-hex"),
        pytest.param({"x-b3-traceid": "0" * 32, "x-b3-spanid": SPAN}, {"multi"}, id="E13 zeros"),
        pytest.param({"x-b3-traceid": TRACE}, {"multi"}, id="E12 trace without span"),
        pytest.param({"b3": "garbage"}, {"multi"}, id="E11 b3, which Envoy up to 1.39 would leave stale"),
        pytest.param({"traceparent": "garbage"}, {"w3c"}, id="E33 garbage"),
        pytest.param({"traceparent": f"01-{TRACE}-{SPAN}-01extra"}, {"w3c"}, id="E33 future version"),
        pytest.param({"traceparent": f"00-{'0' * 32}-{SPAN}-01"}, {"w3c"}, id="E33 zero id"),
    ],
)
def test_what_is_malformed_is_healed_by_a_fresh_root_in_its_own_format(app, malformed, expected):
    """Rule 10: the next sidecar reads that format and no other."""
    outgoing = app.answer({**malformed, "x-request-id": REQUEST_ID})
    assert app.context.parent_id is None
    assert app.context.to_trace_id() != TRACE
    assert formats(outgoing) == expected
    assert told(outgoing) == {(app.context.to_trace_id(), app.context.to_span_id(), "1")}
    assert outgoing["x-request-id"] == REQUEST_ID
    assert app.counters.get("propagation_headers_malformed") == 1
    assert len(app.reporter.spans) == 1


def test_a_malformed_parent_and_an_empty_one_cost_only_themselves(app):
    """E11 (a dash), E14 (empty)."""
    for parent in ("-", ""):
        outgoing = app.answer({**MULTI, "x-b3-parentspanid": parent})
        assert outgoing["x-b3-traceid"] == TRACE


# -- the decision ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "incoming",
    [
        pytest.param({**MULTI, "x-b3-sampled": "0"}, id="E5, E19"),
        pytest.param({"b3": f"{TRACE}-{SPAN}-0"}, id="E5 single"),
        pytest.param({"traceparent": f"00-{TRACE}-{SPAN}-00"}, id="E31"),
        pytest.param({"x-b3-sampled": "0"}, id="E5 lone 0"),
        pytest.param({"b3": "0"}, id="E5 lone b3: 0"),
        pytest.param({**MULTI, "x-b3-sampled": "0", "x-request-id": REQUEST_ID}, id="E5: B3 beats the request id"),
    ],
)
def test_not_sampled_is_obeyed_and_said_aloud(app, incoming):
    outgoing = app.answer(incoming)
    assert app.reporter.spans == []
    assert told(outgoing) == {(app.context.to_trace_id(), app.context.to_span_id(), "0")}


@pytest.mark.parametrize(
    "incoming",
    [
        pytest.param({**MULTI, "x-b3-sampled": "true"}, id="E6"),
        pytest.param({"x-b3-sampled": "1"}, id="E22 lone 1"),
        pytest.param({"b3": "1"}, id="E22 lone b3: 1"),
    ],
)
def test_sampled_is_obeyed_whatever_the_sampler_says(incoming):
    app = Service(sampled=False)
    outgoing = app.answer(incoming)
    assert len(app.reporter.spans) == 1
    assert told(outgoing) == {(app.context.to_trace_id(), app.context.to_span_id(), "1")}


@pytest.mark.parametrize("sampled", [True, False])
@pytest.mark.parametrize("open_decision", [{}, {"x-b3-sampled": ""}, {"x-b3-sampled": "garbage"}])
def test_a_decision_left_open_is_taken_once_and_then_written(sampled, open_decision):
    """E7, E8: a sidecar that finds none decides anew."""
    app = Service(sampled=sampled)
    outgoing = app.answer({"x-b3-traceid": TRACE, "x-b3-spanid": SPAN, **open_decision})
    assert told(outgoing) == {(TRACE, app.context.to_span_id(), "1" if sampled else "0")}


def test_debug_wins_and_says_sampled_too(app):
    """E9, E10: Envoy does not read the flag."""
    flag = app.answer({**MULTI, "x-b3-sampled": "0", "x-b3-flags": "1"})
    assert (flag["x-b3-flags"], flag["x-b3-sampled"]) == ("1", "1")
    assert app.answer({"b3": f"{TRACE}-{SPAN}-d"})["b3"].split("-")[2] == "d"
    both = app.answer({**MULTI, "x-b3-flags": "1", **W3C})
    assert both["x-b3-flags"] == "1"
    assert both["traceparent"].endswith("-01")


# -- what travels along -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("incoming", [MULTI, SINGLE, W3C, {**MULTI, **W3C}, {}])
def test_the_request_id_and_other_tracers_headers_go_on_as_they_came(app, incoming):
    """Rule 1 and Istio's list, in every format; E20 for x-client-trace-id."""
    others = {name: f"Value of {name}/==" for name in OTHER_TRACERS}
    outgoing = app.answer({**incoming, **{k.title(): v for k, v in others.items()}, "X-Request-Id": REQUEST_ID})
    assert {name: outgoing[name] for name in others} == others
    assert outgoing["x-request-id"] == REQUEST_ID


@pytest.mark.parametrize("incoming", [MULTI, SINGLE, W3C, {**MULTI, **W3C}])
def test_a_list_of_pairs_gets_each_name_once(app, incoming):
    pairs = app.answer({**incoming, "x-request-id": REQUEST_ID, "sw8": "1-a", "baggage": "a=1"}, [])
    names = [name for name, _ in pairs]
    assert len(names) == len({*names})
    assert {"x-request-id", "sw8", "baggage"} <= {*names}


def test_the_request_id_is_never_made_here(app):
    assert "x-request-id" not in app.answer(MULTI)


def test_no_other_header_is_forwarded(app):
    """Nobody named these, and the last ones would break the next request."""
    foreign = ("end-user", "user-agent", "cookie", "authorization", "jwt", "host", "content-length", "x-forwarded-for")
    outgoing = app.answer({**MULTI, **dict.fromkeys(foreign, "x"), "x-envoy-force-trace": "1"})
    assert {*outgoing} == {*MULTI}


def test_empty_headers_are_never_written(app):
    """istio#11696."""
    empty = dict.fromkeys((*OTHER_TRACERS, "x-request-id", "tracestate", "baggage", "x-b3-flags"), "")
    assert {*app.answer({**MULTI, **empty})} == {*MULTI}


@pytest.mark.parametrize("value", ["a\r\nevil: 1", "ü", "x" * 9000, "\x00"])
def test_what_cannot_be_a_header_is_dropped_and_counted(app, value):
    outgoing = app.answer({**MULTI, "sw8": value, "x-request-id": value})
    assert {*outgoing} == {*MULTI}
    assert app.counters.get("propagation_headers_malformed") == 2


def test_a_request_id_that_is_no_uuid_is_forwarded_and_warned_of_once(app, caplog, monkeypatch):
    """E17."""
    monkeypatch.setattr(mesh, "limited_log", LimitedLog(interval=0))
    with caplog.at_level(logging.WARNING, "sls_tracing"):
        for _ in range(3):
            assert app.answer({**MULTI, "x-request-id": "order-17"})["x-request-id"] == "order-17"
        app.answer({**MULTI, "x-request-id": REQUEST_ID})
    assert [record.message for record in caplog.records if "no UUID" in record.message]
    assert len(caplog.records) == 1
    assert app.counters.get("propagation_request_ids_not_uuid") == 3


def test_a_context_without_ids_writes_what_it_has(app):
    """A bare forward, without a span of ours: nothing is added."""
    carrier = {}
    app.tracer.inject(app.tracer.extract(HTTP, {"x-request-id": REQUEST_ID, "sw8": "1-a"}), HTTP, carrier)
    assert carrier == {"x-request-id": REQUEST_ID, "sw8": "1-a"}
    assert app.tracer.extract(HTTP, {"host": "reviews"}) is None


# -- baggage --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("incoming", "expected"),
    [
        ({**MULTI, "baggage-user": "jo"}, {"baggage-user"}),
        ({**W3C, "baggage": "user=jo"}, {"baggage"}),
        ({**MULTI, "baggage": "user=jo"}, {"baggage-user", "baggage"}),
        ({"baggage": "user=jo"}, {"baggage-user", "baggage"}),
        ({**MULTI, **W3C, "baggage": "user=jo"}, {"baggage-user", "baggage"}),
        ({**MULTI, "traceparent": f"00-{OTHER_TRACE}-{OTHER_SPAN}-01", "baggage-user": "jo"}, {"baggage-user"}),
    ],
)
def test_baggage_goes_out_as_it_came_and_as_the_format_writes_it(app, incoming, expected):
    outgoing = app.answer(incoming)
    assert app.context.baggage == {"user": "jo"}
    assert {name for name in outgoing if name.startswith("baggage")} == expected
    assert len(told(outgoing)) == 1


# -- the application's own headers ------------------------------------------------------------------------------------------

IDENTITY = {"end-user": "jason", "authorization": "Bearer token", "cookie": "session=1"}


@pytest.fixture
def bookinfo():
    return Service(MeshPropagator(forward=["End-User", "authorization", "cookie"]))


@pytest.mark.parametrize("host", ["reviews", "details.default.svc.cluster.local", "127.0.0.1"])
def test_headers_that_are_named_go_to_hosts_of_the_mesh(bookinfo, host):
    outgoing = bookinfo.answer({**MULTI, **IDENTITY}, OutgoingHeaders(host))
    assert outgoing == {**outgoing, **IDENTITY}


@pytest.mark.parametrize("host", ["www.googleapis.com", "reviews.evil.com", None])
def test_headers_that_are_named_go_nowhere_else(bookinfo, host):
    """Nor where the destination is not known."""
    assert {*bookinfo.answer({**MULTI, **IDENTITY}, OutgoingHeaders(host))} == {*MULTI}
    assert {*bookinfo.answer({**MULTI, **IDENTITY})} == {*MULTI}


def test_the_hosts_are_a_setting():
    app = Service(MeshPropagator(forward="end-user", forward_to=["*.example.com"]))
    assert app.answer({**MULTI, **IDENTITY}, OutgoingHeaders("a.example.com"))["end-user"] == "jason"
    assert "end-user" not in app.answer({**MULTI, **IDENTITY}, OutgoingHeaders("reviews"))
    everywhere = Service(MeshPropagator(forward="end-user", forward_to="*"))
    assert everywhere.answer({**MULTI, **IDENTITY})["end-user"] == "jason"


def test_a_composite_hands_the_destination_on():
    propagator = propagators_for("mesh,jaeger", mesh={"forward": ["end-user"]})[HTTP]
    app = Service(propagator)
    assert app.answer({**MULTI, **IDENTITY}, OutgoingHeaders("reviews"))["end-user"] == "jason"
    outgoing = app.answer({**MULTI, **IDENTITY}, OutgoingHeaders("example.com"))
    assert {*outgoing} == {*MULTI, "uber-trace-id"}


@pytest.mark.parametrize(
    "name",
    ["host", "Content-Length", "connection", "x-forwarded-for", "x-b3-traceid", "b3", "traceparent", "a b", "", 5],
)
def test_headers_that_must_not_be_copied_are_refused(name):
    with pytest.raises(ConfigurationError, match="forward"):
        MeshPropagator(forward=[name])


# -- settings ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [("b3",), "b3", ("b3", "b3"), ("b3", "jaeger"), ()])
def test_an_order_that_is_none_is_refused(order):
    with pytest.raises(ConfigurationError, match="order"):
        MeshPropagator(order)


def test_a_root_format_that_is_none_is_refused():
    with pytest.raises(ConfigurationError, match="b3-single"):
        MeshPropagator(root="jaeger")


@pytest.mark.parametrize("names", ["mesh,b3", "mesh,w3c", "mesh,mesh-w3c", "b3-single,mesh-w3c"])
def test_it_stands_alone_or_with_jaeger(names):
    with pytest.raises(ConfigurationError, match="name it alone"):
        propagators_for(names)
    assert propagators_for("mesh-w3c")[HTTP].order == ("w3c", "b3")
    assert propagators_for("mesh-w3c")[HTTP].root == "w3c"


# -- everything at once -------------------------------------------------------------------------------------------------------

_hex = st.sampled_from([TRACE, OTHER_TRACE, TRACE[16:], SPAN, OTHER_SPAN, PARENT, "0" * 16, "xyz", "", "-", "f" * 31])
_values = st.one_of(
    _hex,
    st.sampled_from(["0", "1", "d", "true", "garbage"]),
    st.builds(
        "-".join, st.lists(st.one_of(_hex, st.sampled_from(["0", "1", "d", "00", "01"])), min_size=1, max_size=5)
    ),
    st.text(max_size=20),
)
_headers = st.dictionaries(
    st.sampled_from([*sorted(B3_NAMES), "traceparent", "tracestate", "x-request-id", "baggage", "baggage-a", "sw8"]),
    _values,
)


@given(_headers, st.booleans(), st.sampled_from([("b3", "w3c"), ("w3c", "b3")]))
def test_whatever_comes_in_what_goes_out_is_coherent_explicit_and_not_empty(incoming, sampled, order):
    app = Service(MeshPropagator(order, counters=Counters()), sampled)
    outgoing = app.answer(incoming)
    assert told(outgoing) == {
        (app.context.to_trace_id().zfill(32), app.context.to_span_id(), "1" if app.context.sampled else "0")
    }
    assert not {"multi", "single"} <= formats(outgoing)
    assert all(value.isprintable() and value.isascii() for value in outgoing.values())
    assert "" not in {value for name, value in outgoing.items() if not name.startswith("baggage-")}
    again = app.tracer.extract(HTTP, outgoing)
    assert (again.trace_id, again.span_id, again.sampled) == (
        app.context.trace_id,
        app.context.span_id,
        app.context.sampled,
    )
    assert formats(Service(MeshPropagator(order)).answer(outgoing)) == formats(outgoing), "a chain keeps its format"


def test_the_formats_that_came_are_no_header_and_no_part_of_the_binary_format(app):
    app.answer(W3C)
    carrier = bytearray()
    app.tracer.inject(app.context, "binary", carrier)
    assert app.tracer.extract("binary", carrier).carried == {}
    assert not [name for name in app.answer(W3C) if not name.replace("-", "").isalnum()]
    assert isinstance(app.context, SpanContext)
