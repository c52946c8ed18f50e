# SPDX-License-Identifier: MIT
"""The form that the formats of phone books for HTTP clients share: read a client's request, and write the answer.

`ldapgw.phones.xml_books` has the formats of vendors, and `ldapgw.phones.contact_feed` has the format of softphones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from ldapgw.directory.book import DIRECTORY
from ldapgw.phones.book_reader import BookChoice, ListedContact, ListLength, ListQuery

# The longest text that is searched for, in characters.
MAX_TEXT = 100
# The parameters in which phones send the text of a search.  Links that the gateway makes use the first parameter.
SEARCHED = ("q", "query", "search", "name")
# More contacts than any directory has.
MAX_CONTACTS = 10_000_000

Parameters = Mapping[str, str]
# The elements of each contact in an answer.
Elements = Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class ListAddress:
    """The address of a phone book, for links in its answers.

    :ivar url: the URL, which may hold the phone's secret; a query is left out.
    :ivar parameters: those parameters of the request that links have to keep.
    """

    url: str
    parameters: Parameters

    def __repr__(self) -> str:
        return "<ListAddress>"

    def link(self, **parameters: object) -> str:
        """Return the URL with further parameters."""
        query = urlencode({**self.parameters, **parameters})
        return f"{self.url}?{query}" if query else self.url


@dataclass(frozen=True, slots=True)
class BookFormat:
    """The format of a phone book.

    :ivar name: the name of the format; of an XML phone book, the vendor, which is also the model's key in `MODELS`.
    :ivar contact: writes the elements of a contact.
    :ivar write: writes the answer from the elements of each contact.
    :ivar read: reads a request, and returns either a query or the text of a page without contacts (a menu, or a form
        for a search).
    :ivar has_flags: whether `contact` writes the contact's flags.
    :ivar has_origin: whether `contact` writes the contact's id, book and labels.
    :ivar has_links: whether `write` writes links to the phone book's own address.
    :ivar media_type: the media type of all answers.
    """

    name: str
    contact: Callable[[ListedContact], Sequence[str]]
    write: Callable[[Elements, ListQuery, ListLength, ListAddress], str]
    read: Callable[[Parameters, ListAddress], ListQuery | str]
    has_flags: bool = False
    has_origin: bool = False
    has_links: bool = False
    media_type: str = "text/xml; charset=utf-8"


def searched_text(parameters: Parameters) -> str:
    """Return the text that a phone searches for; empty if there is none."""
    return next((text for name in SEARCHED if (text := parameters.get(name, "").strip("* "))), "")[:MAX_TEXT]


def read_query(parameters: Parameters, most: int) -> ListQuery:
    """Read a request for the whole book, for a part of the book or for a search.

    :param most: the maximum number of contacts in an answer, which is also the default.
    """
    letter = parameters.get("letter", "").lower()
    book = parameters.get("book", "")
    return ListQuery(
        text=searched_text(parameters),
        letter=letter if letter == "#" or (len(letter) == 1 and "a" <= letter <= "z") else "",
        book=BookChoice(book) if book in (BookChoice.OWN, BookChoice.SHARED, DIRECTORY) else BookChoice.ALL,
        first=_number(parameters.get("first", ""), 0, MAX_CONTACTS),
        count=_number(parameters.get("count", ""), most, most),
    )


def _number(text: str, default: int, most: int) -> int:
    return min(int(text), most) if text.isascii() and text.isdigit() and len(text) < 9 else default
