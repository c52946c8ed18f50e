# SPDX-License-Identifier: MIT
"""The runs: a load, what a phone notices of it, and what is expected."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path

from bench import people
from bench.asking import substring
from bench.attacks import Attack, Attacker, bombs, dribble, guess, half_handshakes, idle, read_nothing
from bench.crowd import KINDS, beside_crowd
from bench.directory import servers
from bench.load import Load
from bench.phone import PATIENCE, measure
from bench.process import Server
from bench.report import Figure
from bench.seed import alone, seed
from bench.servers import target_of


@dataclass(frozen=True)
class Scale:
    """How much of everything.

    :ivar seconds: for how long a phone searches under each load.
    :ivar patience: seconds until connections that should be closed are given up; 0: that is not waited for.
    :ivar contacts: in the book that is searched for a part of a name.
    :ivar searching: clients that do so at once.
    :ivar crowd: connections of one login.
    :ivar rounds: how often another login is measured beside a crowd, and alone.
    """

    idle: int
    dribbling: int
    readers: int
    handshakes: int
    seconds: float
    patience: float
    contacts: int
    searching: int
    crowd: int
    rounds: int


FULL = Scale(
    idle=10_000,
    dribbling=5_000,
    readers=20,
    handshakes=2_000,
    seconds=9.0,
    patience=40.0,
    contacts=50_000,
    searching=100,
    crowd=500,
    rounds=3,
)
QUICK = Scale(
    idle=100,
    dribbling=50,
    readers=3,
    handshakes=20,
    seconds=0.3,
    patience=0.0,
    contacts=500,
    searching=10,
    crowd=20,
    rounds=1,
)

# How many times as long as beside nobody another login may wait beside a crowd.
_CROWD_GOAL = 3


def run(server: Server, scale: Scale) -> Iterator[Figure]:
    """All figures of one server."""
    quiet = measure(server.target, scale.seconds)
    yield Figure("none", "search, median", f"{quiet.median:.1f} ms")
    yield _p99("none", quiet.p99)
    yield _below("none", "memory", server.resident, 300, "MiB")
    yield from _idle(server, scale)
    yield from _until_gone(server, scale, f"{scale.dribbling:,} slow-loris", dribble, scale.dribbling, 35)
    yield from _until_gone(
        server, scale, f"{scale.handshakes:,} half handshakes", half_handshakes, scale.handshakes, 15
    )
    yield from _readers(server, scale)
    yield from _bombs(server, scale)
    yield from _guesser(server, scale)


def crowds(folder: Path, server: Server, scale: Scale) -> Iterator[Figure]:
    """What another login notices of many connections of one login, whatever they ask; of ldapgw alone."""
    engine, target = Load(folder), server.target
    other, replica = (target_of(login, target.port, target.tls_port) for login in ("desk2", "branch"))
    for name, kind in KINDS.items():
        crowd = replace(server, target=replica) if kind.is_replica else server
        noticed = beside_crowd(engine, name, crowd, other, scale.crowd, scale.seconds / 4, scale.rounds)
        text = f"{statistics.median(noticed.beside):.1f} ms, {noticed.ratio:.1f} × idle"
        yield Figure(
            f"{scale.crowd} ask for {name}",
            "search of another login, p99",
            text,
            f"≤ {_CROWD_GOAL} × idle",
            met=noticed.ratio <= _CROWD_GOAL,
        )


def _below(load: str, what: str, value: float, limit: float, unit: str) -> Figure:
    text = f"{value:.1f} {unit}" if value < inf else f"no answer in {PATIENCE:g} s"
    return Figure(load, what, text, f"< {limit:g} {unit}", met=value < limit)


def _p99(load: str, p99: float) -> Figure:
    return _below(load, "search, p99", p99, 50, "ms")


def _idle(server: Server, scale: Scale) -> Iterator[Figure]:
    load = f"{scale.idle:,} idle"
    attacker = Attacker(idle, server.target, scale.idle)
    latency, resident = measure(server.target, scale.seconds), server.resident
    held = int(attacker.stop()["held"])
    yield Figure(load, "held", f"{held:,}", "all", met=held == scale.idle)
    yield _p99(load, latency.p99)
    yield _below(load, "memory", resident, 300, "MiB")


def _until_gone(server: Server, scale: Scale, load: str, attack: Attack, count: int, limit: float) -> Iterator[Figure]:
    begun = time.monotonic()
    attacker = Attacker(attack, server.target, count)
    latency = measure(server.target, scale.seconds)
    yield _p99(load, latency.p99)
    while scale.patience and time.monotonic() - begun < scale.patience and not attacker.ended:
        time.sleep(0.1)
    found = attacker.result() if attacker.ended else attacker.stop()
    closed = int(found["closed"])
    text = f"{closed:,}, the last after {found['last']:.1f} s" if closed else "none"
    goal = f"all, within {limit:g} s" if scale.patience else ""
    yield Figure(load, "closed", text, goal, met=not goal or (closed == count and found["last"] < limit))


def _readers(server: Server, scale: Scale) -> Iterator[Figure]:
    load = f"{scale.readers} read nothing"
    before = server.resident
    attacker = Attacker(read_nothing, server.target, scale.readers)
    latency = measure(server.target, scale.seconds)
    yield _p99(load, latency.p99)
    yield _below(load, "memory, grown", max(0.0, server.resident - before), 20, "MiB")
    attacker.stop()


def _bombs(server: Server, scale: Scale) -> Iterator[Figure]:
    load = "bombs"
    before = server.resident
    attacker = Attacker(bombs, server.target, 1)
    latency = measure(server.target, scale.seconds)
    sent = attacker.stop()["sent"]
    yield Figure(load, "sent", f"{sent:,.0f}")
    yield _below(load, "search, longest", latency.longest, 50, "ms")
    yield _below(load, "memory, grown", max(0.0, server.resident - before), 10, "MiB")


def _guesser(server: Server, scale: Scale) -> Iterator[Figure]:
    load = "4 guess passwords"
    attacker = Attacker(guess, server.target, 4)
    latency = measure(server.target, scale.seconds)
    rate = attacker.stop()["rate"]
    yield _below(load, "guesses", rate, 20, "a second")
    yield _p99(load, latency.p99)


def infix(folder: Path, scale: Scale) -> Iterator[Figure]:
    """Many clients that search a large book for a part of a name, each as soon as it has its answer.

    On a gateway of its own that is not compiled.  Of three rounds the best counts, as for `bench.phone.measure`.
    """
    load = f"{scale.searching} ask for *abc*"
    everybody = [people.person(number) for number in range(scale.contacts)]
    seed(folder / "state", alone(scale.contacts), time.time())  # noqa: TID251  the bench is an entry point
    engine = Load(folder)
    with servers.gateway(folder, servers.knows(scale.contacts - 1), servers.Variant(compiled=False)) as server:
        asked = substring(server.target.base, everybody)
        rounds = [engine.round(server, asked, scale.seconds / 3, scale.searching) for _ in range(3)]
    assert not any(one.errors for one in rounds)
    yield _p99(load, min(one.p99 for one in rounds))
    yield _below(load, "search, longest", min(one.longest for one in rounds), 250, "ms")
