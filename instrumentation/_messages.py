"""HTTP requests and responses as users' hooks see them, the same whichever library made them; and the headers that are captured."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from sls_tracing.instrumentation._redaction import REDACTED, is_secret_name, redact_text
from sls_tracing.values import to_text

if TYPE_CHECKING:
    import re
    from collections.abc import Callable

    Matches = Callable[[str], re.Match[str] | None]

__all__ = ["HTTPRequest", "HTTPResponse", "Headers", "capture"]

Headers: TypeAlias = Mapping[Any, Any] | Iterable[tuple[Any, Any]]
"""Names and values, text or bytes, as the library has them: a mapping, or pairs in which a name may come twice."""

LONGEST = 1_024
"""Characters of a header that are kept."""


class HTTPRequest(NamedTuple):
    """A request, for a hook. ``native`` is the library's own object: WSGI's environ, ASGI's scope, requests' PreparedRequest, …

    ``url`` has lost its credentials; ``headers`` are the library's own (WSGI: names in lower case). Neither is to be changed.
    """

    method: str
    url: str
    headers: Headers
    native: Any = None


class HTTPResponse(NamedTuple):
    """A response, for a hook. ``native`` is the library's own object, None for WSGI and ASGI, which have none."""

    status: int
    headers: Headers
    native: Any = None


def capture(kind: str, headers: Headers, matches: Matches, is_redacted: Matches) -> dict[str, str]:
    """Return a tag ``http.<kind>.header.<name>`` for each header whose name (in lower case) ``matches``; several values are joined by a comma.

    The value of one whose name tells of a secret, or ``is_redacted``, is not kept, nor are the secrets in an address that a value quotes.
    """
    found: dict[str, str] = {}
    for raw_name, raw_value in headers.items() if isinstance(headers, Mapping) else headers:
        name = _text(raw_name).lower()
        if matches(name):
            value = REDACTED if is_secret_name(name) or is_redacted(name) else redact_text(_text(raw_value)[:LONGEST])
            tag = f"http.{kind}.header.{name}"
            found[tag] = f"{found[tag]}, {value}"[:LONGEST] if tag in found else value
    return found


def _text(value: object) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else to_text(value)
