"""Jaeger's headers: its documentation's rules, jaeger-client as oracle in both directions, and what the other clients write."""

from urllib.parse import quote

import opentracing
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jaeger_client.codecs import TextCodec
from jaeger_client.span_context import SpanContext as TheirContext

from sls_tracing import ConstSampler, InMemoryReporter, SpanContext, Tracer
from sls_tracing.exceptions import ConfigurationError
from sls_tracing.metrics import Counters
from sls_tracing.propagators import JaegerPropagator

TRACE_128, TRACE_64, SPAN, PARENT = (
    "463ac35c9f6413ad48485a3953bb6124",
    "48485a3953bb6124",
    "a2fb4a1d1a96d312",
    "0020000000000001",
)


@pytest.fixture
def counters():
    return Counters()


@pytest.fixture
def jaeger(counters):
    return JaegerPropagator(counters=counters)


def injected(context, **settings):
    carrier = {}
    JaegerPropagator(**settings).inject(context, carrier)
    return carrier


# -- reading ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flags", "sampled", "debug", "firehose"),
    [
        ("0", False, False, False),
        ("1", True, False, False),
        ("3", True, True, False),
        ("8", False, False, True),
        ("9", True, False, True),
        ("b", True, True, True),
        ("01", True, False, False),
        ("2", True, True, False),
        ("F5", True, False, False),
    ],
)
def test_flags_are_hex_bits_and_unsampled_is_a_decision(jaeger, flags, sampled, debug, firehose):
    """1 sampled, 2 debug, 8 firehose; debug alone still is a wish to see the trace; unknown bits are ignored."""
    context = jaeger.extract({"uber-trace-id": f"{TRACE_128}:{SPAN}:0:{flags}"})
    assert (context.sampled, context.debug, context.firehose) == (sampled, debug, firehose)


@pytest.mark.parametrize(
    ("trace", "wide"),
    [("1", False), (TRACE_64, False), (TRACE_128[1:], True), (TRACE_128, True), (TRACE_128.upper(), True)],
)
def test_short_and_upper_case_ids_are_read_and_written_padded(jaeger, trace, wide):
    """jaeger-client strips zeros; the documentation: receivers accept, senders write 16 or 32 digits."""
    context = jaeger.extract({"uber-trace-id": f"{trace}:F:AB:1"})
    assert (context.trace_id, context.span_id, context.parent_id) == (int(trace, 16), 15, 171)
    assert context.wide is wide
    width = 32 if wide else 16
    assert injected(context)["uber-trace-id"] == f"{trace.lower():0>{width}}:{15:016x}:{171:016x}:1"


def test_a_root_is_written_with_parent_zero_and_read_with_none(jaeger):
    header = injected(SpanContext(1, 2))["uber-trace-id"]
    assert header.split(":")[2] == "0"
    assert jaeger.extract({"uber-trace-id": header}).parent_id is None


@pytest.mark.parametrize("colon", [":", "%3A", "%3a"])
def test_encoded_colons_are_read(jaeger, colon):
    assert jaeger.extract({"Uber-Trace-Id": colon.join((TRACE_128, SPAN, PARENT, "1"))}).parent_id == int(PARENT, 16)


@pytest.mark.parametrize(
    "bad",
    [
        "", "garbage", "1:2:3", "1:2:3:1:5", ":2:0:1", "1::0:1", "1:2::1", "1:2:0:", "0:2:0:1", "1:0:0:1", "0x1:2:0:1", "1_0:2:0:1",
        "+1:2:0:1", "-1:2:0:1", "1:2:-1:1", " 1:2 :0:1", "1:2:0:100", "1:2:0:-1", "1:2:0:g", "\uff11:2:0:1", "\u0661:2:0:1",
        f"1{'0' * 32}:2:0:1", f"1:1{'0' * 16}:0:1", f"1:2:1{'0' * 16}:1", "1:2:0:1\x00", "%31:2:0:1", "1:2:0:1" * 100_000,
    ],
)  # fmt: skip
def test_a_malformed_trace_id_is_dropped_and_counted(jaeger, counters, bad):
    """Complaints 21 and 22: 65-bit ids, flags out of range and what int(x, 16) lets through."""
    assert jaeger.extract({"uber-trace-id": bad}) is None
    assert counters.get("propagation_headers_malformed") == 1


def test_a_malformed_trace_id_leaves_baggage_and_debug_id_standing(jaeger):
    context = jaeger.extract({"uber-trace-id": "x", "uberctx-a": "1", "jaeger-debug-id": "me"})
    assert (context.trace_id, context.debug, context.baggage) == (None, True, {"a": "1"})


def test_nothing_of_ours_is_no_context(jaeger, counters):
    assert jaeger.extract({"host": "details", "uberctx": "x", "traceparent": f"00-{TRACE_128}-{SPAN}-01"}) is None
    assert counters.snapshot() == {}


