from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

from hypothesis import given
from hypothesis import strategies as st

from sls_tracing.backend.bounded_queue import BoundedQueue


def test_refuses_what_does_not_fit():
    """The capacity is a weight; what exceeds it is refused at once and nothing that was accepted is lost."""
    queue = BoundedQueue(10)
    assert queue.put("a", 6)
    assert not queue.put("b", 5)
    assert queue.put("c", 4)
    assert queue.take(100) == ["a", "c"]


def test_an_item_heavier_than_the_queue_passes_an_empty_one():
    """A batch larger than the whole queue is not refused for ever."""
    queue = BoundedQueue(10)
    assert queue.put("huge", 11)
    assert not queue.put("b", 1)
    assert queue.take(5) == ["huge"]


def test_closed_and_drained_gives_the_empty_list():
    """What was accepted before the close is handed out, then the consumer is told to end."""
    queue = BoundedQueue(10)
    queue.put("a", 1)
    queue.close()
    assert not queue.put("b", 1)
    assert queue.take(10) == ["a"]
    assert queue.take(10) == []


def test_close_ends_lingering():
    """A consumer that waits for company is woken by the close."""
    queue = BoundedQueue(10)
    queue.put("a", 1)
    taken = []
    consumer = threading.Thread(target=lambda: taken.append(queue.take(10, linger=60)))
    consumer.start()
    queue.close()
    consumer.join(10)
    assert taken == [["a"]]


def test_flush_waits_for_the_work_and_not_for_the_taking():
    """An item that was taken is not done until the consumer says so."""
    queue = BoundedQueue(10)
    assert queue.flush(0)
    queue.put("a", 1)
    queue.take(10)
    assert not queue.flush(0)
    queue.done()
    assert queue.flush(0)


@given(st.lists(st.integers(1, 20), max_size=30), st.integers(1, 25))
def test_takes_in_order_and_never_more_than_asked(weights, at_most):
    """Batches keep the order, weigh at most what was asked for unless a single item weighs more, and lose nothing."""
    queue = BoundedQueue(10_000)
    for index, weight in enumerate(weights):
        assert queue.put(index, weight)
    queue.close()
    seen = []
    while batch := queue.take(at_most):
        assert len(batch) == 1 or sum(weights[index] for index in batch) <= at_most
        seen += batch
        queue.done()
    assert seen == list(range(len(weights)))
    assert len(queue) == 0
    assert queue.flush(0)


def test_many_producers_one_consumer():
    """Whatever was accepted from any thread arrives exactly once."""
    queue = BoundedQueue(50)
    accepted = [[] for _ in range(4)]

    def produce(number):
        for index in range(500):
            if queue.put((number, index), 1):
                accepted[number].append((number, index))

    seen = []

    def consume():
        while batch := queue.take(20, linger=0.001):
            seen.extend(batch)
            queue.done()

    consumer = threading.Thread(target=consume)
    consumer.start()
    producers = [threading.Thread(target=produce, args=(number,)) for number in range(4)]
    for producer in producers:
        producer.start()
    for producer in producers:
        producer.join()
    assert queue.flush(10)
    queue.close()
    consumer.join(10)
    assert sorted(seen) == sorted(item for items in accepted for item in items)


def test_a_producer_may_wait_for_room():
    """For as long as it says: until the consumer has taken something, until the queue is closed, or until the time is over."""
    queue = BoundedQueue(10)
    assert queue.put("first", 10)
    assert not queue.put("too late", 1, wait=0.01)
    with ThreadPoolExecutor(1) as executor:
        waiting = executor.submit(queue.put, "second", 10, wait=30)
        assert queue.take(10) == ["first"]
        assert waiting.result(30)
        waiting = executor.submit(queue.put, "third", 10, wait=30)
        queue.close()
        assert not waiting.result(30)
    assert queue.take(10) == ["second"]
