# SPDX-License-Identifier: MIT
"""CSV, read by Python's own reader."""

from __future__ import annotations

import csv
import io

from ldapgw.cli.formats import table
from ldapgw.contact import Contact
from ldapgw.numbers.phone_number import Number
from tests.support.phonebook.entries import FULL, LABELS


def rows(*contacts: Contact) -> list[dict[str, str]]:
    """What a program reads."""

    def write(number: Number) -> str:
        return number.e164 or number.digits

    data = table.header() + b"".join(table.row(one, one.name, "alice@acme.example", LABELS, write) for one in contacts)
    assert data.endswith(b"\r\n")
    return list(csv.DictReader(io.StringIO(data.decode(), newline=""), strict=True))


def test_a_contact_is_a_row() -> None:
    """A column for each kind of number; several values of one on lines of their own."""
    assert rows(FULL) == [
        {
            "book": "alice@acme.example",
            "uid": "c1",
            "name": "Jörg Müller",
            "given_name": "Jörg",
            "family_name": "Müller; Lüdenscheidt",
            "organization": "Müller, Sons & Co",
            "department": "R&D",
            "title": "Chef",
            "also": "Jockel\na,b",
            "work": "+49301234567",
            "main": "",
            "other": "204",
            "mobile": "+491712345678",
            "home": "",
            "fax": "+49301234599",
            "pager": "",
            "mail": "joerg@mail.example",
            "address": 'Weg 1, 12345 "Berlin"',
            "url": "https://adler.example/a?b,c",
            "label": "Customers, old",
        }
    ]


def test_an_empty_contact_has_all_columns() -> None:
    """None is missing."""
    [row] = rows(Contact(uid="c2", name="X"))
    assert tuple(row) == table.COLUMNS
    assert {name for name, value in row.items() if value} == {"book", "uid", "name"}
