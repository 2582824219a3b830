"""``Tracer.inject`` and ``Tracer.extract``: formats, carriers, and which exceptions may come out."""

import re

import opentracing
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentracing import Format

from sls_tracing import ConstSampler, NullReporter, SpanContext, Tracer
from sls_tracing.metrics import counters

requirement = pytest.mark.requirement

REMOTE = SpanContext(trace_id=0xABC, span_id=0xDEF, sampled=True, wide=False)


# -- inject and extract -------------------------------------------------------------------------------------------------


@requirement("OT-P02")
@pytest.mark.parametrize("form", ["no such format", None, 5, ["unhashable"], {}])
def test_an_unknown_format_is_refused_both_ways(tracer, form):
    """The message names those that are known."""
    with pytest.raises(opentracing.UnsupportedFormatException, match="http_headers"):
        tracer.inject(tracer.start_span("x").context, form, {})
    with pytest.raises(opentracing.UnsupportedFormatException, match="http_headers"):
        tracer.extract(form, {})


@requirement("OT-P03")
def test_a_format_is_any_object_compared_by_equality(tracer):
    """Custom ones are registered on the tracer; an unhashable equal finds them."""

    class Both:
        def inject(self, context, carrier):
            carrier.append(context)

        def extract(self, carrier):
            return carrier[0]

    class Equal:
        __hash__ = None

        def __eq__(self, other):
            return other == ("custom", 1)

    tracer.propagators["custom", 1] = Both()
    context = tracer.start_span("x").context
    for form in (("custom", 1), Equal()):
        carrier = []
        tracer.inject(context, form, carrier)
        assert tracer.extract(form, carrier) is context


@requirement("OT-P13", "OT-P11", "OT-S02")
@pytest.mark.parametrize("form", [Format.TEXT_MAP, Format.HTTP_HEADERS, Format.BINARY])
def test_a_span_is_injected_like_its_context_even_when_finished(tracer, form):
    """Older code passes spans."""
    span = tracer.start_span("x")
    span.finish()
    one, two = (bytearray() if form == Format.BINARY else {} for _ in range(2))
    tracer.inject(span, form, one)
    tracer.inject(span.context, form, two)
    assert one == two
    assert tracer.extract(form, one).span_id == span.context.span_id


@pytest.mark.parametrize("context", [None, 5, "text", opentracing.SpanContext(), opentracing.Tracer().start_span("x")])
def test_a_context_of_another_tracer_cannot_be_injected(tracer, context):
    """SpanContextCorruptedException, which callers of OpenTracing expect."""
    with pytest.raises(opentracing.SpanContextCorruptedException, match="not a context of this library"):
        tracer.inject(context, Format.HTTP_HEADERS, {})


class HostileCarrier(dict):
    def __init__(self, error):
        self.error = error

    def __setitem__(self, key, value):
        raise self.error

    def items(self):
        raise self.error


@requirement("OT-P05", "OT-P15")
@pytest.mark.parametrize("error", [TypeError, ValueError, KeyError, AttributeError, NotImplementedError, RuntimeError])
def test_a_carrier_that_raises_is_invalid(tracer, error):
    """No other exception type escapes."""
    with pytest.raises(opentracing.InvalidCarrierException):
        tracer.inject(tracer.start_span("x").context, Format.HTTP_HEADERS, HostileCarrier(error("no")))
    with pytest.raises(opentracing.InvalidCarrierException):
        tracer.extract(Format.HTTP_HEADERS, HostileCarrier(error("no")))


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.binary() | st.integers(), inner),
    max_leaves=10,
)


@requirement("OT-P05", "OT-P15")
@given(carrier=ANYTHING, form=st.sampled_from([Format.TEXT_MAP, Format.HTTP_HEADERS, Format.BINARY]))
def test_extract_raises_opentracings_exceptions_only(carrier, form):
    """Whatever the carrier is."""
    tracer = Tracer("t", reporter=NullReporter())
    try:
        context = tracer.extract(form, carrier)
    except (opentracing.InvalidCarrierException, opentracing.SpanContextCorruptedException):
        return
    assert context is None or isinstance(context, SpanContext)


# -- round trips --------------------------------------------------------------------------------------------------------

PRINTABLE = st.text(st.characters(codec="utf-8"), max_size=30)
TEXT_KEYS = st.text("abcdefghijklmnopqrstuvwxyz0123456789-_.ü ☃", min_size=1, max_size=20).map(str.lower)


