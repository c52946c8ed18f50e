# SPDX-License-Identifier: MIT
"""The administration's page about the OAuth client at Google, with a guide to the Google console.

A client that an administrator enters is tried at Google before it is stored; a client that Google rejects is not
stored.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from sqlalchemy import Connection
from twisted.logger import Logger

from ldapgw.errors import ClientRejected, GoogleError
from ldapgw.google.endpoints import Client, UnfitClientFile, read_client_file
from ldapgw.google.oauth import SCOPE_OF
from ldapgw.phrase import Texts, Translatable, read_texts
from ldapgw.store import accounts, activity, sync_state, tenants
from ldapgw.store.account_status import is_of_testing
from ldapgw.store.accounts import SyncRequest
from ldapgw.store.activity import Act
from ldapgw.store.secrets import SecretBox
from ldapgw.store.tenants import EnteredClient
from ldapgw.web import error_pages
from ldapgw.web.admin_delegation import AdminDelegation, DelegationView
from ldapgw.web.dependencies import WebTenant
from ldapgw.web.error_pages import PageError
from ldapgw.web.http import HttpResponse
from ldapgw.web.layout import Layout, RequiredRole, Route, Visit, get, post

log = Logger()

# The names of the scopes, as the Google console shows them.
_IDENTITY_SCOPES = ("openid", "https://www.googleapis.com/auth/userinfo.email")
# The characters of a client id and a secret (RFC 6749 appendix A.1 and A.2).
_CREDENTIAL = re.compile(r"[\x21-\x7e]{1,256}")


class _GoogleTexts(Texts, frozen=True):
    """The error messages of the form in which an administrator enters the OAuth client."""

    incomplete: str
    desktop: str
    no_client_file: str
    rejected: str
    unconfirmed: str
    unverified: str


_TEXTS = read_texts("web/texts/admin_google", _GoogleTexts)


class _InvalidClient(Exception):
    """Raised when a client cannot be accepted.

    :param message: the reason, and what to do.
    """

    def __init__(self, message: Translatable) -> None:
        super().__init__()
        self.message = message


class AdminGoogle:
    """The page about the client, and its forms."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._dependencies = layout.dependencies
        self._delegation = AdminDelegation(layout)

    def routes(self) -> tuple[Route, ...]:
        return (
            get("/<tenant>/admin/google", self.show, RequiredRole.ADMIN),
            # A rejected form is shown at the form's address, which page.js then fetches with GET.
            get("/<tenant>/admin/client", self.show, RequiredRole.ADMIN),
            post("/<tenant>/admin/client", self.enter, RequiredRole.ADMIN),
            post("/<tenant>/admin/client/try", self.try_client, RequiredRole.ADMIN),
            get("/<tenant>/admin/delegation", self.show, RequiredRole.ADMIN),
            post("/<tenant>/admin/delegation", self.enter_delegation, RequiredRole.ADMIN),
            get("/<tenant>/admin/delegation/remove", self._delegation.ask_to_remove, RequiredRole.ADMIN),
            post("/<tenant>/admin/delegation/remove", self._delegation.remove, RequiredRole.ADMIN),
        )

    async def enter(self, visit: Visit) -> HttpResponse:
        """``POST /{tenant}/admin/client``: try an OAuth client, given as a file or as id and secret, and store it.

        If the id differs from the present client's id, the form must contain ``replace``, because everyone then has to
        reconnect.
        """
        if visit.tenant.name in self._dependencies.admin.tenants_with_configured_client:
            raise PageError(error_pages.PAGES.bad_form, visit.tenant)
        try:
            client, known_uris = _client_of(visit.form, visit.tenant.client)
            registered = await self._verify_client(visit.tenant, client)
        except _InvalidClient as error:
            client_id = visit.form.get("client_id", "")
            return await self.show(visit, status=400, client_error=error.message, client_id=client_id)
        new = EnteredClient(visit.tenant.name, client.client_id, client.client_secret, self._layout.now())
        entry = visit.entry(Act.CLIENT_ENTERED, detail=client.client_id)
        await visit.store.run(activity.recorded, entry, _enter, self._dependencies.secret_box, new, visit.tenant.client)
        await self._dependencies.changed()
        self._log("entered", visit)
        registered = registered and (not known_uris or self._layout.public_url.redirect_uri in known_uris)
        return visit.redirect("client-entered" if registered else "client-unregistered", "admin/google")

    async def enter_delegation(self, visit: Visit) -> HttpResponse:
        """``POST /{tenant}/admin/delegation``: try a service account at Google, and store it."""
        outcome = await self._delegation.enter(visit)
        if isinstance(outcome, HttpResponse):
            return outcome
        problem, form = outcome
        return await self.show(visit, status=400, delegation=await self._delegation.view(visit, problem, form))

    async def try_client(self, visit: Visit) -> HttpResponse:
        """``POST /{tenant}/admin/client/try``: try the current client at Google."""
        if visit.tenant.client is None:
            raise PageError(error_pages.PAGES.bad_form, visit.tenant)
        try:
            registered = await self._verify_client(visit.tenant, visit.tenant.client)
            message = "client-known" if registered else "client-known-unregistered"
        except _InvalidClient as error:
            message = "client-refused" if error.message == _TEXTS.rejected else "client-not-tried"
        self._log("tried", visit)
        return visit.redirect(message, "admin/google")

    async def _verify_client(self, tenant: WebTenant, client: Client) -> bool:
        """Try a client at Google.

        :returns: False if Google reports that our redirect URI is not registered with the client.
        :raises _InvalidClient: when Google rejects the client, or cannot be reached.
        """
        try:
            await self._dependencies.oauth.try_client(client, self._layout.public_url.redirect_uri)
        except GoogleError as error:
            log.warn(
                "web: trying the client of tenant {tenant}: {code} {detail}",
                event="client_trial_failed",
                tenant=tenant.name,
                code=error.code,
                detail=error.detail,
            )
            if isinstance(error, ClientRejected) and error.detail.startswith("redirect_uri_mismatch"):
                return False
            raise _InvalidClient(_TEXTS.rejected if isinstance(error, ClientRejected) else _TEXTS.unverified) from None
        return True

    async def show(
        self,
        visit: Visit,
        *,
        status: int = 200,
        client_error: Translatable = "",
        client_id: str = "",
        delegation: DelegationView | None = None,
    ) -> HttpResponse:
        """``/{tenant}/admin/google``: show the client, and the guide.

        :param client_error: the reason why the entered client was not stored.
        :param delegation: what the page shows about the service account; None if nothing was entered.
        """
        entered_at, has_synced, is_testing, alarm = await visit.store.read(_facts, visit.tenant.name)
        has_client = visit.tenant.client is not None
        works = has_client and has_synced and not alarm
        return visit.page(
            "admin_google.html",
            status=status,
            works=works,
            has_synced=has_synced,
            # A step of the guide counts as done if its effect shows.  The gateway cannot see what steps 2, 4 and 5 have
            # set in the Google console, so these steps count as done if syncs work.
            done={
                1: has_client,
                2: works,
                3: has_client,
                4: works,
                5: works,
                6: works and not is_testing,
                7: has_client,
                8: has_client,
            },
            is_configured=visit.tenant.name in self._dependencies.admin.tenants_with_configured_client,
            entered_at=entered_at,
            public_url=self._layout.public_url,
            scopes=[*_IDENTITY_SCOPES, *(SCOPE_OF[source] for source in visit.tenant.sources)],
            client_error=client_error,
            delegation=delegation or await self._delegation.view(visit),
            client_id=client_id,
        )

    def _log(self, act: str, visit: Visit) -> None:
        log.info(
            "web: OAuth client of tenant {tenant} {act} by {who}, from {address}",
            event="client_changed",
            tenant=visit.visitor.person.tenant,
            act=act,
            who=f"user {visit.visitor.person.sub}" if visit.visitor.person.sub else "link",
            address=visit.request.address,
        )


