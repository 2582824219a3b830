"""The seam between reporters and transports."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sls_tracing.model import Process, SpanRecord

__all__ = ["Sender", "by_process"]


class Sender(Protocol):
    """Encodes spans and hands them to a transport. All calls come from one thread at a time, the reporter's, but those marked.

    Three more members are looked for, and may be absent:

    - ``statistics``, a :class:`~sls_tracing.senders.client_statistics.ClientStatistics`, is told of the spans that found the
      reporter's queue full, by any thread;
    - ``stop_at(deadline)``: the reporter is being closed, and nothing may take longer than until then (in seconds of
      ``time.monotonic``). Called once, from the thread that closes, while another one may be in ``send``;
    - ``preferred_batch_size``: spans that are worth a ``send``, of which the reporter tries to collect as many; its largest batch if absent.
    """

    def send(self, spans: Sequence[SpanRecord]) -> int:
        """Send and return how many spans went out; the others are counted, by reason, as ``sender_spans_…``.

        Spans may come from several processes (``record.process``). Raises :class:`~sls_tracing.exceptions.SenderError`
        only if nothing can be sent at all and none of the spans was counted: after ``close``, for one.
        """

    def close(self) -> None:
        """Release the transport, and cut a ``send`` that another thread is in. Never blocks for long; may be called again."""

    def after_fork(self) -> None:
        """In a forked child: give up what is shared with the parent and start afresh."""


_PROCESS = 7
"""The place of ``process`` in a ``SpanRecord``."""


def by_process(spans: Sequence[SpanRecord]) -> Iterable[tuple[Process, Sequence[SpanRecord]]]:
    """Group by identity: equal processes of two tracers cost a batch more, comparing their tags would cost every span."""
    if not spans:
        return []
    process = spans[0].process
    if all([record[_PROCESS] is process for record in spans]):  # noqa: C419 - a generator costs three times as much
        return [(process, spans)]
    groups: dict[int, tuple[Process, list[SpanRecord]]] = {}
    for record in spans:
        group = groups.get(id(record.process))
        if group is None:
            group = groups[id(record.process)] = (record.process, [])
        group[1].append(record)
    return groups.values()
