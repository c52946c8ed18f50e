# SPDX-License-Identifier: MIT
"""Builds the objects that the web pages use."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib import import_module

from ldapgw import __version__
from ldapgw.directory.catalog import Freshness
from ldapgw.directory.dit import Dit
from ldapgw.files.reading import FilePreview
from ldapgw.google.delegation import ServiceAccount, read_key_file
from ldapgw.google.endpoints import Client
from ldapgw.google.http import http_client
from ldapgw.phones.book_reader import BookReader
from ldapgw.phones.contact_browser import ContactBrowser
from ldapgw.phones.explain.explain import PhoneExplainer
from ldapgw.phones.provisioning.settings import ConnectionSettings, StepResult
from ldapgw.server.config import Tenant
from ldapgw.server.endpoints import certificate_url, phone_server
from ldapgw.server.google import TenantsWithClients
from ldapgw.server.logging import MisuseLog
from ldapgw.server.metrics import Gauges, Metrics
from ldapgw.server.parts.base import Base
from ldapgw.server.parts.phone_parts import PhoneParts
from ldapgw.server.parts.sync_parts import SyncParts
from ldapgw.server.state_dir import BACKUP_NOTE
from ldapgw.store.tenants import DelegationSettings, DelegationTrial
from ldapgw.sync.file_books import preview_replacement
from ldapgw.sync.workspace import Delegation
from ldapgw.web.dependencies import (
    AdminDependencies,
    BookClientDependencies,
    DelegationDependencies,
    FileDependencies,
    PhoneDependencies,
    WebDependencies,
    WebTenant,
)
from ldapgw.web.dialing import DialAddress, Dialer


class _PresentTenants(TenantsWithClients[WebTenant]):
    """The tenants by name, with their present OAuth clients, and the present numbers of members of Google Groups."""

    def __init__(self, tenants: Mapping[str, WebTenant], clients: Mapping[str, Client], dit: Callable[[], Dit]) -> None:
        super().__init__(tenants, clients)
        self._dit = dit

    def __getitem__(self, name: str) -> WebTenant:
        tenant, directory = super().__getitem__(name), self._dit().directory(name)
        if directory is None or not directory.context.google_groups:
            return tenant
        return replace(tenant, groups={group: len(found) for group, found in directory.context.groups.items()})


def make_web_dependencies(
    base: Base, phones: PhoneParts, sync: SyncParts, misuse_log: MisuseLog, is_running: Callable[[], bool]
) -> WebDependencies:
    config, dit = base.config, phones.catalog.dit
    web_tenants: dict[str, WebTenant] = {tenant.name: web_tenant(tenant) for tenant in config.tenant}

    def is_ready() -> bool:
        snapshot = phones.catalog.snapshot
        return is_running() and snapshot.loaded and not snapshot.unserved

    return WebDependencies(
        public_url=config.web.public_url,
        tenants=_PresentTenants(web_tenants, base.clients, dit),
        store=base.store,
        secret_box=base.state.secret_box,
        oauth=sync.google.oauth,
        endpoints=sync.google.endpoints,
        clock=base.wall_clock,
        seconds=base.reactor.seconds,
        random=os.urandom,
        is_trusted_proxy=config.web.trusted_proxies.contains,
        is_ready=is_ready,
        is_stale=lambda: phones.catalog.snapshot.freshness is not Freshness.CURRENT,
        database_fails_since=lambda: base.store.failing_since,
        certificate_expiry=base.certificate_expiry_if_near,
        # Behind a proxy with the PROXY protocol, the gateway cannot see whether a request came over TLS.
        serves_https=bool(config.web.listen_tls) and not config.web.proxy_protocol,
        sends_hsts=lambda: config.web.hsts and _is_https_proven(base),
        changed=sync.change_feed.refresh_now,
        count_misuse=misuse_log.count,
        disconnected=base.copy_cleaner.clean,
        removed=base.copy_cleaner.clean_removed,
        admin=_admin_dependencies(base, phones, sync, is_ready),
        phones=_phone_dependencies(base, phones),
        delegations=_delegation_dependencies(base, sync),
        files=_file_dependencies(base, sync),
        book_clients=_book_client_dependencies(base, phones),
        is_shared=base.state.database.runs_beside,
        notifier=phones.notifier,
        contacts=ContactBrowser(dit, phones.ldap.turns.turn_of),
        dial=Dialer(sync.google.http, http_client(base.reactor), base.reactor).dial,
        explainer=PhoneExplainer(
            lambda: phones.catalog.snapshot, config.ldap.size_limit, base.workers.explain, base.now
        ),
        observe_request=base.counters.pages.observe,
        render_off_thread=base.workers.pages,  # a page must not wait for the explanation of a search in a large book
    )


def _is_https_proven(base: Base) -> bool:
    """Return whether the certificate has been good for a day; True if a proxy, and not the gateway, serves HTTPS."""
    if not base.config.web.listen_tls or base.tls is None:
        return True
    return base.tls.loaded.is_proven(base.now())


def _admin_dependencies(
    base: Base, phones: PhoneParts, sync: SyncParts, is_ready: Callable[[], bool]
) -> AdminDependencies:
    threads = {thread.label: thread for thread in base.workers.threads}

    def gauges() -> Gauges:
        directories = phones.catalog.dit().directories
        return Gauges(
            ready=is_ready(),
            database_fails=base.store.is_failing,
            connections=phones.ldap.connected(),
            contacts={directory.context.name: directory.contact_count for directory in directories},
            unserved=sync.publisher.unserved,
            waits={name: thread.waits.copied() for name, thread in threads.items()},
            waiting={name: thread.waiting for name, thread in threads.items()},
            certificate_ends=base.certificate_expiry(),
            reload_is_good=base.reloads.is_good,
            reload_succeeded_at=base.reloads.succeeded_at,
            stale=phones.catalog.snapshot.freshness is not Freshness.CURRENT,
            is_leader=sync.is_leader(),
            uses_key_file=not base.state.secret_box.problem,
            files=sync.file_books.statuses(),
        )

    metrics = Metrics(
        store=base.store,
        clock=base.reactor,
        now=base.now,
        version=__version__,
        tenant_names=[tenant.name for tenant in base.config.tenant],
        sync_interval=base.config.sync.interval,
        counters=base.counters,
        gauges=gauges,
        backup_note=base.state_dir / BACKUP_NOTE,
        run_off_thread=base.workers.explain,  # this thread waits neither for the database nor for the disk
    )
    return AdminDependencies(
        tenants_with_configured_client=base.clients.configured,
        certificate_expiry=base.certificate_expiry,
        sync_interval=base.config.sync.interval,
        calls_per_minute=base.config.google.max_calls_per_minute,
        metrics=metrics.render,
        may_read_metrics=base.config.web.metrics_networks.contains,
        left_out=phones.ldap.left_out,
        may_be_new_store=base.config.new_store,
        config_file=base.config_file,
    )


def _phone_dependencies(base: Base, phones: PhoneParts) -> PhoneDependencies:
    async def try_connection(access: ConnectionSettings) -> Sequence[StepResult]:
        # ldaptor's LDAP client is large.  The first test of a phone imports the client on a thread, so that phones do
        # not have to wait.
        reachability = await base.workers.work(import_module, "ldapgw.phones.reachability")
        with phones.own_tests.running(access.bind_dn) as connected:
            steps: Sequence[StepResult] = await reachability.try_phone(access, base.reactor, connected)
        return steps

    return PhoneDependencies(
        server=phone_server(base.config),
        activity=phones.activity,
        refused_logins=phones.refused_logins,
        certificate=lambda: base.tls.loaded.trust_anchor if base.tls else "",
        certificate_url=lambda tenant: certificate_url(base.config, tenant),
        try_connection=try_connection,
        one_time=phones.one_time,
    )


def _delegation_dependencies(base: Base, sync: SyncParts) -> DelegationDependencies:
    async def read(key_file: str) -> ServiceAccount:
        service_account: ServiceAccount = await base.workers.work(read_key_file, key_file.encode())
        return service_account

    async def try_entered(tenant: str, key_file: str, settings: DelegationSettings) -> DelegationTrial:
        delegation = Delegation(await read(key_file), settings)
        return await sync.try_delegation(delegation, tenant)

    def present(tenant: str) -> tuple[ServiceAccount, DelegationSettings] | None:
        delegation = base.delegations.get(tenant)
        return (delegation.service_account, delegation.settings) if delegation is not None else None

    return DelegationDependencies(base.delegations.configured, present, read, try_entered)


def _file_dependencies(base: Base, sync: SyncParts) -> FileDependencies:
    async def preview(tenant: str, name: str, octets: bytes) -> FilePreview:
        task = sync.file_books.task(tenant, name)
        found: FilePreview = await base.workers.work_process(preview_replacement, task.path, octets, task.region)
        return found

    return FileDependencies(sync.file_books.statuses, preview, sync.file_books.replace_content)


def _book_client_dependencies(base: Base, phones: PhoneParts) -> BookClientDependencies:
    return BookClientDependencies(
        authenticate=phones.catalog.authenticate,
        authenticate_secret=phones.catalog.authenticate_secret,
        login_delay=phones.ldap.bind_delay,
        login_refused=phones.refused_logins.note,
        reader=BookReader(
            phones.catalog.dit,
            phones.ldap.budget,
            phones.observers,
            base.reactor.seconds,
            phones.ldap.turns.first_turn_of,
            phones.ldap.turns.turn_of,
        ),
        run_off_thread=base.workers.explain,  # neither phone books nor pages wait for a disk that hangs
    )


def web_tenant(tenant: Tenant) -> WebTenant:
    """Convert a configured tenant for the pages, without its OAuth client."""
    return WebTenant(
        name=tenant.name,
        title=tenant.title,
        client=None,
        allowed_users=tenant.allowed_users,
        admins=tenant.admins,
        sources=tenant.sources,
        labels=tenant.labels,
        excluded_labels=tenant.exclude_labels,
        sharing=tenant.sharing,
        groups={group.name: len(group.accounts) for group in tenant.group},
        shared_label=tenant.shared_label,
        number_format=tenant.number_format,
        activity_keep=float(tenant.activity_keep),
        photos=tenant.photos,
        region=tenant.region,
        help=tenant.help,
        dial=DialAddress(tenant.dial_url, tenant.dial == "server") if tenant.dial_url else None,
        has_files=bool(tenant.file),
        remove_leavers=tenant.remove_leavers,
        has_provisioning_networks=bool(tenant.provisioning_networks),
        may_provision=tenant.provisioning_networks.contains,
    )
