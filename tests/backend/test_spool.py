"""Batches that wait for a collector, in memory and on disk: one contract, and what only the disk can promise."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest

from sls_tracing.backend.spool import DiskSpool, MemorySpool
from sls_tracing.exceptions import ConfigurationError
from sls_tracing.metrics import Counters


@pytest.fixture(params=["memory", "disk"])
def spool(request, tmp_path):
    if request.param == "memory":
        return MemorySpool(1000)
    return DiskSpool(str(tmp_path / "spool"), 1000, counters=Counters())


def drain(spool):
    bodies = []
    while packet := spool.first(0):
        bodies.append((packet.body, packet.spans))
        spool.done(packet)
    return bodies


def test_oldest_first_and_only_once_done(spool):
    """A batch that was not delivered is the first again."""
    assert spool.put(b"one", 1)
    assert spool.put(b"two", 2)
    assert spool.first(0).body == b"one"
    assert spool.first(0).body == b"one"
    assert spool.waiting_bytes > 0
    assert drain(spool) == [(b"one", 1), (b"two", 2)]
    assert spool.waiting_bytes == 0
    assert spool.first(0) is None


def test_bounded_by_bytes(spool):
    """What does not fit is refused, and nothing that was accepted is lost; a batch larger than all of it passes alone."""
    assert spool.put(b"x" * 900, 1)
    assert not spool.put(b"y" * 200, 1)
    assert len(drain(spool)) == 1
    assert spool.put(b"z" * 5000, 1)
    assert not spool.put(b"z", 1)
    assert len(drain(spool)) == 1


def test_waiting_ends_with_a_batch_or_when_woken(spool):
    """`first` waits for what another thread puts; `wake` ends it, for good."""
    threading.Timer(0.05, spool.put, (b"late", 1)).start()
    assert spool.first(30).body == b"late"
    spool.done(spool.first(0))
    threading.Timer(0.05, spool.wake).start()
    assert spool.first(30) is None


def test_the_disk_keeps_order_and_numbers_over_starts(tmp_path):
    """A new agent delivers what the last one left, before what comes now."""
    first = DiskSpool(str(tmp_path), 10_000)
    for number in range(12):
        first.put(b"%d" % number, number)
    second = DiskSpool(str(tmp_path), 10_000)
    assert second.waiting_bytes == first.waiting_bytes
    second.put(b"new", 1)
    assert drain(second) == [(b"%d" % number, number) for number in range(12)] + [(b"new", 1)]
    assert list(tmp_path.iterdir()) == []


def test_damaged_files_cost_themselves_only(tmp_path):
    """Half-written, cut, altered or emptied: removed and counted; the batches around them are delivered. Other files are left alone."""
    counters = Counters()
    spool = DiskSpool(str(tmp_path), 10_000)
    for number in range(5):
        spool.put(b"batch %d" % number, 1)
    files = sorted(tmp_path.glob("*.batch"))
    files[1].write_bytes(files[1].read_bytes()[:-1])
    files[2].write_bytes(b"")
    files[3].write_bytes(files[3].read_bytes().replace(b"batch", b"bitch"))
    (tmp_path / "0000000000000009.batch.writing").write_bytes(b"half")
    (tmp_path / "notes.txt").write_text("mine")
    found = drain(DiskSpool(str(tmp_path), 10_000, counters=counters))
    assert found == [(b"batch 0", 1), (b"batch 4", 1)]
    assert counters.get("spool_files_broken") == 4
    assert [each.name for each in tmp_path.iterdir()] == ["notes.txt"]


def test_a_directory_that_cannot_be_written_to(tmp_path):
    """Told at the start, with the remedy."""
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="name a directory that can be written to"):
        DiskSpool(str(tmp_path / "file"), 1000)


PUTTING = """
import sys
from sls_tracing.backend.spool import DiskSpool
spool = DiskSpool(sys.argv[1], 1 << 30)
number = 0
while True:
    spool.put(b"x" * 5000 + b"%d" % number, 1)
    print(number, flush=True)
    number += 1
"""


def test_what_was_put_survives_kill_9(tmp_path):
    """Every batch for which `put` had returned is there, whole, after the process was killed in the midst of it."""
    process = subprocess.Popen([sys.executable, "-c", PUTTING, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    for line in process.stdout:
        if int(line) >= 100:
            process.kill()
            break
    put = max([100, *map(int, process.communicate()[0].split())])
    bodies = [body for body, _ in drain(DiskSpool(str(tmp_path), 1 << 30))]
    assert bodies[: put + 1] == [b"x" * 5000 + b"%d" % number for number in range(put + 1)]
    assert len(bodies) <= put + 2
