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
from ldapgw.phones.explain.model import Miss, Reader, Seen
from ldapgw.phones.explain.near_misses import (
    NAMES,
    NUMBERS,
    TEXTS,
    Difference,
    Differs,
    Said,
    Words,
    difference,
    numbers_asked,
    texts_asked,
    wider,
)
from ldapgw.phones.explain.terms import leaves, lenient, names_number, numbers_of, searchable, test_of
from ldapgw.phones.explain.texts import ASK, BESIDES, DISCREET, OWN_BOOK, WORDS, Reason
from ldapgw.phones.explain.view import Answer, OneBook, Sight, book_of, name_of, uid_of
from ldapgw.phrase import Phrase, marked

_NUMBER_REASONS: Final = {
    Differs.NOT: Reason.OTHER_ATTRIBUTE,
    Differs.COUNTRY: Reason.OTHER_COUNTRY,
    Differs.LAST_DIGITS: Reason.LAST_DIGITS,
    Differs.ONE_DIGIT: Reason.ONE_DIGIT,
    Differs.BEGINNING: Reason.OTHER_BEGINNING,
    Differs.SHORT: Reason.SHORT_NUMBER,
}

# The nearest first; those of one rank are as near as each other.
RANKS: Final[Mapping[Reason, int]] = {
    reason: rank
    for rank, reasons in enumerate(
        (
            (Reason.OUTSIDE_BASE, Reason.NO_NUMBER, Reason.NUMBER_ENTRIES, Reason.PRIVATE_BOOK, Reason.CALLERS_BOOK),
            (Reason.STRICT_MATCHING, Reason.FILTER_TERM, Reason.SIZE_LIMIT),
            (Reason.OTHER_ATTRIBUTE, Reason.WHOLE_VALUE, Reason.WORDS_APART, Reason.DUPLICATE),
            (Reason.OTHER_COUNTRY, Reason.LAST_DIGITS, Reason.ONE_DIGIT, Reason.INSIDE_WORD, Reason.SPELLING),
            (Reason.OTHER_BEGINNING, Reason.SOME_WORDS),
            (Reason.SHORT_NUMBER,),
        )
    )
    for reason in reasons
}

_LAST, _LAST_FEW = marked("the last digit"), marked("the last %(count)s digits")
_TELLING = 3  # letters: a shorter one of several words tells nothing by itself


@dataclass(frozen=True, slots=True, repr=False)
class Finding:
    """What stands between an entry and a query.

    :ivar told: what the words of the reason need.
    :ivar distance: how far off it is, of those with the same reason.
    """

    reason: Reason
    told: Mapping[str, object]
    distance: int = 0


