# SPDX-License-Identifier: MIT
"""Searches with controls, on the wire: pages, sorting, windows, and what goes together."""

from __future__ import annotations

from itertools import islice
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock

from ldapgw.ber import ENUMERATED, SEQUENCE, integer, tlv
from ldapgw.contact import Contact, Kind, Sharing
from ldapgw.directory import sort as sort_module
from ldapgw.directory.book import build_book
from ldapgw.directory.dit import Directory, Dit
from ldapgw.errors import ResultCode
from ldapgw.ldap.admission import UNKNOWN_NUMBERS, CallerIdLimits
from ldapgw.ldap.decoder import decode
from ldapgw.ldap.fast_path import FastPath
from ldapgw.ldap.messages import Result
from ldapgw.ldap.session import DirectoryPort, SendReply, Session, StartSearch
from ldapgw.store.secrets import SecretBox, new_key
from tests.support import asks, pdu, phonebook
from tests.support.asks import controls_of
from tests.support.examples import examples
from tests.support.filter_text import encode, read_filter
from tests.support.pdu import uids
from tests.support.phonebook.entries import phone
from tests.support.phonebook.wire import (
    BASE,
    BOOK,
    CONTEXT,
    DESK1,
    LIMITS,
    SECRET,
    VIEWER,
    Client,
    contacts,
    dit_of,
    make_factory,
    turn,
)

ENTRY, DONE = 0x64, 0x65
OTHERS = VIEWER._replace(login=f"cn=desk2,ou=phones,{BASE}")


class World:
    """A directory that can change between two requests, and two phones that see the same of it.

    :ivar dit: what is served now.
    """

    def __init__(self, dit: Dit, viewer: Any = VIEWER, key: bytes = b"key", **limits: Any) -> None:
        self.dit = dit
        logins = {DESK1: viewer, "desk2": OTHERS}
        gate = DirectoryPort(lambda: self.dit, lambda name, *_: logins.get(name), lambda _: viewer, key)
        self.clock = Clock()
        self.factory = make_factory(gate, self.clock, **limits)
        self.client = self.login(DESK1)

    def login(self, name: str) -> Client:
        client = Client(self.factory)
        [bound] = client.ask(pdu.bind(name, SECRET), 99)
        assert bound.code == 0
        return client

    def ask(
        self, *controls: bytes, text: str = "(uid=*)", client: Client | None = None, base: str = BASE, **search: Any
    ) -> tuple[list[pdu.Response], pdu.Response]:
        """The entries of a search, and its end."""
        request = pdu.search(base, 2, encode(read_filter(text)), **search)
        client = client or self.client
        found = client.ask(request, 7, pdu.controls(*controls) if controls else b"")
        while not found or found[-1].kind == ENTRY:
            turn(self.clock)
            found += client.received()
        *entries, done = found
        assert {one.kind for one in entries} <= {ENTRY}
        assert done.kind == DONE
        return entries, done

    def pages(self, *controls: bytes, size: int, **search: Any) -> list[list[str]]:
        """The uids of all pages."""
        pages, cookie = [], b""
        while True:
            found, done = self.ask(asks.page(size, cookie), *controls, **search)
            assert done.code == 0
            pages.append(uids(found))
            cookie = asks.cookie(done)
            if not cookie:
                return pages


@pytest.fixture(scope="module")
def fifty() -> Dit:
    return dit_of(contacts(50))


@pytest.fixture
def world(fifty: Dit) -> World:
    return World(fifty)


ALL = [f"c{at}" for at in range(50)]


# --- pages ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 7, 10, 49, 50, 51, 2147483647])
@pytest.mark.parametrize("keys", [(), ("-sn",), ("title", "sn")], ids=["", "reverse", "two keys"])
def test_pages_are_the_whole(world, size, keys):
    """Each entry once, in order, full pages, and an empty cookie with the last one."""
    expected = ALL[::-1] if keys == ("-sn",) else ALL
    pages = world.pages(*([asks.sort(*keys)] if keys else []), size=size)
    assert pages == [expected[at : at + size] for at in range(0, 50, min(size, 50))]


def test_nothing_found_is_one_empty_page(world):
    """With an empty cookie; the first page of a search that finds nothing is its last."""
    assert world.pages(size=10, text="(uid=nobody)") == [[]]
    assert world.pages(asks.sort("sn"), size=10, text="(uid=nobody)") == [[]]


