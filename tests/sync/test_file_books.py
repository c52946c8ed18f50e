# SPDX-License-Identifier: MIT
"""Files as books: who sees them, when they are read again, and what is served while a file is broken."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred, succeed
from twisted.logger import LogEvent, formatEvent

from ldapgw.contact import Sharing
from ldapgw.directory.access import Access, ReplicaAccess, Viewer
from ldapgw.directory.dn import Dn
from ldapgw.directory.entry import Entry
from ldapgw.directory.filter import Equality, Filter, Present, Scope, SearchRequest
from ldapgw.directory.search import search
from ldapgw.errors import DirectoryError, ProcessLost
from ldapgw.files.reading import FileReport, Mark
from ldapgw.store.logins_file import SavedAccount, SavedLogin, SavedLogins
from ldapgw.store.phones import NumberMode
from ldapgw.sync.book_builder import (
    FileTask,
    build_cached_file_book,
    file_version,
    present_contacts,
    present_file_book,
)
from ldapgw.sync.book_cache import BookCache
from ldapgw.sync.file_books import CHECK_SECONDS, RETRY_SECONDS, FileBooks, may_replace, preview_replacement
from tests.support.results import result_of
from tests.support.stage.publishing import AT_ONCE
from tests.support.stage.sync import ALICE, BOB, CONTEXT, Stage, person

TWO = "name,extension\nJörg Müller,204\nAnna Schmidt,205\n"
EVERYBODY = Present("cn")
TO_204 = Equality("telephoneNumber", b"204")


class Files:
    """The files of a stage's gateway."""

    def __init__(self, stage: Stage, folder: Path) -> None:
        self.stage = stage
        self.folder = folder
        self.cache = BookCache(folder / "cache")
        self.tasks: list[FileTask] = []

    def add(self, name: str = "extensions", text: str = TWO, sharing: str = "shared", tenant: str = "acme") -> Path:
        path = self.folder / f"{tenant}-{name}.csv"
        path.write_text(text)
        context = self.stage.publisher._books.contexts[tenant]
        self.tasks.append(FileTask(context, name, path, Sharing(sharing)))
        return path

    def serve(self, **more: Any) -> FileBooks:
        """Start a gateway, and have it read the store."""
        books = self.start(**more)
        result_of(self.stage.publisher.refresh())
        return books

    def start(self, **more: Any) -> FileBooks:
        """Start a gateway: the files are loaded before the store is read."""
        books = FileBooks(
            clock=self.stage.clock,
            tasks=self.tasks,
            books=self.stage.publisher._books,
            publish=self.stage.publisher.publish_file_books,
            **{"look_off_thread": AT_ONCE, "run_off_thread": AT_ONCE, "cache": self.cache, **more},
        )
        result_of(books.load())
        return books


@pytest.fixture
def files(stage: Stage, tmp_path: Path) -> Files:
    return Files(stage, tmp_path)


def found(
    stage: Stage,
    wanted: Filter = EVERYBODY,
    book: str = "",
    tenant: str = "acme",
    base: str = "",
    **viewer: Any,
) -> list[str]:
    """Return the names that somebody's phone finds, of the books that are not of accounts."""
    seen = Viewer(access=(Access(tenant, (book,) if book else ()),), **viewer)
    request = SearchRequest(base or f"dc={tenant},dc=example", Scope.WHOLE_SUBTREE, wanted)
    entries = [entry for entry in search(stage.catalog.dit(), seen, request) if entry is not None]
    return [entry.attribute("cn")[0].decode() for entry in entries if entry.attribute("cn")]


def served(stage: Stage, name: str = "extensions", tenant: str = "acme") -> Sequence[Entry]:
    directory = stage.catalog.dit().directory(tenant)
    assert directory is not None
    [book] = [book for book in directory.books if book.name == name]
    return [entry for segment in book.segments.contacts for entry in segment]


def look_twice(books: FileBooks) -> None:
    """Let the gateway look at the files twice: the second look reads what has not changed since the first one."""
    for _ in range(2):
        result_of(books.check())


# --- who sees it ------------------------------------------------------------------------------------------------------


