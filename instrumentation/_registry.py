"""What can be instrumented, and its switching on and off.

Built-in adapters stand in a static table: a lookup of installed entry points costs 25 to 85 ms at the start of every process. The
entry-point group ``sls_tracing.instrumentation`` is for third parties and read only when a name is asked for that the table lacks.
Such an entry point names an object (a module will do) with

    modules: Sequence[str]                                   full names of the modules to wait for
    patches(module, tracer) -> Sequence[Patch]               called after one of them was imported; `tracer.active()` at call time

    distribution: str, minimum: str                          optional: from which version of which distribution on

where a patch is anything with ``install()`` and ``remove()``.
"""

from __future__ import annotations

import importlib
import sys
import threading
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, Protocol, cast

from sls_tracing.exceptions import ConfigurationError
from sls_tracing.guard import Guard, limited_log
from sls_tracing.instrumentation import _import_hooks
from sls_tracing.instrumentation._tracer_source import TracerSource
from sls_tracing.metrics import counters
from sls_tracing.values import to_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from types import ModuleType

    import opentracing

    from sls_tracing.instrumentation._options import HTTPOptions

__all__ = ["ENTRY_POINT_GROUP", "TABLE", "Row", "install", "installed", "known", "patched", "uninstall"]

ENTRY_POINT_GROUP = "sls_tracing.instrumentation"


class Row(NamedTuple):
    """One built-in library: the adapter's dotted name, the modules to wait for, and from which version of which distribution on.

    No distribution is the standard library. A library below ``minimum`` stays as it is; docs/instrumentation.md shows these to users.
    """

    adapter: str
    modules: tuple[str, ...]
    distribution: str | None = None
    minimum: str | None = None


