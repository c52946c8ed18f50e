# SPDX-License-Identifier: MIT
"""Telephone numbers: parsing as people type them, comparing, and formatting as phones dial them.

A `Number` (`ldapgw.numbers`) is parsed once, when a contact is stored.  A search parses only the requested
number, and only if an entry might contain that number.  Functions that read a requested text cut the text at
`LONGEST_TYPED`, so that a long text takes little time.

A text may be ambiguous: its *readings* are the numbers that a phone or a PBX may mean by the text.

The module `dial_string` removes the text around a number, and `numbering_plan` has the numbering plans of all
countries.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from enum import StrEnum
from functools import lru_cache
from typing import Final, NamedTuple

from ldapgw.numbers import Number, Rule, dial_string, numbering_plan, renumbering
from ldapgw.numbers.dial_string import LONGEST, LONGEST_TYPED
from ldapgw.numbers.numbering_plan import SHORTEST_PUBLIC, Quality

# If the requested beginning of a number has at least this many digits, the number may be an international number whose
# "+" is missing.
_SHORTEST_WITH_COUNTRY: Final = 10

# The minimum number of digits of a local number: a number with fewer digits is internal, even if the area code of the
# site is known.
_SHORTEST_LOCAL: Final = 5

# The size of the caches for searches: a search asks for one number in several attributes, and phones repeat searches.
_CACHED: Final = 256
# The size of the cache for pages: a page of contacts has a hundred numbers, and formatting a number takes 30 µs.
_CACHED_READABLE: Final = 4096


# The countries whose fixed lines keep a "0" behind the country code; some networks and PBXs lose this "0".
WITH_ZERO: Final = frozenset(("39", "378"))


class NumberFormat(StrEnum):
    """The format of numbers in entries: the values of the setting ``number_format``."""

    E164 = "e164"
    INTERNATIONAL = "international"
    NATIONAL = "national"
    TYPED = "typed"
    DIAL = "dial"


# The format ``typed`` shows the typed text only if all rules that were needed to read the text are in this set.
_AS_TYPED: Final = frozenset((Rule.CODE, Rule.GOOGLE))


# The index keys of a requested number: *tails*, and *exact forms*.  The tails are the last digits of the forms that the
# number may have.  Every stored number that may be the requested number has at least one of the tails (`stored_tails`).
# If the `Number.e164` or `Number.national` of a stored number equals an exact form, the stored number is certainly the
# requested number.
NumberQuery = tuple[tuple[str, ...], tuple[str, ...]]


class TypedParts(NamedTuple):
    """The parts of a text that holds one number.

    :ivar code: the service code in front of the number.
    :ivar core: the text of the number itself.
    :ivar afterwards: the text that is dialled after the connection.
    :ivar digits: `core` reduced to ``0-9*#``.
    """

    code: str
    core: str
    afterwards: str
    digits: str


def take_apart(text: str, region: str) -> TypedParts:
    """Split a cleaned text into a service code, a number, and the text that is dialled after the connection."""
    is_plain = dial_string.plain(text) is not None and not text.endswith(")")
    if is_plain and not numbering_plan.dialled_code(text, region):
        return TypedParts("", text, "", dial_string.dialled(text))
    whole = dial_string.unwrapped(text)
    core, afterwards = dial_string.split_afterwards(whole)
    for mark in dial_string.marks(core):
        if _is_public(core[:mark], region):
            core, afterwards = core[:mark], core[mark:] + afterwards
            break
    code = dial_string.code(core) or numbering_plan.dialled_code(core, region)
    if code and _is_public(core[len(code) :], region):
        code, core = code.replace(" ", ""), core[len(code) :].lstrip()
    else:
        code = ""
    if core.startswith(("*", "#")):
        # A code such as "**21*+493012345#" forwards calls.  The "+" is replaced, because phones cannot dial a "+"
        # within a code.
        core = core.replace("+", numbering_plan.dialling(region).international_prefix or "+")
    core = _spelt_out(dial_string.without_remark(core))
    digits = dial_string.dialled(core)
    if dial_string.is_spelt(core) and any(map(str.isdigit, digits)):
        digits = digits.rstrip("*#")  # a "*" or "#" behind a vanity number refers to a remark
    return TypedParts(code, core, afterwards, digits)


def _spelt_out(core: str) -> str:
    """Put a "+" in front of a text that begins with 1 and has letters, if the text is a North American number."""
    if core.startswith("1") and dial_string.is_spelt(core):
        american = numbering_plan.parse("+" + core, "")
        if american is not None and numbering_plan.is_valid(american):
            return "+" + core
    return core


def _is_public(core: str, region: str) -> bool:
    """Return whether a text is a complete number and the number's country is known."""
    digits = dial_string.dialled(core)
    if not digits.isdigit():
        return False
    if digits.startswith(f"00{numbering_plan.dialling(region).country}"):
        # In some regions, a carrier's code has to follow "00".  But nobody dials a carrier's code in front of the
        # region's own country code.  So if the region's country code follows "00", the digits behind "00" are in E.164.
        core = "+" + digits[2:]
    # People may type a colon instead of a slash ("01:00000"); libphonenumber finds no number in a text with a colon.
    parsed = numbering_plan.parse(core.replace(":", " "), region)
    return parsed is not None and is_complete(core, digits, parsed, region)


