"""Which baggage a service may set, and how long its values may be."""

from __future__ import annotations

import os
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sls_tracing.baggage_restrictions import (
    DefaultBaggageRestrictions,
    FixedBaggageRestrictions,
    RemoteBaggageRestrictions,
    Restriction,
    limit_item,
)
from sls_tracing.exceptions import ConfigurationError
from sls_tracing.metrics import Counters


@pytest.fixture
def counters():
    return Counters()


@pytest.fixture
def remote(scripted_server, counters):
    made = []

    def make(**options):
        options = {"url": scripted_server.url + "/b", "refresh_interval": 0.01, "counters": counters, **options}
        made.append(RemoteBaggageRestrictions("shop", **options))
        return made[-1]

    yield make
    for restrictions in made:
        restrictions.close()


DENIED = Restriction(False, 0)


# -- applying ----------------------------------------------------------------------------------------------------------


def test_every_key_is_allowed_by_default_and_values_are_cut_to_2048_bytes(counters):
    """As in Jaeger's Go client."""
    restrictions = DefaultBaggageRestrictions()
    assert limit_item(restrictions, "s", "any key", "v" * 2048, {}, counters) == ("v" * 2048, False)
    assert limit_item(restrictions, "s", "any key", "v" * 2049, {}, counters) == ("v" * 2048, True)
    assert counters.snapshot() == {"baggage_truncations": 1, "baggage_updates_ok": 2}


def test_a_value_is_never_cut_inside_a_character(counters):
    restrictions = DefaultBaggageRestrictions(5)
    assert limit_item(restrictions, "s", "k", "aüü", {}, counters) == ("aüü", False)
    assert limit_item(restrictions, "s", "k", "aaüü", {}, counters) == ("aaü", True)
    assert limit_item(restrictions, "s", "k", "€€", {}, counters) == ("€", True)


@given(st.text(st.characters(), max_size=30), st.integers(0, 60))
def test_any_text_is_cut_to_a_prefix_within_the_bound_and_no_shorter_than_it_must_be(text, bound):
    value, truncated = limit_item(DefaultBaggageRestrictions(bound), "s", "k", text, {}, Counters())
    size = len(text.encode("utf-8", "surrogatepass"))
    assert truncated == (size > bound)
    if truncated:
        kept = len(value.encode("utf-8", "surrogatepass"))
        assert bound - 4 < kept <= bound
    assert text.startswith(value)


def test_one_item_too_many_is_refused_but_a_known_key_may_change(counters):
    restrictions = DefaultBaggageRestrictions(max_items=2)
    baggage = {"a": "1", "b": "2"}
    assert limit_item(restrictions, "s", "c", "3", baggage, counters) == (None, False)
    assert limit_item(restrictions, "s", "a", "3", baggage, counters) == ("3", False)
    assert counters.snapshot() == {"baggage_updates_failed": 1, "baggage_updates_ok": 1}


def test_keys_that_are_not_listed_are_denied(counters):
    restrictions = FixedBaggageRestrictions({"tenant": 3})
    assert limit_item(restrictions, "s", "tenant", "abcd", {}, counters) == ("abc", True)
    assert limit_item(restrictions, "s", "other", "abcd", {}, counters) == (None, False)
    assert FixedBaggageRestrictions(["a"]).restriction("s", "a") == (True, 2048)


def test_a_manager_that_raises_denies_and_breaks_nothing(counters):
    class Broken(DefaultBaggageRestrictions):
        def restriction(self, service_name, key):
            raise RuntimeError

    assert limit_item(Broken(), "s", "k", "v", {}, counters) == (None, False)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: DefaultBaggageRestrictions(-1),
        lambda: DefaultBaggageRestrictions(max_items=2.5),
        lambda: DefaultBaggageRestrictions(True),
        lambda: DefaultBaggageRestrictions(2**31),
        lambda: FixedBaggageRestrictions({"a": "1"}),
        lambda: FixedBaggageRestrictions("tenant"),
        lambda: RemoteBaggageRestrictions("s", url="nowhere"),
        lambda: RemoteBaggageRestrictions("s", max_items=None),
        lambda: RemoteBaggageRestrictions("s", refresh_interval=-1),
    ],
)
def test_wrong_settings_are_errors_at_once(wrong):
    with pytest.raises(ConfigurationError):
        wrong()


# -- from a server -----------------------------------------------------------------------------------------------------


