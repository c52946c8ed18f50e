# SPDX-License-Identifier: MIT
"""The index terms of an entry.

The first letter of a term says its group:

* ``N`` a name (cn, displayName, sn, givenName), ``M`` a mail address, ``O`` any other text.  A term continues with
  ``w`` and the first letters of a word, or with ``t`` and a part of a word.  A part is a trigram or the last two
  letters; a name also has a term with only the last letter.  Mail addresses have no terms with ``t``, because mail
  addresses would have more trigrams than all other values.
* ``D`` a telephone number.  A term continues with ``b`` and the prefix of a form of the number, or with ``t`` and a
  part of a form.  A part is a trigram or the last two digits.
* ``K`` a word in digits of the telephone keypad.  A term continues with ``N`` or ``O``, and with the digits of the
  word's first letters.  A word in a script other than Latin also has terms with ``t`` and a trigram of the word's
  digits.  Two words of a line also have a term with ``p`` and the first digit of each word.
* ``W`` two words of a value.  A term continues with ``N`` or ``O``, and with a number that is made from the first two
  letters of each word.
* ``C`` an object class; ``P`` an attribute that is present; ``S`` an attribute and the beginning of its value, for
  ordering.

Only words of names and organizations have terms of the groups ``K`` and ``W``.

A *prefix* is made from a word in a name or an organization.  The prefix is the number 1, 2 or 3, followed by at most as
many letters from the beginning of the word.  For example, the word "max" has the prefixes "1m", "2ma" and "3max".
`WORD_BITS` tell in which attributes a word begins with these letters, and `VALUE_BITS` tell in which attributes a value
begins with these letters.  *Keys* are uids, tails of numbers (`phone_number.stored_tails`), and beginnings of
companies' numbers (`ldapgw.directory.caller_id`).

Only this module and `term_queries` know the form of terms.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations, product
from typing import Any, Final

from ldapgw.directory import name_folding
from ldapgw.directory.assertion import NUMBER_END
from ldapgw.directory.dn import folded
from ldapgw.directory.entry import Entry
from ldapgw.directory.index import HIGHEST, Index, IndexBuilder, Postings
from ldapgw.directory.interruptible import interruptible
from ldapgw.directory.normalization import SWITCHBOARD_MARK, is_number_line, is_switchboard, lines_of, number_tails
from ldapgw.directory.packed_attributes import ALIAS_LETTER, SAME_AS_CN, attribute_tag
from ldapgw.directory.schema import ATTRIBUTE_TYPES, AttributeType, Family
from ldapgw.numbers import phone_number

# A term has at most `WORD_LENGTH` characters of a word, or at most `VALUE_LENGTH` characters of an ordered value.  Most
# words and values differ in their first characters.
WORD_LENGTH: Final = 8
VALUE_LENGTH: Final = 12

_NAMES: Final = frozenset(("cn", "displayName", "sn", "givenName"))

# The maximum number of letters in a prefix (see the module's docstring).
MAX_PREFIX: Final = 3
# The bits that an index stores for each prefix of a document.  Each bit stands for an attribute.  A bit of `WORD_BITS`
# says that a word in this attribute begins with the letters of the prefix.  A bit of `VALUE_BITS` says that a value of
# this attribute begins with these letters.  The words of an alias count as words of all attributes of `_NAMES` that the
# entry has.
WORD_BITS: Final = {"cn": 1, "sn": 2, "givenName": 4, "displayName": 8, "o": 16}
VALUE_BITS: Final = {"cn": 32, "sn": 64, "givenName": 128}
NAME_BITS: Final = sum(bit for name, bit in WORD_BITS.items() if name in _NAMES)
_ORGANIZATION_BITS: Final = WORD_BITS["o"]
_PREFIX_BITS: Final = 0xFF
# The bit for words of attributes that are not in `WORD_BITS`; the index does not store this bit.
_OTHER_BIT: Final = 0x100
_OTHER_BITS: Final = _OTHER_BIT | _ORGANIZATION_BITS
TRIGRAM: Final = 3
# Each form of a telephone number has a term with at most `NUMBER_PREFIX` characters from the beginning of the form.
NUMBER_PREFIX: Final = 6
# A word has a term with at most `KEYS` keypad digits: the digits of the word's first letters.
KEYS: Final = 3
_DIGITS: Final = "0123456789"
# The constants below are for numbers that consist of digits, perhaps behind a plus sign, as nearly all numbers do.  The
# code points of the characters lie between "+" and "9".  A number with fewer than `_SHORTEST_DIALLED` characters has no
# trigram.
_DIALLED: Final = "+" + _DIGITS
_FIRST_DIALLED: Final = ord("+")
_DIALLED_COUNT: Final = ord("9") - ord("+") + 1
_SHORTEST_DIALLED: Final = 3
# The term for a pair of words is made from the first `PAIRED` letters of each word.  `_PAIR_TERMS` is the number of
# different terms for pairs.  The number is prime, so that the pairs are spread evenly.
PAIRED: Final = 2
_PAIR_TERMS: Final = 16_381
# The maximum number of different beginnings of words for which pairs are made, because making more pairs would take
# long.  A value with more beginnings gets all `_PAIR_TERMS` terms, so that the value is a candidate in each search for
# a pair.  Nearly all values have fewer than ten beginnings.
_MAX_PAIRED: Final = 64
# The maximum number of words or texts in each table of cached postings.
_MAX_KEPT: Final = 10_000

# For each attribute, the letter that stands for the attribute (`ldapgw.directory.packed_attributes`).
_LETTERS: Final = {kind.name: attribute_tag(kind)[1] for kind in ATTRIBUTE_TYPES if not kind.operational}
# The same bits as in `WORD_BITS` and `VALUE_BITS`, but the keys are the letters that stand for the attributes.
_LETTER_BITS: Final = {_LETTERS[name]: bit for name, bit in WORD_BITS.items()}
_LETTER_VALUE_BITS: Final = {_LETTERS[name]: bit for name, bit in VALUE_BITS.items()}
# For each attribute's letter, the term of all entries that have the attribute.
_PRESENT: Final = {letter: "P" + letter for letter in _LETTERS.values()}
_CN, _OBJECT_CLASS, _UID = _LETTERS["cn"], _LETTERS["objectClass"], _LETTERS["uid"]
# The term of entries that have the number of a switchboard.
_SWITCHBOARD: Final = "P" + SWITCHBOARD_MARK
# The attributes that have terms for ordering (group ``S``), each as the letter that stands for the attribute.  An entry
# has at most one value of each of these attributes.
ORDERED: Final = frozenset(map(_LETTERS.__getitem__, ("sn", "givenName", "o")))


def term_group(kind: AttributeType) -> str:
    """Return the first letter of the terms of an attribute's values; "" if the values have no terms."""
    if kind.comparison.family is Family.NUMBER:
        return "D"
    if kind.comparison.family is not Family.TEXT:
        return ""
    return "N" if kind.name in _NAMES else "M" if kind.name == "mail" else "O"


