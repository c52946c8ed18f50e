# SPDX-License-Identifier: MIT
"""Octets of a plain socket are received at once, and its end is told as the transport would tell it.

Answers go out at once where that is possible, in order always, and never more than the client takes.
"""

from __future__ import annotations

import fcntl
import gc
import hashlib
import socket
import ssl
import struct
import weakref
from collections.abc import Iterator
from contextlib import closing, suppress
from math import inf

import pytest
import pytest_twisted
from twisted.internet.abstract import FileDescriptor
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import ConnectionDone
from twisted.internet.main import CONNECTION_DONE, CONNECTION_LOST
from twisted.internet.task import Clock, deferLater
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure

from ldapgw.directory.segment import MAX_PAGE_OCTETS
from ldapgw.ldap.limits import WRITE_TIMEOUT
from ldapgw.ldap.socket_io import SocketReader, SocketWriter
from ldapgw.server.config import Tls
from ldapgw.server.config.forms import File
from ldapgw.server.listener import UNSENT_LIMIT, set_socket_options
from ldapgw.server.tls import TlsContextFactory
from tests.support import pdu
from tests.support.certificates import issue
from tests.support.descriptors import find_readable
from tests.support.phonebook.wire import BASE, DESK1, SECRET, LiveClock, make_dit, make_factory, make_gate

# The end of an LDAPResult.
SUCCEEDED = b"\x0a\x01\x00\x04\x00\x04\x00"


class OpenTransport:
    """Enough of one."""

    bufferSize = 8  # noqa: N815 - Twisted's name

    def __init__(self, handle: socket.socket) -> None:
        self.socket = handle

    def doRead(self) -> str:  # noqa: N802 - Twisted's name
        return "its own"


@pytest.fixture(name="connected")
def _connected_pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        theirs = socket.create_connection(server.getsockname())
        ours, _ = server.accept()
    ours.setblocking(False)
    with closing(ours), closing(theirs):
        yield ours, theirs


def test_octets_are_received(connected):
    """As many as the transport would read at once; where there are none, nothing happens."""
    ours, theirs = connected
    received: list[bytes] = []
    transport = OpenTransport(ours)
    SocketReader(transport, received.append)
    assert (transport.doRead(), received) == (None, [])
    theirs.sendall(b"a request and")
    assert (transport.doRead(), received) == (None, [b"a reques"])
    assert (transport.doRead(), transport.doRead(), received) == (None, None, [b"a reques", b"t and"])


@pytest.mark.parametrize(("linger", "why"), [(None, CONNECTION_DONE), (0, CONNECTION_LOST)])
def test_the_end_is_told(connected, linger, why):
    """The client's half ends in order, or all of it is cut."""
    ours, theirs = connected
    if linger is not None:
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, linger))
    theirs.close()
    received: list[bytes] = []
    transport = OpenTransport(ours)
    SocketReader(transport, received.append)
    assert (transport.doRead(), received) == (why, [])


def test_then_the_transport_reads_for_itself(connected):
    """TLS that begins on it takes what the transport reads."""
    transport = OpenTransport(connected[0])
    reader = SocketReader(transport, lambda _: None)
    assert transport.doRead() is None
    reader.end()
    assert (transport.doRead(), vars(transport)) == ("its own", {"socket": connected[0]})


# Linux: what was written and has not been sent (linux/sockios.h).
SIOCOUTQNSD = 0x894B
QUEUED_MOST = 256 << 10


class Calls:
    """Counts the calls of a writer."""

    def __init__(self) -> None:
        self.stalled = self.taken = 0

    def stall(self) -> None:
        self.stalled += 1

    def take(self) -> None:
        self.taken += 1


