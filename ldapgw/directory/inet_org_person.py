# SPDX-License-Identifier: MIT
"""Makes a contact's entries, of the class inetOrgPerson (RFC 2798), with each attribute's best value first.

An `EntryFactory` makes the entries of one book, and packs values that many contacts share (companies, towns) once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final, NamedTuple

from ldapgw.contact import Address, Contact, Kind, Phone
from ldapgw.directory import name_folding, normalization
from ldapgw.directory.dn import escape
from ldapgw.directory.entry import PLACEHOLDER_ID, Attributes, Entry, structural_attributes
from ldapgw.directory.name_folding import contact_sort_key, has_letters
from ldapgw.directory.naming_context import NamingContext
from ldapgw.directory.normalization import SWITCHBOARD_MARK
from ldapgw.directory.packed_attributes import PackedAttribute, PackedAttributes, encoded_set, encoded_texts, octets_of
from ldapgw.directory.schema import ATTRIBUTE_TYPES, Family, class_chain
from ldapgw.numbers import Number, dial_string, numbering_plan, phone_number

OBJECT_CLASSES: Final = tuple(part.name for part in class_chain("inetOrgPerson"))

NUMBER_ATTRIBUTES: Final[Mapping[Kind, str]] = {
    Kind.WORK: "telephoneNumber",
    Kind.MAIN: "telephoneNumber",
    Kind.OTHER: "telephoneNumber",
    Kind.MOBILE: "mobile",
    Kind.HOME: "homePhone",
    Kind.FAX: "facsimileTelephoneNumber",
    Kind.PAGER: "pager",
}

# A number that ends in a hyphen and "0" is the number of a switchboard.  Phones and mail programs write several kinds
# of hyphens.
_SWITCHBOARD: Final = re.compile("[-\u2010-\u2015\u2212] ?0$")

# Nobody answers a call to a pager or a fax.  So the number of a pager or a fax is used as telephoneNumber only if the
# contact has no other number.  The number of a pager is preferred to the number of a fax.
_LEAST_ANSWERED: Final = {Kind.PAGER: 1, Kind.FAX: 2}

Texts = Mapping[str, tuple[str, ...]]
# The telephone numbers of each attribute.  The key of a number is the text that the entry shows for the number.
Numbers = Mapping[str, Mapping[str, Number]]


def numbers_of(contact: Contact, context: NamingContext) -> Numbers:
    """Return the attributes that hold telephone numbers.

    If a contact has no number for telephoneNumber, the best number of the remaining attributes is copied to
    telephoneNumber, because many phones search for ``(telephoneNumber=*)``.
    """
    numbers: dict[str, dict[str, Number]] = {"telephoneNumber": {}}
    for phone in contact.phones:
        values = numbers.setdefault(NUMBER_ATTRIBUTES[phone.kind], {})
        values.setdefault(write_number(phone.number, context), _found_number(phone, contact, context))
    if contact.phones and not numbers["telephoneNumber"]:
        best = min(contact.phones, key=lambda phone: _LEAST_ANSWERED.get(phone.kind, 0))
        numbers["telephoneNumber"][write_number(best.number, context)] = _found_number(best, contact, context)
    return {name: values for name, values in numbers.items() if values}


def texts_of(contact: Contact, name: str) -> Texts:
    """Return the attributes that hold texts, without empty attributes.

    :param name: the name that is shown (`shown_name`).
    """
    texts: dict[str, Iterable[str]] = {
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
    }
    if contact.addresses:
        texts |= _address_texts(contact.addresses)
    if contact.urls:
        # RFC 2079: a blank separates the URI from a label.
        texts["labeledURI"] = [url.replace(" ", "%20") for url in contact.urls]
    return {name: values for name, candidates in texts.items() if (values := _unique(candidates))}


def _address_texts(addresses: Sequence[Address]) -> Mapping[str, Iterable[str]]:
    return {
        "street": [address.street for address in addresses],
        "l": [address.city for address in addresses],
        "st": [address.region for address in addresses],
        "postalCode": [address.postal_code for address in addresses],
        "c": [code for address in addresses if (code := _country(address))][:1],
        "postalAddress": map(_postal_address, addresses),
    }


def shown_name(contact: Contact, numbers: Numbers) -> str:
    """Return the value of cn: the name, else the organization, number, mail or postal address, or ""."""
    best = next(iter(numbers.get("telephoneNumber", ())), "")
    addresses = (*contact.emails, *(line for address in contact.addresses for line in _lines(address)))
    return contact.name or contact.organization or best or next(iter(addresses), "")


def other_names(contact: Contact) -> tuple[str, ...]:
    """Return the aliases, which find a contact without being shown.

    The aliases are the contact's other names (`Contact.also`), and the family name in front of the given name.
    """
    return (*contact.also, f"{contact.family_name} {contact.given_name}") if contact.family_name else contact.also


def readings_of(contact: Contact, texts: Texts) -> Mapping[str, str]:
    """Return the reading of a name in Chinese characters, for each attribute that holds such a name.

    A *reading* is the pronunciation of a name.  A name in Chinese characters is sorted by its reading.  Names in other
    scripts are sorted by their letters.

    :param texts: the contact's texts (`texts_of`).
    """
    phonetic = contact.phonetic
    if phonetic is None:
        return {}
    is_whole = texts["sn"] == texts["cn"]  # a name without given and family name, such as the name of a company
    readings = {
        **dict.fromkeys(_SHOWN, phonetic.name),
        "givenName": phonetic.given_name,
        "sn": phonetic.name if is_whole else phonetic.family_name if contact.family_name else "",
    }
    return {
        name: reading
        for name, reading in readings.items()
        if name_folding.collation_key(reading) and name in texts and name_folding.has_chinese(texts[name][0])
    }


def _found_number(phone: Phone, contact: Contact, context: NamingContext) -> Number:
    """Return a number with the further forms by which a search finds the number.

    The further forms are the form with the area code of the tenant's site, and the beginning of a company's extension
    numbers.
    """
    number = phone.number
    if context.area_code:
        number = phone_number.in_area(number, context.region, context.area_code)
    beginning = _beginning_of_extensions(phone, contact) if context.switchboard else ""
    return replace(number, others=(*number.others, beginning + SWITCHBOARD_MARK)) if beginning else number


def _beginning_of_extensions(phone: Phone, contact: Contact) -> str:
    """Return the beginning of a company's extension numbers, in E.164; empty if the number is not of a switchboard.

    A switchboard's number is a company's number that ends in "-0", or the main number of a contact that is a company
    and no person.
    """
    number = phone.number
    is_main = phone.kind is Kind.MAIN and contact.name in ("", contact.organization)
    # The numbering plan is asked last, because a lookup in the plan takes as long as all other work for a number.  Few
    # numbers end in "0", so most numbers need no lookup.
    if not contact.organization or not (is_main or number.e164.endswith("0")):
        return ""
    if not (number.e164 and numbering_plan.has_direct_dialling(number.e164)):
        return ""
    if numbering_plan.is_mobile(number.e164) or numbering_plan.is_toll_free(number.e164):
        return ""
    typed = dial_string.without_remark(dial_string.clean(number.typed))
    if _SWITCHBOARD.search(typed) and number.e164.endswith("0"):
        return number.e164[:-1]
    return number.e164 if is_main else ""


def write_number(number: Number, context: NamingContext) -> str:
    """Write a number in the format of the tenant's entries."""
    return phone_number.format_number(number, context.number_format, context.region, context.outside_line)


