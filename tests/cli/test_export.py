# SPDX-License-Identifier: MIT
"""The exported CSV is read by Python's own reader, LDIF by python-ldap, and vCards by vobject."""

from __future__ import annotations

import csv
import io
from base64 import b64encode
from dataclasses import replace

import pytest
import vobject
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ldapgw.cli.export import CSV_COLUMNS, ExportedContact, csv_header, csv_row, ldif, vcard
from ldapgw.contact import Contact, Kind, Phone, Sharing, Source
from ldapgw.directory.entry import special_entry
from ldapgw.numbers import Number, stored_numbers
from ldapgw.store import accounts, contacts, sync_state
from ldapgw.store.accounts import SourceState
from ldapgw.store.contact_record import ContactRecord
from tests.support import phonebook
from tests.support.phonebook import awkward
from tests.support.phonebook.entries import FULL, LABELS
from tests.support.phonebook.listening import library
from tests.support.photo import jpeg
from tests.support.site.command_line import ACME, BETA, HEAD, Gateway, person


@pytest.fixture
def books(gateway: Gateway) -> Gateway:
    """The tenant has two accounts and a colleague in the Workspace directory; a second tenant has an account too."""
    gateway.write(HEAD + ACME + BETA)
    alice = gateway.connect("alice@acme.example")
    gateway.fill(alice, person("Jörg Müller", "030 1234567"), person("Ann Adler", "030 1234568"))
    gateway.fill(gateway.connect("bob@acme.example", sharing=Sharing.SHARED), person("Zoë Brontë", "030 1234569"))
    gateway.fill(gateway.connect("carol@beta.example", "beta"), person("Carol", "030 1234560"))
    gateway.do(sync_state.write_source_states, alice, {Source.DIRECTORY: SourceState.ON})
    colleague = replace(person("Eva Klein", "030 1234561"), source=Source.DIRECTORY)
    gateway.do(contacts.apply_changes, alice, Source.DIRECTORY, [ContactRecord.from_contact("e", "e", colleague)], ())
    return gateway


def written(gateway: Gateway, *arguments: str) -> str:
    result = gateway.run("export", *arguments)
    assert (result.exit_code, result.stderr) == (0, "")
    return result.stdout_bytes.decode()


def test_ldif_holds_the_tree(books: Gateway) -> None:
    """The file has the tenant, its books, and their contacts in the order of their names."""
    names = [line for line in written(books, "--tenant", "acme", "--format", "ldif").split("\n") if line[:3] == "dn:"]
    assert names == [
        "dn: dc=acme,dc=example",
        "dn: ou=alice@acme.example,dc=acme,dc=example",
        "dn: uid=cannadler,ou=alice@acme.example,dc=acme,dc=example",
        "dn:: dWlkPWNqw7ZyZ23DvGxsZXIsb3U9YWxpY2VAYWNtZS5leGFtcGxlLGRjPWFjbWUsZGM9ZXh",
        "dn: ou=bob@acme.example,dc=acme,dc=example",
        "dn:: dWlkPWN6b8OrYnJvbnTDqyxvdT1ib2JAYWNtZS5leGFtcGxlLGRjPWFjbWUsZGM9ZXhhbXB",
        "dn: ou=directory,dc=acme,dc=example",
        "dn: uid=cevaklein,ou=directory,dc=acme,dc=example",
    ]


def test_vcards_of_one_account(books: Gateway) -> None:
    """The file has only the account's own contacts, without contacts that the account feeds into the directory."""
    data = written(books, "--tenant", "acme", "--account", "Alice@acme.example", "--format", "vcard")
    assert [card.fn.value for card in vobject.readComponents(data)] == ["Ann Adler", "Jörg Müller"]


def test_csv_of_a_tenant(books: Gateway) -> None:
    """The file has private books too, because the administrator asks.  Numbers have the tenant's format."""
    books.write(HEAD + ACME + 'number_format = "national"\n' + BETA)
    data = written(books, "--tenant", "acme", "--format", "csv")
    rows = csv.DictReader(io.StringIO(data, newline=""))
    assert [(row["book"], row["name"], row["work"]) for row in rows] == [
        ("alice@acme.example", "Ann Adler", "030 1234568"),
        ("alice@acme.example", "Jörg Müller", "030 1234567"),
        ("bob@acme.example", "Zoë Brontë", "030 1234569"),
        ("directory", "Eva Klein", "030 1234561"),
    ]


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ("--tenant gamma --format csv", '{file}: there is no tenant "gamma"; there are: acme, beta'),
        (
            "--tenant acme --account x@acme.example --format csv",
            'there is no account x@acme.example in tenant "acme": connect the account on the page first',
        ),
        (
            "--tenant acme --account bob@acme.example --format csv",
            "bob@acme.example is not connected, so none of its contacts are here",
        ),
    ],
    ids=["tenant", "account", "disconnected"],
)
def test_refused(books: Gateway, arguments: str, line: str) -> None:
    """One line says what is wrong, because an empty file would mean that there are no contacts."""
    books.do(accounts.disconnect, books.account("bob@acme.example").id)
    assert books.refused("export", *arguments.split()) == line.format(file=books.file) + "\n"


