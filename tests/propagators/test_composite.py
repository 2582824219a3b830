"""Several formats at once: which one is believed, what is merged, and that only what is to be written goes out."""

import opentracing
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sls_tracing import ConstSampler, InMemoryReporter, SpanContext, Tracer
from sls_tracing.exceptions import ConfigurationError
from sls_tracing.metrics import Counters
from sls_tracing.propagators import (
    PROPAGATIONS,
    B3Propagator,
    BinaryPropagator,
    CompositePropagator,
    JaegerPropagator,
    W3CPropagator,
    propagation_names,
    propagators_for,
)

A, B = SpanContext(0xA0 << 64, 0xA1), SpanContext(0xB0 << 64, 0xB1)
HTTP, TEXT = opentracing.Format.HTTP_HEADERS, opentracing.Format.TEXT_MAP
MEMBERS = {"b3": B3Propagator, "w3c": W3CPropagator, "jaeger": JaegerPropagator}


def headers_of(**contexts):
    """Headers in which each named format tells its own context."""
    headers = {}
    for name, context in contexts.items():
        MEMBERS[name]().inject(context, headers)
    return headers


def extracted(names, headers):
    return propagators_for(names)[HTTP].extract(headers)


# -- precedence ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "order", ["b3,w3c,jaeger", "b3,jaeger,w3c", "w3c,b3,jaeger", "w3c,jaeger,b3", "jaeger,b3,w3c", "jaeger,w3c,b3"]
)
def test_the_first_format_that_finds_ids_wins(order):
    first, second, third = order.split(",")
    c = SpanContext(0xC0 << 64, 0xC1)
    assert extracted(order, headers_of(**{first: A, second: B, third: c})) == A
    assert extracted(order, headers_of(**{second: B, third: c})) == B
    assert extracted(order, headers_of(**{third: c})) == c
    assert extracted(order, {"host": "details"}) is None


def test_malformed_ids_in_the_first_format_let_the_second_be_believed():
    assert extracted("b3,w3c", {"x-b3-traceid": "x", "x-b3-spanid": "y", **headers_of(w3c=A)}) == A


def test_a_lone_decision_is_kept_unless_a_later_format_has_ids():
    assert extracted("b3,w3c", {"b3": "0"}).sampled is False
    assert extracted("b3,w3c", {"b3": "0", "baggage": "a=1"}) == SpanContext(sampled=False, baggage={"a": "1"})
    assert extracted("b3,w3c", {"b3": "0", **headers_of(w3c=A)}) == A
    assert extracted("b3,w3c", {"b3": "d", **headers_of(w3c=A)}) == A


def test_baggage_alone_is_kept_and_joined_to_a_later_formats_ids():
    headers = {"uberctx-user": "bob", "baggage": "user=eve,k=v", **headers_of(w3c=A)}
    assert extracted("jaeger,w3c", headers) == A._replace(baggage={"user": "bob", "k": "v"})


def test_the_baggage_of_all_formats_is_merged_and_the_first_one_wins_a_key():
    headers = headers_of(
        b3=A._replace(baggage={"k": "b3", "b": "1"}),
        w3c=B._replace(baggage={"k": "w3c", "w": "2"}),
        jaeger=A._replace(baggage={"k": "jaeger", "j": "3"}),
    )
    assert extracted("jaeger,b3,w3c", headers).baggage == {"k": "jaeger", "b": "1", "w": "2", "j": "3"}


def test_the_same_ids_in_several_formats_are_one_context_with_what_each_of_them_knows():
    """Envoy with USE_B3_WITH_W3C_PROPAGATION (E16) sends the same ids in both."""
    headers = {
        **headers_of(
            b3=A._replace(sampled=None, parent_id=7, carried={"x-request-id": "9f7d"}),
            w3c=A._replace(random=True, carried={"tracestate": "foo=1"}),
            jaeger=A._replace(firehose=True, debug=True),
        )
    }
    everything = A._replace(
        parent_id=7, debug=True, random=True, firehose=True, carried={"x-request-id": "9f7d", "tracestate": "foo=1"}
    )
    for order in ("b3,w3c,jaeger", "w3c,b3,jaeger", "jaeger,w3c,b3"):
        assert extracted(order, headers) == everything


