# SPDX-License-Identifier: MIT
"""What a person wants to look up: a name, a number or a filter, and the filter that a phone sends for it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from ldapgw import dialstring, number
from ldapgw.directory.filters import And, Equality, Filter, Or, Substrings
from ldapgw.numberplan import SHORTEST_PUBLIC

# The attributes of the filters that ``phones add`` prints.
_PERSON = Equality("objectClass", b"person")
_NAMES = ("cn", "sn", "o")
_NUMBERS = ("telephoneNumber", "mobile", "homePhone")

# What people write between digits; no letter, so that "extension 204" is a text.
_DIGITS = re.compile(r"[0-9\s()./+*#–-]*[0-9][0-9\s()./+*#–-]*")


class Kind(StrEnum):
    """How a query is meant."""

    TEXT = "text"
    NUMBER = "number"
    FILTER = "filter"


@dataclass(frozen=True, slots=True, repr=False)
class Query:
    """A query as it is understood.

    :ivar asked: as it was typed.
    :ivar filter: what phones send for it.
    """

    asked: str
    kind: Kind
    filter: Filter


def read_query(asked: str, read_filter: Callable[[str], Filter]) -> Query:
    """Understand a query; a text in parentheses is a filter (RFC 4515).

    :param read_filter: reads a filter's text, and raises UserError when it is none.
    """
    if asked.strip().startswith("("):
        return Query(asked, Kind.FILTER, read_filter(asked))
    # Octets that are not UTF-8 reach the search as they were typed, as a phone's would.
    value = asked.encode("utf-8", "surrogateescape")
    if is_number(asked):
        return Query(asked, Kind.NUMBER, Or(tuple(Equality(attribute, value) for attribute in _NUMBERS)))
    begins = Or(tuple(Substrings(attribute, value, (), None) for attribute in _NAMES))
    return Query(asked, Kind.TEXT, And((_PERSON, begins)))


def is_number(asked: str) -> bool:
    """Whether a person means a telephone number, as it is typed, or as telephone systems and letterheads write it.

    Where letters are among its digits, it has to be long: "204 Empfang" may be a name, "030 1234567 x204" is none.
    """
    return _DIGITS.fullmatch(asked) is not None or _is_signalled(asked)


def _is_signalled(asked: str) -> bool:
    """Whether a text is what a telephone system sends, or spelt on the keys, or has an extension or a remark behind."""
    readings = number.readings(asked, "")
    if not readings:
        return False
    typed = dialstring.clean(asked)
    core = dialstring.unwrapped(typed)
    if core != typed and _DIGITS.fullmatch(core):
        return True
    digits = sum(map(str.isdigit, typed))
    known = bool(readings[0].e164) or digits >= SHORTEST_PUBLIC or typed[0] in "0+"
    return known and len(readings[0].digits) >= SHORTEST_PUBLIC
