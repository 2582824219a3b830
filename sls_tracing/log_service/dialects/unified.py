"""Spans of all dialects in one logstore, asked for as if all were Jaeger's: one statement finds them whoever wrote them.

    logstore = UnifiedLogstore(logstore)
    logstore.get_logs('process.serviceName: a | select traceID, max(startTime) as t from log group by traceID', begin, end)

The search gets the other schema's names beside Jaeger's, and the table ``log`` of the analysis becomes a sub-query that offers Jaeger's columns, made from
whatever a log has: ids of one width, microseconds, a root as ``0``, ``tags.error`` from the status. The log's time becomes that of the span's start, which
with other writers is its end. A logstore whose index knows Jaeger's names only is asked as it is.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, NamedTuple

from sls_tracing.log_service.dialects.reading import NANOSECONDS_FROM
from sls_tracing.log_service.dialects.values import as_text, from_key_value, to_json
from sls_tracing.log_service.index import FieldIndex, Index
from sls_tracing.log_service.logstore import END_OF_TIME, PAGE_LINES, LogServiceError
from sls_tracing.log_service.query import split
from sls_tracing.log_service.query.quoting import sql_name, sql_value
from sls_tracing.log_service.query.search import (
    MAX_TERMS,
    And,
    Compare,
    Everything,
    Exists,
    Field,
    Node,
    Not,
    Or,
    Range,
    Value,
    parse_search,
    render,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlglot import exp

    from sls_tracing.log_service.logstore import LogGroup, Logstore, QueryResult

__all__ = ["LATENESS", "UnifiedLogstore", "unify"]

LATENESS = 3600
"""Seconds that a log's time may lie after its span's start: longer spans of such writers are found by their ids only."""

_KEPT = 100
"""Statements that are kept in both forms."""

_INDEX_HOLDS = 60.0
"""Seconds; the service itself takes as long until a change of the index holds."""

_NAMES = {"process.serviceName": "service", "operationName": "name", "startTime": "start"}
_TAG, _PROCESS_TAG, _ATTRIBUTE, _RESOURCE = "tags.", "process.tags.", "attribute.", "resource."
_SHARED = frozenset(("traceID", "spanID", "parentSpanID", "duration", "logs", "__time__"))


class _Schemas(NamedTuple):
    """Whose names the index knows. With neither, it is Jaeger's names that an error should speak of."""

    jaeger: bool
    other: bool


def _schemas(index: Index) -> _Schemas:
    return _Schemas(index.can_search("process.serviceName"), index.can_search("service") and index.can_search("start"))


class UnifiedLogstore:
    """A logstore in which every span seems to be Jaeger's; see :class:`~sls_tracing.log_service.logstore.Logstore`."""

    def __init__(self, logstore: Logstore) -> None:
        self.logstore = logstore
        """The logstore itself."""
        self._known: tuple[float, Index] | None = None
        self._unified: tuple[Index | None, dict[str, str]] = (None, {})

    def put_logs(self, group: LogGroup) -> None:
        """Store the group as it is."""
        self.logstore.put_logs(group)

    def get_logs(
        self,
        query: str,
        from_time: int,
        to_time: int,
        *,
        line: int = PAGE_LINES,
        offset: int = 0,
        reverse: bool = False,
    ) -> QueryResult:
        """Answer an analysis over all spans that started in the range; a search as it is, of the logs of so long a range that theirs are in it."""
        index = self._index()
        if _schemas(index).other:
            others = self._has_others()
            if split(query).sql is not None and (others or self._has_nanoseconds()):
                query = self._unify(query, index, (from_time, to_time), others=others)
            if others:
                to_time = min(END_OF_TIME, to_time + LATENESS)
        return self.logstore.get_logs(query, from_time, to_time, line=line, offset=offset, reverse=reverse)

    def histogram(self, query: str, from_time: int, to_time: int) -> list[tuple[int, int, int]]:
        """Count logs over their own time."""
        return self.logstore.histogram(query, from_time, to_time)

    def get_index(self) -> Index:
        """Return the index as Jaeger's names have it."""
        index = self._index()
        return _UnifiedIndex(*index) if _schemas(index).other else index

    def set_index(self, index: Index) -> None:
        """Replace the logstore's own index."""
        self._known = None
        self.logstore.set_index(index)

    def close(self) -> None:
        """Close the logstore."""
        self.logstore.close()

    def _unify(self, query: str, index: Index, times: tuple[int, int], *, others: bool) -> str:
        """As :func:`unify`, which takes as long as the question itself; without others the times do not matter, and the same is asked for several."""
        if others:
            return unify(query, index, times)
        known_for, known = self._unified
        if known_for is not index or len(known) >= _KEPT:
            known = {}
            self._unified = (index, known)
        if query not in known:
            known[query] = unify(query, index, times, others=False)
        return known[query]

    def _index(self) -> Index:
        """Return the index; that of a remote logstore is asked for once a minute, not with each query."""
        if hasattr(self.logstore, "fields"):
            return self.logstore.get_index()
        known, now = self._known, time.monotonic()
        if known is None or now >= known[0] + _INDEX_HOLDS:
            known = self._known = (now, self.logstore.get_index())
        return known[1]

    def _has_nanoseconds(self) -> bool:
        """Whether there may be logs of Jaeger's first writers: the embedded store knows."""
        largest = getattr(self.logstore, "largest", None)
        return largest is None or largest("startTime") >= NANOSECONDS_FROM

    def _has_others(self) -> bool:
        """Whether there may be logs of others than Jaeger: the embedded store knows, and looking for what is not there has a price."""
        fields = getattr(self.logstore, "fields", None)
        return fields is None or "start" in fields()


