# SPDX-License-Identifier: MIT
"""Contacts from vCard files and FRITZ!Box phone books, in the form in which the People API returns persons.

The reader of each format makes a `FileCard` for each contact; `ldapgw.files.csv_file` is the reader of CSV.  A card
becomes a person of the People API, so `ldapgw.google.person` reads contacts of files by the same rules as contacts of
Google.

Mutable: `FileCard`, until its reader has yielded the card.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, NamedTuple
from urllib.parse import unquote
from xml.parsers import expat

from ldapgw.phrase import Texts, Translatable, read_texts


class _ProblemTexts(Texts, frozen=True):
    """The texts about problems of a file and of its lines."""

    empty: str
    too_large: str
    not_file: str
    no_access: str
    unknown_format: str
    no_columns: str
    quotes: str
    too_many_cells: str
    characters: str
    no_number: str
    shortened: str
    nobody: str
    same_id: str
    not_begun: str
    not_ended: str
    bad_line: str
    bad_version: str
    not_built: str
    bad_xml: str


TEXTS = read_texts("files/texts/problems", _ProblemTexts)

# The types of the People API by the words that programs write, in lower case and without punctuation.  An unknown word
# is the user's own label.
_TYPES: Final[Mapping[str, str]] = MappingProxyType(
    {
        **dict.fromkeys(("", "other", "andere", "sonstige", "voice", "phone", "telefon"), ""),
        **dict.fromkeys(("work", "arbeit", "geschäftlich", "business", "internal", "intern", "dienstlich"), "work"),
        **dict.fromkeys(("extension", "durchwahl", "nebenstelle"), "work"),
        **dict.fromkeys(("home", "privat", "private", "zuhause"), "home"),
        **dict.fromkeys(("mobile", "mobil", "cell", "handy", "mobiltelefon"), "mobile"),
        **dict.fromkeys(("main", "haupt", "hauptnummer", "zentrale"), "main"),
        **dict.fromkeys(("fax", "telefax"), "fax"),
        **dict.fromkeys(("work fax", "fax work", "business fax", "fax geschäftlich", "fax arbeit"), "workFax"),
        **dict.fromkeys(("home fax", "fax home", "fax privat"), "homeFax"),
        **dict.fromkeys(("other fax", "fax other"), "otherFax"),
        "pager": "pager",
    }
)
_PUNCTUATION: Final = re.compile(r"[\s_()/-]+")


class FileProblem(NamedTuple):
    """A reason why a file cannot be used.

    :ivar line: the number of the line, counted from 1; 0 for the whole file.
    :ivar reason: the reason, and what is expected; without names and numbers of contacts.
    """

    line: int
    reason: Translatable

    def __str__(self) -> str:
        """Return the problem in English, for logs and commands."""
        return f"line {self.line}: {self.reason}" if self.line else str(self.reason)


@dataclass(slots=True, repr=False)
class FileCard:
    """A contact of a file.

    :ivar line: the number of the line at which the contact begins.
    :ivar id: the contact's own id in the file; empty if the file has no id for the contact.
    :ivar labels: the names of the contact's labels.
    :ivar numbers: each text that should be a telephone number, with the line and the column where the text stands.
    """

    line: int
    id: str = ""
    labels: list[str] = field(default_factory=list)
    numbers: list[tuple[int, str, str]] = field(default_factory=list)
    _names: dict[str, str] = field(default_factory=dict)
    _organization: dict[str, str] = field(default_factory=dict)
    _lists: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    _addresses: dict[str, dict[str, str]] = field(default_factory=dict)

    def set_name(self, key: str, text: str) -> None:
        """Set a part of the name: ``displayName``, ``givenName`` and others of the People API."""
        if text:
            self._names.setdefault(key, text)

    def set_organization(self, key: str, text: str) -> None:
        """Set ``name``, ``department`` or ``title``."""
        if text:
            self._organization.setdefault(key, text)

    def add(self, field_name: str, text: str) -> None:
        """Add a value to ``nicknames``, ``emailAddresses``, ``sipAddresses`` or ``urls``."""
        if text:
            self._lists.setdefault(field_name, []).append({"value": text})

    def add_number(self, text: str, type_: str, place: tuple[int, str], *, is_primary: bool = False) -> None:
        """Add a telephone number.

        :param type_: a type of the People API, or the user's own label.
        :param place: the line and the column.
        """
        if text:
            number = {"value": text, "type": type_, "metadata": {"primary": is_primary}}
            self._lists.setdefault("phoneNumbers", []).append(number)
            self.numbers.append((*place, text))

    def set_address(self, slot: str, key: str, text: str) -> None:
        """Set a part of a postal address.

        :param slot: the address that the part belongs to.
        :param key: ``streetAddress``, ``city`` and others of the People API.
        """
        if text:
            self._addresses.setdefault(slot, {}).setdefault(key, text)

    @property
    def person(self) -> dict[str, list[dict[str, Any]]]:
        """Return the contact as a person of the People API, without labels."""
        person = dict(self._lists)
        # The caller adds an arbitrary ``resourceName``, which `read_person` requires, and later gives the contact its
        # uid.
        person["names"] = [self._names] if self._names else []
        person["organizations"] = [self._organization] if self._organization else []
        person["addresses"] = [*self._addresses.values()]
        return person


def phone_type(word: str) -> str:
    """Return the People API's type for a word that a program writes for the kind of a number.

    An unknown word is the user's own label, and is returned.
    """
    return _TYPES.get(_PUNCTUATION.sub(" ", word.casefold()).strip(), word.strip())


# --- vCard, version 3.0 (RFC 2426) and 4.0 (RFC 6350) -----------------------------------------------------------------
# The reader keeps the number of each line, which the libraries for vCards lose or do not give for each property.

_VERSIONS: Final = ("3.0", "4.0")
_NAME: Final = re.compile(r"(?:([A-Za-z0-9-]+)\.)?([A-Za-z0-9-]+)")
_PARAMETER: Final = re.compile(r';([A-Za-z0-9-]+)(?:=((?:"[^"]*"|[^";:])*))?')
_LINE_END: Final = re.compile(r"\r\n|\n|\r")
_ESCAPED: Final = re.compile(r"\\(.)", re.DOTALL)
# The form in which Apple writes the names of its own types of numbers: _$!<Work>!$_
_APPLE_LABEL: Final = re.compile(r"_\$!<(.*)>!\$_")
# RFC 3966 3: the parameters of a telephone number.
_EXTENSION: Final = re.compile(r";ext=([0-9.()-]+)", re.IGNORECASE)
# The People API's names for the parts of a property's value, by property.
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
# The separators between the parts of values, by property.  The values of a property that is not in this table have no
# parts.
_SEPARATORS: Final = MappingProxyType({"N": ";", "ORG": ";", "ADR": ";", "NICKNAME": ",", "CATEGORIES": ","})
# The categories that are no labels of the user: Google's own groups, and the empty part behind the last separator.
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
    """Yield the contact of each vCard, and each problem of the file; vCards of groups are left out."""
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
    """Yield the lines with their numbers; a line that begins with a blank continues the previous line."""
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
    """Read a content line (RFC 6350 3.3); return None if the line does not have the form of a content line."""
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
    """Return whether a vCard is a group of other vCards, marked by KIND (RFC 6350 6.1.4) or by Apple's property."""
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

    :param labels: the user's own labels, by the group that connects a label with a property.
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
    """Return the parts of a property's value, at least one part; a separator behind a backslash divides nothing."""
    separator = _SEPARATORS.get(name)
    if separator is None:
        return [_text(value)]
    # A backslash at the end escapes nothing.
    return [_text(part) for part in re.findall(rf"((?:[^\\{separator}]|\\.|\\$)*)(?:{separator}|$)", value)]


