"""Work that must not be traced: the exporters' own requests, and the inner library of two that are both instrumented.

    with suppress():
        session.post(collector, …)      # no span, no headers injected

The mark lives in a context variable, so it holds for this thread, task or greenlet only. It stands below the senders and the
instrumentation because both need it: whoever sends spans suppresses, every adapter asks.
"""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["suppress", "suppressed"]

_suppressed: ContextVar[bool] = ContextVar("sls_tracing_suppressed", default=False)

suppressed = _suppressed.get
"""Whether instrumentation must stay silent here. Every adapter asks before it starts a span."""


@contextmanager
def suppress() -> Iterator[None]:
    """Keep every instrumentation silent inside the block. Never yield to other code's frames inside it."""
    before = _suppressed.get()
    _suppressed.set(True)
    try:
        yield
    finally:
        # set, not reset(token): a token is refused in another context, and a generator may be closed in one.
        _suppressed.set(before)
