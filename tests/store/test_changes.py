# SPDX-License-Identifier: MIT
"""What a look at the database finds: what was written since the last one, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Connection, select

from ldapgw.contact import Sharing, Source
from ldapgw.numbers.phone_number import NumberFormat
from ldapgw.store import accounts, changes, phones, sync_state, tables, tenants
from ldapgw.store.accounts import SourceState, SyncRequest
from ldapgw.store.changes import Changes, Cursor
from ldapgw.store.phones import LastBind, LastSearch
from ldapgw.store.secrets import SecretBox
from ldapgw.store.tenants import EnteredClient
from tests.support.stage.databases import open_file
from tests.support.stage.sync import CLIENT, DESK, GRANT, NOW

Write = Callable[[Connection, int], object]


@pytest.fixture
def account_id(connection: Connection, secret_box: SecretBox) -> int:
    """An account, and a phone of it."""
    account_id = accounts.connect(connection, secret_box, "acme", GRANT, Sharing.PRIVATE, NOW)
    assert account_id is not None
    phones.add(connection, replace(DESK, account_id=account_id))
    return account_id


def test_the_first_look_finds_all(connection: Connection, account_id: int) -> None:
    """And the next one nothing, until something is written."""
    found = changes.read_since(connection, None)
    account = accounts.read(connection, account_id)
    [phone] = phones.read_all(connection)
    assert found == Changes(found.cursor, True, {account_id: account}, {"desk1": phone})
    assert changes.read_since(connection, found.cursor) == Changes(found.cursor, False)


ACCOUNT_WRITES: dict[str, Write] = {
    "sharing": lambda connection, account_id: accounts.set_sharing(connection, account_id, Sharing.SHARED),
    "disconnected": accounts.disconnect,
    "asked": lambda connection, account_id: sync_state.request_sync(connection, account_id, SyncRequest.FULL),
    "sync begins": sync_state.begin,
    "contacts": sync_state.increment_generation,
    "source": lambda connection, account_id: sync_state.write_source_states(
        connection, account_id, {Source.DIRECTORY: SourceState.ON}
    ),
}


@pytest.mark.parametrize("write", ACCOUNT_WRITES.values(), ids=ACCOUNT_WRITES.keys())
def test_an_account_is_found_once_it_has_changed(connection: Connection, account_id: int, write: Write) -> None:
    """As it is now, however often it was written."""
    before = changes.read_since(connection, None).cursor
    write(connection, account_id)
    found = changes.read_since(connection, before)
    account = accounts.read(connection, account_id)
    assert found == Changes(found.cursor, False, {account_id: account}, {})
    assert changes.read_since(connection, found.cursor) == Changes(found.cursor, False)


PHONE_WRITES: dict[str, Write] = {
    "password": lambda connection, _: phones.set_password(connection, "desk1", "sha256$22$22"),
    "secret address": lambda connection, _: phones.set_book_secret(connection, "desk1", "sha256$33$33"),
    "number format": lambda connection, _: phones.set_number_format(connection, "desk1", NumberFormat.DIAL),
    "removed": lambda connection, _: phones.remove(connection, "desk1"),
}


@pytest.mark.parametrize("write", PHONE_WRITES.values(), ids=PHONE_WRITES.keys())
def test_a_phone_is_found_once_it_has_changed(connection: Connection, account_id: int, write: Write) -> None:
    """None where it is gone."""
    before = changes.read_since(connection, None).cursor
    write(connection, account_id)
    found = changes.read_since(connection, before)
    assert found == Changes(found.cursor, False, {}, {"desk1": phones.read_by_name(connection, "desk1")})


@pytest.mark.usefixtures("account_id")
def test_what_a_phone_does_is_no_change(connection: Connection) -> None:
    """Else each bind and each search would have the gateway look."""
    before = changes.read_since(connection, None).cursor
    phones.store_last_binds(connection, {"desk1": LastBind(NOW, "192.0.2.1", DESK.password)})
    phones.store_last_searches(connection, {"desk1": LastSearch(NOW, "", NOW)})
    assert phones.read_all(connection)[0].last_seen == NOW
    assert changes.read_since(connection, before) == Changes(before, False)


def test_another_client_of_a_tenant_changes_all_its_accounts(
    connection: Connection, account_id: int, secret_box: SecretBox
) -> None:
    """Those that the former client's end had stopped may go on."""
    accounts.connect(connection, secret_box, "other", replace(GRANT, sub="sub-2"), Sharing.PRIVATE, NOW)
    before = changes.read_since(connection, None).cursor
    tenants.enter_client(connection, secret_box, EnteredClient("acme", CLIENT.client_id, CLIENT.client_secret, NOW))
    found = changes.read_since(connection, before)
    assert found.accounts.keys() == {account_id}
    assert changes.read_since(connection, found.cursor).accounts == {}


def test_a_removed_account_is_found_with_its_phones(connection: Connection, account_id: int) -> None:
    """Its phones go with it."""
    before = changes.read_since(connection, None).cursor
    connection.execute(tables.account.delete())
    found = changes.read_since(connection, before)
    assert (found.accounts, found.phones) == ({account_id: None}, {"desk1": None})


def test_marks_of_removed_phones_do_not_pile_up(connection: Connection, account_id: int) -> None:
    """But for the last mark: the number must not begin anew."""
    for name in ("desk2", "desk3"):
        phones.add(connection, replace(DESK, name=name))
        phones.remove(connection, name)
    before = changes.read_since(connection, None).cursor
    changes.forget_removed(connection)
    marks = set(connection.execute(select(tables.change.c.kind, tables.change.c.key)).all())
    assert marks == {("account", str(account_id)), ("phone", "desk1"), ("phone", "desk3")}
    assert changes.read_since(connection, before) == Changes(before, False)


def test_a_restored_backup_is_read_whole(connection: Connection, account_id: int) -> None:
    """It comes into the same file, and its changes may have numbers that were read already."""
    before = changes.read_since(connection, None).cursor
    changes.begin_epoch(connection)
    accounts.set_sharing(connection, account_id, Sharing.SHARED)
    found = changes.read_since(connection, before)
    assert (found.is_whole, found.accounts.keys(), found.phones.keys()) == (True, {account_id}, {"desk1"})
    assert not changes.read_since(connection, found.cursor).is_whole
    changes.begin_epoch(connection)
    assert changes.read_since(connection, found.cursor).is_whole


def test_a_file_that_was_put_in_place_of_the_former_is_read_whole(tmp_path: Path) -> None:
    """Its numbers are of another time."""
    database = open_file(tmp_path / "one.db")
    with database.begin() as connection:
        phones.add(connection, DESK)
        cursor = changes.read_since(connection, None).cursor
    other = open_file(tmp_path / "other.db")
    with other.begin() as connection:
        phones.add(connection, replace(DESK, name="desk2"))
        assert changes.read_since(connection, cursor).is_whole
        assert changes.read_since(connection, cursor).phones.keys() == {"desk2"}
        behind = Cursor(changes.read_since(connection, None).cursor.identity, 99)
        assert changes.read_since(connection, behind).is_whole
    database.close()
    other.close()
