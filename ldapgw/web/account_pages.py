# SPDX-License-Identifier: MIT
"""The search box: what somebody's phones find.

It is a form, so that no name or number gets into an address, and with that into histories and the logs of proxies.

Taking a consent back: forgotten here first, so that phones stop at once, then revoked at Google.

A person's own page: how their accounts do, and what they can do with them.

What is done is done to an account of theirs alone: it is found among those of the session.
"""

from __future__ import annotations

from typing import Any

from twisted.logger import Logger

from ldapgw.contact import Sharing
from ldapgw.errors import GoogleError, StoreError
from ldapgw.phrase import Phrase, gettext_noop
from ldapgw.store import accounts, contacts, revocations, sign_ins, sync_state
from ldapgw.store.account_status import account_to_json
from ldapgw.store.accounts import Account, SyncRequest
from ldapgw.web import error_pages
from ldapgw.web.account_texts import AccountView, account_view
from ldapgw.web.dependencies import WebDependencies, WebTenant
from ldapgw.web.error_pages import CONSENT_CHECKBOXES, PageError
from ldapgw.web.http import Cookie, HttpRequest, HttpResponse, RateLimiter, json_response, redirect
from ldapgw.web.layout import Layout, RequiredRole, Route, get, post
from ldapgw.web.sessions import Visitor

# No name is longer, and no number.
MAX_QUERY_LENGTH = 100
# Fast typing, and no more.
SEARCH_BURST = 30
SEARCH_INTERVAL_SECONDS = 0.2


class SearchPage:
    """The page of what was found; a script takes the results from it while a person types.

    Mutable: who has searched how often.
    """

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._rate_limiter = RateLimiter(SEARCH_BURST, SEARCH_INTERVAL_SECONDS)

    def routes(self) -> tuple[Route, ...]:
        """The routes of the search."""
        return (
            get("/<tenant>/search", self._layout.redirect_home, RequiredRole.TENANT),
            post("/<tenant>/search", self.search),
        )

    async def search(self, request: HttpRequest, tenant: WebTenant, visitor: Visitor) -> HttpResponse:
        """``POST /{tenant}/search``: who is found by ``sought``."""
        if self._rate_limiter.take(visitor.token, self._layout.now()):
            raise PageError(error_pages.TOO_MANY, tenant, headers=(("Retry-After", "1"),))
        sought = request.form.get("sought", "")[:MAX_QUERY_LENGTH]
        books = [account.sub for account in visitor.accounts if account.is_connected]
        found = await self._layout.dependencies.finder.find(tenant.name, books, sought)
        return self._layout.page(request, "search.html", tenant=tenant, visitor=visitor, sought=sought, found=found)


log = Logger()


async def disconnect_account(dependencies: WebDependencies, account_id: int) -> bool:
    """Forget an account's tokens and contacts, and revoke its grant.

    :returns: whether Google has taken note, or needs not; else it is told later.  Here all is forgotten in any case.
    """
    left = await dependencies.store.run(revocations.disconnect_account, account_id, dependencies.clock.seconds())
    try:
        await dependencies.changed()
    finally:
        revoked = left is not None and await _revoke(dependencies, left)
    return revoked


async def _revoke(dependencies: WebDependencies, revocation_id: int) -> bool:
    to_come = await dependencies.store.run(revocations.read, dependencies.vault, revocation_id)
    if to_come is None:
        return False
    tenant = dependencies.tenants.get(to_come.tenant)
    sharers = dependencies.sharers(tenant.client) if tenant and tenant.client else []
    if not await dependencies.store.run(revocations.is_shared, sharers, to_come.sub):
        try:
            await dependencies.oauth.revoke(to_come.token)
        except GoogleError as error:
            log.warn("web: a grant could not be revoked yet: {code} {detail}", code=error.code, detail=error.detail)
            return False
    await dependencies.store.run(revocations.remove, revocation_id)
    return True


_PAGE_NAME = Phrase(gettext_noop("this page"))
_DATABASE_UNAVAILABLE = json_response({"error": "the database cannot be used; the gateway's log says more"}, 503)


