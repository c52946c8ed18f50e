# SPDX-License-Identifier: MIT
"""The tests read files of contacts as programs export them, and check the messages about unusable lines."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ldapgw.contact import Contact
from ldapgw.files import reading
from ldapgw.files.reading import FileReading, read_contacts

FILES = Path(__file__).parents[1] / "data" / "files"
SHORT = "name;extension;mobile\nJörg Müller;204;0170 1234567\nAnna Schmidt;205;\n"


def read(text: str) -> FileReading:
    return read_contacts(text.encode(), "DE")


def problems(text: str) -> list[str]:
    found = read(text)
    assert found.problem_count == len(found.problems)
    return [str(problem) for problem in found.problems]


def numbers(contact: Contact) -> list[tuple[str, str]]:
    return [(phone.kind.value, phone.number.e164 or phone.number.digits) for phone in contact.phones]


def shown(found: FileReading) -> Iterator[tuple[str, str, list[tuple[str, str]], list[str]]]:
    assert found.problems == ()
    for contact in found.contacts:
        labels = [found.labels[label] for label in contact.labels]
        yield contact.name, contact.organization, numbers(contact), sorted(labels)


# --- exports ----------------------------------------------------------------------------------------------------------

BERLIN, MOBILE, FAX, HOME = "+4930123454", "+491701234567", "+49301234599", "+4930998877"


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        (
            "freepbx.csv",
            [
                ("Jörg Müller", "", [("work", "204")], []),
                ("Anna Schmidt", "", [("work", "205")], []),
                ("Pforte", "", [("work", "9")], []),
            ],
        ),
        (
            "freepbx_contacts.csv",
            [
                ("Jörg Müller", "Acme GmbH", [("work", "+4930123454"), ("mobile", "+491701234567")], []),
                ("Anna Schmidt", "", [("work", "205")], []),
            ],
        ),
        (
            "3cx.csv",
            [
                ("Jörg Müller", "Acme GmbH", [("mobile", MOBILE), ("work", BERLIN), ("fax", FAX)], []),
                ("Anna Schmidt, Dr.", "Acme GmbH", [("home", HOME), ("work", "205")], []),
            ],
        ),
        ("3cx_users.csv", [("Jörg Müller", "", [("work", "204"), ("mobile", MOBILE)], [])]),
        (
            "outlook_de.csv",
            [
                (
                    "Jörg Müller",
                    "Acme GmbH",
                    [("fax", FAX), ("work", BERLIN), ("work", "204"), ("mobile", MOBILE)],
                    ["Kunden"],
                ),
                ("Anna Schmidt", "", [("home", HOME)], ["Kunden", "Presse"]),
            ],
        ),
        (
            "outlook_en.csv",
            [
                (
                    "Jörg Müller",
                    "Acme GmbH",
                    [("fax", FAX), ("work", BERLIN), ("main", "+493012340"), ("mobile", MOBILE)],
                    ["Customers", "Press"],
                )
            ],
        ),
        (
            "google.csv",
            [
                ("Jörg Müller", "Acme GmbH", [("mobile", MOBILE), ("work", BERLIN), ("work", "204")], ["Kunden"]),
                ("", "Pizzeria Roma", [("other", "+49304445566"), ("fax", "+49304445567")], []),
            ],
        ),
        (
            "google.vcf",
            [
                (
                    "Jörg Müller",
                    "Acme GmbH",
                    [("mobile", MOBILE), ("work", BERLIN), ("work", "204"), ("fax", FAX)],
                    ["Kunden"],
                ),
                ("Pizzeria Roma", "Pizzeria Roma", [("main", "+49304445566")], []),
            ],
        ),
        (
            "outlook.vcf",
            [
                (
                    "Dr. Anna Schmidt",
                    "Acme GmbH",
                    [("work", "+4930123455"), ("home", HOME), ("mobile", "+491707654321")],
                    [],
                )
            ],
        ),
        ("vcard4.vcf", [("Łukasz Nowak", "", [("work", "+4930123456"), ("mobile", "+491705550171")], [])]),
        (
            "fritzbox.xml",
            [
                ("Jörg Müller", "", [("home", BERLIN), ("mobile", MOBILE), ("fax", FAX)], []),
                ("Werkstatt & Co", "", [("work", "**620")], []),
            ],
        ),
    ],
)
def test_what_programs_export(file: str, expected: list[object]) -> None:
    assert list(shown(read_contacts((FILES / file).read_bytes(), "DE"))) == expected


def test_all_fields_of_a_contact() -> None:
    """CSV and vCard files give the same fields. Photos and notes stay in the file."""
    csv_contact, _ = read_contacts((FILES / "google.csv").read_bytes(), "DE").contacts
    vcard_contact, _ = read_contacts((FILES / "google.vcf").read_bytes(), "DE").contacts
    for contact in (csv_contact, vcard_contact):
        assert (contact.given_name, contact.family_name, contact.also) == ("Jörg", "Müller", ("Jogi",))
        assert (contact.department, contact.title, contact.photo) == ("Einkauf", "Leiter", b"")
        assert contact.emails[0] == "joerg@acme.example"
        assert contact.urls == ("https://acme.example",)
        [address] = contact.addresses
        assert (address.street, address.city, address.postal_code) == ("Hauptstr. 1", "Berlin", "10115")


def test_columns_that_are_not_known_are_named_once() -> None:
    """A message suggests the meaning of a misspelt column, if the file lacks this column."""
    found = read("name,extension,fax number,Mobil phone,Shoe size,Shoe size\nA,204,,,,\n")
    assert list(map(str, found.ignored)) == ["fax number", "Mobil phone (did you mean “mobile phone”?)", "Shoe size"]
    assert read("First Name,Last Name,Job Title,Title,Phone\nA,B,Head,Mr.,204\n").contacts[0].title == "Head"
    assert read("Name,Title,Phone\nA,Head,204\n").contacts[0].title == "Head"


# --- encodings and spreadsheets ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "octets",
    [
        SHORT.encode(),
        SHORT.encode("utf-8-sig"),
        SHORT.encode("utf-16"),
        SHORT.encode("cp1252"),
        SHORT.replace(";", ",").encode(),
        SHORT.replace(";", "\t").replace("\n", "\r\n").encode("utf-16"),
        b"sep=;\r\n" + SHORT.encode(),
        SHORT.replace("\n", "\r").encode(),
        '"a, b, c, d";name;extension;mobile\n;Jörg Müller;="204";\'+491701234567\n;"Anna\n Schmidt";205'.encode(),
    ],
    ids=["utf-8", "bom", "utf-16", "cp1252", "commas", "unicode text", "sep", "mac", "formulas"],
)
def test_what_spreadsheets_write(octets: bytes) -> None:
    assert list(shown(read_contacts(octets, "DE"))) == [
        ("Jörg Müller", "", [("work", "204"), ("mobile", "+491701234567")], []),
        ("Anna Schmidt", "", [("work", "205")], []),
    ]


def test_formulas_are_text() -> None:
    """Formulas are never evaluated. The export of contacts protects the next spreadsheet."""
    [contact] = read('name,phone\n"=HYPERLINK(""http://x.example"")",204\n').contacts
    assert contact.name == '=HYPERLINK("http://x.example")'


# --- problems ---------------------------------------------------------------------------------------------------------


def test_each_bad_line_is_named_with_what_is_expected() -> None:
    text = (
        'id,name,extension,phone\n1,Ann,204,\n2,Bo,none,\n3,Cy,205,x,y\n1,"Di\nD",206,\n,,,\n4,,,\n5,Ed,,4.93012E+11\n'
    )
    assert problems(text) == [
        "line 3: Column “extension”: expected a telephone number, such as 204 or +49 30 1234567.",
        "line 4: Expected at most 4 values, found 5. A value that contains the delimiter must be in quotation marks.",
        "line 5: Line 2 has the same id. Each contact needs an id of its own.",
        "line 8: Expected a name or company, a number or an e-mail address.",
        "line 9: Column “phone”: a spreadsheet has shortened the number. Give the column the format “text”, and enter "
        "the number again.",
    ]


@pytest.mark.parametrize("number", ["4.93012E+11", "4,9e+11", "5E+11"])
def test_a_number_that_a_spreadsheet_has_shortened(number: str) -> None:
    """A narrow column may leave no digit behind the first digit."""
    [problem] = problems(f'name,phone\nEd,"{number}"\n')
    assert "a spreadsheet has shortened the number" in problem


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ["The file has no contacts."]),
        (" \n", ["The file has no contacts."]),
        ("name,extension\n", ["The file has no contacts."]),
        (
            "Ann,204\n",
            [
                "line 1: Expected the names of the columns: one for names, such as “name”, and one for numbers, such "
                "as “extension”, “phone” or “mobile”."
            ],
        ),
        (
            'name,phone\n"Ann,204\nBo,205\n',
            ["line 2: Expected a closing quotation mark, and a cell of at most 128 KiB."],
        ),
        (
            "PK\0\3",
            ["Expected CSV, vCard 3.0 or 4.0, or the phone book of a FRITZ!Box. A workbook must be saved as CSV."],
        ),
        (
            "name,phone\nAnn\ufffd,204\n",
            ["line 2: Unreadable characters. Expected text in UTF-8, UTF-16 or Windows-1252."],
        ),
        (
            "BEGIN:VCARD\nVERSION:2.1\nFN:Ann\nEND:VCARD\n",
            ["line 2: Expected VERSION:3.0 or VERSION:4.0."],
        ),
        ("BEGIN:VCARD\nFN:Ann\nEND:VCARD\n", ["line 1: Expected VERSION:3.0 or VERSION:4.0."]),
        (
            "BEGIN:VCARD\nVERSION:3.0\nFN:Ann\nno property\nEND:VCARD\nTEL:204\n",
            [
                "line 4: Expected a line of a vCard, such as TEL;TYPE=work:+49 30 1234567.",
                "line 6: Expected BEGIN:VCARD.",
            ],
        ),
        (
            "BEGIN:VCARD\nVERSION:3.0\nFN:Ann\nBEGIN:VCARD\nVERSION:3.0\nFN:Bo\nTEL:204\n",
            [
                "line 1: The vCard that begins here has no END:VCARD.",
                "line 4: The vCard that begins here has no END:VCARD.",
            ],
        ),
        (
            "BEGIN:VCARD\nVERSION:3.0\nFN:Ann\nTEL:ask\n  me\nEND:VCARD\n",
            ["line 4: Column “TEL”: expected a telephone number, such as 204 or +49 30 1234567."],
        ),
        (
            "BEGIN:VCARD\nVERSION:3.0\nFN:Ann\ufffd\nTEL:204\nEND:VCARD\n",
            ["line 3: Unreadable characters. Expected text in UTF-8, UTF-16 or Windows-1252."],
        ),
        (
            "<?xml version='1.0'?>\n<phonebooks>\n<contact>\n</phonebooks>",
            ["line 4: Expected the phone book of a FRITZ!Box as the FRITZ!Box saves it."],
        ),
        (
            "<?xml version='1.0'?>\n<!DOCTYPE x [<!ENTITY a 'aaaa'>]>\n<phonebooks>&a;</phonebooks>",
            ["line 2: Expected the phone book of a FRITZ!Box as the FRITZ!Box saves it."],
        ),
        ("<?xml version='1.0'?><phonebooks/>", ["The file has no contacts."]),
    ],
)
def test_what_is_no_list_of_contacts(text: str, expected: list[str]) -> None:
    assert problems(text) == expected


def test_many_problems_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    found = read("name,phone\n" + "Ann,none\n" * 101)
    assert (found.problem_count, len(found.problems)) == (101, 100)
    monkeypatch.setattr(reading, "MOST_MIB", 0)
    assert problems("x") == ["The file has more than 0 MiB."]


def test_a_problem_tells_no_name_and_no_number() -> None:
    """Problems are logged, so they hold no values."""
    [problem] = problems("name,phone\nGeheim,Sonderbar\n")
    assert "Geheim" not in problem
    assert "Sonderbar" not in problem
    assert "Geheim" not in repr(read("name,phone\nGeheim,204\n"))


# --- stable uids ------------------------------------------------------------------------------------------------------


def test_a_backslash_at_the_end_of_a_value() -> None:
    """The backslash escapes nothing, costs no time and loses no part."""
    [contact] = read("BEGIN:VCARD\nVERSION:3.0\nN:Doe;John\\\nORG:Acme\\\nTEL:204\nEND:VCARD\n").contacts
    assert (contact.family_name, contact.given_name, contact.organization) == ("Doe", "John\\", "Acme\\")
    found = read("BEGIN:VCARD\nVERSION:3.0\nN:" + "x" * 100_000 + "\\\nTEL:204\nEND:VCARD\n")
    assert len(found.contacts) == 1


@pytest.mark.parametrize("text", ["21o", "2l0", "O30 123456", "+49 3O 1"])
def test_letters_that_stand_for_digits(text: str) -> None:
    """The number is refused, because phones would otherwise get only the digits in front of the letter."""
    expected = "line 2: Column “extension”: expected a telephone number, such as 204 or +49 30 1234567."
    assert problems(f"name,extension\nLager,{text}\n") == [expected]


def test_lines_that_would_take_long() -> None:
    """The files have a long name of a column, or much text between the elements of a phone book."""
    assert problems("name,phone," + "1" * 100_000 + "x\nAnn,204,\n") == []
    assert problems("<?xml version='1.0'?><phonebook>" + "a<x/>" * 50_000 + "</phonebook>") == [
        "The file has no contacts."
    ]


def test_the_same_id_twice_in_a_line() -> None:
    contact = "<contact><person><realName>Ann</realName></person><telephony><number>204</number></telephony>"
    text = f"<?xml version='1.0'?><phonebook>{(contact + '<uniqueid>7</uniqueid></contact>') * 2}</phonebook>"
    assert problems(text) == ["line 1: Line 1 has the same id. Each contact needs an id of its own."]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "cp1252"])
def test_a_phone_book_in_whatever_encoding(encoding: str) -> None:
    """The octets decide the encoding, because a copy may declare the former encoding of the file."""
    contact = "<contact><person><realName>Jörg</realName></person><telephony><number>204</number></telephony></contact>"
    for declared in ("iso-8859-1", "utf-16", "utf-7", "x-unknown"):
        text = f"<?xml version='1.0' encoding='{declared}'?><phonebook>{contact}</phonebook>"
        assert [found.name for found in read_contacts(text.encode(encoding), "DE").contacts] == ["Jörg"]


def uids(text: str) -> list[str]:
    return [contact.uid for contact in read(text).contacts]


def test_a_contact_keeps_its_uid() -> None:
    """The order of lines and columns, and other values of the contact, do not change the uid."""
    ann, bo = uids("name,phone\nAnn,204\nBo,205\n")
    assert uids("phone,name,company\n205,Bo,Acme\n206,Cy,\n204,ANN,\n")[::2] == [bo, ann]
    assert uids("name,phone\nAnn,204\n") == uids("name,phone,mobile\nAnn,204,0170 1234567\n")
    first, second = uids("name,phone\nAnn,204\nAnn,204\n")
    assert first == ann
    assert second != ann


def test_an_id_makes_a_contact_the_same() -> None:
    """With an id, even the name and the number may change."""
    assert uids("id,name,phone\n7,Ann,204\n") == uids("uid,name,phone\n7,Annie,205\n")
    card = "BEGIN:VCARD\nVERSION:3.0\nUID:7\nFN:{}\nTEL:204\nEND:VCARD\n"
    assert uids(card.format("Ann")) == uids(card.format("Bo"))
    assert uids(card.format("Ann")) == uids("id,name,phone\n7,Ann,204\n")
