# SPDX-License-Identifier: MIT
"""CardDAV over HTTP shows address books as their sharing allows, tells of changes, and refuses bad requests."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any
from xml.etree import ElementTree

import pytest
import vobject
from twisted.internet.defer import Deferred, maybeDeferred, succeed

from ldapgw.contact import Contact, Kind, Sharing
from ldapgw.directory.access import Access, Viewer
from ldapgw.directory.book import DIRECTORY, Book, build_book, update_book, with_sharing
from ldapgw.directory.dit import Directory, Dit
from ldapgw.directory.entry import number_formatter
from ldapgw.numbers.phone_number import NumberFormat
from ldapgw.phones.activity import decode_search
from ldapgw.phones.carddav.books import AddressBook, AddressBookNames, BookVersions, address_books
from ldapgw.phones.carddav.requests import DavRefusal
from ldapgw.web.http import STALLED_SECONDS
from ldapgw.web.site import MAX_LARGE_BODIES
from tests.support import work
from tests.support.phonebook import naming_context
from tests.support.phonebook.trees import dit_of
from tests.support.photo import jpeg
from tests.support.results import result_of
from tests.support.stage.book_clients import ANNA, BOB, LABELS, Pbx, basic, login, person, publish, serve
from tests.support.stage.web import ACME, GLOBEX, URL, Browser, Connection, Recorder, Seen, Stage, request_of

D, C, CS = "{DAV:}", "{urn:ietf:params:xml:ns:carddav}", "{http://calendarserver.org/ns/}"
HOME = "/acme/dav/"
SPACES = 'xmlns:D="DAV:" xmlns:C="urn:ietf:params:xml:ns:carddav" xmlns:CS="http://calendarserver.org/ns/"'


@pytest.fixture
def stage() -> Stage:
    return serve()


def propfind(*names: str) -> bytes:
    return f"<D:propfind {SPACES}><D:prop>{''.join(f'<{name}/>' for name in names)}</D:prop></D:propfind>".encode()


def ask(
    browser: Browser,
    method: str,
    path: str,
    body: bytes = b"",
    *,
    depth: str = "0",
    as_: Mapping[str, str] | None = None,
    **headers: str,
) -> Seen:
    sent = {**(basic() if as_ is None else as_), "Depth": depth, "Content-Type": "application/xml"}
    return browser.ask(method, path, sent | headers, body)


def responses(answer: Seen) -> dict[str, ElementTree.Element]:
    assert (answer.status, answer.headers["content-type"]) == (207, ["application/xml; charset=utf-8"]), answer
    found = ElementTree.fromstring(answer.body).findall(f"{D}response")
    return {element.findtext(f"{D}href", ""): element for element in found}


def properties(response: ElementTree.Element, status: str = "200 OK") -> dict[str, ElementTree.Element]:
    """Return the properties that have a status."""
    return {
        element.tag: element
        for stat in response.findall(f"{D}propstat")
        if stat.findtext(f"{D}status") == f"HTTP/1.1 {status}"
        for element in stat.findall(f"{D}prop/*")
    }


def read(browser: Browser, path: str, asked: bytes, **more: Any) -> ElementTree.Element:
    """Return the only response to a PROPFIND."""
    [response] = responses(ask(browser, "PROPFIND", path, asked, **more)).values()
    return response


def texts(answer: Seen, name: str) -> dict[str, str]:
    """Return a property of each resource."""
    found = {href: properties(response).get(name) for href, response in responses(answer).items()}
    return {href: element.text or "" for href, element in found.items() if element is not None}


def books(browser: Browser, as_: Mapping[str, str] | None = None, home: str = HOME) -> dict[str, str]:
    """Return the paths of the address books by their titles."""
    answer = ask(browser, "PROPFIND", home, propfind("D:displayname", "D:resourcetype"), depth="1", as_=as_)
    return {
        properties(response)[f"{D}displayname"].text or "": href
        for href, response in responses(answer).items()
        if properties(response)[f"{D}resourcetype"].find(f"{C}addressbook") is not None
    }


def own_book(browser: Browser) -> str:
    return books(browser)["alice@acme.example"]


def report(browser: Browser, body: bytes) -> Seen:
    """Send a report on Alice's own book."""
    return ask(browser, "REPORT", own_book(browser), body)


def card_of(browser: Browser, name: str = "pbx") -> Any:
    """Return Anna's vCard as a login reads it."""
    return vobject.readOne(browser.get(f"{own_book(browser)}a1.vcf", basic(name)).body)


def multiget(*hrefs: str, data: str = "<C:address-data/>") -> bytes:
    wanted = "".join(f"<D:href>{href}</D:href>" for href in hrefs)
    return (
        f"<C:addressbook-multiget {SPACES}><D:prop><D:getetag/>{data}</D:prop>{wanted}</C:addressbook-multiget>"
    ).encode()


def query(filters: str | None, test: str = "anyof", limit: int = 0) -> bytes:
    """Return a query with conditions; None: the query has no filter."""
    limited = f"<C:limit><C:nresults>{limit}</C:nresults></C:limit>" if limit else ""
    filtered = "" if filters is None else f'<C:filter test="{test}">{filters}</C:filter>'
    return (
        f"<C:addressbook-query {SPACES}><D:prop><C:address-data/></D:prop>{filtered}{limited}</C:addressbook-query>"
    ).encode()


def matches(name: str, text: str, kind: str = "contains", more: str = "") -> str:
    return (
        f'<C:prop-filter name="{name}"><C:text-match collation="i;unicode-casemap" match-type="{kind}"{more}>'
        f"{text}</C:text-match></C:prop-filter>"
    )


def on_tel(*conditions: str, test: str = "anyof") -> str:
    """Return a filter with conditions on telephone numbers."""
    return f'<C:prop-filter name="TEL" test="{test}">{"".join(conditions)}</C:prop-filter>'


def parameter(name: str, text: str) -> str:
    """Return a condition on a parameter."""
    return f'<C:param-filter name="{name}"><C:text-match>{text}</C:text-match></C:param-filter>'


def of_kind(kind: str, number: str, test: str) -> str:
    """Return a filter with two conditions on numbers: the parameter TYPE, and the text."""
    return on_tel(f"<C:text-match>{number}</C:text-match>", parameter("TYPE", kind), test=test)


def sync(token: str = "", limit: int = 0) -> bytes:
    limited = f"<D:limit><D:nresults>{limit}</D:nresults></D:limit>" if limit else ""
    return (
        f"<D:sync-collection {SPACES}><D:sync-token>{token}</D:sync-token><D:sync-level>1</D:sync-level>{limited}"
        f"<D:prop><D:getetag/></D:prop></D:sync-collection>"
    ).encode()


def token_of(answer: Seen) -> str:
    token = ElementTree.fromstring(answer.body).findtext(f"{D}sync-token")
    assert token
    return token


def statuses(answer: Seen) -> dict[str, str]:
    """Return the status of each response, which is the status of the resource itself or of its properties."""
    return {
        href.rpartition("/")[2]: (
            response.findtext(f"{D}status") or response.findtext(f"{D}propstat/{D}status") or ""
        ).removeprefix("HTTP/1.1 ")
        for href, response in responses(answer).items()
    }


