# SPDX-License-Identifier: MIT
"""The contacts of a vCard file of version 3.0 (RFC 2426) or 4.0 (RFC 6350).

The reader keeps the number of each line, which the libraries for vCards lose or do not give for each property.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, NamedTuple
from urllib.parse import unquote

from ldapgw.files.card import TEXTS, FileCard, FileProblem, phone_type

_VERSIONS: Final = ("3.0", "4.0")
_NAME: Final = re.compile(r"(?:([A-Za-z0-9-]+)\.)?([A-Za-z0-9-]+)")
_PARAMETER: Final = re.compile(r';([A-Za-z0-9-]+)(?:=((?:"[^"]*"|[^";:])*))?')
_LINE_END: Final = re.compile(r"\r\n|\n|\r")
_ESCAPED: Final = re.compile(r"\\(.)", re.DOTALL)
# Apple's names of its own types of numbers: _$!<Work>!$_
_APPLE_LABEL: Final = re.compile(r"_\$!<(.*)>!\$_")
# RFC 3966 3: the parameters of a telephone number.
_EXTENSION: Final = re.compile(r";ext=([0-9.()-]+)", re.IGNORECASE)
# The parts of the properties' values, by the names that the People API has for them.
_NAMES: Final[Mapping[str, Sequence[str]]] = MappingProxyType(
    {
        "FN": ("displayName",),
        "N": ("familyName", "givenName", "middleName"),
        "X-PHONETIC-FIRST-NAME": ("phoneticGivenName",),
        "X-PHONETIC-LAST-NAME": ("phoneticFamilyName",),
    }
)
_ORGANIZATION: Final[Mapping[str, Sequence[str]]] = MappingProxyType(
    {"ORG": ("name", "department"), "TITLE": ("title",)}
)
_LISTS: Final = MappingProxyType({"NICKNAME": "nicknames", "EMAIL": "emailAddresses", "URL": "urls"})
_ADDRESS: Final = ("poBox", "extendedAddress", "streetAddress", "city", "region", "postalCode", "country")
# The separator between the parts of a property's value; the values of other properties have no parts.
_SEPARATORS: Final = MappingProxyType({"N": ";", "ORG": ";", "ADR": ";", "NICKNAME": ",", "CATEGORIES": ","})
# Google's own groups among the categories, and the empty part behind the last category.
_OWN_GROUPS: Final = ("", "mycontacts", "starred")
# Values of TYPE that say nothing about the kind of a number.
_WITHOUT_KIND: Final = frozenset(("voice", "pref", "text", "textphone", "video", "msg", "internet", "bbs", "modem"))


class _Property(NamedTuple):
    """A property of a vCard.

    :ivar group: the name in front of the property, which connects the property with others.
    :ivar types: the values of the parameter TYPE, in lower case.
    """

    line: int
    group: str
    name: str
    types: frozenset[str]
    is_preferred: bool
    value: str


@dataclass(slots=True)
class _Open:
    """A vCard whose end was not read yet."""

    line: int
    has_version: bool = False
    is_broken: bool = False
    properties: list[_Property] = field(default_factory=list)


def read_vcards(text: str) -> Iterator[FileCard | FileProblem]:
    """Yield the contact of each vCard, or each problem of the file; vCards of groups are left out."""
    card: _Open | None = None
    for number, line in _unfolded(text):
        found = _read_property(number, line)
        mark = (found.name, found.value.strip().upper()) if found else ("", "")
        if mark == ("BEGIN", "VCARD"):
            if card is not None:
                yield FileProblem(card.line, TEXTS.not_ended)
            card = _Open(number)
        elif card is None:
            yield FileProblem(number, TEXTS.not_begun)
            return
        elif mark == ("END", "VCARD"):
            if not card.has_version and not card.is_broken:
                yield FileProblem(card.line, TEXTS.bad_version)
            elif not card.is_broken and not _is_group(card.properties):
                yield _read_card(card)
            card = None
        else:
            problem = _add(card, number, found)
            card.is_broken = card.is_broken or problem is not None
            if problem is not None:
                yield problem
    if card is not None:
        yield FileProblem(card.line, TEXTS.not_ended)


def _unfolded(text: str) -> Iterator[tuple[int, str]]:
    """Yield the lines with their numbers; a line that begins with a blank continues the preceding line (3.2)."""
    start, parts = 0, list[str]()
    for number, line in enumerate(_LINE_END.split(text), 1):
        if line[:1] in (" ", "\t") and parts:
            parts.append(line[1:])
            continue
        if parts:
            yield start, "".join(parts)
        start, parts = number, [line] if line.strip() else []
    if parts:
        yield start, "".join(parts)


def _read_property(number: int, line: str) -> _Property | None:
    """Read a content line (RFC 6350 3.3); None if the line is none."""
    name = _NAME.match(line)
    if name is None:
        return None
    at, types, is_preferred = name.end(), set[str](), False
    while parameter := _PARAMETER.match(line, at):
        at = parameter.end()
        key, value = parameter[1].lower(), parameter[2]
        # Some programs write the value of TYPE alone, as in vCard 2.1.
        values = [key] if value is None else value.replace('"', "").lower().split(",")
        if key == "type" or value is None:
            types.update(part.strip() for part in values)
        is_preferred = is_preferred or (key == "pref" and values == ["1"])
    if line[at : at + 1] != ":":
        return None
    value = line[at + 1 :]
    return _Property(
        number, (name[1] or "").lower(), name[2].upper(), frozenset(types), is_preferred or "pref" in types, value
    )


def _add(card: _Open, number: int, found: _Property | None) -> FileProblem | None:
    """Add a property to an unfinished vCard, or return the problem of the line."""
    if found is None:
        return FileProblem(number, TEXTS.bad_line)
    if "\ufffd" in found.value:
        return FileProblem(number, TEXTS.characters)
    if found.name == "VERSION":
        card.has_version = found.value.strip() in _VERSIONS
        return None if card.has_version else FileProblem(number, TEXTS.bad_version)
    card.properties.append(found)
    return None


def _is_group(properties: Sequence[_Property]) -> bool:
    """Return whether a vCard is a list of other vCards (RFC 6350 6.1.4), or such a list of Apple's."""
    return any(
        each.name in ("KIND", "X-ADDRESSBOOKSERVER-KIND") and each.value.strip().lower() == "group"
        for each in properties
    )


