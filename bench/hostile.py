# SPDX-License-Identifier: MIT
"""Attacks on the gateway and on slapd, and crowds of connections of one login, as other phones notice them."""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import cycle
from math import inf
from pathlib import Path

from bench.asking import MOST_ENTRIES, WORKLOADS, Asked, search
from bench.attacks import Attack, Attacker, Findings, bombs, dribble, guess, half_handshakes, idle, read_nothing
from bench.load import Load
from bench.people import Person, person
from bench.phone import PATIENCE, Watcher
from bench.report import Figure, Results, judged, results_of, say
from bench.seed import HTTP_PHONE, OWNER, REPLICA, Account, seed
from bench.servers import Server, Variant, gateway, knows, load_slapd, login_at, slapd
from ldapgw.ber import ENUMERATED, SEQUENCE, integer, octets, tlv
from tests.support import pdu
from tests.support.slapd import PROGRAM

_PEOPLE = 10_000
_GATEWAY = Variant(ldap="max_connections = 12000\n", tls=True)
# The file descriptors that a process needs besides connections.
_OTHERS = 500


def measure(given: argparse.Namespace, folder: Path) -> Results:
    _raise_file_limit(given)
    theirs: list[Figure] = []
    if PROGRAM is not None and not given.ours:
        load_slapd(folder / "slapd", _PEOPLE, usual=True)
        with slapd(folder / "slapd", knows(_PEOPLE - 1), usual=True) as server:
            theirs += _attacks(server, given)
    return results_of("Load", "Figure", _ours(given, folder), theirs)


def _ours(given: argparse.Namespace, folder: Path) -> Iterator[Figure]:
    home = folder / "gateway"
    seed(home / "state", [Account(OWNER, range(_PEOPLE))], replica=True)
    with gateway(home, knows(_PEOPLE - 1), _GATEWAY) as server:
        yield from _attacks(server, given)
        yield from _crowds(folder, server, given)
    yield from _infix(folder, given)


