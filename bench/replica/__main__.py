# SPDX-License-Identifier: MIT
"""Starts a gateway and slapd as its replica, measures the first copy and changes, and prints a table."""

from __future__ import annotations

import json
import random
import select
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.asking import SUBTREE, equality
from bench.directory.report import machine
from bench.directory.servers import Variant, lets_in
from bench.load import percentile
from bench.phone import Phone, Target
from bench.process import Server, running
from bench.replica import __doc__ as purpose
from bench.report import command_line, end_on_sigterm, say, simple_table
from bench.seed import OWNER, PHONE, SECRET, Account, seed
from ldapgw.contact import Sharing
from ldapgw.store import accounts
from tests.support import pdu
from tests.support.site.replicas import BASE, Office, Replica, contact, ended
from tests.support.site.running import Site

# Seconds for a first copy of so many entries, and for the 99th percentile of changes.
COPY_GOAL, COPY_CONTACTS = 40.0, 50_000
CHANGE_GOAL = 1.0
# Seconds between two looks whether the replica has it; and after which it never will.
_GLANCE = 0.005
_PATIENCE = 900.0
# The longest pause between two changes, in seconds: they must not keep time with anything that runs at intervals.
_PAUSE = 0.5

EXPLANATION = """\
The gateway is "ldapgw run" with one shared book.  OpenLDAP has the configuration that "ldapgw replica-config" prints,
and an empty database.  The copy lasts from the start of slapd until its database has the cookie, which comes behind the
last entry.  A change is a new contact that another process stores in the gateway's database.  Its way to the replica
lasts from when a phone finds it at the gateway until a phone finds it at the replica.  Processor time is that of each
process during the copy: it says more than the time on a machine that does other work too.
"""


@dataclass(frozen=True)
class Copy:
    """The first copy.

    :ivar seconds: it took.
    :ivar provider: seconds of processor time at the gateway meanwhile.
    :ivar consumer: and at OpenLDAP.
    """

    entries: int
    seconds: float
    provider: float
    consumer: float


def main() -> int:
    end_on_sigterm()
    parser = command_line("scripts/bench replica", purpose, EXPLANATION)
    parser.add_argument("--contacts", type=int, default=COPY_CONTACTS, metavar="N", help="(default: %(default)s)")
    parser.add_argument("--changes", type=int, default=100, metavar="N", help="(default: %(default)s)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ldapgw-bench-") as made:
        written, is_met = measure(Path(made), options.contacts, options.changes)
    sys.stdout.write(written)
    return 0 if is_met else 1


def measure(folder: Path, contacts: int, changes: int) -> tuple[str, bool]:
    """The table, and whether the goals are met."""
    say(f"filling a store with {contacts:,} contacts")
    site = Site(folder, size_limit=10)
    state = folder / "state"
    seed(state, (Account(OWNER, range(contacts), Sharing.SHARED),), time.time())  # noqa: TID251  an entry point
    office = Office(site)
    [account] = office.transact(accounts.read_all)
    office.ids[OWNER] = account.id
    added = site.ldapgw("phones", "add", "branch1", "--replica", "--json")
    assert added.returncode == 0, added.stderr
    say("starting the gateway")
    target = _target(site.ldap_port)
    place = Variant().place
    command = ["env", f"PYTHONPATH={place}", *site.command("run")]
    with running("ldapgw", command, folder, target, lets_in, _PATIENCE, place=place) as gateway:
        replica = Replica(site, folder / "replica", "branch1", json.loads(added.stdout)["password"])
        with ended(replica):
            say("copying")
            copy = _copy(replica, gateway)
            say(f"storing {changes} new contacts")
            with Phone(target) as near, Phone(_target(replica.port)) as far:
                near.bind()
                far.bind()
                taken = [_change(office, near, far, contacts + number) for number in range(changes)]
    return _report(contacts, copy, *map(sorted, zip(*taken, strict=True)))


def _target(port: int) -> Target:
    return Target(port, 0, BASE, f"cn={PHONE},ou=phones,{BASE}", SECRET)


def _copy(replica: Replica, gateway: Server) -> Copy:
    worked, begun = sum(gateway.worked), time.monotonic()
    replica.start()
    assert replica.process is not None
    with Phone(_target(replica.port)) as phone:
        # The phone's login is one of the first entries; without it, the replica lets nobody in.
        _wait(lambda: phone.ask(_target(replica.port).bind())[-1].code == 0)
        asked = pdu.message(2, pdu.search(BASE, 0, attributes=("contextCSN",)))
        _wait(lambda: any(found.attributes for found in phone.ask(asked)))
    seconds = time.monotonic() - begun
    consumer = Server("slapd", _target(replica.port), replica.process.pid, 0.0)
    return Copy(len(replica.everything()), seconds, sum(gateway.worked) - worked, sum(consumer.worked))


def _change(office: Office, near: Phone, far: Phone, number: int) -> tuple[float, float]:
    """Seconds until a new contact is found at the gateway, and from then until it is found at the replica."""
    name = f"Karl Change{number:06}"
    select.select([], [], [], random.Random(number).uniform(0, _PAUSE))
    office.write(OWNER, [contact(number, name)])
    begun = time.monotonic()
    asked = pdu.message(2, pdu.search(BASE, SUBTREE, equality("cn", name), ("uid",)))
    _wait(lambda: len(near.ask(asked)) > 1)
    published = time.monotonic()
    _wait(lambda: len(far.ask(asked)) > 1)
    return published - begun, time.monotonic() - published


def _wait(is_there: Callable[[], bool]) -> None:
    until = time.monotonic() + _PATIENCE
    while not is_there():
        if time.monotonic() > until:
            raise TimeoutError(f"the replica does not have it after {_PATIENCE:.0f} s")
        select.select([], [], [], _GLANCE)


def _report(contacts: int, copy: Copy, near: list[float], far: list[float]) -> tuple[str, bool]:
    is_copied = copy.seconds <= COPY_GOAL * max(1.0, copy.entries / COPY_CONTACTS)
    is_quick = percentile(far, 99) <= CHANGE_GOAL
    goal = f"≤ {COPY_GOAL:.0f} s for {COPY_CONTACTS:,}"
    rows = [
        ["what", "figure", "goal"],
        [f"first copy of {copy.entries:,} entries", f"{copy.seconds:.1f} s", f"{goal} {_verdict(is_copied)}"],
        ["processor time of the gateway", f"{copy.provider:.1f} s", ""],
        ["processor time of OpenLDAP", f"{copy.consumer:.1f} s", ""],
        [f"{len(near)} changes: at the gateway, p50", f"{percentile(near, 50):.2f} s", ""],
        ["from the gateway to the replica, p50", f"{percentile(far, 50):.3f} s", ""],
        ["p99", f"{percentile(far, 99):.3f} s", f"≤ {CHANGE_GOAL:.0f} s {_verdict(is_quick)}"],
    ]
    lines = [*simple_table(rows), "", f"{contacts:,} contacts. {machine()}"]
    return "\n".join(["", *lines, ""]), is_copied and is_quick


def _verdict(is_met: bool) -> str:
    return "ok" if is_met else "missed"


if __name__ == "__main__":
    sys.exit(main())
