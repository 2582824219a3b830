"""The seam: what a tracer asks when it starts a root."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sls_tracing.model import TagValue

__all__ = ["Decision", "Sampler"]


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
