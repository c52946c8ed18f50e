# SPDX-License-Identifier: MIT
"""The tests cover the requests of a grant as RFC 6749 and Google require, and every answer."""

from __future__ import annotations

import contextlib
import json
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ldapgw.contact import Source
from ldapgw.errors import (
    BadResponse,
    ClientRejected,
    ConsentRevoked,
    GoogleError,
    GoogleRefused,
    GoogleUnavailable,
    QuotaExceeded,
    UnknownRefusal,
)
from ldapgw.google.endpoints import Endpoints
from ldapgw.google.identity import Identity, PublishedKeys
from ldapgw.google.oauth import OPENID_SCOPES, SCOPE_OF, Grant, OAuth, authorization_url, sources_of
from tests.support.examples import examples
from tests.support.results import result_of

from .double import CLIENT, ENDPOINTS, NOW, Google, clock_at, ok
from .samples import SAMPLES, answer, id_token

# The verifier comes from RFC 7636 appendix B.
VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
CHALLENGE = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
REDIRECT_URI = "https://phonebook.example.com/oauth/callback"
DORA = Identity("110000000000000001001", "dora.dienst@example.com", email_verified=True, hd="example.com")
ALL_SCOPES = frozenset({"openid", "email", *SCOPE_OF.values()})


def exchange(google: Google) -> Grant:
    oauth = OAuth(google.http, ENDPOINTS, clock_at(NOW))
    return result_of(
        oauth.exchange(
            CLIENT, code="4/0AExampleCode", redirect_uri=REDIRECT_URI, verifier=VERIFIER, nonce="EXAMPLENONCE"
        )
    )


def refresh(google: Google, keys: PublishedKeys | None = None) -> Grant:
    return result_of(OAuth(google.http, ENDPOINTS, clock_at(NOW), keys).refresh(CLIENT, "1//03ExampleRefresh-L9Ir"))


def try_client(google: Google) -> None:
    result_of(OAuth(google.http, ENDPOINTS, clock_at(NOW)).try_client(CLIENT, REDIRECT_URI))


def revoke(google: Google) -> None:
    result_of(OAuth(google.http, ENDPOINTS, clock_at(NOW)).revoke("1//03Example&Refresh"))


def tokens(name: str, **changes: object) -> Google:
    """Return a Google that gives a sample's token answer with a readable id_token."""
    body = {**SAMPLES[name]["body"], "id_token": id_token(), **changes}
    return Google(ok({key: value for key, value in body.items() if value is not None}))


def query(url: str) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(url).query, strict_parsing=True))


def url(endpoints: Endpoints = ENDPOINTS, **changes: Any) -> str:
    """Return the URL for signing in."""
    request = {"scopes": OPENID_SCOPES, "state": "STATE&", "nonce": "NONCE", "offline": False, **changes}
    return authorization_url(endpoints, CLIENT.client_id, redirect_uri=REDIRECT_URI, verifier=VERIFIER, **request)


SIGN_IN = {
    "response_type": "code",
    "client_id": CLIENT.client_id,
    "redirect_uri": REDIRECT_URI,
    "scope": "openid email",
    "state": "STATE&",
    "nonce": "NONCE",
    "code_challenge": CHALLENGE,
    "code_challenge_method": "S256",
}


def test_sign_in_url():
    """Signing in asks only for the identity, and shows no consent screen a second time."""
    assert query(url()) == SIGN_IN


def test_connect_url():
    """Connecting asks for a lasting consent and keeps earlier grants, with PKCE, state and nonce."""
    scopes, hint = [*OPENID_SCOPES, SCOPE_OF[Source.CONTACTS]], "dora.dienst@example.com"
    found = url(scopes=scopes, offline=True, login_hint=hint, prompt=["select_account", "consent"])
    assert found.startswith("https://accounts.google.com/o/oauth2/v2/auth?")
    assert query(found) == SIGN_IN | {
        "scope": "openid email https://www.googleapis.com/auth/contacts.readonly",
        "access_type": "offline",
        "include_granted_scopes": "true",
        "prompt": "select_account consent",
        "login_hint": hint,
    }


