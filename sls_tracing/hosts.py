"""Patterns of host names: which destinations a header may go to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sls_tracing.exceptions import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["ANY_HOST", "MESH_HOSTS", "SHORT", "Hosts"]

SHORT = "<short>"
"""The pattern of names without a dot, as Kubernetes' services have inside their namespace (``reviews``, ``localhost``)."""

_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789_.:*-"


class Hosts:
    """A set of host names, told by patterns; ``host in hosts`` asks it.

    A pattern is a name or an address without its port (``reviews.default``, ``10.0.0.7``, ``::1``), in which ``*`` stands for anything,
    dots included (``*.svc.cluster.local``), or ``<short>``. Case does not matter. Raises :class:`ConfigurationError`.
    """

    __slots__ = ("_matches", "patterns")

    def __init__(self, patterns: str | Iterable[str] = ()) -> None:
        each = [patterns] if isinstance(patterns, str) else list(patterns)
        self.patterns = tuple(map(_normal, each))
        self._matches: Callable[[str], object] | None = None

    def __contains__(self, host: str | None) -> bool:
        """Whether ``host`` (in lower case, without port) matches; one that is not known matches nothing but ``*``."""
        if self._matches is None:  # most processes set patterns and never ask
            self._matches = _matcher(self.patterns)
        return self._matches(host or "") is not None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Hosts) and self.patterns == other.patterns

    def __hash__(self) -> int:
        return hash(self.patterns)

    def __repr__(self) -> str:
        return f"Hosts({list(self.patterns)!r})"


def _normal(pattern: str) -> str:
    name = pattern.strip().lower() if isinstance(pattern, str) else ""
    if name != SHORT and (not name or name.strip(_LETTERS)):
        msg = (
            f"{pattern!r} is no pattern of host names: write a name or an address without scheme, port and path, such as 'reviews', "
            f"'*.svc.cluster.local', or '{SHORT}' for names without a dot"
        )
        raise ConfigurationError(msg)
    return name.rstrip(".")


def _matcher(patterns: Iterable[str]) -> Callable[[str], object]:
    import re

    def expression(pattern: str) -> str:
        return r"[^.:]+" if pattern == SHORT else ".*".join(map(re.escape, pattern.split("*")))

    return re.compile("|".join(map(expression, patterns)) or r"(?!)").fullmatch


ANY_HOST = Hosts("*")
MESH_HOSTS = Hosts((SHORT, "127.0.0.1", "::1", "*.svc", "*.svc.cluster.local"))
"""What is inside a mesh as far as a name tells: this pod, and services as Kubernetes names them."""
