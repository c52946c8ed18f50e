# SPDX-License-Identifier: MIT
"""The same contacts behind our wire and behind a real slapd: the same requests, the same answers.

Requests are made by hypothesis (`asked`); where we differ on purpose, `differences` says why.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import pytest
from hypothesis import HealthCheck, assume, given, settings

from ldapgw.directory.dn import Dn
from ldapgw.directory.filter import Filter, Present, Scope, SearchRequest
from ldapgw.directory.schema import attribute_type
from tests.ldap.differences import (
    DIFFERENCES,
    REQUEST_DIFFERENCES,
    Unasked,
    explains,
    is_hard,
    translated,
    translated_compare,
)
from tests.support import pdu, slapd
from tests.support.examples import examples
from tests.support.filter_text import encode, read_filter
from tests.support.phonebook.asked import Asked, held
from tests.support.phonebook.awkward import BASE, ldif
from tests.support.slapd import DIT, Gateway

pytestmark = pytest.mark.skipif(
    slapd.PROGRAM is None and "CI" not in os.environ, reason="needs slapd: sudo apt-get install slapd"
)

ASKED = Asked(held(DIT))

Ask = Callable[[bytes], list[pdu.Response]]
Name = tuple[frozenset[tuple[str, str]], ...]

few = settings(max_examples=examples(300), deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
many = settings(few, max_examples=examples(5000))


@dataclass(frozen=True)
class Outcome:
    """An answer is compared without its order and its spelling."""

    code: int | None
    matched: Name
    entries: dict[Name, dict[str, frozenset[object]]]


@pytest.fixture(name="theirs", scope="module")
def _theirs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ask]:
    with slapd.running(tmp_path_factory.mktemp("slapd"), BASE, ldif(DIT)) as server, server.connection() as connection:
        yield connection.ask


@pytest.fixture(name="ours", scope="module")
def _ours() -> Ask:
    return Gateway().ask


def name_of(dn: str) -> Name:
    """A DN in the form that all its writings share."""
    return Dn.parse(dn).key


def outcome(answers: list[pdu.Response]) -> Outcome:
    """Take an answer apart; an entry or attribute that comes twice fails the test."""
    entries: dict[Name, dict[str, frozenset[object]]] = {}
    for answer in answers[:-1]:
        found: dict[str, frozenset[object]] = {}
        for description, values in answer.attributes:
            kind = attribute_type(description)
            assert kind is not None, description
            assert kind.name not in found, description
            assert len(set(values)) == len(values)
            is_dn = kind.name in ("entryDN", "subschemaSubentry")
            found[kind.name] = frozenset(name_of(value.decode()) if is_dn else value for value in values)
        name = name_of(answer.dn)
        assert name not in entries, answer.dn
        entries[name] = found
    return Outcome(answers[-1].code, name_of(answers[-1].matched_dn), entries)


def wire(request: SearchRequest) -> bytes:
    return pdu.search(
        request.base,
        int(request.scope),
        encode(request.filter),
        request.attributes,
        size=request.size_limit,
        types_only=request.types_only,
    )


@pytest.fixture(name="hard", scope="module")
def _hard(ours: Ask) -> frozenset[Name]:
    """The entries with a sign that the two compare in two ways."""
    everything = outcome(ours(wire(SearchRequest(BASE, Scope.WHOLE_SUBTREE, Present("objectClass")))))
    return frozenset(
        name
        for name, attributes in everything.entries.items()
        for values in attributes.values()
        for value in values
        if isinstance(value, bytes) and is_hard(value.decode())
    )


def same(request: SearchRequest, ours: Ask, theirs: Ask, hard: frozenset[Name]) -> None:
    """Compare the two answers to one request."""
    try:
        asked = translated(request)
    except Unasked:
        assume(False)
    full, other = replace(request, size_limit=0), replace(asked, size_limit=0)
    found, expected = outcome(ours(wire(full))), outcome(theirs(wire(other)))
    differing = {
        name for name in found.entries | expected.entries if found.entries.get(name) != expected.entries.get(name)
    }
    assert (found.code, found.matched, differing - hard) == (expected.code, expected.matched, set()), (asked, differing)
    if request.size_limit:
        cut, expected_cut = outcome(ours(wire(request))), outcome(theirs(wire(asked)))
        assert cut.entries.items() <= found.entries.items()
        if not differing:
            assert (cut.code, len(cut.entries)) == (expected_cut.code, len(expected_cut.entries))


def same_compare(entry: str, attribute: str, value: bytes, ours: Ask, theirs: Ask, hard: frozenset[Name]) -> None:
    """Compare the two answers to a Compare request."""
    try:
        asked = translated_compare(attribute, value)
    except Unasked:
        assume(False)
    found = outcome(ours(pdu.compare(entry, attribute, value)))
    expected = outcome(theirs(pdu.compare(entry, asked.attribute, asked.value)))
    if (found.code, found.matched) != (expected.code, expected.matched) and not explains(found.code, expected.code):
        assert found.code in (5, 6), (found, expected)
        assert name_of(entry) in hard


def spelt_as_asked(request: SearchRequest, ours: Ask) -> None:
    """RFC 4511 leaves the spelling open; phones want their own."""
    asked: dict[str, str] = {}
    for name in request.attributes:
        kind = attribute_type(name)
        if kind is not None:
            asked.setdefault(kind.name, name)
    for answer in ours(wire(request))[:-1]:
        for description, _ in answer.attributes:
            kind = attribute_type(description)
            assert kind is not None
            assert description == asked.get(kind.name, kind.name)


@pytest.mark.no_cover
@few
@given(request=ASKED.requests())
def test_a_search_finds_what_slapd_finds(request: SearchRequest, ours: Ask, theirs: Ask, hard: frozenset[Name]) -> None:
    """Entries, attributes, values, result code and matched DN."""
    same(request, ours, theirs, hard)
    spelt_as_asked(request, ours)


@pytest.mark.soak
@many
@given(request=ASKED.requests())
def test_thousands_of_searches_find_what_slapd_finds(
    request: SearchRequest, ours: Ask, theirs: Ask, hard: frozenset[Name]
) -> None:
    """The same, for a machine that has the time."""
    same(request, ours, theirs, hard)
    spelt_as_asked(request, ours)


@pytest.mark.no_cover
@few
@given(filter_=ASKED.denied())
def test_undefined_is_undefined_to_both(filter_: Filter, ours: Ask, theirs: Ask, hard: frozenset[Name]) -> None:
    """Under a "not", False and Undefined come apart."""
    same(SearchRequest(BASE, Scope.WHOLE_SUBTREE, filter_, attributes=("1.1",)), ours, theirs, hard)


@pytest.mark.soak
@many
@given(filter_=ASKED.denied())
def test_thousands_are_undefined_to_both(filter_: Filter, ours: Ask, theirs: Ask, hard: frozenset[Name]) -> None:
    """The same, for a machine that has the time."""
    same(SearchRequest(BASE, Scope.WHOLE_SUBTREE, filter_, attributes=("1.1",)), ours, theirs, hard)


@few
@given(asked=ASKED.compares())
def test_compare_says_what_slapd_says(
    asked: tuple[str, str, bytes], ours: Ask, theirs: Ask, hard: frozenset[Name]
) -> None:
    """compareTrue, compareFalse, and the errors."""
    same_compare(*asked, ours, theirs, hard)


def test_the_ldif_is_served_as_it_was(ours: Ask, theirs: Ask) -> None:
    """Every entry, every attribute: user and operational, by either server."""
    request = wire(SearchRequest(BASE, Scope.WHOLE_SUBTREE, Present("objectClass"), attributes=("*", "+")))
    found, expected = outcome(ours(request)), outcome(theirs(request))
    assert found == expected
    assert len(found.entries) > 80


# --- the differences themselves --------------------------------------------------------------------------------------

# Difference: a filter, how many entries we find with it, and how many slapd does.
EXAMPLES = {
    "folding": ("(displayName=STRASSENBAU WEIß AG)", 1, 0),
    "unseen signs": ("(cn=\\1bca\\e2\\80\\8bfe)", 1, 0),
    "language": ("(!(cn;lang-de=x))", 0, 89),
    "facsimile": ("(fax=+49 \\280\\2930 90182-0199)", 1, 0),
    "labeledURI": ("(labeledURI=*example.org*)", 16, 0),
    "approximate": ("(cn~=Petra Clein)", 0, 1),
    "ordering": ("(sn>=x)", 17, 0),
    "structural object class": ("(structuralObjectClass=person)", 0, 86),
    "class name": ("(!(objectClass=device))", 0, 89),
    "unknown class": ("(!(objectClass=1.2.3))", 89, 0),
    "impossible names": ("(!(entryDN=nosuch=x))", 89, 0),
    "computed attributes": ("(:booleanMatch:=FALSE)", 86, 0),
    "UUID": ("(!(entryUUID:=00000000-0000-0000-0000-000000000000))", 89, 0),
    "substrings rule": ("(cn:caseIgnoreSubstringsMatch:=p*)", 5, 0),
    "definitions": ("(:objectIdentifierMatch:=person)", 86, 0),
    "lines": ("(postalAddress=*slash$1000*)", 0, 16),
    "letters in a number": ("(telephoneNumber=*flowers*)", 2, 0),
    "only blanks": ("(telephoneNumber=*-*)", 77, 0),
    "blanks at an end": ("(st=* NR*)", 8, 0),
    "country": ("(c:caseIgnoreIA5Match:=de)", 0, 8),
}

EVERYTHING = SearchRequest(BASE, Scope.WHOLE_SUBTREE, Present("objectClass"), attributes=("1.1",))
# Difference: a request, our result code and slapd's, how many entries we find and how many slapd does.
REQUEST_EXAMPLES = {
    "blank": (replace(EVERYTHING, base=" "), (0, 34), (89, 0)),
    "root": (replace(EVERYTHING, base="", scope=Scope.BASE_OBJECT, filter=Present("vendorName")), (0, 0), (1, 0)),
    "above all": (replace(EVERYTHING, base="", scope=Scope.SINGLE_LEVEL), (0, 0), (1, 2)),
    "impossible names": (replace(EVERYTHING, base="nosuch=x," + BASE), (32, 34), (0, 0)),
    "selection": (replace(EVERYTHING, attributes=("cn sn",)), (0, 0), (89, 89)),
}


def test_each_difference_is_shown() -> None:
    """The list holds nothing that is not so."""
    assert list(EXAMPLES) == [difference.name for difference in DIFFERENCES]
    assert list(REQUEST_EXAMPLES) == [difference.name for difference in REQUEST_DIFFERENCES]
    assert all(difference.reason for difference in (*DIFFERENCES, *REQUEST_DIFFERENCES))


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_difference_in_filters(name: str, ours: Ask, theirs: Ask) -> None:
    """It is one, and the list knows it."""
    text, found, expected = EXAMPLES[name]
    request = replace(EVERYTHING, filter=read_filter(text))
    assert (len(ours(wire(request))) - 1, len(theirs(wire(request))) - 1) == (found, expected)
    assert is_known(request, name)


@pytest.mark.parametrize("name", REQUEST_EXAMPLES)
def test_a_difference_in_requests(name: str, ours: Ask, theirs: Ask) -> None:
    """It is one, and the list knows it."""
    request, codes, counts = REQUEST_EXAMPLES[name]
    found, expected = ours(wire(request)), theirs(wire(request))
    assert (found[-1].code, expected[-1].code) == codes
    assert (len(found) - 1, len(expected) - 1) == counts
    assert is_known(request, name)


def is_known(request: SearchRequest, name: str) -> bool:
    """Return True if the reason makes slapd's request another one, or none."""
    try:
        return translated(request) != request
    except Unasked as difference:
        return str(difference) == name
