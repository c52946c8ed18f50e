# SPDX-License-Identifier: MIT
"""Google is told of those who have left, as soon as it listens."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import select
from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs

from ldapgw.google.endpoints import Client
from ldapgw.google.sandbox.grants import Grantee
from ldapgw.peers.leadership import OnlyGateway
from ldapgw.store import revocations, tables
from ldapgw.sync.tokens import POLL_SECONDS, TokenRevoker
from tests.support.stage.sync import ALICE, CLIENT, Stage, connect, consent

REVOKE = "/revoke"
SIBLING = Client(f"{CLIENT.project}-sibling.apps.googleusercontent.com", "GOCSPX-SIBLING")
OTHER = Client("999999999999-other.apps.googleusercontent.com", "GOCSPX-OTHER")


@pytest.fixture
def stage() -> Iterator[Stage]:
    """Alice has left, and Google does not listen."""
    stage = Stage()
    account = stage.connect()
    stage.database.run(revocations.disconnect_account, account.id, stage.clock.seconds())
    stage.world.faults.inject("error_internal_500", path=REVOKE)
    yield stage
    assert not stage.clock.getDelayedCalls()


def revoker(stage: Stage) -> TokenRevoker:
    found = TokenRevoker(
        clock=stage.clock,
        store=stage.store,
        leader=OnlyGateway(stage.store),
        secret_box=stage.secret_box,
        oauth=stage.oauth,
    )
    found.startService()
    return found


def is_granted(stage: Stage, client: Client = CLIENT) -> bool:
    return bool(stage.world.grants.granted_scopes(Grantee(stage.world.account(ALICE).sub, client.client_id)))


def left(stage: Stage) -> int:
    """Count the grants that are still to be given back."""
    with stage.database.begin() as connection:
        return len(connection.execute(select(tables.revocation)).all())


def test_it_is_tried_until_google_listens(stage: Stage) -> None:
    """A minute later, then after ever longer waits; once it is done nothing is left."""
    service = revoker(stage)
    assert stage.calls() == {}
    minutes = []
    for minute in range(1, 61):
        stage.clock.advance(POLL_SECONDS)
        if stage.calls().get(REVOKE):
            minutes.append(minute)
    assert minutes == [1, 2, 4, 8, 16, 32]
    assert is_granted(stage)
    stage.world.faults.clear()
    stage.clock.advance(POLL_SECONDS * 10)
    assert (is_granted(stage), left(stage)) == (False, 0)
    service.stopService()


def test_after_a_day_it_is_given_up(stage: Stage) -> None:
    """The person was told how to remove the app alone; the log says so."""
    service = revoker(stage)
    stage.clock.pump([POLL_SECONDS] * 1439)
    assert left(stage) == 1
    with capturedLogs() as events:
        stage.clock.pump([POLL_SECONDS] * 120)
    assert (left(stage), is_granted(stage)) == (0, True)
    assert stage.calls()[REVOKE] < 40
    assert [event["tenant"] for event in events if "stops trying" in event["log_format"]] == ["acme"]
    service.stopService()


def test_a_grant_that_is_gone_already_is_given_back(stage: Stage) -> None:
    """As the user wanted it."""
    stage.world.faults.clear()
    stage.world.revoke(ALICE)
    service = revoker(stage)
    stage.clock.advance(POLL_SECONDS)
    assert left(stage) == 0
    service.stopService()


@pytest.mark.parametrize("tenant", ["acme", "beta"])
@pytest.mark.parametrize(
    ("client", "is_kept"),
    [
        pytest.param(CLIENT, True, id="the same client"),
        pytest.param(SIBLING, True, id="a client of the same project"),
        pytest.param(OTHER, False, id="a client of another project"),
    ],
)
def test_a_grant_that_another_consent_depends_on(stage: Stage, tenant: str, client: Client, is_kept: bool) -> None:
    """Alice's account gave the later consent to the client that its tenant has now; her later grant stays valid."""
    stage.world.faults.clear()
    grant = consent(stage.world, ALICE, stage.clock.seconds(), client.client_id)
    stage.database.run(connect, stage.secret_box, grant, tenant)
    service = revoker(stage)
    stage.clock.advance(POLL_SECONDS)
    assert (left(stage), is_granted(stage), is_granted(stage, client)) == (0, is_kept, True)
    service.stopService()


def test_stopping_abandons_a_call(stage: Stage) -> None:
    """It is made again after the next start."""
    stage.world.faults.clear()
    stage.world.faults.inject("broken_silence", path=REVOKE)
    service = revoker(stage)
    stage.clock.advance(POLL_SECONDS)
    ended: Deferred[None] = service.stopService()
    assert ended.called
    assert left(stage) == 1
