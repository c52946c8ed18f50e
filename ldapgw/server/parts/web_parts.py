# SPDX-License-Identifier: MIT
"""Builds the objects that the pages need."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path

from ldapgw import __version__
from ldapgw.directory.catalog import Freshness
from ldapgw.directory.dn import Dn
from ldapgw.phones.book_reader import BookReader
from ldapgw.phones.connection_test import ConnectionSettings, StepResult
from ldapgw.phones.contact_browser import ContactBrowser
from ldapgw.phones.explainer import PhoneExplainer
from ldapgw.phones.lookup import DirectoryFinder
from ldapgw.server.certificate_renewal import PhoneTrustAnchor
from ldapgw.server.config import Tenant
from ldapgw.server.listener import phone_server
from ldapgw.server.logging import MisuseLog
from ldapgw.server.metrics import Metrics, ProcessFigures, SyncAndPageCounters
from ldapgw.server.oauth_clients import LazyTenants
from ldapgw.server.parts.base import Environment, Storage, Workers
from ldapgw.server.parts.phone_parts import PhoneParts
from ldapgw.server.parts.sync_parts import SyncParts
from ldapgw.server.state_dir import BACKUP_NOTE
from ldapgw.web.dependencies import (
    AdminDependencies,
    BookClientDependencies,
    PhoneDependencies,
    WebDependencies,
    WebTenant,
)


def make_web_dependencies(
    env: Environment,
    workers: Workers,
    storage: Storage,
    phones: PhoneParts,
    sync: SyncParts,
    figures: Callable[[], ProcessFigures],
    misuse_log: MisuseLog,
    counters: SyncAndPageCounters,
    is_running: Callable[[], bool],
) -> WebDependencies:
    config, clients, dit = env.config, storage.clients, phones.catalog.dit
    web_tenants: dict[str, WebTenant] = {tenant.name: web_tenant(tenant) for tenant in config.tenant}
    bases: dict[str, Dn] = {tenant.name: Dn.parse(tenant.base_dn) for tenant in config.tenant}

    def is_ready() -> bool:
        snapshot = phones.catalog.snapshot
        return is_running() and snapshot.loaded and not snapshot.unserved

    return WebDependencies(
        public_url=config.web.public_url,
        tenants=LazyTenants(web_tenants, lambda name: dataclasses.replace(web_tenants[name], client=clients.get(name))),
        store=storage.store,
        secret_box=env.state.secret_box,
        oauth=sync.google.oauth,
        endpoints=sync.google.endpoints,
        clock=env.wall_clock,
        seconds=env.reactor.seconds,
        random=os.urandom,
        is_trusted_proxy=config.web.trusted_proxies.contains,
        is_ready=is_ready,
        is_stale=lambda: phones.catalog.snapshot.freshness is not Freshness.CURRENT,
        database_fails_since=lambda: storage.store.failing_since,
        certificate_expiry=env.certificate_expiry_if_near,
        changed=sync.change_feed.refresh_now,
        count_misuse=misuse_log.count,
        disconnected=storage.copy_cleaner.clean,
        admin=_admin_dependencies(env, workers, storage, phones, figures, counters, is_ready, sync.is_leader),
        phones=_phone_dependencies(env, workers, phones),
        book_clients=_book_client_dependencies(env, workers, phones),
        is_shared=env.state.database.runs_beside,
        notifier=phones.notifier,
        finder=DirectoryFinder(dit, bases, phones.ldap.turns.turn_of),
        contacts=ContactBrowser(dit, phones.ldap.turns.turn_of),
        explainer=PhoneExplainer(lambda: phones.catalog.snapshot, config.ldap.size_limit, workers.explain, env.now),
        requests=counters.pages,
    )


def _admin_dependencies(
    env: Environment,
    workers: Workers,
    storage: Storage,
    phones: PhoneParts,
    figures: Callable[[], ProcessFigures],
    counters: SyncAndPageCounters,
    is_ready: Callable[[], bool],
    is_leader: Callable[[], bool],
) -> AdminDependencies:
    metrics = Metrics(
        store=storage.store,
        clock=env.reactor,
        now=env.now,
        version=__version__,
        tenant_names=[tenant.name for tenant in env.config.tenant],
        sync_interval=env.config.sync.interval,
        counters=counters,
        figures=figures,
        ready=is_ready,
        contacts=lambda: {
            directory.context.name: directory.contact_count for directory in phones.catalog.dit().directories
        },
        database_fails=lambda: storage.store.is_failing,
        certificate_ends=env.certificate_expiry,
        reloads=env.reloads,
        backup_note=Path(env.config.state_dir) / BACKUP_NOTE,
        stale=lambda: phones.catalog.snapshot.freshness is not Freshness.CURRENT,
        is_leader=is_leader,
        uses_key_file=lambda: not env.state.secret_box.problem,
        run_off_thread=workers.explain,  # the one thread that waits neither for the database nor for the disk
    )
    return AdminDependencies(
        tenants_with_configured_client=storage.clients.configured,
        certificate_expiry=env.certificate_expiry,
        sync_interval=env.config.sync.interval,
        calls_per_minute=env.config.google.max_calls_per_minute,
        metrics=metrics.render,
        may_read_metrics=env.config.web.metrics_networks.contains,
        left_out=phones.ldap.left_out,
        unknown_logins=phones.refused_logins.unknown,
        refused_elsewhere=phones.refused_logins.elsewhere,
        may_be_new_store=env.config.new_store,
    )


def _phone_dependencies(env: Environment, workers: Workers, phones: PhoneParts) -> PhoneDependencies:
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
        one_time=phones.one_time,
    )


def _book_client_dependencies(env: Environment, workers: Workers, phones: PhoneParts) -> BookClientDependencies:
    return BookClientDependencies(
        authenticate=phones.catalog.authenticate,
        authenticate_secret=phones.catalog.authenticate_secret,
        login_delay=phones.ldap.bind_delay,
        login_refused=phones.refused_logins.note,
        reader=BookReader(
            phones.catalog.dit,
            phones.ldap.budget,
            phones.observers,
            env.reactor.seconds,
            phones.ldap.turns.first_turn_of,
            phones.ldap.turns.turn_of,
        ),
        run_off_thread=workers.work,
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
        groups={name: len(members) for name, members in tenant.group},
        shared_label=tenant.shared_label,
        number_format=tenant.number_format,
        activity_keep=float(tenant.activity_keep),
        photos=tenant.photos,
        region=tenant.region,
        help=tenant.help,
    )