_GROUPS: Final = {attribute_tag(kind)[1]: term_group(kind) for kind in ATTRIBUTE_TYPES if not kind.operational}
_GROUPS[ALIAS_LETTER] = "N"


def build_index(entries: Iterable[Entry]) -> Index:
    """Build the index of entries; the order of the entries gives the document numbers."""
    builder = IndexBuilder()
    indexer = _Indexer(builder)
    for entry in interruptible(entries):
        builder.begin_document()
        indexer.add(entry)
    del indexer  # the indexer's references would keep `build` from freeing postings
    return builder.build()


class _Word:
    """The postings of a word.

    Mutable: the lists of postings.  A list is empty until an entry needs the list.

    :ivar prefixes: the prefixes of a word in a name or an organization.
    :ivar of_names: the terms of a word in a name.
    :ivar of_others: the terms of a word in any other text except a mail address.
    :ivar of_organizations: the terms of a word in an organization, in digits of the telephone keypad.
    """

    __slots__ = ("of_names", "of_organizations", "of_others", "prefixes", "word")

    def __init__(self, word: str) -> None:
        self.word = word
        self.prefixes: list[Postings] = []
        self.of_names: list[Postings] = []
        self.of_others: list[Postings] = []
        self.of_organizations: list[Postings] = []

    def make_prefixes(self, builder: IndexBuilder) -> list[Postings]:
        word = self.word
        self.prefixes = [builder.prefix(prefix) for prefix in (f"1{word[:1]}", f"2{word[:2]}", f"3{word[:3]}")]
        return self.prefixes

    def make_name(self, builder: IndexBuilder) -> list[Postings]:
        terms = [*_word_terms("N", self.word), *["KN" + digits for digits in _keypad_terms(self.word)]]
        self.of_names = [builder.term(term) for term in terms]
        return self.of_names

    def make_other(self, builder: IndexBuilder) -> list[Postings]:
        self.of_others = [builder.term(term) for term in _word_terms("O", self.word)]
        return self.of_others

    def make_organization(self, builder: IndexBuilder) -> list[Postings]:
        self.of_organizations = [builder.term("KO" + digits) for digits in _keypad_terms(self.word)]
        return self.of_organizations


