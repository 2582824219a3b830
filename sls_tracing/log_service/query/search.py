r"""The search part of a query: text to a tree.

    or_expression   = and_expression {"or" and_expression}
    and_expression  = negation {["and"] negation}           neighbours mean "and"
    negation        = "not" negation | "(" or_expression ")" | condition
    condition       = name ":" value | name operator number | name "in" ("[" | "(") number number ("]" | ")")
                    | name ":" "*" | "*" | value            the last is full text

From tightest to loosest: ``:``, quotes, parentheses, and/not, or (Log Service documentation, "Search syntax"). Keywords in any case.
``*`` and ``?`` are wildcards in a bare word, never at its start; inside quotes they are text. A backslash escapes ``"`` and ``\``
inside quotes. ``#"…"``, the service's later spelling of a phrase, reads as ``"…"``.
"""

from __future__ import annotations

import re
from typing import NamedTuple, NoReturn, TypeAlias

from sls_tracing.log_service.logstore import LogServiceError
from sls_tracing.log_service.query.quoting import search_value

__all__ = [
    "And",
    "Compare",
    "Everything",
    "Exists",
    "Field",
    "FullText",
    "Node",
    "Not",
    "Or",
    "Range",
    "Value",
    "parse_search",
    "render",
]

MAX_TERMS = 30
"""Conditions in one search (a limit of the service)."""

_MAX_DEPTH = 60  # parentheses and "not" in one another; far beyond 30 terms, far below Python's recursion limit

_WORD = re.compile(r"""[^\s"():<>=|]+""")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_OPERATOR = re.compile(r">=|<=|>|<|=")
_NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?")
_TEXT = re.compile(r"\S")
_KEYWORDS = frozenset(("and", "or", "not", "in"))
_TAG_PREFIX = "__tag__"


class Value(NamedTuple):
    """Text to look for; in a bare word that has them, ``*`` and ``?`` are ``wildcards``."""

    text: str
    wildcards: bool = False


class Everything(NamedTuple):
    """``*`` alone: every log."""


class FullText(NamedTuple):
    """A word or phrase anywhere in the log, in names or values."""

    value: Value


class Field(NamedTuple):
    """A field that contains a word or phrase, or equals it where the index knows no words."""

    name: str
    value: Value
    position: int = 0


class Exists(NamedTuple):
    """``name: *``: the log has the field."""

    name: str
    position: int = 0


class Compare(NamedTuple):
    """A numeric comparison. ``number`` is kept as written, so that no digit of a long is lost."""

    name: str
    operator: str
    number: str
    position: int = 0


class Range(NamedTuple):
    """``name in [low high]``; a round bracket leaves its end out."""

    name: str
    low: str
    high: str
    includes_low: bool = True
    includes_high: bool = True
    position: int = 0


class Not(NamedTuple):
    """Whatever ``node`` does not match."""

    node: Node


class And(NamedTuple):
    """All of ``nodes``."""

    nodes: tuple[Node, ...]


class Or(NamedTuple):
    """Any of ``nodes``."""

    nodes: tuple[Node, ...]


Node: TypeAlias = "Everything | FullText | Field | Exists | Compare | Range | Not | And | Or"


def parse_search(text: str) -> Node:
    """Return the tree of a search; an empty one finds everything.

    :raises LogServiceError: ``ParameterInvalid``, with the column at which reading stopped.
    """
    return _Parser(text).parse()


def render(node: Node) -> str:
    """Return the text of a tree: read again, it gives the same tree."""
    match node:
        case Everything():
            return "*"
        case FullText(value):
            return _value_text(value)
        case Field(name, value):
            return f"{_name_text(name)}: {_value_text(value)}"
        case Exists(name):
            return f"{_name_text(name)}: *"
        case Compare(name, operator, number):
            return f"{_name_text(name)} {operator} {number}"
        case Range(name, low, high, includes_low, includes_high):
            return f"{_name_text(name)} in {'[' if includes_low else '('}{low} {high}{']' if includes_high else ')'}"
        case Not(inner):
            return f"not {_nested(inner)}"
        case And(nodes):
            return " and ".join(map(_nested, nodes)) or "*"
        case Or(nodes):
            return " or ".join(map(_nested, nodes))


def _nested(node: Node) -> str:
    return f"({render(node)})" if isinstance(node, (And, Or)) and len(node.nodes) > 1 else render(node)


def _value_text(value: Value) -> str:
    return value.text if value.wildcards else search_value(value.text)


