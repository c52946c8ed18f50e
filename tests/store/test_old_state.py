# SPDX-License-Identifier: MIT
"""What a gateway of 0.1.0 left on disk (``tests/data/state-0.1``) is served by this one as if it had been its own."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from ldapgw import __version__
from ldapgw.ber import tlv
from ldapgw.store import accounts, tenants
from ldapgw.store.database import revisions
from ldapgw.store.engines import database_at
from ldapgw.store.secrets import KeySource, SecretBox
from tests.support import pdu
from tests.support.checkout import ROOT
from tests.support.stage.started import started

OLD = ROOT / "tests" / "data" / "state-0.1"
# A minute after that gateway's end, in 2026: Bob is still signed in.
NOW = 1795339484.0
COOKIE = "ldapgw.acme=lLapGv6a64u35zxjBQgg09VRTUyVM6BmKnEdXiVECdQ"
BIND = pdu.bind("cn=desk1,ou=phones,dc=acme,dc=example", b"585z90qv1hvb5ce1n81z")
REVISION = "0010"


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A copy of the old ``state_dir``, with the modes that it had."""
    state = tmp_path / "state"
    shutil.copytree(OLD, state, ignore=shutil.ignore_patterns("*.toml"))
    shutil.copy(OLD / "ldapgw.toml", tmp_path)
    for path in (state, *state.rglob("*")):
        path.chmod(0o700 if path.is_dir() else 0o600)
    return state


def images(state: Path) -> dict[str, int]:
    return {file.name: file.stat().st_ino for file in (state / "images").iterdir()}


def revision(state: Path) -> Any:
    with closing(sqlite3.connect(state / "ldapgw.db")) as connection:
        return connection.execute("SELECT version_num FROM alembic_version").fetchall()


def test_phones_and_people_notice_nothing(state: Path) -> None:
    """A phone's password binds, its book and the Workspace directory are served, labels too; a sign-in still holds."""
    searches = [
        pdu.search("dc=acme,dc=example", 2, tlv(0x87, name), (kind,)) for name, kind in ((b"sn", "cn"), (b"ou", "ou"))
    ]
    with started(state, NOW) as ask:
        requests = [pdu.message(at, one) for at, one in enumerate((BIND, *searches), start=1)]
        answers = pdu.responses(ask(3389, *requests))
        page = ask(8080, f"GET /acme/ HTTP/1.0\r\nHost: 127.0.0.1:8080\r\nCookie: {COOKIE}\r\n\r\n".encode())
    assert [(answer.message_id, answer.code) for answer in answers if answer.code is not None] == [
        (1, 0),
        (2, 0),
        (3, 0),
    ]
    books = [answer.dn.partition(",ou=")[2].partition(",")[0] for answer in answers if answer.message_id == 2]
    assert (books.count("bob@acme.example"), books.count("directory")) == (40, 25)
    assert {"Customers", "Family", "Suppliers"} <= {
        value.decode() for one in answers if one.message_id == 3 for _, values in one.attributes for value in values
    }
    assert b"200 OK" in page
    assert b"bob@acme.example" in page


def test_books_are_built_once_more_in_silence(state: Path, caplog_twisted: list[str]) -> None:
    """Those that lie there were made by other code, which is no news; the next start reads what this one wrote."""
    before = images(state)
    with started(state, NOW):
        first = images(state)
    with started(state, NOW):
        second = images(state)
    assert before.items().isdisjoint(first.items())
    assert first == second == dict.fromkeys(("1.image", "1-directory.image")) | first
    assert caplog_twisted == [f"ldapgw {__version__}: 65 contacts in 2 books"] * 2


def test_the_key_opens_what_is_sealed(state: Path) -> None:
    """The grant of an account, and the OAuth client that an administrator has entered."""
    database = database_at(f"sqlite:///{state / 'ldapgw.db'}")
    database.open()
    key = SecretBox.open(KeySource(state / "ldapgw.key"), create=False)
    with database.begin() as connection:
        [account] = accounts.read_all(connection)
        tokens = accounts.read_tokens(connection, key, account.id)
        clients, unfit = tenants.read_clients(connection, key)
    database.close()
    assert tokens.refresh_token
    assert [(one.tenant, one.client_secret) for one in clients] == [("globex", "GOCSPX-sandbox-is-no-secret")]
    assert not unfit


def test_the_database_is_upgraded_once(state: Path) -> None:
    """A copy of use to the version that made it is kept beside it."""
    assert revision(state) == [(REVISION,)]
    for _ in range(2):
        with started(state, NOW):
            assert revision(state) == [(revisions()[0],)]
    assert [copy.name for copy in state.glob("*.before-upgrade*")] == [f"ldapgw.db.before-upgrade-from-{REVISION}"]


def test_stored_contacts_are_counted(state: Path) -> None:
    """By the upgrade, with what is skipped by reason."""
    with closing(sqlite3.connect(state / "ldapgw.db")) as connection, connection:
        uids = [uid for (uid,) in connection.execute("SELECT uid FROM contact WHERE account_id = 1 ORDER BY uid")]
        connection.execute("UPDATE contact SET content = NULL, skipped = 'empty' WHERE uid IN (?, ?)", uids[:2])
        connection.execute("UPDATE contact SET unreadable = 2 WHERE uid = ?", uids[2:3])
        query = "SELECT count(*), sum(numbers) FROM contact WHERE account_id = 1 AND content IS NOT NULL"
        contacts, numbers = connection.execute(query).fetchone()
    assert contacts == len(uids) - 2 > 0
    with started(state, NOW), closing(sqlite3.connect(state / "ldapgw.db")) as connection:
        counters = connection.execute("SELECT contacts, numbers, skipped FROM account WHERE id = 1").fetchone()
    assert counters == (contacts, numbers, '{"empty": 2, "unreadable_number": 2}')


def layout(file: Path) -> dict[str, list[Any]]:
    """The columns, keys and indices of each table; columns by name, as a table that grew has them in another order."""
    pragmas = ("table_info", "foreign_key_list", "index_list")
    with closing(sqlite3.connect(file)) as connection:
        names = [name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        return {
            f"{pragma} {name}": sorted(row[1:] for row in connection.execute(f"PRAGMA {pragma}({name})"))
            for name in names
            for pragma in pragmas
        }


def test_a_new_database_has_the_same_tables(state: Path, tmp_path: Path) -> None:
    """As one that was upgraded."""
    for file in (tmp_path / "new.db", state / "ldapgw.db"):
        database = database_at(f"sqlite:///{file}")
        database.open()
        database.close()
    assert layout(tmp_path / "new.db") == layout(state / "ldapgw.db")
