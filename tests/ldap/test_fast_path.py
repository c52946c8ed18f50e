# SPDX-License-Identifier: MIT
"""The shortcut answers what the long way answers, octet for octet, or nothing."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ldapgw.ber import SEQUENCE, octets, tlv
from ldapgw.contact import Contact, Kind, Phone, Sharing
from ldapgw.directory.access import Access, LeftOut, Viewer
from ldapgw.directory.book import build_book
from ldapgw.directory.dit import Directory, Dit
from ldapgw.directory.entry import number_formatter, select
from ldapgw.directory.filter import And, Equality, Filter, Not, Or, Present, Substrings
from ldapgw.directory.segment import Segment
from ldapgw.ldap.admission import UNKNOWN_NUMBERS
from ldapgw.ldap.encoder import features
from ldapgw.ldap.fast_path import FastPath
from ldapgw.ldap.server import Guesses, LdapFactory
from ldapgw.numbers.phone_number import NumberFormat, parse
from ldapgw.phones.provisioning.sheet import make_sheet
from ldapgw.phones.provisioning.vendors import all_vendors
from tests.support import pdu, phonebook, work
from tests.support.examples import examples
from tests.support.filter_text import encode, read_filter
from tests.support.golden import SETTINGS
from tests.support.phonebook import awkward
from tests.support.phonebook.entries import phone
from tests.support.phonebook.wire import (
    BASE,
    CONTEXT,
    VIEWER,
    Client,
    answered,
    contacts,
    dit_of,
    make_dit,
    make_factory,
    make_gate,
)
from tests.support.photo import jpeg
from tests.support.vendor_rows import ROWS, read

GATE = awkward.gate()
DIT = awkward.make_dit(lenient=True)

ATTRIBUTES = ("cn", "sn", "givenName", "displayName", "o", "telephoneNumber", "mobile", "homePhone", "uid",
              "objectClass", "x")  # fmt: skip
VALUES = ["mu", "an", "a", "muller", "Pat", "030", "+4930", "+49301234567", "0301234567", "110", "685", "person", "*",
          "ü", "", "cn"]  # fmt: skip

attributes = st.sampled_from(ATTRIBUTES)
values = st.sampled_from(VALUES).map(str.encode)


def term(kind: str, attribute: str, value: bytes) -> Filter:
    match kind:
        case "equal":
            return Equality(attribute, value)
        case "initial":
            return Substrings(attribute, value, (), None)
        case "any":
            return Substrings(attribute, None, (value,), None)
        case "final":
            return Substrings(attribute, None, (), value)
        case _:
            return Present(attribute)


kinds = st.sampled_from(["equal", "initial", "any", "final", "present"])
# As phones have it in their settings, the same value in each term; and anything else.
alike = st.builds(
    lambda kind, names, value: Or(tuple(term(kind, name, value) for name in names)),
    kinds, st.lists(attributes, min_size=1, max_size=4), values,
)  # fmt: skip
single = st.builds(term, kinds, attributes, values)
mixed = st.lists(single, min_size=1, max_size=3).flatmap(
    lambda terms: st.sampled_from([And(tuple(terms)), Or(tuple(terms)), Not(terms[0])])
)
filters = st.one_of(alike, alike, single, mixed)
bases = st.sampled_from([awkward.BASE, awkward.OWN_BOOK, "", "dc=nowhere", "ou=phones," + awkward.BASE])
requests = st.builds(
    pdu.search,
    bases,
    st.sampled_from([0, 1, 2]),
    filters.map(encode),
    st.sampled_from([(), ("cn",), ("cn", "telephoneNumber"), ("*", "+"), ("1.1",), ("cn sn",)]),
    size=st.sampled_from([0, 1, 3, 50]),
    time=st.sampled_from([0, 5]),
    types_only=st.booleans(),
)


def client() -> Client:
    one = Client(make_factory(GATE))
    [bound] = one.ask(pdu.bind(awkward.DESK1, awkward.SECRET), 99)
    assert bound.code == 0
    return one


@pytest.mark.no_cover
@settings(max_examples=examples(200), deadline=None)
@given(st.lists(requests, min_size=1, max_size=4), st.sampled_from([1, 7, 127, 128, 255, 256, 32768, 70000, 2**31 - 1]))
def test_both_ways_say_the_same(asked: list[bytes], message_id: int) -> None:
    """A message in two parts takes the long way; the second time, a request is known."""
    first, second = client(), client()
    for request in [*asked, *asked]:
        message = pdu.message(message_id, request)
        assert answered(first, message) == answered(second, message[:1], message[1:])


@pytest.mark.parametrize("names", [("cn",), ("telephoneNumber",), ("cn", "sn", "o")], ids=" ".join)
@pytest.mark.parametrize("parts", ["81 00", "80 00", "82 00", "81 00 81 00", "80 00 81 00 82 00"])
def test_parts_without_text_ask_who_is_there(names: tuple[str, ...], parts: str) -> None:
    """As phones send their filter when nothing was typed between its stars."""
    terms = [tlv(0xA4, octets(name.encode()) + tlv(SEQUENCE, bytes.fromhex(parts))) for name in names]
    first, second = client(), client()
    presence = answered(first, message_of(Or(tuple(map(Present, names)))))
    assert len(presence) > 100
    for _ in range(2):
        message = pdu.message(2, pdu.search(awkward.BASE, 2, tlv(0xA1, b"".join(terms)), ("cn",), size=50))
        assert FastPath(1000).answer(DIT, awkward.VIEWER, message) is not None
        assert answered(first, message) == answered(second, message[:1], message[1:]) == presence


def test_photos_both_ways() -> None:
    """Photos may have any octets, in answers of some kilobytes and of a megabyte."""
    people = [replace(one, photo=jpeg(at)) for at, one in enumerate(contacts(150))]
    factory = make_factory(make_gate(dit_of(people, replace(CONTEXT, photos=True))))
    first, second = Client(factory), Client(factory)
    first.bind()
    second.bind()
    for sought, size in (("(cn=User 00007)", 0), ("(cn=User 0000*)", 0), ("(jpegPhoto=*)", 5), ("(jpegPhoto=*)", 0)):
        for _ in range(3):
            message = pdu.message(127, pdu.search(BASE, 2, encode(read_filter(sought)), ("cn", "jpegPhoto"), size=size))
            answer = answered(first, message)
            assert answer == answered(second, message[:1], message[1:])
            found = [dict(one.attributes) for one in pdu.responses(answer) if one.dn.startswith("uid=")]
            assert all(one["jpegPhoto"] == (jpeg(int(one["cn"][0][-5:])),) for one in found)
    assert len(found) == 150


@settings(max_examples=examples(300), deadline=None)
@given(requests, st.data())
def test_whatever_comes_is_no_trouble(request: bytes, data: st.DataObject) -> None:
    """Octets that were changed or cut are answered as the long way does, or not at all."""
    message = bytearray(pdu.message(5, request))
    shortcut = FastPath(1000)
    shortcut.answer(DIT, awkward.VIEWER, bytes(message))
    at = data.draw(st.integers(0, len(message) - 1))
    message[at] = data.draw(st.integers(0, 255))
    cut = bytes(message[: data.draw(st.integers(0, len(message)))])
    for sent in (bytes(message), cut):
        one = client()
        long_way = answered(one, sent[:1], sent[1:])
        found = shortcut.answer(DIT, awkward.VIEWER, sent)
        assert found is None or found.octets == long_way


def message_of(sought: Filter, message_id: int = 2, base: str = awkward.BASE) -> bytes:
    return pdu.message(message_id, pdu.search(base, 2, encode(sought), ("cn",), size=50))


@pytest.mark.parametrize(
    "sought",
    [
        Or(tuple(Equality(name, b"+49301234567") for name in ("telephoneNumber", "mobile", "homePhone"))),
        Or(tuple(Substrings(name, b"mu", (), None) for name in ("cn", "sn", "givenName"))),
        Substrings("cn", None, (b"ull",), None),
        And((Equality("objectClass", b"person"), Substrings("cn", b"mu", (), None))),
    ],
    ids=["reverse", "prefix", "substring", "of a class"],
)
def test_what_phones_ask_is_answered_at_once(sought: Filter) -> None:
    """That is what it is for."""
    answer = FastPath(1000).answer(DIT, awkward.VIEWER, message_of(sought))
    assert answer is not None
    found = pdu.responses(answer.octets)
    assert (len(found) - 1, found[-1].code) == (answer.entries, answer.code)


# Filters that take the slow path, each of which looks at more contacts than one turn allows.
SLOW = {
    "f-deep-nesting-50": "fifty times NOT",
    "f-ext-oid": "an extensible match",
    "f-ext-dn": "an extensible match",
    "evolution-any-field": "a part of each of 20 attributes",
}


def test_nearly_every_filter_that_phones_send_is_answered_at_once() -> None:
    """The requests without controls of `phones.json`, and what phones make of our settings; each new and known."""
    dit, shortcut = phonebook.phonebook(), FastPath(1000)
    asked = [
        (case["id"], case["filter"], case["attributes"], case["sizelimit"])
        for case in phonebook.CASES
        if not case["controls"]
    ]
    for key, vendor in all_vendors().items():
        keypad, values = ROWS[key].keypad, read(make_sheet(vendor, SETTINGS))
        sent = [send(values, typed) for send in (keypad.caller, keypad.digits) if send for typed in ("0", "0301234567")]
        sent += [found for typed in ("", "m", "oezt") if (found := keypad.name(values, typed))]
        asked += [
            (f"sheet of {key}", one.filter.replace("**", "*"), one.attributes, one.size_limit) for one in sent if one
        ]
    missed = set()
    for name, sought, asked_for, limit in asked * 2:
        request = pdu.search(phonebook.BOOK, 2, encode(read_filter(sought)), tuple(asked_for), size=limit)
        if shortcut.answer(dit, phonebook.PHONE, pdu.message(2, request)) is None:
            missed.add(name)
    assert missed == SLOW.keys()
    assert len({sought for _, sought, _, _ in asked}) > 100
    assert sum(bool(case["controls"]) for case in phonebook.CASES) == 7  # they never take it


@pytest.fixture(name="uncollected")
def _uncollected() -> Iterator[None]:
    """Nobody takes away what only the garbage collector can."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("uncollected")
