# SPDX-License-Identifier: MIT
"""Entries: what of them is returned, and how."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ldapgw.contact import Kind
from ldapgw.directory.entry import NumberFormatter, special_entry
from ldapgw.directory.inet_org_person import ParentEntry
from ldapgw.directory.packed_attributes import decoded, encoded_set, octets_of
from ldapgw.directory.schema import NUMBER_TYPES, attribute_type
from ldapgw.numbers.phone_number import NumberFormat
from tests.support.phonebook.entries import CONTACT, ENTRIES, answer, entry, phone

ENTRY = ENTRIES[True]

CLASSES = [b"top", b"person", b"organizationalPerson", b"inetOrgPerson"]


def test_all_user_attributes() -> None:
    """Nothing asked for means all user attributes, best values first, under the standards' spelling."""
    assert answer(ENTRY) == {
        "objectClass": CLASSES,
        "uid": [b"c1"],
        "cn": ["Jörg Müller-Lüdenscheidt".encode()],
        "displayName": ["Jörg Müller-Lüdenscheidt".encode()],
        "givenName": ["Jörg".encode()],
        "sn": ["Müller-Lüdenscheidt".encode()],
        "initials": [b"J."],
        "o": [b"Hotel **** Adler"],
        "ou": [b"Einkauf"],
        "title": ["Chef (Küche)".encode()],
        "mail": [b"joerg.mueller@adler.example"],
        "telephoneNumber": [b"+49301234567", b"204"],
        "mobile": [b"+491712345678"],
        "facsimileTelephoneNumber": [b"+49301234599"],
        "street": [b"Weg 1"],
        "l": [b"Berlin"],
        "postalCode": [b"12345"],
        "c": [b"DE"],
        "postalAddress": [b"Weg 1$12345 Berlin"],
        "labeledURI": [b"https://Adler.example/a%20b"],
    }
    assert answer(ENTRY, "*") == answer(ENTRY)
    assert answer(ENTRY, "", " ") == answer(ENTRY)


def test_all_operational_attributes() -> None:
    """RFC 3673: a plus sign; Google's last change stands for the creation."""
    found = answer(ENTRY, "+")

    assert found == {
        "structuralObjectClass": [b"inetOrgPerson"],
        "subschemaSubentry": [b"cn=subschema"],
        "hasSubordinates": [b"FALSE"],
        "entryUUID": [ENTRY.attribute("entryUUID")[0]],
        "entryDN": [b"uid=c1,ou=alice@acme.example,dc=acme,dc=example"],
        "createTimestamp": [b"20231114221320Z"],
        "modifyTimestamp": [b"20231114221320Z"],
    }
    assert answer(ENTRY, "*", "+") == answer(ENTRY) | found


@pytest.mark.parametrize(
    ("attributes", "names"),
    [
        (("CN", "telephonenumber"), ["CN", "telephonenumber"]),
        (("2.5.4.3", "OID.2.5.4.4"), ["2.5.4.3", "OID.2.5.4.4"]),
        (("commonName", "cn"), ["commonName"]),
        (("cn sn",), ["cn", "sn"]),
        (("cn,sn", "mobile, telephoneNumber,"), ["cn", "sn", "mobile", "telephoneNumber"]),
        ((",",), []),
        ((" ", "cn"), ["cn"]),
        (("cn", "CN", "cn"), ["cn"]),
        (("mobile", "homePhone", "shoeSize", "\udcff", "ü"), ["mobile"]),
        (("cn;lang-de",), []),
        (("cellphone", "HomeNumber", "CallerIDName"), ["cellphone", "CallerIDName"]),
        (("telephoneNumber", "ipPhone"), ["telephoneNumber"]),
        (("1.1",), []),
        (("1.1", "sn"), ["sn"]),
        (("entryuuid",), ["entryuuid"]),
        (("vendorName",), []),
        (("l", "name"), ["l", "cn", "sn", "givenName", "initials", "o", "ou", "title", "c"]),
        (("@organizationalUnit",), ["objectClass", "ou", "telephoneNumber", "facsimileTelephoneNumber", "street",
                                    "postalCode", "postalAddress", "l"]),
        (("@nothing",), []),
        (("+", "ENTRYDN"), ["ENTRYDN", "structuralObjectClass", "subschemaSubentry", "hasSubordinates", "entryUUID",
                            "createTimestamp", "modifyTimestamp"]),
    ],
    ids=str,
)  # fmt: skip
def test_attributes_come_back_as_they_were_asked_for(attributes: tuple[str, ...], names: list[str]) -> None:
    """Any case, aliases, OIDs, supertypes, object classes; each once, unknown ones not at all."""
    assert list(answer(ENTRY, *attributes)) == names


def test_a_name_beside_a_star_keeps_its_spelling() -> None:
    """And is not returned twice."""
    found = answer(ENTRY, "SURNAME", "*")

    assert found["SURNAME"] == ["Müller-Lüdenscheidt".encode()]
    assert "sn" not in found
    assert len(found) == len(answer(ENTRY))


MOBILE = "0171 2345678"


