# SPDX-License-Identifier: MIT
"""Assertions on an attribute (RFC 4511 4.1.6), prepared once per search, and tested on an attribute's search text.

An `Assertion` is a test of a search text, together with sets of *required strings*.  A search text that passes contains
at least one string of each set, so an index can find the entries that may pass.  Without required strings, any search
text may pass.  The search text of an attribute holds its normalized values, one line for each variant of a value
(`ldapgw.directory.normalization`).  The search text *on the keys* is the same text with each letter replaced by its
digit on a telephone keypad (`name_folding.on_keys`).

Lenient matching compares values as a person expects, and strict matching follows RFC 4517 (`NamingContext.lenient`).
If an assertion value does not fit the attribute, the functions return None in place of an assertion, and the filter's
term is Undefined (RFC 4511 4.5.1.7).
"""

from __future__ import annotations

import itertools
import operator
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple

from ldapgw.directory import name_folding, normalization
from ldapgw.directory.naming_context import NamingContext
from ldapgw.directory.normalization import lines_of, number_of
from ldapgw.directory.schema import ATTRIBUTE_TYPES, AttributeType, Family, conforms, matching_rule
from ldapgw.numbers import Number, dial_string, phone_number
from ldapgw.numbers.numbering_plan import SHORTEST_PUBLIC

TextPredicate = Callable[[str], bool]

# A set of strings: a search text has to contain at least one of these strings.  An index looks up two special kinds of
# strings, each of which begins with a control character.  A string that begins with `NUMBER_END` is the tail of a
# number (`ldapgw.numbers.phone_number`).  A string that begins with `ON_KEYS` holds keypad digits: the search text has
# to contain these digits after each of its letters was replaced by a keypad digit (`name_folding.on_keys`).  An index
# has keypad digits for the beginning of each word, and for all parts of a word in a script other than Latin.  The
# middle and the end of a Latin word are looked up by the letters for which the digits can stand (`_required_on_keys`).
Alternatives = tuple[str, ...]
NUMBER_END: Final = "\x0f"
ON_KEYS: Final = "\x0e"


class Assertion:
    """A prepared assertion.  The assertion never changes.

    The class is no frozen dataclass, because creating an object of a frozen dataclass is slow.

    :ivar required: sets of strings; a search text that passes contains at least one string of each set.
    :ivar value_range: a least and a greatest line; a search text that passes has a line between the two lines.  The
        range is None if the assertion has no bounds.
    :ivar sufficient: strings; a search text that contains one of these strings passes.
    :ivar anywhere: true if a simpler test is enough for the search text of a single value.  This search text passes if
        the text contains a string of each set in `required`; the order and the lines of these strings do not matter.
    """

    __slots__ = ("anywhere", "required", "sufficient", "test", "value_range")

    def __init__(
        self,
        test: TextPredicate,
        required: tuple[Alternatives, ...] = (),
        value_range: tuple[str, str] | None = None,
        sufficient: Alternatives = (),
        anywhere: bool = False,  # noqa: FBT001, FBT002  a field, as in a dataclass
    ) -> None:
        self.anywhere = anywhere
        self.test = test
        self.required = required
        self.value_range = value_range
        self.sufficient = sufficient


class _Part(NamedTuple):
    """A part of a substring assertion.

    :ivar strings: strings, at least one of which has to match.
    :ivar on_keys: whether the strings are digits that stand for letters of the telephone keypad.
    """

    strings: Alternatives
    on_keys: bool = False


# Parts that consist of only a "+".  A filter with only such parts matches no value, although every number in E.164
# contains a "+".
_BARE_PLUS: Final = frozenset((("\t+",), ("+",), ("+\t",)))

# A text that sorts after every line.
_HIGHEST_LINE: Final = "\U0010ffff"

# An index is searched for all Latin spellings of the first `_SPELT_KEYS` keypad digits of a string.  A key stands for
# up to five characters, so three digits have up to 125 spellings.
_SPELT_KEYS: Final = 3
_CHARACTERS: Final = {str(key): f"{key}{letters}" for key, letters in enumerate(name_folding.LATIN_KEYS, 2)}

