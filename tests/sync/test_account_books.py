# SPDX-License-Identifier: MIT
"""Books from the cache at a start, saved for the next one, and deleted with their accounts."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update
from twisted.internet.defer import Deferred, DeferredLock, execute

from ldapgw.contact import Contact, Sharing, Source
from ldapgw.directory import inet_org_person
from ldapgw.directory.book import DIRECTORY, build_book, write_book
from ldapgw.directory.dedup import SameName
from ldapgw.errors import ProcessLost
from ldapgw.store import accounts, contacts, revocations, sync_state, tables
from ldapgw.store.changes import NO_HISTORY
from ldapgw.store.contacts import KEPT_GENERATIONS
from ldapgw.sync.book_builder import BuildTask, build_books, free_slowly, revise_books
from ldapgw.sync.book_cache import BookCache, BuiltBook, cache_name
from tests.support.results import result_of
from tests.support.stage.publishing import empty_catalog, make_publisher
from tests.support.stage.sync import ALICE, ALL_SOURCES, BOB, CONTEXT, NOW, Stage, person

PEOPLE = [Contact("c0", name="Ada")]
BOOK = build_book(CONTEXT, "0", ALICE, Sharing.PRIVATE, PEOPLE, {}, per_number=False)
BUILT = BuiltBook(NO_HISTORY, 7, (CONTEXT, 1, "0", ALICE, False), BOOK)


class Site:
    """A gateway with a state_dir, which is started again and again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.stage = Stage(sources=ALL_SOURCES)
        self.called: list[Any] = []
        self.on_books_thread: Callable[..., Any] = execute
        self.build_meanwhile: Callable[..., AbstractContextManager[None]] | None = None

    def start(self) -> list[str]:
        """Start a gateway, and return the names of its calls that build and save books."""
        stage = self.stage

        def run(function: Any, *args: Any, **kw: Any) -> Any:
            self.called.append(function)
            return self.on_books_thread(function, *args, **kw)

        def apart(*args: Any) -> Any:
            self.called.append(self.build_apart)
            return execute(self.build_apart, *args)

        stage.catalog = empty_catalog(stage.clock.seconds)
        stage.publisher = make_publisher(
            store=stage.store,
            catalog=stage.catalog,
            contexts={"acme": CONTEXT},
            run_off_thread=run,
            cache=BookCache(self.folder),
            build_in_process=apart,
            build_meanwhile=self.build_meanwhile,
        )
        return self.refresh()

    def build_apart(self, *args: Any) -> None:
        """Fail: these tests start no process for this."""
        raise AssertionError

    def fill_cache(self, tasks: Sequence[BuildTask]) -> None:
        """Build books into the cache, as another process does."""
        for task in tasks:
            [stored] = self.stage.database.run(contacts.read, [task.account.id])
            for book in build_books(task.context, task.account, stored.contacts, stored.labels, *task.forms):
                name = cache_name(task.account.id, directory=book.key == DIRECTORY)
                BookCache(self.folder).save(name, task.built(book))

    def refresh(self) -> list[str]:
        self.called.clear()
        result_of(self.stage.publisher.refresh())
        kinds = {build_books: "build", revise_books: "revise"}
        return [kinds.get(one, getattr(one, "__name__", "")) for one in self.called]

    def files(self) -> list[str]:
        return sorted(file.name for file in self.folder.iterdir())


@pytest.fixture
def site(tmp_path: Path) -> Site:
    site = Site(tmp_path / "images")
    for name in ("Ada Riese", "Bo Weg"):
        site.stage.world.add_person(ALICE, person(name))
    site.stage.world.add_person(ALICE, person("Dora Dienst"), "directory")
    site.stage.connect()
    site.stage.sync()
    assert site.start() == ["prune", "load_book", "load_book", "build"]
    # Phones do not wait for the disk.
    assert site.refresh() == ["save", "save"]
    return site


def test_a_start_reads_books(site: Site) -> None:
    """Nothing is built; the next refresh does not read them again."""
    assert site.start() == ["prune", "load_book", "load_book"]
    assert site.stage.served() == ["Ada Riese", "Bo Weg"]
    assert site.stage.served("directory") == ["Dora Dienst"]
    assert site.refresh() == []


def test_what_changed_since_is_built_into_them(site: Site) -> None:
    """A gateway that ran meanwhile and a new gateway both revise the book; not each revision is saved."""
    site.stage.world.add_person(ALICE, person("Cem Ak"))
    site.stage.sync()
    assert site.refresh() == ["revise", "Directory", "free_slowly"]
    assert site.start() == ["prune", "load_book", "load_book", "revise"]
    assert site.stage.served() == ["Ada Riese", "Bo Weg", "Cem Ak"]


def test_no_value_of_a_contact_is_cached_after_a_build(site: Site) -> None:
    """The contact may be deleted later."""
    site.stage.world.add_person(ALICE, person("Cem Ak"))
    site.stage.sync()
    assert "revise" in site.refresh()
    assert inet_org_person._cached_pack.cache_info().currsize == 0


