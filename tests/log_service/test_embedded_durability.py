"""What the embedded store promises of its file: it survives the process, and a bad one is refused with a remedy."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import pytest

from sls_tracing.exceptions import ConfigurationError
from sls_tracing.log_service import TraceQuery, open_trace_store
from sls_tracing.log_service.embedded import EmbeddedLogstore
from sls_tracing.log_service.embedded_database import Database
from sls_tracing.log_service.index import FieldIndex, Index
from sls_tracing.log_service.logstore import END_OF_TIME, Log, LogGroup

WRITER = """
import sys, time
from sls_tracing.log_service.embedded import EmbeddedLogstore
from sls_tracing.log_service.dialects.jaeger_legacy import INDEX
from sls_tracing.log_service.logstore import Log, LogGroup
logstore = EmbeddedLogstore(sys.argv[1], index=INDEX._replace(any_key=True))
n = 0
while True:
    logstore.put_logs(LogGroup([Log(n, [("traceID", f"{n:016x}"), (f"tags.k{n % 40}", "v" * 100)]) for n in range(n, n + 100)]))
    n += 100
    print(n, flush=True)
"""


def test_a_file_survives_a_restart(tmp_path, make_span):
    path = str(tmp_path / "traces.duckdb")
    span = make_span(1, 2, tags={"n": 1})
    for n in range(3):
        store = open_trace_store(path)
        store.write([span._replace(operation_name=f"run {n}")])
        assert [found.operation_name for found in store.get_trace(1)] == [f"run {m}" for m in range(n + 1)]
        store.close()
    assert [span.tags for span in open_trace_store(path).get_trace(1)] == [{"n": 1}] * 3


def test_nothing_acknowledged_is_lost_when_the_process_is_killed(tmp_path):
    """kill -9 in the middle of writing, twice, the second time over the log of the first."""
    path = str(tmp_path / "traces.duckdb")
    total = 0
    for _ in range(2):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, path], stdout=subprocess.PIPE, text=True)
        acknowledged = 0
        for line in writer.stdout:
            acknowledged = int(line)
            if acknowledged >= 3000:
                break
        os.kill(writer.pid, signal.SIGKILL)
        rest = writer.stdout.read().split()  # acknowledged while the signal was on its way
        writer.wait()
        writer.stdout.close()
        acknowledged = int(rest[-1]) if rest and rest[-1].endswith("00") else acknowledged
        logstore = EmbeddedLogstore(path)
        counted = int(logstore.get_logs("* | select count(1) as n", 0, END_OF_TIME).logs[0]["n"])
        logstore.close()
        assert counted >= total + acknowledged
        assert counted % 100 == 0, "a group is stored whole or not at all"
        total = counted


def test_an_existing_logstore_keeps_its_index_and_takes_what_it_lacks(tmp_path):
    path = str(tmp_path / "x.duckdb")
    first = EmbeddedLogstore(path, index=Index({"a": FieldIndex("long"), "b": FieldIndex()}))
    first.put_logs(LogGroup([Log(1, [("a", "5")])]))
    first.close()
    second = EmbeddedLogstore(path, index=Index({"a": FieldIndex("text"), "c": FieldIndex()}))
    assert second.get_index().keys == {"a": FieldIndex("long"), "b": FieldIndex(), "c": FieldIndex()}
    assert len(second.get_logs("a > 4", 0, END_OF_TIME).logs) == 1
    second.close()


def test_several_logstores_live_in_one_file(tmp_path):
    database = Database(str(tmp_path / "x.duckdb"))
    one, two = (EmbeddedLogstore(database, name, index=Index({"a": FieldIndex()})) for name in ("one", 'tw"o'))
    one.put_logs(LogGroup([Log(1, [("a", "1")])]))
    two.put_logs(LogGroup([Log(1, [("a", "2")])]))
    assert [log["a"] for log in one.get_logs("*", 0, 9).logs] == ["1"]
    assert two.get_logs("* | select a", 0, 9).logs == [{"a": "2"}]
    one.close()
    assert two.get_logs("a: 2", 0, 9).logs, "closing one leaves the database open for the other"
    database.close()


def test_threads_read_while_one_writes(tmp_path):
    """A reader sees whole groups only, and more of them as time goes on."""
    logstore = EmbeddedLogstore(str(tmp_path / "x.duckdb"), index=Index({"n": FieldIndex("long")}, any_key=True))
    done = threading.Event()
    failures: list[object] = []

    def read():
        seen = 0
        try:
            while not done.is_set():
                count = int(logstore.get_logs("n >= 0 | select count(1) as c", 0, END_OF_TIME).logs[0]["c"])
                if count % 50 or count < seen:
                    failures.append((seen, count))
                seen = count
                logstore.get_logs("not free: x", 0, END_OF_TIME, line=5)
        except Exception as error:
            failures.append(error)

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for batch in range(40):
        logs = [Log(batch, [("n", str(n)), (f"new-{batch}", "x"), ("free", "y")]) for n in range(50)]
        logstore.put_logs(LogGroup(logs))
    done.set()
    for reader in readers:
        reader.join()
    assert failures == []
    assert logstore.get_logs("* | select count(1) as c", 0, END_OF_TIME).logs == [{"c": "2000"}]
    logstore.close()


def test_threads_may_write_at_the_same_time(tmp_path):
    logstore = EmbeddedLogstore(str(tmp_path / "x.duckdb"), index=Index({}, any_key=True))
    writers = [
        threading.Thread(
            target=lambda n=n: [logstore.put_logs(LogGroup([Log(n, [(f"k{n}-{m}", "x")])])) for m in range(20)]
        )
        for n in range(4)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert logstore.get_logs("* | select count(1) as c", 0, END_OF_TIME).logs == [{"c": "80"}]
    logstore.close()


# --- storage that cannot be used ---


def test_memory_is_its_own_each_time(make_span):
    one, two = open_trace_store(), open_trace_store("memory:")
    one.write([make_span(1, 1)])
    assert len(one.find_traces(TraceQuery())) == 1
    assert two.find_traces(TraceQuery()) == []


def test_a_missing_directory_is_named(tmp_path):
    with pytest.raises(ConfigurationError, match=r"no directory .*nowhere; create it"):
        open_trace_store(str(tmp_path / "nowhere" / "x.duckdb"))


def test_a_directory_is_no_file(tmp_path):
    with pytest.raises(ConfigurationError, match="is a directory; name a file in it"):
        open_trace_store(str(tmp_path))


@pytest.mark.parametrize("content", [b"hello " * 5000, b"SQLite format 3\x00" + bytes(8000)])
def test_a_file_of_another_kind_is_refused_and_left_alone(tmp_path, content):
    path = tmp_path / "x.db"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"x\.db.*not a DuckDB database; name another file"):
        open_trace_store(str(path))
    assert path.read_bytes() == content


def test_an_empty_file_becomes_a_store(tmp_path, make_span):
    """``mktemp`` makes one."""
    path = tmp_path / "x.duckdb"
    path.touch()
    store = open_trace_store(str(path))
    store.write([make_span(1, 1)])
    assert store.services() == ["a"]
    store.close()


def test_a_file_that_another_process_has_open_is_refused(tmp_path):
    path = str(tmp_path / "x.duckdb")
    store = open_trace_store(path)
    code = f"from sls_tracing.log_service import open_trace_store; open_trace_store({path!r})"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert other.returncode == 1
    assert "ConfigurationError" in other.stderr
    assert "another process has it open" in other.stderr
    store.close()


@pytest.mark.parametrize("storage", ["", "log-service:"])
def test_storage_that_is_none_says_what_would_be(storage):
    with pytest.raises(ConfigurationError, match=r"memory:, the path of a file|endpoint is not set"):
        open_trace_store(storage)


@pytest.mark.parametrize("missing", ["duckdb", "sqlglot"])
def test_a_missing_package_comes_with_the_command(missing):
    code = (
        f"import sys; sys.modules[{missing!r}] = None\n"
        "from sls_tracing.log_service import open_trace_store\n"
        "open_trace_store('memory:')"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (
        f"ConfigurationError: traces are stored with {missing}, which is not installed: pip install 'sls-tracing[server]'"
        in run.stderr
    )


def test_the_package_alone_needs_neither(tmp_path):
    """LogServiceSender will live on it inside applications, without the extra."""
    code = "import sys, sls_tracing.log_service; print([m for m in ('duckdb', 'sqlglot') if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n"
