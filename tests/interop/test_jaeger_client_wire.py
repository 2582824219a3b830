"""jaeger-client 4.8.0 as oracle of the wire: the same spans through both libraries are the same on it, but for what docs/jaeger-client-wire.md lists.

Each library encodes with its own code; jaeger-client's generated code reads both.
"""

from __future__ import annotations

import contextlib
import socket
from types import SimpleNamespace
from unittest import mock

import jaeger_client
import opentracing
import pytest
from jaeger_client import thrift as jaeger_thrift
from jaeger_client.thrift_gen.agent import Agent
from opentracing.ext import tags as ext
from thrift.protocol.TCompactProtocol import TCompactProtocol
from thrift.protocol.TProtocol import TProtocolException
from thrift.Thrift import TMessageType
from thrift.transport.TTransport import TMemoryBuffer

from sls_tracing import BatchingReporter, ConstSampler, Tracer, UDPSender

TIME = 1_700_000_000.25  # a float that holds whole microseconds
KINDS = ("vStr", "vDouble", "vBool", "vLong", "vBinary")  # by TagType


class Slots:
    """Stands for the random generator: what one ``start_span`` draws is one number, at the width asked for.

    So a root's span id is the low half of its trace id in both libraries (jaeger-client draws another one), and later spans draw alike.
    """

    def __init__(self) -> None:
        self.number = 0

    def getrandbits(self, bits: int) -> int:
        return (self.number * 0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835) & ((1 << bits) - 1)


def numbered(tracer, slots):
    start_span = tracer.start_span

    def start(*args, **kwargs):
        slots.number += 1
        return start_span(*args, **kwargs)

    tracer.start_span = start
    return tracer


# -- what a program does -----------------------------------------------------------------------------------------------


def types_of_tags(tracer):
    tags = {
        "text": "ü😀", "empty": "", "yes": True, "no": False, "int": 42, "negative": -(2**63), "large": 2**63 - 1, "zero": 0,
        "float": 1.5, "tiny": 5e-324, "none": None, "list": [1, "a"], "dict": {"a": 1}, "class": 3 + 4j,
    }  # fmt: skip
    tracer.start_span("tags", tags=tags, start_time=TIME).finish(TIME + 0.25)


def tags_set_later(tracer):
    span = tracer.start_span("later", start_time=TIME)
    span.set_tag("http.status_code", 500).set_tag(ext.ERROR, True).set_tag(ext.SPAN_KIND, ext.SPAN_KIND_RPC_SERVER)
    span.set_operation_name("renamed")
    span.finish(TIME + 1)


def logs(tracer):
    span = tracer.start_span("logs", start_time=TIME)
    span.log_kv({"event": "first", "number": 7, "ratio": 0.5, "flag": False}, timestamp=TIME + 0.125)
    span.log_kv({"event": "second", "none": None}, timestamp=TIME + 0.25)
    span.finish(TIME + 1)


def baggage(tracer):
    span = tracer.start_span("baggage", start_time=TIME)
    span.set_baggage_item("user", "ü")
    span.set_baggage_item("user", "other")
    child = tracer.start_span("child", child_of=span, start_time=TIME)
    child.set_baggage_item("more", "1")
    child.finish(TIME + 1)
    span.finish(TIME + 1)


def family(tracer):
    root = tracer.start_span("root", start_time=TIME)
    child = tracer.start_span("child", child_of=root.context, start_time=TIME + 0.25)
    grandchild = tracer.start_span("grandchild", child_of=child, start_time=TIME + 0.5)
    for span in (grandchild, child, root):
        span.finish(TIME + 1)


def links(tracer):
    first = tracer.start_span("first", start_time=TIME)
    second = tracer.start_span("second", child_of=first, start_time=TIME)
    tracer.start_span(
        "linked",
        references=[opentracing.child_of(first.context), opentracing.follows_from(second.context)],
        start_time=TIME,
    ).finish(TIME + 1)
    tracer.start_span("after", references=[opentracing.follows_from(second.context)], start_time=TIME).finish(TIME + 1)
    second.finish(TIME + 1)
    first.finish(TIME + 1)


def active_spans(tracer):
    with tracer.start_active_span("outer", finish_on_close=False) as outer:
        with tracer.start_active_span("inner", finish_on_close=False) as inner:
            pass
    inner.span.start_time = outer.span.start_time = TIME
    inner.span.finish(TIME + 1)
    outer.span.finish(TIME + 1)


def forced(tracer):
    span = tracer.start_span("debug", start_time=TIME)
    span.set_tag(ext.SAMPLING_PRIORITY, 1)
    tracer.start_span("below", child_of=span, start_time=TIME).finish(TIME + 1)
    span.finish(TIME + 1)


