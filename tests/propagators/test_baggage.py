"""Baggage in text carriers: percent-encoding both ways, the bounds, and what other languages send."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sls_tracing.metrics import Counters
from sls_tracing.propagators.baggage import (
    MAX_BYTES,
    MAX_ITEMS,
    read_baggage,
    read_baggage_list,
    read_baggage_pairs,
    write_baggage,
    write_baggage_list,
    write_baggage_plain,
)

TEXT = st.text(st.characters(codec="utf-8"), max_size=40)
# HTTP does not keep the case of a name, so the law holds for keys without case.
KEYS = TEXT.map(str.lower).filter(lambda key: key and key == key.lower())


def written(baggage, prefix="baggage-"):
    headers = {}
    write_baggage(baggage, prefix, headers.__setitem__)
    return headers


def list_header(baggage):
    headers = {}
    write_baggage_list(baggage, "baggage", headers.__setitem__, Counters())
    return headers.get("baggage", "")


@given(st.dictionaries(KEYS, TEXT, max_size=6))
def test_one_header_an_item_round_trip(baggage):
    """After the lower-casing that any proxy may do."""
    headers = {name.lower(): value for name, value in written(baggage).items()}
    assert read_baggage(headers, "baggage-", Counters()) == baggage


@given(st.dictionaries(TEXT.filter(bool), TEXT, max_size=6))
def test_one_header_for_all_round_trip(baggage):
    """W3C's form keeps the case."""
    assert read_baggage_list(list_header(baggage), Counters()) == baggage


@given(st.dictionaries(st.text(min_size=1), st.text(), max_size=4))
def test_nothing_but_visible_ascii_goes_out(baggage):
    """No line break, no control character, no lone surrogate can get into the header block."""
    for name, value in written(baggage).items():
        assert re.fullmatch(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+", name)
        assert re.fullmatch(r"[\x21-\x7e]*", value)
    assert re.fullmatch(r"[\x21-\x7e]*", list_header(baggage))


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        ("a+b", "a b"),
        ("a%20b", "a b"),
        ("a%2Bb", "a+b"),
        ("caf%C3%A9", "café"),
        ("%", "%"),
        ("%zz", "%zz"),
        ("%FF", "\ufffd"),
    ],
)
def test_what_other_clients_send(sent, read):
    """Go and Java write a space as a plus and a plus as %2B; broken encoding is read as far as it goes."""
    assert read_baggage({"uberctx-k": sent}, "uberctx-", Counters()) == {"k": read}
    assert read_baggage_list(f"k={sent}", Counters()) == {"k": read}


def test_headers_of_others_are_no_baggage():
    """Nor is the bare prefix."""
    assert read_baggage({"baggage-": "x", "b3": "0", "baggage": "y"}, "baggage-", Counters()) == {}


@pytest.mark.parametrize("read", ["items", "list"])
@given(sizes=st.lists(st.integers(0, 3000), max_size=12))
def test_what_comes_in_is_bounded(read, sizes):
    """Whole items up to 8,192 bytes; what does not fit is counted, and does not keep out what is behind it."""
    counters = Counters()
    items = {f"k{number}": "x" * size for number, size in enumerate(sizes)}
    if read == "items":
        found = read_baggage({"baggage-" + key: value for key, value in items.items()}, "baggage-", counters)
    else:
        found = read_baggage_list(",".join(f"{key}={value}" for key, value in items.items()), counters)
    assert found.items() <= items.items()
    assert sum(len(key) + len(value) for key, value in found.items()) <= MAX_BYTES
    assert len(found) + counters.get("propagation_baggage_dropped") == len(items) or read == "list"


def test_the_number_of_items_is_bounded():
    """180."""
    counters = Counters()
    headers = {f"baggage-{number}": "x" for number in range(MAX_ITEMS + 20)}
    assert len(read_baggage(headers, "baggage-", counters)) == MAX_ITEMS
    assert counters.get("propagation_baggage_dropped") == 20


@given(st.text(max_size=200))
def test_any_header_can_be_read(header):
    """Nothing raises, what comes out is text."""
    for read in (read_baggage_list, read_baggage_pairs):
        for item in read(header, Counters()).items():
            assert all(type(part) is str for part in item)


@pytest.mark.parametrize(
    ("header", "items", "dropped"),
    [
        ("a=1,b=2;property;x=y", {"a": "1", "b": "2"}, 0),
        (" a = 1 ,, b=2", {"a": "1", "b": "2"}, 0),
        ("a=1,a=2", {"a": "2"}, 0),
        ("no equals,=x,b=2", {"b": "2"}, 2),
        ('a="quoted",b=\\', {}, 2),
    ],
)
def test_the_w3c_list(header, items, dropped):
    """Malformed members cost themselves and are counted."""
    counters = Counters()
    assert read_baggage_list(header, counters) == items
    assert counters.get("propagation_baggage_dropped") == dropped


def test_jaegers_pairs_by_hand():
    """``jaeger-baggage: k1=v1, k2=v2``: a plus is a plus, a part without exactly one "=" is dropped."""
    counters = Counters()
    assert read_baggage_pairs("a=1+1, b = 2, c, d=e=f", counters) == {"a": "1+1", "b": "2"}
    assert counters.get("propagation_baggage_dropped") == 2


def test_plain_items_with_control_characters_stay_out():
    """A text map does end up as headers."""
    counters, carrier = Counters(), {}
    write_baggage_plain({"a": "1\r\nevil: 1", "b\n": "2", "c": "ü 3"}, "uberctx-", carrier.__setitem__, counters)
    assert carrier == {"uberctx-c": "ü 3"}
    assert counters.get("propagation_baggage_dropped") == 2
