r"""Texts with wildcards, in the forms that SQL and Python match them with: ``*`` stands for any text, ``?`` for any character.

A backslash takes a wildcard, or the backslash before it, for what it is. A text without a wildcard is no pattern, and its backslashes stay, but for
those that make a star of ``\*``.
"""

from __future__ import annotations

import fnmatch
import re
from typing import NamedTuple

from sls_tracing.log_service.dialects.values import to_json

__all__ = ["Pattern", "literal", "pattern"]

_PARTS = re.compile(r"\\[*?\\]|.", re.DOTALL)
_IN_JSON = r'(?:[^"\\]|\\.)'
"""One character of a text in JSON."""


class Pattern(NamedTuple):
    """A text with wildcards: for LIKE (escaped by ``!``), for Python, and as a text within JSON, for SQL's regular expressions."""

    like: str
    regex: re.Pattern[str]
    in_json: str

    def matches(self, text: str) -> bool:
        """Whether the whole text matches."""
        return self.regex.fullmatch(text) is not None

    @property
    def in_number(self) -> str:
        """As ``in_json``, within an integer."""
        return self.in_json.replace(_IN_JSON, "[-0-9]")

    @property
    def matches_everything(self) -> bool:
        """Whether any text matches."""
        return not self.like.strip("%")


def pattern(text: str) -> Pattern | None:
    """Return what a text with wildcards means, None for one without."""
    parts = _PARTS.findall(text)
    if "*" not in parts and "?" not in parts:
        return None
    like = glob = in_json = ""
    for part in parts:
        if part == "*":
            like, glob, in_json = like + "%", glob + "*", in_json + _IN_JSON + "*"
        elif part == "?":
            like, glob, in_json = like + "_", glob + "?", in_json + _IN_JSON
        else:
            character = part[-1]
            like += "!" + character if character in "%_!" else character
            glob += f"[{character}]" if character in "*?[" else character
            in_json += re.escape(to_json(character)[1:-1])
    # fnmatch's expressions do not backtrack into a star that has found its text: a hostile pattern costs no more than its length.
    return Pattern(like, re.compile(fnmatch.translate(glob)), in_json)


def literal(text: str) -> str:
    """Return the text that one without wildcards means."""
    return text.replace("\\*", "*").replace("\\?", "?")
