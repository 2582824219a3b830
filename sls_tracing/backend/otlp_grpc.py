"""OTLP over gRPC (4317): ``TraceService/Export``, for exporters that speak nothing else. Needs the extra ``grpc``.

The same rules as over HTTP: read within bounds, decoded by the same code, answered when the spans are stored. (Source: OTLP specification 1.x, "OTLP/gRPC".)
gRPC binds its port by itself and speaks TLS by itself; credentials come as metadata.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc

from sls_tracing.backend import otlp_requests
from sls_tracing.backend.protobuf_wire import varint
from sls_tracing.backend.request_body import MIB, RETRY_AFTER, BodyReader, RefusedError
from sls_tracing.backend.serving import ServingSettings
from sls_tracing.backend.sockets import bind_tcp, bind_usual_tcp
from sls_tracing.clock import Clock, wall_clock
from sls_tracing.exceptions import ConfigurationError
from sls_tracing.guard import Guard, LimitedLog, limited_log
from sls_tracing.metrics import Counters, counters

if TYPE_CHECKING:
    import socket
    from collections.abc import Awaitable, Callable

    from sls_tracing.backend.intake import Intake

__all__ = ["OTLP_GRPC_PORT", "OTLPGRPCServer"]

OTLP_GRPC_PORT = 4317

LARGEST_MESSAGE = 4 * MIB
"""Bytes, unpacked: gRPC's own default, and Jaeger's. Exporters send some hundreds of spans at once."""

MOST_CALLS = 128
"""Calls in progress; gRPC reads their messages before we are asked, so this times the former is what they may hold."""

GRACE = 5.0
"""Seconds that calls in progress get to finish when the server stops."""

_SERVICE = "opentelemetry.proto.collector.trace.v1.TraceService"
_CODES = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    413: grpc.StatusCode.RESOURCE_EXHAUSTED,  # without RetryInfo: not to be sent again
    503: grpc.StatusCode.UNAVAILABLE,
}


class OTLPGRPCServer:
    """Serves on the event loop on which it is started. ``store`` is that of ``CollectorHTTP``, which shares its bounds through ``reader``.

    Counts ``collector_otlp_grpc_requests`` and of those what ``CollectorHTTP`` counts for its doors, and ``…_unauthenticated``.
    """

    def __init__(
        self,
        store: Callable[[str, Intake, int], Awaitable[None]],
        reader: BodyReader,
        settings: ServingSettings | None = None,
        *,
        clock: Clock = wall_clock,
        counters: Counters = counters,
        log: LimitedLog = limited_log,
    ) -> None:
        self._store = store
        self._reader = reader
        self._settings = settings or ServingSettings()
        self._clock = clock
        self._counters = counters
        self._log = log
        self._guard = Guard("otlp_grpc", counters=counters, log=log)
        self._server: Any = None

    async def start(self, host: str, port: int | None, option: str) -> int:
        """Take calls on ``port``, None: on the usual one or, if that is taken, on any; return it. Raises ConfigurationError."""
        # gRPC tells a taken port in its own words, on stderr; so it is tried out before.
        tried = bind_usual_tcp(host, port, OTLP_GRPC_PORT, option) if port is None else bind_tcp(host, port, option)
        with tried:
            address = _address(tried)
        server = grpc.aio.server(
            maximum_concurrent_rpcs=MOST_CALLS,
            options=[
                ("grpc.so_reuseport", 0),  # or two collectors would share a port in silence
                ("grpc.max_receive_message_length", LARGEST_MESSAGE),
            ],
        )
        handlers = {"Export": grpc.unary_unary_rpc_method_handler(self._export)}  # bytes in, bytes out
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(_SERVICE, handlers),))
        try:
            bound = (
                server.add_secure_port(address, self._tls())
                if self._settings.tls_cert
                else server.add_insecure_port(address)
            )
        except RuntimeError as error:
            raise ConfigurationError(
                f"cannot listen on {address}: {error}; choose another port with {option}"
            ) from None
        await server.start()
        self._server = server
        return int(bound)

    async def stop(self) -> None:
        """Finish the calls in progress, then close."""
        if self._server is not None:
            await self._server.stop(GRACE)

    def _tls(self) -> Any:
        certificate = Path(self._settings.tls_cert).read_bytes()
        key = Path(self._settings.tls_key).read_bytes() if self._settings.tls_key else certificate
        return grpc.ssl_server_credentials([(key, certificate)])

    async def _export(self, body: bytes, context: Any) -> bytes:
        self._counters.add("collector_otlp_grpc_requests")
        refused = RefusedError(500, "failed", "the spans could not be taken; the log of this server tells why")
        with self._guard:
            try:
                return await self._take(body, context)
            except RefusedError as error:
                refused = error
        self._counters.add(f"collector_otlp_grpc_{refused.kind}")
        text = "collector: refused a call to the door for OTLP over gRPC with %d: %s"
        self._log.warning(f"collector_otlp_grpc_{refused.kind}", text, refused.status, refused.reason)
        code = _CODES.get(refused.status, grpc.StatusCode.INTERNAL)
        reason = refused.reason.encode("utf-8", "replace").decode()  # it may quote half a surrogate pair
        details = (("grpc-status-details-bin", _come_back(code.value[0], reason)),) if refused.status == 503 else ()
        await context.abort(code, reason, details)
        raise AssertionError  # abort raises

    async def _take(self, body: bytes, context: Any) -> bytes:
        metadata = dict(context.invocation_metadata() or ())
        if not self._settings.lets_in(str(metadata.get("authorization", ""))):
            raise RefusedError(401, "unauthenticated", "credentials are needed")
        now = self._clock()
        intake = await self._reader.decode_whole(body, lambda each: otlp_requests.decode_protobuf(each, now))
        await self._store("otlp_grpc", intake, len(body))
        return otlp_requests.answer_protobuf(intake.rejected, intake.reason)


def _address(sock: socket.socket) -> str:
    host, port = sock.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _come_back(code: int, reason: str) -> bytes:
    """Return a ``google.rpc.Status`` with a ``RetryInfo``: how OTLP tells an exporter when to send again."""
    delay = _field(1, b"\x08" + varint(int(RETRY_AFTER)))
    detail = _field(1, b"type.googleapis.com/google.rpc.RetryInfo") + _field(2, delay)
    return otlp_requests.status_protobuf(code, reason) + _field(3, detail)


def _field(number: int, data: bytes) -> bytes:
    return bytes((number << 3 | 2,)) + varint(len(data)) + data
