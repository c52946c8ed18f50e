# SPDX-License-Identifier: MIT
"""A backup that is restored beneath a running gateway: ids mean nothing across it, and revocation goes on."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import select

from ldapgw.contact import Sharing
from ldapgw.directory.filter import Present, Scope, SearchRequest
from ldapgw.directory.search import search
from ldapgw.errors import DirectoryError
from ldapgw.store import accounts, phones, revocations
from ldapgw.store.backup import back_up, back_up_server, restore, restore_server
from ldapgw.store.database import Database
from ldapgw.store.phones import NumberMode
from ldapgw.store.tables import account, phone
from tests.support.results import result_of
from tests.support.stage.databases import open_file
from tests.support.stage.sync import ALICE, BOB, CAROL, Stage, person


class Companies(Stage):
    """Two companies with a phone each, on one gateway whose database is backed up and restored."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        super().__init__(tenants=("acme", "other"))
        for tenant in self.tenants:
            self.add_phone(f"phone-of-{tenant}", tenant=tenant)

    def new_database(self) -> Database:
        return open_file(self.folder / "ldapgw.db")

    def back_up(self) -> None:
        if self.database.file is None:
            back_up_server(self.database, self.folder / "backup.db")
        else:
            back_up(self.database.file, self.folder / "backup.db")

    def restore(self) -> None:
        if self.database.file is None:
            restore_server(self.folder / "backup.db", self.database, self.secret_box, self.folder / "ldapgw.db")
        else:
            restore(self.folder / "backup.db", self.database.file, self.secret_box)

    def join(self, address: str, tenant: str, *names: str) -> int:
        """Connect an account whose book is shared, and sync the contacts of these names."""
        for name in names:
            self.world.add_person(address, person(name))
        account_id = self.connect(address, sharing=Sharing.SHARED, tenant=tenant).id
        self.sync(address)
        return account_id

    def leave(self, address: str, *, is_removed: bool = True) -> None:
        account_id = self.account(address).id
        with self.database.begin() as connection:
            revocations.disconnect_account(connection, account_id, self.clock.seconds())
            if is_removed:
                accounts.remove(connection, account_id, with_phones=False)

    def look(self) -> None:
        """Publish what has changed, without building a book."""
        result_of(self.publisher.publish_accounts())

    def found(self, tenant: str) -> list[str]:
        """The names that the phone of a company finds."""
        viewer = self.catalog.snapshot.logins[f"phone-of-{tenant}"].viewer
        asked = SearchRequest(f"dc={tenant},dc=example", Scope.WHOLE_SUBTREE, Present("uid"))
        with suppress(DirectoryError):
            found = [one for one in search(self.catalog.dit(), viewer, asked) if one is not None]
            return sorted(one.attribute("cn")[0].decode() for one in found)
        return []

    def ids(self) -> dict[str, int]:
        with self.database.begin() as connection:
            return {row.address: row.id for row in connection.execute(select(account.c.address, account.c.id))}


@pytest.fixture
def companies(tmp_path: Path) -> Companies:
    return Companies(tmp_path)


def test_a_restore_brings_nobody_the_contacts_of_another_company(companies: Companies) -> None:
    """Carol had left, and somebody else has come to another company, when a backup with Carol was restored."""
    companies.join(CAROL, "other", "Carols Friend")
    companies.back_up()
    companies.leave(CAROL)
    companies.join(ALICE, "acme", "Ada Riese")
    result_of(companies.publisher.refresh())
    assert (companies.found("acme"), companies.found("other")) == (["Ada Riese"], [])
    companies.restore()
    companies.join(BOB, "acme", "Bo Weg")
    companies.look()
    assert companies.found("acme") == []
    result_of(companies.publisher.refresh())
    assert (companies.found("acme"), companies.found("other")) == (["Bo Weg"], ["Carols Friend"])
    companies.leave(CAROL, is_removed=False)
    companies.look()
    assert (companies.found("acme"), companies.found("other")) == (["Bo Weg"], [])
    companies.database.run(phones.remove, "phone-of-acme")
    companies.look()
    assert companies.catalog.snapshot.logins.keys() == {"phone-of-other"}


def test_a_generation_from_before_a_restore_is_another_one(companies: Companies) -> None:
    """The account has other contacts in the generation of the same number."""
    companies.join(ALICE, "acme", "Ada Riese")
    companies.back_up()
    companies.world.add_person(ALICE, person("Bo Weg"))
    companies.sync(ALICE)
    result_of(companies.publisher.refresh())
    before = companies.account(ALICE).generation
    companies.restore()
    companies.world.add_person(ALICE, person("Cem Ak"))
    companies.sync(ALICE)
    assert companies.account(ALICE).generation == before
    result_of(companies.publisher.refresh())
    assert companies.found("acme") == ["Ada Riese", "Bo Weg", "Cem Ak"]


def test_a_database_that_lacks_its_latest_commits_has_a_history_of_its_own(companies: Companies) -> None:
    """Its generations may be other ones than those that books were built of: all books are built anew, once."""
    account_id = companies.join(ALICE, "acme", "Ada Riese")
    result_of(companies.publisher.refresh())
    books = companies.publisher._books
    cursor, before = books.state.cursor, books.state.history
    assert cursor is not None
    books.state.cursor = replace(cursor, next=cursor.next + 1000)
    companies.look()
    after = books.state.history
    assert (after.identity, after.epoch != before.epoch, books.outdated) == (before.identity, True, {account_id})
    result_of(companies.publisher.refresh())
    assert (companies.found("acme"), books.state.history) == (["Ada Riese"], after)


