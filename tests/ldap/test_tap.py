# SPDX-License-Identifier: MIT
"""A tap gets what a connection receives and sends, on each way through the server, and harms no client."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.task import Clock

from ldapgw.ldap.connection_core import Tap
from tests.support import pdu
from tests.support.filter_text import encode, read_filter
from tests.support.phonebook.wire import BASE, DESK1, SECRET, Client, Contexts, make_dit, make_factory, make_gate, turn

BIND = pdu.message(99, pdu.bind(DESK1, SECRET))
NAME = pdu.search(BASE, 2, encode(read_filter("(cn=User 00001)")), ("cn",))
EVERYBODY = pdu.search(BASE, 2)


class Tapped:
    """Keeps the octets of taps, by connection in the order of their first octets."""

    def __init__(self) -> None:
        self.connections: list[list[tuple[str, bool, bytes]]] = []

    def make(self) -> Tap:
        seen: list[tuple[str, bool, bytes]] = []
        self.connections.append(seen)

        def tap(login: str, is_sent: bool, octets: bytes) -> None:
            seen.append((login, is_sent, octets))

        return tap

    def octets(self, *, is_sent: bool, connection: int = 0) -> bytes:
        return b"".join(octets for _, sent, octets in self.connections[connection] if sent is is_sent)


def test_all_that_is_received_and_sent_is_reported_with_its_login() -> None:
    """Both the fast and the slow path are tapped, with a message in two parts and two messages in one."""
    factory, tapped = make_factory(), Tapped()
    factory.tap(tapped.make)
    client = Client(factory)
    sent = [BIND, pdu.message(1, NAME), pdu.message(2, pdu.WHO_AM_I), pdu.message(3, NAME) + pdu.message(4, NAME)]
    for octets in (*sent[:2], sent[2][:5], sent[2][5:], sent[3]):
        client.deliver(octets)
    assert tapped.octets(is_sent=False) == b"".join(sent)
    assert tapped.octets(is_sent=True) == client.transport.value()
    logins = [login for login, is_sent, _ in tapped.connections[0] if is_sent]
    assert set(logins) == {DESK1}
    assert tapped.connections[0][0] == ("", False, BIND)


def test_long_answers_are_reported_as_they_are_written() -> None:
    """Page by page, in their order."""
    clock, tapped = Clock(), Tapped()
    factory = make_factory(make_gate(make_dit(1000)), clock, size_limit=5000)
    factory.tap(tapped.make)
    client = Client(factory)
    client.bind()
    client.deliver(pdu.message(1, EVERYBODY))
    while clock.calls and len(pdu.responses(client.transport.value())) < 1000:
        turn(clock)
    assert len(tapped.connections[0]) > 4
    assert tapped.octets(is_sent=True).endswith(client.transport.value())


def test_open_connections_are_tapped_and_left_again() -> None:
    """Others than the one that was open are tapped too, each by a tap of its own."""
    factory, tapped = make_factory(), Tapped()
    before = Client(factory)
    before.bind()
    factory.tap(tapped.make)
    after = Client(factory)
    after.bind()
    before.ask(NAME, 1)
    factory.tap(None)
    for client in (before, after, Client(factory)):
        client.ask(NAME, 2)
    assert [len(seen) for seen in tapped.connections] == [2, 2]
    assert tapped.octets(is_sent=False) == pdu.message(1, NAME)


def test_what_follows_start_tls_is_reported_too() -> None:
    """As the session reads it."""
    factory, tapped = make_factory(tls=Contexts()), Tapped()
    factory.tap(tapped.make)
    client = Client(factory)
    client.deliver(pdu.message(1, pdu.START_TLS))
    client.deliver(BIND)
    assert tapped.octets(is_sent=False) == pdu.message(1, pdu.START_TLS) + BIND
    assert tapped.octets(is_sent=True) == client.transport.value()


def test_a_tap_that_fails_harms_nobody() -> None:
    """It is counted as an error of ours, and not called again."""
    factory, calls = make_factory(), []
    failures: list[Exception] = []
    factory.count_failure = lambda error, _connection, _tenant: failures.append(error)

    def tap(login: str, is_sent: bool, octets: bytes) -> None:
        calls.append(octets)
        raise KeyError(login)

    make: Callable[[], Tap] = lambda: tap  # noqa: E731
    factory.tap(make)
    client = Client(factory)
    client.bind()
    assert [one.code for one in client.ask(NAME)] == [None, 0]
    assert calls == [BIND]
    assert [type(one) for one in failures] == [KeyError]