@pytest.mark.parametrize(
    ("numbers", "attributes", "returned"),
    [
        ({Kind.MOBILE: MOBILE}, ("cn", "telephoneNumber", "mobile", "homePhone"), ["mobile"]),
        ({Kind.MOBILE: MOBILE}, ("telephoneNumber", "cellphone"), ["cellphone"]),
        ({Kind.MOBILE: MOBILE}, ("OFFICEPHONE mobile",), ["mobile"]),
        ({Kind.MOBILE: MOBILE}, ("telephoneNumber", "homePhone"), ["telephoneNumber"]),
        ({Kind.MOBILE: MOBILE}, ("cn", "telephoneNumber"), ["telephoneNumber"]),
        ({Kind.MOBILE: MOBILE}, ("mobile",), ["mobile"]),
        ({Kind.MOBILE: MOBILE}, (), ["telephoneNumber", "mobile"]),
        ({Kind.MOBILE: MOBILE}, ("*", "telephoneNumber", "mobile"), ["telephoneNumber", "mobile"]),
        ({Kind.MOBILE: MOBILE}, ("@inetOrgPerson",), ["telephoneNumber", "mobile"]),
        (
            {Kind.MOBILE: MOBILE, Kind.HOME: "030 555"},
            ("telephoneNumber", "homePhone"),
            ["telephoneNumber", "homePhone"],
        ),
        ({Kind.FAX: "030 1234599"}, ("telephoneNumber", "fax"), ["fax"]),
        ({Kind.MOBILE: MOBILE, Kind.WORK: "030 1234567"}, ("telephoneNumber", "mobile"), ["telephoneNumber", "mobile"]),
    ],
    ids=str,
)
def test_one_number_is_returned_once(
    numbers: dict[Kind, str], attributes: tuple[str, ...], returned: list[str]
) -> None:
    """A phone that asks for the attribute that has the number does not get the copy too; the copy stays searchable."""
    one = entry(replace(CONTACT, phones=tuple(phone(kind, text) for kind, text in numbers.items())), lenient=True)
    national = NumberFormatter(NumberFormat.NATIONAL, NumberFormat.E164, "DE", "")
    for formatter in (None, national):
        found = answer(one, *attributes, formatter=formatter)
        asked = {"telephonenumber", "officephone", "mobile", "cellphone", "homephone", "fax"}
        assert sorted(name for name in found if name.lower() in asked) == sorted(returned)
        assert list(answer(one, *attributes, types_only=True, formatter=formatter)) == list(found)
    assert one.search_text(NUMBER_TYPES[0]) is not None


def test_types_only() -> None:
    """Names without values, operational ones too."""
    assert answer(ENTRY, "cn", "mobile", "entryDN", "pager", types_only=True) == {"cn": [], "mobile": [], "entryDN": []}


def test_values_by_name() -> None:
    """For the command line and the pages."""
    assert ENTRY.attribute("surname") == ("Müller-Lüdenscheidt".encode(),)
    assert ENTRY.attribute("hassubordinates") == (b"FALSE",)
    assert ENTRY.attribute("pager") == ENTRY.attribute("vendorName") == ENTRY.attribute("shoeSize") == ()


def test_the_texts_of_several_attributes() -> None:
    """As the values of each, in the phone's format; what an entry does not have is empty."""
    names = ("cn", "sn", "telephoneNumber", "mobile", "pager")
    found = ENTRY.texts(names)
    assert found == {name: tuple(value.decode() for value in ENTRY.attribute(name)) for name in names}
    assert (found["telephoneNumber"], found["pager"]) == (("+49301234567", "204"), ())
    national = NumberFormatter(NumberFormat.NATIONAL, NumberFormat.E164, "DE", "")
    formatted = ENTRY.texts(names, national)
    assert formatted == {name: tuple(value.decode() for value in ENTRY.attribute(name, national)) for name in names}
    assert formatted["mobile"] == ("0171 2345678",)


def test_a_display_name_is_found_as_the_name_is() -> None:
    """It is kept once where both are the same; what an entry does not have is not found in it."""
    kinds = [attribute_type(name) for name in ("cn", "displayName", "pager")]
    name, display_name, absent = [ENTRY.search_text(kind) for kind in kinds if kind]
    assert name
    assert (display_name, absent) == (name, None)


def test_a_moved_entry_is_another_one() -> None:
    """The same contact below a label: another name, another UUID, all else the same."""
    moved = ENTRY.with_parent(ParentEntry("ou=a\\,b,dc=x", "acme/alice/a"))

    assert moved.dn == "uid=c1,ou=a\\,b,dc=x"
    assert moved.attribute("entryDN") == (moved.dn.encode(),)
    assert moved.attribute("entryUUID") != ENTRY.attribute("entryUUID")
    assert answer(moved) == answer(ENTRY)
    assert ENTRY.with_parent(ParentEntry("ou=alice@acme.example,dc=acme,dc=example", "acme/alice")).attribute(
        "entryUUID"
    ) == (ENTRY.attribute("entryUUID"))


def test_uuids_never_change() -> None:
    """They are made of tenant, book and contact, so that every start gives the same."""
    assert entry(lenient=False).attribute("entryUUID") == ENTRY.attribute("entryUUID")
    assert ENTRY.attribute("entryUUID")[0].decode() == "fd807a62-ccf4-51a5-b128-ae1092ffe19c"


def test_an_entry_does_not_show_in_its_repr() -> None:
    """A log must not hold names or numbers."""
    assert repr(ENTRY) == "<Entry of 322 octets>"
    assert CONTACT.name not in repr(ENTRY)


def test_sets() -> None:
    """Values in and out of their encoding; half a surrogate pair does no harm."""
    for values in ((b"a",), (b"a", b"b" * 300), (b"", b"c" * 127), (b"c" * 128, b"", b"d"), (b"e" * 70_000, b"f"), ()):
        assert decoded(encoded_set(values)) == values
    assert decoded(b"") == ()
    assert octets_of("a\ud800") == b"a?"


def test_special_entries_know_only_the_schema() -> None:
    """A name that the schema does not have is left out."""
    one = special_entry("cn=x", {"cn": ("x",), "shoeSize": ("42",)}, {}, lenient=True)

    assert answer(one) == {"cn": [b"x"]}
    assert answer(one, "+") == {}
