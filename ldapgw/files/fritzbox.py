# SPDX-License-Identifier: MIT
"""The contacts of the phone book that a FRITZ!Box saves: an XML file without a published schema.

Declarations of entities, which attacks by XML need, are refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final
from xml.parsers import expat

from ldapgw.files.card import TEXTS, FileCard, FileProblem, phone_type

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