def test_an_answer_leaves_nothing_to_the_collector() -> None:
    """For that stops everything, and memory that nobody has freed is cold (compiled, two functions within one did)."""
    gc.collect()  # what tests before left, which Python 3.14 collects later
    shortcut = FastPath(1000)
    for at in range(20):
        value = f"+4930123456{at}".encode()
        number = Or(tuple(Equality(name, value) for name in ("telephoneNumber", "mobile", "homePhone")))
        name = Or(tuple(Substrings(name, b"mull"[: 1 + at % 4], (), None) for name in ("cn", "sn", "givenName")))
        for sought in (number, name, Substrings("cn", None, (b"ull",), None)):
            assert shortcut.answer(DIT, awkward.VIEWER, message_of(sought)) is not None
    assert gc.collect() == 0


def _longer(element: bytes) -> bytes:
    """The same, its length written in three octets more than it needs."""
    return element[:1] + b"\x83\x00\x00" + element[1:]


def _with_id(encoded: bytes) -> bytes:
    """Return a search with an encoded messageID."""
    return tlv(SEQUENCE, encoded + pdu.search(awkward.BASE, 2, encode(Present("cn")), ("cn",), size=50))


LONG_WAY = {
    "no search": pdu.message(2, pdu.WHO_AM_I),
    "base object": pdu.message(2, pdu.search(awkward.BASE, 0)),
    "types only": pdu.message(2, pdu.search(awkward.BASE, 2, encode(Present("cn")), types_only=True)),
    "controls": pdu.message(2, pdu.search(awkward.BASE, 2, encode(Present("cn"))), pdu.controls(pdu.control("1.2.3"))),
    "two": message_of(Present("cn")) * 2,
    "half": message_of(Present("cn"))[:-1],
    "no id": message_of(Present("cn"), 0),
    "an empty id": _with_id(b"\x02\x00"),
    "a negative id": message_of(Present("cn"), -1),
    "a negative id of two octets": message_of(Present("cn"), -200),
    "an id with a zero in front": _with_id(b"\x02\x02\x00\x07"),
    "an id that is too large": message_of(Present("cn"), 2**31),
    "many octets": pdu.message(2, pdu.search(awkward.BASE, 2, encode(Present("cn")), ("x" * 1024,))),
    "a long base": pdu.message(2, pdu.search(" " * 130 + awkward.BASE, 2, encode(Present("cn")))),
    "a long length": pdu.message(2, _longer(pdu.search(awkward.BASE, 2, encode(Present("cn"))))),
    "a filter with one": pdu.message(2, pdu.search(awkward.BASE, 2, _longer(encode(Present("cn"))))),
    "not whole": pdu.message(2, pdu.search(awkward.BASE, 2, encode(Present("cn"))))[:-1] + b"\x01",
    "nothing": b"",
    "an octet": b"0",
    "a wrong filter": pdu.message(2, pdu.search(awkward.BASE, 2, tlv(0x81, b""))),
    "no part": pdu.message(2, pdu.search(awkward.BASE, 2, tlv(0xA4, octets(b"cn") + tlv(SEQUENCE, b"")))),
    "a heavy filter": message_of(Or(tuple(Equality("mobile", b"+4930123456%d" % at) for at in range(30)))),
}


