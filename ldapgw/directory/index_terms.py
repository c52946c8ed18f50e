# SPDX-License-Identifier: MIT
"""The index terms of an entry, and the queries by which an index finds candidates for a filter's assertions.

The first letter of a term says its group:

* ``N`` a name (cn, displayName, sn, givenName), ``M`` a mail address, ``O`` any other text.  This letter is followed by
  ``w`` and the first letters of a word, or by ``t`` and a part of a word.  The part is a trigram or the last two
  letters; a name also has a term with the last letter alone.  Mail addresses have no trigrams, because they would have
  more trigrams than all other values.
* ``D`` a telephone number.  This letter is followed by ``b`` and the prefix of a form of the number, or by ``t`` and a
  part of a form.  The part is a trigram or the last two digits.
* ``K`` a word in digits of the telephone keypad.  This letter is followed by ``N`` or ``O``, and by the digits of the
  word's first letters.  For a word in a script other than Latin, there are also terms with ``t`` and a trigram of the
  word's digits.  For two words of a line, there is also a term with ``p`` and the first digit of each word.
* ``W`` two words of a value.  This letter is followed by ``N`` or ``O``, and by a number that is made from the first
  two letters of each word.
* ``C`` an object class; ``P`` an attribute that is present; ``S`` an attribute and the beginning of its value, for
  ordering.

Only words of names and organizations have terms of the groups ``K`` and ``W``.

*Prefixes* are the first one to three letters of a word in a name or an organization, preceded by the number of these
letters.  The bits of a prefix tell which attributes contain such a word (`_WORD_BITS`), and which attributes have a
value that begins with such a word (`_VALUE_BITS`).  *Keys* are tails of numbers (`phone_number.stored_tails`), and
uids.

The query of an assertion finds every entry for which the assertion can be true, and may find other entries; a query of
`prefix_query` finds no other entries.  The form of terms is private to this module.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations, pairwise, product
from typing import Any, Final

from ldapgw.directory import name_folding, query_plan
from ldapgw.directory.assertion import NUMBER_END, ON_KEYS, Alternatives, Assertion
from ldapgw.directory.dn import folded
from ldapgw.directory.entry import Entry
from ldapgw.directory.index import HIGHEST, Index, IndexBuilder, Postings
from ldapgw.directory.name_folding import MAX_SORT_NAME
from ldapgw.directory.normalization import SWITCHBOARD_MARK, is_number_line, is_switchboard, lines_of, number_tails
from ldapgw.directory.packed_attributes import ALIAS_LETTER, SAME_AS_CN, attribute_tag
from ldapgw.directory.query_plan import (
    CommonPrefixQuery,
    ExactKey,
    NameRange,
    PrefixQuery,
    Query,
    TermRange,
    ValueRange,
)
from ldapgw.directory.schema import ATTRIBUTE_TYPES, AttributeType, Family
from ldapgw.numbers import phone_number

# A term contains only this many first characters of a word (`_WORD`) or of an ordered value (`_VALUE`), which are
# enough to tell most words apart.
_WORD: Final = 8
_VALUE: Final = 12

_NAMES: Final = frozenset(("cn", "displayName", "sn", "givenName"))

# The maximum number of characters of a prefix.
_MAX_PREFIX: Final = 3
# The bits that are stored for each prefix in an entry.  A bit of `_WORD_BITS` says that a word of the attribute begins
# with the prefix.  A bit of `_VALUE_BITS` says that a value of the attribute begins with the prefix.  The words of an
# alias count as words of each attribute of the entry that holds a name.
_WORD_BITS: Final = {"cn": 1, "sn": 2, "givenName": 4, "displayName": 8, "o": 16}
_VALUE_BITS: Final = {"cn": 32, "sn": 64, "givenName": 128}
NAME_BITS: Final = sum(bit for name, bit in _WORD_BITS.items() if name in _NAMES)
_ORGANIZATION_BITS: Final = _WORD_BITS["o"]
_PREFIX_BITS: Final = 0xFF
# While an entry is indexed, this bit stands for words of attributes that have no prefixes.
_OTHER_BIT: Final = 0x100
_OTHER_BITS: Final = _OTHER_BIT | _ORGANIZATION_BITS
_TRIGRAM: Final = 3
# The maximum number of words of a text, and the maximum number of trigrams of a word, that are looked up: further
# lookups would exclude hardly any entries.
_MAX_LOOKUPS: Final = 8
# The number of characters in a term that is the beginning of a form of a telephone number.
_NUMBER_PREFIX: Final = 6
# The number of keypad digits in a term that is the beginning of a word.
_KEYS: Final = 3
_DIGITS: Final = "0123456789"
# The characters of most numbers, and the minimum length of a number that has a trigram.
_DIALLED: Final = "+" + _DIGITS
_FIRST_DIALLED: Final = ord("+")
_DIALLED_COUNT: Final = ord("9") - ord("+") + 1
_SHORTEST_DIALLED: Final = 3
# The term for a pair of words is made from the first `_PAIRED` letters of each word.  There are `_PAIR_TERMS` different
# terms for pairs; this number is prime, which spreads the pairs evenly.
_PAIRED: Final = 2
_PAIR_TERMS: Final = 16_381
# The maximum number of different beginnings of words whose pairs are made for a value.  A value with more beginnings
# gets all `_PAIR_TERMS` terms, so that each search for a pair tests the value.  Nearly all values have fewer than ten
# beginnings.  Making the pairs for a name of a thousand characters would take as long as indexing a thousand other
# names.
_MAX_PAIRED: Final = 64
# The maximum number of words, and of names of organizations, whose postings are kept.
_MAX_KEPT: Final = 10_000
# The maximum number of pairs of variants that are looked up for two searched words.
_MAX_PAIR_QUERIES: Final = 16

_LETTERS: Final = {kind.name: attribute_tag(kind)[1] for kind in ATTRIBUTE_TYPES if not kind.operational}
# The bits of `_WORD_BITS` and of `_VALUE_BITS`, by the attributes' letters.
_LETTER_BITS: Final = {_LETTERS[name]: bit for name, bit in _WORD_BITS.items()}
_LETTER_VALUE_BITS: Final = {_LETTERS[name]: bit for name, bit in _VALUE_BITS.items()}
# The terms of the attributes that an entry has.
_PRESENT: Final = {letter: "P" + letter for letter in _LETTERS.values()}
_CN, _OBJECT_CLASS, _UID = _LETTERS["cn"], _LETTERS["objectClass"], _LETTERS["uid"]
# The term of entries that have the number of a switchboard.
_SWITCHBOARD: Final = "P" + SWITCHBOARD_MARK
# Attributes with terms for ordering; each has a single value.
_ORDERED: Final = frozenset(map(_LETTERS.__getitem__, ("sn", "givenName", "o")))


def term_group(kind: AttributeType) -> str:
    """Return the first letter of the terms of an attribute's values; "" if the values have no terms."""
    if kind.comparison.family is Family.NUMBER:
        return "D"
    if kind.comparison.family is not Family.TEXT:
        return ""
    return "N" if kind.name in _NAMES else "M" if kind.name == "mail" else "O"


