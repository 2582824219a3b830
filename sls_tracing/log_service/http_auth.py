"""Who may ask the embedded Log Service: signatures v1 and v4 checked as the real one does."""

from __future__ import annotations

import hashlib
import hmac
import re
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from sls_tracing.log_service.logstore import LogServiceError
from sls_tracing.log_service.signing import ALGORITHM_V4, sign_v1, sign_v4

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sls_tracing.clock import Clock
    from sls_tracing.log_service.credentials import AccessKey

__all__ = ["check_signature"]

SKEW = 900
"""Seconds that a request's time may be off."""

_V1 = re.compile(r"LOG (?P<key>[^:\s]+):(?P<signature>\S+)")
_V4 = re.compile(
    re.escape(ALGORITHM_V4)
    + r" Credential=(?P<key>[^/\s]+)/(?P<date>\d{8})/(?P<region>[^/\s]+)/sls/aliyun_v4_request,\s*"
    r"Signature=(?P<signature>[0-9a-f]+)"
)


def check_signature(
    key: AccessKey,
    method: str,
    path: str,
    params: Mapping[str, str],
    headers: Mapping[str, str],
    body: bytes,
    clock: Clock,
) -> None:
    """Raise LogServiceError unless ``key`` has signed this request, not long ago. Header names in lower case; ``params`` decoded."""
    authorization = headers.get("authorization", "")
    found = _V1.fullmatch(authorization) or _V4.fullmatch(authorization)
    if found is None:
        code = "Unauthorized" if authorization else "MissAccessKeyId"
        raise LogServiceError(code, "the request is not signed: Authorization is missing or of no known form")
    is_v4 = found.re is _V4
    if not hmac.compare_digest(found["key"].encode(), key.key_id.encode()):
        raise LogServiceError("Unauthorized", "The AccessKeyId is not known here.")
    if key.token and headers.get("x-acs-security-token", "") != key.token:
        raise LogServiceError("Unauthorized", "The security token is missing or another one.")
    _check_time(headers.get("x-log-date", "") if is_v4 else headers.get("date", ""), is_v4, clock())
    _check_body(headers, body, is_v4)
    if is_v4:
        host = headers.get("host", "").partition(":")[0]
        signed = {**headers, "host": host}
        expected = sign_v4(key.secret, method, path, params, signed, found["region"])
    else:
        expected = sign_v1(key.secret, method, path, params, headers)
    if not hmac.compare_digest(expected.encode(), found["signature"].encode()):
        raise LogServiceError("SignatureNotMatch", "The signature does not match this request.")


def _check_time(text: str, is_v4: bool, now: float) -> None:
    try:
        if is_v4:
            moment = datetime.strptime(text, "%Y%m%dT%H%M%SZ").replace(tzinfo=timezone.utc).timestamp()
        else:
            moment = parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        name = "x-log-date" if is_v4 else "Date"
        raise LogServiceError("ParameterInvalid", f"the header {name} is missing or no date: {text[:40]!r}") from None
    if abs(now - moment) > SKEW:
        raise LogServiceError(
            "RequestTimeTooSkewed", f"the request's time is {moment - now:+.0f} seconds off; 900 are allowed"
        )


def _check_body(headers: Mapping[str, str], body: bytes, is_v4: bool) -> None:
    if is_v4:
        if headers.get("x-log-content-sha256", "") != hashlib.sha256(body).hexdigest():
            raise LogServiceError("SignatureNotMatch", "x-log-content-sha256 is not that of the body")
    elif (
        body and headers.get("content-md5", "").upper() != hashlib.md5(body, usedforsecurity=False).hexdigest().upper()
    ):
        raise LogServiceError("PostBodyInvalid", "Content-MD5 is not that of the body")
