# SPDX-License-Identifier: MIT
"""What is asked of an attribute, prepared once a search: a test that takes the haystack of an entry's values.

Every function returns None where the asked value makes no sense for the attribute: the filter's term is Undefined
then (RFC 4511 4.5.1.7).
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Sequence

from ldapgw import dialstring, number
from ldapgw.directory import fold, prepare
from ldapgw.directory.haystack import lines_of, number_of
from ldapgw.directory.naming import NamingContext
from ldapgw.directory.schema import AttributeType, Family, matching_rule
from ldapgw.directory.syntax import conforms
from ldapgw.numberplan import SHORTEST_PUBLIC

Test = Callable[[str], bool]

# One part of a substring assertion: the strings of which one has to be there, or a pattern of keypad letters.
Part = tuple[str, ...] | re.Pattern[str]

# Attributes that a person dials with the keypad's letters.
_DIALLED = frozenset(("cn", "sn", "givenName", "displayName", "o"))

_STRINGS = frozenset((Family.TEXT, Family.IDENTIFIER, Family.EXACT, Family.NUMBER))


def text_of(value: bytes, *, lenient: bool) -> str | None:
    """An asked value as text; old phones send ISO 8859-1."""
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("iso-8859-1") if lenient else None


def likeness(kind: AttributeType) -> tuple[object, bool]:
    """What two attributes share whose values are compared in the same way: one test serves both."""
    return kind.kind, kind.name in _DIALLED


def equality(kind: AttributeType, value: bytes, context: NamingContext) -> Test | None:
    """Whether one of the values is the one asked for."""
    text = text_of(value, lenient=context.lenient)
    if text is None:
        return None
    if context.lenient and kind.kind.family is Family.NUMBER:
        return same_number(text, context)
    if context.lenient and kind.kind.family is Family.TEXT:
        return _same_text(kind, text)
    return strict_equality(kind.kind.family, text) if context.lenient or _can_equal(kind, text) else None


def strict_equality(family: Family, text: str) -> Test | None:
    """Whether one of the values is the one asked for, by the family's equality rule of RFC 4517."""
    line = prepare.line(family, text)
    return None if line is None else _any_of((f"\n{line}\n",))


def same_number(text: str, context: NamingContext) -> Test:
    """Whether one of the values is this telephone number; nothing that cannot be dialled is one.

    The number is read, which is the dear part, only when a haystack comes that might hold it.
    """
    known = number.asked(text, context.region, context.outside_line)
    if not known.tails:
        return _never
    asked: list[number.Number] = []

    def test(haystack: str) -> bool:
        if not any(tail in haystack for tail in known.tails):
            return False
        stored = [number_of(line) for line in lines_of(haystack)]
        if any(one.e164 in known.writings or one.national in known.writings for one in stored):
            return True
        if not asked:
            asked.extend(number.readings(text, context.region, context.outside_line))
        return any(number.is_meant(one, asked) for one in stored)

    return test


def substrings(
    kind: AttributeType, initial: bytes | None, middle: Sequence[bytes], final: bytes | None, context: NamingContext
) -> Test | None:
    """Whether one of the values holds the parts in their order; leniently, parts without octets do not count."""
    parts = [text_of(part or b"", lenient=context.lenient) for part in (initial, *middle, final)]
    texts = [part for part in parts if part is not None]
    if len(texts) < len(parts):
        return None
    if not context.lenient and (b"" in (initial, *middle, final) or not _can_hold(kind, texts)):
        return None
    if not any(texts):
        return _always
    if context.lenient and kind.kind.family is Family.NUMBER:
        return _number_parts(texts, context)
    if context.lenient and kind.kind.family is Family.TEXT:
        return _text_parts(kind, texts)
    return strict_substrings(kind.kind.family, texts)


def strict_substrings(family: Family, texts: Sequence[str]) -> Test | None:
    """Whether one of the values holds the parts in their order, by the rules of RFC 4517.

    :param texts: initial, any number of "any", and final; empty where there is none.
    """
    if family not in _STRINGS:
        return None
    first, last = 0, len(texts) - 1
    parts: list[Part] = []
    for at, text in enumerate(texts):
        if text:
            piece = prepare.telephone(text) if family is Family.NUMBER else _strict_part(family, text, at, last)
            parts.append((("\n" if at == first else "") + piece + ("\n" if at == last else ""),))
    return _in_order(parts, "\n")


def ordering(kind: AttributeType, value: bytes, context: NamingContext, *, greater: bool) -> Test | None:
    """Whether one of the values is at or behind (`greater`) the asked one, or at or before it, as people sort."""
    text = text_of(value, lenient=context.lenient)
    if text is None:
        return None
    if context.lenient and kind.kind.family is Family.TEXT:
        return _compared(operator.ge if greater else operator.le, f" {fold.collation(text)} ")
    if not kind.kind.ordering or not (context.lenient or _can_equal(kind, text)):
        return None
    line = prepare.line(kind.kind.family, text)
    return None if line is None else _compared(operator.ge if greater else operator.le, line)


