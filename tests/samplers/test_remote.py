"""The strategy that a server hands out. All servers are real ones on loopback."""

from __future__ import annotations

import itertools
import logging
import os
import subprocess
import sys
import threading
import time

import pytest

from sls_tracing.exceptions import ConfigurationError
from sls_tracing.metrics import Counters
from sls_tracing.samplers import (
    AdaptiveSampler,
    ConstSampler,
    ProbabilisticSampler,
    RateLimitingSampler,
    RemoteControlledSampler,
)

LEFT = 2**63 - 1  # by every rate below 1

PROBABILISTIC = {"strategyType": "PROBABILISTIC", "probabilisticSampling": {"samplingRate": 0.25}}
RATE_LIMITING = {"strategyType": "RATE_LIMITING", "rateLimitingSampling": {"maxTracesPerSecond": 7}}
PER_OPERATION = {
    "strategyType": "PROBABILISTIC",
    "operationSampling": {
        "defaultSamplingProbability": 0.5,
        "defaultLowerBoundTracesPerSecond": 0.0,
        "perOperationStrategies": [{"operation": "x", "probabilisticSampling": {"samplingRate": 1.0}}],
    },
}


@pytest.fixture
def counters():
    return Counters()


@pytest.fixture
def remote(scripted_server, counters):
    """Makes samplers that ask the scripted server very often, and closes them."""
    made = []

    def make(**options):
        options = {"url": scripted_server.url + "/sampling", "refresh_interval": 0.01, "counters": counters, **options}
        made.append(RemoteControlledSampler("shop & co", **options))
        return made[-1]

    yield make
    for sampler in made:
        sampler.close()


@pytest.fixture
def rounds(scripted_server, wait_until):
    """``rounds(n)`` waits until the server has had n more questions, so n - 1 more answers have been dealt with."""

    def wait(number=2):
        goal = len(scripted_server.paths) + number
        wait_until(lambda: len(scripted_server.paths) >= goal)

    return wait


# -- asking ------------------------------------------------------------------------------------------------------------


def test_it_is_asked_at_once_and_not_before_the_first_trace(scripted_server, remote, wait_until):
    """jaeger-client waits up to a minute first."""
    scripted_server.body = PROBABILISTIC
    sampler = remote(refresh_interval=3600)
    assert not any(thread.name == "sls-tracing-sampler" for thread in threading.enumerate())
    sampler.is_sampled(1)
    wait_until(lambda: isinstance(sampler.sampler, ProbabilisticSampler) and sampler.sampler.rate == 0.25)
    assert scripted_server.paths == ["/sampling?service=shop+%26+co"]


def test_the_agent_on_this_host_is_asked_if_nothing_else_is_said():
    assert "http://localhost:5778/sampling" in repr(RemoteControlledSampler("s"))
    assert "http://[::1]:7/sampling" in repr(RemoteControlledSampler("s", host="::1", port=7))


def test_a_collector_is_asked_where_it_answers(scripted_server, remote, wait_until):
    remote(url=scripted_server.url + "/api/sampling?tenant=a").is_sampled(1)
    wait_until(lambda: scripted_server.paths)
    assert scripted_server.paths[0] == "/api/sampling?tenant=a&service=shop+%26+co"


def test_one_trace_in_a_thousand_until_the_server_answers(scripted_server, remote):
    scripted_server.script = lambda handler: scripted_server.released.wait(20)
    sampler = remote()
    assert sampler.is_sampled(1) == (True, {"sampler.type": "probabilistic", "sampler.param": 0.001})
    assert not sampler.is_sampled(LEFT).sampled


def test_deciding_never_waits_for_the_server(scripted_server, remote, wait_until):
    """The question hangs while 1,000 decisions are taken, and still hangs afterwards."""
    scripted_server.script = lambda handler: scripted_server.released.wait(20)
    sampler = remote(initial_sampler=ConstSampler(True))
    sampler.is_sampled(1)
    wait_until(lambda: scripted_server.paths)
    assert all(sampler.is_sampled(LEFT).sampled for _ in range(1000))
    assert not scripted_server.released.is_set()


def test_until_the_first_success_the_pause_is_short(scripted_server, remote, wait_until):
    """An agent often starts a moment after the application: an hour's interval must not mean an hour without strategy."""
    scripted_server.script = lambda handler: handler.send_error(503) if len(scripted_server.paths) < 2 else scripted_server.answer(handler)  # fmt: skip
    scripted_server.body = PROBABILISTIC
    sampler = remote(refresh_interval=3600)
    sampler.is_sampled(1)
    wait_until(lambda: getattr(sampler.sampler, "rate", 0) == 0.25)