def test_a_page_is_an_answer_of_its_own(fifty):
    """Ours is the most that one holds, however many the client wants; others follow."""
    world = World(fifty, size_limit=20)
    assert [len(page) for page in world.pages(size=30)] == [20, 20, 10]
    found, done = world.ask(asks.page(0))
    assert (len(found), done.code, len(asks.cookie(done)) > 20) == (20, 0, True)
    assert world.ask()[1].code == 4


@pytest.mark.parametrize(("own", "count", "code"), [(10, 10, 4), (5, 5, 4), (50, 10, 0), (11, 10, 0)])
def test_where_one_page_is_all_that_is_wanted_there_are_no_pages(world, own, count, code):
    """RFC 2696 3: a page as large as the client's own size limit is the plain search."""
    found, done = world.ask(asks.page(10, critical=True), size=own)
    assert (len(found), done.code) == (count, code)
    assert (asks.PAGED in dict(done.controls)) == (code == 0)


@pytest.mark.parametrize(("size", "own", "end"), [(3, 0, 13), (30, 20, 30)], ids=["another size", "own limit"])
def test_a_later_page(world, size, own, end):
    """The size of a page may change (RFC 2696 3), and the client's own size limit counts for each page."""
    _, done = world.ask(asks.page(10), size=own)
    found, done = world.ask(asks.page(size, asks.cookie(done)), size=own)
    assert (uids(found), done.code) == (ALL[10:end], 0)


@pytest.fixture
def shared() -> World:
    """Fifty contacts, and the book of Bob, who shares Zoe's number for caller ID."""
    dit = dit_of(contacts(50))
    zoe = Contact("zoe", name="Zoe", family_name="Zoe", phones=(phone(Kind.WORK, "030 5550001"),))
    callers = build_book(CONTEXT, "bob", "bob@acme.example", Sharing.CALLERS, [zoe], {}, per_number=False)
    return World(Dit((Directory(CONTEXT, (*dit.directories[0].books, callers)),), dit.features))


def sizes_of_pages(world: World, number: str, controls: list[bytes]) -> list[int]:
    """Search in pages for all contacts and for a number; return the number of entries on each page."""
    text = f"(|(uid=*)(telephoneNumber={number}))"
    pages, cookie = [], b""
    while not pages or cookie:
        found, done = world.ask(asks.page(20, cookie), *controls, text=text)
        cookie = asks.cookie(done)
        pages.append(len(found))
    return pages


in_every_order = pytest.mark.parametrize("controls", [[], [asks.sort("sn")]], ids=["", "sorted"])


@pytest.mark.parametrize(
    ("number", "count", "pages"), [("030 9999999", 1, [20, 20, 10]), ("030 5550001", 0, [20, 20, 11])]
)
@in_every_order
def test_an_unknown_number_counts_once_for_all_pages(
    shared: World, number: str, count: int, pages: list[int], controls: list[bytes]
) -> None:
    assert sizes_of_pages(shared, number, controls) == pages
    assert shared.factory.take_guesses().numbers == {VIEWER.login: count}


@in_every_order
def test_pages_find_no_caller_for_a_phone_that_asked_for_too_many_unknown_numbers(
    shared: World, controls: list[bytes]
) -> None:
    """The first page does not pay for the later pages, which ask for the numbers again."""
    assert shared.factory.budget(VIEWER, "192.0.2.1").take(int(UNKNOWN_NUMBERS))
    assert sizes_of_pages(shared, "030 5550001", controls) == [20, 20, 10]
    assert [client.count for client in shared.factory.left_out("acme")] == [3]


@pytest.mark.parametrize("cookie", [None, b"garbage"])
def test_no_more_pages_are_wanted(world, cookie):
    """Size 0 with a cookie: there is nothing to let go of, and no entry comes."""
    _, done = world.ask(asks.page(10))
    found, done = world.ask(asks.page(0, asks.cookie(done) if cookie is None else cookie))
    assert (found, done.code, asks.cookie(done)) == ([], 0, b"")


def test_a_cookie_is_small_and_no_secret_is_in_it(world):
    """Long names keep the cookie small; nothing is remembered, so the same place has the same cookie."""
    world.dit = dit_of([Contact(f"c{at}", name="😀" * 999 + str(at), family_name="Ж" * 999) for at in range(5)])
    for controls in ([], [asks.sort("-sn", "-cn", "mail")]):
        cookies = {asks.cookie(world.ask(asks.page(2), *controls)[1]) for _ in range(2)}
        assert len(cookies) == 1
        assert 20 < len(cookies.pop()) < 300


