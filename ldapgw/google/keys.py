# SPDX-License-Identifier: MIT
"""Google's published keys (RFC 7517), and the check that an ``id_token`` was signed with one of them (RFC 7515).

Needed where a proxy inspects the connections to Google: it could answer a code with an ``id_token`` of its own making.
It could make up the keys as well, so they are fetched on connections that it must not inspect.
Mutable: `PublishedKeys`, which keeps the keys for as long as Google says.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from jwt import PyJWK, PyJWS, get_unverified_header
from jwt.exceptions import PyJWTError
from treq.client import HTTPClient
from twisted.internet.interfaces import IReactorTime

from ldapgw.errors import BadResponse, GoogleError, IdentityUnverified
from ldapgw.google.http import CallObserver, GoogleHttpClient, ignore_call

# The only algorithm that Google signs with, and the only one that is believed.
_ALGORITHM = "RS256"

# Seconds for which keys are kept: Google says some hours.
_SHORTEST, _LONGEST = 300.0, 86400.0
# Seconds between fetches for the sake of a key that is not known.
_PAUSE = 60.0


class _Jwk(msgspec.Struct):
    kty: str = ""
    kid: str = ""
    n: str = ""
    e: str = ""


class _JwkSet(msgspec.Struct):
    keys: list[_Jwk]


class PublishedKeys:
    """Google's published keys.

    :param http: its connections must not be inspected (`ldapgw.google.connections.uninspected`).
    :param jwks_uri: where they are published.
    :param observe: called for each call.
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

        :raises IdentityUnverified: when it is wrong, or the keys cannot be fetched.
        """
        try:
            key_id = get_unverified_header(id_token).get("kid")
        except (PyJWTError, ValueError, RecursionError):
            raise IdentityUnverified("unreadable id_token") from None
        now = self._clock.seconds()
        if now >= self._ends_at or (key_id not in self._keys and now >= self._fetched_at + _PAUSE):
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
    """Read the RSA keys of a JWK Set by their ids; others are left out."""
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
