# SPDX-License-Identifier: MIT
"""The parts of a gateway, and what each is given: made when it is first asked for, once.  No logic lives here."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterator
from functools import cached_property, partial
from pathlib import Path
from random import SystemRandom
from typing import Any

from twisted.application.service import IService
from twisted.internet.interfaces import IReactorTime

from ldapgw import __version__
from ldapgw.directory.access import NamingContext
from ldapgw.directory.catalog import Catalog, Snapshot
from ldapgw.directory.dit import Dit
from ldapgw.directory.dn import Dn
from ldapgw.google.endpoints import Endpoints
from ldapgw.google.http import http_client
from ldapgw.google.oauth import OAuth
from ldapgw.google.people import People
from ldapgw.ldap.encoder import features
from ldapgw.ldap.limits import Limits
from ldapgw.ldap.server import LdapFactory
from ldapgw.ldap.session import DirectoryPort
from ldapgw.phones.activity import PhoneActivity, SearchRecorder
from ldapgw.phones.explainer import PhoneExplainer
from ldapgw.phones.lookup import DirectoryFinder
from ldapgw.server.certificate_renewal import CertificateReloader, PhoneTrustAnchor
from ldapgw.server.config import Config, Tenant
from ldapgw.server.listener import Listener, SessionCloser, phone_server
from ldapgw.server.metrics import Metrics, SearchCounters
from ldapgw.server.oauth_clients import MISSING_CLIENT, LazyTenants, TenantClients, configured_clients
from ldapgw.server.processes import OneShotProcess, SizeBasedOffload, WorkerProcess
from ldapgw.server.state_dir import OpenStateDir, database_url
from ldapgw.server.threads import WorkerThread
from ldapgw.server.tls import TlsContextFactory
from ldapgw.store.account_status import ProgressBoard
from ldapgw.store.worker import ChangeDetector, MonitoredStore, StoreWorker
from ldapgw.sync.book_builder import build_cached_books
from ldapgw.sync.book_cache import FOLDER, BookCache
from ldapgw.sync.change_watcher import ChangeWatcher
from ldapgw.sync.job import SyncedTenant, SyncJob
from ldapgw.sync.publisher import Publisher
from ldapgw.sync.scheduler import SyncScheduler
from ldapgw.sync.tokens import TokenRevoker
from ldapgw.web.app import web_resource
from ldapgw.web.dependencies import AdminDependencies, PhoneDependencies, WebDependencies, WebTenant
from ldapgw.web.live import AccountWatcher, ChangeNotifier, account_topic
from ldapgw.web.site import web_site

_LIMITS = tuple(field.name for field in dataclasses.fields(Limits))


class Parts:
    """What a gateway is made of.

    :param wall: the time of day; what `reactor` says may be another time, that nobody sets.
    :param is_running: whether the gateway's services are.
    :raises UserError: when the certificate cannot be used.
    """

    def __init__(
        self,
        config: Config,
        reactor: Any,
        wall_clock: IReactorTime,
        state: OpenStateDir,
        is_running: Callable[[], bool],
    ) -> None:
        self._config = config
        self._reactor = reactor
        self._wall_clock = wall_clock
        self._state = state
        self._is_running = is_running
        self._state_dir = Path(config.state_dir)
        self._tls = TlsContextFactory(config.tls) if config.tls else None
        self._store_thread = WorkerThread(reactor, "store", 1)
        self._work_thread = WorkerThread(reactor, "work", 1)
        self._book_thread = WorkerThread(reactor, "books", 1)
        self._build_thread = WorkerThread(reactor, "build", 1)
        self._explain_thread = WorkerThread(reactor, "explain", 1)
        self._work_process = WorkerProcess(reactor)
        self._one_shot_process = OneShotProcess()
        self._search_counters = SearchCounters()
        self._live = ChangeNotifier()

    @property
    def threads(self) -> tuple[WorkerThread, ...]:
        """All of them; what is ended last stands last."""
        return self._explain_thread, self._build_thread, self._book_thread, self._work_thread, self._store_thread

    def services(self) -> Iterator[IService]:
        """What is to be started; what is ended last stands first."""
        yield from (
            self._one_shot_process,
            self._work_process,
            self._change_watcher,
            self._activity_recorder,
            self._revoker,
            self._scheduler,
        )
        if self._tls:
            yield CertificateReloader(
                clock=self._wall_clock, context_factory=self._tls, run_off_thread=self._work_thread
            )
        yield from self._listeners()

    # --- what is stored, and what is served ---

    @cached_property
    def _store(self) -> MonitoredStore:
        store = StoreWorker(self._state.database, self._store_thread)
        return MonitoredStore(store, self._reactor.seconds, self._wall_clock.seconds)

    @cached_property
    def clients(self) -> TenantClients:
        """The tenants' OAuth clients."""
        return TenantClients(self._store, self._state.vault, configured_clients(self._config))

    @cached_property
    def catalog(self) -> Catalog:
        """What is served."""
        return Catalog(
            Snapshot(Dit((), features(tls=self._tls is not None))),
            {tenant.name: tenant.anonymous_networks.contains for tenant in self._config.tenant},
        )

    @cached_property
    def publisher(self) -> Publisher:
        """Makes what is served of what is stored."""
        url = database_url(self._state_dir, self._config.database)
        return Publisher(
            store=self._store,
            catalog=self.catalog,
            contexts={tenant.name: naming_context(tenant) for tenant in self._config.tenant},
            features=features(tls=self._tls is not None),
            run_off_thread=self._book_thread,
            book_cache=BookCache(self._state_dir / FOLDER),
            build_in_process=partial(
                self._build_thread, self._one_shot_process, build_cached_books, url, self._state_dir / FOLDER
            ),
        )

    # --- Google ---

    @cached_property
    def _endpoints(self) -> Endpoints:
        google = self._config.google
        return Endpoints(**{name: getattr(google, name) for name in google.__struct_fields__})

    @cached_property
    def _http(self) -> Any:
        return http_client(self._reactor)

    @cached_property
    def _oauth(self) -> OAuth:
        return OAuth(self._http, self._endpoints, self._wall_clock)

    @cached_property
    def _job(self) -> SyncJob:
        known: dict[str, SyncedTenant] = {tenant.name: _synced_tenant(tenant) for tenant in self._config.tenant}
        aside = SizeBasedOffload(self._work_thread, self._work_process)
        return SyncJob(
            store=self._store,
            secret_box=self._state.vault,
            oauth=self._oauth,
            people=People(self._http, self._endpoints, self._wall_clock, aside),
            tenants=LazyTenants(
                known, lambda name: dataclasses.replace(known[name], client=self.clients.get(name, MISSING_CLIENT))
            ),
            run_off_thread=self._store.monitor(self._work_thread),
            folder=self._state_dir,
            now=self._wall_clock.seconds,
            on_progress=self._progress.update,
        )

    @cached_property
    def _scheduler(self) -> SyncScheduler:
        return SyncScheduler(
            clock=self._wall_clock,
            store=self._store,
            job=self._job,
            publish=self.publisher.refresh,
            interval=self._config.sync.interval,
            concurrency=self._config.sync.concurrency,
            random=SystemRandom().random,
        )

    @cached_property
    def _revoker(self) -> TokenRevoker:
        return TokenRevoker(
            clock=self._wall_clock,
            store=self._store,
            secret_box=self._state.vault,
            oauth=self._oauth,
            clients=self.clients,
        )

    @cached_property
    def _change_watcher(self) -> ChangeWatcher:
        return ChangeWatcher(
            clock=self._wall_clock,
            store=self._store,
            change_detector=ChangeDetector(self._state.database),
            publisher=self.publisher,
            scheduler=self._scheduler,
            take_binds=self.catalog.take_seen_phones,
            read_clients=self.clients.refresh,
            notify_pages=AccountWatcher(self._store, self._live).check,
        )

    # --- phones ---

    @cached_property
    def _phone_activity(self) -> PhoneActivity:
        watch = PhoneActivity({tenant.name: tenant.base_dn for tenant in self._config.tenant}, self._wall_clock.seconds)
        watch.search_log.set_listener(self._live.notify)
        return watch

    @cached_property
    def _activity_recorder(self) -> SearchRecorder:
        return SearchRecorder(
            clock=self._wall_clock,
            store=self._store,
            take_updates=self._phone_activity.search_log.take_updates,
            bind_dn=self._phone_activity.bind_dn,
            logins=lambda: self.catalog.snapshot.logins,
            summarize=self._phone_activity.summarize,
        )

    @cached_property
    def _ldap(self) -> LdapFactory:
        catalog, observers = self.catalog, (self._search_counters.observe, self._phone_activity.search_log.observe)
        ldap = LdapFactory(
            DirectoryPort(catalog.dit, catalog.authenticate, catalog.anonymous, os.urandom(32), observers),
            Limits(**{name: getattr(self._config.ldap, name) for name in _LIMITS}),
            self._reactor,
            self._tls,
            require_tls=self._config.ldap.require_tls,
            call_at_tick_end=getattr(self._reactor, "at_end", None),  # ours has it (`ldapgw.server.reactor`)
        )
        catalog.set_listeners(self._end_login, ldap.snapshot_changed)
        self._search_counters.count_connections = ldap.connected
        return ldap

    def _end_login(self, login: str) -> None:
        """A login no longer holds: nothing that was done with it counts, and open pages say so."""
        self._ldap.disconnect(login)
        self._phone_activity.search_log.forget(login)
        self._activity_recorder.forget(login)
        self._live.notify(login)

    def _listeners(self) -> Iterator[IService]:
        """Everything that the outside can talk to."""
        yield SessionCloser(self._ldap.disconnect_all)
        for endpoint in self._config.ldap.listen:
            yield Listener(self._reactor, "ldap.listen", endpoint, self._ldap)
        for endpoint in self._config.ldap.listen_tls:
            yield Listener(self._reactor, "ldap.listen_tls", endpoint, self._ldap.over_tls())
        web = web_site(web_resource(self._web_dependencies), self._reactor)
        for endpoint in self._config.web.listen:
            yield Listener(self._reactor, "web.listen", endpoint, web)

    # --- pages ---

    @cached_property
    def _progress(self) -> ProgressBoard:
        return ProgressBoard(lambda account_id: self._live.notify(account_topic(account_id)))

    @cached_property
    def _web_dependencies(self) -> WebDependencies:
        config, tls, wall = self._config, self._tls, self._wall_clock
        known: dict[str, WebTenant] = {tenant.name: web_tenant(tenant) for tenant in config.tenant}
        bases: dict[str, Dn] = {tenant.name: Dn.parse(tenant.base_dn) for tenant in config.tenant}
        return WebDependencies(
            public_url=config.web.public_url,
            tenants=LazyTenants(known, lambda name: dataclasses.replace(known[name], client=self.clients.get(name))),
            store=self._store,
            vault=self._state.vault,
            oauth=self._oauth,
            endpoints=self._endpoints,
            clock=wall,
            random=os.urandom,
            is_trusted_proxy=config.web.trusted_proxies.contains,
            is_ready=self._is_ready,
            database_fails_since=lambda: self._store.failing_since,
            certificate_expiry=lambda: tls.loaded.validity.expiry_if_near(wall.seconds()) if tls else None,
            changed=self._change_watcher.refresh_now,
            admin=self._admin_dependencies,
            phones=self._phone_dependencies,
            notifier=self._live,
            progress=self._progress.get,
            finder=DirectoryFinder(self.catalog.dit, bases, self._reactor),
            explainer=PhoneExplainer(
                lambda: self.catalog.snapshot, config.ldap.size_limit, self._explain_thread, wall.seconds
            ),
        )

    @cached_property
    def _admin_dependencies(self) -> AdminDependencies:
        metrics = Metrics(
            store=self._store,
            now=self._wall_clock.seconds,
            version=__version__,
            search_counters=self._search_counters,
            ready=self._is_ready,
            contacts=self._contact_counts,
            database_fails=lambda: self._store.is_failing,
            certificate_ends=self._certificate_expiry,
        )
        return AdminDependencies(
            tenants_with_configured_client=self.clients.configured,
            certificate_expiry=self._certificate_expiry,
            metrics=metrics.render,
            may_read_metrics=self._config.web.metrics_networks.contains,
        )

    @cached_property
    def _phone_dependencies(self) -> PhoneDependencies:
        watch = self._phone_activity
        return PhoneDependencies(
            server=phone_server(self._config),
            base_dn=watch.base_dn,
            bind_dn=watch.bind_dn,
            searches=watch.recent_searches,
            anonymous_refused_at=watch.search_log.last_refusal,
            certificate=PhoneTrustAnchor(self._tls, self._work_thread).trust_anchor,
        )

    def _is_ready(self) -> bool:
        return self._is_running() and self.catalog.snapshot.loaded

    def _certificate_expiry(self) -> float | None:
        return self._tls.loaded.validity.not_after.timestamp() if self._tls else None

    def _contact_counts(self) -> dict[str, int]:
        """How many contacts of each tenant are served."""
        return {each.context.name: sum(map(len, each.books)) for each in self.catalog.dit().directories}


def naming_context(tenant: Tenant) -> NamingContext:
    """What the directory must know of a tenant."""
    return NamingContext(
        name=tenant.name,
        title=tenant.title or tenant.name,
        base=Dn.parse(tenant.base_dn),
        region=tenant.region,
        outside_line=tenant.outside_line,
        number_format=tenant.number_format,
        lenient=tenant.matching == "lenient",
    )


def _synced_tenant(tenant: Tenant) -> SyncedTenant:
    return SyncedTenant(MISSING_CLIENT, tenant.sources, tenant.labels, tenant.region)


def web_tenant(tenant: Tenant) -> WebTenant:
    """What the pages must know of a tenant, but for its OAuth client."""
    return WebTenant(
        name=tenant.name,
        title=tenant.title,
        client=None,
        allowed_users=tenant.allowed_users,
        admins=tenant.admins,
        sources=tenant.sources,
        labels=tenant.labels,
        sharing=tenant.sharing,
    )
