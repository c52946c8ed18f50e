# SPDX-License-Identifier: MIT
"""The certificate that phones are shown, and what of TLS is spoken with them.

Mutable: `ServerContext.pair`, replaced by one assignment when the files have changed (`ldapgw.renewal`).  A connection
keeps the context that it began with.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from OpenSSL import SSL
from twisted.internet.interfaces import IOpenSSLContextFactory
from zope.interface import implementer

from ldapgw.certificate import Lifetime, read_certificates, read_private_key
from ldapgw.config import Tls
from ldapgw.errors import UserError

_MINIMUM: Final = {"1.2": SSL.TLS1_2_VERSION, "1.3": SSL.TLS1_3_VERSION}
# For TLS 1.2; 1.3 has good ones alone.  Forward secrecy always; AES in CBC mode last, for phones older than GCM.
_CIPHERS: Final = b"ECDHE+AESGCM:ECDHE+CHACHA20:ECDHE+AES:!aNULL:!eNULL"
# Nobody renegotiates (CVE-2009-3555, and a cheap way to keep a server busy).
_OPTIONS: Final = SSL.OP_NO_RENEGOTIATION | SSL.OP_CIPHER_SERVER_PREFERENCE | SSL.OP_NO_COMPRESSION

# What tells a file from the one that was read: its inode, when it was written, its size; None: it is not there.
Stamp = tuple[tuple[int, int, int] | None, ...]


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its private key, ready for use.

    :ivar lifetime: of the whole chain.
    :ivar stamp: of the files, from before they were read.
    """

    context: SSL.Context
    lifetime: Lifetime
    stamp: Stamp


@implementer(IOpenSSLContextFactory)
class ServerContext:
    """Makes server-side TLS connections, for Twisted.

    :raises UserError: when a file cannot be read or does not fit; ``ldapgw check`` says more.
    :ivar pair: what new connections get.
    """

    def __init__(self, tls: Tls) -> None:
        self.tls = tls
        self.pair = read_pair(tls)

    def getContext(self) -> SSL.Context:
        """See `IOpenSSLContextFactory`."""
        return self.pair.context


def stamp(tls: Tls) -> Stamp:
    """The files as they are now; may wait for the disk."""
    return tuple(_stamp(file) for file in (tls.certificate, tls.private_key, tls.client_ca) if file)


def read_pair(tls: Tls) -> Pair:
    """Read the files; waits for the disk.

    :raises UserError: when one cannot be read, or they do not belong together.
    """
    before = stamp(tls)
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
        _ask_for_certificates(context, tls.client_ca)
    return Pair(context, lifetime, before)


def _use_certificate(context: SSL.Context, file: str) -> Lifetime:
    try:
        first, *rest = chain = read_certificates(Path(file).read_bytes())
        context.use_certificate(first)
        for certificate in rest:
            context.add_extra_chain_cert(certificate)
    except (SSL.Error, OSError, ValueError) as error:
        raise UserError(f"tls.certificate = {file}: is no certificate that can be used{_why(error)}") from None
    return Lifetime.of(chain)


def _use_private_key(context: SSL.Context, file: str) -> None:
    told = f"tls.private_key = {file}: is"
    try:
        context.use_privatekey(read_private_key(Path(file).read_bytes()))
        context.check_privatekey()
    except TypeError:
        raise UserError(f"{told} protected by a passphrase, for which nobody can be asked") from None
    except (SSL.Error, OSError, ValueError) as error:
        raise UserError(f"{told} no private key that can be used, or not the certificate's{_why(error)}") from None


def _ask_for_certificates(context: SSL.Context, authority: str) -> None:
    """Let nobody in who has no certificate of that authority."""
    try:
        context.load_verify_locations(authority)
        context.load_client_ca(authority.encode())
    except SSL.Error as error:
        raise UserError(f"tls.client_ca = {authority}: holds no certificate that can be used{_why(error)}") from None
    context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT)


def _stamp(file: str) -> tuple[int, int, int] | None:
    try:
        found = Path(file).stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def _why(error: Exception) -> str:
    """The reason of OpenSSL or the system, which is a fixed phrase, in brackets."""
    reasons = error.args[0] if isinstance(error, SSL.Error) and error.args else ()
    phrase = reasons[-1][-1] if reasons else getattr(error, "strerror", None)
    return f" ({phrase})" if phrase else ""
