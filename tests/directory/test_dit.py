# SPDX-License-Identifier: MIT
"""Directories: their books and root DSEs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ldapgw.contact import Contact, Sharing
from ldapgw.directory.access import NOBODY, Access, Viewer
from ldapgw.directory.book import DIRECTORY, build_book
from ldapgw.directory.dit import Directory, Dit
from ldapgw.directory.dn import Dn
from ldapgw.directory.filter import Present, Scope, SearchRequest
from ldapgw.directory.special_entries import Features
from ldapgw.errors import DirectoryError, ResultCode
from tests.support.phonebook import BASE, naming_context
from tests.support.phonebook.trees import all_matches

CONTEXT = naming_context()
OTHER = replace(CONTEXT, name="other", base=Dn.parse("ou=x,o=Other"))


def test_the_root_dse_is_worked_out_once() -> None:
    """For each part of the tree that is the viewer's own, and once more for connections without TLS."""
    served = Dit((Directory(CONTEXT), Directory(OTHER)), Features("1.2", sasl_mechanisms=("PLAIN",)))
    acme, other = Viewer(access=(Access("acme"),)), Viewer(access=(Access("other"),))

    assert served.root_dse(acme) is served.root_dse(Viewer("cn=x", acme.access))
    assert served.root_dse(acme).attribute("defaultNamingContext") == (BASE.encode(),)
    assert served.root_dse(other).attribute("defaultNamingContext") == (b"ou=x,o=Other",)
    assert served.root_dse(NOBODY).attribute("defaultNamingContext") == ()
    assert served.in_clear is served.in_clear
    assert served.in_clear.in_clear is served.in_clear
    assert served.in_clear.root_dse(acme).attribute("supportedSASLMechanisms") == ()
    assert served.root_dse(acme).attribute("supportedSASLMechanisms") == (b"PLAIN",)


SALES, STAFF, GONE = (Sharing(f"group:{name}") for name in ("sales", "staff", "gone"))
GROUPS = {
    "sales": frozenset({"alice@acme.example", "bob@acme.example", "nobody@acme.example"}),
    "staff": frozenset({"bob@acme.example"}),
}


@pytest.mark.parametrize(
    ("own", "seen"),
    [
        ("alice", ["alice", "dora", "directory"]),
        ("bob", ["bob", "dora", "erin", "directory"]),
        ("carol", ["carol", "directory"]),
        ("dora", ["dora", "directory"]),
        ("fred", ["fred", "directory"]),
        ("nobody", ["directory"]),
        ("", ["directory"]),
    ],
)
def test_books_that_a_group_sees(own: str, seen: list[str]) -> None:
    """Its accounts' phones see them in every way, their owners as always, and nobody else; a group may be gone."""
    sharing = {"alice": SALES, "bob": STAFF, "carol": Sharing.PRIVATE, "dora": SALES, "erin": STAFF, "fred": GONE}
    context = replace(CONTEXT, groups=GROUPS)
    books = [
        build_book(context, key, f"{key}@acme.example", how, [Contact("c1", name=f"Ada {key}")], {}, per_number=False)
        for key, how in sharing.items()
    ]
    books.append(build_book(context, DIRECTORY, DIRECTORY, Sharing.SHARED, [], {}, per_number=False))
    seen = [*seen, *(["alice"] if own == "bob" else [])]
    directory = Directory(context, tuple(books))
    dit, viewer = Dit((directory,), Features("1")), Viewer("cn=desk", (Access("acme", own),))
    assert {book.key for book in directory.visible_books(viewer.access[0])} == set(seen)
    request = SearchRequest(BASE, Scope.WHOLE_SUBTREE, Present("cn"))
    found = [match.entry.attribute("cn")[0].decode() for match in all_matches(dit, viewer, request)]
    assert found == sorted(f"Ada {key}" for key in seen if key != DIRECTORY)
    for key in sharing:
        base = f"ou={key}@acme.example,{BASE}"
        if key in seen:
            assert len(all_matches(dit, viewer, replace(request, base=base))) == 1
        else:
            with pytest.raises(DirectoryError) as caught:
                all_matches(dit, viewer, replace(request, base=base))
            assert (caught.value.code, caught.value.matched_dn) == (ResultCode.NO_SUCH_OBJECT, BASE)


def test_books_that_tell_a_callers_name() -> None:
    """Other people's, where they have said so."""
    books = tuple(
        build_book(CONTEXT, key, key, sharing, [], {}, per_number=False)
        for key, sharing in (
            ("a", Sharing.CALLERS),
            ("b", Sharing.CALLERS),
            ("c", Sharing.PRIVATE),
            ("d", Sharing.SHARED),
        )
    )
    found = Directory(CONTEXT, books).caller_id_books(Access("acme", "a"))
    assert [book.key for book in found] == ["b"]