_GROUPS: Final = {attribute_tag(kind)[1]: term_group(kind) for kind in ATTRIBUTE_TYPES if not kind.operational}
_GROUPS[ALIAS_LETTER] = "N"
_GROUPS_OF: Final = {kind.name: term_group(kind) for kind in ATTRIBUTE_TYPES if not kind.operational}


def build_index(entries: Iterable[Entry]) -> Index:
    """Index entries, in their order."""
    builder = IndexBuilder()
    indexer = _Indexer(builder)
    for entry in entries:
        builder.begin_document()
        indexer.add(entry)
    del indexer  # so the indexer keeps no postings, and `build` frees the postings one after the other
    return builder.build()


class _Word:
    """The postings of a word; each list of postings is made when an entry needs the list.

    Mutable: the lists, which are empty until an entry needs the lists.

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

    Mutable: the postings of the words, texts and trigrams that were indexed last.  Many entries share words, and the
    entries come in the order of their names, so most words of an entry have come before.
    """

    __slots__ = ("_builder", "_keypad_pairs", "_pairs", "_shared", "_trigrams", "_words")

    def __init__(self, builder: IndexBuilder) -> None:
        self._builder = builder
        self._words: dict[str, _Word] = {}
        self._keypad_pairs: dict[str, dict[str, list[Postings]]] = {"N": {}, "O": {}}
        # The postings of an organization's pairs of words, by the name of the organization; and the postings of object
        # classes, by the text with the classes.
        self._pairs: dict[str, list[Postings]] = {}
        self._shared: dict[str, list[Postings]] = {}
        # The postings of the trigrams of numbers; the position is computed from the three characters (`_trigrams_of`).
        self._trigrams: list[Postings | None] = [None] * _DIALLED_COUNT**3

    def add(self, entry: Entry) -> None:
        """Add an entry to the builder's document."""
        builder = self._builder
        keys: set[str] = set()
        bits: dict[str, int] = {}
        paired: set[str] = set()
        shown: list[str] = []
        name_bits = 0
        # Several attributes have the same words and numbers: each word and number is added once.
        numbers: set[str] = set()
        for part in entry.tagged_texts():
            letter, text = part[0], part[1:]
            if letter != ALIAS_LETTER:
                builder.add_term(_PRESENT[letter])
            group = _GROUPS[letter]
            # The aliases come last, when `name_bits` has the bits of all names of the entry.
            letter_bits = name_bits if letter == ALIAS_LETTER else _LETTER_BITS.get(letter, 0)
            name_bits |= letter_bits & NAME_BITS
            if text == SAME_AS_CN:
                _add_bits(bits, shown, letter_bits)
            elif group == "D":
                numbers.update(lines_of(text))
            elif group == "M":
                for word in text.split():
                    builder.add_term("Mw" + word[:_WORD])
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
                keys.update([uid_key(uid).key for uid in (*lines_of(text), *_unusual_uids(entry))])
            else:
                self._add_values(letter, text)
        self._add_words(bits)
        self._add_numbers(numbers, keys)
        builder.add_keys(keys)

    def _add_values(self, letter: str, text: str) -> None:
        """Add the terms of whole values: object classes, and the beginnings of values that filters compare by order."""
        if letter in _ORDERED:
            for line in lines_of(text):
                self._builder.add_term(f"S{letter}{line[:_VALUE]}")
        elif letter == _OBJECT_CLASS:
            found = self._shared.get(text)
            if found is None:
                _make_room(self._shared)
                found = self._shared[text] = [self._builder.term("C" + line) for line in lines_of(text)]
            self._builder.add(found)

    def _add_words(self, bits: Mapping[str, int]) -> None:
        """Add words as prefixes and as terms; add words of names and organizations also in keypad digits.

        :param bits: the attributes that contain each word, as bits (`_OTHER_BIT` and the bits of a prefix).
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
        """Add the pairs of words of a value."""
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
        """Add the pairs of words of each line in digits of the telephone keypad."""
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
                builder.add_term("Db" + form[:_NUMBER_PREFIX])
                builder.add(self._trigrams_of(form))

    def _trigrams_of(self, form: str) -> list[Postings]:
        """Return the postings of the trigrams of a form of a number, and of the last two digits of the form."""
        builder = self._builder
        if len(form) < _SHORTEST_DIALLED or not (form[1:].isdigit() and form.isascii()) or form[0] not in _DIALLED:
            return [builder.term(term) for term in _trigram_terms("Dt", form)]
        # Nearly all forms consist of digits behind a plus sign.  The postings of a trigram of such a form are found by
        # a number, which is computed from the code points of the three characters.  Making a string of the characters
        # would take longer.
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
    """Forget all kept postings if there is no room for more postings."""
    if len(kept) == _MAX_KEPT:
        kept.clear()


def _add_bits(bits: dict[str, int], words: Iterable[str], added: int) -> None:
    for word in words:
        bits[word] = bits.get(word, 0) | added


def _first_words(text: str) -> list[str]:
    """Return the first word of each value."""
    return [line.split(maxsplit=1)[0] for line in lines_of(text) if line.strip()]


def _word_terms(group: str, word: str) -> list[str]:
    """Return the terms of a word of a group: the beginning of the word, and the trigrams of the word."""
    return [f"{group}w{word[:_WORD]}", *_trigram_terms(f"{group}t", word)]


def _keypad_terms(word: str) -> list[str]:
    """Return the terms of a word in digits of the telephone keypad.

    The caller puts the letters of the term's group in front: "KN" for a name, "KO" for an organization.
    """
    digits = name_folding.on_keys(word)
    beginning = digits[:_KEYS]
    if not beginning.isdigit():
        beginning = beginning[: len(beginning) - len(beginning.lstrip(_DIGITS))]
    terms = [beginning] if beginning else []
    if not word.isascii() and digits != word:
        terms += _trigram_terms("t", digits)
    return terms


def _trigram_terms(group: str, text: str) -> list[str]:
    """Return the terms of the trigrams of a text, and of its last characters.

    The last character gets a term of its own only if the text is a name.  In other texts, such a term would occur in
    nearly all entries.
    """
    return [group + text[at : at + _TRIGRAM] for at in range(len(text) + 1 - _shortest_part(group))]


def _shortest_part(group: str) -> int:
    """Return the minimum number of characters of a term for a part of a word."""
    return 1 if group == "Nt" else 2


def _pair_terms(group: str, text: str, words: Sequence[str], paired: set[str]) -> list[str]:
    """Return the terms of the pairs of words of a value.

    Two words with the same beginning are a pair only if they are in the same line.  Two words with different beginnings
    are always a pair.

    :param words: the words of the text, which holds all variants of the value.
    :param paired: the beginnings of words whose pairs the entry has already; an empty set is filled with the beginnings
        of this value.  A value that has only these beginnings, like nearly all further names of an entry, gets no terms
        for words with different beginnings.
    """
    terms: list[str] = []
    beginnings = {word[:_PAIRED] for word in words if len(word) >= _PAIRED}
    if len(beginnings) < len(words):
        terms += _like_pair_terms(group, text)
    if len(beginnings) < 2 or beginnings <= paired:
        return terms
    if not paired:
        paired |= beginnings
    if len(beginnings) > _MAX_PAIRED:
        terms += [f"W{group}{number}" for number in range(_PAIR_TERMS)]
    else:
        pairs = combinations(map(_pair_number, beginnings), 2)
        terms += [_pair_term(group, one, other) for one, other in pairs]
    return terms


def _keypad_pair_terms(group: str, initials: str) -> list[str]:
    """Return the terms of the pairs of words of a line, in digits of the telephone keypad.

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
            beginning = word[:_PAIRED]
            if beginning not in found:
                found.add(beginning)
            elif beginning not in repeated:
                repeated.add(beginning)
    numbers = [_pair_number(beginning) for beginning in repeated if len(beginning) == _PAIRED]
    return [_pair_term(group, number, number) for number in numbers]


