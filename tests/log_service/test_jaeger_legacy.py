"""The schema of Jaeger on Log Service (facts: aliyun-log-jaeger, plugin/storage/aliyunlog/spanstore)."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sls_tracing.context import SpanContext
from sls_tracing.log_service.dialects import jaeger_legacy
from sls_tracing.log_service.dialects.values import as_text, from_time, to_time
from sls_tracing.model import LogRecord, Process, Reference, SpanRecord

SPAN = SpanRecord(
    operation_name="GET /",
    context=SpanContext(0xAB, 0xD05, 0xCD, wide=False),
    references=[Reference("child_of", 0xAB, 0xCD), Reference("follows_from", 1 << 64, 1)],
    start_time=1_704_135_845.000006,
    finish_time=1_704_135_845.250007,
    tags={"http.status_code": 200, "error": True, "ratio": 1 / 3, "key": b"\x00\xff", "text": "200"},
    logs=[LogRecord(1_704_135_845.000006, {"a": "x", "b": True, "c": 7, "d": 2.5, "e": b"\x00\x01", "f": False, "g": 0, "h": "", "i": 0.0})],
    process=Process("reviews", {"ip": "10.0.0.1", "pid": 42}),
    warnings=["w1", "w2"],
)  # fmt: skip


def contents(span):
    return dict(jaeger_legacy.to_log(span).contents)


def test_the_contents_stand_in_jaegers_order_with_jaegers_spelling():
    log = jaeger_legacy.to_log(SPAN)
    assert log.time == 1_704_135_845
    assert log.time_ns is None
    assert log.contents[:-4] == [
        ("traceID", "00000000000000ab"),
        ("spanID", "d05"),
        ("parentSpanID", "cd"),
        ("operationName", "GET /"),
        ("flags", "1"),
        ("startTime", "1704135845000006"),
        ("duration", "250001"),
        ("process.serviceName", "reviews"),
        ("tags.http.status_code", "200"),
        ("tags.error", "true"),
        ("tags.ratio", "0.3333333333"),
        ("tags.key", "00ff"),
        ("tags.text", "200"),
        ("process.tags.ip", "10.0.0.1"),
        ("process.tags.pid", "42"),
    ]
    assert [key for key, _ in log.contents[-4:]] == ["reference", "logs", "Warnings", "typedTags"]


def test_references_logs_and_warnings_are_jaegers_json():
    """Zero values have no v* member; a float is the bits of its IEEE form as a signed integer; bytes are base64."""
    stored = contents(SPAN)
    assert stored["reference"] == (
        '[{"refType":"child-of","traceID":"00000000000000ab","spanID":"cd"},'
        '{"refType":"follows-from","traceID":"00000000000000010000000000000000","spanID":"1"}]'
    )
    assert stored["logs"] == (
        '[{"timestamp":"2024-01-01T19:04:05.000006Z","fields":[{"key":"a","vType":"string","vStr":"x"},'
        '{"key":"b","vType":"bool","vNum":1},{"key":"c","vType":"int64","vNum":7},'
        '{"key":"d","vType":"float64","vNum":4612811918334230528},{"key":"e","vType":"binary","vBlob":"AAE="},'
        '{"key":"f","vType":"bool"},{"key":"g","vType":"int64"},{"key":"h","vType":"string"},{"key":"i","vType":"float64"}]}]'
    )
    assert stored["Warnings"] == '["w1","w2"]'


def test_empty_lists_are_left_out():
    stored = contents(SPAN._replace(references=[], logs=[], warnings=[], tags={"a": "b"}, process=Process("s")))
    assert set(stored) == {
        "traceID", "spanID", "parentSpanID", "operationName", "flags", "startTime", "duration", "process.serviceName", "tags.a",
    }  # fmt: skip


def test_a_root_has_parent_zero():
    assert contents(SPAN._replace(context=SpanContext(1, 2), references=[]))["parentSpanID"] == "0"


def test_the_parent_is_found_as_jaeger_finds_it():
    """First child-of in the same trace, else first follows-from in the same trace, else none."""
    span = SPAN._replace(context=SpanContext(5, 2))
    other, follows, child = Reference("child_of", 9, 1), Reference("follows_from", 5, 3), Reference("child_of", 5, 4)
    assert contents(span._replace(references=[other, follows, child]))["parentSpanID"] == "4"
    assert contents(span._replace(references=[other, follows]))["parentSpanID"] == "3"
    assert contents(span._replace(references=[other]))["parentSpanID"] == "0"


def test_a_wide_trace_id_has_32_digits():
    assert contents(SPAN._replace(context=SpanContext(0xA << 64, 1)))["traceID"] == "000000000000000a0000000000000000"


@pytest.mark.parametrize(
    ("sampled", "debug", "flags"), [(True, False, "1"), (False, False, "0"), (True, True, "3"), (None, False, "0")]
)
def test_flags(sampled, debug, flags):
    assert contents(SPAN._replace(context=SpanContext(1, 2, sampled=sampled, debug=debug)))["flags"] == flags


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "true"),
        (False, "false"),
        (-7, "-7"),
        (2**70, str(2**70)),
        (0.25, "0.25"),
        (100.0, "100"),
        (1e10, "1e+10"),
        (123456789012.0, "1.23456789e+11"),
        (0.00001, "1e-05"),
        (math.inf, "+Inf"),
        (-math.inf, "-Inf"),
        (math.nan, "NaN"),
        (b"\xab\xcd", "abcd"),
        (b"\x01" * 257, "01" * 256 + "..."),
        ("half \ud800", "half ?"),
    ],
)
def test_values_as_text(value, text):
    """Go's 'g' format with 10 digits; binary in hex, cut after 256 bytes; text as UTF-8 can hold it."""
    assert as_text(value) == text


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2024-01-02T03:04:05.000006+08:00", 1_704_135_845.000006),
        ("2024-01-01T19:04:05.000006Z", 1_704_135_845.000006),
        ("2024-01-01T19:04:05.123456789Z", 1_704_135_845.123457),
        ("2024-01-01T19:04:05Z", 1_704_135_845.0),
        ("1969-12-31T23:59:59.5Z", -0.5),
    ],
)
def test_times_are_read_with_any_offset_and_precision(text, seconds):
    assert from_time(text) == seconds


