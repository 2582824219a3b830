"""Functions that Log Service has beyond Presto: ``time_series`` and ``compare``, rewritten into what DuckDB knows.

    time_series(__time__, '5m', '%H:%i', '0')   the begin of each log's five minutes as text; steps without logs become rows of zeros
    compare(value, 86400)                       [value now, value of the same time a day before, their ratio]

``compare`` stands in a SELECT over a sub-query, as the service's documentation has it: of one row, or of one for each value of the columns that the SELECT
groups by, such as a time of day.
"""

from __future__ import annotations

import re
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlglot import exp

from sls_tracing.log_service.logstore import LogServiceError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["BEFORE", "Series", "rewrite_compare", "rewrite_time_series"]

BEFORE = "log_before_"
"""Name of the table ``log`` as it was so many seconds before."""

MOST_STEPS = 10_000
"""Steps of a series that are filled up; a longer one keeps its gaps."""

_WINDOW = re.compile(r"([1-9][0-9]{0,5})([smhd])")
_DEFAULTS = ("%Y-%m-%d %H:%i:%s", "")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_FORMATS = {"%Y", "%m", "%d", "%H", "%i", "%s", "%y", "%M", "%j", "%%"}
_TO_STRFTIME = {"%i": "%M", "%s": "%S", "%M": "%B"}


class Series(NamedTuple):
    """What fills the gaps: the column ``name`` holds times every ``window`` seconds, in ``form`` (strftime's), others get ``pad``."""

    name: str
    window: int
    form: str
    pad: str
    in_order: bool

    def fill(self, rows: Sequence[dict[str, str]], from_time: int, to_time: int) -> list[dict[str, str]]:
        """Return the rows with one for each step that has none."""
        first = from_time // self.window * self.window
        steps = range(first, to_time, self.window)
        if not self.pad or not rows or not 0 < len(steps) <= MOST_STEPS:
            return list(rows)
        known = {row[self.name]: row for row in rows}
        empty = dict.fromkeys(rows[0], self.pad)
        texts = [datetime.fromtimestamp(step, timezone.utc).strftime(self.form) for step in steps]
        filled = [known.pop(text, {**empty, self.name: text}) for text in dict.fromkeys(texts)]
        if self.in_order:
            return [*known.values(), *filled]
        return [*rows, *(row for row in filled if row not in rows)]


def rewrite_time_series(select: exp.Query) -> Series | None:
    """Rewrite every ``time_series``; return what fills the gaps if the outer SELECT groups by one alone."""
    series = None
    for node in list(select.find_all(exp.Anonymous)):
        if node.name.lower() != "time_series":
            continue
        window, form, pad = _read_time_series(node.expressions)
        time = exp.Paren(this=node.expressions[0].copy())
        step = exp.Literal.number(window)
        begin = exp.Mul(
            this=exp.Paren(this=exp.IntDiv(this=time, expression=step)),
            expression=exp.Literal.number(window * 1_000_000),
        )
        moment = exp.func("make_timestamp", exp.cast(begin, "bigint"))
        if node.parent is not None and node.parent.parent is select and isinstance(node.parent, exp.Alias):
            name = node.parent.alias
            if _groups_by_one(select):
                series = Series(name, window, form, pad, _orders_by(select, name))
        node.replace(exp.Anonymous(this="strftime", expressions=[moment, exp.Literal.string(form)]))
    return series


def rewrite_compare(select: exp.Query) -> list[int]:
    """Rewrite every ``compare``; return the seconds by which ``log`` must be shifted, for tables named :data:`BEFORE` and the number."""
    shifts: list[int] = []
    for node in list(select.find_all(exp.Anonymous)):
        if node.name.lower() == "compare":
            shifts += _rewrite_one(node)
    return list(dict.fromkeys(shifts))


