"""Every library under every tracer: one client span under the active one, its error told, nothing left open."""

from __future__ import annotations

import contextlib
import sqlite3
from concurrent.futures import ThreadPoolExecutor

import grpc
import kafka
import psycopg
import pymongo
import pymysql
import pytest
import redis
import sqlalchemy

from sls_tracing import instrumentation
from tests.instrumentation.conftest import Jaeger, Mock, Ours, _recording
from tests.instrumentation.services.conftest import postgresql_uri


@contextlib.contextmanager
def use_sqlite3(request):
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        yield lambda: connection.execute("SELECT 1"), lambda: connection.execute("SELECT * FROM nowhere")


@contextlib.contextmanager
def use_psycopg(request):
    with psycopg.connect(postgresql_uri(request.getfixturevalue("postgresql"))) as connection:
        yield lambda: connection.execute("SELECT 1"), lambda: connection.execute("SELECT * FROM nowhere")


@contextlib.contextmanager
def use_pymysql(request):
    host, port = request.getfixturevalue("mariadb")
    with pymysql.connect(host=host, port=port, user="root", database="shop") as connection:
        cursor = connection.cursor()
        yield lambda: cursor.execute("SELECT 1"), lambda: cursor.execute("SELECT * FROM nowhere")


@contextlib.contextmanager
def use_sqlalchemy(request):
    engine = sqlalchemy.create_engine("sqlite://")
    with engine.connect() as connection:
        yield (
            lambda: connection.execute(sqlalchemy.text("SELECT 1")),
            lambda: connection.execute(sqlalchemy.text("SELECT * FROM nowhere")),
        )
    engine.dispose()


@contextlib.contextmanager
def use_redis(request):
    with redis.Redis(*request.getfixturevalue("redis_server")) as client:
        yield lambda: client.set("a", "b"), lambda: client.lpush("a", "b")


@contextlib.contextmanager
def use_pymongo(request):
    with pymongo.MongoClient(request.getfixturevalue("mongodb")) as client:
        yield lambda: client.shop.products.find_one({"a": 1}), lambda: client.shop.command("nothing")


LIBRARIES = {
    "sqlite3": (use_sqlite3, "SELECT"),
    "psycopg": (use_psycopg, "SELECT"),
    "pymysql": (use_pymysql, "SELECT"),
    "sqlalchemy": (use_sqlalchemy, "SELECT"),
    "redis": (use_redis, "SET"),
    "pymongo": (use_pymongo, "find products"),
}


@pytest.fixture(params=[Ours, Mock, Jaeger], ids=["ours", "mock", "jaeger"])
def any_tracer(request):
    yield from _recording(request.param())


@pytest.mark.parametrize("library", list(LIBRARIES))
def test_one_client_span_and_its_error(any_tracer, library, request):
    use, name = LIBRARIES[library]
    with use(request) as (succeed, fail), any_tracer.tracer.start_active_span("request") as scope:
        before = len(any_tracer.spans)
        succeed()
        with pytest.raises(Exception, match=r"(?i)nowhere|WRONGTYPE|nothing"):
            fail()
        assert any_tracer.tracer.active_span is scope.span
        well, failed = any_tracer.spans[before:]
    assert (well.name, well.parent_id) == (name, scope.span.context.span_id)
    assert (well.tags["component"], well.tags["span.kind"]) == (library, "client")
    assert "error" not in well.tags
    assert (failed.tags["error"], failed.parent_id, len(failed.errors())) == (True, scope.span.context.span_id, 1)


@pytest.mark.parametrize("library", list(LIBRARIES))
def test_a_raising_tracer_harms_no_library(ours, library, request, monkeypatch):
    ours.expects_failures = True
    for method in ("start_span", "inject"):
        monkeypatch.setattr(type(ours.tracer), method, lambda *args, **kwargs: 1 / 0)
    with LIBRARIES[library][0](request) as (succeed, fail):
        succeed()
        with pytest.raises(Exception, match=r"(?i)nowhere|WRONGTYPE|nothing"):
            fail()
    monkeypatch.undo()


@pytest.mark.parametrize("library", list(LIBRARIES))
def test_twice_installed_is_one_span_and_uninstalled_is_none(ours, library, request):
    instrumentation.install()
    with LIBRARIES[library][0](request) as (succeed, _):
        succeed()
        before = len(ours.spans)
        succeed()
        assert len(ours.spans) == before + 1
        instrumentation.uninstall()
        succeed()
        assert len(ours.spans) == before + 1


def test_a_message_carries_the_trace(any_tracer, kafka_broker):
    """Each tracer's own headers survive the way through a broker."""
    topic = "any-tracer"
    producer = kafka.KafkaProducer(bootstrap_servers=kafka_broker)
    consumer = kafka.KafkaConsumer(bootstrap_servers=kafka_broker, consumer_timeout_ms=20_000)
    with any_tracer.tracer.start_active_span("request"):
        where = producer.send(topic, b"a", partition=0).get(timeout=20)
    consumer.assign([kafka.TopicPartition(topic, 0)])
    consumer.seek(kafka.TopicPartition(topic, 0), where.offset)
    next(consumer)
    producer.close(5)
    consumer.close()
    by_name = {span.name: span for span in any_tracer.spans}
    sent, received = by_name[f"send {topic}"], by_name[f"receive {topic}"]
    assert (received.trace_id, received.parent_id) == (sent.trace_id, sent.span_id)
    assert (sent.tags["span.kind"], received.tags["span.kind"]) == ("producer", "consumer")


def test_a_call_carries_the_trace(any_tracer):
    """Each tracer's own headers are metadata that gRPC takes."""

    class Handler(grpc.GenericRpcHandler):
        def service(self, details):
            return grpc.unary_unary_rpc_method_handler(lambda request, context: request)

    server = grpc.server(ThreadPoolExecutor(1), handlers=[Handler()])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with any_tracer.tracer.start_active_span("request") as scope, grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        assert channel.unary_unary("/shop.Orders/Get")(b"a") == b"a"
    server.stop(0).wait()
    client, answered = sorted(
        (span for span in any_tracer.spans if "/" in span.name), key=lambda span: span.tags["span.kind"]
    )
    assert (client.parent_id, answered.parent_id) == (scope.span.context.span_id, client.span_id)
    assert answered.trace_id == client.trace_id
