# SPDX-License-Identifier: MIT
"""Certificates and keys in files, and how urgent a renewal is."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric import x25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from ldapgw.server.tls import Lifetime, read_certificates, read_private_key
from tests.certificates import issue

NOW = datetime(2026, 1, 31, 9, 30, tzinfo=UTC)
DAY = 86400.0


@pytest.mark.parametrize(
    ("days", "left", "urgency"),
    [
        (90, 90, 0),
        (30.01, 30, 0),
        (30, 30, 1),
        (7.01, 7, 1),
        (7, 7, 2),
        (1, 1, 3),
        (0.1, 0, 3),
        (0, 0, 4),
        (-0.5, -1, 4),
        (-1, -1, 5),
        (-10.5, -11, 14),
    ],
)
def test_urgency(days, left, urgency):
    """It rises at 30, 7 and 1 days, and each day after the end."""
    lifetime = Lifetime.of([issue(now=NOW, days=0).certificate])
    now = NOW.timestamp() - days * DAY
    assert (lifetime.days_left(now), lifetime.urgency(now)) == (left, urgency)


def test_an_end_is_spoken_of_when_it_is_near():
    """From thirty days before it on."""
    lifetime = Lifetime.of([issue(now=NOW, days=0).certificate])
    ends = lifetime.ends.timestamp()
    assert [lifetime.near_end(ends - days * DAY) for days in (31, 29, -1)] == [None, ends, ends]


def test_a_chain_lasts_as_long_as_all_of_it():
    """The latest begin and the earliest end."""
    first, second = issue(now=NOW, days=50), issue(now=NOW, days=5, which=1)
    chain = read_certificates(first.pem + second.pem)
    assert chain == (first.certificate, second.certificate)
    assert Lifetime.of(chain).ends == second.certificate.not_valid_after_utc


@pytest.mark.parametrize("kind", ["RSA", "ECDSA"])
def test_private_keys(kind):
    """Of the kinds that authorities sign."""
    issued = issue(kind=kind)
    key = read_private_key(issued.key_pem())
    assert key.public_key() == issued.key.public_key()


X25519 = x25519.X25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
# On the curve prime239v3, which nobody uses.
ODD_CURVE = b"""-----BEGIN PRIVATE KEY-----
MIGBAgEAMBMGByqGSM49AgEGCCqGSM49AwEGBGcwZQIBAQQeaTSluCjKC6tYyzus
7M+OcWxfUign4/m3I9DUd1uPoUADPgAEWzY5PCu30kWlSOeU1pc44TRj0ga5Y2Jy
doGg3id/GDSQn1uJkSNBwPzQL9zb1oMWqd5SGpGckEA4hQGw
-----END PRIVATE KEY-----
"""


@pytest.mark.parametrize("octets", [X25519, ODD_CURVE], ids=["X25519", "odd curve"])
def test_a_key_of_another_kind(octets):
    """It is a key, but none to sign a handshake with."""
    with pytest.raises(ValueError, match="another kind"):
        read_private_key(octets)
