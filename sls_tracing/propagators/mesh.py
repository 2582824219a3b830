"""What a service in a mesh needs of propagation, in one: it reads what the sidecars write, and answers in the same format.

A sidecar rewrites the headers of its own tracing provider and passes all others on as they came, stale. So one format is believed, the
others are dropped, and what goes out tells one context only. Which one and why, case by case: docs/mesh.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sls_tracing.context import SpanContext
from sls_tracing.exceptions import ConfigurationError
from sls_tracing.guard import limited_log
from sls_tracing.hosts import MESH_HOSTS, Hosts
from sls_tracing.metrics import Counters, counters
from sls_tracing.patterns import Pattern
from sls_tracing.propagators.b3 import B3Propagator
from sls_tracing.propagators.baggage import write_baggage_list
from sls_tracing.propagators.carried import OTHER_TRACERS, REQUEST_ID, read_carried
from sls_tracing.propagators.carrier import read_headers, writer
from sls_tracing.propagators.composite import completed, put_together
from sls_tracing.propagators.w3c import TRACESTATE, W3CPropagator

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = ["MeshPropagator"]

_FORMATS = ":formats"
"""Where a context carries the formats that it came in, if not the usual ones. No header has such a name, so none is read or written by it."""

_TRACEPARENT, _BAGGAGE = "traceparent", "baggage"
_WITH_BAGGAGE = ",baggage"
_ENCODINGS = {"multi": "b3", "single": "b3-single"}
_ROOT_FORMATS = ("b3", "b3-single", "w3c", "b3,w3c", "b3-single,w3c")

_NAME = Pattern(r"[a-z0-9][a-z0-9_\-]*")
# They belong to one connection or one message, or tell proxies where a request came from: copied, they break the next request.
_NOT_OURS_TO_COPY = Pattern(
    r"host|connection|keep-alive|te|trailer|upgrade|expect|forwarded|transfer-encoding|content-.*|proxy-.*|x-forwarded-.*|x-b3-.*|b3"
    r"|traceparent|tracestate|baggage"
)
# What Envoy takes for a request id; of any other it makes "not sampled", at every hop.
_UUID = Pattern(r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}")


class MeshPropagator:
    """Reads B3 (both encodings) and W3C, writes the one that the request came in, and brings the mesh's other headers along.

    - ``order``: which format is believed where two tell of different spans and nothing shows which is fresh: ``("b3", "w3c")`` or the reverse.
    - ``root``: the format of traces that begin here: ``b3``, ``b3-single``, ``w3c``, ``b3,w3c`` or ``b3-single,w3c``; the first of ``order`` if None.
    - ``forward``: headers of the application to bring along (``end-user``, ``authorization``, …). They say who somebody is, so none
      is forwarded unless named here, and only to ``forward_to`` (patterns of :class:`~sls_tracing.hosts.Hosts`; hosts inside the mesh if not
      given). Where the destination is not known, as in a bare ``tracer.inject`` into a dict, they go only if ``forward_to`` is ``*``;
      a carrier of :class:`~sls_tracing.propagators.carrier.OutgoingHeaders` tells it.

    ``x-request-id`` and what other tracing providers write (``OTHER_TRACERS``) go on as they came.
    """

    prefixes = B3Propagator.prefixes
    lists = W3CPropagator.lists

    def __init__(
        self,
        order: Sequence[str] = ("b3", "w3c"),
        root: str | None = None,
        *,
        forward: str | Iterable[str] = (),
        forward_to: str | Iterable[str] | Hosts = MESH_HOSTS,
        counters: Counters = counters,
    ) -> None:
        if isinstance(order, str) or sorted(order) != ["b3", "w3c"]:
            msg = f"the order must be ('b3', 'w3c') or ('w3c', 'b3'), not {order!r}"
            raise ConfigurationError(msg)
        self.order = tuple(order)
        self.root = self.order[0] if root is None else root
        if self.root not in _ROOT_FORMATS:
            msg = f"the format of new traces must be one of {', '.join(map(repr, _ROOT_FORMATS))}, not {root!r}"
            raise ConfigurationError(msg)
        self.forward = frozenset(map(_forwardable, [forward] if isinstance(forward, str) else forward))
        self.forward_to = forward_to if isinstance(forward_to, Hosts) else Hosts(forward_to)
        self._counters = counters
        self._warned = False
        self._b3 = B3Propagator(counters=counters)
        self._w3c = W3CPropagator(counters=counters)
        self._carried = OTHER_TRACERS | self.forward
        self.names = self._b3.names | self._w3c.names | self._carried
        single = B3Propagator("single", counters=counters)
        self._members: dict[str, tuple[Any, ...]] = {
            "b3": (self._b3,),
            "b3-single": (single,),
            "w3c": (self._w3c,),
            "b3,w3c": (self._b3, self._w3c),
            "b3-single,w3c": (single, self._w3c),
        }

    # -- out -----------------------------------------------------------------------------------------------------------

    def inject(self, context: SpanContext, carrier: Any) -> None:
        """Write ``context`` once, in the format that it came in, and what travels with it."""
        carried = context.carried
        formats = carried.get(_FORMATS, self.root) if carried else self.root
        members = self._members.get(formats)
        if members is not None and len(members) == 1:
            members[0].inject(context, carrier)
        else:
            self._inject_all(formats, context, carrier)
        if carried and (len(carried) > 1 or REQUEST_ID not in carried):
            self._inject_carried(carried, carrier)

    def _inject_all(self, formats: str, context: SpanContext, carrier: Any) -> None:
        """Write several formats; what they share goes once into a carrier that takes a name twice."""
        headers: dict[str, str] = {}
        for member in self._members[formats.removesuffix(_WITH_BAGGAGE)]:
            member.inject(context, headers)
        if context.baggage and formats.endswith(_WITH_BAGGAGE):
            write_baggage_list(context.baggage, _BAGGAGE, headers.__setitem__, self._counters)
        write = writer(carrier)
        for name, value in headers.items():
            write(name, value)

    def _inject_carried(self, carried: Mapping[str, str], carrier: Any) -> None:
        write = writer(carrier)
        for name, value in carried.items():
            if name in OTHER_TRACERS or (
                name in self.forward and getattr(carrier, "destination", None) in self.forward_to
            ):
                write(name, value)

    # -- in ------------------------------------------------------------------------------------------------------------

    def extract(self, carrier: Any) -> SpanContext | None:
        """Read a context, which may hold a decision, baggage or carried headers alone; None if there is none of it."""
        headers = read_headers(carrier, self.names, self.prefixes, self.lists)
        return self.extract_headers(headers) if headers else None

    def extract_headers(self, headers: Mapping[str, str]) -> SpanContext | None:
        """As :meth:`extract`, from headers that are read already."""
        context, encoding = self._b3.read(headers)
        formats = _malformed_format(headers) if encoding is None else _ENCODINGS[encoding]
        if _TRACEPARENT in headers or _BAGGAGE in headers:
            context, formats = self._with_w3c(context, formats, self._w3c.extract_headers(headers), headers)
        carried = read_carried(headers, self._carried, self._counters)
        if formats is not None and formats != self.root:
            carried[_FORMATS] = formats
        if REQUEST_ID in headers:
            self._check_request_id(headers[REQUEST_ID])
        if not carried:
            return context
        if context is None:
            context = SpanContext(sampled=None)
        return context._replace(carried={**context.carried, **carried})

    def _with_w3c(
        self, b3: SpanContext | None, formats: str | None, w3c: SpanContext | None, headers: Mapping[str, str]
    ) -> tuple[SpanContext | None, str | None]:
        """Choose between B3 and W3C; return the context and the formats to answer in."""
        if w3c is None:
            return b3, formats
        if not w3c.has_ids:
            if w3c.baggage and formats != "w3c":
                # In a mesh of B3 that is an application's. It goes out as it came, beside B3's own.
                formats = (formats or self.root) + _WITH_BAGGAGE
            if b3 is None:
                return w3c, formats
            return (completed(b3, [b3, w3c]) if b3.has_ids else put_together([b3, w3c])), formats
        if b3 is None:
            return w3c, "w3c"
        if not b3.has_ids:
            return completed(w3c, [w3c, b3]), "w3c"
        if b3.trace_id == w3c.trace_id and b3.span_id == w3c.span_id:
            # Both fresh (USE_B3_WITH_W3C_PROPAGATION). B3 knows more: the parent, the width of the id, debug.
            return completed(b3, [b3, w3c]), f"{formats},w3c"
        fresh = self._fresh(b3, w3c, headers)
        winner = {"b3": b3, "w3c": w3c}[fresh or self.order[0]]
        found = [winner, w3c if winner is b3 else b3]
        if fresh is None and b3.trace_id == w3c.trace_id:
            # Which of the two the next sidecar reads is not known; with our ids in both, the trace stays whole either way.
            return completed(winner, found), f"{formats},w3c"
        return completed(winner, found), formats if winner is b3 else "w3c"

    @staticmethod
    def _fresh(b3: SpanContext, w3c: SpanContext, headers: Mapping[str, str]) -> str | None:
        """Return the format that the sidecar has rewritten, if anything shows it.

        - The parent that B3 names is the span in ``traceparent``: a Zipkin sidecar has made a child of it.
        - An empty ``tracestate`` beside ``traceparent``: Envoy's OpenTelemetry provider writes one, and no client is known to.
        """
        if b3.trace_id == w3c.trace_id and b3.parent_id == w3c.span_id:
            return "b3"
        return "w3c" if headers.get(TRACESTATE) == "" else None

    def _check_request_id(self, request_id: str) -> None:
        if request_id and not _UUID.fullmatch(request_id):
            self._counters.add("propagation_request_ids_not_uuid")
            if not self._warned:
                self._warned = True
                limited_log.warning(
                    "mesh_request_id",
                    "x-request-id %.60r is no UUID: it is forwarded, but Envoy does not sample such requests; let the gateway make it",
                    request_id,
                )


def _malformed_format(headers: Mapping[str, str]) -> str | None:
    """Return the format whose headers are there although nothing could be read from them.

    The fresh trace that heals it has to go out in the format that the next sidecar reads.
    """
    if _TRACEPARENT in headers:
        return "w3c"
    # Several headers also where a single one was garbage: every sidecar reads them, and Envoy up to 1.39 would let a b3 of ours go stale.
    return "b3" if any(name == "b3" or name.startswith("x-b3-") for name in headers) else None


def _forwardable(name: str) -> str:
    normal = name.strip().lower() if isinstance(name, str) else ""
    if not _NAME.fullmatch(normal):
        msg = f"{name!r} is no name of a header to forward"
        raise ConfigurationError(msg)
    if _NOT_OURS_TO_COPY.fullmatch(normal):
        msg = f"{name!r} cannot be forwarded: it belongs to one request or is written by tracing itself"
        raise ConfigurationError(msg)
    return normal
