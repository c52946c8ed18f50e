# SPDX-License-Identifier: MIT
"""What an attribute's values are searched in: one string, worked out once, when a book is built.

A haystack is a row of lines, each between two line breaks, so that one ``in`` on one string answers most questions
about all values at once.  A line is

* of a text, in lenient matching: a form of it (`fold`) between two blanks: the start of any word is a blank and a
  letter.  The main forms come first, one for each value; behind a form feed come all others.
* of a telephone number, in lenient matching: its three forms (E.164, national, as typed) between tabs; one line for
  each value.  A form that it has not is empty.
* of all else: the value as its matching rule compares it (`prepare`); one line for each value.

`needle` asks the questions; the two modules know each other's form and nobody else does.

What is asked of an attribute, prepared once a search: a test that takes the haystack of an entry's values.

With the test go *clues*, by which an index finds the haystacks that may pass it: of each clue, a haystack that passes
holds at least one string.  No clues: any haystack may pass.

Every function returns None where the asked value makes no sense for the attribute: the filter's term is Undefined
then (RFC 4511 4.5.1.7).
"""

from __future__ import annotations

import itertools
import operator
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from ldapgw.directory import matching_rules, name_folding
from ldapgw.directory.access import NamingContext
from ldapgw.directory.schema import ATTRIBUTE_TYPES, AttributeType, Family, conforms, matching_rule
from ldapgw.numbers import dial_string, phone_number
from ldapgw.numbers.numbering_plan import SHORTEST_PUBLIC
from ldapgw.numbers.phone_number import Number, typed_digits


def text_search_text(values: Iterable[str]) -> str:
    """Of texts, leniently."""
    read = [name_folding.variants(value) for value in values]
    lines = "".join([f"\n {main} " for main, *_ in read]) + "\n"
    return lines + _alias_lines(dict.fromkeys([form for _, *forms in read for form in forms]))


def alias_search_text(values: Iterable[str]) -> str:
    """Of texts, leniently, that are not among an attribute's values and find the entry all the same."""
    return _alias_lines(dict.fromkeys([form for value in values for form in name_folding.variants(value)]))


def _alias_lines(forms: Iterable[str]) -> str:
    lines = "".join([f"\n {form} " for form in forms])
    return f"\f{lines}\n" if lines else ""


def number_search_text(numbers: Iterable[Number]) -> str:
    """Of telephone numbers, leniently."""
    return "".join([f"\n\t{one.e164}\t{one.national}\t{typed_digits(one)}\t" for one in numbers]) + "\n"


def value_search_text(family: Family, values: Iterable[str]) -> str:
    """Of any values, by the rules of RFC 4517."""
    return "".join(f"\n{matching_rules.normalized(family, value) or ''}" for value in values) + "\n"


def lines_of(search_text: str) -> list[str]:
    """The values' lines, without those that only help to find them."""
    return search_text.partition("\f")[0].split("\n")[1:-1]


def number_of(line: str) -> Number:
    """The telephone number of a line."""
    _, e164, national, digits, _ = line.split("\t")
    return Number("", e164, national, digits.removeprefix("+"))


TextPredicate = Callable[[str], bool]

# Strings as they stand in a haystack, of which one has to be there.  One behind `ENDING` is the end of a number, as
# `ldapgw.numbers.phone_number` gives it.
Alternatives = tuple[str, ...]
NUMBER_END: Final = "#"


