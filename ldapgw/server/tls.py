# SPDX-License-Identifier: MIT
"""Reads certificates and private keys from files, and builds the TLS contexts of the LDAP ports and of the web page.

`private_trust_anchor` finds out whether phones trust the certificate.  Phones trust about the same authorities as the
system of this machine.  A chain that leads to none of these authorities is private: self-signed, or issued by the
company's own authority.

Mutable: `TlsContextFactory.loaded`, which `ldapgw.server.certificates` replaces by one assignment when the files
have changed.  A connection keeps the context with which it began.
"""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, cast

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
from ldapgw.store.files import status_of

_DAY: Final = 86400.0
# Days before expiry at which a warning is logged.  Let's Encrypt renews 30 days before the end, so a certificate with
# less time left shows that the renewal does not work.  A week is enough time for a repair, but a day is not.
WARN_DAYS: Final = (30, 7, 1)

# The kinds of private key with which a server can sign a handshake.
PrivateKey = RSAPrivateKey | EllipticCurvePrivateKey | Ed25519PrivateKey | Ed448PrivateKey


def read_certificates(octets: bytes) -> tuple[x509.Certificate, ...]:
    """Return all certificates of a PEM file, in the order of the file.

    :raises ValueError: when there is no certificate, or a certificate cannot be read.
    """
    return tuple(x509.load_pem_x509_certificates(octets))


def to_pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(Encoding.PEM).decode()


