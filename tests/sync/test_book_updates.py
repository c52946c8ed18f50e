# SPDX-License-Identifier: MIT
"""Books are brought up to date: revised or built anew, together or one after the other."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import update
from twisted.internet.defer import Deferred, fail
from twisted.python.failure import Failure

from ldapgw.contact import Sharing, Source
from ldapgw.errors import StoreError
from ldapgw.store import accounts, changes, contacts, revocations, sync_state, tables
from ldapgw.store.phones import NumberMode
from ldapgw.sync.book_builder import build_books, revise_books
from tests.support.results import result_of
from tests.support.stage.sync import (
    ALICE,
    ALL_SOURCES,
    BOB,
    CAROL,
    NOW,
    Stage,
    member,
    person,
    with_directory,
)


def test_a_book_is_built_anew_only_when_something_of_it_changed(stage: Stage) -> None:
    """The others are taken over as they are."""
    stage.connect(ALICE)
    stage.connect(BOB)
    before = stage.books()
    stage.world.add_person(ALICE, person("Ada Riese"))
    stage.sync(ALICE)
    stage.sync(BOB)
    after = stage.books()
    assert after[ALICE] is not before[ALICE]
    assert after[BOB] is before[BOB]
    stage.database.run(accounts.set_sharing, stage.account(BOB).id, Sharing.CALLERS, "")
    shared = stage.books()
    assert shared[ALICE] is after[ALICE]
    assert shared[BOB].sharing is Sharing.CALLERS


def test_another_group_builds_no_book(stage: Stage) -> None:
    """Groups decide who sees a book, not what is in it."""
    account = stage.connect()
    stage.database.run(accounts.set_sharing, account.id, Sharing("group:sales"), "")
    before = stage.books()[ALICE]
    assert before.sharing is Sharing("group:sales")
    accounts_books = stage.publisher._books
    context = accounts_books.contexts["acme"]
    accounts_books.contexts = {"acme": replace(context, groups={"sales": frozenset({BOB})})}
    accounts_books.outdated.add(account.id)
    assert stage.books()[ALICE].segments is before.segments


def test_a_directory_that_comes_through_another_account_meanwhile() -> None:
    """The one that is built of the former account's contacts comes too late."""
    stage = with_directory()
    before = stage.books()
    stage.world.add_person(ALICE, person("Ada Riese"))
    stage.sync(ALICE)
    building = stage.hold(revise_books)
    alice, bob = stage.account(ALICE).id, stage.account(BOB).id
    Deferred.fromCoroutine(stage.publisher.refresh(alice))
    stage.database.run(revocations.disconnect_account, alice, NOW)
    result_of(stage.publisher.refresh(bob))
    [directory] = stage.catalog.dit().directories
    others = next(book for book in directory.books if book.name == "directory")
    assert others is not before["directory"]
    building.callback(None)
    [directory] = stage.catalog.dit().directories
    assert [book for book in directory.books if book.name == "directory"] == [others]


def calls(stage: Stage) -> list[Any]:
    """Collect the functions that are called off the reactor's thread from now on."""
    called: list[Any] = []
    real = stage.on_books_thread

    def noted(function: Any, *args: Any, **kw: Any) -> Any:
        called.append(function)
        return real(function, *args, **kw)

    stage.on_books_thread = noted
    return called


def test_changes_are_built_into_a_book() -> None:
    """The contacts of the account and of the directory that it feeds, in both forms, and the labels."""
    stage = Stage(sources=ALL_SOURCES)
    group = stage.world.add_label(ALICE, "Kunden")
    ada = stage.world.add_person(ALICE, person("Ada Riese", "+49 30 1234567") | member(group))
    other = stage.world.add_person(ALICE, person("Ole Ander"), "other_contacts")
    stage.world.add_person(ALICE, person("Dora Dienst"), "directory")
    stage.connect(sharing=Sharing.SHARED)
    stage.add_phone("Desk1", numbers=NumberMode.ENTRIES)
    stage.sync()
    before = stage.books()
    stage.world.delete_person(ALICE, ada)
    stage.world.delete_person(ALICE, other)
    stage.world.add_person(ALICE, person("Bo Weg", "+49 30 7654321") | member(group))
    stage.world.add_person(ALICE, person("Dirk Dienst"), "directory")
    called = calls(stage)
    stage.sync()
    found = stage.books()
    assert (called.count(revise_books), called.count(build_books)) == (1, 0)
    names = {name: sorted(str(one.attribute("cn")[0], "utf-8") for segment in book.segments.contacts for one in segment)
             for name, book in found.items()}  # fmt: skip
    assert names == {ALICE: ["Bo Weg"], "directory": ["Dirk Dienst", "Dora Dienst"]}
    [label] = found[ALICE].labels
    [single] = (entry for segment in label.segments.numbers for entry in segment)
    assert single.attribute("cn") == (b"Bo Weg (work)",)
    assert before[ALICE].containers is found[ALICE].containers
    [directory] = stage.catalog.dit().directories
    assert sum(map(len, directory.shared_books[Sharing.SHARED].form(per_number=False))) == 3


