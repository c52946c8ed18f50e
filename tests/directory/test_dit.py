# SPDX-License-Identifier: MIT
"""Directories: their books and root DSEs."""

from __future__ import annotations

from dataclasses import replace

from ldapgw.contact import Sharing
from ldapgw.directory.access import NOBODY, Access, Viewer
from ldapgw.directory.book import build_book
from ldapgw.directory.dit import Directory, Dit
from ldapgw.directory.dn import Dn
from ldapgw.directory.special_entries import Features
from tests.support.phonebook import BASE, naming_context

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
