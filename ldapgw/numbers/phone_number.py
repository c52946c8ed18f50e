# SPDX-License-Identifier: MIT
"""Telephone numbers: read as people type them, compared as people mean them, written as phones dial them.

A `Number` is worked out once, when a contact is stored; a search reads only the one number that it was asked for, and
that only where an entry might hold it.  Everything here is linear in its input, which is cut at `LONGEST`.

Three modules share the work: `dialstring` takes off what is written around a number, `numberplan` knows the world's
numbering plans, and this one says which numbers are the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

from ldapgw.numbers import dial_string, numbering_plan
from ldapgw.numbers.dial_string import LONGEST, LONGEST_TYPED
from ldapgw.numbers.numbering_plan import SHORTEST_PUBLIC

# The beginning of a number that has lost its "+" is taken for one where nobody types on.
_SURELY_COUNTRY = 10

# A search asks for one number in several attributes, and a phone often asks again.
_REMEMBERED = 256


class NumberFormat(StrEnum):
    """How numbers are written into entries: the setting ``number_format``."""

    E164 = "e164"
    INTERNATIONAL = "international"
    NATIONAL = "national"
    TYPED = "typed"
    DIAL = "dial"


@dataclass(frozen=True, slots=True)
class Number:
    """One telephone number in the forms that it is compared by.

    :ivar typed: as the contact's owner typed it, without invisible signs and runs of blanks.
    :ivar e164: ``+`` and digits; empty where the country is not known (short, internal or local numbers).
    :ivar national: as dialled within the region that it was read in, trunk prefix included; empty for numbers abroad,
        and where the country is not known.
    :ivar digits: what was typed, reduced to ``0-9*#``, with letters turned into keypad digits.
    :ivar extension: digits behind the number proper; does not take part in comparisons.
    """

    typed: str
    e164: str = ""
    national: str = ""
    digits: str = ""
    extension: str = ""

    def __repr__(self) -> str:
        """Without the number: a log must not hold one."""
        return f"<Number {'public' if self.e164 else 'internal'}, {len(self.digits)} digits>"


class NumberQuery:
    """What can be told of an asked number without reading it; never changed once it is made.

    :ivar tails: every number that is the same as a reading of it has one of these among its `stored_tails`.
    :ivar writings: a stored number with one of these as its `Number.e164` or `Number.national` is the same.
    """

    __slots__ = ("exact_forms", "tails")

    def __init__(self, tails: tuple[str, ...] = (), writings: tuple[str, ...] = ()) -> None:
        self.tails = tails
        self.exact_forms = writings

    def __repr__(self) -> str:
        """Without the number: a log must not hold one."""
        return "<NumberQuery>"


def parse(text: str, region: str, canonical: str = "") -> Number | None:
    """Read a telephone number.

    :param text: as typed, stored or signalled: any writing, ``tel:`` and ``sip:`` around it, an extension behind it.
    :param region: ISO 3166-1 code of the country for numbers without one, such as ``DE``.
    :param canonical: Google's ``canonicalForm``, believed where it is E.164.
    :returns: None where the text holds no digit to dial.
    """
    typed = dial_string.clean(text)
    if not typed or len(typed) > LONGEST:
        return None
    plain = dial_string.plain(typed)
    core, extension, parsed = (typed, "", None) if plain else _split_extension(typed, region)
    digits = plain[1] if plain else dial_string.dialled(core)
    if not any(map(str.isdigit, digits)):
        return None
    if numbering_plan.is_e164(canonical):
        parsed = numbering_plan.canonical(canonical)
        if parsed is None:
            return Number(typed, canonical, "", digits, extension)
    else:
        parsed = numbering_plan.read(digits, region, international=plain[0]) if plain else parsed
        if parsed is None or not _is_in_full(core, digits, parsed, region):
            return Number(typed, "", "", digits, extension)
    e164 = numbering_plan.e164(parsed)
    return Number(typed, e164, numbering_plan.dialled_within(parsed, region), digits, extension)


def readings(text: str, region: str, outside_line: str = "") -> tuple[Number, ...]:
    """What a phone or a PBX may have meant by a number: as it stands, without the outside line, with its "+" back.

    A word in front of the digits makes it a text and no number: it has no readings.

    :param outside_line: digits dialled for an outside line, which some PBX leave in front of a caller's number.
    """
    return _readings(text[:LONGEST_TYPED], region, outside_line)


@lru_cache(maxsize=_REMEMBERED)
def _readings(text: str, region: str, outside_line: str) -> tuple[Number, ...]:
    core = dial_string.unwrapped(dial_string.clean(text))
    plain = parse(text, region) if _is_dialled(core) else None
    if plain is None:
        return ()
    found: dict[Number | None, None] = {plain: None}
    if dial_string.is_international(core):
        # Google's canonical forms are believed; so is one that is asked for.
        if numbering_plan.is_e164(core) and not plain.e164:
            found[Number(core, core, "", plain.digits)] = None
    else:
        dialling = numbering_plan.dialling(region)
        behind = _behind_outside_line(core, plain.digits, outside_line)
        inside = parse(behind, region)
        if inside is not None and (inside.e164 or len(inside.digits) >= dialling.shortest):
            found[inside] = None
        for dialled in (number.digits for number in (plain, inside) if number):
            # The first way to take it is the plain reading.
            found |= {parse("+" + one, region): None for one in dialling.strip_international_prefix(dialled)[1:]}
        found[_with_plus(plain, region)] = None
    return tuple(number for number in found if number is not None)


def number_query(text: str, region: str, outside_line: str = "") -> NumberQuery:
    """What can be told of an asked number: for what phones and PBX send, without reading it."""
    text = text[:LONGEST_TYPED]
    plain = dial_string.plain(text)
    if plain is None:
        return NumberQuery(_tails_of_readings(text, region, outside_line))
    international, digits = plain
    if not digits:
        return NumberQuery()
    if international:
        tail_known = numbering_plan.is_whole(digits)
        writings: tuple[str, ...] = ("+" + digits,)
    else:
        tail_known, writings = _as_dialled(digits, region, outside_line)
    tails = (digits[-SHORTEST_PUBLIC:],) if tail_known else _tails_of_readings(text, region, outside_line)
    return NumberQuery(tails, writings)


def query_tails(text: str, region: str, outside_line: str = "") -> tuple[str, ...]:
    """The ends of what was asked for: any number that is the same as a reading of it has one among its `stored_tails`.

    :returns: nothing where the text has no readings: then no number is the same.
    """
    return number_query(text, region, outside_line).tails


def stored_tails(number: Number) -> tuple[str, ...]:
    """The ends under which a number is found: the last seven digits of what it is compared by, or all of a short one.

    Two numbers that are the same share one of them.
    """
    compared = (number.e164[1:], number.digits)
    return tuple(dict.fromkeys(digits[-SHORTEST_PUBLIC:] for digits in compared if digits))


def load() -> None:
    """Read all numbering plans now: they are files, and whoever asks for a number later waits for none of them."""
    for code in numbering_plan.load():
        readings(f"{code}234567890", "")


def is_same_number(stored: Number, query: Number) -> bool:
    """Whether two numbers are the same telephone number.

    Two numbers with known countries are compared by E.164 alone.  Where a country is not known, the longer one has
    to end in the shorter one, and that has to have the seven digits of a public number; short ones match exactly.
    """
    if stored.e164 and query.e164:
        return stored.e164 == query.e164
    if stored.digits == query.digits:
        return True
    return any(_share_tail(one, other) for one in _ends(stored) for other in _ends(query))


def matches_any_reading(stored: Number, readings: Sequence[Number]) -> bool:
    """Whether a number is the same as one that an asked number may stand for.

    Where one reading has a country, another one can be a local number at most, behind the outside line: the end of a
    number abroad is not looked at.
    """
    known = [reading for reading in readings if reading.e164]
    if any(is_same_number(stored, reading) for reading in known or readings):
        return True
    if not known:
        return False
    as_it_stands, *behind = readings
    if not stored.e164:
        return stored.digits == as_it_stands.digits
    return bool(stored.national) and any(is_same_number(stored, local) for local in behind if not local.e164)


def typed_digits(number: Number) -> str:
    """The digits of a number as it was typed, behind a "+" if that stood in front."""
    typed = number.typed
    plus = typed.startswith("+") or ("+" in typed and dial_string.is_international(dial_string.unwrapped(typed)))
    return "+" + number.digits if plus else number.digits


def prefix_forms(text: str, region: str, outside_line: str = "") -> tuple[str, ...]:
    """The forms that a stored number's writing may begin with to match ``(telephoneNumber=text*)``.

    The international prefix of the region ("00") is read as "+"; the outside line in front may be left out.
    """
    return _prefix_forms(text[:LONGEST_TYPED], region, outside_line)


@lru_cache(maxsize=_REMEMBERED)
def _prefix_forms(text: str, region: str, outside_line: str) -> tuple[str, ...]:
    core = dial_string.unwrapped(dial_string.clean(text))[:LONGEST]
    if any(map(str.isalpha, core)):
        return ()
    # "+49 (0)30": the zero is dialled within the country alone.
    forms = [dial_string.dial_text(one) for one in (core, core.replace("(0)", ""))]
    forms.append(dial_string.dial_text(_behind_outside_line(core, forms[0], outside_line)))
    forms += [plus for form in forms for plus in _with_country_code(form, region)]
    return tuple(dict.fromkeys(filter(None, forms)))


def format_number(number: Number, form: NumberFormat, region: str, outside_line: str = "") -> str:
    """A number as an entry shows it and a phone dials it.

    :param form: ``dial`` is what a phone of this tenant must dial: outside line, and national within `region`.
    """
    if form is NumberFormat.TYPED:
        return number.typed
    if not number.e164:
        return _local(number, outside_line if form is NumberFormat.DIAL else "")
    if form is NumberFormat.E164:
        return number.e164
    # A number of a few digits would be taken for an internal one.
    home = _is_home(number, region)
    if form is NumberFormat.DIAL:
        abroad = (numbering_plan.dialling(region).international_prefix or "+") + number.e164[1:]
        return outside_line + (number.national if home else abroad)
    parsed = numbering_plan.canonical(number.e164)
    if parsed is None or numbering_plan.e164(parsed) != number.e164:
        return number.e164
    if form is NumberFormat.INTERNATIONAL or not home:
        return numbering_plan.international(parsed)
    national = numbering_plan.national(parsed)
    return national if dial_string.dialled(national) == number.national else number.national


def _split_extension(typed: str, region: str) -> tuple[str, str, numbering_plan.Parsed | None]:
    """The number in a text, its extension, and what it is."""
    core = dial_string.bare(dial_string.unwrapped(typed))
    parsed = numbering_plan.parse(core, region)
    if parsed is not None and parsed.extension:
        return dial_string.without_extension(core, parsed.extension), parsed.extension, parsed
    bare = dial_string.without_remark(core)
    # Spelt on the keys behind a 1 it is a North American one, wherever it is read.
    if bare.startswith("1") and dial_string.is_spelt(bare):
        american = numbering_plan.parse("+" + bare, region)
        if american is not None and numbering_plan.is_valid(american):
            return "+" + bare, "", american
    return bare, "", parsed if bare == core else numbering_plan.parse(bare, region)


def _is_in_full(core: str, digits: str, parsed: numbering_plan.Parsed, region: str) -> bool:
    """Whether the country of a number is known."""
    if dial_string.is_international(core):
        return numbering_plan.is_possible(parsed)
    return numbering_plan.is_in_full(parsed, digits, region)


def _is_dialled(core: str) -> bool:
    """Whether a text is meant as a number: no word stands before its digits, nor behind one or two of them."""
    first = next((at for at, sign in enumerate(core) if sign.isalnum()), len(core))
    letter = next((at for at in range(first, len(core)) if core[at].isalpha()), len(core))
    digits = sum(map(str.isdigit, core[first:letter]))
    return digits >= (1 if letter == len(core) else 3)


def _behind_outside_line(core: str, digits: str, outside_line: str) -> str:
    """A number without the outside line in front; empty where that does not stand there."""
    before, plus, behind = core.partition("+")
    if plus:
        return plus + behind if outside_line and dial_string.dialled(before) == outside_line else ""
    written = core if core.startswith(outside_line) else digits
    return written.removeprefix(outside_line) if outside_line and digits.startswith(outside_line) else ""


def _with_country_code(digits: str, region: str) -> list[str]:
    """A beginning that is dialled abroad, or has lost its "+", as E.164 has it."""
    abroad = numbering_plan.dialling(region).strip_international_prefix(digits)
    lost = len(digits) >= _SURELY_COUNTRY and digits[0] in "123456789"
    return ["+" + one for one in abroad or ((digits,) if lost else ())]


def _with_plus(plain: Number, region: str) -> Number | None:
    """A number whose "+" was lost on its way, if there is such a one."""
    written = "+" + plain.digits
    if len(plain.digits) <= SHORTEST_PUBLIC or plain.digits[0] not in "123456789" or plain.e164 == written:
        return None
    parsed = numbering_plan.parse(written, region)
    return parse(written, region) if parsed is not None and numbering_plan.is_valid(parsed) else None


def _tails_of_readings(text: str, region: str, outside_line: str) -> tuple[str, ...]:
    found = (tail for reading in readings(text, region, outside_line) for tail in stored_tails(reading))
    return tuple(dict.fromkeys(found))


def _as_dialled(digits: str, region: str, outside_line: str) -> tuple[bool, tuple[str, ...]]:
    """Whether digits without a "+" end in the same seven in every reading, and the writings that they stand for."""
    starts = [digits]
    if outside_line and digits.startswith(outside_line):
        starts.append(digits.removeprefix(outside_line))
    dialling = numbering_plan.dialling(region)
    tail_known = True
    writings: list[str] = []
    for start in starts:
        if len(start) < SHORTEST_PUBLIC:
            tail_known = tail_known and not dialling.is_public(start)
            continue
        abroad = dialling.strip_international_prefix(start)
        if abroad:
            tail_known = tail_known and all(map(numbering_plan.is_whole, abroad))
            writings += ["+" + one for one in abroad]
        else:
            tail_known = tail_known and dialling.is_whole(start)
            tail_known = tail_known and (start[0] == "0" or numbering_plan.is_whole(start))
            writings.append(start)
    return tail_known, tuple(writings)


def _ends(number: Number) -> tuple[str, ...]:
    """The digits in which another writing of a number ends, whatever a PBX has put in front of them."""
    if not number.e164:
        return (number.digits.lstrip("0"),)
    inside = number.national
    # Not where the numbering plan writes the same number in other digits (Argentina's mobiles).
    whole = inside and number.e164.endswith(inside[-SHORTEST_PUBLIC:])
    return (number.e164[1:], inside) if whole else (number.e164[1:],)


def _share_tail(one: str, other: str) -> bool:
    shorter, longer = (one, other) if len(one) < len(other) else (other, one)
    return len(shorter) >= SHORTEST_PUBLIC and longer.endswith(shorter)


def _local(number: Number, outside_line: str) -> str:
    """A number whose country is not known: internal as it is, local behind the outside line."""
    digits = typed_digits(number)
    local = len(digits) >= SHORTEST_PUBLIC and digits.isdigit() and digits[0] != "0"
    return outside_line + digits if local and not digits.startswith(outside_line) else digits


def _is_home(number: Number, region: str) -> bool:
    """Whether a number is dialled within a region as it was within the one that it was read in."""
    country = numbering_plan.dialling(region).country
    return bool(country and number.national) and number.e164.startswith("+" + country)
