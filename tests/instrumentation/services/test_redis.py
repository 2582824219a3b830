"""redis-py against a real Redis, sync and async."""

from __future__ import annotations

import asyncio

import pytest
import redis
import redis.asyncio

from sls_tracing import instrumentation


@pytest.fixture
def client(recorded, redis_server):
    with redis.Redis(*redis_server, db=3, decode_responses=True) as client:
        client.flushdb()
        yield client


def names(recorded):
    return [span.name for span in recorded.spans]


def test_a_command_makes_a_client_span_without_key_or_value(recorded, client, redis_server):
    client.set("session:s3cret", "s3cret")
    assert client.get("session:s3cret") == "s3cret"
    span = recorded.spans[1]
    assert (span.name, span.parent_id) == ("SET", None)
    assert span.tags == {
        "component": "redis",
        "span.kind": "client",
        "db.type": "redis",
        "db.instance": "3",
        "peer.service": "redis",
        "peer.hostname": "127.0.0.1",
        "peer.port": redis_server.port,
        "db.statement": "SET ? ?",
    }
    assert names(recorded)[1:] == ["SET", "GET"]


def test_names_are_commands_and_nothing_else(recorded, client):
    client.config_get("maxmemory")
    client.mget([str(number) for number in range(50)])
    client.execute_command(b"ping")
    with pytest.raises(redis.ResponseError):
        client.execute_command("s3cret! user text")
    assert names(recorded)[1:] == ["CONFIG GET", "MGET", "PING", "redis"]
    assert recorded.spans[2].tags["db.statement"] == "MGET ? ? ? ? ? ? ? ? …"
    assert "s3cret" not in str([span.tags for span in recorded.spans])


def test_a_pipeline_is_one_span(recorded, client):
    with client.pipeline() as pipeline:
        pipeline.set("a", 1).incr("a").execute()
    with client.pipeline(transaction=False) as pipeline:
        for _ in range(30):
            pipeline.incr("a")
        assert pipeline.execute()[-1] == 32
    with client.pipeline() as pipeline:
        assert pipeline.execute() == []
    assert names(recorded)[1:] == ["MULTI", "PIPELINE"]
    first, second = recorded.spans[1:]
    assert (first.tags["db.statement"], first.tags["db.redis.pipeline_length"]) == ("SET ? ?\nINCRBY ? ?", 2)
    assert (second.tags["db.statement"].count("INCRBY"), second.tags["db.redis.pipeline_length"]) == (20, 30)


def test_a_watched_transaction(recorded, client):
    """What is read after WATCH goes out at once."""

    def double(pipeline):
        value = int(pipeline.get("a"))
        pipeline.multi()
        pipeline.set("a", value * 2)

    client.set("a", 2)
    client.transaction(double, "a")
    assert client.get("a") == "4"
    assert names(recorded)[2:] == ["WATCH", "GET", "MULTI", "GET"]


def test_an_error_in_a_pipeline(recorded, client):
    client.set("a", "text")
    with pytest.raises(redis.ResponseError), client.pipeline() as pipeline:
        pipeline.incr("a").execute()
    assert recorded.spans[-1].tags["error"] is True


def test_no_server(recorded):
    with pytest.raises(redis.ConnectionError):
        redis.Redis("127.0.0.1", 1).ping()
    assert recorded.spans[-1].errors()[0]["error.kind"] == "redis.exceptions.ConnectionError"


def test_publishing_and_scripts(recorded, client):
    with client.pubsub() as pubsub:
        pubsub.subscribe("news")
        assert pubsub.get_message(timeout=5)["type"] == "subscribe"
        client.publish("news", "s3cret")
        assert pubsub.get_message(timeout=5)["data"] == "s3cret"
    assert client.register_script("return 42")() == 42
    assert names(recorded)[1:3] == ["PUBLISH", "EVALSHA"]
    assert "s3cret" not in str([span.tags for span in recorded.spans])


def test_clients_made_before_are_traced_and_uninstall_leaves_nothing(recorded, client):
    instrumentation.uninstall("redis")
    with redis.Redis(connection_pool=client.connection_pool) as other:
        other.ping()
        instrumentation.install("redis")
        other.ping()
        instrumentation.uninstall("redis")
        other.ping()
    assert names(recorded) == ["FLUSHDB", "PING"]
    assert type(vars(redis.Redis)["execute_command"]).__name__ == "function"
    assert (
        "execute" not in vars(redis.asyncio.client.Pipeline)
        or type(vars(redis.asyncio.client.Pipeline)["execute"]).__name__ == "function"
    )


def test_asynchronous_clients(recorded, redis_server):
    async def request(number):
        with recorded.tracer.start_active_span(f"request {number}") as scope:
            async with redis.asyncio.Redis(host=redis_server.host, port=redis_server.port) as client:
                await client.set(f"a{number}", number)
                assert recorded.tracer.active_span is scope.span
                async with client.pipeline() as pipeline:
                    assert await pipeline.get(f"a{number}").execute() == [str(number).encode()]
                with pytest.raises(redis.ResponseError):
                    await client.lpush(f"a{number}", 1)
        return scope.span.context.span_id

    async def main():
        return await asyncio.gather(request(1), request(2))

    for parent in asyncio.run(main()):
        children = [span for span in recorded.spans if span.parent_id == parent]
        assert [(span.name, span.tags.get("error")) for span in children] == [
            ("SET", None), ("MULTI", None), ("LPUSH", True)
        ]  # fmt: skip