def cards(answer: Seen) -> dict[str, Any]:
    """Return the vCards of an answer by the names of their contacts."""
    read = [vobject.readOne(text) for text in texts(answer, f"{C}address-data").values()]
    return {card.fn.value: card for card in read}


def condition(answer: Seen) -> str:
    """Return the precondition that a request violated."""
    [element] = ElementTree.fromstring(answer.body)
    return element.tag


# --- the way to the books -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "name", "found"),
    [
        # As RFC 6352 7 says, a client finds the principal and the home of its address books.
        (HOME, "D:current-user-principal", HOME),
        (HOME, "C:addressbook-home-set", HOME),
        (HOME, "D:resourcetype", "collection principal"),
        ("{book}", "D:supported-report-set", "addressbook-multiget addressbook-query sync-collection"),
        # The login may only read.
        ("{book}", "D:current-user-privilege-set", "read read-current-user-privilege-set"),
        ("{book}", "D:owner", HOME),
        ("{book}", "C:supported-address-data", "3.0 4.0"),
        ("{book}", "D:quota-used-bytes", None),
        # A card is no collection, and has no time if the gateway knows none.
        ("{book}a1.vcf", "D:resourcetype", ""),
        ("{book}a1.vcf", "D:getcontenttype", "text/vcard; charset=utf-8"),
        ("{book}a1.vcf", "D:getlastmodified", None),
    ],
)
def test_a_property(browser: Browser, path: str, name: str, found: str | None) -> None:
    """A property has a text or elements; if a resource has no such property, the status says so."""
    response = read(browser, path.format(book=own_book(browser)), propfind(name))
    [element] = properties(response, "404 Not Found" if found is None else "200 OK").values()
    inner = [each for each in element.iterfind(".//*") if not len(each)]
    words = [each.text or each.get("version") or each.tag.rpartition("}")[2] for each in inner]
    assert (" ".join(words) or element.text or "") == (found or "")


def test_a_path_without_its_slash(browser: Browser) -> None:
    """Some clients cut the slash off, so both paths have the same answer."""
    book = own_book(browser)
    for path in (HOME, book):
        answers = [ask(browser, "PROPFIND", each, propfind("D:displayname")) for each in (path, path[:-1])]
        assert answers[0].body == answers[1].body
        assert [answer.status for answer in answers] == [207, 207]


def test_properties_that_nobody_knows(browser: Browser) -> None:
    """The answer names unknown properties as not found, or leaves them out if the client prefers so."""
    asked = (
        b'<propfind xmlns="DAV:"><prop><displayname/><x:y xmlns:x="urn:a&amp;&quot;b"/><z xmlns=""/></prop></propfind>'
    )
    assert list(properties(read(browser, HOME, asked), "404 Not Found")) == ['{urn:a&"b}y', "z"]
    answer = ask(browser, "PROPFIND", HOME, asked, Prefer="return=minimal")
    [response] = responses(answer).values()
    assert (list(properties(response)), properties(response, "404 Not Found")) == ([f"{D}displayname"], {})
    assert answer.headers["preference-applied"] == ["return=minimal"]


def test_all_properties_and_their_names(browser: Browser) -> None:
    """A request without a body gets the usual properties."""
    book = own_book(browser)
    usual = {f"{D}{name}" for name in ("resourcetype", "displayname", "current-user-principal")}
    for body in (b"", f"<D:propfind {SPACES}><D:allprop/></D:propfind>".encode()):
        assert properties(read(browser, book, body)).keys() == usual
    included = f"<D:propfind {SPACES}><D:allprop/><D:include><D:owner/></D:include></D:propfind>".encode()
    assert properties(read(browser, book, included)).keys() == usual | {f"{D}owner"}
    named = properties(read(browser, book, f"<D:propfind {SPACES}><D:propname/></D:propfind>".encode()))
    assert named.keys() > usual | {f"{D}sync-token", f"{C}max-resource-size"}
    assert not any(element.text or len(element) for element in named.values())


def test_the_well_known_address(browser: Browser) -> None:
    """With several tenants the address leads to the entrance (RFC 6764).

    The entrance asks for a login and names its home.
    """
    for method in ("GET", "PROPFIND"):
        answer = browser.ask(method, "/.well-known/carddav")
        assert (answer.status, answer.headers["location"]) == (301, ["/dav/"])
    assert Stage(tenants=(ACME,)).browser().get("/.well-known/carddav").headers["location"] == [HOME]
    refused = browser.ask("PROPFIND", "/dav/")
    assert (refused.status, refused.headers["www-authenticate"]) == (401, ['Basic realm="ldapgw", charset="UTF-8"'])
    for name, home in (("pbx", HOME), ("other.pbx", "/globex/dav/")):
        found = properties(read(browser, "/dav/", propfind("D:current-user-principal"), as_=basic(name)))
        assert found[f"{D}current-user-principal"].findtext(f"{D}href") == home


def test_below_a_path() -> None:
    """The server's addresses have the path of the public URL, and addresses without this path are understood."""
    browser = serve(Stage(url="https://phonebook.example.com/contacts")).browser()
    found = own_book(browser)
    assert found.startswith("/contacts/acme/dav/")
    inside = found.removeprefix("/contacts")
    for path in (found, inside):
        assert cards(ask(browser, "REPORT", inside, multiget(f"{path}a1.vcf"))).keys() == {"Anna Berg"}
    assert browser.get("/.well-known/carddav").headers["location"] == ["/contacts/acme/dav/"]


def test_options(browser: Browser) -> None:
    """A client learns that there are address books, and that nothing can be written."""
    answer = ask(browser, "OPTIONS", HOME)
    assert answer.headers["dav"] == ["1, 3, access-control, addressbook"]
    assert answer.headers["allow"] == ["OPTIONS, GET, HEAD, PROPFIND, REPORT"]
    entrance = ask(browser, "OPTIONS", "/dav/")
    assert (entrance.status, entrance.headers["allow"]) == (200, ["OPTIONS, PROPFIND"])


# --- the cards ------------------------------------------------------------------------------------------------------


def test_a_card(browser: Browser) -> None:
    """GET answers with a vCard 3.0, whose tag is the tag in the list; an unchanged card is not sent again."""
    book = own_book(browser)
    [(href, tag)] = texts(ask(browser, "PROPFIND", book, propfind("D:getetag"), depth="1"), f"{D}getetag").items()
    assert href == f"{book}a1.vcf"
    answer = browser.get(href, basic())
    assert (answer.status, answer.headers["content-type"]) == (200, ["text/vcard; charset=utf-8"])
    assert answer.headers["etag"] == [tag]
    card = vobject.readOne(answer.body)
    assert (card.version.value, card.fn.value) == ("3.0", "Anna Berg")
    assert card.categories.value == ["Favourites", "Suppliers"]
    again = browser.get(href, basic() | {"If-None-Match": tag})
    assert (again.status, again.body) == (304, "")


def test_version_4(browser: Browser) -> None:
    """A client that asks for version 4.0 gets this version, by GET and in a report."""
    href = f"{own_book(browser)}a1.vcf"
    data = '<C:address-data content-type="text/vcard" version="4.0"/>'
    [text] = texts(report(browser, multiget(href, data=data)), f"{C}address-data").values()
    got = browser.get(href, basic() | {"Accept": "text/vcard; version=4.0"}).body
    assert text == got
    assert got.startswith("BEGIN:VCARD\r\nVERSION:4.0\r\n")


