# SPDX-License-Identifier: MIT
"""Accounts: consent, syncs that end well and badly, requests, disconnecting."""

from __future__ import annotations

import math
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Connection, select, update

from ldapgw.contact import Contact, Sharing, Source
from ldapgw.errors import SuspiciousShrink
from ldapgw.store import (
    accounts,
    contacts,
    directory_accounts,
    phones,
    revocations,
    sign_ins,
    sync_state,
    tables,
    tenants,
)
from ldapgw.store.accounts import Account, ErrorStatus, NewGrant, SourceState, SyncRequest, Tokens
from ldapgw.store.contact_record import ContactRecord
from ldapgw.store.engines import database_at
from ldapgw.store.phones import NumberMode, PhoneLogin
from ldapgw.store.secrets import SecretBox
from ldapgw.store.sign_ins import SignIn
from ldapgw.store.sync_state import LabelState, SyncState
from tests.support.stage.sync import GRANT, NOW, begin_sync, connect, read_account


def add(connection: Connection, secret_box: SecretBox, grant: NewGrant = GRANT, now: float = NOW) -> Account:
    """Store a consent; returns the account."""
    return read_account(connection, connect(connection, secret_box, grant, now=now))


@pytest.fixture
def account(connection: Connection, account_id: int) -> Account:
    return read_account(connection, account_id)


def read_tokens(connection: Connection, secret_box: SecretBox, account_id: int) -> Tokens:
    held = accounts.read_tokens(connection, secret_box, account_id)
    assert held is not None
    return held


def test_a_consent_makes_an_account(connection: Connection, account: Account) -> None:
    """It is connected, waits for its first, full sync, and nothing else is known of it."""
    assert account == Account(
        id=account.id,
        tenant="acme",
        sub="sub-1",
        address="Alice@acme.example",
        sharing=Sharing.PRIVATE,
        connected_at=NOW,
        scopes=frozenset({"openid", "email"}),
        next_sync=NOW,
        requested_sync=SyncRequest.FULL,
        skipped={},
        has_consent=True,
    )
    assert account.is_connected
    assert repr(account) == f"<Account {account.id} of acme>"  # a log may have an account, and no address


def test_tokens_come_back_and_are_not_stored_in_clear(
    connection: Connection, secret_box: SecretBox, account: Account
) -> None:
    """The table has only sealed tokens."""
    held = read_tokens(connection, secret_box, account.id)
    assert (held.refresh_token, held.access_token, held.access_expires_at) == ("refresh-1", "access-1", NOW + 3600)
    row = connection.execute(select(tables.account)).one()
    assert b"refresh-1" not in row.refresh_token
    assert b"access-1" not in row.access_token
    assert "refresh-1" not in repr(held)


def test_a_consent_without_refresh_token_is_not_stored(connection: Connection, secret_box: SecretBox) -> None:
    """Half an account would die within the hour."""
    grant = replace(GRANT, refresh_token=None)
    assert accounts.connect(connection, secret_box, "acme", grant, Sharing.PRIVATE, NOW, shared_label="") is None
    assert accounts.read_all(connection) == ()


@pytest.mark.parametrize(
    ("stored", "client_id", "is_stored"),
    [("1-a", "1-a", True), (None, "1-a", True), ("1-a", "1-b", False)],
    ids=["the same client", "a client that was not known", "another client"],
)
def test_a_consent_without_refresh_token_needs_the_stored_token_of_its_client(
    connection: Connection, secret_box: SecretBox, stored: str | None, client_id: str, *, is_stored: bool
) -> None:
    """Google accepts a refresh token only from the client that has got the token, so the former grant stays."""
    account_id = connect(connection, secret_box, replace(GRANT, client_id=stored))
    before = connection.execute(select(tables.account)).all()
    new = replace(GRANT, refresh_token=None, client_id=client_id)
    found = accounts.connect(connection, secret_box, "acme", new, Sharing.PRIVATE, NOW + 9, shared_label="")
    assert found == (account_id if is_stored else None)
    assert (connection.execute(select(tables.account)).all() == before) is not is_stored


