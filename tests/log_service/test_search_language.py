"""The search part of a query (Log Service documentation, "Search syntax"), each rule a line of a table."""

from __future__ import annotations

import pytest

from sls_tracing.log_service.embedded import EmbeddedLogstore
from sls_tracing.log_service.index import TOKENS, FieldIndex, Index
from sls_tracing.log_service.logstore import END_OF_TIME, Log, LogGroup, LogServiceError
from sls_tracing.log_service.query import split
from sls_tracing.log_service.query.search import And, Field, FullText, Not, Or, Value, parse_search

INDEX = Index(
    {
        "name": FieldIndex(tokens=TOKENS),
        "Exact": FieldIndex(tokens=TOKENS, case_sensitive=True),
        "id": FieldIndex(),
        "size": FieldIndex("long"),
        "ratio": FieldIndex("double"),
        "tags.guid:x-request-id": FieldIndex(),
        "in": FieldIndex(),
    }
)
LOGS = {
    "1": {"name": "GET /api/v1/products", "id": "00AB", "size": "10", "ratio": "0.5"},
    "2": {"name": "products", "id": "ab", "size": "20", "Exact": "Case Matters"},
    "3": {"name": "POST /api/v1/orders?x=1", "id": "a b", "size": "-5", "free": 'say "big words" | now'},
    "4": {"name": "/", "id": "a*b", "tags.guid:x-request-id": "r:1", "in": "x"},
    "5": {"name": "ÄPFEL und Birnen", "size": "ten"},
}


@pytest.fixture(scope="module")
def logstore():
    logstore = EmbeddedLogstore(index=INDEX)
    for n, contents in LOGS.items():
        logstore.put_logs(LogGroup([Log(int(n), list(contents.items()))], topic=f"t{n}", tags=[("host", f"h{n}")]))
    yield logstore
    logstore.close()


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", "12345"),
        ("*", "12345"),
        # words and phrases
        ("name: products", "12"),
        ("name: PRODUCTS", "12"),
        ("name:product", ""),
        ('name: "api v1"', "13"),
        ('name: "v1 api"', ""),
        ('name: "GET /api/v1/products"', "1"),
        ('name: #"api v1"', "13"),
        ("name: äpfel", "5"),
        ('name: "/"', "134"),
        # no tokens: the whole value, case aside
        ("id: AB", "2"),
        ("id: 00ab", "1"),
        ("id: a", ""),
        ('id: "a b"', "3"),
        ("Exact: Matters", "2"),
        ("Exact: matters", ""),
        # wildcards
        ("name: prod*", "12"),
        ("name: p*s", "12"),
        ("name: product?", "12"),
        ("name: prod?", ""),
        ("id: a*b", "234"),
        ('id: "a*b"', "4"),
        ("id: ??", None),
        ("id: 0?ab", "1"),
        # existence
        ("size: *", "123"),
        ("not size: *", "45"),
        # numbers
        ("size > 10", "2"),
        ("size >= 10", "12"),
        ("size<0", "3"),
        ("size = 20", "2"),
        ("size: 20", "2"),
        ("size: -5", "3"),
        ("size in [10 20]", "12"),
        ("size in (10 20]", "2"),
        ("size in [10 20)", "1"),
        ("size in (10 20)", ""),
        ("ratio <= 0.5", "1"),
        ("ratio > 1e-3", "1"),
        ("not size > -1000000", "45"),
        # and, or, not, neighbours; and/not bind tighter than or
        ("name: products and size > 10", "2"),
        ("name: products size > 10", "2"),
        ("name: products AND size > 10", "2"),
        ("name: orders or name: products", "123"),
        ("size: 10 or size: 20 and name: orders", "1"),
        ("(size: 10 or size: 20) and name: products", "12"),
        ("name: products not size: 10", "2"),
        ("not name: products", "345"),
        ("not (size: 10 or size: 20)", "345"),
        ("not not size: 10", "1"),
        ("id: ab or id: 00ab or size: -5", "123"),
        # names
        ('"tags.guid:x-request-id": "r:1"', "4"),
        ('"name": products', "12"),
        ("in: x", "4"),
        ("__topic__: t3", "3"),
        ("__tag__:host: h2", "2"),
        ("__tag__:host:h2", "2"),
        ('"__tag__:host": h2', "2"),
        # full text: values and names, indexed or not
        ("products", "12"),
        ("words", "3"),
        ('"big words"', "3"),
        ('"words big"', ""),
        ("free", "3"),
        ("20", "2"),
        ("wor*", "3"),
        ("t4", "4"),
        ('"products 10"', ""),
        ("products and not 20", "1"),
        # an operator in quotes is a word; a pipe in quotes does not end the search
        ('"and"', ""),
        ('"words\\" | now"', "3"),
    ],
)
def test_search(logstore, query, found):
    if found is None:
        with pytest.raises(LogServiceError, match="begin with a wildcard"):
            logstore.get_logs(query, 0, END_OF_TIME)
    else:
        assert "".join(log["__time__"] for log in logstore.get_logs(query, 0, END_OF_TIME).logs) == found


@pytest.mark.parametrize(
    ("query", "column", "message"),
    [
        ("name:", 6, "missing"),
        ("name: (a", 7, "expected"),
        ("(a or b", 1, "no closing parenthesis"),
        ("a) b", 2, "unexpected"),
        ('x: "abc', 4, "no closing double quote"),
        ("size > ten", 8, "number"),
        ("size in [1", 11, "number"),
        ("size in 5", 9, "range"),
        ("size in [1 2", 13, "range ends"),
        ("a and", 6, "missing"),
        ("or a", 1, "operator"),
        ("name > 5", 1, "long or double"),
        ("name: *x", 7, "wildcard"),
        (" ".join(["a"] * 31), 61, "more than 30"),
        ("(" * 500, 62, "nested too deep"),
        ("not " * 500 + "a", 245, "nested too deep"),
    ],
)
def test_errors_point_at_the_place(logstore, query, column, message):
    with pytest.raises(LogServiceError, match=message) as caught:
        logstore.get_logs(query, 0, END_OF_TIME)
    assert caught.value.code == "ParameterInvalid"
    assert f"column {column} " in caught.value.message or f"column {column}:" in caught.value.message


def test_a_field_that_is_not_indexed_is_named_in_the_error(logstore):
    with pytest.raises(LogServiceError, match=r"key \(free\) is not config as key value config"):
        logstore.get_logs("free: x", 0, END_OF_TIME)


def test_precedence_in_the_tree():
    a, b, c = (Field(name, Value("1"), position) for name, position in (("a", 0), ("b", 8), ("c", 17)))
    assert parse_search("a:1 or  b:1 and  c:1") == Or((a, And((b, c))))
    assert parse_search("x not y") == And((FullText(Value("x")), Not(FullText(Value("y")))))


@pytest.mark.parametrize(
    ("text", "search", "sql"),
    [
        ("* | select 1", "* ", " select 1"),
        ("a\n|\nselect 1", "a\n", "\nselect 1"),
        ("| select 1", "", " select 1"),
        ('a: "x | select y"', 'a: "x | select y"', None),
        ('a: "x\\" | y" | select \'|\'', 'a: "x\\" | y" ', " select '|'"),
        ("* |", "* ", None),
    ],
)
def test_the_first_pipe_outside_quotes_parts_search_and_sql(text, search, sql):
    assert split(text)[:2] == (search, sql)
