"""`sls-tracing search`: the query language over stored spans, from a terminal.

sls-tracing search 'process.serviceName: productpage and duration > 500000' --storage traces.duckdb --from -1h
sls-tracing search '* | select "process.serviceName" as service, count(1) as n from log group by service' --storage log-service:
sls-tracing search --analysis entry-latency --format chart --storage traces.duckdb
"""

from __future__ import annotations

import contextlib
import csv
import json
import os
import re
import sys
import time
from datetime import datetime
from typing import TYPE_CHECKING

from sls_tracing.cli.storage_options import LOG_SERVICE, add_storage_options, aliyun_settings, hide_secrets
from sls_tracing.exceptions import ConfigurationError
from sls_tracing.log_service import MEMORY
from sls_tracing.log_service.analyses import ANALYSES, Analysis
from sls_tracing.log_service.dialects.unified import UnifiedLogstore
from sls_tracing.log_service.logstore import PAGE_LINES, LogServiceError, complete_page
from sls_tracing.log_service.query import split

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Mapping, Sequence

    from sls_tracing.log_service.logstore import Logstore

__all__ = ["add_arguments", "main", "read_time"]

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_RELATIVE = re.compile(r"-(\d{1,6})([smhdw])")
_SPAN_COLUMNS = ("__time__", "process.serviceName", "operationName", "duration", "traceID", "spanID", "tags.error")
_COLOURS = ("blue", "yellow", "green", "magenta", "cyan")
_TRACE_COLUMNS = ("traceID", "trace")
_TRACE_ID = re.compile(r"[0-9a-fA-F]{1,32}")
_POSITION = re.compile(r"(?:line (\d+), )?column (\d+)")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    # argparse takes -5 for a value and -5m for an option, unless told what a number looks like.
    parser._negative_number_matcher = re.compile(r"-\d+[smhdw]?")
    parser.add_argument("query", nargs="?", default="*", help="search | SQL; all spans unless given")
    parser.add_argument(
        "--analysis", choices=sorted(ANALYSES), metavar="NAME", help="one of the named analyses: " + ", ".join(ANALYSES)
    )
    parser.add_argument("--service", default="", help="for --analysis: of this service's spans only")
    parser.add_argument("--list", action="store_true", help="list the named analyses with their queries, and end")
    parser.add_argument(
        "--from",
        dest="begin",
        default="-1h",
        metavar="TIME",
        help="-15m, -1h, -7d, 2026-11-23T10:00, seconds since 1970, or all; %(default)s",
    )
    parser.add_argument("--to", dest="end", default="now", metavar="TIME", help="the same, or now; %(default)s")
    parser.add_argument("--limit", type=int, default=100, metavar="N", help="of a search: the most spans; %(default)s")
    parser.add_argument(
        "--format",
        choices=("table", "json", "csv", "chart"),
        default="table",
        help="json: one object a line; %(default)s",
    )
    parser.add_argument(
        "--ui",
        default=os.environ.get("SLS_TRACING_UI", ""),
        metavar="URL",
        help="where the pages are, such as http://127.0.0.1:16686: ids of traces in a table become links; SLS_TRACING_UI",
    )
    add_storage_options(parser)


def main(args: argparse.Namespace) -> int:
    """Print what is found: 0, or 1 if the query is refused or the store fails."""
    hide_secrets()
    if args.list:
        for name, analysis in ANALYSES.items():
            print(f"{name:20} {analysis.title}\n{'':20} {analysis.query()}")
        return 0
    query = ANALYSES[args.analysis].query(args.service) if args.analysis else args.query
    now = time.time()
    begin, end = read_time(args.begin, now), read_time(args.end, now) + (args.end == "now")
    if begin >= end:
        raise ConfigurationError(f"--from {args.begin} is not before --to {args.end}")
    with contextlib.closing(_open(args)) as logstore:
        try:
            # A named analysis is of all spans, whoever wrote them; a query of one's own is asked as it stands.
            asked = UnifiedLogstore(logstore) if args.analysis else logstore
            rows, columns = _find(asked, query, begin, end, args.limit)
        except LogServiceError as error:
            print(_explain(query, error), file=sys.stderr)
            return 1
    try:
        _print(rows, columns, args.format, ANALYSES.get(args.analysis or ""), args.ui)
        sys.stdout.flush()
    except BrokenPipeError:  # whoever reads has seen enough: `… | head`
        sys.stdout = None
    return 0


def read_time(text: str, now: float) -> int:
    """Return seconds since the epoch. Raises ConfigurationError."""
    if text == "now":
        return int(now)
    if text == "all":
        return 0
    if match := _RELATIVE.fullmatch(text):
        return int(now) - int(match[1]) * _UNITS[match[2]]
    if text.isascii() and text.isdigit():
        return int(text)
    try:
        return int(datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp())
    except (ValueError, OverflowError, OSError):
        raise ConfigurationError(
            f"{text!r} is no time: -15m, -1h, -7d, 2026-11-23T10:00, seconds since 1970, now or all"
        ) from None


