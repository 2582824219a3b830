"""The search form: what an address asks for, read into a query, and written back into addresses."""

from __future__ import annotations

import json
import re
import shlex
from datetime import datetime, timezone
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlencode

from sls_tracing.backend.query_params import ParameterError, parse_duration
from sls_tracing.log_service.trace_query import Order, TraceQuery

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["LIMITS", "LOOKBACKS", "MAX_LIMIT", "SORTS", "SearchForm", "read_tags"]

LOOKBACKS = {
    "5m": "Last 5 minutes",
    "15m": "Last 15 minutes",
    "1h": "Last hour",
    "3h": "Last 3 hours",
    "12h": "Last 12 hours",
    "1d": "Last day",
    "2d": "Last 2 days",
    "7d": "Last week",
    "all": "All that is stored",
    "custom": "Exact times …",
}
SORTS = {
    "recent": "Most recent",
    "longest": "Longest",
    "shortest": "Shortest",
    "spans": "Most spans",
    "errors": "Most errors",
}
LIMITS = (20, 50, 100, 200, 500)
MAX_LIMIT = 1500

_ORDERS: Mapping[str, Order] = {
    "longest": "longest",
    "shortest": "shortest",
    "spans": "most_spans",
    "errors": "most_errors",
}
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_LOOKBACK = re.compile(r"(\d{1,5})([smhdw])")


class SearchForm(NamedTuple):
    """What the form holds, as text. The names are the parameters of Jaeger's own addresses, whose links lead here."""

    service: str = ""
    operation: str = ""
    tags: str = ""
    lookback: str = "1h"
    start: str = ""
    end: str = ""
    minDuration: str = ""  # noqa: N815 - Jaeger's spelling
    maxDuration: str = ""  # noqa: N815 - the same
    limit: str = "20"
    sort: str = "recent"

    @classmethod
    def of(cls, parameters: Mapping[str, str]) -> SearchForm:
        """Read an address's parameters. Jaeger's words for "any" are an empty text here."""
        given = {name: parameters[name].strip() for name in cls._fields if parameters.get(name, "").strip()}
        form = cls(**given)
        if form.operation == "all":
            form = form._replace(operation="")
        # A link that was sent shows what its sender saw: exact times hold, whatever Jaeger wrote beside them.
        return form._replace(lookback="custom") if form.start or form.end else form

    def query(self, now: float) -> TraceQuery:
        """Return what to look for. Raises ParameterError."""
        start, end = self.window(now)
        if not (self.limit.isascii() and self.limit.isdigit() and 0 < int(self.limit) <= MAX_LIMIT):
            raise ParameterError(f"the limit must be a number from 1 to {MAX_LIMIT}")
        shortest = parse_duration({"minDuration": [self.minDuration]}, "minDuration") or None
        longest = parse_duration({"maxDuration": [self.maxDuration]}, "maxDuration") or None
        if shortest and longest and longest < shortest:
            raise ParameterError("the longest duration is shorter than the shortest")
        return TraceQuery(
            service=self.service,
            operation=self.operation,
            tags=read_tags(self.tags),
            min_duration=shortest,
            max_duration=longest,
            start_min=start,
            start_max=end,
            limit=int(self.limit),
            order=_ORDERS.get(self.sort, "recent"),
        )

    def window(self, now: float) -> tuple[float | None, float | None]:
        """Return from when and until when to look, None for without an end. Raises ParameterError."""
        if self.start or self.end:
            return _time(self.start), _time(self.end)
        if self.lookback in ("all", "custom"):
            return None, None
        match = _LOOKBACK.fullmatch(self.lookback)
        if not match:
            raise ParameterError(f"{self.lookback[:40]!r} is no time to look back: 15m, 1h, 2d or all")
        return now - int(match[1]) * _SECONDS[match[2]], None

    def address(self, **changes: str) -> str:
        """Return the page's parameters with some changed; what is as it always is stays out."""
        form = self._replace(**changes)
        defaults = SearchForm()
        return urlencode({name: value for name, value in form._asdict().items() if value != getattr(defaults, name)})


def read_tags(text: str) -> dict[str, str]:
    """Read ``error=true http.status_code=500``, values in quotes if need be, or Jaeger's JSON. Raises ParameterError."""
    text = text.strip()
    if text.startswith("{"):
        return _tags_of_json(text)
    lexer = shlex.shlex(text, posix=True, punctuation_chars=False)
    lexer.whitespace_split, lexer.commenters, lexer.escape = True, "", ""  # a backslash is the search's own escape
    try:
        parts = list(lexer)
    except ValueError:
        raise ParameterError(f"a quote is not closed in the tags: {text[:60]}") from None
    tags = {}
    for part in parts:
        key, equals, value = part.partition("=")
        if not key:
            raise ParameterError(f"a tag without a name: {part[:60]!r}; write name=value")
        tags[key] = value if equals else "true"
    return tags


def _tags_of_json(text: str) -> dict[str, str]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise ParameterError(f"tags are no JSON object: {text[:60]}")
    return {str(key): value if isinstance(value, str) else json.dumps(value) for key, value in found.items()}


def _time(text: str) -> float | None:
    """Read microseconds since the epoch, as Jaeger's addresses have them, or a date and time in UTC, as browsers' forms do."""
    if not text:
        return None
    if text.isascii() and text.isdigit() and len(text) < 18:
        return int(text) / 1e6
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise ParameterError(
            f"{text[:40]!r} is no time: microseconds since 1970, or as in 2026-01-31T08:15:00"
        ) from None
    return (found if found.tzinfo else found.replace(tzinfo=timezone.utc)).timestamp()
