# SPDX-License-Identifier: MIT
"""CSV files (RFC 4180): files that spreadsheet programs write, and files that these programs open safely.

The programs write several encodings and delimiters, and evaluate cells that begin with certain signs.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

_QUOTED: Final = re.compile(r'"[^"]*"')
# A cell by which a spreadsheet keeps the zeros in front of a number: ="0301234".
_TEXT_FORMULA: Final = re.compile(r'="((?:[^"]|"")*)"')
# The apostrophe in front of a cell that a spreadsheet would otherwise evaluate.
_PROTECTED: Final = re.compile(r"'(?=[=+\-@])")
# A spreadsheet evaluates a cell that begins with one of these signs, and a stranger's name can begin with such a sign.
# The cell then gets an apostrophe in front, so that a spreadsheet shows the cell as text.  A cell with only telephone
# numbers gets no apostrophe.
_FORMULA_START: Final = re.compile(r"[=+\-@\t\r＝＋－＠]")
_NUMBERS: Final = re.compile(r"[+\d \n]+")


class Line(NamedTuple):
    """A line of the file with its cells, which may contain line breaks.

    :ivar number: the number of the line in the file at which the first cell begins, counted from 1.
    """

    number: int
    cells: list[str]


class UnreadableLine(Exception):
    """Raised at a line whose quotation marks are not closed, or whose cell is too long.

    :ivar number: the number of the line.
    """

    def __init__(self, number: int) -> None:
        super().__init__(f"line {number} is not CSV")
        self.number = number


def decode(octets: bytes) -> str:
    """Decode a file in the encodings that spreadsheet programs write: UTF-8, UTF-16 and Windows-1252."""
    if octets.startswith((b"\xff\xfe", b"\xfe\xff")):
        return octets.decode("utf-16", "replace")
    try:
        return octets.decode("utf-8-sig")
    except UnicodeDecodeError:
        return octets.decode("cp1252", "replace")


def read_lines(text: str) -> Iterator[Line]:
    """Yield the lines that are not empty, with the blanks around each cell removed.

    :raises UnreadableLine: when the text is no CSV from some line on.
    """
    text = text.lstrip("\ufeff")
    first, _, _ = text.lstrip("\r\n ").partition("\n")
    # Excel writes a first line such as "sep=;", which names the delimiter, and hides this line when opening the file.
    declared = re.fullmatch(r"sep=(.)\s*", first)
    delimiter = declared[1] if declared else max(",;\t", key=_QUOTED.sub("", first).count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    is_declaration = declared is not None
    while True:
        number = reader.line_num + 1
        try:
            row = next(reader, None)
        except csv.Error:
            raise UnreadableLine(number) from None
        if row is None:
            return
        cells = [cell.strip() for cell in row]
        if any(cells) and not is_declaration:
            yield Line(number, cells)
        is_declaration = is_declaration and not any(cells)


def plain(cell: str) -> str:
    """Return the text of a cell without the signs by which programs keep a spreadsheet from changing the text."""
    formula = _TEXT_FORMULA.fullmatch(cell)
    return formula[1].replace('""', '"').strip() if formula else _PROTECTED.sub("", cell, count=1)


def csv_line(cells: Iterable[str]) -> bytes:
    """Return a row of a CSV file in UTF-8."""
    line = io.StringIO(newline="")
    csv.writer(line).writerow(cells)
    return line.getvalue().encode("utf-8", "replace")


def as_text(cell: str) -> str:
    """Return a cell that no spreadsheet evaluates as a formula."""
    return f"'{cell}" if _FORMULA_START.match(cell) and not _NUMBERS.fullmatch(cell) else cell


def csv_of_texts(rows: Iterable[Iterable[str]]) -> bytes:
    """Return a CSV file of which a spreadsheet evaluates no cell."""
    return b"".join(csv_line(map(as_text, row)) for row in rows)
