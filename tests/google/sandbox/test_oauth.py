# SPDX-License-Identifier: MIT
"""The tests cover the token and revocation endpoints, their refusals, and the end of grants."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import replace
from functools import partial

import jwt
import pytest

from ldapgw.google.sandbox.tenant import ALICE, BOB, CAROL, CLIENT_ID, CLIENT_SECRET, REDIRECT_URIS
from ldapgw.google.sandbox.world import World
from tests.support.google_changes import rename_account
from tests.support.sandbox_client import AUTH, CONTACTS, OTHER, START, VERIFIER, Clock, Google, claims

EMAIL = AUTH + "userinfo.email"


def test_exchange_gives_everything_a_gateway_needs(google: Google) -> None:
    """The code gives an access token, a refresh token, the granted scopes and an identity."""
    answer = google.exchange(google.agree().query["code"])
    tokens = answer.json
    assert answer.status == 200
    assert answer.header("content-type") == "application/json; charset=utf-8"
    assert answer.header("cache-control") == "no-cache, no-store, max-age=0, must-revalidate"
    assert set(tokens) == {"access_token", "expires_in", "refresh_token", "scope", "token_type", "id_token"}
    assert tokens["access_token"].startswith("ya29.")
    assert tokens["refresh_token"].startswith("1//")
    assert (tokens["expires_in"], tokens["token_type"]) == (3599, "Bearer")
    assert set(tokens["scope"].split()) == {"openid", EMAIL, CONTACTS}


def test_identity_token_of_a_workspace_account(google: Google, world: World) -> None:
    """The claims are the same as Google's, and the published key verifies the signature.

    A fault breaks the signature.
    """
    tokens = google.connect()
    (key,) = google.request("GET", "/oauth2/v3/certs").json["keys"]
    verify = partial(jwt.PyJWS().decode, key=jwt.PyJWK(key), algorithms=["RS256"])
    verify(tokens["id_token"])
    world.faults.inject("broken_signature", times=1)
    with pytest.raises(jwt.InvalidSignatureError):
        verify(google.connect()["id_token"])
    assert jwt.get_unverified_header(tokens["id_token"])["kid"] == key["kid"]
    half = hashlib.sha256(tokens["access_token"].encode()).digest()[:16]
    assert claims(tokens["id_token"]) == {
        "iss": "https://accounts.google.com",
        "azp": CLIENT_ID,
        "aud": CLIENT_ID,
        "sub": world.account(ALICE).sub,
        "hd": "acme.example",
        "email": ALICE,
        "email_verified": True,
        "at_hash": base64.urlsafe_b64encode(half).decode().rstrip("="),
        "nonce": "a nonce",
        "iat": int(START),
        "exp": int(START) + 3600,
    }


def test_identity_token_of_a_consumer(google: Google) -> None:
    """A consumer's identity has no hd. The profile scope adds names, and only the e-mail scope adds an address."""
    assert "hd" not in claims(google.connect(CAROL)["id_token"])
    named = claims(google.connect(CAROL, scope="openid profile")["id_token"])
    assert (named["name"], named["given_name"], named["family_name"]) == ("Carol Sandmann", "Carol", "Sandmann")
    assert "email" not in named
    assert "id_token" not in google.connect(CAROL, scope=CONTACTS)


def test_sub_is_the_same_at_each_start_and_after_a_change_of_address(google: Google, world: World) -> None:
    """The sub identifies an account, and the address may change."""
    assert world.account(ALICE).sub == "106433983229662625603"
    rename_account(world, ALICE, "alice.new@acme.example")
    told = claims(google.connect("alice.new@acme.example")["id_token"])
    assert (told["sub"], told["email"]) == ("106433983229662625603", "alice.new@acme.example")
    assert list(world.accounts) == ["alice.new@acme.example", BOB, CAROL]


@pytest.mark.parametrize(
    ("changes", "given"),
    [
        ({"access_type": "offline", "prompt": "consent"}, True),
        ({"access_type": "offline", "prompt": None}, True),
        ({"access_type": "online", "prompt": "consent"}, False),
        ({"access_type": None, "prompt": "consent"}, False),
    ],
    ids=["offline and consent", "offline, first time", "online", "neither"],
)
def test_refresh_token_needs_offline_access(google: Google, changes: dict[str, str], given: bool) -> None:
    """A refresh token comes only with access_type=offline."""
    assert ("refresh_token" in google.connect(**changes)) is given