# --- the phone book of a FRITZ!Box ------------------------------------------------------------------------------------
# A FRITZ!Box saves an XML file without a published schema.  Declarations of entities, which attacks by XML need, are
# refused.

# The elements whose text is read.
_TEXTS: Final = frozenset(("realName", "number", "email", "uniqueid"))


def read_phone_book(text: str) -> Iterator[FileCard | FileProblem]:
    """Yield each contact, or the problem of the file."""
    reader = _Reader()
    try:
        reader.parser.Parse(text.encode(), True)  # noqa: FBT003  expat's own signature
    except expat.ExpatError as error:
        yield FileProblem(error.lineno, TEXTS.bad_xml)
        return
    except _Declaration:
        yield FileProblem(reader.parser.CurrentLineNumber, TEXTS.bad_xml)
        return
    yield from reader.cards


class _Declaration(Exception):
    """Raised at the declaration of an entity, which no phone book of a FRITZ!Box has."""


class _Reader:
    """The reader of one file.

    Mutable: the contacts so far, and the element that is being read.
    """

    def __init__(self) -> None:
        self.cards: list[FileCard] = []
        # The text is decoded already, whatever encoding the file declares.
        self.parser = expat.ParserCreate("utf-8")
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._characters
        self.parser.EntityDeclHandler = self._refuse
        self.parser.buffer_text = True
        self._books = 0
        self._card: FileCard | None = None
        self._text: list[str] = []
        self._is_read = False
        self._attributes: dict[str, str] = {}

    def _refuse(self, *_: object) -> None:
        raise _Declaration

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        if name == "phonebook":
            self._books += 1
        elif name == "contact":
            self._card = FileCard(self.parser.CurrentLineNumber)
        elif name in _TEXTS:
            self._text, self._attributes, self._is_read = [], attributes, True

    def _characters(self, text: str) -> None:
        if self._is_read:
            self._text.append(text)

    def _end(self, name: str) -> None:
        card, text = self._card, "".join(self._text).strip()
        if card is None:
            return
        if name == "contact":
            self.cards.append(card)
            self._card = None
        elif name == "realName":
            card.set_name("displayName", text)
        elif name == "uniqueid" and text:
            card.id = f"{self._books}/{text}"  # each phone book of a file has its own ids
        elif name == "email":
            card.add("emailAddresses", text)
        elif name == "number":
            place = self.parser.CurrentLineNumber, "number"
            is_primary = self._attributes.get("prio") == "1"
            card.add_number(text, phone_type(self._attributes.get("type", "")), place, is_primary=is_primary)
        if name in _TEXTS:
            self._text, self._is_read = [], False
