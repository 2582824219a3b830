"""What a tracer does differently when told to: plain settings, and the limits of what a span may hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sls_tracing.exceptions import ConfigurationError
from sls_tracing.metrics import counters
from sls_tracing.model import LogRecord

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sls_tracing.model import TagValue

__all__ = ["TracingRules", "limit_tags", "make_room"]


class TracingRules(NamedTuple):
    """Settings of a tracer that few need; each is as in Jaeger's clients.

    - ``one_span_per_rpc``: a server span takes over the ids of its caller's client span (Zipkin's way) and does not become its child. Not behind a
      sidecar: its span has those ids already.
    - ``debug_on_forced_sampling``: ``sampling.priority`` also sets the debug flag, so that every service below keeps the trace.
    - ``max_tag_value_length``: characters (bytes of a binary value) that a tag or log value may have; longer ones are cut. None: no limit.
    - ``max_traceback_length``: the same for the ``stack`` of an error; its end is kept, where the error was raised.
    - ``max_logs``: logs that a span may have; beyond that the oldest of the second half make room, as in Jaeger's Go client, so that the beginning
      and the end stay.
    - ``follow_mesh``: traces begin in the mesh only. A span without a caller's ids or decision has none itself, is not recorded, and nothing
      but ``x-request-id`` and its like goes out for it: the next sidecar decides.
    """

    one_span_per_rpc: bool = False
    debug_on_forced_sampling: bool = True
    max_tag_value_length: int | None = None
    max_traceback_length: int | None = None
    max_logs: int | None = None
    follow_mesh: bool = False

    def check(self) -> TracingRules:
        """Return the rules. Raises :class:`ConfigurationError` for a limit that is no whole number above zero."""
        for name in ("max_tag_value_length", "max_traceback_length", "max_logs"):
            limit = getattr(self, name)
            if limit is not None and (type(limit) is not int or limit < 1):
                msg = f"{name} must be a whole number, 1 or more, or None for no limit, not {limit!r}"
                raise ConfigurationError(msg)
        return self

    @property
    def limits_values(self) -> bool:
        """Whether values have to be looked at when a span finishes."""
        return self.max_tag_value_length is not None or self.max_traceback_length is not None


def limit_tags(
    tags: Mapping[str, TagValue], logs: Sequence[LogRecord], rules: TracingRules
) -> tuple[Mapping[str, TagValue], Sequence[LogRecord]]:
    """Return tags and logs with long values cut. The originals stay whole; what is short is not copied."""
    return _cut(tags, rules), [LogRecord(log.timestamp, _cut(log.fields, rules)) for log in logs]


def _cut(values: Mapping[str, TagValue], rules: TracingRules) -> Mapping[str, TagValue]:
    longest, longest_stack = rules.max_tag_value_length, rules.max_traceback_length
    cut: dict[str, TagValue] = {}
    for key, value in values.items():
        if not isinstance(value, (str, bytes)):
            continue
        if key == "stack" and longest_stack is not None:
            if len(value) > longest_stack:
                cut[key] = value[-longest_stack:]
        elif longest is not None and len(value) > longest:
            cut[key] = value[:longest]
    return {**values, **cut} if cut else values


def make_room(logs: list[LogRecord], max_logs: int) -> None:
    """Make room for one log more where there are ``max_logs`` already; the one that goes is counted as ``span_logs_dropped``."""
    if len(logs) >= max_logs:
        del logs[max_logs // 2 : len(logs) - max_logs + max_logs // 2 + 1]
        counters.add("span_logs_dropped")
