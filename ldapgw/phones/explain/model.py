# SPDX-License-Identifier: MIT
"""An explanation as values, as the JSON object of a command, and as lines for people; and notes on stored numbers.

A note says how a stored telephone number is dialled, and why the number is changed for dialling.  The notes appear in
explanations, on the page of a contact, and in the output of ``numbers check``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any

from ldapgw.contact import Contact, Phone
from ldapgw.directory.access import BookAccess
from ldapgw.directory.dit import ContactFlags
from ldapgw.numbers import Number, Rule
from ldapgw.numbers.phone_number import readable, typed_digits
from ldapgw.numbers.stored_numbers import is_understood
from ldapgw.phones.explain.query import PhoneQuery, QueryKind, is_blank
from ldapgw.phrase import Phrase, Texts, Translatable, joined, read_texts


class MatchKind(StrEnum):
    """The ways in which an entry's value fulfils a term of a filter."""

    WORDS = "words"
    SEVERAL_WORDS = "several_words"
    KEYS = "keys"
    ALSO = "also"
    NUMBER = "number"
    OTHER_KIND = "other_kind"
    NUMBER_END = "number_end"
    SWITCHBOARD = "switchboard"
    DIGITS = "digits"
    VALUE = "value"
    PRESENT = "present"


class MissReason(StrEnum):
    """The reasons why a phone does not find a contact, the nearest misses first (`misses.REASON_RANKS`)."""

    PRIVATE_BOOK = "private_book"
    GROUP_BOOK = "group_book"
    CALLERS_BOOK = "callers_book"
    OUTSIDE_BASE = "outside_base"
    NO_NUMBER = "no_number"
    NUMBER_ENTRIES = "number_entries"
    SIZE_LIMIT = "size_limit"
    STRICT_MATCHING = "strict_matching"
    FILTER_TERM = "filter_term"
    DUPLICATE = "duplicate"
    OTHER_ATTRIBUTE = "other_attribute"
    WHOLE_VALUE = "whole_value"
    WORDS_APART = "words_apart"
    INSIDE_WORD = "inside_word"
    SPELLING = "spelling"
    OTHER_COUNTRY = "other_country"
    LAST_DIGITS = "last_digits"
    ONE_DIGIT = "one_digit"
    SOME_WORDS = "some_words"
    OTHER_BEGINNING = "other_beginning"
    SHORT_NUMBER = "short_number"


class ReasonText(Texts, frozen=True):
    """The text of a reason; a `misses.MissCause` has the values for the placeholders.

    :ivar advice: the advice to an administrator.
    :ivar user_advice: the advice to a user; empty if users get `advice` too.
    :ivar file_advice: the advice about a contact of a file, which nobody can change at Google; empty if the other
        advice fits too.
    """

    message: str
    advice: str
    user_advice: str = ""
    file_advice: str = ""


class _ExplanationTexts(Texts, frozen=True):
    """The texts of explanations.

    :ivar word_variant: replaces the text of `MatchKind.WORDS` if the term does not contain the spelling that was found
        in the value.
    :ivar private_book_message: the message about private books if the reader is not allowed to know the contacts of
        private books.
    :ivar own_book_advice: the advice if the phone does not see the reader's own book, which contains the contact.
    :ivar file_sharing_advice: the advice if the sharing of the contact's file hides the file from the phone.
    :ivar last_digit: a text for a placeholder in another text, like `last_digits`, `word` and `word_in_attribute`.
    :ivar unknown_attribute: the text of a note (`ExplanationNote`).  The fields behind this field, up to and including
        `trouble`, are texts of notes too.  Most of these fields have the same name as the code of their note.
    :ivar access: sentences about a contact's book that the phone cannot see; a sentence is added to the text of another
        reason.
    :ivar states: texts by the state of a book's sync.
    :ivar skipped: texts about what a sync has left out, by the reasons in an account's ``skipped``.
    """

    word_variant: str
    private_book_message: str
    private_book_advice: str
    own_book_advice: str
    file_sharing_advice: str
    last_digit: str
    last_digits: str
    word: str
    word_in_attribute: str
    unknown_attribute: str
    empty_number: str
    no_number: str
    no_such_beginning: str
    no_such_word: str
    region: str
    ringing: str
    stripped: str
    star: str
    placeholder: str
    affix: str
    everybody: str
    everybody_first: str
    max_hits: str
    list_setting: str
    list_filter: str
    typed_star: str
    trouble: str
    reasons: Mapping[MissReason, ReasonText]
    access: Mapping[MissReason, str]
    matches: Mapping[MatchKind, str]
    states: Mapping[str, str]
    skipped: Mapping[str, str]


