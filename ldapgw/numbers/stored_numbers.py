# SPDX-License-Identifier: MIT
"""Reads the telephone numbers in the text that people store in a field.

A field is a text of any form, with several numbers, remarks, extensions, or menus of conferences.  A number may lack
the "+" in front of the country code, or may have been changed by its country since.  `read` returns each number in the
form that connects today.  Each number has its less likely *readings*: other numbers that the text may mean.  A caller
is recognized by these numbers, too.  Each number has the rules (`Rule`) by which the number was read, so that pages can
explain what is dialled.

A field is read twice, with and without possible remarks (`ldapgw.numbers.field_text`).  A `_Field` splits a text into
its numbers, but only where complete numbers end: a slash behind an area code separates no numbers.
`ldapgw.numbers.single_number` reads each number.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Final, NamedTuple

from ldapgw.numbers import Number, Rule, dial_string, numbering_plan, phone_number
from ldapgw.numbers.field_text import split_field, without_remarks
from ldapgw.numbers.numbering_plan import SHORTEST_PUBLIC
from ldapgw.numbers.phone_number import TypedParts
from ldapgw.numbers.single_number import (
    LONGEST_EXTENSION,
    MOST_DIGITS,
    SHORTEST_ABROAD,
    Reading,
    Witness,
    goes_on,
    is_guessed,
    is_valid,
    make_number,
    read_single,
    with_rule,
)

# The version of the rules.  Raise the version with each change of the results: all stored fields are then read anew.
VERSION: Final = 5

# The maximum number of numbers in a field, and the maximum number of places in a field where a number may end.
_MOST_NUMBERS: Final = 8
_MOST_PLACES: Final = 10

# This text separates several values of one kind in Google's CSV format.
_IMPORT_SEPARATOR: Final = ":::"

# Two patterns: a gap, which is the text between two groups of digits; and the characters at the end of a gap, such as
# "+", that belong to the next number.
_GAP: Final = re.compile(r"(?<=[0-9])[^0-9]+(?=[0-9])")
_OPENING: Final = re.compile(r"[+(*#]*$")
# The commonest gaps, which are nearly always within a number.
_WITHIN: Final = frozenset((" ", "-", ".", ") "))
# Characters and words that separate numbers.  Any other gap, such as a blank, may lie within a number.
_SIGN: Final = re.compile(r"[\n|/&\\\u2022\u2192>]|^#(?=\s)|(?<![,;])[,;](?![,;])|(?<=\s)[-\u2013\u2014+](?=\s)")
_WORD: Final = re.compile(
    r"[^\W\d_]{2}|[^\W\d_]\s?:|\([^\W\d_]\)|(?<![^\W\d_])[^\W\d_xwp](?![^\W\d_])|[\s(][wp][\s),;]+[+(0]$", re.IGNORECASE
)
# Two patterns: a number whose groups of digits are separated by slashes ("030/555/0171"); and a character that
# separates two such numbers.
_SLASHED_GROUPS: Final = re.compile(r"[0-9]\s?/\s?[0-9]{2,}\s?/\s?[0-9]")
_LIST_SIGN: Final = re.compile(r"[\n|;,]")
# A slash between two numbers whose common beginning is written only once.
_SLASH: Final = re.compile(r"\s*/\s*-?\s*")
# An area code, a slash, and at least five digits.  Fewer digits behind a slash may replace the last digits of the
# preceding number.
_SLASHED_AREA: Final = re.compile(r"0[1-9](?:/|[0-9]{1,4}\s?/\s?)[1-9](?:[ -]?[0-9]){4}")
# Words between two numbers, such as "and"; the first number may be internal.
_AND: Final = re.compile(r"[^\w,;]*(?:und|oder|and|or|et|ou|[eyoiu])[^\w,;]*", re.IGNORECASE)
# A punctuation mark or "Fax", and then a hyphen, as in "030 55501-0, -12".  In the example, "12" replaces the "0" of
# the preceding number.
_HYPHEN: Final = re.compile(r"[\s),;/(]*(?:[,;/(]|fax[\s.:]*|und|u\.)\s*-\s?", re.IGNORECASE)
# Characters and words in front of digits that replace the last digits of the preceding number ("030 5550171, 72").
_LISTING: Final = re.compile(r"\s?(?:[,;]\s|&|und|u\.|and|et|y|e)\s?", re.IGNORECASE)
# The digits behind a hyphen at the end of a number.  The next number of the field may replace these digits.
_ENDING: Final = re.compile(r"-\s?([0-9]+)")
# Two patterns for item numbers ("1.", "1)"): in front of the first number of a list, and in front of any number of the
# list.
_FIRST_OF_LIST: Final = re.compile(r"(?:1[.):]|\(1\)|#1)\s.*\s(?:2[.):]|\(2\)|#2)\s", re.DOTALL)
_OF_LIST: Final = re.compile(r"(?:^|\s)(?:[1-9][.):]|\([1-9]\)|#[1-9])\s")
# A code that forwards calls to a number (3GPP TS 22.030).
_FORWARDING: Final = re.compile(r"[*#]{1,2}\d{2,3}\*(\d+)#")
# A character by which a smartphone may mean a pause in dialling.
_PAUSE: Final = re.compile("[,;]")

# The minimum numbers of digits of an internal number and of a complete number; and the maximum number of digits of an
# ending.  An *ending* behind a slash replaces the last digits of the preceding number.  More digits behind a slash are
# a number of the same area.
_SHORTEST_INTERNAL: Final = 2
_SHORTEST_COMPLETE: Final = 5
_LONGEST_ENDING: Final = 4
# The maximum number of digits that are a mere group between two slashes; more digits are a number of their own.
_LONGEST_GROUP: Final = 3
# In Austria, digits behind a slash are an extension that is dialled with the number ("01/58801/12").
_SLASHED_EXTENSIONS: Final = ("+43",)


def read(text: str, region: str, canonical: str = "") -> tuple[Number, ...]:
    """Read the numbers of a field, in their order.

    :param text: the field; line breaks separate numbers.
    :param region: ISO 3166-1 code of the country of numbers without a country code, such as ``DE``.
    :param canonical: Google's ``canonicalForm`` of the field.  Google assumes that the number belongs to the country of
        the user's account.  The form shows the account's country, but may be a wrong number.
    :returns: numbers that can be dialled; empty if the field has no such number, as in a SIP address.
    """
    text = split_field(text).numbers
    witness = Witness.of(canonical, text, region)
    values = text.split(_IMPORT_SEPARATOR)[:_MOST_NUMBERS]
    found = [number for value in values for number in _read_value(value, region, witness)]
    numbers = [number for number in found if number.e164 or _is_short_enough(number)]
    return tuple([with_rule(number, Rule.SEVERAL) for number in numbers] if len(numbers) > 1 else numbers)


def _read_value(text: str, region: str, witness: Witness) -> list[Number]:
    """Read the numbers of a value twice, with and without possible remarks, and return the likelier numbers."""
    text = "\n".join(filter(None, map(dial_string.clean, text.splitlines())))
    text = _OF_LIST.sub("\n", text).strip() if _FIRST_OF_LIST.match(text) else text
    as_stored = _Field(text, region, witness)
    rest = "\n".join(map(without_remarks, text.split("\n")))
    if rest == text:
        return as_stored.numbers()
    found = _Field(rest, region, witness).numbers()
    if _has_lost_digits(found, as_stored.numbers()):
        return as_stored.numbers()
    return [with_rule(number, Rule.REMARK) for number in found]


def _has_lost_digits(found: Sequence[Number], as_stored: Sequence[Number]) -> bool:
    """Return True if removing remarks from a text has removed digits that belong to a number.

    :param found: the numbers of the text without remarks.
    :param as_stored: the numbers of the whole text.
    """
    if not any(map(is_valid, found)):
        return not found or any(map(is_valid, as_stored))
    if len(as_stored) != 1 or as_stored[0].extension or not is_valid(as_stored[0]) or is_guessed(as_stored[0]):
        return False
    # In a country whose numbers have several lengths, digits of a remark may look like the last digits of a number.
    e164 = as_stored[0].e164
    return not numbering_plan.has_direct_dialling(e164) and e164 not in [number.e164 for number in found]


def is_understood(number: Number) -> bool:
    """Return True for a number that has a country, or may be internal, local or short, or a code such as ``*100#``.

    All other numbers are dialled without changes, and perhaps no network connects these numbers.
    """
    if number.e164 or number.others:
        return True
    return not phone_number.typed_digits(number).startswith(("+", "00")) and len(number.digits) < SHORTEST_ABROAD


def _is_short_enough(number: Number) -> bool:
    """Return True if a number has at most `MOST_DIGITS` digits; the digits of a service code do not count."""
    inside = _FORWARDING.fullmatch(number.digits)
    return sum(map(str.isdigit, inside[1] if inside else number.digits)) <= MOST_DIGITS


# --- Several numbers --------------------------------------------------------------------------------------------------


class _Place(NamedTuple):
    """A place in a field where a number may end, and the next number begin.

    :ivar end: the position at which the first number ends.
    :ivar start: the position at which the next number begins.
    :ivar gap: the text between the digits of the numbers.
    :ivar digits: the number of digits in front of the place in the field.
    """

    end: int
    start: int
    gap: str
    digits: int


# A function that decides what a part of a field means, and returns a number, or None if the part is not accepted.  The
# first parameter is the number that the part alone gives.  The second parameter is the number of the preceding part, or
# None for the first part.  The last parameters are the gaps in front of the part and behind the part, which are empty
# at the ends of the field.
_Accept = Callable[[Number, Number | None, str, str], Number | None]

# The result of an `_Accept` function for digits that belong to a remark, such as "24h:", in front of a number.
_REMARK: Final = Number("", "", "", "")


class _Field:
    """The text of a field; the class splits the text into numbers.

    Mutable: the numbers that were read from parts of the text.
    """

    def __init__(self, text: str, region: str, witness: Witness) -> None:
        self._text = text
        self._region = region
        self._witness = witness
        self._read: dict[tuple[int, int], Number | None] = {}

    def numbers(self) -> list[Number]:
        """Return the numbers that can be dialled.

        The text is read in several ways, in this order, until one way gives numbers:

        * as a list in which a number has groups between slashes;
        * as several complete numbers; if the whole text is an assigned number, each part has to be an assigned number
          too;
        * as one complete number;
        * as several assigned numbers, even if only blanks separate these numbers;
        * as several numbers, some of which are local or internal;
        * as several assigned numbers, some of which share the beginning of the preceding number;
        * as several complete numbers, without the parts that have too many digits to dial;
        * as the number at the beginning of the text.
        """
        if dial_string.plain(self._text) is not None and not _SIGN.search(self._text):
            # Most fields hold a single number, which consists of digits and punctuation.
            whole = self._number(0, len(self._text))
            if whole is not None and _is_complete(whole):
                return [whole]
        if found := self._slashed():
            return found
        places = list(_places(self._text))
        separating = [place for place in places if _separates(place.gap) or self._begins_again(place)][:_MOST_NUMBERS]
        behind_number = [place for place in separating if place.digits >= _SHORTEST_COMPLETE]
        found = self._split(behind_number, _complete, self._sharing_beginning)
        whole = self._number(0, len(self._text))
        if found and (all(map(is_valid, found)) or whole is None or not is_valid(whole)):
            return found
        if whole is not None and _is_complete(whole):
            return [whole]
        if found := self._split(places[:_MOST_PLACES], _assigned):
            return found
        if found := self._split(separating, _complete, self._sharing_beginning, _local):
            return [number for number in found if number is not _REMARK]
        if found := self._split(places[:_MOST_PLACES], _assigned, self._sharing_beginning):
            return found
        if whole is None:
            return []
        is_too_long = len(whole.digits) > MOST_DIGITS and len(places) <= _MOST_PLACES
        if is_too_long and (found := self._split(places, _complete, _too_long)):
            return found
        return [self._beginning(whole, places)]

    def _slashed(self) -> list[Number]:
        """Return the numbers of a list in which a number has groups between slashes ("030/555/0171; 0171/555/0171").

        :returns: the numbers; empty if the text is no list, or if a part of the list is no assigned number.
        """
        is_slashed = _SLASHED_GROUPS.search(self._text) is not None
        parts = [part.strip() for part in _LIST_SIGN.split(self._text) if part.strip()] if is_slashed else []
        if not 1 < len(parts) <= _MOST_NUMBERS:
            return []
        found = [_Field(part, self._region, self._witness).numbers() for part in parts]
        is_list = all(numbers and all(map(is_valid, numbers)) for numbers in found)
        return [number for numbers in found for number in numbers] if is_list else []

    def _beginning(self, whole: Number, places: Sequence[_Place]) -> Number:
        """Return the number at the beginning of a text that cannot be read as one number.

        The number has to lie in an assigned range.  Up to `LONGEST_EXTENSION` digits behind the number are its
        extension.  More than `LONGEST_EXTENSION` digits are left out.

        :param whole: the number that consists of all digits of the text.  The function returns `whole` if the text does
            not begin with a number.
        """
        for place in places[-_MOST_PLACES:]:
            number = self._number(0, place.end)
            if number is not None and is_valid(number):
                behind = "".join(filter(str.isdigit, self._text[place.start :]))
                extension = behind if len(behind) <= LONGEST_EXTENSION else ""
                rules = dict.fromkeys((*number.rules, Rule.AFTERWARDS))
                return replace(number, typed=whole.typed, extension=extension, rules=tuple(rules))
        return whole

    def _split(self, places: Sequence[_Place], *accepts: _Accept) -> list[Number]:
        """Split the field into two or more numbers at some of the places.

        :param accepts: functions that accept numbers.  At least one of the functions has to accept each number.
        :returns: the numbers; empty if the field cannot be split.
        """
        if not places:
            return []
        ends = [*places, _Place(len(self._text), len(self._text), "", 0)]
        found = self._numbers_from(_Place(0, 0, "", 0), None, ends, accepts, set())
        return found if len(found) > 1 else []

    def _numbers_from(
        self,
        place: _Place,
        before: Number | None,
        ends: list[_Place],
        accepts: tuple[_Accept, ...],
        failed: set[tuple[int, str]],
    ) -> list[Number]:
        """Split the text from a place to its end into numbers.

        :param failed: the places from which the text could not be split, each with the number in front of the place.
        :returns: the numbers; empty if the text cannot be split into accepted numbers.
        """
        key = place.start, before.e164 if before else ""
        if key in failed:
            return []
        for at, end in enumerate(ends):
            own = self._number(place.start, end.end)
            if own is None:
                continue
            number = next((found for accept in accepts if (found := accept(own, before, place.gap, end.gap))), None)
            if number is None:
                continue
            if at == len(ends) - 1:
                return [number]
            if not _is_pause_of(end.gap, number):
                rest = self._numbers_from(end, number, ends[at + 1 :], accepts, failed)
                if rest:
                    return [number, *rest]
        failed.add(key)
        return []

    def _begins_again(self, place: _Place) -> bool:
        """Return True if an area code and a slash follow a number ("0171/5550171 0172/5550172")."""
        has_areas = place.digits >= _SHORTEST_COMPLETE and numbering_plan.dialling(self._region).has_zero_trunk
        return has_areas and place.gap != "-" and _SLASHED_AREA.match(self._text, place.start) is not None

    def _number(self, start: int, end: int) -> Number | None:
        part = start, end
        if part not in self._read:
            self._read[part] = read_single(self._text[start:end], self._region, self._witness)
        return self._read[part]

    def _sharing_beginning(self, number: Number, before: Number | None, gap: str, behind: str) -> Number | None:
        """Complete a number by the beginning of the preceding number; return None if the result is an unlikely number.

        People write the common beginning of two numbers only once.  The digits of the number replace the last digits of
        the preceding number, or follow its area code.

        :param before: the preceding number.
        """
        digits = number.digits
        if before is None or not before.e164 or not digits.isdigit() or number.extension or before.extension:
            return None
        if dial_string.is_international(number.typed):
            return None
        if len(digits) > _LONGEST_ENDING:
            rule = Rule.SAME_AREA if digits[0] != "0" else None
        elif "-" in gap and _HYPHEN.fullmatch(gap):
            return self._with_other_ending(before, digits, gap)
        elif _SLASH.fullmatch(gap):
            if not digits.strip("0") or before.e164.startswith(_SLASHED_EXTENSIONS):
                return None
            whole = self._number(0, len(self._text))
            if whole is not None and is_valid(whole) and _is_group(before, digits):
                return None
            country = numbering_plan.country_of(before.e164[1:])
            has_trunk_prefix = country is not None and country[1].begins_with_trunk_prefix(digits)
            is_area = len(digits) > 2 and has_trunk_prefix and _SLASH.fullmatch(behind)
            rule = None if is_area else Rule.OTHER_ENDING
        elif _LISTING.fullmatch(gap) and goes_on(before, digits) and not _SLASH.fullmatch(behind):
            return self._with_other_ending(before, digits, gap)
        elif _AND.fullmatch(gap):
            rule = Rule.OTHER_ENDING if _has_ending(before, len(digits)) else None
        else:
            return None
        quality = numbering_plan.quality_of(before.e164)
        in_area = numbering_plan.in_area_of(before.e164, digits) if rule is Rule.SAME_AREA else ""
        for e164 in (in_area, before.e164[: -len(digits)] + digits):
            if rule is not None and numbering_plan.quality_of(e164) >= quality:
                return make_number(e164, TypedParts("", "", "", e164[1:]), (Reading(e164, rule),), self._region)
        return None

    def _with_other_ending(self, before: Number, digits: str, gap: str) -> Number | None:
        """Return the number that results if `digits` replace the last digits of the preceding number.

        If a hyphen precedes `digits` and the preceding number has a hyphen, all digits behind the last hyphen of the
        preceding number are replaced.  Otherwise, as many digits are replaced as there are in `digits`.

        :param before: the preceding number.
        :param gap: the text between the preceding number and `digits`.
        :returns: the number, or None if the number fits its numbering plan worse than the preceding number.
        """
        ending = _ENDING.search(before.typed, max(before.typed.rfind("-"), 0)) if "-" in gap else None
        e164 = before.e164[: -len(ending[1] if ending else digits)] + digits
        if numbering_plan.quality_of(e164) < numbering_plan.quality_of(before.e164):
            return None
        parts = TypedParts("", "", "", e164[1:])
        return make_number(f"-{digits}", parts, (Reading(e164, Rule.OTHER_ENDING),), self._region)


def _places(text: str) -> Iterator[_Place]:
    digits, position = 0, 0
    for match in _GAP.finditer(text):
        gap, start = match[0], match.start()
        digits, position = digits + start - position, match.end()
        if gap in _WITHIN:
            yield _Place(start, position, gap, digits)
            continue
        opening = len(_OPENING.search(gap)[0])  # type: ignore[index]  # the pattern matches the end of any text
        sign = _SIGN.search(gap)
        yield _Place(start + (sign.start() if sign else 0), position - opening, gap, digits)


def _separates(gap: str) -> bool:
    """Return True if the text between two groups of digits can separate numbers."""
    if gap in _WITHIN or dial_string.leads_afterwards(gap):
        return False
    return bool("+" in gap or _SIGN.search(gap) or _WORD.search(gap))


def _is_pause_of(gap: str, number: Number) -> bool:
    """Return True if `gap` is a pause: a comma or semicolon, without a blank, that follows a toll-free number."""
    return _PAUSE.fullmatch(gap) is not None and numbering_plan.is_toll_free(number.e164)


def _is_group(number: Number, digits: str) -> bool:
    """Return True if digits behind a slash are a group of one number ("0171/555/0001"), not a second number.

    In "030/5550171/72", the digits "72" are a second number (030 5550172), because the group in front of the slash is
    longer than `digits`.  The caller must have checked that the whole text is an assigned number.

    :param number: the number in front of the slash.
    """
    group = sum(map(str.isdigit, number.typed.rpartition("/")[2]))
    return Rule.OTHER_ENDING not in number.rules and group <= max(len(digits), _LONGEST_GROUP)


def _has_ending(number: Number, digits: int) -> bool:
    """Return True if the last digits of a number were written separately.

    The last digits follow a hyphen, or replace the last digits of the preceding number (`Rule.OTHER_ENDING`).

    :param digits: the number of digits that have to follow the hyphen.
    """
    ending = _ENDING.search(number.typed, max(number.typed.rfind("-"), 0))
    return Rule.OTHER_ENDING in number.rules or (ending is not None and len(ending[1]) == digits)


def _is_complete(number: Number) -> bool:
    return bool(number.e164 or number.others)


def _complete(number: Number, before: Number | None, _gap: str, _behind: str) -> Number | None:
    """Accept complete numbers.  The PIN of a conference may look like a complete number, but ends with "#"."""
    is_pin = before is not None and number.typed.endswith("#") and not number.extension
    return number if _is_complete(number) and not is_pin else None


def _local(number: Number, before: Number | None, gap: str, behind: str) -> Number | None:
    """Accept local numbers, internal numbers, and digits that belong to a remark in front of a number.

    A number counts as local if the number has at least `SHORTEST_PUBLIC` digits.  A shorter number counts as internal.
    An internal number is accepted if the number is the first number, or if the number follows an internal number and a
    comma or semicolon.
    """
    if not number.digits.isdigit() or number.typed.endswith("#"):
        return None
    if SHORTEST_PUBLIC <= len(number.digits) <= MOST_DIGITS:
        return number
    if before is None and any(map(str.isalpha, behind)) and not (_PAUSE.search(behind) or _AND.fullmatch(behind)):
        return _REMARK
    is_listed = before is None or (_PAUSE.match(gap) is not None and len(before.digits) < SHORTEST_PUBLIC)
    return number if is_listed and len(number.digits) >= _SHORTEST_INTERNAL else None


def _too_long(number: Number, _before: Number | None, _gap: str, _behind: str) -> Number | None:
    """Accept a number that is too long to dial, so that the rest of the field is read; `read` drops the number."""
    return number if len(number.digits) > MOST_DIGITS else None


def _assigned(number: Number, _before: Number | None, _gap: str, _behind: str) -> Number | None:
    """Accept only numbers in assigned ranges, because a blank may separate two numbers or be within a number."""
    return number if is_valid(number) else None
