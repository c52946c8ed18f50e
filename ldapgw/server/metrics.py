# SPDX-License-Identifier: MIT
"""The metrics of ``/metrics`` in the text format of Prometheus, without personal names, addresses or numbers.

A slow database must not delay the monitoring.  If the database does not answer within a second, the response has the
figures that were last read from the database, and their age.

Mutable: `Metrics`, which keeps the figures last read from the store.
"""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import Final, NamedTuple

from prometheus_client import CollectorRegistry, Metric, ProcessCollector, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from sqlalchemy import Connection
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from ldapgw.errors import ApiDisabled, ClientRejected, StoreError
from ldapgw.files.reading import FileStatus
from ldapgw.phones.summary import PhoneCondition, summarize_alike
from ldapgw.server.counters import Counters, Histogram, error_codes
from ldapgw.store import accounts, phones, tenants
from ldapgw.store.account_status import STALE_SECONDS, STATES
from ldapgw.store.database import database_of
from ldapgw.store.files import backup_time
from ldapgw.store.worker import Store

# Seconds that a response waits for figures from the database.
WAIT_SECONDS: Final = 1.0

_ALARMS: Final = (ClientRejected.code, ApiDisabled.code)

log = Logger()


class MetricDescription(NamedTuple):
    """The description of a metric, from ``metrics.toml``."""

    labels: tuple[str, ...]
    help_text: str


def _read_descriptions() -> dict[str, MetricDescription]:
    """Return the descriptions of all metrics, by name."""
    found = {}
    for key, help_text in tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8")).items():
        name, _, labels = key.removesuffix("}").partition("{")
        found[name] = MetricDescription(tuple(labels.split(",")) if labels else (), help_text)
    return found


DESCRIPTIONS: Final[Mapping[str, MetricDescription]] = _read_descriptions()


@dataclass(frozen=True, slots=True)
class StoredMetrics:
    """The figures that are read from the database.

    :ivar accounts: the number of accounts by tenant and state.
    :ivar errors: the number of connected accounts whose last sync failed, by tenant and code of the error.
    :ivar oldest_sync: the last sync of the account that was synced least recently, in seconds since the epoch, by
        tenant.  Accounts that wait for a person, as for a new consent, do not count.
    :ivar latest_sync: the latest sync of a connected account, in seconds since the epoch, by tenant.
    :ivar workspace_read: the last read of the users of the tenant's Google Workspace, in seconds since the epoch.
    :ivar phones: the number of phones by tenant and condition.
    :ivar alarms: the code of the present alarm about the OAuth client, by tenant.
    :ivar clock_difference: the database server's time minus this machine's time, in seconds, or None if the database
        has no server.
    :ivar last_backup: the time of the last backup in seconds since the epoch, or None without a backup.
    """

    accounts: Mapping[tuple[str, str], int] = field(default_factory=dict)
    errors: Mapping[tuple[str, str], int] = field(default_factory=dict)
    oldest_sync: Mapping[str, float] = field(default_factory=dict)
    latest_sync: Mapping[str, float] = field(default_factory=dict)
    workspace_read: Mapping[str, float] = field(default_factory=dict)
    phones: Mapping[tuple[str, str], int] = field(default_factory=dict)
    alarms: Mapping[str, str] = field(default_factory=dict)
    clock_difference: float | None = None
    last_backup: float | None = None


@dataclass(frozen=True, slots=True)
class Gauges:
    """The figures of the gateway that are read at the moment of the request.

    The help text of each metric describes the figure.  The keys of `contacts` are tenants.  The keys of `waits` and
    `waiting` are names of threads.
    """

    ready: bool
    database_fails: bool
    connections: int
    contacts: Mapping[str, int]
    unserved: int
    waits: Mapping[str, Histogram]
    waiting: Mapping[str, int]
    certificate_ends: float | None
    reload_is_good: bool
    reload_succeeded_at: float
    stale: bool
    is_leader: bool
    uses_key_file: bool
    files: Sequence[FileStatus] = ()


