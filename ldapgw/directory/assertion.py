# SPDX-License-Identifier: MIT
"""Assertions on an attribute (RFC 4511 4.1.6), prepared once per search, and tested on an attribute's search text.

An `Assertion` is a test of a search text, together with *required strings*, from which an index finds the entries that
may pass: a search text that passes contains at least one string of each required set.  Without required strings, any
search text may pass.

Functions that return an assertion return None if the assertion value makes no sense for the attribute: the filter's
term is Undefined then (RFC 4511 4.5.1.7).
"""

from __future__ import annotations

import itertools
import operator
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from ldapgw.directory import name_folding, normalization
from ldapgw.directory.access import NamingContext
from ldapgw.directory.normalization import lines_of, number_of
from ldapgw.directory.schema import ATTRIBUTE_TYPES, AttributeType, Family, conforms, matching_rule
from ldapgw.numbers import dial_string, phone_number
from ldapgw.numbers.numbering_plan import SHORTEST_PUBLIC

TextPredicate = Callable[[str], bool]

# Substrings of a search text, of which at least one is there.  A string that begins with `NUMBER_END` is no substring,
# but the tail of a number (`ldapgw.numbers.phone_number`).
Alternatives = tuple[str, ...]
NUMBER_END: Final = "#"


class Assertion:
    """A prepared assertion; never changed once it is made (a frozen dataclass takes longer to make).

    :ivar test: whether a search text passes.
    :ivar required: sets of strings; a search text that passes contains at least one string of each set.
    :ivar value_range: the least and the greatest line; a search text that passes has a line between them.  None: any.
    :ivar sufficient: strings; a search text that contains one of them passes.
    """

    __slots__ = ("required", "sufficient", "test", "value_range")

    def __init__(
        self,
        test: TextPredicate,
        required: tuple[Alternatives, ...] = (),
        value_range: tuple[str, str] | None = None,
        sufficient: Alternatives = (),
    ) -> None:
        self.test = test
        self.required = required
        self.value_range = value_range
        self.sufficient = sufficient


# One part of a substring assertion: strings of which one is to match, or a pattern of keypad letters.
Part = tuple[str, ...] | re.Pattern[str]

# Parts of a number that ask for nobody: in E.164 nearly every number begins with a "+".
_BARE_PLUS: Final[frozenset[Part]] = frozenset((("\t+",), ("+",), ("+\t",)))

# Sorts after every line.
_HIGHEST_LINE: Final = "\U0010ffff"

# Keys that are spelt out for an index: each key has up to five characters.
_SPELT_KEYS: Final = 3
_KEY: Final = re.compile(r"\[[^]]*\]|\d")

# Attributes whose values a person may dial with the keypad's letters.
_KEYPAD_ATTRIBUTES = frozenset(("cn", "sn", "givenName", "displayName", "o"))

_COMPARISONS = [(kind.comparison, kind.name in _KEYPAD_ATTRIBUTES) for kind in ATTRIBUTE_TYPES]
_COMPARISON_KEYS = {
    kind.name: _COMPARISONS.index((kind.comparison, kind.name in _KEYPAD_ATTRIBUTES)) for kind in ATTRIBUTE_TYPES
}

# Looking up a member in its enumeration takes time, and every search needs these.
_TEXT: Final = Family.TEXT
_NUMBER: Final = Family.NUMBER

_STRINGS = frozenset((Family.TEXT, Family.IDENTIFIER, Family.EXACT, Family.LIST, Family.NUMBER))


def text_of(value: bytes, *, lenient: bool) -> str | None:
    """An assertion value as text; None if it is not UTF-8.  Old phones send ISO 8859-1, which `lenient` accepts."""
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("iso-8859-1") if lenient else None


def comparison_key(kind: AttributeType) -> int:
    """Key under which attributes with the same comparison share one prepared assertion."""
    return _COMPARISON_KEYS[kind.name]


def has_list_rule(kind: AttributeType) -> bool:
    """Whether the attribute's own equality rule compares lists of lines (caseIgnoreListMatch)."""
    return kind.comparison.equality == "caseIgnoreListMatch"


def equality(kind: AttributeType, value: bytes, context: NamingContext) -> Assertion | None:
    """The assertion that one of the values equals a value."""
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
    """The assertion that one of the values is about equal: in lenient matching, that it has the words in a row."""
    text = text_of(value, lenient=context.lenient)
    if text is None or not context.lenient or kind.comparison.family is not _TEXT:
        return equality(kind, value, context)
    return _text_parts(kind, ("", f" {text} ", ""))


def strict_equality(family: Family, text: str) -> Assertion | None:
    """The assertion that one of the values equals a text, by the family's equality rule of RFC 4517."""
    line = normalization.normalized(family, text)
    return None if line is None else _any_of((f"\n{line}\n",))


