# SPDX-License-Identifier: MIT
"""Callers at a site: local calls without the area code, and extensions behind a company's switchboard."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ldapgw.contact import Contact, Kind, Phone, Sharing
from ldapgw.directory import segment
from ldapgw.directory.access import Access, Viewer
from ldapgw.directory.book import FAVOURITES, build_book
from ldapgw.directory.dit import Directory, Dit
from ldapgw.directory.dn import Dn
from ldapgw.directory.entry import Entry, NumberFormatter
from ldapgw.directory.filter import Scope, SearchRequest
from ldapgw.directory.naming_context import NamingContext
from ldapgw.directory.packed_attributes import unpack
from ldapgw.directory.special_entries import Features
from ldapgw.numbers import stored_numbers
from ldapgw.numbers.phone_number import NumberFormat
from tests.support.filter_text import read_filter
from tests.support.phonebook import BASE, PHONE, naming_context
from tests.support.phonebook.trees import all_matches, dit_of, first_page

SITE = replace(naming_context(), outside_line="", area_code="741")
OFFICE = replace(naming_context(), outside_line="", switchboard=True)


def contact(uid: str, text: str, *, kind: Kind = Kind.WORK, name: str = "", organization: str = "") -> Contact:
    """A contact with what is stored in one field."""
    phones = tuple(Phone(kind, number) for number in stored_numbers.read(text, "DE"))
    return Contact(uid, name=name or ("" if organization else uid), organization=organization, phones=phones)


def tree(context: NamingContext, *contacts: Contact, sharing: Sharing = Sharing.PRIVATE) -> Dit:
    book = build_book(context, "alice", "alice@acme.example", sharing, contacts, {}, per_number=True)
    return dit_of(book, context=context)


def answers(dit: Dit, text: str, viewer: Viewer = PHONE) -> list[Entry]:
    """The entries that answer a filter, by a cursor and, where one slice of work is enough, at once."""
    request = SearchRequest(BASE, Scope.WHOLE_SUBTREE, read_filter(text))
    found = [match.entry for match in all_matches(dit, viewer, request)]
    first = first_page(dit, viewer, request, 100)
    assert first is None or [entry.dn for entry in first[0]] == [entry.dn for entry in found]
    return found


def names(dit: Dit, text: str, viewer: Viewer = PHONE) -> list[str]:
    return [name.decode() for entry in answers(dit, text, viewer) for name in entry.attribute("cn")]


def caller(number: str) -> str:
    """Return a phone's filter when a number calls."""
    return f"(&(objectClass=person)(|(telephoneNumber={number})(mobile={number})))"


# --- area codes -------------------------------------------------------------------------------------------------------


LOCALS = (
    contact("full", "+49 741 666666"),
    contact("local", "66 66 67"),
    contact("seven", "7654329"),
    contact("internal", "204"),
    contact("elsewhere", "+49 711 666668"),
)


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("666666", ["full"]),
        ("0741666666", ["full"]),
        ("666667", ["local"]),
        ("0741666667", ["local"]),
        ("+49741666667", ["local"]),
        ("7654329", ["seven"]),
        ("+497417654329", ["seven"]),
        ("204", ["internal"]),
        ("0741204", []),
        ("666668", []),
        ("+33147654329", []),
        ("+14157654329", []),
        ("030666666", []),
    ],
)
def test_calls_within_an_area_are_signalled_without_its_code(asked: str, found: list[str]) -> None:
    """Local numbers are the same with and without the area code; internal numbers and other countries' are not."""
    assert names(tree(SITE, *LOCALS), caller(asked)) == found


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("666666*", ["full"]),
        ("66666*", ["full", "local"]),
        ("6666*", ["local"]),
        ("074166666*", ["full", "local"]),
        ("+4974166666*", ["full", "local"]),
        ("66666*7", ["local"]),
        ("204*", ["internal"]),
        ("666668*", []),
        ("0711666668*", ["elsewhere"]),
    ],
)
def test_the_beginning_of_a_number_within_an_area(asked: str, found: list[str]) -> None:
    """Five digits or more are the beginning of a local number, with and without the area code."""
    assert names(tree(SITE, *LOCALS), f"(telephoneNumber={asked})") == found


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("7654329", ["seven"]),
        ("07654329", ["seven"]),
        ("07417654329", ["seven"]),
        ("00307654329", ["berlin"]),
        ("0307654329", ["berlin"]),
        ("+49307654329", ["berlin"]),
        ("+491717654329", ["mobile"]),
        ("+49407654329", []),
        ("8888888", []),
    ],
)
@pytest.mark.parametrize("is_of_phone", [False, True], ids=["of the tenant", "of the phone"])
def test_a_local_call_comes_from_no_other_area(asked: str, found: list[str], is_of_phone: bool) -> None:
    """A local number and a number of another area, or of a mobile phone, may have the same seven digits at their ends.

    The digit in front of some numbers is for an outside line.
    """
    people = (
        *LOCALS,
        contact("berlin", "+49 30 7654329"),
        contact("mobile", "+49 171 7654329"),
        contact("munich", "089 8888888"),
    )
    context = replace(SITE, outside_line="0", area_code="" if is_of_phone else "741")
    viewer = Viewer("cn=site", PHONE.access, area_code="741") if is_of_phone else PHONE
    assert names(tree(context, *people), caller(asked), viewer) == found


