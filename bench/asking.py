# SPDX-License-Identifier: MIT
"""What the load asks: searches as phones send them, for names and numbers of the book.

The words come from the people of the book, in an order that is always the same.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from bench.people import Person
from bench.seed import OWNER
from ldapgw.ber import SEQUENCE, octets, tlv
from tests.support import pdu

ATTRIBUTES = ("cn", "sn", "givenName", "telephoneNumber", "mobile", "homePhone")
NAMES = ("cn", "sn", "givenName")
# What a directory key of Yealink's asks for.
ORGANIZED = ("cn", "sn", "o")
NUMBERS = ("telephoneNumber", "mobile", "homePhone")
# What a phone's display shows.
MOST_ENTRIES = 50

PREFIX_LETTERS = 2
SUBSTRING_LETTERS = 3
# Callers whom nobody knows.
UNKNOWN = 0.1

_COUNT = 20_000
_AND, _OR, _EQUAL, _SUBSTRINGS, _PRESENT, _INITIAL, _ANY = 0xA0, 0xA1, 0xA3, 0xA4, 0x87, 0x80, 0x81
ONE_LEVEL, SUBTREE = 1, 2


@dataclass(frozen=True)
class Asked:
    """The searches of a load.

    :ivar requests: whole messages, with messageID 1.
    :ivar fresh: each on a connection of its own, with a bind.
    :ivar whole: each for everybody, so that one may outlast a round.
    """

    requests: tuple[bytes, ...]
    fresh: bool = False
    whole: bool = False


def equality(attribute: str, value: str) -> bytes:
    """``(attribute=value)``"""
    return tlv(_EQUAL, octets(attribute.encode()) + octets(value.encode()))


def initial(attribute: str, value: str) -> bytes:
    """``(attribute=value*)``"""
    return _substrings(attribute, value, _INITIAL)


def contained(attribute: str, value: str) -> bytes:
    """``(attribute=*value*)``"""
    return _substrings(attribute, value, _ANY)


def _substrings(attribute: str, value: str, place: int) -> bytes:
    return tlv(_SUBSTRINGS, octets(attribute.encode()) + tlv(SEQUENCE, octets(value.encode(), place)))


def present(attribute: str) -> bytes:
    """``(attribute=*)``"""
    return tlv(_PRESENT, attribute.encode())


def one_of(*terms: bytes) -> bytes:
    """``(|…)``"""
    return tlv(_OR, b"".join(terms))


def all_of(*terms: bytes) -> bytes:
    """``(&…)``"""
    return tlv(_AND, b"".join(terms))


def _searches(base: str, filters: Sequence[bytes]) -> tuple[bytes, ...]:
    return tuple(
        pdu.message(1, pdu.search(base, SUBTREE, filter_, ATTRIBUTES, size=MOST_ENTRIES)) for filter_ in filters
    )


def prefix(base: str, people: Sequence[Person]) -> Asked:
    """The first letters of somebody's given or family name."""
    return Asked(_searches(base, [one_of(*(initial(name, typed) for name in NAMES)) for typed in _typed(people)]))


def _typed(people: Sequence[Person], *names: str) -> Iterator[str]:
    """The first letters of a name; which of these it is, is drawn."""
    choice = random.Random(1)
    for one in choice.choices(people, k=_COUNT):
        yield getattr(one, choice.choice(names or ("given", "family")))[:PREFIX_LETTERS].lower()


def two_words(base: str, people: Sequence[Person]) -> Asked:
    """The first letters of somebody's given and family name, in either order."""
    return Asked(_searches(base, [_beginnings(words) for words in _some_words(people, 2)]))


def three_words(base: str, people: Sequence[Person]) -> Asked:
    """The first letters of three words of somebody's name, in any order."""
    named = [one for one in people if len(_words(one)) > 2]
    return Asked(_searches(base, [_beginnings(words) for words in _some_words(named, 3)]))


def _beginnings(words: Sequence[str]) -> bytes:
    typed = " ".join(word[:PREFIX_LETTERS].lower() for word in words)
    return one_of(*(initial(name, typed) for name in NAMES))


def _some_words(people: Sequence[Person], count: int) -> Iterator[Sequence[str]]:
    """Words of a name, the first and the last one among them."""
    choice = random.Random(1)
    for one in choice.choices(people, k=_COUNT):
        words = _words(one)
        yield choice.sample([*words[: count - 1], words[-1]], count)


def _words(one: Person) -> Sequence[str]:
    return one.name.replace("-", " ").split()


def and_yealink(base: str, people: Sequence[Person]) -> Asked:
    """Of persons alone, as our sheet for Yealink has it; the letters are those of `prefix`."""
    person = equality("objectClass", "person")
    names = (one_of(*(initial(name, typed) for name in ORGANIZED)) for typed in _typed(people))
    return Asked(_searches(base, [all_of(person, one) for one in names]))


def and_snom(base: str, people: Sequence[Person]) -> Asked:
    """The first letters of somebody's family name, who has a number."""
    number = present("telephoneNumber")
    return Asked(_searches(base, [all_of(number, initial("sn", typed)) for typed in _typed(people, "family")]))


