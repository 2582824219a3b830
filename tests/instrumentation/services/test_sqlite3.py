"""sqlite3: a span for every statement, whatever factories an application has, and C's own type checks satisfied."""

from __future__ import annotations

import contextlib
import sqlite3

import opentracing
import pytest

from sls_tracing import instrumentation
from sls_tracing.suppression import suppress


def names(recorded):
    return [span.name for span in recorded.spans]


@pytest.fixture
def shop(recorded):
    with sqlite3.connect(":memory:") as connection:
        connection.execute("CREATE TABLE products (id INTEGER PRIMARY KEY, name TEXT UNIQUE)")
        yield connection
    connection.close()


def test_a_statement_makes_a_client_span_under_the_active_one(recorded, shop):
    with recorded.tracer.start_active_span("request") as scope:
        rows = shop.execute("SELECT name FROM products WHERE id = ?", (7,)).fetchall()
    assert rows == []
    span = recorded.spans[1]
    assert span.name == "SELECT products"
    assert span.parent_id == scope.span.context.span_id
    assert span.tags == {
        "component": "sqlite3",
        "span.kind": "client",
        "db.type": "sql",
        "db.instance": ":memory:",
        "peer.service": "sqlite",
        "db.statement": "SELECT name FROM products WHERE id = ?",
    }


def test_every_way_to_execute_makes_one_span(recorded, shop):
    """A connection's shortcuts, cursors, many rows, a script."""
    cursor = shop.cursor()
    cursor.execute("INSERT INTO products (name) VALUES ('a')")
    cursor.executemany("INSERT INTO products (name) VALUES (?)", [("b",), ("c",)])
    shop.executemany("UPDATE products SET name = ? WHERE id = ?", [("d", 1)])
    shop.executescript("DELETE FROM products; SELECT 1;")
    assert names(recorded)[1:] == [
        "INSERT products", "INSERT products", "UPDATE products", "SCRIPT"
    ]  # fmt: skip


def test_no_value_gets_into_a_span(recorded, shop):
    """Neither from a statement that was put together with values in it, nor from parameters, nor from an error that quotes them."""
    shop.execute("INSERT INTO products (name) VALUES ('s3cret')")
    with pytest.raises(sqlite3.IntegrityError):
        shop.execute("INSERT INTO products (name) VALUES (?)", ("s3cret",))
    with pytest.raises(sqlite3.OperationalError):
        shop.execute("SELECT FROM 's3cret' WHERE")
    assert "s3cret" not in str([(span.tags, [{**log, "stack": ""} for log in span.logs]) for span in recorded.spans])


def test_an_error_is_told_and_passes(recorded, shop):
    with pytest.raises(sqlite3.OperationalError, match="no such table: nowhere"):
        shop.execute("SELECT 1 FROM nowhere")
    span = recorded.spans[-1]
    assert span.tags["error"] is True
    assert span.errors()[0]["message"] == "no such table: nowhere"
    assert span.errors()[0]["error.kind"] == "sqlite3.OperationalError"


def test_factories_of_the_application_are_kept_and_traced(recorded):
    """Even where they override what we would have to: every call that reaches sqlite3 passes us."""

    class Cursor(sqlite3.Cursor):
        def execute(self, sql, *args):
            return super().execute(sql.replace("NAMES", "name"), *args)

    class Connection(sqlite3.Connection):
        def cursor(self):
            return super().cursor(Cursor)

    connection = sqlite3.connect(":memory:", factory=Connection)
    assert isinstance(connection, Connection)
    cursor = connection.cursor()
    assert isinstance(cursor, Cursor)
    assert (type(connection).__qualname__, type(cursor).__name__) == (Connection.__qualname__, "Cursor")
    assert cursor.execute("SELECT 1 AS NAMES").description[0][0] == "name"
    assert [span.tags["db.statement"] for span in recorded.spans] == ["SELECT ? AS name"]
    connection.close()


