"""The UDP sender against real sockets and the real decoder."""

from __future__ import annotations

import errno
import itertools
import logging
import os
import socket
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sls_tracing.context import SpanContext
from sls_tracing.exceptions import ConfigurationError, SenderError
from sls_tracing.guard import LimitedLog
from sls_tracing.metrics import Counters
from sls_tracing.model import LogRecord, Process, Reference, SpanRecord
from sls_tracing.senders import datagram_socket, udp
from sls_tracing.senders.udp import UDPSender
from sls_tracing.thrift.decoding import decode_emit_batch

PROCESS = Process("productpage", {"hostname": "host-1"})


def make_span(number: int = 1, *, process: Process = PROCESS, **changes) -> SpanRecord:
    return SpanRecord(
        operation_name="GET /productpage",
        context=SpanContext(0xABC << 100 | number, number, 7),
        references=(Reference("child_of", 0xABC << 100 | number, 7),),
        start_time=1_600_000_000.25,
        finish_time=1_600_000_000.5,
        tags={"http.method": "GET", "http.status_code": 200},
        logs=(),
        process=process,
    )._replace(**changes)


class Agent:
    """A bound socket that keeps what arrives."""

    def __init__(self, address: tuple = ("127.0.0.1", 0), family: int = socket.AF_INET) -> None:
        self.socket = socket.socket(family, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 24)
        self.socket.bind(address)
        self.socket.settimeout(10)
        self.port = self.socket.getsockname()[1]

    def take(self, number: int) -> list[bytes]:
        """The next datagrams; loopback delivers before ``send`` returns, so nothing is waited for but a failure."""
        return [self.socket.recv(65_536) for _ in range(number)]

    def take_all(self) -> list[bytes]:
        """All datagrams that are there."""
        self.socket.setblocking(False)
        datagrams = []
        try:
            while True:
                datagrams.append(self.socket.recv(65_536))
        except BlockingIOError:
            return datagrams
        finally:
            self.socket.settimeout(10)


@pytest.fixture
def agent():
    agent = Agent()
    yield agent
    agent.socket.close()


@pytest.fixture
def counts():
    return Counters()


@pytest.fixture
def make_sender(counts):
    """Senders that count apart, log apart, and are closed at the end."""
    senders = []

    def make(*args, **options) -> UDPSender:
        senders.append(UDPSender(*args, counters=counts, log=LimitedLog(), **options))
        return senders[-1]

    yield make
    for sender in senders:
        sender.close()


def spans_of(datagrams: list[bytes], protocol: str = "compact") -> list[SpanRecord]:
    return [span for datagram in datagrams for span in decode_emit_batch(datagram, protocol).spans]


@pytest.mark.parametrize("protocol", ["compact", "binary"])
def test_spans_arrive_as_they_are(agent, make_sender, counts, protocol):
    """One datagram carries the batch, numbered from 1 on; nothing is counted as lost."""
    sender = make_sender("127.0.0.1", agent.port, protocol=protocol)
    records = [make_span(number) for number in range(1, 31)]
    assert sender.send(records) == 30
    assert sender.send(records[:1]) == 1
    first, second = (decode_emit_batch(datagram, protocol) for datagram in agent.take(2))
    assert first.spans == records
    assert first.process == PROCESS
    assert (first.seq_no, second.seq_no) == (1, 2)
    assert counts.snapshot() == {}


def test_nothing_to_send_is_no_datagram(agent, make_sender):
    """An empty call sends nothing."""
    assert make_sender("127.0.0.1", agent.port).send([]) == 0
    assert agent.take_all() == []


def test_spans_of_several_processes_go_apart(agent, make_sender):
    """A datagram names one process; the spans of one call are sorted by theirs."""
    other = Process("reviews")
    records = [make_span(1), make_span(2, process=other), make_span(3)]
    assert make_sender("127.0.0.1", agent.port).send(records) == 3
    batches = [decode_emit_batch(datagram, "compact") for datagram in agent.take(2)]
    assert [(batch.process, len(batch.spans)) for batch in batches] == [(PROCESS, 2), (other, 1)]