def parse(text: str, region: str) -> Number | None:
    """Parse a telephone number that is requested or signalled.

    :param text: any spelling, with ``tel:`` or ``sip:`` and an extension.
    :param region: ISO 3166-1 code of the country of numbers without a country code, such as ``DE``.
    :returns: the number, or None if the text contains no digit to dial.
    """
    typed = dial_string.clean(text)
    if not typed or len(typed) > LONGEST:
        return None
    plain = dial_string.plain(typed)
    if plain is not None:
        international, digits = plain
        core = typed
        parsed = numbering_plan.read(digits, region, international=international) if digits else None
        code = afterwards = ""
    else:
        code, core, afterwards, digits = take_apart(typed, region)
        parsed = numbering_plan.parse(core, region)
    if not any(map(str.isdigit, digits)):
        return None
    extension = dial_string.extension_of(afterwards)
    if parsed is None or not is_complete(core, digits, parsed, region):
        return Number(typed, "", "", digits, extension, code)
    e164 = numbering_plan.e164(parsed)
    national = numbering_plan.dialled_within(parsed, region)
    return Number(typed, e164, national, digits, extension, code, other_forms(e164))


def other_forms(e164: str) -> tuple[str, ...]:
    """Return the further E.164 forms in which networks may signal a number that is given in E.164."""
    forms = renumbering.other_forms(e164)
    for country in WITH_ZERO:
        if e164.startswith(f"+{country}0"):
            without_zero = f"+{country}{e164[2 + len(country) :]}"
            if numbering_plan.quality_of(without_zero) is not Quality.VALID:
                forms = (*forms, without_zero)
    return forms


def readings(text: str, region: str, outside_line: str = "", area_code: str = "") -> tuple[Number, ...]:
    """Return the numbers that a phone or a PBX may mean by a text.

    The text is read as sent, without the digits for an outside line, with a "+" in front, and with the area code of the
    site.  A text with a word in front of its digits is not a number and has no readings.

    :param outside_line: the digits for an outside line, which some PBXs leave in front of a caller's number.
    :param area_code: the area code of the site, without the trunk prefix; networks signal callers of the area without
        the area code.
    """
    return _readings(text[:LONGEST_TYPED], region, outside_line, area_code)


@lru_cache(maxsize=_CACHED)
def _readings(text: str, region: str, outside_line: str, area_code: str) -> tuple[Number, ...]:
    core = dial_string.unwrapped(dial_string.clean(text))
    plain = parse(text, region) if _is_dialled(core) else None
    if plain is None:
        return ()
    numbers: dict[Number | None, None] = {plain: None}
    if plain.code:
        # The digits "*01203000000" seem to begin with the service code "*01".  But a phone also sends these digits for
        # the stored text "*0120e000000", whose letter e is on the key 3.  This text was stored as a number without a
        # service code.  So a reading without a service code is added.
        numbers[Number("", digits=dial_string.dialled(core))] = None
    if dial_string.is_international(core):
        # Any number that is sent in E.164 counts as complete, like Google's canonical forms.
        asked = "+" + plain.digits
        if numbering_plan.is_e164(asked) and not plain.e164:
            numbers[Number(asked, asked, "", plain.digits)] = None
    else:
        dialling = numbering_plan.dialling(region)
        stripped = _without_outside_line(core, plain.digits, outside_line)
        inside = parse(stripped, region)
        if inside is not None and (
            inside.e164
            or len(inside.digits) >= dialling.shortest
            or numbering_plan.is_of_social_value(inside.digits, region)
        ):
            numbers[inside] = None
        for dialled in (number.digits for number in (plain, inside) if number):
            # If the end of the international prefix is ambiguous, `strip_international_prefix` returns a second result.
            # `parse` has read the first result already.
            numbers |= {
                parse("+" + digits, region): None for digits in dialling.strip_international_prefix(dialled)[1:]
            }
        numbers[_with_plus(plain, region)] = None
        if area_code:
            numbers |= {_full_number(number, region, area_code): None for number in (plain, inside) if number}
    if area_code:
        numbers |= {_local_number(number, region, area_code): None for number in tuple(numbers) if number}
    return tuple(number for number in numbers if number is not None)


