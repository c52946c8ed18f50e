# SPDX-License-Identifier: MIT
"""What phones notice while a sync changes some contacts of a large book.

A phone asks a thousand times a second for two of those who change, the first and the last; the gateway's process says
how long the turns of its reactor took.  Both persons have to change at once: a search that sees one of them changed
and the other not has seen half of a sync.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from bench.directory.asking import NUMBERS, SUBTREE, equality, one_of
from bench.directory.google import google
from bench.directory.load import percentile
from bench.directory.metered import Turn, longest
from bench.directory.people import Person, person
from bench.directory.seed import OWNER
from bench.directory.servers import BASE, Variant, gateway, knows
from bench.output import Figure
from bench.phone import Phone, Target
from ldapgw.server.state_dir import DATABASE_FILE
from ldapgw.store import accounts, sync_state
from ldapgw.store.accounts import SyncRequest
from ldapgw.store.engines import database_at
from tests.support import pdu

CHANGED = 100
LONGEST_TURN = 20.0
_PAUSE = 0.001
_QUIET = 2.0
# Seconds that a change may take until it shows, and that are looked at behind it.
_PATIENCE = 120.0
_AFTERMATH = 1.0


@dataclass(frozen=True)
class Probe:
    """One search of the phone that watches.

    :ivar at: seconds of the monotonic clock.
    :ivar changed: how many of the two it saw changed.
    """

    at: float
    taken: float
    changed: int


def under_change(home: Path, count: int) -> Iterator[Figure]:
    """The figures of a gateway that is started on what lies in a folder."""
    changed = [_renamed(person(at)) for at in range(0, count, max(1, count // CHANGED))][:CHANGED]
    turns = home / "turns"
    with (
        google(changed) as port,
        gateway(home, knows(count - 1), Variant(google=port, program=("bench.directory.metered", str(turns)))) as ours,
    ):
        quiet = list(_watch(ours.target, changed, lambda probe: False, _QUIET))
        begun = time.monotonic()
        _ask_for_sync(home)
        busy = list(_watch(ours.target, changed, lambda probe: probe.changed == 2, _PATIENCE))
    yield from _figures(f"{len(changed)} of {count:,} change", begun, busy, turns)
    yield _turn("nothing changes", longest(turns, quiet[0].at, quiet[-1].at))


def _figures(load: str, begun: float, probes: list[Probe], turns: Path) -> Iterator[Figure]:
    seen = next((probe.at for probe in probes if probe.changed == 2), None)
    text = f"after {seen - begun:.1f} s" if seen else f"not in {_PATIENCE:g} s"
    yield Figure(load, "in effect", text, "yes", met=seen is not None)
    turn = longest(turns, begun, probes[-1].at)
    yield _turn(load, turn, f"≤ {LONGEST_TURN:g} ms")
    halves = sum(probe.changed == 1 for probe in probes)
    yield Figure(load, "searches that saw only part of a sync", str(halves), "0", met=not halves)
    waits = sorted(probe.taken * 1000 for probe in probes)
    yield Figure(load, "search, p99", f"{percentile(waits, 99):.1f} ms")
    yield Figure(load, "search, longest", f"{waits[-1]:.1f} ms")


def _turn(load: str, turn: Turn, goal: str = "") -> Figure:
    taken, queued = turn.taken * 1000, turn.queued * 1000
    text = (f"{taken:.1f} ms" if taken else "below 1 ms") + (
        f", {queued:.1f} of it waiting for a processor" if queued >= 1 else ""
    )
    return Figure(load, "longest reactor turn", text, goal, met=not goal or taken <= LONGEST_TURN)


def _renamed(one: Person) -> Person:
    return replace(one, given="Changed")


def _watch(target: Target, changed: list[Person], enough: Callable[[Probe], bool], patience: float) -> Iterator[Probe]:
    """Search until there is enough, and a little longer, or until patience ends."""
    numbers = [one.phones[0][1] for one in (changed[0], changed[-1])]
    either = one_of(*(equality(name, number) for name in NUMBERS for number in numbers))
    request = pdu.message(2, pdu.search(BASE, SUBTREE, either, ("givenName",)))
    until = time.monotonic() + patience
    seen = False
    with Phone(target) as phone:
        phone.bind()
        while (at := time.monotonic()) < until:
            *entries, _done = phone.ask(request)
            taken = time.monotonic() - at
            probe = Probe(at, taken, sum(("givenName", (b"Changed",)) in entry.attributes for entry in entries))
            yield probe
            if not seen and enough(probe):
                seen, until = True, at + _AFTERMATH
            time.sleep(max(0.0, _PAUSE - taken))


def _ask_for_sync(home: Path) -> None:
    """What ``ldapgw sync`` does."""
    database = database_at(f"sqlite:///{home / 'state' / DATABASE_FILE}")
    with database.begin() as connection:
        [account] = accounts.find_by_address(connection, OWNER)
        sync_state.request_sync(connection, account.id, SyncRequest.INCREMENTAL)
    database.close()
