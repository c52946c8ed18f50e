# SPDX-License-Identifier: MIT
"""What an entry is found by in an index, and where an index is to be asked for what a filter asserts.

The first letter of a term says what it is of:

* ``N`` of a name (cn, displayName, sn, givenName), ``M`` of a mail address, ``O`` of any other text: ``w`` and a word,
  its first letters alone; ``t`` and three letters of one, the last two and the last one, but of mail, which would have
  the most of them.
* ``D`` of a telephone number: ``b`` and how a written form of it begins; ``t`` and three digits, the last two and the
  last.
* ``C`` of an object class; ``P`` of an attribute that is there; ``S`` of an attribute and a value, for order.

Prefixes are one to three letters that a word of a name or of an organization begins with, behind their count; with each
stand the attributes that the word is in (`_WORD_BITS`), and those whose value it begins (`_VALUE_BITS`).  Keys are the
ends of numbers (`phone_number.stored_tails`), and uids.

`entry_terms` and the queries know each other's form and nobody else does.  A query names every entry that an assertion
can be true for, and may name others; what `prefix_query` gives names no others.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from ldapgw.directory import query_plan
from ldapgw.directory.assertion import NUMBER_END, Alternatives, Assertion, lines_of, number_of
from ldapgw.directory.dn import folded
from ldapgw.directory.entry import ALIAS_LETTER, MAX_SORT_NAME, SAME_AS_CN, Entry, attribute_tag
from ldapgw.directory.index import HIGHEST, EntryTerms, Index
from ldapgw.directory.query_plan import ExactKey, NameRange, PrefixQuery, Query, TermRange, ValueRange
from ldapgw.directory.schema import ATTRIBUTE_TYPES, AttributeType, Family
from ldapgw.numbers import phone_number

# Letters of a word, and of a value that has an order, which tell it from most others.
_WORD = 8
_VALUE = 12

_NAMES = frozenset(("cn", "displayName", "sn", "givenName"))

# Letters of a prefix.
_SHORT = 3
# The bits of attributes that a word stands in, and of those whose value it begins; a name's alias counts for each name.
_WORD_BITS = {"cn": 1, "sn": 2, "givenName": 4, "displayName": 8, "o": 16}
_VALUE_BITS = {"cn": 32, "sn": 64, "givenName": 128}
NAME_BITS = sum(bit for name, bit in _WORD_BITS.items() if name in _NAMES)
_TRIGRAM = 3
# Words of a text, and pieces of a word, that are looked up: with more of them hardly fewer entries are left.
_ENOUGH = 8
# Digits of the beginning of a number that tell it from others.
_BEGINNING = 6

_LETTERS = {kind.name: attribute_tag(kind)[1] for kind in ATTRIBUTE_TYPES if not kind.operational}
_CN = next(kind for kind in ATTRIBUTE_TYPES if kind.name == "cn")
# Whose words have prefixes, by the letter of the attribute.
_PREFIX_LETTERS = {_LETTERS[name]: name for name in _WORD_BITS}
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


def entry_terms(entry: Entry) -> EntryTerms:
    """What an entry is found by."""
    terms: set[str] = set()
    keys: set[str] = set()
    words: dict[str, set[str]] = {"N": set(), "M": set(), "O": set()}
    bits: dict[str, int] = {}
    for part in entry.tagged_texts():
        letter, text = part[0], part[1:]
        if letter == ALIAS_LETTER:
            found = text.split()
            words["N"].update(found)
            _add_bits(bits, found, NAME_BITS)
            continue
        terms.add("P" + letter)
        group = _GROUPS[letter]
        if group == "D":
            for line in lines_of(text):
                _add_number(line, terms, keys)
        elif group:
            name = _PREFIX_LETTERS.get(letter)
            found = (entry.search_text(_CN) or "" if text == SAME_AS_CN else text).split()
            words[group].update(found)
            if name is not None:
                _add_bits(bits, found, _WORD_BITS[name])
                if name in _VALUE_BITS:
                    _add_bits(bits, [line.split(maxsplit=1)[0] for line in lines_of(text) if line.strip()],
                              _VALUE_BITS[name])  # fmt: skip
        if letter in _ORDERED:
            terms.update([f"S{letter}{line[:_VALUE]}" for line in lines_of(text)])
        elif letter == _OBJECT_CLASS:
            terms.update(["C" + line for line in lines_of(text)])
        elif letter == _UID:
            keys.update([uid_key(uid).key for uid in (*lines_of(text), *_unusual_uids(entry))])
    _add_words(words, terms)
    return EntryTerms(terms, _prefixes(bits), keys)


def _add_bits(bits: dict[str, int], words: Iterable[str], added: int) -> None:
    for word in words:
        bits[word] = bits.get(word, 0) | added


def _prefixes(bits: Mapping[str, int]) -> dict[str, int]:
    found: dict[str, int] = {}
    for word, of_word in bits.items():
        for prefix in (f"1{word[:1]}", f"2{word[:2]}", f"3{word[:3]}"):
            found[prefix] = found.get(prefix, 0) | of_word
    return found


def _add_words(words: Mapping[str, set[str]], terms: set[str]) -> None:
    for group, found in words.items():
        for word in found:
            terms.add(f"{group}w{word[:_WORD]}")
            if group != "M":
                terms.update([f"{group}t{word[at : at + _TRIGRAM]}" for at in range(len(word))])


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


def prefix_query(kinds: Iterable[AttributeType], assertion: Assertion) -> PrefixQuery | None:
    """The query that names just the entries for which an assertion is true of one of some attributes.

    :returns: None where the assertion is not about the one to three letters that a word or a value begins with, or the
        index does not know of these attributes where their words stand.
    """
    if len(assertion.sufficient) != 1 or assertion.required != (assertion.sufficient,):
        return None
    [text] = assertion.sufficient
    bits_of = _VALUE_BITS if text.startswith("\n") else _WORD_BITS
    word = text.lstrip("\n")[1:]
    if text.lstrip("\n")[:1] != " " or not 0 < len(word) <= _SHORT or len(word.split()) != 1 or word != word.strip():
        return None
    attributes = 0
    for kind in kinds:
        bit = bits_of.get(kind.name)
        if bit is None:
            return None
        attributes |= bit
    return PrefixQuery(f"{len(word)}{word}", attributes)


def is_exact(kinds: Sequence[AttributeType], assertion: Assertion) -> bool:
    """Whether what `assertion_query` names for these attributes are just the entries that an assertion is true for."""
    return len(kinds) == 1 and kinds[0].name == "objectClass" and assertion.required == (assertion.sufficient,)


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
        return (
            PrefixQuery(f"{len(word)}{word}", NAME_BITS)
            if short
            else TermRange(f"{of}w{word}", f"{of}w{word}{HIGHEST}")
        )
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
    if string[:1] == "\n" == string[-1:]:
        tails = phone_number.stored_tails(phone_number.Number("", "", "", form))
        if tails:
            return ExactKey(NUMBER_END + tails[0])
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
