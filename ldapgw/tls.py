# SPDX-License-Identifier: MIT
"""The certificate that phones are shown."""

from __future__ import annotations

from OpenSSL import SSL
from twisted.internet.interfaces import IOpenSSLContextFactory
from zope.interface import implementer

from ldapgw.config import Tls
from ldapgw.errors import UserError

_MINIMUM = {"1.2": SSL.TLS1_2_VERSION, "1.3": SSL.TLS1_3_VERSION}


@implementer(IOpenSSLContextFactory)
class ServerContext:
    """Makes server-side TLS connections, for Twisted.

    :raises UserError: when certificate and key cannot be read or do not belong together; ``ldapgw check`` says more.
    """

    def __init__(self, tls: Tls) -> None:
        self._context = SSL.Context(SSL.TLS_SERVER_METHOD)
        self._context.set_min_proto_version(_MINIMUM[tls.minimum])
        try:
            self._context.use_certificate_chain_file(tls.certificate)
        except SSL.Error:
            raise UserError(f"tls.certificate = {tls.certificate}: is no certificate that can be read") from None
        try:
            self._context.use_privatekey_file(tls.private_key)
            self._context.check_privatekey()
        except SSL.Error:
            raise UserError(
                f"tls.private_key = {tls.private_key}: is no private key that can be read, or not the certificate's"
            ) from None

    def getContext(self) -> SSL.Context:
        """See `IOpenSSLContextFactory`."""
        return self._context
