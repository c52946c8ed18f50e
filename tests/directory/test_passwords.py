# SPDX-License-Identifier: MIT
"""A phone's password."""

from __future__ import annotations

import base64
import hashlib
import os

from ldapgw.directory.dn import Dn
from ldapgw.directory.naming_context import phone_dn, replica_dn
from ldapgw.directory.passwords import (
    CROCKFORD_BASE32,
    UNKNOWN_LOGIN_HASH,
    generate_password,
    hash_password,
    ldap_password,
    make_password,
    verify_password,
)


def test_a_password_has_100_random_bits() -> None:
    """Each of its 20 signs is one of 32, all equally likely, and all can be typed on any phone."""
    assert len(set(CROCKFORD_BASE32)) == 32
    assert generate_password(lambda count: bytes(range(count))) == CROCKFORD_BASE32[:20]
    assert generate_password(lambda count: bytes(range(236, 236 + count))) == CROCKFORD_BASE32[12:]
    assert len({generate_password(os.urandom) for _ in range(100)}) == 100


def test_a_password_is_known_by_its_hash_alone() -> None:
    """Two hashes of one password differ by their salt."""
    first, second = (hash_password("hush", os.urandom) for _ in range(2))
    assert first != second
    assert "hush" not in first
    assert [verify_password(b"hush", stored) for stored in (first, second)] == [True, True]
    assert not verify_password(b"hush ", first)
    password, stored = make_password(os.urandom)
    assert verify_password(password.encode(), stored)
    assert not verify_password(b"", first)


def test_nobody_has_no_password() -> None:
    """The hash for unknown names fits no password."""
    assert not verify_password(b"", UNKNOWN_LOGIN_HASH)
    assert not verify_password(b"\x00" * 16, UNKNOWN_LOGIN_HASH)


def test_where_phones_and_replicas_bind() -> None:
    """Below the tenant, among its phones or replicas."""
    assert str(replica_dn("branch1", Dn.parse("dc=acme"))) == "cn=branch1,ou=replicas,dc=acme"
    assert str(phone_dn("desk1", Dn.parse("dc=acme,dc=example"))) == "cn=desk1,ou=phones,dc=acme,dc=example"


def test_hashes_for_other_servers() -> None:
    """RFC 3112's SSHA has the digest before the salt."""
    stored = hash_password("hush", lambda count: b"\x01" * count)
    told = ldap_password(stored)
    assert told.startswith(b"{SSHA256}")
    octets = base64.b64decode(told.removeprefix(b"{SSHA256}"))
    assert octets == hashlib.sha256(b"hush" + b"\x01" * 16).digest() + b"\x01" * 16
