# SPDX-License-Identifier: MIT
"""CSV files (RFC 4180): contacts by the columns that FreePBX, 3CX, Outlook, Google and spreadsheets write.

The lines are read in the encodings and with the delimiters that spreadsheet programs write; the files of phones to add
(`ldapgw.phones.rollout`) are read in the same way.  The first line of a file of contacts names the columns.  The
columns have English or German names, which are compared in lower case and without punctuation.  This module writes
files in such a way that a spreadsheet evaluates no cell.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import Enum, auto
from types import MappingProxyType
from typing import Final, NamedTuple

from ldapgw.errors import closest
from ldapgw.files.card import TEXTS, FileCard, FileProblem, phone_type
from ldapgw.phrase import Phrase, Translatable, gettext_noop

# --- lines ------------------------------------------------------------------------------------------------------------

_QUOTED: Final = re.compile(r'"[^"]*"')
# The character that stands for octets that cannot be decoded.
_UNREADABLE: Final = "\ufffd"
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
    """Decode a file in the encodings that spreadsheet programs write: UTF-8, UTF-16 and Windows-1252.

    A file that is UTF-8 except for a few octets stays UTF-8, so that only these octets are lost.
    """
    if octets.startswith((b"\xff\xfe", b"\xfe\xff")):
        return octets.decode("utf-16", "replace")
    try:
        return octets.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = octets.decode("utf-8-sig", "replace")
        # Letters of Windows-1252 hardly ever form a character of UTF-8.
        is_utf8 = 2 * text.count(_UNREADABLE) <= sum(character > "\x7f" for character in text)
        return text if is_utf8 else octets.decode("cp1252", "replace")


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


def _plain(cell: str) -> str:
    """Return the text of a cell without the signs that protect the text from a spreadsheet.

    Some programs write ``="0301234"`` in place of ``0301234``, because a spreadsheet would remove the 0.  Some programs
    write ``'+49 30 1234`` in place of ``+49 30 1234``, because a spreadsheet would evaluate the text as a formula.
    """
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
    """Return a CSV file whose cells are texts for a spreadsheet, which then evaluates no cell as a formula."""
    return b"".join(csv_line(map(as_text, row)) for row in rows)


# --- columns ----------------------------------------------------------------------------------------------------------

_MEANT = gettext_noop("%(column)s (did you mean “%(meant)s”?)")


class ColumnUse(Enum):
    """The use of a column; for some uses, `Column.detail` or `Column.slot` says more."""

    IGNORED = auto()
    ID = auto()
    NAME = auto()  # detail: the part of the name
    ORGANIZATION = auto()  # detail: the part of the organization
    LIST = auto()  # detail: the field of the People API to which the value is added, such as ``urls``
    NUMBER = auto()  # detail: the type of the number
    TYPED_NUMBER = auto()  # slot: the number in the column's name, such as 2 in "Phone 2 - Value"
    NUMBER_TYPE = auto()  # slot: the number in the column's name, as for `TYPED_NUMBER`
    EXTENSION = auto()  # slot: the number in the column's name, as for `TYPED_NUMBER`
    ADDRESS = auto()  # detail: the part of the address; slot: the address
    LABELS = auto()


# The reader suggests only columns with these uses in place of a misspelt title, because each file needs such columns.
# Columns with other uses may be missing on purpose.
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


# The use and the detail of each column.  The keys are names of columns, folded by `_comparable`.
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
# The keys are words in the names of columns.  The value is the part of a postal address that a column with this word
# holds.
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


def _read_columns(titles: Sequence[str]) -> tuple[Column, ...]:
    """Return the columns of a file in their order; the title of a column decides its use."""
    columns = [_column(title) for title in titles]
    # Outlook has the form of address, such as "Dr.", in the column "Title", and the position in "Job Title".
    positions = [column for column in columns if (column.use, column.detail) == (ColumnUse.ORGANIZATION, "title")]
    if len(positions) > 1:
        columns = [Column(column.title) if _comparable(column.title) == "title" else column for column in columns]
    return tuple(columns)


def _are_of_contacts(columns: Iterable[Column]) -> bool:
    """Return whether the columns include a column for names and a column for numbers."""
    uses = {column.use for column in columns}
    return not uses.isdisjoint({ColumnUse.NAME, ColumnUse.ORGANIZATION}) and not uses.isdisjoint(
        {ColumnUse.NUMBER, ColumnUse.TYPED_NUMBER}
    )


def _ignored(columns: Sequence[Column]) -> tuple[Translatable, ...]:
    """Return the name of each ignored column, with a suggestion if the name may be misspelt.

    The suggestion is the similar name of a column that the file lacks (`_SUGGESTED`).
    """
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


# --- contacts ---------------------------------------------------------------------------------------------------------

# Google separates several values in a cell by this sign.
_SEPARATOR: Final = ":::"
# Outlook separates categories by semicolons, and people also separate labels by commas.
_LABEL_SEPARATOR: Final = re.compile("[;,]")
# A number in the format of a spreadsheet that has lost digits, such as 4,93012E+11, or 5E+11 in a narrow column.
_SHORTENED: Final = re.compile(r"[0-9](?:[.,][0-9]+)?E\+[0-9]+", re.IGNORECASE)
# The sign in front of Google's own groups ("* myContacts"), and of the type of a primary number ("* Mobile").
_STAR: Final = "*"


class CsvFile:
    """The reader of a CSV file.

    Mutable: the data that were read so far.

    :ivar ignored: the names of the columns that are ignored.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self.ignored: tuple[Translatable, ...] = ()

    def read(self) -> Iterator[FileCard | FileProblem]:
        """Yield each contact and each problem of the file."""
        columns: Sequence[Column] = ()
        try:
            for number, cells in read_lines(self._text):
                if columns:
                    yield from _read_line(number, cells, columns)
                    continue
                columns = _read_columns(cells)
                self.ignored = _ignored(columns)
                if not _are_of_contacts(columns):
                    yield FileProblem(number, TEXTS.no_columns)
                    return
        except UnreadableLine as error:
            yield FileProblem(error.number, TEXTS.quotes)


def _read_line(number: int, cells: Sequence[str], columns: Sequence[Column]) -> Iterator[FileCard | FileProblem]:
    if any(cells[len(columns) :]):
        reason = Phrase(TEXTS.too_many_cells, {"columns": len(columns), "found": len(cells)})
        yield FileProblem(number, reason)
        return
    values = [(column, _plain(cell)) for column, cell in zip(columns, cells, strict=False) if cell]
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
    for slot, extension in extensions.items():  # if the number is missing, the extension is read as a number
        title = next(column.title for column, _ in values if (column.use, column.slot) == (ColumnUse.EXTENSION, slot))
        card.add_number(extension, "work", (line, title))
    return card


def _labels(value: str) -> list[str]:
    """Return the names of labels in a cell, without Google's own groups."""
    parts = value.split(_SEPARATOR) if _SEPARATOR in value else _LABEL_SEPARATOR.split(value)
    return [name for part in parts if (name := part.strip()) and not name.startswith(_STAR)]
