# SPDX-License-Identifier: MIT
"""jpegPhoto (RFC 2798 2.6): returned where a search names it, and never compared."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ldapgw.directory.access import Viewer
from ldapgw.directory.book import build_book
from ldapgw.directory.dit import Dit
from ldapgw.directory.entry import PLACEHOLDER_ID, Selection
from ldapgw.directory.search import compare
from ldapgw.errors import ResultCode
from tests.support.phonebook import BASE
from tests.support.phonebook.entries import answer
from tests.support.phonebook.trees import (
    ADA,
    ALICE,
    BEN,
    CALLERS,
    CONTEXT,
    NUMBERS,
    PHONE,
    PRIVATE,
    dit_of,
    entries_found,
)
from tests.support.photo import jpeg
from tests.support.results import refused

PHOTO = jpeg()
LABELS = {"contactGroups/1": "Suppliers"}


def tree(photo: bytes = PHOTO, *, photos: bool = True, lenient: bool = True) -> Dit:
    """Ada has a photo, Ben has none; Cleo's, who has one too, is in a book for callers' names."""
    context = replace(CONTEXT, photos=photos, lenient=lenient)
    cleo = replace(BEN, uid="k1", name="Cleo", photo=photo)
    books = (
        build_book(context, "a", "alice", PRIVATE, [replace(ADA, photo=photo), BEN], LABELS, per_number=True),
        build_book(context, "c", "carol", CALLERS, [cleo], {}, per_number=True),
    )
    return dit_of(*books, context=context)


def found(dit: Dit, text: str, base: str = BASE, viewer: Viewer = PHONE) -> dict[str, bytes]:
    """The name of each contact that is found, with its photo."""
    entries = entries_found(dit, viewer, text, base)
    return {
        entry.attribute("cn")[0].decode(): b"".join(answer(entry, "jpegPhoto").get("jpegPhoto", []))
        for entry in entries
    }


@pytest.mark.parametrize("names", [("jpegPhoto",), ("JPEGPHOTO",), ("0.9.2342.19200300.100.1.60",), ("*", "jpegphoto")])
def test_who_names_it_gets_it(names: tuple[str, ...]) -> None:
    [entry] = entries_found(tree(), PHONE, "(uid=c1)", ALICE)
    returned = answer(entry, *names)
    assert returned[names[-1]] == [PHOTO]
    assert ("cn" in returned) == ("*" in names)
    assert answer(entry, *names, types_only=True)[names[-1]] == []


@pytest.mark.parametrize("names", [(), ("*",), ("+",), ("*", "+"), ("@inetOrgPerson",), ("cn",)])
def test_nobody_else_gets_it(names: tuple[str, ...]) -> None:
    """It is larger than all else together."""
    [entry] = entries_found(tree(), PHONE, "(uid=c1)", ALICE)
    assert "jpegPhoto" not in answer(entry, *names)


def test_entries_of_labels_and_numbers_have_it_too() -> None:
    assert found(tree(), "(uid=c1)", f"ou=Suppliers,{ALICE}") == {"Ada Ärmel": PHOTO}
    assert found(tree(), "(uid=c1-*)", viewer=NUMBERS) == {"Ada Ärmel (work)": PHOTO, "Ada Ärmel (mobile)": PHOTO}


def test_a_tenant_without_photos() -> None:
    """Stored photos are not served."""
    assert found(tree(photos=False), "(uid=c1)", ALICE) == {"Ada Ärmel": b""}
    assert found(tree(photos=False), "(jpegPhoto=*)") == {}


def test_who_calls_has_a_name_alone() -> None:
    """Of a book for callers' names."""
    number = "(telephoneNumber=030 7654321)"
    assert found(tree(), number) == {"Ben Alt": b"", "Cleo": b""}
    assert found(tree(), f"(&{number}(jpegPhoto=*))") == {}


@pytest.mark.parametrize("lenient", [True, False])
@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("(jpegPhoto=*)", ["Ada Ärmel"]),
        ("(&(objectClass=person)(!(jpegPhoto=*)))", ["Ben Alt"]),
        ("(jpegPhoto=a)", []),
        ("(!(jpegPhoto=a))", []),
        ("(jpegPhoto=a*)", []),
        ("(!(jpegPhoto=a*))", []),
        ("(!(jpegPhoto>=a))", []),
        ("(!(jpegPhoto~=a))", []),
        ("(!(jpegPhoto:dn:=a))", []),
        ("(!(jpegPhoto:caseIgnoreMatch:=a))", []),
    ],
)
def test_it_is_there_or_not(text: str, names: list[str], *, lenient: bool) -> None:
    """RFC 2798 gives it no matching rule: whatever compares it is Undefined (RFC 4511 4.5.1.7)."""
    assert list(found(tree(lenient=lenient), text, ALICE)) == names


def test_compare_is_refused() -> None:
    with refused(ResultCode.INVALID_ATTRIBUTE_SYNTAX):
        compare(tree(), PHONE, f"uid=c1,{ALICE}", "jpegPhoto", PHOTO)


def test_octets_that_no_answer_can_hold() -> None:
    """The entry goes without its photo."""
    assert found(tree(PHOTO + PLACEHOLDER_ID), "(uid=c1)", ALICE) == {"Ada Ärmel": b""}


def test_answers_with_photos_are_not_kept() -> None:
    """They would need as much memory as the photos again (`tests.ldap.test_search_response` has pages)."""
    dit = tree()
    [segment] = dit.directories[0].books[0].segments.contacts
    selection = Selection.parse(("cn", "jpegPhoto"))
    first, _ = segment.messages([0], selection)
    for _ in range(3):
        again, is_plain = segment.messages([0], selection)
        assert again == first
        assert again[0] is not first[0]
        assert not is_plain
    assert PHOTO in first[0]
