"""The seam: how a context is written into a carrier and read from one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from sls_tracing.context import SpanContext

__all__ = ["Propagator"]


class Propagator(Protocol):
    """One format. Malformed data is dropped and counted as ``propagation_headers_malformed``, never raised."""

    def inject(self, context: SpanContext, carrier: Any) -> None:
        """Write ``context`` into ``carrier``. Raises ``InvalidCarrierException`` if that cannot be written to."""
        ...

    def extract(self, carrier: Any) -> SpanContext | None:
        """Read a context; None if there is none. Raises ``InvalidCarrierException`` if ``carrier`` cannot be read."""
        ...
