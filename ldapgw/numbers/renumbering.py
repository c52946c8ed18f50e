# SPDX-License-Identifier: MIT
"""Numbers that are written in two forms, mostly because a country has changed its numbering plan.

Address books keep the former forms of numbers, and telephone systems go on signalling either form.  The table
`_RENUMBERED` says how the former and the present form of a number begin in E.164, and which digits follow in both
forms.

In most rows of the table, the former form no longer connects, and the gateway dials the present form.  In the other
rows, both forms connect, and the gateway dials the stored form.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple


class _Row(NamedTuple):
    """A rule of renumbering.

    :ivar former: the beginning of the former form in E.164.  If neither form is older, the form without the added
        digits counts as the former form.
    :ivar present: the beginning of the present form.
    :ivar rest: a pattern of the digits that follow in both forms.
    :ivar both_connect: true if networks connect both forms, false if networks connect only the present form.
    """

    former: str
    present: str
    rest: str
    both_connect: bool = False


# Vietnam, 2018: the former and the present code of each mobile network.
_VIETNAMESE_CODES: Final = (
    *(("120", "70"), ("121", "79"), ("122", "77"), ("126", "76"), ("128", "78")),
    *(("123", "83"), ("124", "84"), ("125", "85"), ("127", "81"), ("129", "82")),
    *((f"16{digit}", f"3{digit}") for digit in range(2, 10)),
    *(("186", "56"), ("188", "58"), ("199", "59")),
)

# Côte d'Ivoire, 2021 (ARTCI, numéros à dix chiffres).  Each operator has a mobile and a fixed network.  For each
# network, the key is the digits that were put in front of the numbers, and the value holds the beginnings of the former
# numbers.
_IVORIAN_BEGINNINGS: Final = {
    "01": "01 02 03 40 41 42 43 50 51 52 53 70 71 72 73",
    "05": "04 05 06 44 45 46 54 55 56 64 65 66 74 75 76 84 85 86 94 95 96",
    "07": "07 08 09 47 48 49 57 58 59 67 68 69 77 78 79 87 88 89 97 98",
    "21": "208 218 228 238",
    "25": "200 210 220 230 240 300 310 320 330 340 350 360",
    "27": "202 203 212 213 215 217 224 225 234 235 243 244 245 306 316 319 327 337 347 359 368",
}

# United Kingdom, 2000: the former area code; and the present area code with the digits that were put in front of the
# subscriber's number.
_BRITISH_CODES: Final = (
    *(("171", "207"), ("181", "208"), ("1222", "2920"), ("1203", "2476"), ("1705", "2392"), ("1703", "2380")),
    ("1232", "2890"),
)

_RENUMBERED: Final = (
    # Mexico, 2019 (IFT): calls from abroad to a mobile number need no 1 any more.
    _Row("+521", "+52", r"[2-9]\d{9}"),
    # Argentina: callers from abroad have to dial a 9 in front of a mobile number; but no two numbers differ only by the
    # 9.
    _Row("+54", "+549", r"(?:11|[23]\d)\d{8}", both_connect=True),
    # San Marino: Italy has the area code 0549 for the numbers of San Marino (ITU-T, national numbering plan of 378).
    _Row("+3780549", "+390549", r"\d{6}", both_connect=True),
    # Brazil, 2012 to 2016 (Anatel, resolution 553): a 9 was inserted behind the area code of mobile numbers, except for
    # some numbers of trunked radio, which begin with 7.
    *(
        _Row(f"+55{area}", f"+55{area}9", rest, both_connect)
        for area in range(11, 100)
        if area % 10
        for rest, both_connect in ((r"[689]\d{7}", False), (r"7\d{7}", True))
    ),
    # Benin, 30 November 2024 (ARCEP): 01 was added in front of all numbers.
    _Row("+229", "+22901", r"[2-9]\d{7}"),
    # Vietnam, 2018 (circular 22/2014): the codes of mobile networks changed; 2017: the area code of Hanoi changed.
    *(_Row(f"+84{former}", f"+84{present}", r"\d{7}") for former, present in _VIETNAMESE_CODES),
    _Row("+844", "+8424", r"\d{8}"),
    # Colombia, 1 September 2021 (CRC, resolution 5826): 60 was added in front of the area codes of fixed lines.
    _Row("+57", "+5760", r"[1245678]\d{7}"),
    # Cameroon, 21 November 2014 (ART): a 2 was added in front of the numbers of fixed lines, and a 6 in front of mobile
    # numbers.
    _Row("+237", "+2372", r"[23]\d{7}"),
    _Row("+237", "+2376", r"[5-79]\d{7}"),
    # Chile, 2012 to 2014 (Subtel): a 2 was inserted behind the area codes of fixed lines.
    _Row("+562", "+5622", r"\d{7}"),
    *(_Row(f"+56{area}", f"+56{area}2", r"\d{6}") for area in range(32, 76)),
    # Côte d'Ivoire, 31 January 2021 (ARTCI): the operator's digits were added in front of all numbers.
    *(
        _Row(f"+225{beginning}", f"+225{operator}{beginning}", rf"\d{{{8 - len(beginning)}}}")
        for operator, beginnings in _IVORIAN_BEGINNINGS.items()
        for beginning in beginnings.split()
    ),
    # Gabon, 2019 (ARCEP): the operator's digit was added in front of all numbers; the 0 is no longer dialled from
    # abroad.
    *(
        _Row(f"+241{zero}{digit}", f"+241{operator}{digit}", r"\d{6}")
        for operator, digits in (("1", "1"), ("6", "256"), ("7", "47"))
        for digit in digits
        for zero in ("0", "")
    ),
    # Nigeria, 1 January 2024 (NCC): 20 was added in front of the area codes of fixed lines.
    _Row("+234", "+23420", r"[1-9]\d{7}"),
    # United Kingdom, 22 April 2000 (Oftel, the Big Number Change): the area codes of London, Cardiff, Coventry,
    # Portsmouth, Southampton and Belfast changed.
    *(_Row(f"+44{former}", f"+44{present}", rf"\d{{{12 - len(present) - 2}}}") for former, present in _BRITISH_CODES),
    # Morocco, 7 March 2009 (ANRT): a 5 was added in front of the numbers of fixed lines, and a 6 in front of mobile
    # numbers.
    _Row("+212", "+2125", r"[23]\d{7}"),
    _Row("+212", "+2126", r"[14-7]\d{7}"),
)


class _OtherForm(NamedTuple):
    """The present form of a number whose former form is given, or the former form if the present form is given.

    :ivar rest: a pattern of the digits that follow the beginning in both forms.
    :ivar beginning: the beginning of the other form.
    :ivar is_present: whether the other form is the present form.
    """

    rest: re.Pattern[str]
    beginning: str
    both_connect: bool
    is_present: bool


def _other_forms_by_beginning() -> dict[str, list[_OtherForm]]:
    found: dict[str, list[_OtherForm]] = {}
    for row in _RENUMBERED:
        rest = re.compile(row.rest, re.ASCII)
        found.setdefault(row.former, []).append(_OtherForm(rest, row.present, row.both_connect, is_present=True))
        found.setdefault(row.present, []).append(_OtherForm(rest, row.former, row.both_connect, is_present=False))
    return found


_BY_BEGINNING: Final = _other_forms_by_beginning()
_LENGTHS: Final = sorted({len(beginning) for beginning in _BY_BEGINNING})


def other_forms(number: str) -> tuple[str, ...]:
    """Return the other E.164 forms of a number, former and present; empty if the number has only one form.

    :param number: the number in E.164, in either form.
    """
    return tuple(dict.fromkeys(other for other, _ in _others(number)))


def present_forms(number: str) -> tuple[str, ...]:
    """Return the present forms of a number that no longer connects as written; empty if the number connects."""
    return tuple(other for other, form in _others(number) if form.is_present and not form.both_connect)


def key(number: str) -> str:
    """Return a key that is the same for the former and the present form of a number if both forms connect.

    The key of all other numbers is the number itself.
    """
    return min((number, *(other for other, form in _others(number) if form.both_connect)))


def _others(number: str) -> list[tuple[str, _OtherForm]]:
    return [
        (form.beginning + number[length:], form)
        for length in _LENGTHS
        for form in _BY_BEGINNING.get(number[:length], ())
        if form.rest.fullmatch(number, length)
    ]
