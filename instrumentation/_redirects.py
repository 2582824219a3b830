"""The hops of a redirected request, told on the span of its one logical call, the same for every client."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from sls_tracing.instrumentation._redaction import redact_url

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sls_tracing.instrumentation._http import ClientCall

__all__ = ["Hop", "tell_hops"]

_REDIRECTS = frozenset((300, 301, 302, 303, 307, 308))


class Hop(NamedTuple):
    """One answer on the way to the last one: a redirect, or a challenge after which the request was sent again."""

    status: int
    url: str
    location: str | None = None


def tell_hops(call: ClientCall, hops: Iterable[Hop], final_url: str) -> None:
    """Log each hop, and tag how many there were and where they led."""
    redirects = resends = 0
    for hop in hops:
        is_redirect = hop.status in _REDIRECTS
        redirects, resends = redirects + is_redirect, resends + (not is_redirect)
        fields: dict[str, Any] = {
            "event": "redirect" if is_redirect else "resend",
            "http.status_code": hop.status,
            "http.url": redact_url(hop.url),
        }
        if hop.location:
            fields["http.location"] = redact_url(hop.location)
        call.log(fields)
    if redirects:
        call.set_tags({"http.redirect_count": redirects, "http.final_url": redact_url(final_url)})
    if resends:
        call.set_tags({"http.resend_count": resends})
