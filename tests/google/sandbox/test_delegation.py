# SPDX-License-Identifier: MIT
"""The sandbox is as strict as Google with a service account's JWT, scopes and users."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jwt
import pytest

from ldapgw.google.delegation import read_key_file
from ldapgw.google.sandbox.delegation import GRANT_TYPE
from ldapgw.google.sandbox.tenant import ALICE, BOB, CAROL, SERVICE_ACCOUNT
from ldapgw.google.sandbox.workspace import GROUPS_SCOPE, USERS_SCOPE
from ldapgw.google.sandbox.world import World
from tests.support.sandbox_client import CONTACTS, OTHER, START, Answer, Google

AUDIENCE = "https://oauth2.googleapis.com/token"
SCOPES = (CONTACTS, USERS_SCOPE, GROUPS_SCOPE)


@pytest.fixture(autouse=True)
def _authorized(google: Google) -> None:
    google.control("authorize-service-account", scopes=", ".join(SCOPES))


def claims(**changes: Any) -> dict[str, Any]:
    given = {"iss": SERVICE_ACCOUNT, "sub": BOB, "aud": AUDIENCE, "scope": CONTACTS}
    return {**given, "iat": int(START), "exp": int(START) + 3600, **changes}


def request(google: Google, *, algorithm: str = "RS256", **changes: Any) -> Answer:
    """Request a token with the key file that the sandbox offers. None leaves out a claim."""
    key: Any = read_key_file(google.request("GET", "/sandbox/service-account.json").body).private_key
    if algorithm != "RS256":
        key = "not the key, but a text of 32 octets or more"
    given = {name: value for name, value in claims(**changes).items() if value is not None}
    return google.form("/token", grant_type=GRANT_TYPE, assertion=jwt.encode(given, key, algorithm))


def error(answer: Answer) -> tuple[int, str, str]:
    return answer.status, answer.json["error"], answer.json["error_description"].partition(".")[0]


def test_a_token_reads_the_data_of_its_user(google: Google) -> None:
    """The answer has neither a refresh token nor scopes. The token ends in dots, and reads only the user's data."""
    answer = request(google)
    assert answer.json.keys() == {"access_token", "expires_in", "token_type"}
    token = answer.json["access_token"]
    assert (token[:7], token[-9:]) == ("ya29.c.", ".........")
    people = google.connections(token)
    assert people.json["totalItems"] == 40
    others = google.people("/v1/otherContacts", token, readMask="names")
    assert others.status == 403


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"algorithm": "HS256"}, (400, "invalid_grant", "Invalid JWT Signature")),
        ({"iss": "nobody@x.iam.gserviceaccount.com"}, (400, "invalid_grant", "Invalid grant: account not found")),
        ({"aud": "https://accounts.google.com/o/oauth2/token"}, (400, "invalid_grant", "Invalid JWT: Failed")),
        ({"exp": int(START) + 3601}, (400, "invalid_grant", "Invalid JWT: Token")),
        ({"iat": int(START) - 4000, "exp": int(START) - 400}, (400, "invalid_grant", "Invalid JWT: Token")),
        ({"iat": START * 1000}, (400, "invalid_grant", "Invalid JWT: Token")),
        ({"iat": int(START) + 400}, (400, "invalid_grant", "Invalid JWT: Token")),
        ({"scope": ""}, (400, "invalid_scope", "Invalid OAuth")),
        ({"scope": f"{CONTACTS},{OTHER}"}, (400, "invalid_scope", "Invalid OAuth")),
        ({"sub": None}, (400, "invalid_grant", "Not a valid email or user ID")),
        ({"sub": "nobody@acme.example"}, (400, "invalid_grant", "Invalid email or User ID")),
        ({"scope": OTHER}, (401, "unauthorized_client", "Client is")),
        ({"sub": CAROL}, (401, "unauthorized_client", "Client is")),
        ({"scope": f"{CONTACTS} {OTHER}"}, (403, "access_denied", "Requested client not authorized")),
    ],
)  # fmt: skip
def test_the_jwt_is_checked(google: Google, changes: dict[str, Any], expected: tuple[int, str, str]) -> None:
    """Each check has Google's own error."""
    found = error(request(google, **changes))
    assert found[:2] == expected[:2]
    assert found[2].startswith(expected[2])


