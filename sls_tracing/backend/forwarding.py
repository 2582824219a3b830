"""From an agent to a collector: spans are packed into batches by process, kept in a spool, and posted until a collector has taken them.

One thread packs, one posts. A collector that is busy or away is asked again after pauses that grow, or that it asked for; where several are named they take
turns, without those that pause. Meanwhile the spool fills; what does not fit any more is dropped and counted. A batch that a collector calls wrong (400) is
dropped and counted, too: it would be refused for ever, and nothing behind it would get through.
"""

from __future__ import annotations

import threading
import time
from http import HTTPStatus
from typing import TYPE_CHECKING

from sls_tracing.backend.bounded_queue import BoundedQueue
from sls_tracing.guard import Guard, LimitedLog, limited_log
from sls_tracing.metrics import Counters, counters
from sls_tracing.senders.http_poster import HTTPPoster
from sls_tracing.senders.http_target import read_target
from sls_tracing.senders.http_tls import TLS
from sls_tracing.thrift.binary import BinaryEncoder
from sls_tracing.thrift.schema import EncodeError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sls_tracing.backend.spool import Packet, Spool
    from sls_tracing.model import SpanRecord

__all__ = ["Forwarder", "collector_posters"]

PACK_BYTES = 1 << 20
LINGER = 0.2
"""Seconds that a span waits for company."""

LEAST_PAUSE = 0.25
"""Seconds after which collectors that are busy or away are asked again at the earliest."""
TIMEOUT = 30.0
"""Seconds of one exchange: a collector answers when the spans are stored."""

_REFUSALS = (400, 411, 413, 415, 422)
"""What says that the batch is wrong. All else is about the collector, a token that it does not know for one: spans wait until somebody has mended that."""

MOST_ERRORS = 10
"""Answers of 500 to one batch, over a minute and a half, after which it counts as refused: it may be the batch that the collectors fail on, and
nothing behind it would ever get through."""

_HEADERS = {"Content-Type": "application/x-thrift"}


def collector_posters(urls: Iterable[str], *, token: str = "", ca: str = "") -> list[HTTPPoster]:
    """Return what posts to each collector. Raises ConfigurationError for a URL that is none."""
    return [
        HTTPPoster(
            read_target(
                url,
                path="/api/traces",
                alibaba_path="/api/traces",
                query="format=jaeger.thrift",
                token=token or None,
                user=None,
                password=None,
                headers=None,
            ),
            tls=TLS(ca=ca or None),
            timeout=TIMEOUT,
            retry_for=0,
            transient=lambda status: status not in _REFUSALS,
        )
        for url in urls
    ]


