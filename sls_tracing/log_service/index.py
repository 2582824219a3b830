"""The index of a logstore: which fields can be searched and analysed, as what type, and how text splits into words.

The JSON form is the service's own (``POST /logstores/{name}/index``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["TOKENS", "FieldIndex", "FieldType", "Index"]

FieldType: TypeAlias = Literal["text", "long", "double", "json"]

TOKENS: Sequence[str] = (*", '\";=()[]{}?@&<>/:", "\n", "\t", "\r")
"""The 22 characters that part words unless an index says otherwise."""


class FieldIndex(NamedTuple):
    """How one field is indexed. Text with no ``tokens`` is one word as a whole.

    ``index_all`` is of JSON: everything in it can be searched under ``field.key``, as text, down to ``max_depth`` levels (-1: all). ``json_keys``
    are those that have a type of their own, or that alone can be analysed on the real service.
    """

    type: FieldType = "text"
    tokens: Sequence[str] = ()
    case_sensitive: bool = False
    doc_value: bool = True
    alias: str = ""
    chinese: bool = False
    index_all: bool = False
    max_depth: int = -1
    json_keys: Mapping[str, FieldIndex] = {}


class Index(NamedTuple):
    """All field indexes, and the full-text one: its word separators, None for no full-text search.

    ``any_key`` is the embedded store's own: a field that is not listed can be searched and analysed all the same, as text, whole.
    That costs a scan and no index; the real service refuses such a field.
    """

    keys: Mapping[str, FieldIndex]
    line: Sequence[str] | None = TOKENS
    line_case_sensitive: bool = False
    any_key: bool = False

    def can_search(self, field: str) -> bool:
        """Whether a query may name ``field``."""
        return self.any_key or self.find(field) is not None

    def find(self, field: str) -> FieldIndex | None:
        """Return how a field is indexed, None if it is not. That of ``a.b`` may be within the JSON of ``a``."""
        if field in self.keys:
            return self.keys[field]
        within = self.json_of(field)
        if within is None:
            return None
        parent, key = within
        json_field = self.keys[parent]
        if key in json_field.json_keys:
            return json_field.json_keys[key]
        return FieldIndex(
            tokens=json_field.tokens, case_sensitive=json_field.case_sensitive, chinese=json_field.chinese
        )

    def json_of(self, field: str) -> tuple[str, str] | None:
        """Return the JSON field that ``field`` is within, and the rest of its name; None if it is in none."""
        parts = field.split(".")
        for n in range(len(parts) - 1, 0, -1):
            parent, key = ".".join(parts[:n]), ".".join(parts[n:])
            found = self.keys.get(parent)
            if found is not None and found.type == "json" and (found.index_all or key in found.json_keys):
                return parent, key
        return None

    def merged(self, other: Index) -> Index:
        """Return this index plus the fields of ``other`` that it lacks; nothing that is here changes."""
        return self._replace(keys={**other.keys, **self.keys})

    def to_json(self) -> dict[str, Any]:
        """Return the service's JSON form."""
        form: dict[str, Any] = {"keys": {name: _field_json(field) for name, field in self.keys.items()}}
        if self.line is not None:
            form["line"] = {"token": list(self.line), "caseSensitive": self.line_case_sensitive, "chn": False}
        if self.any_key:
            form["any_key"] = True
        return form

    @classmethod
    def from_json(cls, form: Mapping[str, Any]) -> Index:
        """Read the service's JSON form; members that are unknown here are ignored."""
        keys = {name: _read_field(field) for name, field in (form.get("keys") or {}).items()}
        line = form.get("line")
        return cls(
            keys=keys,
            line=None if line is None else tuple(line.get("token") or ()),
            line_case_sensitive=bool(line and line.get("caseSensitive", False)),
            any_key=bool(form.get("any_key", False)),
        )


def _field_json(field: FieldIndex) -> dict[str, Any]:
    form: dict[str, Any] = {"type": field.type, "doc_value": field.doc_value, "alias": field.alias}
    if field.type in ("text", "json"):
        form |= {"token": list(field.tokens), "caseSensitive": field.case_sensitive, "chn": field.chinese}
    if field.type == "json":
        json_keys = {name: _field_json(each) for name, each in field.json_keys.items()}
        form |= {"index_all": field.index_all, "max_depth": field.max_depth, "json_keys": json_keys}
    return form


def _read_field(form: Mapping[str, Any]) -> FieldIndex:
    return FieldIndex(
        type=form["type"],
        tokens=tuple(form.get("token") or ()),
        case_sensitive=bool(form.get("caseSensitive", False)),
        doc_value=bool(form.get("doc_value", False)),
        alias=form.get("alias") or "",
        chinese=bool(form.get("chn", False)),
        index_all=bool(form.get("index_all", False)),
        max_depth=int(form.get("max_depth", -1)),
        json_keys={name: _read_field(each) for name, each in (form.get("json_keys") or {}).items()},
    )
