"""B3, Zipkin's and Istio's propagation: several ``x-b3-*`` headers, or one ``b3``.

Sources: github.com/openzipkin/b3-propagation (README, RATIONALE) and the behaviour of real Envoy 1.36 to 1.40, which docs/mesh.md
records. Where the two differ, what keeps a trace whole behind Envoy wins; each such place says so.
"""

from __future__ import annotations

from struct import Struct
from struct import error as StructError  # noqa: N812
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

from sls_tracing.context import NO_BAGGAGE, SpanContext
from sls_tracing.exceptions import ConfigurationError
from sls_tracing.metrics import Counters, counters
from sls_tracing.patterns import Pattern
from sls_tracing.propagators.baggage import read_baggage, write_baggage
from sls_tracing.propagators.carried import PASS_THROUGH, REQUEST_ID, carried_headers
from sls_tracing.propagators.carrier import OutgoingHeaders, first_value, read_headers, writer

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["B3Propagator"]

Encoding = Literal["multi", "single"]

_TRACE_ID, _SPAN_ID, _PARENT_ID = "x-b3-traceid", "x-b3-spanid", "x-b3-parentspanid"
_SAMPLED, _FLAGS, _SINGLE = "x-b3-sampled", "x-b3-flags", "b3"
_BAGGAGE = "baggage-"  # as Jaeger's Go and Java clients name it beside B3; B3 itself has none
_NAMES = frozenset((_TRACE_ID, _SPAN_ID, _PARENT_ID, _SAMPLED, _FLAGS, _SINGLE, *PASS_THROUGH))
_PREFIXES = (_BAGGAGE,)

# By expression and never by int(x, 16), which takes signs, "0x", "_" and digits of other scripts. Widths: the specification has 16 or 32
# digits; Envoy pads shorter ids, and jaeger-client strips zeros (31 digits), so what is unambiguous is read and later written padded.
_TRACE_HEX = Pattern(r"[0-9a-fA-F]{1,32}")
_SPAN_HEX = Pattern(r"[0-9a-fA-F]{1,16}")
_SINGLE_FORM = Pattern(
    r"([0-9a-fA-F]{1,32})-([0-9a-fA-F]{1,16})"
    r"(?:-([01d]))?"
    r"(?:-([0-9a-fA-F]{16}))?"
)
# "true" and "false" come from old Zipkin libraries; Envoy takes them too. They are never written.
_STATES = {"1": True, "true": True, "0": False, "false": False}

# Of the usual form alone, and stricter than the expressions: whole bytes in hex, and the right number of them.
_USUAL_STATES = {"1": True, "0": False, None: None}
_NO_PARENT = "0" * 16
_from_hex = bytes.fromhex
_split_ids = Struct(">QQQQ").unpack
_new_tuple = tuple.__new__  # see span.py


class _Fields(NamedTuple):
    """What one encoding says. ``trace_hex`` keeps its digits: their number is the width."""

    trace_hex: str | None = None
    span_id: int | None = None
    parent_id: int | None = None
    sampled: bool | None = None
    debug: bool = False


_NOTHING = _Fields()


