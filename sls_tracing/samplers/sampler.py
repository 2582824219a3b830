"""The seam: what a tracer asks when it starts a root."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from sls_tracing.guard import Guard, is_ours
from sls_tracing.values import to_tags

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sls_tracing.model import TagValue

__all__ = ["Decision", "Sampler", "asking"]

_guard = Guard("sampler")


class Decision(NamedTuple):
    """Whether to record a trace, and the tags that tell on its root span why.

    The tags are Jaeger's ``sampler.type`` and ``sampler.param``: its adaptive sampling counts by them. They are shared, never modified.
    """

    sampled: bool
    tags: Mapping[str, TagValue]


class Sampler(Protocol):
    """Decides for a new trace, once; every span below obeys (``SpanContext.sampled``)."""

    def is_sampled(self, trace_id: int, operation_name: str = "") -> Decision:
        """Decide for the trace ``trace_id`` whose root is called ``operation_name``. Runs on the application's path: be quick."""
        ...

    def close(self) -> None:
        """Release what the sampler holds; it may still be asked afterwards."""
        ...


def asking(sampler: Sampler) -> Callable[[int, str], Decision]:
    """Return ``sampler.is_sampled``, safe to call: a user's may raise, or answer with a mere pair, as jaeger-client's do."""
    if is_ours(sampler.is_sampled):
        return sampler.is_sampled

    def ask(trace_id: int, operation_name: str) -> Decision:
        return _guard.call(_NOT_SAMPLED, _ask, sampler, trace_id, operation_name)

    return ask


def _ask(sampler: Sampler, trace_id: int, operation_name: str) -> Decision:
    sampled, tags = sampler.is_sampled(trace_id, operation_name)
    return Decision(bool(sampled), to_tags(tags or {}))


_NOT_SAMPLED = Decision(False, {})
