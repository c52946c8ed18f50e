# SPDX-License-Identifier: MIT
"""The tests make contacts from persons, also from awkward persons."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ldapgw.contact import Address, Contact, Flaw, Kind, LeftOutNumber, LeftOutReason, PhoneticName, Source
from ldapgw.google.person import MOST_VALUES, ParsedPerson, read_person
from tests.google.samples import SAMPLES, persons
from tests.support.examples import examples

OCTOBER = 1790928930.123456
MINE = ("contactGroups/myContacts",)
STARRED = (*MINE, "contactGroups/starred")
CUSTOMERS = "contactGroups/4a1b2c3d0e5f6071"

PERSONS = persons(
    "connections_full_first_page",
    "connections_full_last_page",
    "other_contacts_full",
    "directory_full_first_page",
    "directory_full_last_page",
) | {
    name: person for name, person in persons("connections_incremental").items() if name == "people/c2300000000000000905"
}


def read(person: dict[str, Any], source: Source = Source.CONTACTS) -> ParsedPerson:
    return read_person(person, source, "DE")


def contact(person: dict[str, Any], source: Source = Source.CONTACTS) -> Contact:
    """Return the contact of a person, whose resource name the function adds."""
    found = read({"resourceName": "people/c1", **person}, source).contact
    assert found is not None
    return found


@dataclass(frozen=True)
class Summary:
    """A summary has a contact, and its numbers as ``kind e164-or-digits;extension``."""

    rest: Contact
    phones: tuple[str, ...]


def summary(found: Contact | None) -> Summary | None:
    if found is None:
        return None
    phones = (
        f"{phone.kind} {phone.number.e164 or phone.number.digits}"
        + (f";{phone.number.extension}" if phone.number.extension else "")
        for phone in found.phones
    )
    return Summary(replace(found, phones=()), tuple(phones))


def named(given: str, family: str) -> dict[str, str]:
    return {"name": f"{given} {family}", "given_name": given, "family_name": family}


def mine(number: int, *phones: str, **fields: Any) -> Summary:
    """Return the summary of a contact of the user."""
    uid, source_id = f"c{2300000000000000000 + number}", f"1feb3dd0676600{number:02x}"
    fields = {"uid": uid, "source_id": source_id, "labels": MINE, "updated": OCTOBER} | fields
    return Summary(Contact(source=Source.CONTACTS, **fields), phones)


def other(number: int, *phones: str, **fields: Any) -> Summary:
    """Return the summary of an other contact."""
    uid, source_id = f"other-c{4500000000000000000 + number}", f"3e7336287142{number:04x}"
    return Summary(Contact(uid, Source.OTHER_CONTACTS, source_id, updated=OCTOBER, **fields), phones)


def colleague(number: int, *phones: str, **fields: Any) -> Summary:
    """Return the summary of a person in the directory."""
    uid = f"{110000000000000001000 + number}"
    return Summary(Contact(uid, Source.DIRECTORY, uid, updated=OCTOBER, **fields), phones)


RUF = (
    "mobile +491710000001",
    "mobile +491710000002",
    "other +49865100001",
    "other +12025550142",
    "other +49300000003",
    "pager +491805000004",
)
LONG = "Langenscheid-" * 8 + "Ende"

CONTACTS: dict[str, Summary | None] = {
    "people/c2300000000000000001": mine(1, "work +4930901820101", "mobile +4915100000001", "fax +4930901820199",
        name="Dr. Ada Maria Beispiel, PhD", given_name="Ada", family_name="Beispiel", also=("Adi", "AH-da by-SHPEEL"),
        organization="Beispiel & Söhne GmbH", department="Leitung", title="Geschäftsführerin",
        emails=("ada.beispiel@example.com", "ada@example.org"),
        addresses=(Address(("Musterstraße 1", "Hinterhaus", "10115 Berlin", "Deutschland"),
        street="Musterstraße 1 Hinterhaus", city="Berlin", postal_code="10115", country_code="DE"),),
        urls=("sip:ada@pbx.example.com", "https://example.com/ada"), labels=(CUSTOMERS, *STARRED),
        phonetic=PhoneticName("AH-da by-SHPEEL", "AH-da", "by-SHPEEL")),
    "people/c2300000000000000002": mine(2, "main +498912340000", organization="ACME Sanitär OHG"),
    "people/c2300000000000000003": mine(3, "other +41446681800"),
    "people/c2300000000000000004": mine(4, **named("Norbert", "Nummernlos"), emails=("norbert@example.net",)),
    "people/c2300000000000000005": mine(5, *RUF, name="Sechs Ruf", given_name="Sechs", family_name="Ruf"),
    "people/c2300000000000000006": mine(6, "other 112", "other *97", "home 234567", "work +498003569377",
        "mobile +49301234567", **named("Ohne", "Kanon"),
        left_out=(LeftOutNumber("ask at reception", LeftOutReason.NOT_DIALABLE),)),
    "people/c2300000000000000007": mine(7, "work +12025550123;45", "work +12025550124;9", "other +442079460000;123",
        **named("Extension", "Person")),
    "people/c2300000000000000008": mine(8, "mobile +81355550100", "work +81355550101",
        name="山田 太郎 🦄👨\u200d👩\u200d👧", given_name="太郎", family_name="山田",
        also=("ヤマダ タロウ", "レイカブシキガイシャ"), organization="例株式会社", title="部長",
        phonetic=PhoneticName("ヤマダ タロウ", "タロウ", "ヤマダ")),
    "people/c2300000000000000009": mine(9, "mobile +972500000001", "home +49500000002", **named("دانا", "الكاتبة"),
        also=("דנה",)),
    "people/c2300000000000000010": mine(10, "mobile +447700900010", **named("Patricia", "Muster"), also=("Patty M.",),
        emails=("patty@example.com",)),
    "people/c2300000000000000011": mine(11, "work +12025550111", name='#O\'Brien, "Bob" <b@x>; a\\z = 1+2 (*)',
        given_name='Bob "the Builder"', family_name="O'Brien, Jr.", organization='Smith, Jones + Co; "R&D" \\ Ltd = #1',
        title="*)(uid=*"),
    "people/c2300000000000000012": mine(12, "home +431000000", name="Longina" + " von und zu" * 12 + " " + LONG,
        given_name="Longina" + " von und zu" * 12, family_name=LONG, organization="Amt für Sehr Lange Bezeichnungen",
        title=("Referentin " * 30)[:256].strip()),
    "people/c2300000000000000013": mine(13, "home +622155500013", name="Sukarno", given_name="Sukarno",
        emails=("sukarno@example.org",)),
    "people/c2300000000000000014": mine(14, "home +49400000014", name="Dr. Ada Maria Beispiel, PhD", given_name="Ada",
        family_name="Beispiel", labels=(CUSTOMERS,)),
    "people/c2300000000000000015": None,
    "people/c2300000000000000016": mine(16, "mobile +903120000016", **named("Zoë", "Strauß-İsık"),
        organization="Erste AG", also=("Zweite AG",), labels=STARRED,
        left_out=(LeftOutNumber("+90 312 000 00 16", LeftOutReason.DUPLICATE),)),
    "people/c2300000000000000017": None,
    "people/c2300000000000000905": mine(5, *RUF, name="Sechs Ruf", given_name="Sechs", family_name="Ruf",
        uid="c2300000000000000905"),
    "otherContacts/c4500000000000000001": other(1, emails=("newsletter@example.com",)),
    "otherContacts/c4500000000000000002": other(2, **named("Olga", "Oft"), emails=("olga.oft@example.org",)),
    "otherContacts/c4500000000000000003": other(3, "other +4917100033"),
    "otherContacts/c4500000000000000004": other(4, name="info@example.net", emails=("info@example.net",)),
    "people/110000000000000001001": colleague(1, "work +4930901822001", "other 2001", **named("Dora", "Dienst"),
        organization="Example AG", department="Einkauf", title="Leiterin Einkauf",
        emails=("dora.dienst@example.com", "dd@example.com")),
    "people/110000000000000001002": colleague(2, **named("Emil", "Neu"), emails=("emil.neu@example.com",)),
    "people/110000000000000001003": colleague(3, "work +498900004711", name="Hausmeisterdienst Süd",
        emails=("hausmeister@example.org",)),
}  # fmt: skip

UNREADABLE = {"people/c2300000000000000006": 1}


def test_all_persons():
    """The table below has every person of the index, and no other."""
    assert PERSONS.keys() == CONTACTS.keys()
    assert len(PERSONS) == 25


@pytest.mark.parametrize("name", sorted(CONTACTS))
def test_person(name):
    """Each of the 25 awkward persons becomes exactly this contact, or none if there is nothing to show."""
    reading = read(*PERSONS[name])
    assert summary(reading.contact) == CONTACTS[name]
    assert reading.skipped == ("" if CONTACTS[name] else "empty")
    assert reading.unreadable_numbers == UNREADABLE.get(name, 0)
    assert not reading.deleted


def test_typed_numbers():
    """A number keeps the owner's writing, without invisible signs."""
    assert [
        phone.number.typed
        for name in ("people/c2300000000000000007", "people/c2300000000000000009", "people/c2300000000000000011")
        for phone in read(*PERSONS[name]).contact.phones
    ] == [
        "+1 (202) 555-0123 ext. 45",
        "+1 202 555 0124;ext=9",
        "+44 20 7946 0000,,123#",
        "+972 50-000-0001",
        "050 000 0002",
        "+1 202 555 0111",
    ]


