# SPDX-License-Identifier: MIT
"""Browsing: sections in the phones' order, starred contacts first where the tenant wants that, and turns of work."""

from __future__ import annotations

from dataclasses import replace

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from ldapgw.contact import STARRED as STAR
from ldapgw.contact import Contact, Sharing
from ldapgw.directory.book import FAVOURITES, build_book
from ldapgw.directory.dit import Directory, Dit
from ldapgw.directory.special_entries import Features
from ldapgw.phones.contact_browser import PAGE_SIZE, ContactBrowser, ContactPage
from tests.support.phonebook import naming_context
from tests.support.phonebook.turns import Turns

NAMES = ("***", "3M", "Ärmel", "Zoë", "zora", "Ива", "1")


def browse(
    people: list[Contact], section: str = "", number: int = 1, *, first: bool = False
) -> tuple[ContactPage, int]:
    """A page, and the turns that it took."""
    context = replace(naming_context(), favourites=first, favourites_first=first)
    labels = {STAR: FAVOURITES} if first else {}
    book = build_book(context, "a", "alice", Sharing.PRIVATE, people, labels, per_number=False)
    clock = Clock()
    turns = Turns(clock)
    done: list[ContactPage] = []
    browser = ContactBrowser(lambda: Dit((Directory(context, (book,)),), Features("1")), turns.turn_of)
    Deferred.fromCoroutine(browser.page("acme", ["a"], "a", section, number)).addCallback(done.append)
    clock.advance(0)
    assert set(turns.asked) <= {"page of a"}
    return done[0], len(turns.asked)


def names(page: ContactPage) -> list[str]:
    return [one.entry.attribute("cn")[0].decode() for one in page.contacts]


def test_sections() -> None:
    """Digits, letters however they are written, and at the end names without letters."""
    people = [Contact(f"c{at}", name=name) for at, name in enumerate(NAMES)]
    page, _ = browse(people)
    assert names(page) == ["3M", "Ärmel", "Ива", "Zoë", "zora", "***", "1"]
    assert [*page.sections.items()] == [("digits", 1), ("a", 1), ("i", 1), ("z", 2), ("other", 2)]
    assert names(browse(people, "z")[0]) == ["Zoë", "zora"]
    assert names(browse(people, "other")[0]) == ["***", "1"]
    assert (page.total, page.page_count) == (7, 1)


def test_starred_contacts_come_first() -> None:
    """Where the tenant wants that, in a section of their own, and nowhere else."""
    people = [Contact("c1", name="Ada"), Contact("c2", name="Zoë", labels=(STAR,)), Contact("c3", name="Zorn")]
    page, _ = browse(people, first=True)
    assert [(one.section, one.id) for one in page.contacts] == [("starred", "c2"), ("a", "c1"), ("z", "c3")]
    assert names(browse(people, "z", first=True)[0]) == ["Zorn"]
    assert names(browse(people, "starred", first=True)[0]) == ["Zoë"]


@pytest.mark.parametrize(
    ("number", "first", "count"), [(1, "N 0000", 50), (40, "N 1950", 50), (41, "N 2000", 1), (42, "", 0)]
)
def test_a_large_book_is_read_in_turns(number: int, first: str, count: int) -> None:
    """A page of any number costs phones a millisecond at a time."""
    page, turns = browse([Contact(f"c{at}", name=f"N {at:04}") for at in range(2001)], number=number)
    assert (next(iter(names(page)), ""), len(page.contacts), page.page_count) == (first, count, -(-2001 // PAGE_SIZE))
    assert turns >= 8
