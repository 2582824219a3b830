"""The collector's doors for HTTP: Jaeger's Thrift (14268), Zipkin (9411) and OTLP (4318), each an application of its own.

All three do the same with a request: choose a decoder by its content type, read and decode within bounds, submit the spans to the
collector, and answer when they are stored. They differ in their answers, which are those of the servers that the clients were written for: Jaeger's collector
(jaegertracing/jaeger v1.65.0 cmd/collector/app/handler/http_handler.go), OpenTelemetry's zipkinreceiver and the OTLP specification. Where
Jaeger drops spans in silence when its queue is full, or its store away, ours says so: 503 with Retry-After.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sls_tracing.backend import otlp_requests, zipkin_json, zipkin_protobuf, zipkin_thrift
from sls_tracing.backend.intake import Intake
from sls_tracing.backend.request_body import BodyReader, RefusedError, busy
from sls_tracing.clock import Clock, wall_clock
from sls_tracing.guard import Guard, LimitedLog, limited_log
from sls_tracing.metrics import Counters, counters
from sls_tracing.thrift.decoding import decode_batch

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence
    from concurrent.futures import Future

    from starlette.requests import Request

    from sls_tracing.backend.collector import Outcome
    from sls_tracing.model import SpanRecord

__all__ = ["CollectorHTTP"]

Decoder: TypeAlias = Callable[[bytes, float], Intake]
"""Makes spans of a body that arrived at a time in seconds. Raises DecodeError."""

STORE_TIMEOUT = 25.0
"""Seconds that a request waits until its spans are safe. Clients give up after 30 (OTLP's exporters: 10) and send again."""

_THRIFT_TYPES = ("application/x-thrift", "application/vnd.apache.thrift.binary")
_JSON, _PROTOBUF = "application/json", "application/x-protobuf"


class CollectorHTTP:
    """Makes the three applications, which share one set of bounds; ``submit`` is the collector's ``submit_and_tell``.

    Counts for each door (``thrift``, ``zipkin``, ``otlp``) ``collector_<door>_requests`` and of those ``…_too_large``,
    ``…_malformed``, ``…_unsupported``, ``…_busy``, ``…_timed_out``, ``…_disconnected``, ``…_failed``; and ``…_spans_rejected``, spans that could not be read in
    requests that otherwise could.
    """

    def __init__(
        self,
        submit: Callable[[Sequence[SpanRecord], int | None], Future[Outcome] | None],
        *,
        reader: BodyReader | None = None,
        clock: Clock = wall_clock,
        counters: Counters = counters,
        log: LimitedLog = limited_log,
    ) -> None:
        self._submit = submit
        self.reader = reader or BodyReader()
        self._clock = clock
        self._counters = counters
        self._log = log
        self._guard = Guard("collector_http", counters=counters, log=log)

    def thrift_app(self) -> Starlette:
        """``POST /api/traces`` with a ``Batch`` in Thrift's binary protocol."""
        return _app([Route("/api/traces", self._thrift, methods=["POST"])])

    def zipkin_app(self) -> Starlette:
        """``POST`` on any path, as zipkinreceiver has it: v1 if the path says so, else v2."""
        return _app([Route("/{path:path}", self._zipkin, methods=["POST"])])

    def otlp_app(self) -> Starlette:
        """``POST /v1/traces`` with an ``ExportTraceServiceRequest``."""
        return _app([Route("/v1/traces", self._otlp, methods=["POST"])])

    async def _thrift(self, request: Request) -> Response:
        async def work() -> Response:
            # Both texts, and 400 where 415 would be right, are Jaeger's: clients and their tests know them.
            kind = _media_type(request)
            if not kind:
                raise RefusedError(400, "unsupported", "Cannot parse content type: mime: no media type")
            if kind not in _THRIFT_TYPES:
                raise RefusedError(400, "unsupported", f"Unsupported content type: {kind[:80]}")
            await self._receive(request, "thrift", _decode_thrift_batch)
            return Response(status_code=202)

        def refuse(error: RefusedError) -> Response:
            text = f"Unable to process request body: {error.reason}" if error.kind == "malformed" else error.reason
            return _plain(error.status, text, error.headers)

        return await self._serve("thrift", work, refuse)

    async def _zipkin(self, request: Request) -> Response:
        async def work() -> Response:
            version = "v1" if "v1" in request.url.path.split("/") else "v2"
            kind = _media_type(request) or _JSON
            decoder = _ZIPKIN_DECODERS[version].get(kind)
            if decoder is None:
                supported = ", ".join(_ZIPKIN_DECODERS[version])
                reason = f"unsupported content type {kind[:80]!r}; supported for {version}: {supported}"
                raise RefusedError(415, "unsupported", reason)
            intake = await self._receive(request, "zipkin", decoder)
            if intake.rejected and not intake.spans:
                raise RefusedError(400, "malformed", intake.reason)
            return Response(status_code=202)  # Envoy counts any other status as a lost report

        return await self._serve("zipkin", work, lambda error: _plain(error.status, error.reason, error.headers))

    async def _otlp(self, request: Request) -> Response:
        kind = _media_type(request)
        encoding = _OTLP_ENCODINGS.get(kind)

        async def work() -> Response:
            if encoding is None:
                supported = ", ".join(_OTLP_ENCODINGS)
                raise RefusedError(
                    415, "unsupported", f"unsupported content type {kind[:80]!r}; supported: {supported}"
                )
            intake = await self._receive(request, "otlp", encoding.decode)
            return Response(encoding.answer(intake.rejected, intake.reason), media_type=kind)

        def refuse(error: RefusedError) -> Response:
            if encoding is None:
                return _plain(error.status, error.reason, error.headers)
            code = _RPC_CODES.get(error.status, _RPC_INVALID_ARGUMENT)
            return Response(encoding.status(code, error.reason), error.status, headers=error.headers, media_type=kind)

        return await self._serve("otlp", work, refuse)

    async def _receive(self, request: Request, door: str, decode: Decoder) -> Intake:
        """Read, decode, submit; return what came. Raises :class:`RefusedError`."""
        now = self._clock()
        size = 0

        def decoded(body: bytes) -> Intake:
            nonlocal size
            size = len(body)
            return decode(body, now)

        intake = await self.reader.decode(request, decoded)
        await self.store(door, intake, size)
        return intake

    async def store(self, door: str, intake: Intake, size: int) -> None:
        """Submit what came through ``door`` in ``size`` bytes and return when it is stored. Raises :class:`RefusedError`."""
        if intake.rejected:
            self._counters.add(f"collector_{door}_spans_rejected", intake.rejected)
            text = "collector: %d spans of a request to the door for %s cannot be read: %s"
            self._log.warning(f"collector_{door}_spans", text, intake.rejected, door, intake.reason)
        stored = self._submit(intake.spans, size)
        if stored is None:
            raise busy("the queue of spans is full; send these again later")
        try:
            outcome = await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(stored)), STORE_TIMEOUT)
        except asyncio.TimeoutError:
            raise busy("the store takes too long; send these again later") from None
        if outcome == "later":
            raise busy("the store does not take spans now; send these again later")
        if outcome == "refused":
            raise RefusedError(500, "failed", "the store refused some of the spans; the log of this server tells why")

    async def _serve(
        self, door: str, work: Callable[[], Awaitable[Response]], refuse: Callable[[RefusedError], Response]
    ) -> Response:
        self._counters.add(f"collector_{door}_requests")
        refused = RefusedError(500, "failed", "the spans could not be taken; the log of this server tells why")
        with self._guard:
            try:
                return await work()
            except RefusedError as error:
                refused = error
        self._counters.add(f"collector_{door}_{refused.kind}")
        text = "collector: refused a request to the door for %s with %d: %s"
        self._log.warning(f"collector_{door}_{refused.kind}", text, door, refused.status, refused.reason)
        return refuse(refused)


