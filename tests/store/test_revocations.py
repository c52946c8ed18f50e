# SPDX-License-Identifier: MIT
"""Grants that are to be given back: noted when an account leaves, forgotten when it is back or a day has gone."""

from __future__ import annotations

from dataclasses import replace

import pytest
from cryptography.fernet import Fernet
from sqlalchemy import Connection, select

from ldapgw.contact import Sharing, Source
from ldapgw.store import accounts, revocations, tables, tenants
from ldapgw.store.revocations import FIRST_WAIT, MAX_AGE_SECONDS, Revocation
from ldapgw.store.secrets import SecretBox
from ldapgw.store.tenants import DelegatedUser
from tests.support.stage.sync import GRANT, NOW, connect, read_account


def test_who_leaves_is_forgotten_and_google_is_to_be_told(
    connection: Connection, secret_box: SecretBox, account_id: int
) -> None:
    """The token stays, sealed, for this alone; the first try is left to whoever asked for it."""
    left = revocations.disconnect_account(connection, account_id, NOW)
    assert left is not None
    account = read_account(connection, account_id)
    assert not account.is_connected
    assert accounts.read_tokens(connection, secret_box, account_id) is None
    expected = Revocation(left, "acme", GRANT.sub, GRANT.refresh_token or "", NOW)
    assert revocations.read(connection, secret_box, left) == expected
    assert revocations.read_due(connection, secret_box, NOW + FIRST_WAIT - 1) == ()
    assert revocations.read_due(connection, secret_box, NOW + FIRST_WAIT) == (expected,)
    (sealed,) = connection.execute(select(tables.revocation.c.token)).scalars()
    assert (GRANT.refresh_token or "").encode() not in sealed
    assert (GRANT.refresh_token or "") not in repr(expected)
    assert GRANT.sub not in repr(expected)


def test_a_source_of_an_account_that_has_left_is_not_switched_on(
    connection: Connection, secret_box: SecretBox, account_id: int
) -> None:
    """The account was disconnected during the consent; no token of the consent is stored."""
    known = read_account(connection, account_id)
    revocations.disconnect_account(connection, account_id, NOW)
    before = connection.execute(select(tables.account)).all()
    new = replace(GRANT, refresh_token="another", access_token="another")
    for _ in range(2):
        assert not revocations.switch_on_with_grant(connection, secret_box, known, new, Source.OTHER_CONTACTS, NOW)
        assert connection.execute(select(tables.account)).all() == before
        accounts.remove(connection, account_id, with_phones=True)
        before = []


@pytest.mark.parametrize(
    ("former", "later", "token", "is_revoked"),
    [
        ("1-a.example", "2-a.example", "another", True),
        ("1-a.example", "1-b.example", "another", False),
        ("1-a.example", "1-a.example", "another", False),
        (None, "2-a.example", "another", False),
        ("1-a.example", None, "another", False),
        ("1-a.example", "2-a.example", None, False),
    ],
    ids=["another project", "another client", "the same client", "unknown before", "unknown now", "no refresh token"],
)
def test_a_grant_that_a_source_replaces_is_to_be_revoked(
    connection: Connection,
    secret_box: SecretBox,
    former: str | None,
    later: str | None,
    token: str | None,
    *,
    is_revoked: bool,
) -> None:
    """The former grant is revoked only if the new grant is certainly of another project, and has a refresh token."""
    account_id = connect(connection, secret_box, replace(GRANT, client_id=former))
    known = read_account(connection, account_id)
    new = replace(GRANT, client_id=later, refresh_token=token)
    assert revocations.switch_on_with_grant(connection, secret_box, known, new, Source.OTHER_CONTACTS, NOW)
    expected = Revocation(1, "acme", GRANT.sub, GRANT.refresh_token or "", NOW, client_id=former)
    assert revocations.read_due(connection, secret_box, NOW + FIRST_WAIT) == ((expected,) if is_revoked else ())


def test_nothing_is_to_be_told_twice(connection: Connection, secret_box: SecretBox, account_id: int) -> None:
    """Of a grant that was revoked before, of one that is not there, of one that is done."""
    assert revocations.disconnect_account(connection, account_id, NOW, revoked=True) is None
    assert revocations.disconnect_account(connection, account_id, NOW) is None
    assert revocations.disconnect_account(connection, 99, NOW) is None
    assert revocations.read_due(connection, secret_box, NOW + FIRST_WAIT) == ()


def test_it_is_tried_again_when_it_is_time(connection: Connection, secret_box: SecretBox, account_id: int) -> None:
    """Until it is done."""
    left = revocations.disconnect_account(connection, account_id, NOW)
    assert left is not None
    revocations.postpone(connection, left, NOW + 500)
    assert [len(revocations.read_due(connection, secret_box, NOW + wait)) for wait in (499, 500)] == [0, 1]
    assert revocations.is_pending(connection, left)
    revocations.remove(connection, left)
    assert revocations.read_due(connection, secret_box, NOW + 500) == ()
    assert revocations.read(connection, secret_box, left) is None
    assert not revocations.is_pending(connection, left)


