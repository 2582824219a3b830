"""From settings to a tracer: ``init_tracer("productpage")`` and the environment are all that a service needs."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any

import opentracing

from sls_tracing.environment import read_environment
from sls_tracing.exceptions import ConfigurationError
from sls_tracing.reporters.batching import BatchingReporter
from sls_tracing.samplers import ConstSampler, ProbabilisticSampler, RateLimitingSampler, Sampler
from sls_tracing.tracer import Tracer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["SAMPLERS", "check_settings", "init_tracer", "make_tracer"]

logger = logging.getLogger("sls_tracing")


def _const(param: float | None) -> Sampler:
    if param not in (None, 0, 1):
        msg = f"the const sampler takes 0 (nothing) or 1 (everything), not {param!r}"
        raise ConfigurationError(msg)
    return ConstSampler(param != 0)


SAMPLERS: dict[str, Callable[[float | None], Sampler]] = {
    "const": _const,
    "probabilistic": lambda param: ProbabilisticSampler(0.001 if param is None else param),
    "ratelimiting": lambda param: RateLimitingSampler(1.0 if param is None else param),
}
"""The sampler types of ``JAEGER_SAMPLER_TYPE``; each is made from ``JAEGER_SAMPLER_PARAM``, or from None if that is not set."""

_initialized: Tracer | None = None
_lock = threading.Lock()


def init_tracer(service_name: str | None = None, *, environ: Mapping[str, str] | None = None) -> Tracer:
    """Make the tracer of this process from the environment and set it as OpenTracing's global tracer.

    ``service_name`` beats ``JAEGER_SERVICE_NAME``; one of them is required. Every trace is sampled and sent to the agent on this host
    unless the environment (``os.environ`` if None) says otherwise; see ``environment.VARIABLES``. A second call returns the same
    tracer and logs that, so a service that ``sls-tracing run`` has instrumented may call it too. Raises
    :class:`ConfigurationError`.
    """
    global _initialized  # noqa: PLW0603 - one tracer a process is the point
    with _lock:
        if _initialized is not None and not _initialized.closed:
            if service_name not in (None, _initialized.service_name):
                logger.warning(
                    "the tracer of this process is already initialised for %r; init_tracer(%r) returns that one",
                    _initialized.service_name,
                    service_name,
                )
            return _initialized
        tracer = make_tracer(read_environment(environ), service_name)
        opentracing.set_global_tracer(tracer)
        _initialized = tracer
        return tracer


def make_tracer(settings: Mapping[str, Any], service_name: str | None = None) -> Tracer:
    """Make a tracer from the settings of ``read_environment``. Raises :class:`ConfigurationError`."""
    from sls_tracing.senders.udp import UDPSender

    name = service_name if service_name is not None else settings.get("service_name")
    if name is None:
        msg = "no service name: pass one to init_tracer, or set JAEGER_SERVICE_NAME"
        raise ConfigurationError(msg)
    sender = UDPSender(settings.get("agent_host", "localhost"), settings.get("agent_port", 6831))
    return Tracer(
        name,
        sampler=make_sampler(settings),
        reporter=BatchingReporter(sender),
        propagation=settings.get("propagation", "b3"),
        tags=settings.get("tags"),
    )


def make_sampler(settings: Mapping[str, Any]) -> Sampler:
    """Make the sampler that ``sampler_type`` and ``sampler_param`` name. Raises :class:`ConfigurationError`."""
    kind, param = settings.get("sampler_type", "const"), settings.get("sampler_param")
    try:
        return SAMPLERS[kind](param)
    except ConfigurationError as error:
        msg = f"JAEGER_SAMPLER_PARAM={param!r} cannot be used with JAEGER_SAMPLER_TYPE={kind!r}: {error}"
        raise ConfigurationError(msg) from None


def check_settings(environ: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return the environment's settings after checking what can be checked without starting anything.

    ``sls-tracing run`` does so before it hands over to the program. Raises :class:`ConfigurationError`.
    """
    settings = read_environment(environ)
    make_sampler(settings).close()
    return settings
