# SPDX-License-Identifier: MIT
"""A contact as a file has it: a `Card`, which the reader of each format makes, as a person of the People API.

So `ldapgw.google.person` reads names, numbers and addresses of files by the same rules as those of Google's contacts.

Mutable: `Card`, until its reader has yielded it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from ldapgw.phrase import Texts, Translatable, read_texts


class _ProblemTexts(Texts, frozen=True):
    """The problems of a file and of its lines."""

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

# The types of the People API by the words that programs write for them, in lower case and without punctuation.  Another
# word is the user's own label.
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
    :ivar id: the contact's own id in the file; empty if the file has none.
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
        # Any id makes a person readable; the contact gets its uid later.
        person["names"] = [self._names] if self._names else []
        person["organizations"] = [self._organization] if self._organization else []
        person["addresses"] = [*self._addresses.values()]
        return person


def phone_type(word: str) -> str:
    """Return the type of the People API for a program's word for the kind of a number, or the word itself."""
    return _TYPES.get(_PUNCTUATION.sub(" ", word.casefold()).strip(), word.strip())