def test_a_part_of_a_card(browser: Browser) -> None:
    """A client that asks for some properties gets only these properties."""
    data = '<C:address-data><C:prop name="FN"/><C:prop name="tel"/></C:address-data>'
    asked = multiget(f"{own_book(browser)}a1.vcf", data=data)
    [text] = texts(report(browser, asked), f"{C}address-data").values()
    assert [line.partition(":")[0].partition(";")[0] for line in text.split("\r\n")[:-1]] == [
        "BEGIN", "VERSION", "FN", "TEL", "TEL", "END",
    ]  # fmt: skip


def test_when_a_contact_changed(stage: Stage, browser: Browser) -> None:
    updated = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
    publish_own(stage, person("a1", "Anna Berg", updated=updated.timestamp()))
    asked = propfind("D:getlastmodified")
    found = texts(ask(browser, "PROPFIND", own_book(browser), asked, depth="1"), f"{D}getlastmodified")
    assert list(found.values()) == [format_datetime(updated, usegmt=True)]
    answer = browser.get(f"{own_book(browser)}a1.vcf", basic())
    assert answer.headers["last-modified"] == [format_datetime(updated, usegmt=True)]
    assert "\r\nREV:20260304T050607Z\r\n" in answer.body


def test_a_phones_own_format_of_numbers(stage: Stage, browser: Browser) -> None:
    """A phone's number format changes the cards, so the tags of the cards differ between phones."""
    context = naming_context()
    access = stage.catalog.snapshot.logins["pbx"]
    formatter = number_formatter(NumberFormat.NATIONAL, context)
    viewer = access.viewer._replace(number_formatter=formatter, login="cn=desk9,ou=phones,dc=acme,dc=example")
    publish(stage, desk9=replace(access, name="desk9", viewer=viewer))
    href = f"{own_book(browser)}a1.vcf"
    answers = [browser.get(href, basic(name)) for name in ("pbx", "desk9", "pbx")]
    assert [vobject.readOne(answer.body).tel.value for answer in answers] == [
        "+49301234567", "030 1234567", "+49301234567",
    ]  # fmt: skip
    tags = [answer.headers["etag"] for answer in answers]
    assert tags[0] == tags[2] != tags[1]


def test_photos() -> None:
    browser = serve(Stage(tenants=(replace(ACME, photos=True), GLOBEX)), photo=jpeg()).browser()
    [card] = cards(report(browser, multiget(f"{own_book(browser)}a1.vcf"))).values()
    assert card.photo.value == jpeg()


def test_several_contacts_by_address(browser: Browser) -> None:
    """A report finds contacts by path and by URL, each once; an unknown address is not found."""
    book = own_book(browser)
    anna, unknown = f"{book}a1.vcf", (f"{book}nobody.vcf", f"{book}a1", "http://[x")
    answer = report(browser, multiget(anna, URL + anna, *unknown, anna))
    missing = dict.fromkeys(("nobody.vcf", "a1", "[x"), "404 Not Found")
    assert statuses(answer) == {"a1.vcf": "200 OK", **missing}
    assert answer.body.count("FN:Anna Berg") == 1


def test_a_long_answer_comes_in_pieces(stage: Stage, browser: Browser) -> None:
    people = [person(f"p{number}", f"Person {number:04}") for number in range(700)]
    publish_own(stage, *people)
    book = own_book(browser)
    listed = texts(ask(browser, "PROPFIND", book, propfind("D:getetag"), depth="1"), f"{D}getetag")
    assert len(listed) == 700
    assert len(cards(report(browser, multiget(*listed)))) == 700


# --- searches -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("filters", "test", "found"),
    [
        (None, "anyof", {"Anna Berg", "Otto Örtel"}),
        ("", "anyof", {"Anna Berg", "Otto Örtel"}),
        (matches("FN", "anna"), "anyof", {"Anna Berg"}),
        (matches("FN", "ortel"), "anyof", {"Otto Örtel"}),
        (matches("FN", "berg", "ends-with"), "anyof", {"Anna Berg"}),
        (matches("FN", "anna berg", "equals"), "anyof", {"Anna Berg"}),
        (matches("N", "ört", "starts-with"), "anyof", {"Otto Örtel"}),
        (matches("TEL", "030 1234567", "equals"), "anyof", {"Anna Berg"}),
        (matches("TEL", "0171 123", "starts-with"), "anyof", {"Anna Berg"}),
        (matches("tel", "004930 8887766"), "anyof", {"Otto Örtel"}),
        (matches("item1.EMAIL", "@oertel.example"), "anyof", {"Otto Örtel"}),
        (matches("FN", "anna") + matches("FN", "otto"), "anyof", {"Anna Berg", "Otto Örtel"}),
        (matches("FN", "anna") + matches("FN", "otto"), "allof", set()),
        (matches("FN", "anna") + matches("ORG", "söhne"), "allof", {"Anna Berg"}),
        (matches("FN", "anna", more=' negate-condition="yes"'), "anyof", {"Otto Örtel"}),
        (matches("EMAIL", "q", more=' negate-condition="yes"'), "anyof", {"Otto Örtel"}),
        ('<C:prop-filter name="EMAIL"><C:is-not-defined/></C:prop-filter>', "anyof", {"Anna Berg"}),
        ('<C:prop-filter name="EMAIL"/>', "anyof", {"Otto Örtel"}),
        ('<C:prop-filter name="FN"/>', "anyof", {"Anna Berg", "Otto Örtel"}),
        ('<C:prop-filter name="X-NOBODY"/>', "anyof", set()),
        (matches("X-NOBODY", "x"), "anyof", set()),
        ('<C:prop-filter name="X-NOBODY"><C:is-not-defined/></C:prop-filter>', "anyof", {"Anna Berg", "Otto Örtel"}),
        (matches("FN", ""), "anyof", {"Anna Berg", "Otto Örtel"}),
        (
            '<C:prop-filter name="FN" test="allof"><C:text-match>anna</C:text-match><C:text-match>berg</C:text-match>'
            "</C:prop-filter>",
            "anyof",
            {"Anna Berg"},
        ),
        (of_kind("home", "30", "allof"), "anyof", {"Otto Örtel"}),
        (of_kind("home", "1234567", "allof"), "anyof", set()),
        (of_kind("home", "1234567", "anyof"), "allof", {"Anna Berg", "Otto Örtel"}),
        (of_kind("home", "7654321", "anyof"), "anyof", {"Otto Örtel"}),
        (of_kind("pager", "1234567", "anyof"), "anyof", {"Anna Berg"}),
    ],
)  # fmt: skip
def test_queries(stage: Stage, browser: Browser, filters: str | None, test: str, found: set[str]) -> None:
    """Names and numbers match as in a search of a phone."""
    otto = person("o1", "Otto Örtel", (Kind.HOME, "030 8887766"), emails=("o@oertel.example",))
    publish_own(stage, ANNA, otto)
    answer = ask(browser, "REPORT", own_book(browser), query(filters, test), depth="1")
    assert cards(answer).keys() == found


