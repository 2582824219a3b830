"""Forward mode: the service is no part of the traces, but the traces go through it whole.

A service that reports nothing must not put ids of its own into the headers: nobody would know the spans that they name, and the trace would
fall apart in orphans (mesh rule 6). With OpenTracing's no-op tracer it would end here. So contexts go on as they came.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from sls_tracing.context import SpanContext
from sls_tracing.guard import Guard
from sls_tracing.parents import choose_parent, context_of
from sls_tracing.reporters.null import NullReporter
from sls_tracing.samplers import ConstSampler
from sls_tracing.span import Span
from sls_tracing.tracer import Tracer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import opentracing

    from sls_tracing.propagators import Propagator

__all__ = ["ForwardingSpan", "ForwardingTracer"]

_guard = Guard("tracer")

_NOTHING = SpanContext(sampled=None)
"""The context of a span without a parent: nothing is written for it, and the next sidecar or service decides."""


class ForwardingSpan(Span):
    """Stands for what came in: its context is the caller's own. Everything but its baggage is without effect."""

    __slots__ = ()

    is_recording = False
    operation_name = ""
    start_time = 0.0
    finish_time = None
    # Shared by all, hence read-only: nothing is ever put into them.
    tags: Mapping[str, Any] = MappingProxyType({})  # type: ignore[assignment]
    logs: Sequence[Any] = ()  # type: ignore[assignment]

    def __init__(self, tracer: Tracer, context: SpanContext) -> None:
        self._tracer = tracer
        self._context = context

    def set_operation_name(self, operation_name: str) -> Span:
        """Do nothing."""
        return self

    def set_tag(self, key: str, value: Any) -> Span:
        """Do nothing, for ``sampling.priority`` too: there is no span of ours that could be kept."""
        return self

    def log_kv(self, key_values: Mapping[str, Any], timestamp: float | None = None) -> Span:
        """Do nothing."""
        return self

    def finish(self, finish_time: float | None = None) -> None:
        """Do nothing."""


class ForwardingTracer(Tracer):
    """Records and sends nothing, asks nobody; a span has its parent's own context, ids and decision.

    ``SLS_TRACING_MODE=forward`` makes one, and ``JAEGER_DISABLED=true``. It costs a request what reading and writing the headers costs.
    """

    def __init__(
        self,
        service_name: str,
        *,
        scope_manager: opentracing.ScopeManager | None = None,
        propagation: str | Mapping[Any, Propagator] = "mesh",
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
        """Return a span that stands for its parent, which is chosen as :meth:`Tracer.start_span` does."""
        parent: SpanContext | None = None
        if child_of is not None:
            parent = child_of if type(child_of) is SpanContext else context_of(child_of)
        if references is not None:
            parent, _ = _guard.call((parent, ()), choose_parent, parent, references)
        if parent is None and not ignore_active_span:
            scope = self._scope_manager.active
            if scope is not None:
                parent = context_of(scope.span)
        return ForwardingSpan(self, _NOTHING if parent is None else parent)