@pytest.mark.parametrize("octets", LONG_WAY.values(), ids=LONG_WAY)
def test_what_takes_the_long_way(octets: bytes) -> None:
    """Unusual messages take the long way, although their searches could be answered at once."""
    assert FastPath(1000).answer(DIT, awkward.VIEWER, message_of(Present("cn"))) is not None
    assert FastPath(1000).answer(DIT, awkward.VIEWER, octets) is None


@pytest.mark.parametrize("message_id", [1, 127, 128, 255, 256, 32767, 32768, 2**23, 2**31 - 1])
def test_a_connection_that_lasts_stays_fast(message_id: int) -> None:
    """A program that keeps its connection counts its messages; its answers have two to four octets more."""
    shortcut, one = FastPath(1000), client()
    for sought in (Substrings("cn", b"mu", (), None), Equality("cn", b"nobody"), Substrings("cn", b"mu", (), None)):
        for attributes in (("cn",), ("cn", "description", "mail", "telephoneNumber")):
            message = pdu.message(message_id, pdu.search(awkward.BASE, 2, encode(sought), attributes, size=50))
            answer = shortcut.answer(DIT, awkward.VIEWER, message)
            assert answer is not None
            assert answer.octets == answered(one, message[:1], message[1:])


def test_letters_of_another_script_are_found_at_once_among_many_companies() -> None:
    """Greek letters match names that begin with the same Latin letters as the companies of many others."""
    people = [Contact(f"c{at}", name=f"Ada {at:04}", organization="Elektro Adler") for at in range(1200)]
    people += [Contact("elena", name="Élena Zander"), Contact("eleni", name="Ελένη Ζαχαρίου")]
    dit = dit_of(people)
    names = Or(tuple(Substrings(name, "ελ".encode(), (), None) for name in ("cn", "sn", "givenName")))
    answer = FastPath(1000).answer(dit, VIEWER, message_of(names, base=BASE))
    assert answer is not None
    found = pdu.responses(answer.octets)
    assert [entry.dn.split(",")[0] for entry in found[:-1]] == ["uid=elena", "uid=eleni"]