def test_an_account_that_was_disconnected_by_a_clock_ahead(
    connection: Connection, secret_box: SecretBox, account_id: int
) -> None:
    """Once the clock is right, the grant is revoked at once; after a failure, the attempts last for a day."""
    left = revocations.disconnect_account(connection, account_id, NOW + 365 * MAX_AGE_SECONDS)
    assert left is not None
    assert [one.id for one in revocations.read_due(connection, secret_box, NOW)] == [left]
    revocations.postpone(connection, left, NOW + FIRST_WAIT)
    assert revocations.read_due(connection, secret_box, NOW) == ()
    [again] = revocations.read_due(connection, secret_box, NOW + FIRST_WAIT)
    ends = NOW + FIRST_WAIT + MAX_AGE_SECONDS
    assert [again.is_expired(at) for at in (ends - 1, ends)] == [False, True]


def test_the_end_of_a_revocation_is_not_that_of_another_one(
    connection: Connection, secret_box: SecretBox, account_id: int
) -> None:
    """A gateway ends its revocation by the id, which no other revocation has."""
    revoking = revocations.disconnect_account(connection, account_id, NOW)
    connect(connection, secret_box)
    other = revocations.disconnect_account(connection, account_id, NOW)
    assert revoking is not None
    revocations.remove(connection, revoking)
    assert [one.id for one in revocations.read_due(connection, secret_box, NOW + FIRST_WAIT)] == [other]


def test_a_day_is_enough(connection: Connection, secret_box: SecretBox, account_id: int) -> None:
    """If it was tried: a clock that is ahead does not end what was not begun."""
    left = revocations.disconnect_account(connection, account_id, NOW)
    assert left is not None
    (untried,) = revocations.read_due(connection, secret_box, NOW + MAX_AGE_SECONDS)
    revocations.postpone(connection, left, NOW)
    (tried,) = revocations.read_due(connection, secret_box, NOW + MAX_AGE_SECONDS)
    over = [one.is_expired(NOW + after) for one in (untried, tried) for after in (MAX_AGE_SECONDS - 1, MAX_AGE_SECONDS)]
    assert over == [False, False, False, True]


def test_a_token_that_cannot_be_read_is_forgotten(connection: Connection, account_id: int) -> None:
    """With the key, what it could be told by is lost."""
    left = revocations.disconnect_account(connection, account_id, NOW)
    other = SecretBox([Fernet.generate_key()])
    assert revocations.read(connection, other, left or 0) is None
    assert revocations.read_due(connection, other, NOW + FIRST_WAIT) == ()
    assert connection.execute(select(tables.revocation)).all() == []


@pytest.mark.parametrize("tenant", ["acme", "beta"])
@pytest.mark.parametrize(
    ("client_id", "other", "is_shared"),
    [
        ("1-a.example", "1-a.example", True),
        ("1-a.example", "1-b.example", True),
        ("1-a.example", "2-a.example", False),
        (None, "2-a.example", True),
        ("1-a.example", None, True),
    ],
    ids=["the same client", "the same project", "another project", "a grant of an unknown client", "an unknown client"],
)
def test_an_account_depends_on_the_grants_to_its_project(
    connection: Connection,
    secret_box: SecretBox,
    tenant: str,
    client_id: str | None,
    other: str | None,
    is_shared: bool,
) -> None:
    """The account may be the same account, which is connected again; another user's account does not depend on them."""
    account_id = connect(connection, secret_box, replace(GRANT, client_id=client_id))
    left = revocations.disconnect_account(connection, account_id, NOW)
    pending = revocations.read(connection, secret_box, left or 0)
    assert pending is not None
    assert pending.client_id == client_id
    assert not revocations.is_shared(connection, client_id, GRANT.sub)
    connect(connection, secret_box, replace(GRANT, client_id=other), tenant)
    assert revocations.is_shared(connection, pending.client_id, GRANT.sub) is is_shared
    assert not revocations.is_shared(connection, pending.client_id, "somebody else")


def test_a_delegated_account_depends_on_no_grant(connection: Connection, secret_box: SecretBox) -> None:
    """The service account reads the contacts without a grant of the user."""
    values = {"scopes": frozenset(), "sharing": Sharing.PRIVATE, "shared_label": "", "now": NOW}
    tenants.apply_users(connection, "beta", [DelegatedUser(GRANT.sub, "alice@acme.example")], {}, (), **values)
    assert not revocations.is_shared(connection, None, GRANT.sub)
