"""From settings to the tracer of a process.

    init_tracer("productpage")                                               what a service in a mesh needs; the environment says the rest
    Config({"sampler": {"type": "const", "param": 1}}, service_name="shop").initialize_tracer()     jaeger-client's way, unchanged

What is set in code beats the dictionary, the dictionary beats the environment, the environment beats the default.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

import opentracing

from sls_tracing import assembly
from sls_tracing.assembly import check_parts, make_tracer
from sls_tracing.environment import read_environment
from sls_tracing.exceptions import ConfigurationError
from sls_tracing.logger import logger
from sls_tracing.settings import JAEGER_CLIENT_DEFAULTS, read_dictionary, with_defaults

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sls_tracing.metrics_factory import Metrics, MetricsFactory
    from sls_tracing.reporters import Reporter
    from sls_tracing.samplers import Sampler
    from sls_tracing.throttler import Throttler
    from sls_tracing.tracer import Tracer

__all__ = ["Config", "check_settings", "init_tracer", "make_tracer"]

T = TypeVar("T")

_initialized: Tracer | None = None
_lock = threading.Lock()


def init_tracer(service_name: str | None = None, *, environ: Mapping[str, str] | None = None) -> Tracer:
    """Make the tracer of this process from the environment and set it as OpenTracing's global tracer.

    ``service_name`` beats ``JAEGER_SERVICE_NAME``; one of them is required. Every trace is sampled and sent to the agent on this host
    unless the environment (``os.environ`` if None) says otherwise; see ``environment.VARIABLES``. A second call returns the same
    tracer and logs that, so a service that ``sls-tracing run`` has instrumented may call it too. Raises
    :class:`ConfigurationError`.
    """
    return _initialize(service_name, lambda: make_tracer(read_environment(environ), service_name))


def check_settings(environ: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return the environment's settings after checking what can be checked without starting anything.

    ``sls-tracing run`` does so before it hands over to the program. Raises :class:`ConfigurationError`.
    """
    settings = read_environment(environ)
    check_parts(settings)
    return settings


def _initialize(service_name: str | None, make: Callable[[], Tracer]) -> Tracer:
    """Return the tracer of this process, made if there is none or the last one is closed."""
    global _initialized  # noqa: PLW0603 - one tracer a process is the point
    with _lock:
        if _initialized is not None and not _initialized.closed:
            if service_name not in (None, _initialized.service_name):
                logger().warning(
                    "the tracer of this process is already initialised for %r; the one for %r is not made, that one is returned",
                    _initialized.service_name,
                    service_name,
                )
            return _initialized
        tracer = make()
        opentracing.set_global_tracer(tracer)
        _initialized = tracer
        return tracer


class _Value(Generic[T]):
    """A property of :class:`Config`: the value of the setting ``key``."""

    def __init__(self, key: str) -> None:
        self._key = key

    @overload
    def __get__(self, config: None, owner: type[Config]) -> _Value[T]: ...

    @overload
    def __get__(self, config: Config, owner: type[Config]) -> T: ...

    def __get__(self, config: Config | None, owner: type[Config]) -> T | _Value[T]:
        if config is None:
            return self
        value: T = config._values[self._key]
        return value


