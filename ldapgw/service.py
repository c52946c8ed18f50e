# SPDX-License-Identifier: MIT
"""The composition root: the parts of the gateway, put together.  No logic lives here but the order of their end."""

from __future__ import annotations

import dataclasses
import gc
import os
from collections.abc import Callable, Coroutine, Iterable
from functools import partial
from pathlib import Path
from random import SystemRandom
from typing import Any

from twisted.application.service import IService, MultiService
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from ldapgw import __version__, number
from ldapgw.building import build_images
from ldapgw.catalog import Catalog, Served
from ldapgw.clients import NO_CLIENT, Clients, Tenants, configured_clients
from ldapgw.config import Config, Tenant
from ldapgw.descriptors import make_room
from ldapgw.directory import transliteration
from ldapgw.directory.dit import Dit
from ldapgw.directory.dn import Dn
from ldapgw.directory.naming import NamingContext
from ldapgw.errors import ResultCode
from ldapgw.explainer import PhoneExplainer
from ldapgw.finder import DirectoryFinder
from ldapgw.google.endpoints import Endpoints
from ldapgw.google.http import http_client
from ldapgw.google.oauth import OAuth
from ldapgw.google.people import People
from ldapgw.images import FOLDER, Images
from ldapgw.ldap.features import features
from ldapgw.ldap.gate import Gate
from ldapgw.ldap.limits import Limits
from ldapgw.ldap.protocol import LdapFactory
from ldapgw.listener import Listener, Sessions
from ldapgw.listening import phone_server
from ldapgw.metrics import Metrics, Tally
from ldapgw.offprocess import Apart, Aside, OffProcess
from ldapgw.offthread import OffThread
from ldapgw.phonewatch import PhoneWatch
from ldapgw.progress import ProgressBoard
from ldapgw.publisher import Publisher
from ldapgw.refresh import Refresher
from ldapgw.renewal import Renewal
from ldapgw.searchnotes import SearchNotes
from ldapgw.state import State, database_url
from ldapgw.store.watch import Watch
from ldapgw.store.watched import WatchedStore
from ldapgw.store.worker import StoreWorker
from ldapgw.sync.job import SyncedTenant, SyncJob
from ldapgw.sync.revoker import Revoker
from ldapgw.sync.scheduler import SyncScheduler
from ldapgw.tls import ServerContext
from ldapgw.trust import Trust
from ldapgw.web.admingate import AdminGate
from ldapgw.web.app import web_resource
from ldapgw.web.gate import WebGate
from ldapgw.web.live import AccountWatch, Live, account_topic
from ldapgw.web.phonegate import PhoneGate, phone_topic
from ldapgw.web.site import web_site
from ldapgw.web.tenant import WebTenant

log = Logger()


class Gateway(MultiService):
    """All services of one gateway.  Threads and state end last: until then, something may want to be written."""

    def __init__(self, state: State, threads: Iterable[OffThread]) -> None:
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
        self._state.lock.name_process()
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


def makeService(config: Config, reactor: Any, wall: IReactorTime) -> Gateway:
    """A gateway by its configuration, with the stored contacts loaded: they are served from the start.

    :param wall: the time of day; what `reactor` says may be another time, that nobody sets.
    :raises UserError: when the state, the certificate or an endpoint cannot be used.
    """
    state = State(Path(config.state_dir), config.database)
    try:
        return _assemble(config, reactor, wall, state)
    except BaseException:
        state.close()
        raise


