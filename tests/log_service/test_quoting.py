"""A value can never break out of its quotes: whatever it holds, it is found as itself and changes nothing else."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from sls_tracing.log_service.embedded import EmbeddedLogstore
from sls_tracing.log_service.index import TOKENS, FieldIndex, Index
from sls_tracing.log_service.logstore import END_OF_TIME, Log, LogGroup, LogServiceError
from sls_tracing.log_service.query.quoting import search_name, search_value, sql_name, sql_value
from sls_tracing.log_service.query.search import Field, Value, parse_search

HOSTILE = st.text(alphabet="\"'\\|;-*?()[]{}:$\x00\n %_#ab/`=<>,.~^\x1f", max_size=12)
TEXTS = st.one_of(st.text(st.characters(exclude_categories=["Cs"]), max_size=20), HOSTILE)
EXAMPLES = [
    "'",
    '"',
    "\\",
    '\\"',
    "' or 1=1 --",
    '" or *',
    '") or ("',
    "'); drop table log; --",
    "*",
    "a* | select 1",
    "$.x",
    "\x00",
    "",
]


@pytest.fixture(scope="module")
def logstore():
    """A field with words, one without, any other found in its own column or in JSON."""
    index = Index({"words": FieldIndex(tokens=TOKENS), "whole": FieldIndex(case_sensitive=True)}, any_key=True)
    logstore = EmbeddedLogstore(index=index)
    logstore.put_logs(LogGroup([Log(1, [("whole", "bystander"), ("words", "bystander"), ("free", "bystander")])]))
    yield logstore
    logstore.close()


def times(logstore, query, from_time):
    return [log["__time__"] for log in logstore.get_logs(query, from_time, END_OF_TIME, reverse=True).logs]


_clock = iter(range(10, 10**9))


def examples(test):
    for text in EXAMPLES:
        test = example(text)(test)
    return test


@examples
@given(TEXTS)
def test_a_quoted_value_is_one_phrase(text):
    assert parse_search(f"{search_name('f')}: {search_value(text)}") == Field("f", Value(text), 0)


@examples
@given(TEXTS)
def test_a_quoted_name_is_one_name(text):
    node = parse_search(f"{search_name(text)}: {search_value('v')}")
    assert isinstance(node, Field)
    assert node.name == text or text == "__tag__"


@examples
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(TEXTS)
def test_a_value_finds_itself_and_no_bystander(logstore, text):
    """In both halves of a query, in every kind of field."""
    now = next(_clock)
    logstore.put_logs(LogGroup([Log(now, [("whole", text), ("words", text), ("free", text)])]))
    whole, words, free = (f"{name}: {search_value(text)}" for name in ("whole", "words", "free"))
    for query in (whole, free, f"{whole} and not whole: {search_value(text + 'x')}", words if text else "*"):
        assert times(logstore, query, now) == [str(now)], query
    for field in ("whole", "words", "free"):
        sql = f"select count(1) as n from log where {sql_name(field)} = {sql_value(text)}"
        assert logstore.get_logs(f"* | {sql}", now, END_OF_TIME).logs == [{"n": "1"}], sql
    if text != "bystander":
        assert logstore.get_logs(whole, 0, 2).logs == []
        assert logstore.get_logs(f"* | select whole from log where whole = {sql_value(text)}", 0, 2).logs == []


@examples
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(TEXTS)
def test_a_name_finds_itself(logstore, text):
    if text.startswith("__") or text in ("words", "whole"):
        return
    now = next(_clock)
    logstore.put_logs(LogGroup([Log(now, [(text, "v"), ("whole", "w")])]))
    assert times(logstore, f"{search_name(text)}: v", now) == [str(now)]
    if text and "\0" not in text:  # SQL has no empty identifier, and DuckDB before 2.0 none with a NUL
        sql = f"select count(1) as n from log where {sql_name(text)} = 'v'"
        assert logstore.get_logs(f"* | {sql}", now, END_OF_TIME).logs == [{"n": "1"}], sql


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(st.one_of(TEXTS, st.text(alphabet="ab*? \"\\:()[]|<>=notrinde1#'", max_size=40)))
def test_any_text_as_a_query_is_an_answer_or_a_parameter_error(logstore, text):
    try:
        logstore.get_logs(text, 0, 2)
    except LogServiceError as error:
        if error.code != "ParameterInvalid":
            raise
