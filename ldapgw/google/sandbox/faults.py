# SPDX-License-Identifier: MIT
"""Faults to inject into the sandbox: Google's error replies, broken replies, and the queue of pending faults.

`FAULTS` has every fault by its name.  Errors of the People API have one schema (``google.rpc.Status``), and errors of
the token endpoint have another schema (RFC 6749 5.2).  With a `Breakage`, the sandbox's own reply is lost or changed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import Any

from ldapgw.errors import UserError
from ldapgw.google.sandbox.reply import API_HEADERS, TOKEN_HEADERS, ApiReply, ApiRequest, Headers

_INFO = "type.googleapis.com/google.rpc.ErrorInfo"
_HTML = ("Content-Type", "text/html; charset=UTF-8")
_REALM = 'Bearer realm="https://accounts.google.com/", error='
_EXPIRED = "Sync token is expired. Clear local cache and retry call without the sync token."
_ENABLE = "https://console.developers.google.com/apis/api/people.googleapis.com/overview?project=123456789012"
_DISABLED = (
    "People API has not been used in project 123456789012 before or it is disabled. Enable it by visiting "
    f"{_ENABLE} then retry. If you enabled this API recently, wait a few minutes for the action to propagate to our "
    "systems and retry."
)


class Breakage(Enum):
    """The ways in which a reply can be lost or changed."""

    CUT_OFF = "the answer ends in the middle"
    LOST = "the connection closes without an answer"
    SILENCE = "the answer never comes"
    EMPTY_PAGE = "an empty page with a next page token comes first"


# A function that returns the sandbox's own reply to a call.
Respond = Callable[[ApiRequest], ApiReply]
# A function that answers a call in place of the sandbox; its second argument returns the sandbox's own reply.
Damage = Callable[[ApiRequest, Respond], ApiReply]


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault that can be injected by its name.

    :ivar prefix: prefix of the paths of the affected endpoints, unless the injection names a path.
    :ivar effect: Google's error reply, the breakage of the reply, or a function that answers in place of the sandbox.
    """

    name: str
    prefix: str
    effect: ApiReply | Breakage | Damage


@dataclass(slots=True)
class Injection:
    """A pending fault.

    :ivar remaining: number of calls that still fail, or None for all calls until the fault is cleared.
    :ivar account: address of the affected account, or empty for all accounts.
    :ivar path: path of the affected endpoint, or empty for every endpoint with the prefix of the fault.
    :ivar after: number of calls that succeed before the first call fails.
    """

    fault: Fault
    remaining: int | None
    account: str
    path: str
    after: int = 0

    def applies_to(self, path: str, account: str) -> bool:
        """Return whether the fault affects a call."""
        is_path_affected = path == self.path if self.path else path.startswith(self.fault.prefix)
        return is_path_affected and self.account in ("", account)


class Faults:
    """The pending faults, the oldest first; the object is mutable.

    :ivar known: the faults that can be injected, by name.
    """

    def __init__(self, known: Mapping[str, Fault]) -> None:
        self.known = known
        self.pending: list[Injection] = []

    def inject(self, name: str, *, times: int | None = None, account: str = "", path: str = "", after: int = 0) -> None:
        """Inject a fault into the next `times` calls, or into all calls until `clear` is called.

        :param after: number of calls that succeed first, such as 1 to fail at the second page of a list.
        :raises UserError: if the name is not known or a number is out of range.
        """
        if name not in self.known:
            raise UserError(f"{name} is no fault; the faults are: {', '.join(self.known)}")
        if times is not None and times < 1:
            raise UserError(f"times = {times}: expected 1 or more, or nothing for all calls")
        if after < 0:
            raise UserError(f"after = {after}: expected 0 or more")
        self.pending.append(Injection(self.known[name], times, account, path, after))

    def clear(self) -> None:
        """Remove all pending faults."""
        self.pending.clear()

    def take(self, path: str, account: str) -> Fault | None:
        """Return the fault of a call, if any, and count down the calls that still fail."""
        for injection in self.pending:
            if not injection.applies_to(path, account):
                continue
            if injection.after:
                injection.after -= 1
                continue
            if injection.remaining is not None:
                injection.remaining -= 1
                if not injection.remaining:
                    self.pending.remove(injection)
            return injection.fault
        return None


# --- Errors that the sandbox also returns without an injection ------------------------------------------------------


def api_error(code: int, status: str, message: str, *, extra: Headers = (), **more: Any) -> ApiReply:
    """Return an error reply of the People API.

    :param more: the optional fields ``errors`` and ``details``.
    """
    error = {"code": code, "message": message, **more, "status": status}
    return ApiReply.of(code, {"error": error}, API_HEADERS + extra)


