"""HTTP, decided once for every library: span names, tags, what counts as an error, how context enters and leaves.

An adapter translates its library's objects into these calls and decides nothing:

    call = ServerCall.start(tracer, "django", method, headers, path, options, native=request)     # or None: not traced
    with call:                                  # the span is active in here
        call.describe(url, address, port)       # when the address is known
        call.named("/products/<id>")            # when the route is known; None: no route matched
        call.responded(200, response_headers)
    call.finish()                               # after the last byte of the body

    call = ClientCall.start(tracer, "httpx", method, url, headers, options, native=request)       # or None: not traced
    call.inject(headers)
    with call:
        response = send(request)
    call.responded(response.status_code, response.headers, native=response)
    call.finish()

Everything here is guarded: whatever a tracer, a hook or a strange header raises is counted, logged at a limited rate and gone; only the
application's own exceptions pass.

Names: a server span is ``GET /products/<id>`` (method and route template) or ``GET <unmatched>``, never a raw path; a client span
is the method alone, for a client knows no template. Unknown methods read ``HTTP``: names must stay few whatever clients send.
Errors: a status of 500 and above on either side, unless the options say otherwise, and every exception.
Tags: OpenTracing's semantic conventions 1.1; ``http.route``, ``http.redirect_count``, ``http.resend_count`` and
``http.final_url`` in the same style, where that text has no name.

Nested layers give one span. *Clients*: between ``with call:`` and its end, ``ClientCall.start`` of a library that stands below the call's
(`_nesting`; the table is ``LAYERS``) returns None, and the lower adapter passes its request on untouched, so headers are injected once. *Servers*: a
request that is under way already (the same method and path, in this thread, task or greenlet) gets no second span, wherever the second layer
sits: ``ServerCall.start`` returns None and ``ServerCall.under_way(method, path)`` the outer call, so that the inner layer, which knows more, can name it.
"""

from __future__ import annotations

from sls_tracing.instrumentation._call import Call, method_name
from sls_tracing.instrumentation._client_call import LAYERS, ClientCall
from sls_tracing.instrumentation._messages import HTTPRequest, HTTPResponse
from sls_tracing.instrumentation._server_call import ServerCall

__all__ = ["LAYERS", "Call", "ClientCall", "HTTPRequest", "HTTPResponse", "ServerCall", "method_name"]
