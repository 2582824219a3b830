r"""Values and names as query text. Nothing else in this project may build a query from data.

The two parts of a query quote differently: a search puts values and names in double quotes and escapes with a backslash; SQL puts
values in single quotes and names in double ones, and doubles the quote inside.

    >>> search_value('say "a\\b"')
    '"say \\"a\\\\b\\""'
    >>> sql_value("it's")
    "'it''s'"
    >>> sql_name("process.serviceName")
    '"process.serviceName"'
"""

from __future__ import annotations

__all__ = ["search_name", "search_value", "sql_name", "sql_value"]


def search_value(value: str) -> str:
    """Return ``value`` as a quoted phrase of a search: no operator, wildcard or quote in it means anything."""
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def search_name(name: str) -> str:
    """Return a field name for a search, quoted as names with a colon or a space must be."""
    return search_value(name)


def sql_value(value: str) -> str:
    """Return ``value`` as an SQL text literal, for Presto and DuckDB alike (neither knows backslash escapes in plain literals)."""
    literal = "'" + value.replace("'", "''") + "'"
    if "\0" in literal:  # DuckDB before 2.0 (all that Python 3.10 gets) ends a literal there
        return "(" + literal.replace("\0", "'||chr(0)||'") + ")"
    return literal


def sql_name(name: str) -> str:
    """Return ``name`` as an SQL identifier, for Presto and DuckDB alike."""
    return '"' + name.replace('"', '""') + '"'
