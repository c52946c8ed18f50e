# SPDX-License-Identifier: MIT
"""Builds all objects of a gateway in order of their dependencies, and passes each object what it needs; no logic."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from socket import socket
from types import MappingProxyType
from typing import Any

from twisted.application.service import IService
from twisted.internet.interfaces import IReactorTime

from ldapgw.ldap.server import LdapFactory
from ldapgw.server.certificate_renewal import CertificateReloader
from ldapgw.server.config import Config
from ldapgw.server.counters import ReloadStatus
from ldapgw.server.listener import Listener, SessionCloser, configured_endpoints, ipv6_only_endpoints, reuses_port
from ldapgw.server.logging import LogMeter, MisuseLog
from ldapgw.server.metrics import ProcessFigures, SyncAndPageCounters
from ldapgw.server.parts.base import Environment, Workers, make_storage
from ldapgw.server.parts.phone_parts import make_phone_parts
from ldapgw.server.parts.sync_parts import make_stale_limit, make_sync_parts
from ldapgw.server.parts.web_parts import make_web_dependencies
from ldapgw.server.proxy_protocol import ProxyProtocolFactory
from ldapgw.server.reactor import LagMeter
from ldapgw.server.state_dir import OpenStateDir
from ldapgw.server.tls import TlsContextFactory
from ldapgw.web.app import web_resource
from ldapgw.web.site import Admission, WebSite


class Parts:
    """The objects of which a gateway consists.

    :param wall_clock: the time of day; `reactor` may run on the monotonic clock instead.
    :param is_running: whether the gateway's services are running.
    :param max_web_connections: the most connections to the page that the file descriptors allow.
    :ivar store: the database, whose failures are noted.
    :ivar clients: the tenants' OAuth clients.
    :param ports: sockets that listen already, by endpoint.
    :param reloads: how the last reload has gone; None: nothing is read again.
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
        ports: Mapping[str, socket] = MappingProxyType({}),
        reloads: ReloadStatus | None = None,
    ) -> None:
        tls = TlsContextFactory(config.tls) if config.tls else None
        env = Environment(config, reactor, wall_clock, state, tls, ports, reloads or ReloadStatus(wall_clock.seconds()))
        workers = Workers(reactor, syncs_beside=state.database.runs_beside)
        storage = make_storage(env, workers)
        phones = make_phone_parts(env, workers, storage)

        def figures() -> ProcessFigures:
            unserved = self.publisher.unserved
            return ProcessFigures.of_this_process(phones.counters, phones.ldap.connected(), unserved, workers.threads)

        counters = SyncAndPageCounters()
        sync = make_sync_parts(env, workers, storage, phones, counters)
        misuse_log = MisuseLog(reactor)
        pages = make_web_dependencies(env, workers, storage, phones, sync, figures, misuse_log, counters, is_running)
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
        self.services: tuple[IService, ...] = (
            *make_stale_limit(env, sync.publisher),
            workers.build_process,
            workers.work_process,
            LagMeter(reactor, phones.counters.reactor_lag.observe),
            LogMeter(phones.counters.count_log_event),
            misuse_log,
            phones.phone_recorder,
            *((sync.logins_keeper,) if sync.logins_keeper else ()),
            sync.change_feed,
            phones.recorder,
            phones.refused_logins,
            sync.revoker,
            storage.copy_cleaner,
            storage.record_pruner,
            storage.provisioning_cleaner,
            sync.photo_fetcher,
            sync.contact_renewal,
            sync.scheduler,
            *((sync.leadership,) if sync.leadership else ()),
            *((sync.heartbeat,) if sync.heartbeat else ()),
            *((sync.bulletin,) if sync.bulletin else ()),
            *_listeners(
                env,
                workers,
                phones.ldap,
                ProxyProtocolFactory(web, config.web.proxy_protocol.contains, reactor, misuse_log.count)
                if "web" in config.roles
                else None,
            ),
        )


def _listeners(
    env: Environment, workers: Workers, ldap: LdapFactory, web: ProxyProtocolFactory | None = None
) -> tuple[IService, ...]:
    """Return what listens, and what has to do with it, in the order in which the services start.

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
                reuse_port=reuses_port(config, setting),
                shared=env.ports.get(endpoint),
            )
            for setting, endpoint in configured_endpoints(config)
            if setting in factories
        ),
    )
