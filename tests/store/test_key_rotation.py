# SPDX-License-Identifier: MIT
"""A new key for every secret: all of them or none, whoever else is at work, wherever it is killed.

Only PostgreSQL has other gateways for which a rotation waits.
"""

from __future__ import annotations

import copy
import errno
import os
import shutil
from datetime import date
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from sqlalchemy import LargeBinary, event, select

from ldapgw.errors import StoreError, UnfitKey
from ldapgw.store import accounts, gateways, sign_ins, tables, tenants
from ldapgw.store.accounts import NewGrant, Tokens
from ldapgw.store.database import Database, Mode
from ldapgw.store.gateways import GatewayInfo
from ldapgw.store.key_rotation import (
    SEALED_COLUMNS,
    UnreadyGateways,
    find_unready,
    open_with_kept_keys,
    prepare,
    rotate,
)
from ldapgw.store.secrets import KeySource, SecretBox, fingerprint, kept_key_files, new_key, read_keys, write_keys
from ldapgw.store.sign_ins import ConsentFlow
from ldapgw.store.tenants import DelegationSettings, EnteredDelegation
from tests.support.kill import Kill, Killed
from tests.support.postgresql import needs_postgresql, open_new
from tests.support.stage.databases import open_file
from tests.support.stage.sync import connect

NOW = 1_800_000_000.0
TODAY = date(2027, 1, 15)
FLOW = ConsentFlow("acme", "connect", "nonce", "verifier")
DELEGATION = EnteredDelegation("acme", "the key file", DelegationSettings("admin@x.example", ("*",)), NOW)
SECRETS = 7


class Site:
    """A database with two accounts, one of them disconnected, a consent under way, a service account; the key file."""

    def __init__(self, folder: Path) -> None:
        self.path, self.key_file = folder / "ldapgw.db", folder / "ldapgw.key"
        self.secret_box = SecretBox.open(KeySource(self.key_file), create=True)
        self.database = self.opened()
        with self.database.begin() as connection:
            self.ids = [self._connect(connection, sub) for sub in ("a", "b", "gone")]
            accounts.disconnect(connection, self.ids.pop())
            sign_ins.begin_flow(connection, self.secret_box, "state", "browser", FLOW, NOW)
            tenants.enter_delegation(connection, self.secret_box, DELEGATION)

    def opened(self) -> Database:
        return open_file(self.path)

    def copied(self, folder: Path) -> Site:
        """The same elsewhere; this one has to be closed."""
        shutil.copytree(self.path.parent, folder)
        copied = copy.copy(self)
        copied.path, copied.key_file = folder / self.path.name, folder / self.key_file.name
        copied.secret_box, copied.database = SecretBox.open(KeySource(copied.key_file), create=False), copied.opened()
        return copied

    def _connect(self, connection, sub):
        grant = NewGrant(sub, f"{sub}@x.example", frozenset(), f"at-{sub}", NOW, f"rt-{sub}", None)
        return connect(connection, self.secret_box, grant)

    def held(self, secret_box: SecretBox) -> list[Tokens | None]:
        with self.database.begin() as connection:
            assert sign_ins.take_flow(connection, secret_box, "state", "browser", NOW) == FLOW
            assert tenants.read_delegations(connection, secret_box) == ((DELEGATION,), frozenset())
            connection.rollback()
        with self.database.begin() as connection:
            return [accounts.read_tokens(connection, secret_box, account_id) for account_id in self.ids]

    def is_whole(self) -> None:
        """Every secret is there, for whoever opens the key file now."""
        assert self.held(SecretBox.open(KeySource(self.key_file), create=False)) == [
            Tokens(f"rt-{sub}", f"at-{sub}", NOW) for sub in ("a", "b")
        ]


@pytest.fixture
def site(tmp_path):
    site = Site(tmp_path)
    yield site
    site.database.close()


def test_every_secret_is_sealed_under_the_new_key_alone(site: Site) -> None:
    """Nothing fits the old one any more; a secret_box that was open before goes on."""
    [old] = read_keys(site.key_file)
    new = new_key()
    kept = site.key_file.with_name("ldapgw.key.2027-01-15")
    assert rotate(site.database, site.key_file, new, TODAY) == (SECRETS, kept)
    assert (read_keys(site.key_file), read_keys(kept)) == ([new], [old])
    assert {file.stat().st_mode & 0o777 for file in (site.key_file, kept)} == {0o600}
    site.is_whole()
    with site.database.begin() as connection:
        for column in SEALED_COLUMNS:
            for (sealed,) in connection.execute(select(column).where(column.is_not(None))):
                with pytest.raises(UnfitKey):
                    SecretBox([old]).unseal(sealed)
        accounts.store_refreshed_tokens(
            connection, site.secret_box, accounts.read(connection, site.ids[0]), "at-a", NOW, "rt-a", "client"
        )
    site.is_whole()


def test_no_sealed_column_is_left_out() -> None:
    """Contacts and their photos are the only octets that are no secret."""
    octets = {str(c) for t in tables.metadata.sorted_tables for c in t.columns if isinstance(c.type, LargeBinary)}
    assert {str(column) for column in SEALED_COLUMNS} == {
        column for column in octets if not column.startswith(("contact.", "photo."))
    }


def test_a_secret_that_does_not_fit_stops_it(site: Site) -> None:
    """Nothing has changed, the key file neither."""
    with site.database.begin() as connection:
        stray = SecretBox([Fernet.generate_key()]).seal("x")
        connection.execute(tables.account.update().where(tables.account.c.id == site.ids[1]).values(access_token=stray))
    before = site.key_file.read_bytes()
    with pytest.raises(UnfitKey):
        rotate(site.database, site.key_file, new_key(), TODAY)
    assert site.key_file.read_bytes() == before


