# SPDX-License-Identifier: MIT
"""Eight hours of a whole gateway on a virtual clock: syncs every minute, and it holds no more than after an hour."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest
from sqlalchemy import func, select

from ldapgw.store.tables import metadata
from tests.support.site.company import COLLEAGUES, CONTACTS, OTHERS, Person
from tests.support.stage.edited_books import ALICE, PHONES, Books
from tests.support.stage.machine import settings

pytestmark = pytest.mark.soak

HOURS = 8
PEOPLE = 100
# Objects of a class: a quarter of one for each sync of the seven hours that are compared.  Deleted entries stay in a
# segment until it is merged, which is not at the end of each hour.
LEFT_BEHIND = 200
SOURCES = (CONTACTS, OTHERS, COLLEAGUES)


@dataclass(frozen=True)
class Held:
    """The holdings of a gateway at a moment when nothing is synced.

    :ivar objects: of our own classes, and of Python's, by name.
    :ivar lines: of the log, in the hour before.
    """

    objects: Counter[str]
    rows: Counter[str]
    descriptors: int
    delayed_calls: int
    lines: int


class Hours(Books):
    """Two books and the directory, which change every minute, and are synced every minute."""

    def __init__(self) -> None:
        super().__init__()
        self.machine.settings = settings(self.machine.folder, interval="1m")
        self.random = Random(31)
        self.lines = 0

    def fill(self) -> None:
        for address in PHONES:
            for source in SOURCES:
                for _ in range(PEOPLE):
                    self._add(address, source, self.somebody())

    def somebody(self) -> Person:
        """With numbers and names of always the same length."""
        numbers = (("work", self.random.randrange(100, 1000)),)
        return Person("Zoë", f"Zimmer{self.random.randrange(1000, 9999)}", numbers=numbers)

    def live(self) -> None:
        """An hour, in which phones ask, and at whose end an administrator and Google do something."""
        for minute in range(60):
            for address in PHONES:
                self._change(address, self.random.choice(SOURCES), self.random.randrange(PEOPLE), self.somebody())
            for _ in range(60):
                self.machine.reactor.advance(1)
            if minute % 10 == 0:
                self._take_all()
        self.sync_everybody()
        self.rotate_key()
        self.make_backup()
        self.expire_sync_tokens(ALICE)
        self.sync_everybody()

    def held(self) -> Held:
        # The sandbox's line keeps its calls, and this test keeps the lines of the log.
        self.machine.line.hang_up()
        self.machine.reactor.tcpClients.clear()
        lines = len(self.log)
        self.log.clear()
        rows = Counter[str]()
        for table in metadata.sorted_tables:
            counted = select(func.count()).select_from(table)
            rows[table.name] = self.machine.transact(lambda connection, query=counted: connection.scalar(query))
        gc.collect()
        objects = Counter(f"{type(one).__module__}.{type(one).__qualname__}" for one in gc.get_objects())
        calls = self.machine.reactor.getDelayedCalls()
        return Held(objects, rows, len(list(Path("/proc/self/fd").iterdir())), len(calls), lines)


@pytest.fixture
def hours() -> Iterator[Hours]:
    hours = Hours()
    hours.begin()
    yield hours
    hours.teardown()


def test_eight_hours(hours: Hours, say: Callable[[object], None]) -> None:
    """At the end of each hour, a gateway holds what it held at the end of the first one."""
    hours.fill()
    hours.sync_everybody()
    hours.held()
    seen: list[Held] = []
    for hour in range(1, HOURS + 1):
        hours.live()
        hours.nothing_of_ours_failed()
        seen.append(now := hours.held())
        say(
            f"hour {hour}: {sum(hours.world.calls.values())} calls to Google, {sum(now.objects.values())} objects, "
            f"{sum(now.rows.values())} rows, {now.descriptors} descriptors, {now.delayed_calls} delayed calls, "
            f"{now.lines} lines of the log"
        )
    first, *others, last = seen
    more = last.objects - first.objects
    say(f"more than after an hour: {more.most_common(5)}")
    assert [name for name, count in more.items() if name.startswith("ldapgw.") and count > LEFT_BEHIND] == []
    assert sum(last.objects.values()) <= 1.01 * sum(first.objects.values())
    for now in (*others, last):
        assert (now.rows, now.descriptors, now.delayed_calls) == (first.rows, first.descriptors, first.delayed_calls)
        assert now.lines <= 1.1 * first.lines
