"""``python benchmarks/log_service_figures.py``: what packing, storing and asking of spans costs, next to Alibaba Cloud's own SDK where that can be installed.

Spans are those of ``log_service_spans.py``. Each time is taken several times, by the clock and as the processors' own: other work on the machine adds to
the first, and on an idle one it is at most the second. What is allowed is held against the lower one. ``--sdk PYTHON`` names an interpreter of an environment with ``aliyun-log-python-sdk``, which pins another protobuf than the rest of the tests
needs; its put path is measured up to the connection, in turns with ours. ``--keep FILE`` keeps the store and, if it is there, uses it.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from log_service_spans import SPANS_A_TRACE, make_service_spans, make_spans

from sls_tracing.log_service import open_trace_store
from sls_tracing.log_service.aliyun import AliyunLogService
from sls_tracing.log_service.aliyun_http import Response
from sls_tracing.log_service.credentials import AccessKey
from sls_tracing.log_service.dialects import jaeger_legacy
from sls_tracing.log_service.logstore import LogGroup
from sls_tracing.log_service.settings import LogServiceSettings
from sls_tracing.log_service.trace_store import TraceQuery
from sls_tracing.log_service.wire import encode_log_group

if TYPE_CHECKING:
    from collections.abc import Callable

    from sls_tracing.log_service.trace_store import TraceStore
    from sls_tracing.model import SpanRecord

BATCH = 1000
SECONDS = 6 * 3600.0
"""That the spans of the store cover."""

SDK_PROGRAM = Path(__file__).parent / "log_service_sdk.py"


class Report:
    """Lines of figures, and what the issue of each allows."""

    def __init__(self) -> None:
        self.missed = 0

    def add(self, what: str, times: list[Time], allowed: float | None = None) -> None:
        """Show a time: the best and the median by the clock, and the best of the processors."""
        wall, cpu = min(each.wall for each in times), min(each.cpu for each in times)
        median = statistics.median(each.wall for each in times)
        verdict = self._verdict(min(wall, cpu) <= allowed, f"at most {allowed:g}") if allowed is not None else ""
        print(
            f"  {what:<48} best {wall:>8,.1f}  median {median:>8,.1f}  processors {cpu:>8,.1f} ms  {verdict}",
            flush=True,
        )

    def add_figure(self, what: str, figure: float, unit: str, allowed: float, *, least: bool = False) -> None:
        """Show a figure; ``least``: more is better."""
        good = figure >= allowed if least else figure <= allowed
        verdict = self._verdict(good, f"at {'least' if least else 'most'} {allowed:,.0f}")
        print(f"  {what:<48} {figure:>10,.1f} {unit:<40} {verdict}", flush=True)

    def _verdict(self, good: bool, what: str) -> str:
        self.missed += not good
        return f"{what}: {'yes' if good else 'NO'}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spans", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--sdk", metavar="PYTHON", help="an interpreter with aliyun-log-python-sdk")
    parser.add_argument("--keep", type=Path, metavar="FILE")
    options = parser.parse_args()
    report = Report()
    pack(report, options.rounds, options.sdk)
    with tempfile.TemporaryDirectory() as folder:
        path = options.keep or Path(folder) / "traces.duckdb"
        begin = time.time() - SECONDS
        if not path.exists():
            fill(report, path, options.spans, begin)
        ask(report, path, options.rounds)
    return report.missed > 0


class Time(NamedTuple):
    """Milliseconds by the clock, and of all processors together. On an idle machine the first is at most the second."""

    wall: float
    cpu: float


def timed(work: Callable[[], object]) -> Time:
    begun, begun_cpu = time.perf_counter(), time.process_time()
    work()
    return Time((time.perf_counter() - begun) * 1000, (time.process_time() - begun_cpu) * 1000)


class Unconnected(AliyunLogService):
    """A client whose requests end where the connection would begin."""

    def __init__(self) -> None:
        settings = LogServiceSettings(
            "cn-hangzhou.log.aliyuncs.com", "my-project", credentials=lambda: AccessKey("id", "secret")
        )
        super().__init__(settings)
        self._exchange._exchange = lambda *_: Response(200, {}, b"")  # type: ignore[method-assign]


def pack(report: Report, rounds: int, sdk: str | None) -> None:
    """1,000 spans to the bytes of a signed request: those of a service, and those of sidecars, which have more tags."""
    for what, spans in (("a service's", make_service_spans(BATCH)), ("sidecars'", make_spans(BATCH, time.time(), 1.0))):
        _pack(report, rounds, sdk, what, list(spans))


def _pack(report: Report, rounds: int, sdk: str | None, what: str, spans: list[SpanRecord]) -> None:
    group = LogGroup([jaeger_legacy.to_log(span) for span in spans], source="0.0.0.0")
    raw = encode_log_group(group)
    fields = sum(len(log.contents) for log in group.logs) / len(group.logs)
    print(f"\npacking 1,000 spans, {what}: {fields:.0f} fields, {len(raw):,} bytes")
    logstore = Unconnected().logstore("jaeger-span")
    ours: list[Time] = []
    theirs: list[Time] = []
    for _ in range(rounds):
        ours += [timed(lambda: logstore.put_logs(group)) for _ in range(5)]
        if sdk:
            logs = json.dumps([[log.time, list(log.contents)] for log in group.logs])
            done = subprocess.run([sdk, str(SDK_PROGRAM)], input=logs, capture_output=True, text=True, check=True)
            theirs += [Time(*each) for each in json.loads(done.stdout)]
    report.add("put_logs, up to the connection", ours, 10 if what == "a service's" else None)
    report.add(
        "before: spans to logs",
        [timed(lambda: [jaeger_legacy.to_log(span) for span in spans]) for _ in range(rounds)],
    )
    if theirs:
        report.add("the SDK's put_logs, up to the connection", theirs)
        ratio = min(each.cpu for each in theirs) / min(each.cpu for each in ours)
        print(f"  the SDK takes {ratio:.1f} times the processor's time")


def fill(report: Report, path: Path, count: int, begin: float) -> None:
    """Spans in memory into a file, the collector's way."""
    print(f"\nstoring {count:,} spans in a file, {BATCH:,} at a time")
    source = make_spans(count, begin, SECONDS)
    store = open_trace_store(str(path))
    rates: list[float] = []
    spent = spent_cpu = 0.0
    stored = 0
    while batch := list(islice(source, 50 * BATCH)):
        took = timed(lambda batch=batch: write(store, batch))
        rates.append(len(batch) / took.wall * 1000)
        spent, spent_cpu, stored = spent + took.wall, spent_cpu + took.cpu, stored + len(batch)
    store.close()
    report.add_figure("stored, the best 50,000", max(rates), "spans a second", 15_000, least=True)
    report.add_figure("stored, over all", stored / spent * 1000, "spans a second", 15_000, least=True)
    print(f"  one processor alone would store {stored / spent_cpu * 1000:,.0f} spans a second")
    report.add_figure("on disk", path.stat().st_size / stored, "bytes a span", 200)


