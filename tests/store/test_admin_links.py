# SPDX-License-Identifier: MIT
"""Links into the administration: good once, for one tenant, for an hour."""

from __future__ import annotations

import pytest
from sqlalchemy import Connection, select

from ldapgw.store import sign_ins
from ldapgw.store.sign_ins import LINK_SECONDS
from ldapgw.store.tables import admin_link

NOW = 1790000000.0


def test_a_link_is_good_once(connection: Connection) -> None:
    """For the tenant that it was made for."""
    sign_ins.make_admin_link(connection, "a-token", "acme", NOW)
    assert not sign_ins.take_admin_link(connection, "a-token", "globex", NOW)
    assert not sign_ins.take_admin_link(connection, "another", "acme", NOW)
    assert sign_ins.take_admin_link(connection, "a-token", "acme", NOW + 1)
    assert not sign_ins.take_admin_link(connection, "a-token", "acme", NOW + 2)


@pytest.mark.parametrize(
    ("later", "good"),
    [(LINK_SECONDS, True), (LINK_SECONDS + 1, False), (-LINK_SECONDS, True), (-LINK_SECONDS - 1, False)],
)
def test_a_link_ends_after_an_hour(connection: Connection, later: float, good: bool) -> None:
    """And when the clock was set back further than that."""
    sign_ins.make_admin_link(connection, "a-token", "acme", NOW)
    assert sign_ins.take_admin_link(connection, "a-token", "acme", NOW + later) is good


def test_what_is_stored_opens_nothing(connection: Connection) -> None:
    """A copy of the database lets nobody in; old links leave it."""
    sign_ins.make_admin_link(connection, "a-token", "acme", NOW)
    sign_ins.make_admin_link(connection, "another", "acme", NOW + LINK_SECONDS)
    (row,) = connection.execute(select(admin_link)).all()
    assert "another" not in row.token
    assert not sign_ins.take_admin_link(connection, row.token, "acme", NOW + LINK_SECONDS)