def _pair_number(beginning: str) -> int:
    return ord(beginning[0]) * 1009 + ord(beginning[1])


def _pair_term(group: str, one: int, other: int) -> str:
    """Return the term for values with two words; `one` and `other` are the `_pair_number` of each word's beginning."""
    return f"W{group}{one * other % _PAIR_TERMS}"


def _unusual_uids(entry: Entry) -> list[str]:
    """Return the folded uid, as in a DN; nothing if the uid consists of letters, digits, hyphens and underscores."""
    uid = entry.uid
    return [] if uid.replace(b"-", b"").replace(b"_", b"").isalnum() else [folded(uid.decode())]


def presence_query(kind: AttributeType) -> Query:
    """Return the query for entries that have an attribute."""
    return None if kind.operational else "P" + attribute_tag(kind)[1]


def present_attributes(index: Index) -> Iterable[str]:
    """Return the letters of the attributes that entries have (`Entry.tagged_texts`), without the letter of aliases."""
    return [term[1:] for term in index.terms("P", "P" + HIGHEST) if term != _SWITCHBOARD]


def has_switchboards(index: Index) -> bool:
    _, ranges, _ = index.postings(_SWITCHBOARD)
    return ranges[0] < ranges[-1]


def present_object_classes(index: Index) -> Iterable[str]:
    """Return the object classes that entries have, each between two line breaks, as in a search text."""
    return [f"\n{term[1:]}\n" for term in index.terms("C", "C" + HIGHEST)]


