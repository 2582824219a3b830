"""Forward mode: what came in goes out, and nothing is made of it. Follow mode: no trace begins here."""

import opentracing
import pytest
from opentracing.harness.api_check import APICompatibilityCheckMixin

from sls_tracing import Config, ConstSampler, InMemoryReporter, Span, Tracer, init_tracer
from sls_tracing.forwarding import ForwardingSpan, ForwardingTracer
from sls_tracing.rules import TracingRules
from sls_tracing.testing import FakeClock

HTTP = opentracing.Format.HTTP_HEADERS
TRACE, SPAN, PARENT = "463ac35c9f6413ad48485a3953bb6124", "a2fb4a1d1a96d312", "0020000000000001"
REQUEST_ID = {"x-request-id": "9f7d8c00-1111-9111-8111-123456789012"}
MULTI = {"x-b3-traceid": TRACE, "x-b3-spanid": SPAN, "x-b3-parentspanid": PARENT, "x-b3-sampled": "1"}

INCOMING = [
    pytest.param({**MULTI, **REQUEST_ID, "sw8": "1-a"}, id="B3"),
    pytest.param({**MULTI, "x-b3-sampled": "0"}, id="not sampled"),
    pytest.param({"x-b3-traceid": TRACE[16:], "x-b3-spanid": SPAN}, id="64 bits, undecided"),
    pytest.param({**MULTI, "x-b3-flags": "1"}, id="debug"),
    pytest.param({"b3": f"{TRACE}-{SPAN}-d-{PARENT}"}, id="single"),
    pytest.param({"b3": "0", **REQUEST_ID}, id="a decision alone"),
    pytest.param({"traceparent": f"00-{TRACE}-{SPAN}-03", "tracestate": "a=1", "baggage": "k=v"}, id="W3C"),
    pytest.param({**MULTI, "traceparent": f"00-{TRACE}-{SPAN}-01"}, id="both"),
    pytest.param(REQUEST_ID, id="request id"),
    pytest.param({}, id="nothing"),
]


def through(tracer, incoming):
    """Answer a request, with a client's call in it, as instrumentation does; return what goes out."""
    outgoing = {}
    parent = tracer.extract(HTTP, {**incoming, "host": "reviews", "user-agent": "x", "authorization": "secret"})
    with tracer.start_active_span("server", child_of=parent, ignore_active_span=True) as server:
        server.span.set_tag("http.method", "GET")
        with tracer.start_span("client") as client:
            tracer.inject(client.context, HTTP, outgoing)
    return outgoing


# -- forward --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("incoming", INCOMING)
def test_headers_go_out_as_they_came(incoming):
    """Rule 6: the same ids, since nobody would report ours."""
    assert through(ForwardingTracer("svc"), incoming) == incoming


def test_what_is_stale_or_malformed_does_not_go_on():
    """The whole point of reading before writing."""
    tracer = ForwardingTracer("svc")
    assert through(tracer, {**MULTI, "b3": f"{TRACE}-{PARENT}-1"}) == MULTI
    assert through(tracer, {"x-b3-traceid": "garbage", "x-b3-spanid": SPAN, **REQUEST_ID}) == REQUEST_ID


class TestOpenTracing(APICompatibilityCheckMixin):
    """The API works on it. Without a caller's context all spans are the same nothing: parents are told by test_parents_… below."""

    def tracer(self):
        return ForwardingTracer("harness")

    def check_scope_manager(self):
        return False  # it would ask whose child a span is

    def is_parent(self, parent, span):
        return parent is not None and not span.context.has_ids

    def test_start_active_span_ignore_active_span(self):
        test_parents_are_chosen_as_everywhere()

    test_start_span_propagation_ignore_active_span = test_start_active_span_ignore_active_span

    def test_text_propagation(self):
        """Nothing came, so nothing is written and nothing can be read."""
        for form, carrier in ((opentracing.Format.TEXT_MAP, {}), (opentracing.Format.BINARY, bytearray())):
            self.tracer().inject(self.tracer().start_span("Bender").context, form, carrier)
            assert not carrier
            assert self.tracer().extract(form, carrier) is None

    test_binary_propagation = test_text_propagation


def test_every_call_is_chained_and_without_effect():
    tracer = ForwardingTracer("svc")
    span = tracer.start_span("op", tags={"sampling.priority": 1}, start_time=5)
    assert isinstance(span, Span)
    assert span.set_operation_name("x").set_tag("a", 1).set_tag("sampling.priority", 1).log_kv({"event": "e"}) is span
    assert span.log_event("x").log(event="y") is span
    with pytest.raises(KeyError), span:
        raise KeyError
    span.finish()
    span.finish(5)
    assert (span.operation_name, dict(span.tags), list(span.logs), span.finish_time) == ("", {}, [], None)
    assert span.context.trace_id is None
    assert not span.is_recording
    assert "ForwardingSpan" in repr(span)


