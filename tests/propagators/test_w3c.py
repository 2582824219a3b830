"""W3C Trace Context level 2 and 1, W3C Baggage; OpenTelemetry's propagators as oracle where both should agree."""

import opentracing
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import baggage as otel_baggage
from opentelemetry import trace as otel_trace
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import Context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from sls_tracing import ConstSampler, InMemoryReporter, SpanContext, Tracer
from sls_tracing.exceptions import ConfigurationError
from sls_tracing.metrics import Counters
from sls_tracing.propagators import W3CPropagator
from sls_tracing.propagators.baggage import MAX_BYTES, MAX_ITEMS

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = f"00-{TRACE}-{SPAN}-01"


@pytest.fixture
def counters():
    return Counters()


@pytest.fixture
def w3c(counters):
    return W3CPropagator(counters=counters)


def injected(context, level=2):
    carrier = {}
    W3CPropagator(level).inject(context, carrier)
    return carrier


def tracestate(*headers, level=1):
    """What goes on of these ``tracestate`` headers."""
    context = W3CPropagator(tracestate_level=level).extract(
        [("traceparent", PARENT), *(("tracestate", each) for each in headers)]
    )
    assert context.trace_id == int(TRACE, 16)
    return injected(context).get("tracestate")


# -- traceparent --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flags", "sampled", "random"),
    [
        ("00", False, False),
        ("01", True, False),
        ("02", False, True),
        ("03", True, True),
        ("ff", True, True),
        ("fc", False, False),
    ],
)
def test_flags_are_bits_and_unsampled_is_a_decision(w3c, flags, sampled, random):
    context = w3c.extract({"traceparent": f"00-{TRACE}-{SPAN}-{flags}"})
    assert (context.trace_id, context.span_id, context.parent_id) == (int(TRACE, 16), int(SPAN, 16), None)
    assert (context.sampled, context.random, context.debug, context.wide) == (sampled, random, False, True)
    assert injected(context)["traceparent"] == f"00-{TRACE}-{SPAN}-{int(flags, 16) & 3:02x}"


def test_level_1_knows_no_random_flag():
    context = W3CPropagator(1).extract({"traceparent": f"00-{TRACE}-{SPAN}-03"})
    assert context.random is False
    assert injected(SpanContext(1, 2, random=True), level=1)["traceparent"].endswith("-01")


@pytest.mark.parametrize("version", ["01", "cc", "fe"])
@pytest.mark.parametrize("more", ["", "-", "-what-the-future-will-be-like"])
def test_a_higher_version_is_read_as_far_as_known_and_written_as_00(w3c, version, more):
    context = w3c.extract({"traceparent": f"{version}-{TRACE}-{SPAN}-01{more}"})
    assert injected(context)["traceparent"] == PARENT


@pytest.mark.parametrize(
    "bad",
    [
        "", "garbage", f"ff-{TRACE}-{SPAN}-01", f"{PARENT}-more", f"{PARENT}-", f"{PARENT}.", f"cc-{TRACE}-{SPAN}-01.more", f"cc-{TRACE}-{SPAN}-011",
        f"00-{'0' * 32}-{SPAN}-01", f"00-{TRACE}-{'0' * 16}-01", f"00-{TRACE.upper()}-{SPAN}-01", f"00-{TRACE}-{SPAN}-0A", f"00-{TRACE[1:]}-{SPAN}-01",
        f"00-{TRACE}0-{SPAN}-01", f"00-{TRACE}-{SPAN}0-01", f"00-{TRACE}-{SPAN[1:]}-01", f"00-{TRACE}-{SPAN}-1", f"00-{TRACE}-{SPAN}-001", f"0-{TRACE}-{SPAN}-01",
        f"{PARENT},{PARENT}", f"cc-{TRACE}-{SPAN}-01-x,{PARENT}", f"00-0x{TRACE[2:]}-{SPAN}-01", f"00-{TRACE[1:]}\uff11-{SPAN}-01", PARENT * 100_000,
        f"cc-{TRACE}-{SPAN}-01-" + "x" * 10_000,
    ],
)  # fmt: skip
def test_a_malformed_traceparent_is_dropped_and_counted_and_its_tracestate_with_it(w3c, counters, bad):
    """Upper case too, which Envoy accepts (E34): "Vendors MUST ignore the traceparent"."""
    assert w3c.extract({"traceparent": bad, "tracestate": "foo=1"}) is None
    assert counters.get("propagation_headers_malformed") == 1


