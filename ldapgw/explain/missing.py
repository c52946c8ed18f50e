# SPDX-License-Identifier: MIT
"""Why an entry does not match: by a term of the filter, by strict matching, or by what nearly agrees."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from ldapgw.directory.entry import Entry
from ldapgw.directory.filters import And, Equality, Filter
from ldapgw.directory.naming import NamingContext
from ldapgw.directory.needle import Test
from ldapgw.directory.notation import written
from ldapgw.directory.schema import AttributeType, Family, attribute_type
from ldapgw.explain.difference import Difference, Differs, difference
from ldapgw.explain.leaf import leaves, lenient, numbers_of, searchable, test_of
from ldapgw.explain.near import NAMES, NUMBERS, TEXTS, numbers_asked, texts_asked
from ldapgw.explain.reason import Reason
from ldapgw.explain.wording import Said, Words
from ldapgw.words import Phrase, marked

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
        literal = ((kind.name, entry.haystack(kind), test) for kind, test in self._literal)
        if any(sought is not None and test(sought) for _, sought, test in literal):
            terms = ", ".join(dict.fromkeys(map(written, self._blamed(self._sought, entry))))
            return Finding(Reason.FILTER_TERM, {"terms": terms})
        return self._by_letter(entry) or self._by_number(entry) or self._by_words(entry)

    def _tests(self, context: NamingContext) -> tuple[tuple[AttributeType, Test], ...]:
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
