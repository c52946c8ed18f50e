# SPDX-License-Identifier: MIT
"""Certificates for tests: our own authority, keys of both kinds, any lifetime."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


@cache
def make_key(kind: str = "ECDSA", _which: int = 0) -> Key:
    """A key; the same for the same arguments, because RSA keys take their time."""
    return rsa.generate_private_key(65537, 2048) if kind == "RSA" else ec.generate_private_key(ec.SECP256R1())


@dataclass
class Issued:
    """A certificate with its key."""

    certificate: x509.Certificate
    key: Key

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    def key_pem(self, protection: KeySerializationEncryption | None = None) -> bytes:
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, protection or NoEncryption())

    def write(self, folder: Path, name: str = "") -> tuple[Path, Path]:
        """Write both; where they are."""
        certificate, key = folder / f"{name}cert.pem", folder / f"{name}key.pem"
        certificate.write_bytes(self.pem)
        key.write_bytes(self.key_pem())
        return certificate, key


def issue(
    name: str = "localhost",
    *,
    by: Issued | None = None,
    kind: str = "ECDSA",
    which: int = 0,
    now: datetime | None = None,
    since: float = -100,
    days: float = 90,
    authority: bool = False,
    host: str | None = "",
) -> Issued:
    """A certificate for a name, self-signed or by an authority.

    :param since: the days from now until the certificate is valid.
    :param days: the days from now until the certificate expires.
    :param host: the host that the certificate is for; empty: this machine; None: the certificate names no host.
    """
    key = make_key(kind, which)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    moment = now or datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(by.certificate.subject if by else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(moment + timedelta(days=since))
        .not_valid_after(moment + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
    )
    if host is not None:
        local = [x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName("localhost")]
        hosts = x509.SubjectAlternativeName([x509.DNSName(host)] if host else local)
        builder = builder.add_extension(hosts, critical=False)
    return Issued(builder.sign(by.key if by else key, hashes.SHA256()), key)
