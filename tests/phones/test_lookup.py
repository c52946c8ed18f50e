# SPDX-License-Identifier: MIT
"""What phones find, looked up for the pages."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from ldapgw.contact import Contact, Kind, Phone, Sharing
from ldapgw.directory.book import build_book
from ldapgw.directory.dit import Directory, Dit
from ldapgw.directory.special_entries import Features
from ldapgw.numbers.phone_number import parse
from ldapgw.phones.contact_browser import MAX_CONTACTS, ContactBrowser, LookupResult
from tests.support.phonebook import contacts, naming_context
from tests.support.phonebook.turns import Turns

ALICE, BOB = "alice@acme.example", "bob@acme.example"


def finder(bob: Sharing = Sharing.PRIVATE, clock: Clock | None = None, more: int = 0) -> ContactBrowser:
    """Alice has the fixture's contacts, Bob one, and another of Alice's, and as many more as asked for."""
    context = naming_context()
    number = parse("+49 30 999 000", "DE")
    assert number is not None
    xaver = Contact(
        uid="z", name="Xaver Quitt", given_name="Xaver", family_name="Quitt", phones=(Phone(Kind.WORK, number),)
    )
    crowd = [Contact(uid=f"n{at}", name=f"Aaa {at:05}", given_name="Aaa", family_name=f"{at:05}") for at in range(more)]
    books = (
        build_book(context, "alice", ALICE, Sharing.PRIVATE, contacts(), {}, per_number=False),
        build_book(context, "bob", BOB, bob, [xaver, contacts()[0], *crowd], {}, per_number=False),
    )
    dit = Dit((Directory(context, books),), Features("1"))
    return ContactBrowser(lambda: dit, Turns(clock or Clock()).turn_of)


def result(work: Any) -> Any:
    done: list[Any] = []
    Deferred.fromCoroutine(work).addBoth(done.append)
    (found,) = done
    if hasattr(found, "raiseException"):
        found.raiseException()
    return found


def names(found: LookupResult) -> list[str]:
    return [hit.name for hit in found.contacts]


@pytest.mark.parametrize(
    "text",
    [
        "mull",
        "  MÜLLER ",
        "mueller h",
        "hans m",
        "mü ha",
        "426068",
        "+49 30 1234567",
        "030 1234",
        "(030) 12345-6",
        "0171",
    ],
)
def test_names_and_numbers_while_they_are_typed(text: str) -> None:
    """However they are written."""
    assert "Hans Müller" in names(result(finder().find("acme", ["alice"], text)))


@pytest.mark.parametrize("text", ["", "   ", "\t", "zzzz", "(cn=*)", "99999999"])
def test_what_finds_nobody(text: str) -> None:
    """Nothing, and what is no name: a filter is not read."""
    assert result(finder().find("acme", ["alice"], text)) == LookupResult()


def test_the_books_of_several_accounts() -> None:
    """Every entry is found once."""
    assert names(result(finder(Sharing.SHARED).find("acme", ["alice", "bob"], "xaver"))) == ["Xaver Quitt"]


def test_a_hit() -> None:
    """Each number once, with the attribute that says what it is for; company, mail and book."""
    (hit,) = result(finder().find("acme", ["bob"], "xaver")).contacts
    assert (hit.name, hit.numbers, hit.book) == ("Xaver Quitt", (("+4930999000", "telephoneNumber"),), BOB)
    mobile = [number for one in result(finder().find("acme", ["alice"], "hans mul")).contacts for number in one.numbers]
    assert len({number for number, _ in mobile}) == len(mobile)
    assert "mobile" in {attribute for _, attribute in mobile}


def test_callers_are_found_by_their_whole_number() -> None:
    """As on a phone; their book is not named."""
    (hit,) = result(finder(Sharing.CALLERS).find("acme", ["alice"], "+4930999000")).contacts
    assert (hit.name, hit.book) == ("Xaver Quitt", "")


def test_only_so_many() -> None:
    """There are more, it says."""
    found = result(finder(more=100).find("acme", ["bob"], "aaa"))
    assert (len(found.contacts), found.complete) == (MAX_CONTACTS, False)
    assert names(found)[0] == "Aaa 00000"


def test_others_get_their_turn() -> None:
    """A search that has to look at many contacts, as digits for letters do, gives way between two slices."""
    clock = Clock()
    done: list[Any] = []
    Deferred.fromCoroutine(finder(clock=clock, more=5000).find("acme", ["bob"], "2223")).addBoth(done.append)
    assert not done
    clock.advance(0)
    assert done == [LookupResult()]


def test_an_example() -> None:
    """A contact of the book itself, with a name and a number; none of a book that is not there."""
    example = result(finder(Sharing.SHARED).example("acme", "bob"))
    assert example.numbers
    assert example.book == BOB
    assert result(finder().example("acme", "nobody")) is None
