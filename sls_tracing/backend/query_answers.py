"""The envelope of Jaeger's JSON API (v1) around data and errors, and the bytes that both APIs send.

Answers are put together from pieces that are bytes already: of a search's traces only one at a time is a tree of Python objects, which take
ten times the memory of their text.
"""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from anyio import CapacityLimiter, to_thread
from starlette.responses import PlainTextResponse, Response

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from starlette.requests import Request

    from sls_tracing.backend.trace_json import JSONObject

__all__ = [
    "NO_SNIFFING",
    "Answer",
    "NotFoundError",
    "RefusedByStoreError",
    "Workers",
    "dumps",
    "envelope",
    "error",
    "json_response",
]

NO_SNIFFING = {"X-Content-Type-Options": "nosniff"}

T = TypeVar("T")

_INDENT = 4
_WORTH_COMPRESSING = 16 << 10
_AT_ONCE = 8
"""Answers in the making; each may take memory up to the bounds in ``query_settings.py``."""


class Answer(NamedTuple):
    """What goes into the envelope: ``parts`` are JSON values already; ``total`` is set for services and operations only, as in Jaeger."""

    parts: Sequence[bytes]
    total: int = 0
    errors: Sequence[JSONObject] | None = None


class NotFoundError(Exception):
    """The trace asked for by its id is not there."""


class RefusedByStoreError(Exception):
    """The store cannot do what was asked, by how it is set up; the message goes to the client with status 500, as in Jaeger."""


def envelope(answer: Answer | None, errors: Sequence[JSONObject] | None, *, pretty: bool = False) -> bytes:
    """Return the envelope; without an answer ``data`` is null."""
    total = answer.total if answer else 0
    rest = dumps({"total": total, "limit": 0, "offset": 0, "errors": errors}, pretty=pretty)
    if answer is None:
        data = b"null"
    elif pretty and answer.parts:
        inner = b"\n" + b" " * 2 * _INDENT
        pieces = (part.replace(b"\n", inner) for part in answer.parts)  # a line's end is never inside a JSON text
        data = b"[" + inner + (b"," + inner).join(pieces) + b"\n" + b" " * _INDENT + b"]"
    else:
        data = b"[" + b",".join(answer.parts) + b"]"
    begin = b'{\n    "data": ' if pretty else b'{"data":'
    return begin + data + b"," + rest[1:]


def dumps(value: Any, *, pretty: bool = False) -> bytes:
    """UTF-8 as Go writes it; half a surrogate pair, which UTF-8 cannot hold, becomes a question mark."""
    separators = None if pretty else (",", ":")
    text = json.dumps(
        value, ensure_ascii=False, allow_nan=False, indent=_INDENT if pretty else None, separators=separators
    )
    return text.encode("utf-8", "replace")


def json_response(body: bytes, request: Request | None = None, *, status: int = 200) -> Response:
    """Return a JSON answer that no browser takes for anything else, compressed if it is large and the ``request`` allows it."""
    headers = {**NO_SNIFFING, "Vary": "Accept-Encoding"}
    if request is not None and len(body) >= _WORTH_COMPRESSING and _takes_gzip(request):
        # Level 1 takes a fifth of the time of gzip's usual level 9, for half as many bytes again; meanwhile other threads run.
        body = gzip.compress(body, 1, mtime=0)
        headers["Content-Encoding"] = "gzip"
    return Response(body, status, media_type="application/json", headers=headers)


def _takes_gzip(request: Request) -> bool:
    """Whether the client lists gzip and does not refuse it (RFC 9110, 12.5.3)."""
    for part in request.headers.get("accept-encoding", "").lower().split(","):
        coding, _, weight = part.replace(" ", "").partition(";q=")
        if coding in ("gzip", "x-gzip"):
            return weight.strip("0.") != "" or weight == ""
    return False


class Workers:
    """Runs work in threads, a few at a time: questions wait for one another, and the collector for none of them. Made once for each event loop."""

    def __init__(self) -> None:
        self._limiter: CapacityLimiter | None = None

    async def run(self, work: Callable[[], T]) -> T:
        """Return what ``work`` returns."""
        if self._limiter is None:
            self._limiter = CapacityLimiter(_AT_ONCE)  # belongs to the loop that runs now
        return await to_thread.run_sync(work, limiter=self._limiter)


def error(status: int, message: str) -> Response:
    """Return the envelope as Go's ``http.Error`` sends it: text/plain, no sniffing, a line's end."""
    body = envelope(None, [{"code": status, "msg": message}]) + b"\n"
    return PlainTextResponse(body, status, headers=NO_SNIFFING)
