"""What the encoders of both protocols share: many spans at once, and one bad one costs the others nothing."""

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
        if isinstance(encoded, EncodeError):
            raise encoded
        return encoded

    def spans(self, records: Sequence[SpanRecord]) -> Sequence[bytes | EncodeError]:
        """Return a whole ``Span`` struct for each record, or what is wrong with it."""
        try:
            return self._encode_spans(records)
        except CANNOT_ENCODE as error:
            if len(records) == 1:
                return [EncodeError(f"a span that cannot be encoded: {error!r}")]
            return [encoded for record in records for encoded in self.spans((record,))]  # one of them is bad, or more

    def _encode_spans(self, records: Sequence[SpanRecord]) -> list[bytes]:
        raise NotImplementedError
