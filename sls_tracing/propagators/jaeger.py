"""Jaeger's own propagation: ``uber-trace-id``, ``uberctx-*``, ``jaeger-baggage`` and ``jaeger-debug-id``.

    uber-trace-id: {trace}:{span}:{parent}:{flags}      hex; parent 0 on a root; flags 1 sampled, 2 debug, 8 firehose

Sources: Jaeger's documentation (Client Libraries, Propagation Format) and the Python, Go, Java and Node clients. Where they differ, everything
that one of them writes is read, and what is written all of them read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

from sls_tracing.context import SpanContext
from sls_tracing.exceptions import ConfigurationError
from sls_tracing.metrics import Counters, counters
from sls_tracing.patterns import Pattern
from sls_tracing.propagators.baggage import (
    clean_text,
    read_baggage,
    read_baggage_pairs,
    write_baggage,
    write_baggage_plain,
)
from sls_tracing.propagators.carried import DEBUG_ID, PASS_THROUGH, carried_headers, write_carried
from sls_tracing.propagators.carrier import first_value, read_headers, writer

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["JaegerPropagator"]

_SAMPLED, _DEBUG, _FIREHOSE = 1, 2, 8

# Widths are lenient, because jaeger-client strips leading zeros; the alphabet is strict (see b3.py). Go reads the flags as decimal and writes
# them as hex: the same for every value that Go's client itself makes below 10.
_FORM = Pattern(r"([0-9a-fA-F]{1,32}):([0-9a-fA-F]{1,16}):([0-9a-fA-F]{1,16}):([0-9a-fA-F]{1,2})")
_MAX_LENGTH = 32 + 16 + 16 + 2 + 3 * len("%3A")
_MAX_DEBUG_ID = 1024  # it becomes a tag, and no honest one is longer
_NAME = Pattern(r"[!#$%&'*+\-.^_`|~0-9a-z]+")


class JaegerPropagator:
    """Reads and writes Jaeger's headers under the names given, which are those of jaeger-client's configuration.

    ``url_encoding`` is right for HTTP. Jaeger's clients do not encode baggage in text maps of other kinds (OpenTracing's ``TEXT_MAP``:
    Kafka, AMQP): False speaks to those, and drops items with control characters instead of writing them.

    A decision that is still open cannot be told in this format and is written as not sampled; a decision without ids not at all.
    """

    def __init__(
        self,
        trace_id_header: str = "uber-trace-id",
        baggage_prefix: str = "uberctx-",
        debug_id_header: str = DEBUG_ID,
        baggage_header: str = "jaeger-baggage",
        *,
        url_encoding: bool = True,
        counters: Counters = counters,
    ) -> None:
        self.trace_id_header = _header_name("trace_id_header", trace_id_header)
        self.baggage_prefix = _header_name("baggage_prefix", baggage_prefix)
        self.debug_id_header = _header_name("debug_id_header", debug_id_header)
        self.baggage_header = _header_name("baggage_header", baggage_header)
        own = (self.trace_id_header, self.debug_id_header, self.baggage_header)
        if len({*own}) < len(own) or any(name.startswith(self.baggage_prefix) for name in own):
            msg = f"Jaeger's headers need different names, and none may start with the prefix {self.baggage_prefix!r}: {', '.join(own)}"
            raise ConfigurationError(msg)
        self.url_encoding = url_encoding
        self.names = frozenset((*own, *PASS_THROUGH))
        self.prefixes = (self.baggage_prefix,)
        self.lists = frozenset((self.baggage_header,))
        self._counters = counters

    # -- out -----------------------------------------------------------------------------------------------------------

    def inject(self, context: SpanContext, carrier: Any) -> None:
        """Write ids (padded, at the width they came with), flags, baggage and ``x-request-id``; without ids a debug id that arrived."""
        write = writer(carrier)
        trace_id, span_id, parent_id, sampled, debug, baggage, wide, carried, _, firehose = context
        if trace_id is not None and span_id is not None:
            trace = f"{trace_id:032x}" if wide else f"{trace_id:016x}"
            parent = "0" if parent_id is None else f"{parent_id:016x}"
            flags = (_SAMPLED | _DEBUG if debug else _SAMPLED if sampled else 0) | (_FIREHOSE if firehose else 0)
            write(self.trace_id_header, f"{trace}:{span_id:016x}:{parent}:{flags:x}")
        elif DEBUG_ID in carried:
            write(self.debug_id_header, quote(carried[DEBUG_ID], errors="replace"))
        if carried:
            write_carried(carried, write)
        if baggage:
            if self.url_encoding:
                write_baggage(baggage, self.baggage_prefix, write)
            else:
                write_baggage_plain(baggage, self.baggage_prefix, write, self._counters)

    # -- in ------------------------------------------------------------------------------------------------------------

    def extract(self, carrier: Any) -> SpanContext | None:
        """Read a context, which may hold a debug id, baggage or ``x-request-id`` alone; None if there is none of it."""
        headers = read_headers(carrier, self.names, self.prefixes, self.lists)
        return self.extract_headers(headers) if headers else None

    def extract_headers(self, headers: Mapping[str, str]) -> SpanContext | None:
        """As :meth:`extract`, from headers that are read already."""
        carried = carried_headers(headers, self._counters)
        baggage = self._read_baggage(headers)
        if self.trace_id_header in headers:
            context = self._read_trace_id(first_value(headers[self.trace_id_header]))
            if context is not None:
                return context._replace(baggage=baggage, carried=carried)
        debug_id = self._read_debug_id(headers)
        if debug_id:
            # Without a trace only: someone wants this one request traced and to find it again. The tracer makes it a tag of the root.
            carried = {**carried, DEBUG_ID: debug_id}
            return SpanContext(sampled=True, debug=True, baggage=baggage, carried=carried)
        if carried or baggage:
            # The decision stays open. jaeger-client took it as "no", so that such a trace never was sampled.
            return SpanContext(sampled=None, baggage=baggage, carried=carried)
        return None

    def _read_trace_id(self, header: str) -> SpanContext | None:
        if "%" in header and len(header) <= _MAX_LENGTH:  # jaeger-client before 4.0 and Node's client encode the colons
            header = header.replace("%3A", ":").replace("%3a", ":")
        match = _FORM.fullmatch(header)
        if match is None:
            self._malformed()
            return None
        trace_hex, span_hex, parent_hex, flags_hex = match.groups()
        trace_id, span_id, flags = int(trace_hex, 16), int(span_hex, 16), int(flags_hex, 16)
        if not trace_id or not span_id:
            self._malformed()
            return None
        debug = bool(
            flags & _DEBUG
        )  # is defined together with "sampled" only; alone it still is a wish to see the trace
        return SpanContext(
            trace_id,
            span_id,
            int(parent_hex, 16) or None,
            debug or bool(flags & _SAMPLED),
            debug,
            wide=len(trace_hex) > 16,
            firehose=bool(flags & _FIREHOSE),
        )

    def _read_debug_id(self, headers: Mapping[str, str]) -> str:
        header = headers.get(self.debug_id_header, "")
        if len(header) > _MAX_DEBUG_ID:
            self._malformed()
            return ""
        return clean_text(unquote(header)) if header else ""

    def _read_baggage(self, headers: Mapping[str, str]) -> dict[str, str]:
        baggage = read_baggage(headers, self.baggage_prefix, self._counters, encoded=self.url_encoding)
        typed_by_hand = headers.get(self.baggage_header)
        if typed_by_hand:
            baggage = {**read_baggage_pairs(typed_by_hand, self._counters), **baggage}
        return baggage

    def _malformed(self) -> None:
        self._counters.add("propagation_headers_malformed")


def _header_name(setting: str, name: str) -> str:
    """Return ``name`` as it stands in a header: jaeger-client lower-cases names and turns ``_`` into ``-``."""
    normal = name.strip().lower().replace("_", "-") if isinstance(name, str) else ""
    if not _NAME.fullmatch(normal):
        msg = f"{setting} must be the name of a header (letters, digits and -), not {name!r}"
        raise ConfigurationError(msg)
    return normal
