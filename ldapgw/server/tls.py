# SPDX-License-Identifier: MIT
"""Certificates and keys as files hold them: which there are, how long they last, and how urgent that is.

The certificate that phones are shown, and what of TLS is spoken with them.

Mutable: `ServerContext.pair`, replaced by one assignment when the files have changed (`certificate_renewal`).
A connection
keeps the context that it began with.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from OpenSSL import SSL
from twisted.internet.interfaces import IOpenSSLContextFactory
from zope.interface import implementer

from ldapgw.errors import UserError
from ldapgw.server.config import Tls

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
class ValidityPeriod:
    """When a chain is valid: as long as all of its certificates are.

    :ivar begins: the last of them begins.
    :ivar ends: the first of them ends.
    """

    not_before: datetime
    not_after: datetime

    @classmethod
    def of(cls, chain: Sequence[x509.Certificate]) -> ValidityPeriod:
        """That of a chain, which has one certificate at least."""
        return cls(
            max(certificate.not_valid_before_utc for certificate in chain),
            min(certificate.not_valid_after_utc for certificate in chain),
        )

    def days_left(self, now: float) -> int:
        """Whole days until it ends; negative once it has.

        :param now: seconds since the epoch.
        """
        return (self.not_after - datetime.fromtimestamp(now, UTC)).days

    def urgency(self, now: float) -> int:
        """How urgent a renewal is: 0 not at all, one more at each of `WARN_DAYS`, and one more each day after the end.

        :param now: seconds since the epoch.
        """
        left = self.not_after.timestamp() - now
        passed = sum(left <= days * _DAY for days in WARN_DAYS)
        return passed if left > 0 else passed + 1 + int(-left / _DAY)

    def expiry_if_near(self, now: float) -> float | None:
        """When it ends, in seconds since the epoch, where that is near enough to be spoken of.

        :param now: seconds since the epoch.
        """
        return self.not_after.timestamp() if self.urgency(now) else None


_MINIMUM: Final = {"1.2": SSL.TLS1_2_VERSION, "1.3": SSL.TLS1_3_VERSION}
# For TLS 1.2; 1.3 has good ones alone.  Forward secrecy always; AES in CBC mode last, for phones older than GCM.
_CIPHERS: Final = b"ECDHE+AESGCM:ECDHE+CHACHA20:ECDHE+AES:!aNULL:!eNULL"
# Nobody renegotiates (CVE-2009-3555, and a cheap way to keep a server busy).
_OPTIONS: Final = SSL.OP_NO_RENEGOTIATION | SSL.OP_CIPHER_SERVER_PREFERENCE | SSL.OP_NO_COMPRESSION

# What tells a file from the one that was read: its inode, when it was written, its size; None: it is not there.
FileVersions = tuple[tuple[int, int, int] | None, ...]


@dataclass(frozen=True, slots=True)
class LoadedCertificate:
    """A certificate and its private key, ready for use.

    :ivar lifetime: of the whole chain.
    :ivar stamp: of the files, from before they were read.
    """

    context: SSL.Context
    validity: ValidityPeriod
    file_versions: FileVersions


@implementer(IOpenSSLContextFactory)
class TlsContextFactory:
    """Makes server-side TLS connections, for Twisted.

    :raises UserError: when a file cannot be read or does not fit; ``ldapgw check`` says more.
    :ivar pair: what new connections get.
    """

    def __init__(self, tls: Tls) -> None:
        self.tls = tls
        self.loaded = load_certificate(tls)

    def getContext(self) -> SSL.Context:
        """See `IOpenSSLContextFactory`."""
        return self.loaded.context


def file_versions(tls: Tls) -> FileVersions:
    """The files as they are now; may wait for the disk."""
    return tuple(_file_version(file) for file in (tls.certificate, tls.private_key, tls.client_ca) if file)


def load_certificate(tls: Tls) -> LoadedCertificate:
    """Read the files; waits for the disk.

    :raises UserError: when one cannot be read, or they do not belong together.
    """
    before = file_versions(tls)
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.set_min_proto_version(_MINIMUM[tls.minimum])
    context.set_cipher_list(_CIPHERS)
    context.set_options(_OPTIONS)
    # An idle session keeps no buffers: 34 KiB less for each.
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)
    # Tickets are resumed in this context alone, so not beyond a change of the files.
    context.set_session_id(b"ldapgw")
    lifetime = _use_certificate(context, tls.certificate)
    _use_private_key(context, tls.private_key)
    if tls.client_ca:
        _require_client_certificates(context, tls.client_ca)
    return LoadedCertificate(context, lifetime, before)


def _use_certificate(context: SSL.Context, file: str) -> ValidityPeriod:
    try:
        first, *rest = chain = read_certificates(Path(file).read_bytes())
        context.use_certificate(first)
        for certificate in rest:
            context.add_extra_chain_cert(certificate)
    except (SSL.Error, OSError, ValueError) as error:
        raise UserError(
            f"tls.certificate = {file}: is no certificate that can be used{_reason_suffix(error)}"
        ) from None
    return ValidityPeriod.of(chain)


def _use_private_key(context: SSL.Context, file: str) -> None:
    told = f"tls.private_key = {file}: is"
    try:
        context.use_privatekey(read_private_key(Path(file).read_bytes()))
        context.check_privatekey()
    except TypeError:
        raise UserError(f"{told} protected by a passphrase, for which nobody can be asked") from None
    except (SSL.Error, OSError, ValueError) as error:
        raise UserError(
            f"{told} no private key that can be used, or not the certificate's{_reason_suffix(error)}"
        ) from None


def _require_client_certificates(context: SSL.Context, authority: str) -> None:
    """Let nobody in who has no certificate of that authority."""
    try:
        context.load_verify_locations(authority)
        context.load_client_ca(authority.encode())
    except SSL.Error as error:
        raise UserError(
            f"tls.client_ca = {authority}: holds no certificate that can be used{_reason_suffix(error)}"
        ) from None
    context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT)


def _file_version(file: str) -> tuple[int, int, int] | None:
    try:
        found = Path(file).stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def _reason_suffix(error: Exception) -> str:
    """The reason of OpenSSL or the system, which is a fixed phrase, in brackets."""
    reasons = error.args[0] if isinstance(error, SSL.Error) and error.args else ()
    phrase = reasons[-1][-1] if reasons else getattr(error, "strerror", None)
    return f" ({phrase})" if phrase else ""
