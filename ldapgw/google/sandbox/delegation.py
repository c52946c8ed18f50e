# SPDX-License-Identifier: MIT
"""The token endpoint for service accounts: the JWT bearer grant (RFC 7523) with Google's rules, and the key file.

The functions do no I/O.  The sandbox makes its checks in this order: the service account, the signature, the audience,
the times, the scopes, the user, and at last the scopes that the user's Workspace has authorized.
"""

from __future__ import annotations

import base64
import json
from functools import cache
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from ldapgw.google.sandbox import faults
from ldapgw.google.sandbox.grants import ACCESS_LIFE, Grantee
from ldapgw.google.sandbox.people import METHODS
from ldapgw.google.sandbox.reply import TOKEN_HEADERS, ApiRefusal, ApiReply, ApiRequest
from ldapgw.google.sandbox.workspace import GROUPS_SCOPE, USERS_SCOPE, RegisteredServiceAccount
from ldapgw.google.sandbox.world import GoogleAccount, World

GRANT_TYPE = "urn:ietf:params:oauth:grant-type:jwt-bearer"

# Google allows an hour at most between ``iat`` and ``exp``, and clocks that differ by some minutes.
_LONGEST_LIFE, _LEEWAY = 3600, 300
_KNOWN_SCOPES = frozenset(
    (USERS_SCOPE, GROUPS_SCOPE, *(scope for method in METHODS.values() for scope in method.scopes))
)


@cache
def private_key(key_id: str) -> RSAPrivateKey:
    """Return the key with an id; a process makes each key once, because this takes up to 200 ms."""
    del key_id
    return generate_private_key(65537, 2048)


def key_file(world: World, client_email: str = "") -> bytes:
    """Return the JSON file of a service account's key, as the Google console offers it for download.

    :raises UserError: if there is no such service account.
    """
    account = world.workspaces.service_account(client_email)
    pem = private_key(account.key_id).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    content = {
        "type": "service_account",
        "project_id": account.project_id,
        "private_key_id": account.key_id,
        "private_key": pem.decode(),
        "client_email": account.client_email,
        "client_id": account.client_id,
        "auth_uri": "https://accounts.google.com/o/oauth2/auth",
        "token_uri": "https://oauth2.googleapis.com/token",
        "auth_provider_x509_cert_url": "https://www.googleapis.com/oauth2/v1/certs",
        "client_x509_cert_url": f"https://www.googleapis.com/robot/v1/metadata/x509/{account.client_email}",
        "universe_domain": "googleapis.com",
    }
    return json.dumps(content, indent=2).encode() + b"\n"


def token(world: World, call: ApiRequest) -> ApiReply:
    """Answer a request for an access token of a service account.

    :raises ApiRefusal: with the error reply of Google.
    """
    assertion = call.form.get("assertion", ("",))[0]
    if not assertion:
        raise ApiRefusal(faults.missing_parameter("assertion"))
    header, claims = _decoded(assertion)
    service_account = _service_account(world, claims)
    if header.get("alg") != "RS256" or not _is_signed(service_account, assertion):
        raise ApiRefusal(faults.BAD_SIGNATURE)
    if claims.get("aud") != audience(world):
        raise ApiRefusal(faults.BAD_AUDIENCE)
    _check_times(world, claims)
    scopes = str(claims.get("scope", "")).split()
    if not scopes or not _KNOWN_SCOPES.issuperset(scopes):
        raise ApiRefusal(faults.BAD_SCOPE)
    account = _user(world, claims)
    authorized = service_account.scopes.get(account.hd, frozenset())
    if authorized.isdisjoint(scopes):
        raise ApiRefusal(faults.NOT_AUTHORIZED)
    if not authorized.issuperset(scopes) or not account.has_signed_in:
        raise ApiRefusal(faults.SOME_SCOPES)
    grantee = Grantee(account.sub, service_account.client_id)
    access_token = world.grants.issue_access(grantee, tuple(scopes), beginning="ya29.c.", end="." * 40)
    content = {"access_token": access_token, "expires_in": ACCESS_LIFE, "token_type": "Bearer"}
    return ApiReply.of(200, content, TOKEN_HEADERS)


def audience(world: World) -> str:
    """Return the claim ``aud`` that the token endpoint expects."""
    return f"{world.issuer}/token" if world.issuer.startswith("http://") else "https://oauth2.googleapis.com/token"


def subject_of(call: ApiRequest) -> str:
    """Return the user for whom a call requests a token, or empty if the call has no readable assertion."""
    try:
        return str(_decoded(call.form.get("assertion", ("",))[0])[1].get("sub", ""))
    except ApiRefusal:
        return ""


def _service_account(world: World, claims: dict[str, Any]) -> RegisteredServiceAccount:
    service_account = world.workspaces.service_accounts.get(str(claims.get("iss")))
    if service_account is None or service_account.state == "deleted":
        raise ApiRefusal(faults.NO_SERVICE_ACCOUNT)
    if service_account.state == "disabled":
        raise ApiRefusal(faults.SERVICE_ACCOUNT_DISABLED)
    return service_account


def _is_signed(service_account: RegisteredServiceAccount, assertion: str) -> bool:
    """Return whether the signature is by the key of the service account; a header ``kid`` makes no difference."""
    signed, _, signature = assertion.rpartition(".")
    public_key = private_key(service_account.key_id).public_key()
    try:
        public_key.verify(_octets(signature), signed.encode(), PKCS1v15(), SHA256())
    except (InvalidSignature, ValueError):
        return False
    return True


def _check_times(world: World, claims: dict[str, Any]) -> None:
    issued_at, expires_at = claims.get("iat"), claims.get("exp")
    is_valid = (
        type(issued_at) is int
        and type(expires_at) is int
        and issued_at < expires_at <= issued_at + _LONGEST_LIFE
        and issued_at <= world.time() + _LEEWAY
        and world.time() - _LEEWAY < expires_at
    )
    if not is_valid:
        raise ApiRefusal(faults.BAD_TIMES)


def _user(world: World, claims: dict[str, Any]) -> GoogleAccount:
    address = claims.get("sub")
    if not isinstance(address, str) or "@" not in address:
        raise ApiRefusal(faults.NO_ADDRESS)
    account = world.accounts.get(address)
    if account is None and address in world.workspaces.deleted:
        raise ApiRefusal(faults.DELETED_USER)
    # Google has no error of its own for suspended users; this error was reported for them.
    if account is None or account.is_suspended or account.is_archived:
        raise ApiRefusal(faults.UNKNOWN_USER)
    return account


def _decoded(assertion: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the header and the claims of a JWT, whose signature is not checked here."""
    parts = assertion.split(".")
    try:
        header, claims = (json.loads(_octets(part)) for part in parts[:2])
    except ValueError:
        raise ApiRefusal(faults.BAD_GRANT) from None
    if len(parts) != 3 or not isinstance(header, dict) or not isinstance(claims, dict):
        raise ApiRefusal(faults.BAD_GRANT)
    return header, claims


def _octets(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