def _unique(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(filter(None, values)))


def _initials(given_name: str) -> str:
    """Return initials as in RFC 4519 2.14 ("K. A."), for scripts that have capitals."""
    return " ".join(f"{word[0].upper()}." for word in given_name.split() if word[0].upper() != word[0].lower())


def _country(address: Address) -> str:
    code = address.country_code.upper()
    return code if len(code) == 2 and code.isascii() and code.isalpha() else ""


def _lines(address: Address) -> tuple[str, ...]:
    parts = (address.street, f"{address.postal_code} {address.city}".strip(), address.region, address.country_code)
    return tuple(filter(None, address.lines or parts))


def _postal_address(address: Address) -> str:
    """Write a postal address in its LDAP syntax (RFC 4517 3.3.28)."""
    return "$".join(line.replace("\\", "\\5C").replace("$", "\\24") for line in _lines(address))


# The attributes that hold the whole name.
_SHOWN: Final = ("cn", "displayName")

_FAMILIES: Final = {kind.name: kind.comparison.family for kind in ATTRIBUTE_TYPES}

# The attributes whose packed values are cached, because many contacts share these values, even contacts of different
# books.
_SHARED: Final = frozenset(("givenName", "sn", "initials", "o", "ou", "title", "l", "st", "postalCode", "c"))
# The maximum number of packed values that are cached, which take 3 MiB.
_MAX_CACHED: Final = 4096

