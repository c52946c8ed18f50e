# SPDX-License-Identifier: MIT
"""The authorization endpoint: who is asked for what, and where the browser goes then.  Pure.

RFC 6749 4.1.1 and 4.1.2, RFC 7636 4.3, OpenID Connect Core 3.1.2.1.  All accounts of the sandbox count as signed in to
every browser, so that somebody has to choose one unless a ``login_hint`` does.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlencode, urlsplit, urlunsplit

from ldapgw.errors import LdapgwError
from ldapgw.google.sandbox import oauth
from ldapgw.google.sandbox.grants import CODE_LIFE, AuthorizationCode, Grantee
from ldapgw.google.sandbox.reply import Parameters
from ldapgw.google.sandbox.world import GoogleAccount, RegisteredClient, World

# What the consent page says about a scope; sign-in scopes are one line together.
SCOPES = {
    "https://www.googleapis.com/auth/contacts.readonly": "See and download your contacts",
    "https://www.googleapis.com/auth/contacts": "See, edit, download and permanently delete your contacts",
    "https://www.googleapis.com/auth/contacts.other.readonly": (
        "See and download contact info automatically saved in your “Other contacts”"
    ),
    "https://www.googleapis.com/auth/directory.readonly": (
        "See and download your organization’s Google Workspace directory"
    ),
}
# RFC 7636 4.1 and 4.2.
_CHALLENGE = re.compile(r"[A-Za-z0-9._~-]{43,128}")


class AuthorizationError(LdapgwError):
    """Raised when Google shows an error page of its own: the browser is never sent back.

    :param code: as Google prints it, such as ``redirect_uri_mismatch``.
    """

    def __init__(self, status: int, code: str, text: str) -> None:
        super().__init__(code)
        self.status = status
        self.code = code
        self.text = text


@dataclass(frozen=True, slots=True)
class AuthorizationRequest:
    """An authorization request that can be shown to an account's owner."""

    client: RegisteredClient
    redirect_uri: str
    scopes: tuple[str, ...]
    state: str
    nonce: str
    challenge: str
    challenge_method: str
    offline: bool
    prompt: frozenset[str]
    login_hint: str
    include_granted_scopes: bool

    @property
    def choices(self) -> tuple[str, ...]:
        """The scopes that are not for signing in; with two or more each has a tick box."""
        return tuple(scope for scope in self.scopes if scope not in oauth.SIGN_IN_SCOPES)


@dataclass(frozen=True, slots=True)
class ConsentPage:
    """The page to show; `chosen` is the account that is marked already."""

    request: AuthorizationRequest
    accounts: tuple[GoogleAccount, ...]
    chosen: str
    problem: str = ""

    @property
    def boxes(self) -> bool:
        """Whether scopes can be ticked one by one; the boxes start empty."""
        return len(self.request.choices) > 1


@dataclass(frozen=True, slots=True, repr=False)
class Redirect:
    """The browser goes back to the client."""

    url: str


def read_request(world: World, query: Parameters) -> AuthorizationRequest:
    """Check a request as far as Google does before it shows anything.

    :raises AuthorizationError: for whatever Google does not answer with a redirect.
    """
    for name, values in query.items():
        if len(values) > 1:
            raise _invalid(f"OAuth 2 parameters can only have a single value: {name}")
    given = {name: values[0] for name, values in query.items()}
    client = _client(world, given)
    redirect_uri = _need(given, "redirect_uri")
    if redirect_uri not in client.redirect_uris:
        raise AuthorizationError(
            400, "redirect_uri_mismatch", f"The redirect URI of the request is not registered: {redirect_uri}"
        )
    if _need(given, "response_type") != "code":
        raise AuthorizationError(400, "unsupported_response_type", "The sandbox knows response_type=code alone.")
    prompt = frozenset(given.get("prompt", "").split())
    _check_words(given, prompt)
    return AuthorizationRequest(
        client=client,
        redirect_uri=redirect_uri,
        scopes=_scopes(_need(given, "scope")),
        state=given.get("state", ""),
        nonce=given.get("nonce", ""),
        challenge=given.get("code_challenge", ""),
        challenge_method=given.get("code_challenge_method", "plain"),
        offline=given.get("access_type") == "offline",
        prompt=prompt,
        login_hint=given.get("login_hint", ""),
        include_granted_scopes=given.get("include_granted_scopes") == "true",
    )


def authorize(world: World, request: AuthorizationRequest) -> ConsentPage | Redirect:
    """What a browser that comes with a request gets."""
    hinted = _hinted(world, request.login_hint)
    silent = hinted is not None and _covered(world, request, hinted)
    if hinted and silent and not request.prompt & {"consent", "select_account"}:
        return _granted(world, request, hinted, request.scopes, shown=False)
    if "none" in request.prompt:
        return _back(request, {"error": "consent_required" if hinted else "interaction_required"})
    return ConsentPage(request, tuple(world.accounts.values()), hinted.address if hinted else "")


