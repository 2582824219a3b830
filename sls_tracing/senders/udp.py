"""Spans to a Jaeger agent over UDP: the default way out."""

from __future__ import annotations

import errno
import socket
from bisect import bisect_right
from itertools import accumulate
from typing import TYPE_CHECKING, Literal

from sls_tracing.exceptions import ConfigurationError, SenderError
from sls_tracing.forks import held
from sls_tracing.guard import LimitedLog, limited_log
from sls_tracing.metrics import Counters, counters
from sls_tracing.senders.client_statistics import ClientStatistics
from sls_tracing.senders.datagram_socket import LOOK_UP_EVERY, DatagramSocket
from sls_tracing.senders.sender import by_process
from sls_tracing.senders.trimming import smaller_processes, smaller_spans
from sls_tracing.thrift.schema import EncodeError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sls_tracing.model import Process, SpanRecord
    from sls_tracing.thrift.binary import BinaryEncoder
    from sls_tracing.thrift.compact import CompactEncoder

__all__ = ["UDPSender"]

_PORTS = {"compact": 6831, "binary": 6832}
_FAMILIES = {"udp": socket.AF_UNSPEC, "udp4": socket.AF_INET, "udp6": socket.AF_INET6}
_MIN_PACKET, _MAX_PACKET = 512, 65_507  # the latter is what IPv4 can carry
_MOST_SPANS = 65_507  # of one datagram: a bound of its list header

_QUIET = 10
"""Datagrams without a refusal until we believe that somebody listens: hosts limit how often they refuse (Linux: once a second)."""


_WORTH_SENDING = 100
"""Spans that are worth a datagram. Its own cost is spread by then, and work in small portions leaves the application its caches: at 5,000 spans a second,
one in a thousand took 95 µs with portions of 500 and 55 µs with these (as with a reporter that does nothing). A burst still goes in large ones."""


