"""Celery: a real worker with its pool of processes, against a real Redis; and tasks that run eagerly."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sls_tracing import instrumentation
from tests.lifecycle.conftest import Receiver

HERE = Path(__file__).parent
BIN = Path(sys.executable).parent


@pytest.fixture
def tasks(recorded, monkeypatch):
    """The tasks as a web service has them, with the broker that a test sets."""
    import importlib

    monkeypatch.syspath_prepend(str(HERE))
    yield importlib.import_module("celery_tasks")
    sys.modules.pop("celery_tasks", None)


@contextlib.contextmanager
def worker(redis_server, database, tmp_path, **variables):
    """A worker that reports to the receiver that is yielded; left, it ends as `systemctl stop` ends it."""
    receiver = Receiver()
    url = f"redis://{redis_server.host}:{redis_server.port}/{database}"
    environment = os.environ | {
        "BROKER": url,
        "BACKEND": url,
        "JAEGER_SERVICE_NAME": "worker",
        "JAEGER_AGENT_HOST": "127.0.0.1",
        "JAEGER_AGENT_PORT": str(receiver.port),
        "JAEGER_SAMPLER_TYPE": "const",
        "JAEGER_SAMPLER_PARAM": "1",
        **variables,
    }
    command = [
        BIN / "sls-tracing",
        "run",
        BIN / "celery",
        "-A",
        "celery_tasks",
        "worker",
        "-c",
        "2",
        "-l",
        "INFO",
        "--without-gossip",
    ]
    log = tmp_path / "worker.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*map(str, command), "--without-mingle"],
            cwd=HERE, env=environment, stdout=output, stderr=output, start_new_session=True,
        )  # fmt: skip
    try:
        deadline = time.monotonic() + 60
        while b"ready." not in log.read_bytes():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.02)
        yield receiver
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        receiver.close()


@pytest.fixture
def connected(tasks, redis_server):
    def connect(database):
        url = f"redis://{redis_server.host}:{redis_server.port}/{database}"
        tasks.app.conf.update(broker_url=url, result_backend=url)
        tasks.app.__dict__.pop("backend", None)
        return tasks

    yield connect
    tasks.app.close()


def of(spans, name):
    return [span for span in spans if span.operation_name == name]


def test_a_real_worker(recorded, connected, redis_server, tmp_path):
    """Sending, running, an error, a retry, a chain; the trace goes through the broker, and processes that end deliver."""
    tasks = connected(1)
    with worker(redis_server, 1, tmp_path) as receiver:
        with recorded.tracer.start_active_span("request") as scope:
            assert tasks.add.delay(1, 2).get(timeout=30) == 3
            with pytest.raises(ValueError, match="no such order"):
                tasks.fail.apply_async().get(timeout=30)
            assert tasks.flaky.delay().get(timeout=30) == 1
            assert (tasks.add.s(1, 2) | tasks.add.s(4)).delay().get(timeout=30) == 7
            assert tasks.app.send_task("celery_tasks.headers", headers={"own": "mine"}).get(timeout=30)["own"] == "mine"
    ours = [span for span in recorded.spans if span.parent_id == scope.span.context.span_id]
    sent = [span for span in ours if span.tags["component"] == "celery"]
    theirs = receiver.spans()

    # -- who sends
    assert [span.name for span in sent] == [
        f"send celery_tasks.{name}" for name in ("add", "fail", "flaky", "add", "headers")
    ]
    assert sent[0].tags["span.kind"] == "producer"
    assert sent[0].tags["message_bus.destination"] == "orders"
    assert sent[0].tags["celery.task_name"] == "celery_tasks.add"
    assert len(sent[0].tags["celery.task_id"]) == 36
    print(
        [
            (s.operation_name, s.context.trace_id == scope.span.context.trace_id, s.tags.get("db.statement"))
            for s in theirs
        ]
    )
    # A worker's commands to its broker, all day long, make no traces.
    assert {span.context.trace_id for span in theirs} == {scope.span.context.trace_id}
    assert not [span for span in recorded.spans if span.parent_id in {span.span_id for span in sent}]

    # -- who runs
    first = next(span for span in of(theirs, "run celery_tasks.add") if span.context.parent_id == sent[0].span_id)
    assert str(first.references[0].type).lower().endswith("follows_from")
    assert first.tags["span.kind"] == "consumer"
    assert first.tags["message_bus.destination"] == "orders"
    assert first.tags["celery.task_id"] == sent[0].tags["celery.task_id"]
    assert first.tags["celery.state"] == "SUCCESS"
    inside = next(span for span in of(theirs, "inside") if span.context.parent_id == first.context.span_id)
    assert inside.start_time >= first.start_time

    (failed,) = of(theirs, "run celery_tasks.fail")
    assert (failed.tags["error"], failed.tags["celery.state"]) == (True, "FAILURE")
    assert failed.logs[0].fields["error.kind"] == "ValueError"
    assert "celery_tasks.py" in failed.logs[0].fields["stack"]

    once, again = sorted(of(theirs, "run celery_tasks.flaky"), key=lambda span: span.start_time)
    assert ("error" in once.tags, once.tags["celery.state"]) == (False, "RETRY")
    assert [log.fields["event"] for log in once.logs] == ["retry"]
    (resent,) = of(theirs, "send celery_tasks.flaky")
    assert resent.context.parent_id == once.context.span_id
    assert (again.context.parent_id, again.tags["celery.retries"]) == (resent.context.span_id, 1)

    # -- the second task of the chain is sent by the run of the first
    (chained,) = of(theirs, "send celery_tasks.add")
    assert chained.context.parent_id in {span.context.span_id for span in of(theirs, "run celery_tasks.add")}


def test_processes_that_end_after_some_tasks_lose_no_span(recorded, connected, redis_server, tmp_path):
    tasks = connected(2)
    with worker(redis_server, 2, tmp_path, MAX_TASKS="1") as receiver:
        results = [tasks.headers.delay() for _ in range(2)]
        processes = {result.get(timeout=30)["process"] for result in results}
        assert len(processes) == 2
    assert len(of(receiver.spans(), "run celery_tasks.headers")) == 2


def test_a_broker_that_is_away_ends_the_span_with_its_error(recorded, tasks):
    options = {"max_retries": 0, "interval_start": 0, "interval_step": 0}
    tasks.app.conf.update(broker_url="redis://127.0.0.1:1/0", broker_transport_options=options)
    with pytest.raises(Exception, match=r"(?i)refused"):
        tasks.add.apply_async((1, 2), retry=False)
    (span,) = recorded.spans
    assert (span.name, span.tags["error"], len(span.errors())) == ("send celery_tasks.add", True, 1)


def test_eager_tasks_are_children_of_the_active_span(recorded, tasks):
    tasks.app.conf.task_always_eager = True
    with recorded.tracer.start_active_span("request") as scope:
        assert tasks.add.delay(1, 2).get() == 3
        assert tasks.fail.delay().failed()
        assert recorded.tracer.active_span is scope.span
    inside, run, failed, _ = recorded.spans
    assert (run.name, run.parent_id) == ("run celery_tasks.add", scope.span.context.span_id)
    assert (inside.name, inside.parent_id) == ("inside", run.span_id)
    assert (failed.tags["error"], failed.tags["celery.state"]) == (True, "FAILURE")


def test_uninstall_leaves_nothing(recorded, tasks):
    from celery import Celery, signals

    before = len(signals.task_prerun.receivers)
    instrumentation.install("celery")
    assert len(signals.task_prerun.receivers) == before
    instrumentation.uninstall("celery")
    assert len(signals.task_prerun.receivers) == before - 1
    assert type(vars(Celery)["send_task"]).__name__ == "function"
    tasks.app.conf.task_always_eager = True
    assert tasks.add.delay(1, 2).get() == 3
    assert [span.name for span in recorded.spans] == ["inside"]
