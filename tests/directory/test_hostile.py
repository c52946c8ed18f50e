# SPDX-License-Identifier: MIT
"""Contacts with hostile names: read as Google sends them, found by their names, and again by their DNs."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ldapgw.contact import Contact, Sharing, Source
from ldapgw.directory.access import Access, Viewer
from ldapgw.directory.book import build_book
from ldapgw.directory.dit import Dit
from ldapgw.directory.dn import Dn, escape
from ldapgw.directory.entry import Entry
from ldapgw.directory.filter import Equality, Filter, Present, Scope, SearchRequest, Substrings
from ldapgw.directory.search import search
from ldapgw.google.person import read_person
from ldapgw.google.person_text import clean
from tests.support import work
from tests.support.examples import examples
from tests.support.phonebook import BASE
from tests.support.phonebook.trees import CONTEXT, PHONE, dit_of

NUMBER = "+49301234567"

# DNs, filters, C programs and terminals take these signs for something else.
SIGNS = (
    ',+"\\<>;#=*()&|!~/\x00\x01\x1b\x7f\n\t \u00a0\u200b\u202e\u200f\u2066\ud83d\udc36\ufeff\u3164\ufdfa\u0301aÄ1\u738b'
)
MEGABYTE = 1_000_000
# The default of the setting ``max_message``.
LONGEST_MESSAGE = 65_536
MEGABYTES = [
    sign * (MEGABYTE // len(sign)) for sign in (*',+"\\<#= a\u00fc1\x00\ud800\u0301\ufdfa\u738b', "\\,", "a b", "-a")
]

NAMES = st.one_of(
    st.text(st.sampled_from(SIGNS), min_size=1, max_size=30),
    st.text(max_size=30),
    st.sampled_from(
        ["#04", " a ", "\\", "\\41", 'uid=c2,ou=x"', "=", "a=b+c=d", "..", "\ud83d", "*", "(cn=*)", "\x00x"]
    ),
)


def read(name: str) -> Contact | None:
    """A person with a name and a number, as a sync reads them."""
    person: dict[str, Any] = {
        "resourceName": "people/c1",
        "metadata": {"sources": [{"type": "CONTACT", "id": "1"}]},
        "names": [{"displayName": name, "familyName": name, "givenName": name}],
        "organizations": [{"name": name, "title": name, "department": name}],
        "phoneNumbers": [{"value": NUMBER}],
        "memberships": [{"contactGroupMembership": {"contactGroupResourceName": "contactGroups/1"}}],
    }
    return read_person(person, Source.CONTACTS, CONTEXT.region).contact


def tree(name: str, sharing: Sharing = Sharing.PRIVATE) -> Dit:
    """A book of that name with this person alone, under a label of that name too."""
    contact = read(name)
    shown = clean(name)
    contacts = [contact] if contact else []
    book = build_book(CONTEXT, "a", shown or "a", sharing, contacts, {"contactGroups/1": shown}, per_number=True)
    return dit_of(book)


def found(
    dit: Dit, base: str, sought: Filter, scope: Scope = Scope.WHOLE_SUBTREE, viewer: Viewer = PHONE
) -> list[Entry]:
    return [entry for entry in search(dit, viewer, SearchRequest(base, scope, sought, 0)) if entry]


def shown_in(entry: Entry) -> bytes:
    return entry.attribute("cn")[0]


@settings(max_examples=examples(200), deadline=None)
@given(NAMES)
@example(MEGABYTES[0])
@example(MEGABYTES[-1])
def test_a_hostile_name_is_found_and_read_back(name: str) -> None:
    """By all of it, by its beginning, by a part; then by the name of the entry, of its book and of its label."""
    dit = tree(name)
    (entry,) = found(dit, BASE, Present("cn"))
    octets = shown_in(entry)
    first = octets.decode()[0].encode()
    sought = [Equality("cn", octets), Substrings("cn", first, (), None), Substrings("cn", None, (octets,), None)]

    assert [[one.dn for one in found(dit, BASE, term)] for term in sought] == [[entry.dn]] * 3

    above = Dn.parse(entry.dn)
    assert str(above) == entry.dn
    while above.rdns != Dn.parse(BASE).rdns:
        (again,) = found(dit, str(above), Present("objectClass"), Scope.BASE_OBJECT)
        assert Dn.parse(again.dn).key == above.key
        above = above.parent()

    label = clean(name)
    if label:
        (again,) = found(dit, f"ou={escape(label)},{Dn.parse(entry.dn).parent()}", Present("cn"))
        assert Dn.parse(again.dn).rdns[0] == (("uid", "c1"),)


@settings(max_examples=examples(100), deadline=None)
@given(NAMES)
def test_a_hostile_callers_name_is_read_back(name: str) -> None:
    """The name is a part of the entry's own name."""
    stranger = Viewer("cn=desk2", (Access("acme", ("b",)),))
    (entry,) = found(tree(name, Sharing.CALLERS), BASE, Equality("telephoneNumber", NUMBER.encode()), viewer=stranger)

    (rdn, *above) = Dn.parse(entry.dn).rdns

    assert dict(rdn) == {"cn": shown_in(entry).decode(), "telephonenumber": NUMBER}
    assert tuple(above) == Dn.parse(BASE).rdns


@pytest.mark.parametrize("name", MEGABYTES, ids=lambda name: ascii(name[:2]))
def test_a_megabyte_costs_no_more_than_a_name(name: str) -> None:
    """To read it, to make its entries, and to look for it: whatever is in it, a beginning alone is worked on."""
    octets = name.encode("utf-8", "replace")[:LONGEST_MESSAGE]
    dit = tree("Ada")

    def ask_all() -> None:
        for attribute in ("cn", "o", "telephoneNumber", "mail", "uid"):
            found(dit, BASE, Equality(attribute, octets))
            found(dit, BASE, Substrings(attribute, octets, (octets,), octets))

    assert work.calls(lambda: tree(name)) < 200_000
    assert work.calls(ask_all) < 200_000
