# SPDX-License-Identifier: MIT
"""The overview and the account page, with the forms to sync, share, disconnect and sign out.

A form acts only on accounts of the signed-in visitor.  A disconnect first deletes the account's data in the gateway, so
that phones stop finding the contacts at once, and then revokes the grant at Google.

The query parameter ``account`` is the number of an account on the visitor's page: 1 for the first account.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection
from twisted.logger import Logger

from ldapgw.contact import Source
from ldapgw.errors import GoogleError, StoreError
from ldapgw.google.oauth import sources_of
from ldapgw.phones.contact_browser import BookSizes
from ldapgw.phrase import Phrase, Translatable, gettext_noop
from ldapgw.store import (
    accounts,
    contacts,
    directory_accounts,
    phones,
    revocations,
    sign_ins,
    sync_history,
    sync_state,
)
from ldapgw.store.account_status import account_to_json, rejected_phones
from ldapgw.store.accounts import Account, SyncRequest
from ldapgw.store.activity import Act, ActivityEntry
from ldapgw.store.revocations import Revocation
from ldapgw.store.secrets import SecretBox
from ldapgw.store.sign_ins import FLOW_SECONDS
from ldapgw.web import error_pages, record_texts
from ldapgw.web.account_texts import (
    AccountView,
    account_details,
    account_view,
    shareable_labels,
    sharing_message,
    sharing_options,
    source_switch,
    with_phones,
)
from ldapgw.web.consent import AuthorizationCodeFlow, switch_on_purpose
from ldapgw.web.dependencies import WebDependencies, WebTenant
from ldapgw.web.error_pages import CONSENT_CHECKBOXES, PageError
from ldapgw.web.http import Cookie, HttpResponse, json_response, redirect
from ldapgw.web.layout import CONFIRMATIONS, Layout, RequiredRole, Route, TenantVisit, Visit, get, post
from ldapgw.web.phone_pages import PhonePages

log = Logger()


class RevocationOutcome(StrEnum):
    """The outcome of the revocation of a disconnected account's grant at Google.

    `PENDING` is a revocation that is retried later, unless the token cannot be decrypted.  `IN_USE` is a grant that is
    not revoked, because an account of this gateway uses the grant.  This account is the disconnected account, which was
    connected again meanwhile, or the user's account in another tenant.
    """

    REVOKED = "revoked"
    PENDING = "not_revoked"
    IN_USE = "in_use"


_DISCONNECTED = {
    RevocationOutcome.REVOKED: "disconnected",
    RevocationOutcome.PENDING: "not-revoked",
    RevocationOutcome.IN_USE: "grant-in-use",
}
# Two maximum numbers for the account page: syncs in its table, and contacts in its list of contacts to correct.
_SHOWN_ATTEMPTS = 20
_SHOWN_FLAWED = 50

_PAGE_NAME = Phrase(gettext_noop("this page"))
_DATABASE_UNAVAILABLE = "the database cannot be used; the gateway's log says more"


class AccountPages:
    """The overview, the account page, their forms, and the state of the accounts as JSON."""

    def __init__(self, layout: Layout, phone_pages: PhonePages) -> None:
        self._layout = layout
        self._dependencies = layout.dependencies
        self._phone_pages = phone_pages
        self._consent = AuthorizationCodeFlow(layout.dependencies)

    def routes(self) -> tuple[Route, ...]:
        return (
            get("/<tenant>/", self.overview, RequiredRole.TENANT),
            get("/<tenant>/account", self.account, RequiredRole.PERSON),
            get("/<tenant>/status.json", self.status, RequiredRole.TENANT),
            post("/<tenant>/sync", self.sync, RequiredRole.PERSON),
            get("/<tenant>/accept-shrink", self.ask_to_accept_shrink, RequiredRole.PERSON),
            post("/<tenant>/accept-shrink", self.accept_shrink, RequiredRole.PERSON),
            post("/<tenant>/share", self.share, RequiredRole.PERSON),
            post("/<tenant>/source", self.switch_source, RequiredRole.PERSON),
            get("/<tenant>/disconnect", self.ask_to_disconnect, RequiredRole.PERSON),
            post("/<tenant>/disconnect", self.disconnect, RequiredRole.PERSON),
            post("/<tenant>/signout", self.signout, RequiredRole.SIGNED_IN, is_unlimited=True),
        )

    async def overview(self, anybody: TenantVisit) -> HttpResponse:
        """``/{tenant}/``: show the overview of an account (``account``); before a sign-in, show the welcome page.

        An administrator who signed in by a link has no account, and is redirected to the administration.
        """
        visit = await anybody.sign_in()
        if visit is None and anybody.request.is_live:
            raise PageError(error_pages.PAGES.session_ended, anybody.tenant)
        if visit is None:
            return await anybody.page("welcome.html", box=CONSENT_CHECKBOXES[anybody.tenant.first_source])
        if visit.visitor.person.is_by_link:
            return visit.redirect(path="admin")
        account = _shown_account(visit)
        phone_values = await self._phone_pages.list_values(visit)
        return await visit.page(
            "overview.html",
            account=account,
            view=with_phones(await self._view(visit, account), phone_values["phones"]),
            sizes=self._sizes(visit, account),
            **await sync_history_values(self._layout, account),
            **phone_values,
        )

    async def account(self, visit: Visit) -> HttpResponse:
        """``/{tenant}/account``: show the sharing, the sources and the syncs of an account (``account``)."""
        account = _shown_account(visit)
        view = await self._view(visit, account)
        replicas = await visit.store.read(phones.read_replicas, visit.tenant.name)
        return await visit.page(
            "account.html",
            account=account,
            view=view,
            details=await self._details(visit.tenant, account, view),
            sizes=self._sizes(visit, account),
            replicas=[login for login in replicas if login.replica is not None and login.replica.private],
            **await sync_history_values(self._layout, account),
        )

    async def status(self, anybody: TenantVisit) -> HttpResponse:
        """``/{tenant}/status.json``: send the state of the visitor's accounts; administrators get all accounts."""
        tenant = anybody.tenant
        try:
            visit = await anybody.sign_in()
            if visit is None and self._dependencies.database_fails_since() is not None:
                # While the database fails, a missing session does not mean that the visitor is signed out, and nobody
                # can sign in.
                return self._unavailable()
            if visit is None:
                challenge = ("WWW-Authenticate", f'Cookie realm="{tenant.name}"')
                return json_response({"error": "sign in first"}, 401, (challenge,))
            shown_accounts = visit.visitor.accounts
            ids = [account.id for account in shown_accounts]
            logins = await self._dependencies.store.read(phones.read_by_accounts, ids)
            if visit.is_by_admin:
                logins = await self._dependencies.store.read(phones.read_by_tenant, tenant.name)
                shown_accounts = self._layout.with_database_error(
                    await self._dependencies.store.read(accounts.read_all, tenant.name)
                )
        except StoreError:
            return self._unavailable()
        now, expiry = self._layout.now(), self._dependencies.certificate_expiry()
        rejected = rejected_phones(map(self._dependencies.phones.refused_logins.latest, logins), now)

        def answer() -> HttpResponse:
            objects = [
                account_to_json(account, tenant.sources, visit.url, now, expiry, rejected=rejected.get(account.id, ()))
                for account in shown_accounts
            ]
            return json_response({"tenant": tenant.name, "accounts": objects})

        # For an administrator, the answer may have thousands of accounts.  Making such an answer takes long, and phones
        # should not wait for the reactor that long.
        response: HttpResponse = await self._dependencies.book_clients.run_off_thread(answer)
        return response

    def _unavailable(self) -> HttpResponse:
        return json_response({"error": _DATABASE_UNAVAILABLE, "stale": self._dependencies.is_stale()}, 503)

    async def sync(self, visit: Visit) -> HttpResponse:
        """``POST /{tenant}/sync``: request a sync."""
        account = _selected_account(visit)
        # No sync can begin with a grant that Google no longer accepts.
        if account is None or not account.is_connected or account.revoked:
            return self._redirect_to_account(visit, account)
        entry = visit.entry(Act.SYNC_REQUESTED, account.address)
        if not await visit.change(entry, sync_state.request_sync, account.id, SyncRequest.INCREMENTAL):
            raise PageError(error_pages.PAGES.no_such_account, visit.tenant)
        await self._dependencies.changed()
        # There is no flash message, because the page itself shows the state of the sync.
        return self._redirect_to_account(visit, account)

    async def ask_to_accept_shrink(self, visit: Visit) -> HttpResponse:
        """``GET /{tenant}/accept-shrink``: ask before a sync removes most contacts of an account (``account``)."""
        account = visit.visitor.account_by_number(visit.query.get("account", "1"))
        error = account.error if account is not None and account.is_connected else None
        if account is None or error is None or error.code != "suspicious_shrink":
            return self._redirect_to_account(visit, account)
        number = visit.visitor.number_of(account)
        is_directory = error.facts.get("source") == Source.DIRECTORY
        return await visit.confirmation(
            CONFIRMATIONS.accounts["accept-directory-shrink" if is_directory else "accept-shrink"],
            {"lost": error.facts.get("lost", "?"), "before": error.facts.get("before", "?")},
            action="accept-shrink",
            cancel=f"?account={number}" if number > 1 else "",
            fields={"account": account.sub, "accept_shrink": error.shrink_key},
            page_query=f"account={number}",
        )

    async def accept_shrink(self, visit: Visit) -> HttpResponse:
        """``POST /{tenant}/accept-shrink``: let a sync remove the contacts that `ask_to_accept_shrink` asked about."""
        account = _selected_account(visit)
        if account is None or not account.is_connected or account.revoked:
            return self._redirect_to_account(visit, account)
        entry = visit.entry(Act.SHRINK_ACCEPTED, account.address)
        if not await visit.change(entry, sync_state.accept_shrink, account.id, visit.form.get("accept_shrink", "")):
            return self._redirect_to_account(visit, account, "not-accepted")
        await self._dependencies.changed()
        return self._redirect_to_account(visit, account)

    async def share(self, visit: Visit) -> HttpResponse:
        """``POST /{tenant}/share``: set who sees the account's book.

        If the form has a ``label``, only contacts with this label are shared.
        """
        value = visit.form.get("sharing")
        account = _selected_account(visit)
        options = sharing_options(visit.tenant, account.sharing) if account is not None else ()
        chosen = next((option.value for option in options if option.value.value == value), None)
        if account is None or chosen is None:
            raise PageError(error_pages.PAGES.bad_form, visit.tenant)
        # The form has no field ``label`` if the account had no labels.
        label = visit.form.get("label", account.shared_label)
        if label:
            labels = await visit.store.read(contacts.read_labels, account.id)
            if label not in shareable_labels(labels.values(), account.shared_label):
                raise PageError(error_pages.PAGES.bad_form, visit.tenant)
        entry = visit.entry(Act.SHARING_CHANGED, account.address, chosen.value)
        if not await visit.change(entry, accounts.set_sharing, account.id, chosen, label):
            raise PageError(error_pages.PAGES.no_such_account, visit.tenant)
        await self._dependencies.changed()
        return self._redirect_to_account(visit, account, sharing_message(visit.tenant, chosen), "account")

    async def switch_source(self, visit: Visit) -> HttpResponse:
        """``POST /{tenant}/source``: switch a source of an account on or off.

        If the source's scope is not granted yet, the answer leads to Google's consent screen.
        """
        account = _selected_account(visit)
        if account is None or not account.is_connected:
            return self._redirect_to_account(visit, account)
        name, switch = visit.form.get("source"), visit.form.get("switch")
        source = next((source for source in visit.tenant.sources if source.value == name), None)
        if source is None or not switch or source_switch(visit.tenant, account, source) != switch:
            return self._redirect_to_account(visit, account, "not-accepted", "account")
        if switch == "on" and source not in sources_of(account.scopes):
            return await self._lead_to_google(visit, account, source)
        act, change = Act.SOURCE_SWITCHED_OFF, revocations.switch_off
        if switch == "on":
            act, change = Act.SOURCE_SWITCHED_ON, revocations.switch_on
        if not await visit.change(visit.entry(act, account.address, source.value), change, account.id, source):
            raise PageError(error_pages.PAGES.no_such_account, visit.tenant)
        await self._dependencies.changed()
        return self._redirect_to_account(visit, account, f"switched-{switch}", "account")

    async def _lead_to_google(self, visit: Visit, account: Account, source: Source) -> HttpResponse:
        """Return the page that leads to the consent which switches a source on."""
        authorization = await self._consent.begin(visit.tenant, switch_on_purpose(source), visit.request, account.sub)
        cookie = self._layout.cookies.set(Cookie.BROWSER, authorization.browser_secret, seconds=FLOW_SECONDS)
        return await visit.page(
            "to_google.html",
            headers=(cookie, ("Refresh", f"0; url={authorization.url}")),
            url=authorization.url,
            box=CONSENT_CHECKBOXES[source],
        )

    async def ask_to_disconnect(self, visit: Visit) -> HttpResponse:
        """``GET /{tenant}/disconnect``: ask before an account (``account``) is disconnected."""
        account = visit.visitor.account_by_number(visit.query.get("account", "1"))
        if account is None or not account.is_connected or account.delegated:
            return self._redirect_to_account(visit, account)
        number = visit.visitor.number_of(account)
        return await visit.confirmation(
            CONFIRMATIONS.accounts["disconnect"],
            {"account": account.address},
            action="disconnect",
            cancel=f"account?account={number}" if number > 1 else "account",
            fields={"account": account.sub},
            page_query=f"account={number}",
        )

    async def disconnect(self, visit: Visit) -> HttpResponse:
        """``POST /{tenant}/disconnect``: delete the contacts, and revoke the access at Google."""
        account = _selected_account(visit)
        if account is None or not account.is_connected or account.delegated:
            return self._redirect_to_account(visit, account)
        entry = visit.entry(Act.DISCONNECTED, account.address)
        outcome = await disconnect_account(self._dependencies, account, entry)
        self._log("disconnect", visit, account)
        if account.sub != visit.visitor.person.sub:
            await visit.store.run(accounts.remove_owner, account.id)
            account = None
        return self._redirect_to_account(visit, account, _DISCONNECTED[outcome])

    async def signout(self, visit: Visit) -> HttpResponse:
        """``POST /{tenant}/signout``: end the session, in the browser and on the server."""
        await visit.store.run(sign_ins.sign_out, visit.visitor.session)
        self._log("sign-out", visit, visit.visitor.account)
        headers = (
            self._layout.cookies.clear(Cookie.SESSION, tenant=visit.tenant.name),
            self._layout.flash_message_header("signed-out"),
        )
        return redirect(visit.home, headers)

    async def _view(self, visit: Visit, account: Account | None) -> AccountView:
        if account is None:
            return account_view(visit.tenant, None, None)
        translate = self._layout.renderer.translator(visit.request.language)
        expiry = self._dependencies.certificate_expiry()
        # The alarm's link leads to the Google console, which only administrators can open; only the administration
        # shows the link.
        alarm = account.alarm and replace(account.alarm, link="")
        explained = replace(account, error=alarm if account.error == account.alarm else account.error, alarm=alarm)
        status = account_to_json(
            explained, visit.tenant.sources, _PAGE_NAME, self._layout.now(), expiry, translate, commands=False
        )
        progress = None
        if account.is_connected:
            progress = await visit.store.read(sync_state.read_progress, account.id)
        return account_view(visit.tenant, account, status, progress)

    def _sizes(self, visit: Visit, account: Account | None) -> BookSizes:
        """Return the numbers of contacts that the account's phones find.

        Before the first books are published, return the number of the account's stored contacts.
        """
        if account is None:
            return BookSizes()
        sizes = self._dependencies.contacts.sizes(visit.tenant.name, account.sub)
        return sizes if sizes.total else BookSizes(account.contacts)

    async def _details(self, tenant: WebTenant, account: Account | None, view: AccountView) -> Mapping[str, Any] | None:
        """Return the values that the account page shows of an account, or None if the account is not connected."""
        if account is None or view.status is None or not view.connected:
            return None
        return account_details(
            tenant,
            account,
            view.status,
            labels=(await self._dependencies.store.read(contacts.read_labels, account.id)).values(),
            sync_states=await self._dependencies.store.read(sync_state.read_sync_states, account.id),
            directory_account=await self._dependencies.store.read(
                directory_accounts.read_directory_account, tenant.name
            )
            if Source.DIRECTORY in tenant.sources
            else None,
            example=await self._dependencies.contacts.example(tenant.name, account.sub),
            flawed=await self._dependencies.store.read(contacts.read_flawed, account.id, _SHOWN_FLAWED),
        )

    def _redirect_to_account(
        self, visit: Visit, account: Account | None, message: str = "", page: str = ""
    ) -> HttpResponse:
        """Redirect to the overview of an account, or to another `page` of the account."""
        number = visit.visitor.number_of(account) if account in visit.visitor.accounts else 1
        return visit.redirect(message, f"{page}?account={number}" if number > 1 else page)

    def _log(self, act: str, visit: Visit, account: Account | None) -> None:
        log.info(
            "web: {act} by user {sub} of tenant {tenant}, from {address}",
            event="account_changed",
            act=act,
            tenant=visit.visitor.person.tenant,
            account=account.id if account is not None else None,
            sub=visit.visitor.person.sub,
            address=visit.request.address,
        )


