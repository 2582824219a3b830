"""Where Presto, as Log Service has it, and DuckDB differ beyond what sqlglot knows: functions by another name, times, counts of nothing, names of columns.

date_trunc('hour', __time__)      Log Service takes seconds since 1970 where Presto wants a timestamp
from_unixtime(__time__)           a plain timestamp in UTC: with a time zone it would depend on the machine's
x at time zone 'Asia/Shanghai'    that zone's clock, for a plain timestamp
duration / 1000                   a whole number, of whole numbers
count_if(…)                       0 where DuckDB says NULL
select count(1)                   the column is called _col0
"""

from __future__ import annotations

import re
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from sqlglot import exp

from sls_tracing.log_service.logstore import LogServiceError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["FUNCTIONS", "adapt"]

_TIME_FUNCTIONS = (
    *(exp.TimestampTrunc, exp.DateTrunc, exp.TimeToStr, exp.Year, exp.Month, exp.Day, exp.Hour, exp.Minute, exp.Second),
    *(exp.DayOfWeek, exp.DayOfWeekIso, exp.DayOfYear, exp.Week, exp.WeekOfYear, exp.Quarter, exp.Extract),
)
_REGEXES = {
    "url_extract_host": r"^[A-Za-z][A-Za-z0-9+.-]*://(?:[^/?#@]*@)?([^/?#:]*)",
    "url_extract_path": r"^[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*([^?#]*)",
    "url_extract_query": r"\?([^#]*)",
    "url_extract_protocol": r"^([A-Za-z][A-Za-z0-9+.-]*)://",
    "url_extract_port": r"^[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*:([0-9]+)",
}
_JODA = {"yyyy": "%Y", "yy": "%y", "MM": "%m", "dd": "%d", "HH": "%H", "mm": "%M", "ss": "%S", "SSS": "%g"}


def _call(name: str, *arguments: object) -> exp.Expression:
    return exp.Anonymous(this=name, expressions=list(arguments))


def _text(text: str) -> exp.Expression:
    return exp.Literal.string(text)


def _renamed(name: str) -> Callable[[Sequence[Any]], exp.Expression]:
    return lambda arguments: _call(name, *arguments)


def _url_part(name: str) -> Callable[[Sequence[Any]], exp.Expression]:
    return lambda arguments: _call("regexp_extract", arguments[0], _text(_REGEXES[name]), exp.Literal.number(1))


def _url_parameter(arguments: Sequence[Any]) -> exp.Expression:
    url, name = arguments
    if not name.is_string:
        raise _invalid("url_extract_parameter takes the parameter's name as text")
    pattern = f"[?&]{re.escape(name.name)}=([^&#]*)"
    return _call("nullif", _call("regexp_extract", url, _text(pattern), exp.Literal.number(1)), _text(""))


def _map_agg(arguments: Sequence[Any]) -> exp.Expression:
    key, value = arguments
    return _call("json_group_object", exp.cast(key, "varchar"), value)


def _joda(arguments: Sequence[Any]) -> exp.Expression:
    moment, form = arguments
    if not form.is_string:
        raise _invalid("format_datetime takes the format as text")
    parts = re.findall(r"y+|M+|d+|H+|m+|s+|S+|'[^']*'|[^A-Za-z']+|[A-Za-z]", form.name)
    unknown = [part for part in parts if part[0].isalpha() and part not in _JODA]
    if unknown:
        raise _invalid(f"format_datetime: {unknown[0]!r} is not known in a format; known: {', '.join(_JODA)}")
    return _call("strftime", moment, _text("".join(_JODA.get(part) or part.strip("'") for part in parts)))


def _iso(arguments: Sequence[Any]) -> exp.Expression:
    return _call("strftime", exp.cast(arguments[0], "timestamp"), _text("%Y-%m-%dT%H:%M:%S.%gZ"))


FUNCTIONS: dict[str, tuple[int, Callable[[Sequence[Any]], exp.Expression]]] = {
    "arbitrary": (1, _renamed("any_value")),
    "format_datetime": (2, _joda),
    "geometric_mean": (1, _renamed("geomean")),
    "histogram": (1, _renamed("histogram")),
    "json_array_length": (1, _renamed("json_array_length")),
    "json_size": (2, _renamed("json_array_length")),
    "map_agg": (2, _map_agg),
    "map_values": (1, _renamed("map_values")),
    "to_iso8601": (1, _iso),
    "url_extract_parameter": (2, _url_parameter),
    **{name: (1, _url_part(name)) for name in _REGEXES},
}
"""Functions of Presto that DuckDB has under another name: how many arguments, and what becomes of them."""


