# SPDX-License-Identifier: MIT
"""Search: scopes, who sees what, order, limits, and breaths."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import combinations, permutations, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ldapgw.contact import Contact, Kind, Sharing
from ldapgw.directory import segment
from ldapgw.directory.access import NOBODY, Access, Viewer
from ldapgw.directory.book import build_book
from ldapgw.directory.dit import Dit
from ldapgw.directory.dn import Dn
from ldapgw.directory.entry import Entry
from ldapgw.directory.filter import Scope, SearchRequest
from ldapgw.directory.search import compare, matches, search
from ldapgw.errors import DirectoryError, ResultCode
from tests.support.examples import examples
from tests.support.filter_text import read_filter
from tests.support.phonebook import BASE
from tests.support.phonebook.entries import answer, phone
from tests.support.phonebook.trees import (
    ALICE,
    ALL,
    BASE_OBJECT,
    BASES,
    BEN,
    BOB,
    BOTH,
    CALLERS,
    CAROL,
    CONTEXT,
    DAVE,
    HALL,
    NUMBERS,
    PHONE,
    PRIVATE,
    SHARED,
    SINGLE_LEVEL,
    STAFF,
    TREE,
    VIEWERS,
    WHOLE_SUBTREE,
    book_of,
    dit_of,
    entries_found,
    first_page,
    tree,
)
from tests.support.results import refused

# Carol's book alone, which is open to callers' names.
CAROLS = Dit((replace(TREE.directories[0], books=TREE.directories[0].books[2:3]),), TREE.features)


def found(
    base: str,
    scope: Scope = WHOLE_SUBTREE,
    text: str = "(cn=*)",
    viewer: Viewer = PHONE,
    limit: int = 0,
    dit: Dit = TREE,
) -> list[Entry]:
    """The entries of a search."""
    return [entry for entry in search(dit, viewer, SearchRequest(base, scope, read_filter(text), limit)) if entry]


def names(entries: list[Entry]) -> list[str]:
    """The first parts of the entries' names."""
    return [entry.dn.split(",")[0] for entry in entries]


def refusal(base: str, scope: Scope = BASE_OBJECT, viewer: Viewer = PHONE) -> tuple[ResultCode, str]:
    """Return the code and the matched DN of a refused search."""
    with pytest.raises(DirectoryError) as caught:
        found(base, scope, "(objectClass=*)", viewer)
    return caught.value.code, caught.value.matched_dn


