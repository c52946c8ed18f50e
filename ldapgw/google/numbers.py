# SPDX-License-Identifier: MIT
"""Several telephone numbers in one field: as imports leave them, and as people type them who have one field alone.

A text is taken apart only where each part is a number by itself; so a slash behind an area code parts nothing.  Pure,
and bounded: no more than the first `_MOST` places are looked at where a number may end.
"""

from __future__ import annotations

import re

from ldapgw import dialstring, number
from ldapgw.number import Number
from ldapgw.numberplan import SHORTEST_PUBLIC

# Google's own CSV import puts it between all values of a kind.
_IMPORTED = ":::"
_SEPARATOR = re.compile(
    r"\s*(?:[\n|/]|[,;](?=\s)|(?<![^\W\d_])(?:or|and|oder|und|ou|et|o|e|y)(?![^\W\d_]))\s*", re.IGNORECASE
)
_MOST = 8
# An internal number has two digits or more, a public one seven.
_INTERNAL = 2
_FEWEST_DIGITS = _INTERNAL + SHORTEST_PUBLIC


def read_numbers(text: str, region: str, canonical: str = "") -> tuple[Number, ...]:
    """The telephone numbers in a field, in their order; as `number.parse` reads them.

    :param canonical: Google's ``canonicalForm``: where it is there the field holds one number.
    """
    if canonical:
        return _one(text, region, canonical)
    return tuple(found for part in text.split(_IMPORTED)[:_MOST] for found in _parted(part, region))


def _parted(text: str, region: str) -> tuple[Number, ...]:
    if sum(map(str.isdigit, text)) < _FEWEST_DIGITS:
        return _one(text, region)
    separators = [match.span() for match in _SEPARATOR.finditer(text)][:_MOST]
    # What each end of the text holds, the shortest first: a longer one needs them.
    found: dict[int, tuple[Number, ...]] = {}
    for start in reversed((0, *(end for _, end in separators))):
        behind = [(text[start:stop], found[end]) for stop, end in separators if end > start]
        found[start] = _from(text[start:], behind, region)
    return found[0]


def _from(text: str, behind: list[tuple[str, tuple[Number, ...]]], region: str) -> tuple[Number, ...]:
    """The numbers of a text.

    :param behind: each part that may be its first number, and what stands behind that.
    """
    next_best: tuple[Number, ...] = ()
    for part, others in behind:
        first = number.parse(part, region) if len(part) <= dialstring.LONGEST else None
        if first is None:
            continue
        if first.e164 and others and others[0].e164:
            return first, *others
        if not next_best:
            next_best = _next_best(first, others)
    whole = _one(text, region)
    return next_best if next_best and not (whole and whole[0].e164) else whole


def _next_best(first: Number, others: tuple[Number, ...]) -> tuple[Number, ...]:
    """Numbers of which not all have a country: what there is to take where the text as a whole cannot be one."""
    whole = tuple(other for other in others if _is_whole(other))
    if _is_whole(first) and (first.e164 or whole):
        return first, *whole
    internal = len(first.digits) >= _INTERNAL and bool(others and others[0].e164)
    return (first, *others) if internal else ()


def _is_whole(one: Number) -> bool:
    """Whether a number has as many digits as a public one."""
    return bool(one.e164) or len(one.digits) >= SHORTEST_PUBLIC


def _one(text: str, region: str, canonical: str = "") -> tuple[Number, ...]:
    found = number.parse(text, region, canonical)
    return (found,) if found else ()
