"""Which libraries can be traced here: found, in which version, new enough, patched, and if not, why.

They are imported for that, patched, and left as they were: what the table says, has been tried.
"""

from __future__ import annotations

import importlib
from typing import NamedTuple

from sls_tracing.doctor.finding import Finding, note, ok, problem
from sls_tracing.guard import Guard
from sls_tracing.instrumentation import _registry
from sls_tracing.instrumentation._versions import installed_version, is_older
from sls_tracing.values import to_text

__all__ = ["Library", "about_libraries", "look_at_libraries"]

STANDARD_LIBRARY = "standard library"


class Library(NamedTuple):
    """One row. ``version`` is None if the library is not installed; ``why_not`` is empty if it was patched."""

    name: str
    version: str | None
    minimum: str | None
    why_not: str

    @property
    def is_patched(self) -> bool:
        """Whether patching it was tried and went well."""
        return not self.why_not

    @property
    def failed(self) -> bool:
        """Whether it should have been patched: it is there, and new enough."""
        return not (self.is_patched or self.version is None or _is_too_old(self.version, self.minimum))


def look_at_libraries() -> list[Library]:
    """Try each library of the table, one after the other, and return what came of it, sorted by name."""
    before = _registry.installed()
    try:
        return [_look_at(name, _registry.TABLE[name]) for name in sorted(_registry.TABLE)]
    finally:
        _registry.uninstall([name for name in _registry.installed() if name not in before])


def about_libraries(libraries: list[Library]) -> list[Finding]:
    """Return what is to be said of them beyond the table."""
    failed = [library for library in libraries if library.failed]
    found = [
        problem(f"{library.name} {library.version} is not traced: {library.why_not}. Please report it.")
        for library in failed
    ]
    found += [
        note(f"{library.name} {library.version} is not traced: it takes {library.minimum} or newer.")
        for library in libraries
        if library.version is not None and _is_too_old(library.version, library.minimum)
    ]
    if not failed:
        found.append(ok(f"{sum(library.is_patched for library in libraries)} libraries are here and can be traced."))
    return found


def _look_at(name: str, row: _registry.Row) -> Library:
    if row.distribution is None:
        version: str | None = STANDARD_LIBRARY
    else:
        version = installed_version(row.distribution)
        if version is None:
            return Library(name, None, row.minimum, "not installed")
        if _is_too_old(version, row.minimum):
            return Library(name, version, row.minimum, f"older than {row.minimum}")
    _registry.install(name)
    reasons = [reason for reason in map(_import, row.modules) if reason]
    patched, why_not = _registry.patched(name)
    reasons += why_not.values()
    return Library(name, version, row.minimum, "" if patched and not why_not else "; ".join(reasons) or "not imported")


def _import(module: str) -> str:
    """Import ``module`` and return why that failed; empty if it did not."""
    attempt = _Attempt("doctor")
    try:
        with attempt:
            importlib.import_module(module)
    except SystemExit as error:  # some end the program where they are not configured
        return f"{module} ended the program when it was imported (SystemExit: {error.code})"
    return "" if attempt.error is None else f"{module} cannot be imported: {attempt.error}"


class _Attempt(Guard):
    """Keeps what it swallows, as text: that is the answer here, not a failure of ours."""

    __slots__ = ("error",)

    error: str | None

    def __init__(self, where: str) -> None:
        super().__init__(where)
        self.error = None

    def failed(self, error: BaseException) -> None:
        self.error = f"{type(error).__name__}: {to_text(error)}"


def _is_too_old(version: str, minimum: str | None) -> bool:
    return minimum is not None and is_older(version, minimum)
