# SPDX-License-Identifier: MIT
"""Every way in which a request does not end as hoped: what happened, and what to do next, in plain words.

Nothing that was sent, and no exception's text, gets into them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ldapgw.contact import Source
from ldapgw.errors import (
    ClientRejected,
    ConsentRevoked,
    GoogleError,
    GoogleUnavailable,
    LdapgwError,
    NetworkTrouble,
    QuotaExceeded,
)
from ldapgw.web.tenant import WebTenant

PERMISSIONS = "https://myaccount.google.com/permissions"

# Google's own words on its consent screen.
BOXES: Mapping[Source, str] = {
    Source.CONTACTS: "See and download your contacts",
    Source.OTHER_CONTACTS: "See and download contact info automatically saved in your “Other contacts”",
    Source.DIRECTORY: "See and download your organization’s Google Workspace directory",
}


@dataclass(frozen=True, slots=True)
class Link:
    """Where to go next.

    :ivar target: ``connect``, ``signin``, or empty for the page itself, all of the tenant; or an https address.
    """

    label: str
    target: str


@dataclass(frozen=True, slots=True)
class Ending:
    """A page that explains.

    :ivar status: the HTTP status.
    :ivar advice: what to do next, a sentence each.
    :ivar links: the most likely one first.
    """

    status: int
    title: str
    happened: str
    advice: tuple[str, ...] = ()
    links: tuple[Link, ...] = ()


class Ended(LdapgwError):
    """Raised when a request ends in a page that explains.

    :param tenant: whose page it is; None when that is not known.
    """

    def __init__(self, ending: Ending, tenant: WebTenant | None = None) -> None:
        super().__init__(ending.title)
        self.ending = ending
        self.tenant = tenant


_BACK = Link("Back", "")
_CONNECT = Link("Connect Google contacts", "connect")
_AGAIN = Link("Try again", "connect")
_SIGN_IN = Link("Sign in", "signin")

# --- the consent ----------------------------------------------------------------------------------------------------

REFUSED = Ending(
    403,
    "You did not give access",
    "Google’s page was left with Cancel, so nothing was connected and nothing was stored.",
    (
        "If you pressed Cancel by mistake, try again and choose Continue.",
        "If Google said “Access blocked” instead, the administrator has to add you as a test user, or publish the app.",
    ),
    (_AGAIN, _BACK),
)
EXPIRED = Ending(
    400,
    "This sign-in is no longer valid",
    "It took longer than ten minutes, was used already, or was begun in another browser.",
    ("If you have just connected, all is well: open the page to see.", "Otherwise start again."),
    (Link("Open the page", ""),),
)
FOREIGN_ISSUER = Ending(
    400,
    "This answer did not come from Google",
    "The answer names another sign-in service than the one you were sent to, so it was not used.",
    ("Start again from this page.",),
    (_AGAIN, _BACK),
)
NO_CODE = Ending(
    400,
    "Google’s answer was incomplete",
    "It held neither a code nor an error.",
    ("Try again; if it happens again, tell your administrator.",),
    (_AGAIN, _BACK),
)
NOT_ALLOWED = Ending(
    403,
    "This Google account may not connect here",
    "The account that you chose is not among those that the administrator has allowed. Nothing was stored, and no "
    "access is kept.",
    (
        "If you have several Google accounts, try again and choose the one of your company.",
        "Otherwise ask the administrator to allow it.",
    ),
    (_AGAIN, _BACK),
)
MAY_NOT_SIGN_IN = Ending(
    403,
    "This Google account may not sign in here",
    "The account that you chose is not among those that the administrator has allowed.",
    (
        "If you have several Google accounts, try again and choose the one of your company.",
        "Otherwise ask the administrator to allow it.",
    ),
    (Link("Try again", "signin"), _BACK),
)
NO_REFRESH_TOKEN = Ending(
    502,
    "Google gave no lasting access",
    "Google let us in for an hour only, as it does when it thinks that this app is connected already. Nothing was "
    "stored.",
    (f"Open {PERMISSIONS.removeprefix('https://')}, remove this app there, then connect again.",),
    (Link("Open Google’s list of apps", PERMISSIONS), _AGAIN),
)
NO_CLIENT = Ending(
    503,
    "Not set up yet",
    "The administrator has not entered the Google client yet, so nobody can connect or sign in.",
    ("Tell your administrator; nothing is wrong with your account.",),
    (_BACK,),
)
ADMIN_POLICY = Ending(
    403,
    "Your organization does not allow this app",
    "The Google Workspace administrator has blocked it, or the access that it asks for.",
    ("Ask them to trust this app’s client ID: Admin console, Security, API controls, App access control.",),
    (_AGAIN, _BACK),
)
CLIENT_REJECTED = Ending(
    503,
    "Google does not accept this gateway",
    "Its OAuth client or its redirect address is not what Google has on record. Nothing was stored.",
    ("Tell your administrator to check both in the Google console; you need not do anything.",),
    (_AGAIN, _BACK),
)
UNREACHABLE = Ending(
    502,
    "Google could not be reached",
    "You gave access, but this gateway could not fetch it. Nothing was stored.",
    ("Try again in a minute.", "If it lasts, the administrator has to check the gateway’s network and name service."),
    (_AGAIN, _BACK),
)
BUSY = Ending(
    503,
    "Google is busy",
    "Google could not answer just now. Nothing was stored.",
    ("Try again in a few minutes.",),
    (_AGAIN, _BACK),
)
NOT_ACCEPTED = Ending(
    502,
    "Google did not confirm the access",
    "Its answer was refused, too old, or made no sense. Nothing was stored.",
    ("Try again; if it happens again, tell your administrator: the log says more.",),
    (_AGAIN, _BACK),
)

# ``error`` in the redirect (RFC 6749 4.1.2.1, and what Google adds to it); any other is NOT_ACCEPTED.
REDIRECT_ERRORS: Mapping[str, Ending] = {
    "access_denied": REFUSED,
    "admin_policy_enforced": ADMIN_POLICY,
    "unauthorized_client": CLIENT_REJECTED,
    "invalid_client": CLIENT_REJECTED,
    "deleted_client": CLIENT_REJECTED,
    "server_error": BUSY,
    "temporarily_unavailable": BUSY,
}

# --- everything else ------------------------------------------------------------------------------------------------

NOT_FOUND = Ending(404, "There is no such page", "The address may be mistyped, or the page was moved.")
WRONG_METHOD = Ending(405, "That does not work here", "This address does not answer that kind of request.")
TOO_LARGE = Ending(413, "Too much was sent", "A form of these pages is much smaller.")
NOT_YOURS = Ending(
    403,
    "This form was not accepted",
    "It did not come from your own page, or you have signed in anew since you opened it. Nothing was changed.",
    ("Open the page again and try once more.",),
    (Link("Open the page", ""),),
)
SIGNED_OUT = Ending(
    403,
    "You are signed out",
    "Your sign-in has ended, so nothing was changed.",
    ("Sign in, then try again.",),
    (_SIGN_IN, _BACK),
)
BAD_FORM = Ending(400, "The form was incomplete", "Nothing was changed.", ("Open the page again.",), (_BACK,))
NO_STORE = Ending(
    503,
    "The gateway cannot use its database",
    "Nothing was changed. Phones are served as before.",
    ("Try again in a minute; if it lasts, tell your administrator: the log says more.",),
)
INTERNAL = Ending(
    500,
    "Something went wrong",
    "That is a fault of the gateway, not yours.",
    ("Try again; if it happens again, tell your administrator: the log says more.",),
)


def unticked(missing: Iterable[Source]) -> Ending:
    """The boxes for these sources were not ticked on the consent screen."""
    boxes = ", ".join(f"“{BOXES[source].replace('“', '‘').replace('”', '’')}”" for source in missing)
    return Ending(
        403,
        "A box was not ticked",
        f"On Google’s page you did not tick {boxes}. Without it there is nothing to sync, so nothing was stored.",
        ("Google’s boxes start empty. Try again, tick the box, then choose Continue.",),
        (_AGAIN, _BACK),
    )


def of_google_error(error: GoogleError) -> Ending:
    """The page for a code that could not be exchanged."""
    kinds: tuple[tuple[type[GoogleError], Ending], ...] = (
        (ConsentRevoked, ADMIN_POLICY),
        (ClientRejected, CLIENT_REJECTED),
        (NetworkTrouble, UNREACHABLE),
        (GoogleUnavailable, BUSY),
        (QuotaExceeded, BUSY),
    )
    return next((ending for kind, ending in kinds if isinstance(error, kind)), NOT_ACCEPTED)


def to_sign_in(ending: Ending) -> Ending:
    """The same, with links that begin the sign-in again instead of the consent."""
    links = tuple(Link(link.label, "signin") if link.target == "connect" else link for link in ending.links)
    return Ending(ending.status, ending.title, ending.happened, ending.advice, links)