def test_deleted():
    """A deleted person is recognised with and without a source."""
    uids = {
        "connections_incremental": ["c2300000000000000003", "c2300000000000000004"],
        "other_contacts_incremental": ["other-c4500000000000000001"],
        "directory_incremental": ["110000000000000001002"],
    }
    for sample, expected in uids.items():
        readings = [read(*person) for person in persons(sample).values()]
        deleted = [reading for reading in readings if reading.deleted]
        source_ids = ["1feb3dd067660003" if uid == "c2300000000000000003" else "" for uid in expected]
        assert deleted == [ParsedPerson(None, *ids, deleted=True) for ids in zip(expected, source_ids, strict=True)]


def test_moved():
    """A renamed person names the former resource name, and has the same stable key."""
    before = read(*PERSONS["people/c2300000000000000005"])
    after = read(*PERSONS["people/c2300000000000000905"])
    assert (after.uid, after.previous_uids) == ("c2300000000000000905", ("c2300000000000000005",))
    assert before.source_id == after.source_id == "1feb3dd067660005"


def item(value: object = None, **fields: Any) -> dict[str, Any]:
    """Return an item of a field, with `primary` and `source` in its metadata."""
    metadata = {"primary": fields.pop("primary", False), "source": {"type": fields.pop("source", "CONTACT")}}
    return {"metadata": metadata, **({} if value is None else {"value": value}), **fields}