def in_area(number: Number, region: str, area_code: str) -> Number:
    """Add the form with the area code to a stored number that is local; return any other number unchanged.

    :param area_code: the area code, without the trunk prefix.
    """
    full = _full_number(number, region, area_code)
    return number if full is None else replace(number, others=(*number.others, full.e164))


def _full_number(number: Number, region: str, area_code: str) -> Number | None:
    """Return a local number with its area code; None if the number is no local number."""
    if number.e164 or number.others or len(number.digits) < _SHORTEST_LOCAL or not number.digits.isdigit():
        return None
    text = numbering_plan.dialling(region).with_area_code(area_code, number.digits)
    full = parse(text, region) if text else None
    return full if full is not None and full.e164 else None


def _local_number(number: Number, region: str, area_code: str) -> Number | None:
    """Return a number of the area without the area code, as people there store the number; None outside the area."""
    beginning = f"+{numbering_plan.dialling(region).country}{area_code}"
    local = number.e164.removeprefix(beginning)
    return Number("", digits=local) if number.e164 != local and len(local) >= _SHORTEST_LOCAL else None


def number_query(text: str, region: str, outside_line: str = "", area_code: str = "") -> NumberQuery:
    """Return the index keys of a requested number.

    Most numbers that phones and PBXs send have a usual form, and are not parsed.
    """
    text = text[:LONGEST_TYPED]
    plain = dial_string.plain(text)
    if plain is None:
        return _tails_of_readings(text, region, outside_line, area_code), ()
    international, digits = plain
    if not digits:
        return (), ()
    if international:
        tail_known = numbering_plan.is_whole(digits) and not area_code
        exact_forms: tuple[str, ...] = ("+" + digits,)
    else:
        tail_known, exact_forms = _as_dialled(digits, region, outside_line)
        tail_known = tail_known and not area_code
    tails = (digits[-SHORTEST_PUBLIC:],) if tail_known else _tails_of_readings(text, region, outside_line, area_code)
    return tails, exact_forms


def stored_tails(number: Number) -> tuple[str, ...]:
    """Return the index keys of a number: the last seven digits of each form, or all digits of a shorter form.

    Two spellings of the same number have at least one key in common.
    """
    return tails_of(number.e164, number.digits, number.others)


