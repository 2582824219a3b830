"""Counters: named integers that only grow."""

import gc
import threading

from sls_tracing.metrics import Counters, counters


def test_counting():
    """From zero, by any amount; the snapshot is sorted and a copy."""
    own = Counters()
    assert own.get("a") == 0
    own.add("b", 5)
    own.add("a")
    own.add("a")
    snapshot = own.snapshot()
    assert list(snapshot.items()) == [("a", 2), ("b", 5)]
    snapshot["a"] = 100
    assert own.get("a") == 2


def test_threads_lose_no_count():
    """8 threads, 2,000 each."""
    own = Counters()
    threads = [threading.Thread(target=lambda: [own.add("a") for _ in range(2000)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert own.get("a") == 16_000


def test_a_finalizer_may_count_while_the_lock_is_held():
    """The garbage collector runs where it likes."""
    own = Counters()

    class Forgotten:
        def __init__(self):
            self.me = self

        def __del__(self):
            own.add("finalized")

    Forgotten()
    with own._lock:
        gc.collect()
    assert own.get("finalized") == 1


def test_the_process_has_one():
    """Shared by all components that are not given their own."""
    assert isinstance(counters, Counters)
