"""Zipkin's shared spans, taken apart: the client's and the server's side of a call report under one id (Brave, Istio 1.0, Envoy's
``shared_span_context``), and a tree with one id twice has no order.

The server's side gets an id of its own and becomes the client's child, as in jaegertracing/jaeger v1.65.0,
model/adjuster/zipkin_span_id_uniquify.go. There all children of the shared id move to the server; here those that the client's
own service reported stay with the client (envoyproxy/envoy#4642). Spans of one kind under one id stay as they are: nothing says which
of them is the other's parent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sls_tracing.backend.trace_json import JSONObject

__all__ = ["parent_index", "separate_shared_spans"]


class _Call(NamedTuple):
    """The sides of a call that share an id; several servers if the client's call was repeated on its way."""

    client: JSONObject
    servers: Sequence[JSONObject]


def separate_shared_spans(trace: JSONObject) -> None:
    """Give the server's side of every shared span an id of its own. Works on the rendered trace, in place."""
    calls = _calls(trace["spans"])
    if not calls:
        return
    new_ids = _unused_ids({span["spanID"] for span in trace["spans"]})
    own_ids = {id(server): next(new_ids) for call in calls.values() for server in call.servers}
    for span in trace["spans"]:
        parent = parent_index(span)
        call = None if parent is None else calls.get(span["references"][parent]["spanID"])
        # A server's side names its client's parent, or its client, as its own; either way it is about to change.
        if call is not None and id(span) not in own_ids and (server := _server_above(span, call, trace)) is not None:
            span["references"][parent]["spanID"] = own_ids[id(server)]
    for call in calls.values():
        for server in call.servers:
            _make_child(server, call.client)
            server["spanID"] = own_ids[id(server)]


def _calls(spans: Sequence[JSONObject]) -> dict[str, _Call]:
    clients: dict[str, JSONObject] = {}
    servers: dict[str, list[JSONObject]] = {}
    for span in spans:
        kind = _kind(span)
        if kind == "client":
            clients.setdefault(span["spanID"], span)
        elif kind == "server":
            servers.setdefault(span["spanID"], []).append(span)
    return {span_id: _Call(client, servers[span_id]) for span_id, client in clients.items() if span_id in servers}


def _server_above(span: JSONObject, call: _Call, trace: JSONObject) -> JSONObject | None:
    """Return which server's side the span belongs under; None if it belongs under the client."""
    services = [_service(server, trace) for server in call.servers]
    own = _service(span, trace)
    if own in services:
        return call.servers[services.index(own)]
    if own == _service(call.client, trace):
        return None
    begun = [server for server in call.servers if server["startTime"] <= span["startTime"]]
    return max(begun, key=lambda server: int(server["startTime"]), default=call.servers[0])


def _make_child(server: JSONObject, client: JSONObject) -> None:
    link = {"refType": "CHILD_OF", "traceID": client["traceID"], "spanID": client["spanID"]}
    parent = parent_index(server)
    if parent is None:
        server["references"].insert(0, link)
    else:
        server["references"][parent] = link


def _unused_ids(used: set[str]) -> Iterator[str]:
    number = 0
    while True:
        number += 1
        if (new := format(number, "016x")) not in used:
            yield new


def _kind(span: JSONObject) -> str:
    return next((str(tag["value"]).lower() for tag in span["tags"] if tag["key"] == "span.kind"), "")


def _service(span: JSONObject, trace: JSONObject) -> str:
    return str(trace["processes"][span["processID"]]["serviceName"])


def parent_index(span: JSONObject) -> int | None:
    """Return where the parent stands: the first CHILD_OF in the same trace, else the first of another type there (model/span.go)."""
    same_trace = [i for i, link in enumerate(span["references"]) if link["traceID"] == span["traceID"]]
    children = (i for i in same_trace if span["references"][i]["refType"] == "CHILD_OF")
    return next(children, same_trace[0] if same_trace else None)