def test_usage(books: Gateway) -> None:
    """The command needs a format, and with several tenants the tenant."""
    assert books.run("export", "--tenant", "acme").exit_code == 2
    assert books.run("export", "--format", "csv").exit_code == 2


def test_nothing_is_created(gateway: Gateway) -> None:
    assert written(gateway, "--format", "vcard") == ""
    assert not gateway.state_dir.exists()


def test_names_without_letters_come_last(gateway: Gateway) -> None:
    gateway.fill(
        gateway.connect("alice@acme.example"),
        person("112", "112"),
        person("Zoë Brontë", "030 1234569"),
        person("Ann Adler", "030 1234568"),
    )
    rows = csv.DictReader(io.StringIO(written(gateway, "--format", "csv"), newline=""))
    assert [row["name"] for row in rows] == ["Ann Adler", "Zoë Brontë", "112"]


def csv_rows(*found: Contact, verbatim: bool = False) -> list[dict[str, str]]:
    """Return the rows that a program reads."""

    def write(number: Number) -> str:
        return number.e164 or number.digits

    data = csv_header() + b"".join(
        csv_row(ExportedContact(one, one.name, "alice@acme.example", LABELS), write, verbatim=verbatim) for one in found
    )
    assert data.endswith(b"\r\n")
    return list(csv.DictReader(io.StringIO(data.decode(), newline=""), strict=True))