# Each kind of number has Google's types and types of users' own making.
KINDS = {
    Kind.HOME: ["home"],
    Kind.WORK: ["work", "WORK"],
    Kind.MAIN: ["main"],
    Kind.PAGER: ["pager", "workPager"],
    Kind.FAX: ["homeFax", "workFax", "otherFax", "fax", "Fax Büro", "Telefax", "Mobile fax"],
    Kind.MOBILE: [
        *("mobile", "workMobile", " Mobile ", "iPhone", "Handy", "Diensthandy 2", "Mobil privat", "Mobiltelefon"),
        *("cell", "Cell phone", "Cellulare", "GSM", "Natel", "Móvil"),
    ],
    Kind.OTHER: [
        *("other", "googleVoice", "Ferienhaus", "Immobilien", "Mobiliar", "Excel", "Kellnerin", "", None, ["home"]),
    ],
}


@pytest.mark.parametrize(("kind", "types"), KINDS.items(), ids=str)
def test_kinds(kind, types):
    """Google's types and users' own types lead to a kind."""
    phones = [contact({"phoneNumbers": [item("+49301234567", type=one)]}).phones for one in types]
    assert [[phone.kind for phone in found] for found in phones] == [[kind]] * len(types)


def test_labels_of_the_users_own_making():
    """The label is the user's own type as written. Google's types give no label."""
    labels = {
        "Ferienhaus": "Ferienhaus",
        " Fax  Büro ": "Fax Büro",
        "iPhone": "iPhone",
        "two\nlines\x00": "two lines",
        "x" * 40: "x" * 32,
        "y" * 31 + " z": "y" * 31,
        **dict.fromkeys(("work", "WORKFAX", "other", "googleVoice", "", None), ""),
    }
    found = {kind: contact({"phoneNumbers": [item("+49301234567", type=kind)]}).phones[0].label for kind in labels}
    assert found == labels


