# SPDX-License-Identifier: MIT
"""The OAuth 2.0 client, which requests, exchanges, refreshes and revokes grants (RFC 6749, RFC 7636, OpenID Connect).

The client also requests access tokens for a service account with domain-wide delegation (RFC 7523).

oauthlib builds the requests and parses the answers.  The requested scopes are not passed to the parser: Google spells
scopes differently and lets people leave scopes out, and oauthlib would treat both as errors.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from urllib.parse import urlencode

import msgspec
from oauthlib.oauth2 import OAuth2Error, ServiceApplicationClient, WebApplicationClient
from treq.client import HTTPClient
from twisted.internet.interfaces import IReactorTime

from ldapgw.contact import Source
from ldapgw.errors import (
    BadResponse,
    ClientRejected,
    ConsentRevoked,
    DelegationRefused,
    GoogleError,
    GoogleRefused,
    GoogleUnavailable,
    QuotaExceeded,
    UnknownRefusal,
)
from ldapgw.google.delegation import ServiceAccount, read_token_refusal
from ldapgw.google.endpoints import CallSource, Client, Endpoints
from ldapgw.google.http import CallObserver, GoogleHttpClient, GoogleResponse, ignore_call, log_excerpt
from ldapgw.google.identity import Identity, PublishedKeys, read_identity

OPENID_SCOPES = ("openid", "email")

SCOPE_OF: Mapping[Source, str] = MappingProxyType(
    {
        Source.CONTACTS: "https://www.googleapis.com/auth/contacts.readonly",
        Source.OTHER_CONTACTS: "https://www.googleapis.com/auth/contacts.other.readonly",
        Source.DIRECTORY: "https://www.googleapis.com/auth/directory.readonly",
    }
)

# Google's answers have the long names of these two scopes.
_SHORT_SCOPES = {
    "https://www.googleapis.com/auth/userinfo.email": "email",
    "https://www.googleapis.com/auth/userinfo.profile": "profile",
}

# The default lifetime of an access token in seconds, because RFC 6749 5.1 only recommends expires_in.  Google's tokens
# last an hour.
_LIFETIME = 3600.0
_LONGEST_LIFETIME = 10 * 365 * 86400.0

# RFC 6749 appendix A.12: visible ASCII characters.  The token becomes part of a header.
_TOKEN = re.compile(r"[\x21-\x7e]{1,4096}")
_ERROR = re.compile(r"[A-Za-z_]{1,40}")

# A JWT is valid from 30 s before its signature, so that a clock which is slightly fast does no harm.  Google allows at
# most an hour between the start and the end of the validity.
_JWT_LEEWAY, _JWT_LIFETIME = 30, 3600

# A text in the form of an authorization code that Google never issued.
_UNISSUED_CODE = "4/ldapgw-asks-whether-its-client-is-known"

# Error codes of RFC 6749 5.2 and of Google for an ended grant, each with the cause of the end (empty: unknown).
_ENDS: Mapping[str, str] = MappingProxyType(
    {
        "invalid_grant": "",
        "invalid_scope": "user",
        "interaction_required": "user",
        "admin_policy_enforced": "admin",
        "account_disabled": "disabled",
        "invalid_rapt": "session",
    }
)
# Error codes for rules that an administrator of the Workspace can change, each with a name of the rule.
_REFUSED_BY: Mapping[str, str] = MappingProxyType({"access_denied": "policy", "org_internal": "internal"})
_REFUSALS: Mapping[str, type[GoogleError]] = MappingProxyType(
    {
        "invalid_client": ClientRejected,
        "deleted_client": ClientRejected,
        "disabled_client": ClientRejected,
        "unauthorized_client": ClientRejected,
        "redirect_uri_mismatch": ClientRejected,
        "rate_limit_exceeded": QuotaExceeded,
        "internal_failure": GoogleUnavailable,
        "server_error": GoogleUnavailable,
        "temporarily_unavailable": GoogleUnavailable,
    }
)


@dataclass(frozen=True, slots=True)
class Grant:
    """The content of a successful token answer; its ``repr`` shows no token.

    :ivar expires_at: end of the access token, in seconds since the epoch.
    :ivar refresh_token: the refresh token, or None.  None after a refresh means that the old token stays valid; None
        after an exchange means that Google issues a refresh token only after a new consent.  A service account gets no
        refresh token.
    :ivar scopes: the granted scopes by their short names; empty after a refresh if the scopes are unchanged (RFC 6749
        5.1).
    :ivar identity: the Google user, or None after a refresh without an ``id_token``, and for a service account.
    :ivar refresh_expires_at: end of the refresh token, or None; only clients in "Testing" and consents with a time
        limit have such an end.
    """

    access_token: str = field(repr=False)
    expires_at: float
    refresh_token: str | None = field(repr=False)
    scopes: frozenset[str]
    identity: Identity | None = field(repr=False)
    refresh_expires_at: float | None


class _Token(msgspec.Struct):
    """The schema of a token answer, successful or not; other keys are ignored."""

    access_token: str = ""
    expires_in: float = _LIFETIME
    refresh_token: str = ""
    refresh_token_expires_in: float | None = None
    scope: str = ""
    id_token: str = ""
    error: str = ""
    error_subtype: str = ""
    error_description: str = ""


def sources_of(scopes: Iterable[str]) -> frozenset[Source]:
    """Return the sources to which granted scopes give access."""
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
    prompt: Iterable[str] = (),
) -> str:
    """Return the URL of the consent page (RFC 6749 4.1.1, RFC 7636 4.3).

    :param scopes: the scopes to request in addition to `OPENID_SCOPES`, which are always requested.
    :param verifier: 43 to 128 characters (RFC 7636 4.1); the URL contains the S256 challenge of the verifier.
    :param offline: whether to request a refresh token.  The new tokens then also cover all scopes that the user has
        granted to the Google project before.
    :param prompt: ``consent`` shows a consent screen even if all scopes are granted already, because Google may issue a
        refresh token only after this screen.  ``select_account`` shows the account chooser even if the browser is
        signed in to a single account.
    """
    client = WebApplicationClient(client_id)
    prompts = " ".join(prompt)
    # oauthlib accepts only https, but the configuration also allows http on loopback addresses, for the sandbox.
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
        **({"access_type": "offline", "include_granted_scopes": "true"} if offline else {}),
        **({"prompt": prompts} if prompts else {}),
    )
    return scheme + str(url).removeprefix("https")


class OAuth:
    """The client of the token and revocation endpoints.

    All methods may raise a `GoogleError`: `NetworkFailure`, `GoogleUnavailable`, `QuotaExceeded`, `ClientRejected`,
    `BadResponse`, or an error that the docstring of the method names.

    :param keys: Google's published keys, or None if no proxy inspects connections, so that signatures need no check.
    """

    def __init__(
        self,
        http: HTTPClient,
        endpoints: Endpoints,
        clock: IReactorTime,
        keys: PublishedKeys | None = None,
        observe: CallObserver = ignore_call,
    ) -> None:
        self._http = GoogleHttpClient(http, clock, observe)
        self._endpoints = endpoints
        self._clock = clock
        self._keys = keys

    async def exchange(self, client: Client, *, code: str, redirect_uri: str, verifier: str, nonce: str) -> Grant:
        """Exchange a code for a grant (RFC 6749 4.1.3).

        A code is valid only once, so a new flow is needed after an error.

        :raises IdentityUnverified: if the signature of the ``id_token`` cannot be verified.
        """
        form = WebApplicationClient(client.client_id).prepare_request_body(
            code=code, redirect_uri=redirect_uri, code_verifier=verifier, client_secret=client.client_secret
        )
        requested_at = self._clock.seconds()
        answer = await self._http.post(self._endpoints.token_endpoint, form)
        try:
            token = _read_token(answer)
        except ConsentRevoked as error:
            if error.detail.startswith("invalid_grant"):
                raise BadResponse(f"code refused: {error.detail}") from None
            raise
        if not token.id_token or not token.scope:
            raise BadResponse("token answer without id_token or scope")
        identity = self._identity(token.id_token, client, nonce)
        if self._keys is not None:
            await self._keys.check_signature(token.id_token)
        return _grant(token, requested_at, identity)

    async def try_client(self, client: Client, redirect_uri: str) -> None:
        """Check that Google accepts a client, by exchanging a code that Google never issued.

        If Google accepts the client, the answer is ``invalid_grant``.

        :raises ClientRejected: if Google rejects the client or the redirect URI; for the redirect URI, the detail of
            the error begins with ``redirect_uri_mismatch``.
        """
        form = WebApplicationClient(client.client_id).prepare_request_body(
            code=_UNISSUED_CODE, redirect_uri=redirect_uri, client_secret=client.client_secret
        )
        try:
            _read_token(await self._http.post(self._endpoints.token_endpoint, form))
        except ConsentRevoked as error:
            if not error.detail.startswith("invalid_grant"):
                raise

    async def refresh(self, client: Client, refresh_token: str) -> Grant:
        """Renew the access token (RFC 6749 6).

        :raises ConsentRevoked: if Google no longer accepts the refresh token.
        :raises GoogleRefused: if a rule of the Workspace forbids the refresh.
        :raises UnknownRefusal: if Google refuses with an unknown error code.
        """
        form = WebApplicationClient(client.client_id).prepare_refresh_body(
            refresh_token=refresh_token, client_id=client.client_id, client_secret=client.client_secret
        )
        requested_at = self._clock.seconds()
        token = _read_token(await self._http.post(self._endpoints.token_endpoint, form))
        # The identity only shows whether the user's e-mail address has changed.  A proxy that ends TLS could forge the
        # identity, so the signature would have to be checked, and each sync would depend on Google's keys.  Therefore
        # the identity is not read behind such a proxy.  Errors in the identity are ignored, because a wrong clock of
        # this machine must not stop the syncs.
        identity = None
        if token.id_token and self._keys is None:
            with suppress(BadResponse):
                identity = self._identity(token.id_token, client, None)
        return _grant(token, requested_at, identity)

    async def delegated_grant(self, service_account: ServiceAccount, subject: str, scopes: Iterable[str]) -> Grant:
        """Request an access token for a user of the Workspace with a signed JWT (RFC 7523 2.1).

        A signature takes 0.3 ms.  The JWT has no header ``kid``, because oauthlib has no parameter for headers; Google
        then tries all keys of the service account.

        :param subject: the primary e-mail address of the user, never an alias.
        :param scopes: all scopes are refused if the Workspace's administrator has not authorized one of the scopes.
        :returns: a grant without a refresh token and without an identity; its scopes are the requested scopes.
        :raises DelegationRefused: if Google refuses the service account or the user.
        :raises UnknownRefusal: if Google refuses with an unknown error code.
        """
        requested = tuple(dict.fromkeys(scopes))
        requested_at = self._clock.seconds()
        issued_at = int(requested_at) - _JWT_LEEWAY
        form = ServiceApplicationClient(service_account.client_id).prepare_request_body(
            private_key=service_account.private_key,
            issuer=service_account.client_email,
            subject=subject,
            audience=self._endpoints.token_endpoint,
            issued_at=issued_at,
            expires_at=issued_at + _JWT_LIFETIME,
            extra_claims={"scope": " ".join(requested)},
        )
        token = _read_token(await self._http.post(self._endpoints.token_endpoint, form), _delegation_refusal)
        grant = _grant(token, requested_at, None)
        # Google's answer has no scopes, because Google grants either all requested scopes or none.
        return replace(grant, refresh_token=None, scopes=grant.scopes or frozenset(requested), refresh_expires_at=None)

    async def revoke(self, token: str) -> None:
        """Revoke a grant (RFC 7009).  A token that Google no longer knows counts as revoked."""
        form = urlencode({"token": token})
        answer = await self._http.post(self._endpoints.revocation_endpoint, form, CallSource.REVOCATION)
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


def _read_token(
    answer: GoogleResponse, refusal: Callable[[str, _Token, GoogleResponse], GoogleError] | None = None
) -> _Token:
    """Decode a token answer (RFC 6749 5.1); raise the `GoogleError` of an error answer (5.2).

    :param refusal: returns the exception for an ``error``; by default `_refusal`.
    """
    if answer.error is not None:
        raise answer.error
    try:
        # oauthlib fails in many ways on an answer of the wrong shape; msgspec rejects such answers first.
        token = msgspec.json.decode(answer.body, type=_Token, strict=False)
        WebApplicationClient("").parse_request_body_response(answer.body.decode())
    except (ValueError, RecursionError):
        raise BadResponse(f"HTTP {answer.status} without a token answer") from None
    except OAuth2Error as error:
        raise (refusal or _refusal)(str(error.error), token, answer) from None
    if answer.status != 200 or not _TOKEN.fullmatch(token.access_token):
        raise BadResponse(f"HTTP {answer.status} without an access token")
    return token


def _refusal(error: str, token: _Token, answer: GoogleResponse) -> GoogleError:
    """Return the exception for an ``error``; only the log gets Google's description of the error."""
    detail = _detail(error, token)
    if error in _ENDS:
        return ConsentRevoked(detail, by=_ENDS.get(token.error_subtype, _ENDS[error]))
    if error in _REFUSED_BY:
        return GoogleRefused(detail, retry_after=answer.retry_after, by=_REFUSED_BY[error])
    return _other_refusal(error, detail, answer)