class Judge:
    """Holds entries that do not match against a query.

    :param context: the tenant's.
    :param fulfils: whether an entry fulfils a filter, as the directory has it.
    :ivar texts: the texts that names and words are asked for.
    :ivar numbers: what the numbers that are asked for may mean.
    """

    def __init__(self, sought: Filter, context: NamingContext, fulfils: Callable[[Filter, Entry], bool]) -> None:
        self._sought = sought
        self._context = context
        self._fulfils = fulfils
        self._leaves = tuple(leaf for leaf in leaves(sought) if leaf.family in (Family.TEXT, Family.NUMBER))
        self.texts = texts_asked(self._leaves)
        self.numbers = numbers_asked(self._leaves, context)
        self._asked_of = frozenset(kind.name for leaf in self._leaves if leaf.text for kind in leaf.kinds)
        self._whole = frozenset(leaf.text for leaf in self._leaves if isinstance(leaf.term, Equality))
        self._literal = self._tests(context)
        self._read = () if context.lenient else self._tests(lenient(context))
        self._words = tuple(Words(text, lenient(context)) for text in self.texts)

    def judge(self, entry: Entry) -> Finding | None:
        """What is in the way of an entry that does not match; None: it does not come near."""
        literal = ((kind.name, entry.search_text(kind), test) for kind, test in self._literal)
        if any(sought is not None and test(sought) for _, sought, test in literal):
            terms = ", ".join(dict.fromkeys(map(to_string, self._blamed(self._sought, entry))))
            return Finding(Reason.FILTER_TERM, {"terms": terms})
        return self._by_letter(entry) or self._by_number(entry) or self._by_words(entry)

    def _tests(self, context: NamingContext) -> tuple[tuple[AttributeType, TextPredicate], ...]:
        """What the terms ask of values; presence asks nothing of them."""
        found = ((kind, test_of(leaf, kind, context)) for leaf in self._leaves if leaf.text for kind in leaf.kinds)
        return tuple((kind, test) for kind, test in found if test)

    def _blamed(self, sought: Filter, entry: Entry) -> Iterator[Filter]:
        """The terms for whose sake a filter is not true of an entry."""
        if isinstance(sought, And):
            for term in sought.terms:
                yield from self._blamed(term, entry)
        elif not self._fulfils(sought, entry):
            yield sought

    def _by_letter(self, entry: Entry) -> Finding | None:
        for kind, test in self._read:
            sought = searchable(entry, kind, self._context)
            if sought is not None and test(sought):
                return Finding(Reason.STRICT_MATCHING, {"attribute": kind.name, "value": _first(entry, kind.name)})
        return None

    def _by_number(self, entry: Entry) -> Finding | None:
        found: list[tuple[Difference, int, str]] = []
        for at, kind in enumerate(map(attribute_type, NUMBERS)) if self.numbers else ():
            for value, stored in numbers_of(entry, kind, self._context) if kind else ():
                least = difference(stored, self.numbers)
                if kind and least and (least.how is not Differs.NOT or kind.name not in self._asked_of):
                    found.append((least, at, value))
        if not found:
            return None
        least, at, value = min(found)
        digits = Phrase(_LAST if least.digits == 1 else _LAST_FEW, {"count": str(least.digits)})
        # With more digits alike at its end a number is nearer, with more that differ it is not.
        distance = -least.digits if least.how is Differs.BEGINNING else least.digits
        told = {"attribute": NUMBERS[at], "value": value, "digits": digits}
        return Finding(_NUMBER_REASONS[least.how], told, distance)

    def _by_words(self, entry: Entry) -> Finding | None:
        kinds = ((name, attribute_type(name)) for name in TEXTS)
        fields = ((name, searchable(entry, kind, self._context)) for name, kind in kinds if kind)
        said = {name: sought for name, sought in fields if sought is not None}
        findings = [
            finding
            for words in self._words
            for finding in (*self._in_place(words, entry, said), *_apart(words, said), *_misspelt(words, entry))
        ]
        return min(findings, key=lambda finding: RANKS[finding.reason], default=None)

    def _in_place(self, words: Words, entry: Entry, said: Said) -> Iterator[Finding]:
        for name in said:
            told = {"attribute": name, "value": _first(entry, name)}
            if not words.begins(name, said):
                if words.inside(name, said):
                    yield Finding(Reason.INSIDE_WORD, told)
            elif name not in self._asked_of:
                yield Finding(Reason.OTHER_ATTRIBUTE, told)
            elif words.text in self._whole:
                yield Finding(Reason.WHOLE_VALUE, told)


def _apart(words: Words, said: Said) -> Iterator[Finding]:
    """Where several words were asked for and stand in several places."""
    places = words.places(said)
    there = {word: place for word, place in places.items() if place}
    told = ", ".join(f"“{word}” ({place})" for word, place in there.items())
    if places and len(there) == len(places):
        yield Finding(Reason.WORDS_APART, {"value": told})
    elif any(len(word) >= _TELLING for word in there):
        missing = ", ".join(f"“{word}”" for word in places if word not in there)
        yield Finding(Reason.SOME_WORDS, {"value": told, "missing": missing})


def _misspelt(words: Words, entry: Entry) -> Iterator[Finding]:
    for name in NAMES:
        for value in entry.attribute(name):
            if words.is_misspelt(value.decode()):
                yield Finding(Reason.SPELLING, {"attribute": name, "value": value.decode()})


def _first(entry: Entry, name: str) -> str:
    return next((value.decode() for value in entry.attribute(name)), "")


_HIDDEN = {Seen.PRIVATE: Reason.PRIVATE_BOOK, Seen.CALLERS: Reason.CALLERS_BOOK}


# From this rank on a contact has not what was asked for, but something like it.
_LIKE = 3


class Ranked(NamedTuple):
    """A miss, and how near it comes: by its reason, how far it is off, its book, and its name."""

    rank: tuple[int, int, int, str]
    miss: Miss

    @property
    def has_it(self) -> bool:
        """Whether it has what was asked for; what is merely like that is told where nothing was found."""
        return self.rank[0] < _LIKE


