# SPDX-License-Identifier: MIT
"""Sorting: keys, rules, what is missing, and how much work it may be.

Windows: where the target stands, and what is seen around it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ldapgw.contact import Contact, Kind, PhoneticName, Sharing
from ldapgw.directory import name_folding, sort
from ldapgw.directory.access import Viewer
from ldapgw.directory.book import build_book
from ldapgw.directory.dit import Dit
from ldapgw.directory.entry import Entry
from ldapgw.directory.filter import Scope, SearchRequest
from ldapgw.directory.naming_context import ROOT
from ldapgw.directory.search import matches
from ldapgw.directory.segment import Match
from ldapgw.directory.sort import (
    AtLeast,
    Offset,
    OffsetOutOfRange,
    Ranked,
    Ranking,
    Sorter,
    SortKey,
    Unsortable,
    Window,
    collect,
)
from ldapgw.errors import ResultCode
from tests.support.examples import examples
from tests.support.filter_text import read_filter
from tests.support.phonebook import naming_context
from tests.support.phonebook.entries import phone
from tests.support.phonebook.trees import ALICE, PHONE, all_matches, dit_of


def tree(contacts: list[Contact], *, lenient: bool = True, per_number: bool = False) -> Dit:
    context = naming_context(lenient=lenient)
    book = build_book(context, "a", "alice", Sharing.PRIVATE, contacts, {}, per_number=per_number)
    return dit_of(book, context=context)


def ranking(
    dit: Dit, *keys: SortKey, text: str = "(cn=*)", after: bytes = b"", viewer: Viewer = PHONE
) -> tuple[Ranking, int]:
    """Return a search's sorted entries, and count its breaths."""
    request = SearchRequest(ALICE, Scope.WHOLE_SUBTREE, read_filter(text))
    work = collect(matches(dit, viewer, request), Sorter(keys), after)
    breaths = 0
    while True:
        try:
            next(work)
        except StopIteration as end:
            return end.value, breaths
        breaths += 1


def uids(found: Iterable[Ranked | Match]) -> list[str]:
    return [one.entry.attribute("uid")[0].decode() for one in found]


def walked(dit: Dit, text: str, viewer: Viewer = PHONE) -> list[Match]:
    """Return a search's entries, in the order of names."""
    return all_matches(dit, viewer, SearchRequest(ALICE, Scope.WHOLE_SUBTREE, read_filter(text)))


def trouble(dit: Dit, *keys: SortKey) -> tuple[ResultCode, str]:
    with pytest.raises(Unsortable) as caught:
        ranking(dit, *keys)
    return caught.value.code, caught.value.attribute


PEOPLE = [
    Contact("a", name="Anna Schmidt", given_name="Anna", family_name="Schmidt", title="chef", emails=("z@x", "b@x")),
    Contact("b", name="bernd Schmidt", given_name="bernd", family_name="Schmidt", title="Boss", emails=("c@x",)),
    Contact("o", name="Otto Öz", given_name="Otto", family_name="Öz", updated=3.0),
    Contact("p", name="Pia oz", given_name="Pia", family_name="oz", title="Älteste", updated=2.0),
    Contact("z", name="Zoë Adler", family_name="Adler", phones=(phone(Kind.WORK, "+49301234567"),), updated=1.0),
]
TREE = tree(PEOPLE)


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ([SortKey("sn")], "zopab"),
        ([SortKey("SURNAME", reverse=True)], "abopz"),
        ([SortKey("sn"), SortKey("givenName", reverse=True)], "zpoba"),
        ([SortKey("givenName")], "abopz"),
        ([SortKey("givenName", reverse=True)], "zpoba"),
        ([SortKey("mail")], "abopz"),
        ([SortKey("title")], "pbaoz"),
        ([SortKey("title", "caseIgnoreOrderingMatch")], "pbaoz"),
        ([SortKey("title", "2.5.13.6")], "bapoz"),
        ([SortKey("title", "caseExactOrderingMatch", reverse=True)], "ozpab"),
        ([SortKey("name", "caseExactOrderingMatch")], "azbop"),
        ([SortKey("name")], "azpbo"),
        ([SortKey("modifyTimestamp")], "zpoab"),
        ([SortKey("modifyTimestamp", "generalizedTimeOrderingMatch", reverse=True)], "abopz"),
        ([SortKey("telephoneNumber", "caseIgnoreOrderingMatch")], "zabop"),
        ([SortKey("pager", "caseIgnoreOrderingMatch", reverse=True), SortKey("cn", reverse=True)], "zpoba"),
    ],
    ids=str,
)
def test_keys(keys: list[SortKey], expected: str) -> None:
    """As people sort names, by the attribute's own rule or another; the least value counts, and none is the largest."""
    assert "".join(uids(ranking(TREE, *keys)[0])) == expected


