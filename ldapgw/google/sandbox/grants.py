# SPDX-License-Identifier: MIT
"""What accounts have granted to clients: codes, refresh tokens, access tokens, and their deaths.

A grant is what one account gave to one client.  Revoking any of its tokens ends all of it.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass, replace

Now = Callable[[], float]
RandomBytes = Callable[[int], bytes]

CODE_LIFE = 600.0
# Google says 3599 for a token that it keeps for an hour.
ACCESS_LIFE = 3599
# Consent to a client in "Testing"; Google says one second less.
TESTING_LIFE = 604799
# A refresh token that nobody used for six months dies, and so does the oldest of more than a hundred.
UNUSED_LIFE = 183 * 86400.0
MOST_REFRESH_TOKENS = 100


@dataclass(frozen=True, slots=True)
class Grantee:
    """Who granted, and to whom: an account's ``sub`` and a client's id."""

    sub: str
    client_id: str


@dataclass(frozen=True, slots=True)
class AuthorizationCode:
    """An authorization code's consent, and all that the exchange has to match.

    :ivar refreshable: the exchange gives a refresh token: asked for, and a consent screen was shown.
    :ivar challenge: of PKCE (RFC 7636); empty if there was none.
    """

    grantee: Grantee
    scopes: tuple[str, ...]
    redirect_uri: str
    nonce: str
    challenge: str
    challenge_method: str
    refreshable: bool
    expires_at: float
    used: bool = False


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """A refresh token's standing; `expires_at` is None where it ends by disuse alone."""

    grantee: Grantee
    scopes: tuple[str, ...]
    expires_at: float | None
    used_at: float

    def is_alive(self, now: float) -> bool:
        """Whether it can still be used."""
        return now < self.used_at + UNUSED_LIFE and (self.expires_at is None or now < self.expires_at)


@dataclass(frozen=True, slots=True)
class AccessToken:
    """An access token's standing."""

    grantee: Grantee
    scopes: tuple[str, ...]
    expires_at: float


class Grants:
    """All grants of a world.  Mutable; never shows a token in its repr."""

    def __init__(self, now: Now, random: RandomBytes) -> None:
        self._now = now
        self._random = random
        self._consents: dict[str, AuthorizationCode] = {}
        self._refresh: dict[str, RefreshToken] = {}
        self._access: dict[str, AccessToken] = {}

    def __repr__(self) -> str:
        return f"<Grants: {len(self._refresh)} refresh tokens, {len(self._access)} access tokens>"

    def granted_scopes(self, grantee: Grantee) -> frozenset[str]:
        """All scopes that a living grant holds."""
        tokens: list[RefreshToken | AccessToken] = [*self._refresh.values(), *self._access.values()]
        return frozenset(scope for token in tokens if token.grantee == grantee for scope in token.scopes)

    def issue_code(self, consent: AuthorizationCode) -> str:
        """A code for a consent; it holds a slash, as Google's do."""
        self._consents = {code: c for code, c in self._consents.items() if self._now() < c.expires_at}
        code = "4/0A" + self._token(48)
        self._consents[code] = consent
        return code

    def find_code(self, code: str) -> AuthorizationCode | None:
        """What a code stands for; None if it is unknown or long gone."""
        return self._consents.get(code)

    def redeem_code(self, code: str) -> AuthorizationCode | None:
        """Use up a code; None if it was used before or came too late."""
        consent = self._consents.get(code)
        if consent is None or consent.used or self._now() >= consent.expires_at:
            return None
        self._consents[code] = replace(consent, used=True)
        return consent

    def issue_refresh(self, grantee: Grantee, scopes: tuple[str, ...], life: float | None) -> str:
        """A refresh token; with it the oldest of too many dies silently."""
        older = [token for token, held in self._refresh.items() if held.grantee == grantee]
        for token in older[: max(0, len(older) - MOST_REFRESH_TOKENS + 1)]:
            del self._refresh[token]
        token = "1//03" + self._token(64)
        self._refresh[token] = RefreshToken(grantee, scopes, life and self._now() + life, self._now())
        return token

    def use_refresh_token(self, token: str) -> RefreshToken | None:
        """A living refresh token, noted as used."""
        found = self._refresh.get(token)
        if found is None or not found.is_alive(self._now()):
            return None
        self._refresh[token] = replace(found, used_at=self._now())
        return found

    def issue_access(self, grantee: Grantee, scopes: tuple[str, ...]) -> str:
        """An access token."""
        self._access = {token: held for token, held in self._access.items() if self._now() < held.expires_at}
        token = "ya29.a0" + self._token(96)
        self._access[token] = AccessToken(grantee, scopes, self._now() + ACCESS_LIFE)
        return token

    def find_access_token(self, token: str) -> AccessToken | None:
        """A living access token."""
        found = self._access.get(token)
        return found if found and self._now() < found.expires_at else None

    def grantee(self, token: str) -> Grantee | None:
        """Whose a token or code is, dead or alive, as far as it is remembered."""
        found = self._consents.get(token) or self._refresh.get(token) or self._access.get(token)
        return found.grantee if found else None

    def revoke(self, token: str) -> bool:
        """End the whole grant that a token belongs to.

        :returns: False if there is no such living token.
        """
        refresh = self._refresh.get(token)
        found = refresh if refresh and refresh.is_alive(self._now()) else self.find_access_token(token)
        if found is None:
            return False
        self.end_grants(found.grantee.sub, found.grantee.client_id)
        return True

    def end_grants(self, sub: str, client_id: str = "") -> None:
        """End an account's grants: to one client, or to all."""

        def goes(grantee: Grantee) -> bool:
            return grantee.sub == sub and client_id in ("", grantee.client_id)

        self._consents = {code: held for code, held in self._consents.items() if not goes(held.grantee)}
        self._refresh = {token: held for token, held in self._refresh.items() if not goes(held.grantee)}
        self._access = {token: held for token, held in self._access.items() if not goes(held.grantee)}

    def expire_access(self, sub: str = "") -> None:
        """End the access tokens of one account, or of all; the refresh tokens stay."""
        self._access = {token: held for token, held in self._access.items() if sub not in ("", held.grantee.sub)}

    def _token(self, length: int) -> str:
        return base64.urlsafe_b64encode(self._random(length)).decode().rstrip("=")
