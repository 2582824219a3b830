"""Applications and sessions that are instrumented one by one, beside or without their library as a whole.

Both go through the same patches of the class, so that an object is never patched twice, however it was asked for; an object's own tracer and
options win over the library's. The patches are on as long as anybody needs them: with the last one they are gone.
"""

from __future__ import annotations

import threading
import weakref
from typing import TYPE_CHECKING, Any

import opentracing

from sls_tracing.exceptions import ConfigurationError
from sls_tracing.guard import Guard
from sls_tracing.instrumentation._tracer_source import TracerSource
from sls_tracing.suppression import suppressed

if TYPE_CHECKING:
    from collections.abc import Callable, MutableMapping, Sequence

    from sls_tracing.instrumentation._options import HTTPOptions
    from sls_tracing.instrumentation._registry import RemovablePatch

__all__ = ["Instances"]

_guard = Guard("instrumentation_registry")


class Instances:
    """Who of the objects of one class is traced, and how. ``make_patches(self)`` returns the patches of the class, not yet installed."""

    def __init__(self, make_patches: Callable[[Instances], Sequence[RemovablePatch]]) -> None:
        self._library: TracerSource | None = None
        self._sources: MutableMapping[Any, TracerSource] = weakref.WeakKeyDictionary()
        self._patches = make_patches(self)
        self._are_on = False
        self._lock = threading.RLock()

    def source(self, instance: object) -> TracerSource | None:
        """Return how ``instance`` is traced; None if it is not."""
        if self._sources:
            found = self._sources.get(instance)
            if found is not None:
                return found
        return self._library

    def tracing(self, instance: object) -> tuple[opentracing.Tracer, HTTPOptions] | None:
        """Return the tracer and the options for ``instance``; None if it is not traced, or nothing shall be traced here."""
        source = self._library
        if self._sources:
            source = self._sources.get(instance, source)
        if source is None:
            return None
        # As `source.active()` and `source.http`. Calls of them would be most of what a request pays that is not traced.
        tracer = opentracing.tracer if source.explicit is None else source.explicit
        if type(tracer) is opentracing.Tracer or suppressed():
            return None
        return tracer, source.http_if_known or source.http

    def for_library(self, source: TracerSource) -> RemovablePatch:
        """Return the patch that traces all objects of the class."""
        return _LibraryPatch(self, source)

    def add(self, instance: object, tracer: opentracing.Tracer | None, http: HTTPOptions | None) -> None:
        """Trace this object; again, with another tracer or other options, if it is traced already. Raises :class:`ConfigurationError`."""
        source = TracerSource(tracer)
        source.http = http
        try:
            with self._lock:
                self._sources[instance] = source
                self._switch()
        except TypeError as error:  # its class defines __eq__ without __hash__, or has __slots__ without __weakref__
            raise ConfigurationError(f"cannot keep note of {type(instance).__name__}: {error}") from error

    def discard(self, instance: object) -> None:
        """Undo :meth:`add`; nothing if it was never added. What holds for the library as a whole then holds for it, too."""
        with self._lock:
            self._sources.pop(instance, None)
            self._switch()

    def set_library(self, source: TracerSource | None) -> None:
        """Trace all objects, or (None) those only that were added."""
        with self._lock:
            self._library = source
            self._switch()

    def _switch(self) -> None:
        """Put the patches on when the first one needs them, take them off after the last one."""
        are_needed = self._library is not None or bool(self._sources)
        if are_needed and not self._are_on:
            self._are_on = True
            for patch in self._patches:
                patch.install()
        elif self._are_on and not are_needed:
            self._are_on = False
            for patch in reversed(self._patches):
                with _guard:
                    patch.remove()


class _LibraryPatch:
    def __init__(self, instances: Instances, source: TracerSource) -> None:
        self._instances = instances
        self._source = source

    def install(self) -> None:
        self._instances.set_library(self._source)

    def remove(self) -> None:
        self._instances.set_library(None)