class Transport(FileDescriptor):
    """Enough of one: it keeps what it is given."""

    def __init__(self, handle: socket.socket | None) -> None:
        super().__init__(reactor=MemoryReactorClock())
        if handle is not None:
            self.socket = handle
        self.kept: list[bytes] = []
        self.producer: SocketWriter | None = None
        self.streaming: bool | None = None
        self.told: list[object] = []

    def registerProducer(self, producer: SocketWriter, streaming: bool) -> None:  # noqa: N802 - Twisted's name
        self.producer, self.streaming = producer, streaming
        if not streaming:
            producer.resumeProducing()

    def unregisterProducer(self) -> None:  # noqa: N802 - Twisted's name
        self.producer = None

    def write(self, octets: bytes) -> None:
        self.kept.append(octets)

    def loseConnection(self) -> None:  # noqa: N802 - Twisted's name
        self.told.append("loseConnection")

    def connectionLost(self, reason: Failure) -> None:
        self.told.append(reason.type)


@pytest.fixture(name="pair")
def _pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    for end in (ours, theirs):
        end.setblocking(False)
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 32 << 10)
    yield ours, theirs
    ours.close()
    theirs.close()


def make_writer(transport: Transport, *, plain: bool = True) -> tuple[SocketWriter, Calls]:
    calls = Calls()
    return SocketWriter(transport, plain=plain, on_blocked=calls.stall, on_drained=calls.take), calls


def write(writer: SocketWriter, *pieces: bytes) -> None:
    if len(pieces) == 1:
        writer.write(*pieces)
    else:
        writer.write_pieces([*pieces])


def test_what_the_socket_takes_is_sent_at_once(pair):
    """The transport never hears of it."""
    transport = Transport(pair[0])
    writer, calls = make_writer(transport)
    writer.write(b"one")
    writer.write(b"two")
    assert pair[1].recv(100) == b"onetwo"
    assert (transport.kept, transport.streaming) == ([], False)
    assert (writer.blocked, calls.stalled, calls.taken) == (False, 0, 0)


@pytest.mark.parametrize(
    ("pieces", "behind"),
    [([bytes(range(256)) * 4096], [b"behind"]), ([bytes([at]) * 100_000 for at in range(4)], [b"be", b"hind"])],
    ids=["in one piece", "in several"],
)
def test_what_it_does_not_take_is_the_transports(pair, pieces, behind):
    """From the octet on at which it stopped, until the transport has written everything: nothing overtakes."""
    transport = Transport(pair[0])
    writer, calls = make_writer(transport)
    write(writer, *pieces)
    assert (writer.blocked, calls.stalled, calls.taken) == (True, 1, 0)
    sent = b""
    while (part := _received(pair[1])) != b"":
        sent += part
    write(writer, *behind)  # there is room in the socket again, and octets in front of these
    assert 0 < len(sent) < sum(map(len, pieces))
    assert sent + b"".join(transport.kept) == b"".join(pieces) + b"behind"
    assert _received(pair[1]) == b""
    writer.resumeProducing()
    assert (writer.blocked, calls.taken) == (False, 1)
    writer.write(b"next")
    assert pair[1].recv(100) == b"next"


@pytest.mark.parametrize("count", [2, 3000])
def test_pieces_are_sent_in_their_order(pair, count):
    """Few as they are, many joined: the kernel takes no more than 1,024."""
    transport = Transport(pair[0])
    writer, calls = make_writer(transport)
    pieces = [b"%d," % at for at in range(count)]
    writer.write_pieces(pieces)
    assert _received(pair[1]) == b"".join(pieces)
    assert (transport.kept, writer.blocked, calls.stalled) == ([], False, 0)


@pytest.mark.parametrize("pieces", [[b"to nobody"], [b"to ", b"nobody"]])
def test_an_error_of_the_socket_is_the_transports_to_find(pair, pieces):
    """It closes the connection as for any other."""
    transport = Transport(pair[0])
    writer, _ = make_writer(transport)
    pair[1].close()
    write(writer, *pieces)
    assert (transport.kept, writer.blocked) == ([b"to nobody"], True)


@pytest.mark.parametrize("how", ["end", "stopProducing"])
def test_nothing_is_sent_past_the_transport_at_the_end(pair, how):
    """Its octets may be encrypted from now on, or its socket another's."""
    transport = Transport(pair[0])
    writer, _ = make_writer(transport)
    getattr(writer, how)()
    writer.write(b"later")
    writer.write_pieces([b"and ", b"later"])
    assert transport.kept == [b"later", b"and later"]


