"""Headers that strangers send, in every format: nothing raises, the work and what is kept are bounded, and no batch is poisoned."""

import re

import opentracing
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sls_tracing import ConstSampler, InMemoryReporter, SpanContext, Tracer
from sls_tracing.metrics import Counters, counters
from sls_tracing.propagators import B3Propagator, CompositePropagator, JaegerPropagator, W3CPropagator
from sls_tracing.propagators.baggage import MAX_BYTES, MAX_ITEMS
from sls_tracing.thrift.compact import CompactEncoder
from sls_tracing.thrift.decoding import decode_emit_batch

HUGE = 10_000_000
TRACE, SPAN = "463ac35c9f6413ad48485a3953bb6124", "a2fb4a1d1a96d312"
NAMES = [
    "x-b3-traceid", "x-b3-spanid", "x-b3-parentspanid", "x-b3-sampled", "x-b3-flags", "b3", "baggage-a", "traceparent", "tracestate", "baggage",
    "uber-trace-id", "uberctx-a", "jaeger-baggage", "jaeger-debug-id", "x-request-id",
]  # fmt: skip
VALID = {
    "b3": f"{TRACE}-{SPAN}-1",
    "traceparent": f"00-{TRACE}-{SPAN}-01",
    "uber-trace-id": f"{TRACE}:{SPAN}:0:1",
}


def all_of(counters=counters, **settings):
    b3, w3c = B3Propagator(counters=counters), W3CPropagator(counters=counters)
    jaeger = JaegerPropagator(counters=counters, **settings)
    return {"b3": b3, "w3c": w3c, "jaeger": jaeger, "all": CompositePropagator([b3, w3c, jaeger], [b3, w3c, jaeger])}


FORMATS = sorted(all_of())


def size_of(context):
    texts = [*context.baggage.items(), *context.carried.items()]
    return sum(len(text) for item in texts for text in item)


