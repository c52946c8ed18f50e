# SPDX-License-Identifier: MIT
"""Searches that anybody in an invented office may send: for anything, anywhere, with controls and cookies of others."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from random import Random

from twisted.internet.task import Clock

from ldapgw.directory.dit import Dit
from ldapgw.directory.dn import Dn
from ldapgw.directory.filter import (
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
from ldapgw.ldap.session import DirectoryPort
from tests.support import asks, pdu
from tests.support.filter_text import encode
from tests.support.phonebook import offices
from tests.support.phonebook.offices import Desk, Person
from tests.support.phonebook.wire import Client, make_factory, turn

SEEDS = range(12)


class Phone:
    """A connection of a phone to a gateway that serves an office."""

    def __init__(self, dit: Dit, desk: Desk) -> None:
        self._clock = Clock()
        gate = DirectoryPort(lambda: dit, lambda *_: None, lambda _: desk.viewer, b"the key of this process")
        self._client = Client(make_factory(gate, self._clock))

    def ask(self, request: bytes, controls: bytes = b"") -> list[pdu.Response]:
        found = self._client.ask(request, 7, controls)
        while not found or found[-1].code is None:
            turn(self._clock)
            found += self._client.received()
        return found


@cache
def phone(seed: int, at: int) -> Phone:
    place = offices.office(seed)
    return Phone(dit_of(seed), place.desks[at])


@cache
def blind(seed: int, at: int) -> Phone:
    """The same phone in an office that has nothing else than what the phone may see."""
    return Phone(blind_dit(seed, at), offices.office(seed).desks[at])


@cache
def dit_of(seed: int) -> Dit:
    return offices.build(offices.office(seed))


@cache
def blind_dit(seed: int, at: int) -> Dit:
    place = offices.office(seed)
    return offices.build(offices.without_the_rest(place, place.desks[at]))


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
    borrowed: int | None = None

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
            parts.append(asks.page(self.page, self._cookie()))
        return pdu.controls(*parts) if parts else b""

    def _cookie(self) -> bytes:
        """That of the first page which somebody else got of the same search."""
        if self.borrowed is None:
            return b""
        *_, done = phone(self.seed, self.borrowed).ask(self.request, pdu.controls(asks.page(1)))
        return asks.cookie(done) if asks.PAGED in dict(done.controls) else b""


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
    """Return the values in an office, as they are typed."""
    place = offices.office(seed)
    persons = [person for book in place.books for person in book.persons]
    found = [book.name for book in place.books] + [book.key for book in place.books]
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
    for book in place.books:
        unit = Dn.parse(offices.base_of(book.tenant)).child("ou", book.name)
        found += [str(unit), *(str(unit.child("ou", label)) for label in book.labels), str(unit.child("uid", "c9"))]
        for person in book.persons:
            found += [str(unit.child("uid", person.uid)), str(unit.child("uid", f"{person.uid}-1"))]
            found += [str(unit.child("ou", label).child("uid", person.uid)) for label in person.labels]
            for _, text in person.numbers:
                rdn = (("cn", person.name), ("telephonenumber", text))
                found.append(str(Dn((rdn, *Dn.parse(offices.base_of(book.tenant)).rdns))))
    return found


def _term(dice: Random, seed: int) -> Filter:
    name, value = dice.choice(_NAMES), dice.choice(_values(seed)).encode()
    start, length = dice.randrange(5), dice.randrange(1, 7)
    part = value[start : start + length] or b"a"
    match dice.randrange(10):
        case 0 | 1:
            return Equality(name, value)
        case 2:
            return Approximate(name, value)
        case 3 | 4:
            return Substrings(name, part, (), None)
        case 5:
            return Substrings(name, None, (part,), None)
        case 6:
            return Substrings(name, None, (), part)
        case 7:
            return dice.choice((GreaterOrEqual, LessOrEqual))(name, value)
        case 8:
            return Present(name)
        case _:
            rule = dice.choice((None, "caseIgnoreMatch", "telephoneNumberMatch"))
            return Extensible(rule, name, value, dice.random() < 0.5)


def _filter(dice: Random, seed: int, depth: int = 0) -> Filter:
    kind = dice.randrange(8)
    if kind == 0 and depth < 3:
        return Not(_filter(dice, seed, depth + 1))
    if kind in (1, 2) and depth < 3:
        return dice.choice((And, Or))(tuple(_filter(dice, seed, depth + 1) for _ in range(dice.randrange(4))))
    return Present("objectClass") if kind == 3 else _term(dice, seed)


@cache
def _callers(seed: int, desk: int) -> list[Person]:
    """Return the persons in callers' books who have a number."""
    place = offices.office(seed)
    books = offices.told_of_callers(place, place.desks[desk])
    return [person for book in books for person in book.persons if person.numbers]


def _feeling(dice: Random, person: Person, seed: int) -> Filter:
    """A caller's number, as a whole or in part, and something else about the caller that is nobody's business."""
    kind, text = dice.choice(person.numbers)
    attribute = dice.choice((offices.ATTRIBUTE_OF[kind], "telephoneNumber"))
    writing = dice.choice([*_writings(text)]).encode()
    whole = Equality(attribute, writing)
    part = dice.choice((Substrings(attribute, writing[:-1], (), None), Substrings(attribute, None, (), writing[-7:])))
    held = {"mail": person.mails, "o": (person.company,), "uid": (person.uid,), "givenName": (person.given,)}
    name, values = dice.choice([(name, values) for name, values in held.items() if any(values)])
    secret = dice.choice((Present(name), Equality(name, values[0].encode()), Substrings(name, b"m", (), None)))
    return dice.choice((
        whole, whole, part, And((whole, secret)), And((whole, secret)), And((whole, Not(secret))), And((part, secret)),
        Or((whole, secret)), And((Not(whole), secret)), And((whole, _term(dice, seed))), Extensible(None, *_of(whole)),
    ))  # fmt: skip


def _of(term: Equality) -> tuple[str, bytes]:
    return term.attribute, term.value


def search(number: int) -> Asked:
    """Anybody's search for anything anywhere; the same for the same number.  Every other one feels for callers."""
    dice = Random(number)
    seed = dice.choice(SEEDS)
    place = offices.office(seed)
    desks = range(len(place.desks))
    feeling = [desk for desk in desks if _callers(seed, desk)] if number % 2 else []
    desk = dice.choice(feeling or desks)
    tenant, _ = dice.choice(place.desks[desk].tenants or (("acme", ""),))
    usual = dice.random() < (0.9 if feeling else 0.6)
    asked = Asked(
        seed,
        desk,
        offices.base_of(tenant) if usual else dice.choice(_bases(seed)),
        2 if usual else dice.choice((2, 1, 0)),
        _feeling(dice, dice.choice(_callers(seed, desk)), seed) if feeling else _filter(dice, seed),
        dice.choice(_SELECTIONS),
        dice.choice((0, 0, 0, 1, 3)),
        types_only=dice.random() < 0.1,
    )
    sort = dice.choice((("cn",), ("-sn", "uid"), ("mail",), ("telephoneNumber",)))
    match dice.randrange(10):
        case 0:
            return replace(asked, sort=sort)
        case 1:
            return replace(asked, sort=sort, window=dice.choice(((1, 0), (2, 5), b"b")))
        case 2 | 3:
            page = replace(asked, page=dice.choice((1, 4)), borrowed=dice.choice((None, *desks)))
            return replace(page, sort=sort) if dice.random() < 0.5 else page
        case _:
            return asked