def test_sandbox_url():
    """A sandbox on a loopback address is reached by http, and keeps its own query."""
    sandbox = replace(ENDPOINTS, authorization_endpoint="http://127.0.0.1:8000/auth?as=alice")
    assert url(sandbox).startswith("http://127.0.0.1:8000/auth?as=alice&response_type=code&")


def test_sources_of():
    """A source is open if its own scope was granted."""
    assert sources_of(ALL_SCOPES) == frozenset(Source)
    assert sources_of(["openid", SCOPE_OF[Source.DIRECTORY]]) == {Source.DIRECTORY}
    assert sources_of(()) == frozenset()


EXCHANGE = {
    "grant_type": ["authorization_code"],
    "client_id": [CLIENT.client_id],
    "client_secret": [CLIENT.client_secret],
    "redirect_uri": [REDIRECT_URI],
}
REFRESH = {key: [value] for key, value in SAMPLES["token_refresh_success"]["request"]["form"].items()}


@pytest.mark.parametrize(
    ("call", "name", "args"),
    [
        (exchange, "token_success", EXCHANGE | {"code": ["4/0AExampleCode"], "code_verifier": [VERIFIER]}),
        (refresh, "token_refresh_success", REFRESH),
    ],
    ids=["exchange", "refresh"],
)
def test_request(call, name, args):
    """The parameters are those of RFC 6749 4.1.3, with the verifier and the client's secret in the body, and of 6."""
    google = tokens(name)
    call(google)
    (request,) = google.requests
    assert (request.method, request.url, request.args) == ("POST", ENDPOINTS.token_endpoint, args)


GRANT = Grant("ya29.a0EXAMPLE", NOW + 3599, "1//03ExampleRefresh-L9Ir", ALL_SCOPES, DORA, None)


@pytest.mark.parametrize(
    ("name", "grant"),
    [
        ("token_success", GRANT),
        ("token_success_testing_project", replace(GRANT, refresh_expires_at=NOW + 604799)),
        (
            "token_success_partial_consent",
            replace(GRANT, scopes=frozenset({"openid", "email", SCOPE_OF[Source.OTHER_CONTACTS]})),
        ),
        ("token_success_without_refresh_token", replace(GRANT, refresh_token=None)),
    ],
)
def test_exchange(name, grant):
    """The grant has short scope names, and may have fewer scopes than requested."""
    assert exchange(tokens(name)) == grant


REFRESHED = Grant("ya29.a0EXAMPLE2", NOW + 3599, None, ALL_SCOPES, DORA, None)


@pytest.mark.parametrize(
    ("changes", "grant"),
    [
        ({}, REFRESHED),
        ({"id_token": None}, replace(REFRESHED, identity=None)),
        ({"id_token": "eyJhbGciOiJSUzI1NiJ9.EXAMPLE2.EXAMPLE2"}, replace(REFRESHED, identity=None)),
        ({"refresh_token": "1//new"}, replace(REFRESHED, refresh_token="1//new")),
        ({"scope": None}, replace(REFRESHED, scopes=frozenset())),
        ({"expires_in": None}, replace(REFRESHED, expires_at=NOW + 3600)),
        ({"expires_in": "1800"}, replace(REFRESHED, expires_at=NOW + 1800)),
        ({"expires_in": 0}, replace(REFRESHED, expires_at=NOW)),
        ({"expires_in": -5}, replace(REFRESHED, expires_at=NOW)),
        ({"token_type": None}, REFRESHED),
        (
            {"scope": "openid https://www.googleapis.com/auth/userinfo.profile"},
            replace(REFRESHED, scopes=frozenset({"openid", "profile"})),
        ),
    ],
    ids=lambda part: str(part) if isinstance(part, dict) else "",
)
def test_refresh(changes, grant):
    """A refresh gives a new access token. The other values may be missing."""
    assert refresh(tokens("token_refresh_success", **changes)) == grant


def test_refresh_behind_a_proxy_that_inspects():
    """A refresh ignores the identity, because a check would need Google's keys."""
    google = tokens("token_refresh_success")
    keys = PublishedKeys(google.http, "https://www.googleapis.com/oauth2/v3/certs", clock_at(NOW))
    assert refresh(google, keys) == replace(REFRESHED, identity=None)
    assert len(google.requests) == 1