# The attributes that hold names.  Only a name may be typed as digits on the telephone keypad.  In a name, a part of a
# word counts as a word, such as "Luc" in "Jean-Luc".
_NAMES: Final = frozenset(("cn", "sn", "givenName", "displayName", "o"))

_COMPARISONS: Final = [(kind.comparison, kind.name in _NAMES) for kind in ATTRIBUTE_TYPES]
_COMPARISON_KEYS: Final = {
    kind.name: _COMPARISONS.index((kind.comparison, kind.name in _NAMES)) for kind in ATTRIBUTE_TYPES
}

# Every search needs the two members of the enumeration, and a constant is faster than a lookup of the member.
_TEXT: Final = Family.TEXT
_NUMBER: Final = Family.NUMBER

_STRINGS: Final = frozenset((Family.TEXT, Family.IDENTIFIER, Family.EXACT, Family.LIST, Family.NUMBER))


def text_of(value: bytes, *, lenient: bool) -> str | None:
    """Decode an assertion value from UTF-8; return None if the value cannot be decoded.

    :param lenient: whether a value that is not UTF-8 is decoded from ISO 8859-1, which old phones send.
    """
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("iso-8859-1") if lenient else None


def comparison_key(kind: AttributeType) -> int:
    """Return a number that is equal for all attributes that can share one prepared assertion."""
    return _COMPARISON_KEYS[kind.name]


def has_list_rule(kind: AttributeType) -> bool:
    """Return whether the attribute's own equality rule compares lists of lines (caseIgnoreListMatch)."""
    return kind.comparison.equality == "caseIgnoreListMatch"


def equality(kind: AttributeType, value: bytes, context: NamingContext) -> Assertion | None:
    """Return the assertion that an attribute has a value equal to the asserted value."""
    text = text_of(value, lenient=context.lenient)
    if text is None:
        return None
    if context.lenient and kind.comparison.family is _NUMBER:
        return number_equality(text, context)
    if context.lenient and kind.comparison.family is _TEXT:
        return _same_text(kind, text)
    if not (context.lenient or _can_equal(kind, text)):
        return None
    return _of_attribute(kind, strict_equality(_family(kind), text))


def approximate(kind: AttributeType, value: bytes, context: NamingContext) -> Assertion | None:
    """Return the assertion that an attribute has a value approximately equal to the asserted value.

    In lenient matching, a text is approximately equal if the text has all words of the asserted value.
    """
    text = text_of(value, lenient=context.lenient)
    if text is None or not context.lenient or kind.comparison.family is not _TEXT:
        return equality(kind, value, context)
    return _typed_words(kind, text, after=" ") or _text_parts(kind, ("", f" {text} ", ""))


def strict_equality(family: Family, text: str) -> Assertion | None:
    """Return the assertion that an attribute has a value equal to a text by the rule of RFC 4517."""
    line = normalization.normalized(family, text)
    return None if line is None else _any_of((f"\n{line}\n",))


def number_equality(text: str, context: NamingContext) -> Assertion:
    """Return the assertion that one of an attribute's values is the telephone number in a text.

    A text that cannot be dialled matches no value.
    """
    text = asserted_number(text, context)
    tails, exact_forms = phone_number.number_query(text, context.region, context.outside_line, context.area_code)
    if not tails:
        return NO_VALUE
    # A line holds the forms of one number between tabs, and nearly always begins with the E.164 form.  If no numbering
    # plan knows the number, the first two forms in its line are empty.
    sufficient: list[str] = []
    for form in exact_forms:
        if form[0] == "+":
            sufficient += (f"\n\t{form}\t", f"\n\t\t\t{form}\t")
    readings: list[Number] = []

    def test(search_text: str) -> bool:
        if not any(tail in search_text for tail in tails):
            return False
        if any(string in search_text for string in sufficient):
            return True
        stored = [number_of(line) for line in lines_of(search_text)]
        if context.area_code:  # the phone's own area code, which the search text does not have
            stored = [phone_number.in_area(number, context.region, context.area_code) for number in stored]
        if any(number.e164 in exact_forms or number.national in exact_forms for number in stored):
            return True
        if not readings:  # the text is parsed only here, because parsing is slow
            readings.extend(phone_number.readings(text, context.region, context.outside_line, context.area_code))
        return any(phone_number.matches_any_reading(number, readings) for number in stored)

    return Assertion(test, (tuple([NUMBER_END + tail for tail in tails]),), sufficient=tuple(sufficient))


