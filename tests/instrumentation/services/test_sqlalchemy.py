"""SQLAlchemy: one span for a statement whichever driver is below and instrumented too."""

from __future__ import annotations

import asyncio

import pytest
import sqlalchemy
from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import Session, declarative_base

from sls_tracing import instrumentation
from tests.instrumentation.services.conftest import postgresql_uri

Base = declarative_base()


class Product(Base):
    __tablename__ = "sa_products"
    id = sqlalchemy.Column(sqlalchemy.Integer, primary_key=True, autoincrement=False)
    name = sqlalchemy.Column(sqlalchemy.String(50))


@pytest.fixture
def postgresql_url(postgresql):
    return postgresql_uri(postgresql).replace("postgresql:", "postgresql+psycopg:")


@pytest.fixture(params=["sqlite", "postgresql", "mysql"])
def engine(request, recorded):
    """An engine for each driver; its first connection, which asks for the server's settings, is made."""
    if request.param == "sqlite":
        url = "sqlite://"
    elif request.param == "postgresql":
        url = request.getfixturevalue("postgresql_url")
    else:
        server = request.getfixturevalue("mariadb")
        url = f"mysql+pymysql://root@{server.host}:{server.port}/shop"
    engine = sqlalchemy.create_engine(url)
    with engine.connect():
        pass
    yield engine
    engine.dispose()


def names(recorded):
    return [span.name for span in recorded.spans]


def seen_from(recorded, count):
    return [(span.tags["component"], span.name) for span in recorded.spans[count:]]


def test_one_span_a_statement_though_the_driver_is_instrumented_too(recorded, engine):
    with recorded.tracer.start_active_span("request") as scope, engine.begin() as connection:
        connection.execute(text("SELECT 1 WHERE 1 = :one"), {"one": 1})
        connection.execute(text("SELECT 2 WHERE 1 = :one"), [{"one": 1}])
    spans = [span for span in recorded.spans if span.parent_id == scope.span.context.span_id]
    assert [span.tags["component"] for span in spans] == ["sqlalchemy"] * 2
    tags = spans[0].tags
    assert tags["peer.service"] == engine.dialect.name
    assert (tags["span.kind"], tags["db.type"]) == ("client", "sql")
    assert tags["db.statement"].startswith("SELECT ? WHERE ? = ")
    if engine.url.host:
        assert (tags["peer.hostname"], tags["peer.port"]) == ("127.0.0.1", engine.url.port)
        assert (tags["db.user"], tags["db.instance"]) == (engine.url.username, engine.url.database)


def test_the_orm(recorded, engine):
    Base.metadata.drop_all(engine)
    Base.metadata.create_all(engine)
    before = len(recorded.spans)
    with Session(engine) as session:
        session.add_all([Product(id=1, name="s3cret"), Product(id=2, name="b")])
        session.commit()
        assert session.query(Product).filter_by(name="s3cret").one().id == 1
        session.query(Product).update({"name": "c"})
        session.commit()
    assert seen_from(recorded, before) == [
        ("sqlalchemy", "INSERT sa_products"),
        ("sqlalchemy", "SELECT sa_products"),
        ("sqlalchemy", "UPDATE sa_products"),
    ]
    assert "s3cret" not in str([span.tags for span in recorded.spans])


def test_errors_are_the_drivers_own_without_parameters(recorded, engine):
    """SQLAlchemy's text would show statement and parameters."""
    with pytest.raises(sqlalchemy.exc.DBAPIError, match="s3cret"), engine.connect() as connection:
        connection.execute(text("SELECT * FROM nowhere WHERE a = :a"), {"a": "s3cret"})
    span = recorded.spans[-1]
    (error,) = span.errors()
    assert (span.name, span.tags["error"]) == ("SELECT nowhere", True)
    assert "nowhere" in error["message"]
    assert "s3cret" not in error["message"]
    with engine.connect() as connection:
        connection.execute(text("SELECT 1"))
    assert recorded.spans[-1].tags.get("error") is None


def test_engines_made_before_are_traced_and_uninstall_leaves_nothing(recorded):
    instrumentation.uninstall(["sqlalchemy", "sqlite3"])
    engine = sqlalchemy.create_engine("sqlite://")
    with engine.connect() as connection:
        connection.execute(text("SELECT 1"))
    instrumentation.install("sqlalchemy")
    with engine.connect() as connection:
        connection.execute(text("SELECT 2"))
    instrumentation.uninstall("sqlalchemy")
    with engine.connect() as connection:
        connection.execute(text("SELECT 3"))
    engine.dispose()
    assert names(recorded) == ["SELECT"]
    assert not list(engine.dispatch.before_cursor_execute)


def test_without_its_own_instrumentation_the_driver_tells(recorded):
    instrumentation.uninstall("sqlalchemy")
    engine = sqlalchemy.create_engine("sqlite://")
    with engine.connect() as connection:
        connection.execute(text("SELECT 1"))
    engine.dispose()
    assert {span.tags["component"] for span in recorded.spans} == {"sqlite3"}


def test_a_listener_that_raises_does_not_silence_what_follows(recorded):
    engine = sqlalchemy.create_engine("sqlite://")

    @event.listens_for(engine, "before_cursor_execute")
    def refuse(connection, cursor, statement, *args):
        if "refused" in statement:
            raise ZeroDivisionError

    with engine.connect() as connection:
        with pytest.raises(ZeroDivisionError):
            connection.execute(text("SELECT 'x' AS refused"))
        connection.execute(text("SELECT 2 AS two"))
    engine.dispose()
    assert recorded.spans[-1].tags["db.statement"] == "SELECT ? AS two"


@pytest.mark.parametrize("driver", ["psycopg", "aiosqlite"])
def test_asynchronous_engines(recorded, driver, request):
    """Also one whose driver works in a thread of its own."""
    url = "sqlite+aiosqlite://" if driver == "aiosqlite" else request.getfixturevalue("postgresql_url")

    async def main():
        engine = create_async_engine(url)
        async with engine.connect():
            pass
        before = len(recorded.spans)
        with recorded.tracer.start_active_span("request") as scope:
            async with engine.connect() as connection:
                await connection.execute(text("SELECT 1"))
                with pytest.raises(sqlalchemy.exc.DBAPIError):
                    await connection.execute(text("SELECT * FROM nowhere"))
        await engine.dispose()
        return before, scope.span.context.span_id

    before, parent = asyncio.run(main())
    assert [(span.tags["component"], span.parent_id) for span in recorded.spans[before:-1]] == [
        ("sqlalchemy", parent)
    ] * 2
    assert [span.tags.get("error") for span in recorded.spans[before:-1]] == [None, True]


def test_a_cancelled_statement_ends_its_span(recorded, postgresql_url):
    async def main():
        engine = create_async_engine(postgresql_url)
        async with engine.connect() as connection:
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(connection.execute(text("SELECT pg_sleep(60)")), 0.05)
        async with engine.connect() as connection:
            await connection.execute(text("SELECT 'after'"))
        await engine.dispose()

    asyncio.run(main())
    (cancelled,) = (span for span in recorded.spans if "pg_sleep" in span.tags["db.statement"])
    assert cancelled.errors()[0]["error.kind"].endswith("CancelledError")
    assert recorded.spans[-1].tags["component"] == "sqlalchemy"
