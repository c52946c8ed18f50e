# SPDX-License-Identifier: MIT
"""The tests cover service accounts, with the key file, the signed request for a token, and Google's refusals."""

from __future__ import annotations

import json
from typing import Any

import jwt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ldapgw.errors import (
    BadResponse,
    DelegationRefused,
    GoogleError,
    GoogleUnavailable,
    QuotaExceeded,
    UnknownRefusal,
)
from ldapgw.google.delegation import (
    REFUSAL_TEXTS,
    REFUSED_TENANT,
    RESPONSIBLE,
    DelegationRefusal,
    UnfitKeyFile,
    read_key_file,
)
from ldapgw.google.oauth import Grant, OAuth
from tests.support.examples import examples
from tests.support.results import result_of

from .double import ENDPOINTS, NOW, Google, clock_at, ok
from .service_account import EMAIL, key_file, private_key

SCOPES = ("https://www.googleapis.com/auth/contacts.readonly",)
SUBJECT = "ada@acme.example"
ACCOUNT = read_key_file(key_file())


def request(*answers: Any) -> tuple[Grant, Google]:
    google = Google(*answers)
    oauth = OAuth(google.http, ENDPOINTS, clock_at(NOW + 0.5))
    return result_of(oauth.delegated_grant(ACCOUNT, SUBJECT, SCOPES)), google


def refusal_of(status: int, error: str, description: str = "") -> GoogleError:
    body = json.dumps({"error": error, "error_description": description}).encode()
    with pytest.raises(GoogleError) as caught:
        request((status, {"Content-Type": "application/json"}, body))
    return caught.value


def test_a_key_file_is_read_without_its_token_uri():
    """The service account has the values of the file. Neither the repr nor a comparison uses the key."""
    account = read_key_file(key_file())
    assert (account.client_email, account.client_id) == (EMAIL, "100000000000000000009")
    assert (account.project_id, account.key_id) == ("acme-phones", "0123456789abcdef")
    assert account == ACCOUNT
    assert "rivate" not in repr(account)
    assert "169.254" not in repr(account)