def tails_of(e164: str, digits: str, others: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the index keys of a number as `stored_tails` does.

    The index of a book needs the keys of all numbers of the book.  Making a `Number` would take longer than making its
    keys.
    """
    forms = [e164[1:], digits, *[other[1:] for other in others]]
    return tuple(dict.fromkeys([form[-SHORTEST_PUBLIC:] for form in forms if form]))


def load() -> None:
    """Load the files of all numbering plans now, so that no search has to wait for the files."""
    for code in numbering_plan.load():
        readings(f"{code}234567890", "")


def is_same_number(stored: Number, query: Number) -> bool:
    """Return whether two numbers are the same telephone number.

    If the countries of both numbers are known, only E.164 forms are compared.  The country of a stored local number is
    known if the number has a form with the area code (`in_area`).  Any other number without a country is local or
    internal, and belongs to the region in which both numbers were parsed.  If one or both numbers have no country, the
    numbers are the same in these cases:

    * both numbers have equal digits, or a possible E.164 form in common (`Number.others`);
    * the longer number ends in the shorter number, which has at least seven digits;
    * a number without a country ends in the E.164 form of a number with a country.

    In the second case, a number with a country is compared in its national form.
    """
    if stored.digits == query.digits and not (stored.e164 and query.e164):
        return True
    if _forms(stored) & _forms(query):
        return True
    if query.e164 and (stored.e164 or stored.others):
        return False
    if not (stored.e164 or query.e164):
        return _share_tail(stored.digits.lstrip("0"), query.digits.lstrip("0"))
    known, local = (stored, query.digits) if stored.e164 else (query, stored.digits)
    is_behind = len(known.e164) > SHORTEST_PUBLIC and local.endswith(known.e164[1:])
    return is_behind or _shares_national_tail(known, local.lstrip("0"))


def _forms(number: Number) -> set[str]:
    return {number.e164, *number.others} - {""}


def _shares_national_tail(known: Number, local: str) -> bool:
    """Return whether a number's national form ends in the digits `local`, or the digits end in the national form.

    The result is False if the national form and the E.164 form end in different digits, as in mobile numbers of
    Argentina.
    """
    national = known.national
    return bool(national) and known.e164.endswith(national[-SHORTEST_PUBLIC:]) and _share_tail(national, local)


def matches_any_reading(stored: Number, readings: Sequence[Number]) -> bool:
    """Return whether a stored number is the same as one of the `readings` of a requested number.

    If no reading has a country, the stored number is compared with each reading.

    If at least one reading has a country, the stored number is compared with each reading that has a country.  Each
    reading without a country is then a local number.  For example, a local number remains when the digits for an
    outside line are removed.  A local number is not compared with a foreign stored number, because the last digits of
    the two numbers may be equal by chance.
    """
    with_country = [reading for reading in readings if reading.e164]
    if any(is_same_number(stored, reading) for reading in with_country or readings):
        return True
    if not with_country:
        return False
    as_sent, *others = readings
    # Local numbers of the site's area are compared digit by digit, because a number of another area may have the same
    # digits at its end.
    neighbours = {local.digits for local in others if not local.typed}
    if not stored.e164:
        # Short numbers are compared digit by digit, too.  A short number behind the digits for an outside line is
        # always a public number, such as 116117.
        short = {local.digits for local in others if len(local.digits) < SHORTEST_PUBLIC}
        return stored.digits in {as_sent.digits, *neighbours, *short}
    return bool(stored.national) and any(
        is_same_number(stored, local) for local in others if not local.e164 and local.digits not in neighbours
    )


def has_assumed_region(number: Number, region: str) -> bool:
    """Return whether the country of a number is only assumed, because there is no country code and no trunk prefix.

    :param region: the region in which the number was parsed.
    """
    core = dial_string.unwrapped(number.typed)
    plan = numbering_plan.dialling(region)
    if dial_string.is_international(core) or plan.strip_international_prefix(number.digits):
        return False
    return plan.has_zero_trunk and not number.digits.startswith("0")


def typed_digits(number: Number) -> str:
    """Return the digits of a number as typed, with the "+" if the typed number begins with a "+".

    If the number has a service code, return the code and then the E.164 form, so that `split_code` can separate the
    code and the number.
    """
    if number.code:
        return number.code + number.e164
    typed = number.typed
    has_plus = typed.startswith("+") or ("+" in typed and dial_string.is_international(dial_string.unwrapped(typed)))
    return "+" + number.digits if has_plus and Rule.SHORT not in number.rules else number.digits


def split_code(digits: str, e164: str) -> str:
    """Return the service code in a text that `typed_digits` has written; empty if the text has no code."""
    return digits.removesuffix(e164) if e164 and digits.endswith(e164) else ""


def behind_cut_prefix(digits: str, region: str) -> tuple[str, ...]:
    """Read digits that have lost one zero of the prefix "00" for calls abroad.

    :returns: the number in E.164; empty if the number lies in no assigned range.
    """
    if digits[:1] != "0" or numbering_plan.dialling(region).international_prefix != "00":
        return ()
    number = "+" + digits[1:]
    return (number,) if numbering_plan.quality_of(number) is Quality.VALID else ()


def prefix_forms(text: str, region: str, outside_line: str = "", area_code: str = "") -> tuple[str, ...]:
    """Return the beginnings of the stored numbers that the filter ``(telephoneNumber=text*)`` matches.

    The text may begin with the digits for an outside line, or with a trunk prefix that entries lack.  The international
    prefix of the region ("00") counts as "+".

    :param area_code: the area code of the site, without the trunk prefix.  A text that may be the beginning of a local
        number is also searched with the area code.  A text that begins with the area code is also searched without the
        area code.
    """
    return _prefix_forms(text[:LONGEST_TYPED], region, outside_line, area_code)


@lru_cache(maxsize=_CACHED)
def _prefix_forms(text: str, region: str, outside_line: str, area_code: str) -> tuple[str, ...]:
    core = dial_string.unwrapped(dial_string.clean(text))[:LONGEST]
    if any(map(str.isalpha, core)):
        return ()
    code = dial_string.code(core)
    behind = core[len(code) :].lstrip()
    inside = _without_outside_line(behind, dial_string.dialled(behind), outside_line) if code else ""
    if code and (_is_public(behind, region) or _is_public(inside, region)):
        core = behind
    # The zero of "+49 (0)30" is removed, because this zero is dialled only within the country.
    forms = [dial_string.dial_text(number) for number in (core, core.replace("(0)", ""))]
    forms.append(dial_string.dial_text(_without_outside_line(core, forms[0], outside_line)))
    forms += [plus for form in forms for plus in _with_country_code(form, region)]
    if area_code:
        forms += [beginning for form in forms for beginning in _at_site(form, region, area_code)]
    return tuple(dict.fromkeys(filter(None, forms)))


def _at_site(beginning: str, region: str, area_code: str) -> Iterator[str]:
    """Yield the typed beginning of a number with the site's area code added or removed.

    If a local number may begin with the typed digits, the country code and the area code are added.  If the typed
    digits have the area code, the area code and all digits in front of the area code are removed.
    """
    plan = numbering_plan.dialling(region)
    in_full = f"+{plan.country}{area_code}"
    if len(beginning) >= _SHORTEST_LOCAL and beginning.isdigit() and not plan.begins_with_trunk_prefix(beginning):
        yield in_full + beginning
    for start in (in_full, plan.national_prefix + area_code):
        local = beginning.removeprefix(start)
        if local != beginning and len(local) >= _SHORTEST_LOCAL:
            yield local


def format_number(number: Number, form: NumberFormat, region: str, outside_line: str = "") -> str:
    """Format a number for an entry, so that phones can dial it.

    :param form: the format.  In the format ``dial``, the digits for an outside line precede each number that is not
        internal, and a number of `region` is in its national form.
    """
    if form is NumberFormat.TYPED and set(number.rules) <= _AS_TYPED:
        return number.typed
    return number.code + _formatted(number, form, region, outside_line)


def _formatted(number: Number, form: NumberFormat, region: str, outside_line: str) -> str:
    if not number.e164:
        return _local(number, region, outside_line if form is NumberFormat.DIAL else "")
    if form is NumberFormat.E164:
        return number.e164
    # `national` is empty if the national form is so short that people would take the form for an internal number.
    is_home = _is_home(number, region)
    if form is NumberFormat.DIAL:
        abroad = (numbering_plan.dialling(region).international_prefix or "+") + number.e164[1:]
        return outside_line + (number.national if is_home else abroad)
    parsed = numbering_plan.canonical(number.e164)
    if parsed is None or numbering_plan.e164(parsed) != number.e164:
        return number.e164
    if form is NumberFormat.INTERNATIONAL or not is_home:
        return numbering_plan.international(parsed)
    national = numbering_plan.national(parsed)
    return national if dial_string.dialled(national) == number.national else number.national


@lru_cache(maxsize=_CACHED_READABLE)
def readable(number: str) -> str:
    """Format a number in E.164 as people read it ("+49 176 04069007"); any other text is returned unchanged."""
    parsed = numbering_plan.canonical(number) if numbering_plan.is_e164(number) else None
    if parsed is None or numbering_plan.e164(parsed) != number:
        return number
    return numbering_plan.international(parsed)


def is_complete(core: str, digits: str, parsed: numbering_plan.Parsed, region: str) -> bool:
    """Return whether a number is complete, so that its country is known.

    :param core: the number as it is written, without an extension.
    :param digits: the number reduced to ``0-9*#``.
    """
    if dial_string.is_international(core):
        return numbering_plan.is_possible(parsed)
    return numbering_plan.is_in_full(parsed, digits, region)


def _is_dialled(core: str) -> bool:
    """Return whether a text is meant as a number.

    A number has at least three digits in front of its first letter, or has digits and no letter.
    """
    first = next((index for index, char in enumerate(core) if char.isalnum()), len(core))
    letter = next((index for index in range(first, len(core)) if core[index].isalpha()), len(core))
    digits = sum(map(str.isdigit, core[first:letter]))
    return digits >= (1 if letter == len(core) else 3)


def _without_outside_line(core: str, digits: str, outside_line: str) -> str:
    """Return a number without the digits for an outside line; empty if the number does not begin with these digits."""
    before, plus, after = core.partition("+")
    if plus:
        return plus + after if outside_line and dial_string.dialled(before) == outside_line else ""
    number = core if core.startswith(outside_line) else digits
    return number.removeprefix(outside_line) if outside_line and digits.startswith(outside_line) else ""


def _with_country_code(digits: str, region: str) -> list[str]:
    """Return the beginnings of numbers in E.164 that somebody may mean by `digits`.

    The digits may begin with an international prefix, or lack a "+" or a trunk prefix.  The digits may also begin with
    a trunk prefix that national forms lack, such as 1 in North America.

    :param digits: the beginning of the searched numbers, as typed.
    """
    plan = numbering_plan.dialling(region)
    found = ["+" + number for number in plan.strip_international_prefix(digits)]
    if plan.country and digits.startswith(f"00{plan.country}"):
        found.append("+" + digits[2:])  # nobody dials a carrier's code in front of the region's own country code
    if found:
        return found
    if digits[:1].isdigit() and digits[0] != "0":
        if len(digits) >= _SHORTEST_WITH_COUNTRY:
            found.append("+" + digits)
        if plan.has_zero_trunk and len(digits) >= numbering_plan.SHORTEST_WITHOUT_TRUNK:
            found.append(f"+{plan.country}{digits}")
    if plan.omits_trunk and plan.begins_with_trunk_prefix(digits):
        rest = digits.removeprefix(plan.national_prefix)
        # With fewer digits, nearly all numbers of the country would be found.
        if len(rest) > 1 and rest[0] != "0":
            found.append(f"+{plan.country}{rest}")
    return found


def _with_plus(plain: Number, region: str) -> Number | None:
    """Read digits as a number that has lost its "+"; return None if no plan, present or former, has the number."""
    restored = "+" + plain.digits
    if len(plain.digits) <= SHORTEST_PUBLIC or plain.digits[0] not in "123456789" or plain.e164 == restored:
        return None
    parsed = [numbering_plan.parse(number, region) for number in (restored, *renumbering.other_forms(restored))]
    is_valid = any(number is not None and numbering_plan.is_valid(number) for number in parsed)
    is_valid = is_valid or any(
        numbering_plan.quality_of(f"+{country}0{plain.digits[len(country) :]}") is Quality.VALID
        for country in WITH_ZERO
        if plain.digits.startswith(country)
    )
    return parse(restored, region) if is_valid else None


def _tails_of_readings(text: str, region: str, outside_line: str, area_code: str) -> tuple[str, ...]:
    found = readings(text, region, outside_line, area_code)
    tails = [tail for reading in found for tail in stored_tails(reading)]
    return tuple(dict.fromkeys(tails))


def _as_dialled(digits: str, region: str, outside_line: str) -> tuple[bool, tuple[str, ...]]:
    """Read digits without a "+".

    :returns: a boolean, true if all readings end in the same seven digits; and the exact forms of the readings.
    """
    starts = [digits]
    if outside_line and digits.startswith(outside_line):
        starts.append(digits.removeprefix(outside_line))
    dialling = numbering_plan.dialling(region)
    tail_known = True
    exact_forms: list[str] = []
    for start in starts:
        if len(start) < SHORTEST_PUBLIC:
            tail_known = tail_known and not dialling.is_public(start)
            continue
        abroad = dialling.strip_international_prefix(start)
        if abroad:
            tail_known = tail_known and all(map(numbering_plan.is_whole, abroad))
            # A number with fewer digits than `SHORTEST_PUBLIC` is compared digit by digit (`is_same_number`), so
            # "0049302" is not "+49302".
            exact_forms += ["+" + number for number in abroad if len(number) >= SHORTEST_PUBLIC]
        else:
            tail_known = tail_known and dialling.is_whole(start)
            tail_known = tail_known and (start[0] == "0" or numbering_plan.is_whole(start))
            exact_forms.append(start)
    return tail_known, tuple(exact_forms)


def _share_tail(one: str, other: str) -> bool:
    shorter, longer = (one, other) if len(one) < len(other) else (other, one)
    return len(shorter) >= SHORTEST_PUBLIC and longer.endswith(shorter)


def _local(number: Number, region: str, outside_line: str) -> str:
    """Format a number without a country: an internal number as typed, other numbers with the outside line in front."""
    digits = typed_digits(number)
    if numbering_plan.is_of_social_value(digits, region):
        return outside_line + digits
    is_local = len(digits) >= SHORTEST_PUBLIC and digits.isdigit() and digits[0] != "0"
    return outside_line + digits if is_local and not digits.startswith(outside_line) else digits


def _is_home(number: Number, region: str) -> bool:
    """Return whether a number can be dialled in its national form within a region."""
    country = numbering_plan.dialling(region).country
    return bool(country and number.national) and number.e164.startswith("+" + country)
