# SPDX-License-Identifier: MIT
"""From the store to what is served: books, logins and the directory."""

from __future__ import annotations

import pytest
from sqlalchemy import update
from twisted.internet.defer import Deferred

from ldapgw.contact import Sharing, Source
from ldapgw.directory.access import Access, Viewer
from ldapgw.directory.catalog import EndedLogin
from ldapgw.directory.entry import number_formatter
from ldapgw.directory.filter import Present, Scope, SearchRequest
from ldapgw.directory.passwords import UNKNOWN_LOGIN_HASH
from ldapgw.directory.search import search
from ldapgw.numbers.phone_number import NumberFormat
from ldapgw.store import accounts, changes, phones, revocations, sync_state, tables
from ldapgw.store.phones import NumberMode
from ldapgw.sync.book_builder import build_books, revise_books
from tests.support.results import result_of
from tests.support.stage.sync import ALICE, BOB, CAROL, CONTEXT, NOW, Stage, member, person, with_directory


def test_nothing_is_there_before_anybody_connects(stage: Stage) -> None:
    """The tenant is, and it is complete."""
    assert not stage.catalog.snapshot.loaded
    assert stage.books() == {}
    assert stage.catalog.snapshot.loaded


def test_a_connected_account_has_a_book_even_before_its_first_sync(stage: Stage) -> None:
    """Empty, with its address for a name; one that is disconnected has none."""
    account = stage.connect(sharing=Sharing.SHARED)
    found = stage.books()
    assert found.keys() == {ALICE}
    assert (found[ALICE].key, found[ALICE].sharing) == (account.sub, Sharing.SHARED)
    stage.database.run(accounts.disconnect, account.id)
    assert stage.books() == {}


def test_who_has_gone_is_told_at_each_gateway(stage: Stage) -> None:
    """Whichever gateway or command has removed the account; a database that is read whole may have been restored."""
    told: list[list[tuple[str, str]]] = []
    stage.publisher._on_gone = lambda gone: told.append([*gone])
    alice, bob, carol = (stage.connect(address) for address in (ALICE, BOB, CAROL))
    stage.books()
    stage.database.run(accounts.set_sharing, alice.id, Sharing.SHARED, "")
    stage.books()
    assert told == []
    stage.database.run(accounts.disconnect, alice.id)
    stage.books()
    stage.database.run(accounts.remove, bob.id, with_phones=False)
    stage.books()
    stage.database.run(accounts.remove, alice.id, with_phones=False)
    stage.books()
    assert told == [[alice.identity], [bob.identity]]
    stage.database.run(accounts.disconnect, carol.id)
    stage.database.run(changes.begin_epoch)
    stage.books()
    assert len(told) == 2


def test_one_directory_a_tenant() -> None:
    """Of two accounts that bring one, the first feeds it; when it goes, the next one does."""
    stage = with_directory()
    found = stage.books()
    assert found.keys() == {ALICE, BOB, "directory"}
    assert (found["directory"].key, found["directory"].sharing) == ("directory", Sharing.SHARED)
    stage.database.run(revocations.disconnect_account, stage.account(ALICE).id, NOW)
    assert stage.books().keys() == {BOB, "directory"}
    states = {Source.DIRECTORY: accounts.SourceState.NOT_GRANTED}
    stage.database.run(sync_state.write_source_states, stage.account(BOB).id, states)
    assert stage.books().keys() == {BOB}


def test_phones_are_logins(stage: Stage) -> None:
    """Each sees its account's book; one without an account, or whose account is gone, the shared ones."""
    account = stage.connect()
    stage.add_phone("Desk1", owner=ALICE)
    stage.add_phone("hall")
    stage.add_phone("elsewhere", tenant="gone from the configuration")
    result_of(stage.publisher.refresh())
    logins = stage.catalog.snapshot.logins
    assert {name: login.viewer for name, login in logins.items()} == {
        "desk1": Viewer("cn=Desk1,ou=phones,dc=acme,dc=example", (Access("acme", (account.sub,)),)),
        "hall": Viewer("cn=hall,ou=phones,dc=acme,dc=example", (Access("acme"),)),
    }
    stage.database.run(accounts.disconnect, account.id)
    result_of(stage.publisher.refresh())
    assert stage.catalog.snapshot.logins["desk1"].viewer.access == (Access("acme"),)


def test_a_phone_whose_first_account_is_disconnected(stage: Stage) -> None:
    """The next account does not become the first one, whose groups count."""
    alice, bob = stage.connect(), stage.connect(BOB)
    stage.add_phone("pair", owner=ALICE)
    stage.database.run(phones.set_accounts, "pair", (alice.id, bob.id))
    for books in ((alice.sub, bob.sub), ("", bob.sub), ()):
        result_of(stage.publisher.refresh())
        assert stage.catalog.snapshot.logins["pair"].viewer.access == (Access("acme", books),)
        stage.database.run(accounts.disconnect, bob.id if books and not books[0] else alice.id)


