"""gRPC calls, decided once for its synchronous and its asynchronous half: names, tags, metadata, what counts as an error.

Names are ``package.Service/Method``; of a method that the server does not have, ``<unmatched>``, for anybody may ask for anything. The context travels in
metadata, names in lower case, in OpenTracing's format of HTTP headers: metadata are HTTP/2 headers, and sidecars read them. Errors are the statuses
that HTTP would answer with 500 and above (google.rpc.Code's own mapping), on either side, and exceptions of a server's method: NOT_FOUND is
often what a client asked to know, and CANCELLED is its own wish.

Health checks make no spans, nor do exporters of telemetry, ours or another's, in a process that sends it or takes it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import grpc

from sls_tracing.instrumentation._injection import InjectedHeader, inject_headers
from sls_tracing.instrumentation._operation import Operation, extract, guard
from sls_tracing.instrumentation._redaction import redact_text
from sls_tracing.instrumentation._tracer_source import TracerSource

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

    import opentracing

    from sls_tracing.instrumentation._options import HTTPOptions

__all__ = ["RPCClientCall", "RPCServerCall", "abandoned", "tracer_source"]

_SILENT = ("/grpc.health.v1.Health/", "/opentelemetry.proto.collector.")
_ERRORS = frozenset(
    ("UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS")
)  # HTTP 500, 504, 501, 500, 503, 500
_NAME = re.compile(r"[0-9a-z_.\-]+")
_VALUE = re.compile(r"[\x20-\x7e]*")
_PEER = re.compile(r"(ipv4|ipv6):\[?([^\]]+?)\]?:(\d+)")
_TARGET = re.compile(r"(?:(?:dns|ipv4|ipv6):(?://[^/]*/)?)?\[?(?P<host>[^/\]]+?)\]?(?::(?P<port>\d+))?")


class RPCCall(Operation):
    """One call of a method, whichever side."""

    __slots__ = ()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # An exception may be how a status is told (abort, RpcError): whoever knows the status says what it was.
        super().__exit__(None, None, None)

    def ended(self, code: Any, details: object = "", error: BaseException | None = None) -> None:
        """Tag the status and finish. ``code`` is a ``grpc.StatusCode``, a number, or None, which is OK; ``error``: the exception behind it."""
        if self.finished:
            return
        with guard:
            status = _status(code)
            self.span.set_tag("rpc.grpc.status_code", status.value[0])
            if status.name in _ERRORS:
                if error is not None:
                    self.failed(error)
                else:
                    self.span.set_tag("error", True)
                    self.span.log_kv(
                        {"event": "error", "error.kind": status.name, "message": redact_text(str(details or ""))}
                    )
        self.finish()


class RPCClientCall(RPCCall):
    """A call that this process makes."""

    __slots__ = ("_host", "_options")

    def __init__(self, tracer: opentracing.Tracer, span: opentracing.Span, host: str, options: HTTPOptions) -> None:
        super().__init__(tracer, span)
        self._host = host
        self._options = options

    @classmethod
    def start(cls, source: TracerSource, method: str | bytes, target: str) -> RPCClientCall | None:
        """Start the span under the active one. None if nothing shall be traced, or the tracer cannot."""
        tracer = source.active()
        path = method.decode() if isinstance(method, bytes) else method
        if tracer is None or path.startswith(_SILENT):
            return None
        match = _TARGET.fullmatch(target)
        tags = _tags("client", path)
        if target.startswith("unix"):
            tags["peer.address"] = target
        elif match is not None:
            tags["peer.hostname"] = match["host"]
            if match["port"]:
                tags["peer.port"] = int(match["port"])
        host = match["host"].lower() if match else ""
        return cls(tracer, tracer.start_span(path.lstrip("/"), tags=tags), host, source.http)

    def metadata(self, given: Iterable[tuple[str, Any]] | None) -> list[tuple[str, Any]]:
        """Return metadata with the span's context: those given, and after them ours, where the caller's own do not say the same."""
        pairs = list(given or ())
        headers: dict[str, Any] = dict(pairs)
        inject_headers(self, headers, self._host, self._options)
        for name, value in headers.items():
            lower = name.lower()
            # What gRPC would refuse must not break the call: such as baggage in another script.
            if type(value) is InjectedHeader and _NAME.fullmatch(lower) and _VALUE.fullmatch(value):
                pairs.append((lower, str(value)))
        return pairs


class RPCServerCall(RPCCall):
    """A call that this process answers."""

    __slots__ = ()

    @classmethod
    def start(
        cls, source: TracerSource, method: str, metadata: Iterable[tuple[str, Any]] | None, context: Any = None
    ) -> RPCServerCall | None:
        """Start the span as a child of what ``metadata`` carry; the active span is no parent. ``context`` is the method's, None if there is no such method."""
        tracer = source.active()
        if tracer is None or method.startswith(_SILENT):
            return None
        carrier: dict[str, str] = {}
        for name, value in metadata or ():
            if isinstance(value, str):
                carrier[name.lower()] = f"{carrier[name.lower()]},{value}" if name.lower() in carrier else value
        parent = extract(tracer, carrier)
        tags = _tags("server", method)
        if context is not None:
            tags.update(_peer_tags(context.peer()))
        name = "<unmatched>" if context is None else method.lstrip("/")
        span = tracer.start_span(name, child_of=parent, tags=tags, ignore_active_span=True)
        return cls(tracer, span)

    def raised(self, error: BaseException, code: Any) -> None:
        """The method has raised; ``code`` is what it had set, by ``abort`` for example, or None."""
        self.ended(grpc.StatusCode.UNKNOWN if _status(code) is grpc.StatusCode.OK else code, error=error)


def _tags(kind: str, path: str) -> dict[str, object]:
    service, _, method = path.lstrip("/").rpartition("/")
    return {"component": "grpc", "span.kind": kind, "rpc.system": "grpc", "rpc.service": service, "rpc.method": method}


def _peer_tags(peer: str) -> dict[str, object]:
    match = _PEER.fullmatch(unquote(peer))
    return {"peer.address": peer} if match is None else {f"peer.{match[1]}": match[2], "peer.port": int(match[3])}


_BY_NUMBER = {code.value[0]: code for code in grpc.StatusCode}


def _status(code: Any) -> Any:
    if code is None:
        return grpc.StatusCode.OK
    return _BY_NUMBER.get(code, grpc.StatusCode.UNKNOWN) if isinstance(code, int) else code


def abandoned(context: Any) -> Any:
    """Return the status of a call that nobody waits for any more."""
    remaining = context.time_remaining()
    late = remaining is not None and remaining <= 0
    return grpc.StatusCode.DEADLINE_EXCEEDED if late else grpc.StatusCode.CANCELLED


def tracer_source(tracer: opentracing.Tracer | None) -> TracerSource:
    """Return the source for an interceptor that an application made itself."""
    return TracerSource(tracer)