@pytest.mark.parametrize(
    ("base", "scope", "text", "expected"),
    [
        ("", BASE_OBJECT, ALL, [""]),
        ("", BASE_OBJECT, "(cn=*)", []),
        ("", SINGLE_LEVEL, ALL, ["dc=acme"]),
        ("", WHOLE_SUBTREE, "(cn=*)", ["uid=c1", "uid=c2", "uid=b4", "uid=c3"]),
        ("cn=Subschema", BASE_OBJECT, "(objectClass=subschema)", ["cn=subschema"]),
        ("cn=subschema", WHOLE_SUBTREE, "(cn=x)", []),
        ("cn=subschema", SINGLE_LEVEL, ALL, []),
        (BASE, BASE_OBJECT, "(objectClass=organization)", ["dc=acme"]),
        (BASE, SINGLE_LEVEL, ALL, ["ou=alice", "ou=bob", "ou=directory"]),
        (BASE, WHOLE_SUBTREE, "(&(objectClass=organization)(o=a*))", ["dc=acme"]),
        (BASE, WHOLE_SUBTREE, "(&(objectClass=2.5.6.5)(ou=suppliers))", ["ou=Suppliers"]),
        (BASE, WHOLE_SUBTREE, "(&(objectClass=person)(ou=suppliers))", []),
        (BASE, WHOLE_SUBTREE, "(&(!(objectClass=person))(ou=suppliers))", ["ou=Suppliers"]),
        (BASE, WHOLE_SUBTREE, "(ou=*)", ["ou=alice", "ou=A\\", "ou=Suppliers", "ou=Ümpty", "ou=bob", "ou=directory"]),
        (BASE, WHOLE_SUBTREE, "(ou:dn:=alice)", ["ou=alice", "ou=A\\", "ou=Suppliers", "ou=Ümpty", "uid=c1", "uid=c2",
                                                "uid=c3"]),
        (BASE.upper(), WHOLE_SUBTREE, "(sn=alt)", ["uid=c2"]),
        (ALICE, BASE_OBJECT, ALL, ["ou=alice"]),
        (ALICE, SINGLE_LEVEL, ALL, ["ou=A\\", "ou=Suppliers", "ou=Ümpty", "uid=c1", "uid=c2", "uid=c3"]),
        (ALICE, WHOLE_SUBTREE, "(cn=*)", ["uid=c1", "uid=c2", "uid=c3"]),
        (BOB, WHOLE_SUBTREE, "(cn=*)", ["uid=b1", "uid=b5", "uid=b4", "uid=b3"]),
        (STAFF, WHOLE_SUBTREE, "(cn=*)", ["uid=s1", "uid=s2"]),
        (f"uid=c1,{ALICE}", BASE_OBJECT, ALL, ["uid=c1"]),
        (f"UID = C1,{ALICE}", WHOLE_SUBTREE, ALL, ["uid=c1"]),
        (f"uid=c1-1,{ALICE}", WHOLE_SUBTREE, ALL, ["uid=c1-1"]),
        (f"uid=c1,{ALICE}", SINGLE_LEVEL, ALL, []),
        (f"ou=Suppliers,{ALICE}", BASE_OBJECT, ALL, ["ou=Suppliers"]),
        (f"ou=suppliers,{ALICE}", SINGLE_LEVEL, ALL, ["uid=c1", "uid=c2", "uid=c3"]),
        (f"ou=suppliers,{ALICE}", WHOLE_SUBTREE, ALL, ["ou=Suppliers", "uid=c1", "uid=c2", "uid=c3"]),
        (f"ou=A\\, b,{ALICE}", WHOLE_SUBTREE, "(cn=*)", ["uid=c1"]),
        (f"ou=ümpty,{ALICE}", WHOLE_SUBTREE, ALL, ["ou=Ümpty"]),
        (f"uid=c1,ou=a\\, b,{ALICE}", BASE_OBJECT, ALL, ["uid=c1"]),
        (f"uid=c1,ou=a\\, b,{ALICE}", SINGLE_LEVEL, ALL, []),
    ],
)  # fmt: skip
def test_scopes(base: str, scope: Scope, text: str, expected: list[str]) -> None:
    """Each base with each scope; a person in several books once, one's own book first, in the order of names."""
    assert names(found(base, scope, text)) == expected


def test_entries_below_a_label_have_names_there() -> None:
    """So that a phone can read them again."""
    base = f"ou=Suppliers,{ALICE}"

    assert [entry.dn for entry in found(base)] == [f"uid={uid},{base}" for uid in ("c1", "c2", "c3")]
    assert [found(entry.dn, BASE_OBJECT)[0].dn for entry in found(base)] == [entry.dn for entry in found(base)]


@pytest.mark.parametrize(
    ("base", "matched"),
    [
        (CAROL, BASE),
        (DAVE, BASE),
        (f"uid=d1,{DAVE}", BASE),
        (f"ou=phones,{BASE}", BASE),
        (f"cn=desk1,ou=phones,{BASE}", BASE),
        (f"cn=alice,{BASE}", BASE),
        (f"ou=alice+cn=x,{BASE}", BASE),
        (f"uid=c4,{ALICE}", ALICE),
        (f"uid=c9,{ALICE}", ALICE),
        (f"cn=Ada,{ALICE}", ALICE),
        (f"uid=c1+cn=Ada,{ALICE}", ALICE),
        (f"ou=nothing,{ALICE}", ALICE),
        (f"uid=c2,ou=a\\, b,{ALICE}", f"ou=a\\, b,{ALICE}"),
        (f"cn=x,uid=c1,{ALICE}", f"uid=c1,{ALICE}"),
        (f"cn=y,cn=x,uid=c1,{ALICE}", f"uid=c1,{ALICE}"),
        (f"cn=x,uid=c4,{ALICE}", ALICE),
        (f"cn=x,uid=c1,ou=a\\, b,{ALICE}", f"uid=c1,ou=a\\, b,{ALICE}"),
        ("dc=example", ""),
        ("dc=other,dc=example", ""),
        ("ou=olaf,dc=other,dc=example", ""),
        ("cn=desk1", ""),
    ],
)
def test_what_one_may_not_see_does_not_exist(base: str, matched: str) -> None:
    """By its name no more than by a search: noSuchObject, with the nearest name above that exists for this login."""
    for scope in Scope:
        assert refusal(base, scope) == (ResultCode.NO_SUCH_OBJECT, matched)