@pytest.mark.parametrize("waits", [False, True], ids=["nothing waits", "something waits"])
def test_a_connection_is_closed_as_soon_as_all_is_written(pair, waits):
    """At once, if that is so; else the transport does it."""
    transport = Transport(pair[0])
    writer, _ = make_writer(transport)
    writer.write(b"x" * ((1 << 20) if waits else 1))
    writer.close()
    assert transport.told == (["loseConnection"] if waits else [ConnectionDone])
    assert transport.producer is None


@pytest.mark.parametrize(("plain", "has_socket"), [(False, True), (True, False)], ids=["TLS", "no socket"])
def test_else_the_transport_writes_and_says_when_it_is_full(pair, plain, has_socket):
    """Under TLS nothing may go past it."""
    transport = Transport(pair[0] if has_socket else None)
    writer, calls = make_writer(transport, plain=plain)
    assert writer.max_octets == MAX_PAGE_OCTETS
    writer.write(b"one")
    writer.write_pieces([b"t", b"wo"])
    assert (transport.kept, transport.streaming) == ([b"one", b"two"], True)
    for _ in range(2):
        writer.pauseProducing()
    assert (writer.blocked, calls.stalled) == (True, 1)
    writer.resumeProducing()
    writer.resumeProducing()
    assert (writer.blocked, calls.taken) == (False, 1)
    writer.close()
    assert transport.told == ["loseConnection"]


def _received(end: socket.socket) -> bytes:
    try:
        return end.recv(1 << 20)
    except (BlockingIOError, ssl.SSLWantReadError):
        return b""


# --- whole connections over real sockets ------------------------------------------------------------------------------


@pytest.fixture(name="big", scope="module")
def _big():
    return make_gate(make_dit(3000))


TRUSTING = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
TRUSTING.check_hostname = False
TRUSTING.verify_mode = ssl.CERT_NONE


class Peer:
    """A client on a real socket that reads when it wants to, and the server's end of its connection."""

    def __init__(self, reactor, gate, clock, tls=None, *, at_once: bool = False, takes: int = 128 << 10) -> None:
        self.reactor = reactor
        self.factory = make_factory(gate, clock, size_limit=100_000, tls=tls)
        listens = self.factory.over_tls() if at_once else self.factory
        self.port = reactor.listenTCP(0, listens, interface="127.0.0.1")
        set_socket_options(self.port)
        self.socket = socket.socket()
        # Octets that this end has not read yet would hide octets that the writer has not sent.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, takes)
        self.socket.setblocking(False)
        self.socket.connect_ex(("127.0.0.1", self.port.getHost().port))

    async def turn(self, seconds: float = 0.0) -> None:
        """Let the reactor go around."""
        await deferLater(self.reactor, seconds)

    async def connected(self) -> None:
        while not len(self.factory._connections):
            await self.turn()
        [self.connection] = self.factory._connections

    async def encrypt(self) -> None:
        """Make a TLS handshake, to the end of the server's half."""
        self.socket = TRUSTING.wrap_socket(self.socket, do_handshake_on_connect=False)
        while True:
            try:
                self.socket.do_handshake()
                break
            except ssl.SSLWantReadError:
                await self.turn()
        while self.connection.deadlines.handshake != inf:
            await self.turn()

    async def ask(self, octets: bytes, size: int) -> bytes:
        """Send, and wait for an answer of that many octets."""
        self.socket.send(octets)
        answer = b""
        while len(answer) < size:
            await self.turn()
            answer += _received(self.socket)
        return answer

    def queued(self) -> int:
        """Octets of answers that wait for this client: with us, with Twisted and in the kernel."""
        tcp = tls = self.connection.transport
        if tcp.TLS:
            tcp, tls = (tcp.transport, tcp) if hasattr(tcp, "_tlsConnection") else (tcp, tcp.protocol)
        collected = getattr(getattr(tls, "_aggregator", None), "_buffer", [])
        waiting = [*collected, *getattr(tls, "_appSendBuffer", [])]
        twisted = len(tcp.dataBuffer) - tcp.offset + tcp._tempDataLen + sum(map(len, waiting))
        kernel = fcntl.ioctl(tcp.socket.fileno(), SIOCOUTQNSD, bytes(4))
        return self.connection._buffer.size + twisted + struct.unpack("i", kernel)[0]

    async def end(self) -> None:
        self.socket.close()
        await self.port.stopListening()
        while len(self.factory._connections):
            await self.turn()