def test_a_book_is_built_anew_where_changes_are_not_known(stage: Stage) -> None:
    """Or are too many."""
    stage.world.add_person(ALICE, person("Ada Riese"))
    account = stage.connect()
    stage.sync()
    stage.books()
    called = calls(stage)
    with stage.database.begin() as connection:
        contacts.delete_sources(connection, account.id, [Source.CONTACTS])
        sync_state.increment_generation(connection, account.id)
    assert stage.names() == []
    assert build_books in called
    for at in range(101):
        stage.world.add_person(ALICE, person(f"Person {at}"))
    del called[:]
    stage.sync()
    assert len(stage.names()) == 101
    assert build_books in called


def test_one_accounts_trouble_hurts_no_other(stage: Stage, caplog_twisted: list[str]) -> None:
    """Its book stays what it was, until it can be built; the others are built, and the log says which one it is."""
    stage.seconds = stage.clock.seconds
    for address in (ALICE, BOB):
        stage.world.add_person(address, person("Ada Riese"))
        stage.connect(address)
        stage.sync(address)
    assert stage.books().keys() == {ALICE, BOB}
    for address in (ALICE, BOB):
        stage.world.add_person(address, person("Bo Weg"))
        stage.sync(address)
    caplog_twisted.clear()
    real = stage.on_books_thread

    def broken(function: Any, *args: Any, **kw: Any) -> Any:
        if function is revise_books and args[1][0].name == ALICE:
            return fail(ZeroDivisionError())
        return real(function, *args, **kw)

    stage.on_books_thread = broken
    assert [stage.names(address) for address in (ALICE, BOB)] == [["Ada Riese"], ["Ada Riese", "Bo Weg"]]
    assert caplog_twisted == ["the book of account 1 cannot be built"] * 2
    assert (stage.publisher.unserved, stage.lags) == (1, [0.0])
    stage.on_books_thread = real
    stage.clock.advance(8.0)
    assert stage.names() == ["Ada Riese", "Bo Weg"]
    assert (stage.publisher.unserved, stage.lags) == (0, [0.0, 8.0])


def outdated(stage: Stage) -> list[int]:
    """The ids of accounts that are served, whose books have to be built anew."""
    ids = []
    for address in (ALICE, BOB, CAROL):
        stage.world.add_person(address, person("Ada Riese"))
        ids.append(stage.connect(address).id)
        stage.sync(address)
    stage.books()
    later = tables.account.c.generation + 1
    stage.execute(update(tables.account).values(generation=later, known_since=later))
    return ids


