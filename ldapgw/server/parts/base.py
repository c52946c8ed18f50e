# SPDX-License-Identifier: MIT
"""What all parts of a gateway are built from: its settings, its threads and processes, and its database."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from socket import socket
from typing import Any

from twisted.internet.interfaces import IReactorTime

from ldapgw.server.config import Config
from ldapgw.server.counters import ReloadStatus
from ldapgw.server.oauth_clients import TenantClients, configured_clients
from ldapgw.server.processes import OneShotProcess, WorkerProcess
from ldapgw.server.state_dir import DATABASE_FILE, OpenStateDir
from ldapgw.server.threads import WorkerThread
from ldapgw.server.tls import TlsContextFactory
from ldapgw.store import accounts
from ldapgw.store.activity import RecordPruner
from ldapgw.store.copies import CopyCleaner
from ldapgw.store.database import Mode
from ldapgw.store.provisioning import ProvisioningCleaner
from ldapgw.store.worker import CallWatch, MonitoredStore, Store, on_threads


@dataclass(frozen=True, slots=True)
class Environment:
    """What the gateway was started with.

    :ivar tls: None: the gateway has no certificate.
    :ivar ports: sockets of this process that listen already, by endpoint.
    :ivar reloads: how the last reload has gone.
    """

    config: Config
    reactor: Any
    wall_clock: IReactorTime
    state: OpenStateDir
    tls: TlsContextFactory | None
    ports: Mapping[str, socket]
    reloads: ReloadStatus

    @property
    def now(self) -> Callable[[], float]:
        return self.wall_clock.seconds

    @property
    def state_dir(self) -> Path:
        return Path(self.config.state_dir)

    def certificate_expiry(self) -> float | None:
        return self.tls.loaded.validity.not_after.timestamp() if self.tls else None

    def certificate_expiry_if_near(self) -> float | None:
        return self.tls.loaded.validity.expiry_if_near(self.now()) if self.tls else None


class Workers:
    """The threads and processes that work beside the reactor's thread."""

    def __init__(self, reactor: Any, *, syncs_beside: bool) -> None:
        """:param syncs_beside: whether the database lets syncs write while others do."""
        self.store = WorkerThread(reactor, "store", 1)
        self.sync = WorkerThread(reactor, "sync", 1) if syncs_beside else self.store
        self.peers = WorkerThread(reactor, "peers", 1) if syncs_beside else self.store
        self.read = WorkerThread(reactor, "read", 1)
        self.work = WorkerThread(reactor, "work", 1)
        self.books = WorkerThread(reactor, "books", 1)
        self.build = WorkerThread(reactor, "build", 1)
        self.explain = WorkerThread(reactor, "explain", 1)
        self.copies = WorkerThread(reactor, "copies", 1)
        self.work_process = WorkerProcess(reactor)
        self.build_process = OneShotProcess()

    @property
    def threads(self) -> tuple[WorkerThread, ...]:
        """The threads in the order in which they stop."""
        return (
            self.copies,
            self.explain,
            self.build,
            self.books,
            self.work,
            self.read,
            *((self.sync, self.peers) if self.sync is not self.store else ()),
            self.store,
        )


@dataclass(frozen=True, slots=True)
class Storage:
    """The database, the OAuth clients in it, and what removes old data."""

    store: MonitoredStore
    watch: CallWatch
    sync_store: Store
    gateway_id: str
    clients: TenantClients
    copy_cleaner: CopyCleaner
    record_pruner: RecordPruner
    provisioning_cleaner: ProvisioningCleaner


def make_storage(env: Environment, workers: Workers) -> Storage:
    watch = CallWatch(env.state.database, env.reactor.seconds)
    threads = (watch.on(thread) for thread in (workers.store, workers.read, workers.sync))
    store = MonitoredStore(on_threads(env.state.database, *threads), env.reactor.seconds, env.now, watch)
    return Storage(
        store=store,
        watch=watch,
        sync_store=Store(store.call, Mode.BESIDE),
        gateway_id=os.urandom(8).hex(),
        clients=TenantClients(store, env.state.secret_box, configured_clients(env.config)),
        copy_cleaner=_copy_cleaner(env, workers, store),
        record_pruner=RecordPruner(
            clock=env.wall_clock,
            store=store,
            keep={tenant.name: float(tenant.activity_keep) for tenant in env.config.tenant},
        ),
        provisioning_cleaner=ProvisioningCleaner(clock=env.wall_clock, store=store),
    )


def _copy_cleaner(env: Environment, workers: Workers, store: MonitoredStore) -> CopyCleaner:
    database = env.state.database
    if not database.runs_beside:
        return CopyCleaner(clock=env.wall_clock, database=database.file, run_off_thread=workers.copies)
    return CopyCleaner(
        clock=env.wall_clock,
        database=env.state_dir / DATABASE_FILE,
        run_off_thread=workers.copies,
        read_disconnected=lambda: store.read(accounts.read_disconnected),
    )
