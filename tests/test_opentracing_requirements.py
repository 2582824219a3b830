"""OpenTracing's requirements by number, and the proof that each is proven: a test cites it with ``@pytest.mark.requirement``.

Sources: specification.md v1.1, semantic_conventions.md and the draft RFCs of opentracing/specification; the docstrings and the harness of
opentracing-python 2.4. The wording is ours.
"""

import ast
import re
from pathlib import Path

TESTS = Path(__file__).parent

REQUIREMENTS = """
OT-T01 start_span takes an operation name, and tolerates None
OT-T02 zero or more references, and the shorthand child_of
OT-T03 child_of is a span or a context
OT-T04 references is a list of references, or one
OT-T05 an explicit start time in seconds; now by default
OT-T06 zero or more tags at start
OT-T07 the span returned is started and not finished
OT-T08 start_active_span returns a scope that is registered
OT-T09 finish_on_close is True by default
OT-T10 the active span is the parent when none is given
OT-T11 ignore_active_span makes a root
OT-T12 an explicit parent beats the active span
OT-T13 start_span leaves the active scope alone
OT-T14 tracer.scope_manager and tracer.active_span
OT-T15 child_of and references together: child_of is the parent, the references stay as links
OT-T16 span.tracer is the tracer that made it
OT-T17 an operation name names a class of spans
OT-T18 close flushes and may be repeated
OT-T19 start_child_span works through parent.tracer
OT-R01 ChildOf and FollowsFrom
OT-R02 all references belong to the span's state
OT-R03 a reference to None is ignored
OT-R04 a Reference is immutable
OT-R05 child and parent share the trace; the first valid parent decides
OT-R06 the type of a reference is reported
OT-R07 a child may finish after its parent
OT-S01 name, times, tags, logs, context and references are the span's state
OT-S02 the context stays usable after finish
OT-S03 set_operation_name supersedes
OT-S04 the setters return the span
OT-S05 an explicit finish time; now by default
OT-S06 after finish nothing raises, is reported twice, or changes what was reported
OT-S07 tag keys are text, values text, bool or number
OT-S08 the last write of a tag wins
OT-S09 a value of another type becomes text
OT-S10 log_kv takes values of any type, and a time
OT-S11 a log's explicit time is stored as it is
OT-S12 log and log_event still work
OT-S13 "with span" finishes through self.finish
OT-S14 an exception in "with span" sets the tag and one log, and goes on
OT-S15 unicode in tags, logs and baggage
OT-S16 spans may be used from several threads
OT-S17 a span takes arbitrary attributes
OT-C01 a context is immutable
OT-C02 baggage applies to all that references the span later
OT-C03 baggage crosses process boundaries
OT-C04 get_baggage_item returns the value or None
OT-C05 context.baggage is a dict
OT-C06 baggage can be iterated from a context alone
OT-C07 baggage goes to future children only
OT-C08 to_trace_id and to_span_id
OT-C09 the case of baggage keys is not kept over HTTP
OT-C10 one span's baggage is nobody else's
OT-P01 TEXT_MAP, HTTP_HEADERS and BINARY, both ways
OT-P02 an unknown format raises UnsupportedFormatException
OT-P03 any object may be a format, compared by ==
OT-P04 extract returns a context or None
OT-P05 extract may raise InvalidCarrier and SpanContextCorrupted
OT-P06 BINARY appends to a bytearray
OT-P07 TEXT_MAP holds any characters
OT-P08 unrelated entries are left alone
OT-P09 HTTP_HEADERS are fit to be sent
OT-P10 HTTP_HEADERS are read in any case
OT-P11 a finished span's context can be injected
OT-P12 a round trip keeps identity, sampling and baggage
OT-P13 inject accepts a span
OT-P14 an empty carrier is None
OT-P15 malformed input raises nothing else
OT-A01 activate(span, finish_on_close)
OT-A02 active is the scope or None
OT-A03 both work outside coroutines, greenlets and loops
OT-A04 active is the very scope
OT-A05 scope.span is the very span
OT-A06 close restores the scope before
OT-A07 close finishes only with finish_on_close
OT-A08 closing a scope that is not active does nothing
OT-A09 closing twice does nothing more
OT-A10 "with scope" closes, and marks an exception once
OT-A11 threads and tasks do not see each other's scope
OT-A12 a span may be activated again elsewhere
OT-A13 what is scheduled inherits the scope (contextvars)
OT-A14 a scope closed by the creator stays in the task that inherited it (contextvars)
OT-A15 no_parent_scope (contextvars)
OT-A16 other managers do not propagate by themselves
OT-A17 scope.manager
OT-N01 a no-op tracer, which tracers extend
OT-N02 set_global_tracer(None) raises
OT-N03 a disabled tracer is chainable
OT-N04 initialising twice
OT-G01 component
OT-G02 db.instance
OT-G03 db.statement
OT-G04 db.type
OT-G05 db.user
OT-G06 error
OT-G07 http.method
OT-G08 http.status_code
OT-G09 http.url
OT-G10 message_bus.destination
OT-G11 peer.address
OT-G12 peer.hostname
OT-G13 peer.ipv4
OT-G14 peer.ipv6
OT-G15 peer.port
OT-G16 peer.service
OT-G17 sampling.priority
OT-G18 span.kind
OT-G19 service
OT-L01 error.kind
OT-L02 error.object
OT-L03 event
OT-L04 message
OT-L05 stack
OT-L06 a log has a time and at least one field
OT-M01 span.kind is given at start
OT-M02 a consumer references its producer with FollowsFrom
OT-M03 database clients carry db.* and peer.*
OT-M04 the error tag alone tells the state
OT-M05 logged errors carry event and error.object
OT-M06 error tag and error log are independent
OT-M07 RPC spans carry peer.* where known
"""


def cited():
    """Return the ids in every ``requirement(…)`` of the tests' source, with the files that cite them."""
    found = {}
    for path in TESTS.rglob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("requirement", "pytest.mark.requirement"):
                for argument in node.args:
                    found.setdefault(ast.literal_eval(argument), set()).add(path.relative_to(TESTS).as_posix())
    return found


def numbered():
    return re.findall(r"^(OT-[A-Z]\d\d) ", REQUIREMENTS, re.MULTILINE)


def test_every_requirement_is_cited_by_a_test():
    """A new requirement fails here until a test proves it."""
    assert sorted(set(numbered()) - set(cited())) == []


def test_every_citation_is_of_a_requirement():
    """A mistyped id fails here."""
    assert {each: files for each, files in cited().items() if each not in numbered()} == {}


def test_the_list_is_whole():
    """121 requirements, each once."""
    assert len(numbered()) == len(set(numbered())) == 121
