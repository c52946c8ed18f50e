# SPDX-License-Identifier: MIT
"""Messages between processes: whole, in order, bounded, and on from the next message when a process is replaced."""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterator
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor  # noqa: TID251 (tests are an entry point)
from twisted.internet.task import deferLater

from ldapgw.directory.access import LeftOut
from ldapgw.directory.filter import SearchKind
from ldapgw.errors import ResultCode
from ldapgw.ldap.admission import ConnectionCounts
from ldapgw.ldap.server import Guesses
from ldapgw.phones.logged_search import LoggedSearch, SearchNews
from ldapgw.phones.recorder import CapturedMessages
from ldapgw.server import process_link
from ldapgw.server.counters import ProcessCounters
from ldapgw.server.metrics import ProcessFigures
from ldapgw.server.process_group import GroupNews, ProcessNews
from ldapgw.server.process_link import PACKET_OCTETS, ProcessLink, make_pair


class Ends:
    """Both ends of a pair, and what each has received."""

    def __init__(self) -> None:
        self.sockets = make_pair()
        self.received: tuple[list[Any], list[Any]] = [], []
        self.links = [self.link(0), self.link(1)]

    def link(self, side: int) -> ProcessLink:
        return ProcessLink(reactor, self.sockets[side], self.received[side].append)

    async def until_received(self, side: int, count: int) -> None:
        while len(self.received[side]) < count:
            await deferLater(reactor, 0.001)


@pytest.fixture
def ends() -> Iterator[Ends]:
    ends = Ends()
    for link in ends.links:
        link.start()
    yield ends
    for link in ends.links:
        link.stop()
    for one in ends.sockets:
        one.close()


@pytest_twisted.ensureDeferred
async def test_messages_of_any_size_arrive_whole_and_in_order(ends: Ends) -> None:
    sent = [b"", os.urandom(PACKET_OCTETS - 1), {"a": (1, 2.5)}, os.urandom(3 * PACKET_OCTETS + 7), os.urandom(1 << 20)]
    for message in sent:
        assert ends.links[0].send(message)
        assert ends.links[1].send([message])
    await ends.until_received(1, len(sent))
    await ends.until_received(0, len(sent))
    assert ends.received[1] == sent
    assert ends.received[0] == [[message] for message in sent]


@pytest_twisted.ensureDeferred
async def test_who_does_not_read_is_told_later(ends: Ends, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that hangs does not fill the memory of the others."""
    monkeypatch.setattr(process_link, "MAX_PENDING_OCTETS", 1 << 20)
    ends.links[1].stop()
    sent = 0
    while ends.links[0].send(os.urandom(100_000)):
        sent += 1
    assert 10 <= sent <= 20
    ends.links[1].start()
    await ends.until_received(1, sent)
    assert ends.links[0].send("more")
    await ends.until_received(1, sent + 1)
    assert ends.received[1][-1] == "more"


@pytest_twisted.ensureDeferred
async def test_a_process_that_died_within_a_message_is_followed_by_the_next(ends: Ends) -> None:
    octets = pickle.dumps("never whole")
    ends.sockets[0].send(b"\x01" + octets[:5])
    ends.link(0).send("from the next")
    await ends.until_received(1, 1)
    assert ends.received[1] == ["from the next"]


@pytest_twisted.ensureDeferred
async def test_who_takes_over_in_the_middle_begins_with_the_next_message(ends: Ends) -> None:
    """The process before has read the beginning."""
    octets = pickle.dumps("half read")
    ends.sockets[0].send(b"\x02" + octets[5:])
    ends.links[0].send("whole")
    await ends.until_received(1, 1)
    assert ends.received[1] == ["whole"]


@pytest_twisted.ensureDeferred
async def test_what_cannot_be_used_is_logged_and_the_next_message_arrives(
    ends: Ends, caplog_twisted: list[str]
) -> None:
    ends.sockets[0].send(b"\x03no pickle")
    ends.links[0].send("good")
    await ends.until_received(1, 1)
    assert ends.received[1] == ["good"]
    assert caplog_twisted == ["a message of another process of the gateway cannot be used"]


@pytest_twisted.ensureDeferred
async def test_the_end_of_the_supervisor_stops_the_link(ends: Ends) -> None:
    """It holds the sockets; without it no process is replaced any more."""
    ends.links[0].stop()
    ends.sockets[0].close()
    del ends.links[0]
    while ends.links[0] in reactor.getReaders():
        await deferLater(reactor, 0.001)
    assert ends.links[0].send("nobody reads this")


@pytest_twisted.ensureDeferred
async def test_what_processes_tell_each_other_arrives_as_it_was_sent(ends: Ends) -> None:
    """Values of all classes that messages have, compiled ones too."""
    process = ProcessCounters()
    process.searches.observe("", "", b"", 1, ResultCode.SUCCESS, 0.25, SearchKind.NAME)
    counts = ConnectionCounts(2, {"192.0.2.0": 2})
    guesses = Guesses({"192.0.2.0": 1, 17: 1}, {"cn=desk1": 3})
    search = LoggedSearch("cn=desk1", "192.0.2.7", b"message", 1, ResultCode.SUCCESS, 0.25, 5.0)
    news = ProcessNews(
        ProcessFigures.of_this_process(process, 2, 1, []),
        counts,
        {"desk1": ("192.0.2.7", "hash", 5.0)},
        SearchNews((search,), {"192.0.2.9": 4.0}),
        {("desk1", "192.0.2.7"): (5.0, 2)},
        guesses,
        (LeftOut("cn=desk1", ("acme",), "192.0.2.7", 3, 5.0),),
        {"desk1": CapturedMessages(5.0, (), 2)},
        is_last=True,
    )
    back = GroupNews(True, guesses, counts, {})
    assert ends.links[0].send(news)
    assert ends.links[1].send(back)
    await ends.until_received(1, 1)
    await ends.until_received(0, 1)
    assert ends.received == ([back], [news])
