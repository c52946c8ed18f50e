# SPDX-License-Identifier: MIT
"""Switchboards: answers a caller from an extension of a company with the company's name.

Companies in countries with direct dialing store the number of their switchboard, such as "+49 7736 5559-0", and call
from their extensions, such as +497736 5559 123.  If nobody has the number of a caller, the contact whose switchboard
has the longest common beginning is the answer, with " ?" behind the company's name: anybody may call from there.

In the search text of a number, the beginning of the extensions is a form that ends in `MARK`, and a key of the index.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

from ldapgw.contact import Contact, Kind, Phone
from ldapgw.directory import normalization
from ldapgw.directory.entry import Entry, PackedAttributes, encoded_texts
from ldapgw.directory.naming_context import NamingContext
from ldapgw.directory.query_plan import ExactKey
from ldapgw.directory.schema import attribute_type
from ldapgw.directory.segment import Segment
from ldapgw.numbers import dial_string, numbering_plan, phone_number

MARK: Final = normalization.SWITCHBOARD_MARK
# Behind the company's name.
_PERHAPS: Final = " ?"

# "-0" at the end of a number is its switchboard; phones and mail programs write several hyphens.
_SWITCHBOARD: Final = re.compile("[-\u2010-\u2015\u2212] ?0$")
# Digits of an extension, and of the number in front of them, country code included.
_LONGEST_EXTENSION: Final = 6
_SHORTEST_BEGINNING: Final = 7

# Attributes that show the company's name, and those that stay; all others may be about the person of the contact.
_SHOWN: Final = ("cn", "displayName", "sn")
_KEPT: Final = ("objectClass", "uid", "o")


def beginning_of_extensions(phone: Phone, contact: Contact) -> str:
    """Return how the numbers of a company's extensions begin in E.164; empty if the number is no switchboard.

    A switchboard is a number that ends in "-0", or the main number of a company without a person's name.
    """
    number = phone.number
    if not (number.e164 and contact.organization and numbering_plan.has_direct_dialling(number.e164)):
        return ""
    if numbering_plan.is_mobile(number.e164) or numbering_plan.is_toll_free(number.e164):
        return ""
    typed = dial_string.without_remark(dial_string.clean(number.typed))
    if _SWITCHBOARD.search(typed) and number.e164.endswith("0"):
        return number.e164[:-1]
    is_main = phone.kind is Kind.MAIN and contact.name in ("", contact.organization)
    return number.e164 if is_main else ""


def find_switchboards(segments: Iterable[Segment], callers: Iterable[str], context: NamingContext) -> Segment | None:
    """Return the entries of the companies that callers may belong to; None if there is no such company.

    :param segments: the contacts that the viewer may browse.
    :param callers: the numbers that a caller look-up names.
    """
    segments = tuple(segments)
    found: dict[str, Entry] = {}
    for caller in callers:
        readings = phone_number.readings(caller, context.region, context.outside_line, context.area_code)
        for beginning in _beginnings(reading.e164 for reading in readings):
            companies = [entry for segment in segments for entry in _companies(segment, beginning)]
            if companies:
                found |= {entry.dn: _named_perhaps(entry, lenient=context.lenient) for entry in companies}
                break
    return Segment(tuple(sorted(found.values(), key=lambda entry: entry.sort_key))) if found else None


def _beginnings(numbers: Iterable[str]) -> Sequence[str]:
    """The beginnings that extensions may have, the longest first; networks also signal the beginning alone."""
    beginnings = {
        number[: len(number) - digits]
        for number in numbers
        for digits in range(_LONGEST_EXTENSION + 1)
        if len(number) - digits > _SHORTEST_BEGINNING
    }
    return sorted(beginnings, key=len, reverse=True)


def _companies(segment: Segment, beginning: str) -> Iterable[Entry]:
    """The entries of a segment that have a switchboard with a beginning."""
    form, deleted = f"\t{beginning}{MARK}\t", segment.deleted
    for document in segment.find_documents(ExactKey(beginning + MARK)):
        entry = segment.entries[document]
        if not (deleted and deleted[document]) and form in entry.text:
            yield entry


def _named_perhaps(entry: Entry, *, lenient: bool) -> Entry:
    """A copy of an entry under the company's name and `_PERHAPS`, with the numbers beside the switchboard's.

    The contact may be a person, and the caller somebody else.
    """
    company = next(value.decode() for name in ("o", "cn") for value in entry.attribute(name)) + _PERHAPS
    texts = normalization.text_search_text([company]) if lenient else ""
    packed = {
        name: (values, text)
        for name, values in entry.sets().items()
        if (kind := attribute_type(name)) is not None and name not in entry.parent.shared.unpack()
        for text in [entry.search_text(kind) or ""]
        if name in _KEPT or f"{MARK}\t" in text
    }
    packed |= {name: (encoded_texts([company]), texts) for name in _SHOWN}
    return Entry(PackedAttributes.pack(packed), entry.parent, sort_key=entry.sort_key)
