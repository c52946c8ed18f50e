# SPDX-License-Identifier: MIT
"""The tests show the list of contacts that a person's phones find, the pages of contacts, photos, and their readers."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

import pytest

from ldapgw.contact import Contact, Kind, LeftOutNumber, LeftOutReason, Phone, Sharing, Source
from ldapgw.directory.access import Access, Viewer
from ldapgw.directory.book import DIRECTORY, Book, build_book, with_sharing
from ldapgw.directory.catalog import Snapshot
from ldapgw.directory.dit import Directory, Dit
from ldapgw.directory.filter import Scope, SearchRequest
from ldapgw.directory.search import search
from ldapgw.directory.special_entries import Features
from ldapgw.numbers.phone_number import parse
from ldapgw.phones.contact_browser import PAGE_SIZE
from ldapgw.store import contacts
from ldapgw.store.contact_record import ContactRecord
from ldapgw.store.phones import NumberMode
from tests.support.filter_text import read_filter
from tests.support.phonebook import BASE, naming_context
from tests.support.photo import jpeg
from tests.support.stage.web import ACME, ALICE, BOB, GLOBEX, HOSTILE, Browser, Seen, Stage, add, words_on


def number(text: str, kind: Kind = Kind.WORK, label: str = "") -> Phone:
    parsed = parse(text, "DE")
    assert parsed is not None
    return Phone(kind, parsed, label)


ANNA = Contact(
    "c1",
    name="Anna Berg",
    organization="Berg & Söhne",
    title="Chefin",
    phones=(number("0176 04069007", Kind.MOBILE), number("030 1234567", Kind.OTHER, "Ferienhaus")),
    emails=("anna@berg.example",),
    labels=("g1",),
    left_out=(
        LeftOutNumber("ask at reception", LeftOutReason.NOT_DIALABLE),
        LeftOutNumber("0176 4069007", LeftOutReason.DUPLICATE),
    ),
)
NOBODY = Contact("c2", phones=(number("+358 40 1234567", Kind.MOBILE),))
DIGITS = Contact("c3", name="3M Service", phones=(number("030 999000"),))
EVIL = Contact("c4", name=HOSTILE, organization=HOSTILE, phones=(number("030 999001", Kind.OTHER, HOSTILE),))
MAIL = Contact("c5", name="Mia Mail", emails=("mia@example.net",))
OWN = [ANNA, NOBODY, DIGITS, EVIL, MAIL]
SHARED = Contact("c1", name="Sara Shared", phones=(number("030 5550001"),), left_out=ANNA.left_out, labels=("g9",))
HIDDEN = Contact("c7", name="Hanna Hidden", phones=(number("030 5550002"),))
CALLER = Contact("c8", name="Carl Caller", phones=(number("030 5550003"),))
PRIVATE = Contact("c9", name="Petra Private", phones=(number("030 5550004"),))
COLLEAGUE = Contact("110", Source.DIRECTORY, name="Conny Colleague", phones=(number("030 5550005"),))


def stored(stage: Stage, address: str, *people: Contact) -> None:
    account = stage.account(address)
    for source in {one.source for one in people}:
        records = [ContactRecord.from_contact(one.uid, one.uid, one) for one in people if one.source is source]
        stage.do(contacts.apply_changes, account.id, source, records, ())


def serve(stage: Stage, own: Sequence[Contact] = OWN, photo: bytes = b"") -> Dit:
    """Publish Alice's book, Bob's with a shared label, Carl's for callers, Petra's private one, and the directory."""
    context = replace(naming_context(), photos=bool(photo), block_label="blocked")
    sub = stage.world.account(ALICE).sub
    own = [replace(one, photo=photo if one is ANNA else b"") for one in own]

    def book(key: str, name: str, sharing: Sharing, people: Iterable[Contact], **labels: str) -> Book:
        return build_book(context, key, name, sharing, people, labels, per_number=False)

    books = (
        book(sub, ALICE, Sharing.PRIVATE, own, g1="Suppliers"),
        with_sharing(
            book(stage.world.account(BOB).sub, BOB, Sharing.SHARED, [SHARED, HIDDEN], g9="For all"),
            Sharing.SHARED, "For all",
        ),
        book("carl", "carl@acme.example", Sharing.CALLERS, [CALLER]),
        book("petra", "petra@acme.example", Sharing.PRIVATE, [PRIVATE]),
        book(DIRECTORY, DIRECTORY, Sharing.SHARED, [COLLEAGUE]),
    )  # fmt: skip
    other = replace(context, name="globex", base=context.base.child("dc", "other"))
    away = build_book(other, "eve", "eve@globex.example", Sharing.SHARED, [PRIVATE], {}, per_number=False)
    dit = Dit((Directory(context, books), Directory(other, (away,))), Features("1"))
    stage.catalog.publish(Snapshot(dit, {}, loaded=True), ())
    return dit


@pytest.fixture
def stage() -> Stage:
    made = Stage(tenants=(replace(ACME, photos=True), GLOBEX))
    made.browser().consent(account=BOB)
    made.browser().consent()
    stored(made, BOB, SHARED, HIDDEN)
    stored(made, ALICE, *OWN, COLLEAGUE)
    serve(made)
    return made


@pytest.fixture
def alice(stage: Stage) -> Browser:
    browser = stage.visitor()
    browser.get("/acme/")
    return browser


WHO = re.compile(r'<div class="who"><a href="/acme/contacts/([^"]+)">([^<]*)</a>')


def ids(page: Seen) -> dict[str, str]:
    """Return the ids of the contacts in the list by their names."""
    return {html.unescape(name): found for found, name in WHO.findall(page.body)}


def listed(page: Seen) -> list[str]:
    """Return the names in the list."""
    return [html.unescape(name) for _, name in WHO.findall(page.body)]


def test_the_list(alice: Browser) -> None:
    """The list has all contacts that the person's phones find, in the phones' order.

    Contacts without a name come last.
    """
    page = alice.get("/acme/contacts")
    names = ["3M Service", "Anna Berg", "Conny Colleague", "Mia Mail", "Sara Shared", HOSTILE, "+358 40 1234567"]
    assert listed(page) == names
    words = words_on(page)
    for shown in (
        "7 contacts on your phones: 5 yours + 1 company directory + 1 shared by others",
        "Anna Berg Berg & Söhne +49 176 04069007 Mobile +49 30 1234567 Ferienhaus C CC Conny",
        "Sara Shared bob@acme.example +49 30 5550001 Work",
        "Conny Colleague Company directory +49 30 5550005 Work",
    ):
        assert shown in words
    assert 'href="tel:%2B4917604069007"' in page.body or 'href="tel:+4917604069007"' in page.body
    assert "<script>alert" not in page.body


def test_the_list_is_that_of_the_phones(stage: Stage, alice: Browser) -> None:
    """The pages and the letters list the same entries in the same order as a search of a phone."""
    crowd = [Contact(f"x{at}", name=f"{'MNZ'[at % 3]}ame {at * 7 % 131}", phones=ANNA.phones) for at in range(130)]
    dit = serve(stage, [*OWN, *crowd, replace(SHARED, uid="c90")])
    viewer = Viewer("cn=desk1", (Access("acme", (stage.world.account(ALICE).sub,)),))
    request = SearchRequest(BASE, Scope.WHOLE_SUBTREE, read_filter("(objectClass=person)"))
    expected = [entry.attribute("cn")[0].decode() for entry in search(dit, viewer, request) if entry]
    expected[-1] = "+358 40 1234567"
    pages = [alice.get(f"/acme/contacts?page={at}") for at in (1, 2, 3)]
    by_page = [name for page in pages for name in listed(page)]
    assert [len(listed(page)) for page in pages] == [PAGE_SIZE, PAGE_SIZE, len(expected) - 2 * PAGE_SIZE]
    assert by_page == expected
    letters = re.findall(r'href="/acme/contacts\?letter=(\w+)"', pages[0].body)
    asked = [alice.get(f"/acme/contacts?letter={letter}&page={page}") for letter in letters for page in (1, 2)]
    assert [name for page in asked for name in listed(page)] == by_page


@pytest.mark.parametrize(
    ("query", "first"), [("?page=99", ""), ("?letter=a&page=2", "?letter=a"), ("?letter=q&page=5", "?letter=q")]
)
def test_behind_the_last_page(alice: Browser, query: str, first: str) -> None:
    assert alice.get(f"/acme/contacts{query}").location == f"/acme/contacts{first}"


NONSENSE = ("page=0", "page=x", "page=-1", "page=²", "letter=xyz", "account=9", "account=x")


@pytest.mark.parametrize("query", NONSENSE)
def test_what_makes_no_sense_is_the_first_page(alice: Browser, query: str) -> None:
    assert len(listed(alice.get(f"/acme/contacts?{query}"))) == 7


def test_a_letter(alice: Browser) -> None:
    """The page lists the contacts whose names begin with the letter; a letter without contacts has no link."""
    page = alice.get("/acme/contacts?letter=c")
    assert listed(page) == ["Conny Colleague"]
    assert '<a href="/acme/contacts?letter=c" aria-current="true">C</a>' in page.body
    assert "letter=q" not in page.body
    assert "No names begin with this letter." in alice.get("/acme/contacts?letter=q").body


def test_of_several_accounts(stage: Stage, alice: Browser) -> None:
    """The list shows the contacts of the chosen account's phones.

    The page of a contact takes the ids of all accounts.
    """
    alice.consent("/acme/connect?add", account=BOB)
    names = ids(alice.get("/acme/contacts?account=2"))
    assert [*names] == ["Conny Colleague", "Hanna Hidden", "Sara Shared"]
    assert words_on(alice.get(f"/acme/contacts/{names['Hanna Hidden']}")).count("Hanna Hidden") > 0
    assert "Anna Berg" in listed(alice.get("/acme/contacts"))


def test_a_contact(alice: Browser) -> None:
    """The page shows the data that phones get, the book, and the numbers that phones do not get, with the reasons."""
    shown = (
        "Anna Berg Chefin · Berg & Söhne",
        "Mobile +49 176 04069007",
        "Ferienhaus +49 30 1234567",
        "ask at reception This number can’t be dialed.",
        "0176 4069007 The contact has this number twice.",
        "Anna Berg +4917604069007 When +49 176 04069007 calls",
        "Phone book alice@acme.example yours",
        "Labels Suppliers",
        "Open in Google Contacts",
    )
    page = alice.get("/acme/contacts/c1")
    words = words_on(page)
    assert [said for said in shown if said not in words] == []
    assert f'href="https://contacts.google.com/person/c1?authuser={ALICE.replace("@", "%40")}"' in page.body
    assert 'href="tel:%2B4917604069007">+49 176 04069007</a>' in page.body


def test_the_entries_of_a_phone_that_shows_one_number_each(stage: Stage, alice: Browser) -> None:
    """The page shows an entry for each number, with the kind or the person's own word behind the name."""
    assert "(Ferienhaus)" not in alice.get("/acme/contacts/c1").body
    add(alice, "desk1", numbers=NumberMode.ENTRIES.value)
    words = words_on(alice.get("/acme/contacts/c1"))
    assert "Anna Berg (mobile) Anna Berg (Ferienhaus)" in words


