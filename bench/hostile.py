# SPDX-License-Identifier: MIT
"""Attacks on the gateway and on slapd, and crowds of connections of one login, as other phones notice them."""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from math import inf
from pathlib import Path
from types import MappingProxyType

from bench.asking import EVERYBODY, MOST_ENTRIES, WORKLOADS, Asked, search
from bench.attacks import Attack, Attacker, bombs, dribble, guess, half_handshakes, idle, read_nothing
from bench.load import Load
from bench.people import Person, person
from bench.phone import PATIENCE, Watcher
from bench.report import Figure, Results, figure_table, judged, say
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
    ours, theirs = list[Figure](), list[Figure]()
    home = folder / "gateway"
    seed(home / "state", [Account(OWNER, range(_PEOPLE))], replica=True)
    with gateway(home, knows(_PEOPLE - 1), _GATEWAY) as server:
        _keep(ours, server.name, _attacks(server, given))
        _keep(ours, server.name, _crowds(folder, server, given))
    if PROGRAM is not None and not given.ours:
        load_slapd(folder / "slapd", _PEOPLE, usual=True)
        with slapd(folder / "slapd", knows(_PEOPLE - 1), usual=True) as server:
            _keep(theirs, server.name, _attacks(server, given))
    _keep(ours, "ldapgw", _infix(folder, given))
    return Results(figure_table("Load", "Figure", ours, theirs), all(one.met for one in ours))


def _keep(found: list[Figure], name: str, measured: Iterable[Figure]) -> None:
    for figure in measured:
        say(f"{name}: {figure.load}: {figure.what}: {figure.text}")
        found.append(figure)


