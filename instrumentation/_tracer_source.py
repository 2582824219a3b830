"""Which tracer an instrumentation uses. Apart from `_http` because every start loads it, and that one only with a library."""

from __future__ import annotations

import opentracing

from sls_tracing.suppression import suppressed

__all__ = ["TracerSource"]


class TracerSource:
    """Which tracer: the one given to ``install``, else OpenTracing's global one of the moment."""

    __slots__ = ("explicit",)

    def __init__(self, explicit: opentracing.Tracer | None = None) -> None:
        self.explicit = explicit

    def active(self) -> opentracing.Tracer | None:
        """Return the tracer, or None if nothing shall be traced here: none was ever set, or this work is suppressed."""
        tracer = self.explicit if self.explicit is not None else opentracing.tracer
        # A plain opentracing.Tracer is the no-op: the application pays nothing for it.
        return None if type(tracer) is opentracing.Tracer or suppressed() else tracer
