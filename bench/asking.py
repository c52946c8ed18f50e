# SPDX-License-Identifier: MIT
"""The searches of the loads, as phones send them, for names and numbers of the book.

The words come from the people of the book, in an order that is always the same.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from types import MappingProxyType

from bench.people import Person
from bench.seed import OWNER
from tests.support import pdu
from tests.support.filter_text import encode, read_filter

ATTRIBUTES = ("cn", "sn", "givenName", "telephoneNumber", "mobile", "homePhone")
NAMES = ("cn", "sn", "givenName")
# The names that a directory key of Yealink's phones asks for.
_ORGANIZED = ("cn", "sn", "o")
NUMBERS = ("telephoneNumber", "mobile", "homePhone")
# The number of entries that a phone's display shows.
MOST_ENTRIES = 50
EVERYBODY = "(objectClass=*)"

_PREFIX_LETTERS = 2
_SUBSTRING_LETTERS = 3
# The part of the callers whom nobody knows.
_UNKNOWN = 0.1

_COUNT = 20_000
_ONE_LEVEL, _SUBTREE = 1, 2


@dataclass(frozen=True)
class Asked:
    """The searches of a load.

    :ivar requests: whole messages, with messageID 1.
    :ivar fresh: each search has a connection of its own, with a bind.
    :ivar whole: each search asks for everybody, so that one search may outlast a round.
    """

    requests: tuple[bytes, ...]
    fresh: bool = False
    whole: bool = False


def search(
    base: str,
    filter_text: str,
    *controls: bytes,
    attributes: tuple[str, ...] = ATTRIBUTES,
    size: int = MOST_ENTRIES,
    scope: int = _SUBTREE,
) -> bytes:
    """Return the message of a search, with messageID 1.

    :param filter_text: as RFC 4515 writes filters.
    :param size: the size limit; 0: none.
    """
    request = pdu.search(base, scope, _encoded(filter_text), attributes, size=size)
    return pdu.message(1, request, pdu.controls(*controls) if controls else b"")


@cache
def _encoded(filter_text: str) -> bytes:
    return encode(read_filter(filter_text))


def any_of(names: Sequence[str], value: str) -> str:
    """Return a filter for a value of any of the attributes."""
    return f"(|{''.join(f'({name}={value})' for name in names)})"


# --- the filters of the loads ---


def _prefix(people: Sequence[Person]) -> Iterator[str]:
    """Yield filters for the first letters of somebody's given or family name."""
    return (any_of(NAMES, f"{typed}*") for typed in _typed(people))


def _typed(people: Sequence[Person], *names: str) -> Iterator[str]:
    """Yield the first letters of a drawn name."""
    choice = random.Random(1)
    for one in choice.choices(people, k=_COUNT):
        yield getattr(one, choice.choice(names or ("given", "family")))[:_PREFIX_LETTERS].lower()


def _words(people: Sequence[Person], *, count: int) -> Iterator[str]:
    """Yield filters for the first letters of so many words of a name, in any order, the last word among them."""
    choice = random.Random(1)
    words_of = [one.name.replace("-", " ").split() for one in people]
    for words in choice.choices([words for words in words_of if len(words) >= count], k=_COUNT):
        drawn = choice.sample([*words[: count - 1], words[-1]], count)
        yield any_of(NAMES, " ".join(word[:_PREFIX_LETTERS].lower() for word in drawn) + "*")


def _person_and_name(people: Sequence[Person]) -> Iterator[str]:
    """Yield filters for the letters of `_prefix`, of persons only, as our sheet for Yealink's phones has them."""
    return (f"(&(objectClass=person){any_of(_ORGANIZED, f'{typed}*')})" for typed in _typed(people))


def _number_and_name(people: Sequence[Person]) -> Iterator[str]:
    """Yield filters for the first letters of a family name, of people with a number."""
    return (f"(&(telephoneNumber=*)(sn={typed}*))" for typed in _typed(people, "family"))


def _name_and_numbers(people: Sequence[Person]) -> Iterator[str]:
    """Yield filters for the first letters of a whole name, of people with either number."""
    return (f"(&(cn={typed}*)(|(telephoneNumber=*)(mobile=*)))" for typed in _typed(people, "given"))


def _presence(_people: Sequence[Person]) -> Iterable[str]:
    """Return the filter for everybody with a number."""
    return ("(telephoneNumber=*)",)


def _reverse(people: Sequence[Person]) -> Iterator[str]:
    """Yield filters for a caller's number."""
    return (any_of(NUMBERS, number) for number in called_numbers(people))


