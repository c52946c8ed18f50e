# SPDX-License-Identifier: MIT
"""Photos of contacts: when one is due, and how it comes to the contact that has it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import Connection, select, update

from ldapgw.contact import Contact, Source
from ldapgw.store import accounts, changes, contacts, photos, sync_state, tables
from ldapgw.store.contact_record import ContactRecord
from ldapgw.store.secrets import SecretBox
from tests.support.stage.sync import GRANT, NOW, connect, read_generation

ADA, BEN = Contact("c1", source_id="s1", name="Ada"), Contact("c2", source_id="s2", name="Ben")
URL, OTHER_URL = "https://lh3.googleusercontent.com/a=s240", "https://lh3.googleusercontent.com/b=s240"
PICTURE = b"\xff\xd8 a picture"


def write(
    connection: Connection, account_id: int, *persons: tuple[Contact, str], deleted: tuple[str, ...] = ()
) -> None:
    """Store contacts with their photos' addresses, as a sync does."""
    records = [ContactRecord.from_contact(one.uid, one.source_id, one, photo_url=url) for one, url in persons]
    contacts.apply_changes(connection, account_id, Source.CONTACTS, records, deleted)
    sync_state.increment_generation(connection, account_id)


def due(connection: Connection, *tenants: str, now: float = NOW) -> list[tuple[str, str]]:
    return [(one.uid, one.url) for one in photos.read_due(connection, tenants or ("acme",), now, 100)]


def fetch(connection: Connection, account_id: int, picture: bytes = PICTURE) -> bool:
    """Store a picture for everything that is due."""
    found = photos.read_due(connection, ("acme",), NOW, 100)
    return photos.store(connection, account_id, [(one, picture) for one in found])


def served(connection: Connection, account_id: int) -> dict[str, bytes]:
    [stored] = contacts.read(connection, [account_id])
    iterated = list(contacts.iterate(connection, account_id))
    assert sorted(stored.contacts, key=lambda one: one.uid) == sorted(iterated, key=lambda one: one.uid)
    return {one.uid: one.photo for one in stored.contacts}


def test_a_photo_comes_to_its_contact(connection: Connection, account_id: int) -> None:
    write(connection, account_id, (ADA, URL), (BEN, ""))
    assert due(connection) == [("c1", URL)]
    assert served(connection, account_id) == {"c1": b"", "c2": b""}
    epoch, before = read_generation(connection, account_id)
    assert before is not None
    assert fetch(connection, account_id)
    assert due(connection) == []
    assert served(connection, account_id) == {"c1": PICTURE, "c2": b""}
    # A book of the generation before lacks it.
    delta = changes.read_deltas(connection, {account_id: (before, 10)})[account_id]
    assert (delta.changed, delta.removed) == ([replace(ADA, photo=PICTURE)], {})
    assert read_generation(connection, account_id) == (epoch, before + 1)


def test_a_photo_that_changes(connection: Connection, account_id: int) -> None:
    """It is due, and the former one stays until then; a contact that changes keeps its photo."""
    write(connection, account_id, (ADA, URL))
    fetch(connection, account_id)
    write(connection, account_id, (replace(ADA, name="Ada B"), URL))
    assert due(connection) == []
    assert served(connection, account_id) == {"c1": PICTURE}
    write(connection, account_id, (ADA, OTHER_URL))
    assert due(connection) == [("c1", OTHER_URL)]
    assert served(connection, account_id) == {"c1": PICTURE}
    fetch(connection, account_id, b"another")
    assert served(connection, account_id) == {"c1": b"another"}


def test_a_photo_that_changes_while_it_is_fetched(connection: Connection, account_id: int) -> None:
    """The fetched picture is not taken for the new photo."""
    write(connection, account_id, (ADA, URL))
    fetched = photos.read_due(connection, ("acme",), NOW, 1)
    write(connection, account_id, (ADA, OTHER_URL))
    assert photos.store(connection, account_id, [(one, PICTURE) for one in fetched])
    assert due(connection) == [("c1", OTHER_URL)]
    assert served(connection, account_id) == {"c1": b""}


