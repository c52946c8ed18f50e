# SPDX-License-Identifier: MIT
"""Reports on setup steps: equal ones are counted, and a tenant has a limited number of them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import Connection

from ldapgw.store import provisioning
from ldapgw.store.provisioning import StepReport

WORKED = StepReport("acme", "yealink", "T54W", "96.86.0.70", 0, "", 1_700_000_000.0)
MENU = replace(WORKED, step=3, menu="Settings > Config")


def test_equal_reports_are_one_row(connection: Connection) -> None:
    """With the number of reports and the time of the last; what differs in any way is another row."""
    for new in (
        WORKED,
        MENU,
        replace(WORKED, at=WORKED.at + 60),
        replace(MENU, menu="Setup"),
        replace(WORKED, model=""),
    ):
        assert provisioning.add_report(connection, new)
    assert provisioning.read_reports(connection, "acme") == (
        replace(WORKED, model=""),
        replace(WORKED, count=2, at=WORKED.at + 60),
        MENU,
        replace(MENU, menu="Setup"),
    )


def test_a_tenant_has_reports_of_its_own(connection: Connection) -> None:
    """They are read and deleted without those of others."""
    other = replace(WORKED, tenant="globex")
    assert [provisioning.add_report(connection, new) for new in (WORKED, other)] == [True, True]
    assert provisioning.read_reports(connection, "acme") == (WORKED,)
    assert [provisioning.remove_reports(connection, "acme") for _ in range(2)] == [True, False]
    assert (provisioning.read_reports(connection, "acme"), provisioning.read_reports(connection, "globex")) == (
        (),
        (other,),
    )


def test_there_are_not_too_many(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    """Further ones are refused, but for those that are there already; another tenant is not concerned."""
    monkeypatch.setattr(provisioning, "MAX_REPORTS", 3)
    menus = [replace(MENU, menu=f"menu {number}") for number in range(4)]
    assert [provisioning.add_report(connection, new) for new in menus] == [True, True, True, False]
    assert provisioning.add_report(connection, menus[0])
    assert provisioning.add_report(connection, replace(menus[3], tenant="globex"))
    assert [(one.menu, one.count) for one in provisioning.read_reports(connection, "acme")] == [
        ("menu 0", 2),
        ("menu 1", 1),
        ("menu 2", 1),
    ]
