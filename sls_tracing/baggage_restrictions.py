"""Which baggage a service may set, and how long its values may be.

Baggage goes on with every request to every service behind, so one careless item is paid for by all of them.

    DefaultBaggageRestrictions()                       every key, values cut to 2048 bytes, 180 items
    FixedBaggageRestrictions({"tenant": 64})           these keys and no others
    RemoteBaggageRestrictions("productpage")           the keys that a server names (Jaeger's protocol)

A manager answers for one key; :func:`limit_item` applies the answer to a value and counts what it did. Items that come in from
outside are bounded by the propagators, not here: a middle service must pass on what others agreed upon.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple, Protocol

from sls_tracing.exceptions import ConfigurationError
from sls_tracing.guard import Guard, limited_log
from sls_tracing.lazy import lazily
from sls_tracing.metrics import Counters, counters

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sls_tracing.remote_baggage_restrictions import RemoteBaggageRestrictions

__all__ = [
    "BaggageRestrictions",
    "DefaultBaggageRestrictions",
    "FixedBaggageRestrictions",
    "LimitedItem",
    "RemoteBaggageRestrictions",
    "Restriction",
    "limit_item",
]

DEFAULT_MAX_VALUE_LENGTH = 2048
"""Bytes, as in Jaeger's Go client (internal/baggage)."""
DEFAULT_MAX_ITEMS = 180
"""As many as the propagators read from one request: more would be lost on the way in."""

_guard = Guard("baggage_restrictions")


class Restriction(NamedTuple):
    """Whether a key may be set, and the bytes of UTF-8 that its value may have."""

    allowed: bool
    max_length: int


DENIED = Restriction(False, 0)


class BaggageRestrictions(Protocol):
    """Answers for each key that an application sets."""

    max_items: int
    """How many items a context may have; a new key beyond that is refused."""

    def restriction(self, service_name: str, key: str) -> Restriction:
        """Return the restriction of ``key``. Runs on the application's path: be quick."""
        ...

    def close(self) -> None:
        """Release what the manager holds."""
        ...


class LimitedItem(NamedTuple):
    """What is left of an item: its value, or None if it was refused."""

    value: str | None
    truncated: bool


def limit_item(
    restrictions: BaggageRestrictions,
    service_name: str,
    key: str,
    value: str,
    baggage: Mapping[str, str],
    counters: Counters = counters,
) -> LimitedItem:
    """Apply ``restrictions`` to an item that is to be added to ``baggage``. Never raises.

    Counted with the names of Jaeger's Go client: ``baggage_updates_ok``, ``baggage_updates_failed``, ``baggage_truncations``.
    """
    allowed, max_length = _guard.call(DENIED, restrictions.restriction, service_name, key)
    if not allowed or (key not in baggage and len(baggage) >= restrictions.max_items):
        counters.add("baggage_updates_failed")
        why = "it would be one item too many" if allowed else "the restrictions do not allow the key"
        limited_log.warning("baggage " + why, "baggage item %.100r was not set: %s", key, why)
        return LimitedItem(None, False)
    counters.add("baggage_updates_ok")
    cut = _truncate(value, max_length)
    if cut != value:
        counters.add("baggage_truncations")
        return LimitedItem(cut, True)
    return LimitedItem(value, False)


def _truncate(text: str, max_bytes: int) -> str:
    """Cut to ``max_bytes`` of UTF-8, as Go's client does, but never inside a character."""
    if text.isascii():
        return text[:max_bytes]
    data = text[: max_bytes + 1].encode("utf-8", "surrogatepass")
    return text if len(data) <= max_bytes else data[:max_bytes].decode("utf-8", "ignore")


class DefaultBaggageRestrictions:
    """Every key, with values up to ``max_value_length`` bytes."""

    def __init__(self, max_value_length: int = DEFAULT_MAX_VALUE_LENGTH, *, max_items: int = DEFAULT_MAX_ITEMS) -> None:
        self.max_items = check_whole_number("max_items", max_items)
        self._restriction = Restriction(True, check_whole_number("max_value_length", max_value_length))

    def restriction(self, service_name: str, key: str) -> Restriction:
        """Return the same restriction for every key."""
        return self._restriction

    def close(self) -> None:
        """Nothing to release."""


class FixedBaggageRestrictions:
    """The keys of ``allowed`` and no others: key to bytes, or keys alone for the default length."""

    def __init__(self, allowed: Mapping[str, int] | Iterable[str], *, max_items: int = DEFAULT_MAX_ITEMS) -> None:
        if isinstance(allowed, str):
            msg = f"a mapping or a list of keys is needed, not the text {allowed!r}; write [{allowed!r}]"
            raise ConfigurationError(msg)
        lengths = allowed if isinstance(allowed, Mapping) else dict.fromkeys(allowed, DEFAULT_MAX_VALUE_LENGTH)
        self.max_items = check_whole_number("max_items", max_items)
        self._allowed = {
            key: Restriction(True, check_whole_number(f"the length for {key!r}", length))
            for key, length in lengths.items()
        }

    def restriction(self, service_name: str, key: str) -> Restriction:
        """Return the key's restriction; a key that is not listed is denied."""
        return self._allowed.get(key, DENIED)

    def close(self) -> None:
        """Nothing to release."""


def check_whole_number(what: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**31:  # i32 in baggage.thrift
        msg = f"{what} must be a whole number from 0 to {2**31 - 1}, not {value!r:.40}"
        raise ConfigurationError(msg)
    return value


__getattr__ = lazily(__name__, {"RemoteBaggageRestrictions": "sls_tracing.remote_baggage_restrictions"})
