# SPDX-License-Identifier: MIT
"""Books of what a database holds, as another process builds them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet
from sqlalchemy import update

from ldapgw.contact import Contact, Sharing, Source
from ldapgw.directory.book import DIRECTORY
from ldapgw.store import accounts, contacts, revocations, sync_state, tables
from ldapgw.store.accounts import Account, SourceState
from ldapgw.store.changes import NO_HISTORY
from ldapgw.store.contact_record import ContactRecord
from ldapgw.store.secrets import SecretBox
from ldapgw.sync.account_state import AccountState
from ldapgw.sync.book_builder import BookId, BuildTask, build_books, build_cached_books, load_book, present_books
from ldapgw.sync.book_cache import BookCache, cache_name
from tests.support.stage.databases import open_file
from tests.support.stage.sync import CONTEXT, GRANT, NOW, connect


class Site:
    """A database with one account, which has contacts and colleagues."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "images"
        self.database = open_file(folder / "x.db")
        self.url = self.database.url.render_as_string(hide_password=False)
        self.secret_box = SecretBox([Fernet.generate_key()])
        with self.database.begin() as connection:
            account_id = connect(connection, self.secret_box)
            for source, names in ((Source.CONTACTS, ("Ada", "Bo")), (Source.DIRECTORY, ("Dora",))):
                people = [Contact(name, source, name=name, labels=("contactGroups/1",)) for name in names]
                contacts.apply_changes(
                    connection, account_id, source, [ContactRecord.from_contact(one.uid, "", one) for one in people], ()
                )
            contacts.set_labels(connection, account_id, {"contactGroups/1": "Kunden"})
            sync_state.write_source_states(connection, account_id, {Source.DIRECTORY: SourceState.ON})
            sync_state.increment_generation(connection, account_id)
            found = accounts.read(connection, account_id)
            assert found is not None
            self.account: Account = found

    def task(self) -> BuildTask:
        """Return the task as the gateway and commands find it in the database."""
        state = self.database.run(AccountState.read, {CONTEXT.name})
        return BuildTask.of(state.accounts[self.account.id], CONTEXT, state)

    def present(self) -> list[str]:
        """Names of contacts and colleagues, as a command sees them."""
        task = self.task()
        books = self.database.run(present_books, BookCache(self.folder), task)
        found = [entry for book in books for segment in book.segments.contacts for entry in segment if entry]
        return sorted(entry.attribute("cn")[0].decode() for entry in found)

    def damage(self, *uids: str) -> None:
        """Nobody can read these contacts any more."""
        with self.database.begin() as connection:
            connection.execute(update(tables.contact).where(tables.contact.c.uid.in_(uids)).values(content=b"{"))

    def build(self, *, feeds: bool = True, per_number: bool = False) -> dict[str, tuple[int, list[str], list[str]]]:
        """Generation, contacts and labels of each image."""
        book_ids: list[BookId] = [self.account.id, *(["acme"] if feeds else [])]
        account = self.account
        build_key = (CONTEXT, account.id, account.sub, account.address, per_number)
        build_cached_books(self.url, self.folder, [BuildTask(account, CONTEXT, build_key, NO_HISTORY, book_ids)])
        images = BookCache(self.folder)
        found = {}
        for directory in (False, True):
            name = cache_name(self.account.id, directory=directory)
            image = images.load(name, build_key, CONTEXT, Sharing.SHARED)
            if image is not None:
                names = [entry.attribute("cn")[0].decode() for entry in image.book.segments.contacts[0]]
                found[image.book.name] = image.generation, names, [label.name for label in image.book.labels]
        return found


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path)
    yield site
    site.database.close()


@pytest.mark.parametrize("feeds", [False, True], ids=["personal", "with the directory"])
def test_images_of_what_is_stored(site: Site, feeds: bool) -> None:
    """Nobody waits for that, and it waits for nobody: a sync may be writing."""
    own = {GRANT.address: (1, ["Ada", "Bo"], ["Kunden"])}
    with site.database.begin() as connection:
        connection.execute(update(tables.contact).values(content=b"{"))
        assert site.build(feeds=feeds) == own | ({DIRECTORY: (1, ["Dora"], [])} if feeds else {})
        connection.rollback()