def _rewrite_one(node: exp.Anonymous) -> list[int]:
    value, *numbers = node.expressions
    outer = node.find_ancestor(exp.Select)
    source = _source(outer) if outer is not None else None
    if outer is None or not isinstance(source, exp.Subquery) or not isinstance(value, exp.Column) or not numbers:
        raise _invalid(
            "compare(value, seconds) takes a column of the one sub-query in FROM: select compare(n, 86400) from (select count(1) as n from log)"
        )
    if not all(
        isinstance(each, exp.Literal) and each.name.isdigit() and 0 < int(each.name) < 2**31 for each in numbers
    ):
        raise _invalid("compare(value, seconds) takes numbers of seconds, such as 86400")
    alias = source.alias or "_now"
    source.set("alias", exp.TableAlias(this=exp.to_identifier(alias)))
    keys = _keys(outer, source, value.name)
    _qualify(outer, alias, keys)
    now = exp.column(value.name, table=alias, quoted=True)
    parts: list[exp.Expression] = [now]
    shifts = [int(each.name) for each in numbers]
    for shift in shifts:
        before = f"_before_{shift}"
        if not any(join.alias_or_name == before for join in outer.args.get("joins") or ()):
            shifted = source.copy()
            for table in list(shifted.find_all(exp.Table)):
                if table.name.lower() == "log":
                    table.replace(exp.alias_(exp.to_table(BEFORE + str(shift)), table.alias or "log", table=True))
            shifted.set("alias", exp.TableAlias(this=exp.to_identifier(before)))
            _join(outer, shifted, alias, before, keys)
        then = exp.column(value.name, table=before, quoted=True)
        ratio = exp.Div(
            this=exp.cast(now.copy(), "double"), expression=exp.func("nullif", then.copy(), exp.Literal.number(0))
        )
        parts += [then, ratio]
    node.replace(exp.Array(expressions=[exp.cast(part, "double") for part in parts]))
    return shifts


def _keys(outer: exp.Select, source: exp.Subquery, value: str) -> list[str]:
    """Return the columns by which rows of now and of before belong together: what the sub-query gives besides and the SELECT names."""
    given = [name for name in source.named_selects if name != value]
    named = {column.name for column in outer.find_all(exp.Column) if column.parent_select is outer}
    return [name for name in given if name in named]


def _qualify(outer: exp.Select, alias: str, keys: Sequence[str]) -> None:
    """Say of each key that now's is meant; rows are not grouped again, since they come one for each key."""
    for column in outer.find_all(exp.Column):
        if column.parent_select is outer and column.name in keys and not column.table:
            column.set("table", exp.to_identifier(alias))
    outer.set("group", None)


def _join(outer: exp.Select, shifted: exp.Expression, now: str, before: str, keys: Sequence[str]) -> None:
    if not keys:
        outer.join(shifted, join_type="cross", copy=False)
        return
    same = [
        exp.EQ(this=exp.column(key, table=now, quoted=True), expression=exp.column(key, table=before, quoted=True))
        for key in keys
    ]
    outer.join(shifted, on=exp.and_(*same), join_type="left", copy=False)


def _read_time_series(arguments: Sequence[Any]) -> tuple[int, str, str]:
    literals = arguments[1:]
    if not 2 <= len(arguments) <= 4 or not all(isinstance(each, exp.Literal) for each in literals):
        raise _invalid("time_series takes a time and texts: time_series(__time__, '1m', '%H:%i', '0')")
    texts: list[str] = [*(each.name for each in literals), *_DEFAULTS[len(literals) - 1 :]]
    window, form, pad = texts
    match = _WINDOW.fullmatch(window)
    if not match:
        raise _invalid(f"time_series: {window!r} is no window; a number and s, m, h or d: '5m'")
    return int(match[1]) * _SECONDS[match[2]], _strftime(form), pad


def _strftime(form: str) -> str:
    """Turn MySQL's format, which Presto and Log Service take, into strftime's."""
    for directive in re.findall("%.?", form):
        if directive not in _FORMATS:
            raise _invalid(f"time_series: {directive!r} is not known in a format; known: {', '.join(sorted(_FORMATS))}")
    return re.sub("%.", lambda match: _TO_STRFTIME.get(match[0], match[0]), form)


def _source(select: exp.Select) -> exp.Expression | None:
    for part in select.args.values():
        if isinstance(part, exp.From):
            found: exp.Expression = part.this
            return found
    return None


def _groups_by_one(select: exp.Query) -> bool:
    group = select.args.get("group")
    return isinstance(group, exp.Group) and len(group.expressions) == 1


def _orders_by(select: exp.Query, name: str) -> bool:
    order = select.args.get("order")
    first = next(iter(order.expressions), None) if isinstance(order, exp.Order) else None
    if first is None:
        return order is None
    return first.this.name.lower() == name.lower() and not first.args.get("desc")


def _invalid(message: str) -> LogServiceError:
    return LogServiceError("ParameterInvalid", f"analysis: {message}")
