"""What never enters a span: credentials in a URL, and in the text of an error that quotes one.

User and password are always cut out. A query parameter whose name is on the list below keeps its name and loses its value. The
fragment goes too: it is not part of a request, and OAuth's implicit flow keeps tokens there. Names are compared without case, at
word borders where a word is short (``key`` but not ``keyword``; ``apiKey``, ``X-Amz-Signature`` and ``%74oken`` are caught).
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote_plus

from sls_tracing.patterns import Pattern

if TYPE_CHECKING:
    import re

__all__ = ["REDACTED", "is_secret_name", "redact_text", "redact_url"]

REDACTED = "REDACTED"

_SECRET_NAME = Pattern(
    r"token|secret|passw|passphrase|signature|credential|authori[sz]|session.?id|jwt|cookie|(?:api|access|private|account).?key"
    r"|(?<![a-z])(?:sig|key|auth|pwd|pass|pin|otp|code|sid)(?![a-z])"
)
_CAMEL_BORDER = Pattern(r"(?<=[a-z0-9])(?=[A-Z])")
_USER_INFO = Pattern(r"^([A-Za-z][A-Za-z0-9+.\-]*:)?//[^/?#]*@")
_USER_INFO_IN_TEXT = Pattern(r"//[^/?#\s'\"]*@")
_PARAMETER_IN_TEXT = Pattern(r"([?&;])([^=&;#\s'\"?]+)=([^&;#\s'\")>]+)")


def redact_url(url: str) -> str:
    """Return ``url`` without user, password, fragment and the values of secret query parameters. Any text may come in."""
    if "#" in url:
        url = url.partition("#")[0]
    if "@" in url:
        url = _USER_INFO.sub(r"\1//", url)
    base, mark, query = url.partition("?")
    if not mark:
        return url
    parameters = query.split("&")
    if ";" not in query:
        for parameter in parameters:
            name, _, value = parameter.partition("=")
            if value and _secret_names[name]:
                break
        else:  # most addresses have no secrets, and come back as they are
            return url
    return base + mark + "&".join(map(_redact_parameter, parameters))


def redact_text(text: str) -> str:
    """Return ``text`` with the same secrets gone from the URLs, or parts of URLs, in it: errors of HTTP libraries quote them."""
    if "@" in text:
        text = _USER_INFO_IN_TEXT.sub("//", text)
    return _PARAMETER_IN_TEXT.sub(_redact_match, text)


def _redact_parameter(parameter: str) -> str:
    if ";" in parameter:  # the older separator, still read by some servers
        return ";".join(map(_redact_parameter, parameter.split(";")))
    name, equals, value = parameter.partition("=")
    return f"{name}={REDACTED}" if equals and value and is_secret_name(name) else parameter


def _redact_match(match: re.Match[str]) -> str:
    separator, name, value = match.groups()
    return f"{separator}{name}={REDACTED if is_secret_name(name) else value}"


def is_secret_name(name: str) -> bool:
    """Whether a parameter, header or argument of this name holds a credential."""
    return _secret_names[name]


class _SecretNames(dict[str, bool]):
    """Which names tell of a credential. They are few and come again: 1 µs less for each. Long ones are nobody's, and shall not stay in memory."""

    def __missing__(self, name: str) -> bool:
        plain = unquote_plus(name) if "%" in name or "+" in name else name
        is_secret = _SECRET_NAME.search(_CAMEL_BORDER.sub("-", plain).lower()) is not None
        if len(name) <= _LONGEST_KEPT:
            if len(self) >= _MOST_KEPT:
                self.clear()
            self[name] = is_secret
        return is_secret


_MOST_KEPT, _LONGEST_KEPT = 1024, 64
_secret_names = _SecretNames()
