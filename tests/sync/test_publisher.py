# SPDX-License-Identifier: MIT
"""From the store to what is served: books, logins, the directory; built anew when something changed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import update
from twisted.internet.defer import Deferred, fail
from twisted.python.failure import Failure

from ldapgw.contact import Sharing, Source
from ldapgw.directory.access import UNKNOWN_LOGIN_HASH, Access, Viewer, number_formatter, phone_dn
from ldapgw.directory.book import Book
from ldapgw.directory.filter import Present, Scope, SearchRequest
from ldapgw.directory.search import search
from ldapgw.errors import StoreError
from ldapgw.numbers.phone_number import NumberFormat
from ldapgw.store import accounts, changes, contact_changes, contacts, phones, revocations, sync_state, tables
from ldapgw.store.phones import NumberMode, PhoneLogin
from ldapgw.sync.book_builder import build_books, revise_books
from tests.support.results import result_of
from tests.support.stage.sync import ALICE, ALL_SOURCES, BOB, CAROL, CONTEXT, NOW, Stage, person


def books(stage: Stage) -> dict[str, Book]:
    result_of(stage.publisher.refresh())
    (directory,) = stage.catalog.dit().directories
    return {book.name: book for book in directory.books}


def add_phone(
    stage: Stage, name: str, tenant: str = "acme", owner: str = "", numbers: NumberMode = NumberMode.VALUES
) -> None:
    account_id = stage.account(owner).id if owner else None
    with stage.database.begin() as connection:
        assert phones.add(connection, PhoneLogin(name, tenant, account_id, numbers, UNKNOWN_LOGIN_HASH, NOW))


def test_nothing_is_there_before_anybody_connects() -> None:
    """The tenant is, and it is complete."""
    stage = Stage()
    assert not stage.catalog.snapshot.loaded
    assert books(stage) == {}
    assert stage.catalog.snapshot.loaded


def test_a_connected_account_has_a_book_even_before_its_first_sync() -> None:
    """Empty, with its address for a name; one that is disconnected has none."""
    stage = Stage()
    account = stage.connect(sharing=Sharing.SHARED)
    found = books(stage)
    assert found.keys() == {ALICE}
    assert (found[ALICE].key, found[ALICE].sharing) == (account.sub, Sharing.SHARED)
    with stage.database.begin() as connection:
        accounts.disconnect(connection, account.id)
    assert books(stage) == {}


def test_a_book_is_built_anew_only_when_something_of_it_changed() -> None:
    """The others are taken over as they are."""
    stage = Stage()
    stage.connect(ALICE)
    stage.connect(BOB)
    before = books(stage)
    stage.world.add_person(ALICE, person("Ada Riese"))
    stage.sync(ALICE)
    stage.sync(BOB)
    after = books(stage)
    assert after[ALICE] is not before[ALICE]
    assert after[BOB] is before[BOB]
    account = stage.account(BOB)
    with stage.database.begin() as connection:
        accounts.set_sharing(connection, account.id, Sharing.CALLERS)
    shared = books(stage)
    assert shared[ALICE] is after[ALICE]
    assert shared[BOB].sharing is Sharing.CALLERS


def test_one_directory_a_tenant() -> None:
    """Of two accounts that bring one, the first feeds it; when it goes, the next one does."""
    stage = Stage(sources=ALL_SOURCES)
    for address in (ALICE, BOB):
        stage.connect(address)
    stage.world.add_person(ALICE, person("Dora Dienst"), "directory")
    for address in (ALICE, BOB):
        stage.sync(address)
    found = books(stage)
    assert found.keys() == {ALICE, BOB, "directory"}
    assert (found["directory"].key, found["directory"].sharing) == ("directory", Sharing.SHARED)
    account = stage.account(ALICE)
    with stage.database.begin() as connection:
        revocations.disconnect_account(connection, account.id, NOW)
    assert books(stage).keys() == {BOB, "directory"}
    account = stage.account(BOB)
    with stage.database.begin() as connection:
        sync_state.write_source_states(connection, account.id, {Source.DIRECTORY: accounts.SourceState.NOT_GRANTED})
    assert books(stage).keys() == {BOB}


def test_phones_are_logins() -> None:
    """Each sees its account's book; one without an account, or whose account is gone, the shared ones."""
    stage = Stage()
    account = stage.connect()
    add_phone(stage, "Desk1", owner=ALICE)
    add_phone(stage, "hall")
    add_phone(stage, "elsewhere", tenant="gone from the configuration")
    result_of(stage.publisher.refresh())
    logins = stage.catalog.snapshot.logins
    assert {name: login.viewer for name, login in logins.items()} == {
        "desk1": Viewer("cn=Desk1,ou=phones,dc=acme,dc=example", (Access("acme", account.sub),)),
        "hall": Viewer("cn=hall,ou=phones,dc=acme,dc=example", (Access("acme"),)),
    }
    assert logins["hall"].dn == phone_dn("hall", CONTEXT.base)
    with stage.database.begin() as connection:
        accounts.disconnect(connection, account.id)
    result_of(stage.publisher.refresh())
    assert stage.catalog.snapshot.logins["desk1"].viewer.access == (Access("acme"),)