def assertion_query(kind: AttributeType, assertion: Assertion, *, lenient: bool) -> Query:
    """Return the query that finds the entries for which an assertion about an attribute may be true."""
    group, required = _GROUPS_OF.get(kind.name), assertion.required
    if group is None:
        return None
    if assertion.value_range is not None:
        return _range_query(kind, *assertion.value_range, lenient=lenient)
    if len(required) != 1:
        return _several_query(group, kind, required)
    if group == "D" and len(required[0]) == 1:  # nearly all numbers have one string
        return _digits_query(required[0][0])
    return _alternatives_query(group, kind, required[0])


def prefix_query(kinds: Sequence[AttributeType], assertion: Assertion) -> Query:
    """Return a query that finds exactly the entries for which an assertion is true of one of the attributes.

    :returns: the query, or None if there is no such query.  A query exists only under three conditions: the assertion
        is about the beginning of a word or a value; the beginning has at most three characters; and the index has
        prefixes for each attribute.
    """
    texts = assertion.sufficient
    if not texts or assertion.required != (texts,):
        return None
    if len(texts) == 1:  # nearly all assertions have one text
        return _prefix_query(kinds, texts[0])
    queries: list[Query] = []
    for text in texts:
        query = _prefix_query(kinds, text)
        if query is None:
            return None
        queries.append(query)
    return query_plan.any_of(queries)


