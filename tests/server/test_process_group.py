# SPDX-License-Identifier: MIT
"""What the processes of one gateway count together; they tell each other over real sockets, on a clock of the test."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from twisted.internet.task import Clock

from ldapgw.directory.catalog import Catalog, Snapshot
from ldapgw.directory.dit import Dit
from ldapgw.directory.filter import SearchKind
from ldapgw.directory.special_entries import Features
from ldapgw.errors import ResultCode
from ldapgw.ldap.admission import FIRST_DELAY
from ldapgw.ldap.server import LdapFactory
from ldapgw.phones.recorder import Captures
from ldapgw.phones.refused_logins import RefusedLogins
from ldapgw.phones.search_log import SearchLog
from ldapgw.server.counters import ProcessCounters
from ldapgw.server.metrics import ProcessFigures
from ldapgw.server.process_group import GroupLeader, GroupMember
from ldapgw.server.process_link import ProcessLink, make_pair
from ldapgw.server.threads import WorkerThread
from tests.support import pdu
from tests.support.phonebook.wire import Client, make_factory

COUNT = 3
GUESSES = 4
# Until all processes count what one of them was asked.
TOGETHER_SECONDS = 1.0
TURN_SECONDS = 0.05
GUESS = pdu.bind("desk1", b"a guess")
NO_REACTOR: Any = None


class Sockets:
    """The part of a reactor that watches sockets: a test says when they are read."""

    def __init__(self) -> None:
        self.readers: list[Any] = []

    def addReader(self, reader: Any) -> None:  # noqa: N802 - Twisted's name
        self.readers.append(reader)

    def removeReader(self, reader: Any) -> None:  # noqa: N802 - Twisted's name
        self.readers.remove(reader)

    def removeWriter(self, writer: Any) -> None:  # noqa: N802 - Twisted's name
        """Nothing waits for room in these sockets."""


class Processes:
    """The LDAP servers of several processes, the first of which leads, and what they tell each other."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.factories: list[LdapFactory] = []
        self.figures = [ProcessFigures(pid=number) for number in range(1, COUNT + 1)]
        self._sockets: Any = Sockets()
        self._pairs = [make_pair() for _ in range(COUNT - 1)]
        self._link = partial(ProcessLink, self._sockets)
        self.leader = self._start_leader()
        for number, (_, second) in enumerate(self._pairs, 1):
            link = partial(self._link, second)
            GroupMember(make_link=link, changed=lambda: None, **self._parts(number)).startService()

    def _start_leader(self, *, takes_over: bool = False) -> GroupLeader:
        links = [partial(self._link, first) for first, _ in self._pairs]
        leader = GroupLeader(make_links=links, takes_over=takes_over, **self._parts(0))
        leader.startService()
        return leader

    def replace_leader(self) -> None:
        """Have the first process end, and another one take its place."""
        self.leader.stopService()
        self.pass_second()
        self.leader = self._start_leader(takes_over=True)
        self.pass_second()

    def _parts(self, number: int) -> dict[str, Any]:
        """Those of one process."""
        seconds = self.clock.seconds
        ldap = make_factory(clock=self.clock)
        self.factories.append(ldap)
        catalog = Catalog(Snapshot(Dit((), Features("1"))), {}, seconds)
        store: Any = None  # nothing is stored here
        refused_logins = RefusedLogins(
            clock=self.clock,
            store=store,
            find_login=catalog.find_login,
            last_login=catalog.last_login,
            logins=lambda: catalog.snapshot.logins,
            bases={},
            on_refusal=lambda _: None,
        )
        return {
            "clock": self.clock,
            "catalog": catalog,
            "ldap": ldap,
            "search_log": SearchLog(seconds, lambda _: None),
            "refused_logins": refused_logins,
            "captures": Captures(seconds, ldap.tap),
            "figures": lambda: self.figures[number],
        }

    def pass_second(self) -> None:
        """Have the processes tell each other what is new, and read it."""
        for _ in range(round(TOGETHER_SECONDS / TURN_SECONDS)):
            self.clock.advance(TURN_SECONDS)
            for reader in self._sockets.readers:
                reader.doRead()

    def end(self) -> None:
        for end in (end for pair in self._pairs for end in pair):
            end.close()


@pytest.fixture(name="processes")
def _processes() -> Iterator[Processes]:
    processes = Processes()
    yield processes
    processes.end()


def figures(pid: int, searches: int) -> ProcessFigures:
    """Those of a process with some searches, each of which took a second."""
    counters = ProcessCounters()
    thread = WorkerThread(NO_REACTOR, "store", 1)
    for _ in range(searches):
        counters.searches.observe("", "", b"", 1, ResultCode.SUCCESS, 1.0, SearchKind.NAME)
        counters.count_bind(ResultCode.SUCCESS)
        for histogram in (counters.reactor_lag, counters.generation_lag, thread.waits):
            histogram.observe(1.0)
    found = ProcessFigures.of_this_process(counters, 0, 0, [thread])
    return replace(found, pid=pid, resident_octets=0, cpu_seconds=float(searches))


def test_all_figures_begin_anew_with_the_first_process(processes: Processes) -> None:
    """A sum that fell by those of one process alone, Prometheus would take for one that has begun at zero."""

    def found() -> list[ProcessFigures]:
        processes.pass_second()
        return [replace(one, pid=0) for one in processes.leader.figures().values()]

    processes.figures[:] = [figures(1, 100), figures(2, 50), figures(3, 30)]
    assert found() == [figures(0, 100), figures(0, 50), figures(0, 30)]
    processes.figures[1] = figures(4, 5)  # another process in the place of the second
    assert found() == [figures(0, 100), figures(0, 55), figures(0, 30)]
    processes.figures[0] = figures(5, 0)
    processes.replace_leader()
    assert found() == [figures(0, 0)] * 3
    processes.figures[:] = [figures(5, 1), figures(4, 7), figures(6, 4)]  # another one in the place of the third too
    assert found() == [figures(0, 1), figures(0, 2), figures(0, 4)]


@pytest.mark.parametrize(("asked", "other"), [(0, 1), (1, 0), (1, 2)], ids=["first", "to the first", "others"])
def test_wrong_passwords_at_one_process_delay_the_answer_at_another(
    processes: Processes, asked: int, other: int
) -> None:
    """Within a second, whether that login is guessed from another network, or another login from the same network."""
    for _ in range(GUESSES):
        Client(processes.factories[asked], "192.0.2.1").ask(GUESS)
    processes.pass_second()
    same_login = Client(processes.factories[other], "198.51.100.1")
    same_network = Client(processes.factories[other], "192.0.2.1")
    neither = Client(processes.factories[other], "203.0.113.1")
    answers = [
        *same_login.ask(GUESS),
        *same_network.ask(pdu.bind("desk2", b"a guess")),
        *neither.ask(pdu.bind("desk3", b"a guess")),
    ]
    assert answers == []
    processes.clock.advance(FIRST_DELAY)
    assert [len(client.received()) for client in (same_login, same_network, neither)] == [0, 0, 1]
    processes.clock.advance(FIRST_DELAY * 2**GUESSES - FIRST_DELAY - 0.01)
    assert [len(client.received()) for client in (same_login, same_network)] == [0, 0]
    processes.clock.advance(0.01)
    assert [one.code for client in (same_login, same_network) for one in client.received()] == [49, 49]
