# SPDX-License-Identifier: MIT
"""Contacts and the sync tokens that belong to them."""

from __future__ import annotations

import sqlite3
from collections import Counter
from dataclasses import replace
from itertools import count, islice
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, insert, select, update

from ldapgw.contact import Contact, Flaw, Source
from ldapgw.store import accounts, contacts, directory_accounts, sync_state, tables
from ldapgw.store.accounts import SourceState
from ldapgw.store.contact_record import ContactRecord
from ldapgw.store.contacts import RecordSummary, StoredContacts
from ldapgw.store.secrets import SecretBox
from ldapgw.store.sync_state import SyncState
from tests.support.phonebook.entries import FULL
from tests.support.stage.sync import GRANT, NOW, connect, read_account

ADA = replace(FULL, source_id="s1", name="Ada Ünal 🦄")
LEFT_OUT = {"c2": "empty", "c3": "empty", "c4": "label"}


def test_a_contact_comes_back_as_it_was(connection: Connection, account_id: int) -> None:
    """Every field, numbers and their forms included; what is left out is counted with its reason."""
    left_out = [ContactRecord.from_contact(uid, "s", None, why) for uid, why in LEFT_OUT.items()]
    stored = [ContactRecord.from_contact("c1", "s1", ADA, unreadable=2), *left_out]
    contacts.apply_changes(connection, account_id, Source.CONTACTS, stored, [])
    account = read_account(connection, account_id)
    assert (account.contacts, account.numbers) == (1, 4)
    assert account.skipped == {"empty": 2, "label": 1, "unreadable_number": 2}
    assert contacts.read(connection, [account_id]) == [StoredContacts([ADA])]


def test_the_database_can_be_read_without_the_key(connection: Connection, account_id: int) -> None:
    """Contacts are not encrypted, as the privacy page says."""
    stored = [ContactRecord.from_contact("c1", "s1", ADA)]
    contacts.apply_changes(connection, account_id, Source.CONTACTS, stored, [])
    content = connection.exec_driver_sql("SELECT content FROM contact").scalar_one()
    assert ADA.name in bytes(content).decode()


def counters(connection: Connection, account_id: int) -> tuple[int, int, dict[str, int]]:
    account = read_account(connection, account_id)
    return account.contacts, account.numbers, dict(account.skipped)


def counted(connection: Connection, account_id: int) -> tuple[int, int, dict[str, int]]:
    """The same by looking at every stored person."""
    where = tables.contact.c.account_id == account_id
    rows = connection.execute(select(tables.contact).where(where)).all()
    served = [row for row in rows if row.content is not None]
    skipped = Counter(row.skipped for row in rows if row.content is None)
    skipped["unreadable_number"] = sum(row.unreadable for row in served)
    skipped["flawed"] = sum(row.flaws is not None for row in rows)
    return len(served), sum(row.numbers for row in served), dict(+skipped)


# Each example has accounts of its own.
SUBS = count(1000)
UIDS = st.sampled_from(["c1", "c2", "c3", "c4"])
PERSONS = st.one_of(
    st.builds(
        ContactRecord.from_contact,
        UIDS,
        st.just("s"),
        st.sampled_from([ADA, replace(ADA, phones=())]),
        unreadable=st.integers(0, 2),
        flaws=st.sets(st.sampled_from(Flaw)),
    ),
    st.builds(
        ContactRecord.from_contact,
        UIDS,
        st.just("s"),
        st.none(),
        st.sampled_from(["empty", "label"]),
        flaws=st.sets(st.sampled_from(Flaw)),
    ),
)
ACTIONS = st.one_of(
    st.tuples(
        st.just("apply"),
        st.integers(0, 1),
        st.sampled_from(Source),
        st.lists(PERSONS, unique_by=lambda record: record.uid),
        st.sets(st.sampled_from(["c1", "c2", "c5"])),
    ),
    st.tuples(st.just("delete"), st.integers(0, 1), st.sampled_from(Source)),
    st.tuples(st.just("move"), st.integers(0, 1), st.sampled_from(Source)),
    st.tuples(st.just("disconnect"), st.integers(0, 1), st.sampled_from(Source)),
)


# pytest-twisted lets Hypothesis have one set of fixtures for a test.
@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(ACTIONS, max_size=8))
def test_the_counters_of_an_account_are_what_is_stored(
    connection: Connection, secret_box: SecretBox, actions: list[Any]
) -> None:
    """The counters fit after contacts were stored, replaced, deleted or moved to another account."""
    ids = [connect(connection, secret_box, replace(GRANT, sub=str(sub))) for sub in islice(SUBS, 2)]
    for action, which, source, *persons in actions:
        if action == "apply":
            stored, deleted = persons
            contacts.apply_changes(connection, ids[which], source, stored, deleted - {one.uid for one in stored})
        elif action == "delete":
            contacts.delete_sources(connection, ids[which], [source])
        elif action == "move":
            contacts.hand_over(connection, ids[which], ids[1 - which], source)
        else:
            accounts.disconnect(connection, ids[which])
        for account_id in ids:
            assert counters(connection, account_id) == counted(connection, account_id)


