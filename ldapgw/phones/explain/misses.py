# SPDX-License-Identifier: MIT
"""The near misses: contacts that nearly match a query and that the phone does not find, with reasons and advice."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate, chain
from typing import Final, NamedTuple

from ldapgw.directory.access import BookAccess
from ldapgw.directory.assertion import TextPredicate
from ldapgw.directory.book import Book
from ldapgw.directory.dn import Dn
from ldapgw.directory.entry import Entry
from ldapgw.directory.filter import And, Equality, Filter, Or, to_string
from ldapgw.directory.naming_context import NamingContext
from ldapgw.directory.schema import AttributeType, Family
from ldapgw.phones.explain.model import TEXTS, ExplanationReader, MissedContact, MissReason
from ldapgw.phones.explain.near_misses import (
    DIALLED_TYPES,
    NAME_ATTRIBUTES,
    TEXT_TYPES,
    NumberDifference,
    SearchTexts,
    WordDifference,
    asserted_numbers,
    asserted_texts,
    near_miss_filters,
    number_difference,
)
from ldapgw.phones.explain.terms import (
    as_lenient,
    filter_terms,
    has_number_assertion,
    numbers_of,
    search_text,
    term_predicate,
)
from ldapgw.phones.explain.view import BookSearch, PhoneSearchResult, PhoneView, book_of, name_of, text_of
from ldapgw.phrase import Phrase, joined

# The first reason of each rank, in the order of `MissReason`.  Contacts are equally near to the query if their reasons
# have the same rank.
_FIRST_OF_RANK = (
    *(MissReason.SIZE_LIMIT, MissReason.DUPLICATE, MissReason.INSIDE_WORD, MissReason.SOME_WORDS),
    MissReason.SHORT_NUMBER,
)
REASON_RANKS: Final = dict(
    zip(MissReason, accumulate(int(reason in _FIRST_OF_RANK) for reason in MissReason), strict=True)
)

# The first rank of contacts that are only similar to the query and do not contain the query.
_FIRST_SIMILAR_RANK = REASON_RANKS[MissReason.INSIDE_WORD]

_ACCESS_REASONS = {
    BookAccess.PRIVATE: MissReason.PRIVATE_BOOK,
    BookAccess.OTHER_GROUP: MissReason.GROUP_BOOK,
    BookAccess.CALLERS: MissReason.CALLERS_BOOK,
}

# A contact that has only some words of a query is a near miss if one of the words has at least this many letters.
_MIN_SIGNIFICANT_LENGTH = 3


@dataclass(frozen=True, slots=True, repr=False)
class MissCause:
    """The reason why a phone does not find an entry, with the values for the text of the reason.

    :ivar values: the values for the placeholders in the reason's text.
    :ivar distance: the distance from the query, by which causes with the same reason are sorted.
    """

    reason: MissReason
    values: Mapping[str, object]
    distance: int = 0


class MissClassifier:
    """The classifier that finds out why entries do not match a filter.

    :ivar texts: the texts for which the filter asks in text attributes.
    :ivar numbers: the numbers for which the filter asks, read in each possible way.
    """

    def __init__(
        self, search_filter: Filter, context: NamingContext, matches_filter: Callable[[Filter, Entry], bool]
    ) -> None:
        self._search_filter = search_filter
        self._context = context
        self._matches_filter = matches_filter
        self._terms = tuple(term for term in filter_terms(search_filter) if term.family in (Family.TEXT, Family.NUMBER))
        self.texts = asserted_texts(self._terms)
        self.numbers = asserted_numbers(self._terms, context)
        self._asserted_attributes = frozenset(
            kind.name for term in self._terms if term.text for kind in term.tested_types(context)
        )
        self._equality_texts = frozenset(term.text for term in self._terms if isinstance(term.item, Equality))
        self._predicates = self._term_predicates(context)
        self._lenient_predicates = () if context.lenient else self._term_predicates(as_lenient(context))
        self._word_differences = tuple(WordDifference(text, as_lenient(context)) for text in self.texts)

    def classify(self, entry: Entry) -> MissCause | None:
        """Return the cause of an entry's mismatch with the filter; None if the entry is no near miss."""
        tested = ((kind.name, entry.search_text(kind), test) for kind, test in self._predicates)
        if any(text is not None and test(text) for _, text, test in tested):
            terms = ", ".join(dict.fromkeys(map(to_string, self._false_terms(self._search_filter, entry))))
            return MissCause(MissReason.FILTER_TERM, {"terms": terms})
        return self._strict_matching_cause(entry) or self._number_cause(entry) or self._text_cause(entry)

    def _term_predicates(self, context: NamingContext) -> tuple[tuple[AttributeType, TextPredicate], ...]:
        """Return the tests of the terms by attribute; a presence term tests no values."""
        predicates = (
            (kind, term_predicate(term.item, kind, context))
            for term in self._terms
            if term.text
            for kind in term.tested_types(context)
        )
        return tuple((kind, test) for kind, test in predicates if test)

    def _false_terms(self, search_filter: Filter, entry: Entry) -> Iterator[Filter]:
        """Yield the terms that make a filter false for an entry."""
        if isinstance(search_filter, And):
            for term in search_filter.terms:
                yield from self._false_terms(term, entry)
        elif not self._matches_filter(search_filter, entry):
            yield search_filter

    def _strict_matching_cause(self, entry: Entry) -> MissCause | None:
        for kind, test in self._lenient_predicates:
            lenient_text = search_text(entry, kind, self._context)
            if lenient_text is not None and test(lenient_text):
                return MissCause(
                    MissReason.STRICT_MATCHING, {"attribute": kind.name, "value": text_of(entry, kind.name)}
                )
        return None

    def _number_cause(self, entry: Entry) -> MissCause | None:
        differences: list[tuple[NumberDifference, int, str]] = []
        for index, kind in enumerate(DIALLED_TYPES if self.numbers else ()):
            is_asked = kind.name in self._asserted_attributes
            for value, stored in numbers_of(entry, kind, self._context):
                difference = number_difference(stored, self.numbers)
                if difference and not (is_asked and difference.reason is MissReason.OTHER_ATTRIBUTE):
                    differences.append((difference, index, value))
        if not differences:
            return None
        difference, index, value = min(differences, key=lambda found: (found[0].distance, *found[1:]))
        digits = Phrase(
            TEXTS.last_digit if difference.digits == 1 else TEXTS.last_digits,
            {"count": str(difference.digits)},
        )
        values = {"attribute": DIALLED_TYPES[index].name, "value": value, "digits": digits}
        return MissCause(difference.reason, values, difference.distance[1])

    def _text_cause(self, entry: Entry) -> MissCause | None:
        texts = ((kind.name, search_text(entry, kind, self._context)) for kind in TEXT_TYPES)
        search_texts = {name: text for name, text in texts if text is not None}
        causes = [
            cause
            for words in self._word_differences
            for cause in (
                *self._same_attribute_causes(words, entry, search_texts),
                *_scattered_word_causes(words, search_texts),
                *_spelling_causes(words, entry),
            )
        ]
        return min(causes, key=lambda cause: REASON_RANKS[cause.reason], default=None)

    def _same_attribute_causes(
        self, words: WordDifference, entry: Entry, search_texts: SearchTexts
    ) -> Iterator[MissCause]:
        for name in search_texts:
            values = {"attribute": name, "value": text_of(entry, name)}
            if not words.has_prefix(name, search_texts):
                if words.has_substring(name, search_texts):
                    yield MissCause(MissReason.INSIDE_WORD, values)
            elif name not in self._asserted_attributes:
                yield MissCause(MissReason.OTHER_ATTRIBUTE, values)
            elif words.text in self._equality_texts:
                yield MissCause(MissReason.WHOLE_VALUE, values)