def and_poly(base: str, people: Sequence[Person]) -> Asked:
    """The first letters of somebody's whole name, who has one number or another."""
    numbers = one_of(present("telephoneNumber"), present("mobile"))
    return Asked(_searches(base, [all_of(initial("cn", typed), numbers) for typed in _typed(people, "given")]))


def presence(base: str, _people: Sequence[Person]) -> Asked:
    """Whoever has a number, which is everybody."""
    return Asked(_searches(base, [present("telephoneNumber")]))


def reverse(base: str, people: Sequence[Person]) -> Asked:
    """Who calls."""
    filters = [one_of(*(equality(name, number) for name in NUMBERS)) for number in called_numbers(people)]
    return Asked(_searches(base, filters))


def called_numbers(people: Sequence[Person]) -> Iterator[str]:
    """Numbers of somebody's, and some that nobody has."""
    choice = random.Random(1)
    for one in choice.choices(people, k=_COUNT):
        _, number = choice.choice(one.phones)
        yield f"+49999{choice.randrange(10**8):08d}" if choice.random() < UNKNOWN else number


def substring(base: str, people: Sequence[Person]) -> Asked:
    """Letters out of the middle of somebody's name."""
    choice = random.Random(1)
    filters = []
    for one in choice.choices(people, k=_COUNT):
        start = choice.randrange(max(1, len(one.name) - SUBSTRING_LETTERS + 1))
        part = one.name[start : start + SUBSTRING_LETTERS].strip().lower()
        filters.append(contained("cn", part or one.name[:SUBSTRING_LETTERS].lower()))
    return Asked(_searches(base, filters))


def whole_book(base: str, _people: Sequence[Person]) -> Asked:
    """Everybody."""
    return Asked((pdu.message(1, pdu.search(f"ou={OWNER},{base}", ONE_LEVEL, pdu.PRESENT, ATTRIBUTES)),), whole=True)


def anew(base: str, people: Sequence[Person]) -> Asked:
    """Searches by prefix, as phones send them that come anew each time."""
    return Asked(prefix(base, people).requests, fresh=True)


@dataclass(frozen=True)
class Workload:
    """A row of the table.

    :ivar name: as `--only` takes it.
    :ivar title: as the table has it.
    :ivar goal: how many times as fast as slapd we want to be; or, with `beside`, as ourselves there.
    :ivar goals_10k: the goals with 10,000 contacts, compiled and not; None: `goal`, and none where it is not compiled.
    :ivar whole: its searches are for everybody: entries are what counts.
    :ivar beside: the name of the row that it is compared with in each round; slapd is not asked then.
    :ivar limit: the part of the rate of `bench.programs.limit` that we want to have, compiled; 0: there is no
        goal; None: an answer is too long for one write.
    :ivar strict: asked of a gateway whose tenant has ``matching = "strict"``.
    """

    name: str
    title: str
    goal: float
    asked: Callable[[str, Sequence[Person]], Asked]
    goals_10k: tuple[float, float] | None = None
    whole: bool = False
    beside: str = ""
    strict: bool = False
    limit: float | None = None


# Of what they are compared with, which is measured shortly before; several words of a large book and of a small one.
_AND_GOAL, _STRICT_GOAL = 0.85, 0.6
_WORDS_GOAL, _WORDS_GOALS_10K = 0.3, (0.5, 0.5)

WORKLOADS: Mapping[str, Workload] = MappingProxyType(
    {
        one.name: one
        for one in (
            Workload("prefix", "name, two letters", 5.0, prefix, (8.0, 5.0), limit=0.6),
            Workload("two-words", "two words", _WORDS_GOAL, two_words, _WORDS_GOALS_10K, beside="prefix"),
            Workload("three-words", "three words", _WORDS_GOAL, three_words, _WORDS_GOALS_10K, beside="prefix"),
            Workload("and-yealink", "person and a name", _AND_GOAL, and_yealink, beside="prefix"),
            Workload("and-snom", "number and a name", _AND_GOAL, and_snom, beside="prefix"),
            Workload("and-poly", "name and either number", _AND_GOAL, and_poly, beside="prefix"),
            Workload("presence", "has a number", _AND_GOAL, presence, beside="prefix"),
            Workload("strict-prefix", "name, strict", _STRICT_GOAL, prefix, beside="prefix", strict=True),
            Workload("reverse", "reverse look-up", 1.2, reverse, (1.6, 1.0), limit=0.7),
            Workload("strict-reverse", "reverse, strict", _STRICT_GOAL, reverse, beside="reverse", strict=True),
            Workload("substring", "substring, three letters", 5.0, substring, (10.0, 6.0), limit=0.0),
            Workload("list", "whole book", 30.0, whole_book, (40.0, 35.0), whole=True),
            Workload("bind", "connect, bind, search", 2.5, anew, (3.0, 2.3), limit=0.7),
        )
    }
)