def test_contacts_with_many_labels() -> None:
    """Reading the names of many labels takes memory only for the result."""
    labels = {f"g{at}": f"Label {at}" for at in range(1500)}
    context = naming_context()
    anna = replace(person("a1", "Anna Berg", (Kind.WORK, "030 1234567")), labels=tuple(labels))
    made = build_book(context, "a", "alice@acme.example", Sharing.PRIVATE, [anna], labels, per_number=False)
    [book] = address_books(Directory(context, (made,)), Viewer("cn=pbx", (Access("acme", ("a",)),)))
    found: list[Mapping[bytes, tuple[str, ...]]] = []
    assert work.peak(lambda: found.extend(book.read_categories())) < 500_000
    assert sorted(found[-1][b"a1"]) == sorted(labels.values())


def test_a_query_for_one_card(browser: Browser) -> None:
    uid = card_of(browser).uid.value
    for text in (uid, f"urn:uuid:{uid.upper()}"):
        assert cards(report(browser, query(matches("UID", text, "equals")))).keys() == {"Anna Berg"}


def test_a_query_with_a_limit(stage: Stage, browser: Browser) -> None:
    """If there are more matches than the limit, the book has the status 507 (RFC 6352 8.6.2)."""
    publish_own(stage, *(person(f"p{number}", f"Person {number}") for number in range(3)))
    book = own_book(browser)
    answer = report(browser, query(matches("FN", "person"), limit=2))
    assert list(cards(answer)) == ["Person 0", "Person 1"]
    assert responses(answer)[book].findtext(f"{D}status") == "HTTP/1.1 507 Insufficient Storage"
    assert book not in responses(report(browser, query(matches("FN", "person"), limit=3)))


# --- changes --------------------------------------------------------------------------------------------------------


def publish_own(stage: Stage, *contacts: Contact) -> None:
    """Build Alice's book anew with other contacts, and publish the book."""
    context = stage.catalog.snapshot.dit.directories[0].context
    book = build_book(context, "a", "alice@acme.example", Sharing.PRIVATE, contacts, LABELS, per_number=False)
    publish(stage, lambda before: book if before.key == "a" and before.name == book.name else before)


def edit(stage: Stage, *stored: Contact, deleted: Iterable[str] = (), key: str = "a") -> None:
    """Change a few contacts of a book."""
    context = stage.catalog.snapshot.dit.directories[0].context

    def change(book: Book) -> Book:
        if book.key != key:
            return book
        changed = update_book(book, context, stored, tuple(deleted), LABELS)
        assert changed is not None
        return changed

    publish(stage, change)


def test_what_has_changed(stage: Stage, browser: Browser) -> None:
    """The answer to a token has the contacts that are new, changed or gone since then, and no others."""
    book = own_book(browser)
    first = report(browser, sync())
    assert statuses(first) == {"a1.vcf": "200 OK"}
    edit(stage, person("n1", "Nina Neu"), person("n2", "Nora Neu"))
    second = report(browser, sync(token_of(first)))
    assert statuses(second) == {"n1.vcf": "200 OK", "n2.vcf": "200 OK"}
    edit(stage, person("n1", "Nina Alt"), deleted=["a1"])
    third = report(browser, sync(token_of(second)))
    assert statuses(third) == {"n1.vcf": "200 OK", "a1.vcf": "404 Not Found"}
    assert statuses(report(browser, sync(token_of(first)))) == {
        "n1.vcf": "200 OK", "n2.vcf": "200 OK", "a1.vcf": "404 Not Found",
    }  # fmt: skip
    tokens = {token_of(answer) for answer in (first, second, third)}
    assert len(tokens) == 3
    found = properties(read(browser, book, propfind("D:sync-token", "CS:getctag")))
    assert [found[f"{D}sync-token"].text, f"data:,{(found[f'{CS}getctag'].text or '').strip(chr(34))}"] == [
        token_of(third)
    ] * 2


def test_nothing_has_changed(stage: Stage, browser: Browser) -> None:
    """The token stays the same when other books change, and when the same contacts are built anew.

    The token is made from the contacts alone, so another gateway knows the token, as does a restarted gateway.
    """
    token = token_of(report(browser, sync()))
    edit(stage, person("b9", "Berta Bach"), key="b")
    answers = [report(browser, sync(token))]
    publish_own(stage, ANNA)
    answers += [report(each, sync(token)) for each in (browser, serve().browser())]
    assert [(statuses(answer), token_of(answer)) for answer in answers] == [({}, token)] * 3


def test_a_list_in_parts(stage: Stage, browser: Browser) -> None:
    """A client with a limit gets further parts by the token of each part (RFC 6578 3.6), also of changes."""
    publish_own(stage, *(person(f"p{number}", f"Person {number}") for number in range(5)))

    def read(token: str) -> tuple[list[list[str]], str]:
        parts = []
        while True:
            answer = report(browser, sync(token, limit=2))
            found = statuses(answer)
            token = token_of(answer)
            parts.append([name for name in found if name])
            if "" not in found:
                return parts, token
            assert found[""] == "507 Insufficient Storage"

    parts, token = read("")
    assert parts == [["p0.vcf", "p1.vcf"], ["p2.vcf", "p3.vcf"], ["p4.vcf"]]
    assert token == token_of(report(browser, sync()))
    edit(stage, *(person(f"p{number}", f"Else {number}") for number in range(3)))
    parts, _ = read(token)
    assert parts == [["p0.vcf", "p1.vcf"], ["p2.vcf"]]


def test_a_change_between_two_parts(stage: Stage, browser: Browser) -> None:
    """The client has to begin anew, and so misses nothing."""
    publish_own(stage, *(person(f"p{number}", f"Person {number}") for number in range(5)))
    token = token_of(report(browser, sync(limit=2)))
    edit(stage, person("p0", "Else"))
    answer = report(browser, sync(token, limit=2))
    assert (answer.status, condition(answer)) == (403, f"{D}valid-sync-token")


def test_the_labels_of_a_contact_change(stage: Stage, browser: Browser) -> None:
    """The card has the contact's labels, so its tag changes with them."""
    token = token_of(report(browser, sync()))
    edit(stage, replace(ANNA, labels=("g1",)))
    assert statuses(report(browser, sync(token))) == {"a1.vcf": "200 OK"}
    assert card_of(browser).categories.value == ["Favourites"]


# --- visible books --------------------------------------------------------------------------------------------------


def everything(browser: Browser, as_: Mapping[str, str], home: str = HOME) -> str:
    """Return all that a login can read, as text."""
    asked = propfind("D:displayname", "D:getetag", "C:address-data")
    seen = [ask(browser, "PROPFIND", home, b"", depth="1", as_=as_).body]
    for path in books(browser, as_, home).values():
        seen.append(ask(browser, "PROPFIND", path, asked, depth="1", as_=as_).body)
        seen.append(ask(browser, "REPORT", path, query(""), as_=as_).body)
    return "".join(seen)


def test_books_of_every_sharing(browser: Browser) -> None:
    """A login reads its owner's book and shared books.

    It reads no other private book and no book for callers' names.
    """
    seen = everything(browser, basic())
    assert all(name in seen for name in ("Anna Berg", "Bob Bauer"))
    assert not any(name in seen for name in ("Carl", "Aaron", "Dora", "carl@", "dora@", "eve@"))
    assert books(browser, basic("hall")).keys() == {"bob@acme.example"}
    assert "Anna" not in everything(browser, basic("hall"))