def test_a_contact_that_cannot_be_read(site: Site) -> None:
    """Then there is no image: the gateway has to note that it is to be fetched anew."""
    site.damage("Bo")
    assert site.build() == {}


def test_a_database_that_is_gone(site: Site, tmp_path: Path) -> None:
    """The gateway, which has it open, says what is wrong."""
    (tmp_path / "gone").mkdir()
    url = site.database.url
    site.url = url.set(database=str(tmp_path / "gone") if site.database.file else "gone").render_as_string()
    assert site.build() == {}


def test_nothing_is_written_for_a_gateway_that_has_ended(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """It could not delete it when the account is disconnected."""
    pids = iter((1, 2, 2))
    monkeypatch.setattr(os, "getppid", lambda: next(pids))
    assert site.build() == {}
    assert not site.folder.exists()


def test_nothing_is_written_of_an_account_that_has_gone(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """To write a large book takes seconds, and no file is to be left two seconds after the end of the account."""

    def build(*args: Any) -> Any:
        books = build_books(*args)
        site.database.run(revocations.disconnect_account, site.account.id, NOW)
        return books

    monkeypatch.setattr("ldapgw.sync.book_builder.build_books", build)
    assert site.build() == {}
    assert not site.folder.exists()


def test_one_damaged_account_harms_no_other_account(site: Site) -> None:
    """The gateway has to note that the contacts are to be fetched anew, and builds the books of this account itself."""
    tasks = [site.task()]
    with site.database.begin() as connection:
        for address in ("bob@acme.example", "carol@acme.example"):
            account_id = connect(connection, site.secret_box, replace(GRANT, sub=address, address=address))
            people = [ContactRecord.from_contact(address, "", Contact(address, Source.CONTACTS, name=address))]
            contacts.apply_changes(connection, account_id, Source.CONTACTS, people, ())
    state = site.database.run(AccountState.read, {CONTEXT.name})
    tasks += [BuildTask.of(account, CONTEXT, state) for account in state.accounts.values()][1:]
    site.damage("bob@acme.example")
    build_cached_books(site.url, site.folder, tasks)
    images = BookCache(site.folder)
    found = [load_book(images, task, key) for task in tasks for key in task.book_ids]
    assert [built and len(built.book) for built in found] == [2, 1, None, 1]


def test_a_command_reads_what_the_gateway_has_built(site: Site) -> None:
    """And only the changes since, from the database: others cannot be read here."""
    build_cached_books(site.url, site.folder, [site.task()])
    site.damage("Ada", "Bo", "Dora")
    assert site.present() == ["Ada", "Bo", "Dora"]
    with site.database.begin() as connection:
        cleo = ContactRecord.from_contact("Cleo", "", Contact("Cleo", Source.CONTACTS, name="Cleo"))
        contacts.apply_changes(connection, site.account.id, Source.CONTACTS, [cleo], ("Bo",))
        sync_state.increment_generation(connection, site.account.id)
    assert site.present() == ["Ada", "Cleo", "Dora"]


@pytest.mark.parametrize("spoilt", ["missing", "of another address", "of unknown changes"])
def test_a_command_builds_what_the_gateway_has_not_built(site: Site, spoilt: str) -> None:
    """From all contacts that can be read."""
    if spoilt != "missing":
        build_cached_books(site.url, site.folder, [site.task()])
    site.damage("Ada")
    column = tables.account.c
    with site.database.begin() as connection:
        if spoilt == "of another address":
            connection.execute(update(tables.account).values(address="new@acme.example"))
        elif spoilt == "of unknown changes":
            connection.execute(
                update(tables.account).values(generation=column.generation + 2, known_since=column.generation + 1)
            )
    assert site.present() == ["Bo", "Dora"]