def test_entries_a_number_are_built_when_a_phone_wants_them() -> None:
    """They cost memory, so nobody has them who does not ask."""
    stage = Stage()
    stage.world.add_person(ALICE, person("Ada Riese", "030 23125 100", "030 23125 101"))
    stage.connect()
    stage.sync()
    assert books(stage)[ALICE].segments.numbers == ()
    add_phone(stage, "Desk1", owner=ALICE, numbers=NumberMode.ENTRIES)
    [segment] = books(stage)[ALICE].segments.numbers
    assert segment is not None
    assert len(segment.entries) == 2
    assert stage.catalog.snapshot.logins["desk1"].viewer.per_number


def test_a_secret_address_is_published_at_once() -> None:
    """It works from the next look on, and ends so."""
    stage = Stage()
    add_phone(stage, "Desk1")
    books(stage)
    for secret in (UNKNOWN_LOGIN_HASH, ""):
        with stage.database.begin() as connection:
            phones.set_book_secret(connection, "Desk1", secret)
        books(stage)
        assert stage.catalog.snapshot.logins["desk1"].book_secret_hash == secret


def test_a_number_format_is_published_at_once() -> None:
    """The phone's sessions end, so that its next search has the format; no book is built anew."""
    stage = Stage()
    stage.connect()
    add_phone(stage, "Desk1", owner=ALICE)
    before = books(stage)[ALICE]
    for form in (NumberFormat.DIAL, None):
        with stage.database.begin() as connection:
            phones.set_number_format(connection, "Desk1", form)
        assert books(stage)[ALICE] is before
        viewer = stage.catalog.snapshot.logins["desk1"].viewer
        assert viewer.number_formatter == number_formatter(form, CONTEXT)