def _open(args: argparse.Namespace) -> Logstore:
    if args.storage == LOG_SERVICE:
        from sls_tracing.log_service.aliyun import AliyunLogService

        settings = aliyun_settings(args)
        return AliyunLogService(settings).logstore(settings.logstore)
    if args.storage == MEMORY:
        raise ConfigurationError(
            "memory: holds nothing; name the file of an embedded store, or log-service: (--storage)"
        )
    from pathlib import Path

    from sls_tracing.log_service.embedded import EmbeddedLogstore

    if not Path(args.storage).is_file():
        raise ConfigurationError(f"there is no file {args.storage}")
    return EmbeddedLogstore(args.storage)


def _find(
    logstore: Logstore, query: str, begin: int, end: int, limit: int
) -> tuple[list[Mapping[str, str]], Sequence[str]]:
    if split(query).sql is not None:
        page = complete_page(logstore, query, begin, end)
        return page.logs, page.keys or tuple(dict.fromkeys(key for log in page.logs for key in log))
    rows: list[Mapping[str, str]] = []
    while len(rows) < limit:
        wanted = min(PAGE_LINES, limit - len(rows))
        page = logstore.get_logs(query, begin, end, line=wanted, offset=len(rows), reverse=True)
        rows += page.logs
        if page.complete and len(page.logs) < wanted:
            break
    return rows, _SPAN_COLUMNS


def _explain(query: str, error: LogServiceError) -> str:
    """Return the error, and the place in the query if it names one."""
    match = _POSITION.search(error.message)
    lines = [f"sls-tracing search: {error}"]
    if match and match[1]:  # of the analysis, by line
        shown = (split(query).sql or "").splitlines()[int(match[1]) - 1 : int(match[1])]
        lines += [f"  {line}\n  {' ' * max(0, int(match[2]) - 1)}^" for line in shown]
    elif match:  # of the search, by character
        before = query[: int(match[2]) - 1]
        begin = before.rfind("\n") + 1
        lines += [f"  {query[begin:].splitlines()[0] if query[begin:] else ''}", f"  {' ' * (len(before) - begin)}^"]
    return "\n".join(lines)


# -- printing --------------------------------------------------------------------------------------------------------------


def _print(
    rows: Sequence[Mapping[str, str]], columns: Sequence[str], form: str, analysis: Analysis | None, ui: str
) -> None:
    if form == "json":
        for row in rows:
            print(json.dumps(row, ensure_ascii=False))
    elif form == "csv":
        writer = csv.writer(sys.stdout)
        writer.writerow(columns)
        writer.writerows([row.get(column, "") for column in columns] for row in rows)
    elif form == "chart":
        _print_chart(rows, columns, analysis)
    else:
        _print_table(rows, columns, ui.rstrip("/"))


def _print_table(rows: Sequence[Mapping[str, str]], columns: Sequence[str], ui: str) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(show_edge=False)
    for column in columns:
        numeric = bool(rows) and all(_number(row.get(column, "")) is not None for row in rows)
        table.add_column(Text(column), justify="right" if numeric and column != "__time__" else "left", overflow="fold")
    for row in rows:
        table.add_row(
            *(Text(_shown(column, value), _link(ui, column, value)) for column, value in _cells(row, columns))
        )
    Console().print(table)
    print(f"{len(rows)} rows")


def _cells(row: Mapping[str, str], columns: Sequence[str]) -> Iterator[tuple[str, str]]:
    return ((column, row.get(column, "")) for column in columns)


def _link(ui: str, column: str, value: str) -> str:
    """Return the style that makes a trace's id a link to its page, for terminals that know links; others show the id."""
    is_trace = column in _TRACE_COLUMNS and _TRACE_ID.fullmatch(value)
    return f"link {ui}/trace/{value}" if ui and is_trace else ""


def _shown(column: str, value: str) -> str:
    if column == "__time__" and value.isdigit():
        return datetime.fromtimestamp(int(value)).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    return "".join(
        each if each.isprintable() else "�" for each in value
    )  # a stored escape sequence must not reach the terminal


def _print_chart(rows: Sequence[Mapping[str, str]], columns: Sequence[str], analysis: Analysis | None) -> None:
    """Draw a bar for each row and column of numbers, rows from top to bottom: a series over time reads downwards."""
    from rich.bar import Bar
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    x = analysis.x if analysis is not None and analysis.x else columns[0]
    wanted = analysis.y if analysis is not None and analysis.y else [column for column in columns if column != x]
    figures = {column: [_number(row.get(column, "")) for row in rows] for column in wanted}
    figures = {column: values for column, values in figures.items() if any(value is not None for value in values)}
    if not figures:
        raise ConfigurationError("nothing to draw: a chart needs rows with a column of numbers")
    longest = max((value or 0.0 for values in figures.values() for value in values), default=0.0) or 1.0
    table = Table(show_header=False, show_edge=False, box=None, expand=True, title=_chart_title(analysis))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(ratio=1)
    for number, row in enumerate(rows):
        for order, (column, values) in enumerate(figures.items()):
            label = _shown(x, row.get(x, "")) if order == 0 and x not in figures else ""
            bar = Bar(longest, 0, max(0.0, values[number] or 0.0), color=_COLOURS[order % len(_COLOURS)])
            table.add_row(Text(label), Text(column if len(figures) > 1 else ""), Text(row.get(column, "")), bar)
    Console().print(table)


def _chart_title(analysis: Analysis | None) -> str | None:
    if analysis is None:
        return None
    return f"{analysis.title} ({analysis.unit})" if analysis.unit else analysis.title


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
