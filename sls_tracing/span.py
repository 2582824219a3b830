"""A span that records, and its unsampled twins that only carry a context."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import opentracing

from sls_tracing.baggage_restrictions import limit_item
from sls_tracing.guard import Guard
from sls_tracing.model import LogRecord, SpanRecord
from sls_tracing.rules import limit_tags, make_room
from sls_tracing.values import PLAIN_TYPES, error_fields, to_fields, to_seconds, to_text, to_value

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

    from sls_tracing.context import SpanContext
    from sls_tracing.model import Reference, TagValue
    from sls_tracing.tracer import Tracer

__all__ = ["DroppedSpan", "Span", "UnsampledSpan"]

_guard = Guard("span")
_new_tuple = tuple.__new__  # a NamedTuple's own constructor is a Python function: 0.15 µs more for each record


class Span(opentracing.Span):  # type: ignore[misc]
    """A unit of work that is being recorded. Made by :meth:`Tracer.start_span`, not by hand.

    ``tags`` (last write wins), ``logs``, ``operation_name``, ``start_time`` and ``finish_time`` (seconds; None until finished) are for
    reading. The methods may be called from any thread. After :meth:`finish` they change nothing: what was reported stays as it was.
    """

    __slots__ = ("_context", "_references", "_tracer", "finish_time", "logs", "operation_name", "start_time", "tags")

    is_recording = True
    """Whether tags and logs are kept. Instrumentation asks before it gathers what is costly."""

    _tracer: Tracer
    _context: SpanContext
    operation_name: str
    start_time: float
    finish_time: float | None
    tags: dict[str, TagValue]
    logs: list[LogRecord]
    _references: Sequence[Reference]

    # Filled by `start_span`: without an `__init__` in Python, a span is made for half the instructions.
    __init__ = object.__init__

    def set_operation_name(self, operation_name: str) -> Span:
        """Replace the name given at start."""
        if self.finish_time is None:
            self.operation_name = to_text(operation_name)
        return self

    def set_tag(self, key: str, value: Any) -> Span:
        """Set a tag to text, a bool or a number; anything else is stored as its text.

        ``sampling.priority`` above 0 forces the trace to be kept here and in every service below, 0 drops the rest of it.
        """
        if self.finish_time is not None:
            return self
        if type(key) is not str:
            key = to_text(key)
        if key == "sampling.priority":
            self._tracer._prioritise(self, value)
        self.tags[key] = value if type(value) in PLAIN_TYPES else to_value(value)
        return self

    def log_kv(self, key_values: Mapping[str, Any], timestamp: float | None = None) -> Span:
        """Add a log: fields of any type, stored as text, bool or number; ``timestamp`` in seconds, now if None.

        A log has at least one field: without any it is dropped.
        """
        if self.finish_time is None:
            clock = self._tracer._clock
            time = clock() if timestamp is None else to_seconds(timestamp, clock)
            fields = _guard.call({}, to_fields, key_values)
            if fields:
                max_logs = self._tracer.rules.max_logs
                if max_logs is not None:
                    make_room(self.logs, max_logs)
                self.logs.append(LogRecord(time, fields))
        return self

    def set_baggage_item(self, key: str, value: str | None) -> Span:
        """Attach text to the trace from here on: every span below this one carries it, in every service. None removes the item.

        The tracer's baggage restrictions may cut the value or refuse the item; a log on the span tells.
        """
        if self.finish_time is not None:
            return self
        tracer = self._tracer
        if value is None:
            with tracer._lock:
                self._context = self._context.with_baggage_item(to_text(key), None)
            return self.log_kv({"event": "baggage", "key": key, "removed": "true"})
        key, value = to_text(key), to_text(value)
        with tracer._lock:  # of two threads that set an item at once, none may lose its own
            before = self._context.baggage
            kept, truncated = limit_item(tracer._baggage_restrictions, tracer.service_name, key, value, before)
            if kept is not None:
                self._context = self._context.with_baggage_item(key, kept)
        fields: dict[str, TagValue] = {"event": "baggage", "key": key, "value": value if kept is None else kept}
        marks = {"override": key in before and kept is not None, "truncated": truncated, "invalid": kept is None}
        return self.log_kv({**fields, **{mark: "true" for mark, holds in marks.items() if holds}})

    def get_baggage_item(self, key: str) -> str | None:
        """Return the baggage item, or None."""
        return self._context.baggage.get(to_text(key))

    def finish(self, finish_time: float | None = None) -> None:
        """End the span and hand it to the reporter; ``finish_time`` in seconds, now if None. A second call does nothing."""
        tracer = self._tracer
        try:
            # Deleting is atomic, testing a flag and setting it is not: of several threads that finish at once, one gets past.
            references = self._references
            del self._references
        except AttributeError:
            return
        finish_time = tracer._clock() if finish_time is None else to_seconds(finish_time, tracer._clock)
        self.finish_time = finish_time
        tags: Mapping[str, TagValue] = self.tags
        logs: Sequence[LogRecord] = self.logs
        if tracer._limits_values:
            tags, logs = limit_tags(tags, logs, tracer.rules)
        name, start_time = self.operation_name, self.start_time
        record = _new_tuple(
            SpanRecord, (name, self._context, references, start_time, finish_time, tags, logs, tracer._process, ())
        )
        tracer._report(record)
        if tracer._observer is not None:
            _guard.call(None, tracer._observer.finished, self, record)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is not None:
            self.set_tag("error", True)
            self.log_kv(error_fields(error))
        self.finish()

    # What jaeger-client has on its spans, and programs put into their log lines.

    @property
    def trace_id(self) -> int:
        """The trace's id as an integer; ``context.to_trace_id()`` is its text."""
        return self._context.trace_id  # type: ignore[return-value]  # a span has ids

    @property
    def span_id(self) -> int:
        """The span's id as an integer; ``context.to_span_id()`` is its text."""
        return self._context.span_id  # type: ignore[return-value]

    @property
    def parent_id(self) -> int | None:
        """The parent's span id, None on a root."""
        return self._context.parent_id

    @property
    def flags(self) -> int:
        """Jaeger's flags; see :attr:`SpanContext.flags`."""
        return self._context.flags

    def is_sampled(self) -> bool:
        """Whether the trace is recorded."""
        return bool(self._context.sampled)

    def is_debug(self) -> bool:
        """Whether the trace is forced in every service."""
        return self._context.debug

    def __repr__(self) -> str:
        context = self._context
        name = type(self).__name__
        return f"<{name} {self.operation_name!r} {context.to_trace_id()}:{context.to_span_id()}>"


