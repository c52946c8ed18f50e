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
from ldapgw.directory.assertion import NUMBER_END, Alternatives, Assertion, lines_of, number_of
from ldapgw.directory.dn import folded
from ldapgw.directory.entry import ALIAS_LETTER, MAX_SORT_NAME, Entry, attribute_tag
from ldapgw.directory.index import HIGHEST, Index
from ldapgw.directory.query_plan import ExactKey, NameRange, Query, TermRange, ValueRange
from ldapgw.directory.schema import ATTRIBUTE_TYPES, AttributeType, Family
from ldapgw.numbers import phone_number

# Letters of a word, and of a value that has an order, which tell it from most others.
_WORD = 8
_VALUE = 12

_NAMES = frozenset(("cn", "displayName", "sn", "givenName"))

# Letters of a beginning that have a term of their own.
_SHORT = 3
_TRIGRAM = 3
# Words of a text, and pieces of a word, that are looked up: with more of them hardly fewer entries are left.
_ENOUGH = 8
# Digits of the beginning of a number that tell it from others.
_BEGINNING = 6

_LETTERS = {kind.name: attribute_tag(kind)[1] for kind in ATTRIBUTE_TYPES if not kind.operational}
_OBJECT_CLASS, _UID = _LETTERS["objectClass"], _LETTERS["uid"]
# Each has one value.
_ORDERED = frozenset(map(_LETTERS.__getitem__, ("sn", "givenName", "o")))


def term_group(kind: AttributeType) -> str:
    """The letter of the terms that an attribute's values have; "" where they have none."""
    if kind.comparison.family is Family.NUMBER:
        return "D"
    if kind.comparison.family is not Family.TEXT:
        return ""
    return "N" if kind.name in _NAMES else "M" if kind.name == "mail" else "O"


_GROUPS = {attribute_tag(kind)[1]: term_group(kind) for kind in ATTRIBUTE_TYPES if not kind.operational}
_GROUPS_OF = {kind.name: term_group(kind) for kind in ATTRIBUTE_TYPES}


def entry_terms(entry: Entry) -> tuple[set[str], set[str]]:
    """An entry's terms and keys."""
    terms: set[str] = set()
    keys: set[str] = set()
    words: dict[str, set[str]] = {"N": set(), "M": set(), "O": set()}
    for part in entry.tagged_texts():
        letter, sought = part[0], part[1:]
        if letter == ALIAS_LETTER:
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
            keys.update([uid_key(uid).key for uid in (*lines_of(sought), *_unusual_uids(entry))])
    _add_words(words, terms)
    return terms, keys


def _add_words(words: Mapping[str, set[str]], terms: set[str]) -> None:
    for of, found in words.items():
        for word in found:
            terms.add(f"{of}w{word[:_WORD]}")
            if of != "M":
                terms.update([f"{of}t{word[at : at + _TRIGRAM]}" for at in range(len(word))])
    for word in words["N"]:
        terms.update((f"N1{word[:1]}", f"N2{word[:2]}", f"N3{word[:3]}"))


def _unusual_uids(entry: Entry) -> list[str]:
    """Uids as they stand in a name, where that may compare them in another form than an attribute does."""
    plain = entry.rdn.removeprefix(b"uid=").replace(b"-", b"").replace(b"_", b"").isalnum()
    return [] if plain else [folded(uid.decode()) for uid in entry.attribute("uid")]


def _add_number(line: str, terms: set[str], keys: set[str]) -> None:
    if line.startswith("\t"):
        stored, forms = number_of(line), line.split("\t")
    else:
        stored, forms = phone_number.Number("", "", "", line), [line]
    keys.update([NUMBER_END + tail for tail in phone_number.stored_tails(stored)])
    for form in forms:
        if form:
            terms.add("Db" + form[:_BEGINNING])
            terms.update([f"Dt{form[at : at + _TRIGRAM]}" for at in range(len(form))])


def presence_query(kind: AttributeType) -> Query:
    """Where an attribute is there."""
    return None if kind.operational else "P" + attribute_tag(kind)[1]


def present_attributes(index: Index) -> Iterable[str]:
    """The signs of the parts that entries have (`Entry.parts`), but for that of other names."""
    return [term[1:] for term in index.terms("P", "P" + HIGHEST)]