@pytest.mark.parametrize("header", [[PARENT, PARENT], [PARENT, "garbage"]])
def test_a_repeated_traceparent_is_malformed(w3c, header):
    """Nobody can say which of them is meant; in whatever shape the carrier holds the two."""
    assert w3c.extract([("traceparent", each) for each in header]) is None
    assert w3c.extract({"traceparent": header}) is None
    assert w3c.extract({"traceparent": ",".join(header)}) is None


@pytest.mark.parametrize("header", [f" {PARENT}", f"\t{PARENT} \t"])
def test_white_space_around_a_header_is_not_part_of_it(w3c, header):
    assert w3c.extract({"TraceParent": header}).span_id == int(SPAN, 16)


def test_narrow_trace_ids_are_padded():
    assert injected(SpanContext(0xAB, 0xC, wide=False))["traceparent"] == f"00-{0xAB:032x}-{0xC:016x}-01"


@pytest.mark.parametrize(
    ("context", "flags"),
    [
        (SpanContext(1, 2, debug=True), "01"),
        (SpanContext(1, 2, sampled=None), "00"),
        (SpanContext(1, 2, sampled=False, random=True), "02"),
        (SpanContext(1, 2, firehose=True), "01"),
    ],
)
def test_what_the_format_has_no_word_for_is_not_written(context, flags):
    assert injected(context)["traceparent"][-2:] == flags


def test_a_context_without_ids_writes_no_traceparent():
    carried = {"x-request-id": "9f7d", "tracestate": "foo=1", "jaeger-debug-id": "x"}
    headers = injected(SpanContext(sampled=True, carried=carried, baggage={"a": "1"}))
    assert headers == {"x-request-id": "9f7d", "baggage": "a=1"}


def test_a_root_made_here_has_a_random_trace_id_and_says_so():
    span = Tracer("app", reporter=InMemoryReporter(), propagation="w3c").start_span("root")
    assert injected(span.context)["traceparent"][-2:] == "03"


def test_the_random_flag_goes_on_unchanged_below_a_parent():
    tracer = Tracer("app", reporter=InMemoryReporter(), propagation="w3c")
    for flags in ("01", "03"):
        parent = tracer.extract(opentracing.Format.HTTP_HEADERS, {"traceparent": f"00-{TRACE}-{SPAN}-{flags}"})
        assert injected(tracer.start_span("server", child_of=parent).context)["traceparent"][-2:] == flags


@pytest.mark.parametrize(("flags", "sampler"), [("00", True), ("01", False)])
def test_the_decision_is_obeyed_and_tracestate_reaches_the_next_service(flags, sampler):
    """E31: 00 is respected whatever the sampler would say."""
    tracer = Tracer("app", sampler=ConstSampler(sampler), reporter=InMemoryReporter(), propagation="w3c")
    incoming = {"traceparent": f"00-{TRACE}-{SPAN}-{flags}", "tracestate": "rojo=1, congo=2"}
    out = {}
    with tracer.start_active_span(
        "server", child_of=tracer.extract(opentracing.Format.HTTP_HEADERS, incoming)
    ) as scope:
        tracer.inject(scope.span.context, opentracing.Format.HTTP_HEADERS, out)
    assert out["traceparent"] == f"00-{TRACE}-{scope.span.context.span_id:016x}-{flags}"
    assert out["tracestate"] == "rojo=1,congo=2"


def test_an_unknown_level_is_refused():
    with pytest.raises(ConfigurationError, match="1 or 2"):
        W3CPropagator(3)


# -- tracestate ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "sent"),
    [
        (["foo=1,bar=2"], "foo=1,bar=2"),
        (["foo=1 \t , \t bar=2,\tbaz=3 "], "foo=1,bar=2,baz=3"),
        (["foo=1,bar=2", "rojo=1", "baz=3"], "foo=1,bar=2,rojo=1,baz=3"),
        (["foo= 1"], "foo= 1"),
        (["foo=1,,  ,bar=2,"], "foo=1,bar=2"),
        (["", "foo=1", ""], "foo=1"),
        ([""], None),
        ([" , ,"], None),
    ],
)
def test_lists_are_combined_in_order_without_empty_members_and_white_space(headers, sent):
    """E30: Envoy sends an empty tracestate; it is neither an error nor sent on."""
    assert tracestate(*headers) == sent


