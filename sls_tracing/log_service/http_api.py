"""The embedded Log Service behind Log Service's own HTTP API, for its official clients, for our own, and for several processes at once.

    app = log_service_app(EmbeddedProjects("traces.duckdb"), AccessKey("id", "secret"))

API version 0.6.0: projects, logstores, indexes, dashboards, PutLogs, GetLogs in both forms, GetHistograms; errors as the real service words their codes.
The project is the first label of the Host header. A client behind a proxy setting sends the whole URL in its request line: that is
understood, so ``HTTP_PROXY`` leads clients here whose endpoints cannot be set to an address.
"""

from __future__ import annotations

import itertools
import json
import re
import uuid
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote, urlsplit

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from sls_tracing.clock import wall_clock
from sls_tracing.log_service.faults import BadGatewayError, Faults
from sls_tracing.log_service.http_auth import check_signature
from sls_tracing.log_service.http_resources import Resources
from sls_tracing.log_service.logstore import LogServiceError
from sls_tracing.log_service.wire import MAX_RAW_SIZE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.types import ASGIApp, Receive, Scope, Send

    from sls_tracing.clock import Clock
    from sls_tracing.log_service.credentials import AccessKey
    from sls_tracing.log_service.embedded_service import EmbeddedProjects

__all__ = ["log_service_app"]

LONGEST_BODY = 12 << 20
"""Bytes of a body as it is sent: 10 MB that did not compress, and some."""

STATUSES = {
    "BadRequest": 400,
    "DashboardNotExist": 404,
    "IndexConfigNotExist": 404,
    "InternalServerError": 500,
    "InvalidOperation": 405,
    "LogStoreNotExist": 404,
    "MissAccessKeyId": 401,
    "ProjectNotExist": 404,
    "ReadQuotaExceed": 403,
    "ServerBusy": 503,
    "SignatureNotMatch": 401,
    "Unauthorized": 401,
    "WriteQuotaExceed": 403,
}
"""HTTP's status by the error's code; 400 for all others."""

_ADDRESS = re.compile(r"(?:(?P<project>.+)\.)?\d+\.\d+\.\d+\.\d+")
_ALIYUN = re.compile(r"(?:(?P<project>[^.]+)\.)?[^.]+\.(?:log|sls)\.aliyuncs\.com")
_METHODS = ["GET", "POST", "PUT", "DELETE"]


class Asked(NamedTuple):
    """A request, read and checked."""

    method: str
    path: str
    params: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    project: str


def log_service_app(
    projects: EmbeddedProjects, key: AccessKey, *, faults: Faults | None = None, clock: Clock = wall_clock
) -> ASGIApp:
    """Return the API as an ASGI application. ``projects`` stays the caller's to close; ``key`` is the only one that is let in."""
    faults = faults or Faults()
    api = _API(Resources(projects, refuses_times=faults.refuses_times, clock=clock), key, faults, clock)
    return _AbsoluteForm(Starlette(routes=[Route("/{path:path}", api.answer, methods=_METHODS)]))


class _API:
    def __init__(self, resources: Resources, key: AccessKey, faults: Faults, clock: Clock) -> None:
        self._resources = resources
        self._key = key
        self._faults = faults
        self._clock = clock
        self._run = uuid.uuid4().hex[:16].upper()
        self._numbers = itertools.count(1)

    async def answer(self, request: Request) -> Response:
        request_id = f"{self._run}{next(self._numbers):08X}"
        headers = {"x-log-requestid": request_id, "x-log-time": str(int(self._clock()))}
        try:
            asked = await self._read(request)
            await self._faults.before(asked.method, asked.path)
            answered = await run_in_threadpool(self._resources.answer, asked)
        except LogServiceError as error:
            body = json.dumps({"errorCode": error.code, "errorMessage": error.message}).encode()
            status = STATUSES.get(error.code, 400)
            return Response(body, status, headers, media_type="application/json")
        except BadGatewayError:
            return Response(b"<html><h1>502 Bad Gateway</h1></html>", 502, media_type="text/html")
        except ClientDisconnect:
            return Response(b"", 400, headers)
        answered = self._faults.after(asked.path, answered)
        content = (
            b"" if answered.body is None else json.dumps(answered.body, ensure_ascii=False).encode("utf-8", "replace")
        )
        headers = {**answered.headers, **headers}
        if self._faults.cuts():
            return _CutResponse(content, 200, headers, media_type="application/json")
        return Response(content, 200, headers, media_type="application/json")

    async def _read(self, request: Request) -> Asked:
        headers = {name.lower(): value for name, value in request.headers.items()}
        body = await _body(request)
        path = request.url.path
        params = dict(request.query_params)
        check_signature(self._key, request.method, path, params, headers, body, self._clock)
        return Asked(request.method, path, params, headers, body, _project(headers.get("host", "")))


class _CutResponse(Response):
    """Ends before its end."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        length = str(len(self.body) + 100).encode()
        headers = [(name, value) for name, value in self.raw_headers if name != b"content-length"]
        start = {"type": "http.response.start", "status": self.status_code}
        await send({**start, "headers": [*headers, (b"content-length", length)]})
        # More is promised and does not come: the server closes the connection, and logs that an application left it so.
        await send({"type": "http.response.body", "body": bytes(self.body)[: len(self.body) // 2], "more_body": True})


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        if (
            len(body) <= LONGEST_BODY
        ):  # read on and keep nothing: a connection that is closed with bytes unread is reset
            body += chunk
    if len(body) > LONGEST_BODY:
        raise LogServiceError("PostBodyTooLarge", f"the body must not exceed {MAX_RAW_SIZE} bytes")
    return bytes(body)


def _project(host: str) -> str:
    """Return the project that a Host header names, empty if it names only an endpoint."""
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdecimal() else host
    for form in (_ADDRESS, _ALIYUN):
        if found := form.fullmatch(name):
            return found["project"] or ""
    return name.partition(".")[0] if "." in name else ""


class _AbsoluteForm:
    """Lets in requests that name the whole URL, as to a proxy (RFC 9112, section 3.2.2): its host beats the header's."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith(("http://", "https://")):
            parts = urlsplit(scope["raw_path"].decode("latin-1") if scope.get("raw_path") else scope["path"])
            path = parts.path or "/"
            headers = [(name, value) for name, value in scope["headers"] if name != b"host"]
            scope = {
                **scope,
                "path": unquote(path),
                "raw_path": path.encode("latin-1"),
                "headers": [*headers, (b"host", parts.netloc.encode("latin-1"))],
            }
        await self._app(scope, receive, send)