def test_a_consent_without_refresh_token_ends_no_delegation(connection: Connection, secret_box: SecretBox) -> None:
    """An account that only the service account reads has no refresh token that the consent could keep."""
    account_id = connect(connection, secret_box)
    account = accounts.read(connection, account_id)
    assert account is not None
    tenants.use_delegation(connection, account, NOW, frozenset())
    before = connection.execute(select(tables.account)).all()
    new = replace(GRANT, refresh_token=None)
    assert accounts.connect(connection, secret_box, "acme", new, Sharing.PRIVATE, NOW, shared_label="") is None
    assert connection.execute(select(tables.account)).all() == before


def test_a_second_consent_continues_the_account(
    connection: Connection, secret_box: SecretBox, account: Account
) -> None:
    """Same sub: address and grant are renewed, sharing stays, trouble ends, sync tokens are forgotten."""
    accounts.set_sharing(connection, account.id, Sharing.SHARED, "")
    sync_state.fail(connection, account, "consent_revoked", NOW + 5, None)
    sync_state.write_source_states(connection, account.id, {Source.CONTACTS: SourceState.ON})
    sync_state.write_label_state(connection, account.id, LabelState({"contactGroups/a": "Work"}, "token", "print"))
    grant = replace(GRANT, address="alice@new.example", access_token="access-2", refresh_token=None)
    again = add(connection, secret_box, grant, NOW + 9)
    assert again.id == account.id
    assert (again.address, again.sharing, again.error, again.failures) == ("alice@new.example", "shared", None, 0)
    assert (again.requested_sync, again.next_sync, again.sources) == (SyncRequest.FULL, NOW + 9, {})
    rows = accounts.read_rows(connection, account.id)
    assert rows is not None
    _, states, labels, held = sync_state.read_start(connection, secret_box, rows)
    assert (states, labels.names, labels.sync_token) == ({}, {"contactGroups/a": "Work"}, None)
    assert (held.refresh_token, held.access_token) == ("refresh-1", "access-2")


def test_the_same_person_in_two_tenants_has_two_accounts(
    connection: Connection, secret_box: SecretBox, account: Account
) -> None:
    """And each is found where it is."""
    connect(connection, secret_box, tenant="other", sharing=Sharing.SHARED)
    assert [found.tenant for found in accounts.read_all(connection)] == ["acme", "other"]
    assert accounts.read_all(connection, "acme") == (account,)
    assert [found.tenant for found in accounts.find_by_address(connection, "ALICE@ACME.EXAMPLE")] == ["acme", "other"]
    assert accounts.find_by_address(connection, "alice@acme.example", "acme") == (account,)
    assert accounts.read_by_sub(connection, "acme", "sub-1") == account
    assert accounts.read_by_sub(connection, "acme", "sub-2") is None


def test_a_refreshed_token_is_stored_and_the_old_one_kept(
    connection: Connection, secret_box: SecretBox, account: Account
) -> None:
    """Google sends a new refresh token rarely, and then it counts."""
    accounts.store_refreshed_tokens(connection, secret_box, account, "access-2", NOW + 7200, None, "client")
    held = read_tokens(connection, secret_box, account.id)
    assert (held.refresh_token, held.access_token, held.access_expires_at) == ("refresh-1", "access-2", NOW + 7200)
    accounts.store_refreshed_tokens(connection, secret_box, account, "access-3", NOW + 9999, "refresh-2", "client")
    assert read_tokens(connection, secret_box, account.id).refresh_token == "refresh-2"


def test_a_sync_that_ends_well(connection: Connection, account: Account) -> None:
    """A requested sync is due until a sync succeeds; trouble ends with this sync."""
    sync_state.fail(connection, account, "network", NOW, NOW + 30)
    sync_state.request_sync(connection, account.id, SyncRequest.ACCEPT)
    begun = begin_sync(connection, account.id)
    assert (begun.pending_sync, begun.failures) == (SyncRequest.ACCEPT, 1)
    running = read_account(connection, account.id)
    assert (running.syncing, running.requested_sync, running.pending_sync) == (True, None, SyncRequest.ACCEPT)
    sync_state.end(connection, begun, NOW + 60, NOW + 660)
    ended = read_account(connection, account.id)
    assert (ended.syncing, ended.last_sync, ended.next_sync, ended.pending_sync) == (False, NOW + 60, NOW + 660, None)
    assert (ended.error, ended.failures, ended.attempts) == (None, 0, 2)


