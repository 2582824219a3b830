"""Which version of a library is there, and whether it is new enough. Asked when the library has been imported, never at start.

The library's own ``__version__`` comes first, then the name of its metadata's folder beside it: a lookup through ``importlib.metadata`` costs a cold
process 25 to 85 ms, so it comes last.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["installed_version", "is_older", "loaded_version"]

_NUMBERS = re.compile(r"\d+(?:\.\d+)*")


def loaded_version(module: ModuleType, distribution: str) -> str | None:
    """Return the version of ``distribution``, of which ``module`` is a part; None if nothing tells."""
    package = sys.modules.get(module.__name__.partition(".")[0], module)
    version = vars(package).get("__version__")  # not getattr: a module's __getattr__ may warn (Flask, Werkzeug)
    if isinstance(version, str) and _NUMBERS.match(version):
        return version
    return _version_beside(getattr(package, "__file__", None), distribution) or installed_version(distribution)


def installed_version(distribution: str) -> str | None:
    """Return the version of ``distribution`` that is installed; None if none is, or its metadata cannot be read."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        found = version(distribution)
    except (PackageNotFoundError, ValueError, OSError, KeyError):
        return None
    return (
        found if isinstance(found, str) else None
    )  # None for metadata without a version, whatever the annotation says


def is_older(version: str, minimum: str) -> bool:
    """Whether ``version`` comes before ``minimum``, by its numbers alone: ``3.0.0rc1`` is as good as 3.0. What begins with no number is not older."""
    if not _NUMBERS.match(version):
        return False
    return _numbers(version) < _numbers(minimum)


def _numbers(version: str) -> tuple[int, ...]:
    match = _NUMBERS.match(version)
    numbers = [int(number[:9]) for number in match[0].split(".")] if match else []
    while numbers and not numbers[-1]:
        numbers.pop()  # 3.0 is 3
    return tuple(numbers)


def _version_beside(file: object, distribution: str) -> str | None:
    """Return what a folder such as ``flask-3.1.3.dist-info`` beside the package says (PEP 427 and 503: case, ``-``, ``_`` and ``.`` are one)."""
    if not isinstance(file, str):
        return None
    path = Path(file)
    folder = path.parent.parent if path.name.startswith("__init__.") else path.parent
    wanted = _normal(distribution)
    try:
        entries = [entry.name for entry in folder.iterdir()]
    except OSError:
        return None
    for entry in entries:
        name, _, rest = entry.partition("-")
        if rest.endswith(".dist-info") and _normal(name) == wanted:
            return rest.removesuffix(".dist-info")
    return None


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