@settings(max_examples=40)
@given(
    lengths=st.lists(st.integers(0, 900), max_size=60),
    size=st.integers(600, 2000),
    protocol=st.sampled_from(["compact", "binary"]),
)
def test_datagrams_are_full_and_never_larger(lengths, size, protocol):
    """No datagram exceeds max_packet_size, each is as full as it can be, and every span arrives, in order."""
    agent, counts = Agent(), Counters()
    sender = UDPSender("127.0.0.1", agent.port, protocol=protocol, max_packet_size=size, counters=counts)
    try:
        records = [make_span(number, tags={"x": "y" * length}) for number, length in enumerate(lengths, 1)]
        sent = sender.send(records)
        datagrams = agent.take_all()
    finally:
        sender.close()
        agent.socket.close()
    assert all(len(datagram) <= size for datagram in datagrams)
    arrived = spans_of(datagrams, protocol)
    assert sent == len(arrived)
    assert [span.context.span_id for span in arrived] == [span.context.span_id for span in records]
    assert counts.get("sender_spans_trimmed") == sum("sls.trimmed" in span.tags for span in arrived)
    for this, following in itertools.pairwise(datagrams):
        span = decode_emit_batch(following, protocol).spans[0]
        if "sls.trimmed" not in span.tags:
            assert len(this) + len(sender._encoder.span(span)) > size - 4


@pytest.mark.parametrize("protocol", ["compact", "binary"])
def test_a_span_that_fits_exactly_is_not_trimmed(agent, make_sender, protocol):
    """max_packet_size itself is allowed; one byte more is not."""
    sender = make_sender("127.0.0.1", agent.port, protocol=protocol, max_packet_size=1000)
    sender.send([make_span(tags={"x": "y" * 500})])
    fill = 1000 - len(agent.take(1)[0])
    for longer in (0, 1):
        sender.send([make_span(tags={"x": "y" * (500 + fill + longer)})])
    exact, trimmed = agent.take(2)
    assert len(exact) == 1000
    assert [set(span.tags) for span in spans_of([exact, trimmed], protocol)] == [{"x"}, {"x", "sls.trimmed"}]


def test_a_burst_of_10000_spans_is_sent_whole(agent, make_sender, counts):
    """Sending waits for room in the kernel's buffer rather than losing spans."""
    got: list[bytes] = []

    def receive() -> None:
        while len(spans_of(got[-1:])) != 1:
            got.append(agent.socket.recv(65_536))

    receiver = threading.Thread(target=receive)
    receiver.start()
    sender = make_sender("127.0.0.1", agent.port)
    records = [make_span(number) for number in range(1, 501)]
    sent = sum(sender.send(records) for _ in range(20))
    sender.send(records[:1])
    receiver.join(10)
    assert sent == 10_000
    assert len(spans_of(got)) == 10_001
    assert counts.snapshot() == {}


# -- bad spans -----------------------------------------------------------------------------------------------------------


def test_a_large_span_loses_its_logs_first(agent, make_sender, counts):
    """Logs go before values are cut, and a tag tells."""
    sender = make_sender("127.0.0.1", agent.port)
    large = make_span(2, logs=(LogRecord(1.0, {"stack": "x" * 100_000}),))
    assert sender.send([make_span(1), large, make_span(3)]) == 3
    first, second, third = spans_of(agent.take_all())
    assert (first, third) == (make_span(1), make_span(3))
    assert second == large._replace(logs=(), tags={**large.tags, "sls.trimmed": True})
    assert counts.snapshot() == {"sender_spans_trimmed": 1}


