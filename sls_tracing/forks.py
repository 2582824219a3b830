"""What has to be renewed in a forked child: locks, threads, sockets, the random generator.

    forks.call_in_child(self._after_fork)

The method's object is held weakly: one that nobody else uses any more is forgotten. Calls come in the order of registration, before
any application code runs in the child.

The other way round, ``with forks.held():`` keeps this process from forking for a moment: a child that is forked while another thread is in
``getaddrinfo`` may hang for ever in its own first one (seen with glibc 2.36, in 1 of 25 forks), be it ours or the application's.

uWSGI forks in C and calls Python's hooks only when told to (``--py-call-uwsgi-fork-hooks``). There its own hook is used, where its module
is present and until an application takes the hook for itself; and whoever runs first in every trace (`identifiers.py`) looks at the process
id, which costs 60 ns.
"""

from __future__ import annotations

import os
import sys
import threading
import time
import weakref
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["call_in_child", "forks_may_go_unseen", "held", "renew_if_forked"]

_PATIENCE = 0.5
"""Seconds that a fork waits at most: a name server that does not answer must not keep an application from forking."""

_renewals: weakref.WeakKeyDictionary[object, Callable[[Any], object]] = weakref.WeakKeyDictionary()
_hooked = _uwsgi_hooked = False
_last_pid = os.getpid()


def call_in_child(method: Callable[[], object]) -> None:
    """Call the bound method ``method`` in every child that this process forks from now on; one method an object."""
    _hook_once()
    _renewals[method.__self__] = method.__func__  # type: ignore[attr-defined]


def forks_may_go_unseen() -> bool:
    """Return whether this is uWSGI. Its module is absent while ``sitecustomize`` runs, and so while `sls-tracing run` starts."""
    return "uwsgi" in sys.modules or os.path.basename(sys.executable or "").startswith("uwsgi")  # noqa: PTH119 - pathlib is slow to import


def renew_if_forked() -> None:
    """Renew everything, unless this process has done so or is the one that started."""
    global _last_pid  # noqa: PLW0603 - with uWSGI's own hooks enabled several come by; once a child is enough
    pid = os.getpid()
    if _last_pid == pid:
        return
    _last_pid = pid
    _gate.renew()
    for owner, renew in list(_renewals.items()):
        renew(owner)


@contextmanager
def held() -> Iterator[None]:
    """Let forks of this process wait, for :data:`_PATIENCE` seconds at most, until the block is left. Blocks may overlap."""
    with _gate.lock:
        _gate.inside += 1
    try:
        yield
    finally:
        with _gate.lock:
            _gate.inside -= 1


class _Gate:
    """Open until somebody forks: who forks waits for those inside, then keeps others out by holding the lock over the fork.

    Waiting is asking again: a ``threading.Condition`` breaks when eventlet replaces the locks that exist.
    """

    def __init__(self) -> None:
        self.renew()

    def close(self) -> None:
        self.lock.acquire()
        give_up_at = time.monotonic() + _PATIENCE
        while self.inside > 0 and time.monotonic() < give_up_at:
            self.lock.release()
            time.sleep(0.001)
            self.lock.acquire()

    def open(self) -> None:
        self.lock.release()

    def renew(self) -> None:
        """In the child, where nobody is inside and nobody will release the lock."""
        self.lock = threading.RLock()  # re-entrant: see Counters
        self.inside = 0


_gate = _Gate()


def _hook_once() -> None:
    global _hooked  # noqa: PLW0603 - the hooks are the process's, not an object's
    if not _hooked:
        _hooked = True
        if hasattr(os, "register_at_fork"):  # absent on Windows, which does not fork
            os.register_at_fork(before=_gate.close, after_in_parent=_gate.open, after_in_child=_in_child)
    if not _uwsgi_hooked and "uwsgi" in sys.modules:
        _hook_uwsgi(sys.modules["uwsgi"])


def _in_child() -> None:
    global _last_pid  # noqa: PLW0603
    _last_pid = -1  # no need to look: in a new namespace of processes the child may have its parent's number
    renew_if_forked()


def _hook_uwsgi(uwsgi: Any) -> None:
    global _uwsgi_hooked  # noqa: PLW0603
    _uwsgi_hooked = True
    before = getattr(uwsgi, "post_fork_hook", None)

    def post_fork_hook() -> None:
        renew_if_forked()
        if before is not None:
            before()

    uwsgi.post_fork_hook = post_fork_hook