def _prefix_query(kinds: Sequence[AttributeType], text: str) -> PrefixQuery | None:
    bit_by_name = _VALUE_BITS if text.startswith("\n") else _WORD_BITS
    word = text.lstrip("\n")[1:]
    if (
        text.lstrip("\n")[:1] != " "
        or not 0 < len(word) <= _MAX_PREFIX
        or len(word.split()) != 1
        or word != word.strip()
    ):
        return None
    attributes = 0
    for kind in kinds:
        bit = bit_by_name.get(kind.name)
        if bit is None:
            return None
        attributes |= bit
    return PrefixQuery(f"{len(word)}{word}", attributes)


def is_exact(kinds: Sequence[AttributeType], assertion: Assertion) -> bool:
    """Return whether `assertion_query` finds, for these attributes, only entries for which an assertion is true."""
    return len(kinds) == 1 and kinds[0].name == "objectClass" and assertion.required == (assertion.sufficient,)


def _range_query(kind: AttributeType, low: str, high: str, *, lenient: bool) -> Query:
    if attribute_tag(kind)[1] in _ORDERED:
        return ValueRange("S" + attribute_tag(kind)[1], low[:_VALUE], high[:_VALUE])
    if kind.name == "cn" and lenient:
        return NameRange(low.strip()[:MAX_SORT_NAME], high.strip()[:MAX_SORT_NAME])
    return None


def _several_query(group: str, kind: AttributeType, required: Sequence[Alternatives]) -> Query:
    """Return the query for values that contain a string of each set in `required`.

    Words of two letters or more are looked up in pairs.
    """
    queries: list[Query] = []
    paired: set[Alternatives] = set()
    if kind.name in _WORD_BITS:
        # The words are sorted, so that two words with the same beginning are neighbours, and are looked up as a pair.
        # Few values contain such a pair, so the query finds few candidates.
        words = sorted([strings for strings in required[:_MAX_LOOKUPS] if _shortest(strings) > _PAIRED])
        for one, other in pairwise(words):
            is_keyed = one[0].startswith(ON_KEYS) and other[0].startswith(ON_KEYS)
            query = _keypad_pair_query(group, one, other) if is_keyed else _pair_query(group, one, other)
            if query is not None:
                queries.append(query)
                paired |= {one, other}
    if not queries:
        query = _common_prefix_query(group, required)
        if query is not None:
            return query
    queries += [
        _alternatives_query(group, kind, strings)
        for strings in required
        if strings not in paired or _shortest(strings) > _MAX_PREFIX + 1
    ]
    return query_plan.all_of(queries)