class Config:
    """jaeger-client's configuration: its dictionary, its names, its defaults where others see them.

        config = Config({"sampler": {"type": "const", "param": 1}, "logging": True}, service_name="shop", validate=True)
        tracer = config.initialize_tracer()

    - ``config``: see docs/configuration.md for every key. Its ``service_name`` beats the argument, as in jaeger-client; beyond that, what it
      leaves open the environment decides, then the default. It is read here and now: later changes of it have no effect.
    - ``validate``: unknown keys, nested ones too, raise; they are logged otherwise. Values that cannot be used raise in either case.
    - ``metrics_factory`` (or the older ``metrics``): where to count; nowhere if None.
    - ``scope_manager``: contextvars if None, which follow threads and asyncio alike.
    - ``environ``: in place of ``os.environ``, for tests.

    Unlike ``init_tracer`` it keeps jaeger-client's propagation (``uber-trace-id``), 64-bit trace ids and limits of values if nobody says
    otherwise. docs/moving-from-jaeger-client.md tells what else is different. Raises :class:`ConfigurationError`, a ``ValueError``.
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        metrics: Metrics | None = None,
        service_name: str | None = None,
        metrics_factory: MetricsFactory | None = None,
        validate: bool = False,
        scope_manager: opentracing.ScopeManager | None = None,
        *,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self.config = config
        self.scope_manager = scope_manager
        if metrics_factory is None and metrics is not None:
            from sls_tracing.metrics_factory import LegacyMetricsFactory

            metrics_factory = LegacyMetricsFactory(metrics)
        self._metrics_factory = metrics_factory
        dictionary = read_dictionary(config, strict=validate)
        environment = read_environment(environ)
        named = {} if service_name is None else {"service_name": service_name}
        self._settings = {**JAEGER_CLIENT_DEFAULTS, **environment, **named, **dictionary}
        self._settings["tags"] = {**environment.get("tags", {}), **dictionary.get("tags", {})}
        if not self._settings.get("service_name"):
            raise ConfigurationError(
                "no service name: pass service_name=, set it in the dictionary, or set JAEGER_SERVICE_NAME"
            )
        check_parts(self._settings)
        self._values = with_defaults(self._settings)

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> Config:
        """Return the configuration that the variables alone make (``os.environ`` if None), as Go's and Java's clients do."""
        return cls({}, environ=environ)

    service_name = _Value[str]("service_name")
    enabled = _Value[bool]("enabled")
    tags = _Value["dict[str, Any]"]("tags")
    logging = _Value[bool]("logging")
    reporter_batch_size = _Value[int]("reporter_batch_size")
    reporter_queue_size = _Value[int]("reporter_queue_size")
    reporter_flush_interval = _Value[float]("reporter_flush_interval")
    sampling_refresh_interval = _Value[float]("sampling_refresh_interval")
    max_operations = _Value[int]("max_operations")
    max_tag_value_length = _Value["int | None"]("max_tag_value_length")
    max_traceback_length = _Value["int | None"]("max_traceback_length")
    generate_128bit_trace_id = _Value[bool]("generate_128bit_trace_id")
    propagation = _Value[str]("propagation")
    trace_id_header = _Value[str]("trace_id_header")
    baggage_header_prefix = _Value[str]("baggage_header_prefix")
    debug_id_header = _Value[str]("debug_id_header")
    local_agent_enabled = _Value[bool]("local_agent.enabled")
    local_agent_reporting_host = _Value[str]("local_agent.reporting_host")
    local_agent_sampling_port = _Value[int]("local_agent.sampling_port")

    @property
    def local_agent_reporting_port(self) -> int:
        """The agent's port for spans: 6831, or 6832 for the binary protocol, unless set."""
        port: int | None = self._values["local_agent.reporting_port"]
        return port or (6832 if self._values["local_agent.protocol"] == "binary" else 6831)

    def local_agent_group(self) -> Any:
        """Return the dictionary's ``local_agent`` as it stands there."""
        return self.config.get("local_agent")

    def throttler_group(self) -> Any:
        """Return the dictionary's ``throttler`` as it stands there."""
        return self.config.get("throttler")

    @property
    def throttler_port(self) -> int | None:
        """The port that grants debug credits; None without a throttler."""
        port: int = self._values["throttler.port"]
        return None if self._values["throttler"] is None else port

    @property
    def throttler_refresh_interval(self) -> float | None:
        """Seconds between its questions; None without a throttler."""
        interval: float = self._values["throttler.refresh_interval"]
        return None if self._values["throttler"] is None else interval

    @property
    def sampler(self) -> Sampler:
        """A sampler as configured: a new one each time, unless the dictionary holds one."""
        return assembly.make_sampler(self._values)

    @staticmethod
    def initialized() -> bool:
        """Return whether this process has its tracer."""
        return _initialized is not None and not _initialized.closed

    def initialize_tracer(self, io_loop: object = None) -> Tracer:
        """Make the tracer of this process and set it as OpenTracing's global one; a second call returns the same tracer and logs that."""
        return _initialize(self.service_name, lambda: self.new_tracer(io_loop))

    def new_tracer(self, io_loop: object = None) -> Tracer:
        """Make another tracer, which is nobody's global one."""
        if io_loop is not None:
            logger().warning("io_loop= has no effect: spans are sent by a thread, no event loop takes part")
        return make_tracer(self._settings, scope_manager=self.scope_manager, metrics_factory=self._metrics_factory)

    def create_tracer(self, reporter: Reporter, sampler: Sampler, throttler: Throttler | None = None) -> Tracer:
        """Make a tracer with a reporter and a sampler of your own; a throttler that is None is made as configured."""
        return make_tracer(
            self._settings,
            reporter=reporter,
            sampler=sampler,
            throttler=throttler,
            scope_manager=self.scope_manager,
            metrics_factory=self._metrics_factory,
        )