def decide(world: World, request: AuthorizationRequest, form: Parameters) -> ConsentPage | Redirect:
    """What follows from the form of the consent page.

    :raises AuthorizationError: if the chosen account may not use this client.
    """
    if form.get("decision") != ("continue",):
        return _back(request, {"error": "access_denied"})
    account = world.accounts.get(form.get("account", ("",))[0])
    if account is None:
        return ConsentPage(request, tuple(world.accounts.values()), "", "Choose an account.")
    if request.client.audience == "internal" and account.hd != request.client.domain:
        raise AuthorizationError(403, "org_internal", "This client is restricted to users within its organization.")
    ticked = form.get("scope", ())
    boxes = len(request.choices) > 1
    scopes = tuple(s for s in request.scopes if not boxes or s in oauth.SIGN_IN_SCOPES or s in ticked)
    # Choosing an account that granted all this before is no consent screen, and gives no new refresh token.
    shown = "consent" in request.prompt or not _covered(world, request, account)
    return _granted(world, request, account, scopes, shown=shown)


def _granted(
    world: World, request: AuthorizationRequest, account: GoogleAccount, scopes: tuple[str, ...], *, shown: bool
) -> Redirect:
    grantee = Grantee(account.sub, request.client.client_id)
    granted = oauth.spelled(scopes)
    if request.include_granted_scopes:
        granted = tuple(dict.fromkeys((*granted, *sorted(world.grants.granted_scopes(grantee)))))
    consent = AuthorizationCode(
        grantee=grantee,
        scopes=granted,
        redirect_uri=request.redirect_uri,
        nonce=request.nonce,
        challenge=request.challenge,
        challenge_method=request.challenge_method,
        refreshable=request.offline and shown,
        expires_at=world.time() + CODE_LIFE,
    )
    answer = {
        "iss": world.issuer,
        "code": world.grants.issue_code(consent),
        "scope": " ".join(scopes),
        "authuser": str(list(world.accounts).index(account.address)),
    }
    if account.hd:
        answer["hd"] = account.hd
    return _back(request, answer | {"prompt": "consent" if shown else "none"})


def _back(request: AuthorizationRequest, answer: dict[str, str]) -> Redirect:
    """To the redirect URI, whose own query is kept (RFC 6749 3.1.2); the state comes back unchanged."""
    parts = urlsplit(request.redirect_uri)
    state = {"state": request.state} if request.state else {}
    query = "&".join(filter(None, (parts.query, urlencode(state | answer))))
    return Redirect(urlunsplit(parts._replace(query=query)))


def _covered(world: World, request: AuthorizationRequest, account: GoogleAccount) -> bool:
    held = world.grants.granted_scopes(Grantee(account.sub, request.client.client_id))
    return held.issuperset(oauth.spelled(request.scopes))


def _hinted(world: World, hint: str) -> GoogleAccount | None:
    """An address or a ``sub``; one that is not known here is no hint."""
    return world.accounts.get(hint) or world.account_of(hint)


def _client(world: World, given: dict[str, str]) -> RegisteredClient:
    client = world.clients.get(_need(given, "client_id"))
    if client is None or client.state == "unknown":
        raise AuthorizationError(401, "invalid_client", "The OAuth client was not found.")
    if client.state == "deleted":
        raise AuthorizationError(401, "deleted_client", "The OAuth client was deleted.")
    return client


def _scopes(text: str) -> tuple[str, ...]:
    scopes = tuple(dict.fromkeys(text.split()))
    unknown = [scope for scope in scopes if scope not in SCOPES and scope not in oauth.SIGN_IN_SCOPES]
    if unknown or not scopes:
        raise AuthorizationError(400, "invalid_scope", f"Some requested scopes were invalid: {unknown}")
    return scopes


def _check_words(given: dict[str, str], prompt: frozenset[str]) -> None:
    """Parameters that have few values, or a fixed form."""
    if given.get("access_type", "online") not in ("online", "offline"):
        raise _invalid(f"Invalid parameter value for access_type: {given['access_type']}")
    if not prompt <= {"none", "consent", "select_account"} or ("none" in prompt and len(prompt) > 1):
        raise _invalid(f"Invalid parameter value for prompt: {given['prompt']}")
    if given.get("code_challenge_method", "plain") not in ("plain", "S256"):
        raise _invalid(f"Invalid parameter value for code_challenge_method: {given['code_challenge_method']}")
    if "code_challenge" in given and not _CHALLENGE.fullmatch(given["code_challenge"]):
        raise _invalid("Invalid parameter value for code_challenge")


def _need(given: dict[str, str], name: str) -> str:
    if not given.get(name):
        raise _invalid(f"Missing required parameter: {name}")
    return given[name]


def _invalid(text: str) -> AuthorizationError:
    return AuthorizationError(400, "invalid_request", text)
