"""Carriers: every shape in which Python libraries hand over headers is read as one."""

import collections
import types
from email.message import Message
from http.client import HTTPMessage

import opentracing
import pytest
from hypothesis import given
from hypothesis import strategies as st
from requests.structures import CaseInsensitiveDict
from werkzeug.datastructures import EnvironHeaders, Headers, MultiDict

from sls_tracing.propagators import carrier as carrier_module
from sls_tracing.propagators.carrier import first_value, read_headers, writer

NAMES = frozenset(("b3", "x-request-id"))
PREFIXES = ("baggage-",)
EXPECTED = {"b3": "0", "x-request-id": "r", "baggage-a": "1"}
PAIRS = [("Accept", "*/*"), ("B3", "0"), ("X-Request-Id", " r "), ("Baggage-A", "1"), ("Content-Length", "5")]


def message(kind):
    made = kind()
    for name, value in PAIRS:
        made[name] = value
    return made


SHAPES = {
    "dict": dict(PAIRS),
    "OrderedDict": collections.OrderedDict(PAIRS),
    "UserDict": collections.UserDict(PAIRS),
    "ChainMap": collections.ChainMap(dict(PAIRS[:2]), dict(PAIRS[2:])),
    "MappingProxyType": types.MappingProxyType(dict(PAIRS)),
    "requests": CaseInsensitiveDict(PAIRS),
    "werkzeug": Headers(PAIRS),
    "werkzeug WSGI": EnvironHeaders({"HTTP_" + name.upper().replace("-", "_"): value for name, value in PAIRS}),
    "werkzeug MultiDict": MultiDict(PAIRS),
    "email": message(Message),
    "http.client": message(HTTPMessage),
    "pairs": PAIRS,
    "tuple of lists": tuple([list(pair) for pair in PAIRS]),
    "iterator": None,
    "ASGI": [(name.lower().encode(), value.encode()) for name, value in PAIRS],
    "bytes dict": {name.encode(): value.encode() for name, value in PAIRS},
    "lists of values": {name: [value, "second"] for name, value in PAIRS},
    "upper case": {name.upper(): value for name, value in PAIRS},
}


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_reads_alike(shape):
    """Names in lower case, values as text without white space around, nothing else."""
    carrier = iter(PAIRS) if shape == "iterator" else SHAPES[shape]
    assert read_headers(carrier, NAMES, PREFIXES) == EXPECTED


CASES = st.sampled_from([str.lower, str.upper, str.title, str.swapcase])


@given(
    headers=st.dictionaries(st.sampled_from([*EXPECTED, "accept", "cookie"]), st.text("abc123", max_size=5)),
    change=CASES,
    as_pairs=st.booleans(),
    as_bytes=st.booleans(),
)
def test_shape_and_case_make_no_difference(headers, change, as_pairs, as_bytes):
    """As a law."""
    pairs = [(change(name), value) for name, value in headers.items()]
    if as_bytes:
        pairs = [(name.encode(), value.encode()) for name, value in pairs]
    found = read_headers(pairs if as_pairs else dict(pairs), NAMES, PREFIXES)
    assert found == {name: value for name, value in headers.items() if name in EXPECTED}


def test_the_first_of_repeated_headers_wins():
    """The B3 specification's rule; for a header that is a list they are joined in their order (RFC 9110, 5.3)."""
    pairs = [("b3", "1"), ("B3", "0"), ("tracestate", "a=1"), ("Tracestate", "b=2"), ("tracestate", ["c=3", b"d=4"])]
    found = read_headers(pairs, frozenset(("b3", "tracestate")), lists=frozenset(("tracestate",)))
    assert found == {"b3": "1", "tracestate": "a=1,b=2,c=3,d=4"}


@pytest.mark.parametrize("value", [None, 5, 1.5, [], [None], (), {}, object()])
def test_a_value_that_is_no_text_is_no_header(value):
    """It does not hide a later one that is."""
    assert read_headers([("b3", value), ("b3", "0")], NAMES) == {"b3": "0"}


def test_a_name_that_is_no_text_is_skipped():
    """Its neighbours are read."""
    assert read_headers({None: "x", 5: "y", ("b3",): "z", "b3": "0"}, NAMES) == {"b3": "0"}


@pytest.mark.parametrize("carrier", [None, 5, "b3: 0", b"b3: 0", [1], ["abc"], [("one", "two", "three")], object()])
def test_what_has_no_headers_is_invalid(carrier):
    """With the remedy in the message."""
    with pytest.raises(opentracing.InvalidCarrierException, match="mapping or an iterable of"):
        read_headers(carrier, NAMES)


@pytest.mark.parametrize(("value", "first"), [("1", "1"), ("1,0", "1"), ("1 , 0", "1"), ("", ""), (",1", "")])
def test_first_value(value, first):
    """WSGI joins repeated headers by commas."""
    assert first_value(value) == first


@pytest.mark.parametrize("carrier", [{}, Headers(), CaseInsensitiveDict(), collections.UserDict(), []])
def test_writing(carrier):
    """Into any mutable mapping, or a list of pairs."""
    write = writer(carrier)
    write("b3", "0")
    assert read_headers(carrier, NAMES) == {"b3": "0"}


@pytest.mark.parametrize(
    "carrier", [None, 5, "text", b"x", bytearray(), memoryview(b"x"), (), types.MappingProxyType({}), {1}]
)
def test_what_cannot_be_written_is_invalid(carrier):
    """With the remedy in the message."""
    with pytest.raises(opentracing.InvalidCarrierException, match="mutable mapping or a list"):
        writer(carrier)


def test_names_that_strangers_choose_are_not_remembered_without_bound():
    """How names are spelled is remembered, for their speed; a client that makes up new ones fills no memory."""
    names = frozenset({"x-only-this-test"})
    for number in range(5_000):
        assert read_headers({f"made-up-{number}": "v", "X-Only-This-Test": "v"}, names) == {"x-only-this-test": "v"}
    read_headers({"y" * 10_000: "v"}, names)
    spellings = carrier_module._spellings[names, ()]
    assert len(spellings) <= carrier_module._MOST_SPELLINGS
    assert all(len(name) <= carrier_module._LONGEST_SPELLING for name in spellings)