def assertion_query(kind: AttributeType, assertion: Assertion, *, lenient: bool) -> Query:
    """Where an attribute may hold what is looked for."""
    if kind.operational:
        return None
    if assertion.value_range is not None:
        return _range_query(kind, *assertion.value_range, lenient=lenient)
    of, clues = _GROUPS_OF[kind.name], assertion.required
    return (
        _alternatives_query(of, kind, clues[0])
        if len(clues) == 1
        else query_plan.all_of([_alternatives_query(of, kind, clue) for clue in clues])
    )


def _range_query(kind: AttributeType, low: str, high: str, *, lenient: bool) -> Query:
    if attribute_tag(kind)[1] in _ORDERED:
        return ValueRange("S" + attribute_tag(kind)[1], low[:_VALUE], high[:_VALUE])
    if kind.name == "cn" and lenient:
        return NameRange(low.strip()[:MAX_SORT_NAME], high.strip()[:MAX_SORT_NAME])
    return None


def _alternatives_query(of: str, kind: AttributeType, alternatives: Alternatives) -> Query:
    if of:
        places = (
            [_digits_query(string) for string in alternatives]
            if of == "D"
            else [_words_query(of, string) for string in alternatives]
        )
        return places[0] if len(places) == 1 else query_plan.any_of(places)
    if kind.name == "objectClass":
        return query_plan.any_of(["C" + string.strip("\n") for string in alternatives])
    if kind.name == "uid":
        return query_plan.any_of([_uid_query(string) for string in alternatives])
    return query_plan.NO_DOCUMENTS if not alternatives else None


def _words_query(of: str, string: str) -> Query:
    """Where a string may stand between the words of a text."""
    words = string.split()
    if not words:
        return None
    first, last = 0, len(words) - 1
    begins, ends = string[0].isspace(), string[-1].isspace()
    return query_plan.all_of(
        [
            _word_query(of, word, begins=begins or at > first, ends=ends or at < last)
            for at, word in enumerate(words[:_ENOUGH])
        ]
    )


def _word_query(of: str, word: str, *, begins: bool, ends: bool) -> Query:
    """Where a word, or a part of one, may stand."""
    if begins and (ends or len(word) >= _WORD):
        return f"{of}w{word[:_WORD]}"
    if begins:
        short = of == "N" and len(word) <= _SHORT
        return f"N{len(word)}{word}" if short else TermRange(f"{of}w{word}", f"{of}w{word}{HIGHEST}")
    if of == "M":
        return None
    if ends and len(word) < _TRIGRAM:
        return f"{of}t{word}"
    return _trigrams_query(f"{of}t", word)


def _trigrams_query(group: str, letters: str) -> Query:
    """Where letters stand in a row; fewer than a piece has stand where a piece begins with them."""
    if not letters:
        return None
    if len(letters) < _TRIGRAM:
        return TermRange(group + letters, group + letters + HIGHEST)
    return query_plan.all_of(
        [group + letters[at : at + _TRIGRAM] for at in range(min(_ENOUGH, len(letters) - _TRIGRAM + 1))]
    )


def _digits_query(string: str) -> Query:
    """Where a string may stand in the writings of a number."""
    if string.startswith(NUMBER_END):
        return ExactKey(string)
    form = string.strip("\t\n")
    if string[:1] in ("\t", "\n"):
        beginning = "Db" + form[:_BEGINNING]
        if len(form) < _BEGINNING:
            return TermRange(beginning, beginning + HIGHEST)
        # All of a company's numbers begin alike; what follows tells them apart.
        behind = form[_BEGINNING - _TRIGRAM + 1 :]
        return query_plan.all_of([beginning, _trigrams_query("Dt", behind)]) if len(form) > _BEGINNING else beginning
    return _trigrams_query("Dt", form)


def uid_key(uid: str) -> ExactKey:
    """Where the entry of a uid is, in whichever form its words are folded."""
    return ExactKey("u" + " ".join(uid.split()))


def _uid_query(string: str) -> Query:
    """Only a whole one has a key."""
    return uid_key(string) if string.startswith("\n") and string.endswith("\n") else None