def test_another_tenant_does_not_see_it(tmp_path: Path) -> None:
    """Not even if both have a file of the same name; each sees its own."""
    stage = Stage(tenants=("acme", "globex"))
    files = Files(stage, tmp_path)
    files.add()
    files.add(text="name,extension\nZoë,204\n", tenant="globex")
    files.add("other", tenant="acme")
    files.serve()
    assert found(stage, TO_204, tenant="globex") == ["Zoë"]
    assert "Zoë" not in found(stage)
    with pytest.raises(DirectoryError):
        found(stage, tenant="globex", base="ou=other,dc=globex,dc=example")


BOTH = ["Anna Schmidt", "Jörg Müller"]


@pytest.mark.parametrize(
    ("sharing", "owner", "browsed", "called"),
    [
        ("shared", "", BOTH, ["Jörg Müller"]),
        ("shared", ALICE, BOTH, ["Jörg Müller"]),
        ("callers", "", [], ["Jörg Müller"]),
        ("callers", ALICE, [], ["Jörg Müller"]),
        ("group:sales", "", [], []),
        ("group:sales", ALICE, BOTH, ["Jörg Müller"]),
        ("group:sales", BOB, [], []),
    ],
)
def test_who_sees_a_file(
    stage: Stage, files: Files, sharing: str, owner: str, browsed: list[str], called: list[str]
) -> None:
    """A phone browses the book, or learns the name behind a whole number, or does not learn that there is a book."""
    books = stage.publisher._books
    books.contexts = {"acme": replace(CONTEXT, groups={"sales": frozenset({ALICE})})}  # type: ignore[misc]
    files.add(sharing=sharing)
    files.start()
    book = stage.connect(owner).sub if owner else ""
    result_of(stage.publisher.refresh())
    assert (found(stage, book=book), found(stage, TO_204, book)) == (browsed, called)
    assert found(stage, Equality("telephoneNumber", b"20"), book) == []
    base = "ou=extensions,dc=acme,dc=example"
    if browsed:
        assert found(stage, book=book, base=base) == browsed
        assert [entry.dn.partition(",")[2] for entry in served(stage)] == [base] * 2
    else:
        with pytest.raises(DirectoryError):
            found(stage, book=book, base=base)


@pytest.mark.parametrize(("order", "expected"), [(("extensions", "own"), "extensions"), (("own", "extensions"), ALICE)])
def test_the_order_of_books_knows_the_file(stage: Stage, files: Files, order: tuple[str, ...], expected: str) -> None:
    """A person in several books is found in the first of them."""
    books = stage.publisher._books
    books.contexts = {"acme": replace(CONTEXT, book_order=order)}  # type: ignore[misc]
    files.add()
    files.start()
    stage.world.add_person(ALICE, person("Jörg Müller", "204"))
    alice = stage.connect()
    stage.sync()
    result_of(stage.publisher.refresh())
    request = SearchRequest("dc=acme,dc=example", Scope.WHOLE_SUBTREE, TO_204)
    [entry] = search(stage.catalog.dit(), Viewer(access=(Access("acme", (alice.sub,)),)), request)
    assert entry is not None
    assert Dn.parse(entry.dn).rdns[1][0] == ("ou", expected)


@pytest.mark.parametrize(
    ("sharing", "public", "private"),
    [
        ("shared", [(True, "")], [(True, "shared")]),
        ("callers", [], [(True, "")]),
        ("group:sales", [], [(True, "group:sales")]),
    ],
)
def test_replicas(
    stage: Stage, files: Files, sharing: str, public: list[tuple[bool, str]], private: list[tuple[bool, str]]
) -> None:
    """A replica of shared books holds a shared file; a replica of all books holds every file, with its sharing."""
    files.add(sharing=sharing)
    files.serve()
    [book] = stage.catalog.dit().directories[0].books
    for is_private, expected in ((False, public), (True, private)):
        branches = ReplicaAccess("acme", private=is_private).branches_of(book)
        assert [(branch.has_contacts, branch.sharing) for branch in branches] == expected


def test_labels_are_branches(stage: Stage, files: Files) -> None:
    files.add(text="name,extension,label\nAnn,204,Sales;Berlin\nBo,205,Sales\n")
    files.serve()
    assert found(stage, base="ou=Sales,ou=extensions,dc=acme,dc=example") == ["Ann", "Bo"]
    assert found(stage, base="ou=Berlin,ou=extensions,dc=acme,dc=example") == ["Ann"]


