# SPDX-License-Identifier: MIT
"""Sign-ins and consents under way: single use, bound to the browser, ended by time.

Links into the administration: good once, for one tenant, for an hour.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import Connection, select

from ldapgw.store import sign_ins, tables
from ldapgw.store.secrets import SecretBox
from ldapgw.store.sign_ins import (
    ABSOLUTE_SECONDS,
    FLOW_SECONDS,
    IDLE_SECONDS,
    LINK_SECONDS,
    MAX_SIGN_INS,
    ConsentFlow,
    SignIn,
)
from ldapgw.store.tables import admin_link

NOW = 1_800_000_000.0
DAY = 86400.0
FLOW = ConsentFlow("acme", "connect", "nonce-1", "verifier-1", popup=True, expected="sub-1")
ALICE = SignIn("acme", "sub-1", "alice@acme.example", "acme.example")


def test_a_state_is_good_once_for_its_browser(connection: Connection, secret_box: SecretBox) -> None:
    """A reloaded callback is refused; another browser does not use the state up."""
    sign_ins.begin_flow(connection, secret_box, "state", "browser", FLOW, NOW)
    assert sign_ins.take_flow(connection, secret_box, "state", "other", NOW + 1) is None
    assert sign_ins.take_flow(connection, secret_box, "other", "browser", NOW + 1) is None
    assert sign_ins.take_flow(connection, secret_box, "state", "browser", NOW + 1) == FLOW
    assert sign_ins.take_flow(connection, secret_box, "state", "browser", NOW + 1) is None


def test_a_state_is_good_for_ten_minutes(connection: Connection, secret_box: SecretBox) -> None:
    """And is forgotten when the next one begins."""
    sign_ins.begin_flow(connection, secret_box, "late", "browser", FLOW, NOW)
    assert sign_ins.take_flow(connection, secret_box, "late", "browser", NOW + FLOW_SECONDS + 1) is None
    sign_ins.begin_flow(connection, secret_box, "new", "browser", FLOW, NOW + FLOW_SECONDS + 1)
    assert len(connection.execute(select(tables.consent_flow)).all()) == 1


def test_the_age_of_a_consent(connection: Connection, secret_box: SecretBox) -> None:
    """The age is negative if two gateways have different clocks; another browser does not learn the age."""
    sign_ins.begin_flow(connection, secret_box, "state", "browser", FLOW, NOW)
    assert sign_ins.age_of_flow(connection, "state", "browser", NOW - 700) == -700
    assert sign_ins.age_of_flow(connection, "state", "other", NOW) is None


def test_a_clock_that_is_set_ends_consents_under_way(connection: Connection, secret_box: SecretBox) -> None:
    """In either direction: one begins anew; none is good for longer than it was meant to be."""
    for jump in (-DAY, DAY):
        sign_ins.begin_flow(connection, secret_box, "state", "browser", FLOW, NOW)
        assert sign_ins.take_flow(connection, secret_box, "state", "browser", NOW + jump) is None
        sign_ins.begin_flow(connection, secret_box, "new", "browser", FLOW, NOW + jump)
        assert len(connection.execute(select(tables.consent_flow)).all()) == 1
        assert sign_ins.take_flow(connection, secret_box, "new", "browser", NOW + jump) == FLOW


def test_a_clock_that_is_set_back_makes_no_sign_in_longer(connection: Connection) -> None:
    """Silence and the week count from then on."""
    sign_ins.create_sign_in(connection, "token", ALICE, NOW)
    assert sign_ins.read_sign_in(connection, "token", "acme", NOW - DAY) == ALICE
    sign_ins.extend_sign_in(connection, "token", NOW - DAY)
    assert sign_ins.read_sign_in(connection, "token", "acme", NOW - DAY + IDLE_SECONDS + 1) is None
    [row] = connection.execute(select(tables.sign_in)).all()
    assert (row.created_at, row.seen_at) == (NOW - DAY, NOW - DAY)


def test_a_copy_of_the_database_lets_nobody_in(connection: Connection, secret_box: SecretBox) -> None:
    """Neither states nor cookies nor verifiers are stored in clear."""
    sign_ins.begin_flow(connection, secret_box, "state-x", "browser-x", FLOW, NOW)
    sign_ins.create_sign_in(connection, "token-x", ALICE, NOW)
    stored = repr(
        connection.execute(select(tables.consent_flow)).all() + connection.execute(select(tables.sign_in)).all()
    )
    assert not [secret for secret in ("state-x", "browser-x", "token-x", "nonce-1", "verifier-1") if secret in stored]


def test_who_is_signed_in(connection: Connection) -> None:
    """In the tenant where it was done, and nowhere else."""
    sign_ins.create_sign_in(connection, "token", ALICE, NOW)
    assert sign_ins.read_sign_in(connection, "token", "acme", NOW + 1) == ALICE
    assert sign_ins.read_sign_in(connection, "token", "other", NOW + 1) is None
    assert sign_ins.read_sign_in(connection, "nekot", "acme", NOW + 1) is None
    found = [sign_ins.read_tenant(connection, token) for token in ("token", "nekot")]
    assert found == ["acme", None]
    sign_ins.sign_out(connection, "token")
    assert sign_ins.read_sign_in(connection, "token", "acme", NOW + 1) is None


def test_a_person_is_signed_in_with_so_many_browsers(connection: Connection) -> None:
    """One more ends the oldest; others, other tenants, and whoever came by a link, are not counted."""
    bob, elsewhere = SignIn("acme", "sub-b", "bob@acme.example", ""), replace(ALICE, tenant="globex")
    sign_ins.create_sign_in(connection, "bob", bob, NOW)
    sign_ins.create_sign_in(connection, "elsewhere", elsewhere, NOW)
    for number in range(MAX_SIGN_INS + 2):
        sign_ins.create_sign_in(connection, f"link {number}", SignIn("acme", "", ""), NOW)
        sign_ins.create_sign_in(connection, f"alice {number}", ALICE, NOW + number)
    now = NOW + MAX_SIGN_INS + 2
    signed_in = [
        number
        for number in range(MAX_SIGN_INS + 2)
        if sign_ins.read_sign_in(connection, f"alice {number}", "acme", now) == ALICE
    ]
    assert signed_in == list(range(2, MAX_SIGN_INS + 2))
    assert sign_ins.read_sign_in(connection, "bob", "acme", now) == bob
    assert sign_ins.read_sign_in(connection, "elsewhere", "globex", now) == elsewhere
    assert sign_ins.read_sign_in(connection, "link 0", "acme", now) is not None


def test_activity_is_stored_once_a_minute(connection: Connection) -> None:
    sign_ins.create_sign_in(connection, "token", ALICE, NOW)
    seen = []
    for seconds in (60, 61, 121, 122):
        sign_ins.extend_sign_in(connection, "token", NOW + seconds)
        seen.append(connection.execute(select(tables.sign_in.c.seen_at)).scalar_one() - NOW)
    assert seen == [0, 61, 61, 122]


def test_silence_ends_a_sign_in_and_so_does_a_week(connection: Connection) -> None:
    """Each request begins the silence anew, not the week."""
    sign_ins.create_sign_in(connection, "silent", ALICE, NOW)
    assert sign_ins.read_sign_in(connection, "silent", "acme", NOW + IDLE_SECONDS + 1) is None
    sign_ins.create_sign_in(connection, "busy", ALICE, NOW)
    last = 0.0
    while sign_ins.read_sign_in(connection, "busy", "acme", NOW + last + IDLE_SECONDS / 2) is not None:
        last += IDLE_SECONDS / 2
        sign_ins.extend_sign_in(connection, "busy", NOW + last)
    assert ABSOLUTE_SECONDS - IDLE_SECONDS / 2 <= last <= ABSOLUTE_SECONDS
    sign_ins.create_sign_in(connection, "new", ALICE, NOW + ABSOLUTE_SECONDS * 2)
    assert len(connection.execute(select(tables.sign_in)).all()) == 1


MADE_AT = 1790000000.0


def test_a_link_is_good_once(connection: Connection) -> None:
    """For the tenant that it was made for."""
    sign_ins.make_admin_link(connection, "a-token", "acme", MADE_AT)
    assert not sign_ins.take_admin_link(connection, "a-token", "globex", MADE_AT)
    assert not sign_ins.take_admin_link(connection, "another", "acme", MADE_AT)
    assert sign_ins.take_admin_link(connection, "a-token", "acme", MADE_AT + 1)
    assert not sign_ins.take_admin_link(connection, "a-token", "acme", MADE_AT + 2)


@pytest.mark.parametrize(
    ("later", "good"),
    [(LINK_SECONDS, True), (LINK_SECONDS + 1, False), (-LINK_SECONDS, True), (-LINK_SECONDS - 1, False)],
)
def test_a_link_ends_after_an_hour(connection: Connection, later: float, good: bool) -> None:
    """And when the clock was set back further than that."""
    sign_ins.make_admin_link(connection, "a-token", "acme", MADE_AT)
    assert sign_ins.take_admin_link(connection, "a-token", "acme", MADE_AT + later) is good


def test_what_is_stored_opens_nothing(connection: Connection) -> None:
    """A copy of the database lets nobody in; old links leave it."""
    sign_ins.make_admin_link(connection, "a-token", "acme", MADE_AT)
    sign_ins.make_admin_link(connection, "another", "acme", MADE_AT + LINK_SECONDS)
    (row,) = connection.execute(select(admin_link)).all()
    assert "another" not in row.token
    assert not sign_ins.take_admin_link(connection, row.token, "acme", MADE_AT + LINK_SECONDS)
