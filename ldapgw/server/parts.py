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
from ldapgw.phones.activity import PhoneWatch, SearchNotes
from ldapgw.phones.explainer import PhoneExplainer
from ldapgw.phones.lookup import DirectoryFinder
from ldapgw.server.certificate_renewal import Renewal, Trust
from ldapgw.server.config import Config, Tenant
from ldapgw.server.listener import Listener, Sessions, phone_server
from ldapgw.server.metrics import Metrics, Tally
from ldapgw.server.oauth_clients import NO_CLIENT, Clients, Tenants, configured_clients
from ldapgw.server.processes import Apart, Aside, OffProcess
from ldapgw.server.state_dir import State, database_url
from ldapgw.server.threads import OffThread
from ldapgw.server.tls import ServerContext
from ldapgw.store.account_status import ProgressBoard
from ldapgw.store.worker import StoreWorker, Watch, WatchedStore
from ldapgw.sync.book_builder import build_images
from ldapgw.sync.book_cache import FOLDER, Images
from ldapgw.sync.change_watcher import Refresher
from ldapgw.sync.job import SyncedTenant, SyncJob
from ldapgw.sync.publisher import Publisher
from ldapgw.sync.scheduler import SyncScheduler
from ldapgw.sync.tokens import Revoker
from ldapgw.web.app import web_resource
from ldapgw.web.dependencies import AdminGate, PhoneGate, WebGate, WebTenant
from ldapgw.web.live import AccountWatch, Live, account_topic
from ldapgw.web.site import web_site

_LIMITS = tuple(field.name for field in dataclasses.fields(Limits))