def test_sharing_is_published_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is no reason to build a book."""
    stage = Stage()
    account = stage.connect()
    before = books(stage)[ALICE]
    with stage.database.begin() as connection:
        accounts.set_sharing(connection, account.id, Sharing.SHARED)
    after = books(stage)[ALICE]
    assert (after.sharing, after.segments) == (Sharing.SHARED, before.segments)
    assert after.segments is before.segments


def test_a_shared_label_is_published_at_once() -> None:
    """It is no reason to build a book, and the same book is served until something changes."""
    stage = Stage()
    group = stage.world.add_label(ALICE, "Kunden")
    member = {"memberships": [{"contactGroupMembership": {"contactGroupResourceName": group}}]}
    stage.world.add_person(ALICE, person("Ada Riese", "030 23125 100") | member)
    stage.world.add_person(ALICE, person("Bo Weg"))
    account = stage.connect()
    stage.sync()
    before = books(stage)[ALICE]
    with stage.database.begin() as connection:
        accounts.set_sharing(connection, account.id, Sharing.SHARED, "kunden")
    after = books(stage)[ALICE]
    assert after.segments is before.segments
    [merged] = stage.catalog.dit().directories[0].shared_books.contacts
    assert [entry.attribute("cn") for entry in merged.segment] == [(b"Ada Riese",)]
    assert books(stage)[ALICE] is after


def test_another_group_builds_no_book() -> None:
    """Groups decide who sees a book, not what is in it."""
    stage = Stage()
    account = stage.connect()
    with stage.database.begin() as connection:
        accounts.set_sharing(connection, account.id, Sharing("group:sales"))
    before = books(stage)[ALICE]
    assert before.sharing is Sharing("group:sales")
    accounts_books = stage.publisher._books
    context = accounts_books.contexts["acme"]
    accounts_books.contexts = {"acme": replace(context, groups={"sales": frozenset({BOB})})}
    accounts_books.outdated.add(account.id)
    assert books(stage)[ALICE].segments is before.segments


def test_many_books_are_published_in_several_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tenant by tenant, and all of them before anything is built."""
    monkeypatch.setattr("ldapgw.sync.publisher._BOOKS_AT_ONCE", 1)
    stage = Stage(tenants=("acme", "globex"))
    found = [stage.connect(ALICE, tenant="acme"), stage.connect(BOB, tenant="globex")]
    result_of(stage.publisher.refresh())
    with stage.database.begin() as connection:
        for account in found:
            accounts.set_sharing(connection, account.id, Sharing.SHARED)
    seen: list[list[Sharing]] = []
    stage.between_turns = lambda: seen.append(
        [book.sharing for directory in stage.catalog.dit().directories for book in directory.books]
    )
    result_of(stage.publisher.publish_accounts())
    private, shared = Sharing.PRIVATE, Sharing.SHARED
    assert seen == [[shared, private], [shared, shared]]


