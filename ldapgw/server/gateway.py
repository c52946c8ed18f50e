# SPDX-License-Identifier: MIT
"""The composition root: builds the gateway from its configuration and starts and stops its services in order."""

from __future__ import annotations

import gc
import resource
import sys
from collections.abc import Callable, Coroutine, Iterable, Mapping
from contextlib import suppress
from socket import socket
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from twisted.application.service import MultiService, Service
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from ldapgw import __version__
from ldapgw.directory import transliteration
from ldapgw.directory.catalog import Catalog
from ldapgw.directory.schema import configure_aliases
from ldapgw.errors import UnwritableStore
from ldapgw.ldap.server import LdapFactory
from ldapgw.numbers import phone_number
from ldapgw.phones.provisioning.vendors import all_vendors
from ldapgw.server.certificates import CertificateReloader
from ldapgw.server.check_result import Moment, Subject
from ldapgw.server.config import DEFAULT_FILE, Config
from ldapgw.server.counters import ReloadStatus
from ldapgw.server.endpoints import configured_endpoints, ipv6_only_endpoints, ldap_urls, reuses_port
from ldapgw.server.listener import Listener, SessionCloser, raise_descriptor_limit
from ldapgw.server.logging import LogMeter, MisuseLog
from ldapgw.server.parts.base import Base
from ldapgw.server.parts.phone_parts import PhoneParts
from ldapgw.server.parts.sync_parts import SyncParts
from ldapgw.server.preflight import opening
from ldapgw.server.proxy_protocol import ProxyProtocolFactory
from ldapgw.server.reactor import LagMeter
from ldapgw.server.state_dir import OpenStateDir, StateDir
from ldapgw.server.workers import WorkerThread
from ldapgw.store import accounts, phones
from ldapgw.store.database import check_writable
from ldapgw.store.logins_file import age_in_words

if TYPE_CHECKING:
    from ldapgw.web.site import WebSite

log = Logger()

_STALE = "the directory is stale: phones are served from the cached books, with the logins of {age} ago"


def _summary(config: Config, state: OpenStateDir) -> dict[str, str]:
    """Return the fields of the last log line of a start: the addresses, and the numbers of accounts and phones."""
    if state.snapshot is not None:
        saved = state.snapshot.saved
        connected, logins = len(saved.accounts), sum(login.replica is None for login in saved.logins)
    else:
        with state.database.begin() as connection:
            connected = accounts.count_connected(connection)
            logins = sum(phones.count_by_tenant(connection).values())
    return {
        "page": f"{config.web.public_url}/",
        "ldap": " ".join(ldap_urls(config)),
        "accounts": f"{connected} account{'' if connected == 1 else 's'}",
        "phones": f"{logins} phone{'' if logins == 1 else 's'}",
    }


class Gateway(MultiService):
    """All services of one gateway.

    Threads and the state directory close last, because a service that stops may still write to the database.

    :param summary: the fields of the last log line of the start.
    """

    def __init__(self, state: OpenStateDir, threads: Iterable[WorkerThread], summary: Mapping[str, str]) -> None:
        super().__init__()
        self._state = state
        self._summary = summary
        self._threads = tuple(threads)

    def begin(self) -> None:
        """Listen and serve.  Entry points other than twistd call this method; twistd starts the services itself.

        :raises UserError: when the gateway cannot listen on an endpoint; then every service is stopped.
        """
        try:
            self.privilegedStartService()
            self.startService()
        except BaseException:
            self.stopService()
            raise

    def startService(self) -> None:
        # The process id is final only now, because twistd may have forked before.
        self._state.lock.write_pid()
        for thread in self._threads:
            thread.startService()
        super().startService()
        log.info("Page {page} · LDAP {ldap} · {accounts}, {phones}", event="gateway_started", **self._summary)

    def stopService(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self._end())

    def keep_ports(self) -> dict[str, socket]:
        """Accept no more connections on TCP ports, and return the listening sockets, by endpoint.

        New connections wait in the queues of these sockets.
        """
        kept = {service.endpoint: service.keep_port() for service in self if isinstance(service, Listener)}
        return {endpoint: port for endpoint, port in kept.items() if port is not None}

    async def _end(self) -> None:
        if self.running:
            log.info("the gateway is stopping", event="gateway_stopping")
        await super().stopService()
        for thread in self._threads:
            await thread.stopService()
        self._state.close()