def certificate_names(certificate: x509.Certificate) -> list[str]:
    """Return the host names and IP addresses that a certificate is for, host names first, in lower case."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return []
    hosts = [name.lower() for name in names.get_values_for_type(x509.DNSName)]
    return hosts + [str(address) for address in names.get_values_for_type(x509.IPAddress)]


def read_private_key(octets: bytes) -> PrivateKey:
    """Return the private key of a PEM file.

    :raises ValueError: when the file has no key, or the key is of a kind that a server cannot use.
    :raises TypeError: when the key is protected by a passphrase, because a service cannot ask anybody for a passphrase.
    """
    try:
        key = load_pem_private_key(octets, password=None)
    except UnsupportedAlgorithm:
        key = None
    if isinstance(key, PrivateKey):
        return key
    raise ValueError("private key of a kind that a server cannot use")


@dataclass(frozen=True, slots=True)
class ValidityPeriod:
    """The time during which all certificates of a chain are valid.

    :ivar not_before: the time from which all certificates are valid.
    :ivar not_after: the earliest expiry of a certificate.
    """

    not_before: datetime
    not_after: datetime

    @classmethod
    def of(cls, chain: Sequence[x509.Certificate]) -> ValidityPeriod:
        """Return the validity of a chain of at least one certificate."""
        return cls(
            max(certificate.not_valid_before_utc for certificate in chain),
            min(certificate.not_valid_after_utc for certificate in chain),
        )

    def days_left(self, now: float) -> int:
        """Return the whole days until expiry; negative afterwards.

        :param now: seconds since the epoch.
        """
        return (self.not_after - datetime.fromtimestamp(now, UTC)).days

    def urgency(self, now: float) -> int:
        """Return the urgency of a renewal: 0 at first, 1 more at each of `WARN_DAYS`, and 1 more each day after expiry.

        :param now: seconds since the epoch.
        """
        left = self.not_after.timestamp() - now
        passed = sum(left <= days * _DAY for days in WARN_DAYS)
        return passed if left > 0 else passed + 1 + int(-left / _DAY)

    def expiry_if_near(self, now: float) -> float | None:
        """Return the time at which the chain expires, in seconds since the epoch; None while a warning is too early.

        :param now: seconds since the epoch.
        """
        return self.not_after.timestamp() if self.urgency(now) else None


_MINIMUM: Final = {"1.2": SSL.TLS1_2_VERSION, "1.3": SSL.TLS1_3_VERSION}
# The cipher suites for TLS 1.2, all with forward secrecy; AES in CBC mode comes last, for phones without GCM.  The
# cipher suites of TLS 1.3 need no choice.
_CIPHERS: Final = b"ECDHE+AESGCM:ECDHE+CHACHA20:ECDHE+AES:!aNULL:!eNULL"
# The certificate of the gateway's own authority, in the folder of the certificate (`ldapgw.server.certificates`).
AUTHORITY_FILE: Final = "authority.pem"
# X509_V_FLAG_NO_CHECK_TIME of OpenSSL, for which Python has no name.
_NO_CHECK_TIME: Final = ssl.VerifyFlags(0x200000)
# Renegotiation is off because of CVE-2009-3555, and because a client could keep the server busy with renegotiations at
# little cost.
_OPTIONS: Final = SSL.OP_NO_RENEGOTIATION | SSL.OP_CIPHER_SERVER_PREFERENCE | SSL.OP_NO_COMPRESSION

# The inode, modification time in nanoseconds, and size of each file, which change when the file changes; None for a
# missing file.
FileVersions = tuple[tuple[int, int, int] | None, ...]


@dataclass(frozen=True, slots=True)
class LoadedCertificate:
    """A certificate with its private key, ready for use.

    :ivar context: the context for phones, which need a certificate of their own if ``tls.client_ca`` is set.
    :ivar web_context: the context for browsers, which need no certificate.
    :ivar validity: the validity of the whole chain.
    :ivar file_versions: the versions of the files, taken before the files were read.
    :ivar trust_anchor: the certificate, in PEM, that phones must be told to trust; empty if phones trust the gateway's
        certificate already.
    """

    context: SSL.Context
    web_context: SSL.Context
    validity: ValidityPeriod
    file_versions: FileVersions
    trust_anchor: str = ""

    def is_proven(self, now: float) -> bool:
        """Return whether browsers may be told to use nothing but TLS for half a year (HSTS, RFC 6797).

        With HSTS, a browser lets no user ignore an error of the certificate.  The certificate must therefore be valid,
        from an authority that everybody knows, and the files must be a day old.

        :param now: seconds since the epoch.
        """
        changed = max((version[1] / 1e9 for version in self.file_versions if version), default=now)
        begins, ends = self.validity.not_before.timestamp(), self.validity.not_after.timestamp()
        return not self.trust_anchor and begins <= now < ends and now - changed >= _DAY


@implementer(IOpenSSLContextFactory)
class TlsContextFactory:
    """The source of the TLS contexts of new server-side connections, for Twisted.

    :raises UserError: when a file cannot be read or does not fit; ``ldapgw check`` reports the details.
    :ivar loaded: the certificate for new connections.
    """

    def __init__(self, tls: Tls) -> None:
        self.tls = tls
        self.loaded = load_certificate(tls)

    def getContext(self) -> SSL.Context:
        return self.loaded.context

    @property
    def for_browsers(self) -> IOpenSSLContextFactory:
        """Return the source of the contexts for the web page."""
        return cast("IOpenSSLContextFactory", _WebContextFactory(self))


@implementer(IOpenSSLContextFactory)
class _WebContextFactory:
    """The source of the TLS contexts for browsers."""

    def __init__(self, contexts: TlsContextFactory) -> None:
        self._contexts = contexts

    def getContext(self) -> SSL.Context:
        return self._contexts.loaded.web_context


def file_versions(tls: Tls) -> FileVersions:
    """Return the current versions of the files of ``[tls]``; may block on the disk."""
    return tuple(_file_version(file) for file in (tls.certificate, tls.private_key, tls.client_ca) if file)


def load_certificate(tls: Tls) -> LoadedCertificate:
    """Read the files of ``[tls]``; blocks on the disk.

    :raises UserError: when a file cannot be read, or the key does not belong to the certificate.
    """
    versions = file_versions(tls)
    context = _new_context(tls)
    chain: tuple[x509.Certificate, ...] = ()
    problems = []
    try:
        chain = _use_certificate(context, tls.certificate)
    except _UNUSABLE as error:
        reason = _reason(error, "certificates in PEM, the server's own first", "is no certificate that can be used")
        problems.append(f"tls.certificate = {tls.certificate}: {reason}")
    try:
        _use_private_key(context, tls.private_key, chain)
    except _UNUSABLE as error:
        other = f"does not belong to the first certificate of {tls.certificate}"
        problems.append(f"tls.private_key = {tls.private_key}: {_reason(error, 'a private key in PEM', other)}")
    try:
        if tls.client_ca:
            _require_client_certificates(context, tls.client_ca)
    except _UNUSABLE as error:
        expected, refused = _AUTHORITIES, "holds no certificate that can be used"
        problems.append(f"tls.client_ca = {tls.client_ca}: {_reason(error, expected, refused)}")
    if problems:
        raise UserError(problems, is_setting=True)
    # Phones and browsers have separate contexts, so a phone that needs a certificate cannot resume a session of a
    # browser.
    web_context = _new_context(tls)
    _use_private_key(web_context, tls.private_key, _use_certificate(web_context, tls.certificate))
    return LoadedCertificate(context, web_context, ValidityPeriod.of(chain), versions, private_trust_anchor(tls))


def _new_context(tls: Tls) -> SSL.Context:
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.set_min_proto_version(_MINIMUM[tls.minimum])
    context.set_cipher_list(_CIPHERS)
    context.set_options(_OPTIONS)
    # An idle session keeps no buffers, which saves 34 KiB for each connection.
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)
    # Session tickets are valid only in this context, so no session is resumed after the files have changed.
    context.set_session_id(b"ldapgw")
    return context


_UNUSABLE: Final = (SSL.Error, OSError, ValueError, TypeError)
_AUTHORITIES: Final = "certificates in PEM, of those who sign phones' certificates"


def _use_certificate(context: SSL.Context, file: str) -> tuple[x509.Certificate, ...]:
    first, *rest = chain = read_certificates(Path(file).read_bytes())
    context.use_certificate(first)
    for certificate in rest:
        context.add_extra_chain_cert(certificate)
    return chain


def _use_private_key(context: SSL.Context, file: str, chain: Sequence[x509.Certificate]) -> None:
    """Read the private key, and use the key in the context.

    :param chain: the certificates, the server's own certificate first; empty if the certificates cannot be used.
    """
    key = read_private_key(Path(file).read_bytes())
    if chain:
        context.use_privatekey(key)
        context.check_privatekey()


def _require_client_certificates(context: SSL.Context, authority: str) -> None:
    read_certificates(Path(authority).read_bytes())
    context.load_verify_locations(authority)
    context.load_client_ca(authority.encode())
    context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT)


def _file_version(file: str) -> tuple[int, int, int] | None:
    status = status_of(Path(file))
    return (status.st_ino, status.st_mtime_ns, status.st_size) if status else None


def _reason(error: Exception, expected: str, refused: str) -> str:
    """Return the reason why a file cannot be used, with the fixed phrase that OpenSSL or the system gives.

    :param expected: the content that the file should have.
    :param refused: the phrase for content that OpenSSL refuses.
    """
    if isinstance(error, OSError):
        return f"cannot be read: {error.strerror}"
    if isinstance(error, TypeError):
        return "is protected by a passphrase, for which nobody can be asked"
    if not isinstance(error, SSL.Error):
        return f"expected {expected}"
    reasons = error.args[0] if error.args else ()
    return refused + (f" ({reasons[-1][-1]})" if reasons else "")


def private_trust_anchor(tls: Tls) -> str:
    """Return the last certificate of the chain of ``[tls]`` in PEM, if the chain leads to no authority of the system.

    Phones have to trust the gateway's own authority even if this machine trusts the authority too.

    :returns: empty for a trusted chain, and for files that cannot be read.
    """
    try:
        chain = read_certificates(Path(tls.certificate).read_bytes())
        gateway = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        gateway.load_cert_chain(tls.certificate, tls.private_key)
    except (OSError, ValueError):  # an SSLError is an OSError
        return ""
    is_own = Path(tls.certificate).with_name(AUTHORITY_FILE).exists()
    return to_pem(chain[-1]) if is_own or not _is_trusted(gateway) else ""


def _is_trusted(gateway: ssl.SSLContext) -> bool:
    """Return whether a client that trusts the system's authorities completes a TLS handshake with the gateway.

    Both sides of the handshake run in memory.
    """
    phone = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    phone.check_hostname = False
    phone.set_default_verify_paths()
    # Expiry is ignored here, because the gateway warns of an expired certificate elsewhere.
    phone.verify_flags |= _NO_CHECK_TIME
    to_gateway, to_phone = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = phone.wrap_bio(to_phone, to_gateway)
    server = gateway.wrap_bio(to_gateway, to_phone, server_side=True)
    for side in (client, server, client):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue
        except ssl.SSLCertVerificationError:
            return False
    return True
