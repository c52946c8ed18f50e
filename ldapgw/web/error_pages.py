# SPDX-License-Identifier: MIT
"""The error pages: what happened and what to do next, for every way in which a request can fail.

No error page contains any part of the request or the text of an exception.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec.structs import replace

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
from ldapgw.phrase import Phrase, Texts, Translatable, read_texts
from ldapgw.web.dependencies import WebTenant
from ldapgw.web.http import Headers, is_page_path

GOOGLE_PERMISSIONS_URL = "https://myaccount.google.com/permissions"
GOOGLE_CONNECTIONS_URL = "https://myaccount.google.com/connections"


class ErrorPageLink(Texts, frozen=True):
    """A link of an error page.

    :ivar target: an https URL; or a path below the tenant's page (``connect``, ``signin``) with an optional query; or
        empty for the tenant's page.
    """

    label: str
    target: str

    def address(self, home: str, *, popup: bool) -> str:
        """Return the link's address.

        :param home: the path of the tenant's page.
        :param popup: whether the page is in a pop-up; in a pop-up, the link back closes the pop-up.
        """
        if self.target.startswith("https://"):
            return self.target
        if not popup:
            return home + self.target
        return f"{home}{self.target}{'&' if '?' in self.target else '?'}popup" if self.target else f"{home}done"


class ErrorPage(Texts, frozen=True):
    """The content of an error page.

    :ivar advice: sentences that tell the reader what to do next.
    :ivar links: the links, the most useful one first.
    :ivar names_administrator: whether a text sends the reader to the administrator, so that the page says how to reach
        the administrator.
    """

    status: int
    title: str
    explanation: Translatable
    advice: tuple[Translatable, ...] = ()
    links: tuple[ErrorPageLink, ...] = ()
    names_administrator: bool = False


class PageError(LdapgwError):
    """Raised when a request ends in an error page.

    :param tenant: the tenant of the page, or None if unknown.
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


class ErrorPages(Texts, frozen=True):
    """The error pages: first the pages of a consent, then all others.

    :ivar unticked_box: the page for a consent in which one checkbox is empty; `unticked_boxes` names the checkbox.
    :ivar no_provisioning_address: the page for a provisioning address that has ended, and for an address that never was
        valid, so that nobody learns which addresses were valid.
    :ivar not_switched_on: the page for a consent that was to switch a source on; the function `not_switched_on` names
        the checkbox.
    """

    refused: ErrorPage
    expired: ErrorPage
    foreign_issuer: ErrorPage
    no_code: ErrorPage
    not_allowed: ErrorPage
    may_not_sign_in: ErrorPage
    wrong_account: ErrorPage
    no_refresh_token: ErrorPage
    no_client: ErrorPage
    no_client_yet: ErrorPage
    admin_policy: ErrorPage
    client_rejected: ErrorPage
    unreachable: ErrorPage
    busy: ErrorPage
    not_accepted: ErrorPage
    unverified: ErrorPage
    unticked_box: ErrorPage
    not_switched_on: ErrorPage

    not_found: ErrorPage
    no_provisioning_address: ErrorPage
    needs_https: ErrorPage
    wrong_method: ErrorPage
    too_large: ErrorPage
    too_many: ErrorPage
    foreign_form: ErrorPage
    signed_out: ErrorPage
    sign_in_first: ErrorPage
    session_ended: ErrorPage
    admins_only: ErrorPage
    persons_only: ErrorPage
    link_used: ErrorPage
    no_such_account: ErrorPage
    bad_form: ErrorPage
    database_unavailable: ErrorPage
    internal: ErrorPage


class _ErrorTexts(Texts, frozen=True):
    """The texts of the error pages.

    :ivar consent_checkboxes: the labels of the checkboxes on Google's consent screen.
    :ivar no_box_ticked: replaces the explanation of `ErrorPages.unticked_box` if more than one checkbox is empty.
    """

    no_box_ticked: str
    consent_checkboxes: Mapping[Source, str]
    pages: ErrorPages


_TEXTS = read_texts("web/texts/errors", _ErrorTexts)

CONSENT_CHECKBOXES = _TEXTS.consent_checkboxes
PAGES = _TEXTS.pages

# The pages by ``error`` in the redirect (RFC 6749 4.1.2.1, and Google's additions); `ErrorPages.not_accepted` is for
# any other error.
REDIRECT_ERRORS: Mapping[str, ErrorPage] = {
    "access_denied": PAGES.refused,
    "admin_policy_enforced": PAGES.admin_policy,
    "unauthorized_client": PAGES.client_rejected,
    "invalid_client": PAGES.client_rejected,
    "deleted_client": PAGES.client_rejected,
    "server_error": PAGES.busy,
    "temporarily_unavailable": PAGES.busy,
}


def sign_in_first(path: str, *, had_session: bool) -> ErrorPage:
    """Return the error page that asks a visitor to sign in, with a link that leads to the requested page afterwards.

    :param path: the requested page's path below the tenant's page.
    :param had_session: whether the visitor had a session, which has ended.
    """
    error_page = PAGES.session_ended if had_session else PAGES.sign_in_first
    if not is_page_path(path):
        return error_page
    sign_in, *others = error_page.links
    return replace(error_page, links=(replace(sign_in, target=f"{sign_in.target}?to={path}"), *others))


def unticked_boxes(missing: Iterable[Source]) -> ErrorPage:
    """Return the error page for a consent in which the checkboxes of these sources were not ticked."""
    boxes = [CONSENT_CHECKBOXES[source] for source in missing]
    page = PAGES.unticked_box
    text = str(page.explanation) if len(boxes) == 1 else _TEXTS.no_box_ticked
    return replace(page, explanation=Phrase(text, {"box": Phrase(boxes[0])}))


def not_switched_on(source: Source) -> ErrorPage:
    """Return the error page for a consent to switch a source on, if the user canceled or left the checkbox empty."""
    page = PAGES.not_switched_on
    return replace(page, explanation=Phrase(str(page.explanation), {"box": Phrase(CONSENT_CHECKBOXES[source])}))


def for_google_error(error: GoogleError) -> ErrorPage:
    """Return the error page for an authorization code that could not be exchanged."""
    kinds: tuple[tuple[type[GoogleError], ErrorPage], ...] = (
        (ConsentRevoked, PAGES.admin_policy),
        (GoogleRefused, PAGES.admin_policy),
        (ClientRejected, PAGES.client_rejected),
        (NetworkFailure, PAGES.unreachable),
        (GoogleUnavailable, PAGES.busy),
        (QuotaExceeded, PAGES.busy),
        (IdentityUnverified, PAGES.unverified),
    )
    return next((error_page for kind, error_page in kinds if isinstance(error, kind)), PAGES.not_accepted)


def with_retry_target(error_page: ErrorPage, retry_target: str) -> ErrorPage:
    """Return the error page with links that retry the original action.

    :param retry_target: the target that replaces ``connect``.  In place of ``connect?choose``, a link gets this target
        with the parameter ``choose`` added.
    """
    choose = f"{retry_target}{'&' if '?' in retry_target else '?'}choose"
    targets = {"connect": retry_target, "connect?choose": choose}
    links = tuple(ErrorPageLink(link.label, targets.get(link.target, link.target)) for link in error_page.links)
    return replace(error_page, links=links)
