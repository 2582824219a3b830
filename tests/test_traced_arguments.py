"""What of a call's arguments ``@traced`` shows: those that are named, bounded, and never a secret."""

import asyncio
import dataclasses
import functools

import opentracing
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sls_tracing import ConstSampler, Tracer, traced
from sls_tracing.exceptions import ConfigurationError
from sls_tracing.metrics import counters
from sls_tracing.traced_arguments import MAX_NAME_PART, MAX_TEXT, shown


@pytest.fixture(autouse=True)
def tracer(monkeypatch, reporter):
    """The global tracer of the test."""
    tracer = Tracer("t", reporter=reporter)
    monkeypatch.setattr(opentracing, "tracer", tracer)
    return tracer


def captured(span):
    return {key: value for key, value in span.tags.items() if key.startswith("arg.")}


@dataclasses.dataclass
class Order:
    id: int
    password: str = "hunter2"
    owner: dict = dataclasses.field(default_factory=lambda: {"name": "Ada", "api_key": "k-123"})

    @property
    def broken(self):
        raise ValueError("mine")


# -- capture -----------------------------------------------------------------------------------------------------------


def test_the_named_ones_however_they_are_given(reporter):
    """By position, by name, by default; nothing else."""

    @traced(arguments=["order_id", "limit"])
    def load(order_id, other, limit=10, *, flag=False):
        return order_id

    load(1, 2)
    load(1, other=2, limit=3)
    load(limit=3, other=2, order_id=1)
    assert [captured(span) for span in reporter.spans] == [
        {"arg.order_id": 1, "arg.limit": 10},
        {"arg.order_id": 1, "arg.limit": 3},
        {"arg.order_id": 1, "arg.limit": 3},
    ]


def test_all_of_every_kind(reporter):
    """Positional only, variable, keyword only; the instance is none."""

    class Service:
        @traced(arguments=True)
        def call(self, a, /, b, *rest, c, d=4, **more):
            return a

        @traced(arguments=True)
        @classmethod
        def made(cls, a):
            return a

    Service().call(1, 2, 3, 4, c=5, e=6, a=7)
    Service.made("x")
    assert captured(reporter.spans[0]) == {
        "arg.a": 1,
        "arg.b": 2,
        "arg.rest": "[3, 4]",
        "arg.c": 5,
        "arg.d": 4,
        "arg.more": "{'e': 6, 'a': 7}",
    }
    assert captured(reporter.spans[1]) == {"arg.a": "x"}


def test_attributes_of_them(reporter):
    """Or items, of mappings; an attribute that fails costs itself."""
    before = counters.get("guard_failures_traced")

    @traced(arguments=["order.id", "order.owner.name", "order.broken"])
    def load(order):
        pass

    load(Order(7))
    assert captured(reporter.spans[0]) == {"arg.order.id": 7, "arg.order.owner.name": "Ada"}
    assert counters.get("guard_failures_traced") == before + 1


def test_every_kind_of_function(reporter):
    """Coroutines, generators, asynchronous generators, partials."""

    @traced(arguments=True)
    async def coroutine(a):
        return a

    @traced(arguments=True)
    def generator(a):
        yield a

    @traced(arguments=True)
    async def async_generator(a):
        yield a

    async def consume():
        return [each async for each in async_generator(3)]

    asyncio.run(coroutine(1))
    list(generator(2))
    asyncio.run(consume())
    traced(functools.partial(lambda a, b: a, 0), arguments=True)(4)
    assert [captured(span) for span in reporter.spans] == [{"arg.a": 1}, {"arg.a": 2}, {"arg.a": 3}, {"arg.b": 4}]


def test_secrets_are_not_stored(reporter):
    """By the name of the parameter, of a key or field within, or of what a text or an object's repr says."""

    class Holder:
        def __repr__(self):
            return "Holder(user='ada', password='hunter2', note='x')"

    @traced(arguments=True)
    def login(user, password, accessToken, options, order, holder, url):
        pass

    login(
        "ada",
        "hunter2",
        "hunter2",
        {"retries": 1, "Authorization": "hunter2", "deep": [{"client_secret": "hunter2"}]},
        Order(1),
        Holder(),
        "https://ada:hunter2@host/?token=hunter2&page=1",
    )
    tags = captured(reporter.spans[0])
    assert "hunter2" not in str(tags)
    assert "k-123" not in str(tags)
    assert tags["arg.user"] == "ada"
    assert tags["arg.password"] == tags["arg.accessToken"] == "REDACTED"
    assert tags["arg.options"] == "{'retries': 1, 'Authorization': REDACTED, 'deep': [{'client_secret': REDACTED}]}"
    assert tags["arg.order"] == "Order(id=1, password=REDACTED, owner={'name': 'Ada', 'api_key': REDACTED})"
    assert tags["arg.holder"] == "Holder(user='ada', password=REDACTED, note='x')"
    assert tags["arg.url"] == "https://host/?token=REDACTED&page=1"


