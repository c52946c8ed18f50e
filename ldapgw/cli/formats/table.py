# SPDX-License-Identifier: MIT
"""Writes contacts as CSV (RFC 4180), with a row for each contact and a column for each kind of number.

Several values of one column are separated by line breaks within the cell.  The format allows line breaks in a cell, and
values contain none.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from ldapgw.contact import Contact, Kind
from ldapgw.numbers.phone_number import Number

_TEXTS: Final = ("given_name", "family_name", "organization", "department", "title")
_KINDS: Final = tuple(Kind)

COLUMNS: Final = (
    *("book", "uid", "name", *_TEXTS, "also"),
    *(kind.value for kind in _KINDS),
    *("mail", "address", "url", "label"),
)


def header() -> bytes:
    """The first row, with the names of the columns."""
    return _row(COLUMNS)


def row(contact: Contact, name: str, book: str, labels: Mapping[str, str], write: Callable[[Number], str]) -> bytes:
    """The row of one contact.

    :param name: the shown name.
    :param book: the name of the contact's book.
    :param labels: the names of labels by resource name.
    :param write: formats a telephone number.
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
    return _row(cells)


def _several(values: Iterable[str]) -> str:
    return "\n".join(dict.fromkeys(values))


def _row(cells: Iterable[str]) -> bytes:
    line = io.StringIO(newline="")
    csv.writer(line).writerow(cells)
    return line.getvalue().encode("utf-8", "replace")
