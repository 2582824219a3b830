"""A patch without wrapt, for what is loaded before a program had its chance to patch: threading, executors, gevent.

``import wrapt`` imports asyncio and with it ssl, and after that gevent's ``patch_all`` comes too late for ssl (see `_import_hooks`). Here a plain
function replaces a plain function, so nothing is lost but wrapt's care for C code and descriptors. Also cheaper: 0.3 µs a call.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    Wrapper = Callable[[Callable[..., Any], Any, tuple[Any, ...], dict[str, Any]], Any]

__all__ = ["FunctionPatch", "is_beneath"]

_NOT_OWN = object()


class FunctionPatch:
    """Put ``wrapper(wrapped, instance, args, kwargs)`` around the method ``owner.<name>``. Installing or removing twice is fine.

    The wrapper is called as `_patching` calls it: ``wrapped`` is bound already. ``is_wanted``, if given, is asked first, and calls for which it
    returns None pass by: a function in C, so that they cost next to nothing.
    """

    def __init__(
        self, owner: type, name: str, wrapper: Wrapper, is_wanted: Callable[[], object | None] | None = None
    ) -> None:
        self._owner = owner
        self._name = name
        self._wrapper = wrapper
        self._is_wanted = is_wanted
        self._enabled = False
        self._own: Any = _NOT_OWN
        self._patched: Callable[..., Any] | None = None

    def install(self) -> None:
        """Put the wrapper on."""
        if self._enabled:
            return
        if self._patched is not None and is_beneath(vars(self._owner).get(self._name), self._patched):
            self._enabled = True  # it could not be taken off, and another one would act twice
            return
        # The class's own attribute or none: restoring an inherited one by setattr would leave a copy behind.
        self._own = vars(self._owner).get(self._name, _NOT_OWN)
        original = getattr(self._owner, self._name) if self._own is _NOT_OWN else self._own
        self._enabled = True
        self._patched = self._around(original)
        setattr(self._owner, self._name, self._patched)

    def remove(self) -> None:
        """Take the wrapper off if it is outermost. Otherwise it stays under the other tool's and passes calls on."""
        self._enabled = False
        if self._patched is None or vars(self._owner).get(self._name) is not self._patched:
            return
        if self._own is _NOT_OWN:
            delattr(self._owner, self._name)
        else:
            setattr(self._owner, self._name, self._own)
        self._patched = None

    def _around(self, original: Any) -> Callable[..., Any]:
        wrapper, is_wanted = self._wrapper, self._is_wanted
        # Through the descriptor, not `original(instance, …)`: it may be another tool's wrapt object, which looks who is bound.
        bind = original.__get__

        @functools.wraps(original)
        def patched(instance: Any, /, *args: Any, **kwargs: Any) -> Any:
            wrapped = bind(instance, type(instance))
            if self._enabled and (is_wanted is None or is_wanted() is not None):
                return wrapper(wrapped, instance, args, kwargs)
            return wrapped(*args, **kwargs)

        return patched


def is_beneath(outermost: Any, wrapper: object) -> bool:
    """Whether ``wrapper`` is ``outermost`` or among what it wraps, as far as the wrappers tell (``__wrapped__``)."""
    for _ in range(_MOST_WRAPPERS):
        if outermost is wrapper:
            return True
        outermost = getattr(outermost, "__wrapped__", None)
        if outermost is None:
            return False
    return False


_MOST_WRAPPERS = 100
