# SPDX-License-Identifier: MIT
"""A contact as an inetOrgPerson (RFC 2798): its attributes' values, best first, each once.

Binds contacts into entries; what they have in common (companies, towns) is read once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from ldapgw.contact import Address, Contact, Kind
from ldapgw.directory import assertion
from ldapgw.directory.access import NamingContext
from ldapgw.directory.dn import escape
from ldapgw.directory.entry import (
    Entry,
    PackedAttribute,
    PackedAttributes,
    ParentEntry,
    contact_sort_key,
    encoded_texts,
    octets_of,
)
from ldapgw.directory.schema import Family, attribute_type, class_chain
from ldapgw.numbers import phone_number
from ldapgw.numbers.phone_number import Number

OBJECT_CLASSES = tuple(part.name for part in class_chain("inetOrgPerson"))

NUMBER_ATTRIBUTES: Mapping[Kind, str] = {
    Kind.WORK: "telephoneNumber",
    Kind.MAIN: "telephoneNumber",
    Kind.OTHER: "telephoneNumber",
    Kind.MOBILE: "mobile",
    Kind.HOME: "homePhone",
    Kind.FAX: "facsimileTelephoneNumber",
    Kind.PAGER: "pager",
}

# Nobody answers these: they stand in for a telephone only where there is nothing else, a fax last of all.
_LEAST_ANSWERED = {Kind.PAGER: 1, Kind.FAX: 2}

Texts = Mapping[str, tuple[str, ...]]
# Numbers by how they are written into the entry: each writing once.
Numbers = Mapping[str, Mapping[str, Number]]


def numbers_of(contact: Contact, context: NamingContext) -> Numbers:
    """The attributes that hold telephone numbers.

    Many phones ask for ``(telephoneNumber=*)``: a contact with other kinds alone gets its best number there too.
    """
    found: dict[str, dict[str, Number]] = {"telephoneNumber": {}}
    for phone in contact.phones:
        held = found.setdefault(NUMBER_ATTRIBUTES[phone.kind], {})
        held.setdefault(write_number(phone.number, context), phone.number)
    if contact.phones and not found["telephoneNumber"]:
        best = min(contact.phones, key=lambda phone: _LEAST_ANSWERED.get(phone.kind, 0)).number
        found["telephoneNumber"][write_number(best, context)] = best
    return {name: numbers for name, numbers in found.items() if numbers}


def texts_of(contact: Contact, name: str) -> Texts:
    """All other attributes.

    :param name: the name that is shown (`shown_name`).
    """
    addresses = contact.addresses
    found = {
        "uid": (contact.uid,),
        "cn": (name,),
        "displayName": (name,),
        "givenName": (contact.given_name,),
        "sn": (contact.family_name or contact.name.rpartition(" ")[2] or contact.organization or name,),
        "initials": (_initials(contact.given_name),),
        "o": (contact.organization,),
        "ou": (contact.department,),
        "title": (contact.title,),
        "mail": contact.emails,
        "street": (address.street for address in addresses),
        "l": (address.city for address in addresses),
        "st": (address.region for address in addresses),
        "postalCode": (address.postal_code for address in addresses),
        "c": tuple(filter(None, map(_country, addresses)))[:1],
        "postalAddress": map(_postal_address, addresses),
        # RFC 2079: a blank parts the address from a label.
        "labeledURI": (url.replace(" ", "%20") for url in contact.urls),
    }
    return {name: values for name, given in found.items() if (values := _unique(given))}


def shown_name(contact: Contact, numbers: Numbers) -> str:
    """What stands in cn: the name, or what comes nearest to one; "" where nothing could be shown at all."""
    best = next(iter(numbers.get("telephoneNumber", ())), "")
    reached = (*contact.emails, *(line for address in contact.addresses for line in _lines(address)))
    return contact.name or contact.organization or best or next(iter(reached), "")


def other_names(contact: Contact) -> tuple[str, ...]:
    """What finds a contact by name without being shown: nicknames, readings, and the name as a list has it."""
    return (*contact.also, f"{contact.family_name} {contact.given_name}") if contact.family_name else contact.also


def write_number(one: Number, context: NamingContext) -> str:
    """A number as this tenant's entries hold it."""
    return phone_number.format_number(one, context.number_format, context.region, context.outside_line)


def _unique(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(filter(None, values)))


def _initials(given_name: str) -> str:
    """As in RFC 4519 2.14 ("K. A."), for scripts that have capitals."""
    return " ".join(f"{word[0].upper()}." for word in given_name.split() if word[0].upper() != word[0].lower())