def test_the_letter_sorts_by_the_letter() -> None:
    """Strict matching has RFC 4517's order: an umlaut behind all Latin letters, and no order for mail."""
    strict = tree(PEOPLE, lenient=False)

    assert "".join(uids(ranking(strict, SortKey("sn"))[0])) == "zpabo"
    assert trouble(strict, SortKey("mail")) == (ResultCode.INAPPROPRIATE_MATCHING, "mail")


# 田中 by its letters alone would stand among the T: "tian zhong".
READ = [
    Contact("s", name="Sato", family_name="Sato", given_name="Sato"),
    Contact("t", name="田中太郎", family_name="田中", given_name="太郎",
            phonetic=PhoneticName("たなか たろう", "たろう", "たなか")),
    Contact("g", name="渡辺 恵", family_name="渡辺", given_name="恵",
            phonetic=PhoneticName("Watanabe Megumi", "Megumi")),
    Contact("c", organization="山本商店", phonetic=PhoneticName("ヤマモト")),
    Contact("k", name="Tam", family_name="Tam", given_name="Tam", phonetic=PhoneticName("Zam", "Zam", "Zam")),
    Contact("n", name="田中二郎", family_name="田中", given_name="二郎", phonetic=PhoneticName("…")),
    Contact("u", name="Ueda", family_name="Ueda", given_name="Ueda"),
]  # fmt: skip


@pytest.mark.parametrize("per_number", [False, True])
def test_chinese_characters_are_sorted_by_their_reading(*, per_number: bool) -> None:
    """By default, by a sort key, in a list view and by an ordering filter alike; other names as they are written."""
    found = [replace(one, phones=(phone(Kind.MOBILE, f"+4930123456{at}"),)) for at, one in enumerate(READ)]
    dit, viewer = tree(found, per_number=True), Viewer("cn=desk1", PHONE.access, per_number=per_number)

    def listed(text: str) -> str:
        return "".join(uid[0] for uid in uids(walked(dit, text, viewer)))

    assert listed("(cn=*)") == "sktnugc"
    by_name, _ = ranking(dit, SortKey("cn"), viewer=viewer)
    assert "".join(uid[0] for uid in uids(by_name)) == "sktnugc"
    assert listed("(cn>=tb)") == "nugc"
    assert listed("(cn<=tanaka tarou)") == ("sk" if per_number else "skt")
    asked = ("(cn=tanaka*)", "(cn=tian*)", "(cn=*中太*)", "(sn=田中)")
    assert [listed(text) for text in asked] == ["t", "tn", "t", "tn"]
    sorter = Sorter((SortKey("cn"),))
    assert [Window(0, 0, AtLeast(text)).position(by_name, sorter) for text in (b"tan", b"tb", b"w")] == [3, 4, 6]


# Their uids are in the order of the list: digits before letters, and names without letters last.
BARE = [
    Contact("0", name="3M Service", phones=(phone(Kind.WORK, "+49301234567"),)),
    Contact("1", name="Adam", phones=(phone(Kind.MOBILE, "+491711234567"),)),
    Contact("2", name="Ⓩ", phones=(phone(Kind.WORK, "+49301234568"),)),
    Contact("3", phones=(phone(Kind.MOBILE, "+358401234567"),)),
    Contact("4", phones=(phone(Kind.WORK, "+4930777777"),)),
]


def of_bare(per_number: bool, more: int) -> tuple[Dit, Viewer]:
    crowd = [Contact(f"m{at:02}", name=f"Mia {at:02}", phones=BARE[0].phones) for at in range(more)]
    return tree(BARE + crowd, per_number=True), Viewer("cn=desk1", PHONE.access, per_number=per_number)