def test_times_are_written_without_trailing_zeros():
    assert to_time(1_704_135_845.5) == "2024-01-01T19:04:05.5Z"
    assert to_time(1_704_135_845) == "2024-01-01T19:04:05Z"


# --- round trip ---

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
IDS = st.integers(1, 2**64 - 1)
TRACE_IDS = st.one_of(IDS, st.integers(2**64, 2**128 - 1))
MICROS = st.integers(0, 4 * 10**15)
INT64 = st.integers(-(2**63), 2**63 - 1)
VALUES = st.one_of(TEXT, st.booleans(), INT64, st.floats(allow_nan=False), st.binary(max_size=300))
TAGS = st.dictionaries(TEXT, st.one_of(VALUES, st.integers()), max_size=6)


@st.composite
def spans(draw):
    trace_id = draw(TRACE_IDS)
    parent_id = draw(st.none() | IDS)
    references = [Reference("child_of", trace_id, parent_id)] if parent_id else []
    references += draw(st.lists(st.builds(Reference, st.just("follows_from"), TRACE_IDS, IDS), max_size=2))
    if parent_id is None:
        references = [reference for reference in references if reference.trace_id != trace_id]
    start = draw(MICROS)
    return SpanRecord(
        draw(TEXT),
        SpanContext(trace_id, draw(IDS), parent_id, draw(st.booleans()), draw(st.booleans()), wide=trace_id >> 64 > 0),
        references,
        start / 1e6,
        (start + draw(st.integers(0, 10**12))) / 1e6,
        draw(TAGS),
        draw(
            st.lists(
                st.builds(LogRecord, MICROS.map(lambda us: us / 1e6), st.dictionaries(TEXT, VALUES, max_size=3)),
                max_size=3,
            )
        ),
        Process(draw(TEXT), draw(TAGS)),
        draw(st.lists(TEXT, max_size=2)),
    )


@given(spans())
def test_every_span_comes_back_with_its_types(span):
    """Ints as ints, bools as bools, bytes of any length, floats to the last bit: the sidecar keeps what the schema loses."""
    back = jaeger_legacy.from_log(contents(span))
    assert back == span
    assert [type(value) for value in back.tags.values()] == [type(value) for value in span.tags.values()]


@given(spans())
def test_without_the_sidecar_every_tag_is_text(span):
    """What another writer stored, or another reader sees."""
    stored = contents(span)
    stored.pop("typedTags", None)
    back = jaeger_legacy.from_log(stored)
    assert back.tags == {key: as_text(value) for key, value in span.tags.items()}
    assert back._replace(tags=span.tags, process=span.process) == span


def test_the_sidecar_counts_only_where_it_agrees_with_the_text():
    """Somebody may have rewritten the visible tag; what is visible is true."""
    stored = contents(SPAN) | {"tags.http.status_code": "404"}
    assert jaeger_legacy.from_log(stored).tags["http.status_code"] == "404"
    assert jaeger_legacy.from_log(stored).tags["error"] is True


# --- tolerant reading ---