@requirement("OT-P01", "OT-P12", "OT-C03", "OT-P07", "OT-S15")
@pytest.mark.parametrize("propagation", ["b3", "b3-single"])
@given(
    form=st.sampled_from([Format.TEXT_MAP, Format.HTTP_HEADERS, Format.BINARY]),
    sampled=st.booleans(),
    debug=st.booleans(),
    baggage=st.dictionaries(TEXT_KEYS, PRINTABLE, max_size=4),
)
def test_a_round_trip_keeps_identity_decision_and_baggage(propagation, form, sampled, debug, baggage):
    """In every mandatory format; any text is good baggage."""
    tracer = Tracer("t", sampler=ConstSampler(sampled), reporter=NullReporter(), propagation=propagation)
    span = tracer.start_span("x")
    if debug:
        span.set_tag("sampling.priority", 1)
    for key, value in baggage.items():
        span.set_baggage_item(key, value)
    carrier = bytearray() if form == Format.BINARY else {}
    tracer.inject(span.context, form, carrier)
    there = tracer.extract(form, carrier)
    here = span.context
    assert (there.trace_id, there.span_id, there.sampled) == (here.trace_id, here.span_id, here.sampled)
    assert (there.debug, there.baggage, there.wide) == (here.debug, baggage, here.wide)
    child = tracer.start_span("child", child_of=there)
    assert child.context.baggage == baggage
    assert child.get_baggage_item("no such item") is None


@requirement("OT-P08")
@pytest.mark.parametrize("form", [Format.TEXT_MAP, Format.HTTP_HEADERS])
def test_unrelated_entries_are_left_alone(tracer, form):
    """On the way out and on the way in."""
    others = {"Authorization": "secret", "x-custom": "1", "": "", "accept": "*/*"}
    carrier = dict(others)
    tracer.inject(tracer.start_span("x").set_baggage_item("a", "b").context, form, carrier)
    assert {key: carrier[key] for key in others} == others
    assert tracer.extract(form, carrier).baggage == {"a": "b"}


@requirement("OT-P09")
@given(key=st.text(max_size=20), value=st.text(max_size=50))
def test_headers_are_fit_for_http(key, value):
    """Names are RFC 9110 tokens, values visible ASCII, whatever the baggage holds; line breaks never get out."""
    tracer = Tracer("t", reporter=NullReporter())
    carrier = {}
    tracer.inject(tracer.start_span("x").set_baggage_item(key, value).context, Format.HTTP_HEADERS, carrier)
    for name, header in carrier.items():
        assert re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name)
        assert re.fullmatch(r"[\x21-\x7e]*", header)


@requirement("OT-P10", "OT-C09")
def test_header_names_are_read_in_any_case(tracer):
    """Intermediaries change it; baggage keys come out in lower case therefore."""
    carrier = {}
    span = tracer.start_span("x").set_baggage_item("Key", "Value")
    tracer.inject(span.context, Format.HTTP_HEADERS, carrier)
    for change in (str.upper, str.title, str.lower):
        context = tracer.extract(Format.HTTP_HEADERS, {change(name): value for name, value in carrier.items()})
        assert context.span_id == span.context.span_id
        assert context.baggage == {"key": "Value"}


@requirement("OT-P06")
def test_binary_is_appended(tracer):
    """What the bytearray holds already stays."""
    carrier = bytearray(b"before")
    tracer.inject(tracer.start_span("x").context, Format.BINARY, carrier)
    assert carrier.startswith(b"before")
    assert tracer.extract(Format.BINARY, carrier[6:]) is not None


@requirement("OT-P04", "OT-P14")
@pytest.mark.parametrize(
    ("form", "empty"),
    [
        (Format.TEXT_MAP, {}),
        (Format.HTTP_HEADERS, {}),
        (Format.HTTP_HEADERS, {"accept": "*/*"}),
        (Format.BINARY, bytearray()),
    ],
)
def test_an_empty_carrier_holds_no_context(tracer, form, empty):
    """None, which start_span takes as "no parent"."""
    context = tracer.extract(form, empty)
    assert context is None
    assert tracer.start_span("root", child_of=context).context.parent_id is None


@requirement("OT-P15")
@given(
    st.dictionaries(
        st.sampled_from(
            ["b3", "X-B3-TraceId", "x-b3-spanid", "x-b3-parentspanid", "x-b3-sampled", "x-b3-flags", "baggage-a"]
        ),
        st.text() | st.binary() | st.none() | st.integers() | st.lists(st.text()),
    )
)
def test_malformed_headers_make_roots(carrier):
    """They never raise, and what they yield can be a parent."""
    tracer = Tracer("t", reporter=NullReporter())
    tracer.start_span("server", child_of=tracer.extract(Format.HTTP_HEADERS, carrier)).finish()


def test_a_line_break_cannot_be_smuggled_through_x_request_id(tracer):
    """A folded header reaches WSGI with its line break; carried on, it would fail the outgoing request. It is dropped and counted."""
    before = counters.get("propagation_headers_malformed")
    carrier = {"x-request-id": "a\r\n evil: 1", "x-b3-sampled": "1"}
    context = tracer.extract(Format.HTTP_HEADERS, carrier)
    assert dict(context.carried) == {}
    assert counters.get("propagation_headers_malformed") == before + 1