def makeService(
    config: Config,
    reactor: Any,
    wall_clock: IReactorTime,
    ports: Mapping[str, socket] = MappingProxyType({}),
    reloads: ReloadStatus | None = None,
    *,
    file: str = DEFAULT_FILE,
) -> Gateway:
    """Build a gateway from its configuration and load the stored contacts before the first search.

    :param wall_clock: the clock for the time of day; `reactor` may run on the monotonic clock instead.
    :param ports: sockets of this process that listen already, by endpoint.
    :param reloads: the outcome of the last reload, or None if the configuration is never read again.
    :param file: the configuration file, which the administration's page names.
    :raises UserError: when the state directory, the certificate or an endpoint cannot be used.
    """
    with opening(Subject(Moment.START, config)):
        # Only a gateway that serves phones or pages starts from a snapshot of logins when the database is away.
        stale_start = 0.0 if {"serve", "web"}.isdisjoint(config.roles) else config.serve.stale_start
        state = OpenStateDir(StateDir.of(config), wall_clock.seconds(), stale_start)
    try:
        reloads = reloads or ReloadStatus(wall_clock.seconds())
        return _assemble(Base(config, reactor, wall_clock, state, ports, reloads, file))
    except BaseException:
        state.close()
        raise


def _assemble(base: Base) -> Gateway:
    config, reactor, state = base.config, base.reactor, base.state
    max_web_connections = raise_descriptor_limit(config.ldap.max_connections, config.web.max_connections)
    phone_parts = PhoneParts(base)
    sync_parts = SyncParts(base, phone_parts)
    misuse_log = MisuseLog(reactor)
    web = _web_site(base, phone_parts, sync_parts, misuse_log, max_web_connections, lambda: bool(gateway.running))
    gateway = Gateway(state, base.workers.threads, _summary(config, state))
    # The services in the order in which they start; they stop in the reverse order.
    services: tuple[Service | None, ...] = (
        sync_parts.stale_limit,
        base.workers.build_process,
        base.workers.file_process,
        *base.workers.page_processes,
        LagMeter(reactor, base.counters.reactor_lag.observe),
        LogMeter(base.counters.count_log_event),
        misuse_log,
        phone_parts.phone_recorder,
        sync_parts.logins_keeper,
        sync_parts.change_feed,
        phone_parts.recorder,
        phone_parts.refused_logins,
        sync_parts.revoker,
        base.copy_cleaner,
        base.record_pruner,
        base.expiry_pruner,
        sync_parts.photo_fetcher,
        sync_parts.contact_renewal,
        sync_parts.workspace_reader,
        sync_parts.leavers,
        sync_parts.file_books,
        sync_parts.scheduler,
        sync_parts.leadership,
        sync_parts.heartbeat,
        sync_parts.bulletin,
        *_listeners(base, phone_parts.ldap, web, misuse_log),
    )
    for service in services:
        if service is not None:
            service.setServiceParent(gateway)
    _load_without_collecting(base, phone_parts.catalog, sync_parts)
    return gateway


def _web_site(
    base: Base,
    phone_parts: PhoneParts,
    sync_parts: SyncParts,
    misuse_log: MisuseLog,
    max_connections: int,
    is_running: Callable[[], bool],
) -> WebSite | None:
    """Build the web pages; return None if the gateway serves no pages."""
    if "web" not in base.config.roles:
        return None
    # The imports are here, because the pages and their libraries take 15 MiB, which other gateways do not need.
    from ldapgw.server.parts.web_parts import make_web_dependencies
    from ldapgw.web.app import web_resource
    from ldapgw.web.site import Admission, WebSite

    web = base.config.web
    pages = make_web_dependencies(base, phone_parts, sync_parts, misuse_log, is_running)
    admission = Admission(
        max_connections, web.max_connections_per_network, web.trusted_proxies.contains, misuse_log.count
    )
    return WebSite(web_resource(pages), base.reactor, admission)