def _raise_file_limit(given: argparse.Namespace) -> None:
    """Let this process have as many connections as it may, and the loads no more."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard != resource.RLIM_INFINITY and given.idle > hard - _OTHERS:
        say(f"RLIMIT_NOFILE is {hard}: {hard - _OTHERS:,} connections at most.")
        loads = ("idle", "dribbling", "handshakes")
        vars(given).update({load: min(getattr(given, load), hard - _OTHERS) for load in loads})


# --- attacks ---


def _attacks(server: Server, given: argparse.Namespace) -> Iterator[Figure]:
    """Measure a phone without an attack, and under each attack."""
    watcher = Watcher(server.target, [person(at) for at in range(_PEOPLE)], fresh_every=10)

    def under(
        load: str,
        attack: Attack,
        count: int,
        *,
        memory: str = "",
        grown: str = "",
        wait: float = 0.0,
        is_worst: bool = False,
    ) -> Generator[Figure, None, Findings]:
        """Yield a phone's figures under an attack, and return the attack's findings.

        :param memory: the goal for the server's memory, as `grown` is for its growth; empty: there is no figure.
        :param wait: the seconds that the attack has to end by itself.
        :param is_worst: whether the slowest search counts, in place of the slowest hundredth.
        """
        before, begun = server.resident, time.monotonic()
        attacker = Attacker(attack, server.target, count)
        _, p99, longest = watcher.best(given.seconds)
        yield _search(load, "longest", longest) if is_worst else _search(load, "p99", p99)
        if memory:
            yield judged(load, "memory", server.resident, memory)
        if grown:
            yield judged(load, "memory, grown", max(0.0, server.resident - before), grown)
        while time.monotonic() - begun < wait and not attacker.has_ended:
            time.sleep(0.1)
        return attacker.stop()

    median, p99, _ = watcher.best(given.seconds)
    yield Figure("none", "search, median", f"{median:.1f} ms")
    yield _search("none", "p99", p99)
    yield judged("none", "memory", server.resident, "< 300 MiB")

    load = f"{given.idle:,} idle"
    found = yield from under(load, idle, given.idle, memory="< 300 MiB")
    yield Figure(load, "held", f"{found['held']:,.0f}", "all", met=found["held"] == given.idle)

    for name, attack, count, limit in (
        ("slow-loris", dribble, given.dribbling, 35),
        ("half handshakes", half_handshakes, given.handshakes, 15),
    ):
        load = f"{count:,} {name}"
        found = yield from under(load, attack, count, wait=given.patience)
        closed = int(found["closed"])
        text = f"{closed:,}, the last after {found['last']:.1f} s" if closed else "none"
        goal = f"all, within {limit:g} s" if given.patience else ""
        yield Figure(load, "closed", text, goal, met=not goal or (closed == count and found["last"] < limit))

    yield from under(f"{given.readers} read nothing", read_nothing, given.readers, grown="< 20 MiB")
    found = yield from under("bombs", bombs, 1, grown="< 10 MiB", is_worst=True)
    yield Figure("bombs", "sent", f"{found['sent']:,.0f}")
    found = yield from under("4 guess passwords", guess, 4)
    yield judged("4 guess passwords", "guesses", found["rate"], "< 20 a second")


def _search(load: str, what: str, milliseconds: float, goal: str = "< 50 ms") -> Figure:
    text = "" if milliseconds < inf else f"no answer in {PATIENCE:g} s"
    return judged(load, f"search, {what}", milliseconds, goal, text=text)


def _infix(folder: Path, given: argparse.Namespace) -> Iterator[Figure]:
    """Have many clients search a large book for a part of a name, each client after each answer.

    The clients ask a gateway of their own that is not compiled.  Of three rounds, the best one counts.
    """
    load, home = f"{given.searching} ask for *abc*", folder / "infix"
    everybody = [person(number) for number in range(given.contacts)]
    seed(home / "state", [Account(OWNER, range(given.contacts))])
    engine = Load(home)
    with gateway(home, knows(given.contacts - 1), Variant(compiled=False)) as server:
        asked = WORKLOADS["substring"].asked(server.target.base, everybody)
        rounds = [engine.round(server, asked, given.seconds / 3, given.searching) for _ in range(3)]
    assert not any(one.errors for one in rounds)
    yield _search(load, "p99", min(one.p99 for one in rounds))
    yield _search(load, "longest", min(one.longest for one in rounds), "< 250 ms")


# --- crowds: many connections of one login, each of which asks again after each answer ---

# The number of different requests of each kind.
_REQUESTS = 200
_SORT, _LIST_VIEW = "1.2.840.113556.1.4.473", "2.16.840.1.113730.3.4.9"
_PAGES, _SYNC = "1.2.840.113556.1.4.319", "1.3.6.1.4.1.4203.1.9.1.1"


def _drawn_up(term: str, count: int) -> Callable[[Sequence[Person]], Iterable[str]]:
    """Return long filters of so many terms; two numbers tell the terms apart."""
    return lambda _: (f"(|{''.join(term.format(number, at) for at in range(count))})" for number in range(_REQUESTS))


def _sort(*names: str) -> bytes:
    return pdu.control(_SORT, value=tlv(SEQUENCE, b"".join(tlv(SEQUENCE, octets(name.encode())) for name in names)))


def _list_view(number: int) -> tuple[bytes, ...]:
    window = integer(0) + integer(10) + tlv(0xA0, integer(1 + 40 * number) + integer(_PEOPLE))
    return _sort("sn"), pdu.control(_LIST_VIEW, value=tlv(SEQUENCE, window))


_PAGE = pdu.control(_PAGES, value=tlv(SEQUENCE, integer(1000) + octets(b"")))
_REFRESH = pdu.control(_SYNC, critical=True, value=tlv(SEQUENCE, integer(1, ENUMERATED)))


@dataclass(frozen=True)
class Kind:
    """The searches of a crowd.

    :ivar filters: returns the filters for people of the book, which are asked in turn.
    :ivar controls: returns the controls of the request with a number, as `attributes` returns its attributes.
    :ivar fresh: each search has a connection of its own, with a bind.
    :ivar is_replica: the crowd's login is that of a replica.
    """

    filters: Callable[[Sequence[Person]], Iterable[str]] = WORKLOADS["list"].filters
    controls: Callable[[int], Iterable[bytes]] = lambda _: ()
    attributes: Callable[[int], tuple[str, ...]] = lambda _: ("cn",)
    size: int = 0
    fresh: bool = False
    is_replica: bool = False

    def asked(self, base: str, people: Sequence[Person]) -> Asked:
        return Asked(
            tuple(
                search(base, text, *self.controls(number), attributes=self.attributes(number), size=self.size)
                for number, text in zip(range(_REQUESTS), cycle(self.filters(people)), strict=False)
            ),
            fresh=self.fresh,
        )


_PREFIX = WORKLOADS["prefix"].filters
KINDS: Mapping[str, Kind] = {
    "names": Kind(_PREFIX, size=MOST_ENTRIES),
    "callers": Kind(WORKLOADS["reverse"].filters, size=MOST_ENTRIES),
    "parts of names": Kind(WORKLOADS["substring"].filters, size=MOST_ENTRIES),
    ":dn: terms": Kind(_drawn_up("(o:dn:=x{}y{})", 180), size=MOST_ENTRIES),
    "140 words": Kind(_drawn_up("(cn=*nobody{}x{}*)", 140), size=MOST_ENTRIES),
    "45 numbers": Kind(_drawn_up("(telephoneNumber=0301{:03}{:04})", 45), size=MOST_ENTRIES),
    "everybody": Kind(),
    # No answer to other attributes in each request is encoded already.
    "other attributes": Kind(attributes=lambda number: (f"x{number}", "cn", "sn", "telephoneNumber")),
    "a sorted list": Kind(controls=lambda _: (_sort("sn", "cn", "telephoneNumber"),)),
    "list views": Kind(controls=_list_view),
    "pages": Kind(controls=lambda _: (_PAGE,)),
    "whole copies": Kind(controls=lambda _: (_REFRESH,), attributes=lambda _: ("*", "+"), is_replica=True),
    "new connections": Kind(_PREFIX, size=MOST_ENTRIES, fresh=True),
}


def _crowds(folder: Path, server: Server, given: argparse.Namespace) -> Iterator[Figure]:
    """Measure another login alone and beside a crowd, in turn; the p99 of its searches counts.

    A crowd asks for as long before it is measured.  The load runs on a thread of the lowest priority: the bench
    measures how the server shares its time, not how the machine does.
    """
    engine, people = Load(folder), [person(at) for at in range(_PEOPLE)]
    port, tls_port = server.target.port, server.target.tls_port
    watcher, replica = Watcher(login_at(port, tls_port, HTTP_PHONE), people, 10), login_at(port, tls_port, REPLICA)
    seconds = given.seconds / 4
    for name, kind in KINDS.items():
        asked = kind.asked(server.target.base, people)
        asking = replace(server, target=replica) if kind.is_replica else server
        alone, beside = list[float](), list[float]()
        for _ in range(given.rounds):
            alone.append(watcher.best(seconds, 1)[1])
            arguments = (engine, asking, asked, 3 * seconds, given.crowd)
            crowd = threading.Thread(target=_ask, args=arguments, daemon=True)
            crowd.start()
            time.sleep(seconds)
            beside.append(watcher.best(seconds, 1)[1])
            crowd.join()
        ratio = statistics.median(more / less for less, more in zip(alone, beside, strict=True))
        text = f"{statistics.median(beside):.1f} ms, {ratio:.1f} × idle"
        load, what = f"{given.crowd} ask for {name}", "search of another login, p99"
        yield judged(load, what, ratio, "≤ 3 × idle", text=text)


def _ask(engine: Load, server: Server, asked: Asked, seconds: float, count: int) -> None:
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 19)
    engine.round(server, asked, seconds, count)
