# SPDX-License-Identifier: MIT
"""Lists of contacts for phones that ask over HTTP: the query, the filter that finds its contacts, and a listed contact.

`ldapgw.phones.book_reader` reads a list, and `ldapgw.phones.book_formats` writes a list in the format of a phone.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from ldapgw.directory.book import DIRECTORY
from ldapgw.directory.dit import ContactFlags
from ldapgw.directory.entry import Entry, NumberFormatter
from ldapgw.directory.filter import And, Equality, Filter, GreaterOrEqual, Not, Or, Present
from ldapgw.directory.naming_context import NamingContext
from ldapgw.phones.explain.query import PERSON, typeahead_filter
from ldapgw.phones.provisioning.settings import NUMBER_ATTRIBUTES

# The kinds of numbers that lists contain: only numbers that people dial.
DIALLED = ("work", "mobile", "home")

# The kind of a number, by its attribute.  telephoneNumber comes last, because its value may repeat a number of another
# attribute.
KINDS = {
    "mobile": "mobile",
    "homePhone": "home",
    "facsimileTelephoneNumber": "fax",
    "pager": "pager",
    "telephoneNumber": "work",
}


_NAMES = ("cn", "givenName", "sn", "o")
_LISTED = (*_NAMES, *NUMBER_ATTRIBUTES)
LIST_ATTRIBUTES = (*_NAMES, *KINDS)


class BookChoice(StrEnum):
    """The choice of contacts for a list."""

    ALL = ""
    OWN = "own"
    SHARED = "shared"
    DIRECTORY = DIRECTORY


@dataclass(frozen=True, slots=True, repr=False)
class ListQuery:
    """A phone's request for a list.

    If text, letter and number are empty, the list has all contacts with a number.

    :ivar text: the beginning of a name or number.
    :ivar letter: the first letter of the names to list, from a to z.  "z" includes all names that sort after "z"; "#"
        stands for all names that sort before "a".
    :ivar number: a complete telephone number.
    :ivar first: how many contacts to leave out at the list's beginning.
    :ivar count: the maximum number of contacts to return.
    """

    text: str = ""
    letter: str = ""
    number: str = ""
    book: BookChoice = BookChoice.ALL
    first: int = 0
    count: int = 1000


class ListedContact(NamedTuple):
    """A contact in a list.

    :ivar numbers: pairs of a number in the format for phones and the kind of this number, which is one of `DIALLED`.
        No number occurs twice.
    :ivar flags: the flags that the reader of the list has asked for.  The names of labels are set only if the reader
        has asked for the contacts' origin (book and id).
    :ivar id: an id that no other contact in the list has, and that stays the same as long as Google has the contact.
        The id is empty if the reader has not asked for the contacts' origin.
    :ivar book: the name of the contact's book; empty if the reader has not asked for the contacts' origin.
    """

    name: str
    given_name: str
    family_name: str
    company: str
    numbers: tuple[tuple[str, str], ...]
    flags: ContactFlags
    id: str = ""
    book: str = ""

    def __repr__(self) -> str:
        return "<ListedContact>"


_HAS_NUMBER = Present("telephoneNumber")
NO_FLAGS = ContactFlags()


def list_filter(query: ListQuery, context: NamingContext) -> Filter:
    if query.number:
        return number_filter(query.number, context)
    if query.text:
        return And((typeahead_filter(query.text), _HAS_NUMBER))
    if query.letter == "#":
        return And((PERSON, _HAS_NUMBER, Not(GreaterOrEqual("cn", b"a"))))
    if query.letter:
        letters: list[Filter] = [GreaterOrEqual("cn", query.letter.encode())]
        if query.letter < "z":
            letters.append(Not(GreaterOrEqual("cn", chr(ord(query.letter) + 1).encode())))
        return And((PERSON, _HAS_NUMBER, *letters))
    return And((PERSON, _HAS_NUMBER))


def number_filter(number: str, context: NamingContext) -> Filter:
    """Return the filter for a complete number.

    With lenient matching, a filter that names a complete number and one attribute searches all attributes with numbers.
    """
    value = number.encode()
    return Equality("telephoneNumber", value) if context.lenient else Or(tuple(Equality(name, value) for name in KINDS))


def listed_contact(entry: Entry, flags: ContactFlags, formatter: NumberFormatter | None) -> ListedContact:
    texts = entry.texts(_LISTED, formatter)
    # telephoneNumber may repeat a number of another attribute.  The name of the other attribute then tells the kind.
    numbers = {number: KINDS[attribute] for attribute in NUMBER_ATTRIBUTES for number in texts[attribute]}
    name, given_name, family_name, company = [values[0] if (values := texts[name]) else "" for name in _NAMES]
    return ListedContact(name, given_name, family_name, company, tuple(numbers.items()), flags)
