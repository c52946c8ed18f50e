# SPDX-License-Identifier: MIT
"""Loads renewed certificates without a restart, warns before they expire, and finds the CA certificate for phones.

`CertificateReloader` checks the files of ``[tls]`` off the reactor's thread, because a network file system may be slow.
If the files are unusable, the gateway keeps the certificate that it has read before.  The problem of the files is
logged only if the next check finds the same files, because an administrator replaces the certificate and the key one
after the other.

`PhoneTrustAnchor` finds out whether phones trust the certificate.  Phones trust about the same authorities as the
system of this machine.  A chain that leads to none of these authorities is private: self-signed, or issued by the
company's own authority.

Mutable: `CertificateReloader`, and `PhoneTrustAnchor`, which caches its answer until the files change.
"""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from ldapgw.errors import UserError
from ldapgw.server.config import Tls
from ldapgw.server.tls import (
    FileVersions,
    LoadedCertificate,
    TlsContextFactory,
    file_versions,
    load_certificate,
    read_certificates,
    to_pem,
)
from ldapgw.store.periodic import PeriodicService

log = Logger()

# The interval is short, because administrators try a renewed certificate a few seconds after they have renewed it.
CHECK_INTERVAL_SECONDS = 5.0
# X509_V_FLAG_NO_CHECK_TIME of OpenSSL, for which Python has no name.
_NO_CHECK_TIME = ssl.VerifyFlags(0x200000)


class PhoneTrustAnchor:
    """The CA certificate that phones need, so that they trust the certificate in use.

    :param run_off_thread: calls a function with its arguments on another thread, because reading the system's trust
        store blocks.
    """

    def __init__(
        self, context_factory: TlsContextFactory | None, run_off_thread: Callable[..., Awaitable[Any]]
    ) -> None:
        self._context_factory = context_factory
        self._run_off_thread = run_off_thread
        self._cached: tuple[FileVersions, str] | None = None

    async def trust_anchor(self) -> str:
        """Return the certificate in PEM; empty when phones trust the gateway's certificate without it."""
        if self._context_factory is None:
            return ""
        versions = self._context_factory.loaded.file_versions
        if self._cached is None or self._cached[0] != versions:
            anchor = await self._run_off_thread(private_trust_anchor, self._context_factory.tls)
            self._cached = versions, anchor
        return self._cached[1]


def private_trust_anchor(tls: Tls) -> str:
    """Return the last certificate of the chain of ``[tls]`` in PEM, if the chain leads to no authority of the system.

    :returns: empty for a trusted chain, and for files that cannot be read, which `CertificateReloader` reports.
    """
    try:
        chain = read_certificates(Path(tls.certificate).read_bytes())
        gateway = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        gateway.load_cert_chain(tls.certificate, tls.private_key)
    except (OSError, ValueError):  # an SSLError is an OSError
        return ""
    return "" if _is_trusted(gateway) else to_pem(chain[-1])


def _is_trusted(gateway: ssl.SSLContext) -> bool:
    """Return whether a client that trusts the system's authorities completes a TLS handshake with the gateway.

    Both sides of the handshake run in memory.
    """
    phone = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    phone.check_hostname = False
    phone.set_default_verify_paths()
    # Expiry is ignored here, because `CertificateReloader` warns of an expired certificate.
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


class CertificateReloader(PeriodicService):
    """A service that checks the files of ``[tls]`` every `CHECK_INTERVAL_SECONDS`.

    :param clock: counts seconds since the epoch.
    :param run_off_thread: calls a function with its arguments on a thread.
    """

    def __init__(
        self, *, clock: IReactorTime, context_factory: TlsContextFactory, run_off_thread: Callable[..., Awaitable[Any]]
    ) -> None:
        self._clock = clock
        self._context_factory = context_factory
        self._run_off_thread = run_off_thread
        self._unusable: FileVersions | None = None  # files that could not be used at the last check
        self._reported: FileVersions | None = None  # unusable files whose problem was logged
        self._urgency = 0
        failed = partial(log.failure, "checking the certificate for changes failed", event="certificate_check_failed")
        super().__init__(clock, CHECK_INTERVAL_SECONDS, self.check_files, failed)

    async def check_files(self) -> None:
        """Load the files if they have changed, and warn when the certificate expires soon."""
        versions: FileVersions = await self._run_off_thread(file_versions, self._context_factory.tls)
        if versions == self._context_factory.loaded.file_versions:
            self._report_restored()
        elif versions != self._reported:
            await self._reload(versions)
        self._warn_of_expiry()

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
