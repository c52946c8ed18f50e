# SPDX-License-Identifier: MIT
"""Writes contacts as CSV (RFC 4180), with a row for each contact and a column for each kind of number.

Several values of one column are separated by line breaks within the cell.  The format allows line breaks in a cell, and
values contain none.

A spreadsheet evaluates a cell that begins with one of a few signs, and a stranger's name can begin with one.  Such a
cell gets an apostrophe in front, after which a spreadsheet shows it as text.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from ldapgw.contact import Contact, Kind
from ldapgw.numbers.number import Number

_TEXTS: Final = ("given_name", "family_name", "organization", "department", "title")
_KINDS: Final = tuple(Kind)

COLUMNS: Final = (
    *("book", "uid", "name", *_TEXTS, "also"),
    *(kind.value for kind in _KINDS),
    *("mail", "address", "url", "label"),
)


# What a spreadsheet takes for the beginning of a formula, also in full width; and telephone numbers, which are none.
_FORMULA_START: Final = re.compile(r"[=+\-@\t\r＝＋－＠]")
_NUMBERS: Final = re.compile(r"[+\d \n]+")


def header() -> bytes:
    """The first row, with the names of the columns."""
    return _row(COLUMNS)


def row(
    contact: Contact,
    name: str,
    book: str,
    labels: Mapping[str, str],
    write: Callable[[Number], str],
    *,
    verbatim: bool = False,
) -> bytes:
    """The row of one contact.

    :param name: the shown name.
    :param book: the name of the contact's book.
    :param labels: the names of labels by resource name.
    :param write: formats a telephone number.
    :param verbatim: write cells as they are, even if a spreadsheet would evaluate them.
    """
    numbers = {kind: [write(phone.number) for phone in contact.phones if phone.kind is kind] for kind in _KINDS}
    cells = (
        *(book, contact.uid, name),
        *(getattr(contact, field) for field in _TEXTS),
        _several(contact.also),
        *map(_several, numbers.values()),
        _several(contact.emails),
        _several(", ".join(address.lines) for address in contact.addresses),
        _several(contact.urls),
        _several(labels[label] for label in contact.labels if label in labels),
    )
    return _row(cells if verbatim else map(_as_text, cells))


def _as_text(cell: str) -> str:
    return f"'{cell}" if _FORMULA_START.match(cell) and not _NUMBERS.fullmatch(cell) else cell


def _several(values: Iterable[str]) -> str:
    return "\n".join(dict.fromkeys(values))


def _row(cells: Iterable[str]) -> bytes:
    line = io.StringIO(newline="")
    csv.writer(line).writerow(cells)
    return line.getvalue().encode("utf-8", "replace")