def test_a_base_that_is_no_dn() -> None:
    """Is refused as such, to everybody."""
    for viewer in (PHONE, NOBODY):
        assert refusal("desk1", WHOLE_SUBTREE, viewer) == (ResultCode.INVALID_DN_SYNTAX, "")


@pytest.mark.parametrize("base", [BASE, ALICE, "dc=nowhere", f"uid=c1,{ALICE}"])
def test_nobody_sees_nothing(base: str) -> None:
    """Without a login: the root DSE and the subschema alone."""
    for scope in Scope:
        assert refusal(base, scope, NOBODY) == (ResultCode.INSUFFICIENT_ACCESS_RIGHTS, "")
    assert refusal("", WHOLE_SUBTREE, NOBODY) == (ResultCode.INSUFFICIENT_ACCESS_RIGHTS, "")
    assert refusal("", SINGLE_LEVEL, NOBODY) == (ResultCode.INSUFFICIENT_ACCESS_RIGHTS, "")
    assert names(found("", BASE_OBJECT, ALL, NOBODY)) == [""]
    assert names(found("cn=subschema", BASE_OBJECT, ALL, NOBODY)) == ["cn=subschema"]


def test_several_tenants() -> None:
    """Each tree for itself; a tenant that is gone is not there."""
    assert names(found("", SINGLE_LEVEL, ALL, BOTH)) == ["dc=acme", "dc=other"]
    assert names(found("", viewer=BOTH))[-1] == "uid=o1"
    assert names(found("dc=other,dc=example", viewer=BOTH)) == ["uid=o1"]


@pytest.mark.parametrize(
    ("viewer", "default", "contexts"),
    [
        (PHONE, [BASE.encode()], [BASE.encode()]),
        (BOTH, [], [BASE.encode(), b"dc=other,dc=example"]),
        (NOBODY, [], [BASE.encode(), b"dc=other,dc=example"]),
        (Viewer(access=(Access("gone"),)), [], []),
    ],
    ids=["one", "two", "nobody", "gone"],
)
def test_the_root_dse_names_ones_own_tenant(viewer: Viewer, default: list[bytes], contexts: list[bytes]) -> None:
    """And no other one after a login; before it all, of which a client without a base has to choose."""
    entry = found("", BASE_OBJECT, ALL, viewer)[0]

    assert list(entry.attribute("defaultNamingContext")) == default
    assert list(entry.attribute("namingContexts")) == contexts


@pytest.mark.parametrize("lenient", [True, False], ids=["lenient", "strict"])
def test_a_callers_name(lenient: bool) -> None:
    """A book open to callers tells name and number to a filter that names the number, and nothing besides."""
    dit = tree(lenient=lenient)
    base = "cn={}+telephoneNumber=\\+49307654321," + BASE

    entries = found(BASE, text="(|(telephoneNumber=+49307654321)(homePhone=+49307654321)(cn=k*))", viewer=HALL, dit=dit)

    assert [entry.dn for entry in entries] == [f"uid=s2,{STAFF}", base.format("Kai"), base.format("kai")]
    assert answer(entries[1], "*", "+") == {
        "cn": [b"Kai"], "sn": [b"Kai"], "displayName": [b"Kai"], "telephoneNumber": [b"+49307654321"],
        "homePhone": [b"+49307654321"],
    }  # fmt: skip
    assert refusal(entries[1].dn, viewer=HALL) == (ResultCode.NO_SUCH_OBJECT, BASE)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("(mobile=01712345678)", True),
        ("(telephoneNumber=01712345678)", True),
        ("(&(mobile=01712345678)(objectClass=person)(sn=Ärmel))", True),
        ("(|(mobile=01712345678)(ou=x))", True),
        ("(mobile~=0171 2345678)", True),
        ("(mobile=0171234567*)", False),
        ("(mobile=*)", False),
        ("(mobile=)", False),
        ("(&(cn=*)(!(mobile=999)))", False),
        ("(cn=ada*)", False),
        ("(&(mobile=01712345678)(cn=ada*))", True),
        ("(&(mobile=01712345678)(cn=secret))", False),
        ("(&(mobile=01712345678)(ou=Hidden))", False),
        ("(&(mobile=01712345678)(telephoneNumber=*))", False),
        ("(&(mobile=01712345678)(telephoneNumber=+49301234567))", True),
        ("(&(mobile=01712345678)(entryUUID=*))", False),
        ("(|(mobile=01799999999)(cn=ada*))", False),
    ],
)
def test_a_book_open_to_callers_cannot_be_browsed(text: str, expected: bool) -> None:
    """Nor be felt for what it does not show."""
    assert bool(found(BASE, text=text, viewer=HALL, dit=CAROLS)) is expected
    assert names(found(BASE, SINGLE_LEVEL, ALL, HALL, dit=CAROLS)) == []


