# SPDX-License-Identifier: MIT
"""The tests show the accepted and the refused id_tokens."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ldapgw.errors import BadResponse
from ldapgw.google.identity import LARGEST, Identity, read_identity
from tests.support.examples import examples

from .double import CLIENT, NOW
from .samples import SAMPLES, any_json, encode, id_token

ID = CLIENT.client_id
WORKSPACE = Identity("110000000000000001001", "dora.dienst@example.com", email_verified=True, hd="example.com")


def read(token: str, *, issuer: str = "https://accounts.google.com", nonce: str | None = "EXAMPLENONCE") -> Identity:
    return read_identity(token, issuer=issuer, client_id=ID, nonce=nonce, now=NOW)


@pytest.mark.parametrize(
    ("claims", "identity"),
    [
        ({}, WORKSPACE),
        ({"iss": "accounts.google.com"}, WORKSPACE),
        ({"aud": [ID, "other"]}, WORKSPACE),
        ({"aud": [ID]}, WORKSPACE),
        ({"azp": None}, WORKSPACE),
        ({"exp": NOW - 59}, WORKSPACE),
        ({"hd": None}, Identity(WORKSPACE.sub, WORKSPACE.email, email_verified=True)),
        ({"email_verified": False}, Identity(WORKSPACE.sub, WORKSPACE.email, hd="example.com")),
        ({"email_verified": None, "email": None, "hd": None}, Identity(WORKSPACE.sub)),
        ({"email": "jörg@müller.example"}, Identity(WORKSPACE.sub, "jörg@müller.example", True, "example.com")),
    ],
    ids=str,
)
def test_accepted(claims, identity):
    """OpenID Connect allows these claims. None removes a claim."""
    assert read(id_token(**claims)) == identity


def test_consumer():
    """A consumer account has no hd. A request without a nonce expects none."""
    token = encode(SAMPLES["id_token_claims_consumer"])
    assert read(token, nonce=None) == Identity("110000000000000002002", "someone@example.org", email_verified=True)


def test_other_issuer():
    """Another issuer has a single spelling, and Google's spellings do not count."""
    sandbox = "http://127.0.0.1:8000"
    assert read(id_token(iss=sandbox), issuer=sandbox) == WORKSPACE
    with pytest.raises(BadResponse):
        read(id_token(), issuer=sandbox)


@pytest.mark.parametrize(
    ("claims", "detail"),
    [
        ({"iss": "https://accounts.google.com.evil.example"}, "id_token of another issuer"),
        ({"iss": "http://accounts.google.com"}, "id_token of another issuer"),
        ({"iss": None}, "id_token cannot be read"),
        ({"aud": "other"}, "id_token for another client"),
        ({"aud": []}, "id_token for another client"),
        ({"aud": None}, "id_token cannot be read"),
        ({"aud": {ID: 1}}, "id_token cannot be read"),
        ({"aud": [ID, "other"], "azp": None}, "id_token with another authorized party (azp)"),
        ({"aud": [ID, "other"], "azp": "other"}, "id_token with another authorized party (azp)"),
        ({"azp": "other"}, "id_token with another authorized party (azp)"),
        ({"exp": NOW - 60}, "id_token expired: check the machine's clock"),
        ({"exp": None}, "id_token cannot be read"),
        ({"exp": "1790003600"}, "id_token cannot be read"),
        ({"exp": True}, "id_token cannot be read"),
        ({"nonce": "other"}, "id_token with another nonce than the authorization request"),
        ({"nonce": None}, "id_token with another nonce than the authorization request"),
        ({"nonce": "é"}, "id_token with another nonce than the authorization request"),
        ({"nonce": 5}, "id_token cannot be read"),
        ({"sub": ""}, "id_token with an invalid sub, email or hd"),
        ({"sub": None}, "id_token cannot be read"),
        ({"sub": 11000}, "id_token cannot be read"),
        ({"sub": "1\n"}, "id_token with an invalid sub, email or hd"),
        ({"sub": "é"}, "id_token with an invalid sub, email or hd"),
        ({"sub": "1" * 256}, "id_token with an invalid sub, email or hd"),
        ({"email": "a@b c"}, "id_token with an invalid sub, email or hd"),
        ({"email": "a@b\r\nSet-Cookie: c"}, "id_token with an invalid sub, email or hd"),
        ({"hd": "a b"}, "id_token with an invalid sub, email or hd"),
        ({"email_verified": "true"}, "id_token cannot be read"),
        ({"email_verified": 1}, "id_token cannot be read"),
    ],
    ids=str,
)
def test_refused(claims, detail):
    """The claims are missing, have another type, or are for another client, time or flow."""
    with pytest.raises(BadResponse) as caught:
        read(id_token(**claims))
    assert caught.value.detail == detail


@pytest.mark.parametrize(
    "token",
    ["", "..", "a.b", "a.b.c.d", "eyJhbGciOiJSUzI1NiJ9.EXAMPLE.EXAMPLE", "a.!!!!.c", "a.é.c", "a." + "A" * 5 + ".c",
     encode([]), encode("text"), encode(None), "a." + "W1tb" * 3000 + ".c", "x" * LARGEST + id_token()],
    ids=lambda token: token[:20] or "empty",
)  # fmt: skip
def test_hostile(token):
    """The text is no JWT, or is huge."""
    with pytest.raises(BadResponse):
        read(token)


@pytest.mark.no_cover
@settings(max_examples=examples(200), deadline=None)
@given(st.dictionaries(st.sampled_from(sorted(SAMPLES["id_token_claims_workspace"])), any_json()))
def test_any_claims(claims):
    """Any claims give an identity or a bad response."""
    with contextlib.suppress(BadResponse):
        assert isinstance(read(id_token(**json.loads(json.dumps(claims)))), Identity)


@settings(max_examples=examples(100), deadline=None)
@given(st.text(alphabet="ab.=-_+/é", max_size=30))
def test_any_text(token):
    """Any text gives a bad response and no other exception."""
    with pytest.raises(BadResponse):
        read(token)