def test_an_assertion_that_is_no_jwt(google: Google) -> None:
    """The sandbox refuses any such assertion."""
    for assertion in ("", "a", "a.b.c", "e30.e30", "e30.W10.", "W10.e30.x"):
        assert google.form("/token", grant_type=GRANT_TYPE, assertion=assertion).status == 400


def test_users_come_and_go(google: Google, world: World) -> None:
    """A user who never signed in, or is suspended, archived or deleted, gets no token.

    A user who comes back gets a token.
    """
    token = request(google).json["access_token"]
    refresh_token = google.connect(BOB)["refresh_token"]
    google.control("set-user", account=BOB, signed_in=False)
    assert error(request(google))[:2] == (403, "access_denied")
    for name in ("suspended", "archived"):
        google.control("set-user", account=BOB, signed_in=True, **{name: True})
        assert error(request(google))[2] == "Invalid email or User ID"
        assert google.connections(token).status == 401
        assert google.refresh(refresh_token).json["error"] == "account_disabled"
        google.control("set-user", account=BOB, **{name: "false"})
        assert request(google).status == 200
    former = world.account(BOB).sub
    google.control("delete-user", account=BOB)
    assert error(request(google))[2] == "The account has been deleted"
    assert world.add_account(BOB, "Bob", "Zwei", hd="acme.example").sub != former
    assert request(google).status == 200


def test_a_leaver_vanishes_from_the_directory(google: Google, world: World) -> None:
    """The profile of a suspended user is gone until the user is back."""
    person = {"names": [{"givenName": "Bob"}], "emailAddresses": [{"value": BOB}]}
    world.add_person(ALICE, person, "directory")
    before = len(world.persons_of(ALICE, "directory"))
    google.control("set-user", account=BOB, suspended=True)
    assert len(world.persons_of(ALICE, "directory")) == before - 1
    google.control("set-user", account=BOB, suspended=False)
    assert len(world.persons_of(ALICE, "directory")) == before


def test_the_service_account_can_end(google: Google) -> None:
    """A replaced key, and a disabled or deleted service account, get Google's errors."""
    key = read_key_file(google.request("GET", "/sandbox/service-account.json").body)
    google.control("replace-key")
    old = google.form("/token", grant_type=GRANT_TYPE, assertion=jwt.encode(claims(), key.private_key, "RS256"))
    assert error(old)[2] == "Invalid JWT Signature"
    assert request(google).status == 200
    google.control("set-service-account", state="disabled")
    assert error(request(google))[:2] == (401, "disabled_client")
    google.control("set-service-account", state="deleted")
    assert error(request(google))[2] == "Invalid grant: account not found"
    google.control("set-service-account", state="ok")
    google.control("authorize-service-account", client_id=key.client_id, scopes="")
    assert error(request(google))[:2] == (401, "unauthorized_client")


def test_faults_of_delegation_leave_consents_alone(google: Google, world: World) -> None:
    """An injected refusal reaches only the service account's request for this user."""
    tokens = google.connect(BOB)
    world.faults.inject("delegation_bad_key", account=BOB)
    assert google.refresh(tokens["refresh_token"]).status == 200
    assert error(request(google))[2] == "Invalid JWT Signature"
    assert request(google, sub=ALICE).status == 200


def test_another_sandbox_has_its_own_audience(google: Google, world: World) -> None:
    """A sandbox on a port expects its own token endpoint."""
    world.issuer = "http://127.0.0.1:8090"
    assert request(google).status == 400
    assert request(google, aud="http://127.0.0.1:8090/token").status == 200


def test_the_state_shows_no_key(google: Google, world: World) -> None:
    """The state lists the authorized scopes and the groups."""
    google.control("set-group", group="sales@acme.example", members=f"{ALICE}, {BOB}")
    state = google.request("GET", "/sandbox/state")
    (account,) = state.json["service_accounts"]
    assert account["scopes"] == {"acme.example": sorted(SCOPES)}
    group = {"group": "sales@acme.example", "name": "sales", "members": [ALICE, BOB]}
    assert state.json["groups"] == [group]
    assert "PRIVATE" not in state.text + repr(replace(world.workspaces.service_account()))
