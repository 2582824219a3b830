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
    """How one field is indexed. Text with no ``tokens`` is one word as a whole."""

    type: FieldType = "text"
    tokens: Sequence[str] = ()
    case_sensitive: bool = False
    doc_value: bool = True
    alias: str = ""
    chinese: bool = False


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
        return self.any_key or field in self.keys

    def merged(self, other: Index) -> Index:
        """Return this index plus the fields of ``other`` that it lacks; nothing that is here changes."""
        return self._replace(keys={**other.keys, **self.keys})

    def to_json(self) -> dict[str, Any]:
        """Return the service's JSON form."""
        keys: dict[str, Any] = {}
        for name, field in self.keys.items():
            keys[name] = {"type": field.type, "doc_value": field.doc_value, "alias": field.alias}
            if field.type in ("text", "json"):
                keys[name] |= {
                    "token": list(field.tokens),
                    "caseSensitive": field.case_sensitive,
                    "chn": field.chinese,
                }
        form: dict[str, Any] = {"keys": keys}
        if self.line is not None:
            form["line"] = {"token": list(self.line), "caseSensitive": self.line_case_sensitive, "chn": False}
        if self.any_key:
            form["any_key"] = True
        return form

    @classmethod
    def from_json(cls, form: Mapping[str, Any]) -> Index:
        """Read the service's JSON form; members that are unknown here are ignored."""
        keys = {
            name: FieldIndex(
                type=field["type"],
                tokens=tuple(field.get("token") or ()),
                case_sensitive=bool(field.get("caseSensitive", False)),
                doc_value=bool(field.get("doc_value", False)),
                alias=field.get("alias") or "",
                chinese=bool(field.get("chn", False)),
            )
            for name, field in (form.get("keys") or {}).items()
        }
        line = form.get("line")
        return cls(
            keys=keys,
            line=None if line is None else tuple(line.get("token") or ()),
            line_case_sensitive=bool(line and line.get("caseSensitive", False)),
            any_key=bool(form.get("any_key", False)),
        )
