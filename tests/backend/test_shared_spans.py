from __future__ import annotations

import pytest

from sls_tracing.backend.adjusters import adjust
from sls_tracing.backend.trace_json import trace_to_json
from sls_tracing.model import Reference


def side(make_span, kind, service, span_id, parent_id=None, start=1.0, **more):
    return make_span(
        kind, span_id=span_id, parent_id=parent_id, service=service, tags={"span.kind": kind}, start=start, **more
    )


def tree(*spans):
    """The adjusted trace as (service, kind, parent's service and kind), in the order of the spans; and its warnings but for those of clocks."""
    trace = adjust(trace_to_json(spans))

    def name(span):
        return f"{trace['processes'][span['processID']]['serviceName']} {span['operationName']}"

    by_id = {span["spanID"]: span for span in trace["spans"]}
    assert len(by_id) == len(trace["spans"])
    found = {name(span): [name(by_id[link["spanID"]]) for link in span["references"]] for span in trace["spans"]}
    warnings = [warning for span in trace["spans"] for warning in span["warnings"] or ()]
    return found, [warning for warning in warnings if not warning.startswith("clock skew adjustment is disabled")]


def test_the_server_becomes_the_clients_child(make_span):
    """With an id of its own, and what it did below it; nothing is left to warn of."""
    found, warnings = tree(
        side(make_span, "client", "web", 5, 1),
        side(make_span, "server", "db", 5, 1),
        side(make_span, "client", "db", 6, 5),
        side(make_span, "root", "web", 1),
    )
    assert found == {
        "web client": ["web root"],
        "db server": ["web client"],
        "db client": ["db server"],
        "web root": [],
    }
    assert warnings == []


def test_a_shared_root(make_span):
    """A call that begins a trace has no parent on either side."""
    found, _ = tree(side(make_span, "client", "web", 5), side(make_span, "server", "db", 5))
    assert found == {"web client": [], "db server": ["web client"]}


def test_what_the_client_did_stays_with_the_client(make_span):
    """A child that the client's own service reported was not made behind the call."""
    found, _ = tree(
        side(make_span, "client", "web", 5),
        side(make_span, "server", "db", 5),
        side(make_span, "connect", "web", 7, 5),
        side(make_span, "serve", "app", 8, 5),
    )
    assert found["web connect"] == ["web client"]
    assert found["app serve"] == ["db server"]


def test_a_repeated_call(make_span):
    """Two servers under one id: each its own; a child goes to its service's, else to the one that began last before it."""
    found, warnings = tree(
        side(make_span, "client", "web", 5, start=1.0),
        side(make_span, "server", "db-1", 5, start=1.1),
        side(make_span, "server", "db-2", 5, start=1.5),
        side(make_span, "work", "db-1", 7, 5, start=1.6),
        side(make_span, "early", "app", 8, 5, start=1.2),
        side(make_span, "late", "app", 9, 5, start=1.7),
    )
    assert found["db-1 server"] == found["db-2 server"] == ["web client"]
    assert found["db-1 work"] == found["app early"] == ["db-1 server"]
    assert found["app late"] == ["db-2 server"]
    assert warnings == []


def test_new_ids_are_unused_ones(make_span):
    """1, 2, … as Jaeger counts, but none that the trace has."""
    spans = [
        side(make_span, "client", "a", 5),
        side(make_span, "server", "b", 5),
        side(make_span, "x", "a", 1),
        side(make_span, "y", "a", 2),
    ]
    trace = adjust(trace_to_json(spans))
    assert [span["spanID"][-1] for span in trace["spans"]] == ["5", "3", "1", "2"]


def test_a_span_that_came_twice_gets_one_id(make_span):
    """Duplicates go first."""
    server = side(make_span, "server", "b", 5)
    trace = adjust(trace_to_json([side(make_span, "client", "a", 5), server, server]))
    assert len(trace["spans"]) == 2


def test_other_references_stay(make_span):
    """Only the parent changes; links into other traces or by FOLLOWS_FROM beside a parent are as they were."""
    links = [Reference("follows_from", 0xDEF, 5), Reference("child_of", 0xABC, 5)]
    spans = [
        side(make_span, "client", "a", 5),
        side(make_span, "server", "b", 5),
        side(make_span, "x", "b", 7, references=links),
    ]
    trace = adjust(trace_to_json(spans))
    assert [(link["traceID"][-3:], link["spanID"][-1]) for link in trace["spans"][2]["references"]] == [
        ("abc", "1"),
        ("def", "5"),
    ]


@pytest.mark.parametrize("kinds", [("server", "server"), ("client", "client"), ("", "")])
def test_one_id_twice_without_two_sides_is_left_alone(make_span, kinds):
    """Nothing says which is the parent; the warning stays."""
    trace = adjust(trace_to_json([side(make_span, kind, f"s{n}", 5) for n, kind in enumerate(kinds)]))
    assert len({span["spanID"] for span in trace["spans"]}) == 1
    assert any("duplicate span IDs" in warning for span in trace["spans"] for warning in span["warnings"] or ())


def test_raw_is_untouched(make_span):
    """raw=true shows what is stored."""
    trace = trace_to_json([side(make_span, "client", "a", 5), side(make_span, "server", "b", 5)])
    assert {span["spanID"][-1] for span in trace["spans"]} == {"5"}


def test_addresses_that_are_numbers(make_span):
    """ip and peer.ipv4 as older clients send them are shown as addresses; other integers stay."""
    trace = adjust(trace_to_json([make_span(tags={"peer.ipv4": 0x7F000001, "n": 1}, process_tags={"ip": -1})]))
    tags = {tag["key"]: (tag["type"], tag["value"]) for tag in trace["spans"][0]["tags"]}
    assert tags == {"peer.ipv4": ("string", "127.0.0.1"), "n": ("int64", 1)}
    assert trace["processes"]["p1"]["tags"] == [{"key": "ip", "type": "string", "value": "255.255.255.255"}]


def test_references_to_nowhere(make_span):
    """A trace id of 0 names no trace; the reference is left out with a warning."""
    span = make_span(references=[Reference("follows_from", 0, 7), Reference("follows_from", 0xDEF, 7)])
    trace = adjust(trace_to_json([span]))
    assert [link["traceID"][-3:] for link in trace["spans"][0]["references"]] == ["def"]
    assert "id 0" in trace["spans"][0]["warnings"][0]
