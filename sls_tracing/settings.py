"""The table of settings: each by its place in jaeger-client's dictionary, how it is read, its default, what it is for.

    {"sampler": {"type": "const", "param": 1}, "logging": True}   is   {"sampler.type": "const", "sampler.param": 1.0, "logging": True}

Everything that can be set is a row here, and nothing else is: the dictionary of :class:`~sls_tracing.config.Config`, the environment
(``environment.VARIABLES``) and the documentation follow this table. Rows that jaeger-client does not have are marked in docs/configuration.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from sls_tracing import setting_values as values
from sls_tracing.exceptions import ConfigurationError
from sls_tracing.hosts import MESH_HOSTS
from sls_tracing.logger import logger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["JAEGER_CLIENT_DEFAULTS", "SETTINGS", "Setting", "read_dictionary", "with_defaults"]


class Setting(NamedTuple):
    """One row. ``read`` returns the value or raises ValueError with the remedy; a ``secret`` is never shown in a message."""

    read: Callable[[object], Any]
    default: Any
    meaning: str
    secret: bool = False


_SAMPLER = ("is_sampled", "close")
_THROTTLER = ("is_allowed", "close")
_RESTRICTIONS = ("restriction", "close")
_count, _size = values.whole_number(1), values.whole_number(0)

SETTINGS: dict[str, Setting] = {
    # The service
    "service_name": Setting(values.one_line, None, "the service's name in every trace; required"),
    "tags": Setting(values.value_mapping, {}, "tags of this process, on each batch of spans"),
    "enabled": Setting(values.boolean, True, "false: nothing is recorded or sent; contexts are forwarded as they came"),
    "mode": Setting(
        values.choice("trace", "forward", "follow"),
        "trace",
        "trace; forward: as enabled false; follow: begin no trace, the mesh does",
    ),
    # What a span may hold, and its ids
    "generate_128bit_trace_id": Setting(values.boolean, True, "trace ids made here have 128 bits, else 64"),
    "one_span_per_rpc": Setting(values.boolean, False, "a server span takes over its caller's ids (Zipkin's way)"),
    "debug_on_forced_sampling": Setting(values.boolean, True, "sampling.priority sets the debug flag as well"),
    "max_tag_value_length": Setting(_count, None, "characters of a tag's or log's value; longer ones are cut"),
    "max_traceback_length": Setting(_count, None, "characters of an error's stack; its end is kept"),
    "max_logs_per_span": Setting(_count, None, "logs of a span; the first and the last are kept"),
    # Propagation
    "propagation": Setting(
        values.propagation, "mesh", "formats read, in this order: mesh, b3, w3c, jaeger and others, several with commas"
    ),
    "propagation_inject": Setting(values.propagation, None, "formats written; those of propagation"),
    "forward_headers": Setting(
        values.forwarded_names, (), "with mesh: headers of the application to forward, such as end-user"
    ),
    "forward_headers_to": Setting(
        values.hosts, MESH_HOSTS, "hosts that get them: reviews, *.svc.cluster.local, <short>, several with commas"
    ),
    "trace_id_header": Setting(values.header_name, "uber-trace-id", "Jaeger's header of ids"),
    "baggage_header_prefix": Setting(values.header_name, "uberctx-", "how Jaeger's headers of baggage begin"),
    "debug_id_header": Setting(values.header_name, "jaeger-debug-id", "the header that forces a trace"),
    "baggage_header": Setting(values.header_name, "jaeger-baggage", "Jaeger's header of baggage typed by hand"),
    # Sampling
    "sampler": Setting(values.object_with(*_SAMPLER), None, "a sampler of your own, instead of a type"),
    "sampler.type": Setting(values.sampler_type, "const", "const, probabilistic, ratelimiting or remote"),
    "sampler.param": Setting(
        values.sampler_param,
        None,
        "0 or 1; a share; traces a second; the share until the server answers: 1, 0.001, 1, 0.001",
    ),
    "sampler.url": Setting(values.url, None, "who is asked by remote; the agent, at /sampling", secret=True),
    "sampler.lower_bound_at_zero_rate": Setting(
        values.boolean, True, "an operation of rate 0 is sampled up to the lower bound, as in Jaeger's clients"
    ),
    "sampling_refresh_interval": Setting(values.seconds, 60.0, "seconds between questions of remote"),
    "max_operations": Setting(_count, 2000, "operations that are sampled each on its own"),
    "throttler": Setting(
        values.object_with(*_THROTTLER), None, "a throttler of forced traces; its mere presence turns it on"
    ),
    "throttler.url": Setting(values.url, None, "who grants credits; http://HOST:PORT/credits", secret=True),
    "throttler.host": Setting(values.one_line, None, "its host; that of the agent"),
    "throttler.port": Setting(values.port, 5778, "its port"),
    "throttler.refresh_interval": Setting(values.seconds, 5.0, "seconds between questions"),
    "throttler.synchronous_initialization": Setting(
        values.boolean, False, "an operation's first trace waits for credits"
    ),
    "throttler.max_traces_per_second": Setting(
        values.number, None, "forced traces of an operation; no server is asked"
    ),
    # Baggage that the application may set
    "baggage_restrictions": Setting(values.object_with(*_RESTRICTIONS), None, "restrictions; presence turns them on"),
    "baggage_restrictions.keys": Setting(values.value_mapping, None, "allowed keys, to bytes of a value; no server"),
    "baggage_restrictions.url": Setting(
        values.url, None, "who names them; http://HOST:PORT/baggageRestrictions", secret=True
    ),
    "baggage_restrictions.host": Setting(values.one_line, None, "its host; that of the agent"),
    "baggage_restrictions.port": Setting(values.port, 5778, "its port"),
    "baggage_restrictions.refresh_interval": Setting(values.seconds, 60.0, "seconds between questions"),
    "baggage_restrictions.deny_until_known": Setting(values.boolean, False, "no baggage before the first answer"),
    # The way out: to an agent by UDP
    "local_agent.reporting_host": Setting(values.one_line, "localhost", "host of the agent that takes spans by UDP"),
    "local_agent.reporting_port": Setting(values.port, None, "its port; 6831, or 6832 for binary"),
    "local_agent.sampling_port": Setting(values.port, 5778, "its port for sampling strategies"),
    "local_agent.enabled": Setting(values.boolean, True, "read and without effect, as in jaeger-client"),
    "local_agent.protocol": Setting(
        values.choice("compact", "binary"), "compact", "Thrift's encoding: compact or binary"
    ),
    "local_agent.socket_type": Setting(
        values.choice("udp", "udp4", "udp6"), "udp", "udp4 or udp6: that kind of address only"
    ),
    "local_agent.look_up_every": Setting(values.seconds, 30.0, "seconds until its name is looked up again"),
    "local_agent.max_packet_size": Setting(values.whole_number(512, 65_507), 65_000, "bytes of a datagram"),
    # or to a collector by HTTP
    "collector.endpoint": Setting(
        values.url,
        None,
        "URL of a collector, instead of the agent; OTLP if it ends with /v1/traces or /otlp/traces",
        secret=True,
    ),
    "collector.user": Setting(values.one_line, None, "user for it", secret=True),
    "collector.password": Setting(values.one_line, None, "the user's password", secret=True),
    "collector.auth_token": Setting(values.one_line, None, "bearer token for it, instead of a user", secret=True),
    "collector.headers": Setting(values.text_mapping, None, "headers for it", secret=True),
    "collector.timeout": Setting(values.seconds, 5.0, "seconds for one request"),
    "collector.retry_for": Setting(values.number, 30.0, "seconds during which a batch is tried again; 0 never"),
    "collector.verify": Setting(values.boolean, True, "false: any certificate will do"),
    "collector.ca": Setting(values.one_line, None, "file or folder of certificates to trust"),
    "collector.cert": Setting(values.one_line, None, "file of our own certificate and its key"),
    # or straight into Log Service
    "log_service.enabled": Setting(
        values.boolean, False, "spans go into Log Service; what is not set here is read from STORAGE_ALIYUN_SLS_…"
    ),
    "log_service.endpoint": Setting(values.one_line, None, "the region's host; its presence turns it on"),
    "log_service.project": Setting(values.one_line, None, "the project"),
    "log_service.logstore": Setting(values.one_line, None, "the logstore; jaeger-span"),
    "log_service.access_key_id": Setting(values.one_line, None, "access key of a RAM user", secret=True),
    "log_service.access_key_secret": Setting(values.one_line, None, "its secret", secret=True),
    "log_service.region": Setting(values.one_line, None, "for signature v4, where the endpoint does not tell it"),
    "log_service.signature": Setting(values.choice("v1", "v4"), None, "how requests are signed: v1 or v4"),
    "log_service.connect": Setting(values.url, None, "connect there with the same requests"),
    "log_service.dialect": Setting(
        values.choice("jaeger", "trace-service", "jaeger-plugin"), None, "how spans are written; jaeger"
    ),
    "log_service.timeout": Setting(values.seconds, 5.0, "seconds for one request"),
    "log_service.retry_for": Setting(values.number, 30.0, "seconds during which a batch is tried again; 0 never"),
    # or your own
    "sender": Setting(values.object_with("send", "close"), None, "a sender of your own, behind our queue"),
    "reporter": Setting(
        values.object_with("report", "flush", "close"), None, "a reporter of your own, instead of all that"
    ),
    # The queue
    "reporter_queue_size": Setting(_count, 20_000, "spans that may wait; further ones are dropped and counted"),
    "reporter_batch_size": Setting(_count, 500, "spans taken from the queue at once (datagrams are cut by bytes)"),
    "reporter_flush_interval": Setting(values.seconds, 1.0, "seconds that a span waits at most"),
    "logging": Setting(values.boolean, False, "every span is logged too"),
    # What the library tells of itself
    "metrics": Setting(values.boolean, True, "false: a metrics factory is not used"),
    "rpc_metrics": Setting(values.boolean, False, "requests, errors and times of server spans, to the metrics factory"),
}

JAEGER_CLIENT_DEFAULTS: dict[str, Any] = {
    "propagation": "jaeger",
    "generate_128bit_trace_id": False,
    "max_tag_value_length": 1024,
    "max_traceback_length": 4096,
}
"""Defaults of :class:`~sls_tracing.config.Config`: a service that moves goes on talking to those that have not moved yet."""

_GROUPS = frozenset(key.partition(".")[0] for key in SETTINGS if "." in key)


def with_defaults(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return a value for every row: the one set, else the default."""
    return {key: settings.get(key, setting.default) for key, setting in SETTINGS.items()}


