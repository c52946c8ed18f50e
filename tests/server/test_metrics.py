# SPDX-License-Identifier: MIT
"""Figures for Prometheus, read by its own parser."""

from __future__ import annotations

import pytest
from prometheus_client.parser import text_string_to_metric_families

from ldapgw.contact import Sharing
from ldapgw.directory.access import UNKNOWN_LOGIN_HASH
from ldapgw.errors import ResultCode
from ldapgw.server.metrics import Metrics, ProcessFigures, SearchCounters
from ldapgw.store import accounts, phones, sync_state, tenants
from ldapgw.store.accounts import NewGrant
from ldapgw.store.phones import NumberMode, PhoneLogin
from tests.support.results import result_of
from tests.support.stage.web import NOW, Stage

ACME = ("tenant", "acme")

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def told(metrics: Metrics) -> Samples:
    body, content_type = result_of(metrics.render())
    assert content_type.startswith("text/plain; version=")
    families = text_string_to_metric_families(body.decode())
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
        if sample.name.startswith("ldapgw_")
    }


def metrics_of(
    stage: Stage,
    tally: SearchCounters,
    *,
    connections: int = 0,
    ready: bool = True,
    ends: float | None = None,
    fails: bool = False,
) -> Metrics:
    return Metrics(
        store=stage.store,
        now=stage.clock.seconds,
        version="1.2",
        figures=lambda: {1: ProcessFigures.of_this_process(tally, connections)},
        ready=lambda: ready,
        contacts=lambda: {"acme": 812},
        database_fails=lambda: fails,
        certificate_ends=lambda: ends,
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
    """Nothing is made up."""
    assert told(metrics_of(stage, SearchCounters(), ready=False)) == {
        ("ldapgw_info", (("version", "1.2"),)): 1,
        ("ldapgw_ready", ()): 0,
        ("ldapgw_database_ok", ()): 1,
        ("ldapgw_stale", ()): 0,
        ("ldapgw_ldap_connections", ()): 0,
        ("ldapgw_ldap_search_seconds_count", ()): 0,
        ("ldapgw_ldap_search_seconds_sum", ()): 0,
        ("ldapgw_ldap_entries_total", ()): 0,
        ("ldapgw_contacts", (("tenant", "acme"),)): 812,
    }


def test_what_is_told(stage: Stage) -> None:
    """Searches as they ended, accounts as they are, and what somebody should be woken up for."""
    tally = SearchCounters()
    tally.observe("", "", b"", 5, ResultCode.SUCCESS, 0.25)
    tally.observe("", "", b"", 0, ResultCode.SUCCESS, 0.5)
    tally.observe("", "", b"", 50, ResultCode.SIZE_LIMIT_EXCEEDED, 0.25)
    connect(stage, "alice@acme.example", NOW - 60)
    connect(stage, "bob@acme.example", NOW - 3600)
    connect(stage, "carol@acme.example", None)
    stage.do(phones.add, PhoneLogin("desk1", "acme", None, NumberMode.VALUES, UNKNOWN_LOGIN_HASH, NOW))
    stage.do(tenants.raise_alarm, "acme", "api_disabled", NOW)
    found = told(metrics_of(stage, tally, connections=3, ends=NOW + 5))
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
        ("ldapgw_ldap_entries_total", ()): 55,
        ("ldapgw_accounts", (("state", "attention"), ACME)): 3,
        ("ldapgw_contacts", (ACME,)): 812,
        ("ldapgw_phones", (ACME,)): 1,
        ("ldapgw_oldest_sync_timestamp_seconds", (ACME,)): NOW - 3600,
        ("ldapgw_alarm", (("code", "api_disabled"), ACME)): 1,
        ("ldapgw_certificate_expiry_timestamp_seconds", ()): NOW + 5,
    }


def test_a_database_in_trouble(stage: Stage) -> None:
    """One that cannot be written is told; of one that cannot be read, so is what was read last."""
    connect(stage, "alice@acme.example", NOW)
    metrics = metrics_of(stage, SearchCounters(), fails=True)
    before = told(metrics)
    assert (before["ldapgw_database_ok", ()], before["ldapgw_oldest_sync_timestamp_seconds", (ACME,)]) == (0, NOW)
    metrics = metrics_of(stage, SearchCounters())
    before = told(metrics)
    with stage.database.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE account RENAME TO gone")
    assert told(metrics) == before | {("ldapgw_database_ok", ()): 0}


def test_nobody_is_named(stage: Stage) -> None:
    """Neither addresses nor phones; the process tells of itself."""
    connect(stage, "alice@acme.example", NOW)
    stage.do(phones.add, PhoneLogin("desk1", "acme", None, NumberMode.VALUES, UNKNOWN_LOGIN_HASH, NOW))
    body, _ = result_of(metrics_of(stage, SearchCounters()).render())
    assert b"alice" not in body
    assert b"desk1" not in body
    assert b"process_resident_memory_bytes" in body
