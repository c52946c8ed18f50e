# SPDX-License-Identifier: MIT
"""Gateways that write to one PostgreSQL side by side, and one that reads what they write: the database alone."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from threading import Event, Thread

import pytest

from ldapgw.store import accounts, activity, changes, contacts, phones
from ldapgw.store.database import Database, Mode
from ldapgw.store.engines import database_at
from ldapgw.store.phones import PhoneLogin
from ldapgw.store.secrets import SecretBox, new_key
from tests.support.checkout import ROOT
from tests.support.postgresql import needs_postgresql, open_new
from tests.support.site.running import wait_until
from tests.support.stage.sync import DESK, NOW, connect

pytestmark = [needs_postgresql, pytest.mark.long]

each_count = pytest.mark.parametrize("count", [100, pytest.param(1000, marks=pytest.mark.soak)])


@pytest.fixture(name="database")
def _database() -> Iterator[Database]:
    with open_new() as database:
        yield database


def url(database: Database) -> str:
    return str(database.engine.url.render_as_string(hide_password=False))


@each_count
def test_two_gateways_write_the_same_rows(database: Database, count: int) -> None:
    """Many times each: all that they have written is there, and no transaction has failed."""
    account_id = database.run(connect, SecretBox([new_key()]))
    database.run(phones.add, DESK)
    names = ("first", "second")
    writers = [
        subprocess.Popen([sys.executable, "-m", "tests.cluster.writer", url(database), name, str(count)], cwd=ROOT)
        for name in names
    ]
    assert [writer.wait() for writer in writers] == [0, 0]
    with database.begin_read() as connection:
        written = {f"{name}-{number}" for name in names for number in range(count)}
        assert {contact.uid for contact in contacts.read(connection, [account_id])[0].contacts} == written
        account = accounts.read(connection, account_id)
        assert account is not None
        assert (account.contacts, account.generation, account.attempts) == (2 * count, 2 * count, 2 * count)
        acts = activity.read_since(connection, "acme", 0.0)
        assert {f"{one.subject}-{one.detail}" for one in acts} == written
        assert len(acts) == 2 * count
        [phone] = phones.read_all(connection)
        last = NOW + count - 1
        assert phone == replace(DESK, last_seen=last, last_address="127.0.0.1", searched_at=last, worked_at=NOW)


class Follower(Thread):
    """Looks for changes whenever it is told of some, as a gateway does.

    :ivar phones: as it has read them.
    """

    def __init__(self, database: Database) -> None:
        super().__init__()
        self._database = database
        self._told = Event()
        self._over = False
        self._detector = database.change_detector()
        self.phones: dict[str, PhoneLogin] = {}

    def run(self) -> None:
        self._detector.listen(self._told.set, lambda _: None)
        cursor: changes.Cursor | None = None
        while not self._over:
            if self._detector.has_changed():
                with self._database.begin_read() as connection:
                    found = changes.read_since(connection, cursor)
                cursor = found.cursor
                known = {} if found.is_whole else self.phones
                merged = {**known, **found.phones}
                self.phones = {name: login for name, login in merged.items() if login is not None}
            self._told.wait(1.0)
            self._told.clear()
        self._detector.close()

    def end(self) -> None:
        self._over = True
        self._told.set()
        self.join()


@each_count
def test_a_transaction_that_lasts_hides_nothing(database: Database, count: int) -> None:
    """While it is open, many others are committed and found; it is found after its end, and nothing is missed."""
    with closing(database_at(database.engine.url)) as other:
        follower = Follower(other)
        follower.start()
        try:
            with database.begin(exclusively=False) as held:
                database.lift_time_limit(held)
                phones.add(held, replace(DESK, name="held"))
                for number in range(count):
                    database.call(Mode.BESIDE, phones.add, replace(DESK, name=f"desk{number}"))
                    if number % 3 == 0:
                        database.call(Mode.BESIDE, phones.set_model, f"desk{number}", "snom", DESK.numbers)
                    if number % 7 == 0:
                        database.call(Mode.BESIDE, phones.remove, f"desk{number}")
                stored = {login.name: login for login in database.run(phones.read_all)}
                wait_until(lambda: follower.phones == stored, "the others are found")
            stored = {login.name: login for login in database.run(phones.read_all)}
            assert "held" in stored
            wait_until(lambda: follower.phones == stored, "the held one is found")
        finally:
            follower.end()
