# SPDX-License-Identifier: MIT
"""The requests of real phones over 47 awkward contacts find what a person would expect."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

from ldapgw.contact import Sharing
from ldapgw.directory.access import NOBODY
from ldapgw.directory.entry import Entry, Selection
from ldapgw.directory.filter import Scope, SearchRequest
from ldapgw.directory.search import search
from ldapgw.errors import DirectoryError
from tests.support.filter_text import read_filter
from tests.support.phonebook import BASE, BOOK, CASES, GUEST, PHONE, phonebook

# The directory cannot answer this request: a control picks the entries (tests/ldap/test_search_controls.py).
LATER = {"poly-vlv-value"}

# Cases whose entries are judged here, and their controls, binds or result controls on the wire.
WIRE = {
    "poly-le-page-up": "reverse sort",
    "poly-vlv-first": "virtual list view",
    "bria-paged": "paged results",
    "fanvil-sort-attr": "sort",
    "s-sort-name": "sort",
    "s-sort-unknown-attr": "sort, with a result code of its own",
    "snom-bare-username": "bind",
    "yealink-anonymous-bind-first": "bind",
}

SCOPES = {"base": Scope.BASE_OBJECT, "one": Scope.SINGLE_LEVEL, "sub": Scope.WHOLE_SUBTREE}
BASES = {
    "book": BOOK,
    "tenant": BASE,
    "empty": "",
    "other-tenant": "ou=book,dc=other,dc=example",
    "book-with-blanks-and-upper-case": "OU=Alice@acme.example , DC=ACME,  dc=Example",
}

JUDGED = [case for case in CASES if case["id"] not in LATER]
STRICT = [case for case in JUDGED if case["expectation"].startswith("strict")]


tree = cache(phonebook)


def ask(case: dict[str, Any], *, lenient: bool) -> tuple[list[Entry], int]:
    """The entries and the result code that a case's request gets, in a book that some cases open to strangers."""
    opened = case.get("requires", {}).get("anonymous_allowed", False)
    viewer = PHONE if case["bind"] != "anonymous" else GUEST if opened else NOBODY
    name = case["base"]
    base = f"uid={name.removeprefix('entry:')},{BOOK}" if name.startswith("entry:") else BASES[name]
    request = SearchRequest(base, SCOPES[case["scope"]], read_filter(case["filter"]), case["sizelimit"])
    found: list[Entry] = []
    try:
        dit = tree(lenient=lenient, sharing=Sharing.SHARED if opened else Sharing.PRIVATE)
        found.extend(entry for entry in search(dit, viewer, request) if entry)
    except DirectoryError as error:
        return found, error.code
    return found, 0


@pytest.mark.parametrize(
    ("case", "lenient"),
    [
        *(pytest.param(case, True, id=case["id"]) for case in JUDGED),
        # Promises of RFC 4517 hold with strict matching too.
        *(pytest.param(case, False, id=f"{case['id']}-strict") for case in STRICT),
    ],
)
def test_a_request_finds_what_a_person_expects(case: dict[str, Any], *, lenient: bool) -> None:
    """The answer has everything that the case says about it."""
    found, code = ask(case, lenient=lenient)
    uids = [entry.attribute("uid")[0].decode() for entry in found if entry.attribute("uid")]
    expected = case.get("expect", {})
    must = set(case["must_find"])

    assert must & set(uids) if case.get("any_of") else must <= set(uids)
    assert set(uids).isdisjoint(case["must_not_find"])
    allowed = expected.get("result_code_any") or [expected.get("result_code", expected.get("search_result", 0))]
    assert code in allowed
    assert len(found) == expected.get("entries", len(found))
    if "order" in expected:
        assert uids == expected["order"]
    encoded = [entry.encode(Selection.parse(tuple(case["attributes"])), types_only=bool(case.get("typesOnly")))
               for entry in found]  # fmt: skip
    assert all(name.encode() in each for name in expected.get("contains", ()) for each in encoded)
    if case.get("typesOnly"):
        assert all(value not in each for each in encoded for value in (b"Weber", b"+49"))
    if expected.get("root_dse"):
        assert [entry.dn for entry in found] == [""]
        assert found[0].attribute("namingContexts") == (BASE.encode(),)


def test_every_request_is_judged_or_listed() -> None:
    """Nothing is left out silently; a case with controls is judged by its entries and listed for the wire."""
    assert len(CASES) == 110
    assert {case["id"] for case in CASES if case["controls"]} == {*LATER, *WIRE} - {
        "snom-bare-username",
        "yealink-anonymous-bind-first",
    }