def test_parents_are_chosen_as_everywhere():
    """child_of, then references, then the active span, which can be ignored; nonsense is none."""
    tracer = ForwardingTracer("svc")
    first = tracer.extract(HTTP, MULTI)
    second = tracer.extract(HTTP, {**MULTI, "x-b3-spanid": PARENT})
    with tracer.start_active_span("active", child_of=first):
        assert tracer.start_span("a").context == first
        assert tracer.start_span("b", child_of=second).context == second
        assert tracer.start_span("c", references=opentracing.follows_from(second)).context == second
        assert tracer.start_span("d", ignore_active_span=True).context.trace_id is None
        assert tracer.start_span("e", child_of=opentracing.Tracer().start_span("x")).context == first
    assert tracer.active_span is None


def test_baggage_goes_down_and_not_up():
    tracer = ForwardingTracer("svc")
    parent = tracer.start_span("parent", child_of=tracer.extract(HTTP, MULTI))
    child = tracer.start_span("child", child_of=parent).set_baggage_item("user", "jo")
    outgoing = {}
    tracer.inject(tracer.start_span("grandchild", child_of=child), HTTP, outgoing)
    assert outgoing == {**MULTI, "baggage-user": "jo"}
    assert parent.get_baggage_item("user") is None


@pytest.mark.parametrize("environ", [{"SLS_TRACING_MODE": "forward"}, {"JAEGER_DISABLED": "true"}])
def test_the_environment_asks_for_it(environ):
    tracer = init_tracer("svc", environ=environ)
    assert isinstance(tracer, ForwardingTracer)
    assert isinstance(tracer.start_span("op"), ForwardingSpan)
    assert through(tracer, {**MULTI, **REQUEST_ID}) == {**MULTI, **REQUEST_ID}
    assert tracer.flush()
    assert tracer.close()


def test_the_dictionary_asks_for_it():
    config = Config({"mode": "forward", "propagation": "mesh"}, service_name="svc", environ={})
    assert isinstance(config.new_tracer(), ForwardingTracer)


# -- follow ---------------------------------------------------------------------------------------------------------------


@pytest.fixture
def following():
    return Tracer(
        "svc",
        InMemoryReporter(),
        ConstSampler(True),
        propagation="mesh",
        rules=TracingRules(follow_mesh=True),
        clock=FakeClock(),
    )


@pytest.mark.parametrize("incoming", [{}, REQUEST_ID, {**REQUEST_ID, "sw8": "1-a", "baggage-user": "jo"}])
def test_without_a_context_no_trace_begins(following, incoming):
    """Nothing but what came goes out, not even a decision: the sidecar decides."""
    assert through(following, incoming) == incoming
    assert following.reporter.spans == []


def test_a_malformed_context_is_none(following):
    assert through(following, {"x-b3-traceid": "garbage", "x-b3-spanid": SPAN, **REQUEST_ID}) == REQUEST_ID


@pytest.mark.parametrize("sampled", ["0", "1"])
def test_with_one_it_is_a_tracer_as_any_other(following, sampled):
    outgoing = through(following, {**MULTI, "x-b3-sampled": sampled})
    assert outgoing["x-b3-traceid"] == TRACE
    assert outgoing["x-b3-spanid"] != SPAN
    assert outgoing["x-b3-sampled"] == sampled
    assert len(following.reporter.spans) == 2 * int(sampled)


def test_an_open_decision_with_ids_is_the_samplers(following):
    assert through(following, {"x-b3-traceid": TRACE, "x-b3-spanid": SPAN})["x-b3-sampled"] == "1"


@pytest.mark.parametrize("sampled", ["0", "1"])
def test_a_decision_alone_is_one_of_the_mesh(following, sampled):
    """E5 and E22: somebody has decided, so the trace begins with that."""
    outgoing = through(following, {"x-b3-sampled": sampled})
    assert outgoing["x-b3-sampled"] == sampled
    assert len(outgoing["x-b3-traceid"]) == 32


def test_a_span_without_ids_cannot_be_forced(following):
    """There would be no ids to report it under."""
    span = following.start_span("op", tags={"sampling.priority": 1}).set_tag("sampling.priority", 1)
    span.log_kv({"event": "x"}).set_baggage_item("user", "jo").finish()
    assert following.reporter.spans == []
    carrier = {}
    following.inject(span, HTTP, carrier)
    assert carrier == {"baggage-user": "jo"}
    assert span.context.to_trace_id() == ""


def test_the_environment_asks_for_following():
    tracer = init_tracer("svc", environ={"SLS_TRACING_MODE": "follow"})
    assert tracer.rules.follow_mesh
    assert through(tracer, REQUEST_ID) == REQUEST_ID
    tracer.close(timeout=0.1)


def test_a_mode_that_is_none_is_refused():
    with pytest.raises(ValueError, match="trace, forward, follow"):
        init_tracer("svc", environ={"SLS_TRACING_MODE": "off"})
