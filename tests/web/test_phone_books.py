# SPDX-License-Identifier: MIT
"""XML phone books and the contact feed over HTTP have the contacts that a phone may read."""

from __future__ import annotations

import gzip
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode
from xml.etree import ElementTree

import pytest

from ldapgw.contact import Kind, Sharing
from ldapgw.directory.access import Access, Viewer
from ldapgw.directory.book import update_book, with_sharing
from ldapgw.directory.catalog import PhoneAccess
from ldapgw.directory.entry import number_formatter
from ldapgw.directory.filter import SearchKind
from ldapgw.numbers.phone_number import NumberFormat
from ldapgw.phones.activity import decode_search
from ldapgw.phones.book_reader import BookReader, ListSearch
from ldapgw.phones.contact_list import ListedContact, ListQuery
from ldapgw.web.book_clients import BookKey, KeptBook, KeptBooks, WrittenBook
from tests.support.stage.book_clients import LABELS, SECRET, Pbx, basic, bearer, login, person, publish, serve
from tests.support.stage.web import URL, Browser, Seen, Stage

VENDORS = ["yealink", "snom", "grandstream", "fanvil", "cisco", "gigaset"]
SECRET_PATH = f"/acme/book/pbx.{SECRET}/yealink.xml"
FEED, SECRET_FEED = "/acme/book/contacts.json", f"/acme/book/pbx.{SECRET}/contacts.json"


@pytest.fixture
def stage() -> Stage:
    return serve()


def names(answer: Seen) -> list[str]:
    """Return the names of the entries in a book for Yealink, Fanvil or Cisco."""
    assert answer.status == 200, answer
    root = ElementTree.fromstring(answer.body)
    return [entry.findtext("Name", "") for entry in root.findall("DirectoryEntry")]


def read(browser: Browser, vendor: str = "yealink", login: dict[str, str] | None = None, **asked: str) -> Seen:
    query = f"?{urlencode(asked)}" if asked else ""
    return browser.get(f"/acme/book/{vendor}.xml{query}", basic() if login is None else login)


@pytest.mark.parametrize("vendor", VENDORS)
def test_each_vendor(browser: Browser, vendor: str) -> None:
    """A login and a secret read the book, by GET and POST, without private books and books for callers."""
    for path, headers in ((f"/acme/book/{vendor}.xml", basic()), (f"/acme/book/pbx.{SECRET}/{vendor}.xml", {})):
        for answer in (browser.get(path + "?q=b", headers), browser.post(path, {"q": "b"}, headers)):
            assert (answer.status, answer.headers["content-type"]) == (200, ["text/xml; charset=utf-8"])
            shown = [text in answer.body for text in ("+49301234567", "+49307654321", "Carl", "Dora")]
            assert shown == [True, True, False, False]


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({}, ["Anna Berg", "Bob Bauer"]),
        ({"book": "own"}, ["Anna Berg"]),
        ({"book": "directory"}, []),
        ({"letter": "b"}, ["Bob Bauer"]),
        ({"first": "1"}, ["Bob Bauer"]),
        ({"count": "1"}, ["Anna Berg"]),
        ({"q": "0301234"}, ["Anna Berg"]),
    ],
    ids=str,
)
def test_the_order_and_the_parts(browser: Browser, asked: dict[str, str], found: list[str]) -> None:
    """A phone book and the feed have the same contacts in the same order, for the whole list and for its parts."""
    feed = contacts(browser.get(f"{FEED}?{urlencode(asked)}", basic()))
    assert (names(read(browser, **asked)), [contact["name"] for contact in feed]) == (found, found)


@pytest.mark.parametrize("text", ["S%C3%B6h", "S%F6h"], ids=["UTF-8", "ISO 8859-1"])
def test_the_encodings_of_a_search(browser: Browser, text: str) -> None:
    """Old phones send their searches in ISO 8859-1."""
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    asked = f"q={text}&name=%FC"
    assert names(browser.get(f"/acme/book/yealink.xml?{asked}", basic())) == ["Anna Berg"]
    assert names(browser.send("/acme/book/yealink.xml", asked.encode(), form | basic())) == ["Anna Berg"]


def test_a_phone_without_an_account(browser: Browser) -> None:
    assert names(read(browser, login=basic("hall"))) == ["Bob Bauer"]
    assert names(read(browser, login=basic("hall"), book="own")) == []