def test_trouble_keeps_the_time_when_it_came_first(connection: Connection, account: Account) -> None:
    """Another trouble has its own."""
    seen = []
    for code, when in (("network", 10.0), ("network", 20.0), ("quota", 30.0), ("quota", 40.0)):
        sync_state.fail(connection, account, code, when, when + 1)
        found = read_account(connection, account.id)
        seen.append((found.error, found.failures, found.next_sync))
    assert seen == [
        (ErrorStatus("network", 10.0), 1, 11.0),
        (ErrorStatus("network", 10.0), 2, 21.0),
        (ErrorStatus("quota", 30.0), 3, 31.0),
        (ErrorStatus("quota", 30.0), 4, 41.0),
    ]


def test_disconnecting_forgets_tokens_and_contacts(
    connection: Connection, secret_box: SecretBox, account: Account
) -> None:
    """The account itself and its sharing stay for the next consent; its book is built anew."""
    accounts.set_sharing(connection, account.id, Sharing.CALLERS, "")
    sync_state.write_source_states(connection, account.id, {Source.CONTACTS: SourceState.ON})
    contacts.set_labels(connection, account.id, {"contactGroups/1": "Kunden"})
    contacts.apply_changes(
        connection, account.id, Source.CONTACTS, [ContactRecord.from_contact("c1", "s1", Contact("c1", name="A"))], []
    )
    accounts.disconnect(connection, account.id)
    left = read_account(connection, account.id)
    assert (left.is_connected, left.sharing, left.contacts, left.generation) == (False, "callers", 0, 1)
    assert (left.sources, left.scopes, left.requested_sync, left.next_sync) == ({}, frozenset(), None, None)
    assert accounts.read_tokens(connection, secret_box, account.id) is None
    assert sync_state.begin(connection, account.id) is None
    assert contacts.read_labels(connection, account.id) == {}
    row = connection.execute(select(tables.account)).one()
    assert (row.refresh_token, row.access_token) == (None, None)


def test_states_of_sources(connection: Connection, account: Account) -> None:
    """A source that is not on loses its sync token, so that it begins anew once it is."""
    sync_state.write_source_states(
        connection, account.id, {Source.CONTACTS: SourceState.ON, Source.DIRECTORY: SourceState.NOT_GRANTED}
    )
    state = SyncState("token", "fingerprint", NOW, total=67)
    sync_state.set_sync_state(connection, account.id, Source.CONTACTS, state)
    assert sync_state.read_sync_states(connection, account.id)[Source.CONTACTS] == state
    sync_state.write_source_states(connection, account.id, {Source.CONTACTS: SourceState.UNAVAILABLE})
    unavailable = SyncState(None, "", NOW, total=67, state=SourceState.UNAVAILABLE)
    assert sync_state.read_sync_states(connection, account.id)[Source.CONTACTS] == unavailable
    found = read_account(connection, account.id)
    assert found.sources == {Source.CONTACTS: "unavailable", Source.DIRECTORY: "not granted"}


def test_a_killed_process_leaves_no_sync_running(connection: Connection, account: Account) -> None:
    """The next start begins it anew at once, and what was wished for is due still."""
    sync_state.begin(connection, account.id)
    sync_state.clear_running(connection)
    found = read_account(connection, account.id)
    assert (found.syncing, found.next_sync, found.pending_sync) == (False, 0.0, SyncRequest.FULL)


REQUESTS = {
    "a full one after a small one": ([SyncRequest.INCREMENTAL, SyncRequest.FULL], SyncRequest.FULL),
    "a small one after a full one": ([SyncRequest.FULL, SyncRequest.INCREMENTAL], SyncRequest.FULL),
    "acceptance counts": ([SyncRequest.ACCEPT, SyncRequest.FULL, SyncRequest.INCREMENTAL], SyncRequest.ACCEPT),
}