@pytest.mark.parametrize(
    ("text", "named"),
    [("(mobile=01712345678)", "mobile"), ("(telephoneNumber=01712345678)", "mobile"),
     ("(telephoneNumber=+49301234567)", "telephoneNumber")],
)  # fmt: skip
def test_the_number_in_the_name_of_a_callers_entry_is_a_value_of_the_entry(text: str, named: str) -> None:
    """RFC 4512 2.3.1 wants each value of the RDN in the entry."""
    [entry] = found(BASE, text=text, viewer=HALL, dit=CAROLS)
    values = {name: [value.decode() for value in values] for name, values in answer(entry).items()}

    assert Dn.parse(entry.dn).rdns[0] == (("cn", values["cn"][0]), (named.lower(), values[named][0]))


@pytest.mark.parametrize("operator", "|&")
def test_the_order_of_the_numbers_that_name_a_caller_does_not_matter(operator: str) -> None:
    """A telephone system asks for one number in several spellings, or for several numbers."""
    adas = ("(telephoneNumber=+49301234567)", "(telephoneNumber=030 1234567)", "(mobile=01712345678)")
    terms = (*adas, "(telephoneNumber=+4930111)", "(homePhone=+49307654321)")

    for chosen in combinations(terms, 3):
        orders = [f"({operator}{''.join(order)})" for order in permutations(chosen)]
        answers = [
            [(entry.dn, answer(entry)) for entry in found(BASE, text=text, viewer=HALL, dit=CAROLS)] for text in orders
        ]
        assert answers == [answers[0]] * len(orders)
        assert (
            bool(answers[0]) is (operator == "|" or "(telephoneNumber=+4930111)" not in chosen) or "home" in chosen[-1]
        )


class Budget:
    """So many numbers, and no time in which they come back."""

    def __init__(self, left: int) -> None:
        self.left = left

    def take(self, count: int) -> bool:
        if count > self.left:
            return False
        self.left -= count
        return True

    def give_back(self, count: int) -> None:
        self.left += count


@pytest.mark.parametrize(
    ("text", "left", "names_found"),
    [
        ("(mobile=01712345678)", 3, 1),
        ("(|(mobile=01712345678)(telephoneNumber=01712345678))", 3, 1),
        ("(|(mobile=01712345678)(telephoneNumber=030999001)(mobile=030999002))", 1, 1),
        ("(mobile=030999001)", 2, 0),
        ("(|(mobile=030999001)(telephoneNumber=030999001)(homePhone=030999001))", 2, 0),
        ("(telephoneNumber=01712345678)", 3, 1),
        ("(&(mobile=01712345678)(cn=secret))", 3, 0),
        ("(|(mobile=01712345678)(mobile=01712345678)(mobile=030999001)(mobile=030999002)(mobile=030999003))", 3, 0),
        ("(cn=ada*)", 3, 0),
        ("(mobile=0171234567*)", 3, 0),
    ],
)
def test_numbers_that_nobody_has_are_counted(text: str, left: int, names_found: int) -> None:
    """Each once, in whatever attributes it is sought; where there are more than are left, no caller is looked for."""
    request, budget = SearchRequest(BASE, WHOLE_SUBTREE, read_filter(text), 0), Budget(3)

    assert len([one for one in matches(CAROLS, HALL, request, budget=budget) if one]) == names_found
    assert budget.left == left


