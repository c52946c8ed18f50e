# SPDX-License-Identifier: MIT
"""The tests show good and refused id_tokens, and check signatures by keys that are kept as long as Google says."""

from __future__ import annotations

import base64
import contextlib
import json
from functools import cache
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from hypothesis import given, settings
from hypothesis import strategies as st

from ldapgw.errors import BadResponse, IdentityUnverified
from ldapgw.google.identity import LARGEST, Identity, PublishedKeys, read_identity
from tests.support.examples import examples
from tests.support.results import result_of

from .double import CLIENT, NOW, Answer, Google, clock_at
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


# --- signatures -------------------------------------------------------------------------------------------------------

URI = "https://www.googleapis.com/oauth2/v3/certs"


@cache
def key(_which: int = 1) -> RSAPrivateKey:
    """Return a key from a cache, because the making of RSA keys takes long."""
    return generate_private_key(65537, 2048)


def part(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def signed(*, kid: object = "1", alg: str = "RS256", by: RSAPrivateKey | None = None) -> str:
    """Return a token with a signature of the given key, or of the kid's own key."""
    header = {"alg": alg, "kid": kid}
    text = f"{part(json.dumps(header).encode())}.{part(b'{}')}"
    return f"{text}.{part((by or key(int(str(kid)))).sign(text.encode(), PKCS1v15(), SHA256()))}"


def jwk(which: int, **changes: object) -> dict[str, object]:
    numbers = key(which).public_key().public_numbers()
    rsa = {"n": part(numbers.n.to_bytes(256)), "e": part(numbers.e.to_bytes(3))}
    return {"kty": "RSA", "alg": "RS256", "use": "sig", "kid": str(which), **rsa, **changes}


def published(*keys: object, cache_control: str = "public, max-age=21600, must-revalidate") -> Answer:
    return 200, {"Cache-Control": cache_control}, json.dumps({"keys": keys}).encode()


class Stage:
    """The stage has keys over a Google with answers in order, and a clock."""

    def __init__(self, *answers: Answer) -> None:
        self.google = Google(*answers)
        self.clock = clock_at(NOW)
        self.keys = PublishedKeys(self.google.http, URI, self.clock)

    @property
    def fetches(self) -> int:
        return len(self.google.requests)

    def check(self, token: str) -> None:
        result_of(self.keys.check_signature(token))

    def refusal(self, token: str) -> str:
        with pytest.raises(IdentityUnverified) as refused:
            self.check(token)
        return refused.value.detail


def test_a_signature_of_google() -> None:
    """The keys are fetched once, from the published address and without credentials."""
    stage = Stage(published(jwk(1), jwk(2)))
    stage.check(signed())
    stage.check(signed(kid="2"))
    (request,) = stage.google.requests
    assert (request.method, request.url, "authorization" in request.headers) == ("GET", URI, False)


WRONG, UNKNOWN = "id_token with a wrong signature", "id_token signed with a key that Google does not publish"
SOMEBODY_ELSES = {
    "another key": (signed(by=key(2)), WRONG),
    "unknown key": (signed(kid="3", by=key(1)), UNKNOWN),
    "no algorithm": (signed(alg="none"), WRONG),
    "shared secret": (signed(alg="HS256"), WRONG),
    "longer digest": (signed(alg="RS512"), WRONG),
    "no signature": (signed().rpartition(".")[0] + ".", WRONG),
    "other claims": (signed().replace(part(b"{}"), part(b"[]")), WRONG),
    "no kid": (encode({}), UNKNOWN),
    "no base64": ("a.b.c", "unreadable id_token"),
    "no ASCII": ("é", "unreadable id_token"),
    "kid is a list": (part(b'{"kid": [1]}') + ".e30.AAAA", "unreadable id_token"),
    "nested header": (part(b"[" * 9000) + ".e30.AAAA", "unreadable id_token"),
}


@pytest.mark.parametrize(("token", "detail"), SOMEBODY_ELSES.values(), ids=SOMEBODY_ELSES)
def test_a_signature_of_somebody_else(token: str, detail: str) -> None:
    """The token has another key, no key, another algorithm, or other claims."""
    assert Stage(published(jwk(1))).refusal(token) == detail


def test_keys_that_were_fetched_while_the_clock_was_ahead_are_fetched_anew() -> None:
    """The clock was a year ahead during the first fetch, so the kept keys look fresh for a year."""
    stage = Stage(published(jwk(1)), published(jwk(2)))
    stage.check(signed())
    stage.clock.rightNow -= 365 * 86400
    stage.check(signed(kid="2"))
    assert stage.fetches == 2


@pytest.mark.parametrize(
    ("cache_control", "seconds"),
    [
        ("public, max-age=21600, must-revalidate, no-transform", 21600),
        ("max-age=5", 300),
        ("no-store", 300),
        ("", 300),
        ("s-maxage=99999", 300),
        ("MAX-AGE=999999999", 86400),
        ("max-age=9999999999", 300),
    ],
)
def test_keys_are_kept_as_long_as_google_says(cache_control: str, seconds: int) -> None:
    """The keys are kept for at least five minutes and at most a day."""
    stage = Stage(published(jwk(1), cache_control=cache_control))
    stage.check(signed())
    stage.clock.advance(seconds - 1)
    stage.check(signed())
    assert stage.fetches == 1
    stage.clock.advance(1)
    stage.check(signed())
    assert stage.fetches == 2


def test_a_new_key() -> None:
    """An unknown key leads to a fetch at once, and later to at most a fetch each minute."""
    stage = Stage(published(jwk(1)), published(jwk(1)), published(jwk(2)))
    stage.check(signed())
    stage.clock.advance(60)
    stage.refusal(signed(kid="2"))
    stage.clock.advance(59)
    stage.refusal(signed(kid="2"))
    stage.check(signed())
    assert stage.fetches == 2
    stage.clock.advance(1)
    stage.check(signed(kid="2"))
    assert stage.refusal(signed()) == UNKNOWN
    assert stage.fetches == 3


UNFETCHED = {
    "unavailable": ((503, {}, b""), "HTTP 503"),
    "redirect": ((302, {"Location": "https://login.example/"}, b""), "HTTP 302"),
    "page": ((200, {}, b"<html>Please sign in.</html>"), "unreadable keys"),
    "nested": ((200, {}, b"[" * 50_000), "unreadable keys"),
    "too large": ((200, {}, b" " * 70_000), "body too large"),
    "none": (published(), "no keys"),
    "another kind": (published(jwk(1, kty="EC")), "no keys"),
    "text": (published("key"), "unreadable keys"),
    "no modulus": (published(jwk(1, n="")), "unreadable keys"),
    "small exponent": (published(jwk(1, e="AQ")), "unreadable keys"),
    "no base64": (published(jwk(1, n="é")), "unreadable keys"),
}


@pytest.mark.parametrize(("answer", "detail"), UNFETCHED.values(), ids=UNFETCHED)
def test_keys_that_cannot_be_fetched(answer: Answer, detail: str) -> None:
    """The sign-in is refused, and the next check fetches again."""
    stage = Stage(answer, published(jwk(1)))
    assert stage.refusal(signed()) == f"Google's keys cannot be fetched: {detail}"
    stage.check(signed())


def test_keys_that_are_too_old_count_no_more() -> None:
    """Google may have withdrawn an old key, so the key signs nobody in."""
    stage = Stage(published(jwk(1)), (503, {}, b""))
    stage.check(signed())
    stage.clock.advance(21600)
    assert stage.refusal(signed()) == "Google's keys cannot be fetched: HTTP 503"


KEYS = any_json("keys", "kty", "n")


@pytest.mark.no_cover
@settings(max_examples=examples(200), deadline=None)
@given(KEYS | st.fixed_dictionaries({"keys": st.lists(st.fixed_dictionaries({"kty": st.just("RSA"), "n": KEYS}))}))
def test_any_keys(body: Any) -> None:
    """Any published value gives keys or a bad response."""
    stage = Stage((200, {}, json.dumps(body).encode()))
    with contextlib.suppress(BadResponse):
        result_of(stage.keys.fetch())


@settings(max_examples=examples(100), deadline=None)
@given(st.text(alphabet="ab.=-_+/é", max_size=30))
def test_any_token(token: str) -> None:
    """Any text gives a refusal and no other exception."""
    Stage(published(jwk(1))).refusal(token)