def test_entries_a_number_are_built_when_a_phone_wants_them(stage: Stage) -> None:
    """They cost memory, so nobody has them who does not ask."""
    stage.world.add_person(ALICE, person("Ada Riese", "030 23125 100", "030 23125 101"))
    stage.connect()
    stage.sync()
    assert stage.books()[ALICE].segments.numbers == ()
    stage.add_phone("Desk1", owner=ALICE, numbers=NumberMode.ENTRIES)
    [segment] = stage.books()[ALICE].segments.numbers
    assert segment is not None
    assert len(segment.entries) == 2
    assert stage.catalog.snapshot.logins["desk1"].viewer.per_number


def test_a_secret_address_is_published_at_once(stage: Stage) -> None:
    """It works from the next look on, and ends so."""
    stage.add_phone("Desk1")
    stage.books()
    for secret in (UNKNOWN_LOGIN_HASH, ""):
        stage.database.run(phones.set_book_secret, "Desk1", secret)
        stage.books()
        assert stage.catalog.snapshot.logins["desk1"].book_secret_hash == secret


def test_a_number_format_is_published_at_once(stage: Stage) -> None:
    """The phone's sessions end, so that its next search has the format; no book is built anew."""
    stage.connect()
    stage.add_phone("Desk1", owner=ALICE)
    before = stage.books()[ALICE]
    for form in (NumberFormat.DIAL, None):
        stage.database.run(phones.set_dialling, "Desk1", form, "")
        assert stage.books()[ALICE] is before
        viewer = stage.catalog.snapshot.logins["desk1"].viewer
        assert viewer.number_formatter == number_formatter(form, CONTEXT)


def test_a_shared_label_is_published_at_once(stage: Stage) -> None:
    """It is no reason to build a book, and the same book is served until something changes."""
    group = stage.world.add_label(ALICE, "Kunden")
    stage.world.add_person(ALICE, person("Ada Riese", "030 23125 100") | member(group))
    stage.world.add_person(ALICE, person("Bo Weg"))
    account = stage.connect()
    stage.sync()
    before = stage.books()[ALICE]
    stage.database.run(accounts.set_sharing, account.id, Sharing.SHARED, "kunden")
    after = stage.books()[ALICE]
    assert after.segments is before.segments
    [merged] = stage.catalog.dit().directories[0].shared_books[Sharing.SHARED].contacts
    assert [entry.attribute("cn") for entry in merged.segment] == [(b"Ada Riese",)]
    assert stage.books()[ALICE] is after


def test_many_books_are_published_in_several_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tenant by tenant, and all of them before anything is built."""
    monkeypatch.setattr("ldapgw.sync.publisher._BOOKS_AT_ONCE", 1)
    stage = Stage(tenants=("acme", "globex"))
    found = [stage.connect(ALICE, tenant="acme"), stage.connect(BOB, tenant="globex")]
    result_of(stage.publisher.refresh())
    for account in found:
        stage.database.run(accounts.set_sharing, account.id, Sharing.SHARED, "")
    seen: list[list[Sharing]] = []
    stage.between_turns = lambda: seen.append(
        [book.sharing for directory in stage.catalog.dit().directories for book in directory.books]
    )
    result_of(stage.publisher.publish_accounts())
    private, shared = Sharing.PRIVATE, Sharing.SHARED
    assert seen == [[shared, private]]
    assert [book.sharing for directory in stage.catalog.dit().directories for book in directory.books] == [
        shared,
        shared,
    ]


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
        result_of(stage.job.sync(stage.begun(account), full=False))
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
    assert stage.books().keys() == {ALICE, BOB, CAROL}
    assert turns == []
    gone = stage.account(CAROL).id
    with stage.database.begin() as connection:
        accounts.disconnect(connection, gone)
        changes.begin_epoch(connection)
    assert stage.books().keys() == {ALICE, BOB}
    assert turns == [3, 3]


def test_many_accounts_whose_sharing_has_changed_are_compared_with_their_books_in_several_turns(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No thread has work with these accounts; at the start there is nobody to wait for, and so no turn."""
    monkeypatch.setattr("ldapgw.sync.account_books.ACCOUNTS_AT_ONCE", 1)
    stage = Stage()
    connected = [stage.connect(name) for name in (ALICE, BOB, CAROL)]
    turns: list[int] = []
    stage.between_turns = lambda: turns.append(len(stage.publisher._books.outdated))
    assert stage.books().keys() == {ALICE, BOB, CAROL}
    assert turns == []
    with stage.database.begin() as connection:
        for account in connected:
            accounts.set_sharing(connection, account.id, Sharing.SHARED, "")
    assert [book.sharing for book in stage.books().values()] == [Sharing.SHARED] * 3
    assert turns == [2, 1]


