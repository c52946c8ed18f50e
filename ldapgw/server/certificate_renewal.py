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
from ldapgw.server.tls import Lifetime, ServerContext, Stamp, read_certificates, read_pair, stamp, to_pem


class Trust:
    """Answers for the certificate in use.

    :param run_off_thread: calls a function with its arguments where it may wait: reading what the system trusts does.
    """

    def __init__(self, contexts: ServerContext | None, run_off_thread: Callable[..., Awaitable[Any]]) -> None:
        self._contexts = contexts
        self._run_off_thread = run_off_thread
        self._known: tuple[Stamp, str] | None = None

    async def certificate(self) -> str:
        """In PEM, what phones have to be given; empty where nothing."""
        if self._contexts is None:
            return ""
        stamp = self._contexts.pair.stamp
        if self._known is None or self._known[0] != stamp:
            found = await self._run_off_thread(private_certificate, self._contexts.tls.certificate)
            self._known = stamp, found
        return self._known[1]


def private_certificate(file: str) -> str:
    """The end of a file's chain in PEM, if it leads to nobody whom the system trusts; empty else.

    A file that cannot be read has nothing to give; `ldapgw.server.certificate_renewal` speaks of it.
    """
    try:
        chain = read_certificates(Path(file).read_bytes())
    except (OSError, ValueError):
        return ""
    store = _system()
    # Whether one of them has expired is another question.
    store.set_time(Lifetime.of(chain).begins)
    first, *others = (crypto.X509.from_cryptography(certificate) for certificate in chain)
    try:
        crypto.X509StoreContext(store, first, others).verify_certificate()
    except crypto.X509StoreContextError:
        return to_pem(chain[-1])
    return ""


def _system() -> crypto.X509Store:
    """Whom this machine trusts."""
    store = crypto.X509Store()
    paths = ssl.get_default_verify_paths()
    if paths.cafile or paths.capath:
        store.load_locations(paths.cafile, paths.capath)
    return store


# Somebody who has just renewed a certificate tries it after some seconds.
LOOK_SECONDS = 5.0

log = Logger()


class Renewal(Service):
    """Looks at the files of ``[tls]`` every few seconds.

    :param clock: its seconds are those since the epoch.
    :param run_off_thread: calls a function with its arguments where it may wait.
    """

    def __init__(
        self, *, clock: IReactorTime, contexts: ServerContext, run_off_thread: Callable[..., Awaitable[Any]]
    ) -> None:
        self._clock = clock
        self._contexts = contexts
        self._run_off_thread = run_off_thread
        self._timer = LoopingCall(self._quietly)
        self._timer.clock = clock
        self._failed: Stamp | None = None  # files that could not be used
        self._told: Stamp | None = None  # those of which that was said
        self._urgency = 0

    def startService(self) -> None:
        """Begin to look."""
        super().startService()
        self._timer.start(LOOK_SECONDS)

    def stopService(self) -> None:
        """Look no more."""
        super().stopService()
        if self._timer.running:
            self._timer.stop()

    async def look(self) -> None:
        """Use the files if they have changed, and say when the certificate ends soon."""
        found: Stamp = await self._run_off_thread(stamp, self._contexts.tls)
        if found == self._contexts.pair.stamp:
            self._back()
        elif found != self._told:
            await self._read(found)
        self._warn()

    async def _read(self, found: Stamp) -> None:
        try:
            pair = await self._run_off_thread(read_pair, self._contexts.tls)
        except UserError as error:
            if found == self._failed:
                self._told = found
                log.error("{problem}; the one that was read before stays in use", problem=str(error))
            self._failed = found
            return
        self._contexts.pair = pair
        self._urgency = 0
        self._failed = self._told = None
        log.info(
            "tls.certificate = {file}: has changed and is in use, valid until {ends}",
            file=self._contexts.tls.certificate,
            ends=f"{pair.lifetime.ends:%Y-%m-%d}",
        )

    def _back(self) -> None:
        if self._told is not None:
            log.info("tls.certificate = {file}: is as it was before", file=self._contexts.tls.certificate)
        self._failed = self._told = None

    def _warn(self) -> None:
        now = self._clock.seconds()
        lifetime = self._contexts.pair.lifetime
        urgency = lifetime.urgency(now)
        if urgency > self._urgency:
            log.warn(
                "tls.certificate = {file}: {what} on {ends}; renew it",
                file=self._contexts.tls.certificate,
                what="has expired" if lifetime.ends.timestamp() <= now else "expires",
                ends=f"{lifetime.ends:%Y-%m-%d %H:%M} UTC",
            )
        self._urgency = urgency

    def _quietly(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self.look()).addErrback(_unexpected)


def _unexpected(failure: Failure) -> None:
    log.failure("looking at the certificate failed", failure)
