# SPDX-License-Identifier: MIT
"""Reads a text that holds one telephone number.

First, `ldapgw.numbers.phone_number.take_apart` removes a code in front of the number, and the text that is dialled
after the connection.  Then `_readings` lists the *readings* of the remaining text: the numbers that this text may mean,
the likeliest first.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Final, NamedTuple

from ldapgw.numbers import Number, Rule, dial_string, numbering_plan, phone_number, renumbering
from ldapgw.numbers.numbering_plan import Quality
from ldapgw.numbers.phone_number import WITH_ZERO, TypedParts

# The maximum number of digits that a network connects (ITU-T E.164).
MOST_DIGITS: Final = 15

# A list of internal numbers, such as "12, 13", which must not be read as one number.  A text with a zero in front is no
# list: the zero begins an area code, and the separator belongs to the number.
_LISTED: Final = re.compile(r"[1-9][^,;|&\n]*[,;|&\n]")
# The maximum number of digits of an extension without a word such as "ext." in front; and a pattern for the extension
# at the end of a text.
LONGEST_EXTENSION: Final = 5
_LAST_GROUP: Final = re.compile(
    rf"(?:\s?(?:[-\u2013\u2014\u2026]|\.{{2,3}})\s?(?=[0-9]+$)|\s(?=[0-9]$))([0-9]{{1,{LONGEST_EXTENSION}}})$"
)
# A single digit behind a long group of digits: the "2" in "0171 5550171 2" marks a person's second number.
_NUMBERED: Final = re.compile(r"[0-9]{5} [0-9]$")
# The digits for an outside line, and the pause behind these digits, in front of a number.
_OUTSIDE_LINE: Final = re.compile(r"^[0-9]{1,2}[,;pwPW](?=[+(]?[0-9])(?=(?:[^0-9]*[0-9]){7})")
# If the field does not contain the last `_SHORTEST_WITNESS` digits of Google's ``canonicalForm``, this form belongs to
# another number.
_SHORTEST_WITNESS: Final = 6
# `_with_plus` reads digits as a number of another country only if there are at least `SHORTEST_ABROAD` digits.  If the
# country code is a group of its own ("43 1 5550171"), `_SHORTEST_GROUPED` digits are enough.
SHORTEST_ABROAD: Final = 11
_SHORTEST_GROUPED: Final = 10
# A first group with fewer digits than `_AREA_CODE` can prove that the number has a country code.  A longer first group
# may be an area code, as in "220 217 7294".
_AREA_CODE: Final = 3
# The minimum number of digits of an Italian number that has lost its first digit "0".
_SHORTEST_WITHOUT_ZERO: Final = 8

# The prefixes for calls abroad that countries use, the longest first.
_PREFIXES_ABROAD: Final = ("0011", "011", "810", "010", "00")
# Prefixes for calls within a country that do not connect any more, by country code.
_FORMER_PREFIXES: Final = {"52": ("044", "045", "01", "1"), "380": ("80", "8")}


class Reading(NamedTuple):
    """A number, in E.164, that a text may mean, and the rule that changed the number (None for no rule)."""

    e164: str
    rule: Rule | None = None


class Witness(NamedTuple):
    """Google's ``canonicalForm`` of a number, which shows the country for which a person typed the field.

    :ivar e164: the form, in E.164; empty if Google gives no such form, or if the form's last digits are not in the
        field.
    :ivar is_valid: whether the form lies in a range that is assigned.
    :ivar region: the region for which the field was typed; empty if the region is the tenant's, or unknown.
    """

    e164: str = ""
    is_valid: bool = False
    region: str = ""

    @classmethod
    def of(cls, canonical: str, text: str, region: str) -> Witness:
        """Read Google's ``canonicalForm`` of a field.

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


_NO_WITNESS: Final = Witness()