TEXTS = read_texts("phones/texts/explain", _ExplanationTexts)


class NumberReading(StrEnum):
    """A way to read the digits in a query as a telephone number."""

    TYPED = "typed"
    WITHOUT_OUTSIDE_LINE = "without_outside_line"
    WITH_PLUS = "with_plus"
    WITH_AREA_CODE = "with_area_code"
    WITHOUT_AREA_CODE = "without_area_code"


@dataclass(frozen=True, slots=True, repr=False)
class NumberVariant:
    """A number that the search looked for, in E.164 form if the country is known, else as digits."""

    number: str
    reading: NumberReading


@dataclass(frozen=True, slots=True)
class SearchedBook:
    """A book that the search covered."""

    name: str
    access: BookAccess


@dataclass(frozen=True, slots=True)
class BookSyncState:
    """The state of the sync of a book that the phone sees.

    :ivar state: as in ``status.json``: ok, syncing, waiting, attention, disconnected.
    :ivar error: the sync's error in plain words; empty if the sync has no error.
    :ivar skipped: the number of persons or numbers that the sync left out, by reason.
    """

    name: str
    access: BookAccess
    state: str
    error: Translatable = ""
    skipped: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, repr=False)
class MatchedTerm:
    """A reason why an entry matched: a term of the filter, and the value of the entry that fulfils the term.

    :ivar value: the value; empty if only an alternative name of the contact fulfils the term.
    :ivar variant: the variant that term and value have in common; empty if term and value are the same text.
    """

    attribute: str
    value: str
    term: str
    kind: MatchKind
    variant: str = ""


@dataclass(frozen=True, slots=True, repr=False)
class MatchedEntry:
    """An entry that the phone finds.

    :ivar book: the name of the entry's book; empty for an entry from a caller-ID book, and for the tenant's own entry.
    :ivar number_notes: sentences on numbers that are not dialled as stored; empty if the reader is not allowed to know
        the stored numbers.
    """

    name: str
    dn: str
    book: str
    matched_terms: tuple[MatchedTerm, ...]
    is_tenant: bool = False
    flags: ContactFlags = ContactFlags()  # noqa: RUF009  frozen
    number_notes: tuple[Phrase, ...] = ()


@dataclass(frozen=True, slots=True, repr=False)
class MissedContact:
    """A contact that exists and that the phone does not find.

    :ivar name: the contact's name.  If the reader is not allowed to know the contact, `name`, `dn` and `book`
        are empty.
    :ivar message: the cause, in a sentence or two.
    :ivar advice: the remedy, in a sentence.
    """

    reason: MissReason
    name: str
    dn: str
    book: str
    message: Phrase
    advice: Phrase


@dataclass(frozen=True, slots=True)
class ExplanationNote:
    """A note on the whole query or on a whole book."""

    code: str
    message: Phrase