class _Indexer:
    """Adds the terms, prefixes and keys of entries to an index.

    Mutable: the cached postings of words, texts and trigrams.  A word is often in the cache, because many entries share
    words, and entries are indexed in the order of their names.
    """

    __slots__ = ("_builder", "_keypad_pairs", "_pairs", "_shared", "_trigrams", "_words")

    def __init__(self, builder: IndexBuilder) -> None:
        self._builder = builder
        self._words: dict[str, _Word] = {}
        self._keypad_pairs: dict[str, dict[str, list[Postings]]] = {"N": {}, "O": {}}
        # `_pairs` caches, for each name of an organization, the postings of the name's pairs of words.  `_shared`
        # caches, for each text with object classes, the postings of the classes.
        self._pairs: dict[str, list[Postings]] = {}
        self._shared: dict[str, list[Postings]] = {}
        # The postings of the trigrams of numbers; `_trigrams_of` computes the position of a trigram.
        self._trigrams: list[Postings | None] = [None] * _DIALLED_COUNT**3

    def add(self, entry: Entry) -> None:
        """Add an entry to the builder's document."""
        builder = self._builder
        keys: set[str] = set()
        bits: dict[str, int] = {}
        paired: set[str] = set()
        shown: list[str] = []
        name_bits = 0
        # Several attributes may have the same words and numbers.  Each word and number is added once.
        numbers: set[str] = set()
        for part in entry.tagged_texts():
            letter, text = part[0], part[1:]
            if letter != ALIAS_LETTER:
                builder.add_term(_PRESENT[letter])
            group = _GROUPS[letter]
            # The aliases are the last part of an entry's text, so `name_bits` already has the bits of all names of the
            # entry.
            letter_bits = name_bits if letter == ALIAS_LETTER else _LETTER_BITS.get(letter, 0)
            name_bits |= letter_bits & NAME_BITS
            if text == SAME_AS_CN:
                _add_bits(bits, shown, letter_bits)
            elif group == "D":
                numbers.update(lines_of(text))
            elif group == "M":
                for word in text.split():
                    builder.add_term("Mw" + word[:WORD_LENGTH])
            elif group:
                words = text.split()
                shown = words if letter == _CN else shown
                _add_bits(bits, words, letter_bits or _OTHER_BIT)
                if letter_bits:
                    if letter in _LETTER_VALUE_BITS:
                        _add_bits(bits, _first_words(text), _LETTER_VALUE_BITS[letter])
                    if len(words) > 1:
                        self._add_pairs(group, text, words, paired)
            if letter == _UID:
                keys.update([uid_key(uid) for uid in (*lines_of(text), *_unusual_uids(entry))])
            else:
                self._add_values(letter, text)
        self._add_words(bits)
        self._add_numbers(numbers, keys)
        builder.add_keys(keys)

    def _add_values(self, letter: str, text: str) -> None:
        """Add the terms of whole values: object classes, and the beginnings of values that filters compare by order."""
        if letter in ORDERED:
            for line in lines_of(text):
                self._builder.add_term(f"S{letter}{line[:VALUE_LENGTH]}")
        elif letter == _OBJECT_CLASS:
            found = self._shared.get(text)
            if found is None:
                _make_room(self._shared)
                found = self._shared[text] = [self._builder.term("C" + line) for line in lines_of(text)]
            self._builder.add(found)

    def _add_words(self, bits: Mapping[str, int]) -> None:
        """Add words as prefixes and as terms; for words of names and organizations, add terms in keypad digits, too.

        :param bits: for each word, the bits of the attributes that contain the word (`WORD_BITS`, `VALUE_BITS`,
            `_OTHER_BIT`).
        """
        builder, kept = self._builder, self._words
        for word, word_bits in bits.items():
            found = kept.get(word)
            if found is None:
                _make_room(kept)
                found = kept[word] = _Word(word)
            if word_bits != _OTHER_BIT:
                builder.add_prefixes(found.prefixes or found.make_prefixes(builder), word_bits & _PREFIX_BITS)
            if word_bits & NAME_BITS:
                builder.add(found.of_names or found.make_name(builder))
            if word_bits & _OTHER_BITS:
                builder.add(found.of_others or found.make_other(builder))
                if word_bits & _ORGANIZATION_BITS:
                    builder.add(found.of_organizations or found.make_organization(builder))

    def _add_pairs(self, group: str, text: str, words: Sequence[str], paired: set[str]) -> None:
        """Add the terms for the pairs of words in a value."""
        self._add_keypad_pairs(group, text)
        if group == "O":
            found = self._pairs.get(text)
            if found is None:
                found = [self._builder.term(term) for term in _pair_terms(group, text, words, set())]
                _make_room(self._pairs)
                self._pairs[text] = found
            self._builder.add(found)
        else:
            for term in _pair_terms(group, text, words, paired):
                self._builder.add_term(term)

    def _add_keypad_pairs(self, group: str, text: str) -> None:
        """Add the terms for the pairs of words in each line, in digits of the telephone keypad."""
        kept = self._keypad_pairs[group]
        for line in text.split("\n"):
            initials = "".join([word[0] for word in line.split()])
            if len(initials) > 1:
                found = kept.get(initials)
                if found is None:
                    _make_room(kept)
                    found = kept[initials] = [self._builder.term(term) for term in _keypad_pair_terms(group, initials)]
                self._builder.add(found)

    def _add_numbers(self, lines: Iterable[str], keys: set[str]) -> None:
        """Add the beginnings and the trigrams of the forms of numbers, and add the keys of the numbers to `keys`."""
        builder = self._builder
        found: set[str] = set()
        for line in lines:
            forms = line.split("\t")
            tails = number_tails(line) if is_number_line(line) else phone_number.tails_of("", line)
            keys.update([NUMBER_END + tail for tail in tails])
            if is_switchboard(line):
                keys.add(forms[-2])
                builder.add_term(_SWITCHBOARD)
            found.update(forms)
        for form in found:
            if form:
                builder.add_term("Db" + form[:NUMBER_PREFIX])
                builder.add(self._trigrams_of(form))

    def _trigrams_of(self, form: str) -> list[Postings]:
        """Return the postings for the trigrams and for the last two digits of a number's form."""
        builder = self._builder
        if len(form) < _SHORTEST_DIALLED or not (form[1:].isdigit() and form.isascii()) or form[0] not in _DIALLED:
            return [builder.term(term) for term in _trigram_terms("Dt", form)]
        # Nearly all forms consist of digits behind a plus sign.  The place of a trigram's postings in a list is
        # computed from the code points.  Making a string of the three characters would take longer.
        kept, postings = self._trigrams, []
        first, second = ord(form[0]) - _FIRST_DIALLED, ord(form[1]) - _FIRST_DIALLED
        for at in range(2, len(form)):
            third = ord(form[at]) - _FIRST_DIALLED
            place = (first * _DIALLED_COUNT + second) * _DIALLED_COUNT + third
            found = kept[place]
            if found is None:
                found = kept[place] = builder.term("Dt" + form[at - 2 : at + 1])
            postings.append(found)
            first, second = second, third
        return [*postings, builder.term("Dt" + form[-2:])]