def write(store: TraceStore, spans: list[SpanRecord]) -> None:
    for at in range(0, len(spans), BATCH):
        store.write(spans[at : at + BATCH])


def ask(report: Report, path: Path, rounds: int) -> None:
    """Questions to the full store, each time another trace and other bounds."""
    store = open_trace_store(str(path))
    logstore = store.logstore
    total = logstore.get_logs(
        "* | select count(1) as n, min(__time__) as a, max(__time__) as b from log", 0, 2**32 - 1
    ).logs[0]
    count, first, last = int(total["n"]), int(total["a"]), int(total["b"])
    print(f"\nasking of {count:,} spans")
    sample = f"* | select traceID from log where startTime % 97 = 13 limit {rounds}"
    ids = [int(row["traceID"], 16) for row in logstore.get_logs(sample, 0, 2**32 - 1).logs]

    def trace(number: int) -> None:
        assert len(store.get_trace(ids[number % len(ids)])) == SPANS_A_TRACE

    def find(number: int, **more: object) -> None:
        query = TraceQuery(
            "reviews.default", tags={"http.status_code": "503"}, min_duration=0.02 + number / 1e6, limit=20
        )
        assert len(store.find_traces(query._replace(**more))) == 20

    def p99(number: int) -> None:
        sql = (
            'select "process.serviceName" as service, operationName as operation, count(1) as n, approx_percentile(duration, 0.99) as p99 '
            "from log group by service, operation order by p99 desc"
        )
        assert logstore.get_logs(f"* | {sql}", 0, last + 1 + number).logs

    questions: list[tuple[str, Callable[[int], object], float | None]] = [
        ("a trace by its id", trace, 20),
        ("traces by service, tag and duration", find, 150),
        ("the same, longest first", lambda n: find(n, order="longest"), None),
        (
            "traces of the last hour by service and tag",
            lambda n: find(n, start_min=last - 3600.0, min_duration=None),
            None,
        ),
        ("p99 by service and operation", p99, 300),
        ("services", lambda _: store.services(), None),
        ("operations of a service", lambda _: store.operations("reviews.default"), None),
        ("dependencies of the last hour", lambda _: store.dependencies(float(last), 3600.0), None),
    ]
    for what, question, allowed in questions:
        question(0)
        report.add(what, [timed(lambda n=n, ask=question: ask(n + 1)) for n in range(rounds)], allowed)
    assert first <= last
    store.close()


if __name__ == "__main__":
    sys.exit(main())
