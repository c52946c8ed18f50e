# SPDX-License-Identifier: MIT
"""What ``/metrics`` tells, in the text format of Prometheus.  No name, address or number of anybody is in it.

Mutable: `Tally`, which counts what the wire does, and what `Metrics` has read last.
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
    """Counts searches; called by the wire for each, so it does next to nothing.

    :ivar connections: how many phones are connected now.
    """

    def __init__(self) -> None:
        self.searches: Counter[ResultCode] = Counter()
        self.seconds = 0.0
        self.entries = 0
        self.count_connections: Callable[[], int] = int

    def observe(
        self, _login: str, _address: str, _message: bytes, entries: int, code: ResultCode, seconds: float
    ) -> None:
        """A search is done (`ldapgw.ldap.session.Observer`)."""
        self.searches[code] += 1
        self.seconds += seconds
        self.entries += entries


@dataclass(frozen=True, slots=True)
class StoredMetrics:
    """What the database knows.

    :ivar accounts: how many there are of each tenant in each state.
    :ivar synced: when the account of a tenant was synced that waits longest, in seconds since the epoch.
    :ivar phones: how many logins a tenant has.
    :ivar alarms: a tenant's, by its code.
    """

    accounts: Mapping[tuple[str, str], int] = field(default_factory=dict)
    oldest_sync: Mapping[str, float] = field(default_factory=dict)
    phones: Mapping[str, int] = field(default_factory=dict)
    alarms: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class MetricsSnapshot:
    """All that is told at one time."""

    version: str
    ready: bool
    database_ok: bool
    stored: StoredMetrics
    search_counters: SearchCounters
    contacts: Mapping[str, int]
    certificate_ends: float | None


def read_stored_metrics(connection: Connection, now: float) -> StoredMetrics:
    """Look into the database; to be asked off the reactor's thread."""
    found = accounts.read_all(connection, counted=False)
    synced: dict[str, float] = {}
    for one in found:
        if one.is_connected and one.last_sync is not None:
            synced[one.tenant] = min(one.last_sync, synced.get(one.tenant, one.last_sync))
    return StoredMetrics(
        Counter((one.tenant, state(one, now)) for one in found),
        synced,
        Counter(one.tenant for one in phones.read_all(connection)),
        tenants.read_alarm_codes(connection),
    )


class Metrics:
    """Tells them.

    :param now: seconds since the epoch.
    :param ready: whether the directory is loaded and LDAP listens.
    :param contacts: how many are served of each tenant.
    :param database_fails: whether the database is in trouble.
    :param certificate_ends: of the LDAP port, in seconds since the epoch; None: there is none.
    """

    def __init__(
        self,
        *,
        store: Store,
        now: Callable[[], float],
        version: str,
        search_counters: SearchCounters,
        ready: Callable[[], bool],
        contacts: Callable[[], Mapping[str, int]],
        database_fails: Callable[[], bool],
        certificate_ends: Callable[[], float | None],
    ) -> None:
        self._store = store
        self._now = now
        self._version = version
        self._search_counters = search_counters
        self._ready = ready
        self._contacts = contacts
        self._database_fails = database_fails
        self._stored = StoredMetrics()
        self._certificate_ends = certificate_ends

    async def render(self) -> tuple[bytes, str]:
        """The text that Prometheus reads, and its type; of a database that cannot be read, what was read last."""
        try:
            self._stored = await self._store.run(read_stored_metrics, self._now())
        except StoreError:
            is_ok = False
        else:
            is_ok = not self._database_fails()
        picture = MetricsSnapshot(
            self._version,
            self._ready(),
            is_ok,
            self._stored,
            self._search_counters,
            self._contacts(),
            self._certificate_ends(),
        )
        registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        registry.register(_Collector(picture))
        return generate_latest(registry), CONTENT_TYPE_LATEST


class _Collector:
    """Hands a picture over to the library."""

    def __init__(self, snapshot: MetricsSnapshot) -> None:
        self._snapshot = snapshot

    def collect(self) -> Iterator[Metric]:
        """See `prometheus_client.registry.Collector`."""
        picture, stored, tally = self._snapshot, self._snapshot.stored, self._snapshot.search_counters
        yield InfoMetricFamily("ldapgw", "The gateway.", {"version": picture.version})
        yield GaugeMetricFamily("ldapgw_ready", "Whether the directory is loaded and LDAP listens.", picture.ready)
        yield GaugeMetricFamily("ldapgw_database_ok", "Whether the database can be used.", picture.database_ok)
        yield GaugeMetricFamily("ldapgw_ldap_connections", "Open LDAP connections.", tally.count_connections())
        searches = CounterMetricFamily("ldapgw_ldap_searches", "LDAP searches that are done.", labels=["result"])
        for code, count in tally.searches.items():
            searches.add_metric([code.name.lower()], count)
        yield searches
        yield SummaryMetricFamily(
            "ldapgw_ldap_search_seconds", "How long searches took.", tally.searches.total(), tally.seconds
        )
        yield CounterMetricFamily("ldapgw_ldap_entries", "Entries that searches returned.", tally.entries)
        told = GaugeMetricFamily("ldapgw_accounts", "Accounts, by their state.", labels=["tenant", "state"])
        for (tenant, how), count in stored.accounts.items():
            told.add_metric([tenant, how], count)
        yield told
        yield _by_tenant("ldapgw_contacts", "Contacts that are served.", picture.contacts)
        yield _by_tenant("ldapgw_phones", "Logins of phones.", stored.phones)
        what = "When the connected account was synced well whose last good sync is the longest ago."
        yield _by_tenant("ldapgw_oldest_sync_timestamp_seconds", what, stored.oldest_sync)
        alarm = GaugeMetricFamily("ldapgw_alarm", "1: what is wrong with a tenant's client.", labels=["tenant", "code"])
        for tenant, what in stored.alarms.items():
            alarm.add_metric([tenant, what], 1)
        yield alarm
        if picture.certificate_ends is not None:
            what = "When the certificate of the LDAP port ends."
            yield GaugeMetricFamily("ldapgw_certificate_expiry_timestamp_seconds", what, picture.certificate_ends)


def _by_tenant(name: str, what: str, values: Mapping[str, float]) -> Metric:
    found = GaugeMetricFamily(name, what, labels=["tenant"])
    for tenant, value in values.items():
        found.add_metric([tenant], value)
    return found
