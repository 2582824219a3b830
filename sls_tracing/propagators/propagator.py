"""The seam: how a context is written into a carrier and read from one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sls_tracing.context import SpanContext

__all__ = ["Propagator", "TextPropagator"]


class Propagator(Protocol):
    """One format. Malformed data is dropped and counted as ``propagation_headers_malformed``, never raised."""

    def inject(self, context: SpanContext, carrier: Any) -> None:
        """Write ``context`` into ``carrier``. Raises ``InvalidCarrierException`` if that cannot be written to."""
        ...

    def extract(self, carrier: Any) -> SpanContext | None:
        """Read a context; None if there is none. Raises ``InvalidCarrierException`` if ``carrier`` cannot be read."""
        ...


class TextPropagator(Propagator, Protocol):
    """A format of headers. It says which ones it reads, so that a composite of several goes through a carrier only once."""

    @property
    def names(self) -> frozenset[str]:
        """The headers that it reads, in lower case."""
        ...

    @property
    def prefixes(self) -> tuple[str, ...]:
        """What the names of further headers that it reads start with, in lower case."""
        ...

    @property
    def lists(self) -> frozenset[str]:
        """Those of ``names`` whose repeated values are joined by commas; of the others the first value counts."""
        ...

    def extract_headers(self, headers: Mapping[str, str]) -> SpanContext | None:
        """Read a context from headers as :func:`~sls_tracing.propagators.carrier.read_headers` returns them."""
        ...