def test_values_are_bounded():
    """Long text, many items, deep nesting, itself within itself, bytes."""
    assert len(shown("x" * 10**6)) == MAX_TEXT
    assert shown(list(range(10**6))) == "[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, …]"
    assert shown([[[[["deep"]]]]]) == "[[[[…]]]]"
    itself = {}
    itself["itself"] = itself
    assert len(shown(itself)) < MAX_TEXT
    assert shown(b"x" * 5000) == "<5000 bytes>"
    assert len(shown({str(number): "y" * 300 for number in range(50)})) == MAX_TEXT
    assert (shown(None), shown(True), shown(1.5), shown(())) == ("None", True, 1.5, "[]")


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
    )
)
def test_any_value_can_be_shown(value):
    """As plain text or number, within the bound."""
    text = shown(value)
    assert type(text) in (str, bool, int, float)
    assert len(str(text)) <= MAX_TEXT or type(text) is int


def test_a_value_that_cannot_be_shown_costs_itself(reporter):
    """The call and the other arguments go on."""

    class Unprintable:
        def __repr__(self):
            raise RuntimeError("no")

    @traced(arguments=True)
    def work(one, two):
        return two

    assert work(Unprintable(), 2) == 2
    assert captured(reporter.spans[0]) == {"arg.one": "<unprintable Unprintable>", "arg.two": 2}


def test_nothing_is_shown_where_nobody_records(reporter, monkeypatch):
    """The application's ``__str__`` is not called for an unsampled span."""
    monkeypatch.setattr(opentracing, "tracer", Tracer("t", reporter=reporter, sampler=ConstSampler(False)))
    shown_values = []

    class Value:
        def __str__(self):
            shown_values.append(self)
            return "value"

    traced(arguments=True)(lambda value: None)(Value())
    assert shown_values == []


def test_wrong_calls_fail_as_ever():
    """A missing argument is Python's error, raised by the call."""

    @traced("load {order_id.x}", arguments=True)
    def load(order_id):
        pass

    before = counters.get("guard_failures_traced")
    with pytest.raises(TypeError, match="missing 1 required positional argument"):
        load()
    assert counters.get("guard_failures_traced") == before


# -- names -------------------------------------------------------------------------------------------------------------


def test_a_name_from_the_arguments(reporter):
    """Parameters and their attributes; doubled braces are braces."""

    @traced("{order.id} of {table} {{literally}}")
    def load(order, table="orders"):
        pass

    @traced("rows of {table}")
    def rows(table):
        yield 1

    @traced("GET /orders/{{order_id}}")
    def get():
        pass

    load(Order(5))
    list(rows("customers"))
    get()
    assert [span.operation_name for span in reporter.spans] == [
        "5 of orders {literally}",
        "rows of customers",
        "GET /orders/{order_id}",
    ]


def test_a_name_is_bounded_and_has_no_secrets(reporter):
    """As the tags."""

    @traced("{text} {password} {order.password}")
    def work(text, password, order):
        pass

    work("x" * 1000, "hunter2", Order(1))
    assert reporter.spans[0].operation_name == "x" * (MAX_NAME_PART - 1) + "… REDACTED REDACTED"


def test_a_name_that_fails_is_the_template(reporter):
    """The application's property raises: the span is there all the same."""

    @traced("load {order.broken}")
    def load(order):
        return 1

    assert load(Order(1)) == 1
    assert reporter.spans[0].operation_name == "load {order.broken}"


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        ({"arguments": ["limit"]}, r"'limit' names no parameter of .*function \(there are: order_id, more\)"),
        ({"arguments": ["order_id["]}, "names no parameter"),
        ({"arguments": [5]}, "5 names no parameter"),
        ({"arguments": "order_id"}, "a list of parameters' names"),
        ({"arguments": 5}, "a list of parameters' names"),
    ],
)
def test_wrong_arguments_are_refused(arguments, what):
    """Where it is applied."""

    def function(order_id, more=None):
        pass

    with pytest.raises(ConfigurationError, match=what):
        traced(**arguments)(function)


@pytest.mark.parametrize("name", ["{limit}", "{}", "{0}", "{order_id", "order_id}", "{order_id:>5}", "{order_id!r}"])
def test_a_wrong_template_is_refused(name):
    """With the remedy: braces that are meant are doubled."""
    with pytest.raises(ConfigurationError, match=r"doubled|no formats"):

        @traced(name)
        def function(order_id):
            pass


def test_what_is_written_in_c_has_no_parameters_to_capture():
    """It can be traced, but its arguments cannot be named."""
    assert traced(max)(1, 2) == 2
    with pytest.raises(ConfigurationError, match="not known"):
        traced(arguments=True)(max)
