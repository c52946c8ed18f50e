# SPDX-License-Identifier: MIT
"""Every way in which a request does not end as hoped: what happened, and what to do next, in plain words.

Nothing that was sent, and no exception's text, gets into them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

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
from ldapgw.phrase import Phrase, Said, marked
from ldapgw.web.dependencies import WebTenant
from ldapgw.web.http import Headers

PERMISSIONS = "https://myaccount.google.com/permissions"

# Google's own words on its consent screen.
BOXES: Mapping[Source, str] = {
    Source.CONTACTS: marked("See and download your contacts"),
    Source.OTHER_CONTACTS: marked("See and download contact info automatically saved in your “Other contacts”"),
    Source.DIRECTORY: marked("See and download your organization’s Google Workspace directory"),
}


@dataclass(frozen=True, slots=True)
class Link:
    """Where to go next.

    :ivar target: ``connect``, ``signin``, with what they are asked, or empty for the page itself, all of the tenant;
        or an https address.
    """

    label: str
    target: str

    def address(self, home: str, *, popup: bool) -> str:
        """Where it leads.

        :param home: the tenant's page.
        :param popup: whether it goes on in a pop-up, which the way back closes.
        """
        if self.target.startswith("https://"):
            return self.target
        if not popup:
            return home + self.target
        return f"{home}{self.target}{'&' if '?' in self.target else '?'}popup" if self.target else f"{home}done"


@dataclass(frozen=True, slots=True)
class Ending:
    """A page that explains.

    :ivar status: the HTTP status.
    :ivar advice: what to do next, a sentence each.
    :ivar links: the most likely one first.
    """

    status: int
    title: str
    happened: Said
    advice: tuple[Said, ...] = ()
    links: tuple[Link, ...] = ()


class Ended(LdapgwError):
    """Raised when a request ends in a page that explains.

    :param tenant: whose page it is; None when that is not known.
    :param popup: whether it ends in a pop-up.
    """

    def __init__(
        self, ending: Ending, tenant: WebTenant | None = None, *, headers: Headers = (), popup: bool = False
    ) -> None:
        super().__init__(ending.title)
        self.ending = ending
        self.tenant = tenant
        self.headers = headers
        self.popup = popup


_BACK = Link(marked("Back"), "")
_CONNECT = Link(marked("Connect Google contacts"), "connect")
_AGAIN = Link(marked("Try again"), "connect")
# Google would take the only account that the browser knows.
_CHOOSE = Link(marked("Choose another account"), "connect?choose")
_SIGN_IN = Link(marked("Sign in"), "signin")

# --- the consent ----------------------------------------------------------------------------------------------------

REFUSED = Ending(
    403,
    marked("You did not give access"),
    marked("Google’s page was left with Cancel, so nothing was connected and nothing was stored."),
    (
        marked("If you pressed Cancel by mistake, try again and choose Continue."),
        marked(
            "If Google said “Access blocked” instead, the administrator has to add you as a test user, or publish the "
            "app."
        ),
    ),
    (_AGAIN, _BACK),
)
EXPIRED = Ending(
    400,
    marked("This sign-in is no longer valid"),
    marked("It took longer than ten minutes, was used already, or was begun in another browser."),
    (marked("If you have just connected, all is well: open the page to see."), marked("Otherwise start again.")),
    (Link(marked("Open the page"), ""),),
)
FOREIGN_ISSUER = Ending(
    400,
    marked("This answer did not come from Google"),
    marked("The answer names another sign-in service than the one you were sent to, so it was not used."),
    (marked("Start again from this page."),),
    (_AGAIN, _BACK),
)
NO_CODE = Ending(
    400,
    marked("Google’s answer was incomplete"),
    marked("It held neither a code nor an error."),
    (marked("Try again; if it happens again, tell your administrator."),),
    (_AGAIN, _BACK),
)
NOT_ALLOWED = Ending(
    403,
    marked("This Google account may not connect here"),
    marked(
        "The account that you chose is not among those that the administrator has allowed. Nothing was stored, and no "
        "access is kept."
    ),
    (
        marked("If you have several Google accounts, choose the one of your company."),
        marked("Otherwise ask the administrator to allow it."),
    ),
    (_CHOOSE, _BACK),
)
MAY_NOT_SIGN_IN = Ending(
    403,
    marked("This Google account may not sign in here"),
    marked("The account that you chose is not among those that the administrator has allowed."),
    (
        marked("If you have several Google accounts, choose the one of your company."),
        marked("Otherwise ask the administrator to allow it."),
    ),
    (_CHOOSE, _BACK),
)
WRONG_ACCOUNT = Ending(
    403,
    marked("You chose another Google account"),
    marked(
        "On Google’s page you chose another account than the one that is to be connected here. Nothing was stored, and "
        "no access is kept."
    ),
    (
        marked("To connect the account that was meant, try again and choose that one."),
        marked("To have the contacts of the other one too, add it to your page."),
    ),
    (
        _AGAIN,
        Link(marked("Add the other account"), "connect?add"),
        _BACK,
    ),
)
NO_REFRESH_TOKEN = Ending(
    502,
    marked("Google gave no lasting access"),
    marked(
        "Google let us in for an hour only, as it does when it thinks that this app is connected already. Nothing was "
        "stored."
    ),
    (
        Phrase(
            marked("Open %(permissions)s, remove this app there, then connect again."),
            {"permissions": PERMISSIONS.removeprefix("https://")},
        ),
    ),
    (Link(marked("Open Google’s list of apps"), PERMISSIONS), _AGAIN),
)
NO_CLIENT = Ending(
    503,
    marked("Not set up yet"),
    marked("The administrator has not entered the Google client yet, so nobody can connect or sign in."),
    (marked("Tell your administrator; nothing is wrong with your account."),),
    (_BACK,),
)
ADMIN_POLICY = Ending(
    403,
    marked("Your organization does not allow this app"),
    marked("The Google Workspace administrator has blocked it, or the access that it asks for."),
    (marked("Ask them to trust this app’s client ID: Admin console, Security, API controls, App access control."),),
    (_AGAIN, _BACK),
)
CLIENT_REJECTED = Ending(
    503,
    marked("Google does not accept this gateway"),
    marked("Its OAuth client or its redirect address is not what Google has on record. Nothing was stored."),
    (marked("Tell your administrator to check both in the Google console; you need not do anything."),),
    (_AGAIN, _BACK),
)
UNREACHABLE = Ending(
    502,
    marked("Google could not be reached"),
    marked("You gave access, but this gateway could not fetch it. Nothing was stored."),
    (
        marked("Try again in a minute."),
        marked("If it lasts, the administrator has to check the gateway’s network and name service."),
    ),
    (_AGAIN, _BACK),
)
BUSY = Ending(
    503,
    marked("Google is busy"),
    marked("Google could not answer just now. Nothing was stored."),
    (marked("Try again in a few minutes."),),
    (_AGAIN, _BACK),
)
NOT_ACCEPTED = Ending(
    502,
    marked("Google did not confirm the access"),
    marked("Its answer was refused, too old, or made no sense. Nothing was stored."),
    (marked("Try again; if it happens again, tell your administrator: the log says more."),),
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

NOT_FOUND = Ending(404, marked("There is no such page"), marked("The address may be mistyped, or the page was moved."))
WRONG_METHOD = Ending(
    405, marked("That does not work here"), marked("This address does not answer that kind of request.")
)
TOO_LARGE = Ending(413, marked("Too much was sent"), marked("A form of these pages is much smaller."))
TOO_MANY = Ending(
    429,
    marked("Too much at once"),
    marked("There were more requests from your network than this gateway answers at once. Nothing was changed."),
    (marked("Wait a minute, then try again."),),
    (_BACK,),
)
NOT_YOURS = Ending(
    403,
    marked("This form was not accepted"),
    marked("It did not come from your own page, or you have signed in anew since you opened it. Nothing was changed."),
    (marked("Open the page again and try once more."),),
    (Link(marked("Open the page"), ""),),
)
SIGNED_OUT = Ending(
    403,
    marked("You are signed out"),
    marked("Your sign-in has ended, so nothing was changed."),
    (marked("Sign in, then try again."),),
    (_SIGN_IN, _BACK),
)
SIGN_IN_FIRST = Ending(
    403,
    marked("Sign in first"),
    marked("This page is for people who are signed in."),
    (),
    (_SIGN_IN, _BACK),
)
ADMINS_ONLY = Ending(
    403,
    marked("This page is for administrators"),
    marked("You are signed in with an account that is not an administrator’s here."),
    (marked("If you have an administrator’s account, sign out and sign in with that one."),),
    (_BACK,),
)
LINK_USED = Ending(
    403,
    marked("This link is no longer valid"),
    marked("A link to the administration opens it once, and within an hour."),
    (marked("Run ldapgw admin-link on the gateway for another one, or sign in."),),
    (_SIGN_IN, _BACK),
)
NOT_THEIRS = Ending(
    404,
    marked("There is no such account"),
    marked("It is not on your page, or not any more. Nothing was changed."),
    (),
    (Link(marked("Open the page"), ""),),
)
BAD_FORM = Ending(
    400, marked("The form was incomplete"), marked("Nothing was changed."), (marked("Open the page again."),), (_BACK,)
)
NO_STORE = Ending(
    503,
    marked("The gateway cannot use its database"),
    marked("Nothing was changed. Phones are served as before."),
    (marked("Try again in a minute; if it lasts, tell your administrator: the log says more."),),
)
INTERNAL = Ending(
    500,
    marked("Something went wrong"),
    marked("That is a fault of the gateway, not yours."),
    (marked("Try again; if it happens again, tell your administrator: the log says more."),),
)


def unticked(missing: Iterable[Source]) -> Ending:
    """The boxes for these sources were not ticked on the consent screen."""
    boxes = [BOXES[source] for source in missing]
    text = (
        marked(
            "On Google’s page you did not tick “%(box)s”. Without it there is nothing to sync, so nothing was stored."
        )
        if len(boxes) == 1
        else marked(
            "On Google’s page you ticked none of the boxes. Without them there is nothing to sync, so nothing was "
            "stored."
        )
    )
    return Ending(
        403,
        marked("A box was not ticked"),
        Phrase(text, {"box": Phrase(boxes[0])}),
        (marked("Google’s boxes start empty. Try again, tick the box, then choose Continue."),),
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


def begun_by(ending: Ending, way: str) -> Ending:
    """The same, with links that begin again what was begun.

    :param way: a target of `Link` that stands for ``connect``, and with more behind it for ``connect?choose``.
    """
    choose = f"{way}{'&' if '?' in way else '?'}choose"
    targets = {_AGAIN.target: way, _CHOOSE.target: choose}
    links = tuple(Link(link.label, targets.get(link.target, link.target)) for link in ending.links)
    return replace(ending, links=links)