@pytest.mark.parametrize(
    ("octets", "begins"),
    [
        (b"", "The file is not JSON"),
        (b"[" * 9000, "The file is not JSON"),
        (b"[]", "The file is not JSON"),
        (b" " * 20000, "The file is too large"),
        (b'{"web": {"client_id": "1"}}', "The file belongs to an OAuth client"),
        (b'{"installed": {}}', "The file belongs to an OAuth client"),
        (key_file(type="authorized_user"), "The file holds the consent of a person"),
        (key_file(type=None), "The file is not the key of a service account"),
        (key_file(universe_domain="cloud.example"), "The service account belongs to another cloud"),
        (key_file(private_key_id=None), "The file is incomplete"),
        (key_file(client_id=1), "The file is incomplete"),
        (key_file(client_email="a@b\nc"), "The file is incomplete"),
        (key_file(private_key=""), "The file is incomplete"),
        (key_file(private_key=private_key().replace("\n", "\\n")), "The private key is damaged: it has “\\n”"),
        (key_file(private_key=private_key()[:-200]), "The private key is damaged. It should"),
        (key_file(private_key=private_key(1024)), "The private key is damaged. It should"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_unfit_file_is_refused_with_a_reason(octets: bytes, begins: str):
    """The reason is a sentence, and shows nothing of the file."""
    with pytest.raises(UnfitKeyFile) as caught:
        read_key_file(octets)
    (problem,) = caught.value.problems
    assert problem.startswith(begins)
    assert not any(secret in problem for secret in (EMAIL, "BEGIN", "cloud.example"))


def test_the_request_is_a_jwt_for_google_alone():
    """The JWT names the service account, the user and the scopes. Its hour begins 30 s before the request."""
    grant, google = request(ok({"access_token": "ya29.c......", "expires_in": 3599, "token_type": "Bearer"}))
    (sent,) = google.requests
    assert sent.url == ENDPOINTS.token_endpoint
    assert sent.args["grant_type"] == ["urn:ietf:params:oauth:grant-type:jwt-bearer"]
    public = ACCOUNT.private_key.public_key()
    claims = jwt.decode(
        sent.args["assertion"][0], public, ["RS256"], audience=ENDPOINTS.token_endpoint, options={"verify_exp": False}
    )
    issued = int(NOW) - 30
    assert claims == {
        "iss": EMAIL,
        "sub": SUBJECT,
        "aud": ENDPOINTS.token_endpoint,
        "scope": SCOPES[0],
        "iat": issued,
        "exp": issued + 3600,
    }
    assert grant == Grant("ya29.c......", NOW + 0.5 + 3599, None, frozenset(SCOPES), None, None)


@pytest.mark.parametrize(
    ("status", "error", "description", "refusal"),
    [
        (401, "unauthorized_client", "Client is unauthorized to retrieve access tokens …",
            DelegationRefusal.NOT_AUTHORIZED),
        (401, "unauthorized_client", "Unauthorized client or scope in request.", DelegationRefusal.NOT_AUTHORIZED),
        (403, "access_denied", "Requested client not authorized.", DelegationRefusal.SOME_SCOPES),
        (400, "access_denied", "Account restricted", DelegationRefusal.RESTRICTED),
        (400, "invalid_grant", "Invalid email or User ID", DelegationRefusal.UNKNOWN_USER),
        (400, "invalid_grant", "Not a valid email or user ID.", DelegationRefusal.UNKNOWN_USER),
        (400, "invalid_request", "Invalid impersonation &quot;sub&quot; field: ada@", DelegationRefusal.UNKNOWN_USER),
        (400, "invalid_grant", "The account has been deleted", DelegationRefusal.DELETED_USER),
        (401, "invalid_account", "Forbidden", DelegationRefusal.DISABLED_USER),
        (400, "invalid_grant", "Invalid JWT Signature.", DelegationRefusal.BAD_KEY),
        (400, "invalid_grant", "Invalid JWT: Token must be a short-lived token (60 minutes) …",
            DelegationRefusal.CLOCK),
        (400, "invalid_grant", "Invalid JWT: Failed audience check.", DelegationRefusal.BAD_ASSERTION),
        (400, "invalid_grant", "Invalid JWT: No valid verifier found for issuer.", DelegationRefusal.BAD_ASSERTION),
        (400, "invalid_grant", "Invalid grant: account not found", DelegationRefusal.NO_SERVICE_ACCOUNT),
        (400, "invalid_grant", "Bad Request", DelegationRefusal.UNEXPLAINED),
        (400, "invalid_scope", "Invalid OAuth scope or ID token audience provided.", DelegationRefusal.BAD_SCOPE),
        (401, "disabled_client", "The OAuth client was disabled.", DelegationRefusal.SERVICE_ACCOUNT_DISABLED),
        (401, "deleted_client", "The OAuth client was deleted.", DelegationRefusal.NO_SERVICE_ACCOUNT),
        (400, "admin_policy_enforced", "", DelegationRefusal.POLICY),
    ],
)  # fmt: skip
def test_each_refusal_is_told_from_the_others(status: int, error: str, description: str, refusal: DelegationRefusal):
    """Google's error code decides. The description decides if a code has several reasons."""
    found = refusal_of(status, error, description)
    assert isinstance(found, DelegationRefused)
    assert found.facts == {"by": "delegation", "refusal": refusal}
    assert SUBJECT not in str(found)


@pytest.mark.parametrize(
    ("status", "error", "kind"),
    [
        (400, "internal_failure", GoogleUnavailable),
        (503, "anything", GoogleUnavailable),
        (429, "invalid_grant", QuotaExceeded),
        (400, "rate_limit_exceeded", QuotaExceeded),
        (400, "invalid_request", UnknownRefusal),
        (400, "interaction_required", UnknownRefusal),
        (200, "interaction_required", BadResponse),
    ],
)
def test_other_errors_refuse_nobody(status: int, error: str, kind: type[GoogleError]):
    """A temporary or unknown error does not count as a refusal, because an administrator cannot help."""
    assert type(refusal_of(status, error)) is kind


def test_a_refused_user_leaves_the_tenant_alone():
    """The refusals of a single user do not count as refusals of the tenant."""
    assert set(DelegationRefusal) - REFUSED_TENANT == {
        DelegationRefusal.SOME_SCOPES,
        DelegationRefusal.RESTRICTED,
        DelegationRefusal.UNKNOWN_USER,
        DelegationRefusal.DELETED_USER,
        DelegationRefusal.DISABLED_USER,
        DelegationRefusal.UNEXPLAINED,
        DelegationRefusal.NO_GROUP,
    }


def test_each_refusal_says_who_has_to_do_what():
    """Each refusal has a text, and each text names a person who can act."""
    assert set(REFUSAL_TEXTS) == set(DelegationRefusal)
    assert {text.who for text in REFUSAL_TEXTS.values()} <= set(RESPONSIBLE)
    assert all(sentence.endswith(".") for text in REFUSAL_TEXTS.values() for sentence in (text.what, text.todo))


@settings(max_examples=examples(60))
@given(
    status=st.sampled_from((200, 302, 400, 401, 403, 429, 500)),
    body=st.one_of(
        st.binary(max_size=60),
        st.fixed_dictionaries(
            {}, optional={name: st.text() for name in ("access_token", "error", "error_description", "scope")}
        ).map(lambda found: json.dumps(found).encode()),
    ),
)
def test_no_answer_shows_a_key_or_a_token(status: int, body: bytes):
    """For any answer, the grant or the error shows neither the key, the assertion nor the access token."""
    try:
        found: object = request((status, {"Content-Type": "application/json"}, body))[0]
    except GoogleError as error:
        found = error
    assert "PRIVATE" not in f"{found!r}{found}"
    assert "eyJ" not in f"{found!r}{found}"
    if isinstance(found, Grant):
        assert repr(found) == repr(Grant("x", found.expires_at, None, found.scopes, None, None))
