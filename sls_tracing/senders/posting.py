"""Spans into batches, batches into posts: what the HTTP senders have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sls_tracing.exceptions import ConfigurationError, SenderError
from sls_tracing.senders.client_statistics import ClientStatistics
from sls_tracing.senders.sender import by_process
from sls_tracing.senders.trimming import smaller_processes, smaller_spans
from sls_tracing.thrift.schema import ClientStats, EncodeError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sls_tracing.guard import LimitedLog
    from sls_tracing.metrics import Counters
    from sls_tracing.model import Process, SpanRecord
    from sls_tracing.senders.http_poster import Answer, HTTPPoster
    from sls_tracing.thrift.schema import Encoder

__all__ = ["PostingSender"]

_MIN_BATCH, _MAX_BATCH = 4096, 64 << 20
_SMALLEST_SPLIT = 16 << 10
"""Bytes of a batch that is not split when the server finds it too large: no server's limit is so low, it must mean something else."""

COMPRESSION = 1
"""gzip's level: 1.4 µs a span and a twentieth of its JSON; level 6 takes 3.5 µs for a sixth less."""

_MAX_NUMBER = (1 << 63) - 1


class PostingSender:
    """Encodes spans, fills batches by measured bytes and posts them one after the other. Subclasses choose encoding and target.

    What is lost is counted: ``sender_spans_unencodable``, ``…_too_large`` (even when trimmed: ``…_trimmed``), ``…_failed`` (not
    delivered: the log says why), ``…_rejected`` (by a server that took the rest). ``sender_http_retries`` counts second attempts.
    """

    content_type = ""

    def __init__(
        self,
        poster: HTTPPoster,
        encoder: Encoder,
        *,
        max_batch_bytes: int,
        compress: bool,
        counters: Counters,
        log: LimitedLog,
    ) -> None:
        if type(max_batch_bytes) is not int or not _MIN_BATCH <= max_batch_bytes <= _MAX_BATCH:
            raise ConfigurationError(
                f"max_batch_bytes must be a whole number from {_MIN_BATCH} to {_MAX_BATCH}, not {max_batch_bytes!r}"
            )
        if not isinstance(compress, bool):
            raise ConfigurationError(f"compress must be True or False, not {compress!r}")
        self.url = poster.target.shown_url
        """Where spans go, for messages: without secrets."""
        self.statistics = ClientStatistics()
        self._poster = poster
        self._encoder = encoder
        self._headers = {"Content-Type": self.content_type, **({"Content-Encoding": "gzip"} if compress else {})}
        self._compress = compress
        if compress:
            import gzip  # noqa: F401 - here too, and not first by the background thread: see http_poster.py
        self._configured_bytes = max_batch_bytes
        self._counters = counters
        self._log = log
        self._start_afresh()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.url!r})"

    def send(self, spans: Sequence[SpanRecord]) -> int:
        """Send and return how many spans the server took. Raises :class:`SenderError` only after ``close``."""
        if self._closed:
            raise SenderError(f"{self!r} is closed")
        return sum(self._send_group(process, group) for process, group in by_process(spans))

    def stop_at(self, deadline: float) -> None:
        """Give up at ``deadline``, in seconds of ``time.monotonic``; see ``BatchingReporter.close``."""
        self._poster.stop_at(deadline)

    def close(self) -> None:
        """Close the connections for good; a ``send`` of another thread ends within a fraction of a second, its spans counted as failed."""
        self._closed = True
        self._poster.close()

    def after_fork(self) -> None:
        """Use connections of the child's own, and count batches from 1 again."""
        self._poster.after_fork()
        self.statistics.start_afresh()
        self._start_afresh()

    def _start_afresh(self) -> None:
        self._closed = False
        self._max_bytes = self._configured_bytes
        self._process: tuple[Process, bytes] | None = None

    # -- filling -------------------------------------------------------------------------------------------------------

    def _send_group(self, process: Process, records: Sequence[SpanRecord]) -> int:
        try:
            encoded = self._encode_process(process)
        except EncodeError as error:
            self._lost("unencodable", len(records), "%s", error)
            return 0
        return sum(self._deliver(encoded, batch) for batch in self._batches(encoded, records))

    def _encode_process(self, process: Process) -> bytes:
        """Return the process's bytes, at most half a batch: the same ones every time, so they are kept."""
        if self._process is None or self._process[0] is not process:
            encoded = self._encoder.process(process)
            for smaller in smaller_processes(process):
                if len(encoded) <= self._max_bytes // 2:
                    break
                encoded = self._encoder.process(smaller)
            self._process = (process, encoded)
        return self._process[1]

    def _batches(self, process: bytes, records: Sequence[SpanRecord]) -> Iterator[list[tuple[SpanRecord, bytes]]]:
        batch: list[tuple[SpanRecord, bytes]] = []
        size = 0
        for record in records:
            try:
                span = self._encoder.span(record)
            except EncodeError as error:
                self._lost("unencodable", 1, "%s", error)
                continue
            room = self._room(process)  # asked every time: a server that finds a batch too large shrinks it
            if len(span) > room:
                trimmed = self._trim(record, room)
                if trimmed is None:
                    self._lost("too_large", 1, "%r, of %d bytes", record.operation_name[:100], len(span))
                    continue
                record, span = trimmed  # noqa: PLW2901 - what follows must not see the large one
            if batch and size + len(span) > room:
                yield batch
                batch, size = [], 0
            batch.append((record, span))
            size += len(span) + 1  # a separator, in JSON
        if batch:
            yield batch

    def _room(self, process: bytes) -> int:
        most = ClientStats(_MAX_NUMBER, _MAX_NUMBER, _MAX_NUMBER)
        return self._max_bytes - self._encoder.envelope_size(process, 1, seq_no=_MAX_NUMBER, stats=most)

    def _trim(self, record: SpanRecord, room: int) -> tuple[SpanRecord, bytes] | None:
        for smaller in smaller_spans(record):
            span = self._encoder.span(smaller)
            if len(span) <= room:
                self._counters.add("sender_spans_trimmed")
                return smaller, span
        return None

    # -- delivering ----------------------------------------------------------------------------------------------------

    def _deliver(self, process: bytes, batch: list[tuple[SpanRecord, bytes]]) -> int:
        """Post one batch; return how many of its spans the server took."""
        body = self._encoder.batch(
            process,
            [span for _, span in batch],
            seq_no=self.statistics.number_batch(),
            stats=self.statistics.snapshot(),
        )
        answer = self._poster.post(self._compressed(body), self._headers)
        if answer.status == 413 and len(body) > _SMALLEST_SPLIT:
            return self._deliver_in_parts(process, batch, len(body))
        if answer.status == 413:
            self._lost("too_large", len(batch), "%s: %s for %d bytes", self.url, answer.reason, len(body))
            return 0
        if answer.reason:
            self._lost("failed", len(batch), "%s: %s", self.url, answer.reason)
            return 0
        self._log.recovered(f"{type(self).__name__}_failed", "spans go out to %s again", self.url)
        return len(batch) - self._rejected(answer, len(batch))

    def _deliver_in_parts(self, process: bytes, batch: list[tuple[SpanRecord, bytes]], size: int) -> int:
        """Post the halves of a batch that the server refused for its size (a lone span: trimmed), and fill later ones less."""
        self.statistics.take_number_back()
        self._max_bytes = max(min(self._max_bytes, size // 2), _SMALLEST_SPLIT)
        if len(batch) > 1:
            half = len(batch) // 2
            return self._deliver(process, batch[:half]) + self._deliver(process, batch[half:])
        [(record, span)] = batch
        smaller = self._trim(record, min(self._room(process), len(span) // 2))
        if smaller is None:
            self._lost("too_large", 1, "%r, of %d bytes", record.operation_name[:100], len(span))
            return 0
        return self._deliver(process, [smaller])

    def _compressed(self, body: bytes) -> bytes:
        if not self._compress:
            return body
        import gzip

        return gzip.compress(body, COMPRESSION)

    def _rejected(self, answer: Answer, number: int) -> int:
        """Return how many spans the server refused although it took the batch."""
        return 0

    def _lost(self, reason: str, number: int, why: str, *args: object) -> None:
        self._counters.add("sender_spans_" + reason, number)
        if reason == "too_large":
            self.statistics.was_too_large(number)
        else:
            self.statistics.failed(number)
        kind = f"{type(self).__name__}_{reason}"
        self._log.warning(kind, "lost %d span(s), " + reason + ": " + why, number, *args)
