"""What has to be renewed in a forked child: locks, threads, sockets, the random generator.

    forks.call_in_child(self._after_fork)

The method's object is held weakly: one that nobody else uses any more is forgotten. Calls come in the order of registration, before
any application code runs in the child. uWSGI forks in C and calls Python's hooks only when told to; where its module is
present its own hook is used too.
"""

from __future__ import annotations

import os
import sys
import weakref
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["call_in_child"]

_renewals: weakref.WeakKeyDictionary[object, Callable[[Any], object]] = weakref.WeakKeyDictionary()
_hooked = False
_last_pid = os.getpid()


def call_in_child(method: Callable[[], object]) -> None:
    """Call the bound method ``method`` in every child that this process forks from now on; one method an object."""
    _hook_once()
    _renewals[method.__self__] = method.__func__  # type: ignore[attr-defined]


def _hook_once() -> None:
    global _hooked  # noqa: PLW0603 - the hooks are the process's, not an object's
    if _hooked:
        return
    _hooked = True
    if hasattr(os, "register_at_fork"):  # absent on Windows, which does not fork
        os.register_at_fork(after_in_child=_in_child)
    uwsgi = sys.modules.get("uwsgi")
    if uwsgi is not None:
        before = getattr(uwsgi, "post_fork_hook", None)

        def post_fork_hook() -> None:
            _in_child()
            if before is not None:
                before()

        uwsgi.post_fork_hook = post_fork_hook  # type: ignore[attr-defined]


def _in_child() -> None:
    global _last_pid  # noqa: PLW0603 - with uWSGI's own hooks enabled both hooks run; once a child is enough
    if _last_pid == os.getpid():
        return
    _last_pid = os.getpid()
    for owner, renew in list(_renewals.items()):
        renew(owner)
