# SPDX-License-Identifier: MIT
"""Builds all objects of a gateway in order of their dependencies, and passes each object what it needs; no logic."""

from __future__ import annotations

from collections.abc import Callable

from twisted.application.service import Service

from ldapgw.ldap.server import LdapFactory
from ldapgw.server.certificate_renewal import CertificateReloader
from ldapgw.server.listener import Listener, SessionCloser, configured_endpoints, ipv6_only_endpoints, reuses_port
from ldapgw.server.logging import LogMeter, MisuseLog
from ldapgw.server.parts.base import Base
from ldapgw.server.parts.phone_parts import PhoneParts
from ldapgw.server.parts.sync_parts import SyncParts
from ldapgw.server.parts.web_parts import make_web_dependencies
from ldapgw.server.proxy_protocol import ProxyProtocolFactory
from ldapgw.server.reactor import LagMeter
from ldapgw.web.app import web_resource
from ldapgw.web.site import Admission, WebSite


class Parts:
    """The objects of which a gateway consists.

    :param is_running: whether the gateway's services are running.
    :param max_web_connections: the most connections to the page that the file descriptors allow.
    :ivar publisher: builds the directory from the stored contacts.
    :ivar services: the services, in the order in which they start; they stop in reverse order.
    :raises UserError: when ``[google] ca_file`` cannot be used.
    """

    def __init__(self, base: Base, is_running: Callable[[], bool], max_web_connections: int) -> None:
        config, reactor, counters = base.config, base.reactor, base.counters
        phones = PhoneParts(base)
        sync = SyncParts(base, phones)
        misuse_log = MisuseLog(reactor)
        web = WebSite(
            web_resource(make_web_dependencies(base, phones, sync, misuse_log, is_running)),
            reactor,
            Admission(
                max_web_connections,
                config.web.max_connections_per_network,
                config.web.trusted_proxies.contains,
                misuse_log.count,
            ),
        )
        self.catalog = phones.catalog
        self.publisher = sync.publisher
        services: tuple[Service | None, ...] = (
            sync.stale_limit,
            base.workers.build_process,
            base.workers.work_process,
            LagMeter(reactor, counters.reactor_lag.observe),
            LogMeter(counters.count_log_event),
            misuse_log,
            phones.phone_recorder,
            sync.logins_keeper,
            sync.change_feed,
            phones.recorder,
            phones.refused_logins,
            sync.revoker,
            base.copy_cleaner,
            base.record_pruner,
            base.provisioning_cleaner,
            sync.photo_fetcher,
            sync.contact_renewal,
            sync.scheduler,
            sync.leadership,
            sync.heartbeat,
            sync.bulletin,
            *_listeners(base, phones.ldap, web, misuse_log),
        )
        self.services = tuple(service for service in services if service is not None)


def _listeners(base: Base, ldap: LdapFactory, web: WebSite, misuse_log: MisuseLog) -> tuple[Service, ...]:
    """Return what listens, and what has to do with it, in the order in which the services start."""
    config, reactor, tls = base.config, base.reactor, base.tls
    reloader = (
        CertificateReloader(clock=base.wall_clock, context_factory=tls, run_off_thread=base.workers.work)
        if tls
        else None
    )
    is_proxy = config.ldap.proxy_protocol.contains
    factories: dict[str, ProxyProtocolFactory] = {}
    if "serve" in config.roles:
        factories["ldap.listen"] = ProxyProtocolFactory(ldap, is_proxy, reactor, ldap.count_misuse)
    if "serve" in config.roles and tls:
        factories["ldap.listen_tls"] = ProxyProtocolFactory(ldap.over_tls(), is_proxy, reactor, ldap.count_misuse)
    if "web" in config.roles:
        factories["web.listen"] = ProxyProtocolFactory(
            web, config.web.proxy_protocol.contains, reactor, misuse_log.count
        )
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
                shared=base.ports.get(endpoint),
            )
            for setting, endpoint in configured_endpoints(config)
            if setting in factories
        ),
    )