def number_equality(text: str, context: NamingContext) -> Assertion:
    """The assertion that one of the values is a telephone number; a text that cannot be dialled matches no value.

    The number is parsed, which is the expensive part, only for a search text that might contain it.
    """
    text = asserted_number(text, context)
    tails, exact_forms = phone_number.number_query(text, context.region, context.outside_line, context.area_code)
    if not tails:
        return NO_VALUE
    # The beginning of a line, which is nearly always the number in E.164; or all of the line of a number that no
    # numbering plan knows.
    sufficient: list[str] = []
    for form in exact_forms:
        if form[0] == "+":
            sufficient += (f"\n\t{form}\t", f"\n\t\t\t{form}\t")
    readings: list[phone_number.Number] = []

    def test(search_text: str) -> bool:
        if not any(tail in search_text for tail in tails):
            return False
        stored = [number_of(line) for line in lines_of(search_text)]
        if any(number.e164 in exact_forms or number.national in exact_forms for number in stored):
            return True
        if not readings:
            readings.extend(phone_number.readings(text, context.region, context.outside_line, context.area_code))
        return any(phone_number.matches_any_reading(number, readings) for number in stored)

    return Assertion(test, (tuple([NUMBER_END + tail for tail in tails]),), sufficient=tuple(sufficient))


def asserted_number(text: str, context: NamingContext) -> str:
    """The number that a whole text names: without what the tenant's PBX puts around it, in a URI too."""
    if not context.strip:
        return text
    return dial_string.without_affixes(dial_string.unwrapped(dial_string.clean(text)), context.strip)


def substrings(
    kind: AttributeType, initial: bytes | None, middle: Sequence[bytes], final: bytes | None, context: NamingContext
) -> Assertion | None:
    """The assertion that one of the values has the parts in their order; lenient matching ignores empty parts."""
    values = [initial, *middle, final]
    parts = [text_of(value or b"", lenient=context.lenient) for value in values]
    texts = [part for part in parts if part is not None]
    if len(texts) < len(parts):
        return None
    if not context.lenient and (b"" in values or not _can_contain(kind, texts)):
        return None
    if not any(texts):
        return ANY_VALUE
    if context.lenient and kind.comparison.family is _NUMBER:
        return _number_parts(texts, context)
    if context.lenient and kind.comparison.family is _TEXT:
        return _text_parts(kind, texts)
    return _of_attribute(kind, strict_substrings(_family(kind), texts))


def strict_substrings(family: Family, texts: Sequence[str]) -> Assertion | None:
    """The assertion that one of the values has the parts in their order, by the rules of RFC 4517.

    :param texts: initial, any number of "any", and final; "" for an initial or final that is absent.
    """
    if family not in _STRINGS:
        return None
    first, last = 0, len(texts) - 1
    parts: list[Part] = []
    for at, text in enumerate(texts):
        if text:
            part = normalization.telephone(text) if family is _NUMBER else _strict_part(family, text, at, last)
            parts.append((("\n" if at == first else "") + part + ("\n" if at == last else ""),))
    return _in_order(parts, "\n")


def ordering(kind: AttributeType, value: bytes, context: NamingContext, *, greater: bool) -> Assertion | None:
    """The assertion that one of the values is greater than (`greater`) or less than a value, or equal to it.

    In lenient matching, texts are compared as people sort names.
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
    """The assertion that one of the values sorts before a text: an ordering rule by its name (RFC 4517 4.2)."""
    line = normalization.normalized(family, text)
    return None if line is None else _compared(operator.lt, line, ("", line))


def _family(kind: AttributeType) -> Family:
    """The family of the attribute's own equality rule."""
    return Family.LIST if has_list_rule(kind) else kind.comparison.family


def _of_attribute(kind: AttributeType, assertion: Assertion | None) -> Assertion | None:
    """A strict assertion on an attribute's search text, in which a value with several lines is one line."""
    if assertion is None or not has_list_rule(kind):
        return assertion
    test = assertion.test
    return Assertion(
        lambda search_text: test("".join(f"\n{normalization.listing(line)}" for line in lines_of(search_text)) + "\n")
    )


def _can_equal(kind: AttributeType, text: str) -> bool:
    """Whether a text conforms to the syntax of the attribute's equality rule."""
    rule = matching_rule(kind.comparison.equality)
    return rule is None or conforms(rule.syntax, text)


def _can_contain(kind: AttributeType, parts: Iterable[str]) -> bool:
    """Whether all parts conform to the syntax of the attribute's substrings rule; "" for absent parts."""
    return all(_can_equal(kind, part) for part in parts if part)


def _same_text(kind: AttributeType, text: str) -> Assertion:
    pattern = name_folding.keypad_pattern(text) if kind.name in _KEYPAD_ATTRIBUTES else None
    if pattern:
        return _in_order([re.compile(f"\n {pattern.pattern} \n")], "\n")
    forms = name_folding.query_variants(text)
    return _any_of(tuple(f"\n {form} \n" for form in forms)) if forms else ANY_VALUE


