"""Propagators carry a context from process to process: one class a format, one table of names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentracing import Format

from sls_tracing.exceptions import ConfigurationError
from sls_tracing.propagators.b3 import B3Propagator
from sls_tracing.propagators.binary import BinaryPropagator
from sls_tracing.propagators.propagator import Propagator

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["PROPAGATIONS", "B3Propagator", "BinaryPropagator", "Propagator", "propagators_for"]

PROPAGATIONS: dict[str, Callable[[], Propagator]] = {
    "b3": B3Propagator,
    "b3-single": lambda: B3Propagator("single"),
}
"""The names that ``propagation=`` and ``JAEGER_PROPAGATION`` take."""


def propagators_for(propagation: str) -> dict[Any, Propagator]:
    """Return a propagator for each of OpenTracing's formats, the text ones as ``propagation`` names them."""
    name = propagation.strip().lower() if isinstance(propagation, str) else propagation
    make = PROPAGATIONS.get(name) if isinstance(name, str) else None
    if make is None:
        msg = f"unknown propagation {propagation!r}; known are: {', '.join(PROPAGATIONS)}"
        raise ConfigurationError(msg)
    text = make()
    return {Format.TEXT_MAP: text, Format.HTTP_HEADERS: text, Format.BINARY: BinaryPropagator()}