FOREIGN = {
    "filter": {"text": "(uid=c*)"},
    "base": {"base": BOOK},
    "scope": {"text": "(uid=*)", "base": BASE.upper()},
    "attributes": {"attributes": ("cn",)},
    "types only": {"types_only": True},
}


@pytest.mark.parametrize("search", FOREIGN.values(), ids=FOREIGN)
@pytest.mark.parametrize("critical", [True, False])
def test_a_cookie_belongs_to_its_search(world, search, critical):
    """RFC 2696 3: nothing of the search may change but the page's size."""
    _, done = world.ask(asks.page(10))
    found, done = world.ask(asks.page(10, asks.cookie(done), critical=critical), **search)
    assert (found, done.code, done.diagnostic) == ([], 53, "the cookie does not belong to this search")
    assert done.controls == ()


def test_a_cookie_belongs_to_its_sort_keys_and_its_login(world):
    """Another phone that sees the same gets nothing for it, and neither does another order."""
    plain, sort = (asks.cookie(world.ask(asks.page(10), *more)[1]) for more in ([], [asks.sort("sn")]))
    other = world.login("desk2")
    answers = [
        world.ask(asks.page(10, plain), client=other),
        world.ask(asks.page(10, plain), asks.sort("sn")),
        world.ask(asks.page(10, sort)),
        world.ask(asks.page(10, sort), asks.sort("-sn")),
    ]
    assert [(found, done.code) for found, done in answers] == [([], 53)] * 4
    again = world.login(DESK1)
    assert uids(world.ask(asks.page(2, plain), client=again)[0]) == ALL[10:12]


@pytest.mark.parametrize("made", [b"", b"\0" * 16, b"\0" * 200, b"w00001"], ids=["cut", "zeros", "long", "place"])
def test_a_cookie_cannot_be_made(world, made):
    """Nor changed, nor cut."""
    _, done = world.ask(asks.page(10))
    given = asks.cookie(done)
    for cookie in (made or given[:-1], given + b"x", given[:20] + b"\xff" + given[21:]):
        found, done = world.ask(asks.page(10, cookie))
        assert (found, done.code) == ([], 53)


@pytest.mark.parametrize("sorting", [(), (asks.sort("-sn"),)], ids=["", "sorted"])
def test_pages_go_on_at_another_gateway(sorting):
    """Each has its own books of the same contacts; what seals is made of the key file, which both have."""
    shared, own = new_key(), new_key()
    boxes = (SecretBox([key]) for key in (shared, shared, own))
    here, there, foreign = (World(dit_of(contacts(50)), key=box.derive("cookies")) for box in boxes)
    found, done = here.ask(asks.page(20), *sorting)
    given = asks.cookie(done)
    rest, done = there.ask(asks.page(50, given), *sorting)
    assert uids([*found, *rest]) == (ALL[::-1] if sorting else ALL)
    assert asks.cookie(done) == b""
    refused, done = foreign.ask(asks.page(50, given), *sorting)
    assert (refused, done.code, done.diagnostic) == ([], 53, "the cookie does not belong to this search")
    assert done.controls == ()


def test_a_page_of_the_root_dse(world):
    """Directory clients ask for everything in pages."""
    [entry], done = world.ask(asks.page(10, critical=True), text="(objectClass=top)", base="cn=subschema")
    assert (entry.dn, done.code, asks.cookie(done)) == ("cn=subschema", 0, b"")


@pytest.mark.parametrize("sort", [[], [asks.sort("sn")]], ids=["", "sorted"])
def test_pages_take_breath(sort):
    """Also behind the last entry, on the way to see whether there is one more."""
    _, run = state_of(dit_of(contacts(1000)), asks.page(1), *sort)
    steps = list(run.batches)
    assert sum(step is not None for step in steps) == 1
    assert steps.count(None) == (36 if sort else 0)
    _, run = state_of(dit_of(contacts(1000)), asks.page(1), *sort, text="(!(!(uid=c700)))")
    steps = list(run.batches)
    assert (steps.count(None), len(steps)) == (5, 6)