# -- following ---------------------------------------------------------------------------------------------------------


def test_it_follows_from_strategy_to_strategy(scripted_server, remote, wait_until, counters):
    sampler = remote()
    kinds = ProbabilisticSampler, RateLimitingSampler, AdaptiveSampler, ProbabilisticSampler
    for number, (answer, kind) in enumerate(
        zip((PROBABILISTIC, RATE_LIMITING, PER_OPERATION, PROBABILISTIC), kinds, strict=True), 1
    ):
        scripted_server.body = answer
        sampler.is_sampled(1)
        wait_until(lambda number=number: counters.get("sampler_updates_ok") == number)
        wait_until(lambda kind=kind: type(sampler.sampler) is kind)
    assert counters.get("sampler_queries_ok") >= 4
    assert counters.get("sampler_queries_failed") == counters.get("sampler_updates_failed") == 0


def test_operations_have_their_own_strategies(scripted_server, remote, wait_until):
    scripted_server.body = PER_OPERATION
    sampler = remote(max_operations=7, lower_bound_at_zero_rate=False)
    sampler.is_sampled(1)
    wait_until(lambda: isinstance(sampler.sampler, AdaptiveSampler))
    assert sampler.is_sampled(LEFT, "x").sampled
    assert sampler.is_sampled(1, "y").tags["sampler.param"] == 0.5
    assert sampler.sampler.max_operations == 7


@pytest.mark.parametrize("answer", [PROBABILISTIC, RATE_LIMITING, PER_OPERATION])
def test_an_unchanged_strategy_keeps_the_sampler_and_its_credit(scripted_server, remote, rounds, counters, answer):
    scripted_server.body = answer
    sampler = remote()
    sampler.is_sampled(1)
    rounds()
    first = sampler.sampler
    rounds(5)
    assert sampler.sampler is first
    assert counters.get("sampler_updates_ok") == 1


def test_another_rate_limit_keeps_the_sampler(scripted_server, remote, rounds, wait_until):
    scripted_server.body = RATE_LIMITING
    sampler = remote()
    sampler.is_sampled(1)
    rounds()
    first = sampler.sampler
    scripted_server.body = {"rateLimitingSampling": {"maxTracesPerSecond": 600}}
    wait_until(lambda: first.max_traces_per_second == 600)
    assert sampler.sampler is first


def test_the_initial_sampler_is_the_callers_and_is_not_changed(scripted_server, remote, rounds):
    scripted_server.body = RATE_LIMITING
    mine = RateLimitingSampler(1)
    sampler = remote(initial_sampler=mine)
    sampler.is_sampled(1)
    rounds()
    assert mine.max_traces_per_second == 1
    assert sampler.sampler.max_traces_per_second == 7


# -- bad answers -------------------------------------------------------------------------------------------------------

BAD = {
    "no object": b"[]",
    "no JSON": b"<html>",
    "nothing": b"",
    "no strategy": b'{"strategyType": "PROBABILISTIC"}',
    "only nulls": b'{"strategyType": null, "probabilisticSampling": null}',
    "a rate above 1": b'{"probabilisticSampling": {"samplingRate": 1.5}}',
    "NaN": b'{"probabilisticSampling": {"samplingRate": NaN}}',
    "a rate as text": b'{"probabilisticSampling": {"samplingRate": "1"}}',
    "one bad operation": b'{"operationSampling": {"perOperationStrategies": [{"operation": "x", '
    b'"probabilisticSampling": {"samplingRate": 0}}, {"operation": 1}]}}',
    "huge": b'{"probabilisticSampling": {"samplingRate": 0}}' + b" " * (1 << 20),
    "deep": b"[" * 100_000,
}


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("good", [PROBABILISTIC, RATE_LIMITING, PER_OPERATION], ids=["one rate", "limit", "operations"])
def test_a_bad_answer_leaves_the_last_good_strategy(scripted_server, remote, rounds, wait_until, counters, good, bad):
    scripted_server.body = good
    sampler = remote()
    sampler.is_sampled(1)
    rounds()
    before = sampler.sampler, repr(sampler.sampler)
    scripted_server.body = BAD[bad]
    rounds(3)
    assert (sampler.sampler, repr(sampler.sampler)) == before
    assert counters.get("sampler_queries_failed") + counters.get("sampler_updates_failed") >= 1
    if isinstance(sampler.sampler, AdaptiveSampler):
        assert sampler.is_sampled(LEFT, "x").sampled
    scripted_server.body = {"probabilisticSampling": {"samplingRate": 0.75}}
    wait_until(lambda: getattr(sampler.sampler, "rate", 0) == 0.75)