def test_an_empty_tracestate_is_no_error(w3c, counters):
    assert w3c.extract({"traceparent": PARENT, "tracestate": ""}).carried == {}
    assert counters.snapshot() == {}


@pytest.mark.parametrize(
    "bad",
    ["foo", "foo=", "=1", "FOO=1", "foo =1", "foo.bar=1", "@foo=1", "foo=a=b", "foo=\x01", "foo=é", "foo=1,foo=2", "z" * 257 + "=1", "a=" + "v" * 257],
)  # fmt: skip
def test_a_malformed_tracestate_is_dropped_whole_and_the_traceparent_kept(bad):
    """Specification: failure to parse tracestate must not affect the parsing of traceparent."""
    assert tracestate("ok=1," + bad) is None


@pytest.mark.parametrize(
    ("key", "level_1"),
    [
        ("foo", True), ("f_-*/0", True), ("0t@v", True), ("z" * 256, True), ("t" * 241 + "@" + "v" * 14, True),
        ("0foo", False), ("foo@", False), ("foo@@bar", False), ("a@b@c", False), ("t" * 242 + "@v", False), ("t@" + "v" * 15, False), ("t@0", False),
    ],
)  # fmt: skip
def test_level_2_frees_the_keys_of_level_1(key, level_1):
    assert tracestate(f"{key}=1", level=2) == f"{key}=1"
    assert tracestate(f"{key}=1") == (f"{key}=1" if level_1 else None)


def test_32_members_go_on_and_33_are_malformed():
    members = [f"k{number}=1" for number in range(33)]
    assert tracestate(*members[:32]) == ",".join(members[:32])
    assert tracestate(",".join(members)) is None


def test_a_list_beyond_512_characters_loses_its_large_members_first_and_then_its_last():
    """Specification: whole entries, those above 128 characters first, then from the end."""
    large, small = "large=" + "x" * 130, [f"k{number:02}=" + "y" * 96 for number in range(6)]
    assert tracestate(",".join([large, *small[:3]])) == ",".join([large, *small[:3]])
    assert tracestate(",".join([small[0], large, *small[1:4]])) == ",".join(small[:4])
    assert tracestate(",".join([large, *small])) == ",".join(small[:5])
    assert len(",".join(small[:5])) <= 512


def test_exactly_512_characters_go_on():
    header = ",".join(f"k{number}=" + "y" * 124 for number in range(4)) + ""
    header += "z" * (512 - len(header))
    assert tracestate(header) == header
    assert tracestate(header[:-1] + "zz") == header.rpartition(",")[0]


# -- baggage ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "baggage"),
    [
        ("userId=alice,serverNode=DF%2028,isProduction=false", {"userId": "alice", "serverNode": "DF 28", "isProduction": "false"}),
        ("key1=value1;property1;property2, key2 = value2, key3=value3; propertyKey=propertyValue", {"key1": "value1", "key2": "value2", "key3": "value3"}),
        ("a=b=c", {"a": "b=c"}),
        ("a=", {"a": ""}),
        ("a=1,a=2", {"a": "2"}),
        ("a=x+y,b=x%2By", {"a": "x y", "b": "x+y"}),
        ("a=%C3%A9,b=%ff", {"a": "é", "b": "\ufffd"}),
        ("", {}),
    ],
)  # fmt: skip
def test_the_baggage_header_is_read(w3c, counters, header, baggage):
    """Properties are dropped; '+' is a space, as the SDKs of Python and C++ write it."""
    assert w3c.extract({"traceparent": PARENT, "baggage": header}).baggage == baggage
    assert counters.snapshot() == {}


@pytest.mark.parametrize("bad", ["a", "=1", "a b=1", 'a="1"', "a=x y", "a=\\", "a=é", "a=\x01", "ä=1"])
def test_a_malformed_item_is_dropped_alone_and_counted(w3c, counters, bad):
    assert w3c.extract({"baggage": f"x=1,{bad},y=2"}).baggage == {"x": "1", "y": "2"}
    assert counters.get("propagation_baggage_dropped") == 1


def test_repeated_baggage_headers_are_one_list(w3c):
    assert w3c.extract([("baggage", "a=1"), ("Baggage", "b=2")]).baggage == {"a": "1", "b": "2"}


def test_baggage_without_a_trace_leaves_the_decision_open(w3c):
    context = w3c.extract({"baggage": "a=1"})
    assert (context.trace_id, context.sampled) == (None, None)


