"""Propagators carry a context from process to process: one class a format, one table of names."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from opentracing import Format

from sls_tracing.exceptions import ConfigurationError
from sls_tracing.lazy import lazily
from sls_tracing.metrics import Counters, counters

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sls_tracing.propagators.b3 import B3Propagator
    from sls_tracing.propagators.binary import BinaryPropagator
    from sls_tracing.propagators.composite import CompositePropagator
    from sls_tracing.propagators.jaeger import JaegerPropagator
    from sls_tracing.propagators.mesh import MeshPropagator
    from sls_tracing.propagators.propagator import Propagator, TextPropagator
    from sls_tracing.propagators.w3c import W3CPropagator

__all__ = [
    "PROPAGATIONS",
    "B3Propagator",
    "BinaryPropagator",
    "CompositePropagator",
    "JaegerPropagator",
    "MeshPropagator",
    "Propagator",
    "TextPropagator",
    "W3CPropagator",
    "propagation_names",
    "propagators_for",
]

__getattr__ = lazily(
    __name__,
    {
        "B3Propagator": "sls_tracing.propagators.b3",
        "BinaryPropagator": "sls_tracing.propagators.binary",
        "CompositePropagator": "sls_tracing.propagators.composite",
        "JaegerPropagator": "sls_tracing.propagators.jaeger",
        "MeshPropagator": "sls_tracing.propagators.mesh",
        "Propagator": "sls_tracing.propagators.propagator",
        "TextPropagator": "sls_tracing.propagators.propagator",
        "W3CPropagator": "sls_tracing.propagators.w3c",
    },
)


def _late(module: str, name: str, *settings: Any) -> Callable[..., TextPropagator]:
    """Return what makes a propagator of that class; a service that names one format loads no other."""

    def make(**options: Any) -> TextPropagator:
        propagator: TextPropagator = getattr(import_module(f"{__name__}.{module}"), name)(*settings, **options)
        return propagator

    return make


PROPAGATIONS: dict[str, Callable[..., TextPropagator]] = {
    "b3": _late("b3", "B3Propagator"),
    "b3-single": _late("b3", "B3Propagator", "single"),
    "w3c": _late("w3c", "W3CPropagator"),
    "jaeger": _late("jaeger", "JaegerPropagator"),
    "mesh": _late("mesh", "MeshPropagator"),
    "mesh-w3c": _late("mesh", "MeshPropagator", ("w3c", "b3")),
}
"""The names that ``propagation=`` and ``JAEGER_PROPAGATION`` take, several of them separated by commas."""

_MESHES = frozenset(("mesh", "mesh-w3c"))


def propagation_names(propagation: str) -> tuple[str, ...]:
    """Return the names in ``propagation``, such as ``"b3, w3c"``, in their order. Raises :class:`ConfigurationError`."""
    names = tuple(name.strip().lower() for name in propagation.split(",")) if isinstance(propagation, str) else ()
    unknown = [name for name in names if name not in PROPAGATIONS]
    if unknown or not names:
        msg = f"unknown propagation {propagation!r}; known are: {', '.join(PROPAGATIONS)}, and several of them separated by commas"
        raise ConfigurationError(msg)
    if len({*names}) < len(names):
        msg = f"propagation {propagation!r} names a format twice; known are: {', '.join(PROPAGATIONS)}"
        raise ConfigurationError(msg)
    if {"b3", "b3-single"} <= {*names}:
        # Mesh rule 2: of two encodings in one request every version of Envoy leaves one stale.
        msg = f"propagation {propagation!r} names both encodings of B3: each reads both, so name the one that is to be written"
        raise ConfigurationError(msg)
    meshes = _MESHES & {*names}
    if len(meshes) > 1 or (meshes and not {*names} <= {*meshes, "jaeger"}):
        msg = f"propagation {propagation!r}: {min(meshes)} reads and writes B3 and W3C itself; name it alone, or with jaeger"
        raise ConfigurationError(msg)
    return names


def propagators_for(
    propagation: str,
    inject: str | None = None,
    *,
    jaeger_headers: Mapping[str, str] | None = None,
    mesh: Mapping[str, Any] | None = None,
    counters: Counters = counters,
) -> dict[Any, Propagator]:
    """Return a propagator for each of OpenTracing's formats.

    ``propagation`` names the text formats that are read, in the order of their precedence, and ``inject`` those that are written: the
    same if None. ``jaeger_headers`` renames Jaeger's headers: the arguments of :class:`JaegerPropagator`. ``mesh`` names further headers
    to forward: the arguments ``forward`` and ``forward_to`` of :class:`MeshPropagator`.
    """
    reading = propagation_names(propagation)
    writing = reading if inject is None else propagation_names(inject)

    def text(*, http: bool) -> Propagator:
        members = {
            name: PROPAGATIONS[name](**((mesh or {}) if name in _MESHES else {}), counters=counters)
            for name in (*reading, *writing)
        }
        if "jaeger" in members:
            # Jaeger's clients encode baggage in HTTP headers and leave it plain in text maps.
            members["jaeger"] = PROPAGATIONS["jaeger"](**(jaeger_headers or {}), url_encoding=http, counters=counters)
        if reading == writing and len(reading) == 1:
            return members[reading[0]]
        from sls_tracing.propagators.composite import CompositePropagator

        return CompositePropagator([members[name] for name in reading], [members[name] for name in writing])

    from sls_tracing.propagators.binary import BinaryPropagator

    return {Format.TEXT_MAP: text(http=False), Format.HTTP_HEADERS: text(http=True), Format.BINARY: BinaryPropagator()}
