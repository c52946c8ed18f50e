# SPDX-License-Identifier: MIT
"""Renews the certificate of a private authority, loads renewed certificates, and warns before they expire.

`CertificateReloader` checks the files of ``[tls]`` off the reactor's thread, because a network file system may be slow.
If the files are unusable, the gateway keeps the certificate that it has read before.  The problem of the files is
logged only if the next check finds the same files, because an administrator replaces the certificate and the key one
after the other.

Mutable: `CertificateReloader`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from ldapgw.errors import UserError
from ldapgw.server.authority import renew_certificate
from ldapgw.server.tls import (
    FileVersions,
    LoadedCertificate,
    TlsContextFactory,
    file_versions,
    load_certificate,
)
from ldapgw.store.periodic import PeriodicService

log = Logger()

# The interval is short, because administrators try a renewed certificate a few seconds after they have renewed it.
CHECK_INTERVAL_SECONDS = 5.0
# The interval between two attempts to renew the certificate of the gateway's own authority.
RENEW_INTERVAL_SECONDS = 86400.0


class CertificateReloader(PeriodicService):
    """A service that checks the files of ``[tls]`` every `CHECK_INTERVAL_SECONDS`.

    :param clock: counts seconds since the epoch.
    :param host: the host of ``public_url``, which a certificate of the gateway's own authority has to be for.
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
        # The time is also over when the clock was set back, because a certificate from the future has to be replaced.
        if not 0 < self._renew_at - self._clock.seconds() <= RENEW_INTERVAL_SECONDS:
            await self._renew()
        versions: FileVersions = await self._run_off_thread(file_versions, self._context_factory.tls)
        if versions == self._context_factory.loaded.file_versions:
            self._report_restored()
        elif versions != self._reported:
            await self._reload(versions)
        self._warn_of_expiry()

    async def _renew(self) -> None:
        """Renew the certificate if the gateway's own authority issued it, and it is time."""
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