@pytest.mark.long  # killed many times
def test_a_killed_rotation_loses_nothing(tmp_path: Path) -> None:
    """At whichever step; a gateway goes on with what it finds, and the next rotation leaves one key."""
    (tmp_path / "first").mkdir()
    first = Site(tmp_path / "first")
    first.database.close()
    step, dead = 0, True
    while dead:
        step += 1
        site = first.copied(tmp_path / str(step))
        kill = Kill(step)
        kill.watch_database(site.database.engine)
        with pytest.MonkeyPatch.context() as patch:
            kill.watch_files(patch)
            try:
                rotate(site.database, site.key_file, new_key(), TODAY)
            except Killed:
                site.database.close()
        dead = kill.dead
        site.database = site.opened()
        assert site.held(site.secret_box), "the gateway that runs"
        site.is_whole()
        rotate(site.database, site.key_file, new_key(), TODAY)
        assert len(read_keys(site.key_file)) == 1
        assert read_keys(first.key_file)[0] in read_keys(site.key_file.with_name("ldapgw.key.2027-01-15"))
        site.is_whole()
        site.database.close()
    assert step > 40


def test_old_keys_are_kept_by_the_day(site: Site) -> None:
    """Two rotations of a day have one file, the latest key first; what has no date in its name is not read."""
    keys = read_keys(site.key_file)
    for day in (TODAY, TODAY, date(2027, 1, 16)):
        rotate(site.database, site.key_file, new_key(), day)
        keys[:0] = read_keys(site.key_file)
    site.key_file.with_name("ldapgw.key.old").write_text("x")
    latest, earlier = kept_key_files(site.key_file)
    assert (latest.name, earlier.name) == ("ldapgw.key.2027-01-16", "ldapgw.key.2027-01-15")
    assert (read_keys(latest), read_keys(earlier)) == ([keys[1]], keys[2:])
    sealed = [SecretBox([key]).seal("x") for key in keys]
    secret_box = open_with_kept_keys(KeySource(site.key_file))
    assert [secret_box.unseal(one) for one in sealed] == ["x"] * 4
    assert SecretBox([keys[0]]).unseal(secret_box.seal("y")) == "y"


def test_rotations_at_the_same_time_lose_nothing(site: Site) -> None:
    """One comes between the two transactions of another: that one leaves it the last word."""
    other = site.opened()
    second = new_key()
    begun: list[object] = []

    def cut_in(connection: object, *_: object) -> None:
        begun.append(connection)
        if len(begun) == 2:
            rotate(other, site.key_file, second, TODAY)

    event.listen(site.database.engine, "checkout", cut_in)
    rotate(site.database, site.key_file, new_key(), TODAY)
    assert len(begun) == 2
    assert read_keys(site.key_file) == [second]
    site.is_whole()
    other.close()


def test_a_key_file_that_cannot_be_written(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line; the old file is as it was."""

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    before = site.key_file.read_bytes()
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(
        StoreError, match=r"ldapgw\.key\.2027-01-15: the key file cannot be written: No space left on device"
    ):
        rotate(site.database, site.key_file, new_key(), TODAY)
    assert site.key_file.read_bytes() == before
    assert not list(site.key_file.parent.glob("*.new"))
    site.is_whole()


def test_a_new_key_is_prepared_once(site: Site) -> None:
    """Until a rotation has ended with it, however often; the next rotation begins with another one."""
    [old] = read_keys(site.key_file)
    new = prepare(site.database, site.key_file)
    assert prepare(site.database, site.key_file) == new
    assert read_keys(site.key_file) == [new, old]
    kept = site.key_file.with_name(f"{site.key_file.name}.{TODAY}")
    assert rotate(site.database, site.key_file, new, TODAY) == (SECRETS, kept)
    assert read_keys(site.key_file) == [new]
    site.is_whole()
    # As on another machine, whose file was copied in between.
    write_keys(site.key_file, [new, old])
    newest = prepare(site.database, site.key_file)
    assert read_keys(site.key_file) == [newest, new, old]
    rotate(site.database, site.key_file, newest, TODAY)
    assert read_keys(site.key_file) == [newest]
    site.is_whole()


def test_no_key_is_prepared_beside_one_that_does_not_fit(site: Site) -> None:
    """It would be copied to other machines."""
    write_keys(site.key_file, [new_key()])
    before = site.key_file.read_bytes()
    with pytest.raises(UnfitKey):
        prepare(site.database, site.key_file)
    assert site.key_file.read_bytes() == before


@needs_postgresql
def test_a_rotation_waits_for_all_that_live() -> None:
    """For those without the key, and for those that do not use it yet; not for one that is silent."""
    new, old = new_key(), new_key()
    with open_new() as database:

        def beat(name: str, *keys: bytes) -> None:
            told = GatewayInfo(name, f"{name}.example", "1.0", keys=tuple(map(fingerprint, keys)))
            database.call(Mode.BESIDE, gateways.beat, told)

        def unready() -> UnreadyGateways:
            with database.begin_read() as connection:
                return find_unready(connection, new)

        assert not unready()
        beat("a", old)
        beat("b", old, new)
        beat("c", new, old)
        assert unready() == UnreadyGateways(("a.example",), ("b.example",))
        beat("b", new, old)
        assert unready() == UnreadyGateways(("a.example",))
        with database.begin() as connection:
            silent = tables.gateway.c.seen_at - gateways.ALIVE_SECONDS - 1
            connection.execute(tables.gateway.update().where(tables.gateway.c.id == "a").values(seen_at=silent))
        assert not unready()
