"""Collectors and query services side by side over one Log Service: no state but what is stored, so any of them may be added, asked, or killed."""

from __future__ import annotations

import contextlib
import itertools
import json
import re
import sys
import threading
import time
from pathlib import Path

import pytest
import requests

sys.path.insert(0, str(Path(__file__).parent))  # importlib mode puts no test folder on the path
from roles import THRIFT, Running, body, span

KEY = {"ALIBABA_CLOUD_ACCESS_KEY_ID": "scale", "ALIBABA_CLOUD_ACCESS_KEY_SECRET": "out"}
COLLECTORS, QUERIES = 4, 2
SPANS_A_POST, ENOUGH = 20, 4000


@pytest.fixture
def shared(tmp_path):
    """A Log Service with a project, and what a role needs to reach it."""
    with Running("log-service", "--storage", str(tmp_path / "logs.db"), environment=KEY) as log_service:
        options = [
            "--storage=log-service:",
            "--storage.aliyun_sls.endpoint=cn-test.log.aliyuncs.com",
            "--storage.aliyun_sls.project=scale",
            f"--storage.aliyun_sls.connect={log_service.urls['log-service']}",
        ]
        yield log_service, options


def started(stack, number, name, options):
    """Start several of a role at the same time."""
    found, failed = [], []

    def start():
        try:
            found.append(Running(name, *options, environment=KEY))
        except AssertionError as error:
            failed.append(error)

    threads = [threading.Thread(target=start) for _ in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for each in found:
        stack.enter_context(each)
    assert not failed, failed
    return found


def stored_by(collector) -> float:
    text = requests.get(collector.urls["admin"] + "/metrics", timeout=20).text
    found = re.search(r"^sls_tracing_collector_spans_stored_total (\S+)$", text, re.MULTILINE)
    return float(found[1]) if found else 0.0


def test_four_collectors_and_two_query_services_one_collector_killed(shared):
    """Clients go round the collectors; one is killed in the midst of it; what had its 202 is there, and both query services answer alike."""
    log_service, options = shared
    acknowledged, lock, done = set(), threading.Lock(), threading.Event()
    now = time.time()

    def start_of(number):
        """A time of its own for each trace: of two that are equally new a search may find either."""
        client, turn = divmod(number, 1_000_000)
        return now - turn / 1e4 - client / 1e5

    def client(first, urls):
        turns = itertools.cycle(urls)
        with requests.Session() as session:
            for base in range(first, first + 1_000_000, SPANS_A_POST):
                numbers = range(base, base + SPANS_A_POST)
                content = body(*(span(number, start=start_of(number)) for number in numbers))
                for url in itertools.islice(turns, COLLECTORS):  # the next one, if one does not answer
                    try:
                        response = session.post(url, content, headers=THRIFT, timeout=30)
                    except requests.exceptions.RequestException:
                        continue
                    if response.status_code == 202:
                        with lock:
                            acknowledged.update(numbers)
                        break
                if done.is_set():
                    return

    with contextlib.ExitStack() as stack:
        # One first: it makes project, logstore and index, as `sls-tracing provision` would.
        collectors = started(stack, 1, "collector", options)
        collectors += started(stack, COLLECTORS - 1, "collector", options)
        queries = started(stack, QUERIES, "query", options)
        urls = [each.urls["thrift"] for each in collectors]
        threads = [
            threading.Thread(target=client, args=(number * 1_000_000 + 1, urls[number:] + urls[:number]))
            for number in range(COLLECTORS)
        ]
        for thread in threads:
            thread.start()
        deadline = time.monotonic() + 60
        killed = False
        while len(acknowledged) < ENOUGH and time.monotonic() < deadline:
            if len(acknowledged) > ENOUGH / 3 and not killed:
                shares = [stored_by(each) for each in collectors]
                collectors[0].process.kill()
                killed = True
            time.sleep(0.02)
        done.set()
        for thread in threads:
            thread.join()
        assert killed
        assert all(share > 0 for share in shares), shares  # the load was everyone's
        for each in collectors[1:]:
            assert each.end()[0] == 0
        assert len(acknowledged) >= ENOUGH

        answers = [everything(query, acknowledged) for query in queries]
        assert answers[0] == answers[1]
        services, operations, found, traces = answers[0]
        assert (services, operations) == (["svc"], ["op"])
        assert len(found) == 50
        assert traces == {f"{number:016x}" for number in sorted(acknowledged)[:: len(acknowledged) // 40]}
        assert log_service.end()[0] == 0
    # In the file, after the end of all: every span that was acknowledged.
    assert acknowledged <= stored_ids(log_service)


def everything(query, acknowledged):
    """What a user sees of a query service: services, operations, a search, traces by id."""
    url = query.urls["query"].rstrip("/")

    def ask(path, **params):
        return requests.get(url + path, params=params, timeout=60).json()["data"]

    some = sorted(acknowledged)[:: len(acknowledged) // 40]
    traces = ask("/api/traces", traceID=[f"{number:x}" for number in some])
    return (
        ask("/api/services"),
        ask("/api/services/svc/operations"),
        sorted(json.dumps(trace, sort_keys=True) for trace in ask("/api/traces", service="svc", limit=50)),
        {trace["traceID"] for trace in traces},
    )


def stored_ids(log_service):
    from sls_tracing.log_service.embedded_service import EmbeddedProjects

    path = log_service.process.args[log_service.process.args.index("--storage") + 1]
    with contextlib.closing(EmbeddedProjects(path)) as projects:
        logstore = projects.project("scale").logstore("jaeger-span")
        rows = logstore.get_logs("* | select distinct traceID as t from log limit 1000000", 0, 2**32 - 1).logs
        return {int(row["t"], 16) for row in rows}
