"""Contexts that need a decision: those of roots, and of spans whose caller left it open or sent no ids."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from sls_tracing.context import NO_BAGGAGE, NOTHING_CARRIED, SpanContext
from sls_tracing.guard import Guard
from sls_tracing.propagators.carried import DEBUG_ID

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sls_tracing.identifiers import IdSource
    from sls_tracing.model import TagValue
    from sls_tracing.samplers import Decision
    from sls_tracing.throttler import Throttler

__all__ = ["Roots"]

_new_tuple = tuple.__new__  # see span.py
_LOW_64 = (1 << 64) - 1
_UNDECIDED = SpanContext(sampled=None)
_NO_TAGS: Mapping[str, TagValue] = {}
_UNDECIDED_ROOT = (_UNDECIDED, None, None, None, None)
_guard = Guard("tracer")

Root: TypeAlias = "tuple[SpanContext, int | None, int | None, bool | None, dict[str, TagValue] | None]"


class Roots:
    """Makes ids and asks sampler and throttler.

    ``new`` and ``under`` return a context; its trace id, parent id and decision once more, because a plain tuple is unpacked faster; and
    the tags with which its span starts, None if it is not sampled.
    """

    def __init__(
        self,
        is_sampled: Callable[[int, str], Decision],
        throttler: Throttler | None,
        trace_id_bits: int,
        ids: IdSource,
        follow_mesh: bool = False,
        always: Decision | None = None,
    ) -> None:
        self._is_sampled = is_sampled
        # Of a sampler that always says the same: it need not be asked. A plain tuple, which Python unpacks faster than its subclasses.
        self._always = None if always is None else (always.sampled, always.tags)
        self._throttler = throttler
        self._bits = trace_id_bits
        self._wide = trace_id_bits == 128
        self._ids = ids
        self._follow_mesh = follow_mesh

    def new(self, operation_name: str) -> Root:
        """Make the context of a root; one without ids if traces begin in the mesh only."""
        if self._follow_mesh:
            return _UNDECIDED_ROOT
        trace_id = self._ids(self._bits) or self.id(self._bits)
        sampled, tags = self._always or self._is_sampled(trace_id, operation_name)
        # Like Envoy and Jaeger's Go and Java clients: a root's span id is the low half of its trace id.
        span_id = trace_id & _LOW_64 or self.id(64)
        context = _new_tuple(
            SpanContext,
            (trace_id, span_id, None, sampled, False, NO_BAGGAGE, self._wide, NOTHING_CARRIED, True, False),
        )
        return context, trace_id, None, sampled, {**tags} if sampled else None

    def under(self, parent: SpanContext, operation_name: str) -> Root:
        """Make the context of a span whose parent has no ids, or left the decision open.

        B3 can send a decision without ids: the span is then a root that obeys it. Baggage and carried headers go on. A debug id
        (``jaeger-debug-id``) forces the trace if the throttler lets it, and becomes a tag of its root.
        """
        trace_id, parent_id, _, sampled, debug, baggage, wide, carried, random, firehose = parent
        tags = _NO_TAGS
        if trace_id is None:
            if self._follow_mesh and sampled is None:
                return parent, None, None, None, None
            trace_id = self.id(self._bits)
            span_id = trace_id & _LOW_64 or self.id(64)
            wide, random = self._wide, True
            debug_id = carried.get(DEBUG_ID)
            if debug_id is not None:
                if self.may_force(operation_name):
                    tags = {DEBUG_ID: debug_id}
                else:
                    sampled, debug = None, False
        else:
            span_id = self._ids(64) or self.id(64)
        if sampled is None:
            sampled, tags = self._is_sampled(trace_id, operation_name)
        context = _new_tuple(
            SpanContext, (trace_id, span_id, parent_id, sampled, debug, baggage, wide, carried, random, firehose)
        )
        return context, trace_id, parent_id, sampled, {**tags} if sampled else None

    def id(self, bits: int) -> int:
        """Return an id of ``bits`` bits that is not zero."""
        value = 0
        while not value:
            value = self._ids(bits)
        return value

    def may_force(self, operation_name: str) -> bool:
        """Ask the throttler whether one more trace may be forced."""
        throttler = self._throttler
        return throttler is None or bool(_guard.call(False, throttler.is_allowed, operation_name))
