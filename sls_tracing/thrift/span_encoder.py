"""What the encoders of both protocols share: many spans at once, or one."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from sls_tracing.thrift.schema import EncodeError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sls_tracing.model import SpanRecord

__all__ = ["CANNOT_ENCODE", "SpanEncoder"]

CANNOT_ENCODE = (TypeError, ValueError, KeyError, AttributeError, OverflowError, struct.error)
"""What encoding a record of the wrong types, or numbers beyond their range, raises."""


class SpanEncoder:
    """Encodes spans; ``_encode_spans`` is the protocol's part."""

    def span(self, record: SpanRecord) -> bytes:
        """Return a whole ``Span`` struct. Raises :class:`EncodeError`."""
        (encoded,) = self.spans((record,))
        return encoded

    def spans(self, records: Sequence[SpanRecord]) -> list[bytes]:
        """Return a whole ``Span`` struct for each record. Raises :class:`EncodeError` if one is bad; :meth:`span` tells which."""
        try:
            return self._encode_spans(records)
        except CANNOT_ENCODE as error:
            raise EncodeError(f"a span that cannot be encoded: {error!r}") from error

    def _encode_spans(self, records: Sequence[SpanRecord]) -> list[bytes]:
        raise NotImplementedError