def elsewhere(function: Callable[[], Any]) -> Deferred[Any]:
    """Call a function as if on another thread: `work.calls` does not count what the function calls."""
    profile = sys.getprofile()
    sys.setprofile(None)
    try:
        return maybeDeferred(function)
    finally:
        sys.setprofile(profile)


@pytest.mark.parametrize("path", ["/acme/dav/", "book"])
def test_more_shared_books_are_no_more_work_on_the_reactors_thread(path: str) -> None:
    """Listing all books and finding a book take the same work for any number of books, also after a change."""

    def calls(count: int) -> int:
        stage = serve(Stage(tenants=(ACME, GLOBEX), run_off_thread=elsewhere))
        [directory, _] = stage.catalog.snapshot.dit.directories
        shared = [
            build_book(directory.context, f"s{at}", f"s{at}@acme.example", Sharing.SHARED, [ANNA], {}, per_number=False)
            for at in range(count)
        ]
        browser = stage.browser()
        asked = path if path != "book" else path_of_book(stage, "a")

        def publish() -> None:
            dit = dit_of(*directory.books, *shared, context=directory.context)
            stage.catalog.publish(replace(stage.catalog.snapshot, dit=dit), ())

        def ask_for_it() -> None:
            assert ask(browser, "PROPFIND", asked, depth="1" if path != "book" else "0").status == 207

        publish()
        ask_for_it()
        publish()
        return work.calls(ask_for_it)

    assert calls(400) < 1.2 * calls(20)


def book_of(stage: Stage, key: str, tenant: int = 0) -> AddressBook:
    """Return the address book that its owner sees."""
    directory = stage.catalog.snapshot.dit.directories[tenant]
    [own, *_] = address_books(directory, Viewer("cn=x", (Access(directory.context.name, (key,)),)))
    return own


def path_of_book(stage: Stage, key: str, tenant: int = 0) -> str:
    return f"/acme/dav/{book_of(stage, key, tenant).name}/"


def test_a_book_is_found_by_its_name_in_each_directory(stage: Stage) -> None:
    """A book that comes later is found, a book that is gone is not found, and a book that comes back is found again."""
    acme, without = stage.catalog.snapshot.dit.directories[0], without_alice(stage)
    own, names = book_of(stage, "a"), AddressBookNames()
    viewer = Viewer("cn=x", (Access("acme", ("a",)),))
    found = [names.find(directory, viewer, own.name) for directory in (without, acme, without, acme)]
    assert found == [None, own, None, own]


@pytest.mark.parametrize("key", ["c", "d"])
def test_a_hidden_book_is_not_there(stage: Stage, browser: Browser, key: str) -> None:
    """A hidden book gets the same answer as a book that does not exist."""
    path = path_of_book(stage, key)
    uid = {"c": "c1", "d": "d1"}[key]
    for method, body in (("PROPFIND", b""), ("REPORT", sync()), ("REPORT", query("")), ("REPORT", multiget(uid))):
        found, missing = (ask(browser, method, each, body) for each in (path, "/acme/dav/0123456789abcdef/"))
        assert (found.status, found.body) == (missing.status, missing.body) == (404, missing.body)
    for method in ("GET", "PROPFIND"):
        assert ask(browser, method, f"{path}{uid}.vcf").status == 404


def test_a_contact_of_another_book(stage: Stage, browser: Browser) -> None:
    """A report on one's own book finds no contacts of other books."""
    others = [f"{path_of_book(stage, key)}{uid}.vcf" for key, uid in (("c", "c1"), ("d", "d1"), ("b", "b1"))]
    dotted = f"{own_book(browser)}../{others[1].split('/')[3]}/d1.vcf"
    quoted = f"{own_book(browser)}..%2F{others[1].split('/')[3]}%2Fd1.vcf"
    answer = ask(browser, "REPORT", own_book(browser), multiget(*others, dotted, quoted))
    assert set(statuses(answer).values()) == {"404 Not Found"}


@pytest.mark.parametrize(
    "suffix", ["..%2f", "%2e%2e/", "..", "a1.vcf/", "a1", "A1.VCF", "a1.vcf%00", "%ff.vcf", ".vcf"]
)
def test_paths_that_lead_nowhere(browser: Browser, suffix: str) -> None:
    assert browser.get(f"{own_book(browser)}{suffix}", basic()).status in (404, 405)


def test_a_book_that_is_shared_no_longer(stage: Stage, browser: Browser) -> None:
    """The book and its contacts are gone from the next request on."""
    path = books(browser)["bob@acme.example"]
    assert statuses(ask(browser, "REPORT", path, sync())) == {"b1.vcf": "200 OK"}
    for sharing in (Sharing.PRIVATE, Sharing.CALLERS):
        publish(stage, lambda book, to=sharing: with_sharing(book, to, "") if book.key == "b" else book)  # type: ignore[misc]
        assert ask(browser, "REPORT", path, sync()).status == 404
        assert ask(browser, "GET", f"{path}b1.vcf").status == 404
        assert books(browser).keys() == {"alice@acme.example"}


def test_a_login_that_is_revoked(stage: Stage, browser: Browser) -> None:
    assert books(browser)
    snapshot = stage.catalog.snapshot
    stage.catalog.publish(replace(snapshot, logins={}), ("pbx",))
    with pytest.raises(AssertionError, match="still waiting"):
        ask(browser, "PROPFIND", HOME)


def test_two_owners(stage: Stage, browser: Browser) -> None:
    """Each owner sees the own book at the same path, and only the owner sees the stars of contacts."""
    bob = login("bob", "acme", naming_context().base, "b")
    publish(stage, lambda book: with_sharing(book, Sharing.SHARED, "") if book.key == "a" else book, bob=bob)
    assert books(browser) == books(browser, basic("bob"))
    path = own_book(browser)
    for name, labels, owner_path in (("pbx", ["Favourites", "Suppliers"], HOME), ("bob", ["Suppliers"], None)):
        assert card_of(browser, name).categories.value == labels
        found = properties(read(browser, path, propfind("D:owner"), as_=basic(name)))
        assert found[f"{D}owner"].findtext(f"{D}href") == owner_path


def test_a_book_of_which_a_label_is_shared(stage: Stage, browser: Browser) -> None:
    """Other people see the contacts with the shared label, and no other label; the owner sees all."""
    people = [BOB, person("b2", "Berta Bach"), person("b3", "Bodo Busch", labels=("g9",))]
    context = stage.catalog.snapshot.dit.directories[0].context
    labelled = {"g9": "Friends", "g8": "Secret"}
    people[0] = replace(people[0], labels=("g9", "g8"))
    built = build_book(context, "b", "bob@acme.example", Sharing.SHARED, people, labelled, per_number=False)
    bob = login("bob", "acme", context.base, "b")
    publish(stage, lambda book: with_sharing(built, Sharing.SHARED, "Friends") if book.key == "b" else book, bob=bob)
    path = books(browser)["bob@acme.example (Friends)"]
    assert books(browser, basic("bob"))["bob@acme.example"] == path
    found = {name: cards(ask(browser, "REPORT", path, query(""), as_=basic(name))) for name in ("pbx", "bob")}
    assert [(name, cards_.keys()) for name, cards_ in found.items()] == [
        ("pbx", {"Bob Bauer", "Bodo Busch"}),
        ("bob", {"Bob Bauer", "Berta Bach", "Bodo Busch"}),
    ]
    assert [found[name]["Bob Bauer"].categories.value for name in found] == [["Friends"], ["Friends", "Secret"]]
    assert ask(browser, "GET", f"{path}b2.vcf").status == 404
    # A card below a label has another UID, and so another tag.
    tags = [browser.get(f"{path}b3.vcf", basic(name)).headers["etag"] for name in ("pbx", "bob")]
    assert tags[0] != tags[1]
    # Once the whole book is shared, others see other cards.
    token = token_of(ask(browser, "REPORT", path, sync()))
    publish(stage, lambda book: with_sharing(built, Sharing.SHARED, "") if book.key == "b" else book)
    answer = ask(browser, "REPORT", path, sync(token))
    assert (answer.status, condition(answer)) == (403, f"{D}valid-sync-token")


