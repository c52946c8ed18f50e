# SPDX-License-Identifier: MIT
"""Prometheus' own parser reads the metrics, and the documents, alerts and dashboard match the metrics.

Only promtool shows that Prometheus takes the alerts and the expressions; only a server has a clock of its own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from docutils import nodes
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample
from twisted.internet.defer import Deferred, maybeDeferred

from ldapgw.contact import Sharing
from ldapgw.directory.filter import SearchKind
from ldapgw.directory.passwords import UNKNOWN_LOGIN_HASH
from ldapgw.errors import ResultCode
from ldapgw.files.reading import FileReport, FileStatus
from ldapgw.ldap.messages import FinishedSearch
from ldapgw.server.counters import LOG_LEVELS, WAIT_BOUNDS, Counters, Histogram, ReloadStatus, error_codes
from ldapgw.server.metrics import DESCRIPTIONS, Gauges, Metrics, read_stored_metrics
from ldapgw.server.parts.base import Workers
from ldapgw.store import accounts, phones, sync_state, tenants
from ldapgw.store.account_status import STATES
from ldapgw.store.accounts import NewGrant
from ldapgw.store.files import note_backup
from ldapgw.store.phones import NumberMode, PhoneLogin
from ldapgw.store.tenants import DelegatedUser
from ldapgw.web.app import routes
from ldapgw.web.layout import Layout
from tests.support import publication, rst
from tests.support.checkout import ROOT
from tests.support.postgresql import needs_postgresql, open_new
from tests.support.program import promtool
from tests.support.results import result_of
from tests.support.settings import OPERATIONS, written_operations
from tests.support.stage.sync import HeldStore
from tests.support.stage.web import NOW, Stage

ACME = ("tenant", "acme")
READ_AT = NOW - 5

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]

# A gateway without a fault has these values, before a reload of the configuration.
ALWAYS: Samples = {
    ("ldapgw_config_last_reload_successful", ()): 1,
    ("ldapgw_config_last_reload_success_timestamp_seconds", ()): READ_AT,
    ("ldapgw_build_info", (("version", "1.2"),)): 1,
    ("ldapgw_database_ok", ()): 1,
    ("ldapgw_leader", ()): 1,
    ("ldapgw_key_file_ok", ()): 1,
    ("ldapgw_contacts", (ACME,)): 812,
    ("ldapgw_sync_interval_seconds", ()): 600,
}

NO_REACTOR: Any = None


def told(metrics: Metrics) -> Samples:
    """Return all samples of the gateway."""
    body, content_type = result_of(metrics.render())
    assert content_type.startswith("text/plain; version=")
    families = text_string_to_metric_families(body.decode())
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
        if sample.name.startswith("ldapgw_")
    }


def rises(metrics: Metrics) -> Samples:
    """Return all samples other than zero, without buckets."""
    return {key: value for key, value in told(metrics).items() if value and not key[0].endswith("_bucket")}


def metrics_of(
    stage: Stage,
    counters: Counters | None = None,
    *,
    ready: bool = True,
    ends: float | None = None,
    fails: bool = False,
    connections: int = 0,
    unserved: int = 0,
    files: Sequence[FileStatus] = (),
    threads: Sequence[str] = ("store",),
    reloads: ReloadStatus | None = None,
    backup_note: Path = Path("/nowhere/last-backup"),
    store: Any = None,
) -> Metrics:
    reloads = reloads or ReloadStatus(READ_AT)
    return Metrics(
        store=store or stage.store,
        clock=stage.clock,
        now=stage.clock.seconds,
        version="1.2",
        tenant_names=["acme", "other"],
        sync_interval=600.0,
        counters=counters or Counters(),
        gauges=lambda: Gauges(
            ready=ready,
            database_fails=fails,
            connections=connections,
            contacts={"acme": 812},
            unserved=unserved,
            waits={name: Histogram(WAIT_BOUNDS) for name in threads},
            waiting=dict.fromkeys(threads, 0),
            certificate_ends=ends,
            reload_is_good=reloads.is_good,
            reload_succeeded_at=reloads.succeeded_at,
            stale=False,
            is_leader=True,
            uses_key_file=True,
            files=files,
        ),
        backup_note=backup_note,
        run_off_thread=maybeDeferred,
    )


def connect(stage: Stage, address: str, synced: float | None) -> None:
    grant = NewGrant(address, address, frozenset(), "at", NOW + 3600, f"rt-{address}", None)
    account_id = stage.do(accounts.connect, stage.secret_box, "acme", grant, Sharing.PRIVATE, NOW, shared_label="")
    stage.do(sync_state.begin, account_id)
    if synced is not None:
        stage.do(sync_state.end, stage.do(accounts.read, account_id), synced, synced + 600)


FILES = (
    FileStatus("acme", "extensions", "e.csv", Sharing.SHARED, FileReport(1, 7), served=7),
    FileStatus("acme", "broken", "b.csv", Sharing.SHARED, FileReport(1, 0, (), 3), served=5),
    FileStatus("acme", "never", "n.csv", Sharing.SHARED, FileReport(0, 0, (), 1)),
)


@pytest.fixture
def stage() -> Stage:
    return Stage()


def test_before_anything_has_happened(stage: Stage) -> None:
    """Every known series is there from the start, so a first failure is a rise."""
    metrics = metrics_of(stage, ready=False)
    assert rises(metrics) == ALWAYS
    there = {key for key in told(metrics) if not key[0].endswith("_bucket")}
    tenants_there = [ACME, ("tenant", "other")]
    kinds = ("name", "number", "list", "entry", "other")
    assert there >= {
        ("ldapgw_ready", ()),
        ("ldapgw_stale", ()),
        ("ldapgw_ldap_connections", ()),
        ("ldapgw_ldap_searches_total", (("result", "success"),)),
        ("ldapgw_ldap_searches_total", (("result", "no_such_object"),)),
        *(("ldapgw_search_duration_seconds_count", (("kind", kind),)) for kind in kinds),
        ("ldapgw_ldap_entries_total", ()),
        ("ldapgw_ldap_binds_total", (("result", "success"),)),
        ("ldapgw_ldap_binds_total", (("result", "invalid_credentials"),)),
        ("ldapgw_generation_lag_seconds_count", ()),
        ("ldapgw_unserved_accounts", ()),
        ("ldapgw_reactor_lag_seconds_count", ()),
        ("ldapgw_thread_wait_seconds_count", (("thread", "store"),)),
        ("ldapgw_thread_queue_calls", (("thread", "store"),)),
        *(("ldapgw_log_events_total", (("level", level),)) for level in LOG_LEVELS),
        *(("ldapgw_accounts", (("state", state), tenant)) for state in STATES for tenant in tenants_there),
        *(("ldapgw_account_errors", (("code", code), tenant)) for code in error_codes() for tenant in tenants_there),
        *(("ldapgw_alarm", (("code", "api_disabled"), tenant)) for tenant in tenants_there),
        *(("ldapgw_alarm", (("code", "client_rejected"), tenant)) for tenant in tenants_there),
        *(("ldapgw_contacts", (tenant,)) for tenant in tenants_there),
        *(
            ("ldapgw_phones", (("condition", condition), tenant))
            for condition in ("working", "problems", "refused", "waiting")
            for tenant in tenants_there
        ),
        ("ldapgw_google_calls_total", (("answer", "429"), ("source", "other_contacts"))),
        ("ldapgw_google_calls_total", (("answer", "error"), ("source", "tokens"))),
        ("ldapgw_google_call_duration_seconds_count", (("source", "photos"),)),
        ("ldapgw_syncs_total", (("result", "ok"),)),
        ("ldapgw_syncs_total", (("result", "consent_revoked"),)),
        ("ldapgw_sync_duration_seconds_count", (("outcome", "failed"),)),
    }
    # The times of syncs are missing before a sync, because zero would be a very old time.
    assert not any(name.endswith("_sync_timestamp_seconds") for name, _ in there)


def test_what_is_told(stage: Stage) -> None:
    """The metrics tell ended searches, states of accounts, and conditions that need a person."""
    counters = Counters()
    counters.searches.observe(FinishedSearch("", "", b"", 5, ResultCode.SUCCESS, 0.25, SearchKind.NAME))
    counters.searches.observe(FinishedSearch("", "", b"", 0, ResultCode.SUCCESS, 0.5, SearchKind.NUMBER))
    counters.searches.observe(FinishedSearch("", "", b"", 50, ResultCode.SIZE_LIMIT_EXCEEDED, 0.25, SearchKind.NAME))
    counters.count_bind(ResultCode.SUCCESS)
    counters.count_bind(ResultCode.INVALID_CREDENTIALS)
    counters.generation_lag.observe(0.5)
    counters.reactor_lag.observe(0.125)
    counters.count_log_event("critical")
    counters.google.observe("contacts", 429, 0.5)
    counters.syncs.observe("quota", 2.0, NOW)
    counters.pages.observe("GET", "/{tenant}/", "tenant", 303, 0.125)
    connect(stage, "alice@acme.example", NOW - 60)
    connect(stage, "bob@acme.example", NOW - 3600)
    connect(stage, "carol@acme.example", None)
    stage.do(phones.add, PhoneLogin("desk1", "acme", None, NumberMode.VALUES, UNKNOWN_LOGIN_HASH, NOW))
    stage.do(tenants.raise_alarm, "acme", "api_disabled", NOW)
    found = rises(metrics_of(stage, counters, connections=3, unserved=2, ends=NOW + 5))
    assert found == {
        **ALWAYS,
        ("ldapgw_ready", ()): 1,
        ("ldapgw_ldap_connections", ()): 3,
        ("ldapgw_ldap_searches_total", (("result", "success"),)): 2,
        ("ldapgw_ldap_searches_total", (("result", "size_limit_exceeded"),)): 1,
        ("ldapgw_search_duration_seconds_count", (("kind", "name"),)): 2,
        ("ldapgw_search_duration_seconds_sum", (("kind", "name"),)): 0.5,
        ("ldapgw_search_duration_seconds_count", (("kind", "number"),)): 1,
        ("ldapgw_search_duration_seconds_sum", (("kind", "number"),)): 0.5,
        ("ldapgw_ldap_entries_total", ()): 55,
        ("ldapgw_ldap_binds_total", (("result", "success"),)): 1,
        ("ldapgw_ldap_binds_total", (("result", "invalid_credentials"),)): 1,
        ("ldapgw_generation_lag_seconds_count", ()): 1,
        ("ldapgw_generation_lag_seconds_sum", ()): 0.5,
        ("ldapgw_unserved_accounts", ()): 2,
        ("ldapgw_reactor_lag_seconds_count", ()): 1,
        ("ldapgw_reactor_lag_seconds_sum", ()): 0.125,
        ("ldapgw_log_events_total", (("level", "critical"),)): 1,
        ("ldapgw_accounts", (("state", "attention"), ACME)): 3,
        ("ldapgw_account_errors", (("code", "api_disabled"), ACME)): 3,
        ("ldapgw_phones", (("condition", "waiting"), ACME)): 1,
        ("ldapgw_oldest_sync_timestamp_seconds", (ACME,)): NOW - 3600,
        ("ldapgw_latest_sync_timestamp_seconds", (ACME,)): NOW - 60,
        ("ldapgw_alarm", (("code", "api_disabled"), ACME)): 1,
        ("ldapgw_google_calls_total", (("answer", "429"), ("source", "contacts"))): 1,
        ("ldapgw_google_call_duration_seconds_count", (("source", "contacts"),)): 1,
        ("ldapgw_google_call_duration_seconds_sum", (("source", "contacts"),)): 0.5,
        ("ldapgw_syncs_total", (("result", "quota"),)): 1,
        ("ldapgw_sync_duration_seconds_count", (("outcome", "failed"),)): 1,
        ("ldapgw_sync_duration_seconds_sum", (("outcome", "failed"),)): 2.0,
        ("ldapgw_page_requests_total", (("method", "GET"), ("route", "/{tenant}/"), ("status", "3xx"))): 1,
        ("ldapgw_page_request_duration_seconds_count", (("role", "tenant"),)): 1,
        ("ldapgw_page_request_duration_seconds_sum", (("role", "tenant"),)): 0.125,
        ("ldapgw_certificate_expiry_timestamp_seconds", ()): NOW + 5,
    }


def test_buckets_are_cumulative(stage: Stage) -> None:
    """Each bucket includes all lower buckets, as Prometheus expects."""
    counters = Counters()
    for seconds in (0.0009, 0.002, 0.002, 60.0):
        counters.reactor_lag.observe(seconds)
    found = told(metrics_of(stage, counters))
    buckets = {
        labels[0][1]: value for (name, labels), value in found.items() if name == "ldapgw_reactor_lag_seconds_bucket"
    }
    assert {"0.001": 1.0, "0.0025": 3.0, "0.005": 3.0, "5.0": 3.0, "+Inf": 4.0}.items() <= buckets.items()
    assert found["ldapgw_reactor_lag_seconds_count", ()] == 4


def test_a_database_in_trouble(stage: Stage) -> None:
    """A database that refuses writes or reads counts as not ok. Unreadable figures keep their last values."""
    connect(stage, "alice@acme.example", NOW)
    metrics = metrics_of(stage, fails=True)
    before = told(metrics)
    assert (before["ldapgw_database_ok", ()], before["ldapgw_oldest_sync_timestamp_seconds", (ACME,)]) == (0, NOW)
    metrics = metrics_of(stage)
    before = told(metrics)
    with stage.database.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE account RENAME TO gone")
    assert told(metrics) == before | {("ldapgw_database_ok", ()): 0}


def test_times_that_may_be_unknown(stage: Stage, tmp_path: Path) -> None:
    """The times of the last good sync and the last backup are missing until the first."""
    names = "ldapgw_last_sync_timestamp_seconds", "ldapgw_last_backup_timestamp_seconds"
    counters, note = Counters(), tmp_path / "last-backup"

    def times() -> dict[str, float]:
        found = told(metrics_of(stage, counters=counters, backup_note=note))
        return {name: found[name, ()] for name in names if (name, ()) in found}

    counters.syncs.observe("quota", 2.0, NOW)
    assert times() == {}
    counters.syncs.observe("ok", 2.0, NOW - 7)
    note_backup(note, NOW - 86400)
    assert times() == dict(zip(names, (NOW - 7, NOW - 86400), strict=True))


@needs_postgresql
def test_the_difference_of_the_clocks() -> None:
    """The local time is the middle between question and answer."""
    asked_and_answered = iter((1000.0, 1002.0))
    with open_new() as database, database.begin_read() as connection:
        found = read_stored_metrics(connection, lambda: next(asked_and_answered), Path("/nowhere/last-backup"))
        server_time = database.server_time(connection)
    assert server_time is not None
    assert found.clock_difference == pytest.approx(server_time - 1001.0, abs=60.0)


def test_a_database_that_does_not_answer(stage: Stage) -> None:
    """The first answer comes after a second without the database.

    Later answers come at once, with the age of the figures.
    """
    connect(stage, "alice@acme.example", NOW)
    held = HeldStore(stage.store)
    metrics = metrics_of(stage, store=held)
    first = Deferred.fromCoroutine(metrics.render())
    held.go_on()
    assert first.called
    stage.clock.advance(60)
    asked = Deferred.fromCoroutine(metrics.render())
    stage.clock.advance(0.99)
    assert not asked.called
    stage.clock.advance(0.01)
    assert asked.called
    stage.clock.advance(9)
    age = ("ldapgw_stored_figures_age_seconds", ())
    expected = told(metrics_of(stage))
    assert told(metrics) == expected | {age: 70}
    held.go_on()
    again = Deferred.fromCoroutine(metrics.render())
    held.go_on()
    body, _ = result_of(again)
    assert b"\nldapgw_stored_figures_age_seconds 0.0\n" in body


def test_a_fault_in_the_stored_figures(stage: Stage, caplog_twisted: list[str]) -> None:
    """The fault is logged once, and the other figures stay."""
    connect(stage, "alice@acme.example", NOW)
    metrics = metrics_of(stage)
    before = told(metrics)
    with stage.database.begin() as connection:
        connection.exec_driver_sql("UPDATE account SET sharing = '?'")
    for _ in range(2):
        assert told(metrics) == before
    assert caplog_twisted == ["the figures of accounts and phones cannot be read"]


def test_a_reload_that_was_refused(stage: Stage) -> None:
    """The metric stays 0 until the next good reload."""
    reloads = ReloadStatus(READ_AT)
    metrics = metrics_of(stage, reloads=reloads)
    before = told(metrics)
    reloads.note(is_good=False)
    assert told(metrics) == before | {("ldapgw_config_last_reload_successful", ()): 0}
    reloads.note(is_good=True)
    assert told(metrics) == before


def test_an_account_that_needs_a_consent_makes_no_sync_old(stage: Stage) -> None:
    """Only the user can help, so the oldest sync leaves out the account. Another metric counts the account."""
    connect(stage, "alice@acme.example", NOW - 60)
    connect(stage, "bob@acme.example", NOW - 3600)
    [alice, bob] = stage.do(accounts.read_all)

    def found() -> Samples:
        names = re.compile(r"ldapgw_(oldest_sync|latest_sync|account_errors)")
        return {key: value for key, value in rises(metrics_of(stage)).items() if names.match(key[0])}

    stage.do(sync_state.fail, bob, "consent_revoked", NOW - 30, None)
    assert found() == {
        ("ldapgw_oldest_sync_timestamp_seconds", (ACME,)): NOW - 60,
        ("ldapgw_latest_sync_timestamp_seconds", (ACME,)): NOW - 60,
        ("ldapgw_account_errors", (("code", "consent_revoked"), ACME)): 1,
    }
    stage.do(sync_state.fail, alice, "scope_missing", NOW, None)
    stage.do(tenants.raise_alarm, "acme", "api_disabled", NOW)
    assert found() == {
        ("ldapgw_latest_sync_timestamp_seconds", (ACME,)): NOW - 60,
        ("ldapgw_account_errors", (("code", "consent_revoked"), ACME)): 1,
        ("ldapgw_account_errors", (("code", "scope_missing"), ACME)): 1,
    }


def test_a_workspace(stage: Stage) -> None:
    """The metrics tell the last read. The oldest sync leaves out a user who has left."""
    key = ("ldapgw_workspace_read_timestamp_seconds", (ACME,))
    stage.do(tenants.record_workspace_failure, "acme", "network", NOW)
    assert key not in told(metrics_of(stage))
    users = [DelegatedUser(sub, f"{sub}@acme.example") for sub in ("ann", "ben")]
    for number, present in enumerate((users, users[:1])):
        apply = {"scopes": frozenset(), "sharing": Sharing.PRIVATE, "shared_label": "", "now": NOW - 60 + number}
        stage.do(tenants.apply_users, "acme", present, {}, (), **apply)
        if number == 0:
            for account, synced in zip(stage.do(accounts.read_all), (NOW - 10, NOW - 7200), strict=True):
                stage.do(sync_state.begin, account.id)
                stage.do(sync_state.end, account, synced, synced + 600)
    found = told(metrics_of(stage))
    assert (found[key], found["ldapgw_oldest_sync_timestamp_seconds", (ACME,)]) == (NOW - 59, NOW - 10)


def test_nobody_is_named(stage: Stage) -> None:
    """The metrics have neither addresses nor phones, but figures of the process."""
    connect(stage, "alice@acme.example", NOW)
    stage.do(phones.add, PhoneLogin("desk1", "acme", None, NumberMode.VALUES, UNKNOWN_LOGIN_HASH, NOW))
    body, _ = result_of(metrics_of(stage).render())
    assert b"alice" not in body
    assert b"desk1" not in body
    assert b"process_resident_memory_bytes" in body


# --- documents, alerts and dashboard ----------------------------------------------------------------------------------

RULES = ROOT / "etc" / "prometheus" / "ldapgw.rules.yml"
TESTS_OF_RULES = ROOT / "etc" / "prometheus" / "ldapgw.rules.test.yml"
DASHBOARD = ROOT / "etc" / "grafana" / "ldapgw.json"
MONITORING = ROOT / "docs" / "how-to" / "monitoring.rst"
# The documents name the values of these labels. Values of other labels are names, codes, or in a table elsewhere.
EXPLAINED = {"kind", "outcome", "source", "answer", "role", "thread", "state", "level"}
# Prometheus or Python's library adds these labels.
FOREIGN = {"up": {"job", "instance"}, "process_": {"job", "instance"}}


@pytest.fixture(name="body")
def _body(stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """Return the answer of a gateway with every possible metric."""
    connect(stage, "alice@acme.example", NOW)
    monkeypatch.setattr(stage.database, "server_time", lambda _connection: NOW)
    counters, note = counters_of_pages(stage), tmp_path / "last-backup"
    counters.syncs.observe("ok", 1.0, NOW)
    note_backup(note, NOW)
    users = {"scopes": frozenset(), "sharing": Sharing.PRIVATE, "shared_label": "", "now": NOW}
    stage.do(tenants.apply_users, "acme", (), {}, (), **users)
    names = [thread.label for thread in Workers(NO_REACTOR, syncs_beside=True).threads]
    metrics = metrics_of(stage, counters, threads=names, ends=NOW, backup_note=note, files=FILES)
    body, _ = result_of(metrics.render())
    return body


def counters_of_pages(stage: Stage) -> Counters:
    """Return the counters after a request to each route and to an unknown route."""
    for route in routes(Layout.of(stage.gate)):
        stage.requests.observe(route.method, route.template, route.required_role.name.lower(), 200, 0.0)
    stage.requests.observe("unknown", "unknown", "unknown", 404, 0.0)
    counters = Counters()
    counters.pages = stage.requests
    return counters


def family(sample: str) -> str:
    """Return the documented name of a metric from the name of a series."""
    return re.sub(r"_(bucket|sum|count)$", "", sample)


def labels_by_metric(body: bytes) -> dict[str, dict[str, set[str]]]:
    """Return the labels of each metric, and their values."""
    found: dict[str, dict[str, set[str]]] = {}
    for sample in samples(body):
        labels = found.setdefault(family(sample.name), {})
        for label, value in sample.labels.items():
            if label != "le":
                labels.setdefault(label, set()).add(value)
    return found


def samples(body: bytes) -> Iterator[Sample]:
    for one in text_string_to_metric_families(body.decode()):
        yield from one.samples


def test_files(stage: Stage) -> None:
    """The metrics tell the state of each file, and the number of its contacts that phones find."""
    found = told(metrics_of(stage, files=FILES))
    values = {
        name: (found["ldapgw_file_ok", (("file", name), ACME)], found["ldapgw_file_contacts", (("file", name), ACME)])
        for name in ("extensions", "broken", "never")
    }
    assert values == {"extensions": (1, 7), "broken": (0, 5), "never": (0, 0)}


def test_the_documents_have_each_metric(body: bytes) -> None:
    """The table of metrics is written from the descriptions; people write the values of labels with few values."""
    served = {name: labels for name, labels in labels_by_metric(body).items() if name.startswith("ldapgw_")}
    assert {name: {*described.labels} for name, described in DESCRIPTIONS.items()} == {
        name: {*labels} for name, labels in served.items()
    }
    document = OPERATIONS.read_text()
    assert document == written_operations(document), "run scripts/settings"
    words: dict[str, set[str]] = {}
    for metric, meaning in rst.rows(rst.section(OPERATIONS, "Metrics")):
        for label in re.findall(r"[a-z_]+(?=[,}])", metric.literals[0]):
            words.setdefault(label, set()).update(meaning.literals)
    values = {(label, value) for labels in served.values() for label in labels for value in labels[label]}
    assert [(label, value) for label, value in values if label in EXPLAINED and value not in words[label]] == []


def expressions_of_rules() -> list[str]:
    """Return the expressions of the alerts, also over several lines."""
    text = RULES.read_text()
    return [" ".join(found.split()) for found in re.findall(r"expr: (?:>-)?((?:.|\n)*?)\n +(?:for|labels):", text)]


def expressions_of_dashboard() -> list[str]:
    """Return the expressions of the panels and of the choices at the top."""
    board = json.loads(DASHBOARD.read_text())
    asked = [target["expr"] for panel in board["panels"] for target in panel.get("targets", ())]
    return asked + [one["definition"] for one in board["templating"]["list"] if one["type"] == "query"]


def used(expression: str) -> Iterator[tuple[str, set[str], dict[str, str]]]:
    """Yield the series of an expression, with names, labels, and the values or patterns of labels."""
    for name, _, selectors in re.findall(r"\b(up|(?:ldapgw|process)_[a-z_]+)(\{([^}]*)\})?", expression):
        chosen = dict(re.findall(r'(\w+)(?:=|!=|=~|!~)"([^"]*)"', selectors))
        yield name, set(chosen), chosen


@pytest.mark.parametrize("read", [expressions_of_rules, expressions_of_dashboard])
def test_what_is_asked_for_is_served(read: Callable[[], list[str]], body: bytes) -> None:
    """Alerts and the dashboard use only served series, labels and values."""
    served = labels_by_metric(body)
    names = {sample.name for sample in samples(body)}
    asked = [(expression, *one) for expression in read() for one in used(expression)]
    assert len(asked) > 15
    for expression, name, labels, chosen in asked:
        foreign = next((also for prefix, also in FOREIGN.items() if name.startswith(prefix)), None)
        known = served.get(family(name), {})
        assert name in names or name == "up", expression
        assert labels <= (foreign or known.keys() | {"job", "instance"}), expression
        for label, pattern in chosen.items():
            values = known.get(label, set())
            alternatives = [] if pattern.startswith("$") or label in ("job", "instance") else pattern.split("|")
            assert {*alternatives} <= values, expression


def test_the_dashboard_can_be_imported() -> None:
    """The data source is a variable, the panels do not overlap, and the rows match the document."""
    board = json.loads(DASHBOARD.read_text())
    assert (board["title"], board["uid"], board["schemaVersion"]) == ("ldapgw", "ldapgw", 39)
    source = {"type": "prometheus", "uid": "${DS_PROMETHEUS}"}
    panels = [panel for panel in board["panels"] if panel["type"] != "row"]
    asking = [*panels, *(target for panel in panels for target in panel["targets"])]
    assert all(one["datasource"] == source for one in asking)
    assert board["templating"]["list"][0]["name"] == "DS_PROMETHEUS"
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    cells = [
        (place["x"] + column, place["y"] + line)
        for place in (panel["gridPos"] for panel in board["panels"])
        for column in range(place["w"])
        for line in range(place["h"])
    ]
    assert (len(cells), max(cells)[0]) == (len(set(cells)), 23)
    rows = [panel["title"] for panel in board["panels"] if panel["type"] == "row"]
    assert rows == ["Phones", "Syncs", "Google", "Pages", "Process"]
    described = rst.section(MONITORING, "A dashboard")
    assert [one.astext() for one in described.findall(nodes.emphasis)][-5:] == rows


def test_each_alert_is_explained_and_tested() -> None:
    """Each alert has a summary, a description, a valid link and a test. The document explains no other alert."""
    text = RULES.read_text()
    alerts = re.findall(r"- alert: (\w+)", text)
    assert len(alerts) == len(set(alerts)) > 10
    for word in ("expr", "severity", "summary", "description", "runbook_url"):
        assert len(re.findall(rf"\n +{word}: ", text)) == len(alerts), word
    links = re.findall(r"runbook_url: (\S+)", text)
    page = publication.read().page("docs/how-to/monitoring.rst")
    assert links == [f"{page}#{alert.lower()}" for alert in alerts]
    sections = {one[0].astext(): one["ids"] for one in rst.read(MONITORING).findall(nodes.section)}
    explained = {title: ids for title, ids in sections.items() if title.startswith("Ldapgw")}
    assert explained == {alert: [alert.lower()] for alert in alerts}
    assert set(re.findall(r"alertname: (\w+)", TESTS_OF_RULES.read_text())) == set(alerts)


@pytest.mark.long  # promtool is a separate program
def test_promtool_accepts_the_alerts() -> None:
    """The tests of the rules check that each alert fires in time."""
    status, said = promtool("check", "rules", RULES)
    assert status == 0, said
    assert f"{len(expressions_of_rules())} rules found" in said
    status, said = promtool("test", "rules", TESTS_OF_RULES)
    assert status == 0, said


def test_promtool_can_read_the_dashboard_s_expressions(tmp_path: Path) -> None:
    """The expressions are checked as rules, with values in place of Grafana's variables."""
    asked = [one for one in expressions_of_dashboard() if not one.startswith("label_values(")]
    rules = [
        {"record": f"panel:{at}", "expr": re.sub(r"\$\w+", "x", one.replace("$__rate_interval", "5m"))}
        for at, one in enumerate(asked)
    ]
    file = tmp_path / "dashboard.json"
    file.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    status, said = promtool("check", "rules", file)
    assert status == 0, said


def test_promtool_has_no_complaint_about_the_metrics(body: bytes) -> None:
    """Names, units and texts follow Prometheus' guidelines."""
    assert promtool("check", "metrics", text=body) == (0, "")