def test_a_large_span_has_its_values_cut(agent, make_sender, counts):
    """Then long text and bytes are cut, the operation's name too; short values stay."""
    sender = make_sender("127.0.0.1", agent.port, max_packet_size=1200)
    tags = {"sql": "ü" * 50_000, "raw": b"\xff" * 50_000, "http.status_code": 200}
    assert sender.send([make_span(operation_name="n" * 40_000, tags=tags)]) == 1
    (span,) = spans_of(agent.take(1))
    assert span.tags == {"sql": "ü" * 128, "raw": b"\xff" * 128, "http.status_code": 200, "sls.trimmed": True}
    assert span.operation_name == "n" * 128
    assert span.context == make_span().context
    assert counts.snapshot() == {"sender_spans_trimmed": 1}


def test_a_span_that_stays_too_large_is_dropped_alone(agent, make_sender, counts, caplog):
    """Thousands of tags cannot be trimmed: the span is dropped, counted and logged, its neighbours arrive."""
    sender = make_sender("127.0.0.1", agent.port, max_packet_size=1000)
    monster = make_span(2, tags={f"key-{number}": number for number in range(5_000)})
    with caplog.at_level(logging.WARNING):
        assert sender.send([make_span(1), monster, make_span(3), monster]) == 2
    assert spans_of(agent.take_all()) == [make_span(1), make_span(3)]
    assert counts.snapshot() == {"sender_spans_too_large": 2}
    assert len(caplog.records) == 1


def test_a_span_that_cannot_be_encoded_is_dropped_alone(agent, make_sender, counts, caplog):
    """So is one with an impossible id or value."""
    bad = [
        make_span(2, context=SpanContext(1, 1 << 64)),
        make_span(3, tags={"x": object()}),
        make_span(4, start_time=None),
    ]
    with caplog.at_level(logging.WARNING):
        assert make_sender("127.0.0.1", agent.port).send([make_span(1), *bad, make_span(5)]) == 2
    assert spans_of(agent.take_all()) == [make_span(1), make_span(5)]
    assert counts.snapshot() == {"sender_spans_unencodable": 3}
    assert len(caplog.records) == 1


def test_a_process_that_cannot_be_encoded_costs_its_own_spans(agent, make_sender, counts):
    """Another tracer's spans in the same call arrive."""
    records = [make_span(1, process=Process("broken", {"x": None})), make_span(2)]
    assert make_sender("127.0.0.1", agent.port).send(records) == 1
    assert spans_of(agent.take_all()) == [make_span(2)]
    assert counts.snapshot() == {"sender_spans_unencodable": 1}


def test_a_large_process_leaves_room_for_spans(agent, make_sender):
    """Tags of the process never take more than half a datagram."""
    process = Process("productpage", {"env": "x" * 100_000, "ip": "192.0.2.3"})
    assert make_sender("127.0.0.1", agent.port).send([make_span(process=process)]) == 1
    (datagram,) = agent.take(1)
    assert decode_emit_batch(datagram, "compact").process == Process(
        "productpage", {"env": "x" * 8192, "ip": "192.0.2.3"}
    )


# -- the network ---------------------------------------------------------------------------------------------------------


def test_an_agent_that_is_gone_is_noticed_and_its_return_too(agent, make_sender, counts, caplog):
    """A refusal counts the spans of the datagram before, once logged; after some datagrams unrefused the recovery is logged."""
    sender = make_sender("127.0.0.1", agent.port)
    agent.socket.close()
    with caplog.at_level(logging.INFO):
        assert [sender.send([make_span()]) for _ in range(4)] == [1, 1, 1, 1]
        assert counts.get("sender_spans_refused") >= 2
        assert len(caplog.records) == 1
        returned = Agent(("127.0.0.1", agent.port))
        sender.send([make_span()])
        refused = counts.get("sender_spans_refused")
        for _ in range(udp._QUIET + 1):
            sender.send([make_span()])
    assert counts.get("sender_spans_refused") == refused
    assert len(returned.take_all()) == udp._QUIET + 2
    returned.socket.close()
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    assert counts.get("sender_spans_failed") == 0


