# SPDX-License-Identifier: MIT
"""Access: whatever a phone asks, it is never shown what it may not see, and nothing that it may not see shows through.

The wire is asked, with controls and cookies; `offices` says what may be seen.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock

from ldapgw.contact import Sharing
from ldapgw.directory.dit import Dit
from ldapgw.directory.dn import Dn
from ldapgw.directory.filters import (
    And,
    Approximate,
    Equality,
    Extensible,
    Filter,
    GreaterOrEqual,
    LessOrEqual,
    Not,
    Or,
    Present,
    Substrings,
)
from ldapgw.directory.schema import attribute_type
from ldapgw.ldap.gate import Gate
from tests.ldap import asks, offices, pdu
from tests.ldap.offices import Desk, Key, Office
from tests.ldap.test_filter import encode
from tests.ldap.world import Client, make_factory, turn

SEEDS = range(12)
ENTRY, DONE = 0x64, 0x65
NUMBERS = frozenset(offices.ATTRIBUTE_OF.values())

few = settings(max_examples=250, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
many = settings(few, max_examples=10_000)


class Phone:
    """A connection of a phone to a gateway that serves an office.

    :ivar cookie: of its last page.
    """

    def __init__(self, dit: Dit, desk: Desk) -> None:
        self._clock = Clock()
        gate = Gate(lambda: dit, lambda *_: None, lambda _: desk.viewer, b"the key of this process")
        self._client = Client(make_factory(gate, self._clock))
        self.cookie = b""

    def ask(self, request: bytes, controls: bytes = b"") -> list[pdu.Response]:
        found = self._client.ask(request, 7, controls)
        while not found or found[-1].code is None:
            turn(self._clock)
            found += self._client.received()
        page = dict(found[-1].controls).get(asks.PAGED)
        self.cookie = asks.cookie(found[-1]) if page is not None else self.cookie
        return found


@cache
def phone(seed: int, at: int) -> Phone:
    place = offices.office(seed)
    return Phone(_dit(seed), place.desks[at])


@cache
def blind(seed: int, at: int) -> Phone:
    """The same phone in an office that has nothing else than what the phone may see."""
    place = offices.office(seed)
    return Phone(offices.build(offices.without_the_rest(place, place.desks[at])), place.desks[at])


@cache
def _dit(seed: int) -> Dit:
    return offices.build(offices.office(seed))


@cache
def reckoned(seed: int, at: int) -> tuple[dict[Key, offices.Attributes], dict[Key, offices.Attributes]]:
    place = offices.office(seed)
    return offices.may_see(place, place.desks[at]), offices.callers(place, place.desks[at])


# --- requests ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Asked:
    """A search of somebody.

    :ivar borrowed: whose page's cookie is sent; None: nobody's.
    """

    seed: int
    desk: int
    base: str
    scope: int
    filter: Filter
    attributes: tuple[str, ...]
    size: int
    types_only: bool
    sort: tuple[str, ...] = ()
    window: tuple[int, int] | bytes | None = None
    page: int = 0
    borrowed: int | None = field(default=None)

    @property
    def request(self) -> bytes:
        return pdu.search(
            self.base, self.scope, encode(self.filter), self.attributes, size=self.size, types_only=self.types_only
        )

    @property
    def controls(self) -> bytes:
        parts = [asks.sort(*self.sort)] if self.sort else []
        if self.window is not None:
            parts.append(asks.view(1, 5, self.window))
        if self.page:
            cookie = b"" if self.borrowed is None else phone(self.seed, self.borrowed).cookie
            parts.append(asks.page(self.page, cookie))
        return pdu.controls(*parts) if parts else b""


_NAMES = ("cn", "sn", "givenName", "displayName", "o", "ou", "mail", "uid", "name", "telephoneNumber", "mobile",
          "homePhone", "fax", "objectClass", "entryDN", "entryUUID", "hasSubordinates", "initials",
          "nosuch")  # fmt: skip
_SELECTIONS = ((), ("*", "+"), ("+",), ("1.1",), ("cn", "telephoneNumber"), ("CN SN", "mail", "uid"), ("mobile", "o"),
               ("entryDN", "fax", "@inetOrgPerson"))  # fmt: skip


def _writings(e164: str) -> Iterator[str]:
    yield e164
    yield "0" + e164[3:]
    yield "00" + e164[1:]
    yield "00" + e164[3:]
    yield e164[3:5] + " " + e164[5:]
    yield "*" + e164[-7:]


@cache
def _values(seed: int) -> list[str]:
    """What is in an office, and how it is typed."""
    place = offices.office(seed)
    persons = [person for shelf in place.shelves for person in shelf.persons]
    found = [shelf.name for shelf in place.shelves] + [shelf.key for shelf in place.shelves]
    for person in persons:
        found += [person.name, person.given, person.family, person.company, person.uid, *person.mails]
        found += [writing for _, text in person.numbers for writing in _writings(text)]
    return [*dict.fromkeys(found), *_bases(seed), "inetOrgPerson", "TRUE", "", "a", "zz"]


@cache
def _bases(seed: int) -> list[str]:
    """The names of all entries there are, whoever may see them, and of some that there are not."""
    place = offices.office(seed)
    found = ["", "cn=subschema", "dc=example", "dc=nowhere", "nodn"]
    for tenant in place.lenient:
        base = Dn.parse(offices.base_of(tenant))
        found += [str(base), str(base.child("ou", "phones")), str(base.child("ou", "phones").child("cn", "desk0"))]
        found += [str(base.child("ou", "nobody")), str(base.child("ou", "nobody").child("uid", "c1"))]
    for shelf in place.shelves:
        unit = Dn.parse(offices.base_of(shelf.tenant)).child("ou", shelf.name)
        found += [str(unit), *(str(unit.child("ou", label)) for label in shelf.labels), str(unit.child("uid", "c9"))]
        for person in shelf.persons:
            found += [str(unit.child("uid", person.uid)), str(unit.child("uid", f"{person.uid}-1"))]
            found += [str(unit.child("ou", label).child("uid", person.uid)) for label in person.labels]
            for _, text in person.numbers:
                rdn = (("cn", person.name), ("telephonenumber", text))
                found.append(str(Dn((rdn, *Dn.parse(offices.base_of(shelf.tenant)).rdns))))
    return found


def _terms(seed: int) -> st.SearchStrategy[Filter]:
    names = st.sampled_from(_NAMES)
    values = st.sampled_from(_values(seed)).map(str.encode)
    parts = st.tuples(values, st.integers(0, 4), st.integers(1, 6)).map(lambda cut: cut[0][cut[1] : cut[1] + cut[2]])
    return st.one_of(
        st.builds(Equality, names, values),
        st.builds(Equality, st.sampled_from(("telephoneNumber", "mobile", "homePhone", "fax")), values),
        st.builds(Approximate, names, values),
        st.builds(Substrings, names, parts, st.just(()), st.none()),
        st.builds(Substrings, names, st.none(), parts.map(lambda part: (part,)), st.none()),
        st.builds(Substrings, names, st.none(), st.just(()), parts),
        st.builds(GreaterOrEqual, names, values),
        st.builds(LessOrEqual, names, values),
        st.builds(Present, names),
        st.builds(Extensible, st.sampled_from((None, "caseIgnoreMatch", "telephoneNumberMatch")), names, values,
                  st.booleans()),
    )  # fmt: skip


def _filters(seed: int) -> st.SearchStrategy[Filter]:
    several = st.recursive(
        _terms(seed),
        lambda inner: st.one_of(
            st.lists(inner, max_size=3).map(lambda terms: And(tuple(terms))),
            st.lists(inner, max_size=3).map(lambda terms: Or(tuple(terms))),
            inner.map(Not),
        ),
        max_leaves=5,
    )
    return st.one_of(several, st.just(Present("objectClass")))


@st.composite
def searches(draw: Any) -> Asked:
    """Anybody's search for anything anywhere."""
    seed = draw(st.sampled_from(SEEDS))
    desks = st.integers(0, len(offices.office(seed).desks) - 1)
    whole = st.sampled_from([offices.base_of(tenant) for tenant in offices.office(seed).lenient])
    return Asked(
        seed,
        draw(desks),
        draw(st.one_of(whole, st.sampled_from(_bases(seed)))),
        draw(st.sampled_from((2, 2, 2, 1, 0))),
        draw(_filters(seed)),
        draw(st.sampled_from(_SELECTIONS)),
        draw(st.sampled_from((0, 0, 0, 1, 3))),
        draw(st.sampled_from((False, False, True))),
        draw(st.sampled_from(((), (), ("cn",), ("-sn", "uid"), ("mail",), ("telephoneNumber",)))),
        draw(st.sampled_from((None, None, None, (1, 0), (3, 5), b"b"))),
        draw(st.sampled_from((0, 0, 0, 1, 4))),
        draw(st.one_of(st.none(), desks)),
    )


