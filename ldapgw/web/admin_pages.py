# SPDX-License-Identifier: MIT
"""The administration page of a tenant: accounts, phones, people to remind, the certificate and the OAuth client.

A client that an administrator enters is tried at Google before it is stored; a client that Google rejects is not
stored.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection
from twisted.logger import Logger

from ldapgw.contact import Source
from ldapgw.directory.access import phone_name
from ldapgw.errors import ClientRejected, GoogleError
from ldapgw.google.client_file import UnfitClientFile, read_client_file
from ldapgw.google.endpoints import Client
from ldapgw.google.oauth import SCOPE_OF
from ldapgw.google.people import CallEstimate
from ldapgw.phrase import Translatable, gettext_noop
from ldapgw.store import accounts, activity, phones, sync_state, tenants
from ldapgw.store.accounts import Account, SyncRequest
from ldapgw.store.activity import Act
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

# As listed in the Google console.
_IDENTITY_SCOPES = ("openid", "https://www.googleapis.com/auth/userinfo.email")
# The characters of a client id and a secret (RFC 6749 appendix A.1 and A.2).
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
    """The data of the page, sorted and cut into pages in the store's thread, off the reactor's thread.

    :ivar connected: how many accounts are connected.
    :ivar reminded: address of each person to remind, and the reason.
    :ivar phones: each phone with its owner's address; the address is empty for a phone without an owner.
    :ivar is_unused: whether no account of any tenant has ever connected.
    """

    accounts: ListPage[Account]
    connected: int
    reminded: tuple[tuple[str, Translatable], ...]
    phones: ListPage[tuple[PhoneLogin, str]]
    alarm: Alarm | None
    entered_at: float | None
    is_unused: bool


class _InvalidClient(Exception):
    """Raised when a client cannot be accepted.

    :param message: the reason, and what to do.
    """

    def __init__(self, message: Translatable) -> None:
        super().__init__()
        self.message = message


class AdminPage:
    """The administration page and its forms."""

    def __init__(self, layout: Layout, phones: PhonePages) -> None:
        self._layout = layout
        self._dependencies = layout.dependencies
        self._phones = phones
        layout.topic_providers.append(self.topics)

    def routes(self) -> tuple[Route, ...]:
        """The routes of this page."""
        return (
            get("/<tenant>/admin", self.show, RequiredRole.ADMIN),
            # A rejected form is shown at the form's address, which page.js then fetches with GET.
            get("/<tenant>/admin/client", self.show, RequiredRole.ADMIN),
            post("/<tenant>/admin/client", self.enter, RequiredRole.ADMIN),
            post("/<tenant>/admin/client/try", self.try_client, RequiredRole.ADMIN),
        )

    async def topics(self, request: HttpRequest, tenant: WebTenant, visitor: Visitor) -> Iterable[str]:
        """The topics of an open page: the accounts and phones on the requested pages of the lists."""
        if "admin" not in request.query or not visitor.administers(tenant):
            return ()
        list_pages = request.query["admin"], request.query.get("phones", "")
        now = self._layout.now()
        subs, logins = await self._dependencies.store.read(_displayed_items, tenant.name, now, *list_pages)
        return [*(person_topic(tenant.name, sub) for sub in subs), *map(self._phones.topic, logins)]

    async def show(self, request: HttpRequest, tenant: WebTenant, visitor: Visitor) -> HttpResponse:
        """``/{tenant}/admin``; the query has the page numbers of the lists, ``accounts`` and ``phones``."""
        return await self._page(request, tenant, visitor)

    async def enter(self, request: HttpRequest, tenant: WebTenant, visitor: Visitor) -> HttpResponse:
        """``POST /{tenant}/admin/client``: try and store an OAuth client, given as a file or as id and secret."""
        if tenant.name in self._dependencies.admin.tenants_with_configured_client:
            raise PageError(error_pages.BAD_FORM, tenant)
        try:
            client, known_uris = _client_of(request.form)
            registered = await self._verify_client(tenant, client)
        except _InvalidClient as error:
            return await self._page(
                request,
                tenant,
                visitor,
                status=400,
                client_error=error.message,
                client_id=request.form.get("client_id", ""),
            )
        new = EnteredClient(tenant.name, client.client_id, client.client_secret, self._layout.now())
        entry = self._layout.entry(request, tenant, visitor, Act.CLIENT_ENTERED, detail=client.client_id)
        await self._dependencies.store.run(
            activity.recorded, entry, _enter, self._dependencies.secret_box, new, tenant.client
        )
        await self._dependencies.changed()
        self._log("entered", request, visitor)
        registered = registered and (not known_uris or self._layout.public_url.redirect_uri in known_uris)
        return self._layout.redirect_to_tenant(
            tenant, "client-entered" if registered else "client-unregistered", "admin"
        )

    async def try_client(self, request: HttpRequest, tenant: WebTenant, visitor: Visitor) -> HttpResponse:
        """``POST /{tenant}/admin/client/try``: try the current client at Google."""
        if tenant.client is None:
            raise PageError(error_pages.BAD_FORM, tenant)
        try:
            registered = await self._verify_client(tenant, tenant.client)
            message = "client-known" if registered else "client-known-unregistered"
        except _InvalidClient as error:
            message = "client-refused" if error.message == _REJECTED else "client-not-tried"
        self._log("tried", request, visitor)
        return self._layout.redirect_to_tenant(tenant, message, "admin")

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
        """Render the page.

        :param client_error: why the entered client was not stored.
        :param client_id: the entered client id.
        """
        now, url = self._layout.now(), self._layout.public_url.tenant_url(tenant.name)
        overview = await self._dependencies.store.read(
            _overview, tenant.name, now, request.query.get("accounts", ""), request.query.get("phones", "")
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
            is_new_store=overview.is_unused and self._dependencies.admin.may_be_new_store,
            alarm=overview.alarm,
            alarm_text=admin_texts.ALARM_TEXTS.get(overview.alarm.code) if overview.alarm else None,
            accounts=overview.accounts,
            rows=[
                admin_texts.account_row(account, url, now, is_admitted=tenant.still_admits(account.address, account.hd))
                for account in self._layout.with_database_error(overview.accounts.rows)
            ],
            logins=overview.phones,
            phones=[(login, owner, self._phones.state(login)) for login, owner in overview.phones.rows],
            reminded=overview.reminded,
            certificate=certificate,
            left_out=self._dependencies.admin.left_out(tenant.name),
            unknown_logins=self._dependencies.admin.unknown_logins(tenant.name),
            refused_elsewhere=self._dependencies.admin.refused_elsewhere(tenant.name),
            phone_name=phone_name,
            calls=self._calls(tenant, overview.connected),
            is_configured=tenant.name in self._dependencies.admin.tenants_with_configured_client,
            entered_at=overview.entered_at,
            public_url=self._layout.public_url,
            url=url,
            scopes=[*_IDENTITY_SCOPES, *(SCOPE_OF[source] for source in tenant.sources)],
            client_error=client_error,
            client_id=client_id,
        )

    def _calls(self, tenant: WebTenant, connected: int) -> Translatable:
        """How many calls the tenant's accounts make; empty where they are not limited."""
        admin = self._dependencies.admin
        sources = len([source for source in tenant.sources if source is not Source.DIRECTORY]) or 1
        return admin_texts.calls_text(CallEstimate(connected, sources, admin.sync_interval, admin.calls_per_minute))

    def _log(self, event: str, request: HttpRequest, visitor: Visitor) -> None:
        log.info(
            "web: OAuth client of tenant {tenant} {event} by {who}, from {address}",
            tenant=visitor.person.tenant,
            event=event,
            who=f"user {visitor.person.sub}" if visitor.person.sub else "link",
            address=request.address,
        )


