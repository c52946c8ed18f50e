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
from ldapgw.phrase import Phrase, marked
from ldapgw.store import accounts, contacts, revocations, sign_ins, sync_state
from ldapgw.store.account_status import account_object
from ldapgw.store.accounts import Account, Wish
from ldapgw.web import error_pages
from ldapgw.web.account_texts import Standing, standing
from ldapgw.web.dependencies import WebGate, WebTenant
from ldapgw.web.error_pages import BOXES, Ended
from ldapgw.web.http import Answer, Call, Cookie, Rates, document, redirect
from ldapgw.web.layout import Frame, Route, Who, get, post
from ldapgw.web.sessions import Visitor

# No name is longer, and no number.
LONGEST = 100
# Fast typing, and no more.
SEARCHES_AT_ONCE = 30
SEARCH_SECONDS = 0.2


class Search:
    """The page of what was found; a script takes the results from it while a person types.

    Mutable: who has searched how often.
    """

    def __init__(self, frame: Frame) -> None:
        self._frame = frame
        self._rates = Rates(SEARCHES_AT_ONCE, SEARCH_SECONDS)

    def routes(self) -> tuple[Route, ...]:
        """The routes of the search."""
        return (get("/<tenant>/search", self._frame.home, Who.OF_TENANT), post("/<tenant>/search", self.search))

    async def search(self, call: Call, tenant: WebTenant, visitor: Visitor) -> Answer:
        """``POST /{tenant}/search``: who is found by ``sought``."""
        if self._rates.take(visitor.token, self._frame.now()):
            raise Ended(error_pages.TOO_MANY, tenant, headers=(("Retry-After", "1"),))
        sought = call.form.get("sought", "")[:LONGEST]
        books = [account.sub for account in visitor.accounts if account.connected]
        found = await self._frame.gate.finder.find(tenant.name, books, sought)
        return self._frame.page(call, "search.html", tenant=tenant, visitor=visitor, sought=sought, found=found)


log = Logger()


async def disconnect(gate: WebGate, account_id: int) -> bool:
    """Forget an account's tokens and contacts, and revoke its grant.

    :returns: whether Google has taken note, or needs not; else it is told later.  Here all is forgotten in any case.
    """
    left = await gate.store.run(revocations.leave, account_id, gate.clock.seconds())
    try:
        await gate.changed()
    finally:
        revoked = left is not None and await _revoke(gate, left)
    return revoked


async def _revoke(gate: WebGate, revocation_id: int) -> bool:
    to_come = await gate.store.run(revocations.read, gate.vault, revocation_id)
    if to_come is None:
        return False
    tenant = gate.tenants.get(to_come.tenant)
    sharers = gate.sharers(tenant.client) if tenant and tenant.client else []
    if not await gate.store.run(revocations.is_shared, sharers, to_come.sub):
        try:
            await gate.oauth.revoke(to_come.token)
        except GoogleError as error:
            log.warn("web: a grant could not be revoked yet: {code} {detail}", code=error.code, detail=error.detail)
            return False
    await gate.store.run(revocations.done, revocation_id)
    return True


_THIS_PAGE = Phrase(marked("this page"))
_NO_DATABASE = document({"error": "the database cannot be used; the gateway's log says more"}, 503)