def test_phones_that_show_one_number(stage: Stage, files: Files) -> None:
    """From the look after the first such phone on, there is an entry for each number, also after the next start."""
    files.add(text="name,extension,mobile\nAnn,204,0170 1234567\n")
    books = files.start()
    stage.add_phone("desk1", numbers=NumberMode.ENTRIES)
    result_of(stage.publisher.refresh())
    assert found(stage, per_number=True) == ["Ann"]
    result_of(books.check())
    assert found(stage, per_number=True) == ["Ann (mobile)", "Ann (work)"]
    again = files.start(run_off_thread=at_once_without("build_file_book"))
    result_of(again.check())
    assert found(stage, per_number=True) == ["Ann (mobile)", "Ann (work)"]


def at_once_without(name: str) -> Callable[..., Deferred[Any]]:
    """Return what calls functions at once, but not a certain one."""

    def call(function: Callable[..., Any], *args: Any) -> Deferred[Any]:
        if function.__name__ == name:
            pytest.fail(f"{name} was called")
        return succeed(function(*args))

    return call


# --- when it is read --------------------------------------------------------------------------------------------------


def test_a_changed_file_is_read_again(stage: Stage, files: Files, logged: list[LogEvent]) -> None:
    """As soon as nobody writes it any more; who stays keeps entryUUID and DN."""
    path = files.add()
    books = files.serve()
    before = {entry.attribute("cn")[0]: entry.attribute("entryUUID") for entry in served(stage)}
    books.startService()
    stage.clock.advance(CHECK_SECONDS)
    path.write_text("name,extension\nAnna Schmidt,205\nZoë")
    stage.clock.advance(CHECK_SECONDS)
    path.write_text("name,extension\nAnna Schmidt,205\nZoë,206\n")
    stage.clock.advance(CHECK_SECONDS)
    assert found(stage) == ["Anna Schmidt", "Jörg Müller"]
    stage.clock.advance(CHECK_SECONDS)
    assert found(stage) == ["Anna Schmidt", "Zoë"]
    after = {entry.attribute("cn")[0]: entry.attribute("entryUUID") for entry in served(stage)}
    assert after[b"Anna Schmidt"] == before[b"Anna Schmidt"]
    [line] = [formatEvent(event) for event in logged if event.get("event") == "file_read"]
    assert line == "tenant acme: the file extensions was read: 2 contacts"
    result_of(books.stopService())


def test_the_last_good_book_is_served_until_the_file_is_mended(
    stage: Stage, files: Files, logged: list[LogEvent]
) -> None:
    """The problem is logged once; the file is mended, or put back, or missing for a while."""
    path = files.add()
    books = files.serve()
    [status] = books.statuses("acme")
    assert (status.report.is_good, status.served, status.since) == (True, 2, None)
    path.write_text("name,extension\nGeheim,none\n")
    for _ in range(4):
        stage.clock.advance(1)
        result_of(books.check())
    [status] = books.statuses()
    assert (status.report.is_good, status.served, status.since) == (False, 2, stage.clock.seconds() - 2)
    path.write_text("name,extension\nGeheim,none\n")  # saved again, with the same problem
    look_twice(books)
    assert books.statuses()[0].since == status.since
    path.unlink()
    for _ in range(3):
        result_of(books.check())
    assert found(stage) == ["Anna Schmidt", "Jörg Müller"]
    assert [formatEvent(event) for event in logged if event.get("event") == "file_unfit"] == [
        f"tenant acme: the file extensions ({path}): {problem} Until the file is fixed, phones find the contacts that "
        "were read before."
        for problem in (
            "line 2: Column “extension”: expected a telephone number, such as 204 or +49 30 1234567.",
            "The file can’t be read: No such file or directory.",
        )
    ]
    path.write_text("name,extension\nZoë,206\n")
    look_twice(books)
    assert found(stage) == ["Zoë"]
    [status] = books.statuses("acme")
    assert (status.report.summary, status.served, status.since) == ("", 1, None)
    assert books.statuses("globex") == ()


def test_a_permission_is_a_change_too(stage: Stage, files: Files) -> None:
    """Its time of modification stays the same."""
    path = files.add()
    before = file_version(path)
    path.chmod(0o600)
    assert file_version(path) != before


