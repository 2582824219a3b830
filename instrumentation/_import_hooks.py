"""Be told when a module has been imported, without importing it.

wrapt has such hooks too. They are not used because ``import wrapt`` itself imports asyncio and with it ssl (measured with wrapt
2.5: 70 ms, and gevent can no longer patch ssl in time), and this code runs at the start of every instrumented process. wrapt
is loaded when the first target is, which has always loaded more than that.
"""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING, Any

from sls_tracing.guard import Guard

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

    Hook = Callable[[ModuleType], None]

__all__ = ["forget", "is_executing", "watch"]

_guard = Guard("instrumentation_import_hook")


def watch(name: str, hook: Hook) -> None:
    """Call ``hook(module)`` each time from now on that the module ``name`` has been executed: on import and on reload.

    What the hook raises is logged and gone: here it would make the application's import fail. The same hook again changes nothing.
    """
    hooks = _finder.hooks.get(name, ())
    if hook not in hooks:
        _finder.hooks[name] = (*hooks, hook)
    if _finder not in sys.meta_path:
        sys.meta_path.insert(0, _finder)


def forget(name: str, hook: Hook | None = None) -> None:
    """Undo :func:`watch` for this hook, or for all of the name's. The last one out takes the finder off ``sys.meta_path``."""
    hooks = tuple(other for other in _finder.hooks.pop(name, ()) if hook is not None and other != hook)
    if hooks:
        _finder.hooks[name] = hooks
    if not _finder.hooks and _finder in sys.meta_path:
        sys.meta_path.remove(_finder)


def is_executing(name: str) -> bool:
    """Whether the code of the watched module ``name`` runs right now; its hooks are called when it has run."""
    return name in _executing


_executing: set[str] = set()


class _Finder:
    """Finds nothing itself: for a watched name it asks the others and puts its loader around theirs."""

    def __init__(self) -> None:
        self.hooks: dict[str, tuple[Hook, ...]] = {}
        self._asking = threading.local()

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in self.hooks or getattr(self._asking, "name", None) == fullname:
            return None
        outer = getattr(self._asking, "name", None)
        self._asking.name = fullname
        try:
            spec = _find_spec(fullname, path, target)
        finally:
            self._asking.name = outer
        if spec is not None and hasattr(spec.loader, "exec_module"):
            spec.loader = _Loader(spec.loader)  # type: ignore[assignment]
        return spec


def _find_spec(fullname: str, path: Sequence[str] | None, target: ModuleType | None) -> ModuleSpec | None:
    """Ask every finder in turn, ourselves too (we decline): ``importlib.util.find_spec`` would not search again on reload."""
    for finder in tuple(sys.meta_path):
        if hasattr(finder, "find_spec"):
            spec = finder.find_spec(fullname, path, target)
            if spec is not None:
                return spec
    return None


class _Loader:
    """The real loader's stand-in between finding and executing; gone from the module before its code runs."""

    def __init__(self, loader: Any) -> None:
        self._loader = loader

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        module: ModuleType | None = self._loader.create_module(spec)
        return module

    def exec_module(self, module: ModuleType) -> None:
        # importlib.resources, inspect and pkgutil look at these: they shall find the real one.
        for holder, attribute in ((module.__spec__, "loader"), (module, "__loader__")):
            if getattr(holder, attribute, None) is self:
                setattr(holder, attribute, self._loader)
        name = (
            module.__name__
        )  # gevent.greenlet replaces all its globals by those of a compiled module, this one included
        _executing.add(name)
        try:
            self._loader.exec_module(module)
        finally:
            _executing.discard(name)
        for hook in _finder.hooks.get(name, ()):
            with _guard:
                hook(module)


_finder: Any = _Finder()  # Any: typeshed wants sys.meta_path to hold subclasses of its protocol
