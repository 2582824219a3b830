"""SIGINT, SIGTERM and SIGHUP as one exception, raised only where it leaves nothing half done."""

from __future__ import annotations

import contextlib
import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from typing_extensions import Self

__all__ = ["Interrupted", "Signals"]


class Interrupted(BaseException):
    """Somebody wants the program to end. Not an ``Exception``: nothing but ``finally`` should stand in its way."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


class Signals:
    """While entered, the first signal raises ``Interrupted`` in the main thread; later ones are ignored, for the program is ending already.

    Inside ``held`` a signal waits until the block is over. Without it, one that arrives between a child's fork and the line that
    remembers the child would leave that child behind.
    """

    NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def __init__(self) -> None:
        self._holds = 0
        self._waiting: int | None = None
        self._raised = False

    def __enter__(self) -> Self:
        ignored = {signal.SIGHUP} if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN else set()  # as nohup asks
        self._before = {
            number: signal.signal(number, self._receive) for number in self.NUMBERS if number not in ignored
        }
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Let signals wait until the block is over."""
        self._holds += 1
        try:
            yield
        finally:
            self._holds -= 1
        if self._waiting is not None and not self._holds:
            self._raise(self._waiting)

    def _receive(self, number: int, _frame: FrameType | None) -> None:
        if self._holds:
            self._waiting = number
        else:
            self._raise(number)

    def _raise(self, number: int) -> None:
        if not self._raised:
            self._raised = True
            raise Interrupted(number)
