"""How the embedded store lays logs out in a table: one column a field, typed as the index says, and a JSON object for what is left.

Every field gets a column when it first comes, indexed or not, up to a number that a hostile writer cannot exceed; fields beyond it share
the JSON object ``rest``. (Measured with 200,000 spans: a condition on one tag inside JSON reads all of it, 35 ms; a column
of its own, 4 ms, and the file is smaller, since a column of few distinct values compresses to almost nothing.)

A value moves to its column only if the column gives the very same text back: ``"007"`` under a ``long`` index stays in ``rest``, and the column
holds NULL. Physical columns are numbered and never dropped: names of fields may differ in case only or be anything at all, and
what was written under an older index must still be read. A field whose type changes gets a new column, so the change holds for
new logs only, as on the real service.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

from sls_tracing.log_service.logstore import LogGroup, LogServiceError
from sls_tracing.log_service.query.matching import SEPARATOR, Matcher
from sls_tracing.log_service.query.quoting import sql_value

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from sls_tracing.log_service.index import Index

__all__ = ["BASE_COLUMNS", "SQL_TYPES", "Column", "Layout"]

BASE_COLUMNS = "time BIGINT NOT NULL, time_ns INTEGER, topic VARCHAR, source VARCHAR, rest VARCHAR"
SQL_TYPES = {"text": "VARCHAR", "long": "BIGINT", "double": "DOUBLE"}

MAX_COLUMNS = 256
"""Columns that fields get on their own account; those of the index come on top."""

_SURELY_ALL = MAX_COLUMNS // 2
"""As long as there are fewer columns, no field ever had to do without one: what has none is in no log."""

TAG = "__tag__:"

_BASE = ["time", "time_ns", "topic", "source", "rest"]
_RESERVED = {"__time__": "time", "__topic__": "topic", "__source__": "source"}
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_MAX_LONG = 2**63 - 1
_LONGEST_LONG = len(str(-_MAX_LONG))
_NOTHING = "{}"


class Column(NamedTuple):
    """A physical column and the field that it holds; ``type`` is a key of ``SQL_TYPES``."""

    name: str
    field: str
    type: str


class Layout:
    """All columns of a table, and the index that says what they mean. Immutable: a reader keeps the one that it began with."""

    def __init__(self, columns: Sequence[Column], index: Index) -> None:
        self.columns = tuple(columns)
        self.index = index
        self._newest = {column.field: column for column in self.columns}
        self.select = ", ".join((*_BASE, *(column.name for column in self.columns)))

    @property
    def fields(self) -> frozenset[str]:
        """All fields that have a column."""
        return frozenset(self._newest)

    def missing(self, index: Index, fields: Collection[str] = ()) -> list[Column]:
        """Return the columns to add before logs with ``fields`` can be stored under ``index``."""
        wanted = {field: _stored_type(key.type) for field, key in index.keys.items()}
        for field in sorted(fields):
            if field not in wanted and len(self.columns) + len(wanted) < MAX_COLUMNS:
                wanted[field] = "text"
        missing = [(field, kind) for field, kind in wanted.items() if not self._has(field, kind)]
        return [Column(f"k{len(self.columns) + n}", field, kind) for n, (field, kind) in enumerate(missing)]

    def _has(self, field: str, kind: str) -> bool:
        column = self._newest.get(field)
        return column is not None and column.type == kind

    def rows(self, group: LogGroup, fields: Collection[str]) -> tuple[list[str], list[tuple[object, ...]]]:
        """Return the names of the columns that the group fills, and its logs as rows of them."""
        filled = [column for field in fields if (column := self._column(field)) is not None]
        texts = [column for column in filled if column.type == "text"]
        longs = [column for column in filled if column.type == "long"]
        doubles = [column for column in filled if column.type == "double"]
        text_fields = [column.field for column in texts]
        tags = [(TAG + key, value) for key, value in group.tags]
        topic, source = group.topic, group.source
        rows: list[tuple[object, ...]] = []
        for log in group.logs:
            rest = dict(log.contents)  # of a key that comes twice the last value stays
            if tags:
                rest.update(tags)
            values: list[object] = [rest.pop(field, None) for field in text_fields]
            values += [_take_long(rest, column.field) for column in longs]
            values += [_double(rest.get(column.field)) for column in doubles]
            rows.append((log.time, log.time_ns, topic, source, _encode(rest) if rest else _NOTHING, *values))
        return [*_BASE, *(column.name for column in (*texts, *longs, *doubles))], rows

    def log(self, row: Sequence[object]) -> dict[str, str]:
        """Return a stored row as the flat text map of a search's answer."""
        time, time_ns, topic, source, rest, *values = row
        contents: dict[str, str] = {
            column.field: str(value)
            for column, value in zip(self.columns, values, strict=True)
            if value is not None and column.type != "double"  # a double's own text is in the rest
        }
        if rest != _NOTHING:
            contents.update(json.loads(str(rest)))
        contents |= {"__time__": str(time), "__topic__": str(topic), "__source__": str(source)}
        if time_ns is not None:
            contents["__time_ns_part__"] = str(time_ns)
        return contents

    def field(self, name: str) -> Matcher:
        """See :class:`~sls_tracing.log_service.query.matching.Fields`."""
        key = self.index.find(name)
        if key is not None:
            return Matcher(self._expression(name), key.tokens, key.case_sensitive, key.type in ("long", "double"))
        if name in _RESERVED:
            return Matcher(_RESERVED[name], numeric=name == "__time__")
        if name.startswith(TAG) or self.index.any_key:
            return Matcher(self._expression(name))
        message = f"key ({name}) is not config as key value config; add it to the index (if it is part of the text, put that in quotes)"
        raise LogServiceError("ParameterInvalid", message)

    def full_text(self) -> list[Matcher]:
        """See :class:`~sls_tracing.log_service.query.matching.Fields`: names and values alike."""
        if self.index.line is None:
            raise LogServiceError(
                "ParameterInvalid", "full-text search needs a full-text index; name a field: name: value"
            )
        separator = sql_value(SEPARATOR)
        rest = [
            f"array_to_string({each}, {separator})" for each in ("json_keys(rest)", "json_extract_string(rest, '$.*')")
        ]
        expressions = [
            "topic",
            "source",
            f"CASE WHEN rest <> '{_NOTHING}' THEN concat_ws({separator}, {', '.join(rest)}) END",
        ]
        expressions += [column.name for column in self.columns if column.type == "text"]
        expressions += [
            f"CASE WHEN {column.name} IS NOT NULL THEN {sql_value(column.field)} END" for column in self.columns
        ]
        numbers = [column.name for column in self.columns if column.type != "text"]
        tokens, case_sensitive = self.index.line, self.index.line_case_sensitive
        return [
            *(Matcher(expression, tokens, case_sensitive) for expression in expressions),
            *(Matcher(number, numeric=True) for number in numbers),
        ]

    def names(self) -> list[str]:
        """See :class:`~sls_tracing.log_service.query.analysis.Columns`."""
        return [*_RESERVED, *(field for field, key in self.index.keys.items() if key.doc_value)]

    def column(self, name: str) -> str | None:
        """See :class:`~sls_tracing.log_service.query.analysis.Columns`."""
        key = self.index.find(name)
        if key is not None:
            return self._expression(name) if key.doc_value else None
        if name in _RESERVED:
            return _RESERVED[name]
        return self._expression(name) if self.index.any_key or name.startswith(TAG) else None

    def is_long(self, name: str) -> bool:
        """See :class:`~sls_tracing.log_service.query.analysis.Columns`."""
        key = self.index.find(name)
        return name == "__time__" or (key is not None and key.type == "long")

    def _column(self, field: str) -> Column | None:
        """Return the column that new values of a field go to, None for the rest."""
        key = self.index.keys.get(field)
        kind = "text" if key is None else _stored_type(key.type)
        return self._newest[field] if self._has(field, kind) else None

    def _expression(self, field: str) -> str:
        column = self._column(field)
        if column is not None:
            return column.name
        if (within := self._within_json(field)) is not None:
            return within
        if len(self.columns) < _SURELY_ALL:
            return "CAST(NULL AS VARCHAR)"
        return f"json_extract_string(rest, {sql_value(_path(field))})"

    def _within_json(self, field: str) -> str | None:
        """Return the value of ``a.b`` in the JSON of ``a``, as the index has it or, if any key will do, as the logs have it."""
        named = self.index.json_of(field)
        if named is None and self.index.any_key:
            parts = field.split(".")
            heads = (".".join(parts[:n]) for n in range(len(parts) - 1, 0, -1))
            head = next((each for each in heads if each in self._newest), None)
            named = (head, field[len(head) + 1 :]) if head is not None else None
        column = self._column(named[0]) if named is not None else None
        if named is None or column is None:
            return None
        paths = [_path(named[1])]
        if "." in named[1]:
            paths.append("$" + "".join("." + _quoted(part) for part in named[1].split(".")))
        values = [f"json_extract_string({column.name}, {sql_value(path)})" for path in paths]
        value = values[0] if len(values) == 1 else f"coalesce({', '.join(values)})"
        found = self.index.find(field)
        kind = SQL_TYPES[_stored_type(found.type)] if found is not None else "VARCHAR"
        text = f"CASE WHEN json_valid({column.name}) THEN {value} END"
        return text if kind == "VARCHAR" else f"TRY_CAST({text} AS {kind})"


def _quoted(key: str) -> str:
    return '"' + key.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _path(key: str) -> str:
    return "$." + _quoted(key)


def _stored_type(index_type: str) -> str:
    return index_type if index_type in SQL_TYPES else "text"  # json is kept as its text


def _take_long(rest: dict[str, str], field: str) -> int | None:
    text = rest.get(field)
    if text is None or len(text) > _LONGEST_LONG:
        return None
    try:
        number = int(text)
    except ValueError:
        return None
    if str(number) != text or abs(number) > _MAX_LONG:  # "007", " 7", "7_0" and other digits than ASCII's are text
        return None
    del rest[field]
    return number


def _double(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return None
