"""kafka-python against a broker that speaks Kafka's protocol."""

from __future__ import annotations

import contextlib
import uuid

import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import KafkaTimeoutError

from sls_tracing import instrumentation
from sls_tracing.instrumentation.kafka import processing


@pytest.fixture
def topic():
    return f"orders-{uuid.uuid4().hex}"


@pytest.fixture
def producer(recorded, kafka_broker):
    producer = KafkaProducer(bootstrap_servers=kafka_broker)
    yield producer
    producer.close(5)


@pytest.fixture
def consumer(recorded, kafka_broker, topic):
    # Partitions are assigned by hand: this broker takes 20 seconds for a group to form.
    options = {"auto_offset_reset": "earliest", "consumer_timeout_ms": 20_000, "enable_auto_commit": False}
    consumer = KafkaConsumer(bootstrap_servers=kafka_broker, group_id="shop", **options)
    consumer.assign([TopicPartition(topic, 0)])
    yield consumer
    consumer.close()


def test_a_message_carries_the_trace(recorded, producer, consumer, topic, kafka_broker):
    """The producer's span ends with the acknowledgement; the consumer's follows from it and from nothing that is active there."""
    given = [("own", b"mine")]
    with recorded.tracer.start_active_span("request") as scope:
        producer.send(topic, b"s3cret", headers=given, partition=0).get(timeout=20)
    assert given == [("own", b"mine")]
    with recorded.tracer.start_active_span("elsewhere"):
        message = next(consumer)
    sent, received = (
        next(span for span in recorded.spans if span.name == f"{verb} {topic}") for verb in ("send", "receive")
    )
    assert sent.parent_id == scope.span.context.span_id
    assert received.parent_id == sent.span_id
    assert sent.tags == {
        "component": "kafka", "span.kind": "producer", "message_bus.destination": topic, "kafka.partition": 0, "kafka.offset": 0
    }  # fmt: skip
    assert received.tags == {**sent.tags, "span.kind": "consumer", "kafka.group": "shop"}
    assert dict(message.headers)["own"] == b"mine"
    assert all(isinstance(value, bytes) for _, value in message.headers)
    record = next(span for span in recorded.reporter.spans if span.operation_name == received.name)
    assert str(record.references[0].type).lower().endswith("follows_from")


def test_each_message_of_a_batch_has_its_own_trace(recorded, producer, consumer, topic):
    for number in range(3):
        with recorded.tracer.start_active_span(f"request {number}"):
            producer.send(topic, b"%d" % number, partition=0)
    producer.flush(20)
    received = []
    while len(received) < 3:
        for records in consumer.poll(timeout_ms=1_000).values():
            received += records
    spans = [span for span in recorded.spans if span.name.startswith("receive")]
    assert len({span.trace_id for span in spans}) == len(spans) == 3
    assert [span.tags["kafka.offset"] for span in spans] == [0, 1, 2]


def test_what_is_done_with_a_message_follows_from_who_sent_it(recorded, producer, consumer, topic):
    producer.send(topic, b"a", partition=0).get(timeout=20)
    for message in consumer:
        with contextlib.suppress(ZeroDivisionError), processing(message) as span:
            assert recorded.tracer.active_span is span
            raise ZeroDivisionError
        break
    assert recorded.tracer.active_span is None
    sent, process = recorded.spans[0], recorded.spans[-1]
    assert (process.name, process.parent_id, process.tags["error"]) == (f"process {topic}", sent.span_id, True)


def test_a_message_that_is_sent_on_tells_of_the_last_step(recorded, producer, consumer, topic):
    """With its headers as they came, as retry queues do."""
    producer.send(topic, b"a", partition=0).get(timeout=20)
    message = next(consumer)
    producer.send(topic, b"b", None, message.headers, 0).get(timeout=20)
    again = next(consumer)
    assert len(again.headers) == len(message.headers)
    receipts = [span for span in recorded.spans if span.name.startswith("receive")]
    assert receipts[1].parent_id == recorded.spans[2].span_id


def test_messages_without_headers_or_with_strange_ones_begin_traces(recorded, producer, consumer, topic):
    instrumentation.uninstall("kafka")
    producer.send(
        topic, b"a", headers=[("x-b3-traceid", b"\xff"), ("X-B3-SpanId", b"not hex"), ("none", b"")], partition=0
    ).get(timeout=20)
    producer.send(topic, b"b", partition=0).get(timeout=20)
    instrumentation.install("kafka")
    next(consumer), next(consumer)
    assert [span.parent_id for span in recorded.spans] == [None, None]


def test_what_cannot_be_delivered_is_an_error(recorded, producer, topic):
    with pytest.raises((TypeError, AssertionError)):
        producer.send(topic, b"a", headers=(("not", b"a list"),))
    with pytest.raises((KafkaTimeoutError, ValueError, AssertionError)):
        producer.send("no topic's name!", b"a").get(timeout=1)
    assert [span.tags.get("error") for span in recorded.spans] == [True, True]


def test_uninstall_leaves_nothing(recorded, producer, consumer, topic):
    instrumentation.uninstall("kafka")
    producer.send(topic, b"a", partition=0).get(timeout=20)
    assert next(consumer).headers == []
    assert recorded.spans == []
    assert type(vars(KafkaProducer)["send"]).__name__ == "function"


def test_what_is_no_message_is_processed_untraced(recorded):
    recorded.expects_failures = True
    with processing({"no": "message"}) as span:
        assert span is None
    assert recorded.spans == []
