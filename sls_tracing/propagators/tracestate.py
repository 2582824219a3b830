"""W3C's ``tracestate``: a list of other vendors' entries, which goes through here unchanged or, if it is malformed, not at all.

Source: W3C Trace Context, level 1 (Recommendation) and level 2 (Candidate Recommendation), section "Tracestate Header".
"""

from __future__ import annotations

from typing import Literal

from sls_tracing.patterns import Pattern

__all__ = ["Level", "read_tracestate"]

Level = Literal[1, 2]

_MAX_MEMBERS, _MAX_LENGTH, _LARGE = 32, 512, 128

_VALUE = r"[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]"
_KEYS = {
    1: r"(?:[a-z][_0-9a-z\-*/]{0,255}|[0-9a-z][_0-9a-z\-*/]{0,240}@[a-z][_0-9a-z\-*/]{0,13})",
    2: r"[a-z0-9][_0-9a-z\-*/@]{0,255}",
}
_MEMBER = {level: Pattern(f"({key})={_VALUE}") for level, key in _KEYS.items()}
# The longest list that is valid, with room for white space: anything longer is dropped without being looked at.
_LONGEST = 2 * _MAX_MEMBERS * (256 + 1 + 256 + 1)


def read_tracestate(header: str, level: Level) -> str | None:
    """Return the list as it is to be sent on, without empty members and optional white space; None if it is malformed.

    One bad member, a key that repeats, or a 33rd member spoil the whole list: which entries another vendor would believe is not for us to
    guess. A valid list beyond 512 characters is cut by whole members, as the specification says: first those larger than 128
    characters, then from the end.
    """
    if len(header) > _LONGEST:
        return None
    members: list[str] = []
    keys: set[str] = set()
    for part in header.split(","):
        member = part.strip(" \t")
        if not member:
            continue  # empty members, and an empty header (Envoy's OpenTelemetry provider sends one), are valid
        match = _MEMBER[level].fullmatch(member)
        if match is None or match[1] in keys or len(members) == _MAX_MEMBERS:
            return None
        keys.add(match[1])
        members.append(member)
    return ",".join(_cut(members))


def _cut(members: list[str]) -> list[str]:
    length = sum(map(len, members)) + len(members) - 1
    for smallest in (_LARGE + 1, 0):
        for index in reversed(range(len(members))):
            if length <= _MAX_LENGTH:
                return members
            if len(members[index]) >= smallest:
                length -= len(members[index]) + 1
                del members[index]
    return members
