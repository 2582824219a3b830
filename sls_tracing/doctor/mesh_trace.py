"""The trace of the doctor's request, in words: who took part, is it one tree, who lost what on the way."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any, NamedTuple

from sls_tracing.doctor.finding import Finding, note, ok, problem
from sls_tracing.doctor.headers import explain

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sls_tracing.doctor.mesh_probe import Answer

__all__ = ["HeadersSeen", "Seen", "about_trace", "headers_seen", "read_spans", "tree"]

_ENVOY = ("envoy", "istio-envoy")
RECEIVED, SENT = "headers received", "headers sent"
"""The logs that our instrumentation writes for a marked request (``instrumentation/_doctor.py``)."""


class Seen(NamedTuple):
    """One span of the trace, as far as it matters here."""

    span_id: str
    parent_id: str
    service: str
    name: str
    kind: str
    start: int
    is_proxy: bool
    request_id: str
    logs: Sequence[dict[str, str]]


class HeadersSeen(NamedTuple):
    """Headers that a service noted: those that came to it, or those it sent on."""

    service: str
    event: str
    headers: dict[str, str]


def read_spans(spans: Sequence[Any]) -> list[Seen]:
    """Read spans of Jaeger's JSON, by start time."""
    return sorted((_seen(span) for span in spans), key=lambda seen: seen.start)


def _seen(span: Any) -> Seen:
    tags = {tag["key"]: tag["value"] for tag in span.get("tags", ())}
    parents = [each["spanID"] for each in span.get("references", ()) if each["refType"] == "CHILD_OF"]
    logs = [{each["key"]: str(each["value"]) for each in log["fields"]} for log in span.get("logs", ())]
    return Seen(
        span["spanID"],
        parents[0] if parents else "",
        span["process"]["serviceName"],
        span["operationName"],
        str(tags.get("span.kind", "")),
        span["startTime"],
        tags.get("component") == "proxy" or "upstream_cluster" in tags,
        str(tags.get("guid:x-request-id", "")),
        logs,
    )


def tree(spans: Sequence[Seen]) -> Iterator[str]:
    """Yield the trace as indented lines. Spans whose parent nobody reported stand at the left."""
    ids = {span.span_id for span in spans}
    children: dict[str, list[Seen]] = defaultdict(list)
    for span in spans:
        children[span.parent_id if span.parent_id in ids and span.parent_id != span.span_id else ""].append(span)
    waiting = [(span, 0) for span in reversed(children[""])]
    while waiting:
        span, depth = waiting.pop()
        who = "sidecar" if span.is_proxy else "service"
        yield f"{'  ' * depth}{span.service}: {span.name} ({who}{', ' + span.kind if span.kind else ''})"
        waiting += [(child, depth + 1) for child in reversed(children[span.span_id])]


def headers_seen(spans: Sequence[Seen]) -> list[HeadersSeen]:
    """Return what our instrumentation noted in the services, in the order of the trace."""
    found = []
    for span in spans:
        for log in span.logs:
            if log.get("event") in (RECEIVED, SENT):
                headers = {name: value for name, value in log.items() if name != "event"}
                found.append(HeadersSeen(span.service, log["event"], headers))
    return found


def about_trace(answer: Answer, spans: Sequence[Seen]) -> Iterator[Finding]:
    """Yield what the answer and the trace of one request show."""
    yield from _about_answer(answer)
    if not spans:
        if answer.status:
            yield _no_spans(answer)
        return
    yield _about_tree(answer, spans)
    yield from _about_duplicates(spans)
    yield from _about_request_id(spans)
    yield from _about_services(spans)
    for seen in headers_seen(spans):
        if seen.event == RECEIVED:
            for finding in explain(seen.headers).findings:
                if finding.level == "problem":
                    yield finding._replace(text=f"{seen.service}: {finding.text}")


def _about_answer(answer: Answer) -> Iterator[Finding]:
    if not answer.status:
        yield problem(f"The request was not answered: {answer.failure}")
    elif not _through_envoy(answer):
        yield note(
            "No Envoy has touched the answer (no x-envoy-* header, server is not istio-envoy): the request did not go through a sidecar or the gateway. "
            "From inside the pod, ask by the Service's name and not by localhost."
        )


