# SPDX-License-Identifier: MIT
"""The attacks use public lists and the file of a recording to guess names and numbers.

An attack on a weakness that the file lacks guesses wrongly, and the tests count the right guesses.
"""

from __future__ import annotations

import json
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from random import Random

from ldapgw.directory.filter import Substrings
from ldapgw.phones.recording import RecordedEntry, Recording
from tests.support.checkout import ROOT

_LISTS = json.loads((ROOT / "tests" / "data" / "public_lists.json").read_text())
# The most frequent names and codes come first.
GIVEN_NAMES, SURNAMES, AREA_CODES, MOBILE_CODES, TRADES = (
    tuple(_LISTS[key].split()) for key in ("given_names", "surnames", "area_codes", "mobile_codes", "trades")
)
COUNTRY = "+49"
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_ATTEMPTS = 4


@dataclass(frozen=True)
class Person:
    """A person has the name and the numbers of an entry, or of a guess.

    :ivar name: the given name and the surname.
    :ivar numbers: in E.164.
    """

    name: tuple[str, str]
    numbers: tuple[str, ...]

    @classmethod
    def of(cls, entry: RecordedEntry) -> Person:
        given, surname, *numbers = (
            entry.attributes[name][0] for name in ("givenName", "sn", "telephoneNumber", "mobile")
        )
        return cls((given, surname), tuple(numbers))


def guesses(recording: Recording, random: Random) -> Mapping[str, Mapping[str, Person]]:
    """Return the guesses of each attack, by the DN of the entry."""
    persons = {entry.dn: Person.of(entry) for entry in recording.entries if not entry.is_decoy}
    attacks: Mapping[str, Callable[[], Mapping[str, Person]]] = {
        "letters and digits": lambda: _by_letters(persons, random),
        "frequency": lambda: _by_frequency(persons),
        "length": lambda: _by_length(persons),
        "beginnings": lambda: _by_beginnings(persons, recording),
        "order": lambda: _by_order(persons, recording),
    }
    return {name: attack() for name, attack in attacks.items()}


def plain(word: str) -> str:
    """Return a word in lower case without accents."""
    return "".join(char for char in _apart(word) if not unicodedata.combining(char))


# --- a letter always stands for the same letter, a digit for the same digit -------------------------------------------


def _by_letters(persons: Mapping[str, Person], random: Random) -> Mapping[str, Person]:
    words = sorted({_apart(word) for person in persons.values() for word in person.name})
    letters = _solve_letters(words, [_apart(name) for name in (*GIVEN_NAMES, *SURNAMES)], random)
    digits = _solve_digits([number for person in persons.values() for number in person.numbers], random)

    def name(word: str) -> str:
        return unicodedata.normalize("NFC", _exchanged(_apart(word), letters)).capitalize()

    return _changed(persons, name, name, lambda text: COUNTRY + _exchanged(text.removeprefix(COUNTRY), digits))


def _apart(word: str) -> str:
    return unicodedata.normalize("NFD", word.lower())


def _exchanged(text: str, table: Mapping[str, str]) -> str:
    return "".join([table.get(char, char) for char in text])


def _solve_letters(words: Sequence[str], names: Sequence[str], random: Random) -> Mapping[str, str]:
    """Return the table that turns most words into names. Each word votes for the names of the same pattern."""

    def pattern(word: str) -> tuple[int, ...]:
        return tuple(map(word.index, word))

    by_pattern = defaultdict(list)
    for name in names:
        by_pattern[pattern(name)].append(name)
    votes: Counter[tuple[str, str]] = Counter()
    for word in words:
        for name in by_pattern[pattern(word)]:
            for pair in zip(word, name, strict=True):
                votes[pair] += len(word) ** 2 / len(by_pattern[pattern(word)]) ** 2  # type: ignore[assignment]
    known = {*names}
    start: dict[str, str] = {}
    for (before, after), _ in votes.most_common():
        if {before, after} <= {*_LETTERS} and before not in start and after not in start.values():
            start[before] = after
    rest = (letter for letter in _LETTERS if letter not in start.values())
    start |= dict(zip([letter for letter in _LETTERS if letter not in start], rest, strict=True))

    def score(table: Mapping[str, str]) -> int:
        return sum(len(word) for word in words if _exchanged(word, table) in known)

    return _climb(start, score, random)


def _solve_digits(numbers: Sequence[str], random: Random) -> Mapping[str, str]:
    """Return the table that gives most numbers a known code. Zeros stay."""
    codes = {*AREA_CODES, *MOBILE_CODES}
    beginnings = Counter(number.removeprefix(COUNTRY)[:4] for number in numbers)

    def score(table: Mapping[str, str]) -> int:
        found = 0
        for beginning, count in beginnings.items():
            turned = _exchanged(beginning, table)
            found += count * max(size for size in (0, 2, 3, 4) if not size or turned[:size] in codes)
        return found

    return _climb({digit: digit for digit in "123456789"}, score, random)


