# SPDX-License-Identifier: MIT
"""One look finds what the walk finds, on however many shelves a book is."""

from __future__ import annotations

import pytest

from ldapgw.contact import Contact, Sharing
from ldapgw.directory.access import Access, Viewer
from ldapgw.directory.book import build_book, revise
from ldapgw.directory.dit import Directory, Dit
from ldapgw.directory.filter import Scope, SearchRequest, Substrings
from ldapgw.directory.filter_matcher import prepare
from ldapgw.directory.search import Glance, regions, search
from ldapgw.errors import DirectoryError
from ldapgw.ldap.encoder import features
from tests.directory.phonebook import BASE, naming_context

CONTEXT = naming_context()
VIEWER = Viewer("cn=desk1", (Access(CONTEXT.name, "alice"),))


@pytest.fixture(name="dit", scope="module")
def _dit() -> Dit:
    """A book of which some have changed: two shelves."""
    people = [Contact(f"c{at}", name=f"{'Anna' if at % 2 else 'Bo'} {at:03}") for at in range(300)]
    book = build_book(CONTEXT, "alice", "alice@acme.example", Sharing.PRIVATE, people, {}, per_number=False)
    changed = [Contact(f"c{at}", name=f"Cem {at:03}") for at in range(0, 20, 5)]
    revised = revise(book, CONTEXT, [*changed, Contact("new", name="Anna neu")], ["c7"], {})
    assert revised is not None
    assert len(revised.shelves.contacts) == 2
    directory = Directory(CONTEXT, (revised,))
    directory.unite(None)
    return Dit((directory,), features(tls=False))


@pytest.mark.parametrize("limit", [1, 50, 100, 200])
@pytest.mark.parametrize("asked", ["bo", "cem", "anna", "nobody"])
def test_a_revised_book_is_seen_as_it_is_walked(dit: Dit, asked: str, limit: int) -> None:
    """On the shelf of what has changed, on the other, on both, on none."""
    request = SearchRequest(BASE, Scope.WHOLE_SUBTREE, Substrings("cn", asked.encode(), (), None), size_limit=limit)
    walked, more = [], False
    try:
        for entry in search(dit, VIEWER, request):
            walked += [entry] if entry else []
    except DirectoryError:
        more = True
    [region] = regions(dit, VIEWER, BASE, Scope.WHOLE_SUBTREE)
    seen = Glance(region).look(prepare(request.filter, region.context), limit)
    if seen is None:
        assert limit > 50
    else:
        assert [shelf.entries[position] for shelf, positions in seen.rows for position in positions] == walked
        assert seen.more is more


@pytest.mark.parametrize("limit", [2, 50])
def test_the_same_person_in_two_books_is_seen_once(limit: int) -> None:
    """The one in the viewer's own book; no further than the limit asks for."""
    own = [Contact("a", name="Aa 0"), Contact("b", name="Aa 1"), Contact("c0", name="Anna 000")]
    shared = [Contact(f"c{at}", name=f"Anna {at:03}") for at in range(9)]
    books = [
        build_book(CONTEXT, "alice", "alice@acme.example", Sharing.PRIVATE, own, {}, per_number=False),
        build_book(CONTEXT, "bob", "bob@acme.example", Sharing.SHARED, shared, {}, per_number=False),
    ]
    directory = Directory(CONTEXT, tuple(books))
    directory.unite(None)
    dit = Dit((directory,), features(tls=False))
    [region] = regions(dit, VIEWER, BASE, Scope.WHOLE_SUBTREE)
    seen = Glance(region).look(prepare(Substrings("cn", b"a", (), None), CONTEXT), limit)
    assert seen is not None
    found = [shelf.entries[position].attribute("cn")[0] for shelf, positions in seen.rows for position in positions]
    assert found == [b"Aa 0", b"Aa 1", b"Anna 000", *(b"Anna %03d" % at for at in range(1, 9))][:limit]
    assert seen.more is (limit < 11)