@dataclass(frozen=True, slots=True, eq=False)
class MetricsSnapshot:
    """The figures of one response.

    :ivar age: seconds since `stored` was read from the database.
    """

    version: str
    tenants: Collection[str]
    sync_interval: float
    gauges: Gauges
    counters: Counters
    stored: StoredMetrics
    database_ok: bool
    age: float

    def collect(self) -> Iterator[Metric]:
        """Yield the metric families; see `prometheus_client.registry.Collector`."""
        yield _gauge("ldapgw_build_info", {self.version: 1})
        for name, value in _single_gauges(self):
            if value is not None:
                yield _gauge(name, {(): value})
        yield from _phones(self.counters)
        yield from _process(self.counters, self.gauges)
        yield from _accounts(self)
        yield from _counted(self.counters)


def read_stored_metrics(connection: Connection, now: Callable[[], float], backup_note: Path) -> StoredMetrics:
    """Read the figures from the database and the disk; blocks, so it has to run off the reactor's thread.

    :param now: returns seconds since the epoch.
    :param backup_note: the file whose modification time is the time of the last backup
        (`ldapgw.store.files.note_backup`).
    """
    database = database_of(connection)
    asked_at = now()
    server_time = database.server_time(connection)
    answered_at = now()
    known = accounts.read_alike(connection, answered_at - STALE_SECONDS)
    oldest: dict[str, float] = {}
    errors: Counter[tuple[str, str]] = Counter()
    for alike in known:
        account, last_sync = alike.account, alike.oldest_sync
        if account.is_connected and last_sync is not None and account.next_sync is not None:
            oldest[account.tenant] = min(last_sync, oldest.get(account.tenant, last_sync))
        if account.is_connected and account.error is not None:
            errors[account.tenant, account.error.code] += alike.size
    summaries = summarize_alike(known, phones.read_alike(connection), answered_at)
    return StoredMetrics(
        {(tenant, code): count for tenant, found in summaries.items() for code, count in found.states.items()},
        errors,
        oldest,
        {tenant: found.last_sync for tenant, found in summaries.items() if found.last_sync is not None},
        {
            tenant: status.read_at
            for tenant, status in tenants.read_workspaces(connection).items()
            if status.read_at is not None
        },
        {
            (tenant, condition.value): count
            for tenant, found in summaries.items()
            for condition, count in found.conditions.items()
        },
        tenants.read_alarm_codes(connection),
        None if server_time is None else server_time - (asked_at + answered_at) / 2,
        backup_time(backup_note),
    )


class Metrics:
    """The metrics of a gateway, collected and rendered for Prometheus.

    :param clock: a clock that is independent of the time of day.
    :param now: returns seconds since the epoch.
    :param gauges: returns the present figures of the gateway.
    :param backup_note: see `read_stored_metrics`.
    :param run_off_thread: calls a function with its arguments off the reactor's thread.
    """

    def __init__(
        self,
        *,
        store: Store,
        clock: IReactorTime,
        now: Callable[[], float],
        version: str,
        tenant_names: Collection[str],
        sync_interval: float,
        counters: Counters,
        gauges: Callable[[], Gauges],
        backup_note: Path,
        run_off_thread: Callable[..., Awaitable[bytes]],
    ) -> None:
        self._store = store
        self._clock = clock
        self._now = now
        self._version = version
        self._tenant_names = tenant_names
        self._sync_interval = sync_interval
        self._counters = counters
        self._gauges = gauges
        self._backup_note = backup_note
        self._run_off_thread = run_off_thread
        self._stored = StoredMetrics()
        self._read_at = clock.seconds()
        self._is_readable = True
        self._has_fault = False  # whether an internal error was logged
        self._reading: Deferred[None] | None = None

    async def render(self) -> tuple[bytes, str]:
        """Render the metrics; if the database cannot be read, use the figures that were read last.

        :returns: the text that Prometheus reads, and its content type.
        """
        if self._reading is None:
            await self._begin_reading()
        gauges = self._gauges()
        snapshot = MetricsSnapshot(
            self._version,
            self._tenant_names,
            self._sync_interval,
            gauges,
            self._counters.copied(),
            self._stored,
            self._is_readable and not gauges.database_fails,
            self._clock.seconds() - self._read_at,
        )
        return await self._run_off_thread(_render, snapshot), CONTENT_TYPE_LATEST

    def _begin_reading(self) -> Deferred[None]:
        """Read the figures from the database.

        :returns: a Deferred that fires when the figures are read, or after `WAIT_SECONDS`, even if the gateway still
            reads the figures.
        """
        waiting: Deferred[None] = Deferred()
        timer = self._clock.callLater(WAIT_SECONDS, waiting.callback, None)

        def ended(_: object) -> None:
            self._reading = None
            if timer.active():
                timer.cancel()
                waiting.callback(None)

        self._reading = Deferred.fromCoroutine(self._read())
        self._reading.addBoth(ended)
        return waiting

    async def _read(self) -> None:
        asked_at = self._clock.seconds()
        try:
            self._stored = await self._store.read(read_stored_metrics, self._now, self._backup_note)
        except StoreError:
            self._is_readable = False
        except Exception:  # noqa: BLE001  an internal error must not hide the other figures
            if not self._has_fault:
                log.failure("the figures of accounts and phones cannot be read", event="figures_unreadable")
            self._has_fault = True
        else:
            self._is_readable, self._has_fault, self._read_at = True, False, asked_at