TABLE: dict[str, Row] = {
    "celery": Row("sls_tracing.instrumentation.celery", ("celery.app.base",), "celery", "5.2"),
    "aiohttp.client": Row("sls_tracing.instrumentation.aiohttp_client", ("aiohttp.client",), "aiohttp", "3.9"),
    "aiohttp.server": Row(
        "sls_tracing.instrumentation.aiohttp_server",
        ("aiohttp.web_protocol", "aiohttp.web_app", "aiohttp.web_ws"),
        "aiohttp",
        "3.9",
    ),
    "django": Row(
        "sls_tracing.instrumentation.django",
        tuple(f"django.core.handlers.{part}" for part in ("wsgi", "asgi", "base", "exception")),
        "django",
        "4.2",
    ),
    "fastapi": Row("sls_tracing.instrumentation.fastapi", ("fastapi.applications",), "fastapi", "0.115"),
    "flask": Row("sls_tracing.instrumentation.flask", ("flask.app",), "flask", "2.2"),
    "futures": Row("sls_tracing.instrumentation.futures", ("concurrent.futures.thread", "multiprocessing.pool")),
    "gevent": Row("sls_tracing.instrumentation.gevent", ("gevent.greenlet", "gevent.threadpool"), "gevent", "21.1"),
    "grpc": Row("sls_tracing.instrumentation.grpc", ("grpc",), "grpcio", "1.60"),
    "kafka": Row("sls_tracing.instrumentation.kafka", ("kafka",), "kafka-python", "2.0"),
    "logging": Row("sls_tracing.instrumentation.logging", ("logging",)),
    "http.client": Row("sls_tracing.instrumentation.http_client", ("http.client",)),
    "httpx": Row("sls_tracing.instrumentation.httpx", ("httpx",), "httpx", "0.23"),
    "multiprocessing": Row("sls_tracing.instrumentation.multiprocessing", ("multiprocessing.pool",)),
    "psycopg": Row("sls_tracing.instrumentation.psycopg", ("psycopg",), "psycopg", "3.1"),
    "pymongo": Row("sls_tracing.instrumentation.pymongo", ("pymongo.monitoring",), "pymongo", "4.6"),
    "pymysql": Row("sls_tracing.instrumentation.pymysql", ("pymysql.cursors",), "pymysql", "1.0"),
    "redis": Row(
        "sls_tracing.instrumentation.redis",
        ("redis.client", "redis.asyncio.client", "kombu.transport.redis"),
        "redis",
        "4.2",
    ),
    "requests": Row("sls_tracing.instrumentation.requests", ("requests.sessions",), "requests", "2.25"),
    "sqlalchemy": Row("sls_tracing.instrumentation.sqlalchemy", ("sqlalchemy",), "sqlalchemy", "1.4"),
    "sqlite3": Row("sls_tracing.instrumentation.sqlite3", ("sqlite3",)),
    "starlette": Row("sls_tracing.instrumentation.starlette", ("starlette.applications",), "starlette", "0.40"),
    "threading": Row("sls_tracing.instrumentation.threading", ("threading",)),
    "tornado.client": Row("sls_tracing.instrumentation.tornado_client", ("tornado.httpclient",), "tornado", "6.2"),
    "tornado.server": Row(
        "sls_tracing.instrumentation.tornado_server", ("tornado.web", "tornado.websocket"), "tornado", "6.2"
    ),
    "urllib": Row("sls_tracing.instrumentation.urllib", ("urllib.request",)),
    "urllib3": Row(
        "sls_tracing.instrumentation.urllib3", ("urllib3.connectionpool", "urllib3.poolmanager"), "urllib3", "1.26"
    ),
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

    def __init__(
        self,
        modules: Sequence[str],
        load: Callable[[], Adapter],
        distribution: str | None = None,
        minimum: str | None = None,
    ) -> None:
        self.enabled = False
        self.not_patched: dict[str, str] = {}
        self._modules = tuple(modules)
        self._load = load
        self._distribution = distribution
        self._minimum = minimum
        self._tracer = TracerSource()
        self._patches: dict[str, Sequence[RemovablePatch]] = {}

    def enable(self, tracer: opentracing.Tracer | None, http: HTTPOptions | None) -> None:
        self._tracer.explicit = tracer
        self._tracer.http = http
        if self.enabled:
            return
        self.enabled = True
        for name in self._modules:
            _import_hooks.watch(name, self._imported)
            _import_hooks.watch(_package_of(name), self._imported)
            module = sys.modules.get(name)
            if module is not None:
                with _guard:
                    self._patch(module)

    def disable(self) -> None:
        self.enabled = False
        for name in self._modules:
            _import_hooks.forget(name, self._imported)
            _import_hooks.forget(_package_of(name), self._imported)
        for patches in self._patches.values():
            for patch in reversed(patches):
                with _guard:
                    patch.remove()
        self._patches.clear()
        self.not_patched.clear()

    @property
    def patched(self) -> tuple[str, ...]:
        """The modules that are patched now."""
        return tuple(self._patches)

    def _imported(self, module: ModuleType) -> None:
        """Patch a module that was imported, or, if that is its package, those modules of it that were imported on the way.

        Never in the middle of a package's own import: adapters import from the package what it has not defined yet.
        """
        imported = module.__name__
        for name in self._modules:
            found = sys.modules.get(name)
            if found is None or _import_hooks.is_executing(_package_of(name)):
                continue
            if found is module or (_package_of(name) == imported and found.__name__ not in self._patches):
                with _guard:
                    self._patch(found)

    def _patch(self, module: ModuleType) -> None:
        """Patch a module that has just been executed or was found loaded; a reload has made new classes."""
        with _lock:
            if not self.enabled:  # removed by another thread while the import was under way
                return
            name = module.__name__
            self._patches.pop(name, None)
            self.not_patched.pop(name, None)
            if self._is_too_old(module):
                return
            done: list[RemovablePatch] = []
            try:
                patches = self._load().patches(module, self._tracer)
                for patch in patches:
                    done.append(patch)
                    patch.install()
            except BaseException as error:  # half a patch is none: the library shall be as it was
                self.not_patched[name] = f"patching it failed: {type(error).__name__}: {to_text(error):.200}"
                for patch in reversed(done):
                    with _guard:
                        patch.remove()
                raise
            self._patches[name] = patches

    def _is_too_old(self, module: ModuleType) -> bool:
        if self._distribution is None or self._minimum is None:
            return False
        from sls_tracing.instrumentation._versions import is_older, loaded_version

        version = _guard.call(None, loaded_version, module, self._distribution)
        if version is None or not is_older(version, self._minimum):
            return False
        reason = f"{self._distribution} {version:.50} is older than {self._minimum}"
        self.not_patched[module.__name__] = reason
        counters.add("instrumentation_unsupported_versions")
        limited_log.warning(f"unsupported_{self._distribution}", "not instrumented: %s", reason)
        return True


def _package_of(name: str) -> str:
    return name.partition(".")[0]


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


def patched(name: str) -> tuple[tuple[str, ...], dict[str, str]]:
    """Return which modules of the library ``name`` are patched now, and why others that are imported are not: for `sls-tracing doctor`."""
    with _lock:
        library = _libraries.get(name)
        return ((), {}) if library is None else (library.patched, dict(library.not_patched))


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
        library = _third_party(name) if row is None else _Library(row.modules, partial(_load, row.adapter), *row[2:])
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
        return _Library(
            adapter.modules, lambda: adapter, getattr(adapter, "distribution", None), getattr(adapter, "minimum", None)
        )
    names = sorted({*TABLE, *found})
    near = get_close_matches(str(name), names, n=1)
    advice = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(names)}"
    raise ConfigurationError(f"no instrumentation is called {name!r}; {advice}")