def test_an_id_is_never_given_twice(companies: Companies) -> None:
    """Not after the newest account was removed, nor after a backup was restored that does not know some accounts."""
    given = [companies.join(CAROL, "other")]
    companies.back_up()
    companies.leave(CAROL)
    given.append(companies.join(ALICE, "acme"))
    companies.leave(ALICE)
    companies.restore()
    given.append(companies.join(BOB, "acme"))
    assert companies.ids() == {CAROL: given[0], BOB: given[2]}
    assert given == sorted(set(given))


@pytest.mark.parametrize("tenant", ["acme", "other"])
def test_an_id_that_is_somebody_elses_since_the_last_look(companies: Companies, tenant: str) -> None:
    """Another account is gone and new: what was built for the former one is served to nobody."""
    companies.join(CAROL, "other", "Carols Friend")
    result_of(companies.publisher.refresh())
    with companies.database.begin() as connection:
        new = companies.world.account(BOB).sub
        values = {"tenant": tenant, "sub": new, "address": BOB, "generation": account.c.generation}
        connection.execute(account.update().values(values))
    companies.look()
    assert (companies.found("acme"), companies.found("other")) == ([], [])
    result_of(companies.publisher.refresh())
    assert {name: companies.found(name) for name in companies.tenants if companies.found(name)} == {
        tenant: ["Carols Friend"]
    }
    [book] = [book for directory in companies.catalog.dit().directories for book in directory.books]
    assert (book.name, book.key) == (BOB, new)


def test_a_sync_of_an_account_whose_id_is_another_ones_ends(companies: Companies) -> None:
    """Its timer too; the other account begins as a new one, with the client of its own tenant."""
    account_id = companies.join(CAROL, "other")
    companies.start()
    assert companies.scheduler._loops[account_id].identity == ("other", companies.account(CAROL).sub)
    with companies.database.begin() as connection:
        new = companies.world.account(BOB).sub
        connection.execute(account.update().values(tenant="acme", sub=new, address=BOB))
    result_of(companies.scheduler.refresh())
    assert companies.scheduler._loops[account_id].identity == ("acme", new)
    companies.scheduler.stopService()
    assert not companies.clock.getDelayedCalls()


def test_a_state_that_has_become_wrong_is_read_from_the_database_once(
    companies: Companies, caplog_twisted: list[str]
) -> None:
    """A change that cannot be applied is no reason to go on with what was revoked."""
    companies.join(CAROL, "other", "Carols Friend")
    companies.join(ALICE, "acme", "Ada Riese")
    result_of(companies.publisher.refresh())
    companies.publisher._books.state._by_tenant.clear()
    companies.leave(CAROL)
    companies.database.run(phones.remove, "phone-of-acme")
    companies.look()
    assert companies.catalog.snapshot.logins.keys() == {"phone-of-other"}
    assert companies.found("other") == []
    companies.add_phone("phone-of-acme")
    companies.look()
    assert companies.found("acme") == ["Ada Riese"]
    assert [line for line in caplog_twisted if not line.startswith("sync of account ")] == [
        "publishing the changes of the database failed; the gateway reads the whole database again"
    ]


def test_a_tenant_that_cannot_be_read_is_not_served(companies: Companies, caplog_twisted: list[str]) -> None:
    """Until it can be read again; the other tenants are served, and their changes too."""
    companies.join(CAROL, "other", "Carols Friend")
    companies.join(ALICE, "acme", "Ada Riese")
    companies.add_phone("hall")
    result_of(companies.publisher.refresh())
    with companies.database.begin() as connection:
        phones.remove(connection, "phone-of-acme")
        connection.execute(phone.update().where(phone.c.name == "hall").values(numbers="nonsense"))
    for _ in range(2):
        result_of(companies.publisher.refresh())
        assert companies.catalog.snapshot.unserved == {"acme"}
        assert companies.catalog.snapshot.logins.keys() == {"phone-of-other"}
        assert [len(directory.books) for directory in companies.catalog.dit().directories] == [0, 1]
    companies.world.add_person(CAROL, person("Zoe Neu"))
    companies.sync(CAROL)
    result_of(companies.publisher.refresh())
    assert companies.found("other") == ["Carols Friend", "Zoe Neu"]
    companies.execute(phone.update().where(phone.c.name == "hall").values(numbers=NumberMode.VALUES))
    companies.add_phone("phone-of-acme")
    result_of(companies.publisher.refresh())
    assert companies.catalog.snapshot.unserved == frozenset()
    assert (companies.found("acme"), companies.found("other")) == (["Ada Riese"], ["Carols Friend", "Zoe Neu"])
    assert [line for line in caplog_twisted if not line.startswith("sync of account ")] == [
        "publishing the changes of the database failed; the gateway reads the whole database again",
        "the accounts and phones of tenant acme cannot be read: its phones are not served",
        "tenant acme is served again",
    ]


def test_a_gateway_that_starts_serves_the_tenants_that_can_be_read(companies: Companies) -> None:
    """It is not ready, but whoever can be served is."""
    companies.join(CAROL, "other", "Carols Friend")
    companies.execute(phone.update().where(phone.c.name == "phone-of-acme").values(numbers="nonsense"))
    result_of(companies.publisher.refresh())
    assert (companies.catalog.snapshot.loaded, companies.catalog.snapshot.unserved) == (True, {"acme"})
    assert companies.found("other") == ["Carols Friend"]
