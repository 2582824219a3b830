"""Calls to databases, decided once for every library: names, tags, errors, and one span where two libraries stand on each other.

Names: a known word and at most what it is about (``SELECT orders``, ``GET``, ``find users``). Tags: OpenTracing's semantic conventions 1.1;
``db.type`` is ``sql`` for every SQL database as they ask for, hence ``peer.service`` says which one. ``db.statement`` never holds a value
(see `_sql`), nor does what is logged of an error: servers quote the values that they refuse.

Connecting, committing and fetching make no spans: a span tells of a statement, and three spans around each would tell little more.
"""

from __future__ import annotations

import re
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import ReferenceType, WeakKeyDictionary, ref

from sls_tracing.instrumentation._operation import Operation, guard
from sls_tracing.instrumentation._redaction import redact_text
from sls_tracing.instrumentation._sql import describe_sql

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

    import opentracing

__all__ = ["Database", "DatabaseCall", "Peers", "end_what_was_left", "endpoint_tags"]

_DETAIL = re.compile(r"\n(?:DETAIL|CONTEXT|QUERY|LINE \d+):.*(?:\n(?!\w+: )[^\n]*\S)*")
"""Lines in which PostgreSQL quotes rows and statements: ``DETAIL:  Key (email)=(a@b.example) already exists.``"""
_VALUE = re.compile(
    r"((?:Duplicate entry|value:?|Truncated incorrect \w+ value:|syntax for type [\w ]+:) )(?:'(?:[^']|'(?! for ))*'|\"[^\"\n]*\")"
)
"""``Duplicate entry 'a@b.example' for key 'email'``, ``invalid input syntax for type integer: "abc"``."""
_NEAR = re.compile(r"(near )(?:'.*'|\"[^\"\n]*\")( at line)?", re.DOTALL)
"""A syntax error quotes the rest of the statement."""


class Database(NamedTuple):
    """A library and what it talks to: ``component``, ``db.type`` and ``peer.service``."""

    component: str
    type: str
    service: str


class DatabaseCall(Operation):
    """One call to a database. While it is under way, libraries below it that reach the same kind of database stay silent."""

    __slots__ = ("_before", "_type")

    def __init__(self, tracer: opentracing.Tracer, span: opentracing.Span, database_type: str) -> None:
        super().__init__(tracer, span)
        self._type = database_type
        self._before: ReferenceType[DatabaseCall] | None = None

    @classmethod
    def start(
        cls,
        tracer: opentracing.Tracer | None,
        database: Database,
        name: str,
        statement: str | None = None,
        tags: Mapping[str, object] | None = None,
    ) -> DatabaseCall | None:
        """Start the span under the active one. ``statement`` is shown as it is: the caller has taken its values out.

        None if nothing shall be traced (``tracer`` is None), the call is part of one that is under way, or the tracer cannot: then it
        goes untraced.
        """
        if tracer is None:
            return None
        outer = _call_under_way()
        if outer is not None and outer._type == database.type:
            return None
        span_tags: dict[str, object] = {
            "component": database.component,
            "span.kind": "client",
            "db.type": database.type,
            "peer.service": database.service,
        }
        if tags:
            span_tags.update(tags)
        if statement:
            span_tags["db.statement"] = statement
        span = guard.call(None, tracer.start_span, name, tags=span_tags)
        return None if span is None else cls(tracer, span, database.type)

    @classmethod
    def start_sql(
        cls,
        tracer: opentracing.Tracer | None,
        database: Database,
        statement: object,
        tags: Mapping[str, object] | None = None,
    ) -> DatabaseCall | None:
        """The same for an SQL statement as the application wrote it, text or bytes."""
        if tracer is None:
            return None
        text = statement.decode("utf-8", "replace") if isinstance(statement, (bytes, bytearray)) else statement
        shown = guard.call(
            None, describe_sql, text if isinstance(text, str) else "", mysql=database.service in ("mysql", "mariadb")
        )
        if shown is None or not shown.text:  # nothing but a comment or space: how pools ask whether a connection lives
            return None
        return cls.start(tracer, database, shown.name, shown.text, tags)

    def __enter__(self) -> None:
        super().__enter__()
        self.hide_libraries_below()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.show_libraries_below()
        super().__exit__(kind, error, traceback)

    def hide_libraries_below(self) -> None:
        """Keep other libraries from making a span of the same call, in this thread and context, until it is finished."""
        self._before = _under_way.get()
        _under_way.set(ref(self))

    def show_libraries_below(self) -> None:
        """Undo :meth:`hide_libraries_below`. By ``set``, not by a token: an event may come in another context than its counterpart."""
        before, self._before = self._before, None
        _under_way.set(before)

    def _redact(self, text: str) -> str:
        return _NEAR.sub(r"\1?\2", _VALUE.sub(r"\1?", _DETAIL.sub("", redact_text(text))))


_under_way: ContextVar[ReferenceType[DatabaseCall] | None] = ContextVar("sls_tracing_database_call", default=None)
"""By a weak reference: a call that was left behind silences nothing once its owner is gone."""


def _call_under_way() -> DatabaseCall | None:
    reference = _under_way.get()
    call = None if reference is None else reference()
    return None if call is None or call.finished else call


def end_what_was_left() -> None:
    """For the library on top, which is no part of another's call: one that is under way here was left without an end."""
    call = _call_under_way()
    if call is not None:
        call.finish()
    _under_way.set(None)


class Peers:
    """Tags that say where a connection leads, read once for each: asking a driver may cost more than the span."""

    def __init__(self, read: Callable[[Any], Mapping[str, object]]) -> None:
        self._read = read
        self._known: WeakKeyDictionary[Any, Mapping[str, object]] = WeakKeyDictionary()

    def tags(self, connection: Any) -> Mapping[str, object]:
        """Return the tags; none if they cannot be told."""
        with guard:
            tags = self._known.get(connection)
            if tags is None:
                tags = self._known[connection] = self._read(connection)
            return tags
        return {}


def endpoint_tags(
    host: object = None, port: object = None, instance: object = None, user: object = None
) -> dict[str, object]:
    """Return the tags for those of these that are known. A ``host`` that begins with ``/`` is a socket's path."""
    tags: dict[str, object] = {}
    host, instance, user = _text(host), _text(instance), _text(user)
    if host.startswith(("/", "@")):
        tags["peer.address"] = host
    elif host:
        tags["peer.hostname"] = host
        number = _text(port)
        if number.isdecimal():
            tags["peer.port"] = int(number)
    if instance:
        tags["db.instance"] = instance
    if user:
        tags["db.user"] = user
    return tags


def _text(value: object) -> str:
    if value is None:
        return ""
    return value.decode("utf-8", "replace") if isinstance(value, (bytes, bytearray)) else str(value)