def test_seven_digits_are_local_without_an_area_code_too() -> None:
    """A number without a country is one of the tenant's region, and no end of a number abroad."""
    dit = tree(replace(SITE, area_code=""), *LOCALS, contact("paris", "+33 1 47654321"))
    asked = ("+33147654329", "+14157654329", "+497417654329", "7654329", "7654321", "666666")
    assert [names(dit, caller(number)) for number in asked] == [[], [], ["seven"], ["seven"], [], []]


def test_a_phone_has_an_area_code_of_its_own() -> None:
    """A branch office is in another town than the tenant."""
    branch = Viewer("cn=branch", PHONE.access, area_code="711")
    dit = tree(SITE, *LOCALS)
    assert names(dit, caller("666668"), branch) == ["elsewhere"]
    assert names(dit, caller("666666"), branch) == []
    assert names(dit, "(cn=f*)", branch) == ["full"]


@pytest.mark.parametrize(
    ("asked", "found"),
    [("666667", ["local"]), ("0741666667", ["local"]), ("+49741666667", ["local"]), ("030666667", []), ("0741204", [])],
)
def test_a_phone_knows_its_neighbours_without_the_code(asked: str, found: list[str]) -> None:
    """A number that is stored without its area code is a number of the site of the phone."""
    site = Viewer("cn=site", PHONE.access, area_code="741")
    assert names(tree(replace(SITE, area_code=""), *LOCALS), caller(asked), site) == found


# --- switchboards -----------------------------------------------------------------------------------------------------


COMPANIES = (
    contact("works", "+49 7736 5559-0", organization="Beispiel AG"),
    contact("person", "+49 7736 5559-17", name="Petra Beispiel", organization="Beispiel AG"),
    contact("block", "+49 7736 55591\u20110", organization="Block GmbH"),
    contact("sk", "+421 2 111 11", kind=Kind.MAIN, organization="Bratislava Holding"),
    contact("mobile", "0171 2345670", organization="Ohne Zentrale"),
    contact("mobile0", "0171 234567-0", organization="Mobil GmbH"),
    contact("free", "0800 555001-0", organization="Frei GmbH"),
    contact("remark", "07736 2222-0 (Zentrale)", organization="Zentrale GmbH"),
    contact("us", "+1 212 555 010-0", organization="New York Inc"),
    contact("private", "+49 30 5550-0", name="Paul Privat"),
)


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("+4977365559123", ["Block GmbH ?"]),
        ("077365559223", ["Beispiel AG ?"]),
        ("00497736 5559 2", ["Beispiel AG ?"]),
        ("+49773655590", ["Beispiel AG"]),
        ("+4977365559", ["Beispiel AG ?"]),
        ("+497736222212", ["Zentrale GmbH ?"]),
        ("+4917123456712", []),
        ("+498005550012", []),
        ("+497736555917", ["Petra Beispiel"]),
        ("+4977365558123", []),
        ("+497736555912345678", []),
        ("+421211111111", ["Bratislava Holding ?"]),
        ("+421211111", ["Bratislava Holding"]),
        ("+491712345678", []),
        ("+12125550101", []),
        ("+4930555012", []),
        ("204", []),
    ],
)
@pytest.mark.parametrize("indexed_from", [1, 1000], ids=["index", "no index"])
def test_a_company_names_callers_from_its_extensions(
    monkeypatch: pytest.MonkeyPatch, indexed_from: int, asked: str, found: list[str]
) -> None:
    """The longest beginning counts, if nobody has the number, in countries where extensions are dialled."""
    monkeypatch.setattr(segment, "INDEXED_FROM", indexed_from)
    assert names(tree(OFFICE, *COMPANIES), caller(asked)) == found


