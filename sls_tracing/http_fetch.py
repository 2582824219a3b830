"""One small JSON document from a server that may be slow, hostile or gone.

    fetcher = JSONFetcher(agent_url("::1", 5778, "/sampling"), timeout=10.0)
    strategies = fetcher.fetch({"service": "productpage"})          # or FetchError

The remote sampler, the throttler and the baggage restrictions ask this way, each from a background thread. Bounds: ``timeout`` seconds
for everything from the first byte sent to the last received (``requests`` alone bounds each read, so a server that drips
a byte a second could hold the thread for ever), and ``MAX_ANSWER_BYTES``.

Nothing traces these requests: they run under :func:`~sls_tracing.suppression.suppress` and carry ``b3: 0`` for a sidecar.
Redirects are refused: an agent sends none, and ``requests`` reads a redirect's body without any bound, even when told not to follow it.
Proxy variables count, as in any client of ``requests``, but never for a loopback address: a process-wide ``HTTP_PROXY`` must not
carry the question to the agent on this host out of the host.
"""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from sls_tracing.exceptions import ConfigurationError, TracingError
from sls_tracing.forks import call_in_child, held
from sls_tracing.suppression import suppress

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from urllib.parse import SplitResult

    import requests

__all__ = ["MAX_ANSWER_BYTES", "FetchAbortedError", "FetchError", "JSONFetcher", "agent_url"]

MAX_ANSWER_BYTES = 1 << 20
"""Two thousand operations with names of 400 bytes fit; that is what a client remembers."""

# A key that is there keeps the variables out. Not Session.trust_env = False, which would keep out REQUESTS_CA_BUNDLE too.
_NO_PROXY: Any = {"http": None, "https": None, "all": None}

_HEADERS = {"Accept": "application/json", "Accept-Encoding": "identity", "Connection": "close", "b3": "0"}


class FetchError(TracingError):
    """No usable answer. The message says why, without the URL's credentials and query."""


class FetchAbortedError(FetchError):
    """It was us who ended the exchange: nothing to count or to log."""


def agent_url(host: str, port: int, path: str) -> str:
    """Return ``http://host:port/path``; an IPv6 literal is bracketed, its zone escaped (RFC 6874)."""
    if ":" in host and not host.startswith("["):
        host = "[" + host.replace("%", "%25") + "]"
    return f"http://{host}:{port}{path}"


class JSONFetcher:
    """Asks one URL, again and again. ``timeout`` is in seconds, for the whole exchange; ``token`` is a bearer token, ``ca`` a PEM file of whom to trust.

    ``requests`` is imported here and not by the first question: that one is asked by a background thread, and a process that
    forks while a thread imports leaves the child with a module lock that nobody releases.
    """

    def __init__(
        self, url: str, *, timeout: float = 10.0, max_bytes: int = MAX_ANSWER_BYTES, token: str = "", ca: str = ""
    ) -> None:
        if (
            isinstance(timeout, bool)
            or not isinstance(timeout, (int, float))
            or not 0 < timeout <= threading.TIMEOUT_MAX
        ):
            msg = f"the timeout must be a number of seconds above 0, not {timeout!r}"
            raise ConfigurationError(msg)
        self._parts, self._loopback = _check(url)
        self.shown_url = self._parts._replace(netloc=self._parts.netloc.rpartition("@")[2], query="").geturl()
        """For messages: without user, password and query."""
        self._timeout = timeout
        self._max_bytes = max_bytes
        self._headers = {**_HEADERS, "Authorization": f"Bearer {token}"} if token else _HEADERS
        self._ca = ca
        self._limit: _TimeLimit | None = None
        self._aborted = False
        _adapter_class()
        call_in_child(self._forget)

    def fetch(self, parameters: Mapping[str, str] | Sequence[tuple[str, str]]) -> Any:
        """Return the answer's JSON. The URL's own query stays, and beats a parameter of the same name. Raises :class:`FetchError`."""
        limit = self._limit = _TimeLimit(self._timeout)
        # After the limit is known: an abort that comes at this moment finds either the mark read here or a limit to cut.
        if self._aborted:
            raise FetchAbortedError
        try:
            with suppress(), limit:
                return _read_json(self._get(self._with_query(parameters), limit))
        except FetchError as error:
            if self._aborted:
                raise FetchAbortedError from error
            raise
        finally:
            self._limit = None

    def abort(self) -> None:
        """Cut the exchange that is going on, and refuse later ones. Called from another thread."""
        self._aborted = True
        limit = self._limit
        if limit is not None:
            limit.cut()

    def _forget(self) -> None:
        # What a thread of the parent asks at the moment of the fork is the parent's: cutting it here would cut it there.
        self._limit = None

    def _get(self, url: str, limit: _TimeLimit) -> bytes:
        import requests
        import urllib3

        try:
            with requests.Session() as session:
                session.get_redirect_target = _nowhere  # type: ignore[assignment]
                session.mount("http://", adapter := _adapter_class()(limit))
                session.mount("https://", adapter)
                with session.get(
                    url,
                    headers=self._headers,
                    auth=_as_it_is if self._headers is not _HEADERS else None,  # else .netrc would beat the token
                    verify=self._ca or True,
                    timeout=self._timeout,
                    stream=True,
                    allow_redirects=False,
                    proxies=_NO_PROXY if self._loopback else None,
                ) as response:
                    _check_head(response)
                    body = _read_body(response, self._max_bytes)
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            msg = limit.reason() or _root_cause(error)
            raise FetchError(msg) from error
        # A connection that was cut looks like a body that ended, where the server gave no length.
        if reason := limit.reason():
            raise FetchError(reason)
        return body

    def _with_query(self, parameters: Mapping[str, str] | Sequence[tuple[str, str]]) -> str:
        own = {name for name, _ in parse_qsl(self._parts.query, keep_blank_values=True)}
        pairs = parameters if not hasattr(parameters, "items") else parameters.items()
        added = urlencode([(name, value) for name, value in pairs if name not in own], errors="replace")
        return self._parts._replace(query="&".join(filter(None, (self._parts.query, added)))).geturl()