@pytest.mark.parametrize(("requests", "strongest"), REQUESTS.values(), ids=REQUESTS)
def test_the_strongest_request_counts(
    connection: Connection, account: Account, requests: list[SyncRequest], strongest: SyncRequest
) -> None:
    """A weaker request afterwards, or a failed sync in between, changes nothing."""
    begun = begin_sync(connection, account.id)
    sync_state.end(connection, begun, NOW, NOW)
    for request in requests:
        sync_state.request_sync(connection, account.id, request)
    begun = begin_sync(connection, account.id)
    assert begun.pending_sync is strongest
    sync_state.fail(connection, begun, "network", NOW, NOW + 30)
    sync_state.request_sync(connection, account.id, SyncRequest.INCREMENTAL)
    again = begin_sync(connection, account.id)
    # An acceptance before anybody was told of a loss holds for one try.
    assert again.pending_sync is (SyncRequest.FULL if strongest is SyncRequest.ACCEPT else strongest)


def test_what_was_accepted_is_what_was_told(connection: Connection, account: Account) -> None:
    """So many of the book, or of the directory, however long it takes; another acceptance is of what is new."""
    sync_state.write_source_states(connection, account.id, {Source.DIRECTORY: SourceState.ON})
    assert [account.max_loss(what) for what in ("book", "directory")] == [0, 0]
    sync_state.fail(connection, account, "suspicious_shrink", NOW, NOW, facts={"before": 60, "lost": 35})
    for more in ({}, {"directory": 20}):
        sync_state.request_sync(connection, account.id, SyncRequest.ACCEPT)
        for _ in range(2):
            begun = begin_sync(connection, account.id)
            assert (begun.pending_sync, begun.accepted_loss) == (SyncRequest.ACCEPT, {"book": 35, **more})
            assert [begun.max_loss(what) for what in ("book", "directory")] == [35, more.get("directory", 0)]
            sync_state.fail(connection, begun, "suspicious_shrink", NOW, NOW + 30, facts={"before": 60, "lost": 35})
        directory_accounts.record_failure(connection, account.id, Source.DIRECTORY, SuspiciousShrink(30, 20), NOW, NOW)


def test_what_a_page_told_of_the_directory_is_accepted_of_it_alone(connection: Connection, account: Account) -> None:
    """The acceptance does not cover losses of the book."""
    sync_state.write_source_states(connection, account.id, {Source.DIRECTORY: SourceState.ON})
    directory_accounts.record_failure(connection, account.id, Source.DIRECTORY, SuspiciousShrink(30, 20), NOW, NOW)
    found = read_account(connection, account.id)
    assert found.error is not None
    assert not sync_state.accept_shrink(connection, account.id, "book-20-30")
    assert sync_state.accept_shrink(connection, account.id, found.error.shrink_key)
    begun = begin_sync(connection, account.id)
    assert [begun.max_loss(what) for what in ("book", "directory")] == [0, 20]


@pytest.mark.parametrize("by_page", [True, False], ids=["page", "command"])
def test_what_was_accepted_twice_is_accepted_once(connection: Connection, account: Account, *, by_page: bool) -> None:
    """A second press while the sync runs that carries it out changes nothing."""
    sync_state.fail(connection, account, "suspicious_shrink", NOW, NOW, facts={"before": 60, "lost": 35})

    def press() -> None:
        if by_page:
            assert sync_state.accept_shrink(connection, account.id, "book-35-60")
        else:
            sync_state.request_sync(connection, account.id, SyncRequest.ACCEPT)

    press()
    begun = begin_sync(connection, account.id)
    press()
    sync_state.end(connection, begun, NOW, NOW)
    left = read_account(connection, account.id)
    assert (left.requested_sync, left.pending_sync) == (None, None)


@pytest.mark.parametrize("postponed", [False, True], ids=["failed", "postponed"])
def test_what_was_accepted_untold_is_accepted_once(
    connection: Connection, account: Account, *, postponed: bool
) -> None:
    """As much as there is to lose then; whatever comes later is another question."""
    sync_state.request_sync(connection, account.id, SyncRequest.ACCEPT)
    begun = begin_sync(connection, account.id)
    assert begun.max_loss("book") == math.inf
    if postponed:
        sync_state.postpone(connection, begun, NOW, NOW + 30)
    else:
        sync_state.fail(connection, begun, "network", NOW, NOW + 30)
    again = begin_sync(connection, account.id)
    assert (again.pending_sync, again.max_loss("book")) == (SyncRequest.FULL, 0)


