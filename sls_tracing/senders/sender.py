"""The seam between reporters and transports."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sls_tracing.model import SpanRecord

__all__ = ["Sender"]


class Sender(Protocol):
    """Encodes spans and hands them to a transport. All calls come from one thread at a time: the reporter's."""

    def send(self, spans: Sequence[SpanRecord]) -> int:
        """Send and return how many spans went out; the others are counted, by reason, as ``sender_spans_…``.

        Spans may come from several processes (``record.process``). Raises :class:`~sls_tracing.exceptions.SenderError`
        only if nothing can be sent at all and none of the spans was counted: after ``close``, for one.
        """

    def close(self) -> None:
        """Release the transport. Never blocks for long; may be called again."""

    def after_fork(self) -> None:
        """In a forked child: give up what is shared with the parent and start afresh."""