def test_a_contact_to_correct(stage: Stage, alice: Browser) -> None:
    """The page of the account names the contact, and links to the contact at Google."""
    stored(stage, ALICE, Contact("c1", name="Anna \ufffd Berg"))
    page = alice.get("/acme/account")
    assert "Contacts to correct in Google Contacts Anna \ufffd Berg A character can’t be read" in words_on(page)
    assert f'href="https://contacts.google.com/person/c1?authuser={ALICE.replace("@", "%40")}"' in page.body


def test_somebody_elses_contact(alice: Browser) -> None:
    """Such a contact has an id of its own, no link to Google, and no numbers that were left out."""
    found = ids(alice.get("/acme/contacts"))["Sara Shared"]
    assert re.fullmatch(r"c1\.[0-9a-f]{8}", found)
    page = alice.get(f"/acme/contacts/{found}")
    words = words_on(page)
    assert "Sara Shared Work +49 30 5550001" in words
    assert "Phone book bob@acme.example Labels For all" in words
    assert ("ask at reception" in words, "contacts.google.com" in page.body) == (False, False)


@pytest.mark.parametrize("uid", ["c7", "c8", "c9", "nobody", "c1.00000000", "c1-1", "C1", "%2E%2E"])
def test_what_one_may_not_see_is_not_there(alice: Browser, uid: str) -> None:
    """The page does not find contacts that the person's phones may not list, nor unknown ids."""
    for path in (uid, f"{uid}/photo"):
        answer = alice.get(f"/acme/contacts/{path}")
        assert answer.status == 404
        assert "Petra" not in answer.body


