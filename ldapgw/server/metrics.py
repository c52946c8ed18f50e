# SPDX-License-Identifier: MIT
"""The metrics of ``/metrics`` in the text format of Prometheus, without personal names, addresses or numbers.

Mutable: `SearchCounters`, which counts LDAP searches, and `Metrics`, which keeps the figures last read from the store.
"""

from __future__ import annotations

import os
import resource
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from prometheus_client import CollectorRegistry, Metric, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, SummaryMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from sqlalchemy import Connection

from ldapgw.errors import ResultCode, StoreError
from ldapgw.store import accounts, phones, tenants
from ldapgw.store.account_status import state
from ldapgw.store.worker import Store


@dataclass(frozen=True, slots=True)
class ProcessFigures:
    """What one process of the gateway has done since its start.

    :ivar searches: searches by result code.
    :ivar search_seconds: what they took together.
    :ivar resident_octets: of memory, shared pages included.
    :ivar cpu_seconds: processor time of the process.
    """

    pid: int = 0
    searches: Mapping[ResultCode, int] = field(default_factory=dict)
    search_seconds: float = 0.0
    entries: int = 0
    connections: int = 0
    resident_octets: int = 0
    cpu_seconds: float = 0.0

    @classmethod
    def of_this_process(cls, counters: SearchCounters, connections: int) -> ProcessFigures:
        used = resource.getrusage(resource.RUSAGE_SELF)
        return cls(
            os.getpid(),
            dict(counters.searches),
            counters.seconds,
            counters.entries,
            connections,
            _resident_octets(),
            used.ru_utime + used.ru_stime,
        )

    def after(self, former: ProcessFigures) -> ProcessFigures:
        """The figures of this process and of one that was in its place before."""
        return replace(
            self,
            searches=Counter(self.searches) + Counter(former.searches),
            search_seconds=self.search_seconds + former.search_seconds,
            entries=self.entries + former.entries,
            cpu_seconds=self.cpu_seconds + former.cpu_seconds,
        )


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
    processes: Mapping[int, ProcessFigures]
    contacts: Mapping[str, int]
    certificate_ends: float | None
    stale: bool = False


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
    :param figures: the figures of the gateway's processes, by number.
    :param ready: whether the directory is loaded and LDAP listens.
    :param contacts: the number of served contacts by tenant.
    :param database_fails: whether the last use of the database failed.
    :param stale: whether phones are served from a snapshot of logins of a former run.
    :param certificate_ends: the expiry of the LDAP ports' certificate in seconds since the epoch; None: no certificate.
    """

    def __init__(
        self,
        *,
        store: Store,
        now: Callable[[], float],
        version: str,
        figures: Callable[[], Mapping[int, ProcessFigures]],
        ready: Callable[[], bool],
        contacts: Callable[[], Mapping[str, int]],
        database_fails: Callable[[], bool],
        certificate_ends: Callable[[], float | None],
        stale: Callable[[], bool] = lambda: False,
    ) -> None:
        self._store = store
        self._now = now
        self._version = version
        self._figures = figures
        self._ready = ready
        self._contacts = contacts
        self._database_fails = database_fails
        self._stored = StoredMetrics()
        self._certificate_ends = certificate_ends
        self._stale = stale

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
            self._figures(),
            self._contacts(),
            self._certificate_ends(),
            self._stale(),
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
        snapshot, stored, processes = self._snapshot, self._snapshot.stored, self._snapshot.processes
        yield InfoMetricFamily("ldapgw", "The gateway.", {"version": snapshot.version})
        yield GaugeMetricFamily("ldapgw_ready", "Whether the directory is loaded and LDAP listens.", snapshot.ready)
        yield GaugeMetricFamily("ldapgw_database_ok", "Whether the database can be used.", snapshot.database_ok)
        help_text = "Whether phones are served from the snapshot of a former run."
        yield GaugeMetricFamily("ldapgw_stale", help_text, snapshot.stale)
        connections = sum(one.connections for one in processes.values())
        yield GaugeMetricFamily("ldapgw_ldap_connections", "Open LDAP connections.", connections)
        searches = CounterMetricFamily("ldapgw_ldap_searches", "LDAP searches that are done.", labels=["result"])
        by_code: Counter[ResultCode] = Counter()
        for one in processes.values():
            by_code.update(one.searches)
        for code, count in by_code.items():
            searches.add_metric([code.name.lower()], count)
        yield searches
        yield SummaryMetricFamily(
            "ldapgw_ldap_search_seconds",
            "How long searches took.",
            by_code.total(),
            sum(one.search_seconds for one in processes.values()),
        )
        entries = sum(one.entries for one in processes.values())
        yield CounterMetricFamily("ldapgw_ldap_entries", "Entries that searches returned.", entries)
        yield from _by_process(processes)
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


def _by_process(processes: Mapping[int, ProcessFigures]) -> Iterator[Metric]:
    """What each process of the gateway takes, where there are several."""
    if len(processes) == 1:
        return
    memory = GaugeMetricFamily(
        "ldapgw_process_resident_memory_bytes", "Memory, shared pages included.", labels=["process"]
    )
    cpu = CounterMetricFamily("ldapgw_process_cpu_seconds", "Processor time.", labels=["process"])
    for number, figures in processes.items():
        memory.add_metric([str(number)], figures.resident_octets)
        cpu.add_metric([str(number)], figures.cpu_seconds)
    yield memory
    yield cpu


def _resident_octets() -> int:
    try:
        resident = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    except OSError:  # not Linux
        return 0
    return int(resident) * resource.getpagesize()


def _by_tenant(name: str, help_text: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(name, help_text, labels=["tenant"])
    for tenant, value in values.items():
        family.add_metric([tenant], value)
    return family