def _raise_file_limit(given: argparse.Namespace) -> None:
    """Let this process have as many connections as it may, and the loads no more."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    most = hard - _OTHERS
    if hard != resource.RLIM_INFINITY and given.idle > most:
        say(f"RLIMIT_NOFILE is {hard}: {most:,} connections at most.")
        for load in ("idle", "dribbling", "handshakes"):
            setattr(given, load, min(getattr(given, load), most))


# --- attacks ---


@dataclass(frozen=True)
class _Noticed:
    """A phone's view of an attack: times of its searches in milliseconds, and memory in MiB.

    :ivar grown: how much more memory the server holds than before the attack.
    """

    median: float
    p99: float
    longest: float
    resident: float
    grown: float


def _attacks(server: Server, given: argparse.Namespace) -> Iterator[Figure]:
    """Measure a phone without an attack, and under each attack."""
    watcher = Watcher(server.target, [person(at) for at in range(_PEOPLE)], fresh_every=10)

    def under(attack: Attack, count: int) -> tuple[_Noticed, Attacker]:
        before = server.resident
        attacker = Attacker(attack, server.target, count)
        times = watcher.best(given.seconds)
        return _Noticed(*times, server.resident, max(0.0, server.resident - before)), attacker

    median, p99, _ = watcher.best(given.seconds)
    yield Figure("none", "search, median", f"{median:.1f} ms")
    yield _search("none", "p99", p99)
    yield judged("none", "memory", server.resident, "< 300 MiB")

    load = f"{given.idle:,} idle"
    noticed, attacker = under(idle, given.idle)
    held = int(attacker.stop()["held"])
    yield Figure(load, "held", f"{held:,}", "all", met=held == given.idle)
    yield _search(load, "p99", noticed.p99)
    yield judged(load, "memory", noticed.resident, "< 300 MiB")

    for name, attack, count, limit in (
        ("slow-loris", dribble, given.dribbling, 35),
        ("half handshakes", half_handshakes, given.handshakes, 15),
    ):
        load, begun = f"{count:,} {name}", time.monotonic()
        noticed, attacker = under(attack, count)
        yield _search(load, "p99", noticed.p99)
        while time.monotonic() - begun < given.patience and not attacker.has_ended:
            time.sleep(0.1)
        found = attacker.stop()
        closed = int(found["closed"])
        text = f"{closed:,}, the last after {found['last']:.1f} s" if closed else "none"
        goal = f"all, within {limit:g} s" if given.patience else ""
        yield Figure(load, "closed", text, goal, met=not goal or (closed == count and found["last"] < limit))

    load = f"{given.readers} read nothing"
    noticed, attacker = under(read_nothing, given.readers)
    yield _search(load, "p99", noticed.p99)
    yield judged(load, "memory, grown", noticed.grown, "< 20 MiB")
    attacker.stop()

    noticed, attacker = under(bombs, 1)
    yield Figure("bombs", "sent", f"{attacker.stop()['sent']:,.0f}")
    yield _search("bombs", "longest", noticed.longest)
    yield judged("bombs", "memory, grown", noticed.grown, "< 10 MiB")

    load = "4 guess passwords"
    noticed, attacker = under(guess, 4)
    yield judged(load, "guesses", attacker.stop()["rate"], "< 20 a second")
    yield _search(load, "p99", noticed.p99)


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


@dataclass(frozen=True)
class Kind:
    """The searches of a crowd.

    :ivar requests: returns requests for a base and for people of the book.
    :ivar fresh: each search has a connection of its own, with a bind.
    :ivar is_replica: the crowd's login is that of a replica.
    """

    requests: Callable[[str, list[Person]], Iterable[bytes]]
    fresh: bool = False
    is_replica: bool = False


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
        asked = Asked(tuple(kind.requests(server.target.base, people)), fresh=kind.fresh)
        asking = replace(server, target=replica) if kind.is_replica else server
        alone, beside = list[float](), list[float]()
        for _ in range(given.rounds):
            alone.append(watcher.times(seconds)[1])
            arguments = (engine, asking, asked, 3 * seconds, given.crowd)
            crowd = threading.Thread(target=_ask, args=arguments, daemon=True)
            crowd.start()
            time.sleep(seconds)
            beside.append(watcher.times(seconds)[1])
            crowd.join()
        ratio = statistics.median(more / less for less, more in zip(alone, beside, strict=True))
        text = f"{statistics.median(beside):.1f} ms, {ratio:.1f} × idle"
        load, what = f"{given.crowd} ask for {name}", "search of another login, p99"
        yield judged(load, what, ratio, "≤ 3 × idle", text=text)


def _ask(engine: Load, server: Server, asked: Asked, seconds: float, count: int) -> None:
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 19)
    engine.round(server, asked, seconds, count)


def _few(base: str, filters: Iterable[str], *controls: bytes, size: int = MOST_ENTRIES) -> Iterator[bytes]:
    for text, _ in zip(filters, range(_REQUESTS), strict=False):
        yield search(base, text, *controls, attributes=("cn",), size=size)


def _of_load(base: str, people: list[Person], *, name: str) -> Iterator[bytes]:
    return _few(base, WORKLOADS[name].filters(people))


def _drawn_up(base: str, _people: list[Person], *, term: str, count: int) -> Iterator[bytes]:
    """Yield long filters of so many terms; two numbers tell the terms apart."""
    numbers = range(_REQUESTS)
    return _few(base, (f"(|{''.join(term.format(number, at) for at in range(count))})" for number in numbers))


def _everybody(base: str, _people: list[Person], *controls: bytes) -> Iterator[bytes]:
    return _few(base, (EVERYBODY,), *controls, size=0)


def _everybody_otherwise(base: str, _people: list[Person]) -> Iterator[bytes]:
    for number in range(_REQUESTS):  # other attributes in each request, so that no answer is encoded already
        yield search(base, EVERYBODY, attributes=(f"x{number}", "cn", "sn", "telephoneNumber"), size=0)


def _sorted(base: str, people: list[Person]) -> Iterator[bytes]:
    return _everybody(base, people, _sort("sn", "cn", "telephoneNumber"))


def _list_views(base: str, people: list[Person]) -> Iterator[bytes]:
    for number in range(_REQUESTS):
        window = integer(0) + integer(10) + tlv(0xA0, integer(1 + 40 * number) + integer(_PEOPLE))
        yield from _everybody(base, people, _sort("sn"), pdu.control(_LIST_VIEW, value=tlv(SEQUENCE, window)))


def _pages(base: str, people: list[Person]) -> Iterator[bytes]:
    return _everybody(base, people, pdu.control(_PAGES, value=tlv(SEQUENCE, integer(1000) + octets(b""))))


def _copies(base: str, _people: list[Person]) -> Iterator[bytes]:
    refresh = pdu.control(_SYNC, critical=True, value=tlv(SEQUENCE, integer(1, ENUMERATED)))
    yield search(base, EVERYBODY, refresh, attributes=("*", "+"), size=0)


def _sort(*names: str) -> bytes:
    return pdu.control(_SORT, value=tlv(SEQUENCE, b"".join(tlv(SEQUENCE, octets(name.encode())) for name in names)))


KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        "names": Kind(partial(_of_load, name="prefix")),
        "callers": Kind(partial(_of_load, name="reverse")),
        "parts of names": Kind(partial(_of_load, name="substring")),
        ":dn: terms": Kind(partial(_drawn_up, term="(o:dn:=x{}y{})", count=180)),
        "140 words": Kind(partial(_drawn_up, term="(cn=*nobody{}x{}*)", count=140)),
        "45 numbers": Kind(partial(_drawn_up, term="(telephoneNumber=0301{:03}{:04})", count=45)),
        "everybody": Kind(_everybody),
        "other attributes": Kind(_everybody_otherwise),
        "a sorted list": Kind(_sorted),
        "list views": Kind(_list_views),
        "pages": Kind(_pages),
        "whole copies": Kind(_copies, is_replica=True),
        "new connections": Kind(partial(_of_load, name="prefix"), fresh=True),
    }
)
