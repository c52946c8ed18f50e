# SPDX-License-Identifier: MIT
"""The contacts that exist, come near, and were not found: each once, with its reason and what to do."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import NamedTuple

from ldapgw.directory.book import Book
from ldapgw.directory.dn import Dn
from ldapgw.directory.entry import Entry
from ldapgw.directory.filters import Equality, Filter, Or
from ldapgw.directory.schema import Family
from ldapgw.explain.explanation import Miss, Seen
from ldapgw.explain.leaf import leaves, names_number
from ldapgw.explain.missing import RANKS, Finding, Judge
from ldapgw.explain.near import wider
from ldapgw.explain.one_book import OneBook, book_of, name_of, uid_of
from ldapgw.explain.reader import Reader
from ldapgw.explain.reason import ASK, BESIDES, DISCREET, OWN_BOOK, WORDS, Reason
from ldapgw.explain.sight import Answer, Sight
from ldapgw.words import Phrase

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
                rank = RANKS[finding.reason], finding.distance, place, entry.order + entry.dn
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