def test_many_books_that_were_built_are_published_in_several_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tenant by tenant; at the start, for which phones wait, at once."""
    monkeypatch.setattr("ldapgw.sync.publisher._BOOKS_AT_ONCE", 1)
    stage = Stage(tenants=("acme", "globex"))
    turns: list[list[int]] = []
    stage.between_turns = lambda: turns.append(
        [len(book) for directory in stage.catalog.dit().directories for book in directory.books]
    )
    found = [stage.connect(ALICE, tenant="acme"), stage.connect(BOB, tenant="globex")]
    result_of(stage.publisher.refresh())
    assert (turns, stage.catalog.snapshot.loaded) == ([], True)
    for account, address in zip(found, (ALICE, BOB), strict=True):
        stage.world.add_person(address, person("Ada Riese"))
        result_of(stage.job.sync(account, full=False))
    result_of(stage.publisher.publish_accounts())
    turns.clear()
    result_of(stage.publisher.build())
    assert turns == [[1, 0]]
    assert [len(book) for directory in stage.catalog.dit().directories for book in directory.books] == [1, 1]


def test_many_accounts_that_are_read_again_are_compared_in_several_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """As after a restart of PostgreSQL; at the start there is nobody to wait for, and so no turn."""
    monkeypatch.setattr("ldapgw.sync.publisher._CHANGES_AT_ONCE", 2)
    stage = Stage()
    for name in (ALICE, BOB, CAROL):
        stage.connect(name)
    turns = []
    stage.between_turns = lambda: turns.append(len(stage.catalog.dit().directories[0].books))
    assert books(stage).keys() == {ALICE, BOB, CAROL}
    assert turns == []
    gone = stage.account(CAROL).id
    with stage.database.begin() as connection:
        accounts.disconnect(connection, gone)
        changes.begin_epoch(connection)
    assert books(stage).keys() == {ALICE, BOB}
    assert turns == [3, 3]


def test_where_nothing_differs_nothing_is_published() -> None:
    """What was worked out of the directories stays true; logins are looked at all the same."""
    stage = Stage()
    stage.connect(sharing=Sharing.SHARED)
    stage.sync()
    books(stage)
    before = stage.catalog.dit()
    add_phone(stage, "hall")
    books(stage)
    assert stage.catalog.dit() is before
    assert stage.catalog.snapshot.logins.keys() == {"hall"}
    stage.world.add_person(ALICE, person("Ada Riese"))
    stage.sync()
    books(stage)
    assert stage.catalog.dit() is not before


def test_an_address_that_has_changed_hands() -> None:
    """Google gives it to somebody else while the former owner is still connected: two books, two names."""
    stage = Stage()
    found = {}
    for at, address in enumerate((ALICE, BOB, CAROL)):
        stage.world.add_person(address, person(f"Friend {at}"))
        found[address] = stage.connect(address, sharing=Sharing.SHARED)
        stage.sync(address)
    with stage.database.begin() as connection:
        for address in (BOB, CAROL):
            renamed = update(tables.account).where(tables.account.c.id == found[address].id)
            connection.execute(renamed.values(address=ALICE.upper()))
    names = {ALICE: "Friend 0", f"{ALICE.upper()} (2)": "Friend 1", f"{ALICE.upper()} (3)": "Friend 2"}
    assert books(stage).keys() == names.keys()
    viewer = Viewer(access=(Access("acme", found[BOB].sub),))
    for book, name in names.items():
        asked = SearchRequest(f"ou={book},dc=acme,dc=example", Scope.WHOLE_SUBTREE, Present("uid"))
        entries = [entry for entry in search(stage.catalog.dit(), viewer, asked) if entry is not None]
        assert [entry.attribute("cn") for entry in entries] == [(name.encode(),)]
    with stage.database.begin() as connection:
        revocations.disconnect_account(connection, found[ALICE].id, NOW)
    assert books(stage).keys() == {ALICE.upper(), f"{ALICE.upper()} (2)"}


def test_who_is_gone_is_gone_before_books_are_built() -> None:
    """A long build does not keep a removed phone or a disconnected account."""
    stage = Stage()
    account = stage.connect(ALICE)
    stage.connect(BOB)
    add_phone(stage, "Desk1", owner=ALICE)
    result_of(stage.publisher.refresh())
    stage.world.add_person(BOB, person("Ada Riese"))
    stage.sync(BOB)
    with stage.database.begin() as connection:
        phones.remove(connection, "Desk1")
        accounts.disconnect(connection, account.id)
    building: Deferred[tuple[Book, ...]] = Deferred()
    real = stage.on_books_thread

    def slow(function: Any, *args: Any, **kw: Any) -> Any:
        return building if function is revise_books else real(function, *args, **kw)

    stage.on_books_thread = slow
    refreshed = Deferred.fromCoroutine(stage.publisher.refresh())
    (directory,) = stage.catalog.dit().directories
    assert ([book.name for book in directory.books], stage.catalog.snapshot.logins) == ([BOB], {})
    assert stage.published[-1] == (stage.catalog.dit(), ("cn=Desk1,ou=phones,dc=acme,dc=example",))
    building.errback(ZeroDivisionError())
    assert refreshed.called


def held(stage: Stage, slow: Any) -> Deferred[Any]:
    """Have a function wait off the reactor's thread until the result is called back."""
    waiting: Deferred[Any] = Deferred()
    real = stage.on_books_thread

    def run(function: Any, *args: Any, **kw: Any) -> Any:
        if function is slow and not waiting.called:
            return waiting.addCallback(lambda _: function(*args, **kw))
        return real(function, *args, **kw)

    stage.on_books_thread = run
    return waiting


def test_a_directory_that_comes_through_another_account_meanwhile() -> None:
    """The one that is built of the former account's contacts comes too late."""
    stage = Stage(sources=ALL_SOURCES)
    for address in (ALICE, BOB):
        stage.connect(address)
    stage.world.add_person(ALICE, person("Dora Dienst"), "directory")
    for address in (ALICE, BOB):
        stage.sync(address)
    before = books(stage)
    stage.world.add_person(ALICE, person("Ada Riese"))
    stage.sync(ALICE)
    building = held(stage, revise_books)
    alice, bob = stage.account(ALICE).id, stage.account(BOB).id
    Deferred.fromCoroutine(stage.publisher.refresh(alice))
    with stage.database.begin() as connection:
        revocations.disconnect_account(connection, alice, NOW)
    result_of(stage.publisher.refresh(bob))
    [directory] = stage.catalog.dit().directories
    others = next(book for book in directory.books if book.name == "directory")
    assert others is not before["directory"]
    building.callback(None)
    [directory] = stage.catalog.dit().directories
    assert [book for book in directory.books if book.name == "directory"] == [others]


