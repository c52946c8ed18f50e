# SPDX-License-Identifier: MIT
"""Loads renewed certificates without a restart, warns before they expire, and finds the CA that phones need.

`CertificateReloader` checks the files of ``[tls]`` off the reactor's thread, because a network file system may be slow.
Unusable files change nothing.  Their problem is logged only if the next check finds the same files, because an
administrator replaces the certificate and the key one after the other.

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

from OpenSSL import crypto
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from ldapgw.errors import UserError
from ldapgw.server.tls import (
    FileVersions,
    LoadedCertificate,
    TlsContextFactory,
    ValidityPeriod,
    file_versions,
    load_certificate,
    read_certificates,
    to_pem,
)
from ldapgw.store.periodic import PeriodicService

log = Logger()

# An administrator who has just renewed a certificate tries it after some seconds.
CHECK_INTERVAL_SECONDS = 5.0


class PhoneTrustAnchor:
    """The CA certificate that phones need, so that they trust the certificate in use.

    :param run_off_thread: calls a function with its arguments on a thread: reading the system's trust store blocks.
    """

    def __init__(
        self, context_factory: TlsContextFactory | None, run_off_thread: Callable[..., Awaitable[Any]]
    ) -> None:
        self._context_factory = context_factory
        self._run_off_thread = run_off_thread
        self._cached: tuple[FileVersions, str] | None = None

    async def trust_anchor(self) -> str:
        """Return the certificate in PEM; empty when phones need none."""
        if self._context_factory is None:
            return ""
        versions = self._context_factory.loaded.file_versions
        if self._cached is None or self._cached[0] != versions:
            anchor = await self._run_off_thread(private_trust_anchor, self._context_factory.tls.certificate)
            self._cached = versions, anchor
        return self._cached[1]


def private_trust_anchor(file: str) -> str:
    """Return the last certificate of a file's chain in PEM, if the chain leads to no authority of the system.

    :returns: empty for a trusted chain, and for a file that cannot be read, which `CertificateReloader` reports.
    """
    try:
        chain = read_certificates(Path(file).read_bytes())
    except (OSError, ValueError):
        return ""
    store = _system_trust_store()
    # An expired certificate is reported elsewhere: verify the chain at a time when all of its certificates are valid.
    store.set_time(ValidityPeriod.of(chain).not_before)
    first, *others = (crypto.X509.from_cryptography(certificate) for certificate in chain)
    try:
        crypto.X509StoreContext(store, first, others).verify_certificate()
    except crypto.X509StoreContextError:
        return to_pem(chain[-1])
    return ""


def _system_trust_store() -> crypto.X509Store:
    store = crypto.X509Store()
    paths = ssl.get_default_verify_paths()
    if paths.cafile or paths.capath:
        store.load_locations(paths.cafile, paths.capath)
    return store


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