def test_a_source_that_moves_is_fetched_in_full_by_both_accounts(connection: Connection, secret_box: SecretBox) -> None:
    """The token of either account says nothing about contacts that the account has got or given away."""
    ids = [connect(connection, secret_box, replace(GRANT, sub=sub)) for sub in ("sub-1", "sub-2")]
    state = SyncState("token", "fingerprint", NOW, NOW, warnings={sync_state.INCOMPLETE: {"listed": 1, "total": 2}})
    for account_id in ids:
        sync_state.write_source_states(connection, account_id, {Source.DIRECTORY: SourceState.ON})
        sync_state.set_sync_state(connection, account_id, Source.DIRECTORY, state)
    contacts.hand_over(connection, *ids, Source.DIRECTORY)
    left = replace(state, sync_token=None, warnings={})
    assert [sync_state.read_sync_states(connection, account_id) for account_id in ids] == [{Source.DIRECTORY: left}] * 2


def test_changed_and_gone(connection: Connection, account_id: int) -> None:
    """A change replaces; other sources are not touched."""
    other = ContactRecord.from_contact("c1", "o1", Contact("other-c1", Source.OTHER_CONTACTS, emails=("x@y.example",)))
    contacts.apply_changes(connection, account_id, Source.OTHER_CONTACTS, [other], [])
    many = [
        ContactRecord.from_contact(f"c{number}", f"s{number}", Contact(f"c{number}", name="N"))
        for number in range(1200)
    ]
    contacts.apply_changes(connection, account_id, Source.CONTACTS, many, [])
    changed = ContactRecord.from_contact("c7", "s7", Contact("c7", name="Seven"))
    contacts.apply_changes(
        connection, account_id, Source.CONTACTS, [changed], [f"c{number}" for number in range(100, 1200)]
    )
    stored = contacts.read_summaries(connection, account_id, Source.CONTACTS)
    assert stored.keys() == {f"c{number}" for number in range(100)}
    assert stored["c7"] == RecordSummary("s7", changed.digest, is_served=True)
    assert contacts.read_summaries(connection, account_id, Source.OTHER_CONTACTS) == {
        "c1": RecordSummary("o1", other.digest, is_served=True)
    }


def test_who_was_missed(connection: Connection, account_id: int) -> None:
    """Noted in one source alone, and forgotten once the person is stored anew."""
    records = [ContactRecord.from_contact(uid, f"s{uid}", Contact(uid, name="N")) for uid in ("c1", "c2")]
    for source in (Source.CONTACTS, Source.OTHER_CONTACTS):
        contacts.apply_changes(connection, account_id, source, records, [])
    contacts.mark_missing(connection, account_id, Source.CONTACTS, ["c1", "c2"], NOW)
    contacts.apply_changes(connection, account_id, Source.CONTACTS, records[1:], [])
    missed = {
        uid: one.missed_at for uid, one in contacts.read_summaries(connection, account_id, Source.CONTACTS).items()
    }
    assert missed == {"c1": NOW, "c2": None}
    others = contacts.read_summaries(connection, account_id, Source.OTHER_CONTACTS).values()
    assert [one.missed_at for one in others] == [None, None]


def test_marks_of_some_persons(connection: Connection, account_id: int) -> None:
    """Found by uid, or by Google's stable key where the uid has changed."""
    many = [ContactRecord.from_contact(f"c{number}", f"s{number}", None, "empty") for number in range(9)]
    contacts.apply_changes(connection, account_id, Source.CONTACTS, many, [])
    found = contacts.read_summaries(
        connection, account_id, Source.CONTACTS, (frozenset({"c1", "c99"}), frozenset({"s2"}))
    )
    assert found.keys() == {"c1", "c2"}


def test_forgetting_a_source(connection: Connection, account_id: int) -> None:
    """It says whether there was anything."""
    contacts.apply_changes(connection, account_id, Source.CONTACTS, [ContactRecord.from_contact("c1", "s1", ADA)], [])
    assert contacts.delete_sources(connection, account_id, [Source.CONTACTS])
    assert not contacts.delete_sources(connection, account_id, [Source.CONTACTS])
    assert contacts.read(connection, [account_id]) == [StoredContacts()]


def test_labels_are_replaced(connection: Connection, account_id: int) -> None:
    """One that is gone at Google is gone here."""
    contacts.set_labels(connection, account_id, {"contactGroups/1": "Kunden", "contactGroups/2": "Haus"})
    contacts.set_labels(connection, account_id, {"contactGroups/2": "Haus 🏠"})
    assert contacts.read_labels(connection, account_id) == {"contactGroups/2": "Haus 🏠"}
    contacts.set_labels(connection, account_id, {})
    assert contacts.read_labels(connection, account_id) == {}


