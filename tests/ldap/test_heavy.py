# SPDX-License-Identifier: MIT
"""The heaviest filters that the limits allow, over a large book and many shared ones: each turn is short all the same.

Work is bounded, as in `tests.ldap.test_exhaustion`.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations
from random import Random

import pytest

from ldapgw.contact import Contact, Kind, Phone, Sharing
from ldapgw.directory.book import build_book, update_book
from ldapgw.directory.dit import Directory, Dit
from ldapgw.directory.naming_context import NamingContext
from ldapgw.errors import ResultCode
from ldapgw.ldap.encoder import features
from ldapgw.ldap.session import DirectoryPort
from ldapgw.numbers.phone_number import parse
from tests.support import pdu
from tests.support.filter_text import encode, read_filter
from tests.support.phonebook.listening import is_answered
from tests.support.phonebook.talk import Server, best_of_three, in_a_moment
from tests.support.phonebook.wire import BASE, CONTEXT, make_gate

SYLLABLES = ("an", "na", "ma", "ri", "er", "el", "in", "le", "jo", "ha", "ber", "mann", "ner", "schmi", "dt", "mül")
LETTERS = "".join(Random(1).choices("abcdefghijklmnopqrstuvwxyz", k=4_000))
ENDED = {ResultCode.SUCCESS, ResultCode.SIZE_LIMIT_EXCEEDED, ResultCode.TIME_LIMIT_EXCEEDED}

pytestmark = [pytest.mark.usefixtures("still"), pytest.mark.no_cover]


def people(count: int, seed: int) -> list[Contact]:
    """Names of few syllables, so that each part of one stands in many; all have the same number."""
    choice = Random(seed)
    phones = tuple(Phone(Kind.WORK, number) for number in [parse("030 1234567", "DE")] if number)
    names = ["".join(choice.choices(SYLLABLES, k=3)) for _ in range(2 * count)]
    return [
        Contact(f"c{seed}x{at}", name=f"{given} {family}", given_name=given, family_name=family, phones=phones)
        for at, (given, family) in enumerate(zip(names[::2], names[1::2], strict=True))
    ]


def crowd(count: int, context: NamingContext = CONTEXT) -> DirectoryPort:
    """A phone's own book, on two segments since a change, and eight others, each too large to be joined."""
    book = build_book(context, "alice", "alice", Sharing.PRIVATE, people(count, 0), {}, per_number=False)
    own = update_book(book, context, people(100, 9), (), {})
    assert own is not None
    shared = [
        build_book(context, f"s{at}", f"s{at}", Sharing.SHARED, people(count // 10, at), {}, per_number=False)
        for at in range(1, 9)
    ]
    directory = Directory(context, (own, *shared))
    return make_gate(Dit((directory,), features(tls=False)))


@pytest.fixture(
    name="gate",
    scope="module",
    params=[pytest.param(5_000, id="5,000"), pytest.param(100_000, id="100,000", marks=pytest.mark.soak)],
)
def _gate(request: pytest.FixtureRequest) -> DirectoryPort:
    return crowd(request.param)


def every(terms: Iterable[str]) -> str:
    return f"(&{''.join(terms)})"


def either(terms: Iterable[str]) -> str:
    return f"(|{''.join(terms)})"


def pieces(length: int, count: int) -> list[str]:
    return [LETTERS[at * length : (at + 1) * length] for at in range(count)]


@pytest.mark.parametrize(
    "text",
    [
        every(either(f"(cn={one}*)" for one in four) for four in combinations("hjmsbeln", 4)),
        every(f"(cn=*{word}*)" for word in pieces(900, 4)),
        either(f"(cn=*{word}*)" for word in pieces(900, 4)),
        either(f"(cn=*{word}*)" for word in pieces(15, 140)),
        either(f"(cn=*{word}*)" for word in pieces(10, 170)),
        f"(cn=* {'* '.join(pieces(3, 500))}*)",
        f"(cn=ma{'*a' * 900}*)",
        either(f"(cn={word}*)" for word in pieces(4, 240)),
        either(f"(cn={number}*)" for number in range(222, 262)),
        either(f"(cn=*{number}*)" for number in range(222, 262)),
        either(f"(cn={number}*)" for number in range(20_202, 20_242)),
        every(f"(cn={one} {other}*)" for one, other in combinations(("an", "ma", "ri", "e", "j", "ha", "ber"), 2)),
        either(f"(cn={one} {other}*)" for one, other in combinations("abeghijklmnoprstuwxyz", 2)),
        either(f"(cn={one} {other} a a a a a a*)" for one, other in combinations(("a", "an", "na", "ma"), 2)),
        either(f"(cn={' '.join(words)})" for words in combinations(("anna", "maria", "an", "ma", "e", "na"), 4)),
        either(f"(&(sn>={word})(sn<={word}z))" for word in pieces(1, 110)),
        either(f"(&(cn>={word})(cn<={word}z))" for word in pieces(1, 110)),
        every(["(telephoneNumber=0301234567)(o=*)"] * 100),
        either(f"(telephoneNumber=0301{number:06})" for number in range(45)),
        every(either((f"({one}=*)", f"({other}=*)")) for one, other in combinations(("cn", "sn", "o", "l"), 2)),
        "(:dn:caseIgnoreMatch:=anna)",
    ],
    ids=["ORs of beginnings", "long words", "any long word", "any of 140 words", "any of 170 words", "words in a row",
         "letters in a row", "any beginning", "keypads", "parts on the keypad", "words on the keypad", "several words",
         "letters of two words", "the same word often", "whole words", "ranges", "ranges of names",
         "a number that all have", "numbers", "pairs", "any attribute"],
)  # fmt: skip
@best_of_three
def test_the_heaviest_filters_let_others_in_between(gate: DirectoryPort, text: str) -> None:
    """They are allowed; no turn is long, and what somebody else asks is answered in the turn in which it comes."""
    server = Server(gate)
    talk, other = server.talk(bound=True), server.talk()
    talk.longest = 0.0
    talk.begin(pdu.message(2, pdu.search(BASE, 2, encode(read_filter(text)), ("cn",))))
    assert is_answered(other)
    talk.settle()
    assert talk.replies[-1].code in ENDED
    in_a_moment(talk.longest, other.longest)
