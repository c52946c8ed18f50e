# SPDX-License-Identifier: MIT
"""A tenant's administration: how all of it does, whom to remind, and its OAuth client.

The client is tried at Google before it is kept: what Google does not know is not stored.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection
from twisted.logger import Logger

from ldapgw.errors import ClientRejected, GoogleError
from ldapgw.google.client_file import UnfitClientFile, read_client_file
from ldapgw.google.endpoints import Client
from ldapgw.google.oauth import SCOPE_OF
from ldapgw.phrase import Translatable, gettext_noop
from ldapgw.store import accounts, phones, sync_state, tenants
from ldapgw.store.accounts import Account, SyncRequest
from ldapgw.store.phones import PhoneLogin
from ldapgw.store.secrets import SecretBox
from ldapgw.store.tenants import Alarm, EnteredClient
from ldapgw.web import admin_texts, error_pages
from ldapgw.web.admin_texts import ListPage
from ldapgw.web.dependencies import WebTenant
from ldapgw.web.error_pages import PageError
from ldapgw.web.http import HttpRequest, HttpResponse
from ldapgw.web.layout import Layout, RequiredRole, Route, get, post
from ldapgw.web.live import person_topic
from ldapgw.web.phone_pages import PhonePages
from ldapgw.web.sessions import Visitor

log = Logger()

# As the Google console lists them.
_IDENTITY_SCOPES = ("openid", "https://www.googleapis.com/auth/userinfo.email")
# What a client id and a secret consist of (RFC 6749 appendix A.1 and A.2).
_CREDENTIAL = re.compile(r"[\x21-\x7e]{1,256}")

_INCOMPLETE = gettext_noop("Choose the JSON file, or enter client id and secret, both.")
_DESKTOP = gettext_noop(
    "This is the file of a Desktop client: create one of the type Web application, and take its file."
)
_NO_CLIENT_FILE = gettext_noop(
    "This is not the file of a client: take the one that the Google console gives for download."
)
_REJECTED = gettext_noop(
    "Google does not know this client, or its secret is another one, so it was not stored. Compare both with the "
    "Google console; a client that was just created may take some minutes."
)
_UNVERIFIED = gettext_noop("Google could not be asked about this client, so it was not stored. Try again in a minute.")


@dataclass(frozen=True, slots=True, repr=False)
class _Overview:
    """What the page shows, sorted and cut where it is read: off the reactor's thread.

    :ivar reminded: whom to remind, and why.
    :ivar phones: with the address of their owner; empty for nobody's.
    """

    accounts: ListPage[Account]
    reminded: tuple[tuple[str, Translatable], ...]
    phones: ListPage[tuple[PhoneLogin, str]]
    alarm: Alarm | None
    entered_at: float | None


class _InvalidClient(Exception):
    """Raised when a client cannot be taken.

    :param said: why, and what to do.
    """

    def __init__(self, message: Translatable) -> None:
        super().__init__()
        self.message = message


class AdminPage:
    """The page, and the forms on it."""

    def __init__(self, layout: Layout, phones: PhonePages) -> None:
        self._layout = layout
        self._dependencies = layout.dependencies
        self._phones = phones
        layout.topic_providers.append(self.topics)

    def routes(self) -> tuple[Route, ...]:
        """The routes of this page."""
        return (
            get("/<tenant>/admin", self.show, RequiredRole.ADMIN),
            # What is wrong with a form is said at its address, where the page looks again by itself.
            get("/<tenant>/admin/client", self.show, RequiredRole.ADMIN),
            post("/<tenant>/admin/client", self.enter, RequiredRole.ADMIN),
            post("/<tenant>/admin/client/try", self.try_client, RequiredRole.ADMIN),
        )

    async def topics(self, request: HttpRequest, tenant: WebTenant, visitor: Visitor) -> Iterable[str]:
        """What an open page listens to: every account and every phone that it shows."""
        if "admin" not in request.query or not visitor.administers(tenant):
            return ()
        asked = request.query["admin"], request.query.get("phones", "")
        subs, logins = await self._dependencies.store.run(_displayed_items, tenant.name, self._layout.now(), *asked)
        return [*(person_topic(tenant.name, sub) for sub in subs), *map(self._phones.topic, logins)]

    async def show(self, request: HttpRequest, tenant: WebTenant, visitor: Visitor) -> HttpResponse:
        """``/{tenant}/admin``: everything; ``accounts`` and ``phones`` say which page of these."""
        return await self._page(request, tenant, visitor)

    async def enter(self, request: HttpRequest, tenant: WebTenant, visitor: Visitor) -> HttpResponse:
        """``POST /{tenant}/admin/client``: an OAuth client, as a file or as id and secret; tried, then kept."""
        if tenant.name in self._dependencies.admin.tenants_with_configured_client:
            raise PageError(error_pages.BAD_FORM, tenant)
        try:
            client, known_uris = _client_of(request.form)
            registered = await self._verify_client(tenant, client)
        except _InvalidClient as wrong:
            return await self._page(
                request,
                tenant,
                visitor,
                status=400,
                client_error=wrong.message,
                client_id=request.form.get("client_id", ""),
            )
        new = EnteredClient(tenant.name, client.client_id, client.client_secret, self._layout.now())
        await self._dependencies.store.run(_enter, self._dependencies.vault, new, tenant.client)
        await self._dependencies.changed()
        self._log("entered", request, visitor)
        registered = registered and (not known_uris or self._layout.public_url.redirect_uri in known_uris)
        return self._layout.redirect_to_tenant(
            tenant, "client-entered" if registered else "client-unregistered", "admin"
        )

    async def try_client(self, request: HttpRequest, tenant: WebTenant, visitor: Visitor) -> HttpResponse:
        """``POST /{tenant}/admin/client/try``: whether Google takes the client that there is."""
        if tenant.client is None:
            raise PageError(error_pages.BAD_FORM, tenant)
        try:
            note = "client-known" if await self._verify_client(tenant, tenant.client) else "client-known-unregistered"
        except _InvalidClient as wrong:
            note = "client-refused" if wrong.message == _REJECTED else "client-not-tried"
        self._log("tried", request, visitor)
        return self._layout.redirect_to_tenant(tenant, note, "admin")

    async def _verify_client(self, tenant: WebTenant, client: Client) -> bool:
        """Ask Google about a client; whether it knows our redirect URI too, as far as it says.

        :raises _Wrong: when Google does not take the client, or does not answer.
        """
        try:
            await self._dependencies.oauth.try_client(client, self._layout.public_url.redirect_uri)
        except GoogleError as error:
            log.warn(
                "web: trying the client of tenant {tenant}: {code} {detail}",
                tenant=tenant.name,
                code=error.code,
                detail=error.detail,
            )
            if isinstance(error, ClientRejected) and error.detail.startswith("redirect_uri_mismatch"):
                return False
            raise _InvalidClient(_REJECTED if isinstance(error, ClientRejected) else _UNVERIFIED) from None
        return True

    async def _page(
        self,
        request: HttpRequest,
        tenant: WebTenant,
        visitor: Visitor,
        *,
        status: int = 200,
        client_error: Translatable = "",
        client_id: str = "",
    ) -> HttpResponse:
        """The page.

        :param wrong: what speaks against the client that was entered.
        """
        now, url, asked = self._layout.now(), self._layout.public_url.tenant_url(tenant.name), request.query
        found = await self._dependencies.store.run(
            _overview, tenant.name, now, asked.get("accounts", ""), asked.get("phones", "")
        )
        certificate = admin_texts.certificate_status(
            self._dependencies.admin.certificate_expiry(), self._dependencies.certificate_expiry(), now
        )
        return self._layout.page(
            request,
            "admin.html",
            tenant=tenant,
            visitor=visitor,
            status=status,
            alarm=found.alarm,
            alarm_words=admin_texts.ALARM_TEXTS.get(found.alarm.code) if found.alarm else None,
            accounts=found.accounts,
            rows=[
                admin_texts.account_row(one, url, now) for one in self._layout.with_database_error(found.accounts.rows)
            ],
            logins=found.phones,
            phones=[(one, owner, self._phones.state(one)) for one, owner in found.phones.rows],
            reminded=found.reminded,
            certificate=certificate,
            is_configured=tenant.name in self._dependencies.admin.tenants_with_configured_client,
            entered_at=found.entered_at,
            place=self._layout.public_url,
            url=url,
            scopes=[*_IDENTITY_SCOPES, *(SCOPE_OF[source] for source in tenant.sources)],
            wrong=client_error,
            client_id=client_id,
        )

    def _log(self, event: str, request: HttpRequest, visitor: Visitor) -> None:
        log.info(
            "web: OAuth client of tenant {tenant} {event} by {who}, from {address}",
            tenant=visitor.person.tenant,
            event=event,
            who=f"user {visitor.person.sub}" if visitor.person.sub else "link",
            address=request.address,
        )


def _client_of(form: Mapping[str, str]) -> tuple[Client, tuple[str, ...]]:
    """The client that a form holds, and the redirect URIs that its file names.

    :raises _Wrong: when it holds none.
    """
    text = form.get("file", "").strip()
    if text:
        try:
            found = read_client_file(text.encode())
        except UnfitClientFile as error:
            raise _InvalidClient(_DESKTOP if error.is_desktop else _NO_CLIENT_FILE) from None
        client_id, secret, uris = found.client_id, found.client_secret, found.redirect_uris
    else:
        client_id, secret, uris = form.get("client_id", "").strip(), form.get("client_secret", "").strip(), ()
    if not (_CREDENTIAL.fullmatch(client_id) and _CREDENTIAL.fullmatch(secret)):
        raise _InvalidClient(_INCOMPLETE if not text else _NO_CLIENT_FILE)
    return Client(client_id, secret), uris


def _overview(connection: Connection, tenant: str, now: float, accounts_page: str, phones_page: str) -> _Overview:
    """:param accounts_page: which page of the accounts is asked for; of the phones likewise."""
    found = admin_texts.attention_first(accounts.read_all(connection, tenant), now)
    owners = {one.id: one.address for one in found}
    logins = [(one, owners.get(one.account_id or 0, "")) for one in phones.read_by_tenant(connection, tenant)]
    return _Overview(
        accounts=admin_texts.list_page(found, accounts_page),
        reminded=tuple((one.address, why) for one in found if (why := admin_texts.reminder(one, now))),
        phones=admin_texts.list_page(logins, phones_page),
        alarm=tenants.read_alarm(connection, tenant),
        entered_at=tenants.client_entered_at(connection, tenant),
    )


def _displayed_items(
    connection: Connection, tenant: str, now: float, accounts_page: str, phones_page: str
) -> tuple[list[str], Sequence[PhoneLogin]]:
    """Whose accounts are on a page, and which phones."""
    found = admin_texts.attention_first(accounts.read_all(connection, tenant, counted=False), now)
    logins = admin_texts.list_page(phones.read_by_tenant(connection, tenant), phones_page).rows
    return [one.sub for one in admin_texts.list_page(found, accounts_page).rows], logins


def _enter(connection: Connection, vault: SecretBox, new: EnteredClient, before: Client | None) -> None:
    """Keep a client, and have the accounts go on with it.

    What was granted to another client is of no use to this one: those accounts have to connect again.
    """
    tenants.enter_client(connection, vault, new)
    connected = [
        one for one in accounts.read_all(connection, new.tenant, counted=False) if one.is_connected and not one.revoked
    ]
    if before is not None and before.client_id != new.client_id:
        for one in connected:
            sync_state.fail(connection, one, "consent_revoked", new.entered_at, None)
        tenants.clear_alarm(connection, new.tenant)
    elif connected:
        # One that goes well ends the alarm, and then all others go on.
        sync_state.request_sync(connection, connected[0].id, SyncRequest.INCREMENTAL)
