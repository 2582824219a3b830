"""The WSGI middleware for applications without an adapter, and for those who would rather wrap one application than patch its framework.

app = WSGIMiddleware(app)                               # around any WSGI application
app.wsgi_app = WSGIMiddleware(app.wsgi_app)             # in a framework's own hook
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sls_tracing.exceptions import ConfigurationError
from sls_tracing.instrumentation import _wsgi
from sls_tracing.instrumentation._tracer_source import TracerSource

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import opentracing

    from sls_tracing.instrumentation._http import ServerCall
    from sls_tracing.instrumentation._options import HTTPOptions

__all__ = ["WSGIMiddleware"]


class WSGIMiddleware:
    """Make a server span for every request that goes through to ``app`` (PEP 3333), from the server's call to the last byte of the body.

    Without ``tracer``, spans go to OpenTracing's global tracer of the moment; without ``http``, the environment's options hold. No WSGI
    server tells the route: the span is named by the method, unless ``HTTPOptions(span_name=…)`` or an instrumented framework inside says more.
    Inside or around an application that is instrumented it does nothing: a request makes one span. Raises :class:`ConfigurationError`.
    """

    def __init__(
        self,
        app: Callable[..., Iterable[bytes]],
        tracer: opentracing.Tracer | None = None,
        http: HTTPOptions | None = None,
    ) -> None:
        if not callable(app):
            raise ConfigurationError(f"{type(app).__name__} is no WSGI application: it cannot be called")
        self.app = app
        self._tracer = TracerSource(tracer)
        self._tracer.http = http

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Handle one request."""
        tracer = self._tracer.active()
        if tracer is None:
            return self.app(environ, start_response)
        return _wsgi.serve(tracer, "wsgi", self.app, environ, start_response, _is_complete, self._tracer.http)

    def __getattr__(self, name: str) -> Any:
        # Whoever was given the application may use more of it than its being callable: `test_client`, `config`, `cli`.
        if name == "app":  # asked for before __init__, by a copy
            raise AttributeError(name)
        return getattr(self.app, name)


def _is_complete(call: ServerCall, body: object) -> bool:
    return False