@pytest.mark.parametrize(
    "text",
    [
        "(|(cn=077365559223)(telephoneNumber=077365559223))",
        "(telephoneNumber=077365559223*)",
        "(telephoneNumber=*077365559223)",
        "(&(cn=*b*)(telephoneNumber=077365559223))",
        "(!(telephoneNumber=077365559223))",
        "(telephoneNumber~=077365559223)",
    ],
)
def test_searches_are_not_answered_by_a_switchboard(text: str) -> None:
    """Only look-ups of callers are."""
    assert [name for name in names(tree(OFFICE, *COMPANIES), text) if name.endswith("?")] == []


def test_what_a_switchboard_answers() -> None:
    """The company's entry, under the company's name."""
    [entry] = answers(tree(OFFICE, COMPANIES[0]), caller("077365559223"))
    shown = ("cn", "displayName", "o", "telephoneNumber", "uid", "objectClass")
    assert entry.dn == f"uid=works,ou=alice@acme.example,{BASE}"
    assert {name: entry.attribute(name)[:1] for name in shown} == {
        "cn": (b"Beispiel AG ?",),
        "displayName": (b"Beispiel AG ?",),
        "o": (b"Beispiel AG",),
        "telephoneNumber": (b"+49773655590",),
        "uid": (b"works",),
        "objectClass": (b"top",),
    }


def test_a_switchboard_of_a_person_names_the_company_alone() -> None:
    """A person stored with the number of the company's switchboard need not be the caller."""
    hans = replace(
        contact("hans", "+49 7736 5559-0", name="Hans Müller", organization="Beispiel AG"),
        given_name="Hans",
        family_name="Müller",
        title="Direktor",
        emails=("hans@beispiel.example",),
        photo=b"JPEG",
    )
    private = Phone(Kind.MOBILE, *stored_numbers.read("0171 2345678", "DE"))
    direct = Phone(Kind.WORK, *stored_numbers.read("+49 7736 5559-17", "DE"))
    dit = tree(OFFICE, replace(hans, phones=(direct, *hans.phones, private)))
    [entry] = answers(dit, caller("077365559223"))
    own = {name: entry.attribute(name) for name in entry.sets() if name not in unpack(entry.parent.shared.values)}
    assert own == {
        **dict.fromkeys(("cn", "displayName", "sn"), (b"Beispiel AG ?",)),
        "o": (b"Beispiel AG",),
        "telephoneNumber": (b"+49773655590",),
        "uid": (b"hans",),
    }
    formatter = NumberFormatter(NumberFormat.NATIONAL, NumberFormat.E164, "DE", "")
    assert entry.attribute("telephoneNumber", formatter) == (b"07736 55590",)


def test_a_switchboard_in_another_form_of_the_book() -> None:
    """Phones with an entry for each number, several books, several switchboards of one number, and deleted entries."""
    per_number = PHONE._replace(per_number=True)
    twice = (COMPANIES[0], contact("again", "+49 7736 5559-0", organization="Andere AG"))
    assert names(tree(OFFICE, COMPANIES[0]), caller("077365559223"), per_number) == ["Beispiel AG ?"]
    assert names(tree(OFFICE, *twice), caller("077365559223")) == ["Andere AG ?", "Beispiel AG ?"]
    book = build_book(OFFICE, "alice", "alice", Sharing.PRIVATE, COMPANIES[:1], {}, per_number=False)
    assert [one.has_switchboards for one in book.segments.contacts] == [True]
    gone = book.segments.contacts[0].with_deleted([0])
    assert [gone.has_switchboards, len(gone)] == [True, 0]


@pytest.mark.parametrize(
    "context",
    [replace(OFFICE, switchboard=False), replace(naming_context(lenient=False), outside_line="")],
    ids=["off", "strict"],
)
def test_switchboards_are_an_option(context: NamingContext) -> None:
    assert names(tree(context, *COMPANIES), caller("077365559223")) == []