def _scattered_word_causes(words: WordDifference, search_texts: SearchTexts) -> Iterator[MissCause]:
    """Yield the cause if an entry has the words of the query in different attributes, or has only some of the words."""
    attributes = words.attributes_by_word(search_texts)
    present = {word: attribute for word, attribute in attributes.items() if attribute}
    found = [Phrase(TEXTS.word_in_attribute, {"value": word, "attribute": name}) for word, name in present.items()]
    if attributes and len(present) == len(attributes):
        yield MissCause(MissReason.WORDS_APART, {"value": joined(found)})
    elif any(len(word) >= _MIN_SIGNIFICANT_LENGTH for word in present):
        missing = [Phrase(TEXTS.word, {"value": word}) for word in attributes if word not in present]
        yield MissCause(MissReason.SOME_WORDS, {"value": joined(found), "missing": joined(missing)})


def _spelling_causes(words: WordDifference, entry: Entry) -> Iterator[MissCause]:
    for name in NAME_ATTRIBUTES:
        for value in entry.attribute(name):
            if words.is_misspelt(value.decode()):
                yield MissCause(MissReason.SPELLING, {"attribute": name, "value": value.decode()})


class RankedMiss(NamedTuple):
    """A missed contact with its sort key: rank of the reason, distance, position of the book, and name."""

    sort_key: tuple[int, int, int, bytes]
    miss: MissedContact

    @property
    def has_query(self) -> bool:
        """Return whether the contact contains the query.

        Other contacts are only similar to the query, and are listed only if the phone finds nothing.
        """
        return self.sort_key[0] < _FIRST_SIMILAR_RANK