def test_many_changed_logins_are_made_in_several_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """The logins are published together, even if a book is published meanwhile: a renamed phone has both names."""
    monkeypatch.setattr("ldapgw.sync.publisher._LOGINS_AT_ONCE", 1)
    stage = Stage()
    account = stage.connect()
    for name in ("desk1", "hall", "lab"):
        stage.add_phone(name, owner=ALICE)
    stage.database.run(phones.set_password, "lab", "sha256$22$22", NOW)
    turns: list[list[object]] = []

    def turn() -> None:
        turns.append([])
        result_of(stage.publisher.build())
        [book] = stage.catalog.dit().directories[0].books
        turns[-1] += [book.sharing, *sorted(stage.catalog.snapshot.logins)]

    stage.between_turns = turn
    stage.books()
    assert turns == []
    ended: list[EndedLogin] = []
    stage.publisher._on_publish = ended.extend
    with stage.database.begin() as connection:
        accounts.set_sharing(connection, account.id, Sharing.SHARED, "")
        phones.remove(connection, "lab")
        phones.rename(connection, "desk1", "desk2")
    stage.books()
    assert turns == [[Sharing.SHARED, "desk1", "hall", "lab"]] * 2
    assert sorted(stage.catalog.snapshot.logins) == ["desk2", "hall"]
    base = "ou=phones,dc=acme,dc=example"
    assert sorted(ended) == [(f"cn=desk1,{base}", f"cn=desk2,{base}"), (f"cn=lab,{base}", "")]


def test_where_nothing_differs_nothing_is_published(stage: Stage) -> None:
    """Values computed from the directories stay; logins are looked at all the same."""
    stage.connect(sharing=Sharing.SHARED)
    stage.sync()
    stage.books()
    before = stage.catalog.dit()
    stage.add_phone("hall")
    stage.books()
    assert stage.catalog.dit() is before
    assert stage.catalog.snapshot.logins.keys() == {"hall"}
    stage.world.add_person(ALICE, person("Ada Riese"))
    stage.sync()
    stage.books()
    assert stage.catalog.dit() is not before


def test_an_address_that_has_changed_hands(stage: Stage) -> None:
    """Google gives it to somebody else while the former owner is still connected: two books, two names."""
    found = {}
    for at, address in enumerate((ALICE, BOB, CAROL)):
        stage.world.add_person(address, person(f"Friend {at}"))
        found[address] = stage.connect(address, sharing=Sharing.SHARED)
        stage.sync(address)
    for address in (BOB, CAROL):
        renamed = update(tables.account).where(tables.account.c.id == found[address].id)
        stage.execute(renamed.values(address=ALICE.upper()))
    names = {ALICE: "Friend 0", f"{ALICE.upper()} (2)": "Friend 1", f"{ALICE.upper()} (3)": "Friend 2"}
    assert stage.books().keys() == names.keys()
    viewer = Viewer(access=(Access("acme", (found[BOB].sub,)),))
    for book, name in names.items():
        asked = SearchRequest(f"ou={book},dc=acme,dc=example", Scope.WHOLE_SUBTREE, Present("uid"))
        entries = [entry for entry in search(stage.catalog.dit(), viewer, asked) if entry is not None]
        assert [entry.attribute("cn") for entry in entries] == [(name.encode(),)]
    stage.database.run(revocations.disconnect_account, found[ALICE].id, NOW)
    assert stage.books().keys() == {ALICE.upper(), f"{ALICE.upper()} (2)"}


def test_books_stay_in_the_order_of_their_addresses(stage: Stage) -> None:
    """A changed book keeps its place; a renamed account, a new account and a returning account get their places."""

    def book_names() -> list[str]:
        result_of(stage.publisher.refresh())
        return [book.name for directory in stage.catalog.dit().directories for book in directory.books]

    alice, carol = stage.connect(ALICE), stage.connect(CAROL)
    assert book_names() == [ALICE, CAROL]
    stage.database.run(accounts.set_sharing, alice.id, Sharing.SHARED, "")
    assert book_names() == [ALICE, CAROL]
    stage.connect(BOB)
    assert book_names() == [ALICE, BOB, CAROL]
    stage.execute(update(tables.account).where(tables.account.c.id == alice.id).values(address="zoe@acme.example"))
    assert book_names() == [BOB, CAROL, "zoe@acme.example"]
    stage.database.run(accounts.disconnect, carol.id)
    assert book_names() == [BOB, "zoe@acme.example"]
    stage.connect(CAROL)
    assert book_names() == [BOB, CAROL, "zoe@acme.example"]