def test_grant_hides_tokens():
    """The repr of a grant holds no token and no address."""
    assert "ya29" not in repr(GRANT)
    assert "1//" not in repr(GRANT)
    assert "dora" not in repr(GRANT)


# The columns are errors of a refresh, of the exchange of a code, and of the trial of a client. None is no refusal.
REFUSALS = {
    "token_error_invalid_grant_revoked": ("invalid_grant", ConsentRevoked, BadResponse, None),
    "token_error_invalid_grant_plain": ("invalid_grant", ConsentRevoked, BadResponse, None),
    "token_error_invalid_grant_reauth": ("invalid_grant invalid_rapt", ConsentRevoked, BadResponse, None),
    "token_error_invalid_grant_code": ("invalid_grant", ConsentRevoked, BadResponse, None),
    "token_error_admin_policy": ("admin_policy_enforced", ConsentRevoked, ConsentRevoked, ConsentRevoked),
    "token_error_invalid_client_secret": ("invalid_client", ClientRejected, ClientRejected, ClientRejected),
    "token_error_invalid_client_unknown": ("invalid_client", ClientRejected, ClientRejected, ClientRejected),
    "token_error_deleted_client": ("deleted_client", ClientRejected, ClientRejected, ClientRejected),
    "token_error_redirect_uri_mismatch": ("redirect_uri_mismatch", ClientRejected, ClientRejected, ClientRejected),
    "delegation_token_error_unauthorized": ("unauthorized_client", ClientRejected, ClientRejected, ClientRejected),
    "token_error_missing_refresh_token": ("invalid_request", UnknownRefusal, UnknownRefusal, UnknownRefusal),
    "token_error_503_html": ("HTTP 503", GoogleUnavailable, GoogleUnavailable, GoogleUnavailable),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_refusals(name):
    """Only some refusals end the consent. A refused code is a problem of the flow, and not of an account."""
    detail, *errors = REFUSALS[name]
    for call, error in zip((refresh, exchange, try_client), errors, strict=True):
        if error is None:
            call(Google(answer(name)))
            continue
        with pytest.raises(GoogleError) as caught:
            call(Google(answer(name)))
        assert type(caught.value) is error
        assert caught.value.detail.startswith(f"code refused: {detail}" if error is BadResponse else detail)


def test_a_client_is_tried_with_a_code_that_nobody_was_given():
    """The client is good if Google refuses only the code. The request is a usual exchange."""
    google = Google(answer("token_error_invalid_grant_code"))
    try_client(google)
    (request,) = google.requests
    assert (request.method, request.url) == ("POST", ENDPOINTS.token_endpoint)
    assert request.args.pop("code") != ["4/0AExampleCode"]
    assert request.args == EXCHANGE


@pytest.mark.parametrize(
    ("error", "status", "headers", "kind", "retry_after"),
    [
        ("disabled_client", 401, {}, ClientRejected, None),
        ("unauthorized_client", 400, {}, ClientRejected, None),
        ("temporarily_unavailable", 400, {"Retry-After": "7"}, GoogleUnavailable, 7.0),
        ("server_error", 400, {}, GoogleUnavailable, None),
        ("rate_limit_exceeded", 403, {}, QuotaExceeded, None),
        ("invalid_grant", 429, {"Retry-After": "30"}, QuotaExceeded, 30.0),
        ("invalid_grant", 500, {}, GoogleUnavailable, None),
        ("invalid_scope", 400, {}, ConsentRevoked, None),
        ("interaction_required", 400, {}, ConsentRevoked, None),
        ("account_disabled", 400, {}, ConsentRevoked, None),
        ("access_denied", 403, {}, GoogleRefused, None),
        ("org_internal", 403, {}, GoogleRefused, None),
        ("never_seen", 401, {}, UnknownRefusal, None),
        ("Something Else", 400, {}, BadResponse, None),
        ("", 400, {}, BadResponse, None),
    ],
)
def test_errors(error, status, headers, kind, retry_after):
    """A status of 429 or 5xx counts more than the error in the body."""
    google = Google((status, headers, json.dumps({"error": error}).encode()))
    with pytest.raises(GoogleError) as caught:
        refresh(google)
    assert (type(caught.value), caught.value.retry_after) == (kind, retry_after)


def test_who_has_ended_a_consent():
    """The error says who ended the consent, if Google says so."""
    ended_by = {
        ("invalid_grant", ""): "",
        ("invalid_grant", "invalid_rapt"): "session",
        ("invalid_grant", "never_seen"): "",
        ("invalid_scope", ""): "user",
        ("admin_policy_enforced", ""): "admin",
        ("account_disabled", ""): "disabled",
    }
    for (error, subtype), by in ended_by.items():
        with pytest.raises(ConsentRevoked) as caught:
            refresh(Google((400, {}, json.dumps({"error": error, "error_subtype": subtype}).encode())))
        assert caught.value.by == by


def test_description_is_for_the_log():
    """The description is a single line without addresses, tokens and numbers."""
    said = "Account dora@acme.example (1//0gTOKEN-abc123456) of project 123456789012\nis restricted, " + "so " * 99
    with pytest.raises(GoogleError) as caught:
        refresh(Google((400, {}, json.dumps({"error": "access_denied", "error_description": said}).encode())))
    detail = caught.value.detail
    assert detail.startswith("access_denied: Account … (…) of project … is restricted, so so")
    assert len(detail) == len("access_denied: ") + 120


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("id_token", [None, id_token(nonce="other"), id_token(aud="other"), id_token(exp=NOW - 3600), 5]),
        ("scope", [None, ["openid"]]),
        ("access_token", [None, "", "with blank", "ya29\r\nHost: evil.example", 5]),
        ("expires_in", ["soon", [1]]),
        ("refresh_token", [{}]),
        ("refresh_token_expires_in", ["x"]),
    ],
)
def test_exchange_without(key, values):
    """A missing or misshapen value that an account needs is a bad response."""
    for value in values:
        with pytest.raises(BadResponse):
            exchange(tokens("token_success", **{key: value}))


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, b""),
        (200, b"access_token=a&token_type=Bearer"),
        (200, b"<html>"),
        (200, b"[]"),
        (200, b"5"),
        (200, b"null"),
        (200, b"\xff"),
        (200, b"[" * 60_000),
        (200, b'{"error": {"code": 400}}'),
        (200, b'{"error": "never_seen"}'),
        (400, b"<html>"),
        (400, b'{"access_token": "a"}'),
        (302, b'{"access_token": "a"}'),
    ],
)
def test_no_token_answer(status, body):
    """Any other answer is a bad response."""
    with pytest.raises(BadResponse):
        refresh(Google((status, {"Location": "https://evil.example"}, body)))


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just([]) | st.just({})
FIELDS = st.sampled_from(
    ["access_token", "expires_in", "expires_at", "scope", "error", "error_description", "error_uri", "token_type"]
)


