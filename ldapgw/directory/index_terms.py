# SPDX-License-Identifier: MIT
"""What an entry is found by in an index, and where to look for what a search asks.

The first letter of a term says what it is of:

* ``N`` of a name (cn, displayName, sn, givenName), ``M`` of a mail address, ``O`` of any other text: ``w`` and a word,
  its first letters alone; ``t`` and three letters of one, the last two and the last one, but of mail, which would have
  the most of them.  The beginnings of names have terms of their own, ``1`` to ``3`` and as many letters: many entries
  have them.
* ``D`` of a telephone number: ``b`` and how a writing of it begins; ``t`` and three digits, the last two and the last.
* ``C`` of an object class; ``P`` of an attribute that is there; ``S`` of an attribute and a value, for order.

Keys are the ends of numbers (`phone_number`), and uids.  `of_entry` and the questions know each other's form and
nobody else does.  A question has to name every entry that it can be true for, and may name others.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ldapgw.directory import query_plan
from ldapgw.directory.assertion import ENDING, Clue, Needle, lines_of, number_of
from ldapgw.directory.dn import folded
from ldapgw.directory.entry import MAX_SORT_NAME, OTHERS, Entry, mark
from ldapgw.directory.index import LAST, Index
from ldapgw.directory.query_plan import Between, Key, Named, Place, Span
from ldapgw.directory.schema import ATTRIBUTE_TYPES, AttributeType, Family
from ldapgw.numbers import phone_number

# Letters of a word, and of a value that has an order, which tell it from most others.
_WORD = 8
_VALUE = 12

_NAMES = frozenset(("cn", "displayName", "sn", "givenName"))

# Letters of a beginning that have a term of their own.
_SHORT = 3
_PIECE = 3
# Words of a text, and pieces of a word, that are looked up: with more of them hardly fewer entries are left.
_ENOUGH = 8
# Digits of the beginning of a number that tell it from others.
_BEGINNING = 6

_LETTERS = {kind.name: mark(kind)[1] for kind in ATTRIBUTE_TYPES if not kind.operational}
_OBJECT_CLASS, _UID = _LETTERS["objectClass"], _LETTERS["uid"]
# Each has one value.
_ORDERED = frozenset(map(_LETTERS.__getitem__, ("sn", "givenName", "o")))


def group(kind: AttributeType) -> str:
    """The letter of the terms that an attribute's values have; "" where they have none."""
    if kind.kind.family is Family.NUMBER:
        return "D"
    if kind.kind.family is not Family.TEXT:
        return ""
    return "N" if kind.name in _NAMES else "M" if kind.name == "mail" else "O"


_GROUPS = {mark(kind)[1]: group(kind) for kind in ATTRIBUTE_TYPES if not kind.operational}
_GROUPS_OF = {kind.name: group(kind) for kind in ATTRIBUTE_TYPES}


def of_entry(entry: Entry) -> tuple[set[str], set[str]]:
    """An entry's terms and keys."""
    terms: set[str] = set()
    keys: set[str] = set()
    words: dict[str, set[str]] = {"N": set(), "M": set(), "O": set()}
    for part in entry.parts():
        letter, sought = part[0], part[1:]
        if letter == OTHERS:
            words["N"].update(sought.split())
            continue
        terms.add("P" + letter)
        of = _GROUPS[letter]
        if of == "D":
            for line in lines_of(sought):
                _add_number(line, terms, keys)
        elif of:
            words[of].update(sought.split())
        if letter in _ORDERED:
            terms.update([f"S{letter}{line[:_VALUE]}" for line in lines_of(sought)])
        elif letter == _OBJECT_CLASS:
            terms.update(["C" + line for line in lines_of(sought)])
        elif letter == _UID:
            keys.update([of_uid(uid).key for uid in (*lines_of(sought), *_odd_uids(entry))])
    _add_words(words, terms)
    return terms, keys


def _add_words(words: Mapping[str, set[str]], terms: set[str]) -> None:
    for of, found in words.items():
        for word in found:
            terms.add(f"{of}w{word[:_WORD]}")
            if of != "M":
                terms.update([f"{of}t{word[at : at + _PIECE]}" for at in range(len(word))])
    for word in words["N"]:
        terms.update((f"N1{word[:1]}", f"N2{word[:2]}", f"N3{word[:3]}"))


def _odd_uids(entry: Entry) -> list[str]:
    """Uids as they stand in a name, where that may compare them in another form than an attribute does."""
    plain = entry.rdn.removeprefix(b"uid=").replace(b"-", b"").replace(b"_", b"").isalnum()
    return [] if plain else [folded(uid.decode()) for uid in entry.attribute("uid")]


