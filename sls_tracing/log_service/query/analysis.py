"""The SQL part of a query: Presto's dialect in, DuckDB's out, one SELECT over the table ``log`` and nothing else.

The text is parsed, checked node by node and generated anew; no piece of it reaches DuckDB verbatim. What it may name is listed, not
what it may not: the table ``log`` and its own WITH names, the functions that sqlglot knows as scalar or aggregate, and a
few more by name. There is no function that reads a file, a setting or another table, and the database itself is opened with
external access off and its configuration locked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

import sqlglot
from sqlglot import exp
from sqlglot.optimizer.scope import Scope, traverse_scope

from sls_tracing.log_service.logstore import LogServiceError
from sls_tracing.log_service.query.functions import BEFORE, Series, rewrite_compare, rewrite_time_series
from sls_tracing.log_service.query.presto import FUNCTIONS, adapt
from sls_tracing.log_service.query.quoting import sql_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

__all__ = ["DEFAULT_LIMIT", "Analysis", "Columns", "read_analysis"]

DEFAULT_LIMIT = 100
"""Rows of an analysis that names no LIMIT."""

MAX_LIMIT = 1_000_000

TABLE = "log"

_FUNCTIONS = frozenset(
    (
        "chr",
        "compare",
        "concat_ws",
        "from_base64",
        "ltrim",
        "rtrim",
        "strpos",
        "time_series",
        "to_base64",
        "trunc",
        "typeof",
        "url_decode",
        "url_encode",
    )
)
"""Functions that sqlglot does not know by a class of their own and that mean the same in Presto and DuckDB."""

_FORBIDDEN = (
    exp.DDL,
    exp.DML,
    exp.Command,
    exp.Into,
    exp.Placeholder,
    exp.Parameter,
    exp.SessionParameter,
    exp.ReadCSV,
    exp.Pivot,
    exp.Lateral,
    exp.TableSample,
    exp.Hint,
)


class Columns(Protocol):
    """What a store knows of its columns."""

    def names(self) -> Sequence[str]:
        """Return the names that ``*`` stands for."""

    def column(self, name: str) -> str | None:
        """Return the SQL expression of a field's value, None for a field that cannot be analysed."""

    def is_long(self, name: str) -> bool:
        """Whether a field is a whole number, by which whole numbers are divided without a rest."""


class Analysis(NamedTuple):
    """A checked analysis: ``columns`` are the fields that the table ``log`` must offer, as (expression, name) pairs."""

    columns: Sequence[tuple[str, str]]
    with_sql: Sequence[str]
    select_sql: str
    shifts: Sequence[int] = ()
    series: Series | None = None

    def over(self, source: str, where: Callable[[int], str]) -> str:
        """Return the statement for DuckDB, with ``log`` made of the rows of ``source`` that meet ``where(0)``, those of n seconds before ``where(n)``."""
        fields = ", ".join(f"{expression} AS {sql_name(name)}" for expression, name in self.columns) or "1 AS _"
        logs = [f"{TABLE} AS (SELECT {fields} FROM {source} WHERE {where(0)})"]
        logs += [f"{BEFORE}{shift} AS (SELECT {fields} FROM {source} WHERE {where(shift)})" for shift in self.shifts]
        return f"WITH {', '.join((*logs, *self.with_sql))} {self.select_sql}"


def read_analysis(sql: str, columns: Columns) -> Analysis:
    """Check and translate an analysis.

    :raises LogServiceError: ``ParameterInvalid``, naming the line and column, the function or the field at fault.
    """
    select = _parse(sql)
    _check(select)
    for branch in _outer_selects(select):
        if not any(isinstance(part, exp.From) for part in branch.args.values()):
            branch.from_(TABLE, copy=False)
    _set_limit(select)
    series = rewrite_time_series(select)
    shifts = rewrite_compare(select)
    adapt(select, columns.is_long)
    wanted = _wanted_columns(select, columns)
    with_sql = [cte.sql(dialect="duckdb") for cte in _ctes(select)]
    for key, part in list(select.args.items()):
        if isinstance(part, exp.With):
            select.set(key, None)
    return Analysis(wanted, with_sql, select.sql(dialect="duckdb"), shifts, series)


def _parse(sql: str) -> exp.Query:
    try:
        statements = [statement for statement in sqlglot.parse(sql, read="presto") if statement is not None]
    except sqlglot.errors.ParseError as error:
        first = error.errors[0] if error.errors else {}
        raise _invalid(
            f"line {first.get('line')}, column {first.get('col')}: {first.get('description', error)}"
        ) from error
    except (sqlglot.errors.SqlglotError, RecursionError) as error:
        raise _invalid(str(error) or "nested too deep") from error
    if len(statements) != 1 or not isinstance(statements[0], (exp.Select, exp.SetOperation)):
        raise _invalid("an analysis is one SELECT")
    return statements[0]