def test_a_part_of_a_name_with_many_vain_candidates_takes_the_long_way() -> None:
    """All have a word that ends so and one that begins so, and only the last one has them in a row."""
    people = [Contact(f"c{at}", name=f"Ab Xx Dy {at:04}") for at in range(400)]
    people.append(Contact("last", name="Zab Dy"))
    dit = dit_of(people)
    in_a_row = message_of(Substrings("cn", None, (b"b d",), None), base=BASE)
    assert FastPath(1000).answer(dit, VIEWER, in_a_row) is None
    assert (
        FastPath(1000).answer(dit, VIEWER, message_of(Substrings("cn", None, (b"zab",), None), base=BASE)) is not None
    )


# The slow path searches again after the fast path has begun to search, and both look for callers.
on_both_paths = pytest.mark.parametrize(
    "sought",
    ["(cn=ada*)", "(cn=*b d*)", "(cn=zoe*)", "(cn=none)"],
    ids=["takes long to encode", "takes several slices", "is long", "is short"],
)


@pytest.mark.parametrize(("number", "count"), [("030 9999999", 1), ("030 5550001", 0)], ids=["unknown", "known"])
@on_both_paths
def test_an_unknown_number_counts_once(sought: str, number: str, count: int) -> None:
    factory = make_factory(make_gate(dit_with_cy(MANY_PEOPLE)))
    assert ("Cy" in names_found(factory, f"(|(mobile={number})(telephoneNumber={number}){sought})")) == (count == 0)
    assert factory.take_guesses().numbers == {VIEWER.login: count}


