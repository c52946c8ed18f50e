# SPDX-License-Identifier: MIT
"""Telephone numbers: parsing, comparing and formatting them.

`Number` is a stored telephone number: its forms, and the rules by which the number was read.  Start with
`phone_number`, which says when two numbers are the same.  `dial_string` removes the text that people and phones write
around a number; `numbering_plan` is the only module that imports `phonenumbers`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Rule(StrEnum):
    """A rule by which a number is read differently from its stored text; the comment of each rule gives the reason.

    `ldapgw.numbers.stored_numbers` and `ldapgw.numbers.single_number` apply the rules.
    """

    SEVERAL = "several"  # People and imports write several numbers into one field.
    OTHER_ENDING = "other_ending"  # "030 55501-80/81": the last digits of another number follow a slash.
    SAME_AREA = "same_area"  # "030 5550171 / 5550172": the area code is written once.
    AFTERWARDS = "afterwards"  # Extensions, pauses and menus are dialled after the connection.
    REMARK = "remark"  # Times, dates, ranges and notes beside a number are not dialled.
    CODE = "code"  # A code in front of a number changes how the call is made: "*31#" hides the caller's number.
    PLUS = "plus"  # "491705551442": a lost "+" is more likely than a lost trunk prefix.
    NO_PLUS = "no_plus"  # "+030 …": a "+" in front of a trunk prefix is a mistake.
    FOREIGN_PREFIX = "foreign_prefix"  # "0049 30 …" in the USA: "00" is another country's prefix for calls abroad.
    TRUNK_ZERO = "trunk_zero"  # Poland has no trunk prefix any more: a "0" in front of a number does not connect.
    FORMER_PREFIX = "former_prefix"  # Mexico: 044, 045 and 01 in front of a number have not connected since 2019.
    ZERO = "zero"  # Italy: the "0" of a fixed line is a part of the number, also behind "+39".
    REPEATED_CODE = "repeated_code"  # "+49 0049 30 …": an import puts the country code in front of each number.
    SHORT = "short"  # "+49 116117": a short number connects only within its country, without a country code.
    RENUMBERED = "renumbered"  # The country has changed its plan (`ldapgw.numbers.renumbering`).
    GOOGLE = "google"  # The number was typed for the Google account's country, not for the tenant's.


@dataclass(frozen=True, slots=True)
class Number:
    """A telephone number in the forms that comparisons use.

    :ivar typed: the number as the owner of the contact typed it, without invisible characters and runs of blanks.
    :ivar e164: ``+`` and digits; empty if the country is unknown (short, internal or local numbers).
    :ivar national: the digits to dial within the region for which the number was parsed, with the trunk prefix; empty
        if the digits are unknown, as for a foreign number.
    :ivar digits: `typed` reduced to ``0-9*#``, with letters converted to keypad digits.
    :ivar extension: the characters ``0-9*#,`` that are dialled after the connection; comparisons ignore these
        characters.
    :ivar code: the service code to dial in front of the number, such as ``*31#``; comparisons ignore the code.
    :ivar others: the E.164 forms, besides `e164`, by which a search finds the number: less likely meanings of the
        stored text, and former and present forms of the number.
    :ivar rules: the rules by which a stored number was read.
    """

    typed: str
    e164: str = ""
    national: str = ""
    digits: str = ""
    extension: str = ""
    code: str = ""
    others: tuple[str, ...] = ()
    rules: tuple[Rule, ...] = ()

    def __repr__(self) -> str:
        """Return a description without digits: a ``repr`` may end up in a log."""
        return f"<Number {'public' if self.e164 else 'internal'}, {len(self.digits)} digits>"