def test_another_tenant(stage: Stage) -> None:
    """People of another tenant see only that tenant's books, and nobody sees contacts without a sign-in."""
    eve = stage.visitor("/globex/connect", account="eve@elsewhere.example")
    assert "Petra Private" in eve.get("/globex/contacts").body
    assert eve.get("/globex/contacts/c1").status == 404
    assert "Anna" not in eve.get("/globex/contacts").body
    for browser in (eve, stage.browser()):
        for path in ("contacts", "contacts/c1", "contacts/c1/photo"):
            answer = browser.get(f"/acme/{path}")
            assert (answer.status, "Anna" in answer.body) == (403, False)


def test_a_photo(stage: Stage, alice: Browser) -> None:
    """The page sends the phones' photo, which the reader's own browser may keep."""
    assert alice.get("/acme/contacts/c1/photo").status == 404
    serve(stage, photo=jpeg())
    page = alice.get("/acme/contacts")
    assert page.body.count('src="/acme/contacts/c1/photo"') == page.body.count("<img class") == 1
    answer = alice.get("/acme/contacts/c1/photo", method="HEAD")
    assert (answer.status, answer.headers["content-type"]) == (200, ["image/jpeg"])
    assert answer.headers["cache-control"] == ["private, max-age=3600"]
    [etag] = answer.headers["etag"]
    assert alice.get("/acme/contacts/c1/photo", {"If-None-Match": etag}).status == 304


