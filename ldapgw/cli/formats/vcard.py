# SPDX-License-Identifier: MIT
"""Writes contacts as vCards (RFC 6350, version 4.0)."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime

from ldapgw.contact import Address, Contact, Kind, Phone

# RFC 6350 6.4.1
_TYPES: Mapping[Kind, str] = {
    Kind.WORK: "work,voice",
    Kind.MAIN: "work,voice",
    Kind.OTHER: "voice",
    Kind.MOBILE: "cell",
    Kind.HOME: "home,voice",
    Kind.FAX: "fax",
    Kind.PAGER: "pager",
}

# RFC 6350 3.2: lines should be folded so that none is longer than 75 octets.
_LONGEST = 75
# RFC 6350 3.4: characters to escape in a value; semicolons only in components of compound values.
_ESCAPED = str.maketrans({"\\": "\\\\", ",": "\\,", ";": "\\;", "\n": "\\n"})
# RFC 6868: characters to encode in the value of a parameter.
_QUOTED = str.maketrans({"^": "^^", '"': "^'", "\n": "^n"})


def vcard(contact: Contact, name: str, book: str, labels: Mapping[str, str]) -> bytes:
    """The vCard of one contact.

    :param name: the shown name, which RFC 6350 6.2.1 requires.
    :param book: the name of the book, which makes the UID unique among all books.
    :param labels: the names of labels by resource name.
    """
    return b"".join(map(_folded, _lines(contact, name, book, labels)))


def _lines(contact: Contact, name: str, book: str, labels: Mapping[str, str]) -> Iterator[str]:
    yield "BEGIN:VCARD"
    yield "VERSION:4.0"
    yield f"UID;VALUE=text:{_text(f'{contact.uid}/{book}')}"
    yield f"FN:{_text(name)}"
    if contact.family_name or contact.given_name:
        yield f"N:{_components(contact.family_name, contact.given_name, '', '', '')}"
    if contact.also:
        yield f"NICKNAME:{_list(contact.also)}"
    if contact.organization or contact.department:
        yield f"ORG:{_components(contact.organization, *filter(None, [contact.department]))}"
    if contact.title:
        yield f"TITLE:{_text(contact.title)}"
    yield from map(_telephone, contact.phones)
    yield from (f"EMAIL:{_text(mail)}" for mail in contact.emails)
    yield from map(_address, contact.addresses)
    yield from (f"URL:{_text(url)}" for url in contact.urls)
    if contact.photo:
        yield f"PHOTO:data:image/jpeg;base64,{base64.b64encode(contact.photo).decode()}"
    names = [labels[label] for label in contact.labels if label in labels]
    if names:
        yield f"CATEGORIES:{_list(names)}"
    if contact.updated > 0:
        yield f"REV:{datetime.fromtimestamp(contact.updated, UTC):%Y%m%dT%H%M%SZ}"
    yield "END:VCARD"


def _telephone(phone: Phone) -> str:
    kind, number = _TYPES[phone.kind], phone.number
    types = f'"{kind}"' if "," in kind else kind
    if not number.e164:
        return f"TEL;VALUE=text;TYPE={types}:{_text(number.typed)}"
    # RFC 3966: a global number, and its extension.
    extension = f";ext={number.extension}" if number.extension else ""
    return f"TEL;VALUE=uri;TYPE={types}:tel:{number.e164}{extension}"


def _address(address: Address) -> str:
    whole = "\n".join(address.lines).translate(_QUOTED)
    parts = ("", "", address.street, address.city, address.region, address.postal_code, address.country_code)
    return f'ADR;LABEL="{whole}":{_components(*parts)}'


def _components(*parts: str) -> str:
    return ";".join(map(_text, parts))


def _list(texts: Iterable[str]) -> str:
    return ",".join(map(_text, texts))


def _text(text: str) -> str:
    return text.translate(_ESCAPED)


def _folded(line: str) -> bytes:
    """Fold a line into lines of at most 75 octets without splitting a character."""
    if line.isascii():  # quickly: a photo has some thousand characters
        rest = (line[start : start + _LONGEST - 1] for start in range(_LONGEST, len(line), _LONGEST - 1))
        return ("\r\n ".join((line[:_LONGEST], *rest)) + "\r\n").encode()
    pieces = [""]
    room = _LONGEST
    for char in line:
        size = len(char.encode("utf-8", "replace"))
        if size > room:
            pieces.append("")
            room = _LONGEST - 1
        pieces[-1] += char
        room -= size
    return ("\r\n ".join(pieces) + "\r\n").encode("utf-8", "replace")
