# SPDX-License-Identifier: MIT
"""The people are always the same, and the same to every server."""

from __future__ import annotations

from bench.directory.people import Person, attributes, ldif, person, resource
from ldapgw.contact import Kind, Source
from ldapgw.google.person import read_person

MANY = 3000
# Their kinds as the directory has them; "workMobile" is a mobile.
KINDS = (Kind.WORK, Kind.MOBILE, Kind.HOME, Kind.MOBILE)


def test_somebody_is_always_the_same():
    """The people of today's figures are those of last year's."""
    assert [person(0), person(1)] == [
        Person(
            "c0000000000000000001",
            "Štěpánka",
            "Růžák",
            ((2, "+4202600007921"),),
            "Software Růžázka s.r.o.",
            "Sales Manager",
            ("stepanka.ruzak0@softwareruzazkasro.example", "ruzak0@post.example"),
        ),
        Person("c0000000002654435762", "Zoe", "Roben", ((1, "+4415900007924"),), "", "", ("zoe.roben1@mail.example",)),
    ]


def test_nobody_has_anothers_number_or_id():
    """A number finds one person, in every book."""
    everybody = [person(at) for at in range(MANY)]
    numbers = [number for one in everybody for _, number in one.phones]
    assert len(set(numbers)) == len(numbers)
    assert len({one.uid for one in everybody}) == MANY


def test_google_tells_us_all_of_a_person():
    """What we read of the People API's resource is what was made up."""
    for at in range(200):
        one = person(at)
        contact = read_person(resource(one), Source.CONTACTS, "DE").contact
        assert contact is not None
        assert (contact.uid, contact.given_name, contact.family_name, contact.name) == (
            one.uid,
            one.given,
            one.family,
            one.name,
        )
        assert sorted((phone.kind, phone.number.e164) for phone in contact.phones) == sorted(
            (KINDS[kind], number) for kind, number in one.phones
        )


def test_nobody_goes_without_a_telephone_number():
    """Who has a mobile alone has it as telephoneNumber too, as in our directory."""
    assert [pair for pair in attributes(person(1)) if pair[1].startswith("+")] == [
        ("mobile", "+4415900007924"),
        ("telephoneNumber", "+4415900007924"),
    ]


def test_ldif_is_a_tenants_tree():
    """A book and a login, as our directory has them; what is not ASCII is in base 64."""
    entries = "".join(ldif([person(1)], "dc=acme,dc=example", "alice@acme.example", "desk1", "secret")).split("\n\n")
    assert [entry.partition("\n")[0] for entry in entries if entry] == [
        "dn: dc=acme,dc=example",
        "dn: ou=phones,dc=acme,dc=example",
        "dn: cn=desk1,ou=phones,dc=acme,dc=example",
        "dn: ou=alice@acme.example,dc=acme,dc=example",
        "dn: uid=c0000000002654435762,ou=alice@acme.example,dc=acme,dc=example",
    ]
    assert "givenName:: xaB0xJtww6Fua2E=\n" in "".join(ldif([person(0)], "dc=acme,dc=example", "a", "b", "c"))