def full_searches(count: int) -> bytes:
    return pdu.message(1, pdu.bind(DESK1, SECRET)) + b"".join(
        pdu.message(at, pdu.search(BASE, 2)) for at in range(2, count + 2)
    )


@pytest.fixture(name="tls", scope="module")
def _tls(tmp_path_factory):
    certificate, key = issue().write(tmp_path_factory.mktemp("tls"))
    return TlsContextFactory(Tls(certificate=File(certificate), private_key=File(key)))


@pytest.mark.parametrize(
    ("way", "takes"),
    [
        # The kernel's unsent octets depend on the place where it had to stop.
        ("clear", 72 << 10),
        *(pytest.param("clear", kib << 10, marks=pytest.mark.long) for kib in (40, 128)),
        pytest.param("StartTLS", 128 << 10, marks=pytest.mark.long),
        ("LDAPS", 128 << 10),
    ],
)
@pytest_twisted.ensureDeferred
async def test_a_client_that_reads_nothing_has_at_most_256_kib_waiting(reactor, big, tls, way, takes):
    """However much it asks for, at every moment; and when it reads, it gets all of it, in order."""
    peer = Peer(reactor, big, reactor, tls, at_once=way == "LDAPS", takes=takes)
    await peer.connected()
    if way == "StartTLS":
        await peer.ask(pdu.message(9, pdu.START_TLS), 10)
    if way != "clear":
        await peer.encrypt()
    peer.socket.send(full_searches(4))
    most = queued = quiet = 0
    while quiet < 20:
        await peer.turn()
        before, queued = queued, peer.queued()
        quiet = quiet + 1 if queued == before > 0 else 0
        most = max(most, queued)
    assert UNSENT_LIMIT < most <= QUEUED_MOST
    assert peer.connection._core.writer.blocked
    found = bytearray()
    successes = 0
    while successes < 5:
        part = _received(peer.socket)
        assert peer.queued() <= QUEUED_MOST
        successes += (found[1 - len(SUCCEEDED) :] + part).count(SUCCEEDED)
        found += part
        if not part:
            await peer.turn()
    ended = [one.message_id for one in pdu.responses(bytes(found)) if one.kind == 0x65]
    assert ended == list(range(2, 6))
    await peer.end()


@pytest_twisted.ensureDeferred
async def test_after_starttls_what_is_small_is_not_collected(reactor, big, tls):
    """Twisted would not count it, and it is joined already."""
    peer = Peer(reactor, big, reactor, tls)
    await peer.connected()
    await peer.ask(pdu.message(9, pdu.START_TLS), 10)
    await peer.encrypt()
    small = pdu.message(1, b"small")
    peer.connection._core.writer.write(small)
    assert not peer.connection.transport.protocol._aggregator._buffer
    received = b""
    while not received:
        received = _received(peer.socket)
        await peer.turn()
    assert received == small
    await peer.end()


@pytest_twisted.ensureDeferred
async def test_messages_of_all_sizes_arrive_over_tls(reactor, big, tls):
    """Some messages are longer than a TLS record."""
    peer = Peer(reactor, big, reactor, tls, at_once=True)
    await peer.connected()
    await peer.encrypt()
    sizes = [1, 200, 16_000, 40_000, *[3] * 2000, 70_000]
    octets = b"".join(pdu.message(1, bytes(size)) for size in sizes)
    peer.connection._core.writer.write(octets)
    received = bytearray()
    while len(received) < len(octets):
        received += _received(peer.socket)
        await peer.turn()
    assert received == octets
    await peer.end()