def asserted_number(text: str, context: NamingContext) -> str:
    """Return the number in a text or URI, without the affixes that the tenant's PBX adds."""
    if not context.strip:
        return text
    return dial_string.without_affixes(dial_string.unwrapped(dial_string.clean(text)), context.strip)


def substrings(
    kind: AttributeType, initial: bytes | None, middle: Sequence[bytes], final: bytes | None, context: NamingContext
) -> Assertion | None:
    """Return the assertion that one value has the parts in their order; lenient matching ignores empty parts."""
    values = [initial, *middle, final]
    parts = [text_of(value or b"", lenient=context.lenient) for value in values]
    texts = [part for part in parts if part is not None]
    if len(texts) < len(parts):
        return None
    if not context.lenient and (b"" in values or not all(_can_equal(kind, text) for text in texts if text)):
        return None
    if not any(texts):
        return ANY_VALUE
    if context.lenient and kind.comparison.family is _NUMBER:
        return _number_parts(texts, context)
    if context.lenient and kind.comparison.family is _TEXT:
        found = None if any(texts[1:]) else _typed_words(kind, texts[0])
        return found or _text_parts(kind, texts)
    return _of_attribute(kind, strict_substrings(_family(kind), texts))


def strict_substrings(family: Family, texts: Sequence[str]) -> Assertion | None:
    """Return the assertion that one of the values has the parts in their order, by the rules of RFC 4517.

    :param texts: the initial part, any number of "any" parts, and the final part; "" for a part that is absent.
    """
    if family not in _STRINGS:
        return None
    last = len(texts) - 1
    parts: list[_Part] = []
    for at, text in enumerate(texts):
        if text:
            part = normalization.telephone(text) if family is _NUMBER else _strict_part(family, text, at, last)
            parts.append(_Part((("" if at else "\n") + part + ("\n" if at == last else ""),)))
    return _in_order(parts, "\n")


def ordering(kind: AttributeType, value: bytes, context: NamingContext, *, greater: bool) -> Assertion | None:
    """Return the assertion that an attribute has a value of at least or at most `value`.

    In lenient matching, texts are compared as people sort names.

    :param greater: true for "at least", false for "at most".
    """
    text = text_of(value, lenient=context.lenient)
    if text is None:
        return None
    if context.lenient and kind.comparison.family is _TEXT:
        return _ordering_assertion(f" {name_folding.collation_key(text)} ", greater=greater)
    if not kind.comparison.ordering or not (context.lenient or _can_equal(kind, text)):
        return None
    line = normalization.normalized(kind.comparison.family, text)
    return None if line is None else _ordering_assertion(line, greater=greater)


def strict_less(family: Family, text: str) -> Assertion | None:
    """Return the assertion that one of an attribute's values sorts before a text.

    The assertion is for a filter that names an ordering rule (RFC 4517 4.2).
    """
    line = normalization.normalized(family, text)
    return None if line is None else _compared(operator.lt, line, ("", line))


def _family(kind: AttributeType) -> Family:
    """Return the family of the attribute's own equality rule."""
    return Family.LIST if has_list_rule(kind) else kind.comparison.family


def _of_attribute(kind: AttributeType, assertion: Assertion | None) -> Assertion | None:
    """Adapt a strict assertion to an attribute.

    If the attribute's values are lists of lines, the assertion tests each list as one line.
    """
    if assertion is None or not has_list_rule(kind):
        return assertion
    test = assertion.test
    return Assertion(
        lambda search_text: test("".join(f"\n{normalization.listing(line)}" for line in lines_of(search_text)) + "\n")
    )


def _can_equal(kind: AttributeType, text: str) -> bool:
    """Return whether a text conforms to the syntax of the attribute's equality rule."""
    rule = matching_rule(kind.comparison.equality)
    return rule is None or conforms(rule.syntax, text)


