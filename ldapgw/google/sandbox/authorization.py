# SPDX-License-Identifier: MIT
"""The authorization endpoint, which checks requests, shows the consent page if needed, and redirects the browser.

The functions are pure: they do no I/O.

Sources: RFC 6749 4.1.1 and 4.1.2, RFC 7636 4.3, OpenID Connect Core 3.1.2.1.  Every browser counts as signed in to all
accounts of the sandbox, so the user has to choose an account unless there is a ``login_hint``.
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

# The text of each scope on the consent page; the sign-in scopes share one line.
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
# The form of a code challenge (RFC 7636 4.1 and 4.2).
_CHALLENGE = re.compile(r"[A-Za-z0-9._~-]{43,128}")


class AuthorizationError(LdapgwError):
    """Raised when Google shows an error page instead of redirecting the browser to the client.

    :param code: the error code on the page, such as ``redirect_uri_mismatch``.
    """

    def __init__(self, status: int, code: str, text: str) -> None:
        super().__init__(code)
        self.status = status
        self.code = code
        self.text = text


@dataclass(frozen=True, slots=True)
class AuthorizationRequest:
    """A valid authorization request, ready for the consent page."""

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


@dataclass(frozen=True, slots=True)
class ConsentPage:
    """The consent page.

    :ivar choices: the scopes that the page asks for, without the sign-in scopes.
    :ivar chosen: the address of the preselected account, or empty.
    :ivar problem: an error message for the user, or empty.
    """

    request: AuthorizationRequest
    choices: tuple[str, ...]
    accounts: tuple[GoogleAccount, ...]
    chosen: str
    problem: str = ""

    @property
    def boxes(self) -> bool:
        """Return whether each scope has a tick box; the boxes are empty at first."""
        return len(self.choices) > 1


@dataclass(frozen=True, slots=True, repr=False)
class Redirect:
    """A redirect of the browser to the client."""

    url: str


def read_request(world: World, query: Parameters) -> AuthorizationRequest:
    """Parse a request, and make the checks that Google makes before the consent page.

    :raises AuthorizationError: if a check fails; Google answers these errors with an error page, not with a redirect.
    """
    for name, values in query.items():
        if len(values) > 1:
            raise _invalid(f"OAuth 2 parameters can only have a single value: {name}")
    parameters = {name: values[0] for name, values in query.items()}
    client = _client(world, parameters)
    redirect_uri = _need(parameters, "redirect_uri")
    if redirect_uri not in client.redirect_uris:
        raise AuthorizationError(
            400, "redirect_uri_mismatch", f"The redirect URI of the request is not registered: {redirect_uri}"
        )
    if _need(parameters, "response_type") != "code":
        raise AuthorizationError(400, "unsupported_response_type", "The sandbox knows response_type=code alone.")
    prompt = frozenset(parameters.get("prompt", "").split())
    _check_values(parameters, prompt)
    return AuthorizationRequest(
        client=client,
        redirect_uri=redirect_uri,
        scopes=_scopes(_need(parameters, "scope")),
        state=parameters.get("state", ""),
        nonce=parameters.get("nonce", ""),
        challenge=parameters.get("code_challenge", ""),
        challenge_method=parameters.get("code_challenge_method", "plain"),
        offline=parameters.get("access_type") == "offline",
        prompt=prompt,
        login_hint=parameters.get("login_hint", ""),
        include_granted_scopes=parameters.get("include_granted_scopes") == "true",
    )


def authorize(world: World, request: AuthorizationRequest) -> ConsentPage | Redirect:
    """Answer a request: show the consent page, or redirect if no consent is needed."""
    hinted = _hinted_account(world, request.login_hint)
    if hinted and not _new_scopes(world, request, hinted) and not request.prompt & {"consent", "select_account"}:
        return _grant(world, request, hinted, request.scopes, is_consent_shown=False)
    if "none" in request.prompt:
        return _redirect_back(request, {"error": "consent_required" if hinted else "interaction_required"})
    choices = _choices(world, request)
    return ConsentPage(request, choices, tuple(world.accounts.values()), hinted.address if hinted else "")


def decide(world: World, request: AuthorizationRequest, form: Parameters) -> ConsentPage | Redirect:
    """Answer the form of the consent page.

    :raises AuthorizationError: if the chosen account may not use the client.
    """
    if form.get("decision") != ("continue",):
        return _redirect_back(request, {"error": "access_denied"})
    account = world.accounts.get(form.get("account", ("",))[0])
    choices = _choices(world, request)
    if account is None:
        return ConsentPage(request, choices, tuple(world.accounts.values()), "", "Choose an account.")
    if request.client.audience == "internal" and account.hd != request.client.domain:
        raise AuthorizationError(403, "org_internal", "This client is restricted to users within its organization.")
    ticked = set(choices) if len(choices) == 1 else set(form.get("scope", ()))
    new = _new_scopes(world, request, account)
    # The page does not ask for a scope that the account has granted before, so this scope needs no tick.
    scopes = tuple(s for s in request.scopes if s in oauth.SIGN_IN_SCOPES or s in ticked or s not in {*choices, *new})
    # If the page asks for no new scope, Google shows no consent screen and issues no new refresh token.
    is_consent_shown = "consent" in request.prompt or bool(new)
    refused = frozenset(choices).difference(scopes)
    return _grant(world, request, account, scopes, is_consent_shown=is_consent_shown, refused=refused)


def _grant(
    world: World,
    request: AuthorizationRequest,
    account: GoogleAccount,
    scopes: tuple[str, ...],
    *,
    is_consent_shown: bool,
    refused: frozenset[str] = frozenset(),
) -> Redirect:
    """Return the redirect with a code.

    :param refused: scopes that the user has just refused, even if the user granted them before.
    """
    grantee = Grantee(account.sub, request.client.client_id)
    granted = oauth.spelled(scopes)
    if request.include_granted_scopes:
        granted = tuple(dict.fromkeys((*granted, *sorted(world.grants.granted_scopes(grantee) - refused))))
    code = AuthorizationCode(
        grantee=grantee,
        scopes=granted,
        redirect_uri=request.redirect_uri,
        nonce=request.nonce,
        challenge=request.challenge,
        challenge_method=request.challenge_method,
        refreshable=request.offline and is_consent_shown,
        expires_at=world.time() + CODE_LIFE,
    )
    answer = {
        "iss": world.issuer,
        "code": world.grants.issue_code(code),
        "scope": " ".join(scopes),
        "authuser": str(list(world.accounts).index(account.address)),
    }
    if account.hd:
        answer["hd"] = account.hd
    return _redirect_back(request, answer | {"prompt": "consent" if is_consent_shown else "none"})


def _redirect_back(request: AuthorizationRequest, answer: dict[str, str]) -> Redirect:
    """Return a redirect to the redirect URI, with its query (RFC 6749 3.1.2) and the state of the request."""
    parts = urlsplit(request.redirect_uri)
    state = {"state": request.state} if request.state else {}
    query = "&".join(filter(None, (parts.query, urlencode(state | answer))))
    return Redirect(urlunsplit(parts._replace(query=query)))


def _new_scopes(world: World, request: AuthorizationRequest, account: GoogleAccount) -> tuple[str, ...]:
    """Return the requested scopes that an account has not granted to the client yet."""
    granted = world.grants.granted_scopes(Grantee(account.sub, request.client.client_id))
    return tuple(scope for scope in request.scopes if not granted.issuperset(oauth.spelled([scope])))


def _choices(world: World, request: AuthorizationRequest) -> tuple[str, ...]:
    """Return the scopes that the consent page asks for; if there are two or more, each scope has a tick box.

    The page asks the account of the ``login_hint`` only for new scopes, unless ``prompt=consent`` demands all.
    """
    hinted = _hinted_account(world, request.login_hint)
    scopes = request.scopes
    if hinted is not None and "consent" not in request.prompt:
        scopes = _new_scopes(world, request, hinted)
    return tuple(scope for scope in scopes if scope not in oauth.SIGN_IN_SCOPES)


def _hinted_account(world: World, hint: str) -> GoogleAccount | None:
    """Return the account of a ``login_hint`` (an address or a ``sub``), or None if there is no such account."""
    return world.accounts.get(hint) or world.account_of(hint)


def _client(world: World, parameters: dict[str, str]) -> RegisteredClient:
    client = world.clients.get(_need(parameters, "client_id"))
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


def _check_values(parameters: dict[str, str], prompt: frozenset[str]) -> None:
    """Check the parameters with an enumerated value or a fixed format."""
    if parameters.get("access_type", "online") not in ("online", "offline"):
        raise _invalid(f"Invalid parameter value for access_type: {parameters['access_type']}")
    if not prompt <= {"none", "consent", "select_account"} or ("none" in prompt and len(prompt) > 1):
        raise _invalid(f"Invalid parameter value for prompt: {parameters['prompt']}")
    if parameters.get("code_challenge_method", "plain") not in ("plain", "S256"):
        raise _invalid(f"Invalid parameter value for code_challenge_method: {parameters['code_challenge_method']}")
    if "code_challenge" in parameters and not _CHALLENGE.fullmatch(parameters["code_challenge"]):
        raise _invalid("Invalid parameter value for code_challenge")


def _need(parameters: dict[str, str], name: str) -> str:
    if not parameters.get(name):
        raise _invalid(f"Missing required parameter: {name}")
    return parameters[name]


def _invalid(text: str) -> AuthorizationError:
    return AuthorizationError(400, "invalid_request", text)
