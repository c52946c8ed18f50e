# SPDX-License-Identifier: MIT
"""Builds all objects of a gateway in order of their dependencies, and passes each object what it needs; no logic."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from random import SystemRandom
from socket import gethostname, socket
from types import MappingProxyType
from typing import Any

from twisted.application.service import IService
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from ldapgw import __version__
from ldapgw.directory.catalog import Catalog, Freshness, Snapshot
from ldapgw.directory.change_log import ChangeLogs
from ldapgw.directory.dit import Dit
from ldapgw.directory.dn import Dn
from ldapgw.directory.filter import SearchKind
from ldapgw.errors import ResultCode
from ldapgw.google.http import CallObserver
from ldapgw.google.people import People
from ldapgw.google.photos import PhotoClient
from ldapgw.ldap.encoder import features
from ldapgw.ldap.limits import Limits
from ldapgw.ldap.server import LdapFactory
from ldapgw.ldap.session import DirectoryPort, Observer
from ldapgw.phones.activity import PhoneActivity, SearchRecorder
from ldapgw.phones.book_reader import BookReader
from ldapgw.phones.connection_test import ConnectionSettings, OwnTests, StepResult
from ldapgw.phones.contact_browser import ContactBrowser
from ldapgw.phones.explainer import PhoneExplainer
from ldapgw.phones.lookup import DirectoryFinder
from ldapgw.phones.recorder import FOLDER as RECORDINGS
from ldapgw.phones.recorder import Captures, PhoneRecorder
from ldapgw.phones.refused_logins import RefusedLogins
from ldapgw.server.certificate_renewal import CertificateReloader, PhoneTrustAnchor
from ldapgw.server.config import Config
from ldapgw.server.counters import ProcessCounters
from ldapgw.server.gateway_exchange import GatewayExchange
from ldapgw.server.google import GoogleClients
from ldapgw.server.listener import Listener, SessionCloser, configured_endpoints, ipv6_only_endpoints, phone_server
from ldapgw.server.logging import MisuseLog, log_replica_use
from ldapgw.server.metrics import LeaderCounters, Metrics, ProcessFigures
from ldapgw.server.oauth_clients import MISSING_CLIENT, LazyTenants, TenantClients, configured_clients
from ldapgw.server.process_group import GroupLeader, GroupMember
from ldapgw.server.process_link import ProcessLink
from ldapgw.server.processes import OneShotProcess, SizeBasedOffload, WorkerProcess
from ldapgw.server.proxy_protocol import ProxyProtocolFactory
from ldapgw.server.reactor import LagMeter
from ldapgw.server.state_dir import DATABASE_FILE, OpenStateDir
from ldapgw.server.supervisor import Seat
from ldapgw.server.tenants import attribute_aliases, naming_context, synced_tenant, web_tenant
from ldapgw.server.threads import WorkerThread
from ldapgw.server.tls import TlsContextFactory
from ldapgw.store import accounts
from ldapgw.store.account_status import ProgressBoard
from ldapgw.store.activity import RecordPruner
from ldapgw.store.copies import CopyCleaner
from ldapgw.store.gateways import GatewayInfo, Leases
from ldapgw.store.provisioning import ProvisioningCleaner
from ldapgw.store.worker import MonitoredStore, ReadOnlyStore, StoreWorker, SyncStore
from ldapgw.sync.book_builder import build_cached_books
from ldapgw.sync.book_cache import FOLDER, BookCache
from ldapgw.sync.change_watcher import ChangeWatcher, DirectoryFollower
from ldapgw.sync.fetch import UNLIMITED, FullSyncLimits
from ldapgw.sync.job import SyncedTenant, SyncJob
from ldapgw.sync.leases import AllTenants, SyncRights, TenantLeases
from ldapgw.sync.logins_keeper import LoginsKeeper, StaleLimit
from ldapgw.sync.pacing import CallPacer
from ldapgw.sync.photos import PhotoFetcher
from ldapgw.sync.publisher import LoadedBooks, Publisher
from ldapgw.sync.scheduler import SyncScheduler
from ldapgw.sync.tokens import TokenRevoker
from ldapgw.web.app import web_resource
from ldapgw.web.dependencies import (
    AdminDependencies,
    BookClientDependencies,
    NoOtherGateways,
    PhoneDependencies,
    WebDependencies,
    WebTenant,
)
from ldapgw.web.live import GATEWAYS_TOPIC, AccountWatcher, ChangeNotifier, account_topic
from ldapgw.web.one_time_passwords import OneTimeSecrets
from ldapgw.web.site import Admission, WebSite

# A clock that goes on while the machine sleeps; leases go on too.
BOOT_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class Parts:
    """The objects of which a gateway consists.

    :param wall_clock: the time of day; `reactor` may run on the time since boot instead.
    :param is_running: whether the gateway's services are running.
    :param max_web_connections: the most connections to the page that the file descriptors allow.
    :ivar store: the database, whose failures are noted.
    :ivar clients: the tenants' OAuth clients.
    :param seat: the place of this process in a gateway of several; None: it is the only one.
    :param books: what this process has inherited.
    :param ports: sockets of the only process that listen already, by endpoint.
    :ivar catalog: the directory that is served.
    :ivar publisher: builds the directory from the stored contacts.
    :ivar threads: the worker threads, in the order in which they stop.
    :ivar services: the services, in the order in which they start; they stop in reverse order.
    :raises UserError: when the certificate, or ``[google] ca_file``, cannot be used.
    """

    def __init__(
        self,
        config: Config,
        reactor: Any,
        wall_clock: IReactorTime,
        state: OpenStateDir,
        is_running: Callable[[], bool],
        max_web_connections: int,
        seat: Seat | None = None,
        books: LoadedBooks | None = None,
        ports: Mapping[str, socket] = MappingProxyType({}),
    ) -> None:
        tls = TlsContextFactory(config.tls) if config.tls else None
        env = _Environment(
            config, reactor, wall_clock, state, tls, seat, books, ports if seat is None else seat.sockets
        )
        workers = _Workers(reactor, syncs_beside=state.database.runs_beside)
        storage = _storage(env, workers)
        phones = _phone_parts(env, workers, storage)

        def figures() -> ProcessFigures:
            unserved = self.publisher.unserved
            return ProcessFigures.of_this_process(phones.counters, phones.ldap.connected(), unserved, workers.threads)

        if seat is not None and not seat.is_first:
            self.store, self.clients, self.catalog = storage.store, storage.clients, phones.catalog
            self.publisher = _publisher(env, workers, storage.store, phones, phones.end_logins)
            self.threads = workers.threads
            self.services: tuple[IService, ...] = (
                *_stale_limit(env, self.publisher),
                *_member_services(env, workers, phones, self.publisher, seat, figures),
            )
            return
        leader = _group_leader(env, phones, figures)
        counters = LeaderCounters()
        sync = _sync_parts(env, workers, storage, phones, leader, counters)
        misuse_log = MisuseLog(reactor)
        pages = _pages(env, workers, storage, phones, sync, leader, misuse_log, counters, is_running)
        web = WebSite(
            web_resource(pages),
            reactor,
            Admission(
                max_web_connections,
                config.web.max_connections_per_network,
                config.web.trusted_proxies.contains,
                misuse_log.count,
            ),
        )
        self.store = storage.store
        self.clients = storage.clients
        self.catalog = phones.catalog
        self.publisher = sync.publisher
        self.threads = workers.threads
        self.services = (
            *_stale_limit(env, sync.publisher),
            workers.build_process,
            workers.recording_process,
            workers.work_process,
            LagMeter(reactor, phones.counters.reactor_lag.observe),
            misuse_log,
            phones.phone_recorder,
            *((sync.logins_keeper,) if sync.logins_keeper else ()),
            sync.change_watcher,
            phones.recorder,
            phones.refused_logins,
            sync.revoker,
            storage.copy_cleaner,
            storage.record_pruner,
            storage.provisioning_cleaner,
            sync.photo_fetcher,
            sync.scheduler,
            *((sync.leases,) if sync.leases else ()),
            *((sync.exchange,) if sync.exchange else ()),
            leader,
            *_listeners(
                env,
                workers,
                phones.ldap,
                ProxyProtocolFactory(web, config.web.proxy_protocol.contains, reactor, misuse_log.count)
                if "web" in config.roles
                else None,
            ),
        )


@dataclass(frozen=True, slots=True)
class _Environment:
    """What the gateway was started with.

    :ivar tls: None: the gateway has no certificate.
    :ivar seat: None: this process is the only one of the gateway.
    :ivar books: None: no books were loaded before.
    :ivar ports: sockets of this process that listen already, by endpoint.
    """

    config: Config
    reactor: Any
    wall_clock: IReactorTime
    state: OpenStateDir
    tls: TlsContextFactory | None
    seat: Seat | None
    books: LoadedBooks | None
    ports: Mapping[str, socket]

    @property
    def only_reads(self) -> bool:
        """Whether another process of the gateway writes the database."""
        return self.seat is not None and not self.seat.is_first

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


class _Workers:
    """The threads and processes that work beside the reactor's thread."""

    def __init__(self, reactor: Any, *, syncs_beside: bool) -> None:
        """:param syncs_beside: whether the database lets syncs write while others do."""
        self.store = WorkerThread(reactor, "store", 1)
        self.sync = WorkerThread(reactor, "sync", 1) if syncs_beside else self.store
        self.leases = WorkerThread(reactor, "leases", 1) if syncs_beside else self.store
        self.read = WorkerThread(reactor, "read", 1)
        self.work = WorkerThread(reactor, "work", 1)
        self.books = WorkerThread(reactor, "books", 1)
        self.build = WorkerThread(reactor, "build", 1)
        self.explain = WorkerThread(reactor, "explain", 1)
        self.copies = WorkerThread(reactor, "copies", 1)
        self.recordings = WorkerThread(reactor, "recordings", 1)
        self.work_process = WorkerProcess(reactor)
        self.build_process = OneShotProcess()
        self.recording_process = OneShotProcess()

    @property
    def threads(self) -> tuple[WorkerThread, ...]:
        """The threads in the order in which they stop."""
        return (
            self.recordings,
            self.copies,
            self.explain,
            self.build,
            self.books,
            self.work,
            self.read,
            *((self.sync, self.leases) if self.sync is not self.store else ()),
            self.store,
        )


