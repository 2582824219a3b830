"""Telemetry never breaks its host: the only place where any exception is swallowed.

    _guard = Guard("instrumentation.flask")

    with _guard:
        span.set_tag(…)          # whatever this raises is counted, logged at a limited rate, and gone

A guard holds no state of the block that it guards, so one instance serves every thread and costs no allocation. ``KeyboardInterrupt``,
``SystemExit`` and gevent's ``GreenletExit`` pass: they belong to the host.
"""

from __future__ import annotations

import functools
import time
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from sls_tracing.logger import logger
from sls_tracing.metrics import Counters, counters

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from sls_tracing.clock import Clock

__all__ = ["Guard", "LimitedLog", "is_ours", "limited_log"]

P = ParamSpec("P")
T = TypeVar("T")


class LimitedLog:
    """Logs the first message of a kind at once, then at most one an interval, with the number left out since.

    ``interval`` is in seconds. Kinds are few and fixed in code (never made from data), so the table cannot grow.
    """

    def __init__(self, interval: float = 60.0, clock: Clock = time.monotonic) -> None:
        self._interval = interval
        self._clock = clock
        self._last: dict[str, float] = {}
        self._left_out: dict[str, int] = {}

    def warning(self, kind: str, message: str, *args: object, exc_info: BaseException | None = None) -> None:
        """Log ``message % args`` under ``kind``, unless that kind was logged within the interval."""
        now = self._clock()
        last = self._last.get(kind)
        if last is not None and now - last < self._interval:
            self._left_out[kind] = self._left_out.get(kind, 0) + 1
            return
        self._last[kind] = now
        left_out = self._left_out.pop(kind, 0)
        if left_out:
            message += f" (and {left_out} more of this kind since the last message)"
        logger().warning(message, *args, exc_info=exc_info)

    def recovered(self, kind: str, message: str, *args: object) -> None:
        """Log ``message`` if ``kind`` was failing until now; the next failure of that kind is logged at once."""
        if self._last.pop(kind, None) is not None:
            self._left_out.pop(kind, None)
            logger().info(message, *args)


limited_log = LimitedLog()
"""The process-wide one."""


def is_ours(function: Callable[..., object]) -> bool:
    """Return whether this library defines ``function``; a method that a subclass of the user's overrides is the user's."""
    return str(getattr(function, "__module__", None)).startswith("sls_tracing.")


class Guard:
    """A reusable ``with`` block that swallows exceptions; ``where`` names it in the log and in ``guard_failures_<where>``."""

    __slots__ = ("_counters", "_log", "where")

    def __init__(self, where: str, *, counters: Counters = counters, log: LimitedLog = limited_log) -> None:
        self.where = where
        self._counters = counters
        self._log = log

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        if error is None or not isinstance(error, Exception):
            return False
        self.failed(error)
        return True

    def call(self, default: T, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return ``function(*args, **kwargs)``, or ``default`` if it raises."""
        try:
            return function(*args, **kwargs)
        except Exception as error:  # noqa: BLE001 - the one place
            self.failed(error)
            return default

    def call_method(self, default: Any, target: object, name: str, *args: Any, **kwargs: Any) -> Any:
        """Return ``target.<name>(*args, **kwargs)``, or ``default`` if that raises, looking it up included. As a ``with`` block, at half its price."""
        try:
            return getattr(target, name)(*args, **kwargs)
        except Exception as error:  # noqa: BLE001 - the one place
            self.failed(error)
            return default

    def wrap(self, function: Callable[P, T], default: T) -> Callable[P, T]:
        """Return ``function`` guarded; a function of our own comes back as it is, since it is tested not to raise."""
        if is_ours(function):
            return function

        @functools.wraps(function)
        def guarded(*args: P.args, **kwargs: P.kwargs) -> T:
            return self.call(default, function, *args, **kwargs)

        return guarded

    def failed(self, error: BaseException) -> None:
        """Count and log an exception that was caught elsewhere."""
        self._counters.add("guard_failures_" + self.where)
        try:
            self._log.warning(self.where, "tracing failed in %s and went on", self.where, exc_info=error)
        except Exception:  # noqa: BLE001 - a logging handler, or the exception's own __str__, failed: the counter tells
            self._counters.add("guard_failures_logging")