def _assemble(config: Config, reactor: Any, wall: IReactorTime, state: State) -> Gateway:
    make_room(config.ldap.max_connections)
    tls = ServerContext(config.tls) if config.tls else None
    store_thread = OffThread(reactor, "store", 1)
    work_thread = OffThread(reactor, "work", 1)
    book_thread = OffThread(reactor, "books", 1)
    build_thread = OffThread(reactor, "build", 1)
    explain_thread = OffThread(reactor, "explain", 1)
    work_process = OffProcess(reactor)
    apart, folder = Apart(), Path(config.state_dir)
    store = WatchedStore(StoreWorker(state.database, store_thread), reactor.seconds, wall.seconds)
    endpoints = Endpoints(**{name: getattr(config.google, name) for name in config.google.__struct_fields__})
    http = http_client(reactor)
    oauth = OAuth(http, endpoints, wall)

    offered = features(tls=tls is not None)
    watch = PhoneWatch({tenant.name: tenant.base_dn for tenant in config.tenant}, wall.seconds)
    catalog = Catalog(Served(Dit((), offered)), {each.name: each.anonymous_networks.hold for each in config.tenant})
    publisher = Publisher(
        store=store,
        catalog=catalog,
        contexts={tenant.name: naming_context(tenant) for tenant in config.tenant},
        features=offered,
        run_off_thread=book_thread,
        images=Images(folder / FOLDER),
        build_apart=partial(build_thread, apart, build_images, database_url(folder, config.database), folder / FOLDER),
    )
    live = Live()
    watch.searches.tell(lambda login: live.tell(phone_topic(login)))
    progress = ProgressBoard(lambda account_id: live.tell(account_topic(account_id)))
    clients = Clients(store, state.vault, configured_clients(config))
    synced: dict[str, SyncedTenant] = {tenant.name: _synced_tenant(tenant) for tenant in config.tenant}
    shown: dict[str, WebTenant] = {tenant.name: web_tenant(tenant) for tenant in config.tenant}
    job = SyncJob(
        store=store,
        vault=state.vault,
        oauth=oauth,
        people=People(http, endpoints, wall, Aside(work_thread, work_process)),
        tenants=Tenants(synced, lambda name: dataclasses.replace(synced[name], client=clients.get(name, NO_CLIENT))),
        run_off_thread=store.watch(work_thread),
        folder=Path(config.state_dir),
        now=wall.seconds,
        note_progress=progress.note,
    )
    scheduler = SyncScheduler(
        clock=wall,
        store=store,
        job=job,
        publish=publisher.refresh,
        interval=config.sync.interval,
        concurrency=config.sync.concurrency,
        random=SystemRandom().random,
    )
    revoker = Revoker(
        clock=wall,
        store=store,
        vault=state.vault,
        oauth=oauth,
        clients=clients,
    )
    refresher = Refresher(
        clock=wall,
        store=store,
        watch=Watch(state.database),
        publisher=publisher,
        scheduler=scheduler,
        take_seen=catalog.take_seen,
        read_clients=clients.refresh,
        tell_pages=AccountWatch(store, live).look,
    )
    notes = SearchNotes(
        clock=wall,
        store=store,
        take_fresh=watch.searches.take_fresh,
        login_of=watch.bind_dn,
        logins=lambda: catalog.served.logins,
        judge=watch.judge,
    )
    gateway = Gateway(state, (explain_thread, build_thread, book_thread, work_thread, store_thread))
    tally = Tally()

    def is_ready() -> bool:
        return bool(gateway.running) and catalog.served.loaded

    def ends() -> float | None:
        return tls.pair.lifetime.ends.timestamp() if tls else None

    metrics = Metrics(
        store=store,
        now=wall.seconds,
        version=__version__,
        tally=tally,
        ready=is_ready,
        contacts=lambda: _contacts(catalog),
        database_fails=lambda: store.in_trouble,
        certificate_ends=ends,
    )
    gate = WebGate(
        public_url=config.web.public_url,
        tenants=Tenants(shown, lambda name: dataclasses.replace(shown[name], client=clients.get(name))),
        store=store,
        vault=state.vault,
        oauth=oauth,
        endpoints=endpoints,
        clock=wall,
        random=os.urandom,
        trusts=config.web.trusted_proxies.hold,
        ready=is_ready,
        database_fails_since=lambda: store.fails_since,
        certificate_ends=lambda: tls.pair.lifetime.near_end(wall.seconds()) if tls else None,
        changed=refresher.look_now,
        admin=AdminGate(
            configured=clients.configured,
            certificate_ends=ends,
            metrics=metrics.answer,
            may_read_metrics=config.web.metrics_networks.hold,
        ),
        phones=_phone_gate(config, watch, Trust(tls, work_thread)),
        live=live,
        progress=progress.of,
        finder=DirectoryFinder(catalog.dit, {each.name: Dn.parse(each.base_dn) for each in config.tenant}, reactor),
        explainer=PhoneExplainer(lambda: catalog.served, config.ldap.size_limit, explain_thread, wall.seconds),
    )

    def forget(login: str) -> None:
        """A login no longer holds: nothing that was done with it counts, and open pages say so."""
        watch.searches.forget(login)
        notes.forget(login)
        live.tell(phone_topic(login))

    listeners = _listeners(config, reactor, catalog, gate, tls, watch, tally, forget)
    renewals = [Renewal(clock=wall, contexts=tls, run_off_thread=work_thread)] if tls else []
    # What is ended last stands first.
    for part in (apart, work_process, refresher, notes, revoker, scheduler, *renewals, *listeners):
        part.setServiceParent(gateway)
    transliteration.load()
    number.load()
    _at_once(clients.refresh)
    _at_once(publisher.refresh)
    # What is loaded lives long: the collector, which stops everything, need not look at it again and again.
    gc.collect()
    gc.freeze()
    books = [book for directory in catalog.dit().directories for book in directory.books]
    contacts = sum(map(len, books))
    log.info(
        "ldapgw {version}: {contacts} contacts in {books} books",
        version=__version__,
        contacts=contacts,
        books=len(books),
    )
    state.database.close()  # twistd may fork now, and SQLite's connections must not be taken along
    return gateway