class Assertion:
    """What is looked for in a haystack; never changed once it is made (a frozen dataclass takes longer to make).

    :ivar between: the least and the greatest line of which there has to be one; None: order does not matter.
    :ivar sure: strings of which one in the haystack is enough for the test.
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


# One part of a substring assertion: the strings of which one has to be there, or a pattern of keypad letters.
Part = tuple[str, ...] | re.Pattern[str]

# Behind every line.
_HIGHEST_LINE: Final = "\U0010ffff"

# Keys that are spelt out for an index: there are up to five signs on each.
_SPELT_KEYS: Final = 3
_KEY: Final = re.compile(r"\[[^]]*\]|\d")

# Attributes that a person dials with the keypad's letters.
_KEYPAD_ATTRIBUTES = frozenset(("cn", "sn", "givenName", "displayName", "o"))

_COMPARISONS = [(kind.comparison, kind.name in _KEYPAD_ATTRIBUTES) for kind in ATTRIBUTE_TYPES]
_COMPARISON_KEYS = {
    kind.name: _COMPARISONS.index((kind.comparison, kind.name in _KEYPAD_ATTRIBUTES)) for kind in ATTRIBUTE_TYPES
}

# To look up a member in its enumeration takes time, and every search asks for these.
_TEXT: Final = Family.TEXT
_NUMBER: Final = Family.NUMBER

_STRINGS = frozenset((Family.TEXT, Family.IDENTIFIER, Family.EXACT, Family.LIST, Family.NUMBER))


def text_of(value: bytes, *, lenient: bool) -> str | None:
    """An asked value as text; old phones send ISO 8859-1."""
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("iso-8859-1") if lenient else None


def comparison_key(kind: AttributeType) -> int:
    """A number that two attributes share whose values are compared in the same way: one needle serves both."""
    return _COMPARISON_KEYS[kind.name]


def has_list_rule(kind: AttributeType) -> bool:
    """Whether the attribute's own rule compares line by line."""
    return kind.comparison.equality == "caseIgnoreListMatch"


def equality(kind: AttributeType, value: bytes, context: NamingContext) -> Assertion | None:
    """Whether one of the values is the one asked for."""
    text = text_of(value, lenient=context.lenient)
    if text is None:
        return None
    if context.lenient and kind.comparison.family is _NUMBER:
        return same_number(text, context)
    if context.lenient and kind.comparison.family is _TEXT:
        return _same_text(kind, text)
    if not (context.lenient or _can_equal(kind, text)):
        return None
    return _of_attribute(kind, strict_equality(_family(kind), text))


def approximate(kind: AttributeType, value: bytes, context: NamingContext) -> Assertion | None:
    """Whether one of the values is about the one asked for: leniently, whether it has these words in a row."""
    text = text_of(value, lenient=context.lenient)
    if text is None or not context.lenient or kind.comparison.family is not _TEXT:
        return equality(kind, value, context)
    return _text_parts(kind, ("", f" {text} ", ""))


def strict_equality(family: Family, text: str) -> Assertion | None:
    """Whether one of the values is the one asked for, by the family's equality rule of RFC 4517."""
    line = matching_rules.normalized(family, text)
    return None if line is None else _any_of((f"\n{line}\n",))


def same_number(text: str, context: NamingContext) -> Assertion:
    """Whether one of the values is this telephone number; nothing that cannot be dialled is one.

    The number is read, which is the dear part, only when a haystack comes that might hold it.
    """
    known = phone_number.number_query(text, context.region, context.outside_line)
    if not known.tails:
        return NO_VALUE
    tails = known.tails
    # The beginning of a line, which is nearly always the number in E.164; or all of the line of a number whose
    # country's numbering plan does not know it.
    written: list[str] = []
    for form in known.exact_forms:
        if form[0] == "+":
            written += (f"\n\t{form}\t", f"\n\t\t\t{form}\t")
    asked: list[phone_number.Number] = []

    def test(haystack: str) -> bool:
        if not any(tail in haystack for tail in tails):
            return False
        stored = [number_of(line) for line in lines_of(haystack)]
        if any(one.e164 in known.exact_forms or one.national in known.exact_forms for one in stored):
            return True
        if not asked:
            asked.extend(phone_number.readings(text, context.region, context.outside_line))
        return any(phone_number.matches_any_reading(one, asked) for one in stored)

    return Assertion(test, (tuple([NUMBER_END + tail for tail in tails]),), sufficient=tuple(written))


def substrings(
    kind: AttributeType, initial: bytes | None, middle: Sequence[bytes], final: bytes | None, context: NamingContext
) -> Assertion | None:
    """Whether one of the values holds the parts in their order; leniently, parts without octets do not count."""
    asked = [initial, *middle, final]
    parts = [text_of(part or b"", lenient=context.lenient) for part in asked]
    texts = [part for part in parts if part is not None]
    if len(texts) < len(parts):
        return None
    if not context.lenient and (b"" in asked or not _can_contain(kind, texts)):
        return None
    if not any(texts):
        return ANY_VALUE
    if context.lenient and kind.comparison.family is _NUMBER:
        return _number_parts(texts, context)
    if context.lenient and kind.comparison.family is _TEXT:
        return _text_parts(kind, texts)
    return _of_attribute(kind, strict_substrings(_family(kind), texts))


