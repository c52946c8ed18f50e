# SPDX-License-Identifier: MIT
"""In what two telephone numbers differ that nearly agree."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum

from ldapgw import number, numberplan
from ldapgw.number import Number
from ldapgw.numberplan import SHORTEST_PUBLIC

# As many digits at the end as are no chance: in a book of 10,000 numbers one has them by accident.
LIKE_END = 6
# A direct-dial number shares all but these with its company's.
EXTENSION = 4
LAST = 3
# An internal number has at least so many digits.
SHORTEST = 3


class Differs(IntEnum):
    """How they differ, the nearest first."""

    NOT = 0
    COUNTRY = 1
    LAST_DIGITS = 2
    ONE_DIGIT = 3
    BEGINNING = 4
    SHORT = 5


@dataclass(frozen=True, slots=True, order=True)
class Difference:
    """A difference.

    :ivar digits: how many digits it is about.
    """

    how: Differs
    digits: int = 0


def difference(stored: Number, readings: Iterable[Number]) -> Difference | None:
    """The least difference between a stored number and what an asked one may mean; None: they are quite others."""
    found = [one for one in (_between(stored, asked) for asked in readings) if one]
    return min(found, default=None)


def significant(one: Number) -> str:
    """The digits that tell a number from others."""
    return one.e164[1:] or one.digits.lstrip("0")


def _between(stored: Number, asked: Number) -> Difference | None:
    if number.same(stored, asked):
        return Difference(Differs.NOT)
    within = _within_country(stored)
    if within and within == _within_country(asked):
        return Difference(Differs.COUNTRY)
    shorter, longer = sorted((significant(stored), significant(asked)), key=len)
    if len(shorter) < SHORTEST_PUBLIC:
        fits = len(shorter) >= SHORTEST and len(longer) >= SHORTEST_PUBLIC and longer.endswith(shorter)
        return Difference(Differs.SHORT, len(shorter)) if fits else None
    return _of_long(shorter, longer)


def _within_country(one: Number) -> str:
    """The digits behind the country code; empty where that is not known."""
    digits = one.e164[1:]
    country = numberplan.country_of(digits)
    return digits[len(country[0]) :] if country else ""


def _of_long(shorter: str, longer: str) -> Difference | None:
    alike = _common(shorter, longer)
    left, over = len(shorter) - alike, len(longer) - alike
    if over <= LAST if len(shorter) == len(longer) else left <= EXTENSION // 2 and over <= EXTENSION:
        return Difference(Differs.LAST_DIGITS, over)
    if is_one_off(shorter, longer):
        return Difference(Differs.ONE_DIGIT, 1)
    end = _common(shorter[::-1], longer[::-1])
    return Difference(Differs.BEGINNING, end) if end >= LIKE_END else None


def is_one_off(first: str, second: str) -> bool:
    """Whether two texts differ by one sign: another, one too many, one too few, or two that have changed places."""
    shorter, longer = sorted((first, second), key=len)
    if len(longer) - len(shorter) > 1:
        return False
    at = _common(shorter, longer)
    if len(shorter) < len(longer):
        return shorter[at:] == longer[at + 1 :]
    swapped = shorter[at : at + 2] == longer[at : at + 2][::-1] and shorter[at + 2 :] == longer[at + 2 :]
    return swapped or shorter[at + 1 :] == longer[at + 1 :]


def _common(first: str, second: str) -> int:
    """How many signs two texts begin with together."""
    alike = (at for at, (one, other) in enumerate(zip(first, second, strict=False)) if one != other)
    return next(alike, min(len(first), len(second)))
