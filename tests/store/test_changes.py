# SPDX-License-Identifier: MIT
"""A look at the database finds the changes since the last look, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, select, update

from ldapgw.contact import Sharing, Source
from ldapgw.errors import StoreError
from ldapgw.numbers.phone_number import NumberFormat
from ldapgw.store import accounts, changes, phones, sync_state, tables, tenants
from ldapgw.store.accounts import SourceState, SyncRequest
from ldapgw.store.changes import KEPT_SECONDS, Changes, Cursor, History
from ldapgw.store.database import Database
from ldapgw.store.phones import LastBind, LastSearch
from ldapgw.store.secrets import SecretBox
from ldapgw.store.tenants import EnteredClient
from tests.support.stage.databases import open_file
from tests.support.stage.sync import CLIENT, DESK, GRANT, NOW, connect

Write = Callable[[Connection, int], object]


@pytest.fixture
def account_id(database: Database, secret_box: SecretBox) -> int:
    """An account, and a phone of it."""
    with database.begin() as connection:
        account_id = connect(connection, secret_box)
        phones.add(connection, replace(DESK, account_id=account_id))
    return account_id


def look(database: Database, cursor: Cursor | None = None) -> Changes:
    """Read the changes as the gateway does; a transaction does not see itself as past."""
    with database.begin_read() as connection:
        return changes.read_since(connection, cursor)


def test_the_first_look_finds_all(database: Database, account_id: int) -> None:
    """And the next one nothing, until something is written."""
    found = look(database)
    account = database.run(accounts.read, account_id)
    [phone] = database.run(phones.read_all)
    assert found == Changes(found.cursor, True, {account_id: account}, {"desk1": phone}, google_groups={})
    again = look(database, found.cursor)
    assert again == Changes(again.cursor, False)


ACCOUNT_WRITES: dict[str, Write] = {
    "sharing": lambda connection, account_id: accounts.set_sharing(connection, account_id, Sharing.SHARED, ""),
    "disconnected": accounts.disconnect,
    "asked": lambda connection, account_id: sync_state.request_sync(connection, account_id, SyncRequest.ACCEPT),
    "sync begins": sync_state.begin,
    "contacts": sync_state.increment_generation,
    "source": lambda connection, account_id: sync_state.write_source_states(
        connection, account_id, {Source.DIRECTORY: SourceState.ON}
    ),
}


@pytest.mark.parametrize("write", ACCOUNT_WRITES.values(), ids=ACCOUNT_WRITES.keys())
def test_an_account_is_found_once_it_has_changed(database: Database, account_id: int, write: Write) -> None:
    """As it is now, however often it was written."""
    before = look(database).cursor
    database.run(write, account_id)
    found = look(database, before)
    account = database.run(accounts.read, account_id)
    assert found == Changes(found.cursor, False, {account_id: account}, {}, google_groups={})
    again = look(database, found.cursor)
    assert again == Changes(again.cursor, False)


PHONE_WRITES: dict[str, Write] = {
    "password": lambda connection, _: phones.set_password(connection, "desk1", "sha256$22$22", NOW),
    "secret address": lambda connection, _: phones.set_book_secret(connection, "desk1", "sha256$33$33"),
    "number format": lambda connection, _: phones.set_dialling(connection, "desk1", NumberFormat.DIAL, ""),
    "area code": lambda connection, _: phones.set_dialling(connection, "desk1", None, "30"),
    "given to nobody": lambda connection, _: phones.set_accounts(connection, "desk1", ()),
    "removed": lambda connection, _: phones.remove(connection, "desk1"),
}


@pytest.mark.parametrize("write", PHONE_WRITES.values(), ids=PHONE_WRITES.keys())
def test_a_phone_is_found_once_it_has_changed(database: Database, account_id: int, write: Write) -> None:
    """None where it is gone."""
    before = look(database).cursor
    database.run(write, account_id)
    found = look(database, before)
    assert found == Changes(found.cursor, False, {}, {"desk1": database.run(phones.read_by_name, "desk1")})


def test_a_phone_is_found_once_its_further_accounts_have_changed(
    database: Database, account_id: int, secret_box: SecretBox
) -> None:
    """Also when another account has come, or when one of them was removed."""
    bob = database.run(connect, secret_box, replace(GRANT, sub="bob"))
    before = look(database).cursor
    for write in (
        lambda connection: phones.set_accounts(connection, "desk1", (account_id, bob)),
        lambda connection: accounts.remove(connection, bob, with_phones=True),
    ):
        database.run(write)
        found = look(database, before)
        assert found.phones == {"desk1": database.run(phones.read_by_name, "desk1")}
        before = found.cursor


@pytest.mark.usefixtures("account_id")
def test_what_a_phone_does_is_no_change(database: Database) -> None:
    """Else each bind and each search would have the gateway look."""
    before = look(database).cursor
    database.run(phones.store_last_binds, {"desk1": LastBind(NOW, "192.0.2.1", DESK.password)})
    database.run(phones.store_last_searches, {"desk1": LastSearch(NOW, "", NOW)})
    assert database.run(phones.read_all)[0].last_seen == NOW
    found = look(database, before)
    assert found == Changes(found.cursor, False)


def test_another_client_of_a_tenant_changes_all_its_accounts(
    database: Database, account_id: int, secret_box: SecretBox
) -> None:
    """Accounts that the end of the former client had stopped may go on."""
    database.run(connect, secret_box, replace(GRANT, sub="sub-2"), tenant="other")
    before = look(database).cursor
    client = EnteredClient("acme", CLIENT.client_id, CLIENT.client_secret, NOW)
    database.run(tenants.enter_client, secret_box, client)
    found = look(database, before)
    assert found.accounts.keys() == {account_id}
    assert look(database, found.cursor).accounts == {}


def test_a_removed_account_is_found_with_its_phones(database: Database, account_id: int) -> None:
    """Its phones go with it."""
    before = look(database).cursor
    with database.begin() as connection:
        connection.execute(tables.account.delete())
    found = look(database, before)
    assert (found.accounts, found.phones) == ({account_id: None}, {"desk1": None})


def marks(connection: Connection) -> set[tuple[str, str]]:
    return {(row.kind, row.key) for row in connection.execute(select(tables.change))}


def test_marks_of_removed_phones_do_not_pile_up(database: Database, account_id: int) -> None:
    """But for the last mark: the number must not begin anew.  Where gateways may have to read a mark yet it stays.

    A gateway that has not looked for half of that time reads all.
    """
    for name in ("desk2", "desk3"):
        database.run(phones.add, replace(DESK, name=name))
        database.run(phones.remove, name)
    before = look(database).cursor
    assert before is not None
    database.run(changes.forget_removed)
    left = {("account", str(account_id)), ("phone", "desk1"), ("phone", "desk3")}
    if database.engine.dialect.name == "postgresql":
        assert database.run(marks) == left | {("phone", "desk2")}
        with database.begin() as connection:
            connection.execute(update(tables.change).values(marked_at=tables.change.c.marked_at - KEPT_SECONDS))
        database.run(changes.forget_removed)
    assert database.run(marks) == left
    found = look(database, before)
    assert found == Changes(found.cursor, False)
    for missing, is_whole in ((60.0, False), (0.0, True)):
        at = before.at - KEPT_SECONDS / 2 + missing
        assert look(database, replace(before, at=at)).is_whole is is_whole


def test_a_restored_backup_is_read_whole(database: Database, account_id: int) -> None:
    """It comes into the same database, and its changes may have numbers that were read already."""
    before = look(database).cursor
    database.run(changes.begin_epoch, "")
    database.run(accounts.set_sharing, account_id, Sharing.SHARED, "")
    found = look(database, before)
    assert (found.is_whole, found.accounts.keys(), found.phones.keys()) == (True, {account_id}, {"desk1"})
    assert not look(database, found.cursor).is_whole
    database.run(changes.begin_epoch)
    assert look(database, found.cursor).is_whole


def test_a_database_that_lacks_commits_is_read_whole(database: Database, account_id: int) -> None:
    """Its number has gone back, although nothing else is another one: the reader begins another epoch, once."""
    database.run(changes.begin_epoch)
    cursor = look(database).cursor
    assert cursor is not None
    found = look(database, replace(cursor, next=cursor.next + 10))
    assert found == replace(look(database), has_gone_back=True, cursor=found.cursor)
    assert found.accounts.keys() == {account_id}
    for _ in range(2):
        database.run(changes.begin_epoch, cursor.history.epoch)
        again = look(database, replace(cursor, next=cursor.next + 10))
        assert (again.is_whole, again.has_gone_back) == (True, False)
    seen = again.cursor
    database.run(changes.begin_epoch, cursor.history.epoch)
    assert not look(database, seen).is_whole


@pytest.mark.parametrize(
    "differs", [{"history": History("1", "another")}, {"started": 1.0}], ids=["other", "restarted"]
)
def test_another_server_is_read_whole(database: Database, account_id: int, differs: dict[str, Any]) -> None:
    """Its numbers are not compared; only another start of the same server leaves the books as they are."""
    database.run(changes.begin_epoch)
    cursor = look(database).cursor
    assert cursor is not None
    found = look(database, replace(cursor, **differs))
    assert (found.is_whole, found.has_gone_back, found.accounts.keys()) == (True, False, {account_id})


def test_a_file_that_was_put_in_place_of_the_former_is_read_whole(tmp_path: Path) -> None:
    """Its numbers are of another time."""
    database = open_file(tmp_path / "one.db")
    with database.begin() as connection:
        phones.add(connection, DESK)
        cursor = changes.read_since(connection, None).cursor
    other = open_file(tmp_path / "other.db")
    with other.begin() as connection:
        with pytest.raises(StoreError, match=r"other.db: is empty, but was not empty before; restore a backup"):
            changes.read_since(connection, cursor)
        changes.begin_epoch(connection)
        phones.add(connection, replace(DESK, name="desk2"))
        assert changes.read_since(connection, cursor).is_whole
        assert changes.read_since(connection, cursor).phones.keys() == {"desk2"}
    database.close()
    other.close()