def test_an_open_decision_is_closed_by_another_format_of_the_same_trace_only():
    assert extracted("b3,w3c", headers_of(b3=A._replace(sampled=None), w3c=A._replace(sampled=False))).sampled is False
    assert extracted("b3,w3c", headers_of(b3=A._replace(sampled=None), w3c=B)).sampled is None


def test_tracestate_never_joins_another_trace():
    """E15: a client's traceparent passes a B3 mesh untouched; its tracestate is about that other trace."""
    context = extracted("b3,w3c", headers_of(b3=A, w3c=B._replace(carried={"tracestate": "foo=1"}, debug=True)))
    assert context == A


def test_a_debug_id_counts_only_where_no_format_has_a_trace():
    assert extracted("b3,jaeger", {"jaeger-debug-id": "me", **headers_of(b3=A._replace(sampled=False))}) == A._replace(
        sampled=False
    )
    context = extracted("b3,jaeger", {"jaeger-debug-id": "me", "b3": "0"})
    assert (context.sampled, context.debug, context.carried) == (True, True, {"jaeger-debug-id": "me"})


def test_the_width_of_the_winning_format_is_kept():
    narrow = SpanContext(0xA0, 0xA1, wide=False)
    assert extracted("b3,w3c", headers_of(b3=narrow, w3c=narrow)).wide is False
    assert extracted("w3c,b3", headers_of(b3=narrow, w3c=narrow)).wide is True


class OneReading(dict):
    """A carrier that counts how often it is gone through."""

    readings = 0

    def items(self):
        self.readings += 1
        return super().items()


def test_a_carrier_is_gone_through_once_however_many_formats_are_read():
    carrier = OneReading(headers_of(jaeger=A))
    assert extracted("b3,w3c,jaeger", carrier) == A
    assert carrier.readings == 1


def test_a_carrier_that_can_be_read_only_once_is_enough():
    assert extracted("b3,w3c,jaeger", iter(headers_of(jaeger=A).items())) == A


# -- emission -----------------------------------------------------------------------------------------------------------


def formats_in(headers):
    """Which formats ``headers`` hold ids in."""
    return {
        name for name, make in MEMBERS.items() if (context := make().extract(headers)) is not None and context.has_ids
    }


def test_every_named_format_is_written_from_the_one_context():
    out = {}
    context = A._replace(sampled=False, baggage={"k": "v"}, carried={"x-request-id": "9f7d", "tracestate": "foo=1"})
    propagators_for("b3,w3c,jaeger")[HTTP].inject(context, out)
    for name, make in MEMBERS.items():
        told = make().extract(out)
        assert (told.trace_id, told.span_id, told.sampled, told.baggage) == (
            A.trace_id,
            A.span_id,
            False,
            {"k": "v"},
        ), name
    assert (out["x-request-id"], out["tracestate"]) == ("9f7d", "foo=1")


@pytest.mark.parametrize("name", MEMBERS)
def test_several_formats_are_read_and_one_is_written_and_nothing_stale_goes_out(name):
    propagator = propagators_for("b3,w3c,jaeger", inject=name)[HTTP]
    headers = {
        **headers_of(b3=A, w3c=A._replace(carried={"tracestate": "foo=1"}), jaeger=B),
        "x-request-id": "9f7d",
        "jaeger-debug-id": "me",
    }
    out = {}
    propagator.inject(propagator.extract(headers), out)
    assert formats_in(out) == {name}
    assert out["x-request-id"] == "9f7d"
    assert ("tracestate" in out) == (name == "w3c")
    assert "jaeger-debug-id" not in out


@pytest.mark.parametrize(("incoming", "outgoing"), [("b3", "w3c"), ("w3c", "b3-single"), ("jaeger", "b3,w3c")])
def test_precedence_and_emission_are_separate_settings(incoming, outgoing):
    """What is read need not be written, nor the other way round: a service between two worlds."""
    tracer = Tracer("app", sampler=ConstSampler(False), reporter=InMemoryReporter())
    tracer.propagators = propagators_for(incoming, inject=outgoing)
    out = {}
    with tracer.start_active_span("server", child_of=tracer.extract(HTTP, headers_of(**{incoming: A}))) as scope:
        tracer.inject(scope.span.context, HTTP, out)
    expected = {name.removesuffix("-single") for name in outgoing.split(",")}
    assert formats_in(out) == expected
    assert all(MEMBERS[name]().extract(out).trace_id == A.trace_id for name in expected)
    assert ("b3" in out) == (outgoing == "b3-single")


