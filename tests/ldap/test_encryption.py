# SPDX-License-Identifier: MIT
"""TLS on real sockets: certificates that change under sessions, clients that show theirs, handshakes that fail."""

from __future__ import annotations

import socket
import ssl
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from ldapgw.ldap.connection import UNKNOWN_AUTHORITY
from ldapgw.ldap.limits import HANDSHAKE_TIMEOUT
from ldapgw.server.config import Tls
from ldapgw.server.config.forms import File
from ldapgw.server.tls import TlsContextFactory, load_certificate
from tests.support import pdu
from tests.support.certificates import Issued, issue
from tests.support.phonebook.wire import DESK1, SECRET, LiveClock, make_dit, make_factory, make_gate

AUTHORITY = issue("authority", authority=True, which=1)


class Server:
    """A gateway's wire with StartTLS and LDAPS, on loopback."""

    def __init__(self, reactor, folder: Path, *, client_ca: str | None = None, clock=None) -> None:
        self.reactor = reactor
        certificate, key = issue().write(folder)
        authority = File(folder / client_ca) if client_ca else None
        self.contexts = TlsContextFactory(
            Tls(certificate=File(certificate), private_key=File(key), client_ca=authority)
        )
        self.folder = folder
        self.phones: list[Phone] = []
        self.factory = make_factory(make_gate(make_dit(tls=True)), clock or reactor, tls=self.contexts)
        self.ports = {
            "StartTLS": reactor.listenTCP(0, self.factory, interface="127.0.0.1"),
            "LDAPS": reactor.listenTCP(0, self.factory.over_tls(), interface="127.0.0.1"),
        }

    def renew(self, which: int) -> Issued:
        """Another certificate, in use from now on."""
        issued = issue(which=which)
        issued.write(self.folder)
        self.contexts.loaded = load_certificate(self.contexts.tls)
        return issued

    async def gone(self, left: int = 0) -> None:
        """Wait until no more connections than that are left."""
        while len(self.factory._connections) > left:
            await deferLater(self.reactor, 0)

    async def end(self) -> None:
        for phone in self.phones:
            phone.socket.close()
        await self.gone()
        for port in self.ports.values():
            await port.stopListening()


class Phone:
    """A client that does not block the reactor that it shares with the server."""

    def __init__(self, server: Server, way: str) -> None:
        self.reactor = server.reactor
        self.way = way
        server.phones.append(self)
        self.socket = socket.socket()
        self.socket.setblocking(False)
        self.socket.connect_ex(("127.0.0.1", server.ports[way].getHost().port))

    async def connect(self, shows: Path | None = None, *, latest=ssl.TLSVersion.TLSv1_3, trusts=None) -> bytes:
        """Begin TLS; the certificate that the server shows.

        :param latest: the latest version of TLS that the phone knows.
        :param trusts: whose certificates the phone trusts, in PEM; None: it trusts everybody.
        """
        while not self._connected():
            await deferLater(self.reactor, 0)
        if self.way == "StartTLS":
            [answer] = await self.ask(pdu.START_TLS)
            assert answer.code == 0
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.maximum_version = latest
        if trusts is not None:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(cadata=trusts)
        if shows is not None:
            context.load_cert_chain(shows / "phone-cert.pem", shows / "phone-key.pem")
        self.socket = context.wrap_socket(self.socket, do_handshake_on_connect=False)
        await self._until_done(self.socket.do_handshake)
        return self.socket.getpeercert(binary_form=True)

    def _connected(self) -> bool:
        try:
            self.socket.getpeername()
        except OSError:
            return False
        return True

    async def _until_done(self, attempt):
        while True:
            try:
                return attempt()
            except (ssl.SSLWantReadError, BlockingIOError):
                await deferLater(self.reactor, 0)

    async def ask(self, request: bytes) -> list[pdu.Response]:
        """Return the server's answer; raises the socket's error if the server closes instead."""
        self.socket.send(pdu.message(1, request))
        received = await self._until_done(lambda: self.socket.recv(1 << 16))
        return pdu.responses(received)


@pytest.fixture(name="make_server")
def _make_server(reactor, tmp_path):
    servers = []

    def make(**more) -> Server:
        servers.append(Server(reactor, tmp_path, **more))
        return servers[-1]

    yield make
    for server in servers:
        pytest_twisted.blockon(Deferred.fromCoroutine(server.end()))


def complaints(logged) -> list[tuple[str, str]]:
    assert [event for event in logged if event.get("log_failure") or event.get("isError")] == []
    return [(event["kind"], event["detail"]) for event in logged if "address" in event]