def _read_card(opened: _Open) -> FileCard:
    card = FileCard(opened.line)
    labels = {each.group: _label(each.value) for each in opened.properties if each.name == "X-ABLABEL" and each.group}
    for number, each in enumerate(opened.properties):
        _read_value(card, each, labels, str(number))
    return card


def _read_value(card: FileCard, each: _Property, labels: dict[str, str], slot: str) -> None:
    """Read the value of a property into a contact.

    :param labels: the type that the user has named, by the group of the property.
    :param slot: distinguishes the postal addresses of a contact.
    """
    name, parts = each.name, _parts(each.name, each.value)
    if name == "UID":
        card.id = card.id or parts[0]
    elif name == "TEL":
        type_ = labels.get(each.group) or _type(each.types)
        card.add_number(_number(parts[0]), type_, (each.line, name), is_primary=each.is_preferred)
    elif name in ("IMPP", "X-SIP"):
        card.add("sipAddresses", parts[0] if parts[0].lower().startswith(("sip:", "sips:")) else "")
    elif name == "CATEGORIES":
        card.labels += [part for part in parts if part.lower() not in _OWN_GROUPS]
    for key, part in zip(_NAMES.get(name, ()), parts, strict=False):
        card.set_name(key, part)
    for key, part in zip(_ORGANIZATION.get(name, ()), parts, strict=False):
        card.set_organization(key, part)
    for key, part in zip(_ADDRESS if name == "ADR" else (), parts, strict=False):
        card.set_address(slot, key, part)
    for part in parts if name in _LISTS else ():
        card.add(_LISTS[name], part)


def _number(value: str) -> str:
    """Return the number of a property TEL, which vCard 4.0 may write as a URI (RFC 3966)."""
    if not value.lower().startswith("tel:"):
        return value
    number = unquote(value[len("tel:") :])
    extension = _EXTENSION.search(number)
    return number.partition(";")[0] + (f" x{extension[1]}" if extension else "")


def _type(types: frozenset[str]) -> str:
    """Return the type of the People API for the values of TYPE."""
    kinds = types - _WITHOUT_KIND
    for kind in ("fax", "cell", "pager", "main", "work", "home"):
        if kind in kinds:
            place = next((place for place in ("work", "home") if place in kinds), "")
            return phone_type(f"{place} fax".strip()) if kind == "fax" else phone_type(kind)
    return phone_type(next(iter(sorted(kinds)), ""))


def _label(value: str) -> str:
    text = _text(value)
    apple = _APPLE_LABEL.fullmatch(text)
    return phone_type(apple[1] if apple else text)


def _text(value: str) -> str:
    """Return a value without its escapes (RFC 6350 3.4)."""
    return _ESCAPED.sub(lambda found: "\n" if found[1] in "nN" else found[1], value).strip()


def _parts(name: str, value: str) -> list[str]:
    """Return the parts of a property's value, at least one; separators divide the value if no backslash is in front."""
    separator = _SEPARATORS.get(name)
    if separator is None:
        return [_text(value)]
    # A backslash at the end escapes nothing.
    return [_text(part) for part in re.findall(rf"((?:[^\\{separator}]|\\.|\\$)*)(?:{separator}|$)", value)]