@dataclass(frozen=True, slots=True, repr=False)
class Explanation:
    """The explanation of a search.

    :ivar filter: the filter that the phone sends (RFC 4515).
    :ivar keypad: whether the search has read digits also as letters on the telephone's keys.
    :ivar entry_count: the number of entries that the phone gets; `matches` holds only the first of these entries.
    :ivar complete: false if a limit has cut the result.
    :ivar more_misses: the number of near misses that are not in `misses`.
    :ivar plan: the index terms that the search read, in words; empty if unknown.
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
    """The person who reads an explanation, and the facts that the explanation may reveal to this person.

    :ivar hides_private_books: true if the explanation must reveal nothing of private books and caller-ID books.  If the
        search is for a complete number, an administrator still learns that a private book has the number.
    :ivar is_admin: whether advice may name commands and settings.
    :ivar own_books: keys of the reader's own books, which are never hidden from the reader.
    """

    hides_private_books: bool
    is_admin: bool
    own_books: frozenset[str] = frozenset()


# OPERATOR stands for a person at the command line, who may read the database anyway.  USER stands for a person at a
# page, whose rights are not known.
OPERATOR = ExplanationReader(hides_private_books=False, is_admin=True)
USER = ExplanationReader(hides_private_books=True, is_admin=False)


# --- forms ------------------------------------------------------------------------------------------------------------

_READINGS = {
    NumberReading.TYPED: "{number}",
    NumberReading.WITHOUT_OUTSIDE_LINE: "{number} (without the prefix for an outside line)",
    NumberReading.WITH_PLUS: "{number} (with + before it)",
    NumberReading.WITH_AREA_CODE: "{number} (with the area code)",
    NumberReading.WITHOUT_AREA_CODE: "{number} (without the area code)",
}

_BOOKS = {
    BookAccess.OWN: "{name} (the phone's own)",
    BookAccess.SHARED: "{name} (shared)",
    BookAccess.GROUP: "{name} (shared with a group)",
    BookAccess.DIRECTORY: "{name} (the Workspace directory)",
    BookAccess.CALLERS: "{name} (callers' names only)",
}

# The report for people names at most this many books.  The JSON object names all books.
_MAX_BOOKS = 10

_KINDS = {QueryKind.TEXT: "the name", QueryKind.NUMBER: "the number", QueryKind.FILTER: "the filter"}


def explanation_json(explanation: Explanation) -> dict[str, Any]:
    """Return the JSON object of ``ldapgw explain --json``."""
    return {
        "query": {"asked": explanation.query.text, "kind": explanation.query.kind.value},
        "filter": explanation.filter,
        "base": explanation.base,
        "matching": "lenient" if explanation.lenient else "strict",
        "forms": list(explanation.name_variants),
        "keypad": explanation.keypad,
        "numbers": [*map(_texts_json, explanation.numbers)],
        "books": [{"name": book.name, "seen": book.access.value} for book in explanation.books],
        "plan": explanation.plan,
        "found": explanation.entry_count,
        "complete": explanation.complete,
        "matches": [_match_json(match) for match in explanation.matches],
        "misses": [*map(_texts_json, explanation.misses)],
        "more_misses": explanation.more_misses,
        "notes": [*map(_texts_json, explanation.notes)],
    }


def report_lines(explanation: Explanation) -> Iterator[str]:
    """Yield the lines for people.  The details of a line follow on further lines, indented."""
    yield f"Asked for  {_asked(explanation.query)}"
    if explanation.query.kind is not QueryKind.FILTER:
        yield f"Sent as    {explanation.filter}"
    yield f"Tried as   {_tried(explanation)}"
    yield f"Base       {explanation.base}"
    yield f"Searched in  {_books(explanation.books)}"
    if explanation.plan:
        yield f"Looked up  {explanation.plan}"
    yield from _matches(explanation)
    yield from _misses(explanation)
    if explanation.notes:
        yield ""
        yield "Good to know:"
        yield from (f"  {note.message}" for note in explanation.notes)


def _asked(query: PhoneQuery) -> str:
    return "everybody (nothing was typed)" if is_blank(query.text) else f"{_KINDS[query.kind]} {query.text}"


def _tried(explanation: Explanation) -> str:
    variants = [f"“{name}”" for name in explanation.name_variants]
    variants += [_READINGS[variant.reading].format(number=variant.number) for variant in explanation.numbers]
    if explanation.keypad:
        variants.append("the letters on these keys")
    if not explanation.lenient:
        variants.append("typed, by the strict rules of RFC 4517")
    return ", ".join(variants) or "typed"


def _books(books: Sequence[SearchedBook]) -> str:
    shown = [_BOOKS[book.access].format(name=book.name) for book in books[:_MAX_BOOKS]]
    if len(books) > _MAX_BOOKS:
        shown.append(f"and {len(books) - _MAX_BOOKS} more")
    return ", ".join(shown) or "no address book (this phone can’t see any)"


def _matches(explanation: Explanation) -> Iterator[str]:
    yield ""
    if not explanation.entry_count:
        yield "Found: nothing."
        return
    more = "" if explanation.complete else ", and there are more: the answer reached a limit"
    yield f"Found: {explanation.entry_count}{more}."
    for match in explanation.matches:
        flags = "".join(f", {flag}" for flag in _flags(match))
        place = "the tenant's own entry" if match.is_tenant else f"in {match.book}" if match.book else "as a caller"
        yield f"  {match.name}, {place}{flags}"
        yield from (f"    {sentence}" for sentence in (*match_sentences(match), *match.number_notes))
    if explanation.entry_count > len(explanation.matches):
        yield f"  … and {explanation.entry_count - len(explanation.matches)} more."


def _flags(match: MatchedEntry) -> list[str]:
    return [flag for flag in ("favourite", "blocked") if getattr(match.flags, flag)]


def match_sentences(match: MatchedEntry) -> Iterator[Phrase]:
    """Return sentences with the reasons why an entry was found; attributes with the same reason share one sentence."""
    groups: dict[tuple[MatchKind, str, str], list[MatchedTerm]] = {}
    for term in match.matched_terms:
        groups.setdefault((term.kind, term.value, term.variant), []).append(term)
    return map(_match_sentence, groups.values())


def _match_sentence(terms: Sequence[MatchedTerm]) -> Phrase:
    first = terms[0]
    is_obvious = first.kind is not MatchKind.WORDS or not first.variant or first.variant in first.term.lower()
    values = {
        "attribute": ", ".join(dict.fromkeys(term.attribute for term in terms)),
        "value": first.value,
        "term": ", ".join(dict.fromkeys(term.term for term in terms)),
        "form": first.variant,
    }
    return Phrase(TEXTS.matches[first.kind] if is_obvious else TEXTS.word_variant, values)


def _misses(explanation: Explanation) -> Iterator[str]:
    if not explanation.misses:
        return
    yield ""
    yield "Similar contacts that were not found:"
    printed: set[str] = set()
    for miss in explanation.misses:
        if miss.name:
            yield f"  {miss.name}, in {miss.book}"
            yield f"    {miss.message}"
        else:
            yield f"  {miss.message}"
        # Several contacts may have the same problem, so each advice is printed only once.
        if str(miss.advice) not in printed:
            printed.add(str(miss.advice))
            yield f"    → {miss.advice}"
    if explanation.more_misses:
        yield f"  … and {explanation.more_misses} more."


def _match_json(match: MatchedEntry) -> dict[str, Any]:
    matched_terms = [
        {
            "attribute": term.attribute,
            "value": term.value,
            "term": term.term,
            "how": term.kind.value,
            "form": term.variant,
        }
        for term in match.matched_terms
    ]
    return {
        "name": match.name,
        "dn": match.dn,
        "book": match.book,
        "because": matched_terms,
        "flags": _flags(match),
        "numbers": [str(note) for note in match.number_notes],
    }


def _texts_json(value: NumberVariant | MissedContact | ExplanationNote) -> dict[str, str]:
    """Return all fields of a value as texts."""
    return {field.name: str(getattr(value, field.name)) for field in fields(value)}


# --- notes on stored numbers ------------------------------------------------------------------------------------------


class _NumberTexts(Texts, frozen=True):
    """The texts on stored numbers.

    :ivar reasons: the reasons why a number is not dialled as it is stored.
    """

    stored: str
    dialled: str
    not_understood: str
    reasons: Mapping[Rule, str]


_TEXTS = read_texts("phones/texts/numbers", _NumberTexts)

REASONS = _TEXTS.reasons


def note_on(phone: Phone) -> Translatable:
    """Return a sentence to show beside a number; empty if the number is dialled as it is stored."""
    reasons = _reasons(phone)
    if reasons is None:
        return "" if is_understood(phone.number) else _TEXTS.not_understood
    return Phrase(_TEXTS.stored, {"stored": _stored(phone), "reasons": reasons})


def notes_on(contact: Contact) -> Iterator[Phrase]:
    """Return the sentences on the numbers of a contact that are not dialled as they are stored."""
    for phone in contact.phones:
        reasons = _reasons(phone)
        if reasons is not None:
            values = {"stored": _stored(phone), "dialled": number_text(phone.number), "reasons": reasons}
            yield Phrase(_TEXTS.dialled, values)


def number_text(number: Number) -> str:
    """Return a number as people read it: with its country code if the country is known.

    If the country is not known, return the number as the gateway dials the number.
    """
    if number.e164:
        return f"{number.code} {readable(number.e164)}".lstrip()
    return typed_digits(number) if number.rules else number.typed


def _stored(phone: Phone) -> str:
    return " ".join((phone.stored or phone.number.typed).split())


def _reasons(phone: Phone) -> Phrase | None:
    rules = phone.number.rules
    return joined([Phrase(REASONS[rule]) for rule in rules]) if rules else None