def held_back(server):
    """Let the server answer only when the event that is returned is set."""
    may_answer = threading.Event()

    def script(handler):
        may_answer.wait(20)
        server.answer(handler)

    server.script = script
    return may_answer


def test_the_server_is_asked_at_the_first_item_and_its_keys_are_the_only_ones(scripted_server, remote, wait_until):
    scripted_server.body = [{"baggageKey": "tenant", "maxValueLength": 8}, {"baggageKey": "x", "maxValueLength": 0}]
    may_answer = held_back(scripted_server)
    restrictions = remote()
    assert scripted_server.paths == []
    assert restrictions.restriction("shop", "other") == (True, 2048), "until the first answer"
    may_answer.set()
    wait_until(lambda: restrictions.restriction("shop", "other") == DENIED)
    assert restrictions.restriction("shop", "tenant") == (True, 8)
    assert restrictions.restriction("shop", "x") == (True, 0)
    assert scripted_server.paths[0] == "/b?service=shop"


def test_until_the_first_answer_all_is_denied_if_asked_for(scripted_server, remote, wait_until):
    """Go's denyBaggageOnInitializationFailure."""
    scripted_server.body = [{"baggageKey": "tenant", "maxValueLength": 8}]
    may_answer = held_back(scripted_server)
    restrictions = remote(deny_until_known=True)
    assert restrictions.restriction("shop", "tenant") == DENIED
    may_answer.set()
    wait_until(lambda: restrictions.restriction("shop", "tenant") == (True, 8))


def test_an_agent_that_does_not_know_the_question_leaves_baggage_free(scripted_server, remote, wait_until, counters):
    """Jaeger's own answers 500, "baggage not implemented"."""
    scripted_server.script = lambda handler: handler.send_error(500)
    restrictions = remote()
    assert restrictions.restriction("shop", "a").allowed
    wait_until(lambda: counters.get("baggage_restrictions_updates_failed"))
    assert restrictions.restriction("shop", "a") == (True, 2048)


def test_an_empty_list_denies_everything(scripted_server, remote, wait_until):
    scripted_server.body = []
    restrictions = remote()
    wait_until(lambda: restrictions.restriction("shop", "a") == DENIED)


@pytest.mark.parametrize(
    "bad",
    [
        b"?",
        b"{}",
        b"null",
        b'[{"baggageKey": "b", "maxValueLength": 1}, null]',
        b'[{"maxValueLength": 1}]',
        b'[{"baggageKey": 1, "maxValueLength": 1}]',
        b'[{"baggageKey": "b"}]',
        b'[{"baggageKey": "b", "maxValueLength": -1}]',
        b'[{"baggageKey": "b", "maxValueLength": 1.5}]',
        b'[{"baggageKey": "b", "maxValueLength": 99999999999}]',
        b'[{"baggageKey": "b", "maxValueLength": "1"}]',
        b"[" + b" " * (1 << 20) + b"]",
    ],
    ids=lambda bad: bad[:50],
)
def test_a_wrong_answer_leaves_the_last_good_one(scripted_server, remote, wait_until, counters, bad):
    scripted_server.body = [{"baggageKey": "a", "maxValueLength": 8}]
    restrictions = remote()
    wait_until(lambda: restrictions.restriction("shop", "a") == (True, 8))
    scripted_server.body = bad
    wait_until(lambda: counters.get("baggage_restrictions_updates_failed") >= 3)
    assert restrictions.restriction("shop", "a") == (True, 8)
    assert restrictions.restriction("shop", "b") == DENIED


def test_a_forked_child_asks_for_itself(scripted_server, remote, wait_until):
    scripted_server.body = [{"baggageKey": "a", "maxValueLength": 8}]
    restrictions = remote()
    wait_until(lambda: restrictions.restriction("shop", "a") == (True, 8))
    child = os.fork()
    if child == 0:
        known = restrictions.restriction("shop", "a") == (True, 8)
        os._exit(0 if known and restrictions._poller._thread is not None else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_close_ends_the_thread_while_the_server_hangs(scripted_server, remote, wait_until, counters):
    scripted_server.script = lambda handler: scripted_server.released.wait(60)
    restrictions = remote(timeout=60)
    restrictions.restriction("shop", "a")
    wait_until(lambda: scripted_server.paths)
    restrictions.close()
    assert not restrictions._poller._thread.is_alive()
    assert restrictions.restriction("shop", "a").allowed
    assert counters.get("baggage_restrictions_updates_failed") == 0
