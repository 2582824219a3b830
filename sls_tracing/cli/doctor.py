"""`sls-tracing doctor`: what is wrong, and what to do about it."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from sls_tracing.exceptions import ConfigurationError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Mapping

    from sls_tracing.doctor.finding import Finding
    from sls_tracing.doctor.headers import Explanation
    from sls_tracing.doctor.libraries import Library
    from sls_tracing.doctor.mesh_probe import Answer, ProbeFormat
    from sls_tracing.doctor.mesh_trace import Seen

__all__ = ["add_arguments", "main"]

QUERY_URL = "http://127.0.0.1:16686"
_SIGNS = {"ok": "+", "note": "·", "problem": "!"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--service", metavar="NAME", help="the service's name, in place of JAEGER_SERVICE_NAME")
    parser.add_argument(
        "--no-test-trace", action="store_true", help="send nothing; look at libraries and settings only"
    )
    parser.add_argument(
        "--query", metavar="URL", help=f"the query API, asked for the trace (with --mesh: {QUERY_URL} if not given)"
    )
    parser.add_argument("--wait", type=float, default=15.0, metavar="S", help="seconds to wait for spans (default: 15)")
    mesh = parser.add_argument_group("the mesh")
    mesh.add_argument(
        "--mesh",
        nargs="?",
        const="",
        metavar="URL",
        help="send a request to URL, through sidecars, and explain its trace; without URL: explain the headers of --headers",
    )
    mesh.add_argument(
        "--headers", metavar="FILE", help="headers of a request as curl -v or a log shows them; - is the standard input"
    )
    mesh.add_argument(
        "--header", action="append", default=[], metavar="'NAME: VALUE'", help="send this one, too; repeatable"
    )
    mesh.add_argument(
        "--format",
        choices=("both", "b3", "w3c"),
        default="both",
        help="how the trace is told to the mesh: one request each (default: both)",
    )


def main(args: argparse.Namespace) -> int:
    """Print what was found; 1 if there is a problem among it."""
    if args.mesh:
        return _mesh(args)
    if args.mesh is not None or args.headers is not None:
        return _headers(args)
    return _service(args)


def _service(args: argparse.Namespace) -> int:
    """Look at this environment as a service would be run in it."""
    from sls_tracing.doctor.libraries import about_libraries, look_at_libraries
    from sls_tracing.doctor.way_out import read_settings, send_test_trace
    from sls_tracing.version import __version__

    print(f"sls-tracing {__version__}, Python {sys.version.split()[0]}, {sys.prefix}")
    libraries = look_at_libraries()
    _print_libraries(libraries)
    findings = about_libraries(libraries)
    settings = read_settings(os.environ, args.service)
    findings += settings.findings
    if settings.values is not None and not args.no_test_trace:
        findings += send_test_trace(settings.values, args.query, args.wait)
    _print_findings(findings)
    return _status(findings)


def _print_libraries(libraries: list[Library]) -> None:
    print("libraries")
    rows = [("", "version", "from", "traced"), *((each.name, *_row(each)) for each in libraries)]
    widths = [max(map(len, column)) for column in list(zip(*rows, strict=True))[:-1]]
    for *cells, last in rows:
        print("  " + "  ".join([*map(str.ljust, cells, widths), last]))


def _row(library: Library) -> tuple[str, str, str]:
    return library.version or "-", library.minimum or "-", "yes" if library.is_patched else f"no: {library.why_not}"


def _headers(args: argparse.Namespace) -> int:
    from sls_tracing.doctor.headers import explain, parse_headers

    explanation = explain(parse_headers("\n".join([_read(args.headers or "-"), *args.header])))
    _print_explanation(explanation)
    return _status(explanation.findings)


def _read(file: str) -> str:
    if file == "-":
        return sys.stdin.read()
    try:
        return Path(file).read_text("utf-8", "replace")
    except OSError as error:
        raise ConfigurationError(f"--headers {file}: {error.strerror}") from error


def _print_explanation(explanation: Explanation) -> None:
    _print_headers("came in", explanation.received)
    print(f"made of it\n  {explanation.made}")
    _print_headers("goes out, with each request that the service makes", explanation.sent)
    _print_findings(explanation.findings)


def _mesh(args: argparse.Namespace) -> int:
    from sls_tracing.doctor.headers import parse_headers
    from sls_tracing.doctor.mesh_probe import fetch_trace, send_probe
    from sls_tracing.doctor.mesh_trace import about_trace, read_spans

    formats: tuple[ProbeFormat, ...] = ("b3", "w3c") if args.format == "both" else (args.format,)
    headers = parse_headers("\n".join(args.header))
    answers = [send_probe(args.mesh, each, headers) for each in formats]
    status, joined = 0, []
    for answer in answers:
        spans = read_spans(fetch_trace(args.query or QUERY_URL, answer.trace_id, args.wait)) if answer.status else []
        findings = list(about_trace(answer, spans))
        _print_trace(answer, spans, findings)
        if any(span.is_proxy for span in spans):
            joined.append(answer.format)
        # Of two formats a mesh reads one: the request in the other shows that, and is no failure.
        if len(formats) == 1 or spans:
            status = max(status, _status(findings))
    if len(formats) > 1:
        print(_verdict(joined))
        status = status if joined else 1
    return status


def _verdict(joined: list[ProbeFormat]) -> str:
    if not joined:
        return "The sidecars joined neither trace: see above."
    names = {"b3": "B3 (a Zipkin provider)", "w3c": "W3C (an OpenTelemetry provider)"}
    return f"The sidecars of this mesh speak {' and '.join(names[each] for each in joined)}."


def _print_trace(answer: Answer, spans: list[Seen], findings: list[Finding]) -> None:
    from sls_tracing.doctor.headers import explain
    from sls_tracing.doctor.mesh_trace import RECEIVED, headers_seen, tree

    _print_headers(
        f"request with {answer.format.upper()}, trace {answer.trace_id:032x}, answered {answer.status or 'not at all'}; sent",
        answer.sent,
    )
    if spans:
        print("trace")
        for line in tree(spans):
            print(f"  {line}")
    explained = False
    for seen in headers_seen(spans):
        _print_headers(f"{seen.service} {'received' if seen.event == RECEIVED else 'sent on'}", seen.headers)
        if seen.event == RECEIVED:
            explanation = explain(seen.headers)
            print(f"  = {explanation.made}")
            if not explained:  # the mesh treats the services behind alike
                _print_findings(explanation.findings, "what that tells of the mesh")
                explained = True
    _print_findings(findings)
    print()


def _print_headers(title: str, headers: Mapping[str, str]) -> None:
    print(title)
    for name, value in headers.items():
        print(f"  {name}: {value}")
    if not headers:
        print("  no trace headers")


def _print_findings(findings: Iterable[Finding], title: str = "findings") -> None:
    print(title)
    for finding in findings:
        print(f"  {_SIGNS[finding.level]} {finding.text}")


def _status(findings: Iterable[Finding]) -> int:
    return int(any(finding.level == "problem" for finding in findings))
