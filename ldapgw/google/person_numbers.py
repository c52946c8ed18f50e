# SPDX-License-Identifier: MIT
"""The telephone numbers of a contact, read from the fields of a person, or read anew from a stored contact.

A field can contain several numbers, or a SIP address (`ldapgw.numbers.stored_numbers`).  A contact has the text of each
field, so that a new version of the rules can read stored contacts without a request to Google.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import NamedTuple, Self

from ldapgw.contact import LONGEST_LEFT_OUT, MOST_LEFT_OUT, Contact, Kind, LeftOutNumber, LeftOutReason, Phone
from ldapgw.numbers import stored_numbers
from ldapgw.numbers.field_text import split_field

# The kind of a number by ``phoneNumbers.type``: the predefined types, and types of imports from other address books.
# Any other value is the user's own label (`_kind`).
_KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        "work": Kind.WORK,
        "main": Kind.MAIN,
        "home": Kind.HOME,
        "mobile": Kind.MOBILE,
        "workmobile": Kind.MOBILE,
        "homefax": Kind.FAX,
        "workfax": Kind.FAX,
        "otherfax": Kind.FAX,
        "fax": Kind.FAX,
        "pager": Kind.PAGER,
        "workpager": Kind.PAGER,
    }
)

# Google's types that say nothing about the kind of a number.
_TYPES_WITHOUT_KIND = ("", "other", "googlevoice")
# The maximum number of characters of a label, which a phone shows behind the name.
LONGEST_LABEL = 32

# The beginnings of words for a mobile in the user's own labels; imports from Apple have the label "iphone".
_MOBILE = re.compile(
    r"\b(?:mobil(?!iar)|handy|natel|iphone|smartphone|gsm\b|cell?(?:s|ular|ulare|phone)?\b|m[óo]vil|telefonino|komórk|mobitel)"
    r"|handy\b",
    re.IGNORECASE,
)


class NumberField(NamedTuple):
    """A field in which a person stores a telephone number.

    :ivar text: the text that the user typed, including line breaks.
    :ivar canonical: Google's ``canonicalForm``, or empty if Google gives no such form.
    :ivar label: the user's own label for the number, or empty for Google's types.
    :ivar is_typed: whether the user has chosen a type for the number.
    :ivar known: the E.164 form of a stored number, if the number was stored without a ``canonicalForm``; otherwise
        empty.  An earlier version of ldapgw did not store the ``canonicalForm``.  If `text` alone does not give the
        number `known`, the text is read again with `known` in place of the ``canonicalForm``.
    """

    text: str
    canonical: str = ""
    kind: Kind = Kind.OTHER
    label: str = ""
    is_typed: bool = False
    known: str = ""

    @classmethod
    def of(cls, text: str, canonical: str, type_: str) -> Self:
        """Make a field of ``phoneNumbers``.

        :param type_: Google's ``type``.
        """
        folded = type_.lower()
        is_own = folded not in _KINDS and folded not in _TYPES_WITHOUT_KIND
        return cls(text, canonical, _kind(folded), type_[:LONGEST_LABEL].rstrip() if is_own else "", bool(type_))


@dataclass(frozen=True, slots=True)
class ReadNumbers:
    """The numbers of a person's fields.

    :ivar left_out: repeated numbers, and texts without anything to dial.
    :ivar sip_addresses: the URIs of SIP addresses in fields of numbers.
    """

    phones: tuple[Phone, ...]
    left_out: tuple[LeftOutNumber, ...]
    sip_addresses: tuple[str, ...]

    @property
    def unreadable(self) -> int:
        """Return the number of texts without anything to dial."""
        return sum(number.reason is LeftOutReason.NOT_DIALABLE for number in self.left_out)


def read_fields(fields: Iterable[NumberField], region: str) -> ReadNumbers:
    """Read the numbers of fields, each number once.

    A number that is listed twice has the type of the first field, or of the second field if the first has no type.

    :param region: ISO 3166-1 code of the country for numbers without a country code.
    """
    phones: dict[tuple[str, str], Phone] = {}
    untyped: set[tuple[str, str]] = set()
    left_out: list[LeftOutNumber] = []
    sip_addresses: list[str] = []
    for field in fields:
        addresses = split_field(field.text).sip_addresses
        sip_addresses += addresses
        numbers = stored_numbers.read(field.text, region, field.canonical)
        if field.known and all(field.known not in (number.e164, *number.others) for number in numbers):
            numbers = stored_numbers.read(field.text, region, field.known)
        if not numbers and not addresses:
            text = " ".join(field.text.split())[:LONGEST_LEFT_OUT]
            left_out.append(LeftOutNumber(text, LeftOutReason.NOT_DIALABLE))
        for number in numbers:
            key = (number.code + (number.e164 or number.digits), number.extension)
            if key in phones:
                left_out.append(LeftOutNumber(number.typed[:LONGEST_LEFT_OUT], LeftOutReason.DUPLICATE))
            if key not in phones or (key in untyped and field.is_typed):
                known = phones.get(key)
                stored = field.text if field.text != number.typed else ""
                phones[key] = (
                    replace(known, kind=field.kind, label=field.label)
                    if known
                    else Phone(field.kind, number, field.label, stored, field.canonical)
                )
                (untyped.discard if field.is_typed else untyped.add)(key)
    return ReadNumbers(tuple(phones.values()), tuple(left_out), tuple(dict.fromkeys(sip_addresses)))


def read_anew(contact: Contact, region: str) -> tuple[Contact, int]:
    """Read the numbers of a stored contact by the present rules.

    :param region: ISO 3166-1 code of the country for numbers without a country code.
    :returns: the contact, and the count of its stored number fields that contain nothing to dial.
    """
    numbers = read_fields(_stored_fields(contact), region)
    urls = tuple(dict.fromkeys((*numbers.sip_addresses, *contact.urls)))
    left_out = numbers.left_out[:MOST_LEFT_OUT]
    return replace(contact, phones=numbers.phones, left_out=left_out, urls=urls), numbers.unreadable


def _stored_fields(contact: Contact) -> Iterator[NumberField]:
    """Yield the fields from which a contact's numbers were read, each field once."""
    seen: set[tuple[str, str]] = set()
    for phone in contact.phones:
        text = phone.stored or phone.number.typed
        if (text, phone.canonical) not in seen:
            seen.add((text, phone.canonical))
            known = "" if phone.canonical else phone.number.e164
            yield NumberField(text, phone.canonical, phone.kind, phone.label, is_typed=True, known=known)
    for number in contact.left_out:
        yield NumberField(number.text)


def _kind(label: str) -> Kind:
    """Return the kind of a number by its ``phoneNumbers.type`` in lower case, which may be the user's own label."""
    if label in _KINDS:
        return _KINDS[label]
    if "fax" in label:
        return Kind.FAX
    return Kind.MOBILE if _MOBILE.search(label) else Kind.OTHER