def test_an_endless_and_a_slow_answer_leave_it_too(scripted_server, remote, rounds, wait_until, counters):
    scripted_server.body = PROBABILISTIC
    sampler = remote(timeout=0.2)
    sampler.is_sampled(1)
    rounds()
    before = sampler.sampler

    def slow(handler):
        while not scripted_server.released.wait(0.02):
            handler.wfile.write(b"H")

    def endless(handler):
        handler.wfile.write(b"HTTP/1.0 200 OK\r\n\r\n")
        while True:
            handler.wfile.write(b" " * 65536)

    for script in (slow, endless, lambda handler: handler.send_error(500)):
        scripted_server.script = script
        failed = counters.get("sampler_queries_failed")
        wait_until(lambda failed=failed: counters.get("sampler_queries_failed") >= failed + 2)
        assert sampler.sampler is before


def test_trouble_is_logged_once_and_so_is_its_end(scripted_server, remote, rounds, wait_until, caplog, counters):
    caplog.set_level(logging.INFO, "sls_tracing")
    scripted_server.body = PROBABILISTIC
    sampler = remote()
    sampler.is_sampled(1)
    rounds()
    caplog.clear()  # the end of what another test began
    scripted_server.body = b"?"
    wait_until(lambda: counters.get("sampler_queries_failed") >= 5)
    scripted_server.body = RATE_LIMITING
    wait_until(lambda: counters.get("sampler_updates_ok") == 2)
    rounds()
    sampler.close()
    levels = [record.levelname for record in caplog.records if "sampling" in record.message]
    assert levels == ["WARNING", "INFO"], "and none for being closed"
    assert counters.get("sampler_updates_failed") == 0


# -- life cycle --------------------------------------------------------------------------------------------------------


def test_close_ends_the_thread_even_while_the_server_hangs(scripted_server, remote, wait_until):
    scripted_server.script = lambda handler: scripted_server.released.wait(60)
    sampler = remote(timeout=60)
    before = threading.active_count()
    sampler.is_sampled(1)
    wait_until(lambda: scripted_server.paths)
    thread = sampler._poller._thread
    sampler.close()
    assert not thread.is_alive()
    wait_until(lambda: threading.active_count() <= before + 1)  # the server's own thread still waits
    sampler.close()
    assert sampler.is_sampled(1).sampled, "it may still be asked"
    assert sampler._poller._thread is thread, "and starts no thread any more"


def test_closed_before_its_first_trace_it_never_starts(scripted_server, remote):
    sampler = remote()
    sampler.close()
    sampler.is_sampled(1)
    assert sampler._poller._thread is None


def test_a_thousand_of_them_leave_nothing(scripted_server, wait_until):
    before = len(os.listdir("/proc/self/fd"))
    for number in range(1000):
        sampler = RemoteControlledSampler("s", url=scripted_server.url, refresh_interval=60)
        if number % 10 == 0:
            sampler.is_sampled(1)
        sampler.close()
    # A cancelled time limit may take a moment to wake and end.
    wait_until(lambda: not [thread for thread in threading.enumerate() if thread.name.startswith("sls-tracing")])
    scripted_server.close()
    wait_until(lambda: len(os.listdir("/proc/self/fd")) <= before)


def test_a_forked_child_asks_for_itself_and_is_not_stuck(scripted_server, remote, rounds, wait_until):
    """The parent's thread may hold any lock at the fork: 20 children of a parent that asks without pause."""
    scripted_server.body = PER_OPERATION
    sampler = remote(refresh_interval=0.001)
    sampler.is_sampled(1)
    rounds()
    children = []
    for _ in range(20):
        child = os.fork()
        if child == 0:
            scripted_server.paths.clear()
            sampler._counters = mine = Counters()
            ok = sampler._poller._thread is None
            sampler.is_sampled(1, "of the child")
            deadline = time.monotonic() + 20
            while not mine.get("sampler_queries_ok") and time.monotonic() < deadline:
                time.sleep(0.002)
            os._exit(0 if ok and mine.get("sampler_queries_ok") else 1)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 20
    rounds()  # the parent goes on


