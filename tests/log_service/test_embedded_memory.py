"""A logstore in memory is bounded: the oldest logs make room for new ones; in a file nothing is deleted."""

from __future__ import annotations

import threading

import pytest

from sls_tracing.log_service.embedded import EmbeddedLogstore
from sls_tracing.log_service.embedded_database import MEMORY, Database
from sls_tracing.log_service.index import FieldIndex, Index
from sls_tracing.log_service.logstore import Log, LogGroup

INDEX = Index(keys={"number": FieldIndex("long")})


@pytest.fixture(autouse=True)
def few(monkeypatch):
    monkeypatch.setattr("sls_tracing.log_service.embedded.MOST_IN_MEMORY", 100)


def put(logstore, numbers):
    for number in numbers:
        logstore.put_logs(LogGroup([Log(1000 + number // 2, [("number", str(number))])]))


def numbers(logstore):
    logs = logstore.get_logs("* | select number from log order by number limit 100000", 0, 2**32 - 1).logs
    return [int(log["number"]) for log in logs]


def test_the_newest_stay():
    """At least as many as are kept, less two that share a second, and at most a tenth more; whatever their order."""
    logstore = EmbeddedLogstore(index=INDEX)
    put(logstore, range(500))
    kept = numbers(logstore)
    assert kept == list(range(kept[0], 500))
    assert 98 <= len(kept) <= 110
    put(logstore, range(10))  # late ones come and go
    put(logstore, range(500, 520))
    assert numbers(logstore)[-20:] == list(range(500, 520))
    logstore.close()


def test_a_file_keeps_everything(tmp_path):
    """Disk is what it was given."""
    logstore = EmbeddedLogstore(str(tmp_path / "logs.db"), index=INDEX)
    put(logstore, range(300))
    assert len(numbers(logstore)) == 300
    logstore.close()


def test_a_logstore_that_is_opened_again_knows_what_it_holds():
    """Several may be opened over one database in memory."""
    database = Database(MEMORY)
    put(EmbeddedLogstore(database, index=INDEX), range(100))
    again = EmbeddedLogstore(database, index=INDEX)
    put(again, range(100, 200))
    assert len(numbers(again)) <= 110
    database.close()


def test_readers_are_not_disturbed():
    """Searches go on while logs make room, and find what is there."""
    logstore, done, failures = EmbeddedLogstore(index=INDEX), threading.Event(), []

    def read():
        while not done.is_set():
            try:
                found = numbers(logstore)
                assert found == list(range(found[0], found[-1] + 1)) if found else True
            except Exception as error:
                failures.append(error)
                return

    threads = [threading.Thread(target=read) for _ in range(2)]
    for thread in threads:
        thread.start()
    put(logstore, range(600))
    done.set()
    for thread in threads:
        thread.join()
    assert not failures
    assert len(numbers(logstore)) <= 110
    logstore.close()
