"""Where pages get traces from: what is read again, what is kept, what goes."""

from __future__ import annotations

import pytest

from sls_tracing.backend.query_params import ParameterError
from sls_tracing.backend.ui import traces as module
from sls_tracing.backend.ui.traces import Traces
from sls_tracing.testing import FakeClock


class CountingStore:
    """A store whose traces have one span each, of whatever id; counts what it is asked."""

    def __init__(self, make_span):
        self.make_span = make_span
        self.asked = []

    def get_trace(self, trace_id):
        self.asked.append(trace_id)
        return [self.make_span(trace_id=trace_id)] if trace_id != 0xDEAD else []


@pytest.fixture
def store(make_span):
    return CountingStore(make_span)


def test_a_page_reads_the_store_and_what_follows_it_does_not(store):
    """Details, rows and finds of a page belong to what it showed; a minute later they are read anew."""
    clock = FakeClock()
    traces = Traces(store, clock)
    page = traces.get("ab")
    assert traces.get("00000000000000AB", follow_up=True) is page
    assert store.asked == [0xAB]
    assert traces.get("ab") is not page
    clock.advance(61)
    traces.get("ab", follow_up=True)
    assert store.asked == [0xAB] * 3


def test_what_is_no_trace(store):
    traces = Traces(store)
    assert traces.get("dead") is None
    assert traces.get("file-0") is None
    with pytest.raises(ParameterError):
        traces.get("no id")


def test_what_is_kept_is_bounded(store, make_span, monkeypatch):
    """The oldest go first, of those from the store and of those from files."""
    monkeypatch.setattr(module, "KEPT_SPANS", 3)
    traces = Traces(store)
    for text in ("1", "2", "3", "4"):
        traces.get(text)
    store.asked.clear()
    for text in ("4", "3", "2"):
        traces.get(text, follow_up=True)
    assert store.asked == []
    traces.get("1", follow_up=True)
    assert store.asked == [1]
    names = [traces.add([make_span(trace_id=n)]) for n in range(1, 6)]
    assert [traces.get(name) is not None for name in names] == [False, False, True, True, True]


def test_what_is_old_is_not_kept_until_it_is_asked_for(store):
    """A large trace that somebody looked at an hour ago takes no memory."""
    clock = FakeClock()
    traces = Traces(store, clock)
    traces.get("1")
    clock.advance(61)
    traces.get("2")
    assert list(traces._recent) == ["0000000000000002"]


def test_the_same_file_is_the_same_trace(store, make_span):
    traces = Traces(store)
    assert traces.add([make_span()]) == traces.add([make_span()])
    assert traces.add([make_span()]) != traces.add([make_span(name="another")])
