"""kafka-python: a producer span for every message sent, a consumer span for every message taken, the context in the message's headers.

A sent message's span ends when the broker has acknowledged it, or with the error of its delivery. A taken message's span tells when and where it was
taken; what an application then does with it happens in a loop of its own, out of sight. It can be brought into the trace:

    from sls_tracing.instrumentation.kafka import processing

    for message in consumer:
        with processing(message):     # a span "process orders", the active one inside
            handle(message)
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from sls_tracing.guard import Guard
from sls_tracing.instrumentation._messaging import ConsumerCall, ProducerCall
from sls_tracing.instrumentation._patching import Patch
from sls_tracing.instrumentation._tracer_source import TracerSource

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType

    import opentracing

__all__ = ["patches", "processing"]

_HEADERS = 3
"""Where ``headers`` stands among the arguments of ``send``."""
_SINCE_HEADERS = (0, 11)
"""Brokers before refuse headers."""
_guard = Guard("instrumentation_kafka")
_installed: list[TracerSource] = []


def patches(module: ModuleType, tracer: TracerSource) -> list[Patch]:
    """Return the patches for ``kafka``, not yet installed."""
    hooks = _Hooks(tracer)
    _installed[:] = [tracer]
    return [
        Patch(module.KafkaProducer, "send", hooks.send),
        Patch(module.KafkaConsumer, "poll", hooks.poll),
        Patch(module.KafkaConsumer, "__next__", hooks.next),
    ]


@contextlib.contextmanager
def processing(message: Any, tracer: opentracing.Tracer | None = None) -> Iterator[opentracing.Span | None]:
    """Make a span for what is done with a message (a ``ConsumerRecord``), active inside the block; yield it, or None if nothing is traced.

    It follows from the span that sent the message. An exception is recorded and passes. ``tracer``: else that of ``install``, or
    OpenTracing's global one.
    """
    source = TracerSource(tracer) if tracer is not None or not _installed else _installed[0]
    call = _guard.call(None, _consumer_call, source.active(), "process", message)
    if call is None:
        yield None
        return
    with call:
        yield call.span
    call.finish()


class _Hooks:
    def __init__(self, tracer: TracerSource) -> None:
        self._tracer = tracer

    def send(self, wrapped: Callable[..., Any], producer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Around ``KafkaProducer.send``."""
        topic = args[0] if args else kwargs.get("topic")
        tracer = self._tracer.active()
        call = ProducerCall.start(tracer, "kafka", topic, topic) if isinstance(topic, str) else None
        if call is None:
            return wrapped(*args, **kwargs)
        args, kwargs = _guard.call((args, kwargs), _with_headers, call, producer, args, kwargs)
        with call:
            future = wrapped(*args, **kwargs)
        if not _guard.call(False, _finish_with, call, future):
            call.finish()
        return future

    def poll(self, wrapped: Callable[..., Any], consumer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Around ``KafkaConsumer.poll``."""
        records = wrapped(*args, **kwargs)
        # Iterating polls, too, and takes more than it hands on; each record then has its span in `next`.
        if kwargs.get("update_offsets", True):
            with _guard:
                tracer = self._tracer.active()
                if tracer is not None:
                    for batch in records.values():
                        for record in batch:
                            self._received(tracer, record, consumer)
        return records

    def next(self, wrapped: Callable[..., Any], consumer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Around ``next(consumer)``."""
        record = wrapped(*args, **kwargs)
        with _guard:
            tracer = self._tracer.active()
            if tracer is not None:
                self._received(tracer, record, consumer)
        return record

    def _received(self, tracer: opentracing.Tracer, record: Any, consumer: Any) -> None:
        call = _consumer_call(tracer, "receive", record)
        if call is not None:
            group = consumer.config.get("group_id")
            if group:
                call.set_tags({"kafka.group": group})
            call.finish()


def _consumer_call(tracer: opentracing.Tracer | None, verb: str, record: Any) -> ConsumerCall | None:
    headers = {}
    for name, value in record.headers or ():
        if isinstance(value, (bytes, bytearray)):
            headers[str(name).lower()] = value.decode("utf-8", "replace")
    tags = {"kafka.partition": record.partition, "kafka.offset": record.offset}
    return ConsumerCall.start(tracer, "kafka", f"{verb} {record.topic}", record.topic, headers, tags)


def _with_headers(
    call: ProducerCall, producer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the arguments with the context in a new list of headers: the caller's stays his."""
    given = args[_HEADERS] if len(args) > _HEADERS else kwargs.get("headers")
    version = producer.config.get("api_version")
    if not (given is None or isinstance(given, list)) or (isinstance(version, tuple) and version < _SINCE_HEADERS):
        return args, kwargs
    ours = call.headers()
    headers = [header for header in given or () if str(header[0]).lower() not in ours]
    headers += [(name, value.encode()) for name, value in ours.items()]
    if len(args) > _HEADERS:
        return (*args[:_HEADERS], headers, *args[_HEADERS + 1 :]), kwargs
    return args, {**kwargs, "headers": headers}


def _finish_with(call: ProducerCall, future: Any) -> bool:
    """Finish the span when the message has been delivered, or not; the producer's own thread calls."""

    def delivered(metadata: Any) -> None:
        call.set_tags({"kafka.partition": metadata.partition, "kafka.offset": metadata.offset})
        call.finish()

    def failed(error: BaseException) -> None:
        call.failed(error)
        call.finish()

    future.add_callback(_guard.wrap(delivered, None))
    future.add_errback(_guard.wrap(failed, None))
    return True