def test_a_start_without_the_file(stage: Stage, files: Files, logged: list[LogEvent]) -> None:
    """Everything else is served; after a good start the last good book is served too."""
    path = files.add()
    other = files.add("other", text="name,extension\nZoë,206\n")
    path.unlink()
    files.start()
    stage.connect()
    assert stage.books().keys() == {ALICE, "other"}
    [line] = [formatEvent(event) for event in logged if event.get("event") == "file_unfit"]
    assert line.endswith("Until the file is fixed, phones find nobody in its book.")
    path.write_text(TWO)
    files.start()
    path.write_text("nothing")
    other.unlink()
    books = files.serve()
    assert found(stage) == ["Anna Schmidt", "Jörg Müller", "Zoë"]
    assert [(status.served, status.read_at, status.report.is_good) for status in books.statuses()] == [
        (2, None, False),
        (1, None, False),
    ]


def test_a_start_reads_no_file_that_has_not_changed(stage: Stage, files: Files, tmp_path: Path) -> None:
    """The book comes from the cache; the cached book of a file that is not configured any more is deleted."""
    files.add()
    files.add("other")
    files.start()
    (tmp_path / "cache" / "mine.csv").touch()
    del files.tasks[1]
    books = files.serve(run_off_thread=at_once_without("build_file_book"))
    assert found(stage) == ["Anna Schmidt", "Jörg Müller"]
    assert books.statuses()[0].report == FileReport(file_version(files.tasks[0].path), 2)
    kept = {file.name for file in (tmp_path / "cache").iterdir()}
    assert kept == {"file-acme.extensions.image", "mine.csv"}


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: path.mkdir(), "This isn’t a file."),
        (os.mkfifo, "This isn’t a file."),
        (lambda path: path.symlink_to("nowhere"), "The file can’t be read: No such file or directory."),
        (lambda path: path.symlink_to(path.name), "The file can’t be read: Too many levels of symbolic links."),
    ],
    ids=["folder", "pipe", "link", "loop"],
)
def test_what_is_no_file(stage: Stage, files: Files, make: Callable[[Path], object], reason: str) -> None:
    """A pipe does not make the gateway wait."""
    path = files.add()
    path.unlink()
    make(path)
    [status] = files.start().statuses()
    assert status.report.summary == reason
    assert preview_replacement(path, TWO.encode(), "DE").counts[Mark.NEW] == 2
    assert status.served is None


