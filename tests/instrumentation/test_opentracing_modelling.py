"""OpenTracing's modelling rules as the adapters keep them. Messaging (OT-M02) and databases (OT-M03) have no adapter yet."""

from __future__ import annotations

from typing import Any

import flask
import pytest
import requests
from opentracing.ext import tags

requirement = pytest.mark.requirement


@pytest.fixture
def started(ours, monkeypatch) -> list[tuple[str, dict[str, Any]]]:
    """Each span that is started, with the tags that it is given at that moment."""
    starts = []
    start_span = ours.tracer.start_span

    def noting(operation_name=None, child_of=None, references=None, tags=None, *others, **named):
        starts.append((operation_name, dict(tags or {})))
        return start_span(operation_name, child_of, references, tags, *others, **named)

    monkeypatch.setattr(ours.tracer, "start_span", noting)
    return starts


def serve(view) -> flask.testing.FlaskClient:
    app = flask.Flask("modelled")
    app.add_url_rule("/", view_func=view, endpoint="view")
    return app.test_client()


@requirement("OT-M01", "OT-M07", "OT-G18")
def test_a_server_tells_its_kind_and_its_peer(ours, started) -> None:
    """The kind at start: samplers and id generators may depend on it."""
    serve(lambda: "ok").get("/", environ_base={"REMOTE_PORT": "4711"})
    ((_, at_start),) = started
    assert at_start[tags.SPAN_KIND] == tags.SPAN_KIND_RPC_SERVER
    (span,) = ours.spans
    assert (span.tags[tags.PEER_HOST_IPV4], span.tags[tags.PEER_PORT]) == ("127.0.0.1", 4711)


@requirement("OT-M01", "OT-M06", "OT-M07", "OT-G18")
def test_a_client_tells_its_kind_and_its_peer_even_if_nobody_answers(ours, started) -> None:
    """Port 9 of the loopback is closed."""
    with pytest.raises(requests.ConnectionError):
        requests.get("http://127.0.0.1:9/", timeout=5)
    ((_, at_start),) = started
    assert at_start[tags.SPAN_KIND] == tags.SPAN_KIND_RPC_CLIENT
    (span,) = ours.spans
    assert (span.tags[tags.PEER_HOSTNAME], span.tags[tags.PEER_PORT]) == ("127.0.0.1", 9)
    assert span.tags[tags.ERROR] is True


@requirement("OT-M04", "OT-M05", "OT-L03")
def test_an_unhandled_exception_is_tag_and_log(ours) -> None:
    """The tag tells the state, the log carries the exception."""

    def fail() -> str:
        raise ValueError("broken")

    assert serve(fail).get("/").status_code == 500
    (span,) = ours.spans
    assert span.tags[tags.ERROR] is True
    (log,) = span.errors()
    assert log["error.object"] == "broken"


@requirement("OT-M04", "OT-M06")
def test_a_failed_answer_needs_no_log(ours) -> None:
    """A view that answers 503 by itself raised nothing."""
    serve(lambda: ("busy", 503)).get("/")
    (span,) = ours.spans
    assert span.tags[tags.ERROR] is True
    assert span.errors() == []
