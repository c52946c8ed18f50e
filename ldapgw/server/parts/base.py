# SPDX-License-Identifier: MIT
"""The base of all parts of a gateway: its settings, threads and processes, counters and database."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from socket import socket
from typing import Any

from sqlalchemy import Connection
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from ldapgw.server.config import Config
from ldapgw.server.counters import Counters, ReloadStatus
from ldapgw.server.google import TenantClients, TenantDelegations
from ldapgw.server.state_dir import DATABASE_FILE, OpenStateDir
from ldapgw.server.tls import TlsContextFactory
from ldapgw.server.workers import (
    BUILD_TIMEOUT_SECONDS,
    FILE_TIMEOUT_SECONDS,
    ChildProcess,
    WorkerProcess,
    WorkerThread,
    has_several_processors,
)
from ldapgw.store import accounts, activity, sync_history
from ldapgw.store.copies import CopyCleaner
from ldapgw.store.database import Mode
from ldapgw.store.periodic import PeriodicService
from ldapgw.store.provisioning import EXPIRY_SECONDS, remove_expired
from ldapgw.store.worker import MonitoredStore, Store

log = Logger()

_DAY_SECONDS = 86400.0


class Workers:
    """The threads and processes for work outside the reactor's thread."""

    def __init__(self, reactor: Any, *, syncs_beside: bool) -> None:
        """Create the threads and processes, which start later.

        :param syncs_beside: whether the database lets syncs write at the same time as other transactions.
        """
        self.store = WorkerThread(reactor, "store")
        self.sync = WorkerThread(reactor, "sync") if syncs_beside else self.store
        self.peers = WorkerThread(reactor, "peers") if syncs_beside else self.store
        self.read = WorkerThread(reactor, "read")
        self.work = WorkerThread(reactor, "work")
        self.books = WorkerThread(reactor, "books")
        self.build = WorkerThread(reactor, "build")
        self.publish = WorkerThread(reactor, "publish")
        self.explain = WorkerThread(reactor, "explain")
        self.pages = WorkerThread(reactor, "pages")
        self.copies = WorkerThread(reactor, "copies")
        self.work_process = WorkerProcess(reactor)
        # Two processes convert the pages of a large account, if the machine has several processors.
        self.page_processes = (self.work_process, *([WorkerProcess(reactor)] if has_several_processors() else []))
        self.build_process = ChildProcess(BUILD_TIMEOUT_SECONDS)
        self.file_process = ChildProcess(FILE_TIMEOUT_SECONDS)

    @property
    def threads(self) -> tuple[WorkerThread, ...]:
        """Return the threads in the order in which they stop."""
        return (
            self.copies,
            self.pages,
            self.explain,
            self.build,
            self.publish,
            self.books,
            self.work,
            self.read,
            *((self.sync, self.peers) if self.sync is not self.store else ()),
            self.store,
        )


class Base:
    """The arguments with which the gateway was started, and the objects that its parts share.

    :param wall_clock: the clock for the time of day; `reactor` may run on the monotonic clock instead.
    :param ports: sockets of this process that listen already, by endpoint.
    :param reloads: the outcome of the last reload.
    :param file: the configuration file.
    :ivar tls: the certificate, or None if no certificate is configured.
    :ivar store: the store, which notes failures of the database.
    :ivar sync_store: the store for syncs, which do not wait for the calls of web pages.
    :ivar clients: the tenants' OAuth clients.
    :ivar delegations: the tenants' service accounts.
    :raises UserError: when the certificate, or the key file of a service account, cannot be used.
    """

    def __init__(
        self,
        config: Config,
        reactor: Any,
        wall_clock: IReactorTime,
        state: OpenStateDir,
        ports: Mapping[str, socket],
        reloads: ReloadStatus,
        file: str,
    ) -> None:
        database = state.database
        self.config = config
        self.reactor = reactor
        self.wall_clock = wall_clock
        self.now = wall_clock.seconds
        self.state = state
        self.state_dir = Path(config.state_dir)
        self.ports = ports
        self.reloads = reloads
        self.config_file = str(Path(file).absolute())
        self.counters = Counters()
        self.tls = TlsContextFactory(config.tls) if config.tls else None
        self.gateway_id = os.urandom(8).hex()
        self.workers = workers = Workers(reactor, syncs_beside=database.runs_beside)
        self.store = MonitoredStore(
            database, reactor.seconds, self.now, run=workers.store, read=workers.read, sync=workers.sync
        )
        self.sync_store = Store(self.store.call, Mode.BESIDE)
        self.clients = TenantClients(self.store, state.secret_box, config.clients)
        self.delegations = TenantDelegations(self.store, state.secret_box, config.tenant)
        self.copy_cleaner = self._copy_cleaner()
        keep: dict[str, float] = {tenant.name: float(tenant.activity_keep) for tenant in config.tenant}
        self.record_pruner = RecordPruner(
            wall_clock, self.store, _DAY_SECONDS, partial(activity.prune, keep=keep), sync_history.prune_days
        )
        self.expiry_pruner = RecordPruner(wall_clock, self.store, EXPIRY_SECONDS, remove_expired)

    def certificate_expiry(self) -> float | None:
        return self.tls.loaded.validity.not_after.timestamp() if self.tls else None

    def certificate_expiry_if_near(self) -> float | None:
        return self.tls.loaded.validity.expiry_if_near(self.now()) if self.tls else None

    def _copy_cleaner(self) -> CopyCleaner:
        database, copies = self.state.database, self.workers.copies
        if not database.runs_beside:
            return CopyCleaner(clock=self.wall_clock, database=database.file, run_off_thread=copies)
        return CopyCleaner(
            clock=self.wall_clock,
            database=self.state_dir / DATABASE_FILE,
            run_off_thread=copies,
            read_disconnected=lambda: self.store.read(accounts.read_disconnected),
        )


class RecordPruner(PeriodicService):
    """A service that deletes old records at the gateway's start, and then periodically.

    :param clock: ``seconds()`` returns the seconds since the epoch.
    :param seconds: the time between two runs.
    :param functions: called in each run, each in a transaction, with a connection and the seconds since the epoch.
    """

    def __init__(
        self, clock: IReactorTime, store: Store, seconds: float, *functions: Callable[[Connection, float], None]
    ) -> None:
        self._clock = clock
        self._store = store
        self._functions = functions
        failed = partial(log.failure, "deleting old records failed", event="pruning_failed")
        super().__init__(clock, seconds, self._prune, failed)

    async def _prune(self) -> None:
        for function in self._functions:
            await self._store.run(function, self._clock.seconds())