def test_a_fault_of_one_file_is_no_fault_of_the_others(
    stage: Stage, files: Files, logged: list[LogEvent], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is tried again after an hour, not at the next look."""
    files.add("broken")
    files.add("other")
    build = at_once_without("")

    def fail(function: Callable[..., Any], *args: Any) -> Deferred[Any]:
        if function.__name__ == "build_file_book" and args[0].name == "broken":
            raise ZeroDivisionError
        return build(function, *args)

    books = files.start(run_off_thread=fail)
    result_of(books.check())
    assert stage.books().keys() == {"other"}
    assert [(status.name, status.report.summary) for status in books.statuses()] == [
        ("broken", "The book of the file can’t be built. The gateway’s log has the error."),
        ("other", ""),
    ]
    failures = [event["log_failure"].type for event in logged if event.get("event") == "file_book_failed"]
    assert failures == [ZeroDivisionError]
    books._run_off_thread = build
    [since] = [status.since for status in books.statuses() if status.name == "broken"]
    stage.clock.advance(RETRY_SECONDS - 1)
    look_twice(books)
    assert (since, stage.books().keys()) == (stage.clock.seconds() - RETRY_SECONDS + 1, {"other"})
    stage.clock.advance(1)
    look_twice(books)
    assert stage.books().keys() == {"broken", "other"}
    assert [(status.report.summary, status.since) for status in books.statuses()] == [("", None), ("", None)]


# --- large files ------------------------------------------------------------------------------------------------------

LARGE = "name,extension\n" + "".join(f"Person {number:05},{number}\n" for number in range(10_000, 40_000))


def test_thirty_thousand_lines_are_read_in_another_process(stage: Stage, files: Files) -> None:
    """The gateway's own threads only load the finished book."""
    files.add(text=LARGE)
    asked: list[FileTask] = []

    def build(task: FileTask) -> Deferred[FileReport]:
        asked.append(task)
        return succeed(build_cached_file_book(files.folder / "cache", task))

    books = files.serve(build_in_process=build, run_off_thread=at_once_without("build_file_book"))
    assert asked == files.tasks
    [status] = books.statuses()
    assert status.served == len(LARGE.splitlines()) - 1
    assert found(stage, Equality("telephoneNumber", b"12345")) == ["Person 12345"]
    files.tasks[0].path.write_text(LARGE + "Ann,none\n" * 2)
    look_twice(books)
    assert books.statuses()[0].report.problem_count >= 1


def test_a_file_that_takes_too_much(stage: Stage, files: Files) -> None:
    """It is not read in the process that phones need, and is tried again hourly; the last good book stays."""
    files.add(text=TWO)
    tries: list[FileTask] = []

    def build(task: FileTask) -> Deferred[FileReport]:
        tries.append(task)
        raise ProcessLost("killed")

    books = files.start(build_in_process=build)
    files.tasks[0].path.write_text(LARGE)
    books._run_off_thread = at_once_without("build_file_book")
    for _ in range(2):
        look_twice(books)
    assert len(tries) == 1
    stage.clock.advance(RETRY_SECONDS)
    look_twice(books)
    assert len(tries) == 2
    [status] = books.statuses()
    assert status.report.summary == "The book of the file can’t be built. The gateway’s log has the error."
    assert (status.served, stage.books().keys()) == (2, {"extensions"})


# --- commands and uploads ---------------------------------------------------------------------------------------------


def test_what_commands_see(stage: Stage, files: Files) -> None:
    """The present file, or the last good book that the gateway serves."""
    path = files.add()
    [task] = files.tasks
    book = present_file_book(files.cache, task)
    assert book is not None
    assert len(book) == 2
    files.start()
    path.write_text("nothing")
    last_good = present_file_book(files.cache, task)
    assert last_good is not None
    assert len(last_good) == 2
    assert present_contacts(task) == ((), {})
    path.write_text("name,extension,label\nZoë,206,Sales\n")
    [zoe], labels = present_contacts(task)
    assert (zoe.name, list(labels.values())) == ("Zoë", ["Sales"])
    path.unlink()
    assert present_file_book(BookCache(files.folder / "none"), task) is None


def test_an_upload_replaces_the_file(stage: Stage, files: Files) -> None:
    """The former one is kept, links and modes stay, and phones find the new contacts at once."""
    path = files.add()
    real = path.rename(path.with_name("real.csv"))
    real.chmod(0o640)
    path.symlink_to(real)
    books = files.serve()
    version = file_version(path)
    new = "name,extension\nZoë,206\n".encode()
    assert result_of(books.replace_content("acme", "extensions", new, version))
    assert found(stage) == ["Zoë"]
    assert path.is_symlink()
    assert (real.read_bytes(), real.stat().st_mode & 0o777) == (new, 0o640)
    assert real.with_name("real.csv.bak").read_text() == TWO
    assert not result_of(books.replace_content("acme", "extensions", b"", version))
    assert real.read_bytes() == new
    real.unlink()
    assert result_of(books.replace_content("acme", "extensions", new, 0))
    assert real.read_bytes() == new


def test_where_hard_links_are_not_known(stage: Stage, files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    """The former file is copied."""
    path = files.add()
    books = files.start()

    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "link", refuse)
    assert result_of(books.replace_content("acme", "extensions", b"name,phone\nZ,206\n", file_version(path)))
    assert path.with_name(path.name + ".bak").read_text() == TWO
    assert may_replace(path)
    assert not may_replace(files.folder / "none" / "extensions.csv")


def test_a_start_without_the_database(stage: Stage, files: Files) -> None:
    """The file needs no database: it is served beside the cached books, with the former logins."""
    stage.connect()
    stage.add_phone("desk1", owner=ALICE)
    result_of(stage.publisher.refresh())
    accounts, _, logins = stage.publisher.saved_logins()
    saved = SavedLogins(tuple(map(SavedAccount.of, accounts)), (), tuple(map(SavedLogin.of, logins)))
    stage.publisher._books.clear()
    files.add()
    books = files.start()
    result_of(stage.publisher.load_saved(saved))
    assert found(stage) == ["Anna Schmidt", "Jörg Müller"]
    files.tasks[0].path.write_text("name,extension\nZoë,206\n")
    look_twice(books)
    assert found(stage) == ["Zoë"]
    assert stage.publisher.expire()
    files.tasks[0].path.write_text(TWO)
    look_twice(books)
    assert stage.catalog.dit().directories == ()
    result_of(stage.publisher.refresh())
    assert found(stage) == ["Anna Schmidt", "Jörg Müller"]
