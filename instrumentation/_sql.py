r"""What a span shows of an SQL statement: its shape, never its values.

A statement written with placeholders holds none. One that was put together with values in it has them replaced by ``?``: quoted text, numbers,
dollar-quoted text. Comments go too, since tools write ids and hints of their own into them. What remains is cut to a length.

How text is quoted depends on the server. MySQL takes a backslash as an escape and double quotes as quotes; the standard takes neither (``'C:\'``
is a whole text, ``"users"`` a name), and reading one as the other would show the next value.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

__all__ = ["LONGEST", "SQL", "describe_sql"]

LONGEST = 2_000
"""Characters of a statement that are kept."""
_READ = 4 * LONGEST
"""Characters that are looked at: what follows could only be cut, and a bulk insert may have megabytes."""

_NUMBER = r"(?<![\w$:@?.%])(?:0[xX][0-9A-Fa-f]+|(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)(?!\w)"
_COMMENT = r"/\*.*?(?:\*/|\Z)|--[^\n]*"
_STANDARD = re.compile(
    r"(?P<comment>" + _COMMENT + r")"
    r"|(?P<name>\"[^\"]*\")"
    r"|[eE]'(?:[^'\\]|''|\\.)*(?:'|\Z)|'(?:[^']|'')*(?:'|\Z)"
    r"|\$(?P<tag>[A-Za-z_]*)\$.*?(?:\$(?P=tag)\$|\Z)|" + _NUMBER,
    re.DOTALL,
)
_MYSQL = re.compile(
    r"(?P<comment>" + _COMMENT + r"|\#[^\n]*)"
    r"|(?P<name>`[^`]*`)"
    r"|'(?:[^'\\]|''|\\.)*(?:'|\Z)|\"(?:[^\"\\]|\"\"|\\.)*(?:\"|\Z)|" + _NUMBER,
    re.DOTALL,
)
_SPACE = re.compile(r"\s+")
_VERB = re.compile(r"[\s(;]*([A-Za-z]+)")
_VERBS = frozenset(
    """
    ALTER ANALYZE ATTACH BEGIN CALL CHECKPOINT CLOSE COMMENT COMMIT COPY CREATE DEALLOCATE DECLARE DELETE DESCRIBE DETACH DISCARD DO DROP
    END EXECUTE EXPLAIN FETCH GRANT HANDLER IMPORT INSERT KILL LISTEN LOAD LOCK MERGE MOVE NOTIFY OPTIMIZE PRAGMA PREPARE REFRESH REINDEX RELEASE
    RENAME REPLACE RESET REVOKE ROLLBACK SAVEPOINT SELECT SET SHOW START TABLE TRUNCATE UNLISTEN UNLOCK UPDATE USE VACUUM VALUES WITH
    """.split()  # noqa: SIM905 - a list literal would take 60 lines
)
_NAME = r"((?:[\w$]+|\"[^\"]*\"|`[^`]*`|\[[^\]]*\])(?:\.(?:[\w$]+|\"[^\"]*\"|`[^`]*`|\[[^\]]*\]))*)"
_AFTER_FROM = re.compile(r"\bFROM\s+(?:ONLY\s+)?" + _NAME, re.IGNORECASE)
_AFTER_INTO = re.compile(r"\bINTO\s+(?:TABLE\s+)?" + _NAME, re.IGNORECASE)
_TARGETS = {
    "SELECT": _AFTER_FROM,
    "DELETE": _AFTER_FROM,
    "INSERT": _AFTER_INTO,
    "REPLACE": _AFTER_INTO,
    "MERGE": _AFTER_INTO,
    "UPDATE": re.compile(r"\bUPDATE\s+(?:OR\s+\w+\s+|LOW_PRIORITY\s+|IGNORE\s+|ONLY\s+)*" + _NAME, re.IGNORECASE),
    "CALL": re.compile(r"\bCALL\s+" + _NAME, re.IGNORECASE),
    "COPY": re.compile(r"\bCOPY\s+" + _NAME, re.IGNORECASE),
}
_QUOTES = str.maketrans("", "", '"`[]')


class SQL(NamedTuple):
    """A statement as a span shows it: ``SELECT orders`` as its name, and the text without values."""

    name: str
    text: str


def describe_sql(statement: str, *, mysql: bool = False) -> SQL:
    """Return the name and the text to show. Any text may come in; names stay few, for they hold a known word and a table at most."""
    return _describe(statement[:_READ], mysql)


@lru_cache(maxsize=512)  # a program has few statements, and taking one apart costs 10 to 50 µs
def _describe(statement: str, mysql: bool) -> SQL:
    text = (_MYSQL if mysql else _STANDARD).sub(_replacement, statement)
    text = _SPACE.sub(" ", text).strip()
    verb_match = _VERB.match(text)
    verb = verb_match[1].upper() if verb_match else ""
    if verb not in _VERBS:
        verb = "SQL"
    target = _TARGETS[verb].search(text) if verb in _TARGETS else None
    name = f"{verb} {target[1].translate(_QUOTES)[:100]}" if target else verb
    return SQL(name, text if len(text) <= LONGEST else text[: LONGEST - 1] + "…")


def _replacement(match: re.Match[str]) -> str:
    if match["name"] is not None:
        return match["name"]
    return " " if match["comment"] is not None else "?"