def read_single(text: str, region: str, witness: Witness) -> Number | None:
    """Read a text as one number; return None if the text contains no digit to dial."""
    typed = " ".join(text.split())[: dial_string.LONGEST]
    behind_outside_line = _OUTSIDE_LINE.sub("", typed)
    parts = phone_number.take_apart(behind_outside_line, region)
    if not any(map(str.isdigit, parts.digits)):
        return None
    number = make_number(typed, parts, _readings(parts, region, witness), region)
    if behind_outside_line != typed:
        number = with_rule(number, Rule.REMARK)
    last = _LAST_GROUP.search(parts.core)
    if last is None or parts.afterwards:
        return number
    core = parts.core[: last.start()]
    shorter = TypedParts(parts.code, core, last[0], dial_string.dialled(core))
    without_last = make_number(typed, shorter, _readings(shorter, region, witness), region)
    if not is_valid(without_last):
        return number
    if goes_on(without_last, last[1]) or (_NUMBERED.search(parts.core) and not is_guessed(number)):
        # In "030 5550171-173", the last digits are the end of a range of numbers.  In "0171 5550171 2", the last digit
        # marks a person's second number.
        rest = make_number(typed, shorter._replace(afterwards=""), _readings(shorter, region, witness), region)
        return with_rule(rest, Rule.REMARK)
    # "021-55550171-8012": the last digits are an extension, because the country has no number with so many digits.
    is_guess = is_guessed(without_last) and (is_valid(number) or len(_groups(core)) > 1)
    return number if is_guess or (is_valid(number) and not is_guessed(number)) else without_last


def goes_on(number: Number, digits: str) -> bool:
    """Return True if digits behind a number may be the end of a range of numbers, as in "030 5550171-173"."""
    end, varying = number.e164[-len(digits) :], 1 if len(digits) < 3 else 2
    return len(digits) > 1 and digits[0] != "0" and end < digits and end[:-varying] == digits[:-varying]


def is_guessed(number: Number) -> bool:
    """Return True if the country code of a number is only a guess, because the typed number has no "+" in front."""
    return Rule.PLUS in number.rules or Rule.FOREIGN_PREFIX in number.rules


def make_number(typed: str, parts: TypedParts, readings: Sequence[Reading], region: str) -> Number:
    """Make a number from its readings, the likeliest first; readings with more than `MOST_DIGITS` do not count."""
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
        # For calls from the extension, networks signal the company's number, with the extension in place of the "0" at
        # the end.
        forms.append(likeliest.removesuffix("0" if parts.core.endswith("-0") else "") + direct)
    others = tuple(form for form in dict.fromkeys(forms) if form != likeliest)
    if rule is Rule.SHORT:
        country = numbering_plan.dialling(region).country
        return Number(typed, "", "", likeliest[1 + len(country) :], extension, "", (likeliest,), tuple(rules))
    parsed = numbering_plan.canonical(likeliest)
    national = numbering_plan.dialled_within(parsed, region) if parsed else ""
    return Number(typed, likeliest, national, parts.digits, extension, parts.code, others, tuple(rules))


def _readings(parts: TypedParts, region: str, witness: Witness) -> Sequence[Reading]:
    """Return the readings of a text, the likeliest first; empty if the country of the number is unknown."""
    core, digits = parts.core, parts.digits
    if not digits.isdigit() or _LISTED.match(core):
        return ()
    dialling = numbering_plan.dialling(region)
    is_international = dial_string.is_international(core)
    if is_international and (digits[0] == "0" or (dialling.country == "7" and _groups(core)[0] == "8")):
        # In "+030 …", and in "+8 495 …" in Russia, the "+" stands in front of the trunk prefix by mistake.
        return [Reading(reading.e164, Rule.NO_PLUS) for reading in _at_home(digits, digits, region)]
    if is_international:
        groups = _groups(core)
        if len(groups) > 2 and groups[1].lstrip("0") == groups[0]:
            again = _abroad("".join(groups[1:]).lstrip("0"), region)
            if again and numbering_plan.quality_of(again[0].e164) is Quality.VALID:
                return [Reading(again[0].e164, Rule.REPEATED_CODE), *_abroad(digits, region)]
        # "+49 (0)30 …": the zero is dialled only within the country; in Italy, the zero belongs to the number.
        without_zero = dial_string.dialled(core.replace("(0)", "")) if "(0)" in core else digits
        found = _abroad(without_zero, region) if without_zero != digits else []
        if not found or numbering_plan.quality_of(found[0].e164) is not Quality.VALID or found[0].rule:
            found = _abroad(digits, region) or found
        return found or ((Reading(witness.e164),) if witness.e164 == "+" + digits else ())
    abroad = dialling.strip_international_prefix(digits)
    if abroad:
        # In some regions, a carrier's code has to follow "00".  But nobody dials a carrier's code in front of the
        # region's own country code.  So if the region's country code follows "00", the digits behind "00" are tried
        # first.
        abroad = (*([digits[2:]] if digits.startswith(f"00{dialling.country}") else []), *abroad)
        found = next((found for number in abroad if (found := _abroad(number, region))), [])
        if found or witness.e164[1:] in abroad:
            return found or (Reading(witness.e164),)
    if _groups(core)[0] == dialling.country and numbering_plan.is_short(digits[len(dialling.country) :], region):
        return (Reading("+" + digits, Rule.SHORT),)
    elsewhere = _at_home(core, digits, witness.region) if witness.region else []
    if elsewhere:
        return [Reading(elsewhere[0].e164, elsewhere[0].rule or Rule.GOOGLE), *elsewhere[1:]]
    home = _at_home(core, digits, region)
    if home and witness.is_valid and numbering_plan.quality_of(home[0].e164) is not Quality.VALID:
        return [Reading(witness.e164, Rule.GOOGLE), *home]
    return home