def test_a_walk_goes_on_without_a_switchboard() -> None:
    """Behind the last contact with a number, the company that the number begins with is no further match."""
    dit = tree(OFFICE, COMPANIES[0], contact("extension", "+49 7736 5559-223"))
    request = SearchRequest(BASE, Scope.WHOLE_SUBTREE, read_filter(caller("077365559223")))
    [match] = all_matches(dit, PHONE, request)
    assert match.entry.attribute("cn") == (b"extension",)
    assert all_matches(dit, PHONE, request, match.key) == []


def test_a_walk_goes_on_behind_a_switchboard() -> None:
    """Behind each company that a caller's number begins with, the search finds the companies that follow."""
    other = replace(OFFICE, name="other", base=Dn.parse("dc=other,dc=example"))
    works = [contact(f"w{at}", "+49 7736 5559-0", organization=f"Beispiel {at}") for at in range(2)]
    directories = [
        Directory(context, (build_book(context, "alice", "alice", Sharing.SHARED, works, {}, per_number=False),))
        for context in (OFFICE, other)
    ]
    dit, both = Dit(tuple(directories), Features("1")), Viewer(access=(Access("acme"), Access("other")))
    request = SearchRequest("", Scope.WHOLE_SUBTREE, read_filter(caller("077365559223")))
    whole = all_matches(dit, both, request)
    assert [match.entry.dn.partition(",")[0] for match in whole] == ["uid=w0", "uid=w1"] * 2
    assert [match.key for match in whole] == sorted({match.key for match in whole})
    for at, match in enumerate(whole, start=1):
        found = all_matches(dit, both, request, match.key)
        assert [each.entry.dn for each in found] == [each.entry.dn for each in whole[at:]]


def test_a_phones_format_writes_a_switchboards_number() -> None:
    """The mark behind the forms of the number is no part of the number."""
    dit = tree(OFFICE, COMPANIES[0])
    [entry] = answers(dit, caller("+49773655590"))
    formatter = NumberFormatter(NumberFormat.NATIONAL, NumberFormat.E164, "DE", "")
    assert entry.attribute("telephoneNumber", formatter) == (b"07736 55590",)


GUEST = Viewer(access=(Access("acme"),))


def test_caller_id_books_keep_their_companies() -> None:
    """A book that is open for callers' names alone answers whole numbers only."""
    assert names(tree(OFFICE, *COMPANIES, sharing=Sharing.CALLERS), caller("077365559223"), GUEST) == []


def test_a_company_is_named_once() -> None:
    """Several people with the company's number, in several books: the entry in the viewer's own book is shown."""
    works = "+49 7736 5559-0"
    own = [contact(f"o{at}", works, name=f"Person {at}", organization="Beispiel AG") for at in range(3)]
    others = [
        contact("s1", works, name="Anna Adler", organization="BEISPIEL  AG"),
        contact("s2", works, organization="Andere AG"),
        contact("s3", "+49 7736 55591-0", organization="Beispiel AG"),
    ]
    books = (
        build_book(OFFICE, "bob", "bob@acme.example", Sharing.SHARED, others, {}, per_number=True),
        build_book(OFFICE, "alice", "alice@acme.example", Sharing.PRIVATE, own, {}, per_number=True),
    )
    dit = dit_of(*books, context=OFFICE)
    for viewer, suffix in ((PHONE, ""), (PHONE._replace(per_number=True), "-1")):
        found = [entry.dn.partition(",")[0] for entry in answers(dit, caller("077365559223"), viewer)]
        assert found == [f"uid=s2{suffix}", f"uid=o0{suffix}"]


def test_a_starred_company_is_named_once() -> None:
    """Contacts that come first do not come again, and do not stand in for a company with a longer beginning."""
    context = replace(OFFICE, favourites=True, favourites_first=True)
    starred = replace(COMPANIES[0], labels=("contactGroups/starred",))
    labels = {"contactGroups/starred": FAVOURITES}
    book = build_book(
        context, "alice", "alice@acme.example", Sharing.PRIVATE, [starred, COMPANIES[2]], labels, per_number=True
    )
    dit = dit_of(book, context=context)
    assert names(dit, caller("077365559223")) == ["Beispiel AG ?"]
    assert names(dit, caller("+4977365559123")) == ["Block GmbH ?"]