class AccountPage:
    """The page, its forms, and its state as JSON."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._dependencies = layout.dependencies

    def routes(self) -> tuple[Route, ...]:
        """The routes of this page."""
        return (
            get("/<tenant>/", self.home, RequiredRole.TENANT),
            get("/<tenant>/status.json", self.status, RequiredRole.TENANT),
            post("/<tenant>/sync", self.sync),
            post("/<tenant>/share", self.share),
            post("/<tenant>/disconnect", self.disconnect),
            post("/<tenant>/signout", self.signout),
        )

    async def home(self, request: HttpRequest, tenant: WebTenant) -> HttpResponse:
        """``/{tenant}/``: what this is, or how one's accounts do; ``account`` says which, counted from 1."""
        visitor = await self._layout.current_visitor(request, tenant)
        if visitor is None:
            boxes = [CONSENT_CHECKBOXES[source] for source in tenant.sources]
            return self._layout.page(request, "welcome.html", tenant=tenant, boxes=boxes)
        shown = visitor.account_by_number(request.query.get("account", "1")) or visitor.account_by_number("1")
        values: dict[str, Any] = {}
        for part in self._layout.account_sections:
            values.update(await part(request, tenant, visitor))
        return self._layout.page(
            request,
            "account.html",
            tenant=tenant,
            visitor=visitor,
            account=shown,
            now=self._layout.now(),
            standing=await self._account_view(request, tenant, shown),
            **values,
        )

    async def status(self, request: HttpRequest, tenant: WebTenant) -> HttpResponse:
        """``/{tenant}/status.json``: one's own accounts; an administrator gets all of the tenant."""
        try:
            visitor = await self._layout.current_visitor(request, tenant)
            if visitor is None and self._dependencies.database_fails_since() is not None:
                # A damaged one has lost who is signed in, and nobody could sign in now.
                return _DATABASE_UNAVAILABLE
            if visitor is None:
                challenge = ("WWW-Authenticate", f'Cookie realm="{tenant.name}"')
                return json_response({"error": "sign in first"}, 401, (challenge,))
            found = visitor.accounts
            if visitor.administers(tenant):
                found = self._layout.with_database_error(
                    await self._dependencies.store.run(accounts.read_all, tenant.name)
                )
        except StoreError:
            return _DATABASE_UNAVAILABLE
        url, now, ends = (
            self._layout.public_url.tenant_url(tenant.name),
            self._layout.now(),
            self._dependencies.certificate_expiry(),
        )
        objects = [account_to_json(one, tenant.sources, url, now, ends) for one in found]
        return json_response({"tenant": tenant.name, "accounts": objects})

    async def sync(self, request: HttpRequest, tenant: WebTenant, visitor: Visitor) -> HttpResponse:
        """``POST /{tenant}/sync``: a sync now; with ``accept_shrink``, one by which may vanish what the page told."""
        account = _selected_account(request, tenant, visitor)
        # With a grant that Google no longer accepts none begins.
        if account is None or not account.is_connected or account.revoked:
            return self._redirect_to_account(tenant, visitor, account)
        if "accept_shrink" not in request.form:
            await self._dependencies.store.run(sync_state.request_sync, account.id, SyncRequest.INCREMENTAL)
        elif not await self._dependencies.store.run(
            sync_state.accept_shrink, account.id, request.form["accept_shrink"]
        ):
            return self._redirect_to_account(tenant, visitor, account, "not-accepted")
        await self._dependencies.changed()
        return self._redirect_to_account(tenant, visitor, account, "asked")

    async def share(self, request: HttpRequest, tenant: WebTenant, visitor: Visitor) -> HttpResponse:
        """``POST /{tenant}/share``: who sees one's book."""
        chosen = request.form.get("sharing")
        account = _selected_account(request, tenant, visitor)
        if chosen not in [sharing.value for sharing in Sharing] or account is None:
            raise PageError(error_pages.BAD_FORM, tenant)
        await self._dependencies.store.run(accounts.set_sharing, account.id, Sharing(chosen))
        await self._dependencies.changed()
        return self._redirect_to_account(tenant, visitor, account, "shared")

    async def disconnect(self, request: HttpRequest, tenant: WebTenant, visitor: Visitor) -> HttpResponse:
        """``POST /{tenant}/disconnect``: forget the contacts, and revoke the access at Google."""
        account = _selected_account(request, tenant, visitor)
        if account is None or not account.is_connected:
            return self._redirect_to_account(tenant, visitor, account)
        revoked = await disconnect_account(self._dependencies, account.id)
        if account.sub != visitor.person.sub:
            await self._dependencies.store.run(accounts.remove_owner, account.id)
            account = None
        self._log("disconnect", request, visitor)
        return self._redirect_to_account(tenant, visitor, account, "disconnected" if revoked else "not-revoked")

    async def signout(self, request: HttpRequest, tenant: WebTenant, visitor: Visitor) -> HttpResponse:
        """``POST /{tenant}/signout``: end the session, on the server too."""
        await self._dependencies.store.run(sign_ins.sign_out, visitor.session)
        self._log("sign-out", request, visitor)
        headers = (
            self._layout.cookies.clear(Cookie.SESSION, tenant=tenant.name),
            self._layout.flash_message_header("signed-out"),
        )
        return redirect(self._layout.public_url.tenant_path(tenant.name), headers)

    async def _account_view(self, request: HttpRequest, tenant: WebTenant, account: Account | None) -> AccountView:
        if account is None:
            return account_view(tenant, None, None)
        say, ends = self._layout.renderer.translator(request.language), self._dependencies.certificate_expiry()
        shown = account_to_json(account, tenant.sources, _PAGE_NAME, self._layout.now(), ends, say, commands=False)
        if not account.is_connected:
            return account_view(tenant, account, shown)
        return account_view(
            tenant,
            account,
            shown,
            progress=self._dependencies.progress(account.id),
            labels=(await self._dependencies.store.run(contacts.read_labels, account.id)).values(),
            example=await self._dependencies.finder.example(tenant.name, account.sub),
        )

    def _redirect_to_account(
        self, tenant: WebTenant, visitor: Visitor, account: Account | None, message: str = ""
    ) -> HttpResponse:
        """To the page, where it shows the account."""
        at = visitor.accounts.index(account) if account in visitor.accounts else 0
        return self._layout.redirect_to_tenant(tenant, message, f"?account={at + 1}" if at else "")

    def _log(self, event: str, request: HttpRequest, visitor: Visitor) -> None:
        log.info(
            "web: {event} of tenant {tenant} by user {sub}, from {address}",
            event=event,
            tenant=visitor.person.tenant,
            sub=visitor.person.sub,
            address=request.address,
        )


def _selected_account(request: HttpRequest, tenant: WebTenant, visitor: Visitor) -> Account | None:
    """The account that a form is about; where it names none, the person's own.

    :raises Ended: when it is not theirs, or is none.
    """
    if "account" not in request.form:
        return visitor.account
    account = visitor.account_by_sub(request.form["account"])
    if account is None:
        raise PageError(error_pages.NO_SUCH_ACCOUNT, tenant)
    return account