def _country(address: Address) -> str:
    code = address.country_code.upper()
    return code if len(code) == 2 and code.isascii() and code.isalpha() else ""


def _lines(address: Address) -> tuple[str, ...]:
    parts = (address.street, f"{address.postal_code} {address.city}".strip(), address.region, address.country_code)
    return tuple(filter(None, address.lines or parts))


def _postal_address(address: Address) -> str:
    """RFC 4517 3.3.28."""
    return "$".join(line.replace("\\", "\\5C").replace("$", "\\24") for line in _lines(address))


# Whose values many contacts share.
_SHARED = frozenset(("givenName", "sn", "initials", "o", "ou", "title", "l", "st", "postalCode", "c"))

# What all contacts have in common.
CLASSES = PackedAttributes.pack(
    {"objectClass": (encoded_texts(OBJECT_CLASSES), assertion.value_search_text(Family.OID, OBJECT_CLASSES))}
)


class ContactEntries(NamedTuple):
    """What became of a contact: its entry, if there is anything to show, and the entries of its numbers."""

    contact: tuple[Entry, ...] = ()
    numbers: tuple[Entry, ...] = ()

    def with_parent(self, parent: ParentEntry) -> ContactEntries:
        """The same at another place of the tree."""
        return ContactEntries(*(tuple(entry.with_parent(parent) for entry in form) for form in self))


class EntryFactory:
    """Makes the entries of one book.

    :param place: where they stand.
    :param per_number: also make one entry for each number.
    """

    def __init__(self, context: NamingContext, parent: ParentEntry, *, per_number: bool) -> None:
        self._context = context
        self._parent = parent
        self._per_number = per_number
        self._packed: dict[tuple[str, tuple[str, ...]], PackedAttribute] = {}

    def entries_of(self, contact: Contact) -> ContactEntries:
        """Make the entries of a contact; none if it has neither name, organization, number nor address."""
        numbers = numbers_of(contact, self._context)
        name = shown_name(contact, numbers)
        if not name:
            return ContactEntries()
        also = other_names(contact)
        whole = self._entry(texts_of(contact, name), numbers, also, contact.updated)
        return ContactEntries((whole,), tuple(self._number_entries(contact, name, also)) if self._per_number else ())

    def _number_entries(self, contact: Contact, name: str, also: tuple[str, ...]) -> Iterator[Entry]:
        """One entry for each number; its kind stands behind the name."""
        written: dict[str, tuple[str, Number]] = {}
        for phone in contact.phones:
            written.setdefault(write_number(phone.number, self._context), (phone.kind.value, phone.number))
        texts = texts_of(contact, name)
        for count, (number, (kind, read)) in enumerate(written.items(), start=1):
            shown = (f"{name} ({kind})",)
            own = {**texts, "uid": (f"{contact.uid}-{count}",), "cn": shown, "displayName": shown}
            yield self._entry(own, {"telephoneNumber": {number: read}}, (name, *also), contact.updated)

    def _entry(self, texts: Texts, numbers: Numbers, also: tuple[str, ...], updated: float) -> Entry:
        pieces = {name: self._text(name, values) for name, values in texts.items()}
        pieces |= {name: self._numbers(values) for name, values in numbers.items()}
        uid, cn = texts["uid"][0], texts["cn"][0]
        stands = contact_sort_key(cn, f"{self._parent.uuid_namespace}/{uid}")
        rdn = octets_of(f"uid={escape(uid)}")
        others = assertion.alias_search_text(also) if self._context.lenient else ""
        return Entry(
            rdn, PackedAttributes.pack(pieces, others), self._parent, shared=CLASSES, updated=updated, sort_key=stands
        )

    def _text(self, name: str, values: tuple[str, ...]) -> PackedAttribute:
        kind = attribute_type(name)
        family = kind.comparison.family if kind else Family.TEXT
        lenient = self._context.lenient and family is Family.TEXT
        key = ("" if lenient else family.name, values)
        found = self._packed.get(key)
        if found is None:
            found = (
                encoded_texts(values),
                assertion.text_search_text(values) if lenient else assertion.value_search_text(family, values),
            )
            if name in _SHARED:
                self._packed[key] = found
        return found

    def _numbers(self, numbers: Mapping[str, Number]) -> PackedAttribute:
        lenient = self._context.lenient
        sought = (
            assertion.number_search_text(numbers.values())
            if lenient
            else assertion.value_search_text(Family.NUMBER, numbers)
        )
        return encoded_texts(numbers), sought
