"""What every logstore must do, whatever stores it."""

from __future__ import annotations

import threading

import pytest

from sls_tracing.log_service.index import TOKENS, FieldIndex, Index
from sls_tracing.log_service.logstore import END_OF_TIME, Log, LogGroup, LogServiceError, search_all

SMALL = Index(
    {"name": FieldIndex(tokens=TOKENS), "id": FieldIndex(), "size": FieldIndex("long"), "ratio": FieldIndex("double")}
)


def put(logstore, *logs, **group):
    logstore.put_logs(LogGroup([Log(time, list(contents.items())) for time, contents in logs], **group))


def get(logstore, query="*", from_time=0, to_time=END_OF_TIME, **page):
    return logstore.get_logs(query, from_time, to_time, **page)


def test_a_log_comes_back_as_a_flat_text_map(make_logstore):
    logstore = make_logstore(SMALL)
    contents = {
        "name": "Ä b",
        "id": "",
        "size": "12",
        "ratio": "1.50",
        "other": 'q"\\\x00',
        "Other": "case counts in names",
    }
    put(logstore, (10, contents), topic="t", source="1.2.3.4", tags=[("pack", "p")])
    result = get(logstore)
    assert [dict(log) for log in result.logs] == [
        {**contents, "__tag__:pack": "p", "__time__": "10", "__topic__": "t", "__source__": "1.2.3.4"}
    ]
    assert result.complete
    assert not result.has_sql


@pytest.mark.parametrize("text", ["007", "+1", " 1", "1.0", "-0", "9223372036854775808", "abc", "\u0661", ""])
def test_a_number_field_gives_back_exactly_the_text_that_was_put(make_logstore, text):
    logstore = make_logstore(SMALL)
    put(logstore, (10, {"size": text, "ratio": text}))
    assert get(logstore).logs[0]["size"] == text
    assert get(logstore).logs[0]["ratio"] == text


def test_from_is_included_and_to_is_not(make_logstore):
    logstore = make_logstore(SMALL)
    put(logstore, *[(time, {"id": str(time)}) for time in (9, 10, 19, 20)])
    assert [log["id"] for log in get(logstore, "*", 10, 20).logs] == ["10", "19"]
    assert get(logstore, "* | select count(1) as n", 10, 20).logs == [{"n": "2"}]


def test_pages_follow_each_other_in_time_order_and_in_reverse(make_logstore):
    logstore = make_logstore(SMALL)
    put(logstore, *[(1000 - n, {"id": str(n)}) for n in range(250)])
    assert len(get(logstore).logs) == 100
    assert [log["id"] for log in get(logstore, line=3, offset=248).logs] == ["1", "0"]
    assert [log["id"] for log in get(logstore, line=2, reverse=True).logs] == ["0", "1"]
    assert [log["id"] for log in search_all(logstore, "*", 0, END_OF_TIME)] == [str(n) for n in range(249, -1, -1)]


@pytest.mark.parametrize("page", [{"line": 101}, {"line": -1}, {"offset": -1}])
def test_a_page_outside_the_limits_is_refused(make_logstore, page):
    with pytest.raises(LogServiceError) as caught:
        get(make_logstore(SMALL), **page)
    assert caught.value.code == "ParameterInvalid"


def test_an_analysis_pages_with_limit_and_not_with_offset(make_logstore):
    logstore = make_logstore(SMALL)
    put(logstore, *[(n, {"size": str(n)}) for n in range(300)])
    assert len(get(logstore, "* | select size order by size").logs) == 100
    assert [log["size"] for log in get(logstore, "* | select size order by size limit 150, 2").logs] == ["150", "151"]
    with pytest.raises(LogServiceError, match="use LIMIT"):
        get(logstore, "* | select size", offset=100)


def test_an_empty_group_is_no_error(make_logstore):
    logstore = make_logstore(SMALL)
    put(logstore)
    assert get(logstore).logs == []


def test_a_group_is_stored_whole_or_not_at_all(make_logstore):
    """A log that cannot be stored (half a surrogate pair has no UTF-8 form) takes its group with it and nothing else."""
    logstore = make_logstore(SMALL)
    put(logstore, (1, {"id": "good"}))
    with pytest.raises(LogServiceError) as caught:
        put(logstore, (2, {"id": "before"}), (2, {"id": "\ud800"}))
    assert caught.value.code == "PostBodyInvalid"
    put(logstore, (3, {"id": "after"}))
    assert [log["id"] for log in get(logstore).logs] == ["good", "after"]