def _make_room(kept: dict[str, Any]) -> None:
    """Clear a table of cached postings if the table is full."""
    if len(kept) == _MAX_KEPT:
        kept.clear()


def _add_bits(bits: dict[str, int], words: Iterable[str], added: int) -> None:
    for word in words:
        bits[word] = bits.get(word, 0) | added


def _first_words(text: str) -> list[str]:
    """Return the first word of each value."""
    return [line.split(maxsplit=1)[0] for line in lines_of(text) if line.strip()]


def _word_terms(group: str, word: str) -> list[str]:
    """Return the terms of a word: a term for the word's beginning, and terms for the word's parts.

    :param group: the letter with which the terms begin.
    """
    return [f"{group}w{word[:WORD_LENGTH]}", *_trigram_terms(f"{group}t", word)]


def _keypad_terms(word: str) -> list[str]:
    """Return the terms of a word in digits of the telephone keypad.

    The caller puts the letters of the term's group in front: "KN" for a name, "KO" for an organization.
    """
    digits = name_folding.on_keys(word)
    beginning = digits[:KEYS]
    if not beginning.isdigit():
        beginning = beginning[: len(beginning) - len(beginning.lstrip(_DIGITS))]
    terms = [beginning] if beginning else []
    if not word.isascii() and digits != word:
        terms += _trigram_terms("t", digits)
    return terms


