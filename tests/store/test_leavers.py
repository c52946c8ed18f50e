# SPDX-License-Identifier: MIT
"""Marks of persons who have left, and removals that wait for an administrator."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import Connection

from ldapgw.store import accounts, leavers
from ldapgw.store.leavers import HeldRemoval, Leaver, LeaverReason
from ldapgw.store.secrets import SecretBox
from tests.support.stage.sync import GRANT, NOW, connect

DAY = 86400.0


@pytest.fixture
def ids(connection: Connection, secret_box: SecretBox) -> tuple[int, int, int]:
    """Two accounts of the tenant acme and an account of another tenant."""
    first, second = (connect(connection, secret_box, replace(GRANT, sub=sub)) for sub in ("1", "2"))
    return first, second, connect(connection, secret_box, tenant="other")


def test_a_mark_stays_until_the_person_is_back(connection: Connection, ids: tuple[int, int, int]) -> None:
    """A repeated mark changes the reason only; accounts that were not considered, or are gone, do not matter."""
    first, second, other = ids
    leavers.mark(
        connection, ids, {first: LeaverReason.SUSPENDED, second: LeaverReason.MISSING, other: LeaverReason.MOVED}, NOW
    )
    assert leavers.keep(connection, first)
    leavers.mark(connection, [first, 99], {first: LeaverReason.DELETED, 99: LeaverReason.DELETED}, NOW + DAY)
    marked = {
        first: Leaver(first, LeaverReason.DELETED, NOW, kept=True),
        second: Leaver(second, LeaverReason.MISSING, NOW),
    }
    assert leavers.read(connection, "acme") == marked
    leavers.mark(connection, [first], {}, NOW + DAY)
    assert leavers.read(connection, "acme") == {second: marked[second]}
    accounts.remove(connection, second, with_phones=True)
    assert leavers.read(connection, "acme") == {}
    assert leavers.read(connection, "other") == {other: Leaver(other, LeaverReason.MOVED, NOW)}


def test_an_administrator_keeps_accounts(connection: Connection, ids: tuple[int, int, int]) -> None:
    """A decision that changes nothing is told apart, and a kept account loses an earlier approval of its removal."""
    first, second, other = ids
    leavers.mark(connection, ids, {first: LeaverReason.MISSING, other: LeaverReason.MISSING}, NOW)
    leavers.approve(connection, "acme", ids)
    assert leavers.read(connection, "acme") == {first: Leaver(first, LeaverReason.MISSING, NOW, approved=True)}
    assert leavers.read(connection, "other") == {other: Leaver(other, LeaverReason.MISSING, NOW)}
    assert [leavers.keep(connection, account_id) for account_id in (first, first, second)] == [True, False, False]
    assert leavers.read(connection, "acme") == {first: Leaver(first, LeaverReason.MISSING, NOW, kept=True)}
    leavers.approve(connection, "acme", ids)
    assert [leavers.undo_keep(connection, account_id) for account_id in (first, first, second)] == [True, False, False]
    assert leavers.read(connection, "acme") == {first: Leaver(first, LeaverReason.MISSING, NOW)}


def test_a_removal_waits_for_an_administrator(connection: Connection) -> None:
    """It waits since it was stopped first, until it is approved or nothing is to be removed any more."""
    assert [leavers.hold(connection, "acme", count, NOW + count) for count in (30, 31)] == [True, False]
    assert leavers.hold(connection, "other", 21, NOW)
    assert leavers.read_held(connection, "acme") == HeldRemoval("acme", 31, NOW + 30)
    leavers.approve(connection, "acme", [])
    leavers.clear_held(connection, "other")
    assert [leavers.read_held(connection, tenant) for tenant in ("acme", "other")] == [None, None]