# --- judgement --------------------------------------------------------------------------------------------------------


def named(sought: Filter) -> Iterator[str]:
    """The ends of all values that a filter compares whole: no number may come that has none of these."""
    match sought:
        case And(terms) | Or(terms):
            for term in terms:
                yield from named(term)
        case Not(term):
            yield from named(term)
        case Equality(_, value) | Approximate(_, value):
            yield re.sub(r"\D", "", value.decode())[-7:]


def judge(asked: Asked, entry: pdu.Response) -> None:
    """Hold an entry against what its reader may see."""
    if entry.dn.lower() in ("", "cn=subschema"):
        return
    whole, callers = reckoned(asked.seed, asked.desk)
    name = offices.key_of(entry.dn)
    allowed = whole.get(name) or callers.get(name)
    assert allowed is not None, entry.dn
    for description, values in entry.attributes:
        kind = attribute_type(description)
        assert kind is not None, description
        texts = {value.decode() for value in values}
        if kind.name == "entryDN":
            assert texts <= {entry.dn}
        elif kind.name not in offices.OPERATIONAL or name not in whole:
            assert texts <= allowed.get(kind.name, frozenset()), description
        if name not in whole and kind.name in NUMBERS:
            assert {text[-7:] for text in texts} <= set(named(asked.filter))
    if name not in whole:
        [told] = [text for rdn in Dn.parse(entry.dn).rdns for of, text in rdn if of == "telephonenumber"]
        assert told[-7:] in set(named(asked.filter))


