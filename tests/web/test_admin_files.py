# SPDX-License-Identifier: MIT
"""The administration's pages show problems of files of contacts, and replace a file with an uploaded file."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ldapgw.contact import Sharing
from ldapgw.directory.naming_context import NamingContext
from ldapgw.store import activity
from ldapgw.sync.book_builder import FileTask, file_version
from ldapgw.sync.book_cache import BookCache
from ldapgw.sync.file_books import FileBooks, preview_replacement
from ldapgw.web.dependencies import FileDependencies
from tests.support.results import result_of
from tests.support.stage.book_clients import basic, login
from tests.support.stage.publishing import AT_ONCE, make_publisher
from tests.support.stage.sync import CONTEXT
from tests.support.stage.web import ACME, GLOBEX, Browser, Seen, Stage, by_link, words_on

TWO = "name,extension,label\nJörg Müller,204,Sales\nAnna Schmidt,205,\n"
NEXT = "name;extension;label\nJörg Müller;204;Berlin\nZoë;206;\n"


class Files:
    """The real service reads the files of a tenant."""

    def __init__(self, stage: Stage, folder: Path, sharing: str = "group:sales", text: str = TWO) -> None:
        contexts: dict[str, NamingContext] = {"acme": CONTEXT}
        self.publisher = publisher = make_publisher(store=stage.store, catalog=stage.catalog, contexts=contexts)
        (folder / "files").mkdir()
        self.path = folder / "files" / "extensions.csv"
        self.path.write_text(text)
        task = FileTask(CONTEXT, "extensions", self.path, Sharing(sharing))
        self.service = FileBooks(
            clock=stage.clock,
            tasks=[task],
            books=publisher._books,
            publish=publisher.refresh,
            look_off_thread=AT_ONCE,
            run_off_thread=AT_ONCE,
            cache=BookCache(folder / "cache"),
        )
        result_of(self.service.load())

        async def preview(_tenant: str, _name: str, octets: bytes) -> Any:
            return preview_replacement(self.path, octets, "DE")

        stage.files = FileDependencies(self.service.statuses, preview, self.service.replace_content)

    def change(self, text: str) -> None:
        self.path.write_text(text)
        for _ in range(2):
            result_of(self.service.check())


@pytest.fixture
def stage() -> Stage:
    return Stage(tenants=(replace(ACME, has_files=True), GLOBEX))


@pytest.fixture
def files(stage: Stage, tmp_path: Path) -> Files:
    return Files(stage, tmp_path)


@pytest.fixture
def admin(files: Files, stage: Stage) -> Browser:
    return by_link(stage)


def upload(browser: Browser, octets: bytes, path: str = "/acme/admin/files/extensions") -> Seen:
    return browser.send_file(path, octets)


def confirm(browser: Browser, page: Seen) -> Seen:
    """Send the form of a preview."""
    names = ("version", "text")
    found = {name: re.search(rf'name="{name}" value="([^"]*)"', page.body) for name in names}
    fields = {name: match[1].replace("&#34;", '"').encode() for name, match in found.items() if match}
    return send(browser, "/acme/admin/files/extensions/replace", fields)


def send(browser: Browser, path: str, fields: dict[str, bytes]) -> Seen:
    """Send a form as browsers send a form with a file."""
    body = b""
    for name, value in {"token": browser.get("/acme/privacy").token.encode(), **fields}.items():
        body += f'--x\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'.encode() + value + b"\r\n"
    return browser.send(path, body + b"--x--\r\n", {"Content-Type": "multipart/form-data; boundary=x"})


def test_the_page_shows_each_file(admin: Browser, files: Files) -> None:
    """The page says who finds the file's contacts, how many contacts there are, and where the file is."""
    words = words_on(admin.get("/acme/admin/files"))
    assert f"extensions Contacts 2 File {files.path} Last read" in words
    assert "Only the phones of the group “sales” find these contacts." in words
    assert '<a href="/acme/admin/files">' in admin.get("/acme/admin").body


def test_a_tenant_without_files(stage: Stage) -> None:
    """Without files the administration does not link to the page; the page says that no file is configured."""
    stage.tenants = (ACME,)
    admin = by_link(stage)
    assert "admin/files" not in admin.get("/acme/admin").body
    assert "No file is configured." in admin.get("/acme/admin/files").body
    assert admin.get("/acme/admin/files/extensions").status == 404


def test_problems_are_shown_by_line(admin: Browser, files: Files) -> None:
    """Both the page and the administration's first page show the problems until the file is mended."""
    assert "has problems" not in admin.get("/acme/admin").body
    files.change("name,extension\n" + "Geheim,none\n" * 30)
    overview = words_on(admin.get("/acme/admin"))
    assert "The file “extensions” has problems. Phones find the contacts that were read before." in overview
    words = words_on(admin.get("/acme/admin/files"))
    assert "Phones find the contacts that were read before. Since" in words
    assert "Line 2: Column “extension”: expected a telephone number" in words
    assert "10 more lines have a problem." in words
    files.change(TWO)
    assert "has problems" not in admin.get("/acme/admin").body


def test_a_file_that_was_never_good(stage: Stage, tmp_path: Path) -> None:
    """Both pages say that phones find none of its contacts."""
    Files(stage, tmp_path, text="name,extension\nGeheim,none\n")
    admin = by_link(stage)
    overview, page = (words_on(admin.get(path)) for path in ("/acme/admin", "/acme/admin/files"))
    assert "The file “extensions” has problems. Phones find none of its contacts." in overview
    assert "Phones find none of its contacts." in page


