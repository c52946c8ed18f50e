# SPDX-License-Identifier: MIT
"""The part of ``check`` that examines the certificates and the private key of ``[tls]``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ldapgw.cli.check_result import CheckResult, CheckStatus
from ldapgw.cli.secret_files import readable_for_others
from ldapgw.server.config import Tls
from ldapgw.server.tls import WARN_DAYS, PrivateKey, ValidityPeriod, read_certificates, read_private_key


def check_certificate(tls: Tls, state_dir: Path, host: str, now: float) -> Iterator[CheckResult]:
    """Check the certificate, its expiry and names, the private key, and the authority for phones' certificates.

    :param state_dir: belongs to the user who may read the private key.
    :param host: the host name that phones connect to.
    :param now: seconds since the epoch.
    """
    chain: Sequence[x509.Certificate] = ()
    key: PrivateKey | None = None
    try:
        chain = read_certificates(Path(tls.certificate).read_bytes())
    except OSError as error:
        yield CheckResult(CheckStatus.FAILED, tls.certificate, f"cannot be read: {error.strerror}")
    except ValueError:
        yield CheckResult(CheckStatus.FAILED, tls.certificate, "expected certificates in PEM, the server's own first")
    try:
        key = read_private_key(Path(tls.private_key).read_bytes())
    except OSError as error:
        yield CheckResult(CheckStatus.FAILED, tls.private_key, f"cannot be read: {error.strerror}")
    except TypeError:
        yield CheckResult(
            CheckStatus.FAILED, tls.private_key, "is protected by a passphrase, for which nobody can be asked"
        )
    except ValueError:
        yield CheckResult(CheckStatus.FAILED, tls.private_key, "expected a private key in PEM")
    if chain:
        yield _lifetime(tls.certificate, chain, now)
        yield from _names(tls.certificate, chain[0], host)
    if key is not None:
        problem = readable_for_others(Path(tls.private_key), state_dir)
        status = CheckStatus.WARNING if problem else CheckStatus.OK
        yield CheckResult(status, tls.private_key, problem or "readable")
    if chain and key is not None:
        encoding = Encoding.DER, PublicFormat.SubjectPublicKeyInfo
        if chain[0].public_key().public_bytes(*encoding) != key.public_key().public_bytes(*encoding):
            message = f"does not belong to the first certificate of {tls.certificate}"
            yield CheckResult(CheckStatus.FAILED, tls.private_key, message)
    if tls.client_ca:
        yield check_authorities(tls.client_ca, now, "of those who sign phones' certificates")


def expiry_if_near(tls: Tls | None, now: float) -> float | None:
    """When the certificate expires, in seconds since the epoch, if that is near.

    :param now: seconds since the epoch.
    :returns: None also for a certificate that cannot be read, which ``ldapgw check`` reports.
    """
    try:
        return (
            ValidityPeriod.of(read_certificates(Path(tls.certificate).read_bytes())).expiry_if_near(now)
            if tls
            else None
        )
    except (OSError, ValueError):
        return None


def _lifetime(file: str, chain: Sequence[x509.Certificate], now: float) -> CheckResult:
    """A chain is valid until its first certificate expires."""
    validity = ValidityPeriod.of(chain)
    days = validity.days_left(now)
    if days < 0:
        return CheckResult(CheckStatus.FAILED, file, f"has expired on {validity.not_after:%Y-%m-%d}; renew it")
    if now < validity.not_before.timestamp():
        return CheckResult(
            CheckStatus.FAILED, file, f"is valid from {validity.not_before:%Y-%m-%d} on; check the machine's clock"
        )
    if days < WARN_DAYS[0]:
        return CheckResult(
            CheckStatus.WARNING, file, f"expires on {validity.not_after:%Y-%m-%d}, in {days} days; renew it"
        )
    return CheckResult(CheckStatus.OK, file, f"valid until {validity.not_after:%Y-%m-%d}")


def check_authorities(file: str, now: float, whose: str) -> CheckResult:
    """Check a file of authorities; what an expired authority has signed is refused.

    :param whose: whose certificates the file should hold.
    """
    try:
        authorities = read_certificates(Path(file).read_bytes())
    except OSError as error:
        return CheckResult(CheckStatus.FAILED, file, f"cannot be read: {error.strerror}")
    except ValueError:
        return CheckResult(CheckStatus.FAILED, file, f"expected certificates in PEM, {whose}")
    return _lifetime(file, authorities, now)


def _names(file: str, certificate: x509.Certificate, host: str) -> Iterator[CheckResult]:
    """Warn about names that phones will refuse if they compare names (RFC 6125 6.4: a star is one whole label)."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        yield CheckResult(
            CheckStatus.WARNING, file, "names no host (subjectAltName); phones that compare names will refuse it"
        )
        return
    known = [name.lower() for name in names.get_values_for_type(x509.DNSName)]
    known += [str(address) for address in names.get_values_for_type(x509.IPAddress)]
    if host.lower() not in known and "*." + host.lower().partition(".")[2] not in known:
        message = f"is for {', '.join(known)}, not for {host}; phones that compare names will refuse it"
        yield CheckResult(CheckStatus.WARNING, file, message)