def _same_text(kind: AttributeType, text: str) -> Assertion:
    """Return the assertion that one value equals a text.

    If the text has two to `MAX_WORDS` words, a value with the same words matches in any order of the words.
    """
    digits = name_folding.keypad_digits(text) if kind.name in _NAMES else ""
    if digits:
        return _on_keys([(f"\n {digits} \n",), *[words for words in _keypad_words(digits, " ") if len(words) > 1]])
    words = name_folding.typed_words(text, open_ended=False)
    if 1 < len(words) <= name_folding.MAX_WORDS:
        return _all_words(kind, text, words, after=" ")
    forms = name_folding.query_variants(text)
    return _any_of(tuple(f"\n {form} \n" for form in forms)) if forms else ANY_VALUE


def _typed_words(kind: AttributeType, text: str, after: str = "") -> Assertion | None:
    """Return the assertion that each word of a text is the beginning of a different word of one value.

    :param after: a blank if each word has to be a whole word of the value; otherwise empty.
    :returns: the assertion, or None if the text has no words, or more than `MAX_WORDS` words.
    """
    digits = name_folding.keypad_digits(text) if kind.name in _NAMES else ""
    if digits:
        return _on_keys(_keypad_words(digits, after))
    words = name_folding.typed_words(text, open_ended=not after)
    return _all_words(kind, text, words, after) if 0 < len(words) <= name_folding.MAX_WORDS else None


def _all_words(kind: AttributeType, text: str, words: Sequence[Alternatives], after: str) -> Assertion:
    """Return the assertion that one value has all words of a text.

    In a name, parts of a word count as words.  For example, the text "k-h" matches a single word that begins with
    "k-h" or "kh".  The text also matches a name with one word that begins with "k" and another word that begins with
    "h".
    """
    strings = [tuple([f" {form}{after}" for form in forms]) for forms in words]
    as_typed = _in_any_order(strings)
    parts = name_folding.typed_parts(text, open_ended=not after) if kind.name in _NAMES else []
    if not parts:
        return as_typed
    in_parts = _in_any_order([tuple([f" {form}{after}" for form in forms]) for forms in parts])
    # A value that passes the test of `as_typed` or of `in_parts` contains a string of each set in `required`.
    required = [(*word, *part) for word, part in zip(as_typed.required, in_parts.required, strict=False)]
    return Assertion(lambda search_text: as_typed.test(search_text) or in_parts.test(search_text), tuple(required))


def _in_any_order(words: Sequence[Alternatives], *, in_any_spelling: bool = True) -> Assertion:
    """Return the assertion that one value contains all searched words, each in a different word of the value.

    :param words: for each searched word, a set of strings; the value has to contain one string of each set.
    :param in_any_spelling: whether one searched word may be in one variant of the value, and another searched word in
        another variant.  (Each variant is a line.)  Searched words that begin with the same letter are an exception: a
        single line has to contain all of these words.
    """
    if len(words) == 1:
        return _any_of(words[0])
    # Searched words with the same initial have to be in one line.  Otherwise two variants of a single word of the value
    # could match two searched words.
    alike = [_Words(group) for group in _with_a_shared_letter(words)] if in_any_spelling else []
    # The list is filled only when a search text with several values is tested, because few searches test such a text.
    of_a_line: list[_Words] = []

    def test(search_text: str) -> bool:
        if not contains_all(search_text, words):
            return False
        if in_any_spelling and is_single_value(search_text, 0, len(search_text)):  # true of nearly all entries
            return all([group.is_in_a_line(search_text) for group in alike])  # noqa: C419  a list is faster
        if not of_a_line:
            of_a_line.append(_Words(words))
        return of_a_line[0].is_in_a_line(search_text)

    return Assertion(test, tuple(words), anywhere=in_any_spelling and not alike)


class _Words:
    """Searched words that one line has to contain, each in a different word of the line."""

    __slots__ = ("_beginnings", "_may_coincide", "_words")

    def __init__(self, words: Sequence[Alternatives]) -> None:
        self._words = words
        # Two searched words can match the same word of a line only if one of the words may begin with the other word.
        self._may_coincide = any(
            one.startswith(other) or other.startswith(one)
            for strings, others in itertools.combinations(words, 2)
            for one, other in itertools.product(strings, others)
        )
        self._beginnings = _shortest_beginnings(words) if self._may_coincide else []

    def is_in_a_line(self, search_text: str) -> bool:
        """Return whether a line of a search text contains the words."""
        beginnings, least = self._beginnings, len(self._words)
        if beginnings and _count(search_text, beginnings) < least:
            return False
        for line in search_text.split("\n"):
            if beginnings and _count(line, beginnings) < least:
                continue
            if contains_all(line, self._words) and not (self._may_coincide and not _have_own_places(line, self._words)):
                return True
        return False


