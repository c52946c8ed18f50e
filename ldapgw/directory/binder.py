# SPDX-License-Identifier: MIT
"""Binds contacts into entries; what they have in common (companies, towns) is read once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from ldapgw.contact import Contact
from ldapgw.directory import haystack, order
from ldapgw.directory.dn import escape
from ldapgw.directory.entry import Entry, Packed, Piece, encoded_texts, octets_of
from ldapgw.directory.naming import NamingContext
from ldapgw.directory.origin import Place
from ldapgw.directory.person import OBJECT_CLASSES, Numbers, Texts, numbers_of, other_names, shown_name, texts_of, write
from ldapgw.directory.schema import Family, attribute_type
from ldapgw.number import Number

# Whose values many contacts share.
_SHARED = frozenset(("givenName", "sn", "initials", "o", "ou", "title", "l", "st", "postalCode", "c"))

# What all contacts have in common.
CLASSES = Packed.of({"objectClass": (encoded_texts(OBJECT_CLASSES), haystack.of_values(Family.OID, OBJECT_CLASSES))})


class Bound(NamedTuple):
    """What became of a contact: its entry, if there is anything to show, and the entries of its numbers."""

    whole: tuple[Entry, ...] = ()
    singles: tuple[Entry, ...] = ()

    def moved(self, place: Place) -> Bound:
        """The same at another place of the tree."""
        return Bound(*(tuple(entry.moved(place) for entry in form) for form in self))


class Binder:
    """Makes the entries of one book.

    :param place: where they stand.
    :param per_number: also make one entry for each number.
    """

    def __init__(self, context: NamingContext, place: Place, *, per_number: bool) -> None:
        self._context = context
        self._place = place
        self._per_number = per_number
        self._pieces: dict[tuple[str, tuple[str, ...]], Piece] = {}

    def bind(self, contact: Contact) -> Bound:
        """Make the entries of a contact; none if it has neither name, organization, number nor address."""
        numbers = numbers_of(contact, self._context)
        name = shown_name(contact, numbers)
        if not name:
            return Bound()
        also = other_names(contact)
        whole = self._entry(texts_of(contact, name), numbers, also, contact.updated)
        return Bound((whole,), tuple(self._singles(contact, name, also)) if self._per_number else ())

    def _singles(self, contact: Contact, name: str, also: tuple[str, ...]) -> Iterator[Entry]:
        """One entry for each number; its kind stands behind the name."""
        written: dict[str, tuple[str, Number]] = {}
        for phone in contact.phones:
            written.setdefault(write(phone.number, self._context), (phone.kind.value, phone.number))
        texts = texts_of(contact, name)
        for count, (number, (kind, read)) in enumerate(written.items(), start=1):
            shown = (f"{name} ({kind})",)
            own = {**texts, "uid": (f"{contact.uid}-{count}",), "cn": shown, "displayName": shown}
            yield self._entry(own, {"telephoneNumber": {number: read}}, (name, *also), contact.updated)

    def _entry(self, texts: Texts, numbers: Numbers, also: tuple[str, ...], updated: float) -> Entry:
        pieces = {name: self._text(name, values) for name, values in texts.items()}
        pieces |= {name: self._numbers(values) for name, values in numbers.items()}
        uid, cn = texts["uid"][0], texts["cn"][0]
        stands = order.of_contact(cn, f"{self._place.path}/{uid}")
        rdn = octets_of(f"uid={escape(uid)}")
        others = haystack.of_others(also) if self._context.lenient else ""
        return Entry(rdn, Packed.of(pieces, others), self._place, common=CLASSES, updated=updated, order=stands)

    def _text(self, name: str, values: tuple[str, ...]) -> Piece:
        kind = attribute_type(name)
        family = kind.kind.family if kind else Family.TEXT
        lenient = self._context.lenient and family is Family.TEXT
        key = ("" if lenient else family.name, values)
        found = self._pieces.get(key)
        if found is None:
            found = encoded_texts(values), haystack.of_texts(values) if lenient else haystack.of_values(family, values)
            if name in _SHARED:
                self._pieces[key] = found
        return found

    def _numbers(self, numbers: Mapping[str, Number]) -> Piece:
        lenient = self._context.lenient
        sought = haystack.of_numbers(numbers.values()) if lenient else haystack.of_values(Family.NUMBER, numbers)
        return encoded_texts(numbers), sought