def _listeners(base: Base, ldap: LdapFactory, web: WebSite | None, misuse_log: MisuseLog) -> tuple[Service, ...]:
    """Return the listeners and the services that they need, in the order in which the services start.

    :param web: the web pages, or None if the gateway serves no pages.
    """
    config, reactor, tls = base.config, base.reactor, base.tls
    is_proxy = config.ldap.proxy_protocol.contains
    factories: dict[str, ProxyProtocolFactory] = {}
    if "serve" in config.roles:
        factories["ldap.listen"] = ProxyProtocolFactory(ldap, is_proxy, reactor, ldap.count_misuse)
    if "serve" in config.roles and tls:
        factories["ldap.listen_tls"] = ProxyProtocolFactory(ldap.over_tls(), is_proxy, reactor, ldap.count_misuse)
    if web is not None:
        is_proxy = config.web.proxy_protocol.contains
        factories["web.listen"] = ProxyProtocolFactory(web, is_proxy, reactor, misuse_log.count)
    if web is not None and tls:
        https = web.over_tls(tls.for_browsers)
        factories["web.listen_tls"] = ProxyProtocolFactory(https, is_proxy, reactor, misuse_log.count)
    ipv6_only = ipv6_only_endpoints(config)
    host = urlsplit(config.web.public_url).hostname or ""
    reloader = tls and CertificateReloader(
        clock=base.wall_clock, context_factory=tls, host=host, run_off_thread=base.workers.work
    )
    return (
        *([reloader] if reloader else ()),
        SessionCloser(ldap.disconnect_all),
        *(
            Listener(
                reactor,
                setting,
                endpoint,
                factories[setting],
                ipv6_only=endpoint in ipv6_only,
                reuse_port=reuses_port(config, setting),
                shared=base.ports.get(endpoint),
            )
            for setting, endpoint in configured_endpoints(config)
            if setting in factories
        ),
    )


# The maximum number of seconds for which a thread calculates while another thread waits.
_SWITCH_SECONDS = 0.0005


def _load_without_collecting(base: Base, catalog: Catalog, sync_parts: SyncParts) -> None:
    """Load what the gateway needs to serve, without the garbage collector.

    Hardly anything that is loaded is garbage, and each collection would visit everything that was loaded before.
    """
    gc.disable()
    try:
        _load(base, catalog, sync_parts)
        # The loaded books live long.  Freezing the books exempts them from garbage collection, during which all work
        # stops.
        gc.collect()
        gc.freeze()
    finally:
        gc.enable()


def _load(base: Base, catalog: Catalog, sync_parts: SyncParts) -> None:
    """Load the tables of scripts and telephone numbers, the vendors of phones, the files, and the stored contacts."""
    publisher = sync_parts.publisher
    config, state, store = base.config, base.state, base.store
    # Tokens, keys and contacts are in memory; a core file would write these secrets to the disk.
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    configure_aliases(config.attribute_aliases)
    transliteration.load()
    phone_number.load()
    if "web" in config.roles:
        all_vendors()  # reads the vendors' files now, because phones would wait while a web page reads the files
    if state.database.is_read_only:
        # This attempt to write makes the store notice and log that the database is read-only, as any later write would.
        with suppress(UnwritableStore):
            _run_synchronously(store.run(check_writable, thoroughly=False))
    if state.is_unused and config.new_store:
        log.warn(
            "the database {file} is new: no account has connected; if this gateway has served phones before, stop the "
            "gateway, and mount the disk or restore a backup",
            event="database_new",
            file=state.database.file or state.database.name,
        )
    _run_synchronously(sync_parts.file_books.load())
    if state.snapshot is not None and state.outage is not None:
        age = age_in_words(base.now() - state.snapshot.taken_at)
        store.begin_outage(f"{state.outage}; {_STALE.format(age=age)}")
        _run_synchronously(publisher.load_saved(state.snapshot.saved))
    else:
        _run_synchronously(base.clients.refresh())
        _run_synchronously(base.delegations.refresh())
        _run_synchronously(publisher.refresh())
    # By default, Python lets a thread calculate for 5 ms while another thread waits.  So a thread that stores contacts
    # would delay answers to phones.
    sys.setswitchinterval(_SWITCH_SECONDS)
    books = [book for directory in catalog.dit().directories for book in directory.books]
    log.info(
        "ldapgw {version}: {contacts} contacts in {books} books",
        event="books_loaded",
        version=__version__,
        contacts=sum(map(len, books)),
        books=len(books),
    )
    # Close the SQLite connections: twistd may fork now, and a forked connection corrupts the database.
    state.database.close()


def _run_synchronously(work: Coroutine[Any, Any, None] | Deferred[None]) -> None:
    """Run work that uses the store, before the threads start; without the threads, the work completes at once.

    :raises StoreError: when the database cannot be used.
    """
    failures: list[Failure] = []
    ensureDeferred(work).addErrback(failures.append)
    if failures:
        failures[0].raiseException()