def called_numbers(people: Sequence[Person]) -> Iterator[str]:
    """Yield numbers of somebody, and some numbers that nobody has."""
    choice = random.Random(1)
    for one in choice.choices(people, k=_COUNT):
        _, number = choice.choice(one.phones)
        yield f"+49999{choice.randrange(10**8):08d}" if choice.random() < _UNKNOWN else number


def _substring(people: Sequence[Person]) -> Iterator[str]:
    """Yield filters for letters out of the middle of somebody's name."""
    choice = random.Random(1)
    for one in choice.choices(people, k=_COUNT):
        start = choice.randrange(max(1, len(one.name) - _SUBSTRING_LETTERS + 1))
        part = one.name[start : start + _SUBSTRING_LETTERS].strip().lower()
        yield f"(cn=*{part or one.name[:_SUBSTRING_LETTERS].lower()}*)"


def _everybody(_people: Sequence[Person]) -> Iterable[str]:
    return (EVERYBODY,)


@dataclass(frozen=True)
class Workload:
    """A load of ``scripts/bench directory``: its searches and its goals.

    :ivar name: the load as ``--only`` takes it.
    :ivar title: the load as tables show it.
    :ivar goal: the multiple of slapd's rate that is wanted; or, with `beside`, of our own rate for that load.
    :ivar filters: returns the filters of the searches as text, for people of the book.
    :ivar goals_10k: the goals with 10,000 contacts, compiled and not compiled; None: `goal`, and no goal without
        compiled modules.
    :ivar fresh: each search has a connection of its own.
    :ivar whole: the searches are for everybody, so that the rate counts entries.
    :ivar beside: the name of the load that this load is compared with in each round; slapd is not asked then.
    :ivar limit: the part of the rate of `bench.programs.limit` that is wanted with compiled modules; 0: there is no
        goal; None: the limit is not asked, because an answer is too long for one write.
    :ivar strict: a gateway answers whose tenant has ``matching = "strict"``.
    """

    name: str
    title: str
    goal: float
    filters: Callable[[Sequence[Person]], Iterable[str]]
    goals_10k: tuple[float, float] | None = None
    fresh: bool = False
    whole: bool = False
    beside: str = ""
    strict: bool = False
    limit: float | None = None

    def asked(self, base: str, people: Sequence[Person]) -> Asked:
        """Return the searches for people of the book of `OWNER`."""
        if self.whole:
            book = f"ou={OWNER},{base}"
            return Asked(
                tuple(search(book, text, size=0, scope=_ONE_LEVEL) for text in self.filters(people)), whole=True
            )
        return Asked(tuple(search(base, text) for text in self.filters(people)), fresh=self.fresh)


# The goals of loads that are compared with another load: with strict matching, and for several words.
_AND_GOAL, _STRICT_GOAL = 0.85, 0.6
_WORDS_GOAL, _WORDS_GOALS_10K = 0.3, (0.5, 0.5)
_TWO_WORDS, _THREE_WORDS = partial(_words, count=2), partial(_words, count=3)

WORKLOADS: Mapping[str, Workload] = MappingProxyType(
    {
        one.name: one
        for one in (
            Workload("prefix", "name, two letters", 5.0, _prefix, (8.0, 5.0), limit=0.6),
            Workload("two-words", "two words", _WORDS_GOAL, _TWO_WORDS, _WORDS_GOALS_10K, beside="prefix"),
            Workload("three-words", "three words", _WORDS_GOAL, _THREE_WORDS, _WORDS_GOALS_10K, beside="prefix"),
            Workload("and-yealink", "person and a name", _AND_GOAL, _person_and_name, beside="prefix"),
            Workload("and-snom", "number and a name", _AND_GOAL, _number_and_name, beside="prefix"),
            Workload("and-poly", "name and either number", _AND_GOAL, _name_and_numbers, beside="prefix"),
            Workload("presence", "has a number", _AND_GOAL, _presence, beside="prefix"),
            Workload("strict-prefix", "name, strict", _STRICT_GOAL, _prefix, beside="prefix", strict=True),
            Workload("reverse", "reverse look-up", 1.2, _reverse, (1.6, 1.0), limit=0.7),
            Workload("strict-reverse", "reverse, strict", _STRICT_GOAL, _reverse, beside="reverse", strict=True),
            Workload("substring", "substring, three letters", 5.0, _substring, (10.0, 6.0), limit=0.0),
            Workload("list", "whole book", 30.0, _everybody, (40.0, 35.0), whole=True),
            Workload("bind", "connect, bind, search", 2.5, _prefix, (3.0, 2.3), fresh=True, limit=0.7),
        )
    }
)
