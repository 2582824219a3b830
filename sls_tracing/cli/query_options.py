"""Options of the query API, for the commands that serve it: the bounds of its answers and which interface it shows."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from sls_tracing.cli.serving import add_base_path

if TYPE_CHECKING:
    from sls_tracing.backend.query_settings import QuerySettings

__all__ = ["add_query_options", "query_settings"]


def add_query_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options; those that Jaeger has bear its names."""
    group = parser.add_argument_group("query API")
    add_base_path(parser)
    group.add_argument(
        "--ui-dir",
        "--query.static-files",
        dest="ui_dir",
        default="",
        metavar="DIR",
        help="show this build of Jaeger's UI instead of the pages of our own",
    )
    group.add_argument(
        "--ui-config",
        "--query.ui-config",
        dest="ui_config",
        default="",
        metavar="FILE",
        help="its configuration, .json or .js",
    )
    group.add_argument(
        "--query.max-clock-skew-adjustment",
        dest="max_clock_skew",
        type=_duration,
        default=0.0,
        metavar="DURATION",
        help="move spans by as much to make up for clocks that differ, such as 1s; 0 moves none",
    )
    group.add_argument(
        "--query.max-limit",
        dest="max_limit",
        type=int,
        default=1500,
        metavar="N",
        help="traces of one search; %(default)s",
    )
    group.add_argument(
        "--query.max-trace-spans",
        dest="max_trace_spans",
        type=int,
        default=100_000,
        metavar="N",
        help="spans of one trace that are shown; %(default)s",
    )
    group.add_argument(
        "--query.max-answer-mib",
        dest="max_answer_mib",
        type=int,
        default=256,
        metavar="N",
        help="MiB of an answer of several traces; %(default)s",
    )


def query_settings(args: argparse.Namespace) -> QuerySettings:
    """Return what the options say. Raises ConfigurationError."""
    from sls_tracing.backend.query_settings import QuerySettings

    return QuerySettings(
        max_limit=args.max_limit,
        max_trace_spans=args.max_trace_spans,
        max_answer_bytes=args.max_answer_mib << 20,
        max_clock_skew=args.max_clock_skew,
        ui_dir=args.ui_dir,
        ui_config=args.ui_config,
    )


def _duration(text: str) -> float:
    from sls_tracing.backend.query_params import ParameterError, parse_duration

    try:
        return parse_duration({"d": [text]}, "d")
    except ParameterError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no duration: give a number with a unit, as in 500ms or 1s"
        ) from None
