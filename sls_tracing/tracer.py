"""The tracer: it starts spans, chooses their parents, asks the sampler for roots, and carries contexts across processes."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import opentracing

from sls_tracing.baggage_restrictions import DefaultBaggageRestrictions
from sls_tracing.clock import wall_clock
from sls_tracing.context import SpanContext
from sls_tracing.exceptions import ConfigurationError, require_methods
from sls_tracing.forks import call_in_child
from sls_tracing.guard import Guard
from sls_tracing.identifiers import random_bits
from sls_tracing.model import Process, Reference
from sls_tracing.parents import choose_parent, context_of, names_parent
from sls_tracing.process import process_tags
from sls_tracing.propagators import propagators_for
from sls_tracing.reporters.batching import BatchingReporter
from sls_tracing.reporters.reporter import check_reporter
from sls_tracing.roots import Roots
from sls_tracing.rules import TracingRules
from sls_tracing.samplers import ConstSampler
from sls_tracing.samplers.sampler import asking
from sls_tracing.scope import ContextVarsScopeManager, Scope
from sls_tracing.scope import _get as _active_scope
from sls_tracing.span import DroppedSpan, Span, UnsampledSpan
from sls_tracing.values import PLAIN_TYPES, to_seconds, to_tags, to_text, to_value

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

    from sls_tracing.baggage_restrictions import BaggageRestrictions
    from sls_tracing.clock import Clock
    from sls_tracing.identifiers import IdSource
    from sls_tracing.model import TagValue
    from sls_tracing.observer import SpanObserver
    from sls_tracing.propagators import Propagator
    from sls_tracing.reporters import Reporter
    from sls_tracing.samplers import Sampler
    from sls_tracing.throttler import Throttler

__all__ = ["Tracer"]

_new_tuple = tuple.__new__  # see span.py
_NO_REFERENCES: tuple[Reference, ...] = ()
# What a carrier's own methods raise when it cannot be read or written (an immutable one, one of another library's).
_CARRIER_ERRORS = (TypeError, ValueError, LookupError, AttributeError, NotImplementedError, RuntimeError)
_RULES = TracingRules()
_guard = Guard("tracer")


class Tracer(opentracing.Tracer):  # type: ignore[misc]
    """An OpenTracing tracer for one service.

        tracer = Tracer("productpage", sampler=ConstSampler(True), reporter=BatchingReporter(UDPSender()))
        with tracer.start_active_span("checkout") as scope:
            scope.span.set_tag("items", 3)
        tracer.close()

    - ``sampler`` is asked once for each new trace (and where a caller left the decision open); all traces if None.
    - ``reporter`` takes the finished spans; by UDP to a Jaeger agent on this host if None. It belongs to the tracer, which closes it.
    - ``propagation`` names how contexts travel in text: see ``propagators.PROPAGATIONS``. Or it is a propagator for each format, as
      ``propagators_for`` makes them; one for a format of your own may be among them.
    - ``tags`` describe this process; ``hostname``, ``ip`` and ``jaeger.version`` are there already and may be overridden.
    - ``rules``: limits and modes that few need. ``throttler``: bounds traces that are forced by a debug id or ``sampling.priority``; no bound if
      None. ``baggage_restrictions``: which baggage the application may set; any key, values up to 2,048 bytes, if None.
    - ``observer`` is told when spans start and finish.
    - ``trace_id_bits``: 128 or 64, the width of ids made here. Incoming ids keep their own.
    - ``clock`` (seconds) and ``ids`` (``getrandbits``) are for tests.
    """

    def __init__(
        self,
        service_name: str,
        reporter: Reporter | None = None,
        sampler: Sampler | None = None,
        *,
        scope_manager: opentracing.ScopeManager | None = None,
        propagation: str | Mapping[Any, Propagator] = "b3",
        tags: Mapping[str, Any] | None = None,
        trace_id_bits: int = 128,
        rules: TracingRules = _RULES,
        throttler: Throttler | None = None,
        baggage_restrictions: BaggageRestrictions | None = None,
        observer: SpanObserver | None = None,
        clock: Clock = wall_clock,
        ids: IdSource = random_bits,
    ) -> None:
        if not isinstance(service_name, str) or not service_name.strip():
            msg = f"a service name is required (text, not empty), got {service_name!r}; JAEGER_SERVICE_NAME sets it too"
            raise ConfigurationError(msg)
        if type(trace_id_bits) is not int or trace_id_bits not in (64, 128):
            msg = f"trace_id_bits must be 64 or 128, not {trace_id_bits!r}"
            raise ConfigurationError(msg)
        require_methods("mapping of tag names to values", {} if tags is None else tags, ("items", "keys"))
        super().__init__(scope_manager if scope_manager is not None else ContextVarsScopeManager())
        require_methods("scope manager", self._scope_manager, ("activate",))
        self._scopes_are_ours = type(self._scope_manager) is ContextVarsScopeManager
        self.service_name = service_name
        self.closed = False
        self.sampler = sampler if sampler is not None else ConstSampler(True)
        require_methods("sampler", self.sampler, ("is_sampled", "close"))
        self.propagators: dict[Any, Propagator] = (
            propagators_for(propagation) if isinstance(propagation, str) else _checked(propagation)
        )
        self.reporter = reporter if reporter is not None else BatchingReporter()
        check_reporter(self.reporter)
        self.rules = rules.check()
        self._one_span_per_rpc = rules.one_span_per_rpc
        self._limits_values = rules.limits_values
        self._throttler = throttler
        self._baggage_restrictions = baggage_restrictions or DefaultBaggageRestrictions()
        self._observer = observer
        self.tags = to_tags(tags or {})
        self._report = _guard.wrap(self.reporter.report, None)
        always = self.sampler._decision if type(self.sampler) is ConstSampler else None
        self._roots = Roots(asking(self.sampler), throttler, trace_id_bits, ids, rules.follow_mesh, always)
        self._new_root = self._roots.new
        self._clock = clock
        self._ids = ids
        self._start_afresh()
        call_in_child(self._start_afresh)

    def _start_afresh(self) -> None:
        """Renew what a forked child must not share: the lock, and the id by which an agent tells clients apart."""
        # Held while a span's context is replaced. Re-entrant: the garbage collector may run inside, and finish a forgotten span.
        self._lock = threading.RLock()
        self._process = Process(self.service_name, {**process_tags(), **self.tags})

    # -- starting spans ------------------------------------------------------------------------------------------------

    def start_span(  # noqa: PLR0915 - see below
        self,
        operation_name: str | None = None,
        child_of: opentracing.Span | opentracing.SpanContext | None = None,
        references: Sequence[opentracing.Reference] | opentracing.Reference | None = None,
        tags: Mapping[str, Any] | None = None,
        start_time: float | None = None,
        ignore_active_span: bool = False,
    ) -> Span:
        """Start a span without making it active.

        Its parent is ``child_of``, else the first ``CHILD_OF`` of ``references``, else their first, else the active span (unless
        ``ignore_active_span``), else none. All references are kept. Contexts of other tracers are ignored. ``start_time`` is in
        seconds, now if None.
        """
        # One function on purpose, and no calls that a plain child does not need: this runs for every span (benchmarks/ measures it, and
        # benchmarks/instructions.py counts: 20,100 instructions for start + 2 tags + finish before calls were inlined here, 17,200 now).
        parent: SpanContext | None = None
        links = _NO_REFERENCES
        if child_of is not None:
            kind = type(child_of)
            parent = child_of if kind is SpanContext else child_of._context if kind is Span else context_of(child_of)
        if references is not None:
            parent, links = _guard.call((parent, links), choose_parent, parent, references)
        if parent is None and not ignore_active_span:
            scope = _active_scope(None) if self._scopes_are_ours else self._scope_manager.active
            if scope is not None:
                active = scope._span if type(scope) is Scope else scope.span
                parent = active._context if type(active) is Span else context_of(active)
        if type(operation_name) is not str:
            operation_name = "" if operation_name is None else to_text(operation_name)
        if parent is None:
            context, trace_id, parent_id, sampled, own_tags = self._new_root(operation_name)
        else:
            trace_id, parent_id, _, sampled, debug, baggage, wide, carried, random, firehose = parent
            if trace_id is None or sampled is None:
                context, trace_id, parent_id, sampled, own_tags = self._roots.under(parent, operation_name)
            else:
                span_id = self._ids(64) or self._roots.id(64)
                context = _new_tuple(
                    SpanContext,
                    (trace_id, span_id, parent_id, sampled, debug, baggage, wide, carried, random, firehose),
                )
                own_tags = {} if sampled else None
        start_time = self._clock() if start_time is None else to_seconds(start_time, self._clock)
        if sampled or (
            tags is not None
            and trace_id is not None
            and ("sampling.priority" in tags if type(tags) is dict else _guard.call(False, _names_priority, tags))
        ):
            if own_tags is None:
                own_tags = {}
            if tags is not None:
                self._take_tags(tags, own_tags)
            if self._one_span_per_rpc and parent is not None and parent.trace_id is not None:
                context = _joined(context, parent, own_tags)
                parent_id = context.parent_id
            if parent_id is not None and not (links and names_parent(links, context)):
                reference = _new_tuple(Reference, ("child_of", trace_id, parent_id))
                links = (reference, *links) if links else (reference,)
            span: Span = Span()
            span.tags = own_tags
            span.logs = []
        else:
            span = UnsampledSpan()
        span._tracer = self
        span._context = context
        span._references = links
        span.operation_name = operation_name
        span.start_time = start_time
        span.finish_time = None
        if own_tags is not None and "sampling.priority" in own_tags:
            self._prioritise(span, own_tags["sampling.priority"])
        if self._observer is not None:
            _guard.call(None, self._observer.started, span, parent)
        return span

    def start_active_span(
        self,
        operation_name: str,
        child_of: opentracing.Span | opentracing.SpanContext | None = None,
        references: Sequence[opentracing.Reference] | opentracing.Reference | None = None,
        tags: Mapping[str, Any] | None = None,
        start_time: float | None = None,
        ignore_active_span: bool = False,
        finish_on_close: bool = True,
    ) -> opentracing.Scope:
        """Start a span as :meth:`start_span` does and make it active; closing the scope finishes it unless told otherwise."""
        span = self.start_span(operation_name, child_of, references, tags, start_time, ignore_active_span)
        return self._scope_manager.activate(span, finish_on_close)

    @staticmethod
    def _take_tags(tags: Mapping[str, Any], own_tags: dict[str, TagValue]) -> None:
        """Copy the application's tags, as plain values."""
        if type(tags) is not dict:
            own_tags.update(_guard.call({}, to_tags, tags))
            return
        for key, value in tags.items():
            if type(key) is str and type(value) in PLAIN_TYPES:
                own_tags[key] = value
            else:
                own_tags.update(to_tags({key: value}))

    def _prioritise(self, span: Span, priority: object) -> None:
        """Obey OpenTracing's ``sampling.priority``: above 0 keep the trace (here and below), 0 drop the rest of it.

        What is no number changes nothing, and so does what the throttler refuses. A span without ids (``TracingRules.follow_mesh``) cannot
        be kept: no one could say what it is part of.
        """
        if span._context.trace_id is None:
            return
        keep = _guard.call(None, _is_positive, priority)
        if keep and not self._roots.may_force(span.operation_name):
            keep = None
        with self._lock:
            context = span._context
            if keep is not None:
                debug = keep and (context.debug or self.rules.debug_on_forced_sampling)
                context = span._context = context._replace(sampled=keep, debug=debug)
            kind = type(span)
            if context.sampled and kind is not Span:
                if context.parent_id is not None and not names_parent(span._references, context):
                    parent = Reference("child_of", context.trace_id, context.parent_id)  # type: ignore[arg-type]
                    span._references = (parent, *span._references)
                if kind is UnsampledSpan:
                    span._begin_recording()
                span.__class__ = Span
            elif not context.sampled and kind is Span:
                span.__class__ = DroppedSpan

    # -- crossing processes --------------------------------------------------------------------------------------------

    def inject(self, span_context: opentracing.SpanContext, format: Any, carrier: Any) -> None:  # noqa: A002
        """Write a context into ``carrier``; a span in its place is accepted.

        Raises ``UnsupportedFormatException`` for a format without propagator, ``InvalidCarrierException`` for a carrier that cannot
        take the format, ``SpanContextCorruptedException`` for the context of another tracer.
        """
        propagator = self.propagators.get(format) if type(format) is str else None
        if propagator is None:
            propagator = self._propagator(format)
        context = span_context if type(span_context) is SpanContext else context_of(span_context)
        if context is None:
            msg = f"not a context of this library: {type(span_context).__name__}"
            raise opentracing.SpanContextCorruptedException(msg)
        try:
            propagator.inject(context, carrier)
        except _CARRIER_ERRORS as error:
            msg = f"cannot write the context into {type(carrier).__name__}: {error}"
            raise opentracing.InvalidCarrierException(msg) from error

    def extract(self, format: Any, carrier: Any) -> SpanContext | None:  # noqa: A002
        """Read a context from ``carrier``; None if there is none.

        Malformed headers are dropped and counted, not raised: a stranger could send them. Raises ``UnsupportedFormatException``,
        ``InvalidCarrierException``, and, for the binary format only, ``SpanContextCorruptedException``.
        """
        propagator = self.propagators.get(format) if type(format) is str else None
        if propagator is None:
            propagator = self._propagator(format)
        try:
            return propagator.extract(carrier)
        except _CARRIER_ERRORS as error:
            msg = f"cannot read a context from {type(carrier).__name__}: {error}"
            raise opentracing.InvalidCarrierException(msg) from error

    def _propagator(self, format: Any) -> Propagator:  # noqa: A002
        # OpenTracing compares formats with == and lets any object be one, so an unhashable one is looked for the slow way.
        try:
            propagator = self.propagators.get(format)
        except TypeError:
            propagator = next((found for key, found in self.propagators.items() if key == format), None)
        if propagator is None:
            known = ", ".join(map(str, self.propagators))
            msg = f"no propagator for the format {format!r}; known: {known}. Add one to tracer.propagators"
            raise opentracing.UnsupportedFormatException(msg)
        return propagator

    # -- ending --------------------------------------------------------------------------------------------------------

    def flush(self, timeout: float = 5.0) -> bool:
        """Send what was finished until now; True if all of it left within ``timeout`` seconds."""
        return bool(_guard.call(False, self.reporter.flush, timeout))

    def close(self, timeout: float = 5.0) -> bool:
        """Flush, then release thread and socket; True if all was sent within ``timeout`` seconds. May be called again.

        Spans that finish afterwards are dropped and counted.
        """
        self.closed = True
        for helper in (self.sampler, self._throttler, self._baggage_restrictions):
            if helper is not None:
                with _guard:
                    helper.close()
        return bool(_guard.call(False, self.reporter.close, timeout))

    def __enter__(self) -> Tracer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def _is_positive(priority: object) -> bool:
    return int(to_value(priority)) > 0


def _names_priority(tags: object) -> bool:
    return "sampling.priority" in tags  # type: ignore[operator]


def _joined(context: SpanContext, parent: SpanContext, tags: Mapping[str, TagValue]) -> SpanContext:
    """Return the caller's own ids for a server span: Zipkin's one span for both sides of a call."""
    if tags.get("span.kind") != "server":
        return context
    return context._replace(span_id=parent.span_id, parent_id=parent.parent_id)


def _checked(propagators: Mapping[Any, Propagator]) -> dict[Any, Propagator]:
    require_methods("propagation name or mapping of formats to propagators", propagators, ("items", "keys"))
    for propagator in propagators.values():
        require_methods("propagator", propagator, ("inject", "extract"))
    return dict(propagators)
