"""What Jaeger does to a trace before it shows it; ``raw=true`` asks for the trace without it.

The adjusters work on the rendered trace (:mod:`~sls_tracing.backend.trace_json`) and are those of
jaegertracing/jaeger v1.65.0, cmd/query/app/querysvc/adjusters.go. Duplicates go before shared spans are separated, not after as there: a
span that was delivered twice would otherwise get two ids. Clock skew is only warned of unless a bound is set: Jaeger's own default since
v1.20, because the correction hid more than it helped (jaeger#1459, #2513).
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from sls_tracing.backend.clock_skew import adjust_clock_skew, warn
from sls_tracing.backend.shared_spans import parent_index, separate_shared_spans

if TYPE_CHECKING:
    from sls_tracing.backend.trace_json import JSONObject

__all__ = ["adjust"]


def adjust(trace: JSONObject, max_clock_skew: float = 0.0) -> JSONObject:
    """Adjust the trace in place and return it. ``max_clock_skew`` in seconds: how far spans may be moved; 0 moves none."""
    _sort_tags_and_log_fields(trace)
    _drop_duplicates(trace)
    separate_shared_spans(trace)
    adjust_clock_skew(trace, max_clock_skew)
    _write_addresses(trace)
    _move_sdk_tags_to_process(trace)
    _drop_references_to_nowhere(trace)
    _put_parent_first(trace)
    return trace


def _sort_tags_and_log_fields(trace: JSONObject) -> None:
    """By key; in a log a textual ``event`` comes first, since the UI shows a log by its first field."""
    for process in trace["processes"].values():
        process["tags"].sort(key=_tag_key)
    for span in trace["spans"]:
        span["tags"].sort(key=_tag_key)
        for log in span["logs"]:
            log["fields"].sort(key=_field_key)


def _tag_key(tag: JSONObject) -> str:
    return str(tag["key"])


def _field_key(field: JSONObject) -> tuple[bool, str]:
    return not (field["key"] == "event" and field["type"] == "string"), field["key"]


def _drop_duplicates(trace: JSONObject) -> None:
    """Keep one of spans that are equal in everything: agents and collectors deliver at least once."""
    kept: list[JSONObject] = []
    seen: dict[str, list[JSONObject]] = {}
    for span in trace["spans"]:
        namesakes = seen.setdefault(span["spanID"], [])
        if span not in namesakes:
            namesakes.append(span)
            kept.append(span)
    trace["spans"] = kept


def _write_addresses(trace: JSONObject) -> None:
    """Older clients send IPv4 addresses as integers; nobody reads those."""
    for process in trace["processes"].values():
        _write_address(process["tags"], "ip")
    for span in trace["spans"]:
        _write_address(span["tags"], "peer.ipv4")


def _write_address(tags: list[JSONObject], key: str) -> None:
    for tag in tags:
        if tag["key"] == key and tag["type"] == "int64" and isinstance(tag["value"], int):
            tag["type"], tag["value"] = "string", str(ipaddress.IPv4Address(tag["value"] & 0xFFFFFFFF))


_SDK_TAGS = frozenset(
    f"telemetry.{tag}" for tag in ("sdk.language", "sdk.name", "sdk.version", "distro.name", "distro.version")
)


def _move_sdk_tags_to_process(trace: JSONObject) -> None:
    """What OpenTelemetry's library is called is said of the process; some exporters say it with each span."""
    processes: dict[str, JSONObject] = trace["processes"]
    names: dict[str, str] = {}
    for span in trace["spans"]:
        moved = [tag for tag in span["tags"] if tag["key"] in _SDK_TAGS]
        if not moved:
            continue
        span["tags"] = [tag for tag in span["tags"] if tag["key"] not in _SDK_TAGS]
        process = processes[span["processID"]]
        tags = [tag for tag in process["tags"] if tag["key"] not in {each["key"] for each in moved}] + moved
        with_moved = {**process, "tags": sorted(tags, key=_tag_key)}
        name = names.setdefault(repr(with_moved), f"p{len(processes) + 1}")
        processes.setdefault(name, with_moved)
        span["processID"] = name
    used = {span["processID"] for span in trace["spans"]}
    if names:
        trace["processes"] = {name: process for name, process in processes.items() if name in used}


def _drop_references_to_nowhere(trace: JSONObject) -> None:
    for span in trace["spans"]:
        kept = [link for link in span["references"] if link["traceID"].strip("0")]
        if len(kept) < len(span["references"]):
            span["references"] = kept
            warn(span, "references to a trace with the id 0 were left out")


def _put_parent_first(trace: JSONObject) -> None:
    """The UI up to v1.74 takes the first reference for the parent (jaeger-ui#966)."""
    for span in trace["spans"]:
        references, parent = span["references"], parent_index(span)
        if parent:
            references[0], references[parent] = references[parent], references[0]
