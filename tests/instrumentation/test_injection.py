"""Headers put into requests' own store at once: whatever names a propagator writes, what is ours is known again."""

from __future__ import annotations

from typing import Any

import opentracing
import pytest
from requests.structures import CaseInsensitiveDict

import sls_tracing.instrumentation.requests  # which makes its dictionary known  # noqa: F401
from sls_tracing import ConstSampler, Tracer
from sls_tracing.instrumentation import _injection
from sls_tracing.instrumentation._http import ClientCall
from sls_tracing.instrumentation._options import HTTPOptions
from sls_tracing.reporters import InMemoryReporter

NOT_TO_OTHERS = HTTPOptions(propagate_to="here")


class Writes:
    """A format of somebody's own."""

    def __init__(self, *names: str) -> None:
        self.names = names

    def inject(self, context: Any, carrier: Any) -> None:
        for name in self.names:
            carrier[name] = context.to_span_id()

    def extract(self, carrier: Any) -> None:
        return None


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    """Names that were learnt are forgotten again."""
    monkeypatch.setattr(_injection, "_ours", set(_injection._ours))
    monkeypatch.setattr(_injection, "lower_case_stores", set(_injection.lower_case_stores))


def send(headers: Any, url: str, *names: str) -> str:
    tracer = Tracer(
        "shop", InMemoryReporter(), ConstSampler(True), propagation={opentracing.Format.HTTP_HEADERS: Writes(*names)}
    )
    call = ClientCall.start(tracer, "requests", "GET", url, headers, NOT_TO_OTHERS)
    assert call is not None
    call.inject(headers)
    return str(call.span.context.to_span_id())


@pytest.mark.parametrize("name", ["my-trace", "My-Trace"])
def test_a_later_injection_replaces_an_earlier_one(name):
    """And leaves nothing where none is due: the second host is one that gets no headers."""
    headers: Any = CaseInsensitiveDict({"Accept": "*/*"})
    first = send(headers, "http://here/", name)
    assert headers["MY-TRACE"] == first
    second = send(headers, "http://here/", name)
    assert headers["MY-TRACE"] == second != first
    send(headers, "http://elsewhere/", name)
    assert dict(headers) == {"Accept": "*/*"}


def test_a_header_of_the_callers_wins():
    """Under a name that nobody knew before."""
    headers: Any = CaseInsensitiveDict({"My-Trace": "mine"})
    send(headers, "http://here/", "my-trace", "beside")
    assert headers["my-trace"] == "mine"
    assert "beside" in headers


def test_more_names_than_are_remembered(monkeypatch):
    """Baggage has names that strangers choose: from then on each request is looked at closely, with the same outcome."""
    monkeypatch.setattr(_injection, "_MOST_NAMES", len(_injection._ours) + 3)
    headers: Any = CaseInsensitiveDict({"Accept": "*/*"})
    for number in range(5):
        last = send(headers, "http://here/", f"baggage-{number}", "my-trace")
        assert dict(headers) == {"Accept": "*/*", f"baggage-{number}": last, "my-trace": last}
    assert not _injection.lower_case_stores
    assert len(_injection._ours) <= _injection._MOST_NAMES + 2
