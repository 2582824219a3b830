"""Whose child a span is: the choice among what the application offers, and the links that the span keeps."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING

import opentracing

from sls_tracing.context import SpanContext
from sls_tracing.guard import Guard
from sls_tracing.model import Reference

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["choose_parent", "context_of", "names_parent"]

_guard = Guard("tracer")


def context_of(span_or_context: opentracing.Span | opentracing.SpanContext) -> SpanContext | None:
    """Return our context of a span or context, or None for one of another tracer (the no-op tracer's, for one)."""
    if isinstance(span_or_context, opentracing.Span):
        span_or_context = span_or_context.context
    return span_or_context if isinstance(span_or_context, SpanContext) else None


def choose_parent(
    parent: SpanContext | None, references: Sequence[opentracing.Reference] | opentracing.Reference
) -> tuple[SpanContext | None, tuple[Reference, ...]]:
    """Return the parent (the given one, else the first CHILD_OF, else the first) and all references that name a span.

    A context without ids (a decision or ``x-request-id`` alone) is the parent only where no other reference names a span.
    """
    if isinstance(references, opentracing.Reference):
        references = (references,)
    candidates: list[tuple[bool, bool, SpanContext]] = []
    links: list[Reference] = []
    for reference in references:
        with _guard:  # one that is no reference costs itself
            context = None if reference is None else context_of(reference.referenced_context)
            if context is None:
                continue
            kind = "follows_from" if reference.type == opentracing.ReferenceType.FOLLOWS_FROM else "child_of"
            nameless = context.trace_id is None or context.span_id is None
            candidates.append((nameless, kind != "child_of", context))
            if not nameless:
                links.append(Reference(kind, context.trace_id, context.span_id))  # type: ignore[arg-type]
    if parent is None and candidates:
        parent = min(candidates, key=operator.itemgetter(0, 1))[2]
    return parent, tuple(links)


def names_parent(links: Sequence[Reference], context: SpanContext) -> bool:
    """Return whether the parent of ``context`` is among ``links`` already."""
    return any(link.span_id == context.parent_id and link.trace_id == context.trace_id for link in links)
