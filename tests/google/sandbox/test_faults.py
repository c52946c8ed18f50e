# SPDX-License-Identifier: MIT
"""The sandbox injects Google's errors body for body, at the chosen place and as often as chosen."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from twisted.web.client import ResponseFailed

from ldapgw.errors import UserError
from ldapgw.google.sandbox.faults import FAULTS
from ldapgw.google.sandbox.grants import Grantee
from ldapgw.google.sandbox.reply import ApiReply
from ldapgw.google.sandbox.tenant import ALICE, BOB
from ldapgw.google.sandbox.workspace import GROUPS_SCOPE, USERS_SCOPE
from ldapgw.google.sandbox.world import World
from tests.support.sandbox_client import BASE, CONTACTS, OTHER, Google

SAMPLES = json.loads((Path(__file__).parents[2] / "data" / "people_samples.json").read_text())["samples"]
# The samples of delegation are left out, because their faults have other names.
ERRORS = [name for name in SAMPLES if "error" in name and not name.startswith("delegation")]
BOTH = f"openid email {CONTACTS} {OTHER}"


@pytest.mark.parametrize("name", ERRORS)
def test_errors_are_googles(name: str) -> None:
    """Each error has the status, headers and body of the sample with the same name."""
    happens, sample = FAULTS[name].effect, SAMPLES[name]
    assert isinstance(happens, ApiReply)
    body = happens.body.decode() if isinstance(sample["body"], str) else json.loads(happens.body)
    assert {"status": happens.status, "headers": dict(happens.headers), "body": body} == {
        key: sample[key] for key in ("status", "headers", "body")
    }


@pytest.mark.parametrize("name", [name for name, fault in FAULTS.items() if isinstance(fault.effect, ApiReply)])
def test_injected_error_arrives(google: Google, world: World, name: str) -> None:
    """The next call to the endpoint gets the error's status, headers and body. Later calls succeed."""
    tokens = google.connect()
    world.workspaces.set_group("g@acme.example", "G", ())
    grantee = Grantee(world.account(ALICE).sub, "1")
    admin_token = world.grants.issue_access(grantee, (USERS_SCOPE, GROUPS_SCOPE))
    photo = world.add_photo(ALICE, world.add_person(ALICE, {"names": [{"givenName": "Ada"}]}), b"photo") + "=s240"
    members = "/admin/directory/v1/groups/g@acme.example/members"
    calls = {
        "/token": lambda: google.refresh(tokens["refresh_token"]),
        "/revoke": lambda: google.form("/revoke", token=tokens["access_token"]),
        "/v1/": lambda: google.connections(tokens["access_token"]),
        "/admin/": lambda: google.people("/admin/directory/v1/users", admin_token, customer="my_customer"),
        "/admin/directory/v1/groups/": lambda: google.people(members, admin_token),
        "/a/": lambda: google.request("GET", photo),
    }
    world.faults.inject(name, times=1)
    fault, call = FAULTS[name], calls[FAULTS[name].prefix]
    answer = call()
    assert isinstance(fault.effect, ApiReply)
    assert (answer.status, answer.body) == (fault.effect.status, fault.effect.body)
    assert {header: answer.header(header) for header, _ in fault.effect.headers} == dict(fault.effect.headers)
    assert call().status == 200


def test_how_often(google: Google, world: World) -> None:
    """A fault happens a number of times, or until a script clears the fault. The oldest fault comes first."""
    token = google.connect()["access_token"]
    world.faults.inject("error_unavailable_503", times=2)
    world.faults.inject("error_internal_500")
    assert [google.connections(token).status for _ in range(4)] == [503, 503, 500, 500]
    world.faults.clear()
    assert google.connections(token).status == 200


def test_after_how_many(google: Google, world: World) -> None:
    """Only calls to the fault's path count, also calls that another fault has answered."""
    token = google.connect()["access_token"]
    world.faults.inject("error_internal_500", times=1, after=2, path="/v1/people/me/connections")
    world.faults.inject("error_unavailable_503", times=1)
    assert google.people("/v1/contactGroups", token).status == 503
    assert [google.connections(token).status for _ in range(4)] == [200, 200, 500, 200]
    world.faults.inject("error_internal_500", after=1)
    world.faults.inject("error_unavailable_503", times=1)
    assert [google.connections(token).status for _ in range(3)] == [503, 500, 500]