class _UnifiedIndex(Index):
    """Knows a field if it can be asked of the spans of every writer."""

    def find(self, field: str) -> FieldIndex | None:
        plain = Index(*self)
        names = [field] if _schemas(plain).jaeger or not _other_name(field) else []
        names += [other] if (other := _other_name(field)) else []
        found = [plain.find(name) for name in names]
        return None if None in found else found[0]


def unify(query: str, index: Index, times: tuple[int, int] | None = None, *, others: bool = True) -> str:
    """Return an analysis in Jaeger's names as one of all spans that ``index`` knows; with ``times``, of those that started between them.

    Without ``others`` all logs are in Jaeger's first schema, of whichever age. Raises LogServiceError (``ParameterInvalid``) for what is no query.
    """
    import sqlglot
    from sqlglot import exp

    parts = split(query)
    schemas = _schemas(index) if others else _Schemas(jaeger=True, other=False)
    tree, bounds = _take_bounds(parse_search(parts.search))
    search = _rename(tree, lambda node: _searches(node, schemas, index)) if schemas.other else tree
    if _terms(search) > MAX_TERMS and _names_only(tree):
        search = Everything()  # more names than a search may hold: the analysis tells them apart itself
    try:
        select = sqlglot.parse_one(parts.sql or "", read="presto")
    except sqlglot.errors.SqlglotError as error:
        raise LogServiceError("ParameterInvalid", f"analysis: {error}") from error
    if schemas.other:
        for node in list(select.find_all(exp.StrPosition)):
            _search_logs(node)
    columns = _Columns(index, schemas)
    aliases = {alias.alias for alias in select.find_all(exp.Alias)}
    names = {column.name for column in select.find_all(exp.Column)}
    names = {name for name in names if columns.offers(name, aliases)}
    offered = ", ".join(f"{columns.sql(name)} as {sql_name(name)}" for name in sorted(names)) or "1 as one"
    where = [f"{columns.sql(bound.name)} {bound.operator} {bound.number}" for bound in bounds]
    if times is not None and schemas.other:
        where.append(f"{columns.sql('__time__')} >= {times[0]} and {columns.sql('__time__')} < {times[1]}")
    source = f"select {offered} from log" + (f" where {' and '.join(where)}" if where else "")
    for table in list(select.find_all(exp.Table)):
        if table.name.lower() == "log":
            table.replace(exp.Subquery(this=sqlglot.parse_one(source, read="presto"), alias=_alias(table)))
    return f"{render(search)} | {select.sql(dialect='presto')}"


def _alias(table: exp.Table) -> exp.TableAlias:
    from sqlglot import exp

    return exp.TableAlias(this=exp.to_identifier(table.alias or "log"))


# -- the search ------------------------------------------------------------------------------------------------------------


def _take_bounds(node: Node) -> tuple[Node, list[Compare]]:
    """Take those comparisons of times out that all must meet: units differ, so the analysis compares; durations in nanoseconds are larger only."""
    nodes = node.nodes if isinstance(node, And) else (node,)
    bounds = [each for each in nodes if isinstance(each, Compare) and each.name in ("startTime", "duration")]
    rest = [
        each
        for each in nodes
        if each not in bounds or (isinstance(each, Compare) and each.name == "duration" and ">" in each.operator)
    ]
    return And(tuple(rest)), bounds


def _rename(node: Node, renamed: Callable[[Node], Node]) -> Node:
    match node:
        case And(nodes):
            return And(tuple(_rename(each, renamed) for each in nodes))
        case Or(nodes):
            return Or(tuple(_rename(each, renamed) for each in nodes))
        case Not(inner):
            return Not(_rename(inner, renamed))
        case _:
            return renamed(node)


def _leaves(node: Node) -> Iterator[Node]:
    if isinstance(node, (And, Or)):
        for each in node.nodes:
            yield from _leaves(each)
    elif isinstance(node, Not):
        yield from _leaves(node.node)
    else:
        yield node


def _terms(node: Node) -> int:
    return sum(1 for _ in _leaves(node))


def _names_only(node: Node) -> bool:
    """Whether the search is of services and operations alone, which our own statements compare in their SQL, too."""
    return all(
        isinstance(each, Field) and each.name in ("process.serviceName", "operationName") for each in _leaves(node)
    )


