# SPDX-License-Identifier: MIT
"""The searches of the loads, as phones send them, for names and numbers of the book.

The words come from the people of the book, in an order that is always the same.
"""

from __future__ import annotations

import random
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

from bench.people import Person
from bench.seed import OWNER
from tests.support import pdu
from tests.support.filter_text import encode, read_filter

ATTRIBUTES = ("cn", "sn", "givenName", "telephoneNumber", "mobile", "homePhone")
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
    return f"(|{''.join(f'({name}={value})' for name in names)})"


# --- the words of the loads: of people of the book, in an order that is always the same ---


def _letters(people: Sequence[Person], *names: str) -> Iterator[str]:
    """Yield the first letters of a drawn name: of the given or the family name, unless `names` has another one."""
    choice = random.Random(1)
    for one in choice.choices(people, k=_COUNT):
        yield getattr(one, choice.choice(names or ("given", "family")))[:_PREFIX_LETTERS].lower()


def _words(people: Sequence[Person], *, count: int) -> Iterator[str]:
    """Yield the first letters of so many words of a name, in any order, the last word among them."""
    choice = random.Random(1)
    words_of = [one.name.replace("-", " ").split() for one in people]
    for words in choice.choices([words for words in words_of if len(words) >= count], k=_COUNT):
        drawn = choice.sample([*words[: count - 1], words[-1]], count)
        yield " ".join(word[:_PREFIX_LETTERS].lower() for word in drawn)


def called_numbers(people: Sequence[Person]) -> Iterator[str]:
    """Yield numbers of somebody, and some numbers that nobody has."""
    choice = random.Random(1)
    for one in choice.choices(people, k=_COUNT):
        _, number = choice.choice(one.phones)
        yield f"+49999{choice.randrange(10**8):08d}" if choice.random() < _UNKNOWN else number


def _parts(people: Sequence[Person]) -> Iterator[str]:
    """Yield letters out of the middle of somebody's name."""
    choice = random.Random(1)
    for one in choice.choices(people, k=_COUNT):
        start = choice.randrange(max(1, len(one.name) - _SUBSTRING_LETTERS + 1))
        part = one.name[start : start + _SUBSTRING_LETTERS].strip().lower()
        yield part or one.name[:_SUBSTRING_LETTERS].lower()


_WORDS: Mapping[str, Callable[[Sequence[Person]], Iterable[str]]] = {
    "none": lambda _: ("",),
    "letters": _letters,
    "letters of a given name": lambda people: _letters(people, "given"),
    "letters of a family name": lambda people: _letters(people, "family"),
    "letters of two words": partial(_words, count=2),
    "letters of three words": partial(_words, count=3),
    "number": called_numbers,
    "part of a name": _parts,
}


@dataclass(frozen=True)
class Workload:
    """A load of ``scripts/bench directory``: its searches and its goals, a table of ``loads.toml``.

    :ivar name: the load as ``--only`` takes it.
    :ivar title: the load as tables show it.
    :ivar goal: the multiple of slapd's rate that is wanted; or, with `beside`, of our own rate for that load.
    :ivar filter: the filter of the searches; a word stands for each ``{0}``.
    :ivar words: the kind of the words (`_WORDS`).
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
    filter: str
    words: str = "none"
    goals_10k: tuple[float, float] | None = None
    fresh: bool = False
    whole: bool = False
    beside: str = ""
    strict: bool = False
    limit: float | None = None

    def filters(self, people: Sequence[Person]) -> Iterator[str]:
        return (self.filter.format(word) for word in _WORDS[self.words](people))

    def asked(self, base: str, people: Sequence[Person]) -> Asked:
        """Return the searches for people of the book of `OWNER`."""
        if self.whole:
            base, size, scope = f"ou={OWNER},{base}", 0, _ONE_LEVEL
        else:
            size, scope = MOST_ENTRIES, _SUBTREE
        requests = tuple(search(base, text, size=size, scope=scope) for text in self.filters(people))
        return Asked(requests, fresh=self.fresh, whole=self.whole)


_LOADS = tomllib.loads(Path(__file__).with_name("loads.toml").read_text(encoding="utf-8"))
WORKLOADS: Mapping[str, Workload] = {name: Workload(name, **load) for name, load in _LOADS.items()}
