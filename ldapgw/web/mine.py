# SPDX-License-Identifier: MIT
"""A person's own page: how their accounts do, and what they can do with them.

What is done is done to an account of theirs alone: it is found among those of the session.
"""

from __future__ import annotations

from typing import Any

from twisted.logger import Logger

from ldapgw.contact import Sharing
from ldapgw.errors import StoreError
from ldapgw.status import account_object
from ldapgw.store import accounts, contacts, sign_ins, syncs
from ldapgw.store.accounts import Account, Wish
from ldapgw.web import endings
from ldapgw.web.cookies import Cookie
from ldapgw.web.disconnect import disconnect
from ldapgw.web.endings import BOXES, Ended
from ldapgw.web.exchange import Answer, Call, document, redirect
from ldapgw.web.frame import Frame
from ldapgw.web.routes import Route, Who, get, post
from ldapgw.web.session import Visitor
from ldapgw.web.standing import Standing, standing
from ldapgw.web.tenant import WebTenant
from ldapgw.words import Phrase, marked

log = Logger()

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
            await self._gate.store.run(syncs.ask, account.id, Wish.INCREMENTAL)
        elif not await self._gate.store.run(syncs.accept, account.id, call.form["accept_shrink"]):
            return self._back(tenant, visitor, account, "not-accepted")
        await self._gate.changed()
        return self._back(tenant, visitor, account, "asked")

    async def share(self, call: Call, tenant: WebTenant, visitor: Visitor) -> Answer:
        """``POST /{tenant}/share``: who sees one's book."""
        chosen = call.form.get("sharing")
        account = _account(call, tenant, visitor)
        if chosen not in [sharing.value for sharing in Sharing] or account is None:
            raise Ended(endings.BAD_FORM, tenant)
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
        raise Ended(endings.NOT_THEIRS, tenant)
    return account