def test_an_image_that_grows_old_is_written_anew(site: Site) -> None:
    """Before nobody knows any more what has changed since."""
    account = site.stage.account(ALICE)
    saved = 0
    for at in range(2 * KEPT_GENERATIONS):
        with site.stage.database.begin() as connection:
            contacts.apply_changes(connection, account.id, Source.CONTACTS, (), [f"nobody{at}"])
            sync_state.increment_generation(connection, account.id)
        saved += site.refresh().count("save")
    assert saved == 2 * 3
    assert "build" not in site.start()


def test_an_image_is_written_anew_before_too_much_has_changed(site: Site) -> None:
    """So much that the next start would rather build the book."""
    saved = []
    for at in range(3):
        for one in range(33):
            site.stage.world.add_person(ALICE, person(f"Neu {at} {one}"))
        site.stage.sync()
        saved.append(site.refresh().count("save"))
    assert saved == [0, 2, 0]
    assert "build" not in site.start()


def test_an_image_that_nobody_can_bring_up_to_date(site: Site) -> None:
    """The book is built of the stored contacts, and written down."""
    account = site.stage.account(ALICE)
    with site.stage.database.begin() as connection:
        contacts.delete_sources(connection, account.id, [Source.CONTACTS])
        sync_state.increment_generation(connection, account.id)
    assert site.start() == ["prune", "load_book", "load_book", "build"]
    assert site.refresh() == ["save", "save"]
    assert site.stage.served() == []


def test_a_database_of_an_earlier_time(site: Site) -> None:
    """An image that is ahead of it does not count."""
    account = site.stage.account(ALICE)
    with site.stage.database.begin() as connection:
        connection.exec_driver_sql("UPDATE account SET generation = generation - 1, known_since = 0")
    assert account.generation > 1
    assert "build" in site.start()


def test_images_go_with_their_accounts(site: Site) -> None:
    """As soon as it is known, and at the start; so does that of a directory which another one brings now."""
    assert site.files() == ["1-directory.image", "1.image"]
    site.stage.connect(BOB)
    site.stage.sync(BOB)
    site.refresh()
    assert site.files() == ["1-directory.image", "1.image", "2.image"]
    for address, left in ((ALICE, ["2-directory.image", "2.image"]), (BOB, [])):
        site.stage.database.run(revocations.disconnect_account, site.stage.account(address).id, NOW)
        site.start()
        site.refresh()
        assert site.files() == left


def disconnect(site: Site) -> None:
    site.stage.database.run(revocations.disconnect_account, site.stage.account(ALICE).id, NOW)


def test_images_go_while_a_book_is_being_built(site: Site) -> None:
    """A build may take longer than the two seconds after which no file of the account is left."""
    thread = DeferredLock()
    result_of(thread.acquire())
    site.on_books_thread = thread.run
    disconnect(site)
    refreshed = Deferred.fromCoroutine(site.stage.publisher.refresh())
    assert (site.files(), refreshed.called) == ([], False)
    thread.release()
    assert (site.files(), refreshed.called) == ([], True)


@pytest.mark.parametrize("when", ["before", "meanwhile"])
def test_an_account_that_goes_while_its_images_are_written(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog_twisted: list[str], when: str
) -> None:
    """None of them stays, and there is nothing to complain about."""
    for file in site.folder.iterdir():
        file.unlink()
    site.start()
    events = [disconnect, lambda site: result_of(site.stage.publisher.refresh())]

    def go() -> None:
        while events:
            events.pop(0)(site)

    def run(function: Any, *args: Any, **kw: Any) -> Any:
        if function.__name__ == "save":
            go()
        return execute(function, *args, **kw)

    if when == "before":
        site.on_books_thread = run
    else:
        monkeypatch.setattr("ldapgw.sync.book_cache.write_book", lambda *args: (write_book(*args), go()))
    site.refresh()
    assert (site.files(), events, caplog_twisted) == ([], [], [])


def test_the_image_of_a_directory_goes_with_its_source(site: Site) -> None:
    """The account's own stays."""
    account_id = site.stage.account(ALICE).id
    with site.stage.database.begin() as connection:
        states = {Source.DIRECTORY: accounts.SourceState.NOT_GRANTED}
        sync_state.write_source_states(connection, account_id, states)
    site.refresh()
    assert site.files() == ["1.image"]


def test_the_image_of_a_directory_that_comes_back_stays(site: Site) -> None:
    """The account had no directory only between two builds."""
    account_id = site.stage.account(ALICE).id
    for state in (accounts.SourceState.NOT_GRANTED, accounts.SourceState.ON):
        site.stage.database.run(sync_state.write_source_states, account_id, {Source.DIRECTORY: state})
        result_of(site.stage.publisher.publish_accounts())
    assert "build" not in site.refresh()
    assert site.files() == ["1-directory.image", "1.image"]