def test_a_search_lists_contacts_as_the_list_does(stage: Stage, alice: Browser) -> None:
    """The search shows a contact as the list does; a contact of a book for callers has no link."""
    serve(stage)
    [found], listed, [caller] = (
        re.findall(r"(?s)<li>\s*<span class=\"face.*?</ul>\s*</li>", page.body)
        for page in (
            alice.submit("/acme/search", sought="anna"),
            alice.get("/acme/contacts"),
            alice.submit("/acme/search", sought=CALLER.phones[0].number.e164),
        )
    )
    assert found in listed
    assert "Ferienhaus" in found
    assert f"<strong>{CALLER.name}</strong>" in caller
    assert "carl" not in caller
    assert 'href="/' not in caller


def test_before_a_contact_is_stored_anew(stage: Stage, alice: Browser) -> None:
    """The page shows a contact that the database does not have with the numbers of the directory.

    The contacts of a file are never stored.
    """
    serve(stage, [replace(ANNA, uid="c77")])
    assert "Anna Berg Berg & Söhne +49 30 1234567 +49 176 04069007 Mobile" in words_on(alice.get("/acme/contacts"))
    add(alice, "desk1", numbers=NumberMode.ENTRIES.value)
    words = words_on(alice.get("/acme/contacts/c77"))
    assert "What your phones show Anna Berg +49301234567 In a list Anna Berg +49301234567 When +49 30 1234567" in words
    assert "one entry per number" not in words


def test_without_contacts(stage: Stage) -> None:
    """A person without contacts reads that the first sync is still to come."""
    stage.catalog.publish(Snapshot(Dit((), Features("1"))), ())
    browser = stage.visitor()
    assert "Your contacts appear here after the first sync." in browser.get("/acme/contacts").body
    assert browser.get("/acme/contacts/c1").status == 404


def test_no_name_and_no_number_is_in_an_address(alice: Browser) -> None:
    """Links have ids, letters and numbers of pages; only a link that calls has a telephone number."""
    for path in ("/acme/contacts", "/acme/contacts/c1"):
        links = re.findall(r'(?:href|src|action)="([^"]*)"', alice.get(path).body)
        ours = [link for link in links if not link.startswith("tel:")]
        assert not any(re.search(r"Anna|Berg|\d{7}", link) for link in ours if "google" not in link)