def _climb(start: Mapping[str, str], score: Callable[[Mapping[str, str]], int], random: Random) -> Mapping[str, str]:
    """Return the best table that exchanges of two values reach from several beginnings."""
    best, best_score = start, score(start)
    for attempt in range(_ATTEMPTS):
        table = dict(best)
        for one, other in (random.sample([*table], 2) for _ in range(4 * attempt)):
            table[one], table[other] = table[other], table[one]
        reached, is_better = score(table), True
        while is_better:
            is_better = False
            for one, other in combinations(table, 2):
                table[one], table[other] = table[other], table[one]
                if (now := score(table)) > reached:
                    reached, is_better = now, True
                else:
                    table[one], table[other] = table[other], table[one]
        if reached > best_score:
            best, best_score = table, reached
    return best


# --- frequent, equally long, or beginning in the same way -------------------------------------------------------------


def _by_frequency(persons: Mapping[str, Person]) -> Mapping[str, Person]:
    """The most frequent word counts as the most frequent name.

    The largest branch of numbers counts as the largest town.
    """
    given, surnames = (dict(zip(words, names, strict=False)) for words, names in _ranked_words(persons))
    numbers = [number.removeprefix(COUNTRY) for person in persons.values() for number in person.numbers]
    codes: dict[str, str] = {}
    for size in (2, 3, 4):
        known = (code for code in (*AREA_CODES, *MOBILE_CODES) if len(code) == size)
        codes |= dict(zip(_ranked(number[:size] for number in numbers), known, strict=False))

    def number(text: str) -> str:
        national = text.removeprefix(COUNTRY)
        shared = [size for size in (2, 3, 4) if sum(one[:size] == national[:size] for one in numbers) > 1]
        size = max(shared, default=2)
        return COUNTRY + codes.get(national[:size], national[:size]) + national[size:]

    return _changed(persons, lambda word: given.get(word, ""), lambda word: surnames.get(word, ""), number)


def _by_length(persons: Mapping[str, Person]) -> Mapping[str, Person]:
    """The most frequent word of a length, with or without an accent, is taken for the most frequent such name."""
    given, surnames = (
        _matched(words, names, lambda word: (len(word), word.isascii())) for words, names in _ranked_words(persons)
    )
    return _changed(persons, lambda word: given.get(word, ""), lambda word: surnames.get(word, ""), str)


def _by_beginnings(persons: Mapping[str, Person], recording: Recording) -> Mapping[str, Person]:
    """The beginning that a phone asked for and most entries have is taken for the most frequent beginning of names."""
    typed = {
        term.initial.decode().lower()
        for search in recording.searches
        if isinstance(term := search.request.filter, Substrings) and term.initial
    }
    found: list[dict[str, str]] = []
    for words, names in _ranked_words(persons):
        matched: dict[str, str] = {}
        for size in sorted({*map(len, typed)}):
            asked = _ranked(word[:size].lower() for word in words if word[:size].lower() in typed)
            weights: Counter[str] = Counter()
            for rank, name in enumerate(names, start=1):
                weights[name[:size]] += 1 / rank  # type: ignore[assignment]
            real = dict(zip(asked, (beginning for beginning, _ in weights.most_common()), strict=False))
            for beginning, guess in real.items():
                candidates = (name for name in names if name.startswith(guess))
                matched |= zip((word for word in words if word.lower().startswith(beginning)), candidates, strict=False)
        found.append(matched)
    given, surnames = found
    return _changed(persons, lambda word: given.get(word, ""), lambda word: surnames.get(word, ""), str)


def _by_order(persons: Mapping[str, Person], recording: Recording) -> Mapping[str, Person]:
    """The place of an entry in the longest answer is taken for the place of its name in the sorted lists."""
    listing = [dn for dn in max((search.found for search in recording.searches), key=len) if dn in persons]
    given, surnames = sorted(GIVEN_NAMES), sorted(SURNAMES)
    places = defaultdict(list)
    for at, dn in enumerate(listing):
        for word in persons[dn].name:
            places[word].append(at / len(listing))

    def placed(word: str, names: Sequence[str]) -> str:
        return names[int(sum(places[word]) / len(places[word]) * len(names))] if places[word] else ""

    return _changed(persons, lambda word: placed(word, given), lambda word: placed(word, surnames), str)


def _changed(
    persons: Mapping[str, Person],
    given: Callable[[str], str],
    surname: Callable[[str], str],
    number: Callable[[str], str],
) -> Mapping[str, Person]:
    return {
        dn: Person((given(person.name[0]), surname(person.name[1])), tuple(map(number, person.numbers)))
        for dn, person in persons.items()
    }


def _ranked_words(persons: Mapping[str, Person]) -> Iterable[tuple[Sequence[str], Sequence[str]]]:
    """Return the given names and the surnames of the file by frequency, each with the list of real names."""
    for at, names in ((0, GIVEN_NAMES), (1, SURNAMES)):
        yield _ranked(person.name[at] for person in persons.values()), names


def _ranked(values: Iterable[str]) -> Sequence[str]:
    return [value for value, _ in Counter(values).most_common()]


def _matched(words: Sequence[str], names: Sequence[str], group: Callable[[str], object]) -> Mapping[str, str]:
    """Pair each word with the name of the same group and the same rank in this group."""
    groups = defaultdict(list)
    for name in reversed(names):
        groups[group(name)].append(name)
    return {word: groups[group(word)].pop() for word in words if groups[group(word)]}
