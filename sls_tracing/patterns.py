"""Regular expressions that are compiled when they are first asked something.

    _FORM = Pattern(r"([0-9a-f]{2})-([0-9a-f]{32})")
    match = _FORM.fullmatch(header)

Compiling all of ours takes 7 ms of a start, and most of them wait for what a service never meets: a malformed header, a setting that is not set.
From the second call on it costs what ``re.Pattern`` does, and an attribute look-up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import re
    from collections.abc import Callable
    from typing import Any

__all__ = ["Pattern"]


class Pattern:
    """An expression with those methods of ``re.Pattern`` that are used here."""

    if TYPE_CHECKING:
        findall: Callable[[str], list[Any]]
        fullmatch: Callable[[str], re.Match[str] | None]
        match: Callable[[str], re.Match[str] | None]
        search: Callable[[str], re.Match[str] | None]
        sub: Callable[[str | Callable[[re.Match[str]], str], str], str]

    def __init__(self, expression: str) -> None:
        self.expression = expression

    def __getattr__(self, method: str) -> Any:
        """Give a method of the compiled expression, and keep it: this is called only for what the object does not have."""
        import re

        found = getattr(re.compile(self.expression), method)
        setattr(self, method, found)
        return found
