# SPDX-License-Identifier: MIT
"""The examples of ``how-a-search-finds-people.rst``: each row is searched for, through the entry that it makes."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ldapgw.contact import Contact, Kind, Phone
from ldapgw.directory import filter_matcher, name_folding
from ldapgw.directory.filter import Equality, Filter, GreaterOrEqual, LessOrEqual, Substrings
from ldapgw.directory.naming_context import NamingContext
from ldapgw.numbers import phone_number, stored_numbers
from ldapgw.numbers.phone_number import NumberFormat
from tests.support import rst
from tests.support.checkout import ROOT
from tests.support.filter_text import read_filter
from tests.support.phonebook import naming_context
from tests.support.phonebook.entries import entry

PAGE = ROOT / "docs" / "explanation" / "how-a-search-finds-people.rst"
CONTEXT = naming_context()


def rows(title: str) -> list[tuple[str, tuple[str, ...], tuple[str, ...]]]:
    """A table of what is in the book, what finds it, and what does not."""
    return [(held.literals[0], yes.literals, no.literals) for held, yes, no in rst.table(PAGE, title)]


def person(name: str) -> Contact:
    """Somebody of whom no more than a name is known."""
    return Contact("c1", name=name, family_name=name)


def subscriber(written: str) -> Contact:
    """Somebody of whom no more than a number is known."""
    return Contact("c1", phones=tuple(Phone(Kind.WORK, one) for one in stored_numbers.read(written, CONTEXT.region)))


def finds(sought: Filter, contact: Contact, context: NamingContext = CONTEXT) -> bool | None:
    return filter_matcher.prepare(sought, context).predicate.matches(entry(contact, lenient=context.lenient))


def begins(name: str) -> Filter:
    """Return a phone's filter while a name is typed."""
    return Substrings("cn", name.encode(), (), None)


def is_dialled(written: str) -> Filter:
    """Return a phone's filter when the phone rings."""
    return Equality("telephoneNumber", written.encode())


def is_part(written: str) -> Filter:
    """A part of a number with stars."""
    initial, *middle, final = (part.encode() for part in written.split("*"))
    return Substrings("telephoneNumber", initial or None, tuple(middle), final or None)


NAMES = ("Names", "Several words", "Scripts", "Keys")


@pytest.mark.parametrize("title", NAMES)
def test_names(title: str) -> None:
    """A name is found by the beginning of any of its words, however it is spelt, and by no other."""
    table = rows(title)

    assert [(name, typed) for name, yes, _ in table for typed in yes if not finds(begins(typed), person(name))] == []
    assert [(name, typed) for name, _, no in table for typed in no if finds(begins(typed), person(name))] == []


@pytest.mark.parametrize("name", [name for title in NAMES for name, _, _ in rows(title)])
def test_every_name_is_found_by_itself(name: str) -> None:
    """As a whole, by its beginning, and by any part."""
    octets = name.encode()
    asked = [
        Equality("cn", octets),
        Substrings("sn", octets, (), None),
        Substrings("displayName", None, (octets,), None),
    ]

    assert [finds(sought, person(name)) for sought in asked] == [True, True, True]


def test_order() -> None:
    """Names stand where people look for them."""
    for name, behind, before in rows("Order"):
        assert [(name, at) for at in behind if not finds(GreaterOrEqual("sn", at.encode()), person(name))] == []
        assert [(name, at) for at in before if not finds(LessOrEqual("sn", at.encode()), person(name))] == []
        others = [at for at in behind if name_folding.collation_key(at) != name_folding.collation_key(name)]
        assert [at for at in others if finds(LessOrEqual("sn", at.encode()), person(name))] == []


@pytest.mark.parametrize(("title", "asks"), [("Numbers", is_dialled), ("Parts of numbers", is_part)])
def test_numbers(title: str, asks: Callable[[str], Filter]) -> None:
    """A number is found by its other writings, and by no other number."""
    table = rows(title)

    assert [(held, text) for held, yes, _ in table for text in yes if not finds(asks(text), subscriber(held))] == []
    assert [(held, text) for held, _, no in table for text in no if finds(asks(text), subscriber(held))] == []


def test_what_is_stored() -> None:
    """Stored numbers are dialled as a network connects them."""
    for stored, dialled, _ in rst.table(PAGE, "What is stored"):
        read = stored_numbers.read(stored.literals[0], CONTEXT.region)
        assert [number.code + (number.e164 or number.digits) for number in read] == [*dialled.literals]


def test_formats() -> None:
    """A number is written as the setting says, and found by it."""
    for held, *told in rst.table(PAGE, "Formats"):
        contact = subscriber(held.literals[0])
        read = contact.phones[0].number
        written = [
            phone_number.format_number(read, form, CONTEXT.region, CONTEXT.outside_line) for form in NumberFormat
        ]

        assert written == [cell.literals[0] for cell in told]
        assert all(finds(is_dialled(text), contact) for text in written)


def test_to_the_letter() -> None:
    """With strict matching no more is found than RFC 4517 wants."""
    strict = naming_context(lenient=False)
    for text, yes, no in rows("Strict"):
        sought = read_filter(text)
        of = subscriber if "Number" in text else person
        assert [(text, held) for held in yes if not finds(sought, of(held), strict)] == []
        assert [(text, held) for held in no if finds(sought, of(held), strict)] == []