def test_without_an_index_a_field_can_be_stored_and_not_searched(make_logstore):
    logstore = make_logstore(SMALL)
    put(logstore, (1, {"free": "x"}))
    assert get(logstore).logs[0]["free"] == "x"
    for query in ("free: x", "* | select free", "* | select count(1) from log where free = 'x'"):
        with pytest.raises(LogServiceError, match="free"):
            get(logstore, query)


def test_any_key_makes_every_field_searchable(make_logstore):
    logstore = make_logstore(SMALL._replace(any_key=True))
    put(logstore, (1, {"free": "x"}), (2, {"free": "X y"}), (3, {}))
    assert len(get(logstore, "free: x").logs) == 1
    assert get(logstore, "* | select free order by free nulls last").logs == [
        {"free": "X y"},
        {"free": "x"},
        {"free": "null"},
    ]
    assert get(logstore, "* | select never_seen limit 1").logs == [{"never_seen": "null"}]


def test_a_new_index_holds_for_new_logs(make_logstore):
    logstore = make_logstore(SMALL)
    put(logstore, (1, {"late": "5"}))
    logstore.set_index(SMALL.merged(Index({"late": FieldIndex("long")})))
    put(logstore, (2, {"late": "6"}), (3, {"late": "x"}))
    assert [log["late"] for log in get(logstore, "late > 0").logs] == ["6"]
    assert [log["late"] for log in get(logstore).logs] == ["5", "6", "x"]
    logstore.set_index(SMALL.merged(Index({"late": FieldIndex("text")})))
    put(logstore, (4, {"late": "7"}))
    assert [log["late"] for log in get(logstore, "late: 7").logs] == ["7"]
    assert [log["late"] for log in get(logstore).logs] == ["5", "6", "x", "7"]


def test_fields_that_differ_in_case_only_are_two_fields(make_logstore):
    logstore = make_logstore(Index({"key": FieldIndex(case_sensitive=True), "KEY": FieldIndex(case_sensitive=True)}))
    put(logstore, (1, {"key": "a", "KEY": "b"}))
    assert len(get(logstore, "key: a and KEY: b").logs) == 1
    assert get(logstore, "key: b or KEY: a").logs == []


def test_more_fields_than_columns_lose_nothing(make_logstore):
    """Unique keys without end (a writer that puts ids into names) must neither be lost nor make columns without end."""
    logstore = make_logstore(SMALL._replace(any_key=True))
    for n in range(4):
        put(logstore, (n, {f"key-{n}-{m}": str(m) for m in range(100)}))
    logs = get(logstore).logs
    assert all(log[f"key-{n}-{m}"] == str(m) for n, log in enumerate(logs) for m in range(100))
    assert len(get(logstore, "key-3-99: 99").logs) == 1
    assert get(logstore, "* | select count(1) as n from log where \"key-3-99\" = '99'").logs == [{"n": "1"}]
    assert len(get(logstore, "key-3-99").logs) == 1, "full text finds a name in the rest"


def test_the_index_is_given_back_as_it_was_set(make_logstore):
    index = Index(
        {"a": FieldIndex(tokens=(",", " "), case_sensitive=True, alias="x"), "b": FieldIndex("double")}, line=None
    )
    logstore = make_logstore(SMALL)
    logstore.set_index(index)
    assert logstore.get_index() == index
    assert Index.from_json(index.to_json()) == index


def test_closing_twice_is_fine_and_using_a_closed_logstore_is_an_error(make_logstore):
    logstore = make_logstore(SMALL)
    logstore.close()
    logstore.close()
    with pytest.raises(LogServiceError, match="closed"):
        get(logstore)
    with pytest.raises(LogServiceError, match="closed"):
        put(logstore, (1, {"id": "x"}))


def test_an_answer_that_stays_incomplete_is_an_error_and_not_half_an_answer():
    class Busy:
        def get_logs(self, *args, **kwargs):
            from sls_tracing.log_service.logstore import QueryResult

            return QueryResult([], complete=False)

    with pytest.raises(LogServiceError, match="incomplete"):
        list(search_all(Busy(), "*", 0, 1))


def test_a_reader_never_sees_a_log_without_its_new_fields(make_logstore):
    """A writer brings a new field with every log, which changes the table, while another thread reads."""
    logstore = make_logstore(SMALL._replace(any_key=True))
    incomplete = []
    done = threading.Event()

    def read():
        while not done.is_set():
            incomplete.extend(log for log in get(logstore).logs if "new" + log["id"] not in log)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for number in range(60):
            put(logstore, (number + 1, {"id": str(number), f"new{number}": "x"}))
    finally:
        done.set()
        reader.join()
    assert incomplete == []