def adapt(select: exp.Query, is_long: Callable[[str], bool]) -> None:
    """Rewrite what DuckDB would understand otherwise, in place; ``is_long`` knows the fields that are whole numbers.

    Raises LogServiceError for what cannot be said.
    """
    _name_columns(select)
    _divide_whole_numbers(select, is_long)
    _let_times_be_seconds(select)
    _make_times_utc(select)
    for node in list(select.find_all(exp.CountIf, exp.JSONExtractScalar, exp.ApproxQuantile, exp.Anonymous)):
        if isinstance(node, exp.CountIf):
            node.replace(exp.Count(this=exp.Case(ifs=[exp.If(this=node.this, true=exp.Literal.number(1))])))
        elif isinstance(node, exp.JSONExtractScalar):
            if not isinstance(node.parent, exp.If):
                valid = _call("json_valid", node.this.copy())
                node.replace(exp.Case(ifs=[exp.If(this=valid, true=node.copy())]))
        elif isinstance(node, exp.ApproxQuantile):
            if node.args.get("accuracy") is not None:
                raise _invalid("approx_percentile takes a value and a share; weights are not supported here")
        elif (known := FUNCTIONS.get(node.name.lower())) is not None:
            number, make = known
            if len(node.expressions) != number:
                raise _invalid(f"{node.name} takes {number} arguments, not {len(node.expressions)}")
            node.replace(make([each.copy() for each in node.expressions]))


def _name_columns(select: exp.Query) -> None:
    """Call the result's columns that have no name as Presto does."""
    while isinstance(select, exp.SetOperation):
        select = select.this
    if isinstance(select, exp.Select):
        named = [
            each if isinstance(each, (exp.Alias, exp.Column, exp.Star)) else exp.alias_(each, f"_col{n}", quoted=True)
            for n, each in enumerate(select.expressions)
        ]
        select.set("expressions", named)


def _divide_whole_numbers(select: exp.Query, is_long: Callable[[str], bool]) -> None:
    """A whole number by a whole number is a whole number in Presto."""
    for node in list(select.find_all(exp.Div)):
        if _is_whole(node.this, is_long) and _is_whole(node.expression, is_long):
            quotient = exp.Div(this=exp.Paren(this=node.this.copy()), expression=exp.Paren(this=node.expression.copy()))
            node.replace(exp.cast(_call("trunc", quotient), "bigint"))


def _is_whole(node: object, is_long: Callable[[str], bool]) -> bool:
    """Whether a value is a whole number for certain."""
    match node:
        case exp.Literal():
            return not node.is_string and node.name.isdigit()
        case exp.Column():
            return is_long(node.name)
        case exp.Count() | exp.CountIf() | exp.ApproxDistinct():
            return True
        case exp.Cast():
            return bool(node.is_type("bigint", "int"))
        case exp.Paren() | exp.Sum() | exp.Min() | exp.Max() | exp.Neg() | exp.Abs():
            return _is_whole(node.this, is_long)
        case exp.Add() | exp.Sub() | exp.Mul() | exp.Mod() | exp.Div():
            return _is_whole(node.this, is_long) and _is_whole(node.expression, is_long)
    return False


def _let_times_be_seconds(select: exp.Query) -> None:
    for node in list(select.find_all(*_TIME_FUNCTIONS)):
        argument = node.expression if isinstance(node, exp.Extract) else node.this
        if not isinstance(argument, exp.Expression) or argument.find(exp.UnixToTime, exp.TimestampTrunc, exp.DateTrunc):
            continue
        columns = [argument] if isinstance(argument, exp.Column) else list(argument.find_all(exp.Column))
        if any(column.name == "__time__" for column in columns) and not argument.find(exp.Anonymous, exp.Cast):
            argument.replace(exp.UnixToTime(this=argument.copy()))


def _make_times_utc(select: exp.Query) -> None:
    """Make times plain UTC timestamps: with a time zone they would depend on the machine's, and on pytz to be fetched."""
    for node in list(select.find_all(exp.UnixToTime, exp.CurrentTimestamp, exp.AtTimeZone)):
        if isinstance(node, exp.UnixToTime):
            micros = exp.Mul(this=exp.Paren(this=node.this), expression=exp.Literal.number(1_000_000))
            moment = _call("make_timestamp", exp.cast(micros, "bigint"))
            zone = node.args.get("zone")
            node.replace(moment if zone is None else _in_zone(moment, zone))
        elif isinstance(node, exp.AtTimeZone):
            node.replace(_in_zone(node.this.copy(), node.args["zone"]))
        else:
            now = datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M:%S.%f")
            node.replace(exp.cast(_text(now), "timestamp"))
    if select.find(exp.AtTimeZone, exp.UnixToTime):
        _make_times_utc(select)  # one within another


def _in_zone(moment: exp.Expression, zone: exp.Expression) -> exp.Expression:
    return _call("timezone", zone.copy(), _call("timezone", _text("UTC"), moment))


def _invalid(message: str) -> LogServiceError:
    return LogServiceError("ParameterInvalid", f"analysis: {message}")
