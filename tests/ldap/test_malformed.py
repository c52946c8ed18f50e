# SPDX-License-Identifier: MIT
"""Hostile and malformed messages: each ends acceptably, quickly, and without a word in the log.

Once over a transport in memory, where time is ours, and once against a listener in a process of its own, whose work,
memory and log are measured from outside.
"""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from tests.ldap.corpus import CASES, Case, tokens
from tests.support import pdu
from tests.support.pdu import whole_messages
from tests.support.phonebook.served import Served, serving
from tests.support.phonebook.wire import LOCAL_NET, Client, LiveClock, make_factory, turn

PING = pdu.message(1, pdu.search("", 0))
# Seconds of the server's work until somebody else is answered.
PATIENCE = 0.1
# Seconds of silence after which nothing more is expected; a wrong password is answered after a quarter of one.
SILENCE = 0.7
ROUNDS = 5
# Octets that its memory may grow by: less than the corpus, which has 1 MiB, would take five times.
GROWTH = 4 << 20


def spent(do, *arguments) -> float:
    """Seconds of work."""
    begun = time.process_time()
    do(*arguments)
    return time.process_time() - begun


def judge(case: Case, seen: set[str], *, closed: bool) -> None:
    """Hold what happened against what may."""
    assert seen <= case.acceptable, case.name
    if "notice" in seen:
        assert closed


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_hostile_message_ends_acceptably(case, trouble):
    """Meanwhile others are served, and afterwards nothing is left."""
    clock = LiveClock()
    factory = make_factory(clock=clock)
    client, other = Client(factory, LOCAL_NET + "7"), Client(factory)
    longest = spent(client.deliver, case.octets)
    for _ in range(200):
        longest = max(longest, spent(turn, clock))
    clock.rightNow += 1.0  # a wrong password is answered by then
    turn(clock)
    found = client.received()
    assert longest < PATIENCE
    other.deliver(pdu.message(1, pdu.search("", 0)))
    for _ in range(5):  # the first search of a process may take more than a slice
        turn(clock)
    assert [one.kind for one in other.received()] == [0x64, 0x65]

    seen = tokens(found, closed=client.closed)
    judge(case, seen, closed=client.closed)
    assert trouble == []
    if seen == {"ignore"}:
        incomplete = client.protocol._framer.partial
        clock.pump([1] * 60)
        assert client.closed == incomplete


# --- a listener in a process of its own -------------------------------------------------------------------------------


class Line:
    """A connection to the listener, from an address of its own, so that no case pays for another's wrong passwords.

    :ivar answered: what came.
    :ivar closed: whether the server has closed the connection.
    :ivar waited: seconds that the server worked while somebody else's request waited.
    """

    def __init__(self, server: Served, number: int) -> None:
        self.answered, self.closed, self.waited = b"", False, 0.0
        address = f"127.{1 + number // 60_000}.{number // 250 % 240}.{1 + number % 250}"
        self.socket = socket.create_connection(("127.0.0.1", server.port), 10, source_address=(address, 0))

    def send(self, octets: bytes) -> None:
        """All of it, or as much as the server takes before it closes."""
        with suppress(BrokenPipeError, ConnectionResetError):
            self.socket.sendall(octets)

    def read(self) -> None:
        """What is there now."""
        try:
            received = self.socket.recv(1 << 18)
        except ConnectionResetError:
            received = b""
        self.answered += received
        self.closed = not received


def read_until(lines: dict[socket.socket, Line], seconds: float) -> None:
    """Read all lines that are open, until none has said anything for so long, or all are closed."""
    while lines:
        ready, _, _ = select.select(list(lines), [], [], seconds)
        if not ready:
            return
        for one in ready:
            lines[one].read()
            if lines[one].closed:
                del lines[one]


class Attack:
    """The corpus, sent case by case, each on a connection of its own; somebody else asks meanwhile."""

    def __init__(self, server: Served) -> None:
        self._server = server
        self._made = 0

    @contextmanager
    def lines(self) -> Iterator[dict[str, Line]]:
        """One round: the lines by the names of their cases, once nothing more comes."""
        other = self._line()
        lines: dict[str, Line] = {}
        try:
            for case in CASES:
                lines[case.name] = line = self._line()
                line.send(case.octets)
                line.waited = self._ping(other)
            read_until({line.socket: line for line in lines.values()}, SILENCE)
            yield lines
        finally:
            for line in (other, *lines.values()):
                line.socket.close()

    def _line(self) -> Line:
        self._made += 1
        return Line(self._server, self._made)

    def _ping(self, other: Line) -> float:
        """Seconds that the server works until it has answered."""
        begun = self._server.worked
        other.send(PING)
        answered = b""
        while not answered.endswith(b"\x0a\x01\x00\x04\x00\x04\x00"):
            received = other.socket.recv(1 << 16)
            assert received
            answered += received
        return self._server.worked - begun


def test_a_listener_ends_all_of_them_acceptably(tmp_path):
    """With whole messages and an empty log; nobody else waits, and the memory does not grow after the first round."""
    with serving(tmp_path) as server:
        attack = Attack(server)
        with attack.lines() as lines:
            for case in CASES:
                line = lines[case.name]
                assert whole_messages(line.answered) == len(line.answered), case.name
                judge(case, tokens(pdu.responses(line.answered), closed=line.closed), closed=line.closed)
                assert line.waited < PATIENCE, case.name
        resident = server.resident
        for _ in range(ROUNDS):
            with attack.lines() as again:
                assert {name: one.closed for name, one in again.items()} == {
                    name: one.closed for name, one in lines.items()
                }
        assert server.resident - resident < GROWTH
    assert server.said == ""


@pytest.mark.long
def test_what_waits_for_the_rest_of_a_message_is_gone_after_half_a_minute(tmp_path):
    """And whatever is still open then is a session like any other."""
    with serving(tmp_path) as server, Attack(server).lines() as lines:
        cut = {lines[name].socket: lines[name] for name in ("ber-truncated-1", "ber-truncated-half")}
        assert not any(line.closed for line in cut.values())
        read_until(cut, 40.0)
        assert cut == {}
        waiting = {line.socket: line for line in lines.values() if not line.closed}
        for line in waiting.values():
            line.answered = b""
            line.send(PING)
        read_until(dict(waiting), SILENCE)
        for line in waiting.values():
            assert [one.kind for one in pdu.responses(line.answered)] == [0x64, 0x65]