def judge_end(asked: Asked, done: pdu.Response) -> None:
    """The end of a search names nothing that its reader may not see."""
    whole, _ = reckoned(asked.seed, asked.desk)
    assert done.kind == DONE
    assert not done.matched_dn or offices.key_of(done.matched_dn) in whole


def never_shown(asked: Asked) -> None:
    """Every entry is one that its reader may see, and the answer is that of an office without all else."""
    mine = phone(asked.seed, asked.desk)
    controls = asked.controls
    *entries, done = mine.ask(asked.request, controls)
    assert {entry.kind for entry in entries} <= {ENTRY}
    for entry in entries:
        judge(asked, entry)
    judge_end(asked, done)
    *others, end = blind(asked.seed, asked.desk).ask(asked.request, controls)
    assert [entry.dn for entry in entries] == [other.dn for other in others]
    assert [entry.attributes for entry in entries] == [other.attributes for other in others]
    assert (done.code, done.matched_dn, done.diagnostic) == (end.code, end.matched_dn, end.diagnostic)
    told = [[control for control in one.controls if control[0] != asks.PAGED] for one in (done, end)]
    assert told[0] == told[1]


@few
@given(searches())
def test_a_phone_is_never_shown_what_it_may_not_see(asked: Asked) -> None:
    """Some hundreds of searches of anybody's, for anything, anywhere."""
    never_shown(asked)


@pytest.mark.long
@many
@given(searches())
def test_ten_thousand_searches(asked: Asked) -> None:
    """The same, ten thousand times."""
    never_shown(asked)


# --- that there is something to find ----------------------------------------------------------------------------------


def everything(seed: int, at: int) -> list[pdu.Response]:
    asked = Asked(seed, at, "", 2, Present("objectClass"), ("*", "+"), 0, types_only=False)
    *entries, done = phone(seed, at).ask(asked.request)
    assert done.code == 0 or not offices.office(seed).desks[at].tenants
    return entries


@pytest.mark.parametrize("seed", SEEDS)
def test_what_is_reckoned_is_what_there_is(seed: int) -> None:
    """Whoever asks for everything gets every book, and each contact whole: the reckoning is not too generous."""
    place: Office = offices.office(seed)
    for at, desk in enumerate(place.desks):
        whole, _ = reckoned(seed, at)
        shown = {offices.key_of(entry.dn): entry for entry in everything(seed, at)}
        assert shown.keys() <= whole.keys()
        units = {key for key, held in whole.items() if "inetOrgPerson" not in held["objectClass"]}
        assert units <= shown.keys()
        for key, entry in shown.items():
            held = {name: frozenset(value.decode() for value in values) for name, values in entry.attributes}
            expected = {name: values for name, values in whole[key].items() if values}
            assert {name: values for name, values in held.items() if name in expected} == expected
            assert held.keys() - expected.keys() <= offices.OPERATIONAL | {"entryDN"}
        persons = [person for shelf in offices.seen_wholly(place, desk) for person in shelf.persons]
        if not desk.per_number:
            assert {person.name for person in persons} == {
                dict(entry.attributes)["cn"][0].decode() for key, entry in shown.items() if key not in units
            }


def test_callers_are_told() -> None:
    """In the offices there are callers to be found: the tests above have something to judge."""
    told = 0
    for seed in SEEDS:
        place = offices.office(seed)
        for at, desk in enumerate(place.desks):
            for shelf in offices.told_of_callers(place, desk):
                assert shelf.sharing is Sharing.CALLERS
                for person in shelf.persons:
                    for kind, text in person.numbers:
                        sought = Equality(offices.ATTRIBUTE_OF[kind], text.encode())
                        base = offices.base_of(shelf.tenant)
                        asked = Asked(seed, at, base, 2, sought, (), 0, types_only=False)
                        *entries, _ = phone(seed, at).ask(asked.request)
                        names = {dict(entry.attributes)["cn"][0].decode() for entry in entries}
                        assert any(name.startswith(person.name) for name in names)
                        told += 1
    assert told > 50
