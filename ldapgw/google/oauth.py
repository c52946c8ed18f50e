# SPDX-License-Identifier: MIT
"""A grant: asked for, fetched, renewed and given back (RFC 6749, RFC 7636, OpenID Connect Core 1.0).

oauthlib writes the requests and reads the answers.  It is never told which scopes were asked for: Google spells them
otherwise and lets people untick them, and oauthlib would take that for an error.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from urllib.parse import urlencode

import msgspec
from oauthlib.oauth2 import OAuth2Error, WebApplicationClient
from treq.client import HTTPClient
from twisted.internet.interfaces import IReactorTime

from ldapgw.contact import Source
from ldapgw.errors import (
    BadResponse,
    ClientRejected,
    ConsentRevoked,
    GoogleError,
    GoogleUnavailable,
    QuotaExceeded,
)
from ldapgw.google.endpoints import Client, Endpoints
from ldapgw.google.http import GoogleHttpClient, GoogleResponse
from ldapgw.google.identity import Identity, read_identity

OPENID_SCOPES = ("openid", "email")

SCOPE_OF: Mapping[Source, str] = MappingProxyType(
    {
        Source.CONTACTS: "https://www.googleapis.com/auth/contacts.readonly",
        Source.OTHER_CONTACTS: "https://www.googleapis.com/auth/contacts.other.readonly",
        Source.DIRECTORY: "https://www.googleapis.com/auth/directory.readonly",
    }
)

# Google answers with the long names of these two.
_SHORT = {
    "https://www.googleapis.com/auth/userinfo.email": "email",
    "https://www.googleapis.com/auth/userinfo.profile": "profile",
}

# RFC 6749 5.1: expires_in is only recommended.  Google's tokens live an hour.
_LIFETIME = 3600.0
_LONGEST_LIFETIME = 10 * 365 * 86400.0

# RFC 6749 appendix A.12: visible signs.  The token goes into a header.
_TOKEN = re.compile(r"[\x21-\x7e]{1,4096}")
_ERROR = re.compile(r"[A-Za-z_]{1,40}")

# Of the form of a code; Google has given it to nobody.
_NO_CODE = "4/ldapgw-asks-whether-its-client-is-known"

# RFC 6749 5.2, and what Google adds to it.  Only the first two may cost an account its grant.
_REFUSALS: Mapping[str, type[GoogleError]] = MappingProxyType(
    {
        "invalid_grant": ConsentRevoked,
        "admin_policy_enforced": ConsentRevoked,
        "invalid_client": ClientRejected,
        "deleted_client": ClientRejected,
        "disabled_client": ClientRejected,
        "unauthorized_client": ClientRejected,
        "redirect_uri_mismatch": ClientRejected,
        "rate_limit_exceeded": QuotaExceeded,
        "server_error": GoogleUnavailable,
        "temporarily_unavailable": GoogleUnavailable,
    }
)


@dataclass(frozen=True, slots=True)
class Grant:
    """What a token answer grants; its ``repr`` shows no token.

    :ivar expires_at: end of the access token, seconds since the epoch.
    :ivar refresh_token: None on a refresh: the old one stays good.  None on an exchange: Google wants new consent.
    :ivar scopes: really granted, by their short names; empty on a refresh: as before (RFC 6749 5.1).
    :ivar identity: None on a refresh that does not tell it.
    :ivar refresh_expires_at: end of the refresh token; told for clients in "Testing" and consents with an end.
    """

    access_token: str = field(repr=False)
    expires_at: float
    refresh_token: str | None = field(repr=False)
    scopes: frozenset[str]
    identity: Identity | None = field(repr=False)
    refresh_expires_at: float | None


class _Token(msgspec.Struct):
    """The shape of a token answer, good or bad; more keys may come."""

    access_token: str = ""
    expires_in: float = _LIFETIME
    refresh_token: str = ""
    refresh_token_expires_in: float | None = None
    scope: str = ""
    id_token: str = ""
    error: str = ""
    error_subtype: str = ""


def sources_of(scopes: Iterable[str]) -> frozenset[Source]:
    """The sources that granted scopes open."""
    granted = frozenset(scopes)
    return frozenset(source for source, scope in SCOPE_OF.items() if scope in granted)


def authorization_url(
    endpoints: Endpoints,
    client_id: str,
    *,
    redirect_uri: str,
    scopes: Iterable[str],
    state: str,
    nonce: str,
    verifier: str,
    offline: bool,
    login_hint: str = "",
    choose: bool = False,
) -> str:
    """Where to send a browser for consent (RFC 6749 4.1.1, RFC 7636 4.3).

    :param scopes: besides `OPENID_SCOPES`, which are always asked for.
    :param verifier: 43 to 128 signs of RFC 7636 4.1; its S256 challenge is sent.
    :param offline: ask for a refresh token.  Google gives one only after a consent screen, so that is asked for too.
    :param choose: let the person choose among their Google accounts, even where the browser has one alone.
    """
    client = WebApplicationClient(client_id)
    prompts = [*(["select_account"] if choose else []), *(["consent"] if offline else [])]
    # oauthlib takes https alone.  The configuration allows http too, on loopback addresses, for the sandbox.
    scheme, _, rest = endpoints.authorization_endpoint.partition("://")
    url = client.prepare_request_uri(
        f"https://{rest}",
        redirect_uri=redirect_uri,
        scope=list(dict.fromkeys((*OPENID_SCOPES, *scopes))),
        state=state,
        code_challenge=client.create_code_challenge(verifier, "S256"),
        code_challenge_method="S256",
        nonce=nonce,
        login_hint=login_hint,
        **({"access_type": "offline"} if offline else {}),
        **({"prompt": " ".join(prompts)} if prompts else {}),
    )
    return scheme + str(url).removeprefix("https")


class OAuth:
    """Speaks to the token and revocation endpoints.

    All methods raise `GoogleError`: `NetworkTrouble`, `GoogleUnavailable`, `QuotaExceeded`, `ClientRejected` or
    `BadResponse`, and what they name themselves.
    """

    def __init__(self, http: HTTPClient, endpoints: Endpoints, clock: IReactorTime) -> None:
        self._http = GoogleHttpClient(http, clock)
        self._endpoints = endpoints
        self._clock = clock

    async def exchange(self, client: Client, *, code: str, redirect_uri: str, verifier: str, nonce: str) -> Grant:
        """Exchange a code for a grant (RFC 6749 4.1.3).  A code is good once: after any error the flow starts anew."""
        form = WebApplicationClient(client.client_id).prepare_request_body(
            code=code, redirect_uri=redirect_uri, code_verifier=verifier, client_secret=client.client_secret
        )
        asked = self._clock.seconds()
        answer = await self._http.post(self._endpoints.token_endpoint, form)
        try:
            token = _read_token(answer)
        except ConsentRevoked as error:
            if error.detail.startswith("invalid_grant"):
                raise BadResponse(f"code refused: {error.detail}") from None
            raise
        if not token.id_token or not token.scope:
            raise BadResponse("token answer without id_token or scope")
        return _grant(token, asked, self._identity(token.id_token, client, nonce))

    async def try_client(self, client: Client, redirect_uri: str) -> None:
        """Find out whether Google takes a client, by a code that it has never given: of a known one it says just that.

        :raises ClientRejected: when it does not; ``redirect_uri_mismatch`` means that it knows the client.
        """
        form = WebApplicationClient(client.client_id).prepare_request_body(
            code=_NO_CODE, redirect_uri=redirect_uri, client_secret=client.client_secret
        )
        try:
            _read_token(await self._http.post(self._endpoints.token_endpoint, form))
        except ConsentRevoked as error:
            if not error.detail.startswith("invalid_grant"):
                raise

    async def refresh(self, client: Client, refresh_token: str) -> Grant:
        """Renew the access token (RFC 6749 6).

        :raises ConsentRevoked: ``invalid_grant`` or ``admin_policy_enforced``.
        """
        form = WebApplicationClient(client.client_id).prepare_refresh_body(
            refresh_token=refresh_token, client_id=client.client_id, client_secret=client.client_secret
        )
        asked = self._clock.seconds()
        token = _read_token(await self._http.post(self._endpoints.token_endpoint, form))
        try:
            identity = self._identity(token.id_token, client, None) if token.id_token else None
        except BadResponse:
            # It tells of a new address at most; a wrong clock here must not stop the syncs.
            identity = None
        return _grant(token, asked, identity)

    async def revoke(self, token: str) -> None:
        """Give a grant back (RFC 7009).  One that Google no longer knows is given back already."""
        answer = await self._http.post(self._endpoints.revocation_endpoint, urlencode({"token": token}))
        if answer.status == 200:
            return
        try:
            _read_token(answer)
        except BadResponse as error:
            if answer.status != 400 or not error.detail.startswith(("invalid_token", "invalid_grant")):
                raise
        except ConsentRevoked:
            return

    def _identity(self, id_token: str, client: Client, nonce: str | None) -> Identity:
        return read_identity(
            id_token,
            issuer=self._endpoints.issuer,
            client_id=client.client_id,
            nonce=nonce,
            now=self._clock.seconds(),
        )


def _read_token(answer: GoogleResponse) -> _Token:
    """RFC 6749 5.1 and 5.2; raises what the answer means."""
    if answer.error is not None:
        raise answer.error
    try:
        # oauthlib expects the right shape, and fails in many ways on another: it sees none.
        token = msgspec.json.decode(answer.body, type=_Token, strict=False)
        WebApplicationClient("").parse_request_body_response(answer.body.decode())
    except (ValueError, RecursionError):
        raise BadResponse(f"HTTP {answer.status} without a token answer") from None
    except OAuth2Error as error:
        raise _refusal(str(error.error), token.error_subtype, answer) from None
    if answer.status != 200 or not _TOKEN.fullmatch(token.access_token):
        raise BadResponse(f"HTTP {answer.status} without an access token")
    return token


def _refusal(error: str, subtype: str, answer: GoogleResponse) -> GoogleError:
    """The exception for an ``error``; its description is for nobody: it is vague, and may hold an address."""
    known = [word for word in (error, subtype) if _ERROR.fullmatch(word)]
    detail = " ".join(known) or "unreadable error"
    if error == "admin_policy_enforced":
        return ConsentRevoked(detail, by_admin=True)
    return _REFUSALS.get(error, BadResponse)(detail, retry_after=answer.retry_after)


def _grant(token: _Token, requested_at: float, identity: Identity | None) -> Grant:
    """Lifetimes count from the request, which is before they began."""
    ends = token.refresh_token_expires_in
    return Grant(
        access_token=token.access_token,
        expires_at=requested_at + _bounded(token.expires_in),
        refresh_token=token.refresh_token or None,
        scopes=frozenset(_SHORT.get(scope, scope) for scope in token.scope.split()),
        identity=identity,
        refresh_expires_at=None if ends is None else requested_at + _bounded(ends),
    )


def _bounded(lifetime: float) -> float:
    return min(max(lifetime, 0.0), _LONGEST_LIFETIME)