def invalid_argument(message: str) -> ApiReply:
    """Return the error reply for a wrong parameter (400)."""
    return api_error(400, "INVALID_ARGUMENT", message)


def unauthenticated(method: str, reason: str) -> ApiReply:
    """Return the error reply for a missing or invalid access token (401)."""
    return api_error(
        401,
        "UNAUTHENTICATED",
        "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other valid "
        "authentication credential. See https://developers.google.com/identity/sign-in/web/devconsole-project.",
        extra=(("WWW-Authenticate", _REALM + '"invalid_token"'),),
        details=[_service_info(reason, method)],
    )


def scope_insufficient(method: str, scope: str) -> ApiReply:
    """Return the error reply for an access token without the scope (403)."""
    return api_error(
        403,
        "PERMISSION_DENIED",
        "Request had insufficient authentication scopes.",
        extra=(("WWW-Authenticate", f'{_REALM}"insufficient_scope", scope="{scope}"'),),
        errors=[{"message": "Insufficient Permission", "domain": "global", "reason": "insufficientPermissions"}],
        details=[_service_info("ACCESS_TOKEN_SCOPE_INSUFFICIENT", method)],
    )


def expired_sync_token(status: str = "INVALID_ARGUMENT") -> ApiReply:
    """Return the error reply for an expired sync token (400).

    :param status: the value of the field ``status``; Google has sent both INVALID_ARGUMENT and FAILED_PRECONDITION.
    """
    details = [{"@type": _INFO, "reason": "EXPIRED_SYNC_TOKEN", "domain": "people.googleapis.com"}]
    return api_error(400, status, _EXPIRED, details=details)


def token_error(status: int, error: str, description: str, **more: str) -> ApiReply:
    """Return an error reply of the token or revocation endpoint (RFC 6749 5.2)."""
    return ApiReply.of(status, {"error": error, "error_description": description, **more}, TOKEN_HEADERS)


NO_DOMAIN_USER = api_error(400, "FAILED_PRECONDITION", "Must be a G Suite domain user.")
REVOKED = token_error(400, "invalid_grant", "Token has been expired or revoked.")
BAD_GRANT = token_error(400, "invalid_grant", "Bad Request")
MALFORMED_CODE = token_error(400, "invalid_grant", "Malformed auth code.")
WRONG_SECRET = token_error(401, "invalid_client", "Unauthorized")
UNKNOWN_CLIENT = token_error(401, "invalid_client", "The OAuth client was not found.")
DELETED_CLIENT = token_error(401, "deleted_client", "The OAuth client was deleted.")
WRONG_REDIRECT = token_error(400, "redirect_uri_mismatch", "Bad Request")
FOREIGN_CLIENT = token_error(401, "unauthorized_client", "Unauthorized")
ALREADY_GONE = token_error(400, "invalid_token", "Token expired or revoked")
ACCOUNT_DISABLED = token_error(400, "account_disabled", "The user account is disabled.")

# Errors for service accounts.
NOT_AUTHORIZED = token_error(
    401,
    "unauthorized_client",
    "Client is unauthorized to retrieve access tokens using this method, or client not authorized for any of the "
    "scopes requested.",
)
SOME_SCOPES = token_error(403, "access_denied", "Requested client not authorized.")
UNKNOWN_USER = token_error(400, "invalid_grant", "Invalid email or User ID")
NO_ADDRESS = token_error(400, "invalid_grant", "Not a valid email or user ID.")
DELETED_USER = token_error(400, "invalid_grant", "The account has been deleted")
BAD_SIGNATURE = token_error(400, "invalid_grant", "Invalid JWT Signature.")
BAD_TIMES = token_error(
    400,
    "invalid_grant",
    "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. Check your iat and exp "
    "values in the JWT claim.",
)
BAD_AUDIENCE = token_error(400, "invalid_grant", "Invalid JWT: Failed audience check.")
NO_SERVICE_ACCOUNT = token_error(400, "invalid_grant", "Invalid grant: account not found")
SERVICE_ACCOUNT_DISABLED = token_error(401, "disabled_client", "The OAuth client was disabled.")
BAD_SCOPE = token_error(400, "invalid_scope", "Invalid OAuth scope or ID token audience provided.")


def directory_error(code: int, reason: str, message: str, domain: str = "global") -> ApiReply:
    """Return an error reply of the Directory API, which has no field ``status``."""
    error = {"message": message, "domain": domain, "reason": reason}
    return ApiReply.of(code, {"error": {"code": code, "message": message, "errors": [error]}}, API_HEADERS)