class Forwarder:
    """Takes spans from any thread, never blocks there, and delivers them from threads of its own. ``tags`` are added to processes that lack them.

    Counts ``agent_spans_received``, and of those ``…_spooled`` (kept for a collector), ``…_dropped`` (no room) and ``…_unencodable``; of the spooled ones
    ``…_forwarded`` and ``…_refused`` (by the collector); and ``agent_posts_failed``, each followed by another attempt.
    """

    def __init__(
        self,
        posters: Sequence[HTTPPoster],
        spool: Spool,
        *,
        tags: Mapping[str, str] | None = None,
        capacity: int = 64 * 1024 * 1024,
        counters: Counters = counters,
        log: LimitedLog = limited_log,
    ) -> None:
        self._posters = list(posters)
        self._spool = spool
        self._tags = tags or {}
        self._queue: BoundedQueue[Sequence[SpanRecord]] = BoundedQueue(capacity)
        self._counters = counters
        self._log = log
        self._guard = Guard("agent_forwarding", counters=counters, log=log)
        self._encoder = BinaryEncoder()
        self._closing = threading.Event()
        self._give_up_at = float("inf")
        self._connected = True
        self._errors = ("", 0)  # of the first batch in the spool, how often it was answered with 500
        self._threads = [
            threading.Thread(target=work, name=f"sls-tracing-{name}", daemon=True)
            for name, work in (("packing", self._pack_all), ("forwarding", self._deliver_all))
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, spans: Sequence[SpanRecord], size: int) -> bool:
        """Queue spans, which came as ``size`` bytes; False when there was no room for them."""
        self._counters.add("agent_spans_received", len(spans))
        if not spans or self._queue.put(spans, size):
            return True
        self._dropped(len(spans))
        return False

    @property
    def waiting_bytes(self) -> int:
        """Bytes that wait for a collector."""
        return len(self._queue) + self._spool.waiting_bytes

    @property
    def is_connected(self) -> bool:
        """Whether the last post got through, or none was made yet."""
        return self._connected

    def close(self, timeout: float = 10.0) -> bool:
        """Deliver what is there, for ``timeout`` seconds at most; False if something is left. What is left on disk goes out after the next start."""
        self._give_up_at = time.monotonic() + timeout
        for poster in self._posters:
            poster.stop_at(self._give_up_at)
        self._queue.close()
        self._threads[0].join(timeout)
        self._closing.set()
        self._spool.wake()
        self._threads[1].join(max(0.0, self._give_up_at - time.monotonic()) + 1.0)
        for poster in self._posters:
            poster.close()
        return not self._spool.waiting_bytes

    # -- packing -------------------------------------------------------------------------------------------------------

    def _pack_all(self) -> None:
        while batches := self._queue.take(PACK_BYTES, LINGER):
            with self._guard:
                self._pack([span for batch in batches for span in batch])
            self._queue.done()

    def _pack(self, spans: list[SpanRecord]) -> None:
        groups: dict[bytes, list[bytes]] = {}
        processes: dict[int, list[bytes]] = {}
        for span in spans:
            try:
                encoded = self._encoder.span(span)
                group = processes.get(id(span.process))
                if group is None:  # one object a datagram; equal ones share a batch
                    process = span.process._replace(tags={**self._tags, **span.process.tags})
                    group = groups.setdefault(self._encoder.process(process), [])
                    processes[id(span.process)] = group
            except EncodeError as error:
                self._counters.add("agent_spans_unencodable")
                self._log.warning("agent_spans_unencodable", "agent: a span cannot be forwarded: %s", error)
                continue
            group.append(encoded)
        for encoded_process, encoded_spans in groups.items():
            for part in _parts(encoded_spans):
                if self._spool.put(self._encoder.batch(encoded_process, part), len(part)):
                    self._counters.add("agent_spans_spooled", len(part))
                else:
                    self._dropped(len(part))

    def _dropped(self, spans: int) -> None:
        self._counters.add("agent_spans_dropped", spans)
        self._log.warning(
            "agent_full", "agent: no collector takes spans and there is no more room, dropped %d span(s)", spans
        )

    # -- delivering ----------------------------------------------------------------------------------------------------

    def _deliver_all(self) -> None:
        while True:
            packet = self._spool.first(1.0)
            if packet is None:
                if self._closing.is_set():
                    return
                continue
            if not self._guard.call(False, self._deliver, packet):
                # Each poster knows how long its server wants to be left alone; the first that is ready is asked.
                pause = max(LEAST_PAUSE, min(poster.pause_left for poster in self._posters))
                if time.monotonic() + pause >= self._give_up_at or (self._closing.wait(pause) and self._is_over()):
                    return

    def _is_over(self) -> bool:
        time.sleep(LEAST_PAUSE)  # closing: try again, but not without a breath
        return time.monotonic() >= self._give_up_at

    def _deliver(self, packet: Packet) -> bool:
        """Post a packet to the next collector that takes it; False if none did."""
        for _ in list(self._posters):
            poster = self._posters.pop(0)
            self._posters.append(poster)  # in turn, so that collectors share the load
            if poster.pause_left:
                continue
            answer = poster.post(packet.body, _HEADERS)
            url = poster.target.shown_url
            if not answer.reason:
                self._finish(packet, "agent_spans_forwarded")
                self._log.recovered("agent_forwarding", "agent: spans go out to %s again", url)
                return True
            if answer.status and (not answer.transient or self._fails_always(packet, answer.status)):
                self._log.warning("agent_refused", "agent: %s refused %d span(s): %s", url, packet.spans, answer.reason)
                self._finish(packet, "agent_spans_refused")
                return True
            self._counters.add("agent_posts_failed")
            self._log.warning("agent_forwarding", "agent: %s does not take spans: %s", url, answer.reason)
        self._connected = False
        return False

    def _fails_always(self, packet: Packet, status: int) -> bool:
        if status != HTTPStatus.INTERNAL_SERVER_ERROR:  # 503 and the like say that it is not the batch
            return False
        key, errors = self._errors
        self._errors = (packet.key, errors + 1 if key == packet.key else 1)
        return self._errors[1] >= MOST_ERRORS

    def _finish(self, packet: Packet, counter: str) -> None:
        self._connected = True
        self._spool.done(packet)
        self._counters.add(counter, packet.spans)


def _parts(spans: list[bytes]) -> Iterable[list[bytes]]:
    part: list[bytes] = []
    size = 0
    for span in spans:
        if part and size + len(span) > PACK_BYTES:
            yield part
            part, size = [], 0
        part.append(span)
        size += len(span)
    yield part
