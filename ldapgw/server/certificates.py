# SPDX-License-Identifier: MIT
"""The gateway's certificate: a private authority that issues the certificate, and its renewal while the gateway runs.

A public authority issues certificates only for names that everybody can look up.  Inside a company's network, a private
authority issues the certificate, and each phone has to be told to trust the authority (``/{tenant}/ca.crt``).

The keys and certificates of the authority and of the gateway are four files in one folder, ``tls`` in the state
directory.  A renewal keeps the keys: a renewal replaces only one file, and phones go on trusting the authority.  The
keys are RSA keys, because many phones from before 2020 know no other kind of key.

`CertificateReloader` renews the certificate of a private authority, loads renewed certificates of any authority, and
warns before a certificate expires.  The reloader checks the files of ``[tls]`` off the reactor's thread, because a
network file system may be slow.  If the files are unusable, the gateway keeps the certificate that it has read before.
A problem is logged only if two checks in a row find the same unusable files, because an administrator replaces the
certificate and the key one after the other.

Mutable: `CertificateReloader`.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final, Self

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from ldapgw.errors import UserError
from ldapgw.server.config import Tls
from ldapgw.server.config.forms import File
from ldapgw.server.tls import (
    AUTHORITY_FILE,
    FileVersions,
    LoadedCertificate,
    TlsContextFactory,
    ValidityPeriod,
    certificate_names,
    file_versions,
    load_certificate,
    read_certificates,
    read_private_key,
    to_pem,
)
from ldapgw.store.files import acting_as_owner, replace_file
from ldapgw.store.periodic import PeriodicService

log = Logger()

# The folder of the certificate's files, below the state directory.
FOLDER: Final = "tls"
# The authority outlives the phones, because a new authority has to be loaded into each phone.
_AUTHORITY_DAYS: Final = 20 * 365
# Clients refuse a server's certificate that is valid for more than 398 days.
_CERTIFICATE_DAYS: Final = 397
# Days before expiry at which the certificate is renewed, earlier than the first warning (`WARN_DAYS` in
# `ldapgw.server.tls`).
RENEW_DAYS: Final = 60
# A certificate is valid a day before its issue, because clocks of phones without a time server may be slow, usually by
# less than a day.
_EARLY: Final = timedelta(days=1)
_KEY_BITS: Final = 2048

# Seconds between two checks of the files.  The interval is short, because administrators try a renewed certificate
# within seconds.
CHECK_INTERVAL_SECONDS: Final = 5.0
# Seconds between two attempts to renew the certificate of the gateway's own authority.
RENEW_INTERVAL_SECONDS: Final = 86400.0


@dataclass(frozen=True, slots=True)
class AuthorityFiles:
    """The files of the authority and of the certificate that the authority issued.

    :ivar certificate: the gateway's certificate, followed by the authority's certificate, in PEM.
    """

    authority: Path
    authority_key: Path
    certificate: Path
    private_key: Path

    @classmethod
    def within(cls, folder: Path) -> Self:
        names = (AUTHORITY_FILE, "authority.key", "certificate.pem", "certificate.key")
        return cls(*(folder / name for name in names))

    @classmethod
    def of(cls, tls: Tls) -> Self | None:
        """Return the files if ``[tls]`` names the certificate and key in the folder of an authority; otherwise None."""
        files = cls.within(Path(tls.certificate).parent)
        is_own = (Path(tls.certificate), Path(tls.private_key)) == (files.certificate, files.private_key)
        return files if is_own and files.authority.exists() else None

    @property
    def tls(self) -> Tls:
        """Return the table ``[tls]`` for the certificate."""
        return Tls(certificate=File(self.certificate), private_key=File(self.private_key))


def create_certificate(files: AuthorityFiles, names: Sequence[str], title: str, now: float) -> bool:
    """Issue a certificate; first make the authority and the keys if the folder does not have them.

    An authority that is not valid at `now` is made again with the same key: the clock may have been wrong before.  The
    parent folder has to exist; the files belong to the owner of the parent folder.

    :param names: the host names and IP addresses at which clients reach the gateway, at least one.
    :param title: the company's name, which becomes a part of the authority's name.
    :param now: seconds since the epoch.
    :returns: whether the authority's certificate is new, so that phones have to be told to trust the authority.
    :raises UserError: when a file cannot be used.
    """
    folder = files.certificate.parent
    try:
        with acting_as_owner(folder.parent):
            folder.mkdir(mode=0o700, exist_ok=True)
            is_new = not _has_valid_authority(files, now)
            if is_new:
                has_key = files.authority_key.exists()
                key = _read_key(files.authority_key) if has_key else _write_new_key(files.authority_key)
                _write(files.authority, to_pem(_self_signed(key, title, now)).encode())
            if not files.private_key.exists():
                _write_new_key(files.private_key)
            _issue(files, names, now)
    except OSError as error:
        raise UserError(f"{error.filename or folder}: cannot be used: {error.strerror}") from None
    except (ValueError, TypeError):
        raise UserError(f"{folder}: holds other files than certificates and RSA keys; move the folder away") from None
    return is_new


def _has_valid_authority(files: AuthorityFiles, now: float) -> bool:
    if not files.authority.exists():
        return False
    validity = ValidityPeriod.of(read_certificates(files.authority.read_bytes())[:1])
    return validity.not_before.timestamp() <= now < validity.not_after.timestamp()


def renew_certificate(tls: Tls, host: str, now: float) -> bool:
    """Issue a new certificate when the present certificate expires soon, or lacks the page's host; may block.

    A certificate that is not yet valid is replaced too: the clock was wrong when the certificate was issued.

    :param host: the host of ``public_url``, an IP address without brackets.
    :param now: seconds since the epoch.
    :returns: whether a certificate was issued; False if the authority is not beside the certificate.
    :raises OSError: when a file cannot be read or written.
    :raises ValueError: when a file holds no certificate or key.
    :raises TypeError: when a key is protected by a passphrase.
    """
    files = AuthorityFiles.of(tls)
    if files is None:
        return False
    present = read_certificates(files.certificate.read_bytes())[0]
    names, validity = certificate_names(present), ValidityPeriod.of([present])
    begins = validity.not_before.timestamp()
    if host in names and begins <= now and validity.days_left(now) >= RENEW_DAYS:
        return False
    _issue(files, names if host in names else [host, *names], now)
    return True


def fingerprint(file: Path) -> str:
    """Return the SHA-256 fingerprint of a file's first certificate, as browsers and ``openssl`` write fingerprints.

    :raises OSError: when the file cannot be read.
    """
    return read_certificates(file.read_bytes())[0].fingerprint(SHA256()).hex(":").upper()


def _issue(files: AuthorityFiles, names: Sequence[str], now: float) -> None:
    """Write a new certificate for the existing key."""
    authority = read_certificates(files.authority.read_bytes())[0]
    authority_key, key = _read_key(files.authority_key), _read_key(files.private_key)
    if authority.public_key() != authority_key.public_key():
        raise ValueError("the authority's key does not belong to its certificate")
    extensions: tuple[tuple[x509.ExtensionType, bool], ...] = (
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (_key_usage(digital_signature=True, key_encipherment=True), True),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False),
        (x509.SubjectAlternativeName(list(map(_general_name, names))), False),
        (x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), False),
    )
    certificate = _sign(
        _name(names[0]), key.public_key(), authority.subject, authority_key, now, _CERTIFICATE_DAYS, extensions
    )
    _write(files.certificate, (to_pem(certificate) + to_pem(authority)).encode())


def _self_signed(key: rsa.RSAPrivateKey, title: str, now: float) -> x509.Certificate:
    """Return the authority's own certificate."""
    name = _name(f"ldapgw authority of {title}")
    extensions: tuple[tuple[x509.ExtensionType, bool], ...] = (
        (x509.BasicConstraints(ca=True, path_length=0), True),
        (_key_usage(key_cert_sign=True, crl_sign=True), True),
        (x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False),
    )
    return _sign(name, key.public_key(), name, key, now, _AUTHORITY_DAYS, extensions)


