# SPDX-License-Identifier: MIT
"""Builds the directory, the LDAP server, and the objects that remember what phones did."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ldapgw import __version__
from ldapgw.directory.catalog import Catalog, EndedLogin, Snapshot
from ldapgw.directory.dit import Dit
from ldapgw.directory.filter import SearchKind
from ldapgw.errors import ResultCode
from ldapgw.ldap.encoder import features
from ldapgw.ldap.limits import Limits
from ldapgw.ldap.server import LdapFactory
from ldapgw.ldap.session import DirectoryPort, Observer
from ldapgw.phones.activity import PhoneActivity, SearchRecorder
from ldapgw.phones.connection_test import OwnTests
from ldapgw.phones.recorder import PhoneRecorder
from ldapgw.phones.refused_logins import RefusedLogins
from ldapgw.replication.change_log import ChangeLogs
from ldapgw.replication.provider import Provider
from ldapgw.replication.sync_controls import SYNC_REQUEST
from ldapgw.server.counters import ProcessCounters
from ldapgw.server.logging import log_replica_use
from ldapgw.server.parts.base import Environment, Storage, Workers
from ldapgw.web.live import ChangeNotifier
from ldapgw.web.one_time_passwords import OneTimeSecrets


@dataclass(frozen=True, slots=True)
class PhoneParts:
    """The directory, the LDAP server, and what is remembered of the phones.

    :ivar notifier: tells open pages what has changed.
    """

    catalog: Catalog
    notifier: ChangeNotifier
    activity: PhoneActivity
    recorder: SearchRecorder
    refused_logins: RefusedLogins
    counters: ProcessCounters
    ldap: LdapFactory
    replication: Provider
    phone_recorder: PhoneRecorder
    own_tests: OwnTests
    one_time: OneTimeSecrets

    @property
    def observers(self) -> tuple[Observer, ...]:
        return _observers(self.counters, self.activity, self.own_tests)

    def end_logins(self, ended_logins: Sequence[EndedLogin]) -> None:
        """Let go of the former snapshot, and of logins that were removed or changed; update open pages.

        The searches of a phone are forgotten with the phone and with its owner, not with its password.
        """
        self.ldap.snapshot_changed()
        self.replication.snapshot_changed()
        for login, successor in ended_logins:
            self.ldap.disconnect(login)
            self.activity.search_log.end(login, successor)
            if successor != login:
                self.recorder.forget(login)
            self.refused_logins.forget(login)
            self.notifier.notify(login)


def make_phone_parts(env: Environment, workers: Workers, storage: Storage) -> PhoneParts:
    config = env.config
    own_tests = OwnTests()
    catalog = Catalog(
        Snapshot(Dit((), features(tls=env.tls is not None, more_controls=(SYNC_REQUEST,)))),
        {tenant.name: tenant.anonymous_networks.contains for tenant in config.tenant},
        env.now,
        own_tests.include,
    )
    notifier = ChangeNotifier()
    base_dns: dict[str, str] = {tenant.name: tenant.base_dn for tenant in config.tenant}
    activity = PhoneActivity(base_dns, env.now, notifier.notify)
    recorder = SearchRecorder(
        clock=env.wall_clock,
        store=storage.store,
        take_updates=activity.search_log.take_updates,
        logins=lambda: catalog.snapshot.logins,
        summarize=activity.summarize,
    )
    refused_logins = RefusedLogins(
        clock=env.wall_clock,
        store=storage.store,
        find_login=catalog.find_login,
        last_login=catalog.last_login,
        logins=lambda: catalog.snapshot.logins,
        bases=base_dns,
        on_refusal=notifier.notify,
        tells_others=env.state.database.runs_beside,
    )
    counters = ProcessCounters()
    observers = _observers(counters, activity, own_tests)
    ldap = _ldap_factory(env, catalog, observers, _note_refusal(refused_logins, own_tests), counters.count_bind)
    replication = Provider(ldap, ChangeLogs(lambda: catalog.snapshot, env.now), log_replica_use)
    phone_recorder = PhoneRecorder(
        clock=env.wall_clock,
        store=storage.store,
        secret_box=env.state.secret_box,
        gateway_id=storage.gateway_id,
        snapshot=lambda: catalog.snapshot,
        contexts={tenant.name: tenant.naming_context() for tenant in config.tenant},
        attribute_aliases=config.attribute_aliases,
        tap=ldap.tap,
        run_off_thread=workers.explain,
        version=__version__,
        on_change=notifier.notify,
    )
    return PhoneParts(
        catalog,
        notifier,
        activity,
        recorder,
        refused_logins,
        counters,
        ldap,
        replication,
        phone_recorder,
        own_tests,
        OneTimeSecrets(),
    )


def _observers(counters: ProcessCounters, activity: PhoneActivity, own_tests: OwnTests) -> tuple[Observer, ...]:
    observe_phone = activity.search_log.observe

    def observe(
        login: str, address: str, message: bytes, entries: int, code: ResultCode, seconds: float, _kind: SearchKind
    ) -> None:
        if not own_tests.include(login, address):
            observe_phone(login, address, message, entries, code, seconds)

    return (counters.searches.observe, observe)


def _note_refusal(refused_logins: RefusedLogins, own_tests: OwnTests) -> Callable[[str, str], None]:
    def note(name: str, address: str) -> None:
        if not own_tests.include(name, address):
            refused_logins.note(name, address)

    return note


def _ldap_factory(
    env: Environment,
    catalog: Catalog,
    observers: tuple[Observer, ...],
    note_refusal: Callable[[str, str], None],
    count_bind: Callable[[ResultCode], None],
) -> LdapFactory:
    settings = env.config.ldap
    return LdapFactory(
        DirectoryPort(
            catalog.dit,
            catalog.authenticate,
            catalog.anonymous,
            env.state.secret_box.derive("cookies of paged results"),
            observers,
            note_refusal,
            log_replica_use,
            count_bind,
        ),
        Limits(**{field.name: getattr(settings, field.name) for field in dataclasses.fields(Limits)}),
        env.reactor,
        env.tls,
        require_tls=settings.require_tls,
        call_at_tick_end=getattr(env.reactor, "at_end", None),  # see `ldapgw.server.reactor`
        logs_connections=env.config.log_level.of("ldap") == "debug",
    )