def test_a_known_caller_is_named_once() -> None:
    """Somebody whom one may see in full is not named by another's book again."""
    assert names(found(BASE, text="(mobile=01712345678)")) == ["uid=c1"]


def test_entries_per_number_have_the_persons_own_labels() -> None:
    """In place of the kind, where there is one."""
    house = replace(BEN.phones[0], label="Ferienhaus")
    book = build_book(CONTEXT, "a", "alice", PRIVATE, [replace(BEN, phones=(house,))], {}, per_number=True)
    dit = dit_of(book)
    [entry] = entries_found(dit, NUMBERS, ALL, ALICE, SINGLE_LEVEL)
    assert (entry.attribute("cn"), entry.attribute("telephoneNumber")) == (
        (b"Ben Alt (Ferienhaus)",),
        (b"+49307654321",),
    )


def test_entries_per_number() -> None:
    """The kind stands behind the name; telephoneNumber holds the one number; found by the bare name too."""
    entries = found(ALICE, viewer=NUMBERS)

    shown = [(entry.attribute("cn")[0], *entry.attribute("telephoneNumber")) for entry in entries]
    assert list(zip(names(entries), shown, strict=True)) == [
        ("uid=c1-2", ("Ada Ärmel (mobile)".encode(), b"+491712345678")),
        ("uid=c1-1", ("Ada Ärmel (work)".encode(), b"+49301234567")),
        ("uid=c2-1", (b"Ben Alt (home)", b"+49307654321")),
    ]  # fmt: skip
    assert [entry.attribute("mobile") for entry in entries] == [(), (), ()]
    assert names(found(ALICE, text="(cn=ada armel)", viewer=NUMBERS)) == ["uid=c1-2", "uid=c1-1"]
    assert names(found(f"ou=a\\, b,{ALICE}", viewer=NUMBERS)) == ["uid=c1-2", "uid=c1-1"]
    assert names(found(f"uid=c1-2,ou=a\\, b,{ALICE}", BASE_OBJECT, viewer=NUMBERS)) == ["uid=c1-2"]
    assert names(found(f"uid=c1,{ALICE}", BASE_OBJECT, viewer=NUMBERS)) == ["uid=c1"]
    assert names(found("dc=other,dc=example", viewer=BOTH._replace(per_number=True))) == ["uid=o1"]


@pytest.mark.parametrize(("limit", "code"), [(0, None), (3, None), (4, None), (2, ResultCode.SIZE_LIMIT_EXCEEDED)])
def test_size_limit(limit: int, code: ResultCode | None) -> None:
    """Exactly as many as the limit allows is success; one more is the first entries and an error behind them."""
    request = SearchRequest(ALICE, WHOLE_SUBTREE, read_filter("(cn=*)"), limit)
    got: list[str] = []
    error = None
    try:
        got.extend(entry.dn for entry in search(TREE, PHONE, request) if entry)
    except DirectoryError as caught:
        error = caught.code

    assert (len(got), error) == (limit if code else 3, code)


MANY = [Contact(f"c{at}", name=f"{'Ada' if at % 900 == 899 else 'Bo'} {at:04}") for at in range(1800)]


@pytest.mark.parametrize(
    ("text", "breaths"),
    [
        ("(!(cn=bo*))", 9),
        ("(&" + "(!(cn=bo*))" * 99 + ")", 449 + 8),
        ("(&" + "(!(cn=bo*))" * 999 + ")", 1799 + 83),
        ("(cn=ada*)", 0),
    ],
    ids=["light", "heavy", "heaviest", "indexed"],
)
def test_a_walk_takes_breath(text: str, breaths: int) -> None:
    """Without an index, a search looks at some 200 entries at most between two breaths, fewer for a heavy filter.

    Twelve terms of a filter are prepared at a time.
    """
    dit = dit_of(book_of(MANY))
    steps = list(search(dit, PHONE, SearchRequest(ALICE, WHOLE_SUBTREE, read_filter(text))))

    assert [entry.attribute("uid")[0] for entry in steps if entry and entry.attribute("uid")] == [b"c899", b"c1799"]
    assert steps.count(None) == breaths