@pytest.mark.parametrize("more", [0, 40], ids=["looked at", "indexed"])
@pytest.mark.parametrize("per_number", [False, True])
def test_names_without_letters_come_last(more: int, *, per_number: bool) -> None:
    """By default, by a sort key, backwards and in a list view, whatever kind stands behind a bare number."""
    dit, viewer = of_bare(per_number, more)
    by_name, _ = ranking(dit, SortKey("cn"), viewer=viewer)
    orders = [
        uids(walked(dit, "(cn=*)", viewer)),
        uids(by_name),
        uids(ranking(dit, SortKey("displayName"), viewer=viewer)[0]),
        uids(ranking(dit, SortKey("cn", reverse=True), viewer=viewer)[0])[::-1],
    ]
    assert ["".join(uid[0] for uid in order if uid[0] != "m") for order in orders] == ["01234"] * 4
    sorter = Sorter((SortKey("cn"),))
    positions = [Window(0, 0, AtLeast(text)).position(by_name, sorter) for text in (b"", b"a", b"+3")]
    assert positions == [1, 2, 4 + more]


@pytest.mark.parametrize("more", [0, 40], ids=["looked at", "indexed"])
@pytest.mark.parametrize(
    ("text", "expected"),
    [("(cn>=a)", "12"), ("(cn>=3)", "01234"), ("(cn>=4)", "124"), ("(cn<=3n)", "03"), ("(cn<=36)", "3"),
     ("(&(cn>=358)(cn<=3n))", "03"), ("(&(cn>=4)(cn<=5))", "4"), ("(&(cn>=b)(cn<=c))", ""), ("(cn<=2)", "")],
)  # fmt: skip
def test_a_filter_compares_names_without_letters_as_any_text(text: str, expected: str, more: int) -> None:
    """Digits are less than letters, wherever the list has the names."""
    dit, viewer = of_bare(per_number=False, more=more)
    assert "".join(uid for uid in uids(walked(dit, text, viewer)) if uid[0] != "m") == expected


def test_the_parts_of_a_name_are_sorted_by_their_readings() -> None:
    """Each by its own; a part whose reading is not known stands as it is written, and by the letter all do."""
    by = {name: "".join(uids(ranking(tree(READ), SortKey(name))[0])) for name in ("sn", "givenName", "displayName")}
    assert by == {"sn": "gsktnuc", "givenName": "ngsktuc", "displayName": "sktnugc"}
    assert "".join(uids(ranking(tree(READ, lenient=False), SortKey("cn"))[0])) == "skucgnt"


@pytest.mark.parametrize(
    ("keys", "code", "attribute"),
    [
        ([SortKey("sn"), SortKey("shoeSize")], ResultCode.NO_SUCH_ATTRIBUTE, "shoeSize"),
        ([SortKey("cn;lang-de")], ResultCode.NO_SUCH_ATTRIBUTE, "cn;lang-de"),
        ([SortKey("sn", "1.2.840.113556.1.4.1499")], ResultCode.INAPPROPRIATE_MATCHING, "sn"),
        ([SortKey("sn", "caseIgnoreMatch")], ResultCode.INAPPROPRIATE_MATCHING, "sn"),
        ([SortKey("sn", "generalizedTimeOrderingMatch")], ResultCode.INAPPROPRIATE_MATCHING, "sn"),
        ([SortKey("telephoneNumber")], ResultCode.INAPPROPRIATE_MATCHING, "telephoneNumber"),
        ([SortKey("objectClass")], ResultCode.INAPPROPRIATE_MATCHING, "objectClass"),
        ([SortKey("sn"), SortKey("cn"), SortKey("Surname")], ResultCode.UNWILLING_TO_PERFORM, "Surname"),
        ([SortKey("sn")] * 9, ResultCode.ADMIN_LIMIT_EXCEEDED, ""),
    ],
    ids=str,
)
def test_what_cannot_be_sorted(keys: list[SortKey], code: ResultCode, attribute: str) -> None:
    """Each with the code of RFC 2891, and the key that it is about."""
    assert trouble(TREE, *keys) == (code, attribute)