class UDPSender:
    """Sends ``Agent.emitBatch`` messages, one a datagram, each filled by measured bytes.

    - ``port``: 6831, or 6832 for ``protocol="binary"``, if None. ``protocol`` must be what the agent expects at that port.
    - ``max_packet_size``: bytes of a datagram at most. Agents read 65,000 and lose the rest of a longer one.
    - ``socket_type``: ``udp4`` or ``udp6`` where only one kind of address will do. ``look_up_every``: seconds until the name is looked up again.

    One bad span costs itself only: ``sender_spans_unencodable``. One too large for a datagram is trimmed (``sender_spans_trimmed``,
    tag ``sls.trimmed``), and only if that is not enough dropped (``sender_spans_too_large``). A network that refuses costs
    ``sender_spans_failed``. ``sender_spans_refused`` counts spans that did go out, after which the host said that nobody listens.
    """

    def __init__(
        self,
        host: str = "localhost",
        port: int | None = None,
        *,
        protocol: Literal["compact", "binary"] = "compact",
        max_packet_size: int = 65_000,
        socket_type: Literal["udp", "udp4", "udp6"] = "udp",
        look_up_every: float = LOOK_UP_EVERY,
        counters: Counters = counters,
        log: LimitedLog = limited_log,
    ) -> None:
        if protocol not in _PORTS:
            raise ConfigurationError(f"protocol must be 'compact' or 'binary', not {protocol!r}")
        if socket_type not in _FAMILIES:
            raise ConfigurationError(f"socket_type must be 'udp', 'udp4' or 'udp6', not {socket_type!r}")
        if isinstance(look_up_every, bool) or not isinstance(look_up_every, (int, float)) or not look_up_every > 0:
            raise ConfigurationError(f"look_up_every must be a number of seconds above 0, not {look_up_every!r}")
        if port is None:
            port = _PORTS[protocol]
        _check_number("port", port, 1, 65_535)
        _check_number("max_packet_size", max_packet_size, _MIN_PACKET, _MAX_PACKET)
        self.host = _check_host(host)
        self.port = port
        self.protocol = protocol
        self.max_packet_size = max_packet_size
        self._counters = counters
        self._log = log
        self._encoder: CompactEncoder | BinaryEncoder
        self._has_encoder = False
        self._socket = DatagramSocket(
            self.host, port, self._refused, family=_FAMILIES[socket_type], look_up_every=look_up_every
        )
        self.preferred_batch_size = _WORTH_SENDING
        self.statistics = ClientStatistics()
        self._losses = self.statistics.snapshot()
        self._start_afresh()

    def __repr__(self) -> str:
        return f"UDPSender({self.host!r}, {self.port}, protocol={self.protocol!r})"

    def send(self, spans: Sequence[SpanRecord]) -> int:
        """Send and return how many spans were handed to the network. Raises :class:`SenderError` only after ``close``."""
        if self._closed:
            raise SenderError(f"{self!r} is closed")
        if not self._has_encoder:
            self._encoder = _make_encoder(self.protocol)
            self._has_encoder = True
        return sum(self._send_group(process, group) for process, group in by_process(spans))

    def close(self) -> None:
        """Close the socket for good."""
        self._closed = True
        self._socket.close()

    def after_fork(self) -> None:
        """Open a socket of the child's own with the next datagram, and count batches from 1 again."""
        self._socket.close()  # the child's copy; the parent keeps its own
        self.statistics.start_afresh()
        self._start_afresh()

    def _start_afresh(self) -> None:
        self._closed = False
        self._spans_before = 0
        self._heard_nothing = 0
        self._process: tuple[Process, bytes] | None = None

    def _send_group(self, process: Process, records: Sequence[SpanRecord]) -> int:
        """Send spans of one process in as few datagrams as hold them."""
        self._losses = self.statistics.snapshot()  # one for measuring and sending: its varints grow
        try:
            encoded_process = self._encode_process(process)
        except EncodeError as error:
            self._lost("unencodable", len(records), "%s", error)
            return 0
        last = self.statistics.batches + len(records)
        envelope = self._encoder.envelope_size(encoded_process, _MOST_SPANS, seq_no=last, stats=self._losses)
        surely_free = self.max_packet_size - envelope  # what fits whatever the envelope's varints take
        try:
            encoded = self._encoder.spans(records)
        except EncodeError:
            records, encoded = self._encode_one_by_one(records)
        ends = [0, *accumulate(map(len, encoded))]
        sent = start = 0
        while start < len(encoded):
            stop = bisect_right(ends, ends[start] + surely_free) - 1
            while stop < len(encoded) and self._fits(encoded_process, stop + 1 - start, ends[stop + 1] - ends[start]):
                stop += 1
            if stop > start:
                sent += self._emit(encoded_process, encoded[start:stop])
                start = stop
            elif smaller := self._trim(records[start], encoded_process):
                encoded[start] = smaller
                ends = [0, *accumulate(map(len, encoded))]
            else:
                name = records[start].operation_name[:100]
                self._lost("too_large", 1, "%r, of %d bytes", name, len(encoded[start]))
                start += 1
        return sent

    def _encode_one_by_one(self, records: Sequence[SpanRecord]) -> tuple[list[SpanRecord], list[bytes]]:
        """Count the spans that cannot be encoded; return the others, and what they became."""
        good: list[SpanRecord] = []
        encoded: list[bytes] = []
        for record in records:
            try:
                encoded.append(self._encoder.span(record))
                good.append(record)
            except EncodeError as error:
                self._lost("unencodable", 1, "%s", error)
        return good, encoded

    def _encode_process(self, process: Process) -> bytes:
        """Return the process's bytes, at most half a datagram: the same ones every time, so they are kept."""
        if self._process is None or self._process[0] is not process:
            encoded = self._encoder.process(process)
            for smaller in smaller_processes(process):
                if len(encoded) <= self.max_packet_size // 2:
                    break
                encoded = self._encoder.process(smaller)
            self._process = (process, encoded)
        return self._process[1]

    def _fits(self, process: bytes, count: int, size: int) -> bool:
        following = self.statistics.batches + 1
        envelope = self._encoder.envelope_size(process, count, seq_no=following, stats=self._losses)
        return envelope + size <= self.max_packet_size

    def _trim(self, record: SpanRecord, process: bytes) -> bytes | None:
        for smaller in smaller_spans(record):
            span = self._encoder.span(smaller)
            if self._fits(process, 1, len(span)):
                self._counters.add("sender_spans_trimmed")
                return span
        return None

    def _emit(self, process: bytes, spans: list[bytes]) -> int:
        """Send one datagram; return how many of its spans went out: all or none."""
        if not spans:
            return 0
        self._heard_nothing += 1
        number = self.statistics.number_batch()
        try:
            self._socket.send(self._encoder.emit_batch(process, spans, seq_no=number, stats=self._losses))
        except OSError as error:
            remedy = " (lower max_packet_size)" if error.errno == errno.EMSGSIZE else ""
            self._lost("failed", len(spans), "%s:%d: %s%s", self.host, self.port, error, remedy)
            return 0
        self._log.recovered("udp_failed", "spans go out to %s:%d again", self.host, self.port)
        if self._heard_nothing > _QUIET:
            self._log.recovered("udp_refused", "somebody listens at %s:%d again", self.host, self.port)
        self._spans_before = len(spans)
        return len(spans)

    def _refused(self) -> None:
        self._heard_nothing = 0
        self._counters.add("sender_spans_refused", self._spans_before)
        self._spans_before = 0
        self._log.warning(
            "udp_refused", "nobody listens at %s:%d (%s): is the agent running?", self.host, self.port, self.protocol
        )

    def _lost(self, reason: str, number: int, why: str, *args: object) -> None:
        self._counters.add("sender_spans_" + reason, number)
        if reason == "too_large":
            self.statistics.was_too_large(number)
        else:
            self.statistics.failed(number)
        self._log.warning("udp_" + reason, "lost %d span(s), " + reason + ": " + why, number, *args)


def _make_encoder(protocol: str) -> CompactEncoder | BinaryEncoder:
    """Return an encoder. Loading it takes some 4 ms: in the thread that sends, and never in a process that has no span to tell of."""
    # A child that is forked while a thread imports a module can never import it.
    with held():
        if protocol == "binary":
            from sls_tracing.thrift.binary import BinaryEncoder

            return BinaryEncoder()
        from sls_tracing.thrift.compact import CompactEncoder

        return CompactEncoder()


def _check_number(name: str, value: object, least: int, most: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise ConfigurationError(f"{name} must be a whole number from {least} to {most}, not {value!r}")


def _check_host(host: object) -> str:
    if not isinstance(host, str) or not host.strip() or "\0" in host:
        raise ConfigurationError(f"host must be a name or an address, not {host!r}")
    host = host.strip()
    if host.startswith("[") and host.endswith("]"):  # an IPv6 address as in a URL
        return host[1:-1]
    if host.count(":") == 1 or "/" in host:
        raise ConfigurationError(f"host must be a name or an address alone, without scheme or port, not {host!r}")
    return host