def strict_substrings(family: Family, texts: Sequence[str]) -> Assertion | None:
    """Whether one of the values holds the parts in their order, by the rules of RFC 4517.

    :param texts: initial, any number of "any", and final; empty where there is none.
    """
    if family not in _STRINGS:
        return None
    first, last = 0, len(texts) - 1
    parts: list[Part] = []
    for at, text in enumerate(texts):
        if text:
            piece = matching_rules.telephone(text) if family is _NUMBER else _strict_part(family, text, at, last)
            parts.append((("\n" if at == first else "") + piece + ("\n" if at == last else ""),))
    return _in_order(parts, "\n")


def ordering(kind: AttributeType, value: bytes, context: NamingContext, *, greater: bool) -> Assertion | None:
    """Whether one of the values is at or behind (`greater`) the asked one, or at or before it, as people sort."""
    text = text_of(value, lenient=context.lenient)
    if text is None:
        return None
    if context.lenient and kind.comparison.family is _TEXT:
        return _ordering_assertion(f" {name_folding.collation_key(text)} ", greater=greater)
    if not kind.comparison.ordering or not (context.lenient or _can_equal(kind, text)):
        return None
    line = matching_rules.normalized(kind.comparison.family, text)
    return None if line is None else _ordering_assertion(line, greater=greater)


def strict_less(family: Family, text: str) -> Assertion | None:
    """Whether one of the values sorts before the asked one: an ordering rule by its name (RFC 4517 4.2)."""
    line = matching_rules.normalized(family, text)
    return None if line is None else _compared(operator.lt, line, ("", line))


def _family(kind: AttributeType) -> Family:
    """How values compare by the attribute's own equality rule."""
    return Family.LIST if has_list_rule(kind) else kind.comparison.family


def _of_attribute(kind: AttributeType, asked: Assertion | None) -> Assertion | None:
    """What is looked for in values as they are kept: lines of text are kept in one."""
    if asked is None or not has_list_rule(kind):
        return asked
    test = asked.test
    return Assertion(
        lambda haystack: test("".join(f"\n{matching_rules.listing(line)}" for line in lines_of(haystack)) + "\n")
    )


def _can_equal(kind: AttributeType, text: str) -> bool:
    """Whether the attribute's equality rule can be asked with a text at all."""
    rule = matching_rule(kind.comparison.equality)
    return rule is None or conforms(rule.syntax, text)


def _can_contain(kind: AttributeType, parts: Iterable[str]) -> bool:
    """Whether the attribute's substrings rule can be asked with these parts; "" stands where there is none."""
    return all(_can_equal(kind, part) for part in parts if part)


def _same_text(kind: AttributeType, text: str) -> Assertion:
    pattern = name_folding.keypad_pattern(text) if kind.name in _KEYPAD_ATTRIBUTES else None
    if pattern:
        return _in_order([re.compile(f"\n {pattern.pattern} \n")], "\n")
    forms = name_folding.query_variants(text)
    return _any_of(tuple(f"\n {form} \n" for form in forms)) if forms else ANY_VALUE


def _text_parts(kind: AttributeType, texts: Sequence[str]) -> Assertion:
    """The parts' forms; the initial one may stand at the start of any word."""
    last = len(texts) - 1
    parts: list[Part] = []
    behind = ""
    for at, text in enumerate(texts):
        # One blank cannot end a part and begin the next one.
        before = " " if at == 0 or (text[:1].isspace() and behind != " ") else ""
        behind = " \n" if at == last else " " if text[-1:].isspace() else ""
        pattern = name_folding.keypad_pattern(text) if kind.name in _KEYPAD_ATTRIBUTES else None
        if pattern:
            parts.append(re.compile(before + pattern.pattern + behind))
        elif forms := name_folding.query_variants(text, open_ended=at < last and not behind):
            parts.append(tuple(before + form + behind for form in forms))
    return _in_order(parts, "\n") if parts else ANY_VALUE


