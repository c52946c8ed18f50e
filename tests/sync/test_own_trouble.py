# SPDX-License-Identifier: MIT
"""One account's trouble is its own, and a tenant's is named: who has to do what after each of Google's refusals."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import update

from ldapgw.contact import Source
from ldapgw.errors import ClientRejected, ConsentRevoked, GoogleError, GoogleRefused
from ldapgw.google.endpoints import Client
from ldapgw.google.sandbox.world import RegisteredClient
from ldapgw.store.account_status import account_to_json
from ldapgw.store.accounts import SourceState
from ldapgw.store.tables import account as account_table
from ldapgw.sync.retry import Grantor
from tests.support.results import result_of
from tests.support.stage.paths import COLLEAGUES, CONNECTIONS, HOUR, TOKEN
from tests.support.stage.sync import ALICE, ALL_SOURCES, BOB, CLIENT, INTERVAL, Stage, person

NEW_CLIENT = Client("210987654321-example.apps.googleusercontent.com", "GOCSPX-ANOTHER")


def started(*addresses: str, **more: Any) -> Stage:
    """A stage whose accounts are synced by the scheduler, each once so far."""
    stage = Stage(**more)
    for address in addresses:
        stage.connect(address)
        stage.world.add_person(address, person("Ada Riese"))
    stage.start()
    return stage


def change_client(stage: Stage) -> None:
    """Exchange the OAuth client of the tenant in the configuration."""
    stage.world.register(RegisteredClient(NEW_CLIENT.client_id, NEW_CLIENT.client_secret, ("https://x.example/cb",)))
    stage.configure(client=NEW_CLIENT)


def forget_client_id(stage: Stage) -> None:
    """Make Alice's account one that an earlier version has stored."""
    where = account_table.c.id == stage.account().id
    stage.execute(update(account_table).where(where).values(client_id=None))


