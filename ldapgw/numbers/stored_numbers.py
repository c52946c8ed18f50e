# SPDX-License-Identifier: MIT
"""Reads what people store in the field of a telephone number.

A field is a text of any form: several numbers, remarks, extensions, menus of conferences, a country code without its
"+", or a number that its country has changed since.  `read` returns the numbers of a field as networks connect them.  A
number keeps its other readings, so that callers are recognized by each of them, and the rules (`Rule`) by which it was
read, so that pages can explain what is dialled.

A `_Field` splits a text into its numbers, only between complete numbers: a slash behind an area code splits nothing.
`ldapgw.numbers.phone_number.take_apart` then removes a code in front of a number and what is dialled after the
connection, and `_readings` lists the numbers that the rest may be, the likeliest first.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Final, NamedTuple

from ldapgw.numbers import dial_string, numbering_plan, phone_number, renumbering
from ldapgw.numbers.number import Number, Rule
from ldapgw.numbers.numbering_plan import SHORTEST_PUBLIC, Quality
from ldapgw.numbers.phone_number import WITH_ZERO, TypedParts
from ldapgw.numbers.remarks import without_remarks
from ldapgw.numbers.sip_addresses import split_field

# The version of the rules.  Raise it with each change of the results: all stored fields are then read anew.
VERSION: Final = 3

# ITU-T E.164: no network connects more digits.
MOST_DIGITS: Final = 15

# Numbers of a field, and the places where a number may end, that are looked at: more are no numbers.
_MOST_NUMBERS: Final = 8
_MOST_PLACES: Final = 10

# The CSV import of Google separates the values of a kind with it.
_IMPORT_SEPARATOR: Final = ":::"

# The text between two groups of digits, and the signs at its end that belong to the digits behind it.
_GAP: Final = re.compile(r"(?<=[0-9])[^0-9]+(?=[0-9])")
_OPENING: Final = re.compile(r"[+(*#]*$")
# Most gaps stand within a number.
_WITHIN: Final = frozenset((" ", "-", ".", ") "))
# Signs that separate numbers, and words that do; other gaps, such as a blank, may also stand within a number.
_SIGN: Final = re.compile(r"[\n|/&\\\u2022\u2192>]|^#(?=\s)|(?<![,;])[,;](?![,;])|(?<=\s)[-\u2013\u2014+](?=\s)")
_WORD: Final = re.compile(
    r"[^\W\d_]{2}|[^\W\d_]\s?:|\([^\W\d_]\)|(?<![^\W\d_])[^\W\d_xwp](?![^\W\d_])|[\s(][wp][\s),;]+[+(0]$", re.IGNORECASE
)
# Between numbers of which the second one has the beginning of the first.
_SLASH: Final = re.compile(r"\s*/\s*-?\s*")
# An area code, a slash, and more digits than another ending of the number before has.
_SLASHED_AREA: Final = re.compile(r"0[1-9](?:/|[0-9]{1,4}\s?/\s?)[1-9](?:[ -]?[0-9]){4}")
# The words between numbers of which the first one may be internal.
_AND: Final = re.compile(r"[^\w,;]*(?:und|oder|and|or|et|ou|[eyoiu])[^\w,;]*", re.IGNORECASE)
# A hyphen behind a sign or "Fax": only the ending of the number before is another one ("030 55501-0, -12").
_HYPHEN: Final = re.compile(r"[\s),;/(]*(?:[,;/(]|fax[\s.:]*|und|u\.)\s*-\s?", re.IGNORECASE)
# The signs between numbers of which only the last digits are written, if these go on from the number before.
_LISTING: Final = re.compile(r"\s?(?:[,;]\s|&|und|u\.|and|et|y|e)\s?", re.IGNORECASE)
# An ending of a number behind a hyphen, with digits that another ending may repeat.
_ENDING: Final = re.compile(r"-\s?([0-9]+)")
# "1." or "1)" in front of the first number, and the digits in front of the others.
_FIRST_OF_LIST: Final = re.compile(r"(?:1[.):]|\(1\)|#1)\s.*\s(?:2[.):]|\(2\)|#2)\s", re.DOTALL)
_OF_LIST: Final = re.compile(r"(?:^|\s)(?:[1-9][.):]|\([1-9]\)|#[1-9])\s")
# A list of internal numbers, which is no number as a whole; behind an area code, the sign belongs to the number.
_LISTED: Final = re.compile(r"[1-9][^,;|&\n]*[,;|&\n]")
# A code that forwards calls to a number (3GPP TS 22.030).
_FORWARDING: Final = re.compile(r"[*#]{1,2}\d{2,3}\*(\d+)#")
# A sign that may be a pause of a smartphone.
_PAUSE: Final = re.compile("[,;]")

# Digits: an internal number has two or more, a complete one five or more; behind a slash, the end of another number has
# four or fewer, and more are a number of the same area.
_SHORTEST_INTERNAL: Final = 2
_SHORTEST_COMPLETE: Final = 5
_LONGEST_ENDING: Final = 4
# The most digits of an extension that has no sign or word in front; and such an extension behind a hyphen.
_LONGEST_EXTENSION: Final = 5
_LAST_GROUP: Final = re.compile(
    rf"(?:\s?(?:[-\u2013\u2014\u2026]|\.{{2,3}})\s?(?=[0-9]+$)|\s(?=[0-9]$))([0-9]{{1,{_LONGEST_EXTENSION}}})$"
)
# A digit alone behind a long group of digits, as people number their numbers.
_NUMBERED: Final = re.compile(r"[0-9]{5} [0-9]$")
# The digit for an outside line, and the pause behind it, in front of a number.
_OUTSIDE_LINE: Final = re.compile(r"^[0-9]{1,2}[,;pwPW](?=[+(]?[0-9])(?=(?:[^0-9]*[0-9]){7})")
# In Austria, digits behind a slash are an extension that is dialled with the number ("01/58801/12").
_SLASHED_EXTENSIONS: Final = ("+43",)
# The last digits of a number that show that Google's form is the same number.
_SHORTEST_WITNESS: Final = 6
# The fewest digits of a number of another country that has lost its "+"; fewer digits are a number of the region.  With
# a country code that stands as a group of its own, fewer digits are enough ("43 1 5550171").
_SHORTEST_ABROAD: Final = 11
_SHORTEST_GROUPED: Final = 10
# The digits of an area code where numbers are written as "220 217 7294", as country codes have them too.
_AREA_CODE: Final = 3
# The fewest digits of an Italian number without the "0" that belongs to it.
_SHORTEST_WITHOUT_ZERO: Final = 8

# The prefixes for calls abroad in countries of the world, the longest first.
_PREFIXES_ABROAD: Final = ("0011", "011", "810", "010", "00")
# Prefixes within a country that do not connect any more, by country code.
_FORMER_PREFIXES: Final = {"52": ("044", "045", "01", "1"), "380": ("80", "8")}


def read(text: str, region: str, canonical: str = "") -> tuple[Number, ...]:
    """Read the numbers of a field, in their order.

    :param text: the field; line breaks separate numbers.
    :param region: ISO 3166-1 code of the country for numbers without one, such as ``DE``.
    :param canonical: Google's ``canonicalForm`` of the field.  Google makes this form with the country of the user's
        account, so the form is a witness for that country, and not the number.
    :returns: numbers that can be dialled; empty if the field has none, such as a SIP address.
    """
    text = split_field(text).numbers
    witness = _Witness.of(canonical, text, region)
    values = text.split(_IMPORT_SEPARATOR)[:_MOST_NUMBERS]
    found = [number for value in values for number in _read_value(value, region, witness)]
    numbers = [number for number in found if number.e164 or _is_short_enough(number)]
    return tuple([_with_rule(number, Rule.SEVERAL) for number in numbers] if len(numbers) > 1 else numbers)


def _read_value(text: str, region: str, witness: _Witness) -> list[Number]:
    """Read the numbers of a value with and without what may be remarks, and return the likelier numbers."""
    text = "\n".join(filter(None, map(dial_string.clean, text.splitlines())))
    text = _OF_LIST.sub("\n", text).strip() if _FIRST_OF_LIST.match(text) else text
    as_stored = _Field(text, region, witness)
    rest = "\n".join(map(without_remarks, text.split("\n")))
    if rest == text:
        return as_stored.numbers()
    found = _Field(rest, region, witness).numbers()
    if _has_lost_digits(found, as_stored.numbers()):
        return as_stored.numbers()
    return [_with_rule(number, Rule.REMARK) for number in found]


def _has_lost_digits(found: Sequence[Number], as_stored: Sequence[Number]) -> bool:
    """Return True if digits of a number, and not of a remark, were taken from a text.

    :param found: the numbers of the text without remarks.
    :param as_stored: the numbers of the whole text.
    """
    if not any(map(_is_valid, found)):
        return not found or any(map(_is_valid, as_stored))
    if len(as_stored) != 1 or as_stored[0].extension or not _is_valid(as_stored[0]) or _is_guessed(as_stored[0]):
        return False
    # Where numbers have several lengths, a remark may look like the end of a number.
    e164 = as_stored[0].e164
    return not numbering_plan.has_direct_dialling(e164) and e164 not in [number.e164 for number in found]


def is_understood(number: Number) -> bool:
    """Return True for a number that has a country, or may be internal, local or short, or a code such as ``*100#``.

    All other numbers are given to dial as they are stored, and no network may connect them.
    """
    if number.e164 or number.others:
        return True
    return not phone_number.typed_digits(number).startswith(("+", "00")) and len(number.digits) < _SHORTEST_ABROAD


def _is_short_enough(number: Number) -> bool:
    """Return True if a network connects so many digits; the digits of a code around the number do not count."""
    inside = _FORWARDING.fullmatch(number.digits)
    return sum(map(str.isdigit, inside[1] if inside else number.digits)) <= MOST_DIGITS


# --- Several numbers --------------------------------------------------------------------------------------------------


class _Place(NamedTuple):
    """A place in a field where a number may end, and the next number begin.

    :ivar end: where the first number ends.
    :ivar start: where the next number begins.
    :ivar gap: the text between the digits of the numbers.
    :ivar digits: the digits in front of it in the field.
    """

    end: int
    start: int
    gap: str
    digits: int


# Returns the number that a part of a split stands for; None if the part is not accepted as a number.  The parameters
# are the part's own number, the number before it (None at the beginning), and the gaps before and behind the part's own
# number; the gap behind the last number is empty.
_Accept = Callable[[Number, Number | None, str, str], Number | None]

# Stands for digits of a remark in front of a number, such as "24h:".
_REMARK: Final = Number("", "", "", "")


class _Field:
    """Splits the text of a field into its numbers.

    Mutable: it keeps the numbers that were read of parts of the text.
    """

    def __init__(self, text: str, region: str, witness: _Witness) -> None:
        self._text = text
        self._region = region
        self._witness = witness
        self._read: dict[tuple[int, int], Number | None] = {}

    def numbers(self) -> list[Number]:
        """Return the numbers that can be dialled.

        A split into complete numbers counts most; then the text as one number; then a split into assigned numbers,
        between which there may be nothing but a blank; then a split into numbers of which some are local or internal.
        Of digits that are too many for one number, what may be a number is read.
        """
        if dial_string.plain(self._text) is not None and not _SIGN.search(self._text):
            # Most fields hold one number of digits and punctuation.
            whole = self._number(0, len(self._text))
            if whole is not None and _is_complete(whole):
                return [whole]
        places = list(_places(self._text))
        separating = [place for place in places if _separates(place.gap) or self._begins_again(place)][:_MOST_NUMBERS]
        behind_number = [place for place in separating if place.digits >= _SHORTEST_COMPLETE]
        if found := self._split(behind_number, _complete, self._sharing_beginning):
            return found
        whole = self._number(0, len(self._text))
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

    def _beginning(self, whole: Number, places: Sequence[_Place]) -> Number:
        """Return the number in an assigned range at the beginning of a text that is no number as a whole.

        Few digits behind the number are its extension; no network connects more of them.

        :param whole: the text as a number, which is returned if there is no such beginning.
        """
        for place in places[-_MOST_PLACES:]:
            number = self._number(0, place.end)
            if number is not None and _is_valid(number):
                behind = "".join(filter(str.isdigit, self._text[place.start :]))
                extension = behind if len(behind) <= _LONGEST_EXTENSION else ""
                rules = dict.fromkeys((*number.rules, Rule.AFTERWARDS))
                return replace(number, typed=whole.typed, extension=extension, rules=tuple(rules))
        return whole

    def _split(self, places: Sequence[_Place], *accepts: _Accept) -> list[Number]:
        """Return the numbers between places, each accepted by one of `accepts`; empty if there are fewer than two."""
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
        """Return the numbers from a place on; empty if the text has no split into accepted numbers there.

        :param failed: the starts and the numbers before them that were tried in vain.
        """
        key = place.start, before.e164 if before else ""
        if key in failed:
            return []
        for at, end in enumerate(ends):
            own = self._number(place.start, end.end)
            accepted = (accept(own, before, place.gap, end.gap) for accept in accepts) if own is not None else ()
            number = next(filter(None, accepted), None)
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
            self._read[part] = _single(self._text[start:end], self._region, self._witness)
        return self._read[part]

    def _sharing_beginning(self, number: Number, before: Number | None, gap: str, behind: str) -> Number | None:
        """Return the number of digits that repeat the end of the number before; None: they do not."""
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
            country = numbering_plan.country_of(before.e164[1:])
            has_trunk_prefix = country is not None and country[1].begins_with_trunk_prefix(digits)
            is_area = len(digits) > 2 and has_trunk_prefix and _SLASH.fullmatch(behind)
            rule = None if is_area else Rule.OTHER_ENDING
        elif _LISTING.fullmatch(gap) and _goes_on(before, digits) and not _SLASH.fullmatch(behind):
            return self._with_other_ending(before, digits, gap)
        elif _AND.fullmatch(gap):
            rule = Rule.OTHER_ENDING if _has_ending(before, len(digits)) else None
        else:
            return None
        quality = numbering_plan.quality_of(before.e164)
        in_area = numbering_plan.in_area_of(before.e164, digits) if rule is Rule.SAME_AREA else ""
        for e164 in (in_area, before.e164[: -len(digits)] + digits):
            if rule is not None and numbering_plan.quality_of(e164) >= quality:
                return _number(e164, TypedParts("", "", "", e164[1:]), (_Reading(e164, rule),), self._region)
        return None

    def _with_other_ending(self, before: Number, digits: str, gap: str) -> Number | None:
        """Return the number with other digits behind its hyphen, or in place of its last digits."""
        ending = _ENDING.search(before.typed, max(before.typed.rfind("-"), 0)) if "-" in gap else None
        e164 = before.e164[: -len(ending[1] if ending else digits)] + digits
        if numbering_plan.quality_of(e164) < numbering_plan.quality_of(before.e164):
            return None
        parts = TypedParts("", "", "", e164[1:])
        return _number(f"-{digits}", parts, (_Reading(e164, Rule.OTHER_ENDING),), self._region)


def _places(text: str) -> Iterator[_Place]:
    digits, position = 0, 0
    for match in _GAP.finditer(text):
        gap, start = match[0], match.start()
        digits, position = digits + start - position, match.end()
        if gap in _WITHIN:
            yield _Place(start, position, gap, digits)
            continue
        opening = len(_OPENING.search(gap)[0])  # type: ignore[index]  # it matches at the end of any text
        sign = _SIGN.search(gap)
        yield _Place(start + (sign.start() if sign else 0), position - opening, gap, digits)


def _separates(gap: str) -> bool:
    """Return True if the text between two groups of digits can separate numbers."""
    if gap in _WITHIN or dial_string.leads_afterwards(gap):
        return False
    return bool("+" in gap or _SIGN.search(gap) or _WORD.search(gap))


def _is_pause_of(gap: str, number: Number) -> bool:
    """Return True if the text behind a number is a pause: a sign without a blank behind a toll-free number."""
    return _PAUSE.fullmatch(gap) is not None and numbering_plan.is_toll_free(number.e164)


def _has_ending(number: Number, digits: int) -> bool:
    """Return True if a number ends with so many digits behind a hyphen, or was itself read of such an ending."""
    ending = _ENDING.search(number.typed, max(number.typed.rfind("-"), 0))
    return Rule.OTHER_ENDING in number.rules or (ending is not None and len(ending[1]) == digits)


def _is_complete(number: Number) -> bool:
    return bool(number.e164 or number.others)


def _is_valid(number: Number) -> bool:
    return bool(number.e164) and numbering_plan.quality_of(number.e164) is Quality.VALID


def _complete(number: Number, before: Number | None, _gap: str, _behind: str) -> Number | None:
    """Accept complete numbers; the PIN of a conference may look like one, but ends with "#"."""
    is_pin = before is not None and number.typed.endswith("#") and not number.extension
    return number if _is_complete(number) and not is_pin else None


def _local(number: Number, before: Number | None, gap: str, behind: str) -> Number | None:
    """Accept numbers as long as local numbers, internal numbers in front of other numbers, and digits of a remark."""
    if not number.digits.isdigit() or number.typed.endswith("#"):
        return None
    if SHORTEST_PUBLIC <= len(number.digits) <= MOST_DIGITS:
        return number
    if before is None and any(map(str.isalpha, behind)) and not (_PAUSE.search(behind) or _AND.fullmatch(behind)):
        return _REMARK
    is_listed = before is None or (_PAUSE.match(gap) is not None and len(before.digits) < SHORTEST_PUBLIC)
    return number if is_listed and len(number.digits) >= _SHORTEST_INTERNAL else None


def _too_long(number: Number, _before: Number | None, _gap: str, _behind: str) -> Number | None:
    """Accept digits that no network connects beside numbers, which `read` leaves out."""
    return number if len(number.digits) > MOST_DIGITS else None


def _assigned(number: Number, _before: Number | None, _gap: str, _behind: str) -> Number | None:
    """Accept numbers in assigned ranges alone, as a blank between them may stand within a number too."""
    return number if _is_valid(number) else None


def _with_rule(number: Number, rule: Rule) -> Number:
    return number if rule in number.rules else replace(number, rules=(rule, *number.rules))


# --- One number -------------------------------------------------------------------------------------------------------


class _Reading(NamedTuple):
    """A number that a text may be, in E.164, and the rule by which it is that number; None: the text says so."""

    e164: str
    rule: Rule | None = None


class _Witness(NamedTuple):
    """Google's form of a number of a field.

    :ivar e164: the form; empty if there is none, or if the form is none of the field's numbers.
    :ivar is_valid: whether the form lies in a range that is assigned.
    :ivar region: the region of the account where the field was typed; empty if it is the tenant's, or unknown.
    """

    e164: str = ""
    is_valid: bool = False
    region: str = ""

    @classmethod
    def of(cls, canonical: str, text: str, region: str) -> _Witness:
        """Read a ``canonicalForm``.

        :param text: the field.
        :param region: the tenant's region.
        """
        if not numbering_plan.is_e164(canonical):
            return _NO_WITNESS
        digits = "".join(filter(str.isdecimal, dial_string.clean(text)))
        if canonical[-_SHORTEST_WITNESS:] not in digits:
            return _NO_WITNESS
        parsed = numbering_plan.canonical(canonical)
        if parsed is None or not numbering_plan.is_valid(parsed):
            return cls(canonical)
        is_home = str(parsed.country_code) == numbering_plan.dialling(region).country
        return cls(canonical, is_valid=True, region="" if is_home else numbering_plan.region_of(parsed))


_NO_WITNESS: Final = _Witness()


def _single(text: str, region: str, witness: _Witness) -> Number | None:
    """Read a text as one number; None if it contains no digit to dial."""
    typed = " ".join(text.split())[: dial_string.LONGEST]
    behind_outside_line = _OUTSIDE_LINE.sub("", typed)
    parts = phone_number.take_apart(behind_outside_line, region)
    if not any(map(str.isdigit, parts.digits)):
        return None
    number = _number(typed, parts, _readings(parts, region, witness), region)
    if behind_outside_line != typed:
        number = _with_rule(number, Rule.REMARK)
    last = _LAST_GROUP.search(parts.core)
    if last is None or parts.afterwards:
        return number
    core = parts.core[: last.start()]
    shorter = TypedParts(parts.code, core, last[0], dial_string.dialled(core))
    without_last = _number(typed, shorter, _readings(shorter, region, witness), region)
    if not _is_valid(without_last):
        return number
    if _goes_on(without_last, last[1]) or (_NUMBERED.search(parts.core) and not _is_guessed(number)):
        # "030 5550171-173" is a range of numbers, and "0171 5550171 2" the second number of somebody.
        rest = _number(typed, shorter._replace(afterwards=""), _readings(shorter, region, witness), region)
        return _with_rule(rest, Rule.REMARK)
    # "021-55550171-8012": digits that are too many for the country's numbers are an extension.
    is_guessed = _is_guessed(without_last) and (_is_valid(number) or len(_groups(core)) > 1)
    return number if is_guessed or (_is_valid(number) and not _is_guessed(number)) else without_last


def _goes_on(number: Number, digits: str) -> bool:
    """Return True if digits may be the end of a later number of the same line, as in "030 5550171-173"."""
    end, varying = number.e164[-len(digits) :], 1 if len(digits) < 3 else 2
    return len(digits) > 1 and digits[0] != "0" and end < digits and end[:-varying] == digits[:-varying]


def _is_guessed(number: Number) -> bool:
    """Return True if a country code was found that the text does not mark as such."""
    return Rule.PLUS in number.rules or Rule.FOREIGN_PREFIX in number.rules


def _number(typed: str, parts: TypedParts, readings: Sequence[_Reading], region: str) -> Number:
    """Make a number of its readings, the likeliest first; readings with more than `MOST_DIGITS` do not count."""
    readings = [reading for reading in readings if len(reading.e164) <= 1 + MOST_DIGITS]
    rules = [Rule.CODE] if parts.code else []
    rules += [Rule.AFTERWARDS] if parts.afterwards else []
    extension = dial_string.extension_of(parts.afterwards) if parts.afterwards else ""
    if not readings:
        return Number(typed, "", "", parts.digits, extension, rules=tuple(rules))
    likeliest, rule = readings[0]
    rules += [rule] if rule else []
    forms = [form for reading in readings for form in (reading.e164, *phone_number.other_forms(reading.e164))]
    direct = dial_string.direct_extension(parts.afterwards)
    if direct and numbering_plan.has_direct_dialling(likeliest):
        # The extension calls with its own number, which has no "0" of the switchboard.
        forms.append(likeliest.removesuffix("0" if parts.core.endswith("-0") else "") + direct)
    others = tuple(form for form in dict.fromkeys(forms) if form != likeliest)
    if rule is Rule.SHORT:
        country = numbering_plan.dialling(region).country
        return Number(typed, "", "", likeliest[1 + len(country) :], extension, "", (likeliest,), tuple(rules))
    parsed = numbering_plan.canonical(likeliest)
    national = numbering_plan.dialled_within(parsed, region) if parsed else ""
    return Number(typed, likeliest, national, parts.digits, extension, parts.code, others, tuple(rules))


def _readings(parts: TypedParts, region: str, witness: _Witness) -> Sequence[_Reading]:
    """Return the numbers that a text may be, the likeliest first; empty if its country is unknown."""
    core, digits = parts.core, parts.digits
    if not digits.isdigit() or _LISTED.match(core):
        return ()
    dialling = numbering_plan.dialling(region)
    is_international = dial_string.is_international(core)
    if is_international and (digits[0] == "0" or (dialling.country == "7" and _groups(core)[0] == "8")):
        # "+030 …", and "+8 495 …" in Russia: the "+" stands in front of the trunk prefix.
        return [_Reading(reading.e164, Rule.NO_PLUS) for reading in _at_home(digits, digits, region)]
    if is_international:
        groups = _groups(core)
        if len(groups) > 2 and groups[1].lstrip("0") == groups[0]:
            again = _abroad("".join(groups[1:]).lstrip("0"), region)
            if again and numbering_plan.quality_of(again[0].e164) is Quality.VALID:
                return [_Reading(again[0].e164, Rule.REPEATED_CODE), *_abroad(digits, region)]
        # "+49 (0)30 …": the zero is dialled within the country only; in Italy it belongs to the number.
        without_zero = dial_string.dialled(core.replace("(0)", "")) if "(0)" in core else digits
        found = _abroad(without_zero, region) if without_zero != digits else []
        if not found or numbering_plan.quality_of(found[0].e164) is not Quality.VALID or found[0].rule:
            found = _abroad(digits, region) or found
        return found or ((_Reading(witness.e164),) if witness.e164 == "+" + digits else ())
    abroad = dialling.strip_international_prefix(digits)
    if abroad:
        # Where a carrier is chosen behind "00", a number of the region itself has been stored without one.
        abroad = (*([digits[2:]] if digits.startswith(f"00{dialling.country}") else []), *abroad)
        found = next(filter(None, (_abroad(number, region) for number in abroad)), [])
        if found or witness.e164[1:] in abroad:
            return found or (_Reading(witness.e164),)
    if _groups(core)[0] == dialling.country and numbering_plan.is_short(digits[len(dialling.country) :], region):
        return (_Reading("+" + digits, Rule.SHORT),)
    elsewhere = _at_home(core, digits, witness.region) if witness.region else []
    if elsewhere:
        return [_Reading(elsewhere[0].e164, elsewhere[0].rule or Rule.GOOGLE), *elsewhere[1:]]
    home = _at_home(core, digits, region)
    if home and witness.is_valid and numbering_plan.quality_of(home[0].e164) is not Quality.VALID:
        return [_Reading(witness.e164, Rule.GOOGLE), *home]
    return home


def _abroad(digits: str, region: str) -> list[_Reading]:
    """Return the readings of digits that begin with a country code.

    :param region: the country in which short numbers connect.
    """
    country = numbering_plan.country_of(digits)
    if country is None:
        return []
    code, plan = country
    if plan == numbering_plan.dialling(region) and numbering_plan.is_short(digits[len(code) :], region):
        return [_Reading("+" + digits, Rule.SHORT)]
    parsed = numbering_plan.read(digits, "", international=True)
    if parsed is None:
        return []
    typed = numbering_plan.e164(parsed)
    quality = numbering_plan.quality(parsed)
    if quality is Quality.VALID:
        return [*_present(typed), _Reading(typed)]
    subscriber = typed[1 + len(code) :]
    candidates = [*_mended(code, plan, subscriber), *_present(typed)]
    if subscriber.lstrip("0").startswith(code):
        candidates.append(_Reading("+" + subscriber.lstrip("0"), Rule.REPEATED_CODE))
    found = _better(candidates, quality)
    is_read_again = numbering_plan.canonical(typed) == parsed
    return [*found, _Reading(typed)] if is_read_again and (found or numbering_plan.is_possible(parsed)) else found


def _present(e164: str) -> list[_Reading]:
    """Return what a number may be today of which the form no longer connects."""
    present = renumbering.present_forms(e164)
    return _better([_Reading(number, Rule.RENUMBERED) for number in present], Quality.IMPOSSIBLE) if present else []


def _at_home(core: str, digits: str, region: str) -> list[_Reading]:
    """Return the readings of digits that were typed as within a region."""
    plan = numbering_plan.dialling(region)
    is_plain = not dial_string.is_spelt(core)
    parsed = (
        numbering_plan.read(digits, region, international=False) if is_plain else numbering_plan.parse(core, region)
    )
    if parsed is None:
        return []
    typed, quality = numbering_plan.e164(parsed), numbering_plan.quality(parsed)
    has_trunk_prefix = digits[0] == "0" or plan.begins_with_trunk_prefix(digits)
    if typed == "+" + digits and quality > Quality.IMPOSSIBLE:
        # The digits are too many without the country code; in North America this is the trunk prefix too.
        return [_Reading(typed, None if has_trunk_prefix else Rule.PLUS)]
    home = [_Reading(typed)] if numbering_plan.is_in_full(parsed, digits, region) else []
    is_possible = numbering_plan.is_possible(parsed)
    if not has_trunk_prefix:
        with_plus = _with_plus(core, digits, plan, is_possible=is_possible)
    elif plan.has_zero_trunk and digits.startswith(f"0{plan.country}"):
        # "0491705551442": the prefix for calls abroad has lost a zero.
        behind_zero = _with_plus(core, digits[1:], plan, is_possible=is_possible)
        with_plus = [reading for reading in behind_zero if numbering_plan.is_mobile(reading.e164)]
    else:
        with_plus = []
    may_be_meant = bool(home) or plan.country in WITH_ZERO
    if with_plus and (_is_likelier(with_plus[0].e164, core, plan) if may_be_meant else digits.startswith(plan.country)):
        return [*with_plus, *home]
    subscriber = f"+{plan.country}{plan.strip_trunk_prefix(digits)}"
    present = _present(typed) or (_present(subscriber) if subscriber != typed else [])
    # A number of the region would begin with a zero, so that callers from abroad are recognized too.
    abroad = with_plus or (_foreign(digits) if plan.has_zero_trunk and not has_trunk_prefix else [])
    if home and quality is Quality.VALID:
        return [*present, *home, *abroad]
    candidates = [*_behind_prefix(digits), *_mended(plan.country, plan, digits), *present]
    return [*_better(candidates, quality if home else Quality.IMPOSSIBLE), *home, *abroad]


def _with_plus(core: str, digits: str, plan: numbering_plan.Dialling, *, is_possible: bool) -> list[_Reading]:
    """Return the number that has lost its "+", if there may be one.

    :param core: the number as it is written.
    :param is_possible: whether the digits have the length of a number of the region.
    """
    parsed = numbering_plan.parse("+" + digits, "")
    quality = numbering_plan.quality(parsed)
    if parsed is None or digits[0] == "0":
        return []
    if plan.country and digits.startswith(plan.country):
        is_meant = quality is Quality.VALID or (quality is Quality.POSSIBLE and not is_possible)
    else:
        groups = _groups(core)
        country = numbering_plan.country_of(digits)
        is_grouped = len(groups) > 2 and len(groups[0]) < _AREA_CODE and country is not None and groups[0] == country[0]
        is_meant = quality is Quality.VALID and len(digits) >= (_SHORTEST_GROUPED if is_grouped else _SHORTEST_ABROAD)
    return [_Reading(numbering_plan.e164(parsed), Rule.PLUS)] if is_meant else []


def _foreign(digits: str) -> list[_Reading]:
    """Return the number in an assigned range abroad that ten digits are behind a "+"."""
    is_valid = len(digits) == _SHORTEST_GROUPED and numbering_plan.quality_of("+" + digits) is Quality.VALID
    return [_Reading("+" + digits, Rule.PLUS)] if is_valid else []


def _is_likelier(with_plus: str, core: str, plan: numbering_plan.Dialling) -> bool:
    """Compare a number that has lost its "+" with a number of the region that has no trunk prefix.

    A mobile is likelier, and so is a number of which the first group of digits is the country code.  Without groups,
    the country code of the region is likelier than the beginning of an area code, which "4931 123456" shows to be
    meant.

    :param with_plus: the number with a "+".
    :param core: the number as it is written.
    :returns: True if the number with a "+" is likelier.
    """
    if numbering_plan.is_mobile(with_plus):
        return True
    groups = _groups(core)
    country = numbering_plan.country_of(with_plus[1:])
    if country is not None and groups[0] == country[0]:
        return len(groups) > 2 or country[1] == plan
    return len(groups) == 1 and with_plus.startswith("+" + plan.country)


def _groups(core: str) -> list[str]:
    """Return the groups of digits as they are written."""
    return re.findall(r"\d+", core)


def _behind_prefix(digits: str) -> Iterator[_Reading]:
    """Return the number behind a prefix for calls abroad that belongs to another country."""
    for prefix in _PREFIXES_ABROAD:
        if digits.startswith(prefix):
            yield from (
                _Reading(reading.e164, Rule.FOREIGN_PREFIX)
                for reading in _abroad(digits[len(prefix) :], "")
                if numbering_plan.quality_of(reading.e164) is Quality.VALID
            )


def _mended(code: str, plan: numbering_plan.Dialling, subscriber: str) -> Iterator[_Reading]:
    """Return the numbers that may be meant by digits that are no number of a country.

    :param code: the country code.
    :param subscriber: the digits behind the country code.
    """
    if subscriber.startswith("0") and not plan.has_zero_trunk:
        yield _Reading(f"+{code}{subscriber.lstrip('0')}", Rule.TRUNK_ZERO)
    elif subscriber.startswith("0") and plan.rewrites_trunk:
        # "011 1561-1954" in Argentina: the 15 is a part of the number, and not in front of a mobile.
        yield _Reading(f"+{code}{subscriber[1:]}")
    for prefix in _FORMER_PREFIXES.get(code, ()):
        if subscriber.startswith(prefix):
            yield _Reading(f"+{code}{subscriber[len(prefix) :]}", Rule.FORMER_PREFIX)
    if code in WITH_ZERO and subscriber[0] != "0" and len(subscriber) >= _SHORTEST_WITHOUT_ZERO:
        yield _Reading(f"+{code}0{subscriber}", Rule.ZERO)


def _better(candidates: Iterable[_Reading], quality: Quality) -> list[_Reading]:
    """Return the candidates that fit their numbering plan better than a quality, the best first."""
    found = [(numbering_plan.quality_of(reading.e164), reading) for reading in candidates]
    found.sort(key=lambda rated: -rated[0])
    return [reading for fits, reading in found if fits > quality]
