"""How many traces a debug flag may force."""

from __future__ import annotations

import os
import threading
from urllib.parse import parse_qs, urlsplit

import pytest

from sls_tracing.exceptions import ConfigurationError
from sls_tracing.metrics import Counters
from sls_tracing.testing import FakeClock
from sls_tracing.throttler import LocalThrottler, RemoteThrottler


@pytest.fixture
def counters():
    return Counters()


@pytest.fixture
def remote(scripted_server, counters):
    made = []

    def make(**options):
        options = {"url": scripted_server.url + "/credits", "refresh_interval": 0.01, "counters": counters, **options}
        made.append(RemoteThrottler("shop", **options))
        return made[-1]

    yield make
    for throttler in made:
        throttler.close()


def granting(server, balance=1.0):
    """Return a script that grants each operation that is asked for so much, once, and notes which were asked for together."""
    granted = set()
    asked = []

    def script(handler):
        operations = parse_qs(urlsplit(handler.path).query).get("operations", [])
        asked.append(operations)
        new = [each for each in operations if each not in granted]
        granted.update(new)
        server.body = {"balances": [{"operation": each, "balance": balance} for each in new]}
        server.answer(handler)

    server.script = script
    return asked


# -- without a server --------------------------------------------------------------------------------------------------


def test_each_operation_has_its_own_allowance(counters):
    clock = FakeClock()
    throttler = LocalThrottler(2.0, clock=clock, counters=counters)
    assert [throttler.is_allowed("a") for _ in range(4)] == [True, True, False, False]
    assert throttler.is_allowed("b")
    clock.advance(0.5)
    assert [throttler.is_allowed("a") for _ in range(2)] == [True, False]
    assert counters.get("throttled_debug_spans") == 3


def test_operations_beyond_the_bound_share_one_allowance():
    throttler = LocalThrottler(1.0, max_operations=10, clock=FakeClock())
    assert sum(throttler.is_allowed(f"path {number}") for number in range(1000)) == 11
    assert len(throttler._limiters) == 10


def test_a_rate_of_0_allows_nothing():
    assert not LocalThrottler(0).is_allowed("a")


def test_threads_that_meet_one_operation_share_its_allowance():
    throttler = LocalThrottler(5.0, clock=FakeClock())
    allowed = []
    together = threading.Barrier(8)

    def ask():
        together.wait()
        allowed.extend(throttler.is_allowed("a") for _ in range(50))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert allowed.count(True) == 5


def test_a_wrong_rate_is_an_error_at_once():
    with pytest.raises(ConfigurationError):
        LocalThrottler(-1)


# -- with a server -----------------------------------------------------------------------------------------------------


def test_the_question_is_jaegers(scripted_server, remote, wait_until):
    throttler = remote(client_id="c 1")
    throttler.is_allowed("GET /a&b")
    wait_until(lambda: scripted_server.paths)
    assert scripted_server.paths[0] == "/credits?service=shop&uuid=c+1&operations=GET+%2Fa%26b"


def test_an_operation_has_no_credit_until_the_server_grants_some(scripted_server, remote, wait_until, counters):
    granting(scripted_server, 2.5)
    throttler = remote()
    assert not throttler.is_allowed("a")
    wait_until(lambda: throttler._credits["a"])
    assert [throttler.is_allowed("a") for _ in range(4)] == [True, True, False, False]
    assert counters.get("throttled_debug_spans") == 3
    assert counters.get("throttler_updates_ok") >= 1


def test_a_new_operation_does_not_wait_for_the_interval(scripted_server, remote, wait_until):
    granting(scripted_server)
    throttler = remote(refresh_interval=3600)
    throttler.is_allowed("a")
    wait_until(lambda: throttler.is_allowed("a"))
    throttler.is_allowed("b")
    wait_until(lambda: throttler.is_allowed("b"))


