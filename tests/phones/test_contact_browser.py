# SPDX-License-Identifier: MIT
"""The pages browse contacts by section and look up names and numbers, in slices that keep phones served."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from ldapgw.contact import STARRED as STAR
from ldapgw.contact import Contact, Kind, Sharing
from ldapgw.directory.book import FAVOURITES, build_book
from ldapgw.numbers.phone_number import NumberFormat
from ldapgw.phones.contact_browser import (
    MAX_CONTACTS,
    PAGE_SIZE,
    BrowsedContact,
    ContactBrowser,
    ContactPage,
    LookupResult,
    numbers_of,
)
from tests.support.phonebook import contacts, naming_context, trees
from tests.support.phonebook.entries import phone
from tests.support.phonebook.turns import Turns
from tests.support.phonebook.wire import dit_of
from tests.support.results import result_of

NAMES = ("***", "3M", "Ärmel", "Zoë", "zora", "Ива", "1")


def browse(
    people: list[Contact], section: str = "", number: int = 1, *, first: bool = False
) -> tuple[ContactPage, int]:
    """Return a page, and the number of turns."""
    context = replace(naming_context(), favourites=first, favourites_first=first)
    labels = {STAR: FAVOURITES} if first else {}
    dit = dit_of(people, context, labels)
    clock = Clock()
    turns = Turns(clock)
    done: list[ContactPage] = []
    browser = ContactBrowser(lambda: dit, turns.turn_of)
    Deferred.fromCoroutine(browser.page("acme", ["alice"], "alice", section, number)).addCallback(done.append)
    clock.advance(0)
    assert set(turns.asked) <= {"page of alice"}
    return done[0], len(turns.asked)


def names(page: ContactPage) -> list[str]:
    return [one.entry.attribute("cn")[0].decode() for one in page.contacts]


def test_sections() -> None:
    """Digits come first, then letters without regard to accents and scripts, and at the end names without letters."""
    people = [Contact(f"c{at}", name=name) for at, name in enumerate(NAMES)]
    page, _ = browse(people)
    assert names(page) == ["3M", "Ärmel", "Ива", "Zoë", "zora", "***", "1"]
    assert [*page.sections.items()] == [("digits", 1), ("a", 1), ("i", 1), ("z", 2), ("other", 2)]
    assert names(browse(people, "z")[0]) == ["Zoë", "zora"]
    assert names(browse(people, "other")[0]) == ["***", "1"]
    assert (page.total, page.page_count) == (7, 1)


def test_starred_contacts_come_first() -> None:
    """If the tenant wants this, starred contacts appear only in their own section."""
    people = [Contact("c1", name="Ada"), Contact("c2", name="Zoë", labels=(STAR,)), Contact("c3", name="Zorn")]
    page, _ = browse(people, first=True)
    assert [(one.section, one.id) for one in page.contacts] == [("starred", "c2"), ("a", "c1"), ("z", "c3")]
    assert names(browse(people, "z", first=True)[0]) == ["Zorn"]
    assert names(browse(people, "starred", first=True)[0]) == ["Zoë"]


@pytest.mark.parametrize(
    ("number", "first", "count"), [(1, "N 0000", 50), (40, "N 1950", 50), (41, "N 2000", 1), (42, "", 0)]
)
def test_a_large_book_is_read_in_turns(number: int, first: str, count: int) -> None:
    """The work for any page is split into turns, so phones wait only a millisecond at a time."""
    page, turns = browse([Contact(f"c{at}", name=f"N {at:04}") for at in range(2001)], number=number)
    assert (next(iter(names(page)), ""), len(page.contacts), page.page_count) == (first, count, -(-2001 // PAGE_SIZE))
    assert turns >= 31


# --- lookups ----------------------------------------------------------------------------------------------------------

ALICE, BOB = "alice@acme.example", "bob@acme.example"


def finder(
    bob: Sharing = Sharing.PRIVATE,
    clock: Clock | None = None,
    more: int = 0,
    number_format: NumberFormat = NumberFormat.E164,
) -> ContactBrowser:
    """Make a finder over Alice's contacts, and over two contacts of Bob with ``more`` invented contacts."""
    context = naming_context(number_format=number_format)
    numbers = (phone(Kind.WORK, "+49 30 999 000"),)
    xaver = Contact(uid="z", name="Xaver Quitt", given_name="Xaver", family_name="Quitt", phones=numbers)
    crowd = [Contact(uid=f"n{at}", name=f"Aaa {at:05}", given_name="Aaa", family_name=f"{at:05}") for at in range(more)]
    books = (
        build_book(context, "alice", ALICE, Sharing.PRIVATE, contacts(), {}, per_number=False),
        build_book(context, "bob", BOB, bob, [xaver, contacts()[0], *crowd], {}, per_number=False),
    )
    dit = trees.dit_of(*books, context=context)
    return ContactBrowser(lambda: dit, Turns(clock or Clock()).turn_of)