def reads(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """Collect the reads of the store from now on, without the looks."""
    seen: list[tuple[Any, ...]] = []
    real = stage.store.read

    def read(function: Any, *args: Any) -> Any:
        if function in (contacts.read, changes.read_deltas):
            seen.append((function, *args))
        return real(function, *args)

    monkeypatch.setattr(stage.store, "read", read)
    return seen


def test_small_accounts_are_read_together(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not one after the other: thousands of them would wait for as many answers of the database."""
    ids = outdated(stage)
    seen = reads(stage, monkeypatch)
    stage.books()
    assert [function for function, _ in seen] == [changes.read_deltas, contacts.read]
    assert list(seen[0][1]) == seen[1][1] == ids


def test_an_account_is_in_one_line_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks that come while it is built do not build it once more."""
    monkeypatch.setattr("ldapgw.sync.account_books.ACCOUNTS_AT_ONCE", 1)
    stage = Stage()
    ids = outdated(stage)
    seen = reads(stage, monkeypatch)
    building = stage.hold(build_books)
    looks = [Deferred.fromCoroutine(stage.publisher.refresh()) for _ in range(5)]
    assert [look.called for look in looks] == [False, False, False, True, True]
    assert all(map(stage.publisher._books.is_building, ids))
    building.callback(None)
    assert all(look.called for look in looks)
    # Accounts come and go for years, and a lock lives as long as the builds of its account.
    assert stage.publisher._books._locks == {}
    assert sorted(asked for function, [asked] in seen if function is contacts.read) == ids
    assert not stage.publisher._books.outdated


def test_after_one_accounts_trouble_the_database_goes_away(
    stage: Stage, caplog_twisted: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then all of them are built by the next look."""
    outdated(stage)
    caplog_twisted.clear()
    seen = reads(stage, monkeypatch)
    read, broken = stage.store.read, [ZeroDivisionError(), StoreError("away")]

    def fail_twice(function: Any, *args: Any) -> Any:
        return fail(broken.pop(0)) if function is contacts.read and broken else read(function, *args)

    monkeypatch.setattr(stage.store, "read", fail_twice)
    failed = Deferred.fromCoroutine(stage.publisher.refresh())
    assert isinstance(failed.result, Failure)
    failed.addErrback(lambda _: None)
    assert stage.publisher._books.outdated
    before = {book.name: book for book in stage.catalog.dit().directories[0].books}
    assert all(book is not before[name] for name, book in stage.books().items())
    assert not stage.publisher._books.outdated
    assert (seen[-1][0], caplog_twisted) == (contacts.read, [])


def test_a_large_book_that_is_revised_does_not_wait_for_one_that_is_built(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That may take minutes."""
    alice = outdated(stage)[0]
    stage.books()
    stage.world.add_person(BOB, person("Bo Weg"))
    stage.sync(BOB)
    later = tables.account.c.generation + 1000
    of_alice = update(tables.account).where(tables.account.c.id == alice)
    stage.execute(of_alice.values(generation=later, known_since=later))
    monkeypatch.setattr("ldapgw.sync.account_books.MIN_PROCESS_CONTACTS", 1)
    building: Deferred[None] = Deferred()
    stage.build_in_process = lambda *_: building
    before = {book.name: book for book in stage.catalog.dit().directories[0].books}
    look = Deferred.fromCoroutine(stage.publisher.refresh())
    assert not look.called
    assert [book.name for book in stage.catalog.dit().directories[0].books if book is not before[book.name]] == [BOB]
    building.callback(None)
    assert look.called
    assert not stage.publisher._books.outdated


def test_what_is_built_does_not_wait_for_all_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is published after half a second."""
    monkeypatch.setattr("ldapgw.sync.account_books.ACCOUNTS_AT_ONCE", 1)
    stage = Stage()
    outdated(stage)
    seconds = iter(range(100))
    stage.seconds = lambda: float(next(seconds))
    stage.published.clear()
    before = {book.name: book for book in stage.catalog.dit().directories[0].books}
    result_of(stage.publisher.refresh())
    anew = [
        [book.name for book in dit.directories[0].books if book is not before[book.name]] for dit, _ in stage.published
    ]
    assert [ALICE] in anew
    assert [ALICE, BOB] in anew
    assert anew[-1] == [ALICE, BOB, CAROL]


@pytest.mark.parametrize("content", [b"{", b'{"uid":"\xff"}', b"[]"])
def test_stored_contacts_that_cannot_be_read_come_anew(stage: Stage, caplog_twisted: list[str], content: bytes) -> None:
    """The rest is served meanwhile; the next sync is a full one."""
    for name in ("Ada Riese", "Bo Weg"):
        stage.world.add_person(ALICE, person(name))
    stage_id = stage.connect().id
    stage.sync()
    caplog_twisted.clear()
    uid = next(iter(stage.records()))
    stage.execute(update(tables.contact).where(tables.contact.c.uid == uid).values(content=content))
    stage.database.run(sync_state.increment_generation, stage_id)
    assert len(stage.names()) == 1
    assert caplog_twisted == ["1 stored contacts of account 1 cannot be read; the next sync fetches them again"]
    stage.sync()
    assert stage.names() == ["Ada Riese", "Bo Weg"]
