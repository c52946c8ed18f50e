# SPDX-License-Identifier: MIT
"""An explanation in a reader's words, with what to click on to mend it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from urllib.parse import quote

from ldapgw.contact import Sharing
from ldapgw.directory.dn import Dn
from ldapgw.phones.explain.model import Explanation, Match, Miss, Reading, Seen
from ldapgw.phones.explain.report import because
from ldapgw.phones.explain.texts import Reason
from ldapgw.phrase import Phrase, Said, marked
from ldapgw.store.accounts import Account
from ldapgw.store.phones import PhoneLogin

# A page; the rest is counted.
MOST_BOOKS = 10
MOST_MATCHES = 10
MOST_MISSES = 5

# What people call the attributes; any other is called by its name.
_ATTRIBUTES: Mapping[str, str] = {
    "cn": marked("the name"),
    "givenName": marked("the given name"),
    "sn": marked("the family name"),
    "o": marked("the company"),
    "ou": marked("the department"),
    "title": marked("the job title"),
    "mail": marked("the e-mail address"),
    "telephoneNumber": marked("the number"),
    "mobile": marked("the mobile number"),
    "homePhone": marked("the home number"),
    "facsimileTelephoneNumber": marked("the fax number"),
    "pager": marked("the pager number"),
    "l": marked("the town"),
    "street": marked("the street"),
    "postalAddress": marked("the address"),
}
_READINGS: Mapping[Reading, str] = {
    Reading.TYPED: "%(number)s",
    Reading.WITHOUT_OUTSIDE_LINE: marked("%(number)s (without the outside line)"),
    Reading.WITH_PLUS: marked("%(number)s (with + before it)"),
}
_SEEN: Mapping[Seen, str] = {
    Seen.OWN: marked("the phone’s own"),
    Seen.SHARED: marked("shared"),
    Seen.DIRECTORY: "",
    Seen.CALLERS: marked("only callers’ names"),
}
_IN_SETTINGS = frozenset(
    (Reason.OUTSIDE_BASE, Reason.NUMBER_ENTRIES, Reason.FILTER_TERM, Reason.OTHER_ATTRIBUTE, Reason.WHOLE_VALUE)
)
_AT_GOOGLE = frozenset(
    (
        *(Reason.OUTSIDE_BASE, Reason.NO_NUMBER, Reason.FILTER_TERM, Reason.SPELLING, Reason.SOME_WORDS),
        *(Reason.OTHER_COUNTRY, Reason.LAST_DIGITS, Reason.ONE_DIGIT, Reason.OTHER_BEGINNING, Reason.SHORT_NUMBER),
    )
)


@dataclass(frozen=True, slots=True)
class Fix:
    """What to click on.

    :ivar leaves: it leads away from the gateway.
    """

    address: str
    words: str
    leaves: bool = False


@dataclass(frozen=True, slots=True, repr=False)
class Row:
    """A contact that was found or not, with sentences about it.

    :ivar name: empty: it has none but its numbers, or nobody may be named.
    :ivar book: of whom; empty: of nobody who may be named.
    """

    name: str
    book: str
    sentences: tuple[Said, ...]
    advice: Said = ""
    fixes: tuple[Fix, ...] = ()


@dataclass(frozen=True, slots=True, repr=False)
class Group:
    """Contacts, one behind the other, for which the advice is the same: it is given once."""

    advice: Said
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True, repr=False)
class Wording:
    """All of it.

    :ivar tried: the forms of the name or the number.
    :ivar books: those that were looked in, and how the phone sees them.
    :ivar more_books: how many besides; so with the others.
    :ivar found: how many entries the phone gets.
    """

    filter: str
    base: str
    tried: tuple[Said, ...]
    keypad: bool
    lenient: bool
    books: tuple[tuple[str, Said], ...]
    more_books: int
    found: int
    complete: bool
    matches: tuple[Row, ...]
    misses: tuple[Group, ...]
    more_misses: int
    notes: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Place:
    """Where the reader stands.

    :ivar home: the path of the tenant's page.
    :ivar accounts: the reader's own, in the order of their page.
    """

    home: str
    phone: PhoneLogin
    accounts: Sequence[Account]

    def own(self, book: str) -> tuple[int, Account] | None:
        """The reader's account behind a book, with its place on their page; None: it is somebody else's."""
        return next(((at, one) for at, one in enumerate(self.accounts, start=1) if one.address == book), None)


def wording(told: Explanation, place: Place) -> Wording:
    """An explanation for a page."""
    books = [(book.name, _SEEN[book.seen]) for book in told.books]
    numbers = [Phrase(_READINGS[one.reading], {"number": one.number}) for one in told.numbers]
    return Wording(
        filter=told.filter,
        base=told.base,
        tried=(*(Phrase("“%(form)s”", {"form": form}) for form in told.forms), *numbers),
        keypad=told.keypad,
        lenient=told.lenient,
        books=tuple(books[:MOST_BOOKS]),
        more_books=max(len(books) - MOST_BOOKS, 0),
        found=told.found,
        complete=told.complete,
        matches=tuple(map(_match, told.matches[:MOST_MATCHES])),
        misses=tuple(_grouped(_miss(miss, place) for miss in told.misses[:MOST_MISSES])),
        more_misses=told.more_misses + max(len(told.misses) - MOST_MISSES, 0),
        notes=tuple(Row("", "", (note.message,)) for note in told.notes),
    )


def _match(match: Match) -> Row:
    return Row(match.name, match.book, tuple(map(_spoken, because(match))))


def _miss(miss: Miss, place: Place) -> Row:
    name = miss.name if any(map(str.isalpha, miss.name)) else ""
    return Row(name, miss.book, (_spoken(miss.message),), miss.advice, tuple(_fixes(miss, place)))


def _grouped(rows: Iterable[Row]) -> Iterator[Group]:
    for _, same in groupby(rows, key=lambda row: str(row.advice)):
        together = tuple(same)
        yield Group(together[0].advice, together)


def _fixes(miss: Miss, place: Place) -> Iterator[Fix]:
    own = place.own(miss.book)
    if own and own[1].id != place.phone.account_id and own[1].sharing is not Sharing.SHARED:
        yield Fix(f"{place.home}?account={own[0]}#sharing", marked("Choose who sees this book"))
    if miss.reason in _IN_SETTINGS:
        yield Fix(f"{place.home}phones/{place.phone.name}#settings", marked("See the phone’s settings"))
    uid = Dn.parse(miss.dn).rdns[0][0][1] if miss.dn else ""
    # An "other contact" cannot be changed, and somebody else's cannot be opened.
    if own and miss.reason in _AT_GOOGLE and uid.startswith("c"):
        address = f"https://contacts.google.com/person/{quote(uid)}?authuser={quote(own[1].address)}"
        yield Fix(address, marked("Open the contact at Google"), leaves=True)


def _spoken(said: Phrase) -> Phrase:
    """With the attributes as people call them."""
    values = {name: _spoken(value) if isinstance(value, Phrase) else value for name, value in said.values.items()}
    if "attribute" in values:
        names = str(values["attribute"]).split(", ")
        values["attribute"] = _listed([_ATTRIBUTES.get(name, name) for name in dict.fromkeys(names)])
    return Phrase(said.message, values)


def _listed(names: Sequence[str]) -> Phrase:
    """Words one behind the other."""
    first = Phrase(names[0])
    return first if len(names) == 1 else Phrase("%(one)s, %(more)s", {"one": first, "more": _listed(names[1:])})
