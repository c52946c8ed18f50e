# SPDX-License-Identifier: MIT
"""A phone's password: made by us, kept as a hash, compared in constant time.

The password is random and has 100 bits, so nobody can try all of them, and a slow hash (scrypt, Argon2) would only
make phones wait: they bind anew for each search.  One salted SHA-256 is as safe here and takes microseconds
(``docs/decisions/0006-phone-passwords.rst``).
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable

# Crockford's base 32 in lower case: no i, l, o, u to be misread on a phone's display; 5 bits each.
ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
LENGTH = 20

# What an unknown name is compared with, so that it takes the time of a known one.
NOBODY = "sha256$" + "0" * 32 + "$" + "0" * 64

RandomBytes = Callable[[int], bytes]


def generate(random: RandomBytes) -> str:
    """A new password of 100 random bits: letters and digits alone, because some phones take no others.

    :param random: returns as many random bytes as asked for, as `os.urandom` does.
    """
    return "".join(ALPHABET[byte & 31] for byte in random(LENGTH))


def hash_password(password: str, random: RandomBytes) -> str:
    """The form in which the store keeps a password: ``sha256$salt$digest``, both in hex."""
    salt = random(16)
    return f"sha256${salt.hex()}${_digest(salt, password.encode())}"


def verify(password: bytes, stored: str) -> bool:
    """Whether a password is the one that was hashed, in time that does not depend on how much of it is right."""
    _, salt, digest = stored.split("$")
    return hmac.compare_digest(_digest(bytes.fromhex(salt), password), digest)


def _digest(salt: bytes, password: bytes) -> str:
    return hashlib.sha256(salt + password).hexdigest()