def _app(routes: list[Route]) -> Starlette:
    return Starlette(routes=[Route("/healthz", _health), *routes])


async def _health(request: Request) -> Response:
    return JSONResponse({"status": "ok"})


def _media_type(request: Request) -> str:
    """Return the content type without its parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _plain(status: int, text: str, headers: dict[str, str]) -> Response:
    body = f"{text}\n".encode("utf-8", "replace")  # the text may quote half a surrogate pair
    return Response(body, status, headers={"X-Content-Type-Options": "nosniff", **headers}, media_type="text/plain")


def _decode_thrift_batch(body: bytes, now: float) -> Intake:
    intake = Intake()
    intake.take_all(decode_batch(body).spans)
    return intake


_ZIPKIN_DECODERS: dict[str, dict[str, Decoder]] = {
    "v1": {_JSON: zipkin_json.decode_json_v1, _THRIFT_TYPES[0]: zipkin_thrift.decode_thrift},
    "v2": {_JSON: zipkin_json.decode_json_v2, _PROTOBUF: zipkin_protobuf.decode_protobuf},
}


class _Encoding(NamedTuple):
    """One of OTLP's two: requests in, answers out."""

    decode: Decoder
    answer: Callable[[int, str], bytes]
    status: Callable[[int, str], bytes]


_OTLP_ENCODINGS = {
    _PROTOBUF: _Encoding(otlp_requests.decode_protobuf, otlp_requests.answer_protobuf, otlp_requests.status_protobuf),
    _JSON: _Encoding(otlp_requests.decode_json, otlp_requests.answer_json, otlp_requests.status_json),
}

_RPC_INVALID_ARGUMENT = 3
_RPC_CODES = {408: 4, 413: 8, 500: 13, 503: 14}
"""gRPC's codes for our statuses: deadline exceeded, resource exhausted, internal, unavailable."""
