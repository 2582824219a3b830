"""Posting a body until the server takes it, refuses it, or the time is over: what every HTTP sender shares.

- A request that did not get through (refused, cut, timed out) or met an answer that says "later" is made again, after pauses of
  0.5, 1, 2, … seconds with jitter, or the server's ``Retry-After``. The pause belongs to the server, not to the batch: where one
  batch has failed, the next waits before its first attempt, so a server that is down gets no burst.
- A request that was cut **after** it had been sent may have been taken: it is made again all the same, so spans may arrive twice. Readers
  de-duplicate by trace and span id; a span that is missing cannot be repaired. Nothing else is sent twice.
- :meth:`HTTPPoster.stop_at` bounds all of that by a deadline, :meth:`HTTPPoster.close` ends it; both from any thread.

Nothing traces these requests (``suppress``, and ``b3: 0`` for a sidecar). Redirects are refused: they would carry spans and credentials
elsewhere. Proxy variables and ``REQUESTS_CA_BUNDLE`` count, as in any client of ``requests``, but no proxy comes between us and
a loopback address, and ``.netrc`` never counts: no credentials go out but those that were given.
"""

from __future__ import annotations

import contextlib
import email.utils
import ssl
import threading
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from sls_tracing.exceptions import ConfigurationError
from sls_tracing.http_connection import TimeLimit, exchanging, make_adapter, quieten_urllib3
from sls_tracing.identifiers import random_bits
from sls_tracing.metrics import Counters, counters
from sls_tracing.suppression import suppress

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import requests

    from sls_tracing.senders.http_target import Target
    from sls_tracing.senders.http_tls import TLS

__all__ = ["Answer", "HTTPPoster", "is_transient"]

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 16.0
LONGEST_OBEYED = 300.0
"""Seconds of a ``Retry-After`` that are obeyed at most: no server may silence a client for good."""

_MOST_OF_ANSWER = 1 << 16
_EXCERPT = 200
_NO_PROXY: Any = {"http": None, "https": None, "all": None}  # a key that is there keeps the variables out


class Answer(NamedTuple):
    """What came of a post. ``reason`` is empty if the server took it; ``status`` is 0 if it never answered."""

    status: int
    reason: str = ""
    body: bytes = b""
    transient: bool = False
    retry_after: float | None = None


def is_transient(status: int) -> bool:
    """Return whether the same request may succeed later: too slow, too many, or the server's own trouble (501 is for good)."""
    return status in (408, 429) or (500 <= status < 600 and status != 501)