def _name_text(name: str) -> str:
    if name.startswith(_TAG_PREFIX + ":"):
        return f"{_TAG_PREFIX}:{_name_text(name[len(_TAG_PREFIX) + 1 :])}"
    plain = _WORD.fullmatch(name) and name.lower() not in _KEYWORDS and not any(each in name for each in "*?")
    return name if plain else search_value(name)


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0
        self.terms = 0
        self._skip_space()

    def parse(self) -> Node:
        if self._at_end():
            return Everything()
        node = self._or_expression(0)
        if not self._at_end():
            self._fail("unexpected text")
        return node

    def _or_expression(self, depth: int) -> Node:
        nodes = [self._and_expression(depth)]
        while self._accept_keyword("or"):
            nodes.append(self._and_expression(depth))
        return nodes[0] if len(nodes) == 1 else Or(tuple(nodes))

    def _and_expression(self, depth: int) -> Node:
        nodes = [self._negation(depth)]
        while not self._at_end() and self._next() != ")" and self._keyword() != "or":
            self._accept_keyword("and")
            nodes.append(self._negation(depth))
        return nodes[0] if len(nodes) == 1 else And(tuple(nodes))

    def _negation(self, depth: int) -> Node:
        if depth > _MAX_DEPTH:
            self._fail("parentheses and 'not' are nested too deep")
        if self._accept_keyword("not"):
            return Not(self._negation(depth + 1))
        opening = self.position
        if self._accept("("):
            node = self._or_expression(depth + 1)
            if not self._accept(")"):
                self._fail("no closing parenthesis for this one", opening)
            return node
        return self._condition()

    def _condition(self) -> Node:
        self.terms += 1
        if self.terms > MAX_TERMS:
            self._fail(f"more than {MAX_TERMS} conditions")
        start = self.position
        if self._keyword() is not None:
            self._fail(f"{self._keyword()!r} is an operator here; put it in double quotes to look for the word")
        value = self._value()
        if self._next() == ":":
            return self._field(value, start)
        operator = _OPERATOR.match(self.text, self.position)
        if operator is not None:
            self._move_to(operator.end())
            return Compare(value.text, operator[0], self._number(), start)
        if self._keyword() == "in":
            self._accept_keyword("in")
            return self._range(value.text, start)
        if value == Value("*", wildcards=True):
            return Everything()
        self._check_wildcards(value, start)
        return FullText(value)

    def _field(self, name: Value, start: int) -> Node:
        self._accept(":")
        where = self.position
        value = self._value()
        text = name.text
        if (
            text == _TAG_PREFIX and self._next() == ":"
        ):  # __tag__:key:value, the one name with a colon that needs no quotes
            self._accept(":")
            text = f"{_TAG_PREFIX}:{value.text}"
            where = self.position
            value = self._value()
        if value == Value("*", wildcards=True):
            return Exists(text, start)
        self._check_wildcards(value, where)
        return Field(text, value, start)

    def _range(self, name: str, start: int) -> Node:
        opening = self._next()
        if opening not in ("[", "("):
            self._fail("'in' takes a range such as [100 200] or (100 200]")
        self._move_to(self.position + 1)
        low = self._number()
        high = self._number()
        closing = self._next()
        if closing not in ("]", ")"):
            self._fail("a range ends with ] or )")
        self._move_to(self.position + 1)
        return Range(name, low, high, opening == "[", closing == "]", start)

    def _value(self) -> Value:
        if self.text.startswith('#"', self.position):
            self.position += 1
        if self._next() == '"':
            quoted = _QUOTED.match(self.text, self.position)
            if quoted is None:
                self._fail("no closing double quote for this one")
            self._move_to(quoted.end())
            return Value(re.sub(r"\\(.)", r"\1", quoted[1], flags=re.DOTALL))
        word = _WORD.match(self.text, self.position)
        if word is None:
            self._fail(
                "expected a word, a phrase in double quotes or a field" if not self._at_end() else "text is missing"
            )
        self._move_to(word.end())
        return Value(word[0], wildcards="*" in word[0] or "?" in word[0])

    def _number(self) -> str:
        number = _NUMBER.match(self.text, self.position)
        if number is None:
            self._fail("expected a number")
        self._move_to(number.end())
        return number[0]

    def _check_wildcards(self, value: Value, position: int) -> None:
        if value.wildcards and value.text[0] in "*?":
            self._fail("a word cannot begin with a wildcard", position)

    def _keyword(self) -> str | None:
        word = _WORD.match(self.text, self.position)
        if word is None or word[0].lower() not in _KEYWORDS:
            return None
        after = self._after_space(word.end())
        is_name = self.text[after : after + 1] in (":", ">", "<", "=") and self.text[after : after + 1] != ""
        return None if is_name else word[0].lower()  # `in: x` names a field

    def _accept_keyword(self, keyword: str) -> bool:
        if self._keyword() != keyword:
            return False
        self._move_to(self.position + len(keyword))
        return True

    def _accept(self, character: str) -> bool:
        if self._next() != character:
            return False
        self._move_to(self.position + 1)
        return True

    def _next(self) -> str:
        return self.text[self.position : self.position + 1]

    def _at_end(self) -> bool:
        return self.position >= len(self.text)

    def _move_to(self, position: int) -> None:
        self.position = position
        self._skip_space()

    def _skip_space(self) -> None:
        self.position = self._after_space(self.position)

    def _after_space(self, position: int) -> int:
        text = _TEXT.search(self.text, position)
        return len(self.text) if text is None else text.start()

    def _fail(self, message: str, position: int | None = None) -> NoReturn:
        at = self.position if position is None else position
        excerpt = self.text[at : at + 20] or "the end"
        raise LogServiceError("ParameterInvalid", f"search syntax, column {at + 1} (at {excerpt!r}): {message}")
