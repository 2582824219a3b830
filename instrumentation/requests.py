"""requests: one client span for every logical call, its redirects and repetitions told as logs.

``Session.send`` is the place: sessions and subclasses made before and after, prepared requests and test doubles such as
``responses`` all pass through it. The span's context goes into the prepared request's headers only, so the caller's dict stays his;
headers are added after authentication has signed the request, which signatures such as AWS's SigV4 allow.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import requests
from requests.models import PreparedRequest
from requests.structures import CaseInsensitiveDict
from requests.utils import default_user_agent

from sls_tracing.guard import Guard
from sls_tracing.instrumentation._function_patch import FunctionPatch
from sls_tracing.instrumentation._http import LAYERS, ClientCall
from sls_tracing.instrumentation._injection import lower_case_stores
from sls_tracing.instrumentation._instances import Instances
from sls_tracing.instrumentation._redaction import redact_url
from sls_tracing.instrumentation.urllib3 import finish_with_body, retry_log

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    import opentracing

    from sls_tracing.instrumentation._options import HTTPOptions
    from sls_tracing.instrumentation._registry import RemovablePatch
    from sls_tracing.instrumentation._tracer_source import TracerSource

__all__ = ["instrument", "patches", "uninstrument"]

_DEFAULTS = dict.fromkeys(("User-Agent", "user-agent"), default_user_agent())
_guard = Guard("instrumentation_requests")
if hasattr(CaseInsensitiveDict(), "_store"):
    lower_case_stores.add(CaseInsensitiveDict)

_instances: dict[type, Instances] = {}
"""By ``Session``, which a reload replaces."""


def patches(module: ModuleType, tracer: TracerSource) -> list[RemovablePatch]:
    """Return the patches for ``requests.sessions``, not yet installed."""
    return [_instances_of(module.Session).for_library(tracer)]


def instrument(session: requests.Session, tracer: opentracing.Tracer | None, http: HTTPOptions | None) -> None:
    """Trace this session, with its own tracer and options."""
    _instances_of(requests.Session).add(session, tracer, http)


def uninstrument(session: requests.Session) -> None:
    """Undo :func:`instrument`."""
    _instances_of(requests.Session).discard(session)


def _instances_of(session: type) -> Instances:
    instances = _instances.get(session)
    if instances is None:
        _instances.clear()
        instances = _instances[session] = Instances(partial(_make_patches, session))
    return instances


def _make_patches(session: type, instances: Instances) -> list[FunctionPatch]:
    return [FunctionPatch(session, "send", _Hooks(instances).send)]


class _Hooks:
    def __init__(self, instances: Instances) -> None:
        self._instances = instances

    def send(self, wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Around ``Session.send``."""
        tracing = self._instances.tracing(instance)
        request = args[0] if args else kwargs.get("request")
        if tracing is None or not isinstance(request, PreparedRequest):
            return wrapped(*args, **kwargs)
        headers: Any = request.headers
        if headers is None:  # of a PreparedRequest that nobody prepared; requests sends it all the same
            headers = request.headers = CaseInsensitiveDict()
        follows_redirects = kwargs.get("allow_redirects", True)
        if follows_redirects is False:
            outer = LAYERS.under_way()
            if isinstance(outer, ClientCall) and outer.follower is instance:
                # resolve_redirects calls send for every hop: part of the same logical call, with the same ids.
                outer.inject(headers, str(request.url), _DEFAULTS)
                return wrapped(*args, **kwargs)
        tracer, options = tracing
        call = ClientCall.start(tracer, "requests", request.method or "", str(request.url), headers, options, request)
        if call is None:
            return wrapped(*args, **kwargs)
        call.inject(headers, None, _DEFAULTS)
        if follows_redirects:
            call.follower = instance
        with call:
            response = wrapped(*args, **kwargs)
        _guard.call(None, _tell, call, response)
        stream = kwargs.get("stream", instance.stream)
        if not (stream and _guard.call(False, finish_with_body, call, response.raw)):
            call.finish()
        return response


def _tell(call: ClientCall, response: Any) -> None:
    """Tell what came back and what it took: requests keeps each redirect and resend, urllib3 each retry below it."""
    call.responded(response.status_code, response.headers, response)
    if not (response.history or getattr(response.raw, "retries", None)) or not call.is_recorded:
        return
    redirects = resends = 0
    for hop in (*response.history, response):
        for attempt in getattr(getattr(hop.raw, "retries", None), "history", None) or ():
            resends += 1
            call.log(retry_log(attempt))
        if hop is response:
            break
        if hop.is_redirect:
            redirects += 1
        else:  # answered a challenge: HTTPDigestAuth sends the request again and keeps the 401 here
            resends += 1
        call.log(_hop_log(hop))
    if redirects:
        call.set_tags({"http.redirect_count": redirects, "http.final_url": redact_url(response.url)})
    if resends:
        call.set_tags({"http.resend_count": resends})


def _hop_log(hop: Any) -> dict[str, Any]:
    fields = {
        "event": "redirect" if hop.is_redirect else "resend",
        "http.status_code": hop.status_code,
        "http.url": redact_url(hop.url),
    }
    location = hop.headers.get("location")
    return {**fields, "http.location": redact_url(location)} if location else fields
