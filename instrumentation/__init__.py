"""Tracing of libraries that know nothing of it: ``install()`` at start, and Flask and requests make spans.

    from sls_tracing import instrumentation

    instrumentation.install()                       # everything this package knows, once it is imported
    instrumentation.install(["flask", "requests"])  # these only
    instrumentation.uninstall()                     # as if nothing had ever been

Map, ground first: `_tracer_source` (which tracer), `_redaction` (what never enters a span), `_http` (names, tags and errors of HTTP, decided once),
`_wsgi` (a WSGI request, body included), `_patching` (one patch; `_function_patch` for what is loaded early), `_import_hooks` (be told of an
import), `flask`, `requests`, `multiprocessing`, `threading`, `futures`, `gevent` (thin adapters), `_registry` (the table; install and uninstall).
"""

from __future__ import annotations

if __name__ != "sls_tracing.instrumentation":
    raise ImportError(
        f"this package is sls_tracing.instrumentation, but it was imported as {__name__!r}: "
        "write `from sls_tracing import instrumentation`; in a checkout, keep the folder that holds setup.py on the path "
        "and the folder instrumentation/ itself off it"
    )

from sls_tracing.instrumentation._registry import install, installed, known, uninstall

__all__ = ["install", "installed", "known", "uninstall"]
