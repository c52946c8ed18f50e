# SPDX-License-Identifier: MIT
"""A phone's password."""

from __future__ import annotations

import os

from ldapgw import credential


def test_a_password_has_100_random_bits() -> None:
    """Each of its 20 signs is one of 32, all equally likely, and all can be typed on any phone."""
    assert len(set(credential.ALPHABET)) == 32
    assert credential.generate(lambda count: bytes(range(count))) == credential.ALPHABET[:20]
    assert credential.generate(lambda count: bytes(range(236, 236 + count))) == credential.ALPHABET[12:]
    assert len({credential.generate(os.urandom) for _ in range(100)}) == 100


def test_a_password_is_known_by_its_hash_alone() -> None:
    """Two hashes of one password differ by their salt."""
    first, second = (credential.hash_password("hush", os.urandom) for _ in range(2))
    assert first != second
    assert "hush" not in first
    assert [credential.verify(b"hush", stored) for stored in (first, second)] == [True, True]
    assert not credential.verify(b"hush ", first)
    assert not credential.verify(b"", first)


def test_nobody_has_no_password() -> None:
    """What an unknown name is compared with fits none."""
    assert not credential.verify(b"", credential.NOBODY)
    assert not credential.verify(b"\x00" * 16, credential.NOBODY)