async def sync_history_values(layout: Layout, account: Account | None) -> Mapping[str, Any]:
    """Return the template values of an account's history of syncs (``sync_history.html``)."""
    if account is None or not account.is_connected:
        return {"sync_rows": (), "sync_bars": (), "sync_outcome": ""}
    store = layout.dependencies.store
    attempts = await store.read(sync_history.read_attempts, account.id, _SHOWN_ATTEMPTS)
    days = await store.read(sync_history.summarize_account, account.id, layout.now())
    outcome: Translatable = record_texts.outcome(attempts[0]) if attempts else ""
    if account.requested_sync is not None or (account.syncing and account.pending_sync is not None):
        outcome = gettext_noop("Sync started.")
    return {
        "sync_rows": [(attempt, record_texts.outcome(attempt)) for attempt in attempts],
        "sync_bars": record_texts.strip(days),
        "sync_outcome": outcome,
    }


async def disconnect_account(
    dependencies: WebDependencies, account: Account, entry: ActivityEntry, *, with_phones: bool | None = None
) -> RevocationOutcome:
    """Delete an account's tokens and contacts, and revoke the grant at Google.

    :param with_phones: see `ldapgw.store.revocations.end_account`; None to keep the account.
    :returns: the outcome of the revocation; `RevocationOutcome.REVOKED` if there is no grant.  The data in the gateway
        is deleted in any case.
    """
    pending_id, pending = await dependencies.store.run(
        _disconnect, dependencies.secret_box, account.id, entry, with_phones=with_phones
    )
    if with_phones is None:
        dependencies.disconnected()
    else:
        # `CopyCleaner` reads only disconnected accounts from the database, so this call names the removed account.
        dependencies.removed([account.identity])
    outcome = RevocationOutcome.REVOKED if pending_id is None else RevocationOutcome.PENDING
    try:
        await dependencies.changed()
    finally:
        if pending is not None:
            outcome = await _revoke(dependencies, pending, account.id)
    return outcome