def test_whom_and_where(google: Google, world: World) -> None:
    """A fault may apply to a single account and to a single endpoint."""
    alice, bob = (google.connect(who, scope=BOTH) for who in (ALICE, BOB))
    others = {"readMask": "names"}
    world.faults.inject("error_internal_500", account=ALICE, path="/v1/otherContacts")
    assert google.people("/v1/otherContacts", alice["access_token"], **others).status == 500
    assert google.people("/v1/otherContacts", bob["access_token"], **others).status == 200
    assert google.connections(alice["access_token"]).status == 200
    world.faults.inject("token_error_invalid_grant_revoked", account=BOB)
    assert google.refresh(alice["refresh_token"]).status == 200
    assert google.refresh(bob["refresh_token"]).status == 400
    world.faults.inject("revoke_error_already_gone", account=BOB)
    assert google.form("/revoke", token=bob["refresh_token"]).status == 400
    assert google.form("/revoke", token=alice["refresh_token"]).status == 200


def test_exchange_of_an_accounts_code_can_fail(google: Google, world: World) -> None:
    """A code belongs to its account, so the fault of another account does not apply."""
    code = google.agree(ALICE).query["code"]
    world.faults.inject("token_error_503_html", account=BOB)
    world.faults.inject("token_error_admin_policy", account=ALICE, times=1)
    assert google.exchange(code).json["error"] == "admin_policy_enforced"
    assert google.exchange(code).status == 200


def test_expired_token_still_names_its_account(google: Google, world: World) -> None:
    """A fault for an account also applies to calls with an expired token."""
    token = google.connect()["access_token"]
    world.faults.inject("error_internal_500", account=ALICE)
    world.advance(4000)
    assert google.connections(token).status == 500


def test_authorization_endpoint_can_fail_too(google: Google, world: World) -> None:
    """A fault may name the path of the authorization endpoint."""
    world.faults.inject("error_internal_500", path="/o/oauth2/v2/auth", times=1)
    assert google.authorize().status == 500
    assert google.authorize().status == 200


def test_empty_page(google: Google, world: World) -> None:
    """The first page is empty with a next token, and the second page has everybody."""
    token = google.connect()["access_token"]
    world.faults.inject("broken_empty_page", times=1)
    empty = google.connections(token).json
    assert empty.keys() == {"nextPageToken", "totalPeople", "totalItems"}
    rest = google.connections(token, pageToken=empty["nextPageToken"]).json
    assert (len(rest["connections"]), "nextSyncToken" in rest) == (300, True)


@pytest.mark.parametrize(
    ("fault", "persons"),
    [
        ("broken_short_list", lambda whole: whole[::2]),
        ("broken_few_missing", lambda whole: [one for at, one in enumerate(whole) if at % 20]),
        ("broken_no_list", lambda _: None),
        ("broken_twice", lambda whole: whole * 2),
        ("broken_no_sync_token", lambda whole: whole),
        ("broken_too_large", lambda whole: whole),
    ],
)
def test_lists_that_are_damaged(google: Google, world: World, fault: str, persons: Any) -> None:
    """Only the persons differ, except for a missing sync token or a large size in two faults."""
    token = google.connect()["access_token"]
    whole = google.connections(token).json
    world.faults.inject(fault)
    answer = google.connections(token)
    expected = {**whole, "connections": persons(whole["connections"])}
    if fault == "broken_no_sync_token":
        del expected["nextSyncToken"]
    assert answer.json == {key: value for key, value in expected.items() if value is not None}
    assert (len(answer.body) > 17 << 20) == (fault == "broken_too_large")


@pytest.mark.parametrize("name", ["broken_cut_off", "broken_connection_lost"])
def test_answer_that_does_not_come_whole(google: Google, world: World, name: str) -> None:
    """The connection closes during or before the answer, but the request has taken effect."""
    token = google.connect()["access_token"]
    world.faults.inject(name, times=1)
    with pytest.raises(ResponseFailed):
        google.form("/revoke", token=token)
    assert google.form("/revoke", token=token).status == 400


def test_answer_that_never_comes(google: Google, world: World) -> None:
    """The silence lasts until the client gives up."""
    world.faults.inject("broken_silence", times=1)
    outcomes: list[Any] = []
    waiting = google.http.request("POST", f"{BASE}/revoke", data=b"")
    waiting.addBoth(outcomes.append)
    google.http.flush()
    assert outcomes == []
    waiting.cancel()
    assert len(outcomes) == 1
    assert google.form("/revoke").status == 400


def test_calls_are_counted(google: Google, world: World) -> None:
    """Every call to an endpoint counts, also a failed call. Calls of pages do not count."""
    google.connections(google.connect()["access_token"])
    world.faults.inject("error_internal_500", times=1)
    google.connections("made up")
    google.request("GET", "/")
    assert dict(world.calls) == {"/o/oauth2/v2/auth": 1, "/token": 1, "/v1/people/me/connections": 2}


def test_a_fault_happens_once_at_least(world: World) -> None:
    with pytest.raises(UserError, match="times = 0: expected 1 or more"):
        world.faults.inject("error_internal_500", times=0)