def _searches(node: Node, schemas: _Schemas, index: Index) -> Node:
    """Return what finds the same in the logs of either schema."""
    if not isinstance(node, (Field, Exists, Compare, Range)):
        return node
    if node.name == "parentSpanID" and isinstance(node, Field) and node.value.text == "0":
        return Or(tuple(node._replace(value=Value(root)) for root in ("0", "0" * 16, "")))
    other = _other_name(node.name)
    if not other:
        return node
    found: list[Node] = [node] if schemas.jaeger and index.can_search(node.name) else []
    if index.can_search(other):
        found.append(node._replace(name=other))
    if node.name == "tags.error" and isinstance(node, Field) and node.value.text == "true":
        found.append(Field("statusCode", Value("ERROR")))
    if node.name == "tags.span.kind" and isinstance(node, Field):
        found.append(node._replace(name="kind"))
    return Or(tuple(found)) if found else node


def _other_name(name: str) -> str:
    """Return what the field is called by Log Service's trace application, empty for one that has the same name there, or none."""
    if name.startswith(_PROCESS_TAG):
        return _RESOURCE + name[len(_PROCESS_TAG) :]
    if name.startswith(_TAG):
        return _ATTRIBUTE + name[len(_TAG) :]
    return _NAMES.get(name, "")


# -- the analysis ----------------------------------------------------------------------------------------------------------


class _Columns:
    """Jaeger's columns, as SQL over what a log has."""

    def __init__(self, index: Index, schemas: _Schemas) -> None:
        self._index = index
        self._jaeger, self._other = schemas
        start = "try_cast(start as bigint)"
        both = f"coalesce(startTime, {start})" if self._jaeger else start
        self._start = both if self._other else "startTime"
        self._is_other = "start is not null"

    def offers(self, name: str, aliases: set[str]) -> bool:
        """Whether this is a column of Jaeger's spans, or another one that the query does not define itself."""
        if name in _SHARED or name in _NAMES or name.startswith((_TAG, _PROCESS_TAG)):
            return True
        return name in self._index.keys and name not in aliases

    def sql(self, name: str) -> str:
        """Return the column."""
        start = self._start
        if name == "startTime":
            return (
                f"case when {start} >= {NANOSECONDS_FROM} then cast(floor({start} / 1000) as bigint) else {start} end"
            )
        if name == "duration":
            return (
                f"case when {start} >= {NANOSECONDS_FROM} then cast(floor(duration / 1000) as bigint) else duration end"
            )
        if not self._other:
            return sql_name(name)
        if name == "__time__":
            unit = f"(case when {start} >= {NANOSECONDS_FROM} then 1000000000 else 1000000 end)"
            return f"case when {self._is_other} then cast(floor({start} / {unit}) as bigint) else __time__ end"
        if name == "traceID":
            return "lpad(lower(traceID), 32, '0')"
        if name == "spanID":
            return "lpad(lower(spanID), 16, '0')"
        if name == "parentSpanID":
            padded = "lpad(lower(coalesce(parentSpanID, '')), 16, '0')"
            return f"case when {padded} = '{'0' * 16}' then '0' else {padded} end"
        return self._either(name)

    def _either(self, name: str) -> str:
        other = _other_name(name)
        ours = [sql_name(name)] if (self._jaeger or not other) and self._index.can_search(name) else []
        theirs = [self._theirs(name, other)] if other else []
        both = ours + theirs
        if len(both) == 1:
            return both[0]
        field = self._index.keys.get(name)
        if field is not None and field.type in ("long", "double"):
            both[1] = f"try_cast({both[1]} as {'bigint' if field.type == 'long' else 'double'})"
        return f"coalesce({', '.join(both)})"

    def _theirs(self, name: str, other: str) -> str:
        parent, _, key = other.partition(".")
        if not key:
            return sql_name(other)
        field = self._index.keys.get(parent)
        if field is not None and key in field.json_keys:
            column = sql_name(other)
        else:
            column = f"json_extract_scalar({parent}, {sql_value('$[' + json.dumps(key, ensure_ascii=False) + ']')})"
        if name == "tags.error":
            return f"case when statusCode = 'ERROR' then 'true' else {column} end"
        if name == "tags.span.kind":
            return f"coalesce(nullif(kind, ''), {column})"
        if name == "process.tags.hostname":
            return f"coalesce({column}, host)"
        return column


def _search_logs(node: exp.Expression) -> None:
    """Let ``strpos(logs, …)`` for Jaeger's form of a log field find the other form too."""
    import sqlglot

    needle = node.args.get("substr")
    if getattr(node.this, "name", "") != "logs" or needle is None or not needle.is_string:
        return
    try:
        key, value = from_key_value(json.loads("{" + needle.name))
    except (ValueError, KeyError, TypeError, AttributeError):
        return
    forms = {f"{to_json(key)}:{to_json(each)}" for each in (value, as_text(value)) if not isinstance(each, bytes)}
    if key == "event":
        forms |= {f'"name":{to_json(as_text(value))}'}
    others = " + ".join(f"strpos(logs, {sql_value(form)})" for form in sorted(forms))
    node.replace(sqlglot.parse_one(f"({node.sql(dialect='presto')} + {others})", read="presto"))
