"""What guards an HTTP port: who may ask (bearer token or basic auth), TLS, and which web pages may (CORS). All of it is off unless set.

    settings = ServingSettings(token="…", tls_cert="server.pem", tls_key="server.key", cors_origins=["https://grafana.example.com"])
    server = HTTPServer(guarded(app, settings), sock, settings)

``/healthz`` and ``/readyz`` answer without credentials: a probe has none.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
import ssl
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route

from sls_tracing.exceptions import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.requests import Request
    from starlette.types import ASGIApp, Receive, Scope, Send

__all__ = ["ServingSettings", "guarded", "under"]

PROBES = ("/healthz", "/readyz")


@dataclass(frozen=True)
class ServingSettings:
    """How a role's HTTP ports are guarded. Raises :class:`ConfigurationError` for what cannot work.

    ``token``, or ``user`` with ``password``, or neither. ``tls_cert`` and ``tls_key`` are PEM files; the key may be in the first one.
    ``cors_origins``: web pages of which origins may ask (``*``: of any).
    """

    token: str = field(default="", repr=False)
    user: str = ""
    password: str = field(default="", repr=False)
    tls_cert: str = ""
    tls_key: str = ""
    cors_origins: Sequence[str] = ()

    def __post_init__(self) -> None:
        if self.token and self.user:
            raise ConfigurationError("both a token and a user are set; a request carries one of them, so remove one")
        if bool(self.user) != bool(self.password):
            raise ConfigurationError("a user and a password belong together; one of them is not set")
        if ":" in self.user:
            raise ConfigurationError("a user's name cannot contain a colon (RFC 7617)")
        if self.tls_key and not self.tls_cert:
            raise ConfigurationError("a TLS key without a certificate; set --tls-cert too")
        for origin in self.cors_origins:
            parts = urlsplit(origin)
            if origin != "*" and (parts.scheme not in ("http", "https") or not parts.netloc or parts.path):
                raise ConfigurationError(
                    f"{origin!r} is no origin of web pages: https://grafana.example.com, or * for any"
                )
        if self.tls_cert:
            try:
                ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(self.tls_cert, self.tls_key or None)
            except (OSError, ssl.SSLError) as error:
                reason = getattr(error, "strerror", None) or error
                raise ConfigurationError(
                    f"no TLS with {self.tls_cert} and {self.tls_key or 'the key in it'}: {reason}"
                ) from None

    @property
    def scheme(self) -> str:
        """``http`` or ``https``."""
        return "https" if self.tls_cert else "http"

    @property
    def has_credentials(self) -> bool:
        """Whether requests need credentials."""
        return bool(self.token or self.user)

    def lets_in(self, authorization: str) -> bool:
        """Whether a request with this ``Authorization`` header (empty: without) may pass."""
        if not self.has_credentials:
            return True
        kind, _, value = authorization.partition(" ")
        if self.token:
            return kind.lower() == "bearer" and _same(value.strip(), self.token)
        if kind.lower() != "basic":
            return False
        try:
            given = base64.b64decode(value.strip(), validate=True).decode()
        except (binascii.Error, ValueError):
            return False
        return _same(given, f"{self.user}:{self.password}")


def guarded(app: ASGIApp, settings: ServingSettings) -> ASGIApp:
    """Return ``app`` behind what the settings ask for."""
    if settings.has_credentials:
        app = _Credentials(app, settings)
    if settings.cors_origins:
        # Outside of the credentials: a browser's preflight has none.
        app = CORSMiddleware(
            app, allow_origins=settings.cors_origins, allow_methods=["GET", "POST"], allow_headers=["*"]
        )
    return app


def under(base_path: str, app: ASGIApp) -> ASGIApp:
    """Return ``app`` moved to ``base_path``, which it finds in ``scope["root_path"]``; ``/healthz`` answers at the root too, for probes that know no path.

    Raises ConfigurationError for a path that does not begin with a slash or ends with one (Jaeger's rule).
    """
    if not base_path:
        return app
    if not re.fullmatch(r"(/[A-Za-z0-9._~-]+)+", base_path):
        raise ConfigurationError(
            f"{base_path!r} is no base path; one begins with a slash and does not end with one: /jaeger"
        )
    return Starlette(routes=[Route("/healthz", _alive), Mount(base_path, app)])


async def _alive(request: Request) -> Response:
    return JSONResponse({"status": "ok"})


class _Credentials:
    def __init__(self, app: ASGIApp, settings: ServingSettings) -> None:
        self._app = app
        self._settings = settings
        self._challenge = "Bearer" if settings.token else 'Basic realm="sls-tracing", charset="UTF-8"'

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not self._is_probe(scope) and not self._lets_in(scope):
            refusal = PlainTextResponse("credentials are needed\n", 401, {"WWW-Authenticate": self._challenge})
            await refusal(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _is_probe(self, scope: Scope) -> bool:
        return scope["path"] in PROBES and scope["method"] in ("GET", "HEAD")  # Zipkin's door takes a POST on any path

    def _lets_in(self, scope: Scope) -> bool:
        return self._settings.lets_in(Headers(scope=scope).get("authorization", ""))


def _same(given: str, right: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "replace"), right.encode())