def find(text: str, *accounts: str, **world: Any) -> LookupResult:
    return cast("LookupResult", result_of(finder(**world).find("acme", accounts, text)))


def numbers_in(hit: BrowsedContact) -> tuple[tuple[str, str], ...]:
    """Return the numbers of a contact, each with its attribute, as on the page."""
    return tuple(numbers_of(hit.entry, hit.context).items())


def names_found(*asked: str, **world: Any) -> list[str]:
    return [hit.name for hit in find(*asked, **world).contacts]


@pytest.mark.parametrize(
    "text",
    [*("mull", "  MÜLLER ", "mueller h", "hans m", "mü ha", "426068"),
     *("+49 30 1234567", "030 1234", "(030) 12345-6", "0171")],
)  # fmt: skip
def test_names_and_numbers_while_they_are_typed(text: str) -> None:
    """Each way to write a name or a number finds the contact."""
    assert "Hans Müller" in names_found(text, "alice")


@pytest.mark.parametrize("text", ["", "   ", "\t", "zzzz", "(cn=*)", "99999999"])
def test_what_finds_nobody(text: str) -> None:
    """Blanks, unknown names and filters find nobody."""
    assert find(text, "alice") == LookupResult()


def test_the_books_of_several_accounts() -> None:
    """A search in the books of several accounts returns each entry once."""
    assert names_found("xaver", "alice", "bob", bob=Sharing.SHARED) == ["Xaver Quitt"]


def test_a_hit() -> None:
    """A result has each number once with its attribute, the book and the id."""
    [hit] = find("xaver", "bob").contacts
    numbers = (("+4930999000", "telephoneNumber"),)
    assert (hit.name, numbers_in(hit), hit.book_name, hit.id) == ("Xaver Quitt", numbers, BOB, "z")
    [hans] = find("hans mul", "alice").contacts
    assert "mobile" in dict(numbers_in(hans)).values()


def test_callers_are_found_by_their_whole_number() -> None:
    """A caller is found as on a phone. The result hides the book, and has no link to a contact page."""
    [hit] = find("+4930999000", "alice", bob=Sharing.CALLERS).contacts
    assert (hit.name, hit.book_name, hit.id, hit.is_own) == ("Xaver Quitt", "", "", False)


@pytest.mark.parametrize(("matching", "complete"), [(MAX_CONTACTS, True), (MAX_CONTACTS + 1, False), (100, False)])
def test_only_so_many(matching: int, complete: bool) -> None:
    """The result is limited, and says whether more contacts match."""
    found = find("aaa", "bob", more=matching)
    assert (len(found.contacts), found.complete, found.contacts[0].name) == (MAX_CONTACTS, complete, "Aaa 00000")


def test_others_get_their_turn() -> None:
    """A search through many contacts gives way to other work between two slices."""
    clock = Clock()
    done: list[Any] = []
    Deferred.fromCoroutine(finder(clock=clock, more=5000).find("acme", ["bob"], "2223")).addBoth(done.append)
    assert not done
    clock.advance(0)
    assert done == [LookupResult()]


def test_an_example() -> None:
    """The example is a named contact of the book with a number. An unknown book has no example."""
    assert result_of(finder(Sharing.SHARED).example("acme", "bob")) == ("Hans Müller", "+49301234567")
    assert result_of(finder().example("acme", "nobody")) is None


def test_an_example_has_the_number_as_phones_get_it() -> None:
    """The example has the tenant's format. Results of a search have E.164, because the page can call their numbers."""
    _, number = result_of(finder(number_format=NumberFormat.NATIONAL).example("acme", "bob"))
    assert number.startswith("0")
    [hit] = find("quitt", "bob", number_format=NumberFormat.NATIONAL).contacts
    assert numbers_in(hit) == (("+4930999000", "telephoneNumber"),)