class Searcher:
    """Looks for misses.

    :param sought: the phone's filter.
    :param base: where the phone's search begins.
    :param reader: whom they are told to.
    """

    def __init__(self, sought: Filter, sight: Sight, answer: Answer, base: str, reader: Reader) -> None:
        self._sought = sought
        self._sight = sight
        self._context = sight.context
        self._answer = answer
        self._below_all = Dn.parse(base).key in (self._context.base.key, ())
        self._is_number = names_number(sought)
        self._reader = reader

    def search(self, private: Iterable[Book]) -> Iterator[Ranked]:
        """All misses, book by book.

        :param private: books that the phone does not see.
        """
        closed: list[Book] = []
        place = 0
        books = chain(self._sight.books(), ((book, Seen.PRIVATE) for book in private))
        for place, (book, seen) in enumerate(books):
            if seen in _HIDDEN and self._reader.discreet and book.key not in self._reader.books:
                closed += [book] * (seen is Seen.PRIVATE)
                continue
            for entry, finding in self._of_book(book, seen):
                rank = RANKS[finding.reason], finding.distance, place, entry.sort_key + entry.dn
                yield Ranked(rank, self._miss(entry, finding, book, seen))
        # For a phone, and so for a user, others' private books do not exist.
        yield from self._discreetly(closed if self._reader.administers else (), place)

    def _of_book(self, book: Book, seen: Seen) -> Iterator[tuple[Entry, Finding]]:
        shelf = OneBook(self._context, self._sight.dit.features, book)
        judge = Judge(self._sought, self._context, lambda term, entry: shelf.has(entry, term))
        done: set[str] = set()
        for entry in shelf.ask(self._sought):
            done.add(entry.dn)
            finding = self._matching(entry, seen, shelf)
            if finding:
                yield entry, finding
        for near in wider(judge.texts, judge.numbers, self._context):
            for entry in shelf.ask(near):
                if entry.dn not in done and not self._is_found(entry, seen, book.name):
                    done.add(entry.dn)
                    finding = judge.judge(entry)
                    if finding:
                        yield entry, finding

    def _is_found(self, entry: Entry, seen: Seen, book: str) -> bool:
        return self._answer.tells(entry) if seen is Seen.CALLERS else self._answer.has(book, uid_of(entry))

    def _matching(self, entry: Entry, seen: Seen, shelf: OneBook) -> Finding | None:
        """What is in the way of an entry that fulfils the filter; None: nothing, the phone has it."""
        if self._is_found(entry, seen, shelf.name):
            return None
        per_number = self._sight.viewer.per_number
        shown = shelf.singles(uid_of(entry)) if per_number else (entry,)
        twin = next((twin for one in shown if (twin := self._answer.twin(one))), None)
        if seen in _HIDDEN:
            return None if twin else Finding(_HIDDEN[seen], {})
        if twin is not None:
            return Finding(Reason.DUPLICATE, {"other": book_of(twin, self._context) or name_of(twin)})
        if not shown:
            return Finding(Reason.NO_NUMBER, {})
        if not self._below_all:
            return Finding(Reason.OUTSIDE_BASE, {"base": str(self._context.base)})
        if not self._answer.complete:
            return Finding(Reason.SIZE_LIMIT, {"count": str(len(self._answer.entries))})
        return Finding(Reason.NUMBER_ENTRIES, {}) if per_number else None

    def _miss(self, entry: Entry, finding: Finding, book: Book, seen: Seen) -> Miss:
        words = WORDS[finding.reason]
        # A whole number is answered by a book of callers' names too, and such a book gives nothing else away.
        told = {**finding.told, "book": book.name, "sharing": "callers" if self._is_number else "shared"}
        message = Phrase(words.message, told)
        if seen in _HIDDEN and finding.reason not in _HIDDEN.values():
            message = Phrase("%(one)s %(other)s", {"one": message, "other": Phrase(BESIDES[_HIDDEN[seen]], told)})
        advice = words.advice if self._reader.administers else words.for_users or words.advice
        if finding.reason in _HIDDEN.values() and book.key in self._reader.books:
            advice = OWN_BOOK
        return Miss(finding.reason, name_of(entry), entry.dn, book.name, message, Phrase(advice, told))

    def _discreetly(self, closed: Iterable[Book], place: int) -> Iterator[Ranked]:
        """Whether somebody has the number, by the numbers alone: nothing else can be felt for.

        :param place: behind all books that are seen.
        """
        numbers = Or(tuple(_whole_numbers(self._sought)))
        for book in closed if numbers.terms else ():
            shelf = OneBook(self._context, self._sight.dit.features, book)
            if any(self._answer.twin(entry) is None for entry in shelf.ask(numbers)):
                miss = Miss(Reason.PRIVATE_BOOK, "", "", "", Phrase(DISCREET), Phrase(ASK))
                yield Ranked((RANKS[Reason.PRIVATE_BOOK], 0, place, ""), miss)
                return


def _whole_numbers(sought: Filter) -> Iterator[Filter]:
    return (leaf.term for leaf in leaves(sought) if leaf.family is Family.NUMBER and isinstance(leaf.term, Equality))