def _add_number(line: str, terms: set[str], keys: set[str]) -> None:
    if line.startswith("\t"):
        stored, forms = number_of(line), line.split("\t")
    else:
        stored, forms = phone_number.Number("", "", "", line), [line]
    keys.update([ENDING + tail for tail in phone_number.stored_tails(stored)])
    for form in forms:
        if form:
            terms.add("Db" + form[:_BEGINNING])
            terms.update([f"Dt{form[at : at + _PIECE]}" for at in range(len(form))])


def presence(kind: AttributeType) -> Place:
    """Where an attribute is there."""
    return None if kind.operational else "P" + mark(kind)[1]


def letters(index: Index) -> Iterable[str]:
    """The signs of the parts that entries have (`Entry.parts`), but for that of other names."""
    return [term[1:] for term in index.terms("P", "P" + LAST)]


def place(kind: AttributeType, needle: Needle, *, lenient: bool) -> Place:
    """Where an attribute may hold what is looked for."""
    if kind.operational:
        return None
    if needle.between is not None:
        return _between(kind, *needle.between, lenient=lenient)
    of, clues = _GROUPS_OF[kind.name], needle.clues
    return _clue(of, kind, clues[0]) if len(clues) == 1 else query_plan.each([_clue(of, kind, clue) for clue in clues])


def _between(kind: AttributeType, low: str, high: str, *, lenient: bool) -> Place:
    if mark(kind)[1] in _ORDERED:
        return Between("S" + mark(kind)[1], low[:_VALUE], high[:_VALUE])
    if kind.name == "cn" and lenient:
        return Named(low.strip()[:MAX_SORT_NAME], high.strip()[:MAX_SORT_NAME])
    return None


def _clue(of: str, kind: AttributeType, clue: Clue) -> Place:
    if of:
        places = [_digits(string) for string in clue] if of == "D" else [_words(of, string) for string in clue]
        return places[0] if len(places) == 1 else query_plan.either(places)
    if kind.name == "objectClass":
        return query_plan.either(["C" + string.strip("\n") for string in clue])
    if kind.name == "uid":
        return query_plan.either([_uid(string) for string in clue])
    return query_plan.NOWHERE if not clue else None


def _words(of: str, string: str) -> Place:
    """Where a string may stand between the words of a text."""
    words = string.split()
    if not words:
        return None
    first, last = 0, len(words) - 1
    begins, ends = string[0].isspace(), string[-1].isspace()
    return query_plan.each(
        [
            _word(of, word, begins=begins or at > first, ends=ends or at < last)
            for at, word in enumerate(words[:_ENOUGH])
        ]
    )


def _word(of: str, word: str, *, begins: bool, ends: bool) -> Place:
    """Where a word, or a part of one, may stand."""
    if begins and (ends or len(word) >= _WORD):
        return f"{of}w{word[:_WORD]}"
    if begins:
        short = of == "N" and len(word) <= _SHORT
        return f"N{len(word)}{word}" if short else Span(f"{of}w{word}", f"{of}w{word}{LAST}")
    if of == "M":
        return None
    if ends and len(word) < _PIECE:
        return f"{of}t{word}"
    return _pieces(f"{of}t", word)


def _pieces(group: str, letters: str) -> Place:
    """Where letters stand in a row; fewer than a piece has stand where a piece begins with them."""
    if not letters:
        return None
    if len(letters) < _PIECE:
        return Span(group + letters, group + letters + LAST)
    return query_plan.each([group + letters[at : at + _PIECE] for at in range(min(_ENOUGH, len(letters) - _PIECE + 1))])


def _digits(string: str) -> Place:
    """Where a string may stand in the writings of a number."""
    if string.startswith(ENDING):
        return Key(string)
    form = string.strip("\t\n")
    if string[:1] in ("\t", "\n"):
        beginning = "Db" + form[:_BEGINNING]
        if len(form) < _BEGINNING:
            return Span(beginning, beginning + LAST)
        # All of a company's numbers begin alike; what follows tells them apart.
        behind = form[_BEGINNING - _PIECE + 1 :]
        return query_plan.each([beginning, _pieces("Dt", behind)]) if len(form) > _BEGINNING else beginning
    return _pieces("Dt", form)


def of_uid(uid: str) -> Key:
    """Where the entry of a uid is, in whichever form its words are folded."""
    return Key("u" + " ".join(uid.split()))


def _uid(string: str) -> Place:
    """Only a whole one has a key."""
    return of_uid(string) if string.startswith("\n") and string.endswith("\n") else None
