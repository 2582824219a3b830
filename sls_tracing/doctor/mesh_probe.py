"""A request through a service in the mesh, sampled for certain, and the trace that came of it, as the query API gives it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

from sls_tracing.exceptions import ConfigurationError
from sls_tracing.identifiers import random_bits
from sls_tracing.suppression import suppress

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["MARK", "Answer", "ProbeFormat", "fetch_trace", "send_probe"]

ProbeFormat: TypeAlias = Literal["b3", "w3c"]

MARK = "sls-tracing-doctor"
"""The baggage item that asks our instrumentation to log the trace headers which it reads and writes. It travels as the whole trace does."""

_TIMEOUT = 10.0
_QUIET = 2.0
"""Seconds without a new span after which a trace is taken for complete; sidecars report every five seconds or five spans."""


class Answer(NamedTuple):
    """What was sent, in which format, and what came back. ``status`` 0: nothing did, and ``failure`` says why."""

    trace_id: int
    span_id: int
    format: ProbeFormat
    sent: Mapping[str, str]
    status: int
    headers: Mapping[str, str]
    failure: str = ""


def send_probe(url: str, probe_format: ProbeFormat, headers: Mapping[str, str]) -> Answer:
    """Send one GET to ``url``, with ids of its own and the decision "sampled"; ``headers`` are the user's additions.

    No x-request-id is sent: the first Envoy makes it, as for every request that comes from outside.
    """
    import requests

    trace_id, span_id = random_bits(128) or 1, random_bits(64) or 1
    sent = _context_headers(probe_format, trace_id, span_id)
    sent |= {"baggage": f"{MARK}=1", f"baggage-{MARK}": "1", "user-agent": "sls-tracing-doctor"}
    sent |= {name.lower(): value for name, value in headers.items()}
    try:
        with suppress():
            response = requests.get(url, headers=sent, timeout=_TIMEOUT, allow_redirects=False)
    except requests.exceptions.InvalidURL as error:
        raise ConfigurationError(f"{url!r} is no URL to send a request to: {error}") from error
    except (requests.exceptions.MissingSchema, requests.exceptions.InvalidSchema) as error:
        raise ConfigurationError(f"{url!r} is no URL to send a request to: begin with http:// or https://") from error
    except requests.exceptions.RequestException as error:
        return Answer(trace_id, span_id, probe_format, sent, 0, {}, str(error))
    back = {name.lower(): value for name, value in response.headers.items()}
    return Answer(trace_id, span_id, probe_format, sent, response.status_code, back)


def _context_headers(probe_format: ProbeFormat, trace_id: int, span_id: int) -> dict[str, str]:
    if probe_format == "w3c":
        return {"traceparent": f"00-{trace_id:032x}-{span_id:016x}-01"}
    return {"x-b3-traceid": f"{trace_id:032x}", "x-b3-spanid": f"{span_id:016x}", "x-b3-sampled": "1"}


def fetch_trace(query_url: str, trace_id: int, wait: float, clock: Callable[[], float] = time.monotonic) -> list[Any]:
    """Return the trace's spans in Jaeger's JSON, each with its process under ``process``; empty if none came within ``wait`` seconds.

    Spans come from several reporters at their own pace: the trace is asked for until nothing has been added for two seconds.
    Raises ConfigurationError if the query API cannot be reached or answers something else.
    """
    until, grown = clock() + wait, clock()
    spans: list[Any] = []
    while True:
        found = _spans(query_url, trace_id)
        if len(found) > len(spans):
            spans, grown = found, clock()
        now = clock()
        if now >= until or (spans and now - grown >= _QUIET):
            return spans
        time.sleep(0.2)


def _spans(query_url: str, trace_id: int) -> list[Any]:
    import requests

    url = f"{query_url.rstrip('/')}/api/traces/{trace_id:032x}"
    try:
        with suppress():
            response = requests.get(url, headers={"b3": "0"}, timeout=_TIMEOUT)
        if response.status_code == requests.codes.not_found:
            return []
        response.raise_for_status()
        (trace,) = response.json()["data"]
        return [{**span, "process": trace["processes"][span["processID"]]} for span in trace["spans"]]
    except requests.exceptions.RequestException as error:
        message = f"the query API does not answer at {query_url}: {error}; say where it is with --query URL"
        raise ConfigurationError(message) from error
    except (KeyError, TypeError, ValueError) as error:
        message = f"{url} does not answer as Jaeger's query API does ({error!r}); say where it is with --query URL"
        raise ConfigurationError(message) from error
