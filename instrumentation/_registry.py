"""What can be instrumented, and its switching on and off.

Built-in adapters stand in a static table: a lookup of installed entry points costs 25 to 85 ms at the start of every process. The
entry-point group ``sls_tracing.instrumentation`` is for third parties and read only when a name is asked for that the table lacks.
Such an entry point names an object (a module will do) with

    modules: Sequence[str]                                   full names of the modules to wait for
    patches(module, tracer) -> Sequence[Patch]               called after one of them was imported; `tracer.active()` at call time

where a patch is anything with ``install()`` and ``remove()``.
"""

from __future__ import annotations

import importlib
import sys
import threading
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, Protocol, cast

from sls_tracing.exceptions import ConfigurationError
from sls_tracing.guard import Guard
from sls_tracing.instrumentation import _import_hooks
from sls_tracing.instrumentation._tracer_source import TracerSource

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from types import ModuleType

    import opentracing

    from sls_tracing.instrumentation._options import HTTPOptions

__all__ = ["ENTRY_POINT_GROUP", "TABLE", "Row", "install", "installed", "known", "uninstall"]

ENTRY_POINT_GROUP = "sls_tracing.instrumentation"


class Row(NamedTuple):
    """One built-in library: the adapter's dotted name, and the modules to wait for."""

    adapter: str
    modules: tuple[str, ...]


TABLE: dict[str, Row] = {
    "flask": Row("sls_tracing.instrumentation.flask", ("flask.app",)),
    "futures": Row("sls_tracing.instrumentation.futures", ("concurrent.futures.thread", "multiprocessing.pool")),
    "gevent": Row("sls_tracing.instrumentation.gevent", ("gevent.greenlet", "gevent.threadpool")),
    "multiprocessing": Row("sls_tracing.instrumentation.multiprocessing", ("multiprocessing.pool",)),
    "requests": Row("sls_tracing.instrumentation.requests", ("requests.sessions",)),
    "threading": Row("sls_tracing.instrumentation.threading", ("threading",)),
}


class RemovablePatch(Protocol):
    """What an adapter hands over for each place it changes."""

    def install(self) -> None:
        """Put the patch on."""

    def remove(self) -> None:
        """Take it off."""


class Adapter(Protocol):
    """The protocol of an adapter; the built-in ones have their ``modules`` in the table."""

    def patches(self, module: ModuleType, tracer: TracerSource) -> Sequence[RemovablePatch]:
        """Return the patches for ``module``, not yet installed."""


class _Library:
    """One library's state. The caller holds the lock, but for the import hook, which takes it."""

    def __init__(self, modules: Sequence[str], load: Callable[[], Adapter]) -> None:
        self.enabled = False
        self._modules = tuple(modules)
        self._load = load
        self._tracer = TracerSource()
        self._patches: dict[str, Sequence[RemovablePatch]] = {}

    def enable(self, tracer: opentracing.Tracer | None, http: HTTPOptions | None) -> None:
        self._tracer.explicit = tracer
        self._tracer.http = http
        if self.enabled:
            return
        self.enabled = True
        for name in self._modules:
            _import_hooks.watch(name, self._patch)
            module = sys.modules.get(name)
            if module is not None:
                with _guard:
                    self._patch(module)

    def disable(self) -> None:
        self.enabled = False
        for name in self._modules:
            _import_hooks.forget(name, self._patch)
        for patches in self._patches.values():
            for patch in reversed(patches):
                with _guard:
                    patch.remove()
        self._patches.clear()

    def _patch(self, module: ModuleType) -> None:
        """Patch a module that has just been executed or was found loaded; a reload has made new classes."""
        with _lock:
            if not self.enabled:  # removed by another thread while the import was under way
                return
            patches = self._patches[module.__name__] = self._load().patches(module, self._tracer)
            for patch in patches:
                patch.install()


_guard = Guard("instrumentation_registry")
_lock = threading.RLock()
_libraries: dict[str, _Library] = {}


def known() -> tuple[str, ...]:
    """Return the names that ``install`` knows without asking for third parties' entry points."""
    return tuple(TABLE)


def installed() -> tuple[str, ...]:
    """Return the names that are installed now, whether their library has been imported yet or not."""
    with _lock:
        return tuple(name for name, library in _libraries.items() if library.enabled)


def install(
    names: str | Iterable[str] | None = None,
    *,
    tracer: opentracing.Tracer | None = None,
    http: HTTPOptions | None = None,
) -> None:
    """Trace these libraries from now on; None: all that are known and, sooner or later, imported.

    Nothing is imported for it: a library that is loaded is patched at once, another one when it is imported. Installing again changes
    nothing but the tracer and the options. Without ``tracer``, spans go to OpenTracing's global tracer of the moment they start; without
    ``http``, the environment's options hold (``SLS_TRACING_HTTP_…``; docs/mesh.md).

    Raises ConfigurationError for a name that neither the table nor an installed entry point knows; then nothing is changed.
    """
    with _lock:
        libraries = [_library(name) for name in _names(names, known())]
        for library in libraries:
            library.enable(tracer, http)


def uninstall(names: str | Iterable[str] | None = None) -> None:
    """Undo ``install``; None: all of it. Live applications and sessions are untouched and untraced from their next request on.

    Raises ConfigurationError for an unknown name; a known one that is not installed is fine.
    """
    with _lock:
        libraries = [_library(name) for name in _names(names, installed())]
        for library in libraries:
            if library.enabled:
                library.disable()


def _names(names: str | Iterable[str] | None, default: Iterable[str]) -> Iterable[str]:
    if names is None:
        return default
    return [names] if isinstance(names, str) else names


def _library(name: str) -> _Library:
    library = _libraries.get(name)
    if library is None:
        row = TABLE.get(name)
        library = _third_party(name) if row is None else _Library(row.modules, partial(_load, row.adapter))
        _libraries[name] = library
    return library


def _load(adapter: str) -> Adapter:
    return cast("Adapter", importlib.import_module(adapter))


def _third_party(name: str) -> _Library:
    from difflib import get_close_matches
    from importlib.metadata import entry_points

    found = {entry_point.name: entry_point for entry_point in entry_points(group=ENTRY_POINT_GROUP)}
    if name in found:
        adapter = found[name].load()
        return _Library(adapter.modules, lambda: adapter)
    names = sorted({*TABLE, *found})
    near = get_close_matches(str(name), names, n=1)
    advice = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(names)}"
    raise ConfigurationError(f"no instrumentation is called {name!r}; {advice}")
