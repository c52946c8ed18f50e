# SPDX-License-Identifier: MIT
"""Decodes the pages of listings of the People API.

Child processes decode the large pages, so this module imports nothing that makes calls to Google.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import msgspec

from ldapgw.errors import BadResponse

# The maximum number of octets of a page token or sync token; Google's tokens have some hundred octets.
LARGEST_LIST_TOKEN = 16 * 1024
# The largest total number of persons that a listing may state.  PostgreSQL stores the number in a column of the type
# integer, which cannot hold a larger number.
LARGEST_TOTAL = (1 << 31) - 1
# The maximum number of digits of an integer, and the deepest nesting of arrays and objects, in a JSON text.
MOST_DIGITS, DEEPEST = 40, 40
_BRACKET_OR_STRING = re.compile(r'[\[\]{}]|"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)

T = TypeVar("T")
# The items of a page; an item may be of any JSON type.
Persons = Sequence[object]


@dataclass(frozen=True, slots=True)
class PersonPage(Generic[T]):
    """A page of a listing of persons or groups.

    :ivar content: the reader's result for the page's items.  Pages of an incremental sync include deleted persons, and
        any page may be empty.
    :ivar next_sync_token: the sync token on the last page, or empty on other pages and if Google sent no token.
    :ivar total: the number of items in the whole listing, or None if Google does not report the number.
    """

    content: T = field(repr=False)
    next_sync_token: str = field(repr=False)
    total: int | None


def is_possible(token: str) -> bool:
    return token.isascii() and token.isprintable()


def decode_page(body: bytes, key: str, total: str, reader: Callable[[Persons], T]) -> tuple[PersonPage[T], str]:
    """Decode an answer, and return the page and the token of the next page.

    Any key may be missing, because the account may have no contacts, or nothing may have changed.

    :param key: the key of the list in the answer.
    :param total: the key of the total count in the answer, or empty if answers have no total count.
    :param reader: converts the items of the page.
    :raises BadResponse: if the answer is not a page.
    """
    try:
        answer = decode_object(body)
        persons = msgspec.convert(answer.get(key, ()), list[Any])
        next_page_token = msgspec.convert(answer.get("nextPageToken", ""), str)
        next_sync_token = msgspec.convert(answer.get("nextSyncToken", ""), str)
    except (ValueError, RecursionError):
        raise BadResponse("not a page of the People API") from None
    if max(len(next_page_token), len(next_sync_token)) > LARGEST_LIST_TOKEN:
        raise BadResponse("a page token or sync token too large")
    if not is_possible(next_page_token + next_sync_token):
        raise BadResponse("a page token or sync token with impossible characters")
    count = answer.get(total)
    is_count = isinstance(count, int) and not isinstance(count, bool) and 0 <= count <= LARGEST_TOTAL
    page = PersonPage(reader(persons), "" if next_page_token else next_sync_token, count if is_count else None)
    return page, next_page_token


def decode_object(body: bytes) -> dict[str, Any]:
    """Decode a JSON object.

    msgspec rejects a whole page because of a single lone surrogate, number out of range, or value that is nested too
    deeply.  Then Python's decoder, which is slower, reads the page.

    :raises ValueError: if the octets are not a JSON object.
    """
    with suppress(ValueError, RecursionError):
        return msgspec.json.decode(body, type=dict[str, Any])
    text = body.decode("utf-8", "replace")
    try:
        decoded = _lenient_decoder.decode(text)
    except RecursionError:
        decoded = _lenient_decoder.decode(_without_deep_values(text))
    if not isinstance(decoded, dict):
        raise ValueError("not a JSON object")  # noqa: TRY004 - as for other damaged JSON
    return decoded


# Lone surrogates stay in the texts until `ldapgw.google.person_text` cleans them.  An integer with more than
# `MOST_DIGITS` digits becomes infinity: no field needs such a number, and Python's `int` converts many digits slowly or
# raises an error.
_lenient_decoder = json.JSONDecoder(
    strict=False, parse_int=lambda digits: int(digits) if len(digits) <= MOST_DIGITS else math.inf
)


def _without_deep_values(text: str) -> str:
    """Write ``null`` in place of the arrays and objects of a JSON text that are nested deeper than `DEEPEST`."""
    kept: list[str] = []
    depth = start = 0
    for match in _BRACKET_OR_STRING.finditer(text):
        if match[0] in ("[", "{"):
            depth += 1
            if depth == DEEPEST + 1:
                kept += text[start : match.start()], "null"
        elif match[0] in ("]", "}"):
            if depth == DEEPEST + 1:
                start = match.end()
            depth -= 1
    return "".join((*kept, text[start:]))
