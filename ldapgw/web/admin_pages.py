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
from ldapgw.phrase import Said, marked
from ldapgw.store import accounts, phones, sync_state, tenants
from ldapgw.store.accounts import Account, Wish
from ldapgw.store.phones import PhoneLogin
from ldapgw.store.secrets import Vault
from ldapgw.store.tenants import Alarm, EnteredClient
from ldapgw.web import admin_texts, error_pages
from ldapgw.web.admin_texts import Page
from ldapgw.web.dependencies import WebTenant
from ldapgw.web.error_pages import Ended
from ldapgw.web.http import Answer, Call
from ldapgw.web.layout import Frame, Route, Who, get, post
from ldapgw.web.live import person_topic
from ldapgw.web.phone_pages import Phones
from ldapgw.web.sessions import Visitor

log = Logger()

# As the Google console lists them.
_IDENTITY_SCOPES = ("openid", "https://www.googleapis.com/auth/userinfo.email")
# What a client id and a secret consist of (RFC 6749 appendix A.1 and A.2).
_WORD = re.compile(r"[\x21-\x7e]{1,256}")

_NOTHING = marked("Choose the JSON file, or enter client id and secret, both.")
_DESKTOP = marked("This is the file of a Desktop client: create one of the type Web application, and take its file.")
_NO_CLIENT_FILE = marked("This is not the file of a client: take the one that the Google console gives for download.")
_REJECTED = marked(
    "Google does not know this client, or its secret is another one, so it was not stored. Compare both with the "
    "Google console; a client that was just created may take some minutes."
)
_NOT_TRIED = marked("Google could not be asked about this client, so it was not stored. Try again in a minute.")


@dataclass(frozen=True, slots=True, repr=False)
class _Overview:
    """What the page shows, sorted and cut where it is read: off the reactor's thread.

    :ivar reminded: whom to remind, and why.
    :ivar phones: with the address of their owner; empty for nobody's.
    """

    accounts: Page[Account]
    reminded: tuple[tuple[str, Said], ...]
    phones: Page[tuple[PhoneLogin, str]]
    alarm: Alarm | None
    entered_at: float | None


class _Wrong(Exception):
    """Raised when a client cannot be taken.

    :param said: why, and what to do.
    """

    def __init__(self, said: Said) -> None:
        super().__init__()
        self.said = said