def test_the_workspace_directory(stage: Stage, browser: Browser) -> None:
    """All logins see the Workspace directory as an address book with a readable name."""
    snapshot = stage.catalog.snapshot
    acme, *others = snapshot.dit.directories
    built = build_book(
        acme.context, DIRECTORY, DIRECTORY, Sharing.SHARED, [person("w1", "Willi Work")], {}, per_number=False
    )
    dit = Dit((Directory(acme.context, (*acme.books, built)), *others), snapshot.dit.features)
    stage.catalog.publish(replace(snapshot, dit=dit), ())
    assert books(browser, basic("hall"))["directory"] == f"{HOME}directory/"
    assert statuses(ask(browser, "REPORT", f"{HOME}directory/", sync())) == {"w1.vcf": "200 OK"}


def test_before_the_first_sync(stage: Stage, browser: Browser) -> None:
    """A tenant without a directory has no books."""
    snapshot = stage.catalog.snapshot
    stage.catalog.publish(replace(snapshot, dit=Dit((), snapshot.dit.features)), ())
    assert books(browser) == {}


# --- refusals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["PUT", "DELETE", "POST", "PATCH", "PROPPATCH", "MKCOL", "COPY", "MOVE", "LOCK"])
def test_nothing_is_written(browser: Browser, method: str) -> None:
    """A login may not write on any path; a request without a login is asked for one."""
    book = own_book(browser)
    for path in (HOME, book, f"{book}a1.vcf", f"{book}new.vcf"):
        answer = ask(browser, method, path, b"BEGIN:VCARD\r\nEND:VCARD\r\n")
        assert (answer.status, condition(answer)) == (403, f"{D}need-privileges")
        assert browser.ask(method, path).status == 401
    assert books(browser).keys() == {"alice@acme.example", "bob@acme.example"}


def test_an_infinite_depth(browser: Browser) -> None:
    """The server refuses this depth (RFC 4918 9.1); a request without a depth means the resource itself."""
    for path in (HOME, own_book(browser)):
        answer = ask(browser, "PROPFIND", path, b"", depth="infinity")
        assert (answer.status, condition(answer)) == (403, f"{D}propfind-finite-depth")
        assert list(responses(browser.ask("PROPFIND", path, basic()))) == [path]


NAMESPACE = "u" * 30_000
ATTRIBUTES = " ".join(f'p:x{at}=""' for at in range(100))


def wanting(names: str) -> bytes:
    """Return a PROPFIND for some properties."""
    return f'<D:propfind xmlns:D="DAV:">{names}</D:propfind>'.encode()


ENTITY = (
    b"<!DOCTYPE x [<!ENTITY a 'aaaaaaaaaa'>%s]><D:propfind xmlns:D='DAV:'><D:prop><D:a>&%s;</D:a></D:prop></D:propfind>"
)
LAUGHS = b"".join(b"<!ENTITY a%d '%s'>" % (level, b"&a%d;" % (level - 1) * 10) for level in range(1, 12))


@pytest.mark.parametrize(
    "body",
    [
        ENTITY % (b"", b"a"),
        ENTITY % (b"<!ENTITY a0 'lol'>" + LAUGHS, b"a11"),
        ENTITY % (b"<!ENTITY x SYSTEM 'file:///etc/passwd'>", b"x"),
        b"<!DOCTYPE x SYSTEM 'http://127.0.0.1/x.dtd'><D:propfind xmlns:D='DAV:'><D:allprop/></D:propfind>",
        b"<D:propfind xmlns:D='DAV:'><D:prop><D:a>&nope;</D:a></D:prop></D:propfind>",
        b"<a>" * 100,
        b"<D:propfind xmlns:D='DAV:'>" + b"<a>" * 100 + b"</a>" * 100 + b"</D:propfind>",
        b"<D:propfind xmlns:D='DAV:'><D:prop>" + b"<a/>" * 20_000 + b"</D:prop></D:propfind>",
        b"<D:propfind/>",
        b"no XML",
        b"\0",
        b'<?xml version="1.0" encoding="nope"?><a/>',
        b'<?xml version="1.0" encoding="utf-32"?><a/>',
        '<?xml version="1.0"?><ä/>'.encode("latin-1"),
        # The answer repeats the names of unknown properties for each resource.
        wanting(f'<D:prop xmlns="{NAMESPACE}">' + "".join(f"<a{at}/>" for at in range(100)) + "</D:prop>"),
        wanting("<D:prop>" + "".join(f"<D:a{at}/>" for at in range(65)) + "</D:prop>"),
        wanting(f"<D:prop><D:{'a' * 130}/></D:prop>"),
        wanting(f'<D:prop><D:a xmlns:p="{NAMESPACE}" {ATTRIBUTES}/></D:prop>'),
    ],
    ids=lambda body: repr(body[:40]),
)
def test_bodies_that_are_refused(browser: Browser, body: bytes) -> None:
    """Bodies have entities, deep nesting, too many elements, too many or long names of properties, or no XML."""
    path = own_book(browser)
    sent = body[: 60 * 1024]
    for method in ("PROPFIND", "REPORT"):
        answer = ask(browser, method, path, sent)
        assert answer.status in (400, 403), answer
        assert "root:" not in answer.body
        assert answer.status == 400 or condition(answer) == f"{D}supported-report"


