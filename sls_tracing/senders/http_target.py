"""Where a sender posts to, with what credentials, and how much of that may be shown.

Credentials come as a token or user and password, in headers, in the URL's user part, and, at Alibaba Cloud, inside its path:
``http://tracing-analysis-dc-hz.aliyuncs.com/adapt_abc123@hash_abc123@hash/api/traces``. That path goes out as it is written.
Messages show the host, and of the path only words that are known not to be secret.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote, unquote, urlsplit

from sls_tracing.exceptions import ConfigurationError
from sls_tracing.http_fetch import _is_loopback
from sls_tracing.version import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping
    from urllib.parse import SplitResult

__all__ = ["Target", "read_target"]

_ADAPT = "adapt_"
_KNOWN_SEGMENTS = frozenset(
    ("", "api", "traces", "otlp", "v1", "v2", "spans", "jaeger", "collector", "jaeger-collector")
)
_PROTOCOL_HEADERS = frozenset(("content-type", "content-length", "content-encoding", "transfer-encoding", "host", "b3"))
_HIDDEN = "***"
_SHORTEST_SECRET = 4  # hiding every "1" of a message because a header's value is "1" would leave nothing to read


class Target(NamedTuple):
    """One URL and the headers that every request to it carries."""

    url: str
    shown_url: str
    headers: Mapping[str, str]
    secrets: tuple[str, ...]
    is_loopback: bool

    def hide_secrets(self, text: str) -> str:
        """Return ``text``, a server's answer for one, without any of the credentials."""
        for secret in self.secrets:
            text = text.replace(secret, _HIDDEN)
        return text

    def __repr__(self) -> str:
        return f"Target({self.shown_url!r})"


def read_target(
    url: str,
    *,
    path: str,
    alibaba_path: str,
    query: str = "",
    token: str | None,
    user: str | None,
    password: str | None,
    headers: Mapping[str, str] | None,
) -> Target:
    """Check the settings of a sender and put them together. Raises :class:`ConfigurationError`, which shows no secret.

    ``path`` completes a URL without one, ``alibaba_path`` one that ends with Alibaba's token, ``query`` one without any.
    """
    parts = _split(url)
    if parts.username is not None:
        if user is not None or password is not None:
            raise ConfigurationError("the URL names a user, and so does user=; keep one of them")
        user, password = unquote(parts.username), unquote(parts.password or "")
    last = parts.path.rpartition("/")[2]
    if not parts.path.strip("/"):
        parts = parts._replace(path=path)
    elif last.startswith(_ADAPT):
        parts = parts._replace(path=parts.path + alibaba_path)
    parts = parts._replace(netloc=parts.netloc.rpartition("@")[2], query=parts.query or query, fragment="")
    all_headers = {"User-Agent": f"sls-tracing/{__version__}", **_check_headers(headers)}
    authorization = _authorization(token, user, password)
    if authorization is not None:
        if "authorization" in map(str.lower, all_headers):
            raise ConfigurationError("headers= has an Authorization beside token= or user=; keep one of them")
        all_headers["Authorization"] = authorization
    shown = parts._replace(path="/".join(map(_show_segment, parts.path.split("/"))), query="")
    found = _secrets(parts, query, (token, password, authorization, *(headers or {}).values()))
    target = Target(parts.geturl(), shown.geturl(), all_headers, found, _is_loopback(parts.hostname or ""))
    _check_sendable(target)
    return target


def _split(url: str) -> SplitResult:
    remedy = "write it like http://collector:14268/api/traces"
    try:
        parts = urlsplit(url)
        host, _port = parts.hostname, parts.port  # reading the port checks it
    except (ValueError, AttributeError, TypeError):
        raise ConfigurationError(f"the URL is not valid; {remedy}") from None
    if not isinstance(url, str) or parts.scheme not in ("http", "https") or not host:
        raise ConfigurationError(f"the URL needs http:// or https:// and a host; {remedy}")
    if not url.isprintable() or " " in url:
        raise ConfigurationError(f"the URL has a space or an invisible character; {remedy}")
    return parts


def _check_headers(headers: Mapping[str, str] | None) -> dict[str, str]:
    if headers is None:
        return {}
    if not hasattr(headers, "items"):
        raise ConfigurationError("headers must map names to values, both text")
    for name, value in headers.items():
        if not isinstance(name, str) or not isinstance(value, str):
            raise ConfigurationError(f"headers must map names to values, both text; {name!r} does not")
        if name.strip().lower() in _PROTOCOL_HEADERS:
            raise ConfigurationError(f"the header {name!r} is the sender's own; leave it out of headers=")
    return dict(headers)


def _authorization(token: str | None, user: str | None, password: str | None) -> str | None:
    if token is not None and user is not None:
        raise ConfigurationError("both a token and a user are set, but a request carries one of them; remove one")
    if password is not None and user is None:
        raise ConfigurationError("a password without a user; set user= too")
    if user is not None:
        if ":" in user:
            raise ConfigurationError("a user's name cannot contain a colon (RFC 7617)")
        return "Basic " + base64.b64encode(f"{user}:{password or ''}".encode()).decode()
    if token is not None:
        if not token.strip():
            raise ConfigurationError("the token is empty; set it, or leave it out")
        return "Bearer " + token.strip()
    return None


def _show_segment(segment: str) -> str:
    if segment in _KNOWN_SEGMENTS:
        return segment
    return _ADAPT + _HIDDEN if segment.startswith(_ADAPT) else _HIDDEN


def _secrets(parts: SplitResult, own_query: str, credentials: tuple[str | None, ...]) -> tuple[str, ...]:
    segments = [each for each in parts.path.split("/") if each not in _KNOWN_SEGMENTS]
    found = {*segments, *(each.removeprefix(_ADAPT) for each in segments)}
    found.update(each for each in credentials if each)
    found.update(each.rpartition(" ")[2] for each in credentials if each)  # of "Bearer x" the server may repeat the x
    if parts.query != own_query:
        found.update((parts.query, *(pair.rpartition("=")[2] for pair in parts.query.split("&"))))
    found |= {quote(each, safe="") for each in found}
    found |= {unquote(each) for each in found}
    return tuple(sorted((each for each in found if len(each) >= _SHORTEST_SECRET), key=len, reverse=True))


def _check_sendable(target: Target) -> None:
    """Let ``requests`` find now what it would refuse later: a host that is no name, a header with a line break."""
    import requests

    try:
        for name, value in target.headers.items():
            (name + value).encode("ascii")
        requests.Request("POST", target.url, headers=dict(target.headers)).prepare()
    except (requests.RequestException, ValueError):
        raise ConfigurationError(
            f"no request can be made of the URL ({target.shown_url}), the token and the headers as they are set; "
            "header names and values must be in ASCII, on one line"
        ) from None