def test_baggage_beyond_the_limits_is_left_out_by_whole_items(counters):
    carrier = {}
    W3CPropagator(counters=counters).inject(SpanContext(1, 2, baggage={"big": "x" * MAX_BYTES, "a": "1"}), carrier)
    assert carrier["baggage"] == "a=1"
    W3CPropagator(counters=counters).inject(
        SpanContext(1, 2, baggage={f"k{number}": "" for number in range(MAX_ITEMS + 5)}), carrier
    )
    assert carrier["baggage"].count(",") == MAX_ITEMS - 1
    assert counters.get("propagation_baggage_dropped") == 6


def test_64_members_and_8192_bytes_go_through(w3c):
    """W3C Baggage: a platform must propagate at least so much."""
    header = ",".join(f"key{number:02}=" + "v/:=" * 30 for number in range(64))
    header += "v" * (8192 - len(header))
    context = w3c.extract({"traceparent": PARENT, "baggage": header})
    assert injected(context)["baggage"] == header


# -- OpenTelemetry as oracle --------------------------------------------------------------------------------------------

span_ids, trace_ids = st.integers(1, 2**64 - 1), st.integers(1, 2**128 - 1)
state_keys = st.from_regex(
    r"[a-z][_0-9a-z\-*/]{0,12}|[0-9a-z][_0-9a-z\-*/]{0,8}@[a-z][_0-9a-z\-*/]{0,5}", fullmatch=True
)
state_values = st.from_regex(r"[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,8}[\x21-\x2b\x2d-\x3c\x3e-\x7e]", fullmatch=True)
nearly = st.text("abz09_-*/@=,; \tA.é", max_size=40)
texts = st.text(st.characters(codec="utf-8"))


def theirs(headers):
    context = TraceContextTextMapPropagator().extract(headers, Context())
    return otel_trace.get_current_span(context).get_span_context()


@given(trace_ids, span_ids, st.booleans(), st.booleans())
def test_opentelemetry_reads_our_traceparent(trace_id, span_id, sampled, random):
    span = theirs(injected(SpanContext(trace_id, span_id, sampled=sampled, random=random)))
    assert (span.trace_id, span.span_id, span.trace_flags) == (trace_id, span_id, sampled | random << 1)


@given(
    st.from_regex(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-[a-z0-9\-]*)?", fullmatch=True)
    | st.text("0123456789abcdefA-. ", max_size=60)
)
def test_opentelemetry_and_we_accept_the_same_traceparents(header):
    ours, span = W3CPropagator().extract({"traceparent": header}), theirs({"traceparent": header})
    assert (ours is not None) == span.is_valid
    if ours is not None:
        assert (ours.trace_id, ours.span_id, ours.sampled) == (span.trace_id, span.span_id, bool(span.trace_flags & 1))


@given(
    st.lists(st.tuples(state_keys, state_values).map("=".join) | nearly, max_size=12),
    st.sampled_from([",", " , ", "\t,"]),
)
def test_opentelemetry_and_we_send_the_same_tracestate_on(members, comma):
    """Its grammar is that of level 1, its limit is 8,192 characters."""
    header = comma.join(members)
    ours = W3CPropagator(1).extract({"traceparent": PARENT, "tracestate": header})
    expected = theirs({"traceparent": PARENT, "tracestate": header.strip()}).trace_state.to_header()
    assert len(expected) > 512 or ours.carried.get("tracestate", "") == expected


@given(st.dictionaries(st.from_regex(r"[a-zA-Z0-9_.~\-]{1,12}", fullmatch=True), texts.map(str.strip), max_size=5))
def test_opentelemetry_reads_our_baggage_and_we_read_theirs(baggage):
    """It strips decoded values, so only stripped ones can agree."""
    context = Context()
    for key, value in baggage.items():
        context = otel_baggage.set_baggage(key, value, context)
    written = {}
    W3CBaggagePropagator().inject(written, context)
    ours = W3CPropagator().extract(written)
    assert (ours.baggage if ours else {}) == baggage
    read = W3CBaggagePropagator().extract(injected(SpanContext(1, 2, baggage=baggage)), Context())
    assert dict(otel_baggage.get_all(read)) == baggage


@given(st.dictionaries(st.text(st.characters(codec="utf-8"), min_size=1), texts, max_size=5))
def test_baggage_of_any_text_survives(baggage):
    context = W3CPropagator().extract(injected(SpanContext(1, 2, baggage=baggage)))
    assert context.baggage == baggage