@pytest.mark.parametrize(
    ("sent", "meant"),
    [("a%20b", "a b"), ("a+b", "a b"), ("a%2Bb", "a+b"), ("%C3%A9", "é"), ("%ff", "\ufffd"), ("50%", "50%")],
)
def test_baggage_is_decoded_as_every_client_encodes_it(jaeger, sent, meant):
    """Go and Java send a space as '+' and jaeger-client read it as a plus; all of them send a plus as %2B."""
    assert jaeger.extract({"uberctx-Key": sent}).baggage == {"key": meant}


def test_baggage_without_a_trace_leaves_the_decision_to_the_sampler(jaeger):
    """A defect of jaeger-client: such a trace was never sampled."""
    context = jaeger.extract({"uberctx-user": "bob"})
    assert (context.trace_id, context.sampled, context.baggage) == (None, None, {"user": "bob"})
    tracer = Tracer("app", sampler=ConstSampler(True), reporter=InMemoryReporter(), propagation="jaeger")
    span = tracer.start_span("server", child_of=context)
    assert (span.context.sampled, span.get_baggage_item("user")) == (True, "bob")


@pytest.mark.parametrize(
    ("header", "baggage"),
    [
        ("k1=v1,k2=v2", {"k1": "v1", "k2": "v2"}),
        (" k1 = v1 , K2=a%2Cb , ", {"k1": "v1", "K2": "a,b"}),
        ("k1=a+b", {"k1": "a+b"}),
        ("k1,k2=v2,k3=a=b,=v4", {"k2": "v2"}),
    ],
)
@pytest.mark.parametrize("trace", [{}, {"uber-trace-id": f"{TRACE_128}:{SPAN}:0:1"}])
def test_the_jaeger_baggage_header_adds_baggage_with_and_without_a_trace(jaeger, header, baggage, trace):
    context = jaeger.extract({"jaeger-baggage": header, **trace})
    assert context.baggage == baggage
    assert context.has_ids == bool(trace)


def test_repeated_jaeger_baggage_headers_are_one_list_and_the_traces_own_items_win(jaeger):
    headers = [("jaeger-baggage", "a=1"), ("jaeger-baggage", "b=2,c=3"), ("uberctx-c", "own")]
    assert jaeger.extract(headers).baggage == {"a": "1", "b": "2", "c": "own"}


def test_a_debug_id_without_a_trace_asks_for_a_debug_trace(jaeger):
    context = jaeger.extract({"Jaeger-Debug-Id": "case%201"})
    assert (context.trace_id, context.sampled, context.debug) == (None, True, True)
    assert context.carried == {"jaeger-debug-id": "case 1"}


def test_a_debug_id_has_no_effect_on_a_trace_that_is_under_way(jaeger):
    context = jaeger.extract({"jaeger-debug-id": "case 1", "uber-trace-id": f"{TRACE_128}:{SPAN}:0:0"})
    assert (context.sampled, context.debug, context.carried) == (False, False, {})


def test_a_debug_id_is_forwarded_only_while_there_is_no_trace():
    """Below a span of ours the ids and the debug flag tell it; the header would have no effect any more."""
    context = JaegerPropagator().extract({"jaeger-debug-id": "case 1\u00e9"})
    assert injected(context) == {"jaeger-debug-id": "case%201%C3%A9"}
    span = Tracer("app", reporter=InMemoryReporter(), propagation="jaeger").start_span("server", child_of=context)
    headers = injected(span.context)
    assert [*headers] == ["uber-trace-id"]
    assert headers["uber-trace-id"].endswith(":3")


def test_a_debug_id_of_absurd_length_is_dropped(jaeger, counters):
    assert jaeger.extract({"jaeger-debug-id": "x" * 1025}) is None
    assert counters.get("propagation_headers_malformed") == 1


# -- writing ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("context", "flags"),
    [
        (SpanContext(1, 2), "1"),
        (SpanContext(1, 2, sampled=False), "0"),
        (SpanContext(1, 2, sampled=None), "0"),
        (SpanContext(1, 2, debug=True), "3"),
        (SpanContext(1, 2, sampled=False, firehose=True), "8"),
        (SpanContext(1, 2, debug=True, firehose=True), "b"),
    ],
)
def test_flags_are_written_as_hex(context, flags):
    assert injected(context)["uber-trace-id"].split(":")[3] == flags


def test_only_jaegers_headers_and_the_request_id_are_written():
    carried = {"x-request-id": "9f7d", "tracestate": "foo=1", "jaeger-debug-id": "x"}
    headers = injected(SpanContext(1, 2, carried=carried, baggage={"a": "1"}))
    assert {*headers} == {"uber-trace-id", "uberctx-a", "x-request-id"}


def test_baggage_keys_of_token_characters_are_written_as_every_client_writes_them():
    assert {*injected(SpanContext(1, 2, baggage={"a.b_c~!#": "1", "k/ä%": "2"}))} == {
        "uber-trace-id", "uberctx-a.b_c~!#", "uberctx-k%2F%C3%A4%25",
    }  # fmt: skip