@on_both_paths
def test_a_phone_that_asked_for_too_many_unknown_numbers_finds_no_caller(sought: str) -> None:
    """The search is refused the caller-ID books once, and finds the phone's own contacts."""
    factory = make_factory(make_gate(dit_with_cy(MANY_PEOPLE)))
    own = names_found(factory, f"(|{sought})")
    assert factory.budget(VIEWER, "192.0.2.1").take(int(UNKNOWN_NUMBERS))
    assert names_found(factory, f"(|(mobile=030 5550001)(telephoneNumber=030 5550001){sought})") == own
    left_out = (LeftOut(VIEWER.login, ("acme",), "192.0.2.1", 1, 0.0),)
    assert factory.left_out("acme") == left_out
    assert factory.take_guesses() == Guesses({}, {VIEWER.login: int(UNKNOWN_NUMBERS)}, left_out)


MANY_PEOPLE = [
    *(Contact(f"a{at}", name=f"Ada Meyer {at:03}") for at in range(100)),
    *(Contact(f"b{at}", name=f"Ab Xx Dy {at:04}") for at in range(2000)),
    *(Contact(f"z{at}", name=f"Zoe {at:03} {'x' * 900}") for at in range(50)),
]


def dit_with_cy(people: list[Contact]) -> Dit:
    """A tree with Alice's own book, and with the book of Bob, who shares Cy's number for caller ID."""
    dit = dit_of(people)
    caller = Contact("c", name="Cy", phones=(phone(Kind.WORK, "030 5550001"),))
    callers = build_book(CONTEXT, "bob", "bob@acme.example", Sharing.CALLERS, [caller], {}, per_number=False)
    return Dit((Directory(CONTEXT, (*dit.directories[0].books, callers)),), dit.features)


def names_found(factory: LdapFactory, text: str) -> list[str]:
    client = Client(factory)
    client.bind()
    *found, done = pdu.responses(
        answered(client, pdu.message(2, pdu.search(BASE, 2, encode(read_filter(text)), ("cn",))))
    )
    assert done.code == 0
    return [dict(entry.attributes)["cn"][0].decode() for entry in found]