def _shortest(strings: Alternatives) -> int:
    return min(map(len, strings), default=0)


def _common_prefix_query(group: str, required: Sequence[Alternatives]) -> Query:
    """Return the query for a name, if a search gives one to three letters of each of several words; otherwise None."""
    words = [strings[0][1:] for strings in required if len(strings) == 1 and strings[0][:1] == " "]
    if group != "N" or len(words) < 2 or len(words) < len(required):
        return None
    if any(word.split() != [word] or len(word) > _MAX_PREFIX for word in words):
        return None
    return CommonPrefixQuery(tuple([f"{len(word)}{word}" for word in words]), NAME_BITS)


def _pair_query(group: str, one: Alternatives, other: Alternatives) -> Query:
    """Return the query for a value with two words.

    One word begins with a string of `one`, and the second word begins with a string of `other`.

    :returns: the query, or None if a string may be within a word, if a string is too short, or if there are too many
        pairs of strings.
    """
    if len(one) == 1 == len(other):  # nearly all words have one spelling
        beginning, next_beginning = _beginning(one[0]), _beginning(other[0])
        if not beginning or not next_beginning:
            return None
        return _pair_term(group, _pair_number(beginning), _pair_number(next_beginning))
    if len(one) * len(other) > _MAX_PAIR_QUERIES:
        return None
    beginnings, others = [_beginning(string) for string in one], [_beginning(string) for string in other]
    if "" in beginnings or "" in others:
        return None
    pairs = product(map(_pair_number, beginnings), map(_pair_number, others))
    return query_plan.any_of([_pair_term(group, *pair) for pair in pairs])


def _keypad_pair_query(group: str, one: Alternatives, other: Alternatives) -> Query:
    """Return the query for a line with two words that are typed on the telephone keypad.

    One word begins with a string of digits of `one`, and the second word begins with a string of digits of `other`.

    If a string has three digits or more, only this string is looked up, without the other string.

    :returns: the query, or None if a string may be within a word.
    """
    queries: list[Query] = []
    for string, next_string in product(one, other):
        digits, next_digits = string[2:].split(), next_string[2:].split()
        if string[1] != " " or next_string[1] != " " or len(digits) != 1 or len(next_digits) != 1:
            return None
        longer = max(string, next_string, key=len)
        # On the keypad, 0 may stand for a blank: "300" may be the words "3" and "0", or the single word "30".  If the
        # digits are a single word, both `one` and `other` contain this word, and only this word is looked up.
        if len(longer) >= _KEYS + 2 or (string == next_string and string.endswith("0")):
            queries.append(_keypad_query(group, longer.removeprefix(ON_KEYS)))
        else:
            first, second = sorted((digits[0][0], next_digits[0][0]))
            queries.append(f"K{group}p{first}{second}")
    return query_plan.any_of(queries)


def _beginning(string: str) -> str:
    """Return the first letters of a string.  The term for a pair of words is made from the first letters of both words.

    :returns: the letters; empty if the string may be within a word, or is too short.
    """
    letters = string[1 : _PAIRED + 1]
    return letters if string[0] == " " and len(letters) == _PAIRED and " " not in letters else ""


def _alternatives_query(group: str, kind: AttributeType, alternatives: Alternatives) -> Query:
    if group:
        queries = (
            [_digits_query(string) for string in alternatives]
            if group == "D"
            else [_words_query(group, string) for string in alternatives]
        )
        return queries[0] if len(queries) == 1 else query_plan.any_of(queries)
    if kind.name == "objectClass":
        return query_plan.any_of(["C" + string.strip("\n") for string in alternatives])
    if kind.name == "uid":
        return query_plan.any_of([_uid_query(string) for string in alternatives])
    return query_plan.NO_DOCUMENTS if not alternatives else None