def test_header_names_are_configurable_and_normalised_as_jaeger_client_does():
    names = {
        "trace_id_header": "X_Trace",
        "baggage_prefix": "Ctx_",
        "debug_id_header": "x-dbg",
        "baggage_header": "x-bag",
    }
    headers = injected(SpanContext(1, 2, baggage={"a": "1"}), **names)
    assert {*headers} == {"x-trace", "ctx-a"}
    ours = JaegerPropagator(**names)
    assert ours.extract(headers).baggage == {"a": "1"}
    assert ours.extract({"x-dbg": "1", "x-bag": "b=2"}) == SpanContext(
        debug=True, baggage={"b": "2"}, carried={"jaeger-debug-id": "1"}
    )


@pytest.mark.parametrize(
    "names",
    [
        {"trace_id_header": ""},
        {"trace_id_header": "a b"},
        {"baggage_prefix": None},
        {"debug_id_header": "x\r\ny"},
        {"debug_id_header": "uber-trace-id"},
        {"baggage_prefix": "jaeger-"},
    ],
)
def test_unusable_header_names_are_refused_at_start(names):
    with pytest.raises(ConfigurationError):
        JaegerPropagator(**names)


def test_text_maps_that_are_no_http_headers_hold_plain_baggage():
    """Jaeger's clients encode for HTTP only; a line break that would end up in a header is not written."""
    plain, counters = {}, Counters()
    propagator = JaegerPropagator(url_encoding=False, counters=counters)
    propagator.inject(SpanContext(1, 2, baggage={"a": "50% +é", "b": "x\r\nset-cookie: y", "c\n": "1"}), plain)
    assert {name: value for name, value in plain.items() if name.startswith("uberctx-")} == {"uberctx-a": "50% +é"}
    assert propagator.extract(plain).baggage == {"a": "50% +é"}
    assert counters.get("propagation_baggage_dropped") == 2


def test_the_tracer_uses_plain_baggage_for_text_maps_and_encoded_for_http():
    tracer = Tracer("app", reporter=InMemoryReporter(), propagation="jaeger")
    context = SpanContext(1, 2, baggage={"a": "x y"})
    text, http = {}, {}
    tracer.inject(context, opentracing.Format.TEXT_MAP, text)
    tracer.inject(context, opentracing.Format.HTTP_HEADERS, http)
    assert (text["uberctx-a"], http["uberctx-a"]) == ("x y", "x%20y")


# -- jaeger-client as oracle --------------------------------------------------------------------------------------------

ids = st.integers(1, 2**64 - 1)
keys = st.from_regex(r"[a-z0-9_.~-]{1,12}", fullmatch=True)
texts = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zl", "Zp"]))
# White space around a header's value is HTTP's, and gone when it arrives.
baggages = st.dictionaries(keys, texts.filter(lambda text: text == text.strip()), max_size=4)
contexts = st.builds(
    SpanContext,
    st.integers(1, 2**128 - 1),
    ids,
    st.none() | ids,
    st.booleans(),
    baggage=baggages,
    firehose=st.booleans(),
)


def flags_of(context):
    return (3 if context.debug else int(context.sampled)) | (8 if context.firehose else 0)


@given(contexts, st.booleans(), st.booleans())
def test_jaeger_client_reads_what_we_write(context, debug, url_encoding):
    context = context._replace(sampled=context.sampled or debug, debug=debug, wide=context.trace_id >> 64 > 0)
    theirs = TextCodec(url_encoding=url_encoding).extract(injected(context, url_encoding=url_encoding))
    assert (theirs.trace_id, theirs.span_id, theirs.parent_id) == context[:3]
    assert theirs.flags == flags_of(context)
    assert theirs.baggage == context.baggage


@given(contexts, st.booleans(), st.booleans())
def test_we_read_what_jaeger_client_writes(context, debug, url_encoding):
    """Ids come without padding, so the width is that of the digits."""
    context = context._replace(sampled=context.sampled or debug, debug=debug, wide=context.trace_id >> 64 > 0)
    carrier = {}
    theirs = TheirContext(*context[:3], flags_of(context), context.baggage)
    TextCodec(url_encoding=url_encoding).inject(theirs, carrier)
    assert JaegerPropagator(url_encoding=url_encoding).extract(carrier) == context


@given(st.text("0123456789abcdefgxABF:_+- ", max_size=75))
def test_whatever_we_accept_jaeger_client_reads_alike(header):
    """We accept less than it (no 0x, _, +, spaces, no overlong ids), and never read it differently."""
    context = JaegerPropagator().extract({"uber-trace-id": header})
    if context is not None:
        theirs = TextCodec().extract({"uber-trace-id": header})
        assert (theirs.trace_id, theirs.span_id, theirs.parent_id) == context[:3]
        assert bool(theirs.flags & 3) == context.sampled


@given(st.dictionaries(keys, texts.filter(lambda text: text == text.strip()), min_size=1, max_size=4))
def test_we_read_the_form_encoding_of_go_and_java(baggage):
    def form(text):
        return quote(text, safe="*-._ ").replace(" ", "+")

    headers = {"uberctx-" + key: form(value) for key, value in baggage.items()}
    assert JaegerPropagator().extract(headers).baggage == baggage
