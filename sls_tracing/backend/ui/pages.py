"""What every page has in common: templates that escape whatever they are given, headers that let nothing foreign run, files with versions in their names."""

from __future__ import annotations

import gzip
import hashlib
import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.concurrency import run_in_threadpool
from starlette.responses import PlainTextResponse, Response

from sls_tracing.backend.query_params import ParameterError
from sls_tracing.backend.ui import words
from sls_tracing.log_service.logstore import TRANSIENT, LogServiceError
from sls_tracing.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from starlette.requests import Request

__all__ = ["HEADERS", "JSON", "answering", "as_json", "base_path", "icon", "packed", "page", "static_file", "status_of"]

_HERE = Path(__file__).parent

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'self'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""No inline script and no inline style: what stored data may contain stays text whatever a template does wrong."""

HTML, JSON = "text/html; charset=utf-8", "application/json"
_TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
_WORTH_PACKING = 8000  # bytes


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters |= {
        "clock_time": words.clock_time,
        "duration": words.duration,
        "moment": words.moment,
        "plural": words.plural,
        "short": words.short,
        "span_id": words.span_id,
        "tag_text": words.tag_text,
        "trace_id": words.trace_id,
    }
    environment.globals |= {"version": __version__, "asset": _asset}
    return environment


def answering(work: Callable[[Request], Response]) -> Callable[[Request], Any]:
    """Return a route's endpoint that does ``work`` in a thread, and says in words what the store or an address is wrong about."""

    def answer(request: Request) -> Response:
        try:
            return work(request)
        except ParameterError as error:
            return page(request, "message.html", 400, title="That cannot be read", text=str(error))
        except LogServiceError as error:
            return page(request, "message.html", status_of(error), title="The store does not answer", text=str(error))

    async def endpoint(request: Request) -> Response:
        return await run_in_threadpool(answer, request)

    return endpoint


def status_of(problem: ParameterError | LogServiceError) -> int:
    """Return 400 for what was asked wrongly, 502 for a store that fails."""
    return 502 if isinstance(problem, LogServiceError) and problem.code in TRANSIENT else 400


def page(request: Request, template: str, status: int = 200, **values: Any) -> Response:
    """Render a page. ``root`` in a template is the base path, without a slash at its end."""
    text = _environment().get_template(template).render(root=base_path(request), path=_path(request), **values)
    return packed(request, text.encode("utf-8", "replace"), HTML, status)


def packed(
    request: Request, content: bytes, media_type: str, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """Return an answer, compressed if that is worth it and the browser takes it."""
    found = {**HEADERS, **(headers or {})}
    if len(content) > _WORTH_PACKING and "gzip" in request.headers.get("accept-encoding", ""):
        content = gzip.compress(content, compresslevel=1)
        found |= {"Content-Encoding": "gzip", "Vary": "Accept-Encoding"}
    return Response(content, status, headers=found, media_type=media_type)


def as_json(value: Any) -> Markup:
    """Return JSON that may stand in a page as data: no character in it begins or ends anything in HTML."""
    text = json.dumps(value, ensure_ascii=True, separators=(",", ":"))
    text = text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    return Markup(text)  # noqa: S704 - the three characters that mean something are gone


def base_path(request: Request) -> str:
    """Return the path under which the site is served, without a slash at its end."""
    path: str = request.scope.get("root_path", "").rstrip("/")
    return path


def _path(request: Request) -> str:
    return request.url.path.removeprefix(base_path(request))


@cache
def _files() -> Mapping[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted((_HERE / "static").iterdir()) if file.suffix in _TYPES}


@cache
def _digest() -> str:
    # One for all files: a script imports others by their names beside it.
    return hashlib.sha256(b"\0".join(_files().values())).hexdigest()[:12]


def _asset(name: str) -> str:
    """Return the path of a file with the hash of all of them: it may be kept for ever."""
    return f"/static/ui/{_digest()}/{name}"


async def static_file(request: Request) -> Response:
    """Answer ``/static/ui/{hash}/{name}``: a file of ours, and nothing else that a path might lead to."""
    name = request.path_params["name"]
    content = _files().get(name)
    if content is None:
        return PlainTextResponse("no such file\n", 404, headers=HEADERS)
    kept = "public, max-age=31536000, immutable" if request.path_params["digest"] == _digest() else "no-cache"
    return packed(request, content, _TYPES[Path(name).suffix], headers={"Cache-Control": kept})


async def icon(request: Request) -> Response:
    """Answer what browsers ask for beside a page that names no icon, JSON for one."""
    return packed(request, _files()["icon.svg"], _TYPES[".svg"])
