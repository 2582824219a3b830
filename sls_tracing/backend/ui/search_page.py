"""The page that finds traces: a form whose state is the address, a plot of time and duration, and a list."""

from __future__ import annotations

import time
from datetime import datetime, timezone
from typing import TYPE_CHECKING, NamedTuple

from sls_tracing.backend.query_params import ParameterError
from sls_tracing.backend.ui import charts, words
from sls_tracing.backend.ui.pages import base_path, page, status_of
from sls_tracing.backend.ui.search_form import LIMITS, LOOKBACKS, SORTS, SearchForm
from sls_tracing.backend.ui.sidecars import owners
from sls_tracing.backend.ui.trace_tree import COLOURS
from sls_tracing.log_service.logstore import LogServiceError
from sls_tracing.log_service.trace_summaries import TraceSummary, find_summaries

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from markupsafe import Markup
    from starlette.requests import Request
    from starlette.responses import Response

    from sls_tracing.log_service import TraceStore

__all__ = ["SearchPage"]

TAG_EXAMPLES = ("error=true", "http.status_code=503", "http.method=GET", 'http.url="*/reviews/*"')


class Chip(NamedTuple):
    """A service of a trace: its spans, its sidecar's among them, how many of them failed, and its colour."""

    service: str
    spans: int
    errors: int
    colour: int


class Found(NamedTuple):
    """A trace in the list."""

    id: str
    summary: TraceSummary
    chips: Sequence[Chip]

    @property
    def title(self) -> str:
        """What the root's service did."""
        return f"{self.summary.service}: {self.summary.operation}"


class SearchPage:
    """Answers ``/search`` from a trace store."""

    def __init__(self, store: TraceStore) -> None:
        self._store = store

    def __call__(self, request: Request) -> Response:
        """Return the page; with any condition in its address, with results."""
        form = SearchForm.of(request.query_params)
        asked = bool(request.query_params)
        problem, status, found = "", 200, list[Found]()
        services, operations = list[str](), list[str]()
        window = (0.0, 0.0)
        try:
            services = self._store.services()
            if form.service:
                operations = list(dict.fromkeys(each.name for each in self._store.operations(form.service)))
            if asked:
                found = self._find(form)
                window = _window(form, found)
        except (ParameterError, LogServiceError) as error:
            problem, status = str(error), status_of(error)
        return page(
            request,
            "search.html",
            status,
            form=form,
            exact=[_browser_time(text) for text in (form.start, form.end)],
            asked=asked,
            live=request.query_params.get("live") == "1",
            problem=problem,
            services=services,
            operations=operations,
            found=found,
            lookbacks=LOOKBACKS,
            sorts=SORTS,
            limits=LIMITS,
            examples=TAG_EXAMPLES,
            plot=_plot(found, window, base_path(request)),
            window=window,
            longest=max((each.summary.duration for each in found), default=0.0) or 1.0,
        )

    def _find(self, form: SearchForm) -> list[Found]:
        summaries = find_summaries(self._store, form.query(time.time()))
        keys = {
            "recent": lambda each: -each.start,
            "longest": lambda each: -each.duration,
            "shortest": lambda each: each.duration,
            "spans": lambda each: -each.spans,
            "errors": lambda each: (-each.errors, -each.start),
        }
        summaries.sort(key=keys.get(form.sort, keys["recent"]))
        colours = _colours(summaries)
        return [Found(words.trace_id(each.trace_id), each, _chips(each, colours)) for each in summaries]


def _colours(summaries: Iterable[TraceSummary]) -> Mapping[str, int]:
    """Give a service the same colour in the whole list."""
    whose = owners(dict.fromkeys(share.service for each in summaries for share in each.services))
    return {owner: n % COLOURS for n, owner in enumerate(sorted(set(whose.values())))}


def _chips(summary: TraceSummary, colours: Mapping[str, int]) -> list[Chip]:
    whose = owners(share.service for share in summary.services)
    counts: dict[str, list[int]] = {}
    for share in summary.services:
        count = counts.setdefault(whose[share.service], [0, 0])
        count[0] += share.spans
        count[1] += share.errors
    return [Chip(service, spans, errors, colours.get(service, 0)) for service, (spans, errors) in counts.items()]


def _window(form: SearchForm, found: Sequence[Found]) -> tuple[float, float]:
    """Return the times that the plot shows: those of what was found, or what was brushed."""
    starts = [each.summary.start for each in found]
    begin, end = form.window(time.time()) if form.start or form.end else (None, None)
    low = min(starts, default=0.0) if begin is None else begin
    high = max(starts, default=low) if end is None else end
    return (low, high) if high > low else (low - 0.5, low + 0.5)


def _plot(found: Sequence[Found], window: tuple[float, float], root: str) -> Markup | str:
    if not found:
        return ""
    dots = [
        charts.Dot(
            each.summary.start,
            each.summary.duration,
            each.summary.spans,
            each.summary.errors > 0,
            f"{root}/trace/{each.id}",
            f"{each.title}, {words.duration(each.summary.duration)}, {words.plural(each.summary.spans, 'span')}"
            + (f", {words.plural(each.summary.errors, 'error')}" if each.summary.errors else ""),
        )
        for each in found
    ]
    return charts.scatter(dots, window, "Traces by time and duration")


def _browser_time(text: str) -> str:
    """Return a time of an address as a browser's form wants it."""
    if text.isascii() and text.isdigit() and len(text) < 18:
        try:
            return datetime.fromtimestamp(int(text) / 1e6, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3]
        except (ValueError, OverflowError, OSError):
            return ""
    return text