def test_a_contact_is_a_row() -> None:
    """Each kind of number has a column; several values in a column have a line each."""
    assert csv_rows(FULL) == [
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
    [row] = csv_rows(Contact(uid="c2", name="X"))
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
    """An apostrophe keeps a spreadsheet from evaluating the cell; a program can ask for the plain text."""
    contact = Contact("c1", name=name, organization=name)
    for verbatim, expected in ((False, cell), (True, name)):
        [found] = csv_rows(contact, verbatim=verbatim)
        assert (found["name"], found["organization"]) == (expected, expected)


def test_numbers_stay_as_they_are() -> None:
    """Numbers begin with a plus and have a line each; no apostrophe is put in front of them."""
    numbers = stored_numbers.read("+4930123456 / +4930123457", "DE")
    phones = tuple(Phone(Kind.WORK, number) for number in numbers)
    [found] = csv_rows(Contact("c1", phones=phones))
    assert found["work"] == "+4930123456\n+4930123457"


def records(data: bytes) -> list[tuple[str, dict[str, list[bytes]]]]:
    """Return the records of a file."""
    reader = library("ldif", "needs python-ldap: scripts/setup")
    parser = reader.LDIFRecordList(io.BytesIO(data))
    parser.parse()
    assert parser.version == 1
    return parser.all_records


def test_every_entry_is_read_as_it_is() -> None:
    """Awkward names, many scripts and all attributes are read back; no line is longer than 76 octets."""
    entries = awkward.entries(awkward.make_dit(lenient=True))
    data = b"".join(ldif(entries))
    kinds = ("objectClass", "cn", "sn", "givenName", "o", "ou", "mail", "uid", "telephoneNumber", "postalAddress",
             "labeledURI")  # fmt: skip
    found = [(dn, {name: values for name, values in held.items() if name in kinds}) for dn, held in records(data)]
    expected = [
        (entry.dn, {name: list(values) for name in kinds if (values := entry.attribute(name))}) for entry in entries
    ]
    assert found == expected
    assert max(map(len, data.split(b"\n"))) <= 76


@settings(deadline=None)
@given(st.text(st.characters(codec="utf-8"), min_size=1, max_size=200))
def test_any_value_comes_through(value: str) -> None:
    """Values with line breaks, blanks and colons are read back, whatever their length."""
    entry = special_entry("dc=example", {"o": (value,)}, {}, lenient=False)
    assert records(b"".join(ldif([entry]))) == [("dc=example", {"o": [value.encode()]})]


@pytest.mark.parametrize(
    ("value", "line"),
    [
        ("plain", b"o: plain"),
        ("ü", b"o:: w7w="),
        (" x", b"o:: IHg="),
        ("x ", b"o:: eCA="),
        (":x", b"o:: Ong="),
        ("<x", b"o:: PHg="),
        ("a:b<c", b"o: a:b<c"),
        ("a\nb", b"o:: YQpi"),
    ],
)
def test_what_a_line_cannot_hold_is_written_in_base64(value: str, line: bytes) -> None:
    """Only RFC 2849's SAFE-STRING is written as text, without a blank at the end that an editor would lose."""
    entry = special_entry("dc=example", {"o": (value,)}, {}, lenient=False)
    assert b"".join(ldif([entry])).split(b"\n")[3] == line


def vcard_lines(contact: Contact) -> list[str]:
    """Return the unfolded lines of a vCard."""
    data = vcard(ExportedContact(contact, contact.name or contact.organization, "alice@acme.example", LABELS))
    assert data.endswith(b"\r\n")
    assert max(map(len, data.split(b"\r\n"))) <= 75
    return data.decode().replace("\r\n ", "").split("\r\n")[:-1]


def test_all_of_a_contact() -> None:
    """The vCard has every property, escaped as RFC 6350 says."""
    assert vcard_lines(FULL) == [
        "BEGIN:VCARD",
        "VERSION:4.0",
        "UID;VALUE=text:c1/alice@acme.example",
        "FN:Jörg Müller",
        "N:Müller\\; Lüdenscheidt;Jörg;;;",
        "NICKNAME:Jockel,a\\,b",
        "ORG:Müller\\, Sons & Co;R&D",
        "TITLE:Chef",
        'TEL;VALUE=uri;TYPE="work,voice":tel:+49301234567;ext=204',
        "TEL;VALUE=uri;TYPE=cell:tel:+491712345678",
        "TEL;VALUE=uri;TYPE=fax:tel:+49301234599",
        "TEL;VALUE=text;TYPE=voice:204",
        "EMAIL:joerg@mail.example",
        "ADR;LABEL=\"Weg 1^n12345 ^'Berlin^'\":;;Weg 1;Berlin;;12345;DE",
        "URL:https://adler.example/a?b\\,c",
        "CATEGORIES:Customers\\, old",
        "REV:20231114T221320Z",
        "END:VCARD",
    ]


def test_a_company_has_no_name_of_a_person() -> None:
    shop = Contact(uid="c2", organization="Taxi 3000")
    assert vcard_lines(shop)[3:] == ["FN:Taxi 3000", "ORG:Taxi 3000", "END:VCARD"]


@pytest.mark.parametrize(
    "contact", [FULL, *phonebook.contacts(), *awkward.awkward_contacts()], ids=lambda contact: contact.uid
)
def test_another_program_reads_it(contact: Contact) -> None:
    """The other program reads many scripts, and every character with a meaning of its own."""
    card = vobject.readOne("\r\n".join(vcard_lines(contact)) + "\r\n")
    assert (card.version.value, card.uid.value) == ("4.0", f"{contact.uid}/alice@acme.example")
    if contact is FULL:
        assert (card.n.value.family, card.n.value.given) == ("Müller; Lüdenscheidt", "Jörg")
        assert card.org.value == ["Müller, Sons & Co", "R&D"]
        assert [tel.value for tel in card.tel_list] == ["tel:+49301234567;ext=204", "tel:+491712345678",
                                                        "tel:+49301234599", "204"]  # fmt: skip
        assert (card.adr.value.street, card.adr.value.city, card.adr.value.code) == ("Weg 1", "Berlin", "12345")
    assert card.fn.value == (contact.name or contact.organization)
    assert len(getattr(card, "tel_list", ())) == len(contact.phones)


@settings(deadline=None)
@given(st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Zl", "Zp")), min_size=1, max_size=120))
@example("ß" + "a" * 160)
def test_any_name_comes_through(name: str) -> None:
    [shown] = [line for line in vcard_lines(replace(FULL, name=name)) if line.startswith("FN:")]
    plain = shown.removeprefix("FN:").replace("\\,", ",").replace("\\;", ";").replace("\\\\", "\\")
    assert plain == name


def test_a_photo() -> None:
    """The photo is a data URI (RFC 6350 6.2.4), which comes through the folding."""
    assert f"PHOTO:data:image/jpeg;base64,{b64encode(jpeg()).decode()}" in vcard_lines(replace(FULL, photo=jpeg()))
