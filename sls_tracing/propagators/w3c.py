"""W3C Trace Context (``traceparent``, ``tracestate``) and W3C Baggage (``baggage``): OpenTelemetry's propagation.

    traceparent: 00-{trace, 32 hex}-{span, 16 hex}-{flags, 2 hex}       flags: 1 sampled, 2 random trace id (level 2)

Sources: https://www.w3.org/TR/trace-context-2/ and https://www.w3.org/TR/baggage/; how it passes W3C's own conformance suite:
docs/propagation.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

from sls_tracing.context import SpanContext
from sls_tracing.exceptions import ConfigurationError
from sls_tracing.metrics import Counters, counters
from sls_tracing.patterns import Pattern
from sls_tracing.propagators.baggage import read_baggage_list, write_baggage_list
from sls_tracing.propagators.carried import PASS_THROUGH, carried_headers, write_carried
from sls_tracing.propagators.carrier import read_headers, writer
from sls_tracing.propagators.tracestate import Level, read_tracestate

if TYPE_CHECKING:
    import re
    from collections.abc import Mapping

__all__ = ["TRACESTATE", "W3CPropagator"]

_TRACEPARENT, TRACESTATE, _BAGGAGE = "traceparent", "tracestate", "baggage"
_SAMPLED, _RANDOM = 1, 2

# Lower case only: "Vendors MUST ignore the traceparent" otherwise. What follows the flags is for versions above 00. No comma in it:
# there are two headers then, and nobody can say which of them is meant.
_FORM = Pattern(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-[^,]{0,256})?")


class W3CPropagator:
    """Reads and writes ``traceparent``, ``tracestate`` and ``baggage``.

    - ``level``: of the specification, 2 or 1; level 1 does not know the random flag.
    - ``tracestate_level``: the level whose keys a ``tracestate`` may have. Level 1's are the narrower: a list with other keys is dropped whole by every
      participant of level 1 further on, and W3C's own conformance suite demands that it be dropped here.

    The format has no word for debug, for a decision without ids or for one that is still open: they are written as sampled, not at all,
    and as not sampled. Trace ids of 64 bits are padded. ``tracestate`` goes on with the trace that it came with; there is no entry of ours.
    """

    names = frozenset((_TRACEPARENT, TRACESTATE, _BAGGAGE, *PASS_THROUGH))
    prefixes: tuple[str, ...] = ()
    lists = frozenset((_TRACEPARENT, TRACESTATE, _BAGGAGE))

    def __init__(self, level: Level = 2, tracestate_level: Level = 1, *, counters: Counters = counters) -> None:
        for each in (level, tracestate_level):
            if each not in get_args(Level):
                msg = f"the level of W3C Trace Context must be 1 or 2, not {each!r}"
                raise ConfigurationError(msg)
        self.level = level
        self.tracestate_level = tracestate_level
        self._counters = counters

    # -- out -----------------------------------------------------------------------------------------------------------

    def inject(self, context: SpanContext, carrier: Any) -> None:
        """Write ``traceparent`` (version 00) and ``tracestate`` if there are ids; baggage and ``x-request-id`` in any case."""
        write = writer(carrier)
        trace_id, span_id, _, sampled, _, baggage, _, carried, random, _ = context
        if trace_id is not None and span_id is not None:
            flags = (_SAMPLED if sampled else 0) | (_RANDOM if random and self.level > 1 else 0)
            write(_TRACEPARENT, f"00-{trace_id:032x}-{span_id:016x}-{flags:02x}")
            if TRACESTATE in carried:
                write(TRACESTATE, carried[TRACESTATE])
        if carried:
            write_carried(carried, write)
        if baggage:
            write_baggage_list(baggage, _BAGGAGE, write, self._counters)

    # -- in ------------------------------------------------------------------------------------------------------------

    def extract(self, carrier: Any) -> SpanContext | None:
        """Read a context, which may hold baggage or ``x-request-id`` alone; None if there is none of it."""
        headers = read_headers(carrier, self.names, self.prefixes, self.lists)
        return self.extract_headers(headers) if headers else None

    def extract_headers(self, headers: Mapping[str, str]) -> SpanContext | None:
        """As :meth:`extract`, from headers that are read already."""
        carried = carried_headers(headers, self._counters)
        baggage = read_baggage_list(headers.get(_BAGGAGE, ""), self._counters)
        match = self._read_traceparent(headers)
        if match is None:
            # No traceparent, no tracestate: its entries tell about a trace that is lost.
            return SpanContext(sampled=None, baggage=baggage, carried=carried) if carried or baggage else None
        _, trace_hex, span_hex, flags_hex, _ = match.groups()
        flags = int(flags_hex, 16)
        tracestate = self._read_tracestate(headers)
        if tracestate:
            carried = {**carried, TRACESTATE: tracestate}
        return SpanContext(
            int(trace_hex, 16),
            int(span_hex, 16),
            sampled=bool(flags & _SAMPLED),
            baggage=baggage,
            carried=carried,
            random=self.level > 1 and bool(flags & _RANDOM),
        )

    def _read_traceparent(self, headers: Mapping[str, str]) -> re.Match[str] | None:
        header = headers.get(_TRACEPARENT)
        if header is None:
            return None
        match = _FORM.fullmatch(header)
        if match is not None:
            version, trace_hex, span_hex, _, more = match.groups()
            known = version != "ff" and not (version == "00" and more)
            if known and int(trace_hex, 16) and int(span_hex, 16):
                return match
        self._counters.add("propagation_headers_malformed")
        return None

    def _read_tracestate(self, headers: Mapping[str, str]) -> str | None:
        header = headers.get(TRACESTATE)
        if header is None:
            return None
        tracestate = read_tracestate(header, self.tracestate_level)
        if tracestate is None:
            self._counters.add("propagation_headers_malformed")
        return tracestate