@pytest.mark.parametrize(
    ("items", "phones"),
    [
        ([item("+49301234567", type="home"), item("030 1234567", type="work")], ("home +49301234567",)),
        ([item("+49301234567"), item("030 1234567", type="work")], ("work +49301234567",)),
        ([item("+49301234567", type="Ferien"), item("030 1234567", type="work")], ("other +49301234567",)),
        ([item("+49301234567"), item("030 1234567", type="work"), item("+49301234567", type="home")],
            ("work +49301234567",)),
        ([item("+49301234567 ext. 1"), item("+49301234567")], ("other +49301234567;1", "other +49301234567")),
        ([item("2001", type="work"), item("20 01")], ("work 2001",)),
        ([item("030 1234567 ::: 0171 2345678", type="work")], ("work +49301234567", "work +491712345678")),
        ([item("030 1234567\n0171 2345678")], ("other +49301234567", "other +491712345678")),
        ([item("030 1234567 / 0171 2345678"), item("+491712345678", type="mobile")],
            ("other +49301234567", "mobile +491712345678")),
        ([item("+49301"), item("+49302222222", primary=True)], ("other +49302222222", "other 49301")),
        ([item("+49301111111", source="PROFILE"), item("+49302222222"), item("+49303333333", source="DOMAIN_PROFILE")],
            ("other +49302222222",)),
        ([item("+49301111111"), item("+49302222222", primary=True, source="PROFILE")], ("other +49301111111",)),
        ([item(None, canonicalForm="+49301234567")], ("other +49301234567",)),
        ([item("+49301234567", canonicalForm=5)], ("other +49301234567",)),
    ],
)  # fmt: skip
def test_numbers(items, phones):
    """Each number comes once, primary numbers first. Numbers from the contact's own profile are left out."""
    assert summary(contact({"phoneNumbers": items})).phones == phones


def test_unreadable_numbers():
    """Texts in place of a number are counted, and blanks are not."""
    person = {
        "names": [item(displayName="Ada")],
        "phoneNumbers": [item("ask me"), item(" "), item("x" * 70), item("1")],
    }
    reading = read({"resourceName": "people/c1", **person})
    assert (reading.unreadable_numbers, len(reading.contact.phones)) == (2, 1)
    empty = read({"resourceName": "people/c1", "phoneNumbers": [item("ask me")]})
    assert (empty.contact, empty.skipped, empty.unreadable_numbers) == (None, "empty", 1)


def test_what_is_left_out_of_the_numbers():
    """Undialable and repeated numbers are kept as typed, up to a length and a count."""
    found = contact({"phoneNumbers": [item("030 1234567"), item("ask me" * 20), item("+49 30 1234567", type="work")]})
    assert found.left_out == (
        LeftOutNumber(("ask me" * 20)[:64], LeftOutReason.NOT_DIALABLE),
        LeftOutNumber("+49 30 1234567", LeftOutReason.DUPLICATE),
    )
    assert "1234567" not in repr(found.left_out)
    assert len(contact({"phoneNumbers": [item("1"), *[item("ask me")] * 30]}).left_out) == 20


