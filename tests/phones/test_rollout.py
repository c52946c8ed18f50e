# SPDX-License-Identifier: MIT
"""The tests read lists of phones from spreadsheet programs, and report the errors of each line."""

from __future__ import annotations

import io
import zipfile
from dataclasses import replace
from functools import partial
from html import unescape

import pytest

from ldapgw.files.csv_file import decode
from ldapgw.phones.description import MODELS
from ldapgw.phones.provisioning.settings import ServerAddress, Site
from ldapgw.phones.provisioning.vendors import vendors_of
from ldapgw.phones.rollout import (
    MAX_LINES,
    NewPhone,
    UnfitImportFile,
    check_rows,
    make_files,
    make_zip,
    new_phone,
    read_rows,
)
from ldapgw.phrase import with_names
from ldapgw.web.rendering import Renderer

ACCOUNTS = {"alice@acme.example": 1}
SITE = Site(ServerAddress("phonebook.example", 389), "dc=acme", "Acme <GmbH>")
RENDER = partial(Renderer("").print_sheets, "en", SITE.title)
GOOD = "name,account,model,mac\ndesk1,Alice@acme.example,Yealink,00:15:65:AA:BB:CC\n"
READ = ((2, {"name": "desk1", "account": "Alice@acme.example", "model": "Yealink", "mac": "00:15:65:AA:BB:CC"}),)


@pytest.mark.parametrize(
    "octets",
    [
        GOOD.encode(),
        GOOD.encode("utf-8-sig"),
        GOOD.encode("utf-16"),
        GOOD.replace(",", ";").encode("cp1252"),
        GOOD.replace(",", "\t").replace("\n", "\r\n").encode(),
        b'NAME,"Account",Model,MAC\n"desk1",Alice@acme.example,"Yealink", 00:15:65:AA:BB:CC\n,,,\n\n',
    ],
    ids=["utf-8", "bom", "utf-16", "semicolons", "tabs", "quoted"],
)
def test_what_spreadsheets_write(octets: bytes) -> None:
    assert read_rows(decode(octets)) == READ


def test_the_separator_may_be_declared() -> None:
    """Excel declares the separator in an additional first line."""
    assert read_rows("sep=;\r\n" + GOOD.replace(",", ";")) == ((3, READ[0][1]),)


def test_headings_in_any_order_and_in_german() -> None:
    """An unknown column is ignored."""
    ((number, row),) = read_rows("Modell;Raum;Telefon\nsnom;17;hall\n")
    assert (number, row["name"], row["model"]) == (2, "hall", "snom")


def test_umlauts_of_an_old_encoding() -> None:
    assert decode("Bü".encode("cp1252")) == "Bü"


def test_one_broken_octet_leaves_the_other_umlauts_as_they_are() -> None:
    assert decode("\ufeffJörg Müller\n".encode() + b"\xfc") == "Jörg Müller\n\ufffd"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (" \n", "The file is empty."),
        ("name,model\n", "The file is empty."),
        ("PK\0\3", "This isn’t a CSV file: save the spreadsheet as CSV in UTF-8."),
        ("name,model,acount\n", "There’s no column “acount”. Did you mean “account”?"),
        ("desk1,yealink\n", "The first line must name the columns: name, account, model, mac."),
        (
            "name,model\n" + "x,yealink\n" * (MAX_LINES + 1),
            "The file has 501 phones. You can import up to 500 at once.",
        ),
        ('name,model\n"' + "x" * 140_000, "This isn’t a CSV file: save the spreadsheet as CSV in UTF-8."),
    ],
    ids=["nothing", "no line", "workbook", "misspelt", "no header", "too many", "too long"],
)
def test_no_list(text: str, reason: str) -> None:
    with pytest.raises(UnfitImportFile) as raised:
        read_rows(text)
    assert str(raised.value.reason) == reason


