"""The page at ``/``: what is stored here, and how to look at it. Plain HTML without script or style."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["CONTENT_SECURITY_POLICY", "home_page"]

CONTENT_SECURITY_POLICY = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>sls-tracing</title></head>
<body>
<h1>sls-tracing</h1>
<h2>Services</h2>
{services}
<h2>A user interface</h2>
<p>This address speaks the HTTP API of Jaeger's query service.</p>
<ul>
<li>Jaeger UI: serve a build of it behind a reverse proxy that forwards <code>/api/</code> to <code>{base_url}</code>.</li>
<li>Grafana: add a data source of type Jaeger with the URL <code>{base_url}</code>.</li>
<li>Terminal: <code>curl '{base_url}/api/traces?service=NAME&amp;limit=20&amp;prettyPrint=true'</code></li>
</ul>
</body>
</html>
"""

_SERVICE = """<li>{name}: <a href="/api/traces?service={query}&amp;limit=20&amp;prettyPrint=true">latest traces</a>,
<a href="/api/services/{query}/operations?prettyPrint=true">operations</a></li>
"""


def home_page(services: Sequence[str], base_url: str) -> str:
    """Return the page. ``base_url`` is how the visitor reached this server, without a slash at its end."""
    return _PAGE.format(services=_service_list(services), base_url=escape(base_url))


def _service_list(services: Sequence[str]) -> str:
    if not services:
        return "<p>None yet: no span has arrived.</p>"
    items = (_SERVICE.format(name=escape(name), query=quote(name, safe="", errors="replace")) for name in services)
    return "<ul>\n" + "".join(items) + "</ul>"