def _listeners(
    config: Config,
    reactor: Any,
    catalog: Catalog,
    gate: WebGate,
    tls: ServerContext | None,
    watch: PhoneWatch,
    tally: Tally,
    forget: Callable[[str], None],
) -> Iterable[IService]:
    """Everything that the outside can talk to.

    :param forget: is told of a login that no longer holds.
    """

    def observe(login: str, address: str, message: bytes, entries: int, code: ResultCode, seconds: float) -> None:
        tally.observe(entries, code, seconds)
        watch.searches.observe(login, address, message, entries, code, seconds)

    ldap = LdapFactory(
        Gate(catalog.dit, catalog.authenticate, catalog.anonymous, os.urandom(32), observe),
        Limits(**{name: getattr(config.ldap, name) for name in _LIMITS}),
        reactor,
        tls,
        require_tls=config.ldap.require_tls,
    )

    def end(login: str) -> None:
        ldap.disconnect(login)
        forget(login)

    catalog.tell_sessions(end, ldap.published)
    tally.connections = ldap.connected
    yield Sessions(ldap.disconnect_all)
    for endpoint in config.ldap.listen:
        yield Listener(reactor, "ldap.listen", endpoint, ldap)
    for endpoint in config.ldap.listen_tls:
        yield Listener(reactor, "ldap.listen_tls", endpoint, ldap.over_tls())
    web = web_site(web_resource(gate), reactor)
    for endpoint in config.web.listen:
        yield Listener(reactor, "web.listen", endpoint, web)


def _contacts(catalog: Catalog) -> dict[str, int]:
    """How many contacts of each tenant are served."""
    return {each.context.name: sum(map(len, each.books)) for each in catalog.dit().directories}


def _phone_gate(config: Config, watch: PhoneWatch, trust: Trust) -> PhoneGate:
    """What the pages about phones need."""
    return PhoneGate(
        server=phone_server(config),
        base_dn=watch.base_dn,
        bind_dn=watch.bind_dn,
        searches=watch.seen,
        stranger=watch.searches.stranger,
        certificate=trust.certificate,
    )


def _at_once(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Do something with the store; before the threads are started, all of it happens here and now.

    :raises StoreError: when the database cannot be used.
    """
    failures: list[Failure] = []
    Deferred.fromCoroutine(work()).addErrback(failures.append)
    if failures:
        failures[0].raiseException()


_LIMITS = tuple(field.name for field in dataclasses.fields(Limits))


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