def _shortest_beginnings(words: Sequence[Alternatives]) -> list[str]:
    """Return the first word of each string, without words that begin with another of these words.

    No returned word begins with another returned word, so at most one of the words can match at a given position of a
    text.
    """
    beginnings: list[str] = []
    for beginning in sorted({" " + string.split()[0] for strings in words for string in strings}):
        if not beginnings or not beginning.startswith(beginnings[-1]):
            beginnings.append(beginning)
    return beginnings


def _with_a_shared_letter(words: Sequence[Alternatives]) -> list[list[Alternatives]]:
    """Group searched words that share an initial; leave out all other words.

    An alternative of a searched word can consist of several words.  The searched word then has several initials: the
    initials of all these words.
    """
    of_words = [{part[0] for string in strings for part in string.split()} for strings in words]
    if sum(map(len, of_words)) == len(set().union(*of_words)):  # the words of most names share no initial
        return []
    groups: list[tuple[set[str], list[Alternatives]]] = []
    for strings, initials in zip(words, of_words, strict=True):
        group = [strings]
        apart = []
        for others in groups:
            if initials & others[0]:
                initials, group = initials | others[0], others[1] + group
            else:
                apart.append(others)
        groups = [*apart, (initials, group)]
    return [group for _, group in groups if len(group) > 1]


def is_single_value(text: str, start: int, end: int) -> bool:
    """Return whether all lines of a search text (lenient matching) are variants of one value.

    :param text: a text that contains the search text from `start` to `end`.
    """
    line_end = text.find("\n", start + 1, end) + 1
    return text[start] == "\n" and (line_end == end or text[line_end] == "\f")


def contains_all(text: str, words: Sequence[Alternatives]) -> bool:
    """Return whether a text contains a string of each set."""
    for strings in words:
        for string in strings:
            if string in text:
                break
        else:
            return False
    return True


def _count(text: str, strings: Iterable[str]) -> int:
    return sum([text.count(string) for string in strings])


def _have_own_places(line: str, words: Sequence[Alternatives]) -> bool:
    """Return whether the searched words can be at different positions in a line (bipartite matching)."""
    # The quick test takes only one position of each word.  In most cases, these positions differ.
    if len({max([line.find(string) for string in strings]) for strings in words}) == len(words):
        return True
    places: list[list[int]] = []
    for strings in words:
        found: set[int] = set()
        for string in strings:
            at = line.find(string)
            while at >= 0 and len(found) < len(words):  # more positions than words are never needed
                found.add(at)
                at = line.find(string, at + 1)
        places.append(sorted(found))
    word_at: dict[int, int] = {}
    return all(_takes_place(number, places, word_at, set()) for number in range(len(words)))


def _takes_place(word: int, places: Sequence[Sequence[int]], word_at: dict[int, int], tried: set[int]) -> bool:
    """Assign a position to a word, and move other words if needed; return whether a position was found."""
    for place in places[word]:
        if place not in tried:
            tried.add(place)
            if place not in word_at or _takes_place(word_at[place], places, word_at, tried):
                word_at[place] = word
                return True
    return False


def _keypad_words(digits: str, after: str) -> list[Alternatives]:
    """Return the ways to split keypad digits into words; a blank precedes each returned word.

    A zero may stand for a blank between words.  A zero in front of the first word stands for itself.
    """
    readings = [reading.split() for reading in name_folding.keypad_readings(digits) if reading[0] != " "]
    return [tuple([f" {word}{after}" for word in words]) for words in readings if len(words) <= name_folding.MAX_WORDS]


