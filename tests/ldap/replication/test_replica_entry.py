# SPDX-License-Identifier: MIT
"""Entries as a replica holds them."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import replace

import pytest

from ldapgw.ber import SEQUENCE, integer, tlv
from ldapgw.contact import Address, Contact, Kind, Phone, Sharing
from ldapgw.directory.access import Access, ReplicaAccess, Viewer
from ldapgw.directory.book import build_book
from ldapgw.directory.catalog import PhoneAccess
from ldapgw.directory.naming_context import phone_dn
from ldapgw.directory.special_entries import tenant_entry
from ldapgw.ldap.replication.replica_entry import ContainerEntry, Csn, LoginEntry, ReplicaEncoding, ReplicaEntry
from ldapgw.numbers.phone_number import NumberFormat, parse
from tests.support import pdu
from tests.support.phonebook.wire import BASE, CONTEXT

CSN = Csn(1_795_570_200_123_456, 7)
SHARED = ReplicaAccess("acme")
PLAIN = ReplicaAccess("acme", extra_values=False)
ENCODING = ReplicaEncoding(CONTEXT, SHARED)
# The entries of a tenant, and of the logins below a tenant.
TENANT = ContainerEntry(tenant_entry(CONTEXT), 0, b"")
PHONES = LoginEntry(tenant_entry(CONTEXT), "acme", b"ou=phones,dc=x", None, ())
CONTACT = Contact(
    uid="c1",
    source_id="s1",
    name="Jürgen O'Brien",
    given_name="Jürgen",
    family_name="O'Brien",
    phones=(Phone(Kind.WORK, parse("+49 30 1234567", "DE")), Phone(Kind.MOBILE, parse("0171 1234567", "DE"))),
    emails=("j@example.com",),
    updated=1_700_000_000.0,
)
DN = f"uid=c1,ou=alice@acme.example,{BASE}"
OPERATIONAL = {
    "structuralObjectClass": (b"inetOrgPerson",),
    "createTimestamp": (b"20231114221320Z",),
    "modifyTimestamp": (b"20231114221320Z",),
    "entryCSN": (str(CSN).encode(),),
}
PASSWORD = "ssha256$" + "00" * 16 + "$" + "11" * 32
HASHED = b"{SSHA256}" + b64encode(b"\x11" * 32 + bytes(16))


def entry_of(contact: Contact = CONTACT, address: str = "alice@acme.example", **settings: object) -> ReplicaEntry:
    context = replace(CONTEXT, **settings)
    book = build_book(context, "alice", address, Sharing.SHARED, [contact], {}, per_number=False)
    return ReplicaEntry(book.segments.contacts[0].entries[0])


def decoded(entry: ReplicaEntry, encoding: ReplicaEncoding = ENCODING) -> pdu.Response:
    [response] = pdu.responses(tlv(SEQUENCE, integer(1) + entry.encode(encoding, CSN)))
    return response


def attributes(entry: ReplicaEntry, encoding: ReplicaEncoding = ENCODING) -> dict[str, tuple[bytes, ...]]:
    found = decoded(entry, encoding).attributes
    assert len(dict(found)) == len(found)
    return dict(found)


def test_contact_has_all_its_values_and_some_for_literal_matching() -> None:
    entry = entry_of()
    found = attributes(entry)
    assert decoded(entry).dn == DN
    uuid = found.pop("entryUUID")
    assert uuid[0].replace(b"-", b"").decode() == entry.entry_uuid().hex()
    assert uuid == entry.entry.operational()["entryUUID"]
    assert found == {
        **OPERATIONAL,
        "objectClass": (b"top", b"person", b"organizationalPerson", b"inetOrgPerson"),
        "uid": (b"c1",),
        "cn": ("Jürgen O'Brien".encode(), b"jurgen o brien", b"jurgen obrien", b"juergen o brien", b"juergen obrien"),
        "displayName": ("Jürgen O'Brien".encode(),),
        "givenName": ("Jürgen".encode(), b"jurgen", b"juergen"),
        "sn": (b"O'Brien", b"o brien", b"obrien"),
        "initials": (b"J.",),
        "mail": (b"j@example.com",),
        "telephoneNumber": (b"+49301234567", b"030 1234567"),
        "mobile": (b"+491711234567", b"0171 1234567"),
    }


def test_values_as_they_are() -> None:
    """A replica without further values has those that a phone gets."""
    found = attributes(entry_of(), ReplicaEncoding(CONTEXT, PLAIN))
    assert found["cn"] == ("Jürgen O'Brien".encode(),)
    assert found["telephoneNumber"] == (b"+49301234567",)


@pytest.mark.parametrize("lenient", [True, False])
def test_numbers_in_three_formats(lenient: bool) -> None:
    """The format of the tenant comes first."""
    context = replace(CONTEXT, number_format=NumberFormat.DIAL, outside_line="0", lenient=lenient)
    entry = entry_of(number_format=NumberFormat.DIAL, outside_line="0", lenient=lenient)
    found = attributes(entry, ReplicaEncoding(context, SHARED))
    assert found["telephoneNumber"] == (b"00301234567", b"+49301234567", b"030 1234567")


def test_name_that_is_found_as_it_is() -> None:
    """A plain name gets no second value, whatever its case; a name in letters that nobody can type gets a few."""
    plain = replace(CONTACT, name="Ann Lee", given_name="Ann", family_name="Lee", phones=())
    assert attributes(entry_of(plain))["cn"] == (b"Ann Lee",)
    russian = replace(CONTACT, name="Иванов", given_name="", family_name="Иванов", phones=())
    assert b"ivanov" in attributes(entry_of(russian))["cn"]


def test_no_number_twice() -> None:
    """OpenLDAP ignores blanks and hyphens in numbers, and refuses an entry that has a number twice."""
    abroad = replace(CONTACT, phones=(Phone(Kind.WORK, parse("+48 22 555 01 70", "DE")),))
    assert attributes(entry_of(abroad))["telephoneNumber"] == (b"+48225550170",)
    both = replace(abroad, phones=(*abroad.phones, Phone(Kind.WORK, parse("030 1234567", "DE"))))
    numbers = attributes(entry_of(both))["telephoneNumber"]
    assert numbers == (b"+48225550170", b"+49301234567", b"030 1234567")
    american = replace(CONTACT, phones=(Phone(Kind.WORK, parse("+1 201 555 0123", "DE")),))
    entry = entry_of(american, number_format=NumberFormat.INTERNATIONAL)
    context = replace(CONTEXT, number_format=NumberFormat.INTERNATIONAL)
    assert attributes(entry, ReplicaEncoding(context, SHARED))["telephoneNumber"] == (b"+1 201-555-0123",)


def test_values_that_openldap_refuses() -> None:
    """Equal values, and those that are not of their attribute's syntax; a replica gets the others as they are."""
    awkward = replace(
        CONTACT,
        phones=tuple(Phone(Kind.WORK, number) for text in ("*31#", "204") if (number := parse(text, "DE"))),
        emails=("x@müller.example", "J@example.com", "j@EXAMPLE.com"),
        urls=("http://example.org/A", "http://example.org/a", "http://example.org/a"),
        addresses=(
            Address(("1 Main St", "1000  Town")), Address(("1 main st ", " 1000 town")), Address(("2 Main $t",)),
        ),
        photo=b"\xff\xd8 cut off",
    )  # fmt: skip
    found = attributes(entry_of(awkward, photos=True), ReplicaEncoding(CONTEXT, PLAIN))
    assert {
        name: found.get(name) for name in ("telephoneNumber", "mail", "labeledURI", "postalAddress", "jpegPhoto")
    } == {
        "telephoneNumber": (b"204",),
        "mail": (b"J@example.com",),
        "labeledURI": (b"http://example.org/A", b"http://example.org/a"),
        "postalAddress": (b"1 Main St$1000  Town", b"2 Main \\24t"),
        "jpegPhoto": None,
    }
    photo = b"\xff\xd8 \n \xff\xd9"
    whole = attributes(entry_of(replace(awkward, photo=photo), photos=True), ReplicaEncoding(CONTEXT, PLAIN))
    assert whole["jpegPhoto"] == (photo,)


