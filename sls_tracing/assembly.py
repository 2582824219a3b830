"""From settings to a tracer: each function makes one part, and :func:`make_tracer` puts them together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sls_tracing import reporters, samplers
from sls_tracing.exceptions import ConfigurationError, require_methods
from sls_tracing.logger import logger
from sls_tracing.metrics import Counters, counters
from sls_tracing.propagators import propagators_for
from sls_tracing.rules import TracingRules
from sls_tracing.settings import SETTINGS, with_defaults
from sls_tracing.tracer import Tracer

if TYPE_CHECKING:
    from collections.abc import Callable

    import opentracing

    from sls_tracing.baggage_restrictions import BaggageRestrictions
    from sls_tracing.context import SpanContext
    from sls_tracing.metrics_factory import MetricsFactory
    from sls_tracing.model import SpanRecord
    from sls_tracing.observer import SpanObserver
    from sls_tracing.reporters import Reporter
    from sls_tracing.samplers import Sampler
    from sls_tracing.senders.sender import Sender
    from sls_tracing.span import Span
    from sls_tracing.throttler import Throttler

__all__ = ["SAMPLERS", "check_parts", "make_sampler", "make_tracer"]

Values = Mapping[str, Any]


def make_tracer(
    settings: Values,
    service_name: str | None = None,
    *,
    reporter: Reporter | None = None,
    sampler: Sampler | None = None,
    throttler: Throttler | None = None,
    scope_manager: opentracing.ScopeManager | None = None,
    metrics_factory: MetricsFactory | None = None,
) -> Tracer:
    """Make a tracer from settings by name (``settings.SETTINGS``). What is passed here beats them. Raises :class:`ConfigurationError`."""
    values = with_defaults(settings)
    name = values["service_name"] = service_name if service_name is not None else values["service_name"]
    if name is None:
        raise ConfigurationError("no service name: pass one, or set JAEGER_SERVICE_NAME")
    if not values["enabled"] or values["mode"] == "forward":
        from sls_tracing.forwarding import ForwardingTracer

        return ForwardingTracer(
            name, scope_manager=scope_manager, propagation=_propagators(values, counters), tags=values["tags"]
        )
    own_counters, observer = _metrics(values, metrics_factory)
    propagators = _propagators(values, own_counters)
    sampler = sampler if sampler is not None else make_sampler(values, own_counters)
    throttler = throttler if throttler is not None else _throttler(values, own_counters)
    restrictions = _baggage_restrictions(values, own_counters)
    return Tracer(
        name,
        reporter if reporter is not None else _reporter(values, own_counters),
        sampler,
        scope_manager=scope_manager,
        propagation=propagators,
        tags=values["tags"],
        trace_id_bits=128 if values["generate_128bit_trace_id"] else 64,
        rules=_rules(values),
        throttler=throttler,
        baggage_restrictions=restrictions,
        observer=observer,
    )


def check_parts(settings: Values) -> None:
    """Make each part that can be made without starting anything, and throw it away. Raises :class:`ConfigurationError`."""
    values = with_defaults(settings)
    _propagators(values, counters)
    _rules(values).check()
    _batches(values)
    if values["sender"] is None and values["reporter"] is None:
        _sender(values, counters).close()
    for part in (
        make_sampler(values),
        _throttler(values, counters),
        _baggage_restrictions(values, counters),
    ):
        if part is not None:
            part.close()


# -- sampling ----------------------------------------------------------------------------------------------------------


def _const(param: float | None, values: Values, counters: Counters) -> Sampler:
    if param not in (None, 0, 1):
        raise ConfigurationError(f"the const sampler takes 0 (nothing) or 1 (everything), not {param!r}")
    return samplers.ConstSampler(param != 0)


def _probabilistic(param: float | None, values: Values, counters: Counters) -> Sampler:
    return samplers.ProbabilisticSampler(0.001 if param is None else param)


def _rate_limiting(param: float | None, values: Values, counters: Counters) -> Sampler:
    return samplers.RateLimitingSampler(1.0 if param is None else param)


def _remote(param: float | None, values: Values, counters: Counters) -> Sampler:
    return samplers.RemoteControlledSampler(
        values["service_name"],
        url=values["sampler.url"],
        host=values["local_agent.reporting_host"],
        port=values["local_agent.sampling_port"],
        initial_sampler=_probabilistic(param, values, counters),
        refresh_interval=values["sampling_refresh_interval"],
        max_operations=values["max_operations"],
        lower_bound_at_zero_rate=values["sampler.lower_bound_at_zero_rate"],
        counters=counters,
    )


SAMPLERS: dict[str, Callable[[float | None, Values, Counters], Sampler]] = {
    "const": _const,
    "probabilistic": _probabilistic,
    "ratelimiting": _rate_limiting,
    "remote": _remote,
}
"""The types of ``sampler.type``: each makes a sampler from ``sampler.param`` (None if that is not set) and the other settings."""


def make_sampler(values: Values, counters: Counters = counters) -> Sampler:
    """Make the sampler that a full set of values describes. Raises :class:`ConfigurationError`."""
    if _is_given(values["sampler"]):
        own: Sampler = values["sampler"]
        return own
    kind, param = values["sampler.type"], values["sampler.param"]
    try:
        return SAMPLERS[kind](param, values, counters)
    except ConfigurationError as error:
        raise ConfigurationError(
            f"sampler.param (JAEGER_SAMPLER_PARAM) = {param!r} cannot be used "
            f"with sampler.type (JAEGER_SAMPLER_TYPE) = {kind!r}: {error}"
        ) from None


def _throttler(values: Values, counters: Counters) -> Throttler | None:
    given = values["throttler"]
    if given is None or _is_given(given):
        own: Throttler | None = given
        return own
    from sls_tracing.throttler import LocalThrottler, RemoteThrottler

    if values["throttler.max_traces_per_second"] is not None:
        return LocalThrottler(values["throttler.max_traces_per_second"], counters=counters)
    return RemoteThrottler(
        values["service_name"],
        url=values["throttler.url"],
        host=values["throttler.host"] or values["local_agent.reporting_host"],
        port=values["throttler.port"],
        refresh_interval=values["throttler.refresh_interval"],
        synchronous_initialization=values["throttler.synchronous_initialization"],
        counters=counters,
    )


# -- what a span may hold ----------------------------------------------------------------------------------------------


def _rules(values: Values) -> TracingRules:
    return TracingRules(
        one_span_per_rpc=values["one_span_per_rpc"],
        debug_on_forced_sampling=values["debug_on_forced_sampling"],
        max_tag_value_length=values["max_tag_value_length"],
        max_traceback_length=values["max_traceback_length"],
        max_logs=values["max_logs_per_span"],
        follow_mesh=values["mode"] == "follow",
    )


def _baggage_restrictions(values: Values, counters: Counters) -> BaggageRestrictions | None:
    given = values["baggage_restrictions"]
    if given is None or _is_given(given):
        own: BaggageRestrictions | None = given
        return own
    from sls_tracing.baggage_restrictions import FixedBaggageRestrictions, RemoteBaggageRestrictions

    if values["baggage_restrictions.keys"] is not None:
        return FixedBaggageRestrictions(values["baggage_restrictions.keys"])
    return RemoteBaggageRestrictions(
        values["service_name"],
        url=values["baggage_restrictions.url"],
        host=values["baggage_restrictions.host"] or values["local_agent.reporting_host"],
        port=values["baggage_restrictions.port"],
        refresh_interval=values["baggage_restrictions.refresh_interval"],
        deny_until_known=values["baggage_restrictions.deny_until_known"],
        counters=counters,
    )


def _propagators(values: Values, counters: Counters) -> Mapping[Any, Any]:
    return propagators_for(
        values["propagation"],
        values["propagation_inject"],
        jaeger_headers={
            "trace_id_header": values["trace_id_header"],
            "baggage_prefix": values["baggage_header_prefix"],
            "debug_id_header": values["debug_id_header"],
            "baggage_header": values["baggage_header"],
        },
        mesh={"forward": values["forward_headers"], "forward_to": values["forward_headers_to"]},
        counters=counters,
    )


# -- the way out -------------------------------------------------------------------------------------------------------


def _reporter(values: Values, counters: Counters) -> Reporter:
    reporter: Reporter
    if values["reporter"] is not None:
        reporter = values["reporter"]
    else:
        queue_size, batch_size = _batches(values)
        sender = values["sender"] if values["sender"] is not None else _sender(values, counters)
        reporter = batching = reporters.BatchingReporter(
            sender,
            max_queue_size=queue_size,
            max_batch_size=batch_size,
            flush_interval=values["reporter_flush_interval"],
            counters=counters,
        )
        if type(counters) is not Counters:
            from sls_tracing.metrics_jaeger import PublishedCounters

            if isinstance(counters, PublishedCounters):
                counters.watch_queue(lambda: len(batching._queue))
    return reporters.CompositeReporter(reporter, reporters.LoggingReporter()) if values["logging"] else reporter


def _batches(values: Values) -> tuple[int, int]:
    """Return the sizes of queue and batch. A queue that is set smaller than the default batch makes that smaller too."""
    queue_size: int = values["reporter_queue_size"]
    batch_size: int = values["reporter_batch_size"]
    if batch_size > queue_size:
        if batch_size != SETTINGS["reporter_batch_size"].default:
            raise ConfigurationError(
                f"reporter_batch_size, {batch_size}, must not be above reporter_queue_size, {queue_size}"
            )
        batch_size = queue_size
    return queue_size, batch_size


_OTLP_PATHS = ("/v1/traces", "/otlp/traces")
"""The paths of OTLP: the specification's own, and Alibaba Cloud's ``…/api/otlp/traces``."""


def _sender(values: Values, counters: Counters) -> Sender:
    endpoint = values["collector.endpoint"]
    if values["log_service.enabled"] or values["log_service.endpoint"] is not None:
        if endpoint is not None:
            raise ConfigurationError(
                "spans go either to collector.endpoint (JAEGER_ENDPOINT) or to log_service (SLS_TRACING_LOG_SERVICE); unset one of them"
            )
        from sls_tracing.senders.log_service import LogServiceSender

        return LogServiceSender(
            values["log_service.endpoint"] or "",
            values["log_service.project"] or "",
            values["log_service.logstore"] or "",
            access_key_id=values["log_service.access_key_id"] or "",
            access_key_secret=values["log_service.access_key_secret"] or "",
            region=values["log_service.region"] or "",
            signature=values["log_service.signature"] or "",
            connect=values["log_service.connect"] or "",
            dialect=values["log_service.dialect"] or "",
            timeout=values["log_service.timeout"],
            retry_for=values["log_service.retry_for"],
            counters=counters,
        )
    if endpoint is None:
        from sls_tracing.senders.udp import UDPSender

        return UDPSender(
            values["local_agent.reporting_host"],
            values["local_agent.reporting_port"],
            protocol=values["local_agent.protocol"],
            max_packet_size=values["local_agent.max_packet_size"],
            socket_type=values["local_agent.socket_type"],
            look_up_every=values["local_agent.look_up_every"],
            counters=counters,
        )
    from sls_tracing.senders.http import HTTPSender
    from sls_tracing.senders.otlp import OTLPSender

    is_otlp = endpoint.partition("?")[0].rstrip("/").endswith(_OTLP_PATHS)
    make = OTLPSender if is_otlp else HTTPSender
    return make(
        endpoint,
        token=values["collector.auth_token"],
        user=values["collector.user"],
        password=values["collector.password"],
        headers=values["collector.headers"],
        timeout=values["collector.timeout"],
        retry_for=values["collector.retry_for"],
        verify=values["collector.verify"],
        ca=values["collector.ca"],
        cert=values["collector.cert"],
        counters=counters,
    )


# -- self metrics ------------------------------------------------------------------------------------------------------


class _Observers:
    """Several observers as one."""

    def __init__(self, *observers: SpanObserver) -> None:
        self._observers = observers

    def started(self, span: Span, parent: SpanContext | None) -> None:
        for observer in self._observers:
            observer.started(span, parent)

    def finished(self, span: Span, record: SpanRecord | None) -> None:
        for observer in self._observers:
            observer.finished(span, record)


def _metrics(values: Values, factory: MetricsFactory | None) -> tuple[Counters, SpanObserver | None]:
    """Return where this tracer's components count, and who watches its spans: nobody without a factory."""
    if factory is None or not values["metrics"]:
        if values["rpc_metrics"]:
            logger().warning(
                "rpc_metrics (JAEGER_RPC_METRICS) has no effect without a metrics factory: Config(…, metrics_factory=…)"
            )
        return counters, None
    require_methods("metrics factory", factory, ("create_counter", "create_gauge", "create_timer"))
    from sls_tracing.metrics_jaeger import PublishedCounters, SpanMetrics

    observer: SpanObserver = SpanMetrics(factory)
    if values["rpc_metrics"]:
        from sls_tracing.rpc_metrics import RPCMetrics

        observer = _Observers(observer, RPCMetrics(factory))
    return PublishedCounters(factory), observer


def _is_given(value: object) -> bool:
    """Return whether this is a ready object, not the settings of one."""
    return value is not None and not isinstance(value, Mapping)
