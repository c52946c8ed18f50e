# SPDX-License-Identifier: MIT
"""The sandbox's token and revocation endpoints, with Google's rules, and the sandbox's published keys.

Requests of service accounts are answered in `ldapgw.google.sandbox.delegation`.

The functions are pure: they do no I/O.

Sources: RFC 6749 4.1.3 and 6, RFC 7636, RFC 7009, OpenID Connect Core 3.1.3.3.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Iterable
from functools import cache
from typing import Any
from urllib.parse import unquote_plus

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256

from ldapgw.google.sandbox import delegation, faults
from ldapgw.google.sandbox.grants import ACCESS_LIFE, TESTING_LIFE, AuthorizationCode, Grantee
from ldapgw.google.sandbox.reply import KEY_HEADERS, TOKEN_HEADERS, ApiRefusal, ApiReply, ApiRequest, Parameters
from ldapgw.google.sandbox.world import GoogleAccount, RegisteredClient, World

EMAIL = "https://www.googleapis.com/auth/userinfo.email"
PROFILE = "https://www.googleapis.com/auth/userinfo.profile"
# The scopes that only give access to the identity.  Grants of other scopes to a client in "Testing" end after 7 days.
SIGN_IN_SCOPES = frozenset(("openid", "email", "profile", EMAIL, PROFILE))

_SPELLINGS = {"email": EMAIL, "profile": PROFILE}


@cache
def _signing_key() -> RSAPrivateKey:
    """Return the key that signs identity tokens; a process makes only one key, because this takes long."""
    return generate_private_key(65537, 2048)


def spelled(scopes: Iterable[str]) -> tuple[str, ...]:
    """Return scopes in the spelling of Google's answers."""
    return tuple(dict.fromkeys(_SPELLINGS.get(scope, scope) for scope in scopes))


def token(world: World, call: ApiRequest) -> ApiReply:
    """Answer a call of the token endpoint.

    :raises ApiRefusal: with the error reply of Google.
    """
    grants = {"authorization_code": _exchange, "refresh_token": _refresh, delegation.GRANT_TYPE: delegation.token}
    grant_type = _required(call.form, "grant_type")
    if grant_type not in grants:
        raise ApiRefusal(faults.token_error(400, "unsupported_grant_type", f"Invalid grant_type: {grant_type}"))
    return grants[grant_type](world, call)


def revoke(world: World, call: ApiRequest) -> ApiReply:
    """Answer a call of the revocation endpoint.

    :raises ApiRefusal: with the error reply of Google.
    """
    submitted_token = _first(call.form, "token") or _first(call.query, "token")
    if not submitted_token:
        raise ApiRefusal(faults.missing_parameter("token"))
    if not world.grants.revoke(submitted_token):
        raise ApiRefusal(faults.ALREADY_GONE)
    return ApiReply.of(200, {}, TOKEN_HEADERS)


