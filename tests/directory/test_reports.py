# SPDX-License-Identifier: MIT
"""Inputs that users of such software have reported in public find, or show, what is right.

``tests/data/reports.json`` has the persons as Google's People API returns them, and for each case the contacts that
answer a filter, or the values that an entry shows.  ``test_words.py`` has more cases of the kinds ``words``, ``keypad``
and ``keypad-native``.
"""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import pytest

from ldapgw.contact import Sharing, Source
from ldapgw.directory.access import Access, Viewer
from ldapgw.directory.book import build_book
from ldapgw.directory.dit import Dit
from ldapgw.directory.dn import Dn
from ldapgw.directory.entry import Entry
from ldapgw.directory.filter import Equality, Filter, Scope, SearchRequest
from ldapgw.directory.naming_context import NamingContext
from ldapgw.directory.search import search
from ldapgw.google.person import read_person
from ldapgw.numbers.phone_number import NumberFormat
from tests.support.checkout import ROOT
from tests.support.filter_text import read_filter
from tests.support.phonebook.trees import dit_of

DATA: dict[str, Any] = json.loads((ROOT / "tests" / "data" / "reports.json").read_text())

# The area code of the German company in the cases of the kind ``no-area-code``.
AREA_CODES = {"de": "741"}


@cache
def tree(tenant: str) -> Dit:
    """The tree of a tenant, with one book of all its contacts."""
    settings = DATA["tenants"][tenant]
    context = NamingContext(
        tenant,
        tenant,
        Dn.parse(f"dc={tenant}"),
        settings["region"],
        settings.get("outside_line", ""),
        NumberFormat.E164,
        lenient=True,
        switchboard=True,
        area_code=AREA_CODES.get(tenant, ""),
    )
    persons = DATA["contacts"].get(tenant, {}).items()
    sources = ({"resourceName": f"people/{key}", **person} for key, person in persons)
    contacts = [read_person(person, Source.CONTACTS, settings["region"]).contact for person in sources]
    found = [contact for contact in contacts if contact is not None]
    book = build_book(context, "alice", "alice@acme.example", Sharing.PRIVATE, found, {}, per_number=False)
    return dit_of(book, context=context)


def contacts_found(tenant: str, sought: Filter) -> list[Entry]:
    request = SearchRequest(f"dc={tenant}", Scope.WHOLE_SUBTREE, sought)
    viewer = Viewer("cn=desk1", (Access(tenant, ("alice",)),))
    return [entry for entry in search(tree(tenant), viewer, request) if entry is not None and entry.uid]


@pytest.mark.parametrize("case", DATA["cases"], ids=lambda case: case["id"])
def test_a_reported_input_finds_or_shows_what_is_right(case: dict[str, Any]) -> None:
    if "filter" in case:
        found = contacts_found(case["tenant"], read_filter(case["filter"]))
        assert {entry.uid.decode() for entry in found} == {*case["finds"]}
    else:
        [entry] = contacts_found(case["tenant"], Equality("uid", case["contact"].encode()))
        assert [value.decode() for value in entry.attribute(case["attribute"])] == case["values"]
