"""Which tracer an instrumentation uses, and with which options. Apart from `_http` because every start loads it, and that one only with a library."""

from __future__ import annotations

from typing import TYPE_CHECKING

import opentracing

from sls_tracing.guard import Guard
from sls_tracing.suppression import suppressed

if TYPE_CHECKING:
    from sls_tracing.instrumentation._options import HTTPOptions

__all__ = ["TracerSource"]

_guard = Guard("instrumentation_options")


class TracerSource:
    """Which tracer: the one given to ``install``, else OpenTracing's global one of the moment."""

    __slots__ = ("explicit", "http_if_known")

    def __init__(self, explicit: opentracing.Tracer | None = None) -> None:
        self.explicit = explicit
        self.http_if_known: HTTPOptions | None = None

    def active(self) -> opentracing.Tracer | None:
        """Return the tracer, or None if nothing shall be traced here: none was ever set, or this work is suppressed."""
        tracer = opentracing.tracer if self.explicit is None else self.explicit
        # A plain opentracing.Tracer is the no-op: the application pays nothing for it.
        return None if type(tracer) is opentracing.Tracer or suppressed() else tracer

    @property
    def http(self) -> HTTPOptions:
        """The options given to ``install``, else those of the environment; read when they are first needed."""
        options = self.http_if_known
        if options is None:
            from sls_tracing.instrumentation._options import HTTPOptions

            # `sls-tracing run` has said what is wrong with the variables; here it is too late to stop.
            options = self.http_if_known = _guard.call(HTTPOptions(), HTTPOptions.from_environment)
        return options

    @http.setter
    def http(self, options: HTTPOptions | None) -> None:
        self.http_if_known = options