def test_only_wanted_attributes() -> None:
    """Object classes and operational attributes are always sent."""
    wanted = ReplicaEncoding(CONTEXT, PLAIN, frozenset(("cn", "telephonenumber")))
    found = attributes(entry_of(), wanted)
    assert found.keys() == {*OPERATIONAL, "entryUUID", "objectClass", "cn", "telephoneNumber"}


def test_container() -> None:
    """A container says with whom it is shared, and has a time, so that the replica makes none up."""
    entry = ContainerEntry(tenant_entry(CONTEXT), 0, b"group:sales")
    found = attributes(entry)
    assert found["businessCategory"] == (b"group:sales",)
    assert found["createTimestamp"] == found["modifyTimestamp"] == (b"19700101000000Z",)
    assert found["structuralObjectClass"] == (b"organization",)
    assert "businessCategory" not in attributes(entry, ReplicaEncoding(CONTEXT, SHARED, frozenset(("o",))))
    assert "businessCategory" not in attributes(TENANT)
    assert entry.depth == 0


def login(password: str = PASSWORD, books: tuple[bytes, ...] = ()) -> LoginEntry:
    dn = phone_dn("Desk1", CONTEXT.base)
    access = PhoneAccess("Desk1", password, Viewer(str(dn), (Access("acme", ("alice",)),)))
    return LoginEntry(tenant_entry(CONTEXT), "acme", str(dn).encode(), access, books)


