"""A build of Jaeger's own UI, served from a folder: its page with our configuration put in, its files, and nothing else of the disk.

What the page offers to be replaced (jaegertracing/jaeger v2.20.0, jaegerquery/internal/static_handler.go, and the page of jaeger-ui):

    JAEGER_CONFIG = DEFAULT_CONFIG;                                the configuration, JSON
    // JAEGER_CONFIG_JS  and the line after it                     the same as a script that defines the function UIConfig
    JAEGER_STORAGE_CAPABILITIES = DEFAULT_STORAGE_CAPABILITIES;    UI up to 2.19
    JAEGER_BACKEND_CAPABILITIES = DEFAULT_BACKEND_CAPABILITIES;    UI from 2.20
    JAEGER_VERSION = DEFAULT_VERSION;
    <base href="/"                                                 UI up to 2.17; later ones find their base path by themselves
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from sls_tracing.backend.query_answers import NO_SNIFFING
from sls_tracing.exceptions import ConfigurationError
from sls_tracing.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from starlette.requests import Request
    from starlette.responses import Response

__all__ = ["jaeger_ui_routes", "read_page"]

_SCRIPT_CONFIG = re.compile(r"^[ \t]*//[ \t]*JAEGER_CONFIG_JS.*\n.*\n?", re.IGNORECASE | re.MULTILINE)
_BASE = re.compile(r'<base\s+href="/"')
_UI_CONFIG_FUNCTION = re.compile(r"\bfunction\s+UIConfig\s*\(|\bUIConfig\s*=")


def jaeger_ui_routes(ui_dir: str, ui_config: str, *, has_archive: bool) -> list[BaseRoute]:
    """Return the routes of the UI: they take every path that nothing before them took. Raises :class:`ConfigurationError`."""
    page_at = read_page(ui_dir, ui_config, has_archive=has_archive)

    async def page(request: Request) -> Response:
        path = request.url.path.removeprefix(request.scope.get("root_path", ""))
        if path == "/api" or path.startswith("/api/"):
            raise HTTPException(404)  # a client of the API must never take a page for data
        headers = {**NO_SNIFFING, "Cache-Control": "no-cache"}
        return HTMLResponse(page_at(request.scope.get("root_path", "").rstrip("/")), headers=headers)

    folder = Path(ui_dir) / "static"
    return [
        Mount("/static", StaticFiles(directory=folder, check_dir=False)),
        Route("/{path:path}", page, methods=["GET"]),
    ]


def read_page(ui_dir: str, ui_config: str, *, has_archive: bool) -> Callable[[str], str]:
    """Return a function that gives the page for a base path. Raises :class:`ConfigurationError`."""
    html = _read(
        Path(ui_dir) / "index.html", "--ui-dir needs a build of Jaeger's UI: a folder with index.html and static/ in it"
    )
    html = _with_config(html, ui_config)
    archive = {"archiveStorage": has_archive, "metricsStorage": True}
    html = _assign(html, "STORAGE_CAPABILITIES", archive)
    html = _assign(html, "BACKEND_CAPABILITIES", {**archive, "aiAssistant": False})
    html = _assign(html, "VERSION", {"gitCommit": "", "gitVersion": f"sls-tracing {__version__}", "buildDate": ""})

    @lru_cache(maxsize=8)
    def page_at(base_path: str) -> str:
        return _BASE.sub(lambda _: f'<base href="{base_path}/"', html)

    return page_at


def _with_config(html: str, ui_config: str) -> str:
    if not ui_config:
        return html
    text = _read(Path(ui_config), "--ui-config needs a file that can be read")
    if ui_config.endswith(".js"):
        if not _UI_CONFIG_FUNCTION.search(text):
            raise ConfigurationError(
                f"{ui_config} does not define the function UIConfig, which returns the configuration"
            )
        found, count = _SCRIPT_CONFIG.subn(lambda _: text.rstrip("\n") + "\n", html)
        if not count:
            raise ConfigurationError(
                f"the page of --ui-dir takes no script; give --ui-config as JSON instead of {ui_config}"
            )
        return found
    if not ui_config.endswith(".json"):
        raise ConfigurationError(f"--ui-config takes a .json or a .js file, not {ui_config}")
    try:
        config = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"{ui_config} is not JSON: {error}") from None
    if not isinstance(config, dict):
        raise ConfigurationError(f"{ui_config} must hold a JSON object")
    return _assign(html, "CONFIG", config)


def _assign(html: str, name: str, value: Mapping[str, Any]) -> str:
    # Within <script> nothing is escaped for HTML, so no "<" may stand in the text: "</script>" would end it.
    text = json.dumps(value).replace("<", "\\u003c")
    return re.sub(rf"JAEGER_{name}\s*=\s*DEFAULT_{name}\s*;", lambda _: f"JAEGER_{name} = {text};", html)


def _read(path: Path, need: str) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{need}; {path}: {getattr(error, 'strerror', None) or error}") from None