def test_too_many_entries_are_not_sorted(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many as the limit are."""
    monkeypatch.setattr(sort, "MOST_ENTRIES", 5)
    assert len(ranking(TREE, SortKey("sn"))[0]) == 5

    monkeypatch.setattr(sort, "MOST_ENTRIES", 4)
    assert trouble(TREE, SortKey("sn")) == (ResultCode.ADMIN_LIMIT_EXCEEDED, "")


def test_sorting_takes_breath() -> None:
    """While it collects, and on the way to a window far behind."""
    many = tree([Contact(f"c{at:04}", name=f"X {at * 7 % 2000:04}") for at in range(2000)])
    found, breaths = ranking(many, SortKey("cn", reverse=True))

    assert (len(found), breaths) == (2000, 72)
    assert [one.entry.attribute("cn")[0] for one in found][::999] == [b"X 1999", b"X 1000", b"X 0001"]
    late = list(found.slice(1801, 1803))
    assert [one and one.entry.attribute("cn")[0] for one in late] == [None] * 3 + [b"X 0198", b"X 0197"]
    assert list(found.slice(5, 5)) == []


def test_what_stands_behind_a_place() -> None:
    """Only that is sorted at the next page."""
    ranks = [one.rank for one in ranking(TREE, SortKey("sn"))[0]]

    assert ranks == sorted(set(ranks))
    for at, rank in enumerate(ranks):
        assert "".join(uids(ranking(TREE, SortKey("sn"), after=rank)[0])) == "zopab"[at + 1 :]


def test_names_beyond_what_counts_stand_in_a_fixed_order() -> None:
    """Long names have short places, and each place is different."""
    dit = tree([Contact(f"c{at}", name="Ö" * 2000, family_name=f"{'😀' * 300}{at}") for at in range(9)])
    ranks = [one.rank for one in ranking(dit, SortKey("sn", "caseExactOrderingMatch"), SortKey("cn"))[0]]

    assert len(set(ranks)) == 9
    assert max(map(len, ranks)) == sort.LONGEST + 12


@pytest.mark.parametrize(
    ("key", "value", "before"),
    [
        (SortKey("sn"), b"", 0),
        (SortKey("sn"), b"schm", 3),
        (SortKey("sn"), "ÖZ".encode(), 1),
        (SortKey("sn"), b"zz", 5),
        (SortKey("sn", reverse=True), b"oz", 2),
        (SortKey("sn", reverse=True), b"a", 5),
        (SortKey("title"), b"\xc4lt", 0),
        (SortKey("title", "caseExactOrderingMatch"), b"chef", 1),
        (SortKey("modifyTimestamp"), b"19700101000002Z", 1),
    ],
    ids=str,
)
def test_where_a_value_would_stand(key: SortKey, value: bytes, before: int) -> None:
    """Before the first entry that is not less; not greater, where the order is reversed."""
    found, _ = ranking(TREE, key)

    assert found.before(Sorter((key,)).start(value, naming_context())) == before


@pytest.mark.parametrize(
    ("attribute", "value", "lenient"), [("modifyTimestamp", b"today", True), ("sn", b"\xff", False)]
)
def test_a_value_that_makes_no_sense(attribute: str, value: bytes, lenient: bool) -> None:
    """Stands nowhere."""
    with pytest.raises(Unsortable) as caught:
        Sorter((SortKey(attribute),)).start(value, naming_context(lenient=lenient))
    assert (caught.value.code, caught.value.attribute) == (ResultCode.UNWILLING_TO_PERFORM, attribute)


def test_nothing_found_is_sorted_too() -> None:
    """It has no context of its own."""
    found, _ = ranking(TREE, SortKey("sn"), text="(cn=nobody)")

    assert (len(found), list(found), found.context) == (0, [], None)
    assert Sorter((SortKey("sn"),)).start(b"x", ROOT) == b" x \0"


NAMES = st.text(st.sampled_from("aAbÄöøß .-'éЖ\0😀"), max_size=5)


def _expected(entry: Entry, attribute: str) -> tuple[bool, bool, str]:
    """Values without letters come behind values with letters; entries without a value come last."""
    keys = [name_folding.collation_key(value.decode()) for value in entry.attribute(attribute)]
    values = [(not any(map(str.isalpha, key)), key) for key in keys]
    return not values, *min(values, default=(True, ""))


@settings(max_examples=examples(60), deadline=None)
@given(
    st.lists(st.tuples(NAMES, NAMES, st.lists(NAMES, max_size=3)), max_size=12),
    st.permutations(["sn", "givenName", "mail"]),
    st.lists(st.booleans(), min_size=1, max_size=3),
)
def test_sorts_as_python_does(
    people: list[tuple[str, str, list[str]]], attributes: list[str], backwards: list[bool]
) -> None:
    """By the collation, key by key, with the order of names behind the last key."""
    dit = tree([
        Contact(f"c{at}", name=f"N{at}", given_name=given_name, family_name=family_name, emails=tuple(mails))
        for at, (given_name, family_name, mails) in enumerate(people)
    ])  # fmt: skip
    keys = [SortKey(attribute, reverse=reverse) for attribute, reverse in zip(attributes, backwards, strict=False)]
    expected = sorted((hit.entry for hit in walked(dit, "(cn=*)")), key=lambda entry: entry.sort_key)
    for key in reversed(keys):
        expected.sort(key=lambda entry: _expected(entry, key.attribute), reverse=key.reverse)

    assert uids(ranking(dit, *keys)[0]) == [entry.attribute("uid")[0].decode() for entry in expected]


BY_NAME = SortKey("cn")
SORTER = Sorter((BY_NAME,))


def people(count: int) -> list[Contact]:
    return [Contact(f"c{at:02}", name=f"User {at:02}") for at in range(count)]


TEN, _ = ranking(tree(people(10)), BY_NAME)
NONE, _ = ranking(tree([]), BY_NAME)


@pytest.mark.parametrize(
    ("offset", "content_count", "position"),
    [
        (1, 0, 1),
        (1, 10, 1),
        (1, 10_000, 1),
        (1, 1, 10),
        (10, 10, 10),
        (77, 77, 10),
        (4, 10, 4),
        (4, 0, 4),
        (50, 100, 5),
        (55, 100, 6),
        (54, 100, 5),
        (2, 100, 1),
        (99, 100, 10),
        (10, 0, 10),
        (11, 0, 11),
        (2147483647, 0, 11),
        (2147483646, 2147483647, 10),
    ],
)
def test_offsets(offset: int, content_count: int, position: int) -> None:
    """In proportion to what the client takes the list to hold, with the draft's special cases (section 5)."""
    assert Window(0, 0, Offset(offset, content_count)).position(TEN, SORTER) == position


@pytest.mark.parametrize(("offset", "content_count"), [(0, 0), (0, 5), (-1, 5), (1, -1), (6, 5)])
def test_offsets_that_cannot_be(offset: int, content_count: int) -> None:
    """Offsets begin with 1, and end with what the client itself takes for the end."""
    with pytest.raises(OffsetOutOfRange) as caught:
        Window(0, 0, Offset(offset, content_count)).position(TEN, SORTER)
    assert caught.value.code is ResultCode.OFFSET_RANGE_ERROR


@pytest.mark.parametrize(
    "target", [Offset(1, 0), Offset(5, 0), Offset(5, 5), Offset(2, 5), AtLeast(b"x"), AtLeast(b"")]
)
def test_an_empty_list_has_no_target(target: Offset | AtLeast) -> None:
    """One behind the last, which is 1."""
    window = Window(3, 3, target)
    assert window.position(NONE, SORTER) == 1
    assert window.edges(1, 0) == (0, 0)


@pytest.mark.parametrize(
    ("value", "position"), [(b"", 1), (b"user 0", 1), (b"USER 04", 5), (b"user 045", 6), (b"user 1", 11), (b"x", 11)]
)
def test_values(value: bytes, position: int) -> None:
    """The first entry that is not less; one behind the last where all are."""
    assert Window(0, 0, AtLeast(value)).position(TEN, SORTER) == position


@settings(max_examples=examples(100), deadline=None)
@given(
    count=st.integers(0, 40), before=st.integers(0, 45), after=st.integers(0, 45), target=st.integers(1, 45),
)  # fmt: skip
def test_a_window_is_a_slice(count: int, before: int, after: int, target: int) -> None:
    """Of the sorted list, as far as there is one."""
    found, _ = ranking(tree(people(count)), SortKey("cn", reverse=True))
    window = Window(before, after, Offset(target, 0))
    position = window.position(found, Sorter((SortKey("cn", reverse=True),)))
    assert position == min(target, count + 1)

    seen = uids(one for one in found.slice(*window.edges(position, count)) if one)
    whole = dict(enumerate(uids(found), start=1))
    assert seen == [whole[at] for at in range(position - before, position + after + 1) if at in whole]