def sent_on(propagator, headers):
    """What a service sends on that makes one span, and that span as an agent decodes it."""
    tracer = Tracer("app", sampler=ConstSampler(True), reporter=InMemoryReporter())
    tracer.propagators = {opentracing.Format.HTTP_HEADERS: propagator}
    parent = tracer.extract(opentracing.Format.HTTP_HEADERS, headers)
    span = tracer.start_span(
        "server", child_of=parent, tags={} if parent is None else {**parent.carried, **parent.baggage}
    )
    span.log_kv(span.context.baggage)
    out = {}
    tracer.inject(span.context, opentracing.Format.HTTP_HEADERS, out)
    span.finish()
    encoder = CompactEncoder()
    for record in tracer.reporter.spans:
        message = encoder.emit_batch(encoder.process(record.process), [encoder.span(record)])
        (decoded,) = decode_emit_batch(message, "compact").spans
        assert (decoded.context.trace_id, decoded.context.span_id) == span.context[:2]
    return parent, out


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("header", NAMES)
@pytest.mark.parametrize(
    "value", ["x" * HUGE, "1" * HUGE, "," * HUGE, "a=1," * (HUGE // 4), "%3A" * (HUGE // 3), "\x00" * HUGE]
)
def test_ten_megabytes_in_any_header_are_neither_kept_nor_sent_on(name, header, value):
    parent, out = sent_on(all_of()[name], {header: value})
    assert parent is None or size_of(parent) <= 3 * MAX_BYTES
    assert sum(map(len, out.values())) <= 10 * MAX_BYTES


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize(
    "headers",
    [
        [(f"{prefix}{number}", "v") for prefix in ("uberctx-", "baggage-") for number in range(10_000)],
        [("baggage", ",".join(f"k{number}=v" for number in range(10_000)))],
        [("baggage", f"k{number}=v") for number in range(10_000)],
        [("jaeger-baggage", f"k{number}=v") for number in range(10_000)],
        [("tracestate", f"k{number}=v") for number in range(10_000)],
        [("traceparent", VALID["traceparent"])] * 10_000,
        [(f"x-{number}", "v") for number in range(10_000)],
    ],
    ids=["prefixed baggage", "baggage", "repeated baggage", "jaeger-baggage", "tracestate", "traceparent", "others"],
)
def test_ten_thousand_entries_are_bounded(name, headers):
    context = all_of()[name].extract([*headers, *VALID.items()])
    if context is None:
        assert (name, headers[0][0]) == ("w3c", "traceparent")  # which of 10,001 is meant?
    else:
        assert len(context.baggage) <= 3 * MAX_ITEMS
        assert size_of(context) <= 3 * MAX_BYTES


@pytest.mark.parametrize(("name", "prefix"), [("b3", "baggage-"), ("jaeger", "uberctx-")])
def test_baggage_that_does_not_fit_is_counted_and_what_fits_is_kept(name, prefix):
    counters = Counters()
    headers = {prefix + "huge": "x" * HUGE, **{f"{prefix}{number}": "v" for number in range(MAX_ITEMS + 9)}}
    context = all_of(counters)[name].extract(headers)
    assert len(context.baggage) == MAX_ITEMS
    assert counters.snapshot() == {"propagation_baggage_dropped": 10}


def test_a_baggage_header_that_does_not_fit_is_counted_and_what_fits_is_kept():
    counters = Counters()
    header = ",".join(f"k{number}=v" for number in range(10_000))
    context = W3CPropagator(counters=counters).extract({"baggage": header})
    assert [*context.baggage] == [f"k{number}" for number in range(MAX_ITEMS)]
    assert counters.get("propagation_baggage_dropped") == 10_000 - MAX_ITEMS


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("bad", ["a\r\nset-cookie: x", "a\nb", "a\x00b", "é", "\u4e2d", "x" * 1025])
def test_a_request_id_that_is_no_plain_text_is_not_forwarded(name, bad):
    """It goes on verbatim, so it must be harmless as it came: no other header can be smuggled in."""
    counters = Counters()
    assert all_of(counters)[name].extract({"x-request-id": bad}) is None
    assert counters.get("propagation_headers_malformed") >= 1


@pytest.mark.parametrize("value", [b"\xff\xfe", "\udc80\ud800", "%ff%fe", "%ed%a0%80", "\x85\u2028"])
def test_bad_utf_8_becomes_text_that_every_encoder_takes(value):
    headers = dict.fromkeys(
        ("uberctx-a", "baggage-a", "jaeger-debug-id", "jaeger-baggage", "baggage", "tracestate"), value
    )
    for propagator in (*all_of().values(), *all_of(url_encoding=False).values()):
        parent, _ = sent_on(propagator, headers)
        if parent is not None:
            "".join((*parent.baggage.values(), *parent.carried.values())).encode()


# -- whatever arrives ---------------------------------------------------------------------------------------------------

SENDABLE = re.compile(r"[\x20-\x7e]*").fullmatch
TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+").fullmatch
values = (
    st.text()
    | st.binary()
    | st.sampled_from([*VALID.values(), "0", "1", "d", "a=1,b=%0d%0a", "foo=1"])
    | st.text("0123456789abcdefABx_+-:%,=; \r\n", max_size=80)
    | st.lists(st.text(), max_size=2)
    | st.none()
    | st.integers()
)
names = st.sampled_from(NAMES) | st.text() | st.binary() | st.builds("uberctx-{}".format, st.text()) | st.none()
carriers = st.dictionaries(names, values, max_size=8) | st.lists(st.tuples(names, values), max_size=8)


@given(carriers, st.sampled_from(FORMATS))
def test_whatever_arrives_makes_a_trace_that_encodes_and_headers_that_can_be_sent(headers, name):
    """No exception, ids in range, and nothing goes out that an HTTP client would refuse or split in two."""
    _, out = sent_on(all_of()[name], headers)
    for header, value in out.items():
        assert TOKEN(header), header
        assert SENDABLE(value), value
        assert value or header.startswith(("uberctx-", "baggage-"))  # an empty item is an item


@given(
    st.dictionaries(st.text(), st.text(), max_size=4),
    st.sampled_from(FORMATS),
)
def test_baggage_of_any_text_goes_out_without_control_characters(baggage, name):
    out = {}
    all_of()[name].inject(SpanContext(1, 2, baggage=baggage), out)
    assert all(TOKEN(header) and SENDABLE(value) for header, value in out.items())


@given(st.dictionaries(st.text(), st.text(), max_size=4))
def test_plain_text_maps_get_no_control_characters_either(baggage):
    out = {}
    JaegerPropagator(url_encoding=False).inject(SpanContext(1, 2, baggage=baggage), out)
    assert not any(re.search(r"[\x00-\x1f\x7f]", name + value) for name, value in out.items())
    "".join((*out, *out.values())).encode()
