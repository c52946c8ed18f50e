# SPDX-License-Identifier: MIT
"""Builds the directory, the LDAP server, and the objects that record the activity of phones."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from ldapgw import __version__
from ldapgw.directory.catalog import Catalog, EndedLogin, Snapshot
from ldapgw.directory.dit import Dit
from ldapgw.ldap.encoder import features
from ldapgw.ldap.limits import Limits
from ldapgw.ldap.replication.change_log import ChangeLogs
from ldapgw.ldap.replication.provider import SYNC_REQUEST, Provider
from ldapgw.ldap.server import LdapFactory
from ldapgw.ldap.session import DirectoryPort, Observer
from ldapgw.phones.activity import OwnTests, PhoneActivity, SearchRecorder
from ldapgw.phones.recorder import PhoneRecorder
from ldapgw.phones.refused_logins import RefusedLogins
from ldapgw.server.logging import log_replica_use
from ldapgw.server.parts.base import Base
from ldapgw.web.dependencies import ChangeNotifier
from ldapgw.web.one_time_passwords import OneTimeSecrets


class PhoneParts:
    """The directory, the LDAP server, and the objects that record the activity of phones.

    :ivar notifier: notifies open pages of changes.
    """

    def __init__(self, base: Base) -> None:
        config, store = base.config, base.store
        base_dns: dict[str, str] = {tenant.name: tenant.base_dn for tenant in config.tenant}
        self.own_tests = OwnTests()
        self.one_time = OneTimeSecrets()
        self.notifier = ChangeNotifier()
        self.catalog = catalog = Catalog(
            Snapshot(Dit((), features(tls=base.tls is not None, more_controls=(SYNC_REQUEST,)))),
            {tenant.name: tenant.anonymous_networks.contains for tenant in config.tenant},
            base.now,
            self.own_tests.include,
        )
        self.activity = PhoneActivity(base_dns, base.now, self.notifier.notify, self.own_tests.include)
        self.recorder = SearchRecorder(
            clock=base.wall_clock,
            store=store,
            activity=self.activity,
            logins=lambda: catalog.snapshot.logins,
        )
        self.refused_logins = RefusedLogins(
            clock=base.wall_clock,
            store=store,
            find_login=catalog.find_login,
            last_login=catalog.last_login,
            logins=lambda: catalog.snapshot.logins,
            bases=base_dns,
            on_refusal=self.notifier.notify,
            is_shared=base.state.database.runs_beside,
        )
        self.observers: tuple[Observer, ...] = (base.counters.searches.observe, self.activity.search_log.observe)
        self.ldap = self._ldap_factory(base)
        self.replication = Provider(self.ldap, ChangeLogs(lambda: catalog.snapshot, base.now), log_replica_use)
        self.phone_recorder = PhoneRecorder(
            clock=base.wall_clock,
            store=store,
            secret_box=base.state.secret_box,
            gateway_id=base.gateway_id,
            snapshot=lambda: catalog.snapshot,
            contexts={tenant.name: tenant.naming_context() for tenant in config.tenant},
            attribute_aliases=config.attribute_aliases,
            tap=self.ldap.tap,
            run_off_thread=base.workers.explain,
            version=__version__,
            on_change=self.notifier.notify,
        )

    def end_logins(self, ended_logins: Sequence[EndedLogin]) -> None:
        """Release the former snapshot, end sessions of logins that were removed or changed, and update open pages.

        The recorded searches of a phone are forgotten if the phone is removed or gets another owner, but not if only
        its password changes.
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

    def _note_refusal(self, name: str, address: str) -> None:
        if not self.own_tests.include(name, address):
            self.refused_logins.note(name, address)

    def _ldap_factory(self, base: Base) -> LdapFactory:
        settings, catalog = base.config.ldap, self.catalog
        return LdapFactory(
            DirectoryPort(
                catalog.dit,
                catalog.authenticate,
                catalog.anonymous,
                base.state.secret_box.derive("cookies of paged results"),
                self.observers,
                self._note_refusal,
                log_replica_use,
                base.counters.count_bind,
                self.refused_logins.note_unfit_client,
            ),
            Limits(**{field.name: getattr(settings, field.name) for field in dataclasses.fields(Limits)}),
            base.reactor,
            base.tls,
            require_tls=settings.require_tls,
            call_at_tick_end=getattr(base.reactor, "at_end", None),  # see `ldapgw.server.reactor`
            logs_connections=base.config.log_level.of("ldap") == "debug",
        )
