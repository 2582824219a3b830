"""psycopg 3 against a real PostgreSQL, sync and async."""

from __future__ import annotations

import asyncio
import contextlib

import psycopg
import pytest
from psycopg import sql
from psycopg.rows import dict_row

from sls_tracing import instrumentation
from tests.instrumentation.services.conftest import postgresql_uri


@pytest.fixture
def uri(postgresql):
    return postgresql_uri(postgresql)


@pytest.fixture
def connection(recorded, uri):
    with psycopg.connect(uri, autocommit=True) as connection:
        connection.execute("CREATE TEMP TABLE products (id int PRIMARY KEY, name text)")
        yield connection


def names(recorded):
    return [span.name for span in recorded.spans]


def test_a_statement_makes_a_client_span_under_the_active_one(recorded, connection, postgresql):
    with recorded.tracer.start_active_span("request") as scope:
        connection.execute("SELECT name FROM products WHERE id = %s", (7,))
    span = recorded.spans[1]
    assert (span.name, span.parent_id) == ("SELECT products", scope.span.context.span_id)
    assert span.tags == {
        "component": "psycopg",
        "span.kind": "client",
        "db.type": "sql",
        "db.instance": "postgres",
        "db.user": "shop",
        "peer.service": "postgresql",
        "peer.hostname": "127.0.0.1",
        "peer.port": postgresql.port,
        "db.statement": "SELECT name FROM products WHERE id = %s",
    }


def test_every_way_to_execute_makes_one_span(recorded, connection):
    """Many rows, streams, COPY both ways, client-side binding, server-side cursors, composed statements, keywords."""
    with connection.cursor() as cursor:
        cursor.executemany("INSERT INTO products VALUES (%s, %s)", [(1, "a"), (2, "b")])
        assert list(cursor.stream("SELECT id FROM products ORDER BY id")) == [(1,), (2,)]
        with cursor.copy("COPY products FROM STDIN") as copy:
            copy.write_row((3, "c"))
        with cursor.copy(b"COPY products TO STDOUT") as copy:
            assert len(list(copy.rows())) == 3
        cursor.execute(
            query=sql.SQL("DELETE FROM {} WHERE id = {}").format(sql.Identifier("products"), sql.Literal(4711))
        )
    with psycopg.ClientCursor(connection) as cursor:
        cursor.execute("SELECT %s", ("a",))
    with connection.transaction(), connection.cursor("named") as cursor:
        cursor.execute("SELECT * FROM products")
        assert len(cursor.fetchall()) == 3
    assert names(recorded)[1:] == [
        "INSERT products", "SELECT products", "COPY products", "COPY products", "DELETE products", "SELECT", "SELECT products",
    ]  # fmt: skip
    assert recorded.spans[5].tags["db.statement"] == 'DELETE FROM "products" WHERE id = ?'


def test_a_stream_ends_with_its_rows_and_is_not_active_between(recorded, connection):
    with recorded.tracer.start_active_span("request") as scope:
        for _ in connection.cursor().stream("SELECT generate_series(1, 3)"):
            assert recorded.tracer.active_span is scope.span
            assert names(recorded) == ["CREATE"]
    assert names(recorded) == ["CREATE", "SELECT", "request"]


def test_a_stream_that_is_left_ends_its_span(recorded, connection):
    for _ in connection.cursor().stream("SELECT generate_series(1, 3)"):
        break
    connection.execute("SELECT 1")
    assert names(recorded)[1:] == ["SELECT", "SELECT"]


def test_errors_are_told_without_the_rows_that_the_server_quotes(recorded, connection):
    connection.execute("INSERT INTO products VALUES (4711, 's3cret')")
    with pytest.raises(psycopg.errors.UniqueViolation):
        connection.execute("INSERT INTO products VALUES (%s, %s)", (4711, "s3cret"))
    with pytest.raises(psycopg.errors.InvalidTextRepresentation):
        connection.execute("SELECT %s::int", ("s3cret",))
    with pytest.raises(psycopg.errors.SyntaxError):
        connection.execute("SELECT 's3cret' 's3cret' FROM FROM")
    for span, kind in zip(
        recorded.spans[-3:], ("UniqueViolation", "InvalidTextRepresentation", "SyntaxError"), strict=True
    ):
        (error,) = span.errors()
        assert span.tags["error"] is True
        assert error["error.kind"] == f"psycopg.errors.{kind}"
        assert "s3cret" not in error["message"]
        assert "4711" not in error["message"]
        assert "4711) already" not in error["stack"]
    assert "duplicate key value violates" in recorded.spans[-3].errors()[0]["message"]