def pass_time(stage: Stage, seconds: float) -> None:
    """Let time pass in steps of the interval."""
    for _ in range(int(seconds // INTERVAL)):
        stage.clock.advance(INTERVAL)


def status_of(stage: Stage, address: str = ALICE) -> dict[str, Any]:
    """The account in ``status.json``."""
    return account_to_json(stage.account(address), ALL_SOURCES, "https://pages.example/", stage.clock.seconds())


def error_of(stage: Stage, address: str = ALICE) -> dict[str, Any]:
    """The error of ``status.json``; empty if there is none."""
    return status_of(stage, address)["error"] or {}


@pytest.mark.parametrize(
    ("is_known", "code", "message"),
    [
        (True, "consent_revoked", "The Google client has changed"),
        (False, "google_refused", "alice@acme.example granted access to a different Google client"),
    ],
    ids=["known", "of an earlier version"],
)
def test_after_a_change_of_the_client_each_account_needs_a_new_consent(is_known: bool, code: str, message: str) -> None:
    """Whoever consents anew is synced, whatever the others' grants are.

    An account of an earlier version, whose client is not known, has Google's answer as its own trouble.
    """
    stage = started(ALICE, BOB)
    if not is_known:
        forget_client_id(stage)
    change_client(stage)
    stage.connect(BOB, client=NEW_CLIENT)
    result_of(stage.scheduler.refresh())
    stage.calls()
    pass_time(stage, 7 * HOUR)
    error = error_of(stage)
    assert (error["code"], stage.account(ALICE).revoked) == (code, is_known)
    assert message in error["message"]
    assert error_of(stage, BOB) == {}
    assert stage.account(BOB).attempts >= 41
    assert stage.calls()[CONNECTIONS] >= 41


def test_a_change_of_the_client_that_is_undone_needs_no_consent() -> None:
    """Somebody had put the wrong file there: the grants still hold for the client that they were given to."""
    stage = started(ALICE, BOB)
    change_client(stage)
    pass_time(stage, HOUR)
    assert (stage.account(ALICE).revoked, stage.account(BOB).revoked) == (True, True)
    stage.configure(client=CLIENT)
    stage.world.add_person(ALICE, person("Bo Neu"))
    result_of(stage.scheduler.refresh())
    pass_time(stage, HOUR)
    assert (error_of(stage, ALICE), error_of(stage, BOB)) == ({}, {})
    assert stage.names() == ["Ada Riese", "Bo Neu"]


def test_the_present_client_is_entered_at_the_first_good_refresh() -> None:
    """A new secret of the same client is no change."""
    stage = started(ALICE)
    forget_client_id(stage)
    pass_time(stage, 2 * HOUR)
    assert stage.account(ALICE).client_id == CLIENT.client_id
    stage.configure(client=replace(CLIENT, client_secret="GOCSPX-NEW"))
    stage.world.register(RegisteredClient(CLIENT.client_id, "GOCSPX-NEW", ("https://x.example/cb",)))
    pass_time(stage, 2 * HOUR)
    assert error_of(stage) == {}


@pytest.mark.parametrize(("refused", "alarm"), [((ALICE,), False), ((ALICE, BOB), True)])
def test_a_refused_client_counts_for_the_tenant_when_every_account_is_refused(
    refused: tuple[str, ...], alarm: bool
) -> None:
    """Their grants were given to this client."""
    stage = started(ALICE, BOB)
    for address in refused:
        stage.world.faults.inject("token_error_unauthorized_client", account=address)
    pass_time(stage, 3 * HOUR)
    codes = {address: error_of(stage, address).get("code") for address in (ALICE, BOB)}
    assert codes == (
        {ALICE: "client_rejected", BOB: "client_rejected"} if alarm else {ALICE: "google_refused", BOB: None}
    )


def test_two_401_in_a_row_are_the_accounts_own() -> None:
    """Three such accounts do not stop the fourth."""
    stage = started(ALICE, BOB)
    stage.world.faults.inject("error_unauthenticated_401", account=ALICE)
    pass_time(stage, 6 * HOUR)
    error = error_of(stage)
    assert (error["code"], stage.scheduler._circuits.of(Grantor("acme", uses_delegation=False)).failed) == (
        "bad_response",
        frozenset(),
    )
    assert error_of(stage, BOB) == {}


# The fault, where it happens, the code, who it was, and whether there is a call before the person connects again.
REFUSALS = [
    ("token_error_admin_policy", TOKEN, "consent_revoked", "admin", False),
    ("token_error_invalid_grant_reauth", TOKEN, "consent_revoked", "session", False),
    ("token_error_account_disabled", TOKEN, "consent_revoked", "disabled", False),
    ("token_error_interaction_required", TOKEN, "consent_revoked", "user", False),
    ("token_error_invalid_scope", TOKEN, "consent_revoked", "user", False),
    ("token_error_access_denied", TOKEN, "google_refused", "policy", True),
    ("token_error_org_internal", TOKEN, "google_refused", "internal", True),
    ("error_permission_denied_directory_403", CONNECTIONS, "google_refused", "service", True),
    ("error_domain_policy_403", CONNECTIONS, "google_refused", "policy", True),
    ("error_consumer_suspended_403", CONNECTIONS, "client_rejected", None, True),
    ("error_user_project_denied_403", CONNECTIONS, "client_rejected", None, True),
    ("token_error_unknown", TOKEN, "bad_response", "token", True),
]


@pytest.mark.parametrize(("fault", "path", "code", "by", "again"), REFUSALS, ids=[row[0] for row in REFUSALS])
def test_permanent_refusals_have_names(fault: str, path: str, code: str, by: str | None, again: bool) -> None:
    """The account says what happened; the contacts stay, and Google is asked hourly at most or not at all."""
    stage = started(ALICE)
    stage.world.faults.inject(fault, path=path)
    pass_time(stage, 2 * HOUR)
    stage.calls()
    pass_time(stage, 10 * HOUR)
    error = stage.trouble()
    assert (error.code, error.facts.get("by")) == (code, by)
    calls = stage.calls()
    assert bool(calls) == again
    if code == "google_refused":
        assert 8 <= max(calls.values()) <= 12
    assert stage.names() == ["Ada Riese"]
    stage.world.faults.clear()
    if again:
        pass_time(stage, 2 * HOUR)
        assert error_of(stage) == {}


def test_an_unknown_refusal_needs_attention_after_a_day_and_five_tries() -> None:
    """With Google's own word for it; what Google says besides is for the log."""
    stage = started(ALICE)
    stage.world.faults.inject("token_error_unknown")
    pass_time(stage, 12 * HOUR)
    status = status_of(stage)
    assert (status["state"], status["error"]["code"]) == ("ok", "bad_response")
    assert "“context_aware_block”" in status["error"]["message"]
    pass_time(stage, 36 * HOUR)
    assert status_of(stage)["state"] == "attention"


def test_a_consumer_account_is_not_asked_for_a_directory() -> None:
    """Its id_token was seen and had no domain; of an account from before that is not known."""
    stage = Stage(sources=ALL_SOURCES)
    stage.connect(hd="")
    stage.sync()
    assert COLLEAGUES not in stage.calls()
    assert stage.account().sources[Source.DIRECTORY] is SourceState.UNAVAILABLE
    stage.connect(hd=None)
    stage.sync()
    assert COLLEAGUES in stage.calls()


@pytest.mark.parametrize("error", [ConsentRevoked("x", by="client"), GoogleRefused("x"), ClientRejected("x")])
def test_errors_name_nobody(error: GoogleError) -> None:
    """Their facts are words of ours."""
    assert all(str(fact).isalpha() for fact in error.facts.values())
