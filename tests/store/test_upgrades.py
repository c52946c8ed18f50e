# SPDX-License-Identifier: MIT
"""Databases of earlier versions (``tests/data/upgrades``) are upgraded with all that they hold; others are refused."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from ldapgw.ber import tlv
from ldapgw.contact import Sharing
from ldapgw.directory.access import verify_password
from ldapgw.google.sandbox.tenant import ALICE
from ldapgw.store import accounts, contacts, phones
from ldapgw.store.backup import back_up, restore
from ldapgw.store.database import revisions
from ldapgw.store.engines import database_at
from ldapgw.store.phones import NumberMode
from ldapgw.store.secrets import KeySource, SecretBox
from tests.support import pdu
from tests.support.checkout import ROOT
from tests.support.site.command_line import Gateway
from tests.support.stage.started import started
from tests.support.stored_states import PHONE, StoredState, read_states

STATES = read_states()
NAMES = {"Ivan Ivanov", "Jörg Müller", "Łukasz Nowak"}
# Some days after the last of them was made.
NOW = 1796000000.0

any_state = pytest.mark.parametrize("stored", STATES, ids=[one.revision for one in STATES])


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """Where a state directory will be, with a configuration beside it."""
    (tmp_path / "ldapgw.toml").write_bytes((ROOT / "tests" / "data" / "state-0.1" / "ldapgw.toml").read_bytes())
    return tmp_path / "state"


def held(state: Path, phone: StoredState) -> dict[str, object]:
    """What a database has, after an upgrade where one is needed."""
    database = database_at(f"sqlite:///{state / 'ldapgw.db'}")
    database.open()
    secret_box = SecretBox.open(KeySource(state / "ldapgw.key"), create=False)
    with database.begin() as connection:
        [account] = accounts.read_all(connection)
        [login] = phones.read_all(connection)
        tokens = accounts.read_tokens(connection, secret_box, account.id)
        names = {contact.name for contact in contacts.iterate(connection, account.id)}
        revision = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
    database.close()
    assert tokens is not None
    return {
        "revision": revision,
        "account": (account.tenant, account.address, account.is_connected, account.sharing),
        "has tokens": (bool(tokens.refresh_token), bool(tokens.access_token)),
        "contacts": names,
        "phone": (login.name, login.tenant, login.account_id == account.id, login.numbers),
        "password": verify_password(phone.password.encode(), login.password),
    }


EXPECTED = {
    "revision": revisions()[0],
    "account": ("acme", ALICE, True, Sharing.CALLERS),
    "has tokens": (True, True),
    "contacts": NAMES,
    "phone": (PHONE, "acme", True, NumberMode.ENTRIES),
    "password": True,
}


@any_state
def test_everything_is_there_after_the_upgrade(state: Path, stored: StoredState) -> None:
    """Account, tokens, contacts, the phone with its settings and its password; a copy of the old database is kept."""
    stored.write(state)
    assert held(state, stored) == EXPECTED
    assert [copy.name for copy in state.glob("*.before-upgrade*")] == [
        f"ldapgw.db.before-upgrade-from-{stored.revision}"
    ]


@any_state
def test_a_backup_from_then_is_restored(state: Path, tmp_path: Path, stored: StoredState) -> None:
    """Into a new state directory, with the key from then."""
    stored.write(state)
    back_up(state / "ldapgw.db", tmp_path / "then.db")
    new = tmp_path / "new"
    new.mkdir(mode=0o700)
    (state / "ldapgw.key").rename(new / "ldapgw.key")
    restore(tmp_path / "then.db", new / "ldapgw.db", SecretBox.open(KeySource(new / "ldapgw.key"), create=False))
    assert held(new, stored) == EXPECTED


@any_state
def test_phones_notice_nothing(state: Path, stored: StoredState) -> None:
    """The phone's password binds, and its search finds each number of its account."""
    stored.write(state)
    dn = f"cn={PHONE},ou=phones,dc=acme,dc=example"
    search = pdu.search("dc=acme,dc=example", 2, tlv(0x87, b"telephoneNumber"), ("cn", "telephoneNumber"))
    requests = (pdu.bind(dn, stored.password.encode()), search)
    with started(state, NOW) as ask:
        octets = ask(3389, *(pdu.message(number, one) for number, one in enumerate(requests, 1)))
    answers = pdu.responses(octets)
    assert [(one.message_id, one.code) for one in answers if one.code is not None] == [(1, 0), (2, 0)]
    found = [dict(one.attributes) for one in answers if one.message_id == 2 and one.code is None]
    assert sorted((one["cn"][0].decode(), one["telephoneNumber"][0].decode()) for one in found) == [
        ("Ivan Ivanov (work)", "+49307654321"),
        ("Jörg Müller (mobile)", "+491711234567"),
        ("Jörg Müller (work)", "+49301234567"),
        ("Łukasz Nowak (home)", "+48221234567"),
    ]


@pytest.mark.parametrize(
    ("stored", "revision", "why"),
    [
        (
            STATES[0],
            "0009",
            "was made by a version of ldapgw from before 0.1.0; start version 0.1.0 once, which upgrades it",
        ),
        (
            STATES[-1],
            "9999",
            "was made by a newer version of ldapgw; install that version, or restore a backup from before its upgrade",
        ),
    ],
    ids=["older", "newer"],
)
def test_what_cannot_be_used_is_refused_in_a_line(tmp_path: Path, stored: StoredState, revision: str, why: str) -> None:
    """A downgrade too; the database is not touched, and nothing is written beside it."""
    gateway = Gateway(tmp_path)
    stored.write(gateway.state_dir)
    database = gateway.state_dir / "ldapgw.db"
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = ?", (revision,))
        if stored is STATES[-1]:
            connection.execute("UPDATE schema_version SET readable_from = ?", (revision,))
    before = database.read_bytes()
    for command in (("run",), ("accounts",), ("phones", "add", "desk2", "--account", ALICE)):
        assert gateway.refused(*command) == f"{database}: {why}; nothing was changed\n"
    assert database.read_bytes() == before
    assert not list(gateway.state_dir.glob("*.before-*"))