def test_an_earlier_error_outlives_a_postponed_sync(connection: Connection, account: Account) -> None:
    """With its time; without an earlier error, the account gets the error of the postponed sync."""
    for now in (NOW + 5, NOW + 9):
        sync_state.postpone(connection, account, now, now + 30, "google_unavailable")
        assert read_account(connection, account.id).error == ErrorStatus("google_unavailable", NOW + 5)
    sync_state.fail(connection, account, "network", NOW + 20, NOW + 30)
    sync_state.postpone(connection, account, NOW + 30, NOW + 60, "google_unavailable")
    assert read_account(connection, account.id).error == ErrorStatus("network", NOW + 20)


def test_a_run_that_outlives_its_grant_writes_nothing(connection: Connection, secret_box: SecretBox) -> None:
    """Neither onto a disconnected account nor onto the next consent's."""
    old = add(connection, secret_box)
    accounts.disconnect(connection, old.id)
    sync_state.end(connection, old, NOW + 5, NOW + 6)
    sync_state.fail(connection, old, "consent_revoked", NOW + 5, None)
    left = read_account(connection, old.id)
    assert (left.last_sync, left.next_sync, left.error, left.attempts) == (None, None, None, 0)
    new = add(connection, secret_box, replace(GRANT, refresh_token="refresh-2"), NOW + 9)
    accounts.store_refreshed_tokens(connection, secret_box, old, "late", NOW, "late", "client")
    sync_state.fail(connection, old, "consent_revoked", NOW + 10, None)
    held = read_tokens(connection, secret_box, new.id)
    assert (held.refresh_token, held.access_token) == ("refresh-2", "access-1")
    assert accounts.read(connection, new.id) == new


def test_an_account_that_is_not_there(connection: Connection, secret_box: SecretBox) -> None:
    """Nothing is found, nothing is raised."""
    assert accounts.read(connection, 99) is None
    assert accounts.read_tokens(connection, secret_box, 99) is None
    assert sync_state.begin(connection, 99) is None


@pytest.mark.parametrize("asked", ["Ärzte@praxis.example", "ÄRZTE@Praxis.Example"])
def test_an_address_is_found_regardless_of_case(connection: Connection, secret_box: SecretBox, asked: str) -> None:
    """Databases know the case of ASCII letters alone, and Python that of all."""
    known = add(connection, secret_box, replace(GRANT, address="Ärzte@praxis.example"))
    assert [found.id for found in accounts.find_by_address(connection, asked)] == [known.id]
    assert accounts.find_by_address(connection, "erzte@praxis.example") == ()


def test_accounts_that_a_person_has_added(connection: Connection, secret_box: SecretBox) -> None:
    """Their own comes first; whoever adds one last has it; without being named, an owner stays."""
    own = add(connection, secret_box)
    other = replace(GRANT, sub="sub-0", address="a@gmail.example")
    for owner in ("sub-9", "sub-1", None, "sub-0"):
        connect(connection, secret_box, other, owner=owner)
    connect(connection, secret_box, other, tenant="globex", owner="sub-1")
    found = accounts.read_for_person(connection, "acme", "sub-1")
    assert [(one.sub, one.owner) for one in found] == [("sub-1", None), ("sub-0", "sub-1")]
    assert [one.sub for one in accounts.read_for_person(connection, "acme", "sub-0")] == ["sub-0"]
    assert accounts.read_for_person(connection, "acme", "sub-9") == ()
    accounts.remove_owner(connection, found[1].id)
    assert accounts.read_for_person(connection, "acme", "sub-1") == found
    accounts.disconnect(connection, found[1].id)
    accounts.remove_owner(connection, found[1].id)
    assert [one.id for one in accounts.read_for_person(connection, "acme", "sub-1")] == [own.id]


