# SPDX-License-Identifier: MIT
"""Builds all objects of a gateway in order of their dependencies, and passes each object what it needs; no logic."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from random import SystemRandom
from typing import Any

from twisted.application.service import IService
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from ldapgw import __version__
from ldapgw.directory.catalog import Catalog, Snapshot
from ldapgw.directory.dit import Dit
from ldapgw.directory.dn import Dn
from ldapgw.google.people import People
from ldapgw.google.photos import PhotoClient
from ldapgw.ldap.encoder import features
from ldapgw.ldap.limits import Limits
from ldapgw.ldap.server import LdapFactory
from ldapgw.ldap.session import DirectoryPort
from ldapgw.phones.activity import PhoneActivity, SearchRecorder
from ldapgw.phones.book_reader import BookReader
from ldapgw.phones.connection_test import ConnectionSettings, StepResult
from ldapgw.phones.contact_browser import ContactBrowser
from ldapgw.phones.explainer import PhoneExplainer
from ldapgw.phones.lookup import DirectoryFinder
from ldapgw.phones.recorder import FOLDER as RECORDINGS
from ldapgw.phones.recorder import PhoneRecorder
from ldapgw.phones.refused_logins import RefusedLogins
from ldapgw.server.certificate_renewal import CertificateReloader, PhoneTrustAnchor
from ldapgw.server.config import Config
from ldapgw.server.google import GoogleClients
from ldapgw.server.listener import Listener, SessionCloser, phone_server
from ldapgw.server.logging import MisuseLog
from ldapgw.server.metrics import Metrics, SearchCounters
from ldapgw.server.oauth_clients import MISSING_CLIENT, LazyTenants, TenantClients, configured_clients
from ldapgw.server.processes import OneShotProcess, SizeBasedOffload, WorkerProcess
from ldapgw.server.state_dir import OpenStateDir, database_url
from ldapgw.server.tenants import attribute_aliases, naming_context, synced_tenant, web_tenant
from ldapgw.server.threads import WorkerThread
from ldapgw.server.tls import TlsContextFactory
from ldapgw.store.account_status import ProgressBoard
from ldapgw.store.activity import RecordPruner
from ldapgw.store.copies import CopyCleaner
from ldapgw.store.worker import MonitoredStore, StoreWorker
from ldapgw.sync.book_builder import build_cached_books
from ldapgw.sync.book_cache import FOLDER, BookCache
from ldapgw.sync.change_watcher import ChangeWatcher
from ldapgw.sync.fetch import UNLIMITED, FullSyncLimits
from ldapgw.sync.job import SyncedTenant, SyncJob
from ldapgw.sync.pacing import CallPacer
from ldapgw.sync.photos import PhotoFetcher
from ldapgw.sync.publisher import Publisher
from ldapgw.sync.scheduler import SyncScheduler
from ldapgw.sync.tokens import TokenRevoker
from ldapgw.web.app import web_resource
from ldapgw.web.dependencies import (
    AdminDependencies,
    BookClientDependencies,
    PhoneDependencies,
    WebDependencies,
    WebTenant,
)
from ldapgw.web.live import AccountWatcher, ChangeNotifier, account_topic
from ldapgw.web.site import Admission, WebSite


class Parts:
    """The objects of which a gateway consists.

    :param wall_clock: the time of day; `reactor` may run on the time since boot instead.
    :param is_running: whether the gateway's services are running.
    :param max_web_connections: the most connections to the page that the file descriptors allow.
    :ivar store: the database, whose failures are noted.
    :ivar clients: the tenants' OAuth clients.
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
    ) -> None:
        now = wall_clock.seconds
        state_dir = Path(config.state_dir)
        tls = TlsContextFactory(config.tls) if config.tls else None
        store_thread = WorkerThread(reactor, "store", 1)
        read_thread = WorkerThread(reactor, "read", 1)
        work_thread = WorkerThread(reactor, "work", 1)
        book_thread = WorkerThread(reactor, "books", 1)
        build_thread = WorkerThread(reactor, "build", 1)
        explain_thread = WorkerThread(reactor, "explain", 1)
        copy_thread = WorkerThread(reactor, "copies", 1)
        recording_thread = WorkerThread(reactor, "recordings", 1)
        work_process = WorkerProcess(reactor)
        one_shot_process = OneShotProcess()
        recording_process = OneShotProcess()

        # --- store and catalog ---
        store = MonitoredStore(StoreWorker(state.database, store_thread, read_thread), reactor.seconds, now)
        copy_cleaner = CopyCleaner(clock=wall_clock, database=state.database.file, run_off_thread=copy_thread)
        record_pruner = RecordPruner(
            clock=wall_clock,
            store=store,
            keep={tenant.name: float(tenant.activity_keep) for tenant in config.tenant},
        )
        clients = TenantClients(store, state.secret_box, configured_clients(config))
        directory_features = features(tls=tls is not None)
        catalog = Catalog(
            Snapshot(Dit((), directory_features)),
            {tenant.name: tenant.anonymous_networks.contains for tenant in config.tenant},
            now,
        )

        # --- phones and LDAP ---
        notifier = ChangeNotifier()
        base_dns: dict[str, str] = {tenant.name: tenant.base_dn for tenant in config.tenant}
        activity = PhoneActivity(base_dns, now, notifier.notify)
        search_log = activity.search_log
        recorder = SearchRecorder(
            clock=wall_clock,
            store=store,
            take_updates=search_log.take_updates,
            logins=lambda: catalog.snapshot.logins,
            summarize=activity.summarize,
        )
        refused_logins = RefusedLogins(
            clock=wall_clock,
            store=store,
            find_login=catalog.find_login,
            last_login=catalog.last_login,
            logins=lambda: catalog.snapshot.logins,
            bases=base_dns,
            on_refusal=notifier.notify,
        )
        search_counters = SearchCounters()
        observers = (search_counters.observe, search_log.observe)
        ldap = LdapFactory(
            DirectoryPort(
                catalog.dit,
                catalog.authenticate,
                catalog.anonymous,
                os.urandom(32),
                observers,
                refused_logins.note,
            ),
            Limits(**{field.name: getattr(config.ldap, field.name) for field in dataclasses.fields(Limits)}),
            reactor,
            tls,
            require_tls=config.ldap.require_tls,
            call_at_tick_end=getattr(reactor, "at_end", None),  # see `ldapgw.server.reactor`
        )

        phone_recorder = PhoneRecorder(
            clock=wall_clock,
            store=store,
            folder=state_dir / RECORDINGS,
            snapshot=lambda: catalog.snapshot,
            contexts={tenant.name: naming_context(tenant) for tenant in config.tenant},
            attribute_aliases=attribute_aliases(config),
            tap=ldap.tap,
            run_off_thread=recording_thread,
            run_in_process=lambda *call: recording_thread(recording_process, *call),
            version=__version__,
            on_change=notifier.notify,
        )

        def snapshot_published(ended_logins: Sequence[str]) -> None:
            """Let go of the former snapshot, and of logins that were removed or changed; update open pages."""
            ldap.snapshot_changed()
            for login in ended_logins:
                ldap.disconnect(login)
                search_log.forget(login)
                recorder.forget(login)
                refused_logins.forget(login)
                notifier.notify(login)

        # --- Google and sync ---
        publisher = Publisher(
            store=store,
            catalog=catalog,
            contexts={tenant.name: naming_context(tenant) for tenant in config.tenant},
            features=directory_features,
            run_off_thread=book_thread,
            on_publish=snapshot_published,
            next_turn=partial(deferLater, reactor, 0.0),
            book_cache=BookCache(state_dir / FOLDER),
            build_in_process=partial(
                build_thread,
                one_shot_process,
                build_cached_books,
                database_url(state_dir, config.database),
                state_dir / FOLDER,
            ),
        )
        progress = ProgressBoard(lambda account_id: notifier.notify(account_topic(account_id)))
        google = GoogleClients(config.google, reactor, wall_clock)
        endpoints, oauth = google.endpoints, google.oauth
        synced_tenants: dict[str, SyncedTenant] = {tenant.name: synced_tenant(tenant) for tenant in config.tenant}
        job_tenants = LazyTenants(
            synced_tenants,
            lambda name: dataclasses.replace(synced_tenants[name], client=clients.get(name, MISSING_CLIENT)),
        )
        pacer = CallPacer(clock=wall_clock, calls_per_minute=config.google.max_calls_per_minute)
        job = SyncJob(
            store=store,
            secret_box=state.secret_box,
            oauth=oauth,
            people=People(google.http, endpoints, wall_clock, SizeBasedOffload(work_thread, work_process)),
            tenants=job_tenants,
            interval=config.sync.interval,
            pacer=pacer,
            full_syncs=UNLIMITED if config.google.is_on_loopback else FullSyncLimits(),
            run_off_thread=store.monitor(work_thread),
            folder=state_dir,
            now=now,
            on_progress=progress.update,
        )
        scheduler = SyncScheduler(
            clock=wall_clock,
            store=store,
            job=job,
            publish=publisher.refresh,
            interval=config.sync.interval,
            concurrency=config.sync.concurrency,
            random=SystemRandom().random,
        )
        photo_fetcher = PhotoFetcher(
            clock=wall_clock,
            store=store,
            client=PhotoClient(google.http, endpoints, wall_clock),
            tenants=job_tenants,
            pacer=pacer,
            scale_in_process=work_process,
            publish=publisher.refresh,
        )
        revoker = TokenRevoker(clock=wall_clock, store=store, secret_box=state.secret_box, oauth=oauth, clients=clients)
        change_watcher = ChangeWatcher(
            clock=wall_clock,
            store=store,
            change_detector=state.database.change_detector(),
            publisher=publisher,
            scheduler=scheduler,
            take_binds=catalog.take_seen_phones,
            read_clients=clients.refresh,
            notify_pages=AccountWatcher(store, notifier, lambda: store.recoveries).check,
            read_recordings=phone_recorder.refresh,
        )

        # --- pages ---
        misuse_log = MisuseLog(reactor)

        def is_ready() -> bool:
            return is_running() and catalog.snapshot.loaded

        def certificate_expiry() -> float | None:
            return tls.loaded.validity.not_after.timestamp() if tls else None

        async def try_connection(access: ConnectionSettings) -> Sequence[StepResult]:
            # ldaptor is large: who never tries a phone need not load it, and phones need not wait for it.
            reachability = await work_thread(import_module, "ldapgw.phones.reachability")
            steps: Sequence[StepResult] = await reachability.try_phone(access, reactor)
            return steps

        metrics = Metrics(
            store=store,
            now=now,
            version=__version__,
            search_counters=search_counters,
            connections=ldap.connected,
            ready=is_ready,
            contacts=lambda: {
                directory.context.name: sum(map(len, directory.books)) for directory in catalog.dit().directories
            },
            database_fails=lambda: store.is_failing,
            certificate_ends=certificate_expiry,
        )
        web_tenants: dict[str, WebTenant] = {tenant.name: web_tenant(tenant) for tenant in config.tenant}
        bases: dict[str, Dn] = {tenant.name: Dn.parse(tenant.base_dn) for tenant in config.tenant}
        pages = WebDependencies(
            public_url=config.web.public_url,
            tenants=LazyTenants(
                web_tenants, lambda name: dataclasses.replace(web_tenants[name], client=clients.get(name))
            ),
            store=store,
            secret_box=state.secret_box,
            oauth=oauth,
            endpoints=endpoints,
            clock=wall_clock,
            random=os.urandom,
            is_trusted_proxy=config.web.trusted_proxies.contains,
            is_ready=is_ready,
            database_fails_since=lambda: store.failing_since,
            certificate_expiry=lambda: tls.loaded.validity.expiry_if_near(now()) if tls else None,
            changed=change_watcher.refresh_now,
            count_misuse=misuse_log.count,
            disconnected=copy_cleaner.clean,
            admin=AdminDependencies(
                tenants_with_configured_client=clients.configured,
                certificate_expiry=certificate_expiry,
                sync_interval=config.sync.interval,
                calls_per_minute=config.google.max_calls_per_minute,
                metrics=metrics.render,
                may_read_metrics=config.web.metrics_networks.contains,
                left_out=ldap.left_out,
                unknown_logins=refused_logins.unknown,
                refused_elsewhere=refused_logins.elsewhere,
                may_be_new_store=config.new_store,
            ),
            phones=PhoneDependencies(
                server=phone_server(config),
                base_dn=activity.base_dn,
                bind_dn=activity.bind_dn,
                searches=activity.recent_searches,
                latest=refused_logins.latest,
                anonymous_refused_at=search_log.last_refusal,
                certificate=PhoneTrustAnchor(tls, work_thread).trust_anchor,
                try_connection=try_connection,
                recording_file=phone_recorder.read_file,
            ),
            book_clients=BookClientDependencies(
                authenticate=catalog.authenticate,
                authenticate_secret=catalog.authenticate_secret,
                login_delay=ldap.bind_delay,
                login_refused=refused_logins.note,
                reader=BookReader(catalog.dit, ldap.budget, observers, reactor),
                run_off_thread=work_thread,
            ),
            notifier=notifier,
            progress=progress.get,
            finder=DirectoryFinder(catalog.dit, bases, reactor),
            contacts=ContactBrowser(catalog.dit, reactor),
            explainer=PhoneExplainer(lambda: catalog.snapshot, config.ldap.size_limit, explain_thread, now),
        )

        # --- services ---
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
        self.store = store
        self.clients = clients
        self.catalog = catalog
        self.publisher = publisher
        self.threads = (
            recording_thread,
            copy_thread,
            explain_thread,
            build_thread,
            book_thread,
            work_thread,
            read_thread,
            store_thread,
        )
        self.services: tuple[IService, ...] = (
            one_shot_process,
            recording_process,
            work_process,
            misuse_log,
            phone_recorder,
            change_watcher,
            recorder,
            refused_logins,
            revoker,
            copy_cleaner,
            record_pruner,
            photo_fetcher,
            scheduler,
            *([CertificateReloader(clock=wall_clock, context_factory=tls, run_off_thread=work_thread)] if tls else []),
            SessionCloser(ldap.disconnect_all),
            *(Listener(reactor, "ldap.listen", endpoint, ldap) for endpoint in config.ldap.listen),
            *(Listener(reactor, "ldap.listen_tls", endpoint, ldap.over_tls()) for endpoint in config.ldap.listen_tls),
            *(Listener(reactor, "web.listen", endpoint, web) for endpoint in config.web.listen),
        )