def calls(stage: Stage) -> list[Any]:
    """What is called off the reactor's thread from now on."""
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
    member = {"memberships": [{"contactGroupMembership": {"contactGroupResourceName": group}}]}
    ada = stage.world.add_person(ALICE, person("Ada Riese", "+49 30 1234567") | member)
    other = stage.world.add_person(ALICE, person("Ole Ander"), "other_contacts")
    stage.world.add_person(ALICE, person("Dora Dienst"), "directory")
    stage.connect(sharing=Sharing.SHARED)
    add_phone(stage, "Desk1", numbers=NumberMode.ENTRIES)
    stage.sync()
    before = books(stage)
    stage.world.delete_person(ALICE, ada)
    stage.world.delete_person(ALICE, other)
    stage.world.add_person(ALICE, person("Bo Weg", "+49 30 7654321") | member)
    stage.world.add_person(ALICE, person("Dirk Dienst"), "directory")
    called = calls(stage)
    stage.sync()
    found = books(stage)
    assert (called.count(revise_books), called.count(build_books)) == (1, 0)
    names = {name: sorted(str(one.attribute("cn")[0], "utf-8") for segment in book.segments.contacts for one in segment)
             for name, book in found.items()}  # fmt: skip
    assert names == {ALICE: ["Bo Weg"], "directory": ["Dirk Dienst", "Dora Dienst"]}
    [label] = found[ALICE].labels
    [single] = (entry for segment in label.segments.numbers for entry in segment)
    assert single.attribute("cn") == (b"Bo Weg (work)",)
    assert before[ALICE].containers is found[ALICE].containers
    [directory] = stage.catalog.dit().directories
    assert sum(map(len, directory.shared_books.form(per_number=False))) == 3


def test_a_book_is_built_anew_where_changes_are_not_known() -> None:
    """Or are too many."""
    stage = Stage()
    stage.world.add_person(ALICE, person("Ada Riese"))
    account = stage.connect()
    stage.sync()
    books(stage)
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


def test_many_shared_books_are_joined_after_the_start() -> None:
    """At first each is looked at, so that phones do not have to wait."""
    stage = Stage()
    for at in range(12):
        address = f"user{at}@acme.example"
        stage.world.add_account(address, "User", str(at), hd="acme.example")
        stage.world.add_person(address, person(f"Ada {at}"))
        stage.connect(address, sharing=Sharing.SHARED)
        stage.sync(address)
    for needs_merge in (True, False, False):
        result_of(stage.publisher.refresh())
        [directory] = stage.catalog.dit().directories
        assert directory.shared_books.needs_merge is needs_merge
        assert sum(map(len, directory.shared_books.form(per_number=False))) == 12


def test_one_accounts_trouble_hurts_no_other(caplog_twisted: list[str]) -> None:
    """Its book stays what it was; the others are built, and the log says which one it is."""
    stage = Stage()
    for address in (ALICE, BOB):
        stage.world.add_person(address, person("Ada Riese"))
        stage.connect(address)
        stage.sync(address)
    assert books(stage).keys() == {ALICE, BOB}
    for address in (ALICE, BOB):
        stage.world.add_person(address, person("Bo Weg"))
        stage.sync(address)
    real = stage.on_books_thread

    def broken(function: Any, *args: Any, **kw: Any) -> Any:
        if function is revise_books and args[1][0].name == ALICE:
            return fail(ZeroDivisionError())
        return real(function, *args, **kw)

    stage.on_books_thread = broken
    assert [stage.names(address) for address in (ALICE, BOB)] == [["Ada Riese"], ["Ada Riese", "Bo Weg"]]
    assert caplog_twisted == ["the book of account 1 cannot be built"] * 2


