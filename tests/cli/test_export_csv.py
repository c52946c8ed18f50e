# SPDX-License-Identifier: MIT
"""CSV, read by Python's own reader."""

from __future__ import annotations

import csv
import io

import pytest

from ldapgw.cli.export import CSV_COLUMNS, csv_header, csv_row
from ldapgw.contact import Contact, Kind, Phone
from ldapgw.numbers import stored_numbers
from ldapgw.numbers.number import Number
from tests.support.phonebook.entries import FULL, LABELS


def rows(*contacts: Contact, verbatim: bool = False) -> list[dict[str, str]]:
    """What a program reads."""

    def write(number: Number) -> str:
        return number.e164 or number.digits

    data = csv_header() + b"".join(
        csv_row(one, one.name, "alice@acme.example", LABELS, write, verbatim=verbatim) for one in contacts
    )
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
    assert tuple(row) == CSV_COLUMNS
    assert {name for name, value in row.items() if value} == {"book", "uid", "name"}


FORMULAS = {
    "=1+1": "'=1+1",
    "+cmd|' /C calc'!A0": "'+cmd|' /C calc'!A0",
    "-2+3": "'-2+3",
    "@SUM(A1)": "'@SUM(A1)",
    "＝1+1": "'＝1+1",
    "Ada = Bo": "Ada = Bo",
    "3M": "3M",
    "": "",
}


@pytest.mark.parametrize(("name", "cell"), FORMULAS.items(), ids=list(FORMULAS))
def test_no_cell_is_a_formula(name: str, cell: str) -> None:
    """A spreadsheet would evaluate it; a program may want it as it is."""
    contact = Contact("c1", name=name, organization=name)
    for verbatim, expected in ((False, cell), (True, name)):
        [found] = rows(contact, verbatim=verbatim)
        assert (found["name"], found["organization"]) == (expected, expected)


def test_numbers_stay_as_they_are() -> None:
    """They begin with a plus, several in a cell; a spreadsheet makes no formula of them."""
    numbers = stored_numbers.read("+4930123456 / +4930123457", "DE")
    phones = tuple(Phone(Kind.WORK, number) for number in numbers)
    [found] = rows(Contact("c1", phones=phones))
    assert found["work"] == "+4930123456\n+4930123457"