def test_a_preview_changes_nothing(admin: Browser, files: Files) -> None:
    """The preview shows new, changed and gone contacts and the ignored columns, and leaves the file as it was."""
    seen = upload(admin, ("Shoe size;" + NEXT.replace("\n", "\n;")).encode("utf-16"))
    assert seen.status == 200
    words = words_on(seen)
    assert "Nothing has been changed yet. New: 1 · changed: 1 · gone: 1 · the same: 0" in words
    assert "Ignored columns: Shoe size" in words
    assert "3 Zoë 206 – new 2 Jörg Müller 204 Berlin changed – Anna Schmidt 205 – gone" in words
    assert files.path.read_text() == TWO


def test_an_upload_replaces_the_file(stage: Stage, admin: Browser, files: Files) -> None:
    """The new file replaces the old file, whose copy stays beside the new file.

    Phones find the new contacts at once.
    """
    done = confirm(admin, upload(admin, NEXT.encode("cp1252")))
    assert (done.status, done.location) == (303, "/acme/admin/files")
    assert "The file is replaced." in admin.get(done.location).body
    assert files.path.read_bytes() == b"\xef\xbb\xbf" + NEXT.encode()
    assert files.path.with_name("extensions.csv.bak").read_text() == TWO
    directory = stage.catalog.dit().directory("acme")
    assert directory is not None
    assert [len(book) for book in directory.books] == [2]
    entry = stage.do(activity.read_page, "acme").entries[0]
    assert (entry.act, entry.subject) == ("file_replaced", "extensions")
    card = "BEGIN:VCARD\r\nVERSION:3.0\r\nFN:Ann\r\nTEL:204\r\nEND:VCARD\r\n"
    confirm(admin, upload(admin, card.encode()))
    assert files.path.read_bytes() == card.encode()


def test_a_bad_line_cannot_be_uploaded(admin: Browser, files: Files) -> None:
    """The preview has no button, and a made-up form changes nothing either."""
    seen = upload(admin, b"name,extension\nAnn,none\nBo,205\n")
    assert (seen.status, "/replace" in seen.body) == (400, False)
    words = words_on(seen)
    assert "1 line has an error. Fix the file and upload it again. Nothing was changed." in words
    assert "✗ Line 2: Column “extension”: expected a telephone number" in words
    version = str(file_version(files.path)).encode()
    fields = {"version": version, "text": b"name,extension\nAnn,none\n"}
    assert send(admin, "/acme/admin/files/extensions/replace", fields).status == 400
    assert files.path.read_text() == TWO


def test_a_file_that_has_changed_meanwhile(admin: Browser, files: Files) -> None:
    """The gateway does not overwrite another person's change before the administrator has seen a new preview."""
    preview = upload(admin, NEXT.encode())
    files.change(TWO + "Bo,207,\n")
    seen = confirm(admin, preview)
    assert "The file has changed since you opened the preview." in words_on(seen)
    assert files.path.read_text().endswith("Bo,207,\n")
    assert confirm(admin, seen).status == 303


def test_no_permission(admin: Browser, files: Files) -> None:
    """The page says that the gateway may not write to the file, before and after the attempt."""
    told = f"The gateway isn’t allowed to write to {files.path}. Copy the file there yourself, or give the gateway’s"
    preview = upload(admin, NEXT.encode())
    files.path.with_name("extensions.csv.new").mkdir()  # the gateway writes to this name first
    seen = confirm(admin, preview)
    assert (seen.status, told in words_on(seen)) == (400, True)
    assert files.path.read_text() == TWO
    files.path.parent.rename(files.path.parent.with_name("away"))
    seen = upload(admin, NEXT.encode())
    assert (seen.status, told in words_on(seen), "/replace" in seen.body) == (200, True, False)


def test_what_cannot_be_uploaded(admin: Browser) -> None:
    assert "Choose a file first." in upload(admin, b"").body
    # The file has 60,000 octets, but a browser sends the ends of lines as two octets each.
    large = upload(admin, b"name,extension\n" + b"Ann,204\n" * 7500)
    assert "The file is too large for this page." in words_on(large)
    assert upload(admin, NEXT.encode(), "/acme/admin/files/other").status == 404


@pytest.mark.parametrize(
    ("sharing", "listed", "called"), [("shared", True, True), ("callers", False, True), ("group:sales", False, False)]
)
def test_pages_and_pbxs_find_its_contacts(
    stage: Stage, tmp_path: Path, sharing: str, *, listed: bool, called: bool
) -> None:
    """The page, XML phone books and searches by number find the file's contacts as the sharing allows."""
    files = Files(stage, tmp_path, sharing)
    alice = stage.visitor()
    result_of(files.publisher.refresh())
    hall = {"hall": login("hall", "acme", CONTEXT.base, "")}
    stage.catalog.publish(replace(stage.catalog.snapshot, logins=hall), ())
    assert ("Jörg Müller" in alice.get("/acme/contacts").body) == listed
    assert ("Jörg Müller" in alice.get("/acme/book/yealink.xml", basic("hall")).body) == listed
    caller = alice.get("/acme/caller?number=204", basic("hall"))
    assert (caller.status, caller.body.strip()) == ((200, "Jörg Müller") if called else (404, caller.body.strip()))
