# SPDX-License-Identifier: MIT
"""Certificates and keys as files hold them: which there are, how long they last, and how urgent that is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

_DAY: Final = 86400.0
# Days left at which it is said.  Let's Encrypt renews 30 days before the end, so with less than that left the renewal
# does not work; a week is time to mend it, and a day is not.
WARN_DAYS: Final = (30, 7, 1)

# What a server can sign a handshake with.
PrivateKey = RSAPrivateKey | EllipticCurvePrivateKey | Ed25519PrivateKey | Ed448PrivateKey


def read_certificates(octets: bytes) -> tuple[x509.Certificate, ...]:
    """All certificates of a PEM file, in its order.

    :raises ValueError: when there is none, or one that cannot be read.
    """
    return tuple(x509.load_pem_x509_certificates(octets))


def to_pem(certificate: x509.Certificate) -> str:
    """A certificate as a file holds it."""
    return certificate.public_bytes(Encoding.PEM).decode()


def read_private_key(octets: bytes) -> PrivateKey:
    """The private key of a PEM file.

    :raises ValueError: when there is none, or none that a server can use.
    :raises TypeError: when it is protected by a passphrase, for which nobody can be asked.
    """
    try:
        key = load_pem_private_key(octets, password=None)
    except UnsupportedAlgorithm:
        key = None
    if isinstance(key, PrivateKey):
        return key
    raise ValueError("private key of another kind")


@dataclass(frozen=True, slots=True)
class Lifetime:
    """When a chain is valid: as long as all of its certificates are.

    :ivar begins: the last of them begins.
    :ivar ends: the first of them ends.
    """

    begins: datetime
    ends: datetime

    @classmethod
    def of(cls, chain: Sequence[x509.Certificate]) -> Lifetime:
        """That of a chain, which has one certificate at least."""
        return cls(
            max(certificate.not_valid_before_utc for certificate in chain),
            min(certificate.not_valid_after_utc for certificate in chain),
        )

    def days_left(self, now: float) -> int:
        """Whole days until it ends; negative once it has.

        :param now: seconds since the epoch.
        """
        return (self.ends - datetime.fromtimestamp(now, UTC)).days

    def urgency(self, now: float) -> int:
        """How urgent a renewal is: 0 not at all, one more at each of `WARN_DAYS`, and one more each day after the end.

        :param now: seconds since the epoch.
        """
        left = self.ends.timestamp() - now
        passed = sum(left <= days * _DAY for days in WARN_DAYS)
        return passed if left > 0 else passed + 1 + int(-left / _DAY)

    def near_end(self, now: float) -> float | None:
        """When it ends, in seconds since the epoch, where that is near enough to be spoken of.

        :param now: seconds since the epoch.
        """
        return self.ends.timestamp() if self.urgency(now) else None