_tags: Any = vars(Span)["tags"]
_logs: Any = vars(Span)["logs"]


class UnsampledSpan(Span):
    """The span of a trace that nobody records: it carries its context on, and every other call is as good as free.

    Its slots are those of :class:`Span`, because a ``sampling.priority`` tag turns the one into the other in place (holders of the
    object keep it). Tags and logs that were set before that are lost: constants hide the slots for them, which stay empty.
    """

    __slots__ = ()

    is_recording = False
    tags = MappingProxyType({})  # type: ignore[assignment, var-annotated]
    logs = ()  # type: ignore[assignment]

    def _begin_recording(self) -> None:
        """Fill the slots, before this turns into a :class:`Span`."""
        _tags.__set__(self, {})
        _logs.__set__(self, [])

    def set_tag(self, key: str, value: Any) -> Span:
        """Do nothing, unless the tag is ``sampling.priority``."""
        if key.__class__ is str and key == "sampling.priority" and self.finish_time is None:
            self._tracer._prioritise(self, value)
            if type(self) is Span:
                self.set_tag(key, value)
        return self

    def log_kv(self, key_values: Mapping[str, Any], timestamp: float | None = None) -> Span:
        """Do nothing."""
        return self

    def finish(self, finish_time: float | None = None) -> None:
        """Note that it ended; nothing is reported."""
        if self.finish_time is None:
            self.finish_time = self.start_time if finish_time is None else finish_time
            if self._tracer._observer is not None:
                _guard.call(None, self._tracer._observer.finished, self, None)


class DroppedSpan(UnsampledSpan):
    """A span that was recorded until a ``sampling.priority`` of 0. It shows its tags, which another thread may be about to set."""

    __slots__ = ()

    tags = _tags
    logs = _logs
