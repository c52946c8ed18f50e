# SPDX-License-Identifier: MIT
"""The contacts of a CSV file, whose first line names the columns."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from ldapgw.files.card import TEXTS, FileCard, FileProblem, phone_type
from ldapgw.files.columns import Column, ColumnUse, are_of_contacts, ignored, read_columns
from ldapgw.files.spreadsheet import UnreadableLine, plain, read_lines
from ldapgw.phrase import Phrase, Translatable

# Google separates several values in a cell by this sign.
_SEPARATOR: Final = ":::"
# Outlook separates categories by semicolons, people also separate labels by commas.
_LABEL_SEPARATOR: Final = re.compile("[;,]")
# A number in the format of a spreadsheet that has lost digits, such as 4,93012E+11, or 5E+11 in a narrow column.
_SHORTENED: Final = re.compile(r"[0-9](?:[.,][0-9]+)?E\+[0-9]+", re.IGNORECASE)
# The sign in front of Google's own groups ("* myContacts"), and of the type of a primary number ("* Mobile").
_STAR: Final = "*"
_UNREADABLE: Final = "\ufffd"


class CsvFile:
    """The reader of a CSV file.

    Mutable: what was read so far.

    :ivar ignored: the names of the columns that are ignored.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self.ignored: tuple[Translatable, ...] = ()

    def read(self) -> Iterator[FileCard | FileProblem]:
        """Yield each contact, or each problem of the file."""
        columns: Sequence[Column] = ()
        try:
            for number, cells in read_lines(self._text):
                if columns:
                    yield from _read_line(number, cells, columns)
                    continue
                columns = read_columns(cells)
                self.ignored = ignored(columns)
                if not are_of_contacts(columns):
                    yield FileProblem(number, TEXTS.no_columns)
                    return
        except UnreadableLine as error:
            yield FileProblem(error.number, TEXTS.quotes)


def _read_line(number: int, cells: Sequence[str], columns: Sequence[Column]) -> Iterator[FileCard | FileProblem]:
    if any(cells[len(columns) :]):
        reason = Phrase(TEXTS.too_many_cells, {"columns": len(columns), "found": len(cells)})
        yield FileProblem(number, reason)
        return
    values = [(column, plain(cell)) for column, cell in zip(columns, cells, strict=False) if cell]
    if any(_UNREADABLE in value for _, value in values):
        yield FileProblem(number, TEXTS.characters)
        return
    for column, value in values:
        if column.use in (ColumnUse.NUMBER, ColumnUse.TYPED_NUMBER, ColumnUse.EXTENSION) and _SHORTENED.fullmatch(
            value
        ):
            yield FileProblem(number, Phrase(TEXTS.shortened, {"column": column.title}))
            return
    yield _card(number, values)


def _card(line: int, values: Sequence[tuple[Column, str]]) -> FileCard:
    card = FileCard(line)
    types = {column.slot: value for column, value in values if column.use is ColumnUse.NUMBER_TYPE}
    extensions = {column.slot: value for column, value in values if column.use is ColumnUse.EXTENSION}
    for column, value in values:
        place = line, column.title
        match column.use:
            case ColumnUse.ID:
                card.id = card.id or value
            case ColumnUse.NAME:
                card.set_name(column.detail, value)
            case ColumnUse.ORGANIZATION:
                card.set_organization(column.detail, value)
            case ColumnUse.LIST:
                for part in value.split(_SEPARATOR):
                    card.add(column.detail, part.strip())
            case ColumnUse.ADDRESS:
                card.set_address(column.slot, column.detail, value)
            case ColumnUse.LABELS:
                card.labels += _labels(value)
            case ColumnUse.NUMBER:
                card.add_number(value, column.detail, place)
            case ColumnUse.TYPED_NUMBER:
                written = types.get(column.slot, "")
                is_primary = written.startswith(_STAR)
                extension = extensions.pop(column.slot, "")
                number = f"{value} x{extension}" if extension and extension != value else value
                card.add_number(number, phone_type(written.removeprefix(_STAR)), place, is_primary=is_primary)
    for slot, extension in extensions.items():  # extensions without a number
        title = next(column.title for column, _ in values if (column.use, column.slot) == (ColumnUse.EXTENSION, slot))
        card.add_number(extension, "work", (line, title))
    return card


def _labels(value: str) -> list[str]:
    """Return the names of labels in a cell, without Google's own groups."""
    parts = value.split(_SEPARATOR) if _SEPARATOR in value else _LABEL_SEPARATOR.split(value)
    return [name for part in parts if (name := part.strip()) and not name.startswith(_STAR)]
