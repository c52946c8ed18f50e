# SPDX-License-Identifier: MIT
"""What the directory has for phones and PBXs that ask over HTTP: the number that was found, and secret addresses."""

from __future__ import annotations

import pytest

from ldapgw.directory.access import Access, Viewer
from ldapgw.directory.caller_id import matching_numbers
from ldapgw.directory.catalog import Catalog, PhoneAccess, Snapshot
from ldapgw.directory.filter import SearchRequest
from ldapgw.directory.filter_matcher import prepare
from ldapgw.directory.naming_context import phone_dn
from ldapgw.directory.passwords import hash_password
from tests.support.filter_text import read_filter
from tests.support.phonebook.trees import ALICE, CONTEXT, PHONE, SINGLE_LEVEL, TREE, all_matches

SECRET = "k8m2v5x7c4b9n3q6w1et"


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("(telephoneNumber=030 1234567)", {"telephoneNumber": ("+49301234567",)}),
        ("(telephoneNumber=0171 2345678)", {"mobile": ("+491712345678",)}),
        ("(|(mobile=+49307654321)(homePhone=+49301234567))", {"telephoneNumber": ("+49301234567",)}),
        ("(telephoneNumber=+49309999999)", {}),
        ("(cn=Ada*)", {}),
    ],
)
def test_the_number_that_was_found(text: str, numbers: dict[str, tuple[str, ...]]) -> None:
    """Whatever kind of number it is, as phones get it; none for another number, and for no number."""
    request = SearchRequest(ALICE, SINGLE_LEVEL, read_filter("(cn=Ada*)"))
    [match] = all_matches(TREE, PHONE, request)
    prepared = prepare(read_filter(text), CONTEXT)
    assert matching_numbers(match.entry, prepared.numbers) == numbers


def phone(name: str, secret: str) -> PhoneAccess:
    dn = phone_dn(name, CONTEXT.base)
    hashed = secret and hash_password(secret, bytes)
    return PhoneAccess(name, dn, hash_password("password", bytes), Viewer(str(dn), (Access("acme", "a"),)), hashed)


@pytest.mark.parametrize(
    ("secret", "name"),
    [
        (f"desk.1.{SECRET}", "desk.1"),
        (f"DESK.1.{SECRET}", "desk.1"),
        (f"desk.1.{SECRET[:-1]}", None),
        ("desk.1.password", None),
        (f"hall.{SECRET}", None),
        ("hall.", None),
        (f"nobody.{SECRET}", None),
        (SECRET, None),
        ("", None),
    ],
)
def test_secret_addresses(secret: str, name: str | None) -> None:
    """The name of a phone that has one, and its secret; whoever comes by it has been seen."""
    logins = {one.name: one for one in (phone("desk.1", SECRET), phone("hall", ""))}
    catalog = Catalog(Snapshot(TREE, logins, loaded=True), {}, lambda: 7.0)
    assert catalog.authenticate_secret(secret, "192.0.2.1") == (logins[name].viewer if name else None)
    assert catalog.take_seen_phones() == ({name: ("192.0.2.1", logins[name].password_hash, 7.0)} if name else {})
    assert SECRET not in repr(logins)
