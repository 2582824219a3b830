"""What can be set about HTTP, for every library alike: what is ignored, who gets trace headers, what is captured, how spans are named, the hooks."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from sls_tracing.environment import read_texts
from sls_tracing.exceptions import ConfigurationError
from sls_tracing.hosts import ANY_HOST, Hosts
from sls_tracing.instrumentation._late_functions import late_function
from sls_tracing.patterns import Pattern
from sls_tracing.setting_values import boolean, listed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    import opentracing

    from sls_tracing.instrumentation._messages import HTTPRequest, HTTPResponse, Matches

__all__ = ["HTTP_VARIABLES", "PROBE_AGENTS", "PROBE_PATHS", "SERVER_ERRORS", "HTTPOptions"]

PROBE_PATHS = (
    "/health",
    "/health/*",
    "/healthz",
    "/healthz/*",
    "/healthcheck",
    "/healthcheck/*",
    "/health-check",
    "/health-check/*",
    "/health_check",
    "/health_check/*",
    "/livez",
    "/livez/*",
    "/readyz",
    "/readyz/*",
    "/metrics",
)
"""Where Kubernetes and Prometheus ask. Not ``/health*`` to the letter: a shop may sell ``/healthcare``."""

PROBE_AGENTS = ("kube-probe/",)

SERVER_ERRORS = frozenset(range(500, 600))
"""On either side. A 404 answered to a client is often what it asked to know (is it there?), so 4xx is no error by itself."""

_STATUSES = Pattern(r"([1-9][0-9]{2})(?:-([1-9][0-9]{2}))?")


@dataclass(frozen=True, kw_only=True)
class HTTPOptions:
    """Options of ``instrumentation.install(http=…)``. Where one is a sequence, a text alone is taken as one of them.

    What is ignored, and where trace headers go:

    - ``ignore_paths``: paths of requests that make no server span, in which ``*`` stands for anything; a mounted application's with its mount point.
    - ``ignore_user_agents``: how the ``User-Agent`` of such requests begins.
    - ``ignore_sampled``: ignore them also when they come with a sampled trace. Otherwise those are traced: somebody wants to see them, and the
      sidecar's spans would be there without ours.
    - ``ignore_urls``: addresses of requests that make no client span, in which ``*`` stands for anything: ``http://search:9200/*``. Credentials,
      query and fragment are not looked at. The context that is active goes along all the same: the traces behind stay whole.
    - ``propagate_to``, ``no_propagate_to``: hosts that get trace headers, as patterns of :class:`~sls_tracing.hosts.Hosts`; the second wins. A host
      without them gets nothing from the tracer: no ids, no decision, no baggage, no ``x-request-id``.

    What a span tells:

    - ``capture_request_headers``, ``capture_response_headers``: names of headers, in which ``*`` stands for anything, that become tags
      ``http.request.header.<name>`` and ``http.response.header.<name>``, on servers and clients. What looks like a credential keeps its name only.
    - ``redact_headers``: names of more headers whose values are never kept.
    - ``server_error_statuses``, ``client_error_statuses``: which statuses are errors: numbers, and ranges such as ``"400-499"``. 500 to 599 by default.
    - ``span_name(request, route)`` returns the span's name, or None for the usual one. ``request`` is an :class:`HTTPRequest`; ``route`` is the
      route's template, None on clients and where none matched. Mind that names must be few.
    - ``request_hook(span, request)`` is called before a request is handled or sent, ``response_hook(span, request, response)`` when the status is known;
      ``response`` is an :class:`HTTPResponse`. Both may set tags; what they raise is counted (``guard_failures_instrumentation_hook``) and logged.

    What an ignored request calls is not sampled, and says so: neither the next service nor its sidecar begins a trace for a probe.
    Raises :class:`ConfigurationError`.
    """

    ignore_paths: Iterable[str] = PROBE_PATHS
    ignore_user_agents: Iterable[str] = PROBE_AGENTS
    ignore_sampled: bool = False
    propagate_to: Iterable[str] | Hosts = field(default=ANY_HOST)
    no_propagate_to: Iterable[str] | Hosts = field(default=Hosts())
    ignore_urls: Iterable[str] = ()
    capture_request_headers: Iterable[str] = ()
    capture_response_headers: Iterable[str] = ()
    redact_headers: Iterable[str] = ()
    server_error_statuses: Iterable[int | str] = SERVER_ERRORS
    client_error_statuses: Iterable[int | str] = SERVER_ERRORS
    span_name: Callable[[HTTPRequest, str | None], str | None] | None = None
    request_hook: Callable[[opentracing.Span, HTTPRequest], object] | None = None
    response_hook: Callable[[opentracing.Span, HTTPRequest, HTTPResponse], object] | None = None

    def __post_init__(self) -> None:
        paths, agents = _texts("ignore_paths", self.ignore_paths), _texts("ignore_user_agents", self.ignore_user_agents)
        for path in paths:
            if not path.startswith(("/", "*")):
                raise ConfigurationError(f"ignore_paths: {path!r} is no path; it begins with / or *")
        for name in ("span_name", "request_hook", "response_hook"):
            if not callable(getattr(self, name) or callable):
                raise ConfigurationError(f"{name} must be a function or None, not {getattr(self, name)!r:.100}")
        fields: dict[str, object] = {
            "ignore_paths": paths,
            "ignore_user_agents": agents,
            "ignore_urls": _urls(self.ignore_urls),
            "capture_request_headers": _names("capture_request_headers", self.capture_request_headers),
            "capture_response_headers": _names("capture_response_headers", self.capture_response_headers),
            "redact_headers": _names("redact_headers", self.redact_headers),
            "server_error_statuses": _statuses("server_error_statuses", self.server_error_statuses),
            "client_error_statuses": _statuses("client_error_statuses", self.client_error_statuses),
            "propagate_to": _hosts(self.propagate_to),
            "no_propagate_to": _hosts(self.no_propagate_to),
        }
        for name, value in fields.items():
            object.__setattr__(self, name, value)  # frozen for everybody else

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> HTTPOptions:
        """Return what the variables of ``HTTP_VARIABLES`` say (``os.environ`` if None). Raises :class:`ConfigurationError`."""
        options: dict[str, Any] = {}
        for name, text in read_texts(HTTP_VARIABLES, environ).items():
            option, read = HTTP_VARIABLES[name]
            try:
                options[option] = read(text)
                cls(**{option: options[option]})
            except ValueError as error:
                raise ConfigurationError(f"{name}={text!r:.200} cannot be used: {error}") from None
        return cls(**options)

    def ignores(self, path: str, user_agent: str) -> bool:
        """Whether a request is noise."""
        if self._ignored_path(path) is not None:
            return True
        return isinstance(user_agent, str) and user_agent.startswith(self.ignore_user_agents)  # type: ignore[arg-type]

    def propagates_to(self, host: str) -> bool:
        """Whether ``host`` (in lower case, without port) gets trace headers."""
        return self.propagates_to_all or (host in self.propagate_to and host not in self.no_propagate_to)

    @cached_property
    def propagates_to_all(self) -> bool:
        """Whether no host is left out: asked first, it spares a call."""
        return self.propagate_to == ANY_HOST and self.no_propagate_to == Hosts()

    def ignores_url(self, url: str) -> bool:
        """Whether a request to ``url`` makes no client span."""
        if not self.ignore_urls:
            return False
        return self._ignored_url(_ADDRESS.sub(r"\1\2", url)) is not None

    @cached_property
    def captured_request_header(self) -> Matches | None:
        """What tells whether a request's header is captured, by its name in lower case; None if none is."""
        return _any_of(self.capture_request_headers) if self.capture_request_headers else None

    @cached_property
    def captured_response_header(self) -> Matches | None:
        """The same for a response's."""
        return _any_of(self.capture_response_headers) if self.capture_response_headers else None

    @cached_property
    def watches_requests(self) -> bool:
        """Whether something is wanted of a client's request beyond its tags: headers, hooks, a name."""
        return bool(self.capture_request_headers or self.request_hook or self.response_hook or self.span_name)

    @cached_property
    def redacted_header(self) -> Matches:
        """What tells whether a captured header's value is hidden, beyond those whose names tell of a secret."""
        return _any_of(self.redact_headers)

    @cached_property
    def _ignored_path(self) -> Matches:
        return _any_of(self.ignore_paths)

    @cached_property
    def _ignored_url(self) -> Matches:
        return _any_of(self.ignore_urls)