def _abroad(digits: str, region: str) -> list[Reading]:
    """Return the readings of digits that begin with a country code.

    :param region: the tenant's region.  Only short numbers of this region, such as service numbers, are read, because
        short numbers of other countries do not connect.
    """
    country = numbering_plan.country_of(digits)
    if country is None:
        return []
    code, plan = country
    if plan == numbering_plan.dialling(region) and numbering_plan.is_short(digits[len(code) :], region):
        return [Reading("+" + digits, Rule.SHORT)]
    parsed = numbering_plan.read(digits, "", international=True)
    if parsed is None:
        return []
    typed = numbering_plan.e164(parsed)
    quality = numbering_plan.quality(parsed)
    if quality is Quality.VALID:
        return [*_present(typed), Reading(typed)]
    subscriber = typed[1 + len(code) :]
    candidates = [*_mended(code, plan, subscriber), *_present(typed)]
    if subscriber.lstrip("0").startswith(code):
        candidates.append(Reading("+" + subscriber.lstrip("0"), Rule.REPEATED_CODE))
    found = _better(candidates, quality)
    is_read_again = numbering_plan.canonical(typed) == parsed
    return [*found, Reading(typed)] if is_read_again and (found or numbering_plan.is_possible(parsed)) else found


def _present(e164: str) -> list[Reading]:
    """Return the present forms of a number that no longer connects as written, the likeliest form first."""
    present = renumbering.present_forms(e164)
    return _better([Reading(number, Rule.RENUMBERED) for number in present], Quality.IMPOSSIBLE) if present else []


def _at_home(core: str, digits: str, region: str) -> list[Reading]:
    """Return the readings of digits that were typed as people dial them within a region."""
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
        # All digits together are no number of the region, so `phonenumbers` has read the first digits as the country
        # code.  A "+" was lost, unless the digits begin with a trunk prefix, such as the 1 in North America.
        return [Reading(typed, None if has_trunk_prefix else Rule.PLUS)]
    home = [Reading(typed)] if numbering_plan.is_in_full(parsed, digits, region) else []
    is_possible = numbering_plan.is_possible(parsed)
    if not has_trunk_prefix:
        with_plus = _with_plus(core, digits, plan, is_possible=is_possible)
    elif plan.has_zero_trunk and digits.startswith(f"0{plan.country}"):
        # "0491705551442": the prefix "00" for calls abroad has lost a zero.
        behind_zero = _with_plus(core, digits[1:], plan, is_possible=is_possible)
        with_plus = [reading for reading in behind_zero if numbering_plan.is_mobile(reading.e164)]
    else:
        with_plus = []
    may_be_meant = bool(home) or plan.country in WITH_ZERO
    if with_plus and (_is_likelier(with_plus[0].e164, core, plan) if may_be_meant else digits.startswith(plan.country)):
        return [*with_plus, *home]
    subscriber = f"+{plan.country}{plan.strip_trunk_prefix(digits)}"
    present = _present(typed) or (_present(subscriber) if subscriber != typed else [])
    # In a region with the trunk prefix "0", digits without a zero in front may be a foreign number that lost its "+".
    abroad = with_plus or (_foreign(digits) if plan.has_zero_trunk and not has_trunk_prefix else [])
    if home and quality is Quality.VALID:
        return [*present, *home, *abroad]
    candidates = [*_behind_prefix(digits), *_mended(plan.country, plan, digits), *present]
    return [*_better(candidates, quality if home else Quality.IMPOSSIBLE), *home, *abroad]