def _trigram_terms(group: str, text: str) -> list[str]:
    """Return the terms of a text: terms for its trigrams, and terms for its last characters.

    The last character gets a term of its own only if the text is a name.  For any other text, a term of only the last
    character would occur in nearly all entries.
    """
    return [group + text[at : at + TRIGRAM] for at in range(len(text) + 1 - shortest_part(group))]


def shortest_part(group: str) -> int:
    """Return the minimum number of characters of a term for a part of a word."""
    return 1 if group == "Nt" else 2


def _pair_terms(group: str, text: str, words: Sequence[str], paired: set[str]) -> list[str]:
    """Return the terms for the pairs of words in a value.

    Two words with the same beginning are a pair only if both words are in the same line.  Two words with different
    beginnings are always a pair.

    :param words: the words of `text`, which is the search text of the value.
    :param paired: beginnings of words; the entry already has terms for the pairs of these beginnings.  An empty set is
        filled with the beginnings of the value's words.  If all beginnings of the value's words are already in the set,
        only the terms for pairs of equal beginnings are returned.
    """
    terms: list[str] = []
    beginnings = {word[:PAIRED] for word in words if len(word) >= PAIRED}
    if len(beginnings) < len(words):
        terms += _like_pair_terms(group, text)
    if len(beginnings) < 2 or beginnings <= paired:
        return terms
    if not paired:
        paired |= beginnings
    if len(beginnings) > _MAX_PAIRED:
        terms += [f"W{group}{number}" for number in range(_PAIR_TERMS)]
    else:
        pairs = combinations(map(pair_number, beginnings), 2)
        terms += [pair_term(group, one, other) for one, other in pairs]
    return terms


def _keypad_pair_terms(group: str, initials: str) -> list[str]:
    """Return the terms for the pairs of words in a line, in digits of the telephone keypad.

    :param initials: the first letters of the words.
    """
    digits = sorted(filter(str.isdigit, name_folding.on_keys(initials)))
    pairs = set(combinations(digits, 2)) if len(digits) < _MAX_PAIRED else product(_DIGITS, _DIGITS)
    return [f"K{group}p{one}{other}" for one, other in pairs]


def _like_pair_terms(group: str, text: str) -> list[str]:
    repeated: set[str] = set()
    for line in text.split("\n"):  # the lines include variants and aliases
        found: set[str] = set()
        for word in line.split():
            beginning = word[:PAIRED]
            if beginning not in found:
                found.add(beginning)
            elif beginning not in repeated:
                repeated.add(beginning)
    numbers = [pair_number(beginning) for beginning in repeated if len(beginning) == PAIRED]
    return [pair_term(group, number, number) for number in numbers]


def pair_number(beginning: str) -> int:
    return ord(beginning[0]) * 1009 + ord(beginning[1])


def pair_term(group: str, one: int, other: int) -> str:
    """Return the term for values with two words; `one` and `other` are the `pair_number` of each word's beginning."""
    return f"W{group}{one * other % _PAIR_TERMS}"


def _unusual_uids(entry: Entry) -> list[str]:
    """Return a list with the folded uid of an entry (`ldapgw.directory.dn.folded`).

    The list is empty if the uid consists of ASCII letters, digits, hyphens and underscores, as nearly all uids do.
    """
    uid = entry.uid
    return [] if uid.replace(b"-", b"").replace(b"_", b"").isalnum() else [folded(uid.decode())]


def present_attributes(index: Index) -> Iterable[str]:
    """Return the letters of the attributes that entries have (`Entry.tagged_texts`), without the letter of aliases."""
    return [term[1:] for term in index.terms("P", "P" + HIGHEST) if term != _SWITCHBOARD]


def has_switchboards(index: Index) -> bool:
    _, ranges, _ = index.postings(_SWITCHBOARD)
    return ranges[0] < ranges[-1]


def present_object_classes(index: Index) -> Iterable[str]:
    """Return the object classes that entries have, each between two line breaks, as in a search text."""
    return [f"\n{term[1:]}\n" for term in index.terms("C", "C" + HIGHEST)]


def uid_key(uid: str) -> str:
    """Return the key of a uid; runs of blanks in the uid do not matter."""
    return "u" + " ".join(uid.split())