_ADDRESS = Pattern(r"(?s)^([^:/?#]+://)?(?:[^/?#]*@)?([^?#]*).*")
"""A URL, to be replaced by its scheme, host, port and path."""


def _any_of(patterns: Iterable[str]) -> Matches:
    expressions = (".*".join(map(re.escape, pattern.split("*"))) for pattern in patterns)
    return re.compile("|".join(expressions) or r"(?!)", re.DOTALL).fullmatch


def _texts(option: str, value: Any) -> tuple[str, ...]:
    try:
        return listed([value] if isinstance(value, str) else tuple(value))
    except (TypeError, ValueError):
        raise ConfigurationError(f"{option} must be a sequence of texts, not {value!r:.100}") from None


def _urls(value: Any) -> tuple[str, ...]:
    urls = _texts("ignore_urls", value)
    for url in urls:
        if "://" not in url and not url.startswith("*"):
            raise ConfigurationError(f"ignore_urls: {url!r} is no address; it begins with http://, https:// or *")
    return urls


def _names(option: str, value: Any) -> tuple[str, ...]:
    return tuple(name.lower() for name in _texts(option, value))


def _statuses(option: str, value: Any) -> frozenset[int]:
    each = [value] if isinstance(value, (str, int)) else value
    try:
        ranges = [None if isinstance(one, bool) else _STATUSES.fullmatch(str(one).strip()) for one in each]
    except TypeError:  # it is no sequence
        ranges = [None]
    if None in ranges:
        msg = f"{option} must be statuses and ranges of them, such as 503 and '400-499', not {value!r:.100}"
        raise ConfigurationError(msg)
    return frozenset(code for one in ranges if one for code in range(int(one[1]), int(one[2] or one[1]) + 1))