NOT_AN_ADMIN = directory_error(403, "forbidden", "Not Authorized to access this resource/api")
NO_DOMAIN = directory_error(404, "notFound", "Domain not found")
NO_CREDENTIALS = directory_error(401, "authError", "Invalid Credentials")
NO_SCOPE = directory_error(403, "insufficientPermissions", "Insufficient Permission")


def no_resource(name: str) -> ApiReply:
    """Return the error reply of the Directory API for an unknown user or group (404).

    :param name: the parameter that names the resource: ``userKey`` or ``groupKey``.
    """
    return directory_error(404, "notFound", f"Resource Not Found: {name}")


def missing_parameter(name: str) -> ApiReply:
    """Return the error reply of the token endpoint for a missing parameter (400)."""
    return token_error(400, "invalid_request", f"Missing required parameter: {name}")


def _service_info(reason: str, method: str) -> dict[str, Any]:
    metadata = {"service": "people.googleapis.com", "method": f"google.people.v1.PeopleService.{method}"}
    return {"@type": _INFO, "reason": reason, "domain": "googleapis.com", "metadata": metadata}


def _service_disabled() -> ApiReply:
    metadata = {
        "consumer": "projects/123456789012",
        "service": "people.googleapis.com",
        "serviceTitle": "People API",
        "containerInfo": "123456789012",
        "activationUrl": _ENABLE,
    }
    old_style = {
        "message": _DISABLED,
        "domain": "usageLimits",
        "reason": "accessNotConfigured",
        "extendedHelp": "https://console.developers.google.com",
    }
    details = [
        {"@type": _INFO, "reason": "SERVICE_DISABLED", "domain": "googleapis.com", "metadata": metadata},
        {"@type": "type.googleapis.com/google.rpc.LocalizedMessage", "locale": "en-US", "message": _DISABLED},
        _help("Google developers console API activation", _ENABLE),
    ]
    return api_error(403, "PERMISSION_DENIED", _DISABLED, errors=[old_style], details=details)


def _quota(what: str, per: str, metric: str, limit: str) -> ApiReply:
    metadata = {
        "service": "people.googleapis.com",
        "consumer": "projects/123456789012",
        "quota_metric": f"people.googleapis.com/{metric}",
        "quota_limit": limit,
    }
    return api_error(
        429,
        "RESOURCE_EXHAUSTED",
        f"Quota exceeded for quota metric '{what}' and limit '{what} {per}' of service 'people.googleapis.com' for "
        "consumer 'project_number:123456789012'.",
        details=[
            {"@type": _INFO, "reason": "RATE_LIMIT_EXCEEDED", "domain": "googleapis.com", "metadata": metadata},
            _help("Request a higher quota limit.", "https://cloud.google.com/docs/quotas/help/request_increase"),
        ],
    )


def _help(description: str, url: str) -> dict[str, Any]:
    return {"@type": "type.googleapis.com/google.rpc.Help", "links": [{"description": description, "url": url}]}


_USER_QUOTA = _quota(
    "Critical read requests (Contact and Profile Reads)",
    "per minute per user",
    "critical_read_requests",
    "CriticalReadsPerMinutePerProjectPerUser",
)
PROJECT_QUOTA = _quota("Read requests", "per minute", "read_requests", "ReadsPerMinutePerProject")


def _gone() -> ApiReply:
    return api_error(410, "FAILED_PRECONDITION", _EXPIRED)


def _old_style_error(reason: str, message: str) -> ApiReply:
    old_style = {"message": message, "domain": "usageLimits", "reason": reason}
    return api_error(403, "PERMISSION_DENIED", message, errors=[old_style])


def _consumer_error(reason: str, message: str) -> ApiReply:
    metadata = {"consumer": "projects/123456789012", "service": "people.googleapis.com"}
    info = {"@type": _INFO, "reason": reason, "domain": "googleapis.com", "metadata": metadata}
    return api_error(403, "PERMISSION_DENIED", message, details=[info])


