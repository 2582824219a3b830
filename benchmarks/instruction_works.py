"""Fixed work for ``instructions.py`` to count, in one process under callgrind.

``os.getpriority`` stands between the pieces: a call of C that nobody else makes, at which callgrind writes down what it has counted. Ids come from
a generator with a seed; nothing is sent anywhere. Prints the number of units of each piece as JSON, in their order.
"""

from __future__ import annotations

import gc
import json
import os
import random
import sys
from typing import TYPE_CHECKING, Any

from requested import HEADERS

if TYPE_CHECKING:
    from collections.abc import Callable

WARM = 50
COUNT = 250


class _Thing:
    __slots__ = ("name", "tags", "time")

    def __init__(self, name: str, time: int) -> None:
        self.name = name
        self.tags: dict[str, int] = {}
        self.time = time

    def tag(self, key: str, value: int) -> _Thing:
        if type(value) is int:
            self.tags[key] = value
        return self


def reference() -> Callable[[int], None]:
    """Plain Python that never changes: what an interpreter, its compiler and its libc make of it scales the rest."""

    def work(count: int) -> None:
        kept: list[Any] = []
        for number in range(count):
            for _ in range(4):
                thing = _Thing("name", number)
                thing.tag("first", number).tag("second", 200)
                kept.append((thing.name, thing.time, thing.tags, f"{number:016x}"))
            b"".join([each[3].encode() for each in kept])
            kept.clear()

    return work


def _tracer(sampled: bool | None, reporter: Any) -> Any:
    from sls_tracing import ConstSampler, Tracer

    return Tracer("bench", reporter, ConstSampler(sampled), ids=random.Random(1).getrandbits)


def life(sampled: bool) -> Callable[[int], None]:
    from sls_tracing import NullReporter

    start = _tracer(sampled, NullReporter()).start_span

    def work(count: int) -> None:
        for _ in range(count):
            span = start("operation")
            span.set_tag("http.method", "GET")
            span.set_tag("http.status_code", 200)
            span.finish()

    return work


def deferred() -> Callable[[int], None]:
    from sls_tracing import NullReporter, SpanContext

    start = _tracer(True, NullReporter()).start_span
    context = SpanContext(1 << 100, 1 << 40, None, None)

    def work(count: int) -> None:
        for _ in range(count):
            start("operation", context).finish()

    return work


def nested() -> Callable[[int], None]:
    from sls_tracing import NullReporter

    start = _tracer(True, NullReporter()).start_active_span

    def work(count: int) -> None:
        for _ in range(count):
            with start("outer") as outer:
                outer.span.set_tag("number", 1)
                with start("inner") as inner:
                    inner.span.set_tag("number", 2)

    return work


def hop() -> Callable[[int], None]:
    from opentracing import Format

    from sls_tracing import NullReporter

    tracer = _tracer(True, NullReporter())

    def work(count: int) -> None:
        for _ in range(count):
            with tracer.start_active_span("server", tracer.extract(Format.HTTP_HEADERS, HEADERS)) as server:
                server.span.set_tag("span.kind", "server")
                with tracer.start_active_span("client") as client:
                    client.span.set_tag("span.kind", "client")
                    tracer.inject(client.span.context, Format.HTTP_HEADERS, {})

    return work


def report() -> Callable[[int], None]:
    """What a queued span adds to the application's thread; the queue is emptied by hand."""
    from sls_tracing import BatchingReporter, UDPSender

    reporter = BatchingReporter(UDPSender())
    reporter._attention = 1 << 30  # no thread: its turns cannot be counted twice alike
    start, queue = _tracer(True, reporter).start_span, reporter._queue

    def work(count: int) -> None:
        for _ in range(count):
            start("operation").finish()
        queue.clear()

    return work


def _records(count: int) -> list[Any]:
    from sls_tracing import InMemoryReporter

    reporter = InMemoryReporter()
    tracer = _tracer(True, reporter)
    for number in range(count):
        with tracer.start_span("GET /products/<id>", start_time=1.7e9 + number) as span:
            span.set_tag("http.method", "GET")
            span.set_tag("http.status_code", 200)
            span.set_tag("http.url", f"http://productpage:9080/products/{number}")
            span.set_tag("component", "flask")
            span.finish(1.7e9 + number + 0.0125)
    return [*reporter.spans]


def encode(sender: Any) -> Callable[[int], None]:
    """Encoding, filling and handing over to the transport, which forgets."""
    records = _records(WARM + COUNT)

    def work(count: int) -> None:
        sender.send(records[:count])

    return work


def encode_udp(protocol: str) -> Callable[[int], None]:
    from sls_tracing import UDPSender

    sender = UDPSender(protocol=protocol)
    sender._socket.send = lambda datagram: None
    return encode(sender)


def encode_otlp() -> Callable[[int], None]:
    from sls_tracing import OTLPSender
    from sls_tracing.senders.http_poster import Answer

    sender = OTLPSender("http://collector:4318", compress=False)
    sender._poster.post = lambda body, headers: Answer(200)
    return encode(sender)


def main() -> None:
    mark: Callable[[int, int], int] = os.getpriority
    gc.collect()
    mark(0, 0)
    from sls_tracing import BatchingReporter, ConstSampler, SpanContext, Tracer, current_span, init_tracer, traced  # noqa: F401 - the first piece: what a service uses

    mark(0, 0)
    works: dict[str, Callable[[], Callable[[int], None]]] = {
        "reference": reference,
        "sampled": lambda: life(sampled=True),
        "unsampled": lambda: life(sampled=False),
        "deferred": deferred,
        "nested": nested,
        "b3 hop": hop,
        "report": report,
        "compact": lambda: encode_udp("compact"),
        "binary": lambda: encode_udp("binary"),
        "otlp": encode_otlp,
    }
    units = {"import": 1}
    for name, make in works.items():
        work = make()
        work(WARM)
        gc.collect()
        mark(0, 0)
        work(COUNT)
        mark(0, 0)
        units[name] = COUNT
    json.dump(units, sys.stdout)
    sys.stdout.flush()
    os._exit(0)  # neither threads nor sockets to close


if __name__ == "__main__":
    main()