def _client_of(form: Mapping[str, str], before: Client | None) -> tuple[Client, tuple[str, ...]]:
    """Return the client in a form, and the redirect URIs in the form's client file.

    :raises _InvalidClient: when the form contains no valid client, or lacks the tick with which an administrator
        accepts that everyone has to reconnect.
    """
    text = form.get("file", "").strip()
    if text:
        try:
            client, uris = read_client_file(text.encode())
        except UnfitClientFile as error:
            raise _InvalidClient(_TEXTS.desktop if error.is_desktop else _TEXTS.no_client_file) from None
    else:
        client, uris = Client(form.get("client_id", "").strip(), form.get("client_secret", "").strip()), ()
    if not (_CREDENTIAL.fullmatch(client.client_id) and _CREDENTIAL.fullmatch(client.client_secret)):
        raise _InvalidClient(_TEXTS.incomplete if not text else _TEXTS.no_client_file)
    # The form itself has the checkbox ``replace``, because a separate page of confirmation would have to contain the
    # client's secret.
    if _is_another(before, client) and "replace" not in form:
        raise _InvalidClient(_TEXTS.unconfirmed)
    return client, uris


def _is_another(before: Client | None, client: Client | EnteredClient) -> bool:
    """Return whether a client has another id than the present one, so that everyone has to reconnect."""
    return before is not None and before.client_id != client.client_id


def _facts(connection: Connection, tenant: str) -> tuple[float | None, bool, bool, str]:
    """Return the time of the client's entry, whether an account has synced, whether "Testing" is on, and the alarm."""
    known = accounts.read_all(connection, tenant)
    return (
        tenants.client_entered_at(connection, tenant),
        any(account.last_sync is not None for account in known),
        any(map(is_of_testing, known)),
        tenants.read_alarm_code(connection, tenant),
    )


def _enter(connection: Connection, secret_box: SecretBox, new: EnteredClient, before: Client | None) -> None:
    """Store a client, and sync with the new client if the grants are still valid, or else ask everyone to reconnect."""
    tenants.enter_client(connection, secret_box, new)
    connected = [
        account for account in accounts.read_all(connection, new.tenant) if account.is_connected and not account.revoked
    ]
    if _is_another(before, new):
        for account in connected:
            sync_state.fail(connection, account, "consent_revoked", new.entered_at, None, facts={"by": "client"})
        tenants.clear_alarm(connection, new.tenant)
    elif connected:
        # A successful sync of one account ends the alarm, and then the syncs of all other accounts continue.
        sync_state.request_sync(connection, connected[0].id, SyncRequest.INCREMENTAL)