def test_a_walk_over_several_books_takes_breath() -> None:
    """Each of all entries is a step of it; callers' books are not walked."""
    many = [replace(contact, emails=(f"{contact.uid}@x.example",)) for contact in MANY]
    dit = dit_of(*(book_of(many, key, key, how) for key, how in (("a", PRIVATE), ("b", SHARED), ("c", CALLERS))))
    steps = list(search(dit, PHONE, SearchRequest(BASE, WHOLE_SUBTREE, read_filter("(!(cn=bo*))"))))

    assert [entry.attribute("uid")[0] for entry in steps if entry and entry.attribute("uid")] == [b"c899", b"c1799"]
    assert steps.count(None) >= 2 * len(MANY) // 200 - 1


def test_many_callers_take_breath() -> None:
    """A switchboard's number is shared by 250 people."""
    staff = [replace(contact, phones=(phone(Kind.WORK, "+49301234567"),)) for contact in MANY[:250]]
    dit = dit_of(book_of(staff, "c", "carol", CALLERS))
    steps = list(search(dit, PHONE, SearchRequest(BASE, WHOLE_SUBTREE, read_filter("(telephoneNumber=0301234567)"))))

    assert len([entry for entry in steps if entry]) == 250
    assert steps[0] is None


def test_order_is_stable() -> None:
    """As people sort names (accents, case and scripts do not matter), in whatever order the contacts came.

    What has no letters comes last.
    """
    people = ["Özil", "olaf", "Oz", "Петров", "peter", "Zoë", "zoe", "Ärmel", "arm", "🐶", "Łukasz", "Lutz"]
    contacts = [Contact(f"c{at}", name=name) for at, name in enumerate(people)]
    orders = []
    for seed in range(3):
        random.Random(seed).shuffle(contacts)
        dit = dit_of(book_of(contacts))
        orders.append([entry.attribute("cn")[0].decode() for entry in found(ALICE, dit=dit)])

    assert orders == [
        ["arm", "Ärmel", "Łukasz", "Lutz", "olaf", "Oz", "Özil", "peter", "Петров", "Zoë", "zoe", "🐶"]
    ] * 3  # fmt: skip


HOSTILE = st.text(
    st.one_of(st.sampled_from(' ,+"\\<>;#=\0\n\x7f'), st.characters(exclude_categories=["Cs"])), min_size=1, max_size=30
)


@settings(max_examples=examples(60), deadline=None)
@given(HOSTILE, HOSTILE, HOSTILE)
def test_hostile_names_are_found_by_their_dn(name: str, uid: str, label: str) -> None:
    """Any name of a contact, an id, a book or a label has a DN that leads back to the entry."""
    contact = Contact(uid, name=name, labels=("g",))
    book = build_book(CONTEXT, "a", label, PRIVATE, [contact], {"g": label}, per_number=True)
    dit = dit_of(book)

    for entry in found("", text=ALL, dit=dit):
        assert [again.dn for again in found(entry.dn, BASE_OBJECT, ALL, dit=dit)] == [entry.dn]
    assert answer(found(f"{book.container.dn}", text="(uid=*)", dit=dit)[0])["cn"] == [name.encode()]


@pytest.mark.parametrize(
    ("attribute", "value", "held"),
    [
        ("cn", b"ADA ARMEL", True),
        ("cn", b"ada", False),
        ("cn", b"secret", True),
        ("cn", b"armel secret", False),
        ("telephoneNumber", b"030 1234567", True),
        ("name", b"chef", True),
        ("objectClass", b"person", True),
        ("hasSubordinates", b"FALSE", True),
    ],
)
def test_compare(attribute: str, value: bytes, held: bool) -> None:
    """By the attribute's own rule."""
    assert compare(TREE, PHONE, f"uid=c1,{ALICE}", attribute, value) is held