def _on_keys(readings: Sequence[Alternatives]) -> Assertion:
    """Return the assertion that a line of the search text, converted to keypad digits, has all words of one list.

    :param readings: a list of words for each way to split the typed digits into words.  A match with one list is
        enough.
    """
    tests = [_in_any_order([(word,) for word in words], in_any_spelling=False).test for words in readings]
    # The n-th set of required strings holds the n-th word of each list.  If a list has fewer than n words, the set
    # holds the last word of the list.
    required = [
        tuple(dict.fromkeys([ON_KEYS + words[min(at, len(words) - 1)] for words in readings]))
        for at in range(max(map(len, readings)))
    ]

    def test(search_text: str) -> bool:
        keyed = name_folding.on_keys(search_text)
        return any(each(keyed) for each in tests)

    return Assertion(test, tuple(required))


def _text_parts(kind: AttributeType, texts: Sequence[str]) -> Assertion:
    """Return the assertion that one value contains the parts in their order.

    The initial part begins a word, and the final part ends the value.  A part that consists of punctuation counts only
    if all parts consist of punctuation.
    """
    last = len(texts) - 1
    parts: list[_Part] = []
    punctuation: list[_Part] = []
    after = ""
    for at, text in enumerate(texts):
        # If the previous part ends with a blank, no blank precedes this part, because two parts cannot match the same
        # blank.
        before = " " if at == 0 or (text[:1].isspace() and after != " ") else ""
        after = " \n" if at == last else " " if text[-1:].isspace() else ""
        digits = name_folding.keypad_digits(text) if kind.name in _NAMES else ""
        if digits:
            strings = [before + reading + after for reading in name_folding.keypad_readings(digits)]
            # A string with two blanks in a row is left out, because no line of keypad digits contains two blanks in a
            # row.
            parts.append(_Part(tuple([string for string in strings if "  " not in string]), on_keys=True))
        elif forms := name_folding.letter_variants(text, at < last and not after):
            parts.append(_Part(tuple([before + form + after for form in forms])))
        elif forms := name_folding.query_variants(text):
            punctuation.append(_Part(tuple([before + form + after for form in forms])))
    parts = parts or punctuation
    return _in_order(parts, "\n") if parts else ANY_VALUE


def _number_parts(texts: Sequence[str], context: NamingContext) -> Assertion:
    """Return the assertion that one form of a number contains the parts in their order.

    If the only part follows a star and has at least `SHORTEST_PUBLIC` digits, the part may also be a number in another
    form.  For example, ``*00497736123`` also matches +497736123.  If another star follows the part, the part may also
    be the beginning of a number in another form.  For example, ``*00497736*`` also matches +497736123.
    """
    if context.strip:
        texts = [dial_string.without_affixes(text, context.strip) for text in texts]
    initial, *middle, final = texts
    if any(char.isalpha() for text in texts for char in dial_string.unwrapped(dial_string.clean(text))):
        return NO_VALUE
    parts: list[_Part] = []
    if initial:
        parts.append(_Part(_number_beginnings(initial, context)))
    parts.extend(_Part((dial_string.dial_text(text),)) for text in middle if text)
    if final:
        parts.append(_Part((dial_string.dial_text(final) + "\t",) if dial_string.dial_text(final) else ()))
    strings = {part.strings for part in parts}
    if () in strings or ("",) in strings or strings <= _BARE_PLUS:
        return NO_VALUE
    if initial or len(parts) > 1:
        return _in_order(parts, "\t")
    dialled = parts[0].strings[0].removesuffix("\t")
    if len(dialled) < SHORTEST_PUBLIC:
        return _in_order(parts, "\t")
    only = "".join(texts)
    if not final:
        beginnings = [form for form in _number_beginnings(only, context) if dialled not in form]
        parts = [_Part((dialled, *beginnings))]
    substring = _in_order(parts, "\t")
    # Some phones cut off the first digits of a number, so a part may begin within the prefix for calls abroad.
    cut = phone_number.behind_cut_prefix(dialled, context.region)
    numbers = [number_equality(number, context) for number in (only, *cut)]
    required = itertools.chain.from_iterable(number.required for number in numbers)
    within = (NUMBER_END + dialled[-SHORTEST_PUBLIC:],) if final else parts[0].strings
    tests = [substring.test, *(number.test for number in numbers)]
    return Assertion(
        lambda search_text: any(test(search_text) for test in tests),
        ((*itertools.chain.from_iterable(required), *within),),
    )


