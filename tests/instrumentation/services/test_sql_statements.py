"""What spans show of SQL: no values, few names, a bounded length."""

import pytest

from sls_tracing.instrumentation._sql import LONGEST, describe_sql


@pytest.mark.parametrize(
    ("statement", "text"),
    [
        ("SELECT 1", "SELECT ?"),
        ("SELECT * FROM t WHERE a = 'it''s' AND b = -1.5e3", "SELECT * FROM t WHERE a = ? AND b = -?"),
        ("SELECT 'C:\\', 'secret'", "SELECT ?, ?"),
        ("SELECT E'it\\'s secret', 1", "SELECT ?, ?"),
        ("SELECT $$secret$$, $tag$it's $1 secret$tag$, $1", "SELECT ?, ?, $1"),
        ('SELECT "it\'s" FROM "t2"', 'SELECT "it\'s" FROM "t2"'),
        ("SELECT %s, %(a)s, :b1, ?1, @p1, t1.c1", "SELECT %s, %(a)s, :b1, ?1, @p1, t1.c1"),
        ("SELECT 0x1F /* secret */ -- secret\n, 2", "SELECT ? , ?"),
        ("SELECT 'open secret", "SELECT ?"),
        ("SELECT /* open secret", "SELECT"),
        ("", ""),
        ("  SELECT\n\t a ", "SELECT a"),
    ],
)
def test_values_are_replaced(statement, text):
    assert describe_sql(statement).text == text


@pytest.mark.parametrize(
    ("statement", "text"),
    [
        ("SELECT 'it\\'s secret', 1", "SELECT ?, ?"),
        ('SELECT "secret \\" secret", `a"b` # secret', 'SELECT ?, `a"b`'),
        ("SELECT 'it''s'", "SELECT ?"),
    ],
)
def test_mysql_quotes_in_its_own_way(statement, text):
    assert describe_sql(statement, mysql=True).text == text


@pytest.mark.parametrize(
    ("statement", "name"),
    [
        ("select * from orders o join t on 1", "SELECT orders"),
        ('SELECT a FROM "Shop"."Orders"', "SELECT Shop.Orders"),
        ("SELECT * FROM (SELECT 1)", "SELECT"),
        ("INSERT INTO public.orders VALUES (1)", "INSERT public.orders"),
        ("INSERT OR REPLACE INTO orders VALUES (1)", "INSERT orders"),
        ("UPDATE ONLY orders SET a = 1", "UPDATE orders"),
        ("DELETE FROM orders", "DELETE orders"),
        ("WITH x AS (SELECT 1) SELECT * FROM x", "WITH"),
        ("CALL refill(1)", "CALL refill"),
        ("COPY orders (a) FROM STDIN", "COPY orders"),
        ("/* a */ ;( SELECT 1)", "SELECT"),
        ("CREATE TABLE t_4711 (a int)", "CREATE"),
        ("4711 anything", "SQL"),
        ("secret", "SQL"),
        ("", "SQL"),
        ("SELECT * FROM " + "t" * 500, "SELECT " + "t" * 100),
    ],
)
def test_names_are_a_known_word_and_a_table(statement, name):
    assert describe_sql(statement).name == name


def test_long_statements_are_cut():
    shown = describe_sql("INSERT INTO t VALUES " + ", ".join(["('secret')"] * 100_000))
    assert len(shown.text) == LONGEST
    assert "secret" not in shown.text
