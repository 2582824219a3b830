"""How the embedded store lays logs out in a table: one typed column for each indexed field, the rest as one JSON object.

A value leaves the JSON object only if its column gives the very same text back: ``"007"`` under a ``long`` index stays where it is,
and the column holds NULL. Physical columns are numbered and never dropped: names of fields may differ in case only or be anything
at all, and what was written under an older index must still be read. An index field that changes its type gets a new column, so
the change holds for new logs only, as on the real service.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, NamedTuple

from sls_tracing.log_service.logstore import Log, LogGroup, LogServiceError
from sls_tracing.log_service.query.matching import SEPARATOR, Matcher
from sls_tracing.log_service.query.quoting import sql_value

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sls_tracing.log_service.index import Index

__all__ = ["BASE_COLUMNS", "Column", "Layout"]

BASE_COLUMNS = "time BIGINT NOT NULL, time_ns INTEGER, topic VARCHAR, source VARCHAR, rest VARCHAR"
SQL_TYPES = {"text": "VARCHAR", "long": "BIGINT", "double": "DOUBLE"}

_RESERVED = {"__time__": "time", "__topic__": "topic", "__source__": "source"}
_TAG = "__tag__:"
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_LONG = re.compile(r"-?[1-9][0-9]{0,18}|0")
_MAX_LONG = 2**63 - 1


class Column(NamedTuple):
    """A physical column and the field that it holds; ``type`` is a key of ``SQL_TYPES``."""

    name: str
    field: str
    type: str


class Layout:
    """All columns of a table, and the index that says which of them new logs fill. Immutable: readers keep the one they began with."""

    def __init__(self, columns: Sequence[Column], index: Index) -> None:
        self.columns = tuple(columns)
        self.index = index
        newest = {column.field: column for column in self.columns}
        self._active = {
            field: newest[field]
            for field, key in index.keys.items()
            if field in newest and newest[field].type == _stored_type(key.type)
        }
        self._filled = [(column, column in self._active.values()) for column in self.columns]
        self.select = ", ".join(("time", "time_ns", "topic", "source", "rest", *(c.name for c in self.columns)))

    def missing(self, index: Index) -> list[Column]:
        """Return the columns that must be added to the table before ``index`` can hold."""
        newest = {column.field: column.type for column in self.columns}
        wanted = [(field, _stored_type(key.type)) for field, key in index.keys.items()]
        new = [(field, kind) for field, kind in wanted if newest.get(field) != kind]
        return [Column(f"k{len(self.columns) + n}", field, kind) for n, (field, kind) in enumerate(new)]

    def rows(self, group: LogGroup) -> list[tuple[object, ...]]:
        """Return the group's logs as rows, in the order of ``select``."""
        tags = [(_TAG + key, value) for key, value in group.tags]
        return [self._row(log, group, tags) for log in group.logs]

    def _row(self, log: Log, group: LogGroup, tags: Sequence[tuple[str, str]]) -> tuple[object, ...]:
        rest = dict(log.contents)  # of a key that comes twice the last value stays
        if tags:
            rest.update(tags)
        values: list[object] = []
        for (_, field, kind), filled in self._filled:
            if not filled or field not in rest:
                values.append(None)
            elif kind == "text":
                values.append(rest.pop(field))
            elif kind == "long":
                values.append(_take_long(rest, field))
            else:
                values.append(_double(rest[field]))
        return (log.time, log.time_ns, group.topic, group.source, _encode(rest), *values)

    def log(self, row: Sequence[object]) -> dict[str, str]:
        """Return a stored row as the flat text map of a search's answer."""
        time, time_ns, topic, source, rest, *values = row
        contents: dict[str, str] = {
            column.field: str(value)
            for column, value in zip(self.columns, values, strict=True)
            if value is not None and column.type != "double"  # a double's own text is in the rest
        }
        if rest != "{}":
            contents.update(json.loads(str(rest)))
        contents |= {"__time__": str(time), "__topic__": str(topic), "__source__": str(source)}
        if time_ns is not None:
            contents["__time_ns_part__"] = str(time_ns)
        return contents

    def field(self, name: str) -> Matcher:
        """See :class:`~sls_tracing.log_service.query.matching.Fields`."""
        column = self._active.get(name)
        if column is not None:
            key = self.index.keys[name]
            return Matcher(column.name, key.tokens, key.case_sensitive, column.type != "text")
        if name in _RESERVED:
            return Matcher(_RESERVED[name], numeric=name == "__time__")
        if name.startswith(_TAG) or self.index.any_key:
            return Matcher(_json_field(name))
        message = f"key ({name}) is not config as key value config; add it to the index (if it is part of the text, put that in quotes)"
        raise LogServiceError("ParameterInvalid", message)

    def full_text(self) -> Matcher:
        """See :class:`~sls_tracing.log_service.query.matching.Fields`: names and values alike, each apart from the next."""
        if self.index.line is None:
            raise LogServiceError(
                "ParameterInvalid", "full-text search needs a full-text index; name a field: name: value"
            )
        separator = sql_value(SEPARATOR)
        parts = [
            f"CASE WHEN {c.name} IS NOT NULL THEN concat({sql_value(c.field)}, {separator}, {c.name}) END"
            for c in self.columns
            if c.type != "double"
        ]
        parts += [
            f"array_to_string({each}, {separator})" for each in ("json_keys(rest)", "json_extract_string(rest, '$.*')")
        ]
        whole = f"concat_ws({separator}, topic, source, {', '.join(parts)})"
        return Matcher(whole, self.index.line, self.index.line_case_sensitive)

    def names(self) -> list[str]:
        """See :class:`~sls_tracing.log_service.query.analysis.Columns`."""
        return [*_RESERVED, *(field for field in self._active if self.index.keys[field].doc_value)]

    def column(self, name: str) -> str | None:
        """See :class:`~sls_tracing.log_service.query.analysis.Columns`."""
        if name in self._active:
            return self._active[name].name if self.index.keys[name].doc_value else None
        if name in _RESERVED:
            return _RESERVED[name]
        return _json_field(name) if self.index.any_key or name.startswith(_TAG) else None


def _stored_type(index_type: str) -> str:
    return index_type if index_type in SQL_TYPES else "text"  # json is kept as its text


def _json_field(name: str) -> str:
    path = '$."' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return f"json_extract_string(rest, {sql_value(path)})"


def _take_long(rest: dict[str, str], field: str) -> int | None:
    text = rest[field]
    if not _LONG.fullmatch(text) or abs(int(text)) > _MAX_LONG:
        return None
    del rest[field]
    return int(text)


def _double(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