def _delegation_refusal(error: str, token: _Token, answer: GoogleResponse) -> GoogleError:
    """Return the exception for an ``error`` in the answer to a service account."""
    detail = _detail(error, token)
    refusal = read_token_refusal(error, token.error_description)
    if refusal is not None:
        return DelegationRefused(detail, retry_after=answer.retry_after, refusal=refusal)
    return _other_refusal(error, detail, answer)


def _detail(error: str, token: _Token) -> str:
    words = [word for word in (error, token.error_subtype) if _ERROR.fullmatch(word)]
    detail = " ".join(words) or "unreadable error"
    said = log_excerpt(token.error_description)
    return f"{detail}: {said}" if said else detail


def _other_refusal(error: str, detail: str, answer: GoogleResponse) -> GoogleError:
    if error in _REFUSALS:
        return _REFUSALS[error](detail, retry_after=answer.retry_after)
    if _ERROR.fullmatch(error) and 400 <= answer.status < 500:
        return UnknownRefusal(detail, retry_after=answer.retry_after, word=error)
    return BadResponse(detail, retry_after=answer.retry_after)


def _grant(token: _Token, requested_at: float, identity: Identity | None) -> Grant:
    """Convert a token answer to a grant.

    Lifetimes begin at the time of the request, so that no token counts as valid after its end.
    """
    refresh_expires_in = token.refresh_token_expires_in
    return Grant(
        access_token=token.access_token,
        expires_at=requested_at + _limited(token.expires_in),
        refresh_token=token.refresh_token or None,
        scopes=frozenset(_SHORT_SCOPES.get(scope, scope) for scope in token.scope.split()),
        identity=identity,
        refresh_expires_at=None if refresh_expires_in is None else requested_at + _limited(refresh_expires_in),
    )


def _limited(lifetime: float) -> float:
    return min(max(lifetime, 0.0), _LONGEST_LIFETIME)
