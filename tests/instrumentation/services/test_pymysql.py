"""PyMySQL against a real MariaDB."""

from __future__ import annotations

import pymysql
import pytest
from pymysql.cursors import DictCursor, SSCursor

from sls_tracing import instrumentation


@pytest.fixture
def connect(mariadb):
    def connect(**options):
        return pymysql.connect(host=mariadb.host, port=mariadb.port, user="root", database="shop", **options)

    return connect


@pytest.fixture
def connection(recorded, connect):
    with connect() as connection:
        connection.cursor().execute("CREATE TEMPORARY TABLE products (id int PRIMARY KEY, name varchar(20))")
        yield connection


def names(recorded):
    return [span.name for span in recorded.spans]


def test_a_statement_makes_a_client_span_under_the_active_one(recorded, connection, mariadb):
    with recorded.tracer.start_active_span("request") as scope:
        connection.cursor().execute("SELECT name FROM products WHERE id = %s", (7,))
    span = recorded.spans[1]
    assert (span.name, span.parent_id) == ("SELECT products", scope.span.context.span_id)
    assert span.tags == {
        "component": "pymysql",
        "span.kind": "client",
        "db.type": "sql",
        "db.instance": "shop",
        "db.user": "root",
        "peer.service": "mysql",
        "peer.hostname": "127.0.0.1",
        "peer.port": mariadb.port,
        "db.statement": "SELECT name FROM products WHERE id = %s",
    }


def test_every_way_to_execute_makes_one_span(recorded, connection):
    """Many rows are one call, though PyMySQL executes them one by one or in bunches."""
    with connection.cursor() as cursor:
        cursor.executemany("INSERT INTO products VALUES (%s, %s)", [(1, "a"), (2, "b")])
        cursor.executemany("UPDATE products SET name = %s WHERE id = %s", [("c", 1), ("d", 2)])
        cursor.execute(query="CREATE OR REPLACE PROCEDURE answer(IN a int) SELECT a + 1")
        cursor.callproc("answer", (41,))
        assert cursor.fetchone() == (42,)
    with connection.cursor(DictCursor) as cursor:
        cursor.execute("SELECT * FROM products ORDER BY id")
        assert cursor.fetchall()[0] == {"id": 1, "name": "c"}
    with connection.cursor(SSCursor) as cursor:
        cursor.execute("SELECT 'it\\'s', \"secret\"")
        assert cursor.fetchall() == [("it's", "secret")]
    assert names(recorded)[1:] == [
        "INSERT products", "UPDATE products", "CREATE", "CALL answer", "SELECT products", "SELECT"
    ]  # fmt: skip
    assert recorded.spans[-1].tags["db.statement"] == "SELECT ?, ?"


def test_errors_are_told_without_values(recorded, connection):
    cursor = connection.cursor()
    cursor.execute("INSERT INTO products VALUES (1, 'a')")
    with pytest.raises(pymysql.err.IntegrityError):
        cursor.execute("INSERT INTO products VALUES (%s, 's3cret')", (1,))
    with pytest.raises(pymysql.err.DataError):
        cursor.execute("INSERT INTO products VALUES (%s, %s)", (2, "s3cret" * 10))
    with pytest.raises(pymysql.err.ProgrammingError):
        cursor.execute("SELECT FROM 's3cret' WHERE")
    with pytest.raises(pymysql.err.ProgrammingError):
        cursor.execute("SELECT * FROM nowhere")
    messages = [span.errors()[0]["message"] for span in recorded.spans if span.tags.get("error")]
    assert len(messages) == 4
    assert "s3cret" not in str(messages)
    assert "Duplicate entry ? for key 'PRIMARY'" in messages[0]
    assert "'shop.nowhere' doesn't exist" in messages[3]


def test_cursor_classes_of_the_application_and_earlier_connections_are_traced(recorded, connect):
    class Cursor(DictCursor):
        def execute(self, query, args=None):
            return super().execute(query.lower(), args)

    instrumentation.uninstall("pymysql")
    with connect(cursorclass=Cursor) as connection:
        instrumentation.install("pymysql")
        with connection.cursor() as cursor:
            assert type(cursor) is Cursor
            cursor.execute("SELECT 1 AS ONE")
            assert cursor.fetchone() == {"one": 1}
        instrumentation.uninstall("pymysql")
        connection.cursor().execute("SELECT 2")
    assert names(recorded) == ["SELECT"]
    assert type(vars(pymysql.cursors.Cursor)["execute"]).__name__ == "function"


def test_transactions_and_closed_cursors_behave_as_ever(recorded, connection):
    connection.begin()
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO products VALUES (1, 'a')")
        connection.rollback()
        assert cursor.execute("SELECT * FROM products") == 0
    with pytest.raises(pymysql.err.ProgrammingError, match="Cursor closed"):
        cursor.execute("SELECT 1")