def test_credits_add_up_and_those_for_others_are_ignored(scripted_server, remote, wait_until):
    scripted_server.body = {"balances": [{"operation": "a", "balance": 0.5}, {"operation": "stranger", "balance": 9}]}
    throttler = remote()
    throttler.is_allowed("a")
    wait_until(lambda: throttler.is_allowed("a"))
    assert "stranger" not in throttler._credits


def test_the_first_trace_can_wait_for_its_credits(scripted_server, remote):
    """Go's synchronousInitialization."""
    granting(scripted_server)
    throttler = remote(synchronous_initialization=True, refresh_interval=3600)
    assert throttler.is_allowed("a")
    assert not throttler.is_allowed("a")


def test_that_wait_is_short_when_the_server_hangs(scripted_server, remote):
    scripted_server.script = lambda handler: scripted_server.released.wait(60)
    throttler = remote(synchronous_initialization=True, timeout=60)
    assert not throttler.is_allowed("a")
    assert not scripted_server.released.is_set()


@pytest.mark.parametrize(
    "bad",
    [
        b"?",
        b"[]",
        b"{}",
        b'{"balances": null}',
        b'{"balances": [1]}',
        b'{"balances": [{"operation": "a", "balance": 5}, {"operation": "a"}]}',
        b'{"balances": [{"operation": "a", "balance": -5}]}',
        b'{"balances": [{"operation": "a", "balance": Infinity}]}',
        b'{"balances": [{"operation": "a", "balance": "5"}]}',
        b'{"balances": [{"operation": null, "balance": 5}]}',
        b'{"balances": [{"operation": "a", "balance": true}]}',
    ],
)
def test_a_wrong_answer_grants_nothing_and_takes_nothing(scripted_server, remote, wait_until, counters, bad):
    granting(scripted_server)
    throttler = remote()
    throttler.is_allowed("a")
    wait_until(lambda: throttler._credits["a"] == 1.0)
    scripted_server.script, scripted_server.body = None, bad
    failed = counters.get("throttler_updates_failed")
    wait_until(lambda: counters.get("throttler_updates_failed") >= failed + 3)
    assert [throttler.is_allowed("a"), throttler.is_allowed("a")] == [True, False]


def test_what_is_remembered_is_bounded_and_asked_for_in_lines_of_bearable_length(scripted_server, remote, wait_until):
    asked = granting(scripted_server)
    throttler = remote(max_operations=100, refresh_interval=0.5)
    for number in range(500):
        throttler.is_allowed(f"operation {number:4} " + "ü" * 50)
    assert len(throttler._credits) == 100
    wait_until(lambda: all(throttler._credits.values()))
    assert max(map(len, scripted_server.paths)) < 8000
    assert sum(map(len, asked)) >= 100
    assert not throttler.is_allowed("one more")


def test_a_forked_child_has_credits_and_a_name_of_its_own(scripted_server, remote, wait_until):
    """The server has counted the parent's credits against the parent."""
    granting(scripted_server, 5)
    throttler = remote()
    throttler.is_allowed("a")
    wait_until(lambda: throttler._credits["a"])
    name = throttler.client_id
    with throttler._lock:
        child = os.fork()
        if child == 0:
            os._exit(
                0 if not throttler._credits and throttler.client_id != name and not throttler.is_allowed("a") else 1
            )
    assert os.waitpid(child, 0)[1] == 0
    assert throttler.is_allowed("a")


def test_a_name_that_was_given_stays(remote):
    throttler = remote()
    throttler.set_client_id("mine")
    throttler._after_fork()
    assert throttler.client_id == "mine"


def test_close_ends_the_thread_while_the_server_hangs(scripted_server, remote, wait_until, counters):
    scripted_server.script = lambda handler: scripted_server.released.wait(60)
    throttler = remote(timeout=60)
    throttler.is_allowed("a")
    wait_until(lambda: scripted_server.paths)
    throttler.close()
    assert not throttler._poller._thread.is_alive()
    assert not throttler.is_allowed("b")
    assert counters.get("throttler_updates_failed") == 0
