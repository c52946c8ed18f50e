# SPDX-License-Identifier: MIT
"""An OpenLDAP replica of a gateway: its first copy of the contacts, and the way of a change to it."""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from bench.asking import search
from bench.phone import Phone
from bench.report import Figure, judged, percentile, say
from bench.seed import OWNER, Account, seed
from bench.servers import BASE, Server, Variant, is_right, lets_in, login_at, running
from ldapgw.contact import Sharing
from ldapgw.store import accounts
from tests.support.site.replicas import Office, Replica, contact, ended
from tests.support.site.running import Site

# The number of entries that the goal for a first copy is for.
_COPIED = 50_000
# Seconds between two looks at the replica, and seconds after which the bench gives up.
_GLANCE = 0.005
_PATIENCE = 900.0
# The longest pause between two changes, in seconds: changes must not keep time with anything that runs at intervals.
_PAUSE = 0.5


def measure(given: argparse.Namespace, folder: Path) -> Iterator[Figure]:
    say(f"filling a store with {given.contacts:,} contacts")
    site = Site(folder, size_limit=10)
    seed(folder / "state", (Account(OWNER, range(given.contacts), Sharing.SHARED),))
    office = Office(site)
    [account] = office.transact(accounts.read_all)
    office.ids[OWNER] = account.id
    login = site.add_login("branch1", "--replica")
    say("starting the gateway")
    target = login_at(site.ldap_port)
    with running("ldapgw", site.command("run"), folder, target, lets_in, place=Variant().place) as gateway:
        replica = Replica(site, folder / "replica", "branch1", login["password"])
        with ended(replica):
            yield from _copy(replica, gateway)
            with Phone(target) as near, Phone(login_at(replica.port)) as far:
                taken = [_change(office, near, far, given.contacts + at) for at in range(given.changes)]
    published, copied = map(sorted, zip(*taken, strict=True))
    load, way = f"{given.changes} changes", "from the gateway to the replica"
    yield Figure(load, "at the gateway, p50", f"{percentile(published, 50):.2f} s")
    yield Figure(load, f"{way}, p50", f"{percentile(copied, 50):.3f} s")
    yield judged(load, f"{way}, p99", percentile(copied, 99), "≤ 1 s", digits=3)


def _copy(replica: Replica, gateway: Server) -> Iterator[Figure]:
    """Measure the first copy."""
    worked, begun = gateway.worked, time.monotonic()
    replica.start()
    assert replica.process is not None
    target = login_at(replica.port)
    # The phone's login is one of the first entries; without the login, the replica lets nobody in.
    _wait(lambda: is_right(lets_in, target))
    with Phone(target) as phone:
        asked = search(BASE, "(objectClass=*)", attributes=("contextCSN",), scope=0)
        _wait(lambda: any(found.attributes for found in phone.ask(asked)))
    seconds, provided = time.monotonic() - begun, gateway.worked - worked
    consumed, entries = Server("slapd", target, replica.process.pid).worked, len(replica.everything())
    load, goal = f"first copy of {entries:,} entries", 40 * max(1.0, entries / _COPIED)
    yield judged(load, "time", seconds, f"≤ {goal:.0f} s")
    yield Figure(load, "processor time of the gateway", f"{provided:.1f} s")
    yield Figure(load, "processor time of OpenLDAP", f"{consumed:.1f} s")


def _change(office: Office, near: Phone, far: Phone, number: int) -> tuple[float, float]:
    """Return the seconds until the gateway finds a new contact, and from then until the replica finds the contact."""
    name = f"Karl Change{number:06}"
    time.sleep(random.Random(number).uniform(0, _PAUSE))
    office.write(OWNER, [contact(number, name)])
    begun = time.monotonic()
    asked = search(BASE, f"(cn={name})", attributes=("uid",))
    _wait(lambda: len(near.ask(asked)) > 1)
    published = time.monotonic()
    _wait(lambda: len(far.ask(asked)) > 1)
    return published - begun, time.monotonic() - published


def _wait(is_there: Callable[[], bool]) -> None:
    until = time.monotonic() + _PATIENCE
    while not is_there():
        if time.monotonic() > until:
            raise TimeoutError(f"the replica does not have the entry after {_PATIENCE:.0f} s")
        time.sleep(_GLANCE)
