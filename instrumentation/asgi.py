"""The ASGI middleware for applications without an adapter, and for those who would rather wrap one application than patch its framework.

app = ASGIMiddleware(app)                               # around any ASGI application
Starlette(middleware=[Middleware(ASGIMiddleware)])      # in a framework's own hook
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sls_tracing.exceptions import ConfigurationError
from sls_tracing.instrumentation import _asgi
from sls_tracing.instrumentation._tracer_source import TracerSource

if TYPE_CHECKING:
    import opentracing

    from sls_tracing.instrumentation._asgi import Application, Receive, Scope, Send
    from sls_tracing.instrumentation._options import HTTPOptions

__all__ = ["ASGIMiddleware"]


class ASGIMiddleware:
    """Make a server span for every HTTP request and WebSocket handshake that goes through to ``app`` (ASGI 3.0).

    Without ``tracer``, spans go to OpenTracing's global tracer of the moment; without ``http``, the environment's options hold. The span has the
    template of the route if the framework leaves it in ``scope["route"]``, as FastAPI and newer Starlettes do; otherwise it is named by the method.
    Inside or around an application that is instrumented it does nothing: a request makes one span. Raises :class:`ConfigurationError`.
    """

    def __init__(
        self, app: Application, tracer: opentracing.Tracer | None = None, http: HTTPOptions | None = None
    ) -> None:
        if not callable(app):
            raise ConfigurationError(f"{type(app).__name__} is no ASGI application: it cannot be called")
        self.app = app
        self._tracer = TracerSource(tracer)
        self._tracer.http = http

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one call of the server."""
        tracer = self._tracer.active()
        if tracer is None:
            await self.app(scope, receive, send)
            return
        await _asgi.serve(tracer, "asgi", self.app, scope, receive, send, options=self._tracer.http, has_routes=False)

    def __getattr__(self, name: str) -> Any:
        # Whoever was given the application may use more of it than its being callable: `state`, `router`, `add_middleware`.
        if name == "app":  # asked for before __init__, by a copy
            raise AttributeError(name)
        return getattr(self.app, name)