def _disconnect(
    connection: Connection, secret_box: SecretBox, account_id: int, entry: ActivityEntry, *, with_phones: bool | None
) -> tuple[int | None, Revocation | None]:
    """Disconnect or remove an account, and return the id of the pending revocation and the revocation itself.

    The periodic service may make the revocation and delete its row before the page makes the revocation, so the row is
    read in the same transaction.
    """
    revocation_id = revocations.end_account(connection, account_id, entry, with_phones=with_phones)
    if revocation_id is None:
        return None, None
    return revocation_id, revocations.read(connection, secret_box, revocation_id)


async def _revoke(dependencies: WebDependencies, revocation: Revocation, account_id: int) -> RevocationOutcome:
    in_use = await dependencies.store.read(revocations.is_shared, revocation.client_id, revocation.sub)
    if not in_use:
        try:
            await dependencies.oauth.revoke(revocation.token)
        except GoogleError as error:
            log.warn(
                "web: a grant could not be revoked yet: {code} {detail}",
                event="disconnect_revocation_failed",
                tenant=revocation.tenant,
                account=account_id,
                code=error.code,
                detail=error.detail,
            )
            return RevocationOutcome.PENDING
    await dependencies.store.run(revocations.remove, revocation.id)
    return RevocationOutcome.IN_USE if in_use else RevocationOutcome.REVOKED


def _shown_account(visit: Visit) -> Account | None:
    """Return the account that the page's address names, or else the visitor's first account."""
    return visit.visitor.account_by_number(visit.query.get("account", "1")) or visit.visitor.account_by_number("1")


def _selected_account(visit: Visit) -> Account | None:
    """Return the account that a form names, or the person's own account if the form names no account.

    :raises PageError: when the named account is not on the visitor's page.
    """
    if "account" not in visit.form:
        return visit.visitor.account
    account = visit.visitor.account_by_sub(visit.form["account"])
    if account is None:
        raise PageError(error_pages.PAGES.no_such_account, visit.tenant)
    return account