def strict_before(family: Family, text: str) -> Test | None:
    """Whether one of the values sorts before the asked one: an ordering rule by its name (RFC 4517 4.2)."""
    line = prepare.line(family, text)
    return None if line is None else _compared(operator.lt, line)


def _can_equal(kind: AttributeType, text: str) -> bool:
    """Whether the attribute's equality rule can be asked with a text at all."""
    rule = matching_rule(kind.kind.equality)
    return rule is None or conforms(rule.syntax, text)


def _can_hold(kind: AttributeType, parts: Iterable[str]) -> bool:
    """Whether the attribute's substrings rule can be asked with these parts; "" stands where there is none."""
    return all(_can_equal(kind, part) for part in parts if part)


def _same_text(kind: AttributeType, text: str) -> Test:
    pattern = fold.keypad(text) if kind.name in _DIALLED else None
    if pattern:
        search = re.compile(f"\n {pattern.pattern} \n").search
        return lambda haystack: search(haystack) is not None
    forms = fold.asked(text)
    return _any_of([f"\n {form} \n" for form in forms]) if forms else _always


def _text_parts(kind: AttributeType, texts: Sequence[str]) -> Test:
    """The parts' forms; the initial one may stand at the start of any word."""
    last = len(texts) - 1
    parts: list[Part] = []
    behind = ""
    for at, text in enumerate(texts):
        # One blank cannot end a part and begin the next one.
        before = " " if at == 0 or (text[:1].isspace() and behind != " ") else ""
        behind = " \n" if at == last else " " if text[-1:].isspace() else ""
        pattern = fold.keypad(text) if kind.name in _DIALLED else None
        if pattern:
            parts.append(re.compile(before + pattern.pattern + behind))
        elif forms := fold.asked(text, goes_on=at < last and not behind):
            parts.append(tuple(before + form + behind for form in forms))
    return _in_order(parts, "\n") if parts else _always


def _number_parts(texts: Sequence[str], context: NamingContext) -> Test:
    """The parts of one of a number's forms; a long end alone is looked for as a number is."""
    initial, *middle, final = texts
    if any(sign.isalpha() for text in texts for sign in dialstring.unwrapped(dialstring.clean(text))):
        return _never
    parts: list[Part] = []
    if initial:
        beginnings = number.beginnings(initial, context.region, context.outside_line)
        parts.append(tuple("\t" + form for form in beginnings))
    parts.extend((dialstring.dial_text(text),) for text in middle if text)
    if final:
        parts.append((dialstring.dial_text(final) + "\t",) if dialstring.dial_text(final) else ())
    if not all(parts) or ("",) in parts:
        return _never
    held = _in_order(parts, "\t")
    if len(parts) == 1 and len(dialstring.dial_text(final)) >= SHORTEST_PUBLIC:
        same = same_number(final, context)
        return lambda haystack: held(haystack) or same(haystack)
    return held


def _strict_part(family: Family, text: str, at: int, last: int) -> str:
    """RFC 4518 2.6.1: a blank at the ends of the value, two between words, one where a part has any at its ends."""
    inner = "  ".join(prepare.words(text, exact=family is Family.EXACT))
    if not inner:
        return " "
    before = " " if at == 0 or text[0].isspace() else ""
    behind = " " if at == last or text[-1].isspace() else ""
    return before + inner + behind


def _any_of(needles: Sequence[str]) -> Test:
    if len(needles) == 1:
        needle = needles[0]
        return lambda haystack: needle in haystack
    return lambda haystack: any(needle in haystack for needle in needles)


def _in_order(parts: Sequence[Part], separator: str) -> Test:
    """Whether all parts stand one behind the other within one line."""
    if len(parts) == 1:
        return _anywhere(parts[0])
    anywhere = [_anywhere(part) for part in parts]

    def test(haystack: str) -> bool:
        if not all(found(haystack) for found in anywhere):
            return False
        return any(_holds(separator + line + separator, parts) for line in haystack.split(separator))

    return test


def _anywhere(part: Part) -> Test:
    if isinstance(part, tuple):
        return _any_of(part)
    search = part.search
    return lambda haystack: search(haystack) is not None


def _holds(line: str, parts: Iterable[Part]) -> bool:
    """Each part at its first possible end, which leaves the most to those behind it."""
    position = 0
    for part in parts:
        position = _end(part, line, position)
        if position < 0:
            return False
    return True


def _end(part: Part, line: str, position: int) -> int:
    """Where a part ends that begins at a position or behind it, as early as can be; -1: nowhere."""
    if isinstance(part, tuple):
        found = ((line.find(needle, position), len(needle)) for needle in part)
        return min((at + length for at, length in found if at >= 0), default=-1)
    match = part.search(line, position)
    return match.end() if match else -1


def _compared(compare: Callable[[str, str], bool], asked: str) -> Test:
    return lambda haystack: any(compare(line, asked) for line in lines_of(haystack))


def _always(_haystack: str) -> bool:
    return True


def _never(_haystack: str) -> bool:
    return False