def test_all_errors_of_each_line() -> None:
    """The errors come with the line as written."""
    rows = (
        (2, {"name": "desk1", "account": "alice@ACME.example", "model": "Poly, Polycom", "mac": "0015.65aa.bbcc"}),
        (3, {"name": "", "model": "snom"}),
        (4, {"name": "dësk", "model": "snom"}),
        (5, {"name": "DESK1", "model": "snom"}),
        (6, {"name": "Hall", "model": "snom"}),
        (7, {"name": "desk2", "account": "zoe@acme.example", "model": "snom"}),
        (8, {"name": "desk3"}),
        (9, {"name": "desk4", "model": "nokia"}),
        (10, {"name": "desk5", "model": "snom", "mac": "1.565E+09"}),
        (11, {"name": "desk6", "model": "snom", "mac": "001565AABBCC"}),
        (12, {"name": "desk1", "model": "snom"}),
        (13, {"name": "desk10", "model": "snom", "mac": "00-15-65-aa-bb-cc"}),
        (14, {"name": "desk8", "model": "snom", "placeholder": "%"}),
        (15, {"name": "desk9", "model": "other", "placeholder": "$NAME"}),
        (16, {"name": "desk11", "model": "snom", "mac": "0004.13AA.BBCC"}),
        (17, {"name": "desk12", "model": "snom", "label": "x" * 65}),
        (18, {"name": "desk13", "account": "zoe@acme.example", "model": "yelink", "mac": "zz"}),
        (19, {"name": "desk7", "model": "Other", "placeholder": "$VALUE", "label": "Büro  2. OG"}),
    )
    lines = check_rows(rows, ACCOUNTS, {"hall"}, {"000413aabbcc": "lobby"})
    assert (lines[0].account_ids, lines[0].model, lines[0].mac, lines[0].errors) == ((1,), "poly", "001565aabbcc", ())
    assert (lines[-1].model, lines[-1].placeholder, lines[-1].errors) == ("", "$VALUE", ())
    made = new_phone(lines[-1], "acme", "hash", 0.0)
    assert (made.placeholder, made.label) == ("$VALUE", "Büro 2. OG")
    *single, several = [[str(error).partition(". Enter")[0] for error in line.errors] for line in lines[1:-1]]
    assert several == [
        "No one has connected with this address.",
        "There’s no model “yelink”. Did you mean “yealink”?",
        "“zz” isn’t a MAC address. It has to have 12 digits 0–9 and a–f.",
    ]
    assert [error for [error] in single] == [
        "The name is missing.",
        "Use 1 to 64 letters a–z, digits, dots, underscores and hyphens for the name, for example desk.",
        "Line 2 has the same name.",
        "There’s already a phone with this name.",
        "No one has connected with this address.",
        "The model is missing",
        "There’s no model “nokia”",
        "“1.565E+09” isn’t a MAC address. It has to have 12 digits 0–9 and a–f.",
        "Line 2 has the same MAC address.",
        "Line 2 has the same name.",
        "Line 2 has the same MAC address.",
        "Leave the placeholder empty: only phones of the model “other” have one.",
        "There’s no placeholder “$NAME”",
        "lobby has this MAC address already.",
        "Use at most 64 characters for the label, without control characters.",
    ]


def phones(text: str) -> list[NewPhone]:
    lines = check_rows(read_rows(text), ACCOUNTS, (), {})
    return [NewPhone(new_phone(line, "acme", "hash", 0.0), f"secret-{line.name}", line.account) for line in lines]


def test_files_are_named_as_vendors_ask_for_them() -> None:
    """A file has the MAC address in its name, or else the phone's name. Every phone has a sheet."""
    files = make_files(
        phones(
            "name,model,mac\nd1,yealink,001565AABBCC\nd2,mitel,00085d000001\nd3,grandstream,000b82000001\n"
            "d4,yealink,\nd5,gigaset,\nd6,snom,000413000001\n"
        ),
        SITE,
        RENDER,
    )
    assert [*files] == [
        "001565aabbcc.cfg",
        "00085D000001.cfg",
        "cfg000b82000001.xml",
        "d4.cfg",
        "000413000001.xml",
        "sheets.html",
    ]
    assert files["001565aabbcc.cfg"].startswith(b"#!version:1.0.0.1\n")
    assert b"ldap.password = secret-d1\n" in files["001565aabbcc.cfg"]
    sheets = files["sheets.html"].decode()
    assert sheets.count("<section ") == 6
    assert "Acme &lt;GmbH&gt;" in sheets
    assert all(f"secret-d{number}" in unescape(sheets) for number in range(1, 7))


@pytest.mark.parametrize("model", [*MODELS, "other"])
def test_a_sheet_says_what_to_enter_in_the_phone(model: str) -> None:
    """A sheet has the steps and the filters, with the placeholder of the vendor."""
    vendor, site = vendors_of(model)[0], replace(SITE, server=ServerAddress("phonebook.example", 389, 636))
    sheets = unescape(make_files(phones(f"name,model\nd1,{model}\n"), site, RENDER)["sheets.html"].decode())
    steps = [with_names(step, "<b>{}</b>".format, str) for step in vendor.steps]
    assert [step for step in steps if step not in sheets] == []
    # ALE's phones make their filters from the entered attributes.
    filters = () if model == "ale" else (vendor.name_filter, vendor.number_filter)
    assert [one for one in filters if one and f"<code>{one}</code>" not in sheets] == []


def test_a_sheet_says_that_a_phone_cannot_connect() -> None:
    """The phone and the gateway share no encryption, so the sheet has nothing to enter."""
    site = replace(SITE, server=ServerAddress("phonebook.example", 389, start_tls=True, require_tls=True))
    sheets = unescape(make_files(phones("name,model\nd1,escene\n"), site, RENDER)["sheets.html"].decode())
    assert "This phone can’t connect" in sheets
    assert "secret-d1" not in sheets


def test_a_zip_has_the_files_and_a_repr_no_password() -> None:
    new = phones("name,model\nd1,yealink\n")
    with zipfile.ZipFile(io.BytesIO(make_zip(new, SITE, RENDER))) as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == make_files(new, SITE, RENDER)
    assert "secret" not in repr(new)