def test_a_host_that_cannot_be_found_costs_the_spans_and_nothing_else(make_sender, counts, caplog):
    """Never an exception at construction, never one out of send; the spans are counted, the reason is logged once."""
    with caplog.at_level(logging.WARNING):
        for host in ("x" * 64 + ".invalid", "a..invalid"):
            sender = make_sender(host)
            assert sender.send([make_span(1), make_span(2)]) == 0
            assert sender.send([make_span(3)]) == 0
    assert counts.snapshot() == {"sender_spans_failed": 6}
    assert len(caplog.records) == 2


def test_a_datagram_that_the_network_cannot_carry_is_counted(agent, make_sender, counts, caplog):
    """A datagram too long for the kernel is told with the remedy, and the next one goes out."""
    sender = make_sender("127.0.0.1", agent.port, max_packet_size=65_507)
    sender.max_packet_size = 70_000  # more than the constructor allows, to meet the kernel's limit
    with caplog.at_level(logging.INFO):
        assert sender.send([make_span(tags={"x": "y" * 66_000})]) == 0
        assert sender.send([make_span(2)]) == 1
    assert spans_of(agent.take(1)) == [make_span(2)]
    assert counts.snapshot() == {"sender_spans_failed": 1}
    assert "max_packet_size" in caplog.records[0].getMessage()
    assert caplog.records[1].levelname == "INFO"


def test_ipv6(make_sender):
    """A literal IPv6 address works, with brackets or without."""
    agent = Agent(("::1", 0), socket.AF_INET6)
    try:
        for host in ("::1", "[::1]"):
            assert make_sender(host, agent.port).send([make_span()]) == 1
        assert spans_of(agent.take(2)) == [make_span()] * 2
    finally:
        agent.socket.close()


def test_a_name_with_two_addresses_finds_the_one_that_listens():
    """IPv4 goes first; when it refuses, the same datagram is sent again to the other address, which is kept from then on."""
    agent = Agent(("::1", 0), socket.AF_INET6)
    asked = []
    now = [0.0]

    def look_up(host, port, **options):
        asked.append(now[0])
        kind = socket.SOCK_DGRAM
        return [
            (socket.AF_INET6, kind, 17, "", ("::1", port, 0, 0)),
            (socket.AF_INET, kind, 17, "", ("127.0.0.1", port)),
        ]

    refusals = []
    out = datagram_socket.DatagramSocket(
        "both", agent.port, lambda: refusals.append(1), look_up=look_up, clock=lambda: now[0]
    )
    try:
        for datagram in (b"lost", b"one", b"two"):
            out.send(datagram)
        now[0] = datagram_socket.LOOK_UP_EVERY
        out.send(b"three")
        assert agent.take(3) == [b"one", b"two", b"three"]
    finally:
        out.close()
        agent.socket.close()
    assert refusals == [1]
    assert asked == [0.0, datagram_socket.LOOK_UP_EVERY]


@pytest.mark.parametrize(("socket_type", "address"), [("udp4", "127.0.0.1"), ("udp6", "::1")])
def test_one_kind_of_address_may_be_asked_for(socket_type, address):
    """Node's JAEGER_AGENT_SOCKET_TYPE: a name is both, and only one of them listens."""

    def look_up(host, port, *, family, **options):
        both = [each for literal in ("127.0.0.1", "::1") for each in socket.getaddrinfo(literal, port, **options)]
        return [each for each in both if each[0] == family]

    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as agent:
        agent.bind((address, 0))
        agent.settimeout(20)
        port, family = agent.getsockname()[1], udp._FAMILIES[socket_type]
        found = datagram_socket.DatagramSocket("both", port, lambda: None, family=family, look_up=look_up)
        found.send(b"spans")
        assert agent.recv(100) == b"spans"
        found.close()
    with pytest.raises(ConfigurationError, match="udp4"):
        UDPSender(socket_type="tcp")
    with pytest.raises(ConfigurationError, match="look_up_every"):
        UDPSender(look_up_every=0)