def test_it_works_under_gevents_monkey_patching(scripted_server):
    """In a process of its own: patching cannot be undone."""
    scripted_server.body = PROBABILISTIC
    program = f"""
from gevent import monkey; monkey.patch_all()
import time
from sls_tracing.samplers import RemoteControlledSampler
sampler = RemoteControlledSampler("s", url="{scripted_server.url}")
deadline = time.monotonic() + 20
while sampler.is_sampled(1).tags["sampler.param"] != 0.25 and time.monotonic() < deadline:
    time.sleep(0.01)
print(sampler.is_sampled(1).tags["sampler.param"])
sampler.close()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "0.25\n", done.stderr


def test_the_process_may_exit_while_it_asks(scripted_server):
    scripted_server.script = lambda handler: scripted_server.released.wait(60)
    program = f"""
import time
from sls_tracing.samplers import RemoteControlledSampler
RemoteControlledSampler("s", url="{scripted_server.url}", timeout=60).is_sampled(1)
time.sleep(0.2)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_requests_is_loaded_with_the_sampler_and_not_with_the_package():
    program = """
import sys
import sls_tracing.samplers
assert "requests" not in sys.modules
sls_tracing.samplers.RemoteControlledSampler("s")
assert "requests" in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


# -- configuration -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        {"url": "agent:5778"},
        {"refresh_interval": 0},
        {"refresh_interval": float("nan")},
        {"refresh_interval": "60"},
        {"refresh_interval": 1e9},
        {"timeout": 0},
        {"max_operations": 0},
        {"max_operations": 1.5},
        {"port": "x"},
        {"host": ""},
    ],
    ids=str,
)
def test_wrong_settings_are_errors_at_once(wrong):
    with pytest.raises(ConfigurationError):
        RemoteControlledSampler("s", **wrong)


# -- against jaeger-client ---------------------------------------------------------------------------------------------


def test_the_same_answers_make_the_same_samplers_as_jaeger_clients(
    scripted_server, remote, rounds, counters, wait_until
):
    """The real one, with its own HTTP client and thread, asks the same server; every answer that it understands."""
    from jaeger_client.local_agent_net import LocalAgentSender
    from jaeger_client.sampler import RemoteControlledSampler as TheirSampler

    channel = LocalAgentSender("127.0.0.1", scripted_server.port, 1)
    theirs = TheirSampler(channel, "shop", sampling_refresh_interval=0.02)
    ours = remote()
    ours.is_sampled(1)
    answers = [
        PROBABILISTIC,
        {**PROBABILISTIC, "rateLimitingSampling": None, "operationSampling": None},
        {"strategyType": "PROBABILISTIC", "probabilisticSampling": {}},
        RATE_LIMITING,
        {"strategyType": "RATE_LIMITING", "rateLimitingSampling": {"maxTracesPerSecond": 0.5}},
        {"strategyType": "RATE_LIMITING", "rateLimitingSampling": {}},
        {"strategyType": "RATE_LIMITING", "probabilisticSampling": {"samplingRate": 1}, **RATE_LIMITING},
        PER_OPERATION,
        {"strategyType": "PROBABILISTIC", "operationSampling": {"perOperationStrategies": []}},
        {**PROBABILISTIC, "operationSampling": {}},
    ]
    try:
        for answer in answers:
            scripted_server.body = answer
            rounds(8)
            wait_until(lambda: _kind(ours.sampler) == _kind(theirs.sampler))
            asked = {path.partition("?")[2] for path in scripted_server.paths}
            assert asked == {"service=shop", "service=shop+%26+co"}
        assert counters.get("sampler_updates_failed") == 0
    finally:
        theirs.close()
        channel.io_loop.add_callback(channel.io_loop.stop)


_numbers = itertools.count()


def _kind(sampler):
    # Theirs show the limit as the server wrote it, 7 or 7.0.
    # A new operation each time: theirs keep the default that was in force when they were first met.
    param = sampler.is_sampled(1, f"operation {next(_numbers)}")[1].get("sampler.param")
    defaults = str(sampler) if isinstance(sampler, AdaptiveSampler) or "Adaptive" in type(sampler).__name__ else ""
    return type(sampler).__name__, param, defaults