def _sign(
    subject: x509.Name,
    public_key: rsa.RSAPublicKey,
    issuer: x509.Name,
    issuer_key: rsa.RSAPrivateKey,
    now: float,
    days: int,
    extensions: Iterable[tuple[x509.ExtensionType, bool]],
) -> x509.Certificate:
    """Return a signed certificate.

    :param days: the days from now until the certificate expires.
    :param extensions: the extensions (RFC 5280 4.2), each with the flag *critical*: clients that do not know a critical
        extension must refuse the certificate.
    """
    moment = datetime.fromtimestamp(now, UTC)
    builder = x509.CertificateBuilder(
        issuer_name=issuer,
        subject_name=subject,
        public_key=public_key,
        serial_number=x509.random_serial_number(),
        not_valid_before=moment - _EARLY,
        not_valid_after=moment + timedelta(days=days),
    )
    for extension, is_critical in extensions:
        builder = builder.add_extension(extension, is_critical)
    return builder.sign(issuer_key, SHA256())


def _key_usage(**usages: bool) -> x509.KeyUsage:
    none = dict.fromkeys(
        (
            *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement"),
            *("key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
        ),
        False,
    )
    return x509.KeyUsage(**{**none, **usages})


def _name(common_name: str) -> x509.Name:
    """Return the name of a certificate's owner, cut to 64 octets, the limit of a common name (RFC 5280 A.1)."""
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name.encode()[:64].decode(errors="ignore"))])


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name.encode("idna").decode())


