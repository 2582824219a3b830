"""Which services are sidecars of others. Istio names a proxy ``<workload>.<namespace>`` where the program behind it names itself ``<workload>``."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["owners"]


def owners(services: Iterable[str]) -> dict[str, str]:
    """Return for each service the one that it belongs to: a sidecar's is the program it stands before, everything else its own.

    ``productpage.default`` belongs to ``productpage`` if that is among the services; a gateway, which stands before no program, stays itself.
    """
    names = list(services)
    present = set(names)
    return {name: _owner(name, present) for name in names}


def _owner(name: str, present: set[str]) -> str:
    workload, dot, namespace = name.rpartition(".")
    return workload if dot and namespace and workload in present else name