def _client_of(form: Mapping[str, str]) -> tuple[Client, tuple[str, ...]]:
    """The client in a form, and the redirect URIs in the form's client file.

    :raises _InvalidClient: when the form contains no valid client.
    """
    text = form.get("file", "").strip()
    if text:
        try:
            client_file = read_client_file(text.encode())
        except UnfitClientFile as error:
            raise _InvalidClient(_DESKTOP if error.is_desktop else _NO_CLIENT_FILE) from None
        client_id, secret, uris = client_file.client_id, client_file.client_secret, client_file.redirect_uris
    else:
        client_id, secret, uris = form.get("client_id", "").strip(), form.get("client_secret", "").strip(), ()
    if not (_CREDENTIAL.fullmatch(client_id) and _CREDENTIAL.fullmatch(secret)):
        raise _InvalidClient(_INCOMPLETE if not text else _NO_CLIENT_FILE)
    return Client(client_id, secret), uris


def _overview(connection: Connection, tenant: str, now: float, accounts_page: str, phones_page: str) -> _Overview:
    """Read the data of the page.

    :param accounts_page: the requested page number of the list of accounts, as sent.
    :param phones_page: the requested page number of the list of phones, as sent.
    """
    sorted_accounts = admin_texts.attention_first(accounts.read_all(connection, tenant), now)
    owners = {account.id: account.address for account in sorted_accounts}
    logins = [(login, owners.get(login.account_id or 0, "")) for login in phones.read_by_tenant(connection, tenant)]
    return _Overview(
        accounts=admin_texts.list_page(sorted_accounts, accounts_page),
        connected=sum(account.is_connected for account in sorted_accounts),
        reminded=tuple(
            (account.address, reason) for account in sorted_accounts if (reason := admin_texts.reminder(account, now))
        ),
        phones=admin_texts.list_page(logins, phones_page),
        alarm=tenants.read_alarm(connection, tenant),
        entered_at=tenants.client_entered_at(connection, tenant),
        is_unused=not accounts.has_any(connection),
    )


def _displayed_items(
    connection: Connection, tenant: str, now: float, accounts_page: str, phones_page: str
) -> tuple[list[str], Sequence[PhoneLogin]]:
    """The Google users of the accounts, and the phones, on the requested pages of the lists."""
    sorted_accounts = admin_texts.attention_first(accounts.read_all(connection, tenant), now)
    logins = admin_texts.list_page(phones.read_by_tenant(connection, tenant), phones_page).rows
    return [account.sub for account in admin_texts.list_page(sorted_accounts, accounts_page).rows], logins


def _enter(connection: Connection, secret_box: SecretBox, new: EnteredClient, before: Client | None) -> None:
    """Store a client, and continue syncing the accounts with the new client.

    Grants to another client id are useless to the new client, so those accounts must connect again.
    """
    tenants.enter_client(connection, secret_box, new)
    connected = [
        account for account in accounts.read_all(connection, new.tenant) if account.is_connected and not account.revoked
    ]
    if before is not None and before.client_id != new.client_id:
        for account in connected:
            sync_state.fail(connection, account, "consent_revoked", new.entered_at, None, facts={"by": "client"})
        tenants.clear_alarm(connection, new.tenant)
    elif connected:
        # One successful sync ends the alarm, and then the syncs of all other accounts continue.
        sync_state.request_sync(connection, connected[0].id, SyncRequest.INCREMENTAL)
