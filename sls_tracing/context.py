"""What of a span travels: its identity, the sampling decision, the baggage and the mesh's own headers."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

import opentracing

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["NOTHING_CARRIED", "NO_BAGGAGE", "SpanContext"]

NOTHING_CARRIED: Mapping[str, str] = MappingProxyType({})
NO_BAGGAGE: dict[str, str] = {}


class _Fields(NamedTuple):
    trace_id: int | None = None
    span_id: int | None = None
    parent_id: int | None = None
    sampled: bool | None = True
    debug: bool = False
    baggage: dict[str, str] = NO_BAGGAGE
    wide: bool = True
    carried: Mapping[str, str] = NOTHING_CARRIED
    random: bool = False
    firehose: bool = False


class SpanContext(_Fields, opentracing.SpanContext):  # type: ignore[misc]
    """The immutable part of a span that crosses process boundaries.

    A tuple underneath: that makes it immutable in fact and cheap to create, which every span does once.

    - ``trace_id`` (128 bits), ``span_id``, ``parent_id`` (64 bits): positive integers; ``parent_id`` is None on a root. A context
      that arrived with a sampling decision but no ids (B3 allows it) has ``trace_id`` None, and so has one that only carries
      ``x-request-id``; a span under it is a root that obeys the decision.
    - ``sampled``: True or False is a decision; None defers it to whoever starts the next span.
    - ``debug``: forces sampling in every service that the trace meets (B3 ``X-B3-Flags: 1``, Jaeger's flag 2).
    - ``baggage``: text to text. Never modify it; :meth:`with_baggage_item` makes a new context.
    - ``wide``: the trace id is written with 32 hex digits, else with 16. An incoming id keeps the width it came with.
    - ``carried``: headers that travel with the trace verbatim, names in lower case (``x-request-id``, ``tracestate``); each propagator
      writes those that belong to its format.
    - ``random``: at least 56 bits of the trace id are known to be random (W3C level 2). ``firehose``: Jaeger's flag 8, passed on.
    """

    __slots__ = ()

    def __hash__(self) -> int:
        return hash((self.trace_id, self.span_id))

    def __reduce__(self) -> tuple[type[SpanContext], tuple[object, ...]]:
        # For pickle and copy, which cannot take the read-only mapping that stands for "nothing carried".
        return SpanContext, tuple(self._replace(carried={**self.carried}))

    @property
    def has_ids(self) -> bool:
        """Whether this names a span; False when only a decision, baggage or mesh headers arrived."""
        return self.trace_id is not None

    @property
    def flags(self) -> int:
        """Jaeger's flags: 1 sampled, 2 debug (which implies it), 8 firehose."""
        return (3 if self.debug else 1 if self.sampled else 0) | (8 if self.firehose else 0)

    def with_baggage_item(self, key: str, value: str | None) -> SpanContext:
        """Return a copy with one baggage item more, or with one less if ``value`` is None; this context stays as it is."""
        if value is None:
            return self._replace(baggage={name: text for name, text in self.baggage.items() if name != key})
        return self._replace(baggage={**self.baggage, key: value})

    def to_trace_id(self) -> str:
        """Return the trace id in lower-case hex, 32 or 16 digits; empty when there is none. For logs and links."""
        return "" if self.trace_id is None else format(self.trace_id, "032x" if self.wide else "016x")

    def to_span_id(self) -> str:
        """Return the span id in lower-case hex, 16 digits; empty when there is none."""
        return "" if self.span_id is None else format(self.span_id, "016x")