def _as_it_is(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


class _TimeLimit:
    """Cuts the connections of one exchange when its time is up.

    It holds duplicates of the descriptors: TLS takes a socket over and leaves the original empty, but shutting down any duplicate ends
    the connection, and wakes the thread that reads from it, under gevent too.
    """

    def __init__(self, seconds: float) -> None:
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        self._seconds = seconds
        self._reason = ""
        self._timer = threading.Timer(seconds, self.cut, [f"no complete answer within {seconds:g} seconds"])
        self._timer.name = "sls-tracing-time-limit"
        self._timer.daemon = True

    def __enter__(self) -> None:
        try:
            self._timer.start()
        except RuntimeError as error:
            msg = "no thread can be started; the interpreter is shutting down, or the system has no more"
            raise FetchError(msg) from error

    def __exit__(self, *error: object) -> None:
        self._timer.cancel()
        with self._lock:
            for duplicate in self._sockets:
                duplicate.close()
            self._sockets.clear()

    def watch(self, connection: socket.socket) -> None:
        """Cut ``connection`` too, when the time comes, or at once if it has."""
        with self._lock:
            # Not connection.dup(), which TLS sockets refuse.
            self._sockets.append(socket.fromfd(connection.fileno(), connection.family, connection.type))
        if self._reason:
            self.cut(self._reason)

    def cut(self, reason: str = "closed") -> None:
        """End the exchange now."""
        self._reason = self._reason or reason
        with self._lock:
            for duplicate in self._sockets:
                with contextlib.suppress(OSError):  # the server was quicker
                    duplicate.shutdown(socket.SHUT_RDWR)

    def reason(self) -> str:
        """Why the exchange was cut; empty if it was not."""
        return self._reason


@cache
def _adapter_class() -> Any:
    """Return the class of a ``requests`` adapter that shows each new connection to a time limit. Late, as ``requests`` itself."""
    import requests.adapters
    import urllib3.connection
    import urllib3.connectionpool

    class Adapter(requests.adapters.HTTPAdapter):
        def __init__(self, limit: _TimeLimit) -> None:
            class Holding:
                def _new_conn(self) -> Any:
                    with held():  # it looks the name up
                        return super()._new_conn()  # type: ignore[misc]

            class Connection(Holding, urllib3.connection.HTTPConnection):
                def connect(self) -> None:
                    super().connect()
                    limit.watch(self.sock)

            class SecureConnection(Holding, urllib3.connection.HTTPSConnection):
                def connect(self) -> None:
                    super().connect()
                    limit.watch(self.sock)

            class Pool(urllib3.connectionpool.HTTPConnectionPool):
                ConnectionCls = Connection

            class SecurePool(urllib3.connectionpool.HTTPSConnectionPool):
                ConnectionCls = SecureConnection

            self._pools = {"http": Pool, "https": SecurePool}
            super().__init__()
            self.poolmanager.pool_classes_by_scheme = self._pools

        def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
            manager = super().proxy_manager_for(proxy, **options)
            manager.pool_classes_by_scheme = self._pools
            return manager

    return Adapter


def _check(url: str) -> tuple[SplitResult, bool]:
    """Return the URL's parts, and whether its host is this one. Raises :class:`ConfigurationError`."""
    remedy = "write it like http://localhost:5778/sampling"
    try:
        parts = urlsplit(url)
        host, _port = parts.hostname, parts.port  # reading the port checks it
    except (ValueError, AttributeError, TypeError) as error:
        msg = f"the URL is not valid ({error}); {remedy}"
        raise ConfigurationError(msg) from None
    if parts.scheme not in ("http", "https") or not host or not url.isprintable() or " " in url:
        msg = f"the URL needs http:// or https:// and a host, and no spaces; {remedy}"
        raise ConfigurationError(msg)
    return parts._replace(fragment=""), _is_loopback(host)


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    import ipaddress

    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def _nowhere(response: requests.Response) -> None:
    """Tell a session that no response redirects, so that it leaves the body alone; :func:`_check_head` refuses by the status."""


def _check_head(response: requests.Response) -> None:
    status = response.status_code
    if 300 <= status < 400:
        msg = f"status {status}, a redirect; set the URL that it leads to"
        raise FetchError(msg)
    if status != 200:
        msg = f"status {status}"
        raise FetchError(msg)
    encoding = response.headers.get("Content-Encoding", "identity")
    if encoding.lower() != "identity":  # never asked for; a few kilobytes can unpack to gigabytes
        msg = f"the answer is compressed ({encoding[:20]!r}), which was not asked for"
        raise FetchError(msg)


def _read_body(response: requests.Response, max_bytes: int) -> bytes:
    body = b""
    while len(body) <= max_bytes:
        chunk = response.raw.read(max_bytes + 1 - len(body), decode_content=False)
        if not chunk:
            return body
        body += chunk
    msg = f"the answer is longer than {max_bytes} bytes"
    raise FetchError(msg)


def _read_json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        msg = f"the answer is not JSON: {type(error).__name__}"
        raise FetchError(msg) from error


def _root_cause(error: BaseException) -> str:
    """Return the innermost reason. Messages of ``requests`` show the whole URL, and its query may hold a token."""
    while (inner := error.__cause__ or (None if error.__suppress_context__ else error.__context__)) is not None:
        error = inner
    text = error.strerror if isinstance(error, OSError) and error.strerror else ""
    if isinstance(error, TimeoutError) and not text:
        return "timed out"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
