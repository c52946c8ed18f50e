# SPDX-License-Identifier: MIT
"""The decoding and the check of an ``id_token``, which says which Google user has consented.

The token comes directly from the token endpoint over TLS, so its claims are checked but its signature is not (OpenID
Connect Core 1.0, 3.1.3.7, step 6).  A proxy that inspects this connection could forge an ``id_token``.  Behind such a
proxy, `PublishedKeys` checks the signature (RFC 7515).  The proxy could forge the keys as well, so the keys are fetched
on connections that the proxy must not inspect.

An account is identified by ``sub`` alone, because an address can pass to another user.

Mutable: `PublishedKeys`, which caches the keys for the time that Google names.
"""

from __future__ import annotations

import base64
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec
from jwt import PyJWK, PyJWS, get_unverified_header
from jwt.exceptions import PyJWTError
from treq.client import HTTPClient
from twisted.internet.interfaces import IReactorTime

from ldapgw.errors import BadResponse, GoogleError, IdentityUnverified
from ldapgw.google.http import CallObserver, GoogleHttpClient, ignore_call

SKEW = 60.0  # the seconds by which the clocks of Google and of this machine may differ
LARGEST = 16 * 1024  # the maximum number of octets of a token; Google's tokens have 1.2 KiB

# Google signs with this algorithm only, and signatures with other algorithms are rejected.
_ALGORITHM = "RS256"

# The shortest and the longest time for which keys are cached, in seconds; Google's answers usually allow some hours.
_SHORTEST, _LONGEST = 300.0, 86400.0
# If a signature names an unknown key, the keys are fetched again, but at most once in this number of seconds.
_PAUSE = 60.0

_GOOGLE = ("https://accounts.google.com", "accounts.google.com")
_SUB = re.compile(r"[\x21-\x7e]{1,255}")
_WORD = re.compile(r"[^\s\x00-\x1f\x7f]{0,320}")


@dataclass(frozen=True, slots=True)
class Identity:
    """A Google user.

    :ivar sub: the case-sensitive id, which never changes and is never assigned to another user.
    :ivar email: the address, which may pass to another user some day, or empty if the scope was not requested.
    :ivar hd: the Workspace domain, or empty for a consumer account, whatever the domain of its address.
    """

    sub: str
    email: str = ""
    email_verified: bool = False
    hd: str = ""


class _Claims(msgspec.Struct):
    iss: str
    aud: str | list[str]
    exp: float
    sub: str
    azp: str = ""
    nonce: str = ""
    email: str = ""
    email_verified: bool = False
    hd: str = ""


def read_identity(id_token: str, *, issuer: str, client_id: str, nonce: str | None, now: float) -> Identity:
    """Decode and check an ``id_token`` (OpenID Connect Core 1.0, 2 and 3.1.3.7).

    :param nonce: the nonce of the authorization request, or None if there was no such request, as on a refresh.
    :param now: the present time, in seconds since the epoch.
    :raises BadResponse: if the token is unreadable, for another client, for another consent, or expired.
    """
    claims = _claims(id_token)
    if claims.iss not in (_GOOGLE if issuer in _GOOGLE else (issuer,)):
        raise BadResponse("id_token of another issuer")
    if client_id not in ([claims.aud] if isinstance(claims.aud, str) else claims.aud):
        raise BadResponse("id_token for another client")
    # A token for several audiences must name the client that requested the token.
    if claims.azp != client_id and (claims.azp or not isinstance(claims.aud, str)):
        raise BadResponse("id_token with another authorized party (azp)")
    if claims.exp + SKEW <= now:
        raise BadResponse("id_token expired: check the machine's clock")
    if nonce is not None and not hmac.compare_digest(claims.nonce.encode(), nonce.encode()):
        raise BadResponse("id_token with another nonce than the authorization request")
    if not (_SUB.fullmatch(claims.sub) and _WORD.fullmatch(claims.email) and _WORD.fullmatch(claims.hd)):
        raise BadResponse("id_token with an invalid sub, email or hd")
    return Identity(claims.sub, claims.email, claims.email_verified, claims.hd)


def _claims(id_token: str) -> _Claims:
    """Decode the payload, the second of the three parts of a JWS (RFC 7515 3.1)."""
    parts = id_token.split(".") if len(id_token) <= LARGEST else ()
    if len(parts) != 3:
        raise BadResponse("id_token is not a JWT")
    try:
        octets = base64.b64decode(parts[1] + "=" * (-len(parts[1]) % 4), altchars=b"-_", validate=True)
        return msgspec.json.decode(octets, type=_Claims)
    except (ValueError, RecursionError):
        raise BadResponse("id_token cannot be read") from None


class _Jwk(msgspec.Struct):
    kty: str = ""
    kid: str = ""
    n: str = ""
    e: str = ""


class _JwkSet(msgspec.Struct):
    keys: list[_Jwk]


class PublishedKeys:
    """Google's published keys (RFC 7517).

    :param http: a client whose connections no proxy can inspect (`ldapgw.google.connections.uninspected`).
    """

    def __init__(
        self, http: HTTPClient, jwks_uri: str, clock: IReactorTime, observe: CallObserver = ignore_call
    ) -> None:
        self._http = GoogleHttpClient(http, clock, observe)
        self._jwks_uri = jwks_uri
        self._clock = clock
        self._keys: Mapping[str, PyJWK] = {}
        self._fetched_at = self._ends_at = float("-inf")

    async def check_signature(self, id_token: str) -> None:
        """Check the signature of an ``id_token``.

        :raises IdentityUnverified: if the signature is wrong, or the keys cannot be fetched.
        """
        try:
            key_id = get_unverified_header(id_token).get("kid")
        except (PyJWTError, ValueError, RecursionError):
            raise IdentityUnverified("unreadable id_token") from None
        now = self._clock.seconds()
        # If `_fetched_at` is in the future, the clock was ahead at the last fetch, and the keys are fetched again.
        is_current = self._fetched_at <= now < self._ends_at
        if not is_current or (key_id not in self._keys and now >= self._fetched_at + _PAUSE):
            try:
                await self.fetch()
            except GoogleError as error:
                raise IdentityUnverified(f"Google's keys cannot be fetched: {error.detail}") from None
        if not isinstance(key_id, str) or key_id not in self._keys:
            raise IdentityUnverified("id_token signed with a key that Google does not publish")
        try:
            PyJWS().decode(id_token, self._keys[key_id], algorithms=[_ALGORITHM])
        except (PyJWTError, ValueError, RecursionError):
            raise IdentityUnverified("id_token with a wrong signature") from None

    async def fetch(self) -> None:
        """Fetch the keys.

        :raises GoogleError: `NetworkFailure` or `BadResponse`.
        """
        now = self._clock.seconds()
        self._fetched_at = now
        answer = await self._http.get_public(self._jwks_uri)
        if answer.status != 200:
            raise BadResponse(f"HTTP {answer.status}")
        self._keys = _read_keys(answer.body)
        self._ends_at = now + min(max(answer.max_age, _SHORTEST), _LONGEST)


def _read_keys(body: bytes) -> dict[str, PyJWK]:
    """Read the RSA keys of a JWK Set by their ids; keys of other types are left out."""
    try:
        found = msgspec.json.decode(body, type=_JwkSet).keys
        keys = {
            key.kid: PyJWK({"kty": key.kty, "n": key.n, "e": key.e}, _ALGORITHM) for key in found if key.kty == "RSA"
        }
    except (ValueError, RecursionError, PyJWTError):
        raise BadResponse("unreadable keys") from None
    if not keys:
        raise BadResponse("no keys")
    return keys
