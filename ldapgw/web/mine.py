# SPDX-License-Identifier: MIT
"""A person's own page: how their account does, and what they can do with it.

What is done is done to one's own account alone: it is found by the session, never by anything in the request.
"""

from __future__ import annotations

from typing import Any

from twisted.logger import Logger

from ldapgw.contact import Sharing
from ldapgw.status import account_object
from ldapgw.store import accounts, sign_ins
from ldapgw.store.accounts import Account, Wish
from ldapgw.web import endings
from ldapgw.web.cookies import Cookie
from ldapgw.web.disconnect import disconnect
from ldapgw.web.endings import BOXES, Ended
from ldapgw.web.exchange import Answer, Call, document, redirect
from ldapgw.web.frame import Frame
from ldapgw.web.routes import Route, Who, get, post
from ldapgw.web.session import Visitor
from ldapgw.web.standing import of_status
from ldapgw.web.tenant import WebTenant
from ldapgw.words import Phrase, marked

log = Logger()

_THIS_PAGE = Phrase(marked("this page"))


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
        """``/{tenant}/``: what this is, or how one's account does."""
        visitor = await self._frame.visitor(call, tenant)
        if visitor is None:
            boxes = [BOXES[source] for source in tenant.sources]
            return self._frame.page(call, "welcome.html", tenant=tenant, boxes=boxes)
        say = self._frame.pages.language(call.language).say
        status = (
            account_object(visitor.account, tenant.sources, _THIS_PAGE, self._frame.now(), say)
            if visitor.account
            else None
        )
        values: dict[str, Any] = {}
        for part in self._frame.parts:
            values.update(await part(call, tenant, visitor))
        shown = of_status(tenant, visitor, status)
        return self._frame.page(call, "account.html", tenant=tenant, visitor=visitor, account=status, **shown, **values)

    async def status(self, call: Call, tenant: WebTenant) -> Answer:
        """``/{tenant}/status.json``: one's own account; an administrator gets all of the tenant."""
        visitor = await self._frame.visitor(call, tenant)
        if visitor is None:
            challenge = ("WWW-Authenticate", f'Cookie realm="{tenant.name}"')
            return document({"error": "sign in first"}, 401, (challenge,))
        found: tuple[Account, ...] = (visitor.account,) if visitor.account else ()
        if tenant.is_admin(visitor.person.address):
            found = await self._gate.store.run(accounts.read_all, tenant.name)
        url = self._frame.place.page(tenant.name)
        return document({"tenant": tenant.name, "accounts": [self._status(one, tenant, url) for one in found]})

    async def sync(self, call: Call, tenant: WebTenant, visitor: Visitor) -> Answer:
        """``POST /{tenant}/sync``: a sync now; with ``accept_shrink`` one that may shrink the book."""
        if visitor.account is None or not visitor.account.connected:
            return self._frame.back(tenant)
        if "accept_shrink" in call.form:
            await self._gate.store.run(accounts.ask, visitor.account.id, Wish.ACCEPT)
        else:
            await self._gate.store.run(accounts.ask, visitor.account.id, Wish.INCREMENTAL)
        await self._gate.changed()
        return self._frame.back(tenant, "asked")

    async def share(self, call: Call, tenant: WebTenant, visitor: Visitor) -> Answer:
        """``POST /{tenant}/share``: who sees one's book."""
        chosen = call.form.get("sharing")
        if chosen not in [sharing.value for sharing in Sharing] or visitor.account is None:
            raise Ended(endings.BAD_FORM, tenant)
        await self._gate.store.run(accounts.share, visitor.account.id, Sharing(chosen))
        await self._gate.changed()
        return self._frame.back(tenant, "shared")

    async def disconnect(self, call: Call, tenant: WebTenant, visitor: Visitor) -> Answer:
        """``POST /{tenant}/disconnect``: forget the contacts, and revoke the access at Google."""
        if visitor.account is None or not visitor.account.connected:
            return self._frame.back(tenant)
        revoked = await disconnect(self._gate, visitor.account.id)
        self._log("disconnect", call, visitor)
        return self._frame.back(tenant, "disconnected" if revoked else "not-revoked")

    async def signout(self, call: Call, tenant: WebTenant, visitor: Visitor) -> Answer:
        """``POST /{tenant}/signout``: end the session, on the server too."""
        await self._gate.store.run(sign_ins.sign_out, visitor.session)
        self._log("sign-out", call, visitor)
        headers = (self._frame.cookies.clear(Cookie.SESSION), self._frame.note("signed-out"))
        return redirect(self._frame.place.path_of(tenant.name), headers)

    def _status(self, account: Account, tenant: WebTenant, page_name: str) -> dict[str, Any]:
        return account_object(account, tenant.sources, page_name, self._frame.now())

    def _log(self, event: str, call: Call, visitor: Visitor) -> None:
        log.info(
            "web: {event} of tenant {tenant} by user {sub}, from {address}",
            event=event,
            tenant=visitor.person.tenant,
            sub=visitor.person.sub,
            address=call.address,
        )