class MissFinder:
    """The finder of the contacts that a phone's search misses."""

    def __init__(
        self, search_filter: Filter, view: PhoneView, result: PhoneSearchResult, base: str, reader: ExplanationReader
    ) -> None:
        self._search_filter = search_filter
        self._view = view
        self._context = view.context
        self._result = result
        self._is_whole_tenant = Dn.parse(base).key in (self._context.base.key, ())
        self._is_number = has_number_assertion(search_filter)
        self._reader = reader

    def find(self, private: Iterable[Book]) -> Iterator[RankedMiss]:
        """Yield all missed contacts, book by book.

        :param private: books that the phone does not see.
        """
        hidden_books: list[Book] = []
        number = 0
        viewer = self._view.tenant_viewer
        hidden = ((book, viewer.access_to_rest(book)) for book in private)
        books = chain(self._view.books(), hidden)
        for number, (book, access) in enumerate(books):
            if (
                access in _ACCESS_REASONS
                and self._reader.hides_private_books
                and book.key not in self._reader.own_books
            ):
                hidden_books += [book] * (access is not BookAccess.CALLERS)
                continue
            for entry, cause in self._book_misses(book, access):
                sort_key = REASON_RANKS[cause.reason], cause.distance, number, entry.sort_key + entry.dn.encode()
                yield RankedMiss(sort_key, self._miss(entry, cause, book, access))
        # The phone's user must not learn of other people's private books, but an administrator may.
        yield from self._private_book_misses(hidden_books if self._reader.is_admin else (), number)

    def _book_misses(self, book: Book, access: BookAccess) -> Iterator[tuple[Entry, MissCause]]:
        book_search = BookSearch(self._context, self._view.dit.features, book)
        classifier = MissClassifier(
            self._search_filter, self._context, lambda term, entry: book_search.matches(entry, term)
        )
        done: set[str] = set()
        for entry in book_search.candidates(self._search_filter):
            done.add(entry.dn)
            cause = self._matching_cause(entry, access, book_search)
            if cause:
                yield entry, cause
        for near_miss_filter in near_miss_filters(classifier.texts, classifier.numbers, self._context):
            for entry in book_search.candidates(near_miss_filter):
                if entry.dn not in done and not self._is_found(entry, access, book.name):
                    done.add(entry.dn)
                    cause = classifier.classify(entry)
                    if cause:
                        yield entry, cause

    def _is_found(self, entry: Entry, access: BookAccess, book: str) -> bool:
        return (
            self._result.has_caller(entry)
            if access is BookAccess.CALLERS
            else self._result.has_contact(book, text_of(entry, "uid"))
        )

    def _matching_cause(self, entry: Entry, access: BookAccess, book_search: BookSearch) -> MissCause | None:
        """Return the reason why a matching entry is not in the result; None if the phone finds the entry."""
        if self._is_found(entry, access, book_search.name):
            return None
        per_number = self._view.viewer.per_number
        entries = book_search.number_entries(text_of(entry, "uid")) if per_number else (entry,)
        duplicate = next((other for shown in entries if (other := self._result.find_duplicate(shown))), None)
        if access in _ACCESS_REASONS:
            return None if duplicate else MissCause(_ACCESS_REASONS[access], {})
        if duplicate is not None:
            return MissCause(MissReason.DUPLICATE, {"other": book_of(duplicate, self._context) or name_of(duplicate)})
        if not entries:
            return MissCause(MissReason.NO_NUMBER, {})
        if not self._is_whole_tenant:
            return MissCause(MissReason.OUTSIDE_BASE, {"base": str(self._context.base)})
        if not self._result.complete:
            return MissCause(MissReason.SIZE_LIMIT, {"count": str(len(self._result.entries))})
        return MissCause(MissReason.NUMBER_ENTRIES, {}) if per_number else None

    def _miss(self, entry: Entry, cause: MissCause, book: Book, access: BookAccess) -> MissedContact:
        texts = TEXTS.reasons[cause.reason]
        # If the query is a complete number, the advice is to share the book for caller ID, which reveals nothing but
        # names of callers.
        is_for_callers = self._is_number and access is not BookAccess.CALLERS
        values = {
            **cause.values,
            "book": book.name,
            "group": book.sharing.group,
            "sharing": "callers" if is_for_callers else "shared",
        }
        message = Phrase(texts.message, values)
        advice = Phrase(self._advice(cause.reason, book), values)
        if access in _ACCESS_REASONS and cause.reason not in _ACCESS_REASONS.values():
            hidden = _ACCESS_REASONS[access]
            message = _two_sentences(message, Phrase(TEXTS.access[hidden], values))
            advice = _two_sentences(advice, Phrase(self._advice(hidden, book), values))
        return MissedContact(cause.reason, name_of(entry), entry.dn, book.name, message, advice)

    def _advice(self, reason: MissReason, book: Book) -> str:
        if reason in _ACCESS_REASONS.values() and book.key in self._reader.own_books:
            return TEXTS.own_book_advice
        if reason in _ACCESS_REASONS.values() and book.is_file:
            return TEXTS.file_sharing_advice
        texts = TEXTS.reasons[reason]
        if book.is_file and texts.file_advice:
            return texts.file_advice
        return texts.advice if self._reader.is_admin else texts.user_advice or texts.advice

    def _private_book_misses(self, books: Iterable[Book], number: int) -> Iterator[RankedMiss]:
        """Yield one miss, without name and book, if a private book has a complete number for which the filter asks.

        Only complete numbers are searched, so that nobody can probe private books for anything else.

        :param number: the position of the last book, for the sort key.
        """
        numbers = Or(tuple(_whole_numbers(self._search_filter)))
        for book in books if numbers.terms else ():
            book_search = BookSearch(self._context, self._view.dit.features, book)
            if any(self._result.find_duplicate(entry) is None for entry in book_search.candidates(numbers)):
                miss = MissedContact(
                    MissReason.PRIVATE_BOOK,
                    "",
                    "",
                    "",
                    Phrase(TEXTS.private_book_message),
                    Phrase(TEXTS.private_book_advice),
                )
                yield RankedMiss((REASON_RANKS[MissReason.PRIVATE_BOOK], 0, number, b""), miss)
                return


def _two_sentences(one: Phrase, other: Phrase) -> Phrase:
    return Phrase("%(one)s %(other)s", {"one": one, "other": other})


def _whole_numbers(search_filter: Filter) -> Iterator[Filter]:
    return (
        term.item
        for term in filter_terms(search_filter)
        if term.family is Family.NUMBER and isinstance(term.item, Equality)
    )
