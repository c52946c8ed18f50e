# SPDX-License-Identifier: MIT
"""Figures for Prometheus, read by its own parser."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from twisted.internet.defer import maybeDeferred

from ldapgw.contact import Sharing
from ldapgw.directory.access import UNKNOWN_LOGIN_HASH
from ldapgw.directory.filter import SearchKind
from ldapgw.errors import ResultCode
from ldapgw.server.counters import ProcessCounters
from ldapgw.server.metrics import LeaderCounters, Metrics, ProcessFigures, error_codes
from ldapgw.server.threads import WorkerThread
from ldapgw.store import accounts, phones, sync_state, tenants
from ldapgw.store.account_status import STATES
from ldapgw.store.accounts import NewGrant
from ldapgw.store.phones import NumberMode, PhoneLogin
from tests.support.results import result_of
from tests.support.stage.web import NOW, Stage

ACME = ("tenant", "acme")

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]

NO_REACTOR: Any = None


def told(metrics: Metrics) -> Samples:
    """All samples of ours."""
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
    """All samples that are not zero, without buckets."""
    return {key: value for key, value in told(metrics).items() if value and not key[0].endswith("_bucket")}


def figures_of(counters: ProcessCounters, connections: int = 0, unserved: int = 0) -> ProcessFigures:
    return ProcessFigures.of_this_process(counters, connections, unserved, [WorkerThread(NO_REACTOR, "store", 1)])


def metrics_of(
    stage: Stage,
    *figures: ProcessFigures,
    counters: LeaderCounters | None = None,
    ready: bool = True,
    ends: float | None = None,
    fails: bool = False,
    contacts: int = 812,
) -> Metrics:
    return Metrics(
        store=stage.store,
        now=stage.clock.seconds,
        version="1.2",
        tenant_names=["acme", "other"],
        sync_interval=600.0,
        counters=counters or LeaderCounters(),
        figures=lambda: dict(enumerate(figures or (figures_of(ProcessCounters()),), 1)),
        ready=lambda: ready,
        contacts=lambda: {"acme": contacts},
        database_fails=lambda: fails,
        certificate_ends=lambda: ends,
        run_off_thread=maybeDeferred,
    )


def connect(stage: Stage, address: str, synced: float | None) -> None:
    grant = NewGrant(address, address, frozenset(), "at", NOW + 3600, f"rt-{address}", None)
    account_id = stage.do(accounts.connect, stage.secret_box, "acme", grant, Sharing.PRIVATE, NOW)
    stage.do(sync_state.begin, account_id)
    if synced is not None:
        stage.do(sync_state.end, stage.do(accounts.read, account_id), synced, synced + 600)


@pytest.fixture
def stage() -> Stage:
    return Stage()


def test_before_anything_has_happened(stage: Stage) -> None:
    """Nothing is made up, and every series that is known beforehand is there: a first failure is a rise."""
    metrics = metrics_of(stage, ready=False)
    assert rises(metrics) == {
        ("ldapgw_info", (("version", "1.2"),)): 1,
        ("ldapgw_database_ok", ()): 1,
        ("ldapgw_contacts", (ACME,)): 812,
        ("ldapgw_sync_interval_seconds", ()): 600,
    }
    there = {key for key in told(metrics) if not key[0].endswith("_bucket")}
    tenants_there = [ACME, ("tenant", "other")]
    kinds = ("name", "number", "list", "entry", "other")
    assert there >= {
        ("ldapgw_ready", ()),
        ("ldapgw_stale", ()),
        ("ldapgw_ldap_connections", ()),
        ("ldapgw_ldap_searches_total", (("result", "success"),)),
        ("ldapgw_ldap_searches_total", (("result", "no_such_object"),)),
        ("ldapgw_ldap_search_seconds_count", ()),
        ("ldapgw_ldap_search_seconds_sum", ()),
        *(("ldapgw_search_duration_seconds_count", (("kind", kind),)) for kind in kinds),
        ("ldapgw_ldap_entries_total", ()),
        ("ldapgw_ldap_binds_total", (("result", "success"),)),
        ("ldapgw_ldap_binds_total", (("result", "invalid_credentials"),)),
        ("ldapgw_generation_lag_seconds_count", ()),
        ("ldapgw_unserved_accounts", ()),
        ("ldapgw_reactor_lag_seconds_count", ()),
        ("ldapgw_thread_wait_seconds_count", (("thread", "store"),)),
        ("ldapgw_thread_queue_calls", (("thread", "store"),)),
        *(("ldapgw_accounts", (("state", state), tenant)) for state in STATES for tenant in tenants_there),
        *(("ldapgw_account_errors", (("code", code), tenant)) for code in error_codes() for tenant in tenants_there),
        *(("ldapgw_alarm", (("code", "api_disabled"), tenant)) for tenant in tenants_there),
        *(("ldapgw_alarm", (("code", "client_rejected"), tenant)) for tenant in tenants_there),
        *(("ldapgw_contacts", (tenant,)) for tenant in tenants_there),
        *(("ldapgw_phones", (tenant,)) for tenant in tenants_there),
        ("ldapgw_google_calls_total", (("answer", "429"), ("source", "other_contacts"))),
        ("ldapgw_google_calls_total", (("answer", "error"), ("source", "tokens"))),
        ("ldapgw_google_call_duration_seconds_count", (("source", "photos"),)),
        ("ldapgw_syncs_total", (("result", "ok"),)),
        ("ldapgw_syncs_total", (("result", "consent_revoked"),)),
        ("ldapgw_sync_duration_seconds_count", (("outcome", "failed"),)),
    }
    # When nobody was synced is no time, and zero would be a very old one.
    assert not any(name.endswith("_timestamp_seconds") for name, _ in there)


def test_what_is_told(stage: Stage) -> None:
    """Searches as they ended, accounts as they are, and what somebody should be woken up for."""
    tally = ProcessCounters()
    tally.searches.observe("", "", b"", 5, ResultCode.SUCCESS, 0.25, SearchKind.NAME)
    tally.searches.observe("", "", b"", 0, ResultCode.SUCCESS, 0.5, SearchKind.NUMBER)
    tally.searches.observe("", "", b"", 50, ResultCode.SIZE_LIMIT_EXCEEDED, 0.25, SearchKind.NAME)
    tally.count_bind(ResultCode.SUCCESS)
    tally.count_bind(ResultCode.INVALID_CREDENTIALS)
    tally.generation_lag.observe(0.5)
    tally.reactor_lag.observe(0.125)
    counters = LeaderCounters()
    counters.google.observe("contacts", 429, 0.5)
    counters.syncs.observe("quota", 2.0)
    counters.pages.declare("GET", "/{tenant}/", "tenant")
    counters.pages.observe("GET", "/{tenant}/", "tenant", 303, 0.125)
    connect(stage, "alice@acme.example", NOW - 60)
    connect(stage, "bob@acme.example", NOW - 3600)
    connect(stage, "carol@acme.example", None)
    stage.do(phones.add, PhoneLogin("desk1", "acme", None, NumberMode.VALUES, UNKNOWN_LOGIN_HASH, NOW))
    stage.do(tenants.raise_alarm, "acme", "api_disabled", NOW)
    figures = figures_of(tally, connections=3, unserved=2)
    found = rises(metrics_of(stage, figures, counters=counters, ends=NOW + 5))
    assert found == {
        ("ldapgw_info", (("version", "1.2"),)): 1,
        ("ldapgw_ready", ()): 1,
        ("ldapgw_database_ok", ()): 1,
        ("ldapgw_stale", ()): 0,
        ("ldapgw_ldap_connections", ()): 3,
        ("ldapgw_ldap_searches_total", (("result", "success"),)): 2,
        ("ldapgw_ldap_searches_total", (("result", "size_limit_exceeded"),)): 1,
        ("ldapgw_ldap_search_seconds_count", ()): 3,
        ("ldapgw_ldap_search_seconds_sum", ()): 1.0,
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
        ("ldapgw_accounts", (("state", "attention"), ACME)): 3,
        ("ldapgw_account_errors", (("code", "api_disabled"), ACME)): 3,
        ("ldapgw_contacts", (ACME,)): 812,
        ("ldapgw_phones", (ACME,)): 1,
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
        ("ldapgw_sync_interval_seconds", ()): 600,
        ("ldapgw_certificate_expiry_timestamp_seconds", ()): NOW + 5,
    }


def test_buckets_are_cumulative(stage: Stage) -> None:
    """As Prometheus reads them: each has what the buckets below it have."""
    tally = ProcessCounters()
    for seconds in (0.0009, 0.002, 0.002, 60.0):
        tally.reactor_lag.observe(seconds)
    found = told(metrics_of(stage, figures_of(tally)))
    buckets = {
        labels[0][1]: value for (name, labels), value in found.items() if name == "ldapgw_reactor_lag_seconds_bucket"
    }
    assert {"0.001": 1.0, "0.0025": 3.0, "0.005": 3.0, "5.0": 3.0, "+Inf": 4.0}.items() <= buckets.items()
    assert found["ldapgw_reactor_lag_seconds_count", ()] == 4


def test_the_figures_of_all_processes_are_added_up(stage: Stage) -> None:
    """Those of one that has died stay; of changes that all have to follow, the slowest process tells."""
    first, second, dead = ProcessCounters(), ProcessCounters(), ProcessCounters()
    for at, tally in enumerate((first, second, dead), 1):
        tally.searches.observe("", "", b"", at, ResultCode.SUCCESS, 0.25 * at, SearchKind.LIST)
        tally.count_bind(ResultCode.SUCCESS)
        tally.reactor_lag.observe(0.25 * at)
        tally.generation_lag.observe(0.25 * at)
    one = replace(figures_of(first, connections=3, unserved=1), waiting={"store": 2})
    after = figures_of(second, connections=4, unserved=2).after(figures_of(dead, connections=5))
    other = replace(after, waiting={"store": 1, "read": 1})
    found = rises(metrics_of(stage, one, other, contacts=0))
    process = [key for key in found if key[0].startswith("ldapgw_process_")]
    assert {key[0] for key in process} == {
        "ldapgw_process_cpu_seconds_total",
        "ldapgw_process_resident_memory_bytes",
    }
    assert {key: value for key, value in found.items() if key not in process} == {
        ("ldapgw_info", (("version", "1.2"),)): 1,
        ("ldapgw_ready", ()): 1,
        ("ldapgw_database_ok", ()): 1,
        ("ldapgw_ldap_connections", ()): 7,
        ("ldapgw_ldap_searches_total", (("result", "success"),)): 3,
        ("ldapgw_ldap_search_seconds_count", ()): 3,
        ("ldapgw_ldap_search_seconds_sum", ()): 1.5,
        ("ldapgw_search_duration_seconds_count", (("kind", "list"),)): 3,
        ("ldapgw_search_duration_seconds_sum", (("kind", "list"),)): 1.5,
        ("ldapgw_ldap_entries_total", ()): 6,
        ("ldapgw_ldap_binds_total", (("result", "success"),)): 3,
        ("ldapgw_generation_lag_seconds_count", ()): 3,
        ("ldapgw_generation_lag_seconds_sum", ()): 1.5,
        ("ldapgw_unserved_accounts", ()): 2,
        ("ldapgw_reactor_lag_seconds_count", ()): 3,
        ("ldapgw_reactor_lag_seconds_sum", ()): 1.5,
        ("ldapgw_thread_queue_calls", (("thread", "store"),)): 3,
        ("ldapgw_sync_interval_seconds", ()): 600,
    }


def test_a_database_in_trouble(stage: Stage) -> None:
    """One that cannot be written is told; of one that cannot be read, so is what was read last."""
    connect(stage, "alice@acme.example", NOW)
    metrics = metrics_of(stage, fails=True)
    before = told(metrics)
    assert (before["ldapgw_database_ok", ()], before["ldapgw_oldest_sync_timestamp_seconds", (ACME,)]) == (0, NOW)
    metrics = metrics_of(stage)
    before = told(metrics)
    with stage.database.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE account RENAME TO gone")
    assert told(metrics) == before | {("ldapgw_database_ok", ()): 0}


def test_nobody_is_named(stage: Stage) -> None:
    """Neither addresses nor phones; the process tells of itself."""
    connect(stage, "alice@acme.example", NOW)
    stage.do(phones.add, PhoneLogin("desk1", "acme", None, NumberMode.VALUES, UNKNOWN_LOGIN_HASH, NOW))
    body, _ = result_of(metrics_of(stage).render())
    assert b"alice" not in body
    assert b"desk1" not in body
    assert b"process_resident_memory_bytes" in body
