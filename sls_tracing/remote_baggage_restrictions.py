"""Baggage restrictions that a server names, in Jaeger's protocol."""

from __future__ import annotations

from collections.abc import Mapping

from sls_tracing.baggage_restrictions import (
    DEFAULT_MAX_ITEMS,
    DEFAULT_MAX_VALUE_LENGTH,
    DENIED,
    Restriction,
    check_whole_number,
)
from sls_tracing.exceptions import ConfigurationError
from sls_tracing.http_fetch import FetchAbortedError, FetchError, JSONFetcher, agent_url
from sls_tracing.metrics import Counters, counters
from sls_tracing.polling import Poller, polling_log

__all__ = ["RemoteBaggageRestrictions"]

_LOG_KIND = "remote baggage restrictions"


class RemoteBaggageRestrictions:
    """The keys that a server names, asked at once and then every ``refresh_interval`` seconds from a background thread.

    ``GET /baggageRestrictions?service=S`` answers ``[{"baggageKey": "tenant", "maxValueLength": 64}]``. A key that it does not name is
    denied. Before the first good answer every key is allowed with the default length, or denied if ``deny_until_known`` (Go's
    ``denyBaggageOnInitializationFailure``). Jaeger's own agent answers 500 to this question, so it needs a server of your own.

    ``url``: whom to ask; if None, ``http://host:port/baggageRestrictions``. A wrong answer changes nothing. Counted as
    ``baggage_restrictions_updates_ok`` and ``baggage_restrictions_updates_failed``. The thread starts with the first item.
    """

    def __init__(
        self,
        service_name: str,
        *,
        url: str | None = None,
        host: str = "localhost",
        port: int = 5778,
        refresh_interval: float = 60.0,
        deny_until_known: bool = False,
        max_items: int = DEFAULT_MAX_ITEMS,
        timeout: float = 10.0,
        counters: Counters = counters,
    ) -> None:
        self.service_name = service_name
        self.max_items = check_whole_number("max_items", max_items)
        self._counters = counters
        unknown = DENIED if deny_until_known else Restriction(True, DEFAULT_MAX_VALUE_LENGTH)
        # Both in one assignment, since the background thread changes them: the known keys, and what holds for any other.
        self._current: tuple[Mapping[str, Restriction], Restriction] = ({}, unknown)
        self._fetcher = JSONFetcher(
            url if url is not None else agent_url(host, port, "/baggageRestrictions"), timeout=timeout
        )
        self._poller = Poller("baggage-restrictions", self._poll, refresh_interval, self._fetcher.abort)

    def restriction(self, service_name: str, key: str) -> Restriction:
        """Return what the server said last. Takes no lock and never waits."""
        if not self._poller.started:
            self._poller.start()
        known, other = self._current
        return known.get(key, other)

    def close(self) -> None:
        """Stop asking; what is known stays in force."""
        self._poller.close()

    def _poll(self) -> bool:
        try:
            known = _read_restrictions(self._fetcher.fetch({"service": self.service_name}))
        except FetchAbortedError:
            return False
        except (FetchError, ConfigurationError) as error:
            self._counters.add("baggage_restrictions_updates_failed")
            polling_log.warning(_LOG_KIND, "no baggage restrictions from %s (%s)", self._fetcher.shown_url, error)
            return False
        self._current = (known, DENIED)
        self._counters.add("baggage_restrictions_updates_ok")
        polling_log.recovered(_LOG_KIND, "baggage restrictions come again from %s", self._fetcher.shown_url)
        return True


def _read_restrictions(answer: object) -> dict[str, Restriction]:
    """Read the answer. Raises :class:`ConfigurationError`."""
    if not isinstance(answer, list):
        msg = f"the answer must be a list, not {type(answer).__name__}"
        raise ConfigurationError(msg)
    known = {}
    for each in answer:
        key = each.get("baggageKey") if isinstance(each, Mapping) else None
        if not isinstance(key, str):
            msg = "a restriction names no baggageKey"
            raise ConfigurationError(msg)
        known[key] = Restriction(True, check_whole_number("maxValueLength", each.get("maxValueLength")))
    return known
