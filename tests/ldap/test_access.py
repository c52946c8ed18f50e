# SPDX-License-Identifier: MIT
"""Access: whatever a phone asks, it is never shown what it may not see, and nothing that it may not see shows through.

The wire is asked, with controls and cookies; `offices` says what may be seen.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

import pytest

from ldapgw.contact import Sharing
from ldapgw.directory.dn import Dn
from ldapgw.directory.filter import (
    And,
    Approximate,
    Equality,
    Filter,
    Not,
    Or,
    Present,
)
from ldapgw.directory.schema import attribute_type
from tests.support import asks, pdu
from tests.support.phonebook import offices
from tests.support.phonebook.office_searches import SEEDS, Asked, blind, phone, search
from tests.support.phonebook.offices import Key, Office

ENTRY, DONE = 0x64, 0x65
NUMBERS = frozenset(offices.ATTRIBUTE_OF.values())

# Searches in every run; each is made of its number, so that one that fails can be asked again.
SOME = 500


@cache
def reckoned(seed: int, at: int) -> tuple[dict[Key, offices.Attributes], dict[Key, offices.Attributes]]:
    place = offices.office(seed)
    return offices.may_see(place, place.desks[at]), offices.callers(place, place.desks[at])


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
        [told] = [text for rdn in Dn.parse(entry.dn).rdns for of, text in rdn if of in map(str.lower, NUMBERS)]
        assert told[-7:] in set(named(asked.filter))


def never_shown(asked: Asked) -> None:
    """Its reader may see what every entry and the end name, and the answer is that of an office without all else."""
    mine = phone(asked.seed, asked.desk)
    controls = asked.controls
    *entries, done = mine.ask(asked.request, controls)
    assert {entry.kind for entry in entries} <= {ENTRY}
    for entry in entries:
        judge(asked, entry)
    whole, _ = reckoned(asked.seed, asked.desk)
    assert done.kind == DONE
    assert not done.matched_dn or offices.key_of(done.matched_dn) in whole
    *others, end = blind(asked.seed, asked.desk).ask(asked.request, controls)
    assert [entry.dn for entry in entries] == [other.dn for other in others]
    assert [entry.attributes for entry in entries] == [other.attributes for other in others]
    assert (done.code, done.matched_dn, done.diagnostic) == (end.code, end.matched_dn, end.diagnostic)
    told = [[control for control in one.controls if control[0] != asks.PAGED] for one in (done, end)]
    assert told[0] == told[1]


@pytest.mark.no_cover
@pytest.mark.parametrize(
    "numbers",
    [range(SOME), pytest.param(range(SOME, SOME + 10_000), marks=pytest.mark.long)],
    ids=["some", "ten thousand others"],
)
def test_a_phone_is_never_shown_what_it_may_not_see(numbers: range) -> None:
    """In searches of anybody's, for anything, anywhere."""
    for number in numbers:
        never_shown(search(number))


# --- that there is something to find ----------------------------------------------------------------------------------


def everything(seed: int, at: int) -> list[pdu.Response]:
    asked = Asked(seed, at, "", 2, Present("objectClass"), ("*", "+"), 0, types_only=False)
    *entries, done = phone(seed, at).ask(asked.request)
    assert done.code == 0 or not offices.office(seed).desks[at].tenants
    return entries


@pytest.mark.parametrize("seed", SEEDS)
def test_what_is_reckoned_is_what_there_is(seed: int) -> None:
    """A search for everything gets every book, and each contact whole: the expectation is not too generous."""
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
        books = [*offices.seen_wholly(place, desk), *offices.seen_by_label(place, desk)]
        persons = [person for book in books for person in book.persons]
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
            for book in offices.told_of_callers(place, desk):
                assert book.sharing is Sharing.CALLERS
                for person in book.persons:
                    for kind, text in person.numbers:
                        sought = Equality(offices.ATTRIBUTE_OF[kind], text.encode())
                        base = offices.base_of(book.tenant)
                        asked = Asked(seed, at, base, 2, sought, (), 0, types_only=False)
                        *entries, _ = phone(seed, at).ask(asked.request)
                        names = {dict(entry.attributes)["cn"][0].decode() for entry in entries}
                        assert any(name.startswith(person.name) for name in names)
                        told += 1
    assert told > 50