def dropped(tracer):
    span = tracer.start_span("dropped", start_time=TIME)
    span.set_tag(ext.SAMPLING_PRIORITY, 0)
    tracer.start_span("below", child_of=span, start_time=TIME).finish(TIME + 1)
    span.finish(TIME + 1)
    tracer.start_span("kept", start_time=TIME).finish(TIME + 1)


def continued(tracer):
    for value in ("7b:1c8:0:1", "00000000000000070000000000000009:a:b:3", "ffffffffffffffff:fffffffffffffffe:0:1"):
        context = tracer.extract(opentracing.Format.TEXT_MAP, {"uber-trace-id": value, "uberctx-key": "value"})
        tracer.start_span("continued", child_of=context, start_time=TIME).finish(TIME + 1)


def error(tracer):
    span = tracer.start_span("error", start_time=TIME)
    span.log_kv({"event": "error", "error.object": "text", "message": "m"}, timestamp=TIME)
    span.set_tag(ext.ERROR, "true")
    span.finish(TIME)


PROGRAMS = [types_of_tags, tags_set_later, logs, baggage, family, links, active_spans, forced, dropped, continued, error]  # fmt: skip


# -- both libraries ----------------------------------------------------------------------------------------------------


def through_jaeger_client(program, *, wide: bool = False):
    reporter = jaeger_client.reporter.InMemoryReporter()
    tracer = jaeger_client.Tracer(
        "tested", reporter, jaeger_client.ConstSampler(True), generate_128bit_trace_id=wide, tags={"zone": "z", "rank": 3},
    )  # fmt: skip
    tracer.random = Slots()
    with mock.patch.object(jaeger_client.span, "time", SimpleNamespace(time=lambda: TIME)):
        program(numbered(tracer, tracer.random))
    process = jaeger_thrift.make_process(tracer.service_name, tracer.tags, 1024)
    buffer = TMemoryBuffer()
    writer = TCompactProtocol(buffer)
    writer.writeMessageBegin("emitBatch", TMessageType.ONEWAY, 1)
    Agent.emitBatch_args(jaeger_thrift.make_jaeger_batch(reporter.get_spans(), process)).write(writer)
    writer.writeMessageEnd()
    return read(buffer.getvalue())


def through_ours(program, *, wide: bool = False):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as agent:
        agent.bind(("127.0.0.1", 0))
        agent.settimeout(20)
        slots = Slots()
        tracer = Tracer(
            "tested",
            sampler=ConstSampler(True),
            reporter=BatchingReporter(UDPSender("127.0.0.1", agent.getsockname()[1])),
            propagation="jaeger",
            trace_id_bits=128 if wide else 64,
            tags={"zone": "z", "rank": 3},
            ids=slots.getrandbits,
            clock=lambda: TIME,
        )
        program(numbered(tracer, slots))
        assert tracer.close(20)
        return read(agent.recv(65_535))


def read(message: bytes):
    reader = TCompactProtocol(TMemoryBuffer(message))
    reader.readMessageBegin()
    arguments = Agent.emitBatch_args()
    arguments.read(reader)
    arguments.batch.validate()
    return arguments.batch


def tag_values(tags):
    return {tag.key: (KINDS[tag.vType], getattr(tag, KINDS[tag.vType])) for tag in tags or ()}


def span_values(span):
    """What a span says, but for what is deliberately different: see the document."""
    references = {(each.refType, each.traceIdHigh, each.traceIdLow, each.spanId) for each in span.references or ()}
    return {
        "ids": (span.traceIdHigh, span.traceIdLow, span.spanId, span.parentSpanId),
        "operation": span.operationName,
        # Jaeger's agent adds the parent's where it is missing.
        "references": references - {(0, span.traceIdHigh, span.traceIdLow, span.parentSpanId)},
        "flags": span.flags,
        "times": (span.startTime, span.duration),
        "tags": tag_values(span.tags),
        "logs": [(log.timestamp, tag_values(log.fields)) for log in span.logs or ()],
    }


@pytest.mark.parametrize("wide", [False, True], ids=["64 bits", "128 bits"])
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
def test_the_same_spans(program, wide) -> None:
    """Ids, parents, references, flags, times, tags of all types, logs, baggage logs."""
    theirs, ours = through_jaeger_client(program, wide=wide), through_ours(program, wide=wide)
    assert [span_values(span) for span in ours.spans] == [span_values(span) for span in theirs.spans]


