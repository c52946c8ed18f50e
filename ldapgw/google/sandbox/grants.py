# SPDX-License-Identifier: MIT
"""The grants of accounts to clients: authorization codes, refresh tokens and access tokens with their lifetimes.

A grant belongs to one account and one client.  Revoking one of its tokens ends the whole grant.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass, replace

Now = Callable[[], float]
RandomBytes = Callable[[int], bytes]

# The lifetime of an authorization code, in seconds.
CODE_LIFE = 600.0
# The lifetime of an access token, in seconds.  Google returns 3599 for a token that is valid for an hour.
ACCESS_LIFE = 3599
# A consent to a client in "Testing" lasts 7 days; Google returns one second less.
TESTING_LIFE = 604799
# A refresh token expires after six months without use.  If a grant has a hundred refresh tokens, a new refresh token
# replaces the oldest.
UNUSED_LIFE = 183 * 86400.0
MOST_REFRESH_TOKENS = 100


@dataclass(frozen=True, slots=True)
class Grantee:
    """The parties of a grant: the ``sub`` of the account and the id of the client."""

    sub: str
    client_id: str


@dataclass(frozen=True, slots=True)
class AuthorizationCode:
    """The consent behind an authorization code, and the values that the exchange must match.

    :ivar refreshable: whether the exchange returns a refresh token, because the client has requested the token and a
        consent screen was shown.
    :ivar challenge: challenge of PKCE (RFC 7636), or empty without PKCE.
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
    """The state of a refresh token.

    :ivar expires_at: end of the token, or None if the token only expires when it is not used.
    """

    grantee: Grantee
    scopes: tuple[str, ...]
    expires_at: float | None
    used_at: float

    def is_alive(self, now: float) -> bool:
        """Return whether the token is still valid."""
        return now < self.used_at + UNUSED_LIFE and (self.expires_at is None or now < self.expires_at)


@dataclass(frozen=True, slots=True)
class AccessToken:
    """The state of an access token."""

    grantee: Grantee
    scopes: tuple[str, ...]
    expires_at: float


class Grants:
    """All grants of a world; the object is mutable, and its ``repr`` shows no token."""

    def __init__(self, now: Now, random: RandomBytes) -> None:
        self._now = now
        self._random = random
        self._codes: dict[str, AuthorizationCode] = {}
        self._refresh: dict[str, RefreshToken] = {}
        self._access: dict[str, AccessToken] = {}

    def __repr__(self) -> str:
        return f"<Grants: {len(self._refresh)} refresh tokens, {len(self._access)} access tokens>"

    def granted_scopes(self, grantee: Grantee) -> frozenset[str]:
        """Return the scopes of all tokens of a grant."""
        tokens: list[RefreshToken | AccessToken] = [*self._refresh.values(), *self._access.values()]
        return frozenset(scope for token in tokens if token.grantee == grantee for scope in token.scopes)

    def issue_code(self, consent: AuthorizationCode) -> str:
        """Issue a code, which contains a slash, like Google's codes."""
        self._codes = {code: c for code, c in self._codes.items() if self._now() < c.expires_at}
        code = "4/0A" + self._token(48)
        self._codes[code] = consent
        return code

    def find_code(self, code: str) -> AuthorizationCode | None:
        """Return the consent behind a code, or None if the code is unknown or was removed after its expiry."""
        return self._codes.get(code)

    def redeem_code(self, code: str) -> AuthorizationCode | None:
        """Use a code and return its consent, or return None if the code is unknown, used or expired."""
        consent = self._codes.get(code)
        if consent is None or consent.used or self._now() >= consent.expires_at:
            return None
        self._codes[code] = replace(consent, used=True)
        return consent

    def issue_refresh(self, grantee: Grantee, scopes: tuple[str, ...], life: float | None) -> str:
        """Issue a refresh token, and delete the oldest token if there are too many."""
        older = [token for token, state in self._refresh.items() if state.grantee == grantee]
        for token in older[: max(0, len(older) - MOST_REFRESH_TOKENS + 1)]:
            del self._refresh[token]
        token = "1//03" + self._token(64)
        self._refresh[token] = RefreshToken(grantee, scopes, life and self._now() + life, self._now())
        return token

    def use_refresh_token(self, token: str) -> RefreshToken | None:
        """Return a refresh token and store the time of its use, or return None if the token is not valid."""
        state = self._refresh.get(token)
        if state is None or not state.is_alive(self._now()):
            return None
        self._refresh[token] = replace(state, used_at=self._now())
        return state

    def issue_access(
        self, grantee: Grantee, scopes: tuple[str, ...], *, beginning: str = "ya29.a0", end: str = ""
    ) -> str:
        """Issue an access token.

        :param beginning: the first characters of the token, by which Google's kinds of tokens differ.
        :param end: the last characters of the token.
        """
        self._access = {token: state for token, state in self._access.items() if self._now() < state.expires_at}
        token = beginning + self._token(96) + end
        self._access[token] = AccessToken(grantee, scopes, self._now() + ACCESS_LIFE)
        return token

    def find_access_token(self, token: str) -> AccessToken | None:
        """Return a valid access token, or None if it is unknown or expired."""
        state = self._access.get(token)
        return state if state and self._now() < state.expires_at else None

    def grantee(self, token: str) -> Grantee | None:
        """Return the grantee of a token or code, valid or not, or None if it is unknown."""
        state = self._codes.get(token) or self._refresh.get(token) or self._access.get(token)
        return state.grantee if state else None

    def revoke(self, token: str) -> bool:
        """End the whole grant of a token.

        :returns: False if the token is not valid.
        """
        refresh = self._refresh.get(token)
        state = refresh if refresh and refresh.is_alive(self._now()) else self.find_access_token(token)
        if state is None:
            return False
        self.end_grants(state.grantee.sub, state.grantee.client_id)
        return True

    def end_grants(self, sub: str, client_id: str = "") -> None:
        """End the grants of an account to one client, or to all clients."""

        def is_ended(grantee: Grantee) -> bool:
            return grantee.sub == sub and client_id in ("", grantee.client_id)

        self._codes = {code: state for code, state in self._codes.items() if not is_ended(state.grantee)}
        self._refresh = {token: state for token, state in self._refresh.items() if not is_ended(state.grantee)}
        self._access = {token: state for token, state in self._access.items() if not is_ended(state.grantee)}

    def expire_access(self, sub: str = "") -> None:
        """End the access tokens of one account, or of all accounts; refresh tokens stay valid."""
        self._access = {token: state for token, state in self._access.items() if sub not in ("", state.grantee.sub)}

    def _token(self, length: int) -> str:
        return base64.urlsafe_b64encode(self._random(length)).decode().rstrip("=")
