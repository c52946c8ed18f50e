# SPDX-License-Identifier: MIT
"""The contact feed over HTTP: its fields, who may read which contacts, and how it is sent."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from typing import Any

import pytest

from ldapgw.contact import Sharing
from ldapgw.directory.book import with_sharing
from ldapgw.directory.dit import Directory, Dit
from ldapgw.ldap.admission import FIRST_DELAY
from ldapgw.phones.book_reader import ListQuery
from tests.support.stage.book_clients import SECRET, Pbx, basic, bearer, serve
from tests.support.stage.web import ACME, GLOBEX, Browser, Seen, Stage

PATH = "/acme/book/contacts.json"
SECRET_PATH = f"/acme/book/pbx.{SECRET}/contacts.json"

ANNA = {
    "name": "Anna Berg",
    "company": "Berg & Söhne",
    "numbers": [{"number": "+49301234567", "kind": "work"}, {"number": "+491711234567", "kind": "mobile"}],
    "label": "Suppliers",
    "book": "alice@acme.example",
    "displayName": "Anna Berg",
    "fname": "Anna",
    "lname": "Berg",
    "contactEntries": [
        {"entryId": "tel:0", "type": "tel", "label": "work", "uri": "+49301234567"},
        {"entryId": "tel:1", "type": "tel", "label": "mobile", "uri": "+491711234567"},
    ],
}
BOB = {
    "name": "Bob Bauer",
    "company": "Bauer AG",
    "numbers": [{"number": "+49307654321", "kind": "home"}],
    "label": "Friends",
    "book": "bob@acme.example",
    "displayName": "Bob Bauer",
    "fname": "Bob",
    "lname": "Bauer",
    "contactEntries": [{"entryId": "tel:0", "type": "tel", "label": "home", "uri": "+49307654321"}],
}


@pytest.fixture
def stage() -> Stage:
    made = Stage(tenants=(ACME, GLOBEX))
    serve(made)
    return made


def contacts(answer: Seen) -> list[dict[str, Any]]:
    """The contacts of a feed, without their ids, which have to differ."""
    assert (answer.status, answer.headers["content-type"]) == (200, ["application/json"]), answer
    found: list[dict[str, Any]] = json.loads(answer.body)["contacts"]
    assert len({contact.pop("contactId") for contact in found}) == len(found)
    return found


def names(answer: Seen) -> list[str]:
    return [contact["name"] for contact in contacts(answer)]


def test_the_fields(browser: Browser) -> None:
    """By login, by secret and by POST; the contacts of a book for callers and of a private one are not in the feed."""
    answers = [
        browser.get(PATH, basic()),
        browser.get(PATH, bearer()),
        browser.post(PATH, {}, basic()),
        browser.get(SECRET_PATH),
        browser.post(SECRET_PATH, {}),
    ]
    assert [contacts(answer) for answer in answers] == [[ANNA, BOB]] * 5


def test_the_parts(browser: Browser) -> None:
    """A client may ask for less, and a search for a whole number finds nobody of a book for callers."""
    assert names(browser.get(f"{PATH}?q=b", basic())) == ["Anna Berg", "Bob Bauer"]
    assert names(browser.get(f"{PATH}?book=own", basic())) == ["Anna Berg"]
    assert names(browser.get(f"{PATH}?count=1", basic())) == ["Anna Berg"]
    assert names(browser.get(f"{PATH}?first=1", basic())) == ["Bob Bauer"]
    assert names(browser.get(f"{PATH}?letter=z", basic())) == []


def test_an_id_stays(stage: Stage, browser: Browser) -> None:
    """It is the same for another phone, whatever else the phone sees."""
    ids = [
        {
            contact["name"]: contact["contactId"]
            for contact in json.loads(browser.get(PATH, basic(name)).body)["contacts"]
        }
        for name in ("pbx", "hall")
    ]
    assert ids[1] == {"Bob Bauer": ids[0]["Bob Bauer"]}


def test_two_owners(browser: Browser) -> None:
    """A phone without an account reads what is shared; another tenant's phone reads that tenant's feed alone."""
    assert names(browser.get(PATH, basic("hall"))) == ["Bob Bauer"]
    assert names(browser.get("/globex/book/contacts.json", basic("other.pbx"))) == ["Dora Dorn"]


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        (PATH, basic("pbx", "wrong"), 401),
        (PATH, basic("other.pbx"), 401),
        ("/globex/book/contacts.json", basic(), 401),
        (PATH, bearer("pbx", SECRET), 401),
        (f"/acme/book/pbx.{SECRET[:-1]}0/contacts.json", {}, 404),
        (f"/globex/book/pbx.{SECRET}/contacts.json", {}, 404),
        (f"/acme/book/other.pbx.{SECRET}/contacts.json", {}, 404),
    ],
)
def test_guesses(stage: Stage, path: str, headers: dict[str, str], status: int) -> None:
    phone = Pbx(stage)
    assert phone.get(path, headers) == b""
    answer = phone.wait(FIRST_DELAY)
    assert answer.startswith(f"HTTP/1.1 {status} ".encode())
    assert b"Anna" not in answer


def test_without_a_login(browser: Browser) -> None:
    answer = browser.get(PATH)
    assert (answer.status, "www-authenticate" in answer.headers) == (401, True)


def test_a_revoked_phone(stage: Stage, browser: Browser) -> None:
    """Neither its login nor its secret reads on, although the feed is kept for others."""
    assert names(browser.get(SECRET_PATH)) == ["Anna Berg", "Bob Bauer"]
    snapshot = stage.catalog.snapshot
    left = {name: login for name, login in snapshot.logins.items() if name != "pbx"}
    stage.catalog.publish(replace(snapshot, logins=left), ())
    for path, headers, status in ((PATH, basic(), 401), (SECRET_PATH, {}, 404)):
        phone = Pbx(stage)
        answer = phone.get(path, headers) or phone.wait(8.0)
        assert answer.startswith(f"HTTP/1.1 {status} ".encode())


def test_a_book_that_is_private_now(stage: Stage, browser: Browser) -> None:
    [etag] = browser.get(PATH, basic()).headers["etag"]
    snapshot = stage.catalog.snapshot
    acme, other = snapshot.dit.directories
    books = tuple(with_sharing(book, Sharing.PRIVATE, "") if book.key == "b" else book for book in acme.books)
    dit = Dit((Directory(acme.context, books), other), snapshot.dit.features)
    stage.catalog.publish(replace(snapshot, dit=dit), ())
    answer = browser.get(PATH, basic() | {"If-None-Match": etag})
    assert (names(answer), names(browser.get(PATH, basic("hall")))) == (["Anna Berg"], [])


def test_in_clear(stage: Stage) -> None:
    for path in (PATH, SECRET_PATH):
        assert Pbx(stage, "192.0.2.1").get(path, basic()).startswith(b"HTTP/1.1 403")


def test_an_unchanged_feed_is_read_once(browser: Browser, reads: list[ListQuery]) -> None:
    first = browser.get(PATH, basic())
    again = browser.get(SECRET_PATH, {"If-None-Match": first.headers["etag"][0]})
    assert (again.status, again.body, len(reads)) == (304, "", 1)


def test_gzip(stage: Stage) -> None:
    head, _, body = Pbx(stage).get(PATH, basic() | {"Accept-Encoding": "gzip"}).partition(b"\r\n\r\n")
    assert b"\r\nContent-Encoding: gzip" in head
    assert [contact["name"] for contact in json.loads(gzip.decompress(body))["contacts"]] == ["Anna Berg", "Bob Bauer"]
