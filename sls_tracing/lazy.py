"""Public names whose modules load when they are first asked for.

A service imports this library to start a handful of spans; what it does not use (samplers that poll, senders over HTTP) should cost its start
nothing. A package names such things in a table and lets :func:`lazily` be its ``__getattr__`` (PEP 562).
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False  # as in sls_tracing/__init__
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

__all__ = ["lazily"]


def lazily(package: str, modules: Mapping[str, str]) -> Callable[[str], Any]:
    """Return a ``__getattr__`` for ``package`` that finds each name of ``modules`` in the module named there, once.

    ``module:other`` says that it is called ``other`` in there.
    """

    def __getattr__(name: str) -> Any:  # noqa: N807 - what it becomes
        module = modules.get(name)
        if module is None:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        from importlib import import_module

        module, _, other = module.partition(":")
        found = getattr(import_module(module), other or name)
        setattr(sys.modules[package], name, found)  # the next access finds it without us
        return found

    return __getattr__