def test_contacts_that_cannot_be_read_are_counted_and_fetched_anew(connection: Connection, account_id: int) -> None:
    """Another version may have written them; the rest is served, and their source is due for a full sync."""
    whole = [
        ContactRecord.from_contact("c1", "s1", ADA),
        ContactRecord.from_contact("c2", "s2", Contact("c2", name="B")),
    ]
    contacts.apply_changes(connection, account_id, Source.CONTACTS, whole, [])
    sync_state.write_source_states(connection, account_id, {Source.CONTACTS: accounts.SourceState.ON})
    sync_state.set_sync_state(connection, account_id, Source.CONTACTS, sync_state.SyncState("token", "f", NOW))
    damage = update(tables.contact).where(tables.contact.c.uid == "c2")
    connection.execute(damage.values(content=b'{"uid": "c2", "phones": "of another time"}'))
    assert contacts.read(connection, [account_id]) == [StoredContacts([ADA], Counter({Source.CONTACTS: 1}))]
    contacts.fetch_anew(connection, account_id, [Source.CONTACTS])
    assert sync_state.read_sync_states(connection, account_id)[Source.CONTACTS].sync_token is None
    assert contacts.read_summaries(connection, account_id, Source.CONTACTS)["c2"] == RecordSummary(
        "s2", None, is_served=True
    )


def test_who_has_contacts_of_a_source(connection: Connection, account_id: int) -> None:
    """Persons that were left out do not count."""
    left_out = ContactRecord.from_contact("c2", "s2", None, "empty")
    stored = [ContactRecord.from_contact("c1", "s1", ADA), left_out]
    contacts.apply_changes(connection, account_id, Source.DIRECTORY, stored, [])
    contacts.apply_changes(connection, account_id, Source.CONTACTS, [left_out], [])
    assert contacts.accounts_with_source(connection, Source.DIRECTORY) == {account_id}
    assert contacts.accounts_with_source(connection, Source.CONTACTS) == set()


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)  # the limit of PostgreSQL is 65,535
def test_a_statement_has_few_parameters(connection: Connection, account_id: int) -> None:
    """Its number does not grow with the accounts of a tenant."""
    names = ("tenant", "sub", "address", "sharing")
    rows = [dict(zip(names, ("acme", f"sub-{number}", "x", "private"), strict=True)) for number in range(2, 1500)]
    connection.execute(insert(tables.account), rows)
    ids = connection.execute(select(tables.account.c.id)).scalars().all()
    staff = Contact("110", Source.DIRECTORY, name="Staff")
    for keeper in ids:
        contacts.apply_changes(connection, keeper, staff.source, [ContactRecord.from_contact("110", "", staff)], ())
    connection.connection.driver_connection.setlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, 999)  # type: ignore[union-attr]
    assert contacts.accounts_with_source(connection, Source.DIRECTORY, ids) == {*ids}
    assert [candidate.account_id for candidate in directory_accounts.read_candidates(connection, "acme")] == [
        account_id
    ]
    assert contacts.read_persons(connection, "acme", [], ["110"]) == {("", "110"): staff}


def test_some_persons_of_a_tenant(connection: Connection, secret_box: SecretBox, account_id: int) -> None:
    """Of each account its own, and those of the directory wherever they are stored; none that is skipped."""
    bob = connect(connection, secret_box, replace(GRANT, sub="2", address="bob@x"))
    other, skipped = (
        Contact("other-c2", Source.OTHER_CONTACTS, name="Odo"),
        ContactRecord.from_contact("c3", "", None, "empty"),
    )
    staff, cem = Contact("110", Source.DIRECTORY, name="Staff"), Contact("c1", name="Cem")
    for owner, one in ((account_id, ADA), (account_id, other), (bob, staff), (bob, cem)):
        contacts.apply_changes(connection, owner, one.source, [ContactRecord.from_contact(one.uid, "", one)], ())
    contacts.apply_changes(connection, account_id, Source.CONTACTS, [skipped], ())

    def read(*persons: tuple[str, str], staff: tuple[str, ...] = ()) -> dict[tuple[str, str], str]:
        found = contacts.read_persons(connection, "acme", persons, staff)
        return {key: one.name for key, one in found.items()}

    alice = GRANT.sub
    wanted = (alice, "c1"), (alice, "c3"), (alice, "110"), ("2", "other-c2"), (alice, "other-c2")
    assert read(*wanted, staff=("110",)) == {
        (alice, "c1"): ADA.name, (alice, "other-c2"): "Odo", ("", "110"): "Staff",
    }  # fmt: skip
    assert read(("2", "c1"), staff=("c1",)) == {("2", "c1"): "Cem"}
    assert read() == contacts.read_persons(connection, "globex", [(alice, "c1")], ["110"]) == {}