UNKNOWN_TOKENS = ["data:,", "x", f"data:,{'0' * 32}", f"data:,{'0' * 32}//1", "http://example.com/1", "data:,1/2/3"]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        # The client has to begin anew (RFC 6578 3.2).
        *((sync(token), f"{D}valid-sync-token") for token in UNKNOWN_TOKENS),
        (query(matches("FN", "x", "sounds-like")), ""),
        (query(matches("FN", "x").replace("unicode-casemap", "octet")), f"{C}supported-collation"),
        (query(matches("FN", "x" * 257)), f"{C}supported-filter"),
        (query(matches("FN", "x") * 33), f"{C}supported-filter"),
        (query(matches("", "x")), ""),
        (query("", test="noneof"), ""),
        (query(on_tel(parameter("PREF", "1"))), f"{C}supported-filter"),
        (query(on_tel(parameter("TYPE", "telex"))), f"{C}supported-filter"),
        (query(on_tel(parameter("TYPE", "fax"), parameter("TYPE", "home"))), f"{C}supported-filter"),
        (query(matches("CATEGORIES", "Friends")), f"{C}supported-filter"),
        (query('<C:prop-filter name="CATEGORIES"><C:is-not-defined/></C:prop-filter>'), f"{C}supported-filter"),
        (query('<C:prop-filter name="REV"/>'), f"{C}supported-filter"),
        (query("".join(matches("ADR", "é " * 100 + str(at)) for at in range(32))), f"{C}supported-filter"),
        (query("", limit=1).replace(b">1<", b">-1<"), ""),
        (query("", limit=1).replace(b">1<", b">999999999999<"), ""),
        (f"<D:propfind {SPACES}/>".encode(), f"{D}supported-report"),
        (multiget("x", data='<C:address-data version="2.1"/>'), f"{C}supported-address-data"),
        (multiget("x", data='<C:address-data content-type="text/html"/>'), f"{C}supported-address-data"),
        (f"<D:expand-property {SPACES}/>".encode(), f"{D}supported-report"),
        (multiget(*["/"] * 10_001), f"{D}number-of-matches-within-limits"),
    ],
)
def test_reports_that_are_refused(browser: Browser, body: bytes, expected: str) -> None:
    """The answer names the precondition that the report violates, if there is such a precondition."""
    answer = report(browser, body)
    if expected:
        assert (answer.status, condition(answer)) == (403, expected)
    else:
        assert (answer.status, answer.headers["content-type"]) == (400, ["text/plain; charset=utf-8"])


def test_a_report_on_something_else(browser: Browser) -> None:
    """Only address books answer reports, and PROPFIND does not take the body of a report."""
    book = own_book(browser)
    assert ask(browser, "PROPFIND", book, sync()).status == 400
    answers = [ask(browser, "REPORT", path, sync()) for path in (HOME, f"{book}a1.vcf")]
    assert [(answer.status, condition(answer)) for answer in answers] == [(403, f"{D}supported-report")] * 2


def test_how_large_a_body_may_be(stage: Stage, browser: Browser) -> None:
    """A report may name five thousand contacts.

    The server refuses larger bodies, and large bodies of other methods.
    """
    path = own_book(browser)
    hrefs = [f"{path}c{number:019}.vcf" for number in range(5000)]
    answer = Connection(stage.site(), "127.0.0.1").ask("REPORT", path, basic(), multiget(*hrefs))
    assert answer.count(b"404 Not Found") == 5000
    for method, size in (("REPORT", 512 * 1024), ("PROPFIND", 64 * 1024), ("PUT", 64 * 1024)):
        answer = Connection(stage.site(), "127.0.0.1").ask(method, path, basic(), b" " * (size + 1))
        assert answer.startswith(b"HTTP/1.1 413 "), answer[:80]


def test_large_bodies_are_few(stage: Stage) -> None:
    """The server keeps bodies before the login is known, so only some large bodies may arrive at a time.

    A body that ends makes room.
    """
    site = stage.site()
    large = request_of("REPORT", HOME, {}, b" " * (65 * 1024))
    waiting = [Connection(site, "127.0.0.1") for _ in range(MAX_LARGE_BODIES)]
    assert {connection.send(large[:-1]) for connection in waiting} == {b""}
    assert Connection(site, "127.0.0.1").send(large).startswith(b"HTTP/1.1 429 ")
    small = request_of("REPORT", HOME, {}, b" " * 1024)
    assert Connection(site, "127.0.0.1").send(small).startswith(b"HTTP/1.1 401 ")
    assert waiting[0].send(large[-1:]).startswith(b"HTTP/1.1 401 ")
    waiting[1].close()
    more = [Connection(site, "127.0.0.1").send(large)[:12] for _ in range(3)]
    assert more == [b"HTTP/1.1 401"] * 3
    assert [Connection(site, "127.0.0.1").send(large[:-1]) for _ in range(2)] == [b"", b""]
    assert Connection(site, "127.0.0.1").send(large).startswith(b"HTTP/1.1 429 ")


def test_guesses(stage: Stage) -> None:
    """A wrong login is answered late, also at the entrance; a login of one tenant is wrong at another tenant."""
    books_of_globex = path_of_book(stage, "e", 1).replace("acme", "globex")
    wrong = [(path, basic(name, "wrong")) for path in (HOME, "/dav/") for name in ("pbx", "nobody")]
    for path, headers in (*wrong, ("/globex/dav/", basic()), (books_of_globex, basic())):
        phone = Pbx(stage)
        assert phone.connection.ask("PROPFIND", path, headers) == b""
        assert phone.wait(60.0).startswith(b"HTTP/1.1 401 ")


def test_in_clear(stage: Stage) -> None:
    for path in (HOME, "/dav/"):
        answer = Pbx(stage, "192.0.2.1").connection.ask("PROPFIND", path, basic())
        assert answer.startswith(b"HTTP/1.1 403 ")
        assert answer.endswith(b"a proxy that ends TLS has to be in [web] trusted_proxies.\n")


class Slowly:
    """A thread does one call at a time, when the test says so."""

    def __init__(self) -> None:
        self._calls: list[tuple[Callable[[], Any], Deferred[Any]]] = []

    def __call__(self, function: Callable[[], Any]) -> Deferred[Any]:
        result: Deferred[Any] = Deferred()
        self._calls.append((function, result))
        return result

    def fail(self) -> None:
        _, result = self._calls.pop(0)
        result.errback(ZeroDivisionError())

    def step(self) -> bool:
        """Do the next call; return whether there was one."""
        if not self._calls:
            return False
        function, result = self._calls.pop(0)
        result.callback(function())
        return True


@pytest.fixture
def reading() -> tuple[Stage, Connection, Slowly]:
    """The client has read the first pieces of a long answer, and takes no more for now."""
    thread = Slowly()
    stage = serve(Stage(tenants=(ACME, GLOBEX), run_off_thread=thread))
    publish_own(stage, *(person(f"p{number}", f"Person {number:04}") for number in range(4000)))
    connection = Connection(stage.site(), "127.0.0.1")
    path = path_of_book(stage, "a")
    assert connection.ask("REPORT", path, basic(), query("")) == b""
    while not connection.transport.value() and thread.step():
        stage.clock.advance(0)
    connection.channel.pauseProducing()
    return stage, connection, thread


def go_on(stage: Stage, thread: Slowly) -> None:
    while thread.step():
        stage.clock.advance(0)


def test_a_client_that_reads_slowly(reading: tuple[Stage, Connection, Slowly]) -> None:
    """The server makes no more than the client takes; then the client gets the rest.

    The other requests of the login wait until the long answer has ended.
    """
    stage, connection, thread = reading
    others = [Connection(connection.channel.site, "127.0.0.1") for _ in range(8)]
    for other in others:
        assert other.ask("PROPFIND", HOME, basic()) == b""
    go_on(stage, thread)
    octets = len(connection.transport.value())
    go_on(stage, thread)
    assert len(connection.transport.value()) == octets
    assert b"</D:multistatus>" not in connection.transport.value()
    connection.channel.resumeProducing()
    go_on(stage, thread)
    assert connection.transport.value().count(b"BEGIN:VCARD") == 4000
    assert connection.transport.value().endswith(b"</D:multistatus>\n\r\n0\r\n\r\n")
    assert not connection.ended
    assert [other.transport.value()[:12] for other in others] == [b"HTTP/1.1 207"] * 8