def read(**changes):
    base = {"traceID": "00000000000000ab", "spanID": "d05", "startTime": "1704135845000006"}
    return jaeger_legacy.from_log({key: value for key, value in (base | changes).items() if value is not None})


@pytest.mark.parametrize("trace_id", ["ab", "00000000000000ab", "00000000000000AB", "0" * 30 + "ab"])
def test_trace_ids_are_read_padded_or_not(trace_id):
    context = read(traceID=trace_id).context
    assert context.trace_id == 0xAB
    assert context.wide is (len(trace_id) > 16)


@pytest.mark.parametrize("parent", ["", "0", "0000000000000000", "null", None])
def test_every_spelling_of_no_parent_is_a_root(parent):
    assert read(parentSpanID=parent).context.parent_id is None
    assert read(parentSpanID=parent).references == []


def test_a_parent_without_reference_makes_one():
    assert read(parentSpanID="0cd").references == [Reference("child_of", 0xAB, 0xCD)]
    stored = read(parentSpanID="cd", reference='[{"refType":"follows-from","traceID":"1","spanID":"2"}]')
    assert stored.references == [Reference("child_of", 0xAB, 0xCD), Reference("follows_from", 1, 2)]


def test_an_unreadable_parent_costs_the_link_and_leaves_a_warning():
    span = read(parentSpanID="xyz")
    assert span.context.parent_id is None
    assert "parentSpanID" in span.warnings[0]


def test_missing_keys_have_defaults():
    span = read(startTime=None, __time__="1704135845")
    assert (span.start_time, span.finish_time) == (1_704_135_845.0, 1_704_135_845.0)
    assert (span.operation_name, span.process.service_name, span.tags, span.logs) == ("", "", {}, [])
    assert span.context.sampled is True


@pytest.mark.parametrize("key", ["reference", "logs", "Warnings"])
@pytest.mark.parametrize("text", ["{", "17", '"x"', "[" * 5000])
def test_unreadable_json_is_a_warning_and_not_the_end_of_the_trace(key, text):
    span = read(**{key: text})
    assert len(span.warnings) == 1
    assert key in span.warnings[0]


def test_one_bad_element_costs_itself_only():
    logs = [
        {"timestamp": "2024-01-01T19:04:05Z", "fields": [{"key": "a", "vType": "string", "vStr": "x"}]},
        {"timestamp": "yesterday", "fields": []},
        {"timestamp": "2024-01-01T19:04:05Z", "fields": [{"vType": "string"}]},
        {"timestamp": "2024-01-01T19:04:05Z", "fields": [{"key": "n", "vType": "float64", "vNum": 2**70}]},
        17,
    ]
    span = read(logs=json.dumps(logs), typedTags="[]")
    assert [log.fields for log in span.logs] == [{"a": "x"}]
    assert len(span.warnings) == 5


@pytest.mark.parametrize(
    "changes",
    [
        {"traceID": ""},
        {"traceID": "null"},
        {"traceID": "0"},
        {"traceID": None},
        {"traceID": "xyz"},
        {"traceID": "1" * 33},
        {"traceID": "+1"},
        {"spanID": "1_0"},
        {"spanID": "1" * 17},
        {"spanID": None},
        {"startTime": "soon"},
        {"startTime": "9" * 400},
        {"startTime": None},
    ],
)
def test_a_log_without_a_usable_identity_is_no_span(changes):
    with pytest.raises(ValueError):
        read(**changes)


@pytest.mark.parametrize("change", [{"context": SpanContext()}, {"start_time": 1e300}, {"start_time": math.nan}])
def test_a_span_without_ids_or_a_time_cannot_be_a_log(change):
    with pytest.raises(ValueError):
        jaeger_legacy.to_log(SPAN._replace(**change))


def test_a_log_field_of_an_impossible_time_is_stored_at_the_nearest_possible():
    span = SPAN._replace(logs=[LogRecord(9e12, {"a": "x"}), LogRecord(-9e12, {})])
    assert [to_time(log.timestamp) for log in jaeger_legacy.from_log(contents(span)).logs] == [
        "9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z",
    ]  # fmt: skip


def test_the_index_is_the_collectors_and_more():
    """Fields and types as Jaeger's collector creates them, so that its dashboards and queries work."""
    keys = jaeger_legacy.INDEX.keys
    assert len(keys) == 25  # 22 of its own, tags.error, and the two that adaptive sampling counts by
    assert {name for name, key in keys.items() if key.tokens} == {"operationName", "process.serviceName", "spanID"}
    assert {name for name, key in keys.items() if key.type == "long"} == {
        "duration", "startTime", "tags.request_size", "tags.response_size",
    }  # fmt: skip
    assert "tags.error" in keys
    assert all(key.doc_value for key in keys.values())