def _number_beginnings(text: str, context: NamingContext) -> Alternatives:
    beginnings = phone_number.prefix_forms(text, context.region, context.outside_line, context.area_code)
    return tuple(["\t" + form for form in beginnings])


def _strict_part(family: Family, text: str, at: int, last: int) -> str:
    """Prepare a part of a substring assertion (RFC 4518 2.6.1).

    A prepared value has one blank at each end, and two blanks between words.  A prepared part has a blank at its
    beginning if the part is the initial part, or if the part began with a blank.  A prepared part has a blank at its
    end if the part is the final part, or if the part ended with a blank.
    """
    text = normalization.mapped(text)
    inner = "  ".join(normalization.words(text, exact=family is Family.EXACT))
    if not inner:
        return " "
    before = " " if at == 0 or text[0].isspace() else ""
    after = " " if at == last or text[-1].isspace() else ""
    return before + inner + after


def _any_of(strings: Alternatives) -> Assertion:
    if len(strings) == 1:
        string = strings[0]
        return Assertion(lambda search_text: string in search_text, (strings,), sufficient=strings)
    return Assertion(lambda search_text: any(each in search_text for each in strings), (strings,), sufficient=strings)


def _in_order(parts: Sequence[_Part], separator: str) -> Assertion:
    """Return the assertion that one line contains all parts in their order.

    :param separator: the character between two lines.  With a tab, each form of a number is tested as a line.
    """
    assertions = [_part_assertion(part) for part in parts]
    if len(assertions) == 1:
        return assertions[0]
    part_tests = [assertion.test for assertion in assertions]

    def test(search_text: str) -> bool:
        if not all(part_test(search_text) for part_test in part_tests):
            return False
        return any(_contains_in_order(separator + line + separator, parts) for line in search_text.split(separator))

    return Assertion(test, tuple(strings for assertion in assertions for strings in assertion.required))


def _part_assertion(part: _Part) -> Assertion:
    strings = part.strings
    if not part.on_keys:
        return _any_of(strings)
    return Assertion(lambda text: contains_all(name_folding.on_keys(text), (strings,)), _required_on_keys(strings))


def _required_on_keys(strings: Alternatives) -> tuple[Alternatives, ...]:
    """Return the required strings (`Assertion.required`) of a test for keypad digits.

    The result holds the digits.  If a string may begin in the middle of a word, the result also holds the Latin letters
    for which the digits can stand.
    """
    if all(string.startswith(" ") for string in strings):
        return (tuple([ON_KEYS + string for string in strings]),)
    inner = dict.fromkeys([string.strip(" \n") for string in strings])
    spelt = [itertools.product(*[_CHARACTERS.get(key, key) for key in keys[:_SPELT_KEYS]]) for keys in inner]
    return ((*[ON_KEYS + keys for keys in inner], *map("".join, itertools.chain(*spelt))),) if all(inner) else ()


def _contains_in_order(line: str, parts: Iterable[_Part]) -> bool:
    """Return whether a line contains the parts in order."""
    position = 0
    for part in parts:
        position = _find_end(part, line, position)
        if position < 0:
            return False
    return True


def _find_end(part: _Part, line: str, position: int) -> int:
    """Return the earliest position at which a match of a part ends; -1 if there is no match.

    :param position: the earliest position at which the match may begin.
    """
    if part.on_keys:
        line = name_folding.on_keys(line)  # a converted line has the same length, so positions stay right
    matches = [(line.find(string, position), len(string)) for string in part.strings]
    return min((start + length for start, length in matches if start >= 0), default=-1)


def _ordering_assertion(bound: str, *, greater: bool) -> Assertion:
    return (
        _compared(operator.ge, bound, (bound, _HIGHEST_LINE)) if greater else _compared(operator.le, bound, ("", bound))
    )


def _compared(compare: Callable[[str, str], bool], bound: str, value_range: tuple[str, str]) -> Assertion:
    return Assertion(
        lambda search_text: any(compare(line, bound) for line in lines_of(search_text)),
        value_range=value_range,
    )


ANY_VALUE: Final = Assertion(lambda _search_text: True)
# `NO_VALUE` requires a string of an empty set, so an index finds no entries.
NO_VALUE: Final = Assertion(lambda _search_text: False, ((),))
