# SPDX-License-Identifier: MIT
"""The metrics of ``/metrics`` in the text format of Prometheus, without personal names, addresses or numbers.

Mutable: `SearchCounters`, which counts LDAP searches, and `Metrics`, which keeps the figures last read from the store.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, Metric, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, SummaryMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from sqlalchemy import Connection

from ldapgw.errors import ResultCode, StoreError
from ldapgw.store import accounts, phones, tenants
from ldapgw.store.account_status import state
from ldapgw.store.worker import Store


class SearchCounters:
    """Counts searches; the LDAP server calls `observe` for each search, so it has to be fast."""

    def __init__(self) -> None:
        self.searches: Counter[ResultCode] = Counter()
        self.seconds = 0.0
        self.entries = 0

    def observe(
        self, _login: str, _address: str, _message: bytes, entries: int, code: ResultCode, seconds: float
    ) -> None:
        """Count a finished search (see `ldapgw.ldap.session.Observer`)."""
        self.searches[code] += 1
        self.seconds += seconds
        self.entries += entries


@dataclass(frozen=True, slots=True)
class StoredMetrics:
    """The figures that are read from the database.

    :ivar accounts: the number of accounts by tenant and state.
    :ivar oldest_sync: by tenant, the earliest last sync of a connected account, in seconds since the epoch.
    :ivar phones: the number of phone logins by tenant.
    :ivar alarms: the code of a tenant's alarm by tenant.
    """

    accounts: Mapping[tuple[str, str], int] = field(default_factory=dict)
    oldest_sync: Mapping[str, float] = field(default_factory=dict)
    phones: Mapping[str, int] = field(default_factory=dict)
    alarms: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class MetricsSnapshot:
    """The figures of one response."""

    version: str
    ready: bool
    database_ok: bool
    stored: StoredMetrics
    search_counters: SearchCounters
    connections: int
    contacts: Mapping[str, int]
    certificate_ends: float | None


def read_stored_metrics(connection: Connection, now: float) -> StoredMetrics:
    """Read the figures from the database; blocks, so it has to run off the reactor's thread."""
    known = accounts.read_all(connection)
    oldest_sync: dict[str, float] = {}
    for account in known:
        if account.is_connected and account.last_sync is not None:
            oldest_sync[account.tenant] = min(account.last_sync, oldest_sync.get(account.tenant, account.last_sync))
    return StoredMetrics(
        Counter((account.tenant, state(account, now)) for account in known),
        oldest_sync,
        phones.count_by_tenant(connection),
        tenants.read_alarm_codes(connection),
    )


class Metrics:
    """Collects and renders the metrics.

    :param now: returns seconds since the epoch.
    :param connections: the number of open LDAP connections.
    :param ready: whether the directory is loaded and LDAP listens.
    :param contacts: the number of served contacts by tenant.
    :param database_fails: whether the last use of the database failed.
    :param certificate_ends: the expiry of the LDAP ports' certificate in seconds since the epoch; None: no certificate.
    """

    def __init__(
        self,
        *,
        store: Store,
        now: Callable[[], float],
        version: str,
        search_counters: SearchCounters,
        connections: Callable[[], int],
        ready: Callable[[], bool],
        contacts: Callable[[], Mapping[str, int]],
        database_fails: Callable[[], bool],
        certificate_ends: Callable[[], float | None],
    ) -> None:
        self._store = store
        self._now = now
        self._version = version
        self._search_counters = search_counters
        self._connections = connections
        self._ready = ready
        self._contacts = contacts
        self._database_fails = database_fails
        self._stored = StoredMetrics()
        self._certificate_ends = certificate_ends

    async def render(self) -> tuple[bytes, str]:
        """Render the metrics; while the database cannot be read, with the figures last read from it.

        :returns: the text that Prometheus reads, and its content type.
        """
        try:
            self._stored = await self._store.read(read_stored_metrics, self._now())
        except StoreError:
            is_ok = False
        else:
            is_ok = not self._database_fails()
        snapshot = MetricsSnapshot(
            self._version,
            self._ready(),
            is_ok,
            self._stored,
            self._search_counters,
            self._connections(),
            self._contacts(),
            self._certificate_ends(),
        )
        registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        registry.register(_Collector(snapshot))
        return generate_latest(registry), CONTENT_TYPE_LATEST


class _Collector:
    """Turns a snapshot into metric families; see `prometheus_client.registry.Collector`."""

    def __init__(self, snapshot: MetricsSnapshot) -> None:
        self._snapshot = snapshot

    def collect(self) -> Iterator[Metric]:
        snapshot, stored, counters = self._snapshot, self._snapshot.stored, self._snapshot.search_counters
        yield InfoMetricFamily("ldapgw", "The gateway.", {"version": snapshot.version})
        yield GaugeMetricFamily("ldapgw_ready", "Whether the directory is loaded and LDAP listens.", snapshot.ready)
        yield GaugeMetricFamily("ldapgw_database_ok", "Whether the database can be used.", snapshot.database_ok)
        yield GaugeMetricFamily("ldapgw_ldap_connections", "Open LDAP connections.", snapshot.connections)
        searches = CounterMetricFamily("ldapgw_ldap_searches", "LDAP searches that are done.", labels=["result"])
        for code, count in counters.searches.items():
            searches.add_metric([code.name.lower()], count)
        yield searches
        yield SummaryMetricFamily(
            "ldapgw_ldap_search_seconds", "How long searches took.", counters.searches.total(), counters.seconds
        )
        yield CounterMetricFamily("ldapgw_ldap_entries", "Entries that searches returned.", counters.entries)
        by_state = GaugeMetricFamily("ldapgw_accounts", "Accounts, by their state.", labels=["tenant", "state"])
        for (tenant, account_state), count in stored.accounts.items():
            by_state.add_metric([tenant, account_state], count)
        yield by_state
        yield _by_tenant("ldapgw_contacts", "Contacts that are served.", snapshot.contacts)
        yield _by_tenant("ldapgw_phones", "Logins of phones.", stored.phones)
        help_text = "When the connected account was synced well whose last good sync is the longest ago."
        yield _by_tenant("ldapgw_oldest_sync_timestamp_seconds", help_text, stored.oldest_sync)
        alarm = GaugeMetricFamily("ldapgw_alarm", "1: what is wrong with a tenant's client.", labels=["tenant", "code"])
        for tenant, alarm_code in stored.alarms.items():
            alarm.add_metric([tenant, alarm_code], 1)
        yield alarm
        if snapshot.certificate_ends is not None:
            help_text = "When the certificate of the LDAP port ends."
            yield GaugeMetricFamily("ldapgw_certificate_expiry_timestamp_seconds", help_text, snapshot.certificate_ends)


def _by_tenant(name: str, help_text: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(name, help_text, labels=["tenant"])
    for tenant, value in values.items():
        family.add_metric([tenant], value)
    return family