# The attributes that all contacts share.
CLASSES: Final = PackedAttributes.pack(
    {"objectClass": (encoded_texts(OBJECT_CLASSES), normalization.value_search_text(Family.OID, OBJECT_CLASSES))}
)


@dataclass(frozen=True, slots=True)
class ParentEntry:
    """The parent entry of contacts: a book or a label.

    :ivar book_position: the position of the book in `NamingContext.book_order`; None if `book_order` does not name the
        book.
    """

    dn: str
    uuid_namespace: str
    precedence: int = 0
    own_precedence: int = 0
    book_position: int | None = None
    _dn_suffix: bytes = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Encode the common end of the entries' DNs once for all entries."""
        object.__setattr__(self, "_dn_suffix", octets_of(f",{self.dn}"))

    @property
    def shared(self) -> PackedAttributes:
        return CLASSES

    def entry_dn(self, uid: bytes) -> bytes:
        return _rdn(uid) + self._dn_suffix

    def operational(self, uid: bytes, updated: int) -> Attributes:
        """Return the operational attributes.

        The time of creation is unknown, so createTimestamp has the time of the last change.
        """
        dn, path = self.entry_dn(uid).decode(), f"{self.uuid_namespace}/{_rdn(uid).decode()}"
        attributes = structural_attributes(dn, "inetOrgPerson", path, subordinates=False)
        if updated > 0:
            moment = (f"{datetime.fromtimestamp(updated, UTC):%Y%m%d%H%M%SZ}".encode(),)
            attributes |= {"createTimestamp": moment, "modifyTimestamp": moment}
        return attributes


def _rdn(uid: bytes) -> bytes:
    return b"uid=" + (uid if uid.isalnum() else octets_of(escape(uid.decode())))


class ContactEntries(NamedTuple):
    """The entries of a contact: an entry for the contact, if there is a name to show, and an entry for each number."""

    contact: tuple[Entry, ...] = ()
    numbers: tuple[Entry, ...] = ()

    def with_parent(self, parent: ParentEntry) -> ContactEntries:
        return ContactEntries(*(tuple(entry.with_parent(parent) for entry in form) for form in self))