def test_names_are_looked_up_seldom_and_never_by_the_constructor():
    """At the first datagram, each 30 seconds, and a second after an error; an address that worked survives the name server's death."""
    agent = Agent()
    now = [100.0]
    asked = []
    answers = [socket.gaierror(socket.EAI_NONAME, "unknown")]

    def look_up(host, port, **options):
        asked.append(now[0])
        if isinstance(answers[-1], OSError):
            raise answers[-1]
        return list(answers[-1])

    out = datagram_socket.DatagramSocket(
        "agent.example", agent.port, lambda: None, look_up=look_up, clock=lambda: now[0]
    )
    try:
        assert asked == []
        for _ in range(2):
            with pytest.raises(OSError) as error:
                out.send(b"x")
            assert error.value.errno == errno.EADDRNOTAVAIL
        now[0] += datagram_socket.LOOK_UP_AFTER_ERROR
        answers.append([(socket.AF_INET, socket.SOCK_DGRAM, 17, "", ("127.0.0.1", agent.port))])
        for _ in range(3):
            out.send(b"x")
        now[0] += datagram_socket.LOOK_UP_EVERY
        answers.append(socket.gaierror(socket.EAI_AGAIN, "name server down"))
        out.send(b"x")
        assert agent.take(4) == [b"x"] * 4
    finally:
        out.close()
        agent.socket.close()
    assert asked == [100.0, 101.0, 131.0]


def test_after_close_nothing_can_be_sent(agent, make_sender, counts):
    """send raises SenderError and counts nothing, so that the reporter counts."""
    sender = make_sender("127.0.0.1", agent.port)
    sender.send([make_span()])
    sender.close()
    sender.close()
    with pytest.raises(SenderError):
        sender.send([make_span()])
    assert counts.snapshot() == {}


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # Python 3.12 on threads and fork
def test_a_forked_child_sends_from_a_socket_of_its_own(agent, make_sender):
    """Parent and child send from different ports, and the child numbers its batches from 1."""
    sender = make_sender("127.0.0.1", agent.port)
    sender.send([make_span(1)])
    _, parent = agent.socket.recvfrom(65_536)
    pid = os.fork()
    if pid == 0:
        sender.after_fork()
        os._exit(0 if sender.send([make_span(2)]) == 1 else 1)
    assert os.waitpid(pid, 0)[1] == 0
    datagram, child = agent.socket.recvfrom(65_536)
    assert child != parent
    assert decode_emit_batch(datagram, "compact").seq_no == 1
    sender.send([make_span(3)])
    datagram, again = agent.socket.recvfrom(65_536)
    assert again == parent
    assert decode_emit_batch(datagram, "compact").seq_no == 2


# -- configuration -------------------------------------------------------------------------------------------------------


def test_the_port_follows_the_protocol():
    """6831 speaks compact, 6832 binary, unless a port is given."""
    assert UDPSender().port == 6831
    assert UDPSender(protocol="binary").port == 6832
    assert UDPSender(port=1, protocol="binary").port == 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"port": 0}, "port must be a whole number from 1 to 65535, not 0"),
        ({"port": 65_536}, "port"),
        ({"port": True}, "port"),
        ({"port": "6831"}, "port"),
        ({"protocol": "json"}, "'compact' or 'binary', not 'json'"),
        ({"max_packet_size": 511}, "max_packet_size must be a whole number from 512 to 65507, not 511"),
        ({"max_packet_size": 70_000}, "max_packet_size"),
        ({"max_packet_size": 1000.0}, "max_packet_size"),
        ({"host": ""}, "host"),
        ({"host": None}, "host"),
        ({"host": "agent:6831"}, "without scheme or port"),
        ({"host": "udp://agent"}, "without scheme or port"),
    ],
)
def test_a_wrong_setting_says_what_would_be_right(options, words):
    """Wrong configuration fails at construction, with the remedy."""
    with pytest.raises(ConfigurationError, match=words):
        UDPSender(**options)