def _read_key(file: Path) -> rsa.RSAPrivateKey:
    key = read_private_key(file.read_bytes())
    if isinstance(key, rsa.RSAPrivateKey):
        return key
    raise ValueError("no RSA key")


def _write_new_key(file: Path) -> rsa.RSAPrivateKey:
    key = rsa.generate_private_key(65537, _KEY_BITS)
    _write(file, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return key


def _write(file: Path, octets: bytes) -> None:
    with replace_file(file) as new:
        new.write_bytes(octets)


class CertificateReloader(PeriodicService):
    """A service that checks the files of ``[tls]`` every `CHECK_INTERVAL_SECONDS`.

    :param clock: counts seconds since the epoch.
    :param host: the host of ``public_url``; the gateway's own authority issues certificates for this host.
    :param run_off_thread: calls a function with its arguments on a thread.
    """

    def __init__(
        self,
        *,
        clock: IReactorTime,
        context_factory: TlsContextFactory,
        host: str,
        run_off_thread: Callable[..., Awaitable[Any]],
    ) -> None:
        self._clock = clock
        self._host = host
        self._renew_at = 0.0
        self._context_factory = context_factory
        self._run_off_thread = run_off_thread
        self._unusable: FileVersions | None = None  # files that could not be used at the last check
        self._reported: FileVersions | None = None  # unusable files whose problem was logged
        self._urgency = 0
        failed = partial(log.failure, "checking the certificate for changes failed", event="certificate_check_failed")
        super().__init__(clock, CHECK_INTERVAL_SECONDS, self.check_files, failed)

    async def check_files(self) -> None:
        """Renew the certificate, load the files if they have changed, and warn when the certificate expires soon."""
        # A renewal is also tried after the clock was set back, because a certificate from the future has to be
        # replaced.
        if not 0 < self._renew_at - self._clock.seconds() <= RENEW_INTERVAL_SECONDS:
            await self._renew()
        versions: FileVersions = await self._run_off_thread(file_versions, self._context_factory.tls)
        if versions == self._context_factory.loaded.file_versions:
            self._report_restored()
        elif versions != self._reported:
            await self._reload(versions)
        self._warn_of_expiry()

    async def _renew(self) -> None:
        """Renew the certificate if the gateway's own authority issued the certificate and a renewal is due."""
        now, tls = self._clock.seconds(), self._context_factory.tls
        self._renew_at = now + RENEW_INTERVAL_SECONDS
        try:
            renewed = await self._run_off_thread(renew_certificate, tls, self._host, now)
        except (OSError, ValueError, TypeError) as error:
            log.error(
                "tls.certificate = {file}: cannot be renewed: {reason}; run ldapgw certificate create",
                event="certificate_renewal_failed",
                file=tls.certificate,
                reason=getattr(error, "strerror", None) or "the authority's files cannot be used",
            )
            return
        if renewed:
            log.info(
                "tls.certificate = {file}: the gateway's own authority has issued a new certificate",
                event="certificate_renewed",
                file=tls.certificate,
            )

    async def _reload(self, versions: FileVersions) -> None:
        loaded: LoadedCertificate
        try:
            loaded = await self._run_off_thread(load_certificate, self._context_factory.tls)
        except UserError as error:
            if versions == self._unusable:
                self._reported = versions
                log.error(
                    "{problem}; the gateway keeps the certificate that it read before",
                    event="certificate_unusable",
                    problem=str(error),
                )
            self._unusable = versions
            return
        self._context_factory.loaded = loaded
        self._urgency = 0
        self._unusable = self._reported = None
        log.info(
            "tls.certificate = {file}: has changed and is in use, valid until {ends}",
            event="certificate_changed",
            file=self._context_factory.tls.certificate,
            ends=f"{loaded.validity.not_after:%Y-%m-%d}",
        )

    def _report_restored(self) -> None:
        if self._reported is not None:
            log.info(
                "tls.certificate = {file}: the file again contains the certificate that is in use",
                event="certificate_restored",
                file=self._context_factory.tls.certificate,
            )
        self._unusable = self._reported = None

    def _warn_of_expiry(self) -> None:
        now = self._clock.seconds()
        validity = self._context_factory.loaded.validity
        urgency = validity.urgency(now)
        if urgency > self._urgency:
            log.warn(
                "tls.certificate = {file}: {what} on {ends}; renew it",
                event="certificate_expires",
                file=self._context_factory.tls.certificate,
                what="has expired" if validity.not_after.timestamp() <= now else "expires",
                ends=f"{validity.not_after:%Y-%m-%d %H:%M} UTC",
            )
        self._urgency = urgency
