# SPDX-License-Identifier: MIT
"""The invented people are plausible, have names in many languages, and are the same at each start."""

from __future__ import annotations

import json
import unicodedata
from collections import Counter
from random import Random

import phonenumbers
import pytest

from ldapgw.google.sandbox.fields import canonical
from ldapgw.google.sandbox.persons import PersonGenerator
from ldapgw.google.sandbox.tenant import (
    ADMINISTRATOR,
    ALICE,
    BOB,
    CAROL,
    DOMAIN,
    PHONES,
    SALES,
    SALES_WEST,
    SERVICE_ACCOUNT,
    demo_world,
    workspace_world,
)
from ldapgw.google.sandbox.world import World
from tests.support.sandbox_client import Clock

# These ranges are reserved for films. The library phonenumbers calls two ranges invalid, because nobody can have them.
FILM_ONLY = ("+447700900", "+3363998")


def numbers(world: World, address: str) -> list[dict[str, str]]:
    return [number for person in world.account(address).contacts for number in person.get("phoneNumbers", ())]


def test_the_same_at_each_start(world: World) -> None:
    """Names, ids and etags do not depend on the time or on randomness."""
    later = Clock()
    later.now += 1e6
    again = demo_world(now=later, random=lambda length: bytes(length))
    for address in (ALICE, BOB, CAROL):
        assert list(again.account(address).contacts) == list(world.account(address).contacts)
    assert list(again.directories[DOMAIN]) == list(world.directories[DOMAIN])


def test_seed_decides(world: World) -> None:
    """Another seed invents other people."""
    assert list(PersonGenerator("a").invent(20, ())) == list(PersonGenerator("a").invent(20, ()))
    assert list(PersonGenerator("a").invent(20, ())) != list(PersonGenerator("b").invent(20, ()))


@pytest.mark.parametrize("address", [ALICE, BOB, CAROL])
def test_numbers_are_well_formed(world: World, address: str) -> None:
    """A canonical form is a valid number and agrees with the German reading of the written number."""
    for number in numbers(world, address):
        if form := number.get("canonicalForm"):
            parsed = phonenumbers.parse(form)
            assert phonenumbers.is_valid_number(parsed) or form.startswith(FILM_ONLY), number
            typed = phonenumbers.parse(number["value"].partition(",")[0], "DE")
            assert phonenumbers.format_number(typed, phonenumbers.PhoneNumberFormat.E164).startswith(form), number


def test_numbers_are_different(world: World) -> None:
    """No two contacts of Alice share a number."""
    counted = Counter(number.get("canonicalForm", number["value"]) for number in numbers(world, ALICE))
    assert {number: count for number, count in counted.items() if count > 1} == {}


def test_many_scripts(world: World) -> None:
    """Alice's contacts have names in the scripts of many phones, some with a reading."""
    names = [name for person in world.account(ALICE).contacts for name in person.get("names", ())]
    scripts = {unicodedata.name(sign).split()[0] for name in names for sign in name["displayName"] if sign.isalpha()}
    assert scripts >= {"LATIN", "CYRILLIC", "GREEK", "CJK", "HANGUL", "ARABIC", "HEBREW"}
    assert sum("phoneticGivenName" in name for name in names) >= 10
    assert {"佐藤", "Müller", "Łęcki", "Yılmaz"} <= {name.get("familyName") for name in names}


def test_kinds_of_contact(world: World) -> None:
    """Some contacts lack a name, a company or a number, and some have several numbers."""
    people = list(world.account(ALICE).contacts)
    assert len(people) == 300
    nameless = [person for person in people if "names" not in person]
    assert len([person for person in nameless if "organizations" in person]) >= 10
    assert len([person for person in nameless if "organizations" not in person]) >= 5
    assert len([person for person in people if "phoneNumbers" not in person]) >= 1
    kinds = [tuple(number.get("type") for number in person.get("phoneNumbers", ())) for person in people]
    assert kinds.count(("mobile",)) >= 20
    assert max(map(len, kinds)) == 5
    assert {kind for types in kinds for kind in types} >= {"work", "mobile", "home", "workFax", "main", None}


def test_mail_addresses_are_nobodys(world: World) -> None:
    """Every address is below the reserved domain .example, and plain ASCII."""
    mails = [
        mail["value"]
        for account in world.accounts.values()
        for persons in (account.contacts, account.other_contacts)
        for person in persons
        for mail in person.get("emailAddresses", ())
    ]
    assert len(mails) > 100
    assert all(mail.isascii() and mail.endswith(".example") and not mail.startswith((".", "@")) for mail in mails)


def test_metadata_is_googles(world: World) -> None:
    """Each item names its source, and one item per field is primary. The resource name has the contact's id."""
    for person in world.account(ALICE).contacts:
        (source,) = person["metadata"]["sources"]
        assert person["resourceName"] == f"people/c{int(source['id'], 16)}"
        for field in person.values():
            if isinstance(field, list):
                assert [item["metadata"].get("primary", False) for item in field] == [True] + [False] * (len(field) - 1)
                assert all(item["metadata"]["source"] == {"type": "CONTACT", "id": source["id"]} for item in field)


def test_directory(world: World) -> None:
    """Colleagues have an address, the switchboard's number and an extension. An account's profile has its sub."""
    people = {person["names"][0]["displayName"]: person for person in world.directories[DOMAIN]}
    assert len(people) == 25
    alice = people["Alice Adler"]
    assert alice["resourceName"] == f"people/{world.account(ALICE).sub}"
    assert [number["value"] for number in alice["phoneNumbers"]] == ["+49 30 23125 501", "501"]
    assert alice["emailAddresses"][0]["value"] == ALICE
    assert people["Sicherheitsdienst Nachtwache"]["metadata"]["sources"][0]["type"] == "DOMAIN_CONTACT"
    assert json.dumps(alice["metadata"]).count("GOOGLE_APPS_USER") == 1


def test_the_demo_shows_a_company() -> None:
    """The people have contacts, units and profiles. A person has left, and a group is within another group."""
    world, again = (workspace_world(now=Clock(), random=Random(1).randbytes, users=60) for _ in range(2))
    assert list(world.accounts) == list(again.accounts)
    assert len(world.accounts) == 60
    _, *people = world.accounts.values()
    assert all(5 <= len(person.contacts) <= 30 for person in people)
    assert [person.is_suspended for person in people] == [False] * 58 + [True]
    assert len(world.persons_of(ADMINISTRATOR, "directory")) == 58
    assert {person.org_unit for person in people} >= {"/Sales", "/Sales/West"}
    assert SALES_WEST in world.workspaces.groups[SALES].members
    assert len(world.workspaces.groups[PHONES].members) == 15
    assert len(world.workspaces.service_account(SERVICE_ACCOUNT).scopes[DOMAIN]) == 5


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("+49 (0)30 23125-110", "+493023125110"),
        ("+1 212-555-0100,,4711#", "+12125550100"),
        ("+44 20 7946 0100 x204", "+442079460100"),
        ("+49 89 99998 120 ext. 17", "+498999998120"),
        ("030 23125 110", ""),
        ("+49", ""),
        ("*21", ""),
        ("", ""),
    ],
)
def test_canonical_form(value: str, expected: str) -> None:
    """Numbers with a country code have a canonical form, without the extension. Other numbers have none."""
    assert canonical(value) == expected