def _text_parts(kind: AttributeType, texts: Sequence[str]) -> Assertion:
    """The assertion that a text has the parts in a variant each; the initial part may begin any word."""
    last = len(texts) - 1
    parts: list[Part] = []
    after = ""
    for at, text in enumerate(texts):
        # One blank cannot both end a part and begin the next part.
        before = " " if at == 0 or (text[:1].isspace() and after != " ") else ""
        after = " \n" if at == last else " " if text[-1:].isspace() else ""
        pattern = name_folding.keypad_pattern(text) if kind.name in _KEYPAD_ATTRIBUTES else None
        if pattern:
            parts.append(re.compile(before + pattern.pattern + after))
        elif forms := name_folding.query_variants(text, open_ended=at < last and not after):
            parts.append(tuple(before + form + after for form in forms))
    return _in_order(parts, "\n") if parts else ANY_VALUE


def _number_parts(texts: Sequence[str], context: NamingContext) -> Assertion:
    """The assertion that a form of a number has the parts; a long final part alone also matches like a whole number."""
    initial, *middle, final = texts
    if context.strip:
        initial, final = (dial_string.without_affixes(text, context.strip) for text in (initial, final))
        texts = (initial, *middle, final)
    if any(char.isalpha() for text in texts for char in dial_string.unwrapped(dial_string.clean(text))):
        return NO_VALUE
    parts: list[Part] = []
    if initial:
        beginnings = phone_number.prefix_forms(initial, context.region, context.outside_line)
        parts.append(tuple("\t" + form for form in beginnings))
    parts.extend((dial_string.dial_text(text),) for text in middle if text)
    if final:
        parts.append((dial_string.dial_text(final) + "\t",) if dial_string.dial_text(final) else ())
    if not all(parts) or ("",) in parts or set(parts) <= _BARE_PLUS:
        return NO_VALUE
    substring = _in_order(parts, "\t")
    if len(parts) == 1 and len(dial_string.dial_text(final)) >= SHORTEST_PUBLIC:
        dialled = dial_string.dial_text(final)
        # Some phones cut the first digits of the number, and with them a half of the prefix for calls abroad.
        cut = phone_number.behind_cut_prefix(dialled, context.region)
        numbers = [number_equality(number, context) for number in (final, *cut)]
        required = itertools.chain.from_iterable(number.required for number in numbers)
        tails = (*itertools.chain.from_iterable(required), NUMBER_END + dialled[-SHORTEST_PUBLIC:])
        tests = [substring.test, *(number.test for number in numbers)]
        return Assertion(lambda search_text: any(test(search_text) for test in tests), (tails,))
    return substring


def _strict_part(family: Family, text: str, at: int, last: int) -> str:
    """RFC 4518 2.6.1: a blank at the ends of the value, two between words, one where a part has blanks at its ends."""
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


def _in_order(parts: Sequence[Part], separator: str) -> Assertion:
    """The assertion that one line contains all parts in their order.

    :param separator: of the lines: line breaks, or tabs between the forms of a number.
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


def _part_assertion(part: Part) -> Assertion:
    if isinstance(part, tuple):
        return _any_of(part)
    search = part.search
    return Assertion(lambda search_text: search(search_text) is not None, _keypad_spellings(part.pattern))


def _keypad_spellings(pattern: str) -> tuple[Alternatives, ...]:
    """The required strings of a pattern of keypad letters: all strings that its first keys can spell, with blanks."""
    before = pattern[: len(pattern) - len(pattern.lstrip("\n "))]
    keys = [key.strip("[]") for key in _KEY.findall(pattern)[:_SPELT_KEYS]]
    strings = [before + "".join(letters) for letters in itertools.product(*keys)]
    # Two blanks in a row occur only in the line of an empty text, in which no letter follows.
    possible = [string for string in strings if "  " not in string or not string.strip(" \n")]
    return (tuple(possible),) if all(map(str.strip, possible)) else ()


def _contains_in_order(line: str, parts: Iterable[Part]) -> bool:
    """Whether a line contains the parts in order; each is matched at its first end, which leaves most to the next."""
    position = 0
    for part in parts:
        position = _find_end(part, line, position)
        if position < 0:
            return False
    return True


def _find_end(part: Part, line: str, position: int) -> int:
    """The first end of a part that begins at a position or after it; -1: the line does not contain it there."""
    if isinstance(part, tuple):
        matches = ((line.find(string, position), len(string)) for string in part)
        return min((start + length for start, length in matches if start >= 0), default=-1)
    match = part.search(line, position)
    return match.end() if match else -1


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
# An empty set of required strings: no search text passes.
NO_VALUE: Final = Assertion(lambda _search_text: False, ((),))
