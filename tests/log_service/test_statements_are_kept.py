"""What was read once is kept, and never outlives what it was read for."""

from __future__ import annotations

from sls_tracing.log_service.index import FieldIndex
from sls_tracing.log_service.logstore import Log, LogGroup
from sls_tracing.log_service.trace_query import TraceQuery

NOW = 1_700_000_000


def test_a_new_index_holds_for_statements_asked_before(make_logstore):
    """The same text means something else once a field is a number."""
    logstore = make_logstore()
    statement = "* | select max(size) as m from log"
    logstore.set_index(logstore.get_index()._replace(keys={**logstore.get_index().keys, "size": FieldIndex()}))
    logstore.put_logs(LogGroup([Log(NOW, [("size", "9")]), Log(NOW, [("size", "10")])]))
    assert logstore.get_logs(statement, NOW, NOW + 1).logs[0]["m"] == "9"
    keys = {**logstore.get_index().keys, "size": FieldIndex("long")}
    logstore.set_index(logstore.get_index()._replace(keys=keys))
    logstore.put_logs(LogGroup([Log(NOW + 5, [("size", "9")]), Log(NOW + 5, [("size", "10")])]))
    assert logstore.get_logs(statement, NOW + 5, NOW + 6).logs[0]["m"] == "10"


def test_columns_that_came_later_are_found_by_statements_asked_before(store, make_span):
    """A first span with a tag adds its column; the search for it was asked when there was none."""
    query = TraceQuery(tags={"late": "x"})
    assert store.find_traces(query) == []
    store.write([make_span(1, 1, tags={"late": "x"})])
    assert len(store.find_traces(query)) == 1


def test_the_present_time_is_asked_anew(make_logstore):
    """It is part of the statement once that is read."""
    logstore = make_logstore()
    statement = "* | select max(now()) as t, count(1) as c from log"
    logstore.put_logs(LogGroup([Log(NOW, [("operationName", "x")])]))
    first, second = (logstore.get_logs(statement, NOW, NOW + 1).logs[0]["t"] for _ in range(2))
    assert first < second
