# SPDX-License-Identifier: MIT
"""The error pages: what happened and what to do next, for every way in which a request can fail.

No error page contains any part of the request or the text of an exception.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from ldapgw.contact import Source
from ldapgw.errors import (
    ClientRejected,
    ConsentRevoked,
    GoogleError,
    GoogleRefused,
    GoogleUnavailable,
    IdentityUnverified,
    LdapgwError,
    NetworkFailure,
    QuotaExceeded,
)
from ldapgw.phrase import Phrase, Translatable, gettext_noop
from ldapgw.web.dependencies import WebTenant
from ldapgw.web.http import Headers, is_page_path

GOOGLE_PERMISSIONS_URL = "https://myaccount.google.com/permissions"

# The labels of the checkboxes on Google's consent screen.
CONSENT_CHECKBOXES: Mapping[Source, str] = {
    Source.CONTACTS: gettext_noop("See and download your contacts"),
    Source.OTHER_CONTACTS: gettext_noop("See and download contact info automatically saved in your “Other contacts”"),
    Source.DIRECTORY: gettext_noop("See and download your organization’s Google Workspace directory"),
}


@dataclass(frozen=True, slots=True)
class ErrorPageLink:
    """A link of an error page.

    :ivar target: a path below the tenant's page, ``connect`` or ``signin``, with an optional query; empty for the
        tenant's page; or an https URL.
    """

    label: str
    target: str

    def address(self, home: str, *, popup: bool) -> str:
        """The link's address.

        :param home: the path of the tenant's page.
        :param popup: whether the page is in a pop-up; the link back then closes the pop-up.
        """
        if self.target.startswith("https://"):
            return self.target
        if not popup:
            return home + self.target
        return f"{home}{self.target}{'&' if '?' in self.target else '?'}popup" if self.target else f"{home}done"


@dataclass(frozen=True, slots=True)
class ErrorPage:
    """The content of an error page.

    :ivar status: the HTTP status.
    :ivar advice: sentences that tell the reader what to do next.
    :ivar links: the links, the most likely one first.
    :ivar names_administrator: whether a text sends the reader to the administrator, so that the page says how to reach
        them.
    """

    status: int
    title: str
    explanation: Translatable
    advice: tuple[Translatable, ...] = ()
    links: tuple[ErrorPageLink, ...] = ()
    names_administrator: bool = False


class PageError(LdapgwError):
    """Raised when a request ends in an error page.

    :param tenant: the tenant of the page; None when unknown.
    :param popup: whether the page is shown in a pop-up.
    """

    def __init__(
        self, error_page: ErrorPage, tenant: WebTenant | None = None, *, headers: Headers = (), popup: bool = False
    ) -> None:
        super().__init__(error_page.title)
        self.error_page = error_page
        self.tenant = tenant
        self.headers = headers
        self.popup = popup


_BACK = ErrorPageLink(gettext_noop("Back"), "")
_CONNECT = ErrorPageLink(gettext_noop("Connect Google contacts"), "connect")
_AGAIN = ErrorPageLink(gettext_noop("Try again"), "connect")
# Without "choose", Google would take the only account that the browser is signed in to.
_CHOOSE = ErrorPageLink(gettext_noop("Choose another account"), "connect?choose")
_SIGN_IN = ErrorPageLink(gettext_noop("Sign in"), "signin")

# --- errors of a consent ----------------------------------------------------------------------------------------------

REFUSED = ErrorPage(
    403,
    gettext_noop("You didn’t grant access"),
    gettext_noop("Google reported that you canceled, so nothing was connected or saved."),
    (
        gettext_noop("If you clicked Cancel by mistake, try again and choose Continue."),
        gettext_noop(
            "If Google said “Access blocked” instead, your administrator has to add you as a test user or publish the "
            "app."
        ),
    ),
    (_AGAIN, _BACK),
    names_administrator=True,
)
EXPIRED = ErrorPage(
    400,
    gettext_noop("This sign-in is no longer valid"),
    gettext_noop("The sign-in took longer than ten minutes, was already completed, or was started in another browser."),
    (
        gettext_noop("If you’ve just connected, everything is fine. Open the page to check."),
        gettext_noop("If your account isn’t connected, start again."),
    ),
    (ErrorPageLink(gettext_noop("Open the page"), ""),),
)
FOREIGN_ISSUER = ErrorPage(
    400,
    gettext_noop("This answer didn’t come from Google"),
    gettext_noop(
        "The answer came from a different sign-in service than the one the gateway sent you to, so it wasn’t used."
    ),
    (gettext_noop("Start again from this page."),),
    (_AGAIN, _BACK),
)
NO_CODE = ErrorPage(
    400,
    gettext_noop("Google’s answer was incomplete"),
    gettext_noop("The answer contained neither a code nor an error."),
    (gettext_noop("Try again. If this happens again, tell your administrator."),),
    (_AGAIN, _BACK),
    names_administrator=True,
)
NOT_ALLOWED = ErrorPage(
    403,
    gettext_noop("This Google account isn’t allowed to connect here"),
    gettext_noop(
        "Your administrator hasn’t allowed the account that you chose. Nothing was saved, and the gateway keeps no "
        "access."
    ),
    (
        gettext_noop("If you have several Google accounts, choose your company account."),
        gettext_noop("If this is the right account, ask your administrator to allow it."),
    ),
    (_CHOOSE, _BACK),
    names_administrator=True,
)
MAY_NOT_SIGN_IN = ErrorPage(
    403,
    gettext_noop("This Google account isn’t allowed to sign in here"),
    gettext_noop("Your administrator hasn’t allowed the account that you chose."),
    (
        gettext_noop("If you have several Google accounts, choose your company account."),
        gettext_noop("If this is the right account, ask your administrator to allow it."),
    ),
    (_CHOOSE, _BACK),
    names_administrator=True,
)
WRONG_ACCOUNT = ErrorPage(
    403,
    gettext_noop("You chose a different Google account"),
    gettext_noop(
        "On Google’s page, you chose a different account than the one you wanted to connect. Nothing was saved, and "
        "the gateway keeps no access."
    ),
    (
        gettext_noop("To connect the intended account, try again and choose that account."),
        gettext_noop("If you want the contacts of the other account, too, add that account."),
    ),
    (
        _AGAIN,
        ErrorPageLink(gettext_noop("Add the other account"), "connect?add"),
        _BACK,
    ),
)
NO_REFRESH_TOKEN = ErrorPage(
    502,
    gettext_noop("Google didn’t grant lasting access"),
    gettext_noop(
        "Google granted access for one hour only, because it thinks this app is already connected. Nothing was saved."
    ),
    (
        Phrase(
            gettext_noop("Open %(permissions)s and remove this app there. Then connect again."),
            {"permissions": GOOGLE_PERMISSIONS_URL.removeprefix("https://")},
        ),
    ),
    (ErrorPageLink(gettext_noop("Open Google’s list of apps"), GOOGLE_PERMISSIONS_URL), _AGAIN),
)
NO_CLIENT = ErrorPage(
    503,
    gettext_noop("Not set up yet"),
    gettext_noop("Your administrator hasn’t entered the Google client yet, so no one can connect or sign in."),
    (gettext_noop("Tell your administrator. Your account is fine."),),
    (_BACK,),
    names_administrator=True,
)
NO_CLIENT_YET = ErrorPage(
    503,
    gettext_noop("Not set up yet"),
    gettext_noop("No one can connect or sign in until an administrator enters the Google client."),
    (),
    (ErrorPageLink(gettext_noop("Enter the Google client"), "admin/google"), _BACK),
)
ADMIN_POLICY = ErrorPage(
    403,
    gettext_noop("Your organization doesn’t allow this app"),
    gettext_noop("Your Google Workspace administrator has blocked this app, or the access that it asks for."),
    (
        gettext_noop(
            "Ask the Workspace administrator to trust this app’s client ID in the Admin console (Security, API "
            "controls, App access control)."
        ),
    ),
    (_AGAIN, _BACK),
)
CLIENT_REJECTED = ErrorPage(
    503,
    gettext_noop("Google doesn’t accept this gateway"),
    gettext_noop(
        "The gateway’s OAuth client or redirect URI doesn’t match what is registered with Google. Nothing was saved."
    ),
    (
        gettext_noop(
            "Ask your administrator to check the client and the redirect URI in the Google console. You don’t need to "
            "do anything else."
        ),
    ),
    (_AGAIN, _BACK),
    names_administrator=True,
)
UNREACHABLE = ErrorPage(
    502,
    gettext_noop("Google couldn’t be reached"),
    gettext_noop(
        "You granted access, but this gateway then couldn’t reach Google to complete the connection. Nothing was saved."
    ),
    (
        gettext_noop("Try again in a minute."),
        gettext_noop("If this lasts, your administrator has to check the gateway’s network and DNS."),
    ),
    (_AGAIN, _BACK),
    names_administrator=True,
)
BUSY = ErrorPage(
    503,
    gettext_noop("Google is busy"),
    gettext_noop("Google couldn’t answer just now. Nothing was saved."),
    (gettext_noop("Try again in a few minutes."),),
    (_AGAIN, _BACK),
)
NOT_ACCEPTED = ErrorPage(
    502,
    gettext_noop("Google didn’t confirm access"),
    gettext_noop("Google refused the request, or the gateway couldn’t use its answer. Nothing was saved."),
    (gettext_noop("Try again. If this happens again, tell your administrator. The gateway’s log has the details."),),
    (_AGAIN, _BACK),
    names_administrator=True,
)

UNVERIFIED = ErrorPage(
    502,
    gettext_noop("Your sign-in couldn’t be verified"),
    gettext_noop(
        "A proxy inspects the gateway’s connections to Google, so the gateway can’t be sure that the answer came "
        "from Google. Nothing was saved."
    ),
    (gettext_noop("Ask your administrator to run ldapgw check --online. You don’t need to do anything else."),),
    (_AGAIN, _BACK),
    names_administrator=True,
)

# By ``error`` in the redirect (RFC 6749 4.1.2.1, and Google's additions); any other error is NOT_ACCEPTED.
REDIRECT_ERRORS: Mapping[str, ErrorPage] = {
    "access_denied": REFUSED,
    "admin_policy_enforced": ADMIN_POLICY,
    "unauthorized_client": CLIENT_REJECTED,
    "invalid_client": CLIENT_REJECTED,
    "deleted_client": CLIENT_REJECTED,
    "server_error": BUSY,
    "temporarily_unavailable": BUSY,
}

# --- all other errors -------------------------------------------------------------------------------------------------

NOT_FOUND = ErrorPage(
    404, gettext_noop("There’s no such page"), gettext_noop("The address may have a typo, or the page has moved.")
)
NEEDS_HTTPS = ErrorPage(
    403,
    gettext_noop("This address needs HTTPS"),
    gettext_noop("The address contains a password, so it must not be sent unencrypted. Open it with https:// instead."),
)
WRONG_METHOD = ErrorPage(
    405, gettext_noop("This doesn’t work here"), gettext_noop("This address doesn’t support that kind of request.")
)
TOO_LARGE = ErrorPage(
    413,
    gettext_noop("The request is too large"),
    gettext_noop("Your browser sent more data than any form on these pages needs."),
)
TOO_MANY = ErrorPage(
    429,
    gettext_noop("Too many requests"),
    gettext_noop("The gateway got too many requests from your network at once. Nothing was changed."),
    (gettext_noop("Wait a minute, then try again."),),
    (_BACK,),
)
FOREIGN_FORM = ErrorPage(
    403,
    gettext_noop("This form wasn’t accepted"),
    gettext_noop(
        "The form wasn’t sent from a page of this gateway, or you’ve signed in again since you opened the page. "
        "Nothing was changed."
    ),
    (gettext_noop("Open the page again, then try again."),),
    (ErrorPageLink(gettext_noop("Open the page"), ""),),
)
SIGNED_OUT = ErrorPage(
    403,
    gettext_noop("You’re signed out"),
    gettext_noop("Your session has expired, so nothing was changed."),
    (gettext_noop("Sign in, then try again."),),
    (_SIGN_IN, _BACK),
)
SIGN_IN_FIRST = ErrorPage(
    403,
    gettext_noop("Sign in first"),
    gettext_noop("You have to sign in to see this page."),
    (),
    (_SIGN_IN, _BACK),
)
SESSION_ENDED = ErrorPage(
    403,
    gettext_noop("You’ve been signed out"),
    gettext_noop("Sign in to continue where you left off."),
    (),
    (_SIGN_IN, _BACK),
)
ADMINS_ONLY = ErrorPage(
    403,
    gettext_noop("This page is for administrators"),
    gettext_noop("Your account isn’t an administrator account here."),
    (gettext_noop("If you have an administrator account, sign out and sign in with it."),),
    (_BACK,),
)
PERSONS_ONLY = ErrorPage(
    403,
    gettext_noop("This page needs an account"),
    gettext_noop("You opened the administration by link, so you have no contacts and no phones of your own here."),
    (),
    (ErrorPageLink(gettext_noop("Open administration"), "admin"), _CONNECT),
)
LINK_USED = ErrorPage(
    403,
    gettext_noop("This link is no longer valid"),
    gettext_noop("An administration link works only once, and only for an hour."),
    (gettext_noop("To get a new link, run ldapgw admin-link on the gateway. Or sign in."),),
    (_SIGN_IN, _BACK),
)
NO_SUCH_ACCOUNT = ErrorPage(
    404,
    gettext_noop("There’s no such account"),
    gettext_noop("This account isn’t one of your accounts, or no longer is. Nothing was changed."),
    (),
    (ErrorPageLink(gettext_noop("Open the page"), ""),),
)
BAD_FORM = ErrorPage(
    400,
    gettext_noop("The form was incomplete"),
    gettext_noop("Nothing was changed."),
    (gettext_noop("Open the page again."),),
    (_BACK,),
)
DATABASE_UNAVAILABLE = ErrorPage(
    503,
    gettext_noop("The gateway can’t use its database"),
    gettext_noop("Nothing was changed. Phones keep working."),
    (
        gettext_noop(
            "Try again in a minute. If this lasts, tell your administrator. The gateway’s log has the details."
        ),
    ),
    names_administrator=True,
)
INTERNAL = ErrorPage(
    500,
    gettext_noop("Something went wrong"),
    gettext_noop("This is a problem in the gateway. You did nothing wrong."),
    (gettext_noop("Try again. If this happens again, tell your administrator. The gateway’s log has the details."),),
    names_administrator=True,
)


def sign_in_first(path: str, *, had_session: bool) -> ErrorPage:
    """The error page of a page for people who are signed in; its link leads back to the page.

    :param path: the page's path below the tenant's page.
    :param had_session: whether the browser sent a session, which is over then.
    """
    error_page = SESSION_ENDED if had_session else SIGN_IN_FIRST
    if not is_page_path(path):
        return error_page
    links = (replace(_SIGN_IN, target=f"{_SIGN_IN.target}?to={path}"), *error_page.links[1:])
    return replace(error_page, links=links)


def unticked_boxes(missing: Iterable[Source]) -> ErrorPage:
    """The error page for a consent without the checkboxes of these sources."""
    boxes = [CONSENT_CHECKBOXES[source] for source in missing]
    text = (
        gettext_noop(
            "On Google’s page, you didn’t check “%(box)s”. Without this access, there’s nothing to sync, so nothing "
            "was saved."
        )
        if len(boxes) == 1
        else gettext_noop(
            "On Google’s page, you didn’t check any box. Without access, there’s nothing to sync, so nothing was saved."
        )
    )
    return ErrorPage(
        403,
        gettext_noop("A checkbox wasn’t checked"),
        Phrase(text, {"box": Phrase(boxes[0])}),
        (gettext_noop("Google’s checkboxes are empty at first. Try again, check the box, then choose Continue."),),
        (_AGAIN, _BACK),
    )


def for_google_error(error: GoogleError) -> ErrorPage:
    """The error page for an authorization code that could not be exchanged."""
    kinds: tuple[tuple[type[GoogleError], ErrorPage], ...] = (
        (ConsentRevoked, ADMIN_POLICY),
        (GoogleRefused, ADMIN_POLICY),
        (ClientRejected, CLIENT_REJECTED),
        (NetworkFailure, UNREACHABLE),
        (GoogleUnavailable, BUSY),
        (QuotaExceeded, BUSY),
        (IdentityUnverified, UNVERIFIED),
    )
    return next((error_page for kind, error_page in kinds if isinstance(error, kind)), NOT_ACCEPTED)


def with_retry_target(error_page: ErrorPage, retry_target: str) -> ErrorPage:
    """The same error page with links that retry the original action.

    :param retry_target: a target as in `ErrorPageLink`; replaces ``connect`` and, with ``choose`` added,
        ``connect?choose``.
    """
    choose = f"{retry_target}{'&' if '?' in retry_target else '?'}choose"
    targets = {_AGAIN.target: retry_target, _CHOOSE.target: choose}
    links = tuple(ErrorPageLink(link.label, targets.get(link.target, link.target)) for link in error_page.links)
    return replace(error_page, links=links)