@pytest_twisted.ensureDeferred
async def test_a_client_that_takes_nothing_is_cut_off(reactor, big):
    """After 30 seconds, on a real socket too."""
    clock = LiveClock()
    peer = Peer(reactor, big, clock)
    await peer.connected()
    peer.socket.send(full_searches(5))
    while not peer.connection._core.writer.blocked:
        await peer.turn()
        clock.advance(0)
    clock.advance(WRITE_TIMEOUT - 1)
    assert len(peer.factory._connections) == 1
    clock.pump([1.0] * 3)
    await peer.end()
    assert len(peer.factory._connections) == 0


@pytest_twisted.ensureDeferred
async def test_who_says_goodbye_in_the_same_breath_is_answered_under_tls(reactor, big, tls):
    """A script that pipes a request into a TLS client: its close_notify comes right behind.

    Each message is a TLS record of its own.
    """
    # By a clock that stands still, so that a slice never ends: what is left to a later turn cannot be sent any more.
    peer = Peer(reactor, big, Clock(), tls, at_once=True)
    await peer.connected()
    came, goes = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = TRUSTING.wrap_bio(came, goes)
    while True:
        with suppress(ssl.SSLWantReadError):
            client.do_handshake()
            break
        peer.socket.sendall(goes.read())
        await peer.turn()
        came.write(_received(peer.socket))
    client.write(pdu.message(7, pdu.search("", 0)))
    with suppress(ssl.SSLWantReadError):
        client.unwrap()
    peer.socket.sendall(goes.read())
    for _ in range(20):
        await peer.turn()
        came.write(_received(peer.socket))
    records = [client.read(1 << 20) for _ in range(2)]
    assert [[one.kind for one in pdu.responses(record)] for record in records] == [[0x64], [0x65]]
    await peer.end()


@pytest_twisted.ensureDeferred
async def test_every_octet_arrives_whoever_wrote_it(reactor, big):
    """Sent at once or by the transport, for a client that reads in fits and starts: the same as at one go."""
    digests = []
    for step in (1 << 20, 50_000, 1_000):
        peer = Peer(reactor, big, reactor)
        await peer.connected()
        peer.socket.send(full_searches(1))
        peer.socket.shutdown(socket.SHUT_WR)
        digest, found = hashlib.sha256(), 0
        while True:
            await peer.turn()
            try:
                part = peer.socket.recv(step)
            except BlockingIOError:
                continue
            if not part:
                break
            digest.update(part)
            found += len(part)
        digests.append((digest.hexdigest(), found))
        await peer.end()
    assert len(set(digests)) == 1
    assert digests[0][1] > 500_000


@pytest_twisted.ensureDeferred
async def test_a_session_behind_a_proxy_is_closed_too(reactor, big):
    """Twisted's wrapper of the PROXY protocol is no socket of its own."""
    factory = make_factory(big, reactor)
    port = await serverFromString(reactor, "haproxy:tcp:0:interface=127.0.0.1").listen(factory)
    with socket.create_connection(("127.0.0.1", port.getHost().port)) as client:
        client.setblocking(False)
        client.send(b"PROXY TCP4 192.0.2.7 192.0.2.1 5555 389\r\n" + pdu.message(1, pdu.UNBIND))
        for _ in range(1000):
            await deferLater(reactor, 0.001)
            if find_readable([client]):
                break
        assert client.recv(1) == b""
    await port.stopListening()
    assert factory.connected() == 0


@pytest_twisted.ensureDeferred
async def test_a_connection_that_is_gone_leaves_nothing_to_the_garbage_collector(reactor, big):
    """Phones come and go all day, and a collection is a pause for those that are there."""
    peer = Peer(reactor, big, reactor)
    await peer.connected()
    await peer.ask(pdu.message(1, pdu.bind(DESK1, SECRET)), 14)
    transport = weakref.ref(peer.connection.transport)
    connection = weakref.ref(peer.connection)
    del peer.connection
    gc.disable()
    try:
        await peer.end()
        await peer.turn()
        assert (transport(), connection()) == (None, None)
    finally:
        gc.enable()