@pytest.mark.parametrize("way", ["StartTLS", "LDAPS"])
@pytest_twisted.ensureDeferred
async def test_a_new_certificate_is_for_new_connections(make_server, reactor, tmp_path, way, logged):
    """Sessions go on under the one that they began with."""
    server = make_server()
    early = Phone(server, way)
    first = await early.connect()
    await early.ask(pdu.bind(DESK1, SECRET))
    renewed = server.renew(which=5)
    assert ssl.DER_cert_to_PEM_cert(await Phone(server, way).connect()).encode() == renewed.pem
    assert ssl.DER_cert_to_PEM_cert(first).encode() != renewed.pem
    [who] = await early.ask(pdu.WHO_AM_I)
    assert who.value == b"dn:" + DESK1.encode()
    assert complaints(logged) == []


@pytest.mark.parametrize("way", ["StartTLS", "LDAPS"])
@pytest_twisted.ensureDeferred
async def test_phones_show_a_certificate_where_the_site_wants_that(make_server, reactor, tmp_path, way, logged):
    """One of the authority is let in; one without gets no answer, and the log says why, without a traceback."""
    (tmp_path / "ca.pem").write_bytes(AUTHORITY.pem)
    issue("desk1", by=AUTHORITY, which=2).write(tmp_path, "phone-")
    server = make_server(client_ca="ca.pem")
    known, unknown = Phone(server, way), Phone(server, way)
    await known.connect(tmp_path)
    [bound] = await known.ask(pdu.bind(DESK1, SECRET))
    assert bound.code == 0
    try:  # with TLS 1.3 a client learns of it when it reads
        await unknown.connect()
        assert await unknown.ask(pdu.search("", 0)) == []
    except (ssl.SSLError, ConnectionError):
        pass
    await server.gone(left=1)
    assert complaints(logged) == [("failed TLS handshake", "peer did not return a certificate")]


@pytest.mark.parametrize(
    ("octets", "kind", "detail"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "failed TLS handshake", "http request"),
        (pdu.message(1, pdu.search("", 0)), "LDAP without TLS on the port for TLS", ""),
        (b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00", "failed TLS handshake", None),
    ],
    ids=["HTTP", "plain LDAP", "half a hello"],
)
@pytest_twisted.ensureDeferred
async def test_what_is_no_handshake_is_closed_with_a_line(make_server, reactor, octets, kind, detail, logged):
    """The log has a line for any octets to the TLS port that are no handshake."""
    server = make_server()
    stranger = Phone(server, "LDAPS")
    while not len(server.factory._connections):
        await deferLater(reactor, 0)
    stranger.socket.send(octets)
    await server.gone()
    [(found, told)] = complaints(logged)
    assert found == kind
    assert detail in (None, told)


@pytest_twisted.ensureDeferred
async def test_tls_on_the_port_without_tls_is_named(make_server, reactor, logged):
    """A phone that was given the wrong port finds nobody, and says nothing."""
    server = make_server()
    stranger = Phone(server, "StartTLS")
    stranger.socket.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
    while not complaints(logged):
        await deferLater(reactor, 0)
    await server.gone()
    assert complaints(logged) == [("TLS on the port for LDAP without TLS", "")]


@pytest.mark.parametrize("latest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("way", ["StartTLS", "LDAPS"])
@pytest_twisted.ensureDeferred
async def test_a_phone_that_does_not_know_the_authority_is_named(make_server, reactor, way, latest, logged):
    """By its alert, in the log and for the pages; a phone that knows the authority is not."""
    server = make_server()
    noted = []
    port = server.factory._port
    server.factory._port = replace(port, unfit_client=lambda kind, address: noted.append((kind, address)))
    knows, does_not_know = Phone(server, way), Phone(server, way)
    with pytest.raises(ssl.SSLCertVerificationError):
        await does_not_know.connect(latest=latest, trusts=AUTHORITY.pem.decode())
    does_not_know.socket.close()
    await knows.connect(latest=latest, trusts=(server.folder / "cert.pem").read_text())
    knows.socket.close()
    await server.gone()
    assert complaints(logged) == [(UNKNOWN_AUTHORITY, "tlsv1 alert unknown ca")]
    assert noted == [(UNKNOWN_AUTHORITY, "127.0.0.1")]


@pytest_twisted.ensureDeferred
async def test_handshakes_that_stall_are_cut(make_server, reactor, tmp_path, logged):
    """After ten seconds, twenty as one."""
    clock = LiveClock()
    server = make_server(clock=clock)
    server.factory._connections._max_per_network = 1000
    stalled = [Phone(server, "LDAPS") for _ in range(20)]
    while len(server.factory._connections) < 20:
        await deferLater(reactor, 0)
    for phone in stalled[::2]:
        phone.socket.send(b"\x16\x03\x01\x02\x00\x01")
    await deferLater(reactor, 0)
    clock.pump([1.0] * int(HANDSHAKE_TIMEOUT - 1))
    assert len(server.factory._connections) == 20
    clock.pump([1.0] * 3)
    await server.gone()
    assert complaints(logged) == []