def _hosts(value: Iterable[str] | Hosts) -> Hosts:
    return value if isinstance(value, Hosts) else Hosts(value)


def _listed_or_none(text: str) -> tuple[str, ...]:
    return () if text.lower() == "none" else listed(text)


HTTP_VARIABLES: dict[str, tuple[str, Callable[[str], Any]]] = {
    "SLS_TRACING_HTTP_IGNORE_PATHS": ("ignore_paths", _listed_or_none),
    "SLS_TRACING_HTTP_IGNORE_USER_AGENTS": ("ignore_user_agents", _listed_or_none),
    "SLS_TRACING_HTTP_IGNORE_SAMPLED": ("ignore_sampled", boolean),
    "SLS_TRACING_HTTP_PROPAGATE_TO": ("propagate_to", _listed_or_none),
    "SLS_TRACING_HTTP_NO_PROPAGATE_TO": ("no_propagate_to", _listed_or_none),
    "SLS_TRACING_HTTP_IGNORE_URLS": ("ignore_urls", _listed_or_none),
    "SLS_TRACING_HTTP_CAPTURE_REQUEST_HEADERS": ("capture_request_headers", _listed_or_none),
    "SLS_TRACING_HTTP_CAPTURE_RESPONSE_HEADERS": ("capture_response_headers", _listed_or_none),
    "SLS_TRACING_HTTP_REDACT_HEADERS": ("redact_headers", _listed_or_none),
    "SLS_TRACING_HTTP_SERVER_ERROR_STATUSES": ("server_error_statuses", _listed_or_none),
    "SLS_TRACING_HTTP_CLIENT_ERROR_STATUSES": ("client_error_statuses", _listed_or_none),
    "SLS_TRACING_HTTP_SPAN_NAME": ("span_name", late_function),
    "SLS_TRACING_HTTP_REQUEST_HOOK": ("request_hook", late_function),
    "SLS_TRACING_HTTP_RESPONSE_HOOK": ("response_hook", late_function),
}
"""Variables, the option that each one fills, and how it is read: several with commas, ``none`` for none; a function as ``module:function``."""
