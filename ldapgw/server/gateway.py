# SPDX-License-Identifier: MIT
"""The composition root: a gateway of its parts, and the order of their beginning and end."""

from __future__ import annotations

import gc
from collections.abc import Callable, Coroutine, Iterable
from pathlib import Path
from typing import Any

from twisted.application.service import MultiService
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from ldapgw import __version__
from ldapgw.directory import transliteration
from ldapgw.numbers import phone_number
from ldapgw.server.config import Config
from ldapgw.server.listener import raise_descriptor_limit
from ldapgw.server.parts import Parts
from ldapgw.server.state_dir import OpenStateDir
from ldapgw.server.threads import WorkerThread

log = Logger()


class Gateway(MultiService):
    """All services of one gateway.  Threads and state end last: until then, something may want to be written."""

    def __init__(self, state: OpenStateDir, threads: Iterable[WorkerThread]) -> None:
        super().__init__()
        self._state = state
        self._threads = tuple(threads)

    def begin(self) -> None:
        """Listen and serve, where no twistd does it for us.

        :raises UserError: when an endpoint cannot be listened on; nothing goes on then.
        """
        try:
            self.privilegedStartService()
            self.startService()
        except BaseException:
            self.stopService()
            raise

    def startService(self) -> None:
        """Name our process in the lock file: only now is it the one that serves, twistd may have forked."""
        self._state.lock.write_pid()
        for thread in self._threads:
            thread.startService()
        super().startService()

    def stopService(self) -> Deferred[None]:
        """End all services, then the threads, then let go of the state."""
        return Deferred.fromCoroutine(self._end())

    async def _end(self) -> None:
        await super().stopService()
        for thread in self._threads:
            await thread.stopService()
        self._state.close()


def makeService(config: Config, reactor: Any, wall_clock: IReactorTime) -> Gateway:
    """A gateway by its configuration, with the stored contacts loaded: they are served from the start.

    :param wall: the time of day; what `reactor` says may be another time, that nobody sets.
    :raises UserError: when the state, the certificate or an endpoint cannot be used.
    """
    state = OpenStateDir(Path(config.state_dir), config.database)
    try:
        return _assemble(config, reactor, wall_clock, state)
    except BaseException:
        state.close()
        raise


def _assemble(config: Config, reactor: Any, wall_clock: IReactorTime, state: OpenStateDir) -> Gateway:
    raise_descriptor_limit(config.ldap.max_connections)
    parts = Parts(config, reactor, wall_clock, state, lambda: bool(gateway.running))
    gateway = Gateway(state, parts.threads)
    for part in parts.services():
        part.setServiceParent(gateway)
    transliteration.load()
    phone_number.load()
    _run_synchronously(parts.clients.refresh)
    _run_synchronously(parts.publisher.refresh)
    # What is loaded lives long: the collector, which stops everything, need not look at it again and again.
    gc.collect()
    gc.freeze()
    books = [book for directory in parts.catalog.dit().directories for book in directory.books]
    log.info(
        "ldapgw {version}: {contacts} contacts in {books} books",
        version=__version__,
        contacts=sum(map(len, books)),
        books=len(books),
    )
    state.database.close()  # twistd may fork now, and SQLite's connections must not be taken along
    return gateway


def _run_synchronously(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Do something with the store; before the threads are started, all of it happens here and now.

    :raises StoreError: when the database cannot be used.
    """
    failures: list[Failure] = []
    Deferred.fromCoroutine(work()).addErrback(failures.append)
    if failures:
        failures[0].raiseException()