def test_refresh_answers_without_a_refresh_token(google: Google) -> None:
    """A refresh gives a new access token, the same scopes, an identity without nonce, and no refresh token."""
    first = google.connect()
    second = google.refresh(first["refresh_token"]).json
    assert set(second) == {"access_token", "expires_in", "scope", "token_type", "id_token"}
    assert second["access_token"] != first["access_token"]
    assert second["scope"] == first["scope"]
    assert "nonce" not in claims(second["id_token"])
    assert google.connections(first["access_token"]).status == 200
    assert google.connections(second["access_token"]).status == 200


def test_code_is_good_once(google: Google) -> None:
    """A second exchange of a code is refused."""
    code = google.agree().query["code"]
    assert google.exchange(code).status == 200
    assert google.exchange(code).json == {"error": "invalid_grant", "error_description": "Bad Request"}


def test_code_expires(google: Google, clock: Clock) -> None:
    """A late exchange of a code is refused."""
    code = google.agree().query["code"]
    clock.now += 601
    assert google.exchange(code).json["error"] == "invalid_grant"


@pytest.mark.parametrize(
    ("changes", "status", "error", "description"),
    [
        ({"redirect_uri": REDIRECT_URIS[1]}, 400, "redirect_uri_mismatch", "Bad Request"),
        ({"code_verifier": "x" * 43}, 400, "invalid_grant", "Invalid code verifier."),
        ({"code_verifier": ""}, 400, "invalid_grant", "Missing code verifier."),
        ({"client_secret": "wrong"}, 401, "invalid_client", "Unauthorized"),
        ({"client_id": "nobody"}, 401, "invalid_client", "The OAuth client was not found."),
        ({"client_id": "other"}, 400, "invalid_grant", "Bad Request"),
        ({"client_id": ""}, 400, "invalid_request", "Could not determine client ID from request."),
        ({"client_secret": ""}, 400, "invalid_request", "client_secret is missing."),
        ({"redirect_uri": ""}, 400, "invalid_request", "Missing required parameter: redirect_uri"),
        ({"code": ""}, 400, "invalid_request", "Missing required parameter: code"),
        ({"code": "4/made-up"}, 400, "invalid_grant", "Malformed auth code."),
        ({"grant_type": ""}, 400, "invalid_request", "Missing required parameter: grant_type"),
        ({"grant_type": "password"}, 400, "unsupported_grant_type", "Invalid grant_type: password"),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_exchange_refuses(
    google: Google, world: World, changes: dict[str, str], status: int, error: str, description: str
) -> None:
    """A code is bound to its redirect URI, verifier and client."""
    world.register(replace(world.clients[CLIENT_ID], client_id="other"))
    answer = google.exchange(google.agree().query["code"], **changes)
    assert (answer.status, answer.json) == (status, {"error": error, "error_description": description})


@pytest.mark.parametrize("method", ["plain", None], ids=["plain", "no PKCE"])
def test_other_kinds_of_pkce(google: Google, method: str | None) -> None:
    """A plain challenge is compared literally. Without a challenge, no verifier is needed."""
    challenge = "v" * 43 if method else None
    code = google.agree(code_challenge=challenge, code_challenge_method=method).query["code"]
    assert google.exchange(code, code_verifier="v" * 43 if method else "").status == 200


def test_client_may_use_http_basic(google: Google) -> None:
    """The Authorization header has id and secret (RFC 6749 2.3.1)."""
    code = google.agree().query["code"]
    basic = base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode()
    fields = {"grant_type": "authorization_code", "code": code, "redirect_uri": REDIRECT_URIS[0]}
    fields["code_verifier"] = VERIFIER
    assert google.form("/token", {"Authorization": "Basic !"}, **fields).status == 401
    assert google.form("/token", {"Authorization": f"Basic {basic}"}, **fields).status == 200


def test_access_token_expires(google: Google, clock: Clock) -> None:
    """An access token lives 3599 seconds. A refresh gives a new access token."""
    tokens = google.connect()
    clock.now += 3598
    assert google.connections(tokens["access_token"]).status == 200
    clock.now += 1
    assert google.connections(tokens["access_token"]).status == 401
    assert google.connections(google.refresh(tokens["refresh_token"]).json["access_token"]).status == 200


def test_testing_client_says_when_consent_dies(google: Google, world: World, clock: Clock) -> None:
    """A project in Testing gets refresh_token_expires_in, and its grants end after 7 days."""
    world.set_client(audience="testing")
    tokens = google.connect()
    assert tokens["refresh_token_expires_in"] == 604799
    clock.now += 604798
    assert google.refresh(tokens["refresh_token"]).status == 200
    clock.now += 1
    expired = google.refresh(tokens["refresh_token"])
    assert (expired.status, expired.json["error_description"]) == (400, "Token has been expired or revoked.")
    assert "refresh_token_expires_in" not in google.connect(scope="openid email")


def test_refresh_token_dies_of_disuse(google: Google, clock: Clock) -> None:
    """Six months without use end a refresh token, and each use keeps the token alive."""
    token = google.connect()["refresh_token"]
    for _ in range(3):
        clock.now += 180 * 86400
        assert google.refresh(token).status == 200
    clock.now += 183 * 86400
    assert google.refresh(token).json["error"] == "invalid_grant"


def test_oldest_of_more_than_a_hundred_refresh_tokens_dies(google: Google) -> None:
    """An account and client have at most a hundred refresh tokens. The next token silently ends the oldest token."""
    tokens = [google.connect()["refresh_token"] for _ in range(101)]
    assert google.refresh(tokens[0]).status == 400
    assert google.refresh(tokens[1]).status == 200
    assert google.refresh(tokens[-1]).status == 200


@pytest.mark.parametrize("kind", ["refresh_token", "access_token"])
def test_revocation_ends_the_whole_grant(google: Google, kind: str) -> None:
    """Revoking a token ends all tokens of this account and client. A second revocation fails."""
    first, second, others = google.connect(), google.connect(), google.connect(BOB)
    done = google.form("/revoke", token=first[kind])
    assert (done.status, done.json) == (200, {})
    assert google.refresh(first["refresh_token"]).json["error"] == "invalid_grant"
    assert google.refresh(second["refresh_token"]).json["error"] == "invalid_grant"
    assert google.connections(second["access_token"]).status == 401
    assert google.refresh(others["refresh_token"]).status == 200
    again = google.form("/revoke", token=first[kind])
    assert (again.status, again.json["error"]) == (400, "invalid_token")


def test_revocation_needs_a_token_and_takes_it_from_the_query(google: Google) -> None:
    """The token may stand in the query. A request without a token is invalid."""
    assert google.form("/revoke").json["error"] == "invalid_request"
    assert google.form(f"/revoke?token={google.connect()['access_token']}").status == 200


@pytest.mark.parametrize(
    ("state", "error"), [("unknown", "invalid_client"), ("deleted", "deleted_client")], ids=["unknown", "deleted"]
)
def test_rejected_client(google: Google, world: World, state: str, error: str) -> None:
    """A missing client gets 401 at both endpoints. The grants work again when the client is back."""
    token = google.connect()["refresh_token"]
    world.set_client(state=state)
    assert google.authorize().status == 401
    answer = google.refresh(token)
    assert (answer.status, answer.json["error"]) == (401, error)
    world.set_client(state="ok")
    assert google.refresh(token).status == 200


def test_made_up_refresh_token(google: Google) -> None:
    """Any other text gets Google's unspecific answer, and a missing token is named."""
    assert google.refresh("made up").json["error_description"] == "Bad Request"
    assert google.refresh("").json["error_description"] == "Missing required parameter: refresh_token"


def test_include_granted_scopes_adds_what_was_granted_before(google: Google) -> None:
    """The new tokens have the earlier scopes too."""
    google.connect()
    tokens = google.connect(scope=f"openid email {OTHER}", include_granted_scopes="true")
    assert set(tokens["scope"].split()) == {"openid", EMAIL, CONTACTS, OTHER}


def test_nothing_shows_a_token(google: Google, world: World) -> None:
    """The reprs of the state and its parts have no tokens, codes or secrets."""
    tokens = google.connect()
    printed = f"{world.grants!r} {world.clients!r} {world.accounts!r} {world!r}"
    assert not any(
        secret in printed
        for secret in (*tokens.values(), CLIENT_SECRET)
        if isinstance(secret, str) and len(secret) > 10
    )


def test_deleted_account(google: Google, world: World) -> None:
    """A deleted account's tokens are refused. The token endpoint uses Google's words."""
    tokens = google.connect(BOB)
    world.delete_account(BOB)
    refused = google.refresh(tokens["refresh_token"])
    assert (refused.status, refused.json["error_description"]) == (400, "Account has been deleted")
    assert google.connections(tokens["access_token"]).status == 401