@pytest.mark.parametrize(
    ("person", "name", "also"),
    [
        ({"names": [item(displayName="A B", unstructuredName="C")]}, "A B", ()),
        ({"names": [item(displayName=" \u200b", unstructuredName="C")]}, "C", ()),
        ({"names": [item(givenName="A", middleName="M", familyName="B")]}, "A M B", ()),
        ({"names": [item(familyName="B")]}, "B", ()),
        ({"names": [item(), item(displayName="A")]}, "A", ()),
        ({"names": [item(displayName="P", source="PROFILE"), item(displayName="A")]}, "A", ("P",)),
        ({"names": [item(displayName="A"), item(displayName="P", primary=True)]}, "P", ("A",)),
        (
            {"names": [item(displayName="A")], "nicknames": [item("N"), item("A"), item("M", type="MAIDEN_NAME")]},
            "A",
            ("N", "M"),
        ),
        ({"nicknames": [item("N"), item("M")]}, "N", ("M",)),
        ({"names": [item(displayName="A", phoneticGivenName="a", phoneticFamilyName="b")]}, "A", ("a b",)),
        ({"organizations": [item(name="O")]}, "", ()),
        ({"emailAddresses": [item("a@b.example", displayName="E")]}, "E", ()),
        ({"emailAddresses": [item('"Max Müller" <max@b.example>')]}, "Max Müller", ()),
        ({"emailAddresses": [item("<max@b.example>", displayName="max@b.example")]}, "", ()),
        ({"emailAddresses": [item("E <a@b.example>")], "organizations": [item(name="O")]}, "", ()),
        ({"emailAddresses": [item("E <a@b.example>")], "nicknames": [item("N")]}, "N", ()),
        ({"sipAddresses": [item("sip:max@pbx.example")]}, "max@pbx.example", ()),
        ({"fileAses": [item("Müller, Max")], "sipAddresses": [item("sip:max@pbx.example")]}, "Müller, Max", ()),
        ({"fileAses": [item("Müller, Max")], "nicknames": [item("Maxl")]}, "Maxl", ()),
        ({"names": [item(displayName="P", source="PROFILE")]}, "P", ()),
        ({"names": [item(displayName="P", primary=True, source="PROFILE"), item(displayName="A")]}, "A", ("P",)),
        ({"nicknames": [item("N", source="PROFILE")], "names": [item(displayName="A")]}, "A", ()),
        (
            {"names": [item(displayName="A")], "organizations": [item(name="O"), item(name="Q"), item(name="O")]},
            "A",
            ("Q",),
        ),
    ],
)
def test_names(person, name, also):
    """A contact has a name to show, and further names to find.

    The entry chooses a name for a contact without a person's name.
    """
    found = contact(person)
    assert (found.name, found.also) == (name, also)


@pytest.mark.parametrize(
    ("shown", "full", "given", "family", "expected"),
    [
        ("田中太郎", "", "たろう", "たなか", PhoneticName("たなか たろう", "たろう", "たなか")),
        ("太郎 田中", "", "たろう", "たなか", PhoneticName("たろう たなか", "たろう", "たなか")),
        ("田中太郎", "たろう たなか", "たろう", "たなか", PhoneticName("たなか たろう", "たろう", "たなか")),
        ("田中太郎", "たなか たろう", "", "たなか", PhoneticName("たなか たろう", "", "たなか")),
        ("田中", "", "", "たなか", PhoneticName("たなか", "", "たなか")),
        ("田中", [], " \u200b", None, None),
        ("", "", "", "", PhoneticName("れい")),
    ],
)
def test_how_a_name_is_read(shown, full, given, family, expected):
    """The parts have the order of the shown name. Without a person's name, the reading is the company's."""
    name = {"phoneticFullName": full, "phoneticGivenName": given, "phoneticFamilyName": family}
    name |= {"displayName": shown, "familyName": "田中"} if shown else {}
    found = contact({"names": [item(**name)], "organizations": [item(name="例", phoneticName="れい")]})
    assert found.phonetic == expected


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        ([item(name="A", title="a"), item(name="B", title="b", primary=True)], ("B", "b")),
        ([item(title="T", department="D")], ("", "T")),
        ([item(name="A", title="a", current=False), item(name="B", title="b", current=True)], ("B", "b")),
        ([item(name="A", current=True), item(name="B", primary=True)], ("B", "")),
        ([item(title="a", primary=True), item(name="B", title="b")], ("B", "b")),
        ([item(name="A", source="PROFILE"), item(name="B")], ("B", "")),
        ([item(name="A", current="true"), item(name="B", current=True)], ("B", "")),
    ],
)
def test_organizations(items, expected):
    """The contact has the best organization: with a name, primary, or current.

    The title belongs to this organization.
    """
    found = contact({"names": [item(displayName="A")], "organizations": items})
    assert (found.organization, found.title) == expected