def _words_query(group: str, string: str) -> Query:
    """Return the query for texts that may contain a string of words."""
    if string.startswith(ON_KEYS):
        return _keypad_query(group, string.removeprefix(ON_KEYS))
    words = string.split()
    if not words:
        return None
    first, last = 0, len(words) - 1
    begins, ends = string[0].isspace(), string[-1].isspace()
    return query_plan.all_of(
        [
            _word_query(group, word, begins=begins or at > first, ends=ends or at < last)
            for at, word in enumerate(words[:_MAX_LOOKUPS])
        ]
    )


def _keypad_query(group: str, string: str) -> Query:
    """Return the query for texts that may contain a string of keypad digits."""
    digits = string.strip(" \n").partition(" ")[0]
    if not string[0].isspace():
        return _trigrams_query(f"K{group}t", digits)
    term = f"K{group}{digits[:_KEYS]}"
    return TermRange(term, term + HIGHEST) if len(digits) < _KEYS else term


def _word_query(group: str, word: str, *, begins: bool, ends: bool) -> Query:
    """Return the query for texts that may contain a word or a part of a word.

    :param begins: whether the string is the beginning of the word.
    :param ends: whether the string is the end of the word.
    """
    if begins and (ends or len(word) >= _WORD):
        return f"{group}w{word[:_WORD]}"
    if begins:
        has_prefix = group == "N" and len(word) <= _MAX_PREFIX
        return (
            PrefixQuery(f"{len(word)}{word}", NAME_BITS)
            if has_prefix
            else TermRange(f"{group}w{word}", f"{group}w{word}{HIGHEST}")
        )
    if group == "M":
        return None
    if ends and len(word) < _TRIGRAM:
        return f"{group}t{word}" if len(word) >= _shortest_part(f"{group}t") else None
    return _trigrams_query(f"{group}t", word)


def _trigrams_query(group: str, letters: str) -> Query:
    """Return the query for texts that may contain letters in a row.

    If there are fewer than three letters, the query asks for all trigrams that begin with these letters.
    """
    if len(letters) < _shortest_part(group):
        return None
    if len(letters) < _TRIGRAM:
        return TermRange(group + letters, group + letters + HIGHEST)
    return query_plan.all_of(
        [group + letters[at : at + _TRIGRAM] for at in range(min(_MAX_LOOKUPS, len(letters) - _TRIGRAM + 1))]
    )


def _digits_query(string: str) -> Query:
    """Return the query that finds a number if one of the number's forms may contain the given string."""
    if string.startswith(NUMBER_END):
        return ExactKey(string)
    form = string.strip("\t\n")
    # In strict matching, a line break stands for the beginning or the end of a number.  A line break alone excludes no
    # number.
    if string == "\n":
        return None
    if string[:1] == "\n" == string[-1:]:
        # In strict matching, a string between two line breaks is a complete number.  A complete number has one tail,
        # its last digits; an empty number has no tail.
        tails = phone_number.tails_of("", form)
        return ExactKey(NUMBER_END + "".join(tails))
    if string[:1] in ("\t", "\n"):
        prefix = "Db" + form[:_NUMBER_PREFIX]
        if len(form) < _NUMBER_PREFIX:
            return TermRange(prefix, prefix + HIGHEST)
        # All numbers of a company have the same prefix; the digits after the prefix distinguish the numbers.
        suffix = form[_NUMBER_PREFIX - _TRIGRAM + 1 :]
        return query_plan.all_of([prefix, _trigrams_query("Dt", suffix)]) if len(form) > _NUMBER_PREFIX else prefix
    return _trigrams_query("Dt", form)


def uid_key(uid: str) -> ExactKey:
    """Return the key of a uid; runs of blanks in the uid do not matter."""
    return ExactKey("u" + " ".join(uid.split()))


def _uid_query(string: str) -> Query:
    """Return the query for a uid; None for a substring, because only a complete uid has a key."""
    return uid_key(string) if string.startswith("\n") and string.endswith("\n") else None
