# SPDX-License-Identifier: MIT
"""Contacts as a table: CSV (RFC 4180), a row for each, a column for each kind of number.

Several values of one column stand on lines of their own within the cell, which the format allows and values cannot
hold.
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
    """The first row: what the columns are called."""
    return _row(COLUMNS)


def row(contact: Contact, name: str, book: str, labels: Mapping[str, str], write: Callable[[Number], str]) -> bytes:
    """One contact.

    :param name: what it is shown as.
    :param book: where it comes from.
    :param labels: the labels' names by their resource names.
    :param write: how a number is written.
    """
    numbers = {kind: [write(phone.number) for phone in contact.phones if phone.kind is kind] for kind in _KINDS}
    cells = (
        *(book, contact.uid, name),
        *(getattr(contact, text) for text in _TEXTS),
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
    written = io.StringIO(newline="")
    csv.writer(written).writerow(cells)
    return written.getvalue().encode("utf-8", "replace")