def test_what_is_kept_has_bounds() -> None:
    """New requests get answers, and the oldest requests are forgotten."""
    shortcut = FastPath(1000)
    names = ("cn", "sn", "givenName", "displayName", "o", "mail", "l", "title", "ou", "st", "street", "mobile", "uid",
             "pager", "homePhone")  # fmt: skip
    for size in range(600):
        sought = Equality(names[size // 40], b"mu" + b"x" * (size % 40))
        request = pdu.search(awkward.BASE, 2, encode(sought), ("cn", "sn" * (size % 9)), size=size)
        for _ in range(2):
            assert shortcut.answer(DIT, awkward.VIEWER, pdu.message(2, request)) is not None
    long = pdu.message(2, pdu.search(awkward.BASE, 2, encode(Equality("cn", b"mu")), ("x" * 100,), size=5))
    first, second = (shortcut.answer(DIT, awkward.VIEWER, long) for _ in range(2))
    assert first is not None
    assert second is not None
    assert first.octets == second.octets


def test_a_repeated_search_finds_what_is_served_now() -> None:
    """A repeated search, in the same book or in another one, gets the octets that a first search would get."""

    def served(*names: str) -> Dit:
        alice = [Contact(f"c{at}", name=name) for at, name in enumerate(names)]
        books = [
            build_book(CONTEXT, key, f"{key}@acme.example", Sharing.PRIVATE, people, {}, per_number=False)
            for key, people in (("alice", alice), ("bob", [Contact("d1", name="Ada Bo")]))
        ]
        return Dit((Directory(CONTEXT, tuple(books)),), features(tls=False))

    viewers = (
        VIEWER,
        VIEWER._replace(login="cn=desk2,ou=phones," + BASE),
        VIEWER._replace(access=(Access("acme", ("bob",)),)),
        VIEWER._replace(number_formatter=number_formatter(NumberFormat.NATIONAL, CONTEXT)),
    )
    sought = encode(Or(tuple(Substrings(name, b"ad", (), None) for name in ("cn", "sn", "givenName"))))
    shortcut, counts = FastPath(1000), []
    first, changed = served("Ada Zander", "Ada Young"), served("Ada Zander", "Ida Young")
    for dit in (first, changed, first):
        for viewer in viewers:
            for attributes, size in ((("cn",), 0), (("cn",), 1), (("cn", "uid"), 0), (("cn",), 0)):
                for message_id in (1, 127):
                    message = pdu.message(message_id, pdu.search(BASE, 2, sought, attributes, size=size))
                    found, fresh = (one.answer(dit, viewer, message) for one in (shortcut, FastPath(1000)))
                    assert found is not None
                    assert fresh is not None
                    assert (found.octets, found.code, found.kind) == (fresh.octets, fresh.code, fresh.kind)
                    counts.append(found.entries)
    two, one = [2, 2, 1, 1, 2, 2, 2, 2], [1] * 8
    assert counts == [*two, *two, *one, *two, *one, *one, *one, *one, *two, *two, *one, *two]


def test_a_repeated_part_of_a_number_belongs_to_the_site_of_the_phone() -> None:
    """The area code of a phone's site decides whose number begins with the digits."""
    people = [
        Contact(name, name=name, phones=(Phone(Kind.WORK, parse(number, "DE")),))
        for name, number in (("Ada", "+49 30 5550001"), ("Bob", "+49 89 5550001"))
    ]
    dit, shortcut = dit_of(people, replace(CONTEXT, region="DE")), FastPath(1000)
    sought = message_of(Substrings("telephoneNumber", b"555000", (), None), base=BASE)
    found = []
    for area_code in ("30", "89", "30", ""):
        answer = shortcut.answer(dit, VIEWER._replace(area_code=area_code), sought)
        assert answer is not None
        found.append([entry.dn.split(",")[0] for entry in pdu.responses(answer.octets)[:-1]])
    assert found == [["uid=Ada"], ["uid=Bob"], ["uid=Ada"], []]


def test_a_search_keeps_no_directory_that_is_not_served() -> None:
    """For the book of a change may take as much memory as all others."""
    shortcut, message = FastPath(1000), message_of(Substrings("cn", b"user", (), None), base=BASE)
    dit = make_dit(50)
    for _ in range(3):
        assert shortcut.answer(dit, VIEWER, message) is not None
    [old] = map(id, dit.directories[0].books[0].segments.contacts)
    served = make_dit(1)
    shortcut.forget_old(served)
    del dit
    gc.collect()
    assert old not in {id(one) for one in gc.get_objects() if isinstance(one, Segment)}


LABELS = {"contactGroups/1": "Customers", "contactGroups/2": "Suppliers"}


def published(count: int, before: Directory | None) -> Directory:
    """The same 800 people in so many shared books; in the first of them somebody has changed since before."""
    people = [Contact(f"c{at}", name=f"{'Bo' if at % 80 else 'Ada'} {at}") for at in range(800)]
    people[1] = replace(people[1], name=f"{id(before)}", labels=tuple(LABELS))
    size = 800 // count
    kept = before.books[1:] if before else ()
    new = [
        build_book(CONTEXT, f"b{at}", f"b{at}", Sharing.SHARED, people[at : at + size], LABELS, per_number=False)
        for at in range(0, 800 - size * len(kept), size)
    ]
    return Directory(CONTEXT, (*new, *kept), before.shared_books if before else {})


def calls_of_searches(count: int) -> dict[str, int]:
    """Count the functions called for a search: once more, by somebody new who sees the same, after a change."""
    first = published(count, None)
    second = published(count, first)
    shortcut, octets = FastPath(1000), message_of(Substrings("cn", b"ad", (), None), base=BASE)
    found = []

    def search(directory: Directory) -> Callable[[], None]:
        dit, viewer = Dit((directory,), features(tls=False)), Viewer("cn=desk1", (Access("acme", ("b0",)),))
        return lambda: found.append(shortcut.answer(dit, viewer, octets))

    for _ in range(3):
        search(first)()
    counted = {name: work.calls(search(on)) for name, on in (("again", first), ("new", first), ("changed", second))}
    assert [answer and answer.entries for answer in found] == [10] * 6
    return counted


def test_neither_a_change_nor_somebody_new_costs_more_among_many_books() -> None:
    """As many accounts have, one of which changes each second."""
    alone, among = (calls_of_searches(count) for count in (1, 400))
    assert among["changed"] <= 2 * alone["changed"]
    assert among["new"] <= 2 * alone["again"]
    assert among["again"] <= 2 * alone["again"]


def shared_books(count: int, note: str) -> Dit:
    """So many shared books, of a hundred contacts each."""
    books = []
    for at in range(count):
        people = [replace(one, name=f"{one.name} {at}", organization=note) for one in contacts(100)]
        books.append(build_book(CONTEXT, f"b{at}", f"b{at}@acme.example", Sharing.SHARED, people, {}, per_number=False))
    return Dit((Directory(CONTEXT, tuple(books)),), features(tls=False))


@pytest.mark.parametrize(
    ("dit", "found"), [(shared_books(1, "x"), 100), (shared_books(3, "x"), None), (shared_books(1, "x" * 1000), None)],
    ids=["a list", "more than is looked at", "more than is written at once"],
)  # fmt: skip
def test_what_is_long_takes_the_long_way(dit: Dit, found: int | None) -> None:
    """Answers in parts let others have their turn in between, as does the first list with its attributes."""
    request = pdu.message(2, pdu.search(BASE, 2, encode(Substrings("cn", b"user", (), None)), size=0))
    viewer = Viewer("cn=desk1", (Access("acme", ("b0",)),))

    def entries() -> int | None:
        answer = FastPath(1000).answer(dit, viewer, request)
        return None if answer is None else answer.entries

    assert entries() is None
    for _ in range(2):
        for book in dit.directories[0].books:
            [segment] = book.segments.contacts
            segment.messages(range(len(segment)), select(()))
    assert entries() == found


@pytest.mark.parametrize(("limit", "found"), [(16, 16), (17, None), (0, None)])
@pytest.mark.parametrize("count", [18, 100])
def test_entries_that_take_long_take_the_long_way(count: int, limit: int, found: int | None) -> None:
    """A phone's own format is given to the numbers of 16 entries at a time."""
    dit = make_dit(count)
    viewer = VIEWER._replace(number_formatter=number_formatter(NumberFormat.NATIONAL, CONTEXT))
    request = pdu.search(BASE, 2, encode(Substrings("cn", b"user", (), None)), ("cn", "telephoneNumber"), size=limit)
    answer = FastPath(1000).answer(dit, viewer, pdu.message(2, request))
    assert (None if answer is None else answer.entries) == found