def restored(stage: Stage) -> list[int]:
    """The ids of accounts that are served, whose books have to be built anew."""
    ids = []
    for address in (ALICE, BOB, CAROL):
        stage.world.add_person(address, person("Ada Riese"))
        ids.append(stage.connect(address).id)
        stage.sync(address)
    books(stage)
    with stage.database.begin() as connection:
        changes.skip_generations(connection, 7)
    return ids


def reads(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What is read from the store from now on, without the looks."""
    seen: list[tuple[Any, ...]] = []
    real = stage.store.read

    def read(function: Any, *args: Any) -> Any:
        if function in (contacts.read, contact_changes.read):
            seen.append((function, *args))
        return real(function, *args)

    monkeypatch.setattr(stage.store, "read", read)
    return seen


def test_small_accounts_are_read_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not one after the other: thousands of them would wait for as many answers of the database."""
    stage = Stage()
    ids = restored(stage)
    seen = reads(stage, monkeypatch)
    books(stage)
    assert [function for function, _ in seen] == [contact_changes.read, contacts.read]
    assert list(seen[0][1]) == seen[1][1] == ids


def test_an_account_is_in_one_line_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks that come while it is built do not build it once more."""
    monkeypatch.setattr("ldapgw.sync.book_updater._ACCOUNTS_AT_ONCE", 1)
    stage = Stage()
    ids = restored(stage)
    seen = reads(stage, monkeypatch)
    building = held(stage, build_books)
    looks = [Deferred.fromCoroutine(stage.publisher.refresh()) for _ in range(5)]
    assert [look.called for look in looks] == [False, False, False, True, True]
    building.callback(None)
    assert all(look.called for look in looks)
    assert sorted(asked for function, [asked] in seen if function is contacts.read) == ids
    assert not stage.publisher.is_outdated


def test_after_one_accounts_trouble_the_database_goes_away(
    caplog_twisted: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then all of them are built by the next look."""
    stage = Stage()
    restored(stage)
    seen = reads(stage, monkeypatch)
    read, broken = stage.store.read, [ZeroDivisionError(), StoreError("away")]

    def fail_twice(function: Any, *args: Any) -> Any:
        return fail(broken.pop(0)) if function is contacts.read and broken else read(function, *args)

    monkeypatch.setattr(stage.store, "read", fail_twice)
    failed = Deferred.fromCoroutine(stage.publisher.refresh())
    assert isinstance(failed.result, Failure)
    failed.addErrback(lambda _: None)
    assert stage.publisher.is_outdated
    before = {book.name: book for book in stage.catalog.dit().directories[0].books}
    assert all(book is not before[name] for name, book in books(stage).items())
    assert not stage.publisher.is_outdated
    assert (seen[-1][0], caplog_twisted) == (contacts.read, [])


def test_a_second_look_does_not_end_the_start() -> None:
    """Nothing is complete before the first one has built all books."""
    stage = Stage()
    stage.connect()
    building = held(stage, build_books)
    looks = [Deferred.fromCoroutine(stage.publisher.refresh()) for _ in range(2)]
    assert not stage.catalog.snapshot.loaded
    building.callback(None)
    assert all(look.called for look in looks)
    assert stage.catalog.snapshot.loaded
    assert [book.name for book in stage.catalog.dit().directories[0].books] == [ALICE]


def test_a_large_book_that_is_revised_does_not_wait_for_one_that_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    """That may take minutes."""
    stage = Stage()
    alice = restored(stage)[0]
    books(stage)
    stage.world.add_person(BOB, person("Bo Weg"))
    stage.sync(BOB)
    with stage.database.begin() as connection:
        later = tables.account.c.generation + 1000
        of_alice = update(tables.account).where(tables.account.c.id == alice)
        connection.execute(of_alice.values(generation=later, known_since=later))
    monkeypatch.setattr("ldapgw.sync.book_updater.MIN_PROCESS_CONTACTS", 1)
    building: Deferred[None] = Deferred()
    stage.build_in_process = lambda *_: building
    before = {book.name: book for book in stage.catalog.dit().directories[0].books}
    look = Deferred.fromCoroutine(stage.publisher.refresh())
    assert not look.called
    assert [book.name for book in stage.catalog.dit().directories[0].books if book is not before[book.name]] == [BOB]
    building.callback(None)
    assert look.called
    assert not stage.publisher.is_outdated


def test_what_is_built_does_not_wait_for_all_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is published after half a second."""
    monkeypatch.setattr("ldapgw.sync.book_updater._ACCOUNTS_AT_ONCE", 1)
    stage = Stage()
    restored(stage)
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


def test_stored_contacts_that_cannot_be_read_come_anew(caplog_twisted: list[str]) -> None:
    """The rest is served meanwhile; the next sync is a full one."""
    stage = Stage()
    for name in ("Ada Riese", "Bo Weg"):
        stage.world.add_person(ALICE, person(name))
    stage_id = stage.connect().id
    stage.sync()
    uid = next(iter(stage.records()))
    with stage.database.begin() as connection:
        damaged = update(tables.contact).where(tables.contact.c.uid == uid).values(content=b"{")
        sync_state.increment_generation(connection, stage_id)
        connection.execute(damaged)
    assert len(stage.names()) == 1
    assert caplog_twisted == ["1 stored contacts of account 1 cannot be read; the next sync fetches them again"]
    stage.sync()
    assert stage.names() == ["Ada Riese", "Bo Weg"]


def test_a_book_is_built_while_somebody_writes() -> None:
    """To read an account's contacts keeps nobody from writing, and is kept by nobody."""
    stage = Stage()
    stage.world.add_person(ALICE, person("Ada Riese"))
    stage.connect()
    stage.sync()
    with stage.database.begin():
        assert stage.names() == ["Ada Riese"]


def test_a_label_has_a_branch() -> None:
    """The groups that Google keeps for everybody make none."""
    stage = Stage()
    group = stage.world.add_label(ALICE, "Kunden")
    both = [
        {"contactGroupMembership": {"contactGroupResourceName": name}} for name in (group, "contactGroups/myContacts")
    ]
    stage.world.add_person(ALICE, person("Ada Riese") | {"memberships": both})
    stage.connect()
    stage.sync()
    assert [label.name for label in books(stage)[ALICE].labels] == ["Kunden"]


def test_how_long_a_change_waits_is_told() -> None:
    """From when it is read until it is served; not what a start loads, nor what is gone meanwhile."""
    stage = Stage()
    stage.seconds, lags = stage.clock.seconds, stage.lags
    alice, bob = stage.connect(), stage.connect(BOB)
    assert (len(books(stage)), stage.publisher.unserved, lags) == (2, 0, [])
    with stage.database.begin() as connection:
        accounts.set_sharing(connection, alice.id, Sharing.SHARED)
        accounts.set_sharing(connection, bob.id, Sharing.SHARED)
    result_of(stage.publisher.publish_accounts())
    assert (stage.publisher.unserved, lags) == (2, [])
    stage.clock.advance(2.0)
    with stage.database.begin() as connection:
        accounts.disconnect(connection, bob.id)
    result_of(stage.publisher.publish_accounts())
    assert (stage.publisher.unserved, lags) == (1, [])
    stage.clock.advance(0.5)
    result_of(stage.publisher.build())
    assert (stage.publisher.unserved, lags) == (0, [2.5])


def test_a_book_that_cannot_be_built_waits(caplog_twisted: list[str]) -> None:
    """Until it can."""
    stage = Stage()
    stage.seconds, lags = stage.clock.seconds, stage.lags
    stage.world.add_person(ALICE, person("Ada Riese"))
    stage.connect()
    stage.sync()
    books(stage)
    stage.world.add_person(ALICE, person("Bo Weg"))
    stage.sync()
    real = stage.on_books_thread

    def broken(function: Any, *args: Any, **kw: Any) -> Any:
        return fail(ZeroDivisionError()) if function is revise_books else real(function, *args, **kw)

    stage.on_books_thread = broken
    books(stage)
    assert (stage.publisher.unserved, lags, len(caplog_twisted)) == (1, [], 1)
    stage.on_books_thread = real
    stage.clock.advance(8.0)
    books(stage)
    assert (stage.publisher.unserved, lags) == (0, [8.0])
