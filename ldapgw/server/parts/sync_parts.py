# SPDX-License-Identifier: MIT
"""Builds the objects that talk to Google and to other gateways, and the objects that publish Google's contacts."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from random import SystemRandom
from socket import gethostname

from twisted.internet.task import deferLater

from ldapgw import __version__
from ldapgw.google.people import People
from ldapgw.google.photos import PhotoClient
from ldapgw.google.workspace import WorkspaceDirectory
from ldapgw.ldap.server import Guesses
from ldapgw.peers.bulletin import Bulletin, Topic
from ldapgw.peers.change_feed import ChangeFeed
from ldapgw.peers.leadership import Heartbeat, Leader, Leadership, OnlyGateway
from ldapgw.phones.logged_search import NewSearches
from ldapgw.phones.refused_logins import NewRefusals
from ldapgw.server.endpoints import gateway_name
from ldapgw.server.google import MISSING_CLIENT, GoogleClients, TenantsWithClients, delegated_tenant
from ldapgw.server.parts.base import Base
from ldapgw.server.parts.phone_parts import PhoneParts
from ldapgw.server.workers import (
    BUILD_TIMEOUT_SECONDS,
    SizeBasedOffload,
    call_meanwhile,
    has_several_processors,
)
from ldapgw.store import gateways
from ldapgw.store.database import Mode, revisions
from ldapgw.store.gateways import GatewayInfo, Peers
from ldapgw.store.tenants import DelegationTrial
from ldapgw.store.worker import Store, on_threads
from ldapgw.sync.account_books import AccountBooks
from ldapgw.sync.book_builder import FILES_FOLDER, BuildTask, build_cached_books, build_cached_file_book
from ldapgw.sync.book_cache import FOLDER, BookCache
from ldapgw.sync.contact_renewal import ContactRenewal
from ldapgw.sync.fetch import UNLIMITED, FullSyncLimits, ProgressWriter, SyncedTenant
from ldapgw.sync.file_books import FileBooks
from ldapgw.sync.job import SyncJob
from ldapgw.sync.leavers import LeaverService
from ldapgw.sync.logins_keeper import LoginsKeeper, StaleLimit
from ldapgw.sync.pacing import CallPacer
from ldapgw.sync.photos import PhotoFetcher
from ldapgw.sync.publisher import Publisher
from ldapgw.sync.scheduler import SyncScheduler
from ldapgw.sync.tokens import TokenRevoker
from ldapgw.sync.workspace import DelegatedTenant, DelegatedTokens, Delegation, WorkspaceReader, try_delegation
from ldapgw.web.dependencies import GATEWAYS_TOPIC, AccountWatcher

# On Linux CLOCK_MONOTONIC stops while the machine sleeps; CLOCK_BOOTTIME goes on.
BOOT_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)

# The maximum number of searches in one bulletin.  A gateway sends one bulletin a second, so 100 searches are enough for
# thousands of phones.
MAX_SEARCHES = 100


class SyncParts:
    """The objects that talk to Google and to other gateways, and publish the contacts that Google returned.

    The attributes `leadership`, `heartbeat` and `bulletin` are None if no other gateway can use the database.

    :ivar stale_limit: if the gateway has started from a snapshot of logins, the service that ends the use of this
        snapshot when the snapshot is too old; otherwise None.
    :ivar logins_keeper: the service that writes the snapshot of logins, or None if the gateway writes no snapshot.
    :ivar file_books: the service that reads the configured files.
    :ivar leadership: the service that takes the lead; None also for a gateway that does not sync.
    :ivar heartbeat: the service that tells other gateways that this gateway runs.
    :ivar bulletin: the service that exchanges data with other gateways.
    :raises UserError: when ``[google] ca_file`` cannot be used.
    """

    def __init__(self, base: Base, phones: PhoneParts) -> None:
        self._base = base
        self._phones = phones
        self._may_sync = "sync" in base.config.roles
        self._observe_call = base.counters.google.observe
        self._books = self._account_books()
        self.publisher = self._publisher()
        self.file_books = self._file_books()
        self.bulletin = self._bulletin()
        leadership = self._leadership()
        self.heartbeat = self._heartbeat(leadership) if leadership is not None else None
        self.leadership = leadership if self._may_sync else None
        self._leader: Leader = leadership or OnlyGateway(base.sync_store)
        self.google = GoogleClients(base.config.google, base.reactor, base.wall_clock, self._observe_call)
        self._directory = WorkspaceDirectory(
            self.google.http, self.google.endpoints, base.wall_clock, self._observe_call
        )
        offload = SizeBasedOffload(base.workers.work, base.workers.page_processes)
        self._people = People(self.google.http, self.google.endpoints, base.wall_clock, offload, self._observe_call)
        self._delegated: dict[str, DelegatedTenant] = {
            tenant.name: delegated_tenant(tenant) for tenant in base.config.tenant
        }
        self._tenants = self._synced_tenants()
        calls_per_minute = base.config.google.max_calls_per_minute
        self._pacer = CallPacer(clock=base.wall_clock, calls_per_minute=calls_per_minute)
        self.scheduler = self._scheduler()
        self.stale_limit = self._stale_limit()
        self.logins_keeper = self._logins_keeper()
        self.change_feed = self._change_feed()
        self.photo_fetcher = PhotoFetcher(
            clock=base.wall_clock,
            leader=self._leader,
            client=PhotoClient(self.google.http, self.google.endpoints, base.wall_clock, self._observe_call),
            tenants=self._tenants,
            pacer=self._pacer,
            scale_in_process=base.workers.work_process,
            publish=self.publisher.refresh,
        )
        self.contact_renewal = ContactRenewal(
            clock=base.wall_clock,
            leader=self._leader,
            tenants=self._tenants,
            read_in_process=base.workers.work_process,
            publish=self.publisher.refresh,
        )
        self.workspace_reader = WorkspaceReader(
            clock=base.wall_clock,
            leader=self._leader,
            oauth=self.google.oauth,
            directory=self._directory,
            pacer=self._pacer,
            tenants=self._delegated,
            delegations=base.delegations,
            is_unknown=base.delegations.is_unknown,
        )
        self.leavers = LeaverService(
            clock=base.wall_clock, leader=self._leader, tenants=self._tenants, removed=self._leavers_removed
        )
        self.revoker = TokenRevoker(
            clock=base.wall_clock,
            store=base.store,
            leader=self._leader,
            secret_box=base.state.secret_box,
            oauth=self.google.oauth,
        )

    def is_leader(self) -> bool:
        return self._may_sync and self._leader.is_leader

    async def try_delegation(self, delegation: Delegation, tenant: str) -> DelegationTrial:
        """Try a service account at Google before the service account is stored.

        :raises GoogleError: the first refusal.
        """
        return await try_delegation(
            oauth=self.google.oauth,
            directory=self._directory,
            people=self._people,
            delegation=delegation,
            tenant=self._delegated[tenant],
        )

    def _lead_changed(self) -> None:
        self.scheduler.begin_anew()
        self.change_feed.refresh_now()
        if self.heartbeat is not None:
            self.heartbeat.run_now()

    async def _leavers_removed(self, removed: Collection[tuple[str, str]]) -> None:
        await self.publisher.refresh()
        await self._base.copy_cleaner.clean_removed(removed)

    def _account_books(self) -> AccountBooks:
        base = self._base
        workers, folder = base.workers, base.state_dir / FOLDER
        build = partial(build_cached_books, base.state.database.url, folder)
        return AccountBooks(
            store=base.store,
            contexts={tenant.name: tenant.naming_context() for tenant in base.config.tenant},
            run_off_thread=workers.books,
            delete_off_thread=workers.work,
            cache=BookCache(folder),
            build_in_process=partial(workers.build, workers.build_process, build),
            build_meanwhile=partial(self._help_start, build),
            seconds=base.reactor.seconds,
        )

    def _help_start(
        self, build: Callable[[Sequence[BuildTask]], None], tasks: Sequence[BuildTask]
    ) -> AbstractContextManager[None]:
        """Build books in another process while the gateway starts.

        Nothing is built once the gateway's threads run, because an account may then be removed during the build.
        """
        if self._base.workers.books.running or not has_several_processors():
            return nullcontext()
        return call_meanwhile(BUILD_TIMEOUT_SECONDS, build, tasks)

    def _publisher(self) -> Publisher:
        base, phones = self._base, self._phones
        return Publisher(
            store=base.store,
            catalog=phones.catalog,
            books=self._books,
            features=phones.catalog.dit().features,
            run_off_thread=base.workers.books,
            publish_off_thread=base.workers.publish,
            on_publish=phones.end_logins,
            next_turn=partial(deferLater, base.reactor, 0.0),
            seconds=base.reactor.seconds,
            observe_lag=base.counters.generation_lag.observe,
            on_gone=base.copy_cleaner.clean_removed,
        )

    def _file_books(self) -> FileBooks:
        base, workers = self._base, self._base.workers
        folder = base.state_dir / FILES_FOLDER
        return FileBooks(
            clock=base.wall_clock,
            tasks=[task for tenant in base.config.tenant for task in tenant.file_tasks()],
            books=self._books,
            publish=self.publisher.publish_file_books,
            look_off_thread=workers.work,
            run_off_thread=workers.books,
            cache=BookCache(folder),
            build_in_process=partial(workers.build, workers.file_process, build_cached_file_book, folder),
        )

    def _synced_tenants(self) -> TenantsWithClients[SyncedTenant]:
        """Return the settings of tenants for syncs, with the present OAuth clients."""
        synced: dict[str, SyncedTenant] = {
            tenant.name: SyncedTenant(
                MISSING_CLIENT,
                tenant.sources,
                tenant.labels,
                tenant.region,
                tenant.exclude_labels,
                tenant.photos,
                remove_leavers=tenant.remove_leavers,
            )
            for tenant in self._base.config.tenant
        }
        return TenantsWithClients(synced, self._base.clients)

    def _scheduler(self) -> SyncScheduler:
        base, google, config = self._base, self.google, self._base.config
        job = SyncJob(
            leader=self._leader,
            secret_box=base.state.secret_box,
            oauth=google.oauth,
            delegated=DelegatedTokens(
                oauth=google.oauth,
                directory=self._directory,
                delegations=base.delegations,
                tenants=self._delegated,
                now=base.now,
            ),
            people=self._people,
            tenants=self._tenants,
            interval=config.sync.interval,
            pacer=self._pacer,
            full_syncs=UNLIMITED if config.google.is_on_loopback else FullSyncLimits(),
            run_off_thread=base.store.monitor(base.workers.work),
            folder=base.state_dir,
            now=base.now,
            on_progress=ProgressWriter(base.wall_clock, self._leader.store).update,
        )
        return SyncScheduler(
            clock=base.wall_clock,
            store=base.sync_store,
            leader=self._leader,
            job=job,
            publish=self.publisher.refresh,
            interval=config.sync.interval,
            concurrency=config.sync.concurrency,
            random=SystemRandom().random,
            observe=lambda result, seconds: base.counters.syncs.observe(result, seconds, base.now()),
        )

    def _change_feed(self) -> ChangeFeed:
        base, phones, store = self._base, self._phones, self._base.store
        return ChangeFeed(
            clock=base.wall_clock,
            store=store,
            change_detector=base.state.database.change_detector(),
            call_from_thread=lambda function, *args: base.reactor.callFromThread(function, *args),
            publisher=self.publisher,
            scheduler=self.scheduler,
            take_binds=phones.catalog.take_seen_phones,
            read=(
                base.clients.refresh,
                base.delegations.refresh,
                AccountWatcher(store, phones.notifier, lambda: store.recoveries).check,
                phones.phone_recorder.refresh,
            ),
            on_bulletin=self.bulletin.receive if self.bulletin else lambda _: None,
            looked=self.logins_keeper.looked if self.logins_keeper else lambda _: None,
        )

    def _logins_keeper(self) -> LoginsKeeper | None:
        base = self._base
        if base.state.logins_file is None:
            return None
        return LoginsKeeper(
            clock=base.wall_clock,
            file=base.state.logins_file,
            max_age=base.config.serve.stale_start,
            publisher=self.publisher,
            run_off_thread=base.workers.copies,
        )

    def _stale_limit(self) -> StaleLimit | None:
        base, file, snapshot = self._base, self._base.state.logins_file, self._base.state.snapshot
        if file is None or snapshot is None:
            return None
        seconds = snapshot.taken_at + base.config.serve.stale_start - base.now()
        return StaleLimit(clock=base.reactor, seconds=seconds, file=file, publisher=self.publisher)

    def _leadership(self) -> Leadership | None:
        base = self._base
        session = base.state.database.leader_session()
        if session is None:
            return None
        in_thread = base.store.watched(base.workers.sync)
        return Leadership(
            clock=base.wall_clock,
            seconds=partial(time.clock_gettime, BOOT_CLOCK),
            session=session,
            in_thread=in_thread,
            write_in_thread=base.store.monitor(in_thread),
            store=base.sync_store,
            begin=partial(gateways.begin_lead, revision=revisions()[0]),
            changed=self._lead_changed,
        )

    def _heartbeat(self, leadership: Leadership) -> Heartbeat:
        base, phones = self._base, self._phones
        revision, others = revisions()[0], set[str]()

        def describe() -> GatewayInfo:
            directories = phones.catalog.dit().directories
            return GatewayInfo(
                base.gateway_id,
                gateway_name(base.config, gethostname()),
                __version__,
                roles=tuple(sorted(base.config.roles)),
                keys=base.state.secret_box.fingerprints(),
                position=self.publisher.position,
                accounts=sum(len(directory.books) for directory in directories),
                contacts=sum(directory.contact_count for directory in directories),
                revision=revision,
                is_leader=leadership.is_leader,
            )

        def on_beat(peers: Peers) -> None:
            base.state.secret_box.limit_sealing(peers.common_keys)
            if peers.others != others:
                others.clear()
                others.update(peers.others)
                phones.notifier.notify(GATEWAYS_TOPIC)

        return Heartbeat(
            clock=base.wall_clock,
            store=self._peers_store(),
            gateway_id=base.gateway_id,
            describe=describe,
            on_beat=on_beat,
        )

    def _bulletin(self) -> Bulletin | None:
        base, phones = self._base, self._phones
        if not base.state.database.runs_beside:
            return None
        search_log, refused_logins = phones.activity.search_log, phones.refused_logins
        return Bulletin(
            clock=base.wall_clock,
            call_from_thread=lambda function, *args: base.reactor.callFromThread(function, *args),
            store=self._peers_store(),
            gateway_id=base.gateway_id,
            secret_box=base.state.secret_box,
            topics=(
                Topic("guesses", Guesses, phones.ldap.take_guesses, phones.ldap.add_guesses),
                Topic("refused", NewRefusals, refused_logins.take_unsent, refused_logins.add_received),
                Topic("searches", NewSearches, partial(search_log.take_unsent, MAX_SEARCHES), search_log.add),
            ),
        )

    def _peers_store(self) -> Store:
        """Return a store with a thread of its own, so that calls wait neither for pages nor for syncs."""
        peers = self._base.workers.peers
        return Store(on_threads(self._base.state.database, peers, peers), Mode.BESIDE)