class HTTPPoster:
    """Posts to one target, over connections that are kept. ``timeout``: seconds of one exchange. ``retry_for``: of all attempts."""

    def __init__(
        self,
        target: Target,
        *,
        tls: TLS,
        timeout: float,
        retry_for: float,
        transient: Callable[[int], bool] = is_transient,
        counters: Counters = counters,
    ) -> None:
        for name, value, least in (("timeout", timeout, 0.001), ("retry_for", retry_for, 0)):
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not least <= value <= 3600:
                raise ConfigurationError(f"{name} must be a number of seconds from {least} to 3600, not {value!r}")
        tls.check()
        self.target = target
        self._tls = tls
        self._timeout = timeout
        self._retry_for = retry_for
        self._transient = transient
        self._counters = counters
        self._inherited: list[object] = []
        self._session: requests.Session | None = None
        self._start_afresh()
        # All that an exchange imports is imported here. A process that forks while a background thread imports leaves the child with a
        # module lock that nobody releases; Python's look-up of names imports, too.
        import encodings.idna  # noqa: F401

        make_adapter(self._limit)
        quieten_urllib3()

    def post(self, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Return the last answer. Never raises for what the network or the server does."""
        give_up_at = time.monotonic() + self._retry_for
        answer = Answer(0, "no time left")
        attempts = 0
        while self._wait_for_turn(give_up_at):
            answer = self._exchange(body, headers)
            attempts += 1
            if not answer.transient:
                self._failures = 0
                break
            self._failures += 1
            self._plan_pause(answer.retry_after)
        if attempts > 1:
            self._counters.add("sender_http_retries", attempts - 1)
        return answer

    @property
    def pause_left(self) -> float:
        """Seconds until the server is asked again; 0 unless the last answer told to come later."""
        return max(0.0, self._next_turn - time.monotonic())

    def stop_at(self, deadline: float) -> None:
        """Let nothing last longer than until ``deadline``, in seconds of ``time.monotonic``; what waits is tried once more at once."""
        self._limit.stop_at = deadline
        if not self._obeying:
            self._next_turn = 0.0
        self._woken.set()

    def close(self) -> None:
        """End what is going on, in another thread for one, and refuse what comes later. Never waits."""
        self._limit.cut = True
        self._woken.set()
        self._release()

    def after_fork(self) -> None:
        """Forget the parent's connections, without a word on them."""
        # Not closed, and not even freed: urllib3's pools take locks for either, which a thread of the parent may have held.
        if self._session is not None:
            self._inherited.append(self._session)
        self._start_afresh()

    def _start_afresh(self) -> None:
        self._session = None
        self._limit = TimeLimit()
        self._busy = threading.Lock()
        self._woken = threading.Event()
        self._failures = 0
        self._next_turn = 0.0
        self._obeying: bool = False  # whether the pause is a Retry-After

    # -- when ----------------------------------------------------------------------------------------------------------

    def _wait_for_turn(self, give_up_at: float) -> bool:
        """Wait for the end of the pause; False if that is too far away, or the poster closed."""
        while True:
            now = time.monotonic()
            if self._limit.cut or now >= self._limit.stop_at:
                return False
            if now >= self._next_turn:
                self._obeying = False
                return True
            if self._next_turn > min(give_up_at, self._limit.stop_at):
                return False
            self._woken.wait(self._next_turn - now)
            self._woken.clear()

    def _plan_pause(self, retry_after: float | None) -> None:
        jitter = 0.75 + 0.5 * random_bits(32) / 2**32
        pause = min(FIRST_PAUSE * 2.0 ** min(self._failures - 1, 10), LONGEST_PAUSE) * jitter
        self._obeying = retry_after is not None
        if retry_after is not None:
            pause = max(pause, min(retry_after, LONGEST_OBEYED))
        self._next_turn = time.monotonic() + pause

    # -- one exchange --------------------------------------------------------------------------------------------------

    def _exchange(self, body: bytes, headers: Mapping[str, str]) -> Answer:
        ours = exchanging.set(True)
        try:
            with self._busy, suppress():
                return self._ask(body, headers)
        finally:
            exchanging.reset(ours)
            if self._limit.cut:
                self._release()

    def _ask(self, body: bytes, headers: Mapping[str, str]) -> Answer:
        import requests
        import urllib3

        self._limit.start(self._timeout)
        try:
            with self._open_session().post(
                self.target.url,
                data=body,
                headers=dict(headers),
                timeout=self._limit.left(),
                stream=True,
                allow_redirects=False,
                verify=self._tls.ca or self._tls.verify,
                cert=self._tls.cert,
                proxies=_NO_PROXY if self.target.is_loopback else None,
            ) as response:
                return self._read(response)
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            cause = _cause(error)
            # Nothing else of it is shown: messages of `requests` hold the whole URL.
            reason = f"{type(cause).__name__}: {getattr(cause, 'strerror', None) or ''}".rstrip(": ")
            return Answer(0, reason, transient=not isinstance(cause, ssl.SSLCertVerificationError))

    def _open_session(self) -> requests.Session:
        if self._session is None:
            import requests

            session = self._session = requests.Session()
            session.headers.clear()  # requests' own: it would ask for compressed answers
            session.headers.update({"Accept-Encoding": "identity", "b3": "0", **self.target.headers})
            session.auth = _as_it_is
            session.get_redirect_target = _nowhere  # type: ignore[assignment]
            session.mount("http://", adapter := make_adapter(self._limit))
            session.mount("https://", adapter)
        return self._session

    def _read(self, response: requests.Response) -> Answer:
        import urllib3

        status = response.status_code
        body = b""
        # The status decides. What becomes of the body changes nothing: a batch that was taken is not sent again.
        with contextlib.suppress(urllib3.exceptions.HTTPError, OSError, ValueError):
            body = response.raw.read(_MOST_OF_ANSWER, decode_content=False) or b""
            if response.raw.read(1, decode_content=False):
                response.raw.close()  # longer than anything sensible: not worth keeping the connection for
        if 200 <= status < 300:
            return Answer(status, body=body)
        if 300 <= status < 400:
            return Answer(status, f"status {status}, a redirect; set the URL that it leads to")
        said = self._excerpt(body)
        retry_after = _seconds(response.headers.get("Retry-After")) if self._transient(status) else None
        return Answer(status, f"status {status}{said}", body, self._transient(status), retry_after)

    def _excerpt(self, body: bytes) -> str:
        """Return the beginning of what the server said, on one line, without our secrets."""
        text = self.target.hide_secrets(body.decode("utf-8", "replace"))
        text = " ".join("".join(each if each.isprintable() else " " for each in text[: 4 * _EXCERPT]).split())
        return f": {text[:_EXCERPT]}" if text else ""

    def _release(self) -> None:
        """Close the connections, unless an exchange is going on: then its own thread does, when it ends."""
        if self._busy.acquire(blocking=False):
            try:
                if self._session is not None:
                    self._session.close()
                    self._session = None
            finally:
                self._busy.release()


def _cause(error: BaseException) -> BaseException:
    """Return what the system said first, or else what began it. urllib3 keeps some reasons as an argument only."""
    system = None
    while True:
        if isinstance(error, OSError) and error.strerror:
            system = error
        inner = error.__cause__ or error.__context__ or (error.args and error.args[0])
        if not isinstance(inner, BaseException):
            return system or error
        error = inner


def _as_it_is(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Stand for credentials where there are none: without an ``auth``, ``requests`` looks into ``.netrc``."""
    return request


def _nowhere(response: object) -> None:
    """Stand for the way to a redirect's target: ``requests`` reads such an answer's body without any bound to get there."""


def _seconds(retry_after: str | None) -> float | None:
    """Return what a ``Retry-After`` says, in seconds from now: it is a number of them or a date (RFC 9110, section 10.2.3)."""
    if not retry_after:
        return None
    text = retry_after.strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    except (TypeError, ValueError, OverflowError, IndexError):
        return None
