# SPDX-License-Identifier: MIT
"""The store knows the changes of an account's contacts since a generation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from sqlalchemy import Connection, delete, select, update

from ldapgw.contact import Contact, Source
from ldapgw.store import accounts, changes, contacts, sync_state, tables
from ldapgw.store.contact_record import ContactRecord
from ldapgw.store.contacts import KEPT_GENERATIONS, MAX_REMOVED
from tests.support.stage.sync import read_account

ADA = Contact("c1", name="Ada")


def changes_of(
    connection: Connection, account_id: int, since: int, limit: int = 1000
) -> tuple[list[Contact], list[tuple[Source, str]]] | None:
    delta = changes.read_deltas(connection, {account_id: (since, limit)}).get(account_id)
    return delta and (delta.changed, list(delta.removed))


def write(connection: Connection, account_id: int, stored: list[ContactRecord], gone: list[str]) -> int:
    """One sync's writing; the generation that it made."""
    contacts.apply_changes(connection, account_id, Source.CONTACTS, stored, gone)
    sync_state.increment_generation(connection, account_id)
    account = read_account(connection, account_id)
    return account.generation


def test_changes_since_a_generation(connection: Connection, account_id: int) -> None:
    """New, different, left out from now on, removed, and back again; each since the generation that one has."""
    one, two, three, four = (Contact(f"c{number}", name="N") for number in range(4))
    records = [ContactRecord.from_contact(each.uid, "s", each) for each in (one, two, three)]
    generations = [write(connection, account_id, records, [])]
    bee = replace(two, name="Bee")
    generations.append(
        write(
            connection,
            account_id,
            [ContactRecord.from_contact("c1", "s", bee), ContactRecord.from_contact("c2", "s", None, "label")],
            ["c0"],
        )
    )
    generations.append(
        write(
            connection,
            account_id,
            [ContactRecord.from_contact("c0", "s", one), ContactRecord.from_contact("c3", "s", four)],
            ["c1"],
        )
    )
    told = [changes_of(connection, account_id, generation) for generation in generations]
    assert told == [
        ([one, four], [(Source.CONTACTS, "c1"), (Source.CONTACTS, "c2")]),
        ([one, four], [(Source.CONTACTS, "c1")]),
        ([], []),
    ]
    assert changes_of(connection, account_id, generations[-1] + 1) is None


def test_changes_are_remembered_for_some_generations(connection: Connection, account_id: int) -> None:
    """A reader that is further behind reads everything; the memory stays bounded."""
    first = write(connection, account_id, [ContactRecord.from_contact("c1", "s", ADA)], [])
    for number in range(KEPT_GENERATIONS):
        last = write(connection, account_id, [], [f"gone{number}"])
    gone = changes_of(connection, account_id, first)
    assert gone is not None
    assert len(gone[1]) == KEPT_GENERATIONS
    write(connection, account_id, [], ["one more"])
    assert changes_of(connection, account_id, first) is None
    assert changes_of(connection, account_id, last) == ([], [(Source.CONTACTS, "one more")])
    assert len(connection.execute(select(tables.removed_contact)).all()) == KEPT_GENERATIONS


def test_more_changes_than_are_wanted(connection: Connection, account_id: int) -> None:
    """Are not read."""
    before = write(connection, account_id, [ContactRecord.from_contact("c1", "s", ADA)], [])
    write(connection, account_id, [ContactRecord.from_contact(f"c{at}", "s", ADA) for at in range(3)], [])
    found = [changes_of(connection, account_id, before, most) for most in (2, 3, 4)]
    assert [each and len(each[0]) for each in found] == [None, 3, 3]


def forgets_source(connection: Connection, account_id: int) -> None:
    contacts.delete_sources(connection, account_id, [Source.CONTACTS])
    sync_state.increment_generation(connection, account_id)


def removes_many(connection: Connection, account_id: int) -> None:
    write(connection, account_id, [], [f"c{number}" for number in range(MAX_REMOVED + 1)])


def disconnects(connection: Connection, account_id: int) -> None:
    accounts.disconnect(connection, account_id)


def damages(connection: Connection, account_id: int) -> None:
    write(connection, account_id, [ContactRecord.from_contact("c9", "s", Contact("c9", name="N"))], [])
    where = tables.contact.c.uid == "c9"
    connection.execute(update(tables.contact).where(where).values(content=b'{"uid": 7}'))


def vanishes(connection: Connection, account_id: int) -> None:
    connection.execute(delete(tables.account).where(tables.account.c.id == account_id))


@pytest.mark.parametrize("happens", [forgets_source, removes_many, disconnects, damages, vanishes])
def test_changes_that_are_not_told(
    connection: Connection, account_id: int, happens: Callable[[Connection, int], None]
) -> None:
    """Then all is read, which is as quick and sees what is damaged."""
    before = write(connection, account_id, [ContactRecord.from_contact("c1", "s", ADA)], [])
    happens(connection, account_id)
    assert changes_of(connection, account_id, before) is None
