# SPDX-License-Identifier: MIT
"""An explanation as a value: what was asked, where, what was found and why, and what was not.

Who reads an explanation, and so what it may tell.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from ldapgw.phones.explain.query import PhoneQuery
from ldapgw.phones.explain.texts import MatchKind, MissReason
from ldapgw.phrase import Phrase, Translatable


class BookAccess(StrEnum):
    """How a phone sees a book."""

    OWN = "own"
    SHARED = "shared"
    DIRECTORY = "directory"
    CALLERS = "callers"
    PRIVATE = "private"


class NumberReading(StrEnum):
    """How a number is read."""

    TYPED = "typed"
    WITHOUT_OUTSIDE_LINE = "without_outside_line"
    WITH_PLUS = "with_plus"


@dataclass(frozen=True, slots=True, repr=False)
class NumberVariant:
    """A number that was tried: E.164 where the country is known, else its digits."""

    number: str
    reading: NumberReading


@dataclass(frozen=True, slots=True)
class SearchedBook:
    """A book that was looked at."""

    name: str
    access: BookAccess


@dataclass(frozen=True, slots=True)
class BookSyncState:
    """What is known of the sync behind a book that the phone sees.

    :ivar state: as in ``status.json``: ok, syncing, waiting, attention, disconnected.
    :ivar trouble: the trouble in plain words; empty: none.
    :ivar skipped: how many persons were left out, by reason.
    """

    name: str
    access: BookAccess
    state: str
    error: Translatable = ""
    skipped: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, repr=False)
class MatchedTerm:
    """Why an entry matched: a value of it, and the term of the filter that it makes true.

    :ivar value: empty where no value but another name of the contact did.
    :ivar form: the form in which they meet, where that is not plain.
    """

    attribute: str
    value: str
    term: str
    kind: MatchKind
    variant: str = ""


@dataclass(frozen=True, slots=True, repr=False)
class MatchedEntry:
    """An entry that the phone finds.

    :ivar book: empty for a caller's name, and for the tenant's own entry.
    """

    name: str
    dn: str
    book: str
    matched_terms: tuple[MatchedTerm, ...]
    is_tenant: bool = False


@dataclass(frozen=True, slots=True, repr=False)
class MissedContact:
    """A contact that exists and was not found.

    :ivar name: empty, like `dn` and `book`, where it is none of the reader's business.
    :ivar message: what is in the way, as a sentence or two.
    :ivar advice: what to do about it, as a sentence.
    """

    reason: MissReason
    name: str
    dn: str
    book: str
    message: Phrase
    advice: Phrase


@dataclass(frozen=True, slots=True)
class ExplanationNote:
    """Something that concerns the whole query or a whole book."""

    code: str
    message: Phrase


@dataclass(frozen=True, slots=True, repr=False)
class Explanation:
    """All of it.

    :ivar filter: what the phone sends, as text.
    :ivar forms: the forms of a name that were tried.
    :ivar keypad: digits were read as letters on the keys too.
    :ivar plan: how the entries were found: which index was used; empty: not said.
    :ivar found: how many entries the phone gets; `matches` holds the first of them.
    :ivar complete: false where a limit has cut the answer.
    :ivar more_misses: how many contacts come near besides `misses`.
    """

    query: PhoneQuery
    filter: str
    base: str
    lenient: bool
    name_variants: tuple[str, ...]
    keypad: bool
    numbers: tuple[NumberVariant, ...]
    books: tuple[SearchedBook, ...]
    matches: tuple[MatchedEntry, ...]
    entry_count: int
    complete: bool
    misses: tuple[MissedContact, ...]
    more_misses: int
    notes: tuple[ExplanationNote, ...]
    plan: str = ""


@dataclass(frozen=True, slots=True)
class ExplanationReader:
    """A person.

    :ivar discreet: of books that the phone does not see, or not whole, nothing is told; to administrators that a whole
        number is in one of them.
    :ivar books: the keys of the reader's own books, of which everything is told all the same.
    :ivar administers: whether advice may name commands and settings.
    """

    hides_private_books: bool = False
    own_books: frozenset[str] = frozenset()
    is_admin: bool = True


# At the command line, who may read the database anyway; and at a page, somebody of whom nothing else is known.
OPERATOR = ExplanationReader()
USER = ExplanationReader(hides_private_books=True, is_admin=False)