def test_a_photo_that_goes(connection: Connection, account_id: int) -> None:
    """With its address, with its contact, or when the person is skipped; who comes back has none."""
    write(connection, account_id, (ADA, URL), (BEN, OTHER_URL))
    fetch(connection, account_id)
    write(connection, account_id, (ADA, ""), deleted=("c2",))
    assert served(connection, account_id) == {"c1": b""}
    assert not photos.has_any(connection, account_id)
    write(connection, account_id, (BEN, ""))
    assert served(connection, account_id) == {"c1": b"", "c2": b""}
    assert not photos.has_any(connection, account_id)
    write(connection, account_id, (ADA, URL))
    skipped = ContactRecord.from_contact("c1", "s1", None, "label")
    contacts.apply_changes(connection, account_id, Source.CONTACTS, [skipped], [])
    assert not photos.has_any(connection, account_id)


def test_a_failure(connection: Connection, account_id: int) -> None:
    """It is counted until the photo has another address, which is due at once."""
    write(connection, account_id, (ADA, URL))
    [found] = photos.read_due(connection, ("acme",), NOW, 1)
    photos.postpone(connection, found, NOW + 60)
    assert due(connection, now=NOW + 59) == []
    [again] = photos.read_due(connection, ("acme",), NOW + 60, 1)
    assert again == replace(found, failures=1)
    assert "googleusercontent" not in repr(again)
    write(connection, account_id, (ADA, OTHER_URL))
    assert photos.read_due(connection, ("acme",), NOW, 1) == [replace(found, url=OTHER_URL)]


def test_a_failure_while_the_clock_was_ahead(connection: Connection, account_id: int) -> None:
    """No photo waits longer than the longest wait."""
    write(connection, account_id, (ADA, URL))
    [found] = photos.read_due(connection, ("acme",), NOW, 1)
    photos.postpone(connection, found, NOW + photos.LONGEST_WAIT)
    assert due(connection) == []
    assert due(connection, now=NOW - 1) == [("c1", URL)]


def test_who_waits(connection: Connection, account_id: int) -> None:
    """Other tenants; an account whose sync is running, which nothing may be stored for; a disconnected one."""
    write(connection, account_id, (ADA, URL))
    found = photos.read_due(connection, ("acme",), NOW, 1)
    assert due(connection, "globex") == []
    connection.execute(update(tables.account).values(syncing=True))
    assert due(connection) == []
    assert not photos.store(connection, account_id, [(one, PICTURE) for one in found])
    assert served(connection, account_id) == {"c1": b""}
    connection.execute(update(tables.account).values(syncing=False))
    accounts.disconnect(connection, account_id)
    assert due(connection) == []
    assert not photos.store(connection, account_id, [(one, PICTURE) for one in found])
    assert connection.execute(select(tables.photo)).all() == []


def test_too_many(connection: Connection, account_id: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The others go without."""
    monkeypatch.setattr(photos, "MOST_PHOTOS", 3)
    persons = [Contact(f"c{at}", source_id=f"s{at}", name="Ada") for at in range(6)]
    write(connection, account_id, *((one, URL) for one in persons[:2]))
    write(connection, account_id, *((one, URL) for one in persons[2:]))
    assert len(due(connection)) == 3


def test_the_directory_goes_to_another_account(connection: Connection, account_id: int, secret_box: SecretBox) -> None:
    """With its photos; those of the account's own contacts stay."""
    other = connect(connection, secret_box, replace(GRANT, sub="sub-2"))
    write(connection, account_id, (BEN, URL))
    record = ContactRecord.from_contact("d1", "d1", replace(ADA, source=Source.DIRECTORY), photo_url=URL)
    contacts.apply_changes(connection, account_id, Source.DIRECTORY, [record], [])
    fetch(connection, account_id)
    contacts.hand_over(connection, account_id, other, Source.DIRECTORY)
    assert served(connection, other) == {"c1": PICTURE}
    assert served(connection, account_id) == {"c2": PICTURE}
    contacts.delete_sources(connection, other, [Source.DIRECTORY])
    assert not photos.has_any(connection, other)
