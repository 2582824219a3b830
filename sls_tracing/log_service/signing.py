"""Signatures of Log Service's API, versions 1 and 4, as functions of a request: whoever sends signs with them, whoever serves checks with them.

Source: the official SDKs (``auth.py`` of aliyun-log-python-sdk, ``sign_v4`` of the Go SDK); tests hold them against both signatures of the Python SDK.
Header names are in lower case here; ``params`` are the query's, decoded.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from datetime import datetime, timezone
from email.utils import format_datetime
from typing import TYPE_CHECKING, Literal, TypeAlias
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["API_VERSION", "SignatureVersion", "sign_v1", "sign_v4", "signed_headers_v1", "signed_headers_v4"]

SignatureVersion: TypeAlias = Literal["v1", "v4"]

API_VERSION = "0.6.0"
ALGORITHM_V4 = "SLS4-HMAC-SHA256"
_TERMINATOR_V4 = "aliyun_v4_request"


def sign_v1(secret: str, method: str, path: str, params: Mapping[str, str], headers: Mapping[str, str]) -> str:
    """Return the signature (base64) of a request with ``date``, and ``content-md5`` and ``content-type`` if it has a body.

    Signed are the ``x-log-*`` and ``x-acs-*`` headers, but for ``x-log-date``, which may only stand beside ``date``.
    """
    lines = [method, headers.get("content-md5", ""), headers.get("content-type", ""), headers.get("date", "")]
    lines += [
        f"{name}:{headers[name]}"
        for name in sorted(headers)
        if name.startswith(("x-log-", "x-acs-")) and name != "x-log-date"
    ]
    query = "&".join(f"{name}={params[name]}" for name in sorted(params))
    lines.append(f"{path}?{query}" if query else path)
    digest = hmac.new(secret.encode(), "\n".join(lines).encode(), hashlib.sha1).digest()
    return base64.b64encode(digest).decode()


def sign_v4(
    secret: str, method: str, path: str, params: Mapping[str, str], headers: Mapping[str, str], region: str
) -> str:
    """Return the signature (hex) of a request with ``host``, ``x-log-date`` (``YYYYMMDDTHHMMSSZ``) and ``x-log-content-sha256``."""
    signed = sorted(
        name for name in headers if name in ("host", "content-type") or name.startswith(("x-log-", "x-acs-"))
    )
    query = "&".join(_parameter(name, params[name]) for name in sorted(params))
    canonical = [method, path, query, *(f"{name}:{headers[name].strip()}" for name in signed), "", ";".join(signed)]
    canonical.append(headers.get("x-log-content-sha256", ""))
    moment = headers["x-log-date"]
    scope = scope_v4(moment, region)
    request_hash = hashlib.sha256("\n".join(canonical).encode()).hexdigest()
    text = f"{ALGORITHM_V4}\n{moment}\n{scope}\n{request_hash}"
    key = f"aliyun_v4{secret}".encode()
    for step in scope.split("/"):
        key = hmac.new(key, step.encode(), hashlib.sha256).digest()
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def scope_v4(moment: str, region: str) -> str:
    """Return what a signature of version 4 is good for: one day, one region, this service."""
    return f"{moment[:8]}/{region}/sls/{_TERMINATOR_V4}"


def _parameter(name: str, value: str) -> str:
    return f"{quote(name, safe='-_.~')}={quote(value, safe='-_.~')}" if value else quote(name, safe="-_.~")


def signed_headers_v1(
    key_id: str,
    secret: str,
    method: str,
    path: str,
    params: Mapping[str, str],
    headers: Mapping[str, str],
    body: bytes,
    now: float,
) -> dict[str, str]:
    """Return ``headers`` (those that the call sets itself) with all that version 1 adds. ``now`` is seconds since the epoch."""
    found = {
        **headers,
        "x-log-apiversion": API_VERSION,
        "x-log-signaturemethod": "hmac-sha1",
        "date": format_datetime(datetime.fromtimestamp(int(now), timezone.utc), usegmt=True),
    }
    found.setdefault("x-log-bodyrawsize", str(len(body)))
    if body:
        found["content-md5"] = hashlib.md5(body, usedforsecurity=False).hexdigest().upper()
    found["authorization"] = f"LOG {key_id}:{sign_v1(secret, method, path, params, found)}"
    return found


def signed_headers_v4(
    key_id: str,
    secret: str,
    region: str,
    method: str,
    path: str,
    params: Mapping[str, str],
    headers: Mapping[str, str],
    body: bytes,
    now: float,
) -> dict[str, str]:
    """Return ``headers`` with all that version 4 adds; they must hold ``host``, without the port."""
    moment = datetime.fromtimestamp(int(now), timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    found = {
        **headers,
        "x-log-apiversion": API_VERSION,
        "x-log-date": moment,
        "x-log-content-sha256": hashlib.sha256(body).hexdigest(),
    }
    found.setdefault("x-log-bodyrawsize", str(len(body)))
    signature = sign_v4(secret, method, path, params, found, region)
    found["authorization"] = f"{ALGORITHM_V4} Credential={key_id}/{scope_v4(moment, region)},Signature={signature}"
    return found
