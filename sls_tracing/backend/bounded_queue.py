"""A bounded queue between producers that must never wait (or say for how long) and one consumer thread that works in batches."""

from __future__ import annotations

import threading
from collections import deque
from typing import Generic, TypeVar

__all__ = ["BoundedQueue"]

T = TypeVar("T")


class BoundedQueue(Generic[T]):
    """Bounded by weight, not by length: the agent weighs a datagram in bytes, the collector a batch in spans.

    ``queue.Queue`` counts items of any size, wakes its consumer for each of them and cannot hand over a batch. Any number of
    producers, one consumer.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._items: deque[tuple[T, int]] = deque()
        self._queued = 0  # weight that waits to be taken
        self._wanted = 1  # the weight at which the consumer asked to be woken
        self._accepted = 0  # weight ever put, and weight ever finished: what flush compares
        self._finished = 0
        self._taken = 0
        self._closed = False
        self._urgent = False  # whether somebody waits for what is queued
        lock = threading.Lock()
        self._ready = threading.Condition(lock)
        self._progress = threading.Condition(lock)

    def put(self, item: T, weight: int, *, urgent: bool = False, wait: float = 0.0) -> bool:
        """Append ``item`` and return True; return False when it does not fit, after ``wait`` seconds, or at once if the queue is closed.

        An item heavier than the whole queue is let into an empty one: it would never fit otherwise. An ``urgent`` one ends the consumer's
        waiting for company.
        """
        with self._ready:
            if wait and not self._has_room(weight):
                self._progress.wait_for(lambda: self._closed or self._has_room(weight), wait)
            if self._closed or not self._has_room(weight):
                return False
            self._items.append((item, weight))
            self._queued += weight
            self._accepted += weight
            self._urgent = self._urgent or urgent
            if urgent or self._queued >= self._wanted:
                self._ready.notify()
            return True

    def _has_room(self, weight: int) -> bool:
        return not self._queued or self._queued + weight <= self.capacity

    def take(self, weight: int, linger: float = 0.0) -> list[T]:
        """Wait for items and return them, oldest first; an empty list means closed and drained.

        Once something is there, waits up to ``linger`` seconds more for ``weight`` to come together. Returns at most that weight, but
        at least one item. Call :meth:`done` when they are worked off.
        """
        with self._ready:
            self._wait_for(1, None)
            if linger and self._queued < weight:
                self._wait_for(weight, linger)
            taken: list[T] = []
            while self._items and (not taken or self._taken + self._items[0][1] <= weight):
                item, item_weight = self._items.popleft()
                taken.append(item)
                self._taken += item_weight
            self._queued -= self._taken
            self._progress.notify_all()
            self._urgent = self._urgent and bool(self._items)
            return taken

    def _wait_for(self, weight: int, timeout: float | None) -> None:
        self._wanted = weight
        self._ready.wait_for(lambda: self._queued >= weight or self._closed or self._urgent, timeout)
        self._wanted = 1

    def done(self) -> None:
        """Tell that everything from the last :meth:`take` is worked off."""
        with self._progress:
            self._finished += self._taken
            self._taken = 0
            self._progress.notify_all()

    def flush(self, timeout: float) -> bool:
        """Wait until everything put before this call is worked off; False if that took longer than ``timeout`` seconds."""
        with self._progress:
            goal = self._accepted
            return self._progress.wait_for(lambda: self._finished >= goal, timeout)

    def close(self) -> None:
        """Refuse further items; the consumer gets what is there, then the empty list."""
        with self._ready:
            self._closed = True
            self._ready.notify()
            self._progress.notify_all()

    def __len__(self) -> int:
        """The weight that waits."""
        return self._queued
