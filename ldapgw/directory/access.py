# SPDX-License-Identifier: MIT
"""What the directory has to know of a tenant: where its tree hangs, and how its numbers and names are read.

Who is looking: what a login may see of the directory.

Named tuples, which are compared and hashed fast: what was worked out for a viewer is found by it at each search.

A phone's password: made by us, kept as a hash, compared in constant time.

The password is random and has 100 bits, so nobody can try all of them, and a slow hash (scrypt, Argon2) would only
make phones wait: they bind anew for each search.  One salted SHA-256 is as safe here and takes microseconds
(``docs/decisions/0006-phone-passwords.rst``).
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from ldapgw.directory.dn import Dn
from ldapgw.numbers.phone_number import NumberFormat


@dataclass(frozen=True, slots=True)
class NamingContext:
    """A tenant as the directory sees it (RFC 4512 5.1 calls the root of a tree a naming context).

    :ivar name: the tenant's name, by which a viewer's access is granted.
    :ivar region: the country of numbers without one (ISO 3166-1).
    :ivar outside_line: digits dialled for an outside line.
    :ivar lenient: matching as a person expects it; otherwise as RFC 4517 says.
    """

    name: str
    title: str
    base: Dn
    region: str
    outside_line: str
    number_format: NumberFormat
    lenient: bool


# The root DSE and the subschema belong to no tenant, and are compared as the RFCs say.
ROOT = NamingContext("", "", Dn(), "", "", NumberFormat.E164, lenient=False)


def phone_dn(name: str, base: Dn) -> Dn:
    """The name that a phone binds with."""
    return base.child("ou", "phones").child("cn", name)


class Access(NamedTuple):
    """Access to one tenant: its shared books, its directory, and one book of one's own.

    :ivar tenant: the tenant's name.
    :ivar book: the key of the viewer's own book there; empty: none.
    """

    tenant: str
    book: str = ""


class Viewer(NamedTuple):
    """A login, or somebody without one.

    :ivar login: the DN of the phone, for "Who am I?" (RFC 4532); empty: anonymous.
    :ivar per_number: contacts are shown as one entry for each number.
    """

    login: str = ""
    access: tuple[Access, ...] = ()
    per_number: bool = False


# Sees the root DSE and the subschema alone.
NOBODY = Viewer()


# Crockford's base 32 in lower case: no i, l, o, u to be misread on a phone's display; 5 bits each.
CROCKFORD_BASE32 = "0123456789abcdefghjkmnpqrstvwxyz"
PASSWORD_LENGTH = 20

# What an unknown name is compared with, so that it takes the time of a known one.
UNKNOWN_LOGIN_HASH = "sha256$" + "0" * 32 + "$" + "0" * 64

RandomBytes = Callable[[int], bytes]


def generate_password(random: RandomBytes) -> str:
    """A new password of 100 random bits: letters and digits alone, because some phones take no others.

    :param random: returns as many random bytes as asked for, as `os.urandom` does.
    """
    return "".join(CROCKFORD_BASE32[byte & 31] for byte in random(PASSWORD_LENGTH))


def hash_password(password: str, random: RandomBytes) -> str:
    """The form in which the store keeps a password: ``sha256$salt$digest``, both in hex."""
    salt = random(16)
    return f"sha256${salt.hex()}${_password_digest(salt, password.encode())}"


def verify_password(password: bytes, stored: str) -> bool:
    """Whether a password is the one that was hashed, in time that does not depend on how much of it is right."""
    _, salt, digest = stored.split("$")
    return hmac.compare_digest(_password_digest(bytes.fromhex(salt), password), digest)


def _password_digest(salt: bytes, password: bytes) -> str:
    return hashlib.sha256(salt + password).hexdigest()
