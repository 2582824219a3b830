"""PyMongo against a server that speaks MongoDB's protocol, sync and async."""

from __future__ import annotations

import asyncio

import pymongo
import pymongo.errors
import pymongo.monitoring
import pytest

from sls_tracing import instrumentation


@pytest.fixture
def products(recorded, mongodb):
    with pymongo.MongoClient(mongodb) as client:
        client.shop.products.drop()
        yield client.shop.products


def names(recorded):
    return [span.name for span in recorded.spans]


def test_a_command_makes_a_client_span_without_values(recorded, products, mongodb):
    with recorded.tracer.start_active_span("request") as scope:
        products.find_one({"name": "s3cret", "price": {"$gt": 4711, "$in": [1, 2]}}, sort=[("name", 1)])
    span = recorded.spans[1]
    assert (span.name, span.parent_id) == ("find products", scope.span.context.span_id)
    statement = span.tags.pop("db.statement")
    assert statement.startswith('find products {"filter": {"name": "?", "price": {"$gt": "?", "$in": "?"}}')
    assert span.tags == {
        "component": "pymongo",
        "span.kind": "client",
        "db.type": "mongodb",
        "db.instance": "shop",
        "peer.service": "mongodb",
        "peer.hostname": "127.0.0.1",
        "peer.port": int(mongodb.rstrip("/").rpartition(":")[2]),
    }


def test_writing_aggregating_and_long_results(recorded, products):
    products.insert_many([{"name": "s3cret", "number": number} for number in range(250)])
    products.update_many({"number": {"$lt": 5}}, {"$set": {"name": "s3cret"}})
    assert list(products.aggregate([{"$match": {"name": "s3cret"}}, {"$count": "n"}])) == [{"n": 250}]
    assert len(list(products.find())) == 250
    products.delete_many({})
    assert names(recorded)[1:] == [
        "insert products", "update products", "aggregate products", "find products", "getMore products", "delete products"
    ]  # fmt: skip
    assert "s3cret" not in str([span.tags for span in recorded.spans])


def test_errors_are_told_without_the_document(recorded, products):
    """Of a write that is refused the server says that the command went well."""
    products.insert_one({"_id": "s3cret"})
    with pytest.raises(pymongo.errors.DuplicateKeyError):
        products.insert_one({"_id": "s3cret"})
    with pytest.raises(pymongo.errors.OperationFailure):
        products.database.command("nothing", "s3cret")
    refused, unknown = recorded.spans[-2:]
    assert (refused.tags["error"], refused.errors()[0]["db.mongodb.code"]) == (True, 11000)
    assert (unknown.tags["error"], unknown.errors()[0]["error.kind"]) == (True, "CommandNotFound")
    assert "s3cret" not in str([span.logs for span in recorded.spans])


def test_listeners_of_the_application_hear_what_they_always_heard(recorded, mongodb):
    heard = []

    class Listener(pymongo.monitoring.CommandListener):
        def started(self, event):
            heard.append(event.command_name)

        def succeeded(self, event):
            heard.append("succeeded")

        failed = succeeded

    with pymongo.MongoClient(mongodb, event_listeners=[Listener()]) as client:
        client.shop.products.find_one()
        assert heard == ["find", "succeeded"]


def test_clients_made_before_are_traced_and_uninstall_leaves_nothing(recorded, products):
    instrumentation.uninstall("pymongo")
    with pymongo.MongoClient(products.database.client.address[0], products.database.client.address[1]) as client:
        client.shop.products.find_one()
        instrumentation.install("pymongo")
        client.shop.products.find_one()
        instrumentation.uninstall("pymongo")
        client.shop.products.find_one()
        assert not client._event_listeners.enabled_for_commands
    assert names(recorded) == ["drop products", "find products"]


def test_asynchronous_clients(recorded, mongodb):
    async def request(number):
        with recorded.tracer.start_active_span(f"request {number}") as scope:
            async with pymongo.AsyncMongoClient(mongodb) as client:
                await client.shop.products.find_one({"a": number})
                with pytest.raises(pymongo.errors.OperationFailure):
                    await client.shop.command("nothing")
        return scope.span.context.span_id

    async def main():
        return await asyncio.gather(request(1), request(2))

    for parent in asyncio.run(main()):
        children = [span for span in recorded.spans if span.parent_id == parent]
        assert [span.name for span in children] == ["find products", "nothing"]