class Parts:
    """What a gateway is made of.

    :param wall: the time of day; what `reactor` says may be another time, that nobody sets.
    :param is_running: whether the gateway's services are.
    :raises UserError: when the certificate cannot be used.
    """

    def __init__(
        self, config: Config, reactor: Any, wall: IReactorTime, state: State, is_running: Callable[[], bool]
    ) -> None:
        self._config = config
        self._reactor = reactor
        self._wall = wall
        self._state = state
        self._is_running = is_running
        self._folder = Path(config.state_dir)
        self._tls = ServerContext(config.tls) if config.tls else None
        self._store_thread = OffThread(reactor, "store", 1)
        self._work_thread = OffThread(reactor, "work", 1)
        self._book_thread = OffThread(reactor, "books", 1)
        self._build_thread = OffThread(reactor, "build", 1)
        self._explain_thread = OffThread(reactor, "explain", 1)
        self._work_process = OffProcess(reactor)
        self._apart = Apart()
        self._tally = Tally()
        self._live = Live()

    @property
    def threads(self) -> tuple[OffThread, ...]:
        """All of them; what is ended last stands last."""
        return self._explain_thread, self._build_thread, self._book_thread, self._work_thread, self._store_thread

    def services(self) -> Iterator[IService]:
        """What is to be started; what is ended last stands first."""
        yield from (self._apart, self._work_process, self._refresher, self._notes, self._revoker, self._scheduler)
        if self._tls:
            yield Renewal(clock=self._wall, contexts=self._tls, run_off_thread=self._work_thread)
        yield from self._listeners()

    # --- what is stored, and what is served ---

    @cached_property
    def _store(self) -> WatchedStore:
        store = StoreWorker(self._state.database, self._store_thread)
        return WatchedStore(store, self._reactor.seconds, self._wall.seconds)

    @cached_property
    def clients(self) -> Clients:
        """The tenants' OAuth clients."""
        return Clients(self._store, self._state.vault, configured_clients(self._config))

    @cached_property
    def catalog(self) -> Catalog:
        """What is served."""
        return Catalog(
            Snapshot(Dit((), features(tls=self._tls is not None))),
            {tenant.name: tenant.anonymous_networks.hold for tenant in self._config.tenant},
        )

    @cached_property
    def publisher(self) -> Publisher:
        """Makes what is served of what is stored."""
        url = database_url(self._folder, self._config.database)
        return Publisher(
            store=self._store,
            catalog=self.catalog,
            contexts={tenant.name: naming_context(tenant) for tenant in self._config.tenant},
            features=features(tls=self._tls is not None),
            run_off_thread=self._book_thread,
            images=Images(self._folder / FOLDER),
            build_apart=partial(self._build_thread, self._apart, build_images, url, self._folder / FOLDER),
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
        return OAuth(self._http, self._endpoints, self._wall)

    @cached_property
    def _job(self) -> SyncJob:
        known: dict[str, SyncedTenant] = {tenant.name: _synced_tenant(tenant) for tenant in self._config.tenant}
        aside = Aside(self._work_thread, self._work_process)
        return SyncJob(
            store=self._store,
            vault=self._state.vault,
            oauth=self._oauth,
            people=People(self._http, self._endpoints, self._wall, aside),
            tenants=Tenants(
                known, lambda name: dataclasses.replace(known[name], client=self.clients.get(name, NO_CLIENT))
            ),
            run_off_thread=self._store.watch(self._work_thread),
            folder=self._folder,
            now=self._wall.seconds,
            note_progress=self._progress.note,
        )

    @cached_property
    def _scheduler(self) -> SyncScheduler:
        return SyncScheduler(
            clock=self._wall,
            store=self._store,
            job=self._job,
            publish=self.publisher.refresh,
            interval=self._config.sync.interval,
            concurrency=self._config.sync.concurrency,
            random=SystemRandom().random,
        )

    @cached_property
    def _revoker(self) -> Revoker:
        return Revoker(
            clock=self._wall,
            store=self._store,
            vault=self._state.vault,
            oauth=self._oauth,
            clients=self.clients,
        )

    @cached_property
    def _refresher(self) -> Refresher:
        return Refresher(
            clock=self._wall,
            store=self._store,
            watch=Watch(self._state.database),
            publisher=self.publisher,
            scheduler=self._scheduler,
            take_seen=self.catalog.take_seen_phones,
            read_clients=self.clients.refresh,
            tell_pages=AccountWatch(self._store, self._live).look,
        )

    # --- phones ---

    @cached_property
    def _watch(self) -> PhoneWatch:
        watch = PhoneWatch({tenant.name: tenant.base_dn for tenant in self._config.tenant}, self._wall.seconds)
        watch.searches.tell(self._live.tell)
        return watch

    @cached_property
    def _notes(self) -> SearchNotes:
        return SearchNotes(
            clock=self._wall,
            store=self._store,
            take_fresh=self._watch.searches.take_fresh,
            login_of=self._watch.bind_dn,
            logins=lambda: self.catalog.snapshot.logins,
            judge=self._watch.judge,
        )

    @cached_property
    def _ldap(self) -> LdapFactory:
        catalog, observers = self.catalog, (self._tally.observe, self._watch.searches.observe)
        ldap = LdapFactory(
            DirectoryPort(catalog.dit, catalog.authenticate, catalog.anonymous, os.urandom(32), observers),
            Limits(**{name: getattr(self._config.ldap, name) for name in _LIMITS}),
            self._reactor,
            self._tls,
            require_tls=self._config.ldap.require_tls,
            call_at_tick_end=getattr(self._reactor, "at_end", None),  # ours has it (`ldapgw.server.reactor`)
        )
        catalog.set_listeners(self._end, ldap.snapshot_changed)
        self._tally.connections = ldap.connected
        return ldap

    def _end(self, login: str) -> None:
        """A login no longer holds: nothing that was done with it counts, and open pages say so."""
        self._ldap.disconnect(login)
        self._watch.searches.forget(login)
        self._notes.forget(login)
        self._live.tell(login)

    def _listeners(self) -> Iterator[IService]:
        """Everything that the outside can talk to."""
        yield Sessions(self._ldap.disconnect_all)
        for endpoint in self._config.ldap.listen:
            yield Listener(self._reactor, "ldap.listen", endpoint, self._ldap)
        for endpoint in self._config.ldap.listen_tls:
            yield Listener(self._reactor, "ldap.listen_tls", endpoint, self._ldap.over_tls())
        web = web_site(web_resource(self._web_gate), self._reactor)
        for endpoint in self._config.web.listen:
            yield Listener(self._reactor, "web.listen", endpoint, web)

    # --- pages ---

    @cached_property
    def _progress(self) -> ProgressBoard:
        return ProgressBoard(lambda account_id: self._live.tell(account_topic(account_id)))

    @cached_property
    def _web_gate(self) -> WebGate:
        config, tls, wall = self._config, self._tls, self._wall
        known: dict[str, WebTenant] = {tenant.name: web_tenant(tenant) for tenant in config.tenant}
        bases: dict[str, Dn] = {tenant.name: Dn.parse(tenant.base_dn) for tenant in config.tenant}
        return WebGate(
            public_url=config.web.public_url,
            tenants=Tenants(known, lambda name: dataclasses.replace(known[name], client=self.clients.get(name))),
            store=self._store,
            vault=self._state.vault,
            oauth=self._oauth,
            endpoints=self._endpoints,
            clock=wall,
            random=os.urandom,
            trusts=config.web.trusted_proxies.hold,
            ready=self._is_ready,
            database_fails_since=lambda: self._store.fails_since,
            certificate_ends=lambda: tls.pair.lifetime.near_end(wall.seconds()) if tls else None,
            changed=self._refresher.look_now,
            admin=self._admin_gate,
            phones=self._phone_gate,
            live=self._live,
            progress=self._progress.of,
            finder=DirectoryFinder(self.catalog.dit, bases, self._reactor),
            explainer=PhoneExplainer(
                lambda: self.catalog.snapshot, config.ldap.size_limit, self._explain_thread, wall.seconds
            ),
        )

    @cached_property
    def _admin_gate(self) -> AdminGate:
        metrics = Metrics(
            store=self._store,
            now=self._wall.seconds,
            version=__version__,
            tally=self._tally,
            ready=self._is_ready,
            contacts=self._contacts,
            database_fails=lambda: self._store.in_trouble,
            certificate_ends=self._certificate_ends,
        )
        return AdminGate(
            configured=self.clients.configured,
            certificate_ends=self._certificate_ends,
            metrics=metrics.answer,
            may_read_metrics=self._config.web.metrics_networks.hold,
        )

    @cached_property
    def _phone_gate(self) -> PhoneGate:
        watch = self._watch
        return PhoneGate(
            server=phone_server(self._config),
            base_dn=watch.base_dn,
            bind_dn=watch.bind_dn,
            searches=watch.seen,
            stranger=watch.searches.stranger,
            certificate=Trust(self._tls, self._work_thread).certificate,
        )

    def _is_ready(self) -> bool:
        return self._is_running() and self.catalog.snapshot.loaded

    def _certificate_ends(self) -> float | None:
        return self._tls.pair.lifetime.ends.timestamp() if self._tls else None

    def _contacts(self) -> dict[str, int]:
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
    return SyncedTenant(NO_CLIENT, tenant.sources, tenant.labels, tenant.region)


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
