"""One thing that the doctor has to say."""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

__all__ = ["Finding", "Level", "note", "ok", "problem"]

Level: TypeAlias = Literal["ok", "note", "problem"]


class Finding(NamedTuple):
    """``text`` is whole sentences for somebody who runs a mesh, not for who wrote this; a problem says what to do."""

    level: Level
    text: str


def ok(text: str) -> Finding:
    """Return what is as it should be."""
    return Finding("ok", text)


def note(text: str) -> Finding:
    """Return what is good to know, and no mistake by itself."""
    return Finding("note", text)


def problem(text: str) -> Finding:
    """Return what is wrong, with the remedy."""
    return Finding("problem", text)
