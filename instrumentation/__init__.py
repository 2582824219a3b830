"""Tracing of libraries that know nothing of it: ``install()`` at start, and Flask and requests make spans.

    from sls_tracing import instrumentation

    instrumentation.install()                       # everything this package knows, once it is imported
    instrumentation.install(["flask", "requests"])  # these only
    instrumentation.install(http=instrumentation.HTTPOptions(no_propagate_to=["*.example.com"]))
    instrumentation.uninstall()                     # as if nothing had ever been
    instrumentation.instrument_app(app)             # this one only; instrument_session(session) likewise

Map, ground first: `_tracer_source` (which tracer), `_options` (what can be set about HTTP; `_late_functions` for hooks by name), `_redaction` (what
never enters a span), `_messages` (requests and responses as hooks see them), `_nesting` (libraries on top of each other make one span), `_http` (names,
tags and errors of HTTP, decided once; in `_call`, `_server_call`, `_client_call`), `_injection` (headers that go out), `_wsgi` (a WSGI request, body
included), `_asgi` (the same over ASGI, WebSockets too), `_redirects` (hops of a client's call), `_patching` (one patch; `_function_patch` for what is
loaded early), `_import_hooks` (be told of an import), `_versions` (new enough?), the adapters (thin; `_instances` for applications and sessions one by
one, `_explicit` for the way to them, `wsgi` and `asgi` the middleware), `_registry` (the table; install and uninstall). What is not HTTP stands on
`_operation` (a span's life): `_database` (with `_sql`), `_messaging` and `_rpc` decide for the adapters of databases, brokers and gRPC.
"""

from __future__ import annotations

if __name__ != "sls_tracing.instrumentation":
    raise ImportError(
        f"this package is sls_tracing.instrumentation, but it was imported as {__name__!r}: "
        "write `from sls_tracing import instrumentation`; in a checkout, keep the folder that holds setup.py on the path "
        "and the folder instrumentation/ itself off it"
    )

from typing import TYPE_CHECKING

from sls_tracing.instrumentation._registry import install, installed, known, uninstall
from sls_tracing.lazy import lazily

if TYPE_CHECKING:
    from sls_tracing.instrumentation._explicit import (
        instrument_app,
        instrument_session,
        uninstrument_app,
        uninstrument_session,
    )
    from sls_tracing.instrumentation._messages import HTTPRequest, HTTPResponse
    from sls_tracing.instrumentation._options import HTTPOptions
    from sls_tracing.instrumentation.asgi import ASGIMiddleware
    from sls_tracing.instrumentation.wsgi import WSGIMiddleware

__all__ = [
    "ASGIMiddleware",
    "HTTPOptions",
    "HTTPRequest",
    "HTTPResponse",
    "WSGIMiddleware",
    "install",
    "installed",
    "instrument_app",
    "instrument_session",
    "known",
    "uninstall",
    "uninstrument_app",
    "uninstrument_session",
]


# Needed by few at start; dataclasses alone take 9 ms to load.
__getattr__ = lazily(
    __name__,
    {
        "ASGIMiddleware": "sls_tracing.instrumentation.asgi",
        "HTTPOptions": "sls_tracing.instrumentation._options",
        "HTTPRequest": "sls_tracing.instrumentation._messages",
        "HTTPResponse": "sls_tracing.instrumentation._messages",
        "WSGIMiddleware": "sls_tracing.instrumentation.wsgi",
        "instrument_app": "sls_tracing.instrumentation._explicit",
        "instrument_session": "sls_tracing.instrumentation._explicit",
        "uninstrument_app": "sls_tracing.instrumentation._explicit",
        "uninstrument_session": "sls_tracing.instrumentation._explicit",
    },
)