@pytest.mark.parametrize(
    ("values", "emails"),
    [
        (["a@b.example", "A@B.example", "c@d.example"], ("a@b.example", "c@d.example")),
        (["Ada@Example.com"], ("Ada@Example.com",)),
        (["mailto:a@b.example", " a@c.example\n"], ("a@b.example", "a@c.example")),
        (["jörg@müller.example"], ("jörg@müller.example",)),
        (["<a@b.example>", "Max <MAX@b.example>"], ("a@b.example", "MAX@b.example")),
        (["not an address", "a@b c", "a b@c", "@b", "a@", "a", "a@b@c", "<a b>", "A <>", "a@b,c@d", "", None, 5], ()),
        (["a" * 65 + "@b", "a@" + "b" * 200], ()),
    ],
)
def test_emails(values, emails):
    """Each address comes once, as first written. A value that is no address is left out."""
    person = {"names": [item(displayName="A")], "emailAddresses": list(map(item, values))}
    assert contact(person).emails == emails


@pytest.mark.parametrize(
    ("fields", "address"),
    [
        ({"streetAddress": "S 1\nH", "city": "C", "region": "R", "postalCode": "1", "country": "L",
            "countryCode": "de"}, Address(("S 1", "H", "1 C", "R", "L"), "S 1 H", "C", "R", "1", "DE")),
        ({"poBox": "PF 7", "city": "C"}, Address(("PF 7", "C"), "PF 7", "C")),
        ({"formattedValue": "X\n\nY", "countryCode": "Germany"}, Address(("X", "Y"))),
        ({"country": "L", "countryCode": 5}, Address(("L",))),
    ],
)  # fmt: skip
def test_addresses(fields, address):
    """The lines come from Google, or from the parts."""
    assert contact({"addresses": [item(**fields), item(**fields), item(), item(countryCode="DE")]}).addresses == (
        address,
    )


def test_urls():
    """A web address may lack a scheme. Any address that a browser would run is left out."""
    kept = ("https://example.com/ä?b=c#d", "HTTP://example.com", "example.com", "example.com:8080/x")
    refused = ("javascript:alert(1)", "data:text/html,x", "ftp://example.com", "https://a b", "home", "")
    person = {"names": [item(displayName="A")], "urls": list(map(item, (*refused, *kept)))}
    assert contact(person).urls == kept


def member(group: object) -> dict[str, Any]:
    return {"contactGroupMembership": {"contactGroupResourceName": group}}


def test_labels():
    """Labels come in a fixed order. Other system groups and malformed values are left out."""
    groups = ["starred", "friends", "family", "coworkers", "all", "blocked", "chatBuddies", "b1", "a1", "a1", "x/y", ""]
    memberships = [member(f"contactGroups/{group}") for group in groups]
    person = {"memberships": [*memberships, member(5), member("labels/z"), {"domainMembership": {}}, "x"]}
    assert contact({"names": [item(displayName="A")], **person}).labels == (
        "contactGroups/a1",
        "contactGroups/b1",
        "contactGroups/starred",
    )


@pytest.mark.parametrize(
    ("times", "updated"),
    [
        (["1970-01-02T00:00:00Z", "1970-01-01T00:00:00Z"], 86400.0),
        (["1970-01-01T01:00:00.123456789+01:00"], 0.123456),
        (["1970-01-02"], 86400.0),
        (["1969-01-01T00:00:00Z", "soon", 5, None, {}], 0.0),
        (["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59"], 253402300799.0),
        ([], 0.0),
    ],
    ids=str,
)
def test_updated(times, updated):
    """The date is the newest change of any source. Unreadable dates are ignored."""
    person = {"names": [item(displayName="A")], "metadata": {"sources": [{"updateTime": time} for time in times]}}
    assert contact(person).updated == updated


@pytest.mark.parametrize(
    ("name", "source", "uid"),
    [
        ("people/c123", Source.CONTACTS, "c123"),
        ("otherContacts/c123", Source.OTHER_CONTACTS, "other-c123"),
        ("people/123", Source.DIRECTORY, "123"),
        *((name, Source.CONTACTS, "") for name in ("people/", "people/a,dc=b", "people/c1/2", "c1", "people/c1\n", "")),
        *((name, Source.CONTACTS, "") for name in ("people/" + "1" * 129, None, ["people/c1"])),
    ],
    ids=str,
)
def test_uid(name, source, uid):
    """The uid is the id in the resource name. A person without an id is left out as unidentified."""
    reading = read({"resourceName": name, "names": [item(displayName="A")]}, source)
    assert (reading.uid, reading.contact is not None) == (uid, bool(uid))
    assert reading.skipped == ("" if uid else "unidentified")