def _render(snapshot: MetricsSnapshot) -> bytes:
    """Render a snapshot; takes some 10 microseconds for each line."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    registry.register(snapshot)
    return generate_latest(registry)


def _single_gauges(snapshot: MetricsSnapshot) -> Iterator[tuple[str, float | None]]:
    """Yield the name and the value of each gauge without labels; the value is None if unknown."""
    gauges, stored = snapshot.gauges, snapshot.stored
    yield "ldapgw_ready", gauges.ready
    yield "ldapgw_database_ok", snapshot.database_ok
    yield "ldapgw_stored_figures_age_seconds", snapshot.age
    yield "ldapgw_stale", gauges.stale
    yield "ldapgw_leader", gauges.is_leader
    yield "ldapgw_key_file_ok", gauges.uses_key_file
    yield "ldapgw_config_last_reload_successful", gauges.reload_is_good
    yield "ldapgw_config_last_reload_success_timestamp_seconds", gauges.reload_succeeded_at
    yield "ldapgw_ldap_connections", gauges.connections
    yield "ldapgw_unserved_accounts", gauges.unserved
    yield "ldapgw_last_sync_timestamp_seconds", snapshot.counters.syncs.last_good
    yield "ldapgw_sync_interval_seconds", snapshot.sync_interval
    yield "ldapgw_certificate_expiry_timestamp_seconds", gauges.certificate_ends
    yield "ldapgw_last_backup_timestamp_seconds", stored.last_backup
    yield "ldapgw_clock_difference_seconds", stored.clock_difference


def _phones(counters: Counters) -> Iterator[Metric]:
    """Yield the metrics of searches and binds."""
    searches = counters.searches
    results = {code.name.lower(): count for code, count in searches.searches.items()}
    yield _counter("ldapgw_ldap_searches_total", results)
    by_kind = {kind.name.lower(): histogram for kind, histogram in searches.durations.items()}
    yield _histogram("ldapgw_search_duration_seconds", by_kind)
    yield _counter("ldapgw_ldap_entries_total", {(): searches.entries})
    yield _counter("ldapgw_ldap_binds_total", {code.name.lower(): count for code, count in counters.binds.items()})


def _process(counters: Counters, gauges: Gauges) -> Iterator[Metric]:
    """Yield the metrics of delays, and of the log."""
    yield _histogram("ldapgw_generation_lag_seconds", {"": counters.generation_lag})
    yield _histogram("ldapgw_reactor_lag_seconds", {"": counters.reactor_lag})
    yield _histogram("ldapgw_thread_wait_seconds", gauges.waits)
    yield _gauge("ldapgw_thread_queue_calls", gauges.waiting)
    yield _counter("ldapgw_log_events_total", counters.log_events)


def _files(files: Sequence[FileStatus]) -> Iterator[Metric]:
    """Yield the metrics of the configured files; yield nothing if no file is configured."""
    if files:
        yield _gauge("ldapgw_file_ok", {(file.tenant, file.name): file.report.is_good for file in files})
        yield _gauge("ldapgw_file_contacts", {(file.tenant, file.name): file.served or 0 for file in files})


def _accounts(snapshot: MetricsSnapshot) -> Iterator[Metric]:
    """Yield the metrics of each tenant; a configured tenant for which nothing was counted has the count zero."""
    yield from _files(snapshot.gauges.files)
    stored, names = snapshot.stored, snapshot.tenants
    by_state = {(name, account_state): 0 for name in names for account_state in STATES}
    yield _gauge("ldapgw_accounts", by_state | dict(stored.accounts))
    errors = {(name, code): 0 for name in names for code in error_codes()}
    yield _gauge("ldapgw_account_errors", errors | dict(stored.errors))
    yield _gauge("ldapgw_contacts", dict.fromkeys(names, 0) | dict(snapshot.gauges.contacts))
    by_condition = {(name, condition.value): 0 for name in names for condition in PhoneCondition}
    yield _gauge("ldapgw_phones", by_condition | dict(stored.phones))
    yield _gauge("ldapgw_oldest_sync_timestamp_seconds", stored.oldest_sync)
    yield _gauge("ldapgw_latest_sync_timestamp_seconds", stored.latest_sync)
    yield _gauge("ldapgw_workspace_read_timestamp_seconds", stored.workspace_read)
    alarms = {(name, code): 0 for name in names for code in _ALARMS}
    yield _gauge("ldapgw_alarm", alarms | dict.fromkeys(stored.alarms.items(), 1))


def _counted(counters: Counters) -> Iterator[Metric]:
    """Yield the metrics of calls to Google, syncs and pages."""
    google, syncs, pages = counters.google, counters.syncs, counters.pages
    yield _counter("ldapgw_google_calls_total", google.calls)
    yield _histogram("ldapgw_google_call_duration_seconds", google.durations)
    yield _counter("ldapgw_syncs_total", syncs.syncs)
    yield _histogram("ldapgw_sync_duration_seconds", syncs.durations)
    yield _counter("ldapgw_page_requests_total", pages.requests)
    yield _histogram("ldapgw_page_request_duration_seconds", pages.durations)


# The figures of a metric.  The key is the text of the only label, or the texts of all labels.
_Values = (
    Mapping[str, float]
    | Mapping[tuple[()], float]
    | Mapping[tuple[str, str], float]
    | Mapping[tuple[str, str, str], float]
)


def _counter(name: str, values: _Values) -> Metric:
    return _filled(CounterMetricFamily(name, DESCRIPTIONS[name].help_text, labels=DESCRIPTIONS[name].labels), values)


def _gauge(name: str, values: _Values) -> Metric:
    return _filled(GaugeMetricFamily(name, DESCRIPTIONS[name].help_text, labels=DESCRIPTIONS[name].labels), values)


def _filled(family: CounterMetricFamily | GaugeMetricFamily, values: _Values) -> Metric:
    for key, value in values.items():
        family.add_metric((key,) if isinstance(key, str) else key, value)
    return family


def _histogram(name: str, values: Mapping[str, Histogram]) -> Metric:
    """Return the metric of a group of histograms; the key is empty if the metric has no label."""
    family = HistogramMetricFamily(name, DESCRIPTIONS[name].help_text, labels=DESCRIPTIONS[name].labels)
    for key, histogram in values.items():
        bounds = (*map(str, histogram.bounds), "+Inf")
        buckets = list(zip(bounds, accumulate(histogram.counts), strict=True))
        family.add_metric((key,) if key else (), buckets, histogram.total)
    return family