def test_the_parts_of_a_list_on_a_gigaset(stage: Stage, browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    """A base station learns with each part how many contacts there are in all.

    The reader goes on behind the part that was read before, unless the directory has changed meanwhile.
    """
    before: list[ListSearch | None] = []
    read_contacts = BookReader.contacts

    def contacts(self: BookReader, *args: Any, **kw: Any) -> AsyncIterator[list[ListedContact]]:
        before.append(kw["before"])
        return read_contacts(self, *args, **kw)

    monkeypatch.setattr(BookReader, "contacts", contacts)
    parts = []
    for first in ("1", "2", "3", "1"):
        listed = ElementTree.fromstring(read(browser, "gigaset", first=first, count="1").body)
        parts.append((listed.get("first"), listed.get("last"), listed.get("total")))
    assert parts[:2] == [("1", "1", "2"), ("2", "2", "2")]
    assert [search and (search.found, search.total) for search in before] == [None, (1, 2), (1, 2)]
    publish(stage)
    read(browser, "gigaset", first="2", count="1")
    assert before[3:] == [None]


def test_the_menu_of_cisco(browser: Browser) -> None:
    """The links of the menu have the same secret and the public address."""
    menu = ElementTree.fromstring(browser.get(f"/acme/book/pbx.{SECRET}/cisco.xml").body)
    links = [item.findtext("URL", "") for item in menu.findall("MenuItem")]
    assert all(link.startswith(f"{URL}/acme/book/pbx.{SECRET}/cisco.xml?") for link in links)
    assert names(browser.get(links[1].removeprefix(URL))) == ["Anna Berg (work)", "Anna Berg (mobile)", "Bob Bauer"]


def test_grandstreams_file(browser: Browser) -> None:
    """Grandstream's phones ask for this name."""
    assert read(browser, "phonebook").body == read(browser, "grandstream").body


@pytest.mark.parametrize("path", ["/acme/book/nobody.xml", f"/acme/book/pbx.{SECRET}/nobody.xml", "/acme/book/snom"])
def test_no_such_book(browser: Browser, path: str) -> None:
    assert browser.get(path, basic()).status == 404


def test_a_secret_leaves_no_trace(browser: Browser, logged: list[object]) -> None:
    """The secret is in no log, no cache and no referrer."""
    answer = browser.get(SECRET_PATH)
    assert (answer.headers["cache-control"], answer.headers["referrer-policy"]) == (["no-store"], ["no-referrer"])
    browser.get(SECRET_PATH.replace("yealink", "nobody"))
    assert SECRET not in str(logged)


# --- transport -------------------------------------------------------------------------------------------------------


def test_a_book_that_has_not_changed(browser: Browser) -> None:
    """An unchanged book is not sent again, also if the client sends its tag in another form."""
    first = read(browser)
    [etag] = first.headers["etag"]
    for tag in (etag, etag.removeprefix("W/"), f'"x", {etag}'):
        again = browser.get("/acme/book/yealink.xml", basic() | {"If-None-Match": tag})
        assert (again.status, again.body, again.headers["etag"]) == (304, "", [etag])
    other = browser.get("/acme/book/yealink.xml?q=bob", basic() | {"If-None-Match": etag})
    assert names(other) == ["Bob Bauer"]


@pytest.mark.parametrize("path", ["/acme/book/yealink.xml", FEED])
@pytest.mark.parametrize(
    ("accepted", "packed"), [("gzip", True), ("deflate, gzip;q=0.5", True), ("gzip;q=0", False), ("deflate", False)]
)
def test_gzip(stage: Stage, reads: list[ListQuery], path: str, accepted: str, packed: bool) -> None:
    """A book is compressed for clients that accept gzip; the gateway keeps both forms of a book."""
    phone = Pbx(stage)
    for _ in range(2):
        for encoding, is_packed in ((accepted, packed), ("identity", False)):
            head, _, body = phone.get(path, basic() | {"Accept-Encoding": encoding}).partition(b"\r\n\r\n")
            assert (b"\r\nContent-Encoding: gzip" in head) is is_packed
            assert b"\r\nVary: Accept-Encoding" in head
            assert b"Anna Berg" in (gzip.decompress(body) if is_packed else body)
    assert len(reads) == 1 + packed


def test_the_search_is_on_the_phones_page(stage: Stage, browser: Browser) -> None:
    read(browser, q="bob")
    base = stage.watch.base_dn("acme")
    [found] = map(decode_search, stage.watch.search_log.searches_of(f"cn=pbx,ou=phones,{base}"))
    assert found.request is not None
    assert (found.search.entries, found.request.size_limit, found.request.base) == (1, 5000, base)


# --- books that are kept ---------------------------------------------------------------------------------------------


def another_login(stage: Stage, name: str, **viewer: Any) -> PhoneAccess:
    """Return a further login of Alice's, with the given changes to its view."""
    made = login(name, "acme", stage.catalog.snapshot.dit.directories[0].context.base, "a")
    return replace(made, viewer=made.viewer._replace(**viewer))


def searches(stage: Stage, name: str) -> list[int]:
    """Return the number of contacts that each search of a login has found."""
    of_login = stage.watch.search_log.searches_of(f"cn={name},ou=phones,{stage.watch.base_dn('acme')}")
    return [search.entries for search in of_login]


def test_an_unchanged_book_is_read_once(stage: Stage, browser: Browser, reads: list[ListQuery]) -> None:
    """Phones with the same access get the kept book, by each way; each phone's page has its searches."""
    publish(stage, desk=another_login(stage, "desk"))
    first = read(browser, "snom", q="b")
    same = [
        read(browser, "snom", q="b"),
        read(browser, "snom", login=basic("desk"), q="b"),
        browser.post("/acme/book/snom.xml", {"query": "b*"}, basic()),
        browser.get(f"/acme/book/pbx.{SECRET}/snom.xml?q=b"),
    ]
    assert [(answer.status, answer.body, answer.headers["etag"]) for answer in same] == [
        (200, first.body, first.headers["etag"])
    ] * 4
    [etag] = first.headers["etag"]
    unchanged = browser.get("/acme/book/snom.xml?q=b", basic() | {"If-None-Match": etag})
    assert (unchanged.status, unchanged.body, len(reads)) == (304, "", 1)
    assert (searches(stage, "pbx"), searches(stage, "desk")) == ([2] * 5, [2])


def test_books_that_differ(stage: Stage, browser: Browser, reads: list[ListQuery]) -> None:
    """Another access, query, vendor, number format or site gets a book of its own."""
    dials = number_formatter(NumberFormat.NATIONAL, stage.catalog.snapshot.dit.directories[0].context)
    publish(
        stage,
        dials=another_login(stage, "dials", number_formatter=dials),
        berlin=another_login(stage, "berlin", area_code="30"),
        each=another_login(stage, "each", per_number=True),
    )
    for _ in range(2):
        assert names(read(browser)) == names(read(browser, "fanvil")) == ["Anna Berg", "Bob Bauer"]
        assert names(read(browser, login=basic("hall"))) == ["Bob Bauer"]
        assert names(read(browser, book="own")) == names(read(browser, count="1")) == ["Anna Berg"]
        of_logins = [read(browser, login=basic(name)) for name in ("dials", "pbx", "berlin", "each")]
        assert ["030 1234567" in answer.body for answer in of_logins] == [True, False, False, False]
    assert len(reads) == 8


def test_links_are_the_phones_own(stage: Stage, browser: Browser, reads: list[ListQuery]) -> None:
    """Each phone gets links with its own secret; a link asks for the same part of the book as the phone."""
    context = stage.catalog.snapshot.dit.directories[0].context
    berta = person("a2", "Berta Berg", (Kind.WORK, "030 1234568"))
    publish(stage, lambda book: update_book(book, context, [berta], (), LABELS) if book.key == "a" else book)
    for _ in range(2):
        for path, asked in (("", ""), (f"pbx.{SECRET}/", ""), ("", "&book=own")):
            url = f"{URL}/acme/book/{path}cisco.xml?{asked[1:]}{'&' if asked else ''}"
            page = ElementTree.fromstring(browser.get(f"/acme/book/{path}cisco.xml?count=1{asked}&q=b", basic()).body)
            links = [item.findtext("URL", "") for item in page.findall("SoftKeyItem")]
            assert [link for link in links if link.startswith("http")] == [f"{url}q=b&first=1"]
    assert len(reads) == 3


def test_a_changed_book(stage: Stage, browser: Browser, reads: list[ListQuery]) -> None:
    """The book is read anew after each publication."""
    context = stage.catalog.snapshot.dit.directories[0].context
    eve = person("b2", "Eve Ender", (Kind.WORK, "030 7654322"))
    assert names(read(browser)) == ["Anna Berg", "Bob Bauer"]
    publish(stage, lambda book: update_book(book, context, [eve], (), LABELS) or book if book.key == "b" else book)
    assert names(read(browser)) == ["Anna Berg", "Bob Bauer", "Eve Ender"]
    publish(stage, lambda book: with_sharing(book, Sharing.PRIVATE, "") if book.key == "b" else book)
    assert names(read(browser)) == names(read(browser)) == ["Anna Berg"]
    assert len(reads) == 3


@pytest.mark.parametrize(("vendor", "asked"), [("gigaset", {"hm": "01717654321"}), ("yealink", {"q": "01717654321"})])
def test_whole_numbers_are_read_each_time(
    browser: Browser, reads: list[ListQuery], vendor: str, asked: dict[str, str]
) -> None:
    """A search for a whole number draws on the budget for callers' names, so its answer is not kept."""
    for _ in range(2):
        assert "Carl Cäsar" in read(browser, vendor, None, **asked).body
    assert len(reads) == 2


@pytest.mark.parametrize(
    ("path", "asked"),
    [("caller", {"number": "12345"}), ("book/gigaset.xml", {"hm": "12345"}), ("book/yealink.xml", {"q": "12345"})],
)
def test_the_area_code_of_a_phone(stage: Stage, browser: Browser, path: str, asked: dict[str, str]) -> None:
    """A phone with its own area code finds the numbers of its area without the area code; no other phone does so."""
    context = stage.catalog.snapshot.dit.directories[0].context
    hans = person("a2", "Hans Hof", (Kind.WORK, "07741 12345"))
    publish(
        stage,
        lambda book: (book.key == "a" and update_book(book, context, [hans], (), LABELS)) or book,
        branch=another_login(stage, "branch", area_code="7741"),
    )
    seen = {name: browser.get(f"/acme/{path}?{urlencode(asked)}", basic(name)).body for name in ("pbx", "branch")}
    assert [name for name, body in seen.items() if "Hof" in body] == ["branch"]


# --- the contact feed -------------------------------------------------------------------------------------------------

ANNA = {
    "name": "Anna Berg", "displayName": "Anna Berg", "fname": "Anna", "lname": "Berg", "company": "Berg & Söhne",
    "numbers": [{"number": "+49301234567", "kind": "work"}, {"number": "+491711234567", "kind": "mobile"}],
    "label": "Suppliers", "book": "alice@acme.example",
    "contactEntries": [
        {"entryId": "tel:0", "type": "tel", "label": "work", "uri": "+49301234567"},
        {"entryId": "tel:1", "type": "tel", "label": "mobile", "uri": "+491711234567"},
    ],
}  # fmt: skip
BOB = {
    "name": "Bob Bauer", "displayName": "Bob Bauer", "fname": "Bob", "lname": "Bauer", "company": "Bauer AG",
    "numbers": [{"number": "+49307654321", "kind": "home"}],
    "label": "Friends", "book": "bob@acme.example",
    "contactEntries": [{"entryId": "tel:0", "type": "tel", "label": "home", "uri": "+49307654321"}],
}  # fmt: skip


def contacts(answer: Seen) -> list[dict[str, Any]]:
    """Return the contacts of a feed without their ids, which have to differ."""
    assert (answer.status, answer.headers["content-type"]) == (200, ["application/json"]), answer
    found: list[dict[str, Any]] = json.loads(answer.body)["contacts"]
    assert len({contact.pop("contactId") for contact in found}) == len(found)
    return found


def fed(browser: Browser, login: str = "pbx") -> list[str]:
    """Return the names in the feed of a login."""
    return [contact["name"] for contact in contacts(browser.get(FEED, basic(login)))]


def test_the_fields_of_the_feed(browser: Browser, reads: list[ListQuery]) -> None:
    """Each way of asking gets the same feed, which is read once, without private books and books for callers."""
    answers = [browser.get(FEED, login) for login in (basic(), bearer())]
    answers += [browser.post(FEED, {}, basic()), browser.get(SECRET_FEED), browser.post(SECRET_FEED, {})]
    assert ([contacts(answer) for answer in answers], len(reads)) == ([[ANNA, BOB]] * 5, 1)


def test_the_parts_of_the_feed(browser: Browser) -> None:
    """A phone without an account reads the shared contacts, and another tenant's phone reads that tenant's feed."""
    assert fed(browser, login="hall") == ["Bob Bauer"]
    [other] = contacts(browser.get("/globex/book/contacts.json", basic("other.pbx")))
    assert other["name"] == "Dora Dorn"


def test_an_id_in_the_feed_stays(browser: Browser) -> None:
    """A contact has the same id in the feeds of all phones."""
    feeds = [json.loads(browser.get(FEED, basic(name)).body)["contacts"] for name in ("pbx", "hall")]
    ids = [{contact["name"]: contact["contactId"] for contact in feed} for feed in feeds]
    assert ids[1] == {"Bob Bauer": ids[0]["Bob Bauer"]}


def test_a_revoked_phone(stage: Stage, browser: Browser) -> None:
    """The login and the secret of a revoked phone get no feed, although the feed is kept for other phones."""
    assert fed(browser) == ["Anna Berg", "Bob Bauer"]
    snapshot = stage.catalog.snapshot
    left = {name: login for name, login in snapshot.logins.items() if name != "pbx"}
    stage.catalog.publish(replace(snapshot, logins=left), ())
    for path, headers, status in ((FEED, basic(), 401), (SECRET_FEED, {}, 404)):
        phone = Pbx(stage)
        answer = phone.get(path, headers) or phone.wait(8.0)
        assert answer.startswith(f"HTTP/1.1 {status} ".encode())


def test_the_feed_without_a_book_that_has_become_private(stage: Stage, browser: Browser) -> None:
    """An unchanged feed is answered by its ETag; after a change of sharing the feed is read anew."""
    [etag] = browser.get(FEED, basic()).headers["etag"]
    assert browser.get(SECRET_FEED, {"If-None-Match": etag}).status == 304
    publish(stage, lambda book: with_sharing(book, Sharing.PRIVATE, "") if book.key == "b" else book)
    [anna] = contacts(browser.get(FEED, basic() | {"If-None-Match": etag}))
    assert (anna["name"], fed(browser, login="hall")) == ("Anna Berg", [])


# --- kept books as a class --------------------------------------------------------------------------------------------

EDITION = object()


def key_of(number: int, tenant: str = "acme") -> BookKey:
    return BookKey(Viewer(access=(Access(tenant),)), "snom", ListQuery(first=number), "", takes_gzip=False)


def book_of(octets: int, edition: object = EDITION) -> KeptBook:
    return KeptBook(WrittenBook(b"x" * octets, '"x"'), ListSearch(edition, b"", 0, SearchKind.LIST))


def kept(books: KeptBooks, keys: list[BookKey], edition: object = EDITION) -> list[bool]:
    return [books.find(key, edition) is not None for key in keys]


def test_the_books_sent_last_are_kept() -> None:
    """The newest books are kept while there is room.

    A short book takes some room too, and a very long one is not kept.
    """
    books, keys = KeptBooks(max_octets=20_000, max_book=15_000), [*map(key_of, range(9))]
    assert kept(books, keys[:1]) == [False]
    for key in keys[:3]:
        books.keep(key, book_of(6_000))
    assert kept(books, [keys[1], keys[0]]) == [True, True]
    books.keep(keys[3], book_of(6_000))
    assert kept(books, keys[:4]) == [True, True, False, True]
    for _ in range(3):
        books.keep(keys[3], book_of(6_000))
    books.keep(keys[4], book_of(15_001))
    assert kept(books, keys[:5]) == [True, True, False, True, False]
    books.keep(keys[4], book_of(15_000))
    assert kept(books, keys[:5]) == [False] * 4 + [True]
    for key in keys[:6]:
        books.keep(key, book_of(1))
    assert kept(books, keys[:6]) == [False, False, True, True, True, True]


def test_no_book_outlives_its_directory() -> None:
    """A new directory ends the tenant's kept books, also books that are read late; another tenant's books stay."""
    books, keys = KeptBooks(), [*map(key_of, range(3))]
    other, later = key_of(0, "globex"), object()
    assert kept(books, [keys[0], other]) == [False, False]
    for key in (*keys[:2], other):
        books.keep(key, book_of(1))
    assert kept(books, keys[2:], later) == [False]
    books.keep(keys[0], book_of(1))
    assert kept(books, keys, later) == [False] * 3
    books.keep(keys[0], book_of(1, later))
    assert kept(books, keys, later) == [True, False, False]
    assert kept(books, [*keys, other]) == [False, False, False, True]


def test_the_part_before_another() -> None:
    """The kept part before is found only if it is as long as the client asked; a shorter part is the last part."""
    books, parts = KeptBooks(), [key_of(0)._replace(query=ListQuery(first=first, count=5)) for first in (0, 5, 10)]
    assert kept(books, parts) == [False] * 3
    for part, found in zip(parts, (5, 4), strict=False):
        books.keep(part, KeptBook(WrittenBook(b"x", ""), ListSearch(EDITION, b"", found, SearchKind.LIST)))
    searches = [books.before(part) for part in parts]
    assert [search and search.found for search in searches] == [None, 5, None]