PEOPLE = st.lists(
    st.builds(
        lambda uid, name, title: Contact(f"u{uid}", name=name, title=title),
        st.integers(0, 30), st.text("aäB ", max_size=3), st.sampled_from(["", "x", "y"]),
    ),
    max_size=25, unique_by=lambda contact: contact.uid,
)  # fmt: skip


@settings(max_examples=examples(60), deadline=None)
@given(
    versions=st.lists(PEOPLE, min_size=1, max_size=4),
    sizes=st.lists(st.integers(1, 6), min_size=1, max_size=5),
    keys=st.sampled_from([(), ("cn",), ("-title",), ("title", "-cn")]),
)
def test_a_sync_between_two_pages_costs_nothing(versions, sizes, keys):
    """Unchanged entries come once, and in order, however pages are cut and entries come and go meanwhile."""
    trees = [dit_of(people) for people in versions]
    world = World(trees[0])
    sort = [asks.sort(*keys)] if keys else []
    seen: list[str] = []
    cookie, turns = b"", 0
    while turns == 0 or cookie:
        world.dit = trees[min(turns, len(trees) - 1)]
        found, done = world.ask(asks.page(sizes[turns % len(sizes)], cookie), *sort)
        seen += uids(found)
        cookie = asks.cookie(done)
        turns += 1
    served = versions[: min(turns, len(versions))]
    unchanged = {one.uid for one in served[0] if all(one in people for people in served)}
    whole = uids(world.ask(*sort)[0])
    assert [uid for uid in seen if uid in unchanged] == [uid for uid in whole if uid in unchanged]


# --- sorting --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        (("shoeSize",), (16, "shoeSize")),
        (("sn", "mobile"), (18, "mobile")),
        (("sn", "cn", "sn"), (53, "sn")),
        (("sn",) * 9, (11, "")),
    ],
    ids=str,
)
@pytest.mark.parametrize("critical", [True, False])
def test_what_cannot_be_sorted(world, keys, expected, critical):
    """RFC 2891 2: unsorted, or nothing at all if the control is critical; the response says why in either case."""
    found, done = world.ask(asks.sort(*keys, critical=critical))
    assert (uids(found), done.code) == (([], 12) if critical else (ALL, 0))
    assert asks.sort_result(done) == expected
    assert world.pages(asks.sort(*keys), size=20) == [ALL[:20], ALL[20:40], ALL[40:]]


@pytest.mark.parametrize(("most", "first"), [(49, "c0"), (50, "c49")])
def test_too_many_to_sort(world, monkeypatch, most, first):
    """A fixed number, beyond which they come as they are."""
    monkeypatch.setattr(sort_module, "MOST_ENTRIES", most)
    found, done = world.ask(asks.sort("-cn"))
    assert (uids(found)[0], len(found)) == (first, 50)
    assert asks.sort_result(done) == ((0, "") if most == 50 else (11, ""))


def test_pages_do_not_change_their_order_on_the_way(world, monkeypatch):
    """When too many entries to sort come between two pages, or go."""
    sort = asks.sort("-cn")
    _, one = world.ask(asks.page(10), sort)
    monkeypatch.setattr(sort_module, "MOST_ENTRIES", 20)
    found, done = world.ask(asks.page(10, asks.cookie(one)), sort)
    assert (found, done.code) == ([], 53)
    _, one = world.ask(asks.page(10), sort)
    monkeypatch.undo()
    found, done = world.ask(asks.page(10, asks.cookie(one)), sort)
    assert (found, done.code) == ([], 53)


def test_each_page_says_that_it_is_sorted(world):
    """RFC 2891 3."""
    _, done = world.ask(asks.page(10), asks.sort("sn"))
    _, done = world.ask(asks.page(10, asks.cookie(done)), asks.sort("sn"))
    assert [kind for kind, _ in done.controls] == [asks.SORTED, asks.PAGED]
    assert asks.sort_result(done) == (0, "")


def state_of(dit: Dit, *controls: bytes, text: str = "(uid=*)") -> tuple[Session, StartSearch]:
    """A session that has begun to answer a search, and what is to be pulled."""
    gate = DirectoryPort(lambda: dit, lambda *_: None, lambda _: VIEWER, b"key")
    caller_id = CallerIdLimits(lambda: 0.0, lambda *_: None)
    path = FastPath(LIMITS.size_limit)
    state = Session(gate, LIMITS, path, caller_id, "192.0.2.1", tls=False, secure=False, require_tls=False)
    request = pdu.search(BASE, 2, encode(read_filter(text)))
    assert state.receive(decode(pdu.message(3, request, pdu.controls(*controls)))) == ()
    run = state.advance()
    assert isinstance(run, StartSearch)
    return state, run