_API = "/v1/"
_PEOPLE_FAULTS: dict[str, ApiReply | Breakage] = {
    "error_expired_sync_token_400": expired_sync_token(),
    "error_expired_sync_token_400_precondition": expired_sync_token("FAILED_PRECONDITION"),
    "error_expired_sync_token_410": _gone(),
    "error_invalid_argument_400": invalid_argument(
        'Invalid personFields mask path: "nope". Valid paths are documented at '
        "https://developers.google.com/people/api/rest/v1/people.connections/list."
    ),
    "error_directory_consumer_400": NO_DOMAIN_USER,
    "error_unauthenticated_401": unauthenticated("ListConnections", "ACCESS_TOKEN_EXPIRED"),
    "error_service_disabled_403": _service_disabled(),
    "error_scope_insufficient_403": scope_insufficient(
        "ListOtherContacts", "https://www.googleapis.com/auth/contacts.other.readonly"
    ),
    "error_permission_denied_directory_403": api_error(403, "PERMISSION_DENIED", "The caller does not have permission"),
    "error_rate_limit_403_old_style": _old_style_error("rateLimitExceeded", "Rate Limit Exceeded"),
    "error_resource_exhausted_429": _USER_QUOTA,
    "error_resource_exhausted_429_project": PROJECT_QUOTA,
    "error_resource_exhausted_429_retry_after": api_error(
        429, "RESOURCE_EXHAUSTED", "Quota exceeded for full sync requests.", extra=(("Retry-After", "30"),)
    ),
    "error_consumer_suspended_403": _consumer_error(
        "CONSUMER_SUSPENDED", "Permission denied: Consumer 'projects/123456789012' has been suspended."
    ),
    "error_user_project_denied_403": _consumer_error(
        "USER_PROJECT_DENIED", "Caller does not have required permission to use project 123456789012."
    ),
    "error_domain_policy_403": _old_style_error("domainPolicy", "The domain administrators have disabled Contacts."),
    "error_daily_limit_403": _old_style_error("dailyLimitExceeded", "Daily Limit Exceeded"),
    "error_resource_exhausted_403": api_error(403, "RESOURCE_EXHAUSTED", "Quota exceeded."),
    "error_failed_precondition_400": api_error(400, "FAILED_PRECONDITION", "Precondition check failed."),
    "error_aborted_409": api_error(409, "ABORTED", "The operation was aborted."),
    "error_internal_500": api_error(500, "INTERNAL", "Internal error encountered."),
    "error_unavailable_503": api_error(503, "UNAVAILABLE", "The service is currently unavailable."),
    "error_bad_gateway_502_html": ApiReply.of(
        502,
        "<!DOCTYPE html><html lang=en><title>Error 502 (Server Error)!!1</title><p>The server encountered a temporary "
        "error.</html>",
        (_HTML, *API_HEADERS[1:]),
    ),
    "broken_not_json": ApiReply.of(200, "Please sign in to this network to continue.", API_HEADERS),
    "broken_wrong_shape": ApiReply.of(200, {"connections": {"names": 1}, "nextSyncToken": 7}, API_HEADERS),
    "broken_empty_page": Breakage.EMPTY_PAGE,
}
_TOKEN_FAULTS: dict[str, ApiReply] = {
    "token_error_invalid_grant_revoked": REVOKED,
    "token_error_invalid_grant_plain": BAD_GRANT,
    "token_error_invalid_grant_reauth": token_error(
        400,
        "invalid_grant",
        "reauth related error (invalid_rapt)",
        error_uri="https://support.google.com/a/answer/9368756",
        error_subtype="invalid_rapt",
    ),
    "token_error_invalid_grant_code": MALFORMED_CODE,
    "token_error_invalid_client_secret": WRONG_SECRET,
    "token_error_invalid_client_unknown": UNKNOWN_CLIENT,
    "token_error_deleted_client": DELETED_CLIENT,
    "token_error_redirect_uri_mismatch": WRONG_REDIRECT,
    "token_error_missing_refresh_token": missing_parameter("refresh_token"),
    "token_error_admin_policy": token_error(
        400, "admin_policy_enforced", "Request is not allowed for your organization by its administrator."
    ),
    "token_error_access_denied": token_error(403, "access_denied", "Account restricted"),
    "token_error_org_internal": token_error(
        403, "org_internal", "This client is restricted to users within its organization."
    ),
    "token_error_invalid_scope": token_error(400, "invalid_scope", "Some requested scopes were invalid."),
    "token_error_interaction_required": token_error(400, "interaction_required", "User interaction is required."),
    "token_error_account_disabled": ACCOUNT_DISABLED,
    "token_error_unauthorized_client": FOREIGN_CLIENT,
    "token_error_unknown": token_error(400, "context_aware_block", "Access from somebody@acme.example was blocked."),
    "token_error_503_html": ApiReply.of(
        503,
        "<!DOCTYPE html><html><head><title>Error 503 (Service Unavailable)</title></head><body>Try again later."
        "</body></html>",
        (_HTML, *TOKEN_HEADERS[1:]),
    ),
}
_DELEGATION_FAULTS: dict[str, ApiReply] = {
    "delegation_not_authorized": NOT_AUTHORIZED,
    "delegation_not_authorized_short": token_error(
        401, "unauthorized_client", "Unauthorized client or scope in request."
    ),
    "delegation_some_scopes": SOME_SCOPES,
    "delegation_restricted": token_error(403, "access_denied", "Account restricted"),
    "delegation_unknown_user": UNKNOWN_USER,
    "delegation_deleted_user": DELETED_USER,
    "delegation_disabled_user": token_error(400, "invalid_account", "Forbidden"),
    "delegation_unexplained": BAD_GRANT,
    "delegation_bad_key": BAD_SIGNATURE,
    "delegation_clock": BAD_TIMES,
    "delegation_audience": BAD_AUDIENCE,
    "delegation_no_service_account": NO_SERVICE_ACCOUNT,
    "delegation_service_account_disabled": SERVICE_ACCOUNT_DISABLED,
    "delegation_bad_scope": BAD_SCOPE,
    "delegation_policy": token_error(
        400, "admin_policy_enforced", "Request is not allowed for your organization by its administrator."
    ),
    "delegation_503": token_error(503, "internal_failure", ""),
}
_WORKSPACE_FAULTS: dict[str, ApiReply] = {
    "workspace_not_an_admin_403": NOT_AN_ADMIN,
    "workspace_api_disabled_403": directory_error(
        403, "accessNotConfigured", "Access Not Configured. Admin SDK API is disabled.", "usageLimits"
    ),
    "workspace_api_access_off_403": directory_error(
        403, "domainCannotUseApis", "The domain cannot use apis.", "usageLimits"
    ),
    "workspace_scope_403": NO_SCOPE,
    "workspace_rate_limit_403": directory_error(403, "userRateLimitExceeded", "Rate Limit Exceeded", "usageLimits"),
    "workspace_rate_limit_429": directory_error(429, "rateLimitExceeded", "Rate Limit Exceeded", "usageLimits"),
    "workspace_no_domain_404": NO_DOMAIN,
    "workspace_no_list": ApiReply.of(200, {"kind": "admin#directory#users"}, API_HEADERS),
    "workspace_not_json": ApiReply.of(200, "Please sign in to this network to continue.", API_HEADERS),
    "workspace_unavailable_503_html": ApiReply.of(
        503, "<!DOCTYPE html><title>Error 503 (Service Unavailable)</title>", (_HTML, *API_HEADERS[1:])
    ),
}
_PHOTO_FAULTS: dict[str, ApiReply] = {
    "photo_gone_410": ApiReply.of(410, "Gone", (_HTML,)),
    "photo_throttled_429": ApiReply.of(429, "Too Many Requests", (_HTML, ("Retry-After", "600"))),
    "photo_unavailable_503": ApiReply.of(503, "Service Unavailable", (_HTML,)),
    "photo_redirect": ApiReply.of(302, "", (("Location", "https://photos.example/x.jpg"),)),
    "photo_too_large": ApiReply(200, (("Content-Type", "image/jpeg"),), bytes(2 << 20)),
    "photo_sign_in_page": ApiReply.of(200, "<!DOCTYPE html><title>Sign in</title>", (_HTML,)),
}
_EVERYWHERE: dict[str, Breakage] = {
    "broken_cut_off": Breakage.CUT_OFF,
    "broken_connection_lost": Breakage.LOST,
    "broken_silence": Breakage.SILENCE,
}


def _refuse_delegation(reply: ApiReply, call: ApiRequest, respond: Respond) -> ApiReply:
    """Return the error reply to the token request of a service account; answer other token requests as usual."""
    return reply if call.form.get("assertion") else respond(call)


FAULTS: dict[str, Fault] = {
    **{name: Fault(name, _API, happens) for name, happens in _PEOPLE_FAULTS.items()},
    **{name: Fault(name, "/token", happens) for name, happens in _TOKEN_FAULTS.items()},
    **{name: Fault(name, "/token", partial(_refuse_delegation, reply)) for name, reply in _DELEGATION_FAULTS.items()},
    **{name: Fault(name, "/admin/", happens) for name, happens in _WORKSPACE_FAULTS.items()},
    "workspace_group_gone_404": Fault(
        "workspace_group_gone_404", "/admin/directory/v1/groups/", no_resource("groupKey")
    ),
    **{name: Fault(name, "/a/", happens) for name, happens in _PHOTO_FAULTS.items()},
    "revoke_error_already_gone": Fault("revoke_error_already_gone", "/revoke", ALREADY_GONE),
    **{name: Fault(name, "/", happens) for name, happens in _EVERYWHERE.items()},
}