def test_login() -> None:
    """A phone binds at the replica with its own password."""
    found = attributes(login(books=(b"ou=a",)))
    uuid = found.pop("entryUUID")
    assert uuid[0].replace(b"-", b"").decode() == login().entry_uuid().hex()
    assert found == {
        "objectClass": (b"top", b"simpleSecurityObject", b"device"),
        "cn": (b"Desk1",),
        "userPassword": (HASHED,),
        "seeAlso": (b"ou=a",),
        "structuralObjectClass": (b"device",),
        "createTimestamp": (b"19700101000000Z",),
        "modifyTimestamp": (b"19700101000000Z",),
        "entryCSN": (str(CSN).encode(),),
    }
    assert login().depth == 2


def test_login_without_password() -> None:
    found = attributes(login(PASSWORD, (b"ou=a",)), ReplicaEncoding(CONTEXT, SHARED, frozenset(("cn", "owner"))))
    assert (found["objectClass"], "userPassword" in found) == ((b"top", b"device"), False)
    # OpenLDAP binds as this DN at the gateway, which checks the password.
    assert found["owner"] == (str(phone_dn("Desk1", CONTEXT.base)).encode(),)


def test_container_of_logins() -> None:
    found = attributes(PHONES)
    assert (found["objectClass"], found["ou"]) == ((b"top", b"organizationalUnit"), (b"phones",))
    assert PHONES.depth == 1


def test_uuids_differ() -> None:
    entries = (entry_of(), TENANT, login(), PHONES)
    assert len({entry.entry_uuid() for entry in entries}) == 4


def test_digests_tell_what_differs() -> None:
    """Entries that are encoded differently have different digests."""
    other = replace(CONTACT, emails=("k@example.com",))
    entries = (
        entry_of(),
        entry_of(other),
        entry_of(address="smith@acme.example"),
        entry_of(replace(CONTACT, updated=1_700_000_001.0)),
        TENANT,
        ContainerEntry(tenant_entry(CONTEXT), 0, b"shared"),
        login(),
        login(PASSWORD.replace("11", "12")),
        login(books=(b"ou=a",)),
        PHONES,
    )
    assert len({entry.digest() for entry in entries}) == len(entries)
    assert entry_of().digest() == entry_of().digest()