def _with_plus(core: str, digits: str, plan: numbering_plan.Dialling, *, is_possible: bool) -> list[Reading]:
    """Return the reading of digits as a number that has lost its "+"; empty if this reading is unlikely.

    :param core: the text of the number.
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
        is_meant = quality is Quality.VALID and len(digits) >= (_SHORTEST_GROUPED if is_grouped else SHORTEST_ABROAD)
    return [Reading(numbering_plan.e164(parsed), Rule.PLUS)] if is_meant else []


def _foreign(digits: str) -> list[Reading]:
    """Read ten digits as a foreign number that has lost its "+"; the number has to lie in an assigned range."""
    is_valid = len(digits) == _SHORTEST_GROUPED and numbering_plan.quality_of("+" + digits) is Quality.VALID
    return [Reading("+" + digits, Rule.PLUS)] if is_valid else []


def _is_likelier(with_plus: str, core: str, plan: numbering_plan.Dialling) -> bool:
    """Decide whether digits have lost a "+", or are a number of the region without a trunk prefix.

    The lost "+" is likelier in these cases:

    * the number with a "+" is a mobile number;
    * the first group of digits is a country code, and at least two further groups follow;
    * the first group of digits is the region's country code;
    * there is only one group of digits, and this group begins with the region's country code.

    In Germany, "4931 123456" has lost no "+": the first group is longer than the country code 49, so the group is an
    area code.

    :param with_plus: the number with a "+".
    :returns: True if the lost "+" is likelier.
    """
    if numbering_plan.is_mobile(with_plus):
        return True
    groups = _groups(core)
    country = numbering_plan.country_of(with_plus[1:])
    if country is not None and groups[0] == country[0]:
        return len(groups) > 2 or country[1] == plan
    return len(groups) == 1 and with_plus.startswith("+" + plan.country)


def _groups(core: str) -> list[str]:
    """Return the groups of digits in a text."""
    return re.findall(r"\d+", core)


def _behind_prefix(digits: str) -> Iterator[Reading]:
    """Yield the number behind another country's prefix for calls abroad."""
    for prefix in _PREFIXES_ABROAD:
        if digits.startswith(prefix):
            for reading in _abroad(digits[len(prefix) :], ""):
                if numbering_plan.quality_of(reading.e164) is Quality.VALID:
                    yield Reading(reading.e164, Rule.FOREIGN_PREFIX)


def _mended(code: str, plan: numbering_plan.Dialling, subscriber: str) -> Iterator[Reading]:
    """Correct frequent mistakes in digits that are no number of a country, and yield the corrected readings."""
    if subscriber.startswith("0") and not plan.has_zero_trunk:
        yield Reading(f"+{code}{subscriber.lstrip('0')}", Rule.TRUNK_ZERO)
    elif subscriber.startswith("0") and plan.rewrites_trunk:
        # "011 1561-1954" in Argentina: 15 is a part of the subscriber's number, and not the prefix of a mobile number.
        yield Reading(f"+{code}{subscriber[1:]}")
    for prefix in _FORMER_PREFIXES.get(code, ()):
        if subscriber.startswith(prefix):
            yield Reading(f"+{code}{subscriber[len(prefix) :]}", Rule.FORMER_PREFIX)
    if code in WITH_ZERO and subscriber[0] != "0" and len(subscriber) >= _SHORTEST_WITHOUT_ZERO:
        yield Reading(f"+{code}0{subscriber}", Rule.ZERO)


def _better(candidates: Iterable[Reading], quality: Quality) -> list[Reading]:
    """Return the candidates whose quality in their numbering plan is better than `quality`, the best first."""
    found = [(numbering_plan.quality_of(reading.e164), reading) for reading in candidates]
    found.sort(key=lambda rated: -rated[0])
    return [reading for fits, reading in found if fits > quality]


def is_valid(number: Number) -> bool:
    return bool(number.e164) and numbering_plan.quality_of(number.e164) is Quality.VALID


def with_rule(number: Number, rule: Rule) -> Number:
    return number if rule in number.rules else replace(number, rules=(rule, *number.rules))
