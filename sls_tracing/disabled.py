"""The tracer that is switched off (``JAEGER_DISABLED=true``, ``enabled: false``)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sls_tracing.context import SpanContext
from sls_tracing.guard import Guard
from sls_tracing.parents import choose_parent, context_of
from sls_tracing.reporters.null import NullReporter
from sls_tracing.samplers import ConstSampler
from sls_tracing.span import Span, UnsampledSpan
from sls_tracing.tracer import Tracer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import opentracing

    from sls_tracing.propagators import Propagator

__all__ = ["DisabledTracer"]

_guard = Guard("tracer")

_NOTHING = SpanContext(sampled=None)
"""The context of a span without a parent: nothing is written for it, so that the next service starts a trace of its own."""


class DisabledTracer(Tracer):
    """Records and sends nothing, and asks nobody; contexts go on as they came.

    A span has its parent's own context, ids and decision: a service that is switched off vanishes from the trace and leaves no orphans
    behind it, while baggage, ``x-request-id`` and the mesh's decision pass through. With OpenTracing's no-op tracer in its place the trace
    would break here.
    """

    def __init__(
        self,
        service_name: str,
        *,
        scope_manager: opentracing.ScopeManager | None = None,
        propagation: str | Mapping[Any, Propagator] = "b3",
        tags: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(
            service_name,
            NullReporter(),
            ConstSampler(False),
            scope_manager=scope_manager,
            propagation=propagation,
            tags=tags,
        )

    def start_span(
        self,
        operation_name: str | None = None,
        child_of: opentracing.Span | opentracing.SpanContext | None = None,
        references: Sequence[opentracing.Reference] | opentracing.Reference | None = None,
        tags: Mapping[str, Any] | None = None,
        start_time: float | None = None,
        ignore_active_span: bool = False,
    ) -> Span:
        """Return a span that stands for its parent; everything but its baggage is without effect."""
        parent = None if child_of is None else context_of(child_of)
        if references is not None:
            parent, _ = _guard.call((parent, ()), choose_parent, parent, references)
        if parent is None and not ignore_active_span:
            scope = self._scope_manager.active
            if scope is not None:
                parent = context_of(scope.span)
        return UnsampledSpan(self, parent or _NOTHING, operation_name or "", self._clock(), {}, ())

    def _prioritise(self, span: Span, priority: object) -> None:
        """Leave the decision as it came: nobody here can keep a trace."""