def test_a_client_that_reads_no_more(reading: tuple[Stage, Connection, Slowly], logged: list[Any]) -> None:
    """The server closes the connection after a while."""
    stage, connection, thread = reading
    stage.misuse.startService()
    go_on(stage, thread)
    stage.clock.advance(STALLED_SECONDS)
    assert connection.ended
    stage.misuse.stopService()
    assert [event["kind"] for event in logged if "kind" in event] == ["a connection that timed out"]
    assert not any(event.get("log_failure") for event in logged)


def test_an_answer_that_cannot_go_on(reading: tuple[Stage, Connection, Slowly], logged: list[Any]) -> None:
    """The connection ends, so that the client does not take a part of the book for the whole."""
    stage, connection, thread = reading
    connection.channel.resumeProducing()
    stage.clock.advance(0)
    before = connection.transport.value()
    thread.fail()
    stage.clock.advance(0)
    assert connection.ended
    assert connection.transport.value() == before
    assert [event["log_failure"].type for event in logged if event.get("event") == "page_failed"] == [ZeroDivisionError]


def test_a_client_that_goes(reading: tuple[Stage, Connection, Slowly], logged: list[Any]) -> None:
    """The server makes nothing more for the client, and logs no failure."""
    stage, connection, thread = reading
    connection.close()
    go_on(stage, thread)
    assert not any(event.get("log_failure") for event in logged)


def test_too_many_requests_at_once() -> None:
    """One request of a login runs, and only a few may wait."""
    waiting: list[Deferred[Any]] = []

    def never(*_: object) -> Deferred[Any]:
        waiting.append(Deferred())
        return waiting[-1]

    stage = serve(Stage(tenants=(ACME, GLOBEX), run_off_thread=never))
    site = stage.site()
    answers = [Connection(site, "127.0.0.1").send(request_of("PROPFIND", HOME, basic())) for _ in range(10)]
    assert [answer[:12] for answer in answers] == [b""] * 9 + [b"HTTP/1.1 429"]
    assert len(waiting) == 1


# --- the phone's page -----------------------------------------------------------------------------------------------


def test_the_search_is_on_the_phones_page(stage: Stage, browser: Browser) -> None:
    """Each look at a book, and each query, is a search on the phone's page; fetching contacts by address is not."""
    book = own_book(browser)
    report(browser, sync())
    report(browser, multiget(f"{book}a1.vcf"))
    report(browser, query(matches("FN", "nobody")))
    ask(browser, "PROPFIND", book, propfind("CS:getctag"))
    ask(browser, "PROPFIND", book, propfind("D:displayname"))
    base = stage.watch.base_dn("acme")
    found = [decode_search(search) for search in stage.watch.search_log.searches_of(f"cn=pbx,ou=phones,{base}")]
    assert [each.search.entries for each in found] == [1, 0, 1]
    assert {each.request.base for each in found if each.request} == {f"ou=alice@acme.example,{base}"}


def test_nothing_of_contacts_is_logged(browser: Browser, logged: list[object]) -> None:
    everything(browser, basic())
    report(browser, multiget(f"{own_book(browser)}a1.vcf"))
    assert not any(word in str(logged) for word in ("Anna", "Berg", "301234567", "a1.vcf"))


# --- kept versions --------------------------------------------------------------------------------------------------


def read_version(versions: BookVersions, stage: Stage, key: str = "a") -> str:
    return result_of(versions.read(book_of(stage, key), maybeDeferred)).token


def known(versions: BookVersions, stage: Stage, token: str) -> bool:
    book = book_of(stage, "a")
    version = result_of(versions.read(book, maybeDeferred))
    try:
        versions.changes(book, version, f"data:,{token}", 0)
    except DavRefusal:
        return False
    return True


def test_only_so_much_is_kept(stage: Stage) -> None:
    """A forgotten book keeps its present token, and older tokens are unknown; of too many books the token goes too."""
    versions = BookVersions(max_kept=1)
    first = read_version(versions, stage)
    read_version(versions, stage, "d")
    assert known(versions, stage, first)
    read_version(versions, stage, "d")
    edit(stage, person("n1", "Nina Neu"))
    assert not known(versions, stage, first)
    few = BookVersions(max_books=1)
    read_version(few, stage)
    assert few.token(book_of(stage, "a"))
    read_version(few, stage, "d")
    assert few.token(book_of(stage, "a")) == ""


def without_alice(stage: Stage) -> Directory:
    """Return the directory without Alice's book."""
    acme = stage.catalog.snapshot.dit.directories[0]
    return Directory(acme.context, tuple(book for book in acme.books if book.key != "a"))


def test_a_book_that_is_gone_is_forgotten(stage: Stage) -> None:
    """The versions forget the book that is gone; other books and other tenants stay."""
    versions = BookVersions()
    kept = [book_of(stage, "a"), book_of(stage, "d"), book_of(stage, "e", 1)]
    for book in kept:
        result_of(versions.read(book, maybeDeferred))
    for directory, is_kept in ((stage.catalog.snapshot.dit.directories[0], True), (without_alice(stage), False)):
        versions.forget_gone(directory)
        assert [bool(versions.token(book)) for book in kept] == [is_kept, True, True]


def test_a_book_that_goes_while_it_is_read_is_forgotten_later(stage: Stage) -> None:
    """The first call after the end of the reading forgets the book."""
    versions, book, first_slice = BookVersions(), book_of(stage, "a"), Deferred[None]()
    waits = [first_slice]

    def run(work: Callable[[], Any]) -> Deferred[Any]:
        return waits.pop().addCallback(lambda _: work()) if waits else succeed(work())

    reading = Deferred.fromCoroutine(versions.read(book, run))
    versions.forget_gone(left := without_alice(stage))
    first_slice.callback(None)
    assert (reading.called, bool(versions.token(book))) == (True, True)
    versions.forget_gone(left)
    assert versions.token(book) == ""


def test_only_so_many_versions_are_kept(stage: Stage) -> None:
    """The oldest token is unknown after 65 further changes."""
    versions = BookVersions()
    tokens = []
    for number in range(66):
        edit(stage, person("n1", f"Nina {number}"))
        tokens.append(read_version(versions, stage))
    assert [known(versions, stage, token) for token in (tokens[0], tokens[1], tokens[-1])] == [False, True, True]


def test_a_content_that_comes_back(stage: Stage) -> None:
    """The same contacts have the same token again, and the server still knows the tokens in between."""
    versions = BookVersions()
    first = read_version(versions, stage)
    edit(stage, person("n1", "Nina Neu"))
    second = read_version(versions, stage)
    edit(stage, deleted=["n1"])
    assert read_version(versions, stage) == first
    assert known(versions, stage, second)
    edit(stage, person("n2", "Nora Neu"))
    assert len({first, second, read_version(versions, stage)}) == 3
    assert known(versions, stage, first)


def test_a_large_book_is_read_in_slices(stage: Stage) -> None:
    """The thread does other work between two slices."""
    publish_own(stage, *(person(f"p{number}", f"Person {number}", labels=("g1",)) for number in range(4500)))
    thread = Recorder()
    assert len(result_of(BookVersions().read(book_of(stage, "a"), thread)).tags) == 4500
    assert len(thread.results) >= 8
