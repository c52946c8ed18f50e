# SPDX-License-Identifier: MIT
"""The queries by which an index finds candidates for a filter's assertions.

The query of an assertion finds every entry for which the assertion can be true.  Most queries may also find entries for
which the assertion is false; a query of `prefix_query` finds only entries for which the assertion is true.
`index_terms` explains the terms, prefixes and keys that queries name.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise, product
from typing import Final

from ldapgw.directory import query_plan
from ldapgw.directory.assertion import NUMBER_END, ON_KEYS, Alternatives, Assertion
from ldapgw.directory.index import HIGHEST
from ldapgw.directory.index_terms import (
    KEYS,
    MAX_PREFIX,
    NAME_BITS,
    NUMBER_PREFIX,
    ORDERED,
    PAIRED,
    TRIGRAM,
    VALUE_BITS,
    VALUE_LENGTH,
    WORD_BITS,
    WORD_LENGTH,
    pair_number,
    pair_term,
    shortest_part,
    term_group,
    uid_key,
)
from ldapgw.directory.name_folding import MAX_SORT_NAME
from ldapgw.directory.packed_attributes import attribute_tag
from ldapgw.directory.query_plan import (
    CommonPrefixQuery,
    ExactKey,
    NameRange,
    PrefixQuery,
    Query,
    TermRange,
    ValueRange,
)
from ldapgw.directory.schema import ATTRIBUTE_TYPES, AttributeType
from ldapgw.numbers import phone_number

# For a text, at most this many words are looked up.  For a word, at most this many trigrams are looked up.  Further
# lookups would exclude hardly any entries.
_MAX_LOOKUPS: Final = 8
# The maximum number of pairs of variants that are looked up for two searched words.
_MAX_PAIR_QUERIES: Final = 16

_GROUPS: Final = {kind.name: term_group(kind) for kind in ATTRIBUTE_TYPES if not kind.operational}


def presence_query(kind: AttributeType) -> Query:
    """Return the query for entries that have an attribute."""
    return None if kind.operational else "P" + attribute_tag(kind)[1]


def assertion_query(kind: AttributeType, assertion: Assertion, *, lenient: bool) -> Query:
    """Return the query that finds the entries for which an assertion about an attribute may be true."""
    group, required = _GROUPS.get(kind.name), assertion.required
    if group is None:
        return None
    if assertion.value_range is not None:
        return _range_query(kind, *assertion.value_range, lenient=lenient)
    if len(required) != 1:
        return _several_query(group, kind, required)
    if group == "D" and len(required[0]) == 1:  # nearly all queries for a number take this shortcut
        return _digits_query(required[0][0])
    return _alternatives_query(group, kind, required[0])


def prefix_query(kinds: Sequence[AttributeType], assertion: Assertion) -> Query:
    """Return a query that finds exactly the entries for which an assertion is true of one of the attributes.

    :returns: the query, or None if there is no such query.  The assertion must be about the first one to three
        characters of a word or of a value, and the index must have prefixes for each of the attributes.
    """
    texts = assertion.sufficient
    if not texts or assertion.required != (texts,):
        return None
    if len(texts) == 1:  # nearly all assertions have one text and take this shortcut
        return _prefix_query(kinds, texts[0])
    queries: list[Query] = []
    for text in texts:
        query = _prefix_query(kinds, text)
        if query is None:
            return None
        queries.append(query)
    return query_plan.any_of(queries)


def _prefix_query(kinds: Sequence[AttributeType], text: str) -> PrefixQuery | None:
    bit_by_name = VALUE_BITS if text.startswith("\n") else WORD_BITS
    word = text.lstrip("\n")[1:]
    if (
        text.lstrip("\n")[:1] != " "
        or not 0 < len(word) <= MAX_PREFIX
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
    if attribute_tag(kind)[1] in ORDERED:
        return ValueRange("S" + attribute_tag(kind)[1], low[:VALUE_LENGTH], high[:VALUE_LENGTH])
    if kind.name == "cn" and lenient:
        return NameRange(low.strip()[:MAX_SORT_NAME], high.strip()[:MAX_SORT_NAME])
    return None


def _several_query(group: str, kind: AttributeType, required: Sequence[Alternatives]) -> Query:
    """Return the query for values that contain a string of each set in `required`.

    Words of two letters or more are looked up in pairs.
    """
    queries: list[Query] = []
    paired: set[Alternatives] = set()
    if kind.name in WORD_BITS:
        # The words are sorted, so that two words with the same beginning are looked up as a pair.  Such a pair has few
        # candidates, because few values have two words with the same beginning.
        words = sorted([strings for strings in required[:_MAX_LOOKUPS] if _shortest(strings) > PAIRED])
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
        if strings not in paired or _shortest(strings) > MAX_PREFIX + 1
    ]
    return query_plan.all_of(queries)


def _shortest(strings: Alternatives) -> int:
    return min(map(len, strings), default=0)


def _common_prefix_query(group: str, required: Sequence[Alternatives]) -> Query:
    """Return the query for names that have a word for each required string.

    :returns: the query, or None in four cases: the values are not names, there are fewer than two required strings, a
        required string has alternatives, or a required string is not a beginning of a word, up to three letters long.
    """
    words = [strings[0][1:] for strings in required if len(strings) == 1 and strings[0][:1] == " "]
    if group != "N" or len(words) < 2 or len(words) < len(required):
        return None
    if any(word.split() != [word] or len(word) > MAX_PREFIX for word in words):
        return None
    return CommonPrefixQuery(tuple([f"{len(word)}{word}" for word in words]), NAME_BITS)


def _pair_query(group: str, one: Alternatives, other: Alternatives) -> Query:
    """Return the query for values that contain two searched words.

    :param one: the alternatives for one searched word; a word of the value has to begin with one of these strings.
    :param other: the alternatives for the second searched word, which another word of the value has to begin with.
    :returns: the query, or None in three cases: a string is too short, a string may begin in the middle of a word of
        the value, or there are too many pairs of strings.
    """
    if len(one) == 1 == len(other):  # nearly all words have one spelling and take this shortcut
        beginning, next_beginning = _beginning(one[0]), _beginning(other[0])
        if not beginning or not next_beginning:
            return None
        return pair_term(group, pair_number(beginning), pair_number(next_beginning))
    if len(one) * len(other) > _MAX_PAIR_QUERIES:
        return None
    beginnings, others = [_beginning(string) for string in one], [_beginning(string) for string in other]
    if "" in beginnings or "" in others:
        return None
    pairs = product(map(pair_number, beginnings), map(pair_number, others))
    return query_plan.any_of([pair_term(group, *pair) for pair in pairs])


def _keypad_pair_query(group: str, one: Alternatives, other: Alternatives) -> Query:
    """Return the query for a line with two words that are typed on the telephone keypad.

    Each string of `one` is paired with each string of `other`.  If a string of a pair has three digits or more, only
    the longer string is looked up.

    :param one: the alternatives for one word, as digits; the word has to begin with one of these strings.
    :param other: the alternatives for the second word, as digits.
    :returns: the query, or None if a string is not the beginning of a single word.
    """
    queries: list[Query] = []
    for string, next_string in product(one, other):
        digits, next_digits = string[2:].split(), next_string[2:].split()
        if string[1] != " " or next_string[1] != " " or len(digits) != 1 or len(next_digits) != 1:
            return None
        longer = max(string, next_string, key=len)
        # On the keypad, 0 may stand for a blank.  For example, "300" may be the two words "3" and "0", or the single
        # word "30" and a blank.  A single word is an alternative for each of the two words.  So if both strings are
        # "30", the function looks up the word "30" instead of a pair.
        if len(longer) >= KEYS + 2 or (string == next_string and string.endswith("0")):
            queries.append(_keypad_query(group, longer.removeprefix(ON_KEYS)))
        else:
            first, second = sorted((digits[0][0], next_digits[0][0]))
            queries.append(f"K{group}p{first}{second}")
    return query_plan.any_of(queries)


def _beginning(string: str) -> str:
    """Return the first letters of a required string, from which the term for a pair of words is made.

    :returns: the first `PAIRED` letters of the string's first word.  The result is empty if the word has fewer letters.
        The result is also empty if no blank precedes the word, because a string without this blank may begin in the
        middle of a word.
    """
    letters = string[1 : PAIRED + 1]
    return letters if string[0] == " " and len(letters) == PAIRED and " " not in letters else ""


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
    term = f"K{group}{digits[:KEYS]}"
    return TermRange(term, term + HIGHEST) if len(digits) < KEYS else term


def _word_query(group: str, word: str, *, begins: bool, ends: bool) -> Query:
    """Return the query for texts that may contain a word or a part of a word.

    :param begins: whether `word` is the beginning of a word of the text.
    :param ends: whether `word` is the end of a word of the text.
    """
    if begins and (ends or len(word) >= WORD_LENGTH):
        return f"{group}w{word[:WORD_LENGTH]}"
    if begins:
        has_prefix = group == "N" and len(word) <= MAX_PREFIX
        return (
            PrefixQuery(f"{len(word)}{word}", NAME_BITS)
            if has_prefix
            else TermRange(f"{group}w{word}", f"{group}w{word}{HIGHEST}")
        )
    if group == "M":
        return None
    if ends and len(word) < TRIGRAM:
        return f"{group}t{word}" if len(word) >= shortest_part(f"{group}t") else None
    return _trigrams_query(f"{group}t", word)


def _trigrams_query(group: str, letters: str) -> Query:
    """Return the query for texts that may contain letters in a row.

    For fewer than three letters, the query asks for all trigrams that begin with the letters.
    """
    if len(letters) < shortest_part(group):
        return None
    if len(letters) < TRIGRAM:
        return TermRange(group + letters, group + letters + HIGHEST)
    return query_plan.all_of(
        [group + letters[at : at + TRIGRAM] for at in range(min(_MAX_LOOKUPS, len(letters) - TRIGRAM + 1))]
    )


def _digits_query(string: str) -> Query:
    """Return the query for numbers of which one form may contain a string."""
    if string.startswith(NUMBER_END):
        return ExactKey(string)
    form = string.strip("\t\n")
    # In strict matching, a line break stands for the beginning or the end of a number.  Each number has a beginning,
    # so a string of only a line break is part of each number, and no query can exclude a number.
    if string == "\n":
        return None
    if string[:1] == "\n" == string[-1:]:
        # In strict matching, a string between two line breaks is a complete number.  The number has one index key
        # (`tails_of`), which is made of its last digits.  An empty number has no index key.
        tails = phone_number.tails_of("", form)
        return ExactKey(NUMBER_END + "".join(tails))
    if string[:1] in ("\t", "\n"):
        prefix = "Db" + form[:NUMBER_PREFIX]
        if len(form) < NUMBER_PREFIX:
            return TermRange(prefix, prefix + HIGHEST)
        # All numbers of a company begin with the same characters, so the digits behind `prefix` have to be looked up.
        suffix = form[NUMBER_PREFIX - TRIGRAM + 1 :]
        return query_plan.all_of([prefix, _trigrams_query("Dt", suffix)]) if len(form) > NUMBER_PREFIX else prefix
    return _trigrams_query("Dt", form)


def _uid_query(string: str) -> Query:
    """Return the query for a uid; None for a substring, because only a complete uid has a key."""
    return ExactKey(uid_key(string)) if string.startswith("\n") and string.endswith("\n") else None
