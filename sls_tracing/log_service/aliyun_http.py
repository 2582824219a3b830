"""Signed requests to Log Service, made again while that makes sense: what the client, provisioning and the sender have in common.

What is tried again, after pauses drawn between nothing and 0.2, 0.4, 0.8, … 16 seconds, or the server's ``Retry-After``, for ``retry_for``
seconds in all: no answer, 408, 429, 5xx, and the refusals for a quota that is used up (403 with a code of :data:`TRANSIENT`). Everything else is
final: repeating a wrong signature or a broken query helps nobody. A clock that is wrong is the exception: the server's own time is in its
answer, and with it the next request is signed.

Connections are kept, one a thread that asks at the same time. Nothing traces these requests (``suppress``, and ``b3: 0`` for a sidecar).
"""

from __future__ import annotations

import contextlib
import email.utils
import json
import threading
import time
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote, urlencode

from sls_tracing.clock import wall_clock
from sls_tracing.forks import call_in_child
from sls_tracing.http_connection import TimeLimit, exchanging, make_adapter, quieten_urllib3
from sls_tracing.identifiers import random_bits
from sls_tracing.log_service.logstore import TRANSIENT, LogServiceError
from sls_tracing.log_service.signing import signed_headers_v1, signed_headers_v4
from sls_tracing.metrics import Counters, counters
from sls_tracing.suppression import suppress

if TYPE_CHECKING:
    from collections.abc import Mapping

    import requests

    from sls_tracing.clock import Clock
    from sls_tracing.log_service.settings import LogServiceSettings

__all__ = ["Exchange", "Response"]

FIRST_PAUSE, LONGEST_PAUSE = 0.2, 16.0
LONGEST_ANSWER = 64 << 20

_JSON = "application/json"
_REMEDIES = {
    "SignatureNotMatch": "the access key's secret is wrong, or something on the way changes the request",
    "Unauthorized": "the access key is unknown or deactivated, its security token is over, or its RAM user lacks the permission",
    "SecurityTokenExpired": "fetch a new security token, or use a RAM role, whose tokens are renewed in time",
    "InvalidSecurityToken": "the security token is not that of this access key",
    "MissAccessKeyId": "set an access key",
    "ProjectNotExist": "check the project and the endpoint's region, or create it: sls-tracing provision",
    "LogStoreNotExist": "create it: sls-tracing provision",
    "IndexConfigNotExist": "create an index: sls-tracing provision",
    "RequestTimeTooSkewed": "set this machine's clock",
    "RequestTimeExpired": "set this machine's clock",
    "PostBodyInvalid": "it takes logs of the last 7 days and the next 15 minutes",
    "ExceedQuota": "a quota of the project is used up; ask Alibaba Cloud for more",
    "ReadQuotaExceed": "the project's read quota is used up; ask less often or for a shorter time",
    "ShardReadQuotaExceed": "the shards cannot read more; ask less often or for a shorter time",
    "ServerBusy": "try again later",
    "InternalServerError": "try again later; Alibaba Cloud's support wants the request's id",
    "RequestError": "check the endpoint, the network and, behind a proxy, HTTPS_PROXY",
    "WriteQuotaExceed": "the project's write quota is used up; ask Alibaba Cloud for more, or sample less",
    "ShardWriteQuotaExceed": "the shards cannot take more; split them, or let Log Service do so (autoSplit)",
}


class Response(NamedTuple):
    """What the service answered: header names in lower case, the body unpacked."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """Return the body's JSON; BadResponse if it is none."""
        try:
            return json.loads(self.body)
        except ValueError:
            raise LogServiceError("BadResponse", "the answer is no JSON", status=self.status) from None