@pytest.mark.parametrize(
    ("source", "kind", "key", "uid"),
    [
        (Source.CONTACTS, "CONTACT", "1feb3dd067660001", "c2300000000000000001"),
        (Source.OTHER_CONTACTS, "OTHER_CONTACT", "3e73362871420001", "other-c4500000000000000001"),
        (Source.DIRECTORY, "DOMAIN_PROFILE", "110000000000000001001", "110000000000000001001"),
        (Source.CONTACTS, "CONTACT", "no hexadecimal", ""),
        (Source.CONTACTS, "CONTACT", "x-1", "x-1"),
    ],
    ids=str,
)
def test_unreadable_resource_name(source, kind, key, uid):
    """The key of the source becomes the uid, and a flaw says so."""
    metadata = {"sources": [{"type": kind, "id": key}]}
    reading = read({"resourceName": "people/c1/2", "metadata": metadata, "names": [item(displayName="A")]}, source)
    assert (reading.uid, reading.flaws) == (uid, {Flaw.ID} if uid else set())


@pytest.mark.parametrize(
    ("source", "types", "expected"),
    [
        (Source.CONTACTS, ["PROFILE", "CONTACT"], "1"),
        (Source.CONTACTS, ["PROFILE"], ""),
        (Source.OTHER_CONTACTS, ["CONTACT", "OTHER_CONTACT"], "1"),
        (Source.OTHER_CONTACTS, ["CONTACT"], "0"),
        (Source.DIRECTORY, ["PROFILE", "DOMAIN_CONTACT", "DOMAIN_PROFILE"], "2"),
        (Source.DIRECTORY, ["PROFILE", "DOMAIN_CONTACT"], "1"),
        (Source.DIRECTORY, [None, "PROFILE"], "1"),
    ],
)
def test_source_id(source, types, expected):
    """The stable key comes from the source that the listing is about."""
    sources = [{"type": kind, "id": str(at)} for at, kind in enumerate(types)]
    assert read({"metadata": {"sources": sources}}, source).source_id == expected


def test_many_values():
    """A contact keeps at most as many values as Google would list."""
    person = {
        "phoneNumbers": [item(f"+4930{number:07}") for number in range(1000)],
        "emailAddresses": [item(f"a{number}@b.example") for number in range(1000)],
    }
    found = contact(person)
    assert (len(found.phones), len(found.emails)) == (MOST_VALUES, MOST_VALUES)


SAMPLE_KEYS = sorted(
    {key for person, _ in PERSONS.values() for key in person}
    | {
        key
        for person, _ in PERSONS.values()
        for items in person.values()
        if isinstance(items, list)
        for key in items[0]
    }
    | {"primary", "source", "sources", "type", "id", "updateTime", "deleted", "previousResourceNames", "poBox"}
    | {"contactGroupResourceName"}
)
WORDS = st.sampled_from(
    ["CONTACT", "people/c1", "contactGroups/a", "+49301234567", "a@b.example", "x.example", "DE", "work"]
)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | WORDS | st.text(st.characters(), max_size=8)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(SAMPLE_KEYS), inner, max_size=5),
    max_leaves=20,
)


def checked(reading: ParsedPerson) -> ParsedPerson:
    """Return the reading after a check of the promises in its docstring."""
    assert (reading.contact is None) == (reading.deleted or bool(reading.skipped))
    if reading.contact is not None:
        assert reading.contact.uid == reading.uid
        json.dumps(repr(summary(reading.contact))).encode()
        hash(reading.contact)
    return reading


@pytest.mark.no_cover
@settings(max_examples=examples(300), deadline=None)
@given(st.dictionaries(st.sampled_from(SAMPLE_KEYS), JSON, max_size=8), st.sampled_from(Source))
def test_any_object(person, source):
    """Reading any JSON object raises no error."""
    checked(read(person, source))


