# SPDX-License-Identifier: MIT
"""All that a database holds, copied to another engine and back; a copy that was killed goes on.

Only a server of the other engine shows that each value survives the copy.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from sqlalchemy import Connection, delete, insert, select, update

from ldapgw.errors import StoreError
from ldapgw.store import accounts, backup, changes, gateways, leavers, phones, tables, tenants
from ldapgw.store.backup import back_up, back_up_server, restore_server
from ldapgw.store.database import Database
from ldapgw.store.engines import database_at
from ldapgw.store.gateways import GatewayInfo
from ldapgw.store.leavers import LeaverReason
from ldapgw.store.secrets import SecretBox
from ldapgw.store.tenants import DelegationSettings, EnteredDelegation
from tests.support.postgresql import needs_postgresql, new_url, open_new
from tests.support.stage.databases import open_file
from tests.support.stage.sync import DESK, GRANT, NOW, connect

pytestmark = needs_postgresql

BOX = SecretBox([Fernet.generate_key()])
PERSONS = 1_200


def fill(connection: Connection) -> None:
    """An account, its phone and contacts, a Workspace; the second account disconnected; numbers not in a row."""
    for number, sub in enumerate(("sub-1", "sub-2", "sub-3")):
        account_id = connect(connection, BOX, replace(GRANT, sub=sub), now=NOW + number)
        row = {"account_id": account_id, "source": "contacts", "source_id": "s", "content": b"\x00\xff{}"}
        row |= {"numbers": 1, "unreadable": 0, "digest": b"\x00" * 16, "missed_at": NOW + 1 / 3}
        if number != 1:
            rows = [{**row, "uid": f"c{uid}"} for uid in range(PERSONS)]
            connection.execute(insert(tables.contact), rows)
            names = {"resource_name": "contactGroups/1", "name": "Größe 中 \0 'x'"}
            connection.execute(insert(tables.label).values(account_id=account_id, **names))
    accounts.remove(connection, 2, with_phones=False)
    phones.add(connection, replace(DESK, account_id=1))
    settings = DelegationSettings("admin@acme.example", users=("*",))
    tenants.enter_delegation(connection, BOX, EnteredDelegation("acme", "the key file", settings, NOW))
    tenants.record_workspace_failure(connection, "acme", "network", NOW)
    tenants.write_group(connection, "acme", "sales@acme.example", {"ann@acme.example"}, NOW)
    leavers.mark(connection, [1], {1: LeaverReason.SUSPENDED}, NOW)


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Database]:
    """An SQLite database with content."""
    with closing(open_file(tmp_path / "ldapgw.db")) as database:
        database.run(fill)
        yield database


@pytest.fixture
def server() -> Iterator[Database]:
    with open_new() as database:
        yield database


def held(database: Database) -> dict[str, backup.Digest]:
    with database.begin_read() as connection:
        return {table.name: backup.digest(connection, table) for table in backup.TABLES}


def unfinished(database: Database) -> Database:
    """The target of a copy."""
    target = database_at(database.engine.url)
    target.unfinished_copy_of = "another"
    target.open()
    target.run(backup.mark_unfinished)
    return target


def copy(source: Database, target: Database) -> None:
    """Begin a copy, or go on with it, and compare what was copied."""
    with source.begin_read() as connection:
        backup.resume_copy(connection, target, lambda *_: None)


class Killed(BaseException):
    """The copy ends in the middle."""


@pytest.mark.long  # tests/cli/test_backup copies by the command
def test_from_sqlite_to_postgresql_and_back(file: Database, server: Database, tmp_path: Path) -> None:
    """Killed after any table, gone on with; the target can be used when all is there, and not before."""
    before = held(file)
    target = unfinished(server)
    copied: list[str] = []

    def kill_after(table: str, _rows: int) -> None:
        if table not in copied:
            copied.append(table)
            raise Killed

    rows = 0
    while not rows:
        with file.begin_read() as source:
            try:
                rows = backup.resume_copy(source, target, kill_after)
            except Killed:
                with pytest.raises(
                    StoreError, match="a copy into this database was not finished; run the same ldapgw database copy"
                ):
                    server.open()
    assert copied == [table.name for table in backup.TABLES]
    with file.begin_read() as source:
        target.run(lambda connection: backup.mark_complete(source, connection))
    server.open()
    assert held(server) == before == held(file)
    assert rows == sum(digest.rows for digest in before.values())
    # New rows get a number that no row had before in either database.
    grant = replace(GRANT, sub="sub-4")
    assert server.run(connect, BOX, grant) == 4
    server.run(accounts.remove, 4, with_phones=True)
    back = unfinished(open_file(tmp_path / "back.db"))
    with server.begin_read() as source:
        backup.resume_copy(source, back, lambda *_: None)
        back.run(lambda connection: backup.mark_complete(source, connection))
    assert held(back) == held(server)
    assert back.run(connect, BOX, replace(grant, sub="sub-5")) == 5
    back.close()
    target.close()


def test_what_has_changed_between_two_attempts_is_copied_too(file: Database, server: Database) -> None:
    """Rows that came, went and changed, in the middle of what was there already."""
    target = unfinished(server)
    copy(file, target)
    with file.begin() as connection:
        connection.execute(delete(tables.contact).where(tables.contact.c.uid == "c7"))
        connection.execute(update(tables.contact).where(tables.contact.c.uid == "c8").values(numbers=9))
        accounts.remove(connection, 3, with_phones=True)
        phones.add(connection, replace(DESK, name="a"))
    copy(file, target)
    assert held(server) == held(file)
    target.close()


def test_a_difference_is_found(file: Database, server: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """In any value of any row."""
    target = unfinished(server)
    monkeypatch.setattr(backup, "_copy_tables", lambda *_: None)
    with file.begin_read() as source, pytest.raises(StoreError, match="the table account differs from the source"):
        backup.resume_copy(source, target, lambda *_: None)
    target.close()


def test_a_backup_of_postgresql_is_one_of_sqlite(server: Database, tmp_path: Path) -> None:
    """It is restored into the same database, into another one, and into a file, in one transaction."""
    server.run(fill)
    before = held(server)
    back_up_server(server, tmp_path / "monday.db")
    assert (tmp_path / "monday.db").stat().st_mode & 0o777 == 0o600
    assert {path.name for path in tmp_path.iterdir()} == {"monday.db"}
    with server.begin_read() as connection:
        cursor = changes.read_since(connection, None).cursor
    server.run(phones.remove, DESK.name)
    restore_server(tmp_path / "monday.db", server, BOX, tmp_path / "ldapgw.db")
    after = held(server)
    # Syncs are not running, and secrets are sealed anew.
    assert {name for name in before if before[name] != after[name]} == {"account", "delegation"}
    assert server.run(phones.read_all) == (replace(DESK, account_id=1),)
    with server.begin_read() as connection:
        found = changes.read_since(connection, cursor)
        assert (found.is_whole, found.has_gone_back) == (True, False)
    assert {path.name for path in tmp_path.iterdir()} == {"monday.db", "ldapgw.db.before-restore"}
    with closing(database_at(f"sqlite:///{tmp_path / 'ldapgw.db.before-restore'}")) as kept:
        kept.open()
        assert kept.run(phones.read_all) == ()


def test_a_restore_leaves_the_gateways_as_they_are(server: Database, tmp_path: Path) -> None:
    """The list has the gateways that run now, not the gateways that ran at the time of the backup."""
    server.run(fill)
    server.run(gateways.beat, GatewayInfo("one", "one.example", "1.0"))
    back_up_server(server, tmp_path / "monday.db")
    server.run(gateways.leave, "one")
    server.run(gateways.beat, GatewayInfo("two", "two.example", "1.0"))
    restore_server(tmp_path / "monday.db", server, BOX, tmp_path / "ldapgw.db")
    assert [one.info.id for one in server.run(gateways.read_all)] == ["two"]


def test_a_backup_of_sqlite_is_restored_into_postgresql(file: Database, server: Database, tmp_path: Path) -> None:
    """As on a new server."""
    assert file.file is not None
    (tmp_path / "backups").mkdir()
    back_up(file.file, tmp_path / "backups" / "monday.db")
    restore_server(tmp_path / "backups" / "monday.db", server, BOX, tmp_path / "other.db")
    before, after = held(file), held(server)
    assert {name for name in before if before[name] != after[name]} == {"account", "delegation"}
    with server.begin() as connection:
        ((entered,), _) = tenants.read_delegations(connection, BOX)
        assert entered.key_file == "the key file"
        assert connection.execute(select(tables.label.c.name)).scalars().all() == ["Größe 中  'x'"] * 2


def test_a_backup_that_does_not_fit_changes_nothing(file: Database, server: Database, tmp_path: Path) -> None:
    """It has another key, or is none."""
    assert file.file is not None
    (tmp_path / "backups").mkdir()
    back_up(file.file, tmp_path / "backups" / "monday.db")
    (tmp_path / "backups" / "text.db").write_text("nothing " * 500)
    (tmp_path / "backups" / "empty.db").touch()
    server.run(phones.add, DESK)
    before = held(server)
    refusals = {
        "monday.db": "was made under another key",
        "text.db": "file is not a database",
        "empty.db": "is no database of ldapgw",
    }
    for name, told in refusals.items():
        other = SecretBox([Fernet.generate_key()])
        with pytest.raises(StoreError, match=told):
            restore_server(tmp_path / "backups" / name, server, other, tmp_path / "other.db")
    assert held(server) == before
    assert not list(tmp_path.glob("other.db*"))


def test_an_empty_target_is_marked_before_it_has_tables() -> None:
    """Killed at any moment, it is not taken for a new database."""
    with closing(database_at(new_url(template="template0"))) as target:
        target.unfinished_copy_of = "another"
        target.open()
        assert target.run(backup.is_unfinished)
        with closing(database_at(target.engine.url)) as gateway, pytest.raises(StoreError, match="was not finished"):
            gateway.open()