def _through_envoy(answer: Answer) -> bool:
    return answer.headers.get("server", "").lower() in _ENVOY or any(
        name.startswith("x-envoy-") for name in answer.headers
    )


def _no_spans(answer: Answer) -> Finding:
    sent = "x-b3-*" if answer.format == "b3" else "traceparent"
    if _through_envoy(answer):
        return problem(
            f"Nobody reported a span of the trace that was sent as {sent}, though an Envoy was on the way. Either the mesh reads the other format, or it "
            "samples by x-request-id only (0 %, Envoy 1.39 or newer with OpenTelemetry), or its spans do not reach the collector: "
            "check the provider's service and port in MeshConfig, and that the Telemetry resource selects this workload."
        )
    return problem(
        f"Nobody reported a span of the trace that was sent as {sent}: the service is not instrumented, or its spans do not reach the collector "
        "that this query API reads from."
    )


def _about_tree(answer: Answer, spans: Sequence[Seen]) -> Finding:
    ids = {span.span_id for span in spans}
    lost = [span for span in spans if span.parent_id not in ids and span.parent_id != f"{answer.span_id:016x}"]
    if not lost:
        services = len({span.service for span in spans})
        return ok(
            f"One tree of {len(spans)} spans and {services} services: whoever reports is connected to whoever called it."
        )
    names = ", ".join(f"{span.service} ({span.name})" for span in lost[:5])
    return problem(
        f"{len(lost)} spans name a parent that nobody reported: {names}. The service that called them has a tracer without a reporter, drops spans, or its "
        "spans are still on the way: forward mode there (SLS_TRACING_MODE=forward), or wait longer (--wait)."
    )


def _about_duplicates(spans: Sequence[Seen]) -> Iterator[Finding]:
    twice = [span_id for span_id, times in Counter(span.span_id for span in spans).items() if times > 1]
    if twice:
        services = sorted({span.service for span in spans if span.span_id in twice})
        yield problem(
            f"{len(twice)} span ids stand for several spans each ({', '.join(services)}): a service joins its sidecar's span. Turn one_span_per_rpc off "
            "there; a sidecar wants shared_span_context: false, as Istio sets it."
        )


def _about_request_id(spans: Sequence[Seen]) -> Iterator[Finding]:
    by_id = {span.span_id: span for span in spans}
    first = next((span for span in spans if span.request_id), None)
    if first is None:
        return
    for span in spans:
        if span.request_id and span.request_id != first.request_id:
            caller = by_id.get(span.parent_id)
            by = f" by {caller.service}" if caller is not None else " before " + span.service
            yield problem(
                f"x-request-id was lost{by}: {span.service} has another one than {first.service}. Instrument the service in between (forward mode is enough)."
            )
            return
    yield ok("x-request-id is the same all the way.")


def _about_services(spans: Sequence[Seen]) -> Iterator[Finding]:
    """Tell of services behind whose sidecar nobody else reports: they are not instrumented, or only forward."""
    parents = {span.parent_id for span in spans}
    for span in spans:
        if not (span.is_proxy and span.kind == "server"):
            continue
        below = [each for each in spans if each.parent_id == span.span_id]
        if below and all(each.is_proxy for each in below):
            yield note(
                f"{span.service}: a gateway, or an application that forwards the headers and reports no span of its own."
            )
        elif span.span_id not in parents:
            yield note(
                f"{span.service}: the trace ends at its sidecar. Its application reports no span; if it calls others, it loses the headers: instrument it."
            )
    for span in spans:
        if not span.is_proxy and span.kind == "client" and span.span_id not in parents and _has_sidecar(span, spans):
            yield note(
                f"{span.service}: its call {span.name!r} is seen by no sidecar. It left the mesh, its port is no HTTP port for Istio, or the next sidecar "
                "reads another format."
            )


def _has_sidecar(span: Seen, spans: Sequence[Seen]) -> bool:
    parent = next((each for each in spans if each.span_id == span.parent_id), None)
    while parent is not None and not parent.is_proxy and parent.parent_id:
        parent = next((each for each in spans if each.span_id == parent.parent_id and each is not parent), None)
    return parent is not None and parent.is_proxy