def _number_parts(texts: Sequence[str], context: NamingContext) -> Assertion:
    """The parts of one of a number's forms; a long end alone is looked for as a number is."""
    initial, *middle, final = texts
    if any(sign.isalpha() for text in texts for sign in dial_string.unwrapped(dial_string.clean(text))):
        return NO_VALUE
    parts: list[Part] = []
    if initial:
        beginnings = phone_number.prefix_forms(initial, context.region, context.outside_line)
        parts.append(tuple("\t" + form for form in beginnings))
    parts.extend((dial_string.dial_text(text),) for text in middle if text)
    if final:
        parts.append((dial_string.dial_text(final) + "\t",) if dial_string.dial_text(final) else ())
    if not all(parts) or ("",) in parts:
        return NO_VALUE
    held = _in_order(parts, "\t")
    if len(parts) == 1 and len(dial_string.dial_text(final)) >= SHORTEST_PUBLIC:
        dialled = dial_string.dial_text(final)
        same = same_number(final, context)
        tails = (*itertools.chain(*same.required), NUMBER_END + dialled[-SHORTEST_PUBLIC:])
        return Assertion(lambda haystack: held.test(haystack) or same.test(haystack), (tails,))
    return held


def _strict_part(family: Family, text: str, at: int, last: int) -> str:
    """RFC 4518 2.6.1: a blank at the ends of the value, two between words, one where a part has any at its ends."""
    inner = "  ".join(matching_rules.words(text, exact=family is Family.EXACT))
    if not inner:
        return " "
    before = " " if at == 0 or text[0].isspace() else ""
    behind = " " if at == last or text[-1].isspace() else ""
    return before + inner + behind


def _any_of(strings: Alternatives) -> Assertion:
    if len(strings) == 1:
        one = strings[0]
        return Assertion(lambda haystack: one in haystack, (strings,), sufficient=strings)
    return Assertion(lambda haystack: any(one in haystack for one in strings), (strings,), sufficient=strings)


def _in_order(parts: Sequence[Part], separator: str) -> Assertion:
    """Whether all parts stand one behind the other within one line."""
    each = [_part_assertion(part) for part in parts]
    if len(each) == 1:
        return each[0]
    anywhere = [part.test for part in each]

    def test(haystack: str) -> bool:
        if not all(found(haystack) for found in anywhere):
            return False
        return any(_contains_in_order(separator + line + separator, parts) for line in haystack.split(separator))

    return Assertion(test, tuple(clue for part in each for clue in part.required))


def _part_assertion(part: Part) -> Assertion:
    if isinstance(part, tuple):
        return _any_of(part)
    search = part.search
    return Assertion(lambda haystack: search(haystack) is not None, _keypad_spellings(part.pattern))


def _keypad_spellings(pattern: str) -> tuple[Alternatives, ...]:
    """What a pattern of keypad letters can begin with: all that its first keys can mean, a blank among them."""
    before = pattern[: len(pattern) - len(pattern.lstrip("\n "))]
    keys = [key.strip("[]") for key in _KEY.findall(pattern)[:_SPELT_KEYS]]
    strings = [before + "".join(letters) for letters in itertools.product(*keys)]
    # Two blanks in a row are a text without letters, and then nothing follows them.
    possible = [one for one in strings if "  " not in one or not one.strip(" \n")]
    return (tuple(possible),) if all(map(str.strip, possible)) else ()


def _contains_in_order(line: str, parts: Iterable[Part]) -> bool:
    """Each part at its first possible end, which leaves the most to those behind it."""
    position = 0
    for part in parts:
        position = _find_end(part, line, position)
        if position < 0:
            return False
    return True


def _find_end(part: Part, line: str, position: int) -> int:
    """Where a part ends that begins at a position or behind it, as early as can be; -1: nowhere."""
    if isinstance(part, tuple):
        found = ((line.find(needle, position), len(needle)) for needle in part)
        return min((at + length for at, length in found if at >= 0), default=-1)
    match = part.search(line, position)
    return match.end() if match else -1


def _ordering_assertion(asked: str, *, greater: bool) -> Assertion:
    return (
        _compared(operator.ge, asked, (asked, _HIGHEST_LINE)) if greater else _compared(operator.le, asked, ("", asked))
    )


def _compared(compare: Callable[[str, str], bool], asked: str, between: tuple[str, str]) -> Assertion:
    return Assertion(lambda haystack: any(compare(line, asked) for line in lines_of(haystack)), value_range=between)


ANY_VALUE: Final = Assertion(lambda _haystack: True)
# A clue without a string: no haystack passes.
NO_VALUE: Final = Assertion(lambda _haystack: False, ((),))