def _check(select: exp.Query) -> None:
    names = {cte.alias_or_name.lower() for cte in select.find_all(exp.CTE)}
    if TABLE in names:
        raise _invalid("a WITH query cannot be named log: that is the logstore")
    for node in select.walk():
        if isinstance(node, _FORBIDDEN):
            raise _invalid(f"{node.sql(dialect='presto')[:60]} is not allowed in an analysis")
        if isinstance(node, exp.With) and node.recursive:
            raise _invalid("WITH RECURSIVE is not supported")
        if isinstance(node, exp.Table):
            _check_table(node, names)
        elif isinstance(node, exp.Anonymous) and node.name.lower() not in _FUNCTIONS | FUNCTIONS.keys():
            raise _invalid(f"function {node.name} is not supported")
        elif isinstance(node, exp.UDTF) and not isinstance(node, (exp.Unnest, exp.Values, exp.Subquery)):
            raise _invalid(f"{node.sql(dialect='presto')[:60]} is not supported")


def _check_table(table: exp.Table, names: set[str]) -> None:
    if not isinstance(table.this, exp.Identifier) or table.args.get("db") or table.args.get("catalog"):
        raise _invalid(f"{table.sql(dialect='presto')[:60]} is not a table here; the only one is log")
    if table.name.lower() not in names | {TABLE}:
        raise _invalid(f"there is no table {table.name}; the only one is log")


def _outer_selects(query: object) -> Iterator[exp.Select]:
    if isinstance(query, exp.Select):
        yield query
    elif isinstance(query, exp.SetOperation):
        yield from _outer_selects(query.this)
        yield from _outer_selects(query.expression)


def _set_limit(select: exp.Query) -> None:
    limit = select.args.get("limit")
    if limit is None:
        select.limit(DEFAULT_LIMIT, copy=False)
        return
    count = limit.args.get("count") or limit.expression
    if not isinstance(count, exp.Literal) or not count.name.isdigit() or int(count.name) > MAX_LIMIT:
        raise _invalid(f"LIMIT takes a number, at most {MAX_LIMIT}")


def _ctes(select: exp.Query) -> list[exp.Expression]:
    return [cte for part in select.args.values() if isinstance(part, exp.With) for cte in part.expressions]


def _wanted_columns(select: exp.Query, columns: Columns) -> list[tuple[str, str]]:
    """Find the fields that the query reads from ``log``: those, and no others, become its columns.

    Offering more would change what the query means: a column named like an alias takes that name in GROUP BY.
    """
    known: dict[str, str] = {}
    for name in columns.names():
        known.setdefault(name.lower(), name)
    wanted: dict[str, str] = {}
    for scope in traverse_scope(select):
        if _selects_star(scope):
            wanted |= known
        for name in _fields_of(scope, known):
            if name not in columns.names() and name.lower() in known:
                wanted.setdefault(name.lower(), known[name.lower()])
            elif columns.column(name) is not None:
                wanted[name.lower()] = name
            else:
                raise _invalid(
                    f"Column '{name}' cannot be resolved; if it is a field, add it to the index with statistics on"
                )
    return [(expression, name) for name in wanted.values() if (expression := columns.column(name)) is not None]


def _fields_of(scope: Scope, known: Mapping[str, str]) -> Iterator[str]:
    """Yield the names that a SELECT reads from ``log``, leaving out those that it or a sub-query of its FROM defines."""
    logs = {alias for alias, source in scope.sources.items() if _is_log(source)}
    if not logs:
        return
    inner = [source.expression for source in scope.sources.values() if isinstance(source, Scope)]
    derived = {name.lower() for query in inner if isinstance(query, exp.Query) for name in query.named_selects}
    for unnested in scope.find_all(exp.Unnest):
        alias = unnested.args.get("alias")
        derived |= {column.name.lower() for column in (alias.columns if alias is not None else ())}
    aliases = {
        name.lower() for query in [scope.expression] if isinstance(query, exp.Query) for name in query.named_selects
    }
    for column in scope.columns:
        if isinstance(column.this, exp.Star) or (column.table and column.table not in logs):
            continue
        name = column.name.lower()
        if not column.table and name not in known:
            late = column.find_ancestor(exp.Group, exp.Order, exp.Having, exp.Select)
            if name in derived or (name in aliases and not isinstance(late, exp.Select)):
                continue
        yield column.name


def _is_log(source: object) -> bool:
    return isinstance(source, exp.Table) and (source.name.lower() == TABLE or source.name.startswith(BEFORE))


def _selects_star(scope: Scope) -> bool:
    """Whether a ``*`` stands for columns; that of ``count(*)`` does not."""
    return any(not isinstance(star.parent, exp.Func) for star in scope.find_all(exp.Star))


def _invalid(message: str) -> LogServiceError:
    return LogServiceError("ParameterInvalid", f"analysis: {message}")
