# SPDX-License-Identifier: MIT
"""What a person wants to look up: a name, a number or a filter, and the filter that a phone sends for it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum

from ldapgw.directory.filter import And, Equality, Filter, Or, Substrings
from ldapgw.numbers import dial_string, phone_number
from ldapgw.numbers.numbering_plan import SHORTEST_PUBLIC

# The attributes of the filters that ``phones add`` prints.
_PERSON = Equality("objectClass", b"person")
_NAMES = ("cn", "sn", "o")
_NUMBERS = ("telephoneNumber", "mobile", "homePhone")

# What people write between digits; no letter, so that "extension 204" is a text.
_DIGITS = re.compile(r"[0-9\s()./+*#–-]*[0-9][0-9\s()./+*#–-]*")


class QueryKind(StrEnum):
    """How a query is meant."""

    TEXT = "text"
    NUMBER = "number"
    FILTER = "filter"


@dataclass(frozen=True, slots=True, repr=False)
class PhoneQuery:
    """A query as it is understood.

    :ivar asked: as it was typed.
    :ivar filter: what phones send for it.
    :ivar ringing: what they send when that number calls, where it is another filter.
    """

    text: str
    kind: QueryKind
    filter: Filter
    caller_filter: Filter | None = None


def parse_query(text: str, read_filter: Callable[[str], Filter]) -> PhoneQuery:
    """Understand a query; a text in parentheses is a filter (RFC 4515).

    :param read_filter: reads a filter's text, and raises UserError when it is none.
    """
    if text.strip().startswith("("):
        return PhoneQuery(text, QueryKind.FILTER, read_filter(text))
    if not is_number(text):
        return PhoneQuery(text, QueryKind.TEXT, typeahead_filter(text))
    whole = Or(_whole_number(text))
    # A telephone system signals these digits, or somebody types a number, or a name on the keys.
    if _DIGITS.fullmatch(text) and sum(map(str.isdigit, text)) < SHORTEST_PUBLIC:
        return PhoneQuery(text, QueryKind.NUMBER, typeahead_filter(text), whole)
    return PhoneQuery(text, QueryKind.NUMBER, whole)


def typeahead_filter(text: str) -> Filter:
    """What phones ask for the beginning of a name or a number; digits alone may be letters on the keys too."""
    if not is_number(text):
        return And((_PERSON, Or(_beginnings(_NAMES, text))))
    return And((_PERSON, Or((*_beginnings((*_NUMBERS, *_NAMES), text), *_whole_number(text)))))


def _beginnings(attributes: Iterable[str], text: str) -> tuple[Filter, ...]:
    return tuple(Substrings(attribute, _octets(text), (), None) for attribute in attributes)


def _whole_number(text: str) -> tuple[Filter, ...]:
    return tuple(Equality(attribute, _octets(text)) for attribute in _NUMBERS)


def _octets(text: str) -> bytes:
    """Octets that are not UTF-8 reach the search as they were typed, as a phone's would."""
    return text.encode("utf-8", "surrogateescape")


def is_number(text: str) -> bool:
    """Whether a person means a telephone number, as it is typed, or as telephone systems and letterheads write it.

    Where letters are among its digits, it has to be long: "204 Empfang" may be a name, "030 1234567 x204" is none.
    """
    return _DIGITS.fullmatch(text) is not None or _is_signalled(text)


def _is_signalled(text: str) -> bool:
    """Whether a text is what a telephone system sends, or spelt on the keys, or has an extension or a remark behind."""
    readings = phone_number.readings(text, "")
    if not readings:
        return False
    typed = dial_string.clean(text)
    core = dial_string.unwrapped(typed)
    if core != typed and _DIGITS.fullmatch(core):
        return True
    digits = sum(map(str.isdigit, typed))
    known = bool(readings[0].e164) or digits >= SHORTEST_PUBLIC or typed[0] in "0+"
    return known and len(readings[0].digits) >= SHORTEST_PUBLIC