def keys() -> ApiReply:
    """Answer a call of the endpoint with the published keys (RFC 7517, RFC 7518 6.3.1)."""
    numbers = _signing_key().public_key().public_numbers()
    modulus, exponent = (number.to_bytes((number.bit_length() + 7) // 8) for number in (numbers.n, numbers.e))
    key = {"kty": "RSA", "alg": "RS256", "use": "sig", "kid": _key_id()}
    return ApiReply.of(200, {"keys": [{**key, "n": _base64url(modulus), "e": _base64url(exponent)}]}, KEY_HEADERS)


def account_of(world: World, call: ApiRequest) -> str:
    """Return the address of the account whose code or token is in a call, or empty if it is unknown.

    A JWT counts as a token of the user for whom a service account requests an access token.
    """
    if _first(call.form, "assertion"):
        return delegation.subject_of(call)
    tokens = (_first(call.form, name) or _first(call.query, name) for name in ("code", "refresh_token", "token"))
    grantee = world.grants.grantee(next(filter(None, tokens), "") or call.bearer)
    account = world.account_of(grantee.sub) if grantee else None
    return account.address if account else ""


def _exchange(world: World, call: ApiRequest) -> ApiReply:
    code, redirect_uri = _required(call.form, "code"), _required(call.form, "redirect_uri")
    client = _client(world, call)
    if world.grants.find_code(code) is None:
        raise ApiRefusal(faults.MALFORMED_CODE)
    consent = world.grants.redeem_code(code)
    if consent is None or consent.grantee.client_id != client.client_id:
        raise ApiRefusal(faults.BAD_GRANT)
    if consent.redirect_uri != redirect_uri:
        raise ApiRefusal(faults.WRONG_REDIRECT)
    _check_verifier(consent, _first(call.form, "code_verifier"))
    life = TESTING_LIFE if client.audience == "testing" and not SIGN_IN_SCOPES.issuperset(consent.scopes) else None
    refreshing: dict[str, Any] = {}
    if consent.refreshable:
        refreshing["refresh_token"] = world.grants.issue_refresh(consent.grantee, consent.scopes, life)
        if life:
            refreshing["refresh_token_expires_in"] = life
    return _tokens(world, consent.grantee, consent.scopes, consent.nonce, refreshing)


def _refresh(world: World, call: ApiRequest) -> ApiReply:
    submitted_token = _required(call.form, "refresh_token")
    client = _client(world, call)
    state = world.grants.use_refresh_token(submitted_token)
    if state is not None and state.grantee.client_id != client.client_id:
        raise ApiRefusal(faults.FOREIGN_CLIENT)
    if state is None:
        raise ApiRefusal(faults.REVOKED if submitted_token.startswith("1//") else faults.BAD_GRANT)
    return _tokens(world, state.grantee, state.scopes, "", {})


def _client(world: World, call: ApiRequest) -> RegisteredClient:
    """Authenticate the client by its id and secret, in the form or in HTTP Basic (RFC 6749 2.3.1)."""
    client_id, secret = _first(call.form, "client_id"), _first(call.form, "client_secret")
    scheme, _, credentials = call.authorization.partition(" ")
    if scheme.lower() == "basic":
        try:
            pair = base64.b64decode(credentials, validate=True).decode()
        except ValueError:
            raise ApiRefusal(faults.WRONG_SECRET) from None
        client_id, _, secret = (unquote_plus(part) for part in pair.partition(":"))
    if not client_id:
        raise ApiRefusal(faults.token_error(400, "invalid_request", "Could not determine client ID from request."))
    client = world.clients.get(client_id)
    if client is None or client.state == "unknown":
        raise ApiRefusal(faults.UNKNOWN_CLIENT)
    if client.state == "deleted":
        raise ApiRefusal(faults.DELETED_CLIENT)
    if not secret:
        raise ApiRefusal(faults.token_error(400, "invalid_request", "client_secret is missing."))
    if not hmac.compare_digest(secret.encode(), client.client_secret.encode()):
        raise ApiRefusal(faults.WRONG_SECRET)
    return client


def _check_verifier(consent: AuthorizationCode, verifier: str) -> None:
    """Check the code verifier of PKCE (RFC 7636 4.6)."""
    if not consent.challenge:
        return
    if not verifier:
        raise ApiRefusal(faults.token_error(400, "invalid_grant", "Missing code verifier."))
    challenge = (
        _base64url(hashlib.sha256(verifier.encode()).digest()) if consent.challenge_method == "S256" else verifier
    )
    if not hmac.compare_digest(challenge.encode(), consent.challenge.encode()):
        raise ApiRefusal(faults.token_error(400, "invalid_grant", "Invalid code verifier."))


def _tokens(
    world: World, grantee: Grantee, scopes: tuple[str, ...], nonce: str, refreshing: dict[str, Any]
) -> ApiReply:
    account = world.account_of(grantee.sub)
    if account is None:
        raise ApiRefusal(faults.token_error(400, "invalid_grant", "Account has been deleted"))
    if account.is_suspended or account.is_archived:
        raise ApiRefusal(faults.ACCOUNT_DISABLED)
    access_token = world.grants.issue_access(grantee, scopes)
    content = {
        "access_token": access_token,
        "expires_in": ACCESS_LIFE,
        **refreshing,
        "scope": " ".join(scopes),
        "token_type": "Bearer",
    }
    if "openid" in scopes:
        content["id_token"] = _id_token(world, account, grantee.client_id, scopes, nonce, access_token)
    return ApiReply.of(200, content, TOKEN_HEADERS)


def _id_token(
    world: World, account: GoogleAccount, client_id: str, scopes: tuple[str, ...], nonce: str, access_token: str
) -> str:
    """Return an ``id_token`` (OpenID Connect Core 2) with Google's claims."""
    issued = int(world.time())
    claims: dict[str, Any] = {"iss": world.issuer, "azp": client_id, "aud": client_id, "sub": account.sub}
    if account.hd:
        claims["hd"] = account.hd
    if EMAIL in scopes:
        claims |= {"email": account.address, "email_verified": account.email_verified}
    # OpenID Connect Core 3.1.3.6: the left half of the hash of the access token.
    claims["at_hash"] = _base64url(hashlib.sha256(access_token.encode()).digest()[:16])
    if nonce:
        claims["nonce"] = nonce
    if PROFILE in scopes:
        claims |= {"name": account.name, "given_name": account.given_name, "family_name": account.family_name}
    claims |= {"iat": issued, "exp": issued + 3600}
    header = {"alg": "RS256", "kid": _key_id(), "typ": "JWT"}
    signed = ".".join(_base64url(json.dumps(part).encode()) for part in (header, claims))
    return f"{signed}.{_base64url(_signing_key().sign(signed.encode(), PKCS1v15(), SHA256()))}"


def _key_id() -> str:
    return hashlib.sha256(b"%d" % _signing_key().public_key().public_numbers().n).hexdigest()[:40]


def _base64url(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).decode().rstrip("=")


def _first(parameters: Parameters, name: str) -> str:
    return parameters.get(name, ("",))[0]


def _required(form: Parameters, name: str) -> str:
    value = _first(form, name)
    if not value:
        raise ApiRefusal(faults.missing_parameter(name))
    return value