def test_who_is_gone_is_gone_before_books_are_built(stage: Stage) -> None:
    """A long build does not keep a removed phone or a disconnected account."""
    account = stage.connect(ALICE)
    stage.connect(BOB)
    stage.add_phone("Desk1", owner=ALICE)
    result_of(stage.publisher.refresh())
    stage.world.add_person(BOB, person("Ada Riese"))
    stage.sync(BOB)
    with stage.database.begin() as connection:
        phones.remove(connection, "Desk1")
        accounts.disconnect(connection, account.id)
    building = stage.hold(revise_books)
    refreshed = Deferred.fromCoroutine(stage.publisher.refresh())
    (directory,) = stage.catalog.dit().directories
    assert ([book.name for book in directory.books], stage.catalog.snapshot.logins) == ([BOB], {})
    (*_, (_, ended), last) = stage.published
    assert (ended, last) == ((("cn=Desk1,ou=phones,dc=acme,dc=example", ""),), (stage.catalog.dit(), ()))
    building.errback(ZeroDivisionError())
    assert refreshed.called


def test_a_book_that_is_built_while_a_directory_is_made_is_served(stage: Stage) -> None:
    """The directory has the former book, so the gateway makes the directory again."""
    account = stage.connect(ALICE)
    stage.connect(BOB)
    result_of(stage.publisher.refresh())
    stage.database.run(accounts.set_sharing, account.id, Sharing.SHARED, "")
    stage.world.add_person(BOB, person("Ada Riese"))
    stage.sync(BOB)
    thread: Deferred[None] = Deferred()
    stage.publisher._publish_off_thread = lambda make, *args, **kw: thread.addCallback(lambda _: make(*args, **kw))
    published = Deferred.fromCoroutine(stage.publisher.publish_accounts())
    result_of(stage.publisher.build())
    assert not published.called
    thread.callback(None)
    assert published.called
    (directory,) = stage.catalog.dit().directories
    found = [(book.name, book.sharing, len(book)) for book in directory.books]
    assert found == [(ALICE, Sharing.SHARED, 0), (BOB, Sharing.PRIVATE, 1)]


def test_many_shared_books_are_joined_after_the_start(stage: Stage) -> None:
    """At first each is looked at, so that phones do not have to wait."""
    for at in range(12):
        address = f"user{at}@acme.example"
        stage.world.add_account(address, "User", str(at), hd="acme.example")
        stage.world.add_person(address, person(f"Ada {at}"))
        stage.connect(address, sharing=Sharing.SHARED)
        stage.sync(address)
    for needs_merge in (True, False, False):
        result_of(stage.publisher.refresh())
        [directory] = stage.catalog.dit().directories
        assert directory.needs_merge is needs_merge
        assert sum(map(len, directory.shared_books[Sharing.SHARED].form(per_number=False))) == 12


def test_a_second_look_does_not_end_the_start(stage: Stage) -> None:
    """Nothing is complete before the first one has built all books."""
    stage.connect()
    building = stage.hold(build_books)
    looks = [Deferred.fromCoroutine(stage.publisher.refresh()) for _ in range(2)]
    assert not stage.catalog.snapshot.loaded
    building.callback(None)
    assert all(look.called for look in looks)
    assert stage.catalog.snapshot.loaded
    assert [book.name for book in stage.catalog.dit().directories[0].books] == [ALICE]


def test_how_long_a_change_waits_is_told(stage: Stage) -> None:
    """From when it is read until it is served; not what a start loads, nor what is gone meanwhile."""
    stage.seconds, lags = stage.clock.seconds, stage.lags
    alice, bob = stage.connect(), stage.connect(BOB)
    assert (len(stage.books()), stage.publisher.unserved, lags) == (2, 0, [])
    for account in (alice, bob):
        stage.database.run(accounts.set_sharing, account.id, Sharing.SHARED, "")
    result_of(stage.publisher.publish_accounts())
    assert (stage.publisher.unserved, lags) == (2, [])
    stage.clock.advance(2.0)
    stage.database.run(accounts.disconnect, bob.id)
    result_of(stage.publisher.publish_accounts())
    assert (stage.publisher.unserved, lags) == (1, [])
    stage.clock.advance(0.5)
    result_of(stage.publisher.build())
    assert (stage.publisher.unserved, lags) == (0, [2.5])
