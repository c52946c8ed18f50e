# SPDX-License-Identifier: MIT
"""The columns of CSV files of contacts, by the names that FreePBX, 3CX, Outlook, Google and spreadsheets give them.

A name is compared in lower case and without punctuation, in English and in German.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum, auto
from types import MappingProxyType
from typing import Final, NamedTuple

from ldapgw.errors import closest
from ldapgw.phrase import Phrase, Translatable, gettext_noop

_MEANT = gettext_noop("%(column)s (did you mean “%(meant)s”?)")


class ColumnUse(Enum):
    """The use of a column; `Column.detail` says more about some uses."""

    IGNORED = auto()
    ID = auto()
    NAME = auto()  # detail: the part of the name
    ORGANIZATION = auto()  # detail: the part of the organization
    LIST = auto()  # detail: the list of values that the People API has
    NUMBER = auto()  # detail: the type of the number
    TYPED_NUMBER = auto()  # slot: the number of the pair of columns
    NUMBER_TYPE = auto()  # slot: the same
    EXTENSION = auto()  # slot: the same
    ADDRESS = auto()  # detail: the part of the address; slot: the address
    LABELS = auto()


# The uses of columns that a misspelt name may mean; other columns are not missed.
_SUGGESTED: Final = (ColumnUse.NAME, ColumnUse.ORGANIZATION, ColumnUse.NUMBER)


class Column(NamedTuple):
    """A column of a file.

    :ivar title: the column's name in the file.
    """

    title: str
    use: ColumnUse = ColumnUse.IGNORED
    detail: str = ""
    slot: str = ""


def _table(*rows: tuple[ColumnUse, str, str]) -> Mapping[str, tuple[ColumnUse, str]]:
    return MappingProxyType({name: (use, detail) for use, detail, names in rows for name in names.split(", ")})


# The use and the detail of each column by its comparable name.
_COLUMNS: Final = _table(
    (ColumnUse.ID, "", "id, uid, kennung"),
    (
        ColumnUse.NAME,
        "displayName",
        "name, full name, display name, displayname, file as, anzeigename, speichern unter, vollständiger name",
    ),
    (ColumnUse.NAME, "givenName", "first name, firstname, given name, vorname, fname"),
    (ColumnUse.NAME, "middleName", "middle name, additional name, weitere vornamen, zweiter vorname"),
    (ColumnUse.NAME, "familyName", "last name, lastname, family name, surname, nachname, familienname, lname"),
    (ColumnUse.NAME, "phoneticGivenName", "phonetic first name, given name yomi, given yomi"),
    (ColumnUse.NAME, "phoneticFamilyName", "phonetic last name, family name yomi, surname yomi"),
    (ColumnUse.LIST, "nicknames", "nickname, spitzname"),
    (
        ColumnUse.ORGANIZATION,
        "name",
        "company, company name, organization, organisation, organization name, organization 1 name, firma, unternehmen",
    ),
    (ColumnUse.ORGANIZATION, "department", "department, organization department, organization 1 department, abteilung"),
    (
        ColumnUse.ORGANIZATION,
        "title",
        "job title, organization title, organization 1 title, position, funktion, berufsbezeichnung, title",
    ),
    (
        ColumnUse.NUMBER,
        "work",
        (
            "extension, ext, nebenstelle, durchwahl, number, nummer, internal, intern, business, business phone, work, "
            "work phone, telefon geschäftlich, geschäftlich"
        ),
    ),
    (
        ColumnUse.NUMBER,
        "",
        (
            "phone, telephone, tel, phone number, telefon, telefonnummer, rufnummer, primary phone, haupttelefon, "
            "other, other phone, weiteres telefon, car phone, autotelefon, callback, rückmeldung, isdn"
        ),
    ),
    (
        ColumnUse.NUMBER,
        "mobile",
        "mobile, mobile phone, mobilenumber, mobile number, mobil, mobiltelefon, mobilnummer, handy, cell, cell phone",
    ),
    (ColumnUse.NUMBER, "home", "home, home phone, telefon privat, privat"),
    (ColumnUse.NUMBER, "main", "company main phone, main, main phone, telefon firma, zentrale"),
    (ColumnUse.NUMBER, "workFax", "fax, telefax, business fax, businessfax, fax geschäftlich"),
    (ColumnUse.NUMBER, "homeFax", "home fax, homefax, fax privat"),
    (ColumnUse.NUMBER, "otherFax", "other fax, weiteres fax"),
    (ColumnUse.NUMBER, "pager", "pager"),
    (
        ColumnUse.LIST,
        "emailAddresses",
        "e mail, email, mail, e mail address, emailaddress, email address, e mail adresse, mailadresse",
    ),
    (ColumnUse.LIST, "sipAddresses", "sip, sip address, sip adresse"),
    (ColumnUse.LIST, "urls", "web page, website, webseite, url, homepage"),
    (
        ColumnUse.LABELS,
        "",
        "labels, label, group membership, categories, category, kategorien, kategorie, group, groups, gruppe, gruppen",
    ),
)
# The part of an address by a word of the column's name.
_ADDRESS_PARTS: Final = MappingProxyType(
    {
        **dict.fromkeys(("street", "strasse", "street address"), "streetAddress"),
        **dict.fromkeys(("city", "ort", "stadt"), "city"),
        **dict.fromkeys(("state", "region", "bundesland", "bundesland kanton"), "region"),
        **dict.fromkeys(("postal code", "zip", "plz", "postleitzahl"), "postalCode"),
        **dict.fromkeys(("country", "country region", "land", "land region"), "country"),
        **dict.fromkeys(("formatted", "address", "adresse", "anschrift"), "formattedValue"),
        **dict.fromkeys(("po box", "postfach"), "poBox"),
    }
)
_PARTS: Final = "|".join(sorted(_ADDRESS_PARTS, key=len, reverse=True))
_ADDRESS: Final = re.compile(
    rf"(?P<before>business|home|other|address \d+)? ?(?P<part>{_PARTS}) ?(?P<after>geschäftlich|privat|weitere)?"
)
_TYPED_NUMBER: Final = re.compile(r"phone (\d+) (value|number|label|type|extension)")
_EMAIL: Final = re.compile(r"e ?mail( \d+)? (value|address|adresse)|e ?mail \d+|e mail adresse \d+")
_WEBSITE: Final = re.compile(r"website \d+( value)?")
_PUNCTUATION: Final = re.compile(r"[\s_:./()-]+")
_NUMBERED: Final = re.compile(r" ?(?<!\d)\d+$")


def read_columns(titles: Sequence[str]) -> tuple[Column, ...]:
    """Return the columns of a file by their names."""
    columns = [_column(title) for title in titles]
    # Outlook has the form of address, such as "Dr.", in the column "Title", and the position in "Job Title".
    positions = [column for column in columns if (column.use, column.detail) == (ColumnUse.ORGANIZATION, "title")]
    if len(positions) > 1:
        columns = [Column(column.title) if _comparable(column.title) == "title" else column for column in columns]
    return tuple(columns)


def are_of_contacts(columns: Iterable[Column]) -> bool:
    """Return whether there is a column for names, and a column for numbers."""
    uses = {column.use for column in columns}
    return not uses.isdisjoint({ColumnUse.NAME, ColumnUse.ORGANIZATION}) and not uses.isdisjoint(
        {ColumnUse.NUMBER, ColumnUse.TYPED_NUMBER}
    )


def ignored(columns: Sequence[Column]) -> tuple[Translatable, ...]:
    """Return the name of each column that is ignored, with the missing column of names or numbers that may be meant."""
    present = {(column.use, column.detail) for column in columns}
    missing = [name for name, known in _COLUMNS.items() if known[0] in _SUGGESTED and known not in present]
    names = dict.fromkeys(column.title for column in columns if column.use is ColumnUse.IGNORED and column.title)
    meant = {name: closest(_comparable(name), missing) for name in names}
    return tuple(Phrase(_MEANT, {"column": name, "meant": meant[name]}) if meant[name] else name for name in names)


def _column(title: str) -> Column:
    name = _comparable(title)
    if found := _TYPED_NUMBER.fullmatch(name):
        uses = {"value": ColumnUse.TYPED_NUMBER, "number": ColumnUse.TYPED_NUMBER, "extension": ColumnUse.EXTENSION}
        return Column(title, uses.get(found[2], ColumnUse.NUMBER_TYPE), slot=found[1])
    if _EMAIL.fullmatch(name):
        return Column(title, ColumnUse.LIST, "emailAddresses")
    if _WEBSITE.fullmatch(name):
        return Column(title, ColumnUse.LIST, "urls")
    if found := _ADDRESS.fullmatch(name):
        return Column(title, ColumnUse.ADDRESS, _ADDRESS_PARTS[found["part"]], found["before"] or found["after"] or "")
    known = _COLUMNS.get(name) or _COLUMNS.get(_NUMBERED.sub("", name))
    return Column(title, *known) if known else Column(title)


def _comparable(title: str) -> str:
    return _PUNCTUATION.sub(" ", title.casefold()).strip()
