"""Several formats at once: one reads, in a stated order, and one writes; the two sets need not be the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sls_tracing.context import NO_BAGGAGE, NOTHING_CARRIED, SpanContext
from sls_tracing.exceptions import ConfigurationError
from sls_tracing.propagators.carrier import OutgoingHeaders, read_headers, writer

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sls_tracing.propagators.propagator import TextPropagator

__all__ = ["CompositePropagator", "completed", "put_together"]


class CompositePropagator:
    """Reads with the propagators of ``extract``, the first that finds ids wins, and writes with each of ``inject``.

    A mesh keeps one format fresh and passes the others on stale (Envoy facts E15, E32). So put the mesh's format first, and let ``inject``
    name only what the next hop is known to read. Whatever was read, each format is written anew from the one context: nothing stale goes out.
    """

    def __init__(self, extract: Sequence[TextPropagator], inject: Sequence[TextPropagator]) -> None:
        for member in (*extract, *inject):
            if not hasattr(member, "extract_headers"):
                msg = f"a composite is made of text propagators (B3Propagator, JaegerPropagator, W3CPropagator, …), not of {member!r}"
                raise ConfigurationError(msg)
        if not extract and not inject:
            msg = "a composite needs at least one propagator to read or to write with"
            raise ConfigurationError(msg)
        self.extract_order = tuple(extract)
        self.inject_order = tuple(inject)
        self.names = frozenset[str]().union(*(member.names for member in extract))
        self.prefixes = tuple(dict.fromkeys(prefix for member in extract for prefix in member.prefixes))
        self.lists = frozenset[str]().union(*(member.lists for member in extract))

    def inject(self, context: SpanContext, carrier: Any) -> None:
        """Write ``context`` in each format; what they share (``x-request-id``) once, also where a carrier takes a name twice."""
        write = writer(carrier)
        headers = OutgoingHeaders(getattr(carrier, "destination", None))
        for member in self.inject_order:
            member.inject(context, headers)
        for name, value in headers.items():
            write(name, value)

    def extract(self, carrier: Any) -> SpanContext | None:
        """Read a context as the formats, in their order, tell it; None if none of them finds anything."""
        headers = read_headers(carrier, self.names, self.prefixes, self.lists)
        return self.extract_headers(headers) if headers else None

    def extract_headers(self, headers: Mapping[str, str]) -> SpanContext | None:
        """As :meth:`extract`, from headers that are read already."""
        found = [context for member in self.extract_order if (context := member.extract_headers(headers)) is not None]
        if len(found) < 2:
            return found[0] if found else None
        winner = next((context for context in found if context.trace_id is not None), None)
        if winner is None:
            return put_together(found)
        return completed(winner, found)


def completed(winner: SpanContext, found: Sequence[SpanContext]) -> SpanContext:
    """Complete ``winner`` by what other formats say of the same trace; of anything else only the baggage is taken."""
    others = [context for context in found if context is not winner and (context.has_ids or context.baggage)]
    if not others:
        return winner  # the common case: one format only, and the request id, which every member reads
    same = [context for context in found if context.trace_id == winner.trace_id]
    twins = [context for context in same if context.span_id == winner.span_id]
    debug = any(context.debug for context in same)
    return winner._replace(
        parent_id=next((context.parent_id for context in twins if context.parent_id is not None), None),
        sampled=True if debug else _first_decision((winner, *same)),
        debug=debug,
        baggage=_merged_baggage(found),
        carried=_merged_carried(same),
        random=any(context.random for context in same),
        firehose=any(context.firehose for context in same),
    )


def put_together(found: Sequence[SpanContext]) -> SpanContext:
    """Put together what came without ids: the first decision, but a wish to debug beats it."""
    debug = any(context.debug for context in found)
    return SpanContext(
        sampled=True if debug else _first_decision(found),
        debug=debug,
        baggage=_merged_baggage(found),
        carried=_merged_carried(found),
    )


def _first_decision(found: Iterable[SpanContext]) -> bool | None:
    return next((context.sampled for context in found if context.sampled is not None), None)


def _merged_baggage(found: Iterable[SpanContext]) -> dict[str, str]:
    merged: dict[str, str] = {}
    for context in found:
        for key, value in context.baggage.items():
            merged.setdefault(key, value)
    return merged or NO_BAGGAGE


def _merged_carried(found: Iterable[SpanContext]) -> Mapping[str, str]:
    merged: dict[str, str] = {}
    for context in found:
        for name, value in context.carried.items():
            merged.setdefault(name, value)
    return merged or NOTHING_CARRIED
