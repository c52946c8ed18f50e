# SPDX-License-Identifier: MIT
"""vCards, in the versions 3.0 (RFC 2426) and 4.0 (RFC 6350), for exports and for CardDAV.

A `Card` is the content of a vCard.  `card_of_entry` makes the card of an entry of the directory, as one login sees the
entry.  Only `write_card` has to know the differences between the versions.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final, NamedTuple

from ldapgw.contact import Address
from ldapgw.directory.entry import Entry, NumberFormatter

# RFC 6350 3.2, RFC 2426 2.6: lines should be folded so that no line is longer than 75 octets.
_LINE: Final = 75
# RFC 6350 3.4, RFC 2426 4: these characters are escaped in a value; a semicolon needs the escape only within a compound
# value.
_ESCAPED: Final = str.maketrans({"\\": "\\\\", ",": "\\,", ";": "\\;", "\n": "\\n"})
# RFC 6868: these characters are encoded in the value of a parameter.
_QUOTED: Final = str.maketrans({"^": "^^", '"': "^'", "\n": "^n"})
# A number that a URI of RFC 3966 can hold in its global form.
_GLOBAL: Final = re.compile(r"\+[0-9]+")
# The lines that are always written, even if only some properties are selected.
_FRAME: Final = ("BEGIN", "VERSION", "END")
# The characters that end the name of a property.
_NAME_END: Final = re.compile("[;:]")


class VCardVersion(StrEnum):
    """The versions of vCards."""

    V3 = "3.0"
    V4 = "4.0"


class Telephone(NamedTuple):
    """A telephone number of a card.

    :ivar types: the values of the parameter TYPE (RFC 6350 6.4.1), separated by commas.
    :ivar text: the number as people read the number.
    :ivar uri: the number as a URI of RFC 3966; empty if the number's country is unknown.
    """

    types: str
    text: str
    uri: str = ""

    def __repr__(self) -> str:
        return "<Telephone>"


@dataclass(frozen=True, slots=True, repr=False)
class Card:
    """The content of a vCard.

    :ivar uid: a URI, or a text that is unique among the cards of one export.
    :ivar also: nicknames.
    :ivar photo: a JPEG; empty if there is no photo.
    :ivar updated: the time of the last change, in seconds since the epoch; 0 if unknown.
    """

    uid: str
    name: str
    family_name: str = ""
    given_name: str = ""
    also: tuple[str, ...] = ()
    organization: str = ""
    department: str = ""
    title: str = ""
    telephones: tuple[Telephone, ...] = ()
    emails: tuple[str, ...] = ()
    addresses: tuple[Address, ...] = ()
    urls: tuple[str, ...] = ()
    photo: bytes = b""
    categories: tuple[str, ...] = ()
    updated: float = 0.0


# The types of numbers, by the attribute of the entry.  If several attributes have the same number, the last attribute
# determines the types.  telephoneNumber comes first, because the other attributes say more.
_TYPES: Final = {
    "telephoneNumber": "work,voice",
    "mobile": "cell",
    "homePhone": "home,voice",
    "facsimileTelephoneNumber": "fax",
    "pager": "pager",
}
_ADDRESS: Final = ("street", "l", "st", "postalCode", "c")
_ATTRIBUTES: Final = (
    *("cn", "givenName", "sn", "o", "ou", "title", "mail", "postalAddress", "labeledURI"),
    *(*_TYPES, *_ADDRESS),
)


def card_of_entry(entry: Entry, formatter: NumberFormatter | None, categories: tuple[str, ...] = ()) -> Card:
    """Return the card of a contact's entry; the UID is the entry's UUID (RFC 4530).

    :param formatter: formats numbers for the login, or None if the login uses the tenant's format.
    :param categories: the names of the contact's labels.
    """
    texts = entry.texts(_ATTRIBUTES, formatter)
    first = {name: next(iter(values), "") for name, values in texts.items()}
    operational = entry.operational()
    # An entry always has a value of sn: without a family name, sn is the last word of the contact's name.  The last
    # word may belong to the name of a company.  So without a given name, the card's family name is the whole name.
    family_name = first["sn"] if first["givenName"] else first["cn"]
    has_family = first["cn"] not in (first["givenName"], "" if first["givenName"] else first["o"])
    numbers = {number: types for attribute, types in _TYPES.items() for number in texts[attribute]}
    return Card(
        uid=f"urn:uuid:{operational['entryUUID'][0].decode()}",
        name=first["cn"],
        family_name=family_name if has_family else "",
        given_name=first["givenName"],
        organization=first["o"],
        department=first["ou"],
        title=first["title"],
        telephones=tuple(Telephone(types, number, _uri(number)) for number, types in numbers.items()),
        emails=texts["mail"],
        addresses=_addresses(texts),
        urls=texts["labeledURI"],
        photo=next(iter(entry.attribute("jpegPhoto")), b""),
        categories=categories,
        updated=entry.updated,
    )


def _uri(number: str) -> str:
    return f"tel:{number}" if _GLOBAL.fullmatch(number) else ""


def _addresses(texts: dict[str, tuple[str, ...]]) -> tuple[Address, ...]:
    """Return the postal addresses of an entry.

    The attributes for the parts of an address have the parts of all addresses.  So the parts are used only if there is
    one address.
    """
    whole = [tuple(_unescaped(line) for line in value.split("$")) for value in texts["postalAddress"]]
    if len(whole) == 1 and all(len(texts[name]) <= 1 for name in _ADDRESS):
        street, city, region, code, country = ("".join(texts[name]) for name in _ADDRESS)
        return (Address(whole[0], street, city, region, code, country),)
    return tuple(Address(lines, street=", ".join(lines)) for lines in whole)


def _unescaped(line: str) -> str:
    """Return a line of a postal address without the escapes of its LDAP syntax (RFC 4517 3.3.28)."""
    return line.replace("\\24", "$").replace("\\5C", "\\")


def write_card(card: Card, version: VCardVersion, properties: Collection[str] | None = None) -> bytes:
    """Write a vCard.

    :param properties: the names of the properties to write, in upper case; None for all properties.
    """
    lines = _lines(card, version)
    if properties is not None:
        wanted = {*properties, *_FRAME}
        lines = (line for line in lines if _NAME_END.split(line, maxsplit=1)[0] in wanted)
    return b"".join(map(_folded, lines))


def _lines(card: Card, version: VCardVersion) -> Iterator[str]:
    is_v4 = version is VCardVersion.V4
    yield "BEGIN:VCARD"
    yield f"VERSION:{version}"
    yield _uid(card.uid, is_v4=is_v4)
    yield f"FN:{_text(card.name)}"
    # Version 3.0 requires the property N (RFC 2426 3.1.2).
    if card.family_name or card.given_name or not is_v4:
        yield f"N:{_components(card.family_name, card.given_name, '', '', '')}"
    if card.also:
        yield f"NICKNAME:{_list(card.also)}"
    if card.organization or card.department:
        yield f"ORG:{_components(card.organization, *filter(None, [card.department]))}"
    if card.title:
        yield f"TITLE:{_text(card.title)}"
    yield from (_telephone(telephone, is_v4=is_v4) for telephone in card.telephones)
    yield from (f"EMAIL:{_text(mail)}" for mail in card.emails)
    for address in card.addresses:
        yield from _address(address, is_v4=is_v4)
    yield from (f"URL:{_text(url)}" for url in card.urls)
    if card.photo:
        photo = base64.b64encode(card.photo).decode()
        yield f"PHOTO:data:image/jpeg;base64,{photo}" if is_v4 else f"PHOTO;ENCODING=b;TYPE=JPEG:{photo}"
    if card.categories:
        yield f"CATEGORIES:{_list(card.categories)}"
    if card.updated > 0:
        yield f"REV:{datetime.fromtimestamp(card.updated, UTC):%Y%m%dT%H%M%SZ}"
    yield "END:VCARD"


def _uid(uid: str, *, is_v4: bool) -> str:
    """Write the UID.  In version 4.0, the UID is a URI unless a parameter names another type."""
    if uid.startswith("urn:"):
        return f"UID:{uid}" if is_v4 else f"UID:{uid.rpartition(':')[2]}"
    return f"UID;VALUE=text:{_text(uid)}" if is_v4 else f"UID:{_text(uid)}"


def _telephone(telephone: Telephone, *, is_v4: bool) -> str:
    types = telephone.types
    if not is_v4:
        return f"TEL;TYPE={types.upper()}:{_text(telephone.text)}"
    if "," in types:
        types = f'"{types}"'
    if telephone.uri:
        return f"TEL;VALUE=uri;TYPE={types}:{telephone.uri}"
    return f"TEL;VALUE=text;TYPE={types}:{_text(telephone.text)}"


def _address(address: Address, *, is_v4: bool) -> Iterator[str]:
    parts = ("", "", address.street, address.city, address.region, address.postal_code, address.country_code)
    whole = "\n".join(address.lines)
    if is_v4:
        yield f'ADR;LABEL="{whole.translate(_QUOTED)}":{_components(*parts)}'
        return
    yield f"ADR:{_components(*parts)}"
    # In version 3.0, the whole address is a separate property (RFC 2426 3.2.2).
    if whole:
        yield f"LABEL:{_text(whole)}"


def _components(*parts: str) -> str:
    return ";".join(map(_text, parts))


def _list(texts: Iterable[str]) -> str:
    return ",".join(map(_text, texts))


def _text(text: str) -> str:
    return text.translate(_ESCAPED)


def _folded(line: str) -> bytes:
    """Fold a line into lines of at most 75 octets without splitting a character."""
    # Slicing is quicker than the loop below: the line of a photo in base64 has thousands of characters.
    if line.isascii():
        if len(line) <= _LINE:
            return line.encode() + b"\r\n"
        rest = (line[start : start + _LINE - 1] for start in range(_LINE, len(line), _LINE - 1))
        return ("\r\n ".join((line[:_LINE], *rest)) + "\r\n").encode()
    pieces = [""]
    room = _LINE
    for char in line:
        size = len(char.encode("utf-8", "replace"))
        if size > room:
            pieces.append("")
            room = _LINE - 1
        pieces[-1] += char
        room -= size
    return ("\r\n ".join(pieces) + "\r\n").encode("utf-8", "replace")