def test_a_factory_that_is_a_function_is_called_and_its_connection_untraced(recorded):
    made = []

    def factory(*args, **kwargs):
        made.append(sqlite3.Connection(*args, **kwargs))
        return made[-1]

    assert sqlite3.connect(":memory:", factory=factory) is made[0]
    made[0].execute("SELECT 1")
    made[0].close()
    assert recorded.spans == []


def test_positional_arguments_of_connect_are_fine(recorded):
    """Deprecated since Python 3.12, and still there."""

    class Connection(sqlite3.Connection):
        pass

    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        connection = sqlite3.connect(":memory:", 5.0, 0, None, True, Connection)
    assert isinstance(connection, Connection)
    connection.execute("SELECT 1")
    connection.close()
    assert names(recorded) == ["SELECT"]


def test_sqlite3s_own_functions_take_the_connection(recorded, shop):
    """They check types in C; proxies fail there."""
    shop.execute("INSERT INTO products (name) VALUES ('a')")
    target = sqlite3.connect(":memory:")
    shop.commit()
    shop.backup(target)
    assert target.execute("SELECT count(*) FROM products").fetchone() == (1,)
    assert any("INSERT INTO" in line for line in shop.iterdump())
    shop.row_factory = sqlite3.Row
    assert sqlite3.Row(shop.execute("SELECT 1 AS one"), (1,))["one"] == 1
    target.close()


def test_transactions_work_as_ever(recorded, shop):
    with contextlib.suppress(ZeroDivisionError), shop:
        shop.execute("INSERT INTO products (name) VALUES ('a')")
        raise ZeroDivisionError
    assert shop.execute("SELECT count(*) FROM products").fetchone() == (0,)
    with shop:
        shop.execute("INSERT INTO products (name) VALUES ('a')")
    shop.rollback()
    assert shop.execute("SELECT count(*) FROM products").fetchone() == (1,)


def test_suppressed_work_is_not_traced(recorded, shop):
    with suppress():
        shop.execute("SELECT 1")
    assert names(recorded) == ["CREATE"]


def test_a_connection_outlives_uninstall_and_install(recorded):
    """Untraced without, traced again with; a connection made without is never touched."""
    traced = sqlite3.connect(":memory:")
    instrumentation.uninstall("sqlite3")
    assert type(sqlite3.connect).__name__ == "builtin_function_or_method"
    assert sqlite3.connect is sqlite3.dbapi2.connect
    before = sqlite3.connect(":memory:")
    traced.execute("SELECT 1")
    instrumentation.install("sqlite3")
    instrumentation.install("sqlite3")
    before.execute("SELECT 1")
    assert type(before) is sqlite3.Connection
    assert recorded.spans == []
    with sqlite3.connect(":memory:") as after:
        after.execute("SELECT 1")
    assert names(recorded) == ["SELECT"]
    for connection in (traced, before, after):
        connection.close()


def test_a_raising_tracer_harms_nothing(ours, monkeypatch):
    ours.expects_failures = True
    monkeypatch.setattr(type(ours.tracer), "start_span", lambda *args, **kwargs: 1 / 0)
    with sqlite3.connect(":memory:") as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    connection.close()


def test_without_a_tracer_nothing_happens(recorded):
    connection = sqlite3.connect(":memory:")
    opentracing.set_global_tracer(opentracing.Tracer())
    assert connection.execute("SELECT 1").fetchone() == (1,)
    connection.close()
    assert recorded.spans == []


def test_spans_made_in_a_function_of_the_application_are_children(recorded, shop):
    """SQLite calls it back from within the statement."""

    def answer():
        with opentracing.tracer.start_active_span("answer"):
            return 42

    shop.create_function("answer", 0, answer)
    assert shop.execute("SELECT answer()").fetchone() == (42,)
    inner, outer = recorded.spans[1:]
    assert (inner.name, inner.parent_id) == ("answer", outer.span_id)
