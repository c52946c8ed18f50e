# SPDX-License-Identifier: MIT
"""A day of many accounts on a virtual clock: an outage of an hour, a changed client, and a quota for all of them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from random import Random

import pytest

from ldapgw.google.endpoints import Client
from ldapgw.google.sandbox.world import RegisteredClient
from ldapgw.store import accounts, sync_state
from ldapgw.store.accounts import Account, SyncRequest
from ldapgw.sync.fetch import FullSyncLimits
from tests.support.results import result_of
from tests.support.stage.paths import HOUR
from tests.support.stage.sync import CLIENT, NOW, Stage, person

QUOTA = 120
MINUTE = 60.0
# A client of the same Google project, so that all calls count together.
NEW_CLIENT = Client(f"{CLIENT.project}-new.apps.googleusercontent.com", "GOCSPX-NEW")


@dataclass
class Day(Stage):
    """Two tenants of one Google project, each with one half of the accounts.

    In the hour of the outage each account is due, so that after it all of them have to be served.
    """

    count: int = 1000

    def __post_init__(self) -> None:
        self.calls_per_minute = QUOTA
        self.full_syncs = FullSyncLimits()
        self.tenants = ("acme", "globex")
        self.interval = 10 * MINUTE
        self.in_turns = True
        self.dice = Random(19)
        super().__post_init__()
        self.scheduler._random = self.dice.random
        self.scheduler._publish = self.publish_later
        self.world.calls_per_minute = QUOTA
        self.addresses = [f"person{number}@acme.example" for number in range(self.count)]
        self.of_globex = self.addresses[1::2]
        for number, address in enumerate(self.addresses):
            self.world.add_account(address, "A", f"{number}", hd="acme.example")
            self.world.add_person(address, person(f"Ada {number}"))
            self.connect(address, tenant="globex" if number % 2 else "acme")
        self.scheduler.startService()
        self.refresh()

    async def publish_later(self, account_id: int) -> None:
        """Leave the books to the test, which is not about them."""

    def refresh(self) -> None:
        self.in_time(self.scheduler.refresh())

    def wait_until(self, seconds: float) -> None:
        """Let time pass up to so many seconds after the day began."""
        while self.clock.seconds() < NOW + seconds:
            self.clock.advance(1)

    def all_accounts(self) -> dict[str, Account]:
        return {account.address: account for account in self.database.run(accounts.read_all)}

    def add_contacts(self, name: str) -> None:
        """A new contact of every eleventh account, at Google."""
        for address in self.addresses[::11]:
            self.world.add_person(address, person(name))

    def served(self) -> Counter[str]:
        """Count the contacts that phones find, by book."""
        result_of(self.publisher.refresh())
        books = [book for directory in self.catalog.dit().directories for book in directory.books]
        return Counter({book.name: sum(map(len, book.segments.contacts)) for book in books})

    def ask(self, address: str) -> float:
        """A person asks for a sync; the seconds until it is done."""
        asked = self.clock.seconds()
        self.database.run(sync_state.request_sync, self.account(address).id, SyncRequest.INCREMENTAL)
        self.refresh()
        while (self.account(address).last_sync or 0.0) < asked:
            assert self.clock.seconds() < asked + MINUTE
            self.clock.advance(1)
        return self.clock.seconds() - asked


@pytest.mark.long  # a virtual day
@pytest.mark.parametrize(
    ("count", "outage", "end"),
    [
        (12, 2.5, 6),
        pytest.param(100, 1.5, 4, marks=pytest.mark.long, id="a hundred, four hours of the day"),
        pytest.param(1000, 9.5, 24, marks=pytest.mark.soak, id="a thousand"),
    ],
)
def test_a_day(count: int, outage: float, end: float) -> None:
    """Nobody loses a contact, all are served soon after the outage, people at once, and the quota is kept.

    A whole day of a thousand accounts has 144,000 syncs and takes a quarter of an hour.
    """
    day = Day(count=count)
    waits = []

    # The first round, in which each account was just connected by a person, and quiet hours.
    for hour in range(1, int(outage) + 1):
        day.wait_until(hour * HOUR)
        waits.append(day.ask(day.dice.choice(day.addresses)))
    day.add_contacts("Before Outage")
    day.wait_until(outage * HOUR)
    before = day.served()
    assert len(before) == count

    # An outage of an hour; phones find the same as before.
    day.world.faults.inject("error_unavailable_503")
    day.add_contacts("During Outage")
    day.wait_until((outage + 1) * HOUR)
    assert day.served() == before
    day.world.faults.clear()
    for minute in range(1, 15):
        day.wait_until((outage + 1) * HOUR + minute * MINUTE)
        if minute > 5:
            waits.append(day.ask(day.dice.choice(day.addresses)))
    day.wait_until((outage + 1) * HOUR + 15 * MINUTE)
    late = [
        account for account in day.all_accounts().values() if (account.last_sync or 0.0) < NOW + (outage + 1) * HOUR
    ]
    assert late == []
    assert day.served() == before + Counter(day.addresses[::11])

    # Another client, with which one half of globex consents anew.
    day.world.register(RegisteredClient(NEW_CLIENT.client_id, NEW_CLIENT.client_secret, ("https://x.example/cb",)))
    day.job.tenants = {**day.job.tenants, "globex": replace(day.job.tenants["globex"], client=NEW_CLIENT)}
    anew, left = day.of_globex[::2], set(day.of_globex[1::2])
    for address in anew:
        day.connect(address, tenant="globex", client=NEW_CLIENT)
    day.refresh()
    day.add_contacts("After Change")
    day.wait_until(end * HOUR)
    revoked = {address for address, account in day.all_accounts().items() if account.revoked}
    assert revoked == left
    waits += [day.ask(address) for address in anew[:5]]
    held = {address: len(day.world.account(address).contacts) for address in day.addresses}
    assert day.served() == held | {address: before[address] + (address in day.addresses[::11]) for address in left}

    assert len(waits) > 10
    assert max(waits) <= 10
    assert max(day.world.calls_by_minute.values()) <= QUOTA
