# SPDX-License-Identifier: MIT
"""Builds the objects that talk to Google and to other gateways, and those that publish Google's contacts."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from random import SystemRandom
from socket import gethostname

from twisted.application.service import IService
from twisted.internet.task import deferLater

from ldapgw import __version__
from ldapgw.google.http import CallObserver
from ldapgw.google.people import People
from ldapgw.google.photos import PhotoClient
from ldapgw.ldap.server import Guesses
from ldapgw.peers.bulletin import Bulletin, Topic
from ldapgw.peers.change_feed import ChangeFeed
from ldapgw.peers.leadership import Heartbeat, Leader, Leadership, OnlyGateway
from ldapgw.phones.logged_search import SearchNews
from ldapgw.phones.refused_logins import RefusalNews
from ldapgw.server.config import Tenant
from ldapgw.server.google import GoogleClients
from ldapgw.server.listener import gateway_name
from ldapgw.server.metrics import SyncAndPageCounters
from ldapgw.server.oauth_clients import MISSING_CLIENT, LazyTenants
from ldapgw.server.parts.base import Environment, Storage, Workers
from ldapgw.server.parts.phone_parts import PhoneParts
from ldapgw.server.processes import SizeBasedOffload
from ldapgw.store import gateways
from ldapgw.store.database import Mode, revisions
from ldapgw.store.gateways import GatewayInfo, Peers
from ldapgw.store.worker import MonitoredStore, Store, on_threads
from ldapgw.sync.account_books import AccountBooks
from ldapgw.sync.book_builder import build_cached_books
from ldapgw.sync.book_cache import FOLDER, BookCache
from ldapgw.sync.contact_renewal import ContactRenewal
from ldapgw.sync.fetch import UNLIMITED, FullSyncLimits, ProgressWriter
from ldapgw.sync.job import SyncedTenant, SyncJob
from ldapgw.sync.logins_keeper import LoginsKeeper, StaleLimit
from ldapgw.sync.pacing import CallPacer
from ldapgw.sync.photos import PhotoFetcher
from ldapgw.sync.publisher import Publisher
from ldapgw.sync.scheduler import SyncScheduler
from ldapgw.sync.tokens import TokenRevoker
from ldapgw.web.live import GATEWAYS_TOPIC, AccountWatcher

# On Linux CLOCK_MONOTONIC stops while the machine sleeps; CLOCK_BOOTTIME goes on.
BOOT_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


# Of a second: the last searches of an office of thousands of phones.
MAX_SEARCHES = 100


@dataclass(frozen=True, slots=True)
class SyncParts:
    """The objects that talk to Google and publish the contacts that Google returned.

    :ivar is_leader: returns whether this gateway syncs.
    """

    google: GoogleClients
    publisher: Publisher
    scheduler: SyncScheduler
    photo_fetcher: PhotoFetcher
    contact_renewal: ContactRenewal
    revoker: TokenRevoker
    change_feed: ChangeFeed
    is_leader: Callable[[], bool]
    leadership: Leadership | None
    heartbeat: Heartbeat | None
    bulletin: Bulletin | None
    logins_keeper: LoginsKeeper | None


@dataclass(frozen=True, slots=True)
class _GoogleAccess:
    """The limits and clients that all fetching from Google shares.

    :ivar leader: whether this gateway syncs, and what syncs write through.
    """

    leader: Leader
    google: GoogleClients
    tenants: LazyTenants[SyncedTenant]
    pacer: CallPacer
    observe_call: CallObserver


def make_sync_parts(
    env: Environment,
    workers: Workers,
    storage: Storage,
    phones: PhoneParts,
    counters: SyncAndPageCounters,
) -> SyncParts:
    def lead_changed() -> None:
        scheduler.begin_anew()
        change_feed.refresh_now()
        if heartbeat is not None:
            heartbeat.run_now()

    publisher = make_publisher(env, workers, storage.store, phones)
    bulletin = _bulletin(env, workers, storage, phones)
    leadership = _leadership(env, workers, storage, lead_changed)
    heartbeat = _heartbeat(env, workers, storage, publisher, phones, leadership)
    access = _google_access(env, storage, leadership or OnlyGateway(storage.sync_store), counters)
    scheduler = _scheduler(env, workers, storage, access, publisher, counters)
    logins_keeper = _logins_keeper(env, workers, publisher)
    change_feed = _change_feed(env, storage, phones, publisher, scheduler, logins_keeper, bulletin)
    return SyncParts(
        google=access.google,
        publisher=publisher,
        scheduler=scheduler,
        photo_fetcher=_photo_fetcher(env, workers, storage, access, publisher),
        contact_renewal=ContactRenewal(
            clock=env.wall_clock,
            store=storage.sync_store,
            leader=access.leader,
            tenants=access.tenants,
            read_in_process=workers.work_process,
            publish=publisher.refresh,
        ),
        revoker=TokenRevoker(
            clock=env.wall_clock,
            store=storage.store,
            leader=access.leader,
            secret_box=env.state.secret_box,
            oauth=access.google.oauth,
            clients=storage.clients,
        ),
        change_feed=change_feed,
        is_leader=lambda: "sync" in env.config.roles and access.leader.is_leader,
        leadership=leadership if "sync" in env.config.roles else None,
        heartbeat=heartbeat,
        bulletin=bulletin,
        logins_keeper=logins_keeper,
    )


def _google_access(env: Environment, storage: Storage, leader: Leader, counters: SyncAndPageCounters) -> _GoogleAccess:
    config, observe_call = env.config, counters.google.observe
    synced_tenants: dict[str, SyncedTenant] = {tenant.name: _synced_tenant(tenant) for tenant in config.tenant}
    tenants = LazyTenants(
        synced_tenants,
        lambda name: dataclasses.replace(synced_tenants[name], client=storage.clients.get(name, MISSING_CLIENT)),
    )

    return _GoogleAccess(
        leader,
        GoogleClients(config.google, env.reactor, env.wall_clock, observe_call),
        tenants,
        CallPacer(clock=env.wall_clock, calls_per_minute=config.google.max_calls_per_minute),
        observe_call,
    )


def _scheduler(
    env: Environment,
    workers: Workers,
    storage: Storage,
    access: _GoogleAccess,
    publisher: Publisher,
    counters: SyncAndPageCounters,
) -> SyncScheduler:
    google, config = access.google, env.config
    offload = SizeBasedOffload(workers.work, workers.work_process)
    job = SyncJob(
        leader=access.leader,
        secret_box=env.state.secret_box,
        oauth=google.oauth,
        people=People(google.http, google.endpoints, env.wall_clock, offload, access.observe_call),
        tenants=access.tenants,
        interval=config.sync.interval,
        pacer=access.pacer,
        full_syncs=UNLIMITED if config.google.is_on_loopback else FullSyncLimits(),
        run_off_thread=storage.store.monitor(workers.work),
        folder=env.state_dir,
        now=env.now,
        on_progress=ProgressWriter(env.wall_clock, access.leader.store).update,
    )
    return SyncScheduler(
        clock=env.wall_clock,
        store=storage.sync_store,
        leader=access.leader,
        job=job,
        publish=publisher.refresh,
        interval=config.sync.interval,
        concurrency=config.sync.concurrency,
        random=SystemRandom().random,
        observe=lambda result, seconds: counters.syncs.observe(result, seconds, env.now()),
    )


def _photo_fetcher(
    env: Environment, workers: Workers, storage: Storage, access: _GoogleAccess, publisher: Publisher
) -> PhotoFetcher:
    google = access.google
    return PhotoFetcher(
        clock=env.wall_clock,
        store=storage.sync_store,
        leader=access.leader,
        client=PhotoClient(google.http, google.endpoints, env.wall_clock, access.observe_call),
        tenants=access.tenants,
        pacer=access.pacer,
        scale_in_process=workers.work_process,
        publish=publisher.refresh,
    )


def _change_feed(
    env: Environment,
    storage: Storage,
    phones: PhoneParts,
    publisher: Publisher,
    scheduler: SyncScheduler,
    logins_keeper: LoginsKeeper | None,
    bulletin: Bulletin | None,
) -> ChangeFeed:
    store = storage.store
    return ChangeFeed(
        clock=env.wall_clock,
        store=store,
        change_detector=env.state.database.change_detector(),
        call_from_thread=lambda function, *args: env.reactor.callFromThread(function, *args),
        publisher=publisher,
        scheduler=scheduler,
        take_binds=phones.catalog.take_seen_phones,
        read=(
            storage.clients.refresh,
            AccountWatcher(store, phones.notifier, lambda: store.recoveries).check,
            phones.phone_recorder.refresh,
        ),
        on_bulletin=bulletin.hear if bulletin else lambda _: None,
        looked=logins_keeper.looked if logins_keeper else lambda _: None,
    )


def _logins_keeper(env: Environment, workers: Workers, publisher: Publisher) -> LoginsKeeper | None:
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


def make_stale_limit(env: Environment, publisher: Publisher) -> tuple[IService, ...]:
    """Make the service that ends serving from a snapshot of logins, if the gateway has started from a snapshot."""
    file, snapshot = env.state.logins_file, env.state.snapshot
    if file is None or snapshot is None:
        return ()
    seconds = snapshot.taken_at + env.config.serve.stale_start - env.now()
    return (StaleLimit(clock=env.reactor, seconds=seconds, file=file, publisher=publisher),)


def _leadership(
    env: Environment, workers: Workers, storage: Storage, changed: Callable[[], object]
) -> Leadership | None:
    """None: the gateway is the only one on its database."""
    session = env.state.database.leader_session()
    if session is None:
        return None
    in_thread = storage.watch.on(workers.sync)
    return Leadership(
        clock=env.wall_clock,
        seconds=partial(time.clock_gettime, BOOT_CLOCK),
        session=session,
        in_thread=in_thread,
        write_in_thread=storage.store.monitor(in_thread),
        store=storage.sync_store,
        begin=partial(gateways.begin_lead, revision=revisions()[0]),
        changed=changed,
    )


def _heartbeat(
    env: Environment,
    workers: Workers,
    storage: Storage,
    publisher: Publisher,
    phones: PhoneParts,
    leadership: Leadership | None,
) -> Heartbeat | None:
    """None: the gateway is the only one on its database."""
    roles = env.config.roles
    if leadership is None:
        return None
    revision, others = revisions()[0], set[str]()

    def describe() -> GatewayInfo:
        directories = phones.catalog.dit().directories
        return GatewayInfo(
            storage.gateway_id,
            gateway_name(env.config, gethostname()),
            __version__,
            roles=tuple(sorted(roles)),
            keys=env.state.secret_box.fingerprints(),
            position=publisher.position,
            accounts=sum(len(directory.books) for directory in directories),
            contacts=sum(directory.contact_count for directory in directories),
            revision=revision,
            is_leader=leadership.is_leader,
        )

    def on_beat(peers: Peers) -> None:
        env.state.secret_box.limit_sealing(peers.common_keys)
        if peers.others != others:
            others.clear()
            others.update(peers.others)
            phones.notifier.notify(GATEWAYS_TOPIC)

    return Heartbeat(
        clock=env.wall_clock,
        store=_peers_store(env, workers),
        gateway_id=storage.gateway_id,
        describe=describe,
        on_beat=on_beat,
    )


def _bulletin(env: Environment, workers: Workers, storage: Storage, phones: PhoneParts) -> Bulletin | None:
    """None: the gateway is the only one on its database."""
    if not env.state.database.runs_beside:
        return None
    search_log, refused_logins = phones.activity.search_log, phones.refused_logins
    return Bulletin(
        clock=env.wall_clock,
        call_from_thread=lambda function, *args: env.reactor.callFromThread(function, *args),
        store=_peers_store(env, workers),
        gateway_id=storage.gateway_id,
        secret_box=env.state.secret_box,
        topics=(
            Topic("guesses", Guesses, phones.ldap.take_guesses, phones.ldap.add_guesses),
            Topic("refused", RefusalNews, refused_logins.take_news, refused_logins.add_news),
            Topic("searches", SearchNews, partial(search_log.take_news, MAX_SEARCHES), search_log.add),
        ),
    )


def _peers_store(env: Environment, workers: Workers) -> Store:
    """Return a store with a thread of its own, where no page and no sync is waited for."""
    return Store(on_threads(env.state.database, workers.peers, workers.peers), Mode.BESIDE)


def make_publisher(env: Environment, workers: Workers, store: MonitoredStore, phones: PhoneParts) -> Publisher:
    folder = env.state_dir / FOLDER
    books = AccountBooks(
        store=store,
        contexts={tenant.name: tenant.naming_context() for tenant in env.config.tenant},
        run_off_thread=workers.books,
        delete_off_thread=workers.work,
        cache=BookCache(folder),
        build_in_process=partial(
            workers.build, workers.build_process, build_cached_books, env.state.database.url, folder
        ),
        seconds=env.reactor.seconds,
    )
    return Publisher(
        store=store,
        catalog=phones.catalog,
        books=books,
        features=phones.catalog.dit().features,
        run_off_thread=workers.books,
        on_publish=phones.end_logins,
        next_turn=partial(deferLater, env.reactor, 0.0),
        seconds=env.reactor.seconds,
        observe_lag=phones.counters.generation_lag.observe,
    )


def _synced_tenant(tenant: Tenant) -> SyncedTenant:
    """Convert a configured tenant for the sync, without its OAuth client."""
    return SyncedTenant(
        MISSING_CLIENT, tenant.sources, tenant.labels, tenant.region, tenant.exclude_labels, tenant.photos
    )