class B3Propagator:
    """Reads both encodings of B3 and writes one, so that no stale second one goes out (mesh rule 2).

    ``encoding``: what :meth:`inject` writes, ``"multi"`` (Istio's, the default) or ``"single"``. ``x-request-id`` and baggage travel along.
    """

    names = _NAMES
    prefixes = _PREFIXES
    lists: frozenset[str] = frozenset()

    def __init__(self, encoding: Encoding = "multi", *, counters: Counters = counters) -> None:
        if encoding not in get_args(Encoding):
            msg = f"the B3 encoding must be 'multi' or 'single', not {encoding!r}"
            raise ConfigurationError(msg)
        self.encoding = encoding
        self._counters = counters

    # -- out -----------------------------------------------------------------------------------------------------------

    def inject(self, context: SpanContext, carrier: Any) -> None:
        """Write ids (padded, at the width they came with), the decision in words, baggage and ``x-request-id``.

        A deferred decision stays deferred: the context was extracted and no span of ours stands between.
        """
        # Into a dictionary, the carrier itself if it is one: an item set there costs a fifth of a call that sets it.
        kind = carrier.__class__
        headers: dict[str, str] = carrier if kind is dict or kind is OutgoingHeaders else {}
        write = None if headers is carrier else writer(carrier)
        trace_id, span_id, parent_id, sampled, debug, baggage, wide, carried = context[:8]
        if self.encoding == "multi":
            if trace_id is not None and span_id is not None:
                # The old formatting on purpose: 1,600 instructions an id against the 2,600 of an f-string (benchmarks/instructions.py).
                headers[_TRACE_ID] = ("%032x" if wide else "%016x") % trace_id
                headers[_SPAN_ID] = "%016x" % span_id  # noqa: UP031
                if parent_id is not None:
                    headers[_PARENT_ID] = "%016x" % parent_id  # noqa: UP031
            if debug:
                # The specification says that the flag implies the decision; Envoy does not read the flag and would answer with 0.
                headers[_FLAGS] = headers[_SAMPLED] = "1"
            elif sampled is not None:
                headers[_SAMPLED] = "1" if sampled else "0"
        else:
            self._write_single(context, headers.__setitem__)
        if carried and REQUEST_ID in carried:
            headers[REQUEST_ID] = carried[REQUEST_ID]
        if baggage:
            write_baggage(baggage, _BAGGAGE, headers.__setitem__)
        if write is not None:
            for name, value in headers.items():
                write(name, value)

    @staticmethod
    def _write_single(context: SpanContext, write: Any) -> None:
        state = "d" if context.debug else {True: "1", False: "0", None: ""}[context.sampled]
        if context.trace_id is None or context.span_id is None:
            if state:
                write(_SINGLE, state)
            return
        parts = [context.to_trace_id(), context.to_span_id()]
        if state:
            parts.append(state)
            if context.parent_id is not None:  # its place is behind a state only
                parts.append(f"{context.parent_id:016x}")
        write(_SINGLE, "-".join(parts))

    # -- in ------------------------------------------------------------------------------------------------------------

    def extract(self, carrier: Any) -> SpanContext | None:
        """Read a context, which may hold a decision, baggage or ``x-request-id`` alone; None if there is none of it."""
        headers = read_headers(carrier, _NAMES, _PREFIXES)
        return self.extract_headers(headers) if headers else None

    def extract_headers(self, headers: Mapping[str, str]) -> SpanContext | None:
        """As :meth:`extract`, from headers that are read already."""
        return self.read(headers)[0]

    def read(self, headers: Mapping[str, str]) -> tuple[SpanContext | None, Encoding | None]:
        """As :meth:`extract_headers`, with the encoding that was believed; None if neither says anything."""
        usual = _usual_ids(headers)
        if usual is not None:
            trace_id, span_id, parent_id, sampled = usual
            # Nearly always these are all the names that there are: then none of them is baggage.
            known = 2 + (_SAMPLED in headers) + (_PARENT_ID in headers) + (REQUEST_ID in headers)
            baggage = NO_BAGGAGE if len(headers) == known else read_baggage(headers, _BAGGAGE, self._counters)
            carried = carried_headers(headers, self._counters)
            fields = (trace_id, span_id, parent_id, sampled, False, baggage, True, carried, False, False)
            return _new_tuple(SpanContext, fields), "multi"
        return self._read_closely(headers)

    def _read_closely(self, headers: Mapping[str, str]) -> tuple[SpanContext | None, Encoding | None]:
        encoding: Encoding | None = "multi"
        fields = self._read_multi(headers)
        if _SINGLE in headers:
            fields, encoding = self._choose(self._read_single(headers[_SINGLE]), fields)
        carried = carried_headers(headers, self._counters)
        baggage = read_baggage(headers, _BAGGAGE, self._counters)
        if fields == _NOTHING:
            encoding = None
            if not carried and not baggage:
                return None, None
        trace_hex, span_id, parent_id, sampled, debug = fields
        context = SpanContext(
            None if trace_hex is None else int(trace_hex, 16),
            span_id,
            parent_id,
            True if debug else sampled,
            debug,
            baggage,
            trace_hex is None or len(trace_hex) > 16,
            carried,
        )
        return context, encoding

    @staticmethod
    def _choose(single: _Fields, multi: _Fields) -> tuple[_Fields, Encoding]:
        """Choose between the two encodings in one request: one of them may be stale, since Envoy rewrites only one.

        Envoy up to 1.39 rewrites ``x-b3-*`` and leaves a client's ``b3`` as it was: then the parent in ``x-b3-*`` is the span in ``b3``.
        In every other case the single header wins (specification; Envoy from 1.40). A decision without ids in the one does not
        hide the ids of the other, and debug survives from either: Envoy rewrites ``-d`` as a mere ``1``.
        """
        debug = single.debug or multi.debug
        if single.trace_hex is None:
            sampled = multi.sampled if single.sampled is None else single.sampled
            said_by: Encoding = "single" if multi == _NOTHING else "multi"
            return multi._replace(sampled=sampled, debug=debug), said_by
        if multi.trace_hex is None:
            return single._replace(debug=debug), "single"
        same_trace = int(single.trace_hex, 16) == int(multi.trace_hex, 16)
        if same_trace and multi.parent_id == single.span_id:
            return multi._replace(debug=debug), "multi"
        # Where both say the same, the answer is in the encoding that every reader of B3 knows.
        is_same = same_trace and multi.span_id == single.span_id
        return single._replace(debug=debug), "multi" if is_same else "single"

    def _read_single(self, header: str) -> _Fields:
        header = first_value(header)
        if header in ("0", "1"):
            return _Fields(sampled=header == "1")
        if header == "d":
            return _Fields(sampled=True, debug=True)
        match = _SINGLE_FORM.fullmatch(header)
        if match is None:
            return self._malformed()
        trace_hex, span_hex, state, parent_hex = match.groups()
        sampled = None if state is None else state != "0"
        if not int(trace_hex, 16) or not int(span_hex, 16):
            return self._malformed()._replace(sampled=sampled, debug=state == "d")
        parent_id = int(parent_hex, 16) or None if parent_hex else None
        return _Fields(trace_hex, int(span_hex, 16), parent_id, sampled, state == "d")

    def _read_multi(self, headers: Mapping[str, str]) -> _Fields:
        debug = headers.get(_FLAGS) == "1"  # any other value is to be ignored, says the specification
        sampled = None
        if _SAMPLED in headers:
            sampled = _STATES.get(first_value(headers[_SAMPLED]).lower())
            if sampled is None:
                self._malformed()
        trace_hex, span_hex = first_value(headers.get(_TRACE_ID, "")), first_value(headers.get(_SPAN_ID, ""))
        fields = _Fields(sampled=sampled, debug=debug)
        if not trace_hex and not span_hex:
            return fields
        if not (
            _TRACE_HEX.fullmatch(trace_hex)
            and _SPAN_HEX.fullmatch(span_hex)
            and int(trace_hex, 16)
            and int(span_hex, 16)
        ):
            self._malformed()  # a fresh root heals the trace; the decision is sound and stays
            return fields
        parent_hex = first_value(headers.get(_PARENT_ID, ""))
        parent_id = None
        if parent_hex:
            if _SPAN_HEX.fullmatch(parent_hex):
                parent_id = int(parent_hex, 16) or None
            else:
                self._malformed()  # nothing of ours depends on the grandparent: drop it alone
        return fields._replace(trace_hex=trace_hex, span_id=int(span_hex, 16), parent_id=parent_id)

    def _malformed(self) -> _Fields:
        self._counters.add("propagation_headers_malformed")
        return _NOTHING


def _usual_ids(headers: Mapping[str, str]) -> tuple[int, int, int | None, bool | None] | None:
    """Return trace, span, parent and decision of what a sidecar writes: several headers, full widths, no debugging. None: look closely.

    For every request that comes in: 6,300 instructions, against 31,000 of the closer look (benchmarks/instructions.py).
    """
    if _SINGLE in headers or _FLAGS in headers:
        return None
    try:
        trace_hex, span_hex, parent_hex = headers[_TRACE_ID], headers[_SPAN_ID], headers.get(_PARENT_ID, _NO_PARENT)
        if len(trace_hex) != 32 or len(span_hex) != 16 or len(parent_hex) != 16:
            return None
        sampled = _USUAL_STATES[headers.get(_SAMPLED)]
        high, low, span_id, parent_id = _split_ids(_from_hex(trace_hex + span_hex + parent_hex))
    except (KeyError, ValueError, StructError):  # white space is no error in bytes.fromhex, but bytes are then missing
        return None
    trace_id = high << 64 | low
    return (trace_id, span_id, parent_id or None, sampled) if trace_id and span_id else None