def test_how_accounts_stand(connection: Connection, secret_box: SecretBox, account: Account) -> None:
    """It changes with whatever shows, for all on whose page it is, and with nothing else."""
    connect(connection, secret_box, replace(GRANT, sub="sub-2"), owner="sub-3")
    before = sync_state.read_status_keys(connection, ["sub-1", "sub-2", "sub-3"])
    assert before.keys() == {("acme", "sub-1"), ("acme", "sub-2"), ("acme", "sub-3")}
    assert before["acme", "sub-2"] == before["acme", "sub-3"]
    assert sync_state.read_status_keys(connection, ["sub-1"]) == {("acme", "sub-1"): before["acme", "sub-1"]}
    accounts.store_refreshed_tokens(connection, secret_box, account, "access-2", NOW + 3600, None, "client")
    assert sync_state.read_status_keys(connection, ["sub-1"])["acme", "sub-1"] == before["acme", "sub-1"]
    sync_state.begin(connection, account.id)
    after = sync_state.read_status_keys(connection, ["sub-1", "sub-2", "sub-3"])
    assert [key for key in after if after[key] != before[key]] == [("acme", "sub-1")]


def octets_on_disk(folder: Path) -> bytes:
    """All that the database's files hold."""
    return b"".join(file.read_bytes() for file in folder.iterdir())


def test_who_disconnects_leaves_nothing_in_the_files(tmp_path: Path, secret_box: SecretBox) -> None:
    """Neither in the database's own file nor in its log; a reader of another process only delays that."""
    database = database_at(f"sqlite:///{tmp_path}/ldapgw.db")
    database.open()
    account = database.run(add, secret_box)
    with database.begin() as connection:
        record = ContactRecord.from_contact("c1", "s1", Contact("c1", name="Zyxwvuts Rqponmlk"))
        contacts.apply_changes(connection, account.id, Source.CONTACTS, [record], [])
    assert b"Zyxwvuts" in octets_on_disk(tmp_path)
    with closing(sqlite3.connect(tmp_path / "ldapgw.db", isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT COUNT(*) FROM contact").fetchone()
        database.run(accounts.disconnect, account.id)
        reader.execute("ROLLBACK")
    assert database.run(contacts.read, [account.id]) == [contacts.StoredContacts()]
    assert b"Zyxwvuts" not in octets_on_disk(tmp_path)
    assert (tmp_path / "ldapgw.db-wal").stat().st_size == 0
    database.close()


@pytest.mark.parametrize(
    ("with_phones", "removed", "left"), [(True, ("desk1",), ["hall"]), (False, (), ["desk1", "hall"])]
)
def test_a_person_is_removed(
    connection: Connection,
    secret_box: SecretBox,
    account: Account,
    with_phones: bool,
    removed: tuple[str, ...],
    left: list[str],
) -> None:
    """The account's row and sign-ins go, the phones if asked for; otherwise they are nobody's.

    A phone of another account too stays with that account.

    What the same person has in another tenant stays.
    """
    other = add(connection, secret_box, replace(GRANT, sub="sub-2", address="bob@acme.example"))
    connection.execute(update(tables.account).where(tables.account.c.id == other.id).values(owner=account.sub))
    grant = replace(GRANT, sub="sub-3")
    elsewhere = connect(connection, secret_box, grant, tenant="beta", owner=account.sub)
    for name, owners in (("desk1", (account.id,)), ("hall", ()), ("pair", (account.id, other.id))):
        login = PhoneLogin(name, "acme", None, NumberMode.VALUES, "hash", NOW)
        phones.add(connection, login.with_accounts(owners))
    tokens = (("one", "acme", account.sub), ("two", "acme", other.sub), ("three", "beta", account.sub))
    for token, tenant, sub in tokens:
        sign_ins.create_sign_in(connection, token, SignIn(tenant, sub, "", hd=""), NOW)
    revocations.disconnect_account(connection, account.id, NOW)
    assert accounts.remove(connection, account.id, with_phones=with_phones) == removed
    assert [(one.id, one.owner) for one in accounts.read_all(connection)] == [
        (other.id, None),
        (elsewhere, account.sub),
    ]
    kept = {login.name: login.account_ids for login in phones.read_all(connection)}
    assert kept == {**dict.fromkeys(left, ()), "pair": (other.id,)}
    ended = [sign_ins.read_sign_in(connection, token, tenant, NOW) is None for token, tenant, _ in tokens]
    assert ended == [True, False, False]
    assert accounts.remove(connection, account.id, with_phones=with_phones) == ()