class Mine:
    """The page, its forms, and its state as JSON."""

    def __init__(self, frame: Frame) -> None:
        self._frame = frame
        self._gate = frame.gate

    def routes(self) -> tuple[Route, ...]:
        """The routes of this page."""
        return (
            get("/<tenant>/", self.home, Who.OF_TENANT),
            get("/<tenant>/status.json", self.status, Who.OF_TENANT),
            post("/<tenant>/sync", self.sync),
            post("/<tenant>/share", self.share),
            post("/<tenant>/disconnect", self.disconnect),
            post("/<tenant>/signout", self.signout),
        )

    async def home(self, call: Call, tenant: WebTenant) -> Answer:
        """``/{tenant}/``: what this is, or how one's accounts do; ``account`` says which, counted from 1."""
        visitor = await self._frame.caller(call, tenant)
        if visitor is None:
            boxes = [BOXES[source] for source in tenant.sources]
            return self._frame.page(call, "welcome.html", tenant=tenant, boxes=boxes)
        shown = visitor.numbered(call.query.get("account", "1")) or visitor.numbered("1")
        values: dict[str, Any] = {}
        for part in self._frame.parts:
            values.update(await part(call, tenant, visitor))
        return self._frame.page(
            call,
            "account.html",
            tenant=tenant,
            visitor=visitor,
            account=shown,
            now=self._frame.now(),
            standing=await self._standing(call, tenant, shown),
            **values,
        )

    async def status(self, call: Call, tenant: WebTenant) -> Answer:
        """``/{tenant}/status.json``: one's own accounts; an administrator gets all of the tenant."""
        try:
            visitor = await self._frame.caller(call, tenant)
            if visitor is None and self._gate.database_fails_since() is not None:
                # A damaged one has lost who is signed in, and nobody could sign in now.
                return _NO_DATABASE
            if visitor is None:
                challenge = ("WWW-Authenticate", f'Cookie realm="{tenant.name}"')
                return document({"error": "sign in first"}, 401, (challenge,))
            found = visitor.accounts
            if visitor.administers(tenant):
                found = self._frame.as_it_is(await self._gate.store.run(accounts.read_all, tenant.name))
        except StoreError:
            return _NO_DATABASE
        url, now, ends = self._frame.place.page(tenant.name), self._frame.now(), self._gate.certificate_ends()
        objects = [account_object(one, tenant.sources, url, now, ends) for one in found]
        return document({"tenant": tenant.name, "accounts": objects})

    async def sync(self, call: Call, tenant: WebTenant, visitor: Visitor) -> Answer:
        """``POST /{tenant}/sync``: a sync now; with ``accept_shrink``, one by which may vanish what the page told."""
        account = _account(call, tenant, visitor)
        # With a grant that Google no longer accepts none begins.
        if account is None or not account.connected or account.revoked:
            return self._back(tenant, visitor, account)
        if "accept_shrink" not in call.form:
            await self._gate.store.run(sync_state.ask, account.id, Wish.INCREMENTAL)
        elif not await self._gate.store.run(sync_state.accept, account.id, call.form["accept_shrink"]):
            return self._back(tenant, visitor, account, "not-accepted")
        await self._gate.changed()
        return self._back(tenant, visitor, account, "asked")

    async def share(self, call: Call, tenant: WebTenant, visitor: Visitor) -> Answer:
        """``POST /{tenant}/share``: who sees one's book."""
        chosen = call.form.get("sharing")
        account = _account(call, tenant, visitor)
        if chosen not in [sharing.value for sharing in Sharing] or account is None:
            raise Ended(error_pages.BAD_FORM, tenant)
        await self._gate.store.run(accounts.share, account.id, Sharing(chosen))
        await self._gate.changed()
        return self._back(tenant, visitor, account, "shared")

    async def disconnect(self, call: Call, tenant: WebTenant, visitor: Visitor) -> Answer:
        """``POST /{tenant}/disconnect``: forget the contacts, and revoke the access at Google."""
        account = _account(call, tenant, visitor)
        if account is None or not account.connected:
            return self._back(tenant, visitor, account)
        revoked = await disconnect(self._gate, account.id)
        if account.sub != visitor.person.sub:
            await self._gate.store.run(accounts.disown, account.id)
            account = None
        self._log("disconnect", call, visitor)
        return self._back(tenant, visitor, account, "disconnected" if revoked else "not-revoked")

    async def signout(self, call: Call, tenant: WebTenant, visitor: Visitor) -> Answer:
        """``POST /{tenant}/signout``: end the session, on the server too."""
        await self._gate.store.run(sign_ins.sign_out, visitor.session)
        self._log("sign-out", call, visitor)
        headers = (self._frame.cookies.clear(Cookie.SESSION, tenant=tenant.name), self._frame.note("signed-out"))
        return redirect(self._frame.place.path_of(tenant.name), headers)

    async def _standing(self, call: Call, tenant: WebTenant, account: Account | None) -> Standing:
        if account is None:
            return standing(tenant, None, None)
        say, ends = self._frame.pages.say(call.language), self._gate.certificate_ends()
        shown = account_object(account, tenant.sources, _THIS_PAGE, self._frame.now(), ends, say, commands=False)
        if not account.connected:
            return standing(tenant, account, shown)
        return standing(
            tenant,
            account,
            shown,
            progress=self._gate.progress(account.id),
            labels=(await self._gate.store.run(contacts.read_labels, account.id)).values(),
            example=await self._gate.finder.example(tenant.name, account.sub),
        )

    def _back(self, tenant: WebTenant, visitor: Visitor, account: Account | None, note: str = "") -> Answer:
        """To the page, where it shows the account."""
        at = visitor.accounts.index(account) if account in visitor.accounts else 0
        return self._frame.back(tenant, note, f"?account={at + 1}" if at else "")

    def _log(self, event: str, call: Call, visitor: Visitor) -> None:
        log.info(
            "web: {event} of tenant {tenant} by user {sub}, from {address}",
            event=event,
            tenant=visitor.person.tenant,
            sub=visitor.person.sub,
            address=call.address,
        )


def _account(call: Call, tenant: WebTenant, visitor: Visitor) -> Account | None:
    """The account that a form is about; where it names none, the person's own.

    :raises Ended: when it is not theirs, or is none.
    """
    if "account" not in call.form:
        return visitor.account
    account = visitor.of(call.form["account"])
    if account is None:
        raise Ended(error_pages.NOT_THEIRS, tenant)
    return account
