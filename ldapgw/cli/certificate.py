# SPDX-License-Identifier: MIT
"""Looking at the certificate and the private key of ``[tls]`` as the gateway will."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from ldapgw.cli.finding import Finding, Mark
from ldapgw.config import Tls

# Let's Encrypt renews 30 days before the end; with less than that left, the renewal is not working.
WARN_DAYS = 30


def look_at(tls: Tls, host: str, now: float) -> Iterator[Finding]:
    """The certificate, its private key, whether they belong together, and how long they last.

    :param host: the name that phones connect to.
    :param now: seconds since the epoch.
    """
    chain: list[x509.Certificate] = []
    key: PrivateKeyTypes | None = None
    try:
        chain = x509.load_pem_x509_certificates(Path(tls.certificate).read_bytes())
    except OSError as error:
        yield Finding(Mark.FAILED, tls.certificate, f"cannot be read: {error.strerror}")
    except ValueError:
        yield Finding(Mark.FAILED, tls.certificate, "expected certificates in PEM, the server's own first")
    try:
        key = load_pem_private_key(Path(tls.private_key).read_bytes(), password=None)
    except OSError as error:
        yield Finding(Mark.FAILED, tls.private_key, f"cannot be read: {error.strerror}")
    except TypeError:
        yield Finding(Mark.FAILED, tls.private_key, "is protected by a passphrase, for which nobody can be asked")
    except (ValueError, UnsupportedAlgorithm):
        yield Finding(Mark.FAILED, tls.private_key, "expected a private key in PEM")
    if chain:
        yield _lifetime(tls.certificate, chain, now)
        yield from _names(tls.certificate, chain[0], host)
    if key is not None:
        yield _secrecy(tls.private_key)
    if chain and key is not None:
        form = Encoding.DER, PublicFormat.SubjectPublicKeyInfo
        if chain[0].public_key().public_bytes(*form) != key.public_key().public_bytes(*form):
            told = f"does not belong to the first certificate of {tls.certificate}"
            yield Finding(Mark.FAILED, tls.private_key, told)


def _lifetime(file: str, chain: list[x509.Certificate], now: float) -> Finding:
    """The chain lasts as long as the first of its certificates to expire."""
    begins = max(certificate.not_valid_before_utc for certificate in chain)
    ends = min(certificate.not_valid_after_utc for certificate in chain)
    moment = datetime.fromtimestamp(now, UTC)
    days = (ends - moment).days
    if moment >= ends:
        return Finding(Mark.FAILED, file, f"has expired on {ends:%Y-%m-%d}; renew it")
    if moment < begins:
        return Finding(Mark.FAILED, file, f"is valid from {begins:%Y-%m-%d} on; check the machine's clock")
    if days < WARN_DAYS:
        return Finding(Mark.WARNING, file, f"expires on {ends:%Y-%m-%d}, in {days} days; renew it")
    return Finding(Mark.OK, file, f"valid until {ends:%Y-%m-%d}")


def _names(file: str, certificate: x509.Certificate, host: str) -> Iterator[Finding]:
    """Whether phones that compare names will be content (RFC 6125 6.4: a star stands for one whole label)."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        yield Finding(Mark.WARNING, file, "names no host (subjectAltName); phones that compare names will refuse it")
        return
    known = [name.lower() for name in names.get_values_for_type(x509.DNSName)]
    known += [str(address) for address in names.get_values_for_type(x509.IPAddress)]
    if host.lower() not in known and "*." + host.lower().partition(".")[2] not in known:
        told = f"is for {', '.join(known)}, not for {host}; phones that compare names will refuse it"
        yield Finding(Mark.WARNING, file, told)


def _secrecy(file: str) -> Finding:
    if Path(file).stat().st_mode & 0o007:
        return Finding(Mark.WARNING, file, f"everybody may read the private key; run: chmod o= {file}")
    return Finding(Mark.OK, file, "readable")