@settings(max_examples=examples(200), deadline=None)
@given(st.data())
def test_any_damage(data):
    """A damaged field raises no error and costs no other field its value."""
    person = json.loads(json.dumps(SAMPLES["connections_full_first_page"]["body"]["connections"][0]))
    field = data.draw(st.sampled_from(sorted(set(person) - {"resourceName", "metadata", "names"})))
    person[field] = data.draw(JSON)
    found = checked(read(person)).contact
    assert found.name == "Dr. Ada Maria Beispiel, PhD"
    assert field == "phoneNumbers" or len(found.phones) == 3
    assert field == "emailAddresses" or len(found.emails) == 2


@pytest.mark.parametrize(
    ("values", "urls"),
    [
        (["max@pbx.example"], ("sip:max@pbx.example",)),
        (["sips:max@pbx.example", "SIP:204@10.0.0.7"], ("sips:max@pbx.example", "SIP:204@10.0.0.7")),
        (["no address", "tel:204", None, 5], ()),
    ],
)
def test_sip_addresses(values, urls):
    """SIP addresses become URIs in front of other URLs, so a phone can dial them."""
    fields = {
        "names": [item(displayName="A")],
        "sipAddresses": list(map(item, values)),
        "urls": [item("https://x.example")],
    }
    assert contact(fields).urls == (*urls, "https://x.example")


def test_nothing_but_names_is_taken_from_a_profile():
    """A contact takes only names from a profile. A colleague in the directory takes everything."""
    fields = {
        "names": [item(displayName="P", source="PROFILE")],
        "emailAddresses": [item("p@x.example", source="PROFILE")],
        "phoneNumbers": [item("+49301234567", source="DOMAIN_PROFILE")],
        "urls": [item("https://x.example", source="ACCOUNT")],
    }
    mine, colleague = contact(fields), contact(fields, Source.DIRECTORY)
    assert (mine.name, mine.emails, mine.phones, mine.urls) == ("P", (), (), ())
    assert (colleague.emails, len(colleague.phones), colleague.urls) == (("p@x.example",), 1, ("https://x.example",))


# --- photos ----------------------------------------------------------------------------------------------------------

HOST = "https://lh3.googleusercontent.com"


def photo_item(path: str, kind: str = "CONTACT", **more: Any) -> dict[str, Any]:
    primary = more.pop("primary", False)
    return {"url": f"{HOST}{path}", "metadata": {"source": {"type": kind}, "primary": primary}, **more}


@pytest.mark.parametrize(
    ("photos", "url"),
    [
        ([photo_item("/cm/AbC=s100")], f"{HOST}/cm/AbC=s240"),
        ([photo_item("/cm/AbC=s100-c-k-no")], f"{HOST}/cm/AbC=s240"),
        ([photo_item("/cm/AbC")], f"{HOST}/cm/AbC=s240"),
        ([photo_item("/cm/AbC=s100", default=True)], ""),
        ([photo_item("/d=s100", default=True), photo_item("/p=s100", "PROFILE")], f"{HOST}/p=s240"),
        ([photo_item("/p=s100", "PROFILE", primary=True), photo_item("/own=s100")], f"{HOST}/own=s240"),
        ([photo_item("/a=s100"), photo_item("/b=s100", primary=True)], f"{HOST}/b=s240"),
        ([{"url": 7}, {"url": "javascript:alert(1)"}, photo_item("/b=s100")], f"{HOST}/b=s240"),
        ([{"url": f"{HOST}/a b"}], ""),
        ([{"url": HOST + "/" + "x" * 3000}], ""),
        ([{}], ""),
        ("photo", ""),
        ([], ""),
    ],
)
def test_the_address_of_a_photo(photos: Any, url: str) -> None:
    """The user's choice comes before the profile's photo. A letter drawn by Google is no photo."""
    named = {"resourceName": "people/c1", "names": [{"displayName": "Ada"}]}
    assert read_person({**named, "photos": photos}, Source.CONTACTS, "DE").photo_url == url
    assert read_person({"resourceName": "people/c1", "photos": photos}, Source.CONTACTS, "DE").photo_url == ""