def test_what_formats_share_is_written_once_into_a_list_of_pairs():
    out = [("accept", "*/*")]
    propagators_for("b3,w3c,jaeger")[HTTP].inject(A._replace(carried={"x-request-id": "9f7d"}), out)
    names = [name for name, _ in out]
    assert len(names) == len({*names})
    assert out[0] == ("accept", "*/*")


def test_a_carrier_that_cannot_take_headers_is_refused():
    with pytest.raises(opentracing.InvalidCarrierException):
        propagators_for("b3,w3c")[HTTP].inject(A, bytearray())


# -- names --------------------------------------------------------------------------------------------------------------


def test_names_are_read_without_regard_to_white_space_and_case():
    assert propagation_names(" B3 ,\tw3c, Jaeger") == ("b3", "w3c", "jaeger")


@pytest.mark.parametrize(
    "bad", ["", " ", "b4", "b3,", "b3,,w3c", "b3 w3c", "b3,b3", "w3c,b3, W3C", "b3,b3-single", None, 3]
)
def test_unknown_and_repeated_names_are_refused_with_the_list_of_names(bad):
    with pytest.raises(ConfigurationError) as caught:
        propagation_names(bad)
    if bad != "b3,b3-single":
        assert all(name in str(caught.value) for name in PROPAGATIONS)


def test_both_encodings_of_b3_are_never_written_together():
    """Mesh rule 2: behind every version of Envoy one of them is stale."""
    for settings in (("b3,b3-single",), ("b3", "b3-single,b3")):
        with pytest.raises(ConfigurationError, match="both encodings"):
            propagators_for(*settings)


@pytest.mark.parametrize("name", PROPAGATIONS)
def test_a_single_name_costs_no_composite(name):
    assert type(propagators_for(name)[HTTP]) is type(PROPAGATIONS[name]())


def test_every_format_of_opentracing_has_a_propagator():
    assert {*propagators_for("b3,w3c")} == {TEXT, HTTP, opentracing.Format.BINARY}


def test_jaegers_headers_can_be_renamed_within_a_composite():
    out = {}
    propagators_for("b3,jaeger", jaeger_headers={"trace_id_header": "x-trace"})[HTTP].inject(A, out)
    assert "x-trace" in out


def test_a_composite_is_made_of_text_propagators():
    with pytest.raises(ConfigurationError, match="BinaryPropagator"):
        CompositePropagator([B3Propagator()], [BinaryPropagator()])
    with pytest.raises(ConfigurationError, match="at least one"):
        CompositePropagator([], [])


def test_a_service_may_write_without_believing_what_comes_in():
    """An edge that starts its own traces whatever strangers send."""
    edge = CompositePropagator(extract=[], inject=[W3CPropagator(), B3Propagator()])
    out = {}
    edge.inject(A, out)
    assert edge.extract(out) is None
    assert formats_in(out) == {"w3c", "b3"}


# -- every format, alone and together -----------------------------------------------------------------------------------

texts = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]))
keys = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Lu", "Lt"]), min_size=1).filter(
    lambda key: key == key.lower()
)
contexts = st.builds(
    SpanContext,
    st.integers(1, 2**128 - 1),
    st.integers(1, 2**64 - 1),
    sampled=st.booleans(),
    baggage=st.dictionaries(keys, texts, max_size=3),
    carried=st.sampled_from([{}, {"x-request-id": "9f7d"}]),
)


@given(contexts, st.sampled_from([*PROPAGATIONS, "b3,w3c", "w3c,b3-single", "b3,w3c,jaeger", "jaeger,w3c,b3"]))
def test_what_is_written_is_read_again(context, names):
    out = {}
    propagator = propagators_for(names)[HTTP]
    propagator.inject(context, out)
    assert propagator.extract(out) == context


def test_counters_of_the_members_count():
    counters = Counters()
    both = [W3CPropagator(counters=counters), JaegerPropagator(counters=counters)]
    assert CompositePropagator(both, both).extract({"traceparent": "x", "uber-trace-id": "y"}) is None
    assert counters.get("propagation_headers_malformed") == 2