@settings(max_examples=examples(150), deadline=None)
@given(st.dictionaries(FIELDS, SCALARS), st.sampled_from([200, 400, 401]))
def test_any_answer(body, status):
    """Any JSON object gives a grant or an error of the gateway."""
    google = Google((status, {}, json.dumps(body).encode()))
    with contextlib.suppress(GoogleError):
        assert isinstance(refresh(google), Grant)


@pytest.mark.parametrize("name", ["revoke_success", "revoke_error_already_gone", "token_error_invalid_grant_revoked"])
def test_revoke(name):
    """A revoked or already missing grant is a success. The token is in the body, out of sight of proxies' logs."""
    google = Google(answer(name))
    revoke(google)
    (request,) = google.requests
    assert (request.method, request.url, request.args) == (
        "POST",
        ENDPOINTS.revocation_endpoint,
        {"token": ["1//03Example&Refresh"]},
    )


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (400, b'{"error": "invalid_request"}', BadResponse),
        (400, b"<html>", BadResponse),
        (403, b'{"error": "invalid_token"}', BadResponse),
        (302, b"", BadResponse),
        (429, b"", QuotaExceeded),
        (503, b"", GoogleUnavailable),
        (401, b'{"error": "invalid_client"}', ClientRejected),
    ],
)
def test_revoke_fails(status, body, error):
    """Any other answer is an error, because the grant may still be valid."""
    with pytest.raises(error):
        revoke(Google((status, {}, body)))
