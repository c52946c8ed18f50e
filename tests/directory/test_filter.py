# SPDX-License-Identifier: MIT
"""A filter is prepared at a bounded cost, and is written as text."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import replace

import phonenumbers
import pytest

from ldapgw.directory import name_folding, transliteration
from ldapgw.directory.filter import (
    And,
    Equality,
    Extensible,
    Filter,
    GreaterOrEqual,
    LessOrEqual,
    Not,
    Or,
    Present,
    Scope,
    SearchKind,
    SearchRequest,
    Substrings,
    estimated_cost,
    search_kind,
    to_string,
)
from ldapgw.directory.filter_matcher import prepare
from ldapgw.ldap.limits import FILTER_EFFORT, FILTER_OCTETS, FILTER_TERMS
from ldapgw.numbers import numbering_plan, phone_number
from tests.support import work
from tests.support.filter_text import encode, read_filter
from tests.support.phonebook import CASES
from tests.support.phonebook.wire import CONTEXT

# Calls of functions, Python's and C's, while a filter is made ready; the costliest ones take 2 to 7 ms.
WORK = 120_000

WIDE = ("cn", "sn", "givenName", "displayName", "o", "ou", "title", "mail", "street", "l", "st", "postalAddress",
        "telephoneNumber", "mobile", "homePhone", "pager", "fax")  # fmt: skip

COUNTRIES = tuple(phonenumbers.COUNTRY_CODE_TO_REGION_CODE)

# The caches of results that all searches share.
SHARED_RESULTS = (
    *(name_folding.letter_variants, numbering_plan.in_area_of),
    *(phone_number._readings, phone_number._prefix_forms),
)


def digits(at: int, length: int) -> str:
    """Always others."""
    return f"{(at * 7919 + 1_234_567) % 10**length:0{length}}"


def equal(attribute: str, value: Callable[[int], str]) -> Callable[[int], Filter]:
    return lambda at: Equality(attribute, value(at).encode())


def parts(attribute: str, value: Callable[[int], str]) -> Callable[[int], Filter]:
    return lambda at: Substrings(attribute, None, tuple(value(at * 8 + part).encode() for part in range(8)), None)


def begin(attribute: str, value: Callable[[int], str]) -> Callable[[int], Filter]:
    return lambda at: Substrings(attribute, value(at).encode(), (), None)


COSTLY = {
    "one sign that is a phrase": equal("cn", lambda at: f"\ufdfa{at}"),
    "many of them": equal("cn", lambda at: "\ufdfa" * 60 + str(at)),
    "of all names": equal("name", lambda at: f"\ufdfa{at}"),
    "in parts": parts("cn", lambda at: f"\ufdfa{at}"),
    "of an order": lambda at: GreaterOrEqual("cn", f"\ufdfa{at}".encode()),
    "accents": equal("cn", lambda at: "e\u0301" * 20 + str(at)),
    "Greek": equal("sn", lambda at: "\u1f80\u1fb7" * 5 + str(at)),
    "Cyrillic": equal("sn", lambda at: chr(0x430 + at % 32) * 8 + str(at)),
    "Han": equal("sn", lambda at: chr(0x4E00 + at) * 8),
    "Hangul": equal("sn", lambda at: chr(0xAC00 + at) * 8),
    "one long text": equal("cn", lambda at: "\ufdfa" * 1000),
    "one long row of marks": equal("uid", lambda at: "a" + "\u0301\u0316" * 900),
    "several words": begin("cn", lambda at: f"a{at} b c d e f g h"),
    "several Cyrillic words": begin("cn", lambda at: f"я{at} ю э ь ы ъ щ ш"),
    "more words than that": begin("cn", lambda at: f"a{at} " * 40),
    "letters on a keypad": equal("cn", lambda at: digits(at, 5)),
    "words on a keypad": begin("cn", lambda at: "0".join(digits(at, 4) for _ in range(6))),
    "many letters on a keypad": equal("cn", lambda at: digits(at, 32)),
    "in all names": equal("name", lambda at: digits(at, 5)),
    "letters in parts": parts("cn", lambda at: digits(at, 3)),
    "more digits than that": equal("cn", lambda at: digits(at, 33)),
    "numbers": equal("mobile", lambda at: "4930" + digits(at, 8)),
    "numbers of all countries": equal("mobile", lambda at: f"+{COUNTRIES[at % 215]}{digits(at, 9)}"),
    "the same without a plus": equal("mobile", lambda at: f"{COUNTRIES[at % 215]}{digits(at, 9)}"),
    "with an extension": equal("mobile", lambda at: f"4930{digits(at, 8)} durchwahl 12"),
    "with a remark": equal("mobile", lambda at: f"4930{digits(at, 8)} a(b)"),
    "long numbers": equal("mobile", lambda at: " 4(9)3-0 " * 6 + digits(at, 8)),
    "ends of numbers": lambda at: Substrings("mobile", None, (), digits(at, 12).encode()),
    "beginnings of numbers": lambda at: Substrings("mobile", digits(at, 7).encode(), (), None),
    "any attribute": lambda at: Extensible("caseIgnoreMatch", None, str(at).encode()),
    "any number": lambda at: Extensible("telephoneNumberMatch", None, digits(at, 8).encode()),
    "of the name too": lambda at: Extensible(None, "cn", f"\ufdfa{at}".encode(), dn_attributes=True),
    "names of entries": equal("entryDN", lambda at: f"cn={at}" + ",c=x" * 40),
    "presence": lambda at: Present("cn"),
    "presence of all names": lambda at: Present("name"),
    "words": equal("sn", lambda at: f"a{at}"),
    "words of all names": equal("name", lambda at: f"a{at}"),
    "a deep tree": lambda at: Not(Not(Not(And((Equality("cn", f"a{at}".encode()), LessOrEqual("sn", b"z")))))),
}


def fullest(term: Callable[[int], Filter]) -> Or:
    """As many terms as are accepted."""
    terms = tuple(map(term, range(FILTER_TERMS - 1)))

    def is_too_much(length: int) -> bool:
        sought = Or(terms[:length])
        return estimated_cost(sought) > FILTER_EFFORT or len(encode(sought)) > FILTER_OCTETS

    return Or(terms[: bisect_left(range(len(terms)), x=True, lo=1, key=is_too_much) - 1])


@pytest.fixture(scope="module", autouse=True)
def _loaded() -> None:
    """As the gateway does before it listens."""
    transliteration.load()
    phone_number.load()


@pytest.mark.parametrize("lenient", [True, False], ids=["lenient", "strict"])
@pytest.mark.parametrize("name", COSTLY)
def test_no_filter_takes_long_to_make_ready(name, lenient):
    """Of whatever is dear, only so much is accepted."""
    sought, context = fullest(COSTLY[name]), replace(CONTEXT, lenient=lenient)
    # The first number of a country compiles the country's patterns, which a process keeps to its end.
    prepare(sought, context)
    # Other searches displace these results, so each filter may have to find the results anew.
    for results in SHARED_RESULTS:
        results.cache_clear()
    re.purge()
    assert work.calls(lambda: prepare(sought, context)) < WORK


def test_a_filter_may_name_47_numbers():
    """The manual promises so many numbers, of whatever country."""
    assert [len(fullest(COSTLY[name]).terms) for name in ("numbers", "numbers of all countries")] == [47, 47]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_what_phones_ask_is_far_below_the_limit(case):
    """By a factor of twenty."""
    assert estimated_cost(read_filter(case["filter"])) * 20 < FILTER_EFFORT


@pytest.mark.parametrize(
    "text",
    [
        "".join(f"(mail=someone.{at}@example.com)" for at in range(100)),
        "".join(f"(cn=nobody {at})" for at in range(200)),
        "".join(f"({name}=*Мюллер*)" for name in WIDE * 2),
        "".join(f"({name}=+4930{at:07})" for at in range(40) for name in ("telephoneNumber", "mobile", "homePhone")),
    ],
    ids=["100 addresses", "200 names", "all that there is, in Cyrillic", "40 numbers in three attributes"],
)
def test_what_programs_may_ask(text):
    """A long list is one filter; what stands in it several times is read once."""
    sought = read_filter(f"(|{text})")
    assert estimated_cost(sought) <= FILTER_EFFORT


def test_what_is_not_known_costs_next_to_nothing():
    """It is Undefined, whatever it is asked for."""
    assert estimated_cost(read_filter("(&(nosuch=030*1234567)(nosuch:1.2.3:=x)(nosuch=*))")) == 3


@pytest.mark.parametrize(
    "text",
    [
        "(cn=Jörg Müller)",
        "(|(cn=mue*)(sn=*mue*ll*er)(!(o=*x)))",
        "(&)",
        "(&(objectClass=*)(sn>=o)(sn<=zz)(cn~=meier))",
        "(cn:dn:2.5.13.5:=x)",
        "(:caseExactMatch:=x)",
        r"(cn=\28\29\2a\5c\00)",
        "(telephoneNumber=+49 30 1234567)",
        "(cn=)",
        "(|(cn=a**b))",
    ],
)
def test_what_is_read_is_written(text: str) -> None:
    """As RFC 4515 writes it."""
    assert to_string(read_filter(text)) == text


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (b"M\xfcller", r"(cn=M\fcller)"),
        ("\u202etxt.exe".encode(), r"(cn=\e2\80\aetxt.exe)"),
        (b"a\nb\x1b", r"(cn=a\0ab\1b)"),
        ("田中".encode(), "(cn=田中)"),
        (b"<script>", "(cn=<script>)"),
        (b"\xff)", r"(cn=\ff\29)"),
    ],
    ids=["Latin-1", "turned", "control", "letters", "markup", "octets"],
)
def test_what_cannot_be_seen_is_escaped(value: bytes, shown: str) -> None:
    """And letters are not, whatever their script; markup is the page's care."""
    assert to_string(Equality("cn", value)) == shown


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("(cn=mue*)", SearchKind.NAME),
        ("(|(cn=mue*)(sn=mue*)(o=mue*))", SearchKind.NAME),
        ("(cn~=meier)", SearchKind.NAME),
        ("(nosuch=x)", SearchKind.NAME),
        ("(:caseExactMatch:=x)", SearchKind.NAME),
        ("(cn:dn:2.5.13.5:=x)", SearchKind.NAME),
        ("(|(cn=030*)(telephoneNumber=030*))", SearchKind.NAME),
        ("(&(telephoneNumber=*)(sn=gro*))", SearchKind.NAME),
        ("(telephoneNumber=+49 30 1234567)", SearchKind.NUMBER),
        ("(|(telephoneNumber=*1234567)(mobile=*1234567)(homePhone=*1234567))", SearchKind.NUMBER),
        ("(&(objectClass=person)(mobile=0171*))", SearchKind.NUMBER),
        ("(objectClass=*)", SearchKind.LIST),
        ("(&(objectClass=person)(telephoneNumber=*))", SearchKind.LIST),
        ("(&(sn>=o)(sn<=zz))", SearchKind.LIST),
        ("(&(objectClass=person)(!(cn=x)))", SearchKind.LIST),
        ("(&)", SearchKind.LIST),
    ],
)
def test_what_a_search_asks_for(text: str, kind: SearchKind) -> None:
    """Told by the form of the filter; of one entry alone it does not matter."""
    read = read_filter(text)
    assert search_kind(SearchRequest("", Scope.WHOLE_SUBTREE, read)) is kind
    assert search_kind(SearchRequest("", Scope.SINGLE_LEVEL, read)) is kind
    assert search_kind(SearchRequest("", Scope.BASE_OBJECT, read)) is SearchKind.ENTRY


def test_stars_alone_ask_for_everybody() -> None:
    """As phones send them before anything was typed."""
    empty = Substrings("cn", b"", (b"",), None)
    assert search_kind(SearchRequest("", Scope.WHOLE_SUBTREE, empty)) is SearchKind.LIST
