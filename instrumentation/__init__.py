"""Tracing of libraries that know nothing of it: ``install()`` at start, and Flask and requests make spans.

    from sls_tracing import instrumentation

    instrumentation.install()                       # everything this package knows, once it is imported
    instrumentation.install(["flask", "requests"])  # these only
    instrumentation.install(http=instrumentation.HTTPOptions(no_propagate_to=["*.example.com"]))
    instrumentation.uninstall()                     # as if nothing had ever been

Map, ground first: `_tracer_source` (which tracer), `_options` (what can be set about HTTP), `_redaction` (what never enters a span), `_http` (names,
tags and errors of HTTP, decided once), `_injection` (headers that go out), `_wsgi` (a WSGI request, body included), `_patching` (one patch;
`_function_patch` for what is loaded early), `_import_hooks` (be told of an import), `flask`, `requests`, `multiprocessing`, `threading`, `futures`,
`gevent` (thin adapters), `_registry` (the table; install and uninstall).
"""

from __future__ import annotations

if __name__ != "sls_tracing.instrumentation":
    raise ImportError(
        f"this package is sls_tracing.instrumentation, but it was imported as {__name__!r}: "
        "write `from sls_tracing import instrumentation`; in a checkout, keep the folder that holds setup.py on the path "
        "and the folder instrumentation/ itself off it"
    )

from typing import TYPE_CHECKING, Any

from sls_tracing.instrumentation._registry import install, installed, known, uninstall

if TYPE_CHECKING:
    from sls_tracing.instrumentation._options import HTTPOptions

__all__ = ["HTTPOptions", "install", "installed", "known", "uninstall"]


def __getattr__(name: str) -> Any:
    # Needed by few at start, and dataclasses take 9 ms to load.
    if name == "HTTPOptions":
        from sls_tracing.instrumentation._options import HTTPOptions

        return HTTPOptions
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
