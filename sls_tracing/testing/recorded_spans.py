"""The spans of a test: to be looked at, and to be demanded."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, overload

from sls_tracing.model import SpanRecord
from sls_tracing.values import to_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from sls_tracing.reporters.memory import InMemoryReporter
    from sls_tracing.span import Span

__all__ = ["RecordedSpans"]

_ANYTHING = object()


class RecordedSpans(Sequence[SpanRecord]):
    """The spans that were finished until now, in the order of finishing; it grows as the test goes on.

    What can be demanded of a span, in ``one``, ``none``, ``find`` and ``wait_for`` alike:

    - ``name``: its operation name.
    - ``tags``: tags that it has, with these values; a function in a value's place is asked (``{"http.url": lambda url: "token" not in url}``).
    - ``logged``: fields that one of its logs has, told in the same way (``{"event": "error"}``).
    - ``parent``: the name of its parent, or the span itself; None for a root.
    - ``error``: whether it is marked as failed.
    """

    def __init__(self, reporter: InMemoryReporter) -> None:
        self._reporter = reporter
        self._open: dict[int, Span] = {}

    def __len__(self) -> int:
        return len(self._reporter.spans)

    @overload
    def __getitem__(self, index: int) -> SpanRecord: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[SpanRecord]: ...

    def __getitem__(self, index: int | slice) -> SpanRecord | Sequence[SpanRecord]:
        return self._reporter.spans[index]

    def __repr__(self) -> str:
        return f"<RecordedSpans\n{self.tree()}\n>"

    @property
    def names(self) -> list[str]:
        """Their operation names, in the order of finishing."""
        return [span.operation_name for span in self]

    @property
    def unfinished(self) -> list[str]:
        """The names of spans that were started and not finished: with a leak in the code under test this is where it shows."""
        return [span.operation_name for span in self._open.values()]

    def find(
        self,
        name: str | None = None,
        *,
        tags: Mapping[str, Any] | None = None,
        logged: Mapping[str, Any] | None = None,
        parent: Any = _ANYTHING,
        error: bool | None = None,
    ) -> list[SpanRecord]:
        """Return the spans that answer to all of it; see the class."""
        return [
            span
            for span in list(self)
            if (name is None or span.operation_name == name)
            and (tags is None or _has(span.tags, tags))
            and (logged is None or any(_has(log.fields, logged) for log in span.logs))
            and (parent is _ANYTHING or self._is_parent(parent, span))
            and (error is None or bool(span.tags.get("error", False)) is error)
        ]

    def one(self, name: str | None = None, **demanded: Any) -> SpanRecord:
        """Return the one span that answers to it. Raises AssertionError, with all that was recorded, if there is none or more."""
        found = self.find(name, **demanded)
        if len(found) != 1:
            raise AssertionError(self._told(f"{len(found) or 'no'} span(s)", name, demanded, "one was demanded"))
        return found[0]

    def none(self, name: str | None = None, **demanded: Any) -> None:
        """Raise AssertionError, with all that was recorded, if a span answers to it."""
        found = self.find(name, **demanded)
        if found:
            raise AssertionError(self._told(f"{len(found)} span(s)", name, demanded, "none was demanded"))

    def wait_for(self, name: str | None = None, *, timeout: float = 5.0, **demanded: Any) -> SpanRecord:
        """Return the first span that answers to it, waiting up to ``timeout`` seconds for other threads to finish it. Raises AssertionError."""
        deadline = time.monotonic() + timeout
        while True:
            found = self.find(name, **demanded)
            if found:
                return found[0]
            if time.monotonic() >= deadline:
                raise AssertionError(self._told("no span", name, demanded, f"one was awaited for {timeout:g} s"))
            time.sleep(0.005)

    def parent_of(self, span: SpanRecord) -> SpanRecord | None:
        """Return the span's parent; None if it has none, or none that was recorded here."""
        return next((other for other in self if _is_child(span, other)), None)

    def children_of(self, span: SpanRecord) -> list[SpanRecord]:
        """Return the spans whose parent it is, in the order of starting."""
        return sorted((other for other in self if _is_child(other, span)), key=_start)

    def tree(self, *tags: str) -> str:
        """Return all of it as text: a line a span, below its parent, in the order of starting, with these tags; failed ones have an ``!``.

        Made to be compared: ``assert spans.tree("http.status_code").splitlines() == ["GET /checkout  http.status_code=200", "  charge card"]``.
        """
        lines: list[str] = []
        self._draw([span for span in self if self.parent_of(span) is None], "", tags, lines)
        return "\n".join(lines)

    def clear(self) -> None:
        """Forget what was recorded until now."""
        self._reporter.clear()

    # -- how it is known ---------------------------------------------------------------------------------------------------

    def started(self, span: Span, parent: object) -> None:
        """Told by the tracer, whose observer this is."""
        self._open[id(span)] = span

    def finished(self, span: Span, record: SpanRecord | None) -> None:
        """Told by the tracer."""
        self._open.pop(id(span), None)

    def _is_parent(self, parent: Any, span: SpanRecord) -> bool:
        if parent is None:
            return span.context.parent_id is None
        if isinstance(parent, str):
            found = self.parent_of(span)
            return found is not None and found.operation_name == parent
        context = parent.context  # a record, or a span that is not finished
        return bool((context.trace_id, context.span_id) == (span.context.trace_id, span.context.parent_id))

    def _draw(self, spans: Sequence[SpanRecord], indent: str, tags: Sequence[str], lines: list[str]) -> None:
        for span in sorted(spans, key=_start):
            shown = "".join(f"  {tag}={to_text(span.tags[tag])}" for tag in tags if tag in span.tags)
            lines.append(f"{indent}{span.operation_name}{' !' if span.tags.get('error') else ''}{shown}")
            self._draw(self.children_of(span), indent + "  ", tags, lines)

    def _told(self, found: str, name: str | None, demanded: Mapping[str, Any], ending: str) -> str:
        wanted = ", ".join([*([] if name is None else [repr(name)]), *(f"{key}={demanded[key]!r}" for key in demanded)])
        everything = self.tree() or "nothing"
        near = [] if name is None or not demanded else self.find(name)
        details = "".join(f"\n{span.operation_name}: tags {dict(span.tags)}" for span in near)
        return f"{found} with {wanted or 'anything'}, {ending}; recorded:\n{everything}{details}"


def _has(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    return all(key in found and _is(found[key], value) for key, value in wanted.items())


def _is(found: Any, wanted: Any | Callable[[Any], object]) -> bool:
    return bool(wanted(found)) if callable(wanted) else bool(found == wanted)


def _is_child(span: SpanRecord, parent: SpanRecord) -> bool:
    context, other = span.context, parent.context
    # One span for both sides of a call (Zipkin's way) has its own id twice; it is not its own child.
    return (context.trace_id, context.parent_id) == (other.trace_id, other.span_id) and span is not parent


def _start(span: SpanRecord) -> float:
    return span.start_time