def test_the_same_process() -> None:
    """The service and its tags; ours names its own version, and itself by a client-uuid of type text."""
    theirs, ours = through_jaeger_client(family), through_ours(family)
    assert ours.process.serviceName == theirs.process.serviceName
    our_tags, their_tags = tag_values(ours.process.tags), tag_values(theirs.process.tags)
    assert our_tags.pop("client-uuid")[0] == "vStr"
    assert our_tags.pop("jaeger.version")[1].startswith("sls-tracing-")
    assert their_tags.pop("jaeger.version")[1] == "Python-4.8.0"
    assert our_tags.keys() == their_tags.keys() >= {"hostname", "ip", "zone", "rank"}
    for name in ("hostname", "zone", "rank"):
        assert our_tags[name] == their_tags[name]


# -- what is deliberately different: the table of docs/jaeger-client-wire.md --------------------------------------------


def both(program):
    """The only span of each, as the wire has it: theirs, ours."""
    [theirs], [ours] = through_jaeger_client(program).spans, through_ours(program).spans
    return theirs, ours


def one_span(**tags):
    return lambda tracer: tracer.start_span("span", tags=tags, start_time=TIME).finish(TIME)


def test_the_parent_is_a_reference_too() -> None:
    """jaeger-client leaves it to the agent to add it."""
    theirs, ours = through_jaeger_client(family).spans[0], through_ours(family).spans[0]
    assert not theirs.references
    [parent] = ours.references
    assert (parent.refType, parent.traceIdLow, parent.spanId) == (0, ours.traceIdLow, ours.parentSpanId)


def test_a_tag_set_twice() -> None:
    """Last wins; jaeger-client sends both."""
    theirs, ours = both(lambda tracer: tracer.start_span("s", tags={"a": 1}).set_tag("a", 2).finish())
    assert [tag.vLong for tag in theirs.tags if tag.key == "a"] == [1, 2]
    assert [tag.vLong for tag in ours.tags if tag.key == "a"] == [2]


def test_bytes() -> None:
    """Binary; jaeger-client sends Python's notation of them."""
    theirs, ours = both(one_span(blob=b"\x00\x7f"))
    assert tag_values(theirs.tags)["blob"] == ("vStr", "b'\\x00\\x7f'")
    assert ours.tags[-1].vType == 4
    assert tag_values(ours.tags)["blob"][0] == "vBinary"


def test_long_text() -> None:
    """Whole unless a limit is set; jaeger-client cuts at 1024 characters."""
    theirs, ours = both(one_span(text="x" * 5000))
    assert len(tag_values(theirs.tags)["text"][1]) == 1024
    assert len(tag_values(ours.tags)["text"][1]) == 5000


def test_an_integer_of_more_than_64_bits() -> None:
    """Text; jaeger-client loses the whole batch."""
    with pytest.raises(TProtocolException):
        through_jaeger_client(one_span(number=2**80))
    [span] = through_ours(one_span(number=2**80)).spans
    assert tag_values(span.tags)["number"] == ("vStr", str(2**80))


def test_fractions_of_a_microsecond() -> None:
    """Rounded; jaeger-client cuts them off, although most decimal fractions lie just below themselves as floats."""
    theirs, ours = both(lambda tracer: tracer.start_span("s", start_time=0.00397).finish(1))
    assert theirs.startTime == 3969
    assert ours.startTime == 3970


def test_the_epoch() -> None:
    """A time of 0 is a time; jaeger-client takes it for none."""
    theirs, ours = both(lambda tracer: tracer.start_span("s", start_time=0).finish(1))
    assert theirs.startTime > 1_600_000_000_000_000
    assert (ours.startTime, ours.duration) == (0, 1_000_000)


def test_a_log_without_fields() -> None:
    """Not sent; jaeger-client sends it empty."""
    theirs, ours = both(lambda tracer: tracer.start_span("s").log_kv({}).finish())
    assert len(theirs.logs) == 1
    assert not ours.logs


def test_an_exception() -> None:
    """The kind is the class's name and the stack has its causes; jaeger-client has Python's notation of the class and the frames alone."""

    def fail(tracer):
        with contextlib.suppress(ValueError), tracer.start_span("s"):
            try:
                raise KeyError("first")
            except KeyError as cause:
                raise ValueError("second") from cause

    theirs, ours = both(fail)
    their_log, our_log = tag_values(theirs.logs[0].fields), tag_values(ours.logs[0].fields)
    assert their_log["error.kind"][1] == "<class 'ValueError'>"
    assert our_log["error.kind"][1] == "ValueError"
    assert "KeyError: 'first'" in our_log["stack"][1]
    assert "KeyError: 'first'" not in their_log["stack"][1]
    for name in ("event", "message", "error.object"):
        assert our_log[name] == their_log[name]