class Admin:
    """The page, and the forms on it."""

    def __init__(self, frame: Frame, phones: Phones) -> None:
        self._frame = frame
        self._gate = frame.gate
        self._phones = phones
        frame.topics.append(self.topics)

    def routes(self) -> tuple[Route, ...]:
        """The routes of this page."""
        return (
            get("/<tenant>/admin", self.show, Who.ADMIN),
            # What is wrong with a form is said at its address, where the page looks again by itself.
            get("/<tenant>/admin/client", self.show, Who.ADMIN),
            post("/<tenant>/admin/client", self.enter, Who.ADMIN),
            post("/<tenant>/admin/client/try", self.try_client, Who.ADMIN),
        )

    async def topics(self, call: Call, tenant: WebTenant, visitor: Visitor) -> Iterable[str]:
        """What an open page listens to: every account and every phone that it shows."""
        if "admin" not in call.query or not visitor.administers(tenant):
            return ()
        asked = call.query["admin"], call.query.get("phones", "")
        subs, logins = await self._gate.store.run(_shown, tenant.name, self._frame.now(), *asked)
        return [*(person_topic(tenant.name, sub) for sub in subs), *map(self._phones.topic, logins)]

    async def show(self, call: Call, tenant: WebTenant, visitor: Visitor) -> Answer:
        """``/{tenant}/admin``: everything; ``accounts`` and ``phones`` say which page of these."""
        return await self._page(call, tenant, visitor)

    async def enter(self, call: Call, tenant: WebTenant, visitor: Visitor) -> Answer:
        """``POST /{tenant}/admin/client``: an OAuth client, as a file or as id and secret; tried, then kept."""
        if tenant.name in self._gate.admin.configured:
            raise Ended(error_pages.BAD_FORM, tenant)
        try:
            client, known_uris = _client_of(call.form)
            registered = await self._try(tenant, client)
        except _Wrong as wrong:
            return await self._page(
                call, tenant, visitor, status=400, wrong=wrong.said, client_id=call.form.get("client_id", "")
            )
        new = EnteredClient(tenant.name, client.client_id, client.client_secret, self._frame.now())
        await self._gate.store.run(_enter, self._gate.vault, new, tenant.client)
        await self._gate.changed()
        self._log("entered", call, visitor)
        registered = registered and (not known_uris or self._frame.place.redirect_uri in known_uris)
        return self._frame.back(tenant, "client-entered" if registered else "client-unregistered", "admin")

    async def try_client(self, call: Call, tenant: WebTenant, visitor: Visitor) -> Answer:
        """``POST /{tenant}/admin/client/try``: whether Google takes the client that there is."""
        if tenant.client is None:
            raise Ended(error_pages.BAD_FORM, tenant)
        try:
            note = "client-known" if await self._try(tenant, tenant.client) else "client-known-unregistered"
        except _Wrong as wrong:
            note = "client-refused" if wrong.said == _REJECTED else "client-not-tried"
        self._log("tried", call, visitor)
        return self._frame.back(tenant, note, "admin")

    async def _try(self, tenant: WebTenant, client: Client) -> bool:
        """Ask Google about a client; whether it knows our redirect URI too, as far as it says.

        :raises _Wrong: when Google does not take the client, or does not answer.
        """
        try:
            await self._gate.oauth.try_client(client, self._frame.place.redirect_uri)
        except GoogleError as error:
            log.warn(
                "web: trying the client of tenant {tenant}: {code} {detail}",
                tenant=tenant.name,
                code=error.code,
                detail=error.detail,
            )
            if isinstance(error, ClientRejected) and error.detail.startswith("redirect_uri_mismatch"):
                return False
            raise _Wrong(_REJECTED if isinstance(error, ClientRejected) else _NOT_TRIED) from None
        return True

    async def _page(
        self,
        call: Call,
        tenant: WebTenant,
        visitor: Visitor,
        *,
        status: int = 200,
        wrong: Said = "",
        client_id: str = "",
    ) -> Answer:
        """The page.

        :param wrong: what speaks against the client that was entered.
        """
        now, url, asked = self._frame.now(), self._frame.place.page(tenant.name), call.query
        found = await self._gate.store.run(
            _overview, tenant.name, now, asked.get("accounts", ""), asked.get("phones", "")
        )
        certificate = admin_texts.certificate(self._gate.admin.certificate_ends(), self._gate.certificate_ends(), now)
        return self._frame.page(
            call,
            "admin.html",
            tenant=tenant,
            visitor=visitor,
            status=status,
            alarm=found.alarm,
            alarm_words=admin_texts.ALARMS.get(found.alarm.code) if found.alarm else None,
            accounts=found.accounts,
            rows=[admin_texts.row(one, url, now) for one in self._frame.as_it_is(found.accounts.rows)],
            logins=found.phones,
            phones=[(one, owner, self._phones.state(one)) for one, owner in found.phones.rows],
            reminded=found.reminded,
            certificate=certificate,
            is_configured=tenant.name in self._gate.admin.configured,
            entered_at=found.entered_at,
            place=self._frame.place,
            url=url,
            scopes=[*_IDENTITY_SCOPES, *(SCOPE_OF[source] for source in tenant.sources)],
            wrong=wrong,
            client_id=client_id,
        )

    def _log(self, event: str, call: Call, visitor: Visitor) -> None:
        log.info(
            "web: OAuth client of tenant {tenant} {event} by {who}, from {address}",
            tenant=visitor.person.tenant,
            event=event,
            who=f"user {visitor.person.sub}" if visitor.person.sub else "link",
            address=call.address,
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
            raise _Wrong(_DESKTOP if error.is_desktop else _NO_CLIENT_FILE) from None
        client_id, secret, uris = found.client_id, found.client_secret, found.redirect_uris
    else:
        client_id, secret, uris = form.get("client_id", "").strip(), form.get("client_secret", "").strip(), ()
    if not (_WORD.fullmatch(client_id) and _WORD.fullmatch(secret)):
        raise _Wrong(_NOTHING if not text else _NO_CLIENT_FILE)
    return Client(client_id, secret), uris


def _overview(connection: Connection, tenant: str, now: float, accounts_page: str, phones_page: str) -> _Overview:
    """:param accounts_page: which page of the accounts is asked for; of the phones likewise."""
    found = admin_texts.in_order(accounts.read_all(connection, tenant), now)
    owners = {one.id: one.address for one in found}
    logins = [(one, owners.get(one.account_id or 0, "")) for one in phones.of_tenant(connection, tenant)]
    return _Overview(
        accounts=admin_texts.page_of(found, accounts_page),
        reminded=tuple((one.address, why) for one in found if (why := admin_texts.reminder(one, now))),
        phones=admin_texts.page_of(logins, phones_page),
        alarm=tenants.read_alarm(connection, tenant),
        entered_at=tenants.client_entered_at(connection, tenant),
    )


def _shown(
    connection: Connection, tenant: str, now: float, accounts_page: str, phones_page: str
) -> tuple[list[str], Sequence[PhoneLogin]]:
    """Whose accounts are on a page, and which phones."""
    found = admin_texts.in_order(accounts.read_all(connection, tenant, counted=False), now)
    logins = admin_texts.page_of(phones.of_tenant(connection, tenant), phones_page).rows
    return [one.sub for one in admin_texts.page_of(found, accounts_page).rows], logins


def _enter(connection: Connection, vault: Vault, new: EnteredClient, before: Client | None) -> None:
    """Keep a client, and have the accounts go on with it.

    What was granted to another client is of no use to this one: those accounts have to connect again.
    """
    tenants.enter_client(connection, vault, new)
    connected = [
        one for one in accounts.read_all(connection, new.tenant, counted=False) if one.connected and not one.revoked
    ]
    if before is not None and before.client_id != new.client_id:
        for one in connected:
            sync_state.fail(connection, one, "consent_revoked", new.entered_at, None)
        tenants.clear_alarm(connection, new.tenant)
    elif connected:
        # One that goes well ends the alarm, and then all others go on.
        sync_state.ask(connection, connected[0].id, Wish.INCREMENTAL)