@pytest.mark.parametrize(("pulled", "code"), [(0, 3), (1, 0), (50, 0)])
def test_the_time_limit_before_and_after_sorting(fifty, pulled, code):
    """RFC 2891 has a code for the one; a page that is not whole has no cookie."""
    state, run = state_of(fifty, asks.sort("cn"), asks.page(10))
    assert len(list(islice(filter(None, run.batches), pulled))) == min(pulled, 10)
    [said] = state.finish(Result(ResultCode.TIME_LIMIT_EXCEEDED)).controls
    assert (said.type, said.value) == (asks.SORTED, tlv(SEQUENCE, integer(code, ENUMERATED)))


def test_a_failure_of_ours_says_nothing_about_controls(fifty):
    """Nobody knows how far they were followed."""
    state, run = state_of(fifty, asks.sort("cn"))
    assert next(filter(None, run.batches))
    assert state.finish(Result(ResultCode.OTHER)).controls == ()


@pytest.mark.parametrize("request_", [None, pdu.abandon(3), pdu.cancel(3)], ids=["success", "abandon", "cancel"])
def test_controls_are_answered_once(fifty, request_):
    """An abandoned search says nothing about controls, and neither does the next answer."""
    state, run = state_of(fifty, asks.sort("cn"))
    assert next(filter(None, run.batches))
    if request_ is None:
        assert len(state.finish(Result(ResultCode.SUCCESS)).controls) == 1
    else:
        steps = state.receive(decode(pdu.message(4, request_)))
        assert [step.reply.controls for step in steps if isinstance(step, SendReply)] == [()] * (len(steps) - 1)
    state.receive(decode(pdu.message(5, pdu.WHO_AM_I)))
    assert state.advance().reply.controls == ()


# --- windows --------------------------------------------------------------------------------------------------------


SORT = asks.sort("-cn")
BACK = ALL[::-1]


@pytest.mark.parametrize(
    ("view", "expected", "result"),
    [
        ((0, 31, (1, 0)), BACK[:32], (1, 50, 0)),
        ((19, 0, (50, 50)), BACK[30:], (50, 50, 0)),
        ((2, 2, (25, 50)), BACK[22:27], (25, 50, 0)),
        ((5, 5, (50, 0)), BACK[44:], (50, 50, 0)),
        ((1, 5, (999, 0)), BACK[49:], (51, 50, 0)),
        ((1, 1, b"user 000105"), ["c11", "c10", "c9"], (40, 50, 0)),
        ((2147483647, 2147483647, (1, 1)), BACK, (50, 50, 0)),
    ],
)
def test_windows(world, view, expected, result):
    """So many before and behind the target; position and count count from 1."""
    found, done = world.ask(SORT, asks.view(*view, critical=True))
    assert (uids(found), done.code) == (expected, 0)
    assert (asks.view_result(done), asks.sort_result(done)) == (result, (0, ""))


WINDOW = asks.view(0, 9, (1, 0))
NOBODY, NOWHERE = {"text": "(uid=nobody)"}, {"base": "dc=nowhere"}


@pytest.mark.parametrize(
    ("controls", "search", "expected", "code", "told"),
    [
        # The first entries by the order that was asked for come before a limit; the limit counts in a window, too.
        ([asks.sort("-cn", critical=True)], {"size": 3}, BACK[:3], 4, {"sort": (0, "")}),
        ([SORT, asks.view(0, 9, (11, 0))], {"size": 5}, BACK[10:15], 4, {"sort": (0, ""), "view": (11, 50, 0)}),
        # An empty list has no target; some clients send an empty context, which is none.
        ([SORT, asks.view(3, 3, (1, 0), b"")], NOBODY, [], 0, {"view": (1, 0, 0)}),
        # Nothing is said about sorting where nothing was sorted (RFC 2891 2, the sixth case).
        ([asks.sort("sn")], NOBODY, [], 0, {}),
        # The search's own error comes first: then there is no page that could be resumed, and no window.
        ([asks.sort("sn")], NOWHERE, [], 32, {}),
        ([asks.page(10), asks.sort("sn")], NOWHERE, [], 32, {}),
        ([SORT, WINDOW], NOWHERE, [], 32, {}),
        # Section 9 of the draft; a combination without a meaning is protocolError (RFC 4511 4.1.11).
        *(([SORT, page, WINDOW], {}, [], 2, {}) for page in (asks.page(10), asks.page(10, b"x"), asks.page(0, b"x"))),
    ],
)
def test_what_goes_together(world, controls, search, expected, code, told):
    """The entries, the code and the answered controls are those of the row."""
    found, done = world.ask(*controls, **search)
    assert (uids(found), done.code, len(done.controls)) == (expected, code, len(told))
    assert (asks.sort_result(done), asks.view_result(done)) == (told.get("sort"), told.get("view"))