class EntryFactory:
    """A factory of the entries of one book.

    :param per_number: whether each number gets an entry, besides the entry of the contact.
    """

    def __init__(self, context: NamingContext, parent: ParentEntry, *, per_number: bool) -> None:
        self._context = context
        self._parent = parent
        self._per_number = per_number

    def entries_of(self, contact: Contact) -> ContactEntries:
        """Make the entries of a contact; a contact without name, organization, number and address gets no entries."""
        numbers = numbers_of(contact, self._context)
        name = shown_name(contact, numbers)
        if not name:
            return ContactEntries()
        aliases = other_names(contact)
        texts = texts_of(contact, name)
        entry = self.make_entry(name, texts, numbers, aliases, contact, readings_of(contact, texts))
        return ContactEntries((entry,), tuple(self._number_entries(contact, name, aliases)) if self._per_number else ())

    def _number_entries(self, contact: Contact, name: str, aliases: tuple[str, ...]) -> Iterator[Entry]:
        """Make one entry for each number; the number's label or kind follows the name."""
        written: dict[str, tuple[str, Number]] = {}
        for phone in contact.phones:
            number = _found_number(phone, contact, self._context)
            written.setdefault(write_number(number, self._context), (phone.label or phone.kind.value, number))
        texts = texts_of(contact, name)
        readings = readings_of(contact, texts)
        for count, (value, (kind, number)) in enumerate(written.items(), start=1):
            cn = (f"{name} ({kind})",)
            number_texts = {**texts, "uid": (f"{contact.uid}-{count}",), "cn": cn, "displayName": cn}
            shown = {name: f"{reading} ({kind})" for name, reading in readings.items() if name in _SHOWN}
            numbers: Numbers = {"telephoneNumber": {value: number}}
            yield self.make_entry(name, number_texts, numbers, (name, *aliases), contact, {**readings, **shown})

    def make_entry(
        self,
        name: str,
        texts: Texts,
        numbers: Numbers,
        aliases: tuple[str, ...],
        contact: Contact,
        readings: Mapping[str, str],
    ) -> Entry:
        """Make an entry of a contact.

        :param name: the contact's name, without the kind of a number ("(mobile)") that may follow the name in cn.
        :param texts: the texts of each attribute; the attributes uid and cn must have a text.
        """
        packed: dict[str, PackedAttribute] = {}
        for kind, values in texts.items():
            # The display name equals cn (`texts_of`) and has the same pronunciation, so both get the same packed
            # values.
            is_cn = kind == "displayName"
            packed[kind] = packed["cn"] if is_cn else self._text(kind, values, readings.get(kind, ""))
        packed |= {kind: self._numbers(values) for kind, values in numbers.items()}
        # A message must not contain the placeholder twice, so a photo with the placeholder is left out.  No ordinary
        # photo is left out, because the placeholder's octets FF 64 are a reserved marker in a JPEG (ITU-T T.81, table
        # B.1).
        if contact.photo and self._context.photos and PLACEHOLDER_ID not in contact.photo:
            packed["jpegPhoto"] = encoded_set((contact.photo,)), ""
        uid, cn = texts["uid"][0], texts["cn"][0]
        identity = f"{self._parent.uuid_namespace}/{uid}"
        reading, position = readings.get("cn", ""), self._parent.book_position
        sort_key = contact_sort_key(cn, identity, reading, position, is_bare=not has_letters(name))
        alias_text = normalization.alias_search_text(aliases) if self._context.lenient else ""
        own = PackedAttributes.pack(packed, alias_text, updated=contact.updated)
        return Entry(own, self._parent, sort_key=sort_key)

    def _text(self, name: str, values: tuple[str, ...], reading: str) -> PackedAttribute:
        pack = _cached_pack if name in _SHARED else _pack
        return pack(name, values, reading, self._context.lenient)

    def _numbers(self, numbers: Mapping[str, Number]) -> PackedAttribute:
        lenient = self._context.lenient
        search_text = (
            normalization.number_search_text(numbers.values())
            if lenient
            else normalization.value_search_text(Family.NUMBER, numbers)
        )
        return encoded_texts(numbers), search_text


def _pack(
    name: str,
    values: tuple[str, ...],
    reading: str,
    lenient: bool,  # noqa: FBT001  a key of the cache
) -> PackedAttribute:
    family = _FAMILIES[name]
    if family is Family.TEXT and lenient:
        return encoded_texts(values), normalization.text_search_text(values, reading)
    return encoded_texts(values), normalization.value_search_text(family, values)


_cached_pack = lru_cache(_MAX_CACHED)(_pack)


def forget_values() -> None:
    """Drop the cached values, which may be of contacts that are deleted."""
    _cached_pack.cache_clear()