@pytest.mark.parametrize(
    ("dn", "attribute", "code"),
    [
        (f"uid=c1,{ALICE}", "shoeSize", ResultCode.UNDEFINED_ATTRIBUTE_TYPE),
        (f"uid=c1,{ALICE}", "cn;lang-de", ResultCode.UNDEFINED_ATTRIBUTE_TYPE),
        (f"uid=c1,{ALICE}", "pager", ResultCode.NO_SUCH_ATTRIBUTE),
        (f"uid=c1,{ALICE}", "objectClass", ResultCode.INVALID_ATTRIBUTE_SYNTAX),
        (f"uid=c1,{ALICE}", "hasSubordinates", ResultCode.INVALID_ATTRIBUTE_SYNTAX),
        (f"uid=c1,{DAVE}", "cn", ResultCode.NO_SUCH_OBJECT),
        ("desk1", "cn", ResultCode.INVALID_DN_SYNTAX),
    ],
)
def test_compare_is_refused(dn: str, attribute: str, code: ResultCode) -> None:
    """With the code of RFC 4511 4.10."""
    with refused(code):
        compare(TREE, PHONE, dn, attribute, b"x")


def test_a_deleted_contact_is_not_told_as_a_caller() -> None:
    """As soon as the next snapshot is published."""
    staff = [replace(contact, phones=(phone(Kind.WORK, "+49301234567"),)) for contact in MANY[:20]]
    book = book_of(staff, "c", "carol", CALLERS)
    [segment] = book.segments.contacts
    left = replace(book, segments=replace(book.segments, contacts=(segment.with_deleted([0]),)))
    for one, count in ((book, 20), (left, 19)):
        dit = dit_of(one)
        request = SearchRequest(BASE, WHOLE_SUBTREE, read_filter("(telephoneNumber=0301234567)"))
        assert len([entry for entry in search(dit, PHONE, request) if entry]) == count


def test_a_search_by_prefixes_finds_all_matches_in_parts() -> None:
    """The search finds most names by each of many beginnings, and goes on behind any match."""
    words = [f"{letter}bc" for letter in "abcdefghijklm"]
    sought = [word[:letters] for word in words for letters in (1, 2, 3)]
    name = " ".join(words)
    people = [
        Contact(f"c{at:03}", name=f"{at:03}", given_name=own, family_name=own)
        for at, own in enumerate(["zoe", *[name] * 4] * 160)
    ]
    dit = dit_of(build_book(CONTEXT, "staff", "staff", Sharing.SHARED, people, {}, per_number=False))
    filter_text = "".join(f"(givenName={beginning}*)(sn={beginning}*)" for beginning in sought)
    request = SearchRequest(BASE, WHOLE_SUBTREE, read_filter(f"(|{filter_text})"))
    found = [match for match in matches(dit, PHONE, request) if match]
    expected = [f"c{at:03}" for at in range(800) if at % 5]
    assert [match.entry.uid.decode() for match in found] == expected
    for start in range(0, len(found), 100):
        rest = matches(dit, PHONE, request, after=found[start].key)
        assert [match.entry.uid.decode() for match in rest if match] == expected[start + 1 :]


FILTERS_OF_PHONES = [
    "(|(cn=a*)(sn=a*))", "(cn=*a*)", "(telephoneNumber=0301234567)",
    "(|(mobile=01712345678)(telephoneNumber=01712345678))",
    "(&(cn=b*)(telephoneNumber=*))", "(!(cn=a*))", "(uid=c1)", "(objectClass=*)", "(cn>=c)", "(objectClass=group)",
]  # fmt: skip


@pytest.mark.parametrize("text", FILTERS_OF_PHONES)
def test_few_entries_are_found_without_an_index(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same ones as with an index, for each viewer, and where one slice of work is all."""
    monkeypatch.setattr(segment, "INDEXED_FROM", 100)
    small = tree()
    books = [book for directory in small.directories for book in directory.books]
    assert {one.index for book in books for one in book.segments.contacts} == {None}
    for viewer, base in product(VIEWERS, BASES):
        request = SearchRequest(base, WHOLE_SUBTREE, read_filter(text))
        assert outcome(small, viewer, request) == outcome(TREE, viewer, request)


def outcome(dit: Dit, viewer: Viewer, request: SearchRequest) -> object:
    """The DNs of what is found, or why nothing is."""
    try:
        dns = [entry.dn for entry in search(dit, viewer, request) if entry]
        first = first_page(dit, viewer, request, 1)
    except DirectoryError as error:
        return error.code
    return dns, [entry.dn for entry in first[0]] if first else None