def read_dictionary(config: Mapping[str, Any], *, strict: bool) -> dict[str, Any]:
    """Return the settings of jaeger-client's dictionary; None stands for "not set".

    Unknown keys are an error if ``strict``, else logged; so are booleans that are none (jaeger-client takes the default then). Any other wrong
    value raises :class:`ConfigurationError` in either case.
    """
    if not isinstance(config, Mapping):
        raise ConfigurationError(f"the configuration must be a dictionary, not {type(config).__name__}")
    settings: dict[str, Any] = {}
    unknown: list[str] = []
    for key, value in _flattened(config):
        setting = SETTINGS.get(key)
        is_group = key in _GROUPS and isinstance(value, Mapping)
        if setting is None and key not in _GROUPS:
            unknown.append(key)
        elif value is None:
            continue
        elif is_group:
            settings[key] = value  # its members come by themselves; a throttler that is there, even empty, is on
        elif setting is None:
            raise ConfigurationError(f"{key} must be a dictionary, not {type(value).__name__}")
        else:
            try:
                settings[key] = setting.read(value)
            except ValueError as error:
                shown = "" if setting.secret else f" = {value!r:.200}"
                message = f"{key}{shown} cannot be used: {error}"
                if strict or setting.read is not values.boolean:
                    raise ConfigurationError(message) from None
                logger().warning("configuration: %s; the default, %s, is used", message, setting.default)
    if unknown:
        message = "unknown keys in the configuration: " + ", ".join(_with_advice(key) for key in unknown)
        if strict:
            raise ConfigurationError(message)
        logger().warning("%s; they have no effect", message)
    return settings


def _flattened(config: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Give each key by its path; of a group the group itself, then its members."""
    for name, value in config.items():
        key = str(name)
        yield key, value
        if key in _GROUPS and isinstance(value, Mapping):
            yield from ((f"{key}.{member}", each) for member, each in value.items())


def _with_advice(key: str) -> str:
    from difflib import get_close_matches  # for those alone who mistyped: 1 ms at import

    near = get_close_matches(key, SETTINGS, n=1, cutoff=0.75)
    return f"{key!r:.100}" + (f" (did you mean {near[0]!r}?)" if near else "")
