# SPDX-License-Identifier: MIT
"""The wire in memory: one tenant, one phone, a transport and clocks in the hands of the test."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from time import process_time
from types import MappingProxyType
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.interfaces import IOpenSSLContextFactory, ISSLTransport
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from zope.interface import alsoProvides, implementer

from ldapgw.contact import Contact, Kind, Phone, Sharing
from ldapgw.directory.access import NOBODY, Access, Viewer
from ldapgw.directory.book import build_book
from ldapgw.directory.dit import Directory, Dit
from ldapgw.directory.dn import Dn
from ldapgw.directory.naming_context import NamingContext
from ldapgw.ldap.encoder import features
from ldapgw.ldap.limits import Limits
from ldapgw.ldap.server import LdapFactory
from ldapgw.ldap.session import DirectoryPort
from ldapgw.numbers.phone_number import NumberFormat, parse
from tests.support import pdu

BASE = "dc=example,dc=com"
BOOK = f"ou=alice@acme.example,{BASE}"
DESK1 = f"cn=desk1,ou=phones,{BASE}"
VIEWER = Viewer(DESK1, (Access("acme", ("alice",)),))
SECRET = b"secret"
LOCAL_NET = "10.0.0."

LIMITS = Limits(
    max_message=64 << 10,
    size_limit=1000,
    time_limit=10.0,
    idle_timeout=900.0,
    max_connections=100,
    max_connections_per_address=20,
)

CONTEXT = NamingContext(
    name="acme",
    title="Acme GmbH",
    base=Dn.parse(BASE),
    region="DE",
    outside_line="",
    number_format=NumberFormat.E164,
    lenient=True,
)


def contacts(count: int) -> list[Contact]:
    number = parse("+49301234567", "DE")
    return [
        Contact(
            uid=f"c{at}",
            source_id=f"s{at}",
            name=f"User {at:05}",
            given_name="User",
            family_name=f"{at:05}",
            phones=(Phone(Kind.WORK, number),),
        )
        for at in range(count)
    ]


def make_dit(count: int = 50, *, tls: bool = False, lenient: bool = True) -> Dit:
    return dit_of(contacts(count), replace(CONTEXT, lenient=lenient), tls=tls)


def dit_of(
    people: Iterable[Contact],
    context: NamingContext = CONTEXT,
    labels: Mapping[str, str] = MappingProxyType({}),
    *,
    tls: bool = False,
) -> Dit:
    """Return a tree with one book, which is Alice's own."""
    book = build_book(context, "alice", "alice@acme.example", Sharing.PRIVATE, people, labels, per_number=False)
    return Dit((Directory(context, (book,)),), features(tls=tls))


def make_gate(dit: Dit | None = None) -> DirectoryPort:
    served = dit or make_dit()

    def authenticate(name: str, password: bytes, _address: str, _over_tls: bool) -> Viewer | None:
        if name == "broken":
            raise KeyError(name)
        return VIEWER if name in (DESK1, "desk1") and password == SECRET else None

    def anonymous(address: str) -> Viewer:
        return Viewer(access=(Access("acme", ("alice",)),)) if address.startswith(LOCAL_NET) else NOBODY

    return DirectoryPort(
        dit=lambda: served,
        authenticate=authenticate,
        anonymous=anonymous,
        cookie_key=b"key of this process",
    )


class Wire(StringTransport):
    """A transport in memory that can be slow, and that counts what is written to it.

    :ivar writes: each write for itself.
    """

    def __init__(self, host: str = "192.0.2.1") -> None:
        super().__init__(peerAddress=IPv4Address("TCP", host, 50000))
        self.writes: list[bytes] = []
        self.aborted = False
        self.tls = None
        self.full_at: int | None = None  # octets after which it says pause

    def write(self, data: bytes) -> None:
        self.writes.append(data)
        super().write(data)
        if self.full_at is not None and self.producer is not None and len(self.value()) >= self.full_at:
            self.producer.pauseProducing()

    def startTLS(self, contexts) -> None:  # noqa: N802 - Twisted's name
        self.tls = contexts

    def abortConnection(self) -> None:  # noqa: N802 - Twisted's name
        self.aborted = True
        self.disconnected = True


class SteppingClock(Clock):
    """A clock on which each look takes a tenth of a millisecond, as work would."""

    step = 0.0001

    def seconds(self) -> float:
        self.rightNow += self.step
        return self.rightNow


@implementer(IOpenSSLContextFactory)
class Contexts:
    """Enough of a certificate for a transport in memory."""

    def getContext(self) -> None:
        """See `IOpenSSLContextFactory`."""


class LiveClock(Clock):
    """A clock that goes by the work done, and can be put forward."""

    def seconds(self) -> float:
        return self.rightNow + process_time()


def turn(clock: Clock) -> None:
    """One turn of a reactor: what is due now, but not what that makes due."""
    now = clock.seconds()
    for call in [call for call in clock.calls if call.getTime() <= now]:
        clock.calls.remove(call)
        call.called = 1
        call.func(*call.args, **call.kw)


class Client:
    """One phone on the wire.

    :ivar transport: what the server writes to.
    """

    def __init__(self, factory: LdapFactory, host: str = "192.0.2.1", *, secure: bool = False) -> None:
        self.transport = Wire(host)
        if secure:
            alsoProvides(self.transport, ISSLTransport)
        self._factory = factory
        self.protocol = factory.buildProtocol(self.transport.getPeer())
        self.protocol.makeConnection(self.transport)

    def send(self, *messages: bytes) -> list[pdu.Response]:
        """Send in one segment; all that was answered at once."""
        self.deliver(b"".join(messages))
        return self.received()

    def deliver(self, octets: bytes) -> None:
        """A segment comes, alone in its turn."""
        self.protocol.dataReceived(octets)
        self._factory.turns.end_turn()

    def ask(self, request: bytes, message_id: int = 1, controls: bytes = b"") -> list[pdu.Response]:
        return self.send(pdu.message(message_id, request, controls))

    def received(self) -> list[pdu.Response]:
        data = self.transport.value()
        self.transport.clear()
        return pdu.responses(data)

    def bind(self) -> None:
        [bound] = self.ask(pdu.bind(DESK1, SECRET), 99)
        assert bound.code == 0

    @property
    def closed(self) -> bool:
        return self.transport.disconnecting or self.transport.aborted


def make_factory(
    gate: DirectoryPort | None = None, clock: Clock | None = None, *, tls=None, require_tls=False, **limits
):
    return LdapFactory(gate or make_gate(), replace(LIMITS, **limits), clock or Clock(), tls, require_tls=require_tls)


def answered(client: Client, *parts: bytes) -> bytes:
    """Return all octets that come for what is sent in these parts."""
    for part in parts:
        client.deliver(part)
    octets = client.transport.value()
    client.transport.clear()
    return octets


def misuse(logged: list[dict[str, Any]]) -> list[tuple[str, str, int, str]]:
    """Return the lines of a log about what clients did wrong."""
    return [
        (event["kind"], event["address"], event["count"], event["detail"]) for event in logged if "address" in event
    ]
