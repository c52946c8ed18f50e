# SPDX-License-Identifier: MIT
"""The tests run ``history`` and ``activity export``."""

from __future__ import annotations

import csv
import json

from ldapgw.cli.site import now
from ldapgw.store import activity, sync_history
from ldapgw.store.activity import Act, Actor, entry
from ldapgw.store.sync_history import SyncFigures
from tests.support.site.command_line import Gateway

ALICE = "alice@acme.example"
NOW = 1_769_851_800.0  # 2026-01-31T09:30:00Z


def test_the_syncs_of_an_account(gateway: Gateway) -> None:
    """The newest sync is first; the table fits into 80 columns."""
    account_id = gateway.connect(ALICE)
    with gateway.begin() as connection:
        sync_history.add_figures(connection, account_id, 0, SyncFigures(120, 30, 20, 10), NOW, is_full=True)
        sync_history.record_end(connection, account_id, 0, NOW - 2, NOW)
        sync_history.record_end(connection, account_id, 1, NOW + 600, NOW + 601, "google_unavailable")
        sync_history.record_end(connection, account_id, 2, NOW + 700, NOW + 701)
    failed = {"ended": "2026-01-31T09:40:01Z", "seconds": 1.0, "kind": "incremental", "error": "google_unavailable"}
    whole = {"ended": "2026-01-31T09:30:00Z", "seconds": 2.0, "kind": "full", "error": None}
    assert gateway.json("history", ALICE)[1:] == [
        {**failed, "added": 0, "changed": 0, "removed": 0, "skipped": 0, "postponed": False},
        {**whole, "added": 120, "changed": 30, "removed": 20, "skipped": 10, "postponed": False},
    ]
    lines = gateway.run("history", ALICE).stdout.splitlines()
    assert [line.split()[0] for line in lines[1:]] == ["✓", "✗", "✓"]
    assert "no changes" in lines[1]
    assert "google_unavailable" in lines[2]
    assert "30 changed, 120 added, 20 removed, 10 skipped" in lines[3]
    assert max(map(len, lines)) <= 80


def test_a_postponed_sync_is_no_failure(gateway: Gateway) -> None:
    account_id = gateway.connect(ALICE)
    gateway.do(sync_history.record_end, account_id, 0, now(), now(), "network", is_postponed=True)
    (told,) = gateway.json("history", ALICE)
    assert (told["error"], told["postponed"]) == ("network", True)
    assert "○" in gateway.run("history", ALICE).stdout
    assert "postponed (network)" in gateway.run("history", ALICE).stdout
    assert "–○ " in gateway.run("history").stdout


def test_the_days_of_all_accounts(gateway: Gateway) -> None:
    """Each of fourteen days has a sign, and days without a sync have a dash."""
    account_id, today = gateway.connect(ALICE), now()
    with gateway.begin() as connection:
        for number, (days, error) in enumerate(((0, ""), (0, "network"), (1, ""), (2, "network"))):
            when = today - 86400 * days
            sync_history.record_end(connection, account_id, number, when, when, error)
    assert "–––––––––––✗✓!" in gateway.run("history").stdout
    (found,) = gateway.json("history")
    assert found["account"] == ALICE
    assert [(day["ok"], day["failed"]) for day in found["days"][-3:]] == [(0, 1), (1, 0), (1, 1)]


def test_the_activity_log_is_exported(gateway: Gateway) -> None:
    """No cell is a formula for a spreadsheet; acts by commands are in the log too."""
    gateway.connect(ALICE)
    person = Actor(ALICE, "192.0.2.7")
    gateway.do(activity.record, entry(NOW, "acme", person, Act.PHONE_RENAMED, "-1+1", "=cmd"))
    gateway.run("phones", "add", "desk1", "--tenant", "acme")
    gateway.run("share", ALICE, "shared")
    gateway.run("phones", "reset", "desk1", "--yes")
    gateway.run("phones", "remove", "desk1", "--yes")
    rows = [*csv.reader(gateway.run("activity", "export").stdout.splitlines())]
    assert rows[0] == ["time", "tenant", "actor", "act", "subject", "detail", "address"]
    assert rows[1] == ["2026-01-31T09:30:00Z", "acme", ALICE, "phone_renamed", "'-1+1", "'=cmd", "192.0.2.7"]
    assert [row[2:6] for row in rows[2:]] == [
        ["command line", "phone_added", "desk1", ""],
        ["command line", "sharing_changed", ALICE, "shared"],
        ["command line", "phone_password", "desk1", ""],
        ["command line", "phone_removed", "desk1", ""],
    ]
    exported = json.loads(gateway.run("activity", "export", "--format", "json", "--since", "2026-02-01").stdout)
    assert [one["act"] for one in exported] == ["phone_added", "sharing_changed", "phone_password", "phone_removed"]
    assert gateway.json("activity", "export", "--since", "2026-02-01") == exported