class Exchange:
    """Requests to one project. Any number of threads may ask at once; a forked child has connections of its own."""

    def __init__(
        self, settings: LogServiceSettings, *, clock: Clock = wall_clock, counters: Counters = counters
    ) -> None:
        self.settings = settings
        self._clock = clock
        self._counters = counters
        self._skew = 0.0
        self._inherited: list[object] = []
        self._stop_at = float("inf")
        self._start_afresh()
        make_adapter(TimeLimit())  # imports all that an exchange needs, in this thread
        quieten_urllib3()
        call_in_child(self._after_fork)

    def ask(
        self,
        method: str,
        path: str,
        params: Mapping[str, str] | None = None,
        *,
        body: bytes = b"",
        content_type: str = _JSON,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """Return the answer to a request that was granted; raise :class:`LogServiceError` for one that was not."""
        give_up_at = min(time.monotonic() + self.settings.retry_for, self._stop_at)
        sent = {"content-type": content_type, **(headers or {})} if body else dict(headers or {})
        attempts = 0
        renewed = False
        while True:
            attempts += 1
            try:
                return self._ask_once(method, path, params or {}, sent, body)
            except LogServiceError as error:
                # A temporary key may end before its time: when its role changes, or when this machine's clock is slow.
                if renewed or error.status != 401 or not self._forget_key():
                    raise
                renewed = True
            except _LaterError as later:
                pause = _pause(attempts) if later.after is None else later.after
                if time.monotonic() + pause >= min(give_up_at, self._stop_at) or self._woken.wait(pause):
                    raise later.error from None
                self._counters.add("log_service_retries")

    def stop_at(self, deadline: float) -> None:
        """Let nothing last longer than until ``deadline``, in seconds of ``time.monotonic``, and end the pauses."""
        self._stop_at = deadline
        for _, limit in self._all:
            limit.stop_at = deadline

    def close(self) -> None:
        """End what is going on, in other threads for one, and refuse what comes later. Closing twice is fine."""
        self._closed = True
        self._woken.set()
        for _, limit in list(self._all):
            limit.cut = True
        with self._lock:
            idle = self._idle[:]
            self._idle.clear()
        for session, _ in idle:
            session.close()

    def _forget_key(self) -> bool:
        """Have a temporary key fetched anew; False if there is no other one to be had."""
        forget = getattr(self.settings.credentials, "forget", None)
        if forget is None:
            return False
        forget()
        return True

    # -- one attempt ---------------------------------------------------------------------------------------------------

    def _ask_once(
        self, method: str, path: str, params: Mapping[str, str], headers: Mapping[str, str], body: bytes
    ) -> Response:
        response = self._exchange(method, path, params, self._signed(method, path, params, headers, body), body)
        if 200 <= response.status < 300:
            return response
        error = _error(response)
        if error.code == "RequestTimeTooSkewed" and self._learn_time(response):
            raise _LaterError(error, 0.0)
        if error.code in TRANSIENT or response.status in (408, 429) or response.status >= 500:
            raise _LaterError(error, _retry_after(response))
        raise error

    def _signed(
        self, method: str, path: str, params: Mapping[str, str], headers: Mapping[str, str], body: bytes
    ) -> dict[str, str]:
        settings = self.settings
        assert settings.credentials is not None  # checked when the settings were made
        key = settings.credentials()
        given = {"host": settings.host, **headers}
        if key.token:
            given["x-acs-security-token"] = key.token
        now = self._clock() + self._skew
        if settings.signature == "v4":
            return signed_headers_v4(key.key_id, key.secret, settings.region, method, path, params, given, body, now)
        return signed_headers_v1(key.key_id, key.secret, method, path, params, given, body, now)

    def _exchange(
        self, method: str, path: str, params: Mapping[str, str], headers: dict[str, str], body: bytes
    ) -> Response:
        import requests
        import urllib3

        url = self.settings.url + quote(path) + (f"?{urlencode(params, quote_via=quote)}" if params else "")
        session, limit = self._take()
        ours = exchanging.set(True)
        try:
            with suppress():
                limit.start(self.settings.timeout)
                with session.request(
                    method,
                    url,
                    data=body or None,
                    headers={"accept-encoding": "identity", "b3": "0", **headers},
                    timeout=limit.left(),
                    stream=True,
                    allow_redirects=False,
                    proxies={"http": None, "https": None} if self.settings.connect else None,  # type: ignore[dict-item]
                ) as found:
                    content = _read(found.raw)
                    return Response(found.status_code, {k.lower(): v for k, v in found.headers.items()}, content)
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            message = f"no answer from {self.settings.url}: {_why(error)}; {_REMEDIES['RequestError']}"
            raise _LaterError(LogServiceError("RequestError", message)) from None
        finally:
            exchanging.reset(ours)
            self._give_back(session, limit)

    def _take(self) -> tuple[requests.Session, TimeLimit]:
        if self._closed:
            raise LogServiceError("RequestError", "the client is closed")
        with self._lock:
            if self._idle:
                return self._idle.pop()
        import requests

        limit = TimeLimit()
        limit.stop_at = self._stop_at
        session = requests.Session()
        session.headers.clear()
        session.auth = _as_it_is
        session.mount("http://", adapter := make_adapter(limit))
        session.mount("https://", adapter)
        with self._lock:
            self._all.append((session, limit))
        return session, limit

    def _give_back(self, session: requests.Session, limit: TimeLimit) -> None:
        with self._lock:
            if not self._closed:
                self._idle.append((session, limit))
                return
        session.close()

    def _learn_time(self, response: Response) -> bool:
        """Take the server's time from its answer; False if it does not tell, or told already."""
        try:
            if (text := response.headers.get("x-log-time", "")).isdecimal():
                theirs = float(text)
            else:
                theirs = email.utils.parsedate_to_datetime(response.headers["date"]).timestamp()
        except (KeyError, TypeError, ValueError, OverflowError):
            return False
        skew = theirs - self._clock()
        learned = abs(skew - self._skew) > 60
        self._skew = skew
        return learned

    def _start_afresh(self) -> None:
        self._lock = threading.Lock()
        self._woken = threading.Event()
        self._closed = False
        self._idle: list[tuple[requests.Session, TimeLimit]] = []
        self._all: list[tuple[requests.Session, TimeLimit]] = []

    def _after_fork(self) -> None:
        self._inherited.append(
            self._all
        )  # neither closed nor freed: that takes locks which a thread of the parent may have held
        self._start_afresh()


def _read(raw: Any) -> bytes:
    """Read to the end: only there it shows that a connection was cut, whatever number of bytes is asked for."""
    parts: list[bytes] = []
    size = 0
    while part := raw.read(1 << 20, decode_content=False):
        parts.append(part)
        size += len(part)
        if size > LONGEST_ANSWER:
            raise ValueError(f"more than {LONGEST_ANSWER} bytes")
    return b"".join(parts)


class _LaterError(Exception):
    """What may succeed later, in ``after`` seconds if the server says so."""

    def __init__(self, error: LogServiceError, after: float | None = None) -> None:
        super().__init__(error)
        self.error = error
        self.after = after


def _pause(attempts: int) -> float:
    return float(min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(attempts - 1, 10)) * random_bits(32) / 2**32)