@dataclass(frozen=True, slots=True)
class _Storage:
    """The database, the OAuth clients in it, and what removes old data."""

    store: MonitoredStore
    sync_store: SyncStore
    gateway_id: str
    clients: TenantClients
    copy_cleaner: CopyCleaner
    record_pruner: RecordPruner
    provisioning_cleaner: ProvisioningCleaner


def _storage(env: _Environment, workers: _Workers) -> _Storage:
    kind = ReadOnlyStore if env.only_reads else StoreWorker
    worker = kind(env.state.database, workers.store, workers.read, workers.sync)
    store = MonitoredStore(worker, env.reactor.seconds, env.now)
    return _Storage(
        store=store,
        sync_store=SyncStore(store),
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


def _copy_cleaner(env: _Environment, workers: _Workers, store: MonitoredStore) -> CopyCleaner:
    database = env.state.database
    if not database.runs_beside:
        return CopyCleaner(clock=env.wall_clock, database=database.file, run_off_thread=workers.copies)
    return CopyCleaner(
        clock=env.wall_clock,
        database=env.state_dir / DATABASE_FILE,
        run_off_thread=workers.copies,
        read_disconnected=lambda: store.read(accounts.read_disconnected),
    )


@dataclass(frozen=True, slots=True)
class _PhoneParts:
    """The directory, the LDAP server, and what is remembered of the phones.

    :ivar notifier: tells open pages what has changed.
    """

    catalog: Catalog
    notifier: ChangeNotifier
    activity: PhoneActivity
    recorder: SearchRecorder
    refused_logins: RefusedLogins
    counters: ProcessCounters
    ldap: LdapFactory
    captures: Captures
    phone_recorder: PhoneRecorder
    own_tests: OwnTests
    one_time: OneTimeSecrets

    @property
    def observers(self) -> tuple[Observer, ...]:
        return _observers(self.counters, self.activity, self.own_tests)

    def end_logins(self, ended_logins: Sequence[str]) -> None:
        """Let go of the former snapshot, and of logins that were removed or changed; update open pages."""
        self.ldap.snapshot_changed()
        for login in ended_logins:
            self.ldap.disconnect(login)
            self.activity.search_log.forget(login)
            self.recorder.forget(login)
            self.refused_logins.forget(login)
            self.notifier.notify(login)


def _phone_parts(env: _Environment, workers: _Workers, storage: _Storage) -> _PhoneParts:
    config = env.config
    own_tests = OwnTests()
    catalog = Catalog(
        env.books.snapshot if env.books else Snapshot(Dit((), features(tls=env.tls is not None))),
        {tenant.name: tenant.anonymous_networks.contains for tenant in config.tenant},
        env.now,
        own_tests.include,
    )
    notifier = ChangeNotifier()
    base_dns: dict[str, str] = {tenant.name: tenant.base_dn for tenant in config.tenant}
    activity = PhoneActivity(base_dns, env.now, notifier.notify)
    recorder = SearchRecorder(
        clock=env.wall_clock,
        store=storage.store,
        take_updates=activity.search_log.take_updates,
        logins=lambda: catalog.snapshot.logins,
        summarize=activity.summarize,
    )
    refused_logins = RefusedLogins(
        clock=env.wall_clock,
        store=storage.store,
        find_login=catalog.find_login,
        last_login=catalog.last_login,
        logins=lambda: catalog.snapshot.logins,
        bases=base_dns,
        on_refusal=notifier.notify,
        tells_others=env.state.database.runs_beside,
    )
    counters = ProcessCounters()
    observers = _observers(counters, activity, own_tests)
    ldap = _ldap_factory(env, catalog, observers, _note_refusal(refused_logins, own_tests), counters.count_bind)
    captures = Captures(env.now, ldap.tap)
    phone_recorder = PhoneRecorder(
        clock=env.wall_clock,
        store=storage.store,
        folder=env.state_dir / RECORDINGS,
        snapshot=lambda: catalog.snapshot,
        contexts={tenant.name: naming_context(tenant) for tenant in config.tenant},
        attribute_aliases=attribute_aliases(config),
        captures=captures,
        run_off_thread=workers.recordings,
        run_in_process=lambda *call: workers.recordings(workers.recording_process, *call),
        version=__version__,
        on_change=notifier.notify,
    )
    return _PhoneParts(
        catalog,
        notifier,
        activity,
        recorder,
        refused_logins,
        counters,
        ldap,
        captures,
        phone_recorder,
        own_tests,
        OneTimeSecrets.create(tells_others=env.state.database.runs_beside),
    )


def _observers(counters: ProcessCounters, activity: PhoneActivity, own_tests: OwnTests) -> tuple[Observer, ...]:
    observe_phone = activity.search_log.observe

    def observe(
        login: str, address: str, message: bytes, entries: int, code: ResultCode, seconds: float, _kind: SearchKind
    ) -> None:
        if not own_tests.include(login, address):
            observe_phone(login, address, message, entries, code, seconds)

    return (counters.searches.observe, observe)


def _note_refusal(refused_logins: RefusedLogins, own_tests: OwnTests) -> Callable[[str, str], None]:
    def note(name: str, address: str) -> None:
        if not own_tests.include(name, address):
            refused_logins.note(name, address)

    return note


def _ldap_factory(
    env: _Environment,
    catalog: Catalog,
    observers: tuple[Observer, ...],
    note_refusal: Callable[[str, str], None],
    count_bind: Callable[[ResultCode], None],
) -> LdapFactory:
    settings = env.config.ldap
    return LdapFactory(
        DirectoryPort(
            catalog.dit,
            catalog.authenticate,
            catalog.anonymous,
            env.state.secret_box.derive("cookies of paged results"),
            observers,
            note_refusal,
            ChangeLogs(lambda: catalog.snapshot, env.wall_clock.seconds),
            log_replica_use,
            count_bind,
        ),
        Limits(**{field.name: getattr(settings, field.name) for field in dataclasses.fields(Limits)}),
        env.reactor,
        env.tls,
        require_tls=settings.require_tls,
        call_at_tick_end=getattr(env.reactor, "at_end", None),  # see `ldapgw.server.reactor`
        logs_connections=env.config.log_level.of("ldap") == "debug",
    )


@dataclass(frozen=True, slots=True)
class _SyncParts:
    """What talks to Google, and what publishes the contacts that Google returned."""

    google: GoogleClients
    publisher: Publisher
    progress: ProgressBoard
    scheduler: SyncScheduler
    photo_fetcher: PhotoFetcher
    revoker: TokenRevoker
    change_watcher: ChangeWatcher
    leases: TenantLeases | None
    exchange: GatewayExchange | None
    logins_keeper: LoginsKeeper | None


def _sync_parts(
    env: _Environment,
    workers: _Workers,
    storage: _Storage,
    phones: _PhoneParts,
    leader: GroupLeader,
    counters: LeaderCounters,
) -> _SyncParts:
    config, store, clients, notifier = env.config, storage.store, storage.clients, phones.notifier

    def on_publish(ended_logins: Sequence[str]) -> None:
        phones.end_logins(ended_logins)
        leader.changed()

    publisher = _publisher(env, workers, store, phones, on_publish)

    def tenants_changed(gained: Collection[str], lost: Collection[str]) -> None:
        scheduler.change_tenants(gained, lost)
        if gained:
            change_watcher.refresh_now()

    progress = ProgressBoard(lambda account_id: notifier.notify(account_topic(account_id)))
    exchange = _exchange(env, workers, storage, phones, leader, progress)
    leases = _leases(env, workers, storage, publisher, phones.catalog, exchange, tenants_changed)
    rights: SyncRights = leases or AllTenants(storage.sync_store)
    observe_call = counters.google.observe
    google = GoogleClients(config.google, env.reactor, env.wall_clock, observe_call)
    synced_tenants: dict[str, SyncedTenant] = {tenant.name: synced_tenant(tenant) for tenant in config.tenant}
    tenants = LazyTenants(
        synced_tenants,
        lambda name: dataclasses.replace(synced_tenants[name], client=clients.get(name, MISSING_CLIENT)),
    )

    def share(project: str) -> float:
        return rights.share([name for name, tenant in tenants.items() if tenant.client.project == project])

    pacer = CallPacer(clock=env.wall_clock, calls_per_minute=config.google.max_calls_per_minute, share=share)
    scheduler = SyncScheduler(
        clock=env.wall_clock,
        store=storage.sync_store,
        rights=rights,
        job=_sync_job(env, workers, storage, rights, google, tenants, pacer, progress, observe_call),
        publish=publisher.refresh,
        interval=config.sync.interval,
        concurrency=config.sync.concurrency,
        random=SystemRandom().random,
        observe=counters.syncs.observe,
    )
    photo_fetcher = PhotoFetcher(
        clock=env.wall_clock,
        store=storage.sync_store,
        rights=rights,
        client=PhotoClient(google.http, google.endpoints, env.wall_clock, observe_call),
        tenants=tenants,
        pacer=pacer,
        scale_in_process=workers.work_process,
        publish=publisher.refresh,
    )
    revoker = TokenRevoker(
        clock=env.wall_clock,
        store=store,
        rights=rights,
        secret_box=env.state.secret_box,
        oauth=google.oauth,
        clients=clients,
    )
    logins_keeper = _logins_keeper(env, workers, publisher)
    change_watcher = ChangeWatcher(
        clock=env.wall_clock,
        store=store,
        change_detector=env.state.database.change_detector(),
        call_from_thread=lambda call: env.reactor.callFromThread(call),
        publisher=publisher,
        scheduler=scheduler,
        take_binds=phones.catalog.take_seen_phones,
        converted_hashes=phones.catalog.converted_hashes,
        read_clients=clients.refresh,
        notify_pages=AccountWatcher(store, notifier, lambda: store.recoveries).check,
        read_recordings=phones.phone_recorder.refresh,
        looked=logins_keeper.looked if logins_keeper else lambda _: None,
    )
    return _SyncParts(
        google,
        publisher,
        progress,
        scheduler,
        photo_fetcher,
        revoker,
        change_watcher,
        leases,
        exchange,
        logins_keeper,
    )


def _logins_keeper(env: _Environment, workers: _Workers, publisher: Publisher) -> LoginsKeeper | None:
    """None: the gateway writes no snapshot of logins."""
    file = env.state.logins_file
    if file is None:
        return None
    return LoginsKeeper(
        clock=env.wall_clock,
        file=file,
        max_age=env.config.serve.stale_start,
        publisher=publisher,
        run_off_thread=workers.copies,
    )


def _stale_limit(env: _Environment, publisher: Publisher) -> tuple[IService, ...]:
    """What ends serving from a snapshot of logins, where the gateway has started from one."""
    file, snapshot = env.state.logins_file, env.state.snapshot
    if file is None or snapshot is None:
        return ()
    seconds = snapshot.taken_at + env.config.serve.stale_start - env.now()
    return (StaleLimit(clock=env.reactor, seconds=seconds, file=file, publisher=publisher),)


def _leases(
    env: _Environment,
    workers: _Workers,
    storage: _Storage,
    publisher: Publisher,
    catalog: Catalog,
    exchange: GatewayExchange | None,
    changed: Callable[[frozenset[str], frozenset[str]], None],
) -> TenantLeases | None:
    """None: the gateway is the only one on its database."""
    roles = env.config.roles
    if exchange is None:
        return None

    def describe() -> GatewayInfo:
        books = [book for directory in catalog.dit().directories for book in directory.books]
        return GatewayInfo(
            storage.gateway_id,
            gethostname(),
            __version__,
            syncs="sync" in roles,
            serves="serve" in roles,
            web="web" in roles,
            keys=env.state.secret_box.fingerprints(),
            position=publisher.position,
            accounts=len(books),
            contacts=sum(map(len, books)),
        )

    def on_beat(leases: Leases) -> None:
        env.state.secret_box.limit_sealing(leases.common_keys)
        exchange.set_others(leases.others)

    return TenantLeases(
        clock=env.wall_clock,
        seconds=partial(time.clock_gettime, BOOT_CLOCK),
        beat=partial(_run_with_leases, env, workers),
        store=storage.sync_store,
        describe=describe,
        tenants=[tenant.name for tenant in env.config.tenant],
        changed=changed,
        on_beat=on_beat,
    )


def _exchange(
    env: _Environment,
    workers: _Workers,
    storage: _Storage,
    phones: _PhoneParts,
    leader: GroupLeader,
    progress: ProgressBoard,
) -> GatewayExchange | None:
    """None: the gateway is the only one on its database."""
    if not env.state.database.runs_beside:
        return None
    return GatewayExchange(
        clock=env.wall_clock,
        run_beside=partial(_run_with_leases, env, workers),
        gateway_id=storage.gateway_id,
        secret_box=env.state.secret_box,
        leader=leader,
        search_log=phones.activity.search_log,
        refused_logins=phones.refused_logins,
        progress=progress,
        one_time=phones.one_time,
        on_change=lambda: phones.notifier.notify(GATEWAYS_TOPIC),
    )


def _run_with_leases(env: _Environment, workers: _Workers, function: Callable[..., Any], *args: Any, **kw: Any) -> Any:
    """Call a function in a transaction on the thread of the leases, where no page and no sync is waited for."""
    return workers.leases(lambda: env.state.database.run_beside(function, *args, **kw))


def _publisher(
    env: _Environment,
    workers: _Workers,
    store: MonitoredStore,
    phones: _PhoneParts,
    on_publish: Callable[[Sequence[str]], None],
) -> Publisher:
    return Publisher(
        store=store,
        catalog=phones.catalog,
        contexts={tenant.name: naming_context(tenant) for tenant in env.config.tenant},
        features=features(tls=env.tls is not None),
        run_off_thread=workers.books,
        on_publish=on_publish,
        next_turn=partial(deferLater, env.reactor, 0.0),
        book_cache=BookCache(env.state_dir / FOLDER),
        build_in_process=partial(
            workers.build,
            workers.build_process,
            build_cached_books,
            env.state.database.url,
            env.state_dir / FOLDER,
        ),
        is_follower=env.only_reads,
        loaded=env.books,
        seconds=env.reactor.seconds,
        observe_lag=phones.counters.generation_lag.observe,
    )


def _sync_job(
    env: _Environment,
    workers: _Workers,
    storage: _Storage,
    rights: SyncRights,
    google: GoogleClients,
    tenants: LazyTenants[SyncedTenant],
    pacer: CallPacer,
    progress: ProgressBoard,
    observe_call: CallObserver,
) -> SyncJob:
    offload = SizeBasedOffload(workers.work, workers.work_process)
    return SyncJob(
        rights=rights,
        secret_box=env.state.secret_box,
        oauth=google.oauth,
        people=People(google.http, google.endpoints, env.wall_clock, offload, observe_call),
        tenants=tenants,
        interval=env.config.sync.interval,
        pacer=pacer,
        full_syncs=UNLIMITED if env.config.google.is_on_loopback else FullSyncLimits(),
        run_off_thread=storage.store.monitor(workers.work),
        folder=env.state_dir,
        now=env.now,
        on_progress=progress.update,
    )


def _pages(
    env: _Environment,
    workers: _Workers,
    storage: _Storage,
    phones: _PhoneParts,
    sync: _SyncParts,
    leader: GroupLeader,
    misuse_log: MisuseLog,
    counters: LeaderCounters,
    is_running: Callable[[], bool],
) -> WebDependencies:
    config, clients, dit = env.config, storage.clients, phones.catalog.dit
    web_tenants: dict[str, WebTenant] = {tenant.name: web_tenant(tenant) for tenant in config.tenant}
    bases: dict[str, Dn] = {tenant.name: Dn.parse(tenant.base_dn) for tenant in config.tenant}

    def is_ready() -> bool:
        return is_running() and phones.catalog.snapshot.loaded

    return WebDependencies(
        public_url=config.web.public_url,
        tenants=LazyTenants(web_tenants, lambda name: dataclasses.replace(web_tenants[name], client=clients.get(name))),
        store=storage.store,
        secret_box=env.state.secret_box,
        oauth=sync.google.oauth,
        endpoints=sync.google.endpoints,
        clock=env.wall_clock,
        random=os.urandom,
        is_trusted_proxy=config.web.trusted_proxies.contains,
        is_ready=is_ready,
        is_stale=lambda: phones.catalog.snapshot.freshness is not Freshness.CURRENT,
        database_fails_since=lambda: storage.store.failing_since,
        certificate_expiry=env.certificate_expiry_if_near,
        changed=sync.change_watcher.refresh_now,
        count_misuse=misuse_log.count,
        disconnected=storage.copy_cleaner.clean,
        admin=_admin_dependencies(env, workers, storage, phones, leader, counters, is_ready),
        phones=_phone_dependencies(env, workers, phones),
        book_clients=_book_client_dependencies(env, workers, phones),
        gateways=sync.exchange or NoOtherGateways(),
        notifier=phones.notifier,
        progress=sync.progress.get,
        finder=DirectoryFinder(dit, bases, env.reactor),
        contacts=ContactBrowser(dit, env.reactor),
        explainer=PhoneExplainer(lambda: phones.catalog.snapshot, config.ldap.size_limit, workers.explain, env.now),
        requests=counters.pages,
    )


def _admin_dependencies(
    env: _Environment,
    workers: _Workers,
    storage: _Storage,
    phones: _PhoneParts,
    leader: GroupLeader,
    counters: LeaderCounters,
    is_ready: Callable[[], bool],
) -> AdminDependencies:
    metrics = Metrics(
        store=storage.store,
        now=env.now,
        version=__version__,
        tenant_names=[tenant.name for tenant in env.config.tenant],
        sync_interval=env.config.sync.interval,
        counters=counters,
        figures=leader.figures,
        ready=is_ready,
        contacts=lambda: {
            directory.context.name: sum(map(len, directory.books)) for directory in phones.catalog.dit().directories
        },
        database_fails=lambda: storage.store.is_failing,
        certificate_ends=env.certificate_expiry,
        stale=lambda: phones.catalog.snapshot.freshness is not Freshness.CURRENT,
        run_off_thread=workers.read,
    )
    return AdminDependencies(
        tenants_with_configured_client=storage.clients.configured,
        certificate_expiry=env.certificate_expiry,
        sync_interval=env.config.sync.interval,
        calls_per_minute=env.config.google.max_calls_per_minute,
        metrics=metrics.render,
        may_read_metrics=env.config.web.metrics_networks.contains,
        left_out=leader.left_out,
        unknown_logins=phones.refused_logins.unknown,
        refused_elsewhere=phones.refused_logins.elsewhere,
        may_be_new_store=env.config.new_store,
    )


def _phone_dependencies(env: _Environment, workers: _Workers, phones: _PhoneParts) -> PhoneDependencies:
    async def try_connection(access: ConnectionSettings) -> Sequence[StepResult]:
        # ldaptor is large: who never tries a phone need not load it, and phones need not wait for it.
        reachability = await workers.work(import_module, "ldapgw.phones.reachability")
        with phones.own_tests.running(access.bind_dn) as connected:
            steps: Sequence[StepResult] = await reachability.try_phone(access, env.reactor, connected)
        return steps

    return PhoneDependencies(
        server=phone_server(env.config),
        base_dn=phones.activity.base_dn,
        bind_dn=phones.activity.bind_dn,
        searches=phones.activity.recent_searches,
        latest=phones.refused_logins.latest,
        anonymous_refused_at=phones.activity.search_log.last_refusal,
        certificate=PhoneTrustAnchor(env.tls, workers.work).trust_anchor,
        try_connection=try_connection,
        recording_file=phones.phone_recorder.read_file,
        one_time=phones.one_time,
    )


def _book_client_dependencies(env: _Environment, workers: _Workers, phones: _PhoneParts) -> BookClientDependencies:
    return BookClientDependencies(
        authenticate=phones.catalog.authenticate,
        authenticate_secret=phones.catalog.authenticate_secret,
        login_delay=phones.ldap.bind_delay,
        login_refused=phones.refused_logins.note,
        reader=BookReader(phones.catalog.dit, phones.ldap.budget, phones.observers, env.reactor),
        run_off_thread=workers.work,
    )


def _listeners(
    env: _Environment, workers: _Workers, ldap: LdapFactory, web: ProxyProtocolFactory | None = None
) -> tuple[IService, ...]:
    """What listens, and what has to do with it, in the order in which the services start.

    :param web: None: another process or gateway serves the page.
    """
    config, reactor, tls = env.config, env.reactor, env.tls
    reloader = (
        CertificateReloader(clock=env.wall_clock, context_factory=tls, run_off_thread=workers.work) if tls else None
    )
    is_proxy = config.ldap.proxy_protocol.contains
    factories: dict[str, ProxyProtocolFactory] = {}
    if "serve" in config.roles:
        factories["ldap.listen"] = ProxyProtocolFactory(ldap, is_proxy, reactor, ldap.count_misuse)
    if "serve" in config.roles and tls:
        factories["ldap.listen_tls"] = ProxyProtocolFactory(ldap.over_tls(), is_proxy, reactor, ldap.count_misuse)
    if web is not None:
        factories["web.listen"] = web
    ipv6_only = ipv6_only_endpoints(config)
    return (
        *((reloader,) if reloader else ()),
        SessionCloser(ldap.disconnect_all),
        *(
            Listener(
                reactor,
                setting,
                endpoint,
                factories[setting],
                ipv6_only=endpoint in ipv6_only,
                shared=env.ports.get(endpoint),
            )
            for setting, endpoint in configured_endpoints(config)
            if setting in factories
        ),
    )


def _group_leader(env: _Environment, phones: _PhoneParts, figures: Callable[[], ProcessFigures]) -> GroupLeader:
    return GroupLeader(
        clock=env.wall_clock,
        make_links=[
            partial(ProcessLink, env.reactor, link) for link in (env.seat.links if env.seat is not None else ())
        ],
        catalog=phones.catalog,
        ldap=phones.ldap,
        search_log=phones.activity.search_log,
        refused_logins=phones.refused_logins,
        captures=phones.captures,
        tells_gateways=env.state.database.runs_beside,
        figures=figures,
    )


def _member_services(
    env: _Environment,
    workers: _Workers,
    phones: _PhoneParts,
    publisher: Publisher,
    seat: Seat,
    figures: Callable[[], ProcessFigures],
) -> tuple[IService, ...]:
    """The services of a process that serves LDAP only."""
    follower = DirectoryFollower(clock=env.wall_clock, publisher=publisher)
    [link] = seat.links
    member = GroupMember(
        clock=env.wall_clock,
        make_link=partial(ProcessLink, env.reactor, link),
        catalog=phones.catalog,
        ldap=phones.ldap,
        search_log=phones.activity.search_log,
        figures=figures,
        refused_logins=phones.refused_logins,
        captures=phones.captures,
        changed=follower.changed,
    )
    lag = LagMeter(env.reactor, phones.counters.reactor_lag.observe)
    return (lag, follower, member, *_listeners(env, workers, phones.ldap))
