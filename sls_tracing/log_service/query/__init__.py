"""The query language of Log Service: ``search | SQL``.

    quoting    values and names into query text, so that none breaks out of its quotes
    search     the search part, text to tree
    matching   that tree to a DuckDB condition
    analysis   the SQL part: Presto's dialect to DuckDB's, SELECT only

This module splits a query into its two parts.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Query", "split"]


class Query(NamedTuple):
    """A query in its parts. ``sql`` is None for a search alone; ``sql_offset`` is where it begins in the query's text."""

    search: str
    sql: str | None
    sql_offset: int = 0


def split(text: str) -> Query:
    """Split at the first ``|`` that stands outside double quotes; ``* |`` with nothing after it is a search."""
    quoted = escaped = False
    for position, character in enumerate(text):
        if escaped:
            escaped = False
        elif character == "\\":
            escaped = quoted
        elif character == '"':
            quoted = not quoted
        elif character == "|" and not quoted:
            sql = text[position + 1 :]
            return Query(text[:position], sql if sql.strip() else None, position + 1)
    return Query(text, None)