def _error(response: Response) -> LogServiceError:
    request_id = response.headers.get("x-log-requestid", "")
    try:
        found = json.loads(response.body)
        code, message = str(found["errorCode"]), str(found.get("errorMessage", ""))
    except (ValueError, KeyError, TypeError, AttributeError):
        code, message = (
            "BadResponse",
            f"status {response.status} and no error of Log Service; is something else at this address?",
        )
        if 400 <= response.status < 500:
            code = "ParameterInvalid"  # somebody refused: asking again does not help
    with contextlib.suppress(KeyError):
        message += f"; {_REMEDIES[code]}"
    return LogServiceError(code, message, status=response.status, request_id=request_id)


def _retry_after(response: Response) -> float | None:
    text = response.headers.get("retry-after", "").strip()
    return min(float(text[:9]), 300.0) if text.isascii() and text.isdigit() else None


def _why(error: BaseException) -> str:
    while (inner := error.__cause__ or error.__context__ or (error.args and error.args[0])) and isinstance(
        inner, BaseException
    ):
        error = inner
    return f"{type(error).__name__}: {getattr(error, 'strerror', None) or ''}".rstrip(": ")


def _as_it_is(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Stand for credentials where there are none: without an ``auth``, ``requests`` looks into ``.netrc``."""
    return request