@pytest.mark.parametrize(
    ("controls", "code"),
    [
        ([asks.view(0, 9, (1, 0))], 60),
        ([SORT, asks.view(0, 9, (0, 0))], 61),
        ([asks.sort("modifyTimestamp"), asks.view(0, 9, b"yesterday")], 53),
        ([SORT, asks.view(0, 9, (1, 0), b"never sent")], 2),
    ],
    ids=["no sort", "offset", "value", "contextID"],
)
@pytest.mark.parametrize("order", [1, -1])
def test_windows_that_cannot_be(world, controls, code, order):
    """virtualListViewError, and the reason in the control (sections 6.1 and 6.2 of the draft)."""
    found, done = world.ask(*controls[::order])
    assert (found, done.code, asks.view_result(done)) == ([], 76, (0, 0, code))
    assert asks.sort_result(done) is None


@pytest.mark.parametrize(
    ("keys", "sorted_", "view"), [(("shoeSize",), (16, "shoeSize"), 53), (("mobile",), (18, "mobile"), 18)]
)
def test_a_window_on_what_cannot_be_sorted(world, keys, sorted_, view):
    """The whole list unsorted, unless one of the controls is critical."""
    window = asks.view(0, 2, (1, 0))
    found, done = world.ask(asks.sort(*keys), window)
    assert (uids(found), done.code, asks.sort_result(done), asks.view_result(done)) == (ALL, 0, sorted_, None)

    found, done = world.ask(asks.sort(*keys, critical=True), window)
    assert (found, done.code, asks.sort_result(done), asks.view_result(done)) == ([], 12, sorted_, None)

    found, done = world.ask(asks.sort(*keys), asks.view(0, 2, (1, 0), critical=True))
    assert (found, done.code, asks.sort_result(done), asks.view_result(done)) == ([], 76, sorted_, (0, 0, view))


# --- the phones' own requests ---------------------------------------------------------------------------------------


CASES = [
    pytest.param(case, lenient, id=f"{case['id']}-{'lenient' if lenient else 'strict'}")
    for case in phonebook.CASES
    for lenient in (True, False)
    if case["controls"] and (lenient or case["expectation"].startswith("strict"))
]


@pytest.mark.parametrize(("case", "lenient"), CASES)
def test_a_phone_gets_what_a_person_expects(case, lenient):
    """Poly's windows, sorting phones, and a softphone's pages."""
    world = World(phonebook.phonebook(lenient=lenient), phonebook.PHONE)
    search = {"base": phonebook.BOOK, "text": case["filter"], "attributes": tuple(case["attributes"])}
    expected = case.get("expect", {})
    if "pages" in expected:
        size = int(case["controls"][0].removeprefix("paged:"))
        pages = world.pages(size=size, **search)
        assert len(pages) == expected["pages"]
        found, names = [], [uid for page in pages for uid in page]
        assert len(names) == len(set(names)) == 47
    else:
        found, done = world.ask(*controls_of(case), size=case["sizelimit"], **search)
        names = uids(found)
        assert done.code == expected.get("result_code", 0)
        assert asks.sort_result(done)[0] == expected.get("sort_result", 0)
        assert {kind for kind, _ in done.controls} >= set(expected.get("response_controls", ()))
    assert set(case["must_find"]) <= set(names)
    assert set(names).isdisjoint(case["must_not_find"])
    assert len(found) <= expected.get("entries_at_most", 99)
    assert names == expected.get("order", names)
    assert names[:1] == [expected.get("first", names[0])]
    if "sorted_by" in expected and lenient:
        assert names == uids(world.ask(asks.sort(*expected["sorted_by"]), **search)[0])[: len(names)]
