# SPDX-License-Identifier: MIT
"""Whether phones know who signed our certificate; if not, what they have to be given.

A phone trusts about what this machine's system does.  What does not lead there is private: self-signed, or by an
authority of the company's own.

Mutable: `Trust`, which remembers its answer until the files change.

A certificate that is renewed is used, without a restart; one that ends is spoken of.

The files are looked at off the reactor's thread: a network file system may take its time.  What cannot be used changes
nothing; it is told once it is still so at the next look, because a pair is replaced file by file.
"""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from OpenSSL import crypto
from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from ldapgw.errors import UserError
from ldapgw.server.tls import (
    FileVersions,
    TlsContextFactory,
    ValidityPeriod,
    file_versions,
    load_certificate,
    read_certificates,
    to_pem,
)


class PhoneTrustAnchor:
    """Answers for the certificate in use.

    :param run_off_thread: calls a function with its arguments where it may wait: reading what the system trusts does.
    """

    def __init__(
        self, context_factory: TlsContextFactory | None, run_off_thread: Callable[..., Awaitable[Any]]
    ) -> None:
        self._context_factory = context_factory
        self._run_off_thread = run_off_thread
        self._cached: tuple[FileVersions, str] | None = None

    async def trust_anchor(self) -> str:
        """In PEM, what phones have to be given; empty where nothing."""
        if self._context_factory is None:
            return ""
        stamp = self._context_factory.loaded.file_versions
        if self._cached is None or self._cached[0] != stamp:
            found = await self._run_off_thread(private_trust_anchor, self._context_factory.tls.certificate)
            self._cached = stamp, found
        return self._cached[1]


def private_trust_anchor(file: str) -> str:
    """The end of a file's chain in PEM, if it leads to nobody whom the system trusts; empty else.

    A file that cannot be read has nothing to give; `ldapgw.server.certificate_renewal` speaks of it.
    """
    try:
        chain = read_certificates(Path(file).read_bytes())
    except (OSError, ValueError):
        return ""
    store = _system_trust_store()
    # Whether one of them has expired is another question.
    store.set_time(ValidityPeriod.of(chain).not_before)
    first, *others = (crypto.X509.from_cryptography(certificate) for certificate in chain)
    try:
        crypto.X509StoreContext(store, first, others).verify_certificate()
    except crypto.X509StoreContextError:
        return to_pem(chain[-1])
    return ""


def _system_trust_store() -> crypto.X509Store:
    """Whom this machine trusts."""
    store = crypto.X509Store()
    paths = ssl.get_default_verify_paths()
    if paths.cafile or paths.capath:
        store.load_locations(paths.cafile, paths.capath)
    return store


# Somebody who has just renewed a certificate tries it after some seconds.
CHECK_INTERVAL_SECONDS = 5.0

log = Logger()


class CertificateReloader(Service):
    """Looks at the files of ``[tls]`` every few seconds.

    :param clock: its seconds are those since the epoch.
    :param run_off_thread: calls a function with its arguments where it may wait.
    """

    def __init__(
        self, *, clock: IReactorTime, context_factory: TlsContextFactory, run_off_thread: Callable[..., Awaitable[Any]]
    ) -> None:
        self._clock = clock
        self._context_factory = context_factory
        self._run_off_thread = run_off_thread
        self._timer = LoopingCall(self._check_and_log_failure)
        self._timer.clock = clock
        self._unusable: FileVersions | None = None  # files that could not be used
        self._reported: FileVersions | None = None  # those of which that was said
        self._urgency = 0

    def startService(self) -> None:
        """Begin to look."""
        super().startService()
        self._timer.start(CHECK_INTERVAL_SECONDS)

    def stopService(self) -> None:
        """Look no more."""
        super().stopService()
        if self._timer.running:
            self._timer.stop()

    async def check_files(self) -> None:
        """Use the files if they have changed, and say when the certificate ends soon."""
        found: FileVersions = await self._run_off_thread(file_versions, self._context_factory.tls)
        if found == self._context_factory.loaded.file_versions:
            self._report_restored()
        elif found != self._reported:
            await self._reload(found)
        self._warn_of_expiry()

    async def _reload(self, found: FileVersions) -> None:
        try:
            pair = await self._run_off_thread(load_certificate, self._context_factory.tls)
        except UserError as error:
            if found == self._unusable:
                self._reported = found
                log.error("{problem}; the one that was read before stays in use", problem=str(error))
            self._unusable = found
            return
        self._context_factory.loaded = pair
        self._urgency = 0
        self._unusable = self._reported = None
        log.info(
            "tls.certificate = {file}: has changed and is in use, valid until {ends}",
            file=self._context_factory.tls.certificate,
            ends=f"{pair.validity.not_after:%Y-%m-%d}",
        )

    def _report_restored(self) -> None:
        if self._reported is not None:
            log.info("tls.certificate = {file}: is as it was before", file=self._context_factory.tls.certificate)
        self._unusable = self._reported = None

    def _warn_of_expiry(self) -> None:
        now = self._clock.seconds()
        lifetime = self._context_factory.loaded.validity
        urgency = lifetime.urgency(now)
        if urgency > self._urgency:
            log.warn(
                "tls.certificate = {file}: {what} on {ends}; renew it",
                file=self._context_factory.tls.certificate,
                what="has expired" if lifetime.not_after.timestamp() <= now else "expires",
                ends=f"{lifetime.not_after:%Y-%m-%d %H:%M} UTC",
            )
        self._urgency = urgency

    def _check_and_log_failure(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self.check_files()).addErrback(_log_failure)


def _log_failure(failure: Failure) -> None:
    log.failure("looking at the certificate failed", failure)
