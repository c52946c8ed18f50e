# SPDX-License-Identifier: MIT
"""Why an entry does not match: by a term of the filter, by strict matching, or by what nearly agrees.

The contacts that exist, come near, and were not found: each once, with its reason and what to do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Final, NamedTuple

from ldapgw.directory.access import NamingContext
from ldapgw.directory.assertion import TextPredicate
from ldapgw.directory.book import Book
from ldapgw.directory.dn import Dn
from ldapgw.directory.entry import Entry
from ldapgw.directory.filter import And, Equality, Filter, Or, to_string
from ldapgw.directory.schema import AttributeType, Family, attribute_type
from ldapgw.phones.explain.model import BookAccess, ExplanationReader, MissedContact
from ldapgw.phones.explain.near_misses import (
    NAME_ATTRIBUTES,
    NUMBER_ATTRIBUTES,
    TEXT_ATTRIBUTES,
    DifferenceKind,
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
from ldapgw.phones.explain.texts import (
    ACCESS_TEXTS,
    OWN_BOOK_ADVICE,
    PRIVATE_BOOK_ADVICE,
    PRIVATE_BOOK_MESSAGE,
    REASON_TEXTS,
    MissReason,
)
from ldapgw.phones.explain.view import BookSearch, PhoneSearchResult, PhoneView, book_of, name_of, uid_of
from ldapgw.phrase import Phrase, gettext_noop

_NUMBER_REASONS: Final = {
    DifferenceKind.SAME: MissReason.OTHER_ATTRIBUTE,
    DifferenceKind.COUNTRY: MissReason.OTHER_COUNTRY,
    DifferenceKind.LAST_DIGITS: MissReason.LAST_DIGITS,
    DifferenceKind.ONE_DIGIT: MissReason.ONE_DIGIT,
    DifferenceKind.BEGINNING: MissReason.OTHER_BEGINNING,
    DifferenceKind.SHORT: MissReason.SHORT_NUMBER,
}

# The nearest first; those of one rank are as near as each other.
REASON_RANKS: Final[Mapping[MissReason, int]] = {
    reason: rank
    for rank, reasons in enumerate(
        (
            (
                MissReason.OUTSIDE_BASE,
                MissReason.NO_NUMBER,
                MissReason.NUMBER_ENTRIES,
                MissReason.PRIVATE_BOOK,
                MissReason.CALLERS_BOOK,
            ),
            (MissReason.STRICT_MATCHING, MissReason.FILTER_TERM, MissReason.SIZE_LIMIT),
            (MissReason.OTHER_ATTRIBUTE, MissReason.WHOLE_VALUE, MissReason.WORDS_APART, MissReason.DUPLICATE),
            (
                MissReason.OTHER_COUNTRY,
                MissReason.LAST_DIGITS,
                MissReason.ONE_DIGIT,
                MissReason.INSIDE_WORD,
                MissReason.SPELLING,
            ),
            (MissReason.OTHER_BEGINNING, MissReason.SOME_WORDS),
            (MissReason.SHORT_NUMBER,),
        )
    )
    for reason in reasons
}

_LAST, _LAST_FEW = gettext_noop("the last digit"), gettext_noop("the last %(count)s digits")
_MIN_TELLING_LENGTH = 3  # letters: a shorter one of several words tells nothing by itself


@dataclass(frozen=True, slots=True, repr=False)
class MissCause:
    """What stands between an entry and a query.

    :ivar told: what the words of the reason need.
    :ivar distance: how far off it is, of those with the same reason.
    """

    reason: MissReason
    values: Mapping[str, object]
    distance: int = 0


class MissClassifier:
    """Holds entries that do not match against a query.

    :param context: the tenant's.
    :param fulfils: whether an entry fulfils a filter, as the directory has it.
    :ivar texts: the texts that names and words are asked for.
    :ivar numbers: what the numbers that are asked for may mean.
    """

    def __init__(
        self, search_filter: Filter, context: NamingContext, matches_filter: Callable[[Filter, Entry], bool]
    ) -> None:
        self._search_filter = search_filter
        self._context = context
        self._matches_filter = matches_filter
        self._terms = tuple(leaf for leaf in filter_terms(search_filter) if leaf.family in (Family.TEXT, Family.NUMBER))
        self.texts = asserted_texts(self._terms)
        self.numbers = asserted_numbers(self._terms, context)
        self._asserted_attributes = frozenset(
            kind.name for leaf in self._terms if leaf.text for kind in leaf.attribute_types
        )
        self._equality_texts = frozenset(leaf.text for leaf in self._terms if isinstance(leaf.item, Equality))
        self._predicates = self._term_predicates(context)
        self._lenient_predicates = () if context.lenient else self._term_predicates(as_lenient(context))
        self._word_differences = tuple(WordDifference(text, as_lenient(context)) for text in self.texts)

    def classify(self, entry: Entry) -> MissCause | None:
        """What is in the way of an entry that does not match; None: it does not come near."""
        literal = ((kind.name, entry.search_text(kind), test) for kind, test in self._predicates)
        if any(sought is not None and test(sought) for _, sought, test in literal):
            terms = ", ".join(dict.fromkeys(map(to_string, self._false_terms(self._search_filter, entry))))
            return MissCause(MissReason.FILTER_TERM, {"terms": terms})
        return self._strict_matching_cause(entry) or self._number_cause(entry) or self._text_cause(entry)

    def _term_predicates(self, context: NamingContext) -> tuple[tuple[AttributeType, TextPredicate], ...]:
        """What the terms ask of values; presence asks nothing of them."""
        found = (
            (kind, term_predicate(leaf, kind, context))
            for leaf in self._terms
            if leaf.text
            for kind in leaf.attribute_types
        )
        return tuple((kind, test) for kind, test in found if test)

    def _false_terms(self, search_filter: Filter, entry: Entry) -> Iterator[Filter]:
        """The terms for whose sake a filter is not true of an entry."""
        if isinstance(search_filter, And):
            for term in search_filter.terms:
                yield from self._false_terms(term, entry)
        elif not self._matches_filter(search_filter, entry):
            yield search_filter

    def _strict_matching_cause(self, entry: Entry) -> MissCause | None:
        for kind, test in self._lenient_predicates:
            sought = search_text(entry, kind, self._context)
            if sought is not None and test(sought):
                return MissCause(
                    MissReason.STRICT_MATCHING, {"attribute": kind.name, "value": _first_value(entry, kind.name)}
                )
        return None

    def _number_cause(self, entry: Entry) -> MissCause | None:
        found: list[tuple[NumberDifference, int, str]] = []
        for at, kind in enumerate(map(attribute_type, NUMBER_ATTRIBUTES)) if self.numbers else ():
            for value, stored in numbers_of(entry, kind, self._context) if kind else ():
                least = number_difference(stored, self.numbers)
                if (
                    kind
                    and least
                    and (least.kind is not DifferenceKind.SAME or kind.name not in self._asserted_attributes)
                ):
                    found.append((least, at, value))
        if not found:
            return None
        least, at, value = min(found)
        digits = Phrase(_LAST if least.digits == 1 else _LAST_FEW, {"count": str(least.digits)})
        # With more digits alike at its end a number is nearer, with more that differ it is not.
        distance = -least.digits if least.kind is DifferenceKind.BEGINNING else least.digits
        values = {"attribute": NUMBER_ATTRIBUTES[at], "value": value, "digits": digits}
        return MissCause(_NUMBER_REASONS[least.kind], values, distance)

    def _text_cause(self, entry: Entry) -> MissCause | None:
        kinds = ((name, attribute_type(name)) for name in TEXT_ATTRIBUTES)
        fields = ((name, search_text(entry, kind, self._context)) for name, kind in kinds if kind)
        search_texts = {name: sought for name, sought in fields if sought is not None}
        findings = [
            finding
            for words in self._word_differences
            for finding in (
                *self._same_attribute_causes(words, entry, search_texts),
                *_scattered_word_causes(words, search_texts),
                *_spelling_causes(words, entry),
            )
        ]
        return min(findings, key=lambda finding: REASON_RANKS[finding.reason], default=None)

    def _same_attribute_causes(
        self, words: WordDifference, entry: Entry, search_texts: SearchTexts
    ) -> Iterator[MissCause]:
        for name in search_texts:
            values = {"attribute": name, "value": _first_value(entry, name)}
            if not words.has_prefix(name, search_texts):
                if words.has_substring(name, search_texts):
                    yield MissCause(MissReason.INSIDE_WORD, values)
            elif name not in self._asserted_attributes:
                yield MissCause(MissReason.OTHER_ATTRIBUTE, values)
            elif words.text in self._equality_texts:
                yield MissCause(MissReason.WHOLE_VALUE, values)


def _scattered_word_causes(words: WordDifference, search_texts: SearchTexts) -> Iterator[MissCause]:
    """Where several words were asked for and stand in several places."""
    places = words.attributes_by_word(search_texts)
    there = {word: place for word, place in places.items() if place}
    told = ", ".join(f"“{word}” ({place})" for word, place in there.items())
    if places and len(there) == len(places):
        yield MissCause(MissReason.WORDS_APART, {"value": told})
    elif any(len(word) >= _MIN_TELLING_LENGTH for word in there):
        missing = ", ".join(f"“{word}”" for word in places if word not in there)
        yield MissCause(MissReason.SOME_WORDS, {"value": told, "missing": missing})


def _spelling_causes(words: WordDifference, entry: Entry) -> Iterator[MissCause]:
    for name in NAME_ATTRIBUTES:
        for value in entry.attribute(name):
            if words.is_misspelt(value.decode()):
                yield MissCause(MissReason.SPELLING, {"attribute": name, "value": value.decode()})


def _first_value(entry: Entry, name: str) -> str:
    return next((value.decode() for value in entry.attribute(name)), "")


_ACCESS_REASONS = {BookAccess.PRIVATE: MissReason.PRIVATE_BOOK, BookAccess.CALLERS: MissReason.CALLERS_BOOK}


# From this rank on a contact has not what was asked for, but something like it.
_FIRST_SIMILAR_RANK = 3


class RankedMiss(NamedTuple):
    """A miss, and how near it comes: by its reason, how far it is off, its book, and its name."""

    sort_key: tuple[int, int, int, str]
    miss: MissedContact

    @property
    def has_query(self) -> bool:
        """Whether it has what was asked for; what is merely like that is told where nothing was found."""
        return self.sort_key[0] < _FIRST_SIMILAR_RANK


class MissFinder:
    """Looks for misses.

    :param sought: the phone's filter.
    :param base: where the phone's search begins.
    :param reader: whom they are told to.
    """

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
        """All misses, book by book.

        :param private: books that the phone does not see.
        """
        closed: list[Book] = []
        place = 0
        books = chain(self._view.books(), ((book, BookAccess.PRIVATE) for book in private))
        for place, (book, access) in enumerate(books):
            if (
                access in _ACCESS_REASONS
                and self._reader.hides_private_books
                and book.key not in self._reader.own_books
            ):
                closed += [book] * (access is BookAccess.PRIVATE)
                continue
            for entry, finding in self._book_misses(book, access):
                rank = REASON_RANKS[finding.reason], finding.distance, place, entry.sort_key + entry.dn
                yield RankedMiss(rank, self._miss(entry, finding, book, access))
        # For a phone, and so for a user, others' private books do not exist.
        yield from self._private_book_misses(closed if self._reader.is_admin else (), place)

    def _book_misses(self, book: Book, access: BookAccess) -> Iterator[tuple[Entry, MissCause]]:
        book_search = BookSearch(self._context, self._view.dit.features, book)
        judge = MissClassifier(self._search_filter, self._context, lambda term, entry: book_search.matches(entry, term))
        done: set[str] = set()
        for entry in book_search.candidates(self._search_filter):
            done.add(entry.dn)
            finding = self._matching_cause(entry, access, book_search)
            if finding:
                yield entry, finding
        for near in near_miss_filters(judge.texts, judge.numbers, self._context):
            for entry in book_search.candidates(near):
                if entry.dn not in done and not self._is_found(entry, access, book.name):
                    done.add(entry.dn)
                    finding = judge.classify(entry)
                    if finding:
                        yield entry, finding

    def _is_found(self, entry: Entry, access: BookAccess, book: str) -> bool:
        return (
            self._result.has_caller(entry)
            if access is BookAccess.CALLERS
            else self._result.has_contact(book, uid_of(entry))
        )

    def _matching_cause(self, entry: Entry, access: BookAccess, book_search: BookSearch) -> MissCause | None:
        """What is in the way of an entry that fulfils the filter; None: nothing, the phone has it."""
        if self._is_found(entry, access, book_search.name):
            return None
        per_number = self._view.viewer.per_number
        shown = book_search.number_entries(uid_of(entry)) if per_number else (entry,)
        duplicate = next((duplicate for one in shown if (duplicate := self._result.find_duplicate(one))), None)
        if access in _ACCESS_REASONS:
            return None if duplicate else MissCause(_ACCESS_REASONS[access], {})
        if duplicate is not None:
            return MissCause(MissReason.DUPLICATE, {"other": book_of(duplicate, self._context) or name_of(duplicate)})
        if not shown:
            return MissCause(MissReason.NO_NUMBER, {})
        if not self._is_whole_tenant:
            return MissCause(MissReason.OUTSIDE_BASE, {"base": str(self._context.base)})
        if not self._result.complete:
            return MissCause(MissReason.SIZE_LIMIT, {"count": str(len(self._result.entries))})
        return MissCause(MissReason.NUMBER_ENTRIES, {}) if per_number else None

    def _miss(self, entry: Entry, finding: MissCause, book: Book, access: BookAccess) -> MissedContact:
        words = REASON_TEXTS[finding.reason]
        # A whole number is answered by a book of callers' names too, and such a book gives nothing else away.
        values = {**finding.values, "book": book.name, "sharing": "callers" if self._is_number else "shared"}
        message = Phrase(words.message, values)
        if access in _ACCESS_REASONS and finding.reason not in _ACCESS_REASONS.values():
            message = Phrase(
                "%(one)s %(other)s", {"one": message, "other": Phrase(ACCESS_TEXTS[_ACCESS_REASONS[access]], values)}
            )
        advice = words.advice if self._reader.is_admin else words.user_advice or words.advice
        if finding.reason in _ACCESS_REASONS.values() and book.key in self._reader.own_books:
            advice = OWN_BOOK_ADVICE
        return MissedContact(finding.reason, name_of(entry), entry.dn, book.name, message, Phrase(advice, values))

    def _private_book_misses(self, closed: Iterable[Book], place: int) -> Iterator[RankedMiss]:
        """Whether somebody has the number, by the numbers alone: nothing else can be felt for.

        :param place: behind all books that are seen.
        """
        numbers = Or(tuple(_whole_numbers(self._search_filter)))
        for book in closed if numbers.terms else ():
            book_search = BookSearch(self._context, self._view.dit.features, book)
            if any(self._result.find_duplicate(entry) is None for entry in book_search.candidates(numbers)):
                miss = MissedContact(
                    MissReason.PRIVATE_BOOK, "", "", "", Phrase(PRIVATE_BOOK_MESSAGE), Phrase(PRIVATE_BOOK_ADVICE)
                )
                yield RankedMiss((REASON_RANKS[MissReason.PRIVATE_BOOK], 0, place, ""), miss)
                return


def _whole_numbers(search_filter: Filter) -> Iterator[Filter]:
    return (
        leaf.item
        for leaf in filter_terms(search_filter)
        if leaf.family is Family.NUMBER and isinstance(leaf.item, Equality)
    )
