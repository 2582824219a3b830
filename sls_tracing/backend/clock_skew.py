"""Clocks that differ between hosts, made up for: a child that seems to begin before its parent, or to end after it, is moved into it.

The rule is Jaeger's (jaegertracing/jaeger v1.65.0, model/adjuster/clockskew.go): spans of one host share a clock, the tag ``ip`` of
their process (and spans of one process do, which Jaeger overlooks); a child on another host, or where hosts are not known, is moved by what centres it in its parent, and takes its descendants of the same host along.
It cannot tell a skewed clock from work that really outlives its parent, so it is off unless a bound is set. What would be moved
further than that stays where it is, with a warning.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from sls_tracing.backend.shared_spans import parent_index

if TYPE_CHECKING:
    from sls_tracing.backend.trace_json import JSONObject

__all__ = ["adjust_clock_skew", "warn"]


def adjust_clock_skew(trace: JSONObject, most: float) -> None:
    """Move spans and their logs, in place, by at most ``most`` seconds. Spans without a usable parent are roots."""
    limit = round(most * 1e6)
    known: dict[str, JSONObject] = {}
    for span in trace["spans"]:
        if span["spanID"] in known:
            warn(span, "duplicate span IDs; skipping clock skew adjustment")
        else:
            known[span["spanID"]] = span
    children: dict[str, list[JSONObject]] = defaultdict(list)
    roots = []
    for span in known.values():
        parent = parent_index(span)
        if parent is None:
            roots.append(span)
            continue
        parent_id = span["references"][parent]["spanID"]
        if parent_id in known:
            children[parent_id].append(span)
        else:
            warn(span, f"invalid parent span IDs={parent_id}; skipping clock skew adjustment")
            roots.append(span)
    hosts = {name: _host(process) for name, process in trace["processes"].items()}
    # A stack of our own: a chain of spans may be longer than Python's recursion goes. Spans in a circle hang on no root and are left alone.
    waiting = [(root, 0) for root in roots]
    while waiting:
        parent_span, shift = waiting.pop()
        host = hosts[parent_span["processID"]]
        for child in children.pop(parent_span["spanID"], ()):
            same_process = child["processID"] == parent_span["processID"]
            same_clock = same_process or (host and hosts[child["processID"]] == host)
            own = shift if same_clock else _skew(child, parent_span)
            waiting.append((child, _move(child, own, limit)))


def _host(process: JSONObject) -> str:
    return next((str(tag["value"]) for tag in process["tags"] if tag["key"] == "ip"), "")


def _skew(child: JSONObject, parent: JSONObject) -> int:
    """Return by how many microseconds the child is to be moved."""
    begin, took = child["startTime"], child["duration"]
    parent_begin, parent_took = parent["startTime"], parent["duration"]
    if took > parent_took:  # it cannot fit, so it only must not begin first
        return max(0, int(parent_begin - begin))
    if parent_begin <= begin and begin + took <= parent_begin + parent_took:
        return 0
    return int(parent_begin - begin + (parent_took - took) // 2)


def _move(span: JSONObject, skew: int, limit: int) -> int:
    """Move one span and return by how much its descendants on the same host move with it."""
    if not skew:
        return 0
    if not limit:
        warn(span, f"clock skew adjustment is disabled; a calculated shift of {skew} µs was not applied")
        return 0
    if abs(skew) > limit:
        warn(span, f"a calculated shift of {skew} µs for clock skew was not applied: {limit} µs is the most")
        return 0
    span["startTime"] += skew
    for log in span["logs"]:
        log["timestamp"] += skew
    warn(span, f"this span was moved by {skew} µs to make up for clock skew")
    return skew


def warn(span: JSONObject, warning: str) -> None:
    """Add a warning to a span; the UI shows those in yellow."""
    span["warnings"] = [*(span["warnings"] or ()), warning]