def test_cursor_and_row_factories_of_the_application_are_traced(recorded, uri):
    class Cursor(psycopg.Cursor):
        def execute(self, query, *args, **kwargs):
            return super().execute("/* mine */ " + query, *args, **kwargs)

    with psycopg.connect(uri, cursor_factory=Cursor, row_factory=dict_row) as connection:
        assert type(connection.cursor()) is Cursor
        assert connection.execute("SELECT 1 AS one").fetchall() == [{"one": 1}]
    assert names(recorded) == ["SELECT"]


def test_connections_made_before_are_traced_and_uninstall_leaves_nothing(recorded, uri):
    instrumentation.uninstall("psycopg")
    with psycopg.connect(uri) as connection:
        connection.execute("SELECT 1")
        instrumentation.install("psycopg")
        connection.execute("SELECT 2")
        instrumentation.uninstall("psycopg")
        connection.execute("SELECT 3")
    assert names(recorded) == ["SELECT"]
    assert type(vars(psycopg.Cursor)["execute"]).__name__ == "function"


def test_pipelines_transactions_and_a_pool_work(recorded, uri):
    import psycopg_pool

    check = getattr(psycopg_pool.ConnectionPool, "check_connection", None)  # executes nothing, and makes no span
    with psycopg_pool.ConnectionPool(uri, min_size=1, max_size=2, **({"check": check} if check else {})) as pool:
        with pool.connection() as connection, connection.pipeline():
            connection.execute("SELECT 1")
            assert connection.execute("SELECT 2").fetchone() == (2,)
        with contextlib.suppress(ZeroDivisionError), pool.connection() as connection, connection.transaction():
            connection.execute("CREATE TABLE never (id int)")
            raise ZeroDivisionError
        with pool.connection() as connection, pytest.raises(psycopg.errors.UndefinedTable):
            connection.execute("SELECT * FROM never")
    assert names(recorded) == ["SELECT", "SELECT", "CREATE", "SELECT never"]


def test_asynchronous_cursors(recorded, uri):
    """Tasks that run at the same time keep their spans apart."""

    async def request(number):
        with recorded.tracer.start_active_span(f"request {number}") as scope:
            async with await psycopg.AsyncConnection.connect(uri) as connection:
                await connection.execute("SELECT pg_sleep(0.01)")
                assert recorded.tracer.active_span is scope.span
                async with connection.cursor() as cursor:
                    await cursor.executemany("SELECT %s", [(1,), (2,)])
                    assert [row async for row in cursor.stream("SELECT 1")] == [(1,)]
                    async with cursor.copy("COPY (SELECT 1) TO STDOUT") as copy:
                        assert [row async for row in copy.rows()] == [("1",)]
                async with connection.cursor("named") as cursor:
                    await cursor.execute("SELECT 2")
                with pytest.raises(psycopg.errors.UndefinedTable):
                    await connection.execute("SELECT * FROM nowhere")
        return scope.span.context.span_id

    async def main():
        return await asyncio.gather(request(1), request(2))

    for parent in asyncio.run(main()):
        children = [span for span in recorded.spans if span.parent_id == parent]
        assert [span.name for span in children] == ["SELECT", "SELECT", "SELECT", "COPY", "SELECT", "SELECT nowhere"]
        assert [span.tags.get("error") for span in children] == [None] * 5 + [True]


def test_a_cancelled_statement_ends_its_span_as_an_error(recorded, uri):
    async def main():
        connection = await psycopg.AsyncConnection.connect(uri)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(connection.execute("SELECT pg_sleep(60)"), 0.05)
        await connection.close()

    asyncio.run(main())
    assert recorded.spans[0].errors()[0]["error.kind"].endswith("CancelledError")


def test_a_raising_tracer_harms_nothing(ours, uri, monkeypatch):
    ours.expects_failures = True
    monkeypatch.setattr(type(ours.tracer), "start_span", lambda *args, **kwargs: 1 / 0)
    with psycopg.connect(uri) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
