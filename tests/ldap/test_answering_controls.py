# SPDX-License-Identifier: MIT
"""A control that another package adds to the server, and that answers a search itself."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest
from twisted.internet.task import Clock

from ldapgw.ber import SEQUENCE, integer, octets, tlv
from ldapgw.directory.access import NOBODY, ReplicaAccess, Viewer
from ldapgw.errors import DirectoryError, ProtocolViolation, ResultCode
from ldapgw.ldap.controls import PAGED_RESULTS, SupportedControl
from ldapgw.ldap.encoder import features
from ldapgw.ldap.messages import SUCCESS, Control, FinishedSearch, Operation, Result
from ldapgw.ldap.search_controls import AnsweringControl, SearchToAnswer
from ldapgw.ldap.search_response import OutputBuffer, with_message_id
from tests.support import pdu
from tests.support.phonebook.wire import BASE, Client, make_factory, make_gate, turn

ECHO, DONE_CONTROL = "1.2.3.4", "1.2.3.5"
REQUESTED = pdu.controls(pdu.control(ECHO, critical=True))
ENTRY = tlv(0x64, octets(b"cn=echo") + tlv(SEQUENCE, b""))


@dataclass
class Echo:
    """An answer of some entries; before each of them it waits.

    :ivar left: how many entries are left.
    """

    search: SearchToAnswer
    left: int
    sent: int = 0
    is_waiting: bool = True

    def write_next(self, buffer: OutputBuffer, now: float) -> Result | None:
        if not self.left:
            return SUCCESS
        buffer.add(with_message_id(ENTRY, self.search.message_id))
        self.left -= 1
        self.sent += 1
        self.is_waiting = self.left > 0
        return None

    def response_controls(self, result: Result) -> tuple[Control, ...]:
        return (Control(DONE_CONTROL, value=b"%d" % result.code),)


@dataclass
class Server:
    """A server with the control.

    :ivar asked: the searches with the control.
    """

    entries: int = 2
    asked: list[SearchToAnswer] = field(default_factory=list)
    searches: list[FinishedSearch] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.clock = Clock()
        gate = replace(make_gate(), observers=(self.searches.append,))
        self.factory = make_factory(gate, self.clock)
        self.factory.add_controls({ECHO: SupportedControl(frozenset({Operation.SEARCH}), self.read)})
        self.client = Client(self.factory)
        self.client.bind()

    def read(self, control: Control) -> AnsweringControl:
        if control.value:
            raise ProtocolViolation("value: not empty")
        return AnsweringControl(self.answer)

    def answer(self, search: SearchToAnswer) -> Echo | None:
        self.asked.append(search)
        if search.has_other_controls:
            raise DirectoryError(ResultCode.UNWILLING_TO_PERFORM, "alone")
        return Echo(search, self.entries) if self.entries else None

    def wake(self) -> list[str]:
        """Wake what waits; the DNs of the entries that come then, and the codes of results."""
        self.factory.wake()
        turn(self.clock)
        return [one.dn or str(one.code) for one in self.client.received()]


@pytest.fixture(name="server")
def _server() -> Server:
    return Server()


def test_answer_waits_until_the_server_is_woken(server: Server) -> None:
    """No observer hears of the search, and the directory sends nothing."""
    assert server.client.ask(pdu.search(BASE), 7, REQUESTED) == []
    assert server.wake() == ["cn=echo"]
    server.factory.wake()
    turn(server.clock)
    entry, done = server.client.received()
    assert (entry.dn, done.message_id, done.code, done.controls) == ("cn=echo", 7, 0, ((DONE_CONTROL, b"0"),))
    [search] = server.asked
    assert (search.message_id, search.request.base, search.address, search.connection, search.has_other_controls) == (
        *(7, BASE, "192.0.2.1", 1),
        False,
    )
    assert server.client.protocol is not None
    assert (search.viewer.login, server.searches) == (server.client.protocol.login, [])
    assert server.wake() == []


def test_nobody_is_woken_who_does_not_wait(server: Server) -> None:
    idle = Client(server.factory)
    assert server.client.ask(pdu.search(BASE), 7, REQUESTED) == []
    assert server.wake() == ["cn=echo"]
    assert idle.received() == []


def test_abandoned_and_canceled_answers_send_nothing(server: Server) -> None:
    server.client.ask(pdu.search(BASE), 7, REQUESTED)
    assert server.client.ask(pdu.abandon(7), 8) == []
    assert server.wake() == []
    server.client.ask(pdu.search(BASE), 9, REQUESTED)
    canceled, done = server.client.ask(pdu.cancel(9), 10)
    assert (canceled.code, canceled.controls, done.code) == (ResultCode.CANCELED, (), 0)
    assert server.wake() == []


def test_directory_answers_where_the_control_does_not(server: Server) -> None:
    """The answer is the one without the control."""
    server.entries = 0
    assert server.client.ask(pdu.search(BASE), 7, REQUESTED) == server.client.ask(pdu.search(BASE), 7)
    assert (len(server.asked), len(server.searches)) == (1, 2)


def test_errors(server: Server) -> None:
    """A search that the control refuses fails; so does one with a malformed value, or another operation."""
    page = pdu.control(PAGED_RESULTS, value=tlv(SEQUENCE, integer(5) + octets(b"")))
    both = pdu.controls(pdu.control(ECHO, critical=True), page)
    malformed = pdu.controls(pdu.control(ECHO, critical=True, value=b"x"))
    [refused] = server.client.ask(pdu.search(BASE), 7, both)
    [wrong] = server.client.ask(pdu.search(BASE), 8, malformed)
    [inappropriate] = server.client.ask(pdu.compare(BASE, "cn", b"x"), 9, REQUESTED)
    assert [(one.code, one.diagnostic, one.controls) for one in (refused, wrong, inappropriate)] == [
        (ResultCode.UNWILLING_TO_PERFORM, "alone", ()),
        (ResultCode.PROTOCOL_ERROR, "value: not empty", ()),
        (ResultCode.UNAVAILABLE_CRITICAL_EXTENSION, "critical control is not supported", ()),
    ]
    assert [search.code for search in server.searches] == [refused.code, wrong.code]


def test_control_of_another_server() -> None:
    """Controls that one server has are not those of another one."""
    Server()
    client = Client(make_factory())
    client.bind()
    [done] = client.ask(pdu.search(BASE), 7, REQUESTED)
    assert done.code == ResultCode.UNAVAILABLE_CRITICAL_EXTENSION


def test_root_dse_lists_added_controls() -> None:
    assert set(features(tls=False, more_controls=(ECHO,)).controls) == {*features(tls=False).controls, ECHO}


# --- the login of a replica -------------------------------------------------------------------------------------------


def test_login_of_a_replica_needs_tls() -> None:
    """Off this machine: whoever reads along would get the hashes of all passwords. Phones may do without TLS."""
    viewer = Viewer("cn=branch,ou=replicas,dc=acme", replica=ReplicaAccess("acme"))
    refused: list[tuple[object, ...]] = []
    gate = replace(
        make_gate(),
        authenticate=lambda name, password, _address, _over_tls: (
            viewer if (name, password) == ("branch", b"secret") else None
        ),
        anonymous=lambda _address: NOBODY,
        replica_refused=lambda *refusal: refused.append(refusal),
    )
    factory = make_factory(gate)
    bind = pdu.bind("branch", b"secret")
    away = Client(factory)
    [bound] = away.ask(bind)
    assert (bound.code, bound.diagnostic) == (ResultCode.CONFIDENTIALITY_REQUIRED, "the login of a replica needs TLS")
    assert refused == [(viewer, "192.0.2.1", "refused: no TLS", 1)]
    assert away.protocol is not None
    assert away.protocol.login == ""
    for host, secure in (("192.0.2.1", True), ("127.0.0.1", False), ("::1", False)):
        client = Client(factory, host, secure=secure)
        assert [one.code for one in client.ask(bind)] == [0]
        # The login finds nothing by a search.
        assert [one.code for one in client.ask(pdu.search(BASE), 2)] == [ResultCode.INSUFFICIENT_ACCESS_RIGHTS]
    assert len(refused) == 1