@pytest.fixture
def large(site: Site, monkeypatch: pytest.MonkeyPatch) -> Site:
    """One whose books are large, and are to be built anew."""
    monkeypatch.setattr("ldapgw.sync.account_books.MIN_PROCESS_CONTACTS", 1)
    account = site.stage.account(ALICE)
    with site.stage.database.begin() as connection:
        connection.exec_driver_sql("UPDATE account SET generation = generation + 1, known_since = generation + 1")
    assert account.generation > 1
    return site


def test_large_books_are_built_by_another_process(large: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """And read as at a start."""
    monkeypatch.setattr(large, "build_apart", large.fill_cache)
    assert large.start() == ["prune", "load_book", "load_book", "fill_cache", "load_book", "load_book"]
    assert large.stage.served() == ["Ada Riese", "Bo Weg"]


def test_another_process_helps_a_start_that_builds_many_books(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The gateway builds the first books, and reads the books that the process has built meanwhile from the cache.

    A gateway that serves phones gets no help.
    """
    for name in ("_MIN_HELPED", "ACCOUNTS_AT_ONCE"):
        monkeypatch.setattr(f"ldapgw.sync.account_books.{name}", 1)
    for address, name in ((BOB, "Cem Ak"), ("carol@gmail.example", "Eva Tal")):
        site.stage.connect(address)
        site.stage.world.add_person(address, person(name))
        site.stage.sync(address)
    for file in site.folder.iterdir():
        file.unlink()
    helped: list[object] = []

    @contextmanager
    def help_meanwhile(tasks: Sequence[BuildTask]) -> Iterator[None]:
        helped.append([task.account.address for task in tasks])
        site.fill_cache(tasks[:1])
        yield
        helped.append("end")

    site.build_meanwhile = help_meanwhile
    of_alice, of_bob, of_carol = ["load_book", "load_book", "build"], ["load_book", "build"], ["load_book"]
    assert site.start() == ["prune", *of_alice, *of_bob, *of_carol]
    assert helped == [["carol@gmail.example", BOB], "end"]
    served = [site.stage.served(address) for address in (ALICE, BOB, "carol@gmail.example")]
    assert served == [["Ada Riese", "Bo Weg"], ["Cem Ak"], ["Eva Tal"]]
    helped.clear()
    site.stage.execute(update(tables.account).values(known_since=tables.account.c.generation + 1))
    site.stage.execute(update(tables.account).values(generation=tables.account.c.generation + 1))
    assert site.refresh().count("build") == 3
    assert helped == []


def dies(*_: Any) -> None:
    raise ProcessLost("the process has ended")


@pytest.mark.parametrize("ends", [lambda: None, dies], ids=["ends", "dies"])
def test_an_account_that_goes_while_its_book_is_built(
    large: Site, monkeypatch: pytest.MonkeyPatch, ends: Callable[[], None]
) -> None:
    """Its images were written behind its end, and do not stay, even when the process dies afterwards."""
    account = large.stage.account(ALICE)

    def built(*_: Any) -> None:
        large.stage.database.run(revocations.disconnect_account, account.id, NOW)
        result_of(large.stage.publisher.publish_accounts())
        BookCache(large.folder).save("1", BUILT)
        ends()

    monkeypatch.setattr(large, "build_apart", built)
    large.start()
    assert large.files() == []
    assert large.stage.catalog.dit().directories[0].books == ()


def idles(*_: Any) -> None:
    """There are no images, or older ones."""


@pytest.mark.parametrize(
    ("work", "said"),
    [(dies, ["the process that builds the book of account 1 has ended unexpectedly"]), (idles, [])],
    ids=["dies", "nothing"],
)
def test_what_no_process_can_do_is_done_here(
    large: Site, monkeypatch: pytest.MonkeyPatch, caplog_twisted: list[str], work: Any, said: list[str]
) -> None:
    """Phones are served all the same."""
    monkeypatch.setattr(large, "build_apart", work)
    found = large.start()
    assert (found[:4], found[-1]) == (["prune", "load_book", "load_book", work.__name__], "build")
    assert large.refresh() == ["save", "save"]
    assert large.stage.served() == ["Ada Riese", "Bo Weg"]
    assert caplog_twisted == said


def test_books_are_let_go() -> None:
    """All of their entries; whoever looks at one keeps that."""
    people = [Contact(f"c{at}", name=f"Person {at}", labels=("g",)) for at in range(1200)]
    book = build_book(CONTEXT, "0", "a", Sharing.PRIVATE, people, {"g": "Label"}, per_number=True)
    [segment] = book.segments.contacts
    books = [book]
    entry = segment.entries[7]
    SameName(()).add(entry)
    del book, segment
    free_slowly(books)
    assert books == []
    # As many as an object that nothing else refers to, which is another number from Python 3.14 on.
    alone = object()
    assert sys.getrefcount(entry) == sys.getrefcount(alone)
